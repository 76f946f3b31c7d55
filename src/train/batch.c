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
fanin_status fanin__batch_load(fanin_trainer *t, uint64_t step, fanin_err *err) {
    uint64_t batch = (uint64_t)t->options.batch, n = t->train_count;
    uint64_t per_epoch = n / batch;
    for (uint64_t i = 0; i < batch; i++) {
        uint64_t at = step * batch + i;
        if (n)
            at = fanin_stream_shuffle(&t->order, (uint32_t)(2 * (step / per_epoch)), n,
                                      step % per_epoch * batch + i);
        if (t->options.validation && n)
            at = fanin_stream_shuffle(&t->held_out, 0, t->info->train_count, at);
        t->index[i] = at;
    }
    return fanin__feed_load(t->data, FANIN_TRAIN, t->index, batch, t->train, err);
}
