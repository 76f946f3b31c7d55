/* Augmentation has an address; batches made ahead are the batches; mixup blends inputs and targets alike. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "fanin/train.h"
#include "testing.h"
#include "train/augment.h"

enum { SIDE = 6, SIZE = SIDE * SIDE };
static const fanin_dataset_info image = {
    .name = "image", .rank = 2, .dims = {SIDE, SIDE}, .classes = 2, .target_count = 1};

static fanin__augment parse(const char *text) {
    fanin__augment a;
    fanin_err err = {0};
    assert_ok_err(fanin__augment_parse(text, 3, &image, &a, &err), err);
    return a;
}

static void apply(const fanin__augment *a, uint64_t epoch, uint64_t index, float *x) {
    for (int i = 0; i < SIZE; i++) x[i] = (float)(i + 1);
    float t = 0;
    const fanin_buffer target = {.data = &t, .count = 1, .dtype = FANIN_F32};
    assert_ok(fanin__augment_apply(a, &image, epoch, &index, 1, x, target, NULL));
}

/* Every result is the image moved by some (dy, dx), mirrored or not, and all of them come. */
TEST(images_move_and_turn) {
    fanin__augment a = parse("pad=2,flip=1");
    int seen[5][5][2] = {{{0}}};
    for (uint64_t i = 0; i < 2000; i++) {
        float x[SIZE];
        int matches = 0;
        apply(&a, i % 7, i, x);
        for (int dy = -2; dy <= 2; dy++)
            for (int dx = -2; dx <= 2; dx++)
                for (int m = 0; m < 2; m++) {
                    bool same = true;
                    for (int y = 0; y < SIDE; y++)
                        for (int c = 0; c < SIDE; c++) {
                            int sy = y + dy, sx = (m ? SIDE - 1 - c : c) + dx;
                            bool in = sy >= 0 && sy < SIDE && sx >= 0 && sx < SIDE;
                            same =
                                same && x[y * SIDE + c] == (in ? (float)(sy * SIDE + sx + 1) : 0);
                        }
                    matches += same;
                    seen[dy + 2][dx + 2][m] += same;
                }
        assert_int_equal(matches, 1);
    }
    for (int k = 0; k < 50; k++) { /* 40 each: 12 is 4.5 standard deviations below */
        int n = seen[k / 10][k / 2 % 5][k % 2];
        assert_true(n > 12 && n < 70);
    }
}

TEST(what_happens_has_an_address) {
    fanin__augment a = parse("pad=2,flip=1");
    float x[SIZE], y[SIZE];
    int changed = 0;
    for (uint64_t i = 0; i < 50; i++) {
        apply(&a, 1, i, x);
        apply(&a, 1, i, y);
        assert_memory_equal(x, y, sizeof x);
        apply(&a, 2, i, y);
        changed += memcmp(x, y, sizeof x) != 0;
    }
    assert_true(changed > 40);
}

/* l x + (1 - l) x' with one l for input and target of a sample; Beta(a, a) has mean 1/2, variance 1/(4 (2a + 1)). */
TEST(mixtures) {
    enum { N = 20000 };
    static float x[N], t[2 * N];
    static uint64_t index[N];
    const double alphas[] = {0.2, 1};
    const fanin_dataset_info plain = {.name = "plain", .rank = 1, .dims = {1}, .target_count = 1};
    for (int k = 0; k < 2; k++) {
        fanin__augment a = parse(k ? "mixup=1" : "mixup=0.2");
        double mean = 0, square = 0;
        for (uint64_t i = 0; i < N; i++) {
            x[i] = (float)(i % 2); /* each partner is the other */
            t[2 * i] = (float)(i % 2);
            t[2 * i + 1] = 1 - t[2 * i];
            index[i] = i;
        }
        const fanin_buffer target = {.data = t, .count = 2 * N, .dtype = FANIN_F32};
        assert_ok(fanin__augment_apply(&a, &plain, 0, index, N, x, target, NULL));
        for (size_t i = 0; i < N; i++) {
            double l = i % 2 ? (double)x[i] : 1 - (double)x[i];
            assert_near((double)t[2 * i], (double)x[i], 0, 0);
            assert_near((double)t[2 * i + 1], 1 - (double)x[i], 1e-6, 0);
            mean += l / N;
            square += (l - 0.5) * (l - 0.5) / N;
        }
        assert_near(mean, 0.5, 5 * 0.5 / sqrt(N), 0);
        assert_near(square, 1 / (4 * (2 * alphas[k] + 1)), 0.005, 0);
    }
}

static fanin_train_result train(unsigned threads, const fanin_train_options *o, const char *data,
                                const char *model, fanin_status want, const char *says) {
    fanin_graph *g;
    fanin_dataset *d;
    fanin_trainer *t;
    fanin_err err = {0};
    fanin_train_result r = {0};
    fanin_threads_set(threads);
    assert_ok_err(fanin_graph_load(model, &g, &err), err);
    assert_ok_err(fanin_dataset_open(data, 0, &d, &err), err);
    fanin_status status = fanin_trainer_create(g, d, o, &t, &err);
    if (status != want || (says && !strstr(err.message, says)))
        fail_msg("%s '%s'", fanin_status_name(status), err.message);
    if (status == FANIN_OK) {
        const fanin_init_options init = {.scheme = "he"};
        assert_ok_err(fanin_weights_fill(g, &init, NULL, fanin_trainer_program(t), &err), err);
        assert_ok_err(fanin_trainer_run(t, &r, &err), err);
    }
    fanin_trainer_destroy(t);
    fanin_dataset_close(d);
    fanin_graph_destroy(g);
    fanin_threads_set(0);
    return r;
}

/* With two threads batches of 8192 numbers are made ahead, with one between the steps; nothing else depends on the
 * threads in so small a network. */
TEST(batches_made_ahead_are_the_batches) {
    const fanin_train_options o = {
        .steps = 25, .batch = 8, .eval_every = 5, .eval_samples = 20, .augment = "pad=1,flip=1"};
    fanin_train_result a = train(1, &o, "shapeset", "mlp:1024-16x1-9", FANIN_OK, NULL),
                       b = train(2, &o, "shapeset", "mlp:1024-16x1-9", FANIN_OK, NULL);
    assert_int_equal(a.count, b.count);
    for (size_t i = 0; i < a.count; i++)
        assert_near(a.points[i].test_loss, b.points[i].test_loss, 0, 1e-4);
    fanin_train_result_fini(&a);
    fanin_train_result_fini(&b);
}

TEST(mixup_turns_the_loss) {
    fanin_train_options o = {
        .steps = 200, .batch = 8, .optimizer = "adam:lr=0.02", .augment = "mixup=0.3"};
    fanin_train_result r = train(1, &o, "blobs:classes=4", "mlp:2-32x1-4", FANIN_OK, NULL);
    assert_true(r.points[r.count - 1].test_loss < 0.7 * r.points[0].test_loss);
    fanin_train_result_fini(&r);
    o.loss = "hinge";
    train(1, &o, "blobs:classes=4", "mlp:2-32x1-4", FANIN_ARG, "mixup blends targets");
    o.augment = "flip=1";
    train(1, &o, "blobs", "mlp:2-32x1-3", FANIN_SHAPE, "for images");
    o.augment = "crop=1";
    train(1, &o, "blobs", "mlp:2-32x1-3", FANIN_ARG, "'crop=1' is no option");
    o.augment = "mixup=2";
    train(1, &o, "blobs", "mlp:2-32x1-3", FANIN_ARG, "mixup=2");
}
