/* Portable kernels: one value at a time, the same operations as the wide ones. */
#include <math.h>
#include <string.h>

#include "activation/activation.h"

typedef float V;
#define LANES         1
#define LOAD(p)       (*(p))
#define STORE(p, v)   (*(p) = (v))
#define SPLAT(c)      (c)
#define ADD(a, b)     ((a) + (b))
#define SUB(a, b)     ((a) - (b))
#define MUL(a, b)     ((a) * (b))
#define DIV(a, b)     ((a) / (b))
#define FMA(a, b, c)  fmaf(a, b, c)
#define FNMA(a, b, c) fmaf(-(a), b, c)
#define ABS(a)        fabsf(a)
#define NEG(a)        (-(a))
#define MIN(a, b)     least(a, b)
#define MAX(a, b)     most(a, b)
#define LT(a, b)      ((a) < (b))
#define EQ(a, b)      ((a) == (b))
#define AND(a, b)     ((a) && (b))
#define SEL(m, a, b)  ((m) ? (a) : (b))
#define FLOOR(a)      floorf(a)
#define SIGN_OF(a, b) sign_of(a, b)
#define POW2(n)       pow2(n)

static inline float least(float a, float b) { return a < b ? a : b; }
static inline float most(float a, float b) { return a > b ? a : b; }

static inline float sign_of(float a, float b) {
    uint32_t x, y;
    memcpy(&x, &a, 4);
    memcpy(&y, &b, 4);
    x ^= y & 0x80000000u;
    memcpy(&a, &x, 4);
    return a;
}

/* The low bits of n + 1.5 * 2^23 are n; no conversion, so NaN does no harm. */
static inline float pow2(float n) {
    uint32_t x;
    float shifted = n + 12582912.0f;
    memcpy(&x, &shifted, 4);
    x = (x + 127u) << 23;
    memcpy(&n, &x, 4);
    return n;
}

#include "activation/kernels.h"

const fanin__act_kernels *fanin__act_kernels_ref(void) { return &kernels; }
