/* stream.c - from (seed, name) to words: SipHash-2-4 makes the key, Philox4x32-10 the words. */
#include <string.h>

#include "random/random.h"

static uint64_t rotate(uint64_t x, int bits) { return (x << bits) | (x >> (64 - bits)); }

static void sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static uint64_t little_endian(const unsigned char *p, size_t n) {
    uint64_t x = 0;
    for (size_t i = 0; i < n; i++) x |= (uint64_t)p[i] << (8 * i);
    return x;
}

/* Aumasson and Bernstein 2012: two rounds a word of message, four at the end. */
uint64_t fanin__siphash24(uint64_t k0, uint64_t k1, const void *data, size_t size) {
    const unsigned char *p = data;
    uint64_t v[4] = {k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
                     k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573)};
    for (size_t left = size;; left -= 8, p += 8) {
        bool last = left < 8;
        uint64_t m = last ? little_endian(p, left) | (uint64_t)size << 56 : little_endian(p, 8);
        v[3] ^= m;
        sip_round(v);
        sip_round(v);
        v[0] ^= m;
        if (last) break;
    }
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++) sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

fanin_stream fanin_stream_init(uint64_t seed, const char *name) {
    const uint64_t constant = UINT64_C(0x31762f6e696e6166); /* the bytes "fanin/v1" */
    uint64_t h = fanin__siphash24(seed, constant, name, strlen(name));
    return (fanin_stream){{(uint32_t)h, (uint32_t)(h >> 32)}, FANIN_STREAM_VERSION};
}

/* Salmon et al. 2011, section 3.3. */
void fanin__philox_block(const uint32_t key[2], uint64_t block, uint32_t plane, uint32_t version,
                         uint32_t out[4]) {
    uint32_t c0 = (uint32_t)block, c1 = (uint32_t)(block >> 32), c2 = plane, c3 = version;
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void fanin_stream_words(const fanin_stream *s, uint32_t plane, uint64_t first, size_t n,
                        uint32_t *out) {
    fanin__words(fanin__random_best(), s, plane, first, n, out);
}
