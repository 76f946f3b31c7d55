/* fanin/theory.h - what should happen: signal, gradient, spectra, kernels, learning curves.
 *
 * Conventions, the same throughout. W is out x in with Var W = sigma_w2 / fan_in, biases have
 * variance sigma_b2, s = W f(s') + b is a pre-activation, q = E s^2 its variance, c the correlation
 * of two inputs' pre-activations. Widths are infinite unless said. Natural logarithms.
 *
 *     fanin_meanfield_settings set = {.sigma_w2 = 1.5, .sigma_b2 = 0.05};
 *     fanin_meanfield m;
 *     fanin_meanfield_solve(act, &set, &m, &err);        q*, c*, chi_1, xi_c, ... of tanh
 *
 * Errors of every function here: FANIN_ARG for arguments outside the range given, FANIN_DOMAIN
 * where no such value exists (an infinite moment, no fixed point), FANIN_NOCONV where a solver
 * gave up, FANIN_NUMERIC where the activation is not a number, FANIN_NOMEM; *err says it in a
 * sentence. Functions are pure: same bits for the same arguments on any number of threads.
 */
#ifndef FANIN_THEORY_H
#define FANIN_THEORY_H

#include "fanin/activation.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Gaussian expectations (src/theory/expect.c, dual.c) --------------------------------- */

/* Expectations over u ~ N(mean, q). f'' includes the delta functions at kinks of f. */
typedef struct fanin_moments {
    double mean;          /* E f */
    double second;        /* E f^2 */
    double fourth;        /* E f^4 */
    double slope_mean;    /* E f', jumps of f included */
    double slope_second;  /* E f'^2; infinite where f jumps */
    double slope_fourth;  /* E f'^4; infinite where f jumps */
    double curve_product; /* E f f''; NaN where f jumps */
    double curve_second;  /* E f''^2; infinite where f or f' jumps */
    double error;         /* estimate of the largest relative error of the finite ones */
} fanin_moments;

/* By adaptive quadrature split at kinks, whatever q > 0: relative error about 1e-14. q = 0 gives
 * the values at the mean. Takes 20 to 100 us for a named activation. */
FANIN_API fanin_status fanin_gaussian_moments(const fanin_activation *act, double mean, double q,
                                              fanin_moments *out, fanin_err *err);

/* E f^(order)(u)^power over u ~ N(mean, q), order 0 to 2 without delta functions, power 1 to 16.
 * *error (NULL is fine) gets the absolute error estimate. */
FANIN_API fanin_status fanin_gaussian_power(const fanin_activation *act, int order, int power,
                                            double mean, double q, double *value, double *error,
                                            fanin_err *err);

/* The dual activation: E f^(order)(u1) f^(order)(u2), order 0 or 1 (for order 1 f must not jump),
 * over zero-mean u1, u2 with variances q1, q2 > 0 and correlation c in [-1, 1]. Closed form where
 * one is known, else Hermite series, else nested quadrature: relative error about 1e-12. */
FANIN_API fanin_status fanin_gaussian_dual(const fanin_activation *act, int order, double q1,
                                           double q2, double c, double *value, double *error,
                                           fanin_err *err);
/* The same by nested quadrature only: slow (milliseconds), the check on the others. */
FANIN_API fanin_status fanin_gaussian_dual_quadrature(const fanin_activation *act, int order,
                                                      double q1, double q2, double c, double *value,
                                                      double *error, fanin_err *err);

/* a[k] = E f(sqrt(q) z) h_k(z) for k < n <= 1024, h_k = He_k/sqrt(k!) the normalised Hermite
 * polynomials: E f(u1) f(u2) = sum a_k^2 c^k at equal variances. *rest gets E f^2 - sum a_k^2. */
FANIN_API fanin_status fanin_gaussian_hermite(const fanin_activation *act, double q, size_t n,
                                              double *a, double *rest, fanin_err *err);

/* What `fanin gain` prints, all at q = 1. */
typedef struct fanin_gain {
    double mean, second_moment;
    double gain;                     /* 1/sqrt(E f^2): keeps the second moment at 1 forward */
    double derivative_second_moment; /* E f'^2 */
    double derivative_gain;          /* 1/sqrt(E f'^2): keeps gradients */
    double nf_gamma;                 /* 1/sqrt(Var f), Brock 2021 */
    double critical_sigma_w;         /* on the critical line at sigma_b = 0; NaN: none */
    double torch_gain;               /* calculate_gain; NaN: none */
    double error;                    /* relative */
    bool closed_form;
} fanin_gain;

FANIN_API fanin_status fanin_gain_solve(const fanin_activation *act, fanin_gain *out,
                                        fanin_err *err);

/* ---- mean field (src/theory/meanfield.c, critical.c) -------------------------------------- */

typedef enum fanin_norm {
    FANIN_NORM_NONE = 0,
    FANIN_NORM_LAYER = 1,
    FANIN_NORM_BATCH = 2
} fanin_norm;

/* One layer, all layers alike. Zero-initialise, then set what differs from a plain net.
 *   plain      q' = sigma_w2/keep E f^2 + sigma_b2, a fresh mask for every input
 *   residual   s' = s + a (W f(s) + b): q' = q + a^2 (sigma_w2/keep E f^2 + sigma_b2)
 *   layer      every pre-activation vector is scaled to q = 1
 *   batch      every unit is standardised over a large batch (Yang et al. 2019); not with
 *              dropout or residual branches: FANIN_UNSUPPORTED */
typedef struct fanin_meanfield_settings {
    double sigma_w2, sigma_b2; /* >= 0 */
    double keep;               /* probability that a unit survives dropout; 0 counts as 1 */
    double residual;           /* branch weight a; 0: no skip connection */
    fanin_norm norm;
    double q_start; /* the input's variance; 0 counts as 1 */
} fanin_meanfield_settings;

typedef enum fanin_phase {
    FANIN_PHASE_ORDERED = -1, /* chi_1 < 1: gradients vanish, inputs grow alike */
    FANIN_PHASE_CRITICAL = 0, /* |chi_1 - 1| < 1e-9 */
    FANIN_PHASE_CHAOTIC = 1   /* chi_1 > 1: gradients explode */
} fanin_phase;

typedef struct fanin_fixed_point {
    double at, slope; /* slope of the map there; stable when |slope| < 1 */
} fanin_fixed_point;

#define FANIN_FIXED_POINTS 8

typedef struct fanin_meanfield {
    double q;           /* the fixed point reached from q_start; infinite if q grows for ever */
    double c;           /* stable fixed point of the correlation map in [0, 1] */
    double chi1;        /* sigma_w2 E f'^2 at q: growth of squared gradients per layer */
    double chi_q;       /* slope of the variance map at q */
    double chi_c;       /* slope of the correlation map at c */
    double xi_q, xi_c;  /* depth scales -1/ln chi, in layers; infinite where chi >= 1 */
    double xi_gradient; /* -1/ln chi1: negative where gradients explode */
    double curvature;   /* of a circle after many layers: 3 chi_2/chi_1^2 / (1 - 1/chi_1), Poole
                           2016; infinite in the ordered phase and where f has kinks */
    fanin_phase phase;
    int q_count, c_count; /* all fixed points found, q ascending; the c-map is convex on [0, 1] */
    fanin_fixed_point q_points[FANIN_FIXED_POINTS], c_points[FANIN_FIXED_POINTS];
} fanin_meanfield;

/* Fixed points, depth scales and phase. Poole et al. 2016 (2)-(8), Schoenholz et al. 2017 (5)-(11).
 * Where q* is degenerate the answer is the limit: relu at sigma_w2 = 2, sigma_b2 = 0 keeps q_start,
 * above 2 q is infinite, c = 1 and chi1 = sigma_w2/2. For infinite q the correlation map is the
 * normalised one. DOMAIN for sigma_w2 < 0, sigma_b2 < 0 and for infinite moments. About 10 ms. */
FANIN_API fanin_status fanin_meanfield_solve(const fanin_activation *act,
                                             const fanin_meanfield_settings *set,
                                             fanin_meanfield *out, fanin_err *err);

/* One layer of the maps: *q1 and *c1 from q and c. NULL outputs are left out. q > 0. */
FANIN_API fanin_status fanin_meanfield_step(const fanin_activation *act,
                                            const fanin_meanfield_settings *set, double q, double c,
                                            double *q1, double *c1, fanin_err *err);
/* q[0] = q0, c[0] = c0 and `layers` steps after them: arrays of layers + 1; c may be NULL. */
FANIN_API fanin_status fanin_meanfield_trajectory(const fanin_activation *act,
                                                  const fanin_meanfield_settings *set, double q0,
                                                  double c0, size_t layers, double *q, double *c,
                                                  fanin_err *err);

/* The critical line chi_1(q*) = 1 of plain nets, to about 1e-12: sigma_w2 for a given sigma_b2.
 * Where several points exist, the one of smallest q whose variance map is stable. *q may be NULL.
 * DOMAIN where the line does not pass (relu with sigma_b2 > 0). */
FANIN_API fanin_status fanin_critical_sigma_w2(const fanin_activation *act, double sigma_b2,
                                               double *sigma_w2, double *q, fanin_err *err);
FANIN_API fanin_status fanin_critical_sigma_b2(const fanin_activation *act, double sigma_w2,
                                               double *sigma_b2, double *q, fanin_err *err);
/* The point of the line at a given q* > 0. For depth L take q = 1/L (Xiao 2018, Pennington 2017):
 * chi_1 = 1 and curvature small enough that L layers stay nearly linear. */
FANIN_API fanin_status fanin_critical_at_q(const fanin_activation *act, double q, double *sigma_w2,
                                           double *sigma_b2, fanin_err *err);

/* MORE */

#ifdef __cplusplus
}
#endif
#endif
