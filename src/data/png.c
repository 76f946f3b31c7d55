/* png.c - folders of PNG images: FOLDER/CLASS/NAME.png, or FOLDER/train/CLASS and FOLDER/test/CLASS. Classes and
 * files are taken by name, bytes are kept, sizes are bounded before memory is taken. */
#include <dirent.h>
#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/store.h"

enum { SIDE_MAX = 8192 };

/* ---- names ------------------------------------------------------------------------------------------ */

typedef struct names {
    char **items;
    size_t count, capacity;
} names;

static void names_fini(names *n) {
    for (size_t i = 0; i < n->count; i++) fanin_free(n->items[i]);
    fanin_free(n->items);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool wanted(DIR *dir, const char *name, bool folders) {
    struct stat s;
    if (name[0] == '.') return false;
    if (!folders) return fanin__ends_with(name, ".png");
    return fstatat(dirfd(dir), name, &s, 0) == 0 && S_ISDIR(s.st_mode);
}

/* Sub-folders, or .png files, in the order of their names. */
static fanin_status list(const char *dir, bool folders, names *out, fanin_err *err) {
    *out = (names){0};
    DIR *d = opendir(dir);
    if (!d) return fanin_err_set(err, FANIN_IO, "%s: cannot be listed", dir);
    fanin_status status = FANIN_OK;
    for (struct dirent *e; status == FANIN_OK && (e = readdir(d)) != NULL;) {
        if (!wanted(d, e->d_name, folders)) continue;
        if (out->count == out->capacity) {
            size_t more = out->capacity ? 2 * out->capacity : 64;
            char **items = fanin_realloc(out->items, more, sizeof *items);
            if (items) {
                out->items = items;
                out->capacity = more;
            } else {
                status = FANIN_NOMEM;
            }
        }
        if (status == FANIN_OK && !(out->items[out->count++] = fanin__strdup(e->d_name)))
            status = FANIN_NOMEM;
    }
    closedir(d);
    if (status != FANIN_OK) return fanin_err_set(err, status, "%s: no memory", dir);
    if (out->count) qsort(out->items, out->count, sizeof *out->items, compare_names);
    return FANIN_OK;
}

/* ---- one image -------------------------------------------------------------------------------------- */

/* Mean of the source pixels that a target pixel covers, by area, channel after channel. */
static void resize(const unsigned char *in, size_t w, size_t h, size_t channels, unsigned char *out,
                   size_t ow, size_t oh) {
    double sx = (double)w / (double)ow, sy = (double)h / (double)oh;
    for (size_t c = 0; c < channels; c++)
        for (size_t y = 0; y < oh; y++)
            for (size_t x = 0; x < ow; x++) {
                double top = (double)y * sy, left = (double)x * sx, sum = 0, area = 0;
                for (size_t j = (size_t)top; j < h && (double)j < top + sy; j++)
                    for (size_t i = (size_t)left; i < w && (double)i < left + sx; i++) {
                        double part = (fmin((double)j + 1, top + sy) - fmax((double)j, top)) *
                                      (fmin((double)i + 1, left + sx) - fmax((double)i, left));
                        sum += part * in[(j * w + i) * channels + c];
                        area += part;
                    }
                out[(c * oh + y) * ow + x] = (unsigned char)(sum / area + 0.5);
            }
}

typedef struct request {
    size_t width, height, channels; /* 0: of the first image */
} request;

static fanin_status decode(const char *path, const unsigned char *bytes, size_t size, request *r,
                           unsigned char **pixels, size_t *w, size_t *h, fanin_err *err) {
    png_image image = {.version = PNG_IMAGE_VERSION};
    *pixels = NULL;
    if (!png_image_begin_read_from_memory(&image, bytes, size))
        return fanin_err_set(err, FANIN_FORMAT, "%s: %.100s", path, image.message);
    *w = image.width;
    *h = image.height;
    if (*w > SIDE_MAX || *h > SIDE_MAX) {
        png_image_free(&image);
        return fanin_err_set(err, FANIN_LIMIT, "%s: %zux%zu pixels, expected at most %d a side",
                             path, *w, *h, SIDE_MAX);
    }
    if (!r->channels) r->channels = image.format & PNG_FORMAT_FLAG_COLOR ? 3 : 1;
    image.format = r->channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
    const png_color black = {0, 0, 0};
    unsigned char *p = fanin_malloc(PNG_IMAGE_SIZE(image));
    if (p && png_image_finish_read(&image, &black, p, 0, NULL)) {
        *pixels = p;
        return FANIN_OK;
    }
    fanin_status status = p ? fanin_err_set(err, FANIN_FORMAT, "%s: %.100s", path, image.message)
                            : fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
    png_image_free(&image);
    fanin_free(p);
    return status;
}

static fanin_status read_image(const char *path, request *r, unsigned char *out, fanin_err *err) {
    fanin__map map;
    unsigned char *pixels = NULL;
    size_t w = 0, h = 0;
    FANIN_TRY(fanin__map_open(path, &map, err));
    fanin_status status = decode(path, map.data, map.size, r, &pixels, &w, &h, err);
    fanin__map_close(&map);
    if (status != FANIN_OK) return status;
    if (!r->width) {
        r->width = w;
        r->height = h;
    }
    if (out) resize(pixels, w, h, r->channels, out, r->width, r->height);
    fanin_free(pixels);
    return FANIN_OK;
}

/* ---- a split ------------------------------------------------------------------------------------------ */

static fanin_status path_of(const char *dir, const char *name, char **path, fanin_err *err) {
    fanin__text t = {0};
    bool slash = dir[0] && dir[strlen(dir) - 1] == '/';
    fanin__text_printf(&t, "%s%s%s", dir, slash ? "" : "/", name);
    *path = t.failed ? NULL : t.data;
    return *path ? FANIN_OK : fanin_err_set(err, FANIN_NOMEM, "%s: no memory", dir);
}

/* Room for `more` images behind those that are there. */
static fanin_status extend(fanin__rows *rows, const request *r, size_t more, const char *dir,
                           fanin_err *err) {
    size_t image = r->width * r->height * r->channels, count = (size_t)rows->count + more, size;
    if (!fanin__size_mul(count, image, &size) || size > FANIN__DATA_LIMIT)
        return fanin_err_set(err, FANIN_LIMIT, "%s: %zu images of %zu bytes, expected at most 4 GB",
                             dir, count, image);
    unsigned char *bytes = fanin_realloc(rows->bytes, size + 1, 1);
    if (bytes) rows->bytes = bytes;
    int64_t *labels = fanin_realloc(rows->labels, count + 1, sizeof *labels);
    if (labels) rows->labels = labels;
    return bytes && labels ? FANIN_OK : fanin_err_set(err, FANIN_NOMEM, "%s: no memory", dir);
}

static fanin_status read_class(const char *dir, int64_t label, request *r, fanin__rows *rows,
                               fanin_err *err) {
    names files;
    fanin_status status = list(dir, false, &files, err);
    if (status == FANIN_OK && !files.count)
        status = fanin_err_set(err, FANIN_FORMAT, "%s: no .png file of this class", dir);
    for (size_t i = 0; i < files.count && status == FANIN_OK; i++) {
        char *path;
        status = path_of(dir, files.items[i], &path, err);
        if (status != FANIN_OK) break;
        if (!r->width || !r->channels) status = read_image(path, r, NULL, err);
        if (status == FANIN_OK && i == 0) status = extend(rows, r, files.count, dir, err);
        size_t image = r->width * r->height * r->channels;
        if (status == FANIN_OK)
            status = read_image(path, r, rows->bytes + rows->count * image, err);
        if (status == FANIN_OK) rows->labels[rows->count++] = label;
        fanin_free(path);
    }
    names_fini(&files);
    return status;
}

static fanin_status read_split(const char *dir, const names *classes, request *r, fanin__rows *rows,
                               fanin_err *err) {
    for (size_t c = 0; c < classes->count; c++) {
        char *path;
        FANIN_TRY(path_of(dir, classes->items[c], &path, err));
        fanin_status status = read_class(path, (int64_t)c, r, rows, err);
        fanin_free(path);
        FANIN_TRY(status);
    }
    return FANIN_OK;
}

static bool has_name(const names *n, const char *name) {
    for (size_t i = 0; i < n->count; i++)
        if (!strcmp(n->items[i], name)) return true;
    return false;
}

/* dir/train and dir/test hold the same classes. */
static fanin_status read_two(const char *dir, request *r, fanin__store *s, fanin_err *err) {
    static const char *const splits[] = {"train", "test"};
    names classes[2] = {{0}, {0}};
    fanin_status status = FANIN_OK;
    for (int k = 0; k < 2 && status == FANIN_OK; k++) {
        char *path = NULL;
        status = path_of(dir, splits[k], &path, err);
        if (status == FANIN_OK) status = list(path, true, &classes[k], err);
        for (size_t c = 0; k && c < classes[1].count && status == FANIN_OK; c++)
            if (!has_name(&classes[0], classes[1].items[c]))
                status = fanin_err_set(err, FANIN_FORMAT, "%s: class '%s' has nothing to train on",
                                       path, classes[1].items[c]);
        if (status == FANIN_OK && k && classes[1].count != classes[0].count)
            status = fanin_err_set(err, FANIN_FORMAT, "%s: %zu classes, expected the %zu of train",
                                   path, classes[1].count, classes[0].count);
        if (status == FANIN_OK) status = read_split(path, &classes[k], r, &s->split[k], err);
        fanin_free(path);
    }
    for (int k = 0; k < 2; k++) names_fini(&classes[k]);
    return status;
}

fanin_status fanin__data_png(const char *path, const fanin__png_options *o, fanin_dataset *d,
                             fanin_err *err) {
    fanin__store *s;
    names classes;
    request r = {.width = o->width, .height = o->height, .channels = o->grey ? 1 : 0};
    FANIN_TRY(fanin__store_create(d, &s, err));
    fanin_status status = list(path, true, &classes, err);
    if (status == FANIN_OK && classes.count == 0)
        status = fanin_err_set(err, FANIN_FORMAT, "%s: no folder of a class in it", path);
    if (status == FANIN_OK) {
        bool two = has_name(&classes, "train") && has_name(&classes, "test");
        status = two ? read_two(path, &r, s, err)
                     : read_split(path, &classes, &r, &s->split[FANIN_TRAIN], err);
    }
    names_fini(&classes);
    FANIN_TRY(status);
    d->info.rank = 3;
    d->info.dims[0] = (int64_t)r.channels;
    d->info.dims[1] = (int64_t)r.height;
    d->info.dims[2] = (int64_t)r.width;
    return fanin__store_finish(d, path, o->test, err);
}
