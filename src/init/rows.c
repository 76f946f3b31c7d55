/* rows.c - rules that scale every row of a matrix to one length: rows of unit norm, and Nguyen and Widrow's
 * hidden layer.
 *
 * Elements are drawn in the order of storage (plane 0); the squares of a row are summed in double in that
 * order too; then each element is multiplied once. Rows stored one after another are summed by many
 * threads, interleaved ones by one: the order of a row's sum is the same. */
#include <math.h>
#include <stdatomic.h>

#include "init/fixed.h"
#include "init/init.h"

enum { CHUNK = 1024 };

static double row_length(const fanin__recipe *plan) {
    return (double)(plan->view.in * plan->view.taps);
}

static void row_moments(fanin__recipe *plan) {
    plan->moments.mean = 0;
    plan->moments.std = row_length(plan) > 0 ? plan->gain / sqrt(row_length(plan)) : 0;
    plan->moments.gain = plan->gain;
    plan->moments.low = -plan->gain;
    plan->moments.high = plan->gain;
}

fanin_status fanin__unit_norm_plan(fanin__recipe *plan, fanin_err *err) {
    FANIN_TRY(fanin__view_make(plan, 1, err));
    FANIN_TRY(fanin__rule_gain(plan, &plan->gain, err));
    plan->law = (fanin_law){.kind = FANIN_LAW_NORMAL, .a = 0, .b = 1};
    row_moments(plan);
    char gain[32];
    fanin__reason(plan, "every row a random direction of length %s",
                  fanin__number_text(plan->gain, gain));
    return FANIN_OK;
}

/* beta = scale * H^(1/N): H units, N inputs. A bias is uniform on (-beta, beta). */
fanin_status fanin__nguyen_widrow_plan(fanin__recipe *plan, fanin_err *err) {
    const fanin_tensor *t = plan->tensor;
    bool bias = t->rank < 2;
    if (!bias) FANIN_TRY(fanin__view_make(plan, 1, err));
    double units = bias ? t->fan_out : (double)plan->view.out;
    double inputs = bias ? t->fan_in : row_length(plan);
    if (!bias && plan->count == 0) units = inputs = 1;
    if (bias && !(units >= 1) && t->rank == 1) units = (double)t->dims[0];
    if (!(units >= 1) || !(inputs >= 1) || !isfinite(units) || inputs > 1e15)
        return fanin_err_set(err, FANIN_ARG,
                             "%s: nguyen_widrow needs the layer's inputs and units; this tensor of "
                             "class %s has fan_in %g, fan_out %g",
                             fanin__tensor_name(t), fanin_class_name(t->cls), t->fan_in,
                             t->fan_out);
    plan->gain = fanin__or(plan->rule->scale, 0.7) * fanin__fixed_root(units, (uint64_t)inputs);
    char text[32];
    if (bias) {
        plan->law = (fanin_law){.kind = FANIN_LAW_UNIFORM, .low = -plan->gain, .high = plan->gain};
        row_moments(plan);
        plan->moments.std = plan->gain / sqrt(3);
        plan->moments.elementwise = true;
    } else {
        plan->law = (fanin_law){.kind = FANIN_LAW_UNIFORM, .low = -1, .high = 1};
        row_moments(plan);
    }
    fanin__reason(plan, "%s %s, scale * units^(1/inputs)",
                  bias ? "uniform up to" : "every row of length",
                  fanin__number_text(plan->gain, text));
    return FANIN_OK;
}

/* ---- filling ----------------------------------------------------------------------------- */

typedef struct rows {
    const fanin__recipe *plan;
    fanin_stream stream;
    uint64_t first, row0; /* the slice and its first row (in order) */
    fanin_dtype dtype;
    double *scale; /* a row's squares, then what its elements are multiplied with */
    char *out;
    atomic_int status;
} rows;

static uint64_t row_of(const fanin__view *v, uint64_t index) {
    return index / v->out_stride % (v->out * v->cut_out);
}

static bool in_order(const fanin__recipe *plan) { return plan->tensor->out_axis == 0; }

/* n <= CHUNK elements; f64 from its own refined draws, else the f32 values widened. */
static void draw(rows *r, uint64_t first, size_t n, double *out) {
    float f32[CHUNK];
    bool wide = r->dtype == FANIN_F64;
    fanin_status status = fanin_random_fill(&r->stream, 0, &r->plan->law, first, n,
                                            wide ? FANIN_F64 : FANIN_F32, wide ? (void *)out : f32);
    if (status != FANIN_OK) atomic_store(&r->status, (int)status);
    for (size_t i = 0; !wide && i < n; i++) out[i] = (double)f32[i];
}

/* Elements [begin, end) of the tensor into the sums of their rows. */
static void add_squares(rows *r, uint64_t begin, uint64_t end) {
    double x[CHUNK];
    for (uint64_t i = begin; i < end; i += CHUNK) {
        size_t n = end - i < CHUNK ? (size_t)(end - i) : CHUNK;
        draw(r, i, n, x);
        for (size_t j = 0; j < n; j++)
            r->scale[row_of(&r->plan->view, i + j) - r->row0] += x[j] * x[j];
    }
}

static void sum_rows(void *arg, size_t begin, size_t end) {
    rows *r = arg;
    uint64_t length = r->plan->view.out_stride;
    add_squares(r, (r->row0 + begin) * length, (r->row0 + end) * length);
}

static void scale_range(void *arg, size_t begin, size_t end) {
    rows *r = arg;
    double x[CHUNK];
    float f32[CHUNK];
    for (size_t i = begin; i < end; i += CHUNK) {
        size_t n = end - i < CHUNK ? end - i : CHUNK;
        bool wide = r->dtype == FANIN_F64;
        double *to = wide ? (double *)(void *)r->out + i : x;
        draw(r, r->first + i, n, to);
        for (size_t j = 0; j < n; j++) {
            double scale = r->scale[row_of(&r->plan->view, r->first + i + j) - r->row0];
            to[j] *= scale;
            if (!wide) f32[j] = (float)to[j];
        }
        if (!wide)
            fanin_convert_from_f32(f32, n, r->dtype, r->out + i * fanin_dtype_size(r->dtype));
    }
}

fanin_status fanin__rows_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first, size_t n,
                              fanin_dtype dtype, void *out, fanin_err *err) {
    if (plan->moments.elementwise) return fanin__law_fill(plan, seed, first, n, dtype, out, err);
    rows r = {.plan = plan, .first = first, .dtype = dtype, .out = out};
    r.stream = fanin_stream_init(seed, fanin__tensor_name(plan->tensor));
    uint64_t count = plan->view.out * plan->view.cut_out;
    if (in_order(plan)) {
        r.row0 = row_of(&plan->view, first);
        count = row_of(&plan->view, first + n - 1) - r.row0 + 1;
    }
    r.scale = fanin_calloc(count, sizeof *r.scale);
    if (!r.scale)
        return fanin_err_set(err, FANIN_NOMEM, "%s: no memory for %llu row sums",
                             fanin__tensor_name(plan->tensor), (unsigned long long)count);
    if (in_order(plan))
        fanin_parallel_for(count, 16, sum_rows, &r);
    else
        add_squares(&r, 0, plan->count);
    for (uint64_t i = 0; i < count; i++)
        r.scale[i] = r.scale[i] > 0 ? plan->gain / sqrt(r.scale[i]) : 0;
    fanin_parallel_for(n, 4 * CHUNK, scale_range, &r);
    fanin_free(r.scale);
    fanin_status status = (fanin_status)atomic_load(&r.status);
    return status == FANIN_OK ? status
                              : fanin_err_set(err, status, "%s: %s cannot be drawn",
                                              fanin__tensor_name(plan->tensor), plan->row->name);
}
