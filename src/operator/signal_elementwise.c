/* signal_elementwise.c - rules of functions, arithmetic and selection: exact on the points. */
#include <math.h>
#include <string.h>

#include "operator/signal.h"

/* ---- constants and parameters --------------------------------------------------------------------- */

double fanin__signal_element(const fanin__tensor *t, int64_t at) {
    switch (t->dtype) {
    case FANIN_F32: return (double)((const float *)t->data)[at];
    case FANIN_F64: return ((const double *)t->data)[at];
    case FANIN_I64: return (double)((const int64_t *)t->data)[at];
    default: return (double)((const unsigned char *)t->data)[at];
    }
}

/* Visits a constant's distinct elements (axes of stride 0 once); false stops. */
static bool each(const fanin__tensor *t, bool (*visit)(void *ctx, double value), void *ctx) {
    int64_t index[FANIN_MAX_RANK] = {0}, at = 0;
    for (;;) {
        if (!visit(ctx, fanin__signal_element(t, at))) return false;
        int axis = t->rank - 1;
        for (; axis >= 0; axis--) {
            if (t->strides[axis] == 0) continue;
            at += t->strides[axis];
            if (++index[axis] < t->dims[axis]) break;
            at -= index[axis] * t->strides[axis];
            index[axis] = 0;
        }
        if (axis < 0) return true;
    }
}

typedef struct facts {
    double first, low, high;
    bool some, equal, bits;
} facts;

static bool look(void *ctx, double v) {
    facts *f = ctx;
    if (!f->some) *f = (facts){v, v, v, true, true, true};
    f->equal = f->equal && (v == f->first);
    f->bits = f->bits && (v == 0 || v == 1);
    f->low = v < f->low ? v : f->low;
    f->high = v > f->high ? v : f->high;
    return true;
}

static facts facts_of(const fanin__ir *ir, int node) {
    fanin__tensor t;
    facts f = {0};
    if (fanin__const_tensor(ir, node, &t) && ir->nodes[node].count > 0) each(&t, look, &f);
    return f;
}

bool fanin__signal_uniform(const fanin__ir *ir, int node, double *value) {
    facts f = facts_of(ir, node);
    *value = f.first;
    return f.some && f.equal;
}

static bool stored(const fanin__signal *s, int node, int depth) {
    const fanin__node *n = fanin__signal_node(s, node);
    if (n->op == FANIN__WEIGHT || n->op == FANIN__CONST) return true;
    if (depth > 16 || n->input_count == 0) return false;
    for (int i = 0; i < n->input_count; i++)
        if (!stored(s, n->inputs[i], depth + 1)) return false;
    return true;
}

/* The other operand of the sum that the node's result goes into, past biases, dropout, norms and moves; -1. */
static int partner_of(const fanin__signal *s, int node) {
    for (int steps = 0; steps < 24; steps++) {
        int first = s->first_reader[node], count = s->first_reader[node + 1] - first;
        if (count != 1) return -1;
        int next = s->readers[first];
        const fanin__node *n = fanin__signal_node(s, next);
        bool passes =
            n->op == FANIN__RESHAPE || n->op == FANIN__TRANSPOSE || n->op == FANIN__CAST ||
            (n->op == FANIN__MAP && n->attr.kind == FANIN__FN_SCALE) || n->op == FANIN__SELECT;
        if (n->op == FANIN__BINARY) {
            int other = n->inputs[0] == node ? n->inputs[1] : n->inputs[0];
            passes = stored(s, other, 0);
            if (!passes)
                return n->attr.kind == FANIN__ADD || n->attr.kind == FANIN__SUB ? other : -1;
        }
        if (!passes) return -1;
        node = next;
    }
    return -1;
}

/* Weighted layers behind a node, back to where its path forks off. */
static int layers_behind(const fanin__signal *s, int node) {
    int count = 0;
    for (int steps = 0; steps < 256 && node >= 0; steps++) {
        const fanin__node *n = fanin__signal_node(s, node);
        int readers = 0;
        for (int r = s->first_reader[node]; r < s->first_reader[node + 1]; r++)
            readers += fanin__signal_node(s, s->readers[r])->op != FANIN__NORM_STATS;
        if (readers > 1 || n->input_count == 0) break;
        bool product = n->op == FANIN__CONV || n->op == FANIN__CONV_DATA || n->op == FANIN__MATMUL;
        if (product && (stored(s, n->inputs[1], 0) || stored(s, n->inputs[0], 0))) count++;
        int next = -1;
        for (int i = n->input_count - 1; i >= 0; i--)
            if (!stored(s, n->inputs[i], 0) &&
                fanin__signal_node(s, n->inputs[i])->op != FANIN__NORM_STATS)
                next = n->inputs[i];
        node = next;
    }
    return count;
}

/* The weight of the layer that a batch norm reads, past its bias; -1. */
static int weight_before(const fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    if (n->op != FANIN__NORM_APPLY) return -1;
    n = fanin__signal_node(s, n->inputs[0]);
    if (n->op == FANIN__BINARY && n->attr.kind == FANIN__ADD && stored(s, n->inputs[1], 0))
        n = fanin__signal_node(s, n->inputs[0]);
    if (n->op != FANIN__CONV && n->op != FANIN__MATMUL && n->op != FANIN__CONV_DATA) return -1;
    return s->values[n->inputs[1]].kind == FANIN__PARAM ? s->values[n->inputs[1]].weight : -1;
}

fanin__weight_law fanin__signal_law(fanin__signal *s, int node, const fanin__value_signal *p,
                                    bool layer, double unit) {
    if (p->weight < 0) return (fanin__weight_law){p->m.mean, p->var};
    fanin__weight_use use = {p->weight,
                             node,
                             layer,
                             unit * p->factor * p->factor,
                             s->beside,
                             false,
                             weight_before(s, node)};
    int partner = layer || use.before >= 0 ? partner_of(s, node) : -1;
    if (partner >= 0) {
        const fanin__value_signal *v = &s->values[partner];
        bool known = v->kind == FANIN__DATA && v->x;
        use.stream = known ? v->m.q * fanin__signal_level(v) : 1;
        use.shortcut = layers_behind(s, partner) > layers_behind(s, node);
    }
    fanin__weight_law law = s->options.law(s->options.ctx, &use);
    law.mean *= p->factor;
    law.var *= p->factor * p->factor;
    return law;
}

/* A constant's entries where the points are: the channel by the point, position and sample by the site. */
static float *sample_constant(fanin__signal *s, int node, const fanin__value_signal *v) {
    fanin__tensor t;
    float *x = fanin__signal_array(s, FANIN__SITES);
    if (!x || !fanin__const_tensor(s->ir, node, &t)) return NULL;
    int n = s->points;
    for (int i = 0; i < n; i++) {
        int64_t at[FANIN__SITES] = {0};
        for (int axis = 0; axis < t.rank; axis++) {
            if (t.strides[axis] == 0) continue;
            unsigned role = fanin__signal_role(v, axis);
            uint32_t w[FANIN__SITES];
            fanin_stream_words(&s->stream, (uint32_t)node * 8 + 4,
                               ((uint64_t)i * FANIN_MAX_RANK + (uint64_t)axis) * 4, 4, w);
            for (int site = 0; site < FANIN__SITES; site++) {
                bool place = role & FANIN__POSITION, sample = role & FANIN__SAMPLE;
                int pick = (place ? site & 1 : 0) | (sample ? site & 2 : 0);
                at[site] +=
                    (int64_t)(((uint64_t)w[pick] * (uint64_t)t.dims[axis]) >> 32) * t.strides[axis];
            }
        }
        for (int site = 0; site < FANIN__SITES; site++)
            x[site * n + i] = (float)fanin__signal_element(&t, at[site]);
    }
    return x;
}

float *fanin__signal_operand(fanin__signal *s, int node, int operand,
                             const fanin__value_signal *partner) {
    int id = fanin__signal_node(s, node)->inputs[operand], rank = fanin__signal_node(s, id)->rank;
    fanin__value_signal *v = &s->values[id];
    if (partner && partner != v) fanin__signal_unify(v, partner, rank);
    if (v->x) return v->x;
    if (v->kind == FANIN__KNOWN) {
        double value;
        v->x = fanin__signal_uniform(s->ir, id, &value) ? fanin__signal_constant(s, value)
                                                        : sample_constant(s, id, v);
    } else if (v->kind == FANIN__PARAM) {
        s->beside = partner && partner->kind == FANIN__DATA
                        ? partner->m.q * fanin__signal_level(partner)
                        : NAN;
        fanin__weight_law law = fanin__signal_law(s, node, v, false, 1);
        s->beside = NAN;
        double mm = law.mean * law.mean;
        fanin__sites m = {law.mean, mm + law.var, mm, mm, mm};
        fanin__signal_collapse(v, &m);
        v->x = law.var > 0 && fanin__signal_varies(v, FANIN__CHANNEL | FANIN__POSITION)
                   ? fanin__signal_gaussian(s, (uint32_t)id, m)
                   : fanin__signal_constant(s, law.mean);
    } else { /* integers of the caller as numbers: bits */
        v->x = fanin__signal_gaussian(s, (uint32_t)id, (fanin__sites){0, 1, 0, 0, 0});
        for (int i = 0; v->x && i < FANIN__SITES * s->points; i++) v->x[i] = v->x[i] > 0;
    }
    if (v->x) v->m = fanin__signal_moments(s, v->x);
    fanin__signal_drawn(s, v, id);
    if (!(v->m.q > v->m.mean * v->m.mean * (1 + 1e-9))) v->draw_count = 0;
    return v->x;
}

/* ---- gradients' items ------------------------------------------------------------------------------- */

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

/* One item of a new source with the items' second moments, point by point: exact for what is elementwise
 * below, and for all totals. */
static fanin__item join(fanin__signal *s, const fanin__item *p, const fanin__item *q) {
    fanin__item r = {.source = fanin__signal_source(s), .scale = 1};
    double gp, bp, gq, bq;
    int n = s->points;
    fanin__signal_total(s, p, &gp, &bp);
    fanin__signal_total(s, q, &gq, &bq);
    r.gamma = gp + gq;
    r.beta = bp + bq;
    if (!(r.gamma > 0)) return r;
    if (p->d || q->d) {
        r.d = fanin__signal_array(s, 2);
        double sp = p->gamma * p->scale * p->scale, sq = q->gamma * q->scale * q->scale, pair = 0;
        for (int i = 0; r.d && i < 2 * n; i++) {
            double dp = p->d ? (double)p->d[i] : 1, dq = q->d ? (double)q->d[i] : 1;
            r.d[i] = (float)sqrt((sp * dp * dp + sq * dq * dq) / r.gamma);
        }
        for (int i = 0; r.d && i < n; i++) pair += (double)r.d[i] * (double)r.d[n + i] / n;
        if (pair > 0) r.beta /= pair;
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
    return p->source == q->source && p->gamma == q->gamma && p->beta == q->beta;
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
    float *d = fanin__signal_array(s, 2);
    for (int i = 0; d && i < 2 * s->points; i++)
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
    double gamma, beta;
    fanin__signal_total(s, &r, &gamma, &beta);
    fanin__item out = {.source = fanin__signal_source(s), .gamma = gamma, .beta = beta, .scale = 1};
    memcpy(out.u, r.u, sizeof out.u);
    return out;
}

/* What multiplies a gradient is larger where the value it comes from is: u of `by` to a power, at the factors that
 * both have. */
static void weigh(fanin__signal *s, const fanin__value_signal *to, const fanin__value_signal *by,
                  double power, fanin__item *item) {
    if (to->factor_count != by->factor_count || power == 0) return;
    for (int f = 0; f < to->factor_count; f++) {
        int64_t size = to->factors[f].size;
        const float *u = by->factors[f].u;
        if (!u || by->factors[f].size != size || size > 1 << 20) continue;
        float *w = fanin__signal_take(s, (size_t)size * sizeof *w);
        for (int64_t i = 0; w && i < size; i++) {
            float own = item->u[f] ? item->u[f][i] : 1;
            w[i] = u[i] > 0 ? own * powf(u[i], (float)power) : 0;
        }
        item->u[f] = w;
    }
}

/* Items of `node` times `slope` (2 * points; NULL: 1) times k, to an operand; the slope's second moment goes with
 * `by` to a power. */
static void pass(fanin__signal *s, int node, int operand, const float *slope, double k,
                 const fanin__value_signal *by, double power) {
    const fanin__node *n = fanin__signal_node(s, node);
    const fanin__value_signal *v = &s->values[node], *to = &s->values[n->inputs[operand]];
    if (to->kind != FANIN__DATA) return;
    for (int i = 0; i < v->item_count && !s->failed; i++) {
        fanin__item item;
        fanin__signal_carry(s, v, &v->items[i], to, &item);
        item.scale *= k;
        if (by) weigh(s, to, by, power, &item);
        if (slope) {
            float *d = fanin__signal_array(s, 2);
            for (int j = 0; d && j < 2 * s->points; j++) d[j] = slope[j] * (item.d ? item.d[j] : 1);
            item.d = d;
        }
        fanin__signal_give(s, n->inputs[operand], &item);
    }
}

/* ---- functions of one number -------------------------------------------------------------------- */

static void param_map(fanin__signal *s, int node, fanin__value_signal *v,
                      const fanin__value_signal *x) {
    const fanin__op_attr *attr = &fanin__signal_node(s, node)->attr;
    v->kind = FANIN__PARAM;
    fanin__signal_like(v, x);
    bool scales = (attr->kind == FANIN__FN_SCALE && attr->p[1] == 0) || attr->kind == FANIN__FN_NEG;
    if (scales && x->weight >= 0) {
        v->weight = x->weight;
        v->factor = x->factor * (attr->kind == FANIN__FN_NEG ? -1 : attr->p[0]);
        return;
    }
    fanin__weight_law law = fanin__signal_law(s, node, x, false, 1);
    float *z = fanin__signal_gaussian(
        s, (uint32_t)node, (fanin__sites){law.mean, law.mean * law.mean + law.var, 0, 0, 0});
    if (!z) return;
    fanin__function_f32(attr, z, z, (size_t)(FANIN__SITES * s->points));
    fanin__sites m = fanin__signal_moments(s, z);
    v->m.mean = m.mean;
    v->var = law.var > 0 ? fmax(m.q - m.mean * m.mean, 0) : 0;
}

/* u of f(x): a power of x's, its exponent the logarithmic slope of the second moment's map. */
static void bend(fanin__signal *s, fanin__value_signal *v, const fanin__op_attr *attr,
                 const float *x) {
    bool some = false;
    for (int f = 0; f < v->factor_count; f++) some = some || v->factors[f].u;
    if (!some || !(v->m.q > 0)) return;
    float *y = fanin__signal_array(s, FANIN__SITES);
    if (!y) return;
    for (int i = 0; i < s->points; i++) y[i] = 0.95f * x[i];
    fanin__function_f32(attr, y, y, (size_t)s->points);
    double q = fanin__signal_moments(s, y).q;
    double power = q > 0 ? log(q / v->m.q) / (2 * log(0.95)) : 1;
    for (int f = 0; f < v->factor_count; f++) {
        fanin__factor *p = &v->factors[f];
        float *u = p->u ? fanin__signal_take(s, (size_t)p->size * sizeof *u) : NULL;
        for (int64_t i = 0; u && i < p->size; i++)
            u[i] = p->u[i] > 0 ? powf(p->u[i], (float)power) : 0;
        p->u = u;
    }
}

void fanin__forward_map(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node];
    const fanin__value_signal *x = &s->values[n->inputs[0]];
    if (x->kind == FANIN__PARAM || x->kind == FANIN__KNOWN) {
        if (x->kind == FANIN__KNOWN && !fanin__signal_operand(s, node, 0, NULL)) return;
        if (x->kind == FANIN__PARAM) {
            param_map(s, node, v, x);
            return;
        }
    }
    const float *in = fanin__signal_operand(s, node, 0, NULL);
    v->kind = FANIN__DATA;
    fanin__signal_like(v, x);
    v->x = fanin__signal_array(s, FANIN__SITES);
    if (!in || !v->x) return;
    if (n->attr.kind == FANIN__FN_NOT)
        for (int i = 0; i < FANIN__SITES * s->points; i++) v->x[i] = 1 - in[i];
    else
        fanin__function_f32(&n->attr, in, v->x, (size_t)(FANIN__SITES * s->points));
    v->m = fanin__signal_moments(s, v->x);
    if (!isfinite(v->m.q)) {
        fanin__signal_fail(s, node, "an infinite second moment");
        return;
    }
    v->base = x->base;
    v->draws = x->draws;
    v->draw_count = x->draw_count;
    bool scales = n->attr.kind == FANIN__FN_SCALE && n->attr.p[1] == 0;
    v->normal = x->normal && (scales || n->attr.kind == FANIN__FN_NEG);
    if (scales)
        v->m = fanin__signal_scaled(x->m, n->attr.p[0]);
    else
        fanin__signal_sharpen(s, v);
    bend(s, v, &n->attr, in);
    v->kept = x->kept;
    if (scales || n->attr.kind == FANIN__FN_NEG) {
        double k = n->attr.kind == FANIN__FN_NEG ? 1 : n->attr.p[0] * n->attr.p[0];
        v->row = k * x->row;
        v->col = k * x->col;
        v->attention = k == 1 ? x->attention : NULL;
    }
}

/* f' by what is known of f, else by central differences in double. */
static void slopes(const fanin__op_attr *attr, const float *x, float *y, int n) {
    if (attr->kind == FANIN__FN_ACTIVATION && attr->order < 3) {
        fanin_activation_eval_f32(attr->act, attr->order + 1, x, y, (size_t)n);
        return;
    }
    enum { CHUNK = 256 };
    double low[CHUNK], high[CHUNK];
    for (int at = 0; at < n; at += CHUNK) {
        int m = n - at < CHUNK ? n - at : CHUNK;
        for (int i = 0; i < m; i++) {
            double v = (double)x[at + i], h = 1e-5 * (fabs(v) + 1e-3);
            low[i] = v - h;
            high[i] = v + h;
        }
        fanin__function_f64(attr, low, low, (size_t)m);
        fanin__function_f64(attr, high, high, (size_t)m);
        for (int i = 0; i < m; i++) {
            double v = (double)x[at + i], h = 1e-5 * (fabs(v) + 1e-3);
            y[at + i] = (float)((high[i] - low[i]) / (2 * h));
        }
    }
}

/* Logarithmic slope of E f'(x)^2 in the second moment of x, where that varies. */
static double slope_power(fanin__signal *s, const fanin__op_attr *attr,
                          const fanin__value_signal *x, const float *slope) {
    bool some = false;
    for (int f = 0; f < x->factor_count; f++) some = some || x->factors[f].u;
    if (!some) return 0;
    int n = s->points;
    float *low = fanin__signal_array(s, 2);
    double now = 0, less = 0;
    if (!low) return 0;
    for (int i = 0; i < n; i++) low[i] = 0.95f * x->x[i];
    slopes(attr, low, low + n, n);
    for (int i = 0; i < n; i++) {
        now += (double)slope[i] * (double)slope[i];
        less += (double)low[n + i] * (double)low[n + i];
    }
    return now > 0 && less > 0 ? log(less / now) / (2 * log(0.95)) : 0;
}

void fanin__backward_map(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    if (n->attr.kind == FANIN__FN_SCALE) {
        pass(s, node, 0, NULL, n->attr.p[0], NULL, 0);
        return;
    }
    float *slope = fanin__signal_array(s, 2);
    const float *x = s->values[n->inputs[0]].x;
    if (!slope || !x) return;
    slopes(&n->attr, x, slope, 2 * s->points);
    const fanin__value_signal *from = &s->values[n->inputs[0]];
    pass(s, node, 0, slope, 1, from, slope_power(s, &n->attr, from, slope));
}

void fanin__forward_same(fanin__signal *s, int node) {
    const fanin__value_signal *x = &s->values[fanin__signal_node(s, node)->inputs[0]];
    fanin__value_signal *v = &s->values[node];
    const float *in = x->kind == FANIN__PARAM ? NULL : fanin__signal_operand(s, node, 0, NULL);
    *v = *x;
    v->item_count = 0;
    if (x->kind != FANIN__PARAM) v->kind = FANIN__DATA;
    (void)in;
}

void fanin__backward_same(fanin__signal *s, int node) { pass(s, node, 0, NULL, 1, NULL, 0); }

/* ---- arithmetic ------------------------------------------------------------------------------------ */

static float apply(int kind, float a, float b) {
    switch (kind) {
    case FANIN__ADD: return a + b;
    case FANIN__SUB: return a - b;
    case FANIN__MUL: return a * b;
    case FANIN__DIV: return b == 0 ? 0 : a / b;
    case FANIN__POW: return powf(a, b);
    case FANIN__MIN: return a < b ? a : b;
    case FANIN__MAX: return a > b ? a : b;
    case FANIN__EQ: return a == b;
    case FANIN__LT: return a < b;
    case FANIN__LE: return a <= b;
    case FANIN__AND: return a != 0 && b != 0;
    case FANIN__OR: return a != 0 || b != 0;
    case FANIN__XOR: return (a != 0) != (b != 0);
    default: return fmodf(a, b);
    }
}

/* Weights with weights or constants: moments of independent operands. */
static void param_binary(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node];
    float *z[2];
    double var = 0;
    for (int k = 0; k < 2; k++) {
        const fanin__value_signal *x = &s->values[n->inputs[k]];
        double value;
        fanin__weight_law law = {0};
        if (x->kind == FANIN__PARAM)
            law = fanin__signal_law(s, node, x, false, 1);
        else if (fanin__signal_uniform(s->ir, n->inputs[k], &value))
            law.mean = value;
        else
            fanin__signal_fail(s, node, "weights with a constant tensor");
        var += law.var;
        z[k] = fanin__signal_gaussian(
            s, (uint32_t)(2 * node + k),
            (fanin__sites){law.mean, law.mean * law.mean + law.var, 0, 0, 0});
    }
    if (s->failed) return;
    for (int i = 0; i < s->points; i++) z[0][i] = apply(n->attr.kind, z[0][i], z[1][i]);
    fanin__sites m = fanin__signal_moments(s, z[0]);
    fanin__signal_axes(v, n);
    v->kind = FANIN__PARAM;
    v->m.mean = m.mean;
    v->var = var > 0 ? fmax(m.q - m.mean * m.mean, 0) : 0;
}

static bool same_sizes(const fanin__value_signal *a, const fanin__value_signal *b, int axis) {
    int n = a->first[axis + 1] - a->first[axis];
    if (n != b->first[axis + 1] - b->first[axis]) return false;
    for (int k = 0; k < n; k++)
        if (a->factors[a->first[axis] + k].size != b->factors[b->first[axis] + k].size)
            return false;
    return true;
}

static float *combine(fanin__signal *s, int kind, const fanin__factor *a, double qa,
                      const fanin__factor *b, double qb) {
    if (!a->u && !b->u) return NULL;
    float *u = fanin__signal_take(s, (size_t)a->size * sizeof *u);
    for (int64_t i = 0; u && i < a->size; i++) {
        double p = a->u ? (double)a->u[i] : 1, q = b->u ? (double)b->u[i] : 1;
        double r = kind == FANIN__MUL   ? p * q
                   : kind == FANIN__DIV ? (q > 0 ? p / q : 0)
                   : qa + qb > 0        ? (qa * p + qb * q) / (qa + qb)
                                        : 1;
        u[i] = (float)r;
    }
    return u;
}

static void join_factors(fanin__signal *s, fanin__value_signal *v, int kind,
                         const fanin__value_signal *a, const fanin__value_signal *b, int rank) {
    v->factor_count = 0;
    for (int axis = 0; axis < rank; axis++) {
        int first = v->factor_count;
        bool alike = same_sizes(a, b, axis);
        bool a_spread = fanin__signal_merged(s, a, axis).spread;
        const fanin__value_signal *base = a_spread && !alike ? b : a;
        for (int k = 0; k < base->first[axis + 1] - base->first[axis]; k++) {
            const fanin__factor *p = &base->factors[base->first[axis] + k];
            if (v->factor_count == FANIN__FACTORS) {
                fanin__signal_fail(s, -1, "more than 16 factors of the axes");
                return;
            }
            fanin__factor *out = &v->factors[v->factor_count++];
            *out = *p;
            if (!alike) continue;
            const fanin__factor *q = &b->factors[b->first[axis] + k];
            if (!out->role || (p->spread && !q->spread && q->role)) out->role = q->role;
            out->spread = p->spread && q->spread;
            out->u = combine(s, kind, p, a->m.q, q, b->m.q);
        }
        v->first[axis] = first;
    }
    v->first[rank] = v->factor_count;
}

/* Unmasked entries of each row of the last two axes, given a constant that is `masked` where it masks. */
static float *count_kept(fanin__signal *s, int node, bool when_true, double below) {
    fanin__tensor t;
    if (!fanin__const_tensor(s->ir, node, &t) || t.rank < 2) return NULL;
    int64_t rows = t.dims[t.rank - 2], columns = t.dims[t.rank - 1];
    float *kept = fanin__signal_take(s, (size_t)rows * sizeof *kept);
    for (int64_t i = 0; kept && i < rows; i++)
        for (int64_t j = 0; j < columns; j++) {
            double v =
                fanin__signal_element(&t, i * t.strides[t.rank - 2] + j * t.strides[t.rank - 1]);
            bool masked = below < 0 ? v < below : (v != 0) == when_true;
            kept[i] += !masked;
        }
    return kept;
}

enum { MASKS = -1000 };

static bool masks_by_addition(fanin__signal *s, int node, int operand) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node];
    const fanin__value_signal *x = &s->values[n->inputs[!operand]];
    int id = n->inputs[operand];
    facts f = facts_of(s->ir, id);
    bool adds = n->attr.kind == FANIN__ADD || (n->attr.kind == FANIN__SUB && operand == 1);
    bool cuts = n->attr.kind == FANIN__SUB ? f.high > -MASKS : f.low < MASKS;
    bool keeps = n->attr.kind == FANIN__MUL && f.bits && !isnan(x->row);
    if (!f.some || f.equal || !((adds && cuts) || keeps)) return false;
    float *kept = NULL;
    if (adds && n->attr.kind == FANIN__ADD) kept = count_kept(s, id, false, MASKS);
    if (keeps) kept = count_kept(s, id, false, 0);
    if (adds && n->attr.kind == FANIN__SUB) kept = x->kept;
    *v = *x;
    v->item_count = 0;
    if (kept) v->kept = kept;
    return true;
}

static double row_of(const fanin__value_signal *v) { return isnan(v->row) ? v->m.b : v->row; }
static double col_of(const fanin__value_signal *v) { return isnan(v->col) ? v->m.b : v->col; }

static void join_rows(fanin__value_signal *v, int kind, const fanin__value_signal *a,
                      const fanin__value_signal *b) {
    if (isnan(a->row) && isnan(b->row)) return;
    if (kind == FANIN__ADD || kind == FANIN__SUB) {
        double cross = 2 * a->m.mean * b->m.mean * (kind == FANIN__ADD ? 1 : -1);
        v->row = row_of(a) + row_of(b) + cross;
        v->col = col_of(a) + col_of(b) + cross;
    } else if (!isnan(a->row) && a->m.q > 0) { /* a factor of both */
        v->row = a->row * v->m.q / a->m.q;
        v->col = a->col * v->m.q / a->m.q;
    }
    v->kept = a->kept ? a->kept : b->kept;
}

/* Attention's rows times a constant, or thinned by dropout. */
static fanin__attention *scaled_attention(fanin__signal *s, const fanin__value_signal *v,
                                          const fanin__value_signal *x) {
    if (!x->attention || !(x->m.q > 0)) return NULL;
    fanin__attention *t = fanin__signal_take(s, sizeof *t);
    if (!t) return NULL;
    *t = *x->attention;
    t->squares = fanin__signal_take(s, (size_t)t->rows * sizeof(float));
    for (int64_t i = 0; t->squares && i < t->rows; i++)
        t->squares[i] = x->attention->squares[i] * (float)(v->m.q / x->m.q);
    return t;
}

/* Moments of a sum or product of independent values, free of the draws' noise. */
static fanin__sites apart(int kind, fanin__sites x, fanin__sites y, bool y_still,
                          fanin__sites otherwise) {
    if (kind == FANIN__DIV && y_still && y.mean != 0) return fanin__signal_scaled(x, 1 / y.mean);
    if (kind == FANIN__MUL)
        return (fanin__sites){x.mean * y.mean, x.q * y.q, x.a * y.a, x.b * y.b, x.c * y.c};
    if (kind != FANIN__ADD && kind != FANIN__SUB) return otherwise;
    double sign = kind == FANIN__ADD ? 1 : -1, cross = 2 * sign * x.mean * y.mean;
    return (fanin__sites){x.mean + sign * y.mean, x.q + y.q + cross, x.a + y.a + cross,
                          x.b + y.b + cross, x.c + y.c + cross};
}

void fanin__forward_binary(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node];
    fanin__value_signal *a = &s->values[n->inputs[0]], *b = &s->values[n->inputs[1]];
    bool da = a->kind == FANIN__DATA || a->kind == FANIN__IDS;
    bool db = b->kind == FANIN__DATA || b->kind == FANIN__IDS;
    if (!da && !db) {
        param_binary(s, node);
        return;
    }
    if (a->kind == FANIN__DATA && b->kind == FANIN__KNOWN && masks_by_addition(s, node, 1)) return;
    if (b->kind == FANIN__DATA && a->kind == FANIN__KNOWN && masks_by_addition(s, node, 0)) return;
    fanin__signal_unify(a, b, n->rank);
    fanin__signal_unify(b, a, n->rank);
    const float *x = fanin__signal_operand(s, node, 0, da && db ? NULL : b);
    const float *y = fanin__signal_operand(s, node, 1, da && db ? NULL : a);
    v->kind = FANIN__DATA;
    v->x = fanin__signal_array(s, FANIN__SITES);
    if (!x || !y || !v->x) return;
    for (int i = 0; i < FANIN__SITES * s->points; i++) v->x[i] = apply(n->attr.kind, x[i], y[i]);
    v->m = fanin__signal_moments(s, v->x);
    if (!isfinite(v->m.q)) {
        fanin__signal_fail(s, node, "an infinite second moment");
        return;
    }
    bool a_still = (!da || a->draw_count == 0) && a->m.q <= a->m.mean * a->m.mean * (1 + 1e-9);
    bool b_still = (!db || b->draw_count == 0) && b->m.q <= b->m.mean * b->m.mean * (1 + 1e-9);
    if (a_still || b_still || a->base == b->base) v->base = a_still ? b->base : a->base;
    bool linear = n->attr.kind <= FANIN__MUL || (n->attr.kind == FANIN__DIV && b_still);
    v->normal = linear && ((a_still && b->normal) || (b_still && a->normal));
    fanin__signal_draws_of(s, v, a, b);
    if (fanin__signal_independent(a, b) && !v->base)
        v->m = apart(n->attr.kind, a->m, b->m, b_still, v->m);
    else
        fanin__signal_sharpen(s, v);
    bool sum = n->attr.kind == FANIN__ADD || n->attr.kind == FANIN__SUB;
    if (sum && a->normal && b->normal) {
        v->base = node + 1;
        v->normal = true;
    }
    join_factors(s, v, n->attr.kind, a, b, n->rank);
    join_rows(v, n->attr.kind, a, b);
    if (!da || !db) v->shared = da ? a->shared : b->shared;
    if (n->attr.kind == FANIN__MUL || n->attr.kind == FANIN__DIV)
        v->attention = scaled_attention(s, v, a->attention ? a : b);
}

void fanin__backward_binary(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    const float *a = s->values[n->inputs[0]].x, *b = s->values[n->inputs[1]].x;
    int count = 2 * s->points, kind = n->attr.kind;
    if (!a || !b || kind >= FANIN__COMPARE) return;
    if (kind == FANIN__ADD || kind == FANIN__SUB || s->values[node].x == a) {
        pass(s, node, 0, NULL, 1, NULL, 0);
        pass(s, node, 1, NULL, kind == FANIN__SUB ? -1 : 1, NULL, 0);
        return;
    }
    for (int side = 0; side < 2; side++) {
        if (s->values[n->inputs[side]].kind != FANIN__DATA) continue;
        float *d = fanin__signal_array(s, 2);
        for (int i = 0; d && i < count; i++) {
            float p = a[i], q = b[i], slope = 0;
            switch (kind) {
            case FANIN__MUL: slope = side ? p : q; break;
            case FANIN__DIV: slope = q == 0 ? 0 : side ? -p / (q * q) : 1 / q; break;
            case FANIN__POW:
                slope = side ? (p > 0 ? powf(p, q) * logf(p) : 0) : q * powf(p, q - 1);
                break;
            case FANIN__MIN: slope = (p < q) == (side == 0); break;
            case FANIN__MAX: slope = (p > q) == (side == 0); break;
            default: slope = side == 0; break;
            }
            d[i] = isfinite(slope) ? slope : 0;
        }
        bool scales = kind == FANIN__MUL || (kind == FANIN__DIV && side == 0);
        pass(s, node, side, d, 1, scales ? &s->values[n->inputs[!side]] : NULL,
             kind == FANIN__MUL ? 1 : -1);
    }
}

/* ---- selection ------------------------------------------------------------------------------------- */

static bool masks_by_selection(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node];
    double value;
    if (s->values[n->inputs[0]].kind != FANIN__KNOWN) return false;
    for (int side = 1; side <= 2; side++) {
        const fanin__value_signal *x = &s->values[n->inputs[3 - side]];
        if (x->kind != FANIN__DATA || !fanin__signal_uniform(s->ir, n->inputs[side], &value) ||
            !(value < MASKS))
            continue;
        *v = *x;
        v->item_count = 0;
        v->kept = count_kept(s, n->inputs[0], side == 1, 0);
        return true;
    }
    return false;
}

void fanin__forward_select(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node], *p = NULL;
    if (masks_by_selection(s, node)) return;
    for (int k = 0; k < 3; k++)
        if (s->values[n->inputs[k]].kind == FANIN__DATA) p = &s->values[n->inputs[k]];
    if (!p) {
        fanin__signal_fail(s, node, "weights chosen by a condition");
        return;
    }
    for (int k = 0; k < 3; k++) fanin__signal_unify(p, &s->values[n->inputs[k]], n->rank);
    const float *c = fanin__signal_operand(s, node, 0, p),
                *a = fanin__signal_operand(s, node, 1, p),
                *b = fanin__signal_operand(s, node, 2, p);
    v->kind = FANIN__DATA;
    v->x = fanin__signal_array(s, FANIN__SITES);
    if (!a || !b || !c || !v->x) return;
    for (int i = 0; i < FANIN__SITES * s->points; i++) v->x[i] = c[i] != 0 ? a[i] : b[i];
    v->m = fanin__signal_moments(s, v->x);
    fanin__value_signal *x = &s->values[n->inputs[1]], *y = &s->values[n->inputs[2]];
    fanin__value_signal *base = x->kind == FANIN__DATA ? x : y;
    if (base->kind != FANIN__DATA) base = p;
    fanin__signal_like(v, base);
    join_rows(v, FANIN__MUL, base, base);
    v->attention = scaled_attention(s, v, base);
}

void fanin__backward_select(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    const float *c = s->values[n->inputs[0]].x;
    for (int side = 1; side <= 2; side++) {
        if (s->values[n->inputs[side]].kind != FANIN__DATA) continue;
        if (s->values[node].x == s->values[n->inputs[side]].x || !c) {
            pass(s, node, side, NULL, 1, NULL, 0);
            continue;
        }
        float *d = fanin__signal_array(s, 2);
        for (int i = 0; d && i < 2 * s->points; i++) d[i] = (c[i] != 0) == (side == 1);
        pass(s, node, side, d, 1, NULL, 0);
    }
}
