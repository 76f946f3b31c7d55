/* layer_map.c - products with one layer's Jacobian. A convolution is a product with the columns of its windows, a
 * strip of output lines at a time: it needs no plan, which a handful of products of one sample would not repay. */
#include "probe/layer_map.h"

#include <string.h>

#include "compute/compute.h"
#include "engine/program.h"
#include "probe/figures.h"

enum { STRIP = 1 << 17 }; /* numbers of one strip of columns, unless a single line has more */

/* ---- what the layer is ------------------------------------------------------------------------------ */

/* The convolution behind a value: past the bias and changes of shape. */
static const fanin__node *find_conv(const fanin_program *p, int value) {
    int root = p->values ? p->values[value] : -1;
    int at = root < 0 ? -1 : p->roots[root].node;
    for (int steps = 0; at >= 0 && steps < 8; steps++) {
        const fanin__node *n = &p->ir.nodes[at];
        if (n->op == FANIN__CONV || n->op == FANIN__CONV_DATA) return n;
        if (n->input_count < 1) return NULL;
        at = n->inputs[0];
    }
    return NULL;
}

static bool open_conv(const fanin_program *p, int value, fanin__layer_map *map) {
    const fanin__node *n = find_conv(p, value);
    if (!n) return false;
    const fanin__op_window *w = &n->attr.window;
    const fanin__node *x = &p->ir.nodes[n->inputs[0]];
    bool adjoint = n->op == FANIN__CONV_DATA;
    const int64_t *in = adjoint ? n->dims : x->dims, *out = adjoint ? x->dims : n->dims;
    fanin__conv_map *c = &map->window;
    *c = (fanin__conv_map){.groups = (size_t)w->groups,
                           .in_channels = (size_t)in[1],
                           .out_channels = (size_t)out[1],
                           .adjoint = adjoint};
    size_t inputs = c->in_channels, units = c->out_channels;
    for (int i = 0; i < FANIN__MAP_AXES; i++) {
        int k = i - (FANIN__MAP_AXES - w->rank);
        c->in[i] = k < 0 ? 1 : (size_t)in[2 + k];
        c->out[i] = k < 0 ? 1 : (size_t)out[2 + k];
        c->kernel[i] = k < 0 ? 1 : (size_t)w->kernel[k];
        c->stride[i] = k < 0 ? 1 : w->stride[k];
        c->dilation[i] = k < 0 ? 1 : w->dilation[k];
        c->before[i] = k < 0 ? 0 : w->before[k];
        inputs *= c->in[i];
        units *= c->out[i];
    }
    map->conv = true;
    map->inputs = adjoint ? units : inputs;
    map->units = adjoint ? inputs : units;
    return map->inputs > 0 && map->units > 0;
}

bool fanin__layer_map_open(const fanin_graph *g, const fanin__layer *layer, const fanin_program *p,
                           fanin__layer_map *map) {
    const char *op = g->nodes[layer->node].op;
    int at = fanin__weight_index(p, layer->weight);
    fanin_buffer w = at < 0 ? (fanin_buffer){0} : fanin_program_weight(p, at);
    if (!w.data || w.count == 0 || w.dtype != FANIN_F32) return false;
    *map = (fanin__layer_map){.w = w.data, .rows_are_inputs = layer->rows_are_inputs};
    if (!strcmp(op, "Conv") || !strcmp(op, "ConvTranspose"))
        return open_conv(p, layer->output, map);
    if (w.rank != 2) return false;
    map->units = (size_t)w.dims[layer->rows_are_inputs ? 1 : 0];
    map->inputs = w.count / map->units;
    return true;
}

/* ---- convolutions ------------------------------------------------------------------------------------- */

static size_t taps(const fanin__conv_map *c) { return c->kernel[0] * c->kernel[1] * c->kernel[2]; }

/* Output lines (all but the last axis) of one strip. */
static size_t strip_lines(const fanin__conv_map *c) {
    size_t depth = c->in_channels / c->groups * taps(c), lines = STRIP / (depth * c->out[2]);
    size_t all = c->out[0] * c->out[1];
    return lines < 1 ? 1 : lines > all ? all : lines;
}

size_t fanin__layer_map_scratch(const fanin__layer_map *map) {
    const fanin__conv_map *c = &map->window;
    if (!map->conv) return 0;
    return c->in_channels / c->groups * taps(c) * strip_lines(c) * c->out[2];
}

/* Outputs [*from, *to) along the last axis whose tap lies inside the image; *at: where the first one reads. */
static void reach(const fanin__conv_map *c, int64_t tap, size_t *from, size_t *to, int64_t *at) {
    int64_t stride = c->stride[2], first = tap * c->dilation[2] - c->before[2], low = 0;
    int64_t high = (int64_t)c->out[2], size = (int64_t)c->in[2];
    if (first < 0) low = (-first + stride - 1) / stride;
    if (first >= size)
        high = 0;
    else if ((size - 1 - first) / stride + 1 < high)
        high = (size - 1 - first) / stride + 1;
    *from = (size_t)(low < high ? low : high);
    *to = (size_t)high;
    *at = first + low * stride;
}

/* Line `line` of the image that output line `o` sees at taps a, b; NULL: padding. */
static float *image_line(const fanin__conv_map *c, float *channel, size_t o, size_t a, size_t b) {
    int64_t y =
        (int64_t)(o / c->out[1]) * c->stride[0] + (int64_t)a * c->dilation[0] - c->before[0];
    int64_t x =
        (int64_t)(o % c->out[1]) * c->stride[1] + (int64_t)b * c->dilation[1] - c->before[1];
    if (y < 0 || x < 0 || y >= (int64_t)c->in[0] || x >= (int64_t)c->in[1]) return NULL;
    return channel + ((size_t)y * c->in[1] + (size_t)x) * c->in[2];
}

/* n values of a line of columns from pixels that are `stride` apart, or added back to them. */
static void move_line(float *restrict pixels, int64_t stride, size_t n, bool back,
                      float *restrict columns) {
    if (stride == 1 && !back) memcpy(columns, pixels, n * sizeof *columns);
    if (stride == 1 && back)
        for (size_t i = 0; i < n; i++) pixels[i] += columns[i];
    if (stride == 1) return;
    for (size_t i = 0; i < n; i++, pixels += stride) {
        if (back)
            *pixels += columns[i];
        else
            columns[i] = *pixels;
    }
}

/* The columns of output lines begin ... begin + lines from the image, or added back to it. */
static void move_columns(const fanin__conv_map *c, float *image, size_t begin, size_t lines,
                         bool back, float *columns) {
    size_t line = c->out[2], from, to;
    int64_t at;
    for (size_t ch = 0; ch < c->in_channels / c->groups; ch++)
        for (size_t k = 0; k < taps(c); k++) {
            size_t a = k / (c->kernel[1] * c->kernel[2]), b = k / c->kernel[2] % c->kernel[1];
            float *channel = image + ch * c->in[0] * c->in[1] * c->in[2];
            reach(c, (int64_t)(k % c->kernel[2]), &from, &to, &at);
            for (size_t o = 0; o < lines; o++, columns += line) {
                float *source = image_line(c, channel, begin + o, a, b);
                if (!back) memset(columns, 0, line * sizeof *columns);
                if (!source) continue;
                move_line(source + at, c->stride[2], to - from, back, columns + from);
            }
        }
}

/* out (of the convolution's output's shape) = W image, or image = W' out. */
static void convolve(const fanin__conv_map *c, const float *w, bool transposed, float *image,
                     float *out, float *columns) {
    size_t pixels = c->in[0] * c->in[1] * c->in[2], points = c->out[0] * c->out[1] * c->out[2];
    size_t in = c->in_channels / c->groups, units = c->out_channels / c->groups;
    size_t depth = in * taps(c), most = strip_lines(c), all = c->out[0] * c->out[1];
    if (transposed) memset(image, 0, c->in_channels * pixels * sizeof *image);
    for (size_t g = 0; g < c->groups; g++)
        for (size_t begin = 0; begin < all; begin += most) {
            size_t lines = all - begin < most ? all - begin : most, n = lines * c->out[2];
            float *part = image + g * in * pixels,
                  *y = out + g * units * points + begin * c->out[2];
            fanin__gemm_args a = {.n = n, .alpha = 1, .a = w + g * units * depth};
            if (transposed) {
                a.m = depth, a.k = units, a.a_row = 1, a.a_col = depth;
                a.b = y, a.b_row = points, a.b_col = 1, a.c = columns, a.c_row = n;
                fanin__gemm(&a);
                move_columns(c, part, begin, lines, true, columns);
            } else {
                move_columns(c, part, begin, lines, false, columns);
                a.m = units, a.k = depth, a.a_row = depth, a.a_col = 1;
                a.b = columns, a.b_row = n, a.b_col = 1, a.c = y, a.c_row = points;
                fanin__gemm(&a);
            }
        }
}

static void multiply_conv(const fanin__layer_map *map, const float *w, size_t starts,
                          bool to_inputs, float *in, float *out) {
    const fanin__conv_map *c = &map->window;
    size_t from = to_inputs ? map->units : map->inputs, to = to_inputs ? map->inputs : map->units;
    bool transposed = to_inputs != c->adjoint;
    for (size_t s = 0; s < starts; s++, in += from, out += to)
        convolve(c, w, transposed, transposed ? out : in, transposed ? in : out, map->columns);
}

/* ---- products ----------------------------------------------------------------------------------------- */

static void multiply_dense(const fanin__layer_map *v, bool to_inputs, const float *in, float *out) {
    size_t stored = v->rows_are_inputs ? v->units : v->inputs;
    bool turned = to_inputs == v->rows_are_inputs; /* W' is what the rows are multiplied by */
    const fanin__gemm_args g = {.m = v->starts,
                                .n = to_inputs ? v->inputs : v->units,
                                .k = to_inputs ? v->units : v->inputs,
                                .alpha = 1,
                                .a = in,
                                .a_row = to_inputs ? v->units : v->inputs,
                                .a_col = 1,
                                .b = v->w,
                                .b_row = turned ? 1 : stored,
                                .b_col = turned ? stored : 1,
                                .c = out,
                                .c_row = to_inputs ? v->inputs : v->units};
    fanin__gemm(&g);
}

void fanin__layer_map_multiply(const fanin__layer_map *v, bool to_inputs, float *in, float *out) {
    size_t n = v->units * v->starts;
    for (size_t i = 0; i < n && v->slope && to_inputs; i++) in[i] *= v->slope[i];
    if (v->conv)
        multiply_conv(v, v->w, v->starts, to_inputs, in, out);
    else
        multiply_dense(v, to_inputs, in, out);
    for (size_t i = 0; i < n && v->slope && !to_inputs; i++) out[i] *= v->slope[i];
}

/* At an image's edge a row has fewer taps: W's squares, already added over the inputs of a unit, are applied to an
 * image of ones. */
static fanin_status conv_norms(const fanin__layer_map *v, float *norms) {
    fanin__layer_map one = *v;
    fanin__conv_map *c = &one.window;
    size_t units = c->out_channels / c->groups, in = c->in_channels / c->groups, each = taps(c);
    size_t left = c->groups * (c->adjoint ? in : units) * each;
    one.inputs = v->inputs / (c->adjoint ? units : in);
    *(c->adjoint ? &c->out_channels : &c->in_channels) = c->groups;
    size_t scratch = fanin__layer_map_scratch(&one);
    float *squares = fanin_calloc(left + one.inputs + scratch, sizeof *squares);
    float *ones = squares + left;
    if (!squares) return FANIN_NOMEM;
    one.columns = ones + one.inputs;
    for (size_t o = 0; o < v->window.out_channels; o++)
        for (size_t i = 0; i < in; i++) {
            const float *w = v->w + (o * in + i) * each;
            float *sum = squares + (c->adjoint ? o / units * in + i : o) * each;
            for (size_t k = 0; k < each; k++) sum[k] += w[k] * w[k];
        }
    for (size_t i = 0; i < one.inputs; i++) ones[i] = 1;
    multiply_conv(&one, squares, 1, false, ones, norms);
    fanin_free(squares);
    return FANIN_OK;
}

fanin_status fanin__layer_map_norms(const fanin__layer_map *v, float *norms) {
    if (v->conv) return conv_norms(v, norms);
    memset(norms, 0, v->units * sizeof *norms);
    for (size_t r = 0; r < (v->rows_are_inputs ? v->inputs : v->units); r++) {
        const float *row = v->w + r * (v->rows_are_inputs ? v->units : v->inputs);
        if (!v->rows_are_inputs)
            norms[r] = (float)fanin__dot(v->inputs, row, row);
        else
            for (size_t u = 0; u < v->units; u++) norms[u] += row[u] * row[u];
    }
    return FANIN_OK;
}
