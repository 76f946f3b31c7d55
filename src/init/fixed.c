#include "init/fixed.h"

#include <math.h>

/* x = m 2^e, sqrt(1/2) <= m < sqrt 2; log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.1716: twelve terms
 * leave 2e-18. log 2 in two parts, the first with 21 low zero bits, so that e times it is exact. */
double fanin__fixed_log(double x) {
    int e;
    double m = frexp(x, &e);
    if (m < 0.70710678118654752) {
        m *= 2;
        e--;
    }
    double s = (m - 1) / (m + 1), z = s * s, sum = 0;
    for (int k = 23; k >= 3; k -= 2) sum = (sum + 1.0 / k) * z;
    double low = 2 * s * sum + e * 1.90821492927058770002e-10;
    return e * 6.93147180369123816490e-01 + (2 * s + low);
}

static double power(double x, uint64_t n) {
    double y = 1;
    for (; n > 0; n >>= 1, x *= x)
        if (n & 1) y *= x;
    return y;
}

double fanin__fixed_root(double x, uint64_t n) {
    double low = 1, high = x;
    if (power(high, n) <= x) return high;
    for (;;) {
        double middle = low + (high - low) / 2;
        if (middle <= low || middle >= high) return low;
        if (power(middle, n) <= x)
            low = middle;
        else
            high = middle;
    }
}
