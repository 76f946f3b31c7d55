/* onnx_node.c - NodeProto and AttributeProto. Lists go straight into the graph's arena; two walks over a
 * message (count, then fill) keep memory at what is needed. */
#include <limits.h>
#include <string.h>

#include "format/onnx.h"

static bool ok(const onnx_reader *r) { return fanin__graph_status(r->b) == FANIN_OK; }

static void *take(onnx_reader *r, size_t count, size_t size) {
    void *p = fanin__arena_array(fanin__graph_arena(r->b), count, size);
    if (!p) fanin__graph_fail_memory(r->b);
    return p;
}

/* ---- attributes -------------------------------------------------------------------------------- */

static double to_float(uint64_t bits) {
    uint32_t low = (uint32_t)bits;
    float f;
    memcpy(&f, &low, sizeof f);
    return (double)f;
}

/* Numbers of the repeated field `id`; fills whichever of ints and floats is given. */
static size_t walk_numbers(fanin__wire w, uint32_t id, int64_t *ints, double *floats) {
    size_t n = 0;
    fanin__wire_field f;
    while (fanin__wire_next(&w, &f, NULL)) {
        if (f.id != id) continue;
        fanin__wire inner = fanin__wire_inside(&f);
        bool packed = f.type == FANIN__WIRE_BYTES;
        while (!packed || inner.at < inner.end) {
            uint64_t number = f.number;
            if (packed && id == ATTR_FLOATS) {
                number = 0;
                for (size_t i = 0; i < 4; i++) number |= (uint64_t)inner.at[i] << (8 * i);
                inner.at += 4;
            } else if (packed && !fanin__wire_varint(&inner, &number)) {
                break;
            }
            if (ints) ints[n] = (int64_t)number;
            if (floats) floats[n] = to_float(number);
            n++;
            if (!packed) break;
        }
    }
    return n;
}

static bool holds_nul(const fanin__wire_field *f) { return memchr(f->data, 0, f->size) != NULL; }

static void read_strings(onnx_reader *r, fanin__wire message, fanin_attr *a) {
    fanin__wire_field f;
    for (fanin__wire w = message; fanin__wire_next(&w, &f, NULL);) a->count += f.id == ATTR_STRINGS;
    const char **list = take(r, a->count, sizeof *list);
    if (!list) return;
    size_t n = 0;
    for (fanin__wire w = message; fanin__wire_next(&w, &f, NULL);)
        if (f.id == ATTR_STRINGS) list[n++] = fanin__onnx_text(r, &f);
    a->strings = list;
}

/* The type when the file does not say (before IR version 2): from the field that is there. */
static int guess_type(uint32_t seen) {
    static const struct {
        int field, type;
    } rows[] = {{ATTR_F, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT},
                {ATTR_I, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT},
                {ATTR_S, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING},
                {ATTR_T, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR},
                {ATTR_G, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH},
                {ATTR_FLOATS, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS},
                {ATTR_INTS, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS},
                {ATTR_STRINGS, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS}};
    for (size_t i = 0; i < FANIN_COUNT(rows); i++)
        if (seen & (1u << rows[i].field)) return rows[i].type;
    return 0;
}

static bool drop(onnx_reader *r, const char *name) {
    if (r->dropped++ == 0) r->dropped_name = name;
    return false;
}

typedef struct attr_fields { /* the singular fields of one AttributeProto */
    fanin__wire_field f, i, s, t;
    int type;
} attr_fields;

static attr_fields scan_attr(onnx_reader *r, fanin__wire w, fanin_attr *a) {
    attr_fields got = {0};
    fanin__wire_field f;
    uint32_t seen = 0;
    while (fanin__wire_next(&w, &f, NULL)) {
        if (f.id < 32) seen |= 1u << f.id;
        switch (f.id) {
        case ATTR_NAME: a->name = fanin__onnx_text(r, &f); break;
        case ATTR_F: got.f = f; break;
        case ATTR_I: got.i = f; break;
        case ATTR_S: got.s = f; break;
        case ATTR_T: got.t = f; break;
        case ATTR_TYPE: got.type = (int32_t)f.number; break;
        default: break;
        }
    }
    if (got.type == 0) got.type = guess_type(seen);
    return got;
}

static bool read_tensor_attr(onnx_reader *r, const attr_fields *got, fanin_attr *a) {
    a->type = FANIN_ATTR_TENSOR;
    fanin_value *t = take(r, 1, sizeof *t);
    if (!t) return false;
    if (!got->t.data) return drop(r, a->name);
    fanin__onnx_tensor(r, &got->t, "tensor attribute", true, t);
    a->tensor = t;
    return true;
}

/* False: the attribute is left out (and counted), or reading failed. */
static bool read_attr(onnx_reader *r, const fanin__wire_field *message, fanin_attr *a) {
    fanin__wire w = fanin__wire_inside(message);
    *a = (fanin_attr){.name = ""};
    attr_fields got = scan_attr(r, w, a);
    switch (got.type) {
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT:
        a->type = FANIN_ATTR_FLOAT;
        a->f = to_float(got.f.number);
        return true;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT:
        a->type = FANIN_ATTR_INT;
        a->i = (int64_t)got.i.number;
        return true;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING:
        a->type = FANIN_ATTR_STRING;
        if (got.s.size && holds_nul(&got.s)) return drop(r, a->name);
        a->s = got.s.size ? fanin__onnx_text(r, &got.s) : "";
        return true;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR: return read_tensor_attr(r, &got, a);
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS: {
        a->type = FANIN_ATTR_INTS;
        a->count = walk_numbers(w, ATTR_INTS, NULL, NULL);
        int64_t *ints = take(r, a->count, sizeof *ints);
        if (ints) walk_numbers(w, ATTR_INTS, ints, NULL);
        a->ints = ints;
        return ints != NULL;
    }
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS: {
        a->type = FANIN_ATTR_FLOATS;
        a->count = walk_numbers(w, ATTR_FLOATS, NULL, NULL);
        double *floats = take(r, a->count, sizeof *floats);
        if (floats) walk_numbers(w, ATTR_FLOATS, NULL, floats);
        a->floats = floats;
        return floats != NULL;
    }
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS:
        a->type = FANIN_ATTR_STRINGS;
        read_strings(r, w, a);
        return a->strings != NULL;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH:
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPHS: r->subgraphs++; return false;
    default: return drop(r, a->name);
    }
}

/* ---- nodes ------------------------------------------------------------------------------------- */

typedef struct node_counts {
    size_t inputs, outputs, attrs;
} node_counts;

static node_counts count_node(fanin__wire w) {
    node_counts n = {0};
    fanin__wire_field f;
    size_t outputs = 0;
    while (fanin__wire_next(&w, &f, NULL)) {
        n.inputs += f.id == NODE_INPUT;
        n.attrs += f.id == NODE_ATTRIBUTE;
        if (f.id == NODE_OUTPUT) {
            outputs++;
            if (f.size) n.outputs = outputs; /* those left out at the end do not exist */
        }
    }
    return n;
}

/* attrs NULL: attributes are read already. */
static void fill_node(onnx_reader *r, fanin__wire w, fanin_node *n, int *inputs, int *outputs,
                      int output_count, fanin_attr *attrs) {
    fanin__wire_field f;
    while (ok(r) && fanin__wire_next(&w, &f, NULL)) {
        switch (f.id) {
        case NODE_INPUT:
            inputs[n->input_count++] = f.size ? fanin__graph_reference_n(r->b, f.data, f.size) : -1;
            break;
        case NODE_OUTPUT:
            if (n->output_count < output_count)
                outputs[n->output_count++] = f.size ? fanin__graph_reference_n(r->b, f.data, f.size)
                                                    : fanin__graph_unnamed(r->b, "unused");
            break;
        case NODE_ATTRIBUTE:
            if (attrs && read_attr(r, &f, &attrs[n->attr_count])) n->attr_count++;
            break;
        default: break;
        }
    }
}

static void read_names(onnx_reader *r, fanin__wire w, fanin_node *n) {
    fanin__wire_field f;
    while (fanin__wire_next(&w, &f, NULL)) {
        if (f.id == NODE_NAME) n->name = fanin__onnx_text(r, &f);
        if (f.id == NODE_OP) n->op = fanin__onnx_text(r, &f);
        if (f.id == NODE_DOMAIN) n->domain = fanin__onnx_text(r, &f);
    }
    if (!strcmp(n->domain, "ai.onnx")) n->domain = "";
}

void fanin__onnx_node(onnx_reader *r, const fanin__wire_field *message) {
    fanin__wire w = fanin__wire_inside(message);
    fanin_node n = {.name = "", .op = "", .domain = ""};
    read_names(r, w, &n);
    if (!n.op[0]) {
        fanin__graph_fail(r->b, FANIN_FORMAT, "node %d '%s' has no operator",
                          fanin__graph_node_count(r->b), n.name);
        return;
    }
    node_counts count = count_node(w);
    if (count.inputs > INT_MAX || count.outputs > INT_MAX || count.attrs > INT_MAX) {
        fanin__graph_fail(r->b, FANIN_LIMIT, "node '%s' (%s) has more than %d inputs or attributes",
                          n.name, n.op, INT_MAX);
        return;
    }
    fanin__wire branches[2];
    bool split = !strcmp(n.op, "If") && !n.domain[0] && count.inputs == 1 && count.outputs > 0 &&
                 fanin__onnx_find_branches(r, w, (int)count.outputs, branches);
    size_t read = split ? 2 * count.outputs : 0; /* what the branches give */
    int *inputs = take(r, count.inputs + read, sizeof *inputs);
    int *outputs = take(r, count.outputs, sizeof *outputs);
    fanin_attr *attrs = take(r, count.attrs, sizeof *attrs);
    if (!ok(r)) return;
    n.inputs = inputs;
    n.outputs = outputs;
    n.attrs = attrs;
    fill_node(r, w, &n, inputs, outputs, (int)count.outputs, split ? NULL : attrs);
    for (int i = 0; split && i < 2 && ok(r); i++)
        n.input_count += fanin__onnx_read_branch(r, branches[i], inputs + n.input_count);
    if (!ok(r)) return;
    fanin__graph_adopt_node(r->b, &n);
}
