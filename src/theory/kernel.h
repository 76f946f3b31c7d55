/* kernel.h - what the files of kernel matrices share. Private. */
#ifndef FANIN_SRC_THEORY_KERNEL_H
#define FANIN_SRC_THEORY_KERNEL_H

#include "theory/slopes.h"
#include "theory/theory.h"

#define TERMS 128 /* of a Hermite series */
#define NODES 28
#define ROWS  48  /* of a tile */
#define COLS  256 /* of a tile */

/* Hermite coefficients of one function (f or f') at one layer as functions of ln q on Chebyshev nodes,
 * less those of its kinks, which oscillate and are added at each q. */
typedef struct half {
    fanin__kinks kinks;
    double (*a)[TERMS + 1]; /* the last one is the rest's root */
} half;

typedef struct series {
    double lo, hi;
    int nodes;
    double at[NODES], pull[NODES]; /* nodes and barycentric weights */
    half f, g;
    double second[NODES];
} series;

typedef struct plan {
    const fanin_activation *act;
    const fanin_kernel_settings *set;
    bool closed, slopes; /* slopes: two straight lines through 0, worked in line */
    bool narrow;         /* those in float, when inputs are and no variance is far from 1 */
    double low, high;    /* those slopes */
    size_t n, m, d;
    const double *x64, *y64;
    const float *x32, *y32;
    double *qx, *qy;             /* (depth + 1) x n and x m: K^{l+1} of each row with itself */
    double *roots;               /* of qy */
    float *roots32, *inverses32; /* roots and 1/roots */
    const fanin__slopes_kernels *kernels;
    series *layers; /* NULL when closed */
    double *out64;
    float *out32;
    bool symmetric, failed;
} plan;

typedef struct state {
    double k, t; /* K^{l+1}, T^{l+1} of a pair */
} state;

/* Coefficients of the rows or columns of a tile. */
typedef struct side {
    double (*f)[TERMS + 1], (*g)[TERMS + 1]; /* of f, f' */
    double (*kf)[TERMS], (*kg)[TERMS];       /* of their kinks */
} side;

typedef struct tile {
    size_t i0, i1, j0, j1;
    state *s;      /* ROWS x COLS; not for slopes */
    float *dots32; /* inner products of the inputs, one of the two */
    double *dots64;
    side rows, columns;
} tile;

static inline void grow(const plan *p, state *s, double ff, double gg) {
    const fanin_kernel_settings *set = p->set;
    s->k = set->sigma_w2 * ff + set->sigma_b2;
    double own = set->width > 0 ? set->width * ff + (set->sigma_b2 > 0) : s->k;
    s->t = own + set->sigma_w2 * s->t * gg;
}

static inline double unit(double c) { return c > 1 ? 1 : c < -1 ? -1 : c; }

/* kernel_series.c */
fanin_status fanin__series_make(const plan *p, series *s, double lo, double hi, fanin_err *err);
void fanin__series_free(series *s);
double fanin__series_second(const series *s, double q); /* E f^2 */
void fanin__series_layer(const plan *p, tile *t, size_t l);
bool fanin__side_make(side *s, size_t n);
void fanin__side_free(side *s);

/* kernel_slopes.c */
bool fanin__slopes_of(plan *p); /* fills low, high, kernels; false: another kind of function */
fanin_status fanin__slopes_prepare(plan *p, fanin_err *err);
void fanin__slopes_tile(const plan *p, tile *t);

#endif
