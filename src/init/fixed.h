/* init/fixed.h - the few functions that rules need beyond + - * / sqrt, from those alone: libm's differ
 * between systems, and these decide bits of weights. */
#ifndef FANIN_SRC_INIT_FIXED_H
#define FANIN_SRC_INIT_FIXED_H

#include <stdint.h>

/* Natural logarithm, 0 < x < infinity, to about 1 ulp. */
double fanin__fixed_log(double x);
/* The largest double r >= 1 whose n-th power, by repeated squaring, is at most x; x >= 1, n >= 1. */
double fanin__fixed_root(double x, uint64_t n);

#endif
