/* signal_reduce.c - rules of sums, maxima and pools. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "operator/signal.h"

static fanin__value_signal *operand_of(fanin__signal *s, int node, int k) {
    return &s->values[fanin__signal_node(s, node)->inputs[k]];
}

/* ---- reductions ---------------------------------------------------------------------------------------- */

/* Sizes of the reduced axes by role. */
typedef struct counts {
    double sample, place, channel;
} counts;

static counts count_roles(const fanin__value_signal *x, int rank, unsigned mask) {
    counts c = {1, 1, 1};
    for (int axis = 0; axis < rank; axis++)
        for (int f = x->first[axis]; (mask >> axis & 1) && f < x->first[axis + 1]; f++) {
            const fanin__factor *p = &x->factors[f];
            double size = (double)p->size;
            if (p->role & FANIN__POSITION)
                c.place *= size;
            else if (p->role & FANIN__SAMPLE)
                c.sample *= size;
            else
                c.channel *= size;
        }
    return c;
}

static void reduced_factors(fanin__signal *s, int node, const fanin__value_signal *x,
                            double *level) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node];
    fanin__value_signal in = *x;
    v->factor_count = 0;
    *level = 1;
    for (int axis = 0; axis < n->rank; axis++) {
        v->first[axis] = v->factor_count;
        for (int f = in.first[axis]; f < in.first[axis + 1]; f++) {
            if (n->attr.mask >> axis & 1)
                *level *= fanin__signal_mean_u(in.factors[f].u, in.factors[f].size);
            else
                v->factors[v->factor_count++] = in.factors[f];
        }
    }
    v->first[n->rank] = v->factor_count;
}

static bool never_negative(const fanin__signal *s, const float *x) {
    float low = 0;
    for (int i = 0; i < FANIN__SITES * s->points; i++) low = x[i] < low ? x[i] : low;
    return low >= 0;
}

/* The mean over places (b within a sample), samples (a, c) and channels; what the mean has of its own term
 * stays with the point, the rest is a fresh draw: E x mean(x) and E mean(x)^2 are exact. */
static void sum(fanin__signal *s, int node, const fanin__value_signal *x, counts k, double level) {
    fanin__value_signal *v = &s->values[node];
    double mm = x->m.mean * x->m.mean, total = k.sample * k.place * k.channel;
    double q = x->m.q - mm, a = x->m.a - mm, b = x->m.b - mm, c = x->m.c - mm;
    bool positive = never_negative(s, x->x);
    if (positive) { /* squares: no pair of many that are alike goes against another, and little is noise */
        double noise = 2 * q / sqrt(s->points);
        a = a < noise ? 0 : a;
        b = b < noise ? 0 : b;
        c = c < noise ? 0 : c;
    }
    double places = fmax(q + (k.place - 1) * b, 0) / k.place,
           across = (a + (k.place - 1) * c) / k.place;
    /* Var of the mean */
    double all = fmax(places + (k.sample - 1) * across, 0) / k.sample / k.channel;
    double one = k.sample > 1 ? all : across / k.channel; /* of another sample's */
    enum { MANY_CHANNELS = 128 };
    bool still = !fanin__signal_varies(v, FANIN__CHANNEL) && k.channel >= MANY_CHANNELS &&
                 all < 0.01 * fmax(q, mm);
    float gain = (float)(total * sqrt(level)), mean = (float)x->m.mean;
    if (k.channel > 1 && still) {
        v->x = fanin__signal_constant(s, (double)(gain * mean));
        v->m = fanin__signal_moments(s, v->x ? v->x : x->x);
        v->draw_count = 0;
        return;
    }
    /* the best linear guess from the sites that are summed here and the other sample's, and what is left: E x mean(x)
     * is `all`, E x' mean(x) is `one` */
    int n = s->points;
    bool pair = k.place > 1, four = k.sample > 1;
    double own = four ? (q + a + b + c) / 4 : pair ? (q + b) / 2 : q;
    double cross = pair ? (a + c) / 2 : a, part = own > 0 ? fmin(all / own, 1) : 0, lent = 0;
    if (!four && own - fabs(cross) > 1e-6 * own) {
        double even = fmin(fmax((all + one) / (own + cross), 0), 1);
        double odd = fmin(fmax((all - one) / (own - cross), 0), 1);
        part = (even + odd) / 2;
        lent = (even - odd) / 2;
    }
    double rest = fmax(all - (part * part + lent * lent) * own - 2 * part * lent * cross, 0);
    double rest_cross = one - (part * part + lent * lent) * cross - 2 * part * lent * own;
    rest_cross = fmin(fmax(rest_cross, -rest), rest);
    fanin__sites fresh = {0, rest, rest_cross, rest, rest_cross};
    if (!pair) { /* positions stay: of the mean over channels */
        fresh.b = fmin(fmax(x->m.b - mm, 0) / k.channel * (1 - part), rest);
        fresh.c = fmin(fmax(x->m.c - mm, 0) / k.channel * (1 - part), rest);
    }
    if (four) fresh.a = fresh.c = fresh.q;
    float *z = fanin__signal_gaussian(s, (uint32_t)node, fresh),
          *y = fanin__signal_array(s, FANIN__SITES);
    if (!z || !y) return;
    for (int i = 0; i < n; i++) {
        float at[FANIN__SITES];
        for (int site = 0; site < FANIN__SITES; site++) {
            at[site] = x->x[site * n + i] - mean;
            if (pair) at[site] = 0.5f * (at[site] + x->x[(site ^ 1) * n + i] - mean);
            if (four)
                at[site] =
                    0.25f * (x->x[i] + x->x[n + i] + x->x[2 * n + i] + x->x[3 * n + i]) - mean;
        }
        for (int site = 0; site < FANIN__SITES; site++)
            y[site * n + i] =
                mean + (float)part * at[site] + (float)lent * at[site ^ 2] + z[site * n + i];
    }
    if (positive && rest < 0.5 * all) { /* mostly the points themselves */
        for (int i = 0; i < FANIN__SITES * n; i++) y[i] = y[i] > 0 ? y[i] : 0;
    } else if (positive && mm > 0 && all > 0) { /* mostly noise: lognormal, the same two moments */
        float spread = (float)sqrt(log1p(all / mm)), size = (float)sqrt(all);
        for (int i = 0; i < FANIN__SITES * n; i++)
            y[i] = mean * expf(spread * ((y[i] - mean) / size - 0.5f * spread));
    }
    for (int i = 0; i < FANIN__SITES * n; i++) y[i] *= gain;
    v->x = y;
    fanin__signal_settle(s, v);
    fanin__value_signal fresh_draw = {0};
    fanin__signal_drawn(s, &fresh_draw, node);
    fanin__signal_draws_of(s, v, x, &fresh_draw);
    v->normal = x->normal && k.channel == 1;
    v->base = v->normal ? node + 1 : 0;
}

void fanin__forward_reduce(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node];
    const fanin__value_signal *x = operand_of(s, node, 0);
    double level;
    if (x->kind == FANIN__PARAM && n->op == FANIN__REDUCE && n->attr.kind == FANIN__SUM) {
        fanin__weight_law law = fanin__signal_law(s, node, x);
        double terms = (double)(fanin__signal_node(s, n->inputs[0])->count / n->count);
        fanin__signal_axes(v, n);
        v->kind = FANIN__PARAM;
        v->m.mean = law.mean * terms;
        v->var = law.var * terms;
        return;
    }
    if (x->kind != FANIN__DATA || n->op == FANIN__TOP) {
        fanin__signal_fail(s, node, "a reduction of weights, or a position");
        return;
    }
    v->kind = FANIN__DATA;
    reduced_factors(s, node, x, &level);
    counts k = count_roles(x, n->rank, n->attr.mask);
    if (n->attr.kind == FANIN__SUM) {
        sum(s, node, x, k, level);
        return;
    }
    if (n->attr.kind == FANIN__PROD) {
        fanin__signal_fail(s, node, "a product over an axis");
        return;
    }
    if (n->attr.order == 1) { /* what softmax subtracts: any number does */
        v->x = fanin__signal_constant(s, x->m.mean +
                                             2 * sqrt(fmax(x->m.q - x->m.mean * x->m.mean, 0)));
        if (v->x) v->m = fanin__signal_moments(s, v->x);
        return;
    }
    double terms = k.sample * k.place * k.channel;
    float *chosen = fanin__signal_array(s, FANIN__SITES), *in = x->x;
    if (n->attr.kind == FANIN__REDUCE_MIN) {
        in = fanin__signal_array(s, FANIN__SITES);
        for (int i = 0; in && i < FANIN__SITES * s->points; i++) in[i] = -x->x[i];
    }
    if (!in || !chosen) return;
    v->x = fanin__signal_maximum(s, (uint32_t)node, in, NULL, (int)fmin(terms, 1e6), 0, chosen);
    for (int i = 0; v->x && in != x->x && i < FANIN__SITES * s->points; i++) v->x[i] = -v->x[i];
    s->values[node].chosen = chosen;
    if (v->x) fanin__signal_settle(s, v);
}

static void chosen_back(fanin__signal *s, int node, const float *chosen, double share, double more,
                        const fanin__value_signal *v, bool keep_axes) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *x = operand_of(s, node, 0);
    fanin__item item = fanin__signal_merge(s, node), out = item;
    memset(out.u, 0, sizeof out.u);
    if (keep_axes)
        for (int axis = 0; axis < n->rank; axis++)
            for (int k = 0;
                 k < v->first[axis + 1] - v->first[axis] &&
                 v->factors[v->first[axis] + k].size == x->factors[x->first[axis] + k].size;
                 k++)
                out.u[x->first[axis] + k] = item.u[v->first[axis] + k];
    out.gamma = share * (item.gamma + more * fmax(item.beta, 0));
    out.beta = share * share * item.beta;
    out.alpha = share * share * item.alpha;
    out.delta = share * share * item.delta;
    out.d = fanin__signal_array(s, FANIN__SITES);
    for (int i = 0; out.d && i < FANIN__SITES * s->points; i++) out.d[i] = sqrtf(chosen[i]);
    fanin__signal_give(s, n->inputs[0], &out);
}

void fanin__backward_reduce(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node], *x = operand_of(s, node, 0);
    if (x->kind != FANIN__DATA || n->attr.order == 1) return;
    counts k = count_roles(x, n->rank, n->attr.mask);
    if (n->attr.kind != FANIN__SUM) {
        chosen_back(s, node, v->chosen, 1 / (k.sample * k.place * k.channel), 0, v, true);
        return;
    }
    for (int i = 0; i < v->item_count; i++) { /* the same for every term */
        fanin__item item = v->items[i];
        memset(item.u, 0, sizeof item.u);
        for (int axis = 0; axis < n->rank; axis++)
            for (int f = 0; !(n->attr.mask >> axis & 1) && f < v->first[axis + 1] - v->first[axis];
                 f++)
                item.u[x->first[axis] + f] = v->items[i].u[v->first[axis] + f];
        if (k.place > 1) {
            fanin__sites m = fanin__signal_pairs(s, &v->items[i], NULL);
            item.source = fanin__signal_source(s);
            double sign = item.scale;
            for (int j = 0; item.d && j < s->points; j++) sign += item.scale * (double)item.d[j];
            item.gamma = item.beta = m.q;
            item.alpha = item.delta = m.a;
            item.scale = sign < 0 ? -1 : 1;
            item.d = NULL;
        }
        fanin__signal_give(s, n->inputs[0], &item);
    }
}

/* ---- pools --------------------------------------------------------------------------------------------- */

static double window_size(const fanin__op_window *w) {
    double k = 1;
    for (int i = 0; i < w->rank; i++) k *= (double)w->kernel[i];
    return k;
}

/* Of the sums over windows, on average: the terms' second moments (sum of u), and the product of any two (square of
 * the sum of sqrt u), which edges make smaller. */
typedef struct window_terms {
    double own, all;
} window_terms;

/* u of what windows along one axis sum, or, adjoint, of what their terms hear of them; `pair` is the share of what
 * any two have in common. A maximum is as its terms are on average. */
static float *window_sums(fanin__signal *s, const fanin__op_window *w, int axis, const float *u,
                          int64_t in, int64_t out, bool adjoint, bool mean, double pair,
                          window_terms *terms) {
    int64_t size = adjoint ? in : out;
    double own = 0, all = 0, varies = 0;
    if (size > 1 << 20 || size < 1) return NULL;
    float *sum = fanin__signal_take(s, 3 * (size_t)size * sizeof *sum);
    if (!sum) return NULL;
    float *roots = sum + size, *count = roots + size;
    for (int64_t o = 0; o < out; o++)
        for (int64_t t = 0; t < w->kernel[axis]; t++) {
            int64_t i = o * w->stride[axis] + t * w->dilation[axis] - w->before[axis];
            if (i < 0 || i >= in) continue;
            int64_t to = adjoint ? i : o;
            float term = u ? u[adjoint ? o : i] : 1;
            sum[to] += term;
            roots[to] += sqrtf(term);
            count[to]++;
        }
    for (int64_t i = 0; i < size; i++) {
        if (mean && count[i] > 0) sum[i] /= count[i];
        roots[i] *= roots[i];
        own += (double)sum[i] / (double)size;
        all += (double)roots[i] / (double)size;
    }
    for (int64_t i = 0; i < size; i++) {
        double at = (own > 0 ? (1 - pair) * (double)sum[i] / own : 0) +
                    (all > 0 ? pair * (double)roots[i] / all : 0);
        sum[i] = (float)at;
        varies += fabs(at - 1);
    }
    terms->own *= own;
    terms->all *= all;
    return varies > 1e-6 * (double)size ? sum : NULL;
}

/* Terms of a window that are not padding, on average. */
static double valid_terms(const fanin__node *n, const fanin__node *from) {
    const fanin__op_window *w = &n->attr.window;
    int lead = n->rank - w->rank;
    double valid = 1;
    for (int i = 0; i < w->rank; i++) {
        int64_t seen = 0;
        for (int64_t o = 0; o < n->dims[lead + i]; o++)
            for (int64_t t = 0; t < w->kernel[i]; t++) {
                int64_t at = o * w->stride[i] + t * w->dilation[i] - w->before[i];
                seen += at >= 0 && at < from->dims[lead + i];
            }
        valid *= (double)seen / (double)n->dims[lead + i];
    }
    return valid;
}

/* Axes of a pool: those before the window's as they are, the window's one factor each. */
static window_terms pooled_factors(fanin__signal *s, int node, const fanin__value_signal *x,
                                   double pair, bool mean) {
    const fanin__node *n = fanin__signal_node(s, node);
    const fanin__op_window *w = &n->attr.window;
    fanin__value_signal *v = &s->values[node];
    int lead = n->rank - w->rank;
    window_terms terms = {1, 1};
    v->factor_count = 0;
    for (int axis = 0; axis < lead; axis++) {
        v->first[axis] = v->factor_count;
        for (int f = x->first[axis]; f < x->first[axis + 1] && v->factor_count < FANIN__FACTORS;
             f++)
            v->factors[v->factor_count++] = x->factors[f];
    }
    for (int i = 0; i < w->rank; i++) {
        fanin__factor f = fanin__signal_merged(s, x, lead + i);
        int64_t out = n->dims[lead + i];
        float *u = window_sums(s, w, i, f.u, f.size, out, false, mean, pair, &terms);
        fanin__signal_push(s, v, lead + i, out, f.role ? f.role : FANIN__POSITION, u);
    }
    return terms;
}

/* Near share of two positions of a window, on average. */
static double inside(const fanin__op_window *w, const fanin__value_signal *x) {
    int64_t widest = 1;
    for (int i = 0; i < w->rank; i++) widest = w->kernel[i] > widest ? w->kernel[i] : widest;
    return widest <= 2 ? x->near : widest <= 4 ? (x->near + x->mid) / 2 : x->mid;
}

/* Windows that overlap have positions in common: one of 2k - common of them both choose, or sum. */
static void windows_near(const fanin__op_window *w, const fanin__value_signal *x,
                         fanin__value_signal *v) {
    double near = 0, mid = 0;
    for (int i = 0; i < w->rank; i++) {
        double k = (double)w->kernel[i], s = (double)w->stride[i];
        double one = fmax(k - s, 0), two = fmax(k - 2 * s, 0);
        near += one / (2 * k - one) / w->rank;
        mid += two / (2 * k - two) / w->rank;
        if (i == 0) v->near = s > 1 ? x->mid : x->near;
    }
    v->near = near + (1 - near) * v->near;
    v->mid = mid + (1 - mid) * x->mid;
}

void fanin__forward_sumpool(fanin__signal *s, int node) {
    fanin__value_signal *v = &s->values[node];
    const fanin__value_signal *x = operand_of(s, node, 0);
    const fanin__node *n = fanin__signal_node(s, node);
    double k = window_size(&n->attr.window), share = inside(&n->attr.window, x);
    double b = x->m.b + share * (x->m.q - x->m.b), c = fmin(x->m.c + b - x->m.b, x->m.a);
    double both = x->m.q + (k - 1) * b;
    bool divisor = x->kind == FANIN__KNOWN; /* the divisors of an average */
    window_terms terms = pooled_factors(s, node, x,
                                        divisor    ? 1
                                        : both > 0 ? k * b / both
                                                   : 0,
                                        false);
    v->kind = FANIN__DATA;
    if (divisor) {
        v->x = fanin__signal_constant(s, sqrt(terms.all));
        v->draw_count = 0;
        if (v->x) v->m = fanin__signal_moments(s, v->x);
        return;
    }
    if (!x->x || s->failed) return;
    bool places = false;
    for (int i = 0; i < n->attr.window.rank; i++)
        if (n->attr.window.kernel[i] > 1 &&
            fanin__signal_role(x, n->rank - n->attr.window.rank + i) & FANIN__POSITION)
            places = true;
    if (!places) { /* over neighbouring channels (LRN): a sum of that many that are alike */
        double mm = x->m.mean * x->m.mean;
        k = terms.own;
        fanin__sites m = {k * x->m.mean, k * x->m.q + k * (k - 1) * mm,
                          k * x->m.a + k * (k - 1) * mm, k * x->m.b + k * (k - 1) * mm,
                          k * x->m.c + k * (k - 1) * mm};
        v->x = fanin__signal_reshape(s, x->x, x->m, m);
    } else {
        double own = terms.own, all = terms.all, rest = all - own;
        fanin__sites m = {sqrt(all) * x->m.mean, own * x->m.q + rest * b, own * x->m.a + rest * c,
                          all * x->m.b, all * x->m.c};
        windows_near(&n->attr.window, x, v);
        fanin__signal_collapse(v, &m);
        v->x = fanin__signal_reshape(s, x->x, x->m, m);
    }
    if (v->x) fanin__signal_settle(s, v);
    v->draws = x->draws;
    v->draw_count = x->draw_count;
}

/* Each position hears from as many windows as have it, or as choose it. */
static double heard(const fanin__node *n, const fanin__node *from, double terms) {
    double out = 1, in = 1;
    for (int i = 0; i < n->attr.window.rank; i++) {
        out *= (double)n->dims[n->rank - n->attr.window.rank + i];
        in *= (double)from->dims[n->rank - n->attr.window.rank + i];
    }
    return terms * out / in;
}

/* An item's profiles behind the windows. */
static window_terms pool_back(fanin__signal *s, int node, const fanin__item *item, double pair,
                              fanin__item *out) {
    const fanin__node *n = fanin__signal_node(s, node);
    const fanin__node *from = fanin__signal_node(s, n->inputs[0]);
    const fanin__op_window *w = &n->attr.window;
    const fanin__value_signal *v = &s->values[node], *x = operand_of(s, node, 0);
    int lead = n->rank - w->rank;
    window_terms terms = {1, 1};
    memset(out->u, 0, sizeof out->u);
    for (int f = 0; f < x->first[lead] && f < v->first[lead]; f++) out->u[f] = item->u[f];
    for (int i = 0; i < w->rank; i++) {
        int axis = lead + i;
        float *u = window_sums(s, w, i, item->u[v->first[axis]], from->dims[axis], n->dims[axis],
                               true, false, pair, &terms);
        if (x->first[axis + 1] - x->first[axis] == 1) out->u[x->first[axis]] = u;
    }
    return terms;
}

void fanin__backward_sumpool(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    const fanin__node *from = fanin__signal_node(s, n->inputs[0]);
    if (operand_of(s, node, 0)->kind != FANIN__DATA) return;
    fanin__item item = fanin__signal_merge(s, node), out = item;
    double m = heard(n, from, valid_terms(n, from)), beta = fmax(item.beta, 0);
    double both = item.gamma + fmax(m - 1, 0) * beta;
    window_terms terms = pool_back(s, node, &item, both > 0 ? fmin(m * beta / both, 1) : 0, &out);
    out.gamma = terms.own * item.gamma + fmax(terms.all - terms.own, 0) * beta;
    out.beta = terms.all * item.beta;
    out.alpha = terms.own * item.alpha + (terms.all - terms.own) * item.delta;
    out.delta = terms.all * item.delta;
    fanin__signal_give(s, n->inputs[0], &out);
}

void fanin__forward_maxpool(fanin__signal *s, int node) {
    fanin__value_signal *v = &s->values[node];
    const fanin__value_signal *x = operand_of(s, node, 0);
    const fanin__node *n = fanin__signal_node(s, node);
    double k = valid_terms(n, fanin__signal_node(s, n->inputs[0]));
    double level = pooled_factors(s, node, x, 0, true).own; /* u is relative to it from here */
    v->kind = FANIN__DATA;
    float *chosen = fanin__signal_array(s, FANIN__SITES);
    if (!x->x || !chosen || s->failed) {
        if (!s->failed) fanin__signal_fail(s, node, "a maximum of weights");
        return;
    }
    const float *under = x->base ? s->values[x->base - 1].x : NULL;
    v->x = fanin__signal_maximum(s, (uint32_t)node, x->x, under, (int)(k + 0.5),
                                 inside(&n->attr.window, x), chosen);
    windows_near(&n->attr.window, x, v);
    for (int i = 0; v->x && i < FANIN__SITES * s->points; i++) v->x[i] *= (float)sqrt(level);
    v->chosen = chosen;
    if (v->x) fanin__signal_settle(s, v);
}

/* Windows that overlap may pick the same position: with the chance of their common share of their union. */
static double shared_choices(const fanin__op_window *w) {
    double expected = 0, k = window_size(w);
    int64_t reach[FANIN__WINDOW_MAX] = {0}, at[FANIN__WINDOW_MAX];
    for (int i = 0; i < w->rank; i++) reach[i] = (w->kernel[i] - 1) / w->stride[i];
    for (int i = 0; i < FANIN__WINDOW_MAX; i++) at[i] = -reach[i];
    for (;;) {
        double common = 1;
        bool self = true;
        for (int i = 0; i < w->rank; i++) {
            int64_t left = w->kernel[i] - llabs(at[i]) * w->stride[i];
            common *= left > 0 ? (double)left : 0;
            self = self && at[i] == 0;
        }
        if (!self) expected += common / (2 * k - common);
        int i = 0;
        while (i < FANIN__WINDOW_MAX && ++at[i] > reach[i]) at[i] = -reach[i], i++;
        if (i == FANIN__WINDOW_MAX) return expected;
    }
}

void fanin__backward_maxpool(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    const fanin__node *from = fanin__signal_node(s, n->inputs[0]);
    fanin__value_signal *v = &s->values[node];
    double share = heard(n, from, 1);
    fanin__item item = fanin__signal_merge(s, node), out = item;
    pool_back(s, node, &item, 0, &out);
    for (int f = v->first[n->rank - n->attr.window.rank]; f < v->factor_count; f++)
        share *= fanin__signal_mean_u(item.u[f], v->factors[f].size);
    out.gamma = share * (item.gamma + shared_choices(&n->attr.window) * fmax(item.beta, 0));
    out.beta = share * share * item.beta;
    out.alpha = share * share * item.alpha;
    out.delta = share * share * item.delta;
    out.d = fanin__signal_array(s, FANIN__SITES);
    for (int i = 0; out.d && i < FANIN__SITES * s->points; i++) out.d[i] = sqrtf(v->chosen[i]);
    fanin__signal_give(s, n->inputs[0], &out);
}
