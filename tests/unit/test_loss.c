/* Losses and their gradients against torch 1.13 in double; what check expects of them against averages. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "fanin/engine.h"
#include "probe/figures.h"
#include "testing.h"

enum { ROWS = 3, COLUMNS = 4 };
/* Exact in binary; an output of 0, differences on huber's corner and 0 are among them. */
static const double outputs[ROWS * COLUMNS] = {0.5,  -1.25, 2.0,  0.0, 3.0,  0.75,
                                               -0.5, 1.0,   -2.0, 0.0, 0.25, -0.125};
static const double shares[ROWS * COLUMNS] = {0.5, 0.25, 0.25,  0.0,   0.0, 1.0,
                                              0.0, 0.0,  0.125, 0.125, 0.5, 0.25};
static const int64_t labels[ROWS] = {2, 1, 3};

/* torch.nn.functional: cross_entropy, multi_margin_loss, binary_cross_entropy_with_logits, mse_loss, l1_loss,
 * huber_loss, of the arrays above in float64. */
static const struct {
    const char *loss;
    double value, gradient[ROWS * COLUMNS];
} cases[] = {
    {"cross_entropy",
     1.3812447455195898,
     {0.053231183344036079, 0.0092501926442268029, -0.094767720739205211, 0.032286344750942345,
      0.26227474157812619, -0.30568977894883548, 0.0079200109334241781, 0.03549502643728511,
      0.013662539851685996, 0.10095327341798346, 0.1296265689665177, -0.24424238223618716}},
    {"cross_entropy:label_smoothing=0.1",
     1.4385364121862565,
     {0.044897850010702754, 0.00091685931089347135, -0.069767720739205202, 0.02395301141760902,
      0.25394140824479294, -0.28068977894883546, -0.00041332239990915233, 0.027161693103951792,
      0.0053292065183526641, 0.092619940084650146, 0.12129323563318439, -0.21924238223618717}},
    {"hinge",
     0.58333333333333337,
     {0, 0, 0, 0, 0.083333333333333329, -0.16666666666666666, 0, 0.083333333333333329, 0,
      0.083333333333333329, 0.083333333333333329, -0.16666666666666666}},
    {"hinge:margin=0.5",
     0.41666666666666669,
     {0, 0, 0, 0, 0.083333333333333329, -0.16666666666666666, 0, 0.083333333333333329, 0,
      0.083333333333333329, 0.083333333333333329, -0.16666666666666666}},
    {"soft_cross_entropy",
     1.9124947455195895,
     {-0.11343548332263058, -0.074083140689106527, 0.15523227926079478, 0.032286344750942345,
      0.26227474157812619, -0.30568977894883548, 0.0079200109334241781, 0.03549502643728511,
      -0.02800412681498067, 0.059286606751316806, -0.037040097700148947, 0.005757617763812839}},
    {"soft_cross_entropy:label_smoothing=0.25",
     1.9229114121862565,
     {-0.09260214998929725, -0.074083140689106527, 0.15523227926079475, 0.011453011417609011,
      0.24144140824479282, -0.24318977894883545, -0.012913322399909156, 0.014661693103951774,
      -0.038420793481647335, 0.048869940084650142, -0.016206764366815608, 0.005757617763812839}},
    {"bce",
     0.93885349444285826,
     {0.010204944266821217, -0.0022749884312242633, 0.052566423164823524, 0.041666666666666664,
      0.079381177235202785, -0.026735108402050584, 0.031461722399845453, 0.060921548219167072,
      -0.00048308983149020446, 0.03125, 0.0051813750738165061, 0.018232552218853646}},
    {"mse",
     1.6966145833333333,
     {0, -0.25, 0.29166666666666663, 0, 0.5, -0.041666666666666664, -0.083333333333333329,
      0.16666666666666666, -0.35416666666666663, -0.020833333333333332, -0.041666666666666664,
      -0.0625}},
    {"l1",
     0.90625,
     {0, -0.083333333333333329, 0.083333333333333329, 0, 0.083333333333333329,
      -0.083333333333333329, -0.083333333333333329, 0.083333333333333329, -0.083333333333333329,
      -0.083333333333333329, -0.083333333333333329, -0.083333333333333329}},
    {"huber",
     0.59505208333333337,
     {0, -0.083333333333333329, 0.083333333333333329, 0, 0.083333333333333329,
      -0.020833333333333332, -0.041666666666666664, 0.083333333333333329, -0.083333333333333329,
      -0.010416666666666666, -0.020833333333333332, -0.03125}},
    {"huber:delta=0.3",
     0.23585937499999998,
     {0, -0.024999999999999998, 0.024999999999999998, 0, 0.024999999999999998,
      -0.020833333333333332, -0.024999999999999998, 0.024999999999999998, -0.024999999999999998,
      -0.010416666666666666, -0.020833333333333332, -0.024999999999999998}},
};

/* A layer that hands its input on: its input's gradient is that of the loss. */
static fanin_program *identity(const char *loss, fanin_dtype dtype, int columns, int64_t rows,
                               fanin_graph **g) {
    char text[32];
    fanin_err err = {0};
    fanin_program *p;
    snprintf(text, sizeof text, "mlp:%d-%d", columns, columns);
    assert_ok_err(fanin_graph_load(text, g, &err), err);
    const fanin_program_options o = {
        .batch = rows, .loss = loss, .gradients = true, .input_gradients = true, .dtype = dtype};
    assert_ok_err(fanin_program_create(*g, &o, &p, &err), err);
    fanin_buffer w = fanin_program_weight(p, 0);
    for (int i = 0; i < columns; i++) {
        size_t at = (size_t)i * (size_t)(columns + 1);
        if (dtype == FANIN_F64)
            ((double *)w.data)[at] = 1;
        else
            ((float *)w.data)[at] = 1;
    }
    return p;
}

static void put(fanin_buffer b, size_t i, double v) {
    if (b.dtype == FANIN_F64)
        ((double *)b.data)[i] = v;
    else
        ((float *)b.data)[i] = (float)v;
}

static double get(fanin_buffer b, size_t i) {
    return b.dtype == FANIN_F64 ? ((double *)b.data)[i] : (double)((float *)b.data)[i];
}

static void agree(fanin_dtype dtype, double tolerance) {
    for (size_t k = 0; k < FANIN_COUNT(cases); k++) {
        fanin_graph *g;
        fanin_err err = {0};
        fanin_program *p = identity(cases[k].loss, dtype, COLUMNS, ROWS, &g);
        fanin_buffer x = fanin_program_input(p, 0), t = fanin_program_target(p);
        for (size_t i = 0; i < ROWS * COLUMNS; i++) {
            put(x, i, outputs[i]);
            if (t.dtype != FANIN_I64) put(t, i, shares[i]);
        }
        if (t.dtype == FANIN_I64) memcpy(t.data, labels, sizeof labels);
        assert_ok_err(fanin_program_run(p, &err), err);
        assert_near(fanin_program_loss(p), cases[k].value, tolerance, 0);
        fanin_buffer gradient = fanin_program_input_gradient(p, 0);
        for (size_t i = 0; i < ROWS * COLUMNS; i++)
            if (!(fabs(get(gradient, i) - cases[k].gradient[i]) <= tolerance))
                fail_msg("%s: gradient %zu is %.17g, torch has %.17g", cases[k].loss, i,
                         get(gradient, i), cases[k].gradient[i]);
        fanin_program_destroy(p);
        fanin_graph_destroy(g);
    }
}

TEST(as_torch_in_double) { agree(FANIN_F64, 1e-15); }
TEST(as_torch_in_float) { agree(FANIN_F32, 3e-7); }

/* One output: classes 0 and 1 are -1 and 1 of max(0, margin - t x). */
TEST(hinge_of_one_output) {
    fanin_graph *g;
    fanin_err err = {0};
    fanin_program *p = identity("hinge:margin=2", FANIN_F64, 1, 3, &g);
    assert_int_equal(fanin_program_classes(p), 2);
    memcpy(fanin_program_input(p, 0).data, (const double[]){0.5, 0.5, 3}, 3 * sizeof(double));
    memcpy(fanin_program_target(p).data, (const int64_t[]){0, 1, 1}, 3 * sizeof(int64_t));
    assert_ok_err(fanin_program_run(p, &err), err);
    assert_near(fanin_program_loss(p), (2.5 + 1.5 + 0) / 3, 1e-15, 0);
    const double *d = fanin_program_input_gradient(p, 0).data;
    assert_near(d[0], 1.0 / 3, 1e-15, 0);
    assert_near(d[1], -1.0 / 3, 1e-15, 0);
    assert_near(d[2], 0, 0, 0);
    ((int64_t *)fanin_program_target(p).data)[0] = 2;
    assert_int_equal(fanin_program_run(p, &err), FANIN_ARG);
    fanin_program_destroy(p);
    fanin_graph_destroy(g);
}

/* The penalty on activations: lambda times the mean over samples of sum |h|, and its gradient. */
TEST(penalty_on_activations) {
    fanin_graph *g;
    fanin_program *p[2];
    fanin_err err = {0};
    assert_ok_err(fanin_graph_load("mlp:2-3x1-2,act=relu", &g, &err), err);
    for (int k = 0; k < 2; k++) {
        const fanin_program_options o = {.batch = 2,
                                         .loss = "cross_entropy",
                                         .gradients = true,
                                         .dtype = FANIN_F64,
                                         .activity_l1 = k ? 0.25 : 0};
        assert_ok_err(fanin_program_create(g, &o, &p[k], &err), err);
        double *w = fanin_program_weight(p[k], 0).data;
        memcpy(w, (const double[]){1, 2, -1, 0.5, 3, -4}, 6 * sizeof *w);
        memcpy(fanin_program_input(p[k], 0).data, (const double[]){1, 1, 2, 0.5},
               4 * sizeof(double));
        memset(fanin_program_target(p[k]).data, 0, 2 * sizeof(int64_t));
        assert_ok_err(fanin_program_run(p[k], &err), err);
    }
    /* h of the two samples: (3, 0, 0) and (3, 0, 4); the output weights are 0, the rest of the loss log 2 */
    assert_near(fanin_program_loss(p[1]) - fanin_program_loss(p[0]), 0.25 * (3 + 7) / 2, 1e-14, 0);
    const double *d = fanin_program_gradient(p[1], 0).data;
    const double want[6] = {0.375, 0.1875, 0, 0, 0.25, 0.0625};
    for (int i = 0; i < 6; i++) assert_near(d[i], want[i], 1e-15, 0);
    for (int k = 0; k < 2; k++) fanin_program_destroy(p[k]);
    fanin_graph_destroy(g);
}

/* ---- what check expects ---------------------------------------------------------------------------- */

/* The mean loss over all targets that check may draw, by enumeration, or by the average over many normal
 * quantiles. */
static double average(fanin_program *p, fanin_target kind, double *squares) {
    enum { QUANTILES = 20001 };
    fanin_buffer t = fanin_program_target(p);
    double sum = 0;
    fanin_err err = {0};
    int n = kind == FANIN_TARGET_REAL                 ? QUANTILES
            : kind == FANIN_TARGET_SHARE              ? 2
            : fanin_program_output(p, 0).dims[1] == 1 ? 2
                                                      : (int)fanin_program_output(p, 0).dims[1];
    *squares = 0;
    for (int i = 0; i < n; i++) {
        double weight = 1.0 / n;
        if (kind == FANIN_TARGET_CLASS) {
            ((int64_t *)t.data)[0] = i;
        } else if (kind == FANIN_TARGET_DISTRIBUTION) {
            for (size_t c = 0; c < t.count; c++) put(t, c, (int)c == i);
        } else if (kind == FANIN_TARGET_SHARE) {
            put(t, 0, i);
        } else {
            double z = -8 + 16.0 * i / (QUANTILES - 1);
            weight = 16.0 / (QUANTILES - 1) * exp(-z * z / 2) / sqrt(2 * 3.14159265358979323846);
            put(t, 0, z);
        }
        assert_ok_err(fanin_program_run(p, &err), err);
        double one = fanin_program_loss(p);
        sum += weight * one;
        *squares += weight * one * one;
    }
    return sum;
}

TEST(expected_loss) {
    static const struct {
        const char *loss;
        int columns;
    } losses[] = {{"cross_entropy", 4},
                  {"cross_entropy:label_smoothing=0.3", 4},
                  {"hinge", 4},
                  {"hinge:margin=0.7", 1},
                  {"cross_entropy:label_smoothing=0.1", 1},
                  {"bce", 1},
                  {"mse", 1},
                  {"l1", 1},
                  {"huber:delta=0.6", 1},
                  {"huber", 1},
                  {"soft_cross_entropy:label_smoothing=0.2", 4}};
    static const double at[] = {0.3, -1.7, 0.9, 2.2};
    for (size_t k = 0; k < FANIN_COUNT(losses); k++) {
        fanin_graph *g;
        fanin_loss_info info;
        fanin_err err = {0};
        assert_ok_err(fanin_loss_find(losses[k].loss, &info, &err), err);
        fanin_program *p = identity(losses[k].loss, FANIN_F32, losses[k].columns, 1, &g);
        for (int i = 0; i < losses[k].columns; i++)
            put(fanin_program_input(p, 0), (size_t)i, at[i]);
        double squares, mean = average(p, info.target, &squares), expected, spread;
        fanin__expect_loss(p, losses[k].loss, &expected, &spread);
        if (!(fabs(expected - mean) < 2e-6))
            fail_msg("%s: %.9g expected, the average is %.9g", losses[k].loss, expected, mean);
        if (!(fabs(spread - (squares - mean * mean)) < 2e-2 * (spread + 1e-3)))
            fail_msg("%s: variance %.9g, measured %.9g", losses[k].loss, spread,
                     squares - mean * mean);
        fanin_program_destroy(p);
        fanin_graph_destroy(g);
    }
}

TEST(texts_that_are_refused) {
    static const struct {
        const char *text, *says;
    } bad[] = {{"crossentropy", "no loss is called 'crossentropy' (cross_entropy"},
               {"mse:delta=1", "'delta=1' is no option"},
               {"huber:delta=-1", "delta=-1"},
               {"cross_entropy:label_smoothing=1.5", "from 0 to 1"},
               {"huber:delta=1,", "'' is no option"},
               {"hinge:margin", "'margin' is no option"}};
    for (size_t i = 0; i < FANIN_COUNT(bad); i++) {
        fanin_loss_info info;
        fanin_err err = {0};
        assert_int_equal(fanin_loss_find(bad[i].text, &info, &err), FANIN_ARG);
        if (!strstr(err.message, bad[i].says))
            fail_msg("'%s' does not say '%s'", err.message, bad[i].says);
    }
}
