/* hessian.c - the second derivative of the loss by exact products: extreme eigenvalues of the whole and of each
 * layer's block by Lanczos steps, its trace by random signs, and LeCun's estimate from single samples. */
#include <math.h>
#include <string.h>

#include "fanin/random.h"
#include "probe/figures.h"
#include "probe/second.h"
#include "probe/spectral.h"

enum { STEPS = 80, LAYER_STEPS = 40, TRACE_PROBES = 16, PRESENTATIONS = 400 };

/* The weights that a vector speaks of: all that have a gradient, or one. */
typedef struct block {
    fanin_program *program;
    int only; /* weight, -1: all */
    fanin_err *err;
    const fanin_progress *progress;
    int done, total; /* products, of as many as there may be */
} block;

static void report(const block *b) {
    if (b->progress && b->progress->report)
        b->progress->report(b->progress->ctx, "Hessian", b->done, b->total);
}

static bool takes_part(const block *b, int i) {
    return fanin_program_gradient(b->program, i).data && (b->only < 0 || b->only == i);
}

static size_t block_size(const block *b) {
    size_t n = 0;
    for (int i = 0; i < fanin_program_weight_count(b->program); i++)
        if (takes_part(b, i)) n += fanin_program_weight(b->program, i).count;
    return n;
}

static fanin_status product(void *ctx, bool transposed, const double *in, double *out) {
    block *b = ctx;
    (void)transposed;
    size_t at = 0;
    for (int i = 0; i < fanin_program_weight_count(b->program); i++) {
        fanin_buffer v = fanin_program_direction(b->program, i);
        if (!v.data) continue;
        bool mine = takes_part(b, i);
        for (size_t k = 0; k < v.count; k++) ((float *)v.data)[k] = mine ? (float)in[at + k] : 0;
        if (mine) at += v.count;
    }
    FANIN_TRY(fanin_program_run(b->program, b->err));
    b->done++;
    report(b);
    at = 0;
    for (int i = 0; i < fanin_program_weight_count(b->program); i++) {
        fanin_buffer h = fanin_program_curvature(b->program, i);
        if (!takes_part(b, i)) continue;
        for (size_t k = 0; k < h.count; k++) out[at + k] = (double)((const float *)h.data)[k];
        at += h.count;
    }
    return FANIN_OK;
}

static fanin_status extremes(const fanin__subject *s, block *b, int steps, double tol, double *low,
                             double *high) {
    size_t n = block_size(b);
    int end = b->done + steps;
    const fanin__operator op = {.rows = n,
                                .cols = n,
                                .product = product,
                                .ctx = b,
                                .seed = s->seed,
                                .stream = "check/hessian"};
    fanin_status status = fanin__lanczos_extremes(&op, steps, tol, low, high, NULL);
    b->done = end; /* it stops when nothing moves any more */
    if (status == FANIN_NUMERIC) *low = *high = NAN;
    if (status == FANIN_OK || status == FANIN_NUMERIC) return FANIN_OK;
    return fanin_err_set(b->err, status, "Hessian: %s", fanin_status_text(status));
}

/* E v'Hv = tr H for random signs v (Hutchinson 1990). */
static fanin_status trace(const fanin__subject *s, block *b, fanin_hessian *out) {
    size_t n = block_size(b);
    double *v = fanin_calloc(2 * n + 1, sizeof *v), *hv = v + n, sum = 0, squares = 0;
    if (!v) return fanin_err_set(b->err, FANIN_NOMEM, "Hessian: no memory");
    const fanin_law signs = {.kind = FANIN_LAW_RADEMACHER, .a = 1};
    fanin_stream stream = fanin_stream_init(s->seed, "check/trace");
    fanin_status status = FANIN_OK;
    for (int k = 0; k < TRACE_PROBES && status == FANIN_OK; k++) {
        if (fanin_interrupted()) status = FANIN_INTERRUPTED;
        (void)fanin_random_fill(&stream, 2 * (uint32_t)k, &signs, 0, n, FANIN_F64, v);
        if (status == FANIN_OK) status = product(b, false, v, hv);
        double one = fanin__inner(v, hv, n);
        sum += one;
        squares += one * one;
    }
    fanin_free(v);
    double mean = sum / TRACE_PROBES;
    out->trace = mean;
    out->trace_error = sqrt(fmax(squares / TRACE_PROBES - mean * mean, 0) / (TRACE_PROBES - 1));
    return status;
}

/* ---- single samples --------------------------------------------------------------------------------- */

static void copy_row(fanin_buffer from, fanin_buffer to, size_t row, size_t rows) {
    size_t bytes = from.count / rows * fanin_dtype_size(from.dtype);
    memcpy(to.data, (const char *)from.data + row * bytes, bytes);
}

/* Program `one` becomes sample `row` of program `all`. */
static void take_sample(const fanin_program *all, fanin_program *one, size_t row, size_t rows) {
    for (int i = 0; i < fanin_program_input_count(all); i++)
        copy_row(fanin_program_input(all, i), fanin_program_input(one, i), row, rows);
    copy_row(fanin_program_target(all), fanin_program_target(one), row, rows);
}

/* Adds scale times the gradient to g. */
static void add_gradient(const block *b, double scale, double *g) {
    size_t at = 0;
    for (int i = 0; i < fanin_program_weight_count(b->program); i++) {
        fanin_buffer d = fanin_program_gradient(b->program, i);
        for (size_t k = 0; k < d.count && d.data; k++)
            g[at + k] += scale * (double)((const float *)d.data)[k];
        if (d.data) at += d.count;
    }
}

static void set_weights(const block *b, const double *w, double scale, const double *psi) {
    size_t at = 0;
    for (int i = 0; i < fanin_program_weight_count(b->program); i++) {
        fanin_buffer d = fanin_program_weight(b->program, i);
        if (!fanin_program_gradient(b->program, i).data) continue;
        for (size_t k = 0; k < d.count; k++)
            ((float *)d.data)[k] = (float)(w[at + k] + scale * psi[at + k]);
        at += d.count;
    }
}

/* LeCun et al. 1998, eq. 64: psi <- (1 - gamma) psi + gamma / alpha (g_p(w + alpha psi / |psi|) - g_p(w)), with
 * gamma falling to average over samples; |psi| tends to the largest eigenvalue. */
static fanin_status online(const fanin_program *all, block *one, size_t rows, double *psi, size_t n,
                           double *out) {
    const double alpha = 0.01;
    double *w = psi + n, *step = psi + 2 * n;
    size_t at = 0;
    for (int i = 0; i < fanin_program_weight_count(one->program); i++) {
        fanin_buffer d = fanin_program_weight(one->program, i);
        if (!fanin_program_gradient(one->program, i).data) continue;
        for (size_t k = 0; k < d.count; k++) w[at + k] = (double)((const float *)d.data)[k];
        at += d.count;
    }
    for (int t = 0; t < PRESENTATIONS; t++) {
        double size = sqrt(fanin__inner(psi, psi, n)), gamma = fmax(1.0 / (t + 1), 0.02);
        if (!(size > 0) || !isfinite(size)) break;
        take_sample(all, one->program, (size_t)t % rows, rows);
        memset(step, 0, n * sizeof *step);
        set_weights(one, w, 0, psi);
        FANIN_TRY(fanin_program_run(one->program, one->err));
        add_gradient(one, -1, step);
        set_weights(one, w, alpha / size, psi);
        FANIN_TRY(fanin_program_run(one->program, one->err));
        add_gradient(one, 1, step);
        for (size_t i = 0; i < n; i++) psi[i] = (1 - gamma) * psi[i] + gamma / alpha * step[i];
        if (fanin_interrupted()) return FANIN_INTERRUPTED;
    }
    *out = sqrt(fanin__inner(psi, psi, n));
    return FANIN_OK;
}

static bool samples_meet(const fanin_graph *g) {
    for (int i = 0; i < g->node_count; i++)
        if (!strcmp(g->nodes[i].op, "BatchNormalization")) return true;
    return false;
}

/* NaN where a single sample is another network (batch norm) or the graph fixes its batch. */
static fanin_status measure_online(const fanin__subject *s, const fanin_program *all, double *out,
                                   fanin_err *err) {
    fanin_signal_options o = *s->options;
    fanin__subject single = *s;
    o.batch = 1;
    o.inputs = NULL; /* the samples are copied from the program that holds all */
    o.data = NULL;
    single.options = &o;
    *out = NAN;
    fanin_buffer x = fanin_program_input(all, 0);
    if (samples_meet(s->graph) || x.rank < 1 || x.dims[0] < 1) return FANIN_OK;
    const fanin_program_options po = {.batch = 1, .loss = s->loss, .gradients = true};
    block one = {.only = -1, .err = err};
    FANIN_TRY(fanin_program_create(s->graph, &po, &one.program, err));
    fanin_status status = FANIN_OK;
    if (fanin_program_input(one.program, 0).dims[0] == 1) {
        status = fanin__fill_program(&single, one.program, err);
        size_t n = block_size(&one), cells;
        double *psi = fanin__size_mul(3, n, &cells) ? fanin_calloc(cells + 1, sizeof *psi) : NULL;
        if (!psi) status = fanin_err_set(err, FANIN_NOMEM, "Hessian: no memory");
        const fanin_law law = {.kind = FANIN_LAW_NORMAL, .b = 1};
        fanin_stream stream = fanin_stream_init(s->seed, "check/online");
        if (status == FANIN_OK) {
            (void)fanin_random_fill(&stream, 0, &law, 0, n, FANIN_F64, psi);
            status = online(all, &one, (size_t)x.dims[0], psi, n, out);
        }
        fanin_free(psi);
    }
    fanin_program_destroy(one.program);
    return status;
}

/* ---- all of it -------------------------------------------------------------------------------------- */

fanin_status fanin__measure_hessian(const fanin__subject *s, const fanin__layer *layers,
                                    fanin_signal *signal, fanin_err *err) {
    const fanin_program_options po = {
        .batch = s->options->batch, .loss = s->loss, .gradients = true, .curvature = true};
    fanin_hessian *out = &signal->hessian;
    block b = {.only = -1,
               .err = err,
               .progress = &s->options->progress,
               .total = STEPS + TRACE_PROBES + signal->layer_count * LAYER_STEPS};
    report(&b);
    FANIN_TRY(fanin_program_create(s->graph, &po, &b.program, err));
    fanin_status status = fanin__fill_program(s, b.program, err);
    if (status == FANIN_OK) status = extremes(s, &b, STEPS, 1e-5, &out->min, &out->max);
    out->lr_max = out->max > 0 ? 2 / out->max : NAN;
    if (status == FANIN_OK) status = trace(s, &b, out);
    out->probes = TRACE_PROBES;
    if (status == FANIN_OK) status = measure_online(s, b.program, &out->online, err);
    for (int i = 0; i < signal->layer_count && status == FANIN_OK; i++) {
        double low;
        b.only = fanin__weight_index(b.program, layers[i].weight);
        if (b.only >= 0)
            status = extremes(s, &b, LAYER_STEPS, 1e-4, &low, &signal->layers[i].hessian_max);
    }
    fanin_program_destroy(b.program);
    if (status == FANIN_INTERRUPTED)
        return fanin_err_set(err, status, "stopped in the products with the Hessian");
    return status;
}
