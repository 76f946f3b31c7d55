/* signal_move.c - rules of views and movement: which channels, positions and samples stay. */
#include <math.h>
#include <string.h>

#include "operator/signal.h"

static fanin__value_signal *operand_of(fanin__signal *s, int node, int k) {
    return &s->values[fanin__signal_node(s, node)->inputs[k]];
}

/* Copies what a move does not touch. */
static void copy(fanin__value_signal *v, const fanin__value_signal *x) {
    v->kind = x->kind;
    v->x = x->x;
    v->m = x->m;
    v->base = x->base;
    v->normal = x->normal;
    v->draws = x->draws;
    v->draw_count = x->draw_count;
    v->near = x->near;
    v->mid = x->mid;
    v->row = x->row;
    v->col = x->col;
    v->kept = x->kept;
    v->attention = x->attention;
    v->weight = x->weight;
    v->factor = x->factor;
    v->var = x->var;
}

/* A constant beside which roles are known only later keeps no ensemble. */
static void forget(fanin__value_signal *v) {
    if (v->kind == FANIN__PARAM || v->kind == FANIN__KNOWN) v->x = NULL;
}

/* ---- broadcast and reshape ------------------------------------------------------------------------- */

void fanin__forward_broadcast(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node], *x = operand_of(s, node, 0);
    const fanin__node *from = fanin__signal_node(s, n->inputs[0]);
    copy(v, x);
    forget(v);
    v->row = v->col = NAN;
    v->attention = NULL;
    v->factor_count = 0;
    for (int axis = 0; axis < n->rank; axis++) {
        int first = v->factor_count;
        if (from->dims[axis] != n->dims[axis]) {
            fanin__signal_push(s, v, axis, n->dims[axis], 0, NULL);
            if (v->factor_count > first) v->factors[first].spread = true;
        } else {
            for (int f = x->first[axis]; f < x->first[axis + 1]; f++)
                if (v->factor_count < FANIN__FACTORS) v->factors[v->factor_count++] = x->factors[f];
        }
        v->first[axis] = first;
    }
    v->first[n->rank] = v->factor_count;
}

/* The adjoint sums: over n positions n gamma + n (n - 1) beta, over channels n gamma. Item by item, each
 * remembering whose sum it is: a norm's mean takes it back to where that item is. */
static void sum_item(fanin__signal *s, int node, const fanin__item *item) {
    const fanin__node *n = fanin__signal_node(s, node);
    const fanin__value_signal *v = &s->values[node];
    const fanin__value_signal *x = operand_of(s, node, 0);
    const fanin__node *from = fanin__signal_node(s, n->inputs[0]);
    fanin__item out = {.source = fanin__signal_source(s), .origin = item->source, .scale = 1};
    fanin__signal_total(s, item, &out.gamma, &out.beta);
    if (item->scale < 0) out.scale = -1;
    double places = 1, pairs = 1, others = 1;
    for (int axis = 0; axis < n->rank; axis++) {
        int count = v->first[axis + 1] - v->first[axis];
        if (from->dims[axis] == n->dims[axis]) {
            for (int k = 0; k < count && count == x->first[axis + 1] - x->first[axis]; k++)
                out.u[x->first[axis] + k] = item->u[v->first[axis] + k];
            continue;
        }
        for (int f = v->first[axis]; f < v->first[axis + 1]; f++) {
            double terms = (double)v->factors[f].size;
            double size = terms * fanin__signal_mean_u(item->u[f], v->factors[f].size);
            if (!(v->factors[f].role & FANIN__POSITION)) {
                others *= size;
                continue;
            }
            double root = terms * fanin__signal_mean_root(item->u[f], v->factors[f].size);
            places *= size;
            pairs *= root * root;
        }
    }
    out.gamma *= others;
    out.beta *= others;
    if (places != 1) {
        out.gamma = places * out.gamma + fmax(pairs - places, 0) * fmax(out.beta, 0);
        out.beta = out.gamma;
    }
    fanin__signal_give(s, n->inputs[0], &out);
}

void fanin__backward_broadcast(fanin__signal *s, int node) {
    const fanin__value_signal *v = &s->values[node];
    for (int i = 0; i < v->item_count; i++) sum_item(s, node, &v->items[i]);
}

void fanin__forward_reshape(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node], *x = operand_of(s, node, 0);
    copy(v, x);
    forget(v);
    if (!fanin__signal_refactor(s, v, x, n) && !s->failed)
        fanin__signal_fail(s, node, "axes that are mixed");
}

static void carry_all(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node], *x = operand_of(s, node, 0);
    for (int i = 0; i < v->item_count; i++) {
        fanin__item item;
        fanin__signal_carry(s, v, &v->items[i], x, &item);
        fanin__signal_give(s, n->inputs[0], &item);
    }
}

void fanin__backward_reshape(fanin__signal *s, int node) { carry_all(s, node); }

void fanin__forward_transpose(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node], *x = operand_of(s, node, 0);
    copy(v, x);
    forget(v);
    v->factor_count = 0;
    for (int axis = 0; axis < n->rank; axis++) {
        int from = (int)n->attr.perm[axis];
        v->first[axis] = v->factor_count;
        for (int f = x->first[from]; f < x->first[from + 1]; f++)
            v->factors[v->factor_count++] = x->factors[f];
    }
    v->first[n->rank] = v->factor_count;
    bool swapped = n->rank >= 2 && n->attr.perm[n->rank - 1] == n->rank - 2;
    if (swapped) {
        v->row = x->col;
        v->col = x->row;
        v->kept = NULL;
        v->attention = NULL;
    }
}

void fanin__backward_transpose(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node], *x = operand_of(s, node, 0);
    for (int i = 0; i < v->item_count; i++) {
        fanin__item item = v->items[i];
        memset(item.u, 0, sizeof item.u);
        for (int axis = 0; axis < n->rank; axis++) {
            int from = (int)n->attr.perm[axis];
            for (int k = 0; k < v->first[axis + 1] - v->first[axis]; k++)
                item.u[x->first[from] + k] = v->items[i].u[v->first[axis] + k];
        }
        fanin__signal_give(s, n->inputs[0], &item);
    }
}

/* ---- parts ------------------------------------------------------------------------------------------ */

/* One axis gets a new size; `pick` says which element of the old axis each new one is, -1 none. */
typedef struct pick {
    int axis;
    int64_t size;
    const int64_t *at; /* NULL: start + i * step */
    int64_t start, step;
} pick;

static int64_t picked(const pick *p, int64_t i) {
    return p->at ? p->at[i] : p->start + i * p->step;
}

static float *pick_profile(fanin__signal *s, const fanin__factor *f, const pick *p) {
    if (!f->u || p->size > 1 << 24) return NULL;
    float *u = fanin__signal_take(s, (size_t)p->size * sizeof *u);
    for (int64_t i = 0; u && i < p->size; i++) {
        int64_t from = picked(p, i);
        u[i] = from >= 0 && from < f->size ? f->u[from] : 0;
    }
    return u;
}

/* Channels that are not all of them are other channels: another order of the points, the same one for the same
 * part of equally many. */
static void take_part(fanin__signal *s, fanin__value_signal *v, const fanin__factor *old,
                      const pick *p) {
    if (!v->x || v->kind != FANIN__DATA) return;
    if ((old->role & FANIN__CHANNEL) && p->size < old->size) {
        uint32_t key = (uint32_t)(p->start * 2654435761u + (uint32_t)old->size * 40503u + 1);
        v->x = fanin__signal_shuffle(s, key, v->x);
        if (v->draw_count < 0) return;
        uint32_t draw = key; /* a number that only the same part of the same value has */
        for (int i = 0; i < v->draw_count; i++) draw = (draw ^ (uint32_t)v->draws[i]) * 2246822519u;
        fanin__signal_drawn(s, v, s->count + (int)(draw >> 2));
    }
}

/* Of several single positions of one value each is another one: points in an order of its own, with what positions
 * have in common (of Gaussians) from where all have it. */
static void take_place(fanin__signal *s, int node, const fanin__value_signal *x,
                       const fanin__factor *old, const pick *p) {
    int from = fanin__signal_node(s, node)->inputs[0], slices = 0;
    fanin__value_signal *v = &s->values[node];
    double mm = x->m.mean * x->m.mean, var = x->m.q - mm, share = (x->m.b - mm) / var;
    for (int r = s->first_reader[from]; r < s->first_reader[from + 1]; r++)
        slices += fanin__signal_node(s, s->readers[r])->op == FANIN__SLICE;
    bool one = slices > 1 && p->size == 1 && old->size > 1 && (old->role & FANIN__POSITION);
    if (!one || v->kind != FANIN__DATA || !v->x || !(var > 0) || !(share < 0.99)) return;
    if (share < 0.01) share = 0;
    if (share > 0 && !x->normal) return;
    float *y = fanin__signal_shuffle(s, (uint32_t)node, v->x), mean = (float)x->m.mean;
    float common = (float)sqrt(share), own = (float)sqrt(1 - share);
    for (int i = 0; y && i < FANIN__SITES * s->points; i++)
        y[i] = mean + common * (v->x[i] - mean) + own * (y[i] - mean);
    v->x = y;
    if (share > 0)
        v->draw_count = -1;
    else
        fanin__signal_drawn(s, v, node);
}

static void replace_axis(fanin__signal *s, fanin__value_signal *v, const fanin__value_signal *x,
                         int rank, const fanin__factor *f, int axis) {
    v->factor_count = 0;
    for (int i = 0; i < rank; i++) {
        v->first[i] = v->factor_count;
        if (i == axis) {
            fanin__signal_push(s, v, i, f->size, f->role, f->u);
            v->factors[v->factor_count - 1].spread = f->spread;
            continue;
        }
        for (int k = x->first[i]; k < x->first[i + 1]; k++)
            if (v->factor_count < FANIN__FACTORS) v->factors[v->factor_count++] = x->factors[k];
    }
    v->first[rank] = v->factor_count;
}

/* A single position of a varying u: its level goes into the ensemble. */
static void absorb(fanin__signal *s, fanin__value_signal *v) {
    double level = 1;
    for (int f = 0; f < v->factor_count; f++)
        if (v->factors[f].size == 1 && v->factors[f].u) {
            level *= (double)v->factors[f].u[0];
            v->factors[f].u = NULL;
        }
    if (level != 1 && v->x) {
        float *x = fanin__signal_array(s, FANIN__SITES), k = sqrtf((float)level);
        for (int i = 0; x && i < FANIN__SITES * s->points; i++) x[i] = k * v->x[i];
        v->x = x;
    }
}

static void part(fanin__signal *s, int node, const fanin__value_signal *x, int rank,
                 const pick *p) {
    fanin__value_signal *v = &s->values[node];
    fanin__factor old = fanin__signal_merged(s, x, p->axis), now = old;
    copy(v, x);
    forget(v);
    v->row = v->col = NAN;
    v->attention = NULL;
    v->kept = NULL;
    now.u = pick_profile(s, &old, p);
    now.size = p->size;
    replace_axis(s, v, x, rank, &now, p->axis);
    take_part(s, v, &old, p);
    take_place(s, node, x, &old, p);
    absorb(s, v);
    v->base = v->x == x->x ? x->base : v->normal ? node + 1 : 0;
    if (v->kind == FANIN__DATA) fanin__signal_settle(s, v);
}

/* Backward along one axis: what is picked gets its gradient, the rest none. */
static void unpick(fanin__signal *s, const fanin__value_signal *x, const fanin__value_signal *v,
                   const fanin__item *it, const pick *p, fanin__item *out) {
    fanin__factor old = fanin__signal_merged(s, x, p->axis);
    int fx = x->first[p->axis], nx = x->first[p->axis + 1] - fx;
    int fv = v->first[p->axis], nv = v->first[p->axis + 1] - fv;
    if (old.role & FANIN__POSITION && nx == 1 && old.size <= 1 << 20) {
        float *u = fanin__signal_take(s, (size_t)old.size * sizeof *u);
        for (int64_t i = 0; u && i < p->size; i++) {
            int64_t at = picked(p, i);
            if (at >= 0 && at < old.size) u[at] += nv && it->u[fv] ? it->u[fv][i] : 1;
        }
        out->u[fx] = u;
    } else {
        double share = (double)p->size / (double)old.size;
        double pair = old.role & FANIN__POSITION ? share * share : share;
        out->gamma *= share;
        out->alpha *= share;
        out->beta *= pair;
        out->delta *= pair;
    }
}

/* The axis is the same in both. */
static void keep_axis(const fanin__value_signal *x, const fanin__value_signal *v, int axis,
                      const fanin__item *it, fanin__item *out) {
    int count = v->first[axis + 1] - v->first[axis];
    if (count != x->first[axis + 1] - x->first[axis]) return;
    for (int k = 0; k < count; k++) out->u[x->first[axis] + k] = it->u[v->first[axis] + k];
}

void fanin__forward_slice(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    const fanin__node *from = fanin__signal_node(s, n->inputs[0]);
    const fanin__value_signal *x = operand_of(s, node, 0);
    fanin__value_signal before = *x;
    bool some = false;
    for (int axis = 0; axis < n->rank; axis++) {
        int64_t start = n->attr.slice.start[axis], step = n->attr.slice.step[axis];
        if (start == 0 && step == 1 && n->dims[axis] == from->dims[axis]) continue;
        pick p = {axis, n->dims[axis], NULL, start, step};
        part(s, node, &before, n->rank, &p);
        before = s->values[node];
        some = true;
    }
    if (!some) s->values[node] = before, s->values[node].item_count = 0;
}

void fanin__backward_slice(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    const fanin__node *from = fanin__signal_node(s, n->inputs[0]);
    const fanin__value_signal *v = &s->values[node], *x = operand_of(s, node, 0);
    for (int i = 0; i < v->item_count; i++) {
        fanin__item item = v->items[i];
        memset(item.u, 0, sizeof item.u);
        for (int axis = 0; axis < n->rank; axis++) {
            pick p = {axis, n->dims[axis], NULL, n->attr.slice.start[axis],
                      n->attr.slice.step[axis]};
            if (n->dims[axis] == from->dims[axis])
                keep_axis(x, v, axis, &v->items[i], &item);
            else
                unpick(s, x, v, &v->items[i], &p, &item);
        }
        fanin__signal_give(s, n->inputs[0], &item);
    }
}

/* Whether the point is among the `share` that stays: other points for each key, pairs together. */
static bool stays(const fanin__signal *s, uint32_t key, double share, int point) {
    uint32_t h = ((uint32_t)(point % (s->points / 2)) + 1) * 2654435769u ^ key * 2246822519u;
    h = (h ^ h >> 15) * 2146121005u;
    return (double)(h ^ h >> 16) < share * 4294967296.0;
}

/* Whether the point is one of those that channels begin .. end - 1 of `total` gave: golden-ratio order, any share
 * of it is spread over all points. */
static bool given(const fanin__signal *s, double begin, double end, double total, int point) {
    double at = (double)((uint32_t)(point % (s->points / 2)) * 2654435769u) / 4294967296.0 * total;
    return at >= begin && at < end;
}

/* What reaches some of the channels is what reaches their points: d as it is there, 0 at the others. */
static void keep_points(fanin__signal *s, fanin__item *item, const bool *kept) {
    int n = s->points, count = 0;
    for (int i = 0; i < n; i++) count += kept[i];
    if (!item->d || !count || count == n) return;
    float *d = fanin__signal_array(s, FANIN__SITES), scale = sqrtf((float)n / (float)count);
    for (int i = 0; d && i < FANIN__SITES * n; i++) d[i] = kept[i % n] ? scale * item->d[i] : 0;
    item->d = d;
}

/* A share of the points, the rest 0; exact in the second moment. */
static void keep_share(const fanin__signal *s, uint32_t key, double share, const float *x,
                       float *y) {
    int n = s->points;
    double all = 0, kept = 0;
    for (int i = 0; i < n; i++) {
        bool keeps = stays(s, key, share, i);
        for (int site = 0; site < FANIN__SITES; site++)
            y[site * n + i] = keeps ? x[site * n + i] : 0;
        all += (double)x[i] * (double)x[i];
        kept += (double)y[i] * (double)y[i];
    }
    float scale = kept > 0 ? (float)sqrt(share * all / kept) : 0;
    for (int i = 0; i < FANIN__SITES * n; i++) y[i] *= scale;
}

/* Zeros around positions are a u of 0; around channels, points that are 0. */
void fanin__forward_pad(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    const fanin__node *from = fanin__signal_node(s, n->inputs[0]);
    fanin__value_signal *v = &s->values[node], *x = operand_of(s, node, 0);
    if (n->attr.p[0] != 0) {
        fanin__signal_fail(s, node, "padding that is not 0");
        return;
    }
    copy(v, x);
    fanin__value_signal before = *x;
    for (int axis = 0; axis < n->rank; axis++) {
        if (n->dims[axis] == from->dims[axis]) continue;
        fanin__factor old = fanin__signal_merged(s, &before, axis), now = old;
        int64_t lead = n->attr.pad.before[axis], gap = n->attr.pad.interior[axis] + 1;
        now.size = n->dims[axis];
        if (old.role & FANIN__CHANNEL && v->x) {
            float *y = fanin__signal_array(s, FANIN__SITES);
            if (y) keep_share(s, (uint32_t)node, (double)old.size / (double)now.size, v->x, y);
            v->x = y;
        } else if (now.size <= 1 << 20) {
            now.u = fanin__signal_take(s, (size_t)now.size * sizeof(float));
            for (int64_t i = 0; now.u && i < old.size; i++)
                if (lead + i * gap >= 0 && lead + i * gap < now.size)
                    now.u[lead + i * gap] = old.u ? old.u[i] : 1;
        }
        replace_axis(s, v, &before, n->rank, &now, axis);
        before.factor_count = v->factor_count;
        fanin__signal_like(&before, v);
    }
    if (v->x && v->kind == FANIN__DATA) v->m = fanin__signal_moments(s, v->x);
}

void fanin__backward_pad(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    const fanin__node *from = fanin__signal_node(s, n->inputs[0]);
    fanin__value_signal *v = &s->values[node], *x = operand_of(s, node, 0);
    bool *kept = fanin__signal_take(s, (size_t)s->points * sizeof *kept);
    if (!kept) return;
    for (int i = 0; i < s->points; i++) {
        kept[i] = true;
        for (int axis = 0; axis < n->rank; axis++)
            if (n->dims[axis] != from->dims[axis] && fanin__signal_role(x, axis) & FANIN__CHANNEL)
                kept[i] = kept[i] && stays(s, (uint32_t)node,
                                           (double)from->dims[axis] / (double)n->dims[axis], i);
    }
    for (int i = 0; i < v->item_count; i++) {
        fanin__item item = v->items[i];
        memset(item.u, 0, sizeof item.u);
        keep_points(s, &item, kept);
        for (int axis = 0; axis < n->rank; axis++) {
            fanin__factor f = fanin__signal_merged(s, v, axis);
            int fv = v->first[axis], fx = x->first[axis];
            bool single = v->first[axis + 1] - fv == 1 && x->first[axis + 1] - fx == 1;
            if (!single || !v->items[i].u[fv]) continue;
            if (n->dims[axis] == from->dims[axis]) {
                item.u[fx] = v->items[i].u[fv];
                continue;
            }
            pick p = {axis, from->dims[axis], NULL, n->attr.pad.before[axis],
                      n->attr.pad.interior[axis] + 1};
            f.u = v->items[i].u[fv];
            item.u[fx] = pick_profile(s, &f, &p);
        }
        fanin__signal_give(s, n->inputs[0], &item);
    }
}

/* ---- concatenation ---------------------------------------------------------------------------------- */

static const fanin__value_signal *largest(fanin__signal *s, int node, int axis) {
    const fanin__node *n = fanin__signal_node(s, node);
    const fanin__value_signal *best = NULL;
    int64_t size = -1;
    for (int k = 0; k < n->input_count; k++) {
        int64_t dim = fanin__signal_node(s, n->inputs[k])->dims[axis];
        if (s->values[n->inputs[k]].kind != FANIN__DATA || dim <= size) continue;
        best = &s->values[n->inputs[k]];
        size = dim;
    }
    return best;
}

/* Each part gives its share of the points, scaled so that they have its second moment. */
static void mix_channels(fanin__signal *s, int node, int axis) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node];
    int half = s->points / 2, points = s->points;
    double total = (double)n->dims[axis], begin = 0;
    for (int k = 0; k < n->input_count && v->x; k++) {
        const fanin__value_signal *x = &s->values[n->inputs[k]];
        double end = begin + (double)fanin__signal_node(s, n->inputs[k])->dims[axis];
        if (!x->x) return;
        double level = fanin__signal_level(x), sum = 0, count = 0;
        for (int pass = 0; pass < 2; pass++) {
            float scale = 1;
            if (pass) scale = sum > 0 ? (float)sqrt(x->m.q * level * count / sum) : 0;
            for (int i = 0; i < half; i++) {
                if (!given(s, begin, end, total, i)) continue;
                for (int j = i; j < points; j += half) {
                    if (!pass) sum += (double)x->x[j] * (double)x->x[j], count++;
                    for (int site = 0; pass && site < FANIN__SITES; site++)
                        v->x[site * points + j] = scale * x->x[site * points + j];
                }
            }
        }
        begin = end;
    }
}

/* The shares of what differs from position to position. */
static void mix_near(fanin__signal *s, int node, int axis) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node];
    double all = 0, near = 0, mid = 0;
    for (int k = 0; k < n->input_count; k++) {
        const fanin__value_signal *x = &s->values[n->inputs[k]];
        double size = (double)fanin__signal_node(s, n->inputs[k])->dims[axis];
        double differs = size * fmax(x->m.q - x->m.b, 0);
        all += differs;
        near += differs * x->near;
        mid += differs * x->mid;
    }
    v->near = all > 0 ? near / all : 0;
    v->mid = all > 0 ? mid / all : 0;
}

static double product_of(const float *x, const float *y, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)x[i] * (double)y[i];
    return sum / n;
}

/* Steps of a sequence put together: what two have in common is what their points have, on average over near ones:
 * what hears them one by one remembers few. */
static void join_steps(fanin__signal *s, int node, const fanin__value_signal *main) {
    enum { PAIRS = 64, NEAR = 4 };
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node];
    int count = n->input_count, points = s->points;
    if (count < 2 || count != n->dims[n->attr.axis] || fanin__signal_varies(main, FANIN__POSITION))
        return;
    double pair = 0, mean = 0;
    for (int i = 0; i < PAIRS; i++) {
        int k = i * (count - 1) / PAIRS, left = count - 1 - k;
        int l = k + 1 + i % (left < NEAR ? left : NEAR);
        const fanin__value_signal *x = &s->values[n->inputs[k]], *y = &s->values[n->inputs[l]];
        double size = sqrt(x->m.q * y->m.q);
        if (!x->x || !y->x || !(size > 0)) return;
        pair += product_of(x->x, y->x, points) / size / PAIRS;
        mean += x->m.mean * y->m.mean / size / PAIRS;
    }
    float share = (float)fmin(fmax((pair - mean) / (1 - mean), 0), 1),
          own = sqrtf(1 - share * share);
    float *x = fanin__signal_array(s, FANIN__SITES), middle = (float)main->m.mean;
    float *other = fanin__signal_shuffle(s, (uint32_t)node, main->x);
    for (int i = 0; x && other && i < FANIN__SITES * points; i++) {
        bool second = i / points & 1; /* sites B and D */
        float at = main->x[i] - middle;
        x[i] = middle + (second ? share * at + own * (other[i] - middle) : at);
    }
    v->x = x;
    v->base = 0;
    v->draw_count = -1;
}

static void concat_positions(fanin__signal *s, int node, const fanin__value_signal *main) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node];
    int axis = n->attr.axis;
    fanin__factor f = fanin__signal_merged(s, main, axis);
    f.size = n->dims[axis];
    f.role |= FANIN__POSITION;
    f.spread = false;
    f.u = f.size <= 1 << 20 ? fanin__signal_take(s, (size_t)f.size * sizeof(float)) : NULL;
    int64_t at = 0;
    for (int k = 0; k < n->input_count; k++) {
        const fanin__value_signal *x = &s->values[n->inputs[k]];
        fanin__factor p = fanin__signal_merged(s, x, axis);
        double ratio = main->m.q > 0 ? x->m.q / main->m.q : 1;
        for (int64_t i = 0; f.u && i < p.size; i++)
            f.u[at++] = (float)(ratio * (p.u ? (double)p.u[i] : 1));
    }
    v->near = main->near;
    v->mid = main->mid;
    v->x = main->x;
    v->base = main->base;
    v->normal = main->normal;
    v->draws = main->draws;
    v->draw_count = main->draw_count;
    join_steps(s, node, main);
    replace_axis(s, v, main, n->rank, &f, axis);
    if (v->x) fanin__signal_settle(s, v);
}

void fanin__forward_concat(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node];
    int axis = n->attr.axis;
    const fanin__value_signal *main = largest(s, node, axis);
    if (!main) { /* weights behind weights: entries with the moments of all */
        const fanin__value_signal *first = &s->values[n->inputs[0]];
        bool one = first->kind == FANIN__PARAM && first->weight >= 0;
        for (int k = 1; k < n->input_count; k++) {
            const fanin__value_signal *x = &s->values[n->inputs[k]];
            one = one && x->kind == FANIN__PARAM && x->weight == first->weight &&
                  x->factor == first->factor;
        }
        if (one) { /* parts of one weight in another order: gates, as exporters turn them */
            copy(v, first);
            forget(v);
            fanin__signal_axes(v, n);
            return;
        }
        double q = 0, mean = 0, total = (double)n->dims[axis];
        for (int k = 0; k < n->input_count; k++) {
            const fanin__value_signal *x = &s->values[n->inputs[k]];
            double share = (double)fanin__signal_node(s, n->inputs[k])->dims[axis] / total, known;
            fanin__weight_law law = {0};
            if (x->kind == FANIN__PARAM)
                law = fanin__signal_law(s, node, x);
            else if (fanin__signal_uniform(s->ir, n->inputs[k], &known))
                law.mean = known;
            mean += share * law.mean;
            q += share * (law.mean * law.mean + law.var);
        }
        fanin__signal_axes(v, n);
        v->kind = FANIN__PARAM;
        v->m.mean = mean;
        v->var = fmax(q - mean * mean, 0);
        return;
    }
    v->kind = FANIN__DATA;
    for (int k = 0; k < n->input_count; k++)
        if (!fanin__signal_operand(s, node, k, main)) return;
    fanin__factor f = fanin__signal_merged(s, main, axis);
    bool positions = f.size > 1 ? !(f.role & FANIN__CHANNEL) : f.role != FANIN__CHANNEL;
    if (positions) {
        concat_positions(s, node, main);
        return;
    }
    v->x = fanin__signal_array(s, FANIN__SITES);
    f.size = n->dims[axis];
    f.role |= FANIN__CHANNEL;
    replace_axis(s, v, main, n->rank, &f, axis);
    mix_channels(s, node, axis);
    mix_near(s, node, axis);
    for (int i = 0; i < v->factor_count; i++) { /* levels are in the points now; u keeps shape */
        double level = fanin__signal_mean_u(v->factors[i].u, v->factors[i].size);
        if (!v->factors[i].u || !(level > 0)) continue;
        float *u = fanin__signal_take(s, (size_t)v->factors[i].size * sizeof *u);
        for (int64_t k = 0; u && k < v->factors[i].size; k++)
            u[k] = (float)((double)v->factors[i].u[k] / level);
        v->factors[i].u = u;
    }
    if (v->x) v->m = fanin__signal_moments(s, v->x);
}

void fanin__backward_concat(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node];
    int axis = n->attr.axis;
    bool positions = !(fanin__signal_role(v, axis) & FANIN__CHANNEL);
    int64_t at = 0;
    bool *kept = fanin__signal_take(s, (size_t)s->points * sizeof *kept);
    if (!kept) return;
    for (int k = 0; k < n->input_count; k++) {
        fanin__value_signal *x = &s->values[n->inputs[k]];
        int64_t size = fanin__signal_node(s, n->inputs[k])->dims[axis];
        for (int i = 0; i < s->points; i++)
            kept[i] =
                positions || given(s, (double)at, (double)(at + size), (double)n->dims[axis], i);
        for (int i = 0; i < v->item_count && x->kind == FANIN__DATA; i++) {
            fanin__item item = v->items[i];
            memset(item.u, 0, sizeof item.u);
            keep_points(s, &item, kept);
            for (int a = 0; a < n->rank; a++) {
                int count = v->first[a + 1] - v->first[a];
                if (count != x->first[a + 1] - x->first[a]) continue;
                for (int c = 0; c < count; c++)
                    item.u[x->first[a] + c] = v->items[i].u[v->first[a] + c];
            }
            fanin__factor f = {.size = n->dims[axis], .u = v->items[i].u[v->first[axis]]};
            pick p = {axis, size, NULL, at, 1};
            if (positions && x->first[axis + 1] > x->first[axis])
                item.u[x->first[axis]] = pick_profile(s, &f, &p);
            fanin__signal_give(s, n->inputs[k], &item);
        }
        at += size;
    }
}

/* ---- gather ----------------------------------------------------------------------------------------- */

/* Rows of a table by the caller's ids: two positions share a row once in as many as there are. */
static void embed(fanin__signal *s, int node, const fanin__value_signal *table,
                  const fanin__value_signal *ids) {
    const fanin__node *n = fanin__signal_node(s, node);
    const fanin__node *t = fanin__signal_node(s, n->inputs[0]);
    const fanin__node *index = fanin__signal_node(s, n->inputs[1]);
    fanin__value_signal *v = &s->values[node];
    fanin__weight_law law = fanin__signal_law(s, node, table);
    double mm = law.mean * law.mean, same = 1 / (double)t->dims[n->attr.axis];
    fanin__signal_axes(v, n);
    v->kind = FANIN__DATA;
    for (int i = 0; i < n->rank; i++) {
        bool inside = i >= n->attr.axis && i < n->attr.axis + index->rank;
        v->factors[i].role = inside ? fanin__signal_role(ids, i - n->attr.axis) : FANIN__CHANNEL;
        if (inside && !v->factors[i].role) v->factors[i].role = FANIN__POSITION;
    }
    v->m = (fanin__sites){law.mean, mm + law.var, mm + same * law.var, mm + same * law.var,
                          mm + same * law.var};
    fanin__signal_collapse(v, &v->m);
    v->x = fanin__signal_gaussian(s, (uint32_t)node, v->m);
    fanin__signal_settle(s, v);
    fanin__signal_fresh(s, v, node);
}

static int64_t *known_index(fanin__signal *s, int id) {
    fanin__tensor t;
    const fanin__node *n = fanin__signal_node(s, id);
    if (!fanin__const_tensor(s->ir, id, &t) || n->count > 1 << 20) return NULL;
    int64_t *at = fanin__signal_take(s, (n->count + 1) * sizeof *at);
    for (size_t i = 0; at && i < n->count; i++) {
        int64_t rest = (int64_t)i, from = 0;
        for (int axis = t.rank - 1; axis >= 0; axis--) {
            from += rest % t.dims[axis] * t.strides[axis];
            rest /= t.dims[axis];
        }
        at[i] = (int64_t)fanin__signal_element(&t, from);
    }
    return at;
}

void fanin__forward_gather(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node], *x = operand_of(s, node, 0);
    const fanin__value_signal *ids = operand_of(s, node, 1);
    const fanin__node *index = fanin__signal_node(s, n->inputs[1]);
    const fanin__node *from = fanin__signal_node(s, n->inputs[0]);
    if (x->kind == FANIN__PARAM && ids->kind != FANIN__KNOWN) {
        embed(s, node, x, ids);
        return;
    }
    if (x->kind != FANIN__DATA) {
        copy(v, x);
        forget(v);
        fanin__signal_axes(v, n);
        return;
    }
    int64_t *at = ids->kind == FANIN__KNOWN ? known_index(s, n->inputs[1]) : NULL;
    for (size_t i = 0; at && i < index->count; i++)
        if (at[i] < 0) at[i] += from->dims[n->attr.axis];
    int64_t count = (int64_t)index->count;
    pick p = {n->attr.axis, count, at, at ? at[0] : 0, 1};
    if (!at) p.step = 0;
    part(s, node, x, from->rank, &p);
    fanin__value_signal flat = *v;
    if (!fanin__signal_refactor(s, v, &flat, n) && !s->failed)
        fanin__signal_fail(s, node, "axes that are mixed");
}

void fanin__backward_gather(fanin__signal *s, int node) {
    const fanin__node *n = fanin__signal_node(s, node);
    fanin__value_signal *v = &s->values[node], *x = operand_of(s, node, 0), flat;
    if (x->kind != FANIN__DATA) return;
    const fanin__node *index = fanin__signal_node(s, n->inputs[1]);
    const fanin__node *from = fanin__signal_node(s, n->inputs[0]);
    bool known = operand_of(s, node, 1)->kind == FANIN__KNOWN;
    int64_t *at = known ? known_index(s, n->inputs[1]) : NULL;
    for (size_t i = 0; at && i < index->count; i++)
        if (at[i] < 0) at[i] += from->dims[n->attr.axis];
    pick p = {n->attr.axis, (int64_t)index->count, at, 0, at ? 1 : 0};
    fanin__factor f = fanin__signal_merged(s, x, n->attr.axis);
    f.size = p.size;
    f.u = NULL;
    flat = *x;
    replace_axis(s, &flat, x, from->rank, &f, n->attr.axis);
    for (int i = 0; i < v->item_count; i++) {
        fanin__item item, out;
        fanin__signal_carry(s, v, &v->items[i], &flat, &item);
        out = item;
        memset(out.u, 0, sizeof out.u);
        for (int axis = 0; axis < from->rank; axis++) {
            if (axis == p.axis)
                unpick(s, x, &flat, &item, &p, &out);
            else
                keep_axis(x, &flat, axis, &item, &out);
        }
        fanin__signal_give(s, n->inputs[0], &out);
    }
}
