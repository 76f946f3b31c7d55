/* elementwise.c - maps over whole arrays: broadcast, then pieces over the threads. Every element is
 * computed alone, so no split changes a bit. */
#include "compute/compute.h"

/* Below this many elements a second thread costs more than it brings (a piece of 32 Ki floats is
 * about 10 us of memory traffic; starting threads 10 to 40 us). */
enum { GRAIN = 32768 };

typedef void (*binary_fn)(size_t n, const float *a, const float *b, float *out);

typedef struct binary_job {
    binary_fn run;
    const float *a, *b;
    size_t a_step, b_step; /* 0 for a scalar */
    float *out;
} binary_job;

static void binary_range(void *arg, size_t begin, size_t end) {
    const binary_job *j = arg;
    j->run(end - begin, j->a + begin * j->a_step, j->b + begin * j->b_step, j->out + begin);
}

static void binary_run(fanin__binary_op op, fanin__binary_form form, size_t n, const float *a,
                       const float *b, float *out) {
    binary_job j = {fanin__kernels_best()->binary[op][form],
                    a,
                    b,
                    form != FANIN__FORM_SV,
                    form != FANIN__FORM_VS,
                    out};
    if (n <= GRAIN)
        j.run(n, a, b, out);
    else
        fanin_parallel_for(n, GRAIN / 2, binary_range, &j);
}

void fanin__add(size_t n, const float *a, const float *b, float *out) {
    binary_run(FANIN__BINARY_ADD, FANIN__FORM_VV, n, a, b, out);
}

void fanin__mul(size_t n, const float *a, const float *b, float *out) {
    binary_run(FANIN__BINARY_MUL, FANIN__FORM_VV, n, a, b, out);
}

void fanin__scale(size_t n, float a, const float *x, float *out) {
    binary_run(FANIN__BINARY_MUL, FANIN__FORM_VS, n, x, &a, out);
}

/* ---- broadcasting ---------------------------------------------------------------------- */

typedef struct axes {
    int rank;
    size_t dims[FANIN_MAX_RANK];
    int64_t a[FANIN_MAX_RANK], b[FANIN_MAX_RANK];
} axes;

/* Drops axes of 1 and joins neighbours that both operands walk through evenly. */
static axes join_axes(int rank, const int64_t *dims, const int64_t *a, const int64_t *b) {
    axes x = {.rank = 0};
    for (int i = 0; i < rank; i++) {
        if (dims[i] == 1) continue;
        int p = x.rank - 1;
        if (p >= 0 && x.a[p] == a[i] * dims[i] && x.b[p] == b[i] * dims[i]) {
            x.dims[p] *= (size_t)dims[i];
            x.a[p] = a[i];
            x.b[p] = b[i];
        } else {
            x.dims[x.rank] = (size_t)dims[i];
            x.a[x.rank] = a[i];
            x.b[x.rank] = b[i];
            x.rank++;
        }
    }
    if (x.rank == 0) x = (axes){.rank = 1, .dims = {1}, .a = {1}, .b = {1}};
    return x;
}

typedef struct broadcast_job {
    axes x;
    size_t inner;
    fanin__binary_op op;
    const fanin__kernels *kernels;
    const float *a, *b;
    float *out;
} broadcast_job;

static void inner_row(const broadcast_job *j, const float *a, const float *b, float *out) {
    int64_t sa = j->x.a[j->x.rank - 1], sb = j->x.b[j->x.rank - 1];
    const binary_fn *run = j->kernels->binary[j->op];
    if (sa == 1 && sb == 1)
        run[FANIN__FORM_VV](j->inner, a, b, out);
    else if (sa == 1 && sb == 0)
        run[FANIN__FORM_VS](j->inner, a, b, out);
    else if (sa == 0 && sb == 1)
        run[FANIN__FORM_SV](j->inner, a, b, out);
    else
        for (size_t i = 0; i < j->inner; i++)
            run[FANIN__FORM_VV](1, a + (int64_t)i * sa, b + (int64_t)i * sb, out + i);
}

/* Rows are numbered over all axes but the last. */
static void broadcast_rows(void *arg, size_t begin, size_t end) {
    const broadcast_job *j = arg;
    int outer = j->x.rank - 1;
    size_t index[FANIN_MAX_RANK] = {0};
    int64_t a = 0, b = 0;
    size_t rest = begin;
    for (int i = outer - 1; i >= 0; i--) {
        index[i] = rest % j->x.dims[i];
        rest /= j->x.dims[i];
        a += (int64_t)index[i] * j->x.a[i];
        b += (int64_t)index[i] * j->x.b[i];
    }
    for (size_t r = begin; r < end; r++) {
        inner_row(j, j->a + a, j->b + b, j->out + r * j->inner);
        for (int i = outer - 1; i >= 0; i--) {
            a += j->x.a[i];
            b += j->x.b[i];
            if (++index[i] < j->x.dims[i]) break;
            a -= (int64_t)j->x.dims[i] * j->x.a[i];
            b -= (int64_t)j->x.dims[i] * j->x.b[i];
            index[i] = 0;
        }
    }
}

void fanin__binary(fanin__binary_op op, int rank, const int64_t *dims, const float *a,
                   const int64_t *a_strides, const float *b, const int64_t *b_strides, float *out) {
    size_t count = 1;
    for (int i = 0; i < rank; i++) count *= (size_t)dims[i];
    if (count == 0) return;
    broadcast_job j = {.x = join_axes(rank, dims, a_strides, b_strides),
                       .op = op,
                       .kernels = fanin__kernels_best(),
                       .a = a,
                       .b = b,
                       .out = out};
    int last = j.x.rank - 1;
    j.inner = j.x.dims[last];
    if (last == 0 && j.x.a[0] + j.x.b[0] >= 1 && j.x.a[0] <= 1 && j.x.b[0] <= 1 && j.x.a[0] >= 0 &&
        j.x.b[0] >= 0) {
        binary_run(op,
                   j.x.a[0] == 0   ? FANIN__FORM_SV
                   : j.x.b[0] == 0 ? FANIN__FORM_VS
                                   : FANIN__FORM_VV,
                   count, a, b, out);
        return;
    }
    size_t rows = count / j.inner;
    if (count <= GRAIN)
        broadcast_rows(&j, 0, rows);
    else
        fanin_parallel_for(rows, GRAIN / 2 / j.inner + 1, broadcast_rows, &j);
}

/* ---- others ---------------------------------------------------------------------------- */

typedef struct axpy_job {
    const fanin__kernels *kernels;
    float a;
    const float *x;
    float *y;
} axpy_job;

static void axpy_range(void *arg, size_t begin, size_t end) {
    const axpy_job *j = arg;
    j->kernels->axpby(end - begin, j->a, j->x + begin, 1, j->y + begin);
}

void fanin__axpy(size_t n, float a, const float *x, float *y) {
    axpy_job j = {fanin__kernels_best(), a, x, y};
    if (n <= GRAIN)
        axpy_range(&j, 0, n);
    else
        fanin_parallel_for(n, GRAIN / 2, axpy_range, &j);
}

typedef struct affine_job {
    const fanin__kernels *kernels;
    size_t channels, spatial;
    const float *x, *scale, *shift;
    float *out;
} affine_job;

static void affine_planes(void *arg, size_t begin, size_t end) {
    const affine_job *j = arg;
    for (size_t p = begin; p < end; p++) {
        size_t c = p % j->channels;
        const float *x = j->x + p * j->spatial;
        float *out = j->out + p * j->spatial;
        j->kernels->binary[FANIN__BINARY_MUL][FANIN__FORM_VS](j->spatial, x, j->scale + c, out);
        if (j->shift)
            j->kernels->binary[FANIN__BINARY_ADD][FANIN__FORM_VS](j->spatial, out, j->shift + c,
                                                                  out);
    }
}

void fanin__affine_channels(size_t n, size_t channels, size_t spatial, const float *x,
                            const float *scale, const float *shift, float *out) {
    affine_job j = {fanin__kernels_best(), channels, spatial, x, scale, shift, out};
    if (spatial == 1) { /* channels are columns: whole rows at once */
        int64_t dims[] = {(int64_t)n, (int64_t)channels}, xs[] = {(int64_t)channels, 1},
                ss[] = {0, 1};
        fanin__binary(FANIN__BINARY_MUL, 2, dims, x, xs, scale, ss, out);
        if (shift) fanin__binary(FANIN__BINARY_ADD, 2, dims, out, xs, shift, ss, out);
    } else if (n * channels * spatial <= GRAIN)
        affine_planes(&j, 0, n * channels);
    else
        fanin_parallel_for(n * channels, GRAIN / 2 / (spatial + 1) + 1, affine_planes, &j);
}

typedef struct transpose_job {
    const fanin__kernels *kernels;
    size_t rows, cols, strips; /* strips of 64 rows in one matrix */
    const float *in;
    float *out;
} transpose_job;

static void transpose_strips(void *arg, size_t begin, size_t end) {
    const transpose_job *j = arg;
    for (size_t i = begin; i < end; i++) {
        size_t matrix = i / j->strips * j->rows * j->cols, r = i % j->strips * 64;
        size_t rows = j->rows - r < 64 ? j->rows - r : 64;
        j->kernels->transpose(rows, j->cols, j->in + matrix + r * j->cols, j->cols,
                              j->out + matrix + r, j->rows);
    }
}

void fanin__transpose(size_t batch, size_t rows, size_t cols, const float *in, float *out) {
    if (batch == 0 || rows == 0 || cols == 0) return;
    transpose_job j = {fanin__kernels_best(), rows, cols, (rows + 63) / 64, in, out};
    if (batch * rows * cols <= GRAIN)
        transpose_strips(&j, 0, batch * j.strips);
    else
        fanin_parallel_for(batch * j.strips, GRAIN / 128 / cols + 1, transpose_strips, &j);
}
