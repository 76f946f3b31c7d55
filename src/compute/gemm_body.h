/* gemm_body.h - products of small matrices in registers, included by gemm_avx2.c and gemm_avx512.c,
 * which define the vector (VEC, WIDTH lanes), its operations and the tile (ROWS x 2 vectors).
 *
 * Assumed use: layers of a small network, M, N, K up to a few hundred, or one of them tiny and the
 * others up to some thousands (batch 10 times 1000 x 1000). So: no packing of A, B packed only
 * where it is used again or lies across, one thread, no allocation. Three ways:
 *   inner    B is transposed and M or N small: each element is WIDTH chains along k and a final tree.
 *            Streams B once, in order.
 *   direct   B's rows are contiguous and used once or K is short: tiles row by row of C.
 *   packed   anything else: a panel of B (DEPTH x 2 vectors) is copied, then used for all rows.
 * In direct and packed every element is a chain of fma in k order, cut every DEPTH terms. The way
 * depends on M, K, strides and n_all; C may be computed in pieces of columns. */

enum { PANEL = 2 * WIDTH, DEPTH = 128, DIRECT_DEPTH = 32 };

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
    size_t b_row, ahead; /* ahead: to the B that comes next, 0 if it is near */
    float *c;
    size_t c_row;
    MASK mask[2]; /* columns that exist */
} tile;

/* rows and whole are constants in each copy that the compiler makes of this. */
INLINE void tile_run(const int rows, const bool whole, const tile *t) {
    VEC acc[ROWS][2];
    UNROLL for (int m = 0; m < rows; m++) acc[m][0] = acc[m][1] = ZERO();
    const float *a0 = t->a, *b = t->b;
    const size_t a_row = t->a_row, a_col = t->a_col, b_row = t->b_row, ahead = t->ahead;
    /* Four rows hang on one pointer: row, 2 row and 3 row are two index registers. */
    const float *a1 = a0 + 4 * a_row, *a2 = a0 + 8 * a_row, *a3 = a0 + 12 * a_row;
    for (size_t k = t->depth; k > 0; k--) {
        _mm_prefetch((const char *)(b + ahead), _MM_HINT_T0);
        _mm_prefetch((const char *)(b + ahead + 16), _MM_HINT_T0);
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

static void pack_rows(const tile *t, const float *b, size_t b_row, bool whole, float *panel) {
    for (size_t k = 0; k < t->depth; k++, b += b_row, panel += PANEL) {
        STORE(panel, whole ? LOAD(b) : LOAD_MASK(b, t->mask[0]));
        STORE(panel + WIDTH, whole ? LOAD(b + WIDTH) : LOAD_MASK(b + WIDTH, t->mask[1]));
    }
}

/* panel[k][n] = B[k][n] for one panel; columns beyond cols are 0. */
static void pack(const tile *t, const float *b, size_t b_row, size_t b_col, size_t cols,
                 float *panel) {
    const size_t depth = t->depth;
    if (b_col == 1) {
        pack_rows(t, b, b_row, cols == PANEL, panel);
        return;
    }
    if (cols < PANEL) memset(panel, 0, depth * PANEL * sizeof *panel);
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
            t.ahead = PANEL;
        } else {
            pack(&t, g->b + k * g->b_row + n * g->b_col, g->b_row, g->b_col, cols, panel);
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
        if (g->b_col != 1 || g->m <= 2 * ROWS)
            run_panels(g, t, k, g->b_col == 1);
        else if (t.depth <= DIRECT_DEPTH)
            run_along(g, t, k);
        else
            run_panels(g, t, k, false);
    }
}

/* ---- inner: rows of A times rows of B' --------------------------------------------------- */

enum { INNER_COLS = 4 };

INLINE void inner_run(const int rows, const fanin__gemm_args *g, const float *a,
                      const float *const b[INNER_COLS], float *c, size_t cols) {
    VEC acc[INNER_ROWS][INNER_COLS];
    UNROLL for (int m = 0; m < rows; m++) {
        UNROLL for (int j = 0; j < INNER_COLS; j++) acc[m][j] = ZERO();
    }
    const size_t a_row = g->a_row;
    const float *a1 = a + 4 * a_row, *b0 = b[0], *b1 = b[1], *b2 = b[2], *b3 = b[3];
    size_t k = 0;
#define INNER_STEP(load) \
    do { \
        VEC v[INNER_COLS] = {load(b0 + k), load(b1 + k), load(b2 + k), load(b3 + k)}; \
        UNROLL for (int m = 0; m < rows; m++) { \
            VEC x = load((m < 4 ? a : a1) + (size_t)(m & 3) * a_row + k); \
            UNROLL for (int j = 0; j < INNER_COLS; j++) acc[m][j] = FMA(x, v[j], acc[m][j]); \
        } \
    } while (0)
    for (; k + WIDTH <= g->k; k += WIDTH) INNER_STEP(LOAD);
    if (k < g->k) {
        MASK mask = MASK_FIRST(g->k - k);
#define LOAD_REST(p) LOAD_MASK(p, mask)
        INNER_STEP(LOAD_REST);
    }
    const __m128 alpha = _mm_set1_ps(g->alpha), beta = _mm_set1_ps(g->beta);
    UNROLL for (int m = 0; m < rows; m++) {
        float *out = c + (size_t)m * g->c_row, old[4] = {0}, sum[4];
        __m128 v = _mm_mul_ps(alpha, SUM4(acc[m][0], acc[m][1], acc[m][2], acc[m][3]));
        if (g->beta != 0) {
            memcpy(old, out, cols * sizeof *old);
            v = _mm_add_ps(v, _mm_mul_ps(beta, _mm_loadu_ps(old)));
        }
        if (cols == INNER_COLS) {
            _mm_storeu_ps(out, v);
        } else {
            _mm_storeu_ps(sum, v);
            memcpy(out, sum, cols * sizeof *sum);
        }
    }
}

#define INNER_CASE(r) \
    case r: inner_run(r, g, a, b, c, cols); break;

static void run_inner(const fanin__gemm_args *g) {
    size_t blocks = (g->m + INNER_ROWS - 1) / INNER_ROWS;
    for (size_t n = 0; n < g->n; n += INNER_COLS) {
        size_t cols = g->n - n < INNER_COLS ? g->n - n : INNER_COLS;
        const float *b[INNER_COLS];
        for (size_t j = 0; j < INNER_COLS; j++) b[j] = g->b + (n + (j < cols ? j : 0)) * g->b_col;
        for (size_t i = 0, m = 0; i < blocks; i++) {
            size_t rows = (g->m - m) / (blocks - i) + ((g->m - m) % (blocks - i) != 0);
            const float *a = g->a + m * g->a_row;
            float *c = g->c + m * g->c_row + n;
            switch (rows) { INNER_CASES(INNER_CASE) }
            m += rows;
        }
    }
}

/* Measured on squares of 32 to 1000: the trees at the end cost too much when K is short, and with
 * more rows a panel pays for its copy. */
static bool use_inner(const fanin__gemm_args *g) {
    size_t n = g->n_all ? g->n_all : g->n;
    if (g->b_row != 1 || g->b_col == 1 || g->a_col != 1) return false;
    return g->m <= 2 || (g->k >= 48 && (g->m <= INNER_MOST || n <= 16));
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
    if (use_inner(g))
        run_inner(g);
    else
        run_tiles(g);
}
