/* fanin/activation.h - activations: values, derivatives, kinks, what each one pairs with.
 *
 * An activation is a row of the table below with its parameters, or a formula in x:
 *
 *     fanin_activation *act = NULL;
 *     fanin_err err = {0};
 *     if (fanin_activation_parse("leaky_relu:0.2", &act, &err) != FANIN_OK) ...
 *     fanin_activation_eval(act, 1, x, slope, n);    f'(x[i])
 *     fanin_activation_destroy(act);
 *
 * Names are case-insensitive, '-' counts as '_'. Parameters follow a colon, separated by commas;
 * left out ones take the row's default. Objects are immutable: use them from any thread.
 */
#ifndef FANIN_ACTIVATION_H
#define FANIN_ACTIVATION_H

#include "fanin/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the table ------------------------------------------------------------------------- */

/* Ids are pinned; files store names. */
typedef enum fanin_activation_id {
    FANIN_ACT_FORMULA = 0,
    FANIN_ACT_IDENTITY = 1,
    FANIN_ACT_SIGMOID = 2,
    FANIN_ACT_HARD_SIGMOID = 3, /* clamp(a x + b, 0, 1); a = 1/6, b = 1/2 */
    FANIN_ACT_LOG_SIGMOID = 4,
    FANIN_ACT_TANH = 5,
    FANIN_ACT_LECUN_TANH = 6, /* a tanh(b x); a = 1.7159, b = 2/3 */
    FANIN_ACT_HARD_TANH = 7,  /* clamp(x, a, b); -1, 1 */
    FANIN_ACT_SOFTSIGN = 8,
    FANIN_ACT_RELU = 9,
    FANIN_ACT_RELU6 = 10,
    FANIN_ACT_LEAKY_RELU = 11, /* slope a below 0; 0.01 */
    FANIN_ACT_PRELU = 12,      /* the same with a = 0.25, the paper's initial slope */
    FANIN_ACT_RRELU = 13,      /* slope (a + b)/2 below 0; 1/8, 1/3: the mean over its law */
    FANIN_ACT_ELU = 14,        /* a (e^x - 1) below 0; 1 */
    FANIN_ACT_CELU = 15,       /* a (e^{x/a} - 1) below 0; 1 */
    FANIN_ACT_SELU = 16,
    FANIN_ACT_GELU = 17,      /* x Phi(x) */
    FANIN_ACT_GELU_TANH = 18, /* x/2 (1 + tanh(sqrt(2/pi)(x + 0.044715 x^3))) */
    FANIN_ACT_SILU = 19,      /* x sigmoid(b x); 1 */
    FANIN_ACT_MISH = 20,
    FANIN_ACT_SOFTPLUS = 21, /* log(1 + e^{b x})/b; 1 */
    FANIN_ACT_HARD_SWISH = 22,
    FANIN_ACT_SQUARED_RELU = 23,
    FANIN_ACT_ERF = 24,
    FANIN_ACT_SIN = 25,      /* sin(w x); 1 */
    FANIN_ACT_COS = 26,      /* cos(w x); 1 */
    FANIN_ACT_GAUSSIAN = 27, /* e^{-x^2} */
    FANIN_ACT_STEP = 28,     /* 1 above 0, else 0 */
    FANIN_ACT_SIGN = 29,
    FANIN_ACT_ABS = 30,
    FANIN_ACT_THRESHOLD = 31 /* x above a, else b; 0, 0 */
} fanin_activation_id;

/* What the table says about one activation. Static storage. */
typedef struct fanin_activation_row {
    int id;
    const char *name;
    const char *aliases; /* separated by one space; "" when there are none */
    const char *formula; /* for people */
    int parameters;      /* 0 to 2 */
    const char *parameter_names[2];
    double defaults[2];
    const char *pairs_with; /* the initialisation made for it: "he", "xavier", "lecun", "exact" (a
                               Gaussian with the activation's own exact gain), ... */
    const char *paper;      /* where that comes from */
} fanin_activation_row;

FANIN_API size_t fanin_activation_count(void);
/* Row i in table order, NULL from fanin_activation_count() on. */
FANIN_API const fanin_activation_row *fanin_activation_row_at(size_t i);

/* ---- objects --------------------------------------------------------------------------- */

typedef struct fanin_activation fanin_activation;

/* Reads "gelu", "leaky_relu:0.2", "hard_tanh:-2,2" or a formula such as "x*sigmoid(1.702*x)".
 *
 * Formulas know x, numbers, pi, e, + - * / ^ (right to left, above unary minus), comparisons
 * < <= > >= == !=, && and ||, `condition ? a : b`, max(a,b), min(a,b), and of one argument abs,
 * exp, log, sqrt, atan, tanh, sin, cos, erf, sigmoid and every row of the table by name (with its
 * default parameters). Kinks are found by following the branches; " @ -1,1" after the formula
 * adds ones that cannot be seen.
 *
 * FANIN_NOTFOUND: no such name. FANIN_ARG: a parameter outside its range, or text that is no
 * formula (err->position is the offset). FANIN_LIMIT: longer than 4096 characters, nested deeper
 * than 64. *out is NULL on failure and otherwise released with fanin_activation_destroy. */
FANIN_API fanin_status fanin_activation_parse(const char *text, fanin_activation **out,
                                              fanin_err *err);
/* From a row's id (not FORMULA) and its parameters (NULL: defaults). */
FANIN_API fanin_status fanin_activation_create(int id, const double params[2],
                                               fanin_activation **out, fanin_err *err);
FANIN_API void fanin_activation_destroy(fanin_activation *act);

/* Canonical text; parsing it gives the same function. Lives as long as `act`. */
FANIN_API const char *fanin_activation_name(const fanin_activation *act);
FANIN_API int fanin_activation_id_of(const fanin_activation *act);
FANIN_API const double *fanin_activation_params(const fanin_activation *act); /* two values */
/* The row; NULL for a formula. */
FANIN_API const fanin_activation_row *fanin_activation_row_of(const fanin_activation *act);
/* As in the row; for a formula "exact" and "". */
FANIN_API const char *fanin_activation_pairs_with(const fanin_activation *act);
FANIN_API const char *fanin_activation_paper(const fanin_activation *act);

/* ---- values ---------------------------------------------------------------------------- */

/* y[i] = f(x[i]), f', f'' or f''' for order 0 to 3. y may be x. At a kink: the value of the
 * left piece, which is torch's choice (relu'(0) = 0, abs'(0) = 0); delta functions are left out.
 * Double: a few ulp where the value itself is well conditioned. */
FANIN_API void fanin_activation_eval(const fanin_activation *act, int order, const double *x,
                                     double *y, size_t n);
/* The same in float, by the kernels that the engine uses. Orders 0 and 1 within 4 ulp, order 2
 * within 8, of the exact value at parameters rounded to float (where terms of a derivative cancel:
 * ulp of 0.5; results below 1e-36: 1e-42). Same bits on every instruction set, for any split of the array.
 * NaN gives NaN. */
FANIN_API void fanin_activation_eval_f32(const fanin_activation *act, int order, const float *x,
                                         float *y, size_t n);

/* Points where f or one of its first two derivatives jumps, ascending. Writes at most `max`;
 * returns how many there are (at most 64 are looked for in a formula, |x| <= 100). */
FANIN_API size_t fanin_activation_kinks(const fanin_activation *act, double *kinks, size_t max);
/* False if f itself jumps somewhere (step, sign, ...): then E f'^2 is infinite. */
FANIN_API bool fanin_activation_is_continuous(const fanin_activation *act);
/* k such that f(a x) = a^k f(x) for all a > 0; NaN if there is none. */
FANIN_API double fanin_activation_degree(const fanin_activation *act);

/* Moments of f(u), u ~ N(0, q). */
typedef struct fanin_activation_moments {
    double mean;          /* E f(u) */
    double second;        /* E f(u)^2 */
    double slope_second;  /* E f'(u)^2; infinite where f jumps */
    double curve_product; /* E f(u) f''(u), delta functions included; NaN where f jumps */
} fanin_activation_moments;

/* Closed forms. FANIN_UNSUPPORTED where none is known (use fanin/theory.h), FANIN_ARG unless
 * 0 < q < infinity. */
FANIN_API fanin_status fanin_activation_closed_moments(const fanin_activation *act, double q,
                                                       fanin_activation_moments *out);

/* What torch.nn.init.calculate_gain returns for it; NaN where torch has no such entry. */
FANIN_API double fanin_activation_torch_gain(const fanin_activation *act);

#ifdef __cplusplus
}
#endif
#endif
