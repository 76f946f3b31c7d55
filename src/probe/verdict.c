/* verdict.c - from figures to a word and a sentence. The first test that fails names the verdict; order:
 * broken, symmetric, dead, saturated, exploding, vanishing, collapsed. */
#include <math.h>
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

/* log10 of the root second moment, or of grad_norm, of layer i. */
static double decades(const fanin_layer_signal *l, bool backward) {
    return backward ? log10(l->grad_norm) : 0.5 * log10(l->second_moment);
}

/* Least squares over the first `count` layers whose figure is finite; NaN below two. */
static double slope(const fanin_signal *s, int count, bool backward) {
    double n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
    for (int i = 0; i < count; i++) {
        double y = decades(&s->layers[i], backward);
        if (!isfinite(y)) continue;
        n++;
        sx += i;
        sy += y;
        sxx += (double)i * i;
        sxy += i * y;
    }
    double d = n * sxx - sx * sx;
    return n >= 2 && d > 0 ? (n * sxy - sx * sy) / d : NAN;
}

static void judge(fanin_signal *s, fanin_verdict verdict, int layer, const char *advice) {
    s->verdict = verdict;
    s->first_bad = layer;
    snprintf(s->advice, sizeof s->advice, "%s", advice);
}

typedef double figure_fn(const fanin_layer_signal *l);
static double saturated_share(const fanin_layer_signal *l) { return l->saturated; }
/* Where samples have become alike each unit is off with chance 1/2: of few units, as in a gate's bottleneck, more than
 * half are off by luck. Three standard deviations of that are not held against a layer, unless all are off. */
static double dead_share(const fanin_layer_signal *l) {
    double units = l->rank > 1 ? (double)l->dims[l->rank > 3 ? 1 : l->rank - 1] : 1;
    return l->dead < 1 ? l->dead - 1.5 / sqrt(units) : l->dead;
}
static double symmetric_share(const fanin_layer_signal *l) { return l->symmetric ? 1 : 0; }

static int first_above(const fanin_signal *s, figure_fn *figure, double limit) {
    for (int i = 0; i < s->layer_count; i++)
        if (figure(&s->layers[i]) > limit) return i;
    return -1;
}

static bool broken(fanin_signal *s, const fanin_thresholds *t, bool may_be_trained) {
    char text[400];
    for (int i = 0; i < s->layer_count; i++) {
        const fanin_layer_signal *l = &s->layers[i];
        if (!isnan(l->second_moment) && isfinite(l->second_moment) && isfinite(l->weight_std))
            continue;
        snprintf(text, sizeof text,
                 "layer %s gives values that are not numbers: look at its weights and inputs with "
                 "fanin show",
                 l->name);
        judge(s, FANIN_VERDICT_BROKEN, i, text);
        return true;
    }
    double off = s->loss - s->expected_loss;
    if (may_be_trained && off < 0) off = 0;
    if (!isfinite(s->loss) ||
        (fabs(off) > t->loss * fabs(s->expected_loss) && fabs(off) > 5 * s->loss_error)) {
        snprintf(text, sizeof text,
                 "the loss is %.4g where %.4g is expected of these outputs: targets and network do "
                 "not agree",
                 s->loss, s->expected_loss);
        judge(s, FANIN_VERDICT_BROKEN, s->layer_count - 1, text);
        return true;
    }
    return false;
}

/* A factor 2.5 a layer is too much in any network of this many layers. */
static const double steep = 0.4;
enum { STEEP_LAYERS = 3 };

static void judge_jump(fanin_signal *s, int layer, double jump, bool backward) {
    char text[400];
    bool shrinks = backward ? jump > 0 : jump < 0;
    snprintf(
        text, sizeof text,
        "layer %s %s the %s %.3g times at once: give it the scale of its neighbours; fanin explain "
        "shows its rule, --rule '%s=he_normal' draws it anew",
        s->layers[layer].name, shrinks ? "shrinks" : "multiplies", backward ? "gradient" : "signal",
        pow(10, fabs(jump)), s->layers[layer].name);
    judge(s, shrinks ? FANIN_VERDICT_VANISHING : FANIN_VERDICT_EXPLODING, layer, text);
}

/* What to try against a drift, by the activation that most layers have. */
static const char *remedy(const fanin_signal *s, bool *rectifier) {
    int rectifiers = 0, sigmoids = 0, none = 0;
    for (int i = 0; i < s->layer_count; i++) {
        const char *a = s->layers[i].activation;
        if (!a)
            none++;
        else if (strstr(a, "elu") || strstr(a, "silu") || strstr(a, "swish"))
            rectifiers++;
        else if (strstr(a, "sigmoid"))
            sigmoids++;
    }
    *rectifier = 2 * rectifiers > s->layer_count - none;
    if (*rectifier) return "--scheme he";
    return sigmoids > 0 ? "tanh instead of the sigmoid, or --scheme lecun_normal:gain=4"
                        : "--scheme xavier";
}

static void judge_drift(fanin_signal *s, double per_layer, bool backward) {
    char text[400];
    bool rectifier, shrinks = backward ? per_layer > 0 : per_layer < 0;
    const char *try = remedy(s, &rectifier);
    int first = backward ? 0 : s->layer_count - 1;
    snprintf(
        text, sizeof text,
        "the %s %s by %.2f decades a layer towards the %s and is worst at %s: the weights are too "
        "%s, or a residual sum grows without norm; try %s",
        backward ? "gradient" : "signal", shrinks ? "shrinks" : "grows", fabs(per_layer),
        backward ? "input" : "output", s->layers[first].name, shrinks ? "small" : "large", try);
    judge(s, shrinks ? FANIN_VERDICT_VANISHING : FANIN_VERDICT_EXPLODING, first, text);
}

/* Mean level of layers from <= i < to whose figure is finite. */
static double level(const fanin_signal *s, int from, int to, bool backward) {
    double sum = 0;
    int n = 0;
    for (int i = from; i < to; i++) {
        double d = decades(&s->layers[i], backward);
        if (isfinite(d)) sum += d, n++;
    }
    return n ? sum / n : NAN;
}

/* The layer that changes the signal most at once, if what comes after stays at the new level. A branch that is
 * small before a norm, as attention's output is, changes nothing for good. */
static int find_jump(const fanin_signal *s, int hidden, const fanin_thresholds *t, bool backward,
                     double *jump) {
    int worst = -1;
    *jump = 0;
    for (int i = 1; i < hidden; i++) {
        double step = decades(&s->layers[i], backward) - decades(&s->layers[i - 1], backward);
        double lasting = level(s, i, hidden, backward) - level(s, 0, i, backward);
        if (!isfinite(step) || !(2 * fabs(step) > t->layer) || !(fabs(step) > fabs(*jump)))
            continue;
        if (step * lasting > 0 && fabs(lasting) > 0.5 * fabs(step)) *jump = step, worst = i;
    }
    return worst;
}

/* Shrinking or growing: one layer out of line with the one before it, or all of them. The output layer is
 * left out. Forward, a signal shrinks towards the output; backward, a gradient shrinks towards the input. */
static bool drifts(fanin_signal *s, const fanin_thresholds *t, bool backward) {
    int hidden = s->layer_count - 1;
    double jump;
    int worst = find_jump(s, hidden, t, backward, &jump);
    if (worst >= 0) {
        judge_jump(s, worst, jump, backward);
        return true;
    }
    double per_layer = slope(s, hidden, backward), size = fabs(per_layer);
    double range = isfinite(per_layer) ? size * (hidden - 1) : 0;
    if (!(size > t->slope && range > t->range) && !(range > 2 * t->range) &&
        !(size > steep && hidden >= STEEP_LAYERS))
        return false;
    judge_drift(s, per_layer, backward);
    return true;
}

/* Half as far from 1 as predicted, and never below the threshold; beyond 0.9999 nothing is left of the inputs,
 * predicted or not. */
static double correlation_limit(const fanin_layer_signal *l, double threshold) {
    double predicted = l->predicted_correlation, limit = 0.5 * (1 + predicted);
    if (!isfinite(predicted)) return threshold;
    return fmax(fmin(limit, 0.9999), threshold);
}

static bool alike(const fanin_layer_signal *l, const fanin_thresholds *t) {
    return l->sample_correlation > correlation_limit(l, t->correlation);
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
        char text[400];
        snprintf(text, sizeof text,
                 "at layer %s all samples look alike (correlation %.4f): less depth, a residual "
                 "path or norm, "
                 "or weights nearer the edge of chaos",
                 l->name, l->sample_correlation);
        judge(s, FANIN_VERDICT_COLLAPSED, i, text);
        return true;
    }
    return false;
}

void fanin__signal_judge(fanin_signal *s, const fanin_thresholds *t, bool may_be_trained) {
    char text[400];
    s->forward_slope = slope(s, s->layer_count, false);
    s->backward_slope = slope(s, s->layer_count, true);
    if (broken(s, t, may_be_trained)) return;
    int at = first_above(s, symmetric_share, 0.5);
    if (at >= 0) {
        snprintf(text, sizeof text,
                 "units of layer %s have equal weights and equal gradients and will stay equal: "
                 "draw them at "
                 "random, --rule '%s=xavier_uniform'",
                 s->layers[at].name, s->layers[at].name);
        judge(s, FANIN_VERDICT_SYMMETRIC, at, text);
        return;
    }
    if ((at = first_above(s, dead_share, t->dead)) >= 0) {
        snprintf(
            text, sizeof text,
            "%.0f %% of the units of layer %s are off for every sample: check its bias, --rule "
            "'*bias=zeros', and use he weights",
            100 * s->layers[at].dead, s->layers[at].name);
        judge(s, FANIN_VERDICT_DEAD, at, text);
        return;
    }
    if ((at = first_above(s, saturated_share, t->saturated)) >= 0) {
        snprintf(
            text, sizeof text,
            "%.0f %% of the activations of layer %s are saturated: smaller weights there, --rule "
            "'%s=xavier_uniform'",
            100 * s->layers[at].saturated, s->layers[at].name, s->layers[at].name);
        judge(s, FANIN_VERDICT_SATURATED, at, text);
        return;
    }
    if (drifts(s, t, false) || drifts(s, t, true) || collapsed(s, t)) return;
    judge(s, FANIN_VERDICT_HEALTHY, -1, "signal and gradient flow through every layer");
}
