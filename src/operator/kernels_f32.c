/* kernels_f32.c - reference kernels in single precision. */
#include <math.h>
#include <string.h>

#include "operator/function.h"
#include "operator/loop.h"
#include "operator/primitive.h"

#define T               float
#define ACC             double
#define NAME(x)         fanin__ref_##x##_f32
#define FUNCTION        fanin__function_f32
#define LOWEST          -INFINITY
#define HIGHEST         INFINITY
#define NOTHING         NAN
#define IS_NAN(v)       ((v) != (v))
#define PLUS(a, b)      ((a) + (b))
#define MINUS(a, b)     ((a) - (b))
#define TIMES(a, b)     ((a) * (b))
#define DIVIDE(a, b)    ((a) / (b))
#define POWER(a, b)     powf(a, b)
#define MODULO(a, b)    ((a)-floorf((a) / (b)) * (b))
#define REMAINDER(a, b) fmodf(a, b)
#include "operator/kernels_any.inc"
#include "operator/kernels_float.inc"
