/* files.c - where data sets are looked for, and how they are unpacked. */
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "data/dataset.h"

static bool try_place(const char *root, const char *folder, const char *name, char **path) {
    static const char *const endings[] = {"", ".gz", ".xz"};
    for (size_t i = 0; i < FANIN_COUNT(endings); i++) {
        fanin__text t = {.max = 1 << 16};
        fanin__text_printf(&t, "%s/%s%s%s%s", root, folder, folder[0] ? "/" : "", name, endings[i]);
        if (!t.failed && access(t.data, R_OK) == 0) {
            *path = t.data;
            return true;
        }
        fanin__text_fini(&t);
    }
    return false;
}

fanin_status fanin__data_find(const char *folder, const char *name, char **path, fanin_err *err) {
    const char *env = getenv("FANIN_DATA"), *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    char user[4096];
    *path = NULL;
    if (xdg && *xdg)
        snprintf(user, sizeof user, "%s/fanin", xdg);
    else
        snprintf(user, sizeof user, "%s/.local/share/fanin", home ? home : "");
    const char *const roots[] = {env && *env ? env : NULL, "data", user};
    for (size_t i = 0; i < FANIN_COUNT(roots); i++)
        if (roots[i] &&
            (try_place(roots[i], folder, name, path) || try_place(roots[i], "", name, path)))
            return FANIN_OK;
    return fanin_err_set(
        err, FANIN_NOTFOUND,
        "%s: no %s (nor .gz, .xz) in %s/%s, data/%s or %s/%s; put it into one of these, or set "
        "FANIN_DATA",
        folder, name, env && *env ? env : "$FANIN_DATA", folder, folder, user, folder);
}

fanin_status fanin__data_find_in(const char *folder, const char *name, char **path,
                                 fanin_err *err) {
    *path = NULL;
    size_t n = strlen(folder);
    while (n > 1 && folder[n - 1] == '/') n--;
    char *root = fanin__strndup(folder, n);
    if (!root) return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", folder);
    bool found = try_place(root, "", name, path);
    fanin_free(root);
    return found
               ? FANIN_OK
               : fanin_err_set(err, FANIN_NOTFOUND, "%s: no %s (nor .gz, .xz) in it", folder, name);
}

/* Output grows by doubling up to the limit, so a small file cannot ask for much. */
typedef struct sink {
    unsigned char *data;
    size_t size, capacity, limit;
} sink;

static fanin_status sink_room(sink *s, const char *path, fanin_err *err) {
    if (s->size < s->capacity) return FANIN_OK;
    if (s->capacity >= s->limit)
        return fanin_err_set(err, FANIN_LIMIT, "%s: unpacks to more than the %zu bytes expected",
                             path, s->limit);
    size_t capacity = s->capacity ? 2 * s->capacity : 1 << 16;
    if (capacity > s->limit) capacity = s->limit;
    unsigned char *data = fanin_realloc(s->data, capacity, 1);
    if (!data) return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
    s->data = data;
    s->capacity = capacity;
    return FANIN_OK;
}

static fanin_status unpack_gzip(const fanin__map *map, sink *s, const char *path, fanin_err *err) {
    z_stream z = {0};
    if (map->size > UINT32_MAX)
        return fanin_err_set(err, FANIN_LIMIT, "%s: larger than 4 GB", path);
    if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK) return FANIN_NOMEM;
    z.next_in = (Bytef *)(uintptr_t)map->data;
    z.avail_in = (uInt)map->size;
    fanin_status status = FANIN_OK;
    int code = Z_OK;
    while (status == FANIN_OK && code != Z_STREAM_END) {
        status = sink_room(s, path, err);
        if (status != FANIN_OK) break;
        size_t room = s->capacity - s->size;
        z.next_out = s->data + s->size;
        z.avail_out = (uInt)(room < (1u << 30) ? room : 1u << 30);
        uInt before = z.avail_out;
        code = inflate(&z, Z_NO_FLUSH);
        s->size += before - z.avail_out;
        if (code != Z_OK && code != Z_STREAM_END)
            status = fanin_err_set(err, FANIN_FORMAT,
                                   "%s: broken or truncated gzip data behind byte %lu", path,
                                   z.total_in);
    }
    inflateEnd(&z);
    return status;
}

static fanin_status unpack_xz(const fanin__map *map, sink *s, const char *path, fanin_err *err) {
    lzma_stream z = LZMA_STREAM_INIT;
    if (lzma_stream_decoder(&z, (uint64_t)256 << 20, 0) != LZMA_OK) return FANIN_NOMEM;
    z.next_in = map->data;
    z.avail_in = map->size;
    fanin_status status = FANIN_OK;
    lzma_ret code = LZMA_OK;
    while (status == FANIN_OK && code != LZMA_STREAM_END) {
        status = sink_room(s, path, err);
        if (status != FANIN_OK) break;
        z.next_out = s->data + s->size;
        z.avail_out = s->capacity - s->size;
        code = lzma_code(&z, LZMA_FINISH);
        s->size = s->capacity - z.avail_out;
        if (code != LZMA_OK && code != LZMA_STREAM_END)
            status =
                fanin_err_set(err, FANIN_FORMAT, "%s: broken or truncated xz data behind byte %llu",
                              path, (unsigned long long)z.total_in);
    }
    lzma_end(&z);
    return status;
}

fanin_status fanin__data_read(const char *path, size_t limit, unsigned char **bytes, size_t *size,
                              fanin_err *err) {
    *bytes = NULL;
    fanin__map map;
    FANIN_TRY(fanin__map_open(path, &map, err));
    sink s = {.limit = limit};
    if (map.size < (SIZE_MAX >> 12) && s.limit > map.size * 1100 + (1 << 20))
        s.limit = map.size * 1100 + (1 << 20);
    fanin_status status;
    if (map.size >= 2 && map.data[0] == 0x1f && map.data[1] == 0x8b) {
        status = unpack_gzip(&map, &s, path, err);
    } else if (map.size >= 6 && !memcmp(map.data,
                                        "\xfd"
                                        "7zXZ",
                                        6)) {
        status = unpack_xz(&map, &s, path, err);
    } else if (map.size > limit) {
        status = fanin_err_set(err, FANIN_LIMIT, "%s: %zu bytes, expected at most %zu", path,
                               map.size, limit);
    } else {
        status = (s.data = fanin_malloc(map.size))
                     ? FANIN_OK
                     : fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
        if (s.data) memcpy(s.data, map.data, s.size = map.size);
    }
    fanin__map_close(&map);
    if (status != FANIN_OK) {
        fanin_free(s.data);
        return status;
    }
    *bytes = s.data;
    *size = s.size;
    return FANIN_OK;
}
