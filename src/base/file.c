/* file.c - files in: mapped, never trusted; files out: written aside, renamed when whole. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"

static fanin_status map_fd(int fd, const char *name, fanin__map *map, fanin_err *err) {
    struct stat st;
    if (fstat(fd, &st) != 0) return fanin_err_set(err, FANIN_IO, "%s: %s", name, strerror(errno));
    if (!S_ISREG(st.st_mode)) return fanin_err_set(err, FANIN_IO, "%s: not a regular file", name);
    map->size = (size_t)st.st_size;
    if (map->size == 0) {
        map->data = (const unsigned char *)"";
        return FANIN_OK;
    }
    void *base = mmap(NULL, map->size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (base == MAP_FAILED) {
        map->size = 0;
        return fanin_err_set(err, errno == ENOMEM ? FANIN_NOMEM : FANIN_IO, "%s: cannot map: %s",
                             name, strerror(errno));
    }
    map->base = base;
    map->data = base;
    return FANIN_OK;
}

fanin_status fanin__map_open(const char *path, fanin__map *map, fanin_err *err) {
    *map = (fanin__map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fanin_err_set(err, errno == ENOENT ? FANIN_NOTFOUND : FANIN_IO, "%s: %s", path,
                             strerror(errno));
    fanin_status status = map_fd(fd, path, map, err);
    close(fd);
    return status;
}

/* Walks the components by hand where the kernel has no openat2. */
static int open_beneath_by_hand(int dir, const char *name) {
    char part[NAME_MAX + 1];
    int at = dup(dir);
    while (at >= 0) {
        size_t n = strcspn(name, "/");
        bool last = name[n] == '\0';
        if (n == 0 || n > NAME_MAX || (n == 2 && name[0] == '.' && name[1] == '.')) {
            close(at);
            errno = EXDEV;
            return -1;
        }
        memcpy(part, name, n);
        part[n] = '\0';
        int next = openat(
            at, part, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | (last ? 0 : O_DIRECTORY));
        close(at);
        if (next < 0 || last) return next;
        at = next;
        name += n + 1;
    }
    return -1;
}

fanin_status fanin__map_open_beneath(const char *dir, const char *name, fanin__map *map,
                                     fanin_err *err) {
    *map = (fanin__map){0};
    int root = open(dir[0] ? dir : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) return fanin_err_set(err, FANIN_IO, "%s: %s", dir, strerror(errno));
    struct open_how how = {
        .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK, /* a FIFO would block */
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    int fd = (int)syscall(SYS_openat2, root, name, &how, sizeof how);
    if (fd < 0 && (errno == ENOSYS || errno == EPERM)) fd = open_beneath_by_hand(root, name);
    int reason = errno;
    close(root);
    if (fd < 0) {
        if (reason == EXDEV || reason == ELOOP)
            return fanin_err_set(
                err, FANIN_FORMAT,
                "%s: points outside the folder of the model or through a symbolic link", name);
        return fanin_err_set(err, reason == ENOENT ? FANIN_NOTFOUND : FANIN_IO, "%s: %s", name,
                             strerror(reason));
    }
    fanin_status status = map_fd(fd, name, map, err);
    close(fd);
    return status;
}

void fanin__map_close(fanin__map *map) {
    if (map->base) munmap(map->base, map->size);
    *map = (fanin__map){0};
}

static fanin_status write_error(fanin_err *err, const char *path, int reason) {
    return fanin_err_set(err, FANIN_IO, "%s: cannot write: %s", path, strerror(reason));
}

fanin_status fanin__outfile_open(const char *path, fanin__outfile *file, fanin_err *err) {
    *file = (fanin__outfile){.fd = -1};
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return fanin_err_set(err, FANIN_IO, "%s: is a folder, expected a file name", path);
    fanin__text temp = {0};
    const char *slash = strrchr(path, '/');
    int dir_length = slash ? (int)(slash - path + 1) : 0;
    fanin__text_printf(&temp, "%.*s.%s.XXXXXX", dir_length, path, path + dir_length);
    file->path = fanin__strdup(path);
    if (temp.failed || !file->path) {
        fanin__text_fini(&temp);
        fanin_free(file->path);
        file->path = NULL;
        return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
    }
    file->temp = temp.data;
    file->fd = mkostemp(file->temp, O_CLOEXEC);
    if (file->fd < 0) {
        fanin_status status = write_error(err, path, errno);
        fanin_free(file->temp);
        fanin_free(file->path);
        *file = (fanin__outfile){.fd = -1};
        return status;
    }
    mode_t mask = umask(0);
    umask(mask);
    (void)fchmod(file->fd, 0666 & ~mask);
    return FANIN_OK;
}

fanin_status fanin__outfile_write(fanin__outfile *file, const void *data, size_t size,
                                  fanin_err *err) {
    const unsigned char *p = data;
    while (size > 0) {
        ssize_t n = write(file->fd, p, size < (1u << 30) ? size : (1u << 30));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return write_error(err, file->path, n < 0 ? errno : EIO);
        p += n;
        size -= (size_t)n;
        file->written += (uint64_t)n;
    }
    return FANIN_OK;
}

static void outfile_fini(fanin__outfile *file) {
    fanin_free(file->temp);
    fanin_free(file->path);
    *file = (fanin__outfile){.fd = -1};
}

fanin_status fanin__outfile_commit(fanin__outfile *file, fanin_err *err) {
    fanin_status status = FANIN_OK;
    /* fsync is EINVAL on pipes and some pseudo filesystems; those need none. */
    if (fsync(file->fd) != 0 && errno != EINVAL && errno != EROFS)
        status = write_error(err, file->path, errno);
    if (close(file->fd) != 0 && status == FANIN_OK) status = write_error(err, file->path, errno);
    if (status == FANIN_OK && rename(file->temp, file->path) != 0)
        status = write_error(err, file->path, errno);
    if (status != FANIN_OK) unlink(file->temp);
    outfile_fini(file);
    return status;
}

void fanin__outfile_abort(fanin__outfile *file) {
    if (file->fd < 0) return;
    close(file->fd);
    unlink(file->temp);
    outfile_fini(file);
}

fanin_status fanin__file_write(const char *path, const void *data, size_t size, fanin_err *err) {
    fanin__outfile file;
    FANIN_TRY(fanin__outfile_open(path, &file, err));
    fanin_status status = fanin__outfile_write(&file, data, size, err);
    if (status != FANIN_OK) {
        fanin__outfile_abort(&file);
        return status;
    }
    return fanin__outfile_commit(&file, err);
}

fanin_status fanin_directory_create(const char *path, fanin_err *err) {
    char *copy = fanin__strdup(path);
    if (!copy) return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
    fanin_status status = FANIN_OK;
    for (char *p = copy + 1;; p++) {
        if (*p != '/' && *p != '\0') continue;
        char end = *p;
        *p = '\0';
        if (mkdir(copy, 0777) != 0 && errno != EEXIST) {
            status =
                fanin_err_set(err, FANIN_IO, "%s: cannot create folder: %s", copy, strerror(errno));
            break;
        }
        *p = end;
        if (!end) break;
    }
    struct stat st;
    if (status == FANIN_OK && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)))
        status = fanin_err_set(err, FANIN_IO, "%s: exists and is not a folder", path);
    fanin_free(copy);
    return status;
}

double fanin__seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
