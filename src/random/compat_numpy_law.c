/* compat_numpy_law.c - NumPy's numbers: random, uniform, standard_normal, normal.
 *
 * Generator draws normals with a 256-layer ziggurat; 99.3 % of them need one multiplication.
 * The legacy RandomState uses the polar method and hands out the second coordinate first.
 */
#include <math.h>
#include <string.h>

#include "random/compat_numpy.h"

#define TAIL_START   3.6541528853610087963519472518
#define TAIL_INVERSE 0.27366123732975827203338247596

static double next_double(fanin_numpy_rng *rng) {
    if (!fanin__numpy_is_mt(rng)) return (double)(fanin__numpy_next64(rng) >> 11) * 0x1p-53;
    uint32_t a = fanin__mt_word(&rng->mt) >> 5, b = fanin__mt_word(&rng->mt) >> 6;
    return ((double)a * 67108864.0 + (double)b) / 9007199254740992.0;
}

static float next_float(fanin_numpy_rng *rng) {
    return (float)(fanin__numpy_next32(rng) >> 8) * 0x1p-24f;
}

/* v, negated where the lowest bit of `sign` is set: a coin toss would be a poor branch. */
static double signed_f64(double v, uint64_t sign) {
    uint64_t b;
    memcpy(&b, &v, sizeof b);
    b ^= sign << 63;
    memcpy(&v, &b, sizeof v);
    return v;
}

static float signed_f32(float v, uint32_t sign) {
    uint32_t b;
    memcpy(&b, &v, sizeof b);
    b ^= sign << 31;
    memcpy(&v, &b, sizeof v);
    return v;
}

/* ---- standard normal --------------------------------------------------------------------- */

static double tail_f64(fanin_numpy_rng *rng, bool negative) {
    for (;;) {
        double xx = -TAIL_INVERSE * log1p(-next_double(rng));
        double yy = -log1p(-next_double(rng));
        if (yy + yy > xx * xx) return negative ? -(TAIL_START + xx) : TAIL_START + xx;
    }
}

static double ziggurat_f64(fanin_numpy_rng *rng) {
    for (;;) {
        uint64_t r = fanin__numpy_next64(rng), a = r >> 9 & UINT64_C(0x000fffffffffffff);
        size_t i = r & 0xff;
        double x = signed_f64((double)(int64_t)a * fanin__ziggurat_w_f64[i], r >> 8);
        if (a < fanin__ziggurat_k_f64[i]) return x;
        if (i == 0) return tail_f64(rng, (a >> 8 & 1) != 0);
        double f = fanin__ziggurat_f_f64[i], wedge = fanin__ziggurat_f_f64[i - 1] - f;
        if (wedge * next_double(rng) + f < exp(-0.5 * x * x)) return x;
    }
}

static float tail_f32(fanin_numpy_rng *rng, bool negative) {
    const float start = (float)TAIL_START, inverse = (float)TAIL_INVERSE;
    for (;;) {
        float xx = -inverse * log1pf(-next_float(rng));
        float yy = -log1pf(-next_float(rng));
        if (yy + yy > xx * xx) return negative ? -(start + xx) : start + xx;
    }
}

static float ziggurat_f32(fanin_numpy_rng *rng) {
    for (;;) {
        uint32_t r = fanin__numpy_next32(rng), a = r >> 9;
        size_t i = r & 0xff;
        float x = signed_f32((float)(int32_t)a * fanin__ziggurat_w_f32[i], r >> 8);
        if (a < fanin__ziggurat_k_f32[i]) return x;
        if (i == 0) return tail_f32(rng, (a >> 8 & 1) != 0);
        float f = fanin__ziggurat_f_f32[i], wedge = fanin__ziggurat_f_f32[i - 1] - f;
        double density = exp(-0.5 * (double)x * (double)x);
        if ((double)(wedge * next_float(rng) + f) < density) return x;
    }
}

static double polar(fanin_numpy_rng *rng) {
    if (rng->has_gauss) {
        rng->has_gauss = false;
        return rng->gauss;
    }
    double x1, x2, r2;
    do {
        x1 = 2.0 * next_double(rng) - 1.0;
        x2 = 2.0 * next_double(rng) - 1.0;
        r2 = x1 * x1 + x2 * x2;
    } while (r2 >= 1.0 || r2 == 0.0);
    double f = sqrt(-2.0 * log(r2) / r2);
    rng->gauss = f * x1;
    rng->has_gauss = true;
    return f * x2;
}

static double next_normal(fanin_numpy_rng *rng) {
    return rng->bits == FANIN_NUMPY_RANDOMSTATE ? polar(rng) : ziggurat_f64(rng);
}

/* ---- public ------------------------------------------------------------------------------ */

/* F32 streams of their own belong to Generator only. */
static fanin_status own_dtype(const fanin_numpy_rng *rng, fanin_dtype dtype) {
    if (dtype == FANIN_F64) return FANIN_OK;
    return dtype == FANIN_F32 && rng->bits != FANIN_NUMPY_RANDOMSTATE ? FANIN_OK
                                                                      : FANIN_UNSUPPORTED;
}

static void store(fanin_dtype dtype, void *out, size_t i, double v) {
    if (dtype == FANIN_F32)
        ((float *)out)[i] = (float)v;
    else
        ((double *)out)[i] = v;
}

fanin_status fanin_numpy_random(fanin_numpy_rng *rng, fanin_dtype dtype, size_t n, void *out) {
    FANIN_TRY(own_dtype(rng, dtype));
    if (dtype == FANIN_F32)
        for (size_t i = 0; i < n; i++) ((float *)out)[i] = next_float(rng);
    else
        for (size_t i = 0; i < n; i++) ((double *)out)[i] = next_double(rng);
    return FANIN_OK;
}

fanin_status fanin_numpy_uniform(fanin_numpy_rng *rng, fanin_dtype dtype, size_t n, double low,
                                 double high, void *out) {
    if (dtype != FANIN_F32 && dtype != FANIN_F64) return FANIN_UNSUPPORTED;
    double range = high - low;
    if (!isfinite(range)) return FANIN_ARG;
    for (size_t i = 0; i < n; i++) store(dtype, out, i, low + range * next_double(rng));
    return FANIN_OK;
}

fanin_status fanin_numpy_standard_normal(fanin_numpy_rng *rng, fanin_dtype dtype, size_t n,
                                         void *out) {
    FANIN_TRY(own_dtype(rng, dtype));
    if (dtype == FANIN_F32)
        for (size_t i = 0; i < n; i++) ((float *)out)[i] = ziggurat_f32(rng);
    else
        for (size_t i = 0; i < n; i++) ((double *)out)[i] = next_normal(rng);
    return FANIN_OK;
}

fanin_status fanin_numpy_normal(fanin_numpy_rng *rng, fanin_dtype dtype, size_t n, double mean,
                                double std, void *out) {
    if (dtype != FANIN_F32 && dtype != FANIN_F64) return FANIN_UNSUPPORTED;
    if (!isfinite(mean) || !(std >= 0) || !isfinite(std)) return FANIN_ARG;
    for (size_t i = 0; i < n; i++) store(dtype, out, i, mean + std * next_normal(rng));
    return FANIN_OK;
}
