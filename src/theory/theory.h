/* theory.h - quadrature and duals shared by the files of this room. Private. */
#ifndef FANIN_SRC_THEORY_H
#define FANIN_SRC_THEORY_H

#include "activation/activation.h"
#include "base/base.h"
#include "fanin/theory.h"

#define FANIN__PI        3.14159265358979323846264338327950288
#define FANIN__INV_SQ2PI 0.398942280401432677939946059934381868

/* Integrands of several components at once. */
#define FANIN__COMPONENTS 8
typedef void (*fanin__integrand)(void *ctx, double z, double out[FANIN__COMPONENTS]);

typedef struct fanin__integral {
    double value[FANIN__COMPONENTS], error[FANIN__COMPONENTS];
    double bad_at; /* where the integrand was not finite, or the last tail still counted */
} fanin__integral;

/* Integral of g(z) phi(z) dz over the line, phi the standard normal density, cut at `breaks`
 * (any order; those beyond +-38 are ignored). Components are refined to about 1e-15 of their
 * absolute integral. FANIN_NUMERIC: g is NaN somewhere; FANIN_DOMAIN: the integral does not
 * exist (the tail does not fall); FANIN_NOCONV: refinement did not settle to 1e-7. */
fanin_status fanin__gauss_integrate(fanin__integrand g, void *ctx, int components,
                                    const double *breaks, size_t break_count, fanin__integral *out);

/* Cuts for an integrand whose features are those of `act` at u = mean + sqrt(q) z: kinks, and
 * dyadic distances from u = 0 when sqrt(q) is large. Returns how many of at most `max`. */
size_t fanin__gauss_breaks(const fanin_activation *act, double mean, double q, double *breaks,
                           size_t max);
#define FANIN__BREAKS 256

/* A fixed rule for E g(z): panels of 21 nodes, at most 2 wide, over +-13, cut at `breaks`. Writes at most
 * `max` places and weights (density included), or only counts them when z is NULL. */
size_t fanin__gauss_nodes(const double *breaks, size_t break_count, double *z, double *w,
                          size_t max);

/* a[k] = E f^(order)(sqrt(q) z) h_k(z), k < n; *total = E f^(order)^2 by the same rule. */
fanin_status fanin__hermite(const fanin_activation *act, int order, double q, size_t n, double *a,
                            double *total, fanin_err *err);

/* Where f^(order), or one of its next derivatives, jumps, and by how much (kinks.c). */
#define FANIN__KINKS       8
#define FANIN__KINK_ORDERS 6
typedef struct fanin__kinks {
    size_t n;
    int orders; /* of FANIN__KINK_ORDERS, that help at this variance and number of terms */
    double at[FANIN__KINKS], jump[FANIN__KINKS][FANIN__KINK_ORDERS];
} fanin__kinks;

/* False, and none, where there are none or more than FANIN__KINKS. order 0 or 1; q the largest
 * variance, terms the length of the Hermite series that is to be completed. */
bool fanin__kinks_find(const fanin_activation *act, int order, double q, size_t terms,
                       fanin__kinks *out);
/* K(x) = sum jump[i][m] (x - at[i])_+^m/m! has the same jumps. r[k] = E K(sqrt(q) z) h_k(z), k < n. */
void fanin__kinks_coefficients(const fanin__kinks *kinks, double q, size_t n, double *r);
/* E K(u1) K(u2). */
double fanin__kinks_dual(const fanin__kinks *kinks, double q1, double q2, double c);
/* What the Hermite series of E K(u1) K(u2) leaves after n terms, r1 and r2 its coefficients: nearly
 * what the series of f leaves. */
double fanin__kinks_tail(const fanin__kinks *kinks, double q1, double q2, double c,
                         const double *r1, const double *r2, size_t n);
/* f and its derivatives just left and right of a kink. */
void fanin__kink_sides(const fanin_activation *act, double at, double left[4], double right[4]);

/* The limit of E f'^2 as q goes to 0: the mean of the squared slopes of f on the two sides of 0. */
double fanin__slope_at_origin(const fanin_activation *act);

/* Closed-form E f(u1) f(u2) (order 0) and E f'(u1) f'(u2) (order 1) for covariance
 * (q1, k; k, q2). False where none is known. */
bool fanin__dual_closed(const fanin_activation *act, int order, double q1, double q2, double k,
                        double *out);

/* Sentence for a failed expectation. */
fanin_status fanin__gauss_fail(fanin_err *err, fanin_status status, const fanin_activation *act,
                               double q, double at);

/* Root of g in [a, b] with g(a) g(b) <= 0, to the last bits. */
typedef double (*fanin__scalar_fn)(void *ctx, double x);
double fanin__root(fanin__scalar_fn g, void *ctx, double a, double b, double ga, double gb);

/* Slopes a, b of f far below and far above 0; false unless f grows like a straight line. */
bool fanin__far_slopes(const fanin_activation *act, double *a, double *b);

/* Depth scales, curvature and phase from the chis already in *out. */
void fanin__meanfield_finish(fanin_meanfield *out, double curve_second, double w2);

#endif
