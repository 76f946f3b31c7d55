/* fanin/data.h - data sets: read from files, or generated.
 *
 * A data set is two splits of samples with an address: sample i of a split is the same numbers whenever
 * it is asked for. Generators make it from (seed, split, i) and never end.
 *
 *     fanin_dataset *d;
 *     fanin_dataset_open("shapeset", 0, &d, &err);
 *     const fanin_dataset_info *info = fanin_dataset_get_info(d);
 *     fanin_dataset_samples(d, FANIN_TRAIN, (uint64_t[]){0, 1, 2}, 3, x, labels, &err);
 */
#ifndef FANIN_DATA_H
#define FANIN_DATA_H

#include <fanin/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fanin_split { FANIN_TRAIN, FANIN_TEST } fanin_split;

typedef struct fanin_dataset fanin_dataset;

typedef struct fanin_dataset_info {
    const char *name;
    int rank; /* of one sample */
    int64_t dims[FANIN_MAX_RANK];
    int classes;                      /* 0: real-valued targets */
    int64_t target_count;             /* real numbers, or labels, of one sample */
    uint64_t train_count, test_count; /* 0: a generator without end */
    const char *about;
    const char *split;         /* how train and test came apart, for the record */
    const char *preprocessing; /* "none", or what inputs went through and what it was learnt from */
} fanin_dataset_info;

/* "mnist", "fashion-mnist", "cifar10", "cifar100" (looked for under $FANIN_DATA, ./data,
 * $XDG_DATA_HOME/fanin, plain, .gz or .xz), "shapeset[:neg=0]", "xor[:bits=N]", "spirals[:noise=S]", "blobs", "teacher:IN-HIDDEN-OUT"; or a path, plain,
 * .gz or .xz: "x.npy,t.npy", .npz, "x.csv:label=NAME", .tsv, .idx, "input.txt:length=64", or "folder/" of PNG
 * images; fanin_dataset_at has the grammar of each. Behind any of them "+normalize", "+standardize", "+center",
 * "+pca:keep=K" or "+zca:eps=0.01" prepares the inputs by what the training rows say (normalize: one mean and
 * deviation a channel; pca and zca: decorrelated, LeCun et al. 1998, section 4.3; eps in units of the mean
 * variance). `seed` addresses generators; 0 is a seed like any other.
 * Errors: NOTFOUND names the files looked for and where, ARG options, FORMAT names file and place (a table's
 * line and column), LIMIT what unpacks to more than it may. */
FANIN_API fanin_status fanin_dataset_open(const char *text, uint64_t seed, fanin_dataset **dataset,
                                          fanin_err *err);
FANIN_API void fanin_dataset_close(fanin_dataset *dataset);
FANIN_API const fanin_dataset_info *fanin_dataset_get_info(const fanin_dataset *dataset);

/* n samples into x (n times the product of dims, row-major float) and their targets: n * target_count
 * int64_t class numbers, or as many floats. Thread-safe. ARG: an index past the split's end. */
FANIN_API fanin_status fanin_dataset_samples(const fanin_dataset *dataset, fanin_split split,
                                             const uint64_t *index, size_t n, float *x,
                                             void *targets, fanin_err *err);

/* Numbers of one sample's input. */
FANIN_API size_t fanin_dataset_sample_size(const fanin_dataset_info *info);

/* The first `samples` of a split (all there are, if fewer) into files that fanin_dataset_open reads, by the name:
 * "x.npy,t.npy", "x.idx,t.idx" (floats; labels as int32), "a.npz" (arrays x and y), "a.csv" or "a.tsv" (columns x1,
 * x2, ... and target). Each is written aside and renamed. Errors: ARG a name of no kind, or a number of samples that
 * cannot be; UNSUPPORTED a table of several targets; IO; INTERRUPTED. */
FANIN_API fanin_status fanin_dataset_write(const fanin_dataset *dataset, fanin_split split,
                                           uint64_t samples, const char *path, fanin_err *err);

/* ---- the table ----------------------------------------------------------------------------------- */

typedef struct fanin_dataset_row {
    const char *name, *grammar, *about;
    const char *files; /* "name sha256\n..." of what is looked for, NULL for a generator */
} fanin_dataset_row;
/* Rows 0 ... count - 1, texts static; beyond them all is 0. */
FANIN_API int fanin_dataset_count(void);
FANIN_API fanin_dataset_row fanin_dataset_at(int i);

/* Names of the nine classes of Shapeset-3x2 in label order. */
FANIN_API const char *fanin_shapeset_class(int label);

#ifdef __cplusplus
}
#endif
#endif
