/* signal.c - runs the real graph and measures every weighted layer.
 *
 * A measurement is a sum over seeds: magnitudes are averaged as logarithms (geometric means), shares and
 * means as they are. Everything is read from the program's kept values after one pass. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "probe/figures.h"
#include "probe/predict.h"
#include "probe/second.h"
#include "probe/signal.h"

const char *fanin_verdict_name(fanin_verdict verdict) {
    switch (verdict) {
#define CASE(id, value, name) \
    case FANIN_VERDICT_##id: return name;
        FANIN_VERDICT_MAP(CASE)
#undef CASE
    }
    return "?";
}

/* ---- one pass ---------------------------------------------------------------------------------- */

typedef struct pass {
    const fanin_graph *graph;
    const fanin__layer *layers;
    const fanin_program *program;
    size_t batch;
    double lr;
    bool first_seed;
    fanin_signal *signal;
    fanin_status *status; /* by layer */
} pass;

static void measure_range(void *arg, size_t begin, size_t end) {
    const pass *s = arg;
    for (size_t i = begin; i < end; i++)
        s->status[i] = fanin__measure_layer(s->graph, &s->layers[i], s->program, s->batch, s->lr,
                                            s->first_seed, &s->signal->layers[i]);
}

static fanin_status measure_all(pass *s, fanin_err *err) {
    size_t n = (size_t)s->signal->layer_count;
    s->status = fanin_calloc(n + 1, sizeof *s->status);
    if (!s->status) return fanin_err_set(err, FANIN_NOMEM, "check: no memory");
    fanin_parallel_for(n, 1, measure_range, s);
    fanin_status status = FANIN_OK;
    for (size_t i = 0; i < n && status == FANIN_OK; i++) {
        status = s->status[i];
        if (status == FANIN_INTERNAL)
            fanin_err_set(err, status, "layer %s: its output was not kept",
                          s->signal->layers[i].name);
        else if (status != FANIN_OK)
            fanin_err_set(err, status, "layer %s: no memory to measure it",
                          s->signal->layers[i].name);
    }
    fanin_free(s->status);
    return status;
}

/* A zero output layer (Fixup, muP) sends no gradient back: every layer below looks symmetric if its weights
 * are equal, zero say. Whether they stay so shows after the output layer's first step. */
static fanin_status judge_symmetry_again(pass *s, fanin_program *p, fanin_err *err) {
    int n = s->signal->layer_count, some = 0;
    for (int i = 0; i < n; i++) some += s->signal->layers[i].symmetric;
    int last = n > 0 ? fanin__weight_index(p, s->layers[n - 1].weight) : -1;
    if (!some || last < 0) return FANIN_OK;
    fanin_buffer w = fanin_program_weight(p, last), g = fanin_program_gradient(p, last);
    double size = fanin__root_mean_square(g);
    if (fanin__root_mean_square(w) != 0 || !g.data || !(size > 0)) return FANIN_OK;
    for (size_t i = 0; i < w.count; i++)
        ((float *)w.data)[i] = (float)(-0.1 / size * (double)((const float *)g.data)[i]);
    FANIN_TRY(fanin_program_run(p, err));
    for (int i = 0; i < n; i++) {
        fanin_layer_signal *l = &s->signal->layers[i];
        int at = fanin__weight_index(p, s->layers[i].weight);
        if (!l->symmetric || at < 0) continue;
        if (fanin__find_symmetry(s->graph, &s->layers[i], fanin_program_weight(p, at),
                                 fanin_program_gradient(p, at), &l->symmetric) != FANIN_OK)
            return fanin_err_set(err, FANIN_NOMEM, "check: no memory");
    }
    return FANIN_OK;
}

static const char *loss_of(const fanin_graph *g, const fanin_signal_options *o) {
    if (o->loss) return o->loss;
    if (o->data) return fanin_dataset_get_info(o->data)->classes ? "cross_entropy" : "mse";
    return fanin_graph_default_loss(g);
}

/* Up to here the pass for the input-output Jacobian, with the weights drawn once more, is a matter of milliseconds. */
enum { WEIGHTS_CHEAP = 1 << 21 };

static size_t weight_elements(const fanin_program *p) {
    size_t n = 0;
    for (int i = 0; i < fanin_program_weight_count(p); i++) n += fanin_program_weight(p, i).count;
    return n;
}

/* `known`: what predictions need to know of the inputs. */
static fanin_status run_seeds(const fanin_graph *g, fanin_plan *plan, uint64_t seed,
                              const fanin_signal_options *o, const fanin__layer *layers,
                              fanin_predict_options *known, bool *large, fanin_signal *s,
                              fanin_err *err) {
    const char *loss = loss_of(g, o);
    fanin_program_options po = {.batch = o->batch, .loss = loss, .gradients = true};
    fanin_program *p;
    int *keep = fanin__layers_values(layers, s->layer_count, &po.keep_count);
    if (!keep) return fanin_err_set(err, FANIN_NOMEM, "check: no memory");
    po.keep = keep;
    fanin_status status = fanin_program_create(g, &po, &p, err);
    fanin_free(keep);
    FANIN_TRY(status);
    fanin_buffer x = fanin_program_input(p, 0);
    double variance = 0;
    pass now = {.graph = g,
                .layers = layers,
                .program = p,
                .batch = x.rank > 0 ? (size_t)x.dims[0] : 1,
                .lr = o->lr,
                .signal = s};
    for (int k = 0; k < o->seeds && status == FANIN_OK; k++) {
        if (fanin_interrupted())
            status = fanin_err_set(err, FANIN_INTERRUPTED, "stopped at seed %d of %d", k, o->seeds);
        fanin__subject subject = {g, plan, o, loss, seed + (uint64_t)k};
        if (status == FANIN_OK) status = fanin__fill_program(&subject, p, err);
        if (status == FANIN_OK && k == 0 && (o->data || o->inputs)) fanin__input_moments(x, known);
        if (status == FANIN_OK) status = fanin_program_run(p, err);
        if (status != FANIN_OK) break;
        double expected, spread;
        now.first_seed = k == 0;
        fanin__expect_loss(p, loss, &expected, &spread);
        s->loss += fanin_program_loss(p) / o->seeds;
        s->expected_loss += expected / o->seeds;
        variance += spread;
        status = measure_all(&now, err);
        if (status == FANIN_OK && k == 0) fanin__find_stack(g, layers, p, s);
        if (status == FANIN_OK) status = judge_symmetry_again(&now, p, err);
        if (o->progress.report) o->progress.report(o->progress.ctx, "check", k + 1, o->seeds);
    }
    s->loss_error = sqrt(variance) / o->seeds;
    s->memory = fanin_program_memory(p);
    *large = weight_elements(p) > WEIGHTS_CHEAP;
    s->jacobian.outputs = fanin_program_output(p, 0).count / now.batch;
    fanin_program_destroy(p); /* before the next programs take their memory */
    return status;
}

/* Then one pass would say so, but its program is not cheap to plan. */
static bool samples_meet(const fanin_graph *g) {
    for (int i = 0; i < g->node_count; i++)
        if (!strcmp(g->nodes[i].op, "BatchNormalization")) return true;
    return false;
}

/* What takes programs of its own: the network of the first seed. */
static fanin_status run_more(const fanin_graph *g, fanin_plan *plan, uint64_t seed,
                             const fanin_signal_options *o, const fanin__layer *layers, bool large,
                             fanin_signal *s, fanin_err *err) {
    const fanin__subject subject = {g, plan, o, loss_of(g, o), seed};
    if (!o->spectrum && !large && samples_meet(g))
        s->jacobian =
            (fanin_jacobian_spectrum){.mean = NAN,
                                      .max = NAN,
                                      .min = NAN,
                                      .mean_square = NAN,
                                      .absent = "samples meet in a batch norm; --spectrum looks"};
    else
        FANIN_TRY(
            fanin__measure_jacobian(&subject, o->spectrum, large, s->jacobian.outputs, s, err));
    if (o->hessian) FANIN_TRY(fanin__measure_hessian(&subject, layers, s, err));
    if (o->kernel) FANIN_TRY(fanin__measure_kernel(&subject, s, err));
    return FANIN_OK;
}

fanin_status fanin_signal_measure(const fanin_graph *g, const fanin_init_options *init,
                                  const fanin_signal_options *options, fanin_signal **out,
                                  fanin_err *err) {
    *out = NULL;
    fanin_signal_options o = *options;
    if (o.batch == 0) o.batch = 32;
    if (o.seeds == 0) o.seeds = 1;
    const fanin_thresholds none = {0};
    if (!memcmp(&o.thresholds, &none, sizeof none)) o.thresholds = fanin_thresholds_default();
    double start = fanin__seconds();
    fanin__layer *layers;
    int count;
    FANIN_TRY(fanin__layers_find(g, &layers, &count, err));
    fanin_signal *s = fanin_calloc(1, sizeof *s);
    fanin_status status = s ? FANIN_OK : FANIN_NOMEM;
    if (s && !(s->layers = fanin_calloc((size_t)count + 1, sizeof *s->layers)))
        status = FANIN_NOMEM;
    if (status == FANIN_OK) {
        s->layer_count = count;
        for (int i = 0; i < count; i++) {
            s->layers[i].name = g->values[layers[i].weight].name;
            s->layers[i].op = g->nodes[layers[i].node].op;
            s->layers[i].predicted_second_moment = s->layers[i].predicted_correlation = NAN;
            s->layers[i].predicted_grad_norm = s->layers[i].target_second_moment = NAN;
            s->layers[i].hessian_max = NAN;
            if (layers[i].act_text[0] &&
                !(s->layers[i].activation = fanin__strdup(layers[i].act_text)))
                status = FANIN_NOMEM;
        }
    }
    if (status != FANIN_OK) fanin_err_set(err, status, "check: no memory");
    fanin_plan *plan = NULL;
    fanin_predict_options known = {.weights = o.weights, .loss = loss_of(g, &o), .batch = o.batch};
    uint64_t seed = init ? init->seed : 0;
    bool large = false;
    if (status == FANIN_OK && init) status = fanin_plan_create(g, init, &plan, err);
    known.plan = plan;
    if (status == FANIN_OK) status = run_seeds(g, plan, seed, &o, layers, &known, &large, s, err);
    fanin__circumstances circumstances = {.may_be_trained = o.data && !init};
    if (status == FANIN_OK) status = fanin__find_fans(g, layers, s, &circumstances, err);
    if (status == FANIN_OK) status = run_more(g, plan, seed, &o, layers, large, s, err);
    if (status == FANIN_OK) status = fanin__predict_layers(g, layers, &known, s, err);
    fanin_plan_destroy(plan);
    fanin__layers_free(layers, count);
    if (status != FANIN_OK) {
        fanin_signal_destroy(s);
        return status;
    }
    for (int i = 0; i < count; i++) fanin__finish_layer(&s->layers[i], o.seeds);
    s->seeds = o.seeds;
    for (int i = 0; i + 1 < count; i++) s->stack.q += log(s->layers[i].second_moment) / (count - 1);
    s->stack.q = s->stack.plain ? exp(s->stack.q) : NAN;
    status = fanin__spectrum_law(s, err);
    if (status != FANIN_OK) {
        fanin_signal_destroy(s);
        return status;
    }
    circumstances.input_second = known.input_second;
    fanin__signal_judge(s, &o.thresholds, &circumstances);
    s->seconds = fanin__seconds() - start;
    *out = s;
    return FANIN_OK;
}

void fanin_signal_destroy(fanin_signal *s) {
    if (!s) return;
    for (int i = 0; i < s->layer_count && s->layers; i++)
        fanin_free((void *)(uintptr_t)s->layers[i].activation);
    fanin_free(s->layers);
    fanin_free(s->jacobian.values);
    fanin_free(s->jacobian.theory);
    fanin_free(s->kernel.kernel);
    fanin_free(s);
}
