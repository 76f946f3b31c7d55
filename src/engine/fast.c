/* fast.c - fast implementations of the steps of a float32 program. */
#include <string.h>

#include "engine/fast.h"
#include "engine/program.h"

fanin_status fanin__fast_nothing(fanin__step *step, void *scratch, fanin_err *err) {
    (void)step;
    (void)scratch;
    (void)err;
    return FANIN_OK;
}

static bool all_f32(const fanin__step *s) {
    bool f32 = s->out.dtype == FANIN_F32;
    for (int i = 0; i < s->in_count; i++)
        f32 = f32 && (s->in[i].dtype == FANIN_F32 || s->in[i].dtype == FANIN_I64);
    return f32;
}

/* ---- copies between the orders ------------------------------------------------------------ */

/* Whole images from one order to the other are transposed matrices, one a sample. */
static fanin_status run_reorder(fanin__step *s, void *scratch, fanin_err *err) {
    (void)scratch;
    (void)err;
    const fanin__tensor *t = &s->out;
    size_t n = (size_t)t->dims[0], c = (size_t)t->dims[s->turned ? t->rank - 1 : 1];
    size_t positions = s->node->count / (n * c);
    fanin__transpose(n, s->turned ? c : positions, s->turned ? positions : c, s->in[0].data,
                     s->out.data);
    return FANIN_OK;
}

static bool is_reorder(const fanin__steps *plan, const fanin__step *s) {
    const fanin__tensor *from = &plan->slots[s->in_slots[0]].tensor;
    return s->out.dtype == FANIN_F32 &&
           (s->turned ? fanin__tensor_is_packed(from) : fanin__tensor_is_last(from));
}

/* ---- the reference on row-major copies ---------------------------------------------------- */

/* Convolutions and poolings that were given channels-last memory and that no plan takes. */
typedef struct unturned {
    fanin__tensor in[5], out;
} unturned;

static void unturned_destroy(void *state) {
    unturned *u = state;
    for (int i = 0; i < 5; i++) fanin_free_aligned(u->in[i].data);
    fanin_free_aligned(u->out.data);
    fanin_free(u);
}

static fanin_status run_unturned(fanin__step *s, void *scratch, fanin_err *err) {
    (void)scratch;
    (void)err;
    unturned *u = s->fast_state;
    fanin__kernel copy = fanin__primitive_of(FANIN__COPY)->f32;
    for (int i = 0; i < s->in_count; i++) {
        fanin__node as = {.op = FANIN__COPY, .count = s->node->count};
        copy(&as, &s->in[i], 1, &u->in[i]);
    }
    s->kernel(s->node, u->in, s->in_count, &u->out);
    fanin__tensor from = u->out, to = s->out;
    fanin__turn_tensor(&from);
    fanin__turn_tensor(&to);
    copy(s->node, fanin__tensor_only_last(&s->out) ? &from : &u->out, 1,
         fanin__tensor_only_last(&s->out) ? &to : &s->out);
    return FANIN_OK;
}

static bool packed_like(const fanin__tensor *t, fanin__tensor *out) {
    fanin__node n = {.rank = t->rank, .dtype = t->dtype, .count = 1};
    memcpy(n.dims, t->dims, sizeof n.dims);
    for (int i = 0; i < t->rank; i++) n.count *= (size_t)t->dims[i];
    *out = fanin__tensor_packed(&n, fanin_malloc_aligned(n.count * sizeof(float) + 64));
    return out->data != NULL;
}

static fanin_status unturn(fanin__step *s, fanin_err *err) {
    bool needed = !s->turned && fanin__tensor_only_last(&s->out);
    for (int i = 0; i < s->in_count && !s->turned; i++)
        needed =
            needed || (i < 2 && s->node->op >= FANIN__CONV && fanin__tensor_only_last(&s->in[i]));
    if (!needed) return FANIN_OK;
    unturned *u = fanin_calloc(1, sizeof *u);
    bool made = u && packed_like(&s->out, &u->out);
    for (int i = 0; i < s->in_count && made; i++) made = packed_like(&s->in[i], &u->in[i]);
    s->fast_state = u;
    s->fast_destroy = u ? unturned_destroy : NULL;
    s->fast = run_unturned;
    return made ? FANIN_OK : fanin_err_set(err, FANIN_NOMEM, "no memory for a copy");
}

/* A product that descends and that no plan takes: the reference's, then the step. */
typedef struct descent {
    float *gradient;
    const double *rate;
} descent;

static void descent_destroy(void *state) {
    descent *d = state;
    fanin_free_aligned(d->gradient);
    fanin_free(d);
}

static fanin_status run_descent(fanin__step *s, void *scratch, fanin_err *err) {
    (void)scratch;
    (void)err;
    descent *d = s->fast_state;
    fanin__tensor to = s->out;
    to.data = d->gradient;
    s->kernel(s->node, s->in, s->in_count, &to);
    fanin__axpy(s->node->count, (float)-*d->rate, d->gradient, s->out.data);
    return FANIN_OK;
}

static fanin_status descend(const fanin__steps *plan, fanin__step *s, fanin_err *err) {
    descent *d = fanin_calloc(1, sizeof *d);
    float *gradient = d ? fanin_malloc_aligned(s->node->count * sizeof *gradient) : NULL;
    if (!gradient) {
        fanin_free(d);
        return fanin_err_set(err, FANIN_NOMEM, "no memory for a gradient");
    }
    *d = (descent){gradient, &plan->rate};
    s->fast_state = d;
    s->fast_destroy = descent_destroy;
    s->fast = run_descent;
    return FANIN_OK;
}

fanin_status fanin__fast_choose(fanin__steps *plan, size_t *scratch, fanin_err *err) {
    *scratch = 0;
    for (int i = 0; i < plan->step_count; i++) {
        fanin__step *s = &plan->steps[i];
        if (s->fast || !s->kernel || !all_f32(s) || s->node->count == 0) continue;
        /* a copy of a node's value is no step of that node */
        if (s->kernel == fanin__primitive_of(FANIN__COPY)->f32) {
            if (is_reorder(plan, s)) s->fast = run_reorder;
            continue;
        }
        fanin_err declined = {0};
        fanin_status status = fanin__fast_plan(plan, i, scratch, &declined);
        if (status == FANIN_OK) continue;
        if (status == FANIN_NOMEM) return fanin_err_set(err, status, "%s", declined.message);
        s->fast = fanin__fast_rows(s);
        if (!s->fast) s->fast = fanin__fast_loop(s);
        if (!s->fast && s->descends) FANIN_TRY(descend(plan, s, err));
        if (!s->fast) FANIN_TRY(unturn(s, err));
    }
    return FANIN_OK;
}
