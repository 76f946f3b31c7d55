/* format.h - readers over memory, for the functions that open files and for fuzzing. */
#ifndef FANIN_SRC_FORMAT_H
#define FANIN_SRC_FORMAT_H

#include "base/base.h"
#include "fanin/format.h"
#include "graph/graph.h"

/* Most memory that a reader takes for a file of `size` bytes, the map not counted. */
size_t fanin__format_budget(size_t size);
/* The dtype with this TensorProto.DataType, or NONE; and back (0: it has none). */
fanin_dtype fanin__onnx_dtype(int64_t code);
int fanin__onnx_dtype_code(fanin_dtype dtype);

/* An ONNX model in memory, which must outlive the graph. `folder` is where external data lies; NULL:
 * external data counts as absent. `name` begins every message. */
fanin_status fanin__onnx_parse(const void *data, size_t size, const char *name, const char *folder,
                               fanin_graph **graph, fanin_err *err);

/* fanin_graph_save_onnx with another limit for what stays inside one file. */
fanin_status fanin__onnx_save(const fanin_graph *graph, const fanin_array *arrays, int count,
                              const char *path, uint64_t inside_limit, fanin_err *err);

/* Payloads that are made while they are written, so that no model need fit in memory: `put` writes all bytes of
 * arrays[i], whose data is NULL, to the file. */
typedef struct fanin__onnx_maker {
    fanin_status (*put)(void *ctx, int i, fanin__outfile *file, fanin_err *err);
    void *ctx;
} fanin__onnx_maker;
fanin_status fanin__onnx_save_made(const fanin_graph *graph, const fanin_array *arrays, int count,
                                   const char *path, const fanin__onnx_maker *maker,
                                   fanin_err *err);

#endif
