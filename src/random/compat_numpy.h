/* compat_numpy.h - one step of NumPy's bit generators, inline for the loops of the laws. */
#ifndef FANIN_RANDOM_COMPAT_NUMPY_H
#define FANIN_RANDOM_COMPAT_NUMPY_H

#include "random/compat.h"

__extension__ typedef unsigned __int128 fanin__word128;

static inline void fanin__pcg_step(fanin_numpy_rng *rng) {
    const fanin__word128 multiplier =
        (fanin__word128)UINT64_C(0x2360ed051fc65da4) << 64 | UINT64_C(0x4385df649fccf645);
    fanin__word128 s = (fanin__word128)rng->state[0] << 64 | rng->state[1];
    s = s * multiplier + ((fanin__word128)rng->increment[0] << 64 | rng->increment[1]);
    rng->state[0] = (uint64_t)(s >> 64);
    rng->state[1] = (uint64_t)s;
}

static inline uint64_t fanin__pcg_next(fanin_numpy_rng *rng) {
    fanin__pcg_step(rng);
    uint64_t v = rng->state[0] ^ rng->state[1];
    unsigned by = (unsigned)(rng->state[0] >> 58);
    return v >> by | v << ((64 - by) & 63);
}

static inline bool fanin__numpy_is_mt(const fanin_numpy_rng *rng) {
    return rng->bits == FANIN_NUMPY_MT19937 || rng->bits == FANIN_NUMPY_RANDOMSTATE;
}

static inline uint32_t fanin__mt_word(fanin_mt19937 *mt) {
    return mt->next < FANIN_MT19937_WORDS ? mt->word[mt->next++] : fanin_mt19937_next(mt);
}

static inline uint64_t fanin__numpy_next64(fanin_numpy_rng *rng) {
    return rng->bits == FANIN_NUMPY_PCG64 ? fanin__pcg_next(rng) : fanin_numpy_next64(rng);
}

/* 32-bit requests take the low half of a 64-bit word and keep the high one. */
static inline uint32_t fanin__numpy_next32(fanin_numpy_rng *rng) {
    if (fanin__numpy_is_mt(rng)) return fanin__mt_word(&rng->mt);
    if (rng->has_half) {
        rng->has_half = false;
        return rng->half;
    }
    uint64_t w = fanin__numpy_next64(rng);
    rng->has_half = true;
    rng->half = (uint32_t)(w >> 32);
    return (uint32_t)w;
}

#endif
