/* onnx.h - pieces of the ONNX reader and writer. */
#ifndef FANIN_SRC_ONNX_H
#define FANIN_SRC_ONNX_H

#include <onnx.pb-c.h>

#include "format/format.h"
#include "format/onnx_fields.h"
#include "format/wire.h"

/* A file of external data that was looked for. */
typedef struct onnx_external {
    const char *location; /* in the arena */
    const unsigned char *data;
    size_t size;
    bool absent;
} onnx_external;

typedef struct onnx_reader {
    fanin_graph_builder *b;
    fanin__wire model;
    const char *folder; /* NULL: external data is absent */
    onnx_external *externals;
    size_t external_count, external_capacity;
    int subgraphs, functions, dropped; /* attributes with graphs, model functions, other left out */
    const char *dropped_name;          /* an example */
    bool has_opset;
} onnx_reader;

/* A copy of the field's text in the arena; "" after a failure. */
const char *fanin__onnx_text(onnx_reader *r, const fanin__wire_field *f);
/* TensorProto as `where` calls it ("initialiser", "value of node 'x'") into *v: name, dtype, dims, data.
 * `lenient`: an element type that fanin has not leaves dtype NONE and no data instead of failing. */
void fanin__onnx_tensor(onnx_reader *r, const fanin__wire_field *message, const char *where,
                        bool lenient, fanin_value *v);
void fanin__onnx_node(onnx_reader *r, const fanin__wire_field *message);
/* The graphs of an If that can become nodes of the graph around it. */
bool fanin__onnx_find_branches(onnx_reader *r, fanin__wire node, int outputs,
                               fanin__wire branches[2]);
/* Reads a branch's nodes; `outputs` gets the values that it gives. Returns how many. */
int fanin__onnx_read_branch(onnx_reader *r, fanin__wire graph, int *outputs);
/* What exporters did to the network, into the builder's notes. */
void fanin__onnx_notes(onnx_reader *r);

#endif
