/* signal_loss.c - where gradients start: the second moment of d loss / d output over random targets.
 *
 * Targets are what check draws: uniform classes (as distributions: one of them), shares of 0 or 1, N(0, 1).
 * Outputs are what the rules have: an element is one of the points, a row of C classes is C independent ones. */
#include <math.h>

#include "operator/onnx.h"
#include "operator/signal.h"

static double density(double z) { return exp(-z * z / 2) / 2.50662827463100050242; }
static double below(double z) { return erfc(-z * 0.70710678118654752440) / 2; }

/* E d^2 cut at delta, d = y - t, t N(0, 1). */
static double huber(double y, double delta) {
    double a = -delta - y, b = delta - y, inside = below(b) - below(a);
    return (y * y + 1) * inside + 2 * y * (density(a) - density(b)) + a * density(a) -
           b * density(b) + delta * delta * (1 - inside);
}

/* Over the target, of the loss of one output y:
 *     mse 2 (y - t)   l1 sign(y - t)   huber y - t, cut
 *     bce, cross entropy of one logit   s(y) - t = (tanh(y/2) - u)/2, u = -1, 1, times 1 - label_smoothing
 *     hinge   -u where u y < margin */
static double of_element(const fanin__loss *loss, double y) {
    double sharp = 1 - loss->label_smoothing, bend = tanh(y / 2);
    switch (loss->kind) {
    case FANIN__LOSS_MSE: return 4 * (y * y + 1);
    case FANIN__LOSS_L1: return 1;
    case FANIN__LOSS_HUBER: return huber(y, loss->delta);
    case FANIN__LOSS_BCE: return (1 + bend * bend) / 4;
    case FANIN__LOSS_HINGE: return ((y < loss->margin) + (-y < loss->margin)) / 2.0;
    default: return (sharp * sharp + bend * bend) / 4;
    }
}

/* Softmax minus targets (1 - e) onehot + e/C: sum p^2 - 2/C + (1 - e)^2 + (1 - (1 - e)^2)/C a row, since E p[t] is
 * 1/C. */
static double of_softmax(const fanin__signal *s, const fanin__loss *loss, double var, double c) {
    double sharp = (1 - loss->label_smoothing) * (1 - loss->label_smoothing);
    double squares = fanin__signal_softmax_squares(s, c, var);
    return fmax(squares - 2 / c + sharp + (1 - sharp) / c, 0) / c;
}

/* h_j / C of the other classes, minus their sum for the target; h_j = 1 where x_j > x_t - margin, independent given
 * x_t: (2 (C - 1) E h + (C - 1)(C - 2) E h h') / C^2 a row. The others are Gaussian. */
static double of_hinge(const fanin__signal *s, const fanin__loss *loss,
                       const fanin__value_signal *v, double level, double var, double c) {
    double one = 0, two = 0, mean = v->m.mean * sqrt(level);
    for (int i = 0; i < s->points; i++) {
        double room = loss->margin + mean - sqrt(level) * (double)v->x[i];
        double h = var > 0 ? below(room / sqrt(var)) : room > 0;
        one += h / s->points;
        two += h * h / s->points;
    }
    return (2 * (c - 1) * one + (c - 1) * (c - 2) * two) / (c * c * c);
}

double fanin__signal_loss(const fanin__signal *s, int node, const fanin__loss *loss) {
    const fanin__node *n = fanin__signal_node(s, node);
    const fanin__value_signal *v = &s->values[node];
    double samples = n->rank > 0 && n->dims[0] > 0 ? (double)n->dims[0] : 1;
    double elements = (double)n->count / samples, c = n->rank ? (double)n->dims[n->rank - 1] : 1;
    double rows = elements / c, level = fanin__signal_level(v), sum = 0;
    double var = level * fmax(v->m.q - v->m.mean * v->m.mean, 0);
    bool classes = loss->info.target == FANIN_TARGET_CLASS && c > 1;
    if (!v->x || !(elements > 0)) return 0;
    if (classes && loss->kind == FANIN__LOSS_HINGE)
        return of_hinge(s, loss, v, level, var, c) / (rows * rows);
    if (classes || loss->kind == FANIN__LOSS_SOFT_CROSS_ENTROPY)
        return of_softmax(s, loss, var, c) / (rows * rows);
    for (int i = 0; i < s->points; i++) sum += of_element(loss, sqrt(level) * (double)v->x[i]);
    return sum / s->points / (elements * elements);
}
