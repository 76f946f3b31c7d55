/* Plans on frameworks' streams, against arrays that PyTorch 1.13 returned (vectors/index.tsv). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "fanin/format.h"
#include "fanin/scheme.h"
#include "golden.h"
#include "testing.h"

/* The stored bytes of a vector; first and last 256 elements when it is long. */
static char *vector(const char *name, size_t *size, bool *ends) {
    FILE *f = fopen(test_shared("vectors/index.tsv"), "r");
    assert_non_null(f);
    char *line = NULL, *data = NULL;
    size_t room = 0;
    while (!data && getline(&line, &room, f) > 0) {
        char file[128], storage[16];
        long offset, bytes;
        size_t n = strlen(name);
        if (strncmp(line, name, n) != 0 || line[n] != '\t') continue;
        assert_int_equal(
            sscanf(line + n, "\t%*s\t%*s\t%15s\t%127s\t%ld\t%ld", storage, file, &offset, &bytes),
            4);
        char path[160];
        snprintf(path, sizeof path, "vectors/%s", file);
        FILE *bin = fopen(test_shared(path), "rb");
        assert_non_null(bin);
        fseek(bin, offset, SEEK_SET);
        data = malloc((size_t)bytes);
        assert_int_equal(fread(data, 1, (size_t)bytes, bin), (size_t)bytes);
        fclose(bin);
        *size = (size_t)bytes;
        *ends = strcmp(storage, "ends") == 0;
    }
    free(line);
    fclose(f);
    if (!data) fail_msg("no vector '%s'", name);
    return data;
}

static void expect_vector(const fanin_plan *p, const char *tensor, const char *name) {
    size_t size, n;
    bool ends;
    fanin_err err = {0};
    char *want = vector(name, &size, &ends);
    int row = fanin_plan_find(p, tensor);
    assert_true(row >= 0);
    const fanin_tensor *t = &fanin_plan_row_at(p, row)->tensor;
    assert_true(fanin__shape_count(t->dims, t->rank, &n));
    float *got = malloc(n * sizeof *got);
    assert_ok_err(fanin_plan_fill(p, row, 0, n, FANIN_F32, got, &err), err);
    if (ends) {
        assert_memory_equal(got, want, 1024);
        assert_memory_equal(got + n - 256, want + 1024, 1024);
    } else {
        assert_int_equal(size, n * sizeof *got);
        assert_memory_equal(got, want, size);
    }
    free(got);
    free(want);
}

/* torch.manual_seed(0); nn.Sequential of Linear 784-256-128-64-32-10 with ReLU between. */
TEST(torch_on_torch_is_module_construction) {
    test_shared("vectors/index.tsv");
    fanin_graph *g;
    fanin_plan *p;
    fanin_err err = {0};
    fanin_init_options o = {.scheme = "torch", .stream = "torch"};
    assert_ok_err(fanin_graph_builtin("mlp:784-256-128-64-32-10", &g, &err), err);
    assert_ok_err(fanin_plan_create(g, &o, &p, &err), err);
    assert_non_null(strstr(fanin_plan_stream(p), "flavour=avx2"));
    for (int i = 0; i < 5; i++)
        for (int b = 0; b < 2; b++) {
            char name[64], tensor[32];
            const char *field = b ? "bias" : "weight";
            snprintf(name, sizeof name, "torch/module/mlp5/s0/%d.%s", 2 * i, field);
            snprintf(tensor, sizeof tensor, "fc%d.%s", i + 1, field);
            expect_vector(p, tensor, name);
        }
    fanin_plan_destroy(p);
    fanin_graph_destroy(g);
}

/* The same weights when the exporter stored them in x out: drawn in torch's layout, then turned. */
TEST(exported_transposes_are_undone) {
    test_shared("vectors/index.tsv");
    fanin_graph_builder *b;
    fanin_graph *g;
    fanin_plan *p;
    fanin_err err = {0};
    assert_ok(fanin_graph_builder_create("turned", 17, &b));
    int x = fanin_graph_input(b, "x", FANIN_F32, 2, (int64_t[]){-1, 10});
    int w = fanin_graph_initializer(b, "fc.weight", FANIN_F32, 2, (int64_t[]){10, 5}, NULL);
    int c = fanin_graph_initializer(b, "fc.bias", FANIN_F32, 1, (int64_t[]){5}, NULL);
    int y = fanin_graph_node(b, "MatMul", NULL, (int[]){x, w}, 2, NULL, 0, 1);
    y = fanin_graph_node(b, "Add", NULL, (int[]){y, c}, 2, NULL, 0, 1);
    fanin_graph_output(b, y, "y");
    assert_ok_err(fanin_graph_builder_finish(b, &g, &err), err);
    fanin_init_options o = {.scheme = "torch", .stream = "torch"};
    assert_ok_err(fanin_plan_create(g, &o, &p, &err), err);
    size_t size;
    bool ends;
    float got[50],
        *want = (float *)(void *)vector("torch/module/linear_10_5/s0/weight", &size, &ends);
    assert_ok_err(fanin_plan_fill(p, 0, 0, 50, FANIN_F32, got, &err), err);
    for (int i = 0; i < 10; i++)
        for (int k = 0; k < 5; k++) assert_true(got[i * 5 + k] == want[k * 10 + i]);
    free(want);
    expect_vector(p, "fc.bias", "torch/module/linear_10_5/s0/bias");
    fanin_plan_destroy(p);
    fanin_graph_destroy(g);
}

/* Any scheme on any stream: repeatable, within the row's law, and seeds differ. */
TEST(streams_serve_any_scheme) {
    static const char *const streams[] = {"torch", "numpy", "jax:mode=original",
                                          "numpy:bits=philox"};
    static const char *const schemes[] = {"he", "xavier", "lecun_truncated_normal", "orthogonal",
                                          "torch"};
    for (int s = 0; s < 4; s++)
        for (int k = 0; k < 5; k++) {
            float w[2][3072];
            for (unsigned seed = 0; seed < 2; seed++) {
                fanin_graph *g;
                fanin_plan *p;
                fanin_err err = {0};
                fanin_init_options o = {.scheme = schemes[k], .stream = streams[s], .seed = seed};
                assert_ok_err(fanin_graph_builtin("mlp:64-48-10,norm=batch", &g, &err), err);
                assert_ok_err(fanin_plan_create(g, &o, &p, &err), err);
                assert_ok_err(fanin_plan_fill(p, 0, 0, 3072, FANIN_F32, w[seed], &err), err);
                double square = 0, std = fanin_plan_row_at(p, 0)->moments.std;
                for (int i = 0; i < 3072; i++) square += (double)w[seed][i] * w[seed][i];
                assert_near(square / 3072, std * std, 0, 0.15);
                float part[100]; /* a slice is cut from the same draws */
                assert_ok_err(fanin_plan_fill(p, 0, 1000, 100, FANIN_F32, part, &err), err);
                assert_memory_equal(part, w[seed] + 1000, sizeof part);
                int scale = fanin_plan_find(p, "norm1.weight");
                assert_ok_err(fanin_plan_fill(p, scale, 0, 48, FANIN_F32, part, &err), err);
                assert_true(part[0] == 1 && part[47] == 1);
                fanin_plan_destroy(p);
                fanin_graph_destroy(g);
            }
            assert_memory_not_equal(w[0], w[1], sizeof w[0]);
        }
}

/* SHA-256 over the parameters that torch 1.13 made (scripts/torchvision_constructors.py MODEL 5). */
TEST(torchvision_constructors_draw_again) {
    static const char *const models[][2] = {
        {"resnet:18", "150a5570c14f2f465c20c044a16d662d3fab90345b9b5e02361e64feb3aa35bc"},
        {"densenet:121", "0060c4fdff507d038d23c920416b200d3eceb7379b0f1cccbed9be13c0c61bb1"},
        {"vgg:11,norm=batch,input=3x32x32,classes=10",
         "f07aef9d78fc4f293c77b221752dcb42e2ba713b53bec6bd8827bd8205612913"},
    };
    for (size_t m = 0; m < FANIN_COUNT(models); m++) {
        fanin_graph *g;
        fanin_plan *p;
        fanin_err err = {0};
        fanin_init_options o = {.scheme = "torch", .stream = "torch", .seed = 5};
        assert_ok_err(fanin_graph_builtin(models[m][0], &g, &err), err);
        assert_ok_err(fanin_plan_create(g, &o, &p, &err), err);
        float *all = malloc(fanin_plan_parameters(p) * sizeof *all);
        size_t at = 0, n;
        for (int i = 0; i < fanin_plan_count(p); i++) {
            const fanin_tensor *t = &fanin_plan_row_at(p, i)->tensor;
            if (t->cls == FANIN_CLASS_RUNNING_MEAN || t->cls == FANIN_CLASS_RUNNING_VAR) continue;
            assert_true(fanin__shape_count(t->dims, t->rank, &n));
            assert_ok_err(fanin_plan_fill(p, i, 0, n, FANIN_F32, all + at, &err), err);
            at += n;
        }
        char hex[65];
        golden_sha256(all, at * sizeof *all, hex);
        assert_string_equal(hex, models[m][1]);
        free(all);
        fanin_plan_destroy(p);
        fanin_graph_destroy(g);
    }
}

/* torch.manual_seed(2); nn.init.sparse_(torch.empty(24, 7), 0.3, std=0.5), torch 1.13. */
TEST(sparse_is_torchs) {
    fanin_graph *g;
    fanin_plan *p;
    fanin_err err = {0};
    char hex[65];
    float w[24 * 7];
    fanin_init_options o = {
        .scheme = "sparse:sparsity=0.3,std=0.5", .stream = "torch", .seed = 2, .layout = "torch"};
    assert_ok_err(fanin_graph_builtin("tensor:w=24x7", &g, &err), err);
    assert_ok_err(fanin_plan_create(g, &o, &p, &err), err);
    assert_ok_err(fanin_plan_fill(p, 0, 0, 24 * 7, FANIN_F32, w, &err), err);
    golden_sha256(w, sizeof w, hex);
    assert_string_equal(hex, "d3e94d50813b71c01b7687a047ba25436258fe589e7fe079dd88702dd1435122");
    fanin_plan_destroy(p);
    fanin_graph_destroy(g);
}

/* What explain tells is what the second pass leaves; CIFAR's networks are not torchvision's. */
TEST(torchvision_rules_are_told) {
    static const char *const rows[][3] = {
        {"resnet:18", "layer2.0.downsample.0.weight", "he_normal:mode=fan_out,fans=torch"},
        {"resnet:18", "fc.weight", "torch_default"},
        {"vgg:11", "classifier.3.weight", "normal:std=0.01"},
        {"vgg:11", "features.0.bias", "zeros"},
        {"densenet:121", "features.conv0.weight", "he_normal:mode=fan_in,fans=torch"},
        {"densenet:121", "classifier.weight", "torch_default"},
        {"resnet:20", "layer1.0.conv1.weight", "torch_default"},
    };
    for (size_t i = 0; i < FANIN_COUNT(rows); i++) {
        fanin_graph *g;
        fanin_plan *p;
        fanin_err err = {0};
        fanin_init_options o = {.scheme = "torch", .stream = "torch"};
        assert_ok_err(fanin_graph_builtin(rows[i][0], &g, &err), err);
        assert_ok_err(fanin_plan_create(g, &o, &p, &err), err);
        int row = fanin_plan_find(p, rows[i][1]);
        assert_true(row >= 0);
        assert_string_equal(fanin_plan_row_at(p, row)->rule_text, rows[i][2]);
        fanin_plan_destroy(p);
        fanin_graph_destroy(g);
    }
}

TEST(unknown_streams_are_named) {
    fanin_graph *g;
    fanin_plan *p;
    fanin_err err = {0};
    fanin_init_options o = {.stream = "mersenne"};
    assert_ok_err(fanin_graph_builtin("mlp:4-2", &g, &err), err);
    assert_int_equal(fanin_plan_create(g, &o, &p, &err), FANIN_NOTFOUND);
    o.stream = "torch:flavour=sse";
    assert_int_equal(fanin_plan_create(g, &o, &p, &err), FANIN_ARG);
    o = (fanin_init_options){.stream = "torch", .scheme = "rademacher"};
    assert_ok_err(fanin_plan_create(g, &o, &p, &err), err);
    float w[8];
    assert_int_equal(fanin_plan_fill(p, 0, 0, 8, FANIN_F32, w, &err), FANIN_UNSUPPORTED);
    assert_non_null(strstr(err.message, "rademacher"));
    fanin_plan_destroy(p);
    fanin_graph_destroy(g);
}
