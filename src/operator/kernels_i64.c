/* kernels_i64.c - reference kernels for integers: indices, targets, shape arithmetic. */
#include <string.h>

#include "operator/function.h"
#include "operator/kernels_int.h"
#include "operator/loop.h"
#include "operator/primitive.h"

/* -fwrapv is not assumed: sums and products below go through unsigned numbers. */
#define T               int64_t
#define ACC             int64_t
#define NAME(x)         fanin__ref_##x##_i64
#define LOWEST          INT64_MIN
#define HIGHEST         INT64_MAX
#define NOTHING         0
#define IS_NAN(v)       0
#define PLUS(a, b)      ((int64_t)((uint64_t)(a) + (uint64_t)(b)))
#define MINUS(a, b)     ((int64_t)((uint64_t)(a) - (uint64_t)(b)))
#define TIMES(a, b)     ((int64_t)((uint64_t)(a) * (uint64_t)(b)))
#define DIVIDE(a, b)    int_div(a, b)
#define POWER(a, b)     int_pow(a, b)
#define MODULO(a, b)    int_mod(a, b)
#define REMAINDER(a, b) int_rem(a, b)
#include "operator/kernels_any.inc"

void fanin__ref_map_i64(const fanin__node *node, const fanin__tensor *in, int in_count,
                        const fanin__tensor *out) {
    (void)in_count;
    fanin__loop l;
    if (!fanin__loop_begin(&l, 2, (const fanin__tensor *[]){out, &in[0]})) return;
    do {
        int64_t *o = (int64_t *)out->data + l.at[0];
        const int64_t *x = (const int64_t *)in[0].data + l.at[1];
        for (int64_t i = 0; i < l.size; i++) {
            int64_t v = x[i * l.step[1]];
            int64_t minus = (int64_t)(0 - (uint64_t)v);
            switch (node->attr.kind) {
            case FANIN__FN_NEG: o[i] = minus; break;
            case FANIN__FN_ABS: o[i] = v < 0 ? minus : v; break;
            case FANIN__FN_SIGN: o[i] = (v > 0) - (v < 0); break;
            case FANIN__FN_SQUARE: o[i] = (int64_t)((uint64_t)v * (uint64_t)v); break;
            case FANIN__FN_RELU: o[i] = v > 0 ? v : 0; break;
            default: o[i] = v; break;
            }
        }
    } while (fanin__loop_next(&l));
}

/* ---- between types ---------------------------------------------------------------------- */

static double as_double(const fanin__tensor *t, int64_t at) {
    switch (t->dtype) {
    case FANIN_F32: return (double)((const float *)t->data)[at];
    case FANIN_F64: return ((const double *)t->data)[at];
    case FANIN_I64: return (double)((const int64_t *)t->data)[at];
    default: return (double)((const unsigned char *)t->data)[at];
    }
}

void fanin__ref_cast_any(const fanin__node *node, const fanin__tensor *in, int in_count,
                         const fanin__tensor *out) {
    (void)in_count;
    fanin__loop l;
    if (!fanin__loop_begin(&l, 2, (const fanin__tensor *[]){out, &in[0]})) return;
    do {
        for (int64_t i = 0; i < l.size; i++) {
            double v = as_double(&in[0], l.at[1] + i * l.step[1]);
            int64_t at = l.at[0] + i;
            switch (node->dtype) {
            case FANIN_F32: ((float *)out->data)[at] = (float)v; break;
            case FANIN_F64: ((double *)out->data)[at] = v; break;
            case FANIN_I64: ((int64_t *)out->data)[at] = int_of(v); break;
            default: ((unsigned char *)out->data)[at] = v != 0; break;
            }
        }
    } while (fanin__loop_next(&l));
}
