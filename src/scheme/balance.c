/* balance.c - rows that sum to 0, where the gradient would shrink without them.
 *
 * A weighted layer sees x = m + (x - m). What all channels have in common, m, fills its output's second moment and
 * leaves the gradient nothing: with q_eff = q - centered m^2 the output is Var W fan_in q_eff, and the squared gradient of
 * x is target / q_eff times that of the output. Behind a sigmoid m^2 is 85 % of q and a layer costs 0.4 decades;
 * rows that sum to 0 do not see m. Between the layers that feed x and those that x feeds
 *
 *     F = (squared gradient of the ones) / (that of the others times their targets)
 *
 * is raised to `growth`, 1 at first, where it is below. What is lost where no row helps, small logits above all, is then
 * spread over the other layers, if they can take half of it: growth rises until the line that is fitted to the
 * gradient over depth is flat enough. (Rows without their mean: Huang et al. 2017; Brock et al. 2021.) */
#include <math.h>

#include "scheme/predict.h"

static const double worth = 0.9;       /* F beyond this share of growth is left alone */
static const double least_left = 0.05; /* of q: q - m^2 is not known better */
static const double flat = 0.035;      /* decades a layer; 0.05 would be too much */
static const double decade = 0.9;      /* from the output to the first layer; 1 would be too much */
static const double steepest = 4;      /* of growth */

/* ---- what a run says ------------------------------------------------------------------------------- */

static double squared_norm(const fanin__signal *s, int node) {
    return fanin__signal_gradient(s, node) * (double)s->ir->nodes[node].count;
}

static bool is_layer(const fanin__law_of *law) { return !isnan(law->target) && law->node > 0; }

/* A mean over an image: how much of its second moment all channels have in common hangs on how alike distant positions
 * are, which is known to a factor of 2 only. */
static bool mean_of_image(const fanin__signal *s, int node) {
    enum { MANY = 16 };
    for (int steps = 0; steps < 8; steps++) {
        const fanin__node *n = &s->ir->nodes[node];
        if (n->input_count == 0) return false;
        if (n->op == FANIN__REDUCE || n->op == FANIN__SUMPOOL)
            return s->ir->nodes[n->inputs[0]].count >= MANY * n->count;
        bool passes = n->op == FANIN__RESHAPE || n->op == FANIN__TRANSPOSE ||
                      n->op == FANIN__CAST || n->op == FANIN__SELECT ||
                      (n->op == FANIN__MAP && n->attr.kind == FANIN__FN_SCALE);
        if (!passes) return false;
        node = n->inputs[n->op == FANIN__SELECT ? 1 : 0];
    }
    return false;
}

/* What a residual stream carries is counted once, where it is added up. */
static bool sum_of_two(const fanin__signal *s, const fanin__node *n) {
    return n->op == FANIN__BINARY && n->attr.kind == FANIN__ADD &&
           s->values[n->inputs[0]].kind == FANIN__DATA &&
           s->values[n->inputs[1]].kind == FANIN__DATA;
}

/* Squared gradient of the weighted layers, and of the sums, whose outputs reach `node` past none other. layer: by
 * node; seen: room for as many. */
static double sources(const fanin__signal *s, const bool *layer, int node, bool *seen) {
    double sum = 0;
    for (int i = 0; i <= node; i++) seen[i] = i == node;
    for (int i = node; i >= 0; i--) {
        const fanin__node *n = &s->ir->nodes[i];
        if (!seen[i]) continue;
        if (layer[i] || sum_of_two(s, n)) {
            sum += squared_norm(s, i);
            continue;
        }
        for (int k = 0; k < n->input_count; k++)
            if (s->values[n->inputs[k]].kind == FANIN__DATA) seen[n->inputs[k]] = true;
    }
    return sum;
}

/* Least-squares slope of log10 of the gradient's norm over weighted layers in order; drop: from the last to the first. */
static double slope(const fanin__signal *s, const bool *layer, double *drop) {
    double n = 0, x = 0, y = 0, xx = 0, xy = 0, first = 0, last = 0;
    for (int i = 0; i < s->count; i++) {
        double square = layer[i] ? squared_norm(s, i) : 0;
        if (!(square > 0)) continue;
        double log_norm = 0.5 * log10(square);
        if (n == 0) first = log_norm;
        last = log_norm;
        x += n;
        xx += n * n;
        y += log_norm;
        xy += n * log_norm;
        n++;
    }
    *drop = last - first;
    return n > 1 ? (n * xy - x * y) / (n * xx - x * x) : 0;
}

fanin_status fanin__balance_read(fanin__analysis *a, const fanin__signal *s, fanin_err *err) {
    bool *layer = fanin_calloc(2 * (size_t)s->count, sizeof *layer), *seen = layer + s->count;
    if (!layer) return fanin_err_set(err, FANIN_NOMEM, "no memory for a prediction");
    for (int i = 0; i < a->tensors->count; i++)
        if (is_layer(&a->laws[i])) layer[a->laws[i].node] = true;
    a->slope = slope(s, layer, &a->drop);
    for (int i = 0; i < a->tensors->count; i++) {
        fanin__law_of *law = &a->laws[i];
        double fed = 0;
        law->flow = NAN;
        if (!is_layer(law) || law->fixed || law->uses > 1 || !(law->common > 0.01) ||
            mean_of_image(s, law->input))
            continue;
        for (int k = 0; k < a->tensors->count; k++) {
            const fanin__law_of *other = &a->laws[k];
            if (is_layer(other) && other->input == law->input)
                fed += squared_norm(s, other->node) * other->target;
        }
        double f = fed > 0 ? sources(s, layer, law->input, seen) / fed : 0;
        if (f > 0) law->flow = f * (1 - law->centered * law->common);
    }
    fanin_free(layer);
    return FANIN_OK;
}

/* ---- what follows from it -------------------------------------------------------------------------- */

static fanin_status run_with(fanin__analysis *a, double growth, fanin_err *err) {
    static const fanin_predict_options none;
    for (int i = 0; i < a->tensors->count; i++) {
        fanin__law_of *law = &a->laws[i];
        if (isnan(law->flow)) continue;
        double left = fmax(law->flow / growth, fmax(1 - law->common, least_left));
        law->centered = law->flow < worth * growth ? fmin((1 - left) / law->common, 1) : 0;
    }
    return fanin__analysis_run(a, &none, NULL, err);
}

fanin_status fanin__auto_balance(fanin__analysis *a, fanin_err *err) {
    enum { ROUNDS = 2 };
    double low = 1, high = steepest;
    a->balance = true;
    for (int i = 0; i < a->tensors->count; i++) a->laws[i].flow = NAN;
    FANIN_TRY(run_with(a, 1, err)); /* nothing is known: rows keep their means */
    if (!(a->slope > flat || a->drop > decade)) return FANIN_OK;
    FANIN_TRY(run_with(a, low, err));
    if (!(a->slope > flat)) return FANIN_OK;
    double halfway = (a->slope + flat) / 2;
    FANIN_TRY(run_with(a, high, err));
    if (a->slope > halfway) return run_with(a, low, err);
    if (a->slope > flat) return FANIN_OK;
    for (int round = 0; round < ROUNDS; round++) {
        double growth = sqrt(low * high);
        FANIN_TRY(run_with(a, growth, err));
        *(a->slope > flat ? &low : &high) = growth;
    }
    return a->slope > flat ? run_with(a, high, err) : FANIN_OK;
}
