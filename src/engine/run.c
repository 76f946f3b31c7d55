/* run.c - the steps of a program, one after the other. */
#include "engine/program.h"

/* Finaliser of SplitMix64: a bijection that mixes every bit into every other. */
static uint64_t mixed(uint64_t z) {
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Element i of stream s in run r is a function of (seed, r, s, i) only. */
static void fill_uniform(const fanin_program *p, const fanin__step *s) {
    uint64_t key = mixed(p->options.seed + UINT64_C(0x9e3779b97f4a7c15) * (p->runs + 1));
    key = mixed(key ^ mixed((uint64_t)s->node->attr.axis + 1));
    for (size_t i = 0; i < s->node->count; i++) {
        uint64_t word = mixed(key + UINT64_C(0x9e3779b97f4a7c15) * (i + 1));
        double u = (double)(word >> 40) * 0x1p-24;
        if (s->node->dtype == FANIN_F32)
            ((float *)s->out.data)[i] = (float)u;
        else
            ((double *)s->out.data)[i] = u;
    }
}

fanin_status fanin__steps_run(fanin_program *p, fanin_err *err) {
    for (int i = 0; i < p->plan.step_count; i++) {
        fanin__step *s = &p->plan.steps[i];
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
    if (p->loss && p->loss->classes) FANIN_TRY(check_targets(p, err));
    FANIN_TRY(fanin__steps_run(p, err));
    p->runs++;
    return FANIN_OK;
}
