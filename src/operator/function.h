/* function.h - functions of one number that MAP and MAPMUL apply. */
#ifndef FANIN_SRC_OPERATOR_FUNCTION_H
#define FANIN_SRC_OPERATOR_FUNCTION_H

#include "operator/ir.h"

/* FANIN__FN_ACTIVATION is attr.act's derivative of attr.order; parameters are attr.p. Some rows are
 * derivatives written in the function's result (tanh' = 1 - y^2), which the backward pass has. */
#define FANIN__FUNCTION_MAP(X) \
    X(ACTIVATION, "activation") \
    X(NEG, "neg") \
    X(ABS, "abs") \
    X(SIGN, "sign") \
    X(SQUARE, "square") \
    X(SQRT, "sqrt") \
    X(RECIPROCAL, "reciprocal") \
    X(EXP, "exp") \
    X(LOG, "log") \
    X(ERF, "erf") \
    X(TANH, "tanh") \
    X(SIGMOID, "sigmoid") \
    X(RELU, "relu") \
    X(STEP, "step")                       /* 1 above 0 */ \
    X(TANH_SLOPE, "tanh_slope")           /* 1 - y^2 */ \
    X(SIGMOID_SLOPE, "sigmoid_slope")     /* y (1 - y) */ \
    X(HALF_RECIPROCAL, "half_reciprocal") /* 1 / (2 y): sqrt' */ \
    X(ERF_SLOPE, "erf_slope")             /* 2/sqrt(pi) e^{-x^2} */ \
    X(POWER, "power")                     /* x^p0 */ \
    X(SCALE, "scale")                     /* p0 x + p1 */ \
    X(CLAMP, "clamp")                     /* min(max(x, p0), p1) */ \
    X(CLAMP_SLOPE, "clamp_slope")         /* 1 on [p0, p1] */ \
    X(SIN, "sin") \
    X(COS, "cos") \
    X(TAN, "tan") \
    X(ASIN, "asin") \
    X(ACOS, "acos") \
    X(ATAN, "atan") \
    X(SINH, "sinh") \
    X(COSH, "cosh") \
    X(ASINH, "asinh") \
    X(ACOSH, "acosh") \
    X(ATANH, "atanh") \
    X(FLOOR, "floor") \
    X(CEIL, "ceil") \
    X(ROUND, "round") /* half to even */ \
    X(BF16, "bf16")   /* the nearest bfloat16; its derivative counts as 1 */ \
    X(IS_NAN, "is_nan") \
    X(IS_INF, "is_inf") \
    X(NOT, "not") /* BOOL */

typedef enum fanin__function {
#define FANIN__FUNCTION_ENUM(id, text) FANIN__FN_##id,
    FANIN__FUNCTION_MAP(FANIN__FUNCTION_ENUM)
#undef FANIN__FUNCTION_ENUM
        FANIN__FUNCTION_COUNT
} fanin__function;

const char *fanin__function_name(int function);
/* y may be x. */
void fanin__function_f32(const fanin__op_attr *attr, const float *x, float *y, size_t n);
void fanin__function_f64(const fanin__op_attr *attr, const double *x, double *y, size_t n);

/* Node of g * f'(x), where y = f(x) is node `y` (-1: made if wanted) with operand x; -1 with
 * ir->failed, or -1 without if f' is zero almost everywhere. */
int fanin__function_vjp(fanin__ir *ir, const fanin__op_attr *attr, int x, int y, int g);

#endif
