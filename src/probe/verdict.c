/* verdict.c - from figures to a word and a sentence. The first test that fails names the verdict; order:
 * broken, symmetric, dead, saturated, exploding, vanishing, collapsed. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "probe/signal.h"

static const struct {
    const char *name;
    size_t offset;
    double otherwise;
} thresholds[] = {
    {"slope", offsetof(fanin_thresholds, slope), 0.13},
    {"range", offsetof(fanin_thresholds, range), 1.5},
    {"layer", offsetof(fanin_thresholds, layer), 3},
    {"saturated", offsetof(fanin_thresholds, saturated), 0.35},
    {"dead", offsetof(fanin_thresholds, dead), 0.55},
    {"correlation", offsetof(fanin_thresholds, correlation), 0.995},
    {"loss", offsetof(fanin_thresholds, loss), 0.2},
};

bool fanin_threshold_set(fanin_thresholds *t, const char *name, double value) {
    for (size_t i = 0; i < FANIN_COUNT(thresholds); i++) {
        if (strcmp(thresholds[i].name, name) != 0) continue;
        *(double *)((char *)t + thresholds[i].offset) = value;
        return true;
    }
    return false;
}

fanin_thresholds fanin_thresholds_default(void) {
    fanin_thresholds t = {0};
    for (size_t i = 0; i < FANIN_COUNT(thresholds); i++)
        fanin_threshold_set(&t, thresholds[i].name, thresholds[i].otherwise);
    return t;
}

void fanin__signal_say(fanin_signal *s, fanin_verdict verdict, int layer, const char *format, ...) {
    va_list args;
    s->verdict = verdict;
    s->first_bad = layer;
    s->repair[0] = '\0';
    va_start(args, format);
    vsnprintf(s->advice, sizeof s->advice, format, args);
    va_end(args);
}

/* ---- one layer alone -------------------------------------------------------------------------------- */

typedef double figure_fn(const fanin_layer_signal *l);
static double saturated_share(const fanin_layer_signal *l) { return l->saturated; }
/* Zeros that close residual branches (Fixup) wait for the first steps of the other layers, in which a network of zeros
 * shows its symmetry: neither units that are equal nor padded channels that are off are theirs. */
static bool waits(const fanin_layer_signal *l) { return l->closes && l->weight_std == 0; }
/* Where samples have become alike each unit is off with chance 1/2: of few units, as in a gate's bottleneck, more than
 * half are off by luck. Three standard deviations of that are not held against a layer, unless all are off. */
static double dead_share(const fanin_layer_signal *l) {
    double units = l->rank > 1 ? (double)l->dims[l->rank > 3 ? 1 : l->rank - 1] : 1;
    if (waits(l)) return 0;
    return l->dead < 1 ? l->dead - 1.5 / sqrt(units) : l->dead;
}
static double symmetric_share(const fanin_layer_signal *l) {
    return l->symmetric && !waits(l) ? 1 : 0;
}

/* The first of `count` layers. */
static int first_above(const fanin_signal *s, int count, figure_fn *figure, double limit) {
    for (int i = 0; i < count; i++)
        if (figure(&s->layers[i]) > limit) return i;
    return -1;
}

static bool broken(fanin_signal *s, const fanin_thresholds *t, bool may_be_trained) {
    for (int i = 0; i < s->layer_count; i++) {
        const fanin_layer_signal *l = &s->layers[i];
        bool weights = isfinite(l->weight_std);
        if (weights && isfinite(l->second_moment)) continue;
        fanin__signal_say(s, FANIN_VERDICT_BROKEN, i,
                          weights
                              ? "layer %s gives values that are not numbers: its inputs hold some, "
                                "or are too large"
                              : "layer %s has weights that are not numbers, or too large",
                          l->name);
        return true;
    }
    double off = s->loss - s->expected_loss;
    if (may_be_trained && off < 0) off = 0;
    if (isfinite(s->loss) &&
        !(fabs(off) > t->loss * fabs(s->expected_loss) && fabs(off) > 5 * s->loss_error))
        return false;
    fanin__signal_say(
        s, FANIN_VERDICT_BROKEN, s->layer_count - 1,
        "the loss is %.4g where %.4g is expected of these outputs: targets and network "
        "do not agree",
        s->loss, s->expected_loss);
    return true;
}

/* Classes that no sample has get equal gradients, and others do not: the output layer's units are never held equal. */
static bool symmetric(fanin_signal *s) {
    int at = first_above(s, s->layer_count - 1, symmetric_share, 0.5);
    if (at < 0) return false;
    fanin__signal_say(
        s, FANIN_VERDICT_SYMMETRIC, at,
        "units of layer %s have equal weights and equal gradients and will stay equal: "
        "weights have to be drawn at random",
        s->layers[at].name);
    return true;
}

static bool dead(fanin_signal *s, const fanin_thresholds *t) {
    int at = first_above(s, s->layer_count, dead_share, t->dead);
    if (at < 0) return false;
    const fanin_layer_signal *l = &s->layers[at];
    const char *why = l->mean < -0.5 * l->std ? "its biases are too low"
                                              : "its samples are alike, or its biases too low";
    fanin__signal_say(
        s, FANIN_VERDICT_DEAD, at,
        "%.0f %% of the units of layer %s are off for every sample: %s (outputs before "
        "the activation have mean %.2g, deviation %.2g)",
        100 * l->dead, l->name, why, l->mean, l->std);
    return true;
}

static bool saturated(fanin_signal *s, const fanin_thresholds *t) {
    int at = first_above(s, s->layer_count, saturated_share, t->saturated);
    if (at < 0) return false;
    const fanin_layer_signal *l = &s->layers[at];
    const char *why = fabs(l->mean) > l->std ? "its biases are too large"
                                             : "its weights or its inputs are too large";
    fanin__signal_say(
        s, FANIN_VERDICT_SATURATED, at,
        "%.0f %% of the activations of layer %s are saturated: %s (outputs before the "
        "activation have mean %.2g, deviation %.2g)",
        100 * l->saturated, l->name, why, l->mean, l->std);
    return true;
}

/* ---- samples that look alike ------------------------------------------------------------------------ */

/* A hundred times nearer to 1 than predicted: deep networks of 64 units stray from the prediction by a factor of 25. Never
 * below the threshold; beyond 0.9999 nothing is left of the inputs, predicted or not. */
static double correlation_limit(const fanin_layer_signal *l, double threshold) {
    double limit = 1 - (1 - l->predicted_correlation) / 100;
    if (!isfinite(limit)) return threshold;
    return fmax(fmin(limit, 0.9999), threshold);
}

static bool alike(const fanin_layer_signal *l, const fanin_thresholds *t) {
    bool none = l->second_moment == 0 && l->weight_std > 0; /* of nothing but zeros */
    return none || l->sample_correlation > correlation_limit(l, t->correlation);
}

/* Samples that differ again behind a layer did so beside it: a gate's bottleneck sees means over an image, alike for
 * all images, and is no path that the signal has to take. */
static bool differ_behind(const fanin_signal *s, int layer, const fanin_thresholds *t) {
    for (int i = layer + 1; i + 1 < s->layer_count; i++)
        if (!alike(&s->layers[i], t)) return true;
    return false;
}

static bool collapsed(fanin_signal *s, const fanin_thresholds *t) {
    for (int i = 0; i + 1 < s->layer_count; i++) {
        const fanin_layer_signal *l = &s->layers[i];
        if (!alike(l, t) || differ_behind(s, i, t)) continue;
        if (fanin__blame_outlier(s, t, FANIN_VERDICT_COLLAPSED)) return true;
        fanin__signal_say(
            s, FANIN_VERDICT_COLLAPSED, i,
            "at layer %s all samples look alike (correlation %.4f): the inputs do, or "
            "small weights beside biases and depth make them so",
            l->name, l->second_moment > 0 ? l->sample_correlation : 1);
        return true;
    }
    return false;
}

void fanin__signal_judge(fanin_signal *s, const fanin_thresholds *t,
                         const fanin__circumstances *known) {
    s->forward_slope = fanin__slope(s, 0, s->layer_count, false);
    s->backward_slope = fanin__slope(s, 0, s->layer_count, true);
    if (broken(s, t, known->may_be_trained) || symmetric(s) || dead(s, t) || saturated(s, t) ||
        fanin__judge_drift(s, t, known) || collapsed(s, t))
        return;
    fanin__signal_say(s, FANIN_VERDICT_HEALTHY, -1, "signal and gradient flow through every layer");
}
