#include "theory/slopes.h"

void fanin__slopes_ref(const fanin__slopes *s, size_t n, double root, const double *roots,
                       double *k, double *t) {
    slopes_body(s, n, root, roots, k, t);
}
