/* program.c - a graph becomes a program: leaves, lowering, loss, gradients, plan. */
#include <string.h>

#include "engine/program.h"
#include "engine/replicas.h"
#include "engine/rewrite.h"
#include "operator/activation_node.h"

int fanin__program_root(fanin_program *p, int node, bool own) {
    if (p->ir.failed) return -1;
    if (p->root_count == p->root_capacity) {
        int capacity = p->root_capacity ? p->root_capacity * 2 : 64;
        fanin__root *more = fanin_realloc(p->roots, (size_t)capacity, sizeof *more);
        if (!more) return fanin__ir_fail(&p->ir, FANIN_NOMEM, "no memory for the results");
        p->roots = more;
        p->root_capacity = capacity;
    }
    p->roots[p->root_count] = (fanin__root){.node = node, .own = own, .slot = -1};
    return p->root_count++;
}

/* ---- leaves ----------------------------------------------------------------------------- */

static fanin_dtype leaf_dtype(const fanin_program *p, const fanin_value *v) {
    if (v->dtype == FANIN_DTYPE_NONE || fanin_dtype_is_float(v->dtype)) return p->ir.dtype;
    return v->dtype == FANIN_BOOL ? FANIN_BOOL : FANIN_I64;
}

static int make_input(fanin_program *p, int number) {
    const fanin_value *v = &p->graph->values[p->graph->inputs[number]];
    const int64_t *given = number < 8 ? p->options.input_dims[number] : NULL;
    int64_t dims[FANIN_MAX_RANK];
    if (v->rank < 0)
        return fanin__ir_fail(&p->ir, FANIN_SHAPE, "input '%s' does not say its rank", v->name);
    for (int i = 0; i < v->rank; i++) {
        dims[i] = given ? given[i] : v->dims[i];
        if (dims[i] < 0 && i == 0) dims[i] = p->options.batch > 0 ? p->options.batch : 1;
        if (dims[i] < 0)
            return fanin__ir_fail(&p->ir, FANIN_SHAPE,
                                  "input '%s': dim %d ('%s') is symbolic, its size is needed",
                                  v->name, i, v->dim_names[i] ? v->dim_names[i] : "?");
        if (v->dims[i] >= 0 && dims[i] != v->dims[i])
            return fanin__ir_fail(&p->ir, FANIN_SHAPE,
                                  "input '%s': dim %d is %lld in the graph, %lld was asked for",
                                  v->name, i, (long long)v->dims[i], (long long)dims[i]);
    }
    return fanin__emit_leaf(&p->ir, FANIN__INPUT, number, leaf_dtype(p, v), v->rank, dims);
}

static fanin__leaf_info leaf_info(int value, int node, bool present) {
    return (fanin__leaf_info){.value = value,
                              .node = node,
                              .gradient = -1,
                              .statistic = -1,
                              .direction = -1,
                              .curvature = -1,
                              .present = present};
}

static bool is_weight(const fanin_value *v) {
    return (v->flags & FANIN_VALUE_INITIALIZER) && !(v->flags & FANIN_VALUE_CONSTANT) &&
           fanin_dtype_is_float(v->dtype);
}

static int make_weight(fanin_program *p, int value) {
    const fanin_value *v = &p->graph->values[value];
    for (int i = 0; i < v->rank; i++)
        if (v->dims[i] < 0)
            return fanin__ir_fail(&p->ir, FANIN_SHAPE, "weight '%s': dim %d is not known", v->name,
                                  i);
    int node =
        fanin__emit_leaf(&p->ir, FANIN__WEIGHT, p->weight_count, p->ir.dtype, v->rank, v->dims);
    p->weights[p->weight_count++] = leaf_info(value, node, v->data != NULL);
    return node;
}

/* Values that are readable after a run: how many, and which. */
static int kept_count(const fanin_program *p) {
    if (p->options.keep_values) return p->graph->value_count;
    return p->options.keep ? p->options.keep_count : 0;
}

static int kept_value(const fanin_program *p, int i) {
    return p->options.keep_values ? i : p->options.keep[i];
}

static int kept_root(fanin_program *p, int node) {
    int root = fanin__program_root(p, node, false);
    if (root >= 0) p->roots[root].as_it_lies = !p->options.keep_values;
    return root;
}

/* ---- lowering --------------------------------------------------------------------------- */

enum { UNUSED, MAYBE, USED }; /* MAYBE: in a branch of an If that may not be taken */

static void raise_to(char *mark, char to) {
    if (*mark < to) *mark = to;
}

/* Nodes and values that the outputs depend on. */
static void mark_used(const fanin_graph *g, char *nodes, char *values) {
    for (int i = 0; i < g->output_count; i++) values[g->outputs[i]] = USED;
    for (int i = g->node_count - 1; i >= 0; i--) {
        const fanin_node *n = &g->nodes[i];
        for (int k = 0; k < n->output_count; k++)
            if (n->outputs[k] >= 0) raise_to(&nodes[i], values[n->outputs[k]]);
        for (int k = 0; nodes[i] && k < n->input_count; k++) {
            bool branch = k > 0 && fanin__lower_is_if(n);
            if (n->inputs[k] >= 0) raise_to(&values[n->inputs[k]], branch ? MAYBE : nodes[i]);
        }
    }
}

static void make_leaves(fanin_program *p, fanin__lowering *l, const char *used) {
    const fanin_graph *g = p->graph;
    for (int i = 0; i < g->input_count && !p->ir.failed; i++) {
        int node = make_input(p, i);
        l->ids[g->inputs[i]] = node;
        p->inputs[p->input_count++] = leaf_info(g->inputs[i], node, true);
    }
    for (int i = 0; i < g->value_count && !p->ir.failed; i++) {
        const fanin_value *v = &g->values[i];
        if (!used[i] || v->producer >= 0 || l->ids[i] >= 0) continue;
        if (!(v->flags & (FANIN_VALUE_INITIALIZER | FANIN_VALUE_CONSTANT))) continue;
        l->ids[i] = is_weight(v) ? make_weight(p, i) : fanin__lower_payload(&p->ir, v);
    }
}

static bool lower_graph(fanin_program *p, fanin__lowering *l) {
    const fanin_graph *g = p->graph;
    const fanin_program_options *o = &p->options;
    fanin__rewrites rewrites;
    bool rewrite = p->ir.fuse && !o->keep_values && !o->diagonal && !(o->activity_l1 > 0);
    fanin_status found =
        fanin__rewrites_find(g, rewrite, o->keep, o->keep ? o->keep_count : 0, &rewrites, NULL);
    char *used = fanin_calloc((size_t)g->node_count + (size_t)g->value_count + 1, 1);
    if (!used || found != FANIN_OK) {
        fanin__rewrites_fini(&rewrites);
        fanin_free(used);
        fanin__ir_fail(&p->ir, FANIN_NOMEM, "no memory for the graph");
        return false;
    }
    char *values = used + g->node_count;
    mark_used(g, used, values);
    make_leaves(p, l, values);
    for (int i = 0; i < g->node_count && !p->ir.failed; i++)
        if (used[i] == USED) fanin__rewrites_lower(&rewrites, l, i);
    fanin__rewrites_fini(&rewrites);
    fanin_free(used);
    for (int i = 0; i < g->output_count && !p->ir.failed; i++) {
        int id = l->ids[g->outputs[i]];
        if (id < 0)
            fanin__ir_fail(&p->ir, FANIN_FORMAT, "output '%s' has no value",
                           g->values[g->outputs[i]].name);
        p->outputs[i] = fanin__program_root(p, id, false);
    }
    return !p->ir.failed;
}

/* ---- loss and gradients ----------------------------------------------------------------- */

/* + lambda times the mean over the batch of sum |h|, h the outputs of all activations. */
static int add_activity(fanin_program *p, const fanin__lowering *l, int loss) {
    const fanin_graph *g = p->graph;
    fanin__ir *ir = &p->ir;
    double batch = p->options.batch > 0 ? (double)p->options.batch : 1;
    char text[96];
    for (int i = 0; i < g->node_count && !ir->failed; i++) {
        const fanin_node *node = &g->nodes[i];
        if (!fanin__node_activation(node, text, sizeof text) || l->ids[node->outputs[0]] < 0)
            continue;
        int h = l->ids[node->outputs[0]];
        unsigned all = (1u << ir->nodes[h].rank) - 1;
        int sum =
            fanin__emit_reduce(ir, FANIN__SUM, fanin__emit_apply(ir, FANIN__FN_ABS, h), all, false);
        loss = fanin__emit_binary(
            ir, FANIN__ADD, loss,
            fanin__emit_apply_with(ir, FANIN__FN_SCALE, p->options.activity_l1 / batch, 0, sum));
    }
    return loss;
}

static int add_loss(fanin_program *p, const fanin__lowering *l) {
    if (p->graph->output_count < 1)
        return fanin__ir_fail(&p->ir, FANIN_ARG, "the graph has no output to take a loss of");
    int output = l->ids[p->graph->outputs[0]];
    fanin__node n = p->ir.nodes[output];
    bool classes = p->loss.info.target == FANIN_TARGET_CLASS;
    bool by_row = classes || p->loss.info.target == FANIN_TARGET_DISTRIBUTION;
    if (n.dtype != p->ir.dtype || (by_row && n.rank < 1))
        return fanin__ir_fail(&p->ir, FANIN_ARG, "loss %s of output '%s', which is %s of rank %d",
                              p->loss.info.name, p->graph->values[p->graph->outputs[0]].name,
                              fanin_dtype_name(n.dtype), n.rank);
    int rank = classes ? n.rank - 1 : n.rank;
    if (classes && n.dims[rank] < INT32_MAX) p->target_classes = (int)n.dims[rank];
    if (p->target_classes == 1) p->target_classes = 2; /* one logit tells two classes apart */
    p->target = fanin__emit_leaf(&p->ir, FANIN__INPUT, p->input_count,
                                 classes ? FANIN_I64 : p->ir.dtype, rank, n.dims);
    if (p->ir.failed) return -1;
    int loss = p->loss.emit(&p->ir, output, p->target, &p->loss);
    if (p->options.activity_l1 > 0) loss = add_activity(p, l, loss);
    p->loss_root = fanin__program_root(p, loss, false);
    return loss;
}

static bool is_float(const fanin_program *p, int node) {
    return node >= 0 && p->ir.nodes[node].dtype == p->ir.dtype;
}

/* A weight that the loss does not depend on has the gradient 0. */
static int own_gradient(fanin_program *p, const fanin__sweep *s, int node) {
    if (p->ir.failed) return -1;
    int g = s->adjoints[node];
    return fanin__program_root(p, g >= 0 ? g : fanin__emit_fill_like(&p->ir, 0, node), true);
}

static bool has_curvature(const fanin_program *p, int i) {
    const char *only = p->options.curvature_of;
    return p->weights[i].gradient >= 0 &&
           (!only || !strcmp(only, p->graph->values[p->weights[i].value].name));
}

/* d/dw of <gradient, v>: the gradient is nodes like any other. wrt: room for all weights. */
static void add_curvature(fanin_program *p, const fanin__sweep *first, int *wrt) {
    fanin__ir *ir = &p->ir;
    int product = fanin__emit_scalar(ir, 0), count = 0;
    for (int i = 0; i < p->weight_count && !ir->failed; i++) {
        fanin__leaf_info *w = &p->weights[i];
        if (!has_curvature(p, i)) continue;
        wrt[count++] = w->node;
        fanin__node n = ir->nodes[w->node];
        if (w->direction < 0) w->direction = fanin__program_direction(p, w->node);
        int g = first->adjoints[w->node];
        if (g < 0) continue;
        int both = fanin__emit_binary(ir, FANIN__MUL, g, w->direction);
        both = fanin__emit_reduce(ir, FANIN__SUM, both, (1u << n.rank) - 1, false);
        product = fanin__emit_binary(ir, FANIN__ADD, product, both);
    }
    fanin__sweep second;
    fanin__gradient(&second, ir, product, fanin__emit_scalar(ir, 1), wrt, count);
    for (int i = 0; i < p->weight_count && !ir->failed; i++)
        if (has_curvature(p, i))
            p->weights[i].curvature = own_gradient(p, &second, p->weights[i].node);
    fanin__sweep_fini(&second);
}

/* Diagonal of the Gauss-Newton matrix instead of H v. */
static void add_diagonal(fanin_program *p, const fanin__lowering *l, const int *wrt, int count) {
    int output = l->ids[p->graph->outputs[0]];
    if (!p->loss.second) {
        fanin__ir_fail(&p->ir, FANIN_UNSUPPORTED, "loss %s has no second derivatives to go by",
                       p->loss.info.name);
        return;
    }
    fanin__sweep sweep;
    int seed = p->loss.second(&p->ir, output, p->target, &p->loss);
    fanin__diagonal(&sweep, &p->ir, output, seed, wrt, count);
    for (int i = 0; i < p->weight_count && !p->ir.failed; i++)
        if (p->weights[i].gradient >= 0)
            p->weights[i].curvature = own_gradient(p, &sweep, p->weights[i].node);
    fanin__sweep_fini(&sweep);
}

/* Gradients of node `of`, given `seed` there. */
static void add_gradients(fanin_program *p, const fanin__lowering *l, int of, int seed) {
    const fanin_program_options *o = &p->options;
    int count = 0, *wrt = fanin_calloc((size_t)(p->weight_count + p->input_count) + 2, sizeof(int));
    if (!wrt) {
        fanin__ir_fail(&p->ir, FANIN_NOMEM, "no memory for the gradients");
        return;
    }
    bool inputs = o->input_gradients || (kept_count(p) > 0 && o->gradients);
    for (int i = 0; i < p->weight_count && o->gradients; i++)
        if (l->statistics[p->weights[i].value] == -1) wrt[count++] = p->weights[i].node;
    for (int i = 0; i < p->input_count && inputs; i++)
        if (is_float(p, p->inputs[i].node)) wrt[count++] = p->inputs[i].node;
    if (p->inner.node >= 0) wrt[count++] = p->inner.node;
    fanin__sweep sweep;
    fanin__gradient(&sweep, &p->ir, of, seed, wrt, count);
    for (int i = 0; i < p->weight_count && o->gradients && !p->ir.failed; i++)
        if (l->statistics[p->weights[i].value] == -1)
            p->weights[i].gradient = own_gradient(p, &sweep, p->weights[i].node);
    for (int i = 0; i < p->weight_count && o->descend && !p->ir.failed; i++)
        if (p->weights[i].gradient >= 0) {
            p->roots[p->weights[i].gradient].descend = true;
            p->roots[p->weights[i].gradient].weight = p->weights[i].node;
        }
    if (p->inner.node >= 0 && o->input_gradients && !p->ir.failed)
        p->inner.gradient = own_gradient(p, &sweep, p->inner.node);
    for (int i = 0; i < p->input_count && o->input_gradients && !p->ir.failed; i++)
        if (p->inner.node < 0 && is_float(p, p->inputs[i].node))
            p->inputs[i].gradient = own_gradient(p, &sweep, p->inputs[i].node);
    for (int i = 0; i < kept_count(p) && !p->ir.failed; i++) {
        int value = kept_value(p, i), node = l->ids[value];
        if (node >= 0 && node < sweep.count && sweep.adjoints[node] >= 0)
            p->gradients[value] = kept_root(p, sweep.adjoints[node]);
    }
    if (o->curvature && o->gradients && !p->ir.failed) add_curvature(p, &sweep, wrt);
    if (o->diagonal && o->gradients && !p->ir.failed) add_diagonal(p, l, wrt, count);
    fanin__sweep_fini(&sweep);
    fanin_free(wrt);
}

/* ---- creation --------------------------------------------------------------------------- */

static void copy_values(const fanin_value *v, fanin_buffer b) {
    if (v->dtype == b.dtype) {
        memcpy(b.data, v->data, v->size);
        return;
    }
    const char *from = v->data;
    size_t size = fanin_dtype_size(v->dtype);
    for (size_t k = 0; k < b.count; k++) {
        double x;
        fanin_convert_to_f64(from + k * size, v->dtype, 1, &x);
        if (b.dtype == FANIN_F32)
            ((float *)b.data)[k] = (float)x;
        else
            ((double *)b.data)[k] = x;
    }
}

/* Values that the file holds, for every replica. */
static void fill_weight(fanin_program *p, int i) {
    const fanin_value *v = &p->graph->values[p->weights[i].value];
    fanin_buffer b = fanin_program_weight(p, i);
    size_t replicas = p->replicas ? p->replicas->count : 1, all = b.count;
    b.count /= replicas;
    if (!v->data || !b.data || v->size != b.count * fanin_dtype_size(v->dtype)) {
        p->weights[i].present = false;
        return;
    }
    copy_values(v, b);
    size_t size = b.count * fanin_dtype_size(b.dtype);
    for (size_t r = 1; r < replicas && all; r++) memcpy((char *)b.data + r * size, b.data, size);
}

static fanin_status check_options(const fanin_program_options *o, fanin_err *err) {
    if (o->dtype != FANIN_DTYPE_NONE && o->dtype != FANIN_F32 && o->dtype != FANIN_F64 &&
        o->dtype != FANIN_BF16)
        return fanin_err_set(err, FANIN_ARG, "programs run in F32, F64 or BF16, not %s",
                             fanin_dtype_name(o->dtype));
    if (o->replicas < 0)
        return fanin_err_set(err, FANIN_ARG, "replicas: %lld of them", (long long)o->replicas);
    if ((o->curvature || o->diagonal) && !o->gradients)
        return fanin_err_set(err, FANIN_ARG, "curvature needs gradients");
    if (o->diagonal && (o->curvature || !o->loss))
        return fanin_err_set(err, FANIN_ARG, "diagonal is of a loss, and excludes curvature");
    if ((o->gradients || o->input_gradients) && !o->loss && !o->cotangent)
        return fanin_err_set(err, FANIN_ARG, "gradients need a loss or a cotangent");
    if (o->descend &&
        (!o->gradients || o->curvature || o->replicas || o->reference || o->dtype == FANIN_F64))
        return fanin_err_set(err, FANIN_ARG,
                             "descend needs gradients, F32, one replica, no curvature, and not the "
                             "reference");
    if (o->replicas && (o->inner || o->repeats))
        return fanin_err_set(err, FANIN_ARG, "inner values and repeats are of one replica");
    if (o->cotangent && (o->loss || o->curvature))
        return fanin_err_set(err, FANIN_ARG, "gradients are of a loss or of a cotangent, not both");
    return FANIN_OK;
}

static bool allocate(fanin_program *p) {
    const fanin_graph *g = p->graph;
    size_t values = (size_t)g->value_count;
    p->weights = fanin_calloc(values + 1, sizeof *p->weights);
    p->inputs = fanin_calloc((size_t)g->input_count + 1, sizeof *p->inputs);
    p->outputs = fanin_calloc((size_t)g->output_count + 1, sizeof(int));
    p->values = fanin_calloc(2 * values + 1, sizeof(int));
    if (!p->weights || !p->inputs || !p->outputs || !p->values) return false;
    p->gradients = p->values + values;
    for (size_t i = 0; i < 2 * values; i++) p->values[i] = -1;
    return true;
}

static void add_derivatives(fanin_program *p, const fanin__lowering *l, int loss) {
    const fanin_program_options *o = &p->options;
    bool tangent = o->input_tangent || o->weight_tangent;
    if ((o->cotangent || tangent) && p->graph->output_count < 1) {
        fanin__ir_fail(&p->ir, FANIN_ARG, "the graph has no output to take a derivative of");
        return;
    }
    int output = p->graph->output_count ? l->ids[p->graph->outputs[0]] : -1;
    if ((o->cotangent || tangent) && !is_float(p, output)) {
        fanin__ir_fail(&p->ir, FANIN_ARG,
                       "output '%s' holds no real numbers to take a derivative of",
                       p->graph->values[p->graph->outputs[0]].name);
        return;
    }
    if (o->cotangent) p->cotangent = fanin__program_direction(p, output);
    if (o->gradients || o->input_gradients)
        add_gradients(p, l, o->cotangent ? output : loss,
                      o->cotangent ? p->cotangent : fanin__emit_scalar(&p->ir, 1));
    if (tangent) fanin__program_add_tangent(p, output, l->statistics);
}

/* The value that stands in for the inputs. */
static bool find_inner(fanin_program *p, const fanin__lowering *l) {
    const char *name = p->options.inner;
    if (!name) return true;
    int value = fanin_graph_find(p->graph, name), node = value < 0 ? -1 : l->ids[value];
    if (is_float(p, node)) {
        p->inner = leaf_info(value, node, true);
        return true;
    }
    fanin__ir_fail(&p->ir, FANIN_ARG, "no value '%s' of real numbers on the way to the outputs",
                   name);
    return false;
}

static bool find_curved(fanin_program *p) {
    const char *name = p->options.curvature_of;
    for (int i = 0; i < p->weight_count && name; i++)
        if (!strcmp(name, p->graph->values[p->weights[i].value].name)) return true;
    if (name) fanin__ir_fail(&p->ir, FANIN_ARG, "no weight '%s' to take the curvature of", name);
    return !name;
}

static void build(fanin_program *p, fanin__lowering *l) {
    if (!lower_graph(p, l) || !find_inner(p, l) || !find_curved(p)) return;
    int loss = p->loss.emit ? add_loss(p, l) : -1;
    for (int i = 0; i < p->weight_count; i++) {
        int statistic = l->statistics[p->weights[i].value];
        if (statistic >= 0) p->weights[i].statistic = fanin__program_root(p, statistic, true);
    }
    for (int i = 0; i < kept_count(p); i++) {
        int value = kept_value(p, i);
        if (l->ids[value] >= 0) p->values[value] = kept_root(p, l->ids[value]);
    }
    add_derivatives(p, l, loss);
}

/* Leaves, primitives, loss and gradients; ids: node of each value of the graph. */
static fanin_status lower(fanin_program *p, int *ids, int *statistics, fanin_err *err) {
    const fanin_graph *g = p->graph;
    if (!allocate(p)) return fanin_err_set(err, FANIN_NOMEM, "no memory for a program");
    for (int i = 0; i < g->value_count; i++) ids[i] = statistics[i] = -1;
    fanin__lowering l = {.ir = &p->ir,
                         .graph = g,
                         .training = !p->options.eval,
                         .ids = ids,
                         .statistics = statistics};
    build(p, &l);
    if (p->ir.failed)
        return fanin_err_set(err, p->ir.err.status, "%s%s%s", g->name ? g->name : "",
                             g->name && g->name[0] ? ": " : "", p->ir.err.message);
    return FANIN_OK;
}

static fanin_status plan(fanin_program *p, fanin_err *err) {
    /* values that are read after a run are row-major */
    p->plan.channels_last =
        !p->options.reference && !p->options.keep_values && fanin__channels_last_pays(&p->ir);
    if (p->options.repeats) p->plan.first_direction = p->input_count + 1;
    if (p->options.replicas)
        FANIN_TRY(fanin__replicas_create(p, err));
    else
        FANIN_TRY(fanin__steps_create(&p->plan, &p->ir, p->roots, p->root_count, err));
    if (!p->replicas && p->ir.dtype == FANIN_F32 && !p->options.reference) {
        size_t size = 0;
        FANIN_TRY(fanin__fast_choose(&p->plan, &size, err));
        p->scratch = fanin_malloc_aligned(size ? size : 64);
        if (!p->scratch) return fanin_err_set(err, FANIN_NOMEM, "no memory for scratch");
    }
    for (int i = 0; i < p->weight_count; i++) fill_weight(p, i);
    return FANIN_OK;
}

static fanin_status create(const fanin_graph *graph, const fanin_program_options *options,
                           int *nodes, fanin_program **program, fanin_err *err) {
    static const fanin_program_options defaults;
    *program = NULL;
    if (!options) options = &defaults;
    FANIN_TRY(check_options(options, err));
    fanin__loss loss = {.emit = NULL};
    if (options->loss) FANIN_TRY(fanin__loss_parse(options->loss, &loss, err));
    fanin_program *p = fanin_calloc(1, sizeof *p);
    int *ids = fanin_calloc(2 * (size_t)graph->value_count + 1, sizeof(int));
    if (!p || !ids) {
        fanin_free(p);
        fanin_free(ids);
        return fanin_err_set(err, FANIN_NOMEM, "no memory for a program");
    }
    p->graph = graph;
    p->loss = loss;
    p->options = *options;
    p->loss_root = p->target = p->cotangent = p->tangent_root = -1;
    p->inner = leaf_info(-1, -1, false);
    fanin__ir_init(&p->ir, options->dtype == FANIN_F64 ? FANIN_F64 : FANIN_F32);
    p->ir.bf16 = options->dtype == FANIN_BF16;
    p->ir.fuse = p->ir.dtype == FANIN_F32 && !options->reference && !options->curvature &&
                 !options->input_tangent && !options->weight_tangent && !options->replicas;
    fanin_status status = lower(p, ids, ids + graph->value_count, err);
    if (status == FANIN_OK && nodes)
        memcpy(nodes, ids, (size_t)graph->value_count * sizeof *nodes);
    else if (status == FANIN_OK)
        status = plan(p, err);
    fanin_free(ids);
    p->options.loss = p->options.inner = p->options.curvature_of = NULL; /* the caller's memory */
    p->options.keep = NULL;
    memset(p->options.input_dims, 0, sizeof p->options.input_dims);
    if (status != FANIN_OK) {
        fanin_program_destroy(p);
        return status;
    }
    *program = p;
    return FANIN_OK;
}

fanin_status fanin_program_create(const fanin_graph *graph, const fanin_program_options *options,
                                  fanin_program **program, fanin_err *err) {
    return create(graph, options, NULL, program, err);
}

fanin_status fanin__program_lower(const fanin_graph *graph, const fanin_program_options *options,
                                  int *nodes, fanin_program **program, fanin_err *err) {
    return create(graph, options, nodes, program, err);
}

void fanin_program_destroy(fanin_program *p) {
    if (!p) return;
    fanin__replicas_destroy(p->replicas);
    fanin__steps_fini(&p->plan);
    fanin__ir_fini(&p->ir);
    fanin_free(p->roots);
    fanin_free(p->weights);
    fanin_free(p->inputs);
    fanin_free(p->outputs);
    fanin_free(p->values);
    fanin_free_aligned(p->scratch);
    fanin_free(p);
}
