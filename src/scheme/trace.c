/* trace.c - follows an initialiser through operators that only rearrange weights, keeping track of which
 * stored axis each axis of the view is, until operators that meet what the caller feeds. */
#include <math.h>
#include <string.h>

#include "scheme/classify.h"

enum { STACK = 256, STEPS = 4096 };

/* ---- views ------------------------------------------------------------------------------------- */

static void lose(fanin__seen *s) { s->rank = -1; }

static void remove_axis(fanin__seen *s, int at) {
    for (int i = at; i + 1 < s->rank; i++) {
        s->dims[i] = s->dims[i + 1];
        s->axis[i] = s->axis[i + 1];
    }
    s->rank--;
}

static void insert_axis(fanin__seen *s, int at) {
    if (s->rank >= FANIN_MAX_RANK || at > s->rank) {
        lose(s);
        return;
    }
    for (int i = s->rank; i > at; i--) {
        s->dims[i] = s->dims[i - 1];
        s->axis[i] = s->axis[i - 1];
    }
    s->dims[at] = 1;
    s->axis[at] = -1;
    s->rank++;
}

static void see_transpose(const fanin_node *n, fanin__seen *s) {
    fanin__seen old = *s;
    const fanin_attr *a = fanin_node_attr(n, "perm");
    if (a && (a->type != FANIN_ATTR_INTS || a->count != (size_t)s->rank)) {
        lose(s);
        return;
    }
    for (int i = 0; i < old.rank; i++) {
        int64_t from = a ? a->ints[i] : old.rank - 1 - i;
        if (from < 0 || from >= old.rank) {
            lose(s);
            return;
        }
        s->dims[i] = old.dims[from];
        s->axis[i] = old.axis[from];
    }
}

static void see_unsqueeze(const fanin_graph *g, const fanin_node *n, fanin__seen *s) {
    int64_t axes[FANIN_MAX_RANK];
    int count = fanin__node_ints(g, n, "axes", 1, axes, FANIN_MAX_RANK), rank = s->rank + count;
    if (count < 0 || rank > FANIN_MAX_RANK) {
        lose(s);
        return;
    }
    for (int at = 0; at < rank; at++)
        for (int i = 0; i < count; i++)
            if ((axes[i] < 0 ? axes[i] + rank : axes[i]) == at && s->rank >= 0) insert_axis(s, at);
}

static void see_squeeze(const fanin_graph *g, const fanin_node *n, fanin__seen *s) {
    int64_t axes[FANIN_MAX_RANK];
    int count = fanin__node_ints(g, n, "axes", 1, axes, FANIN_MAX_RANK), rank = s->rank;
    for (int at = rank - 1; at >= 0; at--) {
        bool drop = count < 0 && s->dims[at] == 1;
        for (int i = 0; i < count; i++)
            if ((axes[i] < 0 ? axes[i] + rank : axes[i]) == at) drop = true;
        if (drop) remove_axis(s, at);
    }
}

/* New axes against old ones from the left: equal, merged or split runs keep their stored axis (the
 * first one, of a merged run). */
static void see_reshape(const fanin_graph *g, const fanin_node *n, fanin__seen *s) {
    int64_t dims[FANIN_MAX_RANK], total = 1, known = 1;
    int rank =
        n->input_count > 1 ? fanin__constant_ints(g, n->inputs[1], dims, FANIN_MAX_RANK) : -1;
    int guess = -1;
    for (int i = 0; i < s->rank; i++) total = s->dims[i] < 0 ? -1 : total * s->dims[i];
    for (int i = 0; i < rank; i++) {
        if (dims[i] == 0 && i < s->rank) dims[i] = s->dims[i];
        if (dims[i] == -1)
            guess = i;
        else if (dims[i] > 0 && known < INT64_MAX / dims[i])
            known *= dims[i];
    }
    if (rank < 0 || total <= 0 || known <= 0) {
        lose(s);
        return;
    }
    if (guess >= 0) dims[guess] = total / known;
    fanin__seen old = *s;
    int from = 0;
    int64_t left = 1; /* of the old axis that is being split */
    int axis = -1;
    for (int i = 0; i < rank; i++) {
        int64_t need = dims[i];
        s->dims[i] = need;
        s->axis[i] = left > 1 ? axis : -1;
        while (need > 1) {
            if (left == 1) {
                if (from == old.rank) break;
                left = old.dims[from];
                axis = old.axis[from++];
                if (s->axis[i] < 0 && left > 1) s->axis[i] = axis;
                if (left == 1) continue;
            }
            int64_t step = left < need ? left : need;
            if (left % step || need % step) {
                lose(s);
                return;
            }
            left /= step;
            need /= step;
        }
    }
    s->rank = rank;
}

/* Cutting along one axis leaves its size open. */
static void see_cut(fanin__seen *s, int64_t axis) {
    s->part = true;
    if (axis < 0) axis += s->rank;
    if (axis >= 0 && axis < s->rank) s->dims[axis] = -1;
}

static void see_slice(const fanin_graph *g, const fanin_node *n, fanin__seen *s) {
    int64_t axes[FANIN_MAX_RANK];
    int count = fanin__node_ints(g, n, "axes", 3, axes, FANIN_MAX_RANK);
    for (int i = 0; i < count; i++) see_cut(s, axes[i]);
    if (count < 0)
        for (int i = 0; i < s->rank; i++) see_cut(s, i);
}

/* Gather with a constant index: one slice (rank 0) or several. */
static void see_gather(const fanin_graph *g, const fanin_node *n, fanin__seen *s) {
    int64_t axis = fanin_node_attr_int(n, "axis", 0);
    const fanin_value *index = n->input_count > 1 ? fanin__constant(g, n->inputs[1]) : NULL;
    if (axis < 0) axis += s->rank;
    s->part = true;
    if (!index || axis < 0 || axis >= s->rank)
        lose(s);
    else if (index->rank == 0)
        remove_axis(s, (int)axis);
    else if (index->rank == 1)
        see_cut(s, axis);
    else
        lose(s);
}

static void see_expand(fanin__seen *s, int rank) {
    while (s->rank >= 0 && s->rank < rank) insert_axis(s, 0);
    for (int i = 0; i < s->rank; i++)
        if (s->dims[i] == 1) s->dims[i] = -1;
}

/* The view behind `node`; false when it does not only rearrange. */
static bool see_through(const fanin_graph *g, const fanin_node *n, int slot, fanin__seen *s) {
    bool lost = s->rank < 0;
    if (fanin__is(n, "Identity|Cast|CastLike|Dropout|AlphaDropout|Clip|Tile|Pad|QuantizeLinear|"
                     "DequantizeLinear"))
        return slot == 0;
    if (fanin__is(n, "Add|Sub|Mul|Div|Neg|Sqrt|Pow|Where|Exp|Abs|Reciprocal")) return true;
    if (fanin__is(n, "Concat")) {
        if (!lost) see_cut(s, fanin_node_attr_int(n, "axis", 0));
        return true;
    }
    if (slot != 0) return false;
    if (fanin__is(n, "Transpose")) {
        if (!lost) see_transpose(n, s);
    } else if (fanin__is(n, "Unsqueeze")) {
        if (!lost) see_unsqueeze(g, n, s);
    } else if (fanin__is(n, "Squeeze")) {
        if (!lost) see_squeeze(g, n, s);
    } else if (fanin__is(n, "Reshape|Flatten")) {
        if (!lost) see_reshape(g, n, s);
    } else if (fanin__is(n, "Slice")) {
        if (!lost) see_slice(g, n, s);
    } else if (fanin__is(n, "Split")) {
        if (!lost) see_cut(s, fanin_node_attr_int(n, "axis", 0));
    } else if (fanin__is(n, "Gather")) {
        if (!lost) see_gather(g, n, s);
    } else if (fanin__is(n, "Expand")) {
        if (!lost) see_expand(s, s->rank);
    } else {
        return false;
    }
    return true;
}

/* ---- the walk ---------------------------------------------------------------------------------- */

/* A lookup table of positions read with indices that the caller does not feed is a use, too. */
static bool is_lookup(const fanin_graph *g, const fanin_node *n, int slot, const fanin__seen *s) {
    if (!fanin__is(n, "Gather") || slot != 0 || s->rank != 2) return false;
    if (fanin_node_attr_int(n, "axis", 0) != 0 || s->part) return false;
    const fanin_value *index = n->input_count > 1 ? fanin__constant(g, n->inputs[1]) : NULL;
    return !index || index->rank >= 1;
}

/* At the operator that a reader stands for: a use, or more views to look through. */
static int arrive(fanin__wiring *w, const struct fanin__reader *r, const fanin__seen *from,
                  fanin__seen *stack, int depth, fanin__use *uses, int *total) {
    const fanin_graph *g = w->graph;
    const fanin_node *n = &g->nodes[r->node];
    bool live = false;
    for (int k = 0; k < n->output_count; k++)
        if (n->outputs[k] >= 0 && (w->live[n->outputs[k]] || w->shown[n->outputs[k]])) live = true;
    fanin__seen next = *from;
    if (live || is_lookup(g, n, r->slot, from) || !see_through(g, n, r->slot, &next)) {
        bool use = live || is_lookup(g, n, r->slot, from);
        if (use && *total < FANIN__MAX_USES) uses[*total] = (fanin__use){r->node, r->slot, *from};
        *total += use;
        return depth;
    }
    for (int k = 0; k < n->output_count && depth < STACK; k++) {
        if (n->outputs[k] < 0 || w->mark[n->outputs[k]] == w->walk) continue;
        w->mark[n->outputs[k]] = w->walk;
        next.value = n->outputs[k];
        stack[depth++] = next;
    }
    return depth;
}

int fanin__trace(fanin__wiring *w, int value, fanin__use *uses, int *total) {
    const fanin_value *v = &w->graph->values[value];
    fanin__seen stack[STACK];
    int depth = 1, steps = 0;
    stack[0] = (fanin__seen){.value = value, .rank = v->rank};
    for (int i = 0; i < v->rank; i++) {
        stack[0].dims[i] = v->dims[i];
        stack[0].axis[i] = i;
    }
    *total = 0;
    w->mark[value] = ++w->walk;
    while (depth > 0 && steps < STEPS) {
        fanin__seen from = stack[--depth];
        for (int i = w->first[from.value]; i < w->first[from.value + 1] && steps < STEPS;
             i++, steps++)
            depth = arrive(w, &w->readers[i], &from, stack, depth, uses, total);
    }
    return *total < FANIN__MAX_USES ? *total : FANIN__MAX_USES;
}
