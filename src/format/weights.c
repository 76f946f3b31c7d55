/* weights.c - bags of tensors: filled by the readers, opened by content. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "format/weights.h"

fanin_weights *fanin__weights_create(size_t budget) {
    fanin_weights *w = fanin_calloc(1, sizeof *w);
    if (w) w->arena.limit = budget;
    return w;
}

void fanin_weights_close(fanin_weights *w) {
    if (!w) return;
    for (size_t i = 0; i < w->map_count; i++) fanin__map_close(&w->maps[i]);
    fanin_free(w->maps);
    fanin_graph_destroy(w->graph);
    fanin__names_fini(&w->names);
    fanin__names_fini(&w->metadata_names);
    fanin_free(w->arrays);
    fanin_free(w->metadata);
    fanin__arena_fini(&w->arena);
    fanin_free(w);
}

fanin_status fanin__weights_nomem(const fanin_weights *w, const char *file, fanin_err *err) {
    if (w->arena.over)
        return fanin_err_set(err, FANIN_LIMIT,
                             "%s: wants more than %zu MB of memory, out of proportion "
                             "to its size",
                             file, w->arena.limit >> 20);
    return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", file);
}

static const char *array_name(const void *ctx, int i) {
    const fanin_weights *w = ctx;
    return w->arrays[i].name;
}

static const char *metadata_key(const void *ctx, int i) {
    const fanin_weights *w = ctx;
    return w->metadata[2 * i];
}

fanin_status fanin__weights_add(fanin_weights *w, const fanin_array *array, const char *file,
                                fanin_err *err) {
    if (fanin__names_find(&w->names, array_name, w, array->name) >= 0)
        return fanin_err_set(err, FANIN_FORMAT, "%s: two tensors are called '%s'", file,
                             array->name);
    if (w->count == w->capacity) {
        if (w->capacity > INT32_MAX / 4)
            return fanin_err_set(err, FANIN_LIMIT, "%s: more than %d tensors", file, w->count);
        int more = w->capacity + w->capacity / 2 + 16;
        fanin_array *arrays = fanin_realloc(w->arrays, (size_t)more, sizeof *arrays);
        if (!arrays) return fanin__weights_nomem(w, file, err);
        w->arrays = arrays;
        w->capacity = more;
    }
    w->arrays[w->count] = *array;
    w->arrays[w->count].name = fanin__arena_strdup(&w->arena, array->name);
    if (!w->arrays[w->count].name || !fanin__names_add(&w->names, array_name, w))
        return fanin__weights_nomem(w, file, err);
    w->count++;
    return FANIN_OK;
}

fanin_status fanin__weights_add_metadata(fanin_weights *w, const char *key, const char *value,
                                         const char *file, fanin_err *err) {
    int known = fanin__names_find(&w->metadata_names, metadata_key, w, key);
    if (known >= 0 && known < w->metadata_before) return FANIN_OK;
    if (known >= 0)
        return fanin_err_set(err, FANIN_FORMAT, "%s: metadata has the key '%.100s' twice", file,
                             key);
    if (w->metadata_count == w->metadata_capacity) {
        int more = w->metadata_capacity + w->metadata_capacity / 2 + 8;
        const char **list = fanin_realloc(w->metadata, (size_t)more, 2 * sizeof *list);
        if (!list) return fanin__weights_nomem(w, file, err);
        w->metadata = list;
        w->metadata_capacity = more;
    }
    const char **pair = &w->metadata[2 * w->metadata_count];
    pair[0] = fanin__arena_strdup(&w->arena, key);
    pair[1] = fanin__arena_strdup(&w->arena, value);
    if (!pair[0] || !pair[1] || !fanin__names_add(&w->metadata_names, metadata_key, w))
        return fanin__weights_nomem(w, file, err);
    w->metadata_count++;
    return FANIN_OK;
}

/* Takes the map over, also on failure. */
static fanin_status own_map(fanin_weights *w, fanin__map *map, fanin_err *err) {
    fanin__map *maps = fanin_realloc(w->maps, w->map_count + 1, sizeof *maps);
    if (!maps) {
        fanin__map_close(map);
        return fanin_err_set(err, FANIN_NOMEM, "no memory for %zu mapped files", w->map_count + 1);
    }
    w->maps = maps;
    w->maps[w->map_count++] = *map;
    return FANIN_OK;
}

int fanin_weights_count(const fanin_weights *w) { return w->count; }

const fanin_array *fanin_weights_at(const fanin_weights *w, int i) {
    return i >= 0 && i < w->count ? &w->arrays[i] : NULL;
}

const fanin_array *fanin_weights_find(const fanin_weights *w, const char *name) {
    return fanin_weights_at(w, fanin__names_find(&w->names, array_name, w, name));
}

const char *fanin_weights_metadata(const fanin_weights *w, int i, const char **value) {
    if (i < 0 || i >= w->metadata_count) return NULL;
    if (value) *value = w->metadata[2 * i + 1];
    return w->metadata[2 * i];
}

/* ---- opening ----------------------------------------------------------------------------------- */

static bool begins_with(const fanin__map *map, const char *magic, size_t n) {
    return map->size >= n && !memcmp(map->data, magic, n);
}

/* Shards: every tensor of weight_map must be in the file that it names, and every file is read once. */
typedef struct sharded {
    fanin_weights *w;
    const char *index_path, *folder;
    const char **files;
    size_t file_count;
    int listed;
} sharded;

static fanin_status open_shard(sharded *s, const char *name, fanin_err *err) {
    const char **files = fanin_realloc(s->files, s->file_count + 1, sizeof *files);
    if (files) s->files = files;
    const char *copy = fanin__arena_strdup(&s->w->arena, name);
    if (!files || !copy) return fanin__weights_nomem(s->w, s->index_path, err);
    fanin__map map;
    FANIN_TRY(fanin__map_open_beneath(s->folder, name, &map, err));
    size_t budget = fanin__format_budget(map.size);
    if (s->w->arena.limit < SIZE_MAX - budget) s->w->arena.limit += budget;
    fanin__map view = map;
    FANIN_TRY(own_map(s->w, &map, err));
    s->files[s->file_count++] = copy;
    return fanin__safetensors_parse(s->w, view.data, view.size, copy, err);
}

static fanin_status visit_shard(void *ctx, const char *tensor, const char *shard, fanin_err *err) {
    sharded *s = ctx;
    bool known = false;
    for (size_t i = s->file_count; i-- > 0 && !known;) known = !strcmp(s->files[i], shard);
    if (!known) FANIN_TRY(open_shard(s, shard, err));
    s->listed++;
    if (fanin_weights_find(s->w, tensor)) return FANIN_OK;
    return fanin_err_set(err, FANIN_FORMAT, "%s: tensor '%s' is not in %s", s->index_path, tensor,
                         shard);
}

static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return fanin__strdup(".");
    return slash == path ? fanin__strdup("/") : fanin__strndup(path, (size_t)(slash - path));
}

static fanin_status open_index(fanin_weights *w, const fanin__map *map, const char *path,
                               fanin_err *err) {
    char *folder = folder_of(path);
    if (!folder) return fanin__weights_nomem(w, path, err);
    sharded s = {.w = w, .index_path = path, .folder = folder};
    fanin_status status = fanin__index_parse(map->data, map->size, path, visit_shard, &s, err);
    if (status == FANIN_OK && s.listed != w->count)
        status = fanin_err_set(err, FANIN_FORMAT,
                               "%s: lists %d tensors, the files that it names hold %d", path,
                               s.listed, w->count);
    fanin_free(s.files);
    fanin_free(folder);
    return status;
}

static fanin_status open_onnx(fanin_weights *w, const char *path, fanin_err *err) {
    FANIN_TRY(fanin_graph_load_onnx(path, &w->graph, err));
    for (int i = 0; i < w->graph->value_count; i++) {
        const fanin_value *v = &w->graph->values[i];
        if (!(v->flags & FANIN_VALUE_INITIALIZER)) continue;
        fanin_array a = {
            .name = v->name, .dtype = v->dtype, .rank = v->rank, .data = v->data, .size = v->size};
        memcpy(a.dims, v->dims, sizeof a.dims);
        FANIN_TRY(fanin__weights_add(w, &a, path, err));
    }
    return FANIN_OK;
}

static fanin_status refuse_known(const fanin__map *map, const char *path, fanin_err *err) {
    static const struct {
        const char *magic, *what;
    } rows[] = {
        {"GGUF", "a GGUF file"},
        {"\x89HDF", "an HDF5 file"},
        {"\x80\x02", "a pickle; load it in torch and save it with safetensors"},
        {"\x80\x04", "a pickle; load it in its framework and save it with safetensors"},
        {"\x1f\x8b", "gzip-compressed; decompress it first"},
    };
    for (size_t i = 0; i < FANIN_COUNT(rows); i++)
        if (begins_with(map, rows[i].magic, strlen(rows[i].magic)))
            return fanin_err_set(err, FANIN_UNSUPPORTED, "%s: is %s", path, rows[i].what);
    return FANIN_OK;
}

static fanin_status open_file(fanin_weights *w, const char *path, fanin_err *err) {
    fanin__map map;
    FANIN_TRY(fanin__map_open(path, &map, err));
    fanin__map view = map;
    w->arena.limit = fanin__format_budget(map.size);
    FANIN_TRY(own_map(w, &map, err));
    if (begins_with(&view, "\x93NUMPY", 6))
        return fanin__npy_parse(w, view.data, view.size, path, err);
    if (begins_with(&view, "PK\3\4", 4) || begins_with(&view, "PK\5\6", 4))
        return fanin__npz_parse(w, view.data, view.size, path, err);
    if (fanin__ends_with(path, ".json")) return open_index(w, &view, path, err);
    if (!fanin__ends_with(path, ".safetensors")) FANIN_TRY(refuse_known(&view, path, err));
    return fanin__safetensors_parse(w, view.data, view.size, path, err);
}

fanin_status fanin_weights_open(const char *path, fanin_weights **weights, fanin_err *err) {
    *weights = NULL;
    struct stat st;
    bool folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    fanin__text name = {0};
    fanin__text_puts(&name, path);
    if (folder) fanin__text_puts(&name, "/model.safetensors.index.json");
    fanin_weights *w = name.failed ? NULL : fanin__weights_create(fanin__format_budget(0));
    fanin_status status;
    if (!w)
        status = fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
    else if (fanin__ends_with(path, ".onnx") && !folder)
        status = open_onnx(w, path, err);
    else
        status = open_file(w, name.data, err);
    fanin__text_fini(&name);
    if (status == FANIN_OK)
        *weights = w;
    else
        fanin_weights_close(w);
    return status;
}
