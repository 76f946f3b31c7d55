/* fast.c - fast implementations of the steps of a float32 program. */
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

fanin_status fanin__fast_choose(fanin__steps *plan, size_t *scratch, fanin_err *err) {
    *scratch = 0;
    for (int i = 0; i < plan->step_count; i++) {
        fanin__step *s = &plan->steps[i];
        if (s->fast || !s->kernel || !all_f32(s) || s->node->count == 0) continue;
        /* a copy of a node's value is no step of that node */
        bool copy = s->kernel == fanin__primitive_of(FANIN__COPY)->f32;
        if (copy) continue;
        fanin_err declined = {0};
        fanin_status status = fanin__fast_plan(plan, i, scratch, &declined);
        if (status == FANIN_OK) continue;
        if (status == FANIN_NOMEM) return fanin_err_set(err, status, "%s", declined.message);
        s->fast = fanin__fast_rows(s);
        if (!s->fast) s->fast = fanin__fast_loop(s);
    }
    return FANIN_OK;
}
