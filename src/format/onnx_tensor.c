/* onnx_tensor.c - TensorProto: payloads stay in the map where they are packed bytes; lists of numbers are
 * decoded into the graph's arena; external data is mapped from the model's folder. */
#include <string.h>

#include "format/onnx.h"

typedef struct tensor {
    const char *name;
    int rank;
    int64_t dims[FANIN_MAX_RANK];
    int64_t code; /* TensorProto.DataType */
    fanin_dtype dtype;
    bool has_raw, external, typed;
    const unsigned char *raw;
    size_t raw_size;
    const char *location, *offset, *length; /* texts of external_data, in the arena */
    size_t count, size;                     /* elements, bytes */
} tensor;

typedef struct place { /* for messages */
    onnx_reader *r;
    const char *where, *name;
} place;

#define FAIL(p, status, format, ...) \
    fanin__graph_fail((p)->r->b, status, "%s '%s' " format, (p)->where, (p)->name, __VA_ARGS__)

const char *fanin__onnx_text(onnx_reader *r, const fanin__wire_field *f) {
    const char *s = fanin__arena_strndup(fanin__graph_arena(r->b), f->data, f->size);
    if (!s) fanin__graph_fail_memory(r->b);
    return s ? s : "";
}

static bool ok(const place *p) { return fanin__graph_status(p->r->b) == FANIN_OK; }

/* ---- header ------------------------------------------------------------------------------------ */

static void add_dim(place *p, tensor *t, int64_t dim) {
    if (t->rank == FANIN_MAX_RANK)
        FAIL(p, FANIN_LIMIT, "has more than %d axes", FANIN_MAX_RANK);
    else if (dim < 0)
        FAIL(p, FANIN_FORMAT, "has the size %lld on axis %d, expected 0 or more", (long long)dim,
             t->rank);
    else
        t->dims[t->rank++] = dim;
}

static void read_dims(place *p, tensor *t, const fanin__wire_field *f) {
    if (f->type == FANIN__WIRE_VARINT) {
        add_dim(p, t, (int64_t)f->number);
        return;
    }
    fanin__wire w = fanin__wire_inside(f);
    uint64_t dim;
    while (ok(p) && w.at < w.end && fanin__wire_varint(&w, &dim)) add_dim(p, t, (int64_t)dim);
}

static void read_entry(onnx_reader *r, tensor *t, const fanin__wire_field *entry) {
    fanin__wire w = fanin__wire_inside(entry);
    fanin__wire_field f, key = {0}, value = {0};
    while (fanin__wire_next(&w, &f, NULL)) {
        if (f.id == ENTRY_KEY) key = f;
        if (f.id == ENTRY_VALUE) value = f;
    }
    const struct {
        const char *key;
        const char **to;
    } known[] = {{"location", &t->location}, {"offset", &t->offset}, {"length", &t->length}};
    for (size_t i = 0; i < FANIN_COUNT(known); i++)
        if (key.size == strlen(known[i].key) && !memcmp(key.data, known[i].key, key.size))
            *known[i].to = fanin__onnx_text(r, &value);
}

static void read_header(place *p, tensor *t, fanin__wire w) {
    fanin__wire_field f;
    while (ok(p) && fanin__wire_next(&w, &f, NULL)) {
        switch (f.id) {
        case TENSOR_DIMS: read_dims(p, t, &f); break;
        case TENSOR_DTYPE: t->code = (int32_t)f.number; break;
        case TENSOR_FLOATS:
        case TENSOR_INT32S:
        case TENSOR_INT64S:
        case TENSOR_DOUBLES:
        case TENSOR_UINT64S: t->typed = true; break;
        case TENSOR_RAW:
            t->has_raw = true;
            t->raw = f.data;
            t->raw_size = f.size;
            break;
        case TENSOR_EXTERNAL:
            t->external = true;
            read_entry(p->r, t, &f);
            break;
        case TENSOR_LOCATION:
            if (f.number == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL) t->external = true;
            break;
        default: break;
        }
    }
}

/* Names of element types that ONNX has and fanin has not. */
static const char *foreign_type(int64_t code) {
    switch (code) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__STRING: return "STRING";
    case ONNX__TENSOR_PROTO__DATA_TYPE__COMPLEX64: return "COMPLEX64";
    case ONNX__TENSOR_PROTO__DATA_TYPE__COMPLEX128: return "COMPLEX128";
    case 18: return "FLOAT8E4M3FNUZ";
    case 20: return "FLOAT8E5M2FNUZ";
    case 21: return "UINT4";
    case 22: return "INT4";
    case 23: return "FLOAT4E2M1";
    case 24: return "FLOAT8E8M0";
    default: return NULL;
    }
}

/* Element type and bytes; false if the tensor cannot be stored (with a failure unless lenient). */
static bool sized(place *p, tensor *t, bool lenient) {
    t->dtype = fanin__onnx_dtype(t->code);
    if (t->dtype == FANIN_DTYPE_NONE) {
        const char *known = foreign_type(t->code);
        if (known && lenient) return false;
        if (known)
            FAIL(p, FANIN_UNSUPPORTED, "has element type %s, which fanin does not read", known);
        else
            FAIL(p, FANIN_FORMAT, "has element type %lld, which ONNX does not define",
                 (long long)t->code);
        return false;
    }
    if (fanin__shape_count(t->dims, t->rank, &t->count) &&
        fanin__size_mul(t->count, fanin_dtype_size(t->dtype), &t->size) && t->size < PTRDIFF_MAX)
        return true;
    char shape[200];
    FAIL(p, FANIN_LIMIT, "has the shape %s, more than memory can hold",
         fanin__shape_text(t->dims, t->rank, shape, sizeof shape));
    return false;
}

/* ---- lists of numbers -------------------------------------------------------------------------- */

/* The list that the element type is stored in, by onnx.proto. */
static uint32_t list_of(fanin_dtype dtype) {
    switch (dtype) {
    case FANIN_F32: return TENSOR_FLOATS;
    case FANIN_F64: return TENSOR_DOUBLES;
    case FANIN_I64: return TENSOR_INT64S;
    case FANIN_U32:
    case FANIN_U64: return TENSOR_UINT64S;
    default: return TENSOR_INT32S;
    }
}

/* One number, little-endian: an element is the low bytes of what the wire holds. */
static void put_number(unsigned char *out, uint64_t number, size_t width) {
    for (size_t i = 0; i < width; i++) out[i] = (unsigned char)(number >> (8 * i));
}

/* Decodes into `out` as far as there is room; returns how many numbers there were. */
static size_t decode_list(fanin__wire w, uint32_t id, size_t width, size_t room,
                          unsigned char *out) {
    size_t n = 0;
    fanin__wire_field f;
    while (fanin__wire_next(&w, &f, NULL)) {
        if (f.id != id) continue;
        if (f.type != FANIN__WIRE_BYTES) {
            if (n < room) put_number(out + n * width, f.number, width);
            n++;
        } else if (id == TENSOR_FLOATS || id == TENSOR_DOUBLES) {
            size_t more = f.size / width, fit = n < room ? room - n : 0;
            if (fit > more) fit = more;
            if (fit) memcpy(out + n * width, f.data, fit * width);
            n += more;
        } else {
            fanin__wire inner = fanin__wire_inside(&f);
            uint64_t number;
            for (; inner.at < inner.end && fanin__wire_varint(&inner, &number); n++)
                if (n < room) put_number(out + n * width, number, width);
        }
    }
    return n;
}

static const void *read_list(place *p, const tensor *t, const fanin__wire_field *message) {
    size_t width = fanin_dtype_size(t->dtype);
    uint32_t id = list_of(t->dtype);
    size_t there = decode_list(fanin__wire_inside(message), id, width, 0, NULL);
    if (there != t->count) {
        char shape[200];
        FAIL(p, FANIN_FORMAT, "lists %zu numbers, its shape %s wants %zu", there,
             fanin__shape_text(t->dims, t->rank, shape, sizeof shape), t->count);
        return NULL;
    }
    unsigned char *out = fanin__arena_take(fanin__graph_arena(p->r->b), t->size);
    if (!out) {
        fanin__graph_fail_memory(p->r->b);
        return NULL;
    }
    decode_list(fanin__wire_inside(message), id, width, t->count, out);
    return out;
}

/* ---- external data ----------------------------------------------------------------------------- */

/* Relative, without a step up. The kernel checks again when the file is opened. */
static bool stays_inside(const char *location) {
    if (location[0] == '/' || location[0] == '\0') return false;
    for (const char *part = location; *part;) {
        size_t n = strcspn(part, "/");
        if (n == 2 && part[0] == '.' && part[1] == '.') return false;
        part += n + (part[n] == '/');
    }
    return true;
}

static onnx_external *new_external(place *p, const char *location) {
    onnx_reader *r = p->r;
    if (r->external_count == r->external_capacity) {
        size_t more = r->external_capacity + r->external_capacity / 2 + 8;
        onnx_external *list = fanin_realloc(r->externals, more, sizeof *list);
        if (!list) {
            FAIL(p, FANIN_NOMEM, "is number %zu of the files of external data", more);
            return NULL;
        }
        r->externals = list;
        r->external_capacity = more;
    }
    onnx_external *e = &r->externals[r->external_count++];
    *e = (onnx_external){.location = location, .absent = true};
    return e;
}

static onnx_external *open_external(place *p, const char *location) {
    onnx_reader *r = p->r;
    for (size_t i = r->external_count; i-- > 0;) /* the last file is the likely one */
        if (!strcmp(r->externals[i].location, location)) return &r->externals[i];
    onnx_external *e = new_external(p, location);
    if (!e || !r->folder) return e;
    fanin__map map;
    fanin_err err = {0};
    fanin_status status = fanin__map_open_beneath(r->folder, location, &map, &err);
    if (status == FANIN_NOTFOUND) return e;
    if (status != FANIN_OK) {
        FAIL(p, status, "has external data in %s", err.message);
        return NULL;
    }
    e->absent = false;
    e->data = map.data;
    e->size = map.size;
    if (map.base) fanin__graph_own_map(r->b, &map);
    return e;
}

static bool decimal(place *p, const char *what, const char *text, size_t *out) {
    uint64_t value;
    const char *end;
    if (fanin__parse_u64(text, &end, &value) && *end == '\0' && value <= PTRDIFF_MAX) {
        *out = (size_t)value;
        return true;
    }
    FAIL(p, FANIN_FORMAT, "has external data with %s '%.40s', expected a number of bytes", what,
         text);
    return false;
}

static const void *read_external(place *p, const tensor *t) {
    size_t offset = 0, length = t->size;
    if (t->has_raw || t->typed) {
        FAIL(p, FANIN_FORMAT, "has both external data (%.80s) and values inside",
             t->location ? t->location : "?");
        return NULL;
    }
    if (!t->location) {
        FAIL(p, FANIN_FORMAT, "has external data %s", "without a location");
        return NULL;
    }
    if (!stays_inside(t->location)) {
        FAIL(p, FANIN_FORMAT, "has external data in '%.200s', outside the folder of the model",
             t->location);
        return NULL;
    }
    if (t->offset && !decimal(p, "offset", t->offset, &offset)) return NULL;
    if (t->length && !decimal(p, "length", t->length, &length)) return NULL;
    if (length != t->size) {
        char shape[200];
        FAIL(p, FANIN_FORMAT, "has %zu bytes of external data, its shape %s wants %zu", length,
             fanin__shape_text(t->dims, t->rank, shape, sizeof shape), t->size);
        return NULL;
    }
    const onnx_external *e = open_external(p, t->location);
    if (!e || e->absent) return NULL;
    if (offset > e->size || length > e->size - offset) {
        FAIL(p, FANIN_FORMAT, "needs bytes %zu to %zu of '%.200s', which has %zu", offset,
             offset + length, t->location, e->size);
        return NULL;
    }
    return e->data + offset;
}

/* ---- all together ------------------------------------------------------------------------------ */

static const void *payload(place *p, const tensor *t, const fanin__wire_field *message) {
    if (t->external) return read_external(p, t);
    if (t->has_raw && t->typed) {
        FAIL(p, FANIN_FORMAT, "has its values twice, as %s", "bytes and as a list");
        return NULL;
    }
    if (t->typed) return read_list(p, t, message);
    if (!t->has_raw) return t->count == 0 ? "" : NULL; /* absent: a model before initialisation */
    if (t->raw_size == t->size) return t->raw;
    char shape[200];
    FAIL(p, FANIN_FORMAT, "holds %zu bytes, its shape %s of %s wants %zu", t->raw_size,
         fanin__shape_text(t->dims, t->rank, shape, sizeof shape), fanin_dtype_name(t->dtype),
         t->size);
    return NULL;
}

void fanin__onnx_tensor(onnx_reader *r, const fanin__wire_field *message, const char *where,
                        bool lenient, fanin_value *v) {
    *v = (fanin_value){.name = "", .producer = -1};
    fanin__wire w = fanin__wire_inside(message);
    fanin__wire_field f;
    while (fanin__wire_next(&w, &f, NULL)) /* first, for messages */
        if (f.id == TENSOR_NAME) v->name = fanin__onnx_text(r, &f);
    tensor t = {.name = v->name};
    place p = {r, where, v->name};
    read_header(&p, &t, fanin__wire_inside(message));
    if (!ok(&p) || !sized(&p, &t, lenient)) return;
    v->dtype = t.dtype;
    v->rank = t.rank;
    memcpy(v->dims, t.dims, sizeof t.dims);
    v->data = payload(&p, &t, message);
    v->size = v->data ? t.size : 0;
}
