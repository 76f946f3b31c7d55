/* compare_page.c - what a comparison looks like: the ranking with its intervals, curves, the signal before
 * training, the weights. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/pages.h"

enum { LABEL = 128 };

/* Labels and numbers of all ranks, in the order of the ranking. */
typedef struct table {
    size_t rows;
    char (*labels)[LABEL];
    const char **names;
    double *low, *middle, *high;
} table;

static bool table_init(table *t, const fanin_comparison *c) {
    size_t n = t->rows = (size_t)c->rank_count;
    t->labels = fanin_calloc(n + 1, sizeof *t->labels);
    t->names = fanin_calloc(n + 1, sizeof *t->names);
    t->low = fanin_calloc(3 * n + 1, sizeof *t->low);
    if (!t->labels || !t->names || !t->low) return false;
    t->middle = t->low + n;
    t->high = t->low + 2 * n;
    for (size_t i = 0; i < n; i++) {
        const fanin_compare_rank *r = &c->ranks[i];
        bool error = isfinite(r->error);
        double unit = error ? 100 : 1;
        t->names[i] = fanin_compare_label(r, t->labels[i], LABEL);
        t->low[i] = unit * r->low;
        t->middle[i] = unit * (error ? r->error : r->loss);
        t->high[i] = unit * r->high;
    }
    return true;
}

static void table_fini(table *t) {
    fanin_free(t->labels);
    fanin_free(t->names);
    fanin_free(t->low);
}

/* A number of so many decimals; a column of them reads better than significant digits do. */
static void decimals(fanin__cells *cells, int digits, double v) {
    if (isfinite(v))
        fanin__cell(cells, "%.*f", digits, v);
    else
        fanin__cell_number(cells, v);
}

static void ranking(fanin_page *p, const fanin_comparison *c, const table *t) {
    fanin__cells cells = {0};
    static const char *const names[] = {
        "configuration", "test error %", "95 % from", "to",       "p",       "trained", "test loss",
        "to target",     "before",       "signal",    "gradient", "seconds", NULL};
    bool error = c->rank_count && isfinite(c->ranks[0].error);
    int places = error && c->ranks[0].error < 0.1 ? 2 : 1;
    fanin__heads(&cells, names);
    for (size_t i = 0; i < t->rows; i++) {
        const fanin_compare_rank *r = &c->ranks[i];
        fanin__cell(&cells, "%s", t->names[i]);
        decimals(&cells, places, 100 * r->error);
        decimals(&cells, error ? places : 4, t->low[i]);
        decimals(&cells, error ? places : 4, t->high[i]);
        decimals(&cells, 3, r->p_value);
        fanin__cell(&cells, "%d of %d", r->trained, r->runs);
        decimals(&cells, error ? 3 : 4, r->loss);
        decimals(&cells, 0, r->steps_to_target);
        fanin__cell(&cells, "%s", r->signal ? fanin_verdict_name(r->verdict) : "");
        decimals(&cells, 2, r->forward_slope);
        decimals(&cells, 2, r->backward_slope);
        decimals(&cells, 1, r->seconds);
    }
    fanin__put_table(p, "Best first", 12, &cells);
}

static void intervals(fanin_page *p, const fanin_comparison *c, const table *t) {
    bool error = c->rank_count && isfinite(c->ranks[0].error);
    const fanin__intervals f = {
        .title = error ? "Test error" : "Test loss",
        .caption = "Median over seeds, and where it lies with 95 % confidence (bootstrap).",
        .x_label = error ? "test error, %" : "test loss",
        .rows = t->rows,
        .names = t->names,
        .low = t->low,
        .middle = t->middle,
        .high = t->high};
    if (t->rows) fanin__page_intervals(p, &f);
}

/* Medians over seeds, in a band of the middle half of them. */
static void curves(fanin_page *p, const fanin_comparison *c, const table *t, const char *title,
                   const char *caption, const char *label, fanin_curve which) {
    size_t longest = 0, count = t->rows < FANIN__PALETTE ? t->rows : FANIN__PALETTE;
    for (int i = 0; i < c->run_count; i++)
        if (c->runs[i].result.count > longest) longest = c->runs[i].result.count;
    fanin_series series[FANIN__PALETTE] = {{0}};
    double *block = fanin_calloc(4 * count * longest + 1, sizeof *block);
    if (!block) {
        p->body.failed = true;
        return;
    }
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        double *x = block + 4 * i * longest, *y = x + longest, *low = y + longest,
               *high = low + longest;
        const fanin_compare_rank *r = &c->ranks[i];
        size_t n = 0;
        if (fanin_comparison_curve(c, r, which, x, y, low, high, &n) != FANIN_OK)
            p->body.failed = true;
        bool band = r->runs > 2;
        series[i] = (fanin_series){.name = t->names[i],
                                   .n = n,
                                   .x = x,
                                   .y = y,
                                   .low = band ? low : NULL,
                                   .high = band ? high : NULL};
        for (size_t k = 0; k < n; k++) any = any || isfinite(y[k]);
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

static fanin_status weights_table(fanin_page *p, const fanin_comparison *c, const table *t,
                                  fanin_err *err) {
    fanin__cells cells = {0};
    static const char *const names[] = {"configuration", "tensor", "shape", "rule",
                                        "std",           "gain",   "why",   NULL};
    fanin__heads(&cells, names);
    for (int i = 0; i < c->rank_count; i++) {
        fanin_init_options init = c->init;
        init.scheme = c->ranks[i].scheme;
        fanin_plan *plan;
        bool seen = false; /* optimisers do not change what is drawn */
        for (int k = 0; k < i && !seen; k++)
            seen = c->ranks[k].graph == c->ranks[i].graph &&
                   !strcmp(c->ranks[k].scheme, c->ranks[i].scheme);
        if (seen) continue;
        fanin_status status = fanin_plan_create(c->ranks[i].graph, &init, &plan, err);
        if (status != FANIN_OK) {
            fanin__put_table(p, "Weights", 7, &cells);
            return status;
        }
        for (int k = 0; k < fanin_plan_count(plan); k++) {
            const fanin_plan_row *row = fanin_plan_row_at(plan, k);
            char shape[96];
            if (!fanin_class_is_weight(row->tensor.cls)) continue;
            fanin__cell(&cells, "%s", t->names[i]);
            fanin__cell(&cells, "%s", row->tensor.name);
            fanin__cell(&cells, "%s",
                        fanin__shape_text(row->tensor.dims, row->tensor.rank, shape, sizeof shape));
            fanin__cell(&cells, "%s", row->rule_text);
            fanin__cell_number(&cells, row->moments.std);
            fanin__cell_number(&cells, row->moments.gain);
            fanin__cell(&cells, "%s", row->reason);
        }
        fanin_plan_destroy(plan);
    }
    fanin__put_table(p, "Weights: what each scheme gives each tensor", 7, &cells);
    return FANIN_OK;
}

static void explain_pictures(fanin_page *p, const fanin_comparison *c, const table *t) {
    const fanin_signal *signals[FANIN__PALETTE];
    const char *names[FANIN__PALETTE];
    size_t count = 0;
    for (size_t i = 0; i < t->rows && count < FANIN__PALETTE; i++) {
        if (!c->ranks[i].signal) continue;
        signals[count] = c->ranks[i].signal;
        names[count++] = t->names[i];
    }
    if (count == 0) return;
    fanin_page_heading(p, "Before training: the signal");
    fanin_page_paragraph(p, "One pass over fresh samples. A curve that falls to the right loses "
                            "the signal on its way to the output; "
                            "a gradient curve that falls to the left leaves the first layers "
                            "without anything to learn from.");
    fanin__layer_charts(p, signals, names, count);
    for (size_t i = 0; i < count; i++) {
        char title[LABEL + 16];
        snprintf(title, sizeof title, "Activations, %s", names[i]);
        fanin__signal_ridges(p, title, signals[i]->advice, "value", signals[i], false);
    }
}

static void how(fanin_page *p, const fanin_comparison *c) {
    char text[800];
    int n = snprintf(
        text, sizeof text,
        "Runs of one seed see the same batches in the same order. p: Wilcoxon's signed-rank test "
        "against the best, seed by seed, with Holm's correction. Trained: runs whose test loss "
        "fell by more than 3 %%. To target: steps until test loss %.4g. Before: the verdict on the "
        "untrained network; signal and gradient: decades a layer.",
        c->target_loss);
    if (fanin_comparison_least_p(c) > 0.05)
        n += snprintf(text + n, sizeof text - (size_t)n,
                      " With so few seeds none could be below %.2g, whatever the runs say.",
                      fanin_comparison_least_p(c));
    if (isfinite(c->ranks[0].lr) && c->validation)
        snprintf(text + n, sizeof text - (size_t)n,
                 " Learning rates were chosen, for each configuration, by the median loss on %llu "
                 "samples of the training split that were held out; all figures are of the test "
                 "split.",
                 (unsigned long long)c->validation);
    fanin_page_paragraph(p, text);
}

static void put_all(fanin_page *p, const fanin_comparison *c, const table *t) {
    fanin_page_heading(p, "The result");
    ranking(p, c, t);
    how(p, c);
    if (c->ranks[0].runs > 1) intervals(p, c, t);
    curves(p, c, t, "Test loss", "On samples that training never sees; natural logarithm.",
           "test loss", FANIN_CURVE_TEST_LOSS);
    curves(p, c, t, "Test error", "Share of test samples given the wrong class.", "test error, %",
           FANIN_CURVE_TEST_ERROR);
    explain_pictures(p, c, t);
}

fanin_status fanin_comparison_page(const fanin_comparison *c, const char *link, const char *path,
                                   fanin_err *err) {
    char title[256], subtitle[512];
    snprintf(title, sizeof title, "%.120s on %.60s", c->model, c->data);
    snprintf(subtitle, sizeof subtitle,
             "%d configurations, %d seed%s each, %llu steps: the same batches in the same order. "
             "What differs is where the weights start, and what the names below say.",
             c->rank_count, c->rank_count ? c->ranks[0].runs : 0,
             c->rank_count && c->ranks[0].runs > 1 ? "s" : "", (unsigned long long)c->steps);
    table t = {0};
    fanin_page *p = NULL;
    fanin_status status = fanin_page_create(title, subtitle, &p);
    if (status == FANIN_OK && !table_init(&t, c)) status = FANIN_NOMEM;
    if (status != FANIN_OK) {
        table_fini(&t);
        fanin_page_destroy(p);
        return fanin_err_set(err, status, "%s: no memory", path);
    }
    if (link) fanin_page_link(p, link, link);
    put_all(p, c, &t);
    fanin_page_heading(p, "The weights");
    status = weights_table(p, c, &t, err);
    if (status == FANIN_OK) status = fanin_page_save(p, path, err);
    table_fini(&t);
    fanin_page_destroy(p);
    return status;
}
