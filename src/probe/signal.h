/* signal.h - the steps of a check that stand in different files. */
#ifndef FANIN_SRC_PROBE_SIGNAL_H
#define FANIN_SRC_PROBE_SIGNAL_H

#include "base/base.h"
#include "fanin/probe.h"
#include "probe/layers.h"

/* What a verdict has to know beside the figures. */
typedef struct fanin__circumstances {
    bool may_be_trained; /* given weights on their own data may be far below the expected loss */
    bool residual;       /* some branch is added: the order of layers is not the signal's path */
    double input_second; /* of the first input; 0: not known */
} fanin__circumstances;

/* fan_in and closes of every layer, and whether there are residual sums. NOMEM. */
fanin_status fanin__find_fans(const fanin_graph *graph, const fanin__layer *layers, fanin_signal *s,
                              fanin__circumstances *known, fanin_err *err);

/* Slopes, verdict, first bad layer and advice from what was measured. */
void fanin__signal_judge(fanin_signal *signal, const fanin_thresholds *thresholds,
                         const fanin__circumstances *known);

/* ---- drift.c: shrinking and growing from layer to layer -------------------------------------------- */

/* Least squares over layers from <= i < to whose figure is finite; NaN below two. */
double fanin__slope(const fanin_signal *s, int from, int to, bool backward);
/* True when the signal or the gradient shrinks or grows too much; the verdict is then judged. */
bool fanin__judge_drift(fanin_signal *s, const fanin_thresholds *t,
                        const fanin__circumstances *known);

/* The layer whose weights are far larger or smaller than the others', if one is: of a network that is not found sick yet
 * (HEALTHY), where it is so far off that it makes it sick, or else as the cause of `verdict`. */
bool fanin__blame_outlier(fanin_signal *s, const fanin_thresholds *t, fanin_verdict verdict);

/* Sets verdict, layer and advice. */
void fanin__signal_say(fanin_signal *s, fanin_verdict verdict, int layer, const char *format, ...)
    FANIN_PRINTF(4, 5);
/* Makes a --rule that draws layer i anew at the scale of the others the repair. */
void fanin__repair_layer(fanin_signal *s, int i);

#endif
