/* jacobian.c - singular values of the input-output Jacobian.
 *
 * Where samples do not meet inside the network one backward pass gives a row of every row of the batch, so the
 * batch is filled with copies of a few samples, each asked for another output: S samples with C outputs take
 * S C / batch passes. One row of the batch is asked for nothing: its gradient is zero unless samples do meet.
 * Where they meet, or where there are too many outputs, products with J and J' go into Golub-Kahan steps. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compute/eigen.h"
#include "probe/second.h"
#include "probe/spectral.h"

enum {
    OUTPUTS_MAX = 1024,  /* of a dense Jacobian */
    CELLS_MAX = 1 << 24, /* of all dense Jacobians together */
    PRODUCTS = 48,
    COUPLED_ROWS = 256
};

/* A program, and what one sample is of it. */
typedef struct view {
    fanin_program *program;
    const char *inner; /* stands in for the input; NULL: none */
    bool repeats, ran;
    const fanin_progress *progress; /* NULL: a pass or so, not worth it */
    size_t batch, inputs, outputs;  /* samples; numbers of one sample */
} view;

static fanin_buffer input_gradient(const view *v) {
    return v->inner ? fanin_program_inner_gradient(v->program)
                    : fanin_program_input_gradient(v->program, 0);
}

static fanin_buffer input_direction(const view *v) {
    return v->inner ? fanin_program_inner_direction(v->program)
                    : fanin_program_input_direction(v->program, 0);
}

static void report(const view *v, size_t done, size_t total) {
    if (v->progress && v->progress->report)
        v->progress->report(v->progress->ctx, "Jacobian", (double)done, (double)total);
}

/* Of another direction or cotangent than before: the network's own pass is done once. */
static fanin_status run_again(view *v, fanin_err *err) {
    FANIN_TRY(v->ran ? fanin_program_repeat(v->program, err) : fanin_program_run(v->program, err));
    v->ran = true;
    return FANIN_OK;
}

static bool sees(const fanin_program *p, bool forward, view *v) {
    fanin_buffer x = forward ? input_direction(v) : input_gradient(v);
    fanin_buffer y = fanin_program_output(p, 0);
    if (!x.data || x.dtype != FANIN_F32 || y.dtype != FANIN_F32 || x.count == 0 || y.count == 0)
        return false;
    bool apart = x.rank > 0 && y.rank > 0 && x.dims[0] == y.dims[0];
    v->batch = apart ? (size_t)x.dims[0] : 1;
    v->inputs = x.count / v->batch;
    v->outputs = y.count / v->batch;
    return true;
}

static fanin_status open_view(const fanin__subject *s, bool forward, view *v, fanin_err *err) {
    const fanin_program_options po = {.batch = s->options->batch,
                                      .cotangent = !forward,
                                      .input_gradients = !forward,
                                      .input_tangent = forward,
                                      .inner = v->inner,
                                      .repeats = v->repeats};
    v->ran = false;
    FANIN_TRY(fanin_program_create(s->graph, &po, &v->program, err));
    fanin_status status = fanin__fill_program(s, v->program, err);
    if (status == FANIN_OK && !sees(v->program, forward, v))
        status = fanin_err_set(err, FANIN_INTERNAL, "%s: no real input", s->graph->name);
    if (status == FANIN_OK) return FANIN_OK;
    fanin_program_destroy(v->program);
    v->program = NULL;
    return status;
}

/* ---- dense ------------------------------------------------------------------------------------------ */

/* Every input's rows: row `to` becomes what row `from` was. `kept`: the rows before anything was copied. */
typedef struct kept_rows {
    char *kept[8];
    size_t size[8]; /* bytes of a row */
    int count;
} kept_rows;

static void rows_fini(kept_rows *r) {
    for (int i = 0; i < r->count; i++) fanin_free(r->kept[i]);
}

static fanin_status rows_keep(const view *v, kept_rows *r) {
    *r = (kept_rows){.count = 0};
    for (int i = 0; i < fanin_program_input_count(v->program) && i < 8; i++) {
        fanin_buffer b = fanin_program_input(v->program, i);
        size_t bytes = b.count * fanin_dtype_size(b.dtype);
        bool batched = b.rank > 0 && (size_t)b.dims[0] == v->batch;
        r->size[i] = batched ? bytes / v->batch : 0;
        r->kept[i] = fanin_malloc(bytes + 1);
        if (!r->kept[i]) return FANIN_NOMEM;
        r->count++;
        memcpy(r->kept[i], b.data, bytes);
    }
    return FANIN_OK;
}

static void rows_copy(const view *v, const kept_rows *r, size_t from, size_t to) {
    for (int i = 0; i < r->count; i++)
        memcpy((char *)fanin_program_input(v->program, i).data + to * r->size[i],
               r->kept[i] + from * r->size[i], r->size[i]);
}

static bool is_zero(const float *v, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (v[i] != 0) return false;
    return true;
}

/* Rows of the Jacobians of samples 0 ... samples - 1, one after the other, into j. *meet: samples meet. */
static fanin_status dense_rows(const view *v, size_t samples, double *j, bool *meet,
                               fanin_err *err) {
    size_t wanted = samples * v->outputs, per_pass = v->batch > 1 ? v->batch - 1 : 1;
    kept_rows r;
    fanin_status status = rows_keep(v, &r);
    if (status != FANIN_OK) fanin_err_set(err, status, "Jacobian: no memory for the samples");
    float *u = fanin_program_cotangent(v->program).data;
    const float *g = input_gradient(v).data;
    *meet = false;
    for (size_t at = 0; at < wanted && status == FANIN_OK && !*meet; at += per_pass) {
        size_t count = wanted - at < per_pass ? wanted - at : per_pass;
        memset(u, 0, v->batch * v->outputs * sizeof *u);
        for (size_t k = 0; k < count; k++) {
            rows_copy(v, &r, (at + k) / v->outputs, k);
            u[k * v->outputs + (at + k) % v->outputs] = 1;
        }
        status = fanin_interrupted() ? fanin_err_set(err, FANIN_INTERRUPTED, "Jacobian: stopped")
                                     : fanin_program_run(v->program, err);
        for (size_t k = 0; k < count * v->inputs; k++) j[at * v->inputs + k] = (double)g[k];
        report(v, at + count, wanted);
        if (v->batch > 1) *meet = !is_zero(g + (v->batch - 1) * v->inputs, v->inputs);
    }
    rows_fini(&r);
    return status;
}

static int descending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

static fanin_status summarise(fanin_jacobian_spectrum *s, double *values, size_t count) {
    double sum = 0, squares = 0;
    qsort(values, count, sizeof *values, descending);
    for (size_t i = 0; i < count; i++) sum += values[i], squares += values[i] * values[i];
    s->values = values;
    s->count = count;
    s->max = values[0];
    s->min = values[count - 1];
    s->mean = sum / (double)count;
    s->mean_square = squares / (double)count;
    s->exact = true;
    return FANIN_OK;
}

/* Singular values of `samples` matrices of outputs x inputs. */
static fanin_status dense_values(double *j, size_t samples, size_t outputs, size_t inputs,
                                 fanin_jacobian_spectrum *out, fanin_err *err) {
    size_t each = outputs < inputs ? outputs : inputs;
    for (size_t i = 0; i < samples * outputs * inputs; i++)
        if (!isfinite(j[i])) return FANIN_OK; /* the verdict says it */
    double *values = fanin_calloc(samples * each + 1, sizeof *values);
    fanin_status status = values ? FANIN_OK : FANIN_NOMEM;
    for (size_t k = 0; k < samples && status == FANIN_OK; k++)
        status =
            fanin__singular_values(outputs, inputs, j + k * outputs * inputs, values + k * each);
    if (status != FANIN_OK) {
        fanin_free(values);
        return fanin_err_set(err, status, "singular values of a %zux%zu Jacobian: %s", outputs,
                             inputs, fanin_status_text(status));
    }
    out->samples = (int)samples;
    out->outputs = outputs;
    out->inputs = inputs;
    return summarise(out, values, samples * each);
}

static fanin_status dense(const view *v, size_t samples, fanin_jacobian_spectrum *out, bool *meet,
                          fanin_err *err) {
    double *j = fanin_calloc(samples * v->outputs, v->inputs * sizeof *j);
    if (!j) return fanin_err_set(err, FANIN_NOMEM, "Jacobian: no memory");
    fanin_status status = dense_rows(v, samples, j, meet, err);
    if (status == FANIN_OK && !*meet)
        status = dense_values(j, samples, v->outputs, v->inputs, out, err);
    fanin_free(j);
    return status;
}

/* ---- the whole batch as one operator ------------------------------------------------------------------ */

typedef struct both {
    view back, forward;
    size_t done, total; /* products */
    fanin_err *err;
} both;

static void to_float(const double *in, float *out, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = (float)in[i];
}

static fanin_status product(void *ctx, bool transposed, const double *in, double *out) {
    both *b = ctx;
    view *v = transposed ? &b->back : &b->forward;
    fanin_buffer from = transposed ? fanin_program_cotangent(v->program) : input_direction(v);
    fanin_buffer to = transposed ? input_gradient(v) : fanin_program_tangent(v->program);
    to_float(in, from.data, from.count);
    FANIN_TRY(run_again(v, b->err));
    report(&b->back, ++b->done, b->total);
    for (size_t i = 0; i < to.count; i++) out[i] = (double)((const float *)to.data)[i];
    return FANIN_OK;
}

static fanin_status coupled_rows(both *b, fanin_jacobian_spectrum *out, fanin_err *err) {
    size_t rows = b->back.batch * b->back.outputs, cols = b->back.batch * b->back.inputs;
    double *j = fanin_calloc(rows, cols * sizeof *j), *u = fanin_calloc(rows, sizeof *u);
    fanin_status status =
        j && u ? FANIN_OK : fanin_err_set(err, FANIN_NOMEM, "Jacobian: no memory");
    for (size_t i = 0; i < rows && status == FANIN_OK; i++) {
        u[i] = 1;
        if (fanin_interrupted())
            status = fanin_err_set(err, FANIN_INTERRUPTED, "Jacobian: stopped");
        if (status == FANIN_OK) status = product(b, true, u, j + i * cols);
        u[i] = 0;
    }
    if (status == FANIN_OK) status = dense_values(j, 1, rows, cols, out, err);
    fanin_free(j);
    fanin_free(u);
    if (status == FANIN_OK) out->samples = (int)b->back.batch;
    return status;
}

static fanin_status whole_batch(const fanin__subject *s, view *back, fanin_jacobian_spectrum *out,
                                fanin_err *err) {
    both b = {.back = *back, .forward = {.inner = back->inner, .repeats = true}, .err = err};
    b.back.ran = false;
    b.total = 2 * PRODUCTS;
    FANIN_TRY(fanin__fill_program(s, back->program, err));
    size_t rows = back->batch * back->outputs, cols = back->batch * back->inputs;
    if (rows <= COUPLED_ROWS && rows * cols <= CELLS_MAX) {
        b.total = rows;
        return coupled_rows(&b, out, err);
    }
    FANIN_TRY(open_view(s, true, &b.forward, err));
    const fanin__operator op = {.rows = rows,
                                .cols = cols,
                                .product = product,
                                .ctx = &b,
                                .seed = s->seed,
                                .stream = "check/jacobian"};
    fanin__singular_summary sum;
    fanin_status status = fanin__golub_kahan(&op, PRODUCTS, 1, &sum);
    fanin_program_destroy(b.forward.program);
    if (status == FANIN_NUMERIC) return FANIN_OK;
    if (status != FANIN_OK)
        return fanin_err_set(err, status, "Jacobian: %s", fanin_status_text(status));
    out->mean = sum.mean;
    out->max = sum.max;
    out->min = sum.min;
    out->mean_square = sum.mean_square;
    out->samples = (int)back->batch;
    out->outputs = rows;
    out->inputs = cols;
    return FANIN_OK;
}

/* Unasked, a sample or as many as half a batch has rows for: a few rows cost a part of a pass. Arrays of the user's
 * have the rows that they have. */
static int64_t few_rows(const fanin_signal_options *o, size_t outputs) {
    size_t half = (size_t)o->batch / 2, samples = half > outputs ? (half - 1) / outputs : 1;
    return o->inputs ? o->batch : (int64_t)(samples * outputs + 1);
}

/* What is looked up in a table of weights for the ids of the first input: the name, or NULL. */
static const char *embedding_of(const fanin_graph *g) {
    static const char *const passed[] = {"Cast", "Reshape", "Unsqueeze", "Squeeze", "Identity"};
    for (int i = 0; i < g->node_count; i++) {
        const fanin_node *n = &g->nodes[i];
        if (strcmp(n->op, "Gather") != 0 || n->input_count < 2) continue;
        const fanin_value *table = &g->values[n->inputs[0]];
        int ids = n->inputs[1];
        while (ids >= 0 && g->values[ids].producer >= 0) {
            const fanin_node *before = &g->nodes[g->values[ids].producer];
            bool passes = false;
            for (size_t k = 0; k < FANIN_COUNT(passed); k++)
                passes = passes || !strcmp(before->op, passed[k]);
            if (!passes) break;
            ids = before->inputs[0];
        }
        if (ids == g->inputs[0] && (table->flags & FANIN_VALUE_INITIALIZER) &&
            fanin_dtype_is_float(table->dtype))
            return g->values[n->outputs[0]].name;
    }
    return NULL;
}

fanin_status fanin__measure_jacobian(const fanin__subject *s, bool full, bool large, size_t outputs,
                                     fanin_signal *signal, fanin_err *err) {
    fanin_jacobian_spectrum *out = &signal->jacobian;
    const fanin_graph *g = s->graph;
    *out = (fanin_jacobian_spectrum){.mean = NAN, .max = NAN, .min = NAN, .mean_square = NAN};
    bool real = g->input_count > 0 && fanin_dtype_is_float(g->values[g->inputs[0]].dtype);
    const char *inner = real || g->input_count == 0 ? NULL : embedding_of(g);
    if (!real && !inner) {
        out->absent = "the input holds no real numbers, and no ids of an embedding";
        return FANIN_OK;
    }
    out->embedded = inner != NULL;
    if (!full && large) {
        out->absent = "more than 2 Mi weights; --spectrum looks";
        return FANIN_OK;
    }
    if (!full && outputs >= (size_t)s->options->batch) {
        out->absent = "more outputs than samples; --spectrum looks";
        return FANIN_OK;
    }
    view v = {.inner = inner, .repeats = full, .progress = full ? &s->options->progress : NULL};
    bool meet = false;
    fanin_signal_options o = *s->options;
    fanin__subject subject = *s;
    if (!full) o.batch = few_rows(&o, outputs);
    subject.options = &o;
    FANIN_TRY(open_view(&subject, false, &v, err));
    size_t samples = full ? v.batch : v.outputs < v.batch ? (v.batch - 1) / v.outputs : 0;
    while (samples > 1 && samples * v.outputs * v.inputs > CELLS_MAX) samples--;
    fanin_status status = FANIN_OK;
    bool small = v.outputs <= OUTPUTS_MAX && v.outputs * v.inputs <= CELLS_MAX;
    if (samples > 0 && small) status = dense(&v, samples, out, &meet, err);
    if (status == FANIN_OK && full && (meet || !small)) status = whole_batch(s, &v, out, err);
    fanin_program_destroy(v.program);
    if (status == FANIN_OK && out->samples == 0)
        out->absent = meet && !full ? "samples meet in a batch norm; --spectrum looks"
                                    : "values that are not numbers";
    return status;
}
