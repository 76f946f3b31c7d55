/* bench_replica.c - thousands of small networks side by side, and one of them in PyTorch.
 *
 *     build/bench/bench_replica [MODEL DATA BATCH OPTIMIZER REPLICAS STEPS]
 *
 * Default: XOR, mlp:2-2-1, all four patterns, adam, 100 000 replicas, 1 000 steps. JSON on standard
 * output: wall clock and processor seconds of three runs (drawing of weights apart), nanoseconds of a
 * processor for one step of one replica, and PyTorch's time for one step of one network (bench/replica_torch.py,
 * where /usr/bin/python3 has torch). With `profile` as first argument: time by primitive of one block. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/base.h"
#include "bench.h"
#include "engine/replicas.h"
#include "fanin/train.h"

/* One block's steps, each many times in a row: so much for each primitive. */
static void profile(fanin_program *p) {
    fanin__lanes *l = fanin__lanes_claim(p);
    enum { TIMES = 20000 };
    for (int i = 0; i < l->plan.step_count; i++) {
        fanin__step *s = &l->plan.steps[i];
        double start = fanin__seconds();
        for (int k = 0; k < TIMES; k++) {
            if (s->fast)
                must(s->fast(s, NULL, NULL), &(fanin_err){0});
            else if (s->kernel)
                s->kernel(s->node, s->in, s->in_count, &s->out);
        }
        double seconds = fanin__seconds() - start;
        fprintf(stderr, "%-24s %-5s %6zu elements a replica %8.1f ns\n",
                fanin__primitive_of(s->node->op)->name, s->fast ? "fast" : "plain",
                s->node->count / p->replicas->lanes, 1e9 * seconds / TIMES);
    }
    fanin__lanes_release(l);
}

static void run(int argc, char **argv, bool look) {
    const char *model = argc > 1 ? argv[1] : "mlp:2-2-1", *data = argc > 2 ? argv[2] : "xor";
    fanin_init_options init = {.scheme = "he"};
    fanin_replicas_options o = {.replicas = argc > 5 ? atoll(argv[5]) : 100000,
                                .init = &init,
                                .shared_order = true,
                                .train = {.optimizer = argc > 4 ? argv[4] : "adam:lr=0.01",
                                          .batch = argc > 3 ? atoll(argv[3]) : 4,
                                          .steps = argc > 6 ? (uint64_t)atoll(argv[6]) : 1000}};
    fanin_graph *g;
    fanin_dataset *d;
    fanin_replica_trainer *t;
    fanin_replicas_result r;
    fanin_err err = {0};
    o.train.eval_every = o.train.steps;
    must(fanin_graph_builtin(model, &g, &err), &err);
    must(fanin_dataset_open(data, 0, &d, &err), &err);
    double start = fanin__seconds(), cpu;
    must(fanin_replica_trainer_create(g, d, &o, &t, &err), &err);
    double create = fanin__seconds() - start;
    if (look) {
        profile(fanin_replica_trainer_program(t));
        return;
    }
    cpu = cpu_seconds();
    must(fanin_replica_trainer_run(t, &r, &err), &err);
    cpu = cpu_seconds() - cpu;
    double each = cpu / ((double)o.replicas * (double)o.train.steps);
    printf(
        "{\"model\":\"%s\",\"data\":\"%s\",\"optimizer\":\"%s\",\"replicas\":%lld,\"steps\":%llu,"
        "\"threads\":%u,\"lanes\":%zu,\"create_seconds\":%.3f,\"seconds\":%.3f,"
        "\"cpu_seconds\":%.3f,\"cpu_ns_per_replica_step\":%.1f}\n",
        model, data, o.train.optimizer, (long long)o.replicas, (unsigned long long)o.train.steps,
        fanin_threads(), fanin_replica_trainer_program(t)->replicas->lanes, create, r.seconds, cpu,
        1e9 * each);
    fflush(stdout);
    fanin_replicas_result_fini(&r);
    fanin_replica_trainer_destroy(t);
    fanin_dataset_close(d);
    fanin_graph_destroy(g);
}

int main(int argc, char **argv) {
    bool look = argc > 1 && !strcmp(argv[1], "profile");
    run_as_the_program(argv);
    if (look) argc--, argv++;
    for (int i = 0; i < (look ? 1 : 3); i++) run(argc, argv, look);
    if (look || argc > 1) return 0;
    char script[4096], path[2048];
    const char *slash = strrchr(argv[0], '/');
    snprintf(path, sizeof path, "%.*s/../../bench/replica_torch.py",
             slash ? (int)(slash - argv[0]) : 1, slash ? argv[0] : ".");
    snprintf(script, sizeof script, "/usr/bin/python3 '%s' 2>/dev/null", path);
    if (system(script) != 0) printf("{\"torch\":\"skipped: /usr/bin/python3 has no torch\"}\n");
    return 0;
}
