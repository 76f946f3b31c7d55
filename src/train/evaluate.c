/* evaluate.c - loss and error over whole evaluation batches: at least one, at most what was asked for. */
#include <math.h>

#include "train/trainer.h"

static size_t largest(const float *v, size_t n) {
    size_t best = 0;
    for (size_t c = 1; c < n; c++)
        if (v[c] > v[best]) best = c;
    return best;
}

float fanin__class_border(const fanin_trainer *t) {
    fanin_loss_info loss = {.target = FANIN_TARGET_CLASS};
    if (t->options.loss)
        (void)fanin_loss_find(t->options.loss, &loss, NULL); /* it was read before */
    return loss.target == FANIN_TARGET_REAL ? 0.5f : 0;
}

static uint64_t count_errors(const fanin_trainer *t) {
    fanin_buffer y = fanin_program_output(t->eval, 0), target = fanin_program_target(t->eval);
    const float *answers = y.data, *wanted = target.data, border = fanin__class_border(t);
    size_t classes = (size_t)y.dims[y.rank - 1], rows = y.count / classes;
    uint64_t errors = 0;
    for (size_t r = 0; r < rows; r++) {
        const float *row = answers + r * classes;
        int64_t said = classes == 1 ? *row > border : (int64_t)largest(row, classes), label;
        if (target.dtype == FANIN_I64)
            label = ((const int64_t *)target.data)[r];
        else
            label =
                classes == 1 ? (int64_t)wanted[r] : (int64_t)largest(wanted + r * classes, classes);
        errors += said != label;
    }
    return errors;
}

static fanin_status run_split(fanin_trainer *t, bool held_out, uint64_t samples, double *loss,
                              double *error, fanin_err *err) {
    fanin_buffer x = fanin_program_input(t->eval, 0);
    uint64_t batch = x.count / fanin_dataset_sample_size(t->info), errors = 0,
             batches = samples / batch;
    if (batches == 0) batches = 1;
    double sum = 0;
    for (uint64_t b = 0; b < batches; b++) {
        if (fanin_interrupted())
            return fanin_err_set(err, FANIN_INTERRUPTED, "stopped at step %llu of %llu",
                                 (unsigned long long)t->state.step, (unsigned long long)t->steps);
        for (uint64_t i = 0; i < batch; i++) {
            uint64_t at = b * batch + i;
            t->index[i] = held_out ? fanin__held_out(t, at) : at;
        }
        FANIN_TRY(fanin__feed_load(t->data, held_out ? FANIN_TRAIN : FANIN_TEST, t->index, batch,
                                   t->eval, err));
        FANIN_TRY(fanin_program_run(t->eval, err));
        sum += fanin_program_loss(t->eval);
        if (t->info->classes) errors += count_errors(t);
    }
    *loss = sum / (double)batches;
    *error = t->info->classes
                 ? (double)errors / (double)(batches * batch * (uint64_t)t->info->target_count)
                 : NAN;
    return FANIN_OK;
}

fanin_status fanin__evaluate(fanin_trainer *t, fanin_train_point *point, fanin_err *err) {
    fanin__weights_copy(t->train, t->eval);
    point->valid_loss = point->valid_error = NAN;
    FANIN_TRY(run_split(t, false, t->eval_samples, &point->test_loss, &point->test_error, err));
    if (t->options.validation)
        FANIN_TRY(run_split(t, true, t->options.validation, &point->valid_loss, &point->valid_error,
                            err));
    return FANIN_OK;
}
