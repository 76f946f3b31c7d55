/* constant.c - zeros, ones, constant. */
#include <math.h>
#include <string.h>

#include "init/init.h"

static fanin_status constant(fanin__recipe *plan, double value) {
    char text[32];
    plan->value = value;
    plan->moments.mean = plan->moments.low = plan->moments.high = value;
    plan->moments.std = 0;
    fanin__reason(plan, "every element is %s", fanin__number_text(value, text));
    return FANIN_OK;
}

fanin_status fanin__zeros_plan(fanin__recipe *plan, fanin_err *err) {
    (void)err;
    return constant(plan, 0);
}

fanin_status fanin__ones_plan(fanin__recipe *plan, fanin_err *err) {
    (void)err;
    return constant(plan, 1);
}

fanin_status fanin__constant_plan(fanin__recipe *plan, fanin_err *err) {
    (void)err;
    return constant(plan, fanin__or(plan->rule->value, 0));
}

typedef struct pattern {
    unsigned char bytes[8];
    size_t size;
    unsigned char *out;
} pattern;

static void repeat(void *arg, size_t begin, size_t end) {
    const pattern *p = arg;
    unsigned char *out = p->out + begin * p->size;
    size_t size = (end - begin) * p->size, done = p->size;
    if (p->size == 1 || memcmp(p->bytes, (unsigned char[8]){0}, p->size) == 0) {
        memset(out, p->bytes[0], size);
        return;
    }
    memcpy(out, p->bytes, p->size);
    while (done < size) { /* doubling up to a size that stays in the first cache */
        size_t step = done < 16384 ? done : 16384;
        if (step > size - done) step = size - done;
        memcpy(out + done, out, step);
        done += step;
    }
}

fanin_status fanin__constant_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first,
                                  size_t n, fanin_dtype dtype, void *out, fanin_err *err) {
    (void)seed, (void)first, (void)err;
    pattern p = {.size = fanin_dtype_size(dtype), .out = out};
    fanin__fill_each(plan, NULL, 0, 1, dtype, p.bytes);
    fanin_parallel_for(n, (size_t)1 << 18, repeat, &p);
    return FANIN_OK;
}
