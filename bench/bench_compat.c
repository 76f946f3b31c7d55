/* bench_compat - framework streams: nanoseconds an element, beside memset in the same run.
 * JSON on standard output. Each figure is the median of nine runs over 4 Mi elements. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fanin/compat.h"
#include "random/compat.h"

enum { N = 1 << 22, RUNS = 9 };

static fanin_torch_rng torch_rng;
static fanin_numpy_rng numpy_rng;
static void *buffer;

static void run_memset(void) { memset(buffer, 1, N * sizeof(float)); }
static void run_raw(void) { fanin_mt19937_fill(&torch_rng.mt, N, buffer); }
static void run_skip(void) { fanin_torch_uniform(&torch_rng, FANIN_F32, N, 0, 1, NULL); }
static void run_uniform(void) { fanin_torch_uniform(&torch_rng, FANIN_F32, N, -.1, .1, buffer); }
static void run_normal(void) { fanin_torch_normal(&torch_rng, FANIN_F32, N, 0, .02, buffer); }
static void run_normal_bf16(void) { fanin_torch_normal(&torch_rng, FANIN_BF16, N, 0, .02, buffer); }
static void run_normal_f64(void) { fanin_torch_normal(&torch_rng, FANIN_F64, N, 0, .02, buffer); }
static void run_trunc(void) {
    fanin_torch_trunc_normal(&torch_rng, FANIN_F32, N, 0, 1, -2, 2, buffer);
}
static void run_numpy(void) { fanin_numpy_standard_normal(&numpy_rng, FANIN_F64, N, buffer); }
static void run_jax_uniform(void) {
    fanin_jax_uniform(FANIN_JAX_PARTITIONABLE, fanin_jax_key_from(1, false), FANIN_F32, N, 0, 1,
                      buffer);
}
static void run_jax_normal(void) {
    fanin_jax_normal(FANIN_JAX_PARTITIONABLE, fanin_jax_key_from(1, false), N, buffer);
}

static void run_orthogonal(void) {
    fanin_torch_orthogonal(&torch_rng, FANIN_F32, (int64_t[]){1024, 1024}, 2, 1, buffer);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"memset", run_memset},
    {"mt19937_words", run_raw},
    {"torch_skip", run_skip},
    {"torch_uniform_f32", run_uniform},
    {"torch_normal_f32", run_normal},
    {"torch_normal_bf16", run_normal_bf16},
    {"torch_normal_f64", run_normal_f64},
    {"torch_trunc_normal_f32", run_trunc},
    {"numpy_pcg64_standard_normal_f64", run_numpy},
    {"jax_uniform_f32", run_jax_uniform},
    {"jax_normal_f32", run_jax_normal},
    {"torch_orthogonal_1024_f32_per_4Mi", run_orthogonal},
};

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(void (*run)(void), double *median, double *best) {
    double t[RUNS];
    run();
    for (int i = 0; i < RUNS; i++) {
        double start = fanin__seconds();
        run();
        t[i] = (fanin__seconds() - start) / N * 1e9;
    }
    qsort(t, RUNS, sizeof *t, ascending);
    *median = t[RUNS / 2];
    *best = t[0];
}

int main(void) {
    buffer = malloc(N * sizeof(double));
    if (!buffer) return 5;
    fanin_torch_rng_init(&torch_rng, 0, FANIN_TORCH_AVX2, FANIN_TORCH_DEFAULT);
    fanin_numpy_rng_init(&numpy_rng, FANIN_NUMPY_PCG64, 0);
    printf("{\"bench\": \"compat\", \"variant\": \"%s\", \"elements\": %d, \"ns_per_element\": {",
           fanin__compat_kernels_get()->name, N);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double median, best;
        measure(cases[i].run, &median, &best);
        printf("%s\n  \"%s\": {\"median\": %.3f, \"best\": %.3f}", i ? "," : "", cases[i].name,
               median, best);
    }
    printf("\n}}\n");
    free(buffer);
    return 0;
}
