/* signal.h - the steps of a check that stand in different files. */
#ifndef FANIN_SRC_PROBE_SIGNAL_H
#define FANIN_SRC_PROBE_SIGNAL_H

#include "base/base.h"
#include "fanin/probe.h"

/* Slopes, verdict, first bad layer and advice from what was measured. Trained weights on their own data may
 * be far below the expected loss. */
void fanin__signal_judge(fanin_signal *signal, const fanin_thresholds *thresholds,
                         bool may_be_trained);

#endif
