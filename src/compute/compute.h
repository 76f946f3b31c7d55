/* compute.h - dense float32 kernels: one table of small kernels per instruction set, functions over
 * whole arrays on top of it, and (in libfanin-net) plans that oneDNN executes.
 *
 * Three layers, top to bottom of this file:
 *   1. fanin__kernels   the table: contiguous, single-threaded, no checks. Tests walk its variants.
 *   2. functions        choose the variant of this machine, broadcast, and split long arrays over
 *                       fanin_parallel_for. libfanin; they allocate nothing and cannot fail.
 *   3. plans            matmul, convolution, pooling: created once for fixed shapes, run
 *                       many times. libfanin-net; only src/compute/dnnl_*.c call oneDNN.
 *
 * Repeatability. Everything here gives the same bits on every run for a fixed number of threads and
 * a fixed instruction set. Stronger, and tested: all of layers 1 and 2 except gemm gives the same
 * bits for every instruction set and every number of threads, because elementwise kernels use
 * correctly rounded operations only (no fma, no libm) and reductions have a fixed tree. gemm does
 * not depend on the number of threads, only on the instruction set.
 *
 * Overlap: an output may be the same array as an input where it says "in place"; otherwise arrays
 * do not overlap. Pointers need the alignment of float only; 64 bytes is faster. n = 0 is fine
 * everywhere, and then pointers may be NULL.
 *
 * Shape letters: M, N, K rows, columns, inner of a product; R rows; C channels or columns.
 */
#ifndef FANIN_SRC_COMPUTE_H
#define FANIN_SRC_COMPUTE_H

#include "base/base.h"
#include "fanin/compute.h"

/* ==== 1. kernels ========================================================================== */

/* out = a op b. Min and max return NaN if either is NaN (ONNX, torch); the sign of zero is then
 * free. GREATER gives 1 or 0. */
#define FANIN__BINARY_MAP(X) \
    X(ADD, add) \
    X(SUB, sub) X(MUL, mul) X(DIV, div) X(MIN, min) X(MAX, max) X(GREATER, greater)
typedef enum fanin__binary_op {
#define FANIN__BINARY_ENUM(id, name) FANIN__BINARY_##id,
    FANIN__BINARY_MAP(FANIN__BINARY_ENUM)
#undef FANIN__BINARY_ENUM
        FANIN__BINARY_COUNT
} fanin__binary_op;

/* out = op a. SIGN gives -1, 0, 1 (NaN for NaN). BF16 rounds to the nearest bfloat16, ties to even.
 * EXP and LOG are our own, at most 2 ulp (EXP: 0 below -104, infinity above 88.73, denormal
 * results may be flushed to 0; LOG: -infinity at 0, NaN below). Activations live in src/activation. */
#define FANIN__UNARY_MAP(X) \
    X(NEG, neg) \
    X(ABS, abs) \
    X(SQRT, sqrt) \
    X(RECIPROCAL, reciprocal) X(SQUARE, square) X(SIGN, sign) X(EXP, exp) X(LOG, log) X(BF16, bf16)
typedef enum fanin__unary_op {
#define FANIN__UNARY_ENUM(id, name) FANIN__UNARY_##id,
    FANIN__UNARY_MAP(FANIN__UNARY_ENUM)
#undef FANIN__UNARY_ENUM
        FANIN__UNARY_COUNT
} fanin__unary_op;

/* Which operand of a binary kernel is one value instead of n. */
typedef enum fanin__binary_form {
    FANIN__FORM_VV,
    FANIN__FORM_VS,
    FANIN__FORM_SV,
    FANIN__FORM_COUNT
} fanin__binary_form;

/* One step of an optimiser over n weights. `w` is updated in place, `g` is only read; s0, s1, s2
 * are the state (see the table), zero before the first step. All arithmetic in float32 in the order
 * of torch 1.13's single-tensor implementations; what depends on the step alone (1 - beta1^step and
 * the like) is computed in double and rounded once. */
typedef struct fanin__update_args {
    double lr;           /* step size */
    double weight_decay; /* L2: g += weight_decay * w, except ADAMW: w *= 1 - lr * weight_decay */
    double momentum;     /* SGD, RMSPROP: 0 for none */
    double dampening;    /* SGD: buf = momentum * buf + (1 - dampening) * g; first step buf = g */
    bool nesterov;       /* SGD */
    double beta1, beta2; /* ADAM, ADAMW */
    double alpha;        /* RMSPROP smoothing */
    bool centered;       /* RMSPROP */
    double eps;          /* added outside the square root */
    double lr_decay;     /* ADAGRAD: lr / (1 + (step - 1) * lr_decay) */
    int64_t step;        /* 1 at the first step */
} fanin__update_args;

/* name, state arrays: SGD without momentum touches none; RMSPROP s0 square average, s1 buffer if
 * momentum, s2 gradient average if centered. */
#define FANIN__UPDATE_MAP(X) \
    X(SGD, sgd, 1) X(ADAM, adam, 2) X(ADAMW, adamw, 2) X(RMSPROP, rmsprop, 3) X(ADAGRAD, adagrad, 1)
typedef enum fanin__update_kind {
#define FANIN__UPDATE_ENUM(id, name, states) FANIN__UPDATE_##id,
    FANIN__UPDATE_MAP(FANIN__UPDATE_ENUM)
#undef FANIN__UPDATE_ENUM
        FANIN__UPDATE_COUNT
} fanin__update_kind;

/* What the kernels of one update see: the arguments with the step's constants worked out (beta2
 * doubles as RMSPROP's alpha; `shrink` is ADAMW's 1 - lr * weight_decay; lr of ADAGRAD is decayed;
 * step_size = lr / (1 - beta1^step), the other one 1 / sqrt(1 - beta2^step)). */
typedef struct fanin__update_scalars {
    float lr, decay, momentum, one_minus_dampening, beta1, beta2, one_minus_beta1, one_minus_beta2;
    float step_size, inverse_sqrt_correction2, shrink, eps;
    bool nesterov, centered;
} fanin__update_scalars;

/* C = alpha op(A) op(B) + beta C with op by strides: A[m*a_row + k*a_col], B[k*b_row + n*b_col],
 * C[m*c_row + n], so that all four transpositions and sub-matrices are the same call. One of a_row,
 * a_col and one of b_row, b_col is usually 1; any strides work. beta = 0 never reads C (NaN there
 * does not spread). Each element is one sum of products in an order that depends on (M, K, strides,
 * alpha, beta, n_all, instruction set) only, not on which columns are computed, or threads. Single
 * thread, no allocation, about 64 KiB of stack. */
typedef struct fanin__gemm_args {
    size_t m, n, k;
    float alpha, beta;
    const float *a;
    size_t a_row, a_col;
    const float *b;
    size_t b_row, b_col;
    float *c;
    size_t c_row;
    size_t n_all; /* columns of the product that this one is a piece of; 0: it is no piece */
} fanin__gemm_args;

enum { FANIN__SHARED_A = 1, FANIN__SHARED_B = 2 };

enum { FANIN__SUM_BLOCK = 4096 }; /* elements that one leaf of a long reduction adds up */

typedef struct fanin__kernels {
    const char *name; /* "ref", "avx2", "avx512" */
    /* In place allowed. For VS, b[0] is the scalar; for SV, a[0]. */
    void (*binary[FANIN__BINARY_COUNT][FANIN__FORM_COUNT])(size_t n, const float *a, const float *b,
                                                           float *out);
    void (*unary[FANIN__UNARY_COUNT])(size_t n, const float *a, float *out); /* in place allowed */
    void (*axpby)(size_t n, float a, const float *x, float b, float *y);     /* y = a x + b y; b = 0
                                                                            does not read y */
    /* sums[0] = sum x, sums[1] = sum (x - shift)^2 : 16 double chains, then a fixed tree. */
    void (*moments)(size_t n, const float *x, double shift, double sums[2]);
    double (*dot)(size_t n, const float *a, const float *b); /* same tree */
    float (*max)(size_t n, const float *x); /* NaN if any is NaN; -infinity for n = 0 */
    /* sum[c] += x[c] for c < n: a row added to double column sums; and with two factors. */
    void (*add_to_double)(size_t n, const float *x, double *sum);
    void (*add_product_to_double)(size_t n, const float *a, const float *b, double *sum);
    double (*exp_sum)(size_t n, const float *x, float shift, float *out); /* out = exp(x - shift),
                                                         in place allowed; returns the sum */
    /* Rows x columns, one constant a column. sum[c] += x - shift[c], square[c] += (x - shift[c])^2;
     * sum[c] += g, product[c] += g (x - shift[c]); out = (x - mean[c]) factor[c] + shift[c], negative
     * results 0 with `relu`; out = g factor[c] + ((x - mean[c]) slope[c] + shift[c]). out may be x or g. */
    void (*column_moments)(size_t rows, size_t cols, const float *x, const float *shift,
                           double *sum, double *square);
    void (*column_products)(size_t rows, size_t cols, const float *x, const float *g,
                            const float *shift, double *sum, double *product);
    void (*column_affine)(size_t rows, size_t cols, const float *x, const float *mean,
                          const float *factor, const float *shift, bool relu, float *out);
    void (*column_blend)(size_t rows, size_t cols, const float *g, const float *factor,
                         const float *x, const float *mean, const float *slope, const float *shift,
                         float *out);
    void (*transpose)(size_t rows, size_t cols, const float *in, size_t in_row, float *out,
                      size_t out_row); /* out[c*out_row + r] = in[r*in_row + c] */
    /* Of top[2i], top[2i + 1], bottom[2i], bottom[2i + 1] the first maximum (a NaN counts as one) to
     * out[i]; and g[i] to its place, 0 to the three others. */
    void (*quad_max)(size_t n, const float *top, const float *bottom, float *out);
    void (*quad_spread)(size_t n, const float *top, const float *bottom, const float *g,
                        float *to_top, float *to_bottom);
    void (*update[FANIN__UPDATE_COUNT])(size_t n, const fanin__update_scalars *s, const float *g,
                                        float *w, float *s0, float *s1, float *s2);
    void (*gemm)(const fanin__gemm_args *g);
    /* Lanes begin..end of `lanes` independent products side by side, the lane innermost: for each lane l,
     * C[m][n][l] = alpha sum_k A[..][l] B[..][l] + beta C[m][n][l]; strides of g count rows of `lanes`
     * floats. Operands in the mask `shared` have one matrix for all lanes, and strides that count floats. For
     * thousands of replicas of a tiny layer; the same bits on every instruction set. */
    void (*gemm_lanes)(const fanin__gemm_args *g, size_t lanes, unsigned shared, size_t begin,
                       size_t end);
} fanin__kernels;

/* The table of a level (FANIN_CPU_*), or NULL if this build or this machine has none. The table
 * without argument is the best one, fanin_cpu_level(). */
const fanin__kernels *fanin__kernels_level(int level);
const fanin__kernels *fanin__kernels_best(void);

/* ==== 2. functions ======================================================================== */

/* ---- elementwise ---- */

/* out[i] = a[i] op b[i] over `rank` <= FANIN_MAX_RANK axes; out is contiguous row-major; a stride
 * of 0 repeats. Strides count elements. In place allowed where a (or b) has out's own strides. */
void fanin__binary(fanin__binary_op op, int rank, const int64_t *dims, const float *a,
                   const int64_t *a_strides, const float *b, const int64_t *b_strides, float *out);
void fanin__add(size_t n, const float *a, const float *b, float *out); /* in place */
void fanin__mul(size_t n, const float *a, const float *b, float *out); /* in place */
void fanin__scale(size_t n, float a, const float *x, float *out);      /* in place */
void fanin__axpy(size_t n, float a, const float *x, float *y);         /* y += a x */
/* out[i] = x[i] * scale[c] + shift[c] for x[n][c][s] (shift may be NULL). In place. */
void fanin__affine_channels(size_t n, size_t channels, size_t spatial, const float *x,
                            const float *scale, const float *shift, float *out);

/* ---- reductions ---- */

/* Sums are taken in double, in leaves of FANIN__SUM_BLOCK elements (or a fixed number of rows),
 * leaves added in order: same bits for any number of threads. */
double fanin__sum(size_t n, const float *x);
double fanin__dot(size_t n, const float *a, const float *b);
/* out[c] = sum over r of x[r][c] (+ out[c] if `accumulate`): bias gradients. */
void fanin__sum_rows(size_t rows, size_t cols, const float *x, bool accumulate, float *out);
/* out[r] = sum over c of x[r][c]. */
void fanin__sum_columns(size_t rows, size_t cols, const float *x, bool accumulate, float *out);
/* out[c] = sum over n and s of x[n][c][s]. */
void fanin__sum_channels(size_t n, size_t channels, size_t spatial, const float *x, bool accumulate,
                         float *out);
/* Mean and variance (divided by the count) per channel of x[n][c][s]; var may be NULL. */
void fanin__moments_channels(size_t n, size_t channels, size_t spatial, const float *x, float *mean,
                             float *var);

/* ---- rows x columns with constants a column: images whose channels are innermost ---- */

/* doubles that the next two want as `work` */
size_t fanin__column_work(size_t rows, size_t cols);
/* Mean and variance (divided by the rows) of each column in one pass around the first row. */
void fanin__column_moments(size_t rows, size_t cols, const float *x, double *work, float *mean,
                           float *var);
/* sum[c] = sum of g, product[c] = sum of g (x - shift[c]); both point into `work`. */
void fanin__column_products(size_t rows, size_t cols, const float *x, const float *g,
                            const float *shift, double *work, double **sum, double **product);
/* out = (x - mean[c]) factor[c] + shift[c], then max(0, .) if asked. In place. */
void fanin__column_affine(size_t rows, size_t cols, const float *x, const float *mean,
                          const float *factor, const float *shift, bool relu, float *out);
/* out = g factor[c] + (x - mean[c]) slope[c] + shift[c]. In place of g or x. */
void fanin__column_blend(size_t rows, size_t cols, const float *g, const float *factor,
                         const float *x, const float *mean, const float *slope, const float *shift,
                         float *out);

/* ---- rows ---- */

/* y = softmax of each row. In place. A row of -infinity alone gives NaN, as torch. */
void fanin__softmax(size_t rows, size_t cols, const float *x, float *y);
/* dx = (dy - sum(dy y)) y, y being the forward's result. dx may be dy. */
void fanin__softmax_backward(size_t rows, size_t cols, const float *y, const float *dy, float *dx);

/* ---- windows of 2 x 2 side by side ---- */

/* y[p][r][c] = max of x[p][2r..2r+1][2c..2c+1]; the last row or column of an odd image is in no window. */
void fanin__max_quads(size_t planes, size_t height, size_t width, const float *x, float *y);
/* dx = dy at the first maximum of each window (a NaN counts as one), 0 elsewhere. */
void fanin__max_quads_backward(size_t planes, size_t height, size_t width, const float *x,
                               const float *dy, float *dx);

/* ---- layout and products ---- */

/* out[b][c][r] = in[b][r][c]: NCHW <-> NHWC is the batched case. */
void fanin__transpose(size_t batch, size_t rows, size_t cols, const float *in, float *out);
/* The product of the kernel table, C split by columns over the threads when it is worth it. */
void fanin__gemm(const fanin__gemm_args *g);
/* One optimiser step; s0.. as FANIN__UPDATE_MAP (unused ones may be NULL). */
void fanin__update(fanin__update_kind kind, const fanin__update_args *args, size_t n,
                   const float *g, float *w, float *s0, float *s1, float *s2);

/* ==== 3. plans (libfanin-net) ============================================================= */

/* A plan knows shapes and strides, and which implementation runs: oneDNN's, with reorders where a
 * blocked layout is faster, or our own gemm. It holds no data. Buffers are given to each run in the
 * order that the creator documents; `scratch` is fanin__plan_scratch() bytes aligned to 64, shared
 * freely between plans that do not run at the same time (one block of the largest size serves a
 * whole program). One plan runs in one thread at a time, which must not be inside
 * fanin_parallel_for. The number of threads is fanin_threads() at creation.
 *
 * UNSUPPORTED: oneDNN declines, or a dimension is 0; ask the reference kernel. SHAPE: the
 * description contradicts itself. On failure *plan is NULL. */
typedef struct fanin__plan fanin__plan;
void fanin__plan_destroy(fanin__plan *plan); /* NULL is fine */
size_t fanin__plan_scratch(const fanin__plan *plan);
/* Implementation, as "dnnl jit:avx512_core +2 reorders" or "own avx512". Valid while the plan is. */
const char *fanin__plan_variant(const fanin__plan *plan);
/* Floats per element of `buffers` that are missing (NULL where required) give INTERNAL; oneDNN's
 * failures give BACKEND. */
fanin_status fanin__plan_run(fanin__plan *plan, void *const *buffers, void *scratch,
                             fanin_err *err);

/* Layout of activations: NCX channels first (NCHW, the layout of ONNX), NXC channels last (NHWC).
 * Weights are always O I/G K.. as in ONNX. oneDNN's fast kernels work on blocked or NXC data; with
 * NCX a plan reorders on entry and exit where that pays. An engine that keeps a chain of
 * convolution, batch norm, pooling, elementwise in NXC from end to end saves those passes:
 * elementwise kernels do not care, channel sums become fanin__sum_rows, and one fanin__transpose
 * at each end of the chain converts. Measured (two cores, loaded): NXC takes 0.5 to 0.9 of the time
 * of NCX for the convolutions of ResNet-20 and most of ResNet-50; at 7x7 and 14x14 the backward
 * passes are sometimes faster in NCX. */
typedef enum fanin__layout { FANIN__LAYOUT_NCX, FANIN__LAYOUT_NXC } fanin__layout;

/* Do products of bfloat16 pay for the conversion of their operands at each call? With matrix units (AMX). */
bool fanin__bf16_pays(void);

/* ---- matmul ---- */

typedef enum fanin__eltwise {
    FANIN__ELTWISE_NONE,
    FANIN__ELTWISE_RELU,
    FANIN__ELTWISE_TANH,
    FANIN__ELTWISE_SIGMOID
} fanin__eltwise;
typedef enum fanin__bias { FANIN__BIAS_NONE, FANIN__BIAS_N, FANIN__BIAS_M } fanin__bias;
typedef enum fanin__backend {
    FANIN__BACKEND_AUTO,
    FANIN__BACKEND_OWN,
    FANIN__BACKEND_DNNL
} fanin__backend;

enum { FANIN__MAX_BATCH_RANK = 6 };

/* C[b] = act(alpha A[b] B[b] + beta C[b] + bias). Strides count elements; in A and B a batch stride
 * of 0 repeats that operand; C is dense in its last axis (c_row >= n). alpha is given to each run.
 * Buffers: {A, B, bias or NULL, C}. */
typedef struct fanin__matmul_desc {
    int64_t m, n, k;
    int64_t a_row, a_col, b_row, b_col, c_row;
    int batch_rank;
    int64_t batch[FANIN__MAX_BATCH_RANK], a_batch[FANIN__MAX_BATCH_RANK],
        b_batch[FANIN__MAX_BATCH_RANK], c_batch[FANIN__MAX_BATCH_RANK];
    float beta;
    bool scaled;      /* an alpha other than 1 will be given */
    fanin__bias bias; /* N: n values, added to every row; M: m values, added to every column */
    fanin__eltwise eltwise;
    bool bf16;              /* A and B hold bfloat16 values: oneDNN may multiply them as such */
    fanin__backend backend; /* AUTO chooses by size; the others force (tests, benches) */
} fanin__matmul_desc;

fanin_status fanin__matmul_plan_create(const fanin__matmul_desc *desc, fanin__plan **plan,
                                       fanin_err *err);
/* fanin__plan_run with another alpha than 1: W -= lr dY'X is alpha = -lr, beta = 1. */
fanin_status fanin__matmul_plan_run(fanin__plan *plan, float alpha, void *const *buffers,
                                    void *scratch, fanin_err *err);

/* ---- windows: convolution and pooling ---- */

/* Geometry of 1 to 3 spatial axes. dilation as ONNX: 1 is dense. */
typedef struct fanin__window {
    int spatial;
    int64_t in[3], out[3], kernel[3], stride[3], dilation[3], pad_begin[3], pad_end[3];
} fanin__window;

/* Fills out[] = floor((in + pads - dilation*(kernel-1) - 1) / stride) + 1 (`ceil_mode`: ceil, last
 * window dropped if it starts in the end padding); SHAPE if one is below 1. */
fanin_status fanin__window_out(fanin__window *w, bool ceil_mode, fanin_err *err);

typedef enum fanin__pass {
    FANIN__PASS_FORWARD,         /* convolution {x, w, b or NULL, y};   pool {x, y, ws} */
    FANIN__PASS_BACKWARD_DATA,   /* convolution {dy, w, dx};            pool {dy, dx, ws} */
    FANIN__PASS_BACKWARD_WEIGHTS /* convolution {x, dy, dw, db or NULL} */
} fanin__pass;

/* y[n][o][..] = sum x w (cross-correlation), C_in / groups inputs each. dx of a convolution is the
 * forward of the transposed convolution with the same weights. */
typedef struct fanin__conv_desc {
    fanin__pass pass;
    fanin__layout layout;
    int64_t n, c_in, c_out, groups;
    fanin__window window;
    bool bias;
    fanin__eltwise eltwise; /* FORWARD only */
    bool bf16; /* both operands hold bfloat16 values: oneDNN may multiply them as such */
} fanin__conv_desc;

fanin_status fanin__conv_plan_create(const fanin__conv_desc *desc, fanin__plan **plan,
                                     fanin_err *err);

typedef enum fanin__pool_kind {
    FANIN__POOL_MAX,
    FANIN__POOL_AVERAGE,       /* divides by the elements inside the input */
    FANIN__POOL_AVERAGE_PADDED /* count_include_pad: divides by the kernel size */
} fanin__pool_kind;

/* MAX with `training` writes a workspace of fanin__plan_workspace() bytes in FORWARD that
 * BACKWARD_DATA reads (buffer ws; NULL otherwise). Of equal maxima the first gets the gradient. */
typedef struct fanin__pool_desc {
    fanin__pass pass;
    fanin__layout layout;
    fanin__pool_kind kind;
    int64_t n, c;
    fanin__window window;
    bool training;
} fanin__pool_desc;

fanin_status fanin__pool_plan_create(const fanin__pool_desc *desc, fanin__plan **plan,
                                     fanin_err *err);
size_t fanin__plan_workspace(const fanin__plan *plan);

#endif
