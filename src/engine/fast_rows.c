/* fast_rows.c - softmax, cross entropy and batch norm on compute's kernels. */
#include <math.h>
#include <string.h>

#include "engine/fast.h"

#define UNUSED \
    (void)scratch; \
    (void)err

static size_t columns_of(const fanin__tensor *t) {
    return t->rank ? (size_t)t->dims[t->rank - 1] : 1;
}

static fanin_status run_softmax(fanin__step *s, void *scratch, fanin_err *err) {
    UNUSED;
    size_t columns = columns_of(&s->out);
    fanin__softmax(s->node->count / columns, columns, s->in[0].data, s->out.data);
    return FANIN_OK;
}

static fanin_status run_softmax_grad(fanin__step *s, void *scratch, fanin_err *err) {
    UNUSED;
    size_t columns = columns_of(&s->out);
    fanin__softmax_backward(s->node->count / columns, columns, s->in[0].data, s->in[1].data,
                            s->out.data);
    return FANIN_OK;
}

/* ---- cross entropy ---------------------------------------------------------------------- */

enum { CHUNK = 2048, ROW_WORK = 1 << 14 };

static void xent_rows(void *arg, size_t begin, size_t end) {
    const fanin__step *s = arg;
    const fanin__kernels *k = fanin__kernels_best();
    size_t classes = (size_t)s->in[0].dims[1];
    const int64_t *target = s->in[1].data;
    for (size_t r = begin; r < end; r++) {
        const float *x = (const float *)s->in[0].data + r * classes;
        float part[CHUNK], shift = k->max(classes, x), *o = (float *)s->out.data + 2 * r;
        double sum = 0;
        for (size_t at = 0; at < classes; at += CHUNK)
            sum += k->exp_sum(classes - at < CHUNK ? classes - at : CHUNK, x + at, shift, part);
        double lse = log(sum);
        bool valid = target[r] >= 0 && (size_t)target[r] < classes;
        o[0] = valid ? (float)(lse - ((double)x[target[r]] - (double)shift)) : NAN;
        o[1] = (float)((double)shift + lse);
    }
}

static void xent_grad_rows(void *arg, size_t begin, size_t end) {
    const fanin__step *s = arg;
    const fanin__kernels *k = fanin__kernels_best();
    size_t classes = (size_t)s->in[0].dims[1];
    const float *stats = s->in[1].data, *g = s->in[3].data;
    const int64_t *target = s->in[2].data;
    for (size_t r = begin; r < end; r++) {
        float *o = (float *)s->out.data + r * classes;
        k->exp_sum(classes, (const float *)s->in[0].data + r * classes, stats[2 * r + 1], o);
        k->binary[FANIN__BINARY_MUL][FANIN__FORM_VS](classes, o, g + r, o);
        if (target[r] >= 0 && (size_t)target[r] < classes) o[target[r]] -= g[r];
    }
}

static fanin_status by_rows(fanin__step *s, fanin_range_fn body) {
    size_t rows = (size_t)s->in[0].dims[0], classes = (size_t)s->in[0].dims[1];
    fanin_parallel_for(rows, ROW_WORK / (classes + 1) + 1, body, s);
    return FANIN_OK;
}

static fanin_status run_xent(fanin__step *s, void *scratch, fanin_err *err) {
    UNUSED;
    return by_rows(s, xent_rows);
}

static fanin_status run_xent_grad(fanin__step *s, void *scratch, fanin_err *err) {
    UNUSED;
    return by_rows(s, xent_grad_rows);
}

/* ---- batch norm ------------------------------------------------------------------------- */

typedef struct channels {
    size_t N, C, S;
} channels;

static channels channels_of(const fanin__tensor *x) {
    channels c = {(size_t)x->dims[0], (size_t)x->dims[1], 1};
    for (int i = 2; i < x->rank; i++) c.S *= (size_t)x->dims[i];
    return c;
}

/* N * S rows of C channels? */
static bool by_columns(const fanin__tensor *x) { return fanin__tensor_only_last(x); }

size_t fanin__fast_rows_scratch(const fanin__step *s) {
    channels k;
    switch (s->node->op) {
    case FANIN__NORM_STATS:
    case FANIN__NORM_SUMS:
        k = channels_of(&s->in[0]);
        return by_columns(&s->in[0]) ? fanin__column_work(k.N * k.S, k.C) * sizeof(double) : 0;
    case FANIN__NORM_APPLY: /* factor and shift of each channel */
    case FANIN__NORM_GRAD: return 3 * (size_t)s->node->dims[1] * sizeof(float);
    default: return 0;
    }
}

static size_t channel_grain(const channels *k) { return ROW_WORK / (k->N * k->S + 1) + 1; }

static fanin_status run_stats(fanin__step *s, void *scratch, fanin_err *err) {
    (void)err;
    channels k = channels_of(&s->in[0]);
    float *mean = s->out.data, *rstd = mean + k.C, *var = rstd + k.C;
    if (by_columns(&s->in[0]))
        fanin__column_moments(k.N * k.S, k.C, s->in[0].data, scratch, mean, var);
    else
        fanin__moments_channels(k.N, k.C, k.S, s->in[0].data, mean, var);
    for (size_t c = 0; c < k.C; c++)
        rstd[c] = (float)(1 / sqrt((double)var[c] + s->node->attr.p[0]));
    return FANIN_OK;
}

/* x * factor + shift; both one row of channels long and made here. */
static fanin_status run_apply(fanin__step *s, void *scratch, fanin_err *err) {
    (void)err;
    channels k = channels_of(&s->out);
    const float *stats = s->in[1].data, *scale = s->in[2].data, *bias = s->in[3].data;
    float *factor = scratch, *shift = factor + k.C;
    for (size_t c = 0; c < k.C; c++) factor[c] = stats[k.C + c] * scale[c];
    if (by_columns(&s->out)) {
        fanin__column_affine(k.N * k.S, k.C, s->in[0].data, stats, factor, bias, s->rectify,
                             s->out.data);
        return FANIN_OK;
    }
    for (size_t c = 0; c < k.C; c++) shift[c] = bias[c] - stats[c] * factor[c];
    fanin__affine_channels(k.N, k.C, k.S, s->in[0].data, factor, shift, s->out.data);
    return FANIN_OK;
}

static void sums_channels(void *arg, size_t begin, size_t end) {
    const fanin__step *s = arg;
    const fanin__kernels *kernels = fanin__kernels_best();
    channels k = channels_of(&s->in[0]);
    const float *stats = s->in[1].data;
    float *o = s->out.data;
    for (size_t c = begin; c < end; c++) {
        double sum = 0, dot = 0, pair[2];
        for (size_t n = 0; n < k.N; n++) {
            const float *x = (const float *)s->in[0].data + (n * k.C + c) * k.S;
            const float *g = (const float *)s->in[2].data + (n * k.C + c) * k.S;
            kernels->moments(k.S, g, 0, pair);
            sum += pair[0];
            dot += kernels->dot(k.S, g, x);
        }
        o[c] = (float)sum;
        o[k.C + c] = (float)((dot - (double)stats[c] * sum) * (double)stats[k.C + c]);
    }
}

static fanin_status run_sums(fanin__step *s, void *scratch, fanin_err *err) {
    (void)err;
    channels k = channels_of(&s->in[0]);
    if (by_columns(&s->in[0])) {
        const float *stats = s->in[1].data;
        float *o = s->out.data;
        double *sum, *product;
        fanin__column_products(k.N * k.S, k.C, s->in[0].data, s->in[2].data, stats, scratch, &sum,
                               &product);
        for (size_t c = 0; c < k.C; c++) {
            o[c] = (float)sum[c];
            o[k.C + c] = (float)(product[c] * (double)stats[k.C + c]);
        }
        return FANIN_OK;
    }
    fanin_parallel_for(k.C, channel_grain(&k), sums_channels, s);
    return FANIN_OK;
}

/* The gradient is factor g + (slope (x - mean) + offset); the three of channel c. */
static void grad_constants(const fanin__step *s, const channels *k, size_t c, double v[3]) {
    const float *stats = s->in[1].data, *scale = s->in[2].data, *sums = s->in[3].data;
    double count = (double)(k->N * k->S), rstd = (double)stats[k->C + c];
    v[0] = (double)scale[c] * rstd;
    v[1] = -v[0] * ((double)sums[k->C + c] / count * rstd);
    v[2] = -v[0] * ((double)sums[c] / count);
}

static void grad_channels(void *arg, size_t begin, size_t end) {
    const fanin__step *s = arg;
    channels k = channels_of(&s->out);
    for (size_t c = begin; c < end; c++) {
        double v[3];
        grad_constants(s, &k, c, v);
        const float factor = (float)v[0], slope = (float)v[1];
        const float offset = (float)(v[2] - v[1] * (double)((const float *)s->in[1].data)[c]);
        for (size_t n = 0; n < k.N; n++) {
            const float *x = (const float *)s->in[0].data + (n * k.C + c) * k.S;
            const float *g = (const float *)s->in[4].data + (n * k.C + c) * k.S;
            float *o = (float *)s->out.data + (n * k.C + c) * k.S;
            for (size_t i = 0; i < k.S; i++) o[i] = factor * g[i] + (slope * x[i] + offset);
        }
    }
}

static fanin_status run_grad(fanin__step *s, void *scratch, fanin_err *err) {
    (void)err;
    channels k = channels_of(&s->out);
    if (!by_columns(&s->out)) {
        fanin_parallel_for(k.C, channel_grain(&k), grad_channels, s);
        return FANIN_OK;
    }
    float *factor = scratch, *slope = factor + k.C, *offset = slope + k.C;
    for (size_t c = 0; c < k.C; c++) {
        double v[3];
        grad_constants(s, &k, c, v);
        factor[c] = (float)v[0];
        slope[c] = (float)v[1];
        offset[c] = (float)v[2];
    }
    fanin__column_blend(k.N * k.S, k.C, s->in[4].data, factor, s->in[0].data, s->in[1].data, slope,
                        offset, s->out.data);
    return FANIN_OK;
}

fanin__fast_fn fanin__fast_rows(const fanin__step *s) {
    switch (s->node->op) {
    case FANIN__SOFTMAX: return run_softmax;
    case FANIN__SOFTMAX_GRAD: return run_softmax_grad;
    case FANIN__XENT: return run_xent;
    case FANIN__XENT_GRAD: return run_xent_grad;
    case FANIN__NORM_STATS: return run_stats;
    case FANIN__NORM_APPLY: return run_apply;
    case FANIN__NORM_SUMS: return run_sums;
    case FANIN__NORM_GRAD: return run_grad;
    default: return NULL;
    }
}
