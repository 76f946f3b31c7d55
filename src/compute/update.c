/* update.c - one optimiser step over an array. Formulas and order of operations as torch 1.13's
 * torch/optim (_single_tensor_*): constants of a step are computed in double, then rounded. */
#include <math.h>

#include "compute/compute.h"

enum { GRAIN = 16384 };

typedef struct job {
    void (*run)(size_t n, const fanin__update_scalars *s, const float *g, float *w, float *s0,
                float *s1, float *s2);
    fanin__update_scalars scalars;
    const float *g;
    float *w, *s0, *s1, *s2;
} job;

static fanin__update_scalars scalars_of(fanin__update_kind kind, const fanin__update_args *a) {
    double beta2 = kind == FANIN__UPDATE_RMSPROP ? a->alpha : a->beta2;
    double lr = a->lr, decay = a->weight_decay, shrink = 1, t = (double)a->step;
    if (kind == FANIN__UPDATE_ADAMW) {
        shrink = 1 - lr * decay;
        decay = 0;
    }
    if (kind == FANIN__UPDATE_ADAGRAD) lr = lr / (1 + (t - 1) * a->lr_decay);
    fanin__update_scalars s = {
        .lr = (float)lr,
        .decay = (float)decay,
        .momentum = (float)a->momentum,
        .one_minus_dampening = (float)(a->step <= 1 ? 1 : 1 - a->dampening),
        .beta1 = (float)a->beta1,
        .beta2 = (float)beta2,
        .one_minus_beta1 = (float)(1 - a->beta1),
        .one_minus_beta2 = (float)(1 - beta2),
        .shrink = (float)shrink,
        .eps = (float)a->eps,
        .nesterov = a->nesterov,
        .centered = a->centered,
    };
    if (kind == FANIN__UPDATE_ADAM || kind == FANIN__UPDATE_ADAMW) {
        s.step_size = (float)(lr / (1 - pow(a->beta1, t)));
        s.inverse_sqrt_correction2 = (float)(1 / sqrt(1 - pow(beta2, t)));
    }
    return s;
}

static float *at(float *p, size_t i) { return p ? p + i : NULL; }

static void range(void *arg, size_t begin, size_t end) {
    const job *j = arg;
    j->run(end - begin, &j->scalars, j->g + begin, j->w + begin, at(j->s0, begin), at(j->s1, begin),
           at(j->s2, begin));
}

void fanin__update(fanin__update_kind kind, const fanin__update_args *args, size_t n,
                   const float *g, float *w, float *s0, float *s1, float *s2) {
    job j = {fanin__kernels_best()->update[kind], scalars_of(kind, args), g, w, s0, s1, s2};
    if (n <= GRAIN)
        range(&j, 0, n);
    else
        fanin_parallel_for(n, GRAIN / 2, range, &j);
}
