/* onnx_read.c - an ONNX file becomes a graph. First one walk checks the wire format of the whole file; then
 * the file is read in place, message by message, so memory holds the graph and nothing else: weights stay
 * in the map. */
#include <string.h>

#include "format/onnx.h"

static const fanin_dtype dtype_of_code[] = {
#define ROW(id, value, name, size, onnx) [onnx] = FANIN_##id,
    FANIN_DTYPE_MAP(ROW)
#undef ROW
};

fanin_dtype fanin__onnx_dtype(int64_t code) {
    return code > 0 && code < (int64_t)FANIN_COUNT(dtype_of_code) ? dtype_of_code[code]
                                                                  : FANIN_DTYPE_NONE;
}

int fanin__onnx_dtype_code(fanin_dtype dtype) {
    for (size_t i = 1; i < FANIN_COUNT(dtype_of_code); i++)
        if (dtype_of_code[i] == dtype) return (int)i;
    return 0;
}

size_t fanin__format_budget(size_t size) {
    const size_t slack = (size_t)40 << 20;
    return size > (SIZE_MAX - slack) / 8 ? SIZE_MAX : 8 * size + slack;
}

static bool ok(const onnx_reader *r) { return fanin__graph_status(r->b) == FANIN_OK; }

/* ---- types ------------------------------------------------------------------------------------- */

typedef struct type_info {
    fanin_dtype dtype;
    int rank; /* -1: not known */
    int64_t dims[FANIN_MAX_RANK];
    const char *names[FANIN_MAX_RANK];
} type_info;

static void read_dim(onnx_reader *r, const fanin__wire_field *message, type_info *t) {
    if (t->rank >= FANIN_MAX_RANK) {
        t->rank++;
        return;
    }
    int64_t *dim = &t->dims[t->rank];
    const char **name = &t->names[t->rank];
    t->rank++;
    *dim = -1;
    *name = NULL;
    fanin__wire w = fanin__wire_inside(message);
    fanin__wire_field f;
    while (fanin__wire_next(&w, &f, NULL)) {
        if (f.id == DIM_VALUE && (int64_t)f.number >= 0) *dim = (int64_t)f.number;
        if (f.id == DIM_PARAM) *name = fanin__onnx_text(r, &f);
    }
    if (*dim >= 0) *name = NULL;
}

/* TypeProto.Tensor; other kinds of types leave everything unknown. */
static void read_tensor_type(onnx_reader *r, fanin__wire w, type_info *t) {
    fanin__wire_field f, g;
    while (fanin__wire_next(&w, &f, NULL)) {
        if (f.id == TENSOR_TYPE_ELEM) t->dtype = fanin__onnx_dtype((int32_t)f.number);
        if (f.id != TENSOR_TYPE_SHAPE) continue;
        t->rank = 0;
        fanin__wire shape = fanin__wire_inside(&f);
        while (fanin__wire_next(&shape, &g, NULL))
            if (g.id == SHAPE_DIM) read_dim(r, &g, t);
    }
    if (t->rank > FANIN_MAX_RANK) t->rank = -1; /* more axes than fanin follows: not known */
}

static type_info read_type(onnx_reader *r, const fanin__wire_field *message) {
    type_info t = {.rank = -1};
    fanin__wire w = fanin__wire_inside(message);
    fanin__wire_field f;
    while (fanin__wire_next(&w, &f, NULL))
        if (f.id == TYPE_TENSOR) read_tensor_type(r, fanin__wire_inside(&f), &t);
    return t;
}

/* Name and type of a ValueInfoProto; the name's size is 0 if there is none. */
static type_info read_info(onnx_reader *r, const fanin__wire_field *message,
                           fanin__wire_field *name) {
    type_info t = {.rank = -1};
    *name = (fanin__wire_field){.data = (const unsigned char *)""};
    fanin__wire w = fanin__wire_inside(message);
    fanin__wire_field f;
    while (fanin__wire_next(&w, &f, NULL)) {
        if (f.id == INFO_NAME) *name = f;
        if (f.id == INFO_TYPE) t = read_type(r, &f);
    }
    return t;
}

/* ---- parts of the graph ------------------------------------------------------------------------ */

static void read_initializer(onnx_reader *r, const fanin__wire_field *message) {
    fanin_value v;
    fanin__onnx_tensor(r, message, "initialiser", false, &v);
    if (!ok(r)) return;
    if (!v.name[0]) {
        fanin__graph_fail(r->b, FANIN_FORMAT, "an initialiser has no name");
        return;
    }
    int value = fanin__graph_reference(r->b, v.name);
    if (value >= 0 && fanin__graph_is_defined(r->b, value)) {
        fanin__graph_fail(r->b, FANIN_FORMAT, "two initialisers are called '%s'", v.name);
        return;
    }
    fanin__graph_set_type(r->b, value, v.dtype, v.rank, v.dims, NULL);
    fanin__graph_define_stored(r->b, value, FANIN_VALUE_INITIALIZER, v.data, v.size);
}

static void refuse_sparse(onnx_reader *r, const fanin__wire_field *message) {
    (void)message;
    fanin__graph_fail(r->b, FANIN_UNSUPPORTED, "sparse initialisers are not read");
}

static void read_input(onnx_reader *r, const fanin__wire_field *message) {
    fanin__wire_field name;
    type_info t = read_info(r, message, &name);
    if (name.size == 0) {
        fanin__graph_fail(r->b, FANIN_FORMAT, "an input has no name");
        return;
    }
    int value = fanin__graph_reference_n(r->b, name.data, name.size);
    if (value < 0) return;
    /* Old files list initialisers among the inputs. */
    if (fanin__graph_value(r->b, value)->flags & FANIN_VALUE_INITIALIZER) return;
    fanin__graph_define_input(r->b, value);
    fanin__graph_set_type(r->b, value, t.dtype, t.rank, t.dims, t.names);
}

static void type_known_value(onnx_reader *r, int value, const type_info *t) {
    const unsigned fixed = FANIN_VALUE_INITIALIZER | FANIN_VALUE_CONSTANT | FANIN_VALUE_INPUT;
    if (value < 0 || fanin__graph_value(r->b, value)->flags & fixed) return;
    fanin__graph_set_type(r->b, value, t->dtype, t->rank, t->dims, t->names);
}

static void read_value_info(onnx_reader *r, const fanin__wire_field *message) {
    fanin__wire_field name;
    type_info t = read_info(r, message, &name);
    if (!ok(r)) return;
    type_known_value(r, fanin__graph_find_value(r->b, fanin__onnx_text(r, &name)), &t);
}

static void read_output(onnx_reader *r, const fanin__wire_field *message) {
    fanin__wire_field name;
    type_info t = read_info(r, message, &name);
    if (name.size == 0) {
        fanin__graph_fail(r->b, FANIN_FORMAT, "an output has no name");
        return;
    }
    int value = fanin__graph_reference_n(r->b, name.data, name.size);
    fanin_graph_output(r->b, value, NULL);
    if (ok(r)) type_known_value(r, value, &t);
}

/* ---- the model --------------------------------------------------------------------------------- */

static void read_opset(onnx_reader *r, const fanin__wire_field *message) {
    fanin__wire w = fanin__wire_inside(message);
    fanin__wire_field f, domain = {0};
    int64_t version = 0;
    while (fanin__wire_next(&w, &f, NULL)) {
        if (f.id == OPSET_DOMAIN) domain = f;
        if (f.id == OPSET_VERSION) version = (int64_t)f.number;
    }
    if (domain.size && !(domain.size == 7 && !memcmp(domain.data, "ai.onnx", 7))) return;
    if (version < 1 || version > 1000000)
        fanin__graph_fail(r->b, FANIN_FORMAT, "is of operator set %lld, expected 1 or more",
                          (long long)version);
    r->has_opset = true;
    fanin__graph_set_opset(r->b, (int)version);
}

/* Everything beside the graphs; returns how many graphs there are. */
static int read_model(onnx_reader *r) {
    fanin__wire w = r->model;
    fanin__wire_field f;
    int graphs = 0;
    while (ok(r) && fanin__wire_next(&w, &f, NULL)) {
        if (f.id == MODEL_OPSET) read_opset(r, &f);
        if (f.id == MODEL_PRODUCER) fanin__graph_set_producer(r->b, fanin__onnx_text(r, &f));
        graphs += f.id == MODEL_GRAPH;
        r->functions += f.id == MODEL_FUNCTIONS;
    }
    return graphs;
}

/* Calls read for every field `id` of the graph. A second `graph` field continues the first, as
 * protobuf demands. */
static void each(onnx_reader *r, uint32_t id,
                 void (*read)(onnx_reader *, const fanin__wire_field *)) {
    fanin__wire w = r->model;
    fanin__wire_field graph, f;
    while (ok(r) && fanin__wire_next(&w, &graph, NULL)) {
        if (graph.id != MODEL_GRAPH) continue;
        fanin__wire inner = fanin__wire_inside(&graph);
        while (ok(r) && fanin__wire_next(&inner, &f, NULL))
            if (f.id == id) read(r, &f);
    }
}

/* The first failure stays in the builder. */
static void read_bytes(fanin_graph_builder *b, const void *data, size_t size, const char *name,
                       const char *folder) {
    fanin_err err = {0};
    if (size == 0) {
        fanin__graph_fail(b, FANIN_FORMAT, "is empty, expected an ONNX model");
        return;
    }
    if (fanin__wire_check(data, size, &onnx__model_proto__descriptor, name, &err) != FANIN_OK) {
        fanin__graph_fail_with(b, &err);
        return;
    }
    onnx_reader r = {.b = b, .model = fanin__wire_of(data, size), .folder = folder};
    fanin__graph_set_limit(b, fanin__format_budget(size), size);
    fanin__graph_set_producer(b, "");
    if (read_model(&r) == 0) fanin__graph_fail(b, FANIN_FORMAT, "holds no graph");
    each(&r, GRAPH_SPARSE, refuse_sparse);
    each(&r, GRAPH_INITIALIZER, read_initializer);
    each(&r, GRAPH_INPUT, read_input);
    each(&r, GRAPH_NODE, fanin__onnx_node);
    each(&r, GRAPH_VALUE_INFO, read_value_info);
    each(&r, GRAPH_OUTPUT, read_output);
    if (!r.has_opset) fanin__graph_set_opset(b, 1);
    fanin__onnx_notes(&r);
    fanin_free(r.externals);
}

fanin_status fanin__onnx_parse(const void *data, size_t size, const char *name, const char *folder,
                               fanin_graph **graph, fanin_err *err) {
    *graph = NULL;
    fanin_graph_builder *b;
    if (fanin_graph_builder_create(name, 0, &b) != FANIN_OK)
        return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", name);
    read_bytes(b, data, size, name, folder);
    return fanin_graph_builder_finish(b, graph, err);
}

/* "a/b" of "a/b/model.onnx"; "." without a slash. */
static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return fanin__strdup(".");
    return slash == path ? fanin__strdup("/") : fanin__strndup(path, (size_t)(slash - path));
}

fanin_status fanin_graph_load_onnx(const char *path, fanin_graph **graph, fanin_err *err) {
    *graph = NULL;
    fanin__map map;
    FANIN_TRY(fanin__map_open(path, &map, err));
    fanin_graph_builder *b;
    char *folder = folder_of(path);
    if (!folder || fanin_graph_builder_create(path, 0, &b) != FANIN_OK) {
        fanin_free(folder);
        fanin__map_close(&map);
        return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
    }
    fanin__map view = map;
    fanin__graph_own_map(b, &map);
    fanin__graph_set_source(b, view.data, view.size);
    if (fanin__graph_status(b) == FANIN_OK) read_bytes(b, view.data, view.size, path, folder);
    fanin_free(folder);
    return fanin_graph_builder_finish(b, graph, err);
}
