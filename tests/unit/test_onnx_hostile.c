/* ONNX files made to break a reader: every one gives one sentence with the file and the place, and memory
 * stays below 10 x the file + 64 MB. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fanin/engine.h"
#include "format/format.h"
#include "format/onnx_fields.h"
#include "format/wire_write.h"
#include "testing.h"

#if defined(__SANITIZE_ADDRESS__)
enum { SANITIZED = 1 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif
#else
enum { SANITIZED = 0 };
#endif

/* ---- making files ------------------------------------------------------------------------------ */

/* Appends a message field and empties `from`. */
static void nest(fanin__text *to, uint32_t id, fanin__text *from) {
    fanin__put_message(to, id, from);
    fanin__text_fini(from);
}

static void add_node(fanin__text *graph, const char *op, const char *in, const char *out) {
    fanin__text node = {0};
    if (in) fanin__put_string(&node, NODE_INPUT, in);
    if (out) fanin__put_string(&node, NODE_OUTPUT, out);
    fanin__put_string(&node, NODE_OP, op);
    nest(graph, GRAPH_NODE, &node);
}

static void begin_tensor(fanin__text *t, const char *name, int dtype, int rank,
                         const int64_t *dims) {
    for (int i = 0; i < rank; i++) fanin__put_int(t, TENSOR_DIMS, dims[i]);
    fanin__put_int(t, TENSOR_DTYPE, dtype);
    fanin__put_string(t, TENSOR_NAME, name);
}

static void add_entry(fanin__text *t, const char *key, const char *value) {
    fanin__text e = {0};
    fanin__put_string(&e, ENTRY_KEY, key);
    fanin__put_string(&e, ENTRY_VALUE, value);
    nest(t, TENSOR_EXTERNAL, &e);
}

/* The graph as a model of operator set 15; frees `graph`. */
static fanin__text model_of(fanin__text *graph) {
    fanin__text model = {0}, opset = {0};
    fanin__put_int(&model, MODEL_IR_VERSION, 8);
    fanin__put_int(&opset, OPSET_VERSION, 15);
    nest(&model, MODEL_OPSET, &opset);
    nest(&model, MODEL_GRAPH, graph);
    assert_false(model.failed);
    return model;
}

static fanin__text model_of_tensor(fanin__text *tensor) {
    fanin__text graph = {0};
    nest(&graph, GRAPH_INITIALIZER, tensor);
    return model_of(&graph);
}

static void write_file(const char *path, const void *data, size_t size) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    fclose(f);
}

/* Parses a copy of exactly the model's size and frees the model. */
static fanin_status parse(fanin__text *model, fanin_graph **g, fanin_err *err, void **hold) {
    unsigned char *exact = malloc(model->length ? model->length : 1);
    assert_non_null(exact);
    if (model->length) memcpy(exact, model->data, model->length);
    fanin_status status = fanin__onnx_parse(exact, model->length, "m.onnx", NULL, g, err);
    fanin__text_fini(model);
    *hold = exact;
    return status;
}

static void refused(fanin__text model, fanin_status want, const char *part) {
    fanin_graph *g;
    fanin_err err = {0};
    void *hold;
    fanin_status status = parse(&model, &g, &err, &hold);
    free(hold);
    if (status != want || g || !strstr(err.message, part) ||
        strncmp(err.message, "m.onnx: ", 8) != 0)
        fail_msg("%s '%s', expected %s '%s'", fanin_status_name(status), err.message,
                 fanin_status_name(want), part);
}

/* ---- damage ------------------------------------------------------------------------------------ */

TEST(every_cut_is_noticed) {
    static const char *const files[] = {"models/golden/lenet5/model.onnx",
                                        "models/graphs/resnet18.onnx"};
    for (int k = 0; k < 2; k++) {
        fanin__map map;
        fanin_err err = {0};
        assert_ok_err(fanin__map_open(test_shared(files[k]), &map, &err), err);
        for (size_t i = 0; i <= 50; i++) {
            size_t n = i < 50 ? map.size * i / 50 : map.size - 1;
            unsigned char *cut = malloc(n ? n : 1);
            memcpy(cut, map.data, n);
            fanin_graph *g;
            err.message[0] = 0;
            assert_int_equal(fanin__onnx_parse(cut, n, "cut.onnx", NULL, &g, &err), FANIN_FORMAT);
            assert_null(g);
            assert_memory_equal(err.message, "cut.onnx: ", 10);
            free(cut);
        }
        fanin__map_close(&map);
    }
}

TEST(changed_bytes_do_no_harm) {
    fanin__map map;
    fanin_err err = {0};
    assert_ok_err(
        fanin__map_open(test_shared("models/graphs/resnet18_eval_fused.onnx"), &map, &err), err);
    uint64_t random = test_seed() + 1;
    unsigned char *copy = malloc(map.size);
    for (int round = 0; round < 300 * test_scale(); round++) {
        memcpy(copy, map.data, map.size);
        for (int k = 0; k < 20; k++) {
            random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            copy[(random >> 33) % map.size] ^= (unsigned char)(random >> 20);
        }
        fanin_graph *g;
        (void)fanin__onnx_parse(copy, map.size, "m", NULL, &g, &err);
        fanin_graph_destroy(g);
    }
    free(copy);
    fanin__map_close(&map);
}

TEST(wire_damage_is_placed) {
    fanin__text m = {0};
    refused(m, FANIN_FORMAT, "is empty");
    m = (fanin__text){0};
    fanin__put_int(&m, MODEL_IR_VERSION, 8);
    refused(m, FANIN_FORMAT, "holds no graph");
    m = (fanin__text){0};
    fanin__put_head(&m, MODEL_GRAPH, 100);
    refused(m, FANIN_FORMAT, "byte 0: a length runs past the end");
    m = (fanin__text){0};
    fanin__put_int(&m, MODEL_IR_VERSION, 8);
    fanin__put_int(&m, MODEL_GRAPH, 8);
    refused(m, FANIN_FORMAT, "byte 2 (graph): has the wrong wire type");
    m = (fanin__text){0};
    fanin__text_puts(&m, "this is not a model at all");
    refused(m, FANIN_FORMAT, "byte 0");
    fanin__text graph = {0}, node = {0};
    fanin__put_bytes(&node, NODE_OP, "Re\0lu", 5);
    nest(&graph, GRAPH_NODE, &node);
    refused(model_of(&graph), FANIN_FORMAT, "(graph.node.op_type): text holds a NUL byte");
    fanin__put_bytes(&node, NODE_OP, "\xff", 1);
    nest(&graph, GRAPH_NODE, &node);
    refused(model_of(&graph), FANIN_FORMAT, "text is not UTF-8");
    add_node(&graph, "", "x", "y");
    refused(model_of(&graph), FANIN_FORMAT, "node 0 '' has no operator");
    add_node(&graph, "Relu", "x", "y");
    refused(model_of(&graph), FANIN_FORMAT, "reads 'x', which nothing defines");
    add_node(&graph, "Relu", "y", "y");
    refused(model_of(&graph), FANIN_FORMAT, "cycle");
    fanin__put_string(&node, INFO_NAME, "y");
    nest(&graph, GRAPH_OUTPUT, &node);
    refused(model_of(&graph), FANIN_FORMAT, "nothing defines the output 'y'");
}

TEST(nesting_is_bounded) {
    /* From the inside out: graph -> node -> attribute -> graph, 100 000 levels, built back to front. */
    size_t room = (size_t)2 << 20, at = room;
    unsigned char *buf = malloc(room);
    static const unsigned char tags[] = {GRAPH_NODE << 3 | 2, ATTR_G << 3 | 2,
                                         NODE_ATTRIBUTE << 3 | 2};
    for (int i = 0; i < 100000; i++) {
        size_t size = room - at;
        unsigned char length[10], n = 0;
        for (; size >= 0x80; size >>= 7) length[n++] = (unsigned char)(size | 0x80);
        length[n++] = (unsigned char)size;
        at -= n;
        memcpy(buf + at, length, n);
        buf[--at] = tags[i % 3];
    }
    fanin__text m = {0};
    fanin__put_bytes(&m, MODEL_GRAPH, buf + at, room - at);
    free(buf);
    refused(m, FANIN_LIMIT, "nested deeper than 40 levels");
}

/* ---- tensors ----------------------------------------------------------------------------------- */

static const int64_t two_three[2] = {2, 3};

static fanin__text tensor_of(int dtype, int rank, const int64_t *dims, size_t raw) {
    fanin__text t = {0};
    static const char zeros[64];
    begin_tensor(&t, "w", dtype, rank, dims);
    if (raw) fanin__put_bytes(&t, TENSOR_RAW, zeros, raw);
    return t;
}

TEST(tensors_are_checked) {
    fanin__text t = tensor_of(1, 2, two_three, 23);
    refused(model_of_tensor(&t), FANIN_FORMAT,
            "initialiser 'w' holds 23 bytes, its shape 2x3 of F32 wants 24");
    t = tensor_of(1, 2, (int64_t[]){INT64_C(1) << 40, INT64_C(1) << 40}, 4);
    refused(model_of_tensor(&t), FANIN_LIMIT, "more than memory can hold");
    t = tensor_of(1, 3, (int64_t[]){INT64_C(1) << 40, INT64_C(1) << 40, 0}, 4);
    refused(model_of_tensor(&t), FANIN_LIMIT, "more than memory can hold");
    t = tensor_of(1, 1, (int64_t[]){-3}, 4);
    refused(model_of_tensor(&t), FANIN_FORMAT, "size -3 on axis 0");
    t = tensor_of(1, 9, (int64_t[]){1, 1, 1, 1, 1, 1, 1, 1, 1}, 4);
    refused(model_of_tensor(&t), FANIN_LIMIT, "more than 8 axes");
    t = tensor_of(77, 1, (int64_t[]){1}, 4);
    refused(model_of_tensor(&t), FANIN_FORMAT, "element type 77, which ONNX does not define");
    t = tensor_of(14, 1, (int64_t[]){1}, 8);
    refused(model_of_tensor(&t), FANIN_UNSUPPORTED, "element type COMPLEX64");
    t = tensor_of(0, 1, (int64_t[]){1}, 8);
    refused(model_of_tensor(&t), FANIN_FORMAT, "element type 0");
    t = (fanin__text){0};
    begin_tensor(&t, "", 1, 0, NULL);
    refused(model_of_tensor(&t), FANIN_FORMAT, "has no name");
    fanin__text graph = {0};
    for (int i = 0; i < 2; i++) {
        t = tensor_of(1, 2, two_three, 24);
        nest(&graph, GRAPH_INITIALIZER, &t);
    }
    refused(model_of(&graph), FANIN_FORMAT, "two initialisers are called 'w'");
    t = tensor_of(1, 2, two_three, 24);
    nest(&graph, GRAPH_INITIALIZER, &t);
    add_node(&graph, "Relu", "w", "w");
    refused(model_of(&graph), FANIN_FORMAT, "'w' is defined twice");
    t = tensor_of(1, 2, two_three, 24);
    fanin__put_float(&t, TENSOR_FLOATS, 1);
    refused(model_of_tensor(&t), FANIN_FORMAT, "has its values twice");
    t = tensor_of(1, 2, two_three, 0);
    fanin__put_float(&t, TENSOR_FLOATS, 1);
    refused(model_of_tensor(&t), FANIN_FORMAT, "lists 1 numbers, its shape 2x3 wants 6");
}

/* Lists of numbers, packed and not, as onnx.proto stores each type. */
TEST(listed_numbers_become_bytes) {
    static const struct {
        int dtype;
        uint32_t list;
        int64_t first, second; /* as the wire holds them */
        unsigned char want[16];
    } rows[] = {
        {6, TENSOR_INT32S, -2, 3, {0xfe, 0xff, 0xff, 0xff, 3}},
        {3, TENSOR_INT32S, -2, 3, {0xfe, 3}},
        {2, TENSOR_INT32S, 254, 3, {0xfe, 3}},
        {9, TENSOR_INT32S, 1, 0, {1, 0}},
        {10, TENSOR_INT32S, 0x3c00, 0xc000, {0, 0x3c, 0, 0xc0}},
        {16, TENSOR_INT32S, 0x3f80, 0xbf80, {0x80, 0x3f, 0x80, 0xbf}},
        {7, TENSOR_INT64S, -2, 3, {0xfe, 255, 255, 255, 255, 255, 255, 255, 3}},
        {12, TENSOR_UINT64S, 5, 6, {5, 0, 0, 0, 6}},
        {13, TENSOR_UINT64S, -1, 6, {255, 255, 255, 255, 255, 255, 255, 255, 6}},
    };
    for (size_t i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
        size_t r = i / 2;
        bool packed = i % 2;
        fanin__text t = {0}, numbers = {0};
        begin_tensor(&t, "w", rows[r].dtype, 1, (int64_t[]){2});
        if (packed) {
            fanin__put_varint(&numbers, (uint64_t)rows[r].first);
            fanin__put_varint(&numbers, (uint64_t)rows[r].second);
            nest(&t, rows[r].list, &numbers);
        } else {
            fanin__put_int(&t, rows[r].list, rows[r].first);
            fanin__put_int(&t, rows[r].list, rows[r].second);
        }
        fanin__text m = model_of_tensor(&t);
        fanin_graph *g;
        fanin_err err = {0};
        void *hold;
        assert_ok_err(parse(&m, &g, &err, &hold), err);
        const fanin_value *v = &g->values[fanin_graph_find(g, "w")];
        assert_int_equal(v->size, 2 * fanin_dtype_size(v->dtype));
        assert_memory_equal(v->data, rows[r].want, v->size);
        fanin_graph_destroy(g);
        free(hold);
    }
}

/* ---- external data ----------------------------------------------------------------------------- */

static fanin__text external(const char *location, const char *offset, const char *length) {
    fanin__text t = {0};
    begin_tensor(&t, "w", 1, 2, two_three);
    if (location) add_entry(&t, "location", location);
    if (offset) add_entry(&t, "offset", offset);
    if (length) add_entry(&t, "length", length);
    fanin__put_int(&t, TENSOR_LOCATION, 1);
    return model_of_tensor(&t);
}

static fanin_status load(const char *folder, fanin__text *model, fanin_graph **g, fanin_err *err) {
    char path[4200];
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    write_file(path, model->data, model->length);
    fanin__text_fini(model);
    return fanin_graph_load_onnx(path, g, err);
}

TEST(external_data_stays_beneath_the_model) {
    char folder[4096], path[4200], outside[4096];
    snprintf(folder, sizeof folder, "%s", test_tmp("ext"));
    snprintf(outside, sizeof outside, "%s", test_tmp("outside.bin"));
    assert_int_equal(mkdir(folder, 0777), 0);
    float values[32];
    for (int i = 0; i < 32; i++) values[i] = (float)i;
    write_file(outside, values, sizeof values);
    snprintf(path, sizeof path, "%s/w.bin", folder);
    write_file(path, values, sizeof values);
    snprintf(path, sizeof path, "%s/link.bin", folder);
    assert_int_equal(symlink(outside, path), 0);
    snprintf(path, sizeof path, "%s/up", folder);
    assert_int_equal(symlink("..", path), 0);
    snprintf(path, sizeof path, "%s/fifo", folder);
    assert_int_equal(mkfifo(path, 0666), 0);
    snprintf(path, sizeof path, "%s/empty", folder);
    write_file(path, "", 0);

    fanin_graph *g;
    fanin_err err = {0};
    fanin__text m = external("w.bin", "7", "24"); /* misaligned is legal */
    assert_ok_err(load(folder, &m, &g, &err), err);
    assert_memory_equal(g->values[0].data, (char *)values + 7, 24);
    fanin_graph_destroy(g);
    m = external("w.bin", NULL, NULL);
    assert_ok_err(load(folder, &m, &g, &err), err);
    assert_memory_equal(g->values[0].data, values, 24);
    fanin_graph_destroy(g);
    m = external("not-there.bin", "0", "24"); /* a model before initialisation */
    assert_ok_err(load(folder, &m, &g, &err), err);
    assert_null(g->values[0].data);
    fanin_graph_destroy(g);

    const struct {
        const char *location, *offset, *length, *part;
        fanin_status status;
    } bad[] = {
        {"../outside.bin", "0", "24", "'w' has external data in '../outside.bin', outside", 42},
        {"./a/../../outside.bin", "0", "24", "outside the folder", 42},
        {"up/outside.bin", "0", "24", "symbolic link", 42},
        {"link.bin", "0", "24", "symbolic link", 42},
        {outside, "0", "24", "outside the folder", 42},
        {"", "0", "24", "outside the folder", 42},
        {NULL, "0", "24", "without a location", 42},
        {"w.bin", "-1", "24", "offset '-1'", 42},
        {"w.bin", "0x7", "24", "offset '0x7'", 42},
        {"w.bin", "18446744073709551615", "24", "offset '18446744073709551615'", 42},
        {"w.bin", "9223372036854775807", "24", "which has 128", 42},
        {"w.bin", "105", "24", "needs bytes 105 to 129 of 'w.bin', which has 128", 42},
        {"w.bin", "0", "23", "has 23 bytes of external data, its shape 2x3 wants 24", 42},
        {"w.bin", "0", "", "length ''", 42},
        {"empty", "0", "24", "which has 0", 42},
        {"fifo", "0", "24", "not a regular file", 41},
        {".", "0", "24", "not a regular file", 41},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        m = external(bad[i].location, bad[i].offset, bad[i].length);
        fanin_status status = load(folder, &m, &g, &err);
        if (status != bad[i].status || !strstr(err.message, bad[i].part))
            fail_msg("%s %s: %d '%s'", bad[i].location, bad[i].offset, (int)status, err.message);
    }
    fanin__text t = {0};
    begin_tensor(&t, "w", 1, 2, two_three);
    add_entry(&t, "location", "w.bin");
    fanin__put_bytes(&t, TENSOR_RAW, values, 24);
    m = model_of_tensor(&t);
    assert_int_equal(load(folder, &m, &g, &err), FANIN_FORMAT);
    assert_non_null(strstr(err.message, "both external data (w.bin) and values inside"));
}

/* ---- memory ------------------------------------------------------------------------------------ */

/* Loads the file in a child; its peak in bytes, and its answer. */
static double peak_of(const fanin__text *model, fanin_status *status, char message[512]) {
    const char *path = test_tmp("bomb.onnx");
    write_file(path, model->data, model->length);
    int answer[2];
    assert_int_equal(pipe(answer), 0);
    pid_t child = fork();
    if (child == 0) {
        fanin_graph *g;
        struct {
            fanin_err err;
            long before, after;
        } said = {.before = 0};
        struct rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        said.before = usage.ru_maxrss;
        said.err.status = fanin_graph_load_onnx(path, &g, &said.err);
        getrusage(RUSAGE_SELF, &usage);
        said.after = usage.ru_maxrss;
        _exit(write(answer[1], &said, sizeof said) == sizeof said ? 0 : 1);
    }
    struct {
        fanin_err err;
        long before, after;
    } said = {.before = 0};
    int exit_code;
    close(answer[1]);
    assert_int_equal(read(answer[0], &said, sizeof said), sizeof said);
    close(answer[0]);
    assert_int_equal(waitpid(child, &exit_code, 0), child);
    assert_true(WIFEXITED(exit_code) && WEXITSTATUS(exit_code) == 0);
    *status = said.err.status;
    memcpy(message, said.err.message, 512);
    return 1024.0 * (double)(said.after - said.before);
}

/* `fill` appends one more piece of the bomb to the graph. */
static void bomb(const char *what, void (*fill)(fanin__text *graph, int i), int count,
                 fanin_status want, const char *part) {
    fanin__text graph = {0};
    for (int i = 0; i < count; i++) fill(&graph, i);
    fanin__text model = model_of(&graph);
    fanin_status status;
    char message[512];
    double peak = peak_of(&model, &status, message);
    double allowed = 10 * (double)model.length + 64 * 1024.0 * 1024;
    fanin__text_fini(&model); /* after the fork, so it does not count */
    if (status != want || !strstr(message, part))
        fail_msg("%s: %s '%s'", what, fanin_status_name(status), message);
    if (!SANITIZED && peak > allowed)
        fail_msg("%s: peak of %.0f MB, allowed %.0f MB", what, peak / 1e6, allowed / 1e6);
}

static void empty_node(fanin__text *g, int i) {
    (void)i;
    fanin__text_append(g, "\x0a\x00", 2);
}

static void empty_tensor(fanin__text *g, int i) {
    (void)i;
    fanin__text_append(g, "\x2a\x00", 2);
}

static void tiny_node(fanin__text *g, int i) {
    (void)i;
    fanin__text_append(g,
                       "\x0a\x03\x22\x01"
                       "A",
                       5);
}

static void naming_node(fanin__text *g, int i) {
    char out[16];
    snprintf(out, sizeof out, "%x", i);
    add_node(g, "A", NULL, out);
}

/* One node of many parts; only the first call does something. */
static void wide_node(fanin__text *g, int i, uint32_t part, const char *content, int count) {
    fanin__text node = {0};
    if (i > 0) return;
    fanin__put_string(&node, NODE_OP, "A");
    for (int k = 0; k < count; k++) fanin__put_string(&node, part, content);
    nest(g, GRAPH_NODE, &node);
}

static void many_attributes(fanin__text *g, int i) { wide_node(g, i, NODE_ATTRIBUTE, "", 2000000); }
static void many_inputs(fanin__text *g, int i) { wide_node(g, i, NODE_INPUT, "", 4000000); }
static void many_outputs(fanin__text *g, int i) { wide_node(g, i, NODE_OUTPUT, "a", 2000000); }

static void many_names(fanin__text *g, int i) {
    fanin__text node = {0};
    char name[16];
    if (i > 0) return;
    fanin__put_string(&node, NODE_OP, "A");
    for (int k = 0; k < 1000000; k++) {
        snprintf(name, sizeof name, "%x", k);
        fanin__put_string(&node, NODE_INPUT, name);
    }
    nest(g, GRAPH_NODE, &node);
}

static void small_numbers(fanin__text *g, int i) {
    fanin__text t = {0};
    size_t n = 10000000;
    if (i > 0) return;
    char *ones = calloc(n, 1);
    begin_tensor(&t, "w", 7, 1, (int64_t[]){(int64_t)n});
    fanin__put_bytes(&t, TENSOR_INT64S, ones, n);
    free(ones);
    nest(g, GRAPH_INITIALIZER, &t);
}

TEST(memory_stays_in_proportion) {
    bomb("empty nodes", empty_node, 5000000, FANIN_FORMAT, "node 0 '' has no operator");
    bomb("empty initialisers", empty_tensor, 5000000, FANIN_FORMAT, "element type 0");
    bomb("tiny nodes", tiny_node, 2000000, FANIN_LIMIT, "a graph of more than");
    bomb("named values", naming_node, 1000000, FANIN_LIMIT, "a graph of more than");
    bomb("attributes", many_attributes, 1, FANIN_LIMIT, "a graph of more than");
    bomb("inputs left out", many_inputs, 1, FANIN_OK, "");
    bomb("outputs", many_outputs, 1, FANIN_FORMAT, "'a' is defined twice");
    bomb("undefined values", many_names, 1, FANIN_LIMIT, "a graph of more than");
    bomb("numbers of one byte", small_numbers, 1, FANIN_OK, "");
}

/* ---- what is legal though odd ------------------------------------------------------------------ */

TEST(odd_files_are_read) {
    fanin__text graph = {0}, node = {0}, attr = {0}, inner = {0}, info = {0}, t;
    /* An initialiser listed as an input, a subgraph, outputs left out, an unsorted graph. */
    t = tensor_of(1, 2, two_three, 24);
    nest(&graph, GRAPH_INITIALIZER, &t);
    fanin__put_string(&info, INFO_NAME, "w");
    nest(&graph, GRAPH_INPUT, &info);
    add_node(&graph, "Relu", "late", "y");
    fanin__put_string(&node, NODE_INPUT, "w");
    fanin__put_string(&node, NODE_OUTPUT, "");
    fanin__put_string(&node, NODE_OUTPUT, "late");
    fanin__put_string(&node, NODE_OUTPUT, "");
    fanin__put_string(&node, NODE_OP, "If");
    fanin__put_string(&node, NODE_DOMAIN, "ai.onnx");
    fanin__put_string(&attr, ATTR_NAME, "then_branch");
    fanin__put_bytes(&attr, ATTR_G, "", 0);
    fanin__put_int(&attr, ATTR_TYPE, 5);
    nest(&node, NODE_ATTRIBUTE, &attr);
    nest(&graph, GRAPH_NODE, &node);
    fanin__put_string(&inner, INFO_NAME, "y");
    nest(&graph, GRAPH_OUTPUT, &inner);
    fanin__text m = model_of(&graph);
    fanin_graph *g;
    fanin_err err = {0};
    void *hold;
    assert_ok_err(parse(&m, &g, &err, &hold), err);
    assert_int_equal(g->input_count, 0);
    assert_string_equal(g->nodes[0].op, "If");
    assert_string_equal(g->nodes[0].domain, "");
    assert_int_equal(g->nodes[0].output_count, 2);
    assert_int_equal(g->nodes[0].attr_count, 0);
    assert_non_null(strstr(g->notes, "1 attributes hold subgraphs"));
    fanin_graph_destroy(g);
    free(hold);
}

/* A branch that gives what one node makes of x; `out` is its name inside. */
static void add_branch(fanin__text *node, const char *name, const char *op, const char *out) {
    fanin__text attr = {0}, body = {0}, info = {0};
    add_node(&body, op, "x", out);
    fanin__put_string(&info, INFO_NAME, out);
    nest(&body, GRAPH_OUTPUT, &info);
    fanin__put_string(&attr, ATTR_NAME, name);
    nest(&attr, ATTR_G, &body);
    fanin__put_int(&attr, ATTR_TYPE, 5);
    nest(node, NODE_ATTRIBUTE, &attr);
}

/* y = taken ? Neg(x) : op(x), of x = (2, 3). condition 1, 0: known; -1: computed from x. */
static fanin_graph *branching(const char *otherwise, const char *name, int condition, void **hold) {
    fanin__text graph = {0}, node = {0}, info = {0}, t = {0};
    const int64_t dims[1] = {2}, one[1] = {1};
    const float numbers[2] = {2, 3};
    begin_tensor(&t, "x", 1, 1, dims);
    fanin__put_bytes(&t, TENSOR_RAW, (const char *)numbers, sizeof numbers);
    nest(&graph, GRAPH_INITIALIZER, &t);
    begin_tensor(&t, "known", 9, 1, one);
    fanin__put_bytes(&t, TENSOR_RAW, condition == 1 ? "\1" : "\0", 1);
    nest(&graph, GRAPH_INITIALIZER, &t);
    add_node(&graph, "ReduceMax", "x", "largest");
    fanin__put_string(&node, NODE_INPUT, condition < 0 ? "largest" : "known");
    fanin__put_string(&node, NODE_OUTPUT, "y");
    fanin__put_string(&node, NODE_OP, "If");
    add_branch(&node, "then_branch", "Neg", "a");
    add_branch(&node, "else_branch", otherwise, name);
    nest(&graph, GRAPH_NODE, &node);
    fanin__put_string(&info, INFO_NAME, "y");
    nest(&graph, GRAPH_OUTPUT, &info);
    fanin__text m = model_of(&graph);
    fanin_graph *g;
    fanin_err err = {0};
    assert_ok_err(parse(&m, &g, &err, hold), err);
    return g;
}

TEST(branches_of_an_if_are_nodes) {
    static const struct {
        const char *otherwise;
        int condition;
        float y[2];
    } cases[] = {{"Exp", 1, {-2, -3}}, /* an operator that is not there is never looked at */
                 {"Nonsense", 1, {-2, -3}},
                 {"Abs", 0, {2, 3}},
                 {"Abs", -1, {-2, -3}}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        void *hold;
        fanin_program *p;
        fanin_err err = {0};
        fanin_graph *g = branching(cases[i].otherwise, "b", cases[i].condition, &hold);
        assert_string_equal(g->notes, "");
        fanin_program_options o = {.dtype = FANIN_F32, .eval = true};
        assert_ok_err(fanin_program_create(g, &o, &p, &err), err);
        assert_ok_err(fanin_program_run(p, &err), err);
        fanin_buffer y = fanin_program_output(p, 0);
        assert_int_equal(y.count, 2);
        assert_memory_equal(y.data, cases[i].y, sizeof cases[i].y);
        fanin_program_destroy(p);
        fanin_graph_destroy(g);
        free(hold);
    }
}

TEST(branches_that_cannot_be_read_or_run_are_named) {
    static const struct {
        const char *otherwise, *name, *says;
        int condition;
    } cases[] = {{"Abs", "a", "these branches are not read", 1}, /* one name in both */
                 {"Nonsense", "b", "operator Nonsense of opset 15", 0},
                 {"Size", "b", "branches give 2 and scalar", -1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        void *hold;
        fanin_program *p;
        fanin_err err = {0};
        fanin_graph *g = branching(cases[i].otherwise, cases[i].name, cases[i].condition, &hold);
        fanin_program_options o = {.dtype = FANIN_F32};
        fanin_status status = fanin_program_create(g, &o, &p, &err);
        if (status == FANIN_OK || !strstr(err.message, cases[i].says))
            fail_msg("case %zu: status %d, '%s'", i, (int)status, err.message);
        fanin_graph_destroy(g);
        free(hold);
    }
}
