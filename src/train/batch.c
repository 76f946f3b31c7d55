/* batch.c - which samples a step sees: a function of (seed, step), so that nothing has to be kept to go on. */
#include "train/trainer.h"

/* Samples of a generator from here on are held out. */
static const uint64_t far_away = UINT64_C(1) << 40;

/* Held out are the last places of a fixed shuffle: files may be sorted by class. */
uint64_t fanin__held_out(const fanin_trainer *t, uint64_t i) {
    uint64_t n = t->info->train_count;
    return n ? fanin_stream_shuffle(&t->held_out, 0, n, t->train_count + i) : far_away + i;
}

/* A generator's next samples, or the next of the epoch's shuffle, whose plane is 2 e. A last partial batch
 * is left out. */
static uint64_t address(const fanin_trainer *t, uint64_t step, uint64_t i) {
    uint64_t batch = (uint64_t)t->options.batch, n = t->train_count, at = step * batch + i;
    if (!n) return at;
    uint64_t per_epoch = n / batch;
    at = fanin_stream_shuffle(&t->order, (uint32_t)(2 * (step / per_epoch)), n,
                              step % per_epoch * batch + i);
    return t->options.validation ? fanin_stream_shuffle(&t->held_out, 0, t->info->train_count, at)
                                 : at;
}

/* Reads of the trainer only what does not change while it trains: runs beside the loop. */
static fanin_status make_batch(const void *ctx, uint64_t step, fanin_buffer x, fanin_buffer target,
                               fanin_err *err) {
    const fanin_trainer *t = ctx;
    size_t batch = (size_t)t->options.batch;
    uint64_t *index = fanin_calloc(batch, sizeof *index);
    if (!index) return fanin_err_set(err, FANIN_NOMEM, "training: no memory");
    for (size_t i = 0; i < batch; i++) index[i] = address(t, step, i);
    fanin_status status = fanin__feed_into(t->data, FANIN_TRAIN, index, batch, x, target, err);
    uint64_t epoch = t->train_count ? step / (t->train_count / batch) : 0;
    if (status == FANIN_OK && x.dtype == FANIN_F32)
        status =
            fanin__augment_apply(&t->augment, t->info, epoch, index, batch, x.data, target, err);
    fanin_free(index);
    return status;
}

/* Small batches cost less than telling another thread of them; a single thread has no other. */
fanin_status fanin__batch_prefetch(fanin_trainer *t, fanin_err *err) {
    enum { NUMBERS = 4096 };
    fanin_buffer x = fanin_program_input(t->train, 0);
    if (x.count < NUMBERS || fanin_threads() < 2) return FANIN_OK;
    return fanin__prefetch_create(make_batch, t, x, fanin_program_target(t->train), &t->prefetch,
                                  err);
}

fanin_status fanin__batch_load(fanin_trainer *t, uint64_t step, fanin_err *err) {
    fanin_buffer x = fanin_program_input(t->train, 0), target = fanin_program_target(t->train);
    return t->prefetch ? fanin__prefetch_take(t->prefetch, step, x, target, err)
                       : make_batch(t, step, x, target, err);
}
