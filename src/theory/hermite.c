/* Hermite coefficients on a fixed composite rule: the recurrence runs over all nodes at once, so
 * 256 coefficients cost a fifth of a millisecond. Between zeros of h_k there are enough nodes up
 * to k about 1000. */
#include <math.h>

#include "theory/theory.h"

/* z, w, f w, h_{k-1}, h_k of `n` nodes in one block. */
typedef struct rule {
    size_t n;
    double *block, *z, *fw, *a, *b;
} rule;

static fanin_status rule_make(rule *r, const fanin_activation *act, int order, double q,
                              double *total, fanin_err *err) {
    double breaks[FANIN__BREAKS], s = sqrt(q);
    size_t cuts = fanin__gauss_breaks(act, 0, q, breaks, FANIN__BREAKS);
    r->n = fanin__gauss_nodes(breaks, cuts, NULL, NULL, 0);
    r->block = fanin_calloc(r->n, 4 * sizeof(double));
    if (!r->block) return fanin_err_set(err, FANIN_NOMEM, "Hermite series: no memory");
    r->z = r->block;
    r->fw = r->z + r->n;
    r->a = r->fw + r->n;
    r->b = r->a + r->n;
    fanin__gauss_nodes(breaks, cuts, r->z, r->fw, r->n);
    for (size_t i = 0; i < r->n; i++) r->a[i] = s * r->z[i];
    fanin_activation_eval(act, order, r->a, r->a, r->n);
    double sum = 0;
    for (size_t i = 0; i < r->n; i++) {
        sum += r->a[i] * r->a[i] * r->fw[i];
        r->fw[i] *= r->a[i];
        r->a[i] = 0;
        r->b[i] = 1;
    }
    *total = sum;
    if (isfinite(sum)) return FANIN_OK;
    fanin_free(r->block);
    return fanin__gauss_fail(err, FANIN_DOMAIN, act, q, 13);
}

fanin_status fanin__hermite(const fanin_activation *act, int order, double q, size_t n, double *a,
                            double *total, fanin_err *err) {
    rule r;
    FANIN_TRY(rule_make(&r, act, order, q, total, err));
    for (size_t k = 0; k < n; k++) {
        double sum[8] = {0}, c = -sqrt((double)k / (double)(k + 1)), d = 1 / sqrt((double)(k + 1));
        size_t i = 0;
        for (; i + 8 <= r.n; i += 8)
            for (size_t j = 0; j < 8; j++) {
                double h = r.b[i + j];
                sum[j] += r.fw[i + j] * h;
                r.b[i + j] = d * r.z[i + j] * h + c * r.a[i + j];
                r.a[i + j] = h;
            }
        for (; i < r.n; i++) {
            double h = r.b[i];
            sum[0] += r.fw[i] * h;
            r.b[i] = d * r.z[i] * h + c * r.a[i];
            r.a[i] = h;
        }
        a[k] = ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
    }
    fanin_free(r.block);
    return FANIN_OK;
}

fanin_status fanin_gaussian_hermite(const fanin_activation *act, double q, size_t n, double *a,
                                    double *rest, fanin_err *err) {
    if (n > 1024 || !(q > 0) || q > 1e30)
        return fanin_err_set(err, FANIN_ARG,
                             "%zu Hermite coefficients at variance %g (at most 1024, above 0)", n,
                             q);
    double total, sum = 0;
    FANIN_TRY(fanin__hermite(act, 0, q, n, a, &total, err));
    for (size_t k = 0; k < n; k++) sum += a[k] * a[k];
    if (rest) *rest = fmax(0, total - sum);
    return FANIN_OK;
}
