/* kernels.c - which kernel table runs, and what `fanin doctor` says about it. */
#include "compute/variants.h"

const fanin__kernels *fanin__kernels_level(int level) {
    if (level > fanin_cpu_level()) return NULL;
    switch (level) {
    case FANIN_CPU_AVX512: return fanin__kernels_avx512();
    case FANIN_CPU_AVX2: return fanin__kernels_avx2();
    case FANIN_CPU_REF: return fanin__kernels_ref();
    default: return NULL;
    }
}

const fanin__kernels *fanin__kernels_best(void) {
    for (int level = fanin_cpu_level(); level > FANIN_CPU_REF; level--) {
        const fanin__kernels *k = fanin__kernels_level(level);
        if (k) return k;
    }
    return fanin__kernels_ref();
}

/* A table is filled as a whole, so its slots resolve together; they are listed one by one because
 * a later variant (NEON, say) may fill some only. */
static const char *const slots[] = {
#define BINARY_SLOT(id, name)         #name,
#define UNARY_SLOT(id, name)          #name,
#define UPDATE_SLOT(id, name, states) "update " #name,
    FANIN__BINARY_MAP(BINARY_SLOT) FANIN__UNARY_MAP(UNARY_SLOT) "axpby",
    "moments",
    "dot",
    "max of row",
    "column sums",
    "exp and sum",
    "column moments",
    "column products",
    "column affine",
    "column blend",
    "transpose",
    "maxima of 2 x 2",
    FANIN__UPDATE_MAP(UPDATE_SLOT) "gemm",
    "gemm_lanes",
};

int fanin_compute_slot_count(void) { return (int)FANIN_COUNT(slots); }

fanin_compute_slot_info fanin_compute_slot(int i) {
    fanin_compute_slot_info info = {"", "", ""};
    if (i < 0 || i >= fanin_compute_slot_count()) return info;
    info.name = slots[i];
    info.variant = fanin__kernels_best()->name;
    if (fanin_cpu_level() < FANIN_CPU_AVX512)
        info.reason = fanin__kernels_avx512() || fanin__kernels_avx2()
                          ? "the processor or FANIN_CPU rules out wider sets"
                          : "this build has no wider sets";
    return info;
}
