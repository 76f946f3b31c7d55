/* spectrum_law.c - what the singular values of a plain stack's Jacobian should be, beside what they are. */
#include <math.h>

#include "fanin/theory.h"
#include "probe/second.h"

enum { BINS = 48, BINS_FEW = 12 };

/* Values that span more than two decades, the last hundredth apart, are drawn by their logarithm, over at most
 * six. */
static void choose_axis(fanin_jacobian_spectrum *j) {
    double least = j->values[j->count - 1 - j->count / 100];
    if (!(least > 0)) least = j->max * 1e-6;
    double wanted = 2 * sqrt((double)j->count);
    j->bins = wanted < BINS_FEW ? BINS_FEW : wanted > BINS ? BINS : (size_t)wanted;
    j->decades = j->max > 100 * least;
    if (j->decades) {
        j->high = log10(j->max) + 0.2;
        j->low = fmax(log10(least) - 0.2, j->high - 6);
    } else {
        j->low = 0;
        j->high = 1.15 * j->max;
    }
}

/* On [-8, 8], as verdicts look for it. */
static double steepest_slope(const fanin_activation *act) {
    double x[161], d[161], largest = 0;
    for (int i = 0; i <= 160; i++) x[i] = (i - 80) * 0.1 + 1e-9;
    fanin_activation_eval(act, 1, x, d, 161);
    for (int i = 0; i <= 160; i++) largest = fmax(largest, fabs(d[i]));
    return largest;
}

fanin_status fanin__spectrum_law(fanin_signal *s, fanin_err *err) {
    fanin_jacobian_spectrum *j = &s->jacobian;
    const fanin_plain_stack *t = &s->stack;
    if (j->count == 0 || !(j->max > 0)) return FANIN_OK;
    choose_axis(j);
    if (!t->plain || !t->square || !(t->q > 0)) return FANIN_OK;
    fanin_activation *act;
    double lambda[BINS], density[BINS], atoms[2], width = (j->high - j->low) / (double)j->bins;
    for (size_t i = 0; i < j->bins; i++) {
        double x = j->low + ((double)i + 0.5) * width, value = j->decades ? pow(10, x) : x;
        lambda[i] = value * value;
    }
    FANIN_TRY(fanin_activation_parse(t->activation, &act, err));
    const fanin_jacobian_output output = {t->output_w2, t->output_orthogonal};
    fanin_status status = fanin_jacobian_density(act, t->q, t->sigma_w2, t->depth, t->orthogonal,
                                                 &output, lambda, j->bins, density, atoms, NULL);
    double steepest = steepest_slope(act);
    fanin_activation_destroy(act);
    if (status == FANIN_NOMEM) return fanin_err_set(err, status, "spectrum: no memory");
    if (status != FANIN_OK) return FANIN_OK; /* theory has none: nothing is drawn beside it */
    j->theory = fanin_calloc(j->bins, sizeof *j->theory);
    if (!j->theory) return fanin_err_set(err, FANIN_NOMEM, "spectrum: no memory");
    for (size_t i = 0; i < j->bins; i++) /* from lambda = sigma^2 to sigma, or to its log10 */
        j->theory[i] = 2 * density[i] * (j->decades ? lambda[i] * log(10) : sqrt(lambda[i]));
    /* the mass at the largest value, where every unit has its steepest slope, stands in that value's bin */
    double top = sqrt(t->output_w2) * pow(t->sigma_w2 * steepest * steepest, t->depth / 2.0);
    double at = ((j->decades ? log10(top) : top) - j->low) / width;
    if (atoms[1] > 0 && at >= 0 && at < (double)j->bins) j->theory[(int)at] += atoms[1] / width;
    return FANIN_OK;
}
