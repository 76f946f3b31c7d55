/* What kinks leave of a Hermite series.
 *
 * The coefficients of a function with a jump in its m-th derivative fall only like
 * k^-(2 m + 1)/4, so that a hundred terms give four digits near correlation 1. But the part that
 * falls slowly is known: it belongs to sum_i sum_m J_im (x - x_i)_+^m/m!, J_im the jump of the m-th
 * derivative at x_i. Both its coefficients and its expectation over a pair are closed forms, so
 * the rest of its series after n terms is their difference. */
#include <math.h>
#include <string.h>

#include "theory/theory.h"

/* ---- finding --------------------------------------------------------------------------- */

void fanin__kink_sides(const fanin_activation *act, double at, double left[4], double right[4]) {
    double step = 1e-13 * (fabs(at) + 1e-3);
    fanin__activation_jet(act, at - step, left);
    fanin__activation_jet(act, at + step, right);
}

double fanin__slope_at_origin(const fanin_activation *act) {
    double left[4], right[4];
    fanin__kink_sides(act, 0, left, right);
    double slope = 0.5 * (left[1] * left[1] + right[1] * right[1]);
    return slope < 1e-24 ? 0 : slope; /* x^2 a step away from 0 */
}

/* f^(4) to f^(6) on one side of a kink (side = -1, 1) from f^(3) at six places; false where two steps
 * disagree: f is too sharp there. */
static bool beyond(const fanin_activation *act, double at, double side, double step, double d[3]) {
    static const double rule[3][6] = {{-137.0 / 60, 5, -5, 10.0 / 3, -1.25, 0.2},
                                      {3.75, -77.0 / 6, 107.0 / 6, -13, 61.0 / 12, -5.0 / 6},
                                      {-4.25, 17.75, -29.5, 24.5, -10.25, 1.75}};
    double fine[3];
    for (int pass = 0; pass < 2; pass++, step *= 0.5) {
        double f[6], jet[4], *out = pass ? fine : d;
        for (int i = 0; i < 6; i++) {
            double gap = i ? i * step : 1e-13 * (fabs(at) + 1e-3);
            fanin__activation_jet(act, at + side * gap, jet);
            f[i] = jet[3];
        }
        for (int k = 0; k < 3; k++) {
            out[k] = 0;
            for (int i = 0; i < 6; i++) out[k] += rule[k][i] * f[i];
            out[k] /= pow(side * step, k + 1);
        }
    }
    for (int k = 0; k < 3; k++)
        if (!(fabs(d[k] - fine[k]) <= 0.02 * (fabs(d[k]) + fabs(fine[k])) + 1e-6)) return false;
    for (int k = 0; k < 3; k++) d[k] = fine[k];
    return true;
}

/* Jumps of f^(0) ... f^(6) at a kink; those of the last three 0 where they cannot be told. */
static void jumps_at(const fanin_activation *act, double at, double room, double jump[7]) {
    double left[7], right[7], step = fmin(0.01, room / 8);
    fanin__kink_sides(act, at, left, right);
    bool known = beyond(act, at, -1, step, left + 4) && beyond(act, at, 1, step, right + 4);
    for (int m = 0; m < 7; m++) {
        double size = fabs(left[m]) + fabs(right[m]);
        jump[m] = right[m] - left[m];
        if (!(m < 4 ? fabs(jump[m]) > 1e-9 * size + 1e-12 : known && fabs(jump[m]) > 1e-4 * size))
            jump[m] = 0;
    }
}

/* For pieces of degree 2 all orders are exact. Otherwise the expansion in orders is asymptotic, in the
 * spacing of the polynomials' zeros, and stops where its terms stop falling. */
static int useful_orders(const fanin__kinks *kinks, double spacing) {
    double size[FANIN__KINK_ORDERS], power = 1;
    bool pieces = true;
    for (int m = 0; m < FANIN__KINK_ORDERS; m++, power *= spacing) {
        size[m] = 0;
        for (size_t i = 0; i < kinks->n; i++)
            size[m] = fmax(size[m], fabs(kinks->jump[i][m]) * power);
        if (m > 2 && size[m] > 0) pieces = false;
    }
    if (pieces) return 3;
    for (int m = 1; m < FANIN__KINK_ORDERS; m++)
        if (size[m] > 0 && (spacing > 0.6 || (m > 2 && size[m] > 0.9 * size[m - 1]))) return m;
    return FANIN__KINK_ORDERS;
}

bool fanin__kinks_find(const fanin_activation *act, int order, double q, size_t terms,
                       fanin__kinks *out) {
    double at[64], jump[7];
    size_t n = fanin_activation_kinks(act, at, 64);
    *out = (fanin__kinks){0};
    for (size_t i = 0; i < n && i < 64; i++) {
        double room = fmin(i ? at[i] - at[i - 1] : 1, i + 1 < n && i < 63 ? at[i + 1] - at[i] : 1);
        bool any = false;
        jumps_at(act, at[i], room, jump);
        for (int m = 0; m < FANIN__KINK_ORDERS; m++) any = any || jump[order + m] != 0;
        if (!any) continue;
        if (out->n == FANIN__KINKS) {
            out->n = 0;
            return false;
        }
        out->at[out->n] = at[i];
        memcpy(out->jump[out->n++], jump + order, sizeof out->jump[0]);
    }
    out->orders = useful_orders(out, sqrt(q / (double)terms));
    return out->n > 0;
}

/* ---- coefficients ---------------------------------------------------------------------- */

static double density(double z) { return FANIN__INV_SQ2PI * exp(-0.5 * z * z); }
static double above(double z) { return 0.5 * erfc(z * 0.707106781186547524400844362104849); }

void fanin__kinks_coefficients(const fanin__kinks *kinks, double q, size_t n, double *r) {
    double s = sqrt(q);
    for (size_t k = 0; k < n; k++) r[k] = 0;
    for (size_t i = 0; i < kinks->n; i++) {
        /* By parts, E (z - h)_+^m/m! He_k = E (z - h)_+^0 He_{k-m}, and E 1{z > h} He_k =
         * phi(h) He_{k-1}(h); before that the partial moments w. */
        double h = kinks->at[i] / s, d = density(h), a = above(h), scale = 1;
        double w[FANIN__KINK_ORDERS] = {a, d - h * a};
        for (int m = 2; m < kinks->orders; m++) w[m] = (w[m - 2] - h * w[m - 1]) / m;
        for (int m = 0; m < kinks->orders; m++, scale *= s) {
            double jump = kinks->jump[i][m] * scale, root = 1;
            if (jump == 0) continue;
            /* v = phi(h) He_j(h)/sqrt((j + m + 1)!), by the three-term recurrence. */
            double before = 0, v = d;
            for (size_t k = 0; k < n; k++) {
                if (k > 0) root *= 1 / sqrt((double)k);
                if (k <= (size_t)m) {
                    r[k] += jump * w[(size_t)m - k] * root;
                    if (k == (size_t)m) v = d * root / sqrt((double)k + 1);
                    continue;
                }
                r[k] += jump * v;
                double j = (double)k - m - 1;
                double next = (h * v - j * before / sqrt((double)k)) / sqrt((double)k + 1);
                before = v;
                v = next;
            }
        }
    }
}

/* ---- pairs ----------------------------------------------------------------------------- */

/* Owen's T(h, a) = 1/(2 pi) int_0^a e^{-h^2 (1 + x^2)/2}/(1 + x^2) dx, absolute error some 1e-16. */
static double owen(double h, double a) {
    static const double rule[8][2] = {{0.09501250983763744018531934, 0.1894506104550684962853967},
                                      {0.2816035507792589132304605, 0.1826034150449235888667637},
                                      {0.4580167776572273863424194, 0.1691565193950025381893121},
                                      {0.6178762444026437484466718, 0.1495959888165767320815017},
                                      {0.7554044083550030338951012, 0.1246289712555338720524763},
                                      {0.8656312023878317438804679, 0.09515851168249278480992511},
                                      {0.9445750230732325760779884, 0.06225352393864789286284384},
                                      {0.9894009349916499325961542, 0.02715245941175409485178057}};
    if (isnan(a) || a == 0) return 0; /* 0/0: the correlation is 1 and the thresholds are equal */
    if (a < 0) return -owen(h, -a);
    h = fabs(h);
    if (isinf(a)) return 0.5 * above(h);
    if (a > 1) {
        double p = above(h), q = above(a * h);
        return 0.5 * (p + q) - p * q - owen(a * h, 1 / a);
    }
    if (h > 8.7) return 0;
    if (a * h > 8.7) a = 8.7 / h;
    int panels = a * h > 2.5 ? 3 : 1;
    double half = 0.5 * a / panels, sum = 0;
    for (int p = 0; p < panels; p++)
        for (int i = 0; i < 8; i++) {
            double x = (2 * p + 1 - rule[i][0]) * half, y = (2 * p + 1 + rule[i][0]) * half;
            sum += rule[i][1] * (exp(-0.5 * h * h * (1 + x * x)) / (1 + x * x) +
                                 exp(-0.5 * h * h * (1 + y * y)) / (1 + y * y));
        }
    return sum * half / (2 * FANIN__PI);
}

/* P(z1 > h, z2 > k) at correlation rho, r = sqrt(1 - rho^2): Owen 1956 (2.1). */
static double orthant(double h, double k, double rho, double r) {
    if (h == 0 && k == 0) return 0.25 + asin(rho) / (2 * FANIN__PI);
    double opposite = h * k > 0 || (h * k == 0 && h + k <= 0) ? 0 : 0.5;
    double th = h == 0 ? copysign(0.25, -k) : owen(h, (k - rho * h) / (h * r));
    double tk = k == 0 ? copysign(0.25, -h) : owen(k, (h - rho * k) / (k * r));
    return 0.5 * (above(h) + above(k)) - th - tk - opposite;
}

typedef double table[FANIN__KINK_ORDERS][FANIN__KINK_ORDERS];

/* e[m][n] = E (z1 - h)_+^m/m! (z2 - k)_+^n/n! for m, n < orders, by Stein's identity from the orthant
 * up; a[n] = E delta(z1 - h) (z2 - k)_+^n/n!, b the same turned round. */
static void powers(double h, double k, double rho, int orders, table e) {
    double r = sqrt((1 - rho) * (1 + rho)), t1 = (k - rho * h) / r, t2 = (h - rho * k) / r;
    double a[FANIN__KINK_ORDERS], b[FANIN__KINK_ORDERS];
    if (isnan(t1)) t1 = 0;
    if (isnan(t2)) t2 = 0;
    double p = r * density(h) * density(t1); /* r^2 times the density at (h, k) */
    a[0] = density(h) * above(t1);
    b[0] = density(k) * above(t2);
    for (int n = 1; n < orders; n++) {
        a[n] = ((n > 1 ? r * r * a[n - 2] : p) + (rho * h - k) * a[n - 1]) / n;
        b[n] = ((n > 1 ? r * r * b[n - 2] : p) + (rho * k - h) * b[n - 1]) / n;
    }
    e[0][0] = orthant(h, k, rho, r);
    for (int n = 1; n < orders; n++) {
        e[0][n] = ((n > 1 ? e[0][n - 2] : b[0]) + rho * a[n - 1] - k * e[0][n - 1]) / n;
        e[n][0] = ((n > 1 ? e[n - 2][0] : a[0]) + rho * b[n - 1] - h * e[n - 1][0]) / n;
    }
    for (int m = 1; m < orders; m++)
        for (int n = 1; n < orders; n++)
            e[m][n] = ((m > 1 ? e[m - 2][n] : a[n]) + rho * e[m - 1][n - 1] - h * e[m - 1][n]) / m;
}

double fanin__kinks_dual(const fanin__kinks *kinks, double q1, double q2, double c) {
    double s1 = sqrt(q1), s2 = sqrt(q2), sum = 0;
    table e;
    for (size_t i = 0; i < kinks->n; i++)
        for (size_t j = 0; j < kinks->n; j++) {
            powers(kinks->at[i] / s1, kinks->at[j] / s2, c, kinks->orders, e);
            double x = 1;
            for (int m = 0; m < kinks->orders; m++, x *= s1) {
                double y = x;
                for (int n = 0; n < kinks->orders; n++, y *= s2)
                    sum += kinks->jump[i][m] * kinks->jump[j][n] * y * e[m][n];
            }
        }
    return sum;
}

double fanin__kinks_tail(const fanin__kinks *kinks, double q1, double q2, double c,
                         const double *r1, const double *r2, size_t n) {
    double sum = 0;
    for (size_t k = n; k-- > 0;) sum = sum * c + r1[k] * r2[k];
    return fanin__kinks_dual(kinks, q1, q2, c) - sum;
}
