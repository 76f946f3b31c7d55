/* builtin_resnet.c - residual networks of He et al. 2016: ImageNet's, with torchvision's names and
 * parameter counts, and CIFAR's 6n+2 layers with identity shortcuts without parameters (option A). */
#include <stdio.h>
#include <string.h>

#include "graph/builtin.h"

typedef struct resnet {
    int depth;
    bool cifar, bottleneck;
    int stages[4], stage_count;
} resnet;

static const resnet resnets[] = {
    {18, false, false, {2, 2, 2, 2}, 4},  {34, false, false, {3, 4, 6, 3}, 4},
    {50, false, true, {3, 4, 6, 3}, 4},   {101, false, true, {3, 4, 23, 3}, 4},
    {152, false, true, {3, 8, 36, 3}, 4},
};

typedef struct builder {
    fanin__net *net;
    const resnet *r;
    int64_t channels, height, width; /* of the current value */
} builder;

/* Convolution and norm; "<block>.conv1" goes with "<block>.bn1". */
static int conv_norm(builder *b, int x, const char *conv, const char *norm, int64_t in, int64_t out,
                     int64_t kernel, int64_t stride, int64_t height, int64_t width) {
    fanin__conv c = {in, out, kernel, stride, kernel / 2, 1};
    x = fanin__net_conv(b->net, conv, x, c, b->net->bias);
    return fanin__net_normalize(b->net, norm, x, 3, (int64_t[]){out, height, width});
}

static int numbered(builder *b, int x, const char *block, int i, int64_t in, int64_t out,
                    int64_t kernel, int64_t stride, int64_t height, int64_t width) {
    char conv[64], norm[64];
    snprintf(conv, sizeof conv, "%s%sconv%d", block, *block ? "." : "", i);
    snprintf(norm, sizeof norm, "%s%sbn%d", block, *block ? "." : "", i);
    return conv_norm(b, x, conv, norm, in, out, kernel, stride, height, width);
}

/* Option A: every second position, and zeros for the new channels, half on each side. */
static int pad_shortcut(builder *b, int x, int64_t out, int64_t stride) {
    fanin__net *net = b->net;
    if (stride != 1) {
        int inputs[] = {x, fanin__net_ints(net, (int64_t[]){0, 0}, 2),
                        fanin__net_ints(net, (int64_t[]){INT64_MAX, INT64_MAX}, 2),
                        fanin__net_ints(net, (int64_t[]){2, 3}, 2),
                        fanin__net_ints(net, (int64_t[]){stride, stride}, 2)};
        x = fanin__net_node(net, "Slice", NULL, inputs, 5, NULL, 0);
    }
    int64_t before = (out - b->channels) / 2, after = out - b->channels - before;
    if (out == b->channels) return x;
    int pads = fanin__net_ints(net, (int64_t[]){0, before, 0, 0, 0, after, 0, 0}, 8);
    return fanin__net_binary(net, "Pad", x, pads);
}

static int shortcut(builder *b, int x, const char *block, int64_t out, int64_t stride,
                    int64_t height, int64_t width) {
    if (out == b->channels && stride == 1) return x;
    if (b->r->cifar) return pad_shortcut(b, x, out, stride);
    char conv[64], norm[64];
    snprintf(conv, sizeof conv, "%s.downsample.0", block);
    snprintf(norm, sizeof norm, "%s.downsample.1", block);
    return conv_norm(b, x, conv, norm, b->channels, out, 1, stride, height, width);
}

/* torchvision strides in the 3x3 of a bottleneck ("v1.5"). */
static int residual_block(builder *b, int x, const char *block, int64_t planes, int64_t stride) {
    int64_t height = (b->height - 1) / stride + 1, width = (b->width - 1) / stride + 1;
    int64_t out = b->r->bottleneck ? 4 * planes : planes;
    int y;
    if (b->r->bottleneck) {
        y = numbered(b, x, block, 1, b->channels, planes, 1, 1, b->height, b->width);
        y = fanin__net_activate(b->net, block, y);
        y = numbered(b, y, block, 2, planes, planes, 3, stride, height, width);
    } else {
        y = numbered(b, x, block, 1, b->channels, planes, 3, stride, height, width);
    }
    char second[64], third[64];
    snprintf(second, sizeof second, "%s.act2", block);
    snprintf(third, sizeof third, "%s.act3", block);
    y = fanin__net_dropout(b->net, fanin__net_activate(b->net, second, y));
    y = numbered(b, y, block, b->r->bottleneck ? 3 : 2, planes, out, b->r->bottleneck ? 1 : 3, 1,
                 height, width);
    int way = shortcut(b, x, block, out, stride, height, width);
    y = fanin__net_binary(b->net, "Add", y, way);
    b->channels = out;
    b->height = height;
    b->width = width;
    return fanin__net_activate(b->net, third, y);
}

static int stem(builder *b, int x) {
    if (b->r->cifar) {
        x = numbered(b, x, "", 1, b->channels, 16, 3, 1, b->height, b->width);
        b->channels = 16;
        return fanin__net_activate(b->net, "conv1", x);
    }
    b->height = (b->height - 1) / 2 + 1;
    b->width = (b->width - 1) / 2 + 1;
    x = numbered(b, x, "", 1, b->channels, 64, 7, 2, b->height, b->width);
    b->channels = 64;
    x = fanin__net_activate(b->net, "conv1", x);
    b->height = (b->height - 1) / 2 + 1;
    b->width = (b->width - 1) / 2 + 1;
    return fanin__net_pool(b->net, "MaxPool", x, 3, 2, 1);
}

static bool choose(const char *text, resnet *r) {
    uint64_t depth;
    const char *end;
    if (!fanin__parse_u64(text, &end, &depth) || *end) return false;
    for (size_t i = 0; i < FANIN_COUNT(resnets); i++)
        if ((uint64_t)resnets[i].depth == depth) return *r = resnets[i], true;
    if (depth < 8 || depth > 9998 || depth % 6 != 2) return false;
    int n = (int)(depth - 2) / 6;
    *r = (resnet){(int)depth, true, false, {n, n, n, 0}, 3};
    return true;
}

/* Without a norm the convolutions carry biases, with one they do not; bias= overrules. */
static bool default_bias(const fanin__spec *spec) {
    return strcmp(fanin__spec_text(spec, "norm", "batch"), "none") == 0;
}

fanin_status fanin__builtin_resnet(const fanin__spec *spec, fanin_graph **graph, fanin_err *err) {
    resnet r;
    if (!choose(spec->argument, &r))
        return fanin__spec_error(spec, err, "there is no resnet of '%.20s' layers", spec->argument);
    int64_t image[3] = {3, r.cifar ? 32 : 224, r.cifar ? 32 : 224}, classes = r.cifar ? 10 : 1000;
    FANIN_TRY(fanin__spec_shape(spec, "input", 3, image, err));
    FANIN_TRY(fanin__spec_int(spec, "classes", 1, 1 << 24, &classes, err));
    fanin__net net,
        defaults = {.act = "relu", .norm = FANIN__NORM_BATCH, .bias = default_bias(spec)};
    FANIN_TRY(fanin__net_start(spec, defaults, &net, err));
    builder b = {&net, &r, image[0], image[1], image[2]};
    int x = fanin_graph_input(net.b, "input", FANIN_F32, 4,
                              (int64_t[]){-1, image[0], image[1], image[2]});
    x = stem(&b, x);
    for (int i = 0; i < r.stage_count; i++) {
        int64_t planes = (int64_t)(r.cifar ? 16 : 64) << i;
        for (int k = 0; k < r.stages[i]; k++) {
            char block[32];
            snprintf(block, sizeof block, "layer%d.%d", i + 1, k);
            x = residual_block(&b, x, block, planes, i > 0 && k == 0 ? 2 : 1);
        }
    }
    x = fanin__net_flatten(&net, fanin__net_unary(&net, "GlobalAveragePool", x));
    x = fanin__net_linear(&net, "fc", x, b.channels, classes, true);
    return fanin__net_finish(&net, x, "logits", graph, err);
}
