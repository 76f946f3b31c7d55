/* optimizer.c - an optimiser bound to a program: its weights, their groups, their state, one step. */
#include "train/optimizer.h"

#include <string.h>

#include "base/base.h"

static bool trained(const fanin_program *p, int i) {
    return fanin_program_gradient(p, i).data != NULL || fanin_program_descends(p, i);
}

/* ---- creation ------------------------------------------------------------------------------------ */

static int output_node(const fanin_tensors *tensors) {
    for (int k = 0; k < tensors->count; k++)
        if (tensors->items[k].tensor.cls == FANIN_CLASS_OUTPUT) return tensors->items[k].node;
    return -1;
}

/* What each weight is to its network, as schemes see it. */
static fanin_status classify(fanin_optimizer *o, fanin_err *err) {
    fanin_tensors *tensors;
    const fanin_graph *graph = fanin_program_graph(o->program);
    FANIN_TRY(fanin_tensors_create(graph, NULL, &tensors, err));
    int output = output_node(tensors);
    for (int i = 0; i < o->count; i++) {
        fanin__param *p = &o->params[i];
        int value = fanin_program_weight_value(o->program, p->weight);
        for (int k = 0; k < tensors->count; k++) {
            if (tensors->items[k].value != value) continue;
            p->cls = tensors->items[k].tensor.cls;
            p->output = tensors->items[k].node >= 0 && tensors->items[k].node == output;
            if (p->rank > 1) p->out_axis = tensors->items[k].tensor.out_axis;
        }
    }
    fanin_tensors_destroy(tensors);
    return FANIN_OK;
}

static fanin_status need_float32(const fanin_program *p, const char *optimizer, fanin_err *err) {
    for (int i = 0; i < fanin_program_weight_count(p); i++) {
        fanin_dtype dtype = fanin_program_weight(p, i).dtype;
        if (!trained(p, i) || dtype == FANIN_F32) continue;
        return fanin_err_set(err, FANIN_ARG,
                             "optimizer %s: weight '%.120s' of the program is %s, updates are F32",
                             optimizer, fanin_program_weight_name(p, i), fanin_dtype_name(dtype));
    }
    return FANIN_OK;
}

static int slot_count(const fanin__optimizer_row *r) {
    int n = 0;
    while (n < FANIN__SLOTS_MAX && r->slots[n]) n++;
    return n;
}

static fanin_status allocate(fanin_optimizer *o) {
    int weights = fanin_program_weight_count(o->program), slots = slot_count(o->row);
    size_t count = 0;
    o->params = fanin_calloc((size_t)weights + 1, sizeof *o->params);
    if (!o->params) return FANIN_NOMEM;
    for (int i = 0; i < weights; i++) {
        if (!trained(o->program, i)) continue;
        fanin_buffer w = fanin_program_weight(o->program, i);
        o->params[o->count++] = (fanin__param){.weight = i,
                                               .name = fanin_program_weight_name(o->program, i),
                                               .count = w.count,
                                               .rank = w.rank,
                                               .out_axis = -1,
                                               .lr = 1,
                                               .decay = 1};
        count += w.count;
    }
    o->state = fanin_calloc(count * (size_t)slots + 1, sizeof *o->state);
    if (!o->state) return FANIN_NOMEM;
    float *at = o->state;
    for (int i = 0; i < o->count; i++)
        for (int s = 0; s < slots; s++) {
            o->params[i].slots[s] = at;
            at += o->params[i].count;
        }
    return FANIN_OK;
}

fanin_status fanin_optimizer_create(const char *text, fanin_program *program, fanin_optimizer **out,
                                    fanin_err *err) {
    *out = NULL;
    fanin__settings s;
    const fanin__optimizer_row *r = NULL;
    FANIN_TRY(fanin__optimizer_parse(text, &r, &s, err));
    FANIN_TRY(need_float32(program, r->shown.name, err));
    fanin_optimizer *o = fanin_calloc(1, sizeof *o);
    if (!o) return fanin_err_set(err, FANIN_NOMEM, "optimizer: no memory");
    o->row = r;
    o->program = program;
    o->set = s;
    fanin__optimizer_seed(o, 0);
    fanin_status status = allocate(o);
    if (status != FANIN_OK)
        fanin_err_set(err, status, "optimizer %s: no memory for its state", r->shown.name);
    if (status == FANIN_OK) status = classify(o, err);
    if (status == FANIN_OK && r->curvature && o->count &&
        !fanin_program_direction(program, o->params[0].weight).data)
        status = fanin_err_set(err, FANIN_ARG, "optimizer %s: the program has no curvature",
                               r->shown.name);
    if (status == FANIN_OK && r->diagonal && o->count &&
        !fanin_program_curvature(program, o->params[0].weight).data)
        status = fanin_err_set(err, FANIN_ARG, "optimizer %s: the program has no diagonal",
                               r->shown.name);
    if (status == FANIN_OK && r->check) status = r->check(o, err);
    if (status != FANIN_OK) {
        fanin_optimizer_destroy(o);
        return status;
    }
    *out = o;
    return FANIN_OK;
}

void fanin_optimizer_destroy(fanin_optimizer *o) {
    if (!o) return;
    fanin_free(o->params);
    fanin_free(o->state);
    fanin_free(o);
}

double fanin_optimizer_lr(const fanin_optimizer *o) { return o->set.lr; }

void fanin_optimizer_set_lr(fanin_optimizer *o, double lr) { o->set.lr = lr; }

/* ---- checkpoints --------------------------------------------------------------------------------- */

int fanin__optimizer_state_count(const fanin_optimizer *o) { return o->count * slot_count(o->row); }

fanin__optimizer_state fanin__optimizer_state_at(const fanin_optimizer *o, int i) {
    int slots = slot_count(o->row);
    if (i < 0 || i >= o->count * slots) return (fanin__optimizer_state){0};
    const fanin__param *p = &o->params[i / slots];
    return (fanin__optimizer_state){p->name, o->row->slots[i % slots], p->slots[i % slots],
                                    p->count};
}

uint64_t fanin__optimizer_steps(const fanin_optimizer *o) { return o->steps; }

void fanin__optimizer_set_steps(fanin_optimizer *o, uint64_t steps) { o->steps = steps; }

/* ---- a step -------------------------------------------------------------------------------------- */

void fanin_optimizer_step(fanin_optimizer *o) {
    o->steps++;
    for (int i = 0; i < fanin_program_weight_count(o->program); i++) {
        fanin_buffer w = fanin_program_weight(o->program, i);
        fanin_buffer fresh = fanin_program_statistic(o->program, i);
        if (fresh.data) memcpy(w.data, fresh.data, w.count * fanin_dtype_size(w.dtype));
    }
    if (o->row->all) {
        o->row->all(o);
        return;
    }
    for (int i = 0; i < o->count; i++) {
        const fanin__param *p = &o->params[i];
        if (fanin_program_descends(o->program, p->weight)) continue; /* the run has done it */
        o->row->update(o, p, fanin_program_weight(o->program, p->weight).data,
                       fanin_program_gradient(o->program, p->weight).data);
    }
}

/* Formulas and order of operations of torch; constants pass through float as they did in its options. */
void fanin__update_torch(const fanin_optimizer *o, const fanin__param *p, float *w,
                         const float *g) {
    const fanin__settings *s = &o->set;
    const fanin__update_args args = {
        .lr = (float)(s->lr * p->lr),
        .weight_decay = (float)(s->weight_decay * p->decay),
        .momentum = (float)s->mu,
        .dampening = (float)s->dampening,
        .nesterov = o->row->nesterov,
        .beta1 = (float)s->beta1,
        .beta2 = (float)s->beta2,
        .alpha = (float)s->alpha,
        .eps = (float)s->eps,
        .lr_decay = s->lr_decay,
        .step = (int64_t)o->steps,
    };
    fanin__update(o->row->kind, &args, p->count, g, w, p->slots[0], p->slots[1], p->slots[2]);
}
