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

enum { RUN = 256 };

typedef struct bit_source {
    const fanin__compat_kernels *kernels;
    fanin_jax_mode mode;
    fanin_jax_key key;
    int width;
    size_t n, count; /* values; in the original mode the counts that are hashed */
} bit_source;

static fanin_status source_open(fanin_jax_mode mode, fanin_jax_key key, int width, size_t n,
                                bit_source *s) {
    if (mode != FANIN_JAX_PARTITIONABLE && mode != FANIN_JAX_ORIGINAL) return FANIN_ARG;
    if (width != 8 && width != 16 && width != 32 && width != 64) return FANIN_ARG;
    *s = (bit_source){fanin__compat_kernels_get(), mode, key, width, n, 0};
    if (mode == FANIN_JAX_ORIGINAL && !original_count(width, n, &s->count))
        return FANIN_UNSUPPORTED;
    return FANIN_OK;
}

/* Both words of the hash of the indices first .. first + n - 1 (n <= RUN). */
static void indexed_run(const bit_source *s, size_t first, size_t n, uint32_t *w0, uint32_t *w1) {
    uint32_t high[RUN], low[RUN];
    for (size_t i = 0; i < n; i++) {
        high[i] = (uint32_t)((uint64_t)(first + i) >> 32);
        low[i] = (uint32_t)(first + i);
    }
    s->kernels->threefry(s->key.word, high, low, n, w0, w1);
}

/* Words first .. first + n - 1 (n <= RUN) of the original hash. */
static void original_run(const bit_source *s, size_t first, size_t n, uint32_t *w) {
    uint32_t c0[RUN], c1[RUN], other[RUN];
    size_t half = s->count / 2 + s->count % 2;
    for (size_t i = 0; i < n; i++) {
        size_t at = first + i, low = at < half ? at : at - half;
        c0[i] = (uint32_t)low;
        c1[i] = low + half < s->count ? (uint32_t)(low + half) : 0;
    }
    size_t early = first >= half ? 0 : half - first < n ? half - first : n;
    s->kernels->threefry(s->key.word, c0, c1, early, w, other);
    s->kernels->threefry(s->key.word, c0 + early, c1 + early, n - early, other, w + early);
}

/* The values of width up to 32 bits; narrow ones in the low bits. */
static void words_run(const bit_source *s, size_t first, size_t n, uint32_t *w) {
    uint32_t other[RUN];
    if (s->mode == FANIN_JAX_PARTITIONABLE) {
        indexed_run(s, first, n, w, other);
        for (size_t i = 0; i < n; i++) w[i] ^= other[i];
        return;
    }
    size_t per = 32 / (size_t)s->width, start = first / per, end = (first + n - 1) / per + 1;
    original_run(s, start, end - start, other);
    for (size_t i = 0; i < n; i++)
        w[i] = other[(first + i) / per - start] >> (s->width * (int)((first + i) % per));
}

static void words64_run(const bit_source *s, size_t first, size_t n, uint64_t *w) {
    uint32_t high[RUN], low[RUN];
    if (s->mode == FANIN_JAX_PARTITIONABLE)
        indexed_run(s, first, n, high, low);
    else {
        original_run(s, first, n, high);
        original_run(s, s->n + first, n, low);
    }
    for (size_t i = 0; i < n; i++) w[i] = (uint64_t)high[i] << 32 | low[i];
}

fanin_status fanin_jax_bits(fanin_jax_mode mode, fanin_jax_key key, int width, size_t n,
                            void *out) {
    bit_source s;
    FANIN_TRY(source_open(mode, key, width, n, &s));
    for (size_t first = 0; first < n; first += RUN) {
        uint32_t w[RUN];
        size_t run = n - first < RUN ? n - first : RUN;
        if (width == 64) {
            words64_run(&s, first, run, (uint64_t *)out + first);
            continue;
        }
        words_run(&s, first, run, w);
        for (size_t i = 0; i < run; i++)
            if (width == 8)
                ((uint8_t *)out)[first + i] = (uint8_t)w[i];
            else if (width == 16)
                ((uint16_t *)out)[first + i] = (uint16_t)w[i];
            else
                ((uint32_t *)out)[first + i] = w[i];
    }
    return FANIN_OK;
}

/* ---- numbers ----------------------------------------------------------------------------- */

/* The high 23 bits as the mantissa of a float in [1, 2), less 1. */
static float unit_f32(uint32_t w) {
    uint32_t b = (w >> 9) | 0x3f800000u;
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

static float larger(float a, float b) { return a > b ? a : b; }

static void uniform_run(const bit_source *s, size_t first, size_t n, float low, float high,
                        float *out) {
    uint32_t w[RUN];
    float width = high - low;
    words_run(s, first, n, w);
    for (size_t i = 0; i < n; i++) out[i] = larger(low, unit_f32(w[i]) * width + low);
}

static void uniform_run_f64(const bit_source *s, size_t first, size_t n, double low, double high,
                            double *out) {
    uint64_t w[RUN];
    double width = high - low;
    words64_run(s, first, n, w);
    for (size_t i = 0; i < n; i++) {
        double v = unit_f64(w[i]) * width + low;
        out[i] = v > low ? v : low;
    }
}

/* A law over one source, made in runs on as many threads as there are: element i depends on i
 * only. */
typedef struct jax_law {
    bit_source source;
    enum { UNIFORM, UNIFORM_F64, NORMAL, TRUNCATED } kind;
    double low, high;      /* of the uniform */
    float lowest, highest; /* TRUNCATED: of the result, before scale */
    float scale;
    void *out;
} jax_law;

#define SQRT_2 1.41421356237309504880f

static void finish_run(const jax_law *l, float *out, size_t n) {
    if (l->kind == NORMAL || l->kind == TRUNCATED) l->source.kernels->quantile(out, n);
    if (l->kind == TRUNCATED)
        for (size_t i = 0; i < n; i++) out[i] = fminf(fmaxf(out[i], l->lowest), l->highest);
    if (l->scale != 1.0f)
        for (size_t i = 0; i < n; i++) out[i] *= l->scale;
}

static void fill_range(void *arg, size_t begin, size_t end) {
    const jax_law *l = arg;
    for (size_t first = begin; first < end; first += RUN) {
        size_t run = end - first < RUN ? end - first : RUN;
        if (l->kind == UNIFORM_F64) {
            uniform_run_f64(&l->source, first, run, l->low, l->high, (double *)l->out + first);
            continue;
        }
        float *out = (float *)l->out + first;
        uniform_run(&l->source, first, run, (float)l->low, (float)l->high, out);
        finish_run(l, out, run);
    }
}

static fanin_status fill(jax_law *l, fanin_jax_mode mode, fanin_jax_key key, size_t n, void *out) {
    FANIN_TRY(source_open(mode, key, l->kind == UNIFORM_F64 ? 64 : 32, n, &l->source));
    l->out = out;
    fanin_parallel_for(n, 64 * RUN, fill_range, l);
    return FANIN_OK;
}

fanin_status fanin_jax_uniform(fanin_jax_mode mode, fanin_jax_key key, fanin_dtype dtype, size_t n,
                               double low, double high, void *out) {
    jax_law l = {
        .kind = dtype == FANIN_F64 ? UNIFORM_F64 : UNIFORM, .low = low, .high = high, .scale = 1};
    if (dtype != FANIN_F32 && dtype != FANIN_F64) return FANIN_UNSUPPORTED;
    if (!isfinite(low) || !isfinite(high)) return FANIN_ARG;
    return fill(&l, mode, key, n, out);
}

static jax_law normal_law(float scale) {
    return (jax_law){
        .kind = NORMAL, .low = (double)nextafterf(-1.0f, 0.0f), .high = 1, .scale = scale};
}

static jax_law truncated_law(double lower, double upper, float scale) {
    float l = (float)lower, u = (float)upper;
    return (jax_law){.kind = TRUNCATED,
                     .low = (double)(float)erf((double)(l / SQRT_2)),
                     .high = (double)(float)erf((double)(u / SQRT_2)),
                     .lowest = nextafterf(l, INFINITY),
                     .highest = nextafterf(u, -INFINITY),
                     .scale = scale};
}

fanin_status fanin_jax_normal(fanin_jax_mode mode, fanin_jax_key key, size_t n, float *out) {
    jax_law l = normal_law(1);
    return fill(&l, mode, key, n, out);
}

fanin_status fanin_jax_truncated_normal(fanin_jax_mode mode, fanin_jax_key key, size_t n,
                                        double lower, double upper, float *out) {
    if (!(lower < upper)) return FANIN_ARG;
    jax_law l = truncated_law(lower, upper, 1);
    return fill(&l, mode, key, n, out);
}

fanin_status fanin_jax_variance_scaling(fanin_jax_mode mode, fanin_jax_key key, double scale,
                                        double denominator, fanin_jax_distribution distribution,
                                        size_t n, float *out) {
    if (!(scale > 0) || !(denominator > 0)) return FANIN_ARG;
    float variance = (float)(scale / denominator), std = sqrtf(variance);
    jax_law l = {.kind = UNIFORM, .low = -1, .high = 1, .scale = sqrtf(3.0f * variance)};
    switch (distribution) {
    case FANIN_JAX_UNIFORM: break;
    case FANIN_JAX_NORMAL: l = normal_law(std); break;
    case FANIN_JAX_TRUNCATED_NORMAL: /* the deviation of a normal cut at 2 */
        l = truncated_law(-2, 2, std / 0.87962566103423978f);
        break;
    default: return FANIN_ARG;
    }
    return fill(&l, mode, key, n, out);
}

/* The draw is tall (rows >= columns of the two sides of the weight); a wide weight is its
 * transpose. */
fanin_status fanin_jax_orthogonal(fanin_jax_mode mode, fanin_jax_key key, const int64_t *dims,
                                  int rank, double scale, float *out) {
    size_t n;
    if (rank < 2 || !fanin__shape_count(dims, rank, &n)) return FANIN_SHAPE;
    if (n == 0) return FANIN_OK;
    size_t cols = (size_t)dims[rank - 1], rows = n / cols;
    size_t tall = rows > cols ? rows : cols, narrow = rows > cols ? cols : rows;
    FANIN_TRY(fanin_jax_normal(mode, key, n, out));
    double *a = fanin_calloc(n, sizeof *a);
    if (!a) return FANIN_NOMEM;
    for (size_t i = 0; i < n; i++) a[i] = (double)out[i];
    fanin_status status = fanin__qr_signed(a, tall, narrow);
    for (size_t i = 0; status == FANIN_OK && i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            out[i * cols + j] =
                (float)scale * (float)(rows >= cols ? a[i * narrow + j] : a[j * narrow + i]);
    fanin_free(a);
    return status;
}
