/* Saxe 2014, Widrow and Hoff 1960, LeCun 1998. */
#include <math.h>

#include "fanin/theory.h"
#include "testing.h"

#define SHOWN(got, want, digits) assert_near((got), (want), 0.5000001 * pow(10, -(digits)), 0)

TEST(crossing_times) {
    static const double rows[][2] = {{1, 5.7509}, {2, 3.0489}, {4, 1.6111}, {8, .8489}};
    for (int i = 0; i < 4; i++) {
        double t, u, s = rows[i][0];
        assert_ok(fanin_saxe_time(3, s, 1, 1e-3, 0.99 * s, &t, NULL));
        SHOWN(t, rows[i][1], 4);
        assert_ok(fanin_saxe_strength(3, s, 1, 1e-3, t, &u, NULL));
        assert_near(u, 0.99 * s, 0, 1e-12);
    }
}

/* The ODE by Runge-Kutta, any depth. */
TEST(strength_solves_the_equation) {
    for (unsigned layers = 3; layers <= 40; layers += 9) {
        double s = 1.7, tau = 2, u = 0.2, t = 0, h = 1e-3, m = layers - 1.0;
        for (int k = 0; k < 700; k++, t += h) {
            double k1 = m / tau * pow(u, 2 - 2 / m) * (s - u), v = u + 0.5 * h * k1;
            double k2 = m / tau * pow(v, 2 - 2 / m) * (s - v);
            v = u + 0.5 * h * k2;
            double k3 = m / tau * pow(v, 2 - 2 / m) * (s - v);
            v = u + h * k3;
            double k4 = m / tau * pow(v, 2 - 2 / m) * (s - v);
            u += h / 6 * (k1 + 2 * k2 + 2 * k3 + k4);
        }
        double want, back;
        assert_ok(fanin_saxe_strength(layers, s, tau, 0.2, t, &want, NULL));
        assert_near(u, want, 1e-7, 1e-7);
        if (want < s * (1 - 1e-9)) {
            assert_ok(fanin_saxe_time(layers, s, tau, 0.2, want, &back, NULL));
            assert_near(back, t, 0, 1e-8);
        }
    }
}

TEST(many_layers_tend_to_the_continuum) {
    double exact, limit;
    assert_ok(fanin_saxe_time(4000, 2, 1, 0.05, 1.9, &exact, NULL));
    assert_ok(fanin_saxe_time_continuum(4000, 2, 1, 0.05, 1.9, &limit, NULL));
    assert_near(exact, limit, 0, 3e-3);
    fanin_err err = {0};
    assert_int_equal(fanin_saxe_time(2, 1, 1, 0.1, 0.9, &exact, &err), FANIN_ARG);
    assert_int_equal(fanin_saxe_time(3, 1, 1, 0.1, 1.1, &exact, &err), FANIN_ARG);
}

TEST(lms_figures) {
    double white[10];
    for (int i = 0; i < 10; i++) white[i] = 1;
    static const double rows[][2] = {{.005, .053}, {.01, .114}, {.02, .263}};
    fanin_lms m;
    for (int i = 0; i < 3; i++) {
        assert_ok(fanin_lms_solve(white, 10, rows[i][0], &m, NULL));
        SHOWN(m.misadjustment, rows[i][1], 3);
        assert_near(m.misadjustment_small, 10 * rows[i][0], 1e-15, 0);
        assert_near(m.mu_max_mean, 1, 1e-15, 0);
        assert_near(m.mu_max_square, 1.0 / 12, 1e-12, 0);
        assert_near(m.mse_time_constant_slowest, 1 / (4 * rows[i][0]), 1e-12, 0);
    }
    assert_ok(fanin_lms_solve(white, 10, 0.09, &m, NULL));
    assert_true(isinf(m.misadjustment));
    white[3] = -1;
    assert_int_equal(fanin_lms_solve(white, 10, 0.01, &m, NULL), FANIN_DOMAIN);
}

TEST(quadratic_steps) {
    const double lambda[] = {0.84, 0.036};
    fanin_quadratic q;
    assert_ok(fanin_quadratic_solve(lambda, 2, 2.4, &q, NULL));
    SHOWN(q.eta_max, 2.38, 2);
    assert_true(isinf(q.steps));
    assert_ok(fanin_quadratic_solve(lambda, 2, 1.5, &q, NULL));
    assert_near(q.condition, 0.84 / 0.036, 0, 1e-15);
    assert_near(q.rate, 1 - 1.5 * 0.036, 1e-15, 0);
}
