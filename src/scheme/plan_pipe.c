/* plan_pipe.c - a second thread writes one buffer while the next is filled.
 *
 * Filling keeps the cores busy and writing the kernel's copy or the disk; one after the other they take
 * the sum of their times. Two buffers are enough: the slower side waits for the other. */
#include <string.h>

#include "base/base.h"
#include "scheme/pipe.h"

static void *write_buffers(void *arg) {
    fanin__pipe *p = arg;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (p->pending < 0 && !p->stop) pthread_cond_wait(&p->changed, &p->lock);
        if (p->pending < 0) break;
        const void *data = p->buffers[p->pending];
        size_t size = p->pending_size;
        pthread_mutex_unlock(&p->lock);
        fanin_err err = {0};
        fanin_status status = fanin_weights_writer_put(p->file, data, size, &err);
        pthread_mutex_lock(&p->lock);
        if (p->status == FANIN_OK && status != FANIN_OK) {
            p->status = status;
            p->err = err;
        }
        p->pending = -1;
        pthread_cond_broadcast(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

void fanin__pipe_open(fanin__pipe *p, fanin_weights_writer *file, bool threaded) {
    *p = (fanin__pipe){.file = file, .pending = -1};
    if (!threaded || pthread_mutex_init(&p->lock, NULL) != 0) return;
    if (pthread_cond_init(&p->changed, NULL) != 0) {
        pthread_mutex_destroy(&p->lock);
        return;
    }
    p->threaded = pthread_create(&p->thread, NULL, write_buffers, p) == 0;
    if (p->threaded) return;
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
}

void *fanin__pipe_buffer(fanin__pipe *p, size_t size) {
    if (size > p->sizes[p->turn]) {
        fanin_free_aligned(p->buffers[p->turn]);
        p->buffers[p->turn] = fanin_malloc_aligned(size);
        p->sizes[p->turn] = p->buffers[p->turn] ? size : 0;
    }
    return p->buffers[p->turn];
}

/* Nothing is being written any more; what went wrong meanwhile. */
static fanin_status settle(fanin__pipe *p, fanin_err *err) {
    while (p->pending >= 0) pthread_cond_wait(&p->changed, &p->lock);
    if (p->status != FANIN_OK && err) *err = p->err;
    return p->status;
}

fanin_status fanin__pipe_put(fanin__pipe *p, size_t size, fanin_err *err) {
    if (!p->threaded) return fanin_weights_writer_put(p->file, p->buffers[p->turn], size, err);
    pthread_mutex_lock(&p->lock);
    fanin_status status = settle(p, err);
    if (status == FANIN_OK) {
        p->pending = p->turn;
        p->pending_size = size;
        p->turn = 1 - p->turn;
        pthread_cond_broadcast(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
    return status;
}

fanin_status fanin__pipe_close(fanin__pipe *p, fanin_err *err) {
    fanin_status status = FANIN_OK;
    if (p->threaded) {
        pthread_mutex_lock(&p->lock);
        status = settle(p, err);
        p->stop = true;
        pthread_cond_broadcast(&p->changed);
        pthread_mutex_unlock(&p->lock);
        pthread_join(p->thread, NULL);
        pthread_cond_destroy(&p->changed);
        pthread_mutex_destroy(&p->lock);
    }
    fanin_free_aligned(p->buffers[0]);
    fanin_free_aligned(p->buffers[1]);
    return status;
}
