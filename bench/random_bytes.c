/* random_bytes: a stream on standard output, for batteries of statistical tests.
 *
 *     random_bytes words|uniform|normal|names [seed] | dieharder -a -g 200
 *
 * words: the words of one tensor. uniform, normal: float32 values mapped back to 32 bits by their
 * distribution function, so that the law's own map is under test (the lowest bits are then those
 * of rounding: tests of 32 bits must fail, of 16 to 20 bits pass). names: 64 words from each of a
 * row of tensors "0", "1", ..., which tests the keys. Ends when the reader does. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random/random.h"

enum { COUNT = 1 << 14 };

static void fill_words(const char *what, uint64_t seed, uint64_t round, uint32_t *w) {
    static float f[COUNT];
    fanin_stream s = fanin_stream_init(seed, "stream");
    fanin_law uniform = {FANIN_LAW_UNIFORM, 0, 0, -1, 1}, normal = {FANIN_LAW_NORMAL, 0, 1, 0, 0};
    uint64_t first = round * COUNT;
    if (strcmp(what, "names") == 0) {
        for (uint64_t i = 0; i < COUNT / 64; i++) {
            char name[24];
            snprintf(name, sizeof name, "%llu", (unsigned long long)(round * (COUNT / 64) + i));
            s = fanin_stream_init(seed, name);
            fanin_stream_words(&s, 0, 0, 64, w + 64 * i);
        }
    } else if (strcmp(what, "uniform") == 0) {
        fanin_random_fill(&s, 0, &uniform, first, COUNT, FANIN_F32, f);
        for (int i = 0; i < COUNT; i++) w[i] = (uint32_t)(((double)f[i] + 1) * 0x1p31);
    } else if (strcmp(what, "normal") == 0) {
        fanin_random_fill(&s, 0, &normal, first, COUNT, FANIN_F32, f);
        for (int i = 0; i < COUNT; i++)
            w[i] = (uint32_t)(erfc(-(double)f[i] * 0.70710678118654752) * 0x1.fffffffep30);
    } else {
        fanin_stream_words(&s, 0, first, COUNT, w);
    }
}

int main(int argc, char **argv) {
    static uint32_t w[COUNT];
    const char *what = argc > 1 ? argv[1] : "words";
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    for (uint64_t round = 0;; round++) {
        fill_words(what, seed, round, w);
        if (fwrite(w, sizeof *w, COUNT, stdout) != COUNT) return 0;
    }
}
