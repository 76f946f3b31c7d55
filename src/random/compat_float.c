/* compat_float.c - rounding to bf16 and f16 in between, for the old half-precision streams. */
#include <math.h>
#include <string.h>

#include "random/compat.h"

float fanin__round_bf16(float v) {
    uint32_t b;
    memcpy(&b, &v, sizeof b);
    if (isnan(v)) return v;
    b = (b + 0x7fffu + ((b >> 16) & 1u)) & 0xffff0000u;
    memcpy(&v, &b, sizeof v);
    return v;
}

float fanin__round_f16(float v) {
    if (isnan(v)) return v;
    if (fabsf(v) < 0x1p-14f) { /* subnormal: whole multiples of 2^-24 */
        float shifted = fabsf(v) * 0x1p24f + 0x1p23f;
        return copysignf((shifted - 0x1p23f) * 0x1p-24f, v);
    }
    uint32_t b;
    memcpy(&b, &v, sizeof b);
    b = (b + 0xfffu + ((b >> 13) & 1u)) & 0xffffe000u;
    memcpy(&v, &b, sizeof v);
    return fabsf(v) > 65504.0f ? copysignf(INFINITY, v) : v;
}
