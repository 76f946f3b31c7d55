/* wire.c - see wire.h. The schema is the generated descriptor tables: field names for messages, types for
 * checks. Recursion is bounded by FANIN__WIRE_DEPTH: real models need about 12 levels. */
#include <string.h>

#include "format/utf8.h"
#include "format/wire.h"

fanin__wire fanin__wire_of(const void *data, size_t size) {
    const unsigned char *p = data;
    return (fanin__wire){p, p ? p + size : p}; /* NULL + 0 is undefined */
}

fanin__wire fanin__wire_inside(const fanin__wire_field *field) {
    return fanin__wire_of(field->data, field->size);
}

bool fanin__wire_varint(fanin__wire *w, uint64_t *value) {
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && w->at < w->end; shift += 7) {
        unsigned char c = *w->at++;
        v |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80)) {
            *value = v;
            return true;
        }
    }
    return false;
}

static bool fixed(fanin__wire *w, size_t n, uint64_t *value) {
    if ((size_t)(w->end - w->at) < n) return false;
    *value = 0;
    for (size_t i = 0; i < n; i++) *value |= (uint64_t)w->at[i] << (8 * i);
    w->at += n;
    return true;
}

bool fanin__wire_next(fanin__wire *w, fanin__wire_field *field, const char **why) {
    const char *unused;
    if (!why) why = &unused;
    *why = NULL;
    if (w->at >= w->end) return false;
    uint64_t tag, size;
    *why = "a field is cut off";
    if (!fanin__wire_varint(w, &tag)) return false;
    *field = (fanin__wire_field){.id = (uint32_t)(tag >> 3), .type = (fanin__wire_type)(tag & 7)};
    if (tag > UINT32_MAX || field->id == 0) {
        *why = "no field has this number";
        return false;
    }
    switch (field->type) {
    case FANIN__WIRE_VARINT:
        if (!fanin__wire_varint(w, &field->number)) return false;
        break;
    case FANIN__WIRE_64:
        if (!fixed(w, 8, &field->number)) return false;
        break;
    case FANIN__WIRE_32:
        if (!fixed(w, 4, &field->number)) return false;
        break;
    case FANIN__WIRE_BYTES:
        if (!fanin__wire_varint(w, &size)) return false;
        if (size > (uint64_t)(w->end - w->at)) {
            *why = "a length runs past the end";
            return false;
        }
        field->data = w->at;
        field->size = (size_t)size;
        w->at += size;
        break;
    default: *why = "bytes that are no field"; return false;
    }
    *why = NULL;
    return true;
}

/* ---- the walk ---------------------------------------------------------------------------------- */

typedef struct checker {
    const unsigned char *base;
    const char *name;
    const char *trail[FANIN__WIRE_DEPTH]; /* names of the fields that led here */
    fanin_err *err;
} checker;

static fanin_status refuse(checker *c, fanin_status status, const unsigned char *at, int depth,
                           const char *field, const char *why) {
    char place[160] = "";
    size_t used = 0;
    for (int i = 0; i <= depth && used < sizeof place - 24; i++) {
        const char *part = i < depth ? c->trail[i] : field;
        if (!part) continue;
        size_t n = strlen(part);
        if (n > 20) n = 20;
        if (used) place[used++] = '.';
        memcpy(place + used, part, n);
        used += n;
    }
    place[used] = '\0';
    int64_t offset = (int64_t)(at - c->base);
    fanin_err_set(c->err, status, "%s: byte %lld%s%s%s: %s", c->name, (long long)offset,
                  used ? " (" : "", place, used ? ")" : "", why);
    if (c->err) c->err->position = offset;
    return status;
}

/* Fields are sorted by number in the generated tables; there are at most 25. */
static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *schema,
                                                  uint32_t id) {
    for (unsigned i = 0; i < schema->n_fields; i++)
        if (schema->fields[i].id == id) return &schema->fields[i];
    return NULL;
}

static fanin__wire_type wire_type(ProtobufCType type) {
    switch (type) {
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32: return FANIN__WIRE_32;
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64: return FANIN__WIRE_64;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE: return FANIN__WIRE_BYTES;
    default: return FANIN__WIRE_VARINT;
    }
}

static const char *packed_damage(const fanin__wire_field *f, fanin__wire_type type) {
    if (type == FANIN__WIRE_32) return f->size % 4 ? "packed numbers of 4 bytes are cut off" : NULL;
    if (type == FANIN__WIRE_64) return f->size % 8 ? "packed numbers of 8 bytes are cut off" : NULL;
    fanin__wire w = fanin__wire_inside(f);
    uint64_t number;
    while (w.at < w.end)
        if (!fanin__wire_varint(&w, &number)) return "a packed number is cut off";
    return NULL;
}

static fanin_status check_message(checker *c, fanin__wire w,
                                  const ProtobufCMessageDescriptor *schema, int depth) {
    fanin__wire_field f;
    const char *why;
    const unsigned char *start = w.at;
    for (; fanin__wire_next(&w, &f, &why); start = w.at) {
        const ProtobufCFieldDescriptor *d = find_field(schema, f.id);
        if (!d) continue; /* from a later version */
        fanin__wire_type want = wire_type(d->type);
        if (f.type != want) {
            bool packed = d->label == PROTOBUF_C_LABEL_REPEATED && f.type == FANIN__WIRE_BYTES;
            const char *damage = packed ? packed_damage(&f, want) : "has the wrong wire type";
            if (damage) return refuse(c, FANIN_FORMAT, start, depth, d->name, damage);
        } else if (d->type == PROTOBUF_C_TYPE_STRING) {
            if (memchr(f.data, 0, f.size))
                return refuse(c, FANIN_FORMAT, start, depth, d->name, "text holds a NUL byte");
            if (!fanin__utf8_valid(f.data, f.size))
                return refuse(c, FANIN_FORMAT, start, depth, d->name, "text is not UTF-8");
        } else if (d->type == PROTOBUF_C_TYPE_MESSAGE) {
            if (depth + 1 >= FANIN__WIRE_DEPTH)
                return refuse(c, FANIN_LIMIT, start, depth, d->name,
                              "messages are nested deeper than 40 levels");
            c->trail[depth] = d->name;
            FANIN_TRY(check_message(c, fanin__wire_inside(&f), d->descriptor, depth + 1));
        }
    }
    if (why) return refuse(c, FANIN_FORMAT, start, depth, NULL, why);
    return FANIN_OK;
}

fanin_status fanin__wire_check(const void *data, size_t size,
                               const ProtobufCMessageDescriptor *schema, const char *name,
                               fanin_err *err) {
    checker c = {.base = data, .name = name, .err = err};
    return check_message(&c, fanin__wire_of(data, size), schema, 0);
}
