/* Gaussian expectations against 15-digit figures, closed forms and each other. */
#include <math.h>
#include <string.h>

#include "fanin/theory.h"
#include "testing.h"

static fanin_activation *parse(const char *text) {
    fanin_activation *act = NULL;
    fanin_err err = {0};
    assert_ok_err(fanin_activation_parse(text, &act, &err), err);
    return act;
}

/* E f, E f^2, Var f, 1/sqrt(E f^2), 1/sqrt(Var f) to 15 digits, E f'^2 to 10, by 30-digit
 * arithmetic. */
static const struct {
    const char *name;
    double mean, second, variance, gain, nf, slope;
} table[] = {
    {"relu", 0.398942280401433, 0.5, 0.340845056908105, 1.4142135623731, 1.71285855044966, 0.5},
    {"leaky_relu:0.01", 0.394952857597418, 0.50005, 0.344062240275633, 1.41414285699784,
     1.70483162717734, 0.50005},
    {"leaky_relu:0.2", 0.319153824321146, 0.52, 0.418140836421187, 1.38675049056307,
     1.54646006036087, 0.52},
    {"relu6", 0.398942280245076, 0.49999999807527, 0.34084505510813, 1.41421356509507,
     1.7128585549724, 0.499999999},
    {"tanh", 0, 0.394294490397841, 0.394294490397841, 1.59253741972283, 1.59253741972283,
     0.4644029024},
    {"lecun_tanh", 0, 0.750430276305065, 0.750430276305065, 1.15436945397614, 1.15436945397614,
     0.8039891133},
    {"hardtanh", 0, 0.516058550961713, 0.516058550961713, 1.39203614044831, 1.39203614044831,
     0.6826894921},
    {"erf", 0, 0.46455905439754, 0.46455905439754, 1.46716695048914, 1.46716695048914,
     0.5694100347},
    {"sigmoid", 0.5, 0.293379035858093, 0.043379035858093, 1.84622854533861, 4.80131337203996,
     0.04483624135},
    {"softsign", 0, 0.183014021266547, 0.183014021266547, 2.33753336310854, 2.33753336310854,
     0.2276713404},
    {"softplus", 0.80605918334744, 0.9212459088593, 0.271514501800559, 1.0418668355353,
     1.91912598010766, 0.2933790359},
    {"elu", 0.160520572266556, 0.644945417492924, 0.619178563372141, 1.24519830070071,
     1.2708434178502, 0.6681020012},
    {"celu", 0.160520572266556, 0.644945417492924, 0.619178563372141, 1.24519830070071,
     1.2708434178502, 0.6681020012},
    {"selu", 0, 1, 1, 1, 1, 1.071574992},
    {"gelu", 0.282094791773878, 0.425221482570299, 0.345644011024351, 1.53353044119554,
     1.70092624336333, 0.4558508656},
    {"gelu_tanh", 0.282038588078789, 0.425193711033099, 0.345647945867623, 1.53358052166615,
     1.70091656169545, 0.455817846},
    {"silu", 0.206620964141907, 0.355775519817352, 0.313083296994421, 1.67653247033109,
     1.78718722210044, 0.3794823516},
    {"mish", 0.240403888374791, 0.452342192375883, 0.394548162830164, 1.48684758127321,
     1.59202538109945, 0.4790837584},
    {"hardswish", 0.166216700656123, 0.331567375137908, 0.3039393835609, 1.73665721276654,
     1.81387147381318, 0.3585315172},
    {"hardsigmoid", 0.5, 0.277639091056513, 0.0276390910565126, 1.89784042472956, 6.0150344866371,
     0.02770278344}};

TEST(gains_to_12_digits) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        fanin_activation *act = parse(table[i].name);
        fanin_expectations m;
        fanin_gain g;
        fanin_err err = {0};
        assert_ok_err(fanin_gaussian_moments(act, 0, 1, &m, &err), err);
        assert_near(m.mean, table[i].mean, 1e-14, 1e-13);
        assert_near(m.second, table[i].second, 0, 1e-13);
        assert_near(m.second - m.mean * m.mean, table[i].variance, 0, 1e-12);
        assert_near(m.slope_second, table[i].slope, 0, 1e-9);
        assert_true(m.error < 1e-12);
        assert_ok_err(fanin_gain_solve(act, &g, &err), err);
        assert_near(g.mean, table[i].mean, 1e-14, 1e-13);
        assert_near(g.gain, table[i].gain, 0, 1e-12);
        assert_near(g.nf_gamma, table[i].nf, 0, 1e-12);
        assert_near(g.derivative_second_moment, table[i].slope, 0, 1e-9);
        fanin_activation_destroy(act);
    }
}

/* Brock 2021's constants are Monte-Carlo values: two thousandths. */
TEST(published_nf_gains) {
    static const struct {
        const char *name;
        double gamma;
    } nf[] = {{"identity", 1},
              {"celu", 1.270926833152771},
              {"elu", 1.2716004848480225},
              {"gelu", 1.7015043497085571},
              {"leaky_relu", 1.70590341091156},
              {"log_sigmoid", 1.9193484783172607},
              {"relu", 1.7139588594436646},
              {"relu6", 1.7131484746932983},
              {"selu", 1.0008515119552612},
              {"sigmoid", 4.803835391998291},
              {"silu", 1.7881293296813965},
              {"softsign", 2.338853120803833},
              {"softplus", 1.9203323125839233},
              {"tanh", 1.5939117670059204}};
    for (size_t i = 0; i < sizeof nf / sizeof *nf; i++) {
        fanin_activation *act = parse(nf[i].name);
        fanin_gain g;
        assert_ok(fanin_gain_solve(act, &g, NULL));
        assert_near(g.nf_gamma, nf[i].gamma, 0, 2e-3);
        fanin_activation_destroy(act);
    }
}

TEST(closed_moments_test_the_quadrature) {
    static const char *const more[] = {"threshold:0.5,0.5",
                                       "hard_tanh:-0.3,2",
                                       "celu:1.7",
                                       "sin:2",
                                       "cos:0.7",
                                       "leaky_relu:-0.5",
                                       "elu:2",
                                       "threshold:1,0",
                                       "hard_sigmoid:-1,0.3"};
    size_t rows = fanin_activation_count(), extra = sizeof more / sizeof *more;
    for (size_t i = 0; i < rows + extra; i++) {
        fanin_activation *act = parse(i < rows ? fanin_activation_row_at(i)->name : more[i - rows]);
        for (double q = 0.01; q < 200; q *= 3.7) {
            fanin_activation_moments closed;
            fanin_expectations m;
            fanin_err err = {0};
            if (fanin_activation_closed_moments(act, q, &closed) != FANIN_OK) continue;
            assert_ok_err(fanin_gaussian_moments(act, 0, q, &m, &err), err);
            double tiny = 1e-15 * sqrt(m.second) + 1e-20;
            assert_near(m.mean, closed.mean, 1e-12 * sqrt(m.second) + 1e-20, 1e-12);
            assert_near(m.second, closed.second, tiny, 1e-11);
            if (isinf(closed.slope_second)) {
                assert_true(isinf(m.slope_second));
                continue;
            }
            assert_near(m.slope_second, closed.slope_second, 1e-14, 1e-11);
            assert_near(m.curve_product, closed.curve_product, 1e-13 * (1 + m.slope_second), 1e-11);
        }
        fanin_activation_destroy(act);
    }
}

/* d/dq E f^2 = E f'^2 + E f f'': delta functions included. */
TEST(variance_slope_is_the_derivative) {
    for (size_t i = 0; i < fanin_activation_count(); i++) {
        fanin_activation *act = parse(fanin_activation_row_at(i)->name);
        for (double q = 0.1; q < 30; q *= 5) {
            fanin_expectations m, up, down;
            double h = 1e-4 * q;
            assert_ok(fanin_gaussian_moments(act, 0, q, &m, NULL));
            assert_ok(fanin_gaussian_moments(act, 0, q + h, &up, NULL));
            assert_ok(fanin_gaussian_moments(act, 0, q - h, &down, NULL));
            if (isinf(m.slope_second)) continue;
            assert_near(m.slope_second + m.curve_product, (up.second - down.second) / (2 * h),
                        1e-7 * m.second / q + 1e-9, 1e-7);
        }
        fanin_activation_destroy(act);
    }
}

TEST(duals_agree) {
    for (size_t i = 0; i < fanin_activation_count(); i++) {
        fanin_activation *act = parse(fanin_activation_row_at(i)->name);
        static const double points[][3] = {{1, 1, 0.5},      {1, 1, -0.9}, {2, 0.3, 0.7},
                                           {0.1, 0.1, 0.99}, {5, 5, 0.2},  {1, 2, 1}};
        for (size_t k = 0; k < sizeof points / sizeof *points; k++) {
            const double *p = points[k];
            for (int order = 0; order <= 1; order++) {
                if (order && !fanin_activation_is_continuous(act)) continue;
                double a, b, e;
                fanin_err err = {0};
                assert_ok_err(
                    fanin_gaussian_dual_quadrature(act, order, p[0], p[1], p[2], &b, &e, &err),
                    err);
                assert_ok_err(fanin_gaussian_dual(act, order, p[0], p[1], p[2], &a, &e, &err), err);
                assert_near(a, b, 2e-12, 2e-12);
            }
        }
        fanin_activation_destroy(act);
    }
}

TEST(dual_of_order_1_is_the_slope_of_order_0) {
    static const char *const names[] = {"tanh", "gelu", "relu", "hard_tanh", "x*sigmoid(1.702*x)"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        fanin_activation *act = parse(names[i]);
        for (double c = -0.6; c < 0.9; c += 0.4) {
            double up, down, slope, h = 1e-4, q = 1.5;
            assert_ok(fanin_gaussian_dual(act, 0, q, q, c + h, &up, NULL, NULL));
            assert_ok(fanin_gaussian_dual(act, 0, q, q, c - h, &down, NULL, NULL));
            assert_ok(fanin_gaussian_dual(act, 1, q, q, c, &slope, NULL, NULL));
            assert_near(q * slope, (up - down) / (2 * h), 1e-7, 1e-7);
        }
        fanin_activation_destroy(act);
    }
}

/* Arc-cosine kernels, Cho and Saul 2009, and erf's diagonal. */
TEST(published_kernels) {
    fanin_activation *relu = parse("relu"), *erf_ = parse("erf"), *gelu = parse("gelu");
    double v;
    assert_ok(fanin_gaussian_dual(relu, 1, 1, 1, 0.5, &v, NULL, NULL));
    assert_near(2 * v, 2.0 / 3, 1e-14, 0);
    assert_ok(fanin_gaussian_dual(relu, 0, 1, 1, 0.5, &v, NULL, NULL));
    assert_near(2 * v, 0.6089977810, 1e-10, 0);
    assert_ok(fanin_gaussian_dual(relu, 0, 1, 1, 0.9, &v, NULL, NULL));
    assert_near(2 * v, 0.9095383988, 1e-10, 0);
    assert_ok(fanin_gaussian_dual(erf_, 0, 1, 1, 1, &v, NULL, NULL));
    assert_near(v, 0.464559054398, 1e-12, 0);
    assert_ok(fanin_gaussian_dual(erf_, 1, 1, 1, 1, &v, NULL, NULL));
    assert_near(v, 0.569410034734, 1e-12, 0);
    assert_ok(fanin_gaussian_dual(gelu, 0, 1, 1, 1, &v, NULL, NULL));
    assert_near(v, 0.425221, 5e-7, 0);
    fanin_activation_destroy(relu);
    fanin_activation_destroy(erf_);
    fanin_activation_destroy(gelu);
}

TEST(hermite_series_of_known_functions) {
    double a[64], rest;
    fanin_activation *s = parse("sin"), *sq = parse("x^2"), *sg = parse("sign");
    assert_ok(fanin_gaussian_hermite(sq, 1, 8, a, &rest, NULL)); /* z^2 = 1 + sqrt(2) h_2 */
    assert_near(a[0], 1, 1e-13, 0);
    assert_near(a[2], sqrt(2), 1e-13, 0);
    assert_near(fabs(a[1]) + fabs(a[3]) + fabs(a[4]) + rest, 0, 1e-12, 0);
    assert_ok(fanin_gaussian_hermite(s, 1, 64, a, &rest, NULL)); /* e^{-1/2}(-1)^j/sqrt(k!) */
    double factorial = 1, sign = 1;
    for (int k = 0; k < 20; k++) {
        factorial *= k ? k : 1;
        assert_near(a[k], k % 2 ? sign * exp(-0.5) / sqrt(factorial) : 0, 1e-14, 0);
        if (k % 2) sign = -sign;
    }
    assert_near(rest, 0, 1e-13, 0);
    assert_ok(fanin_gaussian_hermite(sg, 1, 64, a, &rest, NULL));
    assert_near(a[1], sqrt(2 / 3.14159265358979323846), 1e-13, 0);
    assert_true(rest > 0.01);
    fanin_activation_destroy(s);
    fanin_activation_destroy(sq);
    fanin_activation_destroy(sg);
}

TEST(infinite_moments_are_said) {
    static const struct {
        const char *formula;
        double q;
        fanin_status status;
    } cases[] = {{"exp(x^2)", 1, FANIN_DOMAIN}, {"exp(x^2)", 0.1, FANIN_OK},
                 {"exp(x)", 1, FANIN_OK},       {"log(x)", 1, FANIN_NUMERIC},
                 {"1/x", 1, FANIN_NOCONV},      {"exp(exp(x))", 1, FANIN_DOMAIN},
                 {"x^4", 2, FANIN_OK}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fanin_activation *act = parse(cases[i].formula);
        fanin_err err = {0};
        double v;
        fanin_status got = fanin_gaussian_power(act, 0, 2, 0, cases[i].q, &v, NULL, &err);
        if (got != cases[i].status) print_error("%s: %s\n", cases[i].formula, err.message);
        assert_int_equal(got, cases[i].status);
        if (got == FANIN_OK && strcmp(cases[i].formula, "exp(x)") == 0)
            assert_near(v, exp(2), 0, 1e-13);
        if (got == FANIN_OK && strcmp(cases[i].formula, "exp(x^2)") == 0)
            assert_near(v, 1 / sqrt(0.6), 0, 1e-13);
        if (got == FANIN_OK && strcmp(cases[i].formula, "x^4") == 0)
            assert_near(v, 105 * 16, 0, 1e-13);
        fanin_activation_destroy(act);
    }
}

TEST(sharp_formulas_are_followed) {
    /* E sigmoid(200 x)^2 = 1/2 - E s(1-s), the second nearly phi(0)/200 */
    fanin_activation *act = parse("sigmoid(200*x)"),
                     *gap = parse("sqrt(sigmoid(200*x)*sigmoid(-200*x))");
    double v, w;
    assert_ok(fanin_gaussian_power(act, 0, 2, 0, 1, &v, NULL, NULL));
    assert_ok(fanin_gaussian_power(gap, 0, 2, 0, 1, &w, NULL, NULL));
    assert_near(v + w, 0.5, 1e-14, 0);
    fanin_activation_destroy(act);
    fanin_activation_destroy(gap);
}
