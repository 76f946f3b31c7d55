#include <string.h>

#include "base/base.h"
#include "fanin/graph.h"
#include "testing.h"

static bool statistic(const char *name) { return strstr(name, ".running_") != NULL; }

/* Elements of initialisers, running statistics left out: what frameworks call parameters. */
static double parameters(const char *model) {
    fanin_graph *g;
    fanin_err err = {0};
    assert_ok_err(fanin_graph_builtin(model, &g, &err), err);
    double total = 0;
    for (int i = 0; i < g->value_count; i++) {
        const fanin_value *v = &g->values[i];
        size_t n;
        if (!(v->flags & FANIN_VALUE_INITIALIZER) || statistic(v->name)) continue;
        assert_true(fanin__shape_count(v->dims, v->rank, &n));
        total += (double)n;
    }
    fanin_graph_destroy(g);
    return total;
}

/* Published counts: torchvision 0.14's model table, the CIFAR ResNet re-implementation's 0.27 M to
 * 1.7 M, GPT-2's paper sizes, LeNet-5 with full connections. */
TEST(parameter_counts_are_the_published_ones) {
    static const struct {
        const char *model;
        double count;
    } known[] = {
        {"vgg:11", 132863336},
        {"vgg:11,norm=batch", 132868840},
        {"vgg:13", 133047848},
        {"vgg:16", 138357544},
        {"vgg:19", 143667240},
        {"vgg:19,norm=batch", 143678248},
        {"resnet:18", 11689512},
        {"resnet:34", 21797672},
        {"resnet:50", 25557032},
        {"resnet:101", 44549160},
        {"resnet:152", 60192808},
        {"densenet:121", 7978856},
        {"densenet:161", 28681000},
        {"densenet:169", 14149480},
        {"densenet:201", 20013928},
        {"resnet:20", 269722},
        {"resnet:32", 464154},
        {"resnet:44", 658586},
        {"resnet:56", 853018},
        {"resnet:110", 1727962},
        {"lenet5", 61706},
        {"gpt2:124m", 124439808},
        {"gpt2:355m", 354823168},
        {"gpt2:774m", 774030080},
        {"gpt2:1558m", 1557611200},
        {"vit:b16", 86567656},
        {"vit:b32", 88224232},
        {"vit:l16", 304326632},
        {"mlp:784-1000x5-10", 784. * 1000 + 1000 + 4 * 1001000. + 10010},
        {"mlp:784-100-10,bias=0", 79400},
        {"autoencoder:784-1000-500-250-30", 2837314},
        {"tensor:w=64x3x7x7,b=64", 9472},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_near(parameters(known[i].model), known[i].count, 0, 0);
}

static fanin_graph *build(const char *model) {
    fanin_graph *g;
    fanin_err err = {0};
    assert_ok_err(fanin_graph_builtin(model, &g, &err), err);
    return g;
}

static const fanin_value *value(const fanin_graph *g, const char *name) {
    int i = fanin_graph_find(g, name);
    if (i < 0) fail_msg("%s: no value '%s'", g->name, name);
    return &g->values[i];
}

static int count_ops(const fanin_graph *g, const char *op) {
    int n = 0;
    for (int i = 0; i < g->node_count; i++) n += strcmp(g->nodes[i].op, op) == 0;
    return n;
}

TEST(mlp_names_tensors_in_module_order) {
    fanin_graph *g = build("mlp:784-1000x5-10,act=tanh");
    static const char *const names[] = {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"};
    int k = 0;
    for (int i = 0; i < g->value_count && k < 4; i++)
        if (g->values[i].flags & FANIN_VALUE_INITIALIZER)
            assert_string_equal(g->values[i].name, names[k++]);
    const fanin_value *w = value(g, "fc6.weight"), *x = value(g, "input");
    assert_int_equal(w->rank, 2);
    assert_int_equal(w->dims[0], 10);
    assert_int_equal(w->dims[1], 1000);
    assert_null(w->data);
    assert_int_equal(x->dims[0], -1);
    assert_string_equal(x->dim_names[0], "N");
    assert_int_equal(count_ops(g, "Gemm"), 6);
    assert_int_equal(count_ops(g, "Tanh"), 5);
    assert_string_equal(g->values[g->outputs[0]].name, "logits");
    assert_int_equal(g->opset, 17);
    fanin_graph_destroy(g);
}

static const fanin_node *only(const fanin_graph *g, const char *op) {
    const fanin_node *found = NULL;
    for (int i = 0; i < g->node_count; i++)
        if (strcmp(g->nodes[i].op, op) == 0) found = &g->nodes[i];
    if (!found) fail_msg("%s: no %s", g->name, op);
    return found;
}

TEST(activations_are_one_node) {
    fanin_graph *g = build("mlp:4-3-2,act=leaky_relu:0.2");
    assert_near(fanin_node_attr_float(only(g, "LeakyRelu"), "alpha", 0), 0.2, 1e-7, 0);
    fanin_graph_destroy(g);
    g = build("mlp:4-3-2,act=x*sigmoid(1.702*x)");
    const fanin_node *node = only(g, "Activation");
    assert_string_equal(node->domain, "fanin");
    assert_non_null(fanin_node_attr(node, "formula"));
    fanin_graph_destroy(g);
    g = build("mlp:4-3-2,act=max(x,0.5*x),bias=0"); /* a comma inside brackets */
    assert_non_null(fanin_node_attr(only(g, "Activation"), "formula"));
    fanin_graph_destroy(g);
    g = build("mlp:4-3-2,act=gelu");
    assert_string_equal(fanin_node_attr_string(only(g, "Activation"), "name", ""), "gelu");
    fanin_graph_destroy(g);
    g = build("mlp:4-3-2,act=identity");
    assert_int_equal(g->node_count, 2);
    fanin_graph_destroy(g);
    g = build("mlp:4-3-2,act=prelu");
    assert_int_equal(value(g, "fc1_slope.weight")->rank, 1);
    assert_int_equal(count_ops(g, "PRelu"), 1);
    fanin_graph_destroy(g);
}

TEST(norms_and_dropout_are_inserted) {
    fanin_graph *g = build("mlp:4-3x2-2,norm=batch,dropout=0.5");
    const fanin_node *norm = only(g, "BatchNormalization");
    assert_int_equal(norm->input_count, 5);
    assert_int_equal(norm->output_count, 3);
    assert_int_equal(fanin_node_attr_int(norm, "training_mode", 0), 1);
    assert_string_equal(g->values[norm->inputs[4]].name, "norm2.running_var");
    assert_int_equal(count_ops(g, "Dropout"), 2);
    fanin_graph_destroy(g);
    g = build("mlp:4-3x2-2,act=selu,alpha_dropout=0.1");
    assert_int_equal(count_ops(g, "Dropout"), 0);
    assert_int_equal(count_ops(g, "AlphaDropout"), 2);
    fanin_graph_destroy(g);
    g = build("convnet:3x8x8-4-8x2-10,norm=layer");
    norm = only(g, "LayerNormalization");
    assert_int_equal(value(g, "norm3.weight")->rank, 3);
    assert_int_equal(value(g, "norm3.weight")->dims[1], 4);
    fanin_graph_destroy(g);
}

TEST(resnet20_shortcuts_have_no_parameters) {
    fanin_graph *g = build("resnet:20");
    assert_int_equal(count_ops(g, "Conv"), 19);
    assert_int_equal(count_ops(g, "BatchNormalization"), 19);
    assert_int_equal(count_ops(g, "Pad"), 2);
    assert_int_equal(count_ops(g, "Slice"), 2);
    assert_int_equal(fanin_graph_find(g, "conv1.bias"), -1);
    fanin_graph_destroy(g);
    g = build("resnet:20,norm=none");
    assert_int_equal(count_ops(g, "BatchNormalization"), 0);
    assert_true(fanin_graph_find(g, "conv1.bias") >= 0);
    fanin_graph_destroy(g);
}

TEST(gpt2_shares_its_embedding) {
    fanin_graph *g = build("gpt2:layers=2,width=64,heads=4,vocab=65,context=32");
    assert_int_equal(fanin_graph_find(g, "lm_head.weight"), -1);
    int embedding = fanin_graph_find(g, "wte.weight"), uses = 0;
    for (int i = 0; i < g->node_count; i++)
        for (int k = 0; k < g->nodes[i].input_count; k++)
            uses += g->nodes[i].inputs[k] == embedding;
    assert_int_equal(uses, 2);
    fanin_graph_destroy(g);
    g = build("gpt2:layers=1,width=8,heads=2,vocab=65,context=32,tied=0");
    assert_true(fanin_graph_find(g, "lm_head.weight") >= 0);
    fanin_graph_destroy(g);
}

TEST(wrong_names_are_explained) {
    static const struct {
        const char *model;
        fanin_status status;
        const char *words;
    } cases[] = {
        {"nosuch:1", FANIN_NOTFOUND, "built-in are mlp"},
        {"mlp", FANIN_ARG, "mlp:IN-WIDTH"},
        {"mlp:784", FANIN_ARG, "at least one layer"},
        {"mlp:784-", FANIN_ARG, "list of widths"},
        {"mlp:784--10", FANIN_ARG, "list of widths"},
        {"mlp:784-0-10", FANIN_ARG, "list of widths"},
        {"mlp:784-10x-10", FANIN_ARG, "list of widths"},
        {"mlp:784-10x999999-10", FANIN_ARG, "layers are more than"},
        {"mlp:784-99999999999999999999-10", FANIN_ARG, "list of widths"},
        {"mlp:784-10,act=nosuchact", FANIN_ARG, "nosuchact"},
        {"mlp:784-10,act=", FANIN_ARG, "expected"},
        {"mlp:784-10,norm=group", FANIN_ARG, "norm=group"},
        {"mlp:784-10,bias=maybe", FANIN_ARG, "bias=maybe"},
        {"mlp:784-10,dropout=1", FANIN_ARG, "dropout=1"},
        {"mlp:784-10,classes=3", FANIN_ARG, "no option 'classes'"},
        {"mlp:784-10,act=tanh,act=relu", FANIN_ARG, "given twice"},
        {"mlp:784-10,act", FANIN_ARG, "OPTION=VALUE"},
        {"mlp:784-10,", FANIN_ARG, "OPTION=VALUE"},
        {"resnet:19", FANIN_ARG, "no resnet of '19'"},
        {"vgg:12", FANIN_ARG, "no vgg of '12'"},
        {"vgg:11,input=3x16x16", FANIN_ARG, "five halvings"},
        {"gpt2:9b", FANIN_ARG, "no size '9b'"},
        {"gpt2:layers=1,width=10,heads=3", FANIN_ARG, "cannot be split"},
        {"vit:size=225", FANIN_ARG, "multiple of the patch"},
        {"tensor:", FANIN_ARG, "name and a shape"},
        {"tensor:w=3xx4", FANIN_ARG, "not a shape"},
        {"tensor:w=1099511627776x1099511627776", FANIN_LIMIT, "too many"},
        {"tensor:w=1x1x1x1x1x1x1x1x1", FANIN_ARG, "axes"},
        {"lenet5:7", FANIN_ARG, "'7'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fanin_graph *g = (fanin_graph *)&g;
        fanin_err err = {0};
        fanin_status status = fanin_graph_builtin(cases[i].model, &g, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].words))
            fail_msg("%s: status %d, %s", cases[i].model, (int)status, err.message);
        assert_null(g);
    }
}

TEST(table_rows_name_themselves) {
    assert_true(fanin_builtin_count() >= 9);
    for (int i = 0; i < fanin_builtin_count(); i++) {
        fanin_builtin_info info = fanin_builtin_at(i);
        assert_memory_equal(info.grammar, info.name, strlen(info.name));
    }
}
