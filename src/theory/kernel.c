/* NNGP and NTK matrices. Rows first: every row's variance at every layer is known before any pair
 * is touched, so a pair needs its correlation only. Tiles of rows and columns keep memory small. */
#include <math.h>
#include <string.h>

#include "compute/compute.h"
#include "theory/slopes.h"
#include "theory/theory.h"

#define TERMS 128
#define NODES 28
#define ROWS  48  /* of a tile */
#define COLS  256 /* of a tile */

/* Hermite coefficients of one function (f or f') at one layer as functions of ln q on Chebyshev nodes,
 * less those of its kinks, which oscillate and are added at each q. */
typedef struct half {
    fanin__kinks kinks;
    double (*a)[TERMS + 1]; /* the last one is the rest's root */
} half;

typedef struct series {
    double lo, hi;
    int nodes;
    double at[NODES], pull[NODES]; /* nodes and barycentric weights */
    half f, g;
    double second[NODES];
} series;

typedef struct plan {
    const fanin_activation *act;
    const fanin_kernel_settings *set;
    bool closed, slopes; /* slopes: two straight lines through 0, worked in line */
    double low, high;    /* those slopes */
    size_t n, m, d;
    const double *x64, *y64;
    const float *x32, *y32;
    double *qx, *qy; /* (depth + 1) x n and x m: K^{l+1} of each row with itself */
    double *roots;   /* of qy */
    fanin__slopes_fn layer;
    series *layers; /* NULL when closed */
    double *out64;
    float *out32;
    bool symmetric, failed;
} plan;

/* ---- layers ---------------------------------------------------------------------------- */

static double spread(const series *s, double log_q, double *w) {
    double total = 0;
    for (int i = 0; i < s->nodes; i++) {
        double gap = log_q - s->at[i];
        if (fabs(gap) < 1e-14) {
            memset(w, 0, sizeof(double) * (size_t)s->nodes);
            w[i] = 1;
            return 1;
        }
        w[i] = s->pull[i] / gap;
        total += w[i];
    }
    for (int i = 0; i < s->nodes; i++) w[i] /= total;
    return total;
}

static void coefficients(const series *s, const half *h, double q, double *a, double *kinks) {
    double w[NODES], log_q = log(q);
    spread(s, log_q < s->lo ? s->lo : log_q > s->hi ? s->hi : log_q, w);
    memset(a, 0, sizeof(double) * (TERMS + 1));
    for (int i = 0; i < s->nodes; i++)
        for (int k = 0; k <= TERMS; k++) a[k] += w[i] * h->a[i][k];
    if (!h->kinks.n) return;
    fanin__kinks_coefficients(&h->kinks, q, TERMS, kinks);
    for (int k = 0; k < TERMS; k++) a[k] += kinks[k];
}

static fanin_status fill(const plan *p, int order, double q, const half *h, double *a,
                         double *second, fanin_err *err) {
    double total, sum = 0, kinks[TERMS];
    FANIN_TRY(fanin__hermite(p->act, order, q, TERMS, a, &total, err));
    for (int k = 0; k < TERMS; k++) sum += a[k] * a[k];
    a[TERMS] = sqrt(fmax(0, total - sum));
    if (second) *second = total;
    if (!h->kinks.n) return FANIN_OK;
    a[TERMS] = 0; /* the kinks' own tail takes its place */
    fanin__kinks_coefficients(&h->kinks, q, TERMS, kinks);
    for (int k = 0; k < TERMS; k++) a[k] -= kinks[k];
    return FANIN_OK;
}

static fanin_status make_series(const plan *p, series *s, double lo, double hi, fanin_err *err) {
    s->lo = log(lo);
    s->hi = log(hi);
    s->nodes = s->hi - s->lo < 1e-13 ? 1 : NODES;
    s->f.a = fanin_calloc((size_t)s->nodes, sizeof *s->f.a);
    s->g.a = fanin_calloc((size_t)s->nodes, sizeof *s->g.a);
    fanin__kinks_find(p->act, 0, hi, TERMS, &s->f.kinks);
    fanin__kinks_find(p->act, 1, hi, TERMS, &s->g.kinks);
    if (!s->f.a || !s->g.a) return fanin_err_set(err, FANIN_NOMEM, "kernel: no memory for series");
    for (int i = 0; i < s->nodes; i++) {
        double t = FANIN__PI * (2 * i + 1) / (2 * s->nodes);
        s->at[i] = 0.5 * (s->lo + s->hi) + 0.5 * (s->hi - s->lo) * cos(t);
        s->pull[i] = (i % 2 ? -1 : 1) * sin(t);
        double q = exp(s->at[i]);
        FANIN_TRY(fill(p, 0, q, &s->f, s->f.a[i], &s->second[i], err));
        if (p->set->ntk) FANIN_TRY(fill(p, 1, q, &s->g, s->g.a[i], NULL, err));
    }
    return FANIN_OK;
}

static double second_of(const series *s, double q) {
    double w[NODES], sum = 0, log_q = log(q);
    spread(s, log_q < s->lo ? s->lo : log_q > s->hi ? s->hi : log_q, w);
    for (int i = 0; i < s->nodes; i++) sum += w[i] * s->second[i];
    return sum;
}

/* E f^2 of every row, layer after layer. */
static fanin_status advance(plan *p, size_t layer, double *q, size_t n, double floor_q) {
    for (size_t i = 0; i < n; i++) {
        double here = q[layer * n + i], v = 0;
        if (p->layers)
            v = second_of(&p->layers[layer], fmax(here, floor_q));
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
        if (p->layers) FANIN_TRY(make_series(p, &p->layers[l], lo, hi, err));
        FANIN_TRY(advance(p, l, p->qx, p->n, lo));
        if (!p->symmetric) FANIN_TRY(advance(p, l, p->qy, p->m, lo));
    }
    return FANIN_OK;
}

/* ---- pairs ----------------------------------------------------------------------------- */

typedef struct state {
    double k, t; /* K^{l+1}, T^{l+1} of a pair */
} state;

static void grow(const plan *p, state *s, double ff, double gg) {
    const fanin_kernel_settings *set = p->set;
    s->k = set->sigma_w2 * ff + set->sigma_b2;
    double own = set->width > 0 ? set->width * ff + (set->sigma_b2 > 0) : s->k;
    s->t = own + set->sigma_w2 * s->t * gg;
}

static double unit(double c) { return c > 1 ? 1 : c < -1 ? -1 : c; }

static double polynomial(const double *a, const double *b, double c) {
    /* Four interleaved Horner chains in c^4. */
    double c2 = c * c, c4 = c2 * c2, s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (int k = TERMS - 4; k >= 0; k -= 4) {
        s0 = s0 * c4 + a[k] * b[k];
        s1 = s1 * c4 + a[k + 1] * b[k + 1];
        s2 = s2 * c4 + a[k + 2] * b[k + 2];
        s3 = s3 * c4 + a[k + 3] * b[k + 3];
    }
    return (s0 + c * s1) + c2 * (s2 + c * s3);
}

/* E f(u1) f(u2) from the coefficients a, b; ka, kb those of the kinks. */
static double pair_dual(const half *h, const double *a, const double *b, const double *ka,
                        const double *kb, double q1, double q2, double c) {
    double sum = polynomial(a, b, c), top = fabs(c);
    for (int k = 1; k < TERMS; k *= 2) top *= top; /* |c|^TERMS */
    if (!h->kinks.n) return sum + top * a[TERMS] * b[TERMS];
    if (top < 1e-15) return sum;
    return sum + fanin__kinks_dual(&h->kinks, q1, q2, c) - polynomial(ka, kb, c);
}

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

/* relu and its kin, all layers of one pair. */
static void slopes_pair(const plan *p, state *s, size_t i, size_t j) {
    double t = (p->high - p->low) * (p->high - p->low) / (2 * FANIN__PI);
    double m = 0.5 * (p->low * p->low + p->high * p->high);
    for (size_t l = 0; l < p->set->depth; l++) {
        double r = sqrt(p->qx[l * p->n + i] * p->qy[l * p->m + j]);
        double c = r > 0 ? unit(s->k / r) : 0, angle = acos(c);
        double gg = m - t * angle;
        grow(p, s, r * (t * sqrt((1 - c) * (1 + c)) + c * gg), gg);
    }
}

static fanin__slopes_fn choose_layer(void) {
#if defined(__x86_64__)
    if (fanin_cpu_level() >= FANIN_CPU_AVX512) return fanin__slopes_avx512;
    if (fanin_cpu_level() >= FANIN_CPU_AVX2) return fanin__slopes_avx2;
#endif
    return fanin__slopes_ref;
}

/* One row of a tile through all layers; the diagonal goes by the exact way. */
static void slopes_row(const plan *p, state *row, size_t i, size_t j0, size_t j1) {
    double k[COLS], t[COLS], tilt = (p->high - p->low) * (p->high - p->low) / (2 * FANIN__PI);
    const fanin_kernel_settings *set = p->set;
    bool standard = set->width > 0;
    fanin__slopes s = {tilt,
                       0.5 * (p->low * p->low + p->high * p->high),
                       set->sigma_w2,
                       set->sigma_b2,
                       standard ? set->width : set->sigma_w2,
                       standard ? (set->sigma_b2 > 0) : set->sigma_b2};
    state own = {0, 0};
    bool diagonal = p->symmetric && i >= j0 && i < j1;
    if (diagonal) {
        own = row[i - j0];
        slopes_pair(p, &own, i, i);
    }
    for (size_t j = j0; j < j1; j++) {
        k[j - j0] = row[j - j0].k;
        t[j - j0] = row[j - j0].t;
    }
    for (size_t l = 0; l < set->depth; l++)
        p->layer(&s, j1 - j0, sqrt(p->qx[l * p->n + i]), p->roots + l * p->m + j0, k, t);
    for (size_t j = j0; j < j1; j++) row[j - j0] = (state){k[j - j0], t[j - j0]};
    if (diagonal) row[i - j0] = own;
}

/* Coefficients of the rows or columns of a tile. */
typedef struct side {
    double (*f)[TERMS + 1], (*g)[TERMS + 1]; /* of f, f' */
    double (*kf)[TERMS], (*kg)[TERMS];       /* of their kinks */
} side;

typedef struct tile {
    size_t i0, i1, j0, j1;
    state *s; /* ROWS x COLS */
    side rows, columns;
    float *dots;
} tile;

static void side_fill(const plan *p, const series *s, const double *q, size_t n, side *out) {
    for (size_t i = 0; i < n; i++) {
        coefficients(s, &s->f, q[i], out->f[i], out->kf[i]);
        if (p->set->ntk) coefficients(s, &s->g, q[i], out->g[i], out->kg[i]);
    }
}

static void series_layer(const plan *p, tile *t, size_t l) {
    const series *s = &p->layers[l];
    const double *qx = p->qx + l * p->n, *qy = p->qy + l * p->m;
    const side *x = &t->rows, *y = &t->columns;
    side_fill(p, s, qx + t->i0, t->i1 - t->i0, &t->rows);
    side_fill(p, s, qy + t->j0, t->j1 - t->j0, &t->columns);
    for (size_t i = t->i0; i < t->i1; i++)
        for (size_t j = t->j0; j < t->j1; j++) {
            if (p->symmetric && j < i) continue;
            size_t a = i - t->i0, b = j - t->j0;
            state *e = &t->s[a * COLS + b];
            double r = sqrt(qx[i] * qy[j]), c = r > 0 ? unit(e->k / r) : 0, gg = 0;
            if (p->symmetric && i == j) c = 1; /* acos near 1 doubles the loss of rounding */
            double ff = pair_dual(&s->f, x->f[a], y->f[b], x->kf[a], y->kf[b], qx[i], qy[j], c);
            if (p->set->ntk)
                gg = pair_dual(&s->g, x->g[a], y->g[b], x->kg[a], y->kg[b], qx[i], qy[j], c);
            grow(p, e, ff, gg);
        }
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

static void inner_products(const plan *p, tile *t) {
    size_t rows = t->i1 - t->i0, cols = t->j1 - t->j0;
    if (p->x32) {
        fanin__gemm_args g = {.m = rows,
                              .n = cols,
                              .k = p->d,
                              .alpha = 1,
                              .a = p->x32 + t->i0 * p->d,
                              .a_row = p->d,
                              .a_col = 1,
                              .b = p->y32 + t->j0 * p->d,
                              .b_row = 1,
                              .b_col = p->d,
                              .c = t->dots,
                              .c_row = COLS};
        fanin__kernels_best()->gemm(&g);
    }
    double plain = p->set->width > 0 && p->set->ntk;
    for (size_t a = 0; a < rows; a++)
        for (size_t b = 0; b < cols; b++) {
            double dot =
                p->x32 ? (double)t->dots[a * COLS + b]
                       : dot64(p->x64 + (t->i0 + a) * p->d, p->y64 + (t->j0 + b) * p->d, p->d);
            state *e = &t->s[a * COLS + b];
            e->k = first(p, dot);
            if (p->symmetric && t->i0 + a == t->j0 + b) e->k = p->qx[t->i0 + a];
            e->t = plain > 0 ? dot + (p->set->sigma_b2 > 0) : e->k;
        }
}

static void run_tile(plan *p, tile *t) {
    inner_products(p, t);
    if (p->layers) {
        for (size_t l = 0; l < p->set->depth; l++) series_layer(p, t, l);
    } else if (p->slopes) {
        for (size_t i = t->i0; i < t->i1; i++) {
            size_t j0 = p->symmetric && i > t->j0 ? i : t->j0;
            if (j0 < t->j1) slopes_row(p, &t->s[(i - t->i0) * COLS + (j0 - t->j0)], i, j0, t->j1);
        }
    } else {
        for (size_t i = t->i0; i < t->i1; i++)
            for (size_t j = t->j0; j < t->j1; j++) {
                state *e = &t->s[(i - t->i0) * COLS + (j - t->j0)];
                if (p->symmetric && j < i) continue;
                for (size_t l = 0; l < p->set->depth; l++)
                    closed_step(p, e, p->qx[l * p->n + i], p->qy[l * p->m + j]);
            }
    }
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
    /* The mirror image, along its own rows. */
    for (size_t j = t->j0; j < t->j1 && p->symmetric; j++)
        for (size_t i = t->i0; i < t->i1 && i < j; i++) {
            if (p->out64)
                p->out64[j * p->m + i] = p->out64[i * p->m + j];
            else
                p->out32[j * p->m + i] = p->out32[i * p->m + j];
        }
}

static bool side_make(side *s, size_t n) {
    s->f = fanin_calloc(n, sizeof *s->f);
    s->g = fanin_calloc(n, sizeof *s->g);
    s->kf = fanin_calloc(n, sizeof *s->kf);
    s->kg = fanin_calloc(n, sizeof *s->kg);
    return s->f && s->g && s->kf && s->kg;
}

static void side_free(side *s) {
    fanin_free(s->f);
    fanin_free(s->g);
    fanin_free(s->kf);
    fanin_free(s->kg);
}

static bool tile_make(const plan *p, tile *t) {
    *t = (tile){0};
    t->s = fanin_calloc(ROWS * COLS, sizeof *t->s);
    if (p->x32) t->dots = fanin_calloc(ROWS * COLS, sizeof *t->dots);
    return t->s && (!p->x32 || t->dots) &&
           (!p->layers || (side_make(&t->rows, ROWS) && side_make(&t->columns, COLS)));
}

static void tile_free(tile *t) {
    fanin_free(t->s);
    fanin_free(t->dots);
    side_free(&t->rows);
    side_free(&t->columns);
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

static bool two_slopes(plan *p) {
    const double *a = fanin_activation_params(p->act);
    p->high = 1;
    switch (fanin_activation_id_of(p->act)) {
    case FANIN_ACT_RELU: p->low = 0; return true;
    case FANIN_ACT_LEAKY_RELU:
    case FANIN_ACT_PRELU: p->low = a[0]; return true;
    case FANIN_ACT_RRELU: p->low = 0.5 * (a[0] + a[1]); return true;
    case FANIN_ACT_ABS: p->low = -1; return true;
    default: return false;
    }
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
    p->slopes = two_slopes(p);
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
    if (p->slopes) {
        p->layer = choose_layer();
        p->roots = fanin_calloc(qy, sizeof(double));
        if (!p->roots) return fanin_err_set(err, FANIN_NOMEM, "kernel: no memory for roots");
        for (size_t i = 0; i < qy; i++) p->roots[i] = sqrt(p->qy[i]);
    }
    fanin_parallel_for(p->n, ROWS, run_rows, p);
    if (fanin_interrupted()) return fanin_err_set(err, FANIN_INTERRUPTED, "interrupted");
    if (p->failed) return fanin_err_set(err, FANIN_NOMEM, "kernel: no memory for a tile");
    return FANIN_OK;
}

static fanin_status run(plan *p, fanin_err *err) {
    fanin_status status = check(p, err);
    if (status == FANIN_OK) status = work(p, err);
    for (size_t l = 0; p->layers && l < p->set->depth; l++) {
        fanin_free(p->layers[l].f.a);
        fanin_free(p->layers[l].g.a);
    }
    fanin_free(p->layers);
    fanin_free(p->roots);
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
    if (set->width > 0 && set->ntk)
        return fanin_err_set(err, FANIN_UNSUPPORTED,
                             "one entry needs inputs for the standard parameterisation: use "
                             "fanin_kernel_matrix");
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
