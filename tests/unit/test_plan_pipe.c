/* The writer's second thread: the same bytes with and without it, whatever the buffers' sizes; what goes wrong in it
 * is told, and nobody waits for ever. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "fanin/random.h"
#include "scheme/pipe.h"
#include "testing.h"

enum { TOTAL = 1 << 20 };

static fanin_weights_writer *create(const char *path) {
    fanin_array a = {
        .name = "w", .dtype = FANIN_F32, .rank = 1, .dims = {TOTAL}, .size = 4 * TOTAL};
    fanin_weights_writer *w;
    fanin_err err = {0};
    assert_ok_err(fanin_weights_writer_create(path, &a, 1, NULL, &w, &err), err);
    return w;
}

/* Numbers 0, 1, ... in pieces of changing size: the buffers grow, shrink and change turns. */
static void write_numbers(const char *path, bool threaded, uint64_t seed) {
    fanin_weights_writer *w = create(path);
    fanin_stream s = fanin_stream_init(seed, "pieces");
    fanin_err err = {0};
    fanin__pipe pipe;
    fanin__pipe_open(&pipe, w, threaded);
    assert_int_equal(pipe.threaded, threaded);
    uint32_t piece;
    for (uint32_t at = 0, k = 0; at < TOTAL; at += piece, k++) {
        fanin_stream_words(&s, 0, k, 1, &piece);
        piece = 1 + piece % (k % 3 ? 700 : 70000);
        if (piece > TOTAL - at) piece = TOTAL - at;
        uint32_t *to = fanin__pipe_buffer(&pipe, 4 * piece);
        assert_non_null(to);
        for (uint32_t i = 0; i < piece; i++) to[i] = at + i;
        assert_ok_err(fanin__pipe_put(&pipe, 4 * piece, &err), err);
    }
    assert_ok_err(fanin__pipe_close(&pipe, &err), err);
    assert_ok_err(fanin_weights_writer_commit(w, &err), err);
}

TEST(bytes_are_the_same_with_and_without_a_thread) {
    const char *path = test_tmp("w.safetensors");
    for (int k = 0; k < 6; k++) {
        write_numbers(path, k % 2 == 1, (uint64_t)k / 2);
        fanin_weights *w;
        fanin_err err = {0};
        assert_ok_err(fanin_weights_open(path, &w, &err), err);
        const fanin_array *a = fanin_weights_at(w, 0);
        assert_int_equal(a->size, 4 * TOTAL);
        for (uint32_t i = 0; i < TOTAL; i++) {
            uint32_t x;
            memcpy(&x, (const char *)a->data + 4 * i, 4);
            if (x != i) fail_msg("thread %d: element %u is %u", k % 2, i, x);
        }
        fanin_weights_close(w);
    }
}

/* The file takes no more than was declared: the piece too many fails, at once or at the next call, and all later ones. */
TEST(errors_of_the_thread_are_told) {
    for (int threaded = 0; threaded < 2; threaded++)
        for (int more = 0; more < 4; more++) {
            fanin_weights_writer *w = create(test_tmp("w.safetensors"));
            fanin__pipe pipe;
            fanin_err err = {0};
            fanin_status status = FANIN_OK, last;
            fanin__pipe_open(&pipe, w, threaded);
            for (int k = 0; k < 4 + more && status == FANIN_OK; k++) {
                void *to = fanin__pipe_buffer(&pipe, TOTAL);
                assert_non_null(to);
                memset(to, k, TOTAL);
                status = fanin__pipe_put(&pipe, TOTAL, &err);
            }
            last = fanin__pipe_close(&pipe, &err);
            if (last == FANIN_OK) last = status;
            if (more == 0) {
                assert_ok_err(last, err);
            } else {
                assert_int_not_equal(last, FANIN_OK);
                assert_true(err.message[0]);
            }
            fanin_weights_writer_abort(w);
        }
}

TEST(a_pipe_may_stay_empty) {
    for (int threaded = 0; threaded < 2; threaded++) {
        fanin_weights_writer *w = create(test_tmp("w.safetensors"));
        fanin__pipe pipe;
        fanin__pipe_open(&pipe, w, threaded);
        assert_non_null(fanin__pipe_buffer(&pipe, 10));
        assert_ok(fanin__pipe_close(&pipe, NULL));
        fanin_weights_writer_abort(w);
    }
}
