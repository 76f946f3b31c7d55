/* haar_double.c - a Haar matrix in double precision, near the float one.
 *
 * The float matrix Q is orthogonal to 1e-6. Two Newton-Schulz steps (Higham, Functions of Matrices 2008, section 8.3)
 *
 *     Q <- Q - Q E / 2,   E = Q'Q - I
 *
 * square that defect: 1e-12, then rounding. They go to the orthogonal matrix nearest to the float one, so that float64
 * refines float32 as it does elsewhere. Only E needs double: it is what a difference of nearly equal numbers leaves.
 * Q E / 2 is 1e-6 of Q, and float's 1e-7 of that is made good by the second step; there it is 1e-12, and lost in rounding.
 *
 * Everything is done for the tall orientation (m x n, m >= n); a wide matrix is read and written across. E is summed in
 * order, each element one chain of products and sums without fma: the same bits on any machine and thread count. */
#include <stdatomic.h>
#include <string.h>

#include "init/haar_lay.h"

enum { BAND = FANIN__HAAR_BAND, DEPTH = 256 };

typedef struct polish {
    size_t m, n, bands;
    size_t row, column; /* strides of the tall orientation */
    double *q;
    double *packed; /* a band of columns after another, [row][16] */
    float *q32, *half, *step;
    const fanin__haar_lay *lay;
} polish;

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static void pack_bands(void *arg, size_t begin, size_t end) {
    polish *p = arg;
    for (size_t band = begin; band < end; band++) {
        double *to = p->packed + band * p->m * BAND;
        size_t columns = least(BAND, p->n - band * BAND);
        memset(to, 0, p->m * BAND * sizeof *to);
        for (size_t i = 0; i < p->m; i++)
            for (size_t c = 0; c < columns; c++)
                to[i * BAND + c] = p->q[i * p->row + (band * BAND + c) * p->column];
    }
}

/* Bands of rows of E on and right of the diagonal; half of it, mirrored. */
static void half_defect(void *arg, size_t begin, size_t end) {
    polish *p = arg;
    for (size_t a = begin; a < end; a++)
        for (size_t b = a; b < p->bands; b++) {
            double sum[BAND * BAND] = {0};
            for (size_t k = 0; k < p->m; k += DEPTH)
                p->lay->gram(least(DEPTH, p->m - k), p->packed + (a * p->m + k) * BAND,
                             p->packed + (b * p->m + k) * BAND, sum);
            for (size_t i = 0; i < BAND && a * BAND + i < p->n; i++)
                for (size_t j = 0; j < BAND && b * BAND + j < p->n; j++) {
                    size_t r = a * BAND + i, c = b * BAND + j;
                    float e = (float)((sum[i * BAND + j] - (r == c ? 1 : 0)) / 2);
                    p->half[r * p->n + c] = p->half[c * p->n + r] = e;
                }
        }
}

static void narrow(void *arg, size_t begin, size_t end) {
    polish *p = arg;
    for (size_t i = begin; i < end; i++) p->q32[i] = (float)p->q[i];
}

static void take_step(void *arg, size_t begin, size_t end) {
    polish *p = arg;
    for (size_t i = begin; i < end; i++) p->q[i] -= (double)p->step[i];
}

static fanin_status polish_once(polish *p) {
    size_t size = p->m * p->n;
    fanin_parallel_for(p->bands, 1, pack_bands, p);
    fanin_parallel_for(p->bands, 1, half_defect, p);
    fanin_parallel_for(size, 1 << 16, narrow, p);
    FANIN_TRY(fanin__fma_gemm_f32(&(fanin__fma_gemm_args){.m = p->m,
                                                          .n = p->n,
                                                          .k = p->n,
                                                          .a = p->q32,
                                                          .a_row = p->row,
                                                          .a_col = p->column,
                                                          .b = p->half,
                                                          .b_row = p->n,
                                                          .b_col = 1,
                                                          .c = p->step,
                                                          .c_row = p->row,
                                                          .c_col = p->column,
                                                          .mode = FANIN__FMA_SET}));
    fanin_parallel_for(size, 1 << 16, take_step, p);
    return FANIN_OK;
}

fanin_status fanin__haar_fill_f64(const fanin_stream *stream, uint64_t address, size_t rows,
                                  size_t cols, double gain, double *out) {
    if (rows == 0 || cols == 0) return FANIN_OK;
    bool wide = rows < cols;
    polish p = {.m = wide ? cols : rows,
                .n = wide ? rows : cols,
                .row = wide ? 1 : cols,
                .column = wide ? cols : 1,
                .q = out,
                .lay = fanin__haar_lay_select()};
    size_t size = rows * cols, square, padded;
    p.bands = (p.n + BAND - 1) / BAND;
    if (!fanin__size_mul(p.bands * BAND * sizeof(double), p.m, &padded) ||
        !fanin__size_mul(p.n * sizeof(float), p.n, &square))
        return FANIN_NOMEM;
    p.packed = fanin_malloc_aligned(padded);
    p.half = fanin_malloc_aligned(square);
    p.q32 = fanin_malloc_aligned(size * sizeof *p.q32);
    p.step = fanin_malloc_aligned(size * sizeof *p.step);
    fanin_status status = p.packed && p.half && p.q32 && p.step ? FANIN_OK : FANIN_NOMEM;
    if (status == FANIN_OK) status = fanin__haar_fill(stream, address, rows, cols, 1, p.q32);
    for (size_t i = 0; status == FANIN_OK && i < size; i++) out[i] = (double)p.q32[i];
    for (int k = 0; k < 2 && status == FANIN_OK; k++) status = polish_once(&p);
    for (size_t i = 0; status == FANIN_OK && gain != 1 && i < size; i++) out[i] *= gain;
    fanin_free_aligned(p.packed);
    fanin_free_aligned(p.half);
    fanin_free_aligned(p.q32);
    fanin_free_aligned(p.step);
    return status;
}
