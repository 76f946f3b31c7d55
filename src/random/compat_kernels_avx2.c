/* compat_kernels_avx2.c - the same body compiled for AVX2 and FMA. */
#include "random/compat.h"

#if defined(__AVX2__) && defined(__FMA__)
#include "random/compat_kernels.h"

const fanin__compat_kernels *fanin__compat_kernels_avx2(void) {
    static const fanin__compat_kernels table = {"avx2",   mt_block, uniform, normal,
                                                threefry, quantile, reflect};
    return &table;
}
#else
const fanin__compat_kernels *fanin__compat_kernels_avx2(void) { return NULL; }
#endif
