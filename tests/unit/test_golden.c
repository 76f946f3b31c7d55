/* Whole models against an independent implementation: outputs, losses, every gradient, and the first
 * ten losses of training. Tolerances are those of models/README.md in the shared folder. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "fanin/engine.h"
#include "fanin/format.h"
#include "fanin/train.h"
#include "testing.h"

static const char *golden(const char *model, const char *file) {
    char path[200];
    snprintf(path, sizeof path, "models/golden/%s/%s", model, file);
    return test_shared(path);
}

static fanin_weights *open_weights(const char *model, const char *file) {
    fanin_weights *w;
    fanin_err err = {0};
    assert_ok_err(fanin_weights_open(golden(model, file), &w, &err), err);
    return w;
}

static fanin_graph *open_graph(const char *model) {
    fanin_graph *g;
    fanin_err err = {0};
    assert_ok_err(fanin_graph_load_onnx(golden(model, "model.onnx"), &g, &err), err);
    return g;
}

static double number(fanin_dtype dtype, const void *data, size_t i) {
    if (dtype == FANIN_I64) {
        int64_t v;
        memcpy(&v, (const char *)data + 8 * i, sizeof v);
        return (double)v;
    }
    double v;
    const char *at = (const char *)data + i * fanin_dtype_size(dtype);
    assert_int_equal(fanin_convert_to_f64(at, dtype, 1, &v), FANIN_OK);
    return v;
}

static void fill(fanin_buffer b, const fanin_array *a) {
    size_t count = a->size / fanin_dtype_size(a->dtype);
    assert_non_null(b.data);
    assert_int_equal(b.count, count);
    for (size_t i = 0; i < count; i++) {
        double v = number(a->dtype, a->data, i);
        if (b.dtype == FANIN_I64)
            ((int64_t *)b.data)[i] = (int64_t)v;
        else if (b.dtype == FANIN_F32)
            ((float *)b.data)[i] = (float)v;
        else
            ((double *)b.data)[i] = v;
    }
}

static void distance(fanin_buffer b, const fanin_array *want, double *difference, double *norm) {
    assert_non_null(b.data);
    assert_int_equal(b.count, want->size / fanin_dtype_size(want->dtype));
    *difference = *norm = 0;
    for (size_t i = 0; i < b.count; i++) {
        double w = number(want->dtype, want->data, i), d = number(b.dtype, b.data, i) - w;
        *difference += d * d;
        *norm += w * w;
    }
    *difference = sqrt(*difference);
    *norm = sqrt(*norm);
}

/* The array after `"key":` in golden.json, below "section" if that is given. */
static int read_numbers(const char *model, const char *section, const char *key, double *out,
                        int max) {
    static char text[65536];
    FILE *f = fopen(golden(model, "golden.json"), "rb");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    char quoted[160];
    const char *at = text;
    if (section) {
        snprintf(quoted, sizeof quoted, "\"%s\"", section);
        at = strstr(at, quoted);
        assert_non_null(at);
    }
    snprintf(quoted, sizeof quoted, "\"%s\"", key);
    at = strstr(at, quoted);
    assert_non_null(at);
    at = strchr(at, ':') + 1;
    int count = 0;
    while (count < max) {
        while (*at == ' ' || *at == '\n' || *at == '[' || *at == ',') at++;
        const char *end;
        double v = fanin__parse_double(at, &end);
        if (end == at) break;
        out[count++] = v;
        at = end;
        if (!section && max == 1) break;
    }
    return count;
}

typedef struct run {
    fanin_graph *graph;
    fanin_program *program;
} run;

static run start(const char *model, fanin_dtype dtype, bool reference) {
    run r = {.graph = open_graph(model)};
    fanin_err err = {0};
    fanin_weights *in = open_weights(model, "input.npy"), *to = open_weights(model, "target.npy");
    fanin_program_options o = {.batch = fanin_weights_at(in, 0)->dims[0],
                               .loss = "cross_entropy",
                               .gradients = true,
                               .dtype = dtype,
                               .reference = reference};
    assert_ok_err(fanin_program_create(r.graph, &o, &r.program, &err), err);
    fill(fanin_program_input(r.program, 0), fanin_weights_at(in, 0));
    fill(fanin_program_target(r.program), fanin_weights_at(to, 0));
    fanin_weights_close(in);
    fanin_weights_close(to);
    return r;
}

static void finish(run r) {
    fanin_program_destroy(r.program);
    fanin_graph_destroy(r.graph);
}

static void agrees(const char *model, fanin_dtype dtype, bool reference) {
    run r = start(model, dtype, reference);
    fanin_err err = {0};
    assert_ok_err(fanin_program_run(r.program, &err), err);
    double loss = 0, difference, norm, whole = 0, tight = dtype == FANIN_F64 ? 1e-2 : 1;
    assert_int_equal(read_numbers(model, NULL, "loss_step0_float64", &loss, 1), 1);
    assert_near(fanin_program_loss(r.program), loss, 0, 1e-5 * tight);

    fanin_weights *want = open_weights(model, "output_float64.npy");
    distance(fanin_program_output(r.program, 0), fanin_weights_at(want, 0), &difference, &norm);
    assert_near(difference / norm, 0, 1e-5 * tight, 0);
    fanin_weights_close(want);

    want = open_weights(model, "grads_float64.npz");
    for (int i = 0; i < fanin_weights_count(want); i++) {
        const fanin_array *a = fanin_weights_at(want, i);
        for (size_t k = 0; k < a->size / 8; k++) {
            double v = number(a->dtype, a->data, k);
            whole += v * v;
        }
    }
    whole = sqrt(whole);
    int compared = 0;
    for (int i = 0; i < fanin_program_weight_count(r.program); i++) {
        const char *name = fanin_program_weight_name(r.program, i);
        const fanin_array *a = fanin_weights_find(want, name);
        assert_true(fanin_program_weight_present(r.program, i));
        if (!a) { /* running statistics */
            assert_null(fanin_program_gradient(r.program, i).data);
            continue;
        }
        compared++;
        distance(fanin_program_gradient(r.program, i), a, &difference, &norm);
        double allowed = tight * (1e-5 * norm + 1e-6 * whole);
        if (!(difference <= allowed))
            fail_msg("%s: gradient of %s is %g off, %g allowed", model, name, difference, allowed);
    }
    assert_int_equal(compared, fanin_weights_count(want));
    fanin_weights_close(want);
    finish(r);
}

/* Ten steps of an optimiser with the settings that the key of the recorded curve names; a difference may be as
 * large as three times what float32 and float64 already part by, and `least` in any case. */
static void follows(const char *model, const char *key, const char *optimizer, double least) {
    enum { STEPS = 10 };
    double f32[STEPS] = {0}, f64[STEPS] = {0}, worst = 0;
    assert_int_equal(read_numbers(model, "trajectories", key, f32, STEPS), STEPS);
    assert_int_equal(read_numbers(model, "trajectories_float64", key, f64, STEPS), STEPS);
    run r = start(model, FANIN_F32, false);
    fanin_optimizer *o;
    fanin_err err = {0};
    assert_ok_err(fanin_optimizer_create(optimizer, r.program, &o, &err), err);
    for (int s = 0; s < STEPS; s++) {
        assert_ok_err(fanin_program_run(r.program, &err), err);
        worst = fmax(worst, fabs(f32[s] - f64[s]) / f64[s]);
        assert_near(fanin_program_loss(r.program), f64[s], 0, fmax(least, 3 * worst));
        fanin_optimizer_step(o);
    }
    fanin_optimizer_destroy(o);
    finish(r);
}

/* resnet8: a relu whose operand is all but 0 is open in one float32 engine and shut in another. From that step on the
 * curves part, by chance of the last bits: the recorded float32 leaves float64 by 1.5e-4 on momentum and 2e-8 on sgd;
 * ours by 3e-8 on momentum, on sgd by 7e-5 (avx512) or 2.4e-4 (avx2, and the plain kernels too). So a curve of that
 * model may part by three times the 1.5e-4 that the recorded engine shows on one of them.
 * RMSProp's first step is 10 lr sign(g) and Adagrad's lr sign(g), whatever the size of g: where a gradient is all
 * rounding, two honest engines take different signs. At step 5 ours part from float64 by 3e-3, 1e-2 and 5e-3 (avx512,
 * avx2, ref) and 4e-4, 1.4e-3, 1.5e-3; the recorded float32 by 9e-4 and 2e-7. They are followed within 2e-2. */
static void follows_all(const char *model, double least, double by_sign) {
    follows(model, "sgd lr=0.05", "sgd:lr=0.05", least);
    follows(model, "momentum lr=0.02 mu=0.9", "momentum:lr=0.02,mu=0.9", least);
    follows(model, "nesterov lr=0.02 mu=0.9 weight_decay=1e-3",
            "nesterov:lr=0.02,mu=0.9,weight_decay=1e-3", least);
    follows(model, "adam lr=1e-3", "adam:lr=1e-3", least);
    follows(model, "adamw lr=1e-3 weight_decay=0.01", "adamw:lr=1e-3,weight_decay=0.01", least);
    follows(model, "rmsprop lr=1e-3 alpha=0.99 eps=1e-8", "rmsprop:lr=1e-3,alpha=0.99,eps=1e-8",
            by_sign);
    follows(model, "adagrad lr=0.01", "adagrad:lr=0.01", by_sign);
}

/* Products of operands in bfloat16: the curve of float32 within what a relative 2^-8 of the operands leaves. */
TEST(mlp5_tanh_bf16_curve) {
    enum { STEPS = 10 };
    double f32[STEPS] = {0}, worst = 0;
    assert_int_equal(read_numbers("mlp5_tanh", "trajectories", "sgd lr=0.05", f32, STEPS), STEPS);
    run r = start("mlp5_tanh", FANIN_BF16, false);
    fanin_optimizer *o;
    fanin_err err = {0};
    assert_ok_err(fanin_optimizer_create("sgd:lr=0.05", r.program, &o, &err), err);
    for (int s = 0; s < STEPS; s++) {
        assert_ok_err(fanin_program_run(r.program, &err), err);
        worst = fmax(worst, fabs(fanin_program_loss(r.program) - f32[s]) / f32[s]);
        fanin_optimizer_step(o);
    }
    if (!(worst > 1e-6 && worst < 4e-3)) fail_msg("the losses part by %g", worst);
    fanin_optimizer_destroy(o);
    finish(r);
}

TEST(lenet5_fast) { agrees("lenet5", FANIN_F32, false); }
TEST(lenet5_reference) { agrees("lenet5", FANIN_F32, true); }
TEST(lenet5_double) { agrees("lenet5", FANIN_F64, false); }
TEST(lenet5_curves) { follows_all("lenet5", 1e-4, 1e-4); }
TEST(resnet8_fast) { agrees("resnet8", FANIN_F32, false); }
TEST(resnet8_curves) { follows_all("resnet8", 4.5e-4, 2e-2); }
TEST(resnet8_double) { agrees("resnet8", FANIN_F64, false); }
TEST(gpt_tiny_fast) { agrees("gpt_tiny", FANIN_F32, false); }
TEST(gpt_tiny_reference) { agrees("gpt_tiny", FANIN_F32, true); }
TEST(gpt_tiny_double) { agrees("gpt_tiny", FANIN_F64, false); }
TEST(gpt_tiny_curves) { follows_all("gpt_tiny", 1e-4, 1e-4); }
