/* builtin_transformer.c - gpt2 and vit: pre-norm transformers with packed attention projections. */
#include <stdio.h>
#include <string.h>

#include "graph/builtin.h"

typedef struct sizes {
    const char *name;
    int64_t layers, width, heads, patch;
} sizes;

static const sizes *find_size(const sizes *table, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (fanin__strcasecmp(table[i].name, name) == 0) return &table[i];
    return NULL;
}

static fanin_status read_sizes(const fanin__spec *spec, sizes *s, fanin_err *err) {
    FANIN_TRY(fanin__spec_int(spec, "layers", 1, 100000, &s->layers, err));
    FANIN_TRY(fanin__spec_int(spec, "width", 1, 1 << 24, &s->width, err));
    FANIN_TRY(fanin__spec_int(spec, "heads", 1, 1 << 20, &s->heads, err));
    if (s->width % s->heads)
        return fanin__spec_error(spec, err, "a width of %lld cannot be split into %lld heads",
                                 (long long)s->width, (long long)s->heads);
    return FANIN_OK;
}

/* x + project(activate(expand(norm(x)))). */
static int feed_forward(fanin__net *net, int x, int64_t width, const char *norm, const char *first,
                        const char *second) {
    int y = fanin__net_layer_norm(net, norm, x, 1, &width);
    y = fanin__net_project(net, first, y, width, 4 * width, net->bias, -1);
    y = fanin__net_activate(net, first, y);
    y = fanin__net_project(net, second, y, 4 * width, width, net->bias, -1);
    return fanin__net_binary(net, "Add", x, fanin__net_dropout(net, y));
}

static int attend(fanin__net *net, int x, const char *norm, const fanin__attention *a) {
    int y = fanin__net_layer_norm(net, norm, x, 1, &a->width);
    y = fanin__net_attention(net, y, a);
    return fanin__net_binary(net, "Add", x, fanin__net_dropout(net, y));
}

/* ---- gpt2 -------------------------------------------------------------------------------------- */

/* Radford et al. 2019, table 2. */
static const sizes gpt2s[] = {
    {"124m", 12, 768, 12, 0},   {"small", 12, 768, 12, 0},   {"355m", 24, 1024, 16, 0},
    {"350m", 24, 1024, 16, 0},  {"medium", 24, 1024, 16, 0}, {"774m", 36, 1280, 20, 0},
    {"large", 36, 1280, 20, 0}, {"1558m", 48, 1600, 25, 0},  {"1.5b", 48, 1600, 25, 0},
    {"xl", 48, 1600, 25, 0},
};

typedef struct gpt2 {
    sizes size;
    int64_t vocab, context, tokens;
    bool tied;
} gpt2;

static int gpt2_embed(fanin__net *net, const gpt2 *g, int *embedding, fanin_err *err) {
    int64_t dims[] = {g->vocab, g->size.width};
    int ids = fanin_graph_input(net->b, "input", FANIN_I64, 2, (int64_t[]){-1, g->tokens});
    *embedding = fanin__net_weight(net, "wte", "weight", 2, dims);
    dims[0] = g->context;
    int table = fanin__net_weight(net, "wpe", "weight", 2, dims);
    int64_t *positions = fanin_calloc((size_t)g->tokens, sizeof *positions);
    if (!positions) {
        fanin_err_set(err, FANIN_NOMEM, "gpt2: not enough memory");
        return -1;
    }
    for (int64_t i = 0; i < g->tokens; i++) positions[i] = i;
    int where = fanin__net_ints(net, positions, (int)g->tokens);
    fanin_free(positions);
    int x = fanin__net_node(net, "Gather", "wte", (int[]){*embedding, ids}, 2, NULL, 0);
    int y = fanin__net_node(net, "Gather", "wpe", (int[]){table, where}, 2, NULL, 0);
    x = fanin__net_binary(net, "Add", x, y);
    return fanin__net_dropout(net, x);
}

static int gpt2_block(fanin__net *net, const gpt2 *g, int64_t i, int x) {
    char names[7][64];
    static const char *const fields[7] = {
        "ln_1", "attn.c_attn.weight", "attn.c_attn.bias", "attn.c_proj",
        "ln_2", "mlp.c_fc",           "mlp.c_proj"};
    for (int k = 0; k < 7; k++)
        snprintf(names[k], sizeof names[k], "h.%lld.%s", (long long)i, fields[k]);
    fanin__attention a = {g->tokens, g->size.width, g->size.heads, true,
                          names[1],  names[2],      names[3]};
    x = attend(net, x, names[0], &a);
    return feed_forward(net, x, g->size.width, names[4], names[5], names[6]);
}

static fanin_status read_gpt2(const fanin__spec *spec, gpt2 *g, fanin_err *err) {
    const sizes *size =
        find_size(gpt2s, FANIN_COUNT(gpt2s), *spec->argument ? spec->argument : "124m");
    if (!size) return fanin__spec_error(spec, err, "there is no size '%.20s'", spec->argument);
    *g = (gpt2){*size, 50257, 1024, 0, true};
    FANIN_TRY(read_sizes(spec, &g->size, err));
    FANIN_TRY(fanin__spec_int(spec, "vocab", 1, 1 << 28, &g->vocab, err));
    FANIN_TRY(fanin__spec_int(spec, "context", 1, 1 << 24, &g->context, err));
    g->tokens = g->context < 128 ? g->context : 128;
    FANIN_TRY(fanin__spec_int(spec, "tokens", 1, g->context, &g->tokens, err));
    return fanin__spec_bool(spec, "tied", &g->tied, err);
}

fanin_status fanin__builtin_gpt2(const fanin__spec *spec, fanin_graph **graph, fanin_err *err) {
    gpt2 g;
    fanin__net net;
    FANIN_TRY(read_gpt2(spec, &g, err));
    FANIN_TRY(fanin__net_start(spec, (fanin__net){.act = "gelu_tanh", .bias = true}, &net, err));
    int embedding, x = gpt2_embed(&net, &g, &embedding, err);
    if (x < 0 && err && err->status == FANIN_NOMEM) {
        fanin__net_abandon(&net);
        return FANIN_NOMEM;
    }
    for (int64_t i = 0; i < g.size.layers; i++) x = gpt2_block(&net, &g, i, x);
    x = fanin__net_layer_norm(&net, "ln_f", x, 1, &g.size.width);
    x = fanin__net_project(&net, "lm_head", x, g.size.width, g.vocab, false,
                           g.tied ? embedding : -1);
    return fanin__net_finish(&net, x, "logits", graph, err);
}

/* ---- vit --------------------------------------------------------------------------------------- */

/* Dosovitskiy et al. 2021, table 1; Touvron et al. 2021 for the small ones. */
static const sizes vits[] = {
    {"ti16", 12, 192, 3, 16}, {"s16", 12, 384, 6, 16},   {"b16", 12, 768, 12, 16},
    {"b32", 12, 768, 12, 32}, {"l16", 24, 1024, 16, 16}, {"l32", 24, 1024, 16, 32},
};

typedef struct vit {
    sizes size;
    int64_t image, classes, tokens;
} vit;

/* Patches as tokens behind a class token, plus positions. */
static int vit_embed(fanin__net *net, const vit *v) {
    int64_t width = v->size.width, patch = v->size.patch;
    int x =
        fanin_graph_input(net->b, "input", FANIN_F32, 4, (int64_t[]){-1, 3, v->image, v->image});
    int64_t one[] = {1, 1, width}, all[] = {1, v->tokens, width};
    int token = fanin_graph_initializer(net->b, "class_token", FANIN_F32, 3, one, NULL);
    x = fanin__net_conv(net, "conv_proj", x, (fanin__conv){3, width, patch, patch, 0, 1}, true);
    int batch = fanin__net_unary(net, "Shape", x);
    int first = fanin__net_ints(net, (int64_t[]){0}, 1);
    batch = fanin__net_binary(net, "Gather", batch, first);
    x = fanin__net_binary(net, "Reshape", x,
                          fanin__net_ints(net, (int64_t[]){0, width, v->tokens - 1}, 3));
    fanin_attr perm = fanin__attr_ints("perm", (int64_t[]){0, 2, 1}, 3);
    x = fanin__net_node(net, "Transpose", NULL, &x, 1, &perm, 1);
    fanin_attr axis = fanin__attr_int("axis", 0);
    int parts[] = {batch, fanin__net_ints(net, (int64_t[]){1, width}, 2)};
    int shape = fanin__net_node(net, "Concat", NULL, parts, 2, &axis, 1);
    int tokens[] = {fanin__net_binary(net, "Expand", token, shape), x};
    axis = fanin__attr_int("axis", 1);
    x = fanin__net_node(net, "Concat", NULL, tokens, 2, &axis, 1);
    int positions =
        fanin_graph_initializer(net->b, "encoder.pos_embedding", FANIN_F32, 3, all, NULL);
    return fanin__net_dropout(net, fanin__net_binary(net, "Add", x, positions));
}

static int vit_block(fanin__net *net, const vit *v, int64_t i, int x) {
    char names[7][96];
    static const char *const fields[7] = {"ln_1",
                                          "self_attention.in_proj_weight",
                                          "self_attention.in_proj_bias",
                                          "self_attention.out_proj",
                                          "ln_2",
                                          "mlp.0",
                                          "mlp.3"};
    for (int k = 0; k < 7; k++)
        snprintf(names[k], sizeof names[k], "encoder.layers.encoder_layer_%lld.%s", (long long)i,
                 fields[k]);
    fanin__attention a = {v->tokens, v->size.width, v->size.heads, false,
                          names[1],  names[2],      names[3]};
    x = attend(net, x, names[0], &a);
    return feed_forward(net, x, v->size.width, names[4], names[5], names[6]);
}

static fanin_status read_vit(const fanin__spec *spec, vit *v, fanin_err *err) {
    const sizes *size =
        find_size(vits, FANIN_COUNT(vits), *spec->argument ? spec->argument : "b16");
    if (!size) return fanin__spec_error(spec, err, "there is no size '%.20s'", spec->argument);
    *v = (vit){*size, 224, 1000, 0};
    FANIN_TRY(read_sizes(spec, &v->size, err));
    FANIN_TRY(fanin__spec_int(spec, "patch", 1, 4096, &v->size.patch, err));
    FANIN_TRY(fanin__spec_int(spec, "size", 1, 65536, &v->image, err));
    FANIN_TRY(fanin__spec_int(spec, "classes", 1, 1 << 24, &v->classes, err));
    if (v->image % v->size.patch)
        return fanin__spec_error(spec, err, "a side of %lld is not a multiple of the patch's %lld",
                                 (long long)v->image, (long long)v->size.patch);
    int64_t side = v->image / v->size.patch;
    v->tokens = side * side + 1;
    return FANIN_OK;
}

fanin_status fanin__builtin_vit(const fanin__spec *spec, fanin_graph **graph, fanin_err *err) {
    vit v;
    fanin__net net;
    FANIN_TRY(read_vit(spec, &v, err));
    FANIN_TRY(fanin__net_start(spec, (fanin__net){.act = "gelu", .bias = true}, &net, err));
    int x = vit_embed(&net, &v);
    for (int64_t i = 0; i < v.size.layers; i++) x = vit_block(&net, &v, i, x);
    x = fanin__net_layer_norm(&net, "encoder.ln", x, 1, &v.size.width);
    fanin_attr axis = fanin__attr_int("axis", 1);
    int first[] = {x, fanin__net_index(&net, 0)}; /* the class token */
    x = fanin__net_node(&net, "Gather", NULL, first, 2, &axis, 1);
    x = fanin__net_linear(&net, "heads.head", x, v.size.width, v.classes, net.bias);
    return fanin__net_finish(&net, x, "logits", graph, err);
}
