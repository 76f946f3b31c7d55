/* signal_norm.c - rules of batch norms, where samples meet: over how many numbers, and what is sent back. */
#include <math.h>

#include "operator/signal.h"

static fanin__value_signal *operand_of(fanin__signal *s, int node, int k) {
    return &s->values[fanin__signal_node(s, node)->inputs[k]];
}

/* Over N samples and P positions a channel's mean has the second moment of all pairs, its own included. */
static double of_mean(const fanin__node *n, double q, double a, double b, double c) {
    double samples = (double)n->dims[0], places = 1;
    for (int i = 2; i < n->rank; i++) places *= (double)n->dims[i];
    return (q + (places - 1) * b + (samples - 1) * a + (samples - 1) * (places - 1) * c) /
           (samples * places);
}

/* How many independent squares a norm's variance is made of. N samples of P positions, exchangeable and Gaussian, have
 * (sum of eigenvalues)^2 / sum of their squares without the mean's: few where positions are alike, or are one. */
static double square_count(const fanin__node *n, fanin__sites m) {
    double samples = (double)n->dims[0], places = 1;
    for (int i = 2; i < n->rank; i++) places *= (double)n->dims[i];
    const double value[3] = {m.q - m.a + (places - 1) * (m.b - m.c),
                             m.q - m.b + (samples - 1) * (m.a - m.c), m.q - m.a - m.b + m.c};
    const double count[3] = {samples - 1, places - 1, (samples - 1) * (places - 1)};
    double sum = 0, squares = 0;
    for (int i = 0; i < 3; i++) {
        sum += count[i] * fmax(value[i], 0);
        squares += count[i] * fmax(value[i], 0) * fmax(value[i], 0);
    }
    return squares > 0 ? sum * sum / squares : INFINITY;
}

/* What the variance that is divided by does to a gradient beyond its mean: E 1/v over 1/E v = k/(k - 2). */
static double few_squares(double k) {
    const double most = 8; /* k = 2: infinite but for epsilon */
    return k > 2 * most / (most - 1) ? 1 / (1 - 2 / k) : most;
}

/* Sum of k squares from a normal number (Wilson and Hilferty 1931). */
static double chi_square(double k, double z) {
    double c = k > 0 ? 2 / (9 * k) : 0, root = fmax(1 - c + z * sqrt(c), 0);
    return k > 0 ? k * root * root * root : 0;
}

/* Gaussian y divided by the root of the mean of k squares, its own at the sites among them: what is normalised lies on
 * a sphere, two samples at 1 and -1. */
static float *on_sphere(fanin__signal *s, int node, double k, float *y, fanin__sites m) {
    static const float signs[FANIN__SITES][FANIN__SITES] = {
        {1, 1, 1, 1}, {1, 1, -1, -1}, {1, -1, 1, -1}, {1, -1, -1, 1}};
    const double part[FANIN__SITES] = {m.q + m.b + m.a + m.c, m.q + m.b - m.a - m.c,
                                       m.q - m.b + m.a - m.c, m.q - m.b - m.a + m.c};
    int n = s->points, seen = 0;
    float *z =
        fanin__signal_gaussian(s, (uint32_t)(2 * s->count + node), (fanin__sites){0, 1, 1, 1, 1});
    for (int c = 0; c < FANIN__SITES; c++) seen += part[c] > 1e-6 * m.q;
    double own = fmin(k, seen);
    for (int i = 0; z && i < n; i++) {
        double sum = chi_square(k - own, (double)z[i]);
        for (int c = 0; c < FANIN__SITES; c++) {
            double h = 0;
            for (int site = 0; site < FANIN__SITES; site++)
                h += 0.5 * (double)(signs[c][site] * y[site * n + i]);
            if (part[c] > 1e-6 * m.q) sum += own / seen * h * h / part[c];
        }
        float scale = sum > 0 ? (float)sqrt(k / sum) : 0;
        for (int site = 0; site < FANIN__SITES; site++) y[site * n + i] *= scale;
    }
    return z ? fanin__signal_reshape(s, y, fanin__signal_moments(s, y), m) : NULL;
}

void fanin__forward_norm(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node], *x = operand_of(s, node, 0);
    if (n->op == FANIN__NORM_STATS) { /* read by NORM_APPLY, which looks at x itself */
        v->kind = FANIN__NOTHING;
        return;
    }
    if (x->kind != FANIN__DATA || !x->x) {
        fanin__signal_fail(s, node, "a norm of weights");
        return;
    }
    double level = fanin__signal_level(x);
    fanin__sites now = x->m;
    /* positions of one sample have no less in common than those of two; many of them would make much of the noise */
    if (now.b - now.c < 0.005 * now.q) now.b = now.c;
    double common = of_mean(n, now.q, now.a, now.b, now.c);
    double var = fmax(x->m.q - common, 0) + n->attr.p[0] / level;
    fanin__sites m = {0, (now.q - common) / var, (now.a - common) / var, (now.b - common) / var,
                      (now.c - common) / var};
    fanin__signal_like(v, x);
    v->kind = FANIN__DATA;
    enum { FEW = 256 };
    double squares = square_count(n, now);
    bool few = squares < FEW;
    v->var = few_squares(squares) / (var * level);
    v->factor = common / var;
    float *y = fanin__signal_reshape(s, x->x, x->m, m);
    if (y && few) y = on_sphere(s, node, squares, y, m);
    fanin__weight_law scale = {.mean = 1}, shift = {0};
    if (operand_of(s, node, 2)->kind == FANIN__PARAM)
        scale = fanin__signal_law(s, node, operand_of(s, node, 2));
    if (operand_of(s, node, 3)->kind == FANIN__PARAM)
        shift = fanin__signal_law(s, node, operand_of(s, node, 3));
    if (!y) return;
    for (int f = 0; f < v->factor_count; f++) { /* the mean level is 1 now */
        double mean = fanin__signal_mean_u(v->factors[f].u, v->factors[f].size);
        float *u = v->factors[f].u && mean > 0
                       ? fanin__signal_take(s, (size_t)v->factors[f].size * sizeof *u)
                       : NULL;
        for (int64_t i = 0; u && i < v->factors[f].size; i++)
            u[i] = (float)((double)v->factors[f].u[i] / mean);
        v->factors[f].u = u;
    }
    float *g = NULL, *b = NULL;
    if (scale.var > 0)
        g = fanin__signal_gaussian(s, (uint32_t)(2 * node),
                                   (fanin__sites){0, scale.var, scale.var, scale.var, scale.var});
    if (shift.var > 0)
        b = fanin__signal_gaussian(s, (uint32_t)(2 * node + 1),
                                   (fanin__sites){0, shift.var, shift.var, shift.var, shift.var});
    for (int i = 0; i < FANIN__SITES * s->points; i++)
        y[i] = y[i] * ((float)scale.mean + (g ? g[i] : 0)) + (float)shift.mean + (b ? b[i] : 0);
    v->var *= scale.mean * scale.mean + scale.var;
    v->x = y;
    const double least = 3; /* a sphere of fewer dimensions is a circle or two points */
    bool alone = x->normal && !g && !b;
    v->normal = alone && !few;
    v->sphere = few ? squares : 0;
    v->base = alone && (!few || squares >= least) ? node + 1 : 0;
    v->draws = x->draws;
    v->draw_count = g || b ? -1 : x->draw_count;
    fanin__signal_settle(s, v);
    if (!g && !b && shift.mean == 0) v->m = fanin__signal_scaled(m, scale.mean);
}

/* What is sent back to two positions counts where both have a gradient. */
static fanin__sites spread_of(const fanin__value_signal *v, const fanin__item *item,
                              fanin__sites m) {
    for (int f = 0; f < v->factor_count; f++) {
        double own = fanin__signal_mean_u(item->u[f], v->factors[f].size);
        double root = fanin__signal_mean_root(item->u[f], v->factors[f].size);
        m.q *= own;
        m.a *= own;
        m.b *= root * root;
        m.c *= root * root;
    }
    return m;
}

static void add_sites(fanin__sites *sum, fanin__sites m) {
    sum->q += m.q;
    sum->a += m.a;
    sum->b += m.b;
    sum->c += m.c;
}

/* y as the points have it, without the norm's own scale and shift. */
static float *normalised(fanin__signal *s, const fanin__value_signal *v) {
    float *y = fanin__signal_array(s, FANIN__SITES);
    double var = v->m.q - v->m.mean * v->m.mean;
    float scale = var > 0 ? (float)(1 / sqrt(var)) : 0;
    for (int i = 0; y && i < FANIN__SITES * s->points; i++)
        y[i] = scale * (v->x[i] - (float)v->m.mean);
    return y;
}

/* An item whose slopes at two sites go together by chance at most: its moments alone. */
static void forget_slope(const fanin__signal *s, fanin__item *item) {
    fanin__item one = *item;
    one.gamma = one.beta = one.alpha = one.delta = 1;
    fanin__sites d = fanin__signal_pairs(s, &one, NULL), m = fanin__signal_pairs(s, item, NULL);
    if (!item->d || fmin(d.b, fmin(d.a, d.c)) > 0.05 * d.q) return;
    item->d = NULL;
    item->scale = 1;
    item->gamma = m.q;
    item->beta = m.b;
    item->alpha = m.a;
    item->delta = m.c;
}

/* (g - mean g - y mean(g y)) scale / sigma. Over a channel's samples and positions what comes out has no mean and no
 * part along y: two of them are apart on average, and the next norm back takes less. */
void fanin__backward_norm(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node], *x = operand_of(s, node, 0);
    const float *y = normalised(s, v);
    fanin__sites all = {0}, with_y = {0}, units[FANIN__ITEMS];
    for (int i = 0; y && i < v->item_count; i++) {
        fanin__item *item = &v->items[i], one;
        add_sites(&with_y, spread_of(v, item, fanin__signal_pairs(s, item, y)));
        add_sites(&all, spread_of(v, item, fanin__signal_pairs(s, item, NULL)));
        forget_slope(s, item);
        one = *item;
        one.gamma = one.beta = one.alpha = one.delta = 1;
        units[i] = spread_of(v, item, fanin__signal_pairs(s, &one, NULL));
    }
    if (!y || !(all.q > 0)) return;
    double mean = fmax(of_mean(n, all.q, all.a, all.b, all.c), 0);
    double along = fmax(of_mean(n, with_y.q, with_y.a, with_y.b, with_y.c), 0);
    double shrink = fmax(all.q - mean - along, 0) / all.q, mm = v->m.mean * v->m.mean;
    double per = v->m.q > mm ? along / (v->m.q - mm) : 0;
    const double taken[3] = {mean + per * (v->m.b - mm), mean + per * (v->m.a - mm),
                             mean + per * (v->m.c - mm)};
    for (int i = 0; i < v->item_count && shrink > 0; i++) {
        const double unit[3] = {units[i].b, units[i].a, units[i].c};
        double part = units[i].q * v->items[i].gamma / all.q;
        fanin__item item;
        fanin__signal_carry(s, v, &v->items[i], x, &item);
        double *pair[3] = {&item.beta, &item.alpha, &item.delta};
        for (int k = 0; k < 3; k++) {
            double now = unit[k] > 0 ? (*pair[k] - part * taken[k] / unit[k]) / shrink : 0;
            *pair[k] = fmin(fmax(now, -item.gamma), item.gamma);
        }
        item.scale *= sqrt(v->var * shrink);
        item.source = fanin__signal_source(s);
        fanin__signal_give(s, n->inputs[0], &item);
    }
}
