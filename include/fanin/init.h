/* fanin/init.h - rules: what fills one tensor.
 *
 * A rule is a row of a table ("he_normal") and options ("mode=fan_out,gain=2"). Applied to a tensor
 * whose fans are known it becomes a law (mean, standard deviation, bounds) and then numbers, addressed:
 * value = f(seed, tensor name, element index), so any slice can be made alone.
 *
 *     fanin_tensor t = fanin_tensor_torch("fc1.weight", 2, (int64_t[]){256, 784});
 *     fanin_rule rule;
 *     fanin_rule_parse("he_normal", &rule, &err);
 *     fanin_rule_fill(&rule, &t, seed, 0, 256 * 784, FANIN_F32, weights, &err);
 */
#ifndef FANIN_INIT_H
#define FANIN_INIT_H

#include <fanin/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a tensor is to its network. Rows: id, value, name, what a weight rule does with it. */
#define FANIN_CLASS_MAP(X) \
    X(OTHER, 0, "other") \
    X(DENSE, 1, "dense") \
    X(CONV, 2, "conv") \
    X(CONV_DEPTHWISE, 3, "conv_depthwise") \
    X(CONV_TRANSPOSE, 4, "conv_transpose") \
    X(EMBEDDING, 5, "embedding") \
    X(POSITION, 6, "position") \
    X(CLASS_TOKEN, 7, "class_token") \
    X(ATTENTION_QKV, 8, "attention_qkv") /* packed query, key, value projection */ \
    X(ATTENTION_Q, 9, "attention_q") \
    X(ATTENTION_K, 10, "attention_k") \
    X(ATTENTION_V, 11, "attention_v") \
    X(ATTENTION_OUT, 12, "attention_out") \
    X(RECURRENT_INPUT, 13, "recurrent_input")   /* gates from the input */ \
    X(RECURRENT_HIDDEN, 14, "recurrent_hidden") /* gates from the state */ \
    X(RECURRENT_BIAS, 15, "recurrent_bias") \
    X(BIAS, 16, "bias") \
    X(NORM_SCALE, 17, "norm_scale") \
    X(NORM_SHIFT, 18, "norm_shift") \
    X(RUNNING_MEAN, 19, "running_mean") \
    X(RUNNING_VAR, 20, "running_var") \
    X(PRELU_SLOPE, 21, "prelu_slope") \
    X(OUTPUT, 22, "output")     /* dense or convolution that makes the network's output */ \
    X(CONSTANT, 23, "constant") /* masks, scalars, shapes: kept, never initialised */

typedef enum fanin_class {
#define FANIN_CLASS_ENUM(id, value, name) FANIN_CLASS_##id = (value),
    FANIN_CLASS_MAP(FANIN_CLASS_ENUM)
#undef FANIN_CLASS_ENUM
} fanin_class;

FANIN_API const char *fanin_class_name(fanin_class c);
/* Weights in the sense of a scheme: what a rule such as he_normal fills (1-14 and 22). */
FANIN_API bool fanin_class_is_weight(fanin_class c);

/* A tensor with what rules need to know of it. `out_axis` and `in_axis` say how it is stored:
 * torch's Linear and Conv 0 and 1, ONNX MatMul weights 1 and 0, ConvTranspose 1 and 0. Axes other than
 * these two are kernel positions. */
typedef struct fanin_tensor {
    const char *name; /* addresses the stream */
    int rank;
    int64_t dims[FANIN_MAX_RANK];
    fanin_class cls;
    int out_axis, in_axis;  /* -1: none (vectors) */
    int64_t groups;         /* of a convolution; 1 */
    int parts;              /* matrices packed along out_axis (3 for qkv, 4 for LSTM gates); 1 */
    double fan_in, fan_out; /* of the operator, of one part; real numbers */
    double torch_fan_in, torch_fan_out; /* as torch.nn.init counts from the shape */
    const char *nonlinearity;           /* activation that follows, as text, or NULL */
    int depth_index;                    /* position among weighted layers from 0, -1 unknown */
} fanin_tensor;

/* A tensor in torch's layout: rank 2 is a Linear, 3 to 5 a Conv, 1 and 0 a bias; fans from the shape. */
FANIN_API fanin_tensor fanin_tensor_torch(const char *name, int rank, const int64_t *dims);

/* One rule with its options, plain data. Unset numbers are NaN. */
typedef enum fanin_fan_mode {
    FANIN_FAN_DEFAULT = 0,
    FANIN_FAN_IN,
    FANIN_FAN_OUT,
    FANIN_FAN_AVG,
    FANIN_FAN_GEO_AVG
} fanin_fan_mode;

typedef struct fanin_rule {
    int id; /* row of the table */
    fanin_fan_mode mode;
    bool torch_fans;   /* fans=torch */
    int distribution;  /* 0 the rule's own, 1 uniform, 2 normal, 3 truncated_normal */
    bool bounds_sigma; /* bounds=sigma: low and high count standard deviations */
    char nonlinearity[64];
    double a, gain, scale, value, mean, std, low, high, sparsity, k, center;
    int64_t groups; /* 0: the tensor's */
    int gates; /* order of LSTM gates: 0 the rule's own, 1 ifgo (torch, Keras), 2 iofc (ONNX) */
    char prior[256]; /* of class_prior: "0.01", or one number a class: "0.5/0.3/0.2" */
} fanin_rule;

/* "he_normal", "kaiming_normal_:mode=fan_out,nonlinearity=leaky_relu,a=0.2" (interface.md, Rules and
 * aliases). Errors: NOTFOUND an unknown rule (message suggests near names), ARG an unknown option
 * or a value out of range. */
FANIN_API fanin_status fanin_rule_parse(const char *text, fanin_rule *rule, fanin_err *err);
/* Sets one more option ("std", "0.02") of a parsed rule. ARG as above; the rule stays as it was. */
FANIN_API fanin_status fanin_rule_option(fanin_rule *rule, const char *name, const char *value,
                                         fanin_err *err);
/* Canonical text that parses back to the same rule; 512 bytes always suffice. */
FANIN_API void fanin_rule_text(const fanin_rule *rule, char *buf, size_t size);

/* The gain that torch.nn.init.calculate_gain gives a name: linear, identity, conv1d ..., sigmoid 1, tanh
 * 5/3, relu sqrt 2, leaky_relu[:slope] sqrt(2 / (1 + a^2)), selu 3/4. `a`: the slope where the name has
 * none; NaN is 0.01. NOTFOUND any other name. */
FANIN_API fanin_status fanin_gain_torch(const char *nonlinearity, double a, double *gain,
                                        fanin_err *err);

/* What the rule means for this tensor. */
typedef struct fanin_moments {
    double mean, std; /* of an element drawn at random from the tensor */
    double gain; /* std * sqrt(fan used); of matrices made whole the factor before them; else NaN */
    double low, high; /* support; infinite for normals */
    double centered;  /* 1 - variance of a row's mean / (std^2 / row length): 0 where weights are
                        independent, 1 where every row sums to 0 */
    bool elementwise; /* a slice is made alone */
    char reason[160]; /* one sentence: "gain sqrt(2) for relu over fan_in 576" */
} fanin_moments;

/* Errors: SHAPE or ARG when the rule does not apply to the tensor (dirac on a matrix, k > fan_in,
 * a fan of 0), with the tensor's name. */
FANIN_API fanin_status fanin_rule_apply(const fanin_rule *rule, const fanin_tensor *tensor,
                                        fanin_moments *moments, fanin_err *err);
/* Elements first .. first+n-1 (row-major, as stored) into out. Same bits for every split, thread
 * count and instruction set. Uses fanin_parallel_for. Errors as fanin_rule_apply, NOMEM. */
FANIN_API fanin_status fanin_rule_fill(const fanin_rule *rule, const fanin_tensor *tensor,
                                       uint64_t seed, uint64_t first, size_t n, fanin_dtype dtype,
                                       void *out, fanin_err *err);

/* ---- the table, for lists and help ----------------------------------------------------------- */

typedef struct fanin_rule_info {
    const char *name;    /* "he_normal" */
    const char *aliases; /* "kaiming_normal" ..., space separated */
    const char *formula; /* "N(0, gain^2 / fan)" */
    const char *options; /* those that it takes */
    const char *source;  /* paper, section, equation */
    const char *note;    /* which framework's name means what */
    bool elementwise;
} fanin_rule_info;

/* Rows 0 ... count - 1, texts static; beyond them all is 0. */
FANIN_API int fanin_rule_count(void);
FANIN_API fanin_rule_info fanin_rule_at(int i);
/* The row of a parsed rule; all NULL for an id that no row has. */
FANIN_API fanin_rule_info fanin_rule_describe(const fanin_rule *rule);

#ifdef __cplusplus
}
#endif
#endif
