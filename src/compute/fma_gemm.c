/* fma_gemm.c - the fixed-order product over packed panels.
 *
 * Assumed use: matrices of a hundred to some thousands a side. K is cut into DEPTH rows (the chain goes
 * on through C), A is packed once a cut, B by each group of column panels; a panel of B (32 KiB) stays
 * in the first cache while the tiles of A pass. */
#include "compute/fma_gemm.h"

enum { ROWS = FANIN__FMA_ROWS, COLS = FANIN__FMA_COLS, DEPTH = 256 };

fanin__fma_tile fanin__fma_tile_select(void) {
#if defined(__x86_64__)
    int level = fanin_cpu_level();
    if (level >= FANIN_CPU_AVX512) return fanin__fma_tile_avx512;
    if (level >= FANIN_CPU_AVX2) return fanin__fma_tile_avx2;
#endif
    return fanin__fma_tile_ref;
}

typedef struct product {
    const fanin__fma_gemm_args *g;
    fanin__fma_tile tile;
    float *a_packed;
    size_t k0, depth; /* this cut */
    fanin__fma_mode mode;
} product;

/* Tiles begin..end-1 of A, rows beyond m as zeros. */
static void pack_a(void *arg, size_t begin, size_t end) {
    const product *p = arg;
    const fanin__fma_gemm_args *g = p->g;
    for (size_t t = begin; t < end; t++) {
        float *out = p->a_packed + t * ROWS * p->depth;
        for (size_t k = 0; k < p->depth; k++)
            for (size_t i = 0; i < ROWS; i++) {
                size_t row = t * ROWS + i;
                *out++ = row < g->m ? g->a[row * g->a_row + (p->k0 + k) * g->a_col] : 0.0f;
            }
    }
}

static void pack_b(const product *p, size_t column, float *out) {
    const fanin__fma_gemm_args *g = p->g;
    for (size_t k = 0; k < p->depth; k++)
        for (size_t j = 0; j < COLS; j++)
            *out++ =
                column + j < g->n ? g->b[(p->k0 + k) * g->b_row + (column + j) * g->b_col] : 0.0f;
}

/* A tile of C through an aligned copy: any strides, any edge. */
static void tile_copied(const product *p, size_t row, size_t column, const float *b) {
    const fanin__fma_gemm_args *g = p->g;
    _Alignas(64) float c[ROWS * COLS] = {0};
    size_t rows = g->m - row < ROWS ? g->m - row : ROWS;
    size_t cols = g->n - column < COLS ? g->n - column : COLS;
    float *corner = g->c + row * g->c_row + column * g->c_col;
    if (p->mode != FANIN__FMA_SET)
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < cols; j++) c[i * COLS + j] = corner[i * g->c_row + j * g->c_col];
    p->tile(p->depth, p->a_packed + row * p->depth, b, c, COLS, p->mode);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) corner[i * g->c_row + j * g->c_col] = c[i * COLS + j];
}

static void panels(void *arg, size_t begin, size_t end) {
    const product *p = arg;
    _Alignas(64) float b[DEPTH * COLS];
    for (size_t panel = begin; panel < end; panel++) {
        pack_b(p, panel * COLS, b);
        for (size_t row = 0; row < p->g->m; row += ROWS) tile_copied(p, row, panel * COLS, b);
    }
}

static void cut(product *p, size_t tiles, size_t columns) {
    fanin_parallel_for(tiles, 8, pack_a, p);
    fanin_parallel_for(columns, 1, panels, p);
}

fanin_status fanin__fma_gemm_f32(const fanin__fma_gemm_args *g) {
    if (g->m == 0 || g->n == 0) return FANIN_OK;
    size_t tiles = (g->m - 1) / ROWS + 1, columns = (g->n - 1) / COLS + 1, size;
    size_t depth = g->k < DEPTH ? g->k : DEPTH;
    if (!fanin__size_mul(tiles, ROWS * sizeof(float), &size) ||
        !fanin__size_mul(size, depth ? depth : 1, &size))
        return FANIN_NOMEM;
    product p = {.g = g, .tile = fanin__fma_tile_select(), .mode = g->mode};
    p.a_packed = fanin_malloc_aligned(size);
    if (!p.a_packed) return FANIN_NOMEM;
    do { /* once with depth 0 where k is 0: SET must write zeros */
        p.depth = g->k - p.k0 < DEPTH ? g->k - p.k0 : DEPTH;
        cut(&p, tiles, columns);
        p.k0 += p.depth;
        if (p.mode == FANIN__FMA_SET) p.mode = FANIN__FMA_ADD;
    } while (p.k0 < g->k);
    fanin_free_aligned(p.a_packed);
    return FANIN_OK;
}
