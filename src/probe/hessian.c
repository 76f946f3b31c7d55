/* hessian.c - the second derivative of the loss by exact products: extreme eigenvalues of the whole and of each
 * layer's block by Lanczos steps, its trace by random signs, and LeCun's estimate from gradients.
 *
 * Only the directions differ from product to product: the network's own pass and its gradient are done once a
 * program. A layer's block has a program of its own, in which nothing moves before that layer. */
#include <math.h>
#include <string.h>

#include "compute/eigen.h"
#include "fanin/random.h"
#include "probe/figures.h"
#include "probe/second.h"
#include "probe/spectral.h"

enum {
    STEPS = 80,
    LAYER_STEPS = 40,
    TRACE_PROBES = 16,
    PRESENTATIONS = 400,      /* of single samples */
    WHOLE_PRESENTATIONS = 40, /* of the batch */
};
static const double tolerance = 5e-4;

/* A program, and the weights that a vector speaks of: those with a product. */
typedef struct block {
    fanin_program *program;
    bool ran;
    fanin_err *err;
    const fanin_progress *progress;
    int done, total; /* products and presentations, of as many as there may be */
} block;

static void report(const block *b) {
    if (b->progress && b->progress->report)
        b->progress->report(b->progress->ctx, "Hessian", b->done, b->total);
}

static size_t block_size(const block *b) {
    size_t n = 0;
    for (int i = 0; i < fanin_program_weight_count(b->program); i++)
        n += fanin_program_curvature(b->program, i).count;
    return n;
}

static fanin_status product(void *ctx, bool transposed, const double *in, double *out) {
    block *b = ctx;
    (void)transposed;
    for (int i = 0; i < fanin_program_weight_count(b->program); i++) {
        fanin_buffer v = fanin_program_direction(b->program, i);
        for (size_t k = 0; k < v.count; k++) ((float *)v.data)[k] = (float)*in++;
    }
    FANIN_TRY(b->ran ? fanin_program_repeat(b->program, b->err)
                     : fanin_program_run(b->program, b->err));
    b->ran = true;
    b->done++;
    report(b);
    for (int i = 0; i < fanin_program_weight_count(b->program); i++) {
        fanin_buffer h = fanin_program_curvature(b->program, i);
        for (size_t k = 0; k < h.count; k++) *out++ = (double)((const float *)h.data)[k];
    }
    return FANIN_OK;
}

/* low NULL: not wanted. */
static fanin_status extremes(const fanin__subject *s, block *b, int steps, double *low,
                             double *high) {
    size_t n = block_size(b);
    int end = b->done + steps;
    const fanin__operator op = {.rows = n,
                                .cols = n,
                                .product = product,
                                .ctx = b,
                                .seed = s->seed,
                                .stream = "check/hessian"};
    fanin_status status = fanin__lanczos_extremes(&op, steps, tolerance, low, high, NULL);
    b->done = end; /* it stops when they are found */
    if (status == FANIN_NUMERIC) {
        *high = NAN;
        if (low) *low = NAN;
    }
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

/* ---- programs --------------------------------------------------------------------------------------- */

static void copy_buffer(fanin_buffer from, fanin_buffer to) {
    if (from.data && to.data) memcpy(to.data, from.data, from.count * fanin_dtype_size(from.dtype));
}

static void copy_weights(const fanin_program *from, fanin_program *to) {
    for (int i = 0; i < fanin_program_weight_count(from); i++)
        copy_buffer(fanin_program_weight(from, i), fanin_program_weight(to, i));
}

static void copy_samples(const fanin_program *from, fanin_program *to) {
    for (int i = 0; i < fanin_program_input_count(from); i++)
        copy_buffer(fanin_program_input(from, i), fanin_program_input(to, i));
    copy_buffer(fanin_program_target(from), fanin_program_target(to));
}

/* Products with the Hessian in one weight, or in all (NULL), where program `at` is. */
static fanin_status open_block(const fanin__subject *s, const fanin_program *at, const char *weight,
                               block *b) {
    const fanin_program_options po = {.batch = s->options->batch,
                                      .loss = s->loss,
                                      .gradients = true,
                                      .curvature = true,
                                      .curvature_of = weight,
                                      .repeats = true};
    b->ran = false;
    FANIN_TRY(fanin_program_create(s->graph, &po, &b->program, b->err));
    copy_weights(at, b->program);
    copy_samples(at, b->program);
    return FANIN_OK;
}

/* ---- gradients only --------------------------------------------------------------------------------- */

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

/* What is presented: single samples of `all`, or its whole batch. */
typedef struct presented {
    const fanin_program *all;
    fanin_program *program;
    size_t rows; /* 0: the whole batch */
    size_t n;    /* elements of all weights that have a gradient */
} presented;

static size_t gradient_size(const fanin_program *p) {
    size_t n = 0;
    for (int i = 0; i < fanin_program_weight_count(p); i++) n += fanin_program_gradient(p, i).count;
    return n;
}

/* g += scale times the gradient at w + step psi; the same dropout masks for the same `number`. */
static fanin_status add_gradient(const presented *s, int number, double step, const double *psi,
                                 double scale, double *g, fanin_err *err) {
    size_t at = 0;
    for (int i = 0; i < fanin_program_weight_count(s->program); i++) {
        fanin_buffer w = fanin_program_weight(s->program, i);
        const float *w0 = fanin_program_weight(s->all, i).data;
        if (!fanin_program_gradient(s->program, i).data) continue;
        for (size_t k = 0; k < w.count; k++)
            ((float *)w.data)[k] = (float)((double)w0[k] + step * psi[at + k]);
        at += w.count;
    }
    fanin_program_set_run(s->program, (uint64_t)number);
    FANIN_TRY(fanin_program_run(s->program, err));
    at = 0;
    for (int i = 0; i < fanin_program_weight_count(s->program); i++) {
        fanin_buffer d = fanin_program_gradient(s->program, i);
        for (size_t k = 0; k < d.count; k++)
            g[at + k] += scale * (double)((const float *)d.data)[k];
        at += d.count;
    }
    return FANIN_OK;
}

/* A thousandth of the weights' length. */
static double step_length(const presented *s) {
    double squares = 0;
    for (int i = 0; i < fanin_program_weight_count(s->program); i++) {
        const float *w = fanin_program_weight(s->all, i).data;
        size_t n = fanin_program_gradient(s->program, i).count;
        for (size_t k = 0; k < n; k++) squares += (double)w[k] * (double)w[k];
    }
    return squares > 0 ? 1e-3 * sqrt(squares) : 1e-3;
}

/* LeCun et al. 1998, eq. 64: psi <- (1 - gamma) psi + gamma / alpha (g_p(w + alpha psi / |psi|) - g_p(w)), with
 * gamma falling to average over samples; |psi| tends to the largest eigenvalue. The whole batch leaves nothing to
 * average and has one g_p(w): with a half, eigenvalues of the other sign die out fastest. */
static fanin_status online(const presented *s, block *b, double *psi, double *out) {
    const double alpha = step_length(s);
    const int count = s->rows ? PRESENTATIONS : WHOLE_PRESENTATIONS;
    double *step = psi + s->n, *here = step + s->n;
    for (int t = 0; t < count; t++) {
        double size = sqrt(fanin__inner(psi, psi, s->n));
        double gamma = s->rows ? fmax(1.0 / (t + 1), 0.02) : 0.5;
        int number = s->rows ? t : 0;
        if (!(size > 0) || !isfinite(size)) break;
        if (s->rows) take_sample(s->all, s->program, (size_t)t % s->rows, s->rows);
        if (s->rows || t == 0) {
            memset(here, 0, s->n * sizeof *here);
            FANIN_TRY(add_gradient(s, number, 0, psi, -1, here, b->err));
        }
        memcpy(step, here, s->n * sizeof *step);
        FANIN_TRY(add_gradient(s, number, alpha / size, psi, 1, step, b->err));
        for (size_t i = 0; i < s->n; i++) psi[i] = (1 - gamma) * psi[i] + gamma / alpha * step[i];
        if (fanin_interrupted()) return FANIN_INTERRUPTED;
        b->done++;
        report(b);
    }
    *out = sqrt(fanin__inner(psi, psi, s->n));
    return FANIN_OK;
}

/* A batch norm in one node or spelled out. */
static fanin_status samples_meet(const fanin_graph *g, bool *meet, fanin_err *err) {
    fanin_patterns *found;
    FANIN_TRY(fanin_patterns_create(g, &found, err));
    *meet = false;
    for (int i = 0; i < found->count; i++)
        *meet = *meet || found->items[i].kind == FANIN_PATTERN_BATCH_NORM;
    fanin_patterns_destroy(found);
    return FANIN_OK;
}

/* Single samples, unless one is another network than the batch (batch norm) or the graph fixes its batch. */
static fanin_status open_presented(const fanin__subject *s, presented *p, fanin_err *err) {
    fanin_buffer x = fanin_program_input(p->all, 0);
    bool meet;
    FANIN_TRY(samples_meet(s->graph, &meet, err));
    fanin_program_options po = {.batch = 1, .loss = s->loss, .gradients = true};
    if (!meet && x.rank > 0 && x.dims[0] > 0) {
        FANIN_TRY(fanin_program_create(s->graph, &po, &p->program, err));
        p->rows = (size_t)x.dims[0];
        if (fanin_program_input(p->program, 0).dims[0] == 1) return FANIN_OK;
        fanin_program_destroy(p->program);
    }
    po.batch = s->options->batch;
    p->rows = 0;
    FANIN_TRY(fanin_program_create(s->graph, &po, &p->program, err));
    copy_samples(p->all, p->program);
    return FANIN_OK;
}

static fanin_status measure_online(const fanin__subject *s, const fanin_program *at, block *b,
                                   fanin_hessian *out) {
    presented p = {.all = at};
    FANIN_TRY(open_presented(s, &p, b->err));
    copy_weights(at, p.program);
    p.n = gradient_size(p.program);
    out->online_whole = p.rows == 0;
    size_t cells;
    double *psi = fanin__size_mul(3, p.n, &cells) ? fanin_calloc(cells + 1, sizeof *psi) : NULL;
    fanin_status status = FANIN_OK;
    if (psi) {
        const fanin_law law = {.kind = FANIN_LAW_NORMAL, .b = 1};
        fanin_stream stream = fanin_stream_init(s->seed, "check/online");
        (void)fanin_random_fill(&stream, 0, &law, 0, p.n, FANIN_F64, psi);
        status = online(&p, b, psi, &out->online);
    } else {
        status = fanin_err_set(b->err, FANIN_NOMEM, "Hessian: no memory");
    }
    fanin_free(psi);
    fanin_program_destroy(p.program);
    return status;
}

/* ---- all of it -------------------------------------------------------------------------------------- */

static fanin_status measure_whole(const fanin__subject *s, const fanin_program *at, block *b,
                                  fanin_hessian *out) {
    FANIN_TRY(open_block(s, at, NULL, b));
    fanin_status status = extremes(s, b, STEPS, &out->min, &out->max);
    if (status == FANIN_OK) status = trace(s, b, out);
    fanin_program_destroy(b->program);
    out->lr_max = out->max > 0 ? 2 / out->max : NAN;
    out->probes = TRACE_PROBES;
    return status;
}

static fanin_status measure_layer(const fanin__subject *s, const fanin_program *at, int weight,
                                  block *b, double *max) {
    FANIN_TRY(open_block(s, at, fanin_program_weight_name(at, weight), b));
    fanin_status status = extremes(s, b, LAYER_STEPS, NULL, max);
    fanin_program_destroy(b->program);
    return status;
}

fanin_status fanin__measure_hessian(const fanin__subject *s, const fanin__layer *layers,
                                    fanin_signal *signal, fanin_err *err) {
    const fanin_program_options po = {.batch = s->options->batch, .loss = s->loss};
    fanin_hessian *out = &signal->hessian;
    fanin_program *at; /* holds weights, inputs and targets for all others */
    block b = {.err = err, .progress = &s->options->progress};
    b.total = STEPS + TRACE_PROBES + PRESENTATIONS + signal->layer_count * LAYER_STEPS;
    report(&b);
    FANIN_TRY(fanin_program_create(s->graph, &po, &at, err));
    fanin_status status = fanin__fill_program(s, at, err);
    if (status == FANIN_OK) status = measure_whole(s, at, &b, out);
    if (status == FANIN_OK && !isfinite(out->max)) {
        out->absent = "values that are not numbers";
        out->online = NAN;
    }
    if (status == FANIN_OK && !out->absent) status = measure_online(s, at, &b, out);
    b.done = STEPS + TRACE_PROBES + PRESENTATIONS;
    for (int i = 0; i < signal->layer_count && status == FANIN_OK && !out->absent; i++) {
        int weight = fanin__weight_index(at, layers[i].weight);
        if (weight >= 0) status = measure_layer(s, at, weight, &b, &signal->layers[i].hessian_max);
    }
    fanin_program_destroy(at);
    if (status == FANIN_INTERRUPTED)
        return fanin_err_set(err, status, "stopped in the products with the Hessian");
    return status;
}
