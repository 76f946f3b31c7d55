/* onnx_write.h - between the ONNX writer's files. */
#ifndef FANIN_SRC_ONNX_WRITE_H
#define FANIN_SRC_ONNX_WRITE_H

#include "format/format.h"

/* Axes of every value into ranks[value_count]; -1: not known. */
void fanin__onnx_ranks(const fanin_graph *graph, int *ranks);
/* Fields of ModelProto but the graph, and fields of GraphProto but the initialisers. */
fanin_status fanin__onnx_describe(const fanin_graph *graph, fanin__text *model, fanin__text *body,
                                  fanin_err *err);
/* The same, copied from the file that the graph was read from. */
void fanin__onnx_transcribe(const fanin__graph_owner *owner, fanin__text *model, fanin__text *body);

#endif
