/* closed.c - matrices written down, not drawn: identity, dirac, bilinear upsampling, ZerO's partial
 * identity and Hadamard matrix. Every element is a function of its place, so slices are free. */
#include <math.h>

#include "init/init.h"

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

static bool is_centre(const fanin__recipe *plan, const fanin__place *p) {
    for (int i = 0; i < plan->view.kernel_rank; i++)
        if (p->kernel[i] != plan->view.kernel_dims[i] / 2) return false;
    return true;
}

/* Moments of a tensor with `count` elements whose sum and sum of squares are known. */
static void moments_of(fanin__recipe *plan, double sum, double squares, double low, double high) {
    double n = plan->count ? (double)plan->count : 1;
    plan->moments.mean = sum / n;
    plan->moments.std = sqrt(fmax(0, squares / n - sum / n * (sum / n)));
    plan->moments.low = low;
    plan->moments.high = high;
    plan->moments.gain = plan->gain;
}

static fanin_status kernel_wanted(const fanin__recipe *plan, const char *instead, fanin_err *err) {
    if (plan->view.kernel_rank >= 1 && plan->view.kernel_rank <= 3) return FANIN_OK;
    char shape[128];
    return fanin_err_set(
        err, FANIN_SHAPE, "%s: %s fills convolutions with 1 to 3 kernel axes, this is %s%s",
        fanin__tensor_name(plan->tensor), plan->row->name,
        fanin__shape_text(plan->tensor->dims, plan->tensor->rank, shape, sizeof shape), instead);
}

/* ---- identity ---------------------------------------------------------------------------- */

fanin_status fanin__identity_plan(fanin__recipe *plan, fanin_err *err) {
    FANIN_TRY(fanin__view_make(plan, 1, err));
    char shape[128], gain[32];
    const fanin_tensor *t = plan->tensor;
    if (plan->view.taps != 1)
        return fanin_err_set(
            err, FANIN_SHAPE, "%s: identity fills matrices, this is %s; dirac fills convolutions",
            fanin__tensor_name(t), fanin__shape_text(t->dims, t->rank, shape, sizeof shape));
    plan->gain = fanin__or(plan->rule->gain, 1);
    double ones = (double)(plan->view.blocks * least(plan->view.out, plan->view.in));
    moments_of(plan, ones * plan->gain, ones * plan->gain * plan->gain, 0, plan->gain);
    fanin__reason(plan, "%s on the diagonal%s", fanin__number_text(plan->gain, gain),
                  plan->view.blocks > 1 ? " of each part" : "");
    return FANIN_OK;
}

static double identity_value(const fanin__recipe *plan, uint64_t index) {
    fanin__place p = fanin__view_place(&plan->view, index);
    return p.out == p.in ? plan->gain : 0;
}

fanin_status fanin__identity_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first,
                                  size_t n, fanin_dtype dtype, void *out, fanin_err *err) {
    (void)seed, (void)err;
    fanin__fill_each(plan, identity_value, first, n, dtype, out);
    return FANIN_OK;
}

/* ---- dirac ------------------------------------------------------------------------------- */

fanin_status fanin__dirac_plan(fanin__recipe *plan, fanin_err *err) {
    FANIN_TRY(fanin__view_make(plan, plan->rule->groups, err));
    FANIN_TRY(kernel_wanted(plan, "; identity fills matrices", err));
    plan->gain = fanin__or(plan->rule->gain, 1);
    double ones = (double)(plan->view.blocks * least(plan->view.out, plan->view.in));
    moments_of(plan, ones * plan->gain, ones * plan->gain * plan->gain, 0, plan->gain);
    fanin__reason(plan, "each channel to itself at the centre of the kernel, %llu group%s",
                  (unsigned long long)plan->view.blocks, plan->view.blocks > 1 ? "s" : "");
    return FANIN_OK;
}

static double dirac_value(const fanin__recipe *plan, uint64_t index) {
    fanin__place p = fanin__view_place(&plan->view, index);
    return p.out == p.in && is_centre(plan, &p) ? plan->gain : 0;
}

fanin_status fanin__dirac_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first, size_t n,
                               fanin_dtype dtype, void *out, fanin_err *err) {
    (void)seed, (void)err;
    fanin__fill_each(plan, dirac_value, first, n, dtype, out);
    return FANIN_OK;
}

/* ---- bilinear ---------------------------------------------------------------------------- */

/* The triangle that interpolates at factor ceil(k/2): 1 - |x / f - c|, c = (2 f - 1 - f mod 2) / (2 f). */
static double triangle(uint64_t x, uint64_t size) {
    double f = (double)((size + 1) / 2), odd = (double)((size + 1) / 2 % 2);
    return 1 - fabs((double)x / f - (2 * f - 1 - odd) / (2 * f));
}

static double bilinear_value(const fanin__recipe *plan, uint64_t index) {
    fanin__place p = fanin__view_place(&plan->view, index);
    if (p.out != p.in) return 0;
    double value = plan->gain;
    for (int i = plan->view.kernel_rank - 1; i >= 0; i--)
        value *= triangle(p.kernel[i], plan->view.kernel_dims[i]);
    return value;
}

fanin_status fanin__bilinear_plan(fanin__recipe *plan, fanin_err *err) {
    FANIN_TRY(fanin__view_make(plan, plan->rule->groups, err));
    FANIN_TRY(kernel_wanted(plan, "", err));
    plan->gain = fanin__or(plan->rule->gain, 1);
    double sum = plan->gain, squares = plan->gain * plan->gain;
    for (int i = 0; i < plan->view.kernel_rank; i++) {
        double s = 0, s2 = 0;
        for (uint64_t x = 0; x < plan->view.kernel_dims[i]; x++) {
            double t = triangle(x, plan->view.kernel_dims[i]);
            s += t;
            s2 += t * t;
        }
        sum *= s;
        squares *= s2;
    }
    double channels = (double)(plan->view.blocks * least(plan->view.out, plan->view.in));
    moments_of(plan, channels * sum, channels * squares, 0, plan->gain);
    fanin__reason(plan, "interpolates each channel to itself, kernel of %llu positions",
                  (unsigned long long)plan->view.taps);
    return FANIN_OK;
}

fanin_status fanin__bilinear_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first,
                                  size_t n, fanin_dtype dtype, void *out, fanin_err *err) {
    (void)seed, (void)err;
    fanin__fill_each(plan, bilinear_value, first, n, dtype, out);
    return FANIN_OK;
}

/* ---- ZerO -------------------------------------------------------------------------------- */

/* plan->k = log2 p, p the power of two that holds all rows. More rows than columns: the corner of the
 * Hadamard matrix over sqrt p, whose element is the parity of the bits that row and column share. */
static double hadamard_value(const fanin__recipe *plan, uint64_t index) {
    fanin__place p = fanin__view_place(&plan->view, index);
    if (!is_centre(plan, &p)) return 0;
    if (plan->view.out <= plan->view.in) return p.out == p.in ? plan->gain : 0;
    return __builtin_parityll(p.out & p.in) ? -plan->value : plan->value;
}

fanin_status fanin__hadamard_plan(fanin__recipe *plan, fanin_err *err) {
    FANIN_TRY(fanin__view_make(plan, plan->rule->groups, err));
    const fanin__view *v = &plan->view;
    plan->gain = fanin__or(plan->rule->gain, 1);
    plan->k = 0;
    while (plan->k < 62 && (UINT64_C(1) << plan->k) < v->out) plan->k++;
    plan->value = plan->gain / sqrt((double)(UINT64_C(1) << plan->k));
    double blocks = (double)v->blocks, sum = 0, squares;
    if (v->out <= v->in) {
        squares = blocks * (double)v->out * plan->gain * plan->gain;
        sum = blocks * (double)v->out * plan->gain;
        moments_of(plan, sum, squares, 0, plan->gain);
        fanin__reason(plan, "partial identity, %llu of %llu inputs pass",
                      (unsigned long long)v->out, (unsigned long long)v->in);
        return FANIN_OK;
    }
    /* Row o sums to the sum over i < in of a Walsh function: by the row's lowest bit in blocks. */
    for (uint64_t o = 0; o < v->out; o++) {
        if (o == 0) {
            sum += (double)v->in;
            continue;
        }
        uint64_t period = (o & (~o + 1)) << 1, rest = v->in % period; /* whole periods cancel */
        double high = 0;
        uint64_t done = v->in - rest;
        high = (double)least(rest, period / 2) - (double)(rest - least(rest, period / 2));
        sum += __builtin_parityll(o & done) ? -high : high;
    }
    sum *= blocks * plan->value;
    squares = blocks * (double)v->out * (double)v->in * plan->value * plan->value;
    moments_of(plan, sum, squares, -plan->value, plan->value);
    fanin__reason(plan, "Hadamard matrix of order 2^%llu over its root, %llu x %llu of it",
                  (unsigned long long)plan->k, (unsigned long long)v->out,
                  (unsigned long long)v->in);
    return FANIN_OK;
}

fanin_status fanin__hadamard_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first,
                                  size_t n, fanin_dtype dtype, void *out, fanin_err *err) {
    (void)seed, (void)err;
    fanin__fill_each(plan, hadamard_value, first, n, dtype, out);
    return FANIN_OK;
}
