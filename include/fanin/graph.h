/* fanin/graph.h - a network as data: named values, nodes, attributes.
 *
 * The operators are ONNX's (names, attributes, semantics), whether the graph was read from a file or
 * built here; exporters' graphs, built-ins and gradients therefore pass through the same code.
 * A graph is immutable once finished; it owns everything its pointers reach, except the payload of
 * initialisers read from a file, which stays mapped until the graph is destroyed.
 *
 *     fanin_graph *g;
 *     fanin_err err = {0};
 *     if (fanin_graph_builtin("resnet:20,norm=batch", &g, &err) != FANIN_OK) ...
 *     for (int i = 0; i < g->value_count; i++)
 *         if (g->values[i].flags & FANIN_VALUE_INITIALIZER) puts(g->values[i].name);
 *     fanin_graph_destroy(g);
 */
#ifndef FANIN_GRAPH_H
#define FANIN_GRAPH_H

#include <fanin/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum fanin_value_flag {
    FANIN_VALUE_INPUT = 1,       /* fed by the caller */
    FANIN_VALUE_OUTPUT = 2,      /* a result of the graph */
    FANIN_VALUE_INITIALIZER = 4, /* weights, running statistics, constants of the graph */
    FANIN_VALUE_CONSTANT = 8     /* made by a Constant node: never a weight, never INITIALIZER;
                                    has data and no producer */
};

/* A tensor that flows or is stored. Row-major. */
typedef struct fanin_value {
    const char *name;
    fanin_dtype dtype;                     /* FANIN_DTYPE_NONE: not known */
    int rank;                              /* -1: not known */
    int64_t dims[FANIN_MAX_RANK];          /* -1: symbolic or not known */
    const char *dim_names[FANIN_MAX_RANK]; /* NULL, or the symbol of a symbolic dim */
    int producer;                          /* node that makes it; -1: input or initialiser */
    unsigned flags;
    const void
        *data;   /* initialiser's payload, little-endian, packed, maybe misaligned; NULL: absent */
    size_t size; /* bytes of data */
} fanin_value;

typedef enum fanin_attr_type {
    FANIN_ATTR_INT = 1,
    FANIN_ATTR_FLOAT,
    FANIN_ATTR_STRING,
    FANIN_ATTR_INTS,
    FANIN_ATTR_FLOATS,
    FANIN_ATTR_TENSOR, /* `tensor`: dtype, dims, data as in an initialiser */
    FANIN_ATTR_STRINGS
} fanin_attr_type;

typedef struct fanin_attr {
    const char *name;
    fanin_attr_type type;
    int64_t i;
    double f;
    const char *s;
    size_t count; /* of ints, floats or strings */
    const int64_t *ints;
    const double *floats;
    const fanin_value *tensor;
    const char *const *strings;
} fanin_attr;

typedef struct fanin_node {
    const char *name;   /* may be "" */
    const char *op;     /* "Conv" */
    const char *domain; /* "" for ONNX's own */
    int input_count, output_count, attr_count;
    /* Value indices; -1: optional input left out. An If reads its condition, then the results of its first
     * branch, then those of its second: the branches' nodes are nodes of the graph. */
    const int *inputs;
    const int *outputs;
    const fanin_attr *attrs;
} fanin_node;

typedef struct fanin_graph {
    const char *name;     /* as the caller named the model */
    const char *producer; /* "pytorch" ..., "" if unknown; "fanin" for built-ins */
    int opset;            /* of ONNX's own domain */
    int value_count, node_count, input_count, output_count;
    fanin_value *values;
    fanin_node *nodes; /* in an order in which each node follows what it reads */
    const int *inputs; /* without initialisers */
    const int *outputs;
    const char *
        notes; /* what the reader noticed ("exported for inference, ..."), one a line; "" if nothing */
    void *owner; /* arena and maps */
} fanin_graph;

/* Destroys graph and unmaps files; NULL is fine. */
FANIN_API void fanin_graph_destroy(fanin_graph *graph);

/* Index of the value called `name`, or -1. Hashed. */
FANIN_API int fanin_graph_find(const fanin_graph *graph, const char *name);
/* The attribute, or NULL. */
FANIN_API const fanin_attr *fanin_node_attr(const fanin_node *node, const char *name);
FANIN_API int64_t fanin_node_attr_int(const fanin_node *node, const char *name, int64_t otherwise);
FANIN_API double fanin_node_attr_float(const fanin_node *node, const char *name, double otherwise);
FANIN_API const char *fanin_node_attr_string(const fanin_node *node, const char *name,
                                             const char *otherwise);

/* ---- built-in networks ----------------------------------------------------------------------- */

/* "mlp:784-1000x5-10,act=tanh", "lenet5", "vgg:11", "resnet:20", "tensor:w=64x3x7x7" ... (interface.md,
 * MODEL): tensors named `<layer>.weight`, `<layer>.bias` in module order, torch's layout.
 * Errors: NOTFOUND no such model, ARG a bad option (the sentence shows the grammar). */
FANIN_API fanin_status fanin_graph_builtin(const char *text, fanin_graph **graph, fanin_err *err);

/* The table behind it, for lists and help. */
typedef struct fanin_builtin_info {
    const char *name, *grammar, *about;
} fanin_builtin_info;
FANIN_API int fanin_builtin_count(void);
FANIN_API fanin_builtin_info fanin_builtin_at(int i);

/* ---- patterns ----------------------------------------------------------------------------------- */

/* What groups of nodes mean. Ids are pinned; files store the names. */
typedef enum fanin_pattern_kind {
    FANIN_PATTERN_ACTIVATION = 1,    /* spelled out: y = f(x) for an f of the activation table */
    FANIN_PATTERN_LAYER_NORM = 2,    /* (x - mean) / sqrt(var + eps) along `axes` of each sample */
    FANIN_PATTERN_RMS_NORM = 3,      /* x / sqrt(mean x^2 + eps) */
    FANIN_PATTERN_BATCH_NORM = 4,    /* statistics over the batch, too */
    FANIN_PATTERN_INSTANCE_NORM = 5, /* statistics over the spatial axes */
    FANIN_PATTERN_GROUP_NORM = 6,    /* over `groups` groups of channels */
    FANIN_PATTERN_L2_NORM = 7,       /* x / |x| */
    FANIN_PATTERN_SOFTMAX = 8,       /* spelled out */
    FANIN_PATTERN_ATTENTION = 9,     /* softmax(scale q k' + mask) v */
    FANIN_PATTERN_TIED = 10,        /* a table of embeddings that is also the matrix of a product */
    FANIN_PATTERN_FOLDED_NORM = 11, /* convolutions that have taken in a batch norm */
    FANIN_PATTERN_QUANTISED = 12,   /* QuantizeLinear, QLinearConv ... */
    FANIN_PATTERN_FUSED = 13 /* operators of a run time: FusedConv, SkipLayerNormalization ... */
} fanin_pattern_kind;

enum fanin_pattern_mask {
    FANIN_MASK_CAUSAL = 1, /* no position sees a later one */
    FANIN_MASK_FED = 2,    /* depends on what the caller feeds */
    FANIN_MASK_STORED = 4, /* another constant of the graph, or one without values */
    FANIN_MASK_LEARNED = 8 /* a weight that is added to the scores: relative positions */
};

/* One finding. What a kind has no use for is 0, -1, NaN or NULL. */
typedef struct fanin_pattern {
    fanin_pattern_kind kind;
    bool spelled;  /* in elementary nodes, not as one operator */
    bool training; /* a batch norm that normalises by the batch at hand */
    int node_count;
    const int *nodes;       /* covered, ascending */
    int input, output;      /* values x and y; of attention q and the result */
    const char *activation; /* text that fanin_activation_parse reads */
    double eps;
    int axis_count;
    int64_t axes[FANIN_MAX_RANK]; /* as the file has them: negative ones count from the end */
    int64_t groups;
    int scale, shift; /* operands behind the norm, -1: none; maybe views of initialisers */
    /* attention */
    int64_t heads, head_size; /* 0: not known */
    double logit_scale;       /* 1: not scaled; NaN: not known */
    unsigned mask;            /* set of fanin_pattern_mask */
    int projections[3];       /* nodes that make q, k and v; equal where they are packed; -1 */
    int64_t parts[3];         /* columns of q, k and v in what the projection makes; 0: not known */
    bool per_head;            /* packed head by head: q k v of the first, q k v of the second ... */
    /* tied: the initialiser and the nodes that look up and multiply; -1 where the file holds a copy, which is `copy` */
    int tensor, lookup, product, copy;
} fanin_pattern;

/* Findings that read the same: "25 layer norms (spelled out, eps 1e-5)". */
typedef struct fanin_pattern_group {
    const char *text;
    int count;
    const int *members; /* of items */
} fanin_pattern_group;

typedef struct fanin_patterns {
    int count, group_count;
    const fanin_pattern *items;        /* by kind, then in the order of nodes */
    const fanin_pattern_group *groups; /* likewise */
    void *owner;
} fanin_patterns;

/* Recognises functions by their values, not by the order of their nodes: a group of elementwise nodes and
 * means that hangs on a single value is evaluated at some points and compared with what it might be, to
 * 2e-6 (3e-3 where its constants are half precision). No value inside may be read from outside. The graph
 * must outlive the result. NOMEM. */
FANIN_API fanin_status fanin_patterns_create(const fanin_graph *graph, fanin_patterns **patterns,
                                             fanin_err *err);
FANIN_API void fanin_patterns_destroy(fanin_patterns *patterns);
/* "layer_norm" ... */
FANIN_API const char *fanin_pattern_kind_name(fanin_pattern_kind kind);

/* ---- building -------------------------------------------------------------------------------- */

/* Collects values and nodes, then becomes a graph. After a failure the builder stays failed and
 * _finish reports it, so that a chain of calls is checked once. Value functions return an index, or
 * -1 after a failure; names must be unique, NULL or "" makes one up. */
typedef struct fanin_graph_builder fanin_graph_builder;

/* `opset` of ONNX's operators; 0: of a graph without nodes. NOMEM. */
FANIN_API fanin_status fanin_graph_builder_create(const char *name, int opset,
                                                  fanin_graph_builder **builder);
FANIN_API void fanin_graph_builder_destroy(fanin_graph_builder *builder);
/* An axis of -1 is not known; the first such one is the batch. */
FANIN_API int fanin_graph_input(fanin_graph_builder *b, const char *name, fanin_dtype dtype,
                                int rank, const int64_t *dims);
/* A weight without values yet (data NULL), or with values that are copied. */
FANIN_API int fanin_graph_initializer(fanin_graph_builder *b, const char *name, fanin_dtype dtype,
                                      int rank, const int64_t *dims, const void *data);
/* Attributes are copied. `inputs` holds value indices, -1 for one left out. Makes `output_count`
 * values and returns the index of the first; the others follow it. `op` is an operator of ONNX,
 * or "domain:Op" for another domain's: "fanin:Activation" is one activation that ONNX has no
 * operator for, with a string attribute `name` ("gelu", "silu:1.5") or `formula` (of x). */
FANIN_API int fanin_graph_node(fanin_graph_builder *b, const char *op, const char *name,
                               const int *inputs, int input_count, const fanin_attr *attrs,
                               int attr_count, int output_count);
FANIN_API void fanin_graph_output(fanin_graph_builder *b, int value, const char *name);
/* Sorts and validates: FORMAT for a cycle, an undefined or doubly defined value. The builder is
 * consumed in every case. */
FANIN_API fanin_status fanin_graph_builder_finish(fanin_graph_builder *builder, fanin_graph **graph,
                                                  fanin_err *err);

#ifdef __cplusplus
}
#endif
#endif
