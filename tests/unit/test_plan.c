/* A plan's numbers: reproducible, sliced, written in every form, gone on failure. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "fanin/format.h"
#include "fanin/scheme.h"
#include "testing.h"

static void open_plan(const char *model, const fanin_init_options *o, fanin_graph **g,
                      fanin_plan **p) {
    fanin_err err = {0};
    assert_ok_err(fanin_graph_load(model, g, &err), err);
    assert_ok_err(fanin_plan_create(*g, o, p, &err), err);
}

static void close_plan(fanin_graph *g, fanin_plan *p) {
    fanin_plan_destroy(p);
    fanin_graph_destroy(g);
}

static size_t count_of(const fanin_plan_row *r) {
    size_t n;
    assert_true(fanin__shape_count(r->tensor.dims, r->tensor.rank, &n));
    return n;
}

/* Variance of he_normal over 784 000 elements: z = 4.9 of sqrt(2/n) is 0.8 %, alpha 1e-6. */
TEST(filled_values_follow_the_row) {
    fanin_graph *g;
    fanin_plan *p;
    fanin_err err = {0};
    fanin_init_options o = {.scheme = "he", .seed = 3};
    open_plan("mlp:784-1000-10", &o, &g, &p);
    const fanin_plan_row *r = fanin_plan_row_at(p, 0);
    size_t n = count_of(r);
    float *w = malloc(n * sizeof *w);
    assert_ok_err(fanin_plan_fill(p, 0, 0, n, FANIN_F32, w, &err), err);
    double sum = 0, square = 0;
    for (size_t i = 0; i < n; i++) sum += w[i], square += (double)w[i] * w[i];
    assert_near(square / (double)n, 2.0 / 784, 0, 0.008);
    assert_near(sum / (double)n, 0, 4.9 * r->moments.std / sqrt((double)n), 0);
    float slice[10];
    assert_ok_err(fanin_plan_fill(p, 0, 1234, 10, FANIN_F32, slice, &err), err);
    assert_memory_equal(slice, w + 1234, sizeof slice);
    assert_int_equal(fanin_plan_fill(p, 0, n, 1, FANIN_F32, slice, &err), FANIN_ARG);
    assert_int_equal(fanin_plan_fill(p, 99, 0, 1, FANIN_F32, slice, &err), FANIN_ARG);
    free(w);
    close_plan(g, p);
}

/* Adding a layer changes no other layer; the seed changes all. */
TEST(values_depend_on_name_and_seed_alone) {
    fanin_graph *g[3];
    fanin_plan *p[3];
    fanin_err err = {0};
    static const char *const models[] = {"mlp:20-16-16-4", "mlp:20-16x2-16x5-4", "mlp:20-16-16-4"};
    float w[3][256];
    for (int i = 0; i < 3; i++) {
        fanin_init_options o = {.scheme = "xavier", .seed = i == 2 ? 8 : 7};
        open_plan(models[i], &o, &g[i], &p[i]);
        int row = fanin_plan_find(p[i], "fc2.weight");
        assert_ok_err(fanin_plan_fill(p[i], row, 0, 256, FANIN_F32, w[i], &err), err);
    }
    assert_memory_equal(w[0], w[1], sizeof w[0]);
    assert_memory_not_equal(w[0], w[2], sizeof w[0]);
    for (int i = 0; i < 3; i++) close_plan(g[i], p[i]);
}

static char *slurp(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s is not there", path);
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    char *data = malloc(*size + 1);
    assert_int_equal(fread(data, 1, *size, f), *size);
    fclose(f);
    return data;
}

static void write_plan(const char *model, const char *path, const fanin_plan_write_options *wo) {
    fanin_graph *g;
    fanin_plan *p;
    fanin_err err = {0};
    fanin_init_options o = {.scheme = "he", .seed = 1};
    open_plan(model, &o, &g, &p);
    assert_ok_err(fanin_plan_write(p, path, wo, &err), err);
    close_plan(g, p);
}

TEST(files_are_the_same_bytes_on_any_thread_count) {
    size_t size[3];
    char *data[3];
    for (unsigned i = 0; i < 3; i++) {
        fanin_threads_set(i + 1);
        const char *path = test_tmp("w.safetensors");
        write_plan("resnet:20", path, NULL);
        data[i] = slurp(path, &size[i]);
    }
    fanin_threads_set(0);
    for (int i = 1; i < 3; i++) {
        assert_int_equal(size[i], size[0]);
        assert_memory_equal(data[i], data[0], size[0]);
    }
    for (int i = 0; i < 3; i++) free(data[i]);
}

/* Batch norms are 1 0 0 1; what is read back is what _fill gives; metadata says where it is from. */
TEST(safetensors_hold_the_plan) {
    fanin_graph *g;
    fanin_plan *p;
    fanin_weights *w;
    fanin_err err = {0};
    fanin_init_options o = {.scheme = "he", .seed = 1};
    const char *path = test_tmp("r.safetensors");
    open_plan("resnet:20", &o, &g, &p);
    assert_ok_err(fanin_plan_write(p, path, NULL, &err), err);
    assert_ok_err(fanin_weights_open(path, &w, &err), err);
    assert_int_equal(fanin_weights_count(w), fanin_plan_count(p));
    for (int i = 0; i < fanin_plan_count(p); i++) {
        const fanin_plan_row *r = fanin_plan_row_at(p, i);
        const fanin_array *a = fanin_weights_find(w, r->tensor.name);
        size_t n = count_of(r);
        float *values = malloc(n * sizeof *values);
        assert_non_null(a);
        assert_int_equal(a->size, n * sizeof *values);
        assert_ok_err(fanin_plan_fill(p, i, 0, n, FANIN_F32, values, &err), err);
        assert_memory_equal(values, a->data, a->size);
        float first =
            r->tensor.cls == FANIN_CLASS_NORM_SCALE || r->tensor.cls == FANIN_CLASS_RUNNING_VAR ? 1
                                                                                                : 0;
        if (!fanin_class_is_weight(r->tensor.cls))
            assert_true(values[0] == first && values[n - 1] == first);
        free(values);
    }
    const char *value, *key;
    bool hash = false, seed = false;
    for (int i = 0; (key = fanin_weights_metadata(w, i, &value)); i++) {
        if (strcmp(key, "scheme_hash") == 0) hash = strcmp(value, fanin_plan_hash(p)) == 0;
        if (strcmp(key, "seed") == 0) seed = strcmp(value, "1") == 0;
    }
    assert_true(hash && seed);
    fanin_weights_close(w);
    close_plan(g, p);
}

/* Parts laid behind each other are the whole: 1000 rows in 3 parts of 334, 334, 332, 10 in 4 4 2. */
TEST(parts_are_runs_of_rows) {
    fanin_weights *whole, *part;
    fanin_err err = {0};
    char path[4096];
    snprintf(path, sizeof path, "%s", test_tmp("whole.safetensors"));
    write_plan("mlp:30-1000-10", path, NULL);
    assert_ok_err(fanin_weights_open(path, &whole, &err), err);
    size_t at[4] = {0};
    for (int k = 0; k < 3; k++) {
        fanin_plan_write_options wo = {.part = k, .parts = 3};
        const char *file = test_tmp("part.safetensors");
        write_plan("mlp:30-1000-10", file, &wo);
        assert_ok_err(fanin_weights_open(file, &part, &err), err);
        static const int64_t big[] = {334, 334, 332}, small[] = {4, 4, 2};
        for (int i = 0; i < 4; i++) {
            static const char *const names[] = {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"};
            const fanin_array *a = fanin_weights_find(part, names[i]);
            const fanin_array *b = fanin_weights_find(whole, names[i]);
            assert_int_equal(a->dims[0], i < 2 ? big[k] : small[k]);
            assert_memory_equal(a->data, (const char *)b->data + at[i], a->size);
            at[i] += a->size;
            if (k == 2) assert_int_equal(at[i], b->size);
        }
        fanin_weights_close(part);
    }
    fanin_weights_close(whole);
    fanin_plan_write_options many = {.part = 7, .parts = 12}; /* 10 rows: part 7 of 12 has one */
    write_plan("mlp:30-1000-10", test_tmp("part.safetensors"), &many);
    many.part = 11; /* and part 11 none */
    write_plan("mlp:30-1000-10", test_tmp("part.safetensors"), &many);
    assert_ok_err(fanin_weights_open(test_tmp("part.safetensors"), &part, &err), err);
    assert_int_equal(fanin_weights_find(part, "fc2.bias")->dims[0], 0);
    fanin_weights_close(part);
}

/* A part of an orthogonal matrix is cut from the whole. */
TEST(parts_of_orthogonal_are_slices) {
    fanin_graph *g;
    fanin_plan *p;
    fanin_err err = {0};
    fanin_init_options o = {.scheme = "orthogonal"};
    open_plan("mlp:40-60-10", &o, &g, &p);
    float whole[60 * 40], cut[20 * 40];
    assert_ok_err(fanin_plan_fill(p, 0, 0, 2400, FANIN_F32, whole, &err), err);
    assert_ok_err(fanin_plan_fill(p, 0, 800, 800, FANIN_F32, cut, &err), err);
    assert_memory_equal(cut, whole + 800, sizeof cut);
    fanin_plan_write_options wo = {.part = 1, .parts = 3};
    fanin_weights *w;
    const char *path = test_tmp("o.safetensors");
    assert_ok_err(fanin_plan_write(p, path, &wo, &err), err);
    assert_ok_err(fanin_weights_open(path, &w, &err), err);
    assert_memory_equal(fanin_weights_find(w, "fc1.weight")->data, cut, sizeof cut);
    fanin_weights_close(w);
    close_plan(g, p);
}

TEST(other_forms_hold_the_same_values) {
    fanin_graph *g;
    fanin_plan *p;
    fanin_err err = {0};
    fanin_init_options o = {.scheme = "he", .seed = 5};
    open_plan("lenet5", &o, &g, &p);
    float values[150];
    assert_ok_err(fanin_plan_fill(p, 0, 0, 150, FANIN_F32, values, &err), err);
    static const char *const files[] = {"m.npz", "m.onnx", "shards/"};
    for (size_t i = 0; i < 3; i++) {
        fanin_weights *w;
        char path[4096];
        snprintf(path, sizeof path, "%s", test_tmp(files[i]));
        fanin_plan_write_options wo = {.max_shard = i == 2 ? 100000 : 0};
        assert_ok_err(fanin_plan_write(p, path, &wo, &err), err);
        assert_ok_err(fanin_weights_open(path, &w, &err), err);
        assert_memory_equal(fanin_weights_find(w, "conv1.weight")->data, values, sizeof values);
        fanin_weights_close(w);
    }
    fanin_plan_write_options half = {.dtype = FANIN_BF16};
    assert_int_equal(fanin_plan_write(p, test_tmp("n.onnx"), &half, &err), FANIN_ARG);
    half.dtype = FANIN_I32;
    assert_int_equal(fanin_plan_write(p, test_tmp("n.safetensors"), &half, &err), FANIN_ARG);
    half = (fanin_plan_write_options){.part = 3, .parts = 3};
    assert_int_equal(fanin_plan_write(p, test_tmp("n.safetensors"), &half, &err), FANIN_ARG);
    assert_int_not_equal(access(test_tmp("n.safetensors"), F_OK), 0);
    close_plan(g, p);
}

/* bf16 is the f32 value rounded once. */
TEST(small_types_are_rounded_once) {
    fanin_graph *g;
    fanin_plan *p;
    fanin_err err = {0};
    open_plan("mlp:64-32-4", NULL, &g, &p);
    float values[2048];
    uint16_t small[2048], rounded[2048];
    assert_ok_err(fanin_plan_fill(p, 0, 0, 2048, FANIN_F32, values, &err), err);
    assert_ok_err(fanin_plan_fill(p, 0, 0, 2048, FANIN_BF16, small, &err), err);
    assert_ok(fanin_convert_from_f32(values, 2048, FANIN_BF16, rounded));
    assert_memory_equal(small, rounded, sizeof small);
    close_plan(g, p);
}

TEST(interruption_leaves_nothing) {
    fanin_graph *g;
    fanin_plan *p;
    fanin_err err = {0};
    open_plan("mlp:64-32-4", NULL, &g, &p);
    char path[4096];
    snprintf(path, sizeof path, "%s", test_tmp("stopped/w.safetensors"));
    char dir[4096];
    snprintf(dir, sizeof dir, "%s", test_tmp("stopped"));
    assert_ok_err(fanin_directory_create(dir, &err), err);
    fanin_interrupt(true);
    assert_int_equal(fanin_plan_write(p, path, NULL, &err), FANIN_INTERRUPTED);
    fanin_interrupt(false);
    DIR *d = opendir(dir);
    int files = 0;
    for (struct dirent *e; (e = readdir(d));) files += e->d_name[0] != '.' || e->d_name[1] > '.';
    closedir(d);
    assert_int_equal(files, 0);
    close_plan(g, p);
}

/* Every shared graph plans with every scheme, and its reasons are sentences. */
TEST(all_graphs_plan_with_all_schemes) {
    static const char *const names[] = {"alexnet",        "densenet121",         "gpt2_small",
                                        "lenet5_weights", "resnet18_eval_fused", "vit_b_16",
                                        "mobilenet_v2"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (int s = 0; s < fanin_scheme_count(); s++) {
            char path[128];
            fanin_graph *g;
            fanin_plan *p;
            snprintf(path, sizeof path, "models/graphs/%s.onnx", names[i]);
            fanin_init_options o = {.scheme = fanin_scheme_at(s).name};
            open_plan(test_shared(path), &o, &g, &p);
            for (int k = 0; k < fanin_plan_count(p); k++) {
                const fanin_plan_row *r = fanin_plan_row_at(p, k);
                assert_false(r->keep);
                assert_non_null(strstr(r->reason, "; "));
                assert_true(isfinite(r->moments.std));
            }
            close_plan(g, p);
        }
}

/* He's std of resnet50's first layer is sqrt(2/147). */
TEST(resnet50_has_the_papers_deviations) {
    fanin_graph *g;
    fanin_plan *p;
    fanin_init_options o = {.scheme = "he", .seed = 1};
    open_plan(test_shared("models/graphs/resnet50.onnx"), &o, &g, &p);
    assert_int_equal(fanin_plan_parameters(p), 25557032);
    assert_near(fanin_plan_row_at(p, 0)->moments.std, sqrt(2.0 / 147), 0, 1e-15);
    close_plan(g, p);
    o.fans = "torch";
    o.scheme = "he_normal:mode=fan_out";
    open_plan(test_shared("models/graphs/mobilenet_v2.onnx"), &o, &g, &p);
    int i = fanin_plan_find(p, "features.1.conv.0.0.weight"); /* torch: 32 * 9, operator: 9 */
    assert_near(fanin_plan_row_at(p, i)->moments.std, sqrt(2.0 / 288), 0, 1e-15);
    close_plan(g, p);
}

/* ---- allocation faults ------------------------------------------------------------------------- */

static struct {
    long at, count, live;
    bool onwards;
} fault;

static void *resize(void *ctx, void *p, size_t size) {
    (void)ctx;
    fault.count++;
    if (fault.count == fault.at || (fault.onwards && fault.count > fault.at)) return NULL;
    if (!p) fault.live++;
    return realloc(p, size);
}

static void release(void *ctx, void *p) {
    (void)ctx;
    if (p) fault.live--;
    free(p);
}

static fanin_status whole_run(const char *path, const char *scheme) {
    fanin_graph *g = NULL;
    fanin_plan *p = NULL;
    fanin_err err = {0};
    const char *rules[] = {"*.bias=normal:std=1/sqrt(fan_in)"};
    fanin_init_options o = {.scheme = scheme, .rules = rules, .rule_count = 1};
    fanin_status status = fanin_graph_builtin("mlp:6-5x2-3,act=leaky_relu:0.3", &g, &err);
    if (status == FANIN_OK) status = fanin_plan_create(g, &o, &p, &err);
    if (status == FANIN_OK) {
        char *text = fanin_plan_scheme_text(p);
        if (!text) status = FANIN_NOMEM;
        fanin_free(text);
    }
    if (status == FANIN_OK) status = fanin_plan_write(p, path, NULL, &err);
    fanin_plan_destroy(p);
    fanin_graph_destroy(g);
    return status;
}

TEST(every_allocation_may_fail) {
    char path[4096], scheme[4096];
    const char *text = "- \"*.weight\": he_normal\n- {class: bias, rule: zeros}\n";
    snprintf(path, sizeof path, "%s", test_tmp("fault.safetensors"));
    snprintf(scheme, sizeof scheme, "%s", test_tmp("fault.yaml"));
    fanin_threads_set(1);
    assert_ok(whole_run(path, "he")); /* starts what starts once */
    unlink(path);
    assert_ok(fanin__file_write(scheme, text, strlen(text), NULL));
    for (int mode = 0; mode < 4; mode++)
        for (long n = 1;; n++) {
            fanin_allocator allocator = {resize, release, NULL};
            memset(&fault, 0, sizeof fault);
            fault.at = n;
            fault.onwards = mode & 1;
            unlink(path);
            fanin_allocator_set(&allocator);
            fanin_status status = whole_run(path, mode & 2 ? scheme : "he");
            fanin_allocator_set(NULL);
            if (status != FANIN_OK && status != FANIN_NOMEM)
                fail_msg("allocation %ld: status %s", n, fanin_status_name(status));
            if (fault.live != 0) fail_msg("allocation %ld: %ld left", n, fault.live);
            if (status == FANIN_OK && fault.count < n) break; /* nothing failed any more */
            if (status == FANIN_OK) continue;
            if (access(path, F_OK) == 0) fail_msg("allocation %ld: a file is left", n);
        }
    fanin_threads_set(0);
}
