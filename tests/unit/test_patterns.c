/* Patterns spelled out in the ways of exporters are found, with their parameters; near misses are not. Graphs
 * are written as text: "d=Sub x m; p=Pow d 2" - numbers are constants, @g a stored vector, W8x24 a stored matrix,
 * [2,5,2,4] a list, Op:1,2 its axes. x is 2 x 5 x 8, i 2 x 5 ids; the last value is the output. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/base.h"
#include "engine/program.h"
#include "fanin/scheme.h"
#include "faults.h"
#include "networks.h"

/* ---- graphs as text ---------------------------------------------------------------------------------- */

typedef struct maker {
    fanin_graph_builder *b;
    struct {
        char name[24];
        int value;
    } known[160];
    int count;
} maker;

static void keep(maker *m, const char *name, int value) {
    assert_true(m->count < (int)FANIN_COUNT(m->known) && value >= 0);
    snprintf(m->known[m->count].name, sizeof m->known[0].name, "%s", name);
    m->known[m->count++].value = value;
}

static int list(const char *s, int64_t out[8]) {
    int n = 0;
    for (char *end; *s && *s != ']' && n < 8; s = *end == ',' ? end + 1 : end)
        out[n++] = strtoll(s, &end, 10);
    return n;
}

static int stored(maker *m, const char *s) {
    int64_t dims[8] = {8};
    int rank = 1;
    if (s[0] == '[') {
        int64_t items[8];
        dims[0] = list(s + 1, items);
        return fanin_graph_initializer(m->b, s, FANIN_I64, 1, dims, items);
    }
    if (s[0] == 'W') {
        rank = sscanf(s, "W%ldx%ld", &dims[0], &dims[1]);
        return fanin_graph_initializer(m->b, s, FANIN_F32, rank, dims, NULL);
    }
    if (s[0] == 'T') { /* a triangle of ones, 5 x 5; T0: all ones */
        float mask[25];
        for (int i = 0; i < 25; i++) mask[i] = s[1] == '0' || i % 5 <= i / 5 ? 1.0f : 0.0f;
        return fanin_graph_initializer(m->b, s, FANIN_F32, 2, (int64_t[]){5, 5}, mask);
    }
    if (s[0] == '@') return fanin_graph_initializer(m->b, s, FANIN_F32, rank, dims, NULL);
    fanin_attr number = {.name = "value_float", .type = FANIN_ATTR_FLOAT, .f = strtod(s, NULL)};
    return fanin_graph_node(m->b, "Constant", NULL, NULL, 0, &number, 1, 1);
}

static int value_of(maker *m, const char *s) {
    for (int i = m->count; i-- > 0;)
        if (!strcmp(m->known[i].name, s)) return m->known[i].value;
    int v = stored(m, s);
    keep(m, s, v);
    return v;
}

static void statement(maker *m, char *s) {
    char *save, *rest = NULL, *out = strtok_r(s, " =", &save), *op = strtok_r(NULL, " =", &save);
    char *numbers = strncmp(op, "com.", 4) ? strchr(op, ':') : NULL;
    int inputs[8], n = 0, outputs = 1;
    int64_t items[8] = {0};
    fanin_attr attrs[2] = {0};
    int attr_count = 0;
    if (numbers) *numbers++ = '\0';
    for (char *a; n < 8 && (a = strtok_r(NULL, " ", &save));) inputs[n++] = value_of(m, a);
    for (char *c = out; *c; c++) outputs += *c == ',';
    if (numbers) {
        bool axes = !strncmp(op, "Reduce", 6), perm = !strcmp(op, "Transpose");
        attrs[attr_count++] = (fanin_attr){.name = axes                   ? "axes"
                                                   : perm                 ? "perm"
                                                   : !strcmp(op, "Trilu") ? "upper"
                                                   : !strcmp(op, "Gemm")  ? "transB"
                                                                          : "axis",
                                           .type = axes || perm ? FANIN_ATTR_INTS : FANIN_ATTR_INT,
                                           .count = (size_t)list(numbers, items),
                                           .ints = items,
                                           .i = items[0] = strtoll(numbers, NULL, 10)};
    }
    int value = fanin_graph_node(m->b, op, NULL, inputs, n, attrs, attr_count, outputs);
    for (char *o = strtok_r(out, ",", &rest); o; o = strtok_r(NULL, ",", &rest))
        keep(m, o, value++);
}

static fanin_graph *graph_of(const char *text) {
    maker m = {0};
    fanin_graph *g;
    fanin_err err = {0};
    char *all = fanin__strdup(text), *save;
    assert_ok(fanin_graph_builder_create("test", 13, &m.b));
    keep(&m, "x", fanin_graph_input(m.b, "x", FANIN_F32, 3, (int64_t[]){2, 5, 8}));
    keep(&m, "i", fanin_graph_input(m.b, "i", FANIN_I64, 2, (int64_t[]){2, 5}));
    for (char *s = strtok_r(all, ";", &save); s; s = strtok_r(NULL, ";", &save)) statement(&m, s);
    fanin_graph_output(m.b, m.known[m.count - 1].value, "out");
    fanin_free(all);
    assert_ok_err(fanin_graph_builder_finish(m.b, &g, &err), err);
    return g;
}

/* All groups' texts, joined. */
static char *said(const fanin_graph *g) {
    fanin_patterns *p;
    fanin__text t = {0};
    fanin_err err = {0};
    assert_ok_err(fanin_patterns_create(g, &p, &err), err);
    fanin__text_puts(&t, "");
    for (int i = 0; i < p->group_count; i++)
        fanin__text_printf(&t, "%s%s", i ? "; " : "", p->groups[i].text);
    fanin_patterns_destroy(p);
    return t.data;
}

typedef struct example {
    const char *text, *says;
} example;

static void all_say(const example *e, size_t count) {
    for (size_t i = 0; i < count; i++) {
        fanin_graph *g = graph_of(e[i].text);
        char *text = said(g);
        if (strcmp(text, e[i].says) != 0)
            fail_msg("%s\nsays '%s', expected '%s'", e[i].text, text, e[i].says);
        fanin_free(text);
        fanin_graph_destroy(g);
    }
}

/* ---- activations --------------------------------------------------------------------------------------- */

#define IN  "h=MatMul x W8x16;"
#define OUT ";z=MatMul y W16x3"

TEST(activations) {
    static const example all[] = {
        {IN "a=Div h 1.41421356;b=Erf a;c=Add b 1;d=Mul h c;y=Mul d 0.5" OUT,
         "1 GELU (erf form, spelled out)"},
        {IN "a=Mul h 0.70710678;b=Erf a;c=Add 1 b;d=Mul c 0.5;y=Mul d h" OUT,
         "1 GELU (erf form, spelled out)"},
        {IN "k=Mul h 0.5;a=Div h 1.41421356;b=Erf a;c=Add b 1;y=Mul k c" OUT,
         "1 GELU (erf form, spelled out)"},
        {IN "a=Pow h 3;b=Mul a 0.044715;c=Add h b;d=Mul c 0.79788456;e=Tanh d;f=Add e 1;k=Mul h "
            "0.5;y=Mul k f" OUT,
         "1 GELU (tanh form, spelled out)"},
        {IN "a=Mul h h;b=Mul a 0.035677408;c=Add b 0.79788456;d=Mul h c;e=Tanh d;f=Add e 1;k=Mul f "
            "h;y=Mul k 0.5" OUT,
         "1 GELU (tanh form, spelled out)"},
        {IN "a=Mul h 1.702;b=Sigmoid a;y=Mul b h" OUT,
         "1 GELU (x sigmoid(1.702 x) form, spelled out)"},
        {IN "b=Sigmoid h;y=Mul h b" OUT, "1 SiLU (spelled out)"},
        {IN "a=Neg h;b=Exp a;c=Add b 1;y=Div h c" OUT, "1 SiLU (spelled out)"},
        {IN "a=Mul h 1.5;b=Sigmoid a;y=Mul h b" OUT, "1 silu:1.5 (spelled out)"},
        {IN "a=Softplus h;b=Tanh a;y=Mul h b" OUT, "1 Mish (spelled out)"},
        {IN "a=Exp h;c=Add a 1;d=Log c;b=Tanh d;y=Mul h b" OUT, "1 Mish (spelled out)"},
        {IN "a=Add h 3;b=Clip a 0 6;c=Mul h b;y=Div c 6" OUT, "1 HardSwish (spelled out)"},
        {IN "a=Add h 3;b=Clip a 0 6;c=Div b 6;y=Mul c h" OUT, "1 HardSwish (spelled out)"},
        {IN "a=Relu h;y=Mul a a" OUT, "1 squared_relu (spelled out)"},
    };
    all_say(all, FANIN_COUNT(all));
}

TEST(near_misses_of_activations) {
    static const example all[] = {
        {IN "a=Div h 1.4;b=Erf a;c=Add b 1;d=Mul h c;y=Mul d 0.5" OUT, ""},
        {IN "a=Div h 1.41421356;b=Erf a;c=Add b 1;d=Mul h c;y=Mul d 0.6" OUT, ""},
        {IN "a=Div h 1.41421356;b=Erf a;c=Sub b 1;d=Mul h c;y=Mul d 0.5" OUT, ""},
        {IN "a=Pow h 3;b=Mul a 0.0448;c=Add h b;d=Mul c 0.79788456;e=Tanh d;f=Add e 1;k=Mul h "
            "0.5;y=Mul k f" OUT,
         ""},
        {IN "a=Pow h 2;b=Mul a 0.044715;c=Add h b;d=Mul c 0.79788456;e=Tanh d;f=Add e 1;k=Mul h "
            "0.5;y=Mul k f" OUT,
         ""},
        /* a gate that is not its own; one that is learned */
        {IN "g=MatMul x W8x16;b=Sigmoid g;y=Mul h b" OUT, ""},
        {IN "a=Mul h @b;b=Sigmoid a;y=Mul h b" OUT, ""},
        {IN "a=Softplus h;y=Mul h a" OUT, ""},
        {IN "a=Add h 3;b=Clip a 0 5;c=Mul h b;y=Div c 6" OUT, ""},
        /* the sigmoid is read by somebody else */
        {IN "b=Sigmoid h;y=Mul h b;o=Add y b;q=MatMul o W16x3", ""},
    };
    all_say(all, FANIN_COUNT(all));
}

/* ---- norms --------------------------------------------------------------------------------------------- */

#define CENTRED  "m=ReduceMean:-1 x;d=Sub x m;"
#define VARIANCE CENTRED "p=Pow d 2;v=ReduceMean:-1 p;"
#define STD      VARIANCE "e=Add v 1e-5;s=Sqrt e;"
#define END      ";z=MatMul y W8x3"

TEST(norms) {
    static const example all[] = {
        {STD "n=Div d s;k=Mul n @g;y=Add k @b" END, "1 layer norm (spelled out, eps 1e-5)"},
        {STD "n=Div d s;k=Mul @g n;y=Add @b k" END, "1 layer norm (spelled out, eps 1e-5)"},
        {STD "r=Reciprocal s;n=Mul d r;k=Mul n @g;y=Add k @b" END,
         "1 layer norm (spelled out, eps 1e-5)"},
        {STD "n=Div d s;k=Mul n @g"
             ";z=MatMul k W8x3",
         "1 layer norm (spelled out, eps 1e-5)"},
        {STD "y=Div d s" END, "1 layer norm (spelled out, eps 1e-5, no scale)"},
        {CENTRED "p=Mul d d;v=ReduceMean:-1 p;e=Add v 1e-12;r=Pow e -0.5;n=Mul d r;k=Mul n "
                 "@g;y=Add k @b" END,
         "1 layer norm (spelled out, eps 1e-12)"},
        /* TensorFlow's: x (g / std) + (b - mean g / std) */
        {STD "r=Div @g s;a=Mul x r;t=Mul m r;u=Sub @b t;y=Add a u" END,
         "1 layer norm (spelled out, eps 1e-5)"},
        /* E x^2 - (E x)^2 */
        {"m=ReduceMean:-1 x;q=Mul x x;u=ReduceMean:-1 q;w=Mul m m;v=Sub u w;e=Add v 1e-3;s=Sqrt "
         "e;d=Sub x m;n=Div d s;"
         "k=Mul n @g;y=Add k @b" END,
         "1 layer norm (spelled out, eps 0.001)"},
        {"m=ReduceSum:-1 x;n=Div m 8;d=Sub x n;p=Mul d d;t=ReduceSum:-1 p;v=Div t 8;e=Add v "
         "1e-5;s=Sqrt e;o=Div d s;"
         "k=Mul o @g;y=Add k @b" END,
         "1 layer norm (spelled out, eps 1e-5)"},
        {"p=Pow x 2;v=ReduceMean:-1 p;e=Add v 1e-6;s=Sqrt e;n=Div x s;y=Mul @g n" END,
         "1 RMS norm (spelled out, eps 1e-6)"},
        {"p=Pow x 2;v=ReduceMean:-1 p;e=Add v 1e-6;s=Sqrt e;n=Div x s;h=Add @g 1;y=Mul h n" END,
         "1 RMS norm (spelled out, eps 1e-6)"},
        {"l=ReduceL2:-1 x;c=Clip l 1e-12;y=Div x c" END, "1 L2 norm (spelled out, eps 1e-12)"},
        {"m=ReduceMean:0,1 x;d=Sub x m;p=Mul d d;v=ReduceMean:0,1 p;e=Add v 1e-5;s=Sqrt e;n=Div d "
         "s;k=Mul n @g;"
         "y=Add k @b" END,
         "1 layer norm (spelled out, eps 1e-5)"},
        {"h=Reshape x [0,4,-1];m=ReduceMean:-1 h;d=Sub h m;p=Mul d d;v=ReduceMean:-1 p;e=Add v "
         "1e-5;s=Sqrt e;"
         "n=Div d s;r=Reshape n [2,5,8];k=Mul r @g;y=Add k @b" END,
         "1 group norm (spelled out, 4 groups, eps 1e-5)"},
        {"m=ReduceMax:-1 x;d=Sub x m;e=Exp d;s=ReduceSum:-1 e;y=Div e s" END,
         "1 softmax (spelled out)"},
    };
    all_say(all, FANIN_COUNT(all));
}

TEST(near_misses_of_norms) {
    static const example all[] = {
        /* the mean along another axis: what is left is divided by its root mean square */
        {"m=ReduceMean:1 x;d=Sub x m;p=Pow d 2;v=ReduceMean:-1 p;e=Add v 1e-5;s=Sqrt e;y=Div d "
         "s" END,
         "1 RMS norm (spelled out, eps 1e-5, no scale)"},
        {CENTRED "p=Pow d 3;v=ReduceMean:-1 p;e=Add v 1e-5;s=Sqrt e;y=Div d s" END, ""},
        {VARIANCE "e=Add v 1e-5;y=Div d e" END, ""},          /* no root */
        {VARIANCE "e=Add v 1e-5;s=Sqrt e;y=Mul d s" END, ""}, /* times, not by */
        {VARIANCE "e=Add v 1e-5;s=Sqrt e;y=Div x s" END, ""}, /* not centred */
        {"m=ReduceSum:-1 x;n=Div m 7;d=Sub x n;p=Mul d d;t=ReduceSum:-1 p;v=Div t 8;e=Add v "
         "1e-5;s=Sqrt e;y=Div d s" END,
         "1 RMS norm (spelled out, eps 1e-5, no scale)"},
        {"p=Pow x 2;v=ReduceSum:-1 p;e=Add v 1e-6;y=Div x e" END, ""},
        /* what is inside goes elsewhere, too: the deviation; the centred value, which leaves the rest a norm */
        {STD "n=Div d s;y=Add n s" END, ""},
        {STD "n=Div d s;y=Add n d" END, "1 RMS norm (spelled out, eps 1e-5, no scale)"},
        {"e=Exp x;s=ReduceMean:-1 e;y=Div e s" END, ""},
    };
    all_say(all, FANIN_COUNT(all));
}

/* ---- attention ------------------------------------------------------------------------------------------ */

#define HEADS(from, to) "r" to "=Reshape " from " [2,5,2,4];" to "=Transpose:0,2,1,3 r" to ";"
#define QKV \
    "z=MatMul x W8x24;a,b,c=Split:2 z [8,8,8];" HEADS("a", "q") HEADS("b", "k") \
        HEADS("c", "v") "t=Transpose:0,1,3,2 k;"
#define MIX ";o=MatMul w v;f=Transpose:0,2,1,3 o;g=Reshape f [2,5,8];y=MatMul g W8x8"

TEST(attention) {
    static const example all[] = {
        {QKV "s=MatMul q t;l=Div s 2;w=Softmax:-1 l" MIX,
         "1 attention (2 heads x 4, packed q|k|v)"},
        {QKV "h=Mul q 0.5;s=MatMul h t;w=Softmax:-1 s" MIX,
         "1 attention (2 heads x 4, packed q|k|v)"},
        {QKV "h=Mul q 0.70710678;u=Mul t 0.70710678;s=MatMul h u;w=Softmax:3 s" MIX,
         "1 attention (2 heads x 4, packed q|k|v)"},
        {QKV "s=MatMul q t;w=Softmax:-1 s" MIX,
         "1 attention (2 heads x 4, not scaled, packed q|k|v)"},
        {QKV "s=MatMul q t;l=Div s 2;e=Equal T 0;n=Where e -1e9 l;w=Softmax:-1 n" MIX,
         "1 attention (2 heads x 4, causal, packed q|k|v)"},
        {QKV "s=MatMul q t;l=Div s 2;u=Trilu:0 T0;e=Equal u 0;n=Where e -1e9 l;w=Softmax:-1 n" MIX,
         "1 attention (2 heads x 4, causal, packed q|k|v)"},
        {QKV "s=MatMul q t;l=Div s 2;e=Sub 1 T;u=Mul e -1e4;n=Add l u;w=Softmax:-1 n" MIX,
         "1 attention (2 heads x 4, causal, packed q|k|v)"},
        {QKV "s=MatMul q t;l=Div s 2;n=Add l T0;w=Softmax:-1 n" MIX,
         "1 attention (2 heads x 4, stored mask or bias, packed q|k|v)"},
        {QKV "s=MatMul q t;l=Div s 2;j=Unsqueeze i [1,2];e=Equal j 0;n=Where e -1e9 l;w=Softmax:-1 "
             "n" MIX,
         "1 attention (2 heads x 4, mask from the inputs, packed q|k|v)"},
        /* spelled softmax */
        {QKV
         "s=MatMul q t;l=Div s 2;m=ReduceMax:-1 l;d=Sub l m;e=Exp d;u=ReduceSum:-1 e;w=Div e u" MIX,
         "1 softmax (spelled out); 1 attention (2 heads x 4, packed q|k|v)"},
        /* q|k|v along an axis of their own, and head by head */
        {"z=MatMul x W8x24;r=Reshape z [2,5,3,2,4];p=Transpose:2,0,3,1,4 r;q=Gather:0 p "
         "[0];k=Gather:0 p [1];"
         "v=Gather:0 p [2];t=Transpose:0,1,2,4,3 k;s=MatMul q t;l=Div s 2;w=Softmax:-1 l" MIX,
         "1 attention (2 heads x 4, packed q|k|v)"},
        {"z=MatMul x W8x24;r=Reshape z [2,5,2,12];p=Transpose:0,2,1,3 r;q,k,v=Split:3 p [4,4,4];"
         "t=Transpose:0,1,3,2 k;s=MatMul q t;l=Div s 2;w=Softmax:-1 l" MIX,
         "1 attention (2 heads x 4, packed q|k|v of each head)"},
        {"a=MatMul x W8x8;b=MatMul x W8x9;c=MatMul x W8x7;" HEADS("a", "q") HEADS("b", "k")
             HEADS("c", "v") "t=Transpose:0,1,3,2 k;s=MatMul q t;l=Div s 2;w=Softmax:-1 l" MIX,
         "1 attention (2 heads x 4)"},
        {"z=MatMul x W8x16;a,b,c=Split:2 z [8,4,4];" HEADS(
             "a", "q") "t=Transpose:0,2,1 b;s=MatMul q t;l=Div s 2;w=Softmax:-1 l;o=MatMul w "
                       "c;y=MatMul o W4x8",
         "1 attention (2 heads x 4, packed q|k|v 8|4|4)"},
    };
    all_say(all, FANIN_COUNT(all));
}

TEST(near_misses_of_attention) {
    static const example all[] = {
        {QKV "s=MatMul q t;l=Div s 2;w=Softmax:2 l" MIX, ""},     /* along the queries */
        {QKV "s=MatMul q W4x5;l=Div s 2;w=Softmax:-1 l" MIX, ""}, /* scores from a weight */
        {QKV "s=MatMul q t;l=Div s 2;w=Sigmoid l" MIX, ""},       /* no softmax */
        {QKV "s=MatMul q t;l=Div s 2;w=Softmax:-1 l;y=MatMul w W5x8", ""}, /* mixes a weight */
        {"h=MatMul x W8x10;w=Softmax:-1 h;y=MatMul w W10x8", ""},
    };
    all_say(all, FANIN_COUNT(all));
}

TEST(ties_and_exports) {
    static const example all[] = {
        {"e=Gather:0 W50x8 i;t=Transpose:1,0 W50x8;y=MatMul e t",
         "token embedding W50x8 tied to the output layer y"},
        {"e=Gather:0 W50x8 i;h=MatMul e W8x8;g=Reshape h [10,8];y=Gemm:1 g W50x8",
         "token embedding W50x8 tied to the output layer y"},
        {"e=Gather:0 W50x8 i;t=Transpose:1,0 W51x8;y=MatMul e t", ""},
        {"e=Gather:0 W50x8 [3,4];t=Transpose:1,0 W50x8;y=MatMul x t", ""},
        {"d=DequantizeLinear x 0.5;y=Add d 1", "1 DequantizeLinear (quantised)"},
        {"y=com.microsoft:FastGelu x", "1 FastGelu (fused for inference)"},
    };
    for (size_t i = 0; i < FANIN_COUNT(all); i++) {
        fanin_graph *g = graph_of(all[i].text);
        char *text = said(g), *cut = strstr(text, "output layer ");
        if (cut) strcpy(cut + strlen("output layer "), "y"); /* names are made up */
        if (strcmp(text, all[i].says) != 0)
            fail_msg("%s\nsays '%s', expected '%s'", all[i].text, text, all[i].says);
        fanin_free(text);
        fanin_graph_destroy(g);
    }
}

/* ---- what the plan makes of them -------------------------------------------------------------------------- */

static const fanin_tensor_info *tensor(const fanin_tensors *t, const char *name) {
    for (int i = 0; i < t->count; i++)
        if (!strcmp(t->items[i].tensor.name, name)) return &t->items[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

TEST(classes_follow_from_patterns) {
    static const struct {
        const char *text, *name;
        fanin_class cls;
        double fan_out; /* -1: not looked at */
        int parts;
        const char *role;
    } all[] = {
        {STD "r=Div @g s;a=Mul x r;t=Mul m r;u=Sub @b t;y=Add a u" END, "@g",
         FANIN_CLASS_NORM_SCALE, -1, 1, "of a layer norm that is spelled out"},
        {STD "r=Div @g s;a=Mul x r;t=Mul m r;u=Sub @b t;y=Add a u" END, "@b",
         FANIN_CLASS_NORM_SHIFT, -1, 1, "of a layer norm that is spelled out"},
        {STD "a=Mul d @g;n=Div a s;y=Add n @b" END, "@b", FANIN_CLASS_NORM_SHIFT, -1, 1,
         "of a layer norm that is spelled out"},
        {QKV "s=MatMul q t;u=Mul s T;l=Sub u T;w=Softmax:-1 l" MIX, "T", FANIN_CLASS_CONSTANT, -1,
         1, ""},
        {QKV "s=MatMul q t;w=Softmax:-1 s" MIX, "W8x24", FANIN_CLASS_ATTENTION_QKV, 8, 3, "q|k|v"},
        {"z=MatMul x W8x24;a,b,c=Split:2 z [12,6,6];" HEADS(
             "a", "q") "t=Transpose:0,2,1 b;s=MatMul q t;"
                       "w=Softmax:-1 s;o=MatMul w c;y=MatMul o W6x8",
         "W8x24", FANIN_CLASS_ATTENTION_QKV, 8, 1, "q|k|v 12|6|6"},
        {"z=MatMul x W8x24;r=Reshape z [2,5,2,12];p=Transpose:0,2,1,3 r;q,k,v=Split:3 p [4,4,4];"
         "t=Transpose:0,1,3,2 k;s=MatMul q t;l=Div s 2;w=Softmax:-1 l" MIX,
         "W8x24", FANIN_CLASS_ATTENTION_QKV, 8, 1, "q|k|v of each head"},
    };
    for (size_t i = 0; i < FANIN_COUNT(all); i++) {
        fanin_graph *g = graph_of(all[i].text);
        fanin_tensors *t;
        fanin_err err = {0};
        assert_ok_err(fanin_tensors_create(g, NULL, &t, &err), err);
        const fanin_tensor_info *info = tensor(t, all[i].name);
        if (info->tensor.cls != all[i].cls || info->tensor.parts != all[i].parts ||
            strcmp(info->role, all[i].role) != 0 ||
            (all[i].fan_out >= 0 && info->tensor.fan_out != all[i].fan_out))
            fail_msg("%s: %s is %s, %d parts, fan_out %g, '%s'", all[i].text, all[i].name,
                     fanin_class_name(info->tensor.cls), info->tensor.parts, info->tensor.fan_out,
                     info->role);
        fanin_tensors_destroy(t);
        fanin_graph_destroy(g);
    }
}

/* ---- real files -------------------------------------------------------------------------------------------- */

TEST(real_graphs) {
    static const example all[] = {
        {"gpt2_small", "12 GELU (erf form, spelled out); 25 layer norms (spelled out, eps 1e-5); "
                       "12 attentions (12 "
                       "heads x 64, causal, packed q|k|v)"},
        {"gpt_tiny_weights",
         "4 GELU (erf form, spelled out); 9 layer norms (spelled out, eps 1e-5); 4 attentions (4 "
         "heads x 16, causal, packed q|k|v)"},
        {"vit_b_16", "12 GELU (erf form, spelled out); 25 layer norms (spelled out, eps 1e-6); 12 "
                     "attentions (12 "
                     "heads x 64, packed q|k|v)"},
        {"resnet50", "53 batch norms (training form, eps 1e-5)"},
        {"resnet18_eval_fused",
         "20 convolutions that may have taken in their batch norms (exported for inference)"},
        {"alexnet", ""},
        {"squeezenet1_1", ""},
        {"mobilenet_v2", "52 batch norms (training form, eps 1e-5)"},
    };
    for (size_t i = 0; i < FANIN_COUNT(all); i++) {
        char path[96];
        snprintf(path, sizeof path, "models/graphs/%s.onnx", all[i].text);
        fanin_graph *g = load(test_shared(path));
        char *text = said(g);
        assert_string_equal(text, all[i].says);
        fanin_free(text);
        fanin_graph_destroy(g);
    }
}

/* ---- in the engine ----------------------------------------------------------------------------------------- */

static int erfs(const fanin_program *p) {
    int count = 0;
    for (int i = 0; i < p->ir.count; i++)
        count += p->ir.nodes[i].op == FANIN__MAP && p->ir.nodes[i].attr.kind == FANIN__FN_ERF;
    return count;
}

static void fill(fanin_buffer b, double scale) {
    for (size_t i = 0; i < b.count; i++) {
        double v = scale * sin(1.7 * (double)i + 0.3);
        if (b.dtype == FANIN_F32)
            ((float *)b.data)[i] = (float)v;
        else if (b.dtype == FANIN_F64)
            ((double *)b.data)[i] = v;
    }
}

static void assert_same(fanin_buffer f, fanin_buffer d) {
    double difference = 0, norm = 0;
    assert_true(f.count == d.count && f.count > 0);
    for (size_t i = 0; i < f.count; i++) {
        double v = ((double *)d.data)[i];
        difference += pow(((float *)f.data)[i] - v, 2);
        norm += v * v;
    }
    assert_true(norm > 0 && difference <= 1e-12 * norm);
}

/* The activation's kernel in float against the nodes as they are in double: output, loss, gradients. */
TEST(rewritten_equals_lowered) {
    static const char *const all[] = {
        IN "a=Div h 1.41421356;b=Erf a;c=Add b 1;d=Mul h c;y=Mul d 0.5" OUT,
        IN "a=Pow h 3;b=Mul a 0.044715;c=Add h b;d=Mul c 0.79788456;e=Tanh d;f=Add e 1;k=Mul h "
           "0.5;y=Mul k f" OUT,
        IN "a=Mul h 1.702;b=Sigmoid a;y=Mul b h" OUT,
        IN "b=Sigmoid h;y=Mul h b" OUT,
        IN "a=Softplus h;b=Tanh a;y=Mul h b" OUT,
        IN "a=Add h 3;b=Clip a 0 6;c=Mul h b;y=Div c 6" OUT,
    };
    for (size_t i = 0; i < FANIN_COUNT(all); i++) {
        fanin_graph *g = graph_of(all[i]);
        fanin_err err = {0};
        fanin_program_options o = {.loss = "mse", .gradients = true};
        fanin_program *f = program_of(g, o);
        o.dtype = FANIN_F64;
        fanin_program *d = program_of(g, o);
        if (i == 0) {
            assert_int_equal(erfs(f), 0);
            assert_true(erfs(d) > 0);
        }
        fanin_program *both[] = {f, d};
        for (int k = 0; k < 2; k++) {
            fill(fanin_program_input(both[k], 0), 2);
            for (int w = 0; w < fanin_program_weight_count(both[k]); w++)
                fill(fanin_program_weight(both[k], w), 0.7);
            fill(fanin_program_target(both[k]), 1);
            assert_ok_err(fanin_program_run(both[k], &err), err);
        }
        assert_near(fanin_program_loss(f), fanin_program_loss(d), 0, 1e-6);
        assert_same(fanin_program_output(f, 0), fanin_program_output(d, 0));
        for (int w = 0; w < fanin_program_weight_count(f); w++)
            assert_same(fanin_program_gradient(f, w), fanin_program_gradient(d, w));
        fanin_program_destroy(f);
        fanin_program_destroy(d);
        fanin_graph_destroy(g);
    }
}

/* ---- robustness -------------------------------------------------------------------------------------------- */

static fanin_status once(void *arg) {
    fanin_patterns *p;
    fanin_status status = fanin_patterns_create(arg, &p, NULL);
    assert_true((p == NULL) == (status != FANIN_OK));
    fanin_patterns_destroy(p);
    return status;
}

TEST(no_memory) {
    fanin_graph *g =
        graph_of(QKV "s=MatMul q t;l=Div s 2;w=Softmax:-1 l" MIX ";b=Sigmoid y;u=Mul y b");
    fault_sweep("patterns", once, g);
    fanin_graph_destroy(g);
}

/* A long chain of nodes that could all be part of something is done with in time. */
TEST(long_chains) {
    fanin_graph_builder *b;
    fanin_graph *g;
    fanin_err err = {0};
    assert_ok(fanin_graph_builder_create("chain", 13, &b));
    int x = fanin_graph_input(b, "x", FANIN_F32, 1, (int64_t[]){4});
    for (int i = 0; i < 50000; i++)
        x = fanin_graph_node(b, i % 3 ? "Abs" : "Sigmoid", NULL, &x, 1, NULL, 0, 1);
    fanin_graph_output(b, x, "y");
    assert_ok_err(fanin_graph_builder_finish(b, &g, &err), err);
    clock_t start = clock(); /* of the processor: other programs do not count */
    char *text = said(g);
    assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 20);
    fanin_free(text);
    fanin_graph_destroy(g);
}
