/* compat_numpy.c - NumPy's seeding and bit generators.
 *
 * PCG64 is PCG XSL-RR 128/64, Philox the 64-bit one with four words and ten rounds, whose counter
 * grows *before* each block. 32-bit requests take the low half of a 64-bit word and keep the high
 * one for the next 32-bit request; 64-bit requests pass it by.
 */
#include <string.h>

#include "random/compat_numpy.h"

/* ---- SeedSequence ------------------------------------------------------------------------ */

enum { POOL = 4 };

static uint32_t hash_in(uint32_t v, uint32_t *h) {
    v ^= *h;
    *h *= 0x931e8875u;
    v *= *h;
    return v ^ v >> 16;
}

static uint32_t mix(uint32_t x, uint32_t y) {
    uint32_t r = 0xca01f9ddu * x - 0x4973f715u * y;
    return r ^ r >> 16;
}

/* Word i of entropy followed by spawn key; a short entropy is padded with zeros before a key. */
static uint32_t word_at(const uint32_t *entropy, size_t count, const uint32_t *key,
                        size_t key_count, size_t i) {
    size_t start = key_count && count < POOL ? POOL : count;
    if (i < count) return entropy[i];
    return i >= start && i - start < key_count ? key[i - start] : 0;
}

void fanin_numpy_seed_sequence(const uint32_t *entropy, size_t count, const uint32_t *spawn_key,
                               size_t key_count, size_t n, uint32_t *out) {
    uint32_t pool[POOL], h = 0x43b0d7e5u;
    size_t total = (key_count && count < POOL ? POOL : count) + key_count;
    for (size_t i = 0; i < POOL; i++)
        pool[i] = hash_in(word_at(entropy, count, spawn_key, key_count, i), &h);
    for (size_t s = 0; s < POOL; s++)
        for (size_t d = 0; d < POOL; d++)
            if (s != d) pool[d] = mix(pool[d], hash_in(pool[s], &h));
    for (size_t i = POOL; i < total; i++)
        for (size_t d = 0; d < POOL; d++)
            pool[d] = mix(pool[d], hash_in(word_at(entropy, count, spawn_key, key_count, i), &h));
    h = 0x8b51f9ddu;
    for (size_t i = 0; i < n; i++) {
        uint32_t v = pool[i % POOL] ^ h;
        h *= 0x58f38dedu;
        v *= h;
        out[i] = v ^ v >> 16;
    }
}

/* ---- bit generators ---------------------------------------------------------------------- */

static void pcg_seed(fanin_numpy_rng *rng, const uint64_t g[4]) {
    rng->increment[0] = g[2] << 1 | g[3] >> 63;
    rng->increment[1] = g[3] << 1 | 1;
    rng->state[0] = rng->state[1] = 0;
    fanin__pcg_step(rng);
    rng->state[1] += g[1];
    rng->state[0] += g[0] + (rng->state[1] < g[1]);
    fanin__pcg_step(rng);
}

static uint64_t philox_next(fanin_numpy_rng *rng) {
    if (rng->block_next >= 4) {
        for (int i = 0; i < 4 && ++rng->counter[i] == 0; i++) continue;
        fanin__philox4x64(rng->counter, rng->key, rng->block);
        rng->block_next = 0;
    }
    return rng->block[rng->block_next++];
}

/* NumPy stands at position 623 after seeding: one word of the key itself comes first. */
static void mt_seed(fanin_numpy_rng *rng, const uint32_t *words, size_t count) {
    fanin_mt19937 *mt = &rng->mt;
    fanin_mt19937_seed(mt, 0);
    fanin_numpy_seed_sequence(words, count, NULL, 0, FANIN_MT19937_WORDS, mt->state);
    mt->state[0] = 0x80000000u;
    uint32_t y = mt->state[FANIN_MT19937_WORDS - 1];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    mt->word[FANIN_MT19937_WORDS - 1] = y ^ (y >> 18);
    mt->next = FANIN_MT19937_WORDS - 1;
}

static void seed_words64(const uint32_t *words, size_t count, size_t n, uint64_t *out) {
    uint32_t half[8];
    fanin_numpy_seed_sequence(words, count, NULL, 0, 2 * n, half);
    for (size_t i = 0; i < n; i++) out[i] = (uint64_t)half[2 * i + 1] << 32 | half[2 * i];
}

fanin_status fanin_numpy_rng_init_words(fanin_numpy_rng *rng, fanin_numpy_bits bits,
                                        const uint32_t *words, size_t count) {
    uint64_t g[4];
    if (count == 0) return FANIN_ARG;
    memset(rng, 0, sizeof *rng);
    rng->bits = bits;
    switch (bits) {
    case FANIN_NUMPY_PCG64:
        seed_words64(words, count, 4, g);
        pcg_seed(rng, g);
        return FANIN_OK;
    case FANIN_NUMPY_PHILOX:
        seed_words64(words, count, 2, rng->key);
        rng->block_next = 4;
        return FANIN_OK;
    case FANIN_NUMPY_MT19937: mt_seed(rng, words, count); return FANIN_OK;
    case FANIN_NUMPY_RANDOMSTATE: fanin_mt19937_seed_array(&rng->mt, words, count); return FANIN_OK;
    }
    return FANIN_ARG;
}

fanin_status fanin_numpy_rng_init(fanin_numpy_rng *rng, fanin_numpy_bits bits, uint64_t seed) {
    uint32_t words[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    if (bits == FANIN_NUMPY_RANDOMSTATE && words[1]) return FANIN_ARG;
    FANIN_TRY(fanin_numpy_rng_init_words(rng, bits, words, words[1] ? 2 : 1));
    if (bits == FANIN_NUMPY_RANDOMSTATE) fanin_mt19937_seed(&rng->mt, words[0]);
    return FANIN_OK;
}

uint64_t fanin_numpy_next64(fanin_numpy_rng *rng) {
    if (rng->bits == FANIN_NUMPY_PCG64) return fanin__pcg_next(rng);
    if (rng->bits == FANIN_NUMPY_PHILOX) return philox_next(rng);
    uint64_t high = fanin__mt_word(&rng->mt);
    return high << 32 | fanin__mt_word(&rng->mt);
}

uint32_t fanin_numpy_next32(fanin_numpy_rng *rng) { return fanin__numpy_next32(rng); }
