/* Smooth activations with three derivatives each, in double. Forms are chosen so that no tail
 * cancels: sigmoid' is e/(1+e)^2 with e = e^{-|x|}, never s(1-s). */
#include <math.h>

#include "activation/activation.h"

#define PI        3.14159265358979323846264338327950288
#define SQRT_2    1.41421356237309504880168872420969808
#define INV_SQ2PI 0.398942280401432677939946059934381868

void fanin__jet_compose(const double g[4], const double u[4], double d[4]) {
    double u1 = u[1], u2 = u[2], u3 = u[3];
    d[0] = g[0];
    d[3] = g[3] * u1 * u1 * u1 + 3 * g[2] * u1 * u2 + g[1] * u3;
    d[2] = g[2] * u1 * u1 + g[1] * u2;
    d[1] = g[1] * u1;
}

/* d = a g(b x) from the jet of g at b x. */
static void scale(double a, double b, double d[4]) {
    d[0] *= a;
    d[1] *= a * b;
    d[2] *= a * b * b;
    d[3] *= a * b * b * b;
}

/* d = x g(x). */
static void times_x(double x, double d[4]) {
    d[3] = 3 * d[2] + x * d[3];
    d[2] = 2 * d[1] + x * d[2];
    d[1] = d[0] + x * d[1];
    d[0] = x * d[0];
}

/* Far out x^2 overflows and 0 * infinity would give NaN; the limit is known. */
static void tail(double x, double d[4], bool linear_above) {
    if (!(fabs(x) >= 1e100)) return;
    d[0] = x > 0 && linear_above ? x : 0;
    d[1] = x > 0 && linear_above ? 1 : 0;
    d[2] = d[3] = 0;
}

static void sigmoid(double x, double d[4]) {
    double e = exp(-fabs(x)), i = 1 / (1 + e);
    double t = -expm1(-fabs(x)) * i; /* tanh(|x|/2) */
    if (x < 0) t = -t;
    d[0] = x >= 0 ? i : e * i;
    d[1] = e * i * i;
    d[2] = -d[1] * t;
    d[3] = d[1] * (t * t - 2 * d[1]);
    if (isnan(x)) d[0] = d[1] = d[2] = d[3] = x;
}

static void tanh_jet(double x, double d[4]) {
    double e = exp(-2 * fabs(x)), i = 1 / (1 + e);
    d[0] = tanh(x);
    d[1] = 4 * e * i * i;
    d[2] = -2 * d[0] * d[1];
    d[3] = -2 * (d[1] * d[1] + d[0] * d[2]);
}

static void softplus(double x, double d[4]) {
    double s[4];
    sigmoid(x, s);
    d[0] = (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
    d[1] = s[0];
    d[2] = s[1];
    d[3] = s[2];
    if (isnan(x)) d[0] = x;
}

void fanin__jet_sigmoid(const double *p, double x, double d[4]) {
    (void)p;
    sigmoid(x, d);
}

void fanin__jet_log_sigmoid(const double *p, double x, double d[4]) {
    (void)p;
    softplus(-x, d);
    d[0] = -d[0];
    d[2] = -d[2];
}

void fanin__jet_tanh(const double *p, double x, double d[4]) {
    (void)p;
    tanh_jet(x, d);
}

void fanin__jet_lecun_tanh(const double *p, double x, double d[4]) {
    tanh_jet(p[1] * x, d);
    scale(p[0], p[1], d);
}

void fanin__jet_gelu(const double *p, double x, double d[4]) {
    (void)p;
    double phi = INV_SQ2PI * exp(-0.5 * x * x);
    d[0] = 0.5 * erfc(-x / SQRT_2);
    d[1] = phi;
    d[2] = -x * phi;
    d[3] = (x * x - 1) * phi;
    times_x(x, d);
    tail(x, d, true);
}

void fanin__jet_gelu_tanh(const double *p, double x, double d[4]) {
    (void)p;
    const double c = 2 * 0.797884560802865355879892119868763737, a = 0.044715;
    double v[4] = {c * (x + a * x * x * x), c * (1 + 3 * a * x * x), 6 * c * a * x, 6 * c * a};
    if (fabs(x) > 100) { /* sigmoid has long left the range of doubles; v may overflow */
        tail(x > 0 ? INFINITY : -INFINITY, d, true);
        d[0] = x > 0 ? x : 0;
        return;
    }
    double g[4];
    sigmoid(v[0], g);
    fanin__jet_compose(g, v, d);
    times_x(x, d);
}

void fanin__jet_silu(const double *p, double x, double d[4]) {
    sigmoid(p[0] * x, d);
    scale(1, p[0], d);
    times_x(x, d);
    if (p[0] > 0) tail(x, d, true);
}

void fanin__jet_mish(const double *p, double x, double d[4]) {
    (void)p;
    double u[4], g[4];
    softplus(x, u);
    tanh_jet(u[0], g);
    fanin__jet_compose(g, u, d);
    times_x(x, d);
    tail(x, d, true);
}

void fanin__jet_softplus(const double *p, double x, double d[4]) {
    softplus(p[0] * x, d);
    scale(1 / p[0], p[0], d);
}

void fanin__jet_erf(const double *p, double x, double d[4]) {
    (void)p;
    d[0] = erf(x);
    d[1] = 2 / sqrt(PI) * exp(-x * x);
    d[2] = fabs(x) > 100 ? 0 : -2 * x * d[1];
    d[3] = fabs(x) > 100 ? 0 : (4 * x * x - 2) * d[1];
}

void fanin__jet_gaussian(const double *p, double x, double d[4]) {
    (void)p;
    d[0] = exp(-x * x);
    if (fabs(x) > 100) {
        d[1] = d[2] = d[3] = 0;
        return;
    }
    d[1] = -2 * x * d[0];
    d[2] = (4 * x * x - 2) * d[0];
    d[3] = (12 * x - 8 * x * x * x) * d[0];
}

void fanin__jet_sin(const double *p, double x, double d[4]) {
    double s = sin(p[0] * x), c = cos(p[0] * x);
    d[0] = s;
    d[1] = c;
    d[2] = -s;
    d[3] = -c;
    scale(1, p[0], d);
}

void fanin__jet_cos(const double *p, double x, double d[4]) {
    double s = sin(p[0] * x), c = cos(p[0] * x);
    d[0] = c;
    d[1] = -s;
    d[2] = -c;
    d[3] = s;
    scale(1, p[0], d);
}
