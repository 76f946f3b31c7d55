/* fanin check: the real network forward and backward, layer by layer, and a verdict. */
#include <fanin/format.h>
#include <fanin/probe.h>
#include <fanin/report.h>
#include <fanin/theory.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "input.h"
#include "phase.h"
#include "repair.h"

typedef struct request {
    cli_init init;
    cli_list inputs, thresholds;
    const char *weights, *data, *loss, *html, *tensorboard, *fail_on;
    double lr;
    uint64_t batch, seeds;
    bool spectrum, hessian, ntk;
} request;

static json_t *layer_json(const fanin_layer_signal *l) {
    json_t *o = json_object();
    json_object_set_new(o, "name", json_string(l->name));
    json_object_set_new(o, "op", json_string(l->op));
    json_object_set_new(o, "shape", cli_shape(l->dims, l->rank));
    const struct {
        const char *name;
        double value;
    } numbers[] = {
        {"mean", l->mean},
        {"std", l->std},
        {"second_moment", l->second_moment},
        {"predicted_second_moment", l->predicted_second_moment},
        {"target_second_moment", l->target_second_moment},
        {"second_moment_spread", l->second_moment_spread},
        {"saturated", l->saturated},
        {"dead", l->dead},
        {"sample_correlation", l->sample_correlation},
        {"predicted_correlation", l->predicted_correlation},
        {"grad_norm", l->grad_norm},
        {"predicted_grad_norm", l->predicted_grad_norm},
        {"grad_norm_spread", l->grad_norm_spread},
        {"weight_std", l->weight_std},
        {"update_ratio", l->update_ratio},
        {"jacobian_mean_sv", l->jacobian_mean_sv},
        {"jacobian_sv_error", l->jacobian_sv_error},
        {"hessian_max", l->hessian_max},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        json_object_set_new(o, numbers[i].name, cli_number(numbers[i].value));
    return o;
}

typedef struct named_number {
    const char *name;
    double value;
} named_number;

static json_t *numbers_json(const named_number *numbers, size_t count) {
    json_t *o = json_object();
    for (size_t i = 0; i < count; i++)
        json_object_set_new(o, numbers[i].name, cli_number(numbers[i].value));
    return o;
}

static json_t *jacobian_json(const fanin_jacobian_spectrum *j) {
    const named_number numbers[] = {
        {"mean", j->mean}, {"max", j->max}, {"min", j->min}, {"mean_square", j->mean_square}};
    json_t *o = numbers_json(numbers, sizeof numbers / sizeof numbers[0]), *values = json_array();
    if (j->samples) {
        json_object_set_new(o, "samples", json_integer(j->samples));
        json_object_set_new(o, "exact", json_boolean(j->exact));
    }
    for (size_t i = 0; i < j->count; i++) json_array_append_new(values, cli_number(j->values[i]));
    json_object_set_new(o, "singular_values", values);
    json_object_set_new(o, "embedded", json_boolean(j->embedded));
    json_object_set_new(o, "absent", cli_text(j->absent));
    return o;
}

static json_t *hessian_json(const fanin_hessian *h) {
    const named_number numbers[] = {{"max", h->max},
                                    {"min", h->min},
                                    {"online", h->online},
                                    {"trace", h->trace},
                                    {"trace_error", h->trace_error},
                                    {"lr_max", h->lr_max}};
    json_t *o = numbers_json(numbers, sizeof numbers / sizeof numbers[0]);
    json_object_set_new(o, "online_presents",
                        h->absent ? json_null()
                                  : json_string(h->online_whole ? "batch" : "sample"));
    json_object_set_new(o, "absent", cli_text(h->absent));
    return o;
}

static json_t *kernel_json(const fanin_tangent_kernel *k) {
    const named_number numbers[] = {
        {"samples", k->samples}, {"trace", k->trace},         {"max", k->max},
        {"min", k->min},         {"condition", k->condition}, {"alignment", k->alignment}};
    return numbers_json(numbers, sizeof numbers / sizeof numbers[0]);
}

static json_t *stack_json(const fanin_plain_stack *t) {
    const named_number numbers[] = {
        {"sigma_w2", t->sigma_w2}, {"sigma_b2", t->sigma_b2}, {"depth", t->depth}, {"q", t->q}};
    json_t *o = numbers_json(numbers, sizeof numbers / sizeof numbers[0]);
    json_object_set_new(o, "activation", cli_text(t->activation));
    json_object_set_new(o, "orthogonal", json_boolean(t->orthogonal));
    return o;
}

static json_t *signal_json(const fanin_graph *g, const char *scheme, const fanin_signal *s,
                           const char *repair) {
    json_t *layers = json_array(), *summary = json_object(), *o = json_object();
    for (int i = 0; i < s->layer_count; i++)
        json_array_append_new(layers, layer_json(&s->layers[i]));
    json_object_set_new(summary, "forward_log10_per_layer", cli_number(s->forward_slope));
    json_object_set_new(summary, "backward_log10_per_layer", cli_number(s->backward_slope));
    json_object_set_new(summary, "loss", cli_number(s->loss));
    json_object_set_new(summary, "expected_loss", cli_number(s->expected_loss));
    json_object_set_new(summary, "seeds", json_integer(s->seeds));
    json_object_set_new(summary, "jacobian", jacobian_json(&s->jacobian));
    if (s->hessian.probes) json_object_set_new(summary, "hessian", hessian_json(&s->hessian));
    if (s->kernel.samples) json_object_set_new(summary, "ntk", kernel_json(&s->kernel));
    if (s->stack.plain) json_object_set_new(summary, "stack", stack_json(&s->stack));
    json_object_set_new(summary, "first_bad_layer",
                        cli_text(s->first_bad >= 0 ? s->layers[s->first_bad].name : NULL));
    json_object_set_new(summary, "advice", json_string(s->advice));
    json_object_set_new(summary, "repair", cli_text(repair));
    json_object_set_new(o, "model", json_string(g->name));
    json_object_set_new(o, "scheme", cli_text(scheme));
    json_object_set_new(o, "verdict", json_string(fanin_verdict_name(s->verdict)));
    json_object_set_new(o, "layers", layers);
    json_object_set_new(o, "summary", summary);
    return o;
}

/* Least and greatest log10 of a figure over the layers, for bars; at least two decades. */
static void decades(const fanin_signal *s, bool backward, double *low, double *high) {
    *low = INFINITY;
    *high = -INFINITY;
    for (int i = 0; i < s->layer_count; i++) {
        double v = log10(backward ? s->layers[i].grad_norm : s->layers[i].second_moment);
        if (!isfinite(v)) continue;
        *low = fmin(*low, v);
        *high = fmax(*high, v);
    }
    if (!(*high - *low > 2)) *low = (*low + *high) / 2 - 1, *high = *low + 2;
}

static const char *percent(double share, char buf[16]) {
    if (isnan(share))
        buf[0] = '\0';
    else
        snprintf(buf, 16, "%.0f%%", 100 * share);
    return buf;
}

/* Which columns have anything to show, and room: a narrow terminal has names before bars and the gradient
 * predicted. */
typedef struct shown {
    bool saturated, dead, predicted, bars;
} shown;

enum { BARS_WIDTH = 72 };

static shown columns_of(const fanin_signal *s) {
    shown c = {.bars = cli_width() >= BARS_WIDTH};
    for (int i = 0; i < s->layer_count; i++) {
        const fanin_layer_signal *l = &s->layers[i];
        c.saturated = c.saturated || !isnan(l->saturated);
        c.dead = c.dead || !isnan(l->dead);
        c.predicted = c.predicted || !isnan(l->predicted_second_moment);
    }
    return c;
}

static const char *three_digits(double v, char buf[16]) {
    if (isnan(v))
        buf[0] = '\0';
    else
        snprintf(buf, 16, "%.3g", v);
    return buf;
}

static const char *three_places(double v, char buf[16]) {
    if (isnan(v))
        buf[0] = '\0';
    else
        snprintf(buf, 16, "%.3f", fabs(v) < 5e-4 ? 0.0 : v);
    return buf;
}

static const char *short_name(const char *name, char buf[128]) {
    snprintf(buf, 128, "%.*s", (int)fanin_layer_name_length(name), name);
    return buf;
}

/* What is predicted stands beside what was measured; then there is no room for operator and mean. */
static fanin_status layer_row(cli *c, fanin_table *t, const fanin_signal *s, shown columns, int i,
                              const double decade[4]) {
    const fanin_layer_signal *l = &s->layers[i];
    char bar[32], gradient_bar[32], text[8][16], name[128];
    const char *cells[12];
    int n = 0;
    cells[n++] = short_name(l->name, name);
    if (!columns.predicted) {
        cells[n++] = l->op;
        cells[n++] = three_places(l->mean, text[0]);
        cells[n++] = three_digits(l->std, text[1]);
    } else {
        cells[n++] = three_digits(sqrt(l->second_moment), text[0]);
        cells[n++] = three_digits(sqrt(l->predicted_second_moment), text[1]);
    }
    if (columns.bars)
        cells[n++] = fanin_bar(log10(l->second_moment), decade[0], decade[1], 6, bar, sizeof bar);
    if (columns.saturated) cells[n++] = percent(l->saturated, text[2]);
    if (columns.dead) cells[n++] = percent(l->dead, text[3]);
    cells[n++] = three_places(l->sample_correlation, text[4]);
    cells[n++] = three_digits(l->grad_norm, text[5]);
    if (columns.predicted && columns.bars)
        cells[n++] = three_digits(l->predicted_grad_norm, text[6]);
    if (columns.bars)
        cells[n] = fanin_bar(log10(l->grad_norm), decade[2], decade[3], 6, gradient_bar,
                             sizeof gradient_bar);
    return fanin_table_row(t, i == s->first_bad ? cli_style(c, "\033[31m") : NULL, cells);
}

static int print_table(cli *c, const fanin_signal *s) {
    fanin_table *t;
    double decade[4];
    const shown columns = columns_of(s);
    char heads[128];
    snprintf(heads, sizeof heads, "<~layer|%s%s%s%s|>corr|>gradient%s%s",
             columns.predicted ? ">signal|>pred." : "<op|>mean|>std",
             !columns.bars       ? ""
             : columns.predicted ? "|<"
                                 : "|<signal",
             columns.saturated ? "|>sat" : "", columns.dead ? "|>dead" : "",
             columns.predicted && columns.bars ? "|>pred." : "", columns.bars ? "|<" : "");
    if (fanin_table_create(heads, &t) != FANIN_OK) return cli_fail(c, FANIN_NOMEM, NULL);
    decades(s, false, &decade[0], &decade[1]);
    decades(s, true, &decade[2], &decade[3]);
    fanin_status status = FANIN_OK;
    for (int i = 0; i < s->layer_count && status == FANIN_OK; i++)
        status = layer_row(c, t, s, columns, i, decade);
    char *text = NULL;
    if (status == FANIN_OK) status = fanin_table_render(t, cli_width(), &text);
    fanin_table_destroy(t);
    if (status != FANIN_OK) return cli_fail(c, status, NULL);
    fputs(text, stdout);
    fanin_free(text);
    return 0;
}

static void print_hessian(const fanin_hessian *h) {
    char text[160];
    snprintf(text, sizeof text,
             "Hessian: eigenvalues %.3g to %.3g (on-line %.3g%s), trace %.3g +- %.2g", h->min,
             h->max, h->online, h->online_whole ? " from whole batches" : "", h->trace,
             h->trace_error);
    cli_wrapped(text, 0);
    if (h->lr_max > 0)
        printf("gradient descent is stable below rate %.3g\n", h->lr_max);
    else
        puts("no direction curves upwards: no rate is the largest");
}

/* What was asked for beyond one pass, a line each. */
static void print_more(const fanin_signal *s) {
    const fanin_jacobian_spectrum *j = &s->jacobian;
    const fanin_hessian *h = &s->hessian;
    const fanin_tangent_kernel *k = &s->kernel;
    char text[200] = "";
    if (j->samples)
        snprintf(text, sizeof text,
                 "Jacobian, %s to output: singular values %.3g mean, %.3g to %.3g",
                 j->embedded ? "embedding" : "input", j->mean, j->min, j->max);
    else if (j->absent)
        snprintf(text, sizeof text, "Jacobian, input to output: none, %s", j->absent);
    if (text[0]) cli_wrapped(text, 0);
    if (h->absent)
        printf("Hessian: none, %s\n", h->absent);
    else if (h->probes)
        print_hessian(h);
    if (k->samples) {
        snprintf(text, sizeof text,
                 "tangent kernel of %d samples: trace %.3g, condition %.3g, alignment %.2f",
                 k->samples, k->trace, k->condition, k->alignment);
        cli_wrapped(text, 0);
    }
}

/* A command that ends the advice stands on lines of its own, to be copied. */
static void print_advice(const fanin_signal *s, const char *command, int used) {
    size_t n = strlen(s->advice), tail = command ? strlen(command) : 0;
    char text[sizeof s->advice];
    bool ends = command && n > tail && !strcmp(s->advice + n - tail, command);
    snprintf(text, sizeof text, "%.*s", (int)(ends ? n - tail - 1 : n), s->advice);
    cli_wrapped(text, used);
    if (command) cli_print_command(command);
}

static int print_signal(cli *c, const fanin_signal *s, const char *repair) {
    int code = print_table(c, s);
    if (code) return code;
    bool healthy = s->verdict == FANIN_VERDICT_HEALTHY;
    printf("\nloss %.4g (%.4g expected)%sdecades per layer: forward %+.3f, backward %+.3f\n",
           s->loss, s->expected_loss, cli_width() < BARS_WIDTH ? "\n" : "   ", s->forward_slope,
           s->backward_slope);
    print_more(s);
    const char *word = fanin_verdict_name(s->verdict);
    printf("%s%s%s:", cli_style(c, healthy ? "\033[32;1m" : "\033[31;1m"), word,
           cli_style(c, "\033[0m"));
    print_advice(s, repair, (int)strlen(word) + 1);
    return 0;
}

static int set_thresholds(cli *c, const cli_list *list, fanin_thresholds *t) {
    *t = fanin_thresholds_default();
    for (int i = 0; i < list->count; i++) {
        char name[64];
        const char *equals = strchr(list->items[i], '=');
        char *end;
        if (!equals) return cli_usage(c, "--threshold %s: expected NAME=NUMBER", list->items[i]);
        snprintf(name, sizeof name, "%.*s", (int)(equals - list->items[i]), list->items[i]);
        double value = strtod(equals + 1, &end);
        if (end == equals + 1 || *end || !(value >= 0))
            return cli_usage(c, "--threshold %s: expected a number of 0 or more behind '='",
                             list->items[i]);
        if (!fanin_threshold_set(t, name, value))
            return cli_usage(c,
                             "--threshold %s: expected slope, range, layer, saturated, dead, "
                             "correlation or loss",
                             name);
    }
    return 0;
}

/* The page has a phase diagram where the network has a place in it: theory's depth beside its own. */
static fanin_status write_page(const char *model, const char *scheme, const fanin_signal *s,
                               const char *path, fanin_err *err) {
    fanin_activation *act = NULL;
    fanin_meanfield m;
    char *svg = NULL;
    fanin_status status = FANIN_OK;
    if (s->stack.plain) {
        const fanin_meanfield_settings set = {.sigma_w2 = s->stack.sigma_w2,
                                              .sigma_b2 = s->stack.sigma_b2};
        status = fanin_activation_parse(s->stack.activation, &act, err);
        double depth = NAN;
        if (status == FANIN_OK && fanin_meanfield_solve(act, &set, &m, NULL) == FANIN_OK)
            depth = 6 * m.xi_c;
        if (status == FANIN_OK)
            status = cli_phase_svg(act, set.sigma_w2, set.sigma_b2, depth, 121, 81, &svg, err);
        if (status != FANIN_NOMEM) status = FANIN_OK; /* an activation without a diagram has none */
    }
    if (status == FANIN_OK) status = fanin_signal_page(model, scheme, s, svg, path, err);
    fanin_activation_destroy(act);
    fanin_free(svg);
    return status;
}

/* Step 0 and no clock: a second check of the same network replaces the file of the first. */
static fanin_status write_events(const char *dir, const fanin_signal *s, fanin_err *err) {
    fanin_events *e;
    fanin_status status = fanin_events_create(dir, 0, &e, err);
    if (status != FANIN_OK) return status;
    fanin_events_signal(e, s);
    status = fanin_events_flush(e, err);
    fanin_events_destroy(e);
    return status;
}

static int measure(cli *c, const request *r, const fanin_graph *g, const fanin_signal_options *o) {
    fanin_signal *s;
    fanin_err err = {0};
    fanin_init_options init = cli_init_options(&r->init);
    bool draw = r->init.scheme || r->init.rules.count || (!r->weights && cli_lacks_weights(g));
    if (draw && !init.scheme && !r->init.rules.count)
        cli_note(c, "no weights in the model: scheme auto");
    fanin_status status = fanin_signal_measure(g, draw ? &init : NULL, o, &s, &err);
    cli_progress_end(c);
    if (status != FANIN_OK) return cli_fail(c, status, &err);
    char *repair = NULL;
    int code = 0;
    if (s->verdict != FANIN_VERDICT_HEALTHY) {
        const cli_sick sick = {g, draw ? &init : NULL, o, r->init.seed};
        code = cli_repair(c, &sick, s, &repair);
    }
    if (s->unpredicted[0]) cli_note(c, "%s", s->unpredicted);
    if (!code && r->html) {
        const char *scheme = draw ? (init.scheme ? init.scheme : "auto") : "weights of the file";
        status = write_page(g->name, scheme, s, r->html, &err);
        if (status != FANIN_OK) code = cli_fail(c, status, &err);
    }
    if (!code && r->tensorboard) {
        status = write_events(r->tensorboard, s, &err);
        if (status != FANIN_OK) code = cli_fail(c, status, &err);
    }
    if (!code)
        code = c->json
                   ? cli_json(c, signal_json(g, draw ? (init.scheme ? init.scheme : "auto") : NULL,
                                             s, repair))
                   : print_signal(c, s, repair);
    bool strict = !r->fail_on || strcmp(r->fail_on, "never") != 0;
    if (!code && strict && s->verdict != FANIN_VERDICT_HEALTHY) code = 1;
    free(repair);
    fanin_signal_destroy(s);
    return code;
}

int verb_check(cli *c) {
    request r = {.lr = NAN, .batch = UINT64_MAX, .seeds = UINT64_MAX}; /* not given */
    const cli_option options[] = {
        CLI_INIT_OPTIONS(r.init),
        {"weights", 0, CLI_TEXT, &r.weights, "FILE", "these weights (.safetensors, .npz, .onnx)"},
        {"data", 0, CLI_TEXT, &r.data, "DATA", "samples of a data set; default N(0,1) inputs"},
        {"input", 0, CLI_LIST, &r.inputs, "[NAME=]X.npy", "an input from a file; repeatable"},
        {"batch", 0, CLI_COUNT, &r.batch, "N", "samples (default 32)"},
        {"seeds", 0, CLI_COUNT, &r.seeds, "K", "seeds to average over (default 1)"},
        {"loss", 0, CLI_TEXT, &r.loss, "NAME[:k=v]", "fanin list losses"},
        {"spectrum", 0, CLI_FLAG, &r.spectrum, NULL,
         "all singular values of the input-output Jacobian"},
        {"hessian", 0, CLI_FLAG, &r.hessian, NULL,
         "curvature of the loss, and the largest stable learning rate"},
        {"ntk", 0, CLI_FLAG, &r.ntk, NULL,
         "the tangent kernel: trace, condition, alignment with the targets"},
        {"lr", 0, CLI_NUMBER, &r.lr, "X", "learning rate, for the update ratio"},
        {"threshold", 0, CLI_LIST, &r.thresholds, "NAME=X",
         "slope, range, layer, saturated, dead ..."},
        {"html", 0, CLI_TEXT, &r.html, "OUT.html", "also one self-contained page"},
        {"tensorboard", 0, CLI_TEXT, &r.tensorboard, "DIR", "also an event file for TensorBoard"},
        {"fail-on", 0, CLI_TEXT, &r.fail_on, "unhealthy|never", "exit 1 when unhealthy (default)"},
        CLI_END,
    };
    if (!cli_parse(c, options, 1, 1)) return c->exit_code;
    if (r.fail_on && strcmp(r.fail_on, "never") != 0 && strcmp(r.fail_on, "unhealthy") != 0)
        return cli_usage(c, "--fail-on %s: expected unhealthy or never", r.fail_on);
    if (!isnan(r.lr) && !(r.lr > 0 && r.lr <= DBL_MAX))
        return cli_usage(c, "--lr %g: expected a finite rate above 0", r.lr);
    if (r.batch == 0 || r.seeds == 0)
        return cli_usage(c, "--seeds and --batch: expected 1 or more");
    if (r.batch == UINT64_MAX) r.batch = 0;
    if (r.seeds == UINT64_MAX) r.seeds = 0;
    if (r.seeds > 100000 || r.batch > 1000000) return cli_usage(c, "--seeds and --batch: too many");
    cli_inputs in = {0};
    fanin_signal_options o = {.batch = (int64_t)r.batch,
                              .seeds = (int)r.seeds,
                              .lr = isnan(r.lr) ? 0 : r.lr,
                              .loss = r.loss,
                              .spectrum = r.spectrum,
                              .hessian = r.hessian,
                              .kernel = r.ntk,
                              .progress = cli_progress(c)};
    int code = set_thresholds(c, &r.thresholds, &o.thresholds);
    if (!code)
        code = cli_open_inputs(c, c->args[0], r.weights, r.data, &r.inputs, r.init.seed, &in);
    if (!code) {
        o.data = in.data;
        o.weights = in.weights;
        o.inputs = in.arrays;
        if (!r.batch && in.arrays) o.batch = cli_input_rows(&in);
        code = measure(c, &r, in.graph, &o);
    }
    cli_close_inputs(&in);
    cli_list_fini(&r.inputs);
    cli_list_fini(&r.thresholds);
    cli_list_fini(&r.init.rules);
    return code;
}
