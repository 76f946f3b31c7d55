/* rules.c - learning rules older than backpropagation: perceptron, LMS, alpha-LMS, for one linear layer.
 *
 * They are on-line rules: the samples of a batch are taken one after the other, each seeing the weights that
 * the one before left, so the size of a batch changes nothing. Only the batch's inputs and targets are
 * read; gradients are not. */
#include <string.h>

#include "base/base.h"
#include "train/optimizer.h"

/* The layer: O units of I inputs, weights by strides, an optional bias. */
typedef struct layer {
    float *w, *bias;
    size_t units, inputs, unit_step, input_step, samples;
    const float *x, *real; /* inputs; real targets, or */
    const int64_t *labels; /* classes */
} layer;

static bool linear_op(const char *op) {
    static const char *const ops[] = {"Gemm",    "MatMul",  "Add",       "Flatten",
                                      "Reshape", "Squeeze", "Unsqueeze", "Identity"};
    for (size_t i = 0; i < FANIN_COUNT(ops); i++)
        if (!strcmp(op, ops[i])) return true;
    return false;
}

fanin_status fanin__one_layer(const fanin_optimizer *o, fanin_err *err) {
    const fanin_graph *g = fanin_program_graph(o->program);
    int matrices = 0, vectors = 0;
    for (int i = 0; i < o->count; i++) {
        matrices += o->params[i].rank == 2 && o->params[i].out_axis >= 0;
        vectors += o->params[i].cls == FANIN_CLASS_BIAS;
    }
    for (int i = 0; i < g->node_count; i++)
        if (!linear_op(g->nodes[i].op))
            return fanin_err_set(err, FANIN_UNSUPPORTED,
                                 "optimizer %s: learns one linear layer, the network has a %s",
                                 o->row->shown.name, g->nodes[i].op);
    if (matrices != 1 || vectors > 1 || matrices + vectors != o->count)
        return fanin_err_set(err, FANIN_UNSUPPORTED,
                             "optimizer %s: learns one linear layer, the network has %d weights",
                             o->row->shown.name, o->count);
    if (!fanin_program_target(o->program).data)
        return fanin_err_set(err, FANIN_ARG, "optimizer %s: the program has no target",
                             o->row->shown.name);
    return FANIN_OK;
}

static layer layer_of(const fanin_optimizer *o) {
    layer l = {0};
    for (int i = 0; i < o->count; i++) {
        const fanin__param *p = &o->params[i];
        fanin_buffer w = fanin_program_weight(o->program, p->weight);
        if (p->rank != 2 || p->out_axis < 0) {
            l.bias = w.data;
            continue;
        }
        l.w = w.data;
        l.units = (size_t)w.dims[p->out_axis];
        l.inputs = (size_t)w.dims[1 - p->out_axis];
        l.unit_step = p->out_axis == 0 ? l.inputs : 1;
        l.input_step = p->out_axis == 0 ? 1 : l.units;
    }
    fanin_buffer x = fanin_program_input(o->program, 0), t = fanin_program_target(o->program);
    l.x = x.data;
    l.samples = x.count / l.inputs;
    if (t.dtype == FANIN_I64)
        l.labels = t.data;
    else
        l.real = t.data;
    return l;
}

static double answer(const layer *l, size_t unit, const float *x) {
    double y = l->bias ? (double)l->bias[unit] : 0;
    const float *w = l->w + unit * l->unit_step;
    for (size_t i = 0; i < l->inputs; i++) y += (double)w[i * l->input_step] * (double)x[i];
    return y;
}

/* w += a (x, 1) */
static void learn(const layer *l, size_t unit, const float *x, double a) {
    float *w = l->w + unit * l->unit_step;
    for (size_t i = 0; i < l->inputs; i++) w[i * l->input_step] += (float)(a * (double)x[i]);
    if (l->bias) l->bias[unit] += (float)a;
}

/* What unit should answer to sample s: the real target, or +-1 by class. */
static double wanted(const layer *l, size_t s, size_t unit) {
    if (l->real) return (double)l->real[s * l->units + unit];
    if (l->units == 1) return l->labels[s] ? 1 : -1;
    return l->labels[s] == (int64_t)unit ? 1 : -1;
}

static void perceptron_classes(const layer *l, size_t s, const float *x, double lr) {
    size_t best = 0, right = (size_t)l->labels[s];
    double most = answer(l, 0, x);
    for (size_t u = 1; u < l->units; u++) {
        double y = answer(l, u, x);
        if (y > most) {
            most = y;
            best = u;
        }
    }
    if (best == right) return;
    learn(l, right, x, lr);
    learn(l, best, x, -lr);
}

/* An answer of exactly 0 is wrong, so that zero weights learn. */
void fanin__step_perceptron(const fanin_optimizer *o) {
    layer l = layer_of(o);
    for (size_t s = 0; s < l.samples; s++) {
        const float *x = l.x + s * l.inputs;
        if (l.labels && l.units > 1) {
            perceptron_classes(&l, s, x, o->set.lr);
            continue;
        }
        for (size_t u = 0; u < l.units; u++) {
            double d = wanted(&l, s, u) > 0 ? 1 : -1;
            if (d * answer(&l, u, x) <= 0) learn(&l, u, x, o->set.lr * d);
        }
    }
}

void fanin__step_lms(const fanin_optimizer *o) {
    layer l = layer_of(o);
    for (size_t s = 0; s < l.samples; s++)
        for (size_t u = 0; u < l.units; u++) {
            const float *x = l.x + s * l.inputs;
            learn(&l, u, x, 2 * o->set.lr * (wanted(&l, s, u) - answer(&l, u, x)));
        }
}

void fanin__step_alpha_lms(const fanin_optimizer *o) {
    layer l = layer_of(o);
    for (size_t s = 0; s < l.samples; s++) {
        const float *x = l.x + s * l.inputs;
        double squares = l.bias ? 1 : 0;
        for (size_t i = 0; i < l.inputs; i++) squares += (double)x[i] * (double)x[i];
        if (squares == 0) continue; /* nothing to correct with */
        for (size_t u = 0; u < l.units; u++)
            learn(&l, u, x, o->set.lr * (wanted(&l, s, u) - answer(&l, u, x)) / squares);
    }
}
