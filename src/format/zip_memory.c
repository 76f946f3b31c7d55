#include <string.h>
#include <unistd.h>

#include "format/zip_memory.h"

static voidpf open_any(voidpf opaque, const void *path, int mode) {
    (void)path;
    (void)mode;
    return opaque;
}

static int close_nothing(voidpf opaque, voidpf stream) {
    (void)opaque;
    (void)stream;
    return 0;
}

static uLong read_source(voidpf opaque, voidpf stream, void *buf, uLong size) {
    (void)stream;
    fanin__zip_source *s = opaque;
    size_t left = s->size - s->at, n = size < left ? size : left;
    memcpy(buf, s->data + s->at, n);
    s->at += n;
    return (uLong)n;
}

static uLong write_nothing(voidpf opaque, voidpf stream, const void *buf, uLong size) {
    (void)opaque;
    (void)stream;
    (void)buf;
    (void)size;
    return 0;
}

static ZPOS64_T tell_source(voidpf opaque, voidpf stream) {
    (void)stream;
    return ((fanin__zip_source *)opaque)->at;
}

static long seek_source(voidpf opaque, voidpf stream, ZPOS64_T offset, int origin) {
    (void)stream;
    fanin__zip_source *s = opaque;
    uint64_t base = origin == ZLIB_FILEFUNC_SEEK_CUR   ? s->at
                    : origin == ZLIB_FILEFUNC_SEEK_END ? s->size
                                                       : 0;
    uint64_t to;
    if (__builtin_add_overflow(base, (uint64_t)offset, &to) || to > s->size) return -1;
    s->at = (size_t)to;
    return 0;
}

static int no_error(voidpf opaque, voidpf stream) {
    (void)opaque;
    (void)stream;
    return 0;
}

zlib_filefunc64_def fanin__zip_reader(fanin__zip_source *source) {
    return (zlib_filefunc64_def){.zopen64_file = open_any,
                                 .zread_file = read_source,
                                 .zwrite_file = write_nothing,
                                 .ztell64_file = tell_source,
                                 .zseek64_file = seek_source,
                                 .zclose_file = close_nothing,
                                 .zerror_file = no_error,
                                 .opaque = source};
}

static uLong write_file(voidpf opaque, voidpf stream, const void *buf, uLong size) {
    (void)stream;
    return fanin__outfile_write(opaque, buf, size, NULL) == FANIN_OK ? size : 0;
}

static uLong read_nothing(voidpf opaque, voidpf stream, void *buf, uLong size) {
    (void)opaque;
    (void)stream;
    (void)buf;
    (void)size;
    return 0;
}

static ZPOS64_T tell_file(voidpf opaque, voidpf stream) {
    (void)stream;
    return (ZPOS64_T)lseek(((fanin__outfile *)opaque)->fd, 0, SEEK_CUR);
}

static long seek_file(voidpf opaque, voidpf stream, ZPOS64_T offset, int origin) {
    (void)stream;
    int whence = origin == ZLIB_FILEFUNC_SEEK_CUR   ? SEEK_CUR
                 : origin == ZLIB_FILEFUNC_SEEK_END ? SEEK_END
                                                    : SEEK_SET;
    return lseek(((fanin__outfile *)opaque)->fd, (off_t)offset, whence) < 0 ? -1 : 0;
}

zlib_filefunc64_def fanin__zip_writer(fanin__outfile *file) {
    return (zlib_filefunc64_def){.zopen64_file = open_any,
                                 .zread_file = read_nothing,
                                 .zwrite_file = write_file,
                                 .ztell64_file = tell_file,
                                 .zseek64_file = seek_file,
                                 .zclose_file = close_nothing,
                                 .zerror_file = no_error,
                                 .opaque = file};
}
