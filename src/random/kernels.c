/* kernels.c - which table runs here, and the account of it. */
#include "random/random.h"

const fanin__random_kernels *fanin__random_at(int level) {
    if (level > fanin_cpu_level()) return NULL;
    switch (level) {
    case FANIN_CPU_AVX512: return fanin__random_avx512();
    case FANIN_CPU_AVX2: return fanin__random_avx2();
    case FANIN_CPU_REF: return fanin__random_ref();
    default: return NULL;
    }
}

const fanin__random_kernels *fanin__random_best(void) {
    for (int level = fanin_cpu_level(); level > FANIN_CPU_REF; level--) {
        const fanin__random_kernels *table = fanin__random_at(level);
        if (table) return table;
    }
    return fanin__random_ref();
}

static const char *const slots[] = {
#define SLOT_NAME(id, word, name) "random " name,
    FANIN__MAP_LIST(SLOT_NAME)
#undef SLOT_NAME
        "random words",
    "random f64",
    "random to bf16",
    "random to f16",
};

int fanin_random_slot_count(void) { return (int)FANIN_COUNT(slots); }

fanin_random_slot_info fanin_random_slot(int i) {
    fanin_random_slot_info info = {"", "", ""};
    if (i < 0 || i >= fanin_random_slot_count()) return info;
    info.name = slots[i];
    info.variant = fanin__random_best()->name;
    if (fanin_cpu_level() < FANIN_CPU_AVX512)
        info.reason = fanin__random_avx512() || fanin__random_avx2()
                          ? "the processor or FANIN_CPU rules out wider sets"
                          : "this build has no wider sets";
    return info;
}
