#include "theory/slopes.h"

#if defined(__x86_64__)
void fanin__slopes_avx2(const fanin__slopes *s, size_t n, double root, const double *roots,
                        double *k, double *t) {
    slopes_body(s, n, root, roots, k, t);
}
#endif
