/* builder.c - collects values and nodes. The first failure is kept; later calls do nothing and _finish
 * (finish.c) reports it. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "graph/builder.h"

enum { MAX_COUNT = INT_MAX / 4 };

fanin_status fanin_graph_builder_create(const char *name, int opset,
                                        fanin_graph_builder **builder) {
    *builder = NULL;
    fanin_graph_builder *b = fanin_calloc(1, sizeof *b);
    if (!b) return FANIN_NOMEM;
    b->owner = fanin_calloc(1, sizeof *b->owner);
    b->opset = opset;
    if (b->owner) {
        b->name = fanin__arena_strdup(&b->owner->arena, name ? name : "");
        b->producer = fanin__arena_strdup(&b->owner->arena, "fanin");
    }
    if (!b->name || !b->producer) {
        fanin_graph_builder_destroy(b);
        return FANIN_NOMEM;
    }
    *builder = b;
    return FANIN_OK;
}

void fanin_graph_builder_destroy(fanin_graph_builder *b) {
    if (!b) return;
    fanin__graph_owner_destroy(b->owner);
    fanin_free(b->values);
    fanin_free(b->nodes);
    fanin_free(b->inputs);
    fanin_free(b->outputs);
    fanin__text_fini(&b->notes);
    fanin_free(b);
}

/* ---- failures, notes, settings ----------------------------------------------------------------- */

void fanin__graph_fail(fanin_graph_builder *b, fanin_status status, const char *format, ...) {
    if (b->err.status != FANIN_OK) return;
    b->err.status = status;
    va_list args;
    va_start(args, format);
    int n = b->name[0] ? snprintf(b->err.message, sizeof b->err.message, "%s: ", b->name) : 0;
    if (n >= 0 && (size_t)n < sizeof b->err.message)
        vsnprintf(b->err.message + n, sizeof b->err.message - (size_t)n, format, args);
    va_end(args);
}

void fanin__graph_fail_with(fanin_graph_builder *b, const fanin_err *err) {
    if (b->err.status == FANIN_OK) b->err = *err;
}

void fanin__graph_fail_memory(fanin_graph_builder *b) {
    if (b->owner->arena.over)
        fanin__graph_fail(b, FANIN_LIMIT, "a graph of more than %zu MB in a file of %.6g MB",
                          b->limit >> 20, (double)b->file_size / 1e6);
    fanin__graph_fail(b, FANIN_NOMEM, "no memory for a graph of %d values", b->value_count);
}

fanin_status fanin__graph_status(const fanin_graph_builder *b) { return b->err.status; }

static bool failed(const fanin_graph_builder *b) { return b->err.status != FANIN_OK; }

void fanin__graph_note(fanin_graph_builder *b, const char *format, ...) {
    if (failed(b)) return;
    va_list args;
    va_start(args, format);
    if (b->notes.length) fanin__text_puts(&b->notes, "\n");
    fanin__text_vprintf(&b->notes, format, args);
    va_end(args);
    if (b->notes.failed) fanin__graph_fail_memory(b);
}

void fanin__graph_set_producer(fanin_graph_builder *b, const char *producer) {
    const char *copy = fanin__arena_strdup(&b->owner->arena, producer);
    if (copy)
        b->producer = copy;
    else
        fanin__graph_fail_memory(b);
}

void fanin__graph_set_opset(fanin_graph_builder *b, int opset) { b->opset = opset; }

void fanin__graph_set_source(fanin_graph_builder *b, const void *data, size_t size) {
    b->owner->source = data;
    b->owner->source_size = size;
}

fanin__arena *fanin__graph_arena(fanin_graph_builder *b) { return &b->owner->arena; }

void fanin__graph_own_map(fanin_graph_builder *b, fanin__map *map) {
    fanin__graph_owner *o = b->owner;
    fanin__map *maps = fanin_realloc(o->maps, o->map_count + 1, sizeof *maps);
    if (maps) {
        o->maps = maps;
        o->maps[o->map_count++] = *map;
    } else {
        fanin__map_close(map);
        fanin__graph_fail_memory(b);
    }
    *map = (fanin__map){0};
}

/* ---- growing arrays ---------------------------------------------------------------------------- */

/* What is not in the arena. */
static size_t held_outside(const fanin_graph_builder *b) {
    return b->owner->slot_count * sizeof *b->owner->slots +
           (size_t)b->value_capacity * sizeof *b->values +
           (size_t)b->node_capacity * sizeof *b->nodes +
           (size_t)(b->input_capacity + b->output_capacity) * sizeof(int);
}

void fanin__graph_set_limit(fanin_graph_builder *b, size_t bytes, size_t file_size) {
    b->limit = bytes;
    b->file_size = file_size;
    b->owner->arena.limit = bytes;
}

/* May `more` bytes be taken outside the arena? What is taken there the arena must do without. */
static bool allowed(fanin_graph_builder *b, size_t more) {
    if (!b->limit) return true;
    size_t outside = held_outside(b) + more;
    if (outside < b->limit && b->owner->arena.total <= b->limit - outside) {
        b->owner->arena.limit = b->limit - outside;
        return true;
    }
    b->owner->arena.over = true;
    fanin__graph_fail_memory(b);
    return false;
}

/* Room for one more of `count`; grows by half, so at most a third is slack. */
static bool grow(fanin_graph_builder *b, void *array_pointer, int count, int *capacity,
                 size_t size) {
    if (count < *capacity) return true;
    if (count >= MAX_COUNT) {
        fanin__graph_fail(b, FANIN_LIMIT, "more than %d values or nodes", MAX_COUNT);
        return false;
    }
    int more = *capacity + *capacity / 2 + 16;
    if (!allowed(b, (size_t)(more - *capacity) * size)) return false;
    void *old;
    memcpy(&old, array_pointer, sizeof old);
    void *p = fanin_realloc(old, (size_t)more, size);
    if (!p) {
        fanin__graph_fail_memory(b);
        return false;
    }
    memcpy(array_pointer, &p, sizeof p);
    *capacity = more;
    return true;
}

static void append_index(fanin_graph_builder *b, int **list, int *count, int *capacity, int value) {
    if (!grow(b, list, *count, capacity, sizeof **list)) return;
    (*list)[(*count)++] = value;
}

/* ---- values ------------------------------------------------------------------------------------ */

bool fanin__graph_is_defined(const fanin_graph_builder *b, int value) {
    const fanin_value *v = &b->values[value];
    const unsigned stored = FANIN_VALUE_INPUT | FANIN_VALUE_INITIALIZER | FANIN_VALUE_CONSTANT;
    return v->producer >= 0 || (v->flags & stored);
}

const fanin_value *fanin__graph_value(const fanin_graph_builder *b, int value) {
    return &b->values[value];
}

int fanin__graph_value_count(const fanin_graph_builder *b) { return b->value_count; }

const fanin_node *fanin__graph_node_at(const fanin_graph_builder *b, int node) {
    return &b->nodes[node];
}

int fanin__graph_node_count(const fanin_graph_builder *b) { return b->node_count; }

static int new_value(fanin_graph_builder *b, const char *name, size_t n) {
    if (failed(b) || !grow(b, &b->values, b->value_count, &b->value_capacity, sizeof *b->values))
        return -1;
    /* Twice: the old table lives until the new one is filled. */
    if (!allowed(b, 2 * b->owner->slot_count * sizeof *b->owner->slots)) return -1;
    const char *copy = fanin__arena_strndup(&b->owner->arena, name, n);
    fanin_value *v = &b->values[b->value_count];
    *v = (fanin_value){.name = copy, .rank = -1, .producer = -1};
    if (!copy || !fanin__graph_index(b->owner, b->values, b->value_count + 1, b->value_count)) {
        fanin__graph_fail_memory(b);
        return -1;
    }
    return b->value_count++;
}

int fanin__graph_find_value(const fanin_graph_builder *b, const char *name) {
    return fanin__graph_lookup(b->owner, b->values, name, strlen(name));
}

int fanin__graph_unnamed(fanin_graph_builder *b, const char *stem) {
    if (fanin__graph_find_value(b, stem) < 0) return new_value(b, stem, strlen(stem));
    int value = -1;
    for (;;) {
        fanin__text name = {0};
        fanin__text_printf(&name, "%s_%d", stem, ++b->made_up);
        bool taken = !name.failed && fanin__graph_find_value(b, name.data) >= 0;
        if (name.failed)
            fanin__graph_fail_memory(b);
        else if (!taken)
            value = new_value(b, name.data, name.length);
        fanin__text_fini(&name);
        if (!taken) return value;
    }
}

int fanin__graph_reference_n(fanin_graph_builder *b, const void *name, size_t n) {
    if (failed(b)) return -1;
    int value = fanin__graph_lookup(b->owner, b->values, name, n);
    return value >= 0 ? value : new_value(b, name, n);
}

int fanin__graph_reference(fanin_graph_builder *b, const char *name) {
    return fanin__graph_reference_n(b, name, strlen(name));
}

void fanin__graph_set_type(fanin_graph_builder *b, int value, fanin_dtype dtype, int rank,
                           const int64_t *dims, const char *const *dim_names) {
    if (failed(b) || value < 0) return;
    fanin_value *v = &b->values[value];
    if (dtype != FANIN_DTYPE_NONE) v->dtype = dtype;
    if (rank < 0) return;
    if (rank > FANIN_MAX_RANK) {
        fanin__graph_fail(b, FANIN_LIMIT, "'%s' has %d axes, expected at most %d", v->name, rank,
                          FANIN_MAX_RANK);
        return;
    }
    v->rank = rank;
    for (int i = 0; i < rank; i++) {
        v->dims[i] = dims[i] < 0 ? -1 : dims[i];
        v->dim_names[i] = NULL;
        if (!dim_names || !dim_names[i] || !dim_names[i][0]) continue;
        v->dim_names[i] = fanin__arena_strdup(&b->owner->arena, dim_names[i]);
        if (!v->dim_names[i]) fanin__graph_fail_memory(b);
    }
}

/* Every definition passes here. */
static bool may_define(fanin_graph_builder *b, int value) {
    if (failed(b)) return false;
    if (value < 0 || value >= b->value_count) {
        fanin__graph_fail(b, FANIN_ARG, "value %d does not exist, there are %d", value,
                          b->value_count);
        return false;
    }
    if (!fanin__graph_is_defined(b, value)) return true;
    fanin__graph_fail(b, FANIN_FORMAT, "'%s' is defined twice", b->values[value].name);
    return false;
}

void fanin__graph_define_input(fanin_graph_builder *b, int value) {
    if (!may_define(b, value)) return;
    b->values[value].flags |= FANIN_VALUE_INPUT;
    append_index(b, &b->inputs, &b->input_count, &b->input_capacity, value);
}

void fanin__graph_define_stored(fanin_graph_builder *b, int value, unsigned flags, const void *data,
                                size_t size) {
    if (!may_define(b, value)) return;
    b->values[value].flags |= flags;
    b->values[value].data = data;
    b->values[value].size = data ? size : 0;
}

int fanin_graph_input(fanin_graph_builder *b, const char *name, fanin_dtype dtype, int rank,
                      const int64_t *dims) {
    int value =
        name && name[0] ? fanin__graph_reference(b, name) : fanin__graph_unnamed(b, "input");
    fanin__graph_define_input(b, value);
    const char *symbols[FANIN_MAX_RANK] = {0}; /* an unknown first axis is the batch */
    if (rank > 0 && dims[0] < 0) symbols[0] = "N";
    fanin__graph_set_type(b, value, dtype, rank, dims, symbols);
    return failed(b) ? -1 : value;
}

int fanin_graph_initializer(fanin_graph_builder *b, const char *name, fanin_dtype dtype, int rank,
                            const int64_t *dims, const void *data) {
    size_t count = 0, size = 0;
    void *copy = NULL;
    int value =
        name && name[0] ? fanin__graph_reference(b, name) : fanin__graph_unnamed(b, "weight");
    fanin__graph_set_type(b, value, dtype, rank, dims, NULL);
    if (failed(b)) return -1;
    if (rank < 0 || !fanin__shape_count(dims, rank, &count) ||
        !fanin__size_mul(count, fanin_dtype_size(dtype), &size))
        fanin__graph_fail(b, FANIN_ARG, "weight '%s' needs a shape without symbols",
                          b->values[value].name);
    if (fanin_dtype_size(dtype) == 0)
        fanin__graph_fail(b, FANIN_ARG, "weight '%s' has no element type", b->values[value].name);
    if (!failed(b) && data) {
        copy = fanin__arena_copy(&b->owner->arena, data, size);
        if (!copy) fanin__graph_fail_memory(b);
    }
    fanin__graph_define_stored(b, value, FANIN_VALUE_INITIALIZER, copy, size);
    return failed(b) ? -1 : value;
}

/* ---- nodes ------------------------------------------------------------------------------------- */

/* Copies one attribute into the arena; false: no memory. */
static bool copy_attr(fanin__arena *arena, const fanin_attr *from, fanin_attr *to) {
    *to = *from;
    to->name = fanin__arena_strdup(arena, from->name);
    if (!to->name) return false;
    switch (from->type) {
    case FANIN_ATTR_INT:
    case FANIN_ATTR_FLOAT: return true;
    case FANIN_ATTR_STRING: return (to->s = fanin__arena_strdup(arena, from->s)) != NULL;
    case FANIN_ATTR_INTS:
        to->ints = fanin__arena_copy(arena, from->ints, from->count * sizeof *from->ints);
        return to->ints != NULL;
    case FANIN_ATTR_FLOATS:
        to->floats = fanin__arena_copy(arena, from->floats, from->count * sizeof *from->floats);
        return to->floats != NULL;
    case FANIN_ATTR_STRINGS: {
        const char **list = fanin__arena_array(arena, from->count, sizeof *list);
        for (size_t i = 0; list && i < from->count; i++)
            if (!(list[i] = fanin__arena_strdup(arena, from->strings[i]))) return false;
        to->strings = list;
        return list != NULL;
    }
    case FANIN_ATTR_TENSOR: {
        fanin_value *t = fanin__arena_copy(arena, from->tensor, sizeof *t);
        if (!t) return false;
        to->tensor = t;
        t->name = fanin__arena_strdup(arena, t->name ? t->name : "");
        if (t->data) t->data = fanin__arena_copy(arena, t->data, t->size);
        return t->name && (t->data || !from->tensor->data);
    }
    }
    return true;
}

/* Inputs are within range and outputs may be defined. */
static bool node_is_sound(fanin_graph_builder *b, const fanin_node *n) {
    for (int i = 0; i < n->input_count; i++)
        if (n->inputs[i] < -1 || n->inputs[i] >= b->value_count) {
            fanin__graph_fail(b, FANIN_ARG, "node '%s' (%s): input %d is value %d, there are %d",
                              n->name, n->op, i, n->inputs[i], b->value_count);
            return false;
        }
    for (int i = 0; i < n->output_count; i++) {
        if (!may_define(b, n->outputs[i])) return false;
        b->values[n->outputs[i]].producer = b->node_count;
    }
    return true;
}

void fanin__graph_adopt_node(fanin_graph_builder *b, const fanin_node *node) {
    if (!failed(b) && fanin__graph_is_constant(node)) {
        fanin__graph_define_constant(b, node);
        return;
    }
    if (failed(b) || !grow(b, &b->nodes, b->node_count, &b->node_capacity, sizeof *b->nodes))
        return;
    if (node_is_sound(b, node)) b->nodes[b->node_count++] = *node;
}

void fanin__graph_define_node(fanin_graph_builder *b, const char *op, const char *domain,
                              const char *name, const int *inputs, int input_count,
                              const int *outputs, int output_count, const fanin_attr *attrs,
                              int attr_count) {
    if (failed(b)) return;
    fanin__arena *arena = &b->owner->arena;
    fanin_attr *copies = fanin__arena_array(arena, (size_t)attr_count, sizeof *copies);
    fanin_node n = {
        .name = fanin__arena_strdup(arena, name),
        .op = fanin__arena_strdup(arena, op),
        .domain = fanin__arena_strdup(arena, domain),
        .input_count = input_count,
        .output_count = output_count,
        .attr_count = attr_count,
        .inputs = fanin__arena_copy(arena, inputs, (size_t)input_count * sizeof *inputs),
        .outputs = fanin__arena_copy(arena, outputs, (size_t)output_count * sizeof *outputs),
        .attrs = copies,
    };
    bool good = n.name && n.op && n.domain && n.inputs && n.outputs && copies;
    for (int i = 0; good && i < attr_count; i++) good = copy_attr(arena, &attrs[i], &copies[i]);
    if (!good) {
        fanin__graph_fail_memory(b);
        return;
    }
    fanin__graph_adopt_node(b, &n);
}

int fanin_graph_node(fanin_graph_builder *b, const char *op, const char *name, const int *inputs,
                     int input_count, const fanin_attr *attrs, int attr_count, int output_count) {
    if (output_count < 1) fanin__graph_fail(b, FANIN_ARG, "node '%s' makes nothing", op);
    int outputs[64];
    if (output_count > (int)FANIN_COUNT(outputs))
        fanin__graph_fail(b, FANIN_LIMIT, "node '%s' makes %d values, expected at most %d", op,
                          output_count, (int)FANIN_COUNT(outputs));
    if (failed(b)) return -1;
    char domain[32] = "";
    const char *colon = strchr(op, ':'); /* "fanin:Activation" */
    if (colon && (size_t)(colon - op) < sizeof domain) {
        memcpy(domain, op, (size_t)(colon - op));
        op = colon + 1;
    }
    const char *stem = name && name[0] ? name : op;
    for (int i = 0; i < output_count; i++) {
        fanin__text text = {0};
        fanin__text_printf(&text, i ? "%s_output_%d" : "%s_output", stem, i);
        if (text.failed)
            fanin__graph_fail_memory(b);
        else
            outputs[i] = fanin__graph_unnamed(b, text.data);
        fanin__text_fini(&text);
        if (failed(b)) return -1;
    }
    fanin__graph_define_node(b, op, domain, name ? name : "", inputs, input_count, outputs,
                             output_count, attrs, attr_count);
    return failed(b) ? -1 : outputs[0];
}

/* ---- outputs ----------------------------------------------------------------------------------- */

static void rename_value(fanin_graph_builder *b, int value, const char *name) {
    const char *copy = fanin__arena_strdup(&b->owner->arena, name);
    if (!copy) {
        fanin__graph_fail_memory(b);
        return;
    }
    b->values[value].name = copy;
    if (!fanin__graph_index(b->owner, b->values, b->value_count, value))
        fanin__graph_fail_memory(b);
}

void fanin_graph_output(fanin_graph_builder *b, int value, const char *name) {
    if (failed(b)) return;
    if (value < 0 || value >= b->value_count) {
        fanin__graph_fail(b, FANIN_ARG, "output is value %d, there are %d", value, b->value_count);
        return;
    }
    bool rename = name && name[0] && strcmp(name, b->values[value].name) != 0;
    if (rename && fanin__graph_find_value(b, name) >= 0) {
        fanin__graph_fail(b, FANIN_FORMAT, "'%s' is defined twice", name);
        return;
    }
    if (rename && (b->values[value].producer < 0 || b->values[value].flags & FANIN_VALUE_OUTPUT)) {
        /* The value keeps its name: it belongs to the caller, a file or another output. */
        int copy = new_value(b, name, strlen(name));
        if (copy < 0) return;
        fanin__graph_define_node(b, "Identity", "", "", &value, 1, &copy, 1, NULL, 0);
        value = copy;
    } else if (rename) {
        rename_value(b, value, name);
    }
    if (failed(b)) return;
    b->values[value].flags |= FANIN_VALUE_OUTPUT;
    append_index(b, &b->outputs, &b->output_count, &b->output_capacity, value);
}
