/* divergence.c - whose numbers stopped being numbers first.
 *
 * Backwards a NaN reaches every layer, so the gradients of the run that failed say nothing. The failed batch
 * goes through once more with every value kept: forward, the first layer in network order with a weight or an
 * output that is not finite; if the forward pass is sound, the layer nearest to the loss whose gradient is not. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "probe/figures.h"
#include "train/trainer.h"

static bool has_non_number(fanin_buffer b) {
    const float *v = b.data;
    for (size_t i = 0; v && b.dtype == FANIN_F32 && i < b.count; i++)
        if (!isfinite(v[i])) return true;
    return false;
}

/* A weight that no layer claims (a norm's scale) may be the one. */
static const char *first_weight(const fanin_program *p) {
    for (int i = 0; i < fanin_program_weight_count(p); i++)
        if (has_non_number(fanin_program_weight(p, i))) return fanin_program_weight_name(p, i);
    return "";
}

static const char *first_layer(const fanin_graph *g, const fanin_program *p,
                               const fanin__layer *layers, int count) {
    for (int i = 0; i < count; i++) {
        int at = fanin__weight_index(p, layers[i].weight);
        if ((at >= 0 && has_non_number(fanin_program_weight(p, at))) ||
            has_non_number(fanin_program_value(p, layers[i].output)))
            return g->values[layers[i].weight].name;
    }
    for (int i = count; i-- > 0;)
        if (has_non_number(fanin_program_value_gradient(p, layers[i].output)))
            return g->values[layers[i].weight].name;
    return first_weight(p);
}

static void copy_buffer(fanin_buffer from, fanin_buffer to) {
    memcpy(to.data, from.data, from.count * fanin_dtype_size(from.dtype));
}

fanin_status fanin__divergence_find(fanin_trainer *t, char *layer, size_t size, fanin_err *err) {
    fanin__layer *layers = NULL;
    int count = 0;
    fanin_program *p = NULL;
    fanin_status status = fanin__layers_find(t->graph, &layers, &count, err);
    if (status == FANIN_OK)
        status = fanin__train_plan(t,
                                   (fanin_program_options){.batch = t->options.batch,
                                                           .gradients = true,
                                                           .keep_values = true},
                                   &p, err);
    if (status == FANIN_OK) {
        fanin__weights_copy(t->train, p);
        copy_buffer(fanin_program_input(t->train, 0), fanin_program_input(p, 0));
        copy_buffer(fanin_program_target(t->train), fanin_program_target(p));
        fanin_program_set_run(p, t->state.step);
        status = fanin_program_run(p, err);
    }
    if (status == FANIN_OK) snprintf(layer, size, "%s", first_layer(t->graph, p, layers, count));
    fanin_program_destroy(p);
    fanin__layers_free(layers, count);
    return status;
}
