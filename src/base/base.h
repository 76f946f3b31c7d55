/* base.h - helpers shared by all rooms, never exported: checked sizes, text, files. */
#ifndef FANIN_SRC_BASE_H
#define FANIN_SRC_BASE_H

#include "fanin/base.h"

/* Forwards a failing status. Use only where nothing has to be released. */
#define FANIN_TRY(call) \
    do { \
        fanin_status try_status_ = (call); \
        if (try_status_ != FANIN_OK) return try_status_; \
    } while (0)

#define FANIN_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* *out = a * b, a + b; false if that overflows. */
bool fanin__size_mul(size_t a, size_t b, size_t *out);
bool fanin__size_add(size_t a, size_t b, size_t *out);
/* Product of dims (1 for rank 0) as a size; false if a dim is negative or it overflows. */
bool fanin__shape_count(const int64_t *dims, int rank, size_t *count);
/* "64x3x7x7" ("scalar" for rank 0, "?" for a negative dim) into buf; returns buf. */
const char *fanin__shape_text(const int64_t *dims, int rank, char *buf, size_t size);

char *fanin__strdup(const char *s); /* fanin_free; NULL: no memory */
char *fanin__strndup(const char *s, size_t n);
/* ASCII case-insensitive, independent of the locale. */
int fanin__strcasecmp(const char *a, const char *b);
/* Whether s, or its first n characters, end in `ending`; upper and lower case are the same, so that MODEL.ONNX
 * is what model.onnx is. */
bool fanin__ends_with(const char *s, const char *ending);
bool fanin__ends_within(const char *s, size_t n, const char *ending);
/* Glob over the whole of `text`: * any run (dots and slashes included), ? one, [a-z] sets.
 * Linear memory, no recursion. */
bool fanin__glob(const char *pattern, const char *text);
/* strtod/strtoull without the locale; *end as theirs. Hex floats are not accepted. */
double fanin__parse_double(const char *s, const char **end);
bool fanin__parse_u64(const char *s, const char **end, uint64_t *out);
/* Deterministic number text: shortest that reads back to the same double (%.17g at most);
 * "null" for NaN and infinity. buf of 32 bytes suffices. */
const char *fanin__number_text(double value, char buf[32]);

/* ---- "key=value,..." ------------------------------------------------------------------- */

/* A number that a text sets by name: at `offset` of a struct lies a double. */
typedef struct fanin__option {
    const char *name;
    double low, high;
    size_t offset;
    bool whole; /* no fractions */
} fanin__option;

#define FANIN__OPTION(type, id, low, high) \
    { #id, low, high, offsetof(type, id), false }

/* The options of "NAME:options", whose name has n characters; "" without a ':'. ARG where nothing follows
 * the ':'. */
fanin_status fanin__options_of(const char *text, size_t n, const char **options, fanin_err *err);

/* Reads "lr=0.1,mu=0.9" ("" sets nothing) into the struct at `out`. `takes` lists the names allowed with
 * their defaults, "lr=0.01,mu=0.9"; others of the table are refused. ARG, the message beginning with
 * `what` ("optimizer sgd") and naming piece and range. */
fanin_status fanin__options_parse(const char *what, const char *takes, const char *text,
                                  const fanin__option *table, size_t count, void *out,
                                  fanin_err *err);

/* ---- growing text ---------------------------------------------------------------------- */

/* Zero-initialise. After a failure (no memory, or longer than `max`) `failed` stays set and
 * later appends do nothing, so a caller checks once at the end. */
typedef struct fanin__text {
    char *data; /* NUL-terminated; NULL while empty */
    size_t length, capacity;
    size_t max; /* 0: 1 GiB */
    bool failed;
} fanin__text;

void fanin__text_append(fanin__text *t, const char *s, size_t n);
void fanin__text_puts(fanin__text *t, const char *s);
void fanin__text_printf(fanin__text *t, const char *format, ...) FANIN_PRINTF(2, 3);
void fanin__text_vprintf(fanin__text *t, const char *format, va_list args);
void fanin__text_fini(fanin__text *t);

/* ---- files ----------------------------------------------------------------------------- */

/* A file read through a private map. Empty files map to size 0 and data != NULL. */
typedef struct fanin__map {
    const unsigned char *data;
    size_t size;
    void *base; /* what munmap wants; NULL for an empty file */
} fanin__map;

fanin_status fanin__map_open(const char *path, fanin__map *map, fanin_err *err);
/* A file below directory `dir` named by a stranger: no "..", no absolute path, no symbolic
 * link on the way. */
fanin_status fanin__map_open_beneath(const char *dir, const char *name, fanin__map *map,
                                     fanin_err *err);
void fanin__map_close(fanin__map *map);

/* A file written aside (in the same folder) and renamed on commit. Exactly one of _commit and
 * _abort ends it; _commit flushes to disk, and on failure removes what it wrote. */
typedef struct fanin__outfile {
    int fd;
    char *path, *temp;
    uint64_t written;
} fanin__outfile;

fanin_status fanin__outfile_open(const char *path, fanin__outfile *file, fanin_err *err);
fanin_status fanin__outfile_write(fanin__outfile *file, const void *data, size_t size,
                                  fanin_err *err);
fanin_status fanin__outfile_commit(fanin__outfile *file, fanin_err *err);
void fanin__outfile_abort(fanin__outfile *file);
/* Whole small file at once, aside and renamed. */
fanin_status fanin__file_write(const char *path, const void *data, size_t size, fanin_err *err);

/* Seconds of a monotonic clock. */
double fanin__seconds(void);

#endif
