/* Kernel matrices of activations without closed forms: Hermite series at the variances of each row,
 * completed by the tail of kinks. */
#include <math.h>
#include <string.h>

#include "theory/kernel.h"

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

fanin_status fanin__series_make(const plan *p, series *s, double lo, double hi, fanin_err *err) {
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

double fanin__series_second(const series *s, double q) {
    double w[NODES], sum = 0, log_q = log(q);
    spread(s, log_q < s->lo ? s->lo : log_q > s->hi ? s->hi : log_q, w);
    for (int i = 0; i < s->nodes; i++) sum += w[i] * s->second[i];
    return sum;
}

void fanin__series_free(series *s) {
    fanin_free(s->f.a);
    fanin_free(s->g.a);
}

/* ---- pairs ----------------------------------------------------------------------------- */

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

/* ---- tiles ----------------------------------------------------------------------------- */

bool fanin__side_make(side *s, size_t n) {
    s->f = fanin_calloc(n, sizeof *s->f);
    s->g = fanin_calloc(n, sizeof *s->g);
    s->kf = fanin_calloc(n, sizeof *s->kf);
    s->kg = fanin_calloc(n, sizeof *s->kg);
    return s->f && s->g && s->kf && s->kg;
}

void fanin__side_free(side *s) {
    fanin_free(s->f);
    fanin_free(s->g);
    fanin_free(s->kf);
    fanin_free(s->kg);
}

static void side_fill(const plan *p, const series *s, const double *q, size_t n, side *out) {
    for (size_t i = 0; i < n; i++) {
        coefficients(s, &s->f, q[i], out->f[i], out->kf[i]);
        if (p->set->ntk) coefficients(s, &s->g, q[i], out->g[i], out->kg[i]);
    }
}

void fanin__series_layer(const plan *p, tile *t, size_t l) {
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
