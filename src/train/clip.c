/* clip.c - gradients made smaller before a step: by value, by the norm of all, by the norm of each unit. */
#include <math.h>

#include "train/recipe.h"

static float *gradient_of(const fanin_optimizer *o, const fanin__param *p) {
    return fanin_program_gradient(o->program, p->weight).data;
}

void fanin__clip_elements(size_t n, float *g, double limit) {
    float most = (float)limit;
    for (size_t k = 0; k < n; k++) /* NaN stays */
        g[k] = g[k] > most ? most : g[k] < -most ? -most : g[k];
}

void fanin__clip_value(const fanin_optimizer *o, double limit) {
    for (int i = 0; i < o->count; i++)
        fanin__clip_elements(o->params[i].count, gradient_of(o, &o->params[i]), limit);
}

/* As torch.nn.utils.clip_grad_norm_, its 1e-6 included. */
void fanin__clip_norm(const fanin_optimizer *o, double limit) {
    double squares = 0;
    for (int i = 0; i < o->count; i++) {
        const float *g = gradient_of(o, &o->params[i]);
        squares += fanin__dot(o->params[i].count, g, g);
    }
    double scale = limit / (sqrt(squares) + 1e-6);
    if (!(scale < 1)) return;
    for (int i = 0; i < o->count; i++) {
        float *g = gradient_of(o, &o->params[i]);
        fanin__scale(o->params[i].count, (float)scale, g, g);
    }
}

/* ---- units ------------------------------------------------------------------------------------------ */

/* A weight as outer x units x inner. */
typedef struct blocks {
    size_t outer, units, inner;
} blocks;

static blocks blocks_of(const fanin_program *program, const fanin__param *p) {
    fanin_buffer w = fanin_program_weight(program, p->weight);
    if (p->out_axis < 0) return (blocks){1, 1, w.count};
    blocks b = {1, (size_t)w.dims[p->out_axis], 1};
    for (int i = 0; i < w.rank; i++) {
        if (i < p->out_axis) b.outer *= (size_t)w.dims[i];
        if (i > p->out_axis) b.inner *= (size_t)w.dims[i];
    }
    return b;
}

static double unit_norm(const blocks *b, size_t unit, const float *x) {
    double squares = 0;
    for (size_t o = 0; o < b->outer; o++) {
        const float *at = x + (o * b->units + unit) * b->inner;
        for (size_t i = 0; i < b->inner; i++) squares += (double)at[i] * (double)at[i];
    }
    return sqrt(squares);
}

void fanin__scale_units(const fanin_optimizer *o, const fanin__param *p, bool gradient,
                        fanin__unit_scale *scale, void *ctx) {
    blocks b = blocks_of(o->program, p);
    float *w = fanin_program_weight(o->program, p->weight).data, *g = gradient_of(o, p);
    for (size_t u = 0; u < b.units; u++) {
        double by = scale(ctx, unit_norm(&b, u, w), gradient ? unit_norm(&b, u, g) : 0);
        if (by == 1) continue;
        for (size_t k = 0; k < b.outer; k++) {
            float *at = (gradient ? g : w) + (k * b.units + u) * b.inner;
            for (size_t i = 0; i < b.inner; i++) at[i] = (float)(by * (double)at[i]);
        }
    }
}

/* Brock et al. 2021, equation 3: |g_u| <= lambda max(|w_u|, 1e-3). */
static double agc(void *ctx, double weight_norm, double gradient_norm) {
    double most = *(const double *)ctx * fmax(weight_norm, 1e-3);
    return gradient_norm > most ? most / gradient_norm : 1;
}

void fanin__clip_agc(const fanin_optimizer *o, double lambda) {
    for (int i = 0; i < o->count; i++)
        if (!o->params[i].output) fanin__scale_units(o, &o->params[i], true, agc, &lambda);
}
