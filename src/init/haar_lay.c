/* haar_lay.c - the portable functions, and the choice among variants. */
#include "init/haar_lay_body.h"

const fanin__haar_lay *fanin__haar_lay_ref(void) {
    static const fanin__haar_lay table = {squares, rows, gram};
    return &table;
}

const fanin__haar_lay *fanin__haar_lay_select(void) {
    const fanin__haar_lay *avx2 = fanin__haar_lay_avx2(), *avx512 = fanin__haar_lay_avx512();
    int level = fanin_cpu_level();
    if (avx512 && level >= FANIN_CPU_AVX512) return avx512;
    return avx2 && level >= FANIN_CPU_AVX2 ? avx2 : fanin__haar_lay_ref();
}
