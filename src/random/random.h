/* random.h - inside the room: prepared laws, the kernel table, the normal tables. */
#ifndef FANIN_RANDOM_RANDOM_H
#define FANIN_RANDOM_RANDOM_H

#include "base/base.h"
#include "fanin/random.h"

/* ---- a law, prepared ------------------------------------------------------------------- */

/* How one word becomes one float32. z(v) is the inverse normal CDF at (v + 1/2) / 2^32. */
#define FANIN__MAP_LIST(X) \
    X(CONSTANT, constant, "constant") /* mean */ \
    FANIN__DRAWN_LIST(X)
#define FANIN__DRAWN_LIST(X) \
    X(AFFINE, affine, "uniform")              /* fma(float(int32(w)), scale, mean) */ \
    X(AFFINE_CLAMP, affine_clamp, "uniform*") /* ... kept within [low, high] */ \
    X(NORMAL, normal, "normal")               /* fma(z(w), scale, mean) */ \
    X(NORMAL_CLAMP, normal_clamp, "normal*")  /* ... kept within [low, high] */ \
    X(TRUNC, trunc, "truncated")   /* ... of z((w * width + offset) >> 32), kept within */ \
    X(SIGN, sign, "rademacher")    /* mean with the sign of w's top bit: set is plus */ \
    X(CHOICE, choice, "bernoulli") /* w <= threshold ? mean : 0 */

typedef enum fanin__transform {
#define FANIN__MAP_ENUM(id, word, name) FANIN__MAP_##id,
    FANIN__MAP_LIST(FANIN__MAP_ENUM)
#undef FANIN__MAP_ENUM
        FANIN__MAP_COUNT,
    FANIN__MAP_TAIL = FANIN__MAP_COUNT /* a narrow cut: one double solve a value, no kernel */
} fanin__transform;

typedef struct fanin__plan {
    fanin__transform map;
    float mean, scale, low, high;
    uint32_t width, threshold;
    uint64_t offset;
    /* for double precision, and for MAP_TAIL */
    double mean64, scale64, low64, high64;
    uint64_t offset64, width64; /* position = offset64 + (w * width64) >> 64; width64 0: 2^64 */
    double alpha, beta; /* MAP_TAIL: the cut in deviations, mirrored so that |alpha| <= beta */
    bool mirrored;
} fanin__plan;

fanin_status fanin__plan_make(const fanin_law *law, fanin__plan *plan);

/* ---- kernels --------------------------------------------------------------------------- */

/* Words from block `block` on; a run never crosses a multiple of 2^32 blocks. */
typedef struct fanin__run {
    uint32_t key[2], plane, version;
    uint64_t block;
    bool streaming; /* out is aligned to 64 and too large for the caches */
} fanin__run;

typedef void (*fanin__fill_fn)(const fanin__run *run, const fanin__plan *plan, size_t n,
                               float *out);

typedef void (*fanin__fill_bf16_fn)(const fanin__run *run, const fanin__plan *plan, size_t n,
                                    uint16_t *out);

/* All variants give the same bits. n is a multiple of `step`. */
typedef struct fanin__random_kernels {
    const char *name;
    size_t step;
    void (*words)(const fanin__run *run, size_t n, uint32_t *out);
    fanin__fill_fn fill[FANIN__MAP_COUNT];
    /* Words of the plane and of the next one to values. The normal law is within 2 ulp. */
    void (*fill_f64)(const fanin__plan *plan, const uint32_t *high, const uint32_t *low, size_t n,
                     double *out);
    /* As fill, rounded to bf16 on the way; NULL: through to_bf16. */
    fanin__fill_bf16_fn fill_bf16[FANIN__MAP_COUNT];
    void (*to_bf16)(const float *in, size_t n, uint16_t *out); /* any n */
    void (*to_f16)(const float *in, size_t n, uint16_t *out);
} fanin__random_kernels;

const fanin__random_kernels *fanin__random_ref(void);
/* NULL where the build has none. */
const fanin__random_kernels *fanin__random_avx2(void);
const fanin__random_kernels *fanin__random_avx512(void);
/* The table of a level (FANIN_CPU_*); NULL if this build or this machine has none. */
const fanin__random_kernels *fanin__random_at(int level);
const fanin__random_kernels *fanin__random_best(void);

/* fanin_random_fill with a given table and a prepared law, float32 only. */
void fanin__fill_f32(const fanin__random_kernels *kernels, const fanin_stream *s, uint32_t plane,
                     const fanin__plan *plan, uint64_t first, size_t n, float *out);
/* Any floating dtype. */
void fanin__fill_dtype(const fanin__random_kernels *kernels, const fanin_stream *s, uint32_t plane,
                       const fanin__plan *plan, uint64_t first, size_t n, fanin_dtype dtype,
                       void *out);
void fanin__words(const fanin__random_kernels *kernels, const fanin_stream *s, uint32_t plane,
                  uint64_t first, size_t n, uint32_t *out);

/* ---- scalar maps ----------------------------------------------------------------------- */

void fanin__philox_block(const uint32_t key[2], uint64_t block, uint32_t plane, uint32_t version,
                         uint32_t out[4]);
uint64_t fanin__siphash24(uint64_t k0, uint64_t k1, const void *data, size_t size);

float fanin__normal_f32(uint32_t position);
float fanin__map_f32(const fanin__plan *plan, uint32_t word);
/* A value of a narrow cut (MAP_TAIL) at quantile u of the cut. */
double fanin__tail_value(const fanin__plan *plan, double u);

/* ---- normal tables --------------------------------------------------------------------- */

enum { FANIN__NORMAL_ROWS = 2049, FANIN__NORMAL_ROWS64 = 1025 };

typedef struct fanin__normal_pair {
    float c0, c1;
} fanin__normal_pair;

typedef struct fanin__normal_row64 {
    uint64_t centre;
    double c0, c1;
} fanin__normal_row64;

extern const int32_t fanin__normal_centre[FANIN__NORMAL_ROWS];
extern const fanin__normal_pair fanin__normal_pairs[FANIN__NORMAL_ROWS];
extern const fanin__normal_row64 fanin__normal_rows64[FANIN__NORMAL_ROWS64];
extern const double fanin__normal_taylor[12][6];

/* ---- the normal law in double, without libm -------------------------------------------- */

/* e^x for x <= 0 (0 below -745), within 1 ulp. */
double fanin__exp_negative(double x);
/* Mills' ratio (1 - Phi(z)) / phi(z) for z >= 0, relative error below 1e-12. */
double fanin__mills(double z);
/* 1 - Phi(z), any z. */
double fanin__normal_tail(double z);

#endif
