/* onnx_write.c - a graph with its weights inside. All but the payloads fits in memory; lengths are added up
 * first, then payloads go from where they lie straight to the file. Protobuf ends at 2 GB: above that,
 * payloads go beside the model, as ONNX's external data. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "format/names.h"
#include "format/onnx.h"
#include "format/onnx_write.h"
#include "format/wire_write.h"

enum { EXTERNAL_FROM = 1024, EXTERNAL_ALIGN = 64, LARGEST_MESSAGE = INT32_MAX - (1 << 20) };

typedef struct source {
    const void *data;
    int made; /* else: 1 + the array that the maker is asked for; 0: none */
    size_t size;
    uint64_t offset; /* in the file of external data */
    bool outside;
} source;

typedef struct writer {
    const fanin_graph *g;
    const char *path;
    source *sources; /* by value; initialisers only */
    bool external;
    char *data_path;
    const char *location; /* its last component */
    uint64_t data_size;
    fanin__text model, body, head; /* head: of one tensor, used again and again */
    fanin__outfile file, data;
    const fanin__onnx_maker *maker; /* NULL: all payloads are there */
    fanin_err *err;
} writer;

/* ---- where each payload is --------------------------------------------------------------------- */

static fanin_status use_array(writer *w, const fanin_array *a, int index) {
    int value = fanin_graph_find(w->g, a->name);
    const fanin_value *v = value >= 0 ? &w->g->values[value] : NULL;
    if (!v || !(v->flags & FANIN_VALUE_INITIALIZER))
        return fanin_err_set(w->err, FANIN_ARG, "%s: the model has no initialiser '%s'", w->path,
                             a->name);
    bool same = v->rank == a->rank;
    for (int i = 0; same && i < a->rank; i++) same = v->dims[i] == a->dims[i];
    if (!same || v->dtype != a->dtype) {
        char want[200], got[200];
        return fanin_err_set(
            w->err, FANIN_SHAPE, "%s: '%s' is %s of %s, the model wants %s of %s", w->path, a->name,
            fanin__shape_text(a->dims, a->rank, got, sizeof got), fanin_dtype_name(a->dtype),
            fanin__shape_text(v->dims, v->rank, want, sizeof want), fanin_dtype_name(v->dtype));
    }
    w->sources[value].data = a->data;
    w->sources[value].made = !a->data && w->maker ? 1 + index : 0;
    return FANIN_OK;
}

static fanin_status find_sources(writer *w, const fanin_array *arrays, int count) {
    for (int i = 0; i < w->g->value_count; i++) w->sources[i].data = w->g->values[i].data;
    for (int i = 0; i < count; i++) FANIN_TRY(use_array(w, &arrays[i], i));
    for (int i = 0; i < w->g->value_count; i++) {
        const fanin_value *v = &w->g->values[i];
        source *s = &w->sources[i];
        size_t elements;
        if (!(v->flags & FANIN_VALUE_INITIALIZER)) continue;
        if (!fanin__shape_count(v->dims, v->rank, &elements) ||
            !fanin__size_mul(elements, fanin_dtype_size(v->dtype), &s->size))
            return fanin_err_set(w->err, FANIN_LIMIT, "%s: '%s' is too large", w->path, v->name);
        if (s->size > 0 && !s->data && !s->made)
            return fanin_err_set(w->err, FANIN_ARG, "%s: initialiser '%s' has no values", w->path,
                                 v->name);
    }
    return FANIN_OK;
}

/* ---- tensors ----------------------------------------------------------------------------------- */

static void put_entry(fanin__text *out, const char *key, const char *value) {
    fanin__text entry = {0};
    fanin__put_string(&entry, ENTRY_KEY, key);
    fanin__put_string(&entry, ENTRY_VALUE, value);
    fanin__put_message(out, TENSOR_EXTERNAL, &entry);
    fanin__text_fini(&entry);
}

static void put_number_entry(fanin__text *out, const char *key, uint64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    put_entry(out, key, text);
}

/* TensorProto without the bytes of raw_data, into w->head; returns the whole message's length. */
static uint64_t tensor_head(writer *w, int value) {
    const fanin_value *v = &w->g->values[value];
    const source *s = &w->sources[value];
    fanin__text *t = &w->head;
    t->length = 0;
    for (int i = 0; i < v->rank; i++) fanin__put_int(t, TENSOR_DIMS, v->dims[i]);
    fanin__put_int(t, TENSOR_DTYPE, fanin__onnx_dtype_code(v->dtype));
    fanin__put_string(t, TENSOR_NAME, v->name);
    if (s->outside) {
        put_entry(t, "location", w->location);
        put_number_entry(t, "offset", s->offset);
        put_number_entry(t, "length", s->size);
        fanin__put_int(t, TENSOR_LOCATION, ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL);
        return t->length;
    }
    fanin__put_head(t, TENSOR_RAW, s->size);
    return t->length + s->size;
}

static bool is_initializer(const writer *w, int value) {
    return w->g->values[value].flags & FANIN_VALUE_INITIALIZER;
}

/* Length of the graph message. */
static uint64_t graph_length(writer *w) {
    fanin__text field = {0};
    uint64_t length = w->body.length;
    for (int i = 0; i < w->g->value_count; i++) {
        if (!is_initializer(w, i)) continue;
        uint64_t tensor = tensor_head(w, i);
        field.length = 0;
        fanin__put_head(&field, GRAPH_INITIALIZER, tensor);
        length += field.length + tensor;
    }
    if (field.failed) w->head.failed = true;
    fanin__text_fini(&field);
    return length;
}

static void move_outside(writer *w) {
    for (int i = 0; i < w->g->value_count; i++) {
        source *s = &w->sources[i];
        if (!is_initializer(w, i) || s->size < EXTERNAL_FROM) continue;
        s->outside = true;
        s->offset = (w->data_size + EXTERNAL_ALIGN - 1) / EXTERNAL_ALIGN * EXTERNAL_ALIGN;
        w->data_size = s->offset + s->size;
    }
    w->external = true;
}

/* ---- writing ----------------------------------------------------------------------------------- */

static fanin_status write_text(writer *w, const fanin__text *t) {
    if (t->failed) return fanin_err_set(w->err, FANIN_NOMEM, "%s: no memory", w->path);
    return fanin__outfile_write(&w->file, t->data, t->length, w->err);
}

/* The maker must have written neither less nor more. */
static fanin_status write_payload(writer *w, const source *s, fanin__outfile *file) {
    if (!s->made || s->size == 0) return fanin__outfile_write(file, s->data, s->size, w->err);
    uint64_t end = file->written + s->size;
    FANIN_TRY(w->maker->put(w->maker->ctx, s->made - 1, file, w->err));
    if (file->written == end) return FANIN_OK;
    return fanin_err_set(w->err, FANIN_INTERNAL, "%s: a payload of %zu bytes ends at another place",
                         w->path, s->size);
}

static fanin_status write_outside(writer *w, const source *s) {
    static const char zeros[EXTERNAL_ALIGN];
    FANIN_TRY(fanin__outfile_write(&w->data, zeros, (size_t)(s->offset - w->data.written), w->err));
    return write_payload(w, s, &w->data);
}

static fanin_status write_tensor(writer *w, int value) {
    const source *s = &w->sources[value];
    fanin__text field = {0};
    fanin__put_head(&field, GRAPH_INITIALIZER, tensor_head(w, value));
    fanin_status status = write_text(w, &field);
    fanin__text_fini(&field);
    if (status == FANIN_OK) status = write_text(w, &w->head);
    if (status != FANIN_OK) return status;
    return s->outside ? write_outside(w, s) : write_payload(w, s, &w->file);
}

static fanin_status write_all(writer *w, uint64_t length) {
    FANIN_TRY(fanin__outfile_open(w->path, &w->file, w->err));
    if (w->external) FANIN_TRY(fanin__outfile_open(w->data_path, &w->data, w->err));
    fanin__put_head(&w->model, MODEL_GRAPH, length);
    FANIN_TRY(write_text(w, &w->model));
    FANIN_TRY(write_text(w, &w->body));
    for (int i = 0; i < w->g->value_count; i++) {
        if (!is_initializer(w, i)) continue;
        if (fanin_interrupted())
            return fanin_err_set(w->err, FANIN_INTERRUPTED, "%s: interrupted", w->path);
        FANIN_TRY(write_tensor(w, i));
    }
    /* The model last: while it is not there, nobody looks for the data. */
    if (w->external) FANIN_TRY(fanin__outfile_commit(&w->data, w->err));
    fanin_status status = fanin__outfile_commit(&w->file, w->err);
    if (status != FANIN_OK && w->external) unlink(w->data_path);
    return status;
}

static fanin_status name_data(writer *w) {
    fanin__text name = {0};
    fanin__text_printf(&name, "%s.data", w->path);
    if (name.failed) return fanin_err_set(w->err, FANIN_NOMEM, "%s: no memory", w->path);
    w->data_path = name.data;
    const char *slash = strrchr(name.data, '/');
    w->location = slash ? slash + 1 : name.data;
    return FANIN_OK;
}

static fanin_status save(writer *w, const fanin_array *arrays, int count, uint64_t inside_limit) {
    const fanin__graph_owner *owner = w->g->owner;
    FANIN_TRY(find_sources(w, arrays, count));
    FANIN_TRY(name_data(w));
    if (owner->source)
        fanin__onnx_transcribe(owner, &w->model, &w->body);
    else
        FANIN_TRY(fanin__onnx_describe(w->g, &w->model, &w->body, w->err));
    uint64_t length = graph_length(w);
    if (length + w->model.length > inside_limit) {
        move_outside(w);
        length = graph_length(w);
    }
    if (w->model.failed || w->body.failed || w->head.failed)
        return fanin_err_set(w->err, FANIN_NOMEM, "%s: no memory", w->path);
    return write_all(w, length);
}

static fanin_status save_from(const fanin_graph *graph, const fanin_array *arrays, int count,
                              const char *path, uint64_t inside_limit,
                              const fanin__onnx_maker *maker, fanin_err *err) {
    writer w = {.g = graph, .path = path, .file.fd = -1, .data.fd = -1, .maker = maker, .err = err};
    w.sources = fanin_calloc((size_t)graph->value_count, sizeof *w.sources);
    fanin_status status = w.sources ? save(&w, arrays, count, inside_limit)
                                    : fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
    fanin__outfile_abort(&w.data);
    fanin__outfile_abort(&w.file);
    fanin__text_fini(&w.model);
    fanin__text_fini(&w.body);
    fanin__text_fini(&w.head);
    fanin_free(w.data_path);
    fanin_free(w.sources);
    return status;
}

fanin_status fanin_graph_save_onnx(const fanin_graph *graph, const fanin_array *arrays, int count,
                                   const char *path, fanin_err *err) {
    return save_from(graph, arrays, count, path, LARGEST_MESSAGE, NULL, err);
}

fanin_status fanin__onnx_save(const fanin_graph *graph, const fanin_array *arrays, int count,
                              const char *path, uint64_t inside_limit, fanin_err *err) {
    return save_from(graph, arrays, count, path, inside_limit, NULL, err);
}

fanin_status fanin__onnx_save_made(const fanin_graph *graph, const fanin_array *arrays, int count,
                                   const char *path, const fanin__onnx_maker *maker,
                                   fanin_err *err) {
    return save_from(graph, arrays, count, path, LARGEST_MESSAGE, maker, err);
}
