/* dataset.h - the inside of a data set, for the files of this room. */
#ifndef FANIN_SRC_DATASET_H
#define FANIN_SRC_DATASET_H

#include "base/base.h"
#include "fanin/data.h"

typedef struct fanin__prepared fanin__prepared;

struct fanin_dataset {
    fanin_dataset_info info;
    char *name;
    void *state;
    /* One sample; `target` is an int64_t or target_count floats. Thread-safe. */
    fanin_status (*sample)(const fanin_dataset *d, fanin_split split, uint64_t index, float *x,
                           void *target);
    void (*close)(void *state);
    uint64_t
        cut;   /* rows in all of the training split, the last places of whose fixed shuffle are the
                     test split; 0: not so */
    bool both; /* both splits are the rows of the training split */
    char split[96], preprocessing[128]; /* of info */
    fanin__prepared *prepared;          /* what samples go through (prepare.h), or NULL; then */
    size_t raw_size;                    /* numbers of a sample before it */
};

/* "key=value" pairs behind the first ':' of a data set's text. */
typedef struct fanin__data_options {
    const char *name; /* of the row */
    const char *text; /* "bits=3,noise=0.1" or "" */
    uint64_t seed;
} fanin__data_options;

/* Both splits from the n rows of the training split: that share of them, rounded, for testing, or (0) all of
 * them. ARG: none left. `what` begins messages. */
fanin_status fanin__data_cut(fanin_dataset *d, uint64_t n, const char *what, double test,
                             fanin_err *err);

/* The number given for `key`, or `otherwise`. */
double fanin__data_option(const fanin__data_options *o, const char *key, double otherwise);

/* Rows open themselves: fill info, state, sample and close. */
typedef fanin_status fanin__data_open(const fanin__data_options *o, fanin_dataset *d,
                                      fanin_err *err);
fanin__data_open fanin__data_mnist, fanin__data_fashion, fanin__data_cifar10, fanin__data_cifar100,
    fanin__data_shapeset, fanin__data_xor, fanin__data_spirals, fanin__data_blobs,
    fanin__data_teacher;

/* ---- sets behind a path --------------------------------------------------------------------------- */

/* "x.npy,t.npy" or two IDX files: one row a sample. `test`: share of rows held back for the test split; 0: both
 * splits are the same rows, since whoever hands over arrays has split them. */
fanin_status fanin__data_arrays(const char *inputs, const char *targets, double test,
                                fanin_dataset *d, fanin_err *err);
fanin_status fanin__data_npz(const char *path, double test, fanin_dataset *d, fanin_err *err);
/* "...images..." beside "...labels..." (idx3 beside idx1). */
fanin_status fanin__data_idx(const char *path, double test, fanin_dataset *d, fanin_err *err);
/* A file of records, or a folder of data_batch_1.bin ... test_batch.bin (CIFAR-10) or train.bin and test.bin
 * (CIFAR-100; its twenty coarse classes instead of the hundred). `test`: of a single file. */
fanin_status fanin__data_cifar(const char *path, bool coarse, double test, fanin_dataset *d,
                               fanin_err *err);
bool fanin__data_cifar_is(const char *folder);
fanin_status fanin__data_text(const char *path, size_t length, double test, fanin_dataset *d,
                              fanin_err *err);
typedef struct fanin__png_options {
    bool grey;
    size_t width, height; /* 0: of the first image */
    double test;
} fanin__png_options;
fanin_status fanin__data_png(const char *path, const fanin__png_options *o, fanin_dataset *d,
                             fanin_err *err);
/* A text that names a file or a folder (paths.c): opens it. *is false: it does not, nothing was done. */
fanin_dataset_row fanin__data_path_row(int i); /* of the list; all NULL behind the last */
fanin_status fanin__data_path(const char *text, fanin_dataset *d, bool *is, fanin_err *err);

/* ---- files ------------------------------------------------------------------------------------- */

/* Finds `name` (plain, .gz or .xz) in `folder` under each place that is searched; *path is a new
 * string. NOTFOUND: the message names file and places. */
fanin_status fanin__data_find(const char *folder, const char *name, char **path, fanin_err *err);
/* The same in one folder. */
fanin_status fanin__data_find_in(const char *folder, const char *name, char **path, fanin_err *err);
/* Bytes of a data file unpacked, and of a folder of images. */
#define FANIN__DATA_LIMIT ((size_t)4 << 30)
/* The whole file, decompressed by its magic, at most `limit` bytes and 1100 times its size and a megabyte, gzip's
 * greatest ratio (LIMIT beyond): a small file cannot ask for much. */
fanin_status fanin__data_read(const char *path, size_t limit, unsigned char **bytes, size_t *size,
                              fanin_err *err);

/* ---- random numbers of generators -------------------------------------------------------------- */

#include "fanin/random.h"

/* Draws of one sample, addressed: word k of sample i is word 4096 i + k of the stream. */
typedef struct fanin__draws {
    const fanin_stream *stream;
    uint64_t next;
    uint32_t words[16];
    unsigned left;
} fanin__draws;

fanin__draws fanin__draws_of(const fanin_stream *stream, uint64_t sample);
/* Uniform on [0, 1), 32 bits. */
double fanin__draw_unit(fanin__draws *d);
/* Uniform on 0 .. n-1 by multiplication (bias below n / 2^32). */
uint32_t fanin__draw_below(fanin__draws *d, uint32_t n);
/* Standard normal (Box-Muller: data, not weights). */
double fanin__draw_normal(fanin__draws *d);

#endif
