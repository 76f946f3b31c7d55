/* images.c - images as bytes in memory, a float view on demand; MNIST and its likes (IDX). */
#include <stdio.h>
#include <string.h>

#include "data/images.h"

static void images_close(void *p) {
    fanin__images *s = p;
    for (int i = 0; i < s->blob_count; i++) fanin_free(s->blobs[i]);
    fanin_free(s);
}

static fanin_status image_sample(const fanin_dataset *d, fanin_split split, uint64_t index,
                                 float *x, void *target) {
    const fanin__images *s = d->state;
    int part = 0;
    while (index >= s->counts[split][part]) index -= s->counts[split][part++];
    const unsigned char *pixels = s->pixels[split][part] + index * s->pixel_step;
    for (size_t i = 0; i < s->size; i++) x[i] = (float)pixels[i] / 255.0f;
    *(int64_t *)target = s->labels[split][part][index * s->label_step];
    return FANIN_OK;
}

fanin_status fanin__images_read(fanin__images *s, const char *path, size_t limit,
                                unsigned char **bytes, size_t *size, fanin_err *err) {
    FANIN_TRY(fanin__data_read(path, limit, bytes, size, err));
    s->blobs[s->blob_count++] = *bytes;
    return FANIN_OK;
}

static fanin_status read_blob(fanin__images *s, const char *folder, const char *name, size_t limit,
                              unsigned char **bytes, size_t *size, fanin_err *err) {
    char *path;
    FANIN_TRY(fanin__data_find(folder, name, &path, err));
    fanin_status status = fanin__images_read(s, path, limit, bytes, size, err);
    fanin_free(path);
    return status;
}

static uint32_t big_endian(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

fanin_status fanin__images_check(const char *name, const unsigned char *labels, uint64_t count,
                                 size_t step, int classes, fanin_err *err) {
    for (uint64_t i = 0; i < count; i++)
        if (labels[i * step] >= classes)
            return fanin_err_set(err, FANIN_FORMAT,
                                 "%s: sample %llu has label %d, expected 0 to %d", name,
                                 (unsigned long long)i, labels[i * step], classes - 1);
    return FANIN_OK;
}

static fanin_status read_idx(fanin__images *s, const char *folder, const char *stem,
                             fanin_split split, fanin_err *err) {
    enum { LIMIT = 200 << 20 };
    char name[64];
    unsigned char *pixels, *labels;
    size_t pixel_bytes, label_bytes;
    snprintf(name, sizeof name, "%s-images-idx3-ubyte", stem);
    FANIN_TRY(read_blob(s, folder, name, LIMIT, &pixels, &pixel_bytes, err));
    if (pixel_bytes < 16 || big_endian(pixels) != 0x803)
        return fanin_err_set(err, FANIN_FORMAT,
                             "%s: no IDX image file (magic 0x%08x, expected 0x00000803)", name,
                             pixel_bytes >= 4 ? big_endian(pixels) : 0);
    uint64_t count = big_endian(pixels + 4);
    if (big_endian(pixels + 8) != 28 || big_endian(pixels + 12) != 28)
        return fanin_err_set(err, FANIN_FORMAT, "%s: images of %ux%u, expected 28x28", name,
                             big_endian(pixels + 8), big_endian(pixels + 12));
    if (count == 0 || pixel_bytes - 16 != count * 784)
        return fanin_err_set(err, FANIN_FORMAT,
                             "%s: %zu bytes of pixels, expected %llu images of 784", name,
                             pixel_bytes - 16, (unsigned long long)count);
    snprintf(name, sizeof name, "%s-labels-idx1-ubyte", stem);
    FANIN_TRY(read_blob(s, folder, name, LIMIT, &labels, &label_bytes, err));
    if (label_bytes < 8 || big_endian(labels) != 0x801 || big_endian(labels + 4) != count ||
        label_bytes - 8 != count)
        return fanin_err_set(err, FANIN_FORMAT,
                             "%s: not an IDX file of the %llu labels that go with the images", name,
                             (unsigned long long)count);
    FANIN_TRY(fanin__images_check(name, labels + 8, count, 1, 10, err));
    s->pixels[split][0] = pixels + 16;
    s->labels[split][0] = labels + 8;
    s->counts[split][0] = count;
    return FANIN_OK;
}

fanin__images *fanin__images_create(fanin_dataset *d, int64_t channels, int64_t side) {
    fanin__images *s = fanin_calloc(1, sizeof *s);
    if (!s) return NULL;
    d->state = s;
    d->close = images_close;
    d->sample = image_sample;
    d->info.classes = 10;
    d->info.rank = 3;
    d->info.dims[0] = channels;
    d->info.dims[1] = d->info.dims[2] = side;
    s->size = (size_t)(channels * side * side);
    return s;
}

void fanin__images_count(fanin_dataset *d) {
    const fanin__images *s = d->state;
    d->info.train_count = d->info.test_count = 0;
    for (int i = 0; i < FANIN__IMAGE_PARTS; i++) {
        d->info.train_count += s->counts[FANIN_TRAIN][i];
        d->info.test_count += s->counts[FANIN_TEST][i];
    }
}

static fanin_status open_idx(const char *folder, fanin_dataset *d, fanin_err *err) {
    fanin__images *s = fanin__images_create(d, 1, 28);
    if (!s) return FANIN_NOMEM;
    s->pixel_step = 784;
    s->label_step = 1;
    FANIN_TRY(read_idx(s, folder, "train", FANIN_TRAIN, err));
    FANIN_TRY(read_idx(s, folder, "t10k", FANIN_TEST, err));
    fanin__images_count(d);
    return FANIN_OK;
}

fanin_status fanin__data_mnist(const fanin__data_options *o, fanin_dataset *d, fanin_err *err) {
    (void)o;
    return open_idx("mnist", d, err);
}

fanin_status fanin__data_fashion(const fanin__data_options *o, fanin_dataset *d, fanin_err *err) {
    (void)o;
    return open_idx("fashion-mnist", d, err);
}
