/* classify.c - what each initialiser is to its network, from the operators that use it.
 *
 * Every use gives a verdict; the one that says most wins (an embedding that is also the output layer is
 * an embedding). Biases then take the fans of the weight of their layer. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "graph/arena.h"
#include "scheme/classify.h"

typedef struct owner {
    char (*acts)[64]; /* room for activations with parameters */
    fanin__arena roles;
    fanin__recognised seen; /* whose texts the items point to */
} owner;

typedef struct job {
    fanin__wiring w;
    fanin_tensors *out;
    fanin_tensor_info *items;
    owner *owner;
    int *weight_of; /* by node: item of its weight, -1 */
    bool *last;     /* by node: makes the graph's output */
    fanin_err *err;
} job;

/* ---- all uses ---------------------------------------------------------------------------------- */

/* Which of q, k and v the uses of a weight make: slices of one matrix may be multiplied apart. */
static int attention_set(job *j, const fanin__use *uses, int count, int node) {
    int set = fanin__follow_attention(&j->w, &j->w.graph->nodes[node]);
    for (int i = 0; i < count && i < 8; i++)
        if (uses[i].node != node && uses[i].seen.part &&
            fanin__is(&j->w.graph->nodes[uses[i].node], FANIN__WEIGHTED))
            set |= fanin__follow_attention(&j->w, &j->w.graph->nodes[uses[i].node]);
    return set;
}

/* Whether q, k and v of one matrix are as many rows each, one behind the other. */
static bool is_even(const job *j, int node, int64_t rows, int members) {
    const fanin_pattern *p = fanin__recognised_projection(&j->owner->seen, node);
    if (rows % members) return false;
    if (!p) return true;
    int64_t size = 0;
    for (int k = 0; k < 3; k++) {
        if (p->projections[k] != node || p->parts[k] <= 0) continue;
        if (size > 0 && p->parts[k] != size) return false;
        size = p->parts[k];
    }
    return !p->per_head;
}

/* Dense layers and 1x1 convolutions around attention. */
static void refine(job *j, fanin__verdict *r, const fanin_value *v, const fanin__use *uses,
                   int count) {
    const fanin_node *n = &j->w.graph->nodes[r->node];
    bool dense = r->cls == FANIN_CLASS_DENSE;
    if (!dense && !(r->cls == FANIN_CLASS_CONV && r->groups == 1 && fanin__taps(v) == 1)) return;
    static const fanin_class single[] = {[FANIN__IS_Q] = FANIN_CLASS_ATTENTION_Q,
                                         [FANIN__IS_K] = FANIN_CLASS_ATTENTION_K,
                                         [FANIN__IS_V] = FANIN_CLASS_ATTENTION_V};
    int set = attention_set(j, uses, count, r->node);
    int members = __builtin_popcount((unsigned)set);
    if (members == 1) r->cls = single[set];
    if (members > 1) {
        int64_t rows = r->out_axis < 0 ? 0 : v->dims[r->out_axis];
        r->cls = FANIN_CLASS_ATTENTION_QKV;
        r->parts = rows > 0 && is_even(j, r->node, rows, members) ? members : 1;
        if (rows > 0) r->fan_out = (double)rows / members; /* of the average one */
    }
    int x = n->input_count > 0 ? n->inputs[0] : -1;
    if (x >= 0 && !j->w.live[x] && n->input_count > 1) x = n->inputs[1];
    if (!members && fanin__from_attention(&j->w, x)) r->cls = FANIN_CLASS_ATTENTION_OUT;
}

static fanin__verdict judge(job *j, const fanin_value *v, const fanin__use *uses, int count) {
    fanin__verdict best = {.node = -1, .layer = -1};
    for (int i = 0; i < count; i++) {
        fanin__verdict r = fanin__judge_use(&j->w, &j->owner->seen, &uses[i], v);
        r.node = uses[i].node;
        if (r.strength > best.strength) best = r;
    }
    if (best.strength == FANIN__MATRIX) refine(j, &best, v, uses, count);
    if (best.strength == FANIN__MATRIX && j->last[best.node] &&
        (best.cls == FANIN_CLASS_DENSE || best.cls == FANIN_CLASS_CONV ||
         best.cls == FANIN_CLASS_CONV_TRANSPOSE || best.cls == FANIN_CLASS_ATTENTION_OUT))
        best.cls = FANIN_CLASS_OUTPUT;
    if (best.node < 0 && count > 0) best.node = uses[0].node;
    return best;
}

/* ---- the tensor -------------------------------------------------------------------------------- */

/* As torch.nn.init counts on torch's own shape: (out, in, kernel), and (in, out, kernel) of a
 * transposed convolution read as if it were (out, in, kernel). */
static void torch_fans(fanin_tensor *t, fanin_class as) {
    double rest = 1;
    int out = t->out_axis, in = t->in_axis;
    if (as == FANIN_CLASS_CONV_TRANSPOSE) out = t->in_axis, in = t->out_axis;
    t->torch_fan_in = t->torch_fan_out = NAN;
    if (out < 0 || in < 0) return;
    for (int i = 0; i < t->rank; i++)
        if (i != out && i != in) rest *= (double)t->dims[i];
    t->torch_fan_in = (double)t->dims[in] * rest;
    t->torch_fan_out = (double)t->dims[out] * rest;
}

/* Rows of a table: each output sees one row, whose width is what counts as fan_in. */
static void table_fans(fanin_tensor *t) {
    t->in_axis = t->rank > 1 ? t->rank - 1 : -1;
    t->out_axis = t->rank > 1 ? t->rank - 2 : -1;
    t->fan_in = t->rank > 0 ? (double)t->dims[t->rank - 1] : 1;
    t->fan_out = t->rank > 1 ? (double)t->dims[t->rank - 2] : 1;
}

static void fill_tensor(fanin_tensor_info *info, const fanin_value *v, const fanin__verdict *r) {
    fanin_tensor *t = &info->tensor;
    *t = (fanin_tensor){.name = v->name,
                        .rank = v->rank,
                        .cls = r->cls,
                        .out_axis = -1,
                        .in_axis = -1,
                        .groups = r->groups > 0 ? r->groups : 1,
                        .parts = r->parts > 0 ? r->parts : 1,
                        .fan_in = NAN,
                        .fan_out = NAN,
                        .depth_index = -1};
    for (int i = 0; i < v->rank; i++) t->dims[i] = v->dims[i];
    if (r->strength == FANIN__MATRIX) {
        t->out_axis = r->out_axis;
        t->in_axis = r->in_axis;
        t->fan_in = r->fan_in;
        t->fan_out = r->fan_out;
    } else if (r->strength == FANIN__TABLE || r->strength == FANIN__PLACED) {
        table_fans(t);
    }
    torch_fans(t, r->cls == FANIN_CLASS_OUTPUT && r->out_axis == 1 && v->rank > 2
                      ? FANIN_CLASS_CONV_TRANSPOSE
                      : r->cls);
    info->node = r->node;
}

static void classify_one(job *j, int value, fanin_tensor_info *info, fanin__verdict *r) {
    const fanin_graph *g = j->w.graph;
    const fanin_value *v = &g->values[value];
    fanin__use uses[FANIN__MAX_USES];
    *r = (fanin__verdict){.node = -1, .layer = -1, .cls = FANIN_CLASS_OTHER};
    info->value = value;
    info->dtype = v->dtype;
    info->has_data = v->data != NULL;
    if (v->rank >= 0 && fanin_dtype_is_float(v->dtype)) {
        int listed = fanin__trace(&j->w, value, uses, &info->uses);
        *r = judge(j, v, uses, listed);
    }
    bool number = fanin_dtype_is_float(v->dtype);
    if (!number || (r->strength == FANIN__NOTHING && v->data)) {
        r->cls = FANIN_CLASS_CONSTANT;
        r->strength = FANIN__KEPT;
    }
    fill_tensor(info, v, r);
}

/* ---- names, order, sharing --------------------------------------------------------------------- */

static void name_layer(const fanin_graph *g, fanin_tensor_info *info) {
    info->op = info->layer = "";
    if (info->node < 0) return;
    const fanin_node *n = &g->nodes[info->node];
    info->op = n->op;
    info->layer = n->name[0]                                  ? n->name
                  : n->output_count > 0 && n->outputs[0] >= 0 ? g->values[n->outputs[0]].name
                                                              : "";
}

static bool is_layer(const fanin_tensor_info *i) {
    fanin_class c = i->tensor.cls;
    return i->node >= 0 && fanin_class_is_weight(c) && c != FANIN_CLASS_EMBEDDING &&
           c != FANIN_CLASS_POSITION && c != FANIN_CLASS_CLASS_TOKEN;
}

/* Nodes are sorted: the n-th node with a weight is the n-th layer. */
static void number_layers(job *j) {
    int depth = 0;
    for (int n = 0; n < j->w.graph->node_count; n++)
        if (j->weight_of[n] >= 0) {
            j->items[j->weight_of[n]].tensor.depth_index = depth++;
        }
    for (int i = 0; i < j->out->count; i++) { /* a second weight of one node: R beside W */
        fanin_tensor_info *info = &j->items[i];
        if (is_layer(info) && info->tensor.depth_index < 0)
            info->tensor.depth_index = j->items[j->weight_of[info->node]].tensor.depth_index;
    }
    j->out->layers = depth;
}

static void lend_fans(job *j, const fanin__verdict *verdicts) {
    for (int i = 0; i < j->out->count; i++) {
        fanin_tensor_info *info = &j->items[i];
        fanin_class c = info->tensor.cls;
        int layer = c == FANIN_CLASS_RECURRENT_BIAS ? info->node : verdicts[i].layer;
        if ((c != FANIN_CLASS_BIAS && c != FANIN_CLASS_RECURRENT_BIAS) || layer < 0) continue;
        if (j->weight_of[layer] < 0) continue;
        const fanin_tensor *weight = &j->items[j->weight_of[layer]].tensor;
        info->tensor.fan_in = weight->fan_in;
        info->tensor.fan_out = weight->fan_out;
        info->tensor.torch_fan_in = weight->torch_fan_in;
        info->tensor.torch_fan_out = weight->torch_fan_out;
        info->tensor.depth_index = weight->depth_index;
        if (c == FANIN_CLASS_RECURRENT_BIAS) /* torch counts the hidden size for all four */
            info->tensor.torch_fan_in = info->tensor.fan_in = weight->fan_out;
    }
}

static void follow_activations(job *j) {
    for (int i = 0; i < j->out->count; i++) {
        fanin_tensor_info *info = &j->items[i];
        fanin_class c = info->tensor.cls;
        bool may =
            c == FANIN_CLASS_DENSE || (c >= FANIN_CLASS_CONV && c <= FANIN_CLASS_CONV_TRANSPOSE);
        int argument, result;
        if (may || c == FANIN_CLASS_OUTPUT)
            info->tensor.nonlinearity = fanin__follow_activation(
                &j->w, &j->owner->seen, &j->w.graph->nodes[info->node], j->owner->acts[i],
                sizeof j->owner->acts[i], &argument, &result);
    }
}

/* x * constant */
static bool is_scaled(const fanin__wiring *w, int value) {
    const fanin_node *n = fanin__maker(w, value, "Identity|Cast");
    if (!n || !fanin__is(n, "Mul") || n->input_count != 2) return false;
    return (n->inputs[0] >= 0 && !w->live[n->inputs[0]]) ||
           (n->inputs[1] >= 0 && !w->live[n->inputs[1]]);
}

/* The addition that ends a residual block; a rotary position adds two scaled copies instead. */
static bool joins(const fanin__wiring *w, const fanin_node *n) {
    if (!fanin__is(n, "Add") || n->input_count != 2) return false;
    int a = n->inputs[0], b = n->inputs[1];
    if (a < 0 || b < 0 || !w->live[a] || !w->live[b]) return false;
    return !(is_scaled(w, a) && is_scaled(w, b));
}

static int count_residuals(const fanin__wiring *w) {
    int count = 0;
    for (int i = 0; i < w->graph->node_count; i++) count += joins(w, &w->graph->nodes[i]);
    return count;
}

/* From a layer through its bias, norm, dropout to an addition of two live values. */
static bool closes_branch(const fanin__wiring *w, const fanin_node *n) {
    for (int step = 0; step < 12 && n && n->output_count > 0; step++) {
        int x = n->outputs[0];
        const fanin_node *next = NULL;
        for (int i = w->first[x]; i < fanin__readers_end(w, x); i++) {
            const fanin_node *m = &w->graph->nodes[w->readers[i].node];
            if (joins(w, m)) return true;
            if (!next && fanin__is(m, FANIN__MOVES "|BatchNormalization|Add|Mul")) next = m;
        }
        n = next;
    }
    return false;
}

/* Which weights close a branch, and how many blocks are closed before each tensor. */
static void place_in_blocks(job *j) {
    const fanin_graph *g = j->w.graph;
    const int64_t residuals = j->out->residuals, blocks = j->out->blocks;
    for (int i = 0; i < j->out->count; i++) {
        fanin_tensor_info *info = &j->items[i];
        info->block = -1;
        if (is_layer(info)) info->closes = closes_branch(&j->w, &g->nodes[info->node]);
    }
    if (residuals == 0) return;
    int *before = j->weight_of; /* no longer needed */
    int count = 0;
    for (int n = 0; n < g->node_count; n++) {
        before[n] = count;
        count += joins(&j->w, &g->nodes[n]);
    }
    for (int i = 0; i < j->out->count; i++)
        if (j->items[i].node >= 0)
            j->items[i].block = (int)(before[j->items[i].node] * blocks / residuals);
}

static void count_blocks(job *j) {
    int attention = 0;
    for (int i = 0; i < j->out->count; i++) {
        fanin_class c = j->items[i].tensor.cls;
        attention += c == FANIN_CLASS_ATTENTION_OUT;
    }
    j->out->residuals = count_residuals(&j->w);
    j->out->blocks = attention ? attention : j->out->residuals ? j->out->residuals : j->out->layers;
}

static fanin_status classify_graph(job *j) {
    const fanin_graph *g = j->w.graph;
    fanin__verdict *verdicts = fanin_calloc((size_t)j->out->count + 1, sizeof *verdicts);
    j->weight_of = fanin_calloc((size_t)g->node_count + 1, sizeof *j->weight_of);
    j->last = fanin_calloc((size_t)g->node_count + 1, sizeof *j->last);
    if (!verdicts || !j->weight_of || !j->last) {
        fanin_free(verdicts);
        return fanin_err_set(j->err, FANIN_NOMEM, "%.200s: no memory to classify tensors", g->name);
    }
    fanin__mark_outputs(&j->w, j->last);
    for (int n = 0; n < g->node_count; n++) j->weight_of[n] = -1;
    int k = 0;
    for (int v = 0; v < g->value_count; v++)
        if (g->values[v].flags & FANIN_VALUE_INITIALIZER) {
            classify_one(j, v, &j->items[k], &verdicts[k]);
            name_layer(g, &j->items[k]);
            bool first = is_layer(&j->items[k]) && j->weight_of[j->items[k].node] < 0;
            if (first) j->weight_of[j->items[k].node] = k;
            k++;
        }
    number_layers(j);
    lend_fans(j, verdicts);
    follow_activations(j);
    count_blocks(j);
    place_in_blocks(j);
    fanin_free(verdicts);
    return FANIN_OK;
}

static fanin_status tell_roles(job *j) {
    for (int i = 0; i < j->out->count; i++) {
        fanin__text role = {0};
        fanin__role_of(&j->owner->seen, j->w.graph, &j->items[i], &role);
        if (role.data) j->items[i].role = fanin__arena_strdup(&j->owner->roles, role.data);
        bool failed = role.failed || !j->items[i].role;
        fanin__text_fini(&role);
        if (failed)
            return fanin_err_set(j->err, FANIN_NOMEM, "%.200s: no memory to classify tensors",
                                 j->w.graph->name);
    }
    return FANIN_OK;
}

/* ---- public ------------------------------------------------------------------------------------ */

static fanin_status prepare(job *j, const fanin_graph *graph) {
    int count = 0;
    for (int v = 0; v < graph->value_count; v++)
        count += (graph->values[v].flags & FANIN_VALUE_INITIALIZER) != 0;
    j->out = fanin_calloc(1, sizeof *j->out);
    j->owner = fanin_calloc(1, sizeof *j->owner);
    if (j->out) j->out->owner = j->owner;
    if (!j->out || !j->owner) {
        fanin_free(j->out ? NULL : j->owner);
        goto no_memory;
    }
    j->items = fanin_calloc((size_t)count + 1, sizeof *j->items);
    j->owner->acts = fanin_calloc((size_t)count + 1, sizeof *j->owner->acts);
    j->out->items = j->items;
    j->out->count = count;
    if (j->items && j->owner->acts) return FANIN_OK;
no_memory:
    return fanin_err_set(j->err, FANIN_NOMEM, "%.200s: no memory to classify %d tensors",
                         graph->name, count);
}

fanin_status fanin_tensors_create(const fanin_graph *graph, const char *layout,
                                  fanin_tensors **tensors, fanin_err *err) {
    *tensors = NULL;
    job j = {.err = err};
    fanin_status status = prepare(&j, graph);
    if (status == FANIN_OK && graph->node_count == 0)
        status = fanin__classify_template(graph, layout, j.items, j.out->count, err);
    else if (status == FANIN_OK) {
        status = fanin__wiring_create(graph, &j.w, err);
        if (status == FANIN_OK) status = fanin__recognise(graph, &j.owner->seen, err);
        if (status == FANIN_OK) status = classify_graph(&j);
        if (status == FANIN_OK) status = tell_roles(&j);
        fanin__wiring_fini(&j.w);
    }
    for (int i = 0; j.items && i < j.out->count; i++)
        if (!j.items[i].role) j.items[i].role = ""; /* of a template */
    fanin_free(j.weight_of);
    fanin_free(j.last);
    if (status == FANIN_OK)
        *tensors = j.out;
    else
        fanin_tensors_destroy(j.out);
    return status;
}

void fanin_tensors_destroy(fanin_tensors *tensors) {
    if (!tensors) return;
    owner *o = tensors->owner;
    if (o) fanin_free(o->acts);
    if (o) fanin__arena_fini(&o->roles);
    if (o) fanin__recognised_fini(&o->seen);
    fanin_free(o);
    fanin_free((void *)(uintptr_t)tensors->items);
    fanin_free(tensors);
}
