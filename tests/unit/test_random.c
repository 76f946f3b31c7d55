/* The stream and its laws against published vectors, mathematics, and themselves. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random/random.h"
#include "testing.h"

/* ---- words: published vectors ---------------------------------------------------------- */

TEST(philox_known_answers) {
    /* Random123, kat_vectors: philox4x32 10. */
    static const uint32_t cases[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d,
         0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
         0x94fdcceb, 0x5001e420, 0x24126ea1},
    };
    for (int i = 0; i < 3; i++) {
        const uint32_t *c = cases[i];
        uint32_t got[4];
        fanin__philox_block(c + 4, c[0] | (uint64_t)c[1] << 32, c[2], c[3], got);
        assert_memory_equal(got, c + 6, sizeof got);
    }
}

TEST(siphash_published_vectors) {
    /* Aumasson and Bernstein, SipHash-2-4 test vectors: key 00..0f, message 00..(n-1). */
    static const struct {
        size_t n;
        uint64_t hash;
    } cases[] = {
        {0, UINT64_C(0x726fdb47dd0e0e31)},  {1, UINT64_C(0x74f839c593dc67fd)},
        {7, UINT64_C(0xab0200f58b01d137)},  {8, UINT64_C(0x93f5f5799a932462)},
        {15, UINT64_C(0xa129ca6149be45e5)}, {63, UINT64_C(0x958a324ceb064572)},
    };
    unsigned char message[64];
    for (int i = 0; i < 64; i++) message[i] = (unsigned char)i;
    for (size_t i = 0; i < FANIN_COUNT(cases); i++)
        assert_int_equal(fanin__siphash24(UINT64_C(0x0706050403020100),
                                          UINT64_C(0x0f0e0d0c0b0a0908), message, cases[i].n),
                         cases[i].hash);
}
