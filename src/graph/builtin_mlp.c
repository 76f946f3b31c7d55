/* builtin_mlp.c - networks of dense layers: mlp and autoencoder. */
#include <stdio.h>

#include "graph/builtin.h"

/* Dense layer, norm, activation, dropout: one hidden layer. */
static int hidden(fanin__net *net, const char *prefix, int64_t index, int x, int64_t in,
                  int64_t out) {
    char layer[48], norm[48];
    snprintf(layer, sizeof layer, "%s%lld", prefix, (long long)index);
    snprintf(norm, sizeof norm, "norm%lld", (long long)index);
    x = fanin__net_linear(net, layer, x, in, out, net->bias);
    x = fanin__net_normalize(net, norm, x, 1, &out);
    x = fanin__net_activate(net, layer, x);
    return fanin__net_dropout(net, x);
}

static int dense(fanin__net *net, int64_t index, int x, int64_t in, int64_t out) {
    char layer[48];
    snprintf(layer, sizeof layer, "fc%lld", (long long)index);
    return fanin__net_linear(net, layer, x, in, out, net->bias);
}

static fanin_status start(const fanin__spec *spec, const char *act, fanin__stage **stages,
                          int *count, fanin__net *net, int *input, fanin_err *err) {
    FANIN_TRY(fanin__spec_stages(spec, spec->argument, stages, count, err));
    fanin_status status = FANIN_OK;
    if (*count < 2 || (*stages)[0].count != 1)
        status = fanin__spec_error(spec, err, "an input width and at least one layer are needed");
    if (status == FANIN_OK)
        status = fanin__net_start(spec, (fanin__net){.act = act, .bias = true}, net, err);
    if (status != FANIN_OK) {
        fanin_free(*stages);
        *stages = NULL;
        return status;
    }
    *input = fanin_graph_input(net->b, "input", FANIN_F32, 2, (int64_t[]){-1, (*stages)[0].width});
    return FANIN_OK;
}

fanin_status fanin__builtin_mlp(const fanin__spec *spec, fanin_graph **graph, fanin_err *err) {
    fanin__stage *stages;
    fanin__net net;
    int count, x;
    FANIN_TRY(start(spec, "relu", &stages, &count, &net, &x, err));
    int64_t width = stages[0].width, index = 1;
    for (int i = 1; i < count; i++) {
        for (int64_t k = 0; k < stages[i].count; k++, width = stages[i].width) {
            bool last = i == count - 1 && k == stages[i].count - 1;
            x = last ? dense(&net, index, x, width, stages[i].width)
                     : hidden(&net, "fc", index, x, width, stages[i].width);
            index++;
        }
    }
    fanin_free(stages);
    return fanin__net_finish(&net, x, "logits", graph, err);
}

/* Widths listed one by one: in, ..., code. NULL: no memory. */
static int64_t *spread(const fanin__stage *stages, int count, int64_t *total) {
    *total = 0;
    for (int i = 0; i < count; i++) *total += stages[i].count;
    int64_t *widths = fanin_calloc((size_t)*total, sizeof *widths), n = 0;
    for (int i = 0; widths && i < count; i++)
        for (int64_t k = 0; k < stages[i].count; k++) widths[n++] = stages[i].width;
    return widths;
}

fanin_status fanin__builtin_autoencoder(const fanin__spec *spec, fanin_graph **graph,
                                        fanin_err *err) {
    fanin__stage *stages;
    fanin__net net;
    int count, x;
    FANIN_TRY(start(spec, "sigmoid", &stages, &count, &net, &x, err));
    int64_t total;
    int64_t *widths = spread(stages, count, &total);
    fanin_free(stages);
    if (!widths) {
        fanin__net_abandon(&net);
        return fanin_err_set(err, FANIN_NOMEM, "autoencoder: not enough memory");
    }
    int64_t index = 1;
    for (int64_t i = 1; i < total; i++, index++) /* the code itself is linear */
        x = i == total - 1 ? dense(&net, index, x, widths[i - 1], widths[i])
                           : hidden(&net, "fc", index, x, widths[i - 1], widths[i]);
    for (int64_t i = total - 2; i >= 0; i--, index++)
        x = i == 0 ? dense(&net, index, x, widths[1], widths[0])
                   : hidden(&net, "fc", index, x, widths[i + 1], widths[i]);
    fanin_free(widths);
    return fanin__net_finish(&net, x, "reconstruction", graph, err);
}
