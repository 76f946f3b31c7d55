/* writer.c - streams tensors into one of four kinds of files. Everything is written aside; commit renames.
 * A kind is a row of hooks: before the first byte of a tensor, for bytes, and behind the last one. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <zip.h>

#include "format/npy.h"
#include "format/safetensors.h"
#include "format/utf8.h"
#include "format/weights.h"
#include "format/zip_memory.h"

enum { MAX_SHARDS = 512 }; /* each is an open file until commit */

typedef struct kind {
    fanin_status (*begin)(fanin_weights_writer *w, const fanin_array *a, fanin_err *err);
    fanin_status (*put)(fanin_weights_writer *w, const void *data, size_t size, fanin_err *err);
    fanin_status (*end)(fanin_weights_writer *w, fanin_err *err);
} kind;

struct fanin_weights_writer {
    const kind *kind;
    fanin__arena arena;
    const char *path;
    fanin_array *arrays;
    int count, next;  /* tensors, and those that are complete */
    bool begun;       /* begin was called for `next` */
    uint64_t written; /* bytes of the tensor `next` */
    int *order;
    const char *const *metadata;
    fanin__outfile *files; /* one, or the shards */
    int file_count, open_count;
    int *shard_end; /* position in order behind the shard's last tensor */
    fanin__names names;
    zipFile zip;
};

static const char *array_name(const void *ctx, int i) {
    return ((const fanin_weights_writer *)ctx)->arrays[i].name;
}

static fanin_status nomem(fanin_weights_writer *w, fanin_err *err) {
    return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", w->path);
}

/* ---- kinds ------------------------------------------------------------------------------------- */

static fanin_status put_plain(fanin_weights_writer *w, const void *data, size_t size,
                              fanin_err *err) {
    return fanin__outfile_write(&w->files[w->open_count - 1], data, size, err);
}

static fanin_status end_plain(fanin_weights_writer *w, fanin_err *err) {
    (void)w;
    (void)err;
    return FANIN_OK;
}

static const char *shard_name(const fanin_weights_writer *w, int shard, char buf[64]) {
    snprintf(buf, 64, "model-%05d-of-%05d.safetensors", shard + 1, w->file_count);
    return buf;
}

/* Opens the next file of safetensors and writes its header. */
static fanin_status open_safetensors(fanin_weights_writer *w, fanin_err *err) {
    int shard = w->open_count, first = shard ? w->shard_end[shard - 1] : 0;
    fanin__text path = {0}, header = {0};
    char name[64];
    fanin__text_puts(&path, w->path);
    if (w->path[strlen(w->path) - 1] == '/') fanin__text_puts(&path, shard_name(w, shard, name));
    fanin_status status = path.failed ? nomem(w, err) : FANIN_OK;
    if (status == FANIN_OK)
        status = fanin__safetensors_header(w->arrays, w->order + first, w->shard_end[shard] - first,
                                           w->metadata, w->path, &header, err);
    if (status == FANIN_OK) status = fanin__outfile_open(path.data, &w->files[shard], err);
    if (status == FANIN_OK) {
        w->open_count++;
        status = fanin__outfile_write(&w->files[shard], header.data, header.length, err);
    }
    fanin__text_fini(&path);
    fanin__text_fini(&header);
    return status;
}

static fanin_status begin_safetensors(fanin_weights_writer *w, const fanin_array *a,
                                      fanin_err *err) {
    (void)a;
    while (w->open_count == 0 || w->next >= w->shard_end[w->open_count - 1])
        FANIN_TRY(open_safetensors(w, err));
    return FANIN_OK;
}

static fanin_status begin_npy(fanin_weights_writer *w, const fanin_array *a, fanin_err *err) {
    fanin__text header = {0};
    fanin_status status = fanin__npy_print(a, w->path, &header, err);
    if (status == FANIN_OK) status = fanin__outfile_open(w->path, &w->files[0], err);
    if (status == FANIN_OK) {
        w->open_count = 1;
        status = fanin__outfile_write(&w->files[0], header.data, header.length, err);
    }
    fanin__text_fini(&header);
    return status;
}

static fanin_status zip_failed(fanin_weights_writer *w, fanin_err *err) {
    return fanin_err_set(err, FANIN_IO, "%s: cannot write: %s", w->path, strerror(errno));
}

static fanin_status open_npz(fanin_weights_writer *w, fanin_err *err) {
    FANIN_TRY(fanin__outfile_open(w->path, &w->files[0], err));
    w->open_count = 1;
    zlib_filefunc64_def functions = fanin__zip_writer(&w->files[0]);
    w->zip = zipOpen2_64(w->path, APPEND_STATUS_CREATE, NULL, &functions);
    return w->zip ? FANIN_OK : nomem(w, err);
}

static fanin_status put_npz(fanin_weights_writer *w, const void *data, size_t size,
                            fanin_err *err) {
    const unsigned char *p = data;
    errno = 0;
    while (size > 0) {
        unsigned part = size < (1u << 30) ? (unsigned)size : 1u << 30;
        if (zipWriteInFileInZip(w->zip, p, part) != ZIP_OK) return zip_failed(w, err);
        p += part;
        size -= part;
    }
    return FANIN_OK;
}

static fanin_status begin_npz(fanin_weights_writer *w, const fanin_array *a, fanin_err *err) {
    if (!w->zip) FANIN_TRY(open_npz(w, err));
    fanin__text name = {0}, header = {0};
    fanin__text_printf(&name, "%s.npy", a->name);
    fanin_status status = name.failed ? nomem(w, err) : fanin__npy_print(a, w->path, &header, err);
    if (status == FANIN_OK) {
        const zip_fileinfo info = {.dosDate =
                                       0x00210000}; /* 1980-01-01: the same bytes every run */
        const unsigned utf8 = 1u << 11;
        errno = 0;
        if (zipOpenNewFileInZip4_64(w->zip, name.data, &info, NULL, 0, NULL, 0, NULL, 0, 0, 0,
                                    -MAX_WBITS, DEF_MEM_LEVEL, Z_DEFAULT_STRATEGY, NULL, 0, 0, utf8,
                                    a->size > 0xf0000000u) != ZIP_OK)
            status = zip_failed(w, err);
        else
            status = put_npz(w, header.data, header.length, err);
    }
    fanin__text_fini(&name);
    fanin__text_fini(&header);
    return status;
}

static fanin_status end_npz(fanin_weights_writer *w, fanin_err *err) {
    errno = 0;
    return zipCloseFileInZip(w->zip) == ZIP_OK ? FANIN_OK : zip_failed(w, err);
}

static const kind safetensors_kind = {begin_safetensors, put_plain, end_plain};
static const kind npy_kind = {begin_npy, put_plain, end_plain};
static const kind npz_kind = {begin_npz, put_npz, end_npz};

/* ---- creation ---------------------------------------------------------------------------------- */

static fanin_status copy_array(fanin_weights_writer *w, const fanin_array *from, int i,
                               fanin_err *err) {
    fanin_array *a = &w->arrays[i];
    size_t count;
    *a = *from;
    a->data = NULL;
    a->name = fanin__arena_strdup(&w->arena, from->name ? from->name : "");
    if (!a->name) return nomem(w, err);
    if (fanin_dtype_size(a->dtype) == 0 || a->rank < 0 || a->rank > FANIN_MAX_RANK ||
        !fanin__shape_count(a->dims, a->rank, &count) ||
        !fanin__size_mul(count, fanin_dtype_size(a->dtype), &a->size))
        return fanin_err_set(err, FANIN_ARG, "%s: tensor '%s' has no type or no definite shape",
                             w->path, a->name);
    if (!fanin__utf8_valid(a->name, strlen(a->name)) || !strcmp(a->name, "__metadata__"))
        return fanin_err_set(err, FANIN_ARG, "%s: a tensor cannot be called '%s'", w->path,
                             a->name);
    if (fanin__names_find(&w->names, array_name, w, a->name) >= 0)
        return fanin_err_set(err, FANIN_ARG, "%s: two tensors are called '%s'", w->path, a->name);
    return fanin__names_add(&w->names, array_name, w) ? FANIN_OK : nomem(w, err);
}

static fanin_status copy_metadata(fanin_weights_writer *w, const char *const *metadata,
                                  fanin_err *err) {
    size_t n = 0;
    while (metadata[n]) n++;
    const char **copy = fanin__arena_array(&w->arena, n + 1, sizeof *copy);
    for (size_t i = 0; copy && i < n; i++)
        if (!(copy[i] = fanin__arena_strdup(&w->arena, metadata[i]))) return nomem(w, err);
    if (!copy) return nomem(w, err);
    copy[n] = NULL;
    w->metadata = copy;
    return n % 2 ? fanin_err_set(err, FANIN_ARG, "%s: metadata '%s' has no value", w->path,
                                 copy[n - 1])
                 : FANIN_OK;
}

/* Tensors go into shards as declared, until one would grow beyond max_shard; inside, files are sorted. */
static fanin_status plan_shards(fanin_weights_writer *w, uint64_t max_shard, fanin_err *err) {
    w->shard_end = fanin__arena_array(&w->arena, MAX_SHARDS, sizeof *w->shard_end);
    if (!w->shard_end) return nomem(w, err);
    int shard = 0, first = 0;
    uint64_t size = 0;
    for (int i = 0; i < w->count; i++) {
        uint64_t more = w->arrays[i].size;
        if (max_shard && i > first && (more > max_shard || size > max_shard - more)) {
            if (shard == MAX_SHARDS - 1)
                return fanin_err_set(err, FANIN_LIMIT,
                                     "%s: more than %d shards of %llu bytes; choose a larger size",
                                     w->path, MAX_SHARDS, (unsigned long long)max_shard);
            w->shard_end[shard++] = first = i;
            size = 0;
        }
        size += more;
    }
    w->shard_end[shard++] = w->count;
    w->file_count = shard;
    for (int s = 0; s < shard; s++) {
        int begin = s ? w->shard_end[s - 1] : 0;
        fanin__safetensors_sort(w->arrays, w->order + begin, w->shard_end[s] - begin);
    }
    return FANIN_OK;
}

static fanin_status choose_kind(fanin_weights_writer *w, uint64_t max_shard, fanin_err *err) {
    size_t n = strlen(w->path);
    w->file_count = 1;
    if (n == 0) return fanin_err_set(err, FANIN_ARG, "the name of the output is empty");
    if (max_shard > 0 || w->path[n - 1] == '/') {
        fanin__text folder = {0};
        fanin__text_puts(&folder, w->path);
        if (w->path[n - 1] != '/') fanin__text_puts(&folder, "/");
        w->path = folder.failed ? NULL : fanin__arena_strdup(&w->arena, folder.data);
        fanin__text_fini(&folder);
        if (!w->path) return fanin_err_set(err, FANIN_NOMEM, "no memory for a path");
        w->kind = &safetensors_kind;
        FANIN_TRY(plan_shards(w, max_shard, err));
        return fanin_directory_create(w->path, err);
    }
    if (fanin__ends_with(w->path, ".safetensors")) {
        w->kind = &safetensors_kind;
        return plan_shards(w, 0, err);
    }
    if (fanin__ends_with(w->path, ".npz")) {
        w->kind = &npz_kind;
        return FANIN_OK;
    }
    if (fanin__ends_with(w->path, ".npy")) {
        w->kind = &npy_kind;
        if (w->count == 1) return FANIN_OK;
        return fanin_err_set(err, FANIN_ARG, "%s: a .npy file holds one tensor, there are %d",
                             w->path, w->count);
    }
    return fanin_err_set(err, FANIN_ARG,
                         "%s: unknown kind of file, expected .safetensors, .npz, .npy or a folder "
                         "that ends in '/'",
                         w->path);
}

static fanin_status fill_writer(fanin_weights_writer *w, const char *path,
                                const fanin_array *arrays, int count,
                                const fanin_writer_options *options, fanin_err *err) {
    w->path = fanin__arena_strdup(&w->arena, path);
    w->arrays = fanin__arena_array(&w->arena, (size_t)count, sizeof *w->arrays);
    w->order = fanin__arena_array(&w->arena, (size_t)count, sizeof *w->order);
    if (!w->path || !w->arrays || !w->order)
        return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
    w->count = count;
    for (int i = 0; i < count; i++) {
        FANIN_TRY(copy_array(w, &arrays[i], i, err));
        w->order[i] = i;
    }
    if (options && options->metadata) FANIN_TRY(copy_metadata(w, options->metadata, err));
    FANIN_TRY(choose_kind(w, options ? options->max_shard : 0, err));
    w->files = fanin__arena_array(&w->arena, (size_t)w->file_count, sizeof *w->files);
    if (!w->files) return nomem(w, err);
    for (int i = 0; i < w->file_count; i++) w->files[i] = (fanin__outfile){.fd = -1};
    /* Now rather than at the first byte: a path that cannot be written is known before the work. */
    if (w->kind == &npz_kind) return open_npz(w, err);
    return count == 0 && w->kind == &safetensors_kind ? open_safetensors(w, err) : FANIN_OK;
}

/* ---- streaming --------------------------------------------------------------------------------- */

/* Ends what is complete and begins what is next, over empty tensors too. */
static fanin_status settle(fanin_weights_writer *w, fanin_err *err) {
    while (w->next < w->count) {
        const fanin_array *a = &w->arrays[w->order[w->next]];
        if (!w->begun) FANIN_TRY(w->kind->begin(w, a, err));
        w->begun = true;
        if (w->written < a->size) return FANIN_OK;
        FANIN_TRY(w->kind->end(w, err));
        w->begun = false;
        w->written = 0;
        w->next++;
    }
    return FANIN_OK;
}

fanin_status fanin_weights_writer_create(const char *path, const fanin_array *arrays, int count,
                                         const fanin_writer_options *options,
                                         fanin_weights_writer **writer, fanin_err *err) {
    *writer = NULL;
    if (count < 0) return fanin_err_set(err, FANIN_ARG, "%s: %d tensors", path, count);
    fanin_weights_writer *w = fanin_calloc(1, sizeof *w);
    if (!w) return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
    fanin_status status = fill_writer(w, path, arrays, count, options, err);
    if (status == FANIN_OK) status = settle(w, err);
    if (status == FANIN_OK)
        *writer = w;
    else
        fanin_weights_writer_abort(w);
    return status;
}

int fanin_weights_writer_order(const fanin_weights_writer *w, int k) {
    return k >= 0 && k < w->count ? w->order[k] : -1;
}

fanin_status fanin_weights_writer_put(fanin_weights_writer *w, const void *data, size_t size,
                                      fanin_err *err) {
    const unsigned char *p = data;
    while (size > 0) {
        if (w->next == w->count)
            return fanin_err_set(err, FANIN_INTERNAL, "%s: %zu bytes behind the last tensor",
                                 w->path, size);
        uint64_t left = w->arrays[w->order[w->next]].size - w->written;
        size_t part = size < left ? size : (size_t)left;
        FANIN_TRY(w->kind->put(w, p, part, err));
        w->written += part;
        p += part;
        size -= part;
        FANIN_TRY(settle(w, err));
    }
    return FANIN_OK;
}

/* ---- the end ----------------------------------------------------------------------------------- */

static void destroy(fanin_weights_writer *w) {
    fanin__names_fini(&w->names);
    fanin__arena_fini(&w->arena);
    fanin_free(w);
}

void fanin_weights_writer_abort(fanin_weights_writer *w) {
    if (!w) return;
    if (w->zip) zipClose(w->zip, NULL); /* frees minizip's memory; the file is removed below */
    for (int i = 0; i < w->open_count; i++) fanin__outfile_abort(&w->files[i]);
    destroy(w);
}

/* model.safetensors.index.json as its readers know it: sorted by name. */
static fanin_status write_index(fanin_weights_writer *w, fanin_err *err) {
    int *sorted = fanin__arena_array(&w->arena, (size_t)w->count, sizeof *sorted);
    int *shard_of = fanin__arena_array(&w->arena, (size_t)w->count, sizeof *shard_of);
    fanin_array *names = fanin__arena_array(&w->arena, (size_t)w->count, sizeof *names);
    if (!sorted || !shard_of || !names) return nomem(w, err);
    uint64_t total = 0;
    for (int k = 0, shard = 0; k < w->count; k++) {
        while (k >= w->shard_end[shard]) shard++;
        shard_of[w->order[k]] = shard;
    }
    for (int i = 0; i < w->count; i++) {
        total += w->arrays[i].size;
        sorted[i] = i;
        names[i] = (fanin_array){.name = w->arrays[i].name, .dtype = FANIN_F32};
    }
    fanin__safetensors_sort(names, sorted, w->count); /* one type: by name alone */
    fanin__text text = {0}, path = {0};
    fanin__text_printf(&text,
                       "{\n  \"metadata\": {\n    \"total_size\": %llu\n  },\n"
                       "  \"weight_map\": {",
                       (unsigned long long)total);
    for (int i = 0; i < w->count; i++) {
        char name[64];
        fanin__text_puts(&text, i ? ",\n    " : "\n    ");
        fanin__json_quote(&text, w->arrays[sorted[i]].name);
        fanin__text_printf(&text, ": \"%s\"", shard_name(w, shard_of[sorted[i]], name));
    }
    fanin__text_puts(&text, "\n  }\n}\n");
    fanin__text_printf(&path, "%smodel.safetensors.index.json", w->path);
    fanin_status status = text.failed || path.failed
                              ? nomem(w, err)
                              : fanin__file_write(path.data, text.data, text.length, err);
    fanin__text_fini(&text);
    fanin__text_fini(&path);
    return status;
}

/* Renames all files; after a failure none of them remains. */
static fanin_status commit_files(fanin_weights_writer *w, fanin_err *err) {
    bool folder = w->path[strlen(w->path) - 1] == '/';
    const char **done = fanin__arena_array(&w->arena, (size_t)w->open_count, sizeof *done);
    fanin_status status = done ? FANIN_OK : nomem(w, err);
    int count = 0;
    for (int i = 0; i < w->open_count && status == FANIN_OK; i++) {
        done[i] = fanin__arena_strdup(&w->arena, w->files[i].path);
        status = done[i] ? fanin__outfile_commit(&w->files[i], err) : nomem(w, err);
        if (status == FANIN_OK) count++;
    }
    if (status == FANIN_OK && folder) status = write_index(w, err);
    for (int i = 0; i < count && status != FANIN_OK; i++) unlink(done[i]);
    return status;
}

fanin_status fanin_weights_writer_commit(fanin_weights_writer *w, fanin_err *err) {
    fanin_status status = FANIN_OK;
    if (w->next < w->count)
        status =
            fanin_err_set(err, FANIN_INTERNAL, "%s: tensor '%s' was given %llu bytes, expected %zu",
                          w->path, w->arrays[w->order[w->next]].name,
                          (unsigned long long)w->written, w->arrays[w->order[w->next]].size);
    if (status == FANIN_OK && w->zip) {
        errno = 0;
        if (zipClose(w->zip, NULL) != ZIP_OK) status = zip_failed(w, err);
        w->zip = NULL;
    }
    if (status == FANIN_OK) status = commit_files(w, err);
    fanin_weights_writer_abort(w); /* closes what is still open */
    return status;
}

fanin_status fanin_weights_save(const char *path, const fanin_array *arrays, int count,
                                const fanin_writer_options *options, fanin_err *err) {
    fanin_weights_writer *w;
    FANIN_TRY(fanin_weights_writer_create(path, arrays, count, options, &w, err));
    for (int k = 0; k < count; k++) {
        const fanin_array *a = &arrays[fanin_weights_writer_order(w, k)];
        size_t size = w->arrays[w->order[k]].size;
        fanin_status status = FANIN_OK;
        if (size > 0 && !a->data)
            status = fanin_err_set(err, FANIN_ARG, "%s: tensor '%s' has no values", path, a->name);
        if (status == FANIN_OK) status = fanin_weights_writer_put(w, a->data, size, err);
        if (status != FANIN_OK) {
            fanin_weights_writer_abort(w);
            return status;
        }
    }
    return fanin_weights_writer_commit(w, err);
}

fanin_status fanin_npy_save(const char *path, const fanin_array *array, fanin_err *err) {
    return fanin_weights_save(path, array, 1, NULL, err);
}
