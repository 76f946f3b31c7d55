/* map.c - one word to one number: the scalar definition of every law, in float32, and narrow cuts.
 * The float64 versions are in map64.h. */
#include <math.h>
#include <string.h>

#include "random/random.h"

static float clamp(float x, const fanin__plan *plan) {
    x = x > plan->low ? x : plan->low;
    return x < plan->high ? x : plan->high;
}

/* Crude ln x for x >= 1 to 0.09: the exponent, the fraction read as linear. A starting value. */
static double rough_log(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return ((double)bits * 0x1p-52 - 1023) * 0.6931471805599453;
}

/* s with int_0^s exp(-alpha t - t^2/2) dt = u int_0^width, where the exponent stays below 2^-8:
 * Newton steps on the Taylor polynomial. */
static double solve_short(double alpha, double width, double u) {
    double k2 = -alpha / 2, k3 = (alpha * alpha - 1) / 6, k4 = alpha * (3 - alpha * alpha) / 24;
    double whole = width * (1 + width * (k2 + width * (k3 + width * k4)));
    double s = u * width;
    for (int i = 0; i < 4; i++) {
        double f = s * (1 + s * (k2 + s * (k3 + s * k4))) - u * whole;
        s -= f / (1 + s * (2 * k2 + s * (3 * k3 + s * 4 * k4)));
    }
    return s;
}

/* y with tail(alpha + y) = (1 - u) tail(alpha) + u tail(beta), tails over phi(alpha). The tail is
 * convex and falls, so Newton's steps are on the left of the root after the first one. */
static double solve_tail(double alpha, double beta, double u) {
    double top = fanin__mills(alpha), width = beta - alpha;
    double rest =
        isinf(beta) ? 0 : fanin__mills(beta) * fanin__exp_negative(-width * (alpha + 0.5 * width));
    double target = top - u * (top - rest);
    double drop = 2 * rough_log(top / target);
    double y = drop / (alpha + sqrt(alpha * alpha + drop) + 0x1p-1000);
    if (y > width) y = width;
    for (int i = 0; i < 40; i++) {
        double slope = fanin__exp_negative(-y * (alpha + 0.5 * y));
        double step = (fanin__mills(alpha + y) * slope - target) / slope;
        step /= 1 - 0.5 * (alpha + y) * step; /* Halley */
        y += step;
        if (!(fabs(step) > 0x1p-50 * y)) break;
    }
    return y;
}

/* A narrow cut: the distance from the bound nearer to the mean, so that nothing cancels. */
double fanin__tail_value(const fanin__plan *plan, double u) {
    double alpha = plan->alpha, beta = plan->beta, width = beta - alpha, y;
    if (plan->mirrored) u = 1 - u;
    if (alpha < 0 || width * beta < 0x1p-8)
        y = solve_short(alpha, width, u);
    else
        y = solve_tail(alpha, beta, u);
    y *= plan->scale64;
    y = plan->mirrored ? plan->high64 - y : plan->low64 + y;
    y = y > plan->low64 ? y : plan->low64;
    return y < plan->high64 ? y : plan->high64;
}

float fanin__map_f32(const fanin__plan *plan, uint32_t word) {
    switch (plan->map) {
    case FANIN__MAP_AFFINE: return fmaf((float)(int32_t)word, plan->scale, plan->mean);
    case FANIN__MAP_AFFINE_CLAMP:
        return clamp(fmaf((float)(int32_t)word, plan->scale, plan->mean), plan);
    case FANIN__MAP_NORMAL: return fmaf(fanin__normal_f32(word), plan->scale, plan->mean);
    case FANIN__MAP_NORMAL_CLAMP:
        return clamp(fmaf(fanin__normal_f32(word), plan->scale, plan->mean), plan);
    case FANIN__MAP_TRUNC: {
        uint32_t position = (uint32_t)(((uint64_t)word * plan->width + plan->offset) >> 32);
        return clamp(fmaf(fanin__normal_f32(position), plan->scale, plan->mean), plan);
    }
    case FANIN__MAP_TAIL:
        return clamp((float)fanin__tail_value(plan, ((double)word + 0.5) * 0x1p-32), plan);
    case FANIN__MAP_SIGN: return word >> 31 ? plan->mean : -plan->mean;
    case FANIN__MAP_CHOICE: return word <= plan->threshold ? plan->mean : 0;
    default: return plan->mean;
    }
}
