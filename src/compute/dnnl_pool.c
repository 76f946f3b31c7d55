/* dnnl_pool.c - max and average pooling, forward and backward. */
#include <string.h>

#include "compute/plan.h"

typedef struct shapes {
    dnnl_memory_desc_t x, y;
    dnnl_dims_t kernel, stride, dilation, pad_begin, pad_end;
} shapes;

static dnnl_alg_kind_t algorithm(fanin__pool_kind kind) {
    switch (kind) {
    case FANIN__POOL_MAX: return dnnl_pooling_max;
    case FANIN__POOL_AVERAGE: return dnnl_pooling_avg_exclude_padding;
    default: return dnnl_pooling_avg_include_padding;
    }
}

/* True if every window holds at least one element of the input: oneDNN has no answer (-FLT_MAX, or
 * 0/0) for one that lies in the padding altogether. */
static bool all_windows_meet_input(const fanin__window *w) {
    for (int i = 0; i < w->spatial; i++)
        for (int64_t o = 0; o < w->out[i]; o++) {
            bool meets = false;
            for (int64_t k = 0; k < w->kernel[i] && !meets; k++) {
                int64_t at = o * w->stride[i] + k * w->dilation[i] - w->pad_begin[i];
                meets = at >= 0 && at < w->in[i];
            }
            if (!meets) return false;
        }
    return true;
}

/* oneDNN wants an end pad that reaches just as far as the last window; a window that ceil mode
 * lets hang over the caller's padding would change the divisor of a padded average. */
static fanin_status describe_shapes(const fanin__pool_desc *d, shapes *s, fanin_err *err) {
    const fanin__window *w = &d->window;
    memset(s, 0, sizeof *s);
    for (int i = 0; i < w->spatial; i++) {
        int64_t reach = w->dilation[i] * (w->kernel[i] - 1) + 1;
        int64_t end = (w->out[i] - 1) * w->stride[i] + reach - w->in[i] - w->pad_begin[i];
        if (end > w->pad_end[i] && d->kind == FANIN__POOL_AVERAGE_PADDED)
            return fanin_err_set(err, FANIN_UNSUPPORTED,
                                 "pooling: a padded average with a window beyond the padding");
        if (w->out[i] < 1 || end >= w->pad_end[i] + w->stride[i] ||
            end <= w->pad_end[i] - w->stride[i])
            return fanin_err_set(err, FANIN_SHAPE, "pooling: axis %d cannot give %lld windows", i,
                                 (long long)w->out[i]);
        s->kernel[i] = w->kernel[i];
        s->stride[i] = w->stride[i];
        s->dilation[i] = w->dilation[i] - 1;
        s->pad_begin[i] = w->pad_begin[i];
        s->pad_end[i] = end > 0 ? end : 0;
    }
    FANIN_TRY(fanin__image_desc(&s->x, d->layout, d->n, d->c, w->spatial, w->in, err));
    return fanin__image_desc(&s->y, d->layout, d->n, d->c, w->spatial, w->out, err);
}

static fanin_status describe(fanin__plan *plan, const fanin__pool_desc *d, const shapes *s,
                             dnnl_primitive_desc_t *forward, dnnl_primitive_desc_t *backward,
                             fanin_err *err) {
    dnnl_pooling_v2_desc_t op;
    bool training = d->training || d->pass != FANIN__PASS_FORWARD;
    dnnl_status_t status = dnnl_pooling_v2_forward_desc_init(
        &op, training ? dnnl_forward_training : dnnl_forward_inference, algorithm(d->kind), &s->x,
        &s->y, s->stride, s->kernel, s->dilation, s->pad_begin, s->pad_end);
    if (status == dnnl_invalid_arguments) status = dnnl_unimplemented;
    FANIN_TRY(fanin__dnnl_status(status, "pooling", err));
    FANIN_TRY(fanin__plan_describe(plan, &op, NULL, NULL, "pooling", forward, err));
    if (d->pass == FANIN__PASS_FORWARD) return FANIN_OK;
    status = dnnl_pooling_v2_backward_desc_init(&op, algorithm(d->kind), &s->x, &s->y, s->stride,
                                                s->kernel, s->dilation, s->pad_begin, s->pad_end);
    FANIN_TRY(fanin__dnnl_status(status, "pooling backward", err));
    return fanin__plan_describe(plan, &op, NULL, *forward, "pooling backward", backward, err);
}

static fanin_status bind(fanin__plan *p, const fanin__pool_desc *d, const shapes *s,
                         const_dnnl_primitive_desc_t forward, fanin_err *err) {
    if (d->pass == FANIN__PASS_FORWARD) {
        FANIN_TRY(fanin__plan_bind(p, 0, DNNL_ARG_SRC, false, &s->x, NULL, err));
        FANIN_TRY(fanin__plan_bind(p, 1, DNNL_ARG_DST, true, &s->y, NULL, err));
    } else {
        FANIN_TRY(fanin__plan_bind(p, 0, DNNL_ARG_DIFF_DST, false, &s->y, NULL, err));
        FANIN_TRY(fanin__plan_bind(p, 1, DNNL_ARG_DIFF_SRC, true, &s->x, NULL, err));
    }
    const dnnl_memory_desc_t *ws =
        dnnl_primitive_desc_query_md(forward, dnnl_query_workspace_md, 0);
    p->workspace = ws ? dnnl_memory_desc_get_size(ws) : 0;
    if (p->workspace == 0) return FANIN_OK;
    return fanin__plan_bind(p, 2, DNNL_ARG_WORKSPACE, d->pass == FANIN__PASS_FORWARD, ws, NULL,
                            err);
}

fanin_status fanin__pool_plan_create(const fanin__pool_desc *desc, fanin__plan **out,
                                     fanin_err *err) {
    *out = NULL;
    fanin__plan *plan = NULL;
    dnnl_primitive_desc_t forward = NULL, backward = NULL;
    shapes s;
    if (desc->n < 1 || desc->c < 1)
        return fanin_err_set(err, FANIN_UNSUPPORTED, "pooling: a dimension is 0");
    if (desc->pass == FANIN__PASS_BACKWARD_WEIGHTS)
        return fanin_err_set(err, FANIN_ARG, "pooling has no weights");
    fanin__window w = desc->window;
    FANIN_TRY(fanin__window_out(&w, false, err));
    FANIN_TRY(describe_shapes(desc, &s, err));
    if (desc->kind != FANIN__POOL_AVERAGE_PADDED && !all_windows_meet_input(&desc->window))
        return fanin_err_set(err, FANIN_UNSUPPORTED, "pooling: a window lies in the padding");
    FANIN_TRY(fanin__plan_new(&plan, err));
    int before = fanin__threads_enter(plan->threads);
    fanin_status status = describe(plan, desc, &s, &forward, &backward, err);
    if (status == FANIN_OK) status = bind(plan, desc, &s, forward, err);
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
