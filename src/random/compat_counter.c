/* compat_counter.c - the counter-based generators under JAX, TensorFlow, CUDA and NumPy's Philox.
 *
 * Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011): Philox with
 * 10 rounds, Threefry with 20.
 */
#include "random/compat.h"

void fanin__philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t a = UINT64_C(0xd2511f53) * c0, b = UINT64_C(0xcd9e8d57) * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)a;
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

__extension__ typedef unsigned __int128 word128;

void fanin__philox4x64(const uint64_t counter[4], const uint64_t key[2], uint64_t out[4]) {
    uint64_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint64_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        word128 a = (word128)UINT64_C(0xd2e7470ee14c6c93) * c0;
        word128 b = (word128)UINT64_C(0xca5a826395121157) * c2;
        c0 = (uint64_t)(b >> 64) ^ c1 ^ k0;
        c1 = (uint64_t)b;
        c2 = (uint64_t)(a >> 64) ^ c3 ^ k1;
        c3 = (uint64_t)a;
        k0 += UINT64_C(0x9e3779b97f4a7c15);
        k1 += UINT64_C(0xbb67ae8584caa73b);
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

static uint32_t rotate(uint32_t v, int by) { return v << by | v >> (32 - by); }

void fanin__threefry2x32(const uint32_t key[2], uint32_t c0, uint32_t c1, uint32_t out[2]) {
    static const int turn[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
    uint32_t ks[3] = {key[0], key[1], key[0] ^ key[1] ^ 0x1bd11bdau};
    uint32_t x0 = c0 + ks[0], x1 = c1 + ks[1];
    for (uint32_t g = 0; g < 5; g++) {
        for (int i = 0; i < 4; i++) {
            x0 += x1;
            x1 = rotate(x1, turn[g & 1][i]) ^ x0;
        }
        x0 += ks[(g + 1) % 3];
        x1 += ks[(g + 2) % 3] + g + 1;
    }
    out[0] = x0, out[1] = x1;
}
