/* law.c - laws: what they are mathematically, and how they are prepared for the kernels. */
#include <math.h>

#include "random/random.h"

static float float_up(double x) {
    float f = (float)x;
    return (double)f < x ? nextafterf(f, INFINITY) : f;
}

static float float_down(double x) {
    float f = (float)x;
    return (double)f > x ? nextafterf(f, -INFINITY) : f;
}

static bool fits(double x) { return isfinite(x) && isfinite((float)x); }

static fanin_status plan_constant(fanin__plan *plan, double value) {
    plan->map = FANIN__MAP_CONSTANT;
    plan->mean = (float)value;
    plan->mean64 = value;
    return FANIN_OK;
}

/* Bounds as numbers of the type: low <= x <= high. False if there is none. */
static bool plan_bounds(fanin__plan *plan, double low, double high, bool open) {
    plan->low64 = low;
    plan->high64 = open ? nextafter(high, -INFINITY) : high;
    plan->low = float_up(low);
    plan->high = float_down(high);
    if (open && (double)plan->high == high) plan->high = nextafterf(plan->high, -INFINITY);
    return plan->low <= plan->high;
}

/* The ends of the range are checked once instead of clamping each value: the scale loses up to
 * four units in its last place until both ends round into [low, high). */
static fanin_status plan_uniform(const fanin_law *law, fanin__plan *plan) {
    double low = law->low, high = law->high;
    if (!fits(low) || !fits(high) || !(low <= high) || !fits(high - low)) return FANIN_ARG;
    if (low == high) return plan_constant(plan, low);
    double middle = 0.5 * low + 0.5 * high, step = (high - low) * 0x1p-32;
    if (!plan_bounds(plan, low, high, true)) {
        plan_constant(plan, middle);
        return FANIN_OK;
    }
    plan->mean = (float)(middle + 0.5 * step);
    plan->scale = (float)step;
    plan->mean64 = middle;
    plan->scale64 = step * 0x1p-32;
    plan->map = FANIN__MAP_AFFINE;
    for (int tries = 0; tries < 4; tries++) {
        if (fmaf(-0x1p31f, plan->scale, plan->mean) >= plan->low &&
            fmaf(0x1p31f, plan->scale, plan->mean) <= plan->high)
            return FANIN_OK;
        plan->scale = nextafterf(plan->scale, 0);
    }
    plan->scale = (float)step;
    plan->map = FANIN__MAP_AFFINE_CLAMP;
    return FANIN_OK;
}

static fanin_status plan_normal(const fanin_law *law, fanin__plan *plan) {
    if (!fits(law->a) || !fits(law->b) || law->b < 0) return FANIN_ARG;
    plan->map = FANIN__MAP_NORMAL;
    plan->mean64 = law->a;
    plan->scale64 = law->b;
    plan->mean = (float)law->a;
    plan->scale = (float)law->b;
    return FANIN_OK;
}

static double lower_tail(double z) { return fanin__normal_tail(-z); }

/* Phi(beta) - Phi(alpha), from the side where it does not cancel. */
static double mass(double alpha, double beta) {
    if (alpha > 0) return fanin__normal_tail(alpha) - fanin__normal_tail(beta);
    return lower_tail(beta) - lower_tail(alpha);
}

/* x in [0, 1] as a 64-bit fraction, at most 2^64 - 1. */
static uint64_t fraction64(double x) {
    return x >= 1 ? UINT64_MAX : x <= 0 ? 0 : (uint64_t)(x * 0x1p64);
}

static void plan_position(fanin__plan *plan, double alpha, double probability) {
    double below = lower_tail(alpha);
    plan->offset64 = fraction64(below);
    plan->width64 = fraction64(probability);
    if (plan->width64 > UINT64_MAX - plan->offset64) plan->width64 = UINT64_MAX - plan->offset64;
    double width = probability * 0x1p32 + 0.5;
    plan->width = width >= 0x1p32 ? UINT32_MAX : (uint32_t)width;
    plan->offset = fraction64(below) + plan->width / 2;
    if (plan->offset < plan->width) plan->offset = plan->width / 2;
    uint64_t top = (uint64_t)UINT32_MAX * plan->width;
    if (plan->offset > UINT64_MAX - top) plan->offset = UINT64_MAX - top;
}

/* A cut that holds less than this lies where cells of 2^-32 are too coarse. */
static const double NARROW = 0x1p-10;

static fanin_status plan_truncated(const fanin_law *law, fanin__plan *plan) {
    FANIN_TRY(plan_normal(law, plan));
    if (isnan(law->low) || isnan(law->high) || !(law->low < law->high) || law->b <= 0)
        return FANIN_ARG;
    if (plan->scale <= 0) return FANIN_ARG;
    double alpha = (law->low - law->a) / law->b, beta = (law->high - law->a) / law->b;
    if ((isinf(alpha) && alpha > 0) || (isinf(beta) && beta < 0) || !(alpha < beta))
        return FANIN_ARG; /* beyond the largest number in deviations, or no width left */
    if (isinf(alpha) && isinf(beta)) return FANIN_OK;
    bool some = plan_bounds(plan, law->low, law->high, false);
    if (isinf(plan->low) && plan->low > 0) return FANIN_ARG;
    if (isinf(plan->high) && plan->high < 0) return FANIN_ARG;
    if (!some) return plan_constant(plan, 0.5 * law->low + 0.5 * law->high);
    if (alpha < -6.5 && beta > 6.5) {
        plan->map = FANIN__MAP_NORMAL_CLAMP;
        return FANIN_OK;
    }
    double probability = mass(alpha, beta);
    if (probability >= NARROW) {
        plan->map = FANIN__MAP_TRUNC;
        plan_position(plan, alpha, probability);
        return FANIN_OK;
    }
    plan->map = FANIN__MAP_TAIL;
    plan->mirrored = fabs(alpha) > fabs(beta);
    plan->alpha = plan->mirrored ? -beta : alpha;
    plan->beta = plan->mirrored ? -alpha : beta;
    return FANIN_OK;
}

static fanin_status plan_bernoulli(const fanin_law *law, fanin__plan *plan) {
    if (!fits(law->a) || !(law->b >= 0 && law->b <= 1)) return FANIN_ARG;
    uint64_t count = (uint64_t)(law->b * 0x1p32 + 0.5);
    if (count == 0) return plan_constant(plan, 0);
    plan_constant(plan, law->a);
    plan->map = FANIN__MAP_CHOICE;
    plan->threshold = (uint32_t)(count - 1);
    return FANIN_OK;
}

fanin_status fanin__plan_make(const fanin_law *law, fanin__plan *plan) {
    *plan = (fanin__plan){0};
    switch (law->kind) {
    case FANIN_LAW_CONSTANT: return fits(law->a) ? plan_constant(plan, law->a) : FANIN_ARG;
    case FANIN_LAW_UNIFORM: return plan_uniform(law, plan);
    case FANIN_LAW_NORMAL: return plan_normal(law, plan);
    case FANIN_LAW_TRUNC_NORMAL: return plan_truncated(law, plan);
    case FANIN_LAW_RADEMACHER:
        if (!fits(law->a)) return FANIN_ARG;
        plan_constant(plan, law->a);
        plan->map = FANIN__MAP_SIGN;
        return FANIN_OK;
    case FANIN_LAW_BERNOULLI: return plan_bernoulli(law, plan);
    default: return FANIN_ARG;
    }
}

/* ---- moments --------------------------------------------------------------------------- */

/* Mean and variance of the standard normal law on [alpha, beta], |alpha| <= beta or alpha < 0,
 * relative to alpha: Simpson's rule on the density over its largest value, cut where it has
 * fallen by 2^-64. */
static void cut_moments(double alpha, double beta, double *mean, double *variance) {
    enum { STEPS = 16384 };
    double near = alpha > 0 ? alpha : 0; /* where the density is largest */
    double reach = 90 / (near + sqrt(near * near + 90)), from = alpha, to = beta;
    if (from < near - 9.5) from = near - 9.5;
    if (to > near + reach) to = near + reach;
    double h = (to - from) / STEPS, s0 = 0, s1 = 0, s2 = 0;
    for (int i = 0; i <= STEPS; i++) {
        double y = i * h, d = from - near + y; /* z = near + d */
        double w = (i == 0 || i == STEPS ? 1 : i & 1 ? 4 : 2);
        w *= fanin__exp_negative(-d * (near + 0.5 * d));
        s0 += w;
        s1 += w * y;
        s2 += w * y * y;
    }
    double m = s1 / s0;
    *mean = (from - alpha) + m;
    *variance = s2 / s0 - m * m;
}

static void truncated_moments(const fanin_law *law, double *mean, double *variance) {
    double alpha = (law->low - law->a) / law->b, beta = (law->high - law->a) / law->b;
    bool mirrored = fabs(alpha) > fabs(beta);
    double m, v, from = mirrored ? -beta : alpha, to = mirrored ? -alpha : beta;
    if (from < -9.5) from = -9.5;
    cut_moments(from, to, &m, &v);
    *variance = law->b * law->b * v;
    *mean = law->a + law->b * (mirrored ? -(from + m) : from + m);
    if (alpha == -beta) *mean = law->a;
}

static bool valid(const fanin_law *law) {
    fanin__plan plan;
    return fanin__plan_make(law, &plan) == FANIN_OK;
}

double fanin_law_mean(const fanin_law *law) {
    double mean, variance;
    if (!valid(law)) return NAN;
    switch (law->kind) {
    case FANIN_LAW_UNIFORM: return 0.5 * law->low + 0.5 * law->high;
    case FANIN_LAW_TRUNC_NORMAL: truncated_moments(law, &mean, &variance); return mean;
    case FANIN_LAW_RADEMACHER: return 0;
    case FANIN_LAW_BERNOULLI: return law->a * law->b;
    default: return law->a;
    }
}

double fanin_law_variance(const fanin_law *law) {
    double mean, variance, width = law->high - law->low;
    if (!valid(law)) return NAN;
    switch (law->kind) {
    case FANIN_LAW_UNIFORM: return width * width / 12;
    case FANIN_LAW_NORMAL: return law->b * law->b;
    case FANIN_LAW_TRUNC_NORMAL: truncated_moments(law, &mean, &variance); return variance;
    case FANIN_LAW_RADEMACHER: return law->a * law->a;
    case FANIN_LAW_BERNOULLI: return law->a * law->a * law->b * (1 - law->b);
    default: return 0;
    }
}

void fanin_law_support(const fanin_law *law, double *low, double *high) {
    *low = *high = NAN;
    if (!valid(law)) return;
    double size = fabs(law->a);
    switch (law->kind) {
    case FANIN_LAW_CONSTANT: *low = *high = law->a; break;
    case FANIN_LAW_UNIFORM:
    case FANIN_LAW_TRUNC_NORMAL: *low = law->low, *high = law->high; break;
    case FANIN_LAW_NORMAL:
        *low = law->b > 0 ? -INFINITY : law->a;
        *high = law->b > 0 ? INFINITY : law->a;
        break;
    case FANIN_LAW_RADEMACHER: *low = -size, *high = size; break;
    case FANIN_LAW_BERNOULLI:
        *low = law->a < 0 && law->b > 0 ? law->a : 0;
        *high = law->a > 0 && law->b > 0 ? law->a : 0;
        if (law->b >= 1) *low = *high = law->a;
        break;
    }
}
