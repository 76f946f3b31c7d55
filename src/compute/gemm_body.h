/* gemm_body.h - products of small matrices in registers, included by gemm_avx2.c and gemm_avx512.c,
 * which define the vector (VEC, WIDTH lanes), its operations and the tile (ROWS x 2 vectors).
 *
 * Assumed use: layers of a small network, M, N, K up to a few hundred, or one of them tiny and the
 * others up to some thousands (batch 10 times 1000 x 1000). So: no packing of A, B packed only
 * where it is used again or lies across, one thread, no allocation. Three ways:
 *   inner    B is transposed and M small: each element is WIDTH chains along k and a final tree.
 *            Streams B once, in order.
 *   direct   B's rows are contiguous and used once or K is short: tiles row by row of C.
 *   packed   anything else: a panel of B (DEPTH x 2 vectors) is copied, then used for all rows.
 * In direct and packed every element is a chain of fma in k order, cut every DEPTH terms. The way
 * depends on M, K and strides, not on N; C may be computed in pieces of columns. */

enum { PANEL = 2 * WIDTH, DEPTH = 128, INNER_ROWS_MAX = 24, DIRECT_DEPTH = 32 };

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

typedef struct tile {
    size_t depth;
    float alpha, beta;
    const float *a;
    size_t a_row, a_col;
    const float *b;
    size_t b_row;
    float *c;
    size_t c_row;
    MASK mask[2]; /* columns that exist */
} tile;

/* rows and whole are constants in each copy that the compiler makes of this. */
INLINE void tile_run(const int rows, const bool whole, const tile *t) {
    VEC acc[ROWS][2];
    UNROLL for (int m = 0; m < rows; m++) acc[m][0] = acc[m][1] = ZERO();
    const float *a0 = t->a, *b = t->b;
    const size_t a_row = t->a_row, a_col = t->a_col, b_row = t->b_row;
    /* Four rows hang on one pointer: row, 2 row and 3 row are two index registers. */
    const float *a1 = a0 + 4 * a_row, *a2 = a0 + 8 * a_row, *a3 = a0 + 12 * a_row;
    for (size_t k = t->depth; k > 0; k--) {
        VEC b0 = whole ? LOAD(b) : LOAD_MASK(b, t->mask[0]);
        VEC b1 = whole ? LOAD(b + WIDTH) : LOAD_MASK(b + WIDTH, t->mask[1]);
        UNROLL for (int m = 0; m < rows; m++) {
            const float *p = m < 4 ? a0 : m < 8 ? a1 : m < 12 ? a2 : a3;
            VEC v = SET1(p[(size_t)(m & 3) * a_row]);
            acc[m][0] = FMA(v, b0, acc[m][0]);
            acc[m][1] = FMA(v, b1, acc[m][1]);
        }
        a0 += a_col;
        if (rows > 4) a1 += a_col;
        if (rows > 8) a2 += a_col;
        if (rows > 12) a3 += a_col;
        b += b_row;
    }
    const VEC alpha = SET1(t->alpha), beta = SET1(t->beta);
    float *c = t->c;
    for (int j = 0; j < 2; j++, c += WIDTH) {
        UNROLL for (int m = 0; m < rows; m++) {
            float *p = c + (size_t)m * t->c_row;
            VEC v = MUL(alpha, acc[m][j]);
            if (t->beta != 0) v = ADD(v, MUL(beta, whole ? LOAD(p) : LOAD_MASK(p, t->mask[j])));
            if (whole)
                STORE(p, v);
            else
                STORE_MASK(p, t->mask[j], v);
        }
    }
}

#define TILE_CASE(r) \
    case r: \
        if (whole) \
            tile_run(r, true, t); \
        else \
            tile_run(r, false, t); \
        break;

static void tile_any(size_t rows, bool whole, const tile *t) {
    switch (rows) { ROW_CASES(TILE_CASE) }
}

static void mask_columns(tile *t, size_t cols) {
    t->mask[0] = MASK_FIRST(cols < WIDTH ? cols : WIDTH);
    t->mask[1] = MASK_FIRST(cols < WIDTH ? 0 : cols - WIDTH < WIDTH ? cols - WIDTH : WIDTH);
}

/* All rows of one panel of columns, in blocks of nearly equal height. */
static void run_rows(const fanin__gemm_args *g, tile t, size_t m0, size_t m1, bool whole) {
    size_t blocks = (m1 - m0 + ROWS - 1) / ROWS;
    for (size_t i = 0, m = m0; i < blocks; i++) {
        size_t rows = (m1 - m) / (blocks - i) + ((m1 - m) % (blocks - i) != 0);
        tile u = t;
        u.a = t.a + m * g->a_row;
        u.c = t.c + m * g->c_row;
        tile_any(rows, whole, &u);
        m += rows;
    }
}

/* 8 x 8 block of B', out rows PANEL apart. */
INLINE void transpose8(const float *in, size_t in_row, float *out) {
    __m256 r[8], s[8];
    UNROLL for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_ps(in + (size_t)i * in_row);
    UNROLL for (int i = 0; i < 4; i++) {
        s[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        s[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    UNROLL for (int i = 0; i < 2; i++) {
        r[4 * i] = _mm256_shuffle_ps(s[4 * i], s[4 * i + 2], 0x44);
        r[4 * i + 1] = _mm256_shuffle_ps(s[4 * i], s[4 * i + 2], 0xee);
        r[4 * i + 2] = _mm256_shuffle_ps(s[4 * i + 1], s[4 * i + 3], 0x44);
        r[4 * i + 3] = _mm256_shuffle_ps(s[4 * i + 1], s[4 * i + 3], 0xee);
    }
    UNROLL for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(out + (size_t)i * PANEL, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        _mm256_storeu_ps(out + (size_t)(i + 4) * PANEL,
                         _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
}

/* panel[k][n] = B[k][n] for one panel; columns beyond cols are 0. */
static void pack(const float *b, size_t b_row, size_t b_col, size_t depth, size_t cols,
                 float *panel) {
    if (cols < PANEL) memset(panel, 0, depth * PANEL * sizeof *panel);
    if (b_col == 1) {
        for (size_t k = 0; k < depth; k++)
            memcpy(panel + k * PANEL, b + k * b_row, cols * sizeof *panel);
        return;
    }
    size_t n = 0;
    if (b_row == 1)
        for (; n + 8 <= cols; n += 8) {
            size_t k = 0;
            for (; k + 8 <= depth; k += 8)
                transpose8(b + n * b_col + k, b_col, panel + k * PANEL + n);
            for (; k < depth; k++)
                for (size_t j = n; j < n + 8; j++) panel[k * PANEL + j] = b[j * b_col + k];
        }
    for (; n < cols; n++)
        for (size_t k = 0; k < depth; k++) panel[k * PANEL + n] = b[k * b_row + n * b_col];
}

static void run_panels(const fanin__gemm_args *g, tile t, size_t k, bool direct) {
    float panel[DEPTH * PANEL] __attribute__((aligned(64)));
    for (size_t n = 0; n < g->n; n += PANEL) {
        size_t cols = g->n - n < PANEL ? g->n - n : PANEL;
        mask_columns(&t, cols);
        t.c = g->c + n;
        if (direct) {
            t.b = g->b + k * g->b_row + n;
            t.b_row = g->b_row;
        } else {
            pack(g->b + k * g->b_row + n * g->b_col, g->b_row, g->b_col, t.depth, cols, panel);
            t.b = panel;
            t.b_row = PANEL;
        }
        run_rows(g, t, 0, g->m, cols == PANEL);
    }
}

/* K is short and C large: go along the rows of C, which is read and written once. */
static void run_along(const fanin__gemm_args *g, tile t, size_t k) {
    for (size_t m = 0; m < g->m; m += ROWS) {
        size_t m1 = g->m - m < ROWS ? g->m : m + ROWS;
        for (size_t n = 0; n < g->n; n += PANEL) {
            size_t cols = g->n - n < PANEL ? g->n - n : PANEL;
            mask_columns(&t, cols);
            t.b = g->b + k * g->b_row + n;
            t.b_row = g->b_row;
            t.c = g->c + n;
            run_rows(g, t, m, m1, cols == PANEL);
        }
    }
}

static void run_tiles(const fanin__gemm_args *g) {
    for (size_t k = 0; k < g->k; k += DEPTH) {
        tile t = {.depth = g->k - k < DEPTH ? g->k - k : DEPTH,
                  .alpha = g->alpha,
                  .beta = k == 0 ? g->beta : 1,
                  .a = g->a + k * g->a_col,
                  .a_row = g->a_row,
                  .a_col = g->a_col,
                  .c_row = g->c_row};
        if (g->b_col != 1 || g->m <= ROWS)
            run_panels(g, t, k, g->b_col == 1);
        else if (t.depth <= DIRECT_DEPTH)
            run_along(g, t, k);
        else
            run_panels(g, t, k, false);
    }
}

/* ---- inner: rows of A times rows of B' --------------------------------------------------- */

INLINE void inner_run(const int rows, const fanin__gemm_args *g, const float *a, const float *b0,
                      const float *b1, float *c, bool two) {
    VEC acc[INNER_ROWS][2];
    UNROLL for (int m = 0; m < rows; m++) acc[m][0] = acc[m][1] = ZERO();
    const size_t a_row = g->a_row;
    const float *a1 = a + 4 * a_row, *a2 = a + 8 * a_row;
    size_t k = 0;
    for (; k + WIDTH <= g->k; k += WIDTH) {
        VEC v0 = LOAD(b0 + k), v1 = LOAD(b1 + k);
        UNROLL for (int m = 0; m < rows; m++) {
            const float *p = m < 4 ? a : m < 8 ? a1 : a2;
            VEC x = LOAD(p + (size_t)(m & 3) * a_row + k);
            acc[m][0] = FMA(x, v0, acc[m][0]);
            acc[m][1] = FMA(x, v1, acc[m][1]);
        }
    }
    if (k < g->k) {
        MASK mask = MASK_FIRST(g->k - k);
        VEC v0 = LOAD_MASK(b0 + k, mask), v1 = LOAD_MASK(b1 + k, mask);
        UNROLL for (int m = 0; m < rows; m++) {
            const float *p = m < 4 ? a : m < 8 ? a1 : a2;
            VEC x = LOAD_MASK(p + (size_t)(m & 3) * a_row + k, mask);
            acc[m][0] = FMA(x, v0, acc[m][0]);
            acc[m][1] = FMA(x, v1, acc[m][1]);
        }
    }
    UNROLL for (int m = 0; m < rows; m += 2) {
        const int other = m + 1 < rows ? m + 1 : m;
        float sum[4];
        _mm_storeu_ps(sum, SUM4(acc[m][0], acc[m][1], acc[other][0], acc[other][1]));
        for (int i = 0; i < 2 && m + i < rows; i++)
            for (int j = 0; j < (two ? 2 : 1); j++) {
                float *out = c + (size_t)(m + i) * g->c_row + j;
                float v = g->alpha * sum[2 * i + j];
                *out = g->beta == 0 ? v : v + g->beta * *out;
            }
    }
}

#define INNER_CASE(r) \
    case r: inner_run(r, g, a, b0, b1, c, two); break;

static void run_inner(const fanin__gemm_args *g) {
    size_t blocks = (g->m + INNER_ROWS - 1) / INNER_ROWS;
    for (size_t n = 0; n < g->n; n += 2) {
        bool two = n + 1 < g->n;
        const float *b0 = g->b + n * g->b_col, *b1 = two ? b0 + g->b_col : b0;
        for (size_t i = 0, m = 0; i < blocks; i++) {
            size_t rows = (g->m - m) / (blocks - i) + ((g->m - m) % (blocks - i) != 0);
            const float *a = g->a + m * g->a_row;
            float *c = g->c + m * g->c_row + n;
            switch (rows) { INNER_CASES(INNER_CASE) }
            m += rows;
        }
    }
}

static void run(const fanin__gemm_args *g) {
    if (g->m == 0 || g->n == 0) return;
    if (g->k == 0) {
        for (size_t m = 0; m < g->m; m++)
            for (size_t n = 0; n < g->n; n++) {
                float *c = &g->c[m * g->c_row + n];
                *c = g->beta == 0 ? 0 : g->beta * *c;
            }
        return;
    }
    if (g->b_row == 1 && g->b_col != 1 && g->a_col == 1 && g->m < INNER_ROWS_MAX)
        run_inner(g);
    else
        run_tiles(g);
}
