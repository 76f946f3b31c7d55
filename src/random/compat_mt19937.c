/* compat_mt19937.c - the 32-bit Mersenne Twister, a block of 624 words at a time.
 *
 * PyTorch and NumPy draw word by word; drawing whole blocks gives the same words and lets the
 * recurrence, whose nearest dependence is 227 words back, run in vectors.
 */
#include <string.h>

#include "random/compat.h"

enum { N = FANIN_MT19937_WORDS };

void fanin_mt19937_seed(fanin_mt19937 *mt, uint32_t seed) {
    uint32_t *m = mt->state;
    m[0] = seed;
    for (uint32_t j = 1; j < N; j++) m[j] = 1812433253u * (m[j - 1] ^ (m[j - 1] >> 30)) + j;
    memset(mt->word, 0, sizeof mt->word);
    mt->next = N + 1;
    mt->kernels = fanin__compat_kernels_get();
}

void fanin_mt19937_seed_array(fanin_mt19937 *mt, const uint32_t *key, size_t count) {
    fanin_mt19937_seed(mt, 19650218u);
    uint32_t *m = mt->state, i = 1;
    size_t j = 0;
    for (size_t k = count > N ? count : N; k; k--) {
        m[i] = (m[i] ^ ((m[i - 1] ^ (m[i - 1] >> 30)) * 1664525u)) + key[j] + (uint32_t)j;
        if (++i >= N) m[0] = m[N - 1], i = 1;
        if (++j >= count) j = 0;
    }
    for (int k = N - 1; k; k--) {
        m[i] = (m[i] ^ ((m[i - 1] ^ (m[i - 1] >> 30)) * 1566083941u)) - i;
        if (++i >= N) m[0] = m[N - 1], i = 1;
    }
    m[0] = 0x80000000u;
}

size_t fanin__mt_take(fanin_mt19937 *mt, size_t n, const uint32_t **words) {
    if (mt->next >= N) {
        const fanin__compat_kernels *kernels = mt->kernels;
        kernels->mt_block(mt->state, mt->word);
        mt->next = 0;
    }
    size_t ready = N - mt->next;
    if (ready > n) ready = n;
    *words = mt->word + mt->next;
    mt->next += (uint32_t)ready;
    return ready;
}

uint32_t fanin_mt19937_next(fanin_mt19937 *mt) {
    const uint32_t *word;
    fanin__mt_take(mt, 1, &word);
    return *word;
}

void fanin_mt19937_fill(fanin_mt19937 *mt, size_t n, uint32_t *out) {
    while (n) {
        const uint32_t *words;
        size_t got = fanin__mt_take(mt, n, &words);
        if (out) {
            memcpy(out, words, got * sizeof *out);
            out += got;
        }
        n -= got;
    }
}

int64_t fanin_python_randint_1e9(fanin_mt19937 *mt) {
    uint32_t v;
    do v = fanin_mt19937_next(mt) >> 2; /* 30 bits, as many as 10^9 has */
    while (v >= 1000000000u);
    return 1 + (int64_t)v;
}
