/* second.h - probes beyond one pass: each makes programs of its own for the first seed's network. */
#ifndef FANIN_SRC_PROBE_SECOND_H
#define FANIN_SRC_PROBE_SECOND_H

#include "probe/fill.h"
#include "probe/layers.h"

/* Fills signal->jacobian; `full` or only where it is cheap (probe.h), given whether the network is large and how many
 * numbers come out for one sample. */
fanin_status fanin__measure_jacobian(const fanin__subject *subject, bool full, bool large,
                                     size_t outputs, fanin_signal *signal, fanin_err *err);
/* The axis on which signal->jacobian's values are drawn, and theory's density on it (spectrum_law.c). */
fanin_status fanin__spectrum_law(fanin_signal *signal, fanin_err *err);
/* signal->hessian and hessian_max of the layers. */
fanin_status fanin__measure_hessian(const fanin__subject *subject, const fanin__layer *layers,
                                    fanin_signal *signal, fanin_err *err);
fanin_status fanin__measure_kernel(const fanin__subject *subject, fanin_signal *signal,
                                   fanin_err *err);
/* jacobian_mean_sv of one layer, and its standard error, from the values of a program after a pass; NaN where there
 * is none. */
fanin_status fanin__layer_jacobian(const fanin_graph *graph, const fanin__layer *layer,
                                   const fanin_program *program, size_t batch, double *mean,
                                   double *error);
/* signal->stack, from one program's weights after the first seed's layers were measured: their weight_std is still
 * the logarithm. */
void fanin__find_stack(const fanin_graph *graph, const fanin__layer *layers,
                       const fanin_program *program, fanin_signal *signal);

#endif
