/* predict.h - predictions for the layers of a check. */
#ifndef FANIN_SRC_PROBE_PREDICT_H
#define FANIN_SRC_PROBE_PREDICT_H

#include "base/base.h"
#include "fanin/probe.h"
#include "probe/layers.h"

/* The input as the signal rules take it; nothing is set where it is not floating. */
void fanin__input_moments(fanin_buffer x, fanin_predict_options *options);
/* Fills the predicted figures of every layer; an operator without a rule leaves them NaN and a sentence in
 * s->unpredicted. NOMEM. */
fanin_status fanin__predict_layers(const fanin_graph *graph, const fanin__layer *layers,
                                   const fanin_predict_options *options, fanin_signal *s,
                                   fanin_err *err);

#endif
