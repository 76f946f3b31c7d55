/* Every reader and writer of the format room with every request for memory refused once. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "faults.h"
#include "format/format.h"

/* ---- a graph with every kind of value and attribute -------------------------------------------- */

static fanin_status build(fanin_graph **g) {
    fanin_graph_builder *b;
    static const int64_t two[2] = {1, 7};
    static const double halves[2] = {0.5, -2};
    static const char *const texts[2] = {"Tanh", "Relu"};
    static const float w[6] = {1, 2, 3, 4, 5, 6};
    fanin_value t = {.dtype = FANIN_I64, .rank = 1, .dims = {2}, .data = two, .size = 16};
    fanin_attr attrs[] = {
        {.name = "s", .type = FANIN_ATTR_STRING, .s = "text"},
        {.name = "ints", .type = FANIN_ATTR_INTS, .ints = two, .count = 2},
        {.name = "floats", .type = FANIN_ATTR_FLOATS, .floats = halves, .count = 2},
        {.name = "t", .type = FANIN_ATTR_TENSOR, .tensor = &t},
        {.name = "strings", .type = FANIN_ATTR_STRINGS, .strings = texts, .count = 2},
    };
    fanin_attr value = {.name = "value", .type = FANIN_ATTR_TENSOR, .tensor = &t};
    *g = NULL;
    if (fanin_graph_builder_create("model", 17, &b) != FANIN_OK) return FANIN_NOMEM;
    int x = fanin_graph_input(b, "x", FANIN_F32, 2, (int64_t[]){-1, 3});
    int k = fanin_graph_initializer(b, "w", FANIN_F32, 2, (int64_t[]){2, 3}, w);
    int c = fanin_graph_node(b, "Constant", NULL, NULL, 0, &value, 1, 1);
    int y = fanin_graph_node(b, "Strange", "n", (int[]){x, -1, k, c}, 4, attrs, 5, 2);
    for (int i = 0; i < 40; i++) y = fanin_graph_node(b, "Relu", NULL, &y, 1, NULL, 0, 1);
    fanin_graph_output(b, y, "y");
    fanin_graph_output(b, x, "z");
    return fanin_graph_builder_finish(b, g, NULL);
}

static fanin_status build_once(void *arg) {
    fanin_graph *g;
    (void)arg;
    fanin_status status = build(&g);
    fanin_graph_destroy(g);
    return status;
}

TEST(building) { assert_true(fault_sweep("building", build_once, NULL) > 10); }

static fanin_status load_once(void *arg) {
    fanin_graph *g;
    fanin_err err = {0};
    fanin_status status = fanin_graph_load(arg, &g, &err);
    if ((status == FANIN_OK) != (g != NULL)) return FANIN_INTERNAL;
    if (status != FANIN_OK && !err.message[0]) return FANIN_INTERNAL;
    fanin_graph_destroy(g);
    return status;
}

typedef struct saving {
    const fanin_graph *g;
    const char *path;
    uint64_t limit;
} saving;

static fanin_status save_once(void *arg) {
    const saving *s = arg;
    unlink(s->path);
    fanin_status status = fanin__onnx_save(s->g, NULL, 0, s->path, s->limit, NULL);
    /* Nothing stays under the final name after a failure. */
    if ((status == FANIN_OK) != (access(s->path, F_OK) == 0)) return FANIN_INTERNAL;
    return status;
}

TEST(onnx_out_and_in) {
    char path[4096];
    fanin_graph *g;
    snprintf(path, sizeof path, "%s", test_tmp("a.onnx"));
    assert_ok(build(&g));
    saving s = {.g = g, .path = path, .limit = INT32_MAX};
    assert_true(fault_sweep("saving", save_once, &s) > 10);
    fanin_graph_destroy(g);
    assert_true(fault_sweep("loading", load_once, path) > 10);
    fanin_err err = {0};
    assert_ok_err(fanin_graph_load(path, &g, &err), err);
    snprintf(path, sizeof path, "%s", test_tmp("b.onnx"));
    s = (saving){.g = g, .path = path, .limit = INT32_MAX};
    fault_sweep("saving what was read", save_once, &s);
    fanin_graph_destroy(g);
}

TEST(an_export_with_notes_and_external_data) {
    char path[4096];
    fanin_graph *g;
    fanin_err err = {0};
    snprintf(path, sizeof path, "%s", test_shared("models/graphs/resnet18_eval_fused.onnx"));
    assert_true(fault_sweep("loading an export", load_once, path) > 10);
    assert_ok_err(fanin_graph_load(test_shared("models/golden/lenet5/model.onnx"), &g, &err), err);
    snprintf(path, sizeof path, "%s", test_tmp("outside.onnx"));
    saving s = {.g = g, .path = path, .limit = 1000};
    fault_sweep("saving with external data", save_once, &s);
    fanin_graph_destroy(g);
    fault_sweep("loading external data", load_once, path);
}

/* ---- weights ----------------------------------------------------------------------------------- */

typedef struct weights_job {
    const char *path;
    uint64_t max_shard;
} weights_job;

static fanin_status write_once(void *arg) {
    const weights_job *j = arg;
    static const float values[64] = {1};
    static const char *const metadata[] = {"key", "value", "more", "text", NULL};
    fanin_array arrays[20];
    char names[20][24];
    for (int i = 0; i < 20; i++) {
        snprintf(names[i], sizeof names[i], "layer.%d.weight", i);
        arrays[i] = (fanin_array){
            .name = names[i], .dtype = FANIN_F32, .rank = 2, .dims = {2, i}, .data = values};
    }
    fanin_writer_options o = {.metadata = metadata, .max_shard = j->max_shard};
    if (!j->max_shard) unlink(j->path);
    fanin_status status = fanin_weights_save(j->path, arrays, 20, &o, NULL);
    if (!j->max_shard && (status == FANIN_OK) != (access(j->path, F_OK) == 0))
        return FANIN_INTERNAL;
    return status;
}

static fanin_status open_once(void *arg) {
    fanin_weights *w;
    fanin_err err = {0};
    fanin_status status = fanin_weights_open(((const weights_job *)arg)->path, &w, &err);
    if ((status == FANIN_OK) != (w != NULL)) return FANIN_INTERNAL;
    if (status == FANIN_OK && fanin_weights_count(w) != 20) status = FANIN_INTERNAL;
    fanin_weights_close(w);
    return status;
}

TEST(weights_out_and_in) {
    static const char *const names[] = {"w.safetensors", "w.npz", "shards"};
    for (int i = 0; i < 3; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s", test_tmp(names[i]));
        weights_job j = {.path = path, .max_shard = i == 2 ? 300 : 0};
        assert_true(fault_sweep(names[i], write_once, &j) > 3);
        assert_true(fault_sweep(names[i], open_once, &j) > 3);
        if (i != 1) fault_sweep("template", load_once, path);
    }
}
