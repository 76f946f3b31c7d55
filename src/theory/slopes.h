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

/* k[j], t[j]: kernel and tangent kernel of the pair (this row, j), advanced by one layer; root and
 * roots[j] are the square roots of their variances. */
typedef void (*fanin__slopes_fn)(const fanin__slopes *s, size_t n, double root, const double *roots,
                                 double *k, double *t);
void fanin__slopes_ref(const fanin__slopes *s, size_t n, double root, const double *roots,
                       double *k, double *t);
#if defined(__x86_64__)
void fanin__slopes_avx2(const fanin__slopes *s, size_t n, double root, const double *roots,
                        double *k, double *t);
void fanin__slopes_avx512(const fanin__slopes *s, size_t n, double root, const double *roots,
                          double *k, double *t);
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

static inline void slopes_body(const fanin__slopes *s, size_t n, double root,
                               const double *restrict roots, double *restrict k,
                               double *restrict t) {
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

#endif
