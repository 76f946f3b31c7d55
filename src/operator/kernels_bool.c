/* kernels_bool.c - reference kernels for truth values, one byte each. */
#include <string.h>

#include "operator/function.h"
#include "operator/kernels_int.h"
#include "operator/loop.h"
#include "operator/primitive.h"

#define T               unsigned char
#define ACC             int
#define NAME(x)         fanin__ref_##x##_bool
#define LOWEST          0
#define HIGHEST         1
#define NOTHING         0
#define IS_NAN(v)       0
#define PLUS(a, b)      ((a) + (b))
#define MINUS(a, b)     ((a) - (b))
#define TIMES(a, b)     ((a) * (b))
#define DIVIDE(a, b)    int_div(a, b)
#define POWER(a, b)     int_pow(a, b)
#define MODULO(a, b)    int_mod(a, b)
#define REMAINDER(a, b) int_rem(a, b)
#include "operator/kernels_any.inc"

void fanin__ref_map_bool(const fanin__node *node, const fanin__tensor *in, int in_count,
                         const fanin__tensor *out) {
    (void)in_count;
    fanin__loop l;
    if (!fanin__loop_begin(&l, 2, (const fanin__tensor *[]){out, &in[0]})) return;
    do {
        unsigned char *o = (unsigned char *)out->data + l.at[0];
        const unsigned char *x = (const unsigned char *)in[0].data + l.at[1];
        for (int64_t i = 0; i < l.size; i++) {
            unsigned char v = x[i * l.step[1]];
            o[i] = node->attr.kind == FANIN__FN_NOT ? !v : v;
        }
    } while (fanin__loop_next(&l));
}
