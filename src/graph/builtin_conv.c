/* builtin_conv.c - plain convolutional networks: lenet5, convnet, vgg. */
#include <stdio.h>
#include <string.h>

#include "graph/builtin.h"

/* ---- lenet5 ------------------------------------------------------------------------------------ */

/* LeCun et al. 1998 with full connections between maps: 61 706 parameters on 28x28. */
static int lenet_stage(fanin__net *net, int index, int x, fanin__conv c, int64_t side) {
    char conv[16], norm[16];
    snprintf(conv, sizeof conv, "conv%d", index);
    snprintf(norm, sizeof norm, "norm%d", index);
    x = fanin__net_conv(net, conv, x, c, net->bias);
    x = fanin__net_normalize(net, norm, x, 3, (int64_t[]){c.out, side, side});
    x = fanin__net_activate(net, conv, x);
    return fanin__net_pool(net, "MaxPool", x, 2, 2, 0);
}

fanin_status fanin__builtin_lenet5(const fanin__spec *spec, fanin_graph **graph, fanin_err *err) {
    int64_t classes = 10;
    fanin__net net;
    if (*spec->argument) return fanin__spec_error(spec, err, "'%.40s'?", spec->argument);
    FANIN_TRY(fanin__spec_int(spec, "classes", 1, 1 << 24, &classes, err));
    FANIN_TRY(fanin__net_start(spec, (fanin__net){.act = "relu", .bias = true}, &net, err));
    int x = fanin_graph_input(net.b, "input", FANIN_F32, 4, (int64_t[]){-1, 1, 28, 28});
    x = lenet_stage(&net, 1, x, (fanin__conv){1, 6, 5, 1, 2, 1}, 28);
    x = lenet_stage(&net, 2, x, (fanin__conv){6, 16, 5, 1, 0, 1}, 10);
    x = fanin__net_flatten(&net, x);
    const int64_t widths[] = {400, 120, 84};
    for (int i = 0; i < 2; i++) {
        char layer[16];
        snprintf(layer, sizeof layer, "fc%d", i + 1);
        x = fanin__net_linear(&net, layer, x, widths[i], widths[i + 1], net.bias);
        x = fanin__net_activate(&net, layer, x);
        x = fanin__net_dropout(&net, x);
    }
    x = fanin__net_linear(&net, "fc3", x, 84, classes, net.bias);
    return fanin__net_finish(&net, x, "logits", graph, err);
}

/* ---- convnet ----------------------------------------------------------------------------------- */

typedef struct convnet {
    int64_t image[3], kernel;
    bool pool;
    fanin__stage *stages; /* the last one holds the classes */
    int count;
} convnet;

static int convnet_layers(fanin__net *net, const convnet *c, int x) {
    int64_t in = c->image[0], height = c->image[1], width = c->image[2];
    int index = 1;
    for (int i = 0; i + 1 < c->count; i++) {
        if (c->pool && i > 0 && height > 1 && width > 1) {
            x = fanin__net_pool(net, "MaxPool", x, 2, 2, 0);
            height /= 2;
            width /= 2;
        }
        for (int64_t k = 0; k < c->stages[i].count; k++, index++) {
            char conv[16], norm[16];
            snprintf(conv, sizeof conv, "conv%d", index);
            snprintf(norm, sizeof norm, "norm%d", index);
            int64_t out = c->stages[i].width;
            fanin__conv shape = {in, out, c->kernel, 1, c->kernel / 2, 1};
            x = fanin__net_conv(net, conv, x, shape, net->bias);
            x = fanin__net_normalize(net, norm, x, 3, (int64_t[]){out, height, width});
            x = fanin__net_activate(net, conv, x);
            in = out;
        }
    }
    x = fanin__net_unary(net, "GlobalAveragePool", x);
    x = fanin__net_dropout(net, fanin__net_flatten(net, x));
    return fanin__net_linear(net, "fc", x, in, c->stages[c->count - 1].width, net->bias);
}

static fanin_status read_convnet(const fanin__spec *spec, convnet *c, fanin_err *err) {
    const char *s = spec->argument;
    for (int i = 0; i < 3; i++) {
        bool fine = (!i || *s++ == 'x') && fanin__spec_number(&s, 1 << 20, &c->image[i]);
        if (!fine) return fanin__spec_error(spec, err, "the input's shape CxHxW comes first");
    }
    if (*s++ != '-') return fanin__spec_error(spec, err, "stages are needed behind the input");
    c->kernel = 3;
    c->pool = true;
    FANIN_TRY(fanin__spec_int(spec, "kernel", 1, 63, &c->kernel, err));
    if (c->kernel % 2 == 0) return fanin__spec_error(spec, err, "kernel= must be odd");
    FANIN_TRY(fanin__spec_bool(spec, "pool", &c->pool, err));
    FANIN_TRY(fanin__spec_stages(spec, s, &c->stages, &c->count, err));
    if (c->count >= 2 && c->stages[c->count - 1].count == 1) return FANIN_OK;
    fanin_free(c->stages);
    return fanin__spec_error(spec, err, "at least one stage and the number of classes are needed");
}

fanin_status fanin__builtin_convnet(const fanin__spec *spec, fanin_graph **graph, fanin_err *err) {
    convnet c;
    fanin__net net;
    FANIN_TRY(read_convnet(spec, &c, err));
    fanin_status status =
        fanin__net_start(spec, (fanin__net){.act = "relu", .bias = true}, &net, err);
    if (status == FANIN_OK) {
        int x = fanin_graph_input(net.b, "input", FANIN_F32, 4,
                                  (int64_t[]){-1, c.image[0], c.image[1], c.image[2]});
        x = convnet_layers(&net, &c, x);
        status = fanin__net_finish(&net, x, "logits", graph, err);
    }
    fanin_free(c.stages);
    return status;
}

/* ---- vgg --------------------------------------------------------------------------------------- */

/* Convolutions of each of the five stages (table 1, columns A, B, D, E). */
static const struct {
    const char *name;
    int stages[5];
} vggs[] = {{"11", {1, 1, 2, 2, 2}},
            {"13", {2, 2, 2, 2, 2}},
            {"16", {2, 2, 3, 3, 3}},
            {"19", {2, 2, 4, 4, 4}}};

/* Modules are numbered as in torchvision's Sequential: norms, activations and pools count too. */
static int vgg_features(fanin__net *net, const int *stages, int64_t *image, int x) {
    static const int64_t channels[] = {64, 128, 256, 512, 512};
    int module = 0;
    for (int i = 0; i < 5; i++) {
        for (int k = 0; k < stages[i]; k++) {
            char conv[32], norm[32];
            snprintf(conv, sizeof conv, "features.%d", module++);
            x = fanin__net_conv(net, conv, x, (fanin__conv){image[0], channels[i], 3, 1, 1, 1},
                                net->bias);
            image[0] = channels[i];
            if (net->norm != FANIN__NORM_NONE) {
                snprintf(norm, sizeof norm, "features.%d", module++);
                x = fanin__net_normalize(net, norm, x, 3, image);
            }
            x = fanin__net_activate(net, conv, x);
            module++;
        }
        x = fanin__net_pool(net, "MaxPool", x, 2, 2, 0);
        module++;
        image[1] /= 2;
        image[2] /= 2;
    }
    return x;
}

static int vgg_classifier(fanin__net *net, int64_t in, int64_t classes, int x) {
    static const char *const names[] = {"classifier.0", "classifier.3"};
    x = fanin__net_flatten(net, x);
    for (int i = 0; i < 2; i++, in = 4096) {
        x = fanin__net_linear(net, names[i], x, in, 4096, net->bias);
        x = fanin__net_dropout(net, fanin__net_activate(net, names[i], x));
    }
    return fanin__net_linear(net, "classifier.6", x, in, classes, net->bias);
}

fanin_status fanin__builtin_vgg(const fanin__spec *spec, fanin_graph **graph, fanin_err *err) {
    const int *stages = NULL;
    for (size_t i = 0; i < FANIN_COUNT(vggs); i++)
        if (strcmp(spec->argument, vggs[i].name) == 0) stages = vggs[i].stages;
    if (!stages)
        return fanin__spec_error(spec, err, "there is no vgg of '%.20s' layers", spec->argument);
    int64_t image[3] = {3, 224, 224}, classes = 1000;
    fanin__net net;
    FANIN_TRY(fanin__spec_shape(spec, "input", 3, image, err));
    FANIN_TRY(fanin__spec_int(spec, "classes", 1, 1 << 24, &classes, err));
    if (image[1] < 32 || image[2] < 32)
        return fanin__spec_error(spec, err, "five halvings need an input of 32x32 or more");
    FANIN_TRY(fanin__net_start(spec, (fanin__net){.act = "relu", .bias = true}, &net, err));
    int x = fanin_graph_input(net.b, "input", FANIN_F32, 4,
                              (int64_t[]){-1, image[0], image[1], image[2]});
    x = vgg_features(&net, stages, image, x);
    x = vgg_classifier(&net, image[0] * image[1] * image[2], classes, x);
    return fanin__net_finish(&net, x, "logits", graph, err);
}
