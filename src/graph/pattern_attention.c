/* pattern_attention.c - softmax(scale q k' + mask) v, found from its Softmax: backwards to the product that makes
 * the scores, forwards to the one that mixes v; and behind q, k and v the projections that make them. */
#include <math.h>
#include <string.h>

#include "graph/pattern.h"

enum { STEPS = 24, SEEN = 96 };

#define MOVES \
    "Identity|Cast|Reshape|Transpose|Squeeze|Unsqueeze|Flatten|Dropout|Expand|Tile|Contiguous"

static int producer(const fanin__finder *f, int value) {
    return value < 0 ? -1 : f->graph->values[value].producer;
}

static bool live(const fanin__finder *f, int value) { return value >= 0 && f->w.live[value]; }

/* A product of two values that both depend on what the caller feeds. */
static bool is_live_product(const fanin__finder *f, const fanin_node *n) {
    return fanin__is(n, "MatMul|Einsum") && n->input_count == 2 && live(f, n->inputs[0]) &&
           live(f, n->inputs[1]);
}

/* ---- scores -------------------------------------------------------------------------------------- */

typedef struct attention {
    int product; /* q k' */
    double scale;
    int masks[4], mask_count; /* values */
    int nodes[64], node_count;
    int *budget; /* nodes that the search may still visit */
} attention;

static void cover(attention *a, int node) {
    if (a->node_count < (int)FANIN_COUNT(a->nodes)) a->nodes[a->node_count++] = node;
}

static void add_mask(attention *a, int value) {
    if (a->mask_count < (int)FANIN_COUNT(a->masks)) a->masks[a->mask_count++] = value;
}

/* Whether `value` is a single number; *number is NaN where it is made of a size that the file does not tell. */
static bool is_number(const fanin__finder *f, int value, double *number) {
    int64_t axis = INT64_MIN;
    if (value < 0 || live(f, value)) return false;
    *number = fanin__pattern_number(f, value, 0, NULL);
    return !isnan(*number) || !isnan(fanin__pattern_number(f, value, 64, &axis));
}

/* Whether `value` is scores with masks and scales; into *a what was met on the way. */
static bool find_scores(const fanin__finder *f, int value, int depth, attention *a) {
    int at = producer(f, value);
    if (at < 0 || depth == 0 || !live(f, value) || (*a->budget)-- <= 0) return false;
    const fanin_node *n = &f->graph->nodes[at];
    if (n->input_count < 1) return false;
    if (is_live_product(f, n)) {
        a->product = at;
        cover(a, at);
        return true;
    }
    if (fanin__is(n, MOVES "|Clip|Tanh")) {
        if (!find_scores(f, n->inputs[0], depth - 1, a)) return false;
        cover(a, at);
        return true;
    }
    if (!fanin__is(n, "Add|Sub|Mul|Div|Where")) return false;
    for (int k = fanin__is(n, "Where"); k < n->input_count; k++) {
        attention found = *a;
        if (!find_scores(f, n->inputs[k], depth - 1, &found)) continue;
        *a = found;
        cover(a, at);
        int other = fanin__is(n, "Where") ? n->inputs[0] : n->inputs[1 - k];
        double number;
        bool scales = is_number(f, other, &number);
        if (scales && fanin__is(n, "Mul|Div"))
            a->scale *= fanin__is(n, "Mul") ? number : 1 / number;
        else if (!scales)
            add_mask(a, other);
        return true;
    }
    return false;
}

/* Numbers that q and k are multiplied with before their product. */
static double factor_before(const fanin__finder *f, int value) {
    double scale = 1;
    for (int step = 0; step < STEPS; step++) {
        int at = producer(f, value);
        if (at < 0) break;
        const fanin_node *n = &f->graph->nodes[at];
        if (n->input_count < 1) break;
        if (fanin__is(n, MOVES)) {
            value = n->inputs[0];
        } else if (fanin__is(n, "Mul|Div") && n->input_count == 2) {
            int side = live(f, n->inputs[0]) ? 0 : 1, other = n->inputs[1 - side];
            double number;
            if (!is_number(f, other, &number)) break;
            scale *= fanin__is(n, "Mul") ? number : 1 / number;
            value = n->inputs[side];
        } else {
            break;
        }
    }
    return scale;
}

/* ---- mask ---------------------------------------------------------------------------------------- */

/* A stored matrix that tells later positions from earlier ones: all above the diagonal equal, and all on and below
 * it, and the two differ. Looks at 64 positions. */
static bool is_triangular(const fanin_value *v) {
    size_t size = fanin_dtype_size(v->dtype);
    if (v->rank < 2 || size == 0) return false;
    int64_t n = v->dims[v->rank - 1], lead = 1;
    for (int i = 0; i + 2 < v->rank; i++) lead *= v->dims[i];
    if (n < 2 || v->dims[v->rank - 2] != n || lead != 1 || n > 1 << 20 ||
        v->size < (size_t)(n * n) * size)
        return false;
    if (n > 64) n = 64;
    int64_t row = v->dims[v->rank - 1];
    const char *low = v->data, *high = low + size;
    if (!memcmp(low, high, size)) return false;
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < n; k++)
            if (memcmp(low + (size_t)(i * row + k) * size, k > i ? high : low, size) != 0)
                return false;
    return true;
}

typedef struct walk {
    int values[SEEN], count;
    bool trilu, range, compares, fed, triangular, stored, learned;
} walk;

static void meet(walk *w, int value) {
    if (value < 0 || w->count == SEEN) return;
    for (int i = 0; i < w->count; i++)
        if (w->values[i] == value) return;
    w->values[w->count++] = value;
}

static void look_at(const fanin__finder *f, walk *w, int value) {
    const fanin_value *v = &f->graph->values[value];
    if (v->producer >= 0) {
        const fanin_node *n = &f->graph->nodes[v->producer];
        if (fanin__is(n, "Shape|Size")) return; /* sizes only */
        if (fanin__is(n, "Trilu")) w->trilu = true;
        if (fanin__is(n, "Range")) w->range = true;
        if (fanin__is(n, "Greater|Less|GreaterOrEqual|LessOrEqual")) w->compares = true;
        int used = fanin__is(n, "Slice|Reshape|Expand|Tile|Unsqueeze|Squeeze") ? 1 : n->input_count;
        for (int k = 0; k < used; k++) meet(w, n->inputs[k]);
        return;
    }
    if (v->flags & FANIN_VALUE_INPUT) {
        w->fed = true;
    } else if (v->rank >= 2 && v->data && is_triangular(v)) {
        w->triangular = true;
    } else if (v->rank >= 2 && v->dims[v->rank - 1] > 1) {
        bool weight = (v->flags & FANIN_VALUE_INITIALIZER) && fanin_dtype_is_float(v->dtype);
        bool table = false; /* looked up or computed with: relative positions */
        for (int i = f->w.first[value]; i < fanin__readers_end(&f->w, value); i++)
            table = table || fanin__is(&f->graph->nodes[f->w.readers[i].node],
                                       "Gather|GatherND|MatMul|Gemm");
        w->learned = w->learned || (weight && table);
        w->stored = w->stored || !(weight && table);
    }
}

static unsigned mask_kind(const fanin__finder *f, int value) {
    walk w = {0};
    meet(&w, value);
    for (int i = 0; i < w.count; i++) look_at(f, &w, w.values[i]);
    unsigned kind = 0;
    if (w.trilu || w.triangular || (w.range && w.compares)) kind |= FANIN_MASK_CAUSAL;
    if (w.fed) kind |= FANIN_MASK_FED;
    if (w.learned) kind |= FANIN_MASK_LEARNED;
    if (w.stored && !w.learned && !(kind & FANIN_MASK_CAUSAL)) kind |= FANIN_MASK_STORED;
    return kind;
}

/* ---- projections --------------------------------------------------------------------------------- */

typedef struct origin {
    int node;     /* that makes it; -1 */
    int reshape;  /* the first Reshape met on the way back; -1 */
    int nearest;  /* the last one, next to `node`; -1 */
    int cut;      /* the Split, Slice or Gather next to `node`; -1 */
    bool in_head; /* that cuts what `nearest` has cut into heads */
    int64_t part; /* columns that the cut leaves; 0: not known */
} origin;

static int64_t split_size(const fanin__finder *f, const fanin_node *n, int value) {
    int64_t sizes[FANIN_MAX_RANK];
    int index = 0, count = fanin__node_ints(f->graph, n, "split", 1, sizes, FANIN_MAX_RANK);
    while (index < n->output_count && n->outputs[index] != value) index++;
    bool known = index < count && sizes[index] > 0 && sizes[index] < INT32_MAX;
    return known ? sizes[index] : 0;
}

static int64_t slice_size(const fanin__finder *f, const fanin_node *n) {
    if (n->input_count < 3) return 0;
    double start = fanin__pattern_number(f, n->inputs[1], 0, NULL);
    double end = fanin__pattern_number(f, n->inputs[2], 0, NULL);
    return start >= 0 && end > start && end < INT32_MAX ? (int64_t)(end - start) : 0;
}

/* Columns of a product with a stored matrix; 0: not known. */
static int64_t width_of(const fanin__finder *f, int node) {
    const fanin_graph *g = f->graph;
    const fanin_node *n = &g->nodes[node];
    int side = n->input_count > 1 && live(f, n->inputs[1]) ? 0 : 1;
    if (n->input_count < 2 || n->inputs[side] < 0) return 0;
    bool turned = fanin__is(n, "Gemm") && fanin_node_attr_int(n, side ? "transB" : "transA", 0);
    int value = n->inputs[side];
    int64_t part = 0; /* rows of the stored matrix */
    for (int step = 0; step < STEPS && g->values[value].producer >= 0; step++) {
        const fanin_node *m = &g->nodes[g->values[value].producer];
        if (!fanin__is(m, "Transpose|Identity|Cast|Slice|Split") || m->input_count < 1) return 0;
        if (fanin__is(m, "Transpose")) turned = !turned;
        if (fanin__is(m, "Slice|Split") && !turned) return 0;
        if (fanin__is(m, "Slice")) part = slice_size(f, m);
        if (fanin__is(m, "Split")) part = split_size(f, m, value);
        if (fanin__is(m, "Slice|Split") && part <= 0) return 0;
        value = m->inputs[0];
    }
    const fanin_value *v = &g->values[value];
    if (part > 0) return part;
    if (fanin__is(n, "Conv")) return v->rank > 0 ? v->dims[0] : 0;
    if (v->rank != 2 || side == 0) return 0;
    return v->dims[turned ? 0 : 1];
}

/* Norms between a projection and the product are looked through. */
static int behind_pattern(const fanin__finder *f, int at) {
    const fanin_pattern *p = fanin__pattern_at(f, at);
    if (!p || p->kind < FANIN_PATTERN_LAYER_NORM || p->kind > FANIN_PATTERN_L2_NORM) return -1;
    return p->output == f->graph->nodes[at].outputs[0] ? p->input : -1;
}

/* Back from q, k or v through moves, cuts, biases, scales, rotary positions and norms to a product or convolution
 * with a weight. */
static origin find_origin(const fanin__finder *f, int value) {
    origin o = {.node = -1, .reshape = -1, .nearest = -1, .cut = -1};
    const fanin_graph *g = f->graph;
    for (int step = 0; step < 2 * STEPS; step++) {
        int at = producer(f, value);
        if (at < 0) return o;
        const fanin_node *n = &g->nodes[at];
        int next = behind_pattern(f, at);
        if (n->input_count < 1) return o;
        if (next >= 0) {
            value = next;
            continue;
        }
        if (fanin__is(n, "MatMul|Gemm|Conv|Einsum")) {
            if (n->input_count > 1 && live(f, n->inputs[0]) && live(f, n->inputs[1])) return o;
            o.node = at;
            return o;
        }
        if (fanin__is(n, "Reshape")) {
            if (o.reshape < 0) o.reshape = at;
            o.nearest = at;
            o.in_head = o.cut >= 0;
        } else if (fanin__is(n, "Split|Slice|Gather")) {
            o.cut = at;
            o.in_head = false;
            o.part = fanin__is(n, "Split")   ? split_size(f, n, value)
                     : fanin__is(n, "Slice") ? slice_size(f, n)
                                             : 0;
        } else if (!fanin__is(n, MOVES "|Add|Sub|Mul|Div|Neg|Concat|Pad")) {
            return o;
        }
        value = n->inputs[0];
        for (int k = 1; k < n->input_count && !live(f, value); k++) value = n->inputs[k];
    }
    return o;
}

static int members_of(const origin o[3], int k) {
    return (o[0].node == o[k].node) + (o[1].node == o[k].node) + (o[2].node == o[k].node);
}

/* q, k and v of each head side by side: columns are cut into heads first, and each head into three. Three heads
 * of three parts look like both; the order that all common exporters have wins. */
static bool is_per_head(const fanin__finder *f, const origin *o, int members) {
    int64_t axis = INT64_MIN;
    int count;
    if (members < 2 || o->cut < 0 || !o->in_head) return false;
    const fanin_node *cut = &f->graph->nodes[o->cut], *heads = &f->graph->nodes[o->nearest];
    if (heads->input_count < 2) return false;
    bool third = fanin__pattern_element(f, heads->inputs[1], 2, &count) == members;
    bool fourth = fanin__pattern_element(f, heads->inputs[1], 3, NULL) == members;
    if (count == 5) return fourth && !third;
    if (count != 4 || third || fanin__is(cut, "Gather")) return false;
    if (fanin__is(cut, "Split")) axis = fanin_node_attr_int(cut, "axis", 0);
    if (fanin__is(cut, "Slice") && cut->input_count > 3)
        fanin__constant_ints(f->graph, cut->inputs[3], &axis, 1);
    return axis == -1 || axis == 3;
}

static void set_projections(const fanin__finder *f, fanin_pattern *p, const origin o[3]) {
    for (int k = 0; k < 3; k++) {
        p->projections[k] = o[k].node;
        int64_t width = o[k].node < 0 ? 0 : width_of(f, o[k].node), sum = 0;
        int members = members_of(o, k);
        for (int i = 0; i < 3; i++)
            if (o[i].node == o[k].node) sum += o[i].part;
        if (o[k].node < 0) continue;
        p->per_head = p->per_head || is_per_head(f, &o[k], members);
        if (members == 1)
            p->parts[k] = width;
        else if (sum == width) /* else the cut is of something smaller: heads, halves */
            p->parts[k] = o[k].part;
        else if (width % members == 0)
            p->parts[k] = width / members;
    }
}

/* ---- heads --------------------------------------------------------------------------------------- */

static int64_t whole_root(double scale) {
    double d = 1 / (scale * scale);
    return d > 0.99 && d < 65536 && fabs(d - round(d)) < 1e-3 * d ? (int64_t)round(d) : 0;
}

/* Of the Reshape that cuts columns into heads: batch x time x heads x size, or time x (batch heads) x size. */
static void set_heads(const fanin__finder *f, fanin_pattern *p, const origin *q, double scale) {
    const fanin_node *n = q->reshape < 0 ? NULL : &f->graph->nodes[q->reshape];
    int64_t width = p->parts[0], heads = 0, size = 0;
    int count = -1;
    if (n && n->input_count > 1) {
        int64_t last = fanin__pattern_element(f, n->inputs[1], -1, &count);
        if (count >= 4)
            heads =
                fanin__pattern_element(f, n->inputs[1], p->per_head && count == 5 ? 2 : -2, NULL);
        if (count >= 3) size = last;
    }
    if (size > 0 && width > 0 && width % size) size = 0;
    if (heads > 0 && width > 0 && width % heads) heads = 0;
    int64_t by_scale = isnan(scale) ? 0 : whole_root(scale);
    if (by_scale > 1 && width > 0 && width % by_scale == 0 &&
        (heads <= 0 || width / heads == by_scale))
        size = by_scale;
    if (heads <= 0 && size > 0 && width > 0) heads = width / size;
    if (heads > 0 && width > 0) size = width / heads;
    if (heads <= 0 && size <= 0 && count < 0 && width > 0) /* nothing cuts the columns: one head */
        heads = 1, size = width;
    p->heads = heads > 0 ? heads : 0;
    p->head_size = size > 0 ? size : 0;
}

/* ---- the whole ----------------------------------------------------------------------------------- */

/* The product that reads the probabilities `value` as its left side; -1: none. */
static int find_mixing(const fanin__finder *f, int value, attention *a) {
    for (int step = 0; step < 8 && value >= 0; step++) {
        int next = -1;
        for (int i = f->w.first[value]; i < fanin__readers_end(&f->w, value); i++) {
            int at = f->w.readers[i].node;
            const fanin_node *n = &f->graph->nodes[at];
            if (is_live_product(f, n) && f->w.readers[i].slot == 0) {
                cover(a, at);
                return at;
            }
            if (next < 0 && n->output_count > 0 &&
                fanin__is(n, "Dropout|Identity|Cast|Where|Mul|Reshape|Unsqueeze|Squeeze")) {
                cover(a, at);
                next = n->outputs[0];
            }
        }
        value = next;
    }
    return -1;
}

/* Rank of scores, from what q goes through; -1: not known. */
static int rank_of(const fanin__finder *f, int value) {
    for (int step = 0; step < STEPS && value >= 0; step++) {
        const fanin_value *v = &f->graph->values[value];
        if (v->rank >= 0 || v->producer < 0) return v->rank;
        const fanin_node *n = &f->graph->nodes[v->producer];
        const fanin_attr *perm = fanin_node_attr(n, "perm");
        int count = -1;
        if (fanin__is(n, "Transpose") && perm) return (int)perm->count;
        if (fanin__is(n, "Reshape") && n->input_count > 1)
            fanin__pattern_element(f, n->inputs[1], 0, &count);
        if (count >= 0) return count;
        if (n->input_count < 1 || !fanin__is(n, "Mul|Div|Cast|Identity|MatMul|Dropout")) return -1;
        value = n->inputs[n->input_count > 1 && !live(f, n->inputs[0])];
    }
    return -1;
}

/* Softmax along the last axis, as far as that can be told. */
static bool along_last(const fanin__finder *f, const fanin_node *n, int q) {
    int64_t axis = fanin_node_attr_int(n, "axis", f->graph->opset < 13 ? 1 : -1);
    int rank = rank_of(f, q);
    return axis == -1 || (rank > 0 ? axis == rank - 1 : axis >= 2);
}

static void try_softmax(fanin__finder *f, int at, int input, int output) {
    int budget = 256;
    attention a = {.product = -1, .scale = 1, .budget = &budget};
    cover(&a, at);
    if (!find_scores(f, input, STEPS, &a)) return;
    int mixing = find_mixing(f, output, &a);
    if (mixing < 0 || mixing == a.product) return;
    const fanin_node *scores = &f->graph->nodes[a.product], *softmax = &f->graph->nodes[at];
    if (fanin__is(softmax, "Softmax") && !along_last(f, softmax, scores->inputs[0])) return;
    int v = f->graph->nodes[mixing].inputs[1];
    origin o[3] = {find_origin(f, scores->inputs[0]), find_origin(f, scores->inputs[1]),
                   find_origin(f, v)};
    double scale =
        a.scale * factor_before(f, scores->inputs[0]) * factor_before(f, scores->inputs[1]);
    unsigned mask = 0;
    for (int i = 0; i < a.mask_count; i++) mask |= mask_kind(f, a.masks[i]);
    fanin_pattern *p = fanin__pattern_add(f, FANIN_PATTERN_ATTENTION, a.nodes, a.node_count);
    if (!p) return;
    p->spelled = true;
    p->input = scores->inputs[0];
    p->output = f->graph->nodes[mixing].outputs[0];
    p->logit_scale = scale;
    p->mask = mask;
    set_projections(f, p, o);
    set_heads(f, p, &o[0], scale);
}

static void add_operator(fanin__finder *f, int at) {
    const fanin_node *n = &f->graph->nodes[at];
    fanin_pattern *p = fanin__pattern_add(f, FANIN_PATTERN_ATTENTION, &at, 1);
    if (!p) return;
    p->input = n->input_count > 0 ? n->inputs[0] : -1;
    p->output = n->output_count > 0 ? n->outputs[0] : -1;
    p->heads = fanin_node_attr_int(n, "num_heads", fanin_node_attr_int(n, "q_num_heads", 0));
    if (fanin_node_attr_int(n, "unidirectional", fanin_node_attr_int(n, "is_causal", 0)))
        p->mask = FANIN_MASK_CAUSAL;
}

void fanin__find_attention(fanin__finder *f) {
    const fanin_graph *g = f->graph;
    int spelled = f->count;
    for (int i = 0; i < g->node_count && !f->no_memory; i++) {
        const fanin_node *n = &g->nodes[i];
        if (n->output_count < 1 || n->input_count < 1 || n->inputs[0] < 0) continue;
        if (fanin__is(n, "Softmax") && f->found_by[i] < 0 && live(f, n->outputs[0]))
            try_softmax(f, i, n->inputs[0], n->outputs[0]);
        if (fanin__is(n, "Attention|MultiHeadAttention|GroupQueryAttention")) add_operator(f, i);
    }
    for (int i = 0; i < spelled && !f->no_memory; i++) {
        const fanin_pattern *p = &f->items[i];
        if (p->kind == FANIN_PATTERN_SOFTMAX && p->axis_count == 1 && p->axes[0] == -1)
            try_softmax(f, p->nodes[p->node_count - 1], p->input, p->output);
    }
}
