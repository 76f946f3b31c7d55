/* init/haar_lay.h - what haar.c does to every number between drawing and multiplying: squares of columns, and reflectors
 * scaled and laid out as the product wants them. The same source compiled three times; no fma, no order that
 * could change: the same bits. */
#ifndef FANIN_SRC_INIT_HAAR_LAY_H
#define FANIN_SRC_INIT_HAAR_LAY_H

#include "compute/fma_gemm.h"
#include "init/haar.h"

enum { FANIN__HAAR_BLOCK = 96 }; /* reflectors at once: 8 tiles, 3 strips */

/* V three times: in panels [column / 32][row][32], V' in tiles [column / 12][row][12], V in tiles [row / 12][column][12]. */
typedef struct fanin__haar_layouts {
    float *panels, *across, *down;
} fanin__haar_layouts;

typedef struct fanin__haar_lay {
    /* Of `columns` <= BLOCK columns from the diagonal down: rows in order, each sum one chain. */
    void (*squares)(const float *x, size_t x_row, size_t rows, size_t columns, double *sum);
    /* V = x scale, rounded, zero on and above the diagonal; rest: the squares of what was rounded, BLOCK of them, added
     * to. */
    void (*rows)(const float *x, size_t x_row, size_t rows, size_t columns, const double *scale,
                 double *rest, fanin__haar_layouts to);
    /* c[i][j] += sum over k of a[k][i] b[k][j], BAND x BAND, each element one chain of products and sums over k. */
    void (*gram)(size_t depth, const double *a, const double *b, double *c);
} fanin__haar_lay;

enum { FANIN__HAAR_BAND = 16 };

const fanin__haar_lay *fanin__haar_lay_ref(void);
const fanin__haar_lay *fanin__haar_lay_avx2(void);   /* NULL: not built */
const fanin__haar_lay *fanin__haar_lay_avx512(void); /* NULL: not built */
const fanin__haar_lay *fanin__haar_lay_select(void);

#endif
