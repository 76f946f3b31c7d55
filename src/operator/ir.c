/* ir.c - the list of nodes: memory, equal nodes found again, constants computed at once. */
#include <stdalign.h>
#include <stdio.h>
#include <string.h>

#include "operator/ir.h"
#include "operator/kernels_int.h"

/* Larger constant results stay nodes: a folded broadcast would only waste memory. */
enum { FOLD_MAX = 1 << 22, FOLD_INTEGERS_MAX = 1 << 16, BLOCK = 64 * 1024 };

struct fanin__ir_block {
    struct fanin__ir_block *next;
    size_t used, size;
    alignas(64) unsigned char data[];
};

void fanin__ir_init(fanin__ir *ir, fanin_dtype dtype) { *ir = (fanin__ir){.dtype = dtype}; }

void fanin__ir_fini(fanin__ir *ir) {
    for (struct fanin__ir_block *b = ir->blocks, *next; b; b = next) {
        next = b->next;
        fanin_free_aligned(b);
    }
    for (int i = 0; i < ir->activation_count; i++) fanin_activation_destroy(ir->activations[i]);
    fanin_free(ir->activations);
    fanin_free(ir->nodes);
    fanin_free(ir->buckets);
    *ir = (fanin__ir){0};
}

int fanin__ir_fail(fanin__ir *ir, fanin_status status, const char *format, ...) {
    if (ir->failed) return -1;
    ir->failed = true;
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fanin_err_set(&ir->err, status, "%s%s%s", ir->where, ir->where[0] ? ": " : "", text);
    return -1;
}

void *fanin__ir_take(fanin__ir *ir, size_t size) {
    size_t need;
    if (!fanin__size_add(size, 63, &need)) goto none;
    need &= ~(size_t)63;
    if (!ir->blocks || ir->blocks->size - ir->blocks->used < need) {
        size_t room = need > BLOCK ? need : BLOCK, bytes;
        if (!fanin__size_add(room, sizeof(struct fanin__ir_block), &bytes)) goto none;
        struct fanin__ir_block *b = fanin_malloc_aligned(bytes);
        if (!b) goto none;
        b->next = ir->blocks;
        b->used = 0;
        b->size = room;
        ir->blocks = b;
    }
    void *p = ir->blocks->data + ir->blocks->used;
    ir->blocks->used += need;
    return p;
none:
    fanin__ir_fail(ir, FANIN_NOMEM, "no memory for %zu bytes", size);
    return NULL;
}

const char *fanin__node_shape_text(const fanin__node *node, char buf[160]) {
    return fanin__shape_text(node->dims, node->rank, buf, 160);
}

const fanin_activation *fanin__ir_activation(fanin__ir *ir, const char *text) {
    fanin_activation *act = NULL;
    fanin_err err = {0};
    fanin_status status = fanin_activation_parse(text, &act, &err);
    if (status != FANIN_OK) {
        fanin__ir_fail(ir, status == FANIN_NOMEM ? FANIN_NOMEM : FANIN_UNSUPPORTED, "%s",
                       err.message);
        return NULL;
    }
    for (int i = 0; i < ir->activation_count; i++)
        if (!strcmp(fanin_activation_name(ir->activations[i]), fanin_activation_name(act))) {
            fanin_activation_destroy(act);
            return ir->activations[i];
        }
    fanin_activation **more = fanin_realloc(ir->activations, (size_t)ir->activation_count + 1,
                                            sizeof(fanin_activation *));
    if (!more) {
        fanin_activation_destroy(act);
        fanin__ir_fail(ir, FANIN_NOMEM, "no memory for an activation");
        return NULL;
    }
    ir->activations = more;
    more[ir->activation_count++] = act;
    return act;
}

/* ---- equal nodes ------------------------------------------------------------------------ */

static uint64_t mix(uint64_t h, const void *data, size_t size) {
    const unsigned char *p = data;
    for (; size >= 8; size -= 8, p += 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        h = (h ^ w) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 29;
    }
    for (; size; size--) h = (h ^ *p++) * UINT64_C(0x100000001b3);
    return h;
}

static size_t data_size(const fanin__node *n) {
    return n->op == FANIN__CONST ? n->count * fanin_dtype_size(n->dtype) : 0;
}

static uint64_t node_hash(const fanin__node *n) {
    uint64_t h = (uint64_t)n->op * 31 + (uint64_t)n->dtype;
    h = mix(h, n->dims, (size_t)n->rank * sizeof n->dims[0]);
    h = mix(h, n->inputs, (size_t)n->input_count * sizeof(int));
    h = mix(h, &n->attr, sizeof n->attr);
    h = mix(h, n->data, data_size(n));
    return h;
}

static bool same_node(const fanin__node *a, const fanin__node *b) {
    return a->op == b->op && a->dtype == b->dtype && a->rank == b->rank &&
           a->input_count == b->input_count &&
           !memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) &&
           (a->input_count == 0 ||
            !memcmp(a->inputs, b->inputs, (size_t)a->input_count * sizeof(int))) &&
           !memcmp(&a->attr, &b->attr, sizeof a->attr) &&
           (data_size(a) == 0 || !memcmp(a->data, b->data, data_size(a)));
}

static bool rehash(fanin__ir *ir) {
    int size = ir->bucket_count ? ir->bucket_count * 2 : 256;
    int *buckets = fanin_realloc(ir->buckets, (size_t)size, sizeof(int));
    if (!buckets) return false;
    ir->buckets = buckets;
    ir->bucket_count = size;
    for (int i = 0; i < size; i++) buckets[i] = -1;
    for (int i = 0; i < ir->count; i++) {
        int *head = &buckets[node_hash(&ir->nodes[i]) & (uint64_t)(size - 1)];
        ir->nodes[i].next = *head;
        *head = i;
    }
    return true;
}

/* Appends a node unless an equal one is there. Its inputs and data may be the caller's memory. */
static int append(fanin__ir *ir, fanin__node *n) {
    if (ir->count >= ir->bucket_count && !rehash(ir)) goto none;
    uint64_t h = node_hash(n);
    if (n->op != FANIN__RANDOM)
        for (int i = ir->buckets[h & (uint64_t)(ir->bucket_count - 1)]; i >= 0;
             i = ir->nodes[i].next)
            if (same_node(&ir->nodes[i], n)) return i;
    if (ir->count == ir->capacity) {
        int capacity = ir->capacity ? ir->capacity * 2 : 128;
        fanin__node *nodes = fanin_realloc(ir->nodes, (size_t)capacity, sizeof *nodes);
        if (!nodes) goto none;
        ir->nodes = nodes;
        ir->capacity = capacity;
    }
    int *inputs = NULL;
    if (n->input_count) {
        inputs = fanin__ir_take(ir, (size_t)n->input_count * sizeof(int));
        if (!inputs) return -1;
        memcpy(inputs, n->inputs, (size_t)n->input_count * sizeof(int));
    }
    n->inputs = inputs;
    int *head = &ir->buckets[h & (uint64_t)(ir->bucket_count - 1)];
    n->next = *head;
    ir->nodes[ir->count] = *n;
    *head = ir->count;
    return ir->count++;
none:
    return fanin__ir_fail(ir, FANIN_NOMEM, "no memory for a node");
}

/* ---- constants -------------------------------------------------------------------------- */

bool fanin__const_tensor(const fanin__ir *ir, int x, fanin__tensor *t) {
    if (x < 0) return false;
    const fanin__node *n = &ir->nodes[x];
    if (n->op == FANIN__CONST) {
        *t = fanin__tensor_packed(n, (void *)n->data);
        return true;
    }
    fanin__tensor below;
    return fanin__primitive_of(n->op)->view && fanin__const_tensor(ir, n->inputs[0], &below) &&
           fanin__view_of(n, &below, t);
}

static double element(const fanin__tensor *t, int64_t at) {
    switch (t->dtype) {
    case FANIN_F32: return (double)((const float *)t->data)[at];
    case FANIN_F64: return ((const double *)t->data)[at];
    case FANIN_I64: return (double)((const int64_t *)t->data)[at];
    default: return (double)((const unsigned char *)t->data)[at];
    }
}

bool fanin__const_value(const fanin__ir *ir, int x, double *value) {
    fanin__tensor t;
    if (x < 0 || ir->nodes[x].count != 1 || !fanin__const_tensor(ir, x, &t)) return false;
    *value = element(&t, 0);
    return true;
}

bool fanin__const_i64_values(const fanin__ir *ir, int x, int64_t *values, int max, int *count) {
    fanin__tensor t;
    if (x < 0 || ir->nodes[x].rank > 1 || ir->nodes[x].count > (size_t)max ||
        !fanin__const_tensor(ir, x, &t))
        return false;
    *count = (int)ir->nodes[x].count;
    for (int i = 0; i < *count; i++) {
        int64_t at = t.rank ? i * t.strides[0] : 0;
        values[i] = t.dtype == FANIN_I64 ? ((const int64_t *)t.data)[at] : int_of(element(&t, at));
    }
    return true;
}

static bool worth_folding(const fanin__node *n) {
    if (fanin__primitive_of(n->op)->view)
        return n->op != FANIN__BROADCAST && n->count <= FOLD_MAX
                   ? true
                   : n->dtype == FANIN_I64 && n->count <= FOLD_INTEGERS_MAX;
    return n->count <= FOLD_MAX && n->op != FANIN__RANDOM && n->op < FANIN__FUSED;
}

/* Computes a node whose operands are all constant: *id becomes the constant. */
static bool fold(fanin__ir *ir, const fanin__node *n, int *id) {
    const fanin__primitive *row = fanin__primitive_of(n->op);
    if (n->input_count == 0 || n->input_count > 16 || !worth_folding(n)) return false;
    fanin__tensor in[16], viewed;
    for (int i = 0; i < n->input_count; i++) {
        if (!fanin__const_tensor(ir, n->inputs[i], &in[i])) return false;
        if (!row->view && !(row->strided >> i & 1) && !fanin__tensor_is_packed(&in[i]))
            return false;
    }
    fanin__kernel kernel = fanin__kernel_of(ir, n);
    if (!kernel || (row->view && !fanin__view_of(n, &in[0], &viewed))) return false;
    size_t bytes;
    if (!fanin__size_mul(n->count, fanin_dtype_size(n->dtype), &bytes)) return false;
    void *data = fanin__ir_take(ir, bytes ? bytes : 1);
    if (!data) return false;
    fanin__tensor out = fanin__tensor_packed(n, data);
    kernel(n, row->view ? &viewed : in, n->input_count, &out);
    fanin__node c = {
        .op = FANIN__CONST, .dtype = n->dtype, .rank = n->rank, .count = n->count, .data = data};
    memset(&c.attr, 0, sizeof c.attr);
    memcpy(c.dims, n->dims, sizeof c.dims);
    *id = append(ir, &c);
    return true;
}

int fanin__emit_const(fanin__ir *ir, fanin_dtype dtype, int rank, const int64_t *dims,
                      const void *data) {
    if (ir->failed) return -1;
    fanin__node n = {.op = FANIN__CONST, .dtype = dtype, .rank = rank};
    memset(&n.attr, 0, sizeof n.attr);
    if (rank) memcpy(n.dims, dims, (size_t)rank * sizeof dims[0]);
    size_t bytes;
    if (!fanin__shape_count(n.dims, rank, &n.count) ||
        !fanin__size_mul(n.count, fanin_dtype_size(dtype), &bytes))
        return fanin__ir_fail(ir, FANIN_SHAPE, "the shape of a constant overflows");
    void *copy = fanin__ir_take(ir, bytes ? bytes : 1);
    if (!copy) return -1;
    if (bytes) memcpy(copy, data, bytes);
    n.data = copy;
    return append(ir, &n);
}

/* ---- emitting --------------------------------------------------------------------------- */

int fanin__emit_leaf(fanin__ir *ir, fanin__op op, int number, fanin_dtype dtype, int rank,
                     const int64_t *dims) {
    if (ir->failed) return -1;
    fanin__node n = {.op = op, .dtype = dtype, .rank = rank};
    memset(&n.attr, 0, sizeof n.attr);
    n.attr.axis = number;
    if (rank) memcpy(n.dims, dims, (size_t)rank * sizeof dims[0]);
    size_t bytes;
    if (!fanin__shape_count(n.dims, rank, &n.count) ||
        !fanin__size_mul(n.count, sizeof(double), &bytes) || bytes > PTRDIFF_MAX)
        return fanin__ir_fail(ir, FANIN_SHAPE, "a tensor with too many elements");
    return append(ir, &n);
}

static int refuse_size(fanin__ir *ir, const fanin__primitive *row, const fanin__node *n) {
    for (int i = 0; i < n->rank; i++)
        if (n->dims[i] < 0)
            return fanin__ir_fail(ir, FANIN_SHAPE,
                                  "axis %d of the result of %s would have %lld elements", i,
                                  row->name, (long long)n->dims[i]);
    return fanin__ir_fail(ir, FANIN_SHAPE, "the result of %s has too many elements", row->name);
}

int fanin__emit(fanin__ir *ir, fanin__op op, const int *inputs, int input_count,
                const fanin__op_attr *attr, int rank, const int64_t *dims) {
    if (ir->failed) return -1;
    const fanin__primitive *row = fanin__primitive_of(op);
    for (int i = 0; i < input_count; i++)
        if (inputs[i] < 0 || inputs[i] >= ir->count)
            return fanin__ir_fail(ir, FANIN_INTERNAL, "%s lacks operand %d", row->name, i);
    if (row->inputs >= 0 && row->inputs != input_count)
        return fanin__ir_fail(ir, FANIN_INTERNAL, "%s takes %d operands, not %d", row->name,
                              row->inputs, input_count);
    fanin__node n = {.op = op, .inputs = inputs, .input_count = input_count, .rank = rank};
    memset(&n.attr, 0, sizeof n.attr);
    if (attr) memcpy(&n.attr, attr, sizeof n.attr);
    if (dims && rank) memcpy(n.dims, dims, (size_t)rank * sizeof dims[0]);
    if (!row->shape(ir, &n))
        return ir->failed ? -1 : fanin__ir_fail(ir, FANIN_SHAPE, "%s", row->name);
    size_t bytes;
    if (!fanin__shape_count(n.dims, n.rank, &n.count) ||
        !fanin__size_mul(n.count, sizeof(double), &bytes) || bytes > PTRDIFF_MAX)
        return refuse_size(ir, row, &n);
    int id;
    if (fold(ir, &n, &id)) return id;
    if (ir->failed) return -1;
    if (!row->view && !fanin__kernel_of(ir, &n))
        return fanin__ir_fail(
            ir, FANIN_UNSUPPORTED, "%s on %s", row->name,
            fanin_dtype_name(n.input_count ? ir->nodes[inputs[0]].dtype : n.dtype));
    return append(ir, &n);
}
