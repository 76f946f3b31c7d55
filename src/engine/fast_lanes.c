/* fast_lanes.c - fast kernels of replicas: vectors run along the lanes, which are innermost. */
#include "engine/fast.h"
#include "engine/replicas.h"
#include "operator/loop.h"

#define UNUSED \
    (void)scratch; \
    (void)err

/* ---- products --------------------------------------------------------------------------- */

/* Lanes side by side, or one matrix for all of them. */
static bool lanes_fit(const fanin__tensor *t, int64_t lanes) {
    int last = t->rank - 1;
    bool shared = t->strides[last] == 0;
    for (int i = 0; i < last; i++)
        if (t->strides[i] < 0 || (!shared && t->strides[i] % lanes)) return false;
    return shared || t->strides[last] == 1;
}

static fanin_status run_matmul(fanin__step *s, void *scratch, fanin_err *err) {
    UNUSED;
    const fanin__tensor *a = &s->in[0], *b = &s->in[1];
    int r = s->out.rank;
    int64_t lanes = s->out.dims[r - 1];
    fanin__gemm_args g = {.m = (size_t)s->out.dims[r - 3],
                          .n = (size_t)s->out.dims[r - 2],
                          .k = (size_t)a->dims[r - 2],
                          .alpha = 1};
    bool a_shared = a->strides[r - 1] == 0, b_shared = b->strides[r - 1] == 0;
    size_t a_unit = a_shared ? 1 : (size_t)lanes, b_unit = b_shared ? 1 : (size_t)lanes;
    unsigned shared = (a_shared ? FANIN__SHARED_A : 0u) | (b_shared ? FANIN__SHARED_B : 0u);
    g.a_row = (size_t)a->strides[r - 3] / a_unit;
    g.a_col = (size_t)a->strides[r - 2] / a_unit;
    g.b_row = (size_t)b->strides[r - 3] / b_unit;
    g.b_col = (size_t)b->strides[r - 2] / b_unit;
    g.c_row = g.n;
    /* one product for each index of the axes in front */
    fanin__tensor o = s->out, x = *a, y = *b;
    for (int i = r - 3; i < r; i++) o.dims[i] = x.dims[i] = y.dims[i] = 1;
    fanin__loop l;
    if (!fanin__loop_begin(&l, 3, (const fanin__tensor *[]){&o, &x, &y})) return FANIN_OK;
    do {
        for (int64_t i = 0; i < l.size; i++) {
            g.c = (float *)o.data + l.at[0] + i * l.step[0];
            g.a = (const float *)x.data + l.at[1] + i * l.step[1];
            g.b = (const float *)y.data + l.at[2] + i * l.step[2];
            fanin__kernels_best()->gemm_lanes(&g, (size_t)lanes, shared, 0, (size_t)lanes);
        }
    } while (fanin__loop_next(&l));
    return FANIN_OK;
}

/* ---- the choice ------------------------------------------------------------------------- */

static bool is_float(const fanin__step *s) {
    bool f32 = s->out.dtype == FANIN_F32;
    for (int i = 0; i < s->in_count; i++) f32 = f32 && s->in[i].dtype == FANIN_F32;
    return f32;
}

static fanin__fast_fn choose(const fanin__step *s) {
    int64_t lanes = s->out.rank ? s->out.dims[s->out.rank - 1] : 1;
    if (s->node->op == FANIN__MATMUL_LANES)
        return lanes_fit(&s->in[0], lanes) && lanes_fit(&s->in[1], lanes) ? run_matmul : NULL;
    return fanin__fast_loop(s);
}

void fanin__fast_choose_lanes(fanin__steps *plan) {
    for (int i = 0; i < plan->step_count; i++) {
        fanin__step *s = &plan->steps[i];
        bool copy = s->kernel == fanin__primitive_of(FANIN__COPY)->f32;
        if (s->kernel && !copy && is_float(s) && s->node->count > 0) s->fast = choose(s);
    }
}
