/* haar_lay_avx2.c - the same body compiled for AVX2. */
#include "init/haar_lay.h"

#if defined(__AVX2__)
#include "init/haar_lay_body.h"

const fanin__haar_lay *fanin__haar_lay_avx2(void) {
    static const fanin__haar_lay table = {squares, rows, gram};
    return &table;
}
#else
const fanin__haar_lay *fanin__haar_lay_avx2(void) { return NULL; }
#endif
