/* compat_torch.h - shared by the files of PyTorch's CPU stream. */
#ifndef FANIN_RANDOM_COMPAT_TORCH_H
#define FANIN_RANDOM_COMPAT_TORCH_H

#include "random/compat.h"

/* f32, f64, bf16, f16: the types PyTorch draws. */
bool fanin__torch_dtype_ok(fanin_dtype dtype);
/* v in the precision of dtype; f32 and f64 leave it as it is. */
float fanin__torch_round(fanin_dtype dtype, float v);
/* Passes over n words. */
void fanin__torch_skip(fanin_torch_rng *rng, size_t words);
/* 53-bit uniform in [0, 1) of two words, the first one high. */
double fanin__torch_u53(const uint32_t word[2]);
/* Does the imitated build fuse multiply-add? */
static inline bool fanin__torch_fused(const fanin_torch_rng *rng) {
    return rng->flavour != FANIN_TORCH_BASELINE;
}

#endif
