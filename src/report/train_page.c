/* train_page.c - what a training run looks like: curves, and every layer over time. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/pages.h"

/* ---- curves ---------------------------------------------------------------------------------------- */

typedef double point_figure(const fanin_train_point *p);
static double figure_train(const fanin_train_point *p) { return p->train_loss; }
static double figure_test(const fanin_train_point *p) { return p->test_loss; }
static double figure_valid(const fanin_train_point *p) { return p->valid_loss; }
static double figure_test_error(const fanin_train_point *p) { return 100 * p->test_error; }
static double figure_valid_error(const fanin_train_point *p) { return 100 * p->valid_error; }

static void curves(fanin_page *p, const fanin_train_result *r, const char *title,
                   const char *caption, const char *label, const char *const *names,
                   point_figure *const *figures, size_t count) {
    size_t n = r->count, shown = 0;
    double *block = fanin_calloc((count + 1) * (n + 1), sizeof *block);
    fanin_series series[3] = {{0}};
    if (!block) {
        p->body.failed = true;
        return;
    }
    for (size_t i = 0; i < n; i++) block[i] = (double)r->points[i].step;
    for (size_t s = 0; s < count && s < 3; s++) {
        double *y = block + (s + 1) * (n + 1);
        bool any = false;
        for (size_t i = 0; i < n; i++) {
            y[i] = figures[s](&r->points[i]);
            any = any || isfinite(y[i]);
        }
        if (any) series[shown++] = (fanin_series){.name = names[s], .n = n, .x = block, .y = y};
    }
    const fanin_chart chart = {.title = title,
                               .caption = caption,
                               .x_label = "step",
                               .y_label = label,
                               .series = series,
                               .series_count = shown};
    if (shown) fanin_page_chart(p, &chart);
    fanin_free(block);
}

static void all_curves(fanin_page *p, const fanin_train_result *r) {
    static const char *const losses[] = {"training", "test", "held out"};
    static const char *const errors[] = {"test", "held out"};
    static point_figure *const loss[] = {figure_train, figure_test, figure_valid};
    static point_figure *const error[] = {figure_test_error, figure_valid_error};
    curves(p, r, "Loss", "Natural logarithm; of training the mean since the point before.", "loss",
           losses, loss, 3);
    curves(p, r, "Error", "Share of samples given the wrong class.", "error, %", errors, error, 2);
}

/* ---- layers over time ------------------------------------------------------------------------------ */

typedef double layer_figure(const fanin_train_layer *l);
static double figure_mean(const fanin_train_layer *l) { return l->h_mean; }
static double figure_low(const fanin_train_layer *l) { return l->h_mean - l->h_std; }
static double figure_high(const fanin_train_layer *l) { return l->h_mean + l->h_std; }
static double figure_p98(const fanin_train_layer *l) { return l->h_p98; }
static double figure_std(const fanin_train_layer *l) { return l->h_std; }
static double figure_zeros(const fanin_train_layer *l) { return l->zeros; }
static double figure_saturated(const fanin_train_layer *l) { return l->saturated; }
static double figure_dead(const fanin_train_layer *l) { return l->dead; }
static double figure_gradient(const fanin_train_layer *l) { return l->gradient; }
static double figure_weight_gradient(const fanin_train_layer *l) { return l->weight_gradient; }
static double figure_update(const fanin_train_layer *l) { return l->update_ratio; }

typedef struct look {
    const char *title, *caption, *label;
    layer_figure *middle, *low, *high; /* low and high: a band, NULL for none */
    bool log;
} look;

static const look looks[] = {
    {"Activations: mean and deviation",
     "What each layer hands on, over the monitored samples (Glorot & Bengio 2010, figure 2).",
     "activation", figure_mean, figure_low, figure_high, false},
    {"Activations: 98th percentile", "98 % of absolute values lie below (figure 3).",
     "98th percentile", figure_p98, NULL, NULL, false},
    {"Activations: spread", "Their standard deviation.", "std", figure_std, NULL, NULL, true},
    {"Saturation", "Share of activations with a slope below 5 % of the largest.", "share",
     figure_saturated, NULL, NULL, false},
    {"Zeros", "Share of activations that are exactly 0.", "share", figure_zeros, NULL, NULL, false},
    {"Dead units", "Share of units that no monitored sample switches on.", "share", figure_dead,
     NULL, NULL, false},
    {"Gradient", "Root mean square of a sample's gradient by the layer's output.", "gradient",
     figure_gradient, NULL, NULL, true},
    {"Gradient of the weights", "Root mean square.", "gradient", figure_weight_gradient, NULL, NULL,
     true},
    {"Size of the updates", "Norm of a step's update over the norm of the weights.", "ratio",
     figure_update, NULL, NULL, true},
};

/* Which layers are drawn: all, or evenly spaced ones as far as the colours go. */
static size_t shown_layers(const fanin_train_result *r) {
    size_t n = (size_t)r->layer_count;
    return n < FANIN__PALETTE ? n : FANIN__PALETTE;
}

static size_t shown_layer(const fanin_train_result *r, size_t i) {
    size_t n = (size_t)r->layer_count, shown = shown_layers(r);
    return shown < n && shown > 1 ? i * (n - 1) / (shown - 1) : i;
}

static bool fill_line(const fanin_train_result *r, size_t layer, layer_figure *figure, double *y) {
    bool any = false, some = false;
    for (size_t k = 0; k < r->monitor_count; k++) {
        y[k] = figure(&r->monitors[k * (size_t)r->layer_count + layer]);
        any = any || isfinite(y[k]);
        some = some || (isfinite(y[k]) && y[k] != 0);
    }
    return any && (some || figure != figure_zeros); /* nothing to see where nothing is ever 0 */
}

static void layer_chart(fanin_page *p, const fanin_train_result *r, const look *l) {
    size_t n = r->monitor_count, layers = shown_layers(r), shown = 0;
    double *block = fanin_calloc((3 * layers + 1) * (n + 1), sizeof *block), *at = block;
    fanin_series series[FANIN__PALETTE] = {{0}};
    if (!block) {
        p->body.failed = true;
        return;
    }
    double *x = at;
    for (size_t k = 0; k < n; k++) x[k] = (double)r->monitor_steps[k];
    for (size_t i = 0; i < layers; i++) {
        size_t layer = shown_layer(r, i);
        double *y = at += n + 1, *low = NULL, *high = NULL;
        bool any = fill_line(r, layer, l->middle, y);
        if (l->low) {
            low = at += n + 1;
            high = at += n + 1;
            fill_line(r, layer, l->low, low);
            fill_line(r, layer, l->high, high);
        }
        if (any)
            series[shown++] = (fanin_series){
                .name = r->layer_names[layer], .n = n, .x = x, .y = y, .low = low, .high = high};
    }
    const fanin_chart chart = {.title = l->title,
                               .caption = l->caption,
                               .x_label = "step",
                               .y_label = l->label,
                               .y_log = l->log,
                               .series = series,
                               .series_count = shown};
    if (shown) fanin_page_chart(p, &chart);
    fanin_free(block);
}

static void end_table(fanin_page *p, const fanin_train_result *r) {
    static const char *const names[] = {
        "layer",     "mean", "std",      "98 %",       "zeros",
        "saturated", "dead", "gradient", "weight rms", "weight gradient",
        NULL};
    fanin__cells c = {0};
    fanin__heads(&c, names);
    const fanin_train_layer *last = r->monitors + (r->monitor_count - 1) * (size_t)r->layer_count;
    for (int i = 0; i < r->layer_count; i++) {
        const fanin_train_layer *l = &last[i];
        const double figures[] = {l->h_mean,   l->h_std,     l->h_p98,
                                  l->zeros,    l->saturated, l->dead,
                                  l->gradient, l->weight,    l->weight_gradient};
        fanin__cell(&c, "%s", r->layer_names[i]);
        for (size_t k = 0; k < FANIN_COUNT(figures); k++) fanin__cell_number(&c, figures[k]);
    }
    fanin__put_table(p, "Every layer at the last look", 10, &c);
}

static void put_layers(fanin_page *p, const fanin_train_result *r) {
    fanin_page_heading(p, "The layers while they learn");
    for (size_t i = 0; i < FANIN_COUNT(looks); i++) layer_chart(p, r, &looks[i]);
    if (r->last_look) {
        const fanin_signal s = {.layer_count = r->layer_count, .layers = r->last_look};
        fanin__signal_ridges(p, "Activations at the end", "Their distribution by layer (figure 4).",
                             "value", &s, false);
        fanin__signal_ridges(p, "Gradients at the end",
                             "Of a sample's loss with respect to the layer's output.", "value", &s,
                             true);
    }
    end_table(p, r);
}

fanin_status fanin_train_page(const char *title, const char *scheme, const fanin_train_result *r,
                              const char *path, fanin_err *err) {
    char subtitle[512];
    const fanin_train_point *last = r->count ? &r->points[r->count - 1] : NULL;
    int n = snprintf(subtitle, sizeof subtitle, "%.200s, %llu steps", scheme,
                     (unsigned long long)r->steps);
    if (r->diverged)
        snprintf(subtitle + n, sizeof subtitle - (size_t)n, "; diverged at step %llu, first in %s",
                 (unsigned long long)r->diverged_at,
                 r->diverged_layer[0] ? r->diverged_layer : "the loss");
    else if (last && isfinite(last->test_error))
        snprintf(subtitle + n, sizeof subtitle - (size_t)n, "; test error %.2f %%, loss %.4f",
                 100 * last->test_error, last->test_loss);
    else if (last)
        snprintf(subtitle + n, sizeof subtitle - (size_t)n, "; test loss %.4g", last->test_loss);
    fanin_page *p;
    fanin_status status = fanin_page_create(title, subtitle, &p);
    if (status != FANIN_OK) return fanin_err_set(err, status, "%s: no memory", path);
    all_curves(p, r);
    if (r->monitor_count && r->layer_count) put_layers(p, r);
    status = fanin_page_save(p, path, err);
    fanin_page_destroy(p);
    return status;
}
