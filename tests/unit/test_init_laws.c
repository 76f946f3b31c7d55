/* Laws that hold for every row of the rule table, on every kind of tensor that the row takes: a slice is a
 * piece of the whole, types are one value rounded once, threads change nothing, values lie within the
 * support, and mean and standard deviation are those of fanin_rule_apply.
 *
 * Moments: null hypothesis "the tensor's elements have the stated mean and variance"; statistics
 * z = (sample mean - mean) / (s / sqrt n) and (sample variance - variance) / sqrt((m4 - s^4) / n); two-sided
 * alpha 1e-6 each (|z| < 4.89) for about 200 tests: family 2e-4, seeds fixed. Power: planted faults below. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fanin/init.h"
#include "base/base.h"
#include "testing.h"

#define Z_LIMIT 4.89

/* ---- tensors ----------------------------------------------------------------------------- */

static fanin_tensor stored(const char *name, int rank, const int64_t *dims, int out_axis,
                           int in_axis) {
    fanin_tensor t = fanin_tensor_torch(name, rank, dims);
    double taps = 1;
    for (int i = 0; i < rank; i++)
        if (i != out_axis && i != in_axis) taps *= (double)dims[i];
    t.out_axis = out_axis;
    t.in_axis = in_axis;
    t.fan_in = t.torch_fan_in = (double)dims[in_axis] * taps;
    t.fan_out = t.torch_fan_out = (double)dims[out_axis] * taps;
    return t;
}

static size_t tensors(fanin_tensor list[16]) {
    size_t n = 0;
    list[n++] = fanin_tensor_torch("dense", 2, (int64_t[]){96, 131});
    list[n++] = fanin_tensor_torch("tall", 2, (int64_t[]){257, 40});
    list[n++] = stored("matmul", 2, (int64_t[]){67, 110}, 1, 0);
    list[n++] = fanin_tensor_torch("conv", 4, (int64_t[]){48, 24, 3, 3});
    list[n++] = stored("jax_conv", 4, (int64_t[]){3, 5, 16, 36}, 3, 2);
    list[n] = fanin_tensor_torch("grouped", 4, (int64_t[]){60, 4, 3, 3});
    list[n++].groups = 5;
    list[n] = fanin_tensor_torch("depthwise", 4, (int64_t[]){120, 1, 5, 5});
    list[n].groups = 120;
    list[n++].cls = FANIN_CLASS_CONV_DEPTHWISE;
    list[n] = stored("transposed", 4, (int64_t[]){24, 12, 4, 4}, 1, 0);
    list[n].groups = 2;
    list[n++].cls = FANIN_CLASS_CONV_TRANSPOSE;
    list[n] = fanin_tensor_torch("qkv", 2, (int64_t[]){3 * 48, 64});
    list[n].parts = 3;
    list[n++].cls = FANIN_CLASS_ATTENTION_QKV;
    list[n++] = fanin_tensor_torch("conv1d", 3, (int64_t[]){20, 20, 7});
    list[n] = fanin_tensor_torch("bias", 1, (int64_t[]){444});
    list[n].fan_in = list[n].torch_fan_in = 60;
    list[n].fan_out = 444;
    n++;
    return n;
}

typedef struct subject {
    fanin_rule rule;
    fanin_tensor tensor;
    fanin_moments moments;
    size_t count;
    char label[600];
} subject;

/* Calls check for every row on every tensor that it takes; every row must take some. */
static void for_every_rule(void (*check)(const subject *)) {
    static const char *const variants[] = {
        "he_normal:mode=fan_avg,a=0.3",
        "variance_scaling:distribution=normal,scale=3",
        "variance_scaling:distribution=uniform,mode=fan_geo_avg",
        "sparse:sparsity=0.7",
        "sparse:k=3,std=0.5",
        "orthogonal:groups=4,gain=1.4",
        "orthogonal:groups=1,nonlinearity=tanh",
        "truncated_normal:mean=0.3,std=2,low=-1,high=5",
        "truncated_normal:std=0.05,bounds=sigma",
        "normal:mean=-3,std=0.02",
        "uniform:std=0.3,mean=1",
        "hadamard:gain=2",
        "unit_norm:gain=3",
        "centered_normal",
        "centered_normal:std=2,center=0.3",
        "lstm_forget_bias:gates=iofc,value=2",
        "torch",
        "constant:value=0.1",
    };
    fanin_tensor list[16];
    size_t count = tensors(list);
    int rows = fanin_rule_count();
    for (int i = 0; i < rows + (int)FANIN_COUNT(variants); i++) {
        const char *text = i < rows ? fanin_rule_at(i).name : variants[i - rows];
        subject s;
        fanin_err err = {0};
        int taken = 0;
        assert_ok_err(fanin_rule_parse(text, &s.rule, &err), err);
        for (size_t t = 0; t < count; t++) {
            s.tensor = list[t];
            if (fanin_rule_apply(&s.rule, &s.tensor, &s.moments, &err) != FANIN_OK) continue;
            assert_true(fanin__shape_count(s.tensor.dims, s.tensor.rank, &s.count));
            snprintf(s.label, sizeof s.label, "%s on %s", text, s.tensor.name);
            check(&s);
            taken++;
        }
        if (!taken) print_error("%s takes none of the tensors: %s\n", text, err.message);
        assert_true(taken > 0);
    }
}

static void *fill(const subject *s, uint64_t seed, uint64_t first, size_t n, fanin_dtype dtype) {
    fanin_err err = {0};
    void *out = malloc(n * fanin_dtype_size(dtype) + 1);
    assert_non_null(out);
    memset(out, 0xA5, n * fanin_dtype_size(dtype) + 1);
    fanin_status status = fanin_rule_fill(&s->rule, &s->tensor, seed, first, n, dtype, out, &err);
    if (status != FANIN_OK) print_error("%s: %s\n", s->label, err.message);
    assert_int_equal(status, FANIN_OK);
    assert_int_equal(((unsigned char *)out)[n * fanin_dtype_size(dtype)], 0xA5);
    return out;
}

static void same(const subject *s, const char *what, const void *a, const void *b, size_t size) {
    if (memcmp(a, b, size) == 0) return;
    size_t at = 0;
    while (((const char *)a)[at] == ((const char *)b)[at]) at++;
    print_error("%s: %s differs from byte %zu of %zu\n", s->label, what, at, size);
    fail();
}

/* ---- slices, types, threads -------------------------------------------------------------- */

static uint64_t random_state;
static size_t random_below(size_t n) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)((random_state >> 33) % n);
}

static void slice_is_whole(const subject *s) {
    static const fanin_dtype dtypes[] = {FANIN_F32, FANIN_BF16, FANIN_F64};
    for (size_t d = 0; d < FANIN_COUNT(dtypes); d++) {
        size_t size = fanin_dtype_size(dtypes[d]);
        char *whole = fill(s, 11, 0, s->count, dtypes[d]);
        for (size_t first = 0; first < s->count;) {
            size_t n = 1 + random_below(s->count);
            if (n > s->count - first) n = s->count - first;
            void *part = fill(s, 11, first, n, dtypes[d]);
            same(s, "a slice", part, whole + first * size, n * size);
            free(part);
            first += n;
        }
        free(whole);
    }
}

TEST(a_slice_is_a_piece_of_the_whole) {
    random_state = test_seed() + 1;
    for_every_rule(slice_is_whole);
}

static void types_agree(const subject *s) {
    static const fanin_dtype small[] = {FANIN_BF16, FANIN_F16, FANIN_F8_E4M3, FANIN_F8_E5M2};
    float *f32 = fill(s, 3, 0, s->count, FANIN_F32);
    for (size_t d = 0; d < FANIN_COUNT(small); d++) {
        size_t bytes = s->count * fanin_dtype_size(small[d]);
        void *got = fill(s, 3, 0, s->count, small[d]), *want = malloc(bytes);
        assert_ok(fanin_convert_from_f32(f32, s->count, small[d], want));
        same(s, fanin_dtype_name(small[d]), got, want, bytes);
        free(got);
        free(want);
    }
    double *f64 = fill(s, 3, 0, s->count, FANIN_F64);
    /* A rounding; of matrices made whole, whose float lines are orthogonal to 1e-6, that. */
    double scale = fmax(fabs(s->moments.mean), s->moments.std);
    double bound = (s->moments.elementwise ? 4e-7 : 2e-6) * scale;
    for (size_t i = 0; i < s->count; i++) assert_near((double)f32[i], f64[i], bound, 4e-7);
    free(f32);
    free(f64);
}

TEST(types_are_the_f32_value_rounded_once) { for_every_rule(types_agree); }

static void threads_agree(const subject *s) {
    fanin_threads_set(1);
    float *one = fill(s, 5, 0, s->count, FANIN_F32);
    fanin_threads_set(3);
    float *three = fill(s, 5, 0, s->count, FANIN_F32);
    fanin_threads_set(0);
    same(s, "three threads", three, one, s->count * sizeof *one);
    free(one);
    free(three);
}

TEST(threads_change_nothing) { for_every_rule(threads_agree); }

/* ---- moments ----------------------------------------------------------------------------- */

typedef struct sample {
    double mean, var, m4, low, high;
} sample;

static sample sample_of(const float *x, size_t n) {
    sample s = {.low = INFINITY, .high = -INFINITY};
    for (size_t i = 0; i < n; i++) {
        s.mean += (double)x[i];
        s.low = fmin(s.low, (double)x[i]);
        s.high = fmax(s.high, (double)x[i]);
    }
    s.mean /= (double)n;
    for (size_t i = 0; i < n; i++) {
        double d = (double)x[i] - s.mean;
        s.var += d * d / (double)n;
        s.m4 += d * d * d * d / (double)n;
    }
    return s;
}

/* True if the moments of the sample are those stated, at alpha 1e-6 each. */
static bool moments_hold(const fanin_moments *m, const sample *s, size_t n, bool exact) {
    double scale = fmax(m->std, fabs(m->mean)), rounding = 1e-6 * scale;
    if (exact)
        return fabs(s->mean - m->mean) <= rounding && fabs(sqrt(s->var) - m->std) <= rounding;
    double z_mean = fabs(s->mean - m->mean) - rounding,
           z_var = fabs(s->var - m->std * m->std) - rounding * scale;
    return z_mean <= Z_LIMIT * sqrt(s->var / (double)n) &&
           z_var <= Z_LIMIT * sqrt(fmax(s->m4 - s->var * s->var, 0) / (double)n);
}

static void moments_agree(const subject *s) {
    float *x = fill(s, 1, 0, s->count, FANIN_F32), *y = fill(s, 2, 0, s->count, FANIN_F32);
    /* What does not depend on the seed has exact moments. */
    bool exact = memcmp(x, y, s->count * sizeof *x) == 0;
    sample got = sample_of(x, s->count);
    const fanin_moments *m = &s->moments;
    if (!moments_hold(m, &got, s->count, exact)) {
        print_error("%s: mean %g, std %g of %zu elements; stated %g and %g\n", s->label, got.mean,
                    sqrt(got.var), s->count, m->mean, m->std);
        fail();
    }
    double slack = 1e-6 * fmax(fabs(m->low), fabs(m->high));
    if (isfinite(m->low)) assert_true(got.low >= m->low - slack);
    if (isfinite(m->high)) assert_true(got.high <= m->high + slack);
    assert_true(m->reason[0] != 0);
    free(x);
    free(y);
}

TEST(moments_are_those_stated) { for_every_rule(moments_agree); }

/* Sums are only as free as they should be: other names, other seeds, other numbers. */
static void names_and_seeds_differ(const subject *s) {
    float *a = fill(s, 1, 0, s->count, FANIN_F32), *b = fill(s, 2, 0, s->count, FANIN_F32);
    bool drawn = memcmp(a, b, s->count * sizeof *a) != 0;
    subject other = *s;
    other.tensor.name = "another";
    float *c = fill(&other, 1, 0, s->count, FANIN_F32);
    assert_int_equal(drawn, memcmp(a, c, s->count * sizeof *a) != 0);
    free(a);
    free(b);
    free(c);
}

TEST(names_and_seeds_count) { for_every_rule(names_and_seeds_differ); }

/* ---- planted faults ---------------------------------------------------------------------- */

/* n = 784 x 256 normals: the variance has a relative error of sqrt(2/n) = 0.32 %, so a scale off by 2 %
 * (variance 4 %) is 12.8 errors away: rejected with probability 1 - 1e-14. */
TEST(planted_faults_are_rejected) {
    fanin_tensor t = fanin_tensor_torch("w", 2, (int64_t[]){784, 256}), swapped = t;
    swapped.fan_in = t.fan_out;
    swapped.fan_out = t.fan_in;
    static const char *const rules[] = {"he_normal", "he_uniform", "he_truncated_normal",
                                        "torch_default", "rademacher"};
    for (size_t r = 0; r < FANIN_COUNT(rules); r++) {
        subject s = {.tensor = t, .count = 784 * 256};
        fanin_moments wrong;
        assert_ok(fanin_rule_parse(rules[r], &s.rule, NULL));
        assert_ok(fanin_rule_apply(&s.rule, &t, &s.moments, NULL));
        float *x = fill(&s, 0, 0, s.count, FANIN_F32);
        sample got = sample_of(x, s.count);
        assert_true(moments_hold(&s.moments, &got, s.count, false));
        if (strcmp(rules[r], "torch_default") != 0) {
            assert_ok(fanin_rule_apply(&s.rule, &swapped, &wrong, NULL));
            assert_false(moments_hold(&wrong, &got, s.count, false));
        }
        for (size_t i = 0; i < s.count; i++) x[i] *= 1.02f;
        got = sample_of(x, s.count);
        assert_false(moments_hold(&s.moments, &got, s.count, false));
        free(x);
    }
}

/* Correlation of two halves, z = r sqrt n: 1e-6 against a repeated block, where r = 1. */
TEST(no_block_repeats) {
    fanin_tensor t = fanin_tensor_torch("w", 2, (int64_t[]){256, 256});
    subject s = {.tensor = t, .count = 256 * 256, .label = "he_normal"};
    assert_ok(fanin_rule_parse("he_normal", &s.rule, NULL));
    float *x = fill(&s, 0, 0, s.count, FANIN_F32);
    for (size_t lag = 1; lag <= s.count / 2; lag *= 2)
        for (int planted = 0; planted <= 1; planted++) {
            double xy = 0, xx = 0;
            for (size_t i = 0; i + lag < s.count; i++) {
                double y = (double)x[planted ? i : i + lag];
                xy += (double)x[i] * y;
                xx += y * y;
            }
            double z = xy / xx * sqrt((double)(s.count - lag));
            assert_int_equal(fabs(z) > Z_LIMIT, planted);
        }
    free(x);
}

/* ---- structure --------------------------------------------------------------------------- */

TEST(sparse_counts_are_exact) {
    static const struct {
        const char *rule;
        int64_t out, in;
        size_t per_row, per_column; /* 0: not fixed */
    } cases[] = {
        {"sparse", 30, 40, 15, 0},
        {"sparse:k=3", 30, 40, 3, 0},
        {"sparse:k=40", 30, 40, 40, 0},
        {"sparse", 5, 9, 9, 0},
        {"sparse:sparsity=0.3", 20, 10, 0, 14}, /* torch: ceil(0.3 * 20) = 6 zeros a column */
        {"sparse:sparsity=0.9", 33, 7, 0, 3},   /* ceil(29.7) = 30 */
        {"sparse:sparsity=0", 33, 7, 0, 33},
    };
    for (size_t c = 0; c < FANIN_COUNT(cases); c++)
        for (int transposed = 0; transposed <= 1; transposed++) {
            int64_t out = cases[c].out, in = cases[c].in;
            subject s = {.count = (size_t)(out * in)};
            s.tensor = transposed ? stored("w", 2, (int64_t[]){in, out}, 1, 0)
                                  : fanin_tensor_torch("w", 2, (int64_t[]){out, in});
            assert_ok(fanin_rule_parse(cases[c].rule, &s.rule, NULL));
            float *x = fill(&s, 4, 0, s.count, FANIN_F32);
            for (int64_t o = 0; o < out && cases[c].per_row; o++) {
                size_t n = 0;
                for (int64_t i = 0; i < in; i++) n += x[transposed ? i * out + o : o * in + i] != 0;
                assert_int_equal(n, cases[c].per_row);
            }
            for (int64_t i = 0; i < in && cases[c].per_column; i++) {
                size_t n = 0;
                for (int64_t o = 0; o < out; o++)
                    n += x[transposed ? i * out + o : o * in + i] != 0;
                assert_int_equal(n, cases[c].per_column);
            }
            free(x);
        }
    subject all = {.tensor = fanin_tensor_torch("w", 2, (int64_t[]){33, 7}), .count = 231};
    assert_ok(fanin_rule_parse("sparse:sparsity=1", &all.rule, NULL));
    float *x = fill(&all, 4, 0, all.count, FANIN_F32);
    for (size_t i = 0; i < all.count; i++) assert_true(x[i] == 0);
    free(x);
}

/* Every input is as likely as any other to be chosen: 4000 rows of 3 of 20, chi-square of the 20 counts with
 * 19 degrees of freedom, alpha 1e-6 at 64.1 (Wilson-Hilferty). Chosen without replacement the statistic
 * is a little smaller. An input left out adds 600. */
TEST(sparse_chooses_fairly) {
    subject s = {.tensor = fanin_tensor_torch("w", 2, (int64_t[]){4000, 20}), .count = 80000};
    assert_ok(fanin_rule_parse("sparse:k=3", &s.rule, NULL));
    float *x = fill(&s, 0, 0, s.count, FANIN_F32);
    double chi = 0;
    for (size_t i = 0; i < 20; i++) {
        double n = 0;
        for (size_t o = 0; o < 4000; o++) n += x[o * 20 + i] != 0;
        chi += (n - 600) * (n - 600) / 600;
    }
    assert_true(chi < 64.1);
    assert_true(chi > 1);
    free(x);
}

TEST(rows_have_their_length) {
    fanin_tensor list[16];
    size_t count = tensors(list);
    for (size_t t = 0; t < count; t++)
        for (int nguyen = 0; nguyen <= 1; nguyen++) {
            subject s = {.tensor = list[t], .label = "rows"};
            assert_ok(
                fanin_rule_parse(nguyen ? "nguyen_widrow" : "unit_norm:gain=2", &s.rule, NULL));
            if (list[t].rank < 2 ||
                fanin_rule_apply(&s.rule, &s.tensor, &s.moments, NULL) != FANIN_OK)
                continue;
            assert_true(fanin__shape_count(s.tensor.dims, s.tensor.rank, &s.count));
            int64_t units = s.tensor.dims[s.tensor.out_axis];
            double inputs = (double)s.count / (double)units, squares[512] = {0};
            double want = nguyen ? 0.7 * pow((double)(units / s.tensor.parts), 1 / inputs) : 2;
            double *x = fill(&s, 0, 0, s.count, FANIN_F64);
            size_t stride = 1;
            for (int a = s.tensor.rank - 1; a > s.tensor.out_axis; a--)
                stride *= (size_t)s.tensor.dims[a];
            for (size_t i = 0; i < s.count; i++) squares[i / stride % (size_t)units] += x[i] * x[i];
            for (int64_t o = 0; o < units; o++) assert_near(sqrt(squares[o]), want, 0, 1e-12);
            free(x);
        }
    fanin_tensor b = fanin_tensor_torch("b", 1, (int64_t[]){100});
    b.fan_in = 4;
    b.fan_out = 100;
    fanin_rule rule;
    fanin_moments m;
    assert_ok(fanin_rule_parse("nguyen_widrow", &rule, NULL));
    assert_ok(fanin_rule_apply(&rule, &b, &m, NULL));
    assert_near(m.high, 0.7 * pow(100, 0.25), 0, 1e-14);
}

/* Sums of rows, exactly; the variance of an element, 5 standard errors: two-sided alpha 6e-7 a tensor. */
TEST(rows_can_sum_to_0) {
    fanin_tensor list[16];
    size_t count = tensors(list);
    for (size_t t = 0; t < count; t++)
        for (int half = 0; half <= 1; half++) {
            subject s = {.tensor = list[t], .label = "centred rows"};
            const char *rule = half ? "centered_normal:std=3,center=0.5" : "centered_normal:std=3";
            assert_ok(fanin_rule_parse(rule, &s.rule, NULL));
            if (list[t].rank < 2 ||
                fanin_rule_apply(&s.rule, &s.tensor, &s.moments, NULL) != FANIN_OK)
                continue;
            assert_true(fanin__shape_count(s.tensor.dims, s.tensor.rank, &s.count));
            int64_t units = s.tensor.dims[s.tensor.out_axis];
            double inputs = (double)s.count / (double)units, sums[512] = {0}, squares = 0;
            double share = 1 - s.moments.centered, spread = 0;
            double *x = fill(&s, 0, 0, s.count, FANIN_F64);
            size_t stride = 1;
            for (int a = s.tensor.rank - 1; a > s.tensor.out_axis; a--)
                stride *= (size_t)s.tensor.dims[a];
            for (size_t i = 0; i < s.count; i++) {
                sums[i / stride % (size_t)units] += x[i];
                squares += x[i] * x[i] / 9;
            }
            for (int64_t o = 0; o < units; o++) {
                if (!half) assert_near(sums[o], 0, 1e-10, 0);
                spread += sums[o] * sums[o] / (9 * inputs);
            }
            if (half) { /* (1 - center)^2 = 1/4, made a little larger as the elements are */
                assert_true(share > 0.25 && share <= 0.25 / (1 - 0.75 / inputs) + 1e-12);
                assert_near(spread / (double)units, share, 0,
                            5 * share * sqrt(2.0 / (double)units));
            }
            assert_near(squares / (double)s.count, 1, 5 * sqrt(2.0 / (double)s.count), 0);
            free(x);
        }
    fanin_tensor one = fanin_tensor_torch("w", 2, (int64_t[]){4, 1});
    fanin_rule rule;
    fanin_moments m;
    fanin_err err = {0};
    assert_ok(fanin_rule_parse("centered_normal", &rule, NULL));
    assert_int_equal(fanin_rule_apply(&rule, &one, &m, &err), FANIN_ARG);
    assert_non_null(strstr(err.message, "two weights or more"));
}

TEST(forget_gates_and_priors) {
    float x[64];
    fanin_rule rule;
    fanin_tensor b = fanin_tensor_torch("b", 1, (int64_t[]){12});
    assert_ok(fanin_rule_parse("lstm_forget_bias", &rule, NULL));
    assert_ok(fanin_rule_fill(&rule, &b, 0, 0, 12, FANIN_F32, x, NULL));
    for (int i = 0; i < 12; i++) assert_true(x[i] == (i / 3 == 1 ? 1 : 0));
    fanin_tensor onnx =
        fanin_tensor_torch("B", 2, (int64_t[]){2, 24}); /* 2 directions, 8 gates of 3 */
    onnx.parts = 8;
    assert_ok(fanin_rule_parse("lstm_forget_bias:gates=iofc,value=2", &rule, NULL));
    assert_ok(fanin_rule_fill(&rule, &onnx, 0, 0, 48, FANIN_F32, x, NULL));
    for (int i = 0; i < 48; i++) assert_true(x[i] == (i % 24 / 3 == 2 ? 2 : 0));
    double y[3];
    fanin_tensor c = fanin_tensor_torch("c", 1, (int64_t[]){3});
    assert_ok(fanin_rule_parse("class_prior", &rule, NULL));
    assert_ok(fanin_rule_fill(&rule, &c, 0, 0, 3, FANIN_F64, y, NULL));
    for (int i = 0; i < 3; i++) assert_near(y[i], -4.59511985013459, 0, 1e-14); /* RetinaNet */
    assert_ok(fanin_rule_parse("class_prior:prior=600/300/100", &rule, NULL));
    assert_ok(fanin_rule_fill(&rule, &c, 0, 1, 2, FANIN_F64, y, NULL));
    assert_near(y[0], log(0.3), 0, 1e-15);
    assert_near(y[1], log(0.1), 0, 1e-15);
}

/* ZerO: H_4 / 2 and its corners; Hadamard rows are orthogonal when the size is a power of two. */
TEST(hadamard_is_sylvesters) {
    float x[64];
    fanin_rule rule;
    assert_ok(fanin_rule_parse("hadamard", &rule, NULL));
    fanin_tensor t = fanin_tensor_torch("w", 2, (int64_t[]){4, 3});
    assert_ok(fanin_rule_fill(&rule, &t, 0, 0, 12, FANIN_F32, x, NULL));
    static const float want[12] = {.5f, .5f, .5f, .5f, -.5f, .5f, .5f, .5f, -.5f, .5f, -.5f, -.5f};
    for (int i = 0; i < 12; i++) assert_true(x[i] == want[i]);
    fanin_tensor wide = fanin_tensor_torch("w", 2, (int64_t[]){3, 5});
    assert_ok(fanin_rule_fill(&rule, &wide, 0, 0, 15, FANIN_F32, x, NULL));
    for (int i = 0; i < 15; i++) assert_true(x[i] == (i / 5 == i % 5));
}

/* The 4 x 4 kernel of FCN's upsampling by 2, from the published tables: (1 3 3 1) (x) (1 3 3 1) / 16. */
TEST(bilinear_is_fcns) {
    float x[2 * 2 * 16];
    fanin_rule rule;
    assert_ok(fanin_rule_parse("bilinear", &rule, NULL));
    fanin_tensor t = fanin_tensor_torch("up", 4, (int64_t[]){2, 2, 4, 4});
    assert_ok(fanin_rule_fill(&rule, &t, 0, 0, 64, FANIN_F32, x, NULL));
    static const float tap[4] = {.25f, .75f, .75f, .25f};
    for (int i = 0; i < 64; i++) {
        float want = i / 32 == i / 16 % 2 ? tap[i / 4 % 4] * tap[i % 4] : 0;
        assert_true(x[i] == want);
    }
}
