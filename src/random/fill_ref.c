/* fill_ref.c - the kernels in plain C: four words a step, each law's scalar map. */
#include "random/map64.h"

static void words(const fanin__run *run, size_t n, uint32_t *out) {
    for (size_t i = 0; i < n; i += 4)
        fanin__philox_block(run->key, run->block + i / 4, run->plane, run->version, out + i);
}

static void fill(const fanin__run *run, const fanin__plan *plan, size_t n, float *out) {
    for (size_t i = 0; i < n; i += 4) {
        uint32_t w[4];
        fanin__philox_block(run->key, run->block + i / 4, run->plane, run->version, w);
        for (size_t j = 0; j < 4; j++) out[i + j] = fanin__map_f32(plan, w[j]);
    }
}

static void to_bf16(const float *in, size_t n, uint16_t *out) {
    fanin_convert_from_f32(in, n, FANIN_BF16, out);
}

static void to_f16(const float *in, size_t n, uint16_t *out) {
    fanin_convert_from_f32(in, n, FANIN_F16, out);
}

const fanin__random_kernels *fanin__random_ref(void) {
    static const fanin__random_kernels table = {
        .name = "ref",
        .step = 4,
        .words = words,
        .fill = {fill, fill, fill, fill, fill, fill, fill, fill},
        .fill_f64 = fill_f64,
        .to_bf16 = to_bf16,
        .to_f16 = to_f16,
    };
    return &table;
}
