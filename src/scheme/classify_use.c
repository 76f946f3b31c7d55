/* classify_use.c - what one use makes of an initialiser: the operator, the operand's place and what stands beside it. */
#include <string.h>

#include "scheme/classify.h"

/* ---- convolutions ------------------------------------------------------------------------------ */

double fanin__taps(const fanin_value *v) {
    double n = 1;
    for (int i = 2; i < v->rank; i++) n *= (double)v->dims[i];
    return n;
}

static fanin__verdict conv_weight(const fanin_node *n, const fanin_value *v) {
    int64_t groups = fanin_node_attr_int(n, "group", 1);
    fanin__verdict r = {
        .strength = FANIN__MATRIX, .cls = FANIN_CLASS_CONV, .out_axis = 0, .in_axis = 1};
    if (v->rank < 3 || groups < 1 || v->dims[0] % groups) return (fanin__verdict){0};
    if (groups > 1 && v->dims[1] == 1) r.cls = FANIN_CLASS_CONV_DEPTHWISE;
    r.groups = groups;
    r.fan_in = (double)v->dims[1] * fanin__taps(v);
    r.fan_out = (double)v->dims[0] / (double)groups * fanin__taps(v);
    return r;
}

/* Stored C_in x C_out/groups x kernel. An output position is reached by taps / stride taps. */
static fanin__verdict transposed_weight(const fanin_node *n, const fanin_value *v) {
    int64_t groups = fanin_node_attr_int(n, "group", 1);
    const fanin_attr *strides = fanin_node_attr(n, "strides");
    double stride = 1;
    if (v->rank < 3 || groups < 1 || v->dims[0] % groups) return (fanin__verdict){0};
    for (size_t i = 0; strides && i < strides->count; i++)
        if (strides->ints[i] > 0) stride *= (double)strides->ints[i];
    return (fanin__verdict){.strength = FANIN__MATRIX,
                            .cls = FANIN_CLASS_CONV_TRANSPOSE,
                            .out_axis = 1,
                            .in_axis = 0,
                            .groups = groups,
                            .fan_in = (double)v->dims[0] / (double)groups * fanin__taps(v) / stride,
                            .fan_out = (double)v->dims[1] * fanin__taps(v)};
}

/* ---- dense ------------------------------------------------------------------------------------- */

/* A matrix product that reads the view's axes `out` and `in`; -1 for a vector's missing one. */
static fanin__verdict matrix(const fanin__seen *s, const fanin_value *v, int out, int in) {
    fanin__verdict r = {
        .strength = FANIN__MATRIX, .cls = FANIN_CLASS_DENSE, .out_axis = -1, .in_axis = -1};
    r.groups = 1;
    if (s->rank < 1) { /* lost on the way: the usual layout */
        r.out_axis = 0;
        r.in_axis = v->rank > 1 ? 1 : -1;
        r.fan_out = v->rank > 0 ? (double)v->dims[0] : 1;
        r.fan_in = v->rank > 1 ? (double)v->dims[1] * fanin__taps(v) : 1;
        return r;
    }
    if (out >= 0) r.out_axis = s->axis[out];
    if (in >= 0) r.in_axis = s->axis[in];
    r.fan_out = out < 0 ? 1 : (double)s->dims[out];
    r.fan_in = in < 0 ? 1 : (double)s->dims[in];
    if (out >= 0 && s->dims[out] < 0 && r.out_axis >= 0) r.fan_out = (double)v->dims[r.out_axis];
    if (in >= 0 && s->dims[in] < 0 && r.in_axis >= 0) r.fan_in = (double)v->dims[r.in_axis];
    if (r.out_axis == r.in_axis) r.in_axis = -1;
    return r;
}

static fanin__verdict matmul_weight(const fanin__use *u, const fanin_value *v) {
    int rank = u->seen.rank;
    if (rank == 0) return (fanin__verdict){0};
    if (rank == 1) return matrix(&u->seen, v, -1, 0);
    return u->slot == 1 ? matrix(&u->seen, v, rank - 1, rank - 2)
                        : matrix(&u->seen, v, rank - 2, rank - 1);
}

static fanin__verdict gemm_weight(const fanin_node *n, const fanin__use *u, const fanin_value *v) {
    if (u->seen.rank >= 0 && u->seen.rank != 2) return (fanin__verdict){0};
    bool turned = fanin_node_attr_int(n, u->slot == 1 ? "transB" : "transA", 0) != 0;
    if (u->slot == 1) return matrix(&u->seen, v, turned ? 0 : 1, turned ? 1 : 0);
    return matrix(&u->seen, v, turned ? 1 : 0, turned ? 0 : 1);
}

/* "bij,jk->bik": letters that vanish are summed over, letters that the other side lacks are outputs.
 * One of each is a matrix; several multiply. */
static fanin__verdict einsum_weight(const fanin_node *n, const fanin__use *u,
                                    const fanin_value *v) {
    const char *equation = fanin_node_attr_string(n, "equation", "");
    const char *arrow = strstr(equation, "->"), *comma = strchr(equation, ',');
    if (!arrow || !comma || comma > arrow || u->seen.rank < 1) return (fanin__verdict){0};
    const char *mine = u->slot == 0 ? equation : comma + 1;
    const char *mine_end = u->slot == 0 ? comma : arrow;
    fanin__verdict r = {
        .strength = FANIN__MATRIX, .cls = FANIN_CLASS_DENSE, .out_axis = -1, .in_axis = -1};
    r.groups = 1;
    r.fan_in = r.fan_out = 1;
    int axis = 0;
    for (const char *c = mine; c < mine_end && axis < u->seen.rank; c++) {
        if (*c == ' ' || *c == '.') continue;
        bool kept = strchr(arrow, *c) != NULL, shared = false;
        for (const char *o = equation; o < arrow; o++)
            if ((o < mine || o >= mine_end) && *o == *c) shared = true;
        double size = (double)u->seen.dims[axis];
        if (!kept) {
            r.fan_in *= size;
            if (r.in_axis < 0) r.in_axis = u->seen.axis[axis];
        } else if (!shared) {
            r.fan_out *= size;
            if (r.out_axis < 0) r.out_axis = u->seen.axis[axis];
        }
        axis++;
    }
    if (r.fan_in < 1 || r.fan_out < 1 || v->rank < 1) return (fanin__verdict){0};
    return r;
}

/* ---- recurrent --------------------------------------------------------------------------------- */

static int gates(const fanin_node *n) {
    return fanin__is(n, "LSTM") ? 4 : fanin__is(n, "GRU") ? 3 : 1;
}

/* W and R are directions x gates*hidden x size; exporters slice and concatenate torch's. */
static fanin__verdict recurrent(const fanin_node *n, const fanin__use *u, const fanin_value *v) {
    fanin__verdict r = {
        .strength = FANIN__MATRIX, .groups = 1, .parts = gates(n), .out_axis = -1, .in_axis = -1};
    int64_t hidden = fanin_node_attr_int(n, "hidden_size", 0);
    if (u->slot == 3) {
        r.cls = FANIN_CLASS_RECURRENT_BIAS;
        r.strength = FANIN__VECTOR;
        /* B itself holds the gates' input and recurrent biases, in ONNX's order; what is sliced and joined on its way
         * is a framework's half of it, in the framework's. */
        if (r.parts == 4 && hidden > 0 && v->rank > 0 && v->dims[v->rank - 1] == 8 * hidden)
            r.parts = 8;
        return r;
    }
    if (u->slot > 3) return (fanin__verdict){.strength = FANIN__KEPT, .cls = FANIN_CLASS_CONSTANT};
    r.cls = u->slot == 1 ? FANIN_CLASS_RECURRENT_INPUT : FANIN_CLASS_RECURRENT_HIDDEN;
    if (v->rank < 2) return (fanin__verdict){0};
    bool clear = u->seen.rank == 3 && u->seen.axis[1] >= 0 && u->seen.axis[2] >= 0;
    r.out_axis = clear ? u->seen.axis[1] : v->rank - 2;
    r.in_axis = clear ? u->seen.axis[2] : v->rank - 1;
    r.fan_in = (double)v->dims[r.in_axis];
    r.fan_out = hidden > 0 ? (double)hidden : (double)v->dims[r.out_axis] / r.parts;
    return r;
}

/* ---- what is added and multiplied -------------------------------------------------------------- */

/* Axes longer than 1. */
static int extent(const fanin_value *v) {
    int n = 0;
    for (int i = 0; i < v->rank; i++) n += v->dims[i] != 1;
    return n;
}

#define NORMS "BatchNormalization|InstanceNormalization|LayerNormalization|GroupNormalization"

/* x / sqrt(var + eps) in its spellings, or an operator that normalises. */
static bool is_normalised(const fanin__wiring *w, int value) {
    const fanin_node *n = fanin__maker(w, value, FANIN__MOVES);
    if (!n) return false;
    if (fanin__is(n, NORMS "|LpNormalization|RMSNormalization")) return true;
    if (!fanin__is(n, "Div|Mul") || n->input_count != 2) return false;
    for (int k = 0; k < 2; k++) {
        const fanin_node *m = fanin__maker(w, n->inputs[k], "Identity|Cast|Reciprocal");
        if (m && fanin__is(m, "Sqrt")) return true;
        if (m && fanin__is(m, "Div|Pow") && m->input_count == 2 && fanin__is(n, "Mul")) {
            const fanin_node *root = fanin__maker(w, m->inputs[1], "Identity|Cast");
            if (root && fanin__is(root, "Sqrt")) return true;
            if (fanin__constant_number(w->graph, m->inputs[1]) == -0.5) return true;
        }
    }
    return false;
}

/* Behind a norm's scale: (x / sqrt(var)) * scale. */
static bool is_scaled_norm(const fanin__wiring *w, int value) {
    const fanin_node *n = fanin__maker(w, value, FANIN__MOVES);
    if (!n || !fanin__is(n, "Mul") || n->input_count != 2) return is_normalised(w, value);
    for (int k = 0; k < 2; k++)
        if (n->inputs[k] >= 0 && w->live[n->inputs[k]] && !w->live[n->inputs[1 - k]] &&
            is_normalised(w, n->inputs[k]))
            return true;
    return is_normalised(w, value);
}

/* Added or multiplied to attention scores: a mask, unless it has values of its own for each head. */
static bool meets_softmax(const fanin__wiring *w, const fanin_node *n) {
    int value = n->output_count > 0 ? n->outputs[0] : -1;
    for (int step = 0; step < 6 && value >= 0; step++) {
        int next = -1;
        for (int i = w->first[value]; i < fanin__readers_end(w, value); i++) {
            const fanin_node *m = &w->graph->nodes[w->readers[i].node];
            if (fanin__is(m, "Softmax")) return true;
            if (fanin__is(m, "Add|Where|Cast|Identity|Mul|Div|Clip|Reshape") && m->output_count > 0)
                next = m->outputs[0];
        }
        value = next;
    }
    return false;
}

static bool is_mask(const fanin__wiring *w, const fanin_node *n, const fanin_value *v) {
    for (int i = 0; i + 2 < v->rank; i++)
        if (v->dims[i] != 1) return false;
    return v->rank >= 2 && v->dims[v->rank - 1] > 1 && meets_softmax(w, n);
}

static fanin__verdict added(const fanin__wiring *w, const fanin__use *u, const fanin_value *v) {
    const fanin_node *n = &w->graph->nodes[u->node];
    fanin__verdict r = {.strength = FANIN__VECTOR, .cls = FANIN_CLASS_BIAS, .layer = -1};
    int other = n->input_count == 2 ? n->inputs[1 - u->slot] : -1;
    if (is_mask(w, n, v))
        return (fanin__verdict){.strength = FANIN__KEPT, .cls = FANIN_CLASS_CONSTANT};
    if (extent(v) >= 2)
        return (fanin__verdict){
            .strength = FANIN__PLACED, .cls = FANIN_CLASS_POSITION, .layer = -1};
    if (other >= 0 && is_scaled_norm(w, other)) {
        r.strength = FANIN__NORMAL;
        r.cls = FANIN_CLASS_NORM_SHIFT;
        return r;
    }
    const fanin_node *m = other >= 0 ? fanin__maker(w, other, FANIN__MOVES) : NULL;
    if (m && fanin__is(m, FANIN__WEIGHTED)) r.layer = (int)(m - w->graph->nodes);
    bool alone = extent(v) == 0 && !m;
    if (v->data && (alone || (extent(v) == 0 && r.layer < 0)))
        return (fanin__verdict){.strength = FANIN__KEPT, .cls = FANIN_CLASS_CONSTANT};
    return r;
}

static fanin__verdict multiplied(const fanin__wiring *w, const fanin__use *u,
                                 const fanin_value *v) {
    const fanin_node *n = &w->graph->nodes[u->node];
    int other = n->input_count == 2 ? n->inputs[1 - u->slot] : -1;
    fanin__verdict r = {.strength = FANIN__NORMAL, .cls = FANIN_CLASS_NORM_SCALE, .layer = -1};
    if (other >= 0 && is_normalised(w, other)) return r;
    if (v->data && extent(v) == 0)
        return (fanin__verdict){.strength = FANIN__KEPT, .cls = FANIN_CLASS_CONSTANT};
    r.strength = FANIN__VECTOR;
    return r;
}

/* ---- one use ----------------------------------------------------------------------------------- */

static fanin__verdict table(const fanin__wiring *w, const fanin_node *n, const fanin_value *v) {
    bool fed = n->input_count > 1 && n->inputs[1] >= 0 && w->live[n->inputs[1]];
    if (v->rank < 1) return (fanin__verdict){0};
    return (fanin__verdict){.strength = fed ? FANIN__TABLE : FANIN__PLACED,
                            .cls = fed ? FANIN_CLASS_EMBEDDING : FANIN_CLASS_POSITION,
                            .layer = -1};
}

static fanin__verdict norm_part(const fanin_node *n, int slot) {
    static const fanin_class classes[] = {FANIN_CLASS_OTHER, FANIN_CLASS_NORM_SCALE,
                                          FANIN_CLASS_NORM_SHIFT, FANIN_CLASS_RUNNING_MEAN,
                                          FANIN_CLASS_RUNNING_VAR};
    int last = fanin__is(n, "BatchNormalization") ? 4 : 2;
    if (slot < 1 || slot > last) return (fanin__verdict){0};
    return (fanin__verdict){.strength = FANIN__NORMAL, .cls = classes[slot], .layer = -1};
}

static fanin__verdict weight_or_bias(const fanin__use *u, fanin__verdict weight) {
    if (u->slot == 1) return weight;
    if (u->slot == 2)
        return (fanin__verdict){
            .strength = FANIN__VECTOR, .cls = FANIN_CLASS_BIAS, .layer = u->node};
    return (fanin__verdict){0};
}

/* What the norm or attention that it takes part in makes of an operand; strength FANIN__NOTHING: nothing. */
static fanin__verdict part_of_pattern(const fanin__recognised *seen, const fanin_node *n,
                                      const fanin__use *u, const fanin_value *v) {
    const fanin_pattern *p = fanin__recognised_at(seen, u->node);
    int operand = u->slot < n->input_count ? n->inputs[u->slot] : -1;
    if (!p || !p->spelled || operand < 0) return (fanin__verdict){0};
    if (fanin__is_norm(p) && (operand == p->scale || operand == p->shift))
        return (fanin__verdict){.strength = FANIN__NORMAL,
                                .cls = operand == p->scale ? FANIN_CLASS_NORM_SCALE
                                                           : FANIN_CLASS_NORM_SHIFT,
                                .layer = -1};
    bool mask = p->kind == FANIN_PATTERN_ATTENTION && fanin__is(n, "Mul|Sub|Where");
    if (mask && v->data && extent(v) >= 2)
        return (fanin__verdict){.strength = FANIN__KEPT, .cls = FANIN_CLASS_CONSTANT};
    return (fanin__verdict){0};
}

fanin__verdict fanin__judge_use(const fanin__wiring *w, const fanin__recognised *seen,
                                const fanin__use *u, const fanin_value *v) {
    const fanin_node *n = &w->graph->nodes[u->node];
    fanin__verdict known = part_of_pattern(seen, n, u, v);
    if (known.strength != FANIN__NOTHING) return known;
    if (fanin__is(n, "Conv|ConvInteger")) return weight_or_bias(u, conv_weight(n, v));
    if (fanin__is(n, "ConvTranspose")) return weight_or_bias(u, transposed_weight(n, v));
    if (fanin__is(n, "Gemm|FusedGemm"))
        return u->slot == 2 ? weight_or_bias(u, (fanin__verdict){0}) : gemm_weight(n, u, v);
    if (fanin__is(n, "MatMul|FusedMatMul")) return matmul_weight(u, v);
    if (fanin__is(n, "Einsum")) return einsum_weight(n, u, v);
    if (fanin__is(n, "LSTM|GRU|RNN")) return recurrent(n, u, v);
    if (fanin__is(n, NORMS)) return norm_part(n, u->slot);
    if (fanin__is(n, "RMSNormalization|SimplifiedLayerNormalization|GroupNorm"))
        return norm_part(n, u->slot);
    if (fanin__is(n, "SkipLayerNormalization|SkipSimplifiedLayerNormalization"))
        return norm_part(n, u->slot - 1);
    if (fanin__is(n, "PRelu") && u->slot == 1)
        return (fanin__verdict){
            .strength = FANIN__NORMAL, .cls = FANIN_CLASS_PRELU_SLOPE, .layer = -1};
    if (fanin__is(n, "Gather|EmbedLayerNormalization") && u->slot == 0) return table(w, n, v);
    if (fanin__is(n, "Add|Sub")) return added(w, u, v);
    if (fanin__is(n, "Mul|Div")) return multiplied(w, u, v);
    if (fanin__is(n, "Concat"))
        return (fanin__verdict){
            .strength = FANIN__PLACED, .cls = FANIN_CLASS_CLASS_TOKEN, .layer = -1};
    if (fanin__is(n, "Attention") && u->slot == 1) { /* packed, of the com.microsoft operator */
        fanin__verdict r = matrix(&u->seen, v, 1, 0);
        r.cls = FANIN_CLASS_ATTENTION_QKV;
        r.parts = 3;
        r.fan_out /= 3;
        return r;
    }
    if (fanin__is(n, "Attention") && u->slot == 2)
        return (fanin__verdict){
            .strength = FANIN__VECTOR, .cls = FANIN_CLASS_BIAS, .layer = u->node};
    if (v->data)
        return (fanin__verdict){.strength = FANIN__KEPT, .cls = FANIN_CLASS_CONSTANT, .layer = -1};
    return (fanin__verdict){0};
}
