/* signal_contract.c - rules of products and convolutions: a matrix makes fresh Gaussians.
 *
 * A weighted layer: E s s' = fan Var W E x x' between any two sites, since entries of W are independent; backward
 * with the other fan. A product of two activations sums n terms: the same term gives q q', different ones the
 * pair moments r r' (attention: squares of a row's weights against the rest). */
#include <math.h>
#include <string.h>

#include "operator/signal.h"

static fanin__value_signal *operand_of(fanin__signal *s, int node, int k) {
    return &s->values[fanin__signal_node(s, node)->inputs[k]];
}

static void copy_factors(fanin__signal *s, fanin__value_signal *v, const fanin__value_signal *x,
                         int axis, int from) {
    v->first[axis] = v->factor_count;
    for (int f = x->first[from]; f < x->first[from + 1]; f++) {
        if (v->factor_count == FANIN__FACTORS) {
            fanin__signal_fail(s, -1, "more than 16 factors of the axes");
            return;
        }
        v->factors[v->factor_count++] = x->factors[f];
    }
    v->first[axis + 1] = v->factor_count;
}

/* Of amplitudes sqrt u: their mean, squared. */
static double squared_amplitude(const float *u, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; u && i < n; i++) sum += sqrt((double)u[i]) / (double)n;
    return u ? sum * sum : 1;
}

/* Of the second moment, the share that all channels have in common. */
static double mean_share(const fanin__value_signal *x) {
    return x->m.q > 0 ? fmin(x->m.mean * x->m.mean / x->m.q, 1) : 0;
}

/* Moments of `fan` terms of x, together `sum` of its second moments where the weights' variance is 1; `common`: the
 * share of that which x's mean makes. Rows that sum to 0 do not see the mean. */
static fanin__sites weighted(const fanin__value_signal *x, fanin__weight_law law, double sum,
                             double fan, double common) {
    fanin__sites m = x->m;
    double w = law.mean, mean = w * fan * m.mean;
    double part =
        w * w * fan * (fan - 1) * m.mean * m.mean - law.centered * law.var * sum * common * m.q;
    double all = sum * law.var + w * w * fan;
    m.q = all * m.q + part;
    m.a = all * m.a + part;
    m.b = all * m.b + part;
    m.c = all * m.c + part;
    m.mean = mean;
    return m;
}

/* ---- one operand is a weight ------------------------------------------------------------------------- */

/* Operand 0 is the signal and operand 1 the weight, or the other way round. */
static bool weight_side(fanin__signal *s, int node, int *side) {
    for (*side = 1; *side >= 0; (*side)--)
        if (operand_of(s, node, *side)->kind == FANIN__PARAM &&
            operand_of(s, node, 1 - *side)->kind == FANIN__DATA)
            return true;
    return false;
}

static void weighted_matmul(fanin__signal *s, int node, int side) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node], *x = operand_of(s, node, 1 - side);
    const fanin__value_signal *w = operand_of(s, node, side);
    const fanin__node *xn = fanin__signal_node(s, n->inputs[1 - side]);
    int last = n->rank - 1, contracted = side == 1 ? last : last - 1;
    double fan = (double)xn->dims[contracted], level = 1, even = 1;
    for (int f = x->first[contracted]; f < x->first[contracted + 1]; f++) {
        double mean = fanin__signal_mean_u(x->factors[f].u, x->factors[f].size);
        level *= mean;
        even *= mean > 0 ? squared_amplitude(x->factors[f].u, x->factors[f].size) / mean : 1;
    }
    unsigned role = fanin__signal_role(x, contracted);
    bool swaps = !(role & FANIN__CHANNEL) && (role & FANIN__POSITION) &&
                 fanin__signal_varies(x, FANIN__CHANNEL);
    v->kind = FANIN__DATA;
    for (int axis = 0; axis < n->rank; axis++) {
        if (axis == contracted)
            fanin__signal_push(s, v, axis, n->dims[axis], FANIN__CHANNEL, NULL);
        else
            copy_factors(s, v, x, axis, axis);
    }
    v->near = swaps ? 0 : x->near;
    v->mid = swaps ? 0 : x->mid;
    fanin__value_signal in = *x;
    if (swaps) { /* channels become the positions that share the weights */
        in.m.b = in.m.c = x->m.mean * x->m.mean;
        for (int f = 0; f < v->factor_count; f++)
            if (v->factors[f].role & FANIN__CHANNEL && f != v->first[contracted])
                v->factors[f].role = FANIN__POSITION;
    }
    double unit = fan * level;
    fanin__value_signal flat = *v; /* levels that stay in u */
    double common = swaps ? 0 : even * mean_share(x);
    fanin__weight_law law = fanin__signal_layer_law(
        s, node, w, n->inputs[1 - side], unit * x->m.q * fanin__signal_level(&flat), common);
    v->m = weighted(&in, law, unit, fan, common);
    fanin__signal_collapse(v, &v->m);
    v->x = fanin__signal_gaussian(s, (uint32_t)node, v->m);
    fanin__signal_settle(s, v);
    fanin__signal_fresh(s, v, node);
    v->var = law.var + law.mean * law.mean;
}

static void weighted_matmul_back(fanin__signal *s, int node, int side) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node], *x = operand_of(s, node, 1 - side);
    int last = n->rank - 1, contracted = side == 1 ? last : last - 1;
    fanin__item item = fanin__signal_merge(s, node), out = item;
    double fan = (double)n->dims[contracted];
    memset(out.u, 0, sizeof out.u);
    for (int f = v->first[contracted]; f < v->first[contracted + 1]; f++)
        fan *= fanin__signal_mean_u(item.u[f], v->factors[f].size);
    for (int axis = 0; axis < n->rank; axis++)
        for (int k = 0; axis != contracted && k < v->first[axis + 1] - v->first[axis]; k++)
            out.u[x->first[axis] + k] = item.u[v->first[axis] + k];
    out.gamma *= fan * v->var;
    out.beta *= fan * v->var;
    out.alpha *= fan * v->var;
    out.delta *= fan * v->var;
    if (fanin__signal_role(x, contracted) & FANIN__POSITION)
        out.beta = out.delta = 0; /* weights of their own */
    fanin__signal_give(s, n->inputs[1 - side], &out);
}

/* ---- a constant matrix --------------------------------------------------------------------------------- */

/* Means over rows (or columns) of the sum of squares and of the squared sum. */
static bool constant_rows(fanin__signal *s, int id, bool rows, double *squares, double *sums) {
    fanin__tensor t;
    if (!fanin__const_tensor(s->ir, id, &t) || t.rank < 2) return false;
    int outer = rows ? t.rank - 2 : t.rank - 1, inner = 2 * t.rank - 3 - outer;
    *squares = *sums = 0;
    for (int64_t i = 0; i < t.dims[outer]; i++) {
        double sum = 0, square = 0;
        for (int64_t k = 0; k < t.dims[inner]; k++) {
            double v = fanin__signal_element(&t, i * t.strides[outer] + k * t.strides[inner]);
            sum += v;
            square += v * v;
        }
        *squares += square / (double)t.dims[outer];
        *sums += sum * sum / (double)t.dims[outer];
    }
    return true;
}

static void constant_matmul(fanin__signal *s, int node, int side) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node], *x = operand_of(s, node, 1 - side);
    int last = n->rank - 1, contracted = side == 1 ? last : last - 1;
    double squares, sums;
    if (!constant_rows(s, n->inputs[side], side == 0, &squares, &sums)) {
        fanin__signal_fail(s, node, "a constant operand");
        return;
    }
    unsigned role = fanin__signal_role(x, contracted);
    v->kind = FANIN__DATA;
    for (int axis = 0; axis < n->rank; axis++) {
        if (axis == contracted)
            fanin__signal_push(s, v, axis, n->dims[axis], role, NULL);
        else
            copy_factors(s, v, x, axis, axis);
    }
    double mm = x->m.mean * x->m.mean, rest = sums - squares;
    bool place = role & FANIN__POSITION;
    v->m.mean = x->m.mean * sqrt(sums);
    v->m.q = squares * x->m.q + rest * (place ? x->m.b : mm);
    v->m.a = squares * x->m.a + rest * (place ? x->m.c : mm);
    v->m.b = place ? sums * x->m.b : squares * x->m.b + rest * mm;
    v->m.c = place ? sums * x->m.c : squares * x->m.c + rest * mm;
    fanin__signal_collapse(v, &v->m);
    v->x = fanin__signal_gaussian(s, (uint32_t)node, v->m);
    fanin__signal_settle(s, v);
}

static void constant_matmul_back(fanin__signal *s, int node, int side) {
    const fanin__node *n = fanin__signal_node(s, node);
    const fanin__value_signal *v = &s->values[node];
    fanin__value_signal *x = operand_of(s, node, 1 - side);
    int last = n->rank - 1, contracted = side == 1 ? last : last - 1;
    double squares, sums;
    if (!constant_rows(s, n->inputs[side], side == 1, &squares, &sums)) return;
    fanin__item item = fanin__signal_merge(s, node), out;
    fanin__signal_carry(s, v, &item, x, &out);
    bool place = fanin__signal_role(v, contracted) & FANIN__POSITION;
    out.gamma = squares * item.gamma + (place ? (sums - squares) * item.beta : 0);
    out.beta = place ? sums * item.beta : squares * item.beta;
    out.alpha = squares * item.alpha + (place ? (sums - squares) * item.delta : 0);
    out.delta = place ? sums * item.delta : squares * item.delta;
    fanin__signal_give(s, n->inputs[1 - side], &out);
}

/* ---- two activations ----------------------------------------------------------------------------------- */

static double row_of(const fanin__value_signal *v) { return isnan(v->row) ? v->m.b : v->row; }
static double col_of(const fanin__value_signal *v) { return isnan(v->col) ? v->m.b : v->col; }

/* Pair moments along a contracted axis: positions by b, row or col, channels by the mean. */
static double along(const fanin__value_signal *v, bool place, bool rows) {
    return place ? (rows ? row_of(v) : col_of(v)) : v->m.mean * v->m.mean;
}

/* u of attention's rows: s2 q + (1 - s2) b relative to their mean. */
static float *row_profile(fanin__signal *s, const fanin__attention *t, int64_t rows, double q,
                          double b, double whole) {
    if (t->rows != rows || !(whole > 0)) return NULL;
    bool flat = true;
    for (int64_t i = 1; i < rows; i++) flat = flat && t->squares[i] == t->squares[0];
    if (flat) return NULL;
    float *u = fanin__signal_take(s, (size_t)rows * sizeof *u);
    for (int64_t i = 0; u && i < rows; i++)
        u[i] = (float)(((double)t->squares[i] * q + (1 - (double)t->squares[i]) * b) / whole);
    return u;
}

/* Of the pairs of positions, the share that differs in the row only: leading axes may be windows. */
static double near_rows(const fanin__value_signal *v, int row_axis) {
    double rows = 1, leading = 1;
    for (int f = 0; f < v->first[row_axis + 1]; f++)
        if (v->factors[f].role & FANIN__POSITION) {
            if (f < v->first[row_axis])
                leading *= (double)v->factors[f].size;
            else
                rows *= (double)v->factors[f].size;
        }
    return rows * leading > 1 ? (rows - 1) / (rows * leading - 1) : 1;
}

static void product(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node], *a = operand_of(s, node, 0),
                        *b = operand_of(s, node, 1);
    int last = n->rank - 1;
    double k = (double)fanin__signal_node(s, n->inputs[0])->dims[last];
    unsigned role = fanin__signal_role(a, last) | fanin__signal_role(b, last - 1);
    bool place = (role & FANIN__POSITION) && !(role & FANIN__CHANNEL);
    v->kind = FANIN__DATA;
    for (int axis = 0; axis < last - 1; axis++) {
        fanin__signal_unify(a, b, last - 1);
        copy_factors(s, v, fanin__signal_merged(s, a, axis).spread ? b : a, axis, axis);
    }
    copy_factors(s, v, a, last - 1, last - 1);
    copy_factors(s, v, b, last, last);
    if (s->failed) return;
    double ra = along(a, place, true), rb = along(b, place, false), more = k * (k - 1);
    bool columns = fanin__signal_role(b, last) & FANIN__POSITION; /* else channels: the same one */
    double qb_pair = columns ? b->m.b : b->m.q, mean = k * a->m.mean * b->m.mean;
    v->m.mean = mean;
    v->m.q = k * a->m.q * b->m.q + more * ra * rb;
    v->m.a = k * a->m.a * b->m.a + more * (place ? a->m.c * b->m.c : ra * rb);
    if (place) {
        double same = a->attention ? a->attention->overlap : k * col_of(a);
        double other = a->attention ? 1 - same : more * a->m.b;
        double rest = columns ? b->m.b : rb;
        v->m.b = same * qb_pair + other * rest;
        v->m.a = same * b->m.a + other * b->m.c;
        v->m.c = same * (columns ? b->m.c : b->m.a) + other * b->m.c;
        /* rows of other windows share none of the weighted positions */
        double near = near_rows(v, last - 1);
        v->m.b = near * v->m.b + (1 - near) * (columns ? b->m.b : rb);
        v->m.c = near * v->m.c + (1 - near) * b->m.c;
    } else {
        v->m.b = k * a->m.b * qb_pair + more * ra * rb;
        v->m.c = k * a->m.c * (columns ? b->m.c : b->m.a) + more * ra * rb;
        if (columns) {
            v->row = k * a->m.q * b->m.b + more * ra * rb;
            v->col = k * a->m.b * b->m.q + more * ra * rb;
        }
    }
    fanin__signal_collapse(v, &v->m);
    if (place && a->attention && v->first[last] - v->first[last - 1] == 1)
        v->factors[v->first[last - 1]].u =
            row_profile(s, a->attention, v->factors[v->first[last - 1]].size, b->m.q, rb, v->m.q);
    v->x = fanin__signal_gaussian(s, (uint32_t)node, v->m);
    fanin__signal_settle(s, v);
    fanin__signal_fresh(s, v, node);
}

static void product_back(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node], *a = operand_of(s, node, 0),
                        *b = operand_of(s, node, 1);
    int last = n->rank - 1;
    fanin__item g = fanin__signal_merge(s, node), to_a, to_b;
    g.alpha = g.delta = 0; /* each sample has factors of its own */
    to_a = to_b = g;
    double rows = (double)n->dims[last - 1], columns = (double)n->dims[last];
    unsigned inner = fanin__signal_role(a, last) | fanin__signal_role(b, last - 1);
    bool wide = fanin__signal_role(v, last) & FANIN__POSITION;
    bool tall = fanin__signal_role(v, last - 1) & FANIN__POSITION;
    bool place = (inner & FANIN__POSITION) && !(inner & FANIN__CHANNEL);
    double row_u = 1, beta = fmax(g.beta, 0);
    for (int f = v->first[last - 1]; f < v->first[last]; f++)
        row_u *= fanin__signal_mean_u(g.u[f], v->factors[f].size);
    memset(to_a.u, 0, sizeof to_a.u);
    memset(to_b.u, 0, sizeof to_b.u);
    for (int f = v->first[last - 1]; f < v->first[last]; f++)
        if (v->first[last] - v->first[last - 1] == a->first[last] - a->first[last - 1])
            to_a.u[a->first[last - 1] + f - v->first[last - 1]] = g.u[f];
    /* dA = g B', over columns; dB = A' g, over rows */
    to_a.gamma = columns * g.gamma * b->m.q + (wide ? columns * (columns - 1) * beta * b->m.b : 0);
    to_a.beta = place ? columns * g.gamma * along(b, true, false) : columns * beta * b->m.q;
    to_b.gamma = row_u * (rows * g.gamma * a->m.q +
                          (tall ? rows * (rows - 1) * beta * (place ? col_of(a) : a->m.b) : 0));
    to_b.beta = row_u * (rows * g.gamma * (place ? row_of(a) : a->m.q) +
                         (tall ? rows * (rows - 1) * beta * a->m.b : 0));
    fanin__signal_give(s, n->inputs[0], &to_a);
    fanin__signal_give(s, n->inputs[1], &to_b);
}

/* A weight times a constant of equal elements, the state that a recurrent network starts from: a number for each unit,
 * the same for all samples. */
static void constant_state(fanin__signal *s, int node, int side, double value) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node];
    int last = n->rank - 1, contracted = side == 1 ? last : last - 1;
    double fan = (double)fanin__signal_node(s, n->inputs[1 - side])->dims[contracted];
    double square = fan * value * value, sum = fan * value;
    fanin__weight_law law =
        fanin__signal_layer_law(s, node, operand_of(s, node, side), n->inputs[1 - side], square, 1);
    fanin__signal_axes(v, n);
    v->kind = FANIN__DATA;
    for (int axis = 0; axis < n->rank; axis++) {
        v->factors[axis].role = axis == contracted ? FANIN__CHANNEL : 0;
        v->factors[axis].spread = axis != contracted;
    }
    double q = square * law.var * (1 - law.centered) + sum * sum * law.mean * law.mean;
    v->m = (fanin__sites){sum * law.mean, q, q, q, q};
    v->x = q > 0 ? fanin__signal_gaussian(s, (uint32_t)node, v->m) : fanin__signal_constant(s, 0);
    fanin__signal_settle(s, v);
    fanin__signal_fresh(s, v, node);
    if (!(q > 0)) v->base = v->draw_count = 0;
}

void fanin__forward_matmul(fanin__signal *s, int node) {
    int side;
    if (weight_side(s, node, &side)) {
        weighted_matmul(s, node, side);
        return;
    }
    const fanin__value_signal *a = operand_of(s, node, 0), *b = operand_of(s, node, 1);
    side = b->kind == FANIN__PARAM;
    double value;
    if (a->kind == FANIN__DATA && b->kind == FANIN__DATA)
        product(s, node);
    else if (operand_of(s, node, side)->kind == FANIN__PARAM &&
             fanin__signal_uniform(s->ir, fanin__signal_node(s, node)->inputs[1 - side], &value))
        constant_state(s, node, side, value);
    else if (a->kind == FANIN__DATA && b->kind == FANIN__KNOWN)
        constant_matmul(s, node, 1);
    else if (b->kind == FANIN__DATA && a->kind == FANIN__KNOWN)
        constant_matmul(s, node, 0);
    else
        fanin__signal_fail(s, node, "a product of weights");
}

void fanin__backward_matmul(fanin__signal *s, int node) {
    int side;
    if (weight_side(s, node, &side))
        weighted_matmul_back(s, node, side);
    else if (operand_of(s, node, 1)->kind == FANIN__KNOWN)
        constant_matmul_back(s, node, 1);
    else if (operand_of(s, node, 0)->kind == FANIN__KNOWN)
        constant_matmul_back(s, node, 0);
    else
        product_back(s, node);
}

/* ---- softmax ------------------------------------------------------------------------------------------- */

/* Over channels: e^z by its mean. */
static void softmax_channels(fanin__signal *s, int node, const fanin__value_signal *x) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node];
    int points = s->points;
    v->x = fanin__signal_array(s, FANIN__SITES);
    for (int site = 0; v->x && site < FANIN__SITES; site++) {
        double sum = 0;
        for (int i = 0; i < points; i++)
            sum += (double)(v->x[site * points + i] = expf(x->x[site * points + i]));
        float k = (float)(points / (sum * (double)n->dims[n->rank - 1]));
        for (int i = 0; i < points; i++) v->x[site * points + i] *= k;
    }
    if (v->x) v->m = fanin__signal_moments(s, v->x);
}

/* Two rows' weights in common: one position in as many as the longer has. */
static double overlap(const float *kept, int64_t rows, double columns, double covariance) {
    enum { MOST = 64 };
    double sum = 0;
    if (!kept || rows < 2) return exp(covariance) / columns;
    int64_t step = rows > MOST ? rows / MOST : 1, count = 0;
    for (int64_t i = 0; i < rows; i += step)
        for (int64_t j = 0; j < rows; j += step)
            if (i != j)
                sum += 1 / fmax((double)(kept[i] > kept[j] ? kept[i] : kept[j]), 1), count++;
    return count ? exp(covariance) * sum / (double)count : exp(covariance) / columns;
}

void fanin__forward_softmax(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node];
    const fanin__value_signal *x = operand_of(s, node, 0);
    v->kind = FANIN__DATA;
    fanin__signal_like(v, x);
    if (!x->x) {
        fanin__signal_fail(s, node, "softmax of weights");
        return;
    }
    if (!(fanin__signal_role(x, n->rank - 1) & FANIN__POSITION)) {
        softmax_channels(s, node, x);
        return;
    }
    double columns = (double)n->dims[n->rank - 1], var = fmax(x->m.q - row_of(x), 0), mean = 0;
    double covariance = fmin(fmax(col_of(x) - x->m.b, 0), var), last = -1, squares = 0;
    int64_t rows = n->rank > 1 ? n->dims[n->rank - 2] : 1;
    fanin__attention *t = fanin__signal_take(s, sizeof *t);
    if (!t || !(t->squares = fanin__signal_take(s, (size_t)rows * sizeof(float)))) return;
    t->rows = rows;
    for (int64_t i = 0; i < rows; i++) {
        double count = x->kept ? fmax((double)x->kept[i], 1) : columns;
        /* beyond 16 entries in steps of an eighth: the draws smooth over it */
        double near = count > 16 ? exp2(floor(log2(count) * 8) / 8) : count;
        if (near != last) squares = fanin__signal_softmax_squares(s, near, var);
        last = near;
        t->squares[i] = (float)fmin(squares * near / count, 1);
        mean += (double)t->squares[i] / (double)rows;
    }
    t->overlap = overlap(x->kept, rows, columns, covariance);
    v->attention = t;
    v->kept = x->kept;
    v->m.mean = 1 / columns;
    v->m.q = mean / columns;
    v->row = columns > 1 ? (1 - mean) / (columns * (columns - 1)) : v->m.q;
    v->col = t->overlap / columns;
    v->m.b = columns > 1 ? (1 - t->overlap) / (columns * (columns - 1)) : v->m.q;
    v->m.a = t->overlap / columns;
    v->m.c = v->m.b;
    v->x = fanin__signal_gaussian(s, (uint32_t)node, v->m);
    fanin__sites keep = v->m;
    fanin__signal_settle(s, v);
    v->m = keep;
}

/* y (g - sum y g): second moment q_y (gamma - what the row has in common). */
void fanin__backward_softmax(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    const fanin__value_signal *v = &s->values[node];
    fanin__item item = fanin__signal_merge(s, node);
    if (v->attention) {
        double own = fmax(item.gamma - fmax(item.beta, 0), 0);
        item.gamma = v->m.q * own;
        item.beta = item.alpha = item.delta = 0;
    } else {
        item.gamma *= v->m.q;
        item.beta *= v->m.b;
        item.alpha *= v->m.a;
        item.delta *= v->m.c;
    }
    fanin__signal_give(s, n->inputs[0], &item);
}

/* ---- convolution ---------------------------------------------------------------------------------------- */

/* u behind a window: what its taps see, relative to `taps` of them; adjoint: what its outputs give back. */
static float *window_profile(fanin__signal *s, const fanin__op_window *w, int axis, const float *u,
                             int64_t in, int64_t out, double taps, bool adjoint) {
    int64_t size = adjoint ? in : out;
    if (size > 1 << 20 || size < 1) return NULL;
    float *r = fanin__signal_take(s, (size_t)size * sizeof *r);
    if (!r) return NULL;
    for (int64_t o = 0; o < out; o++)
        for (int64_t t = 0; t < w->kernel[axis]; t++) {
            int64_t i = o * w->stride[axis] + t * w->dilation[axis] - w->before[axis];
            if (i < 0 || i >= in) continue;
            if (adjoint)
                r[i] += (float)((u ? (double)u[o] : 1) / taps);
            else
                r[o] += (float)((u ? (double)u[i] : 1) / taps);
        }
    bool flat = true;
    for (int64_t i = 0; i < size; i++) flat = flat && fabsf(r[i] - 1) < 1e-6f;
    return flat ? NULL : r;
}

/* Two positions share the weights of the taps that both of them have; padding and strides leave less of their
 * product than of a square: with s = sqrt u the amplitude at a position, sum_t (mean s at tap t)^2 over
 * sum_t (mean s^2 at tap t), beside (mean s)^2 over mean s^2 of what comes in. */
static double shared_taps(const fanin__op_window *w, int axis, const float *u, int64_t in,
                          int64_t out, bool adjoint) {
    double squares = 0, sum = 0, mean = 0, level = 0, positions = (double)(adjoint ? in : out);
    int64_t size = adjoint ? out : in; /* of what u is of */
    for (int64_t i = 0; i < size; i++) {
        double s = u ? (double)u[i] : 1;
        mean += sqrt(s) / (double)size;
        level += s / (double)size;
    }
    for (int64_t t = 0; t < w->kernel[axis]; t++) {
        double first = 0, second = 0;
        for (int64_t o = 0; o < out; o++) {
            int64_t i = o * w->stride[axis] + t * w->dilation[axis] - w->before[axis];
            if (i < 0 || i >= in) continue;
            double s = u ? (double)u[adjoint ? o : i] : 1;
            first += sqrt(s) / positions;
            second += s / positions;
        }
        squares += first * first;
        sum += second;
    }
    double before = level > 0 ? mean * mean / level : 1;
    return sum > 0 && before > 0 ? fmin(squares / sum / before, 1) : 1;
}

/* What a row's mean sees of a window beside what its variance sees, with amplitudes s = sqrt u: mean over outputs of
 * (mean over taps of s)^2 over that of s^2. Padding, and what is uneven, lower it. */
static double even_taps(const fanin__op_window *w, int axis, const float *u, int64_t in,
                        int64_t out) {
    double squares = 0, sums = 0, taps = (double)w->kernel[axis];
    for (int64_t o = 0; o < out; o++) {
        double sum = 0;
        for (int64_t t = 0; t < w->kernel[axis]; t++) {
            int64_t i = o * w->stride[axis] + t * w->dilation[axis] - w->before[axis];
            if (i < 0 || i >= in) continue;
            double s = u ? (double)u[i] : 1;
            sum += sqrt(s);
            squares += s * taps;
        }
        sums += sum * sum;
    }
    return squares > 0 ? sums / squares : 1;
}

/* The same of two positions `apart`, whose amplitudes are those of their places: sum_t s_t s'_t over sum_t s_t^2. */
static double shared_near(const fanin__op_window *w, int axis, const float *u, int64_t in,
                          int64_t out, int64_t apart) {
    double both = 0, sum = 0, before = 0, level = 0;
    int64_t gap = apart * w->stride[axis];
    if (out <= apart || in <= gap) return 1;
    for (int64_t i = 0; i < in; i++) {
        level += (u ? (double)u[i] : 1) / (double)in;
        if (i + gap < in)
            before += (u ? sqrt((double)u[i] * (double)u[i + gap]) : 1) / (double)(in - gap);
    }
    for (int64_t o = 0; o < out; o++)
        for (int64_t t = 0; t < w->kernel[axis]; t++) {
            int64_t i = o * w->stride[axis] + t * w->dilation[axis] - w->before[axis];
            if (i < 0 || i >= in) continue;
            double own = u ? (double)u[i] : 1;
            sum += own / (double)out;
            if (o + apart < out && i + gap < in)
                both += (u ? sqrt(own * (double)u[i + gap]) : 1) / (double)(out - apart);
        }
    before = level > 0 ? before / level : 1;
    return sum > 0 && before > 0 ? fmin(both / sum / before, 1) : 1;
}

/* Near shares of a convolution's result, which has moments m: neighbours see neighbours `stride` apart; a transposed one's
 * have taps in common with their own phase only. */
static void near_shares(fanin__value_signal *v, const fanin__value_signal *x, double all,
                        double taken, double part, double stride, bool transposed,
                        const double taps[2]) {
    double apart = x->m.q - x->m.b, left = v->m.q - v->m.b, out[2];
    for (int d = 0; d < 2; d++) {
        double share = d == 0 && stride == 1 ? x->near : x->mid;
        double pair = part + (all * (x->m.b + share * apart) + taken) * taps[d];
        if (transposed && stride > 1) pair = d == 0 ? part : v->m.b;
        out[d] = left > 1e-9 * v->m.q ? fmin(fmax((pair - v->m.b) / left, 0), 1) : 0;
    }
    v->near = out[0];
    v->mid = out[1];
}

/* Forward of both kinds of convolution. */
static void convolve(fanin__signal *s, int node, bool transposed) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node], *x = operand_of(s, node, 0);
    const fanin__node *xn = fanin__signal_node(s, n->inputs[0]);
    const fanin__op_window *w = &n->attr.window;
    if (x->kind != FANIN__DATA || operand_of(s, node, 1)->kind != FANIN__PARAM) {
        fanin__signal_fail(s, node, "a convolution of weights, or with an activation as kernel");
        return;
    }
    double fan = (double)xn->dims[1] / (double)w->groups, shared = 1, even = 1;
    double taps_near[2] = {0}, stride = 1;
    v->kind = FANIN__DATA;
    copy_factors(s, v, x, 0, 0);
    fanin__signal_push(s, v, 1, n->dims[1], FANIN__CHANNEL, NULL);
    for (int i = 0; i < w->rank && !s->failed; i++) {
        fanin__factor f = fanin__signal_merged(s, x, 2 + i);
        double taps = (double)w->kernel[i] / (transposed ? (double)w->stride[i] : 1);
        int64_t in = transposed ? n->dims[2 + i] : f.size,
                out = transposed ? f.size : n->dims[2 + i];
        fan *= taps;
        shared *= shared_taps(w, i, f.u, in, out, transposed);
        if (!transposed) even *= even_taps(w, i, f.u, in, out);
        stride = fmax(stride, (double)w->stride[i]);
        for (int d = 0; d < 2; d++)
            taps_near[d] += (transposed ? 1 : shared_near(w, i, f.u, in, out, d + 1)) / w->rank;
        fanin__signal_push(s, v, 2 + i, n->dims[2 + i], FANIN__POSITION,
                           window_profile(s, w, i, f.u, in, out, taps, transposed));
    }
    if (s->failed) return;
    double level = fanin__signal_level(v);
    double common = transposed || w->groups > 1 ? 0 : even * mean_share(x);
    fanin__weight_law law = fanin__signal_layer_law(s, node, operand_of(s, node, 1), n->inputs[0],
                                                    fan * level * x->m.q, common);
    v->m = weighted(x, law, fan, fan, common);
    double all = fan * law.var + law.mean * law.mean * fan;
    double part = law.mean * law.mean * fan * (fan - 1) * x->m.mean * x->m.mean;
    double taken = v->m.q - part - all * x->m.q; /* what rows that sum to 0 do not see */
    v->m.b = part + (v->m.b - part) * shared;    /* any two positions */
    v->m.c = part + (v->m.c - part) * shared;
    fanin__signal_collapse(v, &v->m);
    v->x = fanin__signal_gaussian(s, (uint32_t)node, v->m);
    fanin__signal_settle(s, v);
    near_shares(v, x, all, taken, part, stride, transposed, taps_near);
    v->var = law.var + law.mean * law.mean;
    fanin__signal_fresh(s, v, node);
}

static void convolve_back(fanin__signal *s, int node, bool transposed) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node], *x = operand_of(s, node, 0);
    const fanin__node *xn = fanin__signal_node(s, n->inputs[0]);
    const fanin__op_window *w = &n->attr.window;
    fanin__item item = fanin__signal_merge(s, node), out = item;
    double fan = (double)n->dims[1] / (double)w->groups, shared = 1;
    memset(out.u, 0, sizeof out.u);
    for (int f = x->first[0]; f < x->first[1]; f++)
        out.u[f] = item.u[v->first[0] + f - x->first[0]];
    for (int i = 0; i < w->rank; i++) {
        double taps = (double)w->kernel[i] / (transposed ? 1 : (double)w->stride[i]);
        int64_t in = transposed ? n->dims[2 + i] : xn->dims[2 + i];
        int64_t size = transposed ? xn->dims[2 + i] : n->dims[2 + i];
        float *u = window_profile(s, w, i, item.u[v->first[2 + i]], in, size, taps, !transposed);
        fan *= taps;
        shared *= shared_taps(w, i, item.u[v->first[2 + i]], in, size, !transposed);
        int count = x->first[3 + i] - x->first[2 + i];
        if (count == 1)
            out.u[x->first[2 + i]] = u;
        else
            fan *= fanin__signal_mean_u(u, xn->dims[2 + i]);
    }
    out.gamma *= fan * v->var;
    out.beta *= fan * v->var * shared;
    out.alpha *= fan * v->var;
    out.delta *= fan * v->var * shared;
    fanin__signal_give(s, n->inputs[0], &out);
}

void fanin__forward_conv(fanin__signal *s, int node) { convolve(s, node, false); }
void fanin__backward_conv(fanin__signal *s, int node) { convolve_back(s, node, false); }
void fanin__forward_conv_data(fanin__signal *s, int node) { convolve(s, node, true); }
void fanin__backward_conv_data(fanin__signal *s, int node) { convolve_back(s, node, true); }
