/* fanin/probe.h - what does happen: the signal of a real network, layer by layer, and a verdict.
 *
 *     fanin_signal_options o = {.batch = 32, .seeds = 3};
 *     fanin_signal *s;
 *     fanin_signal_measure(graph, &init, &o, &s, &err);
 *     for (int i = 0; i < s->layer_count; i++)
 *         printf("%s %g\n", s->layers[i].name, s->layers[i].second_moment);
 *     fanin_signal_destroy(s);
 */
#ifndef FANIN_PROBE_H
#define FANIN_PROBE_H

#include <fanin/data.h>
#include <fanin/engine.h>
#include <fanin/format.h>
#include <fanin/scheme.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FANIN_VERDICT_MAP(X) \
    X(HEALTHY, 0, "healthy") \
    X(VANISHING, 1, "vanishing") /* signal or gradient shrinks from layer to layer */ \
    X(EXPLODING, 2, "exploding") \
    X(SATURATED, 3, "saturated") /* activations sit where their slope is almost 0 */ \
    X(DEAD, 4, "dead")           /* units that no sample switches on */ \
    X(COLLAPSED, 5, "collapsed") /* all samples look alike */ \
    X(SYMMETRIC, 6, "symmetric") /* units that are, and stay, equal */ \
    X(BROKEN, 7, "broken")       /* NaN, infinity, or a loss far from its expectation */

typedef enum fanin_verdict {
#define FANIN_VERDICT_ENUM(id, value, name) FANIN_VERDICT_##id = (value),
    FANIN_VERDICT_MAP(FANIN_VERDICT_ENUM)
#undef FANIN_VERDICT_ENUM
} fanin_verdict;
FANIN_API const char *fanin_verdict_name(fanin_verdict verdict);

/* Limits of the verdict; documented with defaults in fanin_threshold_at. */
typedef struct fanin_thresholds {
    double slope;       /* |log10 per layer| of forward or backward signal: 0.15 */
    double range;       /* decades end to end: 2 */
    double layer;       /* decades of one layer's second moment against its neighbours': 3 */
    double saturated;   /* share of a layer's activations: 0.5 */
    double dead;        /* share of a layer's units: 0.5 */
    double correlation; /* mean correlation between samples: 0.995 */
    double loss;        /* relative distance from the expected loss: 0.2 */
} fanin_thresholds;
FANIN_API fanin_thresholds fanin_thresholds_default(void);
/* "slope" ... by name; false if there is no such threshold. */
FANIN_API bool fanin_threshold_set(fanin_thresholds *thresholds, const char *name, double value);

enum { FANIN_HISTOGRAM_BINS = 41 };

/* One weighted layer, in network order. s is the layer's output before the activation (bias included), h the
 * activation's output; NaN where there is none. Over seeds: geometric means of second_moment, std,
 * grad_norm and weight figures, arithmetic means of the rest. */
typedef struct fanin_layer_signal {
    const char *name; /* of the weight */
    const char *op;
    const char *activation; /* that follows, or NULL */
    int rank;
    int64_t dims[FANIN_MAX_RANK];             /* of s, batch included */
    double mean, std, second_moment, abs_max; /* of s: E s, sqrt Var s, E s^2 */
    double h_mean, h_std;
    double
        saturated; /* share of activations whose slope is below 5 % of the largest; bounded functions */
    double dead; /* share of units with slope 0 for every sample; functions with flat parts */
    double sample_correlation; /* mean over pairs of samples of <s, s'> / (|s| |s'|) */
    double
        grad_norm; /* sqrt(mean over samples of |d own loss / d s|^2), summed over units and positions */
    double grad_std;                    /* root mean square over elements of d own loss / d s */
    double weight_std, weight_grad_std; /* root mean squares of W and of d loss / d W */
    double update_ratio;                /* lr |dW| / |W|; NaN without lr */
    bool symmetric; /* two or more units share weights and gradients, all of them */
    /* Shares by bin over [-range, range] of h (s where there is no activation) and of its gradient. */
    double h_range, h_bins[FANIN_HISTOGRAM_BINS];
    double grad_range, grad_bins[FANIN_HISTOGRAM_BINS];
} fanin_layer_signal;

typedef struct fanin_signal {
    int layer_count;
    fanin_layer_signal *layers;
    double loss, expected_loss;
    double forward_slope,
        backward_slope; /* least-squares log10 per weighted layer from the input, of the
                                             root second moment and of grad_norm */
    fanin_verdict verdict;
    int first_bad; /* layer, -1: none */
    char advice[512];
    size_t memory; /* bytes planned */
    double seconds;
} fanin_signal;

typedef struct fanin_signal_options {
    int64_t batch; /* 0: 32 */
    int seeds;     /* 0: 1 */
    double lr;     /* for update_ratio; 0: none */
    const char
        *loss; /* NULL: as interface.md says: cross_entropy for outputs of rank 2 or 3, else mse */
    const fanin_dataset *data;        /* NULL: N(0,1) inputs, uniform ids, targets by the loss */
    const fanin_array *const *inputs; /* NULL, or input i's array (NULL for those that are drawn) */
    const fanin_weights *weights;     /* used instead of `init` when not NULL */
    fanin_thresholds thresholds;      /* all zero: the defaults */
    fanin_progress progress;
} fanin_signal_options;

/* Runs the graph forward and backward `seeds` times. `init` NULL (and no weights): the values inside the
 * graph. Errors: ARG absent weights or inputs that do not fit; those of fanin_plan_create and
 * fanin_program_create. The graph must outlive the result (names are borrowed). */
FANIN_API fanin_status fanin_signal_measure(const fanin_graph *graph,
                                            const fanin_init_options *init,
                                            const fanin_signal_options *options,
                                            fanin_signal **signal, fanin_err *err);
FANIN_API void fanin_signal_destroy(fanin_signal *signal);

#ifdef __cplusplus
}
#endif
#endif
