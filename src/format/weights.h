/* weights.h - a bag of tensors while it is filled. */
#ifndef FANIN_SRC_WEIGHTS_H
#define FANIN_SRC_WEIGHTS_H

#include "fanin/format.h"
#include "format/format.h"
#include "format/names.h"

struct fanin_weights {
    fanin__arena arena;
    fanin_array *arrays;
    int count, capacity;
    fanin__names names;
    const char **metadata; /* key, value, key, value ... */
    int metadata_count, metadata_capacity;
    int metadata_before; /* entries of the shards read before this one: they may repeat */
    fanin__names metadata_names;
    fanin__map *maps;
    size_t map_count;
    fanin_graph *graph; /* of an ONNX file; owns what arrays point at */
    size_t inflated;    /* bytes that were decompressed, bounded by the file's size */
};

/* NULL: no memory. Arena pieces beyond `budget` bytes are refused. */
fanin_weights *fanin__weights_create(size_t budget);
/* Copies the struct and its name. `file` begins messages. FORMAT if the name is there already. */
fanin_status fanin__weights_add(fanin_weights *w, const fanin_array *array, const char *file,
                                fanin_err *err);
fanin_status fanin__weights_add_metadata(fanin_weights *w, const char *key, const char *value,
                                         const char *file, fanin_err *err);
fanin_status fanin__weights_nomem(const fanin_weights *w, const char *file, fanin_err *err);

/* Readers over memory that outlives the bag; they append to it. `file` begins messages. */
fanin_status fanin__safetensors_parse(fanin_weights *w, const void *data, size_t size,
                                      const char *file, fanin_err *err);
fanin_status fanin__npy_parse(fanin_weights *w, const void *data, size_t size, const char *file,
                              fanin_err *err);
fanin_status fanin__npz_parse(fanin_weights *w, const void *data, size_t size, const char *file,
                              fanin_err *err);
/* weight_map of an index: calls visit(ctx, tensor, file name) for each entry, file names checked to be
 * plain names. */
fanin_status fanin__index_parse(const void *data, size_t size, const char *file,
                                fanin_status (*visit)(void *ctx, const char *tensor,
                                                      const char *shard, fanin_err *err),
                                void *ctx, fanin_err *err);

#endif
