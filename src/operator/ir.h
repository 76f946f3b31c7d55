/* ir.h - the primitives that every operator, loss and gradient is made of.
 *
 * An `ir` is a growing list of nodes; a node is one primitive and makes one value, named by its
 * index (an id). Operands come before their users, so ids are a topological order. All shapes are
 * known: lowering happens for one batch size. What depends on constants only is computed while the
 * ir is built, by the same kernels that run later: the shape arithmetic of exporters vanishes.
 *
 * Four primitives (BROADCAST, RESHAPE, TRANSPOSE, SLICE) are views: they move no data unless a
 * consumer wants packed memory. Broadcast operands have stride 0, transposed matrices have swapped
 * strides; there are no broadcasting or transposing variants of the others.
 *
 * A primitive is a row of the table in primitive.c: shape rule, kernels by element type, and a VJP
 * that emits primitives. Gradients are therefore nodes of the same ir and can be differentiated
 * again; only the rows below FANIN__FUSED, which exist for speed, may say UNSUPPORTED there.
 */
#ifndef FANIN_SRC_OPERATOR_IR_H
#define FANIN_SRC_OPERATOR_IR_H

#include "base/base.h"
#include "fanin/activation.h"

/* Rank is the tensor's; `axis` and masks count from 0. */
typedef enum fanin__op {
    /* leaves */
    FANIN__INPUT,  /* attr.axis: number of the input */
    FANIN__WEIGHT, /* attr.axis: number of the weight */
    FANIN__CONST,  /* node.data */
    FANIN__RANDOM, /* uniform on [0, 1), fresh at every run; attr.axis: number of the stream */
    /* elementwise, on equal shapes */
    FANIN__MAP,    /* f(x); attr.kind, attr.order, attr.act: see function.h */
    FANIN__MAPMUL, /* g * f(x); operands g, x: what backward passes of MAP are made of */
    FANIN__BINARY, /* attr.kind: fanin__binary_kind */
    FANIN__SELECT, /* c ? a : b; c BOOL */
    FANIN__CAST,
    /* views */
    FANIN__BROADCAST, /* axes of size 1 become any size */
    FANIN__RESHAPE,
    FANIN__TRANSPOSE, /* out.dims[i] = in.dims[perm[i]] */
    FANIN__SLICE,     /* out index i reads start + i * step; step may be negative */
    /* data movement */
    FANIN__COPY,    /* packed copy of a view */
    FANIN__PAD,     /* `interior` gaps between elements, then before and after; value attr.p[0] */
    FANIN__CONCAT,  /* any number of operands along attr.axis */
    FANIN__GATHER,  /* x, I64 indices; along attr.axis: dims before + indices' dims + dims after */
    FANIN__SCATTER, /* indices, updates: zeros of the given dims plus updates: GATHER's adjoint */
    /* reductions */
    FANIN__REDUCE, /* attr.kind over attr.mask; reduced axes stay with size 1 */
    FANIN__TOP, /* I64: where the attr.order largest along attr.axis are, falling, first of equals */
    /* contractions: NxCxspatial images, MxCxspatial kernels with attr.window */
    FANIN__MATMUL,      /* ...xMxK by ...xKxN, equal leading dims */
    FANIN__CONV,        /* x, w */
    FANIN__CONV_DATA,   /* g, w: adjoint in x, of the given dims; a transposed convolution */
    FANIN__CONV_WEIGHT, /* x, g: adjoint in w, of the given dims */
    /* windows over the last window.rank axes */
    FANIN__MAXPOOL,         /* x */
    FANIN__MAXPOOL_SCATTER, /* x, g: g goes to where the maximum is; adjoint of the next one */
    FANIN__MAXPOOL_GATHER,  /* x, v: v from where x has the maximum */
    FANIN__SUMPOOL,         /* x */
    FANIN__SUMPOOL_ADJOINT, /* g, of the given dims */
    /* rewrites: each equals a composition of the rows above, which the tests compare with */
    FANIN__FUSED,
    FANIN__SOFTMAX = FANIN__FUSED, /* over the last axis */
    FANIN__SOFTMAX_GRAD,           /* y, g: y (g - sum g y) */
    FANIN__XENT,                   /* logits RxC, targets R: Rx2 of loss and log sum exp */
    FANIN__XENT_GRAD,    /* logits, XENT's result, targets, g of R: g (softmax - onehot) */
    FANIN__NORM_STATS,   /* x of N x C x ...: 3 x C of mean, 1/sqrt(var + eps), var */
    FANIN__NORM_APPLY,   /* x, stats, scale, bias */
    FANIN__NORM_SUMS,    /* x, stats, g: 2 x C of sum g and sum g xhat */
    FANIN__NORM_GRAD,    /* x, stats, scale, sums, g */
    FANIN__MATMUL_LANES, /* ...xMxKxL by ...xKxNxL: L products side by side, the lane innermost */
    FANIN__OP_COUNT
} fanin__op;

typedef enum fanin__binary_kind {
    FANIN__ADD,
    FANIN__SUB,
    FANIN__MUL,
    FANIN__DIV, /* integers: towards zero; by zero gives zero (lowering refuses constants) */
    FANIN__POW,
    FANIN__MIN,
    FANIN__MAX,
    FANIN__MOD,     /* sign of the divisor */
    FANIN__FMOD,    /* sign of the dividend */
    FANIN__COMPARE, /* from here on the result is BOOL */
    FANIN__EQ = FANIN__COMPARE,
    FANIN__LT,
    FANIN__LE,
    FANIN__AND,
    FANIN__OR,
    FANIN__XOR,
    FANIN__BINARY_KINDS
} fanin__binary_kind;

typedef enum fanin__reduce_kind {
    FANIN__SUM,
    FANIN__REDUCE_MAX,
    FANIN__REDUCE_MIN,
    FANIN__PROD
} fanin__reduce_kind;

enum { FANIN__WINDOW_MAX = 3 };
/* Longest list of indices or counts that a lowering makes: sizes come from files. */
enum { FANIN__LIST_MAX = 1 << 24 };

/* A sliding window over the last `rank` axes, 1 to 3. */
typedef struct fanin__op_window {
    int rank;
    int64_t kernel[FANIN__WINDOW_MAX], stride[FANIN__WINDOW_MAX], dilation[FANIN__WINDOW_MAX];
    int64_t before[FANIN__WINDOW_MAX], after[FANIN__WINDOW_MAX];
    int64_t groups;
} fanin__op_window;

/* All-zero where unused, so that equal nodes compare equal as bytes. */
typedef struct fanin__op_attr {
    int kind, order, axis;
    unsigned mask; /* of axes */
    double p[2];
    const fanin_activation *act; /* owned by the ir */
    union {
        fanin__op_window window;
        int64_t perm[FANIN_MAX_RANK];
        struct {
            int64_t start[FANIN_MAX_RANK], step[FANIN_MAX_RANK];
        } slice;
        struct {
            int64_t before[FANIN_MAX_RANK], after[FANIN_MAX_RANK], interior[FANIN_MAX_RANK];
        } pad;
    };
} fanin__op_attr;

typedef struct fanin__node {
    fanin__op op;
    fanin_dtype dtype; /* the ir's floating type, I64 or BOOL */
    int rank;
    int64_t dims[FANIN_MAX_RANK];
    size_t count;
    int input_count;
    const int *inputs;
    fanin__op_attr attr;
    const void *data; /* of a CONST */
    int next;         /* in its bucket of the table of equal nodes */
} fanin__node;

typedef struct fanin__ir {
    fanin_dtype dtype; /* F32 or F64 */
    bool fuse;         /* lowerings may use the fused rows */
    bool bf16;         /* F32: operands of matmul and convolutions are rounded to bfloat16 */
    fanin__node *nodes;
    int count, capacity;
    int *buckets;
    int bucket_count;
    struct fanin__ir_block *blocks; /* everything that nodes point to */
    fanin_activation **activations;
    int activation_count;
    int random_count;
    fanin_err err;
    bool failed;
    char where[160]; /* put in front of messages: the operator being lowered */
} fanin__ir;

void fanin__ir_init(fanin__ir *ir, fanin_dtype dtype);
void fanin__ir_fini(fanin__ir *ir);
/* Memory that lives as long as the ir; NULL (and ir->failed) if there is none. */
void *fanin__ir_take(fanin__ir *ir, size_t size);
/* Marks the ir as failed unless it is already, with ir->where in front; returns -1. */
int fanin__ir_fail(fanin__ir *ir, fanin_status status, const char *format, ...) FANIN_PRINTF(3, 4);

/* A tensor in memory. Strides in elements. */
typedef struct fanin__tensor {
    void *data;
    fanin_dtype dtype;
    int rank;
    int64_t dims[FANIN_MAX_RANK], strides[FANIN_MAX_RANK];
} fanin__tensor;

/* Kernels trust shapes and allocate nothing. */
typedef void (*fanin__kernel)(const fanin__node *node, const fanin__tensor *in, int in_count,
                              const fanin__tensor *out);

/* Where a reverse sweep stands; see gradient.h. */
typedef struct fanin__sweep fanin__sweep;

typedef struct fanin__primitive {
    const char *name;
    int inputs;       /* how many operands; -1: any number */
    unsigned strided; /* mask of operands that may be views; the others are packed. Concat: all */
    int typed_by;     /* operand whose element type chooses the kernel; -1: the result */
    bool view;
    /* Fills dtype, rank and dims from operands and attributes (dims may be given); reports
     * through fanin__ir_fail. */
    bool (*shape)(fanin__ir *ir, fanin__node *node);
    void (*vjp)(fanin__sweep *sweep, int id, int g); /* NULL: nothing flows */
    fanin__kernel f32, f64, i64, boolean;
} fanin__primitive;

const fanin__primitive *fanin__primitive_of(fanin__op op);
/* The kernel for a node, NULL if there is none for the type. */
fanin__kernel fanin__kernel_of(const fanin__ir *ir, const fanin__node *node);

/* Tensor descriptor of packed memory with the node's shape. */
fanin__tensor fanin__tensor_packed(const fanin__node *node, void *data);
bool fanin__tensor_is_packed(const fanin__tensor *t);
/* Descriptor of a view node on top of its operand's; false if only a packed operand would do
 * (RESHAPE of a strided tensor). */
bool fanin__view_of(const fanin__node *node, const fanin__tensor *in, fanin__tensor *out);

/* ---- emitting -------------------------------------------------------------------------------
 * All return an id, or -1 after a failure; -1 operands pass through, so chains need no checks. */

/* The general form; dims are for rows with given dims, otherwise NULL. */
int fanin__emit(fanin__ir *ir, fanin__op op, const int *inputs, int input_count,
                const fanin__op_attr *attr, int rank, const int64_t *dims);

int fanin__emit_leaf(fanin__ir *ir, fanin__op op, int number, fanin_dtype dtype, int rank,
                     const int64_t *dims);
int fanin__emit_const(fanin__ir *ir, fanin_dtype dtype, int rank, const int64_t *dims,
                      const void *data);
int fanin__emit_const_i64(fanin__ir *ir, int64_t count, const int64_t *values); /* rank 1 */
int fanin__emit_scalar(fanin__ir *ir, double value); /* rank 0, the ir's type */
int fanin__emit_scalar_i64(fanin__ir *ir, int64_t value);
int fanin__emit_iota(fanin__ir *ir, int64_t count); /* I64 0, 1, ... */
/* `value` as the type of x, broadcast to its shape. */
int fanin__emit_fill_like(fanin__ir *ir, double value, int x);
int fanin__emit_uniform(fanin__ir *ir, int rank, const int64_t *dims);

int fanin__emit_apply(fanin__ir *ir, int function, int x); /* function.h */
int fanin__emit_apply_with(fanin__ir *ir, int function, double p0, double p1, int x);
int fanin__emit_apply_activation(fanin__ir *ir, const fanin_activation *act, int order, int x);
/* "gelu", "leaky_relu:0.2" ...: made once an ir. NULL after a failure. */
const fanin_activation *fanin__ir_activation(fanin__ir *ir, const char *text);
int fanin__emit_mapmul(fanin__ir *ir, int g, const fanin__op_attr *map, int x);
/* These two broadcast their operands as numpy does. */
int fanin__emit_binary(fanin__ir *ir, fanin__binary_kind kind, int a, int b);
int fanin__emit_select(fanin__ir *ir, int c, int a, int b);
int fanin__emit_binary_scalar(fanin__ir *ir, fanin__binary_kind kind, int a, double b);
int fanin__emit_cast(fanin__ir *ir, int x, fanin_dtype dtype);

int fanin__emit_broadcast(fanin__ir *ir, int x, int rank, const int64_t *dims); /* numpy's rule */
int fanin__emit_reshape(fanin__ir *ir, int x, int rank, const int64_t *dims);
int fanin__emit_transpose(fanin__ir *ir, int x, const int64_t *perm);
int fanin__emit_swap(fanin__ir *ir, int x, int axis_a, int axis_b);
int fanin__emit_slice(fanin__ir *ir, int x, const int64_t *start, const int64_t *step,
                      const int64_t *dims);
/* Elements begin .. begin + size - 1 of one axis. */
int fanin__emit_slice_axis(fanin__ir *ir, int x, int axis, int64_t begin, int64_t size);
int fanin__emit_pad(fanin__ir *ir, int x, const int64_t *before, const int64_t *after,
                    const int64_t *interior, double value);
int fanin__emit_concat(fanin__ir *ir, const int *inputs, int count, int axis);
int fanin__emit_gather(fanin__ir *ir, int x, int indices, int axis);

/* keep: reduced axes stay with size 1. An empty mask gives x. */
int fanin__emit_reduce(fanin__ir *ir, fanin__reduce_kind kind, int x, unsigned mask, bool keep);
int fanin__emit_mean(fanin__ir *ir, int x, unsigned mask, bool keep);
/* Maximum through which no gradient flows (where the result does not depend on it). */
int fanin__emit_max_detached(fanin__ir *ir, int x, unsigned mask);
/* Positions of the `count` largest, the largest first. */
int fanin__emit_top(fanin__ir *ir, int x, int axis, int64_t count);

int fanin__emit_matmul(fanin__ir *ir, int a, int b);
int fanin__emit_conv(fanin__ir *ir, fanin__op op, int a, int b, const fanin__op_window *window,
                     int rank, const int64_t *dims);
int fanin__emit_pool(fanin__ir *ir, fanin__op op, int a, int b, const fanin__op_window *window,
                     int rank, const int64_t *dims);
/* Outputs along one axis of a window that runs over `size` elements; 0 if it fits nowhere. */
int64_t fanin__op_window_outputs(const fanin__op_window *window, int axis, int64_t size);

/* Softmax and its logarithm over the last axis, losses: loss.c. */
int fanin__emit_softmax(fanin__ir *ir, int x);
int fanin__emit_log_softmax(fanin__ir *ir, int x);

/* The value of a constant node (through views), packed, as doubles or integers; false if x is not
 * constant or larger than max. */
bool fanin__const_tensor(const fanin__ir *ir, int x, fanin__tensor *t);
bool fanin__const_i64_values(const fanin__ir *ir, int x, int64_t *values, int max, int *count);
bool fanin__const_value(const fanin__ir *ir, int x, double *value); /* one element */

/* "mlp/0: 3x4" for messages. */
const char *fanin__node_shape_text(const fanin__node *node, char buf[160]);

#endif
