/* onnx.h - pieces of the ONNX reader and writer. Field numbers are those of onnx.proto. */
#ifndef FANIN_SRC_ONNX_H
#define FANIN_SRC_ONNX_H

#include <onnx.pb-c.h>

#include "format/format.h"
#include "format/wire.h"

enum {
    MODEL_IR_VERSION = 1,
    MODEL_PRODUCER = 2,
    MODEL_PRODUCER_VERSION = 3,
    MODEL_GRAPH = 7,
    MODEL_OPSET = 8,
    MODEL_FUNCTIONS = 25
};
enum { OPSET_DOMAIN = 1, OPSET_VERSION = 2 };
enum {
    GRAPH_NODE = 1,
    GRAPH_NAME = 2,
    GRAPH_INITIALIZER = 5,
    GRAPH_INPUT = 11,
    GRAPH_OUTPUT = 12,
    GRAPH_VALUE_INFO = 13,
    GRAPH_SPARSE = 15
};
enum {
    NODE_INPUT = 1,
    NODE_OUTPUT = 2,
    NODE_NAME = 3,
    NODE_OP = 4,
    NODE_ATTRIBUTE = 5,
    NODE_DOMAIN = 7
};
enum {
    ATTR_NAME = 1,
    ATTR_F = 2,
    ATTR_I = 3,
    ATTR_S = 4,
    ATTR_T = 5,
    ATTR_G = 6,
    ATTR_FLOATS = 7,
    ATTR_INTS = 8,
    ATTR_STRINGS = 9,
    ATTR_GRAPHS = 11,
    ATTR_TYPE = 20
};
enum {
    TENSOR_DIMS = 1,
    TENSOR_DTYPE = 2,
    TENSOR_FLOATS = 4,
    TENSOR_INT32S = 5,
    TENSOR_STRINGS = 6,
    TENSOR_INT64S = 7,
    TENSOR_NAME = 8,
    TENSOR_RAW = 9,
    TENSOR_DOUBLES = 10,
    TENSOR_UINT64S = 11,
    TENSOR_EXTERNAL = 13,
    TENSOR_LOCATION = 14
};
enum {
    INFO_NAME = 1,
    INFO_TYPE = 2,
    TYPE_TENSOR = 1,
    TENSOR_TYPE_ELEM = 1,
    TENSOR_TYPE_SHAPE = 2,
    SHAPE_DIM = 1,
    DIM_VALUE = 1,
    DIM_PARAM = 2,
    ENTRY_KEY = 1,
    ENTRY_VALUE = 2
};

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
/* What exporters did to the network, into the builder's notes. */
void fanin__onnx_notes(onnx_reader *r);

#endif
