/* cifar.c - CIFAR-10 and CIFAR-100, binary version: records of a label, or a coarse and a fine one, and 3 planes of
 * 32x32 bytes. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/images.h"

enum { PIXELS = 3072, FILE_LIMIT = 256 << 20 };

/* What the records of a set are. */
typedef struct kind {
    size_t record, label; /* bytes of a record, place of its label */
    int classes;
} kind;

static kind cifar10(void) { return (kind){PIXELS + 1, 0, 10}; }
static kind cifar100(bool coarse) {
    return coarse ? (kind){PIXELS + 2, 0, 20} : (kind){PIXELS + 2, 1, 100};
}

static fanin__images *start(fanin_dataset *d, kind k) {
    fanin__images *s = fanin__images_create(d, 3, 32);
    if (!s) return NULL;
    d->info.classes = k.classes;
    s->pixel_step = s->label_step = k.record;
    return s;
}

static fanin_status add_part(fanin__images *s, kind k, fanin_split split, const char *path,
                             unsigned char *bytes, size_t size, fanin_err *err) {
    if (size == 0 || size % k.record)
        return fanin_err_set(err, FANIN_FORMAT, "%s: %zu bytes, expected records of %zu", path,
                             size, k.record);
    FANIN_TRY(
        fanin__images_check(path, bytes + k.label, size / k.record, k.record, k.classes, err));
    int part = s->parts[split]++;
    s->labels[split][part] = bytes + k.label;
    s->pixels[split][part] = bytes + k.record - PIXELS;
    s->counts[split][part] = size / k.record;
    return FANIN_OK;
}

static fanin_status read_part(fanin__images *s, kind k, fanin_split split, const char *path,
                              fanin_err *err) {
    unsigned char *bytes;
    size_t size;
    FANIN_TRY(fanin__images_read(s, path, FILE_LIMIT, &bytes, &size, err));
    return add_part(s, k, split, path, bytes, size, err);
}

/* ---- folders -------------------------------------------------------------------------------------- */

/* Where the files of a set are: a folder, or (NULL) wherever named sets are looked for. */
typedef struct place {
    const char *folder, *name;
} place;

static fanin_status find(const place *p, const char *file, char **path, fanin_err *err) {
    if (!p->folder) return fanin__data_find(p->name, file, path, err);
    return fanin__data_find_in(p->folder, file, path, err);
}

static fanin_status read_found(const place *p, const char *file, fanin__images *s, kind k,
                               fanin_split split, fanin_err *err) {
    char *path;
    FANIN_TRY(find(p, file, &path, err));
    fanin_status status = read_part(s, k, split, path, err);
    fanin_free(path);
    return status;
}

/* Batches 2 to 5 may be absent: a smaller training set, not an error. */
static fanin_status open_ten(const place *p, fanin_dataset *d, fanin_err *err) {
    kind k = cifar10();
    fanin__images *s = start(d, k);
    if (!s) return FANIN_NOMEM;
    FANIN_TRY(read_found(p, "data_batch_1.bin", s, k, FANIN_TRAIN, err));
    for (int i = 2; i <= 5; i++) {
        char file[32];
        snprintf(file, sizeof file, "data_batch_%d.bin", i);
        fanin_status status = read_found(p, file, s, k, FANIN_TRAIN, err);
        if (status != FANIN_OK && status != FANIN_NOTFOUND) return status;
    }
    FANIN_TRY(read_found(p, "test_batch.bin", s, k, FANIN_TEST, err));
    fanin__images_count(d);
    return FANIN_OK;
}

static fanin_status open_hundred(const place *p, bool coarse, fanin_dataset *d, fanin_err *err) {
    kind k = cifar100(coarse);
    fanin__images *s = start(d, k);
    if (!s) return FANIN_NOMEM;
    FANIN_TRY(read_found(p, "train.bin", s, k, FANIN_TRAIN, err));
    FANIN_TRY(read_found(p, "test.bin", s, k, FANIN_TEST, err));
    fanin__images_count(d);
    return FANIN_OK;
}

fanin_status fanin__data_cifar10(const fanin__data_options *o, fanin_dataset *d, fanin_err *err) {
    (void)o;
    return open_ten(&(place){.name = "cifar10"}, d, err);
}

fanin_status fanin__data_cifar100(const fanin__data_options *o, fanin_dataset *d, fanin_err *err) {
    return open_hundred(&(place){.name = "cifar100"}, fanin__data_option(o, "coarse", 0) != 0, d,
                        err);
}

static bool holds(const char *folder, const char *file) {
    static const char *const endings[] = {"", ".gz", ".xz"};
    char path[4200];
    for (size_t i = 0; i < FANIN_COUNT(endings); i++) {
        int n = snprintf(path, sizeof path, "%s/%s%s", folder, file, endings[i]);
        if (n > 0 && (size_t)n < sizeof path && access(path, R_OK) == 0) return true;
    }
    return false;
}

bool fanin__data_cifar_is(const char *folder) {
    return holds(folder, "data_batch_1.bin") || holds(folder, "train.bin");
}

/* ---- paths ---------------------------------------------------------------------------------------- */

/* Size tells; a file of both sizes has CIFAR-10's records unless its name is one of CIFAR-100's. */
static kind kind_of(const char *path, size_t size, bool coarse) {
    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
    bool named = !strncmp(file, "train.bin", 9) || !strncmp(file, "test.bin", 8) || coarse;
    bool ten = size % (PIXELS + 1) == 0, hundred = size % (PIXELS + 2) == 0;
    return hundred && (named || !ten) ? cifar100(coarse) : cifar10();
}

static fanin_status open_file(const char *path, bool coarse, double test, fanin_dataset *d,
                              fanin_err *err) {
    unsigned char *bytes;
    size_t size;
    fanin__images *s = start(d, cifar10());
    if (!s) return FANIN_NOMEM;
    FANIN_TRY(fanin__images_read(s, path, FILE_LIMIT, &bytes, &size, err));
    if (size == 0 || (size % (PIXELS + 1) && size % (PIXELS + 2)))
        return fanin_err_set(err, FANIN_FORMAT,
                             "%s: %zu bytes, expected records of %d (CIFAR-10) or %d (CIFAR-100)",
                             path, size, PIXELS + 1, PIXELS + 2);
    kind k = kind_of(path, size, coarse);
    d->info.classes = k.classes;
    s->pixel_step = s->label_step = k.record;
    FANIN_TRY(add_part(s, k, FANIN_TRAIN, path, bytes, size, err));
    return fanin__data_cut(d, s->counts[FANIN_TRAIN][0], path, test, err);
}

fanin_status fanin__data_cifar(const char *path, bool coarse, double test, fanin_dataset *d,
                               fanin_err *err) {
    const place p = {.folder = path};
    if (holds(path, "data_batch_1.bin")) return open_ten(&p, d, err);
    if (holds(path, "train.bin")) return open_hundred(&p, coarse, d, err);
    return open_file(path, coarse, test, d, err);
}
