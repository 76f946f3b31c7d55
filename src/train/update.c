/* update.c - steps that torch has no kernel for: Lion, LARS, LAMB, diagonal Levenberg-Marquardt.
 * Arithmetic in float, norms and constants of a step in double. */
#include <math.h>

#include "train/optimizer.h"

void fanin__update_lion(const fanin_optimizer *o, const fanin__param *p, float *w, const float *g) {
    const fanin__settings *s = &o->set;
    float lr = (float)(s->lr * p->lr), decay = (float)(s->weight_decay * p->decay);
    float b1 = (float)s->beta1, c1 = (float)(1 - s->beta1);
    float b2 = (float)s->beta2, c2 = (float)(1 - s->beta2), *m = p->slots[0];
    for (size_t i = 0; i < p->count; i++) {
        float u = b1 * m[i] + c1 * g[i];
        float sign = (float)((u > 0) - (u < 0));
        w[i] -= lr * (sign + decay * w[i]);
        m[i] = b2 * m[i] + c2 * g[i];
    }
}

static double norm(size_t n, const float *x) { return sqrt(fanin__dot(n, x, x)); }

/* Biases and norms step as plain momentum: their norms say nothing about a scale. */
void fanin__update_lars(const fanin_optimizer *o, const fanin__param *p, float *w, const float *g) {
    const fanin__settings *s = &o->set;
    double decay = s->weight_decay * p->decay, ratio = 1;
    if (p->rank > 1) {
        double size = norm(p->count, w), slope = norm(p->count, g);
        if (size > 0 && slope > 0) ratio = s->trust * size / (slope + decay * size);
    }
    float step = (float)(s->lr * p->lr * ratio), mu = (float)s->mu, d = (float)decay,
          *v = p->slots[0];
    for (size_t i = 0; i < p->count; i++) {
        v[i] = mu * v[i] + step * (g[i] + d * w[i]);
        w[i] -= v[i];
    }
}

/* The direction is made twice rather than kept: no third array. */
static float lamb_direction(float m, float v, float w, float c1, float c2, float eps, float decay) {
    return m * c1 / (sqrtf(v * c2) + eps) + decay * w;
}

void fanin__update_lamb(const fanin_optimizer *o, const fanin__param *p, float *w, const float *g) {
    const fanin__settings *s = &o->set;
    double t = (double)o->steps, squares = 0;
    float b1 = (float)s->beta1, d1 = (float)(1 - s->beta1), b2 = (float)s->beta2,
          d2 = (float)(1 - s->beta2), eps = (float)s->eps,
          decay = (float)(s->weight_decay * p->decay);
    float c1 = (float)(1 / (1 - pow(s->beta1, t))), c2 = (float)(1 / (1 - pow(s->beta2, t)));
    float *m = p->slots[0], *v = p->slots[1];
    for (size_t i = 0; i < p->count; i++) {
        m[i] = b1 * m[i] + d1 * g[i];
        v[i] = b2 * v[i] + d2 * g[i] * g[i];
        float r = lamb_direction(m[i], v[i], w[i], c1, c2, eps, decay);
        squares += (double)r * (double)r;
    }
    double size = norm(p->count, w);
    double trust = size > 0 && squares > 0 ? size / sqrt(squares) : 1;
    float step = (float)(s->lr * p->lr * trust);
    for (size_t i = 0; i < p->count; i++)
        w[i] -= step * lamb_direction(m[i], v[i], w[i], c1, c2, eps, decay);
}

/* ---- stochastic diagonal Levenberg-Marquardt ------------------------------------------------------- */

void fanin__optimizer_seed(fanin_optimizer *o, uint64_t seed) {
    o->probe = fanin_stream_init(seed, "train/curvature");
}

/* z of this step: a plane a step, elements of all weights one behind the other. */
void fanin__optimizer_prepare(fanin_optimizer *o) {
    if (!o->row->curvature) return;
    const fanin_law sign = {.kind = FANIN_LAW_RADEMACHER, .a = 1};
    uint64_t first = 0;
    for (int i = 0; i < o->count; i++) {
        const fanin__param *p = &o->params[i];
        fanin_buffer z = fanin_program_direction(o->program, p->weight);
        (void)fanin_random_fill(&o->probe, (uint32_t)o->steps, &sign, first, z.count, FANIN_F32,
                                z.data); /* the law is valid */
        first += z.count;
    }
}

/* The diagonal of the Gauss-Newton matrix, or E z (Hz), that of H, whose negative curvature is taken by its size, as
 * saddle-free methods do: a step along it is as long as along positive curvature of that size. The running mean is
 * corrected for its start. */
void fanin__update_levenberg(const fanin_optimizer *o, const fanin__param *p, float *w,
                             const float *g) {
    const fanin__settings *s = &o->set;
    const float *z = fanin_program_direction(o->program, p->weight).data,
                *hz = fanin_program_curvature(o->program, p->weight).data;
    float *h = p->slots[0], keep = (float)(1 - s->leak), leak = (float)s->leak;
    float correct = (float)(s->leak > 0 ? 1 / (1 - pow(1 - s->leak, (double)o->steps)) : 1);
    float lr = (float)(s->lr * p->lr), damping = (float)s->damping;
    for (size_t i = 0; i < p->count; i++) {
        h[i] = keep * h[i] + leak * (z ? z[i] * hz[i] : hz[i]);
        w[i] -= lr * g[i] / (fabsf(h[i] * correct) + damping);
    }
}
