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

/* Limits of the verdict, with their defaults. The first rule that is broken gives the verdict, in this
 * order:
 *   broken     a value that is no number; or the loss more than `loss` (a share of it) and five of its own
 *              standard deviations away from expected_loss (only above it where given weights are
 *              checked on a data set: they may have been trained)
 *   symmetric  half the units of a hidden layer share weights and gradients with another; where the output
 *              layer is zero, also after that layer's first step. Zeros that close residual branches are left out
 *   dead       the share of a layer's units that no sample switches on exceeds `dead`
 *   saturated  the share of a layer's activations whose slope is below 5 % of the largest (and
 *              that are not just off, as relu6 is below 0) exceeds `saturated`
 *   exploding, vanishing   a layer's weights are out of line: log10 of fan_in * weight_std^2 is 1.5 * `layer` from the
 *              median layer's (the output layer's is `layer` above it, and so is its second moment); small ones are
 *              healthy in the output layer and at the end of a residual branch without norm. Or, in networks without
 *              branches, one layer's second moment (grad_norm squared) is `layer` decades from the one before it
 *              and the layers after it stay there. Or hidden weights are 0 and nothing goes past them. Or the fitted
 *              line of the root second moment, or of grad_norm, over the weighted layers without the output layer
 *              changes by more than `slope` decades a layer and `range` decades end to end; by twice `range`; by
 *              more than 0.5 a layer (a factor 3) over 3 layers and more; or by 0.25 where weights have the variance
 *              that fan_out gives them and most fans differ by 4 and more. Or the outputs' variance exceeds `layer`
 *              decades
 *   collapsed  the mean correlation between samples exceeds `correlation`, and its distance from 1 is less than
 *              a hundredth of what is predicted (0.9999 is too much in any case) */
typedef struct fanin_thresholds {
    double slope;     /* 0.13: ReLU with Xavier loses 0.15 a layer */
    double range;     /* 1.5 */
    double layer;     /* 3 */
    double saturated; /* 0.35: tanh with sigma_w 3 settles at 0.40, hard tanh at N(0,1) at 0.32 */
    double dead; /* 0.55: samples that have become alike leave half the units of a ReLU layer off */
    double correlation; /* 0.995: ReLU with He reaches 0.98 at 40 layers and trains */
    double loss;        /* 0.2 */
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
    const char *activation; /* that follows ("leaky_relu:0.2"), or NULL; owned by the signal */
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
    double fan_in, fan_out; /* fan_in * weight_std^2 is what a second moment is scaled by */
    bool closes;            /* the last weight of a residual branch */
    double update_ratio;    /* lr |dW| / |W|; NaN without lr */
    /* Over seeds: standard deviation of log10 of the figure; NaN for one seed. */
    double second_moment_spread, grad_norm_spread;
    /* Mean over the min(in, out) singular values of diag f'(s) W, the derivative of h in the layer's input at a
     * sample (W alone where no activation reads exactly these units: none follows, or they are pooled or joined
     * with others' first): Glorot and Bengio 2010 saw 0.5 with their standard rule and 0.8 with the normalised
     * one. W of a convolution maps a whole image; a batch norm's scale belongs to f', other
     * norms are passed over. Estimated from random starts at a few samples (dense layers of up to 16 units:
     * exact at 4), with its standard error over them (NaN: one start). NaN where the activation sees the units in
     * another order. */
    double jacobian_mean_sv, jacobian_sv_error;
    /* Largest eigenvalue of the loss's second derivative in this layer's weight alone; NaN unless asked for. */
    double hessian_max;
    bool symmetric; /* two or more units share weights and gradients, all of them */
    /* What the signal rules expect of second_moment, sample_correlation and grad_norm, and the second
     * moment that the scheme aims at; NaN where nothing is predicted. */
    double predicted_second_moment, predicted_correlation, predicted_grad_norm,
        target_second_moment;
    /* Shares by bin over [-range, range] of h (s where there is no activation) and of its gradient. */
    double h_range, h_bins[FANIN_HISTOGRAM_BINS];
    double grad_range, grad_bins[FANIN_HISTOGRAM_BINS];
} fanin_layer_signal;

/* Singular values of the derivative of the first output in the first input (`embedded`: that holds ids, and the
 * derivative is in what is looked up for them, all tokens of a sample together), of the first seed's network:
 * per sample where samples do not meet inside the network, of the whole batch where they do (batch
 * norm). NaN where it was not asked for; `absent` says why. */
typedef struct fanin_jacobian_spectrum {
    double mean, max, min, mean_square; /* over the min(in, out) values of each sample */
    bool embedded;
    bool exact;  /* from dense matrices; otherwise estimated: min from above, max from below */
    int samples; /* that were looked at */
    size_t inputs, outputs; /* numbers in and out, of one sample or of the batch */
    size_t count;           /* of values; 0: no full spectrum */
    double *values;         /* descending, all samples together; owned by the signal */
    /* Theory's density of them, where there is a full spectrum and a plain square stack (Pennington et al. 2017,
     * fanin_jacobian_density): bins over [low, high], of the singular value or,
     * `decades`, of its log10; NULL elsewhere, bins then only say how to draw. Owned. */
    double low, high;
    bool decades;
    size_t bins;
    double *theory;
    const char *
        absent; /* why there is none, a sentence's end ("samples meet in a batch norm"); NULL where there is one */
} fanin_jacobian_spectrum;

/* Second derivative of the loss in all weights, of the first seed's network and batch. */
typedef struct fanin_hessian {
    double max, min; /* extreme eigenvalues (Lanczos), to 5e-4 of the larger modulus */
    /* max by LeCun et al.'s (1998) eq. 64: from gradients at two points, a thousandth of the weights' length apart, one
     * sample at a time; the whole batch each time where one sample is another network (batch norm) or the graph fixes
     * its batch. Kinks between the points (ReLU) count, which are not in max. */
    double online;
    bool online_whole;
    double trace, trace_error; /* Hutchinson's estimate and its standard error */
    double lr_max;             /* 2 / max: gradient descent is stable below */
    int probes;
    const char *absent; /* why the figures are NaN; NULL where they are not */
} fanin_hessian;

/* Empirical neural tangent kernel of `samples` samples: K(x, x') = mean over outputs c of
 * <d f_c(x) / d w, d f_c(x') / d w>. */
typedef struct fanin_tangent_kernel {
    int samples;
    double trace;               /* mean of K(x, x) */
    double max, min, condition; /* of its eigenvalues; infinite when singular */
    double
        alignment; /* of K with the targets' kernel, both centred (Cristianini; Cortes et al. 2012): -1 ... 1 */
    double *kernel; /* samples x samples; owned by the signal */
} fanin_tangent_kernel;

/* A plain stack: dense layers with one activation between them. Its place in the phase diagram, from the
 * measured weights and biases of the layers behind the first and before the output. */
typedef struct fanin_plain_stack {
    bool plain;
    const char *activation; /* borrowed from the signal's layers */
    double sigma_w2, sigma_b2;
    double output_w2; /* sigma_w2 of the output layer */
    double q;         /* measured second moment, geometric mean over the hidden layers */
    int depth;        /* hidden layers */
    bool orthogonal, output_orthogonal,
        square; /* singular values of the weights all alike; widths of all layers within 10 % */
} fanin_plain_stack;

typedef struct fanin_signal {
    int layer_count;
    fanin_layer_signal *layers;
    double loss, expected_loss;
    double loss_error; /* standard deviation of the batch's loss around expected_loss by chance */
    double forward_slope,
        backward_slope; /* least-squares log10 per weighted layer from the input, of the
                                             root second moment and of grad_norm */
    int seeds;
    fanin_jacobian_spectrum jacobian;
    fanin_hessian hessian;       /* probes 0: not asked for */
    fanin_tangent_kernel kernel; /* samples 0: not asked for */
    fanin_plain_stack stack;
    fanin_verdict verdict;
    int first_bad; /* layer, -1: none */
    /* What is wrong and where, one sentence. `repair`: the rule ("fc5.weight=he_normal") that gives the layer that is to
     * blame the scale of the others; "" where not one layer is to blame. */
    char advice[2048], repair[256];
    char unpredicted[512]; /* why the predicted figures are NaN; "" where they are not */
    size_t memory;         /* bytes planned */
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
    /* Without it the input-output Jacobian is measured only where it costs one pass: fewer outputs than
     * samples, samples apart, up to 2 Mi weights. With it: the full spectrum up to 1024 outputs, extremes beyond. */
    bool spectrum;
    bool hessian; /* some 30 products with the Hessian for the whole and for each layer */
    bool kernel; /* one pass and one product a sample (up to 64) and output (up to 10, then 8 random
                     combinations) */
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
