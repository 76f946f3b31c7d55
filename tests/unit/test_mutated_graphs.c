/* Real networks, changed in their own terms: what the builder lets pass is explained and planned, or refused
 * with a sentence; nothing is run, for these are large. Small ones go the whole way in fuzz_program. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "../../fuzz/mutate_graph.h"
#include "fanin/format.h"
#include "fanin/random.h"
#include "fanin/scheme.h"
#include "testing.h"

/* What strangers' sizes may take: more is refused, as in fuzz_program. */
static void *capped_resize(void *ctx, void *p, size_t n) {
    (void)ctx;
    return n > (size_t)1 << 28 ? NULL : realloc(p, n);
}

static void capped_release(void *ctx, void *p) {
    (void)ctx;
    free(p);
}

static void expect_sentence(const char *name, int round, fanin_status status,
                            const fanin_err *err) {
    if (status != FANIN_OK && !err->message[0])
        fail_msg("%s, change %d: %s without a sentence", name, round, fanin_status_name(status));
}

static bool plan_and_program(const char *name, int round, const fanin_graph *g) {
    fanin_err err = {0};
    fanin_plan *plan = NULL;
    const fanin_init_options init = {.scheme = "he"};
    expect_sentence(name, round, fanin_plan_create(g, &init, &plan, &err), &err);
    fanin_plan_destroy(plan);
    fanin_program *p = NULL;
    const fanin_program_options o = {.batch = 1, .eval = true};
    err = (fanin_err){0};
    fanin_status status = fanin_program_create(g, &o, &p, &err);
    expect_sentence(name, round, status, &err);
    if (status == FANIN_OK) { /* never a silent wrong shape */
        fanin_buffer y = fanin_program_output(p, 0);
        size_t count = 1;
        for (int i = 0; i < y.rank; i++) count *= (size_t)y.dims[i];
        assert_int_equal(count, y.count);
    }
    fanin_program_destroy(p);
    return status == FANIN_OK;
}

static void mutate(const char *name, const fanin_graph *g, int rounds, int *built, int *planned) {
    const fanin_stream s = fanin_stream_init(20, name);
    for (int r = 0; r < rounds; r++) {
        fanin_graph *changed;
        fanin_err err = {0};
        mutant m;
        mutant_init(&m, g);
        for (int i = 0; i <= r % 3; i++) {
            uint32_t word;
            fanin_stream_words(&s, 0, (uint64_t)(4 * r + i), 1, &word);
            uint8_t change[CHANGE_BYTES];
            memcpy(change, &word, sizeof change);
            mutant_change(&m, change);
        }
        fanin_status status = mutant_build(&m, &changed, &err);
        expect_sentence(name, r, status, &err);
        if (status == FANIN_OK) {
            ++*built;
            *planned += plan_and_program(name, r, changed);
        }
        fanin_graph_destroy(changed);
        mutant_fini(&m);
    }
}

TEST(real_networks) {
    static const char *const names[] = {
        "alexnet",           "squeezenet1_1",       "resnet18",
        "mlp8_tanh_weights", "resnet18_eval_fused", "lenet5_weights",
        "gpt_tiny_weights",  "mobilenet_v2"};
    const fanin_allocator capped = {capped_resize, capped_release, NULL};
    int built = 0, planned = 0, rounds = (int)(60 * test_scale());
    char path[4096];
    fanin_allocator_set(&capped);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        fanin_graph *g;
        fanin_err err = {0};
        snprintf(path, sizeof path, "%s", test_shared("models/graphs"));
        snprintf(path + strlen(path), sizeof path - strlen(path), "/%s.onnx", names[i]);
        assert_ok_err(fanin_graph_load(path, &g, &err), err);
        mutate(names[i], g, rounds < 4 ? 4 : rounds, &built, &planned);
        fanin_graph_destroy(g);
    }
    fanin_allocator_set(NULL);
    printf("%d of %d changed networks were built, %d planned\n", built,
           8 * (rounds < 4 ? 4 : rounds), planned);
    assert_true(built > 0 && planned > 0 && planned < built);
}
