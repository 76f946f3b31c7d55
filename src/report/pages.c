/* pages.c - what a check and a comparison look like. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/page.h"

/* Cells of a table, collected row by row. */
typedef struct cells {
    char **items;
    size_t count, capacity;
    bool failed;
} cells;

static void cell(cells *c, const char *format, ...) FANIN_PRINTF(2, 3);
static void cell(cells *c, const char *format, ...) {
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

static void number(cells *c, double v) {
    char buf[32];
    cell(c, "%s", fanin__figure_text(v, buf));
}

static void heads(cells *c, const char *const *names) {
    for (; *names; names++) cell(c, "%s", *names);
}

static void put_table(fanin_page *p, const char *title, size_t columns, cells *c) {
    if (c->failed)
        p->body.failed = true;
    else
        fanin_page_table(p, title, columns, c->count / columns - 1, (const char *const *)c->items);
    for (size_t i = 0; i < c->count; i++) fanin_free(c->items[i]);
    fanin_free(c->items);
    *c = (cells){0};
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

enum { SIGNALS_MAX = 16 };

/* One line a signal over the layers. */
static void layer_chart(fanin_page *p, const char *title, const char *caption, const char *y_label,
                        bool log, const fanin_signal *const *signals, const char *const *names,
                        size_t count, layer_figure *figure) {
    size_t n = count ? (size_t)signals[0]->layer_count : 0;
    double *block = fanin_calloc((count + 1) * (n + 1), sizeof *block);
    const char **layer_names = fanin_calloc(n + 1, sizeof *layer_names);
    fanin_series series[SIGNALS_MAX] = {{0}};
    if (!block || !layer_names) {
        p->body.failed = true;
        fanin_free(block);
        fanin_free(layer_names);
        return;
    }
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        block[i] = (double)i;
        layer_names[i] = signals[0]->layers[i].name;
    }
    for (size_t s = 0; s < count; s++) {
        double *y = block + (s + 1) * (n + 1);
        for (size_t i = 0; i < n; i++) {
            y[i] = figure(&signals[s]->layers[i]);
            any = any || isfinite(y[i]);
        }
        series[s] = (fanin_series){.name = names[s], .n = n, .x = block, .y = y, .dots = n <= 40};
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

static void layer_charts(fanin_page *p, const fanin_signal *const *signals,
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

static void ridges(fanin_page *p, const char *title, const char *caption, const char *x_label,
                   const fanin_signal *s, bool gradient) {
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
    cells c = {0};
    static const char *const names[] = {
        "layer",     "op",   "activation", "mean",     "std",        "second moment",
        "saturated", "dead", "corr",       "gradient", "weight std", "weight gradient",
        NULL};
    heads(&c, names);
    for (int i = 0; i < s->layer_count; i++) {
        const fanin_layer_signal *l = &s->layers[i];
        cell(&c, "%s", l->name);
        cell(&c, "%s", l->op);
        cell(&c, "%s", l->activation ? l->activation : "");
        number(&c, l->mean);
        number(&c, l->std);
        number(&c, l->second_moment);
        number(&c, l->saturated);
        number(&c, l->dead);
        number(&c, l->sample_correlation);
        number(&c, l->grad_norm);
        number(&c, l->weight_std);
        number(&c, l->weight_grad_std);
    }
    put_table(p, "Every layer", 12, &c);
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
    layer_charts(p, &s, &name, 1);
    layer_chart(p, "Saturation", "Share of activations with a slope below 5 % of the largest.",
                "share", false, &s, &name, 1, figure_saturated);
    layer_chart(p, "Dead units", "Share of units that no sample switches on.", "share", false, &s,
                &name, 1, figure_dead);
    ridges(p, "Activations", "Their distribution by layer.", "value", s, false);
    ridges(p, "Gradients", "Of a sample's loss with respect to the layer's output.", "value", s,
           true);
    layer_table(p, s);
    status = fanin_page_save(p, path, err);
    fanin_page_destroy(p);
    return status;
}

/* ---- a comparison --------------------------------------------------------------------------------- */

static const fanin_compare_run *first_run(const fanin_comparison *c, const char *scheme) {
    for (int i = 0; i < c->run_count; i++)
        if (c->runs[i].scheme == scheme) return &c->runs[i];
    return NULL;
}

static void ranking(fanin_page *p, const fanin_comparison *c) {
    cells t = {0};
    static const char *const names[] = {"scheme",
                                        "verdict before training",
                                        "signal, decades / layer",
                                        "gradient, decades / layer",
                                        "test loss",
                                        "test error %",
                                        "steps to target",
                                        "seconds",
                                        NULL};
    heads(&t, names);
    for (int i = 0; i < c->rank_count; i++) {
        const fanin_compare_rank *r = &c->ranks[i];
        cell(&t, "%s", r->scheme);
        cell(&t, "%s", fanin_verdict_name(r->verdict));
        number(&t, r->forward_slope);
        number(&t, r->backward_slope);
        number(&t, r->loss);
        number(&t, 100 * r->error);
        number(&t, r->steps_to_target);
        number(&t, r->seconds);
    }
    put_table(p, "Best first", 8, &t);
}

/* Training curves of the first seed of each scheme. */
static void curves(fanin_page *p, const fanin_comparison *c, const char *title, const char *caption,
                   const char *label, int which) {
    size_t total = 0, count = 0, at = 0;
    fanin_series series[SIGNALS_MAX] = {{0}};
    for (int i = 0; i < c->rank_count; i++) total += first_run(c, c->ranks[i].scheme)->result.count;
    double *block = fanin_calloc(2 * total + 2, sizeof *block);
    if (!block) {
        p->body.failed = true;
        return;
    }
    bool any = false;
    for (int i = 0; i < c->rank_count && count < SIGNALS_MAX; i++) {
        const fanin_train_result *r = &first_run(c, c->ranks[i].scheme)->result;
        double *x = block + at, *y = block + total + 1 + at;
        for (size_t k = 0; k < r->count; k++) {
            const fanin_train_point *point = &r->points[k];
            x[k] = (double)point->step;
            y[k] = which == 0   ? point->train_loss
                   : which == 1 ? point->test_loss
                                : 100 * point->test_error;
            any = any || isfinite(y[k]);
        }
        series[count++] = (fanin_series){.name = c->ranks[i].scheme, .n = r->count, .x = x, .y = y};
        at += r->count;
    }
    const fanin_chart chart = {.title = title,
                               .caption = caption,
                               .x_label = "step",
                               .y_label = label,
                               .series = series,
                               .series_count = count};
    if (any) fanin_page_chart(p, &chart);
    fanin_free(block);
}

static fanin_status weights_table(fanin_page *p, const fanin_comparison *c,
                                  const fanin_graph *graph, fanin_err *err) {
    cells t = {0};
    static const char *const names[] = {"scheme", "tensor", "shape", "rule",
                                        "std",    "gain",   "why",   NULL};
    heads(&t, names);
    for (int i = 0; i < c->rank_count; i++) {
        const fanin_init_options init = {.scheme = c->ranks[i].scheme};
        fanin_plan *plan;
        fanin_status status = fanin_plan_create(graph, &init, &plan, err);
        if (status != FANIN_OK) {
            put_table(p, "Weights", 7, &t);
            return status;
        }
        for (int k = 0; k < fanin_plan_count(plan); k++) {
            const fanin_plan_row *row = fanin_plan_row_at(plan, k);
            char shape[96];
            if (!fanin_class_is_weight(row->tensor.cls)) continue;
            cell(&t, "%s", c->ranks[i].scheme);
            cell(&t, "%s", row->tensor.name);
            cell(&t, "%s",
                 fanin__shape_text(row->tensor.dims, row->tensor.rank, shape, sizeof shape));
            cell(&t, "%s", row->rule_text);
            number(&t, row->moments.std);
            number(&t, row->moments.gain);
            cell(&t, "%s", row->reason);
        }
        fanin_plan_destroy(plan);
    }
    put_table(p, "Weights: what each scheme gives each tensor", 7, &t);
    return FANIN_OK;
}

static void explain_pictures(fanin_page *p, const fanin_comparison *c) {
    const fanin_signal *signals[SIGNALS_MAX];
    const char *names[SIGNALS_MAX];
    size_t count = 0;
    for (int i = 0; i < c->rank_count && count < SIGNALS_MAX; i++) {
        const fanin_compare_run *run = first_run(c, c->ranks[i].scheme);
        if (!run->signal) continue;
        signals[count] = run->signal;
        names[count++] = run->scheme;
    }
    if (count == 0) return;
    fanin_page_heading(p, "Before training: the signal");
    fanin_page_paragraph(p, "One pass over fresh samples. A curve that falls to the right loses "
                            "the signal on its way to the output; "
                            "a gradient curve that falls to the left leaves the first layers "
                            "without anything to learn from.");
    layer_charts(p, signals, names, count);
    for (size_t i = 0; i < count; i++) {
        char title[96];
        snprintf(title, sizeof title, "Activations, %.60s", names[i]);
        ridges(p, title, signals[i]->advice, "value", signals[i], false);
    }
}

fanin_status fanin_comparison_page(const fanin_comparison *c, const fanin_graph *graph,
                                   const char *link, const char *path, fanin_err *err) {
    char title[256], subtitle[512];
    snprintf(title, sizeof title, "%.120s on %.60s", c->model, c->data);
    snprintf(subtitle, sizeof subtitle,
             "%d initialisations of the same network, the same batches in the same order, %llu "
             "steps. The only difference is "
             "where the weights start.",
             c->rank_count, (unsigned long long)c->steps);
    fanin_page *p;
    fanin_status status = fanin_page_create(title, subtitle, &p);
    if (status != FANIN_OK) return fanin_err_set(err, status, "%s: no memory", path);
    if (link) fanin_page_link(p, link, "The same on MNIST");
    fanin_page_heading(p, "The result");
    ranking(p, c);
    curves(p, c, "Test loss", "On samples that training never sees; natural logarithm.",
           "test loss", 1);
    curves(p, c, "Test error", "Share of test samples given the wrong class.", "test error, %", 2);
    explain_pictures(p, c);
    fanin_page_heading(p, "The weights");
    status = weights_table(p, c, graph, err);
    if (status == FANIN_OK) status = fanin_page_save(p, path, err);
    fanin_page_destroy(p);
    return status;
}
