/* write.c - samples of a data set as files that other programs read: arrays (npy, npz, IDX) or a table. */
#include <stdio.h>
#include <string.h>

#include "data/dataset.h"
#include "fanin/format.h"

/* n samples in memory. */
typedef struct block {
    const fanin_dataset_info *info;
    size_t n, size, targets; /* samples, numbers and targets of one */
    float *x;
    void *t; /* int64_t or float */
} block;

static fanin_status read_block(const fanin_dataset *d, fanin_split split, uint64_t n, block *b,
                               fanin_err *err) {
    *b = (block){.info = &d->info,
                 .n = (size_t)n,
                 .size = fanin_dataset_sample_size(&d->info),
                 .targets = (size_t)d->info.target_count};
    size_t step = b->targets * (d->info.classes ? sizeof(int64_t) : sizeof(float)), numbers, rest;
    if (n == 0 || n > SIZE_MAX / 8 || !fanin__size_mul(b->n, b->size, &numbers) ||
        !fanin__size_mul(b->n, step, &rest))
        return fanin_err_set(err, FANIN_ARG, "data set %s: %llu samples are not to be written",
                             d->info.name, (unsigned long long)n);
    b->x = fanin_calloc(numbers, sizeof *b->x);
    b->t = fanin_calloc(rest, 1);
    if (!b->x || !b->t)
        return fanin_err_set(err, FANIN_NOMEM, "data set %s: no memory for %llu samples",
                             d->info.name, (unsigned long long)n);
    for (uint64_t i = 0; i < n; i++) {
        if (fanin_interrupted()) return fanin_err_set(err, FANIN_INTERRUPTED, "stopped");
        FANIN_TRY(fanin_dataset_samples(d, split, &i, 1, b->x + i * b->size,
                                        (char *)b->t + i * step, err));
    }
    return FANIN_OK;
}

static void arrays_of(const block *b, fanin_array *x, fanin_array *t) {
    bool classes = b->info->classes != 0;
    *x = (fanin_array){.name = "x",
                       .dtype = FANIN_F32,
                       .rank = b->info->rank + 1,
                       .dims = {(int64_t)b->n},
                       .data = b->x,
                       .size = b->n * b->size * sizeof(float)};
    memcpy(x->dims + 1, b->info->dims, (size_t)b->info->rank * sizeof *x->dims);
    *t = (fanin_array){.name = "y",
                       .dtype = classes ? FANIN_I64 : FANIN_F32,
                       .rank = classes && b->targets == 1 ? 1 : 2,
                       .dims = {(int64_t)b->n, (int64_t)b->targets},
                       .data = b->t,
                       .size = b->n * b->targets * (classes ? sizeof(int64_t) : sizeof(float))};
}

/* ---- tables ---------------------------------------------------------------------------------------- */

static fanin_status write_table(const block *b, char comma, const char *path, fanin_err *err) {
    fanin__text t = {0};
    if (b->targets != 1)
        return fanin_err_set(err, FANIN_UNSUPPORTED,
                             "%s: a table has one target a row, data set %s has %zu", path,
                             b->info->name, b->targets);
    for (size_t k = 0; k < b->size; k++) fanin__text_printf(&t, "x%zu%c", k + 1, comma);
    fanin__text_puts(&t, "target\n");
    for (size_t i = 0; i < b->n && !t.failed; i++) {
        for (size_t k = 0; k < b->size; k++)
            fanin__text_printf(&t, "%.9g%c", (double)b->x[i * b->size + k], comma);
        if (b->info->classes)
            fanin__text_printf(&t, "%lld\n", (long long)((const int64_t *)b->t)[i]);
        else
            fanin__text_printf(&t, "%.9g\n", (double)((const float *)b->t)[i]);
    }
    fanin_status status = t.failed ? fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path)
                                   : fanin__file_write(path, t.data, t.length, err);
    fanin__text_fini(&t);
    return status;
}

/* ---- IDX ------------------------------------------------------------------------------------------- */

static void put_big_endian(fanin__text *t, uint32_t word) {
    const char bytes[4] = {(char)(word >> 24), (char)(word >> 16), (char)(word >> 8), (char)word};
    fanin__text_append(t, bytes, 4);
}

/* Float or, of labels, int32: what IDX has. */
static fanin_status write_idx(const fanin_array *a, const char *path, fanin_err *err) {
    fanin__text t = {0};
    size_t count = a->size / fanin_dtype_size(a->dtype);
    const char head[4] = {0, 0, a->dtype == FANIN_F32 ? 0x0d : 0x0c, (char)a->rank};
    fanin__text_append(&t, head, 4);
    for (int i = 0; i < a->rank; i++) put_big_endian(&t, (uint32_t)a->dims[i]);
    for (size_t i = 0; i < count && !t.failed; i++) {
        uint32_t word = 0;
        if (a->dtype == FANIN_F32)
            memcpy(&word, (const float *)a->data + i, sizeof word);
        else
            word = (uint32_t)((const int64_t *)a->data)[i];
        put_big_endian(&t, word);
    }
    fanin_status status = t.failed ? fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path)
                                   : fanin__file_write(path, t.data, t.length, err);
    fanin__text_fini(&t);
    return status;
}

/* ---- which ----------------------------------------------------------------------------------------- */

static fanin_status write_pair(const block *b, const char *first, const char *second,
                               fanin_err *err) {
    fanin_array a[2];
    const char *const paths[2] = {first, second};
    arrays_of(b, &a[0], &a[1]);
    for (int i = 0; i < 2; i++) {
        bool idx = fanin__ends_with(paths[i], ".idx") || fanin__ends_with(paths[i], "-ubyte");
        FANIN_TRY(idx ? write_idx(&a[i], paths[i], err) : fanin_npy_save(paths[i], &a[i], err));
    }
    return FANIN_OK;
}

typedef enum target { NPZ, CSV, TSV, PAIR } target;

static fanin_status find_target(const char *path, char **first, target *what, fanin_err *err) {
    const char *comma = strchr(path, ',');
    *first = NULL;
    *what = fanin__ends_with(path, ".npz")   ? NPZ
            : fanin__ends_with(path, ".csv") ? CSV
            : fanin__ends_with(path, ".tsv") ? TSV
                                             : PAIR;
    if (*what != PAIR) return FANIN_OK;
    if (comma && !(*first = fanin__strndup(path, (size_t)(comma - path))))
        return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
    static const char *const endings[] = {".npy", ".idx", "-ubyte"};
    for (size_t i = 0; i < FANIN_COUNT(endings) && comma; i++)
        if (fanin__ends_with(*first, endings[i]) && fanin__ends_with(comma + 1, endings[i]))
            return FANIN_OK;
    fanin_free(*first);
    *first = NULL;
    return fanin_err_set(err, FANIN_ARG,
                         "%s: expected X.npy,T.npy, X.idx,T.idx, or a name in .npz, .csv or .tsv",
                         path);
}

fanin_status fanin_dataset_write(const fanin_dataset *d, fanin_split split, uint64_t samples,
                                 const char *path, fanin_err *err) {
    uint64_t count = split == FANIN_TRAIN ? d->info.train_count : d->info.test_count;
    char *first;
    target what;
    block b = {0};
    FANIN_TRY(find_target(path, &first, &what, err));
    fanin_status status = read_block(d, split, count && samples > count ? count : samples, &b, err);
    if (status == FANIN_OK && what == PAIR) {
        status = write_pair(&b, first, path + strlen(first) + 1, err);
    } else if (status == FANIN_OK && what == NPZ) {
        fanin_array a[2];
        arrays_of(&b, &a[0], &a[1]);
        status = fanin_weights_save(path, a, 2, NULL, err);
    } else if (status == FANIN_OK) {
        status = write_table(&b, what == CSV ? ',' : '\t', path, err);
    }
    fanin_free(b.x);
    fanin_free(b.t);
    fanin_free(first);
    return status;
}
