/* run.c - the steps of a program, one after the other. */
#include <math.h>

#include "engine/replicas.h"

static void fill_uniform(const fanin_program *p, const fanin__step *s) {
    uint64_t key = fanin__uniform_key(p->options.seed, p->runs, s->node->attr.axis);
    for (size_t i = 0; i < s->node->count; i++) {
        double u = fanin__uniform_at(key, i);
        if (s->node->dtype == FANIN_F32)
            ((float *)s->out.data)[i] = (float)u;
        else
            ((double *)s->out.data)[i] = u;
    }
}

static fanin_status run_steps(fanin_program *p, bool all, fanin_err *err) {
    for (int i = 0; i < p->plan.step_count; i++) {
        fanin__step *s = &p->plan.steps[i];
        if (!all && !s->moves) continue;
        /* the weights that made it tell who looks for the reason more than NaN would */
        if (s->descends && !isfinite(fanin_program_loss(p))) continue;
        if (s->fast)
            FANIN_TRY(s->fast(s, p->scratch, err));
        else if (s->kernel)
            s->kernel(s->node, s->in, s->in_count, &s->out);
        else
            fill_uniform(p, s);
    }
    return FANIN_OK;
}

static fanin_status check_targets(const fanin_program *p, fanin_err *err) {
    fanin_buffer b = fanin_program_target(p);
    const int64_t *target = b.data;
    for (size_t i = 0; i < b.count; i++)
        if (target[i] < 0 || target[i] >= p->target_classes)
            return fanin_err_set(err, FANIN_ARG, "target %zu is class %lld, there are %d", i,
                                 (long long)target[i], p->target_classes);
    return FANIN_OK;
}

fanin_status fanin_program_run(fanin_program *p, fanin_err *err) {
    if (p->loss.emit && p->loss.info.target == FANIN_TARGET_CLASS) FANIN_TRY(check_targets(p, err));
    FANIN_TRY(p->replicas ? fanin__replicas_run(p, err) : run_steps(p, true, err));
    p->runs++;
    p->ran = true;
    return FANIN_OK;
}

fanin_status fanin_program_repeat(fanin_program *p, fanin_err *err) {
    if (!p->options.repeats || !p->ran)
        return fanin_err_set(err, FANIN_ARG,
                             "repeat: the program was not made for it, or never ran");
    return run_steps(p, false, err);
}
