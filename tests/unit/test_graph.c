/* The builder: names, order, cycles, copies, failures that stay. */
#include <stdio.h>
#include <string.h>

#include "graph/graph.h"
#include "testing.h"

static fanin_graph_builder *begin(void) {
    fanin_graph_builder *b;
    assert_ok(fanin_graph_builder_create("model", 15, &b));
    return b;
}

static fanin_graph *finish(fanin_graph_builder *b) {
    fanin_graph *g;
    fanin_err err = {0};
    assert_ok_err(fanin_graph_builder_finish(b, &g, &err), err);
    return g;
}

static void finish_fails(fanin_graph_builder *b, fanin_status want, const char *part) {
    fanin_graph *g;
    fanin_err err = {0};
    assert_int_equal(fanin_graph_builder_finish(b, &g, &err), want);
    assert_null(g);
    if (!strstr(err.message, part)) fail_msg("'%s' does not say '%s'", err.message, part);
}

TEST(a_dense_layer_is_built_and_copied) {
    fanin_graph_builder *b = begin();
    int64_t in_dims[] = {-1, 4}, w_dims[] = {3, 4}, bias_dims[] = {3};
    float bias[] = {1, 2, 3};
    char name[] = "fc";
    fanin_attr attrs[] = {{.name = "transB", .type = FANIN_ATTR_INT, .i = 1},
                          {.name = "beta", .type = FANIN_ATTR_FLOAT, .f = 0.5}};
    int x = fanin_graph_input(b, "x", FANIN_F32, 2, in_dims);
    int w = fanin_graph_initializer(b, "fc.weight", FANIN_F32, 2, w_dims, NULL);
    int c = fanin_graph_initializer(b, "fc.bias", FANIN_F32, 1, bias_dims, bias);
    int y = fanin_graph_node(b, "Gemm", name, (int[]){x, w, c}, 3, attrs, 2, 1);
    fanin_graph_output(b, y, "logits");
    memset(name, '?', 2);
    memset(bias, 0, sizeof bias);
    attrs[0].i = 0;
    fanin_graph *g = finish(b);
    assert_string_equal(g->name, "model");
    assert_string_equal(g->producer, "fanin");
    assert_string_equal(g->notes, "");
    assert_int_equal(g->opset, 15);
    assert_int_equal(g->input_count, 1);
    assert_int_equal(g->inputs[0], x);
    assert_string_equal(g->values[g->outputs[0]].name, "logits");
    assert_int_equal(fanin_graph_find(g, "logits"), y);
    assert_int_equal(fanin_graph_find(g, "fc_output"), -1);
    assert_int_equal(fanin_graph_find(g, "fc.bias"), c);
    const fanin_node *n = &g->nodes[0];
    assert_string_equal(n->name, "fc");
    assert_int_equal(fanin_node_attr_int(n, "transB", 7), 1);
    assert_int_equal(fanin_node_attr_int(n, "transA", 7), 7);
    assert_true(fanin_node_attr_float(n, "beta", 1) == 0.5);
    assert_string_equal(fanin_node_attr_string(n, "mode", "none"), "none");
    assert_int_equal(g->values[y].producer, 0);
    assert_null(g->values[w].data);
    assert_int_equal(g->values[c].size, 12);
    assert_true(((const float *)g->values[c].data)[2] == 3);
    fanin_graph_destroy(g);
}

TEST(nodes_are_sorted_and_stay_where_they_were_in_order) {
    fanin_graph_builder *b = begin();
    int x = fanin__graph_reference(b, "x");
    fanin__graph_define_input(b, x);
    int v[5];
    for (int i = 0; i < 5; i++) v[i] = fanin__graph_reference(b, (char[]){(char)('a' + i), 0});
    /* c reads d, d reads x; the others are independent */
    fanin__graph_define_node(b, "Relu", "", "a", &x, 1, &v[0], 1, NULL, 0);
    fanin__graph_define_node(b, "Relu", "", "c", &v[3], 1, &v[2], 1, NULL, 0);
    fanin__graph_define_node(b, "Relu", "", "b", &x, 1, &v[1], 1, NULL, 0);
    fanin__graph_define_node(b, "Relu", "", "d", &x, 1, &v[3], 1, NULL, 0);
    fanin__graph_define_node(b, "Add", "", "e", v, 2, &v[4], 1, NULL, 0);
    fanin_graph_output(b, v[4], NULL);
    fanin_graph *g = finish(b);
    char order[6] = "";
    for (int i = 0; i < g->node_count; i++) {
        order[i] = g->nodes[i].name[0];
        assert_int_equal(g->values[g->nodes[i].outputs[0]].producer, i);
    }
    assert_string_equal(order, "adcbe");
    fanin_graph_destroy(g);
}

TEST(cycles_and_undefined_values_are_named) {
    fanin_graph_builder *b = begin();
    int p = fanin__graph_reference(b, "p"), q = fanin__graph_reference(b, "q");
    fanin__graph_define_node(b, "Relu", "", "first", &p, 1, &q, 1, NULL, 0);
    fanin__graph_define_node(b, "Tanh", "", "second", &q, 1, &p, 1, NULL, 0);
    finish_fails(b, FANIN_FORMAT, "'second' (Tanh) and 'first' (Relu) lie on a cycle");

    b = begin();
    p = fanin__graph_reference(b, "p"), q = fanin__graph_reference(b, "q");
    fanin__graph_define_node(b, "Relu", "", "first", &p, 1, &q, 1, NULL, 0);
    finish_fails(b, FANIN_FORMAT, "model: node 0 'first' (Relu) reads 'p', which nothing defines");

    b = begin();
    p = fanin__graph_reference(b, "p");
    fanin__graph_define_input(b, p);
    fanin__graph_define_node(b, "Relu", "", "r", &p, 1, &p, 1, NULL, 0);
    finish_fails(b, FANIN_FORMAT, "'p' is defined twice");
}

TEST(the_first_failure_is_kept) {
    fanin_graph_builder *b = begin();
    int64_t bad[] = {-1, 3};
    assert_int_equal(fanin_graph_initializer(b, "w", FANIN_F32, 2, bad, NULL), -1);
    assert_int_equal(fanin_graph_input(b, "w", FANIN_F32, 2, bad), -1);
    assert_int_equal(fanin_graph_node(b, "Relu", NULL, (int[]){99}, 1, NULL, 0, 1), -1);
    finish_fails(b, FANIN_ARG, "weight 'w' needs a shape");
    b = begin();
    fanin_graph_node(b, "Relu", "r", (int[]){99}, 1, NULL, 0, 1);
    finish_fails(b, FANIN_ARG, "input 0 is value 99");
    b = begin();
    int64_t nine[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    fanin_graph_initializer(b, "w", FANIN_F32, 9, nine, NULL);
    finish_fails(b, FANIN_LIMIT, "9 axes");
}

TEST(made_up_names_are_unique) {
    fanin_graph_builder *b = begin();
    int64_t dims[] = {2};
    int at = fanin_graph_input(b, "Relu_output", FANIN_F32, 1, dims);
    for (int i = 0; i < 3000; i++) at = fanin_graph_node(b, "Relu", NULL, &at, 1, NULL, 0, 1);
    fanin_graph_output(b, at, "y");
    fanin_graph_output(b, at, "z"); /* the same value again */
    fanin_graph_output(b, fanin_graph_input(b, "", FANIN_F32, 1, dims), "w"); /* an input */
    fanin_graph *g = finish(b);
    assert_int_equal(g->node_count, 3002);
    for (int i = 0; i < g->value_count; i++)
        assert_int_equal(fanin_graph_find(g, g->values[i].name), i);
    assert_string_equal(g->values[g->outputs[1]].name, "z");
    assert_int_equal(fanin_graph_find(g, "input"), g->inputs[1]);
    fanin_graph_destroy(g);
}

TEST(notes_are_lines) {
    fanin_graph_builder *b = begin();
    fanin__graph_note(b, "one %d", 1);
    fanin__graph_note(b, "two");
    fanin_graph *g = finish(b);
    assert_string_equal(g->notes, "one 1\ntwo");
    fanin_graph_destroy(g);
    fanin_graph_destroy(NULL);
    fanin_graph_builder_destroy(NULL);
}
