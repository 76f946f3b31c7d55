/* symmetry.c - units of a layer that are equal and that no gradient will ever tell apart. */
#include <math.h>
#include <string.h>

#include "probe/figures.h"

/* At most `most` elements of it. */
static uint64_t hash_unit(const float *w, size_t start, size_t step, size_t inner,
                          size_t outer_step, size_t outer, size_t most) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t o = 0; o < outer; o++)
        for (size_t i = 0; i < inner && most > 0; i++, most--) {
            uint32_t bits;
            float x = w[start + o * outer_step + i * step] + 0.0f; /* -0 is 0 */
            memcpy(&bits, &x, 4);
            h = (h ^ bits) * 0x100000001b3u;
        }
    return h;
}

/* How many of the hashes are not alone. slots: 2 n and more, a power of two, all 0. */
static size_t count_shared(const uint64_t *hashes, size_t n, uint64_t *slots, size_t size) {
    size_t same = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t h = hashes[i] | 3; /* never 0; the low bits say how many came */
        size_t at = (size_t)(h * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (size - 1);
        while (slots[at] && (slots[at] | 3) != h) at = (at + 1) & (size - 1);
        uint64_t came = slots[at] ? slots[at] & 3 : 0;
        same += came == 0 ? 0 : came == 1 ? 2 : 1;
        slots[at] = (h & ~(uint64_t)3) | (came ? 2 : 1);
    }
    return same;
}

/* Share of units the first elements of whose weights equal those of another unit. */
static fanin_status shared_heads(const float *w, const fanin_value *value, bool in_out, size_t most,
                                 double *share) {
    size_t units = (size_t)value->dims[in_out ? 1 : 0], count = 1, inner = 1;
    for (int i = 0; i < value->rank; i++) count *= (size_t)value->dims[i];
    for (int i = 2; i < value->rank; i++) inner *= (size_t)value->dims[i];
    *share = 0;
    if (units < 2 || count == 0) return FANIN_OK;
    size_t size = 4;
    while (size < 2 * units) size *= 2;
    uint64_t *hashes = fanin_calloc(units + size, sizeof *hashes);
    if (!hashes) return FANIN_NOMEM;
    size_t per_unit = count / units;
    for (size_t u = 0; u < units; u++)
        hashes[u] =
            in_out ? hash_unit(w, u * inner, 1, inner, units * inner, (size_t)value->dims[0], most)
                   : hash_unit(w, u * per_unit, 1, per_unit, 0, 1, most);
    size_t same = count_shared(hashes, units, hashes + units, size);
    fanin_free(hashes);
    *share = (double)same / (double)units;
    return FANIN_OK;
}

/* Units that differ mostly do so at once; the rest is read only where they do not. */
static fanin_status shared_units(const float *w, const fanin_value *value, bool in_out,
                                 double *share) {
    FANIN_TRY(shared_heads(w, value, in_out, 16, share));
    return *share < 0.5 ? FANIN_OK : shared_heads(w, value, in_out, SIZE_MAX, share);
}

/* Equal weights are a symmetry only if the gradients do not break it: a zero output layer has them
 * different. Gradients may differ by rounding, so their rows are compared by sums. */
fanin_status fanin__find_symmetry(const fanin_graph *g, const fanin__layer *layer, fanin_buffer w,
                                  fanin_buffer grad, bool *symmetric) {
    const fanin_value *value = &g->values[layer->weight];
    double share;
    *symmetric = false;
    FANIN_TRY(shared_units(w.data, value, layer->rows_are_inputs, &share));
    if (share < 0.5 || !grad.data) return FANIN_OK;
    float *rounded = fanin_calloc(grad.count, sizeof *rounded);
    if (!rounded) return FANIN_NOMEM;
    double size = fanin__root_mean_square(grad);
    const float *v = grad.data;
    for (size_t i = 0; i < grad.count; i++)
        rounded[i] = size > 0 ? (float)(round((double)v[i] / size * 1e3) / 1e3) : 0;
    fanin_status status = shared_units(rounded, value, layer->rows_are_inputs, &share);
    *symmetric = status == FANIN_OK && share >= 0.5;
    fanin_free(rounded);
    return status;
}
