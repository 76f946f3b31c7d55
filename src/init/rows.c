/* rows.c - rules that look at a row of a matrix as a whole: rows of unit norm, Nguyen and Widrow's hidden layer,
 * rows whose mean is taken off.
 *
 * Elements are drawn in the order of storage (plane 0); a row is summed in double in that order too; then each
 * element is shifted and multiplied once. Rows stored one after another are summed by many threads, interleaved
 * ones by one: the order of a row's sum is the same. */
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

/* The gain makes up for what the mean takes away: elements keep variance std^2. */
fanin_status fanin__centered_plan(fanin__recipe *plan, fanin_err *err) {
    FANIN_TRY(fanin__std_or_fan(plan, err));
    FANIN_TRY(fanin__view_make(plan, 1, err));
    double n = row_length(plan), center = fanin__or(plan->rule->center, 1);
    double kept = (1 - center) * (1 - center), left = n > 0 ? 1 - (1 - kept) / n : 1;
    char text[2][32];
    if (plan->count > 0 && !(left > 0))
        return fanin_err_set(err, FANIN_ARG,
                             "%s: centered_normal needs rows of two weights or more, these have %g",
                             fanin__tensor_name(plan->tensor), n);
    plan->gain = 1 / sqrt(left);
    plan->law = (fanin_law){.kind = FANIN_LAW_NORMAL, .a = 0, .b = plan->moments.std};
    plan->moments.centered = 1 - kept / left;
    fanin__reason(plan, "normal with std %s, %s of each row's mean taken off",
                  fanin__number_text(plan->moments.std, text[0]),
                  center == 1 ? "all" : fanin__number_text(center, text[1]));
    return FANIN_OK;
}

/* ---- filling ----------------------------------------------------------------------------- */

typedef struct rows {
    const fanin__recipe *plan;
    fanin_stream stream;
    uint64_t first, row0; /* the slice and its first row (in order) */
    fanin_dtype dtype;
    bool squares; /* what is summed: squares, or the elements */
    double *sums;
    char *out;
    atomic_int status;
} rows;

/* Elements from `index` on that lie in one row: its number, counted from row0. */
static uint64_t row_of(const rows *r, uint64_t index, uint64_t *left) {
    const fanin__view *v = &r->plan->view;
    *left = v->out_stride - index % v->out_stride;
    return index / v->out_stride % (v->out * v->cut_out) - r->row0;
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
static void add(rows *r, uint64_t begin, uint64_t end) {
    double x[CHUNK];
    for (uint64_t i = begin; i < end; i += CHUNK) {
        size_t n = end - i < CHUNK ? (size_t)(end - i) : CHUNK;
        draw(r, i, n, x);
        for (size_t j = 0; j < n;) {
            uint64_t left;
            double *sum = &r->sums[row_of(r, i + j, &left)], total = *sum;
            size_t stop = left < n - j ? j + (size_t)left : n;
            for (; j < stop; j++) total += r->squares ? x[j] * x[j] : x[j];
            *sum = total;
        }
    }
}

static void sum_rows(void *arg, size_t begin, size_t end) {
    rows *r = arg;
    uint64_t length = r->plan->view.out_stride;
    add(r, (r->row0 + begin) * length, (r->row0 + end) * length);
}

/* Squares: a row's elements times gain over its length; else gain times the element less `center` of the mean. */
static void finish_range(void *arg, size_t begin, size_t end) {
    rows *r = arg;
    double x[CHUNK], center = fanin__or(r->plan->rule->center, 1) / row_length(r->plan);
    float f32[CHUNK];
    bool wide = r->dtype == FANIN_F64;
    for (size_t i = begin; i < end; i += CHUNK) {
        size_t n = end - i < CHUNK ? end - i : CHUNK;
        double *to = wide ? (double *)(void *)r->out + i : x;
        draw(r, r->first + i, n, to);
        for (size_t j = 0; j < n;) {
            uint64_t left;
            double sum = r->sums[row_of(r, r->first + i + j, &left)], gain = r->plan->gain;
            double shift = r->squares ? 0 : center * sum;
            double scale = !r->squares ? gain : sum > 0 ? gain / sqrt(sum) : 0;
            size_t stop = left < n - j ? j + (size_t)left : n;
            for (; j < stop; j++) to[j] = (to[j] - shift) * scale;
        }
        if (wide) continue;
        for (size_t j = 0; j < n; j++) f32[j] = (float)x[j];
        fanin_convert_from_f32(f32, n, r->dtype, r->out + i * fanin_dtype_size(r->dtype));
    }
}

static fanin_status fill_rows(const fanin__recipe *plan, bool squares, uint64_t seed,
                              uint64_t first, size_t n, fanin_dtype dtype, void *out,
                              fanin_err *err) {
    rows r = {.plan = plan, .first = first, .dtype = dtype, .squares = squares, .out = out};
    r.stream = fanin_stream_init(seed, fanin__tensor_name(plan->tensor));
    uint64_t count = plan->view.out * plan->view.cut_out, left;
    if (in_order(plan)) {
        r.row0 = row_of(&r, first, &left);
        count = row_of(&r, first + n - 1, &left) + 1;
    }
    r.sums = fanin_calloc(count, sizeof *r.sums);
    if (!r.sums)
        return fanin_err_set(err, FANIN_NOMEM, "%s: no memory for %llu row sums",
                             fanin__tensor_name(plan->tensor), (unsigned long long)count);
    if (in_order(plan))
        fanin_parallel_for(count, 16, sum_rows, &r);
    else
        add(&r, 0, plan->count);
    fanin_parallel_for(n, 4 * CHUNK, finish_range, &r);
    fanin_free(r.sums);
    fanin_status status = (fanin_status)atomic_load(&r.status);
    return status == FANIN_OK ? status
                              : fanin_err_set(err, status, "%s: %s cannot be drawn",
                                              fanin__tensor_name(plan->tensor), plan->row->name);
}

fanin_status fanin__rows_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first, size_t n,
                              fanin_dtype dtype, void *out, fanin_err *err) {
    if (plan->moments.elementwise) return fanin__law_fill(plan, seed, first, n, dtype, out, err);
    return fill_rows(plan, true, seed, first, n, dtype, out, err);
}

fanin_status fanin__centered_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first,
                                  size_t n, fanin_dtype dtype, void *out, fanin_err *err) {
    return fill_rows(plan, false, seed, first, n, dtype, out, err);
}
