/* builtin.h - what the built-in networks share: the parsed text, and layers that name their tensors
 * as torch's modules do. */
#ifndef FANIN_GRAPH_BUILTIN_H
#define FANIN_GRAPH_BUILTIN_H

#include "base/base.h"
#include "fanin/activation.h"
#include "fanin/graph.h"

/* ---- the text ---------------------------------------------------------------------------------- */

enum { FANIN__SPEC_OPTIONS = 64 };

/* "mlp:784-10,act=tanh" taken apart: argument "784-10", options in order. Commas inside brackets
 * belong to a formula. */
typedef struct fanin__spec {
    const char *model;           /* the whole text, for messages */
    const char *grammar;         /* of its row */
    char *buffer;                /* owns the strings below */
    const char *name, *argument; /* "" if there is none */
    struct {
        const char *key, *value;
    } options[FANIN__SPEC_OPTIONS];
    int count;
} fanin__spec;

/* FANIN_ARG with the model, the sentence and the grammar. */
fanin_status fanin__spec_error(const fanin__spec *spec, fanin_err *err, const char *format, ...)
    FANIN_PRINTF(3, 4);
const char *fanin__spec_text(const fanin__spec *spec, const char *key, const char *otherwise);
/* *out keeps its value when the option is left out. */
fanin_status fanin__spec_int(const fanin__spec *spec, const char *key, int64_t low, int64_t high,
                             int64_t *out, fanin_err *err);
fanin_status fanin__spec_bool(const fanin__spec *spec, const char *key, bool *out, fanin_err *err);
/* "3x32x32" with exactly `rank` numbers. */
fanin_status fanin__spec_shape(const fanin__spec *spec, const char *key, int rank, int64_t *out,
                               fanin_err *err);
/* A whole number at *s (advanced), 1 <= n <= high; false otherwise. */
bool fanin__spec_number(const char **s, int64_t high, int64_t *out);

/* One stretch of "784-1000x5-10". */
typedef struct fanin__stage {
    int64_t width, count;
} fanin__stage;
/* `text` as stages joined by '-'; *stages to be released with fanin_free. */
fanin_status fanin__spec_stages(const fanin__spec *spec, const char *text, fanin__stage **stages,
                                int *count, fanin_err *err);

/* ---- layers ------------------------------------------------------------------------------------ */

typedef enum fanin__norm { FANIN__NORM_NONE, FANIN__NORM_BATCH, FANIN__NORM_LAYER } fanin__norm;

/* A network under construction. Errors stay in the builder. */
typedef struct fanin__net {
    fanin_graph_builder *b;
    const char *act;              /* as the user wrote it */
    fanin_activation *activation; /* the same, read */
    fanin__norm norm;
    bool bias;
    double dropout;
    bool alpha; /* dropout is alpha dropout */
} fanin__net;

/* Starts a graph and reads act, norm, bias, dropout; `defaults` says what is meant when they are
 * left out. */
fanin_status fanin__net_start(const fanin__spec *spec, fanin__net defaults, fanin__net *net,
                              fanin_err *err);
/* Gives up a network that was started. */
void fanin__net_abandon(fanin__net *net);
/* Names the output and finishes; the builder is gone in every case. */
fanin_status fanin__net_finish(fanin__net *net, int value, const char *output, fanin_graph **graph,
                               fanin_err *err);

int fanin__net_node(fanin__net *net, const char *op, const char *name, const int *inputs,
                    int input_count, const fanin_attr *attrs, int attr_count);
int fanin__net_unary(fanin__net *net, const char *op, int x);
int fanin__net_binary(fanin__net *net, const char *op, int a, int b);
int fanin__net_ints(fanin__net *net, const int64_t *values, int count); /* Constant, rank 1 */
int fanin__net_index(fanin__net *net, int64_t value);                   /* Constant, rank 0 */
int fanin__net_float(fanin__net *net, float value);                     /* Constant, rank 0 */
fanin_attr fanin__attr_int(const char *name, int64_t i);
fanin_attr fanin__attr_ints(const char *name, const int64_t *ints, size_t count);
/* "<layer>.<field>", f32 and absent. */
int fanin__net_weight(fanin__net *net, const char *layer, const char *field, int rank,
                      const int64_t *dims);
/* y = x W' + b on [N, in]: Gemm with transB, as torch exports a Linear. */
int fanin__net_linear(fanin__net *net, const char *layer, int x, int64_t in, int64_t out,
                      bool bias);
/* The same on [N, T, in]: Transpose, MatMul, Add. `weight` < 0 makes "<layer>.weight". */
int fanin__net_project(fanin__net *net, const char *layer, int x, int64_t in, int64_t out,
                       bool bias, int weight);

typedef struct fanin__conv {
    int64_t in, out, kernel, stride, pad, groups;
} fanin__conv;
int fanin__net_conv(fanin__net *net, const char *layer, int x, fanin__conv c, bool bias);
int fanin__net_pool(fanin__net *net, const char *op, int x, int64_t kernel, int64_t stride,
                    int64_t pad);
int fanin__net_batch_norm(fanin__net *net, const char *layer, int x, int64_t channels);
/* Over the last `rank` axes, of the given sizes. */
int fanin__net_layer_norm(fanin__net *net, const char *layer, int x, int rank, const int64_t *dims);
/* The norm that the network asked for, after a layer whose output has dims[0] channels and, if
 * rank is 3, dims[1] x dims[2] positions. */
int fanin__net_normalize(fanin__net *net, const char *layer, int x, int rank, const int64_t *dims);
/* The activation; `layer` names a slope that is learnt. */
int fanin__net_activate(fanin__net *net, const char *layer, int x);
int fanin__net_dropout(fanin__net *net, int x);
int fanin__net_flatten(fanin__net *net, int x);
/* Multi-head attention with a packed projection on [N, tokens, width]. */
typedef struct fanin__attention {
    int64_t tokens, width, heads;
    bool causal;
    const char *in_weight, *in_bias, *out; /* "h.0.attn.c_attn.weight", ..., "h.0.attn.c_proj" */
} fanin__attention;
int fanin__net_attention(fanin__net *net, int x, const fanin__attention *a);

/* ---- the networks: one builder a row of the table ---------------------------------------------- */

typedef fanin_status fanin__builtin_fn(const fanin__spec *spec, fanin_graph **graph,
                                       fanin_err *err);
fanin__builtin_fn fanin__builtin_mlp, fanin__builtin_autoencoder, fanin__builtin_lenet5,
    fanin__builtin_convnet, fanin__builtin_vgg, fanin__builtin_resnet, fanin__builtin_densenet,
    fanin__builtin_gpt2, fanin__builtin_vit, fanin__builtin_tensor;

#endif
