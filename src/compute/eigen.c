/* eigen.c - see eigen.h. Golub and Van Loan, Matrix Computations, 5.4, 8.3. All inner loops run along rows. */
#include "compute/eigen.h"

#include <float.h>
#include <math.h>
#include <string.h>

double fanin__inner(const double *a, const double *b, size_t n) {
    double sum[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t k = 0; k < 8; k++) sum[k] += a[i + k] * b[i + k];
    for (size_t k = 0; i < n; i++, k++) sum[k] += a[i] * b[i];
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

void fanin__add_scaled(double *y, double scale, const double *x, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] += scale * x[i];
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

/* ---- tridiagonal ------------------------------------------------------------------------------------ */

/* Rows x and y turned by (c, s). */
static void turn(size_t n, double *x, double *y, double c, double s) {
    for (size_t i = 0; i < n; i++) {
        double f = y[i];
        y[i] = s * x[i] + c * f;
        x[i] = c * x[i] - s * f;
    }
}

/* One implicit QL sweep on rows l ... m, which are decoupled from the rest. */
static void ql_sweep(double *d, double *e, size_t width, double *z, size_t l, size_t m) {
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
        if (z) turn(width, z + i * width, z + (i + 1) * width, c, s);
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0;
}

static void swap_rows(size_t n, double *x, double *y) {
    for (size_t i = 0; i < n; i++) {
        double t = x[i];
        x[i] = y[i];
        y[i] = t;
    }
}

static void sort_pairs(size_t n, double *d, size_t width, double *z) {
    for (size_t i = 0; i + 1 < n; i++) {
        size_t least = i;
        for (size_t k = i + 1; k < n; k++)
            if (d[k] < d[least]) least = k;
        if (least == i) continue;
        swap_rows(1, d + i, d + least);
        if (z) swap_rows(width, z + i * width, z + least * width);
    }
}

fanin_status fanin__tridiagonal_eigen(size_t n, double *d, double *e, size_t width, double *z) {
    double norm = 0;
    if (n == 0) return FANIN_OK;
    e[n - 1] = 0;
    for (size_t i = 0; i < n; i++) norm = fmax(norm, fabs(d[i]) + fabs(e[i]));
    for (size_t l = 0; l < n; l++) {
        for (int sweep = 0;; sweep++) {
            size_t m = l;
            /* of the norm: beside numbers that should be 0 nothing ever is small */
            while (m + 1 < n && !(fabs(e[m]) <= DBL_EPSILON * norm)) m++;
            if (m == l) break;
            if (sweep == 50) return FANIN_NOCONV;
            ql_sweep(d, e, width, z, l, m);
        }
    }
    sort_pairs(n, d, width, z);
    return FANIN_OK;
}

/* ---- symmetric -------------------------------------------------------------------------------------- */

/* Row k of a, behind the diagonal, keeps the Householder vector k; d and e are the tridiagonal form. */
static void tridiagonalise(size_t n, double *a, double *d, double *e, double *tau, double *p) {
    for (size_t k = 0; k + 1 < n; k++) {
        size_t m = n - k - 1;
        double *v = a + k * n + k + 1, *block = a + (k + 1) * n + k + 1;
        d[k] = a[k * n + k];
        tau[k] = householder(v, m, 1, &e[k]);
        if (tau[k] == 0) continue;
        for (size_t i = 0; i < m; i++) p[i] = tau[k] * fanin__inner(block + i * n, v, m);
        fanin__add_scaled(p, -tau[k] / 2 * fanin__inner(p, v, m), v, m);
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < m; j++) block[i * n + j] -= v[i] * p[j] + p[i] * v[j];
    }
    d[n - 1] = a[n * n - 1];
}

/* z = (H0 H1 ...)': the product grows from its last reflector, whose row and column k are those of 1, and a row
 * of z times H_k loses tau (row . v) v. */
static void accumulate(size_t n, const double *a, const double *tau, double *z) {
    for (size_t i = 0; i < n; i++) z[i * n + i] = 1;
    for (size_t k = n - 1; k-- > 0;) {
        const double *v = a + k * n + k + 1;
        size_t m = n - k - 1;
        for (size_t i = k + 1; i < n && tau[k] != 0; i++) {
            double *row = z + i * n + k + 1;
            fanin__add_scaled(row, -tau[k] * fanin__inner(row, v, m), v, m);
        }
    }
}

fanin_status fanin__symmetric_eigen(size_t n, double *a, double *values) {
    size_t count;
    if (n == 0) return FANIN_OK;
    if (!fanin__size_mul(n, n + 3, &count)) return FANIN_NOMEM;
    double *z = fanin_calloc(count, sizeof *z);
    if (!z) return FANIN_NOMEM;
    double *e = z + n * n, *tau = e + n, *p = tau + n;
    tridiagonalise(n, a, values, e, tau, p);
    accumulate(n, a, tau, z);
    fanin_status status = fanin__tridiagonal_eigen(n, values, e, n, z);
    for (size_t i = 0; i < n && status == FANIN_OK; i++)
        memcpy(a + i * n, z + (n - 1 - i) * n, n * sizeof *a);
    for (size_t i = 0; i < n / 2; i++) swap_rows(1, values + i, values + n - 1 - i);
    fanin_free(z);
    return status;
}

/* ---- singular values -------------------------------------------------------------------------------- */

/* a of m x n, m >= n, to bidiagonal: diagonal into d, the superdiagonal into e[n - 1]. */
static void bidiagonalise(size_t m, size_t n, double *a, double *d, double *e, double *w) {
    for (size_t k = 0; k < n; k++) {
        size_t rest = n - k - 1;
        double tau = householder(a + k * n + k, m - k, n, &d[k]);
        memset(w, 0, rest * sizeof *w);
        for (size_t i = k; i < m && tau != 0; i++)
            fanin__add_scaled(w, a[i * n + k], a + i * n + k + 1, rest);
        for (size_t i = k; i < m && tau != 0; i++)
            fanin__add_scaled(a + i * n + k + 1, -tau * a[i * n + k], w, rest);
        if (rest == 0) continue;
        double *row = a + k * n + k + 1;
        tau = householder(row, rest, 1, &e[k]);
        for (size_t i = k + 1; i < m && tau != 0; i++) {
            double along = fanin__inner(a + i * n + k + 1, row, rest);
            fanin__add_scaled(a + i * n + k + 1, -tau * along, row, rest);
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
    fanin_status status = fanin__tridiagonal_eigen(2 * n, diagonal, off, 0, NULL);
    for (size_t k = 0; k < n; k++) sigma[k] = fmax(diagonal[2 * n - 1 - k], 0);
    fanin_free(turned);
    fanin_free(work);
    return status;
}
