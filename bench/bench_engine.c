/* bench_engine.c - one network's passes and steps, measured on request, so that bench_engine.py can
 * take turns between this program and PyTorch.
 *
 *     build/bench/bench_engine worker MODEL BATCH LENGTH OPTIMIZER   (OPTIMIZER -: passes only;
 *                             descend+sgd:lr=X: the products update the weights that allow it;
 *                             bf16+ in front: operands of products in bfloat16)
 *     build/bench/bench_engine matmul                                 (the peak: 1024 x 1024 x 1024)
 *     build/bench/bench_engine plan MODEL BATCH LENGTH                 (reading and planning)
 *     build/bench/bench_engine profile MODEL BATCH LENGTH [STEPS]      (time by primitive)
 *
 * Worker and matmul read numbers of steps from standard input and answer each with a line of JSON:
 * wall clock and processor seconds of those steps, and the most memory that the process ever had.
 * LENGTH is the size of symbolic axes behind the first (tokens), 0 where there is none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/base.h"
#include "bench.h"
#include "compute/compute.h"
#include "engine/fast.h"
#include "engine/program.h"
#include "fanin/format.h"
#include "fanin/scheme.h"
#include "fanin/train.h"

typedef struct subject {
    fanin_graph *graph;
    fanin_program *program;
    fanin_optimizer *optimizer;
    double read_seconds, plan_seconds;
} subject;

static double peak_megabytes(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss / 1024;
}

/* Weights by the scheme auto, N(0, 1)-like inputs, classes and tokens that go round. */
static void fill(subject *s) {
    fanin_err err = {0};
    fanin_plan *plan;
    fanin_init_options o = {0};
    must(fanin_plan_create(s->graph, &o, &plan, &err), &err);
    must(fanin_plan_apply(plan, s->program, &err), &err);
    fanin_plan_destroy(plan);
    for (int i = 0; i < fanin_program_input_count(s->program); i++) {
        fanin_buffer b = fanin_program_input(s->program, i);
        uint32_t state = 1;
        for (size_t k = 0; k < b.count; k++) {
            state = state * 1664525u + 1013904223u;
            if (b.dtype == FANIN_I64)
                ((int64_t *)b.data)[k] = state >> 16 & 1023;
            else
                ((float *)b.data)[k] = (float)(state >> 8) * 0x1p-22f - 2;
        }
    }
    fanin_buffer t = fanin_program_target(s->program);
    for (size_t k = 0; k < t.count && t.dtype == FANIN_I64; k++)
        ((int64_t *)t.data)[k] = (int64_t)(k % 10);
}

static subject make(const char *model, int64_t batch, int64_t length, const char *optimizer) {
    subject s = {0};
    fanin_err err = {0};
    double start = fanin__seconds();
    must(fanin_graph_load(model, &s.graph, &err), &err);
    s.read_seconds = fanin__seconds() - start;
    static const char half[] = "bf16+", together[] = "descend+";
    bool bf16 = optimizer && !strncmp(optimizer, half, sizeof half - 1);
    if (bf16) optimizer += sizeof half - 1;
    bool descend = optimizer && !strncmp(optimizer, together, sizeof together - 1);
    if (descend) optimizer += sizeof together - 1;
    fanin_program_options o = {.batch = batch,
                               .loss = "cross_entropy",
                               .gradients = true,
                               .descend = descend,
                               .dtype = bf16 ? FANIN_BF16 : FANIN_F32};
    int64_t dims[8][FANIN_MAX_RANK];
    for (int i = 0; i < s.graph->input_count && i < 8; i++) {
        const fanin_value *v = &s.graph->values[s.graph->inputs[i]];
        for (int k = 0; k < v->rank; k++)
            dims[i][k] = v->dims[k] >= 0 ? v->dims[k] : k == 0 ? batch : length;
        o.input_dims[i] = dims[i];
    }
    start = fanin__seconds();
    must(fanin_program_create(s.graph, &o, &s.program, &err), &err);
    s.plan_seconds = fanin__seconds() - start;
    if (optimizer) must(fanin_optimizer_create(optimizer, s.program, &s.optimizer, &err), &err);
    if (descend) fanin_program_set_rate(s.program, fanin_optimizer_lr(s.optimizer));
    return s;
}

static void finish(subject *s) {
    fanin_optimizer_destroy(s->optimizer);
    fanin_program_destroy(s->program);
    fanin_graph_destroy(s->graph);
}

static void step(void *arg) {
    subject *s = arg;
    fanin_err err = {0};
    must(fanin_program_run(s->program, &err), &err);
    if (s->optimizer) fanin_optimizer_step(s->optimizer);
}

static void serve(void (*work)(void *), void *arg) {
    work(arg);
    work(arg);
    printf("{\"ready\": true}\n");
    fflush(stdout);
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        long n = strtol(line, NULL, 10);
        double wall = fanin__seconds(), cpu = cpu_seconds();
        for (long i = 0; i < n; i++) work(arg);
        printf("{\"wall\": %.6f, \"cpu\": %.6f, \"peak_mb\": %.1f}\n", fanin__seconds() - wall,
               cpu_seconds() - cpu, peak_megabytes());
        fflush(stdout);
    }
}

/* ---- the peak ---------------------------------------------------------------------------- */

enum { EDGE = 1024 };

typedef struct product {
    fanin__plan *plan;
    void *buffers[4], *scratch;
} product;

static void multiply(void *arg) {
    product *p = arg;
    fanin_err err = {0};
    must(fanin__plan_run(p->plan, p->buffers, p->scratch, &err), &err);
}

static void serve_matmul(void) {
    fanin__matmul_desc d = {.m = EDGE,
                            .n = EDGE,
                            .k = EDGE,
                            .a_row = EDGE,
                            .a_col = 1,
                            .b_row = EDGE,
                            .b_col = 1,
                            .c_row = EDGE};
    product p = {0};
    fanin_err err = {0};
    must(fanin__matmul_plan_create(&d, &p.plan, &err), &err);
    for (int i = 0; i < 4; i++) p.buffers[i] = fanin_malloc_aligned(EDGE * EDGE * sizeof(float));
    p.scratch = fanin_malloc_aligned(fanin__plan_scratch(p.plan) + 64);
    for (int i = 0; i < EDGE * EDGE; i++)
        ((float *)p.buffers[0])[i] = ((float *)p.buffers[1])[i] = (float)(i % 1000) * 1e-3f;
    serve(multiply, &p);
    for (int i = 0; i < 4; i++) fanin_free_aligned(p.buffers[i]);
    fanin_free_aligned(p.scratch);
    fanin__plan_destroy(p.plan);
}

/* ---- planning ---------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The first time is what a user waits for; later ones find the libraries warm. */
static void time_planning(const char *model, int64_t batch, int64_t length) {
    enum { TIMES = 7 };
    double read[TIMES], plan[TIMES], cpu[TIMES];
    for (int i = 0; i < TIMES; i++) {
        double before = cpu_seconds();
        subject s = make(model, batch, length, NULL);
        read[i] = s.read_seconds;
        plan[i] = s.plan_seconds;
        cpu[i] = cpu_seconds() - before;
        finish(&s);
    }
    double first = read[0] + plan[0], first_cpu = cpu[0];
    qsort(read, TIMES, sizeof *read, by_value);
    qsort(plan, TIMES, sizeof *plan, by_value);
    qsort(cpu, TIMES, sizeof *cpu, by_value);
    printf("{\"first_ms\": %.1f, \"first_cpu_ms\": %.1f, \"read_ms\": %.1f, \"plan_ms\": %.1f, "
           "\"cpu_ms\": %.1f}\n",
           first * 1e3, first_cpu * 1e3, read[TIMES / 2] * 1e3, plan[TIMES / 2] * 1e3,
           cpu[TIMES / 2] * 1e3);
}

/* ---- where the time goes ----------------------------------------------------------------- */

typedef struct share {
    char name[160];
    double seconds;
    int steps;
} share;

static int slowest_first(const void *a, const void *b) {
    double x = ((const share *)a)->seconds, y = ((const share *)b)->seconds;
    return (x < y) - (x > y);
}

static void shape_text(const fanin__tensor *t, char *buf, size_t size) {
    size_t at = 0;
    for (int i = 0; i < t->rank && at + 24 < size; i++)
        at += (size_t)snprintf(buf + at, size - at, "%s%lld", i ? "x" : "", (long long)t->dims[i]);
    if (!at) snprintf(buf, size, "1");
}

static void profile(subject *s, int rounds) {
    fanin__steps *plan = &s->program->plan;
    share *all = fanin_calloc((size_t)plan->step_count + 1, sizeof *all);
    if (!all) exit(5);
    int count = 0;
    double total = 0;
    for (int i = 0; i < plan->step_count; i++) {
        fanin__step *step = &plan->steps[i];
        char name[160], out[64], in[64] = "";
        shape_text(&step->out, out, sizeof out);
        if (step->in_count) shape_text(&step->in[0], in, sizeof in);
        snprintf(name, sizeof name, "%-14s %s > %s%s", fanin__primitive_of(step->node->op)->name,
                 in, out, step->fast ? "" : " (reference)");
        fanin_err err = {0};
        double best = 1e9;
        for (int r = 0; r < rounds; r++) {
            double start = fanin__seconds();
            if (step->fast)
                must(step->fast(step, s->program->scratch, &err), &err);
            else if (step->kernel)
                step->kernel(step->node, step->in, step->in_count, &step->out);
            double t = fanin__seconds() - start;
            if (t < best) best = t;
        }
        int k = 0;
        while (k < count && strcmp(all[k].name, name)) k++;
        if (k == count) snprintf(all[count++].name, sizeof name, "%s", name);
        all[k].seconds += best;
        all[k].steps++;
        total += best;
    }
    qsort(all, (size_t)count, sizeof *all, slowest_first);
    printf("%d steps, %.3f ms (each step alone, best of %d), %.1f MB\n", plan->step_count,
           total * 1e3, rounds, (double)plan->arena_size * 1e-6);
    for (int k = 0; k < count && k < 60; k++)
        printf("%8.3f ms %5.1f %% %4d x %s\n", all[k].seconds * 1e3, 100 * all[k].seconds / total,
               all[k].steps, all[k].name);
    fanin_free(all);
}

int main(int argc, char **argv) {
    run_as_the_program(argv);
    if (argc == 2 && !strcmp(argv[1], "matmul")) {
        serve_matmul();
        return 0;
    }
    if (argc < 5) {
        fprintf(stderr, "usage: bench_engine worker|plan|profile MODEL BATCH LENGTH "
                        "[OPTIMIZER|STEPS], or bench_engine matmul\n");
        return 2;
    }
    int64_t batch = strtoll(argv[3], NULL, 10), length = strtoll(argv[4], NULL, 10);
    if (!strcmp(argv[1], "plan")) {
        time_planning(argv[2], batch, length);
        return 0;
    }
    bool worker = !strcmp(argv[1], "worker");
    const char *optimizer = worker && argc > 5 && strcmp(argv[5], "-") != 0 ? argv[5] : NULL;
    subject s = make(argv[2], batch, length, optimizer);
    fill(&s);
    if (worker) {
        serve(step, &s);
    } else {
        step(&s);
        profile(&s, argc > 5 ? atoi(argv[5]) : 3);
    }
    finish(&s);
    return 0;
}
