/* Spectra against closed forms and their own moments. */
#include <math.h>

#include "fanin/theory.h"
#include "testing.h"

static const double pi = 3.14159265358979323846;

static fanin_activation *parse(const char *text) {
    fanin_activation *act = NULL;
    assert_ok(fanin_activation_parse(text, &act, NULL));
    return act;
}

TEST(mean_singular_value_of_square_matrices) {
    double mean, wide;
    assert_ok(fanin_mean_singular_value(1, 1, &mean, NULL));
    assert_near(mean, 0.848826, 5e-7, 0);
    assert_ok(fanin_mean_singular_value(1, 1.0 / 3, &mean, NULL)); /* Glorot's standard init */
    assert_near(mean, 0.49, 1e-3, 0);
    assert_ok(fanin_mean_singular_value(0.999999, 1, &wide, NULL)); /* the integral tends to it */
    assert_near(wide, 8 / (3 * pi), 1e-4, 0);
}

TEST(marchenko_pastur_integrates_to_one) {
    static const double aspects[] = {0.25, 0.9, 2};
    for (int k = 0; k < 3; k++) {
        double low, high, atom, mass = 0, mean = 0;
        assert_ok(fanin_marchenko_pastur(aspects[k], 1.5, 1, NULL, &low, &high, &atom, NULL));
        for (int i = 0; i < 20000; i++) {
            double t = pi * (i + 0.5) / 20000, d;
            double x = 0.5 * (low + high) + 0.5 * (high - low) * cos(t);
            assert_ok(fanin_marchenko_pastur(aspects[k], 1.5, x, &d, NULL, NULL, NULL, NULL));
            mass += d * 0.5 * (high - low) * sin(t) * pi / 20000;
            mean += x * d * 0.5 * (high - low) * sin(t) * pi / 20000;
        }
        assert_near(mass + atom, 1, 1e-6, 0);
        assert_near(mean, 1.5, 1e-6, 0);
    }
}

/* relu and hard tanh: m_2 = m_1^2 (L + p)/p for Gaussian weights. */
TEST(jacobian_moments_of_straight_pieces) {
    fanin_activation *relu = parse("relu"), *hard = parse("hard_tanh");
    fanin_jacobian j;
    assert_ok(fanin_jacobian_moments(relu, 1, 2, 10, false, &j, NULL));
    assert_near(j.mean, 1, 1e-13, 0);
    assert_near(j.second, (10 + 0.5) / 0.5, 1e-11, 0);
    assert_ok(fanin_jacobian_moments(relu, 1, 2, 10, true, &j, NULL));
    assert_near(j.variance, 10 * (1 / 0.5 - 1), 1e-11, 0);
    double q = 0.7, p = erf(1 / sqrt(2 * q));
    assert_ok(fanin_jacobian_moments(hard, q, 1.3, 5, false, &j, NULL));
    assert_near(j.mean, pow(1.3 * p, 5), 1e-12, 0);
    assert_near(j.second, j.mean * j.mean * (5 + p) / p, 1e-11, 0);
    fanin_activation_destroy(relu);
    fanin_activation_destroy(hard);
}

TEST(tanh_slope_spread) {
    static const double rows[][3] = {{.01, 7.273e-4, 5e-8},
                                     {.03, 5.538e-3, 5e-7},
                                     {.1, 3.971e-2, 5e-6},
                                     {.3, .1703, 5e-5},
                                     {1, .5835, 5e-5}};
    fanin_activation *act = parse("tanh");
    for (int i = 0; i < 5; i++) {
        fanin_jacobian j;
        assert_ok(fanin_jacobian_moments(act, rows[i][0], 1, 1, true, &j, NULL));
        assert_near(j.slope_spread, rows[i][1], rows[i][2] * 1.01, 0);
    }
    fanin_activation_destroy(act);
}

TEST(one_linear_gaussian_layer_is_marchenko_pastur) {
    fanin_activation *act = parse("identity");
    double lambda[40], density[40], atoms[2];
    for (int i = 0; i < 40; i++) lambda[i] = 0.05 + 0.1 * i;
    assert_ok(fanin_jacobian_density(act, 1, 1, 1, false, NULL, lambda, 40, density, atoms, NULL));
    assert_near(atoms[0] + atoms[1], 0, 1e-12, 0);
    for (int i = 0; i < 40; i++) {
        double want;
        assert_ok(fanin_marchenko_pastur(1, 1, lambda[i], &want, NULL, NULL, NULL, NULL));
        assert_near(density[i], want, 1e-6, 1e-6);
    }
    fanin_activation_destroy(act);
}

/* Mass and mean of the density, integrated over ln lambda. */
static void integrate(const char *name, double q, double w2, double depth, bool orthogonal,
                      const fanin_jacobian_output *output, double tolerance) {
    enum { POINTS = 500 };
    static double lambda[POINTS], density[POINTS];
    fanin_activation *act = parse(name);
    fanin_jacobian j;
    fanin_err err = {0};
    double atoms[2], lo = log(1e-14), hi = log(400.0), mass = 0, mean = 0, second = 0;
    assert_ok(fanin_jacobian_moments(act, q, w2, depth, orthogonal, &j, NULL));
    double last = output ? output->sigma_w2 : 1;
    if (output && !output->orthogonal) j.second += j.mean * j.mean; /* m_2 / m_1^2 grows by 1 */
    j.mean *= last;
    j.second *= last * last;
    for (int i = 0; i < POINTS; i++) lambda[i] = exp(lo + (hi - lo) * (i + 0.5) / POINTS);
    assert_ok_err(fanin_jacobian_density(act, q, w2, depth, orthogonal, output, lambda, POINTS,
                                         density, atoms, &err),
                  err);
    for (int i = 0; i < POINTS; i++) {
        double m = density[i] * lambda[i] * (hi - lo) / POINTS;
        mass += m;
        mean += lambda[i] * m;
        second += lambda[i] * lambda[i] * m;
    }
    assert_near(mass + atoms[0] + atoms[1], 1, tolerance, 0);
    /* at the top all slopes are 1 here */
    mean += atoms[1] * pow(w2, depth) * last;
    second += atoms[1] * pow(w2, 2 * depth) * last * last;
    assert_near(mean, j.mean, tolerance, tolerance);
    assert_near(second, j.second, 2 * tolerance, 2 * tolerance);
    fanin_activation_destroy(act);
}

TEST(densities_have_their_moments) {
    integrate("relu", 1, 2, 2, false, NULL, 2e-2);
    integrate("relu", 1, 2, 4, true, NULL, 2e-2);
    integrate("hard_tanh", 0.5, 1.2, 3, true, NULL, 2e-2);
    integrate("identity", 1, 1, 3, false, NULL, 2e-2);
    integrate("tanh", 0.3, 1.3, 3, false, NULL, 2e-2);
    integrate("tanh", 0.3, 1.3, 4, true, NULL, 2e-2);
    const fanin_jacobian_output gaussian = {0.5, false}, orthogonal = {0.5, true};
    integrate("tanh", 0.3, 1.3, 3, false, &gaussian, 2e-2);
    integrate("hard_tanh", 0.5, 1.2, 3, true, &gaussian, 2e-2);
    integrate("hard_tanh", 0.5, 1.2, 3, true, &orthogonal, 2e-2);
}
