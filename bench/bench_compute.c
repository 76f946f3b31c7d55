/* bench_compute.c - the dense kernels against what the machine can do: products and convolutions
 * against the peak of its multiply-adds, passes over memory against memcpy. One JSON object on
 * standard output; times are medians, `spread` is (worst - best) / median of the repetitions.
 *
 *     build/bench/bench_compute [filter]
 *
 * The filter keeps the lines whose name contains it (the two peaks are always measured). */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "compute/compute.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { REPEATS = 7 };
static const double sample_seconds = 0.03;
static const char *filter;
static double peak;       /* flop/s of all threads, registers only */
static double copy_speed; /* bytes/s of memcpy, read plus written, same threads */

typedef struct timing {
    double median, spread;
} timing;

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static timing measure(void (*run)(void *), void *arg) {
    double t[REPEATS], start = fanin__seconds();
    run(arg);
    double once = fanin__seconds() - start;
    int calls = once < sample_seconds ? (int)(sample_seconds / (once + 1e-7)) + 1 : 1;
    for (int r = 0; r < REPEATS; r++) {
        start = fanin__seconds();
        for (int i = 0; i < calls; i++) run(arg);
        t[r] = (fanin__seconds() - start) / calls;
    }
    qsort(t, REPEATS, sizeof *t, compare);
    return (timing){t[REPEATS / 2], (t[REPEATS - 1] - t[0]) / t[REPEATS / 2]};
}

static bool wanted(const char *name) { return !filter || strstr(name, filter); }

static void line(const char *name, const char *variant, timing t, double flops, double bytes) {
    printf(",\n  {\"name\": \"%s\", \"variant\": \"%s\", \"us\": %.2f, \"spread\": %.2f", name,
           variant, t.median * 1e6, t.spread);
    if (flops > 0)
        printf(", \"gflops\": %.1f, \"of_peak\": %.3f", flops / t.median * 1e-9,
               flops / t.median / peak);
    if (bytes > 0)
        printf(", \"gbytes\": %.1f, \"of_memcpy\": %.3f", bytes / t.median * 1e-9,
               bytes / t.median / copy_speed);
    printf("}");
    fflush(stdout);
}

static float *numbers(size_t n) {
    float *p = fanin_malloc_aligned(n * sizeof *p);
    if (!p) exit(5);
    for (size_t i = 0; i < n; i++) p[i] = (float)(i * 2654435761u % 2048) / 1024.0f - 1.0f;
    return p;
}

/* ---- peaks ----------------------------------------------------------------------------- */

enum { FMA_ROUNDS = 200000 };

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static float fma_avx512(void) {
    __m512 a[16], x = _mm512_set1_ps(0.5f);
    for (int j = 0; j < 16; j++) a[j] = _mm512_set1_ps((float)j);
    for (int i = 0; i < FMA_ROUNDS; i++)
#pragma GCC unroll 16
        for (int j = 0; j < 16; j++) a[j] = _mm512_fmadd_ps(a[j], x, x);
    for (int j = 1; j < 16; j++) a[0] = _mm512_add_ps(a[0], a[j]);
    return _mm512_cvtss_f32(a[0]);
}

__attribute__((target("avx2,fma"))) static float fma_avx2(void) {
    __m256 a[12], x = _mm256_set1_ps(0.5f);
    for (int j = 0; j < 12; j++) a[j] = _mm256_set1_ps((float)j);
    for (int i = 0; i < FMA_ROUNDS; i++)
#pragma GCC unroll 12
        for (int j = 0; j < 12; j++) a[j] = _mm256_fmadd_ps(a[j], x, x);
    for (int j = 1; j < 12; j++) a[0] = _mm256_add_ps(a[0], a[j]);
    return _mm256_cvtss_f32(a[0]);
}
#endif

static double sink;

static void fma_run(void *arg) {
    (void)arg;
    double total = 0;
#pragma omp parallel num_threads((int)fanin_threads()) reduction(+ : total)
    {
#if defined(__x86_64__)
        total += (double)(fanin_cpu_level() == FANIN_CPU_AVX512 ? fma_avx512() : fma_avx2());
#endif
    }
    sink += total;
}

typedef struct copy {
    size_t n;
    const float *in;
    float *out;
} copy;

static void copy_range(void *arg, size_t begin, size_t end) {
    copy *c = arg;
    memcpy(c->out + begin, c->in + begin, (end - begin) * sizeof(float));
}

static void copy_run(void *arg) {
    copy *c = arg;
    fanin_parallel_for(c->n, 65536, copy_range, c);
}

/* ---- plans ----------------------------------------------------------------------------- */

typedef struct plan_run {
    fanin__plan *plan;
    float alpha;
    bool matmul;
    void *buffers[8];
    void *scratch;
} plan_run;

static void run_plan(void *arg) {
    plan_run *r = arg;
    fanin_err err = {0};
    fanin_status s = r->matmul
                         ? fanin__matmul_plan_run(r->plan, r->alpha, r->buffers, r->scratch, &err)
                         : fanin__plan_run(r->plan, r->buffers, r->scratch, &err);
    if (s != FANIN_OK) fprintf(stderr, "%s\n", err.message);
}

static void time_plan(const char *name, plan_run *r, double flops, double bytes) {
    r->scratch = fanin_malloc_aligned(fanin__plan_scratch(r->plan) + 64);
    if (r->scratch) memset(r->scratch, 0, fanin__plan_scratch(r->plan) + 64);
    line(name, fanin__plan_variant(r->plan), measure(run_plan, r), flops, bytes);
    fanin_free_aligned(r->scratch);
    fanin__plan_destroy(r->plan);
}

static void bench_matmul(const char *name, fanin__matmul_desc d, float alpha) {
    static const char *const suffix[] = {"auto", "own", "dnnl"};
    float *a = numbers((size_t)(d.m * d.k)), *b = numbers((size_t)(d.k * d.n));
    float *c = numbers((size_t)(d.m * d.n)), *bias = numbers((size_t)d.n);
    for (int backend = 0; backend < 3; backend++) {
        char full[128];
        snprintf(full, sizeof full, "%s %lldx%lldx%lld %s", name, (long long)d.m, (long long)d.n,
                 (long long)d.k, suffix[backend]);
        plan_run r = {.alpha = alpha, .matmul = true, .buffers = {a, b, bias, c}};
        d.backend = (fanin__backend)backend;
        if (!wanted(full) || fanin__matmul_plan_create(&d, &r.plan, NULL) != FANIN_OK) continue;
        time_plan(full, &r, 2.0 * (double)d.m * (double)d.n * (double)d.k, 0);
    }
    fanin_free_aligned(a), fanin_free_aligned(b), fanin_free_aligned(c), fanin_free_aligned(bias);
}

/* The three products of a dense layer as the engine asks for them; weights are out x in. */
static void bench_layer(int64_t batch, int64_t in, int64_t out) {
    bench_matmul("dense forward",
                 (fanin__matmul_desc){.m = batch,
                                      .n = out,
                                      .k = in,
                                      .a_row = in,
                                      .a_col = 1,
                                      .b_row = 1,
                                      .b_col = in,
                                      .c_row = out,
                                      .bias = FANIN__BIAS_N},
                 1);
    bench_matmul("dense dx",
                 (fanin__matmul_desc){.m = batch,
                                      .n = in,
                                      .k = out,
                                      .a_row = out,
                                      .a_col = 1,
                                      .b_row = in,
                                      .b_col = 1,
                                      .c_row = in},
                 1);
    bench_matmul("dense update",
                 (fanin__matmul_desc){.m = out,
                                      .n = in,
                                      .k = batch,
                                      .a_row = 1,
                                      .a_col = out,
                                      .b_row = in,
                                      .b_col = 1,
                                      .c_row = in,
                                      .beta = 1,
                                      .scaled = true},
                 -1e-6f);
}

static void bench_conv(const char *net, int64_t n, int64_t in, int64_t out, int64_t size, int64_t k,
                       int64_t stride) {
    static const char *const passes[] = {"forward", "dx", "dw"};
    int64_t pad = k / 2, os = (size + 2 * pad - k) / stride + 1;
    size_t nx = (size_t)(n * in * size * size), ny = (size_t)(n * out * os * os),
           nw = (size_t)(out * in * k * k);
    float *x = numbers(nx), *y = numbers(ny), *w = numbers(nw);
    void *buffers[3][3] = {{x, w, NULL}, {y, w, x}, {x, y, w}};
    for (int pass = 0; pass < 3; pass++)
        for (int layout = 0; layout < 2; layout++) {
            char full[128];
            snprintf(full, sizeof full, "conv %s %lldx%lld k%lld s%lld @%lld %s %s", net,
                     (long long)in, (long long)out, (long long)k, (long long)stride,
                     (long long)size, passes[pass], layout ? "nxc" : "ncx");
            if (!wanted(full)) continue;
            fanin__conv_desc d = {.pass = (fanin__pass)pass,
                                  .layout = (fanin__layout)layout,
                                  .n = n,
                                  .c_in = in,
                                  .c_out = out,
                                  .groups = 1,
                                  .window = {2,
                                             {size, size},
                                             {os, os},
                                             {k, k},
                                             {stride, stride},
                                             {1, 1},
                                             {pad, pad},
                                             {pad, pad}}};
            plan_run r = {.alpha = 1};
            memcpy(r.buffers, buffers[pass], sizeof buffers[pass]);
            if (pass == 0) r.buffers[3] = y;
            fanin_err err = {0};
            if (fanin__conv_plan_create(&d, &r.plan, &err) != FANIN_OK) {
                fprintf(stderr, "%s: %s\n", full, err.message);
                continue;
            }
            time_plan(full, &r, 2.0 * (double)ny * (double)(in * k * k), 0);
        }
    fanin_free_aligned(x), fanin_free_aligned(y), fanin_free_aligned(w);
}

/* ---- passes over memory ---------------------------------------------------------------- */

typedef struct pass {
    size_t rows, cols;
    float *a, *b, *c, *d, *e;
    int kind;
} pass;

static void run_add(void *v) {
    pass *p = v;
    fanin__add(p->rows * p->cols, p->a, p->b, p->c);
}
static void run_axpy(void *v) {
    pass *p = v;
    fanin__axpy(p->rows * p->cols, 1e-6f, p->a, p->c);
}
static void run_exp(void *v) {
    pass *p = v;
    fanin__kernels_best()->unary[FANIN__UNARY_EXP](p->rows * p->cols, p->a, p->c);
}
static void run_sum(void *v) {
    pass *p = v;
    sink += fanin__sum(p->rows * p->cols, p->a);
}
static void run_sum_rows(void *v) {
    pass *p = v;
    fanin__sum_rows(p->rows, p->cols, p->a, false, p->c);
}
static void run_transpose(void *v) {
    pass *p = v;
    fanin__transpose(1, p->rows, p->cols, p->a, p->c);
}
static void run_softmax(void *v) {
    pass *p = v;
    fanin__softmax(p->rows, p->cols, p->a, p->c);
}
static void run_update(void *v) {
    pass *p = v;
    fanin__update_args args = {.lr = 1e-6,
                               .momentum = 0.9,
                               .beta1 = 0.9,
                               .beta2 = 0.999,
                               .alpha = 0.99,
                               .eps = 1e-8,
                               .step = 10};
    int kind = p->kind - 1;
    if (kind < 0) { /* plain SGD */
        args.momentum = 0;
        kind = FANIN__UPDATE_SGD;
    }
    if (kind == FANIN__UPDATE_RMSPROP) args.momentum = 0;
    fanin__update((fanin__update_kind)kind, &args, p->rows * p->cols, p->a, p->b, p->c, p->d, p->e);
}

static void bench_passes(size_t rows, size_t cols) {
    size_t n = rows * cols;
    pass p = {rows, cols, numbers(n), numbers(n), numbers(n), numbers(n), numbers(n), 0};
    for (size_t i = 0; i < n; i++) p.c[i] = p.d[i] = p.c[i] < 0 ? -p.c[i] : p.c[i];
    const struct {
        const char *name;
        void (*run)(void *);
        double floats; /* read and written for each element */
        int kind;
    } rowsof[] = {{"add", run_add, 3, 0},           {"axpy", run_axpy, 3, 0},
                  {"exp", run_exp, 2, 0},           {"sum", run_sum, 1, 0},
                  {"sum rows", run_sum_rows, 1, 0}, {"transpose", run_transpose, 2, 0},
                  {"softmax", run_softmax, 2, 0},   {"sgd", run_update, 3, 0},
                  {"momentum", run_update, 5, 1},   {"adam", run_update, 7, 2},
                  {"adamw", run_update, 7, 3},      {"rmsprop", run_update, 5, 4},
                  {"adagrad", run_update, 5, 5}};
    for (size_t i = 0; i < FANIN_COUNT(rowsof); i++) {
        char full[128];
        snprintf(full, sizeof full, "%s %zux%zu", rowsof[i].name, rows, cols);
        p.kind = rowsof[i].kind;
        if (wanted(full))
            line(full, fanin__kernels_best()->name, measure(rowsof[i].run, &p), 0,
                 rowsof[i].floats * 4 * (double)n);
    }
    fanin_free_aligned(p.a), fanin_free_aligned(p.b), fanin_free_aligned(p.c);
    fanin_free_aligned(p.d), fanin_free_aligned(p.e);
}

int main(int argc, char **argv) {
    filter = argc > 1 ? argv[1] : NULL;
    run_as_the_program(argv);
    fanin_compute_backend_info info = fanin_compute_backend();
    unsigned threads = fanin_threads();
    timing t = measure(fma_run, NULL);
    double vector = fanin_cpu_level() == FANIN_CPU_AVX512 ? 16 * 16 : 12 * 8;
    peak = 2.0 * FMA_ROUNDS * vector * threads / t.median;
    printf("{\"library\": \"%s\", \"isa\": \"%s\", \"runtime\": \"%s\", \"threads\": %u,\n",
           info.library, info.isa, info.runtime, threads);
    printf(" \"fma_peak_gflops\": %.1f, \"fma_spread\": %.2f,\n", peak * 1e-9, t.spread);
    size_t n = (size_t)1 << 25;
    copy c = {n, numbers(n), numbers(n)};
    t = measure(copy_run, &c);
    copy_speed = 8.0 * (double)n / t.median;
    fanin_free_aligned((void *)(uintptr_t)c.in), fanin_free_aligned(c.out);
    printf(" \"memcpy_gbytes\": %.1f, \"memcpy_spread\": %.2f,\n \"lines\": [\n  {\"name\": "
           "\"start\"}",
           copy_speed * 1e-9, t.spread);
    bench_matmul("sgemm",
                 (fanin__matmul_desc){.m = 1024,
                                      .n = 1024,
                                      .k = 1024,
                                      .a_row = 1024,
                                      .a_col = 1,
                                      .b_row = 1024,
                                      .b_col = 1,
                                      .c_row = 1024},
                 1);
    const int64_t batches[] = {10, 128};
    for (int i = 0; i < 2; i++) {
        bench_layer(batches[i], 100, 100);
        bench_layer(batches[i], 784, 1000);
        bench_layer(batches[i], 1000, 1000);
        bench_layer(batches[i], 1000, 10);
    }
    bench_conv("resnet20", 128, 3, 16, 32, 3, 1);
    bench_conv("resnet20", 128, 16, 16, 32, 3, 1);
    bench_conv("resnet20", 128, 32, 32, 16, 3, 1);
    bench_conv("resnet20", 128, 64, 64, 8, 3, 1);
    bench_conv("resnet50", 8, 3, 64, 224, 7, 2);
    bench_conv("resnet50", 8, 64, 256, 56, 1, 1);
    bench_conv("resnet50", 8, 128, 128, 28, 3, 1);
    bench_conv("resnet50", 8, 1024, 256, 14, 1, 1);
    bench_conv("resnet50", 8, 512, 512, 7, 3, 1);
    bench_passes(4096, 4096);
    bench_passes(128, 1000);
    printf("\n]}\n");
    return sink == 12345 ? 1 : 0;
}
