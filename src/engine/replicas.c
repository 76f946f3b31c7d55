/* replicas.c - many networks in one program: blocks, arenas, and what callers see of them. */
#include <sched.h>
#include <string.h>

#include "compute/compute.h"
#include "engine/replicas.h"
#include "engine/vmap.h"

/* An arena should leave the second-level cache room for weights' optimiser state and the first-level
 * one a chance: XOR-sized networks get hundreds of lanes, wide ones the sixteen of one vector. */
enum { ARENA_GOAL = 96 << 10 };

/* ---- arenas ----------------------------------------------------------------------------- */

static void arena_fini(fanin__lanes *l) {
    fanin__steps_fini(&l->plan);
    fanin_free(l->roots);
}

static fanin_status arena_init(const fanin_program *p, struct fanin__replicas *r, fanin__lanes *l,
                               fanin_err *err) {
    size_t roots = (size_t)p->root_count;
    atomic_flag_clear(&l->busy);
    l->roots = fanin_calloc(roots + 1, sizeof *l->roots);
    if (!l->roots) return fanin_err_set(err, FANIN_NOMEM, "no memory for replicas");
    for (size_t i = 0; i < roots; i++) {
        l->roots[i] = (fanin__root){.node = r->root_node[i], .own = p->roots[i].own, .slot = -1};
    }
    FANIN_TRY(fanin__steps_create(&l->plan, &r->ir, l->roots, p->root_count, err));
    if (r->ir.dtype == FANIN_F32 && !p->options.reference) fanin__fast_choose_lanes(&l->plan);
    return FANIN_OK;
}

fanin__lanes *fanin__lanes_claim(const fanin_program *p) {
    struct fanin__replicas *r = p->replicas;
    for (;;) {
        for (size_t i = 0; i < r->arena_count; i++)
            if (!atomic_flag_test_and_set(&r->arenas[i].busy)) return &r->arenas[i];
        sched_yield(); /* more threads than at creation: the others come back */
    }
}

void fanin__lanes_release(fanin__lanes *l) { atomic_flag_clear(&l->busy); }

/* ---- creation --------------------------------------------------------------------------- */

static void mark_wanted(const fanin_program *p, char *wanted) {
    for (int i = 0; i < p->root_count; i++)
        if (p->roots[i].node >= 0) wanted[p->roots[i].node] = 1;
    for (int i = p->ir.count - 1; i >= 0; i--) {
        const fanin__node *n = &p->ir.nodes[i];
        if (n->op == FANIN__INPUT || n->op == FANIN__WEIGHT) wanted[i] = 1;
        for (int j = 0; wanted[i] && j < n->input_count; j++) wanted[n->inputs[j]] = 1;
    }
}

/* Every replica has weights of its own; directions and cotangents, which are numbered behind the inputs and
 * the target; and those two where asked for. */
static void mark_many(const fanin_program *p, char *many) {
    for (int i = 0; i < p->ir.count; i++) {
        const fanin__node *n = &p->ir.nodes[i];
        many[i] =
            n->op == FANIN__WEIGHT ||
            (n->op == FANIN__INPUT && (p->options.replica_inputs || n->attr.axis > p->input_count));
    }
}

/* Gradients are of every replica, those too that depend on nothing (a step function's: always 0): an update
 * of all lanes reads one of each. */
static void place_roots(const fanin_program *p, struct fanin__replicas *r) {
    for (int i = 0; i < p->root_count; i++) {
        int node = p->roots[i].node;
        r->root_node[i] = node < 0 ? -1 : r->node_of[node];
        r->root_many[i] = node >= 0 && r->many[node];
        if (node < 0 || !p->roots[i].own || r->root_many[i]) continue;
        r->root_node[i] = fanin__vmap_widen(&r->ir, r->root_node[i], (int64_t)r->lanes);
        r->root_many[i] = 1;
    }
}

/* The ir for `lanes` and one arena. */
static fanin_status rewrite(fanin_program *p, struct fanin__replicas *r, size_t lanes,
                            fanin_err *err) {
    char *wanted = fanin_calloc((size_t)p->ir.count + 1, 1);
    if (!wanted) return fanin_err_set(err, FANIN_NOMEM, "no memory for replicas");
    mark_wanted(p, wanted);
    mark_many(p, r->many);
    fanin__ir_fini(&r->ir);
    fanin__ir_init(&r->ir, p->ir.dtype);
    r->lanes = lanes;
    fanin_status status = fanin__vmap(&p->ir, &r->ir, (int64_t)lanes, wanted, r->many, r->node_of);
    fanin_free(wanted);
    if (status == FANIN_OK) place_roots(p, r);
    if (r->ir.failed) return fanin_err_set(err, r->ir.err.status, "%s", r->ir.err.message);
    return arena_init(p, r, &r->arenas[0], err);
}

/* As many lanes as fit the goal, but not so many that a thread has no block. */
static size_t choose_lanes(const struct fanin__replicas *r) {
    size_t each = r->arenas[0].plan.arena_size / r->lanes + 1, lanes = FANIN__LANES_MIN;
    size_t share = (r->count + r->arena_count - 1) / r->arena_count;
    while (2 * lanes <= FANIN__LANES_MAX && 2 * lanes * each <= ARENA_GOAL && lanes < share)
        lanes *= 2;
    return lanes;
}

/* What callers see, in one block: leaves, then results with the axis of replicas in front. */
static bool make_visible(const fanin_program *p, struct fanin__replicas *r) {
    r->leaves = fanin_calloc((size_t)p->ir.count + 1, sizeof *r->leaves);
    r->results = fanin_calloc((size_t)p->root_count + 1, sizeof *r->results);
    if (!r->leaves || !r->results) return false;
    size_t total = 0, bytes;
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 1 && !(r->visible = fanin_calloc(total + 1, 1))) return false;
        total = 0;
        for (int i = 0; i < p->ir.count + p->root_count; i++) {
            int node = i < p->ir.count ? i : p->roots[i - p->ir.count].node;
            if (node < 0) continue;
            const fanin__node *n = &p->ir.nodes[node];
            if (i < p->ir.count && n->op != FANIN__INPUT && n->op != FANIN__WEIGHT) continue;
            bool many = i >= p->ir.count || r->many[i];
            if (!fanin__size_mul(n->count * fanin_dtype_size(n->dtype), many ? r->count : 1,
                                 &bytes) ||
                bytes > PTRDIFF_MAX / 2 - total)
                return false;
            void **at = i < p->ir.count ? &r->leaves[i] : &r->results[i - p->ir.count];
            if (pass == 1) *at = r->visible + total;
            total += (bytes + 63) & ~(size_t)63;
        }
    }
    return true;
}

fanin_status fanin__replicas_create(fanin_program *p, fanin_err *err) {
    struct fanin__replicas *r = fanin_calloc(1, sizeof *r);
    if (!r) return fanin_err_set(err, FANIN_NOMEM, "no memory for replicas");
    p->replicas = r;
    size_t nodes = (size_t)p->ir.count;
    r->count = (size_t)p->options.replicas;
    r->many = fanin_calloc(nodes + 1, 1);
    r->node_of = fanin_calloc(nodes + 1, sizeof *r->node_of);
    r->root_node = fanin_calloc((size_t)p->root_count + 1, sizeof *r->root_node);
    r->root_many = fanin_calloc((size_t)p->root_count + 1, 1);
    r->arena_count = fanin_threads();
    r->arenas = fanin_calloc(r->arena_count, sizeof *r->arenas);
    fanin__ir_init(&r->ir, p->ir.dtype);
    if (!r->many || !r->node_of || !r->root_node || !r->root_many || !r->arenas)
        return fanin_err_set(err, FANIN_NOMEM, "no memory for replicas");
    FANIN_TRY(rewrite(p, r, FANIN__LANES_MIN, err));
    size_t lanes = choose_lanes(r);
    if (lanes != FANIN__LANES_MIN) {
        arena_fini(&r->arenas[0]);
        memset(&r->arenas[0], 0, sizeof r->arenas[0]);
        FANIN_TRY(rewrite(p, r, lanes, err));
    }
    r->blocks = (r->count + r->lanes - 1) / r->lanes;
    if (r->arena_count > r->blocks) r->arena_count = r->blocks;
    for (size_t i = 1; i < r->arena_count; i++) FANIN_TRY(arena_init(p, r, &r->arenas[i], err));
    if (!make_visible(p, r))
        return fanin_err_set(err, FANIN_NOMEM, "no memory for the weights of %zu replicas",
                             r->count);
    return FANIN_OK;
}

void fanin__replicas_destroy(struct fanin__replicas *r) {
    if (!r) return;
    for (size_t i = 0; r->arenas && i < r->arena_count; i++) arena_fini(&r->arenas[i]);
    fanin__ir_fini(&r->ir);
    fanin_free(r->arenas);
    fanin_free(r->many);
    fanin_free(r->node_of);
    fanin_free(r->root_node);
    fanin_free(r->root_many);
    fanin_free(r->leaves);
    fanin_free(r->results);
    fanin_free(r->visible);
    fanin_free(r);
}

/* ---- what callers see ------------------------------------------------------------------- */

static fanin_buffer visible(const fanin_program *p, void *data, const fanin__node *n, bool many) {
    fanin_buffer b = {.data = data, .count = n->count, .dtype = n->dtype};
    if (!data) return (fanin_buffer){0};
    if (many) {
        b.dims[b.rank++] = p->options.replicas;
        b.count *= p->replicas->count;
    }
    memcpy(b.dims + b.rank, n->dims, (size_t)n->rank * sizeof b.dims[0]);
    b.rank += n->rank;
    return b;
}

fanin_buffer fanin__replicas_leaf(const fanin_program *p, int node) {
    if (node < 0) return (fanin_buffer){0};
    return visible(p, p->replicas->leaves[node], &p->ir.nodes[node], p->replicas->many[node]);
}

fanin_buffer fanin__replicas_result(const fanin_program *p, int root) {
    if (root < 0 || p->roots[root].node < 0) return (fanin_buffer){0};
    return visible(p, p->replicas->results[root], &p->ir.nodes[p->roots[root].node], true);
}

static fanin__lanes_array lanes_leaf(const fanin_program *p, const fanin__lanes *l, int node) {
    const struct fanin__replicas *r = p->replicas;
    if (node < 0 || r->node_of[node] < 0) return (fanin__lanes_array){0};
    const fanin__slot *s = &l->plan.slots[l->plan.slot_of[r->node_of[node]]];
    return (fanin__lanes_array){s->tensor.data, p->ir.nodes[node].count, r->many[node]};
}

static fanin__lanes_array lanes_result(const fanin_program *p, const fanin__lanes *l, int root) {
    if (root < 0 || l->roots[root].slot < 0) return (fanin__lanes_array){0};
    int node = p->roots[root].node;
    return (fanin__lanes_array){l->plan.slots[l->roots[root].slot].tensor.data,
                                p->ir.nodes[node].count, p->replicas->root_many[root]};
}

fanin__lanes_array fanin__lanes_get(const fanin_program *p, const fanin__lanes *l,
                                    fanin__lanes_what what, int i) {
    switch (what) {
    case FANIN__LANES_WEIGHT: return lanes_leaf(p, l, p->weights[i].node);
    case FANIN__LANES_GRADIENT: return lanes_result(p, l, p->weights[i].gradient);
    case FANIN__LANES_STATISTIC: return lanes_result(p, l, p->weights[i].statistic);
    case FANIN__LANES_DIRECTION: return lanes_leaf(p, l, p->weights[i].direction);
    case FANIN__LANES_CURVATURE: return lanes_result(p, l, p->weights[i].curvature);
    case FANIN__LANES_INPUT: return lanes_leaf(p, l, p->inputs[i].node);
    case FANIN__LANES_OUTPUT: return lanes_result(p, l, p->outputs[i]);
    case FANIN__LANES_TARGET: return lanes_leaf(p, l, p->target);
    case FANIN__LANES_LOSS: return lanes_result(p, l, p->loss_root);
    }
    return (fanin__lanes_array){0};
}

/* ---- transposing ------------------------------------------------------------------------ */

static void transposed(size_t rows, size_t columns, size_t row, size_t out_row, size_t size,
                       const char *from, char *to) {
    if (size == sizeof(float)) {
        fanin__kernels_best()->transpose(rows, columns, (const float *)from, row, (float *)to,
                                         out_row);
        return;
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < columns; k++)
            memcpy(to + (k * out_row + i) * size, from + (i * row + k) * size, size);
}

void fanin__lanes_gather(size_t lanes, size_t present, size_t count, size_t size, const void *from,
                         void *to) {
    if (present < lanes) memset(to, 0, count * lanes * size);
    transposed(present, count, count, lanes, size, from, to);
}

void fanin__lanes_scatter(size_t lanes, size_t present, size_t count, size_t size, const void *from,
                          void *to) {
    transposed(count, present, lanes, count, size, from, to);
}

/* ---- running ---------------------------------------------------------------------------- */

/* Lane l draws what a program of seed + first + l draws. */
static void fill_uniform(const fanin_program *p, const fanin__step *s, uint64_t first,
                         uint64_t run) {
    size_t lanes = p->replicas->lanes, count = s->node->count / lanes;
    uint64_t key[FANIN__LANES_MAX];
    for (size_t l = 0; l < lanes; l++)
        key[l] = fanin__uniform_key(p->options.seed + first + l, run, s->node->attr.axis);
    for (size_t i = 0; i < count; i++)
        for (size_t l = 0; l < lanes; l++) {
            double u = fanin__uniform_at(key[l], i);
            if (s->node->dtype == FANIN_F32)
                ((float *)s->out.data)[i * lanes + l] = (float)u;
            else
                ((double *)s->out.data)[i * lanes + l] = u;
        }
}

fanin_status fanin__lanes_run(const fanin_program *p, fanin__lanes *l, uint64_t first, uint64_t run,
                              fanin_err *err) {
    for (int i = 0; i < l->plan.step_count; i++) {
        fanin__step *s = &l->plan.steps[i];
        if (s->fast)
            FANIN_TRY(s->fast(s, NULL, err));
        else if (s->kernel)
            s->kernel(s->node, s->in, s->in_count, &s->out);
        else
            fill_uniform(p, s, first, run);
    }
    return FANIN_OK;
}

static void load_leaves(const fanin_program *p, fanin__lanes *l, size_t first, size_t present) {
    const struct fanin__replicas *r = p->replicas;
    for (int i = 0; i < p->ir.count; i++) {
        if (!r->leaves[i]) continue;
        fanin__lanes_array to = lanes_leaf(p, l, i);
        size_t size = fanin_dtype_size(p->ir.nodes[i].dtype), bytes = to.count * size;
        if (to.many)
            fanin__lanes_gather(r->lanes, present, to.count, size,
                                (const char *)r->leaves[i] + first * bytes, to.data);
        else
            memcpy(to.data, r->leaves[i], bytes);
    }
}

static void store_results(const fanin_program *p, fanin__lanes *l, size_t first, size_t present) {
    const struct fanin__replicas *r = p->replicas;
    for (int i = 0; i < p->root_count; i++) {
        fanin__lanes_array from = lanes_result(p, l, i);
        if (!from.data) continue;
        size_t size = fanin_dtype_size(p->ir.nodes[p->roots[i].node].dtype);
        size_t bytes = from.count * size;
        char *to = (char *)r->results[i] + first * bytes;
        if (from.many)
            fanin__lanes_scatter(r->lanes, present, from.count, size, from.data, to);
        else
            for (size_t k = 0; k < present; k++) memcpy(to + k * bytes, from.data, bytes);
    }
}

typedef struct pass {
    const fanin_program *program;
    _Atomic int status; /* of the last block that failed */
} pass;

static void run_blocks(void *arg, size_t begin, size_t end) {
    pass *j = arg;
    const fanin_program *p = j->program;
    const struct fanin__replicas *r = p->replicas;
    fanin__lanes *l = fanin__lanes_claim(p);
    for (size_t b = begin; b < end; b++) {
        size_t first = b * r->lanes;
        size_t present = r->count - first < r->lanes ? r->count - first : r->lanes;
        load_leaves(p, l, first, present);
        fanin_status status = fanin__lanes_run(p, l, first, p->runs, NULL);
        if (status != FANIN_OK) atomic_store(&j->status, (int)status);
        store_results(p, l, first, present);
    }
    fanin__lanes_release(l);
}

fanin_status fanin__replicas_run(fanin_program *p, fanin_err *err) {
    pass j = {.program = p};
    atomic_init(&j.status, FANIN_OK);
    fanin_parallel_for(p->replicas->blocks, 1, run_blocks, &j);
    fanin_status status = (fanin_status)atomic_load(&j.status);
    return status == FANIN_OK ? status
                              : fanin_err_set(err, status, "a step of the replicas failed");
}
