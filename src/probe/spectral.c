/* spectral.c - see spectral.h. Golub and Van Loan, Matrix Computations, 5.4, 8.3, 10.1, 10.4. */
#include "probe/spectral.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fanin/random.h"

double fanin__inner(const double *a, const double *b, size_t n) {
    double sum[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t k = 0; k < 8; k++) sum[k] += a[i + k] * b[i + k];
    for (size_t k = 0; i < n; i++, k++) sum[k] += a[i] * b[i];
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

static void add_scaled(double *y, double scale, const double *x, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] += scale * x[i];
}

/* ---- small dense ---------------------------------------------------------------------------------- */

/* One implicit QL sweep on rows l ... m, which are decoupled from the rest. */
static void ql_sweep(double *d, double *e, double *first, size_t l, size_t m) {
    double g = (d[l + 1] - d[l]) / (2 * e[l]), r = sqrt(g * g + 1);
    double s = 1, c = 1, p = 0;
    g = d[m] - d[l] + e[l] / (g + copysign(r, g));
    for (size_t i = m; i-- > l;) {
        double f = s * e[i], b = c * e[i];
        r = sqrt(f * f + g * g);
        e[i + 1] = r;
        if (r == 0) { /* splits here: the rest of the sweep has nothing to do */
            d[i + 1] -= p;
            e[m] = 0;
            return;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        if (!first) continue;
        f = first[i + 1];
        first[i + 1] = s * first[i] + c * f;
        first[i] = c * first[i] - s * f;
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0;
}

static void sort_pairs(size_t n, double *d, double *first) {
    for (size_t gap = n / 2; gap > 0; gap /= 2)
        for (size_t i = gap; i < n; i++) {
            double v = d[i], f = first ? first[i] : 0;
            size_t j = i;
            for (; j >= gap && d[j - gap] > v; j -= gap) {
                d[j] = d[j - gap];
                if (first) first[j] = first[j - gap];
            }
            d[j] = v;
            if (first) first[j] = f;
        }
}

fanin_status fanin__tridiagonal_eigen(size_t n, double *d, double *e, double *first) {
    if (n == 0) return FANIN_OK;
    e[n - 1] = 0;
    for (size_t i = 0; i < n && first; i++) first[i] = i == 0;
    for (size_t l = 0; l < n; l++) {
        for (int sweep = 0;; sweep++) {
            size_t m = l;
            while (m + 1 < n && !(fabs(e[m]) <= DBL_EPSILON * (fabs(d[m]) + fabs(d[m + 1]))) &&
                   !(fabs(e[m]) < DBL_MIN))
                m++;
            if (m == l) break;
            if (sweep == 50) return FANIN_NOCONV;
            ql_sweep(d, e, first, l, m);
        }
    }
    sort_pairs(n, d, first);
    return FANIN_OK;
}

/* Turns x[n] into a Householder vector v (v[0] = 1) with (I - tau v v') x = *beta e1; returns tau. */
static double householder(double *x, size_t n, size_t step, double *beta) {
    double norm = 0, x0 = x[0];
    for (size_t i = 1; i < n; i++) norm += x[i * step] * x[i * step];
    *beta = x0;
    x[0] = 1;
    if (norm == 0) return 0;
    double size = sqrt(x0 * x0 + norm);
    *beta = x0 > 0 ? -size : size;
    double v0 = x0 - *beta;
    for (size_t i = 1; i < n; i++) x[i * step] /= v0;
    return -v0 / *beta;
}

fanin_status fanin__symmetric_eigen(size_t n, double *a, double *w) {
    double *e = fanin_calloc(3 * n + 1, sizeof *e), *v = e + n, *p = v + n;
    if (!e) return FANIN_NOMEM;
    for (size_t k = 0; k + 1 < n; k++) {
        size_t m = n - k - 1; /* the block behind row k */
        w[k] = a[k * n + k];
        for (size_t i = 0; i < m; i++) v[i] = a[(k + 1 + i) * n + k];
        double tau = householder(v, m, 1, &e[k]), along = 0;
        if (tau == 0) continue;
        for (size_t i = 0; i < m; i++) p[i] = tau * fanin__inner(a + (k + 1 + i) * n + k + 1, v, m);
        along = tau / 2 * fanin__inner(p, v, m);
        add_scaled(p, -along, v, m);
        for (size_t i = 0; i < m; i++) {
            double *row = a + (k + 1 + i) * n + k + 1;
            for (size_t j = 0; j < m; j++) row[j] -= v[i] * p[j] + p[i] * v[j];
        }
    }
    if (n > 0) w[n - 1] = a[n * n - 1];
    fanin_status status = fanin__tridiagonal_eigen(n, w, e, NULL);
    fanin_free(e);
    return status;
}

/* a of m x n, m >= n, to bidiagonal: diagonal into d, the superdiagonal into e[n - 1]. */
static void bidiagonalise(size_t m, size_t n, double *a, double *d, double *e, double *w) {
    for (size_t k = 0; k < n; k++) {
        size_t rest = n - k - 1;
        double tau = householder(a + k * n + k, m - k, n, &d[k]);
        memset(w, 0, rest * sizeof *w);
        for (size_t i = k; i < m && tau != 0; i++)
            add_scaled(w, a[i * n + k], a + i * n + k + 1, rest);
        for (size_t i = k; i < m && tau != 0; i++)
            add_scaled(a + i * n + k + 1, -tau * a[i * n + k], w, rest);
        if (rest == 0) continue;
        double *row = a + k * n + k + 1;
        tau = householder(row, rest, 1, &e[k]);
        for (size_t i = k + 1; i < m && tau != 0; i++) {
            double along = fanin__inner(a + i * n + k + 1, row, rest);
            add_scaled(a + i * n + k + 1, -tau * along, row, rest);
        }
    }
}

fanin_status fanin__singular_values(size_t rows, size_t cols, double *a, double *sigma) {
    size_t m = rows < cols ? cols : rows, n = rows < cols ? rows : cols, cells;
    if (n == 0) return FANIN_OK;
    if (!fanin__size_mul(m, n, &cells)) return FANIN_NOMEM;
    double *work = fanin_calloc(7 * n + 1, sizeof *work), *turned = NULL;
    if (!work) return FANIN_NOMEM;
    if (rows < cols) {
        turned = fanin_calloc(cells, sizeof *turned);
        if (!turned) {
            fanin_free(work);
            return FANIN_NOMEM;
        }
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < n; j++) turned[i * n + j] = a[j * m + i];
        a = turned;
    }
    double *d = work, *e = work + n, *w = work + 2 * n, *diagonal = work + 3 * n,
           *off = work + 5 * n;
    bidiagonalise(m, n, a, d, e, w);
    for (size_t k = 0; k < n; k++) { /* its eigenvalues are +-sigma */
        off[2 * k] = d[k];
        if (k + 1 < n) off[2 * k + 1] = e[k];
    }
    fanin_status status = fanin__tridiagonal_eigen(2 * n, diagonal, off, NULL);
    for (size_t k = 0; k < n; k++) sigma[k] = fmax(diagonal[2 * n - 1 - k], 0);
    fanin_free(turned);
    fanin_free(work);
    return status;
}

/* ---- operators -------------------------------------------------------------------------------------- */

enum { BASIS_BYTES = 512 << 20 };

static void draw_unit(const fanin__operator *op, int probe, size_t n, double *v) {
    const fanin_law law = {.kind = FANIN_LAW_NORMAL, .b = 1};
    fanin_stream s = fanin_stream_init(op->seed, op->stream);
    (void)fanin_random_fill_parallel(&s, 2 * (uint32_t)probe, &law, 0, n, FANIN_F64, v);
    double size = sqrt(fanin__inner(v, v, n));
    for (size_t i = 0; i < n && size > 0; i++) v[i] /= size;
}

/* Takes out of r what lies along the kept unit vectors, twice (once leaves rounding behind). */
static void orthogonalise(const double *basis, size_t count, size_t n, double *r) {
    for (int again = 0; again < 2; again++)
        for (size_t k = 0; k < count; k++)
            add_scaled(r, -fanin__inner(basis + k * n, r, n), basis + k * n, n);
}

/* Room for `count` vectors of n if that is not too much; else *basis is NULL. */
static fanin_status take_basis(size_t count, size_t n, double **basis) {
    size_t cells;
    *basis = NULL;
    if (!fanin__size_mul(count, n, &cells) || cells > BASIS_BYTES / sizeof(double)) return FANIN_OK;
    *basis = fanin_malloc(cells * sizeof(double));
    return *basis ? FANIN_OK : FANIN_NOMEM;
}

/* The extreme Ritz values of `n` steps and what they may be off by: the residual beta_n |last component|, or its square
 * over the distance to the next value where that is less (Parlett, The Symmetric Eigenvalue Problem, 11.7). */
typedef struct ritz {
    double low, high, low_error, high_error;
} ritz;

static double ritz_error(double residual, double gap) {
    return gap > residual ? residual * residual / gap : residual;
}

static fanin_status ritz_extremes(const double *alpha, const double *beta, size_t n, double *work,
                                  ritz *out) {
    double *d = work, *e = d + n, *last = e + n;
    for (size_t i = 0; i < n; i++) { /* from the end: then the first components are the last */
        d[i] = alpha[n - 1 - i];
        e[i] = i + 1 < n ? beta[n - 2 - i] : 0;
    }
    FANIN_TRY(fanin__tridiagonal_eigen(n, d, e, last));
    double gap = n > 1 ? d[1] - d[0] : 0, residual = beta[n - 1];
    out->low = d[0];
    out->high = d[n - 1];
    out->low_error = ritz_error(residual * fabs(last[0]), gap);
    gap = n > 1 ? d[n - 1] - d[n - 2] : 0;
    out->high_error = ritz_error(residual * fabs(last[n - 1]), gap);
    return FANIN_OK;
}

static fanin_status lanczos(const fanin__operator *op, size_t steps, double tol, double *block,
                            double *basis, double *low, double *high, int *taken) {
    size_t n = op->cols;
    double *v = block, *before = v + n, *r = before + n, *alpha = r + n, *beta = alpha + steps,
           *work = beta + steps;
    int found = 0;
    draw_unit(op, 0, n, v);
    for (size_t k = 0; k < steps; k++) {
        ritz now;
        if (fanin_interrupted()) return FANIN_INTERRUPTED;
        if (basis) memcpy(basis + k * n, v, n * sizeof *v);
        FANIN_TRY(op->product(op->ctx, false, v, r));
        alpha[k] = fanin__inner(v, r, n);
        if (!isfinite(alpha[k])) return FANIN_NUMERIC;
        add_scaled(r, -alpha[k], v, n);
        if (k) add_scaled(r, -beta[k - 1], before, n);
        if (basis) orthogonalise(basis, k + 1, n, r);
        beta[k] = sqrt(fanin__inner(r, r, n));
        FANIN_TRY(ritz_extremes(alpha, beta, k + 1, work, &now));
        *high = now.high;
        if (low) *low = now.low;
        if (taken) *taken = (int)k + 1;
        double scale = fmax(fabs(now.low), fabs(now.high));
        double error = low ? fmax(now.low_error, now.high_error) : now.high_error;
        found = error <= tol * scale ? found + 1 : 0;
        if (found == 2 || beta[k] <= 1e-12 * scale) break;
        memcpy(before, v, n * sizeof *v);
        for (size_t i = 0; i < n; i++) v[i] = r[i] / beta[k];
    }
    return FANIN_OK;
}

fanin_status fanin__lanczos_extremes(const fanin__operator *op, int steps, double tol, double *low,
                                     double *high, int *taken) {
    size_t n = op->cols, most = (size_t)steps < n ? (size_t)steps : n, cells;
    *high = NAN;
    if (low) *low = NAN;
    if (n == 0) return FANIN_OK;
    if (!fanin__size_mul(3, n, &cells) || !fanin__size_add(cells, 5 * most + 8, &cells))
        return FANIN_NOMEM;
    double *block = fanin_calloc(cells, sizeof *block);
    if (!block) return FANIN_NOMEM;
    double *basis;
    fanin_status status = take_basis(most, n, &basis);
    if (status == FANIN_OK) status = lanczos(op, most, tol, block, basis, low, high, taken);
    fanin_free(basis);
    fanin_free(block);
    return status;
}

/* One start. n is the smaller side, m the larger: `flip` says that A itself maps m to n. */
static fanin_status golub_kahan(const fanin__operator *op, bool flip, size_t n, size_t m,
                                size_t steps, int probe, double *block, double *basis,
                                fanin__singular_summary *sum) {
    double *v = block, *r = v + n, *u = r + n, *p = u + m, *off = p + m, *d = off + 2 * steps,
           *first = d + 2 * steps;
    size_t count = 0; /* entries of `off`: alpha, beta, alpha, ... */
    memset(u, 0, m * sizeof *u);
    draw_unit(op, probe, n, v);
    for (size_t k = 0; k < steps; k++) {
        if (fanin_interrupted()) return FANIN_INTERRUPTED;
        if (basis) memcpy(basis + k * n, v, n * sizeof *v);
        FANIN_TRY(op->product(op->ctx, flip, v, p));
        if (k) add_scaled(p, -off[count - 1], u, m);
        if (basis) orthogonalise(basis + steps * n, k, m, p);
        double alpha = sqrt(fanin__inner(p, p, m));
        if (!isfinite(alpha)) return FANIN_NUMERIC;
        off[count++] = alpha;
        if (!(alpha > 0)) break;
        for (size_t i = 0; i < m; i++) u[i] = p[i] / alpha;
        if (basis) memcpy(basis + steps * n + k * m, u, m * sizeof *u);
        if (k + 1 == steps) break;
        FANIN_TRY(op->product(op->ctx, !flip, u, r));
        add_scaled(r, -alpha, v, n);
        if (basis) orthogonalise(basis, k + 1, n, r);
        double beta = sqrt(fanin__inner(r, r, n));
        if (!(beta > 1e-10 * alpha)) break;
        off[count++] = beta;
        for (size_t i = 0; i < n; i++) v[i] = r[i] / beta;
    }
    memset(d, 0, (count + 1) * sizeof *d);
    FANIN_TRY(fanin__tridiagonal_eigen(count + 1, d, off, first));
    double low = INFINITY;
    for (size_t i = 0; i <= count; i++) {
        double value = fabs(d[i]), weight = first[i] * first[i];
        sum->mean += weight * value;
        sum->mean_square += weight * value * value;
        sum->max = fmax(sum->max, value);
        low = fmin(low, value);
    }
    sum->min = fmin(sum->min, low);
    return FANIN_OK;
}

fanin_status fanin__golub_kahan(const fanin__operator *op, int wanted, int probes,
                                fanin__singular_summary *out) {
    bool flip = op->rows < op->cols;
    size_t n = flip ? op->rows : op->cols, m = flip ? op->cols : op->rows, cells;
    size_t steps = (size_t)wanted < n ? (size_t)wanted : n;
    *out = (fanin__singular_summary){NAN, NAN, NAN, NAN};
    if (n == 0) return FANIN_OK;
    if (!fanin__size_add(n, m, &cells) || !fanin__size_mul(2, cells, &cells) ||
        !fanin__size_add(cells, 6 * steps + 16, &cells))
        return FANIN_NOMEM;
    double *block = fanin_calloc(cells, sizeof *block);
    if (!block) return FANIN_NOMEM;
    double *basis;
    fanin__singular_summary sum = {.min = INFINITY};
    fanin_status status = take_basis(steps, n + m, &basis);
    for (int k = 0; k < probes && status == FANIN_OK; k++)
        status = golub_kahan(op, flip, n, m, steps, k, block, basis, &sum);
    fanin_free(basis);
    fanin_free(block);
    if (status != FANIN_OK) return status;
    *out = (fanin__singular_summary){sum.mean / probes, sum.max, sum.min, sum.mean_square / probes};
    return FANIN_OK;
}
