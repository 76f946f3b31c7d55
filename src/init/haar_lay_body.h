/* init/haar_lay_body.h - the source of haar_lay.h's functions, for each instruction set. */
#include <string.h>

#include "init/haar_lay.h"

enum {
    TILE = FANIN__FMA_ROWS,
    STRIP = FANIN__FMA_COLS,
    BLOCK = FANIN__HAAR_BLOCK,
    BAND = FANIN__HAAR_BAND,
#ifdef __AVX512F__
    HELD = 8 /* rows of c whose sums stay in registers */
#else
    HELD = 2
#endif
};

static void squares(const float *x, size_t x_row, size_t rows, size_t columns, double *sum) {
    memset(sum, 0, BLOCK * sizeof *sum);
    for (size_t i = 0; i < rows; i++, x += x_row) {
        if (i >= BLOCK && columns == BLOCK) {
            for (size_t j = 0; j < BLOCK; j++) sum[j] += (double)x[j] * (double)x[j];
            continue;
        }
        size_t count = i + 1 < columns ? i + 1 : columns;
        for (size_t j = 0; j < count; j++) sum[j] += (double)x[j] * (double)x[j];
    }
}

/* One tile of rows of V in its three layouts; v is zero where V is. */
static void place_tile(size_t all_rows, size_t columns, size_t row, size_t rows,
                       const float v[TILE][BLOCK], fanin__haar_layouts to) {
    for (size_t i = 0; i < rows; i++) {
        for (size_t p = 0; p < BLOCK / STRIP; p++)
            memcpy(to.panels + (p * all_rows + row + i) * STRIP, v[i] + p * STRIP,
                   STRIP * sizeof(float));
        for (size_t t = 0; t < BLOCK / TILE; t++)
            memcpy(to.across + (t * all_rows + row + i) * TILE, v[i] + t * TILE,
                   TILE * sizeof(float));
    }
    float *down = to.down + row * columns;
    for (size_t j = 0; j < columns; j++, down += TILE)
        for (size_t i = 0; i < TILE; i++) down[i] = v[i][j];
}

static void rows(const float *x, size_t x_row, size_t all_rows, size_t columns, const double *scale,
                 double *rest, fanin__haar_layouts to) {
    for (size_t row = 0; row < all_rows; row += TILE) {
        _Alignas(64) float v[TILE][BLOCK];
        size_t count = all_rows - row < TILE ? all_rows - row : TILE;
        bool inner = row >= BLOCK && columns == BLOCK && count == TILE;
        if (!inner) memset(v, 0, sizeof v);
        for (size_t i = 0; i < count; i++) {
            const float *from = x + (row + i) * x_row;
            if (inner) {
                for (size_t j = 0; j < BLOCK; j++) {
                    float value = (float)((double)from[j] * scale[j]);
                    v[i][j] = value;
                    rest[j] += (double)value * (double)value;
                }
                continue;
            }
            size_t filled = row + i < columns ? row + i : columns;
            for (size_t j = 0; j < filled; j++) v[i][j] = (float)((double)from[j] * scale[j]);
            for (size_t j = 0; j < BLOCK; j++) rest[j] += (double)v[i][j] * (double)v[i][j];
        }
        place_tile(all_rows, columns, row, count, (const float(*)[BLOCK])v, to);
    }
}

/* HELD x BAND sums at once. */
static void gram(size_t depth, const double *a, const double *b, double *c) {
    for (size_t i0 = 0; i0 < BAND; i0 += HELD) {
        double sum[HELD][BAND];
        memcpy(sum, c + i0 * BAND, sizeof sum);
        for (size_t k = 0; k < depth; k++) {
            const double *x = a + k * BAND + i0, *y = b + k * BAND;
            for (size_t i = 0; i < HELD; i++)
                for (size_t j = 0; j < BAND; j++) sum[i][j] += x[i] * y[j];
        }
        memcpy(c + i0 * BAND, sum, sizeof sum);
    }
}
