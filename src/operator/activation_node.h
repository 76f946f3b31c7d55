/* activation_node.h - which activation a node of a graph applies: the one mapping from ONNX operators to
 * rows of the activation table, for the lowering, the schemes and the probes. */
#ifndef FANIN_SRC_OPERATOR_ACTIVATION_NODE_H
#define FANIN_SRC_OPERATOR_ACTIVATION_NODE_H

#include "base/base.h"
#include "fanin/graph.h"

/* Text that fanin_activation_parse reads, static, the node's own or in buf (96 bytes suffice); NULL: the node
 * is no activation. Parameters stand there only where they differ from the row's own, which are not
 * always ONNX's. Scale and alpha of Selu are those of its paper. */
const char *fanin__node_activation(const fanin_node *node, char *buf, size_t size);

#endif
