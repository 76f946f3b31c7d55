/* PyTorch's CPU stream against arrays that PyTorch itself returned (../shared/vectors). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden.h"
#include "random/compat.h"

/* The flavour and the release that made the row: 1.13.1, or for the `derived` families the later
 * algorithm run on its primitives (2.12 where 2.13 would fuse what those primitives did not). */
static void open_rng(const golden_row *r, fanin_torch_rng *rng) {
    bool baseline = golden_is(r, "torch-baseline/");
    bool later = strstr(r->name, "/normal_opmath/") || strstr(r->name, "/uniform_opmath/") ||
                 strstr(r->name, "/trunc_normal_rejection/");
    int version = !later ? FANIN_TORCH_1_13 : baseline ? FANIN_TORCH_2_12 : FANIN_TORCH_2_13;
    assert_ok(fanin_torch_rng_init(rng, r->seed, baseline ? FANIN_TORCH_BASELINE : FANIN_TORCH_AVX2,
                                   version));
}

/* The numbers of a call, after `start`: "uniform_(-0.3, 0.45)" gives two. */
static int numbers_after(const char *call, const char *start, double *out, int max) {
    const char *p = strstr(call, start);
    int n = 0;
    if (!p) return 0;
    for (p += strlen(start); n < max;) {
        char *end;
        p += strspn(p, " ,");
        double v = strtod(p, &end);
        if (end == p) break;
        out[n++] = v;
        p = end;
    }
    return n;
}

/* ---- families of one call ---------------------------------------------------------------- */

typedef bool (*make_fn)(const golden_row *r, fanin_torch_rng *rng, void *out);

static bool make_rand(const golden_row *r, fanin_torch_rng *rng, void *out) {
    return fanin_torch_uniform(rng, r->type, r->count, 0, 1, out) == FANIN_OK;
}

static bool make_randn(const golden_row *r, fanin_torch_rng *rng, void *out) {
    return fanin_torch_normal(rng, r->type, r->count, 0, 1, out) == FANIN_OK;
}

static bool make_uniform(const golden_row *r, fanin_torch_rng *rng, void *out) {
    double p[2];
    return numbers_after(r->call, ".uniform_(", p, 2) == 2 &&
           fanin_torch_uniform(rng, r->type, r->count, p[0], p[1], out) == FANIN_OK;
}

static bool make_normal(const golden_row *r, fanin_torch_rng *rng, void *out) {
    double p[2];
    return numbers_after(r->call, ".normal_(", p, 2) == 2 &&
           fanin_torch_normal(rng, r->type, r->count, p[0], p[1], out) == FANIN_OK;
}

static bool make_trunc(const golden_row *r, fanin_torch_rng *rng, void *out) {
    double p[4];
    const char *tail = strstr(r->call, "torch.empty(");
    tail = tail ? strchr(tail, ')') : NULL;
    return tail && numbers_after(tail, "),", p, 4) == 4 &&
           fanin_torch_trunc_normal(rng, r->type, r->count, p[0], p[1], p[2], p[3], out) ==
               FANIN_OK;
}

static bool make_xavier(const golden_row *r, fanin_torch_rng *rng, void *out) {
    double gain;
    if (numbers_after(r->call, "), ", &gain, 1) != 1) return false;
    return (strstr(r->name, "uniform") ? fanin_torch_xavier_uniform : fanin_torch_xavier_normal)(
               rng, r->type, r->dims, r->rank, gain, out) == FANIN_OK;
}

static bool make_kaiming(const golden_row *r, fanin_torch_rng *rng, void *out) {
    double a;
    char nonlinearity[32];
    const char *p = strstr(r->call, "nonlinearity='");
    if (!p || numbers_after(r->call, "a=", &a, 1) != 1) return false;
    if (sscanf(p, "nonlinearity='%31[a-z_]'", nonlinearity) != 1) return false;
    bool out_mode = strstr(r->call, "mode='fan_out'") != NULL;
    return (strstr(r->name, "uniform") ? fanin_torch_kaiming_uniform : fanin_torch_kaiming_normal)(
               rng, r->type, r->dims, r->rank, a, out_mode, nonlinearity, out) == FANIN_OK;
}

static bool make_orthogonal(const golden_row *r, fanin_torch_rng *rng, void *out) {
    double gain = strstr(r->name, "gain_relu") ? sqrt(2.0) : 1;
    return fanin_torch_orthogonal(rng, r->type, r->dims, r->rank, gain, out) == FANIN_OK;
}

static bool make_sparse(const golden_row *r, fanin_torch_rng *rng, void *out) {
    double sparsity;
    return numbers_after(r->call, "), ", &sparsity, 1) == 1 &&
           fanin_torch_sparse(rng, r->type, r->dims, r->rank, sparsity, 0.01, out) == FANIN_OK;
}

static bool make_dirac(const golden_row *r, fanin_torch_rng *rng, void *out) {
    double groups;
    (void)rng;
    return numbers_after(r->call, "), ", &groups, 1) == 1 &&
           fanin_torch_dirac(r->type, r->dims, r->rank, (int64_t)groups, out) == FANIN_OK;
}

static bool make_eye(const golden_row *r, fanin_torch_rng *rng, void *out) {
    (void)rng;
    return fanin_torch_eye(r->type, r->dims, r->rank, out) == FANIN_OK;
}

static bool make_gain(const golden_row *r, fanin_torch_rng *rng, void *out) {
    char name[32];
    double param = NAN;
    (void)rng;
    if (sscanf(r->call, "nn.init.calculate_gain('%31[a-z0-9_]'", name) != 1) return false;
    numbers_after(r->call, "', ", &param, 1);
    return fanin_torch_gain(name, param, out) == FANIN_OK;
}

static bool make_raw(const golden_row *r, fanin_torch_rng *rng, void *out) {
    fanin_mt19937_fill(&rng->mt, r->count, out);
    return r->type == FANIN_U32;
}

/* ---- twelve calls on one generator ------------------------------------------------------- */

static fanin_status seq_step(fanin_torch_rng *rng, int step, void *out) {
    switch (step) {
    case 0: return fanin_torch_normal(rng, FANIN_F32, 7, 0, 1, out);
    case 1: return fanin_torch_normal(rng, FANIN_F32, 16, 0, 1, out);
    case 2: return fanin_torch_uniform(rng, FANIN_F32, 3, 0, 1, out);
    case 3: return fanin_torch_normal(rng, FANIN_F32, 3, 0, 1, out);
    case 4: return fanin_torch_normal(rng, FANIN_F64, 2, 0, 1, out);
    case 5: return fanin_torch_normal(rng, FANIN_F32, 5, 10, 2, out);
    case 6: return fanin_torch_normal(rng, FANIN_F32, 33, 0, 1, out);
    case 7: return fanin_torch_uniform(rng, FANIN_F64, 5, 0, 1, out);
    case 8: return fanin_torch_randperm(rng, 10, out);
    case 9: return fanin_torch_normal(rng, FANIN_F32, 2, 0, 1, out);
    case 10: return fanin_torch_normal_serial(rng, FANIN_F32, 24, 0, 1, out);
    default: return fanin_torch_uniform(rng, FANIN_F32, 1, 0, 1, out);
    }
}

static bool make_seq(const golden_row *r, fanin_torch_rng *rng, void *out) {
    unsigned char scratch[512];
    int last = atoi(strrchr(r->name, '/') + 1);
    for (int step = 0; step < last; step++)
        if (seq_step(rng, step, scratch) != FANIN_OK) return false;
    return seq_step(rng, last, out) == FANIN_OK;
}

static bool make_published(const golden_row *r, fanin_torch_rng *rng, void *out) {
    if (strstr(r->name, "randint5")) return make_raw(r, rng, out);
    bool two = strstr(r->name, "linear_2_2_1") != NULL;
    float *w = out;
    const int64_t big[] = {2, 2}, row[] = {1, 2}, b2[] = {2}, b1[] = {1};
    const fanin_torch_parameter first[] = {{"weight", FANIN_F32, big, 2, w},
                                           {"bias", FANIN_F32, b2, 1, w + 4}};
    const fanin_torch_parameter second[] = {{"weight", FANIN_F32, row, 2, two ? w + 6 : w},
                                            {"bias", FANIN_F32, b1, 1, w + 8}};
    if (two && fanin_torch_module_init(rng, FANIN_TORCH_LINEAR, first, 2, NULL)) return false;
    return !fanin_torch_module_init(rng, FANIN_TORCH_LINEAR, second, two ? 2 : 1, NULL);
}

/* ---- whole modules ----------------------------------------------------------------------- */

static const struct {
    const char *tag, *prefix;
    fanin_torch_module kind;
} module_parts[] = {
    {"linear_784_1000", "", FANIN_TORCH_LINEAR},
    {"linear_10_5", "", FANIN_TORCH_LINEAR},
    {"linear_10_5_nobias", "", FANIN_TORCH_LINEAR},
    {"linear_17_9_bf16", "", FANIN_TORCH_LINEAR},
    {"linear_17_9_f64", "", FANIN_TORCH_LINEAR},
    {"bilinear_5_6_7", "", FANIN_TORCH_BILINEAR},
    {"conv1d_4_6_5", "", FANIN_TORCH_CONV},
    {"conv2d_3_64_7", "", FANIN_TORCH_CONV},
    {"conv2d_8_16_3_g4", "", FANIN_TORCH_CONV},
    {"conv3d_2_4_3", "", FANIN_TORCH_CONV},
    {"convt2d_6_4_3", "", FANIN_TORCH_CONV},
    {"convt2d_8_4_3_g2", "", FANIN_TORCH_CONV},
    {"rnn_8_16", "", FANIN_TORCH_RNN},
    {"gru_8_16", "", FANIN_TORCH_GRU},
    {"lstm_8_16", "", FANIN_TORCH_LSTM},
    {"lstm_8_16_2l_bi", "", FANIN_TORCH_LSTM},
    {"lstm_8_16_proj4", "", FANIN_TORCH_LSTM},
    {"lstmcell_8_16", "", FANIN_TORCH_LSTM},
    {"embedding_50_16", "", FANIN_TORCH_EMBEDDING},
    {"embedding_50_16_pad3", "", FANIN_TORCH_EMBEDDING},
    {"embedding_3_4", "", FANIN_TORCH_EMBEDDING},
    {"mha_32_4", "", FANIN_TORCH_ATTENTION},
    {"mha_32_4_kv", "", FANIN_TORCH_ATTENTION},
    {"mha_32_4_nobias", "", FANIN_TORCH_ATTENTION},
    {"tel_32_4_64", "", FANIN_TORCH_ENCODER_LAYER},
    {"te_16_2_32_x2", "", FANIN_TORCH_ENCODER},
    {"tdl_16_2_32", "", FANIN_TORCH_DECODER_LAYER},
    {"transformer_16_2_1_1_32", "", FANIN_TORCH_TRANSFORMER},
    {"norms", "0.", FANIN_TORCH_NORM},
    {"norms", "1.", FANIN_TORCH_NORM},
    {"norms", "2.", FANIN_TORCH_NORM},
    {"norms", "3.", FANIN_TORCH_PRELU},
    {"mlp5", "0.", FANIN_TORCH_LINEAR},
    {"mlp5", "2.", FANIN_TORCH_LINEAR},
    {"mlp5", "4.", FANIN_TORCH_LINEAR},
    {"mlp5", "6.", FANIN_TORCH_LINEAR},
    {"mlp5", "8.", FANIN_TORCH_LINEAR},
};

enum { MAX_PARAMETERS = 64 };

/* One constructed module and the four uniforms drawn after it. */
typedef struct built {
    char key[128]; /* "tag/s42", and the flavour before it */
    fanin_torch_parameter parameters[MAX_PARAMETERS];
    size_t count;
    float after[4];
} built;

static void built_clear(built *b) {
    for (size_t i = 0; i < b->count; i++) free(b->parameters[i].out);
    b->count = 0;
}

/* The state_dict of the module: rows torch/module/KEY/NAME, in the order of the index. */
static void built_collect(built *b, const golden *g, const char *key) {
    char prefix[160];
    snprintf(prefix, sizeof prefix, "torch/module/%s/", key);
    for (size_t i = 0; i < g->count; i++) {
        golden_row *r = &g->rows[i];
        if (!golden_is(r, prefix)) continue;
        const char *name = r->name + strlen(prefix);
        if (*name == '+') continue;
        assert_true(b->count < MAX_PARAMETERS);
        b->parameters[b->count++] =
            (fanin_torch_parameter){name, r->type, r->dims, r->rank, golden_buffer(r)};
    }
}

static bool built_part(built *b, fanin_torch_rng *rng, const char *prefix,
                       fanin_torch_module kind) {
    fanin_torch_parameter part[MAX_PARAMETERS];
    fanin_err err = {0};
    size_t n = 0;
    for (size_t i = 0; i < b->count; i++) {
        if (strncmp(b->parameters[i].name, prefix, strlen(prefix))) continue;
        part[n] = b->parameters[i];
        part[n++].name += strlen(prefix);
    }
    if (fanin_torch_module_init(rng, kind, part, n, &err) == FANIN_OK) return true;
    fprintf(stderr, "%s: %s\n", b->key, err.message);
    return false;
}

static bool built_make(built *b, const golden *g, const golden_row *r, const char *key,
                       fanin_torch_rng *rng) {
    char tag[64];
    bool known = false;
    built_clear(b);
    built_collect(b, g, key);
    snprintf(tag, sizeof tag, "%.*s", (int)strcspn(key, "/"), key);
    for (size_t i = 0; i < FANIN_COUNT(module_parts); i++) {
        if (strcmp(module_parts[i].tag, tag)) continue;
        known = true;
        if (!built_part(b, rng, module_parts[i].prefix, module_parts[i].kind)) return false;
    }
    if (strcmp(tag, "embedding_50_16_pad3") == 0)
        memset((float *)b->parameters[0].out + 3 * 16, 0, 16 * sizeof(float));
    (void)r;
    return known && fanin_torch_uniform(rng, FANIN_F32, 4, 0, 1, b->after) == FANIN_OK;
}

static void check_module_row(golden *g, const golden_row *r, built *b) {
    char key[96], full[128];
    const char *start = strstr(r->name, "/module/") + 8, *name = strrchr(r->name, '/');
    snprintf(key, sizeof key, "%.*s", (int)(name - start), start);
    snprintf(full, sizeof full, "%d%s", golden_is(r, "torch-baseline/"), key);
    if (strcmp(full, b->key)) {
        fanin_torch_rng rng;
        open_rng(r, &rng);
        assert_true(built_make(b, g, r, key, &rng));
        snprintf(b->key, sizeof b->key, "%s", full);
    }
    if (strcmp(name, "/+rand4") == 0) {
        golden_check(g, r, b->after);
        return;
    }
    for (size_t i = 0; i < b->count; i++)
        if (strcmp(b->parameters[i].name, name + 1) == 0) {
            golden_check(g, r, b->parameters[i].out);
            return;
        }
    fail_msg("%s: not in the module", r->name);
}

/* ---- the walk ---------------------------------------------------------------------------- */

static const struct {
    const char *family;
    make_fn make;
} families[] = {
    {"rand/", make_rand},
    {"randn/", make_randn},
    {"uniform/", make_uniform},
    {"uniform_opmath/", make_uniform},
    {"normal/", make_normal},
    {"normal_opmath/", make_normal},
    {"trunc_normal/", make_trunc},
    {"trunc_normal_rejection/", make_trunc},
    {"xavier_uniform/", make_xavier},
    {"xavier_normal/", make_xavier},
    {"kaiming_uniform/", make_kaiming},
    {"kaiming_normal/", make_kaiming},
    {"orthogonal/", make_orthogonal},
    {"sparse/", make_sparse},
    {"dirac/", make_dirac},
    {"eye/", make_eye},
    {"gain/", make_gain},
    {"seq/", make_seq},
    {"mt19937/", make_raw},
    {"published/", make_published},
};

static const char *after_flavour(const golden_row *r) { return strchr(r->name, '/') + 1; }

static void check_family(golden *all, const char *family, make_fn make) {
    golden g = *all;
    g.checked = g.exact = g.identical = g.failed = 0;
    for (size_t i = 0; i < g.count; i++) {
        const golden_row *r = &g.rows[i];
        fanin_torch_rng rng;
        if (!golden_is(r, "torch/") && !golden_is(r, "torch-baseline/")) continue;
        if (strncmp(after_flavour(r), family, strlen(family))) continue;
        void *out = golden_buffer(r);
        open_rng(r, &rng);
        if (make(r, &rng, out))
            golden_check(&g, r, out);
        else
            fail_msg("%s: cannot be made: %s", r->name, r->call);
        free(out);
    }
    golden_report(&g, family);
    all->checked += g.checked;
}

TEST(every_torch_row) {
    golden g = golden_open();
    built b = {0};
    for (size_t f = 0; f < FANIN_COUNT(families); f++)
        check_family(&g, families[f].family, families[f].make);
    golden modules = g;
    modules.checked = 0;
    size_t rows = 0;
    for (size_t i = 0; i < g.count; i++) {
        const golden_row *r = &g.rows[i];
        if (!golden_is(r, "torch/") && !golden_is(r, "torch-baseline/")) continue;
        rows++;
        if (strncmp(after_flavour(r), "module/", 7) == 0) check_module_row(&modules, r, &b);
    }
    built_clear(&b);
    golden_report(&modules, "module/");
    assert_int_equal(g.checked + modules.checked, rows); /* no row is left unread */
    golden_close(&g);
}
