/* kernels.h - float kernels of the activations, written once over a vector type V.
 *
 * Included by kernels_ref.c, kernels_avx2.c and kernels_avx512.c after each has defined V and the
 * operations below. Every operation is correctly rounded (+ - * / fma) or exact, and is written
 * out in the same order everywhere, so all three give the same bits. Goal: 4 ulp.
 *
 *   V LANES LOAD STORE SPLAT ADD SUB MUL DIV FMA(a,b,c)=ab+c FNMA(a,b,c)=c-ab ABS NEG
 *   MIN MAX (second operand if either is NaN)  LT(a,b) a mask  SEL(mask,a,b)=mask?a:b
 *   SIGN_OF(a,b) = a with b's sign put in by exclusive or   POW2(n) = 2^n, whole n in [-126,127]
 *
 * Polynomials are near-minimax: fitted at Chebyshev nodes in 40 digits, then rounded from the top
 * coefficient down with the rest refitted; the figure behind each is its relative error. */

#define C(x)         SPLAT(x##f)
#define MAGIC        12582912.0f /* 1.5 * 2^23: adding it rounds to a whole number */
#define LINE(v)      static inline V v
#define INV_SQRT_2PI 0.398942280401432678f

LINE(round_even)(V x) { return SUB(ADD(x, SPLAT(MAGIC)), SPLAT(MAGIC)); }

/* e^x - 1 = 2^n (p + 1) - 1 with p = e^r - 1, |r| <= ln 2/2. For x in [-150, 89]. */
static inline V exp_core(V x, V *n) {
    *n = round_even(MUL(x, C(1.44269504)));
    V r = FNMA(*n, C(0.693359375), x);
    r = FMA(*n, C(2.12194440e-4), r);
    V q = C(0.000198919806); /* 1.0e-8 of r^2 q */
    q = FMA(q, r, C(0.00139345415));
    q = FMA(q, r, C(0.00833331048));
    q = FMA(q, r, C(0.0416664556));
    q = FMA(q, r, C(0.166666672));
    q = FMA(q, r, C(0.5));
    return FMA(MUL(r, r), q, r);
}

/* 2^n in two factors, so that results below 2^-126 round once. */
static inline V times_pow2(V p, V n) {
    V half = round_even(MUL(n, C(0.5)));
    V s = POW2(half);
    return MUL(FMA(p, s, s), POW2(SUB(n, half)));
}

/* e^x for any x. */
LINE(exp_v)(V x) {
    V n, p = exp_core(MAX(C(-150.0), MIN(C(89.0), x)), &n);
    return times_pow2(p, n);
}

/* e^{x + low}, low a correction far below x. */
LINE(exp_low)(V x, V low) {
    V n, p = exp_core(MAX(C(-150.0), MIN(C(89.0), x)), &n);
    return times_pow2(ADD(p, FMA(low, p, low)), n);
}

/* e^x - 1 for x <= 0 (and to 88 with less care). */
LINE(expm1_v)(V x) {
    V n, p = exp_core(MAX(C(-126.0), MIN(C(88.0), x)), &n), s = POW2(MAX(n, C(-126.0)));
    return FMA(p, s, SUB(s, C(1.0)));
}

/* Both at once, x <= 0. */
static inline V exp_both(V x, V *minus_1) {
    V n, p = exp_core(MAX(C(-150.0), x), &n), s = POW2(MAX(n, C(-126.0)));
    *minus_1 = FMA(p, s, SUB(s, C(1.0)));
    return times_pow2(p, n);
}

/* log(1 + u), 0 <= u <= 1, as 2 atanh(u/(2 + u)). */
LINE(log1p_v)(V u) {
    V s = DIV(u, ADD(u, C(2.0))), z = MUL(s, s);
    V q = C(0.232243299); /* 3e-8 of z q */
    q = FMA(q, z, C(0.217065752));
    q = FMA(q, z, C(0.28592357));
    q = FMA(q, z, C(0.399997056));
    q = FMA(q, z, C(0.666666687));
    return FMA(MUL(s, z), q, ADD(s, s));
}

/* The normal law's tail: with e = e^{-y^2/2}, P(z > y) = e T(y); returns the numerator of T and
 * its denominator 1 + y. A polynomial in v = y/(y + 2.5), exact at y = 0 where Phi's slope is
 * largest. y >= 0. 9e-9. */
static inline V tail_core(V y, V *below) {
    y = MIN(C(30.0), y);
    V v = DIV(y, ADD(y, C(2.5)));
    V q = C(0.0131224804);
    q = FMA(q, v, C(-0.127661332));
    q = FMA(q, v, C(0.338030934));
    q = FMA(q, v, C(-0.358530074));
    q = FMA(q, v, C(0.198223472));
    q = FMA(q, v, C(-0.164748147));
    q = FMA(q, v, C(0.0183571111));
    q = FMA(q, v, C(0.188098952));
    q = FMA(q, v, C(0.219656006));
    q = FMA(q, v, C(-0.67826134));
    q = FMA(q, v, C(0.252644539));
    q = FMA(q, v, C(0.5));
    *below = ADD(y, C(1.0));
    return q;
}

/* e^{-x^2/2} with x^2 kept exact. */
LINE(bell)(V x) {
    x = MIN(C(20.0), ABS(x));
    V h = MUL(x, x), l = FNMA(x, x, h); /* h - x^2 */
    return exp_low(MUL(h, C(-0.5)), MUL(l, C(0.5)));
}

/* P(z > |x|); *e = e^{-x^2/2}. */
static inline V normal_tail(V x, V *e) {
    V below, q = tail_core(ABS(x), &below);
    *e = bell(x);
    return DIV(MUL(*e, q), below);
}

/* Phi(x) */
static inline V normal_cdf(V x, V *e) {
    V t = normal_tail(x, e);
    return SEL(LT(x, C(0.0)), t, SUB(C(1.0), t));
}

/* ---- sigmoid and tanh ------------------------------------------------------------------ */

/* Tails below 2^-126 matter to nobody, but they must not trap or be NaN. */
LINE(sigmoid_v)(V x) {
    V e = exp_v(NEG(ABS(x)));
    return DIV(SEL(LT(x, C(0.0)), e, C(1.0)), ADD(C(1.0), e));
}

/* sigmoid(x + low) */
LINE(sigmoid_low)(V x, V low) {
    V e = exp_low(NEG(ABS(x)), SIGN_OF(low, NEG(x)));
    return DIV(SEL(LT(x, C(0.0)), e, C(1.0)), ADD(C(1.0), e));
}

LINE(sigmoid_1)(V x) {
    V e = exp_v(NEG(ABS(x))), d = ADD(C(1.0), e);
    return DIV(e, MUL(d, d));
}

LINE(sigmoid_2)(V x) {
    V m, e = exp_both(NEG(ABS(x)), &m), d = ADD(C(1.0), e);
    return SIGN_OF(DIV(MUL(e, m), MUL(MUL(d, d), d)), x);
}

/* -m/(2 + m) with m = e^{-2|x|} - 1 */
LINE(tanh_v)(V x) {
    V m = expm1_v(MUL(ABS(x), C(-2.0)));
    return SIGN_OF(DIV(NEG(m), ADD(m, C(2.0))), x);
}

LINE(tanh_1)(V x) {
    V e = exp_v(MUL(ABS(x), C(-2.0))), d = ADD(C(1.0), e);
    return DIV(MUL(e, C(4.0)), MUL(d, d));
}

LINE(tanh_2)(V x) {
    V m, e = exp_both(MUL(ABS(x), C(-2.0)), &m), d = ADD(C(1.0), e);
    return SIGN_OF(DIV(MUL(MUL(e, C(8.0)), m), MUL(MUL(d, d), d)), x);
}

/* ---- kernels: V f(V x, V a, V b) ------------------------------------------------------- */

#define UNUSED (void)a, (void)b
#define KERNEL(name, body) \
    LINE(name##_f)(V x, V a, V b) { \
        UNUSED; \
        body \
    } \
    static void name(const float p[2], const float *x, float *y, size_t n) { \
        V a = SPLAT(p[0]), b = SPLAT(p[1]); \
        size_t i = 0; \
        for (; i + LANES <= n; i += LANES) STORE(y + i, name##_f(LOAD(x + i), a, b)); \
        if (i < n) { \
            float tail[LANES] = {0}; \
            for (size_t k = i; k < n; k++) tail[k - i] = x[k]; \
            STORE(tail, name##_f(LOAD(tail), a, b)); \
            for (size_t k = i; k < n; k++) y[k] = tail[k - i]; \
        } \
    }

/* x for NaN, v elsewhere: comparisons lose NaN. */
#define NAN_OR(x, v) SEL(EQ(x, x), v, x)
#define ABOVE_0      LT(C(0.0), x)

KERNEL(identity_0, return x;)
KERNEL(identity_1, return NAN_OR(x, C(1.0));)
KERNEL(zero, return NAN_OR(x, C(0.0));)

KERNEL(sigmoid_0, return sigmoid_v(x);)
KERNEL(sigmoid_k1, return sigmoid_1(x);)
KERNEL(sigmoid_k2, return sigmoid_2(x);)

KERNEL(log_sigmoid_0, return SUB(MIN(C(0.0), x), log1p_v(exp_v(NEG(ABS(x)))));)
KERNEL(log_sigmoid_1, return sigmoid_v(NEG(x));)
KERNEL(log_sigmoid_2, return NEG(sigmoid_1(x));)

KERNEL(tanh_0, return tanh_v(x);)
KERNEL(tanh_k1, return tanh_1(x);)
KERNEL(tanh_k2, return tanh_2(x);)

KERNEL(lecun_tanh_0, return MUL(a, tanh_v(MUL(b, x)));)

KERNEL(hard_tanh_0, return MIN(b, MAX(a, x));)
KERNEL(hard_tanh_1, return NAN_OR(x, SEL(AND(LT(a, x), LT(x, b)), C(1.0), C(0.0)));)
KERNEL(relu6_0, return MIN(C(6.0), MAX(C(0.0), x));)
KERNEL(relu6_1, return NAN_OR(x, SEL(AND(ABOVE_0, LT(x, C(6.0))), C(1.0), C(0.0)));)

KERNEL(softsign_0,
       return SEL(LT(ABS(x), C(1e30)), DIV(x, ADD(C(1.0), ABS(x))), NAN_OR(x, SIGN_OF(C(1.0), x)));)
KERNEL(softsign_1, V d = ADD(C(1.0), ABS(x)); return DIV(DIV(C(1.0), d), d);)

KERNEL(relu_0, return MAX(C(0.0), x);)
KERNEL(relu_1, return NAN_OR(x, SEL(ABOVE_0, C(1.0), C(0.0)));)
KERNEL(leaky_0, return SEL(ABOVE_0, x, MUL(a, x));)
KERNEL(leaky_1, return NAN_OR(x, SEL(ABOVE_0, C(1.0), a));)

KERNEL(elu_0, return SEL(ABOVE_0, x, MUL(a, expm1_v(x)));)
KERNEL(elu_1, return SEL(ABOVE_0, C(1.0), MUL(a, exp_v(x)));)
KERNEL(elu_2, return SEL(ABOVE_0, C(0.0), MUL(a, exp_v(x)));)

#define LAMBDA       C(1.05070098735548)
#define LAMBDA_ALPHA C(1.75809934084738)
KERNEL(selu_0, return SEL(ABOVE_0, MUL(LAMBDA, x), MUL(LAMBDA_ALPHA, expm1_v(x)));)
KERNEL(selu_1, return SEL(ABOVE_0, LAMBDA, MUL(LAMBDA_ALPHA, exp_v(x)));)
KERNEL(selu_2, return SEL(ABOVE_0, C(0.0), MUL(LAMBDA_ALPHA, exp_v(x)));)

/* x times a function that vanishes at -infinity; 0 * infinity is not wanted there. */
LINE(reach)(V x) { return MAX(C(-3e38), x); }

KERNEL(gelu_0, V e; V t = normal_tail(x, &e); V near = MIN(C(3e38), reach(x));
       return SEL(LT(x, C(0.0)), MUL(near, t), FNMA(near, t, x));)
KERNEL(gelu_1, V e; V c = normal_cdf(x, &e); V far = MIN(C(30.0), MAX(C(-30.0), x));
       return FMA(MUL(far, SPLAT(INV_SQRT_2PI)), e, c);)
KERNEL(gelu_2, V far = MIN(C(30.0), MAX(C(-30.0), x));
       return MUL(MUL(FNMA(far, far, C(2.0)), SPLAT(INV_SQRT_2PI)), bell(x));)

/* v = c x (1 + k x^2), c = 2 sqrt(2/pi), k = 0.044715, as v + *low. */
static inline V gelu_inner(V x, V *low) {
    V s = MUL(x, x), s_low = FMA(x, x, NEG(s));
    V w = FMA(s, C(0.044715), C(1.0)), w_low = FMA(s, C(0.044715), SUB(C(1.0), w));
    w_low = FMA(s_low, C(0.044715), FMA(s, C(1.54614448e-09), w_low));
    V v = MUL(x, C(1.59576917)), v_low = FMA(x, C(1.59576917), NEG(v));
    v_low = FMA(x, C(-4.53406803e-08), v_low);
    V r = MUL(v, w);
    *low = ADD(FMA(v, w, NEG(r)), FMA(v, w_low, MUL(v_low, w)));
    return r;
}

KERNEL(gelu_tanh_0, V low; V v = gelu_inner(MIN(C(20.0), MAX(C(-20.0), x)), &low);
       return MUL(reach(x), sigmoid_low(v, low));)
KERNEL(gelu_tanh_1, V low; V far = MIN(C(20.0), MAX(C(-20.0), x)); V v = gelu_inner(far, &low);
       V e = exp_low(NEG(ABS(v)), SIGN_OF(low, NEG(v))); V d = ADD(C(1.0), e);
       V s = DIV(SEL(LT(x, C(0.0)), e, C(1.0)), d); V s1 = DIV(e, MUL(d, d));
       V v1 = MUL(FMA(MUL(far, far), C(0.134145), C(1.0)), C(1.59576912));
       return FMA(MUL(far, s1), v1, s);)

/* b x in two parts: an error of x's size would be an error of the sigmoid's exponent. */
#define SCALED(v, low) \
    V v = MUL(a, x); \
    V low = FMA(a, x, NEG(v)); \
    low = SEL(LT(ABS(low), C(1.0)), low, C(0.0))

KERNEL(silu_0, SCALED(v, low); V near = MIN(C(3e38), MAX(C(-3e38), x));
       return MUL(SEL(LT(v, C(0.0)), near, x), sigmoid_low(v, low));)
KERNEL(silu_1, SCALED(v, low); V e = exp_low(NEG(ABS(v)), SIGN_OF(low, NEG(v)));
       V d = ADD(C(1.0), e); V s = DIV(SEL(LT(v, C(0.0)), e, C(1.0)), d);
       V far = MIN(C(200.0), MAX(C(-200.0), v)); return FMA(far, DIV(e, MUL(d, d)), s);)

KERNEL(softplus_0, SCALED(v, low); V e = exp_low(NEG(ABS(v)), SIGN_OF(low, NEG(v)));
       return ADD(MAX(C(0.0), x), DIV(log1p_v(e), a));)
KERNEL(softplus_1, SCALED(v, low); return sigmoid_low(v, low);)
KERNEL(softplus_2, SCALED(v, low); V e = exp_low(NEG(ABS(v)), SIGN_OF(low, NEG(v)));
       V d = ADD(C(1.0), e); return MUL(a, DIV(e, MUL(d, d)));)

/* w = e^{-|x|}: tanh(log(1 + e^x)) is (1 + 2w)/(1 + 2w + 2w^2) above 0, (2w + w^2)/(2 + 2w + w^2)
 * below. */
KERNEL(mish_0, V w = exp_v(NEG(ABS(x))); V w2 = MUL(w, w); V t = ADD(w, w);
       V up = SEL(LT(x, C(0.0)), ADD(w2, t), ADD(t, C(1.0)));
       V down = SEL(LT(x, C(0.0)), ADD(C(2.0), ADD(t, w2)), ADD(C(1.0), ADD(t, ADD(w2, w2))));
       return MUL(reach(x), DIV(up, down));)
KERNEL(mish_1, V w = exp_v(NEG(ABS(x))); V w2 = MUL(w, w); V t = ADD(w, w);
       V up = SEL(LT(x, C(0.0)), ADD(w2, t), ADD(t, C(1.0)));
       V down = SEL(LT(x, C(0.0)), ADD(C(2.0), ADD(t, w2)), ADD(C(1.0), ADD(t, ADD(w2, w2))));
       V far = MIN(C(200.0), MAX(C(-200.0), x));
       V top = MUL(MUL(SEL(LT(x, C(0.0)), w, w2), ADD(C(1.0), w)), C(4.0));
       return FMA(far, DIV(top, MUL(down, down)), DIV(up, down));)

KERNEL(hard_sigmoid_0, return MIN(C(1.0), MAX(C(0.0), FMA(a, x, b)));)
KERNEL(hard_swish_0, V in = DIV(MUL(x, ADD(x, C(3.0))), C(6.0));
       return NAN_OR(x, SEL(LT(x, C(3.0)), SEL(LT(C(-3.0), x), in, C(0.0)), x));)
KERNEL(hard_swish_1, V in = DIV(FMA(x, C(2.0), C(3.0)), C(6.0));
       return NAN_OR(x, SEL(LT(x, C(3.0)), SEL(LT(C(-3.0), x), in, C(0.0)), C(1.0)));)
KERNEL(squared_relu_0, V r = MAX(C(0.0), x); return MUL(r, r);)
KERNEL(squared_relu_1, V r = MAX(C(0.0), x); return ADD(r, r);)
KERNEL(squared_relu_2, return NAN_OR(x, SEL(ABOVE_0, C(2.0), C(0.0)));)

/* x P(x^2) below 1 (2.4e-9), 1 - 2 Phi(-sqrt(2) |x|) above. */
KERNEL(erf_0, V z = MUL(x, x); V q = C(7.84725926e-05); q = FMA(q, z, C(-0.000800818962));
       q = FMA(q, z, C(0.00518809911)); q = FMA(q, z, C(-0.0268536918));
       q = FMA(q, z, C(0.112835824)); q = FMA(q, z, C(-0.37612626));
       q = FMA(q, z, C(-5.85195892e-08)); V small = FMA(x, q, MUL(x, C(1.12837923)));
       V u = MIN(C(10.0), ABS(x)); V h = MUL(u, u); V low = FNMA(u, u, h); V below;
       V t = tail_core(MUL(u, C(1.41421356)), &below);
       t = DIV(MUL(MUL(exp_low(NEG(h), low), C(2.0)), t), below);
       return NAN_OR(x, SEL(LT(ABS(x), C(1.0)), small, SIGN_OF(SUB(C(1.0), t), x)));)
KERNEL(erf_1, V u = MIN(C(12.0), ABS(x)); V h = MUL(u, u); V low = FNMA(u, u, h);
       return NAN_OR(x, MUL(C(1.128379167), exp_low(NEG(h), low)));)
KERNEL(gaussian_0, V u = MIN(C(12.0), ABS(x)); V h = MUL(u, u); V low = FNMA(u, u, h);
       return NAN_OR(x, exp_low(NEG(h), low));)
KERNEL(gaussian_1, V u = MIN(C(12.0), MAX(C(-12.0), x)); V h = MUL(u, u); V low = FNMA(u, u, h);
       return NAN_OR(x, MUL(MUL(u, C(-2.0)), exp_low(NEG(h), low)));)

KERNEL(step_0, return NAN_OR(x, SEL(ABOVE_0, C(1.0), C(0.0)));)
KERNEL(sign_0, return NAN_OR(x, SEL(ABOVE_0, C(1.0), SEL(LT(x, C(0.0)), C(-1.0), C(0.0))));)
KERNEL(abs_0, return ABS(x);)
KERNEL(threshold_0, return NAN_OR(x, SEL(LT(a, x), x, b));)
KERNEL(threshold_1, return NAN_OR(x, SEL(LT(a, x), C(1.0), C(0.0)));)

/* ---- sine and cosine ------------------------------------------------------------------- */

/* sin(r) or cos(r), |r| <= pi/4 */
LINE(sin_core)(V r) {
    V z = MUL(r, r);
    V q = FMA(FMA(FMA(C(2.72468696e-06), z, C(-0.000198400638)), z, C(0.00833333191)), z,
              C(-0.166666672)); /* 3e-8 of z q */
    return FMA(MUL(r, z), q, r);
}

LINE(cos_core)(V r) {
    V z = MUL(r, r);
    V q = FMA(FMA(C(2.45454194e-05), z, C(-0.00138882909)), z, C(0.0416666642)); /* 6e-8 z^2 q */
    return FMA(MUL(z, z), q, FNMA(z, C(0.5), C(1.0)));
}

/* sin(x + quarter pi/2); |x| <= TRIG_REACH, where the first two parts of pi/2 times n are exact
 * (201/128 has 8 bits, the next 11, n at most 11). */
#define TRIG_REACH 1600.0f
static inline V turned(V x, float quarter) {
    V n = round_even(MUL(x, C(0.636619772)));
    V r = FNMA(n, C(1.5703125), x);
    r = FNMA(n, C(0.00048351287841796875), r);
    r = FNMA(n, C(3.13855707645416259765625e-7), r);
    r = FNMA(n, C(6.077100628276710381e-11), r);
    n = ADD(n, SPLAT(quarter));
    V half = MUL(n, C(0.5)), down = FLOOR(half);
    V odd = SUB(n, ADD(down, down));                           /* n mod 2 */
    V turn = SUB(down, MUL(FLOOR(MUL(down, C(0.5))), C(2.0))); /* (n div 2) mod 2 */
    V v = SEL(LT(C(0.5), odd), cos_core(r), sin_core(r));
    return SEL(LT(C(0.5), turn), NEG(v), v);
}

static void trig(const float *x, float *y, size_t n, float w, float scale, float quarter,
                 double (*far)(double)) {
    for (size_t i = 0; i < n; i += LANES) {
        size_t m = n - i < LANES ? n - i : LANES;
        float in[LANES] = {0}, out[LANES];
        for (size_t k = 0; k < m; k++) in[k] = x[i + k];
        V v = MUL(SPLAT(w), LOAD(in));
        STORE(out, MUL(SPLAT(scale), turned(v, quarter)));
        for (size_t k = 0; k < m; k++) {
            float u = w * in[k];
            /* An inexact product or a far argument: double carries it. */
            bool exact = w == 1.0f && u > -TRIG_REACH && u < TRIG_REACH;
            y[i + k] = exact ? out[k] : (float)((double)scale * far((double)w * (double)in[k]));
        }
    }
}

static double minus_sin(double x) { return -sin(x); }
static double minus_cos(double x) { return -cos(x); }

#define TRIG(name, scale, quarter, far) \
    static void name(const float p[2], const float *x, float *y, size_t n) { \
        float w = p[0]; \
        trig(x, y, n, w, scale, quarter, far); \
    }
TRIG(sin_0, 1, 0, sin)
TRIG(sin_1, w, 1, cos)
TRIG(sin_2, w *w, 2, minus_sin)
TRIG(cos_0, 1, 1, cos)
TRIG(cos_1, w, 2, minus_sin)
TRIG(cos_2, w *w, 3, minus_cos)

static const fanin__act_kernels kernels = {
    .f =
        {
            [FANIN_ACT_IDENTITY] = {identity_0, identity_1, zero},
            [FANIN_ACT_SIGMOID] = {sigmoid_0, sigmoid_k1, sigmoid_k2},
            [FANIN_ACT_HARD_SIGMOID] = {hard_sigmoid_0, NULL, zero},
            [FANIN_ACT_LOG_SIGMOID] = {log_sigmoid_0, log_sigmoid_1, log_sigmoid_2},
            [FANIN_ACT_TANH] = {tanh_0, tanh_k1, tanh_k2},
            [FANIN_ACT_LECUN_TANH] = {lecun_tanh_0, NULL, NULL},
            [FANIN_ACT_HARD_TANH] = {hard_tanh_0, hard_tanh_1, zero},
            [FANIN_ACT_SOFTSIGN] = {softsign_0, softsign_1, NULL},
            [FANIN_ACT_RELU] = {relu_0, relu_1, zero},
            [FANIN_ACT_RELU6] = {relu6_0, relu6_1, zero},
            [FANIN_ACT_LEAKY_RELU] = {leaky_0, leaky_1, zero},
            [FANIN_ACT_PRELU] = {leaky_0, leaky_1, zero},
            [FANIN_ACT_RRELU] = {NULL, NULL, zero},
            [FANIN_ACT_ELU] = {elu_0, elu_1, elu_2},
            [FANIN_ACT_SELU] = {selu_0, selu_1, selu_2},
            [FANIN_ACT_GELU] = {gelu_0, gelu_1, gelu_2},
            [FANIN_ACT_GELU_TANH] = {gelu_tanh_0, gelu_tanh_1, NULL},
            [FANIN_ACT_SILU] = {silu_0, silu_1, NULL},
            [FANIN_ACT_MISH] = {mish_0, mish_1, NULL},
            [FANIN_ACT_SOFTPLUS] = {softplus_0, softplus_1, softplus_2},
            [FANIN_ACT_HARD_SWISH] = {hard_swish_0, hard_swish_1, NULL},
            [FANIN_ACT_SQUARED_RELU] = {squared_relu_0, squared_relu_1, squared_relu_2},
            [FANIN_ACT_ERF] = {erf_0, erf_1, NULL},
            [FANIN_ACT_SIN] = {sin_0, sin_1, sin_2},
            [FANIN_ACT_COS] = {cos_0, cos_1, cos_2},
            [FANIN_ACT_GAUSSIAN] = {gaussian_0, gaussian_1, NULL},
            [FANIN_ACT_STEP] = {step_0, zero, zero},
            [FANIN_ACT_SIGN] = {sign_0, zero, zero},
            [FANIN_ACT_ABS] = {abs_0, sign_0, zero},
            [FANIN_ACT_THRESHOLD] = {threshold_0, threshold_1, zero},
        },
};
