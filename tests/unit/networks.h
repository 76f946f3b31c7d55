/* networks.h - graphs and programs of tests that have to be there. */
#ifndef FANIN_TEST_NETWORKS_H
#define FANIN_TEST_NETWORKS_H

#include "fanin/engine.h"
#include "fanin/format.h"
#include "testing.h"

static inline fanin_graph *load(const char *model) {
    fanin_graph *g;
    fanin_err err = {0};
    assert_ok_err(fanin_graph_load(model, &g, &err), err);
    return g;
}

static inline fanin_graph *builtin(const char *text) {
    fanin_graph *g;
    fanin_err err = {0};
    assert_ok_err(fanin_graph_builtin(text, &g, &err), err);
    return g;
}

static inline fanin_program *program_of(const fanin_graph *g, fanin_program_options o) {
    fanin_program *p;
    fanin_err err = {0};
    assert_ok_err(fanin_program_create(g, &o, &p, &err), err);
    return p;
}

#endif
