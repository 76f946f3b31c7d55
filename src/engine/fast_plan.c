/* fast_plan.c - products, convolutions and pooling as compute's plans. */
#include <string.h>

#include "engine/fast.h"
#include "operator/function.h"

typedef struct planned {
    fanin__plan *plan;
    void *buffers[8];
    const double *rate; /* of a product that descends */
    void *workspace;    /* of a max pooling, shared by forward and backward; owned by the forward */
} planned;

static void planned_destroy(void *state) {
    planned *p = state;
    fanin__plan_destroy(p->plan);
    fanin_free_aligned(p->workspace);
    fanin_free(p);
}

static fanin_status run_planned(fanin__step *s, void *scratch, fanin_err *err) {
    planned *p = s->fast_state;
    return fanin__plan_run(p->plan, p->buffers, scratch, err);
}

static fanin_status run_descent(fanin__step *s, void *scratch, fanin_err *err) {
    planned *p = s->fast_state;
    return fanin__matmul_plan_run(p->plan, (float)-*p->rate, p->buffers, scratch, err);
}

/* The step takes the plan over; on failure it is destroyed. */
static fanin_status adopt(fanin__step *s, fanin__plan *plan, size_t *scratch, planned **out,
                          fanin_err *err) {
    planned *p = fanin_calloc(1, sizeof *p);
    if (!p) {
        fanin__plan_destroy(plan);
        return fanin_err_set(err, FANIN_NOMEM, "no memory for a plan");
    }
    p->plan = plan;
    if (fanin__plan_scratch(plan) > *scratch) *scratch = fanin__plan_scratch(plan);
    s->fast = run_planned;
    s->fast_state = p;
    s->fast_destroy = planned_destroy;
    *out = p;
    return FANIN_OK;
}

/* ---- what follows a product ------------------------------------------------------------- */

/* A bias and an activation that can be taken along: the steps that do them now. */
typedef struct tail {
    int bias_step, map_step; /* -1: none */
    const float *bias;
    fanin__eltwise eltwise;
    float *out; /* where the last of them writes */
} tail;

/* The only step that reads storage of slot `slot`, -1 if there are several or it stays visible. */
static int only_reader(const fanin__steps *plan, int slot, int after) {
    int storage = plan->slots[slot].storage, found = -1;
    if (plan->storages[storage].pinned) return -1;
    for (int i = after + 1; i <= plan->storages[storage].last && i < plan->step_count; i++) {
        const fanin__step *s = &plan->steps[i];
        bool reads = false;
        for (int k = 0; k < s->in_count; k++)
            reads = reads || plan->slots[s->in_slots[k]].storage == storage;
        if (!reads) continue;
        if (found >= 0) return -1;
        found = i;
    }
    return found;
}

/* May step `from` write where step `to` does now? Either it is the same memory, or nobody else ever
 * uses it. */
static bool may_write_there(const fanin__steps *plan, const fanin__step *from,
                            const fanin__step *to) {
    return to->out.data == from->out.data ||
           plan->storages[plan->slots[to->out_slot].storage].pinned;
}

/* Is `t` a vector along `axis` of the result (counted in groups: before, axis, after)? */
static bool vector_along(const fanin__tensor *t, int axis) {
    for (int i = 0; i < t->rank; i++)
        if (t->dims[i] != 1 && t->strides[i] != (i == axis)) return false;
    return axis >= 0 && axis < t->rank;
}

static bool known_before(const fanin__steps *plan, int slot, int step) {
    int at = slot;
    while (plan->slots[at].viewed >= 0) at = plan->slots[at].viewed;
    return plan->slots[at].step < step;
}

/* bias_axis of the result of `step`: the last (products) or 1 (convolutions). */
static tail find_tail(fanin__steps *plan, int step, int channel_axis) {
    tail t = {-1, -1, NULL, FANIN__ELTWISE_NONE, plan->steps[step].out.data};
    int last = step, next = only_reader(plan, plan->steps[step].out_slot, step);
    if (next >= 0 && plan->steps[next].node->op == FANIN__BINARY &&
        plan->steps[next].node->attr.kind == FANIN__ADD &&
        plan->steps[next].out_slot == plan->slot_of[plan->steps[next].node_id]) {
        const fanin__step *s = &plan->steps[next];
        for (int k = 0; k < 2; k++) {
            int storage = plan->slots[s->in_slots[k]].storage, other = s->in_slots[1 - k];
            int axis = channel_axis < 0 || s->turned ? s->out.rank - 1 : channel_axis;
            const fanin__node *mine = plan->steps[step].node;
            bool same_rows = channel_axis >= 0 ? s->out.rank == mine->rank
                                               : s->out.dims[axis] == mine->dims[mine->rank - 1];
            if (storage == plan->slots[plan->steps[step].out_slot].storage && same_rows &&
                s->node->count == mine->count && fanin__tensor_is_packed(&s->in[k]) &&
                vector_along(&s->in[1 - k], axis) && s->out.dims[axis] > 1 &&
                s->in[1 - k].strides[axis] == 1 && known_before(plan, other, step) &&
                may_write_there(plan, &plan->steps[step], s)) {
                t.bias_step = last = next;
                t.bias = s->in[1 - k].data;
                t.out = s->out.data;
            }
        }
        next = t.bias_step >= 0 ? only_reader(plan, s->out_slot, next) : next;
    }
    if (next < 0) return t;
    const fanin__step *s = &plan->steps[next];
    int kind = s->node->op == FANIN__MAP ? s->node->attr.kind : -1;
    fanin__eltwise eltwise = kind == FANIN__FN_TANH      ? FANIN__ELTWISE_TANH
                             : kind == FANIN__FN_RELU    ? FANIN__ELTWISE_RELU
                             : kind == FANIN__FN_SIGMOID ? FANIN__ELTWISE_SIGMOID
                                                         : FANIN__ELTWISE_NONE;
    if (eltwise != FANIN__ELTWISE_NONE && s->kernel != fanin__primitive_of(FANIN__COPY)->f32 &&
        fanin__tensor_is_packed(&s->in[0]) && s->node->count == plan->steps[step].node->count &&
        may_write_there(plan, &plan->steps[last], s)) {
        t.map_step = next;
        t.eltwise = eltwise;
        t.out = s->out.data;
    }
    return t;
}

static void silence(fanin__steps *plan, const tail *t) {
    if (t->bias_step >= 0) plan->steps[t->bias_step].fast = fanin__fast_nothing;
    if (t->map_step >= 0) plan->steps[t->map_step].fast = fanin__fast_nothing;
}

/* A relu that alone reads a channels-last batch norm is done by it. Declines in every case: the step
 * is fast_rows'. */
static fanin_status plan_norm(fanin__steps *plan, int step) {
    fanin__step *s = &plan->steps[step];
    int next = only_reader(plan, s->out_slot, step);
    if (next < 0 || !fanin__tensor_only_last(&s->out)) return FANIN_UNSUPPORTED;
    fanin__step *map = &plan->steps[next];
    if (map->node->op != FANIN__MAP || map->node->attr.kind != FANIN__FN_RELU || !map->turned ||
        map->kernel == fanin__primitive_of(FANIN__COPY)->f32 || !may_write_there(plan, s, map))
        return FANIN_UNSUPPORTED;
    s->rectify = true;
    s->out.data = map->out.data;
    map->fast = fanin__fast_nothing;
    return FANIN_UNSUPPORTED;
}

/* ---- products --------------------------------------------------------------------------- */

static fanin_status plan_matmul(fanin__steps *plan, int step, size_t *scratch, fanin_err *err) {
    fanin__step *s = &plan->steps[step];
    int r = s->out.rank;
    if (r - 2 > FANIN__MAX_BATCH_RANK) return FANIN_UNSUPPORTED;
    const fanin__tensor *a = &s->in[0], *b = &s->in[1], *c = &s->out;
    for (int i = 0; i < r; i++)
        if (a->strides[i] < 0 || b->strides[i] < 0) return FANIN_UNSUPPORTED;
    fanin__matmul_desc d = {.m = c->dims[r - 2],
                            .n = c->dims[r - 1],
                            .k = a->dims[r - 1],
                            .a_row = a->strides[r - 2],
                            .a_col = a->strides[r - 1],
                            .b_row = b->strides[r - 2],
                            .b_col = b->strides[r - 1],
                            .c_row = c->strides[r - 2],
                            .batch_rank = r - 2,
                            .bf16 = plan->ir->bf16 && fanin__bf16_pays()};
    for (int i = 0; i < r - 2; i++) {
        d.batch[i] = c->dims[i];
        d.a_batch[i] = a->strides[i];
        d.b_batch[i] = b->strides[i];
        d.c_batch[i] = c->strides[i];
    }
    tail t = {-1, -1, NULL, FANIN__ELTWISE_NONE, s->out.data};
    if (s->descends) {
        d.beta = 1;
        d.scaled = true;
    } else {
        t = find_tail(plan, step, -1);
    }
    d.bias = t.bias ? FANIN__BIAS_N : FANIN__BIAS_NONE;
    d.eltwise = t.eltwise;
    fanin__plan *made;
    FANIN_TRY(fanin__matmul_plan_create(&d, &made, err));
    planned *p = NULL;
    FANIN_TRY(adopt(s, made, scratch, &p, err));
    p->buffers[0] = a->data;
    p->buffers[1] = b->data;
    p->buffers[2] = (void *)t.bias;
    p->buffers[3] = t.out;
    p->rate = &plan->rate;
    if (s->descends) s->fast = run_descent;
    silence(plan, &t);
    return FANIN_OK;
}

/* ---- windows ---------------------------------------------------------------------------- */

static fanin__window window_of(const fanin__op_window *w, const int64_t *in, const int64_t *out) {
    fanin__window v = {.spatial = w->rank};
    for (int i = 0; i < w->rank; i++) {
        v.in[i] = in[i];
        v.out[i] = out[i];
        v.kernel[i] = w->kernel[i];
        v.stride[i] = w->stride[i];
        v.dilation[i] = w->dilation[i];
        v.pad_begin[i] = w->before[i];
        v.pad_end[i] = w->after[i];
    }
    return v;
}

static fanin__layout layout_of(const fanin__tensor *x, const fanin__tensor *y) {
    return fanin__tensor_only_last(x) || fanin__tensor_only_last(y) ? FANIN__LAYOUT_NXC
                                                                    : FANIN__LAYOUT_NCX;
}

static fanin_status plan_conv(fanin__steps *plan, int step, size_t *scratch, fanin_err *err) {
    fanin__step *s = &plan->steps[step];
    const fanin__op_window *w = &s->node->attr.window;
    const fanin__tensor *x = &s->in[0], *k = &s->in[1], *y = &s->out;
    fanin__conv_desc d = {.pass = FANIN__PASS_FORWARD, .groups = w->groups};
    tail t = {-1, -1, NULL, FANIN__ELTWISE_NONE, s->out.data};
    if (s->node->op == FANIN__CONV) {
        t = find_tail(plan, step, 1);
    } else if (s->node->op == FANIN__CONV_DATA) {
        d.pass = FANIN__PASS_BACKWARD_DATA;
        x = &s->out;
        y = &s->in[0];
    } else {
        d.pass = FANIN__PASS_BACKWARD_WEIGHTS;
        k = &s->out;
        y = &s->in[1];
    }
    d.layout = layout_of(x, y);
    d.bf16 = plan->ir->bf16 && fanin__bf16_pays();
    d.n = x->dims[0];
    d.c_in = x->dims[1];
    d.c_out = k->dims[0];
    d.window = window_of(w, x->dims + 2, y->dims + 2);
    d.bias = t.bias != NULL;
    d.eltwise = t.eltwise;
    fanin__plan *made;
    fanin_status status = fanin__conv_plan_create(&d, &made, err);
    if (status == FANIN_UNSUPPORTED && d.bf16) {
        d.bf16 = false;
        status = fanin__conv_plan_create(&d, &made, err);
    }
    FANIN_TRY(status);
    planned *p = NULL;
    FANIN_TRY(adopt(s, made, scratch, &p, err));
    p->buffers[0] = s->in[0].data;
    p->buffers[1] = s->in[1].data;
    if (d.pass == FANIN__PASS_FORWARD) {
        p->buffers[2] = (void *)t.bias;
        p->buffers[3] = t.out;
    } else {
        p->buffers[2] = s->out.data;
    }
    silence(plan, &t);
    return FANIN_OK;
}

/* N and C of a pooling over the last axes; false if there are too few axes in front. */
static bool pool_desc(const fanin__step *s, const fanin__tensor *x, const fanin__tensor *y,
                      fanin__pool_desc *d) {
    const fanin__op_window *w = &s->node->attr.window;
    int lead = x->rank - w->rank;
    if (lead < 1) return false;
    d->n = x->dims[0];
    d->c = 1;
    for (int i = 1; i < lead; i++) d->c *= x->dims[i];
    d->window = window_of(w, x->dims + lead, y->dims + lead);
    d->layout = layout_of(x, y);
    return true;
}

/* The pooling that the adjoint belongs to remembers where the maxima are. */
static planned *forward_pool(const fanin__steps *plan, const fanin__step *s) {
    for (const fanin__step *f = plan->steps; f < s; f++)
        if (f->node->op == FANIN__MAXPOOL && f->fast == run_planned &&
            f->node->inputs[0] == s->node->inputs[0] &&
            !memcmp(&f->node->attr.window, &s->node->attr.window, sizeof f->node->attr.window))
            return f->fast_state;
    return NULL;
}

static fanin_status plan_maxpool(fanin__steps *plan, int step, size_t *scratch, fanin_err *err) {
    fanin__step *s = &plan->steps[step];
    bool backward = s->node->op == FANIN__MAXPOOL_SCATTER;
    fanin__pool_desc d = {.kind = FANIN__POOL_MAX, .training = true};
    planned *forward = backward ? forward_pool(plan, s) : NULL, *p = NULL;
    if (fanin__quads_fit(s) || (backward && !forward)) return FANIN_UNSUPPORTED;
    d.pass = backward ? FANIN__PASS_BACKWARD_DATA : FANIN__PASS_FORWARD;
    if (!pool_desc(s, &s->in[0], backward ? &s->in[1] : &s->out, &d)) return FANIN_UNSUPPORTED;
    fanin__plan *made;
    FANIN_TRY(fanin__pool_plan_create(&d, &made, err));
    FANIN_TRY(adopt(s, made, scratch, &p, err));
    if (backward) {
        p->buffers[0] = s->in[1].data;
        p->buffers[1] = s->out.data;
        p->buffers[2] = forward->workspace;
        return FANIN_OK;
    }
    size_t size = fanin__plan_workspace(made);
    p->workspace = fanin_malloc_aligned(size ? size : 64);
    if (!p->workspace) return fanin_err_set(err, FANIN_NOMEM, "no memory for a pooling");
    p->buffers[0] = s->in[0].data;
    p->buffers[1] = s->out.data;
    p->buffers[2] = p->workspace;
    return FANIN_OK;
}

fanin_status fanin__fast_plan(fanin__steps *plan, int step, size_t *scratch, fanin_err *err) {
    const fanin__node *n = plan->steps[step].node;
    size_t need = fanin__fast_rows_scratch(&plan->steps[step]);
    if (need > *scratch) *scratch = need;
    switch (n->op) {
    case FANIN__MATMUL: return plan_matmul(plan, step, scratch, err);
    case FANIN__NORM_APPLY: return plan_norm(plan, step);
    case FANIN__CONV:
    case FANIN__CONV_DATA:
    case FANIN__CONV_WEIGHT: return plan_conv(plan, step, scratch, err);
    case FANIN__MAXPOOL:
    case FANIN__MAXPOOL_SCATTER: return plan_maxpool(plan, step, scratch, err);
    default: return FANIN_UNSUPPORTED;
    }
}
