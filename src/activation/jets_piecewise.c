/* Activations made of pieces. At a kink the left piece counts (relu'(0) = 0), except that a
 * clamp's slope is 0 at both its ends. */
#include <math.h>

#include "activation/activation.h"

static void set(double d[4], double f, double f1, double f2, double f3) {
    d[0] = f;
    d[1] = f1;
    d[2] = f2;
    d[3] = f3;
}

static void nan_through(double x, double d[4]) {
    if (isnan(x)) set(d, x, x, x, x);
}

static void slopes(double a, double x, double d[4]) {
    if (x > 0)
        set(d, x, 1, 0, 0);
    else
        set(d, a * x, a, 0, 0);
    if (a == 0 && !(x > 0)) d[0] = 0; /* no -0, and no NaN from 0 * infinity */
    nan_through(x, d);
}

/* clamp(a x + b, lo, hi) */
static void clamp(double a, double b, double lo, double hi, double x, double d[4]) {
    double y = a * x + b;
    if (y <= lo)
        set(d, lo, 0, 0, 0);
    else if (y >= hi)
        set(d, hi, 0, 0, 0);
    else
        set(d, y, a, 0, 0);
    nan_through(x, d);
}

/* s x above 0, s a (e^{x/c} - 1) below */
static void exponential(double s, double a, double c, double x, double d[4]) {
    if (x > 0) {
        set(d, s * x, s, 0, 0);
    } else {
        double e = s * a * exp(x / c);
        set(d, s * a * expm1(x / c), e / c, e / (c * c), e / (c * c * c));
    }
    nan_through(x, d);
}

void fanin__jet_identity(const double *p, double x, double d[4]) {
    (void)p;
    set(d, x, 1, 0, 0);
    nan_through(x, d);
}

void fanin__jet_hard_sigmoid(const double *p, double x, double d[4]) {
    clamp(p[0], p[1], 0, 1, x, d);
}

void fanin__jet_hard_tanh(const double *p, double x, double d[4]) { clamp(1, 0, p[0], p[1], x, d); }

void fanin__jet_relu6(const double *p, double x, double d[4]) {
    (void)p;
    clamp(1, 0, 0, 6, x, d);
}

void fanin__jet_softsign(const double *p, double x, double d[4]) {
    (void)p;
    double i = 1 / (1 + fabs(x));
    set(d, x * i, i * i, (x > 0 ? -2 : 2) * i * i * i, 6 * i * i * i * i);
    if (x == 0) d[2] = 0; /* the mean of the two sides */
    if (isinf(x)) d[0] = x > 0 ? 1 : -1;
    nan_through(x, d);
}

void fanin__jet_relu(const double *p, double x, double d[4]) {
    (void)p;
    slopes(0, x, d);
}

void fanin__jet_leaky_relu(const double *p, double x, double d[4]) { slopes(p[0], x, d); }

void fanin__jet_rrelu(const double *p, double x, double d[4]) { slopes(0.5 * (p[0] + p[1]), x, d); }

void fanin__jet_elu(const double *p, double x, double d[4]) { exponential(1, p[0], 1, x, d); }

void fanin__jet_celu(const double *p, double x, double d[4]) { exponential(1, p[0], p[0], x, d); }

void fanin__jet_selu(const double *p, double x, double d[4]) {
    (void)p;
    exponential(FANIN__SELU_LAMBDA, FANIN__SELU_ALPHA, 1, x, d);
}

void fanin__jet_hard_swish(const double *p, double x, double d[4]) {
    (void)p;
    if (x <= -3)
        set(d, 0, 0, 0, 0);
    else if (x >= 3)
        set(d, x, 1, 0, 0);
    else
        set(d, x * (x + 3) / 6, (2 * x + 3) / 6, 1.0 / 3, 0);
    nan_through(x, d);
}

void fanin__jet_squared_relu(const double *p, double x, double d[4]) {
    (void)p;
    if (x > 0)
        set(d, x * x, 2 * x, 2, 0);
    else
        set(d, 0, 0, 0, 0);
    nan_through(x, d);
}

void fanin__jet_step(const double *p, double x, double d[4]) {
    (void)p;
    set(d, x > 0, 0, 0, 0);
    nan_through(x, d);
}

void fanin__jet_sign(const double *p, double x, double d[4]) {
    (void)p;
    set(d, (x > 0) - (x < 0), 0, 0, 0);
    nan_through(x, d);
}

void fanin__jet_abs(const double *p, double x, double d[4]) {
    (void)p;
    set(d, fabs(x), (x > 0) - (x < 0), 0, 0);
    nan_through(x, d);
}

void fanin__jet_threshold(const double *p, double x, double d[4]) {
    if (x > p[0])
        set(d, x, 1, 0, 0);
    else
        set(d, p[1], 0, 0, 0);
    nan_through(x, d);
}
