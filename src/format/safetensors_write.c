#include <stdlib.h>
#include <string.h>

#include "format/safetensors.h"

enum { MAX_HEADER = 100000000 };

/* The reference's list of element types; files hold the later ones first. */
static const unsigned char rank_of[] = {
    [FANIN_BOOL] = 1, [FANIN_U8] = 2,   [FANIN_I8] = 3,   [FANIN_F8_E5M2] = 4, [FANIN_F8_E4M3] = 5,
    [FANIN_I16] = 6,  [FANIN_U16] = 7,  [FANIN_F16] = 8,  [FANIN_BF16] = 9,    [FANIN_I32] = 10,
    [FANIN_U32] = 11, [FANIN_F32] = 12, [FANIN_F64] = 13, [FANIN_I64] = 14,    [FANIN_U64] = 15,
};

static int before(const fanin_array *a, const fanin_array *b) {
    int by_type = (int)rank_of[b->dtype] - (int)rank_of[a->dtype];
    return by_type ? by_type : strcmp(a->name, b->name);
}

/* Heapsort: qsort_r differs between systems and may take memory. */
static void sift(const fanin_array *arrays, int *order, int at, int count) {
    for (;;) {
        int child = 2 * at + 1;
        if (child >= count) return;
        if (child + 1 < count && before(&arrays[order[child]], &arrays[order[child + 1]]) < 0)
            child++;
        if (before(&arrays[order[at]], &arrays[order[child]]) >= 0) return;
        int swap = order[at];
        order[at] = order[child];
        order[child] = swap;
        at = child;
    }
}

void fanin__safetensors_sort(const fanin_array *arrays, int *order, int count) {
    for (int i = count / 2; i-- > 0;) sift(arrays, order, i, count);
    for (int n = count - 1; n > 0; n--) {
        int swap = order[0];
        order[0] = order[n];
        order[n] = swap;
        sift(arrays, order, 0, n);
    }
}

void fanin__json_quote(fanin__text *out, const char *text) {
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    fanin__text_puts(out, "\"");
    for (const char *p = text; *p; p++) {
        const char *hit = strchr(from, *p);
        if (hit)
            fanin__text_printf(out, "\\%c", to[hit - from]);
        else if ((unsigned char)*p < 0x20)
            fanin__text_printf(out, "\\u%04x", (unsigned)*p);
        else
            fanin__text_append(out, p, 1);
    }
    fanin__text_puts(out, "\"");
}

static void print_entry(fanin__text *out, const fanin_array *a, uint64_t begin) {
    fanin__json_quote(out, a->name);
    fanin__text_printf(out, ":{\"dtype\":\"%s\",\"shape\":[", fanin_dtype_name(a->dtype));
    for (int i = 0; i < a->rank; i++)
        fanin__text_printf(out, i ? ",%lld" : "%lld", (long long)a->dims[i]);
    fanin__text_printf(out, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)begin,
                       (unsigned long long)(begin + a->size));
}

fanin_status fanin__safetensors_header(const fanin_array *arrays, const int *order, int count,
                                       const char *const *metadata, const char *file,
                                       fanin__text *out, fanin_err *err) {
    fanin__text_append(out, "\0\0\0\0\0\0\0\0{", 9);
    if (metadata) {
        fanin__text_puts(out, "\"__metadata__\":{");
        for (int i = 0; metadata[i]; i += 2) {
            if (i) fanin__text_puts(out, ",");
            fanin__json_quote(out, metadata[i]);
            fanin__text_puts(out, ":");
            fanin__json_quote(out, metadata[i + 1]);
        }
        fanin__text_puts(out, "}");
    }
    uint64_t at = 0;
    for (int i = 0; i < count; i++) {
        if (i || metadata) fanin__text_puts(out, ",");
        print_entry(out, &arrays[order[i]], at);
        at += arrays[order[i]].size;
    }
    fanin__text_puts(out, "}");
    while (!out->failed && out->length % 8) fanin__text_puts(out, " ");
    if (out->failed) return fanin_err_set(err, FANIN_NOMEM, "%s: no memory for the header", file);
    uint64_t n = out->length - 8;
    if (n > MAX_HEADER)
        return fanin_err_set(
            err, FANIN_LIMIT,
            "%s: the header would have %llu bytes, the format allows %d; write shards", file,
            (unsigned long long)n, MAX_HEADER);
    for (int i = 0; i < 8; i++) out->data[i] = (char)(unsigned char)(n >> (8 * i));
    return FANIN_OK;
}
