/* graph.h - the builder as readers of files see it: values by name before they are defined, borrowed
 * payloads, notes. Public building (fanin_graph_node ...) stands on the same functions. */
#ifndef FANIN_SRC_GRAPH_H
#define FANIN_SRC_GRAPH_H

#include "base/base.h"
#include "fanin/graph.h"
#include "graph/arena.h"

/* Index of the value called `name`; one that is not there yet is made, undefined, and must be defined
 * before _finish. -1 after a failure. */
int fanin__graph_reference(fanin_graph_builder *b, const char *name);
int fanin__graph_reference_n(fanin_graph_builder *b, const void *name, size_t n);
/* A new value called `stem`, or `stem` with a number behind it. */
int fanin__graph_unnamed(fanin_graph_builder *b, const char *stem);
/* Type and shape of a value; rank -1 and FANIN_DTYPE_NONE leave what is known. `dim_names` may be NULL. */
void fanin__graph_set_type(fanin_graph_builder *b, int value, fanin_dtype dtype, int rank,
                           const int64_t *dims, const char *const *dim_names);
/* Definitions: each value has exactly one (FORMAT otherwise). */
void fanin__graph_define_input(fanin_graph_builder *b, int value);
/* `flags` is FANIN_VALUE_INITIALIZER or FANIN_VALUE_CONSTANT. `data` is borrowed: it must live in the
 * builder's arena or in a map that it owns; NULL: absent. */
void fanin__graph_define_stored(fanin_graph_builder *b, int value, unsigned flags, const void *data,
                                size_t size);
/* Outputs are values by index. Attributes are copied; payloads of tensor attributes too. */
void fanin__graph_define_node(fanin_graph_builder *b, const char *op, const char *domain,
                              const char *name, const int *inputs, int input_count,
                              const int *outputs, int output_count, const fanin_attr *attrs,
                              int attr_count);
/* The same for a node whose strings, lists and attributes live in the builder's arena already. */
void fanin__graph_adopt_node(fanin_graph_builder *b, const fanin_node *node);
/* A Constant of ONNX's own domain becomes a stored value; define_node and adopt_node see to it. */
bool fanin__graph_is_constant(const fanin_node *node);
void fanin__graph_define_constant(fanin_graph_builder *b, const fanin_node *node);
/* True if the value has been defined as input, stored or made by a node. */
bool fanin__graph_is_defined(const fanin_graph_builder *b, int value);
const fanin_value *fanin__graph_value(const fanin_graph_builder *b, int value);
int fanin__graph_value_count(const fanin_graph_builder *b);
const fanin_node *fanin__graph_node_at(const fanin_graph_builder *b, int node);
int fanin__graph_node_count(const fanin_graph_builder *b);
/* Index of the value called `name`, or -1. */
int fanin__graph_find_value(const fanin_graph_builder *b, const char *name);
/* LIMIT instead of more memory than this. `file_size` is for the message. */
void fanin__graph_set_limit(fanin_graph_builder *b, size_t bytes, size_t file_size);

void fanin__graph_set_producer(fanin_graph_builder *b, const char *producer);
void fanin__graph_set_opset(fanin_graph_builder *b, int opset);
/* One line of graph->notes. */
void fanin__graph_note(fanin_graph_builder *b, const char *format, ...) FANIN_PRINTF(2, 3);
/* Takes the map over (also on failure): it is unmapped with the graph. */
void fanin__graph_own_map(fanin_graph_builder *b, fanin__map *map);
/* The bytes that the graph was read from, in a map that it owns: a writer copies from them what the
 * graph does not represent. */
void fanin__graph_set_source(fanin_graph_builder *b, const void *data, size_t size);
/* For payloads and scratch that live as long as the graph. */
fanin__arena *fanin__graph_arena(fanin_graph_builder *b);
/* The first failure is kept and reported by _finish. */
void fanin__graph_fail(fanin_graph_builder *b, fanin_status status, const char *format, ...)
    FANIN_PRINTF(3, 4);
/* A failure whose message is complete. */
void fanin__graph_fail_with(fanin_graph_builder *b, const fanin_err *err);
/* After the arena gave NULL: NOMEM, or LIMIT if fanin__graph_set_limit's bound was met. */
void fanin__graph_fail_memory(fanin_graph_builder *b);
fanin_status fanin__graph_status(const fanin_graph_builder *b);

/* Shared by builder and graph: what graph->owner points at. */
typedef struct fanin__graph_owner {
    fanin__arena arena;
    fanin__map *maps;
    size_t map_count;
    int *slots;         /* open addressing over values: index + 1, 0 empty */
    size_t slot_count;  /* power of two */
    const void *source; /* of a graph read from an ONNX file: the file's bytes in a map, or NULL */
    size_t source_size;
} fanin__graph_owner;

int fanin__graph_lookup(const fanin__graph_owner *owner, const fanin_value *values,
                        const char *name, size_t n);
/* Enters the value, whose name is set and not entered yet; false: no memory. */
bool fanin__graph_index(fanin__graph_owner *owner, const fanin_value *values, int value_count,
                        int value);
void fanin__graph_owner_destroy(fanin__graph_owner *owner);

#endif
