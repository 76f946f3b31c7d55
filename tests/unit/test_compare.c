/* Comparison: statistics against published values, grids, learning rates, and the run store. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "fanin/runs.h"
#include "testing.h"
#include "train/compare.h"

static double wilcoxon(const double *a, const double *b, size_t n) {
    double p;
    assert_ok(fanin__wilcoxon(a, b, n, &p));
    return p;
}

/* Tables of the signed-rank statistic (Wilcoxon 1945): P(T <= 8 | n = 10) = 25/1024; all of one sign: 2/2^n. */
TEST(signed_rank_as_the_tables_have_it) {
    static const double zero[12] = {0}, up[] = {1, 2, 3, 4, 5, 6},
                        t8[] = {1, 2, 3, 4, 5, -6, 7, -2.5, 9, 10};
    assert_near(wilcoxon(zero, up, 5), 2.0 / 32, 1e-15, 0);
    assert_near(wilcoxon(up, zero, 6), 2.0 / 64, 1e-15, 0);
    /* ranks of 2.5 and 6 in t8: 3 and 7; T = 10: P(T <= 10 | n = 10) = 43/1024 */
    assert_near(wilcoxon(t8, zero, 10), 2 * 43.0 / 1024, 1e-12, 0);
    static const double eight[] = {1, 2, -3, 4, -5, 6, 7, 8, 9, 10};
    assert_near(wilcoxon(eight, zero, 10), 2 * 25.0 / 1024, 1e-12, 0);
    assert_near(wilcoxon(zero, zero, 10), 1, 0, 0);
    /* a pair that agrees is left out */
    static const double six[] = {0, 1, 2, 3, 4, 5};
    assert_near(wilcoxon(six, zero, 6), 2.0 / 32, 1e-15, 0);
    /* ties: |d| = 1 1 2 2, one of the ones negative; of the 16 sums of {1.5 1.5 3.5 3.5} three are <= 1.5 */
    static const double ties[] = {1, -1, 2, 2};
    assert_near(wilcoxon(ties, zero, 4), 2 * 3.0 / 16, 1e-15, 0);
    /* what diverged is worse than anything */
    static const double some[] = {1, 2, 3, 4, NAN}, better[] = {0, 1, 2, 3, 4},
                        gone[] = {NAN, NAN, NAN, NAN, NAN};
    assert_near(wilcoxon(some, better, 5), 2.0 / 32, 1e-15, 0);
    assert_near(wilcoxon(gone, gone, 5), 1, 0, 0);
}

/* 500 pairs exactly, 501 by the normal law, with continuity correction: W is n (n + 1) / 4 on average, its
 * variance n (n + 1) (2 n + 1) / 24. */
TEST(exact_and_normal_laws_meet) {
    static double a[501], zero[501];
    for (size_t n = 500; n <= 501; n++) {
        double plus = 0, all = (double)(n * (n + 1));
        for (size_t i = 0; i < n; i++) {
            bool positive = i % 9 < 5;
            a[i] = (positive ? 1 : -1) * (1 + 0.001 * (double)i);
            if (positive) plus += (double)i + 1;
        }
        double z = (fabs(plus - all / 4) - 0.5) / sqrt(all * (2 * (double)n + 1) / 24);
        double p = wilcoxon(a, zero, n);
        assert_true(p > 0.001 && p < 0.2);
        assert_near(p, erfc(z / sqrt(2)), n == 500 ? 2e-4 : 1e-12, 0);
    }
}

TEST(holm_as_published) {
    double p[] = {0.01, 0.04, NAN, 0.03, 0.005};
    fanin__holm(p, 5);
    assert_near(p[0], 0.03, 1e-15, 0);
    assert_near(p[1], 0.06, 1e-15, 0);
    assert_true(isnan(p[2]));
    assert_near(p[3], 0.06, 1e-15, 0);
    assert_near(p[4], 0.02, 1e-15, 0);
    double ones[] = {0.6, 0.6, 0.9};
    fanin__holm(ones, 3);
    for (int i = 0; i < 3; i++) assert_near(ones[i], 1, 0, 0);
}

TEST(medians_and_their_intervals) {
    double low, high, odd[] = {3, 1, 2}, even[] = {4, 1, 3, NAN}, two[] = {5, 9};
    assert_near(fanin__median(odd, 3), 2, 0, 0);
    assert_near(fanin__median(even, 4), 3.5, 0, 0);
    assert_true(isnan(fanin__median(odd, 0)));
    assert_ok(fanin__median_interval(two, 2, &low, &high));
    assert_near(low, 5, 0, 0);
    assert_near(high, 9, 0, 0);
    /* of 101 even steps the order statistics 40 and 62 (+- 1.96 sqrt(n) / 2) enclose the median */
    double many[101];
    for (int i = 0; i < 101; i++) many[i] = i;
    assert_ok(fanin__median_interval(many, 101, &low, &high));
    assert_near(low, 40, 2.01, 0);
    assert_near(high, 60, 2.01, 0);
}

/* The k-th of n values is at least the median of a resample when more than half of its n draws are among the
 * first k: a binomial law, which says where the percentiles of infinitely many resamples lie. */
TEST(intervals_as_the_binomial_law_has_them) {
    static const double values[] = {0.13, 0.2, 0.21, 0.4, 0.45, 0.7, 0.8, 1.3,
                                    1.4,  2.1, 2.2,  3,   5,    8,   13};
    int told = 0;
    for (int n = 5; n <= 15; n += 2) {
        int k = 0;
        double before = 0, p = 0;
        while (p < 0.025) {
            double share = (double)++k / n, term = pow(1 - share, n);
            before = p;
            p = 0;
            for (int j = 0; j <= n; j++) {
                if (j > n / 2) p += term;
                term *= (double)(n - j) / (j + 1) * share / (1 - share);
            }
        }
        if (before > 0.018 || p < 0.035) continue; /* 2000 resamples may take the next one */
        double low, high;
        assert_ok(fanin__median_interval(values, (size_t)n, &low, &high));
        assert_near(low, values[k - 1], 0, 0);
        assert_near(high, values[n - k], 0, 0);
        told++;
    }
    assert_true(told >= 4);
}

TEST(models_vary) {
    static const struct {
        const char *model, *act;
        int depth;
        const char *want;
    } cases[] = {
        {"mlp:784-100x5-10,act=tanh", "relu", 0, "mlp:784-100x5-10,act=relu"},
        {"mlp:784-100x5-10,act=tanh", NULL, 12, "mlp:784-100x12-10,act=tanh"},
        {"mlp:784-100x5-10", "leaky_relu:0.2", 3, "mlp:784-100x3-10,act=leaky_relu:0.2"},
        {"mlp:2-8x1-2,act=max(x,0),norm=batch", "gelu", 0, "mlp:2-8x1-2,norm=batch,act=gelu"},
        {"resnet:20,norm=none", NULL, 56, "resnet:56,norm=none"},
        {"lenet5", "tanh", 0, "lenet5,act=tanh"},
        {"mlp:784-100-10", NULL, 3, NULL},
        {"mlp:784-100x2-50x2-10", NULL, 3, NULL},
        {"lenet5", NULL, 3, NULL},
    };
    for (size_t i = 0; i < FANIN_COUNT(cases); i++) {
        char *text;
        fanin_err err = {0};
        fanin_status status =
            fanin__model_vary(cases[i].model, cases[i].act, cases[i].depth, &text, &err);
        assert_int_equal(status, cases[i].want ? FANIN_OK : FANIN_ARG);
        if (cases[i].want) assert_string_equal(text, cases[i].want);
        fanin_free(text);
    }
}

/* ---- grids ------------------------------------------------------------------------------------------- */

static const char *const schemes[] = {"he", "zeros"}, *const activations[] = {"relu", "tanh"},
                         *const optimizers[] = {"sgd:weight_decay=0.001", "adam"};
static const int depths[] = {1, 3};
static const double lrs[] = {1e-6, 0.05};

static fanin_compare_options options(void) {
    return (fanin_compare_options){
        .model = "mlp:2-10x2-2",
        .schemes = schemes,
        .scheme_count = 2,
        .activations = activations,
        .activation_count = 2,
        .depths = depths,
        .depth_count = 2,
        .optimizers = optimizers,
        .optimizer_count = 2,
        .lrs = lrs,
        .lr_count = 2,
        .seeds = 3,
        .train = {.steps = 60, .batch = 8, .eval_samples = 60, .eval_every = 20},
        .check = {.batch = 8}};
}

static fanin_comparison *run(const fanin_compare_options *o, fanin_status want) {
    fanin_dataset *d;
    fanin_comparison *c;
    fanin_err err = {0};
    assert_ok_err(fanin_dataset_open("spirals", 0, &d, &err), err);
    fanin_status status = fanin_compare(NULL, d, o, &c, &err);
    if (status != want) fail_msg("%s: %s", fanin_status_name(status), err.message);
    fanin_dataset_close(d);
    return c;
}

TEST(a_grid_has_every_cell_once) {
    const fanin_compare_options o = options();
    fanin_comparison *c = run(&o, FANIN_OK);
    char label[128];
    assert_int_equal(c->rank_count, 16);
    assert_int_equal(c->run_count, 16 * 2 * 3);
    assert_int_equal(c->validation, 60); /* as many as are evaluated of the test split */
    assert_true(isnan(c->ranks[0].p_value));
    for (int i = 0; i < 16; i++) {
        const fanin_compare_rank *r = &c->ranks[i];
        assert_int_equal(r->runs, 3);
        assert_non_null(r->signal);
        assert_int_equal(r->signal->layer_count, r->depth + 1);
        if (i) assert_true(r->p_value >= 2.0 / 8 && r->p_value <= 1);
        if (!strcmp(r->scheme, "zeros")) continue;
        assert_true(r->lr == 0.05); /* 1e-6 learns nothing */
        assert_true(r->low <= r->error && r->error <= r->high);
        for (int k = 0; k < i; k++)
            assert_true(strcmp(c->ranks[k].scheme, r->scheme) || c->ranks[k].depth != r->depth ||
                        strcmp(c->ranks[k].activation, r->activation) ||
                        strcmp(c->ranks[k].optimizer, r->optimizer));
    }
    fanin_compare_label(&c->ranks[0], label, sizeof label);
    assert_true(!strncmp(label, "he ", 3) && strstr(label, " deep ") && strstr(label, " lr 0.05"));
    /* the rates of one configuration and seed saw the same first evaluation: same weights, same data */
    assert_true(c->runs[0].result.points[0].test_loss == c->runs[3].result.points[0].test_loss);
    assert_true(c->runs[0].result.points[3].test_loss != c->runs[3].result.points[3].test_loss);
    double x[4], y[4], low[4], high[4];
    size_t n;
    assert_ok(fanin_comparison_curve(c, &c->ranks[0], FANIN_CURVE_TEST_ERROR, x, y, low, high, &n));
    assert_int_equal(n, 4);
    assert_true(x[3] == 60 && y[3] == 100 * c->ranks[0].error);
    fanin_comparison_destroy(c);
}

TEST(axes_that_a_model_cannot_follow) {
    fanin_compare_options o = options();
    o.model = "mlp:2-10-2";
    assert_null(run(&o, FANIN_ARG));
    o.model = NULL;
    assert_null(run(&o, FANIN_ARG));
    o = options();
    static const char *const none[] = {"reluu"};
    o.activations = none;
    o.activation_count = 1;
    assert_null(run(&o, FANIN_ARG));
}

/* ---- the store ---------------------------------------------------------------------------------------- */

static void assert_same(const fanin_comparison *a, const fanin_comparison *b) {
    assert_int_equal(a->run_count, b->run_count);
    for (int i = 0; i < a->run_count; i++) {
        const fanin_train_result *x = &a->runs[i].result, *y = &b->runs[i].result;
        assert_int_equal(x->count, y->count);
        assert_int_equal(x->steps, y->steps);
        for (size_t k = 0; k < x->count; k++) {
            assert_true(x->points[k].test_loss == y->points[k].test_loss);
            assert_true(x->points[k].valid_error == y->points[k].valid_error);
        }
    }
    for (int i = 0; i < a->rank_count; i++) {
        assert_string_equal(a->ranks[i].scheme, b->ranks[i].scheme);
        assert_true(a->ranks[i].error == b->ranks[i].error && a->ranks[i].lr == b->ranks[i].lr);
    }
}

static bool take(void *ctx, int columns, const char *const *names, const fanin_runs_value *v) {
    (void)columns, (void)names;
    *(int64_t *)ctx = v[0].integer;
    return false;
}

static int64_t count(fanin_runs *r, const char *sql) {
    int64_t n = -1;
    fanin_err err = {0};
    assert_ok_err(fanin_runs_query(r, sql, NULL, take, &n, &err), err);
    return n;
}

static int told;
static void stop_half_way(void *ctx, const char *what, double done, double total) {
    (void)ctx, (void)what;
    told++;
    if (done > total / 2) fanin_interrupt(true);
}

/* Stopped half-way, gone on, asked again: the same numbers as in one go, and no cell trained twice. */
TEST(a_store_goes_on_where_it_stopped) {
    fanin_compare_options o = options();
    fanin_err err = {0};
    fanin_comparison *whole = run(&o, FANIN_OK);
    assert_ok_err(fanin_runs_open(test_tmp("g.db"), FANIN_RUNS_WRITE, &o.store, &err), err);
    o.progress.report = stop_half_way;
    fanin_comparison *part = run(&o, FANIN_INTERRUPTED);
    fanin_interrupt(false);
    assert_true(part->interrupted);
    fanin_comparison_destroy(part);
    int64_t done = count(o.store, "SELECT count(*) FROM run WHERE status='done'");
    assert_true(done >= 30 && done < 96);
    assert_int_equal(count(o.store, "SELECT count(*) FROM run"), 96);
    o.progress.report = NULL;
    part = run(&o, FANIN_OK);
    assert_same(whole, part);
    fanin_comparison_destroy(part);
    assert_int_equal(count(o.store, "SELECT count(*) FROM run WHERE status='done'"), 96);
    assert_int_equal(count(o.store, "SELECT count(*) FROM metric WHERE name='test_loss'"), 96 * 4);
    /* asked again nothing is trained: claims would change `alive` */
    int64_t before = count(o.store, "SELECT CAST(1000 * sum(alive) AS INTEGER) FROM run");
    part = run(&o, FANIN_OK);
    assert_same(whole, part);
    fanin_comparison_destroy(part);
    assert_int_equal(count(o.store, "SELECT CAST(1000 * sum(alive) AS INTEGER) FROM run"), before);
    /* another option is another cell */
    o.train.clip_norm = 1;
    o.scheme_count = o.activation_count = o.depth_count = 1;
    part = run(&o, FANIN_OK);
    fanin_comparison_destroy(part);
    assert_int_equal(count(o.store, "SELECT count(*) FROM run"), 96 + 12);
    fanin_runs_close(o.store);
    fanin_comparison_destroy(whole);
}
