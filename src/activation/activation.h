/* activation.h - an activation without an object: row id and two parameters. Private. */
#ifndef FANIN_SRC_ACTIVATION_H
#define FANIN_SRC_ACTIVATION_H

#include "fanin/activation.h"

/* d[0..3] = f, f', f'', f''' at x. Total: any double in, NaN for NaN. */
typedef void (*fanin__jet_fn)(const double *p, double x, double d[4]);

/* One polynomial piece c0 + c1 x + c2 x^2 up to `end`. */
typedef struct fanin__piece {
    double end, c[3];
} fanin__piece;

typedef struct fanin__act {
    fanin_activation_row row;
    fanin__jet_fn jet;
    /* The pieces of a piecewise polynomial, at most 4, the last one ending at infinity. Kinks,
     * jumps and moments follow from them. NULL: not of that kind. */
    int (*pieces)(const double *p, fanin__piece *out);
    bool kink_at_0; /* for rows without pieces */
    /* Closed forms of rows without pieces; NULL, or false where the parameters have none. */
    bool (*moments)(const double *p, double q, fanin_activation_moments *m);
    double degree;     /* NaN: not homogeneous */
    double torch_gain; /* NaN: none */
} fanin__act;

/* NULL for an unknown id and for FORMULA. */
const fanin__act *fanin__act_find(int id);
bool fanin__act_jumps(int id, const double *p);
/* NULL if p suits the row, else what is wrong. */
const char *fanin__act_check(int id, const double *p);

/* y = f^(order)(x), order 0 to 3; id is a row's, p its two parameters. No allocation, no state.
 * y may be x. */
void fanin__act_eval_f32(int id, const double *p, int order, const float *x, float *y, size_t n);
void fanin__act_eval_f64(int id, const double *p, int order, const double *x, double *y, size_t n);

/* Kernels of one instruction set, indexed by [id][order]; NULL: go through double. */
#define FANIN__ACT_ROWS 32
typedef void (*fanin__act_kernel)(const float p[2], const float *x, float *y, size_t n);
typedef struct fanin__act_kernels {
    fanin__act_kernel f[FANIN__ACT_ROWS][3];
} fanin__act_kernels;

/* The table for a level (FANIN_CPU_REF ...), for tests and benches; a level that is not compiled
 * in gives the one below. */
const fanin__act_kernels *fanin__act_kernels_at(int level);
const fanin__act_kernels *fanin__act_kernels_ref(void);
#if defined(__x86_64__)
const fanin__act_kernels *fanin__act_kernels_avx2(void);
const fanin__act_kernels *fanin__act_kernels_avx512(void);
#endif

/* All derivatives of an object at once: d[k] = f^(k)(x), k = 0..3. */
void fanin__activation_jet(const fanin_activation *act, double x, double d[4]);

/* Formulas (formula.c). */
typedef struct fanin__formula fanin__formula;
fanin_status fanin__formula_create(const char *text, fanin__formula **out, fanin_err *err);
void fanin__formula_destroy(fanin__formula *formula);
void fanin__formula_jet(const fanin__formula *formula, double x, double d[4]);
size_t fanin__formula_kinks(const fanin__formula *formula, const double **kinks);
bool fanin__formula_jumps(const fanin__formula *formula);

/* Jets by family, for the table. */
#define FANIN__JET(name) void fanin__jet_##name(const double *p, double x, double d[4]);
FANIN__JET(identity)
FANIN__JET(sigmoid)
FANIN__JET(hard_sigmoid)
FANIN__JET(log_sigmoid)
FANIN__JET(tanh)
FANIN__JET(lecun_tanh)
FANIN__JET(hard_tanh)
FANIN__JET(softsign)
FANIN__JET(relu)
FANIN__JET(relu6)
FANIN__JET(leaky_relu)
FANIN__JET(rrelu)
FANIN__JET(elu)
FANIN__JET(celu)
FANIN__JET(selu)
FANIN__JET(gelu)
FANIN__JET(gelu_tanh)
FANIN__JET(silu)
FANIN__JET(mish)
FANIN__JET(softplus)
FANIN__JET(hard_swish)
FANIN__JET(squared_relu)
FANIN__JET(erf)
FANIN__JET(sin)
FANIN__JET(cos)
FANIN__JET(gaussian)
FANIN__JET(step)
FANIN__JET(sign)
FANIN__JET(abs)
FANIN__JET(threshold)
#undef FANIN__JET

#define FANIN__PIECES(name) int fanin__pieces_##name(const double *p, fanin__piece *out);
FANIN__PIECES(hard_sigmoid)
FANIN__PIECES(hard_tanh)
FANIN__PIECES(relu)
FANIN__PIECES(relu6)
FANIN__PIECES(leaky_relu)
FANIN__PIECES(rrelu)
FANIN__PIECES(hard_swish)
FANIN__PIECES(squared_relu)
FANIN__PIECES(step)
FANIN__PIECES(sign)
FANIN__PIECES(abs)
FANIN__PIECES(threshold)
FANIN__PIECES(identity)
#undef FANIN__PIECES

#define FANIN__MOMENTS(name) \
    bool fanin__moments_##name(const double *p, double q, fanin_activation_moments *m);
FANIN__MOMENTS(elu)
FANIN__MOMENTS(celu)
FANIN__MOMENTS(selu)
FANIN__MOMENTS(gelu)
FANIN__MOMENTS(erf)
FANIN__MOMENTS(sin)
FANIN__MOMENTS(cos)
FANIN__MOMENTS(gaussian)
#undef FANIN__MOMENTS
void fanin__moments_of_pieces(const fanin__piece *pieces, int count, double q,
                              fanin_activation_moments *m);

/* d <- (g o u) up to the third derivative, from the jets g at u[0] and u. */
void fanin__jet_compose(const double g[4], const double u[4], double d[4]);

#define FANIN__SELU_ALPHA  1.6732632423543772848170429916717
#define FANIN__SELU_LAMBDA 1.0507009873554804934193349852946

#endif
