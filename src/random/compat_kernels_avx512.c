/* compat_kernels_avx512.c - the same body compiled for AVX-512. */
#include "random/compat.h"

#if defined(__AVX512F__) && defined(__AVX512VL__)
#include "random/compat_kernels.h"

const fanin__compat_kernels *fanin__compat_kernels_avx512(void) {
    static const fanin__compat_kernels table = {"avx512", mt_block, uniform, normal,
                                                threefry, quantile, reflect};
    return &table;
}
#else
const fanin__compat_kernels *fanin__compat_kernels_avx512(void) { return NULL; }
#endif
