/* Scheme files, formulas, built-in schemes: what they give each tensor, and how they fail. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "fanin/format.h"
#include "scheme/scheme.h"
#include "format/yaml.h"
#include "testing.h"

/* ---- formulas ---------------------------------------------------------------------------------- */

TEST(formulas_compute) {
    const fanin__variable v[] = {{"L", 12}, {"fan_in", 768}, {"depth", NAN}, {NULL, 0}};
    static const struct {
        const char *text;
        double value;
    } good[] = {
        {"0.02/sqrt(2*L)", 0.004082482904638630163662}, /* 0.02 / sqrt(24) */
        {"1", 1},
        {"-2^2", -4},
        {"2^3^2", 512},
        {"2^-1", 0.5},
        {" ( 1 + 2 ) * 3 - 4 / 8 ", 8.5},
        {"min(L, 3) + max(1,2)", 5},
        {"1e-3*fan_in", 0.768},
        {"exp(0)+log(1)+abs(-2)+cbrt(27)", 6},
        {"pi", 3.14159265358979323846},
        {"10-2-3", 5},
        {"100/10/2", 5},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        double value;
        fanin_err err = {0};
        assert_ok_err(fanin__formula(good[i].text, v, &value, &err), err);
        assert_near(value, good[i].value, 0, 1e-15);
    }
    static const char *const bad[] = {"",       "1+",  "(1",      "sqrt(2", "sqrt(1,2)",
                                      "nosuch", "1 2", "1/0",     "log(0)", "depth",
                                      "f(2)",   "*",   "sqrt(-1)"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        double value;
        fanin_err err = {0};
        if (fanin__formula(bad[i], v, &value, &err) != FANIN_ARG)
            fail_msg("'%s' gives %g", bad[i], value);
        assert_true(err.message[0]);
    }
    char deep[4096];
    memset(deep, '(', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    double value;
    assert_int_equal(fanin__formula(deep, v, &value, NULL), FANIN_ARG);
}

/* Closed forms: E relu^2 = 1/2, E |z|^2 = 1, E z^4 = 3, E relu(z)^4 = 3/2; erf: (2/pi) asin(2/3). */
TEST(exact_gains_are_worked_out) {
    static const struct {
        const char *rule, *follows;
        double gain;
    } good[] = {
        {"he_normal:nonlinearity=exact:relu", NULL, 1.4142135623730951},
        {"he_normal:nonlinearity=exact", "relu", 1.4142135623730951},
        {"he_uniform:nonlinearity=exact:x*x", NULL, 0.57735026918962576},
        {"lecun_normal:mode=fan_out,nonlinearity=exact:max(x,0)^2", NULL, 0.81649658092772603},
        {"orthogonal:nonlinearity=exact:erf", "relu", 1.4671669504891385}};
    fanin_tensor_info info = {.tensor = fanin_tensor_torch("w", 2, (int64_t[]){30, 50})};
    const fanin_tensors all = {.layers = 1, .blocks = 1};
    for (size_t i = 0; i < FANIN_COUNT(good); i++) {
        char text[640];
        fanin_rule rule;
        fanin_err err = {0};
        info.tensor.nonlinearity = good[i].follows;
        assert_ok_err(fanin__rule_resolve(good[i].rule, &info, &all, text, sizeof text, &err), err);
        assert_ok_err(fanin_rule_parse(text, &rule, &err), err);
        assert_near(rule.gain, good[i].gain, 0, 1e-12);
    }
    static const char *const bad[] = {
        "he_normal:nonlinearity=exact",
        "he_normal:nonlinearity=exact:", "he_normal:nonlinearity=exact:no_such"};
    info.tensor.nonlinearity = NULL;
    for (size_t i = 0; i < FANIN_COUNT(bad); i++) {
        char text[640];
        fanin_err err = {0};
        assert_int_not_equal(fanin__rule_resolve(bad[i], &info, &all, text, sizeof text, &err),
                             FANIN_OK);
        assert_true(err.message[0]);
    }
}

/* ---- YAML -------------------------------------------------------------------------------------- */

static fanin_status parse(const char *text, fanin_err *err) {
    fanin__yaml y;
    fanin_status status = fanin__yaml_parse(text, strlen(text), "t.yaml", &y, err);
    if (status == FANIN_OK) fanin__yaml_fini(&y);
    return status;
}

TEST(yaml_is_bounded) {
    fanin_err err = {0};
    assert_ok_err(parse("a: 1\nb: [x, {y: z}]\n", &err), err);
    assert_ok_err(parse("", &err), err);
    static const struct {
        const char *text;
        fanin_status status;
        const char *words;
    } bad[] = {
        {"a: 1\na: 2\n", FANIN_FORMAT, "line 2"},
        {"- &x 1\n- *x\n", FANIN_FORMAT, "anchors"},
        {"- match: *.weight\n", FANIN_FORMAT, "must be quoted"},
        {"- *x\n", FANIN_FORMAT, "must be quoted"},
        {"- !!str 1\n", FANIN_FORMAT, "tags"},
        {"<<: {a: 1}\n", FANIN_FORMAT, "merge"},
        {"a: 1\n---\nb: 2\n", FANIN_FORMAT, "second document"},
        {"? [a]\n: b\n", FANIN_FORMAT, "key"},
        {"a: [1\n", FANIN_FORMAT, "line"},
        {"a: \"\\0\"\n", FANIN_FORMAT, "zero byte"},
        {"\xff\xfe\xff", FANIN_FORMAT, ""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        memset(&err, 0, sizeof err);
        fanin_status status = parse(bad[i].text, &err);
        if (status != bad[i].status || !strstr(err.message, bad[i].words))
            fail_msg("%s: %d %s", bad[i].text, (int)status, err.message);
    }
    char deep[100001];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    assert_int_equal(parse(deep, &err), FANIN_LIMIT);
}

/* ---- schemes on a model ------------------------------------------------------------------------ */

static fanin_status plan_of(const char *model, const char *scheme, const char *const *rules, int n,
                            fanin_graph **g, fanin_plan **p, fanin_err *err) {
    fanin_init_options o = {.scheme = scheme, .rules = rules, .rule_count = n};
    assert_ok_err(fanin_graph_builtin(model, g, err), *err);
    fanin_status status = fanin_plan_create(*g, &o, p, err);
    if (status != FANIN_OK) {
        assert_null(*p);
        fanin_graph_destroy(*g);
    }
    return status;
}

static const char *write_scheme(const char *text) {
    fanin_err err = {0};
    const char *path = test_tmp("s.yaml");
    assert_ok_err(fanin__file_write(path, text, strlen(text), &err), err);
    return path;
}

static void expect_rule(const fanin_plan *p, const char *name, const char *rule) {
    int i = fanin_plan_find(p, name);
    if (i < 0) fail_msg("no row '%s'", name);
    assert_string_equal(fanin_plan_row_at(p, i)->rule_text, rule);
}

#define GPT "gpt2:layers=2,width=64,heads=4,vocab=65,context=32"

TEST(built_in_schemes_know_every_class) {
    static const struct {
        const char *scheme, *name, *rule;
    } rows[] = {
        {"he", "wte.weight", "he_normal"},
        {"he", "h.0.ln_1.weight", "ones"},
        {"he", "h.0.ln_1.bias", "zeros"},
        {"xavier", "h.1.attn.c_attn.weight", "xavier_uniform"},
        {"lecun", "h.1.mlp.c_fc.weight", "lecun_normal"},
        {"orthogonal", "h.1.mlp.c_fc.weight", "orthogonal"},
        {"torch", "h.1.mlp.c_fc.bias", "torch_default"},
        {"torch", "wte.weight", "normal"},
        {"keras", "wte.weight", "uniform:low=-0.05,high=0.05"},
        {"jax", "h.0.mlp.c_fc.weight", "lecun_truncated_normal"},
        {"gpt2", "h.0.mlp.c_fc.weight", "normal:std=0.02"},
        {"gpt2", "h.0.mlp.c_proj.weight", "normal:std=0.01"}, /* 0.02 / sqrt(2 * 2) */
        {"gpt2", "h.1.attn.c_proj.weight", "normal:std=0.01"},
        {"normal:std=0.01", "h.1.attn.c_proj.weight", "normal:std=0.01"},
        {"normal:std=0.01", "h.1.attn.c_proj.bias", "zeros"},
        {"Kaiming_Uniform_", "wpe.weight", "he_uniform"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fanin_graph *g;
        fanin_plan *p;
        fanin_err err = {0};
        assert_ok_err(plan_of(GPT, rows[i].scheme, NULL, 0, &g, &p, &err), err);
        expect_rule(p, rows[i].name, rows[i].rule);
        assert_int_equal(fanin_plan_count(p), 28);
        fanin_plan_destroy(p);
        fanin_graph_destroy(g);
    }
}

/* torch's default of a Linear with 784 inputs: U(-1/28, 1/28), weight and bias. */
TEST(torch_biases_take_the_fan_of_their_weight) {
    fanin_graph *g;
    fanin_plan *p;
    fanin_err err = {0};
    assert_ok_err(plan_of("mlp:784-10", "torch", NULL, 0, &g, &p, &err), err);
    for (int i = 0; i < 2; i++) {
        assert_near(fanin_plan_row_at(p, i)->moments.high, 1.0 / 28, 0, 1e-15);
        assert_near(fanin_plan_row_at(p, i)->moments.std, 1.0 / 28 / sqrt(3), 0, 1e-15);
    }
    fanin_plan_destroy(p);
    fanin_graph_destroy(g);
}

TEST(files_are_ordered_lists) {
    fanin_graph *g;
    fanin_plan *p;
    fanin_err err = {0};
    const char *path = write_scheme("# comment\n"
                                    "rules:\n"
                                    "  - match: \"*\"\n"
                                    "    rule: normal\n"
                                    "    std: 0.02/sqrt(2*L)\n"
                                    "  - class: [bias, norm_shift]\n"
                                    "    rule: zeros\n"
                                    "  - {class: norm_scale, rule: ones}\n"
                                    "  - match: 're:^h\\.[0-9]{1,2}\\.mlp\\.c_fc\\.weight$'\n"
                                    "    rule: he_normal\n"
                                    "    mode: fan_out\n"
                                    "  - \"wte.*\": normal:std=1/sqrt(fan_in)\n"
                                    "  - \"wpe.*\": {rule: uniform, low: -0.1, high: 0.1}\n");
    assert_ok_err(plan_of(GPT, path, NULL, 0, &g, &p, &err), err);
    expect_rule(p, "h.1.attn.c_attn.weight", "normal:std=0.01");
    expect_rule(p, "h.1.attn.c_attn.bias", "zeros");
    expect_rule(p, "ln_f.weight", "ones");
    expect_rule(p, "h.0.mlp.c_fc.weight", "he_normal:mode=fan_out");
    expect_rule(p, "wte.weight", "normal:std=0.125");
    expect_rule(p, "wpe.weight", "uniform:low=-0.1,high=0.1");
    int i = fanin_plan_find(p, "wte.weight");
    assert_non_null(strstr(fanin_plan_row_at(p, i)->reason, "s.yaml line 12 'wte.*'"));
    fanin_plan_destroy(p);
    fanin_graph_destroy(g);
    /* Shorter spellings: a bare list, a bare mapping, a base. */
    path = write_scheme("- \"*.weight\": he_normal\n- \"*.bias\": zeros\n");
    assert_ok_err(plan_of("mlp:4-3-2", path, NULL, 0, &g, &p, &err), err);
    expect_rule(p, "fc2.weight", "he_normal");
    fanin_plan_destroy(p);
    fanin_graph_destroy(g);
    path = write_scheme("\"*\": zeros\n\"*.weight\": {init: lecun_normal}\n");
    assert_ok_err(plan_of("mlp:4-3-2", path, NULL, 0, &g, &p, &err), err);
    expect_rule(p, "fc1.bias", "zeros");
    expect_rule(p, "fc1.weight", "lecun_normal");
    fanin_plan_destroy(p);
    fanin_graph_destroy(g);
    path = write_scheme("base: xavier\nrules:\n- {match: fc2.weight, rule: zeros}\n");
    assert_ok_err(plan_of("mlp:4-3-2", path, NULL, 0, &g, &p, &err), err);
    expect_rule(p, "fc1.weight", "xavier_uniform");
    expect_rule(p, "fc2.weight", "zeros");
    fanin_plan_destroy(p);
    fanin_graph_destroy(g);
}

TEST(scheme_mistakes_are_named) {
    static const struct {
        const char *text;
        fanin_status status;
        const char *words;
    } bad[] = {
        {"- \"*.weight\": he_normal\n", FANIN_ARG, "no line sets the tensor 'fc1.bias'"},
        {"- \"*\": zeros\n- \"conv*\": ones\n", FANIN_NOTFOUND, "line 2 'conv*' matches no tensor"},
        {"- \"*.weight\": zeros\n- \"*\": ones\n", FANIN_ARG, "line 1 '*.weight' is shadowed"},
        {"- \"*\": nosuchrule\n", FANIN_NOTFOUND, "line 1: no rule is called 'nosuchrule'"},
        {"- \"*\": normal:stdd=1\n", FANIN_ARG, "stdd"},
        {"- \"*\": normal:std=0.02/M\n", FANIN_ARG, "no variable 'M'"},
        {"- \"*\": dirac\n", FANIN_SHAPE, "fc1.weight"},
        {"- match: \"*\"\n  std: 1\n", FANIN_FORMAT, "line 1: this line names no rule"},
        {"- rule: zeros\n", FANIN_FORMAT, "neither match: nor class:"},
        {"- {match: 're:(', rule: zeros}\n", FANIN_ARG, "not a regular expression"},
        {"- {match: 're:a{1000}{1000}', rule: zeros}\n", FANIN_LIMIT, "repetitions"},
        {"- {match: 're:b+++++++++++++++++++++++++', rule: zeros}\n", FANIN_LIMIT, "repetitions"},
        {"- {class: dens, rule: zeros}\n", FANIN_NOTFOUND, "'dens' is not a class"},
        {"base: nosuch\nrules: [{match: '*', rule: zeros}]\n", FANIN_NOTFOUND, "base:"},
        {"extra: 1\nrules: [{match: '*', rule: zeros}]\n", FANIN_FORMAT, "extra"},
        {"", FANIN_FORMAT, "empty"},
        {"[]\n", FANIN_FORMAT, "no line"},
        {"just text\n", FANIN_FORMAT, "list of lines"},
        {"- a\n", FANIN_FORMAT, "a line is match: and rule:"},
        {"- match: *.weight\n  rule: zeros\n", FANIN_FORMAT, "must be quoted"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fanin_graph *g;
        fanin_plan *p = NULL;
        fanin_err err = {0};
        fanin_status status =
            plan_of("mlp:4-3-2", write_scheme(bad[i].text), NULL, 0, &g, &p, &err);
        if (status != bad[i].status || !strstr(err.message, bad[i].words))
            fail_msg("%s: status %d, %s", bad[i].text, (int)status, err.message);
    }
}

TEST(overlays_lie_over_the_scheme) {
    fanin_graph *g;
    fanin_plan *p;
    fanin_err err = {0};
    const char *rules[] = {"fc1.*=zeros", "fc1.weight=he_normal:gain=1", "*=ones"};
    assert_ok_err(plan_of("mlp:4-3-2", NULL, rules, 2, &g, &p, &err), err);
    expect_rule(p, "fc1.weight", "he_normal:gain=1");
    expect_rule(p, "fc1.bias", "zeros");
    /* auto sees what the rule gives: three units of second moment 1, halved by relu: var = 0.02 ln 2 / 1.5 */
    expect_rule(p, "fc2.weight", "normal:std=0.09614");
    assert_non_null(strstr(fanin_plan_notes(p), "the default"));
    fanin_plan_destroy(p);
    fanin_graph_destroy(g);
    /* --rule may shadow anything, the file's lines and other rules too. */
    const char *path = write_scheme("- \"*.weight\": he_normal\n- \"*.bias\": zeros\n");
    assert_ok_err(plan_of("mlp:4-3-2", path, rules, 3, &g, &p, &err), err);
    expect_rule(p, "fc1.weight", "ones");
    fanin_plan_destroy(p);
    fanin_graph_destroy(g);
    const char *dead[] = {"conv.*=zeros"};
    assert_int_equal(plan_of("mlp:4-3-2", "he", dead, 1, &g, &p, &err), FANIN_NOTFOUND);
    assert_non_null(strstr(err.message, "--rule 'conv.*' matches no tensor"));
    const char *malformed[] = {"conv"};
    assert_int_equal(plan_of("mlp:4-3-2", "he", malformed, 1, &g, &p, &err), FANIN_ARG);
}

TEST(unknown_schemes_are_explained) {
    fanin_graph *g;
    fanin_plan *p;
    fanin_err err = {0};
    assert_int_equal(plan_of("tensor:w=4x3", "auto", NULL, 0, &g, &p, &err), FANIN_ARG);
    assert_int_equal(plan_of("mlp:4-3-2", "hee", NULL, 0, &g, &p, &err), FANIN_NOTFOUND);
    assert_non_null(strstr(err.message, "he, xavier"));
    assert_int_equal(plan_of("mlp:4-3-2", "none.yaml", NULL, 0, &g, &p, &err), FANIN_NOTFOUND);
}

/* explain --as-scheme, read back, is the same plan: on models with every kind of exception. */
TEST(plans_survive_as_scheme_files) {
    static const char *const models[] = {GPT, "resnet:20", "mlp:4-3-2,act=prelu",
                                         "vit:layers=2,width=64,heads=4,patch=16,size=32"};
    static const char *const schemes[] = {"he", "torch", "gpt2", "orthogonal", "keras", "jax"};
    for (size_t m = 0; m < sizeof models / sizeof models[0]; m++)
        for (size_t s = 0; s < sizeof schemes / sizeof schemes[0]; s++) {
            fanin_graph *g, *g2;
            fanin_plan *p, *p2;
            fanin_err err = {0};
            const char *rules[] = {"*weight=he_uniform:gain=0.5"};
            int n = strcmp(schemes[s], "gpt2") == 0 && m == 1 ? 0 : (int)(s & 1);
            if (m != 0) n = 0; /* norm scales are weights by name */
            if (m == 0) rules[0] = "h.1.mlp*weight=he_uniform:gain=0.5";
            assert_ok_err(plan_of(models[m], schemes[s], rules, n, &g, &p, &err), err);
            char *text = fanin_plan_scheme_text(p);
            assert_ok_err(plan_of(models[m], write_scheme(text), NULL, 0, &g2, &p2, &err), err);
            assert_string_equal(fanin_plan_hash(p), fanin_plan_hash(p2));
            fanin_free(text);
            fanin_plan_destroy(p);
            fanin_plan_destroy(p2);
            fanin_graph_destroy(g);
            fanin_graph_destroy(g2);
        }
}

TEST(names_with_pattern_characters_survive) {
    fanin_graph_builder *b;
    fanin_graph *g;
    fanin_plan *p, *p2;
    fanin_err err = {0};
    assert_ok(fanin_graph_builder_create("odd", 17, &b));
    int x = fanin_graph_input(b, "x", FANIN_F32, 2, (int64_t[]){-1, 4});
    static const char *const names[] = {"a[0]*?.w", "re:x", "q\"uo\\te", "plain"};
    for (int i = 0; i < 4; i++) {
        int w = fanin_graph_initializer(b, names[i], FANIN_F32, 2, (int64_t[]){4, 4}, NULL);
        x = fanin_graph_node(b, "MatMul", NULL, (int[]){x, w}, 2, NULL, 0, 1);
    }
    fanin_graph_output(b, x, "y");
    assert_ok_err(fanin_graph_builder_finish(b, &g, &err), err);
    const char *rules[] = {"a*=normal:std=1", "re:x$=normal:std=2", "q*=normal:std=3"};
    fanin_init_options o = {.rules = rules, .rule_count = 3};
    assert_ok_err(fanin_plan_create(g, &o, &p, &err), err);
    expect_rule(p, "re:x", "normal:std=2");
    char *text = fanin_plan_scheme_text(p);
    o = (fanin_init_options){.scheme = write_scheme(text)};
    assert_ok_err(fanin_plan_create(g, &o, &p2, &err), err);
    assert_string_equal(fanin_plan_hash(p), fanin_plan_hash(p2));
    fanin_free(text);
    fanin_plan_destroy(p);
    fanin_plan_destroy(p2);
    fanin_graph_destroy(g);
}
