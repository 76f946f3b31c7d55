/* Laws: moments against high precision, drawn values against their law, planted faults.
 *
 * Statistical limits. Every test below holds a true hypothesis with a fixed seed; each statistic is
 * given alpha = 1e-6 two-sided (z = 4.89; Kolmogorov-Smirnov sqrt(n) D < 2.69), some 60 of them, so
 * the whole file would fail by chance once in 16 000 seeds. n = 200 000: a mean is seen to be off
 * from 0.011 deviations, a variance of a normal law from 1.6 %, a distribution function from 0.006,
 * each with power 1/2; a tenth more gives 90 % and above. The planted faults lie beyond that. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "random/random.h"
#include "testing.h"

enum { N = 200000 };
static const double Z_LIMIT = 4.89, KS_LIMIT = 2.69;

/* From the same formulas with 30 digits of mpmath quadrature, mean 0 and deviation 1. */
static const struct {
    double low, high, mean, variance;
} cuts[] = {
    {-2, 2, 0, 0.77374130354992325},
    {-INFINITY, 1, -0.28759997093917836, 0.6296862857766054},
    {0.5, INFINITY, 1.1410777703680645, 0.26848040715587895},
    {5, 6, 5.1831470904771735, 0.029452430768483057},
    {10, INFINITY, 10.098093233962512, 0.0094453778256562612},
    {-0.001, 0.002, 0.0004999996250001125, 7.4999977499993973e-7},
    {-6, -5, -5.1831470904771735, 0.029452430768483057},
    {-1, 3, 0.28278611072715401, 0.6161417353578293},
    {30, 31, 30.033259667433622, 0.0011037715118352823},
    {3.2, 3.3, 3.2472973206520886, 0.00082867708820802737},
};

TEST(moments_of_cuts) {
    for (size_t i = 0; i < FANIN_COUNT(cuts); i++) {
        fanin_law law = {FANIN_LAW_TRUNC_NORMAL, 0, 1, cuts[i].low, cuts[i].high};
        assert_near(fanin_law_mean(&law), cuts[i].mean, 1e-12, 1e-12);
        assert_near(fanin_law_variance(&law), cuts[i].variance, 0, 2e-10);
        fanin_law scaled = {FANIN_LAW_TRUNC_NORMAL, 3, 0.5, 3 + 0.5 * cuts[i].low,
                            3 + 0.5 * cuts[i].high};
        assert_near(fanin_law_mean(&scaled), 3 + 0.5 * cuts[i].mean, 1e-12, 1e-12);
        assert_near(fanin_law_variance(&scaled), 0.25 * cuts[i].variance, 0, 2e-9);
    }
}

TEST(moments_of_the_others) {
    fanin_law uniform = {FANIN_LAW_UNIFORM, 0, 0, -1, 3}, normal = {FANIN_LAW_NORMAL, 2, 3, 0, 0},
              sign = {FANIN_LAW_RADEMACHER, 2, 0, 0, 0}, bit = {FANIN_LAW_BERNOULLI, 2, 0.25, 0, 0};
    double low, high;
    assert_near(fanin_law_mean(&uniform), 1, 0, 0);
    assert_near(fanin_law_variance(&uniform), 16.0 / 12, 0, 1e-16);
    assert_near(fanin_law_variance(&normal), 9, 0, 0);
    assert_near(fanin_law_variance(&sign), 4, 0, 0);
    assert_near(fanin_law_mean(&bit), 0.5, 0, 0);
    assert_near(fanin_law_variance(&bit), 0.75, 0, 0);
    fanin_law_support(&bit, &low, &high);
    assert_true(low == 0 && high == 2);
    fanin_law_support(&sign, &low, &high);
    assert_true(low == -2 && high == 2);
    fanin_law_support(&normal, &low, &high);
    assert_true(isinf(low) && isinf(high));
}

/* ---- drawn values ------------------------------------------------------------------------- */

static double normal_cdf(double z) { return 0.5 * erfc(-z * 0.70710678118654752); }

/* Distribution function of a continuous law, by the C library. Far cuts by the ratio of tails. */
static double cdf(const fanin_law *law, double x) {
    if (law->kind == FANIN_LAW_UNIFORM) return (x - law->low) / (law->high - law->low);
    double z = (x - law->a) / law->b;
    if (law->kind == FANIN_LAW_NORMAL) return normal_cdf(z);
    double alpha = (law->low - law->a) / law->b, beta = (law->high - law->a) / law->b;
    if (alpha > 0) {
        double top = normal_cdf(-alpha), rest = normal_cdf(-beta);
        return (top - normal_cdf(-z)) / (top - rest);
    }
    double bottom = normal_cdf(alpha);
    return (normal_cdf(z) - bottom) / (normal_cdf(beta) - bottom);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* sqrt(n) D. Sorts x. */
static double kolmogorov(const fanin_law *law, double *x, size_t n) {
    double worst = 0;
    qsort(x, n, sizeof *x, ascending);
    for (size_t i = 0; i < n; i++) {
        double f = cdf(law, x[i]);
        worst = fmax(worst, fmax(f - (double)i / (double)n, (double)(i + 1) / (double)n - f));
    }
    return worst * sqrt((double)n);
}

typedef struct verdict {
    double mean_z, variance_z, ks;
} verdict;

static verdict judge(const fanin_law *law, double *x, size_t n) {
    double mean = fanin_law_mean(law), variance = fanin_law_variance(law);
    double s1 = 0, s2 = 0, s4 = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (x[i] - mean) / sqrt(variance);
        s1 += d;
        s2 += d * d;
        s4 += d * d * d * d;
    }
    double count = (double)n, kurtosis = s4 / count;
    return (verdict){s1 / sqrt(count), (s2 / count - 1) / sqrt((kurtosis - 1) / count),
                     kolmogorov(law, x, n)};
}

static bool passes(const verdict *v) {
    return fabs(v->mean_z) < Z_LIMIT && fabs(v->variance_z) < Z_LIMIT && v->ks < KS_LIMIT;
}

static void check_law(const fanin_law *law, fanin_dtype dtype, size_t n) {
    static float f[N];
    static double x[N];
    double low, high;
    fanin_stream s = fanin_stream_init(test_seed(), "laws");
    if (dtype == FANIN_F32) {
        assert_ok(fanin_random_fill_parallel(&s, 0, law, 0, n, FANIN_F32, f));
        for (size_t i = 0; i < n; i++) x[i] = (double)f[i];
    } else {
        assert_ok(fanin_random_fill_parallel(&s, 0, law, 0, n, FANIN_F64, x));
    }
    fanin_law_support(law, &low, &high);
    for (size_t i = 0; i < n; i++) assert_true(x[i] >= low && x[i] <= high);
    verdict v = judge(law, x, n);
    if (!passes(&v))
        fail_msg("kind %d [%g, %g] %s: mean z %.2f, variance z %.2f, KS %.2f", (int)law->kind,
                 law->low, law->high, fanin_dtype_name(dtype), v.mean_z, v.variance_z, v.ks);
}

TEST(uniform_and_normal_follow_their_laws) {
    static const fanin_law laws[] = {{FANIN_LAW_UNIFORM, 0, 0, -1, 1},
                                     {FANIN_LAW_UNIFORM, 0, 0, 2, 5},
                                     {FANIN_LAW_NORMAL, 0, 1, 0, 0},
                                     {FANIN_LAW_NORMAL, -2, 0.02, 0, 0}};
    for (size_t i = 0; i < FANIN_COUNT(laws); i++) {
        check_law(&laws[i], FANIN_F32, N);
        check_law(&laws[i], FANIN_F64, N);
    }
}

TEST(cuts_follow_their_laws) {
    for (size_t i = 0; i < FANIN_COUNT(cuts); i++) {
        fanin_law law = {FANIN_LAW_TRUNC_NORMAL, 0, 1, cuts[i].low, cuts[i].high};
        size_t n = cuts[i].variance < 0.04 ? 20000 : N; /* narrow ones are slow */
        check_law(&law, FANIN_F32, n);
        check_law(&law, FANIN_F64, n);
    }
}

/* Far out, where float32 has no cells left, values must not gather on a few points. */
TEST(far_cuts_keep_their_resolution) {
    enum { COUNT = 20000 };
    static double x[COUNT];
    fanin_law law = {FANIN_LAW_TRUNC_NORMAL, 0, 1, 7, INFINITY};
    fanin_stream s = fanin_stream_init(1, "far");
    assert_ok(fanin_random_fill(&s, 0, &law, 0, COUNT, FANIN_F64, x));
    qsort(x, COUNT, sizeof *x, ascending);
    size_t different = 1;
    for (size_t i = 1; i < COUNT; i++) different += x[i] != x[i - 1];
    assert_int_equal(different, COUNT);
    assert_true(x[0] >= 7 && x[COUNT - 1] > 8);
}

TEST(extreme_cuts_stay_inside) {
    static const double bounds[][2] = {{40, 41},   {1e6, INFINITY},     {-INFINITY, -50},
                                       {0, 1e-30}, {-1e-12, 1e-12},     {1e30, 2e30},
                                       {8, 8.001}, {-1e-3, 1},          {6.4, INFINITY},
                                       {-9, 9},    {-INFINITY, 1e-300}, {2.9, 100}};
    float f[257];
    double d[257];
    fanin_stream s = fanin_stream_init(5, "extreme");
    for (size_t i = 0; i < FANIN_COUNT(bounds); i++) {
        fanin_law law = {FANIN_LAW_TRUNC_NORMAL, 0, 1, bounds[i][0], bounds[i][1]};
        assert_ok(fanin_random_fill(&s, 0, &law, 0, 257, FANIN_F32, f));
        assert_ok(fanin_random_fill(&s, 0, &law, 0, 257, FANIN_F64, d));
        for (int j = 0; j < 257; j++) {
            assert_true((double)f[j] >= law.low && (double)f[j] <= law.high);
            assert_true(d[j] >= law.low && d[j] <= law.high);
            assert_near((double)f[j], d[j], 1e-7, 1e-6);
        }
    }
}

/* One word makes one value, in order: the cut of a word is the cut of its uniform number. */
TEST(cuts_are_monotone_in_the_word) {
    for (size_t i = 0; i < FANIN_COUNT(cuts); i++) {
        fanin_law law = {FANIN_LAW_TRUNC_NORMAL, 0, 1, cuts[i].low, cuts[i].high};
        fanin__plan plan;
        assert_ok(fanin__plan_make(&law, &plan));
        double inside = normal_cdf(law.high) - normal_cdf(law.low);
        double cell = plan.map == FANIN__MAP_TAIL ? 1e-9 : 0x1.8p-32 / inside;
        float last = -INFINITY;
        for (uint64_t w = 0; w < (UINT64_C(1) << 32); w += 4294967 / 2) {
            float x = fanin__map_f32(&plan, (uint32_t)w);
            if (x < last) fail_msg("cut %zu: word %08x is out of order", i, (unsigned)w);
            last = x;
            double error = cdf(&law, (double)x) - ((double)w + 0.5) * 0x1p-32;
            if (isnormal(error) && law.low < 8 && law.low > -4) {
                double ulp = 0x1p-23 * fabs((double)x); /* in x, and what it moves the CDF */
                double slope = cdf(&law, (double)x + ulp) - cdf(&law, (double)x - ulp);
                assert_true(fabs(error) < slope + cell);
            }
        }
    }
}

TEST(signs_and_choices_have_their_shares) {
    static float f[N];
    fanin_stream s = fanin_stream_init(test_seed(), "shares");
    fanin_law sign = {FANIN_LAW_RADEMACHER, 2, 0, 0, 0};
    assert_ok(fanin_random_fill(&s, 0, &sign, 0, N, FANIN_F32, f));
    int plus = 0;
    for (int i = 0; i < N; i++) plus += f[i] > 0;
    assert_true(fabs(plus - N * 0.5) < Z_LIMIT * sqrt(N * 0.25));
    static const double shares[] = {0, 1e-3, 0.3, 0.5, 0.999, 1};
    for (size_t k = 0; k < FANIN_COUNT(shares); k++) {
        fanin_law bit = {FANIN_LAW_BERNOULLI, -1, shares[k], 0, 0};
        assert_ok(fanin_random_fill(&s, 0, &bit, 0, N, FANIN_F32, f));
        int taken = 0;
        for (int i = 0; i < N; i++) taken += f[i] < 0;
        double p = shares[k];
        assert_true(fabs(taken - N * p) <= Z_LIMIT * sqrt(N * p * (1 - p)));
    }
}

/* ---- planted faults ----------------------------------------------------------------------- */

static double faulty[N];

static void draw(fanin_law law) {
    fanin_stream s = fanin_stream_init(test_seed(), "faults");
    assert_ok(fanin_random_fill(&s, 0, &law, 0, N, FANIN_F64, faulty));
}

static const fanin_law standard = {FANIN_LAW_NORMAL, 0, 1, 0, 0};

TEST(a_scale_off_by_two_percent_is_rejected) {
    draw((fanin_law){FANIN_LAW_NORMAL, 0, 1.02, 0, 0}); /* variance 4 %: z = 13 */
    verdict v = judge(&standard, faulty, N);
    assert_false(passes(&v));
}

TEST(a_cut_at_three_deviations_is_rejected) {
    draw((fanin_law){FANIN_LAW_TRUNC_NORMAL, 0, 1, -3, 3}); /* variance 2.7 % smaller: z = 9 */
    verdict v = judge(&standard, faulty, N);
    assert_false(passes(&v));
}

/* A repeated block passes any one-sample test of its own; its halves are the same. */
TEST(repeated_blocks_do_not_happen) {
    static uint64_t pair[N / 2];
    uint32_t *w = malloc(N * sizeof *w);
    fanin_stream s = fanin_stream_init(test_seed(), "repeats");
    fanin_stream_words(&s, 0, 0, N, w);
    for (int fault = 0; fault < 2; fault++) {
        if (fault)
            for (int i = 0; i < 4; i++) w[N - 4 + i] = w[1000 + i];
        for (size_t i = 0; i < N / 2; i++) pair[i] = (uint64_t)w[2 * i] << 32 | w[2 * i + 1];
        double *as_double = faulty; /* 52 of 64 bits: chance of a repeat below 1e-6 */
        for (size_t i = 0; i < N / 2; i++) as_double[i] = (double)(pair[i] >> 12);
        qsort(as_double, N / 2, sizeof *as_double, ascending);
        int repeats = 0;
        for (size_t i = 1; i < N / 2; i++) repeats += as_double[i] == as_double[i - 1];
        assert_int_equal(repeats, fault ? 2 : 0);
    }
    free(w);
}

/* Neighbours, planes, names and seeds are uncorrelated: z of the lag products, alpha 1e-6 each. */
TEST(streams_do_not_correlate) {
    static double x[N], y[N];
    fanin_stream a = fanin_stream_init(0, "layer.1"), b = fanin_stream_init(0, "layer.2"),
                 c = fanin_stream_init(1, "layer.1");
    assert_ok(fanin_random_fill(&a, 0, &standard, 0, N, FANIN_F64, x));
    const struct {
        const fanin_stream *s;
        uint32_t plane;
        uint64_t first;
    } others[] = {{&b, 0, 0}, {&c, 0, 0}, {&a, 2, 0}, {&a, 1, 0},
                  {&a, 0, 1}, {&a, 0, 2}, {&a, 0, 4}, {&a, 0, 64}};
    for (size_t k = 0; k < FANIN_COUNT(others); k++) {
        assert_ok(fanin_random_fill(others[k].s, others[k].plane, &standard, others[k].first, N,
                                    FANIN_F64, y));
        double sum = 0, squares = 0;
        for (int i = 0; i < N; i++) {
            sum += x[i] * y[i];
            squares += (x[i] * x[i] - 1) * (y[i] * y[i] - 1);
        }
        assert_true(fabs(sum) < Z_LIMIT * sqrt(N));
        assert_true(fabs(squares) < Z_LIMIT * 2 * sqrt(N));
    }
}
