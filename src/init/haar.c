/* haar.c - a Haar matrix from reflectors that are drawn, not found.
 *
 * Stewart 1980 (The efficient generation of random orthogonal matrices, SIAM J. Numer. Anal. 17, section 3):
 * the Householder vectors of a Gaussian matrix's QR decomposition are independent, and column j's is
 * that of a fresh normal vector of length m - j. So no matrix is decomposed: with x_j ~ N(0, I_{m-j}),
 *
 *     Q = H_0 H_1 ... H_{n-1} D,   H_j x_j = d_j |x_j| e_j,   d_j = -sign(x_j[0])
 *
 * is the Q of a QR with positive diagonal: uniform. Half the work of geqrf + orgqr, all of it products.
 *
 * Everything is done for the tall orientation (m x n, m >= n); a wide result is its transpose, written
 * that way. x_j[i] is the normal at plane 2, address + (j + i) * n + j.
 *
 * The last reflectors are short, their entries large and nearly dependent: 32 to 63 of them are applied
 * one by one in double where they have few rows. 96 of the others make a block I - V T V' (T from
 * T^-1 = striu(V'V) + diag(v'v / 2): Puglisi 1992), and strips of 32 columns of Q pass through all blocks from
 * the last to the first, each strip kept packed as the product wants it: no strip waits for another. Each number is
 * a chain of fma in a fixed order (compute/fma_gemm.h), each norm a sum in double over rows in order, so nothing
 * depends on threads or instruction set. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include "compute/fma_gemm.h"
#include "init/haar_lay.h"

enum {
    TILE = FANIN__FMA_ROWS,
    STRIP = FANIN__FMA_COLS,
    BLOCK = FANIN__HAAR_BLOCK,
    DEPTH = 256, /* rows of a strip that stay in the first cache */
    TAIL = 64,   /* more columns than the tail ever has */
    TAIL_ROWS = 256,
    GROUP = 4 /* strips that share what is read of V */
};

typedef struct reflectors {
    size_t first, count, rows; /* columns first .. first+count-1, rows = m - first */
    float *across;             /* V' in tiles: [reflector / 12][row][12] */
    float *down;               /* V in tiles: [row / 12][reflector][12] */
    float *t;                  /* T in tiles: [row / 12][column][12] */
} reflectors;

typedef struct haar {
    const fanin_stream *stream;
    uint64_t address;
    size_t m, n;
    bool wide;
    double gain;
    fanin__fma_tile tile;
    const fanin__haar_lay *lay;
    float *x;     /* m x n normals, those on and below the diagonal */
    float *sign;  /* d */
    size_t body;  /* columns in blocks; the rest is the tail */
    double *tail; /* its (m - body) x (n - body) corner of Q, NULL if there is none */
    reflectors *blocks;
    size_t block_count;
    float *arena; /* of all blocks */
    float *out;
    atomic_int status;
} haar;

static const fanin_law standard_normal = {.kind = FANIN_LAW_NORMAL, .a = 0, .b = 1};

static size_t least(size_t a, size_t b) { return a < b ? a : b; }
static size_t tiles(size_t n) { return (n + TILE - 1) / TILE; }

static float *floats(size_t a, size_t b) {
    size_t size;
    if (!fanin__size_mul(a, b, &size) || !fanin__size_mul(size, sizeof(float), &size)) return NULL;
    return fanin_malloc_aligned(size);
}

/* Of a block's three layouts, to whole lines of the cache. */
static size_t block_floats(const reflectors *r) {
    size_t n =
        r->rows * BLOCK + tiles(r->rows) * TILE * r->count + tiles(r->count) * TILE * r->count;
    return (n + 15) / 16 * 16;
}

static void fail(haar *h, fanin_status status) { atomic_store(&h->status, (int)status); }

/* What turns x into v with v'v = 2: v = (x + sign(x0) |x| e) * scale. */
static double reflector_scale(double squares, double x0, double *v0, double *sign) {
    double norm = sqrt(squares);
    *sign = x0 < 0 ? 1 : -1;
    *v0 = x0 < 0 ? x0 - norm : x0 + norm;
    return norm > 0 ? 1 / sqrt(norm * fabs(*v0)) : 0;
}

/* ---- few columns: double, one reflector after another ------------------------------------- */

static void apply_one(double *q, const double *v, size_t m, size_t n, size_t j) {
    double w[TAIL] = {0};
    for (size_t i = j; i < m; i++)
        for (size_t c = j; c < n; c++) w[c] += v[i * n + j] * q[i * n + c];
    for (size_t i = j; i < m; i++)
        for (size_t c = j; c < n; c++) q[i * n + c] -= v[i * n + j] * w[c];
}

/* Q (m x n, zeros at first, n < TAIL) of the normals on and below the diagonal of x; v as large. */
static void one_by_one(const float *x, size_t x_row, size_t m, size_t n, double *v, double *q) {
    for (size_t j = 0; j < n; j++) {
        double squares = 0, v0, sign;
        for (size_t i = j; i < m; i++) squares += (double)x[i * x_row + j] * x[i * x_row + j];
        double scale = reflector_scale(squares, (double)x[j * x_row + j], &v0, &sign);
        for (size_t i = j; i < m; i++)
            v[i * n + j] = (i == j ? v0 : (double)x[i * x_row + j]) * scale;
        q[j * n + j] = sign;
    }
    for (size_t j = n; j-- > 0;) apply_one(q, v, m, n, j);
}

/* ---- drawing ----------------------------------------------------------------------------- */

/* Up to the diagonal, and on to a whole step of the generator: what lies beyond is never read. */
static void draw_rows(void *arg, size_t begin, size_t end) {
    haar *h = arg;
    for (size_t i = begin; i < end; i++) {
        fanin_status status =
            fanin_random_fill(h->stream, FANIN__HAAR_PLANE, &standard_normal, h->address + i * h->n,
                              least((i + 64) / 64 * 64, h->n), FANIN_F32, h->x + i * h->n);
        if (status != FANIN_OK) fail(h, status);
    }
}

/* ---- blocks ------------------------------------------------------------------------------ */

typedef struct scratch {
    float *panels; /* V, [column / 32][row][32] */
    float *gram;   /* V'V, BLOCK x BLOCK, the tiles that reach above the diagonal */
    float *t;      /* [column / 32][row][32] */
    float *pack;   /* [column][12] */
} scratch;

/* I - t v v' is orthogonal when t v'v = 2, and t is a float: of the 17 floats around v0 the one that a float
 * t fits best. The direction moves by a rounding error; |t v'v - 2| falls from 1e-7 to about 5e-9. */
static float fit_first(double rest, float v0, float *t) {
    float best = v0, candidate = v0;
    double least_error = INFINITY;
    for (int i = 0; i < 8; i++) candidate = nextafterf(candidate, 0);
    for (int i = 0; i < 17; i++, candidate = nextafterf(candidate, v0 < 0 ? -INFINITY : INFINITY)) {
        double half = (rest + (double)candidate * (double)candidate) / 2;
        float inverse = (float)(1 / half);
        double error = fabs((double)inverse * half - 1);
        if (!(error < least_error)) continue;
        least_error = error;
        best = candidate;
        *t = inverse;
    }
    return best;
}

/* Scales the columns of x into V and lays them out; t[j] = 2 / v_j'v_j. */
static void lay_out(haar *h, reflectors *r, const scratch *s, float t[BLOCK]) {
    double squares[BLOCK], scale[BLOCK] = {0}, rest[BLOCK] = {0};
    float first[BLOCK];
    const float *x = h->x + r->first * h->n + r->first;
    h->lay->squares(x, h->n, r->rows, r->count, squares);
    for (size_t j = 0; j < r->count; j++) {
        double v0, sign;
        scale[j] = reflector_scale(squares[j], (double)x[j * h->n + j], &v0, &sign);
        first[j] = (float)(v0 * scale[j]);
        h->sign[r->first + j] = (float)sign;
    }
    h->lay->rows(x, h->n, r->rows, r->count, scale, rest,
                 (fanin__haar_layouts){s->panels, r->across, r->down});
    memset(t, 0, BLOCK * sizeof *t);
    for (size_t j = 0; j < r->count; j++) { /* the diagonal, zero until now */
        float v0 = scale[j] > 0 ? fit_first(rest[j], first[j], &t[j]) : 0;
        s->panels[(j / STRIP * r->rows + j) * STRIP + j % STRIP] = v0;
        r->across[(j / TILE * r->rows + j) * TILE + j % TILE] = v0;
        r->down[(j / TILE * r->count + j) * TILE + j % TILE] = v0;
    }
}

static void gram(const haar *h, const reflectors *r, const scratch *s) {
    /* A tile of rows may reach past the last panel: what is multiplied by zeros must be finite. */
    memset(s->gram, 0, BLOCK * BLOCK * sizeof(float));
    for (size_t p = 0; p < BLOCK / STRIP && p * STRIP < r->count; p++)
        for (size_t t = 0; t < BLOCK / TILE && t * TILE < (p + 1) * STRIP; t++) {
            size_t skip = p * STRIP; /* rows above are zeros in these columns */
            h->tile(r->rows - skip, r->across + (t * r->rows + skip) * TILE,
                    s->panels + (p * r->rows + skip) * STRIP,
                    s->gram + t * TILE * BLOCK + p * STRIP, BLOCK, FANIN__FMA_SET);
        }
}

/* Rows first .. first+11 of T, one panel: what lies below is known and already taken off. */
static void solve_tile(const scratch *s, size_t first, float *panel, const float diagonal[BLOCK]) {
    for (size_t i = TILE; i-- > 0;) {
        float *row = panel + (first + i) * STRIP;
        for (size_t k = i + 1; k < TILE; k++) {
            const float factor = s->gram[(first + i) * BLOCK + first + k];
            const float *below = panel + (first + k) * STRIP;
            for (size_t j = 0; j < STRIP; j++) row[j] -= factor * below[j];
        }
        for (size_t j = 0; j < STRIP; j++) row[j] *= diagonal[first + i];
    }
}

/* T = (striu(V'V) + diag(v'v / 2))^-1 by back substitution, twelve rows at a time. */
static void invert(const haar *h, reflectors *r, const scratch *s, const float diagonal[BLOCK]) {
    memset(s->t, 0, BLOCK * BLOCK * sizeof(float));
    for (size_t t = tiles(r->count); t-- > 0;) {
        size_t first = t * TILE, below = first + TILE;
        size_t depth = r->count > below ? r->count - below : 0;
        for (size_t k = 0; k < depth; k++)
            for (size_t i = 0; i < TILE; i++)
                s->pack[k * TILE + i] = s->gram[(first + i) * BLOCK + below + k];
        for (size_t p = first / STRIP; p < BLOCK / STRIP; p++) {
            float *panel = s->t + p * BLOCK * STRIP;
            for (size_t i = 0; i < TILE; i++)
                if ((first + i) / STRIP == p) panel[(first + i) * STRIP + (first + i) % STRIP] = 1;
            h->tile(depth, s->pack, panel + below * STRIP, panel + first * STRIP, STRIP,
                    FANIN__FMA_SUB);
            solve_tile(s, first, panel, diagonal);
        }
        for (size_t k = 0; k < r->count; k++)
            for (size_t i = 0; i < TILE; i++)
                r->t[(t * r->count + k) * TILE + i] =
                    s->t[k / STRIP * BLOCK * STRIP + (first + i) * STRIP + k % STRIP];
    }
}

static void make_blocks(void *arg, size_t begin, size_t end) {
    haar *h = arg;
    for (size_t b = begin; b < end; b++) {
        reflectors *r = &h->blocks[b];
        size_t panels = r->rows * BLOCK;
        float *memory = floats(1, panels + 2 * BLOCK * BLOCK + BLOCK * TILE);
        if (memory) {
            scratch s = {.panels = memory,
                         .gram = memory + panels,
                         .t = memory + panels + BLOCK * BLOCK,
                         .pack = memory + panels + 2 * BLOCK * BLOCK};
            float diagonal[BLOCK];
            lay_out(h, r, &s, diagonal);
            gram(h, r, &s);
            invert(h, r, &s, diagonal);
        } else {
            fail(h, FANIN_NOMEM);
        }
        fanin_free_aligned(memory);
    }
}

/* ---- strips ------------------------------------------------------------------------------ */

/* Strips first .. first+count-1 of Q on their way through the blocks. */
typedef struct work {
    size_t first, count;
    float *q; /* a strip: (m + 12) x 32 */
    float *w; /* V' Q, BLOCK x 32 a strip */
    float *x; /* T V' Q */
    size_t q_size;
} work;

/* W of a strip inside the block's own columns, where Q is still D: rows of V. */
static void w_own(const haar *h, const reflectors *r, size_t column, float *w) {
    memset(w, 0, BLOCK * STRIP * sizeof(float));
    for (size_t c = 0; c < STRIP && column + c < h->n; c++) {
        size_t row = column + c - r->first;
        for (size_t p = 0; p < r->count; p++)
            w[p * STRIP + c] =
                r->across[(p / TILE * r->rows + row) * TILE + p % TILE] * h->sign[column + c];
    }
}

/* W of the strips to the right: Q is zero in the block's own rows. Kept tile by tile of 256 rows. */
static void w_right(const haar *h, const reflectors *r, const work *k, size_t begin) {
    for (size_t row = r->count; row < r->rows; row += DEPTH) {
        size_t depth = least(DEPTH, r->rows - row);
        fanin__fma_mode mode = row == r->count ? FANIN__FMA_SET : FANIN__FMA_ADD;
        for (size_t s = begin; s < k->count; s++)
            for (size_t t = 0; t < tiles(r->count); t++)
                h->tile(depth, r->across + (t * r->rows + row) * TILE,
                        k->q + s * k->q_size + (r->first + row) * STRIP,
                        k->w + (s * BLOCK + t * TILE) * STRIP, STRIP, mode);
    }
}

static void apply_block(const haar *h, const reflectors *r, const work *k) {
    size_t begin = 0, own = 0; /* strips before `begin` lie left of the block */
    while (begin < k->count && (k->first + begin) * STRIP < r->first) begin++;
    own = begin;
    while (own < k->count && (k->first + own) * STRIP < r->first + r->count) {
        w_own(h, r, (k->first + own) * STRIP, k->w + own * BLOCK * STRIP);
        own++;
    }
    w_right(h, r, k, own);
    for (size_t s = begin; s < k->count; s++)
        for (size_t t = 0; t < tiles(r->count); t++) /* T is zero left of its diagonal */
            h->tile(r->count - t * TILE, r->t + (t * r->count + t * TILE) * TILE,
                    k->w + (s * BLOCK + t * TILE) * STRIP, k->x + (s * BLOCK + t * TILE) * STRIP,
                    STRIP, FANIN__FMA_SET);
    for (size_t u = 0; u < tiles(r->rows); u++) /* V is zero above its diagonal */
        for (size_t s = begin; s < k->count; s++)
            h->tile(least(r->count, (u + 1) * TILE), r->down + u * r->count * TILE,
                    k->x + s * BLOCK * STRIP, k->q + s * k->q_size + (r->first + u * TILE) * STRIP,
                    STRIP, FANIN__FMA_SUB);
}

static void write_strip(const haar *h, const float *q, size_t column) {
    size_t count = least(STRIP, h->n - column);
    if (h->wide) {
        for (size_t c = 0; c < count; c++) {
            float *out = h->out + (column + c) * h->m;
            for (size_t i = 0; i < h->m; i++) out[i] = (float)((double)q[i * STRIP + c] * h->gain);
        }
        return;
    }
    for (size_t i = 0; i < h->m; i++) {
        float *out = h->out + i * h->n + column;
        if (h->gain == 1)
            memcpy(out, q + i * STRIP, count * sizeof *out);
        else
            for (size_t c = 0; c < count; c++) out[c] = (float)((double)q[i * STRIP + c] * h->gain);
    }
}

/* Where a strip stands before the first block: D, or the tail. */
static void start_strip(const haar *h, size_t column, float *q) {
    size_t count = least(STRIP, h->n - column), rows = h->m - h->body, columns = h->n - h->body;
    for (size_t c = 0; c < count && column < h->body; c++)
        q[(column + c) * STRIP + c] = h->sign[column + c];
    for (size_t i = 0; i < rows && column >= h->body; i++)
        for (size_t c = 0; c < count; c++)
            q[(h->body + i) * STRIP + c] = (float)h->tail[i * columns + column - h->body + c];
}

static void run_group(const haar *h, work *k) {
    memset(k->q, 0, k->count * k->q_size * sizeof(float));
    for (size_t s = 0; s < k->count; s++)
        start_strip(h, (k->first + s) * STRIP, k->q + s * k->q_size);
    size_t last = (k->first + k->count) * STRIP - 1;
    for (size_t b = h->block_count; b-- > 0;)
        if (h->blocks[b].first <= last) apply_block(h, &h->blocks[b], k);
    for (size_t s = 0; s < k->count; s++)
        write_strip(h, k->q + s * k->q_size, (k->first + s) * STRIP);
}

/* Counted from the right: those strips pass the most blocks and go first. */
static void run_strips(void *arg, size_t begin, size_t end) {
    haar *h = arg;
    size_t strips = (h->n + STRIP - 1) / STRIP;
    size_t group = least(GROUP, end - begin), q_size = (h->m + TILE) * STRIP;
    float *memory = floats(group, q_size + 2 * BLOCK * STRIP);
    if (!memory) {
        fail(h, FANIN_NOMEM);
        return;
    }
    work k = {.q = memory,
              .w = memory + group * q_size,
              .x = memory + group * (q_size + BLOCK * STRIP),
              .q_size = q_size};
    for (size_t i = begin; i < end; i += k.count) {
        k.count = least(group, end - i);
        k.first = strips - i - k.count;
        run_group(h, &k);
    }
    fanin_free_aligned(memory);
}

/* The tail starts at a strip, so that no strip is half of it. */
static fanin_status make_tail(haar *h) {
    size_t rows = h->m - h->body, columns = h->n - h->body;
    if (columns == 0) return FANIN_OK;
    double *v = fanin_calloc(rows * columns, sizeof *v);
    h->tail = fanin_calloc(rows * columns, sizeof *h->tail);
    if (v && h->tail) one_by_one(h->x + h->body * h->n + h->body, h->n, rows, columns, v, h->tail);
    fanin_free(v);
    return v && h->tail ? FANIN_OK : FANIN_NOMEM;
}

/* One piece of memory for the blocks: asked for in large pages, since at n = 1024 a tenth of the time went to faults. */
static bool make_room(haar *h) {
    size_t total = 0;
    h->blocks = fanin_calloc(h->block_count, sizeof *h->blocks);
    for (size_t b = 0; h->blocks && b < h->block_count; b++) {
        reflectors *r = &h->blocks[b];
        r->first = b * BLOCK;
        r->count = least(BLOCK, h->body - b * BLOCK);
        r->rows = h->m - b * BLOCK;
        if (!fanin__size_add(total, block_floats(r), &total)) return false;
    }
    h->arena = h->blocks ? floats(1, total) : NULL;
    if (!h->arena) return false;
#ifdef __linux__
    uintptr_t page = (uintptr_t)1 << 21, at = ((uintptr_t)h->arena + page - 1) & ~(page - 1);
    uintptr_t end = (uintptr_t)(h->arena + total) & ~(page - 1);
    if (end > at) madvise((void *)at, end - at, MADV_HUGEPAGE); /* a wish: failure costs time */
#endif
    float *next = h->arena;
    for (size_t b = 0; b < h->block_count; b++) {
        reflectors *r = &h->blocks[b];
        r->across = next;
        r->down = r->across + r->rows * BLOCK;
        r->t = r->down + tiles(r->rows) * TILE * r->count;
        next += block_floats(r);
    }
    return true;
}

static fanin_status haar_large(haar *h) {
    h->body = (h->n - STRIP) / STRIP * STRIP;
    if (h->m - h->body > TAIL_ROWS) h->body = h->n;
    h->block_count = (h->body + BLOCK - 1) / BLOCK;
    h->tile = fanin__fma_tile_select();
    h->lay = fanin__haar_lay_select();
    h->sign = floats(1, h->n);
    h->x = h->out; /* as large, and free until the strips are written */
    if (!h->sign || !make_room(h)) fail(h, FANIN_NOMEM);
    if (!atomic_load(&h->status)) fanin_parallel_for(h->m, 16, draw_rows, h);
    if (!atomic_load(&h->status)) fail(h, make_tail(h));
    if (!atomic_load(&h->status)) fanin_parallel_for(h->block_count, 1, make_blocks, h);
    if (!atomic_load(&h->status)) fanin_parallel_for((h->n + STRIP - 1) / STRIP, 1, run_strips, h);
    fanin_free_aligned(h->arena);
    fanin_free(h->blocks);
    fanin_free(h->tail);
    fanin_free_aligned(h->sign);
    return (fanin_status)atomic_load(&h->status);
}

static fanin_status haar_small(haar *h) {
    size_t m = h->m, n = h->n, size;
    if (!fanin__size_mul(m, n, &size)) return FANIN_NOMEM;
    double *v = fanin_calloc(size, 2 * sizeof(double)), *q = v ? v + size : NULL;
    if (!v) return FANIN_NOMEM;
    fanin_status status = fanin_random_fill(h->stream, FANIN__HAAR_PLANE, &standard_normal,
                                            h->address, size, FANIN_F32, h->out);
    if (status == FANIN_OK) one_by_one(h->out, n, m, n, v, q);
    for (size_t i = 0; i < m; i++)
        for (size_t c = 0; c < n; c++)
            h->out[h->wide ? c * m + i : i * n + c] = (float)(q[i * n + c] * h->gain);
    fanin_free(v);
    return status;
}

fanin_status fanin__haar_fill(const fanin_stream *stream, uint64_t address, size_t rows,
                              size_t cols, double gain, float *out) {
    if (rows == 0 || cols == 0) return FANIN_OK;
    haar h = {.stream = stream,
              .address = address,
              .m = rows > cols ? rows : cols,
              .n = rows > cols ? cols : rows,
              .wide = rows < cols,
              .gain = gain,
              .out = out};
    return h.n <= FANIN__HAAR_SMALL ? haar_small(&h) : haar_large(&h);
}
