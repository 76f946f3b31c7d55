/* compat_torch_cuda.c - PyTorch's CUDA generator: Philox behind a grid-stride loop.
 *
 * Thread t of W launched ones is Philox subsequence t; step k gives it four words, for elements
 * t + W * (4k + c). Below one wave every element is component 0 of its own subsequence.
 */
#include <math.h>

#include "random/compat.h"

enum { BLOCK = 256, UNROLL = 4 };

#define TWO_PI 6.283185307179586476925286766559

typedef void (*four_fn)(const uint32_t w[4], double p0, double p1, float out[4]);

static void four_uniforms(const uint32_t w[4], double low, double high, float out[4]) {
    float from = (float)low, to = (float)high;
    for (int c = 0; c < 4; c++) {
        float u = fmaf((float)w[c], 0x1p-32f, 0x1p-33f), v = fmaf(u, to - from, from);
        out[c] = v == to ? from : v;
    }
}

static void four_normals(const uint32_t w[4], double mean, double std, float out[4]) {
    for (int c = 0; c < 4; c += 2) {
        double r = sqrt(-2.0 * log((double)w[c] * 0x1p-32 + 0x1p-33));
        double angle = ((double)w[c + 1] + 0.5) * (TWO_PI * 0x1p-32);
        out[c] = fmaf((float)(r * sin(angle)), (float)std, (float)mean);
        out[c + 1] = fmaf((float)(r * cos(angle)), (float)std, (float)mean);
    }
}

static fanin_status draw(fanin_torch_cuda_rng *rng, size_t n, four_fn four, double p0, double p1,
                         float *out) {
    uint64_t most = (uint64_t)rng->sms * (rng->threads_per_sm / BLOCK);
    if (most == 0) return FANIN_ARG;
    if (n == 0) return FANIN_OK;
    uint64_t blocks = (n - 1) / BLOCK + 1;
    size_t width = (size_t)(BLOCK * (blocks < most ? blocks : most));
    uint32_t key[2] = {(uint32_t)rng->seed, (uint32_t)(rng->seed >> 32)};
    uint64_t step = rng->offset / 4;
    for (size_t base = 0; base < n; base += width * UNROLL, step++)
        for (size_t t = 0; t < width && base + t < n; t++) {
            uint32_t counter[4] = {(uint32_t)step, (uint32_t)(step >> 32), (uint32_t)t,
                                   (uint32_t)((uint64_t)t >> 32)};
            uint32_t w[4];
            float value[4];
            fanin__philox4x32(counter, key, w);
            four(w, p0, p1, value);
            for (size_t c = 0; c < UNROLL && base + t + c * width < n; c++)
                out[base + t + c * width] = value[c];
        }
    rng->offset += 4 * (1 + (n - 1) / (width * UNROLL));
    return FANIN_OK;
}

fanin_status fanin_torch_cuda_uniform(fanin_torch_cuda_rng *rng, size_t n, double low, double high,
                                      float *out) {
    if (!(low <= high)) return FANIN_ARG;
    return draw(rng, n, four_uniforms, low, high, out);
}

fanin_status fanin_torch_cuda_normal(fanin_torch_cuda_rng *rng, size_t n, double mean, double std,
                                     float *out) {
    if (!(std >= 0)) return FANIN_ARG;
    return draw(rng, n, four_normals, mean, std, out);
}
