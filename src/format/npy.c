/* npy.c - a magic, a version, a length and a Python dictionary with three keys, read by a grammar that knows
 * these keys only. bfloat16, which numpy lacks, travels as raw items of two bytes ("V2"), as
 * third-party types do. */
#include <string.h>

#include "format/npy.h"
#include "format/weights.h"

static const struct {
    const char *kind; /* type letter and bytes */
    fanin_dtype dtype;
} kinds[] = {
    {"f4", FANIN_F32}, {"f8", FANIN_F64}, {"f2", FANIN_F16},  {"V2", FANIN_BF16}, {"i1", FANIN_I8},
    {"i2", FANIN_I16}, {"i4", FANIN_I32}, {"i8", FANIN_I64},  {"u1", FANIN_U8},   {"u2", FANIN_U16},
    {"u4", FANIN_U32}, {"u8", FANIN_U64}, {"b1", FANIN_BOOL},
};

/* ---- reading ----------------------------------------------------------------------------------- */

typedef struct scan {
    const char *at, *end;
    const char *why;
} scan;

static char peek(scan *s) {
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\t')) s->at++;
    return s->at < s->end ? *s->at : '\0';
}

static bool refuse(scan *s, const char *why) {
    if (!s->why) s->why = why;
    return false;
}

static bool take(scan *s, char c) {
    if (peek(s) != c) return refuse(s, "is not a dictionary of descr, fortran_order and shape");
    s->at++;
    return true;
}

/* 'text' or "text", without escapes. */
static bool quoted(scan *s, const char **text, size_t *n) {
    char quote = peek(s);
    if (quote != '\'' && quote != '"') return refuse(s, "expected a quoted text");
    const char *close = memchr(s->at + 1, quote, (size_t)(s->end - s->at - 1));
    if (!close) return refuse(s, "a quoted text does not end");
    *text = s->at + 1;
    *n = (size_t)(close - *text);
    s->at = close + 1;
    return true;
}

static bool read_descr(scan *s, fanin__npy *npy) {
    const char *text;
    size_t n;
    if (peek(s) == '[') return refuse(s, "holds records; fanin reads plain numbers");
    if (!quoted(s, &text, &n)) return false;
    if (n >= 2 && text[1] == 'O')
        return refuse(s, "holds Python objects (pickled), which fanin does not read");
    bool order = n > 0 && memchr("<>|=", text[0], 4);
    for (size_t i = 0; i < FANIN_COUNT(kinds); i++)
        if (order && n == 3 && !memcmp(text + 1, kinds[i].kind, 2)) npy->dtype = kinds[i].dtype;
    if (npy->dtype == FANIN_DTYPE_NONE)
        return refuse(s, "has an element type that fanin does not read");
    npy->swapped = text[0] == '>' && fanin_dtype_size(npy->dtype) > 1;
    return true;
}

static bool read_order(scan *s, fanin__npy *npy) {
    peek(s);
    size_t left = (size_t)(s->end - s->at);
    if (left >= 4 && !memcmp(s->at, "True", 4)) {
        npy->fortran = true;
        s->at += 4;
    } else if (left >= 5 && !memcmp(s->at, "False", 5)) {
        s->at += 5;
    } else {
        return refuse(s, "has a fortran_order other than True and False");
    }
    return true;
}

static bool read_axis(scan *s, fanin__npy *npy) {
    uint64_t dim = 0;
    const char *start = s->at;
    for (; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++)
        if (__builtin_mul_overflow(dim, (uint64_t)10, &dim) ||
            __builtin_add_overflow(dim, (uint64_t)(*s->at - '0'), &dim))
            return refuse(s, "has an axis that does not fit 64 bits");
    if (s->at == start) return refuse(s, "has a shape that is not whole numbers, 0 or more");
    if (dim > INT64_MAX) return refuse(s, "has an axis that does not fit 64 bits");
    if (s->at < s->end && *s->at == 'L') s->at++; /* Python 2 */
    if (npy->rank == FANIN_MAX_RANK) return refuse(s, "has more than 8 axes");
    npy->dims[npy->rank++] = (int64_t)dim;
    return true;
}

static bool read_shape(scan *s, fanin__npy *npy) {
    if (!take(s, '(')) return false;
    while (peek(s) != ')') {
        if (!read_axis(s, npy)) return false;
        if (peek(s) == ',')
            s->at++;
        else if (peek(s) != ')')
            return refuse(s, "has a shape that is not a tuple of numbers");
    }
    s->at++;
    return true;
}

static bool read_dictionary(scan *s, fanin__npy *npy) {
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    static bool (*const readers[])(scan *, fanin__npy *) = {read_descr, read_order, read_shape};
    unsigned seen = 0;
    if (!take(s, '{')) return false;
    while (peek(s) != '}') {
        const char *key;
        size_t n, i = 0;
        if (!quoted(s, &key, &n)) return false;
        while (i < 3 && !(n == strlen(keys[i]) && !memcmp(key, keys[i], n))) i++;
        if (i == 3 || seen & (1u << i))
            return refuse(s, "has other keys than descr, fortran_order and shape");
        seen |= 1u << i;
        if (!take(s, ':') || !readers[i](s, npy)) return false;
        if (peek(s) == ',')
            s->at++;
        else if (peek(s) != '}')
            return refuse(s, "is not a dictionary of descr, fortran_order and shape");
    }
    s->at++;
    if (peek(s) != '\0' || s->at != s->end) return refuse(s, "has text behind the dictionary");
    return seen == 7 || refuse(s, "lacks descr, fortran_order or shape");
}

fanin_status fanin__npy_header(const void *data, size_t size, const char *file, fanin__npy *npy,
                               fanin_err *err) {
    const unsigned char *p = data;
    *npy = (fanin__npy){0};
    if (size < 10 || memcmp(p, "\x93NUMPY", 6) != 0)
        return fanin_err_set(err, FANIN_FORMAT, "%s: does not begin like a .npy file", file);
    if (p[6] < 1 || p[6] > 3)
        return fanin_err_set(err, FANIN_UNSUPPORTED, "%s: is of npy version %d, expected 1 to 3",
                             file, p[6]);
    size_t prefix = p[6] == 1 ? 10 : 12, n = 0;
    for (size_t i = prefix; i-- > 8 && size >= prefix;) n = n << 8 | p[i];
    if (n > FANIN__NPY_MAX_HEADER)
        return fanin_err_set(err, FANIN_LIMIT, "%s: the header has %zu bytes, expected at most %d",
                             file, n, FANIN__NPY_MAX_HEADER);
    if (size < prefix || n > size - prefix)
        return fanin_err_set(err, FANIN_FORMAT, "%s: the header is cut off", file);
    scan s = {.at = (const char *)p + prefix, .end = (const char *)p + prefix + n};
    if (!read_dictionary(&s, npy))
        return fanin_err_set(err, FANIN_FORMAT, "%s: the header at byte %zu %s", file,
                             (size_t)(s.at - (const char *)p), s.why);
    npy->header_size = prefix + n;
    if (npy->rank < 2) npy->fortran = false;
    size_t count;
    if (fanin__shape_count(npy->dims, npy->rank, &count) &&
        fanin__size_mul(count, fanin_dtype_size(npy->dtype), &npy->size))
        return FANIN_OK;
    char shape[200];
    return fanin_err_set(err, FANIN_LIMIT, "%s: has the shape %s, more than memory can hold", file,
                         fanin__shape_text(npy->dims, npy->rank, shape, sizeof shape));
}

static void copy_item(unsigned char *out, const unsigned char *in, size_t width, bool swapped) {
    for (size_t i = 0; i < width; i++) out[i] = in[swapped ? width - 1 - i : i];
}

void fanin__npy_reorder(const fanin__npy *npy, const void *in, void *out) {
    size_t width = fanin_dtype_size(npy->dtype), count = npy->size / width;
    const unsigned char *from = in;
    unsigned char *to = out;
    if (!npy->fortran) {
        for (size_t i = 0; i < count; i++)
            copy_item(to + i * width, from + i * width, width, npy->swapped);
        return;
    }
    /* Walks the output in order; `at` is the place of the item in the file. */
    size_t strides[FANIN_MAX_RANK], index[FANIN_MAX_RANK] = {0}, at = 0;
    for (int i = 0; i < npy->rank; i++)
        strides[i] = i ? strides[i - 1] * (size_t)npy->dims[i - 1] : 1;
    for (size_t i = 0; i < count; i++) {
        copy_item(to + i * width, from + at * width, width, npy->swapped);
        for (int axis = npy->rank - 1; axis >= 0; axis--) {
            at += strides[axis];
            if (++index[axis] < (size_t)npy->dims[axis]) break;
            at -= strides[axis] * (size_t)npy->dims[axis];
            index[axis] = 0;
        }
    }
}

fanin_status fanin__npy_parse(fanin_weights *w, const void *data, size_t size, const char *file,
                              fanin_err *err) {
    fanin__npy npy;
    FANIN_TRY(fanin__npy_header(data, size, file, &npy, err));
    if (size - npy.header_size != npy.size)
        return fanin_err_set(err, FANIN_FORMAT,
                             "%s: holds %zu bytes of numbers, its header wants %zu", file,
                             size - npy.header_size, npy.size);
    fanin_array a = {.name = "",
                     .dtype = npy.dtype,
                     .rank = npy.rank,
                     .data = (const unsigned char *)data + npy.header_size,
                     .size = npy.size};
    memcpy(a.dims, npy.dims, sizeof a.dims);
    if (npy.swapped || npy.fortran) {
        void *copy = fanin__arena_take(&w->arena, npy.size);
        if (!copy) return fanin__weights_nomem(w, file, err);
        fanin__npy_reorder(&npy, a.data, copy);
        a.data = copy;
    }
    return fanin__weights_add(w, &a, file, err);
}

/* ---- writing ----------------------------------------------------------------------------------- */

fanin_status fanin__npy_print(const fanin_array *array, const char *file, fanin__text *out,
                              fanin_err *err) {
    const char *kind = NULL;
    for (size_t i = 0; i < FANIN_COUNT(kinds); i++)
        if (kinds[i].dtype == array->dtype) kind = kinds[i].kind;
    if (!kind)
        return fanin_err_set(err, FANIN_UNSUPPORTED,
                             "%s: numpy has no element type %s; write .safetensors instead", file,
                             fanin_dtype_name(array->dtype));
    bool plain = fanin_dtype_size(array->dtype) == 1 || array->dtype == FANIN_BF16;
    fanin__text dict = {0};
    fanin__text_printf(&dict, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
                       plain ? '|' : '<', kind);
    for (int i = 0; i < array->rank; i++)
        fanin__text_printf(&dict, i ? ", %lld" : "%lld", (long long)array->dims[i]);
    fanin__text_puts(&dict, array->rank == 1 ? ",), }" : "), }");
    /* The payload begins at a multiple of 64; the header ends in a line feed. */
    while ((10 + dict.length + 1) % 64 && !dict.failed) fanin__text_puts(&dict, " ");
    fanin__text_puts(&dict, "\n");
    char prefix[10] = "\x93NUMPY\1";
    prefix[8] = (char)(dict.length & 0xff);
    prefix[9] = (char)(dict.length >> 8);
    fanin__text_append(out, prefix, sizeof prefix);
    if (!dict.failed) fanin__text_append(out, dict.data, dict.length);
    bool failed = dict.failed || out->failed;
    fanin__text_fini(&dict);
    return failed ? fanin_err_set(err, FANIN_NOMEM, "%s: no memory", file) : FANIN_OK;
}
