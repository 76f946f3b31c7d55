/* signal_ensemble.c - ensembles of points: fresh Gaussians, moments, maxima. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "operator/signal.h"

float *fanin__signal_array(fanin__signal *s, int sites) {
    return fanin__signal_take(s, (size_t)sites * (size_t)s->points * sizeof(float));
}

float *fanin__signal_constant(fanin__signal *s, double value) {
    float *x = fanin__signal_array(s, FANIN__SITES);
    for (int i = 0; x && i < FANIN__SITES * s->points; i++) x[i] = (float)value;
    return x;
}

static double dot(const float *a, const float *b, int n) {
    double lanes[8] = {0}, sum = 0;
    for (int i = 0; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++) lanes[k] += (double)a[i + k] * (double)b[i + k];
    for (int k = 0; k < 8; k++) sum += lanes[k];
    return sum / n;
}

static double mean(const float *a, int n) {
    double lanes[8] = {0}, sum = 0;
    for (int i = 0; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++) lanes[k] += (double)a[i + k];
    for (int k = 0; k < 8; k++) sum += lanes[k];
    return sum / n;
}

/* Half the mean square of a - b. */
static double half_distance(const float *a, const float *b, int n) {
    double lanes[8] = {0}, sum = 0;
    for (int i = 0; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++) {
            double d = (double)a[i + k] - (double)b[i + k];
            lanes[k] += d * d;
        }
    for (int k = 0; k < 8; k++) sum += lanes[k];
    return 0.5 * sum / n;
}

/* Mean and second moment from site A, whose points are the exact quantiles of a fresh Gaussian; products of
 * two sites from their distance, which keeps digits where they are nearly equal. */
fanin__sites fanin__signal_moments(const fanin__signal *s, const float *x) {
    int n = s->points;
    const float *a = x, *b = x + n, *c = x + 2 * n, *d = x + 3 * n;
    fanin__sites m;
    m.mean = mean(a, n);
    m.q = dot(a, a, n);
    m.b = m.q - 0.5 * (half_distance(a, b, n) + half_distance(c, d, n));
    m.a = m.q - 0.5 * (half_distance(a, c, n) + half_distance(b, d, n));
    m.c = m.q - 0.5 * (half_distance(a, d, n) + half_distance(b, c, n));
    return m;
}

/* Coefficient k of the orthonormal polynomials z p_k = root(k + 1) p_(k+1) + root(k) p_(k-1): Hermite's, or with
 * z = sqrt(n) t on a sphere of n dimensions Gegenbauer's. */
static double root(int k, double sphere) {
    if (!(sphere > 0) || k == 0) return sqrt(k);
    return sqrt(sphere * k * (k + sphere - 3) / ((2 * k + sphere - 2) * (2 * k + sphere - 4)));
}

/* E p_k(u) p_k(u') at correlation c, from k - 1 and k - 2: c^k, or Gegenbauer's C_k(c)/C_k(1). */
static double next_power(int k, double c, double last, double before, double sphere) {
    if (!(sphere > 0) || k == 1) return c * last;
    return ((2 * k + sphere - 4) * c * last - (k - 1) * before) / (k + sphere - 3);
}

/* E f(u) f(u') = sum a_k^2 c^k, a_k = E f h_k from the even points of site A. The rest counts with the next power.
 * Above 0.9 the distance of two sites is the better estimate. */
void fanin__signal_sharpen(const fanin__signal *s, fanin__value_signal *v) {
    enum { TERMS = 10 };
    const fanin__value_signal *g = v->base ? &s->values[v->base - 1] : NULL;
    double var = g ? g->m.q - g->m.mean * g->m.mean : 0, a[TERMS + 1] = {0}, rest = v->m.q;
    double roots[TERMS + 2];
    if (!(var > 0) || g->x == v->x) return;
    int n = s->points;
    double scale = 1 / sqrt(var);
    for (int k = 0; k <= TERMS + 1; k++) roots[k] = root(k, g->sphere);
    for (int i = 0; i < n; i++) {
        double z = ((double)g->x[i] - g->m.mean) * scale, f = (double)v->x[i], low = 0, h = 1;
        for (int k = 0; k <= TERMS; k++) {
            a[k] += f * h / n;
            double next = (z * h - roots[k] * low) / roots[k + 1];
            low = h;
            h = next;
        }
    }
    for (int k = 0; k <= TERMS; k++) rest -= a[k] * a[k];
    double apart = g->m.q - g->m.b, near = NAN, mid = NAN;
    double *pair[5] = {&v->m.a, &v->m.b, &v->m.c, &near, &mid};
    const double from[5] = {g->m.a, g->m.b, g->m.c, g->m.b + g->near * apart,
                            g->m.b + g->mid * apart};
    for (int j = 0; j < 5; j++) {
        double c = (from[j] - g->m.mean * g->m.mean) / var, power = 1, before = 0, sum = 0;
        if (fabs(c) > 0.9) continue;
        for (int k = 0; k <= TERMS; k++) {
            sum += a[k] * a[k] * power;
            double next = next_power(k + 1, c, power, before, g->sphere);
            before = power;
            power = next;
        }
        *pair[j] = sum + fmax(rest, 0) * power;
    }
    apart = v->m.q - v->m.b;
    if (v->near > 0 && apart > 0 && near >= v->m.b) v->near = fmin((near - v->m.b) / apart, 1);
    if (v->mid > 0 && apart > 0 && mid >= v->m.b) v->mid = fmin((mid - v->m.b) / apart, 1);
}

/* ---- what the points are made of ------------------------------------------------------------------ */

void fanin__signal_drawn(fanin__signal *s, fanin__value_signal *v, int draw) {
    int *one = fanin__signal_take(s, sizeof *one);
    if (!one) return;
    *one = draw;
    v->draws = one;
    v->draw_count = 1;
}

void fanin__signal_fresh(fanin__signal *s, fanin__value_signal *v, int node) {
    v->base = node + 1;
    v->normal = true;
    fanin__signal_drawn(s, v, node);
}

void fanin__signal_draws_of(fanin__signal *s, fanin__value_signal *v, const fanin__value_signal *a,
                            const fanin__value_signal *b) {
    int i = 0, j = 0, n = 0;
    v->draws = NULL;
    v->draw_count = -1;
    if (a->draw_count < 0 || b->draw_count < 0) return;
    int *all = fanin__signal_take(s, (size_t)(a->draw_count + b->draw_count + 1) * sizeof *all);
    if (!all) return;
    while (i < a->draw_count || j < b->draw_count) {
        bool left = j == b->draw_count || (i < a->draw_count && a->draws[i] <= b->draws[j]);
        int next = left ? a->draws[i] : b->draws[j];
        while (i < a->draw_count && a->draws[i] == next) i++;
        while (j < b->draw_count && b->draws[j] == next) j++;
        all[n++] = next;
    }
    v->draws = all;
    v->draw_count = n;
}

bool fanin__signal_independent(const fanin__value_signal *a, const fanin__value_signal *b) {
    if (a->draw_count < 0 || b->draw_count < 0) return false;
    for (int i = 0, j = 0; i < a->draw_count && j < b->draw_count;) {
        if (a->draws[i] == b->draws[j]) return false;
        if (a->draws[i] < b->draws[j])
            i++;
        else
            j++;
    }
    return true;
}

fanin__sites fanin__signal_scaled(fanin__sites m, double k) {
    return (fanin__sites){k * m.mean, k * k * m.q, k * k * m.a, k * k * m.b, k * k * m.c};
}

/* ---- draws --------------------------------------------------------------------------------------- */

static void words(const fanin__signal *s, uint32_t key, size_t n, uint32_t *out) {
    fanin_stream_words(&s->stream, key, 0, n, out);
}

/* Standard normal quantiles in random order; the second half mirrors the first, so that odd moments are 0. */
static void draw_normal(const fanin__signal *s, uint32_t key, bool in_order, uint32_t *scratch,
                        float *z) {
    int half = s->points / 2;
    words(s, key, 2 * (size_t)half, scratch);
    for (int i = 0; i < half; i++) z[i] = s->quantiles[i];
    for (int i = half - 1; i > 0 && !in_order; i--) {
        int j = (int)(((uint64_t)scratch[i] * (uint64_t)(i + 1)) >> 32);
        float t = z[i];
        z[i] = z[j];
        z[j] = t;
    }
    for (int i = 0; i < half; i++) {
        if (scratch[half + i] & 1) z[i] = -z[i];
        z[half + i] = -z[i];
    }
}

/* z has mean 0 and keeps it. */
static void remove_part(float *z, const float *y, int n) {
    double my = mean(y, n), yy = dot(y, y, n) - my * my;
    if (!(yy > 0)) return;
    float k = (float)(dot(z, y, n) / yy), level = (float)my;
    for (int i = 0; i < n; i++) z[i] -= k * (y[i] - level);
}

/* What later operators still read: a fresh draw must not correlate with it by chance. At most `max` of the
 * latest. */
static int living(const fanin__signal *s, const float **list, int max) {
    int count = 0;
    for (int i = s->count - 1; i >= 0 && count < max; i--) {
        const fanin__value_signal *v = &s->values[i];
        if (v->kind != FANIN__DATA || !v->x || !s->live[i]) continue;
        bool known = false;
        for (int k = 0; k < count; k++) known = known || list[k] == v->x;
        if (!known && v->m.q > v->m.mean * v->m.mean * (1 + 1e-9)) list[count++] = v->x;
    }
    return count;
}

enum { LIVING = 4 };

float *fanin__signal_gaussian(fanin__signal *s, uint32_t key, fanin__sites m) {
    int n = s->points;
    float *x = fanin__signal_array(s, FANIN__SITES), *z = fanin__signal_array(s, FANIN__SITES);
    uint32_t *scratch = fanin__signal_take(s, (size_t)n * sizeof *scratch);
    if (!x || !z || !scratch) return NULL;
    const float *others[LIVING];
    int other_count = living(s, others, LIVING);
    for (int k = 0; k < FANIN__SITES; k++) {
        float *zk = z + k * n;
        draw_normal(s, key * 8 + (uint32_t)k, false, scratch, zk);
        for (int o = 0; o < other_count; o++)
            for (int j = 0; j < FANIN__SITES; j++) remove_part(zk, others[o] + j * n, n);
        for (int j = 0; j < k; j++) remove_part(zk, z + j * n, n);
        double size = dot(zk, zk, n);
        float scale = size > 0 ? (float)(1 / sqrt(size)) : 0;
        for (int i = 0; i < n; i++) zk[i] *= scale;
    }
    /* Cholesky of the covariance of A, B, C, D */
    double mm = m.mean * m.mean, q = fmax(m.q - mm, 0), a = m.a - mm, b = m.b - mm, c = m.c - mm;
    const double cov[4][4] = {{q, b, a, c}, {b, q, c, a}, {a, c, q, b}, {c, a, b, q}};
    double l[4][4] = {{0}};
    for (int i = 0; i < 4; i++)
        for (int j = 0; j <= i; j++) {
            double sum = cov[i][j];
            for (int k = 0; k < j; k++) sum -= l[i][k] * l[j][k];
            if (i == j)
                l[i][i] = sum > 1e-12 * q ? sqrt(sum) : 0;
            else
                l[i][j] = l[j][j] > 0 ? sum / l[j][j] : 0;
        }
    for (int site = 0; site < 4; site++) {
        float *out = x + site * n;
        for (int i = 0; i < n; i++) out[i] = (float)m.mean;
        for (int k = 0; k <= site; k++) {
            float weight = (float)l[site][k];
            if (weight == 0) continue;
            for (int i = 0; i < n; i++) out[i] += weight * z[k * n + i];
        }
    }
    return x;
}

float *fanin__signal_reshape(fanin__signal *s, const float *x, fanin__sites now, fanin__sites m) {
    int n = s->points;
    float *y = fanin__signal_array(s, FANIN__SITES);
    if (!y) return NULL;
    double nn = now.mean * now.mean, mm = m.mean * m.mean;
    double from[4] = {now.q + now.a + now.b + now.c - 4 * nn, now.q + now.b - now.a - now.c,
                      now.q - now.b + now.a - now.c, now.q - now.b - now.a + now.c};
    double to[4] = {m.q + m.a + m.b + m.c - 4 * mm, m.q + m.b - m.a - m.c, m.q - m.b + m.a - m.c,
                    m.q - m.b - m.a + m.c};
    float k[4];
    for (int i = 0; i < 4; i++)
        k[i] = from[i] > 1e-9 * now.q && to[i] > 0 ? (float)sqrt(to[i] / from[i]) : 0;
    for (int i = 0; i < n; i++) {
        float a = x[i] - (float)now.mean, b = x[n + i] - (float)now.mean;
        float c = x[2 * n + i] - (float)now.mean, d = x[3 * n + i] - (float)now.mean;
        float h0 = 0.25f * k[0] * (a + b + c + d), h1 = 0.25f * k[1] * (a + b - c - d);
        float h2 = 0.25f * k[2] * (a - b + c - d), h3 = 0.25f * k[3] * (a - b - c + d);
        y[i] = (float)m.mean + h0 + h1 + h2 + h3;
        y[n + i] = (float)m.mean + h0 + h1 - h2 - h3;
        y[2 * n + i] = (float)m.mean + h0 - h1 + h2 - h3;
        y[3 * n + i] = (float)m.mean + h0 - h1 - h2 + h3;
    }
    return y;
}

float *fanin__signal_shuffle(fanin__signal *s, uint32_t key, const float *x) {
    int n = s->points, half = n / 2;
    float *y = fanin__signal_array(s, FANIN__SITES);
    uint32_t *scratch = fanin__signal_take(s, (size_t)n * sizeof *scratch);
    if (!y || !scratch) return NULL;
    uint32_t *order = scratch + half;
    words(s, key * 8 + 7, (size_t)half, scratch);
    for (int i = 0; i < half; i++) order[i] = (uint32_t)i;
    for (int i = half - 1; i > 0; i--) {
        int j = (int)(((uint64_t)scratch[i] * (uint64_t)(i + 1)) >> 32);
        uint32_t t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    for (int site = 0; site < FANIN__SITES; site++)
        for (int i = 0; i < half; i++) {
            y[site * n + i] = x[site * n + (int)order[i]];
            y[site * n + half + i] = x[site * n + half + (int)order[i]];
        }
    return y;
}

/* ---- maxima -------------------------------------------------------------------------------------- */

typedef struct ranked {
    float value;
    float under; /* orders what is equal, as the zeros of relu are */
    int at;
} ranked;

static int by_value(const void *p, const void *q) {
    const ranked *a = p, *b = q;
    if (a->value != b->value) return a->value < b->value ? -1 : 1;
    if (a->under != b->under) return a->under < b->under ? -1 : 1;
    return a->at - b->at;
}

static float phi(float z) { return 0.5f * erfcf(-z * 0.70710678f); }

/* Normal scores: each of the points gets the quantile of its rank. */
static void scores(const fanin__signal *s, const float *x, const float *under, ranked *order,
                   float *z) {
    int n = s->points, half = n / 2;
    for (int i = 0; i < n; i++) order[i] = (ranked){x[i], under ? under[i] : 0, i};
    qsort(order, (size_t)n, sizeof *order, by_value);
    for (int r = 0; r < n; r++)
        z[order[r].at] = r < half ? -s->quantiles[half - 1 - r] : s->quantiles[r - half];
}

static float quick_normal(const fanin__signal *s, uint32_t word) {
    int half = s->points / 2;
    float z = s->quantiles[((uint64_t)(word >> 1) * (uint64_t)half) >> 31];
    return word & 1 ? z : -z;
}

/* The window's positions are exchangeable, with the dependence of a Gaussian copula: normal scores give its
 * correlations, the sorted points at A its margins. */
float *fanin__signal_maximum(fanin__signal *s, uint32_t key, const float *x, const float *under,
                             int k, double near, float *chosen) {
    enum { REPEATS = 4, MOST = 64 };
    int n = s->points;
    double scale_up = k > MOST ? (double)k / MOST : 1;
    if (k > MOST) k = MOST;
    float *y = fanin__signal_array(s, FANIN__SITES), *z = fanin__signal_array(s, FANIN__SITES);
    ranked *order = fanin__signal_take(s, (size_t)n * sizeof *order);
    size_t draws = (size_t)(4 * k + 2 * k + 8);
    uint32_t *w = fanin__signal_take(s, draws * sizeof *w);
    if (!y || !z || !order || !w) return NULL;
    for (int site = 3; site >= 0; site--)
        scores(s, x + site * n, under ? under + site * n : NULL, order, z + site * n);
    double b = fmax(0.5 * (dot(z, z + n, n) + dot(z + 2 * n, z + 3 * n, n)), 0);
    double a = fmax(0.5 * (dot(z, z + 2 * n, n) + dot(z + n, z + 3 * n, n)), 0);
    double c = fmin(fmax(0.5 * (dot(z, z + 3 * n, n) + dot(z + n, z + 2 * n, n)), 0), fmin(a, b));
    /* in a window; what its positions share goes with the window's place, or with the window alone */
    double bn = b + near * (1 - b), cn = fmin(c + near * (1 - b), a);
    float all = (float)sqrt(c), sample = (float)sqrt(b - c), place = (float)sqrt(a - cn);
    float there = (float)sqrt(cn - c), window = (float)sqrt(fmax(bn - b - (cn - c), 0));
    float own = (float)sqrt(fmax(1 - a - bn + cn, 0));
    for (int i = 0; i < n; i++) {
        fanin_stream_words(&s->stream, key * 8 + 6, (uint64_t)i * draws, draws, w);
        /* stratified in what all share, so that margins come out even */
        const uint32_t *last = w + 6 * k + 2;
        float common = all * (i < n / 2 ? s->quantiles[i] : -s->quantiles[i - n / 2]);
        for (int site = 0; site < 4; site++) {
            float top = -INFINITY, base = common + sample * quick_normal(s, w[site / 2]) +
                                          there * quick_normal(s, last[site & 1]) +
                                          window * quick_normal(s, last[2 + site]);
            for (int j = 0; j < k; j++) {
                float v = base + place * quick_normal(s, w[2 + (site & 1) * k + j]) +
                          own * quick_normal(s, w[2 + 2 * k + site * k + j]);
                top = v > top ? v : top;
            }
            double u = (double)phi(top);
            if (scale_up > 1) u = pow(u, scale_up);
            int at = (int)(u * n);
            y[site * n + i] = order[at < 0 ? 0 : at >= n ? n - 1 : at].value;
        }
    }
    /* given its score, an element is the largest if the others, of correlation bn, stay below */
    float r = (float)fmin(bn, 0.9999), rest = sqrtf(1 - r), root = sqrtf(r * (1 - r));
    for (int site = 0; site < FANIN__SITES && chosen; site++) {
        double sum = 0;
        for (int i = 0; i < n; i++) {
            float zi = z[site * n + i], share = 0;
            fanin_stream_words(&s->stream, key * 8 + 5, (uint64_t)i * REPEATS, REPEATS, w);
            for (int t = 0; t < REPEATS; t++) {
                float common = r * zi + root * quick_normal(s, w[t]);
                share += powf(phi((zi - common) / rest), (float)(k * scale_up) - 1);
            }
            chosen[site * n + i] = share;
            sum += (double)share;
        }
        for (int i = 0; i < n; i++) chosen[site * n + i] *= (float)(n / sum);
    }
    return y;
}

/* ---- softmax ------------------------------------------------------------------------------------- */

/* E sum e^{2z} / (sum e^z)^2 by draws; beyond 256 numbers it is that of 256 scaled by 256/n. */
double fanin__signal_softmax_squares(const fanin__signal *s, double n, double v) {
    enum { MOST = 256, WORK = 4096 };
    if (n <= 1) return 1;
    if (!(v > 0)) return 1 / n;
    int count = n > MOST ? MOST : (int)(n + 0.5), repeats = WORK / count;
    uint32_t w[MOST];
    double sd = sqrt(v), total = 0;
    for (int r = 0; r < repeats; r++) {
        double first = 0, second = 0;
        float z[MOST], top = -INFINITY;
        fanin_stream_words(&s->stream, UINT32_MAX, (uint64_t)r * MOST, (size_t)count, w);
        for (int i = 0; i < count; i++) {
            z[i] = quick_normal(s, w[i]);
            top = z[i] > top ? z[i] : top;
        }
        for (int i = 0; i < count; i++) {
            double e = exp(sd * ((double)z[i] - (double)top));
            first += e;
            second += e * e;
        }
        total += second / (first * first);
    }
    return total / repeats * (count / n);
}
