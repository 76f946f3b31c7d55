/* spectral.h - eigenvalues and singular values of operators that are known by their products only. */
#ifndef FANIN_SRC_PROBE_SPECTRAL_H
#define FANIN_SRC_PROBE_SPECTRAL_H

#include "base/base.h"

/* out = A in, or A' in. */
typedef fanin_status (*fanin__product)(void *ctx, bool transposed, const double *in, double *out);

/* An operator of rows x cols; `stream` names the random start. Memory for what earlier steps are kept
 * orthogonal to is taken while it stays below 512 MiB, else neighbours only are (which doubles found values and
 * harms neither the extreme ones nor means). */
typedef struct fanin__operator {
    size_t rows, cols;
    fanin__product product;
    void *ctx;
    uint64_t seed;
    const char *stream;
} fanin__operator;

/* Extreme eigenvalues of a symmetric operator (low NULL: the upper one only) by at most `steps` Lanczos steps, until
 * their residuals leave less than `tol` of the largest modulus, twice on end. *taken: steps (NULL: not wanted). */
fanin_status fanin__lanczos_extremes(const fanin__operator *op, int steps, double tol, double *low,
                                     double *high, int *taken);

/* Mean over the min(rows, cols) singular values, and the extreme ones found, from `probes` random starts of
 * `steps` Golub-Kahan steps: Gauss quadrature of sqrt(A'A) at unit vectors. The mean's relative error by chance is
 * about sqrt(2 / (min probes)) times the values' relative spread; `min` is an upper bound. */
typedef struct fanin__singular_summary {
    double mean, max, min, mean_square;
} fanin__singular_summary;
fanin_status fanin__golub_kahan(const fanin__operator *op, int steps, int probes,
                                fanin__singular_summary *out);

#endif
