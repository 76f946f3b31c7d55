/* rank.c - medians with intervals, paired tests, the choice of learning rates, the order of the ranking. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fanin/random.h"
#include "train/compare.h"

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x) || isnan(y)) return isnan(x) - isnan(y); /* what is no number comes last */
    return (x > y) - (x < y);
}

double fanin__median(double *v, size_t n) {
    if (n == 0) return NAN;
    qsort(v, n, sizeof *v, compare_doubles);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

enum { RESAMPLES = 2000, EXACT_PAIRS = 500 };

fanin_status fanin__median_interval(const double *v, size_t n, double *low, double *high) {
    *low = *high = NAN;
    if (n == 0) return FANIN_OK;
    double *sample = fanin_calloc(n + RESAMPLES, sizeof *sample), *medians = sample + n;
    if (!sample) return FANIN_NOMEM;
    const fanin_stream s = fanin_stream_init(0, "compare/bootstrap");
    for (size_t k = 0; k < RESAMPLES; k++) {
        for (size_t i = 0; i < n; i++) {
            uint32_t word;
            fanin_stream_words(&s, 0, k * n + i, 1, &word);
            sample[i] = v[(size_t)(((uint64_t)word * n) >> 32)];
        }
        medians[k] = fanin__median(sample, n);
    }
    qsort(medians, RESAMPLES, sizeof *medians, compare_doubles);
    *low = medians[RESAMPLES / 40];
    *high = medians[RESAMPLES - 1 - RESAMPLES / 40];
    fanin_free(sample);
    return FANIN_OK;
}

/* ---- the signed-rank test -------------------------------------------------------------------------- */

typedef struct difference {
    double size;
    bool positive;
    size_t rank2; /* twice the rank: ties share the mean of theirs */
} difference;

static int by_size(const void *a, const void *b) {
    double x = ((const difference *)a)->size, y = ((const difference *)b)->size;
    return (x > y) - (x < y);
}

static double worst(double v) { return isnan(v) ? INFINITY : v; }

/* Pairs that differ, with their ranks. */
static size_t rank_differences(const double *a, const double *b, size_t n, difference *d) {
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        double x = worst(a[i]), y = worst(b[i]);
        if (x != y) d[m++] = (difference){.size = fabs(x - y), .positive = x > y};
    }
    qsort(d, m, sizeof *d, by_size);
    for (size_t i = 0; i < m;) {
        size_t end = i;
        while (end < m && d[end].size == d[i].size) end++;
        for (size_t k = i; k < end; k++) d[k].rank2 = i + 1 + end;
        i = end;
    }
    return m;
}

/* P(W+ <= w) where each rank is counted with probability 1/2. */
static fanin_status exact_tail(const difference *d, size_t m, size_t w2, double *p) {
    size_t total = m * (m + 1);
    double *law = fanin_calloc(total + 1, sizeof *law);
    if (!law) return FANIN_NOMEM;
    law[0] = 1;
    for (size_t i = 0; i < m; i++)
        for (size_t s = total + 1; s-- > 0;)
            law[s] = 0.5 * law[s] + (s >= d[i].rank2 ? 0.5 * law[s - d[i].rank2] : 0);
    *p = 0;
    for (size_t s = 0; s <= w2; s++) *p += law[s];
    fanin_free(law);
    return FANIN_OK;
}

fanin_status fanin__wilcoxon(const double *a, const double *b, size_t n, double *p) {
    *p = 1;
    difference *d = fanin_calloc(n + 1, sizeof *d);
    if (!d) return FANIN_NOMEM;
    size_t m = rank_differences(a, b, n, d), plus = 0, all = m * (m + 1);
    double squares = 0;
    for (size_t i = 0; i < m; i++) {
        if (d[i].positive) plus += d[i].rank2;
        squares += (double)d[i].rank2 * (double)d[i].rank2;
    }
    size_t less = plus < all - plus ? plus : all - plus;
    double tail = 0.5;
    fanin_status status = FANIN_OK;
    if (m > EXACT_PAIRS)
        tail = 0.5 * erfc(((double)all / 2 - (double)less - 1) / sqrt(squares / 4) / sqrt(2));
    else if (m > 0)
        status = exact_tail(d, m, less, &tail);
    *p = fmin(1, 2 * tail);
    fanin_free(d);
    return status;
}

void fanin__holm(double *p, size_t n) {
    size_t tests = 0, done = 0;
    double before = 0, last = -1;
    for (size_t i = 0; i < n; i++) tests += isnan(p[i]) ? 0 : 1;
    while (done < tests) { /* smallest first; few configurations, so no sorting */
        double least = INFINITY;
        for (size_t i = 0; i < n; i++)
            if (p[i] <= 1 && p[i] > last && p[i] < least) least = p[i];
        if (!isfinite(least)) break;
        size_t equal = 0;
        for (size_t i = 0; i < n; i++) equal += p[i] == least;
        before = fmax(before, fmin(1, least * (double)(tests - done)));
        for (size_t i = 0; i < n; i++)
            if (p[i] == least) p[i] = 2 + before; /* beyond 1: is adjusted already */
        last = least;
        done += equal;
    }
    for (size_t i = 0; i < n; i++)
        if (p[i] >= 2) p[i] -= 2;
}

/* ---- a ranking ------------------------------------------------------------------------------------- */

static const fanin_train_point *last_point(const fanin_compare_run *run) {
    const fanin_train_result *r = &run->result;
    return run->complete && r->count && !r->diverged ? &r->points[r->count - 1] : NULL;
}

static double steps_to(const fanin_train_result *r, double target) {
    for (size_t i = 0; i < r->count; i++)
        if (r->points[i].test_loss <= target) return (double)r->points[i].step;
    return NAN;
}

/* What a run is judged by; infinite when it diverged. */
static double judged(const fanin_compare_run *run, bool by_error) {
    const fanin_train_point *p = last_point(run);
    return p ? worst(by_error ? p->test_error : p->test_loss) : INFINITY;
}

/* The learning rate with the lowest median loss on the samples held out. */
static int choose_lr(const fanin__grid *g, const fanin_compare_run *runs, double *scratch) {
    int best = 0;
    double lowest = INFINITY;
    for (int l = 0; l < g->lr_count; l++) {
        const fanin_compare_run *of = runs + (size_t)l * (size_t)g->seeds;
        for (int s = 0; s < g->seeds; s++) {
            const fanin_train_point *p = last_point(&of[s]);
            scratch[s] = p ? worst(p->valid_loss) : INFINITY;
        }
        double m = fanin__median(scratch, (size_t)g->seeds);
        if (m < lowest) {
            lowest = m;
            best = l;
        }
    }
    return best;
}

static fanin_status rank_way(const fanin__grid *g, const fanin_comparison *c, int way,
                             bool by_error, double *scratch, fanin_compare_rank *rank) {
    size_t n = (size_t)g->seeds, kept = 0, reached = 0;
    const fanin__way *w = &g->ways[way];
    size_t first = (size_t)way * (size_t)g->lr_count * n;
    int lr = g->lr_count > 1 ? choose_lr(g, c->runs + first, scratch) : 0;
    double *loss = scratch, *error = scratch + n, *steps = scratch + 2 * n,
           *seconds = scratch + 3 * n, *score = scratch + 4 * n;
    first += (size_t)lr * n;
    const fanin_compare_run *runs = c->runs + first;
    *rank = (fanin_compare_rank){.scheme = w->scheme,
                                 .activation = w->activation,
                                 .depth = w->depth,
                                 .optimizer = g->options->optimizer_count ? w->optimizer : NULL,
                                 .lr = g->options->lr_count ? g->options->lrs[lr] : NAN,
                                 .graph = w->graph,
                                 .first_run = first,
                                 .runs = g->seeds,
                                 .p_value = NAN,
                                 .signal = rank->signal};
    for (size_t i = 0; i < n; i++) {
        const fanin_train_point *p = last_point(&runs[i]);
        seconds[i] = runs[i].result.seconds;
        score[i] = judged(&runs[i], by_error);
        if (!p) continue;
        loss[kept] = p->test_loss;
        error[kept++] = p->test_error;
        double s = steps_to(&runs[i].result, c->target_loss);
        if (isfinite(s)) steps[reached++] = s;
        rank->trained += p->test_loss < 0.97 * runs[i].result.points[0].test_loss;
    }
    rank->steps_to_target = reached * 2 > n ? fanin__median(steps, reached) : NAN;
    rank->seconds = fanin__median(seconds, n);
    rank->loss = fanin__median(loss, kept);
    rank->error = fanin__median(error, kept);
    if (kept) FANIN_TRY(fanin__median_interval(score, n, &rank->low, &rank->high));
    if (!isfinite(rank->low)) rank->low = NAN;
    if (!isfinite(rank->high)) rank->high = NAN; /* some diverged */
    if (!rank->signal) return FANIN_OK;
    rank->verdict = rank->signal->verdict;
    rank->forward_slope = rank->signal->forward_slope;
    rank->backward_slope = rank->signal->backward_slope;
    return FANIN_OK;
}

static int compare_ranks(const void *a, const void *b) {
    const fanin_compare_rank *x = a, *y = b;
    int by_error = compare_doubles(&x->error, &y->error);
    return by_error ? by_error : compare_doubles(&x->loss, &y->loss);
}

/* Each against the first, seed by seed. */
static fanin_status test_ranks(const fanin__grid *g, fanin_comparison *c, bool by_error,
                               double *scratch) {
    size_t n = (size_t)g->seeds, count = (size_t)c->rank_count;
    double *best = scratch, *other = scratch + n, *p = scratch + 2 * n;
    for (size_t i = 0; i < n; i++) best[i] = judged(&c->runs[c->ranks[0].first_run + i], by_error);
    for (size_t k = 0; k < count; k++) {
        p[k] = NAN;
        if (k == 0) continue;
        for (size_t i = 0; i < n; i++)
            other[i] = judged(&c->runs[c->ranks[k].first_run + i], by_error);
        FANIN_TRY(fanin__wilcoxon(best, other, n, &p[k]));
    }
    fanin__holm(p, count);
    for (size_t k = 0; k < count; k++) c->ranks[k].p_value = p[k];
    return FANIN_OK;
}

static fanin_status rank_with(const fanin__grid *g, fanin_comparison *c, double *scratch) {
    bool by_error = fanin_dataset_get_info(g->data)->classes > 0;
    double best = INFINITY;
    for (int i = 0; i < c->run_count; i++) {
        const fanin_train_point *p = last_point(&c->runs[i]);
        if (p && p->test_loss < best) best = p->test_loss;
    }
    c->target_loss = g->options->target_loss > 0 ? g->options->target_loss : 1.05 * best;
    c->rank_count = g->way_count;
    for (int w = 0; w < g->way_count; w++)
        FANIN_TRY(rank_way(g, c, w, by_error, scratch, &c->ranks[w]));
    qsort(c->ranks, (size_t)g->way_count, sizeof *c->ranks, compare_ranks);
    return g->seeds > 1 ? test_ranks(g, c, by_error, scratch) : FANIN_OK;
}

fanin_status fanin__rank_all(const fanin__grid *g, fanin_comparison *c, fanin_err *err) {
    size_t room = (size_t)g->seeds * 5 + (size_t)g->way_count;
    double *scratch = fanin_calloc(room, sizeof *scratch);
    fanin_status status = scratch ? rank_with(g, c, scratch) : FANIN_NOMEM;
    fanin_free(scratch);
    return status == FANIN_OK ? status : fanin_err_set(err, status, "compare: no memory");
}

/* ---- what is shown --------------------------------------------------------------------------------- */

const char *fanin_compare_label(const fanin_compare_rank *r, char *buf, size_t size) {
    char lr[32] = "", depth[24] = "";
    if (r->depth) snprintf(depth, sizeof depth, " %d deep", r->depth);
    if (!isnan(r->lr)) snprintf(lr, sizeof lr, " lr %.4g", r->lr);
    snprintf(buf, size, "%s%s%s%s%s%s%s", r->scheme, r->activation ? " " : "",
             r->activation ? r->activation : "", depth, r->optimizer ? " " : "",
             r->optimizer ? r->optimizer : "", lr);
    return buf;
}

double fanin_comparison_least_p(const fanin_comparison *c) {
    if (c->rank_count < 2) return 1;
    return fmin(1, ldexp(2.0 * (c->rank_count - 1), -c->ranks[0].runs));
}

static double curve_value(const fanin_train_point *p, fanin_curve which) {
    return which == FANIN_CURVE_TEST_LOSS    ? p->test_loss
           : which == FANIN_CURVE_TEST_ERROR ? 100 * p->test_error
                                             : p->train_loss;
}

fanin_status fanin_comparison_curve(const fanin_comparison *c, const fanin_compare_rank *r,
                                    fanin_curve which, double *x, double *median, double *low,
                                    double *high, size_t *n) {
    const fanin_compare_run *runs = c->runs + r->first_run;
    size_t seeds = (size_t)r->runs, longest = 0;
    double *v = fanin_calloc(seeds + 1, sizeof *v);
    *n = 0;
    if (!v) return FANIN_NOMEM;
    for (size_t s = 1; s < seeds; s++)
        if (runs[s].result.count > runs[longest].result.count) longest = s;
    for (size_t k = 0; k < runs[longest].result.count; k++, ++*n) {
        size_t kept = 0;
        x[k] = (double)runs[longest].result.points[k].step;
        for (size_t s = 0; s < seeds; s++)
            if (k < runs[s].result.count) v[kept++] = curve_value(&runs[s].result.points[k], which);
        median[k] = fanin__median(v, kept); /* sorts */
        low[k] = v[(kept - 1) / 4];
        high[k] = v[kept - 1 - (kept - 1) / 4];
    }
    fanin_free(v);
    return FANIN_OK;
}
