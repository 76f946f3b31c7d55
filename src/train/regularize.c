/* regularize.c - noise, penalties and limits on weights. Penalties and decay are for weights in the sense of
 * schemes: biases, norms and slopes are left alone. */
#include <math.h>

#include "base/base.h"
#include "train/recipe.h"

static bool is_weight(const fanin__param *p) {
    return fanin_class_is_weight(p->cls) || (p->cls == FANIN_CLASS_OTHER && p->rank > 1);
}

static float *values_of(const fanin_optimizer *o, const fanin__param *p) {
    return fanin_program_weight(o->program, p->weight).data;
}

static float *gradient_of(const fanin_optimizer *o, const fanin__param *p) {
    return fanin_program_gradient(o->program, p->weight).data;
}

/* Neelakantan et al. 2015: variance eta / (1 + t)^0.55. A plane of the stream a step, the weights one behind
 * the other in it. */
void fanin__add_noise(const fanin_optimizer *o, const fanin_stream *s, uint64_t step, double eta) {
    const fanin_law law = {.kind = FANIN_LAW_NORMAL, .b = sqrt(eta / pow(1 + (double)step, 0.55))};
    uint64_t first = 0;
    for (int i = 0; i < o->count; i++) {
        float *g = gradient_of(o, &o->params[i]), noise[1024];
        for (size_t at = 0; at < o->params[i].count; at += FANIN_COUNT(noise)) {
            size_t left = o->params[i].count - at;
            size_t n = left < FANIN_COUNT(noise) ? left : FANIN_COUNT(noise);
            (void)fanin_random_fill(s, (uint32_t)step, &law, first + at, n, FANIN_F32,
                                    noise); /* the law is valid */
            fanin__add(n, g + at, noise, g + at);
        }
        first += o->params[i].count;
    }
}

/* Of l1 sum |w| + l2/2 sum w^2; the slope of |w| at 0 is 0. */
void fanin__penalise(const fanin__param *p, const float *w, float *g, double l1, double l2) {
    if (!is_weight(p) || p->decay == 0) return;
    float a = (float)(l1 * p->decay), b = (float)(l2 * p->decay);
    for (size_t k = 0; k < p->count; k++) g[k] += a * (float)((w[k] > 0) - (w[k] < 0)) + b * w[k];
}

void fanin__add_penalties(const fanin_optimizer *o, double l1, double l2) {
    for (int i = 0; i < o->count; i++)
        fanin__penalise(&o->params[i], values_of(o, &o->params[i]), gradient_of(o, &o->params[i]),
                        l1, l2);
}

void fanin__shrink(const fanin_optimizer *o, const fanin__param *p, float *w, double decay) {
    if (is_weight(p))
        fanin__scale(p->count, (float)(1 - o->set.lr * p->lr * decay * p->decay), w, w);
}

void fanin__decay(const fanin_optimizer *o, double decay) {
    for (int i = 0; i < o->count; i++)
        fanin__shrink(o, &o->params[i], values_of(o, &o->params[i]), decay);
}

/* Srivastava et al. 2014, section 5.1: the weights into a unit have at most this norm. */
static double within(void *ctx, double weight_norm, double gradient_norm) {
    (void)gradient_norm;
    double most = *(const double *)ctx;
    return weight_norm > most ? most / weight_norm : 1;
}

void fanin__limit_norms(const fanin_optimizer *o, double limit) {
    for (int i = 0; i < o->count; i++)
        if (is_weight(&o->params[i])) fanin__scale_units(o, &o->params[i], false, within, &limit);
}
