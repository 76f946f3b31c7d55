/* fill.c - cuts a request into runs of whole blocks for the kernels, and into dtypes.
 *
 * Head and tail of a slice, and what is left beside multiples of a kernel's step, go through the
 * scalar maps: the values are the same. Runs end where the low half of the block counter wraps,
 * so that a kernel may hold the high half fixed. */
#include <string.h>

#include "random/random.h"

enum {
    CHUNK = 2048,              /* floats on the stack between the law and a narrow dtype */
    STREAM_BYTES = 1 << 20,    /* outputs beyond this leave the caches anyway */
    PARALLEL_GRAIN = 64 * 1024 /* elements */
};

static fanin__run run_at(const fanin_stream *s, uint32_t plane, uint64_t first) {
    return (fanin__run){{s->key[0], s->key[1]}, plane, s->version, first / 4, false};
}

static void one_block(const fanin_stream *s, uint32_t plane, uint64_t first, uint32_t w[4]) {
    fanin__philox_block(s->key, first / 4, plane, s->version, w);
}

/* Elements from `first` (a multiple of 4) that a kernel may do at once: at most n, and before the
 * low half of the counter wraps. */
static size_t run_length(uint64_t first, size_t n) {
    uint64_t blocks = (UINT64_C(1) << 32) - (uint32_t)(first / 4);
    return n / 4 < blocks ? n : (size_t)(blocks * 4);
}

/* A scalar stretch: up to the next multiple of 4, or the last few of a slice. */
static size_t scalar_stretch(uint64_t first, size_t n) {
    size_t count = 4 - (size_t)(first % 4);
    return count < n ? count : n;
}

void fanin__words(const fanin__random_kernels *kernels, const fanin_stream *s, uint32_t plane,
                  uint64_t first, size_t n, uint32_t *out) {
    while (n > 0) {
        size_t length = first % 4 ? 0 : run_length(first, n) / kernels->step * kernels->step;
        if (length > 0) {
            fanin__run run = run_at(s, plane, first);
            kernels->words(&run, length, out);
        } else {
            uint32_t w[4];
            one_block(s, plane, first, w);
            length = scalar_stretch(first, n);
            memcpy(out, w + first % 4, length * sizeof *out);
        }
        first += length;
        out += length;
        n -= length;
    }
}

static bool streaming(const void *out, size_t bytes) {
    return bytes >= STREAM_BYTES && (uintptr_t)out % 64 == 0;
}

void fanin__fill_f32(const fanin__random_kernels *kernels, const fanin_stream *s, uint32_t plane,
                     const fanin__plan *plan, uint64_t first, size_t n, float *out) {
    if (plan->map == FANIN__MAP_CONSTANT) {
        for (size_t i = 0; i < n; i++) out[i] = plan->mean;
        return;
    }
    while (n > 0) {
        size_t length = first % 4 || plan->map == FANIN__MAP_TAIL
                            ? 0
                            : run_length(first, n) / kernels->step * kernels->step;
        if (length > 0) {
            fanin__run run = run_at(s, plane, first);
            run.streaming = streaming(out, length * sizeof *out);
            kernels->fill[plan->map](&run, plan, length, out);
        } else {
            uint32_t w[4];
            one_block(s, plane, first, w);
            length = scalar_stretch(first, n);
            for (size_t i = 0; i < length; i++) out[i] = fanin__map_f32(plan, w[first % 4 + i]);
        }
        first += length;
        out += length;
        n -= length;
    }
}

static void fill_f64(const fanin__random_kernels *kernels, const fanin_stream *s, uint32_t plane,
                     const fanin__plan *plan, uint64_t first, size_t n, double *out) {
    enum { BATCH = 512 };
    uint32_t high[BATCH], low[BATCH];
    for (size_t done = 0; done < n; done += BATCH) {
        size_t count = n - done < BATCH ? n - done : BATCH;
        fanin__words(kernels, s, plane, first + done, count, high);
        fanin__words(kernels, s, plane + 1, first + done, count, low);
        kernels->fill_f64(plan, high, low, count, out + done);
    }
}

static void convert(const fanin__random_kernels *kernels, const float *in, size_t n,
                    fanin_dtype dtype, void *out) {
    if (dtype == FANIN_BF16)
        kernels->to_bf16(in, n, out);
    else if (dtype == FANIN_F16)
        kernels->to_f16(in, n, out);
    else
        fanin_convert_from_f32(in, n, dtype, out);
}

/* What a kernel that writes bf16 itself can do from `first` on; returns how many elements. */
static size_t fill_bf16(const fanin__random_kernels *kernels, const fanin_stream *s, uint32_t plane,
                        const fanin__plan *plan, uint64_t first, size_t n, uint16_t *out) {
    if (plan->map >= FANIN__MAP_COUNT || !kernels->fill_bf16[plan->map] || first % 4) return 0;
    size_t length = run_length(first, n) / kernels->step * kernels->step;
    if (length == 0) return 0;
    fanin__run run = run_at(s, plane, first);
    run.streaming = streaming(out, length * sizeof *out);
    kernels->fill_bf16[plan->map](&run, plan, length, out);
    return length;
}

static void fill_narrow(const fanin__random_kernels *kernels, const fanin_stream *s, uint32_t plane,
                        const fanin__plan *plan, uint64_t first, size_t n, fanin_dtype dtype,
                        unsigned char *out) {
    _Alignas(64) float chunk[CHUNK];
    size_t size = fanin_dtype_size(dtype);
    while (n > 0) {
        size_t count = 0;
        if (dtype == FANIN_BF16)
            count = fill_bf16(kernels, s, plane, plan, first, n, (uint16_t *)(void *)out);
        if (count == 0) {
            count = first % 4 ? scalar_stretch(first, n) : n < CHUNK ? n : CHUNK;
            fanin__fill_f32(kernels, s, plane, plan, first, count, chunk);
            convert(kernels, chunk, count, dtype, out);
        }
        first += count;
        n -= count;
        out += count * size;
    }
}

void fanin__fill_dtype(const fanin__random_kernels *kernels, const fanin_stream *s, uint32_t plane,
                       const fanin__plan *plan, uint64_t first, size_t n, fanin_dtype dtype,
                       void *out) {
    if (dtype == FANIN_F32)
        fanin__fill_f32(kernels, s, plane, plan, first, n, out);
    else if (dtype == FANIN_F64)
        fill_f64(kernels, s, plane, plan, first, n, out);
    else
        fill_narrow(kernels, s, plane, plan, first, n, dtype, out);
}

fanin_status fanin_random_fill(const fanin_stream *s, uint32_t plane, const fanin_law *law,
                               uint64_t first, size_t n, fanin_dtype dtype, void *out) {
    fanin__plan plan;
    if (!fanin_dtype_is_float(dtype)) return FANIN_ARG;
    FANIN_TRY(fanin__plan_make(law, &plan));
    fanin__fill_dtype(fanin__random_best(), s, plane, &plan, first, n, dtype, out);
    return FANIN_OK;
}

typedef struct job {
    const fanin_stream *s;
    const fanin__plan *plan;
    uint32_t plane;
    fanin_dtype dtype;
    uint64_t first;
    unsigned char *out;
} job;

static void fill_range(void *arg, size_t begin, size_t end) {
    const job *j = arg;
    fanin__fill_dtype(fanin__random_best(), j->s, j->plane, j->plan, j->first + begin, end - begin,
                      j->dtype, j->out + begin * fanin_dtype_size(j->dtype));
}

fanin_status fanin_random_fill_parallel(const fanin_stream *s, uint32_t plane, const fanin_law *law,
                                        uint64_t first, size_t n, fanin_dtype dtype, void *out) {
    fanin__plan plan;
    if (!fanin_dtype_is_float(dtype)) return FANIN_ARG;
    FANIN_TRY(fanin__plan_make(law, &plan));
    job j = {s, &plan, plane, dtype, first, out};
    fanin_parallel_for(n, PARALLEL_GRAIN, fill_range, &j);
    return FANIN_OK;
}
