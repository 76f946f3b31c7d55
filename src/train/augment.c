#include "train/augment.h"

#include <math.h>
#include <string.h>

#include "base/base.h"

enum { WORDS = 64 }; /* of one sample: offsets, side, then pairs for the weight of the mixture */

fanin_status fanin__augment_parse(const char *text, uint64_t seed, const fanin_dataset_info *info,
                                  fanin__augment *a, fanin_err *err) {
    static const fanin__option options[] = {
        {"pad", 0, 64, offsetof(fanin__augment, pad), true},
        {"flip", 0, 1, offsetof(fanin__augment, flip), true},
        FANIN__OPTION(fanin__augment, mixup, 0, 1),
    };
    *a = (fanin__augment){.stream = fanin_stream_init(seed, "train/augment")};
    if (!text) return FANIN_OK;
    FANIN_TRY(fanin__options_parse("augment", "pad=0,flip=0,mixup=0", text, options,
                                   FANIN_COUNT(options), a, err));
    if ((a->pad > 0 || a->flip > 0) && info->rank < 2)
        return fanin_err_set(err, FANIN_SHAPE,
                             "augment: pad and flip are for images, data set %s has rank %d",
                             info->name, info->rank);
    if (a->mixup > 0 && info->target_count != 1 && info->classes)
        return fanin_err_set(err, FANIN_SHAPE,
                             "augment: mixup is for one label a sample, data set %s has %lld",
                             info->name, (long long)info->target_count);
    return FANIN_OK;
}

/* Image moved by (dy, dx), 0 where nothing is, mirrored or not; planes x height x width. */
static void move(const float *from, float *to, size_t planes, int height, int width, int dy, int dx,
                 bool mirrored) {
    for (size_t p = 0; p < planes; p++)
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++, to++) {
                int sy = y + dy, sx = (mirrored ? width - 1 - x : x) + dx;
                bool inside = sy >= 0 && sy < height && sx >= 0 && sx < width;
                *to = inside ? from[((ptrdiff_t)p * height + sy) * width + sx] : 0;
            }
}

static int below(uint32_t word, int n) { return (int)(((uint64_t)word * (uint64_t)n) >> 32); }

static void move_sample(const fanin__augment *a, const fanin_dataset_info *info,
                        const uint32_t *words, float *x, float *scratch) {
    int height = (int)info->dims[info->rank - 2], width = (int)info->dims[info->rank - 1],
        pad = (int)a->pad;
    size_t planes = 1;
    for (int i = 0; i + 2 < info->rank; i++) planes *= (size_t)info->dims[i];
    int dy = below(words[0], 2 * pad + 1) - pad, dx = below(words[1], 2 * pad + 1) - pad;
    bool mirrored = a->flip > 0 && words[2] >> 31;
    if (!dy && !dx && !mirrored) return;
    size_t count = planes * (size_t)height * (size_t)width;
    memcpy(scratch, x, count * sizeof *x);
    move(scratch, x, planes, height, width, dy, dx, mirrored);
}

/* Joehnk: u^(1/a) / (u^(1/a) + v^(1/a)) of pairs whose sum is at most 1; at a = 1 half of them are, so that all 30
 * pairs fail once in 10^9, when the last one is taken as it is. */
static double beta(double alpha, const uint32_t *words) {
    double x = 0, y = 0;
    for (int k = 0; k < 30; k++) {
        x = pow(((double)words[2 * k] + 0.5) * 0x1p-32, 1 / alpha);
        y = pow(((double)words[2 * k + 1] + 0.5) * 0x1p-32, 1 / alpha);
        if (x + y <= 1 && x + y > 0) break;
    }
    return x + y > 0 ? x / (x + y) : 0.5;
}

static void blend(float *x, const float *other, size_t n, float weight) {
    for (size_t i = 0; i < n; i++) x[i] = weight * x[i] + (1 - weight) * other[i];
}

/* Each with the next, the last with the first as it was. */
static void mix(const fanin__augment *a, const uint32_t *words, size_t n, size_t step, float *x,
                float *first) {
    memcpy(first, x, step * sizeof *x);
    for (size_t i = 0; i < n; i++) {
        float weight = (float)beta(a->mixup, words + i * WORDS + 4);
        blend(x + i * step, i + 1 < n ? x + (i + 1) * step : first, step, weight);
    }
}

fanin_status fanin__augment_apply(const fanin__augment *a, const fanin_dataset_info *info,
                                  uint64_t epoch, const uint64_t *index, size_t n, float *x,
                                  fanin_buffer target, fanin_err *err) {
    if (!(a->pad > 0 || a->flip > 0 || a->mixup > 0)) return FANIN_OK;
    size_t size = 1, each = target.count / n;
    for (int i = 0; i < info->rank; i++) size *= (size_t)info->dims[i];
    float *scratch = fanin_malloc((size > each ? size : each) * sizeof *scratch);
    uint32_t *words = fanin_malloc(n * WORDS * sizeof *words);
    if (!scratch || !words) {
        fanin_free(scratch);
        fanin_free(words);
        return fanin_err_set(err, FANIN_NOMEM, "augment: no memory");
    }
    for (size_t i = 0; i < n; i++) {
        fanin_stream_words(&a->stream, (uint32_t)epoch, index[i] * WORDS, WORDS, words + i * WORDS);
        if (a->pad > 0 || a->flip > 0)
            move_sample(a, info, words + i * WORDS, x + i * size, scratch);
    }
    if (a->mixup > 0) {
        mix(a, words, n, size, x, scratch);
        mix(a, words, n, each, target.data, scratch);
    }
    fanin_free(scratch);
    fanin_free(words);
    return FANIN_OK;
}
