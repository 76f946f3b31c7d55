#include <stdatomic.h>
#include <stdlib.h>

#include "base/base.h"

/* What the processor and the system offer. Each level asks for every flag that the files of
 * that level are compiled with (CMakeLists.txt), not only for the one it is named after. */
static int detect(void) {
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return FANIN_CPU_REF;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return FANIN_CPU_AVX512;
    return FANIN_CPU_AVX2;
#else
    return FANIN_CPU_REF;
#endif
}

static int cap(void) {
    const char *env = getenv("FANIN_CPU");
    if (!env) return FANIN_CPU_AVX512;
    if (fanin__strcasecmp(env, "ref") == 0) return FANIN_CPU_REF;
    if (fanin__strcasecmp(env, "avx2") == 0) return FANIN_CPU_AVX2;
    return FANIN_CPU_AVX512;
}

int fanin_cpu_level(void) {
    static atomic_int level = -1;
    int known = atomic_load_explicit(&level, memory_order_relaxed);
    if (known >= 0) return known;
    int found = detect(), most = cap();
    known = found < most ? found : most;
    atomic_store_explicit(&level, known, memory_order_relaxed);
    return known;
}
