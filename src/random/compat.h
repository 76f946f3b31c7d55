/* compat.h - what the framework streams share: kernels, small float rounding, word blocks. */
#ifndef FANIN_RANDOM_COMPAT_H
#define FANIN_RANDOM_COMPAT_H

#include "base/base.h"
#include "fanin/compat.h"

/* Columns of a panel of reflections, and columns that one task applies it to. */
enum { FANIN__QR_PANEL = 32, FANIN__QR_TILE = 64 };

/* One body (compat_kernels.h) compiled per instruction set; every variant gives the same bits. */
typedef struct fanin__compat_kernels {
    const char *name;
    /* Regenerates the 624 words of state in place and tempers them into word. */
    void (*mt_block)(uint32_t *restrict state, uint32_t *restrict word);
    /* out[i] = low + width * ((word[i] mod 2^bits) / 2^bits), one fma if fused else two
     * roundings; a result equal to `top` becomes `low` (top NaN: never). */
    void (*uniform)(const uint32_t *restrict word, size_t n, int bits, bool fused, float low,
                    float width, float top, float *restrict out);
    /* Chunks of 16 words to 16 normals each, by the vector polynomials. */
    void (*normal)(const uint32_t *restrict word, size_t chunks, float mean, float std,
                   float *restrict out);
    /* Threefry2x32-20 of n counters (c0, c1). */
    void (*threefry)(const uint32_t *restrict key, const uint32_t *restrict c0,
                     const uint32_t *restrict c1, size_t n, uint32_t *restrict out0,
                     uint32_t *restrict out1);
    /* x in [-1, 1] becomes sqrt(2) erfinv(x), by the polynomials of XLA. */
    void (*quantile)(float *restrict x, size_t n);
    /* A -= V T V' A on `width` <= FANIN__QR_TILE columns of A (stride lda). V has FANIN__QR_PANEL
     * columns, nb of them in use and the rest zero, and three rows of zeros below the last. */
    void (*reflect)(const double *restrict v, const double *restrict t, size_t rows, size_t nb,
                    double *restrict a, size_t lda, size_t width);
} fanin__compat_kernels;

/* The best for this machine, as fanin_cpu_level() allows. */
const fanin__compat_kernels *fanin__compat_kernels_get(void);
const fanin__compat_kernels *fanin__compat_kernels_ref(void);
const fanin__compat_kernels *fanin__compat_kernels_avx2(void); /* NULL: not compiled in */
const fanin__compat_kernels *fanin__compat_kernels_avx512(void);

/* Up to n (>= 1) words that are ready, taken at once: returns how many, at least 1. */
size_t fanin__mt_take(fanin_mt19937 *mt, size_t n, const uint32_t **words);

/* v rounded to bf16 or f16 (nearest even) and back. */
float fanin__round_bf16(float v);
float fanin__round_f16(float v);

/* Q of the reduced QR of the rows x cols row-major a (rows >= cols), columns times the sign of
 * R's diagonal, written over a. FANIN_NOMEM: it needs about the matrix once more. */
fanin_status fanin__qr_signed(double *a, size_t rows, size_t cols);

/* The rows x cols matrix of normals in `out` (F32 or F64) becomes gain times the orthogonal factor
 * of itself, or of its transpose if it is wide: nn.init.orthogonal_ after its draw. */
fanin_status fanin__orthogonal_rows(fanin_dtype dtype, size_t rows, size_t cols, double gain,
                                    void *out);

void fanin__philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
void fanin__philox4x64(const uint64_t counter[4], const uint64_t key[2], uint64_t out[4]);
void fanin__threefry2x32(const uint32_t key[2], uint32_t c0, uint32_t c1, uint32_t out[2]);

/* NumPy's 256-layer ziggurat tables. */
extern const double fanin__ziggurat_w_f64[256], fanin__ziggurat_f_f64[256];
extern const uint64_t fanin__ziggurat_k_f64[256];
extern const float fanin__ziggurat_w_f32[256], fanin__ziggurat_f_f32[256];
extern const uint32_t fanin__ziggurat_k_f32[256];

#endif
