/* builtin_densenet.c - densely connected networks of Huang et al. 2017 (DenseNet-BC), with torchvision's
 * names and parameter counts: every layer reads the channels of all before it in its block. */
#include <stdio.h>
#include <string.h>

#include "graph/builtin.h"

typedef struct densenet {
    const char *name;
    int64_t growth, first;
    int blocks[4];
} densenet;

static const densenet densenets[] = {
    {"121", 32, 64, {6, 12, 24, 16}},
    {"161", 48, 96, {6, 12, 36, 24}},
    {"169", 32, 64, {6, 12, 32, 32}},
    {"201", 32, 64, {6, 12, 48, 32}},
};

typedef struct builder {
    fanin__net *net;
    int64_t channels, height, width; /* of the current value */
} builder;

/* Norm, activation, convolution: "<layer>.norm1" goes with "<layer>.conv1". */
static int norm_conv(const builder *b, int x, const char *layer, const char *index, fanin__conv c) {
    char norm[96], conv[96];
    snprintf(norm, sizeof norm, "%s.norm%s", layer, index);
    snprintf(conv, sizeof conv, "%s.conv%s", layer, index);
    x = fanin__net_normalize(b->net, norm, x, 3, (int64_t[]){c.in, b->height, b->width});
    x = fanin__net_activate(b->net, norm, x);
    return fanin__net_conv(b->net, conv, x, c, b->net->bias);
}

static int dense_layer(builder *b, int x, const char *layer, int64_t growth) {
    fanin_attr axis = fanin__attr_int("axis", 1);
    int y = norm_conv(b, x, layer, "1", (fanin__conv){b->channels, 4 * growth, 1, 1, 0, 1});
    y = norm_conv(b, y, layer, "2", (fanin__conv){4 * growth, growth, 3, 1, 1, 1});
    y = fanin__net_dropout(b->net, y);
    b->channels += growth;
    return fanin__net_node(b->net, "Concat", NULL, (int[]){x, y}, 2, &axis, 1);
}

/* Half the channels, half the side. */
static int transition(builder *b, int x, const char *layer) {
    x = norm_conv(b, x, layer, "", (fanin__conv){b->channels, b->channels / 2, 1, 1, 0, 1});
    b->channels /= 2;
    b->height /= 2;
    b->width /= 2;
    return fanin__net_pool(b->net, "AveragePool", x, 2, 2, 0);
}

static int stem(builder *b, int x, int64_t out) {
    b->height = (b->height - 1) / 2 + 1;
    b->width = (b->width - 1) / 2 + 1;
    x = fanin__net_conv(b->net, "features.conv0", x, (fanin__conv){b->channels, out, 7, 2, 3, 1},
                        b->net->bias);
    x = fanin__net_normalize(b->net, "features.norm0", x, 3, (int64_t[]){out, b->height, b->width});
    x = fanin__net_activate(b->net, "features.norm0", x);
    b->channels = out;
    b->height = (b->height - 1) / 2 + 1;
    b->width = (b->width - 1) / 2 + 1;
    return fanin__net_pool(b->net, "MaxPool", x, 3, 2, 1);
}

static int features(builder *b, int x, const densenet *d) {
    char layer[64];
    x = stem(b, x, d->first);
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < d->blocks[i]; k++) {
            snprintf(layer, sizeof layer, "features.denseblock%d.denselayer%d", i + 1, k + 1);
            x = dense_layer(b, x, layer, d->growth);
        }
        snprintf(layer, sizeof layer, "features.transition%d", i + 1);
        if (i < 3) x = transition(b, x, layer);
    }
    x = fanin__net_normalize(b->net, "features.norm5", x, 3,
                             (int64_t[]){b->channels, b->height, b->width});
    return fanin__net_activate(b->net, "features.norm5", x);
}

fanin_status fanin__builtin_densenet(const fanin__spec *spec, fanin_graph **graph, fanin_err *err) {
    const densenet *d = NULL;
    for (size_t i = 0; i < FANIN_COUNT(densenets); i++)
        if (strcmp(spec->argument, densenets[i].name) == 0) d = &densenets[i];
    if (!d)
        return fanin__spec_error(spec, err, "there is no densenet of '%.20s' layers",
                                 spec->argument);
    int64_t image[3] = {3, 224, 224}, classes = 1000;
    fanin__net net, defaults = {.act = "relu", .norm = FANIN__NORM_BATCH};
    FANIN_TRY(fanin__spec_shape(spec, "input", 3, image, err));
    FANIN_TRY(fanin__spec_int(spec, "classes", 1, 1 << 24, &classes, err));
    if (image[1] < 29 || image[2] < 29)
        return fanin__spec_error(spec, err, "five halvings need an input of 29x29 or more");
    defaults.bias = strcmp(fanin__spec_text(spec, "norm", "batch"), "none") == 0;
    FANIN_TRY(fanin__net_start(spec, defaults, &net, err));
    builder b = {&net, image[0], image[1], image[2]};
    int x = fanin_graph_input(net.b, "input", FANIN_F32, 4,
                              (int64_t[]){-1, image[0], image[1], image[2]});
    x = features(&b, x, d);
    x = fanin__net_flatten(&net, fanin__net_unary(&net, "GlobalAveragePool", x));
    x = fanin__net_linear(&net, "classifier", x, b.channels, classes, true);
    return fanin__net_finish(&net, x, "logits", graph, err);
}
