/* The probes: which layers there are, their figures against plain double loops and differences, and the
 * verdict on networks that are known to be sick or well. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "fanin/probe.h"
#include "fanin/random.h"
#include "faults.h"
#include "operator/activation_node.h"
#include "probe/figures.h"
#include "networks.h"
#include "testing.h"

static fanin_signal *measure(const fanin_graph *g, const char *scheme, const char *rule,
                             const fanin_signal_options *o) {
    fanin_signal *s;
    fanin_err err = {0};
    const fanin_init_options init = {.scheme = scheme, .rules = &rule, .rule_count = rule != NULL};
    assert_ok_err(fanin_signal_measure(g, &init, o, &s, &err), err);
    return s;
}

/* ---- layers ------------------------------------------------------------------------------------- */

static int class_of(const fanin_tensors *t, int value) {
    for (int i = 0; i < t->count; i++)
        if (t->items[i].value == value) return (int)t->items[i].tensor.cls;
    return -1;
}

static void check_layers(const char *file, int want, int activations, const char *activation) {
    char name[128];
    snprintf(name, sizeof name, "models/graphs/%s.onnx", file);
    fanin_graph *g = load(test_shared(name));
    fanin__layer *layers;
    fanin_tensors *tensors;
    fanin_err err = {0};
    int count, weights = 0, followed = 0;
    assert_ok_err(fanin__layers_find(g, &layers, &count, &err), err);
    assert_ok_err(fanin_tensors_create(g, NULL, &tensors, &err), err);
    if (count != want) fail_msg("%s: %d layers, expected %d", file, count, want);
    for (int i = 0; i < tensors->count; i++) {
        fanin_class c = tensors->items[i].tensor.cls;
        weights += fanin_class_is_weight(c) && c != FANIN_CLASS_EMBEDDING &&
                   c != FANIN_CLASS_POSITION && c != FANIN_CLASS_CLASS_TOKEN;
    }
    assert_int_equal(weights, count); /* the classification, which goes from tensors to operators */
    for (int i = 0; i < count; i++) {
        assert_true(fanin_class_is_weight((fanin_class)class_of(tensors, layers[i].weight)));
        if (i) assert_true(layers[i].node > layers[i - 1].node);
        if (!layers[i].act_text[0]) continue;
        followed++;
        assert_string_equal(layers[i].act_text, activation);
        assert_non_null(layers[i].act);
        assert_true(layers[i].act_input >= 0);
    }
    if (followed != activations)
        fail_msg("%s: %d layers lead to %s, expected %d", file, followed, activation, activations);
    fanin__layers_free(layers, count);
    fanin_tensors_destroy(tensors);
    fanin_graph_destroy(g);
}

TEST(layers_of_every_graph) {
    check_layers("alexnet", 8, 7, "relu");
    check_layers("vgg11_bn", 11, 10, "relu");
    check_layers("resnet18", 21, 20, "relu");
    check_layers("resnet18_eval_fused", 21, 20, "relu");
    check_layers("resnet50", 54, 53, "relu");
    check_layers("densenet121", 121, 120, "relu");
    check_layers("squeezenet1_1", 26, 26, "relu");
    check_layers("mobilenet_v2", 53, 35, "relu6");
    check_layers("lenet5_weights", 5, 4, "relu");
    check_layers("mlp8_tanh_weights", 9, 8, "tanh");
    check_layers("gpt2_small", 49, 12, "gelu");
    check_layers("vit_b_16", 50, 12, "gelu");
}

/* GELU written with Erf is one activation; its value is not a value of the graph and is computed. */
TEST(an_activation_of_several_nodes_is_measured) {
    fanin_graph *g = load(test_shared("models/graphs/gpt_tiny_weights.onnx"));
    const fanin_signal_options o = {.batch = 4};
    fanin_signal *s = measure(g, "he", NULL, &o);
    int found = 0;
    for (int i = 0; i < s->layer_count; i++) {
        const fanin_layer_signal *l = &s->layers[i];
        if (!l->activation) continue;
        found++;
        assert_true(strncmp(l->activation, "gelu", 4) == 0);
        assert_true(l->h_std < l->std && l->h_std > 0.2 * l->std);
        assert_true(l->h_mean > 0);
    }
    assert_true(found > 0);
    fanin_signal_destroy(s);
    fanin_graph_destroy(g);
}

/* Lowering, schemes and probes share one table; ONNX's parameters become ours. */
TEST(one_name_for_an_operator) {
    const fanin_attr alpha = {.name = "alpha", .type = FANIN_ATTR_FLOAT, .f = (double)0.2f};
    const struct {
        const char *op, *domain;
        const fanin_attr *attr;
        const char *text;
    } rows[] = {
        {"Relu", "", NULL, "relu"},
        {"LeakyRelu", "", NULL, "leaky_relu"},
        {"LeakyRelu", "", &alpha, "leaky_relu:0.2"},
        {"Elu", "", &alpha, "elu:0.2"},
        {"HardSigmoid", "", NULL, "hard_sigmoid:0.2,0.5"},
        {"ThresholdedRelu", "", NULL, "threshold:1"},
        {"Gelu", "", NULL, "gelu"},
        {"Relu", "ai.onnx", NULL, "relu"},
        {"Relu", "other", NULL, NULL},
        {"Conv", "", NULL, NULL},
    };
    for (size_t i = 0; i < FANIN_COUNT(rows); i++) {
        const fanin_node n = {.op = rows[i].op,
                              .domain = rows[i].domain,
                              .attrs = rows[i].attr,
                              .attr_count = rows[i].attr != NULL};
        char buf[96];
        const char *text = fanin__node_activation(&n, buf, sizeof buf);
        if (!rows[i].text)
            assert_null(text);
        else
            assert_string_equal(text, rows[i].text);
    }
}

/* ---- figures against plain loops ------------------------------------------------------------------ */

enum { B = 6, IN = 5, WIDTH = 7, OUT = 3, LAYERS = 3 };
static const int fan_out[LAYERS] = {WIDTH, WIDTH, OUT}, fan_in[LAYERS] = {IN, WIDTH, WIDTH};

typedef struct plain {
    double w[LAYERS][WIDTH][WIDTH], b[LAYERS][WIDTH];
    double x[B][WIDTH], s[B][LAYERS][WIDTH], h[B][LAYERS][WIDTH];
    int64_t label[B];
} plain;

/* Own loss of one sample. */
static double run_forward(plain *p, int sample) {
    for (int l = 0; l < LAYERS; l++) {
        const double *in = l ? p->h[sample][l - 1] : p->x[sample];
        for (int i = 0; i < fan_out[l]; i++) {
            double s = p->b[l][i];
            for (int k = 0; k < fan_in[l]; k++) s += p->w[l][i][k] * in[k];
            p->s[sample][l][i] = s;
            p->h[sample][l][i] = tanh(s);
        }
    }
    double sum = 0;
    const double *y = p->s[sample][LAYERS - 1];
    for (int i = 0; i < OUT; i++) sum += exp(y[i]);
    return log(sum) - y[p->label[sample]];
}

/* d own loss / d s of one unit: its bias moves its s. */
static double slope_at(const plain *p, int sample, int layer, int unit) {
    const double step = 1e-5;
    plain up = *p, down = *p;
    up.b[layer][unit] += step;
    down.b[layer][unit] -= step;
    return (run_forward(&up, sample) - run_forward(&down, sample)) / (2 * step);
}

static void draw_plain(const fanin_graph *g, plain *p, float x[B][IN]) {
    fanin_err err = {0};
    fanin_plan *plan;
    const fanin_init_options init = {.scheme = "xavier", .seed = 0};
    assert_ok_err(fanin_plan_create(g, &init, &plan, &err), err);
    for (int l = 0; l < LAYERS; l++) {
        char name[32];
        double w[WIDTH * WIDTH];
        snprintf(name, sizeof name, "fc%d.weight", l + 1);
        size_t n = (size_t)fan_in[l] * (size_t)fan_out[l];
        assert_ok(fanin_plan_fill(plan, fanin_plan_find(plan, name), 0, n, FANIN_F64, w, &err));
        for (int i = 0; i < fan_out[l]; i++)
            for (int k = 0; k < fan_in[l]; k++) p->w[l][i][k] = w[i * fan_in[l] + k];
    }
    fanin_plan_destroy(plan);
    fanin_stream targets = fanin_stream_init(0, "check/target");
    for (int b = 0; b < B; b++) {
        uint32_t word;
        fanin_stream_words(&targets, 0, (uint64_t)b, 1, &word);
        p->label[b] = (int64_t)(((uint64_t)word * OUT) >> 32);
        for (int i = 0; i < IN; i++) {
            x[b][i] = (float)sin(1.7 * b + 0.9 * i * i);
            p->x[b][i] = (double)x[b][i];
        }
    }
}

static void compare_layer(const plain *p, const fanin_layer_signal *got, int l, double lr) {
    double n = (double)B * fan_out[l], sum = 0, squares = 0, largest = 0, h = 0, hh = 0, flat = 0;
    double grad = 0, cosine = 0, w = 0, dw = 0, slope[B][WIDTH];
    for (int b = 0; b < B; b++)
        for (int i = 0; i < fan_out[l]; i++) {
            double s = p->s[b][l][i], t = tanh(s);
            sum += s;
            squares += s * s;
            largest = fmax(largest, fabs(s));
            h += l < LAYERS - 1 ? t : s;
            hh += l < LAYERS - 1 ? t * t : s * s;
            flat += 1 - t * t < 0.05;
            slope[b][i] = slope_at(p, b, l, i);
            grad += slope[b][i] * slope[b][i];
        }
    for (int a = 0; a < B; a++)
        for (int b = 0; b < B; b++) {
            double ab = 0, aa = 0, bb = 0;
            for (int i = 0; i < fan_out[l]; i++) {
                ab += p->s[a][l][i] * p->s[b][l][i];
                aa += p->s[a][l][i] * p->s[a][l][i];
                bb += p->s[b][l][i] * p->s[b][l][i];
            }
            if (a != b) cosine += ab / sqrt(aa * bb) / (B * (B - 1));
        }
    for (int i = 0; i < fan_out[l]; i++)
        for (int k = 0; k < fan_in[l]; k++) {
            double g = 0;
            for (int b = 0; b < B; b++) g += slope[b][i] * (l ? p->h[b][l - 1][k] : p->x[b][k]) / B;
            dw += g * g;
            w += p->w[l][i][k] * p->w[l][i][k];
        }
    double weights = fan_in[l] * fan_out[l], mean = sum / n, h_mean = h / n;
    const double tol = 3e-6;
    assert_near(got->mean, mean, tol, tol);
    assert_near(got->second_moment, squares / n, 0, tol);
    assert_near(got->std, sqrt(squares / n - mean * mean), 0, tol);
    assert_near(got->abs_max, largest, 0, tol);
    assert_near(got->h_mean, h_mean, tol, tol);
    assert_near(got->h_std, sqrt(hh / n - h_mean * h_mean), 0, tol);
    assert_near(got->sample_correlation, cosine, tol, tol);
    assert_near(got->grad_norm, sqrt(grad / B), 0, tol);
    assert_near(got->grad_std, sqrt(grad / n), 0, tol);
    assert_near(got->weight_std, sqrt(w / weights), 0, tol);
    assert_near(got->weight_grad_std, sqrt(dw / weights), 0, tol);
    assert_near(got->update_ratio, lr * sqrt(dw / w), 0, tol);
    if (l < LAYERS - 1) assert_near(got->saturated, flat / n, 1e-12, 0);
    double bins = 0, grad_bins = 0;
    for (int i = 0; i < FANIN_HISTOGRAM_BINS; i++)
        bins += got->h_bins[i], grad_bins += got->grad_bins[i];
    assert_near(bins, 1, 1e-12, 0);
    assert_near(grad_bins, 1, 1e-12, 0);
}

/* Counted one by one; of many values a part is, which chance may move by five of its standard deviations. */
TEST(histograms_are_those_of_plain_counts) {
    enum { MOST = 400000, BINS = FANIN_HISTOGRAM_BINS };
    static const size_t counts[] = {1, 37, 32768, 32769, MOST};
    static float v[MOST];
    const fanin_law law = {.kind = FANIN_LAW_NORMAL, .b = 1};
    const fanin_stream stream = fanin_stream_init(5, "histogram");
    assert_ok(fanin_random_fill(&stream, 0, &law, 0, MOST, FANIN_F32, v));
    for (size_t i = 0; i < MOST; i += 3) v[i] = 0;
    v[5] = NAN;
    v[6] = INFINITY;
    for (size_t k = 0; k < FANIN_COUNT(counts); k++) {
        double want[BINS] = {0}, got[BINS], all = (double)counts[k];
        for (size_t i = 0; i < counts[k]; i++) {
            double at = ((double)v[i] * 3 / 5 + 1) / 2 * BINS;
            want[!(at > 0) ? 0 : at >= BINS ? BINS - 1 : (int)at] += 1 / all;
        }
        fanin__histogram((fanin_buffer){.data = v, .count = counts[k]}, 5, 3, got);
        for (int b = 0; b < BINS; b++)
            assert_near(got[b], want[b],
                        all <= 32768 ? 1e-12 : 5 * sqrt(want[b] / 32768) + 1 / 32768.0, 0);
    }
}

TEST(figures_are_those_of_plain_loops_and_differences) {
    static plain p;
    float x[B][IN];
    fanin_graph *g = load("mlp:5-7x2-3,act=tanh");
    draw_plain(g, &p, x);
    double loss = 0, expected = 0;
    for (int b = 0; b < B; b++) {
        double mean = 0;
        double own = run_forward(&p, b);
        for (int i = 0; i < OUT; i++) mean += p.s[b][LAYERS - 1][i] / OUT;
        loss += own / B;
        expected += (own + p.s[b][LAYERS - 1][p.label[b]] - mean) / B;
    }
    const fanin_array input = {
        .name = "", .dtype = FANIN_F32, .rank = 2, .dims = {B, IN}, .data = x, .size = sizeof x};
    const fanin_array *inputs[] = {&input};
    const fanin_signal_options o = {.batch = B, .lr = 0.1, .inputs = inputs};
    fanin_signal *s = measure(g, "xavier", NULL, &o);
    assert_int_equal(s->layer_count, LAYERS);
    assert_near(s->loss, loss, 0, 1e-6);
    assert_near(s->expected_loss, expected, 0, 1e-6);
    for (int l = 0; l < LAYERS; l++) compare_layer(&p, &s->layers[l], l, 0.1);
    fanin_signal_destroy(s);
    fanin_graph_destroy(g);
}

/* Mean squared error against N(0,1) targets: y^2 + 1 a number; by chance sqrt(sum(2 + 4 y^2)) / n off. */
TEST(expected_loss_of_mse) {
    fanin_graph *g = load("mlp:20-30x1-40,act=relu");
    const fanin_signal_options o = {.batch = 64, .loss = "mse"};
    fanin_signal *s = measure(g, "he", NULL, &o);
    double y2 = s->layers[1].second_moment, n = 64 * 40;
    assert_near(s->expected_loss, y2 + 1, 0, 1e-5);
    assert_near(s->loss_error, sqrt((2 + 4 * y2) / n), 0, 1e-5);
    assert_true(fabs(s->loss - s->expected_loss) < 4 * s->loss_error);
    assert_int_equal(s->verdict, FANIN_VERDICT_HEALTHY);
    fanin_signal_destroy(s);
    fanin_graph_destroy(g);
}

TEST(seeds_are_averaged) {
    fanin_graph *g = load("mlp:12-30x3-4,act=relu");
    double second[3] = {0}, mean[3] = {0}, grad[3] = {0};
    fanin_err err = {0};
    fanin_signal *s;
    for (int k = 0; k < 3; k++) {
        const fanin_init_options init = {.scheme = "he", .seed = (uint64_t)k};
        const fanin_signal_options o = {.batch = 8};
        assert_ok_err(fanin_signal_measure(g, &init, &o, &s, &err), err);
        for (int l = 0; l < 3; l++) {
            second[l] += log(s->layers[l].second_moment) / 3;
            grad[l] += log(s->layers[l].grad_norm) / 3;
            mean[l] += s->layers[l].mean / 3;
        }
        fanin_signal_destroy(s);
    }
    const fanin_signal_options o = {.batch = 8, .seeds = 3};
    s = measure(g, "he", NULL, &o);
    for (int l = 0; l < 3; l++) {
        assert_near(s->layers[l].second_moment, exp(second[l]), 0, 1e-12);
        assert_near(s->layers[l].grad_norm, exp(grad[l]), 0, 1e-12);
        assert_near(s->layers[l].mean, mean[l], 1e-14, 1e-12);
    }
    fanin_signal_destroy(s);
    fanin_graph_destroy(g);
}

/* ---- verdicts ------------------------------------------------------------------------------------- */

static void judge(const fanin_graph *g, const char *what, const char *scheme, const char *rule,
                  int64_t batch, fanin_verdict want) {
    const fanin_signal_options o = {.batch = batch};
    fanin_signal *s = measure(g, scheme, rule, &o);
    if (s->verdict != want)
        fail_msg("%s, %s %s: %s, expected %s (%s; slopes %.3f %.3f)", what, scheme,
                 rule ? rule : "", fanin_verdict_name(s->verdict), fanin_verdict_name(want),
                 s->advice, s->forward_slope, s->backward_slope);
    assert_true((s->first_bad < 0) == (want == FANIN_VERDICT_HEALTHY));
    assert_true(strlen(s->advice) > 20 && strlen(s->advice) + 1 < sizeof s->advice);
    fanin_signal_destroy(s);
}

static const struct {
    const char *model, *scheme, *rule;
    fanin_verdict verdict;
} cases[] = {
    /* the sick and, under each, its healthy twin */
    {"mlp:784-200x10-10,act=sigmoid", "normal:std=0.01", NULL, FANIN_VERDICT_VANISHING},
    {"mlp:784-200x10-10,act=sigmoid,norm=batch", "xavier", NULL, FANIN_VERDICT_HEALTHY},
    {"mlp:784-200x30-10,act=relu", "xavier", NULL, FANIN_VERDICT_VANISHING},
    {"mlp:784-200x30-10,act=relu", "he", NULL, FANIN_VERDICT_HEALTHY},
    {"mlp:784-200x10-10,act=tanh", "lecun_normal:gain=3", NULL, FANIN_VERDICT_SATURATED},
    {"mlp:784-200x10-10,act=tanh", "lecun", NULL, FANIN_VERDICT_HEALTHY},
    {"mlp:784-200x30-10,act=tanh", "lecun", NULL, FANIN_VERDICT_HEALTHY},
    {"mlp:784-200x10-10", "he", "fc5.weight=he_normal:gain=0.0014", FANIN_VERDICT_VANISHING},
    {"mlp:784-200x10-10", "he", "fc5.weight=he_normal:gain=1400", FANIN_VERDICT_EXPLODING},
    {"mlp:784-200x10-10", "he", "fc2.weight=he_normal:gain=0.0014", FANIN_VERDICT_VANISHING},
    {"mlp:784-200x10-10", "he", "fc10.weight=he_normal:gain=1400", FANIN_VERDICT_EXPLODING},
    {"mlp:784-200x10-10,act=tanh", "lecun", "fc5.weight=he_normal:gain=0.001",
     FANIN_VERDICT_VANISHING},
    {"mlp:784-200x10-10,act=tanh", "lecun", "fc5.weight=he_normal:gain=1000",
     FANIN_VERDICT_SATURATED},
    {"mlp:784-200x10-10", "he", NULL, FANIN_VERDICT_HEALTHY},
    {"mlp:784-200x3-10", "he", "*.bias=constant:value=-3", FANIN_VERDICT_DEAD},
    {"mlp:784-200x3-10", "he", "*.bias=constant:value=0.1", FANIN_VERDICT_HEALTHY},
    {"mlp:784-200x5-10", "zeros", NULL, FANIN_VERDICT_SYMMETRIC},
    {"mlp:784-200x1-10", "zeros", NULL, FANIN_VERDICT_SYMMETRIC},
    {"mlp:784-200x1-10,act=sigmoid", "zeros", NULL, FANIN_VERDICT_SYMMETRIC},
    {"mlp:784-200x5-10,act=tanh", "zeros", NULL, FANIN_VERDICT_SYMMETRIC},
    {"mlp:784-200x5-10", "constant:value=0.1", NULL, FANIN_VERDICT_SYMMETRIC},
    {"mlp:784-200x5-10,act=tanh", "constant:value=0.1", NULL, FANIN_VERDICT_SYMMETRIC},
    {"mlp:784-200x5-10", "he", "fc6.weight=zeros", FANIN_VERDICT_HEALTHY}, /* zero output */
    {"mlp:784-200x40-10", "he", NULL, FANIN_VERDICT_HEALTHY},
    {"mlp:784-200x5-10,act=relu6", "he", NULL, FANIN_VERDICT_HEALTHY}, /* off is not saturated */
    {"mlp:784-200x10-10,act=hard_tanh", "lecun", NULL, FANIN_VERDICT_HEALTHY},
    {"mlp:784-200x10-10,act=gelu", "he", NULL, FANIN_VERDICT_HEALTHY},
    {"mlp:784-200x10-10,act=selu", "lecun", NULL, FANIN_VERDICT_HEALTHY},
    {"mlp:784-200x10-10,act=softsign", "lecun", NULL, FANIN_VERDICT_HEALTHY},
    {"lenet5", "xavier", NULL, FANIN_VERDICT_HEALTHY},
    {"lenet5", "he", NULL, FANIN_VERDICT_HEALTHY},
    {"lenet5", "torch", NULL, FANIN_VERDICT_HEALTHY},
    {"lenet5", "zeros", NULL, FANIN_VERDICT_SYMMETRIC},
};

TEST(sick_networks_and_their_twins) {
    for (size_t i = 0; i < FANIN_COUNT(cases); i++) {
        fanin_graph *g = load(cases[i].model);
        judge(g, cases[i].model, cases[i].scheme, cases[i].rule, 32, cases[i].verdict);
        fanin_graph_destroy(g);
    }
}

static int add_dense(fanin_graph_builder *b, const char *name, int x, int64_t in, int64_t out) {
    const fanin_attr trans = {.name = "transB", .type = FANIN_ATTR_INT, .i = 1};
    char weight[64], bias[64];
    snprintf(weight, sizeof weight, "%s.weight", name);
    snprintf(bias, sizeof bias, "%s.bias", name);
    int inputs[] = {x, fanin_graph_initializer(b, weight, FANIN_F32, 2, (int64_t[]){out, in}, NULL),
                    fanin_graph_initializer(b, bias, FANIN_F32, 1, &out, NULL)};
    return fanin_graph_node(b, "Gemm", name, inputs, 3, &trans, 1, 1);
}

/* 50 blocks x + W2 relu(W1 relu(x)), 64 wide. */
static fanin_graph *make_residual(bool norm) {
    fanin_graph_builder *b;
    fanin_graph *g;
    fanin_err err = {0};
    assert_ok(fanin_graph_builder_create("residual", 17, &b));
    int x = fanin_graph_input(b, "x", FANIN_F32, 2, (int64_t[]){-1, 64});
    x = add_dense(b, "stem", x, 64, 64);
    for (int k = 0; k < 50; k++) {
        char name[64];
        int h = x, scale[3];
        if (norm) {
            snprintf(name, sizeof name, "block%d.norm.weight", k);
            scale[0] = h;
            scale[1] = fanin_graph_initializer(b, name, FANIN_F32, 1, (int64_t[]){64}, NULL);
            snprintf(name, sizeof name, "block%d.norm.bias", k);
            scale[2] = fanin_graph_initializer(b, name, FANIN_F32, 1, (int64_t[]){64}, NULL);
            h = fanin_graph_node(b, "LayerNormalization", NULL, scale, 3, NULL, 0, 1);
        }
        h = fanin_graph_node(b, "Relu", NULL, &h, 1, NULL, 0, 1);
        snprintf(name, sizeof name, "block%d.fc1", k);
        h = add_dense(b, name, h, 64, 64);
        h = fanin_graph_node(b, "Relu", NULL, &h, 1, NULL, 0, 1);
        snprintf(name, sizeof name, "block%d.fc2", k);
        h = add_dense(b, name, h, 64, 64);
        x = fanin_graph_node(b, "Add", NULL, (int[]){x, h}, 2, NULL, 0, 1);
    }
    fanin_graph_output(b, add_dense(b, "head", x, 64, 10), "y");
    assert_ok_err(fanin_graph_builder_finish(b, &g, &err), err);
    return g;
}

TEST(residual_networks) {
    fanin_graph *g = make_residual(false);
    judge(g, "residual without norm", "he", NULL, 32, FANIN_VERDICT_EXPLODING);
    judge(g, "residual, branches closed by zeros", "he", "*fc2.weight=zeros", 32,
          FANIN_VERDICT_HEALTHY);
    /* Fixup's zero closers and zero output: no gradient reaches the closers before the first step */
    judge(g, "Fixup", "he", "re:.*fc2.weight|head.weight=zeros", 32, FANIN_VERDICT_HEALTHY);
    judge(g, "all zero", "zeros", NULL, 32, FANIN_VERDICT_SYMMETRIC);
    fanin_graph_destroy(g);
    g = make_residual(true);
    judge(g, "residual with norm", "he", NULL, 32, FANIN_VERDICT_HEALTHY);
    fanin_graph_destroy(g);
    g = load("resnet:20,norm=batch");
    judge(g, "resnet:20,norm=batch", "he", NULL, 8, FANIN_VERDICT_HEALTHY);
    fanin_graph_destroy(g);
}

/* 1 -> 8 -> 64 -> 512 channels: with the fans swapped each layer loses a factor 8 of its second moment. */
static fanin_graph *make_widening(void) {
    fanin_graph_builder *b;
    fanin_graph *g;
    fanin_err err = {0};
    assert_ok(fanin_graph_builder_create("widening", 17, &b));
    int x = fanin_graph_input(b, "x", FANIN_F32, 4, (int64_t[]){-1, 1, 8, 8});
    const fanin_attr pads = {
        .name = "pads", .type = FANIN_ATTR_INTS, .count = 4, .ints = (int64_t[]){1, 1, 1, 1}};
    int64_t in = 1;
    for (int k = 0; k < 3; k++, in *= 8) {
        char name[32];
        snprintf(name, sizeof name, "conv%d.weight", k);
        int inputs[] = {
            x, fanin_graph_initializer(b, name, FANIN_F32, 4, (int64_t[]){8 * in, in, 3, 3}, NULL)};
        x = fanin_graph_node(b, "Conv", NULL, inputs, 2, &pads, 1, 1);
        x = fanin_graph_node(b, "Relu", NULL, &x, 1, NULL, 0, 1);
    }
    x = fanin_graph_node(b, "GlobalAveragePool", NULL, &x, 1, NULL, 0, 1);
    x = fanin_graph_node(b, "Flatten", NULL, &x, 1, NULL, 0, 1);
    fanin_graph_output(b, add_dense(b, "head", x, in, 10), "y");
    assert_ok_err(fanin_graph_builder_finish(b, &g, &err), err);
    return g;
}

TEST(swapped_fans) {
    fanin_graph *g = make_widening();
    judge(g, "fans swapped", "he_normal:mode=fan_out", NULL, 8, FANIN_VERDICT_VANISHING);
    judge(g, "fans swapped but in the head", "he_normal:mode=fan_out", "head.weight=he_normal", 8,
          FANIN_VERDICT_VANISHING);
    judge(g, "fans as they are", "he", NULL, 8, FANIN_VERDICT_HEALTHY);
    fanin_graph_destroy(g);
}

static void judge_graph(const char *file, const char *scheme, int64_t batch, fanin_verdict want) {
    char name[128];
    snprintf(name, sizeof name, "models/graphs/%s.onnx", file);
    fanin_graph *g = load(test_shared(name));
    judge(g, file, scheme, NULL, batch, want);
    fanin_graph_destroy(g);
}

TEST(real_graphs) {
    judge_graph("gpt_tiny_weights", "he", 4, FANIN_VERDICT_HEALTHY);
    judge_graph("gpt_tiny_weights", "torch", 4, FANIN_VERDICT_HEALTHY);
    judge_graph("mlp8_tanh_weights", "xavier", 32, FANIN_VERDICT_HEALTHY);
    if (test_scale() < 4) return; /* --scale 4: the large ones, a minute */
    judge_graph("resnet18", "he", 2, FANIN_VERDICT_HEALTHY);
    judge_graph("resnet18", "torch", 2, FANIN_VERDICT_HEALTHY);
    judge_graph("resnet50", "he", 2, FANIN_VERDICT_HEALTHY);
    judge_graph("resnet50", "torch", 2, FANIN_VERDICT_HEALTHY);
    judge_graph("mobilenet_v2", "he", 2, FANIN_VERDICT_HEALTHY);
    judge_graph("mobilenet_v2", "torch", 2, FANIN_VERDICT_HEALTHY);
    judge_graph("vit_b_16", "torch", 1, FANIN_VERDICT_HEALTHY);
    judge_graph("gpt2_small", "gpt2", 1, FANIN_VERDICT_HEALTHY);
    judge_graph("vgg11_bn", "he", 2, FANIN_VERDICT_HEALTHY);
}

/* A number that is none is found at its layer. */
TEST(what_is_no_number_is_broken) {
    fanin_graph *g = load("mlp:8-8x4-3");
    judge(g, "infinite", "he", "fc3.weight=constant:value=3e38", 4, FANIN_VERDICT_BROKEN);
    fanin_graph_destroy(g);
}

TEST(thresholds) {
    fanin_thresholds t = fanin_thresholds_default();
    assert_true(t.correlation == 0.995 && t.loss == 0.2);
    assert_true(fanin_threshold_set(&t, "saturated", 0.9));
    assert_true(t.saturated == 0.9);
    assert_false(fanin_threshold_set(&t, "saturate", 0.9));
    fanin_graph *g = load("mlp:784-200x10-10,act=tanh");
    fanin_signal_options o = {.thresholds = t};
    fanin_signal *s = measure(g, "lecun_normal:gain=3", NULL, &o);
    assert_int_not_equal(s->verdict, FANIN_VERDICT_SATURATED);
    fanin_signal_destroy(s);
    fanin_graph_destroy(g);
}

/* ---- memory ---------------------------------------------------------------------------------------- */

static fanin_status once(void *arg) {
    fanin_err err = {0};
    const fanin_init_options init = {.scheme = "he"};
    const fanin_signal_options o = {.batch = 3};
    fanin_signal *s;
    fanin_status status = fanin_signal_measure(arg, &init, &o, &s, &err);
    if (status == FANIN_OK)
        fanin_signal_destroy(s);
    else
        assert_true(err.message[0] != 0);
    return status;
}

TEST(memory_refused_at_every_request) {
    fanin_graph *g = load("mlp:4-3x1-2");
    fanin_threads_set(1);
    assert_true(fault_sweep("check", once, g) > 20);
    fanin_threads_set(0);
    fanin_graph_destroy(g);
}
