/* fast_loops.c - elementwise steps and sums on compute's kernels. */
#include <string.h>

#include "activation/activation.h"
#include "engine/fast.h"
#include "operator/function.h"
#include "operator/loop.h"

#define UNUSED \
    (void)scratch; \
    (void)err

/* Long enough to be worth a second thread. */
enum { GRAIN = 1 << 15 };

/* ---- two operands ----------------------------------------------------------------------- */

static int binary_op(int kind) {
    switch (kind) {
    case FANIN__ADD: return FANIN__BINARY_ADD;
    case FANIN__SUB: return FANIN__BINARY_SUB;
    case FANIN__MUL: return FANIN__BINARY_MUL;
    case FANIN__DIV: return FANIN__BINARY_DIV;
    case FANIN__MIN: return FANIN__BINARY_MIN;
    case FANIN__MAX: return FANIN__BINARY_MAX;
    default: return -1;
    }
}

static fanin_status run_binary(fanin__step *s, void *scratch, fanin_err *err) {
    UNUSED;
    fanin__binary((fanin__binary_op)binary_op(s->node->attr.kind), s->out.rank, s->out.dims,
                  s->in[0].data, s->in[0].strides, s->in[1].data, s->in[1].strides, s->out.data);
    return FANIN_OK;
}

/* ---- one operand ------------------------------------------------------------------------ */

static const double no_parameters[2];

/* Rows of the activation table that are functions of ours, 0: none. */
static int activation_of(int function) {
    switch (function) {
    case FANIN__FN_TANH: return FANIN_ACT_TANH;
    case FANIN__FN_SIGMOID: return FANIN_ACT_SIGMOID;
    case FANIN__FN_RELU: return FANIN_ACT_RELU;
    case FANIN__FN_ERF: return FANIN_ACT_ERF;
    default: return 0;
    }
}

static int unary_op(int function) {
    switch (function) {
    case FANIN__FN_NEG: return FANIN__UNARY_NEG;
    case FANIN__FN_ABS: return FANIN__UNARY_ABS;
    case FANIN__FN_SQRT: return FANIN__UNARY_SQRT;
    case FANIN__FN_RECIPROCAL: return FANIN__UNARY_RECIPROCAL;
    case FANIN__FN_SQUARE: return FANIN__UNARY_SQUARE;
    case FANIN__FN_SIGN: return FANIN__UNARY_SIGN;
    case FANIN__FN_EXP: return FANIN__UNARY_EXP;
    case FANIN__FN_LOG: return FANIN__UNARY_LOG;
    case FANIN__FN_BF16: return FANIN__UNARY_BF16;
    default: return -1;
    }
}

/* Powers that need no logarithm; false: another exponent. y may be x. */
static bool power(double exponent, size_t n, const float *x, float *y) {
    const fanin__kernels *k = fanin__kernels_best();
    if (exponent == 3)
        for (size_t i = 0; i < n; i++) y[i] = x[i] * x[i] * x[i];
    else if (exponent == 2)
        k->unary[FANIN__UNARY_SQUARE](n, x, y);
    else if (exponent == -1)
        k->unary[FANIN__UNARY_RECIPROCAL](n, x, y);
    else
        return false;
    return true;
}

/* f over n packed elements; y may be x. */
static void apply(const fanin__op_attr *attr, size_t n, const float *x, float *y) {
    int act = activation_of(attr->kind), unary = unary_op(attr->kind);
    const fanin__kernels *k = fanin__kernels_best();
    static const float zero = 0;
    if (attr->kind == FANIN__FN_STEP) {
        k->binary[FANIN__BINARY_GREATER][FANIN__FORM_VS](n, x, &zero, y);
    } else if (attr->kind == FANIN__FN_ERF_SLOPE) {
        for (size_t i = 0; i < n; i++) y[i] = -x[i] * x[i];
        k->unary[FANIN__UNARY_EXP](n, y, y);
        for (size_t i = 0; i < n; i++) y[i] *= 1.1283791671f; /* 2/sqrt(pi) */
    } else if (attr->kind == FANIN__FN_POWER && power(attr->p[0], n, x, y)) {
        return;
    } else if (act)
        fanin__act_eval_f32(act, no_parameters, 0, x, y, n);
    else if (unary >= 0)
        k->unary[unary](n, x, y);
    else
        fanin__function_f32(attr, x, y, n);
}

static void map_range(void *arg, size_t begin, size_t end) {
    const fanin__step *s = arg;
    apply(&s->node->attr, end - begin, (const float *)s->in[0].data + begin,
          (float *)s->out.data + begin);
}

static fanin_status run_map(fanin__step *s, void *scratch, fanin_err *err) {
    UNUSED;
    fanin_parallel_for(s->node->count, GRAIN, map_range, s);
    return FANIN_OK;
}

/* g * f(x): the frequent slopes as one loop, the others block by block. */
static void mapmul_range(void *arg, size_t begin, size_t end) {
    enum { BLOCK = 512 };
    const fanin__step *s = arg;
    const fanin__kernels *k = fanin__kernels_best();
    const fanin__op_attr *attr = &s->node->attr;
    const float *g = s->in[0].data, *x = s->in[1].data;
    float *o = s->out.data, p0 = (float)attr->p[0], p1 = (float)attr->p[1];
    switch (attr->kind) {
    case FANIN__FN_TANH_SLOPE:
        for (size_t i = begin; i < end; i++) o[i] = g[i] * (1 - x[i] * x[i]);
        return;
    case FANIN__FN_SIGMOID_SLOPE:
        for (size_t i = begin; i < end; i++) o[i] = g[i] * (x[i] * (1 - x[i]));
        return;
    case FANIN__FN_SCALE:
        for (size_t i = begin; i < end; i++) o[i] = g[i] * (p0 * x[i] + p1);
        return;
    default: break;
    }
    for (size_t at = begin; at < end; at += BLOCK) {
        float slope[BLOCK];
        size_t n = end - at < BLOCK ? end - at : BLOCK;
        apply(attr, n, x + at, slope);
        k->binary[FANIN__BINARY_MUL][FANIN__FORM_VV](n, g + at, slope, o + at);
    }
}

static fanin_status run_mapmul(fanin__step *s, void *scratch, fanin_err *err) {
    UNUSED;
    fanin_parallel_for(s->node->count, GRAIN, mapmul_range, s);
    return FANIN_OK;
}

/* ---- sums ------------------------------------------------------------------------------- */

/* Kept and reduced axes of a packed operand, merged: lengths from the outermost in, alternating. */
typedef struct folded {
    int count;
    bool first_reduced;
    size_t length[FANIN_MAX_RANK];
} folded;

static folded fold_axes(const fanin__step *s) {
    folded f = {0};
    bool last = false;
    for (int i = 0; i < s->in[0].rank; i++) {
        bool reduced = (s->node->attr.mask >> i & 1) != 0;
        size_t size = (size_t)s->in[0].dims[i];
        if (size == 1) continue;
        if (f.count > 0 && reduced == last) {
            f.length[f.count - 1] *= size;
            continue;
        }
        if (f.count == 0) f.first_reduced = reduced;
        last = reduced;
        f.length[f.count++] = size;
    }
    return f;
}

static fanin_status run_sum(fanin__step *s, void *scratch, fanin_err *err) {
    UNUSED;
    folded f = fold_axes(s);
    const float *x = s->in[0].data;
    float *o = s->out.data;
    if (f.count == 1)
        o[0] = (float)fanin__sum(f.length[0], x);
    else if (f.count == 2 && f.first_reduced)
        fanin__sum_rows(f.length[0], f.length[1], x, false, o);
    else if (f.count == 2)
        fanin__sum_columns(f.length[0], f.length[1], x, false, o);
    else if (!f.first_reduced)
        for (size_t i = 0; i < f.length[0]; i++)
            fanin__sum_rows(f.length[1], f.length[2], x + i * f.length[1] * f.length[2], false,
                            o + i * f.length[2]);
    else
        fanin__sum_channels(f.length[0], f.length[1], f.length[2], x, false, o);
    return FANIN_OK;
}

static bool sum_fits(const fanin__step *s) {
    folded f = fold_axes(s);
    return s->node->attr.kind == FANIN__SUM && fanin__tensor_is_packed(&s->in[0]) &&
           (f.count == 2 || f.count == 3 || (f.count == 1 && f.first_reduced));
}

/* ---- maxima of windows of 2 x 2 side by side ---------------------------------------------------- */

bool fanin__quads_fit(const fanin__step *s) {
    const fanin__op_window *w = &s->node->attr.window;
    const fanin__tensor *x = &s->in[0];
    bool fit = w->rank == 2 && x->rank > 2;
    for (int i = 0; i < 2 && fit; i++)
        fit = w->kernel[i] == 2 && w->stride[i] == 2 && w->dilation[i] == 1 && w->before[i] == 0 &&
              w->after[i] == 0;
    for (int i = 0; i < s->in_count; i++) fit = fit && fanin__tensor_is_packed(&s->in[i]);
    return fit && fanin__tensor_is_packed(&s->out);
}

static fanin_status run_quads(fanin__step *s, void *scratch, fanin_err *err) {
    UNUSED;
    const fanin__tensor *x = &s->in[0];
    size_t planes = 1, h = (size_t)x->dims[x->rank - 2], w = (size_t)x->dims[x->rank - 1];
    for (int i = 0; i < x->rank - 2; i++) planes *= (size_t)x->dims[i];
    if (s->node->op == FANIN__MAXPOOL)
        fanin__max_quads(planes, h, w, x->data, s->out.data);
    else
        fanin__max_quads_backward(planes, h, w, x->data, s->in[1].data, s->out.data);
    return FANIN_OK;
}

fanin__fast_fn fanin__fast_loop(const fanin__step *s) {
    bool packed = true;
    for (int i = 0; i < s->in_count; i++) packed = packed && fanin__tensor_is_packed(&s->in[i]);
    switch (s->node->op) {
    case FANIN__BINARY: return binary_op(s->node->attr.kind) >= 0 ? run_binary : NULL;
    case FANIN__MAP: return packed ? run_map : NULL;
    case FANIN__MAPMUL: return packed ? run_mapmul : NULL;
    case FANIN__REDUCE: return sum_fits(s) ? run_sum : NULL;
    case FANIN__MAXPOOL:
    case FANIN__MAXPOOL_SCATTER: return fanin__quads_fit(s) ? run_quads : NULL;
    default: return NULL;
    }
}
