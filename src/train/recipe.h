/* recipe.h - what stands around an optimiser's step: schedule, clipping, noise, penalties, limits.
 *
 * Everything here is a function of the options and the number of the step: nothing is kept between steps. */
#ifndef FANIN_SRC_TRAIN_RECIPE_H
#define FANIN_SRC_TRAIN_RECIPE_H

#include "train/optimizer.h"

/* ---- schedule.c ---------------------------------------------------------------------------------- */

typedef struct fanin__schedule {
    int kind;                                         /* row of the table */
    double warmup, final, every, factor, peak, start; /* warmup, every: steps, or a share below 1 */
} fanin__schedule;

/* NULL: constant. Errors: NOTFOUND an unknown schedule, ARG options. */
fanin_status fanin__schedule_parse(const char *text, fanin__schedule *s, fanin_err *err);
/* Whether the factor of a step is the same however many steps a run has. */
bool fanin__schedule_by_steps(const fanin__schedule *s);
/* What multiplies the learning rate at `step` of `steps`, both counted in updates. */
double fanin__schedule_factor(const fanin__schedule *s, uint64_t step, uint64_t steps);

/* ---- groups.c ------------------------------------------------------------------------------------ */

/* "PATTERN=lr:0.1,decay:0": multipliers of the weights that match. NOTFOUND: none does; ARG. */
fanin_status fanin__optimizer_group(fanin_optimizer *o, const char *text, fanin_err *err);

/* ---- clip.c, regularize.c: each on all weights of an optimiser ------------------------------------- */

void fanin__clip_value(const fanin_optimizer *o, double limit); /* each element into +-limit */
void fanin__clip_norm(const fanin_optimizer *o, double limit);  /* of all gradients together */
void fanin__clip_agc(const fanin_optimizer *o, double lambda);
void fanin__add_noise(const fanin_optimizer *o, const fanin_stream *s, uint64_t step, double eta);
void fanin__add_penalties(const fanin_optimizer *o, double l1, double l2);
void fanin__decay(const fanin_optimizer *o, double decay); /* w *= 1 - lr decay */
void fanin__limit_norms(const fanin_optimizer *o, double limit);
/* The same for one array. */
void fanin__clip_elements(size_t n, float *g, double limit);
void fanin__penalise(const fanin__param *p, const float *w, float *g, double l1, double l2);
void fanin__shrink(const fanin_optimizer *o, const fanin__param *p, float *w, double decay);
/* Rules about units of a weight: unit u is the slice u of its out_axis, a vector is one unit. Calls
 * scale(ctx, |w_u|, |g_u|) for each and multiplies the gradient's (or the weight's) slice. */
typedef double fanin__unit_scale(void *ctx, double weight_norm, double gradient_norm);
void fanin__scale_units(const fanin_optimizer *o, const fanin__param *p, bool gradient,
                        fanin__unit_scale *scale, void *ctx);

/* ---- recipe.c ------------------------------------------------------------------------------------ */

typedef struct fanin__recipe {
    fanin__schedule schedule;
    double lr; /* that the schedule multiplies */
    uint64_t steps;
    double l1, l2, decay, max_norm, clip_value, clip_norm, clip_agc, noise;
    fanin_stream stream; /* of the noise */
} fanin__recipe;

/* Reads the options' share and sets the optimiser's groups. ARG, NOTFOUND. */
fanin_status fanin__recipe_init(fanin__recipe *r, const fanin_train_options *o, uint64_t steps,
                                fanin_optimizer *optimizer, fanin_err *err);
/* Whether something around the step reads gradients, or gives weights a rate or a limit of their own. */
bool fanin__recipe_needs_gradients(const fanin_train_options *o);
double fanin__recipe_rate(const fanin__recipe *r, uint64_t step); /* of learning */
/* One update: step counts from 0. Gradients of the program are changed in place. */
void fanin__recipe_step(const fanin__recipe *r, fanin_optimizer *optimizer, uint64_t step);

#endif
