/* signal_items.c - gradients on their way back: items of one source are joined, a norm takes back what it sent. */
#include <math.h>
#include <string.h>

#include "operator/signal.h"

int fanin__signal_source(fanin__signal *s) { return ++s->sources; }

void fanin__signal_total(const fanin__signal *s, const fanin__item *item, double *gamma,
                         double *beta) {
    double own = 1, pair = 1, n = s->points;
    if (item->d) {
        const float *a = item->d, *b = item->d + s->points;
        own = pair = 0;
        for (int i = 0; i < s->points; i++) {
            own += (double)a[i] * (double)a[i];
            pair += (double)a[i] * (double)b[i];
        }
        own /= n;
        pair /= n;
    }
    *gamma = item->gamma * item->scale * item->scale * own;
    *beta = item->beta * item->scale * item->scale * pair;
}

fanin__sites fanin__signal_pairs(const fanin__signal *s, const fanin__item *item, const float *by) {
    int n = s->points;
    double sum[FANIN__SITES] = {0}, k = item->scale * item->scale / n;
    for (int site = 0; site < FANIN__SITES; site++)
        for (int i = 0; i < n; i++) {
            double own = item->d ? (double)item->d[i] : 1, other = 1;
            if (item->d) other = (double)item->d[site * n + i];
            if (by) {
                own *= (double)by[i];
                other *= (double)by[site * n + i];
            }
            sum[site] += own * other;
        }
    return (fanin__sites){.q = k * sum[0] * item->gamma,
                          .b = k * sum[1] * item->beta,
                          .a = k * sum[2] * item->alpha,
                          .c = k * sum[3] * item->delta};
}

/* One item of a new source with the items' second moments, point by point: exact for what is elementwise
 * below, and for all totals. */
static fanin__item join(fanin__signal *s, const fanin__item *p, const fanin__item *q) {
    fanin__item r = {.source = fanin__signal_source(s), .scale = 1};
    fanin__sites of_p = fanin__signal_pairs(s, p, NULL), of_q = fanin__signal_pairs(s, q, NULL);
    r.gamma = of_p.q + of_q.q;
    r.beta = of_p.b + of_q.b;
    r.alpha = of_p.a + of_q.a;
    r.delta = of_p.c + of_q.c;
    if (!(r.gamma > 0)) return r;
    if (p->d || q->d) {
        r.d = fanin__signal_array(s, FANIN__SITES);
        double sp = p->gamma * p->scale * p->scale, sq = q->gamma * q->scale * q->scale;
        for (int i = 0; r.d && i < FANIN__SITES * s->points; i++) {
            double dp = p->d ? (double)p->d[i] : 1, dq = q->d ? (double)q->d[i] : 1;
            r.d[i] = (float)sqrt((sp * dp * dp + sq * dq * dq) / r.gamma);
        }
        fanin__item one = {.scale = 1, .d = r.d, .gamma = 1, .beta = 1, .alpha = 1, .delta = 1};
        fanin__sites pair = fanin__signal_pairs(s, &one, NULL);
        if (pair.b > 0) r.beta /= pair.b;
        if (pair.a > 0) r.alpha /= pair.a;
        if (pair.c > 0) r.delta /= pair.c;
    }
    for (int f = 0; f < FANIN__FACTORS; f++) {
        r.u[f] = p->u[f];
        if (p->u[f] == q->u[f]) continue;
        r.u[f] = NULL; /* filled by the caller, who knows the sizes */
    }
    return r;
}

static void mix_profiles(fanin__signal *s, const fanin__value_signal *v, const fanin__item *p,
                         const fanin__item *q, fanin__item *r) {
    double gp, gq, beta;
    fanin__signal_total(s, p, &gp, &beta);
    fanin__signal_total(s, q, &gq, &beta);
    if (!(gp + gq > 0)) return;
    for (int f = 0; f < v->factor_count; f++) {
        int64_t size = v->factors[f].size;
        if (p->u[f] == q->u[f] || size > 1 << 20) continue;
        r->u[f] = fanin__signal_take(s, (size_t)size * sizeof(float));
        for (int64_t k = 0; r->u[f] && k < size; k++) {
            double up = p->u[f] ? (double)p->u[f][k] : 1, uq = q->u[f] ? (double)q->u[f][k] : 1;
            r->u[f][k] = (float)((gp * up + gq * uq) / (gp + gq));
        }
    }
}

static bool same_source(const fanin__item *p, const fanin__item *q) {
    return p->source == q->source && p->gamma == q->gamma && p->beta == q->beta &&
           p->alpha == q->alpha && p->delta == q->delta;
}

/* Amplitudes of one source where profiles differ: parts of an axis put together again. False: not alike enough. */
static bool add_profiles(fanin__signal *s, const fanin__value_signal *v, fanin__item *p,
                         const fanin__item *q) {
    int differs = -1, count = 0;
    for (int f = 0; f < v->factor_count; f++)
        if (p->u[f] != q->u[f]) differs = f, count++;
    if (count == 0) return true;
    if (count > 1 || p->d != q->d || v->factors[differs].size > 1 << 20) return false;
    int64_t size = v->factors[differs].size;
    float *u = fanin__signal_take(s, (size_t)size * sizeof *u);
    for (int64_t i = 0; u && i < size; i++) {
        double a = sqrt(p->u[differs] ? (double)p->u[differs][i] : 1);
        double b = sqrt(q->u[differs] ? (double)q->u[differs][i] : 1);
        double sum = p->scale * a + q->scale * b;
        u[i] = (float)(sum * sum);
    }
    p->u[differs] = u;
    p->scale = 1;
    return true;
}

/* Two ways of one gradient through the same positions (x and f(x) of x f(x)): profiles that are 0 at the same places
 * become their mean. */
static bool mean_profiles(fanin__signal *s, const fanin__value_signal *v, fanin__item *p,
                          const fanin__item *q) {
    for (int f = 0; f < v->factor_count; f++) {
        const float *a = p->u[f], *b = q->u[f];
        int64_t size = v->factors[f].size;
        if (a == b) continue;
        if (size > 1 << 20) return false;
        for (int64_t i = 0; i < size; i++)
            if ((a && a[i] == 0) != (b && b[i] == 0)) return false;
    }
    for (int f = 0; f < v->factor_count; f++) {
        int64_t size = v->factors[f].size;
        if (p->u[f] == q->u[f]) continue;
        float *u = fanin__signal_take(s, (size_t)size * sizeof *u);
        for (int64_t i = 0; u && i < size; i++)
            u[i] = 0.5f * ((p->u[f] ? p->u[f][i] : 1) + (q->u[f] ? q->u[f][i] : 1));
        p->u[f] = u;
    }
    return true;
}

static void add_same(fanin__signal *s, fanin__item *p, const fanin__item *q) {
    if (!p->d && !q->d) {
        p->scale += q->scale;
        return;
    }
    float *d = fanin__signal_array(s, FANIN__SITES);
    for (int i = 0; d && i < FANIN__SITES * s->points; i++)
        d[i] = (float)p->scale * (p->d ? p->d[i] : 1) + (float)q->scale * (q->d ? q->d[i] : 1);
    p->d = d;
    p->scale = 1;
}

/* A gradient meets what a norm's statistics send back of it: g - mean g, g - y mean(g y). With M the second
 * moment of what comes back, E (g - m)^2 = gamma - M and E (g - m)(g' - m') = beta - M; a sum (a mean that is
 * added, not subtracted) has gamma + 3 M. */
static void take_back(fanin__signal *s, const fanin__value_signal *v, fanin__item *p,
                      const fanin__item *item) {
    double gamma, beta, m, pair, mean = item->scale;
    fanin__signal_total(s, p, &gamma, &beta);
    fanin__signal_total(s, item, &m, &pair);
    for (int f = 0; f < v->factor_count; f++) {
        double level = fanin__signal_mean_u(item->u[f], v->factors[f].size) /
                       fanin__signal_mean_u(p->u[f], v->factors[f].size);
        m *= level;
        pair *= level;
    }
    if (!(gamma > 0) || !isfinite(m)) return;
    if (item->d) {
        mean = 0;
        for (int i = 0; i < s->points; i++) mean += item->scale * (double)item->d[i] / s->points;
    }
    bool adds = mean > 0 && (!item->d || mean * mean * item->gamma > 0.5 * m);
    double left = adds ? gamma + 3 * m : fmax(gamma - m, 0.01 * gamma);
    double left_pair = adds ? beta + 3 * pair : beta - pair;
    p->scale *= sqrt(left / gamma);
    p->beta = beta != 0 ? p->beta * (left_pair / beta) * (gamma / left) : 0;
}

void fanin__signal_give(fanin__signal *s, int node, const fanin__item *item) {
    fanin__value_signal *v = &s->values[node];
    if (s->failed || v->kind != FANIN__DATA || !(item->gamma > 0) || item->scale == 0) return;
    for (int i = 0; i < v->item_count; i++)
        if (same_source(&v->items[i], item)) {
            bool alike = memcmp(v->items[i].u, item->u, sizeof item->u) == 0;
            if (!alike && add_profiles(s, v, &v->items[i], item)) return;
            if (!alike && !mean_profiles(s, v, &v->items[i], item)) continue;
            add_same(s, &v->items[i], item);
            return;
        }
    for (int i = 0; i < v->item_count && item->origin; i++)
        if (v->items[i].source == item->origin) {
            take_back(s, v, &v->items[i], item);
            return;
        }
    if (v->item_count < FANIN__ITEMS) {
        v->items[v->item_count++] = *item;
        return;
    }
    fanin__item r = join(s, &v->items[0], &v->items[1]);
    mix_profiles(s, v, &v->items[0], &v->items[1], &r);
    v->items[0] = r;
    for (int i = 1; i + 1 < FANIN__ITEMS; i++) v->items[i] = v->items[i + 1];
    v->items[FANIN__ITEMS - 1] = *item;
}

fanin__item fanin__signal_merge(fanin__signal *s, int node) {
    const fanin__value_signal *v = &s->values[node];
    fanin__item r = v->items[0];
    for (int i = 1; i < v->item_count; i++) {
        fanin__item next = join(s, &r, &v->items[i]);
        mix_profiles(s, v, &r, &v->items[i], &next);
        r = next;
    }
    fanin__sites m = fanin__signal_pairs(s, &r, NULL);
    fanin__item out = {.source = fanin__signal_source(s), .gamma = m.q, .beta = m.b, .scale = 1};
    out.alpha = m.a;
    out.delta = m.c;
    memcpy(out.u, r.u, sizeof out.u);
    return out;
}
