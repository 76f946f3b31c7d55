#include <math.h>
#include <string.h>

#include "activation/activation.h"
#include "testing.h"

static fanin_activation *parse(const char *text) {
    fanin_activation *act = NULL;
    fanin_err err = {0};
    assert_ok_err(fanin_activation_parse(text, &act, &err), err);
    return act;
}

static double at(const fanin_activation *act, int order, double x) {
    double y = -77;
    fanin_activation_eval(act, order, &x, &y, 1);
    return y;
}

TEST(ids_follow_the_table) {
    for (size_t i = 0; i < fanin_activation_count(); i++) {
        const fanin_activation_row *row = fanin_activation_row_at(i);
        assert_int_equal(row->id, (int)i + 1);
        assert_non_null(row->pairs_with);
        assert_non_null(row->paper);
        fanin_activation *act = parse(row->name);
        assert_int_equal(fanin_activation_id_of(act), row->id);
        assert_string_equal(fanin_activation_name(act), row->name);
        fanin_activation_destroy(act);
    }
    assert_null(fanin_activation_row_at(fanin_activation_count()));
}

TEST(names_parse_and_print) {
    static const char *const pairs[][2] = {
        {"leaky_relu:0.2", "leaky_relu:0.2"},
        {"LeakyReLU:0.01", "leaky_relu"},
        {"swish", "silu"},
        {"silu:1.5", "silu:1.5"},
        {"hard-tanh:-2,2", "hard_tanh:-2,2"},
        {"hard_tanh:-1", "hard_tanh"},
        {"quick_gelu", "silu:1.702"},
        {"elu:1.7", "elu:1.7"},
        {"linear", "identity"},
        {"x*sigmoid(1.702*x)", "x*sigmoid(1.702*x)"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        fanin_activation *act = parse(pairs[i][0]);
        assert_string_equal(fanin_activation_name(act), pairs[i][1]);
        fanin_activation *again = parse(fanin_activation_name(act));
        for (double x = -3; x <= 3; x += 0.37) assert_true(at(act, 0, x) == at(again, 0, x));
        fanin_activation_destroy(act);
        fanin_activation_destroy(again);
    }
}

TEST(wrong_text_is_refused) {
    static const struct {
        const char *text;
        fanin_status status;
    } cases[] = {{"gelu2", FANIN_NOTFOUND},
                 {"relu:1", FANIN_ARG},
                 {"leaky_relu:", FANIN_ARG},
                 {"leaky_relu:a", FANIN_ARG},
                 {"celu:-1", FANIN_ARG},
                 {"hard_tanh:2,1", FANIN_ARG},
                 {"", FANIN_ARG},
                 {"x +", FANIN_ARG},
                 {"sin(x", FANIN_ARG},
                 {"max(x)", FANIN_ARG},
                 {"foo(x)", FANIN_ARG},
                 {"x ? 1", FANIN_ARG},
                 {"x x", FANIN_ARG},
                 {"y", FANIN_NOTFOUND},
                 {"1e999*x", FANIN_ARG},
                 {"x @ q", FANIN_ARG},
                 {"leaky_relu:nan", FANIN_ARG}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fanin_activation *act = (fanin_activation *)&act;
        fanin_err err = {0};
        fanin_status got = fanin_activation_parse(cases[i].text, &act, &err);
        if (got != cases[i].status) print_error("'%s': %s\n", cases[i].text, err.message);
        assert_int_equal(got, cases[i].status);
        assert_null(act);
        assert_true(strlen(err.message) > 10);
    }
    char deep[300];
    memset(deep, '(', 200);
    deep[200] = 0;
    fanin_activation *act;
    assert_int_equal(fanin_activation_parse(deep, &act, NULL), FANIN_LIMIT);
    memset(deep, '-', 200);
    assert_int_equal(fanin_activation_parse(deep, &act, NULL), FANIN_LIMIT);
}

/* Each derivative against a central difference of the one before, away from kinks. */
static void check_derivatives(const fanin_activation *act) {
    double kinks[64];
    size_t count = fanin_activation_kinks(act, kinks, 64);
    for (double x = -4.03; x < 7; x += 0.11) {
        double h = 1e-5;
        bool near = false;
        for (size_t i = 0; i < count; i++) near = near || fabs(x - kinks[i]) < 1e-3;
        if (near) continue;
        for (int order = 1; order <= 3; order++) {
            double slope = (at(act, order - 1, x + h) - at(act, order - 1, x - h)) / (2 * h);
            assert_near(at(act, order, x), slope, 3e-9, 3e-9);
        }
    }
}

TEST(derivatives_of_every_row) {
    for (size_t i = 0; i < fanin_activation_count(); i++) {
        fanin_activation *act = parse(fanin_activation_row_at(i)->name);
        check_derivatives(act);
        fanin_activation_destroy(act);
    }
    static const char *const more[] = {"silu:1.7",
                                       "elu:0.5",
                                       "celu:2",
                                       "softplus:3",
                                       "sin:2.5",
                                       "lecun_tanh:2,0.5",
                                       "hard_sigmoid:0.2,0.5"};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        fanin_activation *act = parse(more[i]);
        check_derivatives(act);
        fanin_activation_destroy(act);
    }
}

TEST(every_row_is_total) {
    static const double hard[] = {0, -0.0, INFINITY, -INFINITY, 1e300, -1e300, 1e-320, 800, -800};
    for (size_t i = 0; i < fanin_activation_count(); i++) {
        fanin_activation *act = parse(fanin_activation_row_at(i)->name);
        int id = fanin_activation_id_of(act);
        for (size_t k = 0; k < sizeof hard / sizeof *hard; k++)
            for (int order = 0; order <= 3; order++)
                if (!((id == FANIN_ACT_SIN || id == FANIN_ACT_COS) && isinf(hard[k])))
                    if (isnan(at(act, order, hard[k])))
                        fail_msg("%s order %d at %g", fanin_activation_name(act), order, hard[k]);
        assert_true(isnan(at(act, 0, NAN)));
        fanin_activation_destroy(act);
    }
}

TEST(degree_is_a_law) {
    for (size_t i = 0; i < fanin_activation_count(); i++) {
        fanin_activation *act = parse(fanin_activation_row_at(i)->name);
        double k = fanin_activation_degree(act);
        for (double x = -2; !isnan(k) && x < 2; x += 0.3)
            assert_near(at(act, 0, 3 * x), pow(3, k) * at(act, 0, x), 1e-14, 1e-14);
        fanin_activation_destroy(act);
    }
}

TEST(formulas_agree_with_rows) {
    static const char *const same[][2] = {
        {"silu:1.702", "x*sigmoid(1.702*x)"},
        {"tanh", "(exp(x)-exp(-x))/(exp(x)+exp(-x))"},
        {"leaky_relu:0.2", "x>0 ? x : 0.2*x"},
        {"relu", "max(x,0)"},
        {"relu", "max(0,x)"},
        {"hard_tanh", "min(1, max(x,-1))"},
        {"gelu", "x*0.5*(1+erf(x/sqrt(2)))"},
        {"softplus", "log(1+exp(x))"},
        {"mish", "x*tanh(softplus(x))"},
        {"gaussian", "exp(-x^2)"},
        {"squared_relu", "x > 0 && x > -1 ? x^2 : 0"},
        {"sin:2", "2*sin(x)*cos(x)"},
        {"elu", "x>0?x:exp(x)-1"},
        {"abs", "abs(x)"},
        {"softsign", "x/(1+abs(x))"},
        {"sign", "x>0 ? 1 : x<0 ? -1 : 0"},
        {"hard_swish", "x*hard_sigmoid(x)"},
        {"identity", "2^log(x^2)/2^(2*log(abs(x)))*x"},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        fanin_activation *a = parse(same[i][0]), *b = parse(same[i][1]);
        for (int order = 0; order <= 3; order++)
            for (double x = -4.05; x < 5; x += 0.17)
                assert_near(at(b, order, x), at(a, order, x), 1e-12, 1e-11);
        double ka[64], kb[64];
        size_t n = fanin_activation_kinks(a, ka, 64);
        if (strcmp(same[i][0], "identity") != 0)
            assert_int_equal(fanin_activation_kinks(b, kb, 64), n);
        for (size_t k = 0; k < n; k++) assert_near(kb[k], ka[k], 1e-14, 1e-14);
        assert_int_equal(fanin_activation_is_continuous(a), fanin_activation_is_continuous(b));
        fanin_activation_destroy(a);
        fanin_activation_destroy(b);
    }
}

TEST(formula_precedence) {
    static const struct {
        const char *text;
        double at_2;
    } cases[] = {{"-x^2", -4},     {"2^3^x/64", 8},
                 {"1-2-x", -3},    {"8/2/x", 2},
                 {"1+x*3", 7},     {"x>1?x>3?1:2:3", 2},
                 {"x<1||x==2", 1}, {"x!=2", 0},
                 {"2^-x", 0.25},   {"pi-e+x", 2.42331082513074800},
                 {"+x", 2},        {"-x", -2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fanin_activation *act = parse(cases[i].text);
        assert_near(at(act, 0, 2), cases[i].at_2, 1e-15, 1e-15);
        fanin_activation_destroy(act);
    }
}

TEST(kinks_are_found_or_given) {
    fanin_activation *act = parse("max(abs(x-0.3), x^2/4) @ 7.5");
    double k[64];
    size_t n = fanin_activation_kinks(act, k, 64);
    /* |x - 0.3| = x^2/4 at 2 +- sqrt(2.8), -2 +- sqrt(5.2); the kink of abs at 0.3 is covered by the square */
    double want[] = {-2 - sqrt(5.2), -2 + sqrt(5.2), 2 - sqrt(2.8), 2 + sqrt(2.8), 7.5};
    assert_int_equal(n, 5);
    for (size_t i = 0; i < 5; i++) {
        bool found = false;
        for (size_t j = 0; j < n; j++) found = found || fabs(k[j] - want[i]) < 1e-12;
        if (!found) fail_msg("kink %g not found", want[i]);
    }
    fanin_activation_destroy(act);
}
