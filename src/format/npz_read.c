/* npz_read.c - a zip archive of .npy members. Stored members stay in the map (at odd offsets), deflated ones
 * are inflated into the bag's arena, no further than their header's shape and the bag's budget allow. */
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include <unzip.h>

#include "format/npy.h"
#include "format/weights.h"
#include "format/zip_memory.h"

enum { MAX_NAME = 4096, MAX_SIZE = 1 << 30 };

typedef struct archive {
    fanin_weights *w;
    fanin__zip_source source;
    unzFile zip;
    const char *file;
    char name[MAX_NAME]; /* of the member, without .npy */
    char where[MAX_NAME + 512];
    unz_file_info64 info;
    fanin_err *err;
} archive;

static fanin_status damaged(archive *z, const char *why) {
    return fanin_err_set(z->err, FANIN_FORMAT, "%s: %s", z->where, why);
}

/* Makes an array of the member whose bytes are at `payload`; copied if they must be put in order. */
static fanin_status add(archive *z, const fanin__npy *npy, const void *payload) {
    fanin_array a = {.name = z->name,
                     .dtype = npy->dtype,
                     .rank = npy->rank,
                     .data = payload,
                     .size = npy->size};
    memcpy(a.dims, npy->dims, sizeof a.dims);
    if (npy->swapped || npy->fortran) {
        void *copy = fanin__arena_take(&z->w->arena, npy->size);
        if (!copy) return fanin__weights_nomem(z->w, z->where, z->err);
        fanin__npy_reorder(npy, payload, copy);
        a.data = copy;
    }
    return fanin__weights_add(z->w, &a, z->file, z->err);
}

static uLong crc_of(const unsigned char *p, size_t n) {
    uLong crc = crc32(0, NULL, 0);
    for (size_t part; n > 0; p += part, n -= part) {
        part = n < MAX_SIZE ? n : MAX_SIZE;
        crc = crc32(crc, p, (uInt)part);
    }
    return crc;
}

static fanin_status read_stored(archive *z) {
    uint64_t at = unzGetCurrentFileZStreamPos64(z->zip), size = z->info.uncompressed_size;
    if (size != z->info.compressed_size || at > z->source.size || size > z->source.size - at)
        return damaged(z, "runs past the end of the archive");
    const unsigned char *p = z->source.data + at;
    if (crc_of(p, (size_t)size) != z->info.crc) return damaged(z, "its checksum does not match");
    fanin__npy npy;
    FANIN_TRY(fanin__npy_header(p, (size_t)size, z->where, &npy, z->err));
    if (size - npy.header_size != npy.size)
        return damaged(z, "has another size than its shape wants");
    return add(z, &npy, p + npy.header_size);
}

/* Reads exactly n bytes of the inflated stream. */
static bool inflate_exactly(archive *z, unsigned char *out, size_t n) {
    while (n > 0) {
        int got = unzReadCurrentFile(z->zip, out, n < MAX_SIZE ? (unsigned)n : MAX_SIZE);
        if (got <= 0) return false;
        out += got;
        n -= (size_t)got;
    }
    return true;
}

/* The header's length stands in its first bytes, so that much is read and no more. */
static fanin_status inflate_header(archive *z, fanin__npy *npy) {
    unsigned char head[FANIN__NPY_PREFIX + FANIN__NPY_MAX_HEADER];
    if (!inflate_exactly(z, head, 10)) return damaged(z, "cannot be inflated");
    size_t prefix = head[6] == 1 ? 10 : 12;
    if (!inflate_exactly(z, head + 10, prefix - 10)) return damaged(z, "cannot be inflated");
    size_t n = (size_t)head[8] | (size_t)head[9] << 8;
    if (prefix == 12) n |= (size_t)head[10] << 16 | (size_t)head[11] << 24;
    if (n > FANIN__NPY_MAX_HEADER || memcmp(head, "\x93NUMPY", 6) != 0)
        return fanin__npy_header(head, prefix, z->where, npy, z->err);
    if (!inflate_exactly(z, head + prefix, n)) return damaged(z, "cannot be inflated");
    return fanin__npy_header(head, prefix + n, z->where, npy, z->err);
}

static fanin_status read_deflated(archive *z) {
    fanin__npy npy;
    FANIN_TRY(inflate_header(z, &npy));
    if (z->info.uncompressed_size - npy.header_size != npy.size)
        return damaged(z, "has another size than its shape wants");
    unsigned char *payload = fanin__arena_take(&z->w->arena, npy.size);
    if (!payload) return fanin__weights_nomem(z->w, z->where, z->err);
    unsigned char more;
    if (!inflate_exactly(z, payload, npy.size)) return damaged(z, "cannot be inflated");
    if (unzReadCurrentFile(z->zip, &more, 1) != 0) return damaged(z, "is longer than it says");
    return add(z, &npy, payload);
}

static fanin_status read_member(archive *z) {
    if (unzGetCurrentFileInfo64(z->zip, &z->info, z->name, MAX_NAME - 1, NULL, 0, NULL, 0) !=
        UNZ_OK)
        return damaged(z, "the archive's directory is damaged");
    size_t n = z->info.size_filename;
    if (n >= MAX_NAME - 1) return damaged(z, "a member's name is longer than 4094 bytes");
    z->name[n] = '\0';
    if (strlen(z->name) != n) return damaged(z, "a member's name holds a NUL byte");
    snprintf(z->where, sizeof z->where, "%.500s: member '%s'", z->file, z->name);
    if (strstr(z->name, "data.pkl"))
        return fanin_err_set(
            z->err, FANIN_UNSUPPORTED,
            "%s: is a torch checkpoint; load it in torch and save it with safetensors", z->file);
    if (n < 4 || strcmp(z->name + n - 4, ".npy") != 0) return damaged(z, "is not a .npy array");
    z->name[n - 4] = '\0';
    if (z->info.flag & 1) return damaged(z, "is encrypted");
    if (unzOpenCurrentFile(z->zip) != UNZ_OK)
        return damaged(z, "cannot be opened (damaged, or an unknown compression)");
    fanin_status status = z->info.compression_method == 0 ? read_stored(z) : read_deflated(z);
    int closed = unzCloseCurrentFile(z->zip); /* here the checksum of inflated data is compared */
    if (status == FANIN_OK && closed == UNZ_CRCERROR && z->info.compression_method != 0)
        return damaged(z, "its checksum does not match");
    return status;
}

/* The end record is there in full, with its comment: minizip takes one that is cut off for empty. */
static bool has_end_record(const unsigned char *p, size_t size) {
    for (size_t back = 22; back <= size && back <= 22 + UINT16_MAX; back++) {
        const unsigned char *r = p + size - back;
        if (!memcmp(r, "PK\5\6", 4) && back == 22 + ((size_t)r[20] | (size_t)r[21] << 8))
            return true;
    }
    return false;
}

fanin_status fanin__npz_parse(fanin_weights *w, const void *data, size_t size, const char *file,
                              fanin_err *err) {
    if (size == 22 && has_end_record(data, size)) return FANIN_OK; /* empty; minizip finds none */
    archive *z = fanin_calloc(1, sizeof *z);
    if (!z) return fanin__weights_nomem(w, file, err);
    z->w = w;
    z->source = (fanin__zip_source){.data = data, .size = size};
    z->file = file;
    z->err = err;
    snprintf(z->where, sizeof z->where, "%.500s", file);
    zlib_filefunc64_def functions = fanin__zip_reader(&z->source);
    fanin_status status = FANIN_OK;
    if (has_end_record(data, size)) z->zip = unzOpen2_64(file, &functions);
    if (!z->zip) {
        status = damaged(z, "is not a whole zip archive");
    } else {
        unz_global_info64 global = {0};
        unzGetGlobalInfo64(z->zip, &global);
        int step = global.number_entry ? unzGoToFirstFile(z->zip) : UNZ_END_OF_LIST_OF_FILE;
        for (; step == UNZ_OK && status == FANIN_OK; step = unzGoToNextFile(z->zip))
            status = read_member(z);
        if (status == FANIN_OK && step != UNZ_END_OF_LIST_OF_FILE)
            status = damaged(z, "the archive's directory is damaged");
        unzClose(z->zip);
    }
    fanin_free(z);
    return status;
}
