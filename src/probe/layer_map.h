/* layer_map.h - a weighted layer as a linear map at samples: products with J = diag(slope) W and with J'. */
#ifndef FANIN_SRC_PROBE_LAYER_MAP_H
#define FANIN_SRC_PROBE_LAYER_MAP_H

#include "base/base.h"
#include "fanin/engine.h"
#include "probe/layers.h"

enum { FANIN__MAP_AXES = 3 };

/* W of a convolution from `in` to `out`; missing spatial axes come first, with sizes of 1. */
typedef struct fanin__conv_map {
    size_t groups, in_channels, out_channels; /* of all groups */
    size_t in[FANIN__MAP_AXES], out[FANIN__MAP_AXES], kernel[FANIN__MAP_AXES];
    int64_t stride[FANIN__MAP_AXES], dilation[FANIN__MAP_AXES], before[FANIN__MAP_AXES];
    bool adjoint; /* a transposed convolution: units and inputs change places */
} fanin__conv_map;

/* One sample's inputs and units (of a convolution: channels times positions). */
typedef struct fanin__layer_map {
    const float *w; /* dense: units x inputs, or inputs x units where rows are inputs */
    size_t units, inputs;
    bool rows_are_inputs, conv;
    fanin__conv_map window;
    const float *slope; /* starts x units; NULL: ones */
    size_t starts;
    float *columns; /* scratch of a convolution: fanin__layer_map_scratch numbers */
} fanin__layer_map;

/* False where the layer is no such map. Without slopes, starts and scratch. */
bool fanin__layer_map_open(const fanin_graph *graph, const fanin__layer *layer,
                           const fanin_program *program, fanin__layer_map *map);
size_t fanin__layer_map_scratch(const fanin__layer_map *map);
/* Row by row: out (starts x inputs) = J' in, or out (starts x units) = J in. `in` is scaled in place. */
void fanin__layer_map_multiply(const fanin__layer_map *map, bool to_inputs, float *in, float *out);
/* norms[units] = squared norms of the rows of W. NOMEM. */
fanin_status fanin__layer_map_norms(const fanin__layer_map *map, float *norms);

#endif
