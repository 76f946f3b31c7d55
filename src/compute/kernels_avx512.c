/* kernels_avx512.c - the same kernels compiled for avx512; NULL where that does not exist. */
#if defined(__AVX512F__)
#define VARIANT avx512
#include "compute/kernels_body.h"
#else
#include "compute/variants.h"
const fanin__kernels *fanin__kernels_avx512(void) { return NULL; }
#endif
