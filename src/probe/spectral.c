/* spectral.c - see spectral.h. Golub and Van Loan, Matrix Computations, 10.1, 10.4. */
#include "probe/spectral.h"

#include <math.h>
#include <string.h>

#include "compute/eigen.h"
#include "fanin/random.h"

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
            fanin__add_scaled(r, -fanin__inner(basis + k * n, r, n), basis + k * n, n);
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
    for (size_t i = 0; i < n; i++) last[i] = i == 0;
    FANIN_TRY(fanin__tridiagonal_eigen(n, d, e, 1, last));
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
        fanin__add_scaled(r, -alpha[k], v, n);
        if (k) fanin__add_scaled(r, -beta[k - 1], before, n);
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
        if (k) fanin__add_scaled(p, -off[count - 1], u, m);
        if (basis) orthogonalise(basis + steps * n, k, m, p);
        double alpha = sqrt(fanin__inner(p, p, m));
        if (!isfinite(alpha)) return FANIN_NUMERIC;
        off[count++] = alpha;
        if (!(alpha > 0)) break;
        for (size_t i = 0; i < m; i++) u[i] = p[i] / alpha;
        if (basis) memcpy(basis + steps * n + k * m, u, m * sizeof *u);
        if (k + 1 == steps) break;
        FANIN_TRY(op->product(op->ctx, !flip, u, r));
        fanin__add_scaled(r, -alpha, v, n);
        if (basis) orthogonalise(basis, k + 1, n, r);
        double beta = sqrt(fanin__inner(r, r, n));
        if (!(beta > 1e-10 * alpha)) break;
        off[count++] = beta;
        for (size_t i = 0; i < n; i++) v[i] = r[i] / beta;
    }
    memset(d, 0, (count + 1) * sizeof *d);
    for (size_t i = 0; i <= count; i++) first[i] = i == 0;
    FANIN_TRY(fanin__tridiagonal_eigen(count + 1, d, off, 1, first));
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
