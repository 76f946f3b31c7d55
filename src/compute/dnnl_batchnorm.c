/* dnnl_batchnorm.c - batch norm with its own statistics (training) or given ones, and backward. */
#include <string.h>

#include "compute/plan.h"

static fanin_status describe(fanin__plan *plan, const fanin__batchnorm_desc *d,
                             const dnnl_memory_desc_t *x, dnnl_primitive_desc_t *forward,
                             dnnl_primitive_desc_t *backward, fanin_err *err) {
    dnnl_batch_normalization_desc_t op;
    unsigned flags = dnnl_use_scale | dnnl_use_shift;
    if (!d->statistics) flags |= dnnl_use_global_stats;
    dnnl_prop_kind_t kind = d->statistics || d->pass != FANIN__PASS_FORWARD
                                ? dnnl_forward_training
                                : dnnl_forward_inference;
    FANIN_TRY(
        fanin__dnnl_status(dnnl_batch_normalization_forward_desc_init(&op, kind, x, d->eps, flags),
                           "batch norm", err));
    FANIN_TRY(fanin__plan_describe(plan, &op, NULL, NULL, "batch norm", forward, err));
    if (d->pass == FANIN__PASS_FORWARD) return FANIN_OK;
    FANIN_TRY(fanin__dnnl_status(
        dnnl_batch_normalization_backward_desc_init(&op, dnnl_backward, x, x, d->eps, flags),
        "batch norm backward", err));
    return fanin__plan_describe(plan, &op, NULL, *forward, "batch norm backward", backward, err);
}

typedef struct row {
    int id;
    bool output, channels;
} row;

static fanin_status bind(fanin__plan *p, const fanin__batchnorm_desc *d,
                         const dnnl_memory_desc_t *x, fanin_err *err) {
    const row forward[] = {{DNNL_ARG_SRC, false, false},  {DNNL_ARG_SCALE, false, true},
                           {DNNL_ARG_SHIFT, false, true}, {DNNL_ARG_DST, true, false},
                           {DNNL_ARG_MEAN, true, true},   {DNNL_ARG_VARIANCE, true, true}};
    const row backward[] = {{DNNL_ARG_SRC, false, false},      {DNNL_ARG_DIFF_DST, false, false},
                            {DNNL_ARG_SCALE, false, true},     {DNNL_ARG_MEAN, false, true},
                            {DNNL_ARG_VARIANCE, false, true},  {DNNL_ARG_DIFF_SRC, true, false},
                            {DNNL_ARG_DIFF_SCALE, true, true}, {DNNL_ARG_DIFF_SHIFT, true, true}};
    bool is_forward = d->pass == FANIN__PASS_FORWARD;
    const row *rows = is_forward ? forward : backward;
    int count = is_forward ? 6 : 8;
    dnnl_memory_desc_t channels;
    int64_t one = 1;
    FANIN_TRY(fanin__memory_desc(&channels, 1, &d->c, &one, err));
    for (int i = 0; i < count; i++)
        FANIN_TRY(fanin__plan_bind(p, i, rows[i].id, rows[i].output,
                                   rows[i].channels ? &channels : x, NULL, err));
    /* oneDNN 2.6 counts a shift among the inputs of the backward pass and never reads it. */
    if (!is_forward) FANIN_TRY(fanin__plan_bind(p, 2, DNNL_ARG_SHIFT, false, &channels, NULL, err));
    return FANIN_OK;
}

fanin_status fanin__batchnorm_plan_create(const fanin__batchnorm_desc *desc, fanin__plan **out,
                                          fanin_err *err) {
    *out = NULL;
    fanin__plan *plan = NULL;
    dnnl_primitive_desc_t forward = NULL, backward = NULL;
    dnnl_memory_desc_t x;
    if (desc->n < 1 || desc->c < 1 || desc->spatial < 1)
        return fanin_err_set(err, FANIN_UNSUPPORTED, "batch norm: a dimension is 0");
    if (desc->pass == FANIN__PASS_BACKWARD_WEIGHTS)
        return fanin_err_set(err, FANIN_ARG, "batch norm: its backward pass is BACKWARD_DATA");
    memset(&x, 0, sizeof x);
    /* Two spatial axes, one of them 1: the layouts that oneDNN's kernels are written for. */
    int64_t spatial[2] = {1, desc->spatial};
    FANIN_TRY(fanin__image_desc(&x, desc->layout, desc->n, desc->c, 2, spatial, err));
    FANIN_TRY(fanin__plan_new(&plan, err));
    int before = fanin__threads_enter(plan->threads);
    fanin_status status = describe(plan, desc, &x, &forward, &backward, err);
    if (status == FANIN_OK) status = bind(plan, desc, &x, err);
    if (status == FANIN_OK) status = fanin__plan_finish(plan, backward ? backward : forward, err);
    fanin__threads_leave(before);
    if (backward) dnnl_primitive_desc_destroy(backward);
    if (forward) dnnl_primitive_desc_destroy(forward);
    if (status != FANIN_OK) {
        fanin__plan_destroy(plan);
        return status;
    }
    *out = plan;
    return FANIN_OK;
}
