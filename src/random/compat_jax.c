/* compat_jax.c - jax.random with threefry2x32 keys, in both modes.
 *
 * Partitionable: element i hashes its own index. Original: counts 0..n-1 (padded to an even number
 * by a zero) are hashed as pairs of the first and the second half. Both are functions of (key, n,
 * i), so nothing is kept between elements.
 */
#include <math.h>
#include <string.h>

#include "random/compat.h"

/* ---- keys -------------------------------------------------------------------------------- */

fanin_jax_key fanin_jax_key_from(uint64_t seed, bool x64) {
    return (fanin_jax_key){{x64 ? (uint32_t)(seed >> 32) : 0, (uint32_t)seed}};
}

fanin_jax_key fanin_jax_fold_in(fanin_jax_key key, uint32_t data) {
    fanin_jax_key out;
    fanin__threefry2x32(key.word, 0, data, out.word);
    return out;
}

/* Word i of the hash of counts 0..n-1. */
static uint32_t original_word(fanin_jax_key key, size_t n, size_t i) {
    size_t half = n / 2 + n % 2, low = i < half ? i : i - half, high = low + half;
    uint32_t out[2];
    fanin__threefry2x32(key.word, (uint32_t)low, high < n ? (uint32_t)high : 0, out);
    return out[i >= half];
}

static void indexed_words(fanin_jax_key key, size_t i, uint32_t out[2]) {
    fanin__threefry2x32(key.word, (uint32_t)((uint64_t)i >> 32), (uint32_t)i, out);
}

/* Counts that the original mode hashes for n values of `width` bits; false: it would split the
 * key into blocks, which is not implemented. */
static bool original_count(int width, size_t n, size_t *count) {
    if (n >= UINT32_MAX / 2) return false;
    *count = (n * (size_t)width + 31) / 32;
    return true;
}

fanin_status fanin_jax_split(fanin_jax_mode mode, fanin_jax_key key, size_t n, fanin_jax_key *out) {
    size_t count = 0;
    if (mode == FANIN_JAX_ORIGINAL && !original_count(64, n, &count)) return FANIN_UNSUPPORTED;
    for (size_t i = 0; i < n; i++)
        if (mode == FANIN_JAX_ORIGINAL)
            for (size_t w = 0; w < 2; w++) out[i].word[w] = original_word(key, count, 2 * i + w);
        else
            indexed_words(key, i, out[i].word);
    return FANIN_OK;
}

/* ---- bits -------------------------------------------------------------------------------- */

typedef struct bit_source {
    fanin_jax_mode mode;
    fanin_jax_key key;
    int width;
    size_t n, count;
} bit_source;

static fanin_status source_open(fanin_jax_mode mode, fanin_jax_key key, int width, size_t n,
                                bit_source *s) {
    if (mode != FANIN_JAX_PARTITIONABLE && mode != FANIN_JAX_ORIGINAL) return FANIN_ARG;
    if (width != 8 && width != 16 && width != 32 && width != 64) return FANIN_ARG;
    *s = (bit_source){.mode = mode, .key = key, .width = width, .n = n};
    if (mode == FANIN_JAX_ORIGINAL && !original_count(width, n, &s->count))
        return FANIN_UNSUPPORTED;
    return FANIN_OK;
}

static uint64_t source_at(const bit_source *s, size_t i) {
    uint32_t w[2];
    if (s->mode == FANIN_JAX_PARTITIONABLE) {
        indexed_words(s->key, i, w);
        return s->width == 64 ? (uint64_t)w[0] << 32 | w[1] : w[0] ^ w[1];
    }
    if (s->width == 64)
        return (uint64_t)original_word(s->key, s->count, i) << 32 |
               original_word(s->key, s->count, s->n + i);
    size_t per = 32 / (size_t)s->width;
    return original_word(s->key, s->count, i / per) >> (s->width * (int)(i % per));
}

fanin_status fanin_jax_bits(fanin_jax_mode mode, fanin_jax_key key, int width, size_t n,
                            void *out) {
    bit_source s;
    FANIN_TRY(source_open(mode, key, width, n, &s));
    for (size_t i = 0; i < n; i++) {
        uint64_t w = source_at(&s, i);
        switch (width) {
        case 8: ((uint8_t *)out)[i] = (uint8_t)w; break;
        case 16: ((uint16_t *)out)[i] = (uint16_t)w; break;
        case 32: ((uint32_t *)out)[i] = (uint32_t)w; break;
        default: ((uint64_t *)out)[i] = w;
        }
    }
    return FANIN_OK;
}

/* ---- numbers ----------------------------------------------------------------------------- */

/* The high 23 bits as the mantissa of a float in [1, 2), less 1. */
static float unit_f32(uint64_t w) {
    uint32_t b = ((uint32_t)w >> 9) | 0x3f800000u;
    float f;
    memcpy(&f, &b, sizeof f);
    return f - 1.0f;
}

static double unit_f64(uint64_t w) {
    uint64_t b = (w >> 12) | UINT64_C(0x3ff0000000000000);
    double d;
    memcpy(&d, &b, sizeof d);
    return d - 1.0;
}

static float uniform_at(const bit_source *s, size_t i, float low, float high) {
    return fmaxf(low, unit_f32(source_at(s, i)) * (high - low) + low);
}

fanin_status fanin_jax_uniform(fanin_jax_mode mode, fanin_jax_key key, fanin_dtype dtype, size_t n,
                               double low, double high, void *out) {
    bit_source s;
    if (dtype != FANIN_F32 && dtype != FANIN_F64) return FANIN_UNSUPPORTED;
    if (!isfinite(low) || !isfinite(high)) return FANIN_ARG;
    FANIN_TRY(source_open(mode, key, dtype == FANIN_F64 ? 64 : 32, n, &s));
    for (size_t i = 0; i < n; i++)
        if (dtype == FANIN_F32)
            ((float *)out)[i] = uniform_at(&s, i, (float)low, (float)high);
        else
            ((double *)out)[i] = fmax(low, unit_f64(source_at(&s, i)) * (high - low) + low);
    return FANIN_OK;
}

/* Giles, "Approximating the erfinv function" (2010), single precision: what XLA evaluates. It is
 * 5.8e-6 off at worst, so a better inverse would not be a better match. */
static float erfinv(float x) {
    static const float near[9] = {2.81022636e-08f,  3.43273939e-07f, -3.5233877e-06f,
                                  -4.39150654e-06f, 0.00021858087f,  -0.00125372503f,
                                  -0.00417768164f,  0.246640727f,    1.50140941f};
    static const float far[9] = {-0.000200214257f, 0.000100950558f, 0.00134934322f,
                                 -0.00367342844f,  0.00573950773f,  -0.0076224613f,
                                 0.00943887047f,   1.00167406f,     2.83297682f};
    if (fabsf(x) >= 1.0f) return copysignf(INFINITY, x);
    float w = -(float)log1p((double)(-x * x));
    const float *c = w < 5.0f ? near : far;
    w = w < 5.0f ? w - 2.5f : sqrtf(w) - 3.0f;
    float p = c[0];
    for (int i = 1; i < 9; i++) p = c[i] + p * w;
    return p * x;
}

#define SQRT_2 1.41421356237309504880f

static float normal_at(const bit_source *s, size_t i) {
    return SQRT_2 * erfinv(uniform_at(s, i, nextafterf(-1.0f, 0.0f), 1.0f));
}

fanin_status fanin_jax_normal(fanin_jax_mode mode, fanin_jax_key key, size_t n, float *out) {
    bit_source s;
    FANIN_TRY(source_open(mode, key, 32, n, &s));
    for (size_t i = 0; i < n; i++) out[i] = normal_at(&s, i);
    return FANIN_OK;
}

/* Bounds of the uniform and of the result of a truncated normal. */
typedef struct truncation {
    float a, b, lowest, highest;
} truncation;

static truncation truncate_at(double lower, double upper) {
    float l = (float)lower, u = (float)upper;
    return (truncation){(float)erf((double)(l / SQRT_2)), (float)erf((double)(u / SQRT_2)),
                        nextafterf(l, INFINITY), nextafterf(u, -INFINITY)};
}

static float truncated_at(const bit_source *s, size_t i, const truncation *t) {
    float z = SQRT_2 * erfinv(uniform_at(s, i, t->a, t->b));
    return fminf(fmaxf(z, t->lowest), t->highest);
}

fanin_status fanin_jax_truncated_normal(fanin_jax_mode mode, fanin_jax_key key, size_t n,
                                        double lower, double upper, float *out) {
    bit_source s;
    if (!(lower < upper)) return FANIN_ARG;
    FANIN_TRY(source_open(mode, key, 32, n, &s));
    truncation t = truncate_at(lower, upper);
    for (size_t i = 0; i < n; i++) out[i] = truncated_at(&s, i, &t);
    return FANIN_OK;
}

fanin_status fanin_jax_variance_scaling(fanin_jax_mode mode, fanin_jax_key key, double scale,
                                        double denominator, fanin_jax_distribution distribution,
                                        size_t n, float *out) {
    bit_source s;
    if (!(scale > 0) || !(denominator > 0)) return FANIN_ARG;
    FANIN_TRY(source_open(mode, key, 32, n, &s));
    float variance = (float)(scale / denominator);
    truncation t = truncate_at(-2, 2);
    float bound = sqrtf(3.0f * variance), std = sqrtf(variance);
    float truncated_std = std / 0.87962566103423978f; /* deviation of a normal cut at 2 */
    for (size_t i = 0; i < n; i++) switch (distribution) {
        case FANIN_JAX_UNIFORM: out[i] = uniform_at(&s, i, -1.0f, 1.0f) * bound; break;
        case FANIN_JAX_NORMAL: out[i] = normal_at(&s, i) * std; break;
        case FANIN_JAX_TRUNCATED_NORMAL: out[i] = truncated_at(&s, i, &t) * truncated_std; break;
        default: return FANIN_ARG;
        }
    return FANIN_OK;
}

/* The draw is tall (rows >= columns of the two sides of the weight); a wide weight is its
 * transpose. */
fanin_status fanin_jax_orthogonal(fanin_jax_mode mode, fanin_jax_key key, const int64_t *dims,
                                  int rank, double scale, float *out) {
    size_t n, total;
    if (rank < 2 || !fanin__shape_count(dims, rank, &n)) return FANIN_SHAPE;
    if (n == 0) return FANIN_OK;
    size_t cols = (size_t)dims[rank - 1], rows = n / cols;
    size_t tall = rows > cols ? rows : cols, narrow = rows > cols ? cols : rows;
    FANIN_TRY(fanin_jax_normal(mode, key, n, out));
    if (!fanin__size_add(n, 2 * narrow, &total)) return FANIN_NOMEM;
    double *a = fanin_calloc(n, sizeof *a), *work = fanin_calloc(total, sizeof *work);
    if (a && work) {
        for (size_t i = 0; i < n; i++) a[i] = (double)out[i];
        fanin__qr_signed(a, tall, narrow, work);
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < cols; j++)
                out[i * cols + j] =
                    (float)scale * (float)(rows >= cols ? a[i * narrow + j] : a[j * narrow + i]);
    }
    bool ok = a && work;
    fanin_free(work);
    fanin_free(a);
    return ok ? FANIN_OK : FANIN_NOMEM;
}
