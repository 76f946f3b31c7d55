/* The probes beyond one pass against dense matrices made by differences, closed forms and theory: singular values
 * of Jacobians, eigenvalues of the Hessian, the tangent kernel. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "compute/eigen.h"
#include "fanin/probe.h"
#include "fanin/random.h"
#include "fanin/theory.h"
#include "faults.h"
#include "probe/spectral.h"
#include "networks.h"
#include "testing.h"

/* ---- linear algebra ------------------------------------------------------------------------------- */

TEST(
    tridiagonal_toeplitz) { /* eigenvalues 2 cos(k pi / (n + 1)), first components sqrt(2 / (n + 1)) sin */
    enum { N = 50 };
    double d[N] = {0}, e[N], first[N] = {1};
    for (int i = 0; i < N; i++) e[i] = 1;
    assert_ok(fanin__tridiagonal_eigen(N, d, e, 1, first));
    for (int k = 0; k < N; k++) {
        double angle = (N - k) * acos(-1) / (N + 1);
        assert_near(d[k], 2 * cos(angle), 1e-13, 0);
        assert_near(fabs(first[k]), sqrt(2.0 / (N + 1)) * sin(angle), 1e-13, 0);
    }
}

TEST(singular_values_of_a_triangle) { /* of ones: 1 / (2 sin((2k - 1) pi / (4n + 2))) */
    enum { N = 40 };
    double a[N * N] = {0}, sigma[N];
    for (int i = 0; i < N; i++)
        for (int j = i; j < N; j++) a[i * N + j] = 1;
    assert_ok(fanin__singular_values(N, N, a, sigma));
    for (int k = 1; k <= N; k++)
        assert_near(sigma[k - 1], 0.5 / sin((2 * k - 1) * acos(-1) / (4 * N + 2)), 1e-13, 1e-13);
}

/* Bidiagonalisation against the eigenvalues of A A', both ways round; and a matrix of rank one. */
TEST(singular_values_of_oblongs) {
    enum { M = 7, N = 12 };
    double a[M * N], turned[N * M], gram[M * M] = {0}, w[M], sigma[M], other[M];
    for (int i = 0; i < M * N; i++) turned[i % N * M + i / N] = a[i] = sin(i * i + 0.3 * i);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < M; j++)
            for (int k = 0; k < N; k++) gram[i * M + j] += a[i * N + k] * a[j * N + k];
    assert_ok(fanin__symmetric_eigen(M, gram, w));
    assert_ok(fanin__singular_values(M, N, a, sigma));
    assert_ok(fanin__singular_values(N, M, turned, other));
    for (int k = 0; k < M; k++) {
        assert_near(sigma[k] * sigma[k], w[k], 1e-12, 1e-11);
        assert_near(sigma[k], other[k], 1e-13, 1e-13);
    }
    for (int i = 0; i < M * N; i++) a[i] = (i / N + 1) * (i % N + 1);
    assert_ok(fanin__singular_values(M, N, a, sigma));
    assert_near(sigma[0], sqrt(140.0 * 650), 1e-10, 0);
    for (int k = 1; k < M; k++) assert_near(sigma[k], 0, 1e-12, 0);
}

typedef struct diagonal {
    size_t n;
    double low, high;
} diagonal;

static double entry(const diagonal *d, size_t i) {
    return d->low + (d->high - d->low) * (double)i / (double)(d->n - 1);
}

static fanin_status diagonal_product(void *ctx, bool transposed, const double *in, double *out) {
    const diagonal *d = ctx;
    (void)transposed;
    for (size_t i = 0; i < d->n; i++) out[i] = entry(d, i) * in[i];
    return FANIN_OK;
}

TEST(operators_known_by_products) {
    diagonal d = {400, -2, 5};
    const fanin__operator op = {400, 400, diagonal_product, &d, 1, "test"};
    double low, high;
    int taken;
    assert_ok(fanin__lanczos_extremes(&op, 120, 1e-7, &low, &high, &taken));
    assert_near(low, -2, 1e-3, 0);
    assert_near(high, 5, 1e-4, 0);
    assert_true(taken > 5 && taken < 120);
    d.low = 0.5;
    fanin__singular_summary s;
    assert_ok(fanin__golub_kahan(&op, 60, 8, &s));
    assert_near(s.mean, 2.75, 0.15, 0); /* 8 starts of 400: sqrt(2 / 3200) 1.3 = 0.03 */
    assert_near(s.max, 5, 1e-3, 0);
    assert_near(s.min, 0.5, 5e-3, 0);
}

/* ---- networks in double, by differences --------------------------------------------------------------- */

enum { BATCH_MAX = 16, WIDTH_MAX = 8 };

/* Inputs that the check and the double program share. */
static fanin_array inputs_of(float *x, int64_t batch, int64_t width) {
    for (int64_t i = 0; i < batch * width; i++) x[i] = (float)sin(1.3 * (double)(i * i) + 0.7);
    return (fanin_array){.name = "",
                         .dtype = FANIN_F32,
                         .rank = 2,
                         .dims = {batch, width},
                         .data = x,
                         .size = (size_t)(batch * width) * 4};
}

/* A double program with the weights that the scheme draws (as float), the inputs, and the targets of a check. */
static fanin_program *twin(const fanin_graph *g, const fanin_init_options *init,
                           const fanin_array *x, fanin_program_options o) {
    fanin_program_options single = o;
    fanin_err err = {0};
    o.dtype = FANIN_F64;
    fanin_program *p = program_of(g, o), *f = program_of(g, single);
    assert_ok_err(fanin_weights_fill(g, init, NULL, f, &err), err);
    for (int i = 0; i < fanin_program_weight_count(p); i++) {
        fanin_buffer from = fanin_program_weight(f, i), to = fanin_program_weight(p, i);
        for (size_t k = 0; k < to.count; k++)
            ((double *)to.data)[k] = (double)((float *)from.data)[k];
    }
    fanin_program_destroy(f);
    fanin_buffer in = fanin_program_input(p, 0), t = fanin_program_target(p);
    assert_int_equal(in.count * 4, x->size);
    for (size_t k = 0; k < in.count; k++)
        ((double *)in.data)[k] = (double)((const float *)x->data)[k];
    fanin_stream s = fanin_stream_init(init->seed, "check/target");
    fanin_buffer y = fanin_program_output(p, 0);
    const fanin_law law = {.kind = FANIN_LAW_NORMAL, .b = 1};
    for (size_t k = 0; k < t.count; k++) {
        uint32_t word;
        float z;
        fanin_stream_words(&s, 0, k, 1, &word);
        assert_ok(fanin_random_fill(&s, 0, &law, k, 1, FANIN_F32, &z));
        if (t.dtype == FANIN_I64)
            ((int64_t *)t.data)[k] =
                (int64_t)(((uint64_t)word * (uint64_t)y.dims[y.rank - 1]) >> 32);
        else
            ((double *)t.data)[k] = (double)z;
    }
    return p;
}

/* d outputs / d inputs of the whole batch, rows by output. */
static double *batch_jacobian(fanin_program *p, size_t *rows, size_t *cols) {
    const double h = 1e-6;
    fanin_buffer x = fanin_program_input(p, 0), y = fanin_program_output(p, 0);
    *rows = y.count;
    *cols = x.count;
    double *j = fanin_calloc(y.count, x.count * sizeof *j), *v = x.data;
    for (size_t c = 0; c < x.count; c++)
        for (int side = -1; side <= 1; side += 2) {
            double kept = v[c];
            v[c] += side * h;
            assert_ok(fanin_program_run(p, NULL));
            v[c] = kept;
            for (size_t r = 0; r < y.count; r++)
                j[r * x.count + c] += side * ((const double *)y.data)[r] / (2 * h);
        }
    return j;
}

static fanin_signal *measure(const fanin_graph *g, const fanin_init_options *init,
                             fanin_signal_options o) {
    fanin_signal *s;
    fanin_err err = {0};
    assert_ok_err(fanin_signal_measure(g, init, &o, &s, &err), err);
    return s;
}

static void check_spectrum(const char *net, int64_t batch, int64_t width, bool full) {
    float x[BATCH_MAX * WIDTH_MAX];
    const fanin_array input = inputs_of(x, batch, width), *inputs[] = {&input};
    const fanin_init_options init = {.scheme = "xavier"};
    fanin_graph *g = load(net);
    fanin_signal *s = measure(
        g, &init, (fanin_signal_options){.batch = batch, .inputs = inputs, .spectrum = full});
    fanin_program *p = twin(g, &init, &input, (fanin_program_options){.batch = batch});
    size_t rows, cols, used = 0;
    double *j = batch_jacobian(p, &rows, &cols), sum = 0;
    size_t least = rows < cols ? rows : cols;
    double *sigma = fanin_calloc(least, sizeof *sigma);
    const fanin_jacobian_spectrum *got = &s->jacobian;
    if (!full) { /* the first samples only */
        assert_true(got->samples > 0 && got->samples < batch);
        rows = rows / (size_t)batch * (size_t)got->samples;
        least = rows < cols ? rows : cols;
    }
    assert_ok(fanin__singular_values(rows, cols, j, sigma));
    assert_true(got->exact);
    assert_int_equal(got->count, least);
    for (size_t k = 0; k < least; k++) {
        assert_near(got->values[k], sigma[k], 1e-4 * sigma[0], 0);
        sum += sigma[k];
        used++;
    }
    assert_near(got->mean, sum / (double)used, 0, 1e-3);
    assert_near(got->max, sigma[0], 0, 1e-3);
    assert_near(got->min, sigma[least - 1], 1e-4 * sigma[0], 1e-3);
    fanin_free(j);
    fanin_free(sigma);
    fanin_program_destroy(p);
    fanin_signal_destroy(s);
    fanin_graph_destroy(g);
}

TEST(spectra_are_those_of_dense_jacobians) {
    check_spectrum("mlp:6-8x2-3,act=tanh", 5, 6, true);
    check_spectrum("mlp:3-8x2-6,act=gelu", 7, 3, true);  /* more outputs than inputs */
    check_spectrum("mlp:6-8x2-3,act=tanh", 8, 6, false); /* 2 samples in one pass */
    check_spectrum("mlp:6-8x2-3,act=tanh,norm=layer", 5, 6, true);
    check_spectrum("mlp:6-8x2-3,act=tanh,norm=batch", 6, 6, true); /* samples meet */
}

TEST(where_there_is_no_jacobian) {
    fanin_graph *g = load("mlp:6-8x2-9,act=tanh");
    const fanin_init_options init = {.scheme = "xavier"};
    fanin_signal *s = measure(g, &init, (fanin_signal_options){.batch = 8});
    assert_int_equal(s->jacobian.samples, 0); /* more outputs than samples, and nobody asked */
    assert_true(isnan(s->jacobian.mean));
    fanin_signal_destroy(s);
    fanin_graph_destroy(g);
    g = load("mlp:6-8x2-3,act=tanh,norm=batch"); /* found out while looking */
    s = measure(g, &init, (fanin_signal_options){.batch = 8});
    assert_true(isnan(s->jacobian.mean) && s->jacobian.count == 0);
    fanin_signal_destroy(s);
    fanin_graph_destroy(g);
}

static int falling(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* y = tanh(table[ids] W): the derivative is in what was looked up, all tokens of a sample together. */
TEST(jacobians_of_embedded_tokens) {
    enum { N = 3, T = 2, ROWS = 7, D = 3, OUT = 4, EACH = T * D };
    float table[ROWS * D], w[D * OUT];
    static const int64_t ids[N * T] = {0, 4, 6, 1, 2, 2};
    for (int i = 0; i < ROWS * D; i++) table[i] = (float)sin(1.7 * i * i + 0.2);
    for (int i = 0; i < D * OUT; i++) w[i] = (float)cos(2.3 * i * i);
    fanin_graph_builder *b;
    assert_ok(fanin_graph_builder_create("tokens", 17, &b));
    int in = fanin_graph_input(b, "ids", FANIN_I64, 2, (int64_t[]){N, T});
    int t = fanin_graph_initializer(b, "table", FANIN_F32, 2, (int64_t[]){ROWS, D}, table);
    int m = fanin_graph_initializer(b, "w", FANIN_F32, 2, (int64_t[]){D, OUT}, w);
    int cast = fanin_graph_node(b, "Identity", "", (int[]){in}, 1, NULL, 0, 1);
    int x = fanin_graph_node(b, "Gather", "", (int[]){t, cast}, 2, NULL, 0, 1);
    int y = fanin_graph_node(b, "MatMul", "", (int[]){x, m}, 2, NULL, 0, 1);
    fanin_graph_output(b, fanin_graph_node(b, "Tanh", "", (int[]){y}, 1, NULL, 0, 1), "y");
    fanin_graph *g;
    assert_ok(fanin_graph_builder_finish(b, &g, NULL));
    const fanin_array given = {.name = "",
                               .dtype = FANIN_I64,
                               .rank = 2,
                               .dims = {N, T},
                               .data = ids,
                               .size = sizeof ids},
                      *inputs[] = {&given};
    fanin_signal *s =
        measure(g, NULL, (fanin_signal_options){.batch = N, .inputs = inputs, .spectrum = true});
    double want[N * EACH];
    for (int n = 0; n < N; n++) {
        double j[T * OUT * EACH] = {0};
        for (int k = 0; k < T; k++)
            for (int o = 0; o < OUT; o++) {
                double sum = 0;
                for (int i = 0; i < D; i++)
                    sum += (double)table[ids[n * T + k] * D + i] * (double)w[i * OUT + o];
                for (int i = 0; i < D; i++)
                    j[(k * OUT + o) * EACH + k * D + i] =
                        (1 - tanh(sum) * tanh(sum)) * (double)w[i * OUT + o];
            }
        assert_ok(fanin__singular_values(T * OUT, EACH, j, want + n * EACH));
    }
    qsort(want, N * EACH, sizeof *want, falling);
    assert_true(s->jacobian.embedded && s->jacobian.exact && !s->jacobian.absent);
    assert_int_equal(s->jacobian.count, N * EACH);
    for (int i = 0; i < N * EACH; i++) assert_near(s->jacobian.values[i], want[i], 1e-5, 1e-4);
    fanin_signal_destroy(s);
    fanin_graph_destroy(g);
}

/* Too many outputs for a dense matrix: products only. One linear layer, J = W for every sample. */
TEST(wide_outputs_go_by_products) {
    enum { IN = 24, OUT = 1100 };
    fanin_graph *g = load("mlp:24-1100");
    const fanin_init_options init = {.scheme = "lecun"};
    fanin_signal *s = measure(g, &init, (fanin_signal_options){.batch = 3, .spectrum = true});
    static double w[OUT * IN];
    double sigma[IN], sum = 0;
    fanin_plan *plan;
    fanin_err err = {0};
    assert_ok_err(fanin_plan_create(g, &init, &plan, &err), err);
    assert_ok(fanin_plan_fill(plan, fanin_plan_find(plan, "fc1.weight"), 0, OUT * IN, FANIN_F64, w,
                              &err));
    fanin_plan_destroy(plan);
    assert_ok(fanin__singular_values(OUT, IN, w, sigma));
    for (int i = 0; i < IN; i++) sum += sigma[i] / IN;
    assert_false(s->jacobian.exact);
    assert_near(s->jacobian.max, sigma[0], 0, 1e-3);
    assert_near(s->jacobian.min, sigma[IN - 1], 0, 1e-3);
    assert_near(s->jacobian.mean, sum, 0,
                0.02); /* one start of 72 values, spread 6 % of the mean */
    fanin_signal_destroy(s);
    fanin_graph_destroy(g);
}

/* Mean square over the values: chi^L times sigma_w2 of the linear output (Pennington et al. 2017). */
TEST(spectrum_against_theory) {
    static const struct {
        const char *net, *act, *scheme;
        double sigma_w2;
        bool orthogonal;
    } rows[] = {
        {"mlp:300-300x6-300,act=relu", "relu", "orthogonal:gain=1.4142135623730951", 2, true},
        {"mlp:300-300x6-300,act=relu", "relu", "he", 2, false},
        {"mlp:300-300x4-300,act=hard_tanh", "hard_tanh", "lecun_normal", 1, false},
    };
    for (size_t k = 0; k < FANIN_COUNT(rows); k++) {
        fanin_graph *g = load(rows[k].net);
        const fanin_init_options init = {.scheme = rows[k].scheme};
        fanin_signal *s = measure(g, &init, (fanin_signal_options){.batch = 2, .spectrum = true});
        fanin_activation *act;
        fanin_jacobian theory;
        fanin_err err = {0};
        assert_ok_err(fanin_activation_parse(rows[k].act, &act, &err), err);
        assert_true(s->stack.plain && s->stack.square);
        assert_int_equal(s->stack.orthogonal, rows[k].orthogonal);
        assert_near(s->stack.sigma_w2, rows[k].sigma_w2, 0, 0.02);
        assert_string_equal(s->stack.activation, rows[k].act);
        double square = s->stack.sigma_w2; /* of the output layer */
        for (int i = 0; i < s->stack.depth; i++) {
            assert_ok_err(fanin_jacobian_moments(act, s->layers[i].second_moment, rows[k].sigma_w2,
                                                 1, rows[k].orthogonal, &theory, &err),
                          err);
            square *= theory.mean;
        }
        /* two samples of 300 values; E x^4 / (E x^2)^2 up to 7: 7 % by chance and 1 / width a layer */
        assert_near(s->jacobian.mean_square, square, 0, 0.25);
        fanin_activation_destroy(act);
        fanin_signal_destroy(s);
        fanin_graph_destroy(g);
    }
}

/* Mean singular value, and the share above half of it, of the density that is drawn beside the measured values. */
TEST(densities_are_those_of_the_measured_values) {
    static const struct {
        const char *net, *scheme, *output;
    } rows[] = {
        {"mlp:300-300x3-300,act=tanh", "lecun_normal:gain=1.3", NULL},
        {"mlp:300-300x3-300,act=tanh", "orthogonal:gain=1.3", "fc4.weight=lecun_normal:gain=0.1"},
        {"mlp:300-300x2-300,act=relu", "he", "fc3.weight=lecun_normal:gain=0.3"},
    };
    for (size_t k = 0; k < FANIN_COUNT(rows); k++) {
        fanin_graph *g = load(rows[k].net);
        const fanin_init_options init = {.scheme = rows[k].scheme,
                                         .rules = &rows[k].output,
                                         .rule_count = rows[k].output != NULL};
        fanin_signal *s = measure(g, &init, (fanin_signal_options){.batch = 2, .spectrum = true});
        const fanin_jacobian_spectrum *j = &s->jacobian;
        double width = (j->high - j->low) / (double)j->bins, mean = 0, share = 0, above = 0;
        assert_non_null(j->theory);
        for (size_t i = 0; i < j->bins; i++) {
            double at = j->low + ((double)i + 0.5) * width, value = j->decades ? pow(10, at) : at;
            mean += value * j->theory[i] * width;
            if (value > 0.5 * j->mean) share += j->theory[i] * width;
        }
        for (size_t i = 0; i < j->count; i++) above += j->values[i] > 0.5 * j->mean;
        /* two samples of 300 values that share their weights; bins of up to a tenth of a decade */
        assert_near(mean, j->mean, 0, 0.12);
        assert_near(share, above / (double)j->count, 0.07, 0);
        fanin_signal_destroy(s);
        fanin_graph_destroy(g);
    }
}

/* ---- layers -------------------------------------------------------------------------------------------- */

/* Without an activation it is W's: 8 / (3 pi) for a square Gaussian one, 1 for an orthogonal one. */
TEST(layer_jacobians_of_linear_networks) {
    static const struct {
        const char *net, *scheme;
        double variance, exact;
    } rows[] = {
        {"mlp:300-300x3-10,act=identity", "lecun_normal", 1, NAN},
        {"mlp:600-600x1-10,act=identity", "lecun_normal:gain=0.5", 0.25, NAN},
        {"mlp:300-300x2-10,act=identity", "orthogonal", NAN, 1},
        {"mlp:40-20x2-10,act=identity", "orthogonal", NAN, 1},
    };
    for (size_t k = 0; k < FANIN_COUNT(rows); k++) {
        fanin_graph *g = load(rows[k].net);
        const fanin_init_options init = {.scheme = rows[k].scheme};
        fanin_signal *s = measure(g, &init, (fanin_signal_options){.batch = 32});
        for (int i = 0; i < s->layer_count; i++) {
            double want = rows[k].exact, aspect;
            bool output = i == s->layer_count - 1;
            aspect = output ? 10.0 / (double)s->layers[i - 1].dims[1] : 1;
            if (isnan(want))
                assert_ok(fanin_mean_singular_value(aspect, rows[k].variance, &want, NULL));
            assert_near(s->layers[i].jacobian_mean_sv, want, 0, isnan(rows[k].exact) ? 0.03 : 1e-4);
        }
        fanin_signal_destroy(s);
        fanin_graph_destroy(g);
    }
}

/* Glorot and Bengio 2010: about 0.5 for the standard rule, about 0.8 for the normalised one (tanh, Shapeset). */
TEST(layer_jacobians_of_glorot_and_bengio) {
    fanin_dataset *d;
    fanin_err err = {0};
    assert_ok_err(fanin_dataset_open("shapeset", 0, &d, &err), err);
    fanin_graph *g = load("mlp:1024-300x5-9,act=tanh");
    for (int normalised = 0; normalised < 2; normalised++) {
        const fanin_init_options init = {.scheme = normalised ? "xavier" : "torch"};
        fanin_signal *s = measure(g, &init, (fanin_signal_options){.batch = 128, .data = d});
        double sum = 0;
        for (int i = 1; i < 5; i++) sum += s->layers[i].jacobian_mean_sv / 4;
        if (normalised)
            assert_true(sum > 0.72 && sum < 0.85);
        else
            assert_true(sum > 0.47 && sum < 0.50);
        fanin_signal_destroy(s);
    }
    fanin_graph_destroy(g);
    fanin_dataset_close(d);
}

/* ---- the Hessian ---------------------------------------------------------------------------------------- */

/* All gradients, one after the other. */
static size_t gradients(const fanin_program *p, double *out) {
    size_t at = 0;
    for (int i = 0; i < fanin_program_weight_count(p); i++) {
        fanin_buffer g = fanin_program_gradient(p, i);
        if (!g.data) continue;
        if (out) memcpy(out + at, g.data, g.count * sizeof *out);
        at += g.count;
    }
    return at;
}

/* By differences of gradients; rows of weight i stand from first[i] on. */
static double *dense_hessian(fanin_program *p, size_t *n, size_t *first) {
    const double h = 1e-5;
    *n = gradients(p, NULL);
    double *a = fanin_calloc(*n * *n, sizeof *a), *g = fanin_calloc(*n, sizeof *g);
    size_t row = 0;
    for (int i = 0; i < fanin_program_weight_count(p); i++) {
        fanin_buffer w = fanin_program_weight(p, i);
        first[i] = row;
        if (!fanin_program_gradient(p, i).data) continue; /* a running statistic */
        for (size_t k = 0; k < w.count; k++, row++)
            for (int side = -1; side <= 1; side += 2) {
                double kept = ((double *)w.data)[k];
                ((double *)w.data)[k] += side * h;
                assert_ok(fanin_program_run(p, NULL));
                ((double *)w.data)[k] = kept;
                gradients(p, g);
                for (size_t c = 0; c < *n; c++) a[row * *n + c] += side * g[c] / (2 * h);
            }
    }
    fanin_free(g);
    return a;
}

/* online: how far LeCun's estimate may be off. */
static void check_hessian(const char *net, const char *loss, int64_t batch, int64_t width,
                          double online) {
    float x[BATCH_MAX * WIDTH_MAX];
    size_t first[32], n;
    const fanin_array input = inputs_of(x, batch, width), *inputs[] = {&input};
    const fanin_init_options init = {.scheme = "xavier", .seed = 3};
    fanin_graph *g = load(net);
    fanin_signal *s = measure(
        g, &init,
        (fanin_signal_options){.batch = batch, .inputs = inputs, .loss = loss, .hessian = true});
    fanin_program *p = twin(
        g, &init, &input, (fanin_program_options){.batch = batch, .loss = loss, .gradients = true});
    double *a = dense_hessian(p, &n, first), trace = 0;
    double *w = fanin_calloc(n, sizeof *w), *block = fanin_calloc(n * n, sizeof *block);
    const fanin_hessian *h = &s->hessian;
    for (int i = 0, l = 0; i < fanin_program_weight_count(p); i++) {
        fanin_buffer b = fanin_program_weight(p, i);
        if (b.rank < 2) continue;
        for (size_t r = 0; r < b.count; r++)
            memcpy(block + r * b.count, a + (first[i] + r) * n + first[i], b.count * sizeof *a);
        assert_ok(fanin__symmetric_eigen(b.count, block, w));
        assert_string_equal(s->layers[l].name, fanin_program_weight_name(p, i));
        assert_near(s->layers[l++].hessian_max, w[0], 1e-5, 1e-3);
    }
    for (size_t i = 0; i < n; i++) trace += a[i * n + i];
    assert_ok(fanin__symmetric_eigen(n, a, w));
    assert_near(h->max, w[0], 0, 1e-3);
    assert_near(h->min, w[n - 1], 1e-3 * w[0], 0);
    assert_near(h->lr_max, 2 / w[0], 0, 1e-3);
    /* 16 probes; t with 15 degrees of freedom, two-sided 1e-4: 5.2 */
    assert_near(h->trace, trace, 5.2 * h->trace_error + 1e-4, 0);
    assert_true(h->trace_error < trace);
    assert_near(h->online, w[0], 0, online);
    assert_int_equal(h->online_whole, strstr(net, "norm=batch") != NULL);
    assert_null(h->absent);
    fanin_free(a);
    fanin_free(w);
    fanin_free(block);
    fanin_program_destroy(p);
    fanin_signal_destroy(s);
    fanin_graph_destroy(g);
}

TEST(hessians_are_those_of_differences) {
    check_hessian("mlp:4-5-3,act=tanh", "cross_entropy", 12, 4, 0.3);
    check_hessian("mlp:3-4x2-2,act=softplus", "cross_entropy", 16, 3, 0.3);
    check_hessian("mlp:4-5-2,act=tanh", "mse", 10, 4, 0.3);
    /* samples meet: whole batches, nothing to average */
    check_hessian("mlp:4-5-3,act=tanh,norm=batch", "cross_entropy", 12, 4, 0.03);
}

TEST(hessians_of_values_that_are_not_numbers) {
    fanin_graph *g = load("mlp:4-5x2-3,act=identity");
    const fanin_init_options init = {.scheme = "normal:std=1e18"};
    fanin_signal *s =
        measure(g, &init, (fanin_signal_options){.batch = 4, .loss = "mse", .hessian = true});
    assert_non_null(s->hessian.absent);
    assert_true(isnan(s->hessian.max) && isnan(s->hessian.online) && isnan(s->hessian.lr_max));
    fanin_signal_destroy(s);
    fanin_graph_destroy(g);
}

/* A linear unit: H = 2 <x x'> with the bias's 1 among the inputs, whatever the weights. */
TEST(hessian_of_a_linear_unit) {
    float x[BATCH_MAX * WIDTH_MAX];
    double h[16] = {0}, w[4], trace = 0;
    const fanin_array input = inputs_of(x, 16, 3), *inputs[] = {&input};
    fanin_graph *g = load("mlp:3-1");
    const fanin_init_options init = {.scheme = "xavier"};
    fanin_signal *s = measure(
        g, &init,
        (fanin_signal_options){.batch = 16, .inputs = inputs, .loss = "mse", .hessian = true});
    for (int b = 0; b < 16; b++) {
        double v[4] = {(double)x[3 * b], (double)x[3 * b + 1], (double)x[3 * b + 2], 1};
        for (int i = 0; i < 16; i++) h[i] += 2 * v[i / 4] * v[i % 4] / 16;
    }
    for (int i = 0; i < 4; i++) trace += h[5 * i];
    assert_ok(fanin__symmetric_eigen(4, h, w));
    assert_near(s->hessian.max, w[0], 0, 1e-4);
    assert_near(s->hessian.min, w[3], 1e-4, 0);
    assert_near(s->hessian.lr_max, 2 / w[0], 0, 1e-4);
    assert_near(s->hessian.trace, trace, 5.2 * s->hessian.trace_error + 1e-5, 0);
    fanin_signal_destroy(s);
    fanin_graph_destroy(g);
}

/* ---- the tangent kernel ------------------------------------------------------------------------------------ */

/* Mean over outputs of <d f_c(x) / d w, d f_c(x') / d w>, by differences. */
static void dense_kernel(fanin_program *p, size_t batch, double *kernel) {
    const double h = 1e-6;
    fanin_buffer y = fanin_program_output(p, 0);
    double *d = fanin_calloc(y.count, sizeof *d);
    size_t outputs = y.count / batch;
    memset(kernel, 0, batch * batch * sizeof *kernel);
    for (int i = 0; i < fanin_program_weight_count(p); i++) {
        fanin_buffer w = fanin_program_weight(p, i);
        for (size_t k = 0; k < w.count; k++) {
            double kept = ((double *)w.data)[k];
            memset(d, 0, y.count * sizeof *d);
            for (int side = -1; side <= 1; side += 2) {
                ((double *)w.data)[k] = kept + side * h;
                assert_ok(fanin_program_run(p, NULL));
                for (size_t r = 0; r < y.count; r++)
                    d[r] += side * ((const double *)y.data)[r] / (2 * h);
            }
            ((double *)w.data)[k] = kept;
            for (size_t a = 0; a < batch; a++)
                for (size_t b = 0; b < batch; b++)
                    for (size_t c = 0; c < outputs; c++)
                        kernel[a * batch + b] +=
                            d[a * outputs + c] * d[b * outputs + c] / (double)outputs;
        }
    }
    fanin_free(d);
}

static void centred(double *k, size_t n) {
    double row[BATCH_MAX] = {0}, all = 0;
    for (size_t i = 0; i < n * n; i++)
        row[i / n] += k[i] / (double)n, all += k[i] / (double)(n * n);
    for (size_t i = 0; i < n * n; i++) k[i] += all - row[i / n] - row[i % n];
}

TEST(tangent_kernels_are_those_of_differences) {
    enum { B = 6 };
    float x[BATCH_MAX * WIDTH_MAX];
    double k[B * B], t[B * B], w[B], kt = 0, kk = 0, tt = 0, trace = 0;
    const fanin_array input = inputs_of(x, B, 4), *inputs[] = {&input};
    const fanin_init_options init = {.scheme = "xavier"};
    fanin_graph *g = load("mlp:4-7x2-3,act=tanh");
    fanin_signal *s =
        measure(g, &init, (fanin_signal_options){.batch = B, .inputs = inputs, .kernel = true});
    fanin_program *p =
        twin(g, &init, &input, (fanin_program_options){.batch = B, .loss = "cross_entropy"});
    dense_kernel(p, B, k);
    const fanin_tangent_kernel *got = &s->kernel;
    assert_int_equal(got->samples, B);
    for (int i = 0; i < B * B; i++) {
        const int64_t *label = fanin_program_target(p).data;
        assert_near(got->kernel[i], k[i], 1e-5, 1e-4);
        t[i] = label[i / B] == label[i % B];
        trace += i % (B + 1) == 0 ? k[i] / B : 0;
    }
    assert_near(got->trace, trace, 0, 1e-4);
    double copy[B * B];
    memcpy(copy, k, sizeof copy);
    assert_ok(fanin__symmetric_eigen(B, copy, w));
    assert_near(got->max, w[0], 0, 1e-3);
    assert_near(got->condition, w[0] / w[B - 1], 0, 5e-3);
    centred(k, B);
    centred(t, B);
    for (int i = 0; i < B * B; i++) kt += k[i] * t[i], kk += k[i] * k[i], tt += t[i] * t[i];
    assert_near(got->alignment, kt / sqrt(kk * tt), 1e-4, 0);
    fanin_program_destroy(p);
    fanin_signal_destroy(s);
    fanin_graph_destroy(g);
}

/* Wide ReLU layers, standard parameterisation: theory's kernel of the same inputs. Many outputs stand in by random
 * combinations. */
TEST(tangent_kernels_of_wide_networks) {
    enum { B = 5, IN = 8, WIDTH = 1024 };
    float x[BATCH_MAX * WIDTH_MAX];
    double points[B * IN], want[B * B];
    const fanin_array input = inputs_of(x, B, IN), *inputs[] = {&input};
    const fanin_init_options init = {.scheme = "he"};
    fanin_graph *g = load("mlp:8-1024x2-16,act=relu,bias=0");
    fanin_signal *s =
        measure(g, &init, (fanin_signal_options){.batch = B, .inputs = inputs, .kernel = true});
    for (int i = 0; i < B * IN; i++) points[i] = (double)x[i];
    fanin_activation *act;
    fanin_err err = {0};
    assert_ok_err(fanin_activation_parse("relu", &act, &err), err);
    const fanin_kernel_settings set = {.sigma_w2 = 2, .depth = 2, .ntk = true, .width = WIDTH};
    assert_ok_err(fanin_kernel_matrix(act, &set, points, B, NULL, 0, IN, want, &err), err);
    double worst = 0;
    for (int i = 0; i < B * B; i++)
        worst = fmax(
            worst, fabs(s->kernel.kernel[i] / sqrt(want[i / B * (B + 1)] * want[i % B * (B + 1)]) -
                        want[i] / sqrt(want[i / B * (B + 1)] * want[i % B * (B + 1)])));
    /* 8 combinations of 16 outputs and width 1024: some 3 % by chance */
    if (worst > 0.2) fail_msg("off by %g of the diagonal", worst);
    fanin_activation_destroy(act);
    fanin_signal_destroy(s);
    fanin_graph_destroy(g);
}

/* ---- memory -------------------------------------------------------------------------------------------------- */

static fanin_status once(void *arg) {
    fanin_err err = {0};
    const fanin_init_options init = {.scheme = "xavier"};
    const fanin_signal_options o = {.batch = 2, .spectrum = true, .hessian = true, .kernel = true};
    fanin_signal *s;
    fanin_status status = fanin_signal_measure(arg, &init, &o, &s, &err);
    if (status == FANIN_OK)
        fanin_signal_destroy(s);
    else
        assert_true(err.message[0] != 0);
    return status;
}

TEST(memory_refused_at_every_request) {
    fanin_graph *g = load("mlp:2-2-1,act=tanh");
    fanin_threads_set(1);
    assert_true(fault_sweep("check", once, g) > 20);
    fanin_threads_set(0);
    fanin_graph_destroy(g);
}
