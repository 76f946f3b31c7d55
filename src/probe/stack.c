/* stack.c - is the network a plain stack, and where in the phase diagram of its activation does it stand? */
#include <math.h>
#include <string.h>

#include "probe/figures.h"
#include "probe/second.h"

static bool reshapes(const char *op) {
    static const char *const names[] = {"Flatten",  "Reshape", "Identity", "Transpose",
                                        "Constant", "Shape",   "Squeeze",  "Unsqueeze"};
    for (size_t i = 0; i < FANIN_COUNT(names); i++)
        if (!strcmp(op, names[i])) return true;
    return false;
}

/* Nothing but dense layers, one activation right behind each but the last, and reshaping. */
static bool is_plain(const fanin_graph *g, const fanin__layer *l, int count) {
    int nodes = 0;
    if (count < 3) return false;
    for (int i = 0; i < count; i++) {
        const fanin_node *n = &g->nodes[l[i].node];
        if (strcmp(n->op, "Gemm") != 0 && strcmp(n->op, "MatMul") != 0) return false;
        bool last = i == count - 1;
        if (last != (l[i].act_text[0] == '\0')) return false;
        if (!last && (strcmp(l[i].act_text, l[0].act_text) != 0 || !l[i].act ||
                      l[i].act_input != l[i].output || l[i].act_output < 0))
            return false;
        nodes += 1 + !last + (l[i].output != n->outputs[0]);
    }
    for (int i = 0; i < g->node_count; i++) nodes -= !reshapes(g->nodes[i].op);
    return nodes == 0;
}

/* The vector that is added: Gemm's third operand, or what a MatMul's Add adds. -1: none. */
static int bias_of(const fanin_graph *g, const fanin__layer *l) {
    const fanin_node *n = &g->nodes[l->node];
    if (l->output == n->outputs[0]) return n->input_count > 2 ? n->inputs[2] : -1;
    const fanin_node *add = &g->nodes[g->values[l->output].producer];
    return add->inputs[0] == n->outputs[0] ? add->inputs[1] : add->inputs[0];
}

typedef struct dense_layer {
    fanin_buffer w;
    size_t units, inputs;
    double sigma_w2, sigma_b2;
} dense_layer;

/* `size`: root mean square of the weight, which was measured. */
static bool read_layer(const fanin_graph *g, const fanin__layer *l, const fanin_program *p,
                       double size, dense_layer *out) {
    int at = fanin__weight_index(p, l->weight), bias = bias_of(g, l);
    if (at < 0) return false;
    out->w = fanin_program_weight(p, at);
    if (out->w.rank != 2 || out->w.count == 0 || out->w.dtype != FANIN_F32) return false;
    out->units = (size_t)out->w.dims[l->rows_are_inputs ? 1 : 0];
    out->inputs = out->w.count / out->units;
    double shift = 0;
    if (bias >= 0) {
        int b = fanin__weight_index(p, bias);
        if (b < 0) return false;
        shift = fanin__root_mean_square(fanin_program_weight(p, b));
    }
    out->sigma_w2 = size * size * (double)out->inputs;
    out->sigma_b2 = shift * shift;
    return isfinite(out->sigma_w2) && isfinite(out->sigma_b2) && size > 0;
}

/* Rows of an orthogonal matrix (of a tall one: columns) are at right angles and of one length; a few say it, since
 * those of a Gaussian one stand off by 1 / sqrt(n) each. */
static bool is_orthogonal(fanin_buffer w) {
    enum { FEW = 8 };
    size_t rows = (size_t)w.dims[0], cols = w.count / rows, n = rows < cols ? cols : rows;
    size_t least = rows < cols ? rows : cols, count = least < FEW ? least : FEW;
    size_t apart = rows < cols ? cols : 1, step = rows < cols ? 1 : cols;
    double gram[FEW][FEW];
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k <= i; k++) {
            const float *a = (const float *)w.data + i * least / count * apart;
            const float *b = (const float *)w.data + k * least / count * apart;
            gram[i][k] = 0;
            for (size_t j = 0; j < n; j++) gram[i][k] += (double)a[j * step] * (double)b[j * step];
        }
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k <= i; k++)
            if (!(fabs(gram[i][k] - (i == k ? gram[0][0] : 0)) < 1e-3 * gram[0][0])) return false;
    return true;
}

void fanin__find_stack(const fanin_graph *g, const fanin__layer *layers, const fanin_program *p,
                       fanin_signal *s) {
    fanin_plain_stack *out = &s->stack;
    int count = s->layer_count;
    dense_layer first = {0}, l = {0};
    double log_w2 = 0, b2 = 0, low = INFINITY, high = 0;
    *out = (fanin_plain_stack){.plain = false};
    if (!is_plain(g, layers, count)) return;
    double widest = 0, narrowest = INFINITY;
    for (int i = 0; i < count; i++) {
        if (!read_layer(g, &layers[i], p, exp(s->layers[i].weight_std), &l)) return;
        widest = fmax(widest, fmax((double)l.units, (double)l.inputs));
        narrowest = fmin(narrowest, fmin((double)l.units, (double)l.inputs));
        if (i == 0 || i == count - 1) continue;
        if (i == 1) first = l;
        log_w2 += log(l.sigma_w2) / (count - 2);
        b2 += l.sigma_b2 / (count - 2);
        low = fmin(low, l.sigma_w2);
        high = fmax(high, l.sigma_w2);
    }
    if (!(high < 1.5 * low)) return;
    out->plain = true;
    out->activation = s->layers[0].activation;
    out->sigma_w2 = exp(log_w2);
    out->sigma_b2 = b2;
    out->depth = count - 1;
    out->square = widest <= 1.1 * narrowest;
    out->orthogonal = is_orthogonal(first.w);
    out->output_w2 = l.sigma_w2;
    out->output_orthogonal = is_orthogonal(l.w);
}
