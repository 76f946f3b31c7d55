/* Published figures of Poole 2016, Schoenholz 2017, Xiao 2018, Yang 2019, to the digits shown.
 * Where q* is above 4 the figures here are those of 20-digit quadrature: Gauss-Hermite rules, with
 * which such tables are often made, are off in the sixth digit there. */
#include <math.h>

#include "fanin/theory.h"
#include "testing.h"

static fanin_activation *parse(const char *text) {
    fanin_activation *act = NULL;
    fanin_err err = {0};
    assert_ok_err(fanin_activation_parse(text, &act, &err), err);
    return act;
}

static fanin_meanfield solve(const char *name, fanin_meanfield_settings set) {
    fanin_activation *act = parse(name);
    fanin_meanfield m;
    fanin_err err = {0};
    assert_ok_err(fanin_meanfield_solve(act, &set, &m, &err), err);
    fanin_activation_destroy(act);
    return m;
}

/* Half a unit of the last digit shown. */
#define SHOWN(got, want, digits) assert_near((got), (want), 0.5000001 * pow(10, -(digits)), 0)

TEST(poole_fixed_points) {
    static const double rows[][4] = {{1.3, 0.607047, 0.939807, 1},
                                     {2.5, 4.079124, 1.585225, 0.122104},
                                     {4.0, 12.604149, 2.367261, 0.029696}};
    for (int i = 0; i < 3; i++) {
        fanin_meanfield m =
            solve("tanh", (fanin_meanfield_settings){.sigma_w2 = rows[i][0] * rows[i][0],
                                                     .sigma_b2 = 0.09});
        SHOWN(m.q, rows[i][1], 6);
        SHOWN(m.chi1, rows[i][2], 6);
        SHOWN(m.c, rows[i][3], 6);
        assert_int_equal(m.phase, i == 0 ? FANIN_PHASE_ORDERED : FANIN_PHASE_CHAOTIC);
        assert_int_equal(m.q_count, 1);
    }
}

TEST(schoenholz_table) {
    /* sigma_w2, q, chi1, c, xi_q, xi_c and their digits after the point */
    static const struct {
        double w2, q, chi1, c, xi_q, xi_c;
        int q_digits, xi_digits;
    } rows[] = {{1.0, .1936, .7590, 1, 1.75, 3.63, 2, 2},
                {1.25, .2921, .8632, 1, 1.80, 6.80, 2, 2},
                {1.5, .4180, .9386, 1, 1.68, 15.8, 2, 1},
                {1.7, .5331, .9867, 1, 1.56, 74.9, 2, 1},
                {2.0, .7218, 1.0477, .7441, 1.39, 25.2, 2, 1},
                {2.5, 1.0640, 1.1335, .4468, 1.18, 11.8, 2, 1},
                {3.0, 1.4280, 1.2089, .2993, 1.04, 9.05, 2, 2},
                {4.0, 2.1955, 1.3424, .1651, .873, 6.98, 3, 2}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fanin_meanfield m =
            solve("tanh", (fanin_meanfield_settings){.sigma_w2 = rows[i].w2, .sigma_b2 = 0.05});
        SHOWN(m.q, rows[i].q, 4);
        SHOWN(m.chi1, rows[i].chi1, 4);
        SHOWN(m.c, rows[i].c, 4);
        SHOWN(m.xi_q, rows[i].xi_q, rows[i].q_digits);
        SHOWN(m.xi_c, rows[i].xi_c, rows[i].xi_digits);
    }
}

TEST(tanh_critical_line) {
    static const double rows[][3] = {
        {1e-5, 1.03952113, .020338}, {1e-4, 1.08602629, .045709}, {1e-3, 1.18918959, .107292},
        {.01, 1.42420529, .273301},  {.02, 1.54419284, NAN},      {.03, 1.63064173, NAN},
        {.05, 1.76095464, .570048},  {.1, 1.98607264, .805799},   {.2, 2.28515247, NAN},
        {.3, 2.50512719, NAN},       {.5, 2.84316746, NAN},       {1, 3.44321091, NAN}};
    fanin_activation *act = parse("tanh");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double w2, b2, q;
        fanin_err err = {0};
        assert_ok_err(fanin_critical_sigma_w2(act, rows[i][0], &w2, &q, &err), err);
        SHOWN(w2, rows[i][1], 8);
        if (!isnan(rows[i][2])) SHOWN(q, rows[i][2], 6);
        assert_ok_err(fanin_critical_sigma_b2(act, w2, &b2, NULL, &err), err);
        assert_near(b2, rows[i][0], 1e-14, 1e-9);
        fanin_meanfield_settings set = {.sigma_w2 = w2, .sigma_b2 = rows[i][0]};
        fanin_meanfield m;
        assert_ok_err(fanin_meanfield_solve(act, &set, &m, &err), err);
        assert_near(m.chi1, 1, 1e-9, 0);
        assert_int_equal(m.phase, FANIN_PHASE_CRITICAL);
    }
    static const double inverse[][2] = {
        {1.5, .01581788}, {2, .10377981}, {2.5, .29740378}, {3, .61249775}, {4, 1.63595724}};
    for (size_t i = 0; i < sizeof inverse / sizeof *inverse; i++) {
        double b2;
        assert_ok(fanin_critical_sigma_b2(act, inverse[i][0], &b2, NULL, NULL));
        SHOWN(b2, inverse[i][1], 8);
    }
    fanin_activation_destroy(act);
}

/* Roberts, Yaida, Hanin 2022, chapter 5: gelu and silu have one half-stable critical point each, where both
 * chi_1 and the slope of the variance map are 1; gelu's at q = (3 + sqrt 17)/2. */
TEST(half_stable_points) {
    fanin_activation *gelu = parse("gelu"), *silu = parse("silu");
    double w2, b2;
    assert_ok(fanin_critical_at_q(gelu, (3 + sqrt(17)) / 2, &w2, &b2, NULL));
    SHOWN(w2, 1.98305826, 8);
    SHOWN(b2, 0.17292239, 8);
    fanin_meanfield m = solve(
        "gelu",
        (fanin_meanfield_settings){.sigma_w2 = w2, .sigma_b2 = b2, .q_start = (3 + sqrt(17)) / 2});
    assert_near(m.chi_q, 1, 1e-9, 0);
    assert_near(m.chi1, 1, 1e-9, 0);
    assert_ok(fanin_critical_at_q(silu, 14.32017362, &w2, &b2, NULL));
    SHOWN(w2, 1.98800468, 8);
    SHOWN(b2, 0.55514317, 8);
    fanin_activation_destroy(gelu);
    fanin_activation_destroy(silu);
}

/* Where f bends at 0 both of its slopes count: 1/w2 = (f'(0-)^2 + f'(0+)^2)/2. */
TEST(critical_points_at_the_origin) {
    static const struct {
        const char *name;
        double w2;
    } rows[] = {{"tanh", 1},
                {"elu", 1},
                {"gelu", 4},
                {"elu:0.5", 1.6},
                {"selu", 2 / (1.0507009873554805 * 1.0507009873554805 +
                              1.758099340847377 * 1.758099340847377)}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fanin_activation *act = parse(rows[i].name);
        double w2, q;
        assert_ok(fanin_critical_sigma_w2(act, 0, &w2, &q, NULL));
        assert_near(w2, rows[i].w2, 1e-13, 0);
        assert_near(q, 0, 0, 0);
        fanin_meanfield m =
            solve(rows[i].name, (fanin_meanfield_settings){.sigma_w2 = w2, .q_start = 1e-13});
        assert_int_equal(m.phase, FANIN_PHASE_CRITICAL);
        assert_near(m.q, 0, 0, 0);
        assert_near(m.chi1, 1, 1e-13, 0);
        fanin_activation_destroy(act);
    }
}

TEST(critical_point_for_a_depth) {
    static const double rows[][4] = {
        {16, 1.11538062, 2.3688e-4, 1e-8},     {32, 1.05986773, 3.4284e-5, 1e-9},
        {64, 1.03055751, 4.6513e-6, 1e-10},    {100, 1.01971076, 1.2580e-6, 1e-10},
        {128, 1.01544708, 6.0736e-7, 1e-11},   {1000, 1.00199701, 1.3254e-9, 1e-13},
        {10000, 1.00019997, 1.3325e-12, 1e-16}};
    fanin_activation *act = parse("tanh");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double w2, b2;
        assert_ok(fanin_critical_at_q(act, 1 / rows[i][0], &w2, &b2, NULL));
        SHOWN(w2, rows[i][1], 8);
        assert_near(b2, rows[i][2], 0.6 * rows[i][3], 0);
    }
    fanin_activation_destroy(act);
}

TEST(dropout_moves_the_fixed_point) {
    static const double rows[][3] = {{.999, .9249, 42.8}, {.99, .7658, 14.5}, {.95, .5094, 6.78},
                                     {.9, .3564, 4.67},   {.8, .2006, 2.94},  {.5, .0485, 1.20}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fanin_meanfield m =
            solve("tanh", (fanin_meanfield_settings){
                              .sigma_w2 = 1.76095464, .sigma_b2 = 0.05, .keep = rows[i][0]});
        SHOWN(m.c, rows[i][1], 4);
        SHOWN(m.xi_c, rows[i][2], rows[i][2] > 10 ? 1 : 2);
    }
}

/* Saxe 2013: q of tanh with Gaussian or orthogonal gain g and no bias. */
TEST(tanh_beyond_the_edge) {
    static const double rows[][2] = {{1.05, .053250}, {1.1, .112750}, {1.2, .249513},
                                     {1.5, .793354},  {2, 2.121474},  {3, 6.305391}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fanin_meanfield m =
            solve("tanh", (fanin_meanfield_settings){.sigma_w2 = rows[i][0] * rows[i][0]});
        /* the table gives E tanh^2 g^2 = q */
        SHOWN(m.q, rows[i][1], 6);
        assert_int_equal(m.q_count, 2); /* 0 is one too, unstable */
        assert_near(m.q_points[0].at, 0, 0, 0);
        assert_true(m.q_points[0].slope > 1 && m.q_points[1].slope < 1);
        assert_near(m.c, 0, 1e-12, 0);
    }
    fanin_meanfield m = solve("tanh", (fanin_meanfield_settings){.sigma_w2 = 25.0 / 9});
    assert_near(m.q, 1.17848, 5e-6, 0);
    assert_near(m.chi1, 1.20983, 5e-6, 0);
}

TEST(relu_is_degenerate_and_right) {
    fanin_meanfield m = solve("relu", (fanin_meanfield_settings){.sigma_w2 = 2});
    assert_near(m.q, 1, 0, 0);
    assert_near(m.chi1, 1, 1e-14, 0);
    assert_near(m.c, 1, 0, 0);
    assert_int_equal(m.phase, FANIN_PHASE_CRITICAL);
    assert_true(isinf(m.xi_c) && isinf(m.xi_gradient));
    m = solve("relu", (fanin_meanfield_settings){.sigma_w2 = 1, .sigma_b2 = 0.3});
    assert_near(m.q, 0.6, 1e-14, 0);
    assert_near(m.chi1, 0.5, 1e-14, 0);
    assert_near(m.c, 1, 0, 0);
    assert_near(m.xi_c, 1 / log(2), 1e-12, 0);
    m = solve("relu", (fanin_meanfield_settings){.sigma_w2 = 2.5, .sigma_b2 = 0.3});
    assert_true(isinf(m.q));
    assert_near(m.chi1, 1.25, 1e-14, 0);
    assert_near(m.c, 1, 0, 0);
    assert_int_equal(m.phase, FANIN_PHASE_CHAOTIC);
    m = solve("max(x,0)", (fanin_meanfield_settings){.sigma_w2 = 2.5, .sigma_b2 = 0.3});
    assert_true(isinf(m.q));
    assert_near(m.chi1, 1.25, 1e-6, 0);
    fanin_activation *relu = parse("relu"), *formula = parse("max(x,0)");
    double w2, b2;
    assert_ok(fanin_critical_sigma_w2(relu, 0, &w2, NULL, NULL));
    assert_near(w2, 2, 1e-14, 0);
    assert_ok(fanin_critical_sigma_w2(formula, 0, &w2, NULL, NULL));
    assert_near(w2, 2, 1e-12, 0);
    fanin_err err = {0};
    assert_int_equal(fanin_critical_sigma_w2(relu, 0.1, &w2, NULL, &err), FANIN_DOMAIN);
    assert_int_equal(fanin_critical_sigma_b2(relu, 1.9, &b2, NULL, &err), FANIN_DOMAIN);
    fanin_activation_destroy(relu);
    fanin_activation_destroy(formula);
}

/* c-map of relu from 0: arc-cosine kernel iterated; 1 - c_l ~ 9 pi^2/(2 l^2). */
TEST(relu_correlations_by_layer) {
    static const double want[] = {.318310, .493731, .604826, .680954, .735946,
                                  .777229, .809148, .834416, .854809, .871536};
    static double q[1001], c[1001];
    fanin_activation *act = parse("relu");
    fanin_meanfield_settings set = {.sigma_w2 = 2};
    assert_ok(fanin_meanfield_trajectory(act, &set, 1, 0, 1000, q, c, NULL));
    for (int l = 1; l <= 10; l++) SHOWN(c[l], want[l - 1], 6);
    assert_near(1 - c[1000], 4.3130e-5, 5e-10, 0);
    assert_near(q[1000], 1, 1e-11, 0);
    fanin_activation_destroy(act);
}

TEST(norms_and_skips) {
    fanin_meanfield m =
        solve("relu", (fanin_meanfield_settings){.sigma_w2 = 1, .norm = FANIN_NORM_BATCH});
    const double pi = 3.14159265358979323846;
    assert_near(m.chi1, pi / (pi - 1), 1e-12, 0);
    m = solve("tanh", (fanin_meanfield_settings){.sigma_w2 = 3, .norm = FANIN_NORM_LAYER});
    assert_near(m.chi1, 0.4644029024 / 0.394294490397841, 1e-9, 0);
    assert_near(m.c, 0, 1e-12, 0);
    m = solve("relu", (fanin_meanfield_settings){.sigma_w2 = 2, .norm = FANIN_NORM_LAYER});
    assert_near(m.chi1, 1, 1e-12, 0);
    /* relu blocks: q and gradients grow by 1 + a^2 sigma_w2/2 */
    m = solve("relu", (fanin_meanfield_settings){.sigma_w2 = 2, .residual = 0.5});
    assert_true(isinf(m.q));
    assert_near(m.chi1, 1.25, 1e-14, 0);
    assert_near(m.c, 1, 0, 0);
    m = solve("tanh", (fanin_meanfield_settings){.sigma_w2 = 2, .residual = 1});
    assert_true(isinf(m.q) && m.chi1 < 1.01);
}

/* Norm and dropout or skips at once. De and Smith 2020: behind batch norm a branch adds the same variance
 * at every layer, so q_l = 1 + l for He's gain over relu's spread; Xiong et al. 2020: behind layer
 * norm, with He's gain, (1 + l) too. */
TEST(norms_with_dropout_and_skips) {
    const double pi = 3.14159265358979323846;
    double q[11], c[11];
    fanin_activation *relu = parse("relu");
    fanin_meanfield m = solve(
        "relu", (fanin_meanfield_settings){.sigma_w2 = 1, .norm = FANIN_NORM_BATCH, .keep = 0.5});
    /* E f^2/keep - (E f)^2 = 1 - 1/(2 pi); E f'^2/keep = 1 */
    assert_near(m.chi1, 1 / (1 - 1 / (2 * pi)), 1e-12, 0);
    assert_near(m.chi_c, 0.25 / (1 - 1 / (2 * pi)), 1e-12, 0);
    fanin_meanfield_settings pre = {.sigma_w2 = 2, .residual = 1, .norm = FANIN_NORM_LAYER};
    assert_ok(fanin_meanfield_trajectory(relu, &pre, 1, 0, 10, q, c, NULL));
    for (int l = 0; l <= 10; l++) assert_near(q[l], 1 + l, 1e-12, 0);
    assert_near(c[1], 0.5 / pi, 1e-12, 0); /* (0 + 1/pi)/2 */
    m = solve("relu", pre);
    assert_true(isinf(m.q) && isinf(m.xi_c) && m.chi1 == 1 && m.c == 1);
    assert_int_equal(m.phase, FANIN_PHASE_CRITICAL);
    pre = (fanin_meanfield_settings){
        .sigma_w2 = 2 / (1 - 1 / pi), .sigma_b2 = 7, .residual = 1, .norm = FANIN_NORM_BATCH};
    assert_ok(fanin_meanfield_trajectory(relu, &pre, 1, 0, 10, q, c, NULL));
    for (int l = 0; l <= 10; l++) assert_near(q[l], 1 + l, 1e-12, 0);
    m = solve("relu", pre);
    assert_true(isinf(m.q) && m.chi1 == 1 && m.c == 0);
    /* far down the correlation nears the fixed point of the branch, as the
     * power slope - 1 of depth */
    enum { DEEP = 3000 };
    static double qd[DEEP + 1], cd[DEEP + 1];
    fanin_activation *sine = parse("sin:2");
    pre = (fanin_meanfield_settings){
        .sigma_w2 = 3, .sigma_b2 = 0.3, .residual = 1, .norm = FANIN_NORM_LAYER};
    m = solve("sin:2", pre);
    assert_ok(fanin_meanfield_trajectory(sine, &pre, 1, 0.9, DEEP, qd, cd, NULL));
    assert_true(m.c > 0.05 && m.c < 0.95);
    fanin_meanfield plain =
        solve("sin:2",
              (fanin_meanfield_settings){.sigma_w2 = 3, .sigma_b2 = 0.3, .norm = FANIN_NORM_LAYER});
    assert_near(m.c, plain.c, 0, 0);
    double power = log((cd[DEEP / 2] - m.c) / (cd[DEEP] - m.c)) / log(2);
    assert_near(power, 1 - plain.chi_c, 0, 0.05);
    fanin_activation_destroy(sine);
    fanin_activation_destroy(relu);
}

TEST(unphysical_input_is_refused) {
    fanin_activation *act = parse("tanh"), *wild = parse("exp(x^2)"), *cubic = parse("x^3+x");
    fanin_meanfield m;
    fanin_err err = {0};
    fanin_meanfield_settings negative = {.sigma_w2 = -1}, nan_ = {.sigma_w2 = NAN},
                             one = {.sigma_w2 = 1};
    assert_int_equal(fanin_meanfield_solve(act, &negative, &m, &err), FANIN_DOMAIN);
    assert_int_equal(fanin_meanfield_solve(act, &nan_, &m, &err), FANIN_DOMAIN);
    assert_int_equal(fanin_meanfield_solve(wild, &one, &m, &err), FANIN_DOMAIN);
    assert_ok_err(fanin_meanfield_solve(cubic, &one, &m, &err), err);
    assert_true(isinf(m.q));
    fanin_activation_destroy(act);
    fanin_activation_destroy(wild);
    fanin_activation_destroy(cubic);
}

/* No row may crash or invent: q is a fixed point, c is one, and lies in [0, 1]. */
TEST(every_row_has_an_answer) {
    static const double grid[][2] = {{0.5, 0}, {1, 0.1}, {2, 0}, {2.5, 0.2}, {6, 1}, {0, 0.3}};
    for (size_t i = 0; i < fanin_activation_count(); i++) {
        fanin_activation *act = parse(fanin_activation_row_at(i)->name);
        for (size_t k = 0; k < sizeof grid / sizeof *grid; k++) {
            fanin_meanfield_settings set = {.sigma_w2 = grid[k][0], .sigma_b2 = grid[k][1]};
            fanin_meanfield m;
            fanin_err err = {0};
            fanin_status status = fanin_meanfield_solve(act, &set, &m, &err);
            if (status != FANIN_OK) {
                assert_int_equal(status, FANIN_DOMAIN);
                assert_false(fanin_activation_is_continuous(act));
                continue;
            }
            assert_true(m.c >= 0 && m.c <= 1);
            if (!(m.q > 0) || isinf(m.q)) continue;
            double q1, c1;
            assert_ok_err(fanin_meanfield_step(act, &set, m.q, m.c, &q1, &c1, &err), err);
            assert_near(q1, m.q, 1e-11, 1e-11);
            assert_near(c1, m.c, 1e-10, 1e-10);
        }
        fanin_activation_destroy(act);
    }
}
