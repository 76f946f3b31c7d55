/* onnx_describe.c - everything of an ONNX file but the weights: from the graph, or copied from the file that
 * it was read from, so that what fanin does not represent (subgraphs, documentation) is kept. */
#include <string.h>

#include "format/onnx.h"
#include "format/onnx_write.h"
#include "format/wire_write.h"

/* ---- from a file ------------------------------------------------------------------------------- */

static void copy_fields(fanin__wire w, uint32_t but, fanin__text *out) {
    fanin__wire_field f;
    for (const unsigned char *start = w.at; fanin__wire_next(&w, &f, NULL); start = w.at)
        if (f.id != but) fanin__text_append(out, (const char *)start, (size_t)(w.at - start));
}

void fanin__onnx_transcribe(const fanin__graph_owner *owner, fanin__text *model,
                            fanin__text *body) {
    fanin__wire w = fanin__wire_of(owner->source, owner->source_size);
    fanin__wire_field f;
    copy_fields(w, MODEL_GRAPH, model);
    while (fanin__wire_next(&w, &f, NULL))
        if (f.id == MODEL_GRAPH) copy_fields(fanin__wire_inside(&f), GRAPH_INITIALIZER, body);
}

/* ---- from a graph: types ----------------------------------------------------------------------- */

static void put_shape(fanin__text *out, const fanin_value *v, int rank) {
    fanin__text shape = {0}, dim = {0};
    for (int i = 0; i < rank; i++) {
        dim.length = 0;
        if (v->rank == rank && v->dims[i] >= 0)
            fanin__put_int(&dim, DIM_VALUE, v->dims[i]);
        else if (v->rank == rank && v->dim_names[i])
            fanin__put_string(&dim, DIM_PARAM, v->dim_names[i]);
        fanin__put_message(&shape, SHAPE_DIM, &dim);
    }
    fanin__put_message(out, TENSOR_TYPE_SHAPE, &shape);
    fanin__text_fini(&shape);
    fanin__text_fini(&dim);
}

static void put_info(fanin__text *out, uint32_t id, const fanin_value *v, fanin_dtype dtype,
                     int rank) {
    fanin__text info = {0}, type = {0}, tensor = {0};
    fanin__put_int(&tensor, TENSOR_TYPE_ELEM, fanin__onnx_dtype_code(dtype));
    if (rank >= 0) put_shape(&tensor, v, rank);
    fanin__put_message(&type, TYPE_TENSOR, &tensor);
    fanin__put_string(&info, INFO_NAME, v->name);
    fanin__put_message(&info, INFO_TYPE, &type);
    fanin__put_message(out, id, &info);
    fanin__text_fini(&info);
    fanin__text_fini(&type);
    fanin__text_fini(&tensor);
}

/* Values whose type nobody wrote down compute in the weights' type. */
static fanin_dtype usual_dtype(const fanin_graph *g) {
    for (int i = 0; i < g->value_count; i++) {
        const fanin_value *v = &g->values[i];
        if (v->flags & FANIN_VALUE_INITIALIZER && fanin_dtype_is_float(v->dtype)) return v->dtype;
    }
    return FANIN_F32;
}

static fanin_status put_ends(const fanin_graph *g, fanin__text *out, fanin_err *err) {
    int *ranks = fanin_malloc((size_t)g->value_count * sizeof *ranks);
    if (!ranks) return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", g->name);
    fanin__onnx_ranks(g, ranks);
    fanin_dtype usual = usual_dtype(g);
    for (int i = 0; i < g->input_count + g->output_count; i++) {
        bool input = i < g->input_count;
        int value = input ? g->inputs[i] : g->outputs[i - g->input_count];
        const fanin_value *v = &g->values[value];
        put_info(out, input ? GRAPH_INPUT : GRAPH_OUTPUT, v, v->dtype ? v->dtype : usual,
                 ranks[value]);
    }
    fanin_free(ranks);
    return FANIN_OK;
}

/* ---- from a graph: nodes ----------------------------------------------------------------------- */

static void put_tensor(fanin__text *out, uint32_t id, const fanin_value *v) {
    fanin__text tensor = {0};
    for (int i = 0; i < v->rank; i++) fanin__put_int(&tensor, TENSOR_DIMS, v->dims[i]);
    fanin__put_int(&tensor, TENSOR_DTYPE, fanin__onnx_dtype_code(v->dtype));
    fanin__put_bytes(&tensor, TENSOR_RAW, v->data, v->size);
    fanin__put_message(out, id, &tensor);
    fanin__text_fini(&tensor);
}

static void put_attr(fanin__text *out, const fanin_attr *a) {
    static const int types[] = {
        [FANIN_ATTR_INT] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT,
        [FANIN_ATTR_FLOAT] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT,
        [FANIN_ATTR_STRING] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING,
        [FANIN_ATTR_INTS] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS,
        [FANIN_ATTR_FLOATS] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS,
        [FANIN_ATTR_TENSOR] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR,
        [FANIN_ATTR_STRINGS] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS,
    };
    fanin__text attr = {0};
    fanin__put_string(&attr, ATTR_NAME, a->name);
    switch (a->type) {
    case FANIN_ATTR_INT: fanin__put_int(&attr, ATTR_I, a->i); break;
    case FANIN_ATTR_FLOAT: fanin__put_float(&attr, ATTR_F, a->f); break;
    case FANIN_ATTR_STRING: fanin__put_string(&attr, ATTR_S, a->s); break;
    case FANIN_ATTR_TENSOR: put_tensor(&attr, ATTR_T, a->tensor); break;
    case FANIN_ATTR_INTS:
        for (size_t i = 0; i < a->count; i++) fanin__put_int(&attr, ATTR_INTS, a->ints[i]);
        break;
    case FANIN_ATTR_FLOATS:
        for (size_t i = 0; i < a->count; i++) fanin__put_float(&attr, ATTR_FLOATS, a->floats[i]);
        break;
    case FANIN_ATTR_STRINGS:
        for (size_t i = 0; i < a->count; i++) fanin__put_string(&attr, ATTR_STRINGS, a->strings[i]);
        break;
    }
    fanin__put_int(&attr, ATTR_TYPE, types[a->type]);
    fanin__put_message(out, NODE_ATTRIBUTE, &attr);
    fanin__text_fini(&attr);
}

static void put_node(fanin__text *out, const fanin_graph *g, const fanin_node *n) {
    fanin__text node = {0};
    for (int i = 0; i < n->input_count; i++)
        fanin__put_string(&node, NODE_INPUT, n->inputs[i] < 0 ? "" : g->values[n->inputs[i]].name);
    for (int i = 0; i < n->output_count; i++)
        fanin__put_string(&node, NODE_OUTPUT, g->values[n->outputs[i]].name);
    if (n->name[0]) fanin__put_string(&node, NODE_NAME, n->name);
    fanin__put_string(&node, NODE_OP, n->op);
    for (int i = 0; i < n->attr_count; i++) put_attr(&node, &n->attrs[i]);
    if (n->domain[0]) fanin__put_string(&node, NODE_DOMAIN, n->domain);
    fanin__put_message(out, GRAPH_NODE, &node);
    fanin__text_fini(&node);
}

static fanin_status put_constants(const fanin_graph *g, fanin__text *out, fanin_err *err) {
    for (int i = 0; i < g->value_count; i++) {
        const fanin_value *v = &g->values[i];
        if (!(v->flags & FANIN_VALUE_CONSTANT)) continue;
        if (!v->data)
            return fanin_err_set(err, FANIN_UNSUPPORTED,
                                 "%s: constant '%s' is of a type that fanin does not keep", g->name,
                                 v->name);
        fanin_attr a = {.name = "value", .type = FANIN_ATTR_TENSOR, .tensor = v};
        fanin_node n = {.name = "",
                        .op = "Constant",
                        .domain = "",
                        .output_count = 1,
                        .outputs = &i,
                        .attr_count = 1,
                        .attrs = &a};
        put_node(out, g, &n);
    }
    return FANIN_OK;
}

/* ---- from a graph: the model ------------------------------------------------------------------- */

/* The version of the format that belongs to an operator set (onnx, docs/Versioning.md). */
static int ir_version(int opset) {
    static const int since[] = {9, 10, 11, 12, 15, 19, 21, 23}; /* versions 4, 5, ... */
    int version = 3;
    for (size_t i = 0; i < FANIN_COUNT(since); i++) version += opset >= since[i];
    return version;
}

static void put_opset(fanin__text *out, const char *domain, int version) {
    fanin__text opset = {0};
    fanin__put_string(&opset, OPSET_DOMAIN, domain);
    fanin__put_int(&opset, OPSET_VERSION, version);
    fanin__put_message(out, MODEL_OPSET, &opset);
    fanin__text_fini(&opset);
}

/* Operator sets of other domains; their versions are not known, so 1. */
static void put_foreign_opsets(const fanin_graph *g, fanin__text *out) {
    for (int i = 0; i < g->node_count; i++) {
        bool seen = !g->nodes[i].domain[0];
        for (int k = 0; k < i && !seen; k++) seen = !strcmp(g->nodes[k].domain, g->nodes[i].domain);
        if (!seen) put_opset(out, g->nodes[i].domain, 1);
    }
}

fanin_status fanin__onnx_describe(const fanin_graph *g, fanin__text *model, fanin__text *body,
                                  fanin_err *err) {
    int opset = g->opset > 0 ? g->opset : 15;
    fanin__put_int(model, MODEL_IR_VERSION, ir_version(opset));
    fanin__put_string(model, MODEL_PRODUCER, "fanin");
    fanin__put_string(model, MODEL_PRODUCER_VERSION, FANIN_VERSION);
    put_opset(model, "", opset);
    put_foreign_opsets(g, model);
    fanin__put_string(body, GRAPH_NAME, g->name[0] ? g->name : "graph");
    FANIN_TRY(put_constants(g, body, err));
    for (int i = 0; i < g->node_count; i++) put_node(body, g, &g->nodes[i]);
    return put_ends(g, body, err);
}
