/* dnnl_conv.c - convolution: forward, and its two transposes. */
#include <string.h>

#include "compute/plan.h"

/* ---- geometry -------------------------------------------------------------------------- */

fanin_status fanin__window_out(fanin__window *w, bool ceil_mode, fanin_err *err) {
    if (w->spatial < 1 || w->spatial > 3)
        return fanin_err_set(err, FANIN_SHAPE, "a window has %d axes, expected 1 to 3", w->spatial);
    for (int i = 0; i < w->spatial; i++) {
        if (w->kernel[i] < 1 || w->stride[i] < 1 || w->dilation[i] < 1 || w->pad_begin[i] < 0 ||
            w->pad_end[i] < 0)
            return fanin_err_set(
                err, FANIN_SHAPE,
                "axis %d of a window: kernel %lld, stride %lld, dilation %lld must "
                "be at least 1 and pads %lld, %lld at least 0",
                i, (long long)w->kernel[i], (long long)w->stride[i], (long long)w->dilation[i],
                (long long)w->pad_begin[i], (long long)w->pad_end[i]);
        int64_t room =
            w->in[i] + w->pad_begin[i] + w->pad_end[i] - w->dilation[i] * (w->kernel[i] - 1) - 1;
        if (room < 0)
            return fanin_err_set(err, FANIN_SHAPE,
                                 "axis %d: a window of %lld (dilation %lld) does not fit into %lld "
                                 "with pads %lld, %lld",
                                 i, (long long)w->kernel[i], (long long)w->dilation[i],
                                 (long long)w->in[i], (long long)w->pad_begin[i],
                                 (long long)w->pad_end[i]);
        w->out[i] =
            (ceil_mode ? (room + w->stride[i] - 1) / w->stride[i] : room / w->stride[i]) + 1;
        if (ceil_mode && (w->out[i] - 1) * w->stride[i] >= w->in[i] + w->pad_begin[i]) w->out[i]--;
    }
    return FANIN_OK;
}

/* ---- plans ----------------------------------------------------------------------------- */

typedef struct shapes {
    dnnl_memory_desc_t x, w, b, y; /* the caller's */
    dnnl_memory_desc_t xa, wa, ya; /* what the primitive may choose from */
    dnnl_dims_t stride, dilation, pad_begin, pad_end;
} shapes;

static fanin_status check(const fanin__conv_desc *d, fanin_err *err) {
    fanin__window w = d->window;
    FANIN_TRY(fanin__window_out(&w, false, err));
    for (int i = 0; i < w.spatial; i++)
        if (w.out[i] != d->window.out[i])
            return fanin_err_set(err, FANIN_SHAPE, "convolution: axis %d gives %lld, not %lld", i,
                                 (long long)w.out[i], (long long)d->window.out[i]);
    if (d->groups < 1 || d->c_in % d->groups || d->c_out % d->groups)
        return fanin_err_set(err, FANIN_SHAPE,
                             "convolution: %lld groups do not divide %lld and %lld channels",
                             (long long)d->groups, (long long)d->c_in, (long long)d->c_out);
    if (d->n < 1 || d->c_in < 1 || d->c_out < 1)
        return fanin_err_set(err, FANIN_UNSUPPORTED, "convolution: a dimension is 0");
    return FANIN_OK;
}

static fanin_status weights_desc(const fanin__conv_desc *d, dnnl_memory_desc_t *md,
                                 fanin_err *err) {
    int64_t dims[6], strides[6], step = 1;
    int rank = 0;
    if (d->groups > 1) dims[rank++] = d->groups;
    dims[rank++] = d->c_out / d->groups;
    dims[rank++] = d->c_in / d->groups;
    for (int i = 0; i < d->window.spatial; i++) dims[rank++] = d->window.kernel[i];
    for (int i = rank - 1; i >= 0; i--) {
        strides[i] = step;
        step *= dims[i];
    }
    return fanin__memory_desc(md, rank, dims, strides, err);
}

/* An `any` layout has no strides to keep. */
static void retype(dnnl_memory_desc_t *md) {
    if (md->format_kind == dnnl_format_kind_any)
        md->data_type = dnnl_bf16;
    else
        *md = fanin__typed_desc(md, dnnl_bf16);
}

static fanin_status describe_shapes(const fanin__conv_desc *d, shapes *s, fanin_err *err) {
    const fanin__window *w = &d->window;
    memset(s, 0, sizeof *s);
    FANIN_TRY(fanin__image_desc(&s->x, d->layout, d->n, d->c_in, w->spatial, w->in, err));
    FANIN_TRY(fanin__image_desc(&s->y, d->layout, d->n, d->c_out, w->spatial, w->out, err));
    FANIN_TRY(weights_desc(d, &s->w, err));
    if (d->bias) {
        int64_t one = 1;
        FANIN_TRY(fanin__memory_desc(&s->b, 1, &d->c_out, &one, err));
    }
    s->xa = d->layout == FANIN__LAYOUT_NXC ? s->x : fanin__any_desc(&s->x);
    s->ya = d->layout == FANIN__LAYOUT_NXC ? s->y : fanin__any_desc(&s->y);
    s->wa = fanin__any_desc(&s->w);
    if (d->bf16) { /* the two operands of the pass */
        if (d->pass != FANIN__PASS_BACKWARD_DATA) retype(&s->xa);
        if (d->pass != FANIN__PASS_FORWARD) retype(&s->ya);
        if (d->pass != FANIN__PASS_BACKWARD_WEIGHTS) retype(&s->wa);
    }
    for (int i = 0; i < w->spatial; i++) {
        s->stride[i] = w->stride[i];
        s->dilation[i] = w->dilation[i] - 1;
        s->pad_begin[i] = w->pad_begin[i];
        s->pad_end[i] = w->pad_end[i];
    }
    return FANIN_OK;
}

static dnnl_primitive_attr_t eltwise_attr(fanin__eltwise e) {
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    if (e == FANIN__ELTWISE_NONE || dnnl_primitive_attr_create(&attr) != dnnl_success) return NULL;
    dnnl_alg_kind_t kind = e == FANIN__ELTWISE_RELU   ? dnnl_eltwise_relu
                           : e == FANIN__ELTWISE_TANH ? dnnl_eltwise_tanh
                                                      : dnnl_eltwise_logistic;
    if (dnnl_post_ops_create(&ops) != dnnl_success ||
        dnnl_post_ops_append_eltwise(ops, 1, kind, 0, 0) != dnnl_success ||
        dnnl_primitive_attr_set_post_ops(attr, ops) != dnnl_success) {
        dnnl_primitive_attr_destroy(attr);
        attr = NULL;
    }
    if (ops) dnnl_post_ops_destroy(ops);
    return attr;
}

static fanin_status forward_desc(fanin__plan *plan, const fanin__conv_desc *d, const shapes *s,
                                 dnnl_primitive_desc_t *pd, fanin_err *err) {
    dnnl_convolution_desc_t op;
    dnnl_memory_desc_t x = s->xa, w = s->wa, y = s->ya;
    if (d->bf16 && d->pass != FANIN__PASS_FORWARD) { /* a hint: what the backward pass belongs to */
        retype(&x);
        retype(&w);
        retype(&y);
    }
    FANIN_TRY(fanin__dnnl_status(dnnl_dilated_convolution_forward_desc_init(
                                     &op, dnnl_forward_training, dnnl_convolution_direct, &x, &w,
                                     d->bias && d->pass == FANIN__PASS_FORWARD ? &s->b : NULL, &y,
                                     s->stride, s->dilation, s->pad_begin, s->pad_end),
                                 "convolution", err));
    fanin__eltwise e = d->pass == FANIN__PASS_FORWARD ? d->eltwise : FANIN__ELTWISE_NONE;
    dnnl_primitive_attr_t attr = eltwise_attr(e);
    if (e != FANIN__ELTWISE_NONE && !attr)
        return fanin_err_set(err, FANIN_NOMEM, "convolution: not enough memory");
    fanin_status status = fanin__plan_describe(plan, &op, attr, NULL, "convolution", pd, err);
    if (attr) dnnl_primitive_attr_destroy(attr);
    return status;
}

static fanin_status backward_desc(fanin__plan *plan, const fanin__conv_desc *d, const shapes *s,
                                  dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *pd,
                                  fanin_err *err) {
    dnnl_convolution_desc_t op;
    bool weights = d->pass == FANIN__PASS_BACKWARD_WEIGHTS;
    dnnl_status_t status =
        weights ? dnnl_dilated_convolution_backward_weights_desc_init(
                      &op, dnnl_convolution_direct, &s->xa, &s->wa, d->bias ? &s->b : NULL, &s->ya,
                      s->stride, s->dilation, s->pad_begin, s->pad_end)
                : dnnl_dilated_convolution_backward_data_desc_init(
                      &op, dnnl_convolution_direct, &s->xa, &s->wa, &s->ya, s->stride, s->dilation,
                      s->pad_begin, s->pad_end);
    FANIN_TRY(fanin__dnnl_status(status, "convolution backward", err));
    return fanin__plan_describe(plan, &op, NULL, hint, "convolution backward", pd, err);
}

static const dnnl_memory_desc_t *wanted(const_dnnl_primitive_desc_t pd, int id) {
    return dnnl_primitive_desc_query_md(pd, dnnl_query_exec_arg_md, id);
}

static fanin_status bind(fanin__plan *p, const fanin__conv_desc *d, const shapes *s,
                         const_dnnl_primitive_desc_t pd, fanin_err *err) {
    struct {
        int id;
        bool output;
        const dnnl_memory_desc_t *user;
    } rows[3][4] = {
        {{DNNL_ARG_SRC, false, &s->x},
         {DNNL_ARG_WEIGHTS, false, &s->w},
         {DNNL_ARG_BIAS, false, &s->b},
         {DNNL_ARG_DST, true, &s->y}},
        {{DNNL_ARG_DIFF_DST, false, &s->y},
         {DNNL_ARG_WEIGHTS, false, &s->w},
         {DNNL_ARG_DIFF_SRC, true, &s->x},
         {0, false, NULL}},
        {{DNNL_ARG_SRC, false, &s->x},
         {DNNL_ARG_DIFF_DST, false, &s->y},
         {DNNL_ARG_DIFF_WEIGHTS, true, &s->w},
         {DNNL_ARG_DIFF_BIAS, true, &s->b}},
    };
    for (int i = 0; i < 4; i++) {
        int id = rows[d->pass][i].id;
        if (!id || (rows[d->pass][i].user == &s->b && !d->bias)) continue;
        FANIN_TRY(fanin__plan_bind(p, i, id, rows[d->pass][i].output, rows[d->pass][i].user,
                                   wanted(pd, id), err));
    }
    return FANIN_OK;
}

fanin_status fanin__conv_plan_create(const fanin__conv_desc *desc, fanin__plan **out,
                                     fanin_err *err) {
    *out = NULL;
    fanin__plan *plan = NULL;
    dnnl_primitive_desc_t forward = NULL, backward = NULL;
    shapes s;
    FANIN_TRY(check(desc, err));
    FANIN_TRY(describe_shapes(desc, &s, err));
    FANIN_TRY(fanin__plan_new(&plan, err));
    int before = fanin__threads_enter(plan->threads);
    fanin_status status = forward_desc(plan, desc, &s, &forward, err);
    if (status == FANIN_OK && desc->pass != FANIN__PASS_FORWARD)
        status = backward_desc(plan, desc, &s, forward, &backward, err);
    dnnl_primitive_desc_t pd = backward ? backward : forward;
    if (status == FANIN_OK) status = bind(plan, desc, &s, pd, err);
    if (status == FANIN_OK) status = fanin__plan_finish(plan, pd, err);
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
