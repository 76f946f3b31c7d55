/* eigen.c - Golub & Van Loan, Matrix Computations, sections 8.3.1 and 8.3.3 (implicit shifts of Wilkinson). All inner
 * loops run along rows. */
#include "data/eigen.h"

#include <float.h>
#include <math.h>
#include <string.h>

static void axpy(size_t n, double a, const double *x, double *y) {
    for (size_t i = 0; i < n; i++) y[i] += a * x[i];
}

static double dot(size_t n, const double *x, const double *y) {
    double s = 0;
    for (size_t i = 0; i < n; i++) s += x[i] * y[i];
    return s;
}

/* x becomes v of I - beta v v', which turns it into (alpha, 0, ...): *alpha is returned. */
static double reflector(size_t n, double *x, double *alpha) {
    double rest = dot(n - 1, x + 1, x + 1), first = x[0];
    *alpha = first;
    if (rest == 0) return 0;
    double size = sqrt(first * first + rest);
    *alpha = first > 0 ? -size : size;
    x[0] = first - *alpha;
    return 2 / (x[0] * x[0] + rest);
}

/* Row k of a, behind the diagonal, keeps reflector k; d and e are the tridiagonal form. */
static void tridiagonal(size_t n, double *a, double *d, double *e, double *beta, double *p) {
    for (size_t k = 0; k + 1 < n; k++) {
        size_t m = n - k - 1;
        double *v = a + k * n + k + 1, *block = a + (k + 1) * n + k + 1;
        d[k] = a[k * n + k];
        beta[k] = reflector(m, v, &e[k]);
        if (beta[k] == 0) continue;
        for (size_t i = 0; i < m; i++) p[i] = beta[k] * dot(m, block + i * n, v);
        axpy(m, -beta[k] / 2 * dot(m, p, v), v, p);
        for (size_t i = 0; i < m; i++) {
            axpy(m, -v[i], p, block + i * n);
            axpy(m, -p[i], v, block + i * n);
        }
    }
    d[n - 1] = a[n * n - 1];
    e[n - 1] = 0;
}

/* z = (H0 H1 ...)': the product grows from its last reflector, whose row and column k are those of 1, and a row
 * of z times H_k loses beta (row . v) v. */
static void accumulate(size_t n, const double *a, const double *beta, double *z) {
    for (size_t i = 0; i < n; i++) z[i * n + i] = 1;
    for (size_t k = n - 1; k-- > 0;) {
        const double *v = a + k * n + k + 1;
        size_t m = n - k - 1;
        for (size_t i = k + 1; i < n && beta[k] != 0; i++)
            axpy(m, -beta[k] * dot(m, z + i * n + k + 1, v), v, z + i * n + k + 1);
    }
}

/* Row pair (i, i + 1) turned by (c, s). */
static void turn(size_t n, double *x, double *y, double c, double s) {
    for (size_t i = 0; i < n; i++) {
        double f = y[i];
        y[i] = s * x[i] + c * f;
        x[i] = c * x[i] - s * f;
    }
}

/* One eigenvalue after the other is split off at the top. */
static fanin_status implicit_ql(size_t n, double *d, double *e, double *z) {
    double norm = 0;
    for (size_t i = 0; i < n; i++) norm = fmax(norm, fabs(d[i]) + fabs(e[i]));
    for (size_t l = 0; l < n; l++) {
        for (int round = 0;; round++) {
            size_t m = l;
            while (m + 1 < n && fabs(e[m]) > DBL_EPSILON * norm) m++;
            if (m == l) break;
            if (round == 50) return FANIN_NOCONV;
            double g = (d[l + 1] - d[l]) / (2 * e[l]), r = hypot(g, 1);
            g = d[m] - d[l] + e[l] / (g + copysign(r, g));
            double s = 1, c = 1, p = 0;
            size_t i = m;
            while (i-- > l) {
                double f = s * e[i], b = c * e[i];
                r = hypot(f, g);
                e[i + 1] = r;
                if (r == 0) {
                    d[i + 1] -= p;
                    e[m] = 0;
                    break;
                }
                s = f / r;
                c = g / r;
                g = d[i + 1] - p;
                r = (d[i] - g) * s + 2 * c * b;
                p = s * r;
                d[i + 1] = g + p;
                g = c * r - b;
                turn(n, z + i * n, z + (i + 1) * n, c, s);
            }
            if (r == 0 && i + 1 > l) continue;
            d[l] -= p;
            e[l] = g;
            e[m] = 0;
        }
    }
    return FANIN_OK;
}

static void sort_descending(size_t n, double *d, double *z, double *w) {
    for (size_t i = 0; i + 1 < n; i++) {
        size_t best = i;
        for (size_t k = i + 1; k < n; k++)
            if (d[k] > d[best]) best = k;
        if (best == i) continue;
        double t = d[i];
        d[i] = d[best];
        d[best] = t;
        memcpy(w, z + i * n, n * sizeof *w);
        memcpy(z + i * n, z + best * n, n * sizeof *w);
        memcpy(z + best * n, w, n * sizeof *w);
    }
}

fanin_status fanin__eigen_symmetric(size_t n, double *a, double *values) {
    size_t count;
    if (n == 0) return FANIN_OK;
    if (!fanin__size_mul(n, n + 3, &count)) return FANIN_NOMEM;
    double *z = fanin_calloc(count, sizeof *z);
    if (!z) return FANIN_NOMEM;
    double *e = z + n * n, *beta = e + n, *w = beta + n;
    tridiagonal(n, a, values, e, beta, w);
    accumulate(n, a, beta, z);
    fanin_status status = implicit_ql(n, values, e, z);
    if (status == FANIN_OK) {
        sort_descending(n, values, z, w);
        memcpy(a, z, n * n * sizeof *a);
    }
    fanin_free(z);
    return status;
}
