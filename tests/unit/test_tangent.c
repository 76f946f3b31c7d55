/* Products with the derivative of a network from both sides: <u, J t> = <J'u, t>, J t against central
 * differences, float against double; in the inputs, in the weights, in both. */
#include <math.h>
#include <string.h>

#include "base/base.h"
#include "faults.h"
#include "fanin/engine.h"
#include "fanin/random.h"
#include "networks.h"
#include "testing.h"

/* N(0,1) times `scale`, from the stream of a name: the same numbers in either precision. */
static void draw(fanin_buffer b, const char *name, int number, double scale) {
    fanin_stream s = fanin_stream_init((uint64_t)number, name);
    for (size_t k = 0; k < b.count; k++) {
        const fanin_law law = {.kind = FANIN_LAW_NORMAL, .b = 1};
        float z;
        assert_ok(fanin_random_fill(&s, 0, &law, k, 1, FANIN_F32, &z));
        if (b.dtype == FANIN_F32)
            ((float *)b.data)[k] = (float)scale * z;
        else
            ((double *)b.data)[k] = (double)((float)scale * z);
    }
}

static void fill(fanin_program *p) {
    draw(fanin_program_input(p, 0), "x", 0, 1);
    for (int i = 0; i < fanin_program_weight_count(p); i++) {
        fanin_buffer w = fanin_program_weight(p, i);
        if (fanin_program_weight_present(p, i)) continue;
        draw(w, "w", i, w.rank > 1 ? 0.3 : 1);
    }
}

static double dot(fanin_buffer a, fanin_buffer b) {
    double sum = 0;
    assert_true(a.count == b.count && a.dtype == FANIN_F64 && b.dtype == FANIN_F64);
    for (size_t k = 0; k < a.count; k++)
        sum += ((const double *)a.data)[k] * ((const double *)b.data)[k];
    return sum;
}

static void move(fanin_buffer b, fanin_buffer direction, double step) {
    for (size_t k = 0; k < b.count && direction.data; k++)
        ((double *)b.data)[k] += step * ((const double *)direction.data)[k];
}

static void move_all(fanin_program *p, double step) {
    move(fanin_program_input(p, 0), fanin_program_input_direction(p, 0), step);
    for (int i = 0; i < fanin_program_weight_count(p); i++)
        move(fanin_program_weight(p, i), fanin_program_direction(p, i), step);
}

static void check_both_sides(const char *net, bool inputs, bool weights) {
    const double h = 1e-6;
    fanin_graph *g = builtin(net);
    fanin_program_options o = {.batch = 3,
                               .dtype = FANIN_F64,
                               .cotangent = true,
                               .gradients = true,
                               .input_gradients = true,
                               .input_tangent = inputs,
                               .weight_tangent = weights};
    fanin_program *p = program_of(g, o);
    fill(p);
    fanin_buffer u = fanin_program_cotangent(p), jt = fanin_program_tangent(p);
    draw(u, "u", 0, 1);
    assert_true((fanin_program_input_direction(p, 0).data != NULL) == inputs);
    if (inputs) draw(fanin_program_input_direction(p, 0), "t", 1000, 1);
    for (int i = 0; i < fanin_program_weight_count(p); i++) {
        fanin_buffer t = fanin_program_direction(p, i);
        assert_true((t.data != NULL) == (weights && fanin_program_gradient(p, i).data));
        if (t.data) draw(t, "t", i, 1);
    }
    assert_ok(fanin_program_run(p, NULL));
    double left = dot(u, jt), right = 0;
    if (inputs)
        right += dot(fanin_program_input_gradient(p, 0), fanin_program_input_direction(p, 0));
    for (int i = 0; i < fanin_program_weight_count(p); i++)
        if (fanin_program_direction(p, i).data)
            right += dot(fanin_program_gradient(p, i), fanin_program_direction(p, i));
    assert_near(left, right, 1e-11, 1e-11);
    assert_true(fabs(left) > 1e-3); /* else nothing was tested */
    double *got = fanin_calloc(jt.count, sizeof *got), *up = fanin_calloc(jt.count, sizeof *up);
    memcpy(got, jt.data, jt.count * sizeof *got);
    move_all(p, h);
    assert_ok(fanin_program_run(p, NULL));
    memcpy(up, fanin_program_output(p, 0).data, jt.count * sizeof *up);
    move_all(p, -2 * h);
    assert_ok(fanin_program_run(p, NULL));
    const double *down = fanin_program_output(p, 0).data;
    for (size_t k = 0; k < jt.count; k++)
        assert_near(got[k], (up[k] - down[k]) / (2 * h), 1e-6, 1e-6);
    move_all(p, h);

    o.dtype = FANIN_F32;
    o.cotangent = o.gradients = o.input_gradients = false; /* the JVP alone */
    fanin_program *f = program_of(g, o);
    fill(f);
    if (inputs) draw(fanin_program_input_direction(f, 0), "t", 1000, 1);
    for (int i = 0; i < fanin_program_weight_count(f); i++)
        if (fanin_program_direction(f, i).data) draw(fanin_program_direction(f, i), "t", i, 1);
    assert_ok(fanin_program_run(f, NULL));
    double size = 0;
    for (size_t k = 0; k < jt.count; k++) size = fmax(size, fabs(got[k]));
    for (size_t k = 0; k < jt.count; k++)
        assert_near((double)((float *)fanin_program_tangent(f).data)[k], got[k], 1e-4 * size, 0);
    fanin_free(got);
    fanin_free(up);
    fanin_program_destroy(p);
    fanin_program_destroy(f);
    fanin_graph_destroy(g);
}

TEST(both_sides_agree) {
    static const char *const nets[] = {
        "mlp:5-4x2-3,act=tanh",
        "mlp:5-6x2-3,act=gelu,norm=layer",
        "mlp:5-6x2-3,act=silu,norm=batch",
        "mlp:5-6x3-3,act=relu",
        "lenet5,act=tanh",
    };
    for (size_t i = 0; i < FANIN_COUNT(nets); i++) {
        check_both_sides(nets[i], true, false);
        check_both_sides(nets[i], false, true);
        check_both_sides(nets[i], true, true);
    }
}

/* y = W x + b: J in x is W, in W and b it is x and 1. */
TEST(a_linear_layer) {
    fanin_graph *g = builtin("mlp:3-2");
    fanin_program *p = program_of(
        g, (fanin_program_options){
               .batch = 1, .dtype = FANIN_F64, .input_tangent = true, .weight_tangent = true});
    memcpy(fanin_program_weight(p, 0).data, (double[]){1, 2, 3, 4, 5, 6}, 6 * sizeof(double));
    memcpy(fanin_program_input(p, 0).data, (double[]){7, 8, 9}, 3 * sizeof(double));
    memcpy(fanin_program_input_direction(p, 0).data, (double[]){1, 0, -1}, 3 * sizeof(double));
    ((double *)fanin_program_direction(p, 0).data)[4] = 10; /* W[1][1] */
    ((double *)fanin_program_direction(p, 1).data)[0] = 100;
    assert_ok(fanin_program_run(p, NULL));
    const double *jt = fanin_program_tangent(p).data;
    assert_near(jt[0], 1 - 3 + 100, 1e-12, 0);
    assert_near(jt[1], 4 - 6 + 10 * 8, 1e-12, 0);
    assert_null(fanin_program_cotangent(p).data);
    fanin_program_destroy(p);
    fanin_graph_destroy(g);
}

/* ---- repeats ------------------------------------------------------------------------------------------ */

static void draw_directions(fanin_program *p, int number) {
    draw(fanin_program_cotangent(p), "u", number, 1);
    draw(fanin_program_input_direction(p, 0), "t", number, 1);
    for (int i = 0; i < fanin_program_weight_count(p); i++)
        draw(fanin_program_direction(p, i), "v", 100 * number + i, 1);
}

static void same_bits(fanin_buffer a, fanin_buffer b) {
    assert_int_equal(a.count, b.count);
    if (a.count) assert_memory_equal(a.data, b.data, a.count * fanin_dtype_size(a.dtype));
}

/* `again` never sees a run with the directions of 2; what does not depend on them must have stayed. */
static void check_repeat(const char *net, fanin_program_options o) {
    fanin_graph *g = builtin(net);
    fanin_program *whole = program_of(g, o);
    o.repeats = true;
    fanin_program *again = program_of(g, o);
    for (int k = 1; k <= 3; k++) {
        fanin_program *both[] = {whole, again};
        for (int j = 0; j < 2; j++) {
            if (k == 1) fill(both[j]);
            draw_directions(both[j], k);
        }
        fanin_program_set_run(whole, 0);
        assert_ok(fanin_program_run(whole, NULL));
        assert_ok(k == 1 ? fanin_program_run(again, NULL) : fanin_program_repeat(again, NULL));
        same_bits(fanin_program_tangent(again), fanin_program_tangent(whole));
        same_bits(fanin_program_input_gradient(again, 0), fanin_program_input_gradient(whole, 0));
        for (int i = 0; i < fanin_program_weight_count(whole); i++) {
            same_bits(fanin_program_gradient(again, i), fanin_program_gradient(whole, i));
            same_bits(fanin_program_curvature(again, i), fanin_program_curvature(whole, i));
        }
    }
    fanin_program_destroy(whole);
    fanin_program_destroy(again);
    fanin_graph_destroy(g);
}

TEST(repeats_are_runs) {
    static const char *const nets[] = {
        "mlp:5-6x2-3,act=gelu,norm=layer",
        "mlp:5-6x3-3,act=relu,norm=batch,dropout=0.5",
        "lenet5,act=tanh",
    };
    for (size_t i = 0; i < FANIN_COUNT(nets); i++)
        for (int f64 = 0; f64 < 2; f64++) {
            fanin_dtype dtype = f64 ? FANIN_F64 : FANIN_F32;
            check_repeat(nets[i], (fanin_program_options){.batch = 3,
                                                          .dtype = dtype,
                                                          .loss = "cross_entropy",
                                                          .gradients = true,
                                                          .curvature = true});
            check_repeat(nets[i], (fanin_program_options){.batch = 3,
                                                          .dtype = dtype,
                                                          .cotangent = true,
                                                          .gradients = true,
                                                          .input_gradients = true,
                                                          .input_tangent = true,
                                                          .weight_tangent = true});
        }
}

/* The block of one weight is what the whole gives for a direction that is 0 elsewhere. */
TEST(curvature_of_one_weight) {
    fanin_graph *g = builtin("mlp:5-6x2-3,act=tanh,norm=batch");
    fanin_program_options o = {.batch = 4,
                               .dtype = FANIN_F64,
                               .loss = "cross_entropy",
                               .gradients = true,
                               .curvature = true};
    fanin_program *whole = program_of(g, o);
    fill(whole);
    for (int i = 0; i < fanin_program_weight_count(whole); i++) {
        o.curvature_of = fanin_program_weight_name(whole, i);
        if (!fanin_program_direction(whole, i).data) continue;
        fanin_program *one = program_of(g, o);
        fill(one);
        for (int k = 0; k < fanin_program_weight_count(whole); k++) {
            fanin_buffer v = fanin_program_direction(whole, k);
            draw(v, "v", i, k == i);
            assert_true((fanin_program_direction(one, k).data != NULL) == (k == i));
            assert_true((fanin_program_curvature(one, k).data != NULL) == (k == i));
        }
        draw(fanin_program_direction(one, i), "v", i, 1);
        assert_ok(fanin_program_run(whole, NULL));
        assert_ok(fanin_program_run(one, NULL));
        fanin_buffer a = fanin_program_curvature(one, i), b = fanin_program_curvature(whole, i);
        for (size_t k = 0; k < a.count; k++)
            assert_near(((double *)a.data)[k], ((double *)b.data)[k], 1e-13, 1e-11);
        fanin_program_destroy(one);
    }
    fanin_program_destroy(whole);
    fanin_graph_destroy(g);
}

/* A hidden value in place of the inputs: both sides agree, and J is that of the layers behind it. */
TEST(inner_values) {
    fanin_graph *g = builtin("mlp:5-4-3-2,act=tanh");
    const char *hidden = g->values[g->nodes[0].outputs[0]].name;
    fanin_program *p = program_of(g, (fanin_program_options){.batch = 1,
                                                             .dtype = FANIN_F64,
                                                             .cotangent = true,
                                                             .input_gradients = true,
                                                             .input_tangent = true,
                                                             .keep_values = true,
                                                             .inner = hidden});
    fill(p);
    fanin_buffer u = fanin_program_cotangent(p), t = fanin_program_inner_direction(p);
    assert_null(fanin_program_input_gradient(p, 0).data);
    assert_null(fanin_program_input_direction(p, 0).data);
    assert_int_equal(t.count, 4);
    draw(u, "u", 0, 1);
    draw(t, "t", 0, 1);
    assert_ok(fanin_program_run(p, NULL));
    double left = dot(u, fanin_program_tangent(p));
    assert_near(left, dot(fanin_program_inner_gradient(p), t), 1e-12, 1e-12);
    const double *s = fanin_program_value(p, g->nodes[0].outputs[0]).data;
    const double *w[] = {fanin_program_weight(p, 2).data, fanin_program_weight(p, 4).data};
    const double *b = fanin_program_weight(p, 3).data;
    double want = 0;
    for (int i = 0; i < 3; i++) {
        double x = b[i], dx = 0;
        for (int k = 0; k < 4; k++) {
            double h = tanh(s[k]);
            x += w[0][4 * i + k] * h;
            dx += w[0][4 * i + k] * (1 - h * h) * ((const double *)t.data)[k];
        }
        for (int o = 0; o < 2; o++)
            want += ((const double *)u.data)[o] * w[1][3 * o + i] * (1 - tanh(x) * tanh(x)) * dx;
    }
    assert_near(left, want, 1e-12, 1e-12);
    fanin_program_destroy(p);
    fanin_graph_destroy(g);
}

static void refuse(const fanin_graph *g, fanin_program_options o, const char *word) {
    fanin_program *p;
    fanin_err err = {0};
    assert_int_equal(fanin_program_create(g, &o, &p, &err), FANIN_ARG);
    if (!strstr(err.message, word)) fail_msg("'%s' lacks '%s'", err.message, word);
}

TEST(mistakes_are_named) {
    fanin_graph *g = builtin("mlp:3-2");
    fanin_program *p;
    fanin_err err = {0};
    refuse(g,
           (fanin_program_options){
               .loss = "mse", .gradients = true, .curvature = true, .curvature_of = "fc9.weight"},
           "fc9.weight");
    refuse(g, (fanin_program_options){.input_tangent = true, .inner = "nowhere"}, "nowhere");
    refuse(g, (fanin_program_options){.loss = "mse", .replicas = 2, .repeats = true}, "replica");
    p = program_of(g, (fanin_program_options){.cotangent = true, .input_gradients = true});
    assert_ok(fanin_program_run(p, NULL));
    assert_int_equal(fanin_program_repeat(p, &err), FANIN_ARG);
    fanin_program_destroy(p);
    const fanin_program_options both = {
        .loss = "mse", .gradients = true, .cotangent = true, .batch = 1};
    assert_int_equal(fanin_program_create(g, &both, &p, &err), FANIN_ARG);
    assert_non_null(strstr(err.message, "not both"));
    fanin_graph_destroy(g);
}

static fanin_status once(void *arg) {
    fanin_program *p;
    fanin_err err = {0};
    const fanin_program_options o = {.batch = 2,
                                     .cotangent = true,
                                     .input_gradients = true,
                                     .input_tangent = true,
                                     .weight_tangent = true};
    fanin_status status = fanin_program_create(arg, &o, &p, &err);
    if (status == FANIN_OK) fanin_program_destroy(p);
    return status;
}

TEST(memory_refused_at_every_request) {
    fanin_graph *g = builtin("mlp:3-4-2,act=tanh");
    assert_true(fault_sweep("tangent", once, g) > 20);
    fanin_graph_destroy(g);
}
