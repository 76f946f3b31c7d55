/* figures.h - what figures.c and symmetry.c give signal.c. */
#ifndef FANIN_SRC_PROBE_FIGURES_H
#define FANIN_SRC_PROBE_FIGURES_H

#include "fanin/probe.h"
#include "probe/layers.h"

/* Adds one pass's figures of a layer to *out: logarithms of magnitudes, shares as they are. Shape and
 * histograms are those of the first seed. INTERNAL: the program did not keep the layer's output. */
fanin_status fanin__measure_layer(const fanin_graph *graph, const fanin__layer *layer,
                                  const fanin_program *program, size_t batch, double lr,
                                  bool first_seed, fanin_layer_signal *out);
/* Shares of saturated activations and of dead units of the layer's activation, whose input is x; NaN where it
 * has none of the kind. A unit is a channel (axis 1) of a convolution's output, the last axis otherwise. */
fanin_status fanin__measure_slopes(const fanin__layer *layer, fanin_buffer x, bool channels_last,
                                   double *saturated, double *dead);
/* Shares by bin of scale times the values over [-range, range], what is beyond in the outer bins and NaN in the
 * first: of all values up to 32768, of 2048 runs of 16 spread over more. */
void fanin__histogram(fanin_buffer values, double range, double scale, double *bins);
/* Sums over seeds become means. */
void fanin__finish_layer(fanin_layer_signal *layer, int seeds);
/* Mean loss over uniform classes, or N(0,1) targets, given the outputs; and the variance of the batch's
 * loss around it. NaN where the output has no such loss. */
void fanin__expect_loss(const fanin_program *program, const char *loss, double *expected,
                        double *variance);

/* Half the units or more equal another in weights and in gradients. */
fanin_status fanin__find_symmetry(const fanin_graph *graph, const fanin__layer *layer,
                                  fanin_buffer weight, fanin_buffer gradient, bool *symmetric);

double fanin__root_mean_square(fanin_buffer values);              /* NaN of nothing */
int fanin__weight_index(const fanin_program *program, int value); /* -1: not a weight */

#endif
