/* fanin/engine.h - plan a graph once, run it many times, forward and backward.
 *
 * A program is a graph bound to shapes, a precision and a loss: its operators are lowered to
 * primitives, gradients are appended as primitives, memory is planned, then every run fills the
 * same buffers. Weights live inside the program; so do their gradients.
 *
 *     fanin_program_options o = {.batch = 10, .loss = "cross_entropy", .gradients = true};
 *     fanin_program *p;
 *     fanin_program_create(graph, &o, &p, &err);
 *     fanin_buffer w = fanin_program_weight(p, 0);            // fill w.data
 *     // fill fanin_program_input(p, 0).data and fanin_program_target(p).data
 *     fanin_program_run(p, &err);
 *     printf("%g\n", fanin_program_loss(p));
 */
#ifndef FANIN_ENGINE_H
#define FANIN_ENGINE_H

#include <fanin/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fanin_program fanin_program;

typedef struct fanin_program_options {
    int64_t batch; /* replaces symbolic leading dims; 0: 1 */
    /* FANIN_F32 (default when 0); FANIN_F64: the reference kernels throughout; FANIN_BF16: F32, but matrix
     * products and convolutions, forward and backward, take operands rounded to bfloat16 and add up in
     * float32. Weights, gradients and all else stay F32; buffers too. The same law on every processor. */
    fanin_dtype dtype;
    bool eval;        /* false: training mode (batch statistics, dropout active) */
    const char *loss; /* NULL: no loss; "cross_entropy", "huber:delta=1" ...: fanin_loss_find */
    bool gradients;   /* of the loss with respect to every floating weight */
    bool input_gradients;
    bool curvature; /* the product of the loss's Hessian with a direction, see below; it needs
                       gradients, and twice differentiable operators (at a kink: one side) */
    const char *curvature_of; /* NULL, or a weight's name: direction and product are of it alone */
    /* Diagonal of the loss's Gauss-Newton matrix by LeCun's recursion (1998, section 7.4) instead of
     * H v, see fanin_program_curvature; needs gradients. */
    bool diagonal;
    bool cotangent; /* gradients are those of <output 0, u>, the products u'J, instead of a loss's;
                         see fanin_program_cotangent */
    bool input_tangent, weight_tangent; /* derivative of output 0 along a direction in the inputs,
                         in the weights; see fanin_program_tangent. Twice differentiable operators */
    const char
        *inner; /* NULL, or the name of a value inside the graph: input_gradients and input_tangent
                         are those in it instead of the inputs (of embedded tokens, say) */
    bool repeats;   /* fanin_program_repeat may be called: costs memory */
    bool reference; /* plain kernels only: the oracle of the fast ones */
    bool descend;   /* fanin_program_run also takes a step of plain gradient descent for the weights
                       that allow it; see fanin_program_descends. F32 */
    bool keep_values; /* keep every value of the graph readable after a run (probes) */
    /* Or these values only (indices in the graph; NULL: none), and their gradients. All else is planned as without,
     * which is faster; images may then lie in channels-last order: fanin_program_value_channels_last. */
    const int *keep;
    int keep_count;
    const int64_t
        *input_dims[8]; /* NULL, or the full dims of input i (for symbolic dims other than batch) */
    uint64_t seed;      /* of dropout masks */
    double
        activity_l1; /* lambda: the loss gets + lambda times the mean over the batch of sum |h|, h the
                           outputs of all activations; 0: nothing */
    int64_t replicas;    /* 0: one network. R: R networks side by side, see below */
    bool replica_inputs; /* inputs and target of each replica's own; false: all see the same */
} fanin_program_options;

/* Replicas. With options.replicas = R a program is R networks of the same graph, each with its own weights:
 * thousands of small networks advance together at a fraction of the price of one at a time. Weights, statistics,
 * gradients, outputs, losses (and inputs and target, if replica_inputs) have an axis of R in front. Replica r is what a program
 * without replicas of seed `seed + r` is, up to rounding (1e-5 over tens of steps of smooth training), and
 * has the same bits whatever R and the number of threads. Dense networks in any precision: every elementwise
 * function, norm, dropout, matrix product and loss; UNSUPPORTED for convolutions, windows and embeddings. */

/* A view into the program's memory; lives until the program is destroyed. Row-major, of the
 * program's dtype (F32 for BF16) unless said (I64 for integer tensors). */
typedef struct fanin_buffer {
    void *data; /* NULL: there is none */
    size_t count;
    fanin_dtype dtype;
    int rank;
    int64_t dims[FANIN_MAX_RANK];
} fanin_buffer;

/* Errors: UNSUPPORTED names node, operator and opset; SHAPE names node and shapes; NOMEM, BACKEND.
 * The graph must outlive the program. */
FANIN_API fanin_status fanin_program_create(const fanin_graph *graph,
                                            const fanin_program_options *options,
                                            fanin_program **program, fanin_err *err);
FANIN_API void fanin_program_destroy(fanin_program *program);
/* The graph that it was made of. */
FANIN_API const fanin_graph *fanin_program_graph(const fanin_program *program);

/* Weights: the floating initialisers that the graph's outputs depend on, in file order. Values that
 * the file holds are copied in at creation, others start as 0 and count as absent. */
FANIN_API int fanin_program_weight_count(const fanin_program *program);
FANIN_API const char *fanin_program_weight_name(const fanin_program *program, int i);
FANIN_API int fanin_program_weight_value(const fanin_program *program,
                                         int i); /* index in the graph */
FANIN_API fanin_buffer fanin_program_weight(const fanin_program *program, int i);
FANIN_API fanin_buffer fanin_program_gradient(const fanin_program *program, int i); /* data NULL for
    what gets no gradient: running statistics, constants */
/* With options.descend: true if every run ends with W -= rate dL/dW for weight i, done by the product
 * that makes the gradient, so that a large layer's gradient is neither stored nor read again. It is
 * so for matrices whose gradient is one product and that nothing reads later (dense layers, untied);
 * fanin_program_gradient has no data for them. The other weights are the caller's to update, which an
 * optimiser "sgd" of the same rate does. Equal to the separate update up to rounding. A run whose loss is
 * not finite leaves the weights as they were. */
FANIN_API bool fanin_program_descends(const fanin_program *program, int i);
FANIN_API void fanin_program_set_rate(fanin_program *program, double rate); /* 0 at first */
/* With options.curvature: fill the direction v (as weight i; 0 at first), and after a run read the
 * share of weight i in H v, H being the second derivative of the loss in all weights that have a
 * gradient. Exact: the gradient's own graph is differentiated, nothing is approximated.
 * With options.diagonal: no direction, and curvature is the diagonal of the Gauss-Newton matrix, off-diagonal elements
 * left out layer by layer. UNSUPPORTED through norms, softmax, attention and gates, and for l1 and hinge. */
FANIN_API fanin_buffer fanin_program_direction(const fanin_program *program, int i);
FANIN_API fanin_buffer fanin_program_curvature(const fanin_program *program, int i);
/* With options.cotangent: u, of the shape of output 0 (0 at first). After a run fanin_program_gradient,
 * _input_gradient and _value_gradient hold u'J, J the derivative of output 0: the VJP. No loss. */
FANIN_API fanin_buffer fanin_program_cotangent(const fanin_program *program);
/* With options.input_tangent or .weight_tangent: fill the direction t in the inputs
 * (_input_direction, as input i), in the weights (_direction, as weight i; not running statistics) or
 * both (0 at first); after a run _tangent, of the shape of output 0, holds J t: the JVP, as the VJP
 * of the VJP. Exact. */
FANIN_API fanin_buffer fanin_program_input_direction(const fanin_program *program, int i);
/* With options.inner, in place of _input_gradient and _input_direction. */
FANIN_API fanin_buffer fanin_program_inner_gradient(const fanin_program *program);
FANIN_API fanin_buffer fanin_program_inner_direction(const fanin_program *program);
FANIN_API fanin_buffer fanin_program_tangent(const fanin_program *program);
FANIN_API bool fanin_program_weight_present(const fanin_program *program, int i);
/* Running statistics (and other weights that training updates without gradients) after a run in
 * training mode: new value of weight i, data NULL if it is not one. */
FANIN_API fanin_buffer fanin_program_statistic(const fanin_program *program, int i);

/* Inputs of the graph in its order, to be filled before a run; their gradients where options ask for them, else data
 * NULL; and the target that the loss compares with. */
FANIN_API int fanin_program_input_count(const fanin_program *program);
FANIN_API fanin_buffer fanin_program_input(const fanin_program *program, int i);
FANIN_API fanin_buffer fanin_program_input_gradient(const fanin_program *program, int i);
FANIN_API fanin_buffer fanin_program_target(const fanin_program *program);
/* How many classes the targets may name; 0: they are real. */
FANIN_API int fanin_program_classes(const fanin_program *program);
FANIN_API fanin_buffer fanin_program_output(const fanin_program *program, int i);
/* Any value of the graph by index (options.keep_values, options.keep), and d loss / d value. */
FANIN_API fanin_buffer fanin_program_value(const fanin_program *program, int value);
FANIN_API fanin_buffer fanin_program_value_gradient(const fanin_program *program, int value);
/* With options.keep: does value N x C x ... lie in memory as N x ... x C (while its dims stay as they are)? Its
 * gradient may lie otherwise, and is for figures that do not ask for an order. */
FANIN_API bool fanin_program_value_channels_last(const fanin_program *program, int value);

/* One pass: forward, and backward where gradients were asked for. Same bits for the same buffers
 * and thread count. NUMERIC is never returned: look at the loss. */
FANIN_API fanin_status fanin_program_run(fanin_program *program, fanin_err *err);
/* With options.repeats, after a run: once more where nothing has changed but directions and the cotangent. What does
 * not depend on them (the network's own pass, its dropout masks) is as that run left it. Same bits as a run. */
FANIN_API fanin_status fanin_program_repeat(fanin_program *program, fanin_err *err);
/* The number of the next run, 0 at first: dropout masks are a function of (seed, run). Training sets it
 * to the step, so that a run that was resumed draws the same masks. */
FANIN_API void fanin_program_set_run(fanin_program *program, uint64_t run);
FANIN_API double fanin_program_loss(const fanin_program *program); /* mean over replicas */
/* One a replica (a single number without replicas). */
FANIN_API fanin_buffer fanin_program_losses(const fanin_program *program);
/* Bytes planned for activations and gradients, and for weights. */
FANIN_API size_t fanin_program_memory(const fanin_program *program);

/* ---- losses ------------------------------------------------------------------------------------ */

/* What a loss compares the first output with. */
typedef enum fanin_target {
    FANIN_TARGET_CLASS, /* I64, one a row: the last axis of the output counts classes. hinge of an
                                  output with one column: classes 0 and 1 */
    FANIN_TARGET_REAL,  /* the output's shape */
    FANIN_TARGET_SHARE, /* likewise, each in [0, 1] */
    FANIN_TARGET_DISTRIBUTION, /* likewise, each row sums to 1 */
} fanin_target;

/* Means are over all positions (cross entropies: rows), natural logarithms. Values and gradients are those of
 * torch's cross_entropy, multi_margin_loss, binary_cross_entropy_with_logits, mse_loss, l1_loss, huber_loss. */
typedef struct fanin_loss_info {
    const char *name, *options, *formula;
    fanin_target target;
} fanin_loss_info;
FANIN_API int fanin_loss_count(void);
FANIN_API fanin_loss_info fanin_loss_at(int i);
/* Reads "cross_entropy:label_smoothing=0.1". ARG: an unknown loss, option or value. */
FANIN_API fanin_status fanin_loss_find(const char *text, fanin_loss_info *info, fanin_err *err);

/* ---- the table of operators ------------------------------------------------------------------- */

typedef struct fanin_operator_info {
    const char *name, *domain; /* "Conv", "" for ONNX's own */
    const char *kind;          /* "activation", "normalisation", "shape" ... */
} fanin_operator_info;
/* Rows 0 ... count - 1, texts static; beyond them all is 0. */
FANIN_API int fanin_operator_count(void);
FANIN_API fanin_operator_info fanin_operator_at(int i);

#ifdef __cplusplus
}
#endif
#endif
