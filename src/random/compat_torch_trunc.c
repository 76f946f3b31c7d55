/* compat_torch_trunc.c - nn.init.trunc_normal_ of both generations.
 *
 * Before 2.12: a uniform between the two quantiles, then an approximate inverse error function
 * with two Newton steps, which is up to 24 ulp off: its formula is imitated, not its purpose.
 * From 2.12: rejection, in rounds that always draw the whole tensor, however few places are open.
 */
#include <math.h>
#include <string.h>

#include "random/compat_torch.h"

/* Acceptance is above 30 % a round from the normal proposal; from the uniform one it can be
 * arbitrarily small ([5, 1000] at std 1), and PyTorch itself would not come back. */
enum { MAX_ROUNDS = 20000 };

#define SQRT_2  1.4142135623730951
#define SQRT_PI 1.7724538509055159

static double cdf(double t) { return (1.0 + erf(t / SQRT_2)) / 2.0; }

/* ---- inverse error function, before 2.12 ------------------------------------------------- */

/* Numerators and denominators of the two ranges, highest power first. */
static const double centre_num[] = {-0.140543331, 0.914624893, -1.645349621, 0.886226899};
static const double centre_den[] = {0.012229801, -0.329097515, 1.442710462, -2.118377725, 1.0};
static const double tail_num[] = {1.641345311, 3.429567803, -1.624906493, -1.970840454};
static const double tail_den[] = {1.637067800, 3.543889200, 1.0};

static float horner_f32(const double *c, int n, float z, bool fused) {
    float y = (float)c[0];
    for (int i = 1; i < n; i++) y = fused ? fmaf(y, z, (float)c[i]) : y * z + (float)c[i];
    return y;
}

static double horner_f64(const double *c, int n, double z, bool fused) {
    double y = c[0];
    for (int i = 1; i < n; i++) y = fused ? fma(y, z, c[i]) : y * z + c[i];
    return y;
}

static float erfinv_f32(float y, bool fused) {
    if (!(fabsf(y) < 1.0f)) return copysignf(INFINITY, y);
    float x;
    if (fabsf(y) <= 0.7f) {
        float z = y * y;
        x = y * horner_f32(centre_num, 4, z, fused) / horner_f32(centre_den, 5, z, fused);
    } else {
        float z = sqrtf(-logf((1.0f - fabsf(y)) / 2.0f));
        x = copysignf(horner_f32(tail_num, 4, z, fused), y) / horner_f32(tail_den, 3, z, fused);
    }
    for (int i = 0; i < 2; i++) x = x - (erff(x) - y) / ((2.0f / (float)SQRT_PI) * expf(-x * x));
    return x;
}

static double erfinv_f64(double y, bool fused) {
    if (!(fabs(y) < 1.0)) return copysign(INFINITY, y);
    double x;
    if (fabs(y) <= 0.7) {
        double z = y * y;
        x = y * horner_f64(centre_num, 4, z, fused) / horner_f64(centre_den, 5, z, fused);
    } else {
        double z = sqrt(-log((1.0 - fabs(y)) / 2.0));
        x = copysign(horner_f64(tail_num, 4, z, fused), y) / horner_f64(tail_den, 3, z, fused);
    }
    for (int i = 0; i < 2; i++) x = x - (erf(x) - y) / ((2.0 / SQRT_PI) * exp(-x * x));
    return x;
}

static fanin_status by_inverse(fanin_torch_rng *rng, fanin_dtype dtype, size_t n, double mean,
                               double std, double a, double b, void *out) {
    double l = 2 * cdf((a - mean) / std) - 1, u = 2 * cdf((b - mean) / std) - 1;
    bool fused = fanin__torch_fused(rng);
    FANIN_TRY(fanin_torch_uniform(rng, dtype, n, l, u, out));
    if (!out) return FANIN_OK;
    if (dtype == FANIN_F32) {
        float *x = out;
        for (size_t i = 0; i < n; i++) {
            float v = erfinv_f32(x[i], fused) * (float)(std * SQRT_2) + (float)mean;
            x[i] = fminf(fmaxf(v, (float)a), (float)b);
        }
    } else {
        double *x = out;
        for (size_t i = 0; i < n; i++)
            x[i] = fmin(fmax(erfinv_f64(x[i], fused) * (std * SQRT_2) + mean, a), b);
    }
    return FANIN_OK;
}

/* ---- rejection, from 2.12 ---------------------------------------------------------------- */

typedef struct proposal {
    fanin_torch_rng *rng;
    fanin_dtype dtype;
    size_t n;
    double mean, std, a, b;
    void *candidate;  /* a whole tensor */
    void *chance;     /* uniforms; NULL: the proposal is the normal itself */
    double low, high; /* the bounds in the dtype */
    double peak;      /* log density of the mode within the bounds, up to a constant */
} proposal;

static double value_at(fanin_dtype dtype, const void *p, size_t i) {
    double v = 0;
    size_t size = fanin_dtype_size(dtype);
    if (dtype == FANIN_F32) return (double)((const float *)p)[i];
    if (dtype == FANIN_F64) return ((const double *)p)[i];
    fanin_convert_to_f64((const unsigned char *)p + i * size, dtype, 1, &v);
    return v;
}

static fanin_status propose(const proposal *p) {
    if (!p->chance)
        return fanin_torch_normal(p->rng, p->dtype, p->n, p->mean, p->std, p->candidate);
    FANIN_TRY(fanin_torch_uniform(p->rng, p->dtype, p->n, p->a, p->b, p->candidate));
    return fanin_torch_uniform(p->rng, p->dtype, p->n, 0, 1, p->chance);
}

static bool accepted(const proposal *p, size_t i) {
    if (!p->chance) {
        double v = value_at(p->dtype, p->candidate, i);
        return !(v < p->low || v > p->high);
    }
    if (p->dtype == FANIN_F32) {
        float t = (((const float *)p->candidate)[i] - (float)p->mean) / (float)p->std;
        float log_density = t * t * -0.5f - (float)p->peak;
        return !(logf(((const float *)p->chance)[i]) > log_density);
    }
    double t = (((const double *)p->candidate)[i] - p->mean) / p->std;
    return !(log(((const double *)p->chance)[i]) > t * t * -0.5 - p->peak);
}

static void copy_value(fanin_dtype dtype, const void *from, size_t i, void *to) {
    if (dtype == FANIN_F64)
        ((double *)to)[i] = ((const double *)from)[i];
    else if (dtype == FANIN_F32)
        ((float *)to)[i] = ((const float *)from)[i];
    else
        ((uint16_t *)to)[i] = ((const uint16_t *)from)[i];
}

/* Takes what is accepted at open places; returns how many stay open. The common case first: one
 * pass without branches. */
static size_t take(const proposal *p, unsigned char *open, void *out) {
    size_t pending = 0;
    if (p->dtype == FANIN_F32 && !p->chance && out) {
        const float *candidate = p->candidate;
        float *value = out, low = (float)p->low, high = (float)p->high;
        for (size_t i = 0; i < p->n; i++) {
            float v = open[i] ? candidate[i] : value[i];
            value[i] = v;
            open[i] = v < low || v > high;
            pending += open[i];
        }
        return pending;
    }
    for (size_t i = 0; i < p->n; i++) {
        if (open[i] && accepted(p, i)) {
            open[i] = 0;
            if (out) copy_value(p->dtype, p->candidate, i, out);
        }
        pending += open[i];
    }
    return pending;
}

static fanin_status rounds(const proposal *p, unsigned char *open, void *out) {
    memset(open, 1, p->n);
    for (int round = 0; round < MAX_ROUNDS; round++) {
        if (fanin_interrupted()) return FANIN_INTERRUPTED;
        FANIN_TRY(propose(p));
        if (take(p, open, out) == 0) return FANIN_OK;
    }
    return FANIN_NOCONV;
}

static fanin_status by_rejection(proposal *p, bool from_normal, void *out) {
    size_t bytes;
    if (!fanin__size_mul(p->n, fanin_dtype_size(p->dtype), &bytes)) return FANIN_NOMEM;
    p->candidate = fanin_malloc(bytes);
    p->chance = from_normal ? NULL : fanin_malloc(bytes);
    unsigned char *open = fanin_malloc(p->n);
    fanin_status status = FANIN_NOMEM;
    if (p->candidate && open && (from_normal || p->chance)) status = rounds(p, open, out);
    fanin_free(open);
    fanin_free(p->chance);
    fanin_free(p->candidate);
    return status;
}

static double in_dtype(fanin_dtype dtype, double v) {
    return dtype == FANIN_F64 ? v : (double)fanin__torch_round(dtype, (float)v);
}

fanin_status fanin_torch_trunc_normal(fanin_torch_rng *rng, fanin_dtype dtype, size_t n,
                                      double mean, double std, double a, double b, void *out) {
    if (!fanin__torch_dtype_ok(dtype)) return FANIN_UNSUPPORTED;
    if (!isfinite(mean) || !isfinite(std) || !(std > 0) || !(a < b) || !isfinite(a) || !isfinite(b))
        return FANIN_ARG;
    if (n == 0) return FANIN_OK;
    bool half = dtype == FANIN_BF16 || dtype == FANIN_F16;
    if (rng->version < FANIN_TORCH_2_12)
        return half ? FANIN_UNSUPPORTED : by_inverse(rng, dtype, n, mean, std, a, b, out);
    bool from_normal = cdf((b - mean) / std) - cdf((a - mean) / std) > 0.3;
    if (half && !from_normal) return FANIN_UNSUPPORTED;
    double mode = fmax(a, fmin(mean, b)), t = (mode - mean) / std;
    proposal p = {.rng = rng,
                  .dtype = dtype,
                  .n = n,
                  .mean = mean,
                  .std = std,
                  .a = a,
                  .b = b,
                  .low = in_dtype(dtype, a),
                  .high = in_dtype(dtype, b),
                  .peak = -0.5 * (t * t)};
    return by_rejection(&p, from_normal, out);
}
