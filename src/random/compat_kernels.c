/* compat_kernels.c - the portable kernels, and the choice among variants. */
#include "random/compat_kernels.h"

const fanin__compat_kernels *fanin__compat_kernels_ref(void) {
    static const fanin__compat_kernels table = {"ref",    mt_block, uniform, normal,
                                                threefry, quantile, reflect};
    return &table;
}

const fanin__compat_kernels *fanin__compat_kernels_get(void) {
    const fanin__compat_kernels *avx2 = fanin__compat_kernels_avx2();
    const fanin__compat_kernels *avx512 = fanin__compat_kernels_avx512();
    int level = fanin_cpu_level();
    if (avx512 && level >= FANIN_CPU_AVX512) return avx512;
    return avx2 && level >= FANIN_CPU_AVX2 ? avx2 : fanin__compat_kernels_ref();
}
