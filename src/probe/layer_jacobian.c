/* layer_jacobian.c - mean singular value of diag f'(s) W, layer by layer.
 *
 * Layers of a few units are decomposed. Of others Golub-Kahan steps from random vectors, the rows of one
 * product and each at a sample of its own, give the mean by Gauss quadrature of |x| for the
 * spectrum of [0 J'; J 0]. With 2 k nodes the kink at 0 falls between two of them, with 2 k - 1 on one: the
 * errors are as 1 / (2k+1)^2 to -2 / (2k)^2 and cancel in a weighted mean, which leaves 1e-3 at k = 4 for the
 * law of a square Gaussian matrix. One start finds the mean of n values to sqrt(2 / n) of their spread. */
#include <math.h>
#include <string.h>

#include "compute/compute.h"
#include "probe/figures.h"
#include "probe/second.h"
#include "probe/spectral.h"

#include "fanin/random.h"

enum { DENSE_UNITS = 16, DENSE_SAMPLES = 4, STEPS_MAX = 6, STEPS_LARGE = 4, LARGE = 1 << 18 };
enum { STARTS_MAX = 64, STARTS_LARGE = 16, VALUES = 4096 };

/* J = diag(slope) W; W stored units x inputs, or inputs x units where rows are inputs. */
typedef struct layer_view {
    const float *w;
    size_t units, inputs;
    bool rows_are_inputs;
    const float *slope; /* starts x units; NULL: ones */
    size_t starts;
} layer_view;

/* Row by row: out (starts x inputs) = J' in, or out (starts x units) = J in. `in` is scaled in place. */
static void multiply(const layer_view *v, bool to_inputs, float *in, float *out) {
    size_t n = v->units * v->starts;
    for (size_t i = 0; i < n && v->slope && to_inputs; i++) in[i] *= v->slope[i];
    size_t stored = v->rows_are_inputs ? v->units : v->inputs;
    bool turned = to_inputs == v->rows_are_inputs; /* W' is what the rows are multiplied by */
    const fanin__gemm_args g = {.m = v->starts,
                                .n = to_inputs ? v->inputs : v->units,
                                .k = to_inputs ? v->units : v->inputs,
                                .alpha = 1,
                                .a = in,
                                .a_row = to_inputs ? v->units : v->inputs,
                                .a_col = 1,
                                .b = v->w,
                                .b_row = turned ? 1 : stored,
                                .b_col = turned ? stored : 1,
                                .c = out,
                                .c_row = to_inputs ? v->inputs : v->units};
    fanin__gemm(&g);
    for (size_t i = 0; i < n && v->slope && !to_inputs; i++) out[i] *= v->slope[i];
}

/* r -= scale q row by row, then norms = |r| and r becomes of length one; rows of length 0 stay. */
static void advance(float *r, const float *q, const double *scale, size_t starts, size_t n,
                    double *norms) {
    for (size_t c = 0; c < starts; c++, r += n) {
        for (size_t i = 0; q && i < n; i++) r[i] -= (float)scale[c] * q[c * n + i];
        norms[c] = sqrt(fanin__dot(n, r, r));
        float factor = norms[c] > 0 ? (float)(1 / norms[c]) : 0;
        for (size_t i = 0; i < n; i++) r[i] *= factor;
    }
}

/* Quadrature of |x| at the first unit vector of the tridiagonal matrix with off-diagonal off[count]. */
static fanin_status mean_modulus(const double *off, size_t count, double *mean) {
    double d[2 * STEPS_MAX] = {0}, e[2 * STEPS_MAX] = {0}, first[2 * STEPS_MAX];
    memcpy(e, off, count * sizeof *off);
    FANIN_TRY(fanin__tridiagonal_eigen(count + 1, d, e, first));
    *mean = 0;
    for (size_t i = 0; i <= count; i++) *mean += first[i] * first[i] * fabs(d[i]);
    return FANIN_OK;
}

/* off: alpha_1, beta_1, alpha_2, ... alpha_k of one start. */
static fanin_status quadrature(const double *off, int steps, double *mean) {
    size_t count = 2 * (size_t)steps - 1, used = 0;
    double even = 0, odd = 0, nodes;
    while (used < count && off[used] > 1e-6 * off[0]) used++;
    /* where the start spans an invariant space the rule is exact */
    if (used < count) return mean_modulus(off, used, mean);
    FANIN_TRY(mean_modulus(off, count, &even));
    FANIN_TRY(mean_modulus(off, count - 1, &odd));
    nodes = (double)count + 1;
    double weight_even = 2 / (nodes * nodes), weight_odd = 1 / ((nodes + 1) * (nodes + 1));
    *mean = (weight_even * even + weight_odd * odd) / (weight_even + weight_odd);
    return FANIN_OK;
}

/* block: v and r of the smaller side, u and p of the larger one, row by row. */
static fanin_status estimate(const layer_view *view, int steps, float *block, double *mean) {
    bool wide = view->units <= view->inputs; /* the smaller side is the units' */
    size_t n = wide ? view->units : view->inputs, m = wide ? view->inputs : view->units;
    size_t starts = view->starts;
    float *v = block, *r = v + n * starts, *u = r + n * starts, *p = u + m * starts;
    double off[STARTS_MAX][2 * STEPS_MAX], scale[STARTS_MAX], norms[STARTS_MAX], sum = 0;
    const fanin_law law = {.kind = FANIN_LAW_NORMAL, .b = 1};
    fanin_stream stream = fanin_stream_init(0, "check/layer_jacobian");
    (void)fanin_random_fill(&stream, 0, &law, 0, n * starts, FANIN_F32, v);
    advance(v, NULL, NULL, starts, n, norms);
    for (int k = 0; k < steps; k++) {
        memcpy(r, v, n * starts * sizeof *r);
        multiply(view, wide, r, p);
        for (size_t c = 0; c < starts; c++) scale[c] = k ? off[c][2 * k - 1] : 0;
        advance(p, k ? u : NULL, scale, starts, m, norms);
        for (size_t c = 0; c < starts; c++) off[c][2 * k] = scale[c] = norms[c];
        if (k + 1 == steps) break;
        memcpy(u, p, m * starts * sizeof *u);
        multiply(view, !wide, p, r);
        advance(r, v, scale, starts, n, norms);
        memcpy(v, r, n * starts * sizeof *v);
        for (size_t c = 0; c < starts; c++) off[c][2 * k + 1] = norms[c];
    }
    for (size_t c = 0; c < starts; c++) {
        double one;
        for (int k = 0; k < 2 * steps - 1; k++)
            if (!isfinite(off[c][k])) return FANIN_NUMERIC;
        FANIN_TRY(quadrature(off[c], steps, &one));
        sum += one;
    }
    *mean = sum / (double)starts;
    return FANIN_OK;
}

static fanin_status mean_dense(const layer_view *v, double *mean) {
    size_t each = v->units < v->inputs ? v->units : v->inputs, cells = v->units * v->inputs;
    double *j = fanin_calloc(cells + each, sizeof *j), all = 0, *sigma = j + cells;
    if (!j) return FANIN_NOMEM;
    fanin_status status = FANIN_OK;
    for (size_t c = 0; c < v->starts && status == FANIN_OK; c++) {
        double sum = 0;
        for (size_t u = 0; u < v->units; u++)
            for (size_t i = 0; i < v->inputs; i++) {
                size_t at = v->rows_are_inputs ? i * v->units + u : u * v->inputs + i;
                double slope = v->slope ? (double)v->slope[c * v->units + u] : 1;
                sum += j[u * v->inputs + i] = (double)v->w[at] * slope;
            }
        status =
            isfinite(sum) ? fanin__singular_values(v->units, v->inputs, j, sigma) : FANIN_NUMERIC;
        for (size_t k = 0; k < each; k++) all += sigma[k] / (double)each;
    }
    *mean = all / (double)v->starts;
    fanin_free(j);
    return status;
}

/* Slopes at rows of x spread over the batch. */
static void take_slopes(const fanin__layer *layer, fanin_buffer x, size_t units, size_t starts,
                        float *slope) {
    size_t rows = x.count / units;
    for (size_t c = 0; c < starts; c++)
        fanin_activation_eval_f32(layer->act, 1, (const float *)x.data + c * rows / starts * units,
                                  slope + c * units, units);
}

static fanin_status at_samples(const fanin__layer *layer, layer_view v, fanin_buffer x,
                               size_t batch, double *mean) {
    size_t n = v.units < v.inputs ? v.units : v.inputs, few = batch / 8, want = VALUES / n;
    bool large = v.units * v.inputs > LARGE, dense = n <= DENSE_UNITS && !large;
    if (few < 1) few = 1;
    if (few > STARTS_LARGE) few = STARTS_LARGE;
    v.starts = dense ? (x.data ? DENSE_SAMPLES : 1) : want < few ? few : want;
    if (v.starts > STARTS_MAX) v.starts = STARTS_MAX;
    float *block = fanin_calloc((3 * v.units + 2 * v.inputs) * v.starts, sizeof *block);
    if (!block) return FANIN_NOMEM;
    if (x.data) {
        float *slope = block + 2 * (v.units + v.inputs) * v.starts;
        take_slopes(layer, x, v.units, v.starts, slope);
        v.slope = slope;
    }
    fanin_status status =
        dense ? mean_dense(&v, mean) : estimate(&v, large ? STEPS_LARGE : STEPS_MAX, block, mean);
    fanin_free(block);
    if (status == FANIN_NUMERIC) *mean = NAN;
    return status == FANIN_NUMERIC ? FANIN_OK : status;
}

fanin_status fanin__layer_jacobian(const fanin_graph *g, const fanin__layer *layer,
                                   const fanin_program *p, size_t batch, double *mean) {
    int at = fanin__weight_index(p, layer->weight);
    fanin_buffer w = at < 0 ? (fanin_buffer){0} : fanin_program_weight(p, at), x = {0};
    bool dense =
        !strcmp(g->nodes[layer->node].op, "Gemm") || !strcmp(g->nodes[layer->node].op, "MatMul");
    *mean = NAN;
    if (!dense || !w.data || w.rank != 2 || w.count == 0 || w.dtype != FANIN_F32) return FANIN_OK;
    layer_view v = {.w = w.data, .rows_are_inputs = layer->rows_are_inputs};
    v.units = (size_t)w.dims[layer->rows_are_inputs ? 1 : 0];
    v.inputs = w.count / v.units;
    if (layer->act && layer->act_input >= 0) {
        x = fanin_program_value(p, layer->act_input);
        if (!x.data || x.dtype != FANIN_F32 || x.rank < 2 || (size_t)x.dims[x.rank - 1] != v.units)
            return FANIN_OK;
    }
    return at_samples(layer, v, x, batch, mean);
}
