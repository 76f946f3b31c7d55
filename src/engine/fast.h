/* fast.h - who can run a step faster than the reference kernel. Members are asked in order and answer
 * UNSUPPORTED to decline. */
#ifndef FANIN_SRC_ENGINE_FAST_H
#define FANIN_SRC_ENGINE_FAST_H

#include "compute/compute.h"
#include "engine/plan.h"

typedef fanin_status (*fanin__fast_fn)(fanin__step *step, void *scratch, fanin_err *err);

/* Matrix products, convolutions and pooling over compute's plans (fast_plan.c). *scratch grows to
 * what the step wants. Looks ahead for a bias and an activation to take along. */
fanin_status fanin__fast_plan(fanin__steps *plan, int step, size_t *scratch, fanin_err *err);
/* Everything else: loops over compute's kernels (fast_loops.c, fast_rows.c); NULL: none. */
fanin__fast_fn fanin__fast_loop(const fanin__step *step);
fanin__fast_fn fanin__fast_rows(const fanin__step *step);
size_t fanin__fast_rows_scratch(const fanin__step *step); /* bytes that fast_rows wants */

/* A max pooling or its adjoint that fast_loop does: windows of 2 x 2 side by side, row-major. */
bool fanin__quads_fit(const fanin__step *step);

/* The step does nothing: another one did its work. */
fanin_status fanin__fast_nothing(fanin__step *step, void *scratch, fanin_err *err);

#endif
