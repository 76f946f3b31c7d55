/* kernels_f64.c - reference kernels in double precision: what everything else is compared with. */
#include <math.h>
#include <string.h>

#include "operator/function.h"
#include "operator/loop.h"
#include "operator/primitive.h"

#define T               double
#define ACC             double
#define NAME(x)         fanin__ref_##x##_f64
#define FUNCTION        fanin__function_f64
#define LOWEST          -INFINITY
#define HIGHEST         INFINITY
#define NOTHING         ((double)NAN)
#define IS_NAN(v)       ((v) != (v))
#define PLUS(a, b)      ((a) + (b))
#define MINUS(a, b)     ((a) - (b))
#define TIMES(a, b)     ((a) * (b))
#define DIVIDE(a, b)    ((a) / (b))
#define POWER(a, b)     pow(a, b)
#define MODULO(a, b)    ((a)-floor((a) / (b)) * (b))
#define REMAINDER(a, b) fmod(a, b)
#include "operator/kernels_any.inc"
#include "operator/kernels_float.inc"
