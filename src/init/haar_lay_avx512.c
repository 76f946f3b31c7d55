/* haar_lay_avx512.c - the same body compiled for AVX-512. */
#include "init/haar_lay.h"

#if defined(__AVX512F__)
#include "init/haar_lay_body.h"

const fanin__haar_lay *fanin__haar_lay_avx512(void) {
    static const fanin__haar_lay table = {squares, rows, gram};
    return &table;
}
#else
const fanin__haar_lay *fanin__haar_lay_avx512(void) { return NULL; }
#endif
