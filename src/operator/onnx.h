/* onnx.h - ONNX operators written with primitives.
 *
 * fanin/graph.h, the plain description of a network, is the one header of a later room that is
 * included here: an operator has to see the attributes of its node. */
#ifndef FANIN_SRC_OPERATOR_ONNX_H
#define FANIN_SRC_OPERATOR_ONNX_H

#include "fanin/engine.h"
#include "operator/function.h"

typedef struct fanin__lowering {
    fanin__ir *ir;
    const fanin_graph *graph;
    bool training;
    int *ids;        /* node of each value of the graph, -1: not lowered */
    int *statistics; /* by value: node of what a running statistic becomes, -1: none */
    const fanin_node *node;
    int depth; /* of branches within branches */
} fanin__lowering;

/* One row an operator. */
typedef struct fanin__onnx_row {
    const char *name;
    void (*lower)(fanin__lowering *l, int arg);
    int arg;
    const char *domain;
} fanin__onnx_row;

int fanin__onnx_count(void);
const fanin__onnx_row *fanin__onnx_at(int i);

/* Lowers node `node` of the graph; its inputs are lowered already. UNSUPPORTED names node, operator
 * and opset. */
void fanin__lower_node(fanin__lowering *l, int node);
/* An If that the reader took apart: it reads its condition, what the first branch gives, what the second
 * gives. Nodes that only branches want are lowered when the If asks for them. */
bool fanin__lower_is_if(const fanin_node *node);
int fanin__lower_value(fanin__lowering *l, int value);
/* A constant or an initialiser's payload as a constant of the ir. */
int fanin__lower_payload(fanin__ir *ir, const fanin_value *value);

/* For rows. Input i, -1 with a failure where there is none. */
int fanin__lower_in(fanin__lowering *l, int i);
bool fanin__lower_has(const fanin__lowering *l, int i);
void fanin__lower_out(fanin__lowering *l, int i, int id); /* ignored where nobody asks for it */
bool fanin__lower_wants_out(const fanin__lowering *l, int i);
int fanin__lower_rank(const fanin__lowering *l, int id);
/* An axis that may count from the end; -1 with a failure. */
int fanin__lower_axis(fanin__lowering *l, int64_t axis, int rank);
int64_t fanin__lower_int(const fanin__lowering *l, const char *attr, int64_t otherwise);
double fanin__lower_float(const fanin__lowering *l, const char *attr, double otherwise);
const char *fanin__lower_string(const fanin__lowering *l, const char *attr, const char *otherwise);
/* Integers from an attribute or, if there is none, from constant input i. Returns how many, -1 if
 * there are neither; fails if the input is not constant. */
int fanin__lower_ints(fanin__lowering *l, const char *attr, int i, int64_t *values, int max);
/* One number that must be known now: attribute, else constant input, else `otherwise`. */
double fanin__lower_number(fanin__lowering *l, const char *attr, int i, double otherwise);
/* Is input i one number that is known now: a constant, or an initialiser's payload? */
bool fanin__lower_known(fanin__lowering *l, int i, double *value);
/* Bit mask of axes, all of them where none are given. */
unsigned fanin__lower_axes(fanin__lowering *l, const char *attr, int i, int rank);
/* f(x), by a primitive of its own where there is one. */
int fanin__lower_activation(fanin__ir *ir, const fanin_activation *act, int x);
/* The type that stands for ONNX's element type `code`; false with a failure. */
bool fanin__lower_type(fanin__lowering *l, int64_t code, fanin_dtype *dtype);
int fanin__lower_fail(fanin__lowering *l, const char *what); /* UNSUPPORTED */

#define FANIN__LOWER(name) void fanin__lower_##name(fanin__lowering *l, int arg);
FANIN__LOWER(function)
FANIN__LOWER(parametric)
FANIN__LOWER(custom)
FANIN__LOWER(prelu)
FANIN__LOWER(shrink)
FANIN__LOWER(clip)
FANIN__LOWER(is_inf)
FANIN__LOWER(binary)
FANIN__LOWER(compare_swapped)
FANIN__LOWER(variadic)
FANIN__LOWER(pow)
FANIN__LOWER(mod)
FANIN__LOWER(where)
FANIN__LOWER(if)
FANIN__LOWER(cast)
FANIN__LOWER(identity)
FANIN__LOWER(dropout)
FANIN__LOWER(alpha_dropout)
FANIN__LOWER(gemm)
FANIN__LOWER(matmul)
FANIN__LOWER(einsum)
FANIN__LOWER(conv)
FANIN__LOWER(conv_transpose)
FANIN__LOWER(pool)
FANIN__LOWER(global_pool)
FANIN__LOWER(batch_norm)
FANIN__LOWER(layer_norm)
FANIN__LOWER(group_norm)
FANIN__LOWER(lrn)
FANIN__LOWER(lp_norm)
FANIN__LOWER(mean_variance)
FANIN__LOWER(recurrent)
FANIN__LOWER(softmax)
FANIN__LOWER(reduce)
FANIN__LOWER(argmax)
FANIN__LOWER(topk)
FANIN__LOWER(cumsum)
FANIN__LOWER(constant)
FANIN__LOWER(constant_of_shape)
FANIN__LOWER(shape)
FANIN__LOWER(reshape)
FANIN__LOWER(flatten)
FANIN__LOWER(transpose)
FANIN__LOWER(squeeze)
FANIN__LOWER(unsqueeze)
FANIN__LOWER(concat)
FANIN__LOWER(split)
FANIN__LOWER(slice)
FANIN__LOWER(gather)
FANIN__LOWER(gather_elements)
FANIN__LOWER(gather_nd)
FANIN__LOWER(scatter_elements)
FANIN__LOWER(scatter_nd)
FANIN__LOWER(one_hot)
FANIN__LOWER(pad)
FANIN__LOWER(expand)
FANIN__LOWER(tile)
FANIN__LOWER(range)
FANIN__LOWER(eye_like)
FANIN__LOWER(trilu)
FANIN__LOWER(depth_to_space)
FANIN__LOWER(resize)
#undef FANIN__LOWER

/* ---- losses ----------------------------------------------------------------------------------- */

typedef enum fanin__loss_kind { /* rows of the table, in order */
                                FANIN__LOSS_CROSS_ENTROPY,
                                FANIN__LOSS_HINGE,
                                FANIN__LOSS_SOFT_CROSS_ENTROPY,
                                FANIN__LOSS_BCE,
                                FANIN__LOSS_MSE,
                                FANIN__LOSS_L1,
                                FANIN__LOSS_HUBER
} fanin__loss_kind;

/* A loss as an operator on the network's first output: a scalar node. Targets that are classes are I64
 * of the output's shape without the last axis; others have the output's shape. */
typedef struct fanin__loss {
    fanin_loss_info info;
    fanin__loss_kind kind;
    double label_smoothing, delta, margin;
    int (*emit)(fanin__ir *ir, int output, int target, const struct fanin__loss *loss);
    /* Its second derivative in each element of the output; NULL: there is none that says anything. */
    int (*second)(fanin__ir *ir, int output, int target, const struct fanin__loss *loss);
} fanin__loss;
/* "huber:delta=1"; ARG. */
fanin_status fanin__loss_parse(const char *text, fanin__loss *loss, fanin_err *err);

#endif
