/* safetensors_read.c - the header in one strict pass: 8 bytes of length, a JSON object, then the payloads,
 * which must tile the rest of the file. What the reference implementation refuses is refused here; so
 * are fields that it would ignore, since a reader cannot know that they do not matter. */
#include <stdlib.h>
#include <string.h>

#include "format/json_scan.h"
#include "format/weights.h"

enum { MAX_HEADER = 100000000 };

typedef struct header {
    fanin_weights *w;
    fanin__json json;
    const char *file;
    const unsigned char *payload;
    size_t payload_size;
    int first; /* of this file in the bag */
    fanin_err *err;
} header;

static fanin_status json_error(header *h) {
    int64_t at = (int64_t)(h->json.at - h->json.begin) + 8;
    fanin_status status = h->json.text.failed ? FANIN_NOMEM : FANIN_FORMAT;
    fanin_err_set(h->err, status, "%s: byte %lld of the header: %s", h->file, (long long)at,
                  h->json.why ? h->json.why : "damaged");
    if (h->err) h->err->position = at;
    return status;
}

static fanin_status json_refuse(header *h, const char *why) {
    fanin__json_fail(&h->json, why);
    return json_error(h);
}

/* ---- one tensor -------------------------------------------------------------------------------- */

typedef struct entry {
    fanin_array array;
    uint64_t begin, end;
    unsigned seen; /* bits: dtype, shape, data_offsets */
} entry;

static fanin_status read_dtype(header *h, entry *e) {
    if (!fanin__json_string(&h->json)) return json_error(h);
    const char *text = h->json.text.data;
    for (int i = 1; fanin_dtype_size((fanin_dtype)i); i++)
        if (!strcmp(fanin_dtype_name((fanin_dtype)i), text)) e->array.dtype = (fanin_dtype)i;
    if (e->array.dtype != FANIN_DTYPE_NONE) return FANIN_OK;
    return fanin_err_set(h->err, FANIN_UNSUPPORTED,
                         "%s: tensor '%s' has element type '%.40s', which fanin does not read",
                         h->file, e->array.name, text);
}

static fanin_status read_shape(header *h, entry *e) {
    bool first = true;
    if (!fanin__json_take(&h->json, '[', "expected '['")) return json_error(h);
    while (fanin__json_more(&h->json, ']', &first)) {
        uint64_t dim;
        if (!fanin__json_u64(&h->json, &dim)) return json_error(h);
        if (dim > INT64_MAX)
            return fanin_err_set(h->err, FANIN_LIMIT, "%s: tensor '%s' has an axis of size %llu",
                                 h->file, e->array.name, (unsigned long long)dim);
        if (e->array.rank == FANIN_MAX_RANK)
            return fanin_err_set(h->err, FANIN_LIMIT, "%s: tensor '%s' has more than %d axes",
                                 h->file, e->array.name, FANIN_MAX_RANK);
        e->array.dims[e->array.rank++] = (int64_t)dim;
    }
    return h->json.why ? json_error(h) : FANIN_OK;
}

static fanin_status read_offsets(header *h, entry *e) {
    fanin__json *j = &h->json;
    if (!fanin__json_take(j, '[', "expected '['") || !fanin__json_u64(j, &e->begin) ||
        !fanin__json_take(j, ',', "expected two offsets") || !fanin__json_u64(j, &e->end) ||
        !fanin__json_take(j, ']', "expected two offsets"))
        return json_error(h);
    return FANIN_OK;
}

static fanin_status read_field(header *h, entry *e) {
    static const char *const keys[] = {"dtype", "shape", "data_offsets"};
    static fanin_status (*const readers[])(header *, entry *) = {read_dtype, read_shape,
                                                                 read_offsets};
    if (!fanin__json_string(&h->json)) return json_error(h);
    for (unsigned i = 0; i < 3; i++) {
        if (strcmp(h->json.text.data, keys[i]) != 0) continue;
        if (e->seen & (1u << i)) return json_refuse(h, "a field appears twice");
        e->seen |= 1u << i;
        if (!fanin__json_take(&h->json, ':', "expected ':'")) return json_error(h);
        return readers[i](h, e);
    }
    return json_refuse(h, "expected one of the fields dtype, shape, data_offsets");
}

/* The length that shape and type want is the length that the offsets give. */
static fanin_status check_size(header *h, const entry *e) {
    char shape[200];
    size_t count, size;
    const fanin_array *a = &e->array;
    fanin__shape_text(a->dims, a->rank, shape, sizeof shape);
    if (!fanin__shape_count(a->dims, a->rank, &count) ||
        !fanin__size_mul(count, fanin_dtype_size(a->dtype), &size))
        return fanin_err_set(h->err, FANIN_LIMIT,
                             "%s: tensor '%s' has the shape %s, more than memory can hold", h->file,
                             a->name, shape);
    if (e->begin > e->end || e->end > h->payload_size)
        return fanin_err_set(
            h->err, FANIN_FORMAT,
            "%s: tensor '%s' lies at bytes %llu to %llu of the data, which has %zu", h->file,
            a->name, (unsigned long long)e->begin, (unsigned long long)e->end, h->payload_size);
    if (e->end - e->begin == size) return FANIN_OK;
    return fanin_err_set(h->err, FANIN_FORMAT,
                         "%s: tensor '%s' has %llu bytes, its shape %s of %s wants %zu", h->file,
                         a->name, (unsigned long long)(e->end - e->begin), shape,
                         fanin_dtype_name(a->dtype), size);
}

static fanin_status read_tensor(header *h, const char *name) {
    entry e = {.array.name = name};
    bool first = true;
    if (!fanin__json_take(&h->json, '{', "expected '{'")) return json_error(h);
    while (fanin__json_more(&h->json, '}', &first)) FANIN_TRY(read_field(h, &e));
    if (h->json.why) return json_error(h);
    if (e.seen != 7) return json_refuse(h, "a tensor lacks dtype, shape or data_offsets");
    FANIN_TRY(check_size(h, &e));
    e.array.data = h->payload + e.begin;
    e.array.size = (size_t)(e.end - e.begin);
    return fanin__weights_add(h->w, &e.array, h->file, h->err);
}

/* ---- the object -------------------------------------------------------------------------------- */

static fanin_status read_metadata(header *h) {
    bool first = true;
    if (!fanin__json_take(&h->json, '{', "expected '{'")) return json_error(h);
    while (fanin__json_more(&h->json, '}', &first)) {
        if (!fanin__json_string(&h->json)) return json_error(h);
        const char *key = fanin__arena_strdup(&h->w->arena, h->json.text.data);
        if (!key) return fanin__weights_nomem(h->w, h->file, h->err);
        if (!fanin__json_take(&h->json, ':', "expected ':'") || !fanin__json_string(&h->json))
            return json_error(h);
        FANIN_TRY(fanin__weights_add_metadata(h->w, key, h->json.text.data, h->file, h->err));
    }
    return h->json.why ? json_error(h) : FANIN_OK;
}

static fanin_status read_header(header *h) {
    bool first = true, metadata = false;
    if (h->json.at == h->json.end || *h->json.at != '{')
        return json_refuse(h, "expected '{' at its beginning");
    h->json.at++;
    while (fanin__json_more(&h->json, '}', &first)) {
        if (!fanin__json_string(&h->json)) return json_error(h);
        const char *name = fanin__arena_strdup(&h->w->arena, h->json.text.data);
        if (!name) return fanin__weights_nomem(h->w, h->file, h->err);
        if (!fanin__json_take(&h->json, ':', "expected ':'")) return json_error(h);
        if (strcmp(name, "__metadata__") != 0) {
            FANIN_TRY(read_tensor(h, name));
        } else {
            if (metadata) return json_refuse(h, "__metadata__ appears twice");
            metadata = true;
            FANIN_TRY(read_metadata(h));
        }
    }
    return fanin__json_end(&h->json) ? FANIN_OK : json_error(h);
}

/* ---- the tiling -------------------------------------------------------------------------------- */

static int by_place(const void *pa, const void *pb) {
    const fanin_array *a = *(const fanin_array *const *)pa, *b = *(const fanin_array *const *)pb;
    if (a->data != b->data) return (const char *)a->data < (const char *)b->data ? -1 : 1;
    return (a->size > b->size) - (a->size < b->size); /* empty tensors first */
}

/* Sorted by offset, each tensor begins where the last one ended, and the last ends the file. */
static fanin_status check_tiling(header *h) {
    size_t n = (size_t)(h->w->count - h->first);
    const fanin_array **sorted = fanin_malloc(n * sizeof *sorted);
    if (!sorted) return fanin__weights_nomem(h->w, h->file, h->err);
    for (size_t i = 0; i < n; i++) sorted[i] = &h->w->arrays[h->first + (int)i];
    qsort(sorted, n, sizeof *sorted, by_place);
    const unsigned char *at = h->payload;
    fanin_status status = FANIN_OK;
    for (size_t i = 0; i < n && status == FANIN_OK; i++) {
        const unsigned char *begin = sorted[i]->data;
        if (begin != at)
            status = fanin_err_set(h->err, FANIN_FORMAT,
                                   "%s: tensor '%s' begins at byte %lld of the data, %s %lld",
                                   h->file, sorted[i]->name, (long long)(begin - h->payload),
                                   begin < at ? "inside the one that ends at"
                                              : "with a gap behind the one that ends at",
                                   (long long)(at - h->payload));
        at = begin + sorted[i]->size;
    }
    if (status == FANIN_OK && at != h->payload + h->payload_size)
        status = fanin_err_set(h->err, FANIN_FORMAT,
                               "%s: the tensors end at byte %lld of the data, which has %zu",
                               h->file, (long long)(at - h->payload), h->payload_size);
    fanin_free(sorted);
    return status;
}

fanin_status fanin__safetensors_parse(fanin_weights *w, const void *data, size_t size,
                                      const char *file, fanin_err *err) {
    const unsigned char *p = data;
    w->metadata_before = w->metadata_count;
    if (size < 8)
        return fanin_err_set(err, FANIN_FORMAT,
                             "%s: has %zu bytes, expected a safetensors header of 8 or more", file,
                             size);
    uint64_t n = 0;
    for (int i = 0; i < 8; i++) n |= (uint64_t)p[i] << (8 * i);
    if (n > MAX_HEADER)
        return fanin_err_set(
            err, FANIN_LIMIT,
            "%s: the first 8 bytes give a header of %llu bytes, expected at most %d "
            "(is this a safetensors file?)",
            file, (unsigned long long)n, MAX_HEADER);
    if (n > size - 8)
        return fanin_err_set(err, FANIN_FORMAT,
                             "%s: the header has %llu bytes, only %zu are left in the file", file,
                             (unsigned long long)n, size - 8);
    header h = {.w = w,
                .json = fanin__json_of(p + 8, (size_t)n),
                .file = file,
                .payload = p + 8 + n,
                .payload_size = size - 8 - (size_t)n,
                .first = w->count,
                .err = err};
    fanin_status status = read_header(&h);
    fanin__text_fini(&h.json.text);
    return status == FANIN_OK ? check_tiling(&h) : status;
}

/* ---- index of shards --------------------------------------------------------------------------- */

static bool plain_name(const char *s) {
    return s[0] && !strchr(s, '/') && strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
}

typedef struct index_reader {
    fanin__json json;
    const char *file;
    fanin_status (*visit)(void *ctx, const char *tensor, const char *shard, fanin_err *err);
    void *ctx;
    fanin_err *err;
} index_reader;

static fanin_status read_weight_map(index_reader *r) {
    bool first = true;
    if (!fanin__json_take(&r->json, '{', "expected '{'")) return FANIN_OK;
    while (fanin__json_more(&r->json, '}', &first)) {
        if (!fanin__json_string(&r->json)) return FANIN_OK;
        char *tensor = fanin__strdup(r->json.text.data);
        if (!tensor) return fanin_err_set(r->err, FANIN_NOMEM, "%s: no memory", r->file);
        fanin_status status = FANIN_OK;
        if (fanin__json_take(&r->json, ':', "expected ':'") && fanin__json_string(&r->json)) {
            const char *shard = r->json.text.data;
            status = plain_name(shard)
                         ? r->visit(r->ctx, tensor, shard, r->err)
                         : fanin_err_set(r->err, FANIN_FORMAT,
                                         "%s: tensor '%s' lies in '%.200s', expected a file in the "
                                         "same folder",
                                         r->file, tensor, shard);
        }
        fanin_free(tensor);
        FANIN_TRY(status);
    }
    return FANIN_OK;
}

static fanin_status read_index(index_reader *r) {
    fanin__json *j = &r->json;
    bool first = true, found = false;
    fanin__json_take(j, '{', "expected '{'");
    while (fanin__json_more(j, '}', &first)) {
        if (!fanin__json_string(j)) break;
        bool map = !strcmp(j->text.data, "weight_map");
        if (!fanin__json_take(j, ':', "expected ':'")) break;
        if (map && found) fanin__json_fail(j, "weight_map appears twice");
        found = found || map;
        if (map)
            FANIN_TRY(read_weight_map(r));
        else
            fanin__json_skip(j);
    }
    if (fanin__json_end(j) && found) return FANIN_OK;
    if (!j->why) return fanin_err_set(r->err, FANIN_FORMAT, "%s: holds no weight_map", r->file);
    return fanin_err_set(r->err, j->text.failed ? FANIN_NOMEM : FANIN_FORMAT, "%s: byte %lld: %s",
                         r->file, (long long)(j->at - j->begin), j->why);
}

fanin_status fanin__index_parse(const void *data, size_t size, const char *file,
                                fanin_status (*visit)(void *ctx, const char *tensor,
                                                      const char *shard, fanin_err *err),
                                void *ctx, fanin_err *err) {
    index_reader r = {
        .json = fanin__json_of(data, size), .file = file, .visit = visit, .ctx = ctx, .err = err};
    fanin_status status = read_index(&r);
    fanin__text_fini(&r.json.text);
    return status;
}
