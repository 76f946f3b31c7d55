/* expect.c - what a loss should be for given outputs, over targets drawn as check draws them: uniform classes
 * (as distributions: one of them), shares of 0 or 1, N(0, 1) otherwise. */
#include <math.h>

#include "operator/onnx.h"
#include "probe/figures.h"

/* Mean and variance of one position's loss, added to the sums. */
typedef struct moments {
    double mean, variance;
} moments;

static void add(moments *m, double first, double second) {
    m->mean += first;
    m->variance += fmax(second - first * first, 0);
}

/* Over uniform classes the loss has the mean lse - mean logit and the variance of the logits, times (1 - e)^2
 * where targets are smoothed by e. */
static void cross_entropy_row(const fanin__loss *loss, const float *v, size_t classes, moments *m) {
    const float pair[2] = {0, v[0]}; /* one logit is against 0 */
    if (classes == 1 && loss->kind == FANIN__LOSS_CROSS_ENTROPY) {
        v = pair;
        classes = 2;
    }
    double top = -INFINITY, sum = 0, first = 0, second = 0, sharp = 1 - loss->label_smoothing;
    for (size_t c = 0; c < classes; c++) top = fmax(top, (double)v[c]);
    for (size_t c = 0; c < classes; c++) {
        double x = (double)v[c];
        sum += exp(x - top);
        first += x / (double)classes;
        second += x * x / (double)classes;
    }
    m->mean += top + log(sum) - first;
    m->variance += sharp * sharp * fmax(second - first * first, 0);
}

static void hinge_row(const fanin__loss *loss, const float *v, size_t classes, moments *m) {
    double first = 0, second = 0;
    size_t targets = classes == 1 ? 2 : classes;
    for (size_t t = 0; t < targets; t++) {
        double one = 0;
        if (classes == 1)
            one = fmax(loss->margin - (t ? 1 : -1) * (double)v[0], 0);
        else
            for (size_t c = 0; c < classes; c++)
                if (c != t)
                    one += fmax(loss->margin - (double)v[t] + (double)v[c], 0) / (double)classes;
        first += one / (double)targets;
        second += one * one / (double)targets;
    }
    add(m, first, second);
}

static void bce_element(double y, moments *m) {
    double plus = fmax(y, 0) + log1p(exp(-fabs(y)));
    add(m, plus - y / 2, (plus * plus + (plus - y) * (plus - y)) / 2);
}

static double density(double z) { return exp(-z * z / 2) / 2.50662827463100050242; }
static double below(double z) { return erfc(-z * 0.70710678118654752440) / 2; }

/* d = y - t, t N(0, 1), so d is N(y, 1): delta = 0 stands for |d|. The second moment, which only says how far the
 * mean of a batch may be off, by the trapezoidal rule over |t| <= 9. */
static void huber_element(double delta, double y, moments *m) {
    double a = -delta - y, b = delta - y, pa = density(a), pb = density(b),
           inside = below(b) - below(a);
    double high = (y - delta / 2) * below(-b) + pb, low = -(y + delta / 2) * below(a) + pa;
    double square = (y * y + 1) * inside + 2 * y * (pa - pb) + a * pa - b * pb;
    double first = delta > 0 ? square / 2 + delta * (high + low) : high + low, second = 0;
    enum { HALF = 72 };
    for (int i = -HALF; i <= HALF; i++) {
        double t = i * 9.0 / HALF, d = fabs(y - t);
        double one = delta == 0 ? d : d <= delta ? d * d / 2 : delta * (d - delta / 2);
        second += 9.0 / HALF * density(t) * one * one;
    }
    add(m, first, second);
}

static void mse_element(double y, moments *m) { /* mean y^2 + 1, variance 2 + 4 y^2 */
    m->mean += y * y + 1;
    m->variance += 2 + 4 * y * y;
}

void fanin__expect_loss(const fanin_program *p, const char *text, double *expected,
                        double *variance) {
    fanin_buffer y = fanin_program_output(p, 0);
    const float *v = y.data;
    fanin__loss loss;
    *expected = *variance = NAN;
    if (y.count == 0 || y.rank == 0 || y.dtype != FANIN_F32) return;
    if (fanin__loss_parse(text, &loss, NULL) != FANIN_OK) return;
    size_t classes = (size_t)y.dims[y.rank - 1];
    bool by_row =
        loss.info.target == FANIN_TARGET_CLASS || loss.info.target == FANIN_TARGET_DISTRIBUTION;
    size_t positions = by_row ? y.count / classes : y.count;
    moments m = {0, 0};
    for (size_t i = 0; i < positions; i++) {
        const float *row = v + i * (by_row ? classes : 1);
        switch (loss.kind) {
        case FANIN__LOSS_HINGE: hinge_row(&loss, row, classes, &m); break;
        case FANIN__LOSS_BCE: bce_element((double)*row, &m); break;
        case FANIN__LOSS_MSE: mse_element((double)*row, &m); break;
        case FANIN__LOSS_L1: huber_element(0, (double)*row, &m); break;
        case FANIN__LOSS_HUBER: huber_element(loss.delta, (double)*row, &m); break;
        default: cross_entropy_row(&loss, row, classes, &m);
        }
    }
    *expected = m.mean / (double)positions;
    *variance = m.variance / ((double)positions * (double)positions);
}
