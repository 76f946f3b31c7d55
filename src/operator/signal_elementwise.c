/* signal_elementwise.c - rules of functions, arithmetic and selection: exact on the points. */
#include <math.h>
#include <string.h>

#include "operator/signal.h"

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

/* Items of `node` times `slope` (at every site; NULL: 1) times k, to an operand; the slope's second moment goes with
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
            float *d = fanin__signal_array(s, FANIN__SITES);
            for (int j = 0; d && j < FANIN__SITES * s->points; j++)
                d[j] = slope[j] * (item.d ? item.d[j] : 1);
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
    fanin__weight_law law = fanin__signal_law(s, node, x);
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
    float *low = fanin__signal_array(s, FANIN__SITES);
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
    float *slope = fanin__signal_array(s, FANIN__SITES);
    const float *x = s->values[n->inputs[0]].x;
    if (!slope || !x) return;
    slopes(&n->attr, x, slope, FANIN__SITES * s->points);
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
            law = fanin__signal_law(s, node, x);
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

enum { MASKS = -50, FAR = 1000 };

/* Added to what a softmax reads: 0 where it stays, so low where it goes that e^MASKS of it is left. */
static bool cuts(fanin__facts f, bool subtracts) {
    double low = subtracts ? -f.high : f.low, high = subtracts ? -f.low : f.high;
    return low < -FAR || (low < MASKS && high == 0);
}

static bool masks_by_addition(fanin__signal *s, int node, int operand) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node];
    const fanin__value_signal *x = &s->values[n->inputs[!operand]];
    int id = n->inputs[operand];
    fanin__facts f = fanin__signal_facts(s->ir, id);
    bool adds = n->attr.kind == FANIN__ADD || (n->attr.kind == FANIN__SUB && operand == 1);
    bool keeps = n->attr.kind == FANIN__MUL && f.bits && !isnan(x->row);
    if (!f.some || f.equal || !((adds && cuts(f, n->attr.kind == FANIN__SUB)) || keeps))
        return false;
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
    if (fanin__signal_independent(a, b) && !v->base) {
        fanin__sites now = v->m;
        v->m = apart(n->attr.kind, a->m, b->m, b_still, v->m);
        v->x = fanin__signal_reshape(s, v->x, now, v->m);
        if (!v->x) return;
    } else
        fanin__signal_sharpen(s, v);
    bool sum = n->attr.kind == FANIN__ADD || n->attr.kind == FANIN__SUB;
    if (sum && a->normal && b->normal) {
        v->base = node + 1;
        v->normal = true;
    }
    join_factors(s, v, n->attr.kind, a, b, n->rank);
    join_rows(v, n->attr.kind, a, b);
    double da_q = da ? fmax(a->m.q - a->m.b, 0) : 0, db_q = db ? fmax(b->m.q - b->m.b, 0) : 0;
    if (da_q + db_q > 0) {
        v->near = (da_q * a->near + db_q * b->near) / (da_q + db_q);
        v->mid = (da_q * a->mid + db_q * b->mid) / (da_q + db_q);
    }
    if (n->attr.kind == FANIN__MUL || n->attr.kind == FANIN__DIV)
        v->attention = scaled_attention(s, v, a->attention ? a : b);
}

void fanin__backward_binary(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    const float *a = s->values[n->inputs[0]].x, *b = s->values[n->inputs[1]].x;
    int count = FANIN__SITES * s->points, kind = n->attr.kind;
    if (!a || !b || kind >= FANIN__COMPARE) return;
    if (kind == FANIN__ADD || kind == FANIN__SUB || s->values[node].x == a) {
        pass(s, node, 0, NULL, 1, NULL, 0);
        pass(s, node, 1, NULL, kind == FANIN__SUB ? -1 : 1, NULL, 0);
        return;
    }
    for (int side = 0; side < 2; side++) {
        if (s->values[n->inputs[side]].kind != FANIN__DATA) continue;
        float *d = fanin__signal_array(s, FANIN__SITES);
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
        float *d = fanin__signal_array(s, FANIN__SITES);
        for (int i = 0; d && i < FANIN__SITES * s->points; i++) d[i] = (c[i] != 0) == (side == 1);
        pass(s, node, side, d, 1, NULL, 0);
    }
}
