/* The signal rules and the scheme that follows from them: against the mean-field maps, against networks that
 * are run, and against figures that can be worked out by hand.
 *
 * Predictions are for infinite width. H0: the mean of a figure over K nets is the prediction, give or take 5/width;
 * statistic |mean - prediction| in standard errors; alpha 1e-4 over 1200 comparisons gives z = 5.4 (normal law: means
 * over few nets have heavier tails, so the long tier has K = 20; seeds are fixed). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "fanin/probe.h"
#include "fanin/theory.h"
#include "faults.h"
#include "networks.h"
#include "testing.h"

static fanin_plan *plan_of(const fanin_graph *g, const char *scheme) {
    const fanin_init_options o = {.scheme = scheme};
    fanin_plan *p;
    fanin_err err = {0};
    assert_ok_err(fanin_plan_create(g, &o, &p, &err), err);
    return p;
}

static fanin_signal *measure_loss(const fanin_graph *g, const char *scheme, const char *loss,
                                  uint64_t seed, int seeds, int64_t batch) {
    const fanin_init_options init = {.scheme = scheme, .seed = seed};
    const fanin_signal_options o = {.batch = batch, .seeds = seeds, .loss = loss};
    fanin_signal *s;
    fanin_err err = {0};
    assert_ok_err(fanin_signal_measure(g, &init, &o, &s, &err), err);
    if (s->unpredicted[0]) fail_msg("%s", s->unpredicted);
    return s;
}

static fanin_signal *measure(const fanin_graph *g, const char *scheme, uint64_t seed, int seeds,
                             int64_t batch) {
    return measure_loss(g, scheme, NULL, seed, seeds, batch);
}

/* ---- against theory ---------------------------------------------------------------------------------- */

/* Inputs of N(0,1) have variance 1 and correlation 0 before the first weights. */
static void against_meanfield(const char *name, const char *scheme, double sigma_w2,
                              double sigma_b2) {
    enum { DEPTH = 12 };
    char model[96];
    snprintf(model, sizeof model, "mlp:64-64x%d-10,act=%s", DEPTH, name);
    fanin_graph *g = load(model);
    fanin_activation *act;
    fanin_err err = {0};
    assert_ok_err(fanin_activation_parse(name, &act, &err), err);
    const fanin_meanfield_settings set = {.sigma_w2 = sigma_w2, .sigma_b2 = sigma_b2};
    double q[DEPTH], c[DEPTH], first = sigma_w2 + sigma_b2;
    assert_ok_err(
        fanin_meanfield_trajectory(act, &set, first, sigma_b2 / first, DEPTH - 1, q, c, &err), err);
    fanin_plan *plan = plan_of(g, scheme);
    const fanin_predict_options o = {.plan = plan};
    fanin_prediction *p;
    assert_ok_err(fanin_predict(g, &o, &p, &err), err);
    int layer = 0;
    for (int n = 0; n < g->node_count && layer < DEPTH; n++) {
        if (strcmp(g->nodes[n].op, "Gemm") != 0) continue;
        const fanin_value_prediction *v = &p->values[g->nodes[n].outputs[0]];
        if (fabs(v->second_moment / q[layer] - 1) > 5e-3 || fabs(v->correlation - c[layer]) > 3e-3)
            fail_msg("%s layer %d: second moment %g, correlation %g; mean field %g, %g", name,
                     layer, v->second_moment, v->correlation, q[layer], c[layer]);
        layer++;
    }
    assert_int_equal(layer, DEPTH);
    fanin_prediction_destroy(p);
    fanin_plan_destroy(plan);
    fanin_activation_destroy(act);
    fanin_graph_destroy(g);
}

TEST(dense_layers_follow_the_mean_field_maps) {
    against_meanfield("relu", "he_normal", 2, 0);
    against_meanfield("tanh", "lecun_normal:gain=1.22474487", 1.5, 0);
    against_meanfield("erf", "he_normal", 2, 0);
    against_meanfield("gelu", "lecun_normal:gain=1.34164079", 1.8, 0);
    against_meanfield("sigmoid", "lecun_normal:gain=2", 4, 0);
    against_meanfield("tanh", "torch", 1.0 / 3, 1.0 / 192); /* biases with the weights' variance */
    against_meanfield("relu", "torch", 1.0 / 3, 1.0 / 192);
}

/* ---- against networks ---------------------------------------------------------------------------------- */

typedef struct tally {
    double sum, squares;
} tally;

static void count(tally *t, double x) {
    t->sum += x;
    t->squares += x * x;
}

static double standard_error(const tally *t, int k) {
    double mean = t->sum / k;
    return sqrt(fmax(t->squares / k - mean * mean, 0) / (k - 1));
}

/* Relative to the prediction, so that one slack serves all figures. All misses are shown before the test fails. */
static int compare(const char *what, const char *model, int layer, const tally *t, int k,
                   double slack) {
    const double z = 5.4;
    double off = fabs(t->sum / k - 1), allowed = z * standard_error(t, k) + slack;
    if (off <= allowed) return 0;
    printf("%s layer %d, %s: mean over %d nets %g of the prediction, allowed 1 +- %g\n", model,
           layer, what, k, t->sum / k, allowed);
    return 1;
}

enum { QUICK_NETS = 10, LONG_NETS = 20 };

static bool long_tier(void) { return test_scale() > 4; }
static int net_count(void) { return long_tier() ? LONG_NETS : QUICK_NETS; }

typedef struct subject {
    const char *label;
    const fanin_graph *graph;
    const char *scheme, *loss;
    int64_t batch;
    double width;
} subject;

/* Second moment, correlation of samples and squared gradient of every layer. */
static int against_nets(const subject *t, int k) {
    enum { MOST = 32 };
    tally second[MOST] = {{0}}, gradient[MOST] = {{0}}, correlation[MOST] = {{0}};
    int layers = 0, missed = 0;
    double slack = 5 / t->width;
    for (int seed = 0; seed < k; seed++) {
        fanin_signal *s =
            measure_loss(t->graph, t->scheme, t->loss, 100 + (uint64_t)seed, 1, t->batch);
        layers = s->layer_count;
        assert_true(layers > 1 && layers <= MOST);
        for (int i = 0; i < layers; i++) {
            const fanin_layer_signal *l = &s->layers[i];
            count(&second[i], l->second_moment / l->predicted_second_moment);
            count(&correlation[i], 1 + l->sample_correlation - l->predicted_correlation);
            count(&gradient[i], pow(l->grad_norm / l->predicted_grad_norm, 2));
        }
        fanin_signal_destroy(s);
    }
    for (int i = 0; i < layers; i++) {
        missed += compare("second moment", t->label, i, &second[i], k, slack);
        missed += compare("correlation", t->label, i, &correlation[i], k, slack);
        missed += compare("squared gradient", t->label, i, &gradient[i], k, slack);
    }
    return missed;
}

static int against_mlps(const char *name, const char *scheme, int k) {
    enum { WIDTH = 512 };
    char model[96];
    snprintf(model, sizeof model, "mlp:%d-%dx20-10,act=%s", WIDTH, WIDTH, name);
    fanin_graph *g = load(model);
    int missed = against_nets(&(subject){model, g, scheme, NULL, 8, WIDTH}, k);
    fanin_graph_destroy(g);
    return missed;
}

TEST(predictions_hold_over_nets) {
    static const char *const names[] = {"tanh",
                                        "relu",
                                        "gelu",
                                        "sigmoid",
                                        "elu",
                                        "identity",
                                        "hard_sigmoid",
                                        "log_sigmoid",
                                        "lecun_tanh",
                                        "hard_tanh",
                                        "softsign",
                                        "relu6",
                                        "leaky_relu",
                                        "prelu",
                                        "rrelu",
                                        "celu",
                                        "selu",
                                        "gelu_tanh",
                                        "silu",
                                        "mish",
                                        "softplus",
                                        "hard_swish",
                                        "erf",
                                        "sin",
                                        "cos",
                                        "gaussian",
                                        "abs",
                                        "threshold",
                                        "x*sigmoid(1.702*x)",
                                        "tanh(x)+0.1*x"};
    int some = (int)(3 * test_scale()), k = net_count(), missed = 0;
    for (int i = 0; i < (int)FANIN_COUNT(names) && i < some; i++) {
        printf("%s: K = %d\n", names[i], k);
        missed += against_mlps(names[i], "lecun_normal", k);
        missed += against_mlps(names[i], "orthogonal", k);
    }
    if (missed) fail_msg("%d figures are not as predicted", missed);
}

static int against_loss(const char *model, const char *scheme, const char *loss, int k) {
    enum { WIDTH = 256 };
    char label[128];
    snprintf(label, sizeof label, "%s, %s", model, loss);
    fanin_graph *g = load(model);
    int missed = against_nets(&(subject){label, g, scheme, loss, 16, WIDTH}, k);
    fanin_graph_destroy(g);
    return missed;
}

/* Outputs of second moment 0.4 (LeCun) and 1.6 (twice as large weights): one, two, few and many of them. A gradient that
 * is the output itself (mse) is not independent of the weights: by outputs/width it comes back larger, so many outputs
 * are for losses of classes. */
TEST(gradients_start_at_any_loss) {
    static const char *const losses[] = {"cross_entropy",
                                         "cross_entropy:label_smoothing=0.2",
                                         "soft_cross_entropy",
                                         "hinge",
                                         "hinge:margin=0.3",
                                         "bce",
                                         "mse",
                                         "l1",
                                         "huber",
                                         "huber:delta=0.5"};
    static const char *const classes[] = {"1", "2", "10", "1000"};
    int missed = 0, k = net_count();
    printf("K = %d\n", k);
    for (size_t i = 0; i < FANIN_COUNT(losses); i++)
        for (size_t c = 0; c < FANIN_COUNT(classes); c++) {
            char model[64];
            fanin_loss_info loss;
            assert_ok(fanin_loss_find(losses[i], &loss, NULL));
            if (loss.target == FANIN_TARGET_DISTRIBUTION && c == 0) continue; /* no gradient */
            if (loss.target != FANIN_TARGET_CLASS && c == FANIN_COUNT(classes) - 1) continue;
            snprintf(model, sizeof model, "mlp:64-256x1-%s,act=tanh", classes[c]);
            missed += against_loss(model, "lecun_normal:gain=2", losses[i], k);
            if (long_tier()) missed += against_loss(model, "lecun_normal", losses[i], k);
        }
    if (missed) fail_msg("%d figures are not as predicted", missed);
}

/* x + W' f(W f(x)), f(x) before each layer (He et al. 2016, identity mappings), with or without layer norm. */
static fanin_graph *preactivation(int blocks, int64_t width, const char *f, bool norm) {
    fanin_graph_builder *b;
    fanin_graph *g;
    fanin_err err = {0};
    const int64_t in[2] = {-1, width}, square[2] = {width, width}, last[2] = {width, 10};
    char name[32];
    assert_ok(fanin_graph_builder_create("preactivation", 17, &b));
    int x = fanin_graph_input(b, "x", FANIN_F32, 2, in), stream = x;
    for (int i = 0; i < 2 * blocks + 2; i++) {
        int v = x;
        bool inner = i > 0 && i < 2 * blocks + 1;
        if (inner && i % 2 == 1) stream = x;
        if (i > 0 && norm) {
            snprintf(name, sizeof name, "norm%d.weight", i);
            int gain = fanin_graph_initializer(b, name, FANIN_F32, 1, &width, NULL);
            snprintf(name, sizeof name, "norm%d", i);
            v = fanin_graph_node(b, "LayerNormalization", name, (int[]){v, gain}, 2, NULL, 0, 1);
        }
        if (i > 0) v = fanin_graph_node(b, f, NULL, &v, 1, NULL, 0, 1);
        snprintf(name, sizeof name, "fc%d.weight", i);
        int w =
            fanin_graph_initializer(b, name, FANIN_F32, 2, i > 2 * blocks ? last : square, NULL);
        snprintf(name, sizeof name, "fc%d", i);
        x = fanin_graph_node(b, "MatMul", name, (int[]){v, w}, 2, NULL, 0, 1);
        if (inner && i % 2 == 0)
            x = fanin_graph_node(b, "Add", NULL, (int[]){stream, x}, 2, NULL, 0, 1);
    }
    fanin_graph_output(b, x, "y");
    assert_ok_err(fanin_graph_builder_finish(b, &g, &err), err);
    return g;
}

TEST(predictions_hold_in_residual_networks) {
    static const char *const functions[] = {"Relu", "Tanh"};
    enum { BLOCKS = 8, WIDTH = 256 };
    int missed = 0, k = net_count();
    printf("K = %d\n", k);
    for (int i = 0; i < 4; i++) {
        char label[64];
        snprintf(label, sizeof label, "preactivation %s%s", functions[i / 2],
                 i % 2 ? ", norm" : "");
        fanin_graph *g = preactivation(BLOCKS, WIDTH, functions[i / 2], i % 2);
        missed += against_nets(&(subject){label, g, "auto", NULL, 8, WIDTH}, k);
        if (long_tier()) missed += against_nets(&(subject){label, g, "he", NULL, 8, WIDTH}, k);
        fanin_graph_destroy(g);
    }
    /* 16 channels at the narrowest */
    static const char *const resnets[] = {"resnet:20,norm=none", "resnet:20,norm=batch"};
    for (int i = 0; i < 2 && long_tier(); i++) {
        fanin_graph *g = load(resnets[i]);
        missed += against_nets(&(subject){resnets[i], g, "auto", NULL, 8, 16}, k);
        fanin_graph_destroy(g);
    }
    if (missed) fail_msg("%d figures are not as predicted", missed);
}

/* Few samples make a norm of few numbers, whose gradients meet over the batch. */
TEST(predictions_hold_for_small_batches) {
    enum { WIDTH = 256 };
    static const char *const models[] = {
        "mlp:256-256x6-10,norm=batch", "mlp:256-256x6-10,norm=batch,act=tanh",
        "mlp:256-256x6-10,norm=batch,act=elu", "mlp:256-256x6-10,norm=batch,act=abs",
        "mlp:256-256x6-10,act=tanh"};
    static const int64_t batches[] = {2, 8, 32};
    int missed = 0, k = 2 * net_count();
    printf("K = %d\n", k);
    for (size_t i = 0; i < FANIN_COUNT(models); i++) {
        fanin_graph *g = load(models[i]);
        for (size_t b = 0; b < FANIN_COUNT(batches); b++) {
            /* two samples normalised are 1 and -1, no gradient passes */
            if (batches[b] == 2 && strstr(models[i], "batch")) continue;
            char label[96];
            snprintf(label, sizeof label, "%s, batch %d", models[i], (int)batches[b]);
            missed += against_nets(&(subject){label, g, "he", NULL, batches[b], WIDTH}, k);
        }
        fanin_graph_destroy(g);
    }
    if (missed) fail_msg("%d figures are not as predicted", missed);
}

/* Slope of log10 of the gradient over the layers. */
static double slope(const fanin_signal *s, bool predicted) {
    double n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
    for (int i = 0; i < s->layer_count; i++) {
        const fanin_layer_signal *l = &s->layers[i];
        double y = log10(predicted ? l->predicted_grad_norm : l->grad_norm);
        if (!isfinite(l->grad_norm)) continue; /* a tied output layer's is not kept */
        n++;
        sx += i;
        sy += y;
        sxx += (double)i * i;
        sxy += i * y;
    }
    return (n * sxy - sx * sy) / (n * sxx - sx * sx);
}

static void meets_targets(const fanin_graph *g, const char *model, int seeds, int64_t batch) {
    fanin_signal *s = measure(g, "auto", 1, seeds, batch);
    for (int i = 0; i < s->layer_count; i++) {
        const fanin_layer_signal *l = &s->layers[i];
        double ratio = l->second_moment / l->target_second_moment;
        if (!(ratio > 0.5 && ratio < 2))
            fail_msg("%s %s: second moment %g, target %g", model, l->name, l->second_moment,
                     l->target_second_moment);
    }
    double measured = slope(s, false), predicted = slope(s, true);
    if (!(fabs(measured - predicted) < 0.02))
        fail_msg("%s: gradient slope %g, predicted %g", model, measured, predicted);
    if (s->verdict != FANIN_VERDICT_HEALTHY) fail_msg("%s: %s", model, s->advice);
    fanin_signal_destroy(s);
}

TEST(auto_meets_its_targets) {
    static const char *const models[] = {
        "mlp:100-256x8-10",
        "mlp:100-256x8-10,act=tanh",
        "lenet5",
        "resnet:20",
        "resnet:20,norm=none",
        "gpt2:layers=3,width=96,heads=4,vocab=101,context=24",
    };
    for (size_t i = 0; i < FANIN_COUNT(models); i++) {
        fanin_graph *g = load(models[i]);
        bool costly = strncmp(models[i], "resnet", 6) == 0 && test_scale() <= 4;
        meets_targets(g, models[i], costly ? 3 : 16, costly ? 4 : 8);
        fanin_graph_destroy(g);
    }
}

TEST(auto_meets_its_targets_in_files) {
    static const char *const files[] = {"gpt_tiny_weights", "squeezenet1_1", "resnet18",
                                        "mobilenet_v2",     "alexnet",       "densenet121"};
    int some = test_scale() < 1 ? 1 : test_scale() > 4 ? (int)FANIN_COUNT(files) : 2;
    for (int i = 0; i < some; i++) {
        char name[96];
        snprintf(name, sizeof name, "models/graphs/%s.onnx", files[i]);
        fanin_graph *g = load(test_shared(name));
        meets_targets(g, files[i], test_scale() > 4 ? 16 : 8, 4); /* narrow nets scatter */
        fanin_graph_destroy(g);
    }
}

/* ---- the plan ------------------------------------------------------------------------------------------ */

static const fanin_plan_row *row(const fanin_plan *p, const char *name) {
    int i = fanin_plan_find(p, name);
    if (i < 0) fail_msg("no row '%s'", name);
    return fanin_plan_row_at(p, i);
}

/* relu halves the second moment: var = 2/fan. Logits of 10 classes: 0.02 ln 10. */
TEST(variances_can_be_worked_out_by_hand) {
    fanin_graph *g = load("mlp:100-50x2-10");
    fanin_plan *p = plan_of(g, NULL);
    assert_string_equal(fanin_plan_scheme(p), "auto");
    assert_true(fabs(row(p, "fc1.weight")->moments.std - 0.1) < 1e-4);
    assert_true(fabs(row(p, "fc2.weight")->moments.std - 0.2) < 2e-4);
    assert_true(fabs(row(p, "fc3.weight")->moments.std - sqrt(0.02 * log(10) / 25)) < 1e-4);
    assert_true(fabs(row(p, "fc3.weight")->target - 0.02 * log(10)) < 1e-12);
    assert_true(row(p, "fc2.weight")->target == 1);
    assert_string_equal(row(p, "fc2.bias")->rule_text, "zeros");
    fanin_plan_destroy(p);
    fanin_graph_destroy(g);
}

/* Behind relu mean^2 = 1/(2 pi) and q = 1/2, so that rows that sum to 0 see 1/2 - 1/(2 pi); half of the mean taken off
 * leaves a quarter of the mean's part. */
TEST(rows_that_sum_to_0_do_not_see_the_mean) {
    static const struct {
        const char *rule;
        double centered;
    } cases[] = {{"lecun_normal", 0}, {"centered_normal", 1}, {"centered_normal:center=0.5", 0.75}};
    for (size_t i = 0; i < FANIN_COUNT(cases); i++) {
        fanin_graph *g = load("mlp:4000-4000x2-10");
        fanin_plan *plan = plan_of(g, cases[i].rule);
        const fanin_predict_options o = {.plan = plan};
        fanin_prediction *p;
        fanin_err err = {0};
        assert_ok_err(fanin_predict(g, &o, &p, &err), err);
        int second = 0;
        for (int n = 0, dense = 0; n < g->node_count && !second; n++)
            if (strcmp(g->nodes[n].op, "Gemm") == 0 && dense++ == 1)
                second = g->nodes[n].outputs[0];
        double want = 0.5 - cases[i].centered / (2 * 3.14159265358979324);
        assert_true(fabs(p->values[second].second_moment / want - 1) < 2e-3);
        fanin_prediction_destroy(p);
        fanin_plan_destroy(plan);
        fanin_graph_destroy(g);
    }
}

TEST(predictions_hold_for_rows_that_sum_to_0) {
    int missed = against_mlps("sigmoid", "centered_normal:gain=4.8", 5);
    missed += against_mlps("relu", "centered_normal:gain=1.5,center=0.4", 5);
    if (missed) fail_msg("%d figures are not as predicted", missed);
}

/* Slopes of He's and LeCun's weights here: 0.45, 0.18, 0.13. */
TEST(auto_keeps_gradients_up) {
    static const char *const models[] = {"mlp:512-512x10-10,act=sigmoid", "lenet5",
                                         "mlp:512-512x4-10"};
    for (size_t i = 0; i < FANIN_COUNT(models); i++) {
        fanin_graph *g = load(models[i]);
        fanin_signal *s = measure(g, "auto", 7, 5, 8);
        if (!(fabs(s->backward_slope) < 0.07) || s->verdict != FANIN_VERDICT_HEALTHY)
            fail_msg("%s: %g decades a layer", models[i], s->backward_slope);
        for (int l = 0; l < s->layer_count;
             l++) /* 0.28 off where maxima take relu's zeros as alike */
            if (fabs(s->layers[l].sample_correlation - s->layers[l].predicted_correlation) > 0.15)
                fail_msg("%s, layer %d: correlation %g, predicted %g", models[i], l,
                         s->layers[l].sample_correlation, s->layers[l].predicted_correlation);
        fanin_signal_destroy(s);
        fanin_graph_destroy(g);
    }
}

/* A framework draws no centred rows; neither has auto any there. */
TEST(auto_on_a_framework_stream_keeps_row_means) {
    fanin_graph *g = load("lenet5");
    const fanin_init_options o = {.scheme = "auto", .stream = "torch"};
    fanin_plan *own = plan_of(g, "auto"), *torch;
    fanin_err err = {0};
    assert_ok_err(fanin_plan_create(g, &o, &torch, &err), err);
    assert_non_null(strstr(row(own, "fc3.weight")->rule_text, "centered_normal"));
    assert_non_null(strstr(row(torch, "fc3.weight")->rule_text, "normal:std"));
    assert_null(strstr(row(torch, "fc3.weight")->rule_text, "centered"));
    fanin_plan_destroy(torch);
    fanin_plan_destroy(own);
    fanin_graph_destroy(g);
}

/* Nine blocks: the norm that closes a branch has scale 1/3, without norm the layer does it. */
TEST(residual_branches_are_scaled_once) {
    fanin_graph *g = load("resnet:20");
    fanin_plan *p = plan_of(g, "auto");
    assert_true(fabs(row(p, "layer1.0.bn2.weight")->moments.mean - 1.0 / 3) < 1e-4);
    assert_true(row(p, "layer1.0.bn1.weight")->moments.mean == 1);
    assert_true(row(p, "layer1.0.conv2.weight")->target == 1);
    fanin_plan_destroy(p);
    fanin_graph_destroy(g);
    g = load("resnet:20,norm=none");
    p = plan_of(g, "auto");
    assert_true(row(p, "layer1.0.conv1.weight")->target == 1);
    double target = row(p, "layer1.0.conv2.weight")->target;
    if (!(target > 0.04 && target < 0.07)) fail_msg("target %g, expected about 0.5/9", target);
    fanin_plan_destroy(p);
    fanin_graph_destroy(g);
}

TEST(predictions_repeat) {
    fanin_graph *g = load("gpt2:layers=2,width=64,heads=4,vocab=65,context=16");
    fanin_plan *p = plan_of(g, "auto"), *again = plan_of(g, "auto");
    assert_string_equal(fanin_plan_hash(p), fanin_plan_hash(again));
    fanin_plan_reseed(again, 5);
    assert_true(fanin_plan_seed(again) == 5);
    fanin_plan_destroy(again);
    fanin_plan_destroy(p);
    fanin_graph_destroy(g);
}

/* ---- mistakes ------------------------------------------------------------------------------------------ */

TEST(an_operator_without_a_rule_is_named) {
    fanin_graph_builder *b;
    fanin_graph *g;
    fanin_plan *p;
    fanin_err err = {0};
    const int64_t in[2] = {-1, 8}, shape[2] = {8, 8};
    assert_ok(fanin_graph_builder_create("chooser", 13, &b));
    int x = fanin_graph_input(b, "x", FANIN_F32, 2, in);
    int w = fanin_graph_initializer(b, "w", FANIN_F32, 2, shape, NULL);
    int y = fanin_graph_node(b, "MatMul", "fc", (int[]){x, w}, 2, NULL, 0, 1);
    y = fanin_graph_node(b, "ReduceProd", "product", &y, 1, NULL, 0, 1);
    fanin_graph_output(b, y, "y");
    assert_ok_err(fanin_graph_builder_finish(b, &g, &err), err);
    const fanin_init_options o = {.scheme = "auto"};
    assert_int_equal(fanin_plan_create(g, &o, &p, &err), FANIN_UNSUPPORTED);
    assert_null(p);
    assert_non_null(strstr(err.message, "ReduceProd 'product'"));
    assert_non_null(strstr(err.message, "name another"));
    fanin_graph_destroy(g);
}

static fanin_status plan_once(void *arg) {
    const fanin_init_options o = {.scheme = "auto"};
    fanin_plan *p;
    fanin_status status = fanin_plan_create(arg, &o, &p, NULL);
    fanin_plan_destroy(p);
    return status;
}

TEST(every_allocation_may_fail) {
    fanin_graph *g = load("mlp:8-8x2-4");
    fault_sweep("auto", plan_once, g);
    fanin_graph_destroy(g);
}
