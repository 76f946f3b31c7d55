/* pages.c - parts that whole pages share: figures by layer as curves and histograms, the cells of tables. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/pages.h"

/* ---- tables -------------------------------------------------------------------------------------- */

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

static double figure_h_std(const fanin_layer_signal *l) { return l->h_std; }
static double figure_gradient(const fanin_layer_signal *l) { return l->grad_norm; }
static double figure_weight_gradient(const fanin_layer_signal *l) { return l->weight_grad_std; }
static double figure_correlation(const fanin_layer_signal *l) { return l->sample_correlation; }
static double predicted_gradient(const fanin_layer_signal *l) { return l->predicted_grad_norm; }
static double predicted_correlation(const fanin_layer_signal *l) {
    return l->predicted_correlation;
}
static double gradient_spread(const fanin_layer_signal *l) { return l->grad_norm_spread; }

/* A figure by layer of one signal into y, of what spreads over seeds its band too; false: nothing to draw. */
static bool take_curve(const fanin_signal *s, const fanin__layer_curve *c, double *y, double *low,
                       double *high) {
    bool any = false;
    for (int i = 0; i < s->layer_count; i++) {
        const fanin_layer_signal *l = &s->layers[i];
        double decades = c->spread ? c->spread(l) : NAN;
        y[i] = c->figure(l);
        low[i] = y[i] * pow(10, -decades);
        high[i] = y[i] * pow(10, decades);
        any = any || isfinite(y[i]);
    }
    return any;
}

/* What is predicted is a dashed line, what was measured dots on a line; of one signal with its band. */
static size_t draw_one(const fanin_signal *s, const fanin__layer_curve *c, const double *x,
                       double *block, size_t stride, fanin_series *series) {
    size_t n = (size_t)s->layer_count;
    double *y = block, *low = y + stride, *high = low + stride, *expected = high + stride;
    bool any = take_curve(s, c, y, low, high), predicted = false;
    series[0] = (fanin_series){.name = "measured", .n = n, .x = x, .y = y, .dots = n <= 60};
    if (c->spread && s->seeds > 1) {
        series[0].low = low;
        series[0].high = high;
    }
    if (!any) return 0;
    for (size_t i = 0; i < n && c->predicted; i++) {
        expected[i] = c->predicted(&s->layers[i]);
        predicted = predicted || isfinite(expected[i]);
    }
    series[1] = (fanin_series){.name = "predicted", .n = n, .x = x, .y = expected, .dashed = true};
    return predicted ? 2 : 1;
}

void fanin__layer_chart(fanin_page *p, const fanin__layer_curve *c,
                        const fanin_signal *const *signals, const char *const *names,
                        size_t count) {
    size_t n = 0, deepest = 0, drawn = 0; /* networks may differ in depth */
    for (size_t s = 0; s < count; s++)
        if ((size_t)signals[s]->layer_count > n) n = (size_t)signals[deepest = s]->layer_count;
    size_t stride = n + 1;
    double *x = fanin_calloc((count + 5) * stride, sizeof *x), *block = x + stride;
    const char **layer_names = fanin_calloc(n + 1, sizeof *layer_names);
    fanin_series series[FANIN__SIGNALS_MAX + 1] = {{0}};
    if (!x || !layer_names) {
        p->body.failed = true;
        count = 0;
    }
    for (size_t i = 0; i < n && count; i++) {
        x[i] = (double)i;
        layer_names[i] = signals[deepest]->layers[i].name;
    }
    if (count == 1) drawn = draw_one(signals[0], c, x, block, stride, series);
    for (size_t s = 0; s < count && count > 1; s++) {
        double *y = block + s * stride;
        size_t own = (size_t)signals[s]->layer_count;
        for (size_t i = 0; i < own; i++) {
            y[i] = c->figure(&signals[s]->layers[i]);
            if (isfinite(y[i])) drawn = count;
        }
        series[s] = (fanin_series){.name = names[s], .n = own, .x = x, .y = y, .dots = n <= 40};
    }
    const fanin_chart chart = {.title = c->title,
                               .caption = c->caption,
                               .x_label = "layer, from the input",
                               .y_label = c->y_label,
                               .y_log = c->log,
                               .x_names = layer_names,
                               .x_name_count = n,
                               .series = series,
                               .series_count = drawn};
    if (drawn) fanin_page_chart(p, &chart);
    fanin_free(x);
    fanin_free(layer_names);
}

void fanin__layer_charts(fanin_page *p, const fanin_signal *const *signals,
                         const char *const *names, size_t count) {
    const fanin__layer_curve curves[] = {
        {"Spread of the activations",
         "Standard deviation of what each layer hands on; flat is what one wants.", "std", true,
         figure_h_std, NULL, NULL},
        {"Gradient by layer",
         "Norm of a sample's gradient with respect to the layer's output, before the activation.",
         "gradient norm", true, figure_gradient, predicted_gradient, gradient_spread},
        {"Gradient of the weights", "Root mean square over the layer's weights.", "rms gradient",
         true, figure_weight_gradient, NULL, NULL},
        {"Likeness of samples",
         "Mean correlation between the layer's outputs for different samples; 1 is collapse.",
         "correlation", false, figure_correlation, predicted_correlation, NULL},
    };
    for (size_t i = 0; i < FANIN_COUNT(curves); i++)
        fanin__layer_chart(p, &curves[i], signals, names, count);
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

/* Of all layers; one that is four times as wide as the middle one must not hide the others. */
static double common_range(const fanin_signal *s, bool gradient) {
    double range[ROWS_MAX];
    size_t n = (size_t)s->layer_count, rows = n < ROWS_MAX ? n : ROWS_MAX;
    for (size_t i = 0; i < rows; i++) {
        const fanin_layer_signal *l = &s->layers[rows > 1 ? i * (n - 1) / (rows - 1) : 0];
        range[i] = gradient ? l->grad_range : l->h_range;
    }
    qsort(range, rows, sizeof *range, fanin__compare_doubles);
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
