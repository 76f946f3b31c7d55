/* pages.c - what a check looks like, and the parts that it shares with other pages. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/pages.h"

void fanin__cell(fanin__cells *c, const char *format, ...) {
    if (c->failed) return;
    if (c->count == c->capacity) {
        size_t capacity = c->capacity ? 2 * c->capacity : 64;
        char **items = fanin_realloc(c->items, capacity, sizeof *items);
        if (!items) {
            c->failed = true;
            return;
        }
        c->items = items;
        c->capacity = capacity;
    }
    fanin__text t = {0};
    va_list args;
    va_start(args, format);
    fanin__text_vprintf(&t, format, args);
    va_end(args);
    if (!t.data && !t.failed) t.data = fanin__strdup("");
    if (t.failed || !t.data) {
        fanin__text_fini(&t);
        c->failed = true;
        return;
    }
    c->items[c->count++] = t.data;
}

void fanin__cell_number(fanin__cells *c, double v) {
    char buf[32];
    fanin__cell(c, "%s", fanin__figure_text(v, buf));
}

void fanin__heads(fanin__cells *c, const char *const *names) {
    for (; *names; names++) fanin__cell(c, "%s", *names);
}

void fanin__put_table(fanin_page *p, const char *title, size_t columns, fanin__cells *c) {
    if (c->failed)
        p->body.failed = true;
    else
        fanin_page_table(p, title, columns, c->count / columns - 1, (const char *const *)c->items);
    for (size_t i = 0; i < c->count; i++) fanin_free(c->items[i]);
    fanin_free(c->items);
    *c = (fanin__cells){0};
}

/* ---- by layer ------------------------------------------------------------------------------------- */

typedef double layer_figure(const fanin_layer_signal *l);
static double figure_h_std(const fanin_layer_signal *l) { return l->h_std; }
static double figure_s(const fanin_layer_signal *l) { return sqrt(l->second_moment); }
static double figure_gradient(const fanin_layer_signal *l) { return l->grad_norm; }
static double figure_weight_gradient(const fanin_layer_signal *l) { return l->weight_grad_std; }
static double figure_saturated(const fanin_layer_signal *l) { return l->saturated; }
static double figure_dead(const fanin_layer_signal *l) { return l->dead; }
static double figure_correlation(const fanin_layer_signal *l) { return l->sample_correlation; }

/* One line a signal over the layers. */
static void layer_chart(fanin_page *p, const char *title, const char *caption, const char *y_label,
                        bool log, const fanin_signal *const *signals, const char *const *names,
                        size_t count, layer_figure *figure) {
    size_t n = 0, deepest = 0; /* networks may differ in depth */
    for (size_t i = 0; i < count; i++)
        if ((size_t)signals[i]->layer_count > n) n = (size_t)signals[deepest = i]->layer_count;
    double *block = fanin_calloc((count + 1) * (n + 1), sizeof *block);
    const char **layer_names = fanin_calloc(n + 1, sizeof *layer_names);
    fanin_series series[FANIN__SIGNALS_MAX] = {{0}};
    if (!block || !layer_names) {
        p->body.failed = true;
        fanin_free(block);
        fanin_free(layer_names);
        return;
    }
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        block[i] = (double)i;
        layer_names[i] = signals[deepest]->layers[i].name;
    }
    for (size_t s = 0; s < count; s++) {
        double *y = block + (s + 1) * (n + 1);
        size_t own = (size_t)signals[s]->layer_count;
        for (size_t i = 0; i < own; i++) {
            y[i] = figure(&signals[s]->layers[i]);
            any = any || isfinite(y[i]);
        }
        series[s] = (fanin_series){.name = names[s], .n = own, .x = block, .y = y, .dots = n <= 40};
    }
    const fanin_chart chart = {.title = title,
                               .caption = caption,
                               .x_label = "layer, from the input",
                               .y_label = y_label,
                               .y_log = log,
                               .x_names = layer_names,
                               .x_name_count = n,
                               .series = series,
                               .series_count = count};
    if (any) fanin_page_chart(p, &chart);
    fanin_free(block);
    fanin_free(layer_names);
}

void fanin__layer_charts(fanin_page *p, const fanin_signal *const *signals,
                         const char *const *names, size_t count) {
    layer_chart(p, "Spread of the activations",
                "Standard deviation of what each layer hands on; flat is what one wants.", "std",
                true, signals, names, count, figure_h_std);
    layer_chart(
        p, "Gradient by layer",
        "Norm of a sample's gradient with respect to the layer's output, before the activation.",
        "gradient norm", true, signals, names, count, figure_gradient);
    layer_chart(p, "Gradient of the weights", "Root mean square over the layer's weights.",
                "rms gradient", true, signals, names, count, figure_weight_gradient);
    layer_chart(
        p, "Likeness of samples",
        "Mean correlation between the layer's outputs for different samples; 1 is collapse.",
        "correlation", false, signals, names, count, figure_correlation);
}

/* Adds a share that is spread evenly over [low, high] to the bins of [-widest, widest]. */
static void spread(double share, double low, double high, double widest, double *bins) {
    double step = 2 * widest / FANIN_HISTOGRAM_BINS;
    for (int b = 0; b < FANIN_HISTOGRAM_BINS; b++) {
        double left = fmax(low, -widest + b * step), right = fmin(high, -widest + (b + 1) * step);
        if (right > left) bins[b] += share * (right - left) / (high - low);
    }
}

enum { ROWS_MAX = 20 };

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of all layers; one that is four times as wide as the middle one must not hide the others. */
static double common_range(const fanin_signal *s, bool gradient) {
    double range[ROWS_MAX];
    size_t n = (size_t)s->layer_count, rows = n < ROWS_MAX ? n : ROWS_MAX;
    for (size_t i = 0; i < rows; i++) {
        const fanin_layer_signal *l = &s->layers[rows > 1 ? i * (n - 1) / (rows - 1) : 0];
        range[i] = gradient ? l->grad_range : l->h_range;
    }
    qsort(range, rows, sizeof *range, compare_doubles);
    return fmin(range[rows - 1], 4 * range[rows / 2]);
}

void fanin__signal_ridges(fanin_page *p, const char *title, const char *caption,
                          const char *x_label, const fanin_signal *s, bool gradient) {
    size_t n = (size_t)s->layer_count;
    size_t rows = n < ROWS_MAX ? n : ROWS_MAX; /* of deep networks evenly spaced layers */
    if (n == 0) return;
    double *shares = fanin_calloc(rows * FANIN_HISTOGRAM_BINS, sizeof *shares), widest;
    const char *names[ROWS_MAX];
    if (!shares) {
        p->body.failed = true;
        return;
    }
    widest = common_range(s, gradient);
    for (size_t i = 0; i < rows; i++) { /* onto the common axis */
        const fanin_layer_signal *l = &s->layers[rows > 1 ? i * (n - 1) / (rows - 1) : 0];
        const double *bins = gradient ? l->grad_bins : l->h_bins;
        double range = gradient ? l->grad_range : l->h_range;
        names[i] = l->name;
        for (int b = 0; b < FANIN_HISTOGRAM_BINS; b++)
            spread(bins[b], range * (2.0 * b / FANIN_HISTOGRAM_BINS - 1),
                   range * (2.0 * (b + 1) / FANIN_HISTOGRAM_BINS - 1), widest,
                   shares + i * FANIN_HISTOGRAM_BINS);
    }
    const fanin_ridges r = {.title = title,
                            .caption = caption,
                            .x_label = x_label,
                            .low = -widest,
                            .high = widest,
                            .rows = rows,
                            .bins = FANIN_HISTOGRAM_BINS,
                            .row_names = names,
                            .shares = shares};
    fanin_page_ridges(p, &r);
    fanin_free(shares);
}

static void layer_table(fanin_page *p, const fanin_signal *s) {
    fanin__cells c = {0};
    static const char *const names[] = {
        "layer",     "op",   "activation", "mean",     "std",        "second moment",
        "saturated", "dead", "corr",       "gradient", "weight std", "weight gradient",
        NULL};
    fanin__heads(&c, names);
    for (int i = 0; i < s->layer_count; i++) {
        const fanin_layer_signal *l = &s->layers[i];
        fanin__cell(&c, "%s", l->name);
        fanin__cell(&c, "%s", l->op);
        fanin__cell(&c, "%s", l->activation ? l->activation : "");
        fanin__cell_number(&c, l->mean);
        fanin__cell_number(&c, l->std);
        fanin__cell_number(&c, l->second_moment);
        fanin__cell_number(&c, l->saturated);
        fanin__cell_number(&c, l->dead);
        fanin__cell_number(&c, l->sample_correlation);
        fanin__cell_number(&c, l->grad_norm);
        fanin__cell_number(&c, l->weight_std);
        fanin__cell_number(&c, l->weight_grad_std);
    }
    fanin__put_table(p, "Every layer", 12, &c);
}

fanin_status fanin_signal_page(const char *model, const char *scheme, const fanin_signal *s,
                               const char *path, fanin_err *err) {
    fanin__text subtitle = {0};
    fanin__text_printf(&subtitle, "%s · %s: %s", scheme, fanin_verdict_name(s->verdict), s->advice);
    fanin_page *p = NULL;
    fanin_status status =
        subtitle.failed ? FANIN_NOMEM : fanin_page_create(model, subtitle.data, &p);
    fanin__text_fini(&subtitle);
    if (status != FANIN_OK) return fanin_err_set(err, status, "%s: no memory", path);
    const char *name = "measured";
    layer_chart(p, "Signal", "Root second moment of each layer's output, before the activation.",
                "root second moment", true, &s, &name, 1, figure_s);
    fanin__layer_charts(p, &s, &name, 1);
    layer_chart(p, "Saturation", "Share of activations with a slope below 5 % of the largest.",
                "share", false, &s, &name, 1, figure_saturated);
    layer_chart(p, "Dead units", "Share of units that no sample switches on.", "share", false, &s,
                &name, 1, figure_dead);
    fanin__signal_ridges(p, "Activations", "Their distribution by layer.", "value", s, false);
    fanin__signal_ridges(p, "Gradients", "Of a sample's loss with respect to the layer's output.",
                         "value", s, true);
    layer_table(p, s);
    status = fanin_page_save(p, path, err);
    fanin_page_destroy(p);
    return status;
}
