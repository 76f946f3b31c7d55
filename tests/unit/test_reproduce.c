/* Claims: intervals, cells against torch, verdicts of the overview's claims at few seeds. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "reproduce/reproduce.h"
#include "testing.h"

/* A tenth of the seeds where everything is some ten times slower. */
#if defined(__SANITIZE_ADDRESS__)
enum { SLOW = 1 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { SLOW = 1 };
#else
enum { SLOW = 0 };
#endif
#else
enum { SLOW = 0 };
#endif

/* Newcombe 1998, table I: the score interval of 81 in 263. */
TEST(wilson_interval) {
    double low, high;
    fanin__wilson(81, 263, &low, &high);
    assert_near(low, 0.2553, 5e-5, 0);
    assert_near(high, 0.3662, 5e-5, 0);
    fanin__wilson(0, 10, &low, &high);
    assert_near(low, 0, 0, 0);
    assert_near(high, 0.2775, 5e-5, 0);
    fanin__wilson(10, 10, &low, &high);
    assert_near(high, 1, 0, 0);
}

/* PyTorch 1.13, 4000 seeds each (torch.randn, the same laws; batch norm's running statistics with
 * momentum 0.1): share of seeds right about all patterns in the end, median of the epoch from which on they
 * are. 500 epochs of Adam at 0.1 unless said. */
static const struct {
    fanin__cell_spec spec;
    double share, median;
} torch[] = {
    {{.scheme = "he"}, 0.1405, 18},
    {{.scheme = "he", .bias = 0.01}, 0.2495, 20},
    {{.scheme = "normal:std=0.01"}, 0.05425, 7},
    {{.scheme = "normal:std=0.01", .bias = 0.01}, 0.02025, 21},
    {{.scheme = "he", .model = "mlp:2-2-1,act=relu,norm=batch"}, 0.2010, 10},
    {{.scheme = "normal:std=0.01", .model = "mlp:2-2-1,act=sigmoid"}, 0, NAN},
    {{.scheme = "normal:std=0.01", .model = "mlp:2-2-1,act=sigmoid,norm=batch"}, 0.46125, 35},
    {{.scheme = "xavier", .model = "mlp:2-2-1,act=sigmoid"}, 0.51325, 56},
    {{.scheme = "xavier", .model = "mlp:2-2-1,act=sigmoid,norm=batch"}, 0.6205, 30},
    {{.scheme = "he", .optimizer = "sgd:lr=0.5", .epochs = 1000}, 0.22325, 50},
    {{.scheme = "he", .l2 = 1e-3}, 0.2265, 20},
};

TEST(seeds_succeed_as_often_and_as_soon_as_in_torch) {
    fanin__lab lab = {.seeds = (int64_t)(SLOW ? 300 : 1000 * fmax(test_scale(), 1))};
    for (size_t i = 0; i < FANIN_COUNT(torch); i++) {
        const fanin_seed_cell *c;
        fanin_err err = {0};
        assert_ok_err(fanin__run_cell(&lab, &torch[i].spec, &c, &err), err);
        double p = torch[i].share, n = (double)c->seeds;
        /* five deviations of a difference of two shares: 11 tests, 6e-6 in all */
        assert_near(c->success, p, 5 * sqrt(p * (1 - p) * (1 / n + 1.0 / 4000)), 0);
        assert_true(c->low <= c->success && c->success <= c->high);
        if (isnan(torch[i].median))
            assert_true(isnan(c->median));
        else if (!SLOW) /* the median of the few that succeed with std 0.01 is coarse */
            assert_near(c->median, torch[i].median, p < 0.06 ? 14 : 5, 0);
        assert_true(!(c->quartile > c->median) && !(c->median > c->upper));
        assert_true(!(c->median_low > c->median) && !(c->median > c->median_high));
    }
    fanin__lab_fini(&lab);
}

/* A unit of two weights and no bias is dead for XOR where both are negative: one in four. */
TEST(dead_and_twin_units_are_counted) {
    fanin__lab lab = {.seeds = 2000};
    const fanin_seed_cell *he, *zero, *biased;
    fanin_err err = {0};
    assert_ok_err(
        fanin__run_cell(&lab, &(fanin__cell_spec){.scheme = "he", .epochs = 1}, &he, &err), err);
    assert_ok_err(
        fanin__run_cell(&lab, &(fanin__cell_spec){.scheme = "zeros", .epochs = 5}, &zero, &err),
        err);
    assert_ok_err(fanin__run_cell(&lab,
                                  &(fanin__cell_spec){.scheme = "zeros", .epochs = 5, .bias = 0.5},
                                  &biased, &err),
                  err);
    assert_near(he->dead_before, 0.25, 5 * sqrt(0.25 * 0.75 / 4000), 0);
    assert_near(he->twins, 0, 0, 0);
    assert_near(zero->dead_before, 1, 0, 0);
    assert_near(zero->twins, 1, 0, 0);
    assert_near(zero->success, 0, 0, 0);
    assert_near(biased->dead_before, 0, 0, 0);
    const fanin_seed_cell *again;
    assert_ok_err(
        fanin__run_cell(&lab, &(fanin__cell_spec){.scheme = "zeros", .epochs = 5}, &again, &err),
        err);
    assert_ptr_equal(again, zero); /* run once */
    fanin__lab_fini(&lab);
}

TEST(a_sentence_is_true_false_or_conditional) {
    static const char *const settings[] = {"here", "there", "elsewhere"};
    fanin_claim c = {0};
    fanin__judge_where(&c, 3, settings, (bool[]){true, true, true});
    assert_int_equal(c.verdict, FANIN_CLAIM_TRUE);
    fanin__judge_where(&c, 3, settings, (bool[]){false, false, false});
    assert_int_equal(c.verdict, FANIN_CLAIM_FALSE);
    assert_string_equal(c.condition, "");
    fanin__judge_where(&c, 3, settings, (bool[]){true, false, true});
    assert_int_equal(c.verdict, FANIN_CLAIM_CONDITIONAL);
    assert_string_equal(c.condition, "holds here, elsewhere; not there");
}

static fanin_status give_two(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    (void)lab;
    (void)err;
    c->ours = 2;
    return FANIN_OK;
}

TEST(a_figure_is_reproduced_or_missed) {
    static const struct {
        double published, tolerance;
        bool judged;
        fanin_claim_verdict verdict;
    } cases[] = {{2.1, 0.2, false, FANIN_CLAIM_REPRODUCED}, {2.1, 0.05, false, FANIN_CLAIM_MISSED},
                 {2.1, 0.2, true, FANIN_CLAIM_TRUE},        {2.1, 0.05, true, FANIN_CLAIM_FALSE},
                 {0, 1, false, FANIN_CLAIM_MISSED},         {NAN, 1, false, FANIN_CLAIM_MISSED}};
    for (size_t i = 0; i < FANIN_COUNT(cases); i++) {
        const fanin__claim_row row = {.published = cases[i].published,
                                      .tolerance = cases[i].tolerance,
                                      .measure = give_two,
                                      .judged = cases[i].judged};
        fanin_claim c;
        assert_ok(fanin__measure(NULL, &row, &c, NULL));
        assert_int_equal(c.verdict, cases[i].verdict);
    }
}

TEST(figures_of_theory_are_reproduced) {
    const fanin_reproduce_options o = {.effort = FANIN_EFFORT_QUICK};
    int papers = 0;
    for (int i = 0; i < fanin_paper_count(); i++) {
        fanin_reproduction *r;
        fanin_err err = {0};
        if (!strcmp(fanin_paper_at(i).name, "seed-mlp")) continue;
        assert_ok_err(fanin_reproduce(fanin_paper_at(i).name, &o, &r, &err), err);
        assert_int_equal(r->claim_count, fanin_paper_at(i).claim_count);
        for (int k = 0; k < r->claim_count; k++) {
            bool erratum = !strcmp(r->claims[k].id, "largest-rate");
            assert_int_equal(r->claims[k].verdict == FANIN_CLAIM_FALSE, erratum);
            assert_true(r->claims[k].verdict != FANIN_CLAIM_MISSED && r->claims[k].measured[0]);
        }
        fanin_reproduction_destroy(r);
        papers++;
    }
    assert_true(papers >= 7);
}

/* Verdicts that do not hang on many seeds. */
static const struct {
    const char *id;
    fanin_claim_verdict verdict;
} known[] = {
    {"zero-symmetry", FANIN_CLAIM_CONDITIONAL},
    {"zero-activations", FANIN_CLAIM_CONDITIONAL},
    {"zero-fails-xor", FANIN_CLAIM_TRUE},
    {"random-breaks-symmetry", FANIN_CLAIM_TRUE},
    {"he-ideal", FANIN_CLAIM_FALSE},
    {"he-doubles", FANIN_CLAIM_CONDITIONAL},
    {"xavier-vanishes-relu", FANIN_CLAIM_TRUE},
    {"bn-less-sensitive", FANIN_CLAIM_TRUE},
    {"perceptron", FANIN_CLAIM_TRUE},
};

TEST(every_claim_of_the_overview_gets_a_verdict) {
    const fanin__paper *p = &fanin__paper_seed_mlp;
    fanin__lab lab = {.seeds = SLOW ? 16 : 200};
    size_t checked = 0;
    for (int i = 0; i < p->count; i++) {
        fanin_claim c = {.published = p->rows[i].published,
                         .tolerance = p->rows[i].tolerance,
                         .verdict = FANIN_CLAIM_MISSED};
        fanin_err err = {0};
        assert_ok_err(p->rows[i].measure(&lab, &c, &err), err);
        assert_true(c.verdict == FANIN_CLAIM_TRUE || c.verdict == FANIN_CLAIM_FALSE ||
                    c.verdict == FANIN_CLAIM_CONDITIONAL);
        assert_true(c.measured[0] && strlen(c.measured) < sizeof c.measured - 1);
        assert_true(strlen(c.condition) < sizeof c.condition - 1);
        for (size_t k = 0; k < FANIN_COUNT(known); k++) {
            if (strcmp(known[k].id, p->rows[i].id) != 0) continue;
            if (!SLOW) assert_int_equal(c.verdict, known[k].verdict);
            checked++;
        }
    }
    assert_int_equal(checked, FANIN_COUNT(known));
    fanin__lab_fini(&lab);
}

TEST(unknown_papers_are_refused) {
    fanin_reproduction *r;
    fanin_err err = {0};
    fanin_reproduce_options o = {.effort = FANIN_EFFORT_QUICK};
    assert_int_equal(fanin_reproduce("nonesuch", &o, &r, &err), FANIN_NOTFOUND);
    assert_non_null(strstr(err.message, "seed-mlp"));
    assert_null(r);
    assert_true(fanin_paper_count() >= 1);
    assert_null(fanin_paper_at(-1).name);
}
