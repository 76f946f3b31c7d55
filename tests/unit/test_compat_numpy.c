/* NumPy's streams, and the seeds that Keras draws from Python's, against ../shared/vectors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden.h"
#include "random/compat.h"

/* Seeds go beyond 64 bits here: decimal text to 32-bit words, least significant first. */
static size_t words_of(const char *text, uint32_t words[8]) {
    size_t count = 1;
    memset(words, 0, 8 * sizeof *words);
    for (; *text; text++) {
        uint64_t carry = (uint64_t)(*text - '0');
        for (size_t i = 0; i < 8; i++) {
            carry += (uint64_t)words[i] * 10;
            words[i] = (uint32_t)carry;
            if (words[i] && i + 1 > count) count = i + 1;
            carry >>= 32;
        }
    }
    return count;
}

static fanin_numpy_bits bits_of(const golden_row *r) {
    if (golden_is(r, "numpy/Philox/")) return FANIN_NUMPY_PHILOX;
    if (golden_is(r, "numpy/MT19937/")) return FANIN_NUMPY_MT19937;
    if (golden_is(r, "numpy/RandomState/")) return FANIN_NUMPY_RANDOMSTATE;
    return FANIN_NUMPY_PCG64;
}

static bool open_rng(const golden_row *r, fanin_numpy_rng *rng) {
    uint32_t words[8] = {1, 2, 3};
    if (strstr(r->name, "array123"))
        return fanin_numpy_rng_init_words(rng, FANIN_NUMPY_RANDOMSTATE, words, 3) == FANIN_OK;
    size_t count = words_of(r->seed_text, words);
    if (count <= 2) return fanin_numpy_rng_init(rng, bits_of(r), r->seed) == FANIN_OK;
    return fanin_numpy_rng_init_words(rng, bits_of(r), words, count) == FANIN_OK;
}

static bool make_raw(const golden_row *r, fanin_numpy_rng *rng, void *out) {
    for (size_t i = 0; i < r->count; i++)
        if (r->type == FANIN_U32)
            ((uint32_t *)out)[i] = fanin_numpy_next32(rng);
        else
            ((uint64_t *)out)[i] = fanin_numpy_next64(rng);
    return true;
}

static bool make_mixed(fanin_numpy_rng *rng, double *out) {
    float f[3];
    fanin_status bad = FANIN_OK;
    bad |= fanin_numpy_random(rng, FANIN_F32, 1, f);
    bad |= fanin_numpy_random(rng, FANIN_F64, 1, out + 1);
    bad |= fanin_numpy_random(rng, FANIN_F32, 1, f + 1);
    bad |= fanin_numpy_standard_normal(rng, FANIN_F64, 1, out + 3);
    bad |= fanin_numpy_random(rng, FANIN_F32, 1, f + 2);
    for (int i = 0; i < 3; i++) out[2 * i] = (double)f[i];
    return bad == FANIN_OK;
}

static bool make_seedseq(const golden_row *r, uint32_t *out) {
    uint32_t words[8], child = 0;
    size_t count = words_of(r->seed_text, words);
    bool spawned = strstr(r->name, "child0") != NULL;
    fanin_numpy_seed_sequence(words, count, &child, spawned, r->count, out);
    return true;
}

static bool make_table(const golden_row *r, void *out) {
    const void *from = strstr(r->name, "w_f64")   ? (const void *)fanin__ziggurat_w_f64
                       : strstr(r->name, "k_f64") ? (const void *)fanin__ziggurat_k_f64
                       : strstr(r->name, "w_f32") ? (const void *)fanin__ziggurat_w_f32
                                                  : (const void *)fanin__ziggurat_k_f32;
    memcpy(out, from, r->nbytes);
    return true;
}

static bool make_python(const golden_row *r, int64_t *out) {
    uint32_t words[8];
    fanin_mt19937 mt;
    fanin_mt19937_seed_array(&mt, words, words_of(r->seed_text, words));
    for (size_t i = 0; i < r->count; i++) out[i] = fanin_python_randint_1e9(&mt);
    return true;
}

static bool make(const golden_row *r, void *out) {
    fanin_numpy_rng rng;
    if (golden_is(r, "python/randint_1_1e9/")) return make_python(r, out);
    if (golden_is(r, "numpy/seedseq/")) return make_seedseq(r, out);
    if (golden_is(r, "numpy/ziggurat/")) return make_table(r, out);
    if (!open_rng(r, &rng)) return false;
    if (strstr(r->name, "/raw")) return make_raw(r, &rng, out);
    if (strstr(r->name, "/mixed/")) return make_mixed(&rng, out);
    if (strstr(r->name, "/standard_normal_") || strstr(r->name, "/randn/"))
        return !fanin_numpy_standard_normal(&rng, r->type, r->count, out);
    if (strstr(r->name, "/random_") || strstr(r->name, "/rand/"))
        return !fanin_numpy_random(&rng, r->type, r->count, out);
    if (strstr(r->name, "/uniform/"))
        return !fanin_numpy_uniform(&rng, r->type, r->count, -0.3, 0.45, out);
    if (strstr(r->name, "/normal/"))
        return !fanin_numpy_normal(&rng, r->type, r->count, 0.1, 0.37, out);
    return false;
}

static int check_family(const golden *all, const char *family) {
    golden g = *all;
    g.checked = g.exact = g.identical = g.failed = 0;
    for (size_t i = 0; i < g.count; i++) {
        const golden_row *r = &g.rows[i];
        if (!golden_is(r, family)) continue;
        void *out = golden_buffer(r);
        if (make(r, out))
            golden_check(&g, r, out);
        else
            fail_msg("%s: cannot be made: %s", r->name, r->call);
        free(out);
    }
    golden_report(&g, family);
    return g.checked;
}

TEST(every_numpy_row) {
    static const char *const families[] = {
        "numpy/seedseq/",     "numpy/PCG64/",    "numpy/Philox/", "numpy/MT19937/",
        "numpy/RandomState/", "numpy/ziggurat/", "python/"};
    golden g = golden_open();
    int checked = 0, rows = 0;
    for (size_t f = 0; f < FANIN_COUNT(families); f++) checked += check_family(&g, families[f]);
    for (size_t i = 0; i < g.count; i++)
        rows += golden_is(&g.rows[i], "numpy/") || golden_is(&g.rows[i], "python/");
    assert_int_equal(checked, rows);
    golden_close(&g);
}
