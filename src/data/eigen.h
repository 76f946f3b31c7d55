/* eigen.h - eigenvalues and eigenvectors of a symmetric matrix, for decorrelation. */
#ifndef FANIN_SRC_DATA_EIGEN_H
#define FANIN_SRC_DATA_EIGEN_H

#include "base/base.h"

/* a (n x n, symmetric, row-major) is overwritten by the eigenvectors, one a row, orthonormal; values[i] belongs to
 * row i, greatest first. Householder's tridiagonal form, then QL with implicit shifts; about 10 n^3 operations.
 * One thread, the same bits everywhere. Errors: NOMEM; NOCONV after 50 rounds at one eigenvalue. */
fanin_status fanin__eigen_symmetric(size_t n, double *a, double *values);

#endif
