/* The audit over every row of the rule table: what a rule made passes under its own name, and planted faults are found in
 * every row that can show them. One audit in a hundred thousand may raise a false alarm (alpha 1e-3 over 100 tensors). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "fanin/audit.h"
#include "fanin/random.h"
#include "faults.h"

#define ALPHA 1e-5

/* What is done to a tensor. */
enum {
    SWAPPED = 1,    /* fan_out for fan_in */
    SCALED = 2,     /* by 1.02 */
    REPEATED = 4,   /* 2 000 elements come twice */
    TRANSPOSED = 8, /* the transposed matrix under this shape */
    ZERO_ROW = 16,
    OTHER_LAW = 32, /* the same structure or deviation, another distribution */
    ONE_WRONG = 64  /* one element moved by a fifth of the largest */
};
static const char *const fault_names[] = {"swapped fans",     "scaled by 1.02", "repeated block",
                                          "transposed",       "a zero row",     "another law",
                                          "one wrong element"};

typedef struct row_case {
    const char *rule;  /* starts with the row's name */
    char shape;        /* w 300x400, k 64x32x3x3, b 400 */
    int faults;        /* that can be seen */
    const char *other; /* a rule with the same deviation and another law */
} row_case;

#define DRAWN (SCALED | REPEATED | ZERO_ROW | OTHER_LAW)
#define FIXED (SCALED | ZERO_ROW | ONE_WRONG)
/* An elementwise law is the same transposed; a constant has no rows to repeat. The deviations: he sqrt(2/400), ... */
static const row_case cases[] = {
    {"zeros", 'w', ONE_WRONG, NULL},
    {"ones", 'w', FIXED, NULL},
    {"constant:value=0.3", 'w', FIXED, NULL},
    {"uniform:low=-0.5,high=0.5", 'w', DRAWN, "normal:std=0.28867513459481287"},
    {"uniform", 'w', DRAWN, "normal:mean=0.5,std=0.28867513459481287"},
    {"normal:std=0.02", 'w', DRAWN, "uniform:std=0.02"},
    {"normal:mean=1,std=0.5", 'w', DRAWN, "uniform:mean=1,std=0.5"},
    {"truncated_normal:std=0.02", 'w', DRAWN, "uniform:std=0.02"},
    {"truncated_normal:std=0.02,bounds=sigma", 'w', DRAWN, "normal:std=0.0175925"},
    {"truncated_normal:mean=1,std=2,low=-1,high=2", 'w', DRAWN, "uniform:low=-1,high=2"},
    {"truncated_normal:low=1,high=inf", 'w', DRAWN, "uniform:low=1,high=3"},
    {"lecun_uniform", 'w', DRAWN | SWAPPED, "lecun_normal"},
    {"lecun_normal", 'w', DRAWN | SWAPPED, "lecun_uniform"},
    {"lecun_truncated_normal", 'w', DRAWN | SWAPPED, "lecun_normal"},
    {"xavier_uniform", 'w', DRAWN, "xavier_normal"},
    {"xavier_normal", 'w', DRAWN, "xavier_truncated_normal"},
    {"xavier_truncated_normal", 'w', DRAWN, "xavier_uniform"},
    {"he_uniform", 'w', DRAWN | SWAPPED, "he_normal"},
    {"he_normal", 'w', DRAWN | SWAPPED, "he_truncated_normal"},
    {"he_truncated_normal", 'w', DRAWN | SWAPPED, "he_normal"},
    {"variance_scaling:scale=2,mode=fan_avg", 'w', DRAWN,
     "variance_scaling:scale=2,mode=fan_avg,distribution=normal"},
    {"torch_default", 'w', DRAWN, "he_normal:gain=0.57735026918962576"},
    {"rademacher", 'w', REPEATED | SCALED | ZERO_ROW | OTHER_LAW | SWAPPED | ONE_WRONG,
     "lecun_normal"},
    {"orthogonal", 'w', DRAWN | TRANSPOSED | ONE_WRONG, "lecun_normal:mode=fan_in"},
    {"delta_orthogonal", 'k', SCALED | TRANSPOSED | ZERO_ROW | ONE_WRONG, NULL},
    {"identity", 'w', FIXED | TRANSPOSED, NULL},
    {"dirac", 'k', FIXED | TRANSPOSED, NULL},
    {"bilinear", 'k', FIXED | TRANSPOSED, NULL},
    {"hadamard", 'k', FIXED | TRANSPOSED, NULL},
    {"sparse:k=250", 'w', SCALED | REPEATED | TRANSPOSED | ZERO_ROW, NULL},
    {"sparse:sparsity=0.1", 'w', REPEATED | TRANSPOSED | ZERO_ROW, NULL},
    {"unit_norm", 'w', DRAWN | TRANSPOSED | ONE_WRONG, "lecun_uniform"},
    {"nguyen_widrow", 'w', SCALED | REPEATED | TRANSPOSED | ZERO_ROW | ONE_WRONG, NULL},
    {"centered_normal", 'w', DRAWN | TRANSPOSED | ONE_WRONG | SWAPPED, "lecun_normal"},
    {"centered_normal:std=0.02,center=0.9", 'w', DRAWN | TRANSPOSED, "normal:std=0.02"},
    {"lstm_forget_bias", 'b', SCALED | ONE_WRONG, NULL},
    {"class_prior:prior=0.02", 'b', SCALED | ONE_WRONG, NULL},
};

TEST(every_row_has_a_case) {
    for (int r = 0; r < fanin_rule_count(); r++) {
        bool found = false;
        for (size_t i = 0; i < FANIN_COUNT(cases) && !found; i++) {
            fanin_rule rule;
            assert_ok(fanin_rule_parse(cases[i].rule, &rule, NULL));
            found = strcmp(fanin_rule_describe(&rule).name, fanin_rule_at(r).name) == 0;
        }
        if (!found) fail_msg("%s has no case", fanin_rule_at(r).name);
    }
}

typedef struct made {
    fanin_audit_item item;
    fanin_rule rule;
    size_t count;
    void *data;
} made;

static fanin_tensor tensor_of(char shape) {
    switch (shape) {
    case 'k': return fanin_tensor_torch("k", 4, (int64_t[]){64, 32, 3, 3});
    case 'b': return fanin_tensor_torch("b", 1, (int64_t[]){400});
    default: return fanin_tensor_torch("w", 2, (int64_t[]){300, 400});
    }
}

static void make(made *m, const fanin_tensor *t, const char *rule, fanin_dtype dtype,
                 uint64_t seed) {
    fanin_err err = {0};
    *m = (made){0};
    assert_true(fanin__shape_count(t->dims, t->rank, &m->count));
    m->data = malloc(m->count * 8);
    assert_non_null(m->data);
    assert_ok_err(fanin_rule_parse(rule, &m->rule, &err), err);
    assert_ok_err(fanin_rule_fill(&m->rule, t, seed, 0, m->count, dtype, m->data, &err), err);
    m->item.tensor = *t;
    m->item.declared = &m->rule;
    m->item.array = (fanin_array){.name = t->name,
                                  .dtype = dtype,
                                  .rank = t->rank,
                                  .data = m->data,
                                  .size = m->count * fanin_dtype_size(dtype)};
    memcpy(m->item.array.dims, t->dims, sizeof t->dims);
}

/* Whether a fault is found; `said` gets its text, or that of the best fit. */
static bool found(const made *m, char said[300]) {
    fanin_err err = {0};
    fanin_audit *audit;
    assert_ok_err(
        fanin_audit_create(&m->item, 1, &(fanin_audit_options){.alpha = ALPHA}, &audit, &err), err);
    const fanin_audit_tensor *a = fanin_audit_at(audit, 0);
    bool faulty = a->fault_count > 0;
    if (faulty)
        snprintf(said, 300, "%s: %s", fanin_fault_name(a->faults[0].kind), a->faults[0].text);
    else
        snprintf(said, 300, "no fault; fits %s", a->fit_count ? a->fits[0].rule : "nothing");
    fanin_audit_destroy(audit);
    return faulty;
}

/* ---- healthy ----------------------------------------------------------------------------- */

static void passes(const fanin_tensor *t, const char *rule, fanin_dtype dtype, uint64_t seed) {
    made m;
    char said[300];
    make(&m, t, rule, dtype, seed);
    if (found(&m, said))
        fail_msg("%s on %s, %s, seed %llu: %s", rule, t->name, fanin_dtype_name(dtype),
                 (unsigned long long)seed, said);
    free(m.data);
}

TEST(every_row_passes_as_itself) {
    static const fanin_dtype dtypes[] = {FANIN_F32, FANIN_F64, FANIN_BF16, FANIN_F16};
    for (size_t i = 0; i < FANIN_COUNT(cases); i++) {
        fanin_tensor t = tensor_of(cases[i].shape);
        for (size_t d = 0; d < FANIN_COUNT(dtypes); d++)
            for (uint64_t seed = 0; seed < (d ? 1 : 2); seed++)
                passes(&t, cases[i].rule, dtypes[d], test_seed() + seed);
    }
}

/* The structures in every order that a tensor may be stored in; small ones too, many seeds. */
TEST(structures_pass_however_they_are_stored) {
    fanin_tensor qkv = fanin_tensor_torch("qkv", 2, (int64_t[]){192, 64});
    fanin_tensor matmul = fanin_tensor_torch("matmul", 2, (int64_t[]){64, 192});
    fanin_tensor grouped = fanin_tensor_torch("grouped", 4, (int64_t[]){32, 4, 3, 3});
    fanin_tensor up = fanin_tensor_torch("up", 4, (int64_t[]){16, 24, 4, 4});
    fanin_tensor small = fanin_tensor_torch("small", 2, (int64_t[]){3, 5});
    fanin_tensor pair = fanin_tensor_torch("pair", 2, (int64_t[]){2, 2});
    fanin_tensor square = fanin_tensor_torch("square", 2, (int64_t[]){12, 12});
    qkv.parts = 3;
    matmul.out_axis = 1;
    matmul.in_axis = 0;
    grouped.groups = 4;
    up.cls = FANIN_CLASS_CONV_TRANSPOSE;
    up.out_axis = 1;
    up.in_axis = 0;
    const fanin_tensor *const all[] = {&qkv, &matmul, &grouped, &up, &small, &pair, &square};
    static const char *const rules[] = {"orthogonal",    "orthogonal:gain=1.7", "unit_norm",
                                        "nguyen_widrow", "sparse:k=2",          "rademacher"};
    int seeds = test_scale() < 1 ? 3 : (int)(20 * test_scale());
    for (size_t t = 0; t < FANIN_COUNT(all); t++)
        for (size_t r = 0; r < FANIN_COUNT(rules); r++)
            for (int seed = 0; seed < seeds; seed++)
                passes(all[t], rules[r], seed % 4 == 3 ? FANIN_BF16 : FANIN_F32, (uint64_t)seed);
    passes(&grouped, "dirac", FANIN_F32, 0);
    passes(&grouped, "hadamard", FANIN_F32, 0);
    passes(&up, "bilinear", FANIN_F32, 0);
    passes(&up, "delta_orthogonal", FANIN_F32, 0);
    passes(&matmul, "identity", FANIN_F32, 0);
}

/* ---- planted ----------------------------------------------------------------------------- */

static void transpose(float *x, size_t rows, size_t cols) {
    float *copy = malloc(rows * cols * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, x, rows * cols * sizeof *copy);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) x[j * rows + i] = copy[i * cols + j];
    free(copy);
}

static void plant(made *m, int fault, const row_case *c) {
    float *x = m->data, largest = 0;
    size_t rows = (size_t)m->item.tensor.dims[0], cols = m->count / rows;
    for (size_t i = 0; i < m->count; i++) largest = fmaxf(largest, fabsf(x[i]));
    char text[256];
    fanin_rule other;
    switch (fault) {
    case SWAPPED:
        snprintf(text, sizeof text, "%s:mode=fan_out", c->rule);
        assert_ok(fanin_rule_parse(text, &other, NULL));
        assert_ok(fanin_rule_fill(&other, &m->item.tensor, 9, 0, m->count, FANIN_F32, x, NULL));
        break;
    case SCALED:
        for (size_t i = 0; i < m->count; i++) x[i] *= 1.02f;
        break;
    case REPEATED: memcpy(x + m->count / 2 + 77, x + 5, 2000 * sizeof *x); break;
    case TRANSPOSED: transpose(x, rows, cols); break;
    case ZERO_ROW: memset(x + rows / 8 * cols, 0, cols * sizeof *x); break;
    case OTHER_LAW:
        assert_ok(fanin_rule_parse(c->other, &other, NULL));
        assert_ok(fanin_rule_fill(&other, &m->item.tensor, 9, 0, m->count, FANIN_F32, x, NULL));
        break;
    case ONE_WRONG: x[m->count / 3] += largest > 0 ? largest / 5 : 0.01f; break;
    default: break;
    }
}

TEST(planted_faults_are_found_in_every_row) {
    int seeds = test_scale() < 1 ? 1 : 2;
    for (size_t i = 0; i < FANIN_COUNT(cases); i++)
        for (int f = 0; f < 7; f++) {
            if (!(cases[i].faults & 1 << f)) continue;
            for (int seed = 0; seed < seeds; seed++) {
                fanin_tensor t = tensor_of(cases[i].shape);
                made m;
                char said[300];
                make(&m, &t, cases[i].rule, FANIN_F32, (uint64_t)seed);
                plant(&m, 1 << f, &cases[i]);
                if (!found(&m, said))
                    fail_msg("%s, %s, seed %d: %s", cases[i].rule, fault_names[f], seed, said);
                free(m.data);
            }
        }
}

/* Rows of one length whose directions are not uniform; Nguyen and Widrow's from normals. */
TEST(rows_of_the_right_length_and_another_law_are_found) {
    static const char *const rules[][2] = {{"unit_norm", "uniform:low=-1,high=1"},
                                           {"nguyen_widrow", "normal"}};
    for (size_t r = 0; r < 2; r++) {
        fanin_tensor t = tensor_of('w');
        made m;
        char said[300];
        make(&m, &t, rules[r][0], FANIN_F32, 1);
        float *x = m.data;
        double length = 0;
        for (size_t j = 0; j < 400; j++) length += (double)x[j] * (double)x[j];
        fanin_rule other;
        assert_ok(fanin_rule_parse(rules[r][1], &other, NULL));
        assert_ok(fanin_rule_fill(&other, &t, 2, 0, m.count, FANIN_F32, x, NULL));
        for (size_t i = 0; i < 300; i++) {
            double own = 0;
            for (size_t j = 0; j < 400; j++) own += (double)x[i * 400 + j] * (double)x[i * 400 + j];
            for (size_t j = 0; j < 400; j++)
                x[i * 400 + j] = (float)((double)x[i * 400 + j] * sqrt(length / own));
        }
        if (!found(&m, said)) fail_msg("%s of %s: %s", rules[r][0], rules[r][1], said);
        free(m.data);
    }
}

/* Which mistake it was. */
TEST(mistakes_are_named) {
    static const struct {
        const char *made, *declared, *says;
    } mistakes[] = {
        {"he_normal:mode=fan_out", "he_normal", "that of fan_out"},
        {"xavier_normal:mode=fan_in", "xavier_normal", "that of fan_in"},
        {"xavier_normal:mode=fan_in", "xavier_normal:mode=fan_out", "that of fan_in"},
        {"he_normal:mode=fan_avg", "he_normal", "that of fan_avg"},
        {"he_normal:mode=fan_geo_avg", "he_normal", "that of fan_geo_avg"},
        {"he_normal:gain=4.242640687119285", "he_normal", "kernel's positions"},
        {"he_normal:gain=1", "he_normal", "gain 1 (linear"},
        {"lecun_normal:gain=1.4142135623730951", "lecun_normal", "gain sqrt(2)"},
        {"he_normal:gain=2", "he_normal", "variance taken for its gain"},
        {"lecun_normal:gain=1.6666666666666667", "lecun_normal", "5/3"},
        {"he_uniform:gain=0.8164965809277260", "he_uniform", "taken for the bound"},
        {"normal:std=0.0004", "normal:std=0.02", "a variance where a deviation"},
        {"rademacher:gain=2", "rademacher", "declared + or -"},
        {"orthogonal:gain=1.4142135623730951", "orthogonal", "gain 1.41421 where 1"},
        {"identity:gain=2", "identity", "element 0 is 2"},
    };
    fanin_tensor t = fanin_tensor_torch("k", 4, (int64_t[]){100, 40, 3, 3});
    fanin_tensor w = tensor_of('w');
    for (size_t i = 0; i < FANIN_COUNT(mistakes); i++) {
        made m;
        char said[300];
        make(&m, strstr(mistakes[i].made, "identity") ? &w : &t, mistakes[i].made, FANIN_F32, 4);
        assert_ok(fanin_rule_parse(mistakes[i].declared, &m.rule, NULL));
        bool faulty = found(&m, said);
        if (!faulty || !strstr(said, mistakes[i].says))
            fail_msg("%s as %s: wants '%s', says '%s'", mistakes[i].made, mistakes[i].declared,
                     mistakes[i].says, said);
        free(m.data);
    }
}

/* ---- memory ------------------------------------------------------------------------------ */

static fanin_status audit_once(void *arg) {
    fanin_audit *audit = NULL;
    fanin_err err = {0};
    fanin_status status = fanin_audit_create(arg, 1, NULL, &audit, &err);
    if (status != FANIN_OK && (audit || !err.message[0])) return FANIN_INTERNAL;
    fanin_audit_destroy(audit);
    return status;
}

TEST(memory_that_lacks_is_told) {
    for (size_t i = 0; i < FANIN_COUNT(cases); i++) {
        fanin_tensor t = cases[i].shape == 'k' ? fanin_tensor_torch("k", 4, (int64_t[]){4, 3, 2, 2})
                         : cases[i].shape == 'b' ? fanin_tensor_torch("b", 1, (int64_t[]){8})
                                                 : fanin_tensor_torch("w", 2, (int64_t[]){40, 50});
        made m;
        make(&m, &t, strstr(cases[i].rule, "k=250") ? "sparse:k=5" : cases[i].rule,
             i % 2 ? FANIN_F32 : FANIN_BF16, i);
        assert_true(fault_sweep(cases[i].rule, audit_once, &m.item) > 3);
        free(m.data);
    }
}
