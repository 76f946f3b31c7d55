/* kernels_avx2.c - the same kernels compiled for avx2; NULL where that does not exist. */
#if defined(__AVX2__)
#define VARIANT avx2
#include "compute/kernels_body.h"
#else
#include "compute/variants.h"
const fanin__kernels *fanin__kernels_avx2(void) { return NULL; }
#endif
