/* prefetch.c - one thread, one batch ahead. The batch is a function of the step, so that it does not matter which
 * thread makes it. */
#include "train/prefetch.h"

#include <pthread.h>
#include <string.h>

#include "base/base.h"

struct fanin__prefetch {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    fanin__batch_make *make;
    const void *ctx;
    fanin_buffer x, target; /* its own */
    uint64_t step;          /* asked for, or ready */
    bool asked, ready, stop;
    fanin_status status;
    fanin_err err;
};

static void *work(void *arg) {
    fanin__prefetch *p = arg;
    pthread_mutex_lock(&p->lock);
    while (!p->stop) {
        if (!p->asked) {
            pthread_cond_wait(&p->changed, &p->lock);
            continue;
        }
        uint64_t step = p->step;
        pthread_mutex_unlock(&p->lock);
        fanin_err err = {0};
        fanin_status status = p->make(p->ctx, step, p->x, p->target, &err);
        pthread_mutex_lock(&p->lock);
        p->status = status;
        p->err = err;
        p->asked = false;
        p->ready = true;
        pthread_cond_broadcast(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static size_t bytes(fanin_buffer b) { return b.count * fanin_dtype_size(b.dtype); }

fanin_status fanin__prefetch_create(fanin__batch_make *make, const void *ctx, fanin_buffer x,
                                    fanin_buffer target, fanin__prefetch **out, fanin_err *err) {
    *out = NULL;
    fanin__prefetch *p = fanin_calloc(1, sizeof *p);
    if (!p) return fanin_err_set(err, FANIN_NOMEM, "training: no memory");
    p->make = make;
    p->ctx = ctx;
    p->x = x;
    p->target = target;
    p->x.data = fanin_calloc(bytes(x) + 1, 1);
    p->target.data = fanin_calloc(bytes(target) + 1, 1);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    bool made = p->x.data && p->target.data;
    if (!made || pthread_create(&p->thread, NULL, work, p) != 0) {
        pthread_mutex_destroy(&p->lock);
        pthread_cond_destroy(&p->changed);
        fanin_free(p->x.data);
        fanin_free(p->target.data);
        fanin_free(p);
        return fanin_err_set(err, FANIN_NOMEM, "training: no memory for a thread that loads");
    }
    *out = p;
    return FANIN_OK;
}

void fanin__prefetch_destroy(fanin__prefetch *p) {
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->changed);
    fanin_free(p->x.data);
    fanin_free(p->target.data);
    fanin_free(p);
}

static void ask(fanin__prefetch *p, uint64_t step) {
    p->step = step;
    p->asked = true;
    p->ready = false;
    pthread_cond_broadcast(&p->changed);
}

fanin_status fanin__prefetch_take(fanin__prefetch *p, uint64_t step, fanin_buffer x,
                                  fanin_buffer target, fanin_err *err) {
    pthread_mutex_lock(&p->lock);
    while (p->asked) pthread_cond_wait(&p->changed, &p->lock);
    if (!p->ready || p->step != step) ask(p, step);
    while (!p->ready) pthread_cond_wait(&p->changed, &p->lock);
    fanin_status status = p->status;
    if (status == FANIN_OK) {
        memcpy(x.data, p->x.data, bytes(x));
        memcpy(target.data, p->target.data, bytes(target));
        ask(p, step + 1);
    } else {
        p->ready = false;
        if (err) *err = p->err;
    }
    pthread_mutex_unlock(&p->lock);
    return status;
}
