/* signal_page.c - what a check looks like. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/pages.h"

static double root(double second_moment) { return sqrt(second_moment); }
static double figure_s(const fanin_layer_signal *l) { return root(l->second_moment); }
static double predicted_s(const fanin_layer_signal *l) { return root(l->predicted_second_moment); }
static double spread_s(const fanin_layer_signal *l) { return l->second_moment_spread / 2; }
static double figure_saturated(const fanin_layer_signal *l) { return l->saturated; }
static double figure_dead(const fanin_layer_signal *l) { return l->dead; }
static double figure_update(const fanin_layer_signal *l) { return l->update_ratio; }
static double figure_singular(const fanin_layer_signal *l) { return l->jacobian_mean_sv; }
static double figure_curvature(const fanin_layer_signal *l) { return l->hessian_max; }

static const fanin__layer_curve signal_curve = {
    "Signal",
    "Root second moment of each layer's output, before the activation.",
    "root second moment",
    true,
    figure_s,
    predicted_s,
    spread_s};

static const fanin__layer_curve more_curves[] = {
    {"Saturation", "Share of activations with a slope below 5 % of the largest.", "share", false,
     figure_saturated, NULL, NULL},
    {"Dead units", "Share of units that no sample switches on.", "share", false, figure_dead, NULL,
     NULL},
    {"Jacobian of each layer",
     "Mean singular value of diag f'(s) W; 1 keeps lengths on the way back.", "mean singular value",
     false, figure_singular, NULL, NULL},
    {"Update to weight", "Learning rate times the gradient's size over the weight's.",
     "update ratio", true, figure_update, NULL, NULL},
    {"Curvature of each layer",
     "Largest eigenvalue of the loss's second derivative in this layer's weight.",
     "largest eigenvalue", true, figure_curvature, NULL, NULL},
};

/* ---- tables -------------------------------------------------------------------------------------- */

static void layer_table(fanin_page *p, const fanin_signal *s) {
    static const char *const names[] = {
        "layer",        "op",        "activation", "mean",       "std",
        "E s²",         "predicted", "target",     "saturated",  "dead",
        "corr",         "gradient",  "predicted",  "weight std", "weight gradient",
        "update ratio", "mean sv",   "curvature",  NULL};
    fanin__cells c = {0};
    fanin__heads(&c, names);
    for (int i = 0; i < s->layer_count; i++) {
        const fanin_layer_signal *l = &s->layers[i];
        const double figures[] = {l->mean,
                                  l->std,
                                  l->second_moment,
                                  l->predicted_second_moment,
                                  l->target_second_moment,
                                  l->saturated,
                                  l->dead,
                                  l->sample_correlation,
                                  l->grad_norm,
                                  l->predicted_grad_norm,
                                  l->weight_std,
                                  l->weight_grad_std,
                                  l->update_ratio,
                                  l->jacobian_mean_sv,
                                  l->hessian_max};
        fanin__cell(&c, "%s", l->name);
        fanin__cell(&c, "%s", l->op);
        fanin__cell(&c, "%s", l->activation ? l->activation : "");
        for (size_t k = 0; k < FANIN_COUNT(figures); k++) fanin__cell_number(&c, figures[k]);
    }
    fanin__put_table(p, "Every layer", 18, &c);
}

typedef struct named {
    const char *name;
    double value;
    const char *meaning;
} named;

static void put_figure(fanin__cells *c, named f) {
    if (isnan(f.value)) return;
    fanin__cell(c, "%s", f.name);
    fanin__cell_number(c, f.value);
    fanin__cell(c, "%s", f.meaning);
}

static void figure_table(fanin_page *p, const fanin_signal *s) {
    const fanin_hessian *h = &s->hessian;
    const fanin_tangent_kernel *k = &s->kernel;
    const named always[] = {
        {"loss", s->loss, "of this batch"},
        {"expected loss", s->expected_loss, "over random targets, given these outputs"},
        {"signal", s->forward_slope, "decades a layer, towards the output"},
        {"gradient", s->backward_slope, "decades a layer, towards the output"},
        {"Jacobian, mean", s->jacobian.mean,
         s->jacobian.embedded ? "singular value from embedding to output"
                              : "singular value from input to output"},
        {"Jacobian, largest", s->jacobian.max, "how much a small change grows at most"},
        {"Jacobian, smallest", s->jacobian.min, "and at least"},
    };
    const named curved[] = {
        {"Hessian, largest", h->max, "eigenvalue of the loss's second derivative"},
        {"Hessian, smallest", h->min, "below 0: a saddle"},
        {"Hessian, on-line", h->online,
         h->online_whole ? "the largest from gradients of the batch (LeCun et al. 1998)"
                         : "the largest from single samples (LeCun et al. 1998)"},
        {"Hessian, trace", h->trace, "from random signs"},
        {"largest stable rate", h->lr_max, "2 / largest eigenvalue, for gradient descent"},
    };
    const named tangent[] = {
        {"tangent kernel, trace", k->trace, "mean over samples of |d output / d weights|²"},
        {"tangent kernel, condition", k->condition, "slowest against fastest direction"},
        {"tangent kernel, alignment", k->alignment, "with the targets, 1 at most"},
    };
    static const char *const names[] = {"figure", "value", "meaning", NULL};
    fanin__cells c = {0};
    fanin__heads(&c, names);
    for (size_t i = 0; i < FANIN_COUNT(always); i++) put_figure(&c, always[i]);
    for (size_t i = 0; i < FANIN_COUNT(curved) && h->probes; i++) put_figure(&c, curved[i]);
    for (size_t i = 0; i < FANIN_COUNT(tangent) && k->samples; i++) put_figure(&c, tangent[i]);
    fanin__put_table(p, "The whole network", 3, &c);
}

/* ---- the spectrum -------------------------------------------------------------------------------- */

static void spectrum(fanin_page *p, const fanin_jacobian_spectrum *j) {
    if (j->count == 0 || j->bins == 0) return;
    double *x = fanin_calloc(2 * j->bins, sizeof *x), *share = x + j->bins;
    double width = (j->high - j->low) / (double)j->bins;
    if (!x) {
        p->body.failed = true;
        return;
    }
    for (size_t i = 0; i < j->bins; i++) x[i] = j->low + ((double)i + 0.5) * width;
    for (size_t i = 0; i < j->count; i++) {
        double v = j->decades ? log10(j->values[i]) : j->values[i];
        double at = (v - j->low) / width;
        if (at >= 0 && at < (double)j->bins) share[(size_t)at] += 1 / (width * (double)j->count);
    }
    const fanin_series series[] = {
        {.name = "measured", .n = j->bins, .x = x, .y = share, .dots = true},
        {.name = "theory", .n = j->bins, .x = x, .y = j->theory, .dashed = true}};
    char caption[320];
    snprintf(caption, sizeof caption,
             "Density of the %zu singular values from input to output, %d samples.%s", j->count,
             j->samples,
             j->theory ? " Theory: wide square layers of this activation, without the output layer "
                         "(Pennington, Schoenholz, Ganguli 2017)."
                       : "");
    const fanin_chart chart = {.title = "Singular values of the Jacobian",
                               .caption = caption,
                               .x_label =
                                   j->decades ? "log10 of the singular value" : "singular value",
                               .y_label = "density",
                               .series = series,
                               .series_count = j->theory ? 2 : 1};
    fanin_page_chart(p, &chart);
    fanin_free(x);
}

/* ---- the phase diagram --------------------------------------------------------------------------- */

static void phase(fanin_page *p, const fanin_signal *s, const char *svg) {
    const fanin_plain_stack *t = &s->stack;
    char caption[400];
    if (!svg || !t->plain) return;
    snprintf(caption, sizeof caption,
             "%d hidden layers of %s with weight variance %.4g / fan-in and bias variance %.4g, as "
             "measured. Deeper networks learn only near the edge of chaos.",
             t->depth, t->activation, t->sigma_w2, t->sigma_b2);
    fanin_page_picture(p, "Phase diagram", caption, svg);
    static const char *const names[] = {"activation",    "weight variance x fan-in",
                                        "bias variance", "hidden layers",
                                        "variance of s", NULL};
    fanin__cells c = {0};
    fanin__heads(&c, names);
    fanin__cell(&c, "%s", t->activation);
    fanin__cell_number(&c, t->sigma_w2);
    fanin__cell_number(&c, t->sigma_b2);
    fanin__cell_number(&c, t->depth);
    fanin__cell_number(&c, t->q);
    fanin__put_table(p, "Where it stands", 5, &c);
}

/* ---- the page ------------------------------------------------------------------------------------- */

fanin_status fanin_signal_page(const char *model, const char *scheme, const fanin_signal *s,
                               const char *phase_svg, const char *path, fanin_err *err) {
    fanin__text subtitle = {0};
    fanin__text_printf(&subtitle, "%s · %s: %s", scheme, fanin_verdict_name(s->verdict), s->advice);
    fanin_page *p = NULL;
    fanin_status status =
        subtitle.failed ? FANIN_NOMEM : fanin_page_create(model, subtitle.data, &p);
    fanin__text_fini(&subtitle);
    if (status != FANIN_OK) return fanin_err_set(err, status, "%s: no memory", path);
    const char *name = "measured";
    fanin__layer_chart(p, &signal_curve, &s, &name, 1);
    fanin__layer_charts(p, &s, &name, 1);
    for (size_t i = 0; i < FANIN_COUNT(more_curves); i++)
        fanin__layer_chart(p, &more_curves[i], &s, &name, 1);
    spectrum(p, &s->jacobian);
    fanin__signal_ridges(p, "Activations", "Their distribution by layer.", "value", s, false);
    fanin__signal_ridges(p, "Gradients", "Of a sample's loss with respect to the layer's output.",
                         "value", s, true);
    phase(p, s, phase_svg);
    figure_table(p, s);
    layer_table(p, s);
    status = fanin_page_save(p, path, err);
    fanin_page_destroy(p);
    return status;
}
