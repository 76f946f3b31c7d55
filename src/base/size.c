#include <stdio.h>

#include "base/base.h"

bool fanin__size_mul(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }

bool fanin__size_add(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }

bool fanin__shape_count(const int64_t *dims, int rank, size_t *count) {
    size_t n = 1;
    bool empty = false;
    for (int i = 0; i < rank; i++) {
        if (dims[i] < 0) return false;
        if (dims[i] == 0)
            empty = true;
        else if (!fanin__size_mul(n, (size_t)dims[i], &n))
            return false;
    }
    if (n > PTRDIFF_MAX) return false;
    *count = empty ? 0 : n;
    return true;
}

const char *fanin__shape_text(const int64_t *dims, int rank, char *buf, size_t size) {
    size_t at = 0;
    if (size == 0) return buf;
    buf[0] = '\0';
    if (rank <= 0) {
        snprintf(buf, size, "scalar");
        return buf;
    }
    for (int i = 0; i < rank && at < size; i++) {
        int n = dims[i] < 0
                    ? snprintf(buf + at, size - at, "%s?", i ? "x" : "")
                    : snprintf(buf + at, size - at, "%s%lld", i ? "x" : "", (long long)dims[i]);
        if (n < 0) break;
        at += (size_t)n;
    }
    return buf;
}
