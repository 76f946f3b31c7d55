#include "theory/slopes.h"

#if defined(__x86_64__)
const fanin__slopes_kernels *fanin__slopes_avx512(void) { return &slopes_kernels; }
#endif
