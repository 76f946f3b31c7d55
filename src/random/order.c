/* order.c - permutations: an exact one in memory, and an addressed one that needs none. */
#include "random/random.h"

/* 64-bit draws from the words of one plane, two words each, low one first. */
typedef struct draws {
    const fanin_stream *s;
    uint32_t plane;
    uint64_t next;
    size_t used, have;
    uint32_t words[256];
} draws;

static uint64_t draw(draws *d) {
    if (d->used == d->have) {
        d->have = FANIN_COUNT(d->words);
        fanin_stream_words(d->s, d->plane, d->next, d->have, d->words);
        d->next += d->have;
        d->used = 0;
    }
    uint64_t x = d->words[d->used] | (uint64_t)d->words[d->used + 1] << 32;
    d->used += 2;
    return x;
}

/* a b = *high 2^64 + the low half, which is returned. */
static uint64_t product(uint64_t a, uint64_t b, uint64_t *high) {
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t middle = a1 * b0 + (a0 * b0 >> 32);
    uint64_t low = a0 * b1 + (uint32_t)middle;
    *high = a1 * b1 + (middle >> 32) + (low >> 32);
    return a * b;
}

/* Uniform on 0 ... bound - 1: the high half of draw * bound, drawn again while the low half is
 * below 2^64 mod bound (Lemire 2019). */
static uint64_t below(draws *d, uint64_t bound) {
    uint64_t high, low = product(draw(d), bound, &high);
    if (low < bound) {
        uint64_t reject = (0 - bound) % bound;
        while (low < reject) low = product(draw(d), bound, &high);
    }
    return high;
}

fanin_status fanin_stream_permutation(const fanin_stream *s, uint32_t plane, uint64_t n,
                                      uint64_t *out) {
    draws d = {.s = s, .plane = plane};
    if (n > SIZE_MAX / sizeof *out) return FANIN_ARG;
    for (uint64_t i = 0; i < n; i++) out[i] = i;
    for (uint64_t i = n; i > 1; i--) {
        uint64_t j = below(&d, i), kept = out[i - 1];
        out[i - 1] = out[j];
        out[j] = kept;
    }
    return FANIN_OK;
}

/* Eight Feistel rounds on pairs of `bits`-bit halves; the round function is the first word of the
 * block (value, round) of the plane. */
static uint64_t feistel(const fanin_stream *s, uint32_t plane, int bits, uint64_t x) {
    uint32_t mask = (uint32_t)((UINT64_C(1) << bits) - 1), left = (uint32_t)(x >> bits),
             right = (uint32_t)x & mask;
    for (uint32_t round = 0; round < 8; round++) {
        uint32_t w[4];
        fanin__philox_block(s->key, right | (uint64_t)round << 32, plane, s->version, w);
        uint32_t next = left ^ (w[0] & mask);
        left = right;
        right = next;
    }
    return (uint64_t)left << bits | right;
}

uint64_t fanin_stream_shuffle(const fanin_stream *s, uint32_t plane, uint64_t n, uint64_t i) {
    enum { SMALL = 256 };
    if (i >= n) return n - 1;
    if (n <= SMALL) {
        uint64_t whole[SMALL];
        fanin_stream_permutation(s, plane, n, whole);
        return whole[i];
    }
    int bits = 4;
    while (bits < 32 && (UINT64_C(1) << (2 * bits)) < n) bits++;
    do i = feistel(s, plane, bits, i); /* walks the cycle until it is back below n */
    while (i >= n);
    return i;
}
