/* kernels_body.h - the kernels of one instruction set, included once by each kernels_<set>.c, which
 * defines VARIANT. Plain loops that gcc and clang turn into vectors of whatever the file's flags
 * allow. Nothing here is reordered by the compiler (no -ffast-math) and nothing is fused
 * (-ffp-contract=off), so every variant gives the same bits; reductions keep LANES chains
 * themselves, which is what makes them fast without letting the compiler choose an order. */
#if defined(__GNUC__) && !defined(__clang__)
/* Selects become blends although both sides may raise a flag; nobody reads the flags. Values do
 * not change. (clang does so by itself.) */
#pragma GCC optimize("no-trapping-math")
#endif

#include <math.h>
#include <string.h>

#include "compute/compute.h"
#include "compute/variants.h"

#define PASTE2(a, b) a##b
#define PASTE(a, b)  PASTE2(a, b)
#define TEXT2(a)     #a
#define TEXT(a)      TEXT2(a)
#define RESTRICT     __restrict__

enum { LANES = 16 };

static inline float from_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline uint32_t to_bits(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

/* exp: x = n log 2 + r with log 2 in two parts (the first has 9 bits, so n times it is exact), a
 * degree-7 polynomial on |r| <= log(2)/2 (S. Moshier, Cephes expf), 2^n in two factors so that
 * neither overflows before the product does. */
static inline float exp_one(float x) {
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    float c = x < -104.0f ? -104.0f : x;
    c = c > 89.0f ? 89.0f : c;
    float t = c * 1.44269504088896341f + magic;
    uint32_t n = to_bits(t) - to_bits(magic);
    float fn = t - magic;
    float r = (c - fn * 0.693359375f) - fn * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = (p * (r * r) + r) + 1.0f;
    uint32_t half = (uint32_t)((int32_t)n >> 1);
    return p * from_bits((half + 127u) << 23) * from_bits((n - half + 127u) << 23);
}

/* log: x = 2^e m with m in [sqrt(1/2), sqrt 2), log(1 + (m - 1)) by Cephes logf's polynomial. */
static inline float log_one(float x) {
    float big = x < 1.17549435e-38f ? 8388608.0f : 1.0f; /* denormals are lifted by 2^23 */
    uint32_t u = to_bits(x * big);
    float e = (float)(int32_t)((u >> 23) - 126u) - (x < 1.17549435e-38f ? 23.0f : 0.0f);
    float m = from_bits((u & 0x007fffffu) | 0x3f000000u); /* [1/2, 1) */
    float low = m < 0.707106781186547524f ? 1.0f : 0.0f;
    e = e - low;
    float f = (m + m * low) - 1.0f;
    float z = f * f;
    float p = 7.0376836292e-2f;
    p = p * f + -1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f + -1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f + -1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f + -2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    float y = p * f * z;
    y = y + e * -2.12194440e-4f;
    y = y - 0.5f * z;
    y = (f + y) + e * 0.693359375f;
    y = x < INFINITY ? y : x; /* infinity and NaN stay */
    y = x == 0.0f ? -INFINITY : y;
    return x < 0.0f ? NAN : y;
}

static inline float bf16_one(float x) {
    uint32_t u = to_bits(x);
    uint32_t rounded = u + 0x7fffu + (u >> 16 & 1u);
    return from_bits((x == x ? rounded : u | 0x400000u) & 0xffff0000u);
}

/* ---- elementwise ----------------------------------------------------------------------- */

#define OP_ADD(a, b)     ((a) + (b))
#define OP_SUB(a, b)     ((a) - (b))
#define OP_MUL(a, b)     ((a) * (b))
#define OP_DIV(a, b)     ((a) / (b))
#define OP_MIN(a, b)     ((((a) < (b)) | ((a) != (a))) ? (a) : (b))
#define OP_MAX(a, b)     ((((a) > (b)) | ((a) != (a))) ? (a) : (b))
#define OP_GREATER(a, b) ((a) > (b) ? 1.0f : 0.0f)

#define BINARY_KERNEL(id, name) \
    static void name##_vv(size_t n, const float *a, const float *b, float *out) { \
        for (size_t i = 0; i < n; i++) out[i] = OP_##id(a[i], b[i]); \
    } \
    static void name##_vs(size_t n, const float *a, const float *b, float *out) { \
        float s = n ? b[0] : 0; \
        for (size_t i = 0; i < n; i++) out[i] = OP_##id(a[i], s); \
    } \
    static void name##_sv(size_t n, const float *a, const float *b, float *out) { \
        float s = n ? a[0] : 0; \
        for (size_t i = 0; i < n; i++) out[i] = OP_##id(s, b[i]); \
    }
FANIN__BINARY_MAP(BINARY_KERNEL)

#define OP_NEG(a)        (-(a))
#define OP_ABS(a)        fabsf(a)
#define OP_SQRT(a)       sqrtf(a)
#define OP_RECIPROCAL(a) (1.0f / (a))
#define OP_SQUARE(a)     ((a) * (a))
#define OP_SIGN(a)       ((a) > 0.0f ? 1.0f : (a) < 0.0f ? -1.0f : (a))
#define OP_EXP(a)        exp_one(a)
#define OP_LOG(a)        log_one(a)
#define OP_BF16(a)       bf16_one(a)

#define UNARY_KERNEL(id, name) \
    static void name##_v(size_t n, const float *a, float *out) { \
        for (size_t i = 0; i < n; i++) { \
            float x = a[i]; \
            out[i] = OP_##id(x); \
        } \
    }
FANIN__UNARY_MAP(UNARY_KERNEL)

static void axpby(size_t n, float a, const float *RESTRICT x, float b, float *RESTRICT y) {
    if (b == 0) {
        for (size_t i = 0; i < n; i++) y[i] = a * x[i];
    } else if (b == 1) {
        for (size_t i = 0; i < n; i++) y[i] = a * x[i] + y[i];
    } else {
        for (size_t i = 0; i < n; i++) y[i] = a * x[i] + b * y[i];
    }
}

/* ---- reductions: LANES chains, then a tree; the tail goes to the first lanes ------------- */

static double lanes_sum(double *lane) {
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int j = 0; j < width; j++) lane[j] += lane[j + width];
    return lane[0];
}

static void moments(size_t n, const float *x, double shift, double sums[2]) {
    double s1[LANES] = {0}, s2[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int j = 0; j < LANES; j++) s1[j] += (double)x[i + (size_t)j];
        for (int j = 0; j < LANES; j++) {
            double d = (double)x[i + (size_t)j] - shift;
            s2[j] += d * d;
        }
    }
    for (size_t j = 0; i + j < n; j++) {
        double d = (double)x[i + j] - shift;
        s1[j] += (double)x[i + j];
        s2[j] += d * d;
    }
    sums[0] = lanes_sum(s1);
    sums[1] = lanes_sum(s2);
}

static double dot(size_t n, const float *a, const float *b) {
    double s[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) s[j] += (double)a[i + (size_t)j] * (double)b[i + (size_t)j];
    for (size_t j = 0; i + j < n; j++) s[j] += (double)a[i + j] * (double)b[i + j];
    return lanes_sum(s);
}

/* The compiler does not find this one by itself. */
#if defined(__AVX512F__)
enum { VECTOR = 16 };
#elif defined(__AVX2__)
enum { VECTOR = 8 };
#else
enum { VECTOR = 4 };
#endif
typedef float floats __attribute__((vector_size(4 * VECTOR)));
typedef int32_t masks __attribute__((vector_size(4 * VECTOR)));

/* A NaN is taken, and nothing is greater than it. Which lane sees what does not matter. */
#define VECTOR_MAX(m, p) \
    do { \
        floats v_; \
        memcpy(&v_, (p), sizeof v_); \
        masks take_ = (v_ > (m)) | (v_ != v_); \
        (m) = (floats)((take_ & (masks)v_) | (~take_ & (masks)(m))); \
    } while (0)

static float max(size_t n, const float *x) {
    floats m, m2;
    for (int j = 0; j < VECTOR; j++) m[j] = m2[j] = -INFINITY;
    size_t i = 0;
    for (; i + 2 * VECTOR <= n; i += 2 * VECTOR) {
        VECTOR_MAX(m, x + i);
        VECTOR_MAX(m2, x + i + VECTOR);
    }
    float most = -INFINITY;
    for (int j = 0; j < VECTOR; j++) {
        most = OP_MAX(m[j], most);
        most = OP_MAX(m2[j], most);
    }
    for (; i < n; i++) most = OP_MAX(x[i], most);
    return most;
}

static void add_to_double(size_t n, const float *RESTRICT x, double *RESTRICT sum) {
    for (size_t i = 0; i < n; i++) sum[i] += (double)x[i];
}

static void add_product_to_double(size_t n, const float *RESTRICT a, const float *RESTRICT b,
                                  double *RESTRICT sum) {
    for (size_t i = 0; i < n; i++) sum[i] += (double)a[i] * (double)b[i];
}

static double exp_sum(size_t n, const float *x, float shift, float *out) {
    enum { PIECE = 256 };
    double s[LANES] = {0};
    for (size_t i0 = 0; i0 < n; i0 += PIECE) {
        size_t i1 = n - i0 < PIECE ? n : i0 + PIECE, i = i0;
        for (size_t k = i0; k < i1; k++) out[k] = exp_one(x[k] - shift);
        for (; i + LANES <= i1; i += LANES)
            for (int j = 0; j < LANES; j++) s[j] += (double)out[i + (size_t)j];
        for (size_t j = 0; i + j < i1; j++) s[j] += (double)out[i + j];
    }
    return lanes_sum(s);
}

/* ---- transpose: 16 x 16 tiles, so that both sides use whole cache lines ------------------ */

static void transpose_tile(const float *RESTRICT in, size_t in_row, float *RESTRICT out,
                           size_t out_row) {
    float tile[16][16];
    for (size_t r = 0; r < 16; r++) memcpy(tile[r], in + r * in_row, sizeof tile[r]);
    for (size_t c = 0; c < 16; c++)
        for (size_t r = 0; r < 16; r++) out[c * out_row + r] = tile[r][c];
}

static void transpose(size_t rows, size_t cols, const float *in, size_t in_row, float *out,
                      size_t out_row) {
    for (size_t r0 = 0; r0 < rows; r0 += 16) {
        size_t r1 = rows - r0 < 16 ? rows : r0 + 16;
        for (size_t c0 = 0; c0 < cols; c0 += 16) {
            size_t c1 = cols - c0 < 16 ? cols : c0 + 16;
            if (r1 - r0 == 16 && c1 - c0 == 16) {
                transpose_tile(in + r0 * in_row + c0, in_row, out + c0 * out_row + r0, out_row);
                continue;
            }
            for (size_t c = c0; c < c1; c++)
                for (size_t r = r0; r < r1; r++) out[c * out_row + r] = in[r * in_row + c];
        }
    }
}

/* ---- one product a lane: vectors run along the lanes ------------------------------------- */

/* Lane i of element at p, or the same value in every lane. */
static inline floats lanes_load(const float *p, size_t i, bool shared) {
    floats v = {0};
    if (shared) return v + *p;
    memcpy(&v, p + i, sizeof v);
    return v;
}

static inline void lanes_row(const fanin__gemm_args *g, size_t lanes, size_t m, size_t n,
                             size_t begin, size_t end, bool a_shared, bool b_shared) {
    const size_t a_lanes = a_shared ? 1 : lanes, b_lanes = b_shared ? 1 : lanes;
    const float *a = g->a + m * g->a_row * a_lanes, *b = g->b + n * g->b_col * b_lanes;
    const size_t a_step = g->a_col * a_lanes, b_step = g->b_row * b_lanes;
    float *c = g->c + (m * g->c_row + n) * lanes;
    size_t i = begin;
    for (; i + VECTOR <= end; i += VECTOR) {
        floats acc = {0}, old = {0};
        for (size_t k = 0; k < g->k; k++)
            acc +=
                lanes_load(a + k * a_step, i, a_shared) * lanes_load(b + k * b_step, i, b_shared);
        acc *= g->alpha;
        if (g->beta != 0) {
            memcpy(&old, c + i, sizeof old);
            acc += old * g->beta;
        }
        memcpy(c + i, &acc, sizeof acc);
    }
    for (; i < end; i++) {
        float acc = 0;
        for (size_t k = 0; k < g->k; k++)
            acc += a[k * a_step + (a_shared ? 0 : i)] * b[k * b_step + (b_shared ? 0 : i)];
        acc *= g->alpha;
        if (g->beta != 0) acc += c[i] * g->beta;
        c[i] = acc;
    }
}

static void gemm_lanes(const fanin__gemm_args *g, size_t lanes, unsigned shared, size_t begin,
                       size_t end) {
    enum { BLOCK = 256 }; /* lanes whose operands stay in the first cache */
    for (size_t from = begin; from < end; from += BLOCK) {
        size_t to = end - from < BLOCK ? end : from + BLOCK;
        for (size_t m = 0; m < g->m; m++)
            for (size_t n = 0; n < g->n; n++) {
                /* constants, so that each of the loops is made for its operands */
                if (shared == 0)
                    lanes_row(g, lanes, m, n, from, to, false, false);
                else if (shared == FANIN__SHARED_A)
                    lanes_row(g, lanes, m, n, from, to, true, false);
                else
                    lanes_row(g, lanes, m, n, from, to, shared & FANIN__SHARED_A, true);
            }
    }
}

/* ---- optimisers ------------------------------------------------------------------------ */

/* In the first step buf is 0 and one_minus_dampening 1, which gives buf = d exactly. */
static void update_sgd(size_t n, const fanin__update_scalars *s, const float *RESTRICT g,
                       float *RESTRICT w, float *RESTRICT buf, float *s1, float *s2) {
    (void)s1, (void)s2;
    const float lr = s->lr, decay = s->decay, mu = s->momentum, keep = s->one_minus_dampening;
    if (mu == 0) {
        for (size_t i = 0; i < n; i++) w[i] = w[i] - lr * (g[i] + decay * w[i]);
    } else if (s->nesterov) {
        for (size_t i = 0; i < n; i++) {
            float d = g[i] + decay * w[i];
            float b = mu * buf[i] + keep * d;
            buf[i] = b;
            w[i] = w[i] - lr * (d + mu * b);
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            float b = mu * buf[i] + keep * (g[i] + decay * w[i]);
            buf[i] = b;
            w[i] = w[i] - lr * b;
        }
    }
}

static void update_adam(size_t n, const fanin__update_scalars *s, const float *RESTRICT g,
                        float *RESTRICT w, float *RESTRICT m, float *RESTRICT v, float *s2) {
    (void)s2;
    const float decay = s->decay, b1 = s->beta1, b2 = s->beta2, n1 = s->one_minus_beta1,
                n2 = s->one_minus_beta2, step = s->step_size, rc2 = s->inverse_sqrt_correction2,
                eps = s->eps, shrink = s->shrink;
    for (size_t i = 0; i < n; i++) {
        float p = w[i] * shrink;
        float d = g[i] + decay * p;
        float mi = b1 * m[i] + n1 * d;
        float vi = b2 * v[i] + n2 * (d * d);
        m[i] = mi;
        v[i] = vi;
        w[i] = p - step * (mi / (sqrtf(vi) * rc2 + eps));
    }
}

/* The scalars tell the two apart: Adam has shrink 1, AdamW decay 0. */
static void update_adamw(size_t n, const fanin__update_scalars *s, const float *g, float *w,
                         float *m, float *v, float *s2) {
    update_adam(n, s, g, w, m, v, s2);
}

static void update_rmsprop(size_t n, const fanin__update_scalars *s, const float *RESTRICT g,
                           float *RESTRICT w, float *RESTRICT square, float *RESTRICT buf,
                           float *RESTRICT mean) {
    const float lr = s->lr, decay = s->decay, alpha = s->beta2, rest = s->one_minus_beta2,
                mu = s->momentum, eps = s->eps;
    enum { PIECE = 256 };
    float step[PIECE];
    for (size_t i0 = 0; i0 < n; i0 += PIECE) {
        size_t count = n - i0 < PIECE ? n - i0 : PIECE;
        float *RESTRICT p = w + i0;
        if (s->centered) {
            for (size_t i = 0; i < count; i++) {
                float d = g[i0 + i] + decay * p[i];
                float q = alpha * square[i0 + i] + rest * (d * d);
                float a = alpha * mean[i0 + i] + rest * d;
                square[i0 + i] = q;
                mean[i0 + i] = a;
                step[i] = d / (sqrtf(q - a * a) + eps);
            }
        } else {
            for (size_t i = 0; i < count; i++) {
                float d = g[i0 + i] + decay * p[i];
                float q = alpha * square[i0 + i] + rest * (d * d);
                square[i0 + i] = q;
                step[i] = d / (sqrtf(q) + eps);
            }
        }
        if (mu > 0) {
            for (size_t i = 0; i < count; i++) {
                float b = mu * buf[i0 + i] + step[i];
                buf[i0 + i] = b;
                p[i] = p[i] - lr * b;
            }
        } else {
            for (size_t i = 0; i < count; i++) p[i] = p[i] - lr * step[i];
        }
    }
}

static void update_adagrad(size_t n, const fanin__update_scalars *s, const float *RESTRICT g,
                           float *RESTRICT w, float *RESTRICT sum, float *s1, float *s2) {
    (void)s1, (void)s2;
    const float lr = s->lr, decay = s->decay, eps = s->eps;
    for (size_t i = 0; i < n; i++) {
        float d = g[i] + decay * w[i];
        float q = sum[i] + d * d;
        sum[i] = q;
        w[i] = w[i] - lr * (d / (sqrtf(q) + eps));
    }
}

/* ---- rows x columns, a vector of constants a column -------------------------------------- */

/* Sixteen columns at a time, their sums in registers; the rest one by one. */
typedef float strip __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t signs __attribute__((vector_size(64), aligned(4), may_alias));
typedef double wide __attribute__((vector_size(128), aligned(8), may_alias));

#define STRIP(p)     (*(const strip *)(p))
#define WIDEN(s)     __builtin_convertvector(s, wide)
#define STRIPS(c, n) for (; c + LANES <= n; c += LANES)

static void column_moments(size_t rows, size_t cols, const float *x, const float *shift,
                           double *RESTRICT sum, double *RESTRICT square) {
    size_t c = 0;
    STRIPS(c, cols) {
        const strip m = STRIP(shift + c);
        wide s = *(wide *)(sum + c), q = *(wide *)(square + c);
        for (size_t r = 0; r < rows; r++) {
            wide d = WIDEN(STRIP(x + r * cols + c) - m);
            s += d;
            q += d * d;
        }
        *(wide *)(sum + c) = s;
        *(wide *)(square + c) = q;
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t i = c; i < cols; i++) {
            double d = (double)(x[r * cols + i] - shift[i]);
            sum[i] += d;
            square[i] += d * d;
        }
}

static void column_products(size_t rows, size_t cols, const float *x, const float *g,
                            const float *shift, double *RESTRICT sum, double *RESTRICT product) {
    size_t c = 0;
    STRIPS(c, cols) {
        const strip m = STRIP(shift + c);
        wide s = *(wide *)(sum + c), q = *(wide *)(product + c);
        for (size_t r = 0; r < rows; r++) {
            wide d = WIDEN(STRIP(g + r * cols + c));
            s += d;
            q += d * WIDEN(STRIP(x + r * cols + c) - m);
        }
        *(wide *)(sum + c) = s;
        *(wide *)(product + c) = q;
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t i = c; i < cols; i++) {
            sum[i] += (double)g[r * cols + i];
            product[i] += (double)g[r * cols + i] * (double)(x[r * cols + i] - shift[i]);
        }
}

/* A block of rows stays in the nearest cache while its strips are walked. */
enum { BLOCK_FLOATS = 4096 };

static inline size_t block_rows(size_t cols) {
    return cols < BLOCK_FLOATS ? BLOCK_FLOATS / cols : 1;
}

static void column_affine(size_t rows, size_t cols, const float *x, const float *mean,
                          const float *factor, const float *shift, bool relu, float *out) {
    size_t block = block_rows(cols);
    const signs only = (signs){0} - (int32_t)relu; /* all ones: negative results become 0 */
    for (size_t r0 = 0; r0 < rows; r0 += block) {
        size_t r1 = rows - r0 < block ? rows : r0 + block, c = 0;
        STRIPS(c, cols) {
            const strip m = STRIP(mean + c), f = STRIP(factor + c), s = STRIP(shift + c),
                        zero = {0};
            for (size_t r = r0; r < r1; r++) {
                strip y = (STRIP(x + r * cols + c) - m) * f + s;
                *(strip *)(out + r * cols + c) = (strip)((signs)y & ~((y < zero) & only));
            }
        }
        for (size_t r = r0; r < r1; r++)
            for (size_t i = c; i < cols; i++) {
                float y = (x[r * cols + i] - mean[i]) * factor[i] + shift[i];
                out[r * cols + i] = relu && y < 0 ? 0 : y;
            }
    }
}

static void column_blend(size_t rows, size_t cols, const float *g, const float *factor,
                         const float *x, const float *mean, const float *slope, const float *shift,
                         float *out) {
    size_t block = block_rows(cols);
    for (size_t r0 = 0; r0 < rows; r0 += block) {
        size_t r1 = rows - r0 < block ? rows : r0 + block, c = 0;
        STRIPS(c, cols) {
            const strip f = STRIP(factor + c), k = STRIP(slope + c);
            const strip m = STRIP(mean + c), s = STRIP(shift + c);
            for (size_t r = r0; r < r1; r++)
                *(strip *)(out + r * cols + c) =
                    STRIP(g + r * cols + c) * f + ((STRIP(x + r * cols + c) - m) * k + s);
        }
        for (size_t r = r0; r < r1; r++)
            for (size_t i = c; i < cols; i++)
                out[r * cols + i] = g[r * cols + i] * factor[i] +
                                    ((x[r * cols + i] - mean[i]) * slope[i] + shift[i]);
    }
}

/* ---- windows of 2 x 2: four at a time, since rows are short ------------------------------- */

typedef float four __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t four_signs __attribute__((vector_size(16), aligned(4), may_alias));

static inline four pick(four_signs yes, four a, four b) {
    return (four)(((four_signs)a & yes) | ((four_signs)b & ~yes));
}

/* Where does b take the place of a? */
static inline four_signs beats(four b, four a) {
    return (four_signs)(a == a) & ~(four_signs)(b <= a);
}

typedef struct quads {
    four max;
    four_signs right, low_right, low; /* the maximum of a row is its second; of a window, below */
} quads;

static inline quads quads_at(const float *top, const float *bottom) {
    const four t0 = *(const four *)top, t1 = *(const four *)(top + 4);
    const four b0 = *(const four *)bottom, b1 = *(const four *)(bottom + 4);
    four a = __builtin_shufflevector(t0, t1, 0, 2, 4, 6);
    four b = __builtin_shufflevector(t0, t1, 1, 3, 5, 7);
    four c = __builtin_shufflevector(b0, b1, 0, 2, 4, 6);
    four d = __builtin_shufflevector(b0, b1, 1, 3, 5, 7);
    quads q = {.right = beats(b, a), .low_right = beats(d, c)};
    a = pick(q.right, b, a);
    c = pick(q.low_right, d, c);
    q.low = beats(c, a);
    q.max = pick(q.low, c, a);
    return q;
}

static inline void four_to(float *out, four even, four odd) {
    *(four *)out = __builtin_shufflevector(even, odd, 0, 4, 1, 5);
    *(four *)(out + 4) = __builtin_shufflevector(even, odd, 2, 6, 3, 7);
}

/* The last four windows may be some that are done already. */
static void quad_max(size_t n, const float *top, const float *bottom, float *out) {
    if (n < 4) {
        float rows[2][8] = {{0}}, o[4];
        memcpy(rows[0], top, 2 * n * sizeof *top);
        memcpy(rows[1], bottom, 2 * n * sizeof *bottom);
        *(four *)o = quads_at(rows[0], rows[1]).max;
        memcpy(out, o, n * sizeof *o);
        return;
    }
    for (size_t i = 0; i < n; i += 4) {
        if (i + 4 > n) i = n - 4;
        *(four *)(out + i) = quads_at(top + 2 * i, bottom + 2 * i).max;
    }
}

static inline void quads_spread(const float *top, const float *bottom, const float *g,
                                float *to_top, float *to_bottom) {
    const four zero = {0};
    quads q = quads_at(top, bottom);
    four up = pick(q.low, zero, *(const four *)g), down = pick(q.low, *(const four *)g, zero);
    four_to(to_top, pick(q.right, zero, up), pick(q.right, up, zero));
    four_to(to_bottom, pick(q.low_right, zero, down), pick(q.low_right, down, zero));
}

static void quad_spread(size_t n, const float *top, const float *bottom, const float *g,
                        float *to_top, float *to_bottom) {
    if (n < 4) {
        float rows[4][8] = {{0}}, part[4] = {0};
        memcpy(rows[0], top, 2 * n * sizeof *top);
        memcpy(rows[1], bottom, 2 * n * sizeof *bottom);
        memcpy(part, g, n * sizeof *g);
        quads_spread(rows[0], rows[1], part, rows[2], rows[3]);
        memcpy(to_top, rows[2], 2 * n * sizeof *to_top);
        memcpy(to_bottom, rows[3], 2 * n * sizeof *to_bottom);
        return;
    }
    for (size_t i = 0; i < n; i += 4) {
        if (i + 4 > n) i = n - 4;
        quads_spread(top + 2 * i, bottom + 2 * i, g + i, to_top + 2 * i, to_bottom + 2 * i);
    }
}

/* ---- the table ------------------------------------------------------------------------- */

static const fanin__kernels table = {
    .name = TEXT(VARIANT),
#define BINARY_ROW(id, name) \
    [FANIN__BINARY_##id] = { \
        [FANIN__FORM_VV] = name##_vv, [FANIN__FORM_VS] = name##_vs, [FANIN__FORM_SV] = name##_sv},
    .binary = {FANIN__BINARY_MAP(BINARY_ROW)},
#define UNARY_ROW(id, name) [FANIN__UNARY_##id] = name##_v,
    .unary = {FANIN__UNARY_MAP(UNARY_ROW)},
    .axpby = axpby,
    .moments = moments,
    .dot = dot,
    .max = max,
    .add_to_double = add_to_double,
    .add_product_to_double = add_product_to_double,
    .exp_sum = exp_sum,
    .column_moments = column_moments,
    .column_products = column_products,
    .column_affine = column_affine,
    .column_blend = column_blend,
    .transpose = transpose,
    .quad_max = quad_max,
    .quad_spread = quad_spread,
#define UPDATE_ROW(id, name, states) [FANIN__UPDATE_##id] = update_##name,
    .update = {FANIN__UPDATE_MAP(UPDATE_ROW)},
    .gemm = PASTE(fanin__gemm_, VARIANT),
    .gemm_lanes = gemm_lanes,
};

const fanin__kernels *PASTE(fanin__kernels_, VARIANT)(void) { return &table; }
