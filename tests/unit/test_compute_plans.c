/* Plans against plain loops in double, with shapes drawn at random: groups, dilation, strides,
 * uneven pads, both layouts, batches, transposes; and the same bits from run to run. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compute/compute.h"
#include "testing.h"

static uint64_t seed_now = 7;
static uint32_t bits(void) { /* splitmix64 */
    uint64_t z = (seed_now += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ (z >> 31)) >> 32);
}
static float uniform(void) { return (float)(bits() >> 8) / 8388608.0f - 1.0f; }
static int64_t between(int64_t a, int64_t b) {
    return a + (int64_t)(bits() % (uint64_t)(b - a + 1));
}

/* What a plan with `bf16` is promised: operands that are bfloat16 values. */
static void round_if(bool bf16, float *x, size_t n) {
    if (bf16) fanin__kernels_best()->unary[FANIN__UNARY_BF16](n, x, x);
}

static float *random_floats(size_t n) {
    float *p = malloc((n + 1) * sizeof *p);
    for (size_t i = 0; i < n; i++) p[i] = uniform();
    return p;
}

/* Runs the plan twice on poisoned outputs, the second time with scratch at another content: the
 * bits must be the same. */
static void run_twice(fanin__plan *plan, float alpha, void **buffers, const size_t *sizes,
                      const bool *is_output, int count) {
    fanin_err err = {0};
    size_t scratch_size = fanin__plan_scratch(plan);
    char *scratch = fanin_malloc_aligned(scratch_size + 64);
    float *first[8] = {NULL}, *initial[8] = {NULL};
    for (int i = 0; i < count; i++)
        if (is_output[i]) {
            first[i] = malloc((sizes[i] + 1) * sizeof(float));
            initial[i] = malloc((sizes[i] + 1) * sizeof(float));
            memcpy(initial[i], buffers[i], sizes[i] * sizeof(float));
        }
    for (int round = 0; round < 2; round++) {
        memset(scratch, round ? 0xff : 0, scratch_size + 64);
        for (int i = 0; i < count; i++)
            if (is_output[i]) memcpy(buffers[i], initial[i], sizes[i] * sizeof(float));
        if (alpha != 1)
            assert_ok_err(fanin__matmul_plan_run(plan, alpha, buffers, scratch, &err), err);
        else
            assert_ok_err(fanin__plan_run(plan, buffers, scratch, &err), err);
        for (size_t i = scratch_size; i < scratch_size + 64; i++)
            assert_int_equal((unsigned char)scratch[i], round ? 0xff : 0);
        for (int i = 0; i < count; i++) {
            if (!is_output[i]) continue;
            if (round == 0)
                memcpy(first[i], buffers[i], sizes[i] * sizeof(float));
            else
                assert_memory_equal(first[i], buffers[i], sizes[i] * sizeof(float));
        }
    }
    for (int i = 0; i < count; i++) free(first[i]), free(initial[i]);
    fanin_free_aligned(scratch);
}

/* ---- matmul ---------------------------------------------------------------------------- */

static double eltwise(fanin__eltwise e, double x) {
    switch (e) {
    case FANIN__ELTWISE_RELU: return x > 0 ? x : 0;
    case FANIN__ELTWISE_TANH: return tanh(x);
    case FANIN__ELTWISE_SIGMOID: return 1 / (1 + exp(-x));
    default: return x;
    }
}

static void matmul_case(fanin__matmul_desc d, float alpha) {
    fanin_err err = {0};
    fanin__plan *plan;
    fanin_status status = fanin__matmul_plan_create(&d, &plan, &err);
    if (status == FANIN_UNSUPPORTED && d.backend == FANIN__BACKEND_DNNL) return;
    assert_ok_err(status, err);
    size_t sizes[4] = {1, 1, (size_t)(d.bias == FANIN__BIAS_M ? d.m : d.n), 1};
    sizes[0] += (size_t)((d.m - 1) * d.a_row + (d.k - 1) * d.a_col);
    sizes[1] += (size_t)((d.k - 1) * d.b_row + (d.n - 1) * d.b_col);
    sizes[3] += (size_t)((d.m - 1) * d.c_row + d.n - 1);
    int64_t count = 1;
    for (int i = 0; i < d.batch_rank; i++) {
        sizes[0] += (size_t)((d.batch[i] - 1) * d.a_batch[i]);
        sizes[1] += (size_t)((d.batch[i] - 1) * d.b_batch[i]);
        sizes[3] += (size_t)((d.batch[i] - 1) * d.c_batch[i]);
        count *= d.batch[i];
    }
    float *x[4];
    for (int i = 0; i < 4; i++) x[i] = random_floats(sizes[i]);
    for (int i = 0; i < 2; i++) round_if(d.bf16, x[i], sizes[i]);
    float *before = malloc((sizes[3] + 1) * sizeof *before);
    if (d.beta == 0)
        for (size_t i = 0; i < sizes[3]; i++) x[3][i] = 5;
    memcpy(before, x[3], sizes[3] * sizeof *before);
    void *buffers[4] = {x[0], x[1], d.bias == FANIN__BIAS_NONE ? NULL : x[2], x[3]};
    const bool out[4] = {false, false, false, true};
    run_twice(plan, alpha, buffers, sizes, out, 4);
    for (int64_t i = 0; i < count; i++) {
        int64_t a = 0, b = 0, c = 0, rest = i;
        for (int q = d.batch_rank - 1; q >= 0; q--) {
            a += rest % d.batch[q] * d.a_batch[q];
            b += rest % d.batch[q] * d.b_batch[q];
            c += rest % d.batch[q] * d.c_batch[q];
            rest /= d.batch[q];
        }
        for (int64_t m = 0; m < d.m; m++)
            for (int64_t n = 0; n < d.n; n++) {
                double s = 0;
                for (int64_t k = 0; k < d.k; k++)
                    s += (double)x[0][a + m * d.a_row + k * d.a_col] *
                         (double)x[1][b + k * d.b_row + n * d.b_col];
                s = s * (double)alpha + (double)d.beta * (double)before[c + m * d.c_row + n];
                if (d.bias != FANIN__BIAS_NONE) s += (double)x[2][d.bias == FANIN__BIAS_N ? n : m];
                s = eltwise(d.eltwise, s);
                double got = (double)x[3][c + m * d.c_row + n];
                double tol = 3e-6 * (1 + sqrt((double)d.k));
                if (!(fabs(got - s) <= tol))
                    fail_msg("%s: %lldx%lldx%lld batch %lld at %lld,%lld: %.9g, want %.9g",
                             fanin__plan_variant(plan), (long long)d.m, (long long)d.n,
                             (long long)d.k, (long long)count, (long long)m, (long long)n, got, s);
            }
    }
    for (int i = 0; i < 4; i++) free(x[i]);
    free(before);
    fanin__plan_destroy(plan);
}

static fanin__matmul_desc random_matmul(void) {
    bool ta = bits() & 1, tb = bits() & 1, large = bits() % 8 == 0;
    fanin__matmul_desc d = {.m = between(1, large ? 140 : 20),
                            .n = between(1, large ? 140 : 40),
                            .k = between(1, large ? 200 : 30)};
    d.a_row = ta ? 1 : d.k;
    d.a_col = ta ? d.m : 1;
    d.b_row = tb ? 1 : d.n;
    d.b_col = tb ? d.k : 1;
    d.c_row = d.n;
    d.bias = (fanin__bias)(bits() % 3);
    d.eltwise = (fanin__eltwise)(bits() % 4);
    d.beta = bits() % 3 ? 0 : 1;
    return d;
}

TEST(matmul_plans) {
    for (int round = 0; round < 300; round++) {
        fanin__matmul_desc d = random_matmul();
        float alpha = 1;
        if (round % 4 == 0) {
            d.scaled = true;
            alpha = -0.25f;
        }
        d.backend = (fanin__backend)(round % 3);
        matmul_case(d, alpha);
    }
}

TEST(matmul_plans_in_batches) {
    for (int round = 0; round < 200; round++) {
        fanin__matmul_desc d = random_matmul();
        d.batch_rank = (int)between(1, 3);
        int64_t a = d.m * d.k, b = d.k * d.n, c = d.m * d.n;
        bool share = bits() % 3 == 0;
        for (int i = d.batch_rank - 1; i >= 0; i--) {
            d.batch[i] = between(1, 4);
            d.a_batch[i] = bits() % 4 == 0 && !share ? 0 : a;
            d.b_batch[i] = share || bits() % 4 == 0 ? 0 : b;
            d.c_batch[i] = c;
            a *= d.a_batch[i] ? d.batch[i] : 1;
            b *= d.b_batch[i] ? d.batch[i] : 1;
            c *= d.batch[i];
        }
        d.backend = (fanin__backend)(round % 3);
        matmul_case(d, 1);
    }
}

TEST(matmul_of_a_layer_chooses_and_agrees) {
    const int64_t batch[] = {10, 128};
    for (int i = 0; i < 2; i++) {
        int64_t b = batch[i], in = 300, out = 257;
        matmul_case((fanin__matmul_desc){.m = b,
                                         .n = out,
                                         .k = in,
                                         .a_row = in,
                                         .a_col = 1,
                                         .b_row = 1,
                                         .b_col = in,
                                         .c_row = out,
                                         .bias = FANIN__BIAS_N,
                                         .eltwise = FANIN__ELTWISE_TANH},
                    1);
        matmul_case((fanin__matmul_desc){.m = b,
                                         .n = in,
                                         .k = out,
                                         .a_row = out,
                                         .a_col = 1,
                                         .b_row = in,
                                         .b_col = 1,
                                         .c_row = in},
                    1);
        matmul_case((fanin__matmul_desc){.m = out,
                                         .n = in,
                                         .k = b,
                                         .a_row = 1,
                                         .a_col = out,
                                         .b_row = in,
                                         .b_col = 1,
                                         .c_row = in,
                                         .beta = 1,
                                         .scaled = true},
                    -0.1f);
    }
}

TEST(matmul_refuses_nonsense) {
    fanin_err err = {0};
    fanin__plan *plan = (fanin__plan *)&err;
    fanin__matmul_desc d = {
        .m = 0, .n = 3, .k = 3, .a_row = 3, .a_col = 1, .b_row = 3, .b_col = 1, .c_row = 3};
    assert_int_equal(fanin__matmul_plan_create(&d, &plan, &err), FANIN_UNSUPPORTED);
    assert_null(plan);
    d.m = 2;
    d.c_row = 2;
    assert_int_equal(fanin__matmul_plan_create(&d, &plan, &err), FANIN_SHAPE);
    fanin__plan_destroy(NULL);
}

/* ---- images ---------------------------------------------------------------------------- */

typedef struct image {
    fanin__layout layout;
    int64_t n, c, d[3];
} image;

static size_t image_count(const image *i) {
    return (size_t)(i->n * i->c * i->d[0] * i->d[1] * i->d[2]);
}

/* Offset, or -1 outside. */
static int64_t at(const image *i, int64_t n, int64_t c, const int64_t *p) {
    for (int q = 0; q < 3; q++)
        if (p[q] < 0 || p[q] >= i->d[q]) return -1;
    int64_t s = (p[0] * i->d[1] + p[1]) * i->d[2] + p[2], all = i->d[0] * i->d[1] * i->d[2];
    return i->layout == FANIN__LAYOUT_NXC ? (n * all + s) * i->c + c : (n * i->c + c) * all + s;
}

static fanin__window random_window(int spatial, bool pooling) {
    fanin__window w = {.spatial = spatial};
    for (int i = 0; i < spatial; i++) {
        do {
            w.in[i] = between(1, spatial == 3 ? 6 : 12);
            w.kernel[i] = between(1, 4);
            w.stride[i] = between(1, 3);
            w.dilation[i] = bits() % 3 ? 1 : between(1, 3);
            w.pad_begin[i] = between(0, pooling ? w.kernel[i] - 1 : 3);
            w.pad_end[i] = between(0, pooling ? w.kernel[i] - 1 : 3);
        } while (w.in[i] + w.pad_begin[i] + w.pad_end[i] <= w.dilation[i] * (w.kernel[i] - 1));
    }
    assert_ok(fanin__window_out(&w, pooling && bits() & 1, NULL));
    return w;
}

/* Three axes whatever the window has: missing ones in front are 1. */
static fanin__window three(const fanin__window *w) {
    fanin__window t = {.spatial = 3};
    for (int i = 0; i < 3; i++) {
        int from = i - (3 - w->spatial);
        bool has = from >= 0;
        t.in[i] = has ? w->in[from] : 1;
        t.out[i] = has ? w->out[from] : 1;
        t.kernel[i] = has ? w->kernel[from] : 1;
        t.stride[i] = has ? w->stride[from] : 1;
        t.dilation[i] = has ? w->dilation[from] : 1;
        t.pad_begin[i] = has ? w->pad_begin[from] : 0;
        t.pad_end[i] = has ? w->pad_end[from] : 0;
    }
    return t;
}

typedef void (*visit_fn)(void *ctx, int64_t out, const int64_t *in, int64_t tap);

/* Calls visit for every output position, kernel tap and the input position under it. */
static void walk(const fanin__window *w, visit_fn visit, void *ctx) {
    int64_t outs = w->out[0] * w->out[1] * w->out[2],
            taps = w->kernel[0] * w->kernel[1] * w->kernel[2];
    for (int64_t o = 0; o < outs; o++)
        for (int64_t t = 0; t < taps; t++) {
            int64_t oi[3] = {o / (w->out[1] * w->out[2]), o / w->out[2] % w->out[1], o % w->out[2]};
            int64_t ti[3] = {t / (w->kernel[1] * w->kernel[2]), t / w->kernel[2] % w->kernel[1],
                             t % w->kernel[2]};
            int64_t in[3];
            for (int i = 0; i < 3; i++)
                in[i] = oi[i] * w->stride[i] + ti[i] * w->dilation[i] - w->pad_begin[i];
            visit(ctx, o, in, t);
        }
}

typedef struct conv_ref {
    const fanin__conv_desc *d;
    image x, y;
    int64_t taps;
    const float *xv, *wv, *yv; /* whichever the pass reads */
    double *result;
    int64_t out_w, out_hw;
} conv_ref;

static void conv_visit(void *ctx, int64_t out, const int64_t *in, int64_t tap) {
    conv_ref *r = ctx;
    const fanin__conv_desc *d = r->d;
    int64_t cg = d->c_in / d->groups, og = d->c_out / d->groups;
    int64_t oi[3] = {out / r->out_hw, out / r->out_w % (r->out_hw / r->out_w), out % r->out_w};
    for (int64_t n = 0; n < d->n; n++)
        for (int64_t o = 0; o < d->c_out; o++)
            for (int64_t c = 0; c < cg; c++) {
                int64_t ix = at(&r->x, n, o / og * cg + c, in);
                if (ix < 0) continue;
                int64_t iy = at(&r->y, n, o, oi), iw = (o * cg + c) * r->taps + tap;
                if (d->pass == FANIN__PASS_FORWARD)
                    r->result[iy] += (double)r->xv[ix] * (double)r->wv[iw];
                else if (d->pass == FANIN__PASS_BACKWARD_DATA)
                    r->result[ix] += (double)r->yv[iy] * (double)r->wv[iw];
                else
                    r->result[iw] += (double)r->xv[ix] * (double)r->yv[iy];
            }
}

static int conv_run, conv_declined;

static void conv_case(const fanin__conv_desc *d) {
    fanin_err err = {0};
    fanin__plan *plan;
    fanin_status status = fanin__conv_plan_create(d, &plan, &err);
    conv_run++;
    if (status == FANIN_UNSUPPORTED) {
        conv_declined++;
        return;
    }
    assert_ok_err(status, err);
    fanin__window w = three(&d->window);
    conv_ref r = {.d = d,
                  .taps = w.kernel[0] * w.kernel[1] * w.kernel[2],
                  .x = {d->layout, d->n, d->c_in, {w.in[0], w.in[1], w.in[2]}},
                  .y = {d->layout, d->n, d->c_out, {w.out[0], w.out[1], w.out[2]}},
                  .out_w = w.out[2],
                  .out_hw = w.out[1] * w.out[2]};
    size_t nx = image_count(&r.x), ny = image_count(&r.y);
    size_t nw = (size_t)(d->c_out * d->c_in / d->groups * r.taps), nb = (size_t)d->c_out;
    float *x = random_floats(nx), *wt = random_floats(nw), *b = random_floats(nb),
          *y = random_floats(ny);
    round_if(d->bf16, x, nx);
    round_if(d->bf16, wt, nw);
    round_if(d->bf16, y, ny);
    r.xv = x, r.wv = wt, r.yv = y;
    bool forward = d->pass == FANIN__PASS_FORWARD, data = d->pass == FANIN__PASS_BACKWARD_DATA;
    void *sets[3][4] = {
        {x, wt, d->bias ? b : NULL, y}, {y, wt, x, NULL}, {x, y, wt, d->bias ? b : NULL}};
    size_t sizes[3][4] = {{nx, nw, nb, ny}, {ny, nw, nx, 0}, {nx, ny, nw, nb}};
    const bool outputs[3][4] = {
        {false, false, false, true}, {false, false, true, false}, {false, false, true, d->bias}};
    size_t count = forward ? ny : data ? nx : nw;
    r.result = calloc(count + 1, sizeof *r.result);
    walk(&w, conv_visit, &r);
    run_twice(plan, 1, sets[d->pass], sizes[d->pass], outputs[d->pass], 4);
    const float *got = forward ? y : data ? x : wt;
    size_t spatial = ny / (size_t)(d->n * d->c_out);
    for (size_t i = 0; i < count; i++) {
        double want = r.result[i];
        size_t o = d->layout == FANIN__LAYOUT_NXC ? i % nb : i / spatial % nb;
        if (forward && d->bias) want += (double)b[o];
        if (forward) want = eltwise(d->eltwise, want);
        if (!(fabs((double)got[i] - want) <= 1e-4 + 1e-5 * fabs(want)))
            fail_msg("%s pass %d at %zu: %.9g, want %.9g", fanin__plan_variant(plan), (int)d->pass,
                     i, (double)got[i], want);
    }
    if (d->pass == FANIN__PASS_BACKWARD_WEIGHTS && d->bias)
        for (size_t o = 0; o < nb; o++) {
            double want = 0;
            for (size_t i = 0; i < ny; i++)
                if ((d->layout == FANIN__LAYOUT_NXC ? i % nb : i / spatial % nb) == o)
                    want += (double)y[i];
            assert_near(b[o], want, 1e-4, 1e-5);
        }
    free(x), free(wt), free(b), free(y), free(r.result);
    fanin__plan_destroy(plan);
}

TEST(convolutions_of_random_shapes) {
    for (int round = 0; round < 240; round++) {
        int64_t groups = bits() % 3 ? 1 : between(2, 4);
        fanin__conv_desc d = {.pass = (fanin__pass)(round % 3),
                              .layout = bits() & 1 ? FANIN__LAYOUT_NXC : FANIN__LAYOUT_NCX,
                              .n = between(1, 3),
                              .groups = groups,
                              .c_in = groups * between(1, 5),
                              .c_out = groups * between(1, 5),
                              .bias = bits() & 1,
                              .eltwise = (fanin__eltwise)(bits() % 4),
                              .window = random_window((int)between(1, 3), false)};
        if (bits() % 8 == 0) d.c_in = d.c_out = d.groups = between(1, 20); /* depthwise */
        if (bits() % 6 == 0) { /* channels that fill vectors */
            d.groups = 1;
            d.c_in = 16;
            d.c_out = 32;
        }
        conv_case(&d);
    }
    if (conv_declined * 10 > conv_run) fail_msg("%d of %d declined", conv_declined, conv_run);
}

/* Products of bfloat16 values are exact in float32: only the sums are rounded, as of any plan. */
TEST(plans_of_bf16_operands) {
    for (int round = 0; round < 12; round++) {
        int64_t m = between(33, 90), n = between(17, 90), k = between(33, 200);
        bool trans = bits() & 1;
        fanin__matmul_desc d = {.m = m,
                                .n = n,
                                .k = k,
                                .a_row = trans ? 1 : k,
                                .a_col = trans ? m : 1,
                                .b_row = trans ? 1 : n,
                                .b_col = trans ? k : 1,
                                .c_row = n,
                                .bias = (fanin__bias)(round % 2),
                                .eltwise = (fanin__eltwise)(round % 4),
                                .bf16 = true,
                                .backend = FANIN__BACKEND_DNNL};
        matmul_case(d, 1);
        fanin__conv_desc c = {.pass = (fanin__pass)(round % 3),
                              .layout = round & 1 ? FANIN__LAYOUT_NXC : FANIN__LAYOUT_NCX,
                              .n = 2,
                              .groups = 1,
                              .c_in = 16,
                              .c_out = 32,
                              .bias = round % 3 == FANIN__PASS_FORWARD,
                              .window = random_window(2, false),
                              .bf16 = true};
        conv_case(&c);
    }
}

TEST(convolution_refuses_nonsense) {
    fanin_err err = {0};
    fanin__plan *plan;
    fanin__conv_desc d = {
        .n = 1,
        .c_in = 4,
        .c_out = 6,
        .groups = 3,
        .window = {
            .spatial = 1, .in = {5}, .out = {3}, .kernel = {3}, .stride = {1}, .dilation = {1}}};
    assert_int_equal(fanin__conv_plan_create(&d, &plan, &err), FANIN_SHAPE);
    d.groups = 2;
    d.window.out[0] = 4;
    assert_int_equal(fanin__conv_plan_create(&d, &plan, &err), FANIN_SHAPE);
    d.window.out[0] = 3;
    d.n = 0;
    assert_int_equal(fanin__conv_plan_create(&d, &plan, &err), FANIN_UNSUPPORTED);
    assert_null(plan);
    d.window.in[0] = 2;
    assert_int_equal(fanin__window_out(&d.window, false, &err), FANIN_SHAPE);
    /* torch.nn.MaxPool1d(2, 2, ceil_mode=True) on 5: 3; (3, 2, padding 1) on 6: 4 floors to 3. */
    fanin__window w = {.spatial = 1, .in = {5}, .kernel = {2}, .stride = {2}, .dilation = {1}};
    assert_ok(fanin__window_out(&w, true, NULL));
    assert_int_equal(w.out[0], 3);
    w = (fanin__window){.spatial = 1,
                        .in = {6},
                        .kernel = {3},
                        .stride = {2},
                        .dilation = {1},
                        .pad_begin = {1},
                        .pad_end = {1}};
    assert_ok(fanin__window_out(&w, false, NULL));
    assert_int_equal(w.out[0], 3);
    assert_ok(fanin__window_out(&w, true, NULL));
    assert_int_equal(w.out[0], 4);
}

/* ---- pooling --------------------------------------------------------------------------- */

typedef struct pool_ref {
    const fanin__pool_desc *d;
    image x, y;
    const float *xv, *dyv;
    double *yv, *dxv;
    int64_t *best; /* offset of the maximum */
    int64_t *taps; /* inside the input */
    int64_t out_w, out_hw;
    int pass;
} pool_ref;

static void pool_visit(void *ctx, int64_t out, const int64_t *in, int64_t tap) {
    (void)tap;
    pool_ref *r = ctx;
    int64_t oi[3] = {out / r->out_hw, out / r->out_w % (r->out_hw / r->out_w), out % r->out_w};
    const fanin__window w = three(&r->d->window);
    int64_t kernel = w.kernel[0] * w.kernel[1] * w.kernel[2];
    for (int64_t n = 0; n < r->d->n; n++)
        for (int64_t c = 0; c < r->d->c; c++) {
            int64_t ix = at(&r->x, n, c, in), iy = at(&r->y, n, c, oi);
            if (ix < 0) continue;
            double divisor =
                r->d->kind == FANIN__POOL_AVERAGE ? (double)r->taps[iy] : (double)kernel;
            if (r->pass == 0)
                r->taps[iy]++;
            else if (r->d->kind != FANIN__POOL_MAX) {
                r->yv[iy] += (double)r->xv[ix] / divisor;
                r->dxv[ix] += (double)r->dyv[iy] / divisor;
            } else if (r->best[iy] < 0 || r->xv[ix] > r->xv[r->best[iy]]) {
                if (r->best[iy] >= 0) r->dxv[r->best[iy]] -= (double)r->dyv[iy];
                r->best[iy] = ix;
                r->yv[iy] = (double)r->xv[ix];
                r->dxv[ix] += (double)r->dyv[iy];
            }
        }
}

static bool pool_case(fanin__pool_desc d) {
    fanin_err err = {0};
    fanin__plan *forward, *backward;
    d.pass = FANIN__PASS_FORWARD;
    d.training = true;
    fanin_status status = fanin__pool_plan_create(&d, &forward, &err);
    if (status == FANIN_UNSUPPORTED) return false;
    assert_ok_err(status, err);
    d.pass = FANIN__PASS_BACKWARD_DATA;
    assert_ok_err(fanin__pool_plan_create(&d, &backward, &err), err);
    fanin__window w = three(&d.window);
    pool_ref r = {.d = &d,
                  .x = {d.layout, d.n, d.c, {w.in[0], w.in[1], w.in[2]}},
                  .y = {d.layout, d.n, d.c, {w.out[0], w.out[1], w.out[2]}},
                  .out_w = w.out[2],
                  .out_hw = w.out[1] * w.out[2]};
    size_t nx = image_count(&r.x), ny = image_count(&r.y), ws = fanin__plan_workspace(forward);
    float *x = random_floats(nx), *y = random_floats(ny), *dy = random_floats(ny),
          *dx = random_floats(nx);
    for (size_t i = 0; i < nx; i++) x[i] = roundf(x[i] * 8); /* ties */
    void *space = ws ? malloc(ws) : NULL;
    r.xv = x, r.dyv = dy;
    r.yv = calloc(ny, sizeof *r.yv), r.dxv = calloc(nx, sizeof *r.dxv);
    r.best = malloc(ny * sizeof *r.best), r.taps = calloc(ny, sizeof *r.taps);
    for (size_t i = 0; i < ny; i++) r.best[i] = -1;
    walk(&w, pool_visit, &r);
    r.pass = 1;
    walk(&w, pool_visit, &r);
    const bool outputs[3] = {false, true, false};
    run_twice(forward, 1, (void *[]){x, y, space}, (size_t[]){nx, ny, 0}, outputs, 3);
    run_twice(backward, 1, (void *[]){dy, dx, space}, (size_t[]){ny, nx, 0}, outputs, 3);
    for (size_t i = 0; i < ny; i++) assert_near(y[i], r.yv[i], 1e-5, 1e-5);
    for (size_t i = 0; i < nx; i++) assert_near(dx[i], r.dxv[i], 1e-5, 1e-5);
    free(x), free(y), free(dy), free(dx), free(space), free(r.yv), free(r.dxv), free(r.best),
        free(r.taps);
    fanin__plan_destroy(forward);
    fanin__plan_destroy(backward);
    return true;
}

TEST(pooling_of_random_shapes) {
    int run = 0, done = 0;
    for (int round = 0; round < 180; round++, run++)
        done += pool_case(
            (fanin__pool_desc){.kind = (fanin__pool_kind)(round % 3),
                               .layout = bits() & 1 ? FANIN__LAYOUT_NXC : FANIN__LAYOUT_NCX,
                               .n = between(1, 3),
                               .c = between(1, 20),
                               .window = random_window((int)between(1, 3), true)});
    if (done * 10 < run * 8) fail_msg("only %d of %d ran", done, run);
}

/* ---- threads --------------------------------------------------------------------------- */

TEST(plans_follow_the_thread_count) {
    for (unsigned threads = 1; threads <= 3; threads++) {
        fanin_threads_set(threads);
        assert_int_equal(fanin_compute_backend().threads, threads);
        matmul_case((fanin__matmul_desc){.m = 100,
                                         .n = 130,
                                         .k = 90,
                                         .a_row = 90,
                                         .a_col = 1,
                                         .b_row = 130,
                                         .b_col = 1,
                                         .c_row = 130,
                                         .backend = FANIN__BACKEND_DNNL},
                    1);
        fanin__conv_desc d = {.pass = FANIN__PASS_BACKWARD_WEIGHTS,
                              .n = 4,
                              .c_in = 16,
                              .c_out = 16,
                              .groups = 1,
                              .window = {.spatial = 2,
                                         .in = {9, 9},
                                         .out = {9, 9},
                                         .kernel = {3, 3},
                                         .stride = {1, 1},
                                         .dilation = {1, 1},
                                         .pad_begin = {1, 1},
                                         .pad_end = {1, 1}}};
        conv_case(&d);
    }
    fanin_threads_set(0);
    fanin_compute_backend_info info = fanin_compute_backend();
    assert_true(strncmp(info.library, "oneDNN ", 7) == 0 && info.isa[0] && info.runtime[0]);
}

static void mark(void *arg, size_t begin, size_t end) {
    unsigned char *hit = arg;
    for (size_t i = begin; i < end; i++) hit[i]++;
}

TEST(openmp_schedules_parallel_for) {
    fanin_compute_use_openmp();
    unsigned char hit[1000] = {0};
    fanin_threads_set(3);
    fanin_parallel_for(1000, 7, mark, hit);
    for (int i = 0; i < 1000; i++) assert_int_equal(hit[i], 1);
    matmul_case((fanin__matmul_desc){.m = 20,
                                     .n = 400,
                                     .k = 300,
                                     .a_row = 300,
                                     .a_col = 1,
                                     .b_row = 400,
                                     .b_col = 1,
                                     .c_row = 400,
                                     .backend = FANIN__BACKEND_OWN},
                1);
    fanin_threads_set(0);
    fanin_parallel_set(NULL, NULL);
}
