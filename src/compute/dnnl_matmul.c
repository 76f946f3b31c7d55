/* dnnl_matmul.c - the chooser of products: own kernels for what is small or thin, oneDNN for the
 * rest. The choice depends on the description and the number of threads only. */
#include <stdio.h>
#include <string.h>

#include "compute/plan.h"

/* ---- normal form ----------------------------------------------------------------------- */

/* An axis of 1 may carry any stride; give it the one that makes the matrix look plain. */
static void plain_strides(int64_t rows, int64_t cols, int64_t *row, int64_t *col) {
    if (cols == 1 && *row != 1) *col = 1;
    if (rows == 1 && *col != 1 && cols > 1) *row = 1;
    if (rows == 1 && *col == 1) *row = cols;
}

/* Drops batch axes of 1 and, where B is shared and the rows of A and C go on evenly, makes the
 * innermost batch axis more rows: T x K by K x N for each of B sequences is one product. */
static void normalise(fanin__matmul_desc *d) {
    int rank = 0;
    for (int i = 0; i < d->batch_rank; i++) {
        if (d->batch[i] == 1) continue;
        d->batch[rank] = d->batch[i];
        d->a_batch[rank] = d->a_batch[i];
        d->b_batch[rank] = d->b_batch[i];
        d->c_batch[rank] = d->c_batch[i];
        rank++;
    }
    if (rank > 0 && d->m == 1) { /* one row each: the batch's own step serves */
        d->a_row = d->a_batch[rank - 1];
        d->c_row = d->c_batch[rank - 1];
    }
    while (rank > 0 && d->bias != FANIN__BIAS_M && d->b_batch[rank - 1] == 0 &&
           d->a_batch[rank - 1] == d->m * d->a_row && d->c_batch[rank - 1] == d->m * d->c_row) {
        d->m *= d->batch[--rank];
    }
    d->batch_rank = rank;
    plain_strides(d->m, d->k, &d->a_row, &d->a_col);
    plain_strides(d->k, d->n, &d->b_row, &d->b_col);
    if (d->m == 1) d->c_row = d->n;
}

static fanin_status check(const fanin__matmul_desc *d, fanin_err *err) {
    if (d->batch_rank < 0 || d->batch_rank > FANIN__MAX_BATCH_RANK)
        return fanin_err_set(err, FANIN_UNSUPPORTED, "matmul: %d batch axes, at most %d",
                             d->batch_rank, FANIN__MAX_BATCH_RANK);
    if (d->m > 1 && d->c_row < d->n)
        return fanin_err_set(err, FANIN_SHAPE, "matmul: rows of C are %lld apart, %lld long",
                             (long long)d->c_row, (long long)d->n);
    bool empty = d->m < 1 || d->n < 1 || d->k < 1;
    for (int i = 0; i < d->batch_rank; i++) empty |= d->batch[i] < 1;
    if (empty) return fanin_err_set(err, FANIN_UNSUPPORTED, "matmul: a dimension is 0");
    return FANIN_OK;
}

/* ---- own ------------------------------------------------------------------------------- */

typedef struct own_job {
    const fanin__plan *plan;
    const fanin__kernels *kernels;
    float alpha;
    void *const *buffers;
    bool alone; /* one product, which may use the threads itself */
} own_job;

static void finish_rows(const own_job *j, float *c) {
    const fanin__matmul_desc *d = &j->plan->matmul;
    const float *bias = j->buffers[2];
    size_t n = (size_t)d->n;
    for (size_t m = 0; m < (size_t)d->m; m++, c += d->c_row) {
        if (d->bias == FANIN__BIAS_N)
            j->kernels->binary[FANIN__BINARY_ADD][FANIN__FORM_VV](n, c, bias, c);
        else if (d->bias == FANIN__BIAS_M)
            j->kernels->binary[FANIN__BINARY_ADD][FANIN__FORM_VS](n, c, bias + m, c);
        if (j->plan->activation) fanin_activation_eval_f32(j->plan->activation, 0, c, c, n);
    }
}

static void own_batches(void *arg, size_t begin, size_t end) {
    const own_job *j = arg;
    const fanin__matmul_desc *d = &j->plan->matmul;
    for (size_t i = begin; i < end; i++) {
        int64_t a = 0, b = 0, c = 0, rest = (int64_t)i;
        for (int axis = d->batch_rank - 1; axis >= 0; axis--) {
            int64_t at = rest % d->batch[axis];
            rest /= d->batch[axis];
            a += at * d->a_batch[axis];
            b += at * d->b_batch[axis];
            c += at * d->c_batch[axis];
        }
        fanin__gemm_args g = {.m = (size_t)d->m,
                              .n = (size_t)d->n,
                              .k = (size_t)d->k,
                              .alpha = j->alpha,
                              .beta = d->beta,
                              .a = (const float *)j->buffers[0] + a,
                              .a_row = (size_t)d->a_row,
                              .a_col = (size_t)d->a_col,
                              .b = (const float *)j->buffers[1] + b,
                              .b_row = (size_t)d->b_row,
                              .b_col = (size_t)d->b_col,
                              .c = (float *)j->buffers[3] + c,
                              .c_row = (size_t)d->c_row};
        if (j->alone)
            fanin__gemm(&g);
        else
            j->kernels->gemm(&g);
        if (d->bias != FANIN__BIAS_NONE || j->plan->activation) finish_rows(j, g.c);
    }
}

static fanin_status own_run(fanin__plan *plan, float alpha, void *const *buffers) {
    const fanin__matmul_desc *d = &plan->matmul;
    size_t count = 1;
    for (int i = 0; i < d->batch_rank; i++) count *= (size_t)d->batch[i];
    own_job j = {plan, fanin__kernels_best(), alpha, buffers, count == 1};
    double flops = 2.0 * (double)d->m * (double)d->n * (double)d->k;
    if (count == 1 || flops * (double)count < 2e6)
        own_batches(&j, 0, count);
    else
        fanin_parallel_for(count, (size_t)(5e5 / flops) + 1, own_batches, &j);
    return FANIN_OK;
}

static fanin_status own_create(fanin__plan *plan, fanin_err *err) {
    plan->own = own_run;
    snprintf(plan->variant, sizeof plan->variant, "own %s", fanin__kernels_best()->name);
    switch (plan->matmul.eltwise) {
    case FANIN__ELTWISE_NONE: return FANIN_OK;
    case FANIN__ELTWISE_RELU:
        return fanin_activation_create(FANIN_ACT_RELU, NULL, &plan->activation, err);
    case FANIN__ELTWISE_TANH:
        return fanin_activation_create(FANIN_ACT_TANH, NULL, &plan->activation, err);
    default: return fanin_activation_create(FANIN_ACT_SIGMOID, NULL, &plan->activation, err);
    }
}

/* ---- oneDNN ---------------------------------------------------------------------------- */

/* rows x cols behind the batch axes; a repeated operand has batch axes of 1. */
static fanin_status matrix_desc(const fanin__matmul_desc *d, const int64_t *batch, int64_t rows,
                                int64_t cols, int64_t row, int64_t col, dnnl_memory_desc_t *md,
                                fanin_err *err) {
    int64_t dims[FANIN__MAX_BATCH_RANK + 2], strides[FANIN__MAX_BATCH_RANK + 2];
    int r = d->batch_rank;
    for (int i = 0; i < r; i++) {
        dims[i] = batch[i] == 0 ? 1 : d->batch[i];
        strides[i] = batch[i] == 0 ? rows * cols : batch[i];
    }
    dims[r] = rows;
    dims[r + 1] = cols;
    strides[r] = row;
    strides[r + 1] = col;
    return fanin__memory_desc(md, r + 2, dims, strides, err);
}

static fanin_status bias_desc(const fanin__matmul_desc *d, dnnl_memory_desc_t *md, fanin_err *err) {
    int64_t dims[FANIN__MAX_BATCH_RANK + 2], strides[FANIN__MAX_BATCH_RANK + 2];
    int rank = d->batch_rank + 2;
    for (int i = 0; i < rank; i++) dims[i] = strides[i] = 1;
    bool by_row = d->bias == FANIN__BIAS_M;
    dims[rank - (by_row ? 2 : 1)] = by_row ? d->m : d->n;
    for (int i = 0; i < rank - 1; i++) strides[i] = by_row ? (i < rank - 2 ? d->m : 1) : d->n;
    return fanin__memory_desc(md, rank, dims, strides, err);
}

static dnnl_status_t matmul_attr(const fanin__matmul_desc *d, dnnl_primitive_attr_t *attr) {
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(attr);
    if (status == dnnl_success) status = dnnl_post_ops_create(&ops);
    if (status == dnnl_success && d->beta != 0) status = dnnl_post_ops_append_sum(ops, d->beta);
    if (status == dnnl_success && d->eltwise != FANIN__ELTWISE_NONE)
        status = dnnl_post_ops_append_eltwise(ops, 1,
                                              d->eltwise == FANIN__ELTWISE_RELU ? dnnl_eltwise_relu
                                              : d->eltwise == FANIN__ELTWISE_TANH
                                                  ? dnnl_eltwise_tanh
                                                  : dnnl_eltwise_logistic,
                                              0, 0);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(*attr, ops);
    if (ops) dnnl_post_ops_destroy(ops);
    return status;
}

/* True if all elements of rows x cols fill one block of memory. */
static bool dense(int64_t rows, int64_t cols, int64_t row, int64_t col) {
    return (col == 1 && row == cols) || (row == 1 && col == rows);
}

/* alpha multiplies the smaller operand, in the scratch block. */
static fanin_status reserve_scaled(fanin__plan *plan, fanin_err *err) {
    const fanin__matmul_desc *d = &plan->matmul;
    bool a = dense(d->m, d->k, d->a_row, d->a_col), b = dense(d->k, d->n, d->b_row, d->b_col);
    if (d->batch_rank > 0 || (!a && !b))
        return fanin_err_set(err, FANIN_UNSUPPORTED, "matmul: alpha with strided or batched data");
    plan->scaled_slot = a && (!b || d->m <= d->n) ? 0 : 1;
    plan->scaled_count = (size_t)d->k * (size_t)(plan->scaled_slot == 0 ? d->m : d->n);
    plan->scaled_offset = fanin__plan_reserve(plan, plan->scaled_count * sizeof(float));
    return FANIN_OK;
}

static fanin_status dnnl_create(fanin__plan *plan, fanin_err *err) {
    const fanin__matmul_desc *d = &plan->matmul;
    dnnl_memory_desc_t a, b, c, bias, as, bs; /* as, bs: how the primitive takes them */
    dnnl_matmul_desc_t op;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    memset(&bias, 0, sizeof bias);
    FANIN_TRY(matrix_desc(d, d->a_batch, d->m, d->k, d->a_row, d->a_col, &a, err));
    FANIN_TRY(matrix_desc(d, d->b_batch, d->k, d->n, d->b_row, d->b_col, &b, err));
    FANIN_TRY(matrix_desc(d, d->c_batch, d->m, d->n, d->c_row, 1, &c, err));
    if (d->bias != FANIN__BIAS_NONE) FANIN_TRY(bias_desc(d, &bias, err));
    if (d->scaled) FANIN_TRY(reserve_scaled(plan, err));
    as = d->bf16 && !d->scaled ? fanin__typed_desc(&a, dnnl_bf16) : a;
    bs = d->bf16 && !d->scaled ? fanin__typed_desc(&b, dnnl_bf16) : b;
    dnnl_status_t s =
        dnnl_matmul_desc_init(&op, &as, &bs, d->bias != FANIN__BIAS_NONE ? &bias : NULL, &c);
    if (s == dnnl_invalid_arguments) s = dnnl_unimplemented;
    fanin_status status = fanin__dnnl_status(s, "matmul", err);
    if (status == FANIN_OK) status = fanin__dnnl_status(matmul_attr(d, &attr), "matmul", err);
    if (status == FANIN_OK)
        status = fanin__plan_describe(plan, &op, attr, NULL, "matmul", &pd, err);
    if (status == FANIN_OK) status = fanin__plan_bind(plan, 0, DNNL_ARG_SRC, false, &a, &as, err);
    if (status == FANIN_OK)
        status = fanin__plan_bind(plan, 1, DNNL_ARG_WEIGHTS, false, &b, &bs, err);
    if (status == FANIN_OK && d->bias != FANIN__BIAS_NONE)
        status = fanin__plan_bind(plan, 2, DNNL_ARG_BIAS, false, &bias, NULL, err);
    if (status == FANIN_OK) status = fanin__plan_bind(plan, 3, DNNL_ARG_DST, true, &c, NULL, err);
    if (status == FANIN_OK) status = fanin__plan_finish(plan, pd, err);
    if (pd) dnnl_primitive_desc_destroy(pd);
    if (attr) dnnl_primitive_attr_destroy(attr);
    return status;
}

/* ---- the chooser ----------------------------------------------------------------------- */

static bool small(const fanin__matmul_desc *d) {
    double flops = 2.0 * (double)d->m * (double)d->n * (double)d->k;
    if (d->batch_rank > 0 && flops < 4e6) return true;
    if (d->m <= 32 || d->n <= 16 || d->k <= 32) return true;
    return flops < 1.6e7;
}

fanin_status fanin__matmul_plan_create(const fanin__matmul_desc *desc, fanin__plan **out,
                                       fanin_err *err) {
    *out = NULL;
    fanin__plan *plan = NULL;
    FANIN_TRY(check(desc, err));
    FANIN_TRY(fanin__plan_new(&plan, err));
    plan->is_matmul = true;
    plan->matmul = *desc;
    normalise(&plan->matmul);
    fanin__backend backend = desc->backend;
    if (backend == FANIN__BACKEND_AUTO)
        backend = small(&plan->matmul) ? FANIN__BACKEND_OWN : FANIN__BACKEND_DNNL;
    fanin_status status = FANIN_UNSUPPORTED;
    if (backend == FANIN__BACKEND_DNNL) {
        int before = fanin__threads_enter(plan->threads);
        status = dnnl_create(plan, err);
        if (status == FANIN_UNSUPPORTED && plan->matmul.bf16) {
            plan->matmul.bf16 = false;
            status = dnnl_create(plan, err);
        }
        fanin__threads_leave(before);
    }
    bool declined = status == FANIN_UNSUPPORTED && desc->backend != FANIN__BACKEND_DNNL;
    if (declined) { /* by oneDNN, or never asked */
        if (err) *err = (fanin_err){0};
        plan->scratch = 0;
        plan->scaled_slot = -1;
        status = own_create(plan, err);
    }
    if (status != FANIN_OK) {
        fanin__plan_destroy(plan);
        return status;
    }
    *out = plan;
    return FANIN_OK;
}

fanin_status fanin__matmul_plan_run(fanin__plan *plan, float alpha, void *const *buffers,
                                    void *scratch, fanin_err *err) {
    if (!plan->is_matmul)
        return fanin_err_set(err, FANIN_INTERNAL, "%s is no matmul", plan->variant);
    if (plan->own) return plan->own(plan, alpha, buffers);
    void *with[4] = {buffers[0], buffers[1], buffers[2], buffers[3]};
    if (alpha != 1) {
        int slot = plan->scaled_slot;
        if (slot < 0 || !scratch)
            return fanin_err_set(err, FANIN_INTERNAL, "%s: alpha %g without `scaled` or scratch",
                                 plan->variant, (double)alpha);
        with[slot] = (char *)scratch + plan->scaled_offset;
        fanin__scale(plan->scaled_count, alpha, buffers[slot], with[slot]);
    }
    return fanin__plan_execute(plan, with, scratch, err);
}
