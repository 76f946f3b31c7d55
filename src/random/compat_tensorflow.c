/* compat_tensorflow.c - TensorFlow's stateless operators as its CPU and GPU kernels draw them.
 *
 * The two seed numbers are scrambled by one Philox block into a key and the upper half of the
 * counter. The *low* 23 bits of a word become a number; normals come in pairs, sine first.
 */
#include <math.h>
#include <string.h>

#include "random/compat.h"

#define TWO_PI 6.283185307179586476925286766559

typedef struct tf_stream {
    uint32_t key[2], high[2]; /* high: the counter's upper words */
} tf_stream;

static tf_stream stream_open(fanin_tf_seed seed) {
    static const uint32_t scramble[2] = {0x3ec8f720u, 0x02461e29u};
    uint64_t s0 = (uint64_t)seed.word[0], s1 = (uint64_t)seed.word[1];
    uint32_t counter[4] = {(uint32_t)s0, (uint32_t)(s0 >> 32), (uint32_t)s1, (uint32_t)(s1 >> 32)};
    uint32_t m[4];
    fanin__philox4x32(counter, scramble, m);
    return (tf_stream){{m[0], m[1]}, {m[2], m[3]}};
}

/* Block i: the 128-bit counter starts at (0, 0, high) and a tensor never carries past 2^64. */
static void block_at(const tf_stream *s, uint64_t i, uint32_t out[4]) {
    uint32_t counter[4] = {(uint32_t)i, (uint32_t)(i >> 32), s->high[0], s->high[1]};
    fanin__philox4x32(counter, s->key, out);
}

fanin_status fanin_tf_bits(fanin_tf_seed seed, size_t n, uint32_t *out) {
    tf_stream s = stream_open(seed);
    for (size_t i = 0; i < n; i += 4) {
        uint32_t w[4];
        block_at(&s, i / 4, w);
        memcpy(out + i, w, (n - i < 4 ? n - i : 4) * sizeof *out);
    }
    return FANIN_OK;
}

static float unit(uint32_t w) {
    uint32_t b = (w & 0x7fffffu) | 0x3f800000u;
    float f;
    memcpy(&f, &b, sizeof f);
    return f - 1.0f;
}

fanin_status fanin_tf_uniform(fanin_tf_seed seed, size_t n, float low, float high, float *out) {
    tf_stream s = stream_open(seed);
    for (size_t i = 0; i < n; i += 4) {
        uint32_t w[4];
        block_at(&s, i / 4, w);
        for (size_t j = 0; j < 4 && i + j < n; j++) out[i + j] = unit(w[j]) * (high - low) + low;
    }
    return FANIN_OK;
}

static void pair(uint32_t w0, uint32_t w1, float z[2]) {
    float u = fmaxf(unit(w0), 1.0e-7f), v = (float)(TWO_PI * (double)unit(w1));
    float r = sqrtf(-2.0f * (float)log((double)u));
    z[0] = (float)sin((double)v) * r;
    z[1] = (float)cos((double)v) * r;
}

static void four_normals(const tf_stream *s, uint64_t block, float z[4]) {
    uint32_t w[4];
    block_at(s, block, w);
    pair(w[0], w[1], z);
    pair(w[2], w[3], z + 2);
}

fanin_status fanin_tf_normal(fanin_tf_seed seed, size_t n, float mean, float std, float *out) {
    tf_stream s = stream_open(seed);
    if (!(std >= 0)) return FANIN_ARG;
    for (size_t i = 0; i < n; i += 4) {
        float z[4];
        four_normals(&s, i / 4, z);
        for (size_t j = 0; j < 4 && i + j < n; j++) out[i + j] = z[j] * std + mean;
    }
    return FANIN_OK;
}

/* Each group of four has 256 blocks of its own to find four values within two deviations. */
fanin_status fanin_tf_truncated_normal(fanin_tf_seed seed, size_t n, float mean, float std,
                                       float *out) {
    tf_stream s = stream_open(seed);
    if (!(std >= 0)) return FANIN_ARG;
    for (size_t i = 0; i < n; i += 4) {
        size_t want = n - i < 4 ? n - i : 4, got = 0;
        for (uint64_t block = 256 * (uint64_t)(i / 4); got < want; block++) {
            float z[4];
            four_normals(&s, block, z);
            for (int j = 0; j < 4 && got < want; j++)
                if (fabsf(z[j]) < 2.0f) out[i + got++] = z[j] * std + mean;
        }
    }
    return FANIN_OK;
}

fanin_tf_seed fanin_keras_seed(uint64_t seed) {
    return (fanin_tf_seed){{(int64_t)(seed % 2147483646u), 0}};
}
