/* feed.c - samples into a program; labels become what the loss compares with. */
#include "data/feed.h"

#include <string.h>

#include "base/base.h"

static fanin_status class_fits(const fanin_dataset_info *info, fanin_buffer y, size_t each,
                               int classes, fanin_err *err) {
    if (!info->classes)
        return fanin_err_set(err, FANIN_ARG,
                             "data set %s: real targets, the loss wants classes; use mse, l1, "
                             "huber or bce",
                             info->name);
    if (each != (size_t)info->target_count)
        return fanin_err_set(err, FANIN_SHAPE,
                             "data set %s: %lld targets a sample, the network's loss takes %zu",
                             info->name, (long long)info->target_count, each);
    if (classes < info->classes)
        return fanin_err_set(err, FANIN_SHAPE,
                             "data set %s: %d classes, the network has %lld outputs", info->name,
                             info->classes, (long long)y.dims[y.rank - 1]);
    return FANIN_OK;
}

fanin_status fanin__feed_fits(const fanin_dataset *d, const fanin_program *p, size_t batch,
                              fanin_err *err) {
    const fanin_dataset_info *info = fanin_dataset_get_info(d);
    fanin_buffer x = fanin_program_input(p, 0), target = fanin_program_target(p),
                 y = fanin_program_output(p, 0);
    if (fanin_program_input_count(p) != 1)
        return fanin_err_set(err, FANIN_SHAPE,
                             "data set %s: one input a sample, the network takes %d", info->name,
                             fanin_program_input_count(p));
    size_t sample = fanin_dataset_sample_size(info), each = target.count / batch;
    if (x.count != batch * sample || (x.dtype != FANIN_F32 && x.dtype != FANIN_I64))
        return fanin_err_set(err, FANIN_SHAPE,
                             "data set %s: %zu numbers a sample, the network takes %zu", info->name,
                             sample, x.count / batch);
    if (target.dtype == FANIN_I64) return class_fits(info, y, each, fanin_program_classes(p), err);
    bool fits = info->classes
                    ? info->target_count == 1 && (each == 1 || each >= (size_t)info->classes)
                    : each == (size_t)info->target_count;
    if (fits) return FANIN_OK;
    return fanin_err_set(
        err, FANIN_SHAPE, "data set %s: %lld %s a sample, the network's loss takes %zu numbers",
        info->name, (long long)(info->classes ? info->classes : info->target_count),
        info->classes ? "classes" : "targets", each);
}

/* Labels as numbers, sample by sample: `each` targets of a label. */
static fanin_status load_labels(const fanin_dataset *d, fanin_split split, const uint64_t *index,
                                size_t n, float *x, float *target, size_t each, fanin_err *err) {
    size_t sample = fanin_dataset_sample_size(fanin_dataset_get_info(d));
    for (size_t i = 0; i < n; i++) {
        int64_t label;
        float *t = target + i * each;
        FANIN_TRY(fanin_dataset_samples(d, split, index + i, 1, x + i * sample, &label, err));
        memset(t, 0, each * sizeof *t);
        if (each == 1)
            *t = (float)label;
        else
            t[label] = 1;
    }
    return FANIN_OK;
}

fanin_status fanin__feed_into(const fanin_dataset *d, fanin_split split, const uint64_t *index,
                              size_t n, fanin_buffer x, fanin_buffer target, fanin_err *err) {
    const fanin_dataset_info *info = fanin_dataset_get_info(d);
    float *numbers = x.data;
    if (x.dtype == FANIN_I64) numbers = fanin_calloc(x.count + 1, sizeof *numbers);
    if (!numbers) return fanin_err_set(err, FANIN_NOMEM, "data set %s: no memory", info->name);
    fanin_status status =
        info->classes && target.dtype == FANIN_F32
            ? load_labels(d, split, index, n, numbers, target.data, target.count / n, err)
            : fanin_dataset_samples(d, split, index, n, numbers, target.data, err);
    if (x.dtype == FANIN_I64) {
        for (size_t i = 0; i < x.count && status == FANIN_OK; i++)
            ((int64_t *)x.data)[i] = (int64_t)numbers[i];
        fanin_free(numbers);
    }
    return status;
}

fanin_status fanin__feed_load(const fanin_dataset *d, fanin_split split, const uint64_t *index,
                              size_t n, fanin_program *p, fanin_err *err) {
    return fanin__feed_into(d, split, index, n, fanin_program_input(p, 0), fanin_program_target(p),
                            err);
}
