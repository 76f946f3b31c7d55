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
typedef struct fanin_expectations {
    double mean;          /* E f */
    double second;        /* E f^2 */
    double fourth;        /* E f^4 */
    double slope_mean;    /* E f', jumps of f included */
    double slope_second;  /* E f'^2; infinite where f jumps */
    double slope_fourth;  /* E f'^4; infinite where f jumps */
    double curve_product; /* E f f''; NaN where f jumps */
    double curve_second;  /* E f''^2; infinite where f or f' jumps */
    double error;         /* estimate of the largest relative error of the finite ones */
} fanin_expectations;

/* By adaptive quadrature split at kinks, whatever q > 0: relative error about 1e-14. q = 0 gives
 * the values at the mean. Takes 20 to 100 us for a named activation. */
FANIN_API fanin_status fanin_gaussian_moments(const fanin_activation *act, double mean, double q,
                                              fanin_expectations *out, fanin_err *err);

/* E f^(order)(u)^power over u ~ N(mean, q), order 0 to 2 without delta functions, power 1 to 16.
 * *error (NULL is fine) gets the absolute error estimate. */
FANIN_API fanin_status fanin_gaussian_power(const fanin_activation *act, int order, int power,
                                            double mean, double q, double *value, double *error,
                                            fanin_err *err);

/* The dual activation: E f^(order)(u1) f^(order)(u2), order 0 or 1 (for order 1 f must not jump),
 * over zero-mean u1, u2 with variances q1, q2 > 0 and correlation c in [-1, 1]. Closed form where
 * one is known, else Hermite series with the tail of kinks in closed form (some 0.3 ms), else nested
 * quadrature (milliseconds): relative error about 1e-12. */
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

/* DOMAIN for an activation that is zero everywhere. */
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
 *   batch      every unit is standardised over a large batch (Yang et al. 2019), dropout masks included;
 *              c is then the correlation of deviations from the batch mean
 *   both with residual: the norm at the head of the branch, s' = s + a (W f(norm s) + b), whose q grows
 *              in proportion to depth: chi1 = 1 in the limit (De, Smith 2020; Xiong et al. 2020) */
typedef struct fanin_meanfield_settings {
    double sigma_w2, sigma_b2; /* >= 0 */
    double keep;               /* probability that a unit survives dropout; 0 counts as 1 */
    double residual;           /* branch weight a; 0: no skip connection */
    fanin_norm norm;
    double q_start; /* the input's variance; 0 counts as 1, below 1e-12 as the limit at 0 */
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

/* ---- self-normalisation and shaping (src/theory/selfnorm.c, shape.c) ---------------------- */

/* lambda, alpha such that lambda (x > 0 ? x : alpha (e^x - 1)) maps N(mean, variance) to that same
 * mean and variance, to 1e-14 (Klambauer et al. 2017; (0, 1) gives SELU). |mean| < 10,
 * 0.001 < variance < 300. DOMAIN where no alpha > 0, lambda > 0 does it. */
FANIN_API fanin_status fanin_selu_solve(double mean, double variance, double *alpha, double *lambda,
                                        fanin_err *err);

/* One layer of the map of mean and variance: z ~ N(mean omega, variance tau), then f. */
typedef struct fanin_selfnorm {
    double mean, variance;
    double jacobian[2][2]; /* d(mean, variance) / d(mean, variance before) */
    double norm;           /* its largest singular value: below 1 the map contracts here */
} fanin_selfnorm;

/* omega: sum of the weights, tau: sum of their squares; f must be continuous. */
FANIN_API fanin_status fanin_selfnorm_map(const fanin_activation *act, double mean, double variance,
                                          double omega, double tau, fanin_selfnorm *out,
                                          fanin_err *err);

/* Alpha dropout for SELU: dropped units are set to -lambda alpha, then x -> a x + b restores mean 0
 * and variance 1. 0 < keep <= 1. */
FANIN_API fanin_status fanin_alpha_dropout(double keep, double *a, double *b, fanin_err *err);

/* f^(x) = out_scale (f(in_scale x + in_shift) + out_shift). */
typedef struct fanin_shape {
    double in_scale, in_shift, out_scale, out_shift;
} fanin_shape;

/* Deep kernel shaping (Martens et al. 2021) of a plain net of `depth` layers: Q(1) = 1, Q'(1) = 1,
 * C(0) = 0, C'(1) = zeta^(1/depth); zeta > 1, the paper's 1.5. For smooth f. Of mirrored solutions
 * the one with the smaller in_shift. */
FANIN_API fanin_status fanin_shape_dks(const fanin_activation *act, double depth, double zeta,
                                       fanin_shape *out, fanin_err *err);
/* Tailored activation transformation (Zhang et al. 2022), smooth f: Q(1) = 1, Q'(1) = 1, C'(1) = 1,
 * C''(1) = tau/depth; the paper's tau is 0.3. */
FANIN_API fanin_status fanin_shape_tat(const fanin_activation *act, double depth, double tau,
                                       fanin_shape *out, fanin_err *err);
/* The same for leaky relu: the slope below 0 for which `depth` layers map correlation 0 to eta; use
 * with the gain sqrt(2/(1 + slope^2)). DOMAIN where relu itself stays below eta. */
FANIN_API fanin_status fanin_shape_tat_leaky(unsigned depth, double eta, double *slope,
                                             fanin_err *err);

/* ---- exact learning dynamics (src/theory/dynamics.c) ------------------------------------- */

/* Mode strength of a deep linear net of `layers` layers of units (layers - 1 matrices, >= 3; Saxe,
 * McClelland, Ganguli 2014): tau du/dt = (layers - 1) u^(2 - 2/(layers - 1)) (s - u), 0 < u0 < s.
 * u(t) and the time from u0 to uf. */
FANIN_API fanin_status fanin_saxe_strength(unsigned layers, double s, double tau, double u0,
                                           double t, double *u, fanin_err *err);
FANIN_API fanin_status fanin_saxe_time(unsigned layers, double s, double tau, double u0, double uf,
                                       double *t, fanin_err *err);
/* The limit of many layers: tau du/dt = layers u^2 (s - u). */
FANIN_API fanin_status fanin_saxe_time_continuum(double layers, double s, double tau, double u0,
                                                 double uf, double *t, fanin_err *err);

/* LMS, w += 2 mu e x, inputs with covariance eigenvalues lambda[n] >= 0 (Widrow, Hoff 1960). */
typedef struct fanin_lms {
    double mu_max_mean;         /* 1/lambda_max: the mean converges below it */
    double mu_max_square;       /* Gaussian inputs: the mean square converges below it */
    double misadjustment_small; /* mu tr R */
    double misadjustment; /* Gaussian inputs, Feuer and Weinstein 1985; infinite if unstable */
    double time_constant_slowest, mse_time_constant_slowest; /* 1/(2 mu l), 1/(4 mu l), samples */
} fanin_lms;

FANIN_API fanin_status fanin_lms_solve(const double *lambda, size_t n, double mu, fanin_lms *out,
                                       fanin_err *err);

/* Gradient descent on a quadratic with Hessian eigenvalues lambda[n] > 0 (LeCun et al. 1998). */
typedef struct fanin_quadratic {
    double eta_optimal; /* 1/lambda_max: the stiffest direction in one step */
    double eta_max;     /* 2/lambda_max: diverges above */
    double eta_best;    /* 2/(lambda_min + lambda_max): smallest worst-case rate */
    double condition;   /* lambda_max/lambda_min */
    double rate;        /* max |1 - eta lambda| at the eta asked for */
    double steps;       /* to shrink the error by e at that eta; infinite if it does not */
} fanin_quadratic;

FANIN_API fanin_status fanin_quadratic_solve(const double *lambda, size_t n, double eta,
                                             fanin_quadratic *out, fanin_err *err);

/* ---- kernels of wide networks (src/theory/kernel.c) ---------------------------------------- */

/* A fully connected net: depth hidden layers, then a linear output. K^1 = sigma_w2 x.x'/d +
 * sigma_b2, K^{l+1} = sigma_w2 E f f + sigma_b2 (NNGP), T^1 = K^1, T^{l+1} = K^{l+1} + sigma_w2 T^l
 * E f' f' (NTK, Jacot et al. 2018, every weight and bias a factor of a N(0,1) parameter). */
typedef struct fanin_kernel_settings {
    double sigma_w2, sigma_b2;
    unsigned depth; /* hidden layers, 0 to 10000 */
    bool ntk;       /* the tangent kernel T^{depth+1}; false: K^{depth+1} */
    double width;   /* 0: NTK parameterisation. Above 0: standard parameterisation of hidden layers
                       this wide, where T gains width E f f + 1 a layer (the 1 if sigma_b2 > 0) */
    size_t inputs;  /* d of fanin_kernel_entry, which sees no inputs; only with width > 0 and ntk */
} fanin_kernel_settings;

/* out[i*m + j] = kernel of x row i (n x d) and y row j (m x d), row-major; y NULL: y = x, and the
 * result is symmetric with exact diagonal. Rows are worked in blocks on all threads; memory beyond
 * `out` stays below 64 MB. Closed forms for relu, leaky relu, abs, squared relu, erf, gelu, sin, cos,
 * gaussian, identity; otherwise a Hermite series of 128 terms, completed by the closed tail of kinks
 * (at most 8 of them). Errors at variances around 1, in parts of the diagonal: smooth activations and
 * those of straight or quadratic pieces 1e-12, elu and celu 1e-10, selu 1e-8 (NTK 1e-6), softsign 1e-5
 * (NTK 1e-3); the last three only for pairs of correlation above 0.9, and larger as variances are.
 * DOMAIN for the NTK of an activation that jumps. */
FANIN_API fanin_status fanin_kernel_matrix(const fanin_activation *act,
                                           const fanin_kernel_settings *set, const double *x,
                                           size_t n, const double *y, size_t m, size_t d,
                                           double *out, fanin_err *err);
/* In float: inner products by the library's float product. Same bits on any number of threads. */
FANIN_API fanin_status fanin_kernel_matrix_f32(const fanin_activation *act,
                                               const fanin_kernel_settings *set, const float *x,
                                               size_t n, const float *y, size_t m, size_t d,
                                               float *out, fanin_err *err);
/* One entry from the inputs' K^1 values: k11, k22 > 0, |k12| <= sqrt(k11 k22). In the standard
 * parameterisation T^1 is x.x' + 1, found from k12, sigma_w2 > 0 and set->inputs > 0. */
FANIN_API fanin_status fanin_kernel_entry(const fanin_activation *act,
                                          const fanin_kernel_settings *set, double k11, double k22,
                                          double k12, double *out, fanin_err *err);

/* Symmetric eigenproblem of a (n x n): eigenvalues to w, eigenvectors to the ROWS of a. */
typedef fanin_status (*fanin_eigen_fn)(void *ctx, size_t n, double *a, double *w, fanin_err *err);

/* Gradient flow on half the squared error with the NTK t_train (n x n, destroyed), t_test (m x n):
 * out (m x c) = t_test t_train^-1 (I - e^{-eta t_train time}) y (n x c), functions zero at the
 * start. time = infinity is kernel regression. Eigenvalues below `ridge` times the largest are left
 * out (0: 1e-14). `eigen` does the decomposition; NULL: a Jacobi method, for n up to 2000 (minutes
 * there); libfanin-net has LAPACK's, fanin_lapack_eigen of fanin/compute.h. */
FANIN_API fanin_status fanin_kernel_flow(double *t_train, size_t n, const double *t_test, size_t m,
                                         const double *y, size_t c, double eta, double time,
                                         double ridge, fanin_eigen_fn eigen, void *ctx, double *out,
                                         fanin_err *err);

/* ---- spectra (src/theory/spectra.c) ------------------------------------------------------- */

/* Squared singular values of the input-output Jacobian of `depth` layers at variance q. */
typedef struct fanin_jacobian {
    double chi;    /* sigma_w2 E f'^2 */
    double mean;   /* m_1 = chi^depth */
    double second; /* m_2 */
    double
        variance; /* m_2 - m_1^2 = m_1^2 depth (E f'^4/E f'^2^2 - 1 - s_1), s_1 = -1 for Gaussian,
                            0 for orthogonal weights (Pennington, Schoenholz, Ganguli 2017) */
    double slope_spread; /* E f'^4/E f'^2^2 - 1: 0 for dynamical isometry */
} fanin_jacobian;

FANIN_API fanin_status fanin_jacobian_moments(const fanin_activation *act, double q,
                                              double sigma_w2, double depth, bool orthogonal,
                                              fanin_jacobian *out, fanin_err *err);
/* A linear layer behind the last activation. */
typedef struct fanin_jacobian_output {
    double sigma_w2;
    bool orthogonal; /* else Gaussian */
} fanin_jacobian_output;

/* Their density at lambda[i] > 0 for wide square layers, from S-transforms: exact for activations of
 * straight pieces (relu, hard tanh), on 500 and more quadrature nodes of f' otherwise. atoms (NULL is
 * fine): the masses at 0 and, for orthogonal weights, at the largest value (sigma_w2 max f'^2)^depth
 * (times the output layer's sigma_w2; none if that is Gaussian). Densities below 1e-7 count as 0. `output` NULL:
 * the Jacobian ends at the last activation. */
FANIN_API fanin_status fanin_jacobian_density(const fanin_activation *act, double q,
                                              double sigma_w2, double depth, bool orthogonal,
                                              const fanin_jacobian_output *output,
                                              const double *lambda, size_t n, double *density,
                                              double atoms[2], fanin_err *err);
/* Marchenko-Pastur law of W W', W out x in with entries of variance `variance`/in, aspect =
 * out/in: density at lambda, edges, mass at 0. Outputs may be NULL. */
FANIN_API fanin_status fanin_marchenko_pastur(double aspect, double variance, double lambda,
                                              double *density, double *low, double *high,
                                              double *atom, fanin_err *err);
/* Mean singular value of such a W over its `out` rows; 8/(3 pi) sqrt(variance) when square: why
 * Glorot and Bengio saw 0.5 and 0.8. */
FANIN_API fanin_status fanin_mean_singular_value(double aspect, double variance, double *mean,
                                                 fanin_err *err);

/* ---- many points at once (src/theory/table.c) -------------------------------------------- */

/* The maps of one activation tabulated over q_low ... q_high; a twentieth of a second to make,
 * some 10 us a point after that, relative error about 1e-8; c within 1e-6, with elu, selu and
 * softsign 5e-5. Plain nets (no dropout, skip, norm).
 * Read-only once made: use it from any thread. */
typedef struct fanin_meanfield_table fanin_meanfield_table;

FANIN_API fanin_status fanin_meanfield_table_create(const fanin_activation *act, double q_low,
                                                    double q_high, fanin_meanfield_table **out,
                                                    fanin_err *err);
FANIN_API void fanin_meanfield_table_destroy(fanin_meanfield_table *table);
/* The fixed point reached from q = 1; `guess`: a nearby q*, 0 for none. Fixed points beyond the table count as 0
 * or infinite; the lists of all fixed points and the curvature are left empty. */
FANIN_API fanin_status fanin_meanfield_table_solve(const fanin_meanfield_table *table,
                                                   double sigma_w2, double sigma_b2, double guess,
                                                   fanin_meanfield *out, fanin_err *err);

/* A phase diagram: columns x rows points, sigma_w2 along a row, row 0 at b2_low. Arrays of
 * rows*columns, q and c may be NULL. */
typedef struct fanin_phase_grid {
    double w2_low, w2_high, b2_low, b2_high;
    size_t columns, rows; /* 2 to 20000 */
} fanin_phase_grid;

FANIN_API fanin_status fanin_phase_grid_solve(const fanin_activation *act,
                                              const fanin_phase_grid *g, double *chi1, double *xi_c,
                                              double *q, double *c, fanin_err *err);

/* Where the edge of chaos passes between neighbours of that grid, told exactly even where chi_1 jumps:
 * across[r*columns + c] is the share of the way from (r, c) to (r, c + 1), up[...] to (r + 1, c), NaN
 * where both are on one side. chi1 is the grid's. */
FANIN_API fanin_status fanin_phase_edges_solve(const fanin_activation *act,
                                               const fanin_phase_grid *g, const double *chi1,
                                               double *across, double *up, fanin_err *err);

#ifdef __cplusplus
}
#endif
#endif
