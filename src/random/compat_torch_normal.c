/* compat_torch_normal.c - PyTorch's normal_, serial and by blocks of 16.
 *
 * Contiguous tensors of 16 elements and more go by blocks: uniforms of the dtype, of which element
 * j and j + 8 become one Box-Muller pair. If the length is no multiple of 16, the last 16 elements
 * are drawn anew, over finished values. Shorter and strided tensors take one double-precision
 * normal after the other; the second of a pair is kept, across calls and dtypes.
 */
#include <math.h>
#include <string.h>

#include "random/compat_torch.h"

#define TWO_PI 6.283185307179586476925286766559

/* ---- serial ------------------------------------------------------------------------------ */

static double serial_next(fanin_torch_rng *rng) {
    if (rng->has_cached_normal) {
        rng->has_cached_normal = false;
        return rng->cached_normal;
    }
    uint32_t words[4];
    fanin_mt19937_fill(&rng->mt, 4, words);
    double u1 = fanin__torch_u53(words), u2 = fanin__torch_u53(words + 2);
    double log_u = rng->version < FANIN_TORCH_2_0 ? log(1.0 - u2) : log1p(-u2);
    double r = sqrt(-2.0 * log_u), theta = TWO_PI * u1;
    rng->cached_normal = r * sin(theta);
    rng->has_cached_normal = true;
    return r * cos(theta);
}

static fanin_status serial(fanin_torch_rng *rng, fanin_dtype dtype, size_t n, double mean,
                           double std, unsigned char *out) {
    size_t size = fanin_dtype_size(dtype);
    for (size_t i = 0; i < n; i++) {
        double z = serial_next(rng);
        double v = fanin__torch_fused(rng) ? fma(z, std, mean) : z * std + mean;
        float single = (float)v;
        if (!out) continue;
        if (dtype == FANIN_F64)
            memcpy(out + i * size, &v, size);
        else
            FANIN_TRY(fanin_convert_from_f32(&single, 1, dtype, out + i * size));
    }
    return FANIN_OK;
}

/* ---- blocks ------------------------------------------------------------------------------ */

typedef struct block_law {
    const fanin_torch_rng *rng;
    fanin_dtype dtype;
    double mean, std;
} block_law;

/* 16 uniforms' words to 16 values of the dtype. */
typedef fanin_status (*chunk_fn)(const block_law *law, const uint32_t *word, void *out);

/* The scalar code of 2.13 writes its fma out, so that from then on every build has it. */
static bool scalar_fused(const fanin_torch_rng *rng) {
    return fanin__torch_fused(rng) || rng->version >= FANIN_TORCH_2_13;
}

static void libm_f32(const block_law *law, const uint32_t *word, float *out) {
    float mean = (float)law->mean, std = (float)law->std;
    bool fused = scalar_fused(law->rng);
    for (int j = 0; j < 8; j++) {
        float u1 = 1.0f - (float)(word[j] & 0xffffffu) * 0x1p-24f;
        float u2 = (float)(word[j + 8] & 0xffffffu) * 0x1p-24f;
        float radius = sqrtf(-2.0f * logf(u1)), theta = (float)(TWO_PI * (double)u2);
        float c = radius * cosf(theta), s = radius * sinf(theta);
        out[j] = fused ? fmaf(c, std, mean) : c * std + mean;
        out[j + 8] = fused ? fmaf(s, std, mean) : s * std + mean;
    }
}

static fanin_status chunk_f32(const block_law *law, const uint32_t *word, void *out) {
    libm_f32(law, word, out);
    return FANIN_OK;
}

static fanin_status chunk_f64(const block_law *law, const uint32_t *word, void *out) {
    double *x = out;
    bool fused = scalar_fused(law->rng);
    for (int j = 0; j < 8; j++) {
        double u1 = 1.0 - fanin__torch_u53(word + 2 * j);
        double u2 = fanin__torch_u53(word + 2 * (j + 8));
        double radius = sqrt(-2.0 * log(u1)), theta = TWO_PI * u2;
        double c = radius * cos(theta), s = radius * sin(theta);
        x[j] = fused ? fma(c, law->std, law->mean) : c * law->std + law->mean;
        x[j + 8] = fused ? fma(s, law->std, law->mean) : s * law->std + law->mean;
    }
    return FANIN_OK;
}

/* bf16 before 2.12 and f16 from 2.1 to 2.11: every operation rounds to the type. */
static void half_stepwise(const block_law *law, const float *x, float mean, float std, float *out) {
#define R(v) fanin__torch_round(law->dtype, (v))
    for (int j = 0; j < 8; j++) {
        float u1 = R(1.0f - x[j]);
        float radius = R(sqrtf(R(-2.0f * R(logf(u1)))));
        float theta = R((float)(TWO_PI * (double)x[j + 8]));
        out[j] = R(R(R(radius * R(cosf(theta))) * std) + mean);
        out[j + 8] = R(R(R(radius * R(sinf(theta))) * std) + mean);
    }
#undef R
}

/* f16 of 1.13 and 2.0: u1, radius and theta are halves, the rest stays in f32. */
static void half_mixed(const block_law *law, const float *x, float mean, float std, float *out) {
    bool fused = fanin__torch_fused(law->rng);
    for (int j = 0; j < 8; j++) {
        float u1 = fanin__round_f16(1.0f - x[j]);
        float radius = fanin__round_f16(sqrtf(-2.0f * logf(u1)));
        float theta = fanin__round_f16((float)(TWO_PI * (double)x[j + 8]));
        float c = radius * cosf(theta), s = radius * sinf(theta);
        out[j] = fused ? fmaf(c, std, mean) : c * std + mean;
        out[j + 8] = fused ? fmaf(s, std, mean) : s * std + mean;
    }
}

static fanin_status chunk_half_old(const block_law *law, const uint32_t *word, void *out) {
    const fanin__compat_kernels *kernels = law->rng->mt.kernels;
    float x[16], value[16];
    float mean = fanin__torch_round(law->dtype, (float)law->mean);
    float std = fanin__torch_round(law->dtype, (float)law->std);
    kernels->uniform(word, 16, law->dtype == FANIN_F16 ? 11 : 8, false, 0.0f, 1.0f, NAN, x);
    if (law->dtype == FANIN_F16 && law->rng->version < FANIN_TORCH_2_1)
        half_mixed(law, x, mean, std, value);
    else
        half_stepwise(law, x, mean, std, value);
    return fanin_convert_from_f32(value, 16, law->dtype, out);
}

/* Half types of 2.12, and later ones without the vector code: f32 per chunk, rounded once. */
static fanin_status chunk_half(const block_law *law, const uint32_t *word, void *out) {
    float value[16];
    libm_f32(law, word, value);
    return fanin_convert_from_f32(value, 16, law->dtype, out);
}

static fanin_status blocks(fanin_torch_rng *rng, const block_law *law, chunk_fn chunk, size_t n,
                           unsigned char *out) {
    size_t item = fanin_dtype_size(law->dtype), per = law->dtype == FANIN_F64 ? 2 : 1;
    uint32_t words[32];
    for (size_t i = 0; i < n / 16; i++) {
        fanin_mt19937_fill(&rng->mt, 16 * per, words);
        FANIN_TRY(chunk(law, words, out + 16 * i * item));
    }
    return FANIN_OK;
}

/* Do the vector polynomials make this dtype? */
static bool is_vector(const fanin_torch_rng *rng, fanin_dtype dtype) {
    if (rng->flavour != FANIN_TORCH_AVX2 || dtype == FANIN_F64) return false;
    return dtype == FANIN_F32 || rng->version >= FANIN_TORCH_2_13;
}

/* The usual case, in runs of as many chunks as one block of the generator has words for. */
static fanin_status blocks_vector(fanin_torch_rng *rng, const block_law *law, size_t n,
                                  unsigned char *out) {
    enum { RUN = FANIN_MT19937_WORDS / 16 };
    const fanin__compat_kernels *kernels = rng->mt.kernels;
    size_t item = fanin_dtype_size(law->dtype);
    for (size_t left = n / 16; left;) {
        uint32_t words[16 * RUN];
        float value[16 * RUN];
        size_t run = left < RUN ? left : RUN;
        bool direct = law->dtype == FANIN_F32;
        fanin_mt19937_fill(&rng->mt, 16 * run, words);
        kernels->normal(words, run, (float)law->mean, (float)law->std,
                        direct ? (float *)(void *)out : value);
        if (!direct) FANIN_TRY(fanin_convert_from_f32(value, 16 * run, law->dtype, out));
        out += 16 * run * item;
        left -= run;
    }
    return FANIN_OK;
}

static chunk_fn chunk_for(const fanin_torch_rng *rng, fanin_dtype dtype) {
    if (dtype == FANIN_F32) return chunk_f32;
    if (dtype == FANIN_F64) return chunk_f64;
    return rng->version < FANIN_TORCH_2_12 ? chunk_half_old : chunk_half;
}

/* Words that the first draw of the odd end takes before it is drawn anew. */
static size_t wasted(const fanin_torch_rng *rng, fanin_dtype dtype, size_t n) {
    if (dtype == FANIN_F64) return n % 16 * 2;
    return dtype != FANIN_F32 && rng->version >= FANIN_TORCH_2_12 ? 0 : n % 16;
}

static fanin_status whole_chunks(fanin_torch_rng *rng, const block_law *law, size_t n,
                                 unsigned char *out) {
    if (!out) {
        fanin__torch_skip(rng, n / 16 * 16);
        if (law->dtype == FANIN_F64) fanin__torch_skip(rng, n / 16 * 16);
        return FANIN_OK;
    }
    if (is_vector(rng, law->dtype)) return blocks_vector(rng, law, n, out);
    return blocks(rng, law, chunk_for(rng, law->dtype), n, out);
}

static bool law_ok(double mean, double std) { return isfinite(mean) && std >= 0 && isfinite(std); }

fanin_status fanin_torch_normal(fanin_torch_rng *rng, fanin_dtype dtype, size_t n, double mean,
                                double std, void *out) {
    if (!fanin__torch_dtype_ok(dtype)) return FANIN_UNSUPPORTED;
    if (!law_ok(mean, std)) return FANIN_ARG;
    if (n < 16) return serial(rng, dtype, n, mean, std, out);
    block_law law = {rng, dtype, mean, std};
    FANIN_TRY(whole_chunks(rng, &law, n, out));
    if (n % 16 == 0) return FANIN_OK;
    fanin__torch_skip(rng, wasted(rng, dtype, n));
    unsigned char *end = out ? (unsigned char *)out + (n - 16) * fanin_dtype_size(dtype) : NULL;
    return whole_chunks(rng, &law, 16, end);
}

fanin_status fanin_torch_normal_serial(fanin_torch_rng *rng, fanin_dtype dtype, size_t n,
                                       double mean, double std, void *out) {
    if (!fanin__torch_dtype_ok(dtype)) return FANIN_UNSUPPORTED;
    if (!law_ok(mean, std)) return FANIN_ARG;
    return serial(rng, dtype, n, mean, std, out);
}
