/* slopes.h - one layer of the kernels of relu and its kin for many pairs at once. Written as plain
 * branch-free loops that the compiler widens; each including file is compiled for one instruction
 * set. Correctly rounded operations in a fixed order: every set gives the same bits. */
#ifndef FANIN_SRC_THEORY_SLOPES_H
#define FANIN_SRC_THEORY_SLOPES_H

#include <math.h>
#include <stddef.h>

typedef struct fanin__slopes {
    double tilt;       /* (b - a)^2/(2 pi) for slopes a below and b above 0 */
    double mean;       /* (a^2 + b^2)/2 */
    double w2, b2;     /* sigma_w2, sigma_b2 */
    double gain, bias; /* what a layer adds to T: gain E f f + bias */
} fanin__slopes;

/* Inner products of rows a[0 ... 3] and b[0 ... 3] of d doubles, each in eight lanes. */
typedef void (*fanin__dots_fn)(const double *a[4], const double *b[4], size_t d, double out[4][4]);

/* k[j], t[j]: kernel and tangent kernel of the pair (this row, j), advanced by one layer; root and
 * roots[j] are the square roots of their variances. */
typedef void (*fanin__slopes_fn)(const fanin__slopes *s, size_t n, double root, const double *roots,
                                 double *k, double *t);
/* In float; inverses[j] = 1/roots[j], 0 where that is infinite. */
typedef void (*fanin__slopes32_fn)(const fanin__slopes *s, size_t n, double root,
                                   const float *roots, const float *inverses, float *k, float *t);

/* One instruction set. */
typedef struct fanin__slopes_kernels {
    fanin__slopes_fn layer;
    fanin__slopes32_fn layer32;
    fanin__dots_fn dots;
} fanin__slopes_kernels;
const fanin__slopes_kernels *fanin__slopes_ref(void);
#if defined(__x86_64__)
const fanin__slopes_kernels *fanin__slopes_avx2(void);
const fanin__slopes_kernels *fanin__slopes_avx512(void);
#endif

/* arccos c = 2 arcsin sqrt((1 - c)/2) for c >= 0, mirrored below; arcsin s = s + s^3 R(s^2) with R
 * fitted at Chebyshev nodes of [0, 1/2] in 40 digits, relative error 4e-15. */
static inline double slopes_angle(double c) {
    double h = 0.5 * (1 - fabs(c)), s = sqrt(h);
    double r = 0.5264308778346942;
    r = r * h + -1.6751484994414738;
    r = r * h + 2.54781439516293;
    r = r * h + -2.351887223359218;
    r = r * h + 1.4849097382439669;
    r = r * h + -0.6539078548835734;
    r = r * h + 0.22234822725152295;
    r = r * h + -0.04321921537313774;
    r = r * h + 0.01888750254467092;
    r = r * h + 0.010374717495045944;
    r = r * h + 0.01407336263992776;
    r = r * h + 0.017345847435914215;
    r = r * h + 0.022372448471417707;
    r = r * h + 0.030381937129050032;
    r = r * h + 0.044642857239836256;
    r = r * h + 0.07499999999949283;
    r = r * h + 0.1666666666666671;
    double angle = 2 * (s + s * h * r);
    return c < 0 ? 3.14159265358979323846 - angle : angle;
}

static void slopes_layer(const fanin__slopes *s, size_t n, double root,
                         const double *restrict roots, double *restrict k, double *restrict t) {
    for (size_t j = 0; j < n; j++) {
        double r = root * roots[j], safe = r > 0 ? r : 1, c = k[j] / safe;
        c = c > 1 ? 1 : c;
        c = c < -1 ? -1 : c;
        double slope = s->mean - s->tilt * slopes_angle(c);
        double ff = r * (s->tilt * sqrt((1 - c) * (1 + c)) + c * slope);
        k[j] = s->w2 * ff + s->b2;
        t[j] = s->gain * ff + s->bias + s->w2 * t[j] * slope;
    }
}

/* arccos a = sqrt(1 - a) P(a) on [0, 1], fitted at Chebyshev nodes in 40 digits to 4e-9. */
static inline float slopes_angle32(float a, float root) {
    float p = 0.0006845318166f;
    p = p * a - 0.003974577704f;
    p = p * a + 0.01102838067f;
    p = p * a - 0.02072766525f;
    p = p * a + 0.03257117017f;
    p = p * a - 0.05059357388f;
    p = p * a + 0.08903013694f;
    p = p * a - 0.2146011607f;
    p = p * a + 1.570796323f;
    return p * root;
}

static void slopes_layer32(const fanin__slopes *s, size_t n, double row,
                           const float *restrict roots, const float *restrict inverses,
                           float *restrict k, float *restrict t) {
    const float root = (float)row, inverse = row > 0 ? (float)(1 / row) : 0, tilt = (float)s->tilt,
                mean = (float)s->mean, w2 = (float)s->w2, b2 = (float)s->b2, gain = (float)s->gain,
                bias = (float)s->bias;
    for (size_t j = 0; j < n; j++) {
        float r = root * roots[j], c = k[j] * (inverse * inverses[j]);
        c = c > 1 ? 1 : c;
        c = c < -1 ? -1 : c;
        float a = fabsf(c), h = sqrtf(1 - a), angle = slopes_angle32(a, h);
        angle = c < 0 ? 3.14159265f - angle : angle;
        float slope = mean - tilt * angle;
        float ff = r * (tilt * (h * sqrtf(1 + a)) + c * slope);
        k[j] = w2 * ff + b2;
        t[j] = gain * ff + bias + w2 * t[j] * slope;
    }
}

/* Eight lanes in vectors of the file's instruction set, and blocks of as many sums as its registers hold;
 * every sum by itself, so that neither changes a bit. */
#ifdef __AVX512F__
enum { SLOPES_BLOCK = 4, SLOPES_WIDE = 8 };
#elif defined(__AVX2__)
enum { SLOPES_BLOCK = 2, SLOPES_WIDE = 4 };
#else
enum { SLOPES_BLOCK = 2, SLOPES_WIDE = 2 };
#endif
enum { SLOPES_PARTS = 8 / SLOPES_WIDE };
typedef double slopes_lanes __attribute__((vector_size(8 * SLOPES_WIDE), aligned(8), may_alias));

static inline void slopes_block(const double *const *a, const double *const *b, size_t d,
                                double (*out)[4]) {
    slopes_lanes s[SLOPES_BLOCK][SLOPES_BLOCK][SLOPES_PARTS] = {{{{0}}}};
    size_t k = 0;
    for (; k + 8 <= d; k += 8)
        for (int p = 0; p < SLOPES_PARTS; p++) {
            slopes_lanes x[SLOPES_BLOCK];
            size_t at = k + (size_t)(p * SLOPES_WIDE);
            for (int i = 0; i < SLOPES_BLOCK; i++) x[i] = *(const slopes_lanes *)(a[i] + at);
            for (int j = 0; j < SLOPES_BLOCK; j++) {
                slopes_lanes y = *(const slopes_lanes *)(b[j] + at);
                for (int i = 0; i < SLOPES_BLOCK; i++) s[i][j][p] += x[i] * y;
            }
        }
    for (int i = 0; i < SLOPES_BLOCK; i++)
        for (int j = 0; j < SLOPES_BLOCK; j++) {
            double v[8], rest = 0;
            for (int m = 0; m < 8; m++) v[m] = s[i][j][m / SLOPES_WIDE][m % SLOPES_WIDE];
            for (size_t m = k; m < d; m++) rest += a[i][m] * b[j][m];
            out[i][j] = ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7])) + rest;
        }
}

static void slopes_dots(const double *a[4], const double *b[4], size_t d, double out[4][4]) {
    for (int i = 0; i < 4; i += SLOPES_BLOCK)
        for (int j = 0; j < 4; j += SLOPES_BLOCK) {
            double part[SLOPES_BLOCK][4];
            slopes_block(a + i, b + j, d, part);
            for (int m = 0; m < SLOPES_BLOCK; m++)
                for (int n = 0; n < SLOPES_BLOCK; n++) out[i + m][j + n] = part[m][n];
        }
}

static const fanin__slopes_kernels slopes_kernels = {slopes_layer, slopes_layer32, slopes_dots};

#endif
