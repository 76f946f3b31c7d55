/* op_case.h - a node of one operator, written in two lines of text: what the tests of operators are made of. */
#ifndef FANIN_TEST_OP_CASE_H
#define FANIN_TEST_OP_CASE_H

#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "fanin/graph.h"
#include "testing.h"

enum { MAX_IN = 8, MAX_ATTRS = 8 };

/* Inputs, separated by blanks: "2x3" a tensor of normal numbers, "2x3@a:b" uniform on [a, b] ("@1:0" apart), "s" or
 * "s@a:b" a scalar, "#1,2" constant integers, "#1,2:2x1" of a shape, "#=1" one, "#0;3x1" alternating ones of
 * a shape, "%0.5" a constant number, "%1,2:2x1" constant numbers, "?2x3" constant truth values, "-" left out.
 * Attributes: "a=1 b=f0.5 c=[1,2] d='text'". */
typedef struct op_case {
    const char *op, *attrs, *inputs;
    int opset;
    int outputs; /* the last one is tested */
} op_case;

#define CASE(op, attrs, inputs) \
    { op, attrs, inputs, 0, 1 }
#define CASE_AT(op, attrs, inputs, opset) \
    { op, attrs, inputs, opset, 1 }
#define CASE_OF(op, attrs, inputs, opset, outputs) \
    { op, attrs, inputs, opset, outputs }
typedef struct random_state {
    uint64_t s;
} random_state;

static inline double uniform(random_state *r) {
    r->s += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = r->s;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

typedef struct built {
    fanin_graph *graph;
    int count;          /* differentiable inputs */
    int values[MAX_IN]; /* their values in the graph */
    double low[MAX_IN], high[MAX_IN];
} built;

static inline int read_dims(const char **s, int64_t *dims) {
    int rank = 0;
    if (**s == 's') {
        (*s)++;
        return 0;
    }
    for (;;) {
        char *end;
        dims[rank++] = strtol(*s, &end, 10);
        *s = end;
        if (**s != 'x') return rank;
        (*s)++;
    }
}

static inline int read_list(const char **s, int64_t *list) {
    int n = 0;
    for (;;) {
        char *end;
        list[n++] = strtol(*s, &end, 10);
        *s = end;
        if (**s != ',') return n;
        (*s)++;
    }
}

static inline int read_numbers(const char **s, double *list) {
    int n = 0;
    for (;;) {
        char *end;
        list[n++] = strtod(*s, &end);
        *s = end;
        if (**s != ',') return n;
        (*s)++;
    }
}

static inline int read_attrs(const char *s, fanin_attr *attrs, int64_t lists[][8],
                             double floats[][8], char names[][40], char texts[][80]) {
    int count = 0;
    while (*s) {
        if (*s == ' ') {
            s++;
            continue;
        }
        fanin_attr *a = &attrs[count];
        int n = 0;
        while (*s != '=') names[count][n++] = *s++;
        names[count][n] = 0;
        s++;
        *a = (fanin_attr){.name = names[count], .type = FANIN_ATTR_INT};
        char *end;
        if (*s == 'f') {
            a->type = FANIN_ATTR_FLOAT;
            a->f = strtod(s + 1, &end);
            s = end;
        } else if (*s == '[') {
            s++;
            a->type = FANIN_ATTR_INTS;
            a->count = (size_t)read_list(&s, lists[count]);
            a->ints = lists[count];
            s++;
            if (!strcmp(a->name, "scales")) {
                a->type = FANIN_ATTR_FLOATS;
                for (size_t i = 0; i < a->count; i++) floats[count][i] = (double)lists[count][i];
                a->floats = floats[count];
            }
        } else if (*s == '\'') {
            a->type = FANIN_ATTR_STRING;
            for (n = 0, s++; *s != '\''; s++) texts[count][n++] = *s;
            texts[count][n] = 0;
            a->s = texts[count];
            s++;
        } else {
            a->i = strtol(s, &end, 10);
            s = end;
        }
        count++;
    }
    return count;
}

static inline int read_input(fanin_graph_builder *b, const char **s, built *g, random_state *r) {
    int64_t dims[8], list[64];
    char kind = **s;
    if (kind == '-') {
        (*s)++;
        return -1;
    }
    if (kind == '#') {
        (*s)++;
        bool scalar = **s == '=';
        if (scalar) (*s)++;
        int64_t n = read_list(s, list);
        if (**s == ';') { /* one value, of the given shape */
            (*s)++;
            int rank = read_dims(s, dims);
            int64_t count = 1;
            for (int i = 0; i < rank; i++) count *= dims[i];
            for (int64_t i = 0; i < count; i++) list[i] = (list[0] + i) % 2;
            return fanin_graph_initializer(b, NULL, FANIN_I64, rank, dims, list);
        }
        int rank = scalar ? 0 : 1;
        dims[0] = n;
        if (**s == ':') {
            (*s)++;
            rank = read_dims(s, dims);
        }
        return fanin_graph_initializer(b, NULL, FANIN_I64, rank, dims, list);
    }
    if (kind == '%') {
        double v[64];
        (*s)++;
        read_numbers(s, v);
        int rank = 0;
        if (**s == ':') {
            (*s)++;
            rank = read_dims(s, dims);
        }
        return fanin_graph_initializer(b, NULL, FANIN_F64, rank, dims, v);
    }
    if (kind == '?') {
        unsigned char flags[64];
        (*s)++;
        int rank = read_dims(s, dims);
        for (int i = 0; i < 64; i++) flags[i] = uniform(r) < 0.5;
        return fanin_graph_initializer(b, NULL, FANIN_BOOL, rank, dims, flags);
    }
    int rank = read_dims(s, dims), at = g->count++;
    g->low[at] = g->high[at] = 0;
    if (**s == '@') {
        char *end;
        g->low[at] = strtod(*s + 1, &end);
        g->high[at] = strtod(end + 1, &end);
        *s = end;
    }
    int value = fanin_graph_initializer(b, NULL, FANIN_F64, rank, dims, NULL);
    g->values[at] = value;
    return value;
}

static inline built build(const op_case *c, random_state *r) {
    built g = {0};
    fanin_graph_builder *b;
    fanin_err err = {0};
    int inputs[MAX_IN + 2], count = 0, outputs = c->outputs;
    assert_ok(fanin_graph_builder_create(c->op, c->opset ? c->opset : 15, &b));
    for (const char *s = c->inputs; *s;) {
        if (*s == ' ') {
            s++;
            continue;
        }
        inputs[count++] = read_input(b, &s, &g, r);
    }
    fanin_attr attrs[MAX_ATTRS];
    int64_t lists[MAX_ATTRS][8];
    double floats[MAX_ATTRS][8];
    char names[MAX_ATTRS][40], texts[MAX_ATTRS][80];
    int n = read_attrs(c->attrs, attrs, lists, floats, names, texts);
    int y = fanin_graph_node(b, c->op, "tested", inputs, count, attrs, n, outputs);
    fanin_graph_output(b, y + outputs - 1, "y"); /* of several results, the last */
    assert_ok_err(fanin_graph_builder_finish(b, &g.graph, &err), err);
    return g;
}

#endif
