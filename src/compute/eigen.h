/* eigen.h - eigenvalues, eigenvectors and singular values of dense matrices of moderate size. One thread, the same bits
 * everywhere; LAPACK (fanin/compute.h) is for the large ones. */
#ifndef FANIN_SRC_COMPUTE_EIGEN_H
#define FANIN_SRC_COMPUTE_EIGEN_H

#include "base/base.h"

/* Eigenvalues of the symmetric tridiagonal matrix T with diagonal d[n] and off-diagonal e[n - 1] (room for n),
 * ascending into d; e is destroyed. z (n x width, row-major; NULL: none) becomes V'z, the rows of V' being T's unit
 * eigenvectors in the same order: with width 1 and z = (1, 0, ...) their first components. Implicit QL; NOCONV after
 * 50 sweeps for one value. */
fanin_status fanin__tridiagonal_eigen(size_t n, double *d, double *e, size_t width, double *z);

/* a (n x n, symmetric, row-major) is overwritten by the eigenvectors, one a row, orthonormal; values[i] belongs to
 * row i, greatest first. Absolute error about n eps |a|; about 10 n^3 operations. NOMEM, NOCONV. */
fanin_status fanin__symmetric_eigen(size_t n, double *a, double *values);

/* Singular values, descending, of a (rows x cols, row-major, destroyed) into sigma[min(rows, cols)].
 * Bidiagonalised, then the tridiagonal matrix with eigenvalues +-sigma: the small ones have the same
 * absolute error as the large ones. NOMEM, NOCONV. */
fanin_status fanin__singular_values(size_t rows, size_t cols, double *a, double *sigma);

double fanin__inner(const double *a, const double *b, size_t n);            /* fixed order */
void fanin__add_scaled(double *y, double scale, const double *x, size_t n); /* y += scale x */

#endif
