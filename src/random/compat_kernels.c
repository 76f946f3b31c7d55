/* compat_kernels.c - the portable kernels, and the choice among variants. */
#include <stdlib.h>

#include "random/compat_kernels.h"

const fanin__compat_kernels *fanin__compat_kernels_ref(void) {
    static const fanin__compat_kernels table = {"ref", mt_block, uniform, normal};
    return &table;
}

static bool has_avx2(void) {
#if defined(__x86_64__) && defined(__GNUC__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return false;
#endif
}

const fanin__compat_kernels *fanin__compat_kernels_get(void) {
    const char *cap = getenv("FANIN_CPU");
    bool plain = cap && fanin__strcasecmp(cap, "ref") == 0;
    if (!plain && fanin__compat_kernels_avx2() && has_avx2()) return fanin__compat_kernels_avx2();
    return fanin__compat_kernels_ref();
}
