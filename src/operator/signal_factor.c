/* signal_factor.c - axes as samples, positions and channels, and what varies along positions. */
#include <math.h>
#include <string.h>

#include "operator/signal.h"

void fanin__signal_like(fanin__value_signal *v, const fanin__value_signal *x) {
    v->near = x->near;
    v->mid = x->mid;
    v->factor_count = x->factor_count;
    memcpy(v->factors, x->factors, sizeof v->factors);
    memcpy(v->first, x->first, sizeof v->first);
}

void fanin__signal_axes(fanin__value_signal *v, const fanin__node *n) {
    v->factor_count = n->rank;
    for (int i = 0; i < n->rank; i++) {
        v->factors[i] = (fanin__factor){.size = n->dims[i]};
        v->first[i] = i;
    }
    v->first[n->rank] = n->rank;
}

unsigned fanin__signal_role(const fanin__value_signal *v, int axis) {
    unsigned role = 0;
    for (int f = v->first[axis]; f < v->first[axis + 1]; f++)
        if (v->factors[f].size > 1) role |= v->factors[f].role;
    return role;
}

bool fanin__signal_varies(const fanin__value_signal *v, unsigned role) {
    for (int f = 0; f < v->factor_count; f++)
        if (v->factors[f].size > 1 && !v->factors[f].spread && (v->factors[f].role & role))
            return true;
    return false;
}

double fanin__signal_mean_u(const float *u, int64_t n) {
    double sum = 0;
    if (!u || n < 1) return 1;
    for (int64_t i = 0; i < n; i++) sum += (double)u[i];
    return sum / (double)n;
}

double fanin__signal_mean_root(const float *u, int64_t n) {
    double sum = 0;
    if (!u || n < 1) return 1;
    for (int64_t i = 0; i < n; i++) sum += sqrt((double)u[i]);
    return sum / (double)n;
}

double fanin__signal_level(const fanin__value_signal *v) {
    double level = 1;
    for (int f = 0; f < v->factor_count; f++)
        level *= fanin__signal_mean_u(v->factors[f].u, v->factors[f].size);
    return level;
}

void fanin__signal_push(fanin__signal *s, fanin__value_signal *v, int axis, int64_t size,
                        unsigned role, float *u) {
    if (v->factor_count == FANIN__FACTORS) {
        fanin__signal_fail(s, -1, "more than 16 factors of the axes");
        return;
    }
    v->first[axis] = v->factor_count;
    v->factors[v->factor_count++] = (fanin__factor){.size = size, .role = role, .u = u};
    v->first[axis + 1] = v->factor_count;
}

/* Products of u over factors from..to-1 as one array; NULL if all are 1 or it would be large. */
static float *product(fanin__signal *s, float *const *u, const int64_t *sizes, int count,
                      int64_t *total) {
    bool some = false;
    *total = 1;
    for (int i = 0; i < count; i++) {
        *total *= sizes[i];
        some = some || u[i];
    }
    if (count == 1) return u[0];
    if (!some || *total > 1 << 20 || *total < 1) return NULL;
    float *out = fanin__signal_take(s, (size_t)*total * sizeof *out);
    if (!out) return NULL;
    for (int64_t k = 0; k < *total; k++) {
        int64_t rest = k;
        float value = 1;
        for (int i = count - 1; i >= 0; i--) {
            if (u[i]) value *= u[i][rest % sizes[i]];
            rest /= sizes[i];
        }
        out[k] = value;
    }
    return out;
}

fanin__factor fanin__signal_merged(fanin__signal *s, const fanin__value_signal *v, int axis) {
    float *u[FANIN__FACTORS];
    int64_t sizes[FANIN__FACTORS], total;
    int count = 0;
    fanin__factor out = {.size = 1, .spread = true};
    for (int f = v->first[axis]; f < v->first[axis + 1]; f++) {
        const fanin__factor *p = &v->factors[f];
        u[count] = p->u;
        sizes[count++] = p->size;
        if (p->size > 1) out.role |= p->role;
        out.spread = out.spread && (p->spread || p->size == 1);
    }
    if (count == 0) return (fanin__factor){.size = 1};
    out.u = product(s, u, sizes, count, &total);
    out.size = total;
    if (total == 1) out.spread = false;
    return out;
}

/* Spreads a product over `count` new factors by its marginal means. */
static void marginals(fanin__signal *s, const float *u, int64_t total, const int64_t *sizes,
                      int count, float **out) {
    for (int i = 0; i < count; i++) out[i] = NULL;
    if (!u) return;
    double all = fanin__signal_mean_u(u, total);
    int64_t inner = total;
    for (int i = 0; i < count; i++) {
        inner /= sizes[i];
        out[i] = fanin__signal_take(s, (size_t)sizes[i] * sizeof(float));
        if (!out[i]) return;
        for (int64_t k = 0; k < total; k++) out[i][k / inner % sizes[i]] += u[k];
        for (int64_t j = 0; j < sizes[i]; j++) {
            double share = (double)out[i][j] * (double)sizes[i] / (double)total;
            out[i][j] = (float)(i == 0 || !(all > 0) ? share : share / all);
        }
    }
}

/* ---- reshapes ------------------------------------------------------------------------------------ */

static void append(fanin__signal *s, fanin__value_signal *v, fanin__factor f) {
    if (f.size == 1) return;
    if (v->factor_count == FANIN__FACTORS)
        fanin__signal_fail(s, -1, "more than 16 factors of the axes");
    else
        v->factors[v->factor_count++] = f;
}

/* Factors stay as fine as they come; one is split where an axis ends inside it. Where sizes do not divide,
 * neighbours are joined, and their roles with them. */
bool fanin__signal_refactor(fanin__signal *s, fanin__value_signal *v,
                            const fanin__value_signal *from, const fanin__node *n) {
    fanin__factor left[FANIN__FACTORS];
    int count = 0, at = 0;
    for (int f = 0; f < from->factor_count; f++)
        if (from->factors[f].size != 1) left[count++] = from->factors[f];
    v->factor_count = 0;
    for (int axis = 0; axis < n->rank; axis++) {
        int64_t want = n->dims[axis];
        v->first[axis] = v->factor_count;
        while (want > 1 && at < count) {
            fanin__factor *f = &left[at];
            if (want % f->size == 0) {
                append(s, v, *f);
                want /= f->size;
                at++;
            } else if (f->size % want == 0) { /* the axis takes the outer part */
                fanin__factor outer = *f;
                float *u[2];
                int64_t sizes[2] = {want, f->size / want};
                marginals(s, f->u, f->size, sizes, 2, u);
                outer.size = want;
                outer.u = u[0];
                append(s, v, outer);
                f->size = sizes[1];
                f->u = u[1];
                want = 1;
            } else if (at + 1 < count) {
                left[at + 1].size *= f->size;
                left[at + 1].role |= f->role;
                left[at + 1].spread = left[at + 1].spread && f->spread;
                left[at + 1].u = NULL;
                at++;
            } else {
                return false;
            }
        }
        v->first[axis + 1] = v->factor_count;
    }
    v->first[n->rank] = v->factor_count;
    return !s->failed;
}

void fanin__signal_carry(fanin__signal *s, const fanin__value_signal *from, const fanin__item *item,
                         const fanin__value_signal *to, fanin__item *out) {
    int i = 0, j = 0;
    *out = *item;
    for (int f = 0; f < FANIN__FACTORS; f++) out->u[f] = NULL;
    while (i < from->factor_count && j < to->factor_count) {
        int i0 = i, j0 = j;
        int64_t p = from->factors[i++].size, q = to->factors[j++].size;
        while (p != q) {
            if (p < q && i < from->factor_count)
                p *= from->factors[i++].size;
            else if (q < p && j < to->factor_count)
                q *= to->factors[j++].size;
            else
                return;
        }
        float *u[FANIN__FACTORS];
        int64_t sizes[FANIN__FACTORS], total;
        for (int f = i0; f < i; f++) {
            u[f - i0] = item->u[f];
            sizes[f - i0] = from->factors[f].size;
        }
        float *all = product(s, u, sizes, i - i0, &total);
        for (int f = j0; f < j; f++) sizes[f - j0] = to->factors[f].size;
        if (j - j0 == 1)
            out->u[j0] = all;
        else
            marginals(s, all, total, sizes, j - j0, out->u + j0);
    }
}

/* ---- roles --------------------------------------------------------------------------------------- */

/* A broadcast axis beside one that has several factors is split as that one is. */
static void split_like(fanin__value_signal *v, const fanin__value_signal *with, int axis,
                       int rank) {
    int at = v->first[axis], count = with->first[axis + 1] - with->first[axis];
    if (v->first[axis + 1] - at != 1 || !v->factors[at].spread || v->factors[at].u || count < 2 ||
        v->factor_count + count - 1 > FANIN__FACTORS)
        return;
    memmove(&v->factors[at + count], &v->factors[at + 1],
            (size_t)(v->factor_count - at - 1) * sizeof v->factors[0]);
    for (int k = 0; k < count; k++) {
        v->factors[at + k] = with->factors[with->first[axis] + k];
        v->factors[at + k].spread = true;
        v->factors[at + k].u = NULL;
    }
    v->factor_count += count - 1;
    for (int i = axis + 1; i <= rank; i++) v->first[i] += count - 1;
}

/* Axes whose role is not known take it from the same axis of `with`. */
void fanin__signal_unify(fanin__value_signal *v, const fanin__value_signal *with, int rank) {
    for (int axis = 0; axis < rank; axis++) {
        unsigned role = fanin__signal_role(with, axis);
        split_like(v, with, axis, rank);
        for (int f = v->first[axis]; f < v->first[axis + 1]; f++)
            if (!v->factors[f].role) v->factors[f].role = role;
    }
}

void fanin__signal_collapse(const fanin__value_signal *v, fanin__sites *m) {
    if (!fanin__signal_varies(v, FANIN__POSITION)) {
        m->b = m->q;
        m->c = m->a;
    }
    if (!fanin__signal_varies(v, FANIN__SAMPLE)) {
        m->a = m->q;
        m->c = m->b;
    }
}

/* Where no position (sample) is left, the sites of the two are one. */
void fanin__signal_settle(fanin__signal *s, fanin__value_signal *v) {
    if (!v->x) return;
    size_t n = (size_t)s->points, bytes = n * sizeof(float);
    bool place = fanin__signal_varies(v, FANIN__POSITION);
    bool sample = fanin__signal_varies(v, FANIN__SAMPLE);
    bool copy =
        (!place && memcmp(v->x, v->x + n, bytes)) || (!sample && memcmp(v->x, v->x + 2 * n, bytes));
    if (copy) {
        float *x = fanin__signal_array(s, FANIN__SITES);
        if (!x) return;
        memcpy(x, v->x, FANIN__SITES * bytes);
        if (!place) {
            memcpy(x + n, x, bytes);
            memcpy(x + 3 * n, x + 2 * n, bytes);
        }
        if (!sample) memcpy(x + 2 * n, x, 2 * bytes);
        v->x = x;
    }
    v->m = fanin__signal_moments(s, v->x);
}
