/* fanin/format.h - files: networks in, weights in and out.
 *
 * Files come from strangers: every size is checked before memory is taken, nesting is bounded, paths stay
 * inside the model's folder. Outputs are written aside and renamed when whole.
 */
#ifndef FANIN_FORMAT_H
#define FANIN_FORMAT_H

#include <fanin/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- networks ---------------------------------------------------------------------------------- */

/* MODEL as the command line takes it: a path ending in .onnx, a .safetensors or
 * .safetensors.index.json as a template (a graph of initialisers without nodes), or a built-in.
 * Errors: NOTFOUND no such file or built-in, ARG bad options, FORMAT or LIMIT broken file, IO, NOMEM. */
FANIN_API fanin_status fanin_graph_load(const char *model, fanin_graph **graph, fanin_err *err);
/* An ONNX file; absent external data is normal (the model before initialisation). */
FANIN_API fanin_status fanin_graph_load_onnx(const char *path, fanin_graph **graph, fanin_err *err);

/* ---- bags of tensors --------------------------------------------------------------------------- */

typedef struct fanin_array {
    const char *name; /* "" for a lone .npy */
    fanin_dtype dtype;
    int rank;
    int64_t dims[FANIN_MAX_RANK];
    const void *data; /* row-major, little-endian, maybe misaligned; NULL in a template */
    size_t size;      /* bytes */
} fanin_array;

typedef struct fanin_weights fanin_weights;

/* Opens .safetensors, .safetensors.index.json (or a folder that holds one), .npz, .npy or .onnx (its
 * initialisers) by content and extension; payloads are mapped where the format allows it. */
FANIN_API fanin_status fanin_weights_open(const char *path, fanin_weights **weights,
                                          fanin_err *err);
FANIN_API void fanin_weights_close(fanin_weights *weights);
FANIN_API int fanin_weights_count(const fanin_weights *weights);
FANIN_API const fanin_array *fanin_weights_at(const fanin_weights *weights, int i);
FANIN_API const fanin_array *fanin_weights_find(const fanin_weights *weights, const char *name);
/* safetensors' __metadata__ as key, value pairs; NULL past the end. */
FANIN_API const char *fanin_weights_metadata(const fanin_weights *weights, int i,
                                             const char **value);

/* ---- writing ----------------------------------------------------------------------------------- */

/* Streams tensors to disk: declare them all, then write each one's bytes in any number of pieces,
 * in the declared order. The kind follows the extension: .safetensors, .npz, .npy (one tensor);
 * a name that ends in '/' or max_shard > 0 makes a folder of shards with
 * model.safetensors.index.json. `arrays[i].data` is ignored. */
typedef struct fanin_weights_writer fanin_weights_writer;

typedef struct fanin_writer_options {
    const char *const *metadata; /* key, value, key, value, ..., NULL; NULL: none */
    uint64_t max_shard;          /* bytes; 0: one file */
} fanin_writer_options;

/* Copies names and metadata. ARG: a kind that the name does not tell, two tensors of one name, a tensor without a type
 * or a definite shape, metadata without a value; LIMIT too many shards; IO a place that cannot be written, told now
 * rather than at the first byte; NOMEM. End it with _commit or _abort. */
FANIN_API fanin_status fanin_weights_writer_create(const char *path, const fanin_array *arrays,
                                                   int count, const fanin_writer_options *options,
                                                   fanin_weights_writer **writer, fanin_err *err);
/* The order in which payloads are wanted (the format may sort): index of the k-th. */
FANIN_API int fanin_weights_writer_order(const fanin_weights_writer *writer, int k);
FANIN_API fanin_status fanin_weights_writer_put(fanin_weights_writer *writer, const void *data,
                                                size_t size, fanin_err *err);
/* Ends it: all bytes must have been put (INTERNAL otherwise). Consumes the writer in every case. */
FANIN_API fanin_status fanin_weights_writer_commit(fanin_weights_writer *writer, fanin_err *err);
/* Removes what was written. NULL is fine. */
FANIN_API void fanin_weights_writer_abort(fanin_weights_writer *writer);

/* Small arrays at once. */
FANIN_API fanin_status fanin_npy_save(const char *path, const fanin_array *array, fanin_err *err);
FANIN_API fanin_status fanin_weights_save(const char *path, const fanin_array *arrays, int count,
                                          const fanin_writer_options *options, fanin_err *err);

/* The graph with weights inside; `arrays` replace or give initialisers by name. Above 2 GB the
 * payload goes to `<path>.data` as external data. */
FANIN_API fanin_status fanin_graph_save_onnx(const fanin_graph *graph, const fanin_array *arrays,
                                             int count, const char *path, fanin_err *err);

/* ---- settings ---------------------------------------------------------------------------------- */

/* A YAML file of one flat mapping: "batch: 10", "schemes: [he, xavier]". A list gives one setting an item.
 * Errors name file and line: FORMAT what is no such mapping, LIMIT, NOTFOUND, IO. */
typedef struct fanin_settings fanin_settings;
typedef struct fanin_setting {
    const char *key, *value; /* live until the settings are closed */
    int line;
} fanin_setting;
FANIN_API fanin_status fanin_settings_open(const char *path, fanin_settings **settings,
                                           fanin_err *err);
FANIN_API void fanin_settings_close(fanin_settings *settings);
FANIN_API int fanin_settings_count(const fanin_settings *settings);
FANIN_API fanin_setting fanin_settings_at(const fanin_settings *settings, int i);

#ifdef __cplusplus
}
#endif
#endif
