/* onnx_list.c - the table of operators for people: fanin list operators. */
#include <string.h>

#include "fanin/engine.h"
#include "operator/onnx.h"

/* The table's sections by the operator that opens each. */
static const struct {
    const char *first, *kind;
} sections[] = {
    {"Abs", "function of one tensor"},
    {"LeakyRelu", "activation"},
    {"Add", "elementwise, two tensors and more"},
    {"Gemm", "contraction"},
    {"MaxPool", "window"},
    {"BatchNormalization", "normalisation"},
    {"RNN", "recurrent layer"},
    {"ReduceSum", "reduction"},
    {"Constant", "shape and index"},
};

int fanin_operator_count(void) { return fanin__onnx_count(); }

fanin_operator_info fanin_operator_at(int i) {
    const char *kind = "";
    if (i < 0 || i >= fanin__onnx_count()) return (fanin_operator_info){0};
    for (int k = 0; k <= i; k++)
        for (size_t s = 0; s < FANIN_COUNT(sections); s++)
            if (!strcmp(fanin__onnx_at(k)->name, sections[s].first)) kind = sections[s].kind;
    const fanin__onnx_row *row = fanin__onnx_at(i);
    return (fanin_operator_info){row->name, row->domain, kind};
}
