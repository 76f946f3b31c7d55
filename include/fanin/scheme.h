/* fanin/scheme.h - which weights: what each tensor of a network is, which rule it gets, and the bytes.
 *
 *     fanin_graph *graph;                       fanin_graph_load("resnet50.onnx", &graph, &err)
 *     fanin_init_options o = {.scheme = "he", .seed = 1};
 *     fanin_plan *plan;
 *     fanin_plan_create(graph, &o, &plan, &err);
 *     for (int i = 0; i < fanin_plan_count(plan); i++)
 *         printf("%s %s\n", fanin_plan_row_at(plan, i)->tensor.name, fanin_plan_row_at(plan, i)->rule_text);
 *     fanin_plan_write(plan, "r50.safetensors", NULL, &err);
 *     fanin_plan_destroy(plan);
 *
 * Objects here point into the graph, which must outlive them; they are immutable: use them from any
 * thread.
 */
#ifndef FANIN_SCHEME_H
#define FANIN_SCHEME_H

#include <fanin/engine.h>
#include <fanin/format.h>
#include <fanin/graph.h>
#include <fanin/init.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- what each tensor is ----------------------------------------------------------------------- */

/* One initialiser and the operator that it is traced to, through Transpose, Reshape, Identity, Cast,
 * Unsqueeze, Squeeze, Slice, Split, Concat, Expand and arithmetic with constants. */
typedef struct fanin_tensor_info {
    fanin_tensor tensor; /* fans of the operator, real numbers; NaN where there are none (norms) */
    int value;           /* index in the graph */
    int node;            /* of the layer that reads it; -1: a template */
    const char *op;      /* "Gemm", "" without a node */
    const char *layer;   /* the node's name, or its output's */
    fanin_dtype dtype;
    int uses;      /* operators that read it in the end; 2 and more: shared */
    bool closes;   /* the last weight of a residual branch */
    int block;     /* residual blocks closed before it (l of scheme files); -1: none in the graph */
    bool has_data; /* the file holds values */
    const char
        *role; /* to the pattern that it belongs to: "of a layer norm that is spelled out"; "" */
} fanin_tensor_info;

typedef struct fanin_tensors {
    int count;
    const fanin_tensor_info *items; /* in file order */
    int layers;                     /* weighted layers */
    int residuals;                  /* additions that close a residual branch */
    int blocks; /* L of scheme files: attention layers, or else residuals, or else layers */
    void *owner;
} fanin_tensors;

/* Classifies every initialiser. `layout` ("torch", "jax") is for graphs without nodes, which are
 * classified by name and shape: FANIN_ARG without it unless the graph is a built-in; FANIN_UNSUPPORTED
 * names a tensor that cannot be classified there. With nodes nothing fails but memory: what no rule
 * knows is FANIN_CLASS_OTHER, or FANIN_CLASS_CONSTANT where the file holds its values.
 *
 * Fans: convolution C_in/groups kh kw and C_out/groups kh kw; transposed convolution C_in/groups kh kw
 * / stride (what each output sees) and C_out/groups kh kw; dense the sizes of its matrix; packed
 * projections and gates those of one part; embedding its width and its number of rows; a bias those of
 * its layer's weight. */
FANIN_API fanin_status fanin_tensors_create(const fanin_graph *graph, const char *layout,
                                            fanin_tensors **tensors, fanin_err *err);
FANIN_API void fanin_tensors_destroy(fanin_tensors *tensors);

/* ---- the plan ---------------------------------------------------------------------------------- */

typedef struct fanin_init_options {
    const char *scheme; /* built-in scheme, rule or path of a scheme file; NULL: the default */
    const char *const *rules; /* "PATTERN=RULE[:k=v,...]", laid over the scheme */
    int rule_count;
    uint64_t seed;
    const char *stream; /* "fanin" (default), "torch:flavour=avx2", ... */
    const char *layout; /* of a graph without nodes */
    const char *fans;   /* "operator" (default) or "torch" */
} fanin_init_options;

typedef struct fanin_plan_row {
    fanin_tensor tensor;
    int value, node;
    const char *op, *layer;
    fanin_dtype dtype;
    bool keep; /* a constant of the graph: neither drawn nor written; rule_text is "keep" */
    fanin_rule rule;
    const char *rule_text;
    fanin_moments moments;
    const char *reason; /* "dense, 784 inputs to Gemm fc1; he: gain sqrt(2) over fan_in 784" */
    double
        target; /* second moment that `auto` aims at in the layer's output; NaN: another scheme */
} fanin_plan_row;

typedef struct fanin_plan fanin_plan;

/* Decides every tensor's rule. Errors: NOTFOUND an unknown scheme or rule, or a line or --rule that
 * matches nothing; ARG a line that is shadowed, a tensor that is left unset, a bad option; SHAPE a rule
 * that does not apply; FORMAT, LIMIT, IO a broken scheme file; UNSUPPORTED `auto` on a graph with an operator
 * that has no signal rule. */
FANIN_API fanin_status fanin_plan_create(const fanin_graph *graph,
                                         const fanin_init_options *options, fanin_plan **plan,
                                         fanin_err *err);
FANIN_API void fanin_plan_destroy(fanin_plan *plan);
/* The same rules with another seed. Not while another thread uses the plan. */
FANIN_API void fanin_plan_reseed(fanin_plan *plan, uint64_t seed);

FANIN_API int fanin_plan_count(const fanin_plan *plan);
FANIN_API const fanin_plan_row *fanin_plan_row_at(const fanin_plan *plan, int i);
FANIN_API int fanin_plan_find(const fanin_plan *plan, const char *name); /* -1: none */
/* Elements of weights, biases, scales, shifts and slopes: neither statistics nor constants. */
FANIN_API uint64_t fanin_plan_parameters(const fanin_plan *plan);
FANIN_API const char *fanin_plan_scheme(const fanin_plan *plan); /* as resolved: "he" */
FANIN_API const char *fanin_plan_stream(const fanin_plan *plan);
FANIN_API uint64_t fanin_plan_seed(const fanin_plan *plan);
/* What a person should know (a default that was taken, sharing), one a line; "" if nothing. */
FANIN_API const char *fanin_plan_notes(const fanin_plan *plan);
/* 16 hexadecimal digits over names, shapes, rules: equal plans, equal hash. */
FANIN_API const char *fanin_plan_hash(const fanin_plan *plan);
/* The plan as a scheme file that gives the same plan (release with fanin_free); NULL: no memory. */
FANIN_API char *fanin_plan_scheme_text(const fanin_plan *plan);

/* Elements first .. first+n-1 of row i, as stored, in `dtype`. Same bits for every split, thread
 * count and instruction set. Errors: ARG a kept row or a range outside the tensor; NOMEM. */
FANIN_API fanin_status fanin_plan_fill(const fanin_plan *plan, int i, uint64_t first, size_t n,
                                       fanin_dtype dtype, void *out, fanin_err *err);

typedef struct fanin_plan_write_options {
    fanin_dtype dtype;       /* of floating tensors; NONE: each its own */
    int64_t part, parts;     /* the part-th of `parts` contiguous runs of rows; parts 0 or 1: all */
    uint64_t max_shard;      /* bytes; 0: one file */
    fanin_progress progress; /* in bytes; report NULL: silent */
} fanin_plan_write_options;

/* Streams every drawn tensor to `path`: .safetensors, .npz, .npy, a folder of shards, or .onnx (the
 * graph with its weights inside). Written aside and renamed when whole; nothing stays on failure.
 * With more than one thread, one of its own writes a chunk while the next is filled.
 * Memory does not grow with the model, except for .onnx and for rules that make a tensor whole.
 * INTERRUPTED when fanin_interrupt was called. A framework's stream is serial: the whole model is drawn
 * at the first fill and kept in memory. */
FANIN_API fanin_status fanin_plan_write(const fanin_plan *plan, const char *path,
                                        const fanin_plan_write_options *options, fanin_err *err);

/* ---- into a program ------------------------------------------------------------------------------ */

/* Every weight of the program from its row; kept rows stay as the file has them. Errors: ARG a weight with
 * neither rule nor values; those of fanin_plan_fill. */
FANIN_API fanin_status fanin_plan_apply(const fanin_plan *plan, fanin_program *program,
                                        fanin_err *err);
/* What check, train and run share: weights drawn by `init`; or, where that is NULL, taken from `weights`
 * by name, else from the graph's file. FORMAT names a tensor without values, SHAPE one that does not fit. */
FANIN_API fanin_status fanin_weights_fill(const fanin_graph *graph, const fanin_init_options *init,
                                          const fanin_weights *weights, fanin_program *program,
                                          fanin_err *err);

/* ---- prediction ------------------------------------------------------------------------------------ */

/* What random weights do to the signal, by the rules of docs/auto.md: for infinitely wide layers, averaged over
 * weights and inputs. */
typedef struct fanin_value_prediction {
    double mean, second_moment; /* over all elements */
    double correlation;         /* of two samples: E s s' / E s^2 */
    double grad_norm;           /* as in fanin_layer_signal */
} fanin_value_prediction;

typedef struct fanin_prediction {
    int value_count;
    fanin_value_prediction *values; /* by value of the graph; NaN where nothing is known */
    double
        *targets; /* by value: second moment that the layer reading this weight should have; NaN */
    double seconds;
} fanin_prediction;

typedef struct fanin_predict_options {
    const fanin_plan *plan; /* laws of the weights; NULL: values of `weights` or of the graph, */
    const fanin_weights *weights;                       /* of which mean and variance are taken */
    int64_t batch;                                      /* 0: 32 */
    const char *loss;                                   /* NULL: fanin_graph_default_loss */
    double input_mean, input_second, input_correlation; /* of floating inputs: mean, second moment,
                                     correlation of two samples; all 0: N(0,1), independent */
} fanin_predict_options;

/* Errors: UNSUPPORTED names operator and node without a rule; those of fanin_program_create; NOMEM. Same
 * bits on any number of threads. Under a second for the usual networks. */
FANIN_API fanin_status fanin_predict(const fanin_graph *graph, const fanin_predict_options *options,
                                     fanin_prediction **prediction, fanin_err *err);
FANIN_API void fanin_prediction_destroy(fanin_prediction *prediction);
/* "cross_entropy" where the first output has rank 2 or 3, else "mse". */
FANIN_API const char *fanin_graph_default_loss(const fanin_graph *graph);

/* ---- the table of schemes ---------------------------------------------------------------------- */

typedef struct fanin_scheme_info {
    const char *name, *about, *source;
    int line_count;
} fanin_scheme_info;

typedef struct fanin_scheme_line {
    const char *classes; /* "dense conv ...", or a pattern over names */
    const char *rule;    /* "he_normal:gain=1" */
} fanin_scheme_line;

/* Rows 0 ... count - 1, texts static; beyond them all is 0. */
FANIN_API int fanin_scheme_count(void);
FANIN_API fanin_scheme_info fanin_scheme_at(int i);
FANIN_API fanin_scheme_line fanin_scheme_line_at(int i, int line);

#ifdef __cplusplus
}
#endif
#endif
