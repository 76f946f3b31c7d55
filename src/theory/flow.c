/* Kernel regression and its time course under gradient flow. */
#include <math.h>
#include <string.h>

#include "theory/theory.h"

/* Cyclic Jacobi: slow (n^3 a sweep, some 8 sweeps) and exact; rows of v become eigenvectors. */
static fanin_status jacobi(void *ctx, size_t n, double *a, double *w, fanin_err *err) {
    (void)ctx;
    if (n > 2000)
        return fanin_err_set(err, FANIN_LIMIT,
                             "%zu training points: the built-in decomposition stops at 2000; give "
                             "one of your own",
                             n);
    double *v = fanin_calloc(n, n * sizeof *v);
    if (!v) return fanin_err_set(err, FANIN_NOMEM, "eigenvectors: no memory");
    for (size_t i = 0; i < n; i++) v[i * n + i] = 1;
    double total = 0;
    for (size_t i = 0; i < n * n; i++) total += a[i] * a[i];
    for (int sweep = 0; sweep < 60; sweep++) {
        double off = 0;
        for (size_t i = 0; i < n; i++)
            for (size_t j = i + 1; j < n; j++) off += a[i * n + j] * a[i * n + j];
        if (off <= 1e-32 * total) break;
        for (size_t i = 0; i < n; i++)
            for (size_t j = i + 1; j < n; j++) {
                double apq = a[i * n + j];
                if (apq == 0) continue;
                double theta = (a[j * n + j] - a[i * n + i]) / (2 * apq);
                double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1));
                double c = 1 / sqrt(t * t + 1), s = t * c;
                for (size_t k = 0; k < n; k++) {
                    double x = a[i * n + k], y = a[j * n + k];
                    a[i * n + k] = c * x - s * y;
                    a[j * n + k] = s * x + c * y;
                    x = v[i * n + k], y = v[j * n + k];
                    v[i * n + k] = c * x - s * y;
                    v[j * n + k] = s * x + c * y;
                }
                for (size_t k = 0; k < n; k++) {
                    double x = a[k * n + i], y = a[k * n + j];
                    a[k * n + i] = c * x - s * y;
                    a[k * n + j] = s * x + c * y;
                }
            }
    }
    for (size_t i = 0; i < n; i++) w[i] = a[i * n + i];
    memcpy(a, v, n * n * sizeof *v);
    fanin_free(v);
    return FANIN_OK;
}

/* coefficients (n x c) = V' diag((1 - e^{-eta w t})/w) V y */
static void filter(const double *v, const double *w, size_t n, const double *y, size_t c,
                   double rate, double cut, double *coef) {
    memset(coef, 0, n * c * sizeof *coef);
    for (size_t k = 0; k < n; k++) {
        if (!(w[k] > cut)) continue;
        double gain = isinf(rate) ? 1 / w[k] : -expm1(-rate * w[k]) / w[k];
        for (size_t o = 0; o < c; o++) {
            double along = 0;
            for (size_t i = 0; i < n; i++) along += v[k * n + i] * y[i * c + o];
            for (size_t i = 0; i < n; i++) coef[i * c + o] += gain * along * v[k * n + i];
        }
    }
}

fanin_status fanin_kernel_flow(double *t_train, size_t n, const double *t_test, size_t m,
                               const double *y, size_t c, double eta, double time, double ridge,
                               fanin_eigen_fn eigen, void *ctx, double *out, fanin_err *err) {
    size_t cells;
    if (n == 0 || !fanin__size_mul(n, c, &cells) || !(eta > 0) || !(time >= 0) || !(ridge >= 0))
        return fanin_err_set(err, FANIN_ARG,
                             "kernel flow: %zu points, rate %g (above 0), time %g (from 0 on)", n,
                             eta, time);
    double *w = fanin_calloc(n, sizeof *w), *coef = fanin_calloc(cells, sizeof *coef), top = 0;
    fanin_status status = FANIN_NOMEM;
    if (w && coef)
        status = (eigen ? eigen : jacobi)(ctx, n, t_train, w, err);
    else
        fanin_err_set(err, FANIN_NOMEM, "kernel flow: no memory");
    if (status == FANIN_OK) {
        for (size_t k = 0; k < n; k++) top = fmax(top, w[k]);
        filter(t_train, w, n, y, c, eta * time, (ridge > 0 ? ridge : 1e-14) * top, coef);
        for (size_t i = 0; i < m; i++)
            for (size_t o = 0; o < c; o++) {
                double sum = 0;
                for (size_t k = 0; k < n; k++) sum += t_test[i * n + k] * coef[k * c + o];
                out[i * c + o] = sum;
            }
    }
    fanin_free(w);
    fanin_free(coef);
    return status;
}
