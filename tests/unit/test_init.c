/* Rules as text, the table, fans and gains, laws, errors; the frameworks' deterministic values. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fanin/init.h"
#include "base/base.h"
#include "testing.h"

static fanin_tensor torch2(int64_t out, int64_t in) {
    return fanin_tensor_torch("w", 2, (int64_t[]){out, in});
}

static fanin_moments apply(const char *text, const fanin_tensor *t) {
    fanin_rule rule;
    fanin_err err = {0};
    fanin_moments m;
    assert_ok_err(fanin_rule_parse(text, &rule, &err), err);
    assert_ok_err(fanin_rule_apply(&rule, t, &m, &err), err);
    return m;
}

static fanin_err refused(const char *text, const fanin_tensor *t, fanin_status wanted) {
    fanin_rule rule;
    fanin_err err = {0};
    fanin_moments m;
    fanin_status status = fanin_rule_parse(text, &rule, &err);
    if (status == FANIN_OK && t) status = fanin_rule_apply(&rule, t, &m, &err);
    if (status != wanted) print_error("%s: %s\n", text, err.message);
    assert_int_equal(status, wanted);
    assert_true(err.message[0] != 0);
    return err;
}

/* ---- text -------------------------------------------------------------------------------- */

TEST(names_of_all_frameworks) {
    static const char *const same[][2] = {
        {"kaiming_normal_", "he_normal"},
        {"HeNormal", "he_normal"},
        {"MSRA", "he_normal"},
        {"Glorot_Uniform", "xavier_uniform"},
        {"glorot_normal", "xavier_normal"},
        {"xavier-truncated-normal", "xavier_truncated_normal"},
        {"LecunNormal", "lecun_normal"},
        {"trunc_normal_", "truncated_normal"},
        {"eye_", "identity"},
        {"Zero", "zeros"},
        {"RandomNormal", "normal"},
        {"random_uniform", "uniform"},
        {"OrthogonalInitializer", "orthogonal"},
        {"VarianceScaling", "variance_scaling"},
        {"widrow_nguyen", "nguyen_widrow"},
        {"torch", "torch_default"},
        {"zero_init", "hadamard"},
    };
    for (size_t i = 0; i < FANIN_COUNT(same); i++) {
        fanin_rule rule;
        fanin_err err = {0};
        assert_ok_err(fanin_rule_parse(same[i][0], &rule, &err), err);
        assert_string_equal(fanin_rule_describe(&rule).name, same[i][1]);
    }
}

TEST(every_row_is_complete_and_found_by_its_names) {
    for (int i = 0; i < fanin_rule_count(); i++) {
        fanin_rule_info info = fanin_rule_at(i);
        fanin_rule rule;
        fanin_err err = {0};
        assert_ok_err(fanin_rule_parse(info.name, &rule, &err), err);
        assert_string_equal(fanin_rule_describe(&rule).name, info.name);
        assert_true(info.formula[0] && info.note[0]);
        char aliases[256], *save = NULL;
        snprintf(aliases, sizeof aliases, "%s", info.aliases);
        for (char *a = strtok_r(aliases, " ", &save); a; a = strtok_r(NULL, " ", &save)) {
            assert_ok_err(fanin_rule_parse(a, &rule, &err), err);
            assert_string_equal(fanin_rule_describe(&rule).name, info.name);
        }
        for (int j = 0; j < i; j++) assert_string_not_equal(fanin_rule_at(j).name, info.name);
    }
    assert_null(fanin_rule_at(-1).name);
    assert_null(fanin_rule_at(fanin_rule_count()).name);
}

TEST(options_round_trip) {
    static const char *const texts[] = {
        "he_normal",
        "he_normal:mode=fan_out,fans=torch,nonlinearity=leaky_relu,a=0.2",
        "xavier_uniform:gain=1.5",
        "variance_scaling:mode=fan_geo_avg,distribution=uniform,scale=0.333",
        "truncated_normal:mean=0.1,std=0.02,low=-inf,high=3,bounds=sigma",
        "constant:value=-0.25",
        "sparse:sparsity=0.9",
        "sparse:std=2,k=7",
        "orthogonal:gain=1.1,groups=12",
        "lstm_forget_bias:value=2,gates=iofc",
        "class_prior:prior=0.5/0.3/0.2",
        "uniform:low=-1e-30,high=12345678.9",
    };
    for (size_t i = 0; i < FANIN_COUNT(texts); i++) {
        fanin_rule rule, again;
        fanin_err err = {0};
        char text[512], text2[512];
        assert_ok_err(fanin_rule_parse(texts[i], &rule, &err), err);
        fanin_rule_text(&rule, text, sizeof text);
        assert_ok_err(fanin_rule_parse(text, &again, &err), err);
        fanin_rule_text(&again, text2, sizeof text2);
        assert_string_equal(text, text2);
        /* Options are written in the table's order; the texts above follow it. */
        if (!strstr(texts[i], "1e-30")) assert_string_equal(text, texts[i]);
        char tiny[8];
        fanin_rule_text(&rule, tiny, sizeof tiny);
        assert_int_equal(strlen(tiny), 7);
    }
}

TEST(mistakes_are_named) {
    assert_non_null(strstr(refused("he_norml", NULL, FANIN_NOTFOUND).message, "he_normal"));
    assert_non_null(strstr(refused("kaimng_uniform", NULL, FANIN_NOTFOUND).message, "he_uniform"));
    assert_non_null(strstr(refused("ortogonal", NULL, FANIN_NOTFOUND).message, "orthogonal"));
    assert_non_null(strstr(refused("zeros:value=1", NULL, FANIN_ARG).message, "none"));
    assert_non_null(strstr(refused("he_normal:std=1", NULL, FANIN_ARG).message, "nonlinearity"));
    refused("he_normal:mode=fan_up", NULL, FANIN_ARG);
    refused("he_normal:gain=-1", NULL, FANIN_ARG);
    refused("he_normal:gain=1e400", NULL, FANIN_ARG);
    refused("he_normal:gain=nan", NULL, FANIN_ARG);
    refused("he_normal:gain=2x", NULL, FANIN_ARG);
    refused("he_normal:gain", NULL, FANIN_ARG);
    refused("he_normal:=2", NULL, FANIN_ARG);
    refused("normal:std=-0.1", NULL, FANIN_ARG);
    refused("sparse:k=2.5", NULL, FANIN_ARG);
    refused("sparse:sparsity=1.5", NULL, FANIN_ARG);
    refused("orthogonal:groups=0", NULL, FANIN_ARG);
    refused("", NULL, FANIN_NOTFOUND);
    refused(":gain=1", NULL, FANIN_NOTFOUND);
    fanin_tensor w = torch2(20, 10), b = fanin_tensor_torch("b", 1, (int64_t[]){20});
    refused("he_normal:nonlinearity=gelo", &w, FANIN_NOTFOUND);
    assert_non_null(strstr(refused("he_normal", &b, FANIN_ARG).message, "b: he_normal"));
    refused("orthogonal", &b, FANIN_SHAPE);
    refused("dirac", &w, FANIN_SHAPE);
    refused("delta_orthogonal", &w, FANIN_SHAPE);
    refused("sparse:k=11", &w, FANIN_ARG);
    refused("sparse:k=3,sparsity=0.5", &w, FANIN_ARG);
    refused("uniform:low=1,high=0", &w, FANIN_ARG);
    refused("uniform:low=1,std=1", &w, FANIN_ARG);
    refused("truncated_normal:low=1,high=1", &w, FANIN_ARG);
    refused("truncated_normal:std=0", &w, FANIN_ARG);
    refused("variance_scaling:gain=1,scale=1", &w, FANIN_ARG);
    refused("orthogonal:groups=3", &w, FANIN_SHAPE);
    refused("class_prior:prior=1", &b, FANIN_ARG);
    refused("class_prior:prior=1/2/x", &b, FANIN_ARG);
    refused("class_prior:prior=1/2/3", &b, FANIN_SHAPE);
    fanin_tensor odd = fanin_tensor_torch("b", 1, (int64_t[]){21});
    refused("lstm_forget_bias", &odd, FANIN_SHAPE);
    fanin_tensor k = fanin_tensor_torch("k", 4, (int64_t[]){8, 16, 3, 3});
    refused("delta_orthogonal", &k, FANIN_SHAPE);
    refused("identity", &k, FANIN_SHAPE);
    fanin_tensor bad = torch2(-1, 4);
    refused("zeros", &bad, FANIN_SHAPE);

    fanin_rule rule;
    fanin_err err = {0};
    float out[4];
    fanin_tensor two = torch2(2, 2);
    assert_ok(fanin_rule_parse("zeros", &rule, NULL));
    assert_int_equal(fanin_rule_fill(&rule, &two, 0, 0, 5, FANIN_F32, out, &err), FANIN_ARG);
    assert_int_equal(fanin_rule_fill(&rule, &two, 0, 4, 1, FANIN_F32, out, &err), FANIN_ARG);
    assert_int_equal(fanin_rule_fill(&rule, &two, 0, 0, 4, FANIN_I32, out, &err), FANIN_ARG);
    assert_ok(fanin_rule_fill(&rule, &two, 0, 4, 0, FANIN_F32, out, &err));
    rule.id = 9999;
    assert_int_equal(fanin_rule_fill(&rule, &two, 0, 0, 4, FANIN_F32, out, &err), FANIN_ARG);
}

/* ---- scale ------------------------------------------------------------------------------- */

TEST(fans_and_gains) {
    fanin_tensor w = torch2(300, 100), k = fanin_tensor_torch("k", 4, (int64_t[]){16, 8, 3, 5});
    assert_near(apply("he", &w).std, sqrt(2.0 / 100), 0, 1e-15);
    assert_near(apply("he_normal:mode=fan_out", &w).std, sqrt(2.0 / 300), 0, 1e-15);
    assert_near(apply("xavier_uniform", &w).std, sqrt(2.0 / 400), 0, 1e-15);
    assert_near(apply("xavier_uniform", &w).high, sqrt(6.0 / 400), 0, 1e-15);
    assert_near(apply("lecun_normal:mode=fan_geo_avg", &w).std, pow(300.0 * 100, -0.25), 0, 1e-15);
    assert_near(apply("he_normal", &k).std, sqrt(2.0 / (8 * 15)), 0, 1e-15);
    assert_near(apply("he_normal:mode=fan_out", &k).std, sqrt(2.0 / (16 * 15)), 0, 1e-15);
    assert_near(apply("he_normal:gain=3", &w).std, 0.3, 0, 1e-15);
    assert_near(apply("he_normal:gain=3", &w).gain, 3, 0, 1e-15);
    assert_near(apply("he_normal:nonlinearity=tanh", &w).std, 5.0 / 3 / 10, 0, 1e-15);
    assert_near(apply("he_normal:nonlinearity=linear", &w).std, 0.1, 0, 1e-15);
    /* torch's kaiming_* with nonlinearity leaky_relu has a = 0; calculate_gain alone a = 0.01. */
    assert_near(apply("he_normal:nonlinearity=leaky_relu", &w).gain, sqrt(2), 0, 1e-15);
    assert_near(apply("xavier_normal:nonlinearity=leaky_relu", &w).gain, sqrt(2 / 1.0001), 0,
                1e-15);
    assert_near(apply("he_normal:a=1", &w).gain, 1, 0, 1e-15);
    assert_near(apply("he_normal:nonlinearity=leaky_relu:0.2", &w).gain, sqrt(2 / 1.04), 0, 1e-15);
    assert_near(apply("variance_scaling:scale=2,mode=fan_avg", &w).std, 0.1, 0, 1e-15);
    assert_near(apply("rademacher", &w).std, 0.1, 0, 1e-15);
    assert_non_null(strstr(apply("he", &w).reason, "sqrt(2)"));
    assert_non_null(strstr(apply("he", &w).reason, "fan_in 100"));

    /* Fans of the operator and torch's: a stride-2 transposed convolution, 3 x 3. */
    fanin_tensor t = fanin_tensor_torch("t", 4, (int64_t[]){64, 32, 3, 3});
    t.cls = FANIN_CLASS_CONV_TRANSPOSE;
    t.out_axis = 1;
    t.in_axis = 0;
    t.fan_in = 64 * 9.0 / 4;
    assert_near(apply("lecun_normal", &t).std, 1 / sqrt(144), 0, 1e-15);
    assert_near(apply("lecun_normal:fans=torch", &t).std, 1 / sqrt(32 * 9), 0, 1e-15);
}

/* Truncation at 2 sigma: papers' constant 0.87962566103423978; the widened normal is cut at 2.2737. */
TEST(truncated_families_correct_their_std) {
    fanin_tensor w = torch2(300, 100);
    fanin_moments m = apply("he_truncated_normal", &w);
    assert_near(m.std, sqrt(0.02), 0, 1e-15);
    assert_near(m.high, 2 * sqrt(0.02) / 0.87962566103423978, 0, 1e-15);
    m = apply("truncated_normal", &w);
    assert_near(m.std, 0.87962566103423978, 0, 1e-11);
    assert_near(m.mean, 0, 1e-12, 0);
    m = apply("truncated_normal:std=0.02", &w); /* torch: the bounds are 100 sigma away */
    assert_near(m.std, 0.02, 0, 1e-11);
    m = apply("truncated_normal:std=0.02,bounds=sigma", &w);
    assert_near(m.std, 0.02 * 0.87962566103423978, 0, 1e-11);
    assert_near(m.high, 0.04, 0, 1e-15);
    /* Half normal: mean sqrt(2/pi), variance 1 - 2/pi. */
    m = apply("truncated_normal:low=0,high=inf", &w);
    assert_near(m.mean, 0.79788456080286536, 0, 1e-11);
    assert_near(m.std, sqrt(1 - 0.63661977236758134), 0, 1e-10);
}

TEST(torch_default_is_kaiming_uniform_of_sqrt_5) {
    fanin_tensor w = torch2(30, 128), b = fanin_tensor_torch("b", 1, (int64_t[]){30});
    fanin_moments m = apply("torch_default", &w);
    assert_near(m.high, 1 / sqrt(128), 0, 1e-15);
    assert_near(m.std, apply("kaiming_uniform:a=2.23606797749979", &w).std, 0, 1e-15);
    b.fan_in = 128; /* the graph says so */
    assert_near(apply("torch_default", &b).high, m.high, 0, 1e-15);
}

/* ---- golden values ----------------------------------------------------------------------- */

/* One array of ../shared/vectors/index.tsv by name; rows of kind f32 or f64 and storage full. */
static size_t golden(const char *name, int64_t *dims, int *rank, double *out, size_t max) {
    char line[4096];
    FILE *index = fopen(test_shared("vectors/index.tsv"), "r");
    assert_non_null(index);
    size_t count = 0;
    while (fgets(line, sizeof line, index)) {
        char *column[18], *p = line;
        if (line[0] == '#') continue;
        for (int n = 0; n < 18; n++) {
            column[n] = p;
            p += strcspn(p, "\t\n");
            if (*p) *p++ = 0;
        }
        if (strcmp(column[0], name) != 0) continue;
        assert_string_equal(column[3], "full");
        *rank = 0;
        for (char *d = column[2]; strcmp(column[2], "scalar") != 0 && *d;) {
            dims[(*rank)++] = strtoll(d, &d, 10);
            if (*d) d++;
        }
        char path[512];
        snprintf(path, sizeof path, "vectors/%s", column[4]);
        FILE *f = fopen(test_shared(path), "rb");
        assert_non_null(f);
        fseek(f, strtol(column[5], NULL, 10), SEEK_SET);
        bool f64 = strcmp(column[1], "f64") == 0;
        size_t bytes = strtoul(column[6], NULL, 10), size = f64 ? 8 : 4;
        for (; count < bytes / size && count < max; count++) {
            float x;
            if (f64)
                assert_int_equal(fread(&out[count], 8, 1, f), 1);
            else
                assert_int_equal(fread(&x, 4, 1, f), 1), out[count] = (double)x;
        }
        fclose(f);
        break;
    }
    fclose(index);
    if (!count) print_error("no vector is called %s\n", name);
    assert_true(count > 0);
    return count;
}

TEST(torch_gains_agree) {
    static const struct {
        const char *vector, *name;
        double a;
    } cases[] = {
        {"torch/gain/linear/default", "linear", NAN},
        {"torch/gain/conv2d/default", "conv2d", NAN},
        {"torch/gain/sigmoid/default", "sigmoid", NAN},
        {"torch/gain/tanh/default", "tanh", NAN},
        {"torch/gain/relu/default", "ReLU", NAN},
        {"torch/gain/leaky_relu/default", "leaky_relu", NAN},
        {"torch/gain/leaky_relu/0", "leaky_relu", 0},
        {"torch/gain/leaky_relu/0.2", "leaky_relu:0.2", NAN},
        {"torch/gain/leaky_relu/2.236", "leaky_relu", 2.23606797749979},
        {"torch/gain/selu/default", "selu", NAN},
    };
    for (size_t i = 0; i < FANIN_COUNT(cases); i++) {
        int64_t dims[8];
        int rank;
        double want, got;
        golden(cases[i].vector, dims, &rank, &want, 1);
        assert_ok(fanin_gain_torch(cases[i].name, cases[i].a, &got, NULL));
        assert_near(got, want, 0, 2.3e-16);
    }
    double gain;
    assert_int_equal(fanin_gain_torch("gelu", NAN, &gain, NULL), FANIN_NOTFOUND);
    assert_int_equal(fanin_gain_torch("relu:0.2", NAN, &gain, NULL), FANIN_ARG);
}

static void equals_vector(const char *vector, const char *rule_text) {
    static double want[4096];
    float got[4096];
    int64_t dims[8];
    int rank = 0;
    size_t n = golden(vector, dims, &rank, want, 4096);
    fanin_tensor t = fanin_tensor_torch("w", rank, dims);
    fanin_rule rule;
    fanin_err err = {0};
    assert_ok_err(fanin_rule_parse(rule_text, &rule, &err), err);
    assert_ok_err(fanin_rule_fill(&rule, &t, 7, 0, n, FANIN_F32, got, &err), err);
    for (size_t i = 0; i < n; i++)
        if ((double)got[i] != want[i]) {
            print_error("%s: element %zu is %g, want %g\n", vector, i, (double)got[i], want[i]);
            fail();
        }
}

/* All of torch's dirac_ and eye_ vectors. */
TEST(torch_dirac_and_eye_agree) {
    char line[4096];
    FILE *index = fopen(test_shared("vectors/index.tsv"), "r");
    assert_non_null(index);
    int seen = 0;
    while (fgets(line, sizeof line, index)) {
        line[strcspn(line, "\t")] = 0;
        bool dirac = strncmp(line, "torch/dirac/", 12) == 0;
        if (!dirac && strncmp(line, "torch/eye/", 10) != 0) continue;
        char rule[64] = "eye";
        if (dirac) snprintf(rule, sizeof rule, "dirac:groups=%s", strrchr(line, '/') + 2);
        equals_vector(line, rule);
        seen++;
    }
    fclose(index);
    assert_true(seen == 8);
}
