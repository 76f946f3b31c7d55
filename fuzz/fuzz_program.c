/* fuzz_program.c - networks changed in their own terms (mutate_graph.h): the builder refuses them with a
 * sentence or the whole way goes on: plan of weights, program, one pass. What the fast kernels say is what the
 * plain ones say.
 *
 * Input: one byte picks the network (and, by its top bit, the scheme auto), then four bytes a change, sixteen changes at most. */
#include <math.h>
#include <stdio.h>

#include "fanin/scheme.h"
#include "mutate_graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Small, and together with every kind of layer. */
static const char *const networks[] = {
    "mlp:6-5x2-3,act=tanh",
    "mlp:6-5x2-3,norm=batch,dropout=0.5",
    "mlp:6-5-3,act=gelu,norm=layer",
    "convnet:1x8x8-4-6-3",
    "convnet:2x8x8-4x2-3,norm=batch,pool=1",
    "autoencoder:8-4-2",
    "gpt2:layers=1,width=8,heads=2,vocab=11,context=4,tokens=4",
    "vit:layers=1,width=8,heads=2,patch=4,size=8,classes=3",
};
enum { NETWORK_COUNT = sizeof networks / sizeof *networks, MEMORY = 64 << 20 };

/* More than MEMORY is refused: the sizes come from strangers. */
typedef struct purse {
    size_t left;
} purse;

static void *purse_resize(void *ctx, void *p, size_t n) {
    purse *s = ctx;
    if (n > s->left) return NULL;
    s->left -= n;
    return realloc(p, n);
}

static void purse_release(void *ctx, void *p) {
    (void)ctx;
    free(p);
}

static void fill(fanin_buffer b, unsigned seed) {
    for (size_t i = 0; i < b.count && b.data; i++) {
        seed = seed * 1664525u + 1013904223u;
        if (b.dtype == FANIN_I64)
            ((int64_t *)b.data)[i] = (int64_t)(seed >> 30);
        else if (b.dtype == FANIN_F32)
            ((float *)b.data)[i] = (float)((int)(seed >> 24) - 128) / 256;
    }
}

static fanin_status run(const fanin_graph *g, bool reference, fanin_program **p, fanin_err *err) {
    const fanin_program_options o = {
        .batch = 2, .loss = "mse", .gradients = true, .reference = reference, .eval = true};
    fanin_status status = fanin_program_create(g, &o, p, err);
    if (status != FANIN_OK) return status;
    for (int i = 0; i < fanin_program_input_count(*p); i++) fill(fanin_program_input(*p, i), 7);
    for (int i = 0; i < fanin_program_weight_count(*p); i++)
        fill(fanin_program_weight(*p, i), (unsigned)i);
    fill(fanin_program_target(*p), 99);
    return fanin_program_run(*p, err);
}

static bool close_enough(fanin_buffer a, fanin_buffer b) {
    double most = 1e-3;
    if (a.count != b.count || a.rank != b.rank || a.dtype != b.dtype) return false;
    size_t count = 1;
    for (int i = 0; i < a.rank; i++) count *= (size_t)a.dims[i];
    if (count != a.count) return false;
    if (a.dtype != FANIN_F32 || !a.data || !b.data) return true;
    const float *x = a.data, *y = b.data;
    for (size_t i = 0; i < a.count; i++) most = fmax(most, fabs((double)y[i]));
    for (size_t i = 0; i < a.count; i++) {
        if (!isfinite(x[i]) || !isfinite(y[i])) return true; /* the values leave what float holds */
        if (fabs((double)x[i] - (double)y[i]) > 1e-2 * most) return false;
    }
    return true;
}

static void expect_sentence(fanin_status status, const fanin_err *err) {
    if (status != FANIN_OK && !err->message[0]) __builtin_trap();
}

static void explain(const fanin_graph *g, const char *scheme) {
    fanin_err err = {0};
    fanin_plan *plan = NULL;
    const fanin_init_options o = {.scheme = scheme};
    fanin_status status = fanin_plan_create(g, &o, &plan, &err);
    expect_sentence(status, &err);
    fanin_plan_destroy(plan);
}

/* The whole way for a graph that the builder let pass; prediction of its signal costs most of the time. */
static void whole_way(const fanin_graph *g, bool predicted) {
    fanin_err err = {0};
    fanin_program *fast = NULL, *plain = NULL;
    explain(g, predicted ? "auto" : "he");
    fanin_status status = run(g, false, &fast, &err);
    expect_sentence(status, &err);
    if (status == FANIN_OK && run(g, true, &plain, &err) == FANIN_OK &&
        !close_enough(fanin_program_output(fast, 0), fanin_program_output(plain, 0)))
        __builtin_trap();
    fanin_program_destroy(fast);
    fanin_program_destroy(plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fanin_graph *g = NULL, *changed = NULL;
    fanin_err err = {0};
    mutant m;
    if (size < 1) return 0;
    fanin_status status = fanin_graph_builtin(networks[data[0] % NETWORK_COUNT], &g, &err);
    if (status != FANIN_OK) {
        fprintf(stderr, "%s\n", err.message);
        __builtin_trap();
    }
    mutant_init(&m, g);
    for (size_t i = 0; i < 16 && 1 + (i + 1) * CHANGE_BYTES <= size; i++)
        mutant_change(&m, data + 1 + i * CHANGE_BYTES);
    purse s = {MEMORY};
    const fanin_allocator allocator = {purse_resize, purse_release, &s};
    fanin_allocator_set(&allocator);
    status = mutant_build(&m, &changed, &err);
    expect_sentence(status, &err);
    if (status == FANIN_OK) whole_way(changed, data[0] & 0x80);
    fanin_graph_destroy(changed);
    fanin_allocator_set(NULL);
    mutant_fini(&m);
    fanin_graph_destroy(g);
    return 0;
}
