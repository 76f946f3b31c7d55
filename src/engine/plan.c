/* plan.c - which nodes are computed, in which memory. */
#include <string.h>

#include "engine/plan.h"

static void *grow(fanin__steps *p, void *array, int count, int *capacity, size_t size) {
    if (count < *capacity) return array;
    int wanted = *capacity ? *capacity * 2 : 128;
    void *more = fanin_realloc(array, (size_t)wanted, size);
    if (!more) {
        p->failed = FANIN_NOMEM;
        return NULL;
    }
    *capacity = wanted;
    return more;
}

static int new_storage(fanin__steps *p, size_t size) {
    void *more = grow(p, p->storages, p->storage_count, &p->storage_capacity, sizeof *p->storages);
    if (!more) return -1;
    p->storages = more;
    p->storages[p->storage_count] =
        (fanin__storage){.size = size, .first = -1, .last = -1, .in_place_of = -1};
    return p->storage_count++;
}

static int new_slot(fanin__steps *p, int node, int storage, fanin__tensor tensor) {
    void *more = grow(p, p->slots, p->slot_count, &p->slot_capacity, sizeof *p->slots);
    if (!more) return -1;
    p->slots = more;
    p->slots[p->slot_count] = (fanin__slot){.node = node,
                                            .storage = storage,
                                            .packed = -1,
                                            .last = -1,
                                            .step = -1,
                                            .viewed = -1,
                                            .tensor = tensor};
    return p->slot_count++;
}

static size_t node_bytes(const fanin__node *n) { return n->count * fanin_dtype_size(n->dtype); }

static int new_step(fanin__steps *p, int node, fanin__kernel kernel, const int *in, int in_count,
                    int out) {
    void *more = grow(p, p->steps, p->step_count, &p->step_capacity, sizeof *p->steps);
    if (!more) return -1;
    p->steps = more;
    fanin__step *s = &p->steps[p->step_count];
    *s = (fanin__step){.node_id = node, .kernel = kernel, .in_count = in_count, .out_slot = out};
    s->in_slots = fanin__ir_take(p->ir, (size_t)(in_count + 1) * sizeof(int));
    s->in = fanin__ir_take(p->ir, (size_t)(in_count + 1) * sizeof(fanin__tensor));
    if (!s->in_slots || !s->in) {
        p->failed = FANIN_NOMEM;
        return -1;
    }
    for (int i = 0; i < in_count; i++) {
        s->in_slots[i] = in[i];
        p->storages[p->slots[in[i]].storage].last = p->step_count;
    }
    fanin__storage *to = &p->storages[p->slots[out].storage];
    if (to->first < 0) to->first = p->step_count;
    if (to->last < p->step_count) to->last = p->step_count;
    p->slots[out].step = p->step_count;
    return p->step_count++;
}

/* A slot with the same elements in memory of its own, packed or channels-last. */
static int copied(fanin__steps *p, int slot, bool last) {
    fanin__slot s = p->slots[slot];
    const fanin__node *n = &p->ir->nodes[s.node];
    int storage = new_storage(p, node_bytes(n));
    if (storage < 0) return -1;
    fanin__tensor t = last ? fanin__tensor_last(n, NULL) : fanin__tensor_packed(n, NULL);
    int copy = new_slot(p, s.node, storage, t);
    if (copy < 0) return -1;
    fanin__node as_copy = *n;
    as_copy.op = FANIN__COPY;
    as_copy.input_count = 0; /* typed by the result */
    int step = new_step(p, s.node, fanin__kernel_of(p->ir, &as_copy), &slot, 1, copy);
    if (step < 0) return -1;
    p->steps[step].turned = last;
    return copy;
}

static int packed(fanin__steps *p, int slot) {
    if (slot < 0 || fanin__tensor_is_packed(&p->slots[slot].tensor)) return slot;
    if (p->slots[slot].packed < 0) {
        int copy = copied(p, slot, false);
        p->slots[slot].packed = copy;
    }
    return p->slots[slot].packed;
}

static int channels_last(fanin__steps *p, int slot) {
    if (slot < 0 || fanin__tensor_is_last(&p->slots[slot].tensor)) return slot;
    if (p->slots[slot].last < 0) {
        int copy = copied(p, slot, true);
        p->slots[slot].last = copy;
    }
    return p->slots[slot].last;
}

static int place_leaf(fanin__steps *p, int id) {
    const fanin__node *n = &p->ir->nodes[id];
    int storage = new_storage(p, node_bytes(n));
    if (storage < 0) return -1;
    p->storages[storage].constant = n->op == FANIN__CONST;
    p->storages[storage].pinned = n->op != FANIN__CONST && n->op != FANIN__RANDOM;
    int slot = new_slot(p, id, storage, fanin__tensor_packed(n, NULL));
    if (slot >= 0 && n->op == FANIN__RANDOM) new_step(p, id, NULL, NULL, 0, slot);
    return slot;
}

static int place_view(fanin__steps *p, int id) {
    const fanin__node *n = &p->ir->nodes[id];
    int below = p->slot_of[n->inputs[0]];
    if (below < 0) return -1;
    fanin__tensor t;
    if (!fanin__view_of(n, &p->slots[below].tensor, &t)) {
        below = packed(p, below);
        if (below < 0) return -1;
        fanin__view_of(n, &p->slots[below].tensor, &t);
    }
    int slot = new_slot(p, id, p->slots[below].storage, t);
    if (slot >= 0) p->slots[slot].viewed = below;
    return slot;
}

static int place_step(fanin__steps *p, int id) {
    const fanin__node *n = &p->ir->nodes[id];
    const fanin__primitive *row = fanin__primitive_of(n->op);
    int few[16], *in = few;
    if (n->input_count > 16) {
        in = fanin__ir_take(p->ir, (size_t)n->input_count * sizeof(int));
        if (!in) p->failed = FANIN_NOMEM;
    }
    if (!in) return -1;
    for (int i = 0; i < n->input_count; i++)
        if ((in[i] = p->slot_of[n->inputs[i]]) < 0) return -1;
    fanin__order layout = {0};
    if (p->channels_last) layout = fanin__order_of(p, n, in);
    for (int i = 0; i < n->input_count; i++) {
        bool strided = row->strided == ~0u || (i < 32 && (row->strided >> i & 1));
        if (i < 32 && (layout.operands >> i & 1))
            in[i] = channels_last(p, in[i]);
        else if (!strided)
            in[i] = packed(p, in[i]);
        if (in[i] < 0) return -1;
    }
    int storage = new_storage(p, node_bytes(n));
    if (storage < 0) return -1;
    int slot = new_slot(p, id, storage,
                        layout.out ? fanin__tensor_last(n, NULL) : fanin__tensor_packed(n, NULL));
    if (slot < 0) return -1;
    int step = new_step(p, id, fanin__kernel_of(p->ir, n), in, n->input_count, slot);
    if (step < 0) return -1;
    p->steps[step].turned = layout.turned;
    return slot;
}

static void mark_live(fanin__steps *p, const fanin__root *roots, int count) {
    for (int i = 0; i < count; i++)
        if (roots[i].node >= 0) p->live[roots[i].node] = 1;
    for (int i = p->ir->count - 1; i >= 0; i--) {
        const fanin__node *n = &p->ir->nodes[i];
        /* inputs and weights always have memory: callers fill them */
        if (n->op == FANIN__INPUT || n->op == FANIN__WEIGHT) p->live[i] = 1;
        for (int j = 0; p->live[i] && j < n->input_count; j++) p->live[n->inputs[j]] = 1;
    }
}

/* Packed (or as it lies); for `own`, in a storage that no leaf and no earlier root has. */
static bool place_root(fanin__steps *p, fanin__root *r) {
    r->slot = r->node < 0 ? -1 : p->slot_of[r->node];
    if (r->node < 0) return true;
    if (r->slot < 0) return false;
    const fanin__storage *s = &p->storages[p->slots[r->slot].storage];
    size_t whole = node_bytes(&p->ir->nodes[r->node]);
    if (r->own && (s->pinned || s->constant || s->size != whole))
        r->slot = copied(p, r->slot, false);
    if (!r->as_it_lies || !fanin__tensor_is_last(&p->slots[r->slot].tensor))
        r->slot = packed(p, r->slot);
    if (r->slot < 0) return false;
    s = &p->storages[p->slots[r->slot].storage];
    if (!s->constant) p->storages[p->slots[r->slot].storage].pinned = true;
    return true;
}

/* The weight's storage takes the place of the gradient's. */
static void try_descend(fanin__steps *p, fanin__root *roots, int count, fanin__root *r) {
    int id = r->node, slot = r->slot;
    if (!r->descend || slot < 0 || p->ir->nodes[id].op != FANIN__MATMUL || p->slot_of[id] != slot)
        return;
    int gradient = p->slots[slot].storage, weight = p->slots[p->slot_of[r->weight]].storage;
    int step = p->slots[slot].step;
    if (p->storages[gradient].last != step || p->storages[weight].last >= step) return;
    for (int i = 0; i < count; i++)
        if (&roots[i] != r && roots[i].slot >= 0 && p->slots[roots[i].slot].storage == gradient)
            return;
    p->storages[gradient] = (fanin__storage){.first = -1, .last = -1, .in_place_of = -1};
    p->slots[slot].storage = weight;
    p->steps[step].descends = true;
    r->slot = -1;
}

/* ---- what directions move --------------------------------------------------------------- */

static bool moves(const fanin__steps *p, const fanin__node *n, const char *marks) {
    if (n->op == FANIN__INPUT) return n->attr.axis >= p->first_direction;
    for (int i = 0; i < n->input_count; i++)
        if (marks[n->inputs[i]]) return true;
    return false;
}

/* Marks the steps that depend on a direction and pins what others make for them. */
static bool keep_the_rest(fanin__steps *p) {
    char *marks = fanin_calloc((size_t)p->ir->count + 1, 1);
    if (!marks) return false;
    for (int i = 0; i < p->ir->count; i++) marks[i] = moves(p, &p->ir->nodes[i], marks);
    for (int i = 0; i < p->step_count; i++) p->steps[i].moves = marks[p->steps[i].node_id];
    fanin_free(marks);
    for (int i = 0; i < p->step_count; i++)
        for (int k = 0; p->steps[i].moves && k < p->steps[i].in_count; k++) {
            fanin__storage *s = &p->storages[p->slots[p->steps[i].in_slots[k]].storage];
            if (s->first >= 0 && !p->steps[s->first].moves) s->pinned = true;
        }
    return true;
}

/* ---- writing over operands -------------------------------------------------------------- */

static bool elementwise(fanin__op op) {
    return op == FANIN__MAP || op == FANIN__MAPMUL || op == FANIN__BINARY ||
           op == FANIN__NORM_APPLY || op == FANIN__SOFTMAX;
}

/* Do both walk through all of their memory in the same order? */
static bool same_order(const fanin__tensor *a, const fanin__tensor *b) {
    return (fanin__tensor_is_packed(a) && fanin__tensor_is_packed(b)) ||
           (fanin__tensor_is_last(a) && fanin__tensor_is_last(b));
}

/* May `step` write over operand i? Its storage must die here, be exactly as large, be read in the
 * result's own order only, and hold elements of the same size. */
static bool may_take_over(const fanin__steps *p, int step, int i) {
    const fanin__step *s = &p->steps[step];
    const fanin__slot *in = &p->slots[s->in_slots[i]], *out = &p->slots[s->out_slot];
    const fanin__storage *from = &p->storages[in->storage], *to = &p->storages[out->storage];
    if (from->pinned || from->constant || from->last != step || from->size != to->size ||
        fanin_dtype_size(in->tensor.dtype) != fanin_dtype_size(out->tensor.dtype))
        return false;
    for (int k = 0; k < s->in_count; k++) {
        const fanin__slot *other = &p->slots[s->in_slots[k]];
        if (other->storage == in->storage &&
            (!same_order(&other->tensor, &out->tensor) ||
             p->ir->nodes[other->node].count != p->ir->nodes[out->node].count))
            return false;
    }
    return true;
}

static void find_in_place(fanin__steps *p) {
    for (int step = 0; step < p->step_count; step++) {
        const fanin__step *s = &p->steps[step];
        fanin__storage *to = &p->storages[p->slots[s->out_slot].storage];
        if (to->pinned || s->kernel == NULL || !elementwise(p->ir->nodes[s->node_id].op) ||
            p->slots[s->out_slot].tensor.rank != p->ir->nodes[s->node_id].rank)
            continue;
        for (int i = 0; i < s->in_count; i++)
            if (may_take_over(p, step, i)) {
                to->in_place_of = p->slots[s->in_slots[i]].storage;
                break;
            }
    }
}

/* ---- all together ----------------------------------------------------------------------- */

static bool bind_data(fanin__steps *p) {
    for (int i = 0; i < p->storage_count; i++)
        p->storages[i].data = p->storages[i].constant ? NULL : p->arena + p->storages[i].offset;
    for (int i = 0; i < p->slot_count; i++) {
        fanin__slot *s = &p->slots[i];
        const fanin__node *n = &p->ir->nodes[s->node];
        if (s->viewed >= 0) {
            fanin__tensor t;
            fanin__view_of(n, &p->slots[s->viewed].tensor, &t);
            s->tensor = t;
        } else {
            s->tensor.data =
                p->storages[s->storage].constant ? (void *)n->data : p->storages[s->storage].data;
        }
    }
    for (int i = 0; i < p->step_count; i++) {
        fanin__step *s = &p->steps[i];
        s->node = &p->ir->nodes[s->node_id];
        for (int k = 0; k < s->in_count; k++) s->in[k] = p->slots[s->in_slots[k]].tensor;
        s->out = p->slots[s->out_slot].tensor;
        if (!s->turned) continue;
        s->node = fanin__turn_node(p->ir, s->node);
        for (int k = 0; k < s->in_count; k++) fanin__turn_tensor(&s->in[k]);
        fanin__turn_tensor(&s->out);
        if (!s->node) return false;
    }
    return true;
}

fanin_status fanin__steps_create(fanin__steps *p, fanin__ir *ir, fanin__root *roots, int root_count,
                                 fanin_err *err) {
    *p = (fanin__steps){
        .ir = ir, .channels_last = p->channels_last, .first_direction = p->first_direction};
    p->live = fanin_calloc((size_t)ir->count + 1, 1);
    p->slot_of = fanin_calloc((size_t)ir->count + 1, sizeof(int));
    if (!p->live || !p->slot_of) goto none;
    mark_live(p, roots, root_count);
    for (int i = 0; i < ir->count; i++) {
        const fanin__node *n = &ir->nodes[i];
        p->slot_of[i] = -1;
        if (!p->live[i]) continue;
        p->slot_of[i] = n->input_count == 0                ? place_leaf(p, i)
                        : fanin__primitive_of(n->op)->view ? place_view(p, i)
                                                           : place_step(p, i);
        if (p->slot_of[i] < 0 || p->failed) goto none;
    }
    for (int i = 0; i < root_count; i++)
        if (!place_root(p, &roots[i])) goto none;
    for (int i = 0; i < root_count; i++) try_descend(p, roots, root_count, &roots[i]);
    if (p->first_direction && !keep_the_rest(p)) goto none;
    find_in_place(p);
    if (fanin__memory_plan(p->storages, p->storage_count, p->step_count, &p->arena_size)) goto none;
    for (int i = 0; i < p->slot_count; i++) {
        fanin__op op = ir->nodes[p->slots[i].node].op;
        if (op == FANIN__WEIGHT && p->slots[i].viewed < 0 && p->slots[i].step < 0)
            p->leaf_size += p->storages[p->slots[i].storage].size;
    }
    /* weights and inputs start as 0; memory fresh from the system costs nothing until it is used */
    p->arena = fanin_calloc_aligned(p->arena_size ? p->arena_size : 64);
    if (!p->arena || !bind_data(p)) goto none;
    return FANIN_OK;
none:
    return fanin_err_set(err, FANIN_NOMEM, "no memory for the plan or its %zu bytes",
                         p->arena_size);
}

void fanin__steps_fini(fanin__steps *p) {
    for (int i = 0; i < p->step_count; i++)
        if (p->steps[i].fast_destroy) p->steps[i].fast_destroy(p->steps[i].fast_state);
    fanin_free(p->steps);
    fanin_free(p->slots);
    fanin_free(p->storages);
    fanin_free(p->slot_of);
    fanin_free(p->live);
    fanin_free_aligned(p->arena);
    *p = (fanin__steps){0};
}
