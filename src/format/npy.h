/* npy.h - the header of NumPy's array format, versions 1 to 3. */
#ifndef FANIN_SRC_NPY_H
#define FANIN_SRC_NPY_H

#include "fanin/format.h"
#include "format/format.h"

/* numpy reads no longer headers from strangers either. */
enum { FANIN__NPY_MAX_HEADER = 10000, FANIN__NPY_PREFIX = 12 };

typedef struct fanin__npy {
    fanin_dtype dtype;
    int rank;
    int64_t dims[FANIN_MAX_RANK];
    bool swapped;       /* big-endian */
    bool fortran;       /* column-major, and that makes a difference */
    size_t header_size; /* bytes before the payload */
    size_t size;        /* of the payload */
} fanin__npy;

/* Reads the header at the beginning of `data`, of which `size` bytes are there. */
fanin_status fanin__npy_header(const void *data, size_t size, const char *file, fanin__npy *npy,
                               fanin_err *err);
/* From the file's byte and axis order into ours; `out` has npy->size bytes, apart from `in`. */
void fanin__npy_reorder(const fanin__npy *npy, const void *in, void *out);
/* The header of an array as numpy writes it, version 1. UNSUPPORTED for types that numpy lacks. */
fanin_status fanin__npy_print(const fanin_array *array, const char *file, fanin__text *out,
                              fanin_err *err);

#endif
