/* signal.h - what a random network does to signals and gradients: a rule for every primitive.
 *
 * Every value is described for infinitely many channels: a channel is a draw from a law, and the law is
 * held as an ensemble of `points` draws of four numbers, the channel's value at the sites
 *     A sample 0, position 0   B sample 0, position 1   C sample 1, position 0   D sample 1, position 1
 * of two samples and two positions picked at random. Elementwise operators act on the points, so that
 * x Phi(x), x + f(x) or a gate keep their dependence. A weighted layer makes a fresh Gaussian ensemble whose
 * covariance between the sites is that of its input times fan and weight variance (Yang 2019, Tensor
 * Programs: a matrix makes Gaussians, a nonlinearity acts on coordinates, a mean over channels is a number).
 *
 * Axes are factored into samples, positions and channels. Along position axes second moments may vary (zero
 * padding, causal masks, a class token): `u` has their ratio to the ensemble's.
 *
 * Gradients, backward: a value's is a sum of items scale d G, G independent of all activations (gradient
 * independence) with second moment `gamma`, `beta` between two positions of one sample, `alpha` and `delta`
 * between two samples (which meet in a batch norm), d a function of the point. Everything is deterministic: draws are stratified, antithetic, and from a fixed stream. */
#ifndef FANIN_SRC_OPERATOR_SIGNAL_H
#define FANIN_SRC_OPERATOR_SIGNAL_H

#include "fanin/random.h"
#include "operator/function.h"

enum { FANIN__SITES = 4, FANIN__FACTORS = 16, FANIN__ITEMS = 4 };
enum { FANIN__SAMPLE = 1, FANIN__POSITION = 2, FANIN__CHANNEL = 4 };

typedef struct fanin__factor {
    int64_t size;
    unsigned role; /* of the above; 0: not known yet (what was broadcast, parameters) */
    bool spread;   /* broadcast: equal along it */
    float *u;      /* second moments relative to the ensemble's; NULL: 1 */
} fanin__factor;

/* Second moments: q of a number, a other sample, b other position, c both other; not centred. */
typedef struct fanin__sites {
    double mean, q, a, b, c;
} fanin__sites;

typedef enum fanin__signal_kind {
    FANIN__NOTHING,
    FANIN__KNOWN, /* a constant tensor of the ir */
    FANIN__PARAM, /* weights: independent entries */
    FANIN__IDS,   /* integers of the caller */
    FANIN__DATA
} fanin__signal_kind;

/* Rows of softmax: the sum of squares of each, and what two rows have in common. */
typedef struct fanin__attention {
    int64_t rows;
    float *squares;
    double overlap;
} fanin__attention;

typedef struct fanin__item {
    int source;
    int origin; /* source whose sum over an axis this is, on its way back through a mean; 0: none */
    double gamma, beta, scale;
    double alpha, delta; /* of two samples, at one position and at two */
    float *d;            /* at every site; NULL: 1 */
    float *u[FANIN__FACTORS];
} fanin__item;

typedef struct fanin__value_signal {
    fanin__signal_kind kind;
    int factor_count;
    fanin__factor factors[FANIN__FACTORS];
    int first[FANIN_MAX_RANK + 1]; /* factors of axis i: first[i] .. first[i + 1] - 1 */
    float *x;                      /* 4 * points */
    fanin__sites m;
    int base; /* node + 1 of the Gaussian that every point is a function of; 0: none */
    double
        sphere; /* of a base that is no Gaussian but uniform on a sphere: its dimensions; 0: Gaussian */
    bool normal; /* the points are that Gaussian, or another with it: a multiple, a sum */
    /* the draws that the points are made of, ascending (-1: not known); values without a common one are
     * independent, and their pair moments need no points */
    const int *draws;
    int draw_count;
    double row, col; /* same row or column of a product of activations; NaN: as b */
    /* What two positions next to each other, and a few apart, have in common beyond any two: b + near (q - b), and
     * as much more than c, at most a. Padding, pools and windows that overlap make it more than 0. */
    double near, mid;
    float *kept;   /* unmasked entries by row of the last two axes; NULL: all */
    float *chosen; /* of a maximum: relative chance that the point is it, at every site */
    fanin__attention *attention;
    int weight;         /* of a PARAM that is a weight times `factor`; -1 */
    double factor, var; /* PARAM: var and m.mean of its entries where weight is -1 */
    int item_count;
    fanin__item items[FANIN__ITEMS];
} fanin__value_signal;

/* How a weight is used, for who chooses its law. `stream`: second moment of what the result is added to next (1
 * where that comes later), or of what an elementwise weight meets; NaN: none. */
typedef struct fanin__weight_use {
    int weight, node;
    bool layer;  /* a product or convolution (else a table, or elementwise) */
    double unit; /* second moment of the result for a weight variance of 1 */
    int input;   /* of a layer: the node it weights */
    double
        common; /* share of `unit` that the input's mean makes: rows that sum to 0 leave it out */
    double stream;
    bool shortcut; /* what it is added to has more layers since they parted */
    int before;    /* of a norm's scale: the weight whose layer it normalises; -1 */
} fanin__weight_use;

/* `centered`: 1 - variance of a row's mean / (var / row length), as fanin_moments has it. */
typedef struct fanin__weight_law {
    double mean, var, centered;
} fanin__weight_law;

typedef struct fanin__signal_options {
    fanin__weight_law (*law)(void *ctx, const fanin__weight_use *use);
    void *ctx;
    double mean, second, correlation; /* of floating inputs; of pixels of two samples */
} fanin__signal_options;

typedef struct fanin__signal {
    const fanin__ir *ir;
    fanin__signal_options options;
    fanin_stream stream;
    int points, count;
    float *quantiles; /* points / 2, positive, ascending */
    fanin__value_signal *values;
    int *last_use, *first_reader, *readers;
    char *live;
    int sources;
    double beside; /* second moment of what an elementwise weight meets; NaN */
    struct fanin__signal_block *blocks;
    fanin_err err;
    bool failed;
    int failed_node;
} fanin__signal;

/* Runs forward to `outputs`. UNSUPPORTED names the primitive that has no rule; failed_node is its node. */
fanin_status fanin__signal_create(const fanin__ir *ir, const int *outputs, int output_count,
                                  const fanin__signal_options *options, fanin__signal *s);
void fanin__signal_fini(fanin__signal *s);
/* Backward from `node`: gradient of each sample's own loss with second moment `gamma` an element. */
fanin_status fanin__signal_backward(fanin__signal *s, int node, double gamma);
/* Over all elements: mean, second moment, correlation of two samples. False if nothing is known. */
bool fanin__signal_read(const fanin__signal *s, int node, fanin__sites *m);
/* Gradient's second moment an element; 0 where none arrives. */
double fanin__signal_gradient(const fanin__signal *s, int node);
/* Second moment an element of the gradient of a sample's own loss with respect to output `node`. */
struct fanin__loss;
double fanin__signal_loss(const fanin__signal *s, int node, const struct fanin__loss *loss);

/* ---- for rules -------------------------------------------------------------------------------- */

void fanin__signal_fail(fanin__signal *s, int node, const char *what);
void *fanin__signal_take(fanin__signal *s, size_t size); /* zeroed; NULL and failed */
const fanin__node *fanin__signal_node(const fanin__signal *s, int node);

/* ensemble */
float *fanin__signal_array(fanin__signal *s, int sites);
/* Gaussian with these moments, independent of what is alive; `key` tells draws apart. */
float *fanin__signal_gaussian(fanin__signal *s, uint32_t key, fanin__sites m);
float *fanin__signal_constant(fanin__signal *s, double value);
fanin__sites fanin__signal_moments(const fanin__signal *s, const float *x);
/* Pair moments of a function of a Gaussian, from its Hermite series: they are free of the draws' noise. */
void fanin__signal_sharpen(const fanin__signal *s, fanin__value_signal *v);
/* x with the contrasts between its sites scaled so that it has moments m about its mean. */
float *fanin__signal_reshape(fanin__signal *s, const float *x, fanin__sites now, fanin__sites m);
/* The points are a fresh Gaussian. */
void fanin__signal_fresh(fanin__signal *s, fanin__value_signal *v, int node);
/* Which draws: one of its own, none, or all of two values'. */
void fanin__signal_drawn(fanin__signal *s, fanin__value_signal *v, int draw);
void fanin__signal_draws_of(fanin__signal *s, fanin__value_signal *v, const fanin__value_signal *a,
                            const fanin__value_signal *b);
bool fanin__signal_independent(const fanin__value_signal *a, const fanin__value_signal *b);
/* Moments of k x. */
fanin__sites fanin__signal_scaled(fanin__sites m, double k);
/* Points in another order (pairs kept), one for each key. */
float *fanin__signal_shuffle(fanin__signal *s, uint32_t key, const float *x);
/* Maximum of `k` positions that are alike, so `near` to each other (see above); *chosen: k times the chance that the
 * point is the largest. under: orders points that are equal, as relu's zeros by what they were; NULL: as they come. */
float *fanin__signal_maximum(fanin__signal *s, uint32_t key, const float *x, const float *under,
                             int k, double near, float *chosen);
/* Sum of squares of softmax over n numbers of variance v. */
double fanin__signal_softmax_squares(const fanin__signal *s, double n, double v);

/* factors */
void fanin__signal_like(fanin__value_signal *v, const fanin__value_signal *x);
void fanin__signal_axes(fanin__value_signal *v, const fanin__node *n); /* one factor an axis */
unsigned fanin__signal_role(const fanin__value_signal *v, int axis);
bool fanin__signal_varies(const fanin__value_signal *v, unsigned role);
double fanin__signal_level(const fanin__value_signal *v); /* product of the means of u */
void fanin__signal_push(fanin__signal *s, fanin__value_signal *v, int axis, int64_t size,
                        unsigned role, float *u);
/* One factor for the axis, its u worked out; roles joined. */
fanin__factor fanin__signal_merged(fanin__signal *s, const fanin__value_signal *v, int axis);
bool fanin__signal_refactor(fanin__signal *s, fanin__value_signal *v,
                            const fanin__value_signal *from, const fanin__node *n);
/* An item's u, as `from` has factors, for the factors of `to`: RESHAPE backward. */
void fanin__signal_carry(fanin__signal *s, const fanin__value_signal *from, const fanin__item *item,
                         const fanin__value_signal *to, fanin__item *out);
double fanin__signal_mean_u(const float *u, int64_t n);
double fanin__signal_mean_root(const float *u, int64_t n); /* of amplitudes */
void fanin__signal_unify(fanin__value_signal *v, const fanin__value_signal *with, int rank);
/* Sites that no longer differ: b = q, c = a where no position is left, and so on. */
void fanin__signal_collapse(const fanin__value_signal *v, fanin__sites *m);
void fanin__signal_settle(fanin__signal *s, fanin__value_signal *v); /* v->m from v->x */

/* laws */
fanin__weight_law fanin__signal_law(fanin__signal *s, int node, const fanin__value_signal *param);
/* Of a weighted layer: see fanin__weight_use. */
fanin__weight_law fanin__signal_layer_law(fanin__signal *s, int node,
                                          const fanin__value_signal *param, int input, double unit,
                                          double common);
/* An operand as an ensemble beside `partner`. */
float *fanin__signal_operand(fanin__signal *s, int node, int operand,
                             const fanin__value_signal *partner);
/* What is known of a constant's elements: `some` there are, all `equal`, all 0 or 1 (`bits`). */
typedef struct fanin__facts {
    double first, low, high;
    bool some, equal, bits;
} fanin__facts;
fanin__facts fanin__signal_facts(const fanin__ir *ir, int node);
bool fanin__signal_uniform(const fanin__ir *ir, int node, double *value);
double fanin__signal_element(const fanin__tensor *t, int64_t at);

/* gradients */
int fanin__signal_source(fanin__signal *s);
void fanin__signal_give(fanin__signal *s, int node, const fanin__item *item);
void fanin__signal_total(const fanin__signal *s, const fanin__item *item, double *gamma,
                         double *beta);
/* Its four second moments; `by` (a value at every site; NULL: 1) times it. */
fanin__sites fanin__signal_pairs(const fanin__signal *s, const fanin__item *item, const float *by);
/* All items of a node as one of a new source: total gamma and beta, mean u; d: NULL. */
fanin__item fanin__signal_merge(fanin__signal *s, int node);

typedef struct fanin__signal_rule {
    void (*forward)(fanin__signal *s, int node);
    void (*backward)(fanin__signal *s, int node); /* NULL: nothing flows */
} fanin__signal_rule;

#define FANIN__SIGNAL_RULE(name) \
    void fanin__forward_##name(fanin__signal *s, int node); \
    void fanin__backward_##name(fanin__signal *s, int node);
FANIN__SIGNAL_RULE(map)
FANIN__SIGNAL_RULE(binary)
FANIN__SIGNAL_RULE(select)
FANIN__SIGNAL_RULE(same)
FANIN__SIGNAL_RULE(broadcast)
FANIN__SIGNAL_RULE(reshape)
FANIN__SIGNAL_RULE(transpose)
FANIN__SIGNAL_RULE(slice)
FANIN__SIGNAL_RULE(pad)
FANIN__SIGNAL_RULE(concat)
FANIN__SIGNAL_RULE(gather)
FANIN__SIGNAL_RULE(reduce)
FANIN__SIGNAL_RULE(matmul)
FANIN__SIGNAL_RULE(conv)
FANIN__SIGNAL_RULE(conv_data)
FANIN__SIGNAL_RULE(maxpool)
FANIN__SIGNAL_RULE(sumpool)
FANIN__SIGNAL_RULE(softmax)
FANIN__SIGNAL_RULE(norm)
#undef FANIN__SIGNAL_RULE

#endif
