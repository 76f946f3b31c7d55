#include <math.h>

#include "data/dataset.h"

enum { WORDS_PER_SAMPLE = 4096 };

fanin__draws fanin__draws_of(const fanin_stream *stream, uint64_t sample) {
    return (fanin__draws){.stream = stream, .next = sample * WORDS_PER_SAMPLE};
}

static uint32_t word(fanin__draws *d) {
    if (d->left == 0) {
        fanin_stream_words(d->stream, 0, d->next, FANIN_COUNT(d->words), d->words);
        d->next += FANIN_COUNT(d->words);
        d->left = FANIN_COUNT(d->words);
    }
    return d->words[FANIN_COUNT(d->words) - d->left--];
}

double fanin__draw_unit(fanin__draws *d) { return word(d) * 0x1p-32; }

uint32_t fanin__draw_below(fanin__draws *d, uint32_t n) {
    return (uint32_t)(((uint64_t)word(d) * n) >> 32);
}

double fanin__draw_normal(fanin__draws *d) {
    double r = sqrt(-2 * log((word(d) + 0.5) * 0x1p-32));
    return r * cos(2 * 3.14159265358979323846 * fanin__draw_unit(d));
}
