/* compat_qr.c - the orthogonal factor of a tall matrix with R's diagonal made positive.
 *
 * With that sign convention Q is unique, so any stable factorisation agrees with LAPACK's up to
 * rounding. Householder reflections, in double whatever the tensor's type, applied row by row so
 * that the inner loops run along memory; every sum has one fixed order.
 */
#include <math.h>
#include <string.h>

#include "random/compat.h"

/* w = v' A over rows [first, rows), columns [col, cols); then A -= v (beta w). v is column `k`
 * of the matrix `v`, of row stride `cols`. */
static void reflect(double *a, const double *v, size_t k, size_t rows, size_t cols, size_t col,
                    double beta, double *w) {
    memset(w + col, 0, (cols - col) * sizeof *w);
    for (size_t i = k; i < rows; i++) {
        double vi = v[i * cols + k];
        for (size_t j = col; j < cols; j++) w[j] += vi * a[i * cols + j];
    }
    for (size_t i = k; i < rows; i++) {
        double s = beta * v[i * cols + k];
        for (size_t j = col; j < cols; j++) a[i * cols + j] -= s * w[j];
    }
}

/* Column k below its diagonal becomes the reflection vector (v_k included); returns R_kk. */
static double make_vector(double *a, size_t k, size_t rows, size_t cols, double *beta) {
    double norm2 = 0;
    for (size_t i = k; i < rows; i++) norm2 += a[i * cols + k] * a[i * cols + k];
    double norm = sqrt(norm2), head = a[k * cols + k];
    *beta = 0;
    if (norm == 0) return 0;
    double r = head > 0 ? -norm : norm; /* away from cancellation */
    a[k * cols + k] = head - r;
    *beta = 1 / (norm2 - head * r);
    return r;
}

void fanin__qr_signed(double *a, size_t rows, size_t cols, double *work) {
    double *v = work, *beta = work + rows * cols, *w = beta + cols;
    memcpy(v, a, rows * cols * sizeof *v);
    for (size_t k = 0; k < cols; k++) {
        double r = make_vector(v, k, rows, cols, &beta[k]);
        if (k + 1 < cols) reflect(v, v, k, rows, cols, k + 1, beta[k], w);
        /* The diagonal of R is only needed for its sign, kept in the start of Q's column. */
        for (size_t i = 0; i < rows; i++) a[i * cols + k] = 0;
        a[k * cols + k] = r > 0 ? 1 : r < 0 ? -1 : 0;
    }
    for (size_t k = cols; k-- > 0;) reflect(a, v, k, rows, cols, k, beta[k], w);
}
