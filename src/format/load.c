/* load.c - MODEL, as the command line takes it. */
#include <string.h>
#include <sys/stat.h>

#include "format/weights.h"

/* Moves the maps to the builder, so that payloads live as long as the graph. */
static void adopt_weights(fanin_graph_builder *b, fanin_weights *w) {
    for (size_t i = 0; i < w->map_count; i++) fanin__graph_own_map(b, &w->maps[i]);
    w->map_count = 0;
    for (int i = 0; i < w->count; i++) {
        const fanin_array *a = &w->arrays[i];
        int value = fanin__graph_reference(b, a->name);
        fanin__graph_set_type(b, value, a->dtype, a->rank, a->dims, NULL);
        fanin__graph_define_stored(b, value, FANIN_VALUE_INITIALIZER, a->data, a->size);
    }
}

/* Names, shapes and types of a file of weights: a graph without nodes. */
static fanin_status load_template(const char *path, fanin_graph **graph, fanin_err *err) {
    fanin_weights *w;
    fanin_graph_builder *b;
    FANIN_TRY(fanin_weights_open(path, &w, err));
    if (fanin_graph_builder_create(path, 0, &b) != FANIN_OK) {
        fanin_weights_close(w);
        return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
    }
    fanin__graph_set_producer(b, "");
    adopt_weights(b, w);
    fanin_weights_close(w);
    return fanin_graph_builder_finish(b, graph, err);
}

fanin_status fanin_graph_load(const char *model, fanin_graph **graph, fanin_err *err) {
    *graph = NULL;
    struct stat st;
    if (fanin__ends_with(model, ".onnx")) return fanin_graph_load_onnx(model, graph, err);
    if (fanin__ends_with(model, ".safetensors") ||
        fanin__ends_with(model, ".safetensors.index.json"))
        return load_template(model, graph, err);
    if (stat(model, &st) != 0) return fanin_graph_builtin(model, graph, err);
    if (S_ISDIR(st.st_mode)) return load_template(model, graph, err);
    return fanin_err_set(err, FANIN_UNSUPPORTED,
                         "%s: is not a model that fanin reads, expected .onnx, .safetensors or "
                         ".safetensors.index.json",
                         model);
}
