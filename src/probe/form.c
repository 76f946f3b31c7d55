/* form.c - structures: what is written down, signs, sparse lines, rows of one length. A tensor's matrices are walked row
 * by row through a table of column offsets (init/init.h: view), so storage orders, groups and packed parts are all the
 * same here. */
#include "probe/form.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { SAMPLE_MAX = 1 << 22 };

fanin__form_kind fanin__form_of(const fanin__recipe *plan) {
    fanin__fill_fn fill = plan->row->fill;
    if (fill == fanin__orthogonal_fill) return FANIN__FORM_ORTHOGONAL;
    if (fill == fanin__delta_fill) return FANIN__FORM_DELTA;
    if (fill == fanin__sparse_fill) return FANIN__FORM_SPARSE;
    if (fill == fanin__rows_fill && !plan->moments.elementwise) return FANIN__FORM_ROWS;
    if (fill == fanin__centered_fill) return FANIN__FORM_CENTERED;
    if (fill == fanin__law_fill && plan->law.kind == FANIN_LAW_RADEMACHER) return FANIN__FORM_SIGNS;
    if (fill == fanin__law_fill || fill == fanin__rows_fill || fill == fanin__constant_fill)
        return FANIN__FORM_LAW;
    return FANIN__FORM_CLOSED;
}

/* ---- reading ------------------------------------------------------------------------------- */

fanin_status fanin__grid_make(const fanin_array *array, const fanin__view *v, bool centre,
                              fanin__grid *g) {
    *g = (fanin__grid){.array = array,
                       .view = v,
                       .size = fanin_dtype_size(array->dtype),
                       .cols = centre ? v->in : v->in * v->taps};
    g->offset = fanin_calloc(g->cols ? g->cols : 1, sizeof *g->offset);
    if (!g->offset) return FANIN_NOMEM;
    uint64_t tap = 0, scale = 1;
    for (int i = 0; i < v->kernel_rank; scale *= v->kernel_dims[i++])
        tap += (v->kernel_dims[i] - 1) / 2 * scale;
    for (uint64_t c = 0; c < g->cols; c++)
        g->offset[c] = fanin__view_index(v, 0, 0, centre ? c * v->taps + tap : c);
    return FANIN_OK;
}

void fanin__grid_read(const fanin__grid *g, uint64_t block, uint64_t row, uint64_t column, size_t n,
                      double *out) {
    _Alignas(8) unsigned char bits[FANIN__PIECE * 8];
    const unsigned char *in = g->array->data;
    in += fanin__view_index(g->view, block, row, 0) * g->size;
    const uint64_t *offset = g->offset + column;
    if (offset[n - 1] - offset[0] == n - 1)
        memcpy(bits, in + offset[0] * g->size, n * g->size);
    else if (g->size == 4)
        for (size_t i = 0; i < n; i++) memcpy(bits + i * 4, in + offset[i] * 4, 4);
    else
        for (size_t i = 0; i < n; i++)
            memcpy(bits + i * g->size, in + offset[i] * g->size, g->size);
    fanin_convert_to_f64(bits, g->array->dtype, n, out);
}

size_t fanin__piece(uint64_t left) { return left < FANIN__PIECE ? (size_t)left : FANIN__PIECE; }

static bool near(double x, double want, fanin_dtype dtype, double factor) {
    return fabs(x - want) <= factor * fanin__slack(dtype) * fabs(want);
}

void fanin__form_broken(fanin__form *form, fanin_fault_kind kind, const char *format, ...) {
    va_list args;
    va_start(args, format);
    form->fault = kind;
    vsnprintf(form->text, sizeof form->text, format, args);
    va_end(args);
}

static void lower_to(atomic_uint_fast64_t *at, uint64_t value) {
    uint_fast64_t seen = atomic_load(at);
    while (value < seen && !atomic_compare_exchange_weak(at, &seen, value)) continue;
}

/* ---- element by element ---------------------------------------------------------------------- */

typedef struct compare {
    const fanin_array *array;
    const fanin__recipe *plan;
    double slack; /* absolute */
    bool signs;
    atomic_uint_fast64_t wrong, first;
    atomic_int status;
} compare;

static fanin_status wanted(const compare *c, uint64_t first, size_t n, double *out) {
    _Alignas(8) unsigned char bits[FANIN__PIECE * 8];
    fanin_dtype dtype = c->array->dtype;
    FANIN_TRY(c->plan->row->fill(c->plan, 0, first, n, dtype, bits, NULL));
    return fanin_convert_to_f64(bits, dtype, n, out);
}

static void compare_range(void *arg, size_t begin, size_t end) {
    compare *c = arg;
    size_t size = fanin_dtype_size(c->array->dtype);
    double x[FANIN__PIECE], want[FANIN__PIECE];
    uint64_t wrong = 0;
    for (uint64_t i = begin; i < end; i += FANIN__PIECE) {
        _Alignas(8) unsigned char bits[FANIN__PIECE * 8];
        size_t n = fanin__piece(end - i);
        memcpy(bits, (const unsigned char *)c->array->data + i * size, n * size);
        fanin_convert_to_f64(bits, c->array->dtype, n, x);
        fanin_status status = c->signs ? FANIN_OK : wanted(c, i, n, want);
        if (status != FANIN_OK) {
            atomic_store(&c->status, (int)status);
            return;
        }
        for (size_t j = 0; j < n; j++) {
            double off = c->signs ? fabs(x[j]) - fabs(c->plan->law.a) : x[j] - want[j];
            if (fabs(off) <= c->slack) continue;
            if (wrong++ == 0) lower_to(&c->first, i + j);
        }
    }
    atomic_fetch_add(&c->wrong, wrong);
}

double fanin__value_at(const fanin_array *array, uint64_t i) {
    _Alignas(8) unsigned char bits[8];
    double x;
    size_t size = fanin_dtype_size(array->dtype);
    memcpy(bits, (const unsigned char *)array->data + i * size, size);
    fanin_convert_to_f64(bits, array->dtype, 1, &x);
    return x;
}

static fanin_status compare_all(compare *c) {
    double largest = fmax(fabs(c->plan->moments.low), fabs(c->plan->moments.high));
    c->slack = fanin__slack(c->array->dtype) * largest;
    atomic_init(&c->first, UINT64_MAX);
    fanin_parallel_for((size_t)c->plan->count, 16 * FANIN__PIECE, compare_range, c);
    return (fanin_status)atomic_load(&c->status);
}

static fanin_status test_closed(const fanin_array *array, const fanin__recipe *plan,
                                fanin__form *form) {
    compare c = {.array = array, .plan = plan};
    double want;
    FANIN_TRY(compare_all(&c));
    if (atomic_load(&c.wrong) == 0) return FANIN_OK;
    uint64_t at = atomic_load(&c.first);
    FANIN_TRY(wanted(&c, at, 1, &want));
    fanin__form_broken(form, FANIN_FAULT_WRONG_VALUE,
                       "element %llu is %.6g, %s puts %.6g there; %llu of %llu differ",
                       (unsigned long long)at, fanin__value_at(array, at), plan->row->name, want,
                       (unsigned long long)atomic_load(&c.wrong), (unsigned long long)plan->count);
    return FANIN_OK;
}

static fanin_status sign_repeats(const fanin_array *array, uint64_t count, fanin__form *form) {
    fanin__measure *m = fanin_calloc(1, sizeof *m);
    fanin_status status = m ? fanin__measure_signs(array, count, m) : FANIN_NOMEM;
    if (status == FANIN_OK && m->repeats >= 4)
        fanin__form_broken(form, FANIN_FAULT_REPEATED_BLOCK,
                           "signs near %llu come again near %llu (%llu windows of 128 agree)",
                           (unsigned long long)m->repeat_from, (unsigned long long)m->repeat_to,
                           (unsigned long long)m->repeats);
    fanin_free(m);
    return status;
}

static fanin_status test_signs(const fanin_array *array, const fanin__measure *m,
                               const fanin__recipe *plan, fanin__form *form) {
    compare c = {.array = array, .plan = plan, .signs = true};
    double s = fabs(plan->law.a), n = (double)m->n;
    FANIN_TRY(compare_all(&c));
    if (atomic_load(&c.wrong) == 0) {
        form->p = fanin__two_sided(fmax(0, fabs(m->mean) / s * n - 1) / sqrt(n));
        return sign_repeats(array, plan->count, form);
    }
    if (near(m->std * m->std + m->mean * m->mean, m->max * m->max, array->dtype, 1) &&
        near(-m->min, m->max, array->dtype, 1))
        fanin__form_broken(form, FANIN_FAULT_WRONG_SCALE, "+ or - %.6g, declared + or - %.6g",
                           m->max, s);
    else
        fanin__form_broken(
            form, FANIN_FAULT_WRONG_LAW,
            "%llu of %llu elements are not + or - %.6g, element %llu is the first: %.6g",
            (unsigned long long)atomic_load(&c.wrong), (unsigned long long)m->n, s,
            (unsigned long long)atomic_load(&c.first),
            fanin__value_at(array, atomic_load(&c.first)));
    return FANIN_OK;
}

/* ---- what was drawn ---------------------------------------------------------------------------- */

fanin_status fanin__measure_bits(const fanin_array *array, const unsigned char *bits, size_t count,
                                 const fanin__law *law, double *p) {
    fanin_array some = *array;
    some.data = (void *)(uintptr_t)bits;
    some.size = count * fanin_dtype_size(array->dtype);
    some.rank = 1;
    some.dims[0] = (int64_t)count;
    if (count == 0) return FANIN_OK;
    fanin__measure *m = fanin_malloc(sizeof *m);
    fanin_status status = m ? fanin__measure_make(&some, count, m) : FANIN_NOMEM;
    if (status == FANIN_OK) *p = fanin__least_p(fanin__law_test(m, law, array->dtype));
    fanin_free(m);
    return status;
}

/* ---- sparse ------------------------------------------------------------------------------------ */

typedef struct lines {
    const fanin__grid *g;
    bool by_column;
    uint32_t *kept; /* a line's elements that are not 0 */
} lines;

static void count_rows(void *arg, size_t begin, size_t end) {
    const lines *l = arg;
    uint64_t rows = l->g->view->out;
    double x[FANIN__PIECE];
    for (size_t r = begin; r < end; r++)
        for (uint64_t c = 0; c < l->g->cols; c += FANIN__PIECE) {
            size_t n = fanin__piece(l->g->cols - c);
            fanin__grid_read(l->g, r / rows, r % rows, c, n, x);
            for (size_t i = 0; i < n; i++) l->kept[r] += x[i] != 0;
        }
}

/* Ranges of FANIN__PIECE columns of a block. */
static void count_columns(void *arg, size_t begin, size_t end) {
    const lines *l = arg;
    const fanin__grid *g = l->g;
    uint64_t pieces = (g->cols + FANIN__PIECE - 1) / FANIN__PIECE;
    double x[FANIN__PIECE];
    for (size_t k = begin; k < end; k++) {
        uint64_t block = k / pieces, c = k % pieces * FANIN__PIECE;
        size_t n = fanin__piece(g->cols - c);
        uint32_t *kept = l->kept + block * g->cols + c;
        for (uint64_t r = 0; r < g->view->out; r++) {
            fanin__grid_read(g, block, r, c, n, x);
            for (size_t i = 0; i < n; i++) kept[i] += x[i] != 0;
        }
    }
}

/* Values that underflow make a line poorer; no line may be richer. */
static void judge_lines(const fanin_array *array, const fanin__recipe *plan, const lines *l,
                        size_t count, fanin__form *form) {
    fanin__law law = fanin__law_of(&plan->law);
    double tiny = fanin__underflow(array->dtype), missing = 0;
    double vanish = fanin__law_cdf(&law, tiny) - fanin__law_cdf(&law, -tiny) + 0x1p-30;
    size_t worst = 0;
    double worst_off = -1;
    for (size_t i = 0; i < count; i++) {
        double off = (double)l->kept[i] - (double)plan->k;
        if (off <= 0) missing -= off;
        off = off > 0 ? 1e12 + off : -off;
        if (off > worst_off) {
            worst_off = off;
            worst = i;
        }
    }
    form->p = fanin__poisson_above(missing, vanish * (double)count * (double)plan->k);
    if (worst_off >= 1e12 || form->p < 1e-9)
        fanin__form_broken(
            form, FANIN_FAULT_WRONG_SPARSITY, "%s %zu has %u elements that are not 0, not %llu",
            plan->by_column ? "input" : "unit", worst, l->kept[worst], (unsigned long long)plan->k);
}

static fanin_status test_kept(const fanin_array *array, const fanin__measure *m,
                              const fanin__recipe *plan, fanin__form *form) {
    uint64_t kept = m->n - m->zeros;
    size_t size = fanin_dtype_size(array->dtype), count = 0;
    if (kept > SAMPLE_MAX) kept = SAMPLE_MAX;
    unsigned char *bits = fanin_malloc((kept ? kept : 1) * size);
    if (!bits) return FANIN_NOMEM;
    const unsigned char *in = array->data;
    for (uint64_t i = 0; i < plan->count && count < kept; i++) {
        static const unsigned char zero[8];
        if (memcmp(in + i * size, zero, size) == 0 || fanin__value_at(array, i) == 0) continue;
        memcpy(bits + count++ * size, in + i * size, size);
    }
    double p = 1;
    fanin__law law = fanin__law_of(&plan->law);
    fanin_status status = fanin__measure_bits(array, bits, count, &law, &p);
    form->p = fmin(1, 2 * fmin(form->p, p));
    fanin_free(bits);
    return status;
}

static fanin_status test_sparse(const fanin_array *array, const fanin__measure *m,
                                const fanin__recipe *plan, fanin__form *form) {
    fanin__grid g;
    FANIN_TRY(fanin__grid_make(array, &plan->view, false, &g));
    uint64_t per_block = plan->by_column ? g.cols : plan->view.out;
    size_t count = (size_t)(plan->view.blocks * per_block);
    lines l = {.g = &g, .by_column = plan->by_column};
    l.kept = fanin_calloc(count ? count : 1, sizeof *l.kept);
    fanin_status status = l.kept ? FANIN_OK : FANIN_NOMEM;
    if (status == FANIN_OK) {
        if (plan->by_column)
            fanin_parallel_for(
                (size_t)(plan->view.blocks * ((g.cols + FANIN__PIECE - 1) / FANIN__PIECE)), 1,
                count_columns, &l);
        else
            fanin_parallel_for(count, 16, count_rows, &l);
        judge_lines(array, plan, &l, count, form);
        if (!form->fault) status = test_kept(array, m, plan, form);
    }
    fanin_free(l.kept);
    fanin_free(g.offset);
    return status;
}

/* ---- rows as a whole --------------------------------------------------------------------------- */

typedef struct row_sums {
    const fanin__grid *g;
    double *sums, *squares; /* a row */
} row_sums;

static void sum_rows(void *arg, size_t begin, size_t end) {
    const row_sums *s = arg;
    uint64_t rows = s->g->view->out;
    double x[FANIN__PIECE];
    for (size_t r = begin; r < end; r++)
        for (uint64_t c = 0; c < s->g->cols; c += FANIN__PIECE) {
            size_t n = fanin__piece(s->g->cols - c);
            fanin__grid_read(s->g, r / rows, r % rows, c, n, x);
            for (size_t i = 0; i < n; i++) {
                s->sums[r] += x[i];
                s->squares[r] += x[i] * x[i];
            }
        }
}

/* sums: of `count` rows, their squares behind them; the caller frees it. */
static fanin_status all_sums(const fanin_array *array, const fanin__recipe *plan, size_t *count,
                             double *cols, double **sums) {
    fanin__grid g;
    FANIN_TRY(fanin__grid_make(array, &plan->view, false, &g));
    *count = (size_t)(plan->view.blocks * plan->view.out);
    *cols = (double)g.cols;
    *sums = fanin_calloc(*count ? *count : 1, 2 * sizeof(double));
    row_sums s = {.g = &g, .sums = *sums, .squares = *sums + *count};
    if (*sums) fanin_parallel_for(*count, 16, sum_rows, &s);
    fanin_free(g.offset);
    return *sums ? FANIN_OK : FANIN_NOMEM;
}

static void judge_rows(const fanin_array *array, const fanin__recipe *plan, const double *squares,
                       size_t count, fanin__form *form) {
    size_t first = count, like_first = 0;
    for (size_t i = 0; i < count; i++) {
        if (first == count && !near(sqrt(squares[i]), plan->gain, array->dtype, 2)) first = i;
        like_first += near(sqrt(squares[i]), sqrt(squares[0]), array->dtype, 4);
    }
    if (first == count) return;
    fanin__form_broken(
        form,
        like_first == count && squares[0] > 0 ? FANIN_FAULT_WRONG_SCALE : FANIN_FAULT_WRONG_LAW,
        "row %zu has length %.6g, declared %.6g", first, sqrt(squares[first]), plan->gain);
}

/* Nguyen and Widrow's rows have no closed law: as many rows from a stream of their own beside them. */
static fanin_status drawn_beside(const fanin_array *array, const fanin__measure *m,
                                 const fanin__recipe *plan, double *p) {
    fanin_tensor t = *plan->tensor;
    fanin__recipe other;
    uint64_t cols = plan->view.in * plan->view.taps, most = SAMPLE_MAX / 4;
    uint64_t rows = (m->n < most / 4 ? 4 * m->n : most) / cols + 1;
    uint64_t bins[FANIN__BINS] = {0};
    t = (fanin_tensor){.name = "audit: rows beside",
                       .rank = 2,
                       .dims = {(int64_t)rows, (int64_t)cols},
                       .in_axis = 1,
                       .groups = 1,
                       .parts = 1,
                       .fan_in = (double)cols,
                       .fan_out = (double)rows};
    if (!(m->width > 0) || m->binned < 32) return FANIN_OK;
    FANIN_TRY(fanin__recipe_make(plan->rule, &t, &other, NULL));
    other.gain = plan->gain;
    float *x = fanin_malloc(rows * cols * sizeof *x);
    if (!x) return FANIN_NOMEM;
    fanin_status status = other.row->fill(&other, 0, 0, rows * cols, FANIN_F32, x, NULL);
    for (size_t i = 0; status == FANIN_OK && i < rows * cols; i++) {
        double at = ((double)x[i] - m->edge0) / m->width;
        bins[(int)fmin(fmax(at, 0), FANIN__BINS - 1)]++;
    }
    fanin_free(x);
    if (status == FANIN_OK)
        *p = fanin__two_sample(m, bins, 1 + 3 / ((double)cols + 1), array->dtype);
    return status;
}

static fanin_status test_rows(const fanin_array *array, const fanin__measure *m,
                              const fanin__recipe *plan, fanin__form *form) {
    size_t count;
    double cols, *sums;
    FANIN_TRY(all_sums(array, plan, &count, &cols, &sums));
    judge_rows(array, plan, sums + count, count, form);
    fanin_free(sums);
    if (form->fault) return FANIN_OK;
    fanin__law law = fanin__law_sphere(cols, plan->gain, 1);
    if (plan->law.kind == FANIN_LAW_NORMAL) {
        form->p = fanin__least_p(fanin__law_test(m, &law, array->dtype));
        return FANIN_OK;
    }
    double shape = 1, mean = fanin__two_sided(m->mean / law.std * sqrt((double)m->n));
    fanin_status status = drawn_beside(array, m, plan, &shape);
    form->p = fmin(1, 2 * fmin(mean, shape));
    return status;
}

/* Row sums are normal with variance (1 - centered) n std^2; those that should be 0 may be off by what was rounded:
 * sum |x| <= sqrt(n sum x^2). */
static fanin_status test_centered(const fanin_array *array, const fanin__measure *m,
                                  const fanin__recipe *plan, fanin__form *form) {
    size_t count;
    double cols, *sums, chi = 0;
    FANIN_TRY(all_sums(array, plan, &count, &cols, &sums));
    double std = plan->moments.std, share = 1 - plan->moments.centered;
    for (size_t i = 0; i < count && !form->fault; i++) {
        double z = sums[i] / (std * sqrt(cols)), length = sqrt(sums[count + i]) / std;
        chi += share > 0 ? z * z / share : 0;
        if (length == 0)
            fanin__form_broken(form, FANIN_FAULT_ZEROS, "all weights of unit %zu are 0", i);
        if (share > 0 || length == 0 || fabs(z) <= fanin__slack(array->dtype) * length) continue;
        fanin__form_broken(form, FANIN_FAULT_WRONG_LAW,
                           "the weights of unit %zu sum to %.4g, declared 0", i, sums[i]);
    }
    fanin_free(sums);
    if (form->fault || count == 0) return FANIN_OK;
    fanin__law law = fanin__law_normal(0, std);
    double rows = share > 0 ? fanin__two_sided(fanin__chi_z(chi, (double)count)) : 1;
    form->p = fmin(1, 2 * fmin(rows, fanin__least_p(fanin__law_test(m, &law, array->dtype))));
    return FANIN_OK;
}

/* ---- by kind ----------------------------------------------------------------------------------- */

fanin_status fanin__form_test(const fanin_array *array, const fanin__measure *m,
                              const fanin__recipe *plan, fanin__form *form) {
    *form = (fanin__form){.p = 1};
    switch (fanin__form_of(plan)) {
    case FANIN__FORM_CLOSED: return test_closed(array, plan, form);
    case FANIN__FORM_SIGNS: return test_signs(array, m, plan, form);
    case FANIN__FORM_SPARSE: return test_sparse(array, m, plan, form);
    case FANIN__FORM_ROWS: return test_rows(array, m, plan, form);
    case FANIN__FORM_CENTERED: return test_centered(array, m, plan, form);
    case FANIN__FORM_ORTHOGONAL: return fanin__test_orthogonal(array, m, plan, form);
    case FANIN__FORM_DELTA: return fanin__test_delta(array, m, plan, form);
    case FANIN__FORM_LAW: break;
    }
    return FANIN_OK;
}
