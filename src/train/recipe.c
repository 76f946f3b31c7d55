/* recipe.c - the order in which a step's parts are applied:
 *     learning rate of the step; gradients clipped by value, by norm, by unit (AGC); noise; penalties;
 *     decoupled decay; the optimiser; norms limited. */
#include "train/recipe.h"

#include <math.h>

#include "base/base.h"

static fanin_status check_numbers(const fanin_train_options *o, fanin_err *err) {
    const struct {
        const char *name;
        double value;
    } numbers[] = {{"l1", o->l1},
                   {"l2", o->l2},
                   {"decay", o->decay},
                   {"activity-l1", o->activity_l1},
                   {"max-norm", o->max_norm},
                   {"clip-value", o->clip_value},
                   {"clip-norm", o->clip_norm},
                   {"clip-agc", o->clip_agc},
                   {"gradient-noise", o->gradient_noise}};
    for (size_t i = 0; i < FANIN_COUNT(numbers); i++)
        if (!(numbers[i].value >= 0) || isinf(numbers[i].value))
            return fanin_err_set(err, FANIN_ARG, "%s: %g, expected a number from 0",
                                 numbers[i].name, numbers[i].value);
    return FANIN_OK;
}

fanin_status fanin__recipe_init(fanin__recipe *r, const fanin_train_options *o, uint64_t steps,
                                fanin_optimizer *optimizer, fanin_err *err) {
    *r = (fanin__recipe){.lr = fanin_optimizer_lr(optimizer),
                         .steps = steps,
                         .l1 = o->l1,
                         .l2 = o->l2,
                         .decay = o->decay,
                         .max_norm = o->max_norm,
                         .clip_value = o->clip_value,
                         .clip_norm = o->clip_norm,
                         .clip_agc = o->clip_agc,
                         .noise = o->gradient_noise,
                         .stream = fanin_stream_init(o->seed, "train/noise")};
    FANIN_TRY(check_numbers(o, err));
    FANIN_TRY(fanin__schedule_parse(o->schedule, &r->schedule, err));
    for (int i = 0; i < o->group_count; i++)
        FANIN_TRY(fanin__optimizer_group(optimizer, o->groups[i], err));
    return FANIN_OK;
}

bool fanin__recipe_needs_gradients(const fanin_train_options *o) {
    return o->l1 != 0 || o->l2 != 0 || o->decay != 0 || o->max_norm != 0 || o->clip_value != 0 ||
           o->clip_norm != 0 || o->clip_agc != 0 || o->gradient_noise != 0 || o->group_count;
}

double fanin__recipe_rate(const fanin__recipe *r, uint64_t step) {
    return r->lr * fanin__schedule_factor(&r->schedule, step, r->steps);
}

void fanin__recipe_step(const fanin__recipe *r, fanin_optimizer *o, uint64_t step) {
    fanin_optimizer_set_lr(o, fanin__recipe_rate(r, step));
    if (r->clip_value > 0) fanin__clip_value(o, r->clip_value);
    if (r->clip_norm > 0) fanin__clip_norm(o, r->clip_norm);
    if (r->clip_agc > 0) fanin__clip_agc(o, r->clip_agc);
    if (r->noise > 0) fanin__add_noise(o, &r->stream, step, r->noise);
    if (r->l1 > 0 || r->l2 > 0) fanin__add_penalties(o, r->l1, r->l2);
    if (r->decay > 0) fanin__decay(o, r->decay);
    fanin_optimizer_step(o);
    if (r->max_norm > 0) fanin__limit_norms(o, r->max_norm);
}
