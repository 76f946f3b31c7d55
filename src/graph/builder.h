/* builder.h - the builder's struct, for builder.c and finish.c. */
#ifndef FANIN_SRC_BUILDER_H
#define FANIN_SRC_BUILDER_H

#include "graph/graph.h"

struct fanin_graph_builder {
    fanin__graph_owner *owner;
    const char *name, *producer; /* in the arena */
    int opset;
    int value_count, value_capacity, node_count, node_capacity;
    int input_count, input_capacity, output_count, output_capacity;
    int made_up; /* numbers behind made-up names */
    fanin_value *values;
    fanin_node *nodes;
    int *inputs, *outputs;
    size_t limit,
        file_size; /* bytes of memory allowed (0: any), and the size that this stands in proportion to */
    fanin__text notes;
    fanin_err err; /* the first failure */
};

#endif
