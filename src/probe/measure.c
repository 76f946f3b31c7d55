/* measure.c - two passes over a tensor at the speed of memory; of large tensors some four million elements, in chunks
 * spread over it, make the histogram. Sums are kept per chunk of 64 Ki elements and added in
 * order, counts are whole numbers: threads change nothing.
 *
 * Repeats: windows of 8 elements that start where a hash of the element falls below a threshold are fingerprinted, up
 * to about 32 Ki of them wherever they stand, so a repeated run is found at any offset. A window must hold six
 * different values: zeros, signs and patterns do not count. */
#include "probe/measure.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK = 65536,
    PIECE = 1024,
    WINDOW = 8,
    MARKS_WANTED = 32768,
    MARKS_MAX = 131072,
    BINNED_WANTED = 1 << 22
};

typedef struct sums {
    uint64_t n, not_finite, zeros, coarse;
    double s1, s2, s3, s4, min, max;
} sums;

typedef struct mark {
    uint64_t print, at;
} mark;

typedef struct pass {
    const fanin_array *array;
    const unsigned char *data;
    size_t element;
    uint64_t count;
    double pivot;
    sums *sums; /* a chunk */
    fanin__measure *m;
    atomic_uint_fast64_t *bins;
    atomic_uint *patterns; /* a bit a 16-bit pattern; NULL for other types */
    uint64_t stride;       /* chunks from one that is binned to the next */
    uint32_t threshold;    /* of the hash that makes a mark */
    mark *marks;
    atomic_size_t mark_count;
} pass;

/* n <= PIECE elements as doubles. */
static void widen(const pass *p, uint64_t first, size_t n, double *out) {
    const unsigned char *in = p->data + first * p->element;
    if (p->array->dtype == FANIN_F32) {
        float x[PIECE];
        memcpy(x, in, n * sizeof *x);
        for (size_t i = 0; i < n; i++) out[i] = (double)x[i];
        return;
    }
    _Alignas(8) unsigned char copy[PIECE * 8]; /* the file may hold it misaligned */
    memcpy(copy, in, n * p->element);
    fanin_convert_to_f64(copy, p->array->dtype, n, out);
}

/* Four chains, element i in chain i mod 4. */
typedef struct lanes {
    double s1[4], s2[4], s3[4], s4[4], min[4], max[4], bad[4], zeros[4];
} lanes;

static inline void add_lane(lanes *l, int k, double x, double pivot) {
    bool finite = fabs(x) <= 1.7976931348623157e308;
    double d = finite ? x - pivot : 0, d2 = d * d;
    l->bad[k] += finite ? 0 : 1;
    l->zeros[k] += x == 0 ? 1 : 0;
    l->s1[k] += d;
    l->s2[k] += d2;
    l->s3[k] += d2 * d;
    l->s4[k] += d2 * d2;
    l->min[k] = finite && x < l->min[k] ? x : l->min[k];
    l->max[k] = finite && x > l->max[k] ? x : l->max[k];
}

static double add4(const double v[4]) { return (v[0] + v[1]) + (v[2] + v[3]); }

static void add_piece(const pass *p, const double *x, size_t n, sums *s) {
    lanes l = {0};
    size_t i = 0;
    for (int k = 0; k < 4; k++) {
        l.min[k] = s->min;
        l.max[k] = s->max;
    }
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++) add_lane(&l, k, x[i + (size_t)k], p->pivot);
    for (; i < n; i++) add_lane(&l, (int)(i & 3), x[i], p->pivot);
    uint64_t bad = (uint64_t)add4(l.bad);
    s->s1 += add4(l.s1);
    s->s2 += add4(l.s2);
    s->s3 += add4(l.s3);
    s->s4 += add4(l.s4);
    s->n += n - bad;
    s->not_finite += bad;
    s->zeros += (uint64_t)add4(l.zeros);
    for (int k = 0; k < 4; k++) {
        s->min = fmin(s->min, l.min[k]);
        s->max = fmax(s->max, l.max[k]);
    }
}

static uint64_t count_coarse(const unsigned char *in, size_t n) {
    uint32_t bits[PIECE];
    uint64_t coarse = 0;
    memcpy(bits, in, n * sizeof *bits);
    for (size_t i = 0; i < n; i++) coarse += (bits[i] & 0xFFFF) == 0;
    return coarse;
}

static void sum_chunks(void *arg, size_t begin, size_t end) {
    const pass *p = arg;
    double x[PIECE];
    for (size_t c = begin; c < end; c++) {
        sums s = {.min = INFINITY, .max = -INFINITY};
        uint64_t stop = (c + 1) * (uint64_t)CHUNK;
        if (stop > p->count) stop = p->count;
        for (uint64_t i = c * (uint64_t)CHUNK; i < stop; i += PIECE) {
            size_t n = stop - i < PIECE ? (size_t)(stop - i) : PIECE;
            widen(p, i, n, x);
            add_piece(p, x, n, &s);
            if (p->array->dtype == FANIN_F32) s.coarse += count_coarse(p->data + i * 4, n);
        }
        p->sums[c] = s;
    }
}

static void finish_sums(const pass *p, size_t chunks) {
    sums t = {.min = INFINITY, .max = -INFINITY};
    for (size_t c = 0; c < chunks; c++) {
        const sums *s = &p->sums[c];
        t.n += s->n;
        t.not_finite += s->not_finite;
        t.zeros += s->zeros;
        t.coarse += s->coarse;
        t.s1 += s->s1;
        t.s2 += s->s2;
        t.s3 += s->s3;
        t.s4 += s->s4;
        t.min = fmin(t.min, s->min);
        t.max = fmax(t.max, s->max);
    }
    fanin__measure *m = p->m;
    m->n = t.n;
    m->not_finite = t.not_finite;
    m->zeros = t.zeros;
    m->coarse = t.coarse;
    m->mean = m->std = m->kurtosis = m->min = m->max = NAN;
    if (t.n == 0) return;
    /* The bad ones stood at the pivot: they add nothing to the sums. */
    double n = (double)t.n, a = t.s1 / n, b = t.s2 / n, c = t.s3 / n, d = t.s4 / n;
    double var = t.min == t.max ? 0 : fmax(b - a * a, 0);
    m->mean = t.min == t.max ? t.min : p->pivot + a;
    m->std = sqrt(var);
    m->kurtosis = var > 0 ? (d - 4 * a * c + 6 * a * a * b - 3 * a * a * a * a) / (var * var) : NAN;
    m->min = t.min;
    m->max = t.max;
}

/* ---- second pass ------------------------------------------------------------------------- */

static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t bits_at(const pass *p, uint64_t i) {
    uint64_t bits = 0;
    memcpy(&bits, p->data + i * p->element, p->element);
    return bits;
}

static bool hash_hits(const pass *p, uint32_t bits) { return bits * 2654435761u <= p->threshold; }

static void mark_window(pass *p, uint64_t at) {
    uint64_t bits[WINDOW], print = 0;
    int different = 0;
    if (at + WINDOW > p->count) return;
    for (int i = 0; i < WINDOW; i++) {
        bits[i] = bits_at(p, at + (uint64_t)i);
        print = mix(print ^ (bits[i] + 0x9E3779B97F4A7C15u * (uint64_t)(i + 1)));
        bool seen = false;
        for (int j = 0; j < i; j++) seen |= bits[j] == bits[i];
        different += !seen;
    }
    if (different < 6) return;
    size_t slot = atomic_fetch_add(&p->mark_count, 1);
    if (slot < MARKS_MAX) p->marks[slot] = (mark){print, at};
}

/* Low 32 bits of n elements. */
static void read_bits(const pass *p, uint64_t first, size_t n, uint32_t *out) {
    if (p->element == 4) {
        memcpy(out, p->data + first * 4, n * 4);
        return;
    }
    if (p->element == 2) {
        uint16_t half[PIECE];
        memcpy(half, p->data + first * 2, n * 2);
        for (size_t i = 0; i < n; i++) out[i] = half[i];
        return;
    }
    for (size_t i = 0; i < n; i++) out[i] = (uint32_t)bits_at(p, first + i);
}

static void bin_piece(const pass *p, const double *x, size_t n, uint32_t local[FANIN__BINS]) {
    const double scale = 1 / p->m->width, edge = p->m->edge0;
    int32_t bin[PIECE];
    for (size_t j = 0; j < n;
         j++) { /* what is not finite lands in a bin: such a tensor is not tested */
        double at = (x[j] - edge) * scale;
        at = at > 0 ? at : 0;
        at = at < FANIN__BINS - 1 ? at : FANIN__BINS - 1;
        bin[j] = (int32_t)at;
    }
    for (size_t j = 0; j < n; j++) local[bin[j]]++;
}

static void see_patterns(pass *p, const uint32_t *bits, size_t n) {
    for (size_t j = 0; j < n; j++) {
        unsigned bit = 1u << (bits[j] & 31);
        atomic_uint *word = &p->patterns[(bits[j] & 0xFFFF) >> 5];
        if (!(atomic_load_explicit(word, memory_order_relaxed) & bit)) atomic_fetch_or(word, bit);
    }
}

static void mark_piece(pass *p, uint64_t first, const uint32_t *bits, size_t n) {
    uint32_t hits = 0;
    for (size_t j = 0; j < n; j++) hits += hash_hits(p, bits[j]);
    for (size_t j = 0; hits && j < n; j++)
        if (hash_hits(p, bits[j])) mark_window(p, first + j);
}

static void count_chunks(void *arg, size_t begin, size_t end) {
    pass *p = arg;
    double x[PIECE];
    uint32_t local[FANIN__BINS] = {0}, bits[PIECE];
    for (uint64_t i = begin; i < end; i += PIECE) {
        size_t n = end - i < PIECE ? (size_t)(end - i) : PIECE;
        read_bits(p, i, n, bits);
        mark_piece(p, i, bits, n);
        if (i / CHUNK % p->stride != 0) continue;
        widen(p, i, n, x);
        bin_piece(p, x, n, local);
        if (p->patterns) see_patterns(p, bits, n);
    }
    for (int b = 0; b < FANIN__BINS; b++)
        if (local[b]) atomic_fetch_add(&p->bins[b], local[b]);
}

static int by_print(const void *a, const void *b) {
    const mark *x = a, *y = b;
    if (x->print != y->print) return x->print < y->print ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static int by_value(const void *a, const void *b) {
    uint64_t x = ((const mark *)a)->print, y = ((const mark *)b)->print;
    return (x > y) - (x < y);
}

/* The distance at which most windows come back. */
static void find_repeats(pass *p) {
    size_t count = atomic_load(&p->mark_count), pairs = 0;
    if (count > MARKS_MAX)
        return; /* few different values; which marks were kept depends on threads */
    qsort(p->marks, count, sizeof *p->marks, by_print);
    for (size_t i = 0; i + 1 < count; i++)
        if (p->marks[i].print == p->marks[i + 1].print)
            p->marks[pairs++] =
                (mark){p->marks[i + 1].at - p->marks[i].at, p->marks[i].at}; /* pairs <= i */
    qsort(p->marks, pairs, sizeof *p->marks, by_value);
    for (size_t i = 0; i < pairs;) {
        size_t run = 0;
        uint64_t first = UINT64_MAX;
        for (; i + run < pairs && p->marks[i + run].print == p->marks[i].print; run++)
            if (p->marks[i + run].at < first) first = p->marks[i + run].at;
        if (run > p->m->repeats) {
            p->m->repeats = run;
            p->m->repeat_from = first;
            p->m->repeat_to = first + p->marks[i].print;
        }
        i += run;
    }
}

/* ---- signs --------------------------------------------------------------------------------- */

/* 64 signs from `at` on, as bits. */
static uint64_t signs_at(const pass *p, uint64_t at) {
    uint64_t signs = 0;
    for (uint64_t i = 0; i < 64; i++) {
        unsigned char top = p->data[(at + i) * p->element + p->element - 1];
        signs = signs << 1 | (uint64_t)(top >> 7);
    }
    return signs;
}

/* The same as marks of values, with 128 signs for a window, where a hash of the first 64 hits. */
static void mark_signs(void *arg, size_t begin, size_t end) {
    pass *p = arg;
    uint64_t signs = 0;
    for (uint64_t i = begin; i < end && i + 128 <= p->count; i++) {
        unsigned char top = p->data[(i + 63) * p->element + p->element - 1];
        signs = i == begin ? signs_at(p, i) : signs << 1 | (uint64_t)(top >> 7);
        uint64_t hash = mix(signs);
        if ((uint32_t)hash > p->threshold) continue;
        size_t slot = atomic_fetch_add(&p->mark_count, 1);
        if (slot < MARKS_MAX) p->marks[slot] = (mark){mix(hash ^ signs_at(p, i + 64)), i};
    }
}

static uint32_t threshold_of(uint64_t count) {
    double share = count > MARKS_WANTED ? (double)MARKS_WANTED / (double)count : 1;
    return (uint32_t)(share * 4294967295.0);
}

fanin_status fanin__measure_signs(const fanin_array *array, uint64_t count, fanin__measure *m) {
    pass p = {.array = array,
              .data = array->data,
              .element = fanin_dtype_size(array->dtype),
              .count = count,
              .threshold = threshold_of(count),
              .m = m};
    p.marks = fanin_malloc(MARKS_MAX * sizeof *p.marks);
    if (!p.marks) return FANIN_NOMEM;
    fanin_parallel_for((size_t)count, CHUNK, mark_signs, &p);
    m->repeats = 0;
    find_repeats(&p);
    fanin_free(p.marks);
    return FANIN_OK;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static fanin_status second_pass(pass *p) {
    fanin__measure *m = p->m;
    m->width = 12 * m->std / FANIN__BINS;
    m->edge0 = m->mean - 6 * m->std;
    if (!(m->width > 0) || !isfinite(1 / m->width)) return FANIN_OK;
    bool narrow = p->element == 2;
    p->bins = fanin_calloc(FANIN__BINS, sizeof *p->bins);
    p->patterns = narrow ? fanin_calloc(65536 / 32, sizeof *p->patterns) : NULL;
    p->marks = fanin_malloc(MARKS_MAX * sizeof *p->marks);
    fanin_status status = p->bins && p->marks && (p->patterns || !narrow) ? FANIN_OK : FANIN_NOMEM;
    if (status == FANIN_OK) {
        p->threshold = threshold_of(p->count);
        p->stride = 1 + p->count / BINNED_WANTED;
        fanin_parallel_for((size_t)p->count, CHUNK, count_chunks, p);
        for (int b = 0; b < FANIN__BINS; b++) m->binned += m->bins[b] = atomic_load(&p->bins[b]);
        for (int w = 0; narrow && w < 65536 / 32; w++)
            m->distinct += (uint64_t)__builtin_popcount(atomic_load(&p->patterns[w]));
        find_repeats(p);
    }
    fanin_free(p->bins);
    fanin_free(p->patterns);
    fanin_free(p->marks);
    return status;
}

fanin_status fanin__measure_make(const fanin_array *array, uint64_t count, fanin__measure *m) {
    *m = (fanin__measure){0};
    pass p = {.array = array,
              .data = array->data,
              .element = fanin_dtype_size(array->dtype),
              .count = count,
              .m = m};
    size_t chunks = (size_t)((count + CHUNK - 1) / CHUNK);
    double first;
    widen(&p, 0, 1, &first);
    p.pivot = isfinite(first) && fabs(first) < 1e60 ? first : 0;
    p.sums = fanin_calloc(chunks, sizeof *p.sums);
    if (!p.sums) return FANIN_NOMEM;
    fanin_parallel_for(chunks, 1, sum_chunks, &p);
    finish_sums(&p, chunks);
    fanin_free(p.sums);
    return m->n && m->std > 0 ? second_pass(&p) : FANIN_OK;
}
