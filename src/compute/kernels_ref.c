/* kernels_ref.c - the kernels with the flags of the build, any processor. */
#define VARIANT ref
#include "compute/kernels_body.h"
