/* text.c - a file of characters for language models: a sample is `length` bytes, its labels are the bytes one place
 * on. Classes are the distinct bytes of the file, in order. */
#include <stdio.h>
#include <string.h>

#include "data/store.h"

typedef struct corpus {
    unsigned char *ids; /* a class a byte */
    size_t size, begin[2], length;
} corpus;

static void corpus_close(void *p) {
    corpus *c = p;
    fanin_free(c->ids);
    fanin_free(c);
}

static fanin_status corpus_sample(const fanin_dataset *d, fanin_split split, uint64_t index,
                                  float *x, void *target) {
    const corpus *c = d->state;
    const unsigned char *at = c->ids + c->begin[split] + index * c->length;
    int64_t *labels = target;
    for (size_t i = 0; i < c->length; i++) {
        x[i] = (float)at[i];
        labels[i] = at[i + 1];
    }
    return FANIN_OK;
}

/* Bytes become their rank among the distinct bytes of the file. */
static int number_bytes(unsigned char *bytes, size_t size) {
    unsigned char rank[256] = {0};
    int classes = 0;
    for (size_t i = 0; i < size; i++) rank[bytes[i]] = 1;
    for (int b = 0; b < 256; b++)
        if (rank[b]) rank[b] = (unsigned char)classes++;
    for (size_t i = 0; i < size; i++) bytes[i] = rank[bytes[i]];
    return classes;
}

fanin_status fanin__data_text(const char *path, size_t length, double test, fanin_dataset *d,
                              fanin_err *err) {
    corpus *c = fanin_calloc(1, sizeof *c);
    if (!c) return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
    d->state = c;
    d->close = corpus_close;
    d->sample = corpus_sample;
    FANIN_TRY(fanin__data_read(path, FANIN__DATA_LIMIT, &c->ids, &c->size, err));
    c->length = length;
    c->begin[FANIN_TEST] = c->size - (size_t)(test * (double)c->size);
    if (test == 0) c->begin[FANIN_TEST] = 0;
    size_t ends[2] = {test > 0 ? c->begin[FANIN_TEST] : c->size, c->size};
    uint64_t counts[2];
    for (int k = 0; k < 2; k++) {
        size_t n = ends[k] - c->begin[k];
        counts[k] = n ? (n - 1) / length : 0;
        if (counts[k] == 0)
            return fanin_err_set(
                err, FANIN_FORMAT,
                "%s: %zu characters in the %s split, expected more than length=%zu", path, n,
                k ? "test" : "train", length);
    }
    d->info.train_count = counts[0];
    d->info.test_count = counts[1];
    d->both = test == 0;
    d->info.classes = number_bytes(c->ids, c->size);
    if (d->info.classes < 2)
        return fanin_err_set(err, FANIN_FORMAT, "%s: one character over and over", path);
    d->info.rank = 1;
    d->info.dims[0] = d->info.target_count = (int64_t)length;
    return FANIN_OK;
}
