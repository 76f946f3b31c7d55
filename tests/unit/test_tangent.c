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

TEST(mistakes_are_named) {
    fanin_graph *g = builtin("mlp:3-2");
    fanin_program *p;
    fanin_err err = {0};
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
