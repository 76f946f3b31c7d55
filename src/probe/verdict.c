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
    {"slope", offsetof(fanin_thresholds, slope), 0.15},
    {"range", offsetof(fanin_thresholds, range), 2},
    {"layer", offsetof(fanin_thresholds, layer), 3},
    {"saturated", offsetof(fanin_thresholds, saturated), 0.5},
    {"dead", offsetof(fanin_thresholds, dead), 0.5},
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

/* Least squares over the layers whose figure is finite; NaN below two. */
static double slope(const fanin_signal *s, bool backward) {
    double n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
    for (int i = 0; i < s->layer_count; i++) {
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
static double dead_share(const fanin_layer_signal *l) { return l->dead; }
static double symmetric_share(const fanin_layer_signal *l) { return l->symmetric ? 1 : 0; }

static int first_above(const fanin_signal *s, figure_fn *figure, double limit) {
    for (int i = 0; i < s->layer_count; i++)
        if (figure(&s->layers[i]) > limit) return i;
    return -1;
}

static bool broken(fanin_signal *s, const fanin_thresholds *t) {
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
    if (!isfinite(s->loss) || fabs(s->loss - s->expected_loss) > t->loss * fabs(s->expected_loss)) {
        snprintf(text, sizeof text,
                 "the loss is %.4g where %.4g is expected of these outputs: targets and network do "
                 "not agree",
                 s->loss, s->expected_loss);
        judge(s, FANIN_VERDICT_BROKEN, s->layer_count - 1, text);
        return true;
    }
    return false;
}

/* Shrinking or growing: by slope, end to end, or one layer out of line with the one before it. */
static bool drifts(fanin_signal *s, const fanin_thresholds *t, bool backward) {
    double per_layer = backward ? s->backward_slope : s->forward_slope;
    int n = s->layer_count, worst = -1;
    double jump = 0;
    for (int i = 1; i < n; i++) {
        double step = decades(&s->layers[i], backward) - decades(&s->layers[i - 1], backward);
        bool output = i == n - 1; /* small logits, or a zero output layer, are fine */
        if (isfinite(step) && !output && fabs(step) > fabs(jump)) jump = step, worst = i;
    }
    double range = isfinite(per_layer) ? per_layer * (n - 1) : 0;
    bool bad_layer = 2 * fabs(jump) > t->layer,
         bad_slope = fabs(per_layer) > t->slope && fabs(range) > t->range;
    if (n < 3 || (!bad_layer && !bad_slope && !(fabs(range) > 2 * t->range))) return false;
    /* Forward, the signal shrinks towards the output; backward, the gradient shrinks towards the input. */
    double direction = bad_layer ? jump : per_layer;
    bool shrinks = backward ? direction > 0 : direction < 0;
    char text[400];
    const char *what = backward ? "gradient" : "signal", *towards = backward ? "input" : "output";
    if (bad_layer) {
        snprintf(
            text, sizeof text,
            "layer %s changes the %s by %.1f decades at once: give it the scale of its neighbours, "
            "fanin explain shows its rule",
            s->layers[worst].name, what, jump);
        judge(s, shrinks ? FANIN_VERDICT_VANISHING : FANIN_VERDICT_EXPLODING, worst, text);
        return true;
    }
    const char *act = s->layers[0].activation ? s->layers[0].activation : "no activation";
    bool rectifier = strstr(act, "elu") != NULL;
    snprintf(text, sizeof text,
             "the %s %s by %.2f decades a layer towards the %s (%s follows): weights want std %s; "
             "try --scheme %s",
             what, shrinks ? "shrinks" : "grows", fabs(per_layer), towards, act,
             rectifier ? "sqrt(2 / fan_in)" : "near 1 / sqrt(fan_in)", rectifier ? "he" : "xavier");
    judge(s, shrinks ? FANIN_VERDICT_VANISHING : FANIN_VERDICT_EXPLODING,
          shrinks && !backward ? n - 1 : 0, text);
    return true;
}

static bool collapsed(fanin_signal *s, const fanin_thresholds *t) {
    for (int i = 0; i + 1 < s->layer_count; i++) {
        const fanin_layer_signal *l = &s->layers[i];
        if (!(l->sample_correlation > t->correlation)) continue;
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

void fanin__signal_judge(fanin_signal *s, const fanin_thresholds *t) {
    char text[400];
    s->forward_slope = slope(s, false);
    s->backward_slope = slope(s, true);
    if (broken(s, t)) return;
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
