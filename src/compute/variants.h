/* variants.h - the kernel tables that this build may hold. A build for another processor has the
 * wider ones as functions that return NULL. */
#ifndef FANIN_SRC_COMPUTE_VARIANTS_H
#define FANIN_SRC_COMPUTE_VARIANTS_H

#include "compute/compute.h"

const fanin__kernels *fanin__kernels_ref(void);
const fanin__kernels *fanin__kernels_avx2(void);
const fanin__kernels *fanin__kernels_avx512(void);

void fanin__gemm_ref(const fanin__gemm_args *g);
void fanin__gemm_avx2(const fanin__gemm_args *g);
void fanin__gemm_avx512(const fanin__gemm_args *g);

#endif
