/* Klambauer 2017, Martens 2021, Zhang 2022: constants to the digits shown. */
#include <math.h>
#include <stdio.h>

#include "fanin/theory.h"
#include "testing.h"

#define SHOWN(got, want, digits) assert_near((got), (want), 0.5000001 * pow(10, -(digits)), 0)

static fanin_activation *parse(const char *text) {
    fanin_activation *act = NULL;
    assert_ok(fanin_activation_parse(text, &act, NULL));
    return act;
}

TEST(selu_constants) {
    double alpha, lambda;
    assert_ok(fanin_selu_solve(0, 1, &alpha, &lambda, NULL));
    assert_near(alpha, 1.6732632423543772848, 0, 1e-14);
    assert_near(lambda, 1.0507009873554804934, 0, 1e-14);
    assert_ok(fanin_selu_solve(-0.1, 2, &alpha, &lambda, NULL));
    assert_near(alpha, 1.9769021954242014, 0, 1e-13);
    assert_near(lambda, 1.073851239616046, 0, 1e-13);
    fanin_err err = {0};
    assert_int_equal(fanin_selu_solve(0, -1, &alpha, &lambda, &err), FANIN_ARG);
    assert_int_equal(fanin_selu_solve(5, 0.1, &alpha, &lambda, &err), FANIN_DOMAIN);
}

TEST(selu_contracts) {
    fanin_activation *act = parse("selu");
    fanin_selfnorm m;
    assert_ok(fanin_selfnorm_map(act, 0, 1, 0, 1, &m, NULL));
    assert_near(m.mean, 0, 1e-15, 0);
    assert_near(m.variance, 1, 1e-14, 0);
    SHOWN(m.jacobian[0][1], .0888348, 7);
    SHOWN(m.jacobian[1][1], .7826479, 7);
    SHOWN(m.norm, .7876734, 7);
    assert_near(m.jacobian[0][0], 0, 0, 0);
    static const double walks[][2] = {{1.5, 1.0349}, {.8, .9807}, {3, 1.0951}, {.2, .8534}};
    for (int i = 0; i < 4; i++) {
        double mean = 0, v = walks[i][0];
        for (int l = 0; l < 10; l++) {
            assert_ok(fanin_selfnorm_map(act, mean, v, 0, 1, &m, NULL));
            mean = m.mean;
            v = m.variance;
        }
        SHOWN(v, walks[i][1], 4);
    }
    double second = 1, he[11]; /* random He weights carry the second moment */
    for (int l = 1; l <= 10; l++) {
        assert_ok(fanin_selfnorm_map(act, 0, second, 0, 2, &m, NULL));
        second = m.variance + m.mean * m.mean;
        he[l] = m.variance;
    }
    SHOWN(he[1], 1.71, 2);
    SHOWN(he[5], 6.27, 2);
    SHOWN(he[10], 15.7, 1);
    fanin_activation_destroy(act);
}

/* The theorem's box maps into itself: a scan of its corners and inside. */
TEST(selu_domain_maps_into_itself) {
    fanin_activation *act = parse("selu");
    double lo = 1, hi = -1, vlo = 9, vhi = 0;
    for (int i = 0; i < 81; i++) {
        fanin_selfnorm m;
        double mu = -0.1 + 0.1 * (i % 3), om = -0.1 + 0.1 * (i / 3 % 3);
        double nu = 0.8 + 0.35 * (i / 9 % 3), tau = 0.95 + 0.075 * (i / 27 % 3);
        assert_ok(fanin_selfnorm_map(act, mu, nu, om, tau, &m, NULL));
        lo = fmin(lo, m.mean);
        hi = fmax(hi, m.mean);
        vlo = fmin(vlo, m.variance);
        vhi = fmax(vhi, m.variance);
    }
    SHOWN(lo, -.03106, 5);
    SHOWN(hi, .06773, 5);
    assert_near(vlo, .8037, 2e-4, 0);
    assert_near(vhi, 1.4816, 2e-4, 0);
    fanin_activation_destroy(act);
}

TEST(jacobian_is_the_slope_of_the_map) {
    fanin_activation *act = parse("gelu");
    fanin_selfnorm m, up, down;
    double h = 1e-5;
    assert_ok(fanin_selfnorm_map(act, 0.3, 1.2, 0.7, 1.3, &m, NULL));
    assert_ok(fanin_selfnorm_map(act, 0.3 + h, 1.2, 0.7, 1.3, &up, NULL));
    assert_ok(fanin_selfnorm_map(act, 0.3 - h, 1.2, 0.7, 1.3, &down, NULL));
    assert_near(m.jacobian[0][0], (up.mean - down.mean) / (2 * h), 1e-8, 0);
    assert_near(m.jacobian[1][0], (up.variance - down.variance) / (2 * h), 1e-8, 0);
    assert_ok(fanin_selfnorm_map(act, 0.3, 1.2 + h, 0.7, 1.3, &up, NULL));
    assert_ok(fanin_selfnorm_map(act, 0.3, 1.2 - h, 0.7, 1.3, &down, NULL));
    assert_near(m.jacobian[0][1], (up.mean - down.mean) / (2 * h), 1e-8, 0);
    assert_near(m.jacobian[1][1], (up.variance - down.variance) / (2 * h), 1e-8, 0);
    fanin_activation_destroy(act);
}

TEST(alpha_dropout_keeps_mean_and_variance) {
    const double low = -1.0507009873554804934 * 1.6732632423543772848;
    for (double keep = 0.5; keep <= 1; keep += 0.05) {
        double a, b;
        assert_ok(fanin_alpha_dropout(keep, &a, &b, NULL));
        double mean = a * (1 - keep) * low + b;
        double second = keep * (a * a + b * b) + (1 - keep) * (a * low + b) * (a * low + b);
        assert_near(mean, 0, 1e-14, 0);
        assert_near(second - mean * mean, 1, 1e-13, 0);
    }
    double a, b;
    assert_int_equal(fanin_alpha_dropout(0, &a, &b, NULL), FANIN_ARG);
}

TEST(dks_constants) {
    static const struct {
        const char *name;
        double depth, want[4];
    } rows[] = {{"tanh", 50, {.128440, -.570780, 10.604448, .509807}},
                {"tanh", 100, {.090438, -.560107, 14.902526, .505004}},
                {"softplus", 50, {.326625, .409374, 5.094843, -.931284}},
                {"softplus", 100, {.228024, .407510, 7.303253, -.923720}}};
    for (int i = 0; i < 4; i++) {
        fanin_activation *act = parse(rows[i].name);
        fanin_shape s;
        fanin_err err = {0};
        assert_ok_err(fanin_shape_dks(act, rows[i].depth, 1.5, &s, &err), err);
        SHOWN(s.in_scale, rows[i].want[0], 6);
        SHOWN(s.in_shift, rows[i].want[1], 6);
        SHOWN(s.out_scale, rows[i].want[2], 6);
        SHOWN(s.out_shift, rows[i].want[3], 6);
        fanin_activation_destroy(act);
    }
    fanin_activation *relu = parse("relu");
    fanin_shape s;
    assert_int_equal(fanin_shape_dks(relu, 50, 1.5, &s, NULL), FANIN_DOMAIN);
    fanin_activation_destroy(relu);
}

/* What the conditions say, measured on the shaped function itself. */
TEST(tat_meets_its_conditions) {
    fanin_activation *act = parse("tanh"), *shaped = NULL;
    fanin_shape s;
    fanin_err err = {0};
    assert_ok_err(fanin_shape_tat(act, 50, 0.3, &s, &err), err);
    char formula[200];
    snprintf(formula, sizeof formula, "%.17g*(tanh(%.17g*x+(%.17g))+(%.17g))", s.out_scale,
             s.in_scale, s.in_shift, s.out_shift);
    assert_ok_err(fanin_activation_parse(formula, &shaped, &err), err);
    fanin_expectations m;
    assert_ok(fanin_gaussian_moments(shaped, 0, 1, &m, NULL));
    assert_near(m.second, 1, 1e-9, 0);
    assert_near(m.slope_second, 1, 1e-9, 0);
    assert_near(m.slope_second + m.curve_product, 1, 1e-9, 0);
    assert_near(m.curve_second, 0.3 / 50, 1e-9, 0);
    fanin_activation_destroy(act);
    fanin_activation_destroy(shaped);
}

TEST(tat_leaky_slopes) {
    static const double rows[][2] = {{20, .181380}, {50, .430523}, {100, .570440}, {200, .679600}};
    double a;
    for (int i = 0; i < 4; i++) {
        assert_ok(fanin_shape_tat_leaky((unsigned)rows[i][0], 0.9, &a, NULL));
        SHOWN(a, rows[i][1], 6);
    }
    fanin_err err = {0};
    assert_int_equal(fanin_shape_tat_leaky(12, 0.9, &a, &err), FANIN_DOMAIN);
    assert_int_equal(fanin_shape_tat_leaky(13, 0.9, &a, &err), FANIN_OK);
}
