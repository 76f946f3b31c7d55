/* function.c - values and derivatives of the functions that MAP applies.
 *
 * Derivatives are written with the functions of the table, so a derivative has one too. Where it can
 * be had from the result (tanh, exp, sqrt ...) it is: the operand's memory is then free earlier and
 * nothing is evaluated twice. */
#include <math.h>
#include <string.h>

#include "operator/function.h"

#define TWO_OVER_SQRT_PI 1.12837916709551257389615890312

static const char *const names[FANIN__FUNCTION_COUNT] = {
#define FANIN__FUNCTION_NAME(id, text) [FANIN__FN_##id] = text,
    FANIN__FUNCTION_MAP(FANIN__FUNCTION_NAME)
#undef FANIN__FUNCTION_NAME
};

const char *fanin__function_name(int function) {
    return function >= 0 && function < FANIN__FUNCTION_COUNT ? names[function] : "?";
}

static inline float nearest_bf16(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    u = ((u & 0x7fffffffu) > 0x7f800000u ? u | 0x400000u : u + 0x7fffu + (u >> 16 & 1u)) &
        0xffff0000u;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* One loop a function, so that each vectorises. */
#define EACH(id, expression) \
    case FANIN__FN_##id: \
        for (size_t i = 0; i < n; i++) { \
            T v = x[i]; \
            y[i] = (expression); \
        } \
        break;
#define EVALUATE \
    T p0 = (T)attr->p[0], p1 = (T)attr->p[1]; \
    (void)p0; \
    (void)p1; \
    switch (attr->kind) { \
        EACH(NEG, -v) \
        EACH(ABS, F(fabs)(v)) \
        EACH(SIGN, v > 0 ? 1 : v < 0 ? -1 : v) \
        EACH(SQUARE, v *v) \
        EACH(SQRT, F(sqrt)(v)) \
        EACH(RECIPROCAL, 1 / v) \
        EACH(EXP, F(exp)(v)) \
        EACH(LOG, F(log)(v)) \
        EACH(ERF, F(erf)(v)) \
        EACH(TANH, F(tanh)(v)) \
        EACH(SIGMOID, v >= 0 ? 1 / (1 + F(exp)(-v)) : F(exp)(v) / (1 + F(exp)(v))) \
        EACH(RELU, v > 0 || v != v ? v : 0) \
        EACH(STEP, v > 0 ? 1 : 0) \
        EACH(TANH_SLOPE, 1 - v * v) \
        EACH(SIGMOID_SLOPE, v *(1 - v)) \
        EACH(HALF_RECIPROCAL, (T)0.5 / v) \
        EACH(ERF_SLOPE, (T)TWO_OVER_SQRT_PI *F(exp)(-v * v)) \
        EACH(POWER, F(pow)(v, p0)) \
        EACH(SCALE, p0 *v + p1) \
        EACH(CLAMP, v<p0 ? p0 : v> p1 ? p1 : v) \
        EACH(CLAMP_SLOPE, v >= p0 && v <= p1 ? 1 : 0) \
        EACH(SIN, F(sin)(v)) \
        EACH(COS, F(cos)(v)) \
        EACH(TAN, F(tan)(v)) \
        EACH(ASIN, F(asin)(v)) \
        EACH(ACOS, F(acos)(v)) \
        EACH(ATAN, F(atan)(v)) \
        EACH(SINH, F(sinh)(v)) \
        EACH(COSH, F(cosh)(v)) \
        EACH(ASINH, F(asinh)(v)) \
        EACH(ACOSH, F(acosh)(v)) \
        EACH(ATANH, F(atanh)(v)) \
        EACH(FLOOR, F(floor)(v)) \
        EACH(CEIL, F(ceil)(v)) \
        EACH(ROUND, F(nearbyint)(v)) \
        EACH(BF16, nearest_bf16((float)v)) \
    default: break; \
    }

#define T       float
#define F(name) name##f
void fanin__function_f32(const fanin__op_attr *attr, const float *x, float *y, size_t n) {
    if (attr->kind == FANIN__FN_ACTIVATION) {
        fanin_activation_eval_f32(attr->act, attr->order, x, y, n);
        return;
    }
    EVALUATE
}
#undef T
#undef F

#define T       double
#define F(name) name
void fanin__function_f64(const fanin__op_attr *attr, const double *x, double *y, size_t n) {
    if (attr->kind == FANIN__FN_ACTIVATION) {
        fanin_activation_eval(attr->act, attr->order, x, y, n);
        return;
    }
    EVALUATE
}
#undef T
#undef F

/* ---- derivatives ------------------------------------------------------------------------ */

/* g * f(x; p0, p1) */
static int times(fanin__ir *ir, int g, int function, double p0, double p1, int x) {
    fanin__op_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.kind = function;
    attr.p[0] = p0;
    attr.p[1] = p1;
    return fanin__emit_mapmul(ir, g, &attr, x);
}

static int scaled(fanin__ir *ir, double factor, int g) {
    return fanin__emit_apply_with(ir, FANIN__FN_SCALE, factor, 0, g);
}

/* p0 x^2 + p1 */
static int quadratic(fanin__ir *ir, double p0, double p1, int x) {
    return fanin__emit_apply_with(ir, FANIN__FN_SCALE, p0, p1,
                                  fanin__emit_apply(ir, FANIN__FN_SQUARE, x));
}

int fanin__function_vjp(fanin__ir *ir, const fanin__op_attr *attr, int x, int y, int g) {
    fanin__op_attr f = *attr;
    if (y < 0) y = fanin__emit(ir, FANIN__MAP, &x, 1, &f, 0, NULL);
    switch (f.kind) {
    case FANIN__FN_ACTIVATION: f.order++; return fanin__emit_mapmul(ir, g, &f, x);
    case FANIN__FN_NEG: return fanin__emit_apply(ir, FANIN__FN_NEG, g);
    case FANIN__FN_ABS: return times(ir, g, FANIN__FN_SIGN, 0, 0, x);
    case FANIN__FN_SQUARE: return times(ir, g, FANIN__FN_SCALE, 2, 0, x);
    case FANIN__FN_SQRT: return times(ir, g, FANIN__FN_HALF_RECIPROCAL, 0, 0, y);
    case FANIN__FN_RECIPROCAL: return times(ir, scaled(ir, -1, g), FANIN__FN_SQUARE, 0, 0, y);
    case FANIN__FN_EXP: return fanin__emit_binary(ir, FANIN__MUL, g, y);
    case FANIN__FN_LOG: return times(ir, g, FANIN__FN_RECIPROCAL, 0, 0, x);
    case FANIN__FN_ERF: return times(ir, g, FANIN__FN_ERF_SLOPE, 0, 0, x);
    case FANIN__FN_TANH: return times(ir, g, FANIN__FN_TANH_SLOPE, 0, 0, y);
    case FANIN__FN_SIGMOID: return times(ir, g, FANIN__FN_SIGMOID_SLOPE, 0, 0, y);
    case FANIN__FN_RELU: return times(ir, g, FANIN__FN_STEP, 0, 0, y);
    case FANIN__FN_TANH_SLOPE: return times(ir, g, FANIN__FN_SCALE, -2, 0, x);
    case FANIN__FN_SIGMOID_SLOPE: return times(ir, g, FANIN__FN_SCALE, -2, 1, x);
    case FANIN__FN_HALF_RECIPROCAL: return times(ir, scaled(ir, -2, g), FANIN__FN_SQUARE, 0, 0, y);
    case FANIN__FN_ERF_SLOPE:
        return fanin__emit_binary(ir, FANIN__MUL, times(ir, g, FANIN__FN_SCALE, -2, 0, x), y);
    case FANIN__FN_POWER:
        return times(ir, scaled(ir, f.p[0], g), FANIN__FN_POWER, f.p[0] - 1, 0, x);
    case FANIN__FN_SCALE: return scaled(ir, f.p[0], g);
    case FANIN__FN_CLAMP: return times(ir, g, FANIN__FN_CLAMP_SLOPE, f.p[0], f.p[1], x);
    case FANIN__FN_SIN: return times(ir, g, FANIN__FN_COS, 0, 0, x);
    case FANIN__FN_COS: return times(ir, scaled(ir, -1, g), FANIN__FN_SIN, 0, 0, x);
    case FANIN__FN_TAN: return fanin__emit_binary(ir, FANIN__MUL, g, quadratic(ir, 1, 1, y));
    case FANIN__FN_ASIN: return times(ir, g, FANIN__FN_POWER, -0.5, 0, quadratic(ir, -1, 1, x));
    case FANIN__FN_ACOS:
        return times(ir, scaled(ir, -1, g), FANIN__FN_POWER, -0.5, 0, quadratic(ir, -1, 1, x));
    case FANIN__FN_ATAN: return times(ir, g, FANIN__FN_RECIPROCAL, 0, 0, quadratic(ir, 1, 1, x));
    case FANIN__FN_SINH: return times(ir, g, FANIN__FN_COSH, 0, 0, x);
    case FANIN__FN_COSH: return times(ir, g, FANIN__FN_SINH, 0, 0, x);
    case FANIN__FN_ASINH: return times(ir, g, FANIN__FN_POWER, -0.5, 0, quadratic(ir, 1, 1, x));
    case FANIN__FN_ACOSH: return times(ir, g, FANIN__FN_POWER, -0.5, 0, quadratic(ir, 1, -1, x));
    case FANIN__FN_ATANH: return times(ir, g, FANIN__FN_RECIPROCAL, 0, 0, quadratic(ir, -1, 1, x));
    case FANIN__FN_BF16: return g;
    default: return -1; /* steps: zero almost everywhere */
    }
}
