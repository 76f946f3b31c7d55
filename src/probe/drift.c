/* drift.c - a signal that shrinks or grows: by one layer, or by all of them.
 *
 * One layer is out of line when its weights are: fan_in times their mean square is the factor by which it
 * scales a second moment, whatever stands before and behind it. The order of layers says less, since a list
 * of them is a path only in networks without branches. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "probe/signal.h"
#include "scheme/classify.h"

fanin_status fanin__find_fans(const fanin_graph *g, const fanin__layer *layers, fanin_signal *s,
                              fanin__circumstances *known, fanin_err *err) {
    fanin_tensors *tensors;
    FANIN_TRY(fanin_tensors_create(g, NULL, &tensors, err));
    known->residual = tensors->residuals > 0;
    for (int i = 0; i < s->layer_count; i++) {
        s->layers[i].fan_in = s->layers[i].fan_out = NAN;
        for (int k = 0; k < tensors->count; k++) {
            const fanin_tensor_info *info = &tensors->items[k];
            if (info->value != layers[i].weight) continue;
            s->layers[i].fan_in = info->tensor.fan_in;
            s->layers[i].fan_out = info->tensor.fan_out;
            s->layers[i].closes = info->closes;
        }
    }
    fanin_tensors_destroy(tensors);
    return FANIN_OK;
}

/* log10 of the root second moment, or of grad_norm, of layer i. */
static double decades(const fanin_layer_signal *l, bool backward) {
    return backward ? log10(l->grad_norm) : 0.5 * log10(l->second_moment);
}

double fanin__slope(const fanin_signal *s, int from, int to, bool backward) {
    double n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
    for (int i = from; i < to; i++) {
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

/* ---- one layer -------------------------------------------------------------------------------------- */

enum { STEEP_LAYERS = 3 };

/* log10 of the factor by which the weights scale a second moment; not finite for zeros. */
static double gain(const fanin_layer_signal *l) {
    return log10(l->fan_in * l->weight_std * l->weight_std);
}

/* What most layers have: the median. In networks of few layers, and as one more voice in all, a factor of 1. */
static double usual_gain(const fanin_signal *s) {
    int n = s->layer_count;
    if (n <= STEEP_LAYERS) return 0;
    for (int i = 0; i <= n; i++) {
        double candidate = i < n ? gain(&s->layers[i]) : 0;
        int above = candidate < 0 ? 1 : 0, below = candidate > 0 ? 1 : 0, count = 1;
        for (int k = 0; k < n; k++) {
            double g = gain(&s->layers[k]);
            count += isfinite(g);
            above += isfinite(g) && g > candidate;
            below += isfinite(g) && g < candidate;
        }
        if (isfinite(candidate) && 2 * above <= count && 2 * below <= count) return candidate;
    }
    return 0;
}

/* He's factor of 2 or LeCun's of 1 by name where that is what the others have. */
void fanin__repair_layer(fanin_signal *s, int i) {
    double usual = usual_gain(s), factor = pow(10, usual);
    const char *name = s->layers[i].name;
    if (strchr(name, '=')) return; /* would end the pattern */
    if (fabs(usual - log10(2)) < 0.15 || s->layer_count <= STEEP_LAYERS)
        snprintf(s->repair, sizeof s->repair, "%s=he_normal", name);
    else if (fabs(usual) < 0.15)
        snprintf(s->repair, sizeof s->repair, "%s=lecun_normal", name);
    else
        snprintf(s->repair, sizeof s->repair, "%s=lecun_normal:gain=%.2g", name, sqrt(factor));
}

/* log10 of the gradient beside the weights: a norm that hides a layer's scale from the signal shows it here. */
static double pull(const fanin_layer_signal *l) {
    return log10(l->weight_grad_std) - log10(l->weight_std);
}

static double usual_pull(const fanin_signal *s) {
    double sum = 0;
    int n = 0;
    for (int i = 0; i < s->layer_count; i++)
        if (isfinite(pull(&s->layers[i]))) sum += pull(&s->layers[i]), n++;
    return n ? sum / n : NAN;
}

/* Whether weights this far (in decades) from the usual are meant: a small output layer, and a small end of a residual
 * branch unless a norm makes its output as large as any other's. */
static bool is_meant(const fanin_signal *s, int i, double off) {
    if (off > 0) return false;
    if (i == s->layer_count - 1) return true;
    return s->layers[i].closes && !(pull(&s->layers[i]) - usual_pull(s) > -0.65 * off);
}

/* The layer whose weights are most out of line. A layer needs half as much again as the signal does, since the fans of
 * depthwise convolutions and of wide layers make gains differ; an output layer shows what it does in the output. In a
 * network that is `sick` in any case no scale is meant. */
static int find_outlier(const fanin_signal *s, const fanin_thresholds *t, bool sick, double *off) {
    double usual = usual_gain(s);
    int worst = -1, last = s->layer_count - 1;
    *off = 0;
    for (int i = 0; i <= last; i++) {
        const fanin_layer_signal *l = &s->layers[i];
        double d = gain(l) - usual;
        bool loud = i == last && log10(l->second_moment) > t->layer && d > 0;
        if (!isfinite(d) || (!sick && is_meant(s, i, d))) continue;
        if (fabs(d) < (sick || loud ? 1 : 1.5) * t->layer) continue;
        if (fabs(d) > fabs(*off)) *off = d, worst = i;
    }
    return worst;
}

bool fanin__blame_outlier(fanin_signal *s, const fanin_thresholds *t, fanin_verdict verdict) {
    bool sick = verdict != FANIN_VERDICT_HEALTHY;
    double off;
    int i = find_outlier(s, t, sick, &off);
    if (i < 0) return false;
    if (!sick) verdict = off < 0 ? FANIN_VERDICT_VANISHING : FANIN_VERDICT_EXPLODING;
    fanin__signal_say(s, verdict, i,
                      "the weights of layer %s are %.3g times too %s beside those of the others",
                      s->layers[i].name, pow(10, fabs(off) / 2), off < 0 ? "small" : "large");
    fanin__repair_layer(s, i);
    return true;
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
 * small before a norm, as attention's output is, changes nothing for good; nor does the second layer where a norm takes
 * away what the inputs' scale gave the first. */
static int find_jump(const fanin_signal *s, int hidden, const fanin_thresholds *t, bool backward,
                     double *jump) {
    int worst = -1;
    *jump = 0;
    for (int i = 2; i < hidden; i++) {
        double step = decades(&s->layers[i], backward) - decades(&s->layers[i - 1], backward);
        double lasting = level(s, i, hidden, backward) - level(s, 0, i, backward);
        if (!isfinite(step) || !(2 * fabs(step) > t->layer) || !(fabs(step) > fabs(*jump)))
            continue;
        if (step * lasting > 0 && fabs(lasting) > 0.5 * fabs(step)) *jump = step, worst = i;
    }
    if (fabs(*jump) < 1.5 * fabs(fanin__slope(s, 0, hidden, backward))) return -1; /* as all do */
    return worst;
}

static bool judge_jump(fanin_signal *s, int hidden, const fanin_thresholds *t, bool backward) {
    double jump;
    int i = find_jump(s, hidden, t, backward, &jump);
    if (i < 0) return false;
    bool shrinks = backward ? jump > 0 : jump < 0;
    fanin__signal_say(
        s, shrinks ? FANIN_VERDICT_VANISHING : FANIN_VERDICT_EXPLODING, i,
        "layer %s %s the %s %.3g times at once: look at its weights, its bias and what "
        "stands before it",
        s->layers[i].name, shrinks ? "shrinks" : "multiplies", backward ? "gradient" : "signal",
        pow(10, fabs(jump)));
    fanin__repair_layer(s, i);
    return true;
}

/* A hidden layer of zeros lets nothing through, unless a sum goes past it. */
static bool judge_cut(fanin_signal *s) {
    int hidden = s->layer_count - 1, first = -1;
    for (int i = 0; i < hidden; i++) {
        const fanin_layer_signal *l = &s->layers[i];
        if (first < 0 && l->weight_std == 0 && !l->closes) first = i;
        if (first >= 0 && l->second_moment > 0) first = -1;
    }
    if (first < 0) return false;
    const fanin_layer_signal *out = &s->layers[hidden];
    if (out->weight_std > 0 && out->sample_correlation < 1) return false;
    fanin__signal_say(s, FANIN_VERDICT_VANISHING, first,
                      "the weights of layer %s are 0 and nothing goes past it",
                      s->layers[first].name);
    fanin__repair_layer(s, first);
    return true;
}

/* ---- all layers -------------------------------------------------------------------------------------- */

/* A factor 3 a layer is too much in any network of this many layers; torch's default loses up to 2.5. */
static const double steep = 0.5;

/* Hidden layers whose fans differ by 4 and more, all with the variance that He's or LeCun's rule gives for fan_out: what
 * is lost then is meant by no rule. Xavier's comes close to it there. */
static const double swapped_slope = 0.25;

static bool fans_swapped(const fanin_signal *s) {
    int hidden = s->layer_count - 1, uneven = 0;
    for (int i = 0; i < hidden; i++) {
        const fanin_layer_signal *l = &s->layers[i];
        double out = l->fan_out * l->weight_std * l->weight_std;
        if (!(fabs(log(l->fan_out / l->fan_in)) > log(3.9))) continue;
        if (!(fabs(log(out / 2)) < 0.25) && !(fabs(log(out)) < 0.15)) return false;
        uneven++;
    }
    return uneven >= 2 && 2 * uneven > hidden;
}

static bool has_sigmoids(const fanin_signal *s) {
    int n = 0;
    for (int i = 0; i < s->layer_count; i++)
        n += s->layers[i].activation && !strcmp(s->layers[i].activation, "sigmoid");
    return 2 * n > s->layer_count;
}

/* Why all layers together shrink or grow something. */
static const char *cause(const fanin_signal *s, const fanin__circumstances *known, bool shrinks) {
    double usual = usual_gain(s);
    if (!shrinks && known->residual && usual < 1)
        return "each residual sum adds to it, with no norm and no scale of 1/sqrt(depth)";
    if (fans_swapped(s))
        return "the variance of the weights goes by fan_out, and fan_in is another";
    if (!shrinks) return "the weights are too large";
    if (has_sigmoids(s) && usual > -0.5)
        return "a sigmoid's slope is at most 1/4 and its mean 1/2; weights whose rows sum to 0, "
               "norms "
               "or tanh keep it up";
    return "the weights are too small for their fan_in";
}

static void judge_slope(fanin_signal *s, const fanin__circumstances *known, fanin_verdict verdict,
                        double per_layer, bool backward) {
    bool shrinks = verdict == FANIN_VERDICT_VANISHING;
    int worst = backward ? 0 : s->layer_count - 2;
    fanin__signal_say(s, verdict, worst,
                      "the %s %s by %.2f decades a layer towards the %s and is worst at %s: %s",
                      backward ? "gradient" : "signal", shrinks ? "shrinks" : "grows",
                      fabs(per_layer), backward ? "input" : "output", s->layers[worst].name,
                      cause(s, known, shrinks));
}

/* The output layer is left out. Forward, a signal shrinks towards the output; backward, a gradient shrinks towards
 * the input. */
static bool drifts(fanin_signal *s, const fanin_thresholds *t, const fanin__circumstances *known,
                   bool backward) {
    int hidden = s->layer_count - 1;
    if (!known->residual && judge_jump(s, hidden, t, backward)) return true;
    double scale = known->input_second > 0 ? log10(known->input_second) : 0;
    int from = fabs(scale) > 2 ? 1 : 0; /* a norm may take away what the inputs gave the first */
    double per_layer = fanin__slope(s, from, hidden, backward), size = fabs(per_layer);
    double range = isfinite(per_layer) ? size * (hidden - 1 - from) : 0;
    if (!(size > t->slope && range > t->range) && !(range > 2 * t->range) &&
        !(size > steep && hidden >= STEEP_LAYERS) && !(size > swapped_slope && fans_swapped(s)))
        return false;
    bool shrinks = backward ? per_layer > 0 : per_layer < 0;
    fanin_verdict verdict = shrinks ? FANIN_VERDICT_VANISHING : FANIN_VERDICT_EXPLODING;
    if (!fanin__blame_outlier(s, t, verdict)) judge_slope(s, known, verdict, per_layer, backward);
    return true;
}

/* Outputs so large that the loss is all of its error: because the inputs are, or because of all layers together. */
static bool judge_output(fanin_signal *s, const fanin_thresholds *t,
                         const fanin__circumstances *known) {
    int last = s->layer_count - 1;
    if (last < 0 || !(2 * log10(s->layers[last].std) > t->layer)) return false;
    const char *name = s->layers[last].name;
    if (known->input_second > 100)
        fanin__signal_say(
            s, FANIN_VERDICT_EXPLODING, 0,
            "the inputs have a root mean square of %.3g and the outputs of layer %s a "
            "deviation of %.3g: scale the inputs to about 1",
            sqrt(known->input_second), name, s->layers[last].std);
    else
        fanin__signal_say(s, FANIN_VERDICT_EXPLODING, last,
                          "the outputs of layer %s have a deviation of %.3g: %s", name,
                          s->layers[last].std, cause(s, known, false));
    return true;
}

bool fanin__judge_drift(fanin_signal *s, const fanin_thresholds *t,
                        const fanin__circumstances *known) {
    return fanin__blame_outlier(s, t, FANIN_VERDICT_HEALTHY) || judge_cut(s) ||
           drifts(s, t, known, false) || drifts(s, t, known, true) || judge_output(s, t, known);
}
