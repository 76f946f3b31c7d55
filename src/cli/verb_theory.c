#include <fanin/activation.h>
#include <fanin/report.h>
#include <fanin/theory.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "phase.h"
#include "theory_kernel.h"

typedef struct request {
    double sigma_w2, sigma_b2, depth, dropout, residual, time;
    uint64_t samples;
    bool critical, curve, dynamics;
    const char *phase, *norm, *spectrum, *kernel, *data, *out, *predict;
    fanin_meanfield_settings set;
    fanin_activation *act;
    fanin_err err;
    json_t *object; /* with --json */
} request;

static const char *phase_name(fanin_phase phase) {
    return phase == FANIN_PHASE_CRITICAL ? "critical" : phase < 0 ? "ordered" : "chaotic";
}

/* ---- the fixed point ------------------------------------------------------------------- */

/* The sigmas asked for: given, or on the critical line; there the point's own variance is where layers
 * start, or a fixed point that is left as soon as q is a little larger would not be seen. */
static fanin_status place(request *r) {
    double q = NAN;
    bool has_w2 = !isnan(r->sigma_w2), has_b2 = !isnan(r->sigma_b2);
    r->set.sigma_w2 = has_w2 ? r->sigma_w2 : 1;
    r->set.sigma_b2 = has_b2 ? r->sigma_b2 : 0;
    bool critical = r->critical || (!has_w2 && !has_b2 && r->set.norm != FANIN_NORM_BATCH);
    if (!critical) return FANIN_OK;
    fanin_status status;
    if (!isnan(r->depth) && !has_w2 && !has_b2) {
        q = 1 / r->depth;
        status = fanin_critical_at_q(r->act, q, &r->set.sigma_w2, &r->set.sigma_b2, &r->err);
    } else if (has_w2 && !has_b2) {
        status = fanin_critical_sigma_b2(r->act, r->sigma_w2, &r->set.sigma_b2, &q, &r->err);
    } else {
        status = fanin_critical_sigma_w2(r->act, r->set.sigma_b2, &r->set.sigma_w2, &q, &r->err);
    }
    bool plain = r->set.norm == FANIN_NORM_NONE && r->residual == 0 && r->dropout == 0;
    if (status == FANIN_OK && plain) r->set.q_start = fmax(q, 1e-13);
    return status;
}

/* On the critical line, is its q one that layers leave? */
static bool unstable(const request *r, const fanin_meanfield *m) {
    double d = 1e-6;
    return r->set.q_start > 0 && m->phase == FANIN_PHASE_CRITICAL && m->chi_q > 1 + d;
}

static json_t *points(const fanin_fixed_point *p, int count) {
    json_t *list = json_array();
    for (int i = 0; i < count; i++) {
        json_t *o = json_object();
        json_object_set_new(o, "at", cli_number(p[i].at));
        json_object_set_new(o, "slope", cli_number(p[i].slope));
        json_object_set_new(o, "stable", json_boolean(fabs(p[i].slope) < 1));
        json_array_append_new(list, o);
    }
    return list;
}

static void put(json_t *o, const char *key, double value) {
    json_object_set_new(o, key, cli_number(value));
}

static void fill(request *r, const fanin_meanfield *m) {
    json_t *o = r->object;
    json_object_set_new(o, "activation", cli_text(fanin_activation_name(r->act)));
    put(o, "sigma_w2", r->set.sigma_w2);
    put(o, "sigma_b2", r->set.sigma_b2);
    put(o, "q", m->q);
    put(o, "c", m->c);
    put(o, "chi1", m->chi1);
    put(o, "chi_c", m->chi_c);
    put(o, "xi_q", m->xi_q);
    put(o, "xi_c", m->xi_c);
    json_object_set_new(o, "phase", cli_text(phase_name(m->phase)));
    put(o, "xi_gradient", m->xi_gradient);
    put(o, "chi_q", m->chi_q);
    put(o, "curvature", m->curvature);
    put(o, "trainable_depth", 6 * m->xi_c);
    json_object_set_new(o, "q_fixed_points", points(m->q_points, m->q_count));
    json_object_set_new(o, "c_fixed_points", points(m->c_points, m->c_count));
}

static void line(const char *name, double value, const char *what) {
    if (isfinite(value))
        printf("%-16s %-16.10g %s\n", name, value, what);
    else
        printf("%-16s %-16s %s\n", name, isnan(value) ? "-" : "infinite", what);
}

static void print(const request *r, const fanin_meanfield *m) {
    printf("%s, sigma_w2 = %.10g, sigma_b2 = %.10g: %s\n\n", fanin_activation_name(r->act),
           r->set.sigma_w2, r->set.sigma_b2, phase_name(m->phase));
    line("q", m->q, "variance that pre-activations settle at");
    line("c", m->c, "correlation that two inputs settle at");
    line("chi1", m->chi1, "growth of squared gradients a layer");
    line("chi_c", m->chi_c, "slope of the correlation map");
    line("xi_q", m->xi_q, "layers for q to settle by a factor e");
    line("xi_c", m->xi_c, "layers for c to settle by a factor e");
    line("6 xi_c", 6 * m->xi_c, "depth that still trains (Schoenholz 2017)");
    line("xi_gradient", m->xi_gradient, "layers for gradients to fall (grow if negative) by e");
    if (unstable(r, m))
        printf("\nThis fixed point is unstable: layers leave it unless inputs have just this "
               "variance.\n");
    for (int i = 0; i < m->q_count && m->q_count > 1; i++)
        printf("%-16s %-16.10g %s\n", i ? "" : "fixed points q", m->q_points[i].at,
               fabs(m->q_points[i].slope) < 1 ? "stable" : "unstable");
}

/* ---- tables ---------------------------------------------------------------------------- */

static fanin_status curve(request *r) {
    size_t layers = isnan(r->depth) ? 20 : (size_t)r->depth;
    double *q = calloc(layers + 1, sizeof *q), *c = calloc(layers + 1, sizeof *c);
    fanin_status status = FANIN_NOMEM;
    if (q && c) status = fanin_meanfield_trajectory(r->act, &r->set, 1, 0.5, layers, q, c, &r->err);
    json_t *list = json_array();
    if (status == FANIN_OK && !r->object) printf("\nlayer  q               c (from 1, 0.5)\n");
    for (size_t l = 0; l <= layers && status == FANIN_OK; l++) {
        if (!r->object) {
            printf("%5zu  %-14.8g  %.8g\n", l, q[l], c[l]);
            continue;
        }
        json_t *o = json_object();
        json_object_set_new(o, "layer", json_integer((json_int_t)l));
        put(o, "q", q[l]);
        put(o, "c", c[l]);
        json_array_append_new(list, o);
    }
    free(q);
    free(c);
    if (r->object) json_object_set(r->object, "curve", list);
    json_decref(list);
    return status;
}

enum { SPECTRUM_POINTS = 60 };

static fanin_status spectrum(request *r, const fanin_meanfield *m) {
    bool orthogonal = strcmp(r->spectrum, "orthogonal") == 0;
    double depth = isnan(r->depth) ? 1 : r->depth, q = isfinite(m->q) ? fmax(m->q, 1e-12) : 1;
    double lambda[SPECTRUM_POINTS], density[SPECTRUM_POINTS], atoms[2];
    fanin_jacobian j;
    fanin_status status =
        fanin_jacobian_moments(r->act, q, r->set.sigma_w2, depth, orthogonal, &j, &r->err);
    if (status != FANIN_OK) return status;
    double high = fmax(j.mean * 1.5, j.mean + 4 * sqrt(j.variance));
    for (int i = 0; i < SPECTRUM_POINTS; i++)
        lambda[i] = high * pow(1e-4, 1 - (i + 1.0) / SPECTRUM_POINTS);
    status = fanin_jacobian_density(r->act, q, r->set.sigma_w2, depth, orthogonal, NULL, lambda,
                                    SPECTRUM_POINTS, density, atoms, &r->err);
    if (status != FANIN_OK) return status;
    if (!r->object) {
        printf("\nsquared singular values of the Jacobian, %g layers, %s weights\n", depth,
               r->spectrum);
        line("mean", j.mean, "");
        line("variance", j.variance, "");
        line("mass at 0", atoms[0], "");
        if (atoms[1] > 0) line("mass at the top", atoms[1], "");
        for (int i = 0; i < SPECTRUM_POINTS; i += 3)
            printf("%-14.6g %.6g\n", lambda[i], density[i]);
        return FANIN_OK;
    }
    json_t *o = json_object(), *x = json_array(), *y = json_array();
    json_object_set_new(o, "weights", cli_text(r->spectrum));
    put(o, "depth", depth);
    put(o, "mean", j.mean);
    put(o, "variance", j.variance);
    put(o, "mass_at_0", atoms[0]);
    put(o, "mass_at_top", atoms[1]);
    for (int i = 0; i < SPECTRUM_POINTS; i++) {
        json_array_append_new(x, cli_number(lambda[i]));
        json_array_append_new(y, cli_number(density[i]));
    }
    json_object_set_new(o, "lambda", x);
    json_object_set_new(o, "density", y);
    json_object_set_new(r->object, "jacobian", o);
    return FANIN_OK;
}

/* Deep linear nets: time until a mode of strength s is learnt to 99 %, from 0.001. */
static fanin_status dynamics(request *r) {
    static const double strengths[] = {1, 2, 4, 8};
    unsigned layers = isnan(r->depth) || r->depth < 3 ? 3 : (unsigned)r->depth;
    json_t *list = json_array();
    fanin_status status = FANIN_OK;
    if (!r->object)
        printf("\ndeep linear net of %u layers, tau = 1, modes from 0.001 to 0.99 s\n", layers);
    for (int i = 0; i < 4 && status == FANIN_OK; i++) {
        double t, s = strengths[i];
        status = fanin_saxe_time(layers, s, 1, 1e-3, 0.99 * s, &t, &r->err);
        if (status != FANIN_OK) break;
        if (!r->object) printf("s = %-4g t = %.6g\n", s, t);
        json_t *o = json_object();
        put(o, "strength", s);
        put(o, "time", t);
        json_array_append_new(list, o);
    }
    if (r->object) json_object_set(r->object, "dynamics", list);
    json_decref(list);
    return status;
}

/* ---- the phase diagram ----------------------------------------------------------------- */

static fanin_status write_file(const char *path, const char *text, fanin_err *err) {
    FILE *f = fopen(path, "wb");
    bool good = f && fputs(text, f) >= 0;
    if (f) good = fclose(f) == 0 && good;
    if (good) return FANIN_OK;
    if (f) remove(path);
    return fanin_err_set(err, FANIN_IO, "%s: cannot be written", path);
}

static fanin_status phase(request *r, const fanin_meanfield *m) {
    char *svg;
    fanin_status status = cli_phase_svg(r->act, r->set.sigma_w2, r->set.sigma_b2, 6 * m->xi_c, 241,
                                        161, &svg, &r->err);
    if (status == FANIN_OK) status = write_file(r->phase, svg, &r->err);
    fanin_free(svg);
    return status;
}

/* ---- kernel matrices ------------------------------------------------------------------- */

static double field(const json_t *o, const char *key) {
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static fanin_status kernel(request *r) {
    theory_kernel k = {.act = r->act,
                       .set = {.sigma_w2 = r->set.sigma_w2,
                               .sigma_b2 = r->set.sigma_b2,
                               .depth = isnan(r->depth) ? 3 : (unsigned)r->depth,
                               .ntk = strcmp(r->kernel, "ntk") == 0},
                       .data = r->data,
                       .matrix = r->out,
                       .predict = r->predict,
                       .samples = (size_t)r->samples,
                       .time = isnan(r->time) ? INFINITY : r->time};
    json_t *o = NULL;
    fanin_status status = theory_kernel_run(&k, &o, &r->err);
    if (status != FANIN_OK) return status;
    if (r->object) {
        json_object_set_new(r->object, "kernel", o);
        return FANIN_OK;
    }
    printf("\n%s kernel of %g inputs, %u hidden layers: %s\n", r->kernel, field(o, "samples"),
           k.set.depth, r->out);
    if (r->predict) {
        printf("%s on %g test inputs: %s\n", isinf(k.time) ? "kernel regression" : "gradient flow",
               field(o, "test_samples"), r->predict);
        line("train mse", field(o, "train_mse"), "mean square over outputs");
        line("test mse", field(o, "test_mse"), "");
        line("train accuracy", field(o, "train_accuracy"), "");
        line("test accuracy", field(o, "test_accuracy"), "");
    }
    json_decref(o);
    return FANIN_OK;
}

/* ---- the verb -------------------------------------------------------------------------- */

static bool one_of(const char *text, const char *a, const char *b, const char *c) {
    return !text || strcmp(text, a) == 0 || strcmp(text, b) == 0 || (c && strcmp(text, c) == 0);
}

/* Usage mistakes; 0 if there are none. */
static int settle(cli *c, request *r) {
    if (!one_of(r->norm, "none", "batch", "layer"))
        return cli_usage(c, "--norm %s: none, batch or layer", r->norm);
    if (!one_of(r->spectrum, "gaussian", "orthogonal", NULL))
        return cli_usage(c, "--spectrum %s: gaussian or orthogonal", r->spectrum);
    if (!one_of(r->kernel, "nngp", "ntk", NULL))
        return cli_usage(c, "--kernel %s: nngp or ntk", r->kernel);
    if (r->kernel && (!r->data || !r->out))
        return cli_usage(c, "--kernel needs --data D and -o K.npy");
    if ((r->predict || !isnan(r->time)) && !r->kernel)
        return cli_usage(c, "--predict and --time go with --kernel");
    if (!isnan(r->time) && (!r->predict || !(r->time >= 0)))
        return cli_usage(c, "--time %g: from 0 on, with --predict", r->time);
    if (r->samples < 1 || r->samples > 32000)
        return cli_usage(c, "--samples %llu: 1 to 32000", (unsigned long long)r->samples);
    if (!isnan(r->depth) && !(r->depth >= 1 && r->depth <= 10000 && r->depth == floor(r->depth)))
        return cli_usage(c, "--depth %g: a whole number from 1 to 10000", r->depth);
    if (r->norm && strcmp(r->norm, "batch") == 0) r->set.norm = FANIN_NORM_BATCH;
    if (r->norm && strcmp(r->norm, "layer") == 0) r->set.norm = FANIN_NORM_LAYER;
    r->set.keep = 1 - r->dropout;
    r->set.residual = r->residual;
    if (!(r->set.keep > 0 && r->set.keep <= 1))
        return cli_usage(c, "--dropout %g: a probability from 0 to below 1", r->dropout);
    return 0;
}

static fanin_status work(cli *c, request *r) {
    fanin_meanfield m;
    fanin_status status = place(r);
    if (status == FANIN_OK) status = fanin_meanfield_solve(r->act, &r->set, &m, &r->err);
    if (status != FANIN_OK) return status;
    if (r->object)
        fill(r, &m);
    else
        print(r, &m);
    if (r->curve) status = curve(r);
    if (status == FANIN_OK && r->spectrum) status = spectrum(r, &m);
    if (status == FANIN_OK && r->dynamics) status = dynamics(r);
    if (status == FANIN_OK && r->kernel) status = kernel(r);
    if (status == FANIN_OK && r->phase) {
        status = phase(r, &m);
        if (status == FANIN_OK) cli_note(c, "phase diagram written to %s", r->phase);
    }
    return status;
}

int verb_theory(cli *c) {
    request r = {.sigma_w2 = NAN, .sigma_b2 = NAN, .depth = NAN, .time = NAN, .samples = 4096};
    const cli_option options[] = {
        {"sigma-w2", 0, CLI_NUMBER, &r.sigma_w2, "X", "weight variance times fan_in"},
        {"sigma-b2", 0, CLI_NUMBER, &r.sigma_b2, "Y", "bias variance"},
        {"critical", 0, CLI_FLAG, &r.critical, NULL,
         "solve for the edge of chaos (default without sigmas)"},
        {"depth", 0, CLI_NUMBER, &r.depth, "L",
         "layers; without sigmas the critical point q* = 1/L"},
        {"phase", 0, CLI_TEXT, &r.phase, "OUT.svg", "draw the phase diagram"},
        {"curve", 0, CLI_FLAG, &r.curve, NULL, "variance and correlation layer by layer"},
        {"dropout", 0, CLI_NUMBER, &r.dropout, "P", "probability that a unit is dropped"},
        {"residual", 0, CLI_NUMBER, &r.residual, "A", "branch weight of residual blocks"},
        {"norm", 0, CLI_TEXT, &r.norm, "none|batch|layer", "normalisation"},
        {"spectrum", 0, CLI_TEXT, &r.spectrum, "gaussian|orthogonal",
         "squared singular values of the Jacobian"},
        {"kernel", 0, CLI_TEXT, &r.kernel, "nngp|ntk", "kernel matrix of the training inputs"},
        {"data", 0, CLI_TEXT, &r.data, "D", "data set of --kernel"},
        {"output", 'o', CLI_TEXT, &r.out, "K.npy", "where --kernel goes"},
        {"samples", 0, CLI_COUNT, &r.samples, "N", "of each split at most (default 4096)"},
        {"predict", 0, CLI_TEXT, &r.predict, "F.npy",
         "what the trained wide net says on the test inputs"},
        {"time", 0, CLI_NUMBER, &r.time, "T", "of gradient flow at rate 1 (default: to the end)"},
        {"dynamics", 0, CLI_FLAG, &r.dynamics, NULL, "learning times of a deep linear net"},
        CLI_END};
    if (!cli_parse(c, options, 1, 1)) return c->exit_code;
    int code = settle(c, &r);
    if (code) return code;
    fanin_status status = fanin_activation_parse(c->args[0], &r.act, &r.err);
    if (status != FANIN_OK) return cli_fail(c, status, &r.err);
    if (c->json) r.object = json_object();
    status = work(c, &r);
    if (status != FANIN_OK)
        code = r.kernel ? cli_fail_input(c, status, &r.err) : cli_fail(c, status, &r.err);
    else if (c->json)
        code = cli_json(c, json_incref(r.object));
    json_decref(r.object);
    fanin_activation_destroy(r.act);
    return code;
}
