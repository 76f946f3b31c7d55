/* kernel.c - the empirical tangent kernel: the gradient of one sample's output is laid as a direction, and its
 * products with every sample's gradient are one derivative along it. Gradients of the next sample are taken in
 * the same pass. */
#include <math.h>
#include <string.h>

#include "compute/eigen.h"
#include "fanin/random.h"
#include "probe/second.h"

enum { SAMPLES_MAX = 64, OUTPUTS_EXACT = 10, COMBINATIONS = 8 };

/* Row k of the combinations of outputs that stand for their mean: units, or random signs. */
static void combination(const fanin__subject *s, int k, size_t outputs, float *u) {
    if (outputs <= OUTPUTS_EXACT) {
        memset(u, 0, outputs * sizeof *u);
        u[k] = 1;
        return;
    }
    const fanin_law signs = {.kind = FANIN_LAW_RADEMACHER, .a = 1};
    fanin_stream stream = fanin_stream_init(s->seed, "check/kernel");
    (void)fanin_random_fill(&stream, 2 * (uint32_t)k, &signs, 0, outputs, FANIN_F32, u);
}

static void lay_gradient(fanin_program *p) {
    for (int i = 0; i < fanin_program_weight_count(p); i++) {
        fanin_buffer t = fanin_program_direction(p, i), g = fanin_program_gradient(p, i);
        if (t.data && g.data) memcpy(t.data, g.data, t.count * sizeof(float));
    }
}

/* kernel[a][.] for all samples a of one combination, added. `first`: p never ran. */
static fanin_status add_products(fanin_program *p, bool first, const float *u, size_t outputs,
                                 size_t samples, double scale, double *kernel, fanin_err *err) {
    fanin_buffer cotangent = fanin_program_cotangent(p), tangent = fanin_program_tangent(p);
    for (size_t a = 0; a <= samples; a++) {
        float *seed = cotangent.data;
        const float *t = tangent.data;
        memset(seed, 0, cotangent.count * sizeof *seed);
        if (a < samples) memcpy(seed + a * outputs, u, outputs * sizeof *seed);
        if (fanin_interrupted())
            return fanin_err_set(err, FANIN_INTERRUPTED, "tangent kernel: stopped");
        FANIN_TRY(first && a == 0 ? fanin_program_run(p, err) : fanin_program_repeat(p, err));
        for (size_t b = 0; b < samples && a > 0; b++) {
            double sum = 0;
            for (size_t c = 0; c < outputs; c++) sum += (double)u[c] * (double)t[b * outputs + c];
            kernel[(a - 1) * samples + b] += scale * sum;
        }
        lay_gradient(p);
    }
    return FANIN_OK;
}

/* <t, t'> of real targets; the share of positions of equal class. */
static double target_product(fanin_buffer t, size_t each, size_t a, size_t b) {
    double sum = 0;
    for (size_t k = 0; k < each; k++) {
        if (t.dtype == FANIN_I64) {
            const int64_t *v = t.data;
            sum += v[a * each + k] == v[b * each + k];
        } else {
            const float *v = t.data;
            sum += (double)v[a * each + k] * (double)v[b * each + k];
        }
    }
    return sum / (double)each;
}

static void centre(double *k, size_t n) {
    double all = 0;
    double mean[SAMPLES_MAX] = {0};
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) mean[i] += k[i * n + j] / (double)n;
    for (size_t i = 0; i < n; i++) all += mean[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) k[i * n + j] += all - mean[i] - mean[j];
}

static double alignment(const double *kernel, fanin_buffer targets, size_t n, size_t batch,
                        double *work) {
    double *k = work, *t = work + n * n;
    size_t each = targets.count / batch;
    memcpy(k, kernel, n * n * sizeof *k);
    for (size_t a = 0; a < n; a++)
        for (size_t b = 0; b < n; b++) t[a * n + b] = target_product(targets, each, a, b);
    centre(k, n);
    centre(t, n);
    return fanin__inner(k, t, n * n) / sqrt(fanin__inner(k, k, n * n) * fanin__inner(t, t, n * n));
}

static fanin_status finish(const fanin__subject *s, size_t n, size_t batch,
                           fanin_tangent_kernel *out, fanin_err *err) {
    const fanin_program_options po = {.batch = s->options->batch, .loss = s->loss};
    fanin_program *p;
    double *work = fanin_calloc(2 * n * n + n, sizeof *work), *w = work + 2 * n * n;
    if (!work) return fanin_err_set(err, FANIN_NOMEM, "tangent kernel: no memory");
    fanin_status status = fanin_program_create(s->graph, &po, &p, err); /* for its targets */
    if (status == FANIN_OK) {
        status = fanin__fill_program(s, p, err);
        if (status == FANIN_OK)
            out->alignment = alignment(out->kernel, fanin_program_target(p), n, batch, work);
        fanin_program_destroy(p);
    }
    double trace = 0;
    memcpy(work, out->kernel, n * n * sizeof *work);
    for (size_t i = 0; i < n; i++) trace += work[i * n + i] / (double)n;
    out->trace = trace;
    out->max = out->min = out->condition = NAN;
    if (status == FANIN_OK && isfinite(trace)) {
        status = fanin__symmetric_eigen(n, work, w);
        if (status != FANIN_OK)
            fanin_err_set(err, status, "tangent kernel: %s", fanin_status_text(status));
    }
    if (status == FANIN_OK && isfinite(trace)) {
        out->max = w[0];
        out->min = w[n - 1];
        /* below the rounding of single precision there is no smallest eigenvalue to speak of */
        bool singular = !(out->min > 1e-6 * out->max);
        out->condition = singular ? INFINITY : out->max / out->min;
    }
    fanin_free(work);
    return status;
}

static fanin_status collect(const fanin__subject *s, fanin_program *p, size_t samples,
                            size_t outputs, double *kernel, fanin_err *err) {
    int count = outputs <= OUTPUTS_EXACT ? (int)outputs : COMBINATIONS;
    double scale =
        1 / ((double)outputs <= OUTPUTS_EXACT ? (double)outputs : (double)outputs * COMBINATIONS);
    float *u = fanin_calloc(outputs, sizeof *u);
    if (!u) return fanin_err_set(err, FANIN_NOMEM, "tangent kernel: no memory");
    fanin_status status = FANIN_OK;
    for (int k = 0; k < count && status == FANIN_OK; k++) {
        combination(s, k, outputs, u);
        status = add_products(p, k == 0, u, outputs, samples, scale, kernel, err);
        const fanin_progress *progress = &s->options->progress;
        if (progress->report) progress->report(progress->ctx, "tangent kernel", k + 1, count);
    }
    fanin_free(u);
    /* rounding apart it is symmetric; make it so */
    for (size_t a = 0; a < samples; a++)
        for (size_t b = 0; b < a; b++)
            kernel[a * samples + b] = kernel[b * samples + a] =
                (kernel[a * samples + b] + kernel[b * samples + a]) / 2;
    return status;
}

fanin_status fanin__measure_kernel(const fanin__subject *s, fanin_signal *signal, fanin_err *err) {
    const fanin_program_options po = {.batch = s->options->batch,
                                      .cotangent = true,
                                      .gradients = true,
                                      .weight_tangent = true,
                                      .repeats = true};
    fanin_tangent_kernel *out = &signal->kernel;
    fanin_program *p;
    FANIN_TRY(fanin_program_create(s->graph, &po, &p, err));
    fanin_buffer y = fanin_program_output(p, 0);
    size_t batch = y.rank > 0 && y.dims[0] > 0 ? (size_t)y.dims[0] : 1;
    size_t outputs = y.count / batch, samples = batch < SAMPLES_MAX ? batch : SAMPLES_MAX;
    fanin_status status = fanin__fill_program(s, p, err);
    if (status == FANIN_OK && !(out->kernel = fanin_calloc(samples * samples, sizeof(double))))
        status = fanin_err_set(err, FANIN_NOMEM, "tangent kernel: no memory");
    if (status == FANIN_OK) status = collect(s, p, samples, outputs, out->kernel, err);
    fanin_program_destroy(p);
    if (status != FANIN_OK) return status;
    out->samples = (int)samples;
    return finish(s, samples, batch, out, err);
}
