/* orthogonal.c - orthogonal and delta-orthogonal rules: Haar matrices (haar.c) for every part and group
 * of a tensor, whatever its rank and storage order. Made whole; a slice is cut from the whole. */
#include <math.h>
#include <string.h>

#include "init/haar.h"
#include "init/init.h"

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

static uint64_t columns(const fanin__recipe *plan) { return plan->view.in * plan->view.taps; }

fanin_status fanin__orthogonal_plan(fanin__recipe *plan, fanin_err *err) {
    FANIN_TRY(fanin__view_make(plan, plan->rule->groups, err));
    FANIN_TRY(fanin__rule_gain(plan, &plan->gain, err));
    uint64_t long_side = larger(plan->view.out, columns(plan));
    plan->moments.mean = 0;
    plan->moments.std = plan->gain / sqrt((double)(long_side ? long_side : 1));
    plan->moments.gain = plan->gain;
    plan->moments.low = -plan->gain;
    plan->moments.high = plan->gain;
    char gain[32];
    fanin__reason(plan, "%llu Haar matri%s of %llu x %llu, gain %s",
                  (unsigned long long)plan->view.blocks, plan->view.blocks == 1 ? "x" : "ces",
                  (unsigned long long)plan->view.out, (unsigned long long)columns(plan),
                  fanin__number_text(plan->gain, gain));
    return FANIN_OK;
}

fanin_status fanin__delta_plan(fanin__recipe *plan, fanin_err *err) {
    FANIN_TRY(fanin__view_make(plan, plan->rule->groups, err));
    FANIN_TRY(fanin__rule_gain(plan, &plan->gain, err));
    const fanin__view *v = &plan->view;
    char shape[128];
    const fanin_tensor *t = plan->tensor;
    fanin__shape_text(t->dims, t->rank, shape, sizeof shape);
    if (v->kernel_rank < 1)
        return fanin_err_set(
            err, FANIN_SHAPE,
            "%s: delta_orthogonal fills convolutions, this is %s; orthogonal fills "
            "matrices",
            fanin__tensor_name(t), shape);
    if (v->in > v->out)
        return fanin_err_set(err, FANIN_SHAPE,
                             "%s: delta_orthogonal needs no more inputs than outputs, %s has %llu "
                             "inputs and %llu outputs a group",
                             fanin__tensor_name(t), shape, (unsigned long long)v->in,
                             (unsigned long long)v->out);
    plan->moments.mean = 0;
    plan->moments.std = v->out && v->taps ? plan->gain / sqrt((double)(v->out * v->taps)) : 0;
    plan->moments.gain = plan->gain;
    plan->moments.low = -plan->gain;
    plan->moments.high = plan->gain;
    char gain[32];
    fanin__reason(plan,
                  "Haar matrix of %llu x %llu at the centre of the kernel, zeros around, gain %s",
                  (unsigned long long)v->out, (unsigned long long)v->in,
                  fanin__number_text(plan->gain, gain));
    return FANIN_OK;
}

/* ---- making ------------------------------------------------------------------------------ */

/* How the columns of the drawn matrices are spread over the tensor. */
typedef struct layout {
    const fanin__recipe *plan;
    uint64_t rows, cols; /* of one drawn matrix */
    uint64_t *offset;    /* of column c within a row, in elements; NULL: rows as stored */
} layout;

static bool stored_in_order(const fanin__recipe *plan) {
    return plan->tensor->out_axis == 0 && plan->tensor->in_axis == 1 && plan->view.cut_in == 1;
}

static fanin_status layout_make(layout *l, bool delta) {
    const fanin__view *v = &l->plan->view;
    l->rows = v->out;
    l->cols = delta ? v->in : columns(l->plan);
    l->offset = NULL;
    if (!delta && stored_in_order(l->plan)) return FANIN_OK;
    l->offset = fanin_calloc(l->cols ? l->cols : 1, sizeof *l->offset);
    if (!l->offset) return FANIN_NOMEM;
    uint64_t centre = 0, scale = 1;
    for (int i = 0; i < v->kernel_rank; i++) {
        centre += (v->kernel_dims[i] - 1) / 2 * scale;
        scale *= v->kernel_dims[i];
    }
    for (uint64_t c = 0; c < l->cols; c++)
        l->offset[c] = fanin__view_index(v, 0, 0, delta ? c * v->taps + centre : c);
    return FANIN_OK;
}

typedef struct scatter {
    const layout *l;
    uint64_t block;
    size_t item; /* 4 or 8 bytes */
    const char *in;
    char *out;
} scatter;

static void scatter_rows(void *arg, size_t begin, size_t end) {
    const scatter *s = arg;
    for (size_t o = begin; o < end; o++) {
        char *row = s->out + fanin__view_index(&s->l->plan->view, s->block, o, 0) * s->item;
        const char *in = s->in + o * s->l->cols * s->item;
        for (uint64_t c = 0; c < s->l->cols; c++)
            memcpy(row + s->l->offset[c] * s->item, in + c * s->item, s->item);
    }
}

/* Matrices `begin` to `end` - 1; small ones are shared out among threads, large ones share the threads. */
typedef struct matrices {
    const layout *l;
    const fanin_stream *stream;
    uint64_t base; /* the first one that is wanted */
    size_t item;   /* 4: float, 8: double */
    char *out;     /* in order: that of block `base`; else the whole tensor */
    fanin_status *status;
} matrices;

static fanin_status make_matrix(const matrices *m, uint64_t block, void *out) {
    const layout *l = m->l;
    uint64_t address = block * l->rows * l->cols;
    if (m->item == sizeof(double))
        return fanin__haar_fill_f64(m->stream, address, l->rows, l->cols, l->plan->gain, out);
    return fanin__haar_fill(m->stream, address, l->rows, l->cols, l->plan->gain, out);
}

static fanin_status make_one(const matrices *m, uint64_t block) {
    const layout *l = m->l;
    size_t size = (size_t)(l->rows * l->cols) * m->item;
    if (!l->offset) return make_matrix(m, block, m->out + (block - m->base) * size);
    char *matrix = fanin_malloc(size);
    if (!matrix) return FANIN_NOMEM;
    fanin_status status = make_matrix(m, block, matrix);
    scatter s = {.l = l, .block = block, .item = m->item, .in = matrix, .out = m->out};
    if (status == FANIN_OK) fanin_parallel_for(l->rows, 64, scatter_rows, &s);
    fanin_free(matrix);
    return status;
}

static void make_range(void *arg, size_t begin, size_t end) {
    const matrices *m = arg;
    for (size_t b = begin; b < end; b++) m->status[b] = make_one(m, m->base + b);
}

static fanin_status make(const layout *l, uint64_t seed, uint64_t base, uint64_t count, size_t item,
                         void *out) {
    fanin_stream stream = fanin_stream_init(seed, fanin__tensor_name(l->plan->tensor));
    fanin_status result = FANIN_OK;
    matrices m = {.l = l, .stream = &stream, .base = base, .item = item, .out = out};
    if (count == 1 || (l->rows > FANIN__HAAR_SMALL && l->cols > FANIN__HAAR_SMALL)) {
        for (uint64_t b = 0; b < count && result == FANIN_OK; b++) {
            if (fanin_interrupted()) return FANIN_INTERRUPTED;
            result = make_one(&m, base + b);
        }
        return result;
    }
    m.status = fanin_calloc(count, sizeof *m.status);
    if (!m.status) return FANIN_NOMEM;
    uint64_t size = l->rows * l->cols + 1;
    fanin_parallel_for(count, size < 4096 ? 4096 / size : 1, make_range, &m);
    for (uint64_t b = 0; b < count && result == FANIN_OK; b++) result = m.status[b];
    fanin_free(m.status);
    return result;
}

/* ---- filling ----------------------------------------------------------------------------- */

/* float64 has matrices of its own; every other type is rounded from float. */
static size_t item_of(fanin_dtype dtype) {
    return dtype == FANIN_F64 ? sizeof(double) : sizeof(float);
}

static bool as_made(fanin_dtype dtype) { return dtype == FANIN_F32 || dtype == FANIN_F64; }

static void cut(const char *whole, uint64_t first, size_t n, fanin_dtype dtype, void *out) {
    if (dtype == FANIN_F64)
        memcpy(out, whole + first * sizeof(double), n * sizeof(double));
    else
        fanin__fill_from_f32((const float *)(const void *)whole, first, n, dtype, out);
}

/* Stored in order: only the matrices that the slice touches, straight into `out` if it is they. */
static fanin_status fill_in_order(const layout *l, uint64_t seed, uint64_t first, size_t n,
                                  fanin_dtype dtype, void *out) {
    uint64_t size = l->rows * l->cols, base = first / size,
             count = (first + n - 1) / size - base + 1;
    size_t item = item_of(dtype), bytes;
    if (as_made(dtype) && first == base * size && n == count * size)
        return make(l, seed, base, count, item, out);
    if (!fanin__size_mul((size_t)(count * size), item, &bytes)) return FANIN_NOMEM;
    char *whole = fanin_malloc(bytes);
    if (!whole) return FANIN_NOMEM;
    fanin_status status = make(l, seed, base, count, item, whole);
    if (status == FANIN_OK) cut(whole, first - base * size, n, dtype, out);
    fanin_free(whole);
    return status;
}

static fanin_status fill_scattered(const layout *l, uint64_t seed, uint64_t first, size_t n,
                                   fanin_dtype dtype, void *out) {
    size_t count = (size_t)l->plan->count, item = item_of(dtype), bytes;
    bool whole_asked = as_made(dtype) && first == 0 && n == count;
    if (!fanin__size_mul(count, item, &bytes)) return FANIN_NOMEM;
    char *whole = whole_asked ? out : fanin_malloc(bytes);
    if (!whole) return FANIN_NOMEM;
    memset(whole, 0, bytes);
    fanin_status status = make(l, seed, 0, l->plan->view.blocks, item, whole);
    if (whole_asked) return status;
    if (status == FANIN_OK) cut(whole, first, n, dtype, out);
    fanin_free(whole);
    return status;
}

static fanin_status fill(const fanin__recipe *plan, bool delta, uint64_t seed, uint64_t first,
                         size_t n, fanin_dtype dtype, void *out, fanin_err *err) {
    layout l = {.plan = plan};
    fanin_status status = layout_make(&l, delta);
    if (status == FANIN_OK)
        status = l.offset ? fill_scattered(&l, seed, first, n, dtype, out)
                          : fill_in_order(&l, seed, first, n, dtype, out);
    fanin_free(l.offset);
    if (status == FANIN_OK) return FANIN_OK;
    return fanin_err_set(err, status, "%s: %s failed: %s", fanin__tensor_name(plan->tensor),
                         plan->row->name, fanin_status_text(status));
}

fanin_status fanin__orthogonal_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first,
                                    size_t n, fanin_dtype dtype, void *out, fanin_err *err) {
    return fill(plan, false, seed, first, n, dtype, out, err);
}

fanin_status fanin__delta_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first, size_t n,
                               fanin_dtype dtype, void *out, fanin_err *err) {
    return fill(plan, true, seed, first, n, dtype, out, err);
}
