/* JAX, TensorFlow, Keras and CUDA streams against ../shared/vectors; and no family of the index
 * is left without a test. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden.h"
#include "random/compat.h"

/* ---- known answers ----------------------------------------------------------------------- */

/* Words that the row gives as input; the answer is the rest. */
static bool make_kat(const golden_row *r, void *out) {
    uint32_t *w = out;
    unsigned char *stored = golden_bytes(r);
    memcpy(w, stored, r->nbytes);
    free(stored);
    if (golden_is(r, "kat/philox4x32-10/")) {
        uint32_t in[6];
        memcpy(in, w, sizeof in);
        fanin__philox4x32(in, in + 4, w + 6);
        return true;
    }
    if (golden_is(r, "kat/threefry2x32-20/")) {
        uint32_t in[4];
        memcpy(in, w, sizeof in);
        fanin__threefry2x32(in + 2, in[0], in[1], w + 4);
        return true;
    }
    return false;
}

/* No framework stream here uses these two generators. */
static bool out_of_scope(const golden_row *r) {
    return golden_is(r, "kat/philox2x32-10/") || golden_is(r, "kat/threefry4x32-20/");
}

/* ---- JAX --------------------------------------------------------------------------------- */

/* The seed is in the name where the column has none: jax/published/normal/s42. */
static uint64_t seed_of(const golden_row *r) {
    return r->seed ? r->seed : strtoull(strrchr(r->name, '/') + 2, NULL, 10);
}

static bool make_chain(fanin_jax_key key, float *out) {
    for (int i = 0; i < 3; i++) {
        fanin_jax_key pair[2];
        if (fanin_jax_split(FANIN_JAX_PARTITIONABLE, key, 2, pair)) return false;
        key = pair[0];
        if (fanin_jax_normal(FANIN_JAX_PARTITIONABLE, pair[1], 1, out + i)) return false;
    }
    return true;
}

static bool make_split_normals(fanin_jax_key key, float *out) {
    fanin_jax_key keys[3];
    if (fanin_jax_split(FANIN_JAX_PARTITIONABLE, key, 3, keys)) return false;
    for (int i = 0; i < 3; i++)
        if (fanin_jax_normal(FANIN_JAX_PARTITIONABLE, keys[i], 1, out + i)) return false;
    return true;
}

static bool make_jax(const golden_row *r, void *out) {
    fanin_jax_mode mode = golden_is(r, "jax/original/") || strstr(r->call, ", original")
                              ? FANIN_JAX_ORIGINAL
                              : FANIN_JAX_PARTITIONABLE;
    fanin_jax_key key = fanin_jax_key_from(seed_of(r), false), pair[2];
    const char *name = strchr(r->name + 4, '/') + 1;
    size_t n = r->count;
#define IS(text) (strncmp(name, text, strlen(text)) == 0)
    if (IS("split")) return !fanin_jax_split(mode, key, n / 2, out);
    if (IS("fold_in")) {
        *(fanin_jax_key *)out = fanin_jax_fold_in(key, (uint32_t)atoi(name + 7));
        return true;
    }
    if (IS("bits")) return !fanin_jax_bits(mode, key, atoi(name + 4), n, out);
    if (IS("uniform1_sub"))
        return !fanin_jax_split(mode, key, 2, pair) &&
               !fanin_jax_uniform(mode, pair[1], r->type, n, 0, 1, out);
    if (IS("uniform")) return !fanin_jax_uniform(mode, key, r->type, n, 0, 1, out);
    if (IS("normal_chain")) return make_chain(key, out);
    if (IS("normal_split3")) return make_split_normals(key, out);
    if (IS("normal")) return !fanin_jax_normal(mode, key, n, out);
    if (IS("truncated_normal"))
        return !fanin_jax_truncated_normal(mode, key, n, strstr(r->call, "lower 0") ? 0 : -2, 2,
                                           out);
    if (IS("glorot_uniform")) { /* (64, 32), and (2, 3) printed flat */
        double fans = r->rank == 2 ? (double)(r->dims[0] + r->dims[1]) : 2 + 3;
        return !fanin_jax_variance_scaling(mode, key, 1, fans / 2, FANIN_JAX_UNIFORM, n, out);
    }
    if (IS("lecun_normal"))
        return !fanin_jax_variance_scaling(mode, key, 1, (double)r->dims[0],
                                           FANIN_JAX_TRUNCATED_NORMAL, n, out);
#undef IS
    return false;
}

/* ---- TensorFlow, Keras ------------------------------------------------------------------- */

static bool make_tf(const golden_row *r, void *out) {
    fanin_tf_seed seed = {{0, 0}};
    long long a, b;
    if (sscanf(strrchr(r->name, '/') + 1, "s%lld_%lld", &a, &b) == 2)
        seed = (fanin_tf_seed){{a, b}};
    else
        seed = fanin_keras_seed(r->seed);
    if (strstr(r->name, "raw32") || strstr(r->name, "split"))
        return !fanin_tf_bits(seed, r->count, out);
    if (strstr(r->name, "glorot_normal"))
        return !fanin_tf_truncated_normal(seed, r->count, 0,
                                          (float)(sqrt(1.0 / 3) / .87962566103423978), out);
    if (strstr(r->name, "lecun_normal"))
        return !fanin_tf_truncated_normal(seed, r->count, 0,
                                          (float)(sqrt(1.0 / 64) / .87962566103423978), out);
    if (strstr(r->name, "glorot_uniform")) {
        float limit = (float)sqrt(3.0 * (1.0 / ((64 + 32) / 2.0)));
        return !fanin_tf_uniform(seed, r->count, -limit, limit, out);
    }
    if (strstr(r->name, "truncated")) return !fanin_tf_truncated_normal(seed, r->count, 0, 1, out);
    if (strstr(r->name, "normal")) return !fanin_tf_normal(seed, r->count, 0, 1, out);
    return strstr(r->name, "uniform") && !fanin_tf_uniform(seed, r->count, 0, 1, out);
}

/* ---- CUDA -------------------------------------------------------------------------------- */

static bool make_cuda(const golden_row *r, void *out) {
    fanin_torch_cuda_rng rng = {.seed = seed_of(r), .sms = 108, .threads_per_sm = 2048};
    if (strstr(r->name, "published")) { /* three places of torch.randn([1, 64, 2048]) */
        float *all = malloc(64 * 2048 * sizeof *all);
        assert_non_null(all);
        bool ok = !fanin_torch_cuda_normal(&rng, 64 * 2048, 0, 1, all);
        for (size_t i = 0; i < 9; i++) ((float *)out)[i] = all[2048 * (i / 3) + i % 3];
        free(all);
        return ok;
    }
    if (strstr(r->name, "multiwave")) rng.sms = 2, rng.threads_per_sm = 1024;
    if (strstr(r->name, "/rand/")) return !fanin_torch_cuda_uniform(&rng, r->count, 0, 1, out);
    return !fanin_torch_cuda_normal(&rng, r->count, 0, 1, out);
}

/* ---- the walk ---------------------------------------------------------------------------- */

static const struct {
    const char *family;
    bool (*make)(const golden_row *r, void *out);
} families[] = {
    {"kat/", make_kat},         {"jax/partitionable/", make_jax}, {"jax/original/", make_jax},
    {"tf/", make_tf},           {"jax/published/", make_jax},     {"keras/tf/", make_tf},
    {"torch-cuda/", make_cuda},
};

static int check_family(const golden *all, size_t f, int *skipped) {
    golden g = *all;
    g.checked = g.exact = g.identical = g.failed = 0;
    for (size_t i = 0; i < g.count; i++) {
        const golden_row *r = &g.rows[i];
        if (!golden_is(r, families[f].family)) continue;
        if (out_of_scope(r)) {
            ++*skipped;
            continue;
        }
        void *out = golden_buffer(r);
        if (families[f].make(r, out))
            golden_check(&g, r, out);
        else
            fail_msg("%s: cannot be made: %s", r->name, r->call);
        free(out);
    }
    golden_report(&g, families[f].family);
    return g.checked;
}

TEST(every_counter_row) {
    golden g = golden_open();
    int checked = 0, skipped = 0, others = 0;
    for (size_t f = 0; f < FANIN_COUNT(families); f++) checked += check_family(&g, f, &skipped);
    for (size_t i = 0; i < g.count; i++)
        others += golden_is(&g.rows[i], "torch/") || golden_is(&g.rows[i], "torch-baseline/") ||
                  golden_is(&g.rows[i], "numpy/") || golden_is(&g.rows[i], "python/");
    print_message("index: %zu rows; %d here, %d in test_compat_torch and test_compat_numpy, "
                  "%d out of scope (philox2x32, threefry4x32: no stream uses them)\n",
                  g.count, checked, others, skipped);
    assert_int_equal(checked + skipped + others, g.count);
    golden_close(&g);
}
