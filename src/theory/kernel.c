/* NNGP and NTK matrices. Rows first: every row's variance at every layer is known before any pair
 * is touched, so a pair needs its correlation only. Tiles of rows and columns keep memory small. */
#include <math.h>
#include <string.h>

#include "compute/compute.h"
#include "theory/kernel.h"

/* ---- layers ---------------------------------------------------------------------------- */

/* E f^2 of every row, layer after layer. */
static fanin_status advance(plan *p, size_t layer, double *q, size_t n, double floor_q) {
    for (size_t i = 0; i < n; i++) {
        double here = q[layer * n + i], v = 0;
        if (p->layers)
            v = fanin__series_second(&p->layers[layer], fmax(here, floor_q));
        else if (here > 0 && !fanin__dual_closed(p->act, 0, here, here, here, &v))
            return FANIN_INTERNAL;
        q[(layer + 1) * n + i] = p->set->sigma_w2 * v + p->set->sigma_b2;
    }
    return FANIN_OK;
}

static fanin_status variances(plan *p, fanin_err *err) {
    for (size_t l = 0; l < p->set->depth; l++) {
        double lo = INFINITY, hi = 0;
        for (size_t i = 0; i < p->n; i++) {
            lo = fmin(lo, p->qx[l * p->n + i]);
            hi = fmax(hi, p->qx[l * p->n + i]);
        }
        for (size_t i = 0; i < p->m; i++) {
            lo = fmin(lo, p->qy[l * p->m + i]);
            hi = fmax(hi, p->qy[l * p->m + i]);
        }
        if (!(hi < 1e150))
            return fanin_err_set(err, FANIN_DOMAIN,
                                 "the kernel of %.60s overflows at layer %zu (variance %g)",
                                 fanin_activation_name(p->act), l + 1, hi);
        hi = fmax(hi, 1e-250);
        lo = fmax(lo, 1e-10 * hi);
        if (p->layers) FANIN_TRY(fanin__series_make(p, &p->layers[l], lo, hi, err));
        FANIN_TRY(advance(p, l, p->qx, p->n, lo));
        if (!p->symmetric) FANIN_TRY(advance(p, l, p->qy, p->m, lo));
    }
    return FANIN_OK;
}

/* ---- pairs ----------------------------------------------------------------------------- */

static bool closed_step(const plan *p, state *s, double q1, double q2) {
    double ff, gg = 0;
    if (!(q1 > 0) || !(q2 > 0)) {
        grow(p, s, 0, 0);
        return true;
    }
    double k = unit(s->k / sqrt(q1 * q2)) * sqrt(q1 * q2);
    if (!fanin__dual_closed(p->act, 0, q1, q2, k, &ff)) return false;
    if (p->set->ntk && !fanin__dual_closed(p->act, 1, q1, q2, k, &gg)) return false;
    grow(p, s, ff, gg);
    return true;
}

static double dot64(const double *a, const double *b, size_t d) {
    double s[8] = {0};
    size_t k = 0;
    for (; k + 8 <= d; k += 8)
        for (size_t c = 0; c < 8; c++) s[c] += a[k + c] * b[k + c];
    for (; k < d; k++) s[0] += a[k] * b[k];
    return ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
}

static double self32(const float *a, size_t d) {
    double s[8] = {0};
    size_t k = 0;
    for (; k + 8 <= d; k += 8)
        for (size_t c = 0; c < 8; c++) s[c] += (double)a[k + c] * (double)a[k + c];
    for (; k < d; k++) s[0] += (double)a[k] * (double)a[k];
    return ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
}

static double first(const plan *p, double dot) {
    return p->set->sigma_w2 * dot / (double)p->d + p->set->sigma_b2;
}

/* Inner products of a tile's rows and columns. */
static void inner_products(const plan *p, tile *t) {
    size_t rows = t->i1 - t->i0, cols = t->j1 - t->j0, d = p->d;
    if (p->x32) {
        fanin__gemm_args g = {.m = rows,
                              .n = cols,
                              .k = d,
                              .alpha = 1,
                              .a = p->x32 + t->i0 * d,
                              .a_row = d,
                              .a_col = 1,
                              .b = p->y32 + t->j0 * d,
                              .b_row = 1,
                              .b_col = d,
                              .c = t->dots32,
                              .c_row = COLS};
        fanin__kernels_best()->gemm(&g);
        return;
    }
    for (size_t b = 0; b < cols; b += 4) /* four columns stay near for all rows */
        for (size_t a = 0; a < rows; a += 4) {
            const double *x[4], *y[4];
            double out[4][4];
            for (size_t k = 0; k < 4; k++) x[k] = p->x64 + (t->i0 + (a + k < rows ? a + k : a)) * d;
            for (size_t k = 0; k < 4; k++) y[k] = p->y64 + (t->j0 + (b + k < cols ? b + k : b)) * d;
            p->kernels->dots(x, y, d, out);
            for (size_t i = 0; i < 4 && a + i < rows; i++)
                for (size_t j = 0; j < 4 && b + j < cols; j++)
                    t->dots64[(a + i) * COLS + b + j] = out[i][j];
        }
}

/* K^1 and T^1 of the pairs. */
static void first_layer(const plan *p, tile *t) {
    bool plain = p->set->width > 0 && p->set->ntk;
    for (size_t i = t->i0; i < t->i1; i++)
        for (size_t j = t->j0; j < t->j1; j++) {
            size_t at = (i - t->i0) * COLS + (j - t->j0);
            double dot = t->dots64 ? t->dots64[at] : (double)t->dots32[at];
            state *e = &t->s[at];
            e->k = first(p, dot);
            if (p->symmetric && i == j) e->k = p->qx[i];
            e->t = plain ? dot + (p->set->sigma_b2 > 0) : e->k;
        }
}

/* From the states to the matrix. */
static void give(const plan *p, const tile *t) {
    for (size_t i = t->i0; i < t->i1; i++)
        for (size_t j = t->j0; j < t->j1; j++) {
            const state *e = &t->s[(i - t->i0) * COLS + (j - t->j0)];
            double v = p->set->ntk ? e->t : e->k;
            if (p->symmetric && j < i) continue;
            if (p->out64)
                p->out64[i * p->m + j] = v;
            else
                p->out32[i * p->m + j] = (float)v;
        }
}

static void closed_tile(const plan *p, tile *t) {
    for (size_t i = t->i0; i < t->i1; i++)
        for (size_t j = t->j0; j < t->j1; j++) {
            state *e = &t->s[(i - t->i0) * COLS + (j - t->j0)];
            if (p->symmetric && j < i) continue;
            for (size_t l = 0; l < p->set->depth; l++)
                closed_step(p, e, p->qx[l * p->n + i], p->qy[l * p->m + j]);
        }
}

/* The mirror image, along its own rows. */
static void mirror(const plan *p, const tile *t) {
    for (size_t j = t->j0; j < t->j1; j++)
        for (size_t i = t->i0; i < t->i1 && i < j; i++) {
            if (p->out64)
                p->out64[j * p->m + i] = p->out64[i * p->m + j];
            else
                p->out32[j * p->m + i] = p->out32[i * p->m + j];
        }
}

static void run_tile(const plan *p, tile *t) {
    inner_products(p, t);
    if (p->slopes) {
        fanin__slopes_tile(p, t);
    } else {
        first_layer(p, t);
        if (!p->layers) closed_tile(p, t);
        for (size_t l = 0; p->layers && l < p->set->depth; l++) fanin__series_layer(p, t, l);
        give(p, t);
    }
    if (p->symmetric) mirror(p, t);
}

static bool tile_make(const plan *p, tile *t) {
    *t = (tile){0};
    if (!p->slopes) t->s = fanin_calloc(ROWS * COLS, sizeof *t->s);
    if (p->x32)
        t->dots32 = fanin_calloc(ROWS * COLS, sizeof *t->dots32);
    else
        t->dots64 = fanin_calloc(ROWS * COLS, sizeof *t->dots64);
    return (p->slopes || t->s) && (t->dots32 || t->dots64) &&
           (!p->layers ||
            (fanin__side_make(&t->rows, ROWS) && fanin__side_make(&t->columns, COLS)));
}

static void tile_free(tile *t) {
    fanin_free(t->s);
    fanin_free(t->dots32);
    fanin_free(t->dots64);
    fanin__side_free(&t->rows);
    fanin__side_free(&t->columns);
}

static void run_rows(void *arg, size_t begin, size_t end) {
    plan *p = arg;
    tile t;
    if (!tile_make(p, &t)) {
        p->failed = true;
    } else {
        for (t.i0 = begin; t.i0 < end && !fanin_interrupted(); t.i0 = t.i1) {
            t.i1 = t.i0 + ROWS < end ? t.i0 + ROWS : end;
            t.j0 = p->symmetric ? t.i0 / COLS * COLS : 0;
            for (; t.j0 < p->m; t.j0 = t.j1) {
                t.j1 = t.j0 + COLS < p->m ? t.j0 + COLS : p->m;
                run_tile(p, &t);
            }
        }
    }
    tile_free(&t);
}

/* ---- whole matrices -------------------------------------------------------------------- */

static void start_rows(plan *p, const double *x64, const float *x32, size_t n, double *q) {
    for (size_t i = 0; i < n; i++)
        q[i] = first(p, x64 ? dot64(x64 + i * p->d, x64 + i * p->d, p->d)
                            : self32(x32 + i * p->d, p->d));
}

static fanin_status check(const plan *p, fanin_err *err) {
    const fanin_kernel_settings *s = p->set;
    if (!(s->sigma_w2 >= 0) || !(s->sigma_b2 >= 0) || isinf(s->sigma_w2) || isinf(s->sigma_b2))
        return fanin_err_set(err, FANIN_DOMAIN,
                             "sigma_w2 = %g, sigma_b2 = %g: variances are numbers from 0 on",
                             s->sigma_w2, s->sigma_b2);
    if (s->depth > 10000 || !(s->width >= 0) || isinf(s->width) || p->d == 0)
        return fanin_err_set(err, FANIN_ARG,
                             "kernel: depth %u (at most 10000), width %g, %zu inputs", s->depth,
                             s->width, p->d);
    if (s->ntk && !fanin_activation_is_continuous(p->act))
        return fanin_err_set(err, FANIN_DOMAIN, "%.80s jumps: its tangent kernel is infinite",
                             fanin_activation_name(p->act));
    return FANIN_OK;
}

static fanin_status work(plan *p, fanin_err *err) {
    size_t layers = p->set->depth, qx = 0, qy = 0;
    double probe;
    p->closed = fanin__dual_closed(p->act, 0, 1, 1, 0.5, &probe);
    p->slopes = fanin__slopes_of(p);
    if (!fanin__size_mul(layers + 1, p->n, &qx) || !fanin__size_mul(layers + 1, p->m, &qy))
        return fanin_err_set(err, FANIN_LIMIT, "kernel: too many rows");
    p->qx = fanin_calloc(qx, sizeof(double));
    p->qy = p->symmetric ? p->qx : fanin_calloc(qy, sizeof(double));
    if (!p->closed && layers > 0) p->layers = fanin_calloc(layers, sizeof *p->layers);
    if (!p->qx || !p->qy || (!p->closed && layers > 0 && !p->layers))
        return fanin_err_set(err, FANIN_NOMEM, "kernel: no memory for %zu rows", p->n + p->m);
    start_rows(p, p->x64, p->x32, p->n, p->qx);
    if (!p->symmetric) start_rows(p, p->y64, p->y32, p->m, p->qy);
    FANIN_TRY(variances(p, err));
    if (p->slopes) FANIN_TRY(fanin__slopes_prepare(p, err));
    fanin_parallel_for(p->n, ROWS, run_rows, p);
    if (fanin_interrupted()) return fanin_err_set(err, FANIN_INTERRUPTED, "interrupted");
    if (p->failed) return fanin_err_set(err, FANIN_NOMEM, "kernel: no memory for a tile");
    return FANIN_OK;
}

static fanin_status run(plan *p, fanin_err *err) {
    fanin_status status = check(p, err);
    if (status == FANIN_OK) status = work(p, err);
    for (size_t l = 0; p->layers && l < p->set->depth; l++) {
        fanin__series_free(&p->layers[l]);
    }
    fanin_free(p->layers);
    fanin_free(p->roots);
    fanin_free(p->roots32);
    fanin_free(p->inverses32);
    if (!p->symmetric) fanin_free(p->qy);
    fanin_free(p->qx);
    return status;
}

fanin_status fanin_kernel_matrix(const fanin_activation *act, const fanin_kernel_settings *set,
                                 const double *x, size_t n, const double *y, size_t m, size_t d,
                                 double *out, fanin_err *err) {
    plan p = {.act = act,
              .set = set,
              .n = n,
              .m = y ? m : n,
              .d = d,
              .x64 = x,
              .y64 = y ? y : x,
              .out64 = out,
              .symmetric = !y};
    return run(&p, err);
}

fanin_status fanin_kernel_matrix_f32(const fanin_activation *act, const fanin_kernel_settings *set,
                                     const float *x, size_t n, const float *y, size_t m, size_t d,
                                     float *out, fanin_err *err) {
    plan p = {.act = act,
              .set = set,
              .n = n,
              .m = y ? m : n,
              .d = d,
              .x32 = x,
              .y32 = y ? y : x,
              .out32 = out,
              .symmetric = !y};
    return run(&p, err);
}

fanin_status fanin_kernel_entry(const fanin_activation *act, const fanin_kernel_settings *set,
                                double k11, double k22, double k12, double *out, fanin_err *err) {
    plan p = {.act = act, .set = set, .n = 1, .m = 1, .d = 1};
    state s = {k12, k12};
    *out = NAN;
    FANIN_TRY(check(&p, err));
    if (!(k11 > 0) || !(k22 > 0) || !(k12 * k12 <= k11 * k22 * (1 + 1e-12)))
        return fanin_err_set(err, FANIN_ARG, "variances %g, %g with covariance %g", k11, k22, k12);
    if (set->width > 0 && set->ntk) {
        if (!(set->sigma_w2 > 0) || set->inputs == 0)
            return fanin_err_set(err, FANIN_ARG,
                                 "standard parameterisation: x.x' follows from K^1 only with "
                                 "sigma_w2 > 0 and the number of inputs (%zu)",
                                 set->inputs);
        s.t = (k12 - set->sigma_b2) * (double)set->inputs / set->sigma_w2 + (set->sigma_b2 > 0);
    }
    for (unsigned l = 0; l < set->depth; l++) {
        double ff, gg = 0, v1, v2, c = unit(s.k / sqrt(k11 * k22));
        FANIN_TRY(fanin_gaussian_dual(act, 0, k11, k22, c, &ff, NULL, err));
        if (set->ntk) FANIN_TRY(fanin_gaussian_dual(act, 1, k11, k22, c, &gg, NULL, err));
        FANIN_TRY(fanin_gaussian_dual(act, 0, k11, k11, 1, &v1, NULL, err));
        FANIN_TRY(fanin_gaussian_dual(act, 0, k22, k22, 1, &v2, NULL, err));
        grow(&p, &s, ff, gg);
        k11 = set->sigma_w2 * v1 + set->sigma_b2;
        k22 = set->sigma_w2 * v2 + set->sigma_b2;
    }
    *out = set->ntk ? s.t : s.k;
    return FANIN_OK;
}
