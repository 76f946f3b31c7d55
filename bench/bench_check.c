/* bench_check.c - what a basic check costs beside one pass forward and backward.
 *
 *     build/bench/bench_check MODEL BATCH [ROUNDS]      (default: the four networks of docs/check.md)
 *
 * Counted in processor seconds (of two busy cores they say more than the clock; both are printed), medians of
 * rounds that take turns:
 *   pass     a warm pass of the plain program: what training does, nothing kept but what gradients need
 *   kept     a warm pass of check's own program, which keeps what figures are read from
 *   check    fanin_signal_measure, start to end
 *   apart    what looks at no number: weights planned and figures predicted from the graph, check's program
 *            planned and filled, its first run (memory touched, oneDNN's code generated) and its end; and planning
 *            the program of the input-output Jacobian where there is one
 *   ratio    (check - apart + kept) / pass
 * Idle threads wait as they do in the program (OMP_WAIT_POLICY=passive). */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base.h"
#include "bench.h"
#include "fanin/compute.h"
#include "fanin/format.h"
#include "fanin/probe.h"
#include "probe/fill.h"
#include "probe/layers.h"

typedef struct timing {
    double wall, cpu;
} timing;

static timing now(void) { return (timing){fanin__seconds(), cpu_seconds()}; }
static timing since(timing start) {
    timing end = now();
    return (timing){end.wall - start.wall, end.cpu - start.cpu};
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* What all programs of one network are made of. */
typedef struct subject {
    fanin_graph *graph;
    fanin_plan *plan;
    fanin_signal_options options;
    fanin__subject fill;
    int64_t rows; /* of the input-output Jacobian's program; 0: none */
} subject;

static void open_subject(const char *model, int64_t batch, subject *s) {
    fanin_err err = {0};
    const fanin_init_options init = {0};
    must(fanin_graph_load(model, &s->graph, &err), &err);
    must(fanin_plan_create(s->graph, &init, &s->plan, &err), &err);
    s->options = (fanin_signal_options){.batch = batch, .seeds = 1};
    s->fill =
        (fanin__subject){s->graph, s->plan, &s->options, fanin_graph_default_loss(s->graph), 0};
}

static fanin_program *make_program(const subject *s, bool keep) {
    fanin_err err = {0};
    fanin_program *p;
    fanin__layer *layers;
    int count;
    fanin_program_options o = {.batch = s->options.batch, .loss = s->fill.loss, .gradients = true};
    must(fanin__layers_find(s->graph, &layers, &count, &err), &err);
    int *values = fanin__layers_values(layers, count, &o.keep_count);
    if (keep) o.keep = values;
    must(fanin_program_create(s->graph, &o, &p, &err), &err);
    fanin_free(values);
    fanin__layers_free(layers, count);
    must(fanin__fill_program(&s->fill, p, &err), &err);
    return p;
}

static timing time_check(subject *s) {
    fanin_err err = {0};
    const fanin_init_options init = {0};
    fanin_signal *signal;
    timing start = now();
    must(fanin_signal_measure(s->graph, &init, &s->options, &signal, &err), &err);
    timing taken = since(start);
    const fanin_jacobian_spectrum *j = &signal->jacobian;
    s->rows = (int64_t)((size_t)j->samples * j->outputs) + (j->samples > 0);
    fanin_signal_destroy(signal);
    return taken;
}

static timing time_apart(const subject *s) {
    fanin_err err = {0};
    const fanin_init_options init = {0};
    fanin_plan *plan;
    timing start = now();
    must(fanin_plan_create(s->graph, &init, &plan, &err), &err);
    fanin_program *p = make_program(s, true);
    must(fanin_program_run(p, &err), &err);
    fanin_program_destroy(p);
    if (s->rows) {
        const fanin_program_options back = {
            .batch = s->rows, .cotangent = true, .input_gradients = true};
        must(fanin_program_create(s->graph, &back, &p, &err), &err);
        fanin_signal_options few = s->options;
        fanin__subject fill = s->fill;
        few.batch = s->rows;
        fill.options = &few;
        must(fanin__fill_program(&fill, p, &err), &err);
        must(fanin_program_run(p, &err), &err);
        timing warm = now(); /* a pass of it is a probe's cost */
        must(fanin_program_run(p, &err), &err);
        warm = since(warm);
        start.wall += 2 * warm.wall;
        start.cpu += 2 * warm.cpu;
        fanin_program_destroy(p);
    }
    fanin_prediction *prediction;
    const fanin_predict_options o = {.plan = plan, .loss = s->fill.loss, .batch = s->options.batch};
    must(fanin_predict(s->graph, &o, &prediction, &err), &err);
    fanin_prediction_destroy(prediction);
    fanin_plan_destroy(plan);
    return since(start);
}

static timing time_passes(fanin_program *p, int count) {
    fanin_err err = {0};
    timing start = now();
    for (int i = 0; i < count; i++) must(fanin_program_run(p, &err), &err);
    timing taken = since(start);
    return (timing){taken.wall / count, taken.cpu / count};
}

enum { ROUNDS_MAX = 64, PARTS = 4 };

static void print_parts(const char *clock, double part[PARTS][ROUNDS_MAX], int mid) {
    double pass = part[0][mid], kept = part[1][mid], check = part[2][mid], apart = part[3][mid];
    printf(
        ", \"%spass_ms\": %.3f, \"%skept_ms\": %.3f, \"%scheck_ms\": %.3f, \"%sapart_ms\": %.3f, "
        "\"%sratio\": %.2f",
        clock, pass * 1e3, clock, kept * 1e3, clock, check * 1e3, clock, apart * 1e3, clock,
        (check - apart + kept) / pass);
}

static void bench(const char *model, int64_t batch, int rounds) {
    subject s;
    double wall[PARTS][ROUNDS_MAX], cpu[PARTS][ROUNDS_MAX];
    open_subject(model, batch, &s);
    fanin_program *p = make_program(&s, false), *q = make_program(&s, true);
    time_passes(q, 2);
    timing first = time_passes(p, 2);
    int passes = first.wall > 0.02 ? 1 : (int)(0.02 / first.wall) + 1;
    for (int k = 0; k < rounds; k++) {
        time_passes(p, 1); /* the check before it took its place in the caches */
        const timing plain = time_passes(p, passes);
        time_passes(q, 1);
        const timing kept = time_passes(q, passes),
                     part[PARTS] = {plain, kept, time_check(&s), time_apart(&s)};
        for (int i = 0; i < PARTS; i++) wall[i][k] = part[i].wall, cpu[i][k] = part[i].cpu;
    }
    for (int i = 0; i < PARTS; i++) {
        qsort(wall[i], (size_t)rounds, sizeof(double), by_value);
        qsort(cpu[i], (size_t)rounds, sizeof(double), by_value);
    }
    printf("{\"model\": \"%s\", \"batch\": %lld", model, (long long)batch);
    print_parts("cpu_", cpu, rounds / 2);
    print_parts("", wall, rounds / 2);
    printf("}\n");
    fflush(stdout);
    fanin_program_destroy(p);
    fanin_program_destroy(q);
    fanin_plan_destroy(s.plan);
    fanin_graph_destroy(s.graph);
}

int main(int argc, char **argv) {
    if (!getenv("OMP_WAIT_POLICY") && setenv("OMP_WAIT_POLICY", "passive", 0) == 0)
        execv("/proc/self/exe", argv);
    fanin_compute_use_openmp();
    int rounds = argc > 3 ? atoi(argv[3]) : 5;
    if (argc == 2 || rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: bench_check [MODEL BATCH [ROUNDS, at most %d]]\n", ROUNDS_MAX);
        return 2;
    }
    if (argc > 2) {
        bench(argv[1], strtoll(argv[2], NULL, 10), rounds);
        return 0;
    }
    bench("mlp:784-1000x5-10,act=tanh", 128, rounds);
    bench("mlp:784-1000x5-10,act=tanh", 32, rounds);
    bench("mlp:20-30x3-5", 32, rounds);
    bench("lenet5", 32, rounds);
    bench("resnet:20", 32, rounds);
    bench("gpt2:124m", 2, rounds);
    bench("resnet:18", 32, 3);
    return 0;
}
