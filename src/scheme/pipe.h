/* pipe.h - buffers on their way to a file while the next ones are filled. */
#ifndef FANIN_SCHEME_PIPE_H
#define FANIN_SCHEME_PIPE_H

#include <pthread.h>

#include "fanin/format.h"

typedef struct fanin__pipe {
    fanin_weights_writer *file;
    bool threaded;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows, the buffers' contents by `pending` */
    pthread_cond_t changed;
    void *buffers[2];
    size_t sizes[2], pending_size;
    int turn, pending; /* the buffer to fill; the one being written, -1: none */
    bool stop;
    fanin_status status;
    fanin_err err;
} fanin__pipe;

/* `threaded`: a thread of its own writes; without one, or where none is to be had, _put does. */
void fanin__pipe_open(fanin__pipe *p, fanin_weights_writer *file, bool threaded);
/* The buffer to fill next, of at least `size` bytes; NULL: no memory. */
void *fanin__pipe_buffer(fanin__pipe *p, size_t size);
/* Its first `size` bytes to the file. Errors of fanin_weights_writer_put, perhaps a buffer later. */
fanin_status fanin__pipe_put(fanin__pipe *p, size_t size, fanin_err *err);
/* Waits for what is under way and frees everything; the file stays the caller's. */
fanin_status fanin__pipe_close(fanin__pipe *p, fanin_err *err);

#endif
