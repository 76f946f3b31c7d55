/* fill.c - numbers that are computed, not drawn: each f32 value rounded once into the type asked for
 * (f64 takes the double as it is). */
#include <string.h>

#include "init/init.h"

enum { CHUNK = 1024 };

typedef struct each {
    const fanin__recipe *plan;
    double (*value)(const fanin__recipe *, uint64_t);
    uint64_t first;
    fanin_dtype dtype;
    size_t size;
    char *out;
} each;

static void each_range(void *arg, size_t begin, size_t end) {
    const each *e = arg;
    float f32[CHUNK];
    for (size_t i = begin; i < end; i += CHUNK) {
        size_t n = end - i < CHUNK ? end - i : CHUNK;
        char *out = e->out + i * e->size;
        for (size_t j = 0; j < n; j++) {
            double v = e->value ? e->value(e->plan, e->first + i + j) : e->plan->value;
            if (e->dtype == FANIN_F64)
                memcpy(out + j * sizeof v, &v, sizeof v);
            else
                f32[j] = (float)v;
        }
        if (e->dtype != FANIN_F64) fanin_convert_from_f32(f32, n, e->dtype, out);
    }
}

void fanin__fill_each(const fanin__recipe *plan, double (*value)(const fanin__recipe *, uint64_t),
                      uint64_t first, size_t n, fanin_dtype dtype, void *out) {
    each e = {.plan = plan,
              .value = value,
              .first = first,
              .dtype = dtype,
              .size = fanin_dtype_size(dtype),
              .out = out};
    fanin_parallel_for(n, 4 * CHUNK, each_range, &e);
}

typedef struct cut {
    const float *in;
    fanin_dtype dtype;
    size_t size;
    char *out;
} cut;

static void cut_range(void *arg, size_t begin, size_t end) {
    const cut *c = arg;
    fanin_convert_from_f32(c->in + begin, end - begin, c->dtype, c->out + begin * c->size);
}

void fanin__fill_from_f32(const float *whole, uint64_t first, size_t n, fanin_dtype dtype,
                          void *out) {
    cut c = {.in = whole + first, .dtype = dtype, .size = fanin_dtype_size(dtype), .out = out};
    fanin_parallel_for(n, (size_t)1 << 16, cut_range, &c);
}
