/* bench_random: elements per second of the fills beside memset in the same run, as JSON.
 *
 *     bench_random [MiB] [seconds per line]
 *
 * One thread, 64 MiB of float32 unless said; every variant that runs here, checked against the
 * plain one first. `ratio` is the best time of memset over the best time of the fill for equal
 * numbers of bytes (bf16: for equal numbers of elements of float32). `spread` is median over
 * best. Times of the lines are interleaved, so that noise meets all of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random/random.h"

enum { REPEATS_MAX = 400 };

typedef struct line {
    const char *name, *variant;
    const fanin__random_kernels *kernels; /* NULL: memset */
    fanin_law law;
    fanin_dtype dtype;
    unsigned threads;
    double seconds[REPEATS_MAX];
    int count;
} line;

static const fanin_law uniform = {FANIN_LAW_UNIFORM, 0, 0, -0.1, 0.1};
static const fanin_law normal = {FANIN_LAW_NORMAL, 0, 0.02, 0, 0};
static const fanin_law truncated = {FANIN_LAW_TRUNC_NORMAL, 0, 0.02, -0.04, 0.04};
static const fanin_law signs = {FANIN_LAW_RADEMACHER, 0.02, 0, 0, 0};

static void run_line(const line *l, const fanin_stream *s, size_t n, void *out) {
    if (!l->kernels) {
        memset(out, 0x5a, n * sizeof(float));
        __asm__ volatile("" ::"r"(out) : "memory");
    } else if (l->threads > 0) {
        fanin_threads_set(l->threads);
        fanin_random_fill_parallel(s, 0, &l->law, 0, n, l->dtype, out);
    } else if (l->dtype != FANIN_F32) {
        fanin_random_fill(s, 0, &l->law, 0, n, l->dtype, out);
    } else {
        fanin__plan plan;
        fanin__plan_make(&l->law, &plan);
        fanin__fill_f32(l->kernels, s, 0, &plan, 0, n, out);
    }
}

static bool is_slow(const line *l) {
    return strcmp(l->variant, "ref") == 0 || l->dtype == FANIN_F64;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool agrees(const line *l, const fanin_stream *s) {
    enum { COUNT = 1003 };
    static float want[COUNT], got[COUNT];
    fanin__plan plan;
    if (!l->kernels || fanin__plan_make(&l->law, &plan) != FANIN_OK) return true;
    fanin__fill_f32(fanin__random_ref(), s, 0, &plan, 5, COUNT, want);
    fanin__fill_f32(l->kernels, s, 0, &plan, 5, COUNT, got);
    return memcmp(want, got, sizeof want) == 0;
}

static void print_line(const line *l, size_t n, double memset_best, bool last) {
    double best = l->seconds[0], median = l->seconds[l->count / 2];
    printf("    {\"name\": \"%s\", \"variant\": \"%s\", \"threads\": %u, \"ns_per_element\": %.4f, "
           "\"elements_per_second\": %.4g, \"ratio\": %.3f, \"spread\": %.2f, \"repeats\": %d}%s\n",
           l->name, l->variant, l->threads ? l->threads : 1, best / (double)n * 1e9,
           (double)n / best, memset_best / best, median / best, l->count, last ? "" : ",");
}

int main(int argc, char **argv) {
    size_t n = (size_t)(argc > 1 ? strtod(argv[1], NULL) * 1048576 : 64 * 1048576) / 4;
    double budget = argc > 2 ? strtod(argv[2], NULL) : 0.5;
    static line lines[32];
    size_t count = 0;
    lines[count++] = (line){.name = "memset", .variant = "libc"};
    for (int level = FANIN_CPU_AVX512; level >= FANIN_CPU_REF; level--) {
        const fanin__random_kernels *k = fanin__random_at(level);
        if (!k) continue;
        const fanin_law *laws[] = {&uniform, &normal, &truncated, &signs};
        const char *names[] = {"uniform f32", "normal f32", "truncated f32", "rademacher f32"};
        for (int i = 0; i < 4; i++)
            lines[count++] = (line){names[i], k->name, k, *laws[i], FANIN_F32, 0, {0}, 0};
    }
    const fanin__random_kernels *best = fanin__random_best();
    lines[count++] = (line){"normal bf16", best->name, best, normal, FANIN_BF16, 0, {0}, 0};
    lines[count++] = (line){"uniform bf16", best->name, best, uniform, FANIN_BF16, 0, {0}, 0};
    lines[count++] = (line){"normal f16", best->name, best, normal, FANIN_F16, 0, {0}, 0};
    lines[count++] = (line){"normal f64", best->name, best, normal, FANIN_F64, 0, {0}, 0};
    lines[count++] = (line){"normal f32", best->name, best, normal, FANIN_F32, 1, {0}, 0};
    lines[count++] = (line){"normal f32", best->name, best, normal, FANIN_F32, 2, {0}, 0};
    void *out = aligned_alloc(64, n * sizeof(double));
    if (!out) return 5;
    memset(out, 1, n * sizeof(double));
    fanin_stream s = fanin_stream_init(0, "bench");
    for (size_t i = 0; i < count; i++)
        if (!agrees(&lines[i], &s)) {
            fprintf(stderr, "%s: %s differs from ref\n", lines[i].name, lines[i].variant);
            return 1;
        }
    double begin = fanin__seconds();
    for (int round = 0; round < REPEATS_MAX; round++) {
        if (round >= 3 && fanin__seconds() - begin > budget * (double)count) break;
        for (size_t i = 0; i < count; i++) {
            line *l = &lines[i];
            size_t part = is_slow(l) ? n / 32 : n; /* a part tells as much */
            double start = fanin__seconds();
            run_line(l, &s, part, out);
            l->seconds[l->count++] = (fanin__seconds() - start) * (double)n / (double)part;
        }
    }
    for (size_t i = 0; i < count; i++)
        qsort(lines[i].seconds, (size_t)lines[i].count, sizeof(double), ascending);
    printf("{\n  \"bench\": \"random\", \"bytes\": %zu,\n  \"lines\": [\n", n * 4);
    for (size_t i = 0; i < count; i++)
        print_line(&lines[i], n, lines[0].seconds[0], i + 1 == count);
    printf("  ]\n}\n");
    free(out);
    return 0;
}
