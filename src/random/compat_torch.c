/* compat_torch.c - PyTorch's CPU generator: seeding, state, uniform_, randperm.
 *
 * PyTorch draws one tensor after the other, element by element in memory order under a lock, so
 * the stream of a whole model is one sequence of words. The *low* bits of a word become a number.
 */
#include <math.h>
#include <string.h>

#include "random/compat_torch.h"

enum { RUN = FANIN_MT19937_WORDS };

fanin_status fanin_torch_rng_init(fanin_torch_rng *rng, uint64_t seed, fanin_torch_flavour flavour,
                                  int version) {
    if (version < FANIN_TORCH_1_13) return FANIN_ARG;
    if (flavour != FANIN_TORCH_AVX2 && flavour != FANIN_TORCH_BASELINE &&
        flavour != FANIN_TORCH_ARM)
        return FANIN_ARG;
    rng->flavour = flavour;
    rng->version = version;
    fanin_torch_rng_seed(rng, seed);
    return FANIN_OK;
}

void fanin_torch_rng_seed(fanin_torch_rng *rng, uint64_t seed) {
    fanin_mt19937_seed(&rng->mt, (uint32_t)seed);
    rng->seed = seed;
    rng->cached_normal = 0;
    rng->cached_float = 0;
    rng->has_cached_normal = rng->has_cached_float = false;
}

/* ---- state ------------------------------------------------------------------------------- */

static void put(unsigned char *p, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) p[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t get(const unsigned char *p, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint64_t)p[i] << (8 * i);
    return value;
}

/* u64 seed @0, i32 left @8, i32 seeded @12, u64 next @16, 624 u64 words @24, f64 @5016, f64 cached
 * normal @5024, f64 @5032, i32 cached valid @5040, f32 cached float @5048, u8 valid @5052. */
void fanin_torch_state_export(const fanin_torch_rng *rng,
                              unsigned char out[FANIN_TORCH_STATE_SIZE]) {
    uint32_t next = rng->mt.next > RUN ? 0 : rng->mt.next, f;
    uint64_t d;
    memset(out, 0, FANIN_TORCH_STATE_SIZE);
    put(out, rng->seed, 8);
    put(out + 8, rng->mt.next > RUN ? 1 : RUN + 1 - next, 4);
    put(out + 12, 1, 4);
    put(out + 16, next, 8);
    for (size_t i = 0; i < RUN; i++) put(out + 24 + 8 * i, rng->mt.state[i], 8);
    memcpy(&d, &rng->cached_normal, 8);
    memcpy(&f, &rng->cached_float, 4);
    if (rng->has_cached_normal) put(out + 5024, d, 8);
    put(out + 5040, rng->has_cached_normal, 4);
    if (rng->has_cached_float) put(out + 5048, f, 4);
    put(out + 5052, rng->has_cached_float, 1);
}

/* The words of a block that is under way are the tempered state; they are made anew. */
static void temper_block(fanin_mt19937 *mt) {
    for (int k = 0; k < RUN; k++) {
        uint32_t y = mt->state[k];
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c5680u;
        y ^= (y << 15) & 0xefc60000u;
        mt->word[k] = y ^ (y >> 18);
    }
}

fanin_status fanin_torch_state_import(fanin_torch_rng *rng,
                                      const unsigned char in[FANIN_TORCH_STATE_SIZE],
                                      fanin_err *err) {
    uint64_t left = get(in + 8, 4), next = get(in + 16, 8);
    bool fresh = left == 1 && next == 0;
    if (get(in + 12, 4) != 1 || next > RUN || (!fresh && left + next != RUN + 1))
        return fanin_err_set(
            err, FANIN_FORMAT,
            "generator state: seeded %u, left %u, next %llu; expected seeded 1 and "
            "left + next = 625",
            (unsigned)get(in + 12, 4), (unsigned)left, (unsigned long long)next);
    for (size_t i = 0; i < RUN; i++)
        if (get(in + 28 + 8 * i, 4))
            return fanin_err_set(err, FANIN_FORMAT, "generator state: word %zu exceeds 32 bits", i);
    fanin_torch_rng_seed(rng, get(in, 8));
    for (size_t i = 0; i < RUN; i++) rng->mt.state[i] = (uint32_t)get(in + 24 + 8 * i, 4);
    temper_block(&rng->mt);
    rng->mt.next = fresh ? RUN + 1 : (uint32_t)next;
    uint64_t d = get(in + 5024, 8);
    uint32_t f = (uint32_t)get(in + 5048, 4);
    memcpy(&rng->cached_normal, &d, 8);
    memcpy(&rng->cached_float, &f, 4);
    rng->has_cached_normal = get(in + 5040, 4) != 0;
    rng->has_cached_float = in[5052] != 0;
    return FANIN_OK;
}

/* ---- uniform ----------------------------------------------------------------------------- */

bool fanin__torch_dtype_ok(fanin_dtype dtype) {
    return dtype == FANIN_F32 || dtype == FANIN_F64 || dtype == FANIN_BF16 || dtype == FANIN_F16;
}

float fanin__torch_round(fanin_dtype dtype, float v) {
    return dtype == FANIN_BF16  ? fanin__round_bf16(v)
           : dtype == FANIN_F16 ? fanin__round_f16(v)
                                : v;
}

void fanin__torch_skip(fanin_torch_rng *rng, size_t words) {
    fanin_mt19937_fill(&rng->mt, words, NULL);
}

double fanin__torch_u53(const uint32_t word[2]) {
    uint64_t w = (uint64_t)word[0] << 32 | word[1];
    return (double)(w & ((UINT64_C(1) << 53) - 1)) * 0x1p-53;
}

static void uniform_f32(fanin_torch_rng *rng, size_t n, float low, float high, float *out) {
    const fanin__compat_kernels *kernels = rng->mt.kernels;
    float top = rng->version >= FANIN_TORCH_2_12 ? high : NAN;
    while (n) {
        const uint32_t *words;
        size_t got = fanin__mt_take(&rng->mt, n, &words);
        kernels->uniform(words, got, 24, fanin__torch_fused(rng), low, high - low, top, out);
        out += got;
        n -= got;
    }
}

static void uniform_f64(fanin_torch_rng *rng, size_t n, double low, double high, double *out) {
    double width = high - low;
    bool fused = fanin__torch_fused(rng), fold = rng->version >= FANIN_TORCH_2_12;
    for (size_t done = 0; done < n;) {
        uint32_t words[RUN];
        size_t run = n - done < RUN / 2 ? n - done : RUN / 2;
        fanin_mt19937_fill(&rng->mt, 2 * run, words);
        for (size_t i = 0; i < run; i++) {
            double x = fanin__torch_u53(words + 2 * i);
            double v = fused ? fma(x, width, low) : x * width + low;
            out[done + i] = fold && v == high ? low : v;
        }
        done += run;
    }
}

/* Before 2.12 as many bits as the type holds, and bounds rounded first; then f32, rounded once. */
static fanin_status uniform_half(fanin_torch_rng *rng, fanin_dtype dtype, size_t n, double low,
                                 double high, uint16_t *out) {
    const fanin__compat_kernels *kernels = rng->mt.kernels;
    bool old = rng->version < FANIN_TORCH_2_12;
    int bits = !old ? 24 : dtype == FANIN_F16 ? 11 : 8;
    float low_h = fanin__torch_round(dtype, (float)low);
    float high_h = fanin__torch_round(dtype, (float)high);
    float from = old ? low_h : (float)low;
    float width = old ? fanin__torch_round(dtype, high_h - low_h) : (float)high - (float)low;
    while (n) {
        const uint32_t *words;
        float value[RUN];
        size_t got = fanin__mt_take(&rng->mt, n, &words);
        kernels->uniform(words, got, bits, fanin__torch_fused(rng), from, width, NAN, value);
        for (size_t i = 0; !old && i < got; i++)
            if (fanin__torch_round(dtype, value[i]) == high_h) value[i] = low_h;
        FANIN_TRY(fanin_convert_from_f32(value, got, dtype, out));
        out += got;
        n -= got;
    }
    return FANIN_OK;
}

fanin_status fanin_torch_uniform(fanin_torch_rng *rng, fanin_dtype dtype, size_t n, double low,
                                 double high, void *out) {
    if (!fanin__torch_dtype_ok(dtype)) return FANIN_UNSUPPORTED;
    if (!(low <= high) || !isfinite(low) || !isfinite(high)) return FANIN_ARG;
    if (n == 0) return FANIN_OK;
    if (!out) {
        fanin__torch_skip(rng, n);
        if (dtype == FANIN_F64) fanin__torch_skip(rng, n);
        return FANIN_OK;
    }
    if (dtype == FANIN_F64)
        uniform_f64(rng, n, low, high, out);
    else if (dtype == FANIN_F32)
        uniform_f32(rng, n, (float)low, (float)high, out);
    else
        return uniform_half(rng, dtype, n, low, high, out);
    return FANIN_OK;
}

/* ---- permutation ------------------------------------------------------------------------- */

fanin_status fanin_torch_randperm(fanin_torch_rng *rng, size_t n, int64_t *out) {
    if (n > INT64_MAX) return FANIN_ARG;
    bool wide = rng->version >= FANIN_TORCH_2_0 && n >= UINT32_MAX / 20;
    for (size_t i = 0; i < n; i++) out[i] = (int64_t)i;
    for (size_t i = 0; i + 1 < n; i++) {
        uint64_t w = fanin_mt19937_next(&rng->mt);
        if (wide) w = w << 32 | fanin_mt19937_next(&rng->mt);
        size_t other = i + (size_t)(w % (n - i));
        int64_t kept = out[i];
        out[i] = out[other];
        out[other] = kept;
    }
    return FANIN_OK;
}
