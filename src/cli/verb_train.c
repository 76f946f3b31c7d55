/* fanin train: let the network learn, and say what happened. */
#include <fanin/report.h>
#include <fanin/train.h>
#include <math.h>
#include <string.h>

#include "cli.h"
#include "input.h"
#include "recipe.h"

typedef struct request {
    cli_init init;
    cli_recipe recipe;
    const char *weights, *data, *optimizer, *out;
    uint64_t steps, batch, eval_every, eval_samples;
    double epochs;
} request;

static void print_point(void *ctx, const fanin_train_point *p) {
    cli *c = ctx;
    if (c->json || c->quiet) return;
    cli_progress_end(c);
    printf("%9llu  %9.4f  %9.4f  ", (unsigned long long)p->step, p->train_loss, p->test_loss);
    if (isnan(p->test_error))
        printf("%7s", "");
    else
        printf("%6.2f%%", 100 * p->test_error);
    printf("  %7.1f s\n", p->seconds);
    fflush(stdout);
}

static json_t *result_json(const fanin_graph *g, const char *scheme, const fanin_train_result *r) {
    json_t *points = json_array(), *o = json_object();
    for (size_t i = 0; i < r->count; i++) {
        json_t *p = json_object();
        json_object_set_new(p, "step", json_integer((json_int_t)r->points[i].step));
        json_object_set_new(p, "train_loss", cli_number(r->points[i].train_loss));
        json_object_set_new(p, "test_loss", cli_number(r->points[i].test_loss));
        json_object_set_new(p, "test_error", cli_number(r->points[i].test_error));
        json_object_set_new(p, "seconds", cli_number(r->points[i].seconds));
        json_array_append_new(points, p);
    }
    json_object_set_new(o, "model", json_string(g->name));
    json_object_set_new(o, "scheme", cli_text(scheme));
    json_object_set_new(o, "steps", json_integer((json_int_t)r->steps));
    json_object_set_new(o, "diverged", json_boolean(r->diverged));
    json_object_set_new(o, "diverged_layer", cli_text(r->diverged ? r->diverged_layer : NULL));
    json_object_set_new(o, "points", points);
    return o;
}

static fanin_status save_weights(const fanin_program *p, const char *path, fanin_err *err) {
    int n = fanin_program_weight_count(p);
    fanin_array *arrays = fanin_calloc((size_t)n + 1, sizeof *arrays);
    if (!arrays) return FANIN_NOMEM;
    for (int i = 0; i < n; i++) {
        fanin_buffer w = fanin_program_weight(p, i);
        arrays[i] = (fanin_array){.name = fanin_program_weight_name(p, i),
                                  .dtype = w.dtype,
                                  .rank = w.rank,
                                  .data = w.data,
                                  .size = w.count * fanin_dtype_size(w.dtype)};
        memcpy(arrays[i].dims, w.dims, sizeof w.dims);
    }
    fanin_status status = fanin_weights_save(path, arrays, n, NULL, err);
    fanin_free(arrays);
    return status;
}

static int train(cli *c, const request *r, const cli_inputs *in) {
    fanin_train_options o = {
        .optimizer = r->optimizer,
        .steps = r->steps,
        .epochs = r->epochs,
        .batch = (int64_t)r->batch,
        .seed = r->init.seed,
        .eval_every = r->eval_every,
        .eval_samples = r->eval_samples,
        .on_point = print_point,
        .on_point_ctx = c,
        .progress = cli_progress(c),
    };
    cli_recipe_apply(&r->recipe, &o);
    fanin_err err = {0};
    fanin_trainer *t;
    fanin_status status = fanin_trainer_create(in->graph, in->data, &o, &t, &err);
    if (status != FANIN_OK) return cli_fail(c, status, &err);
    fanin_init_options init = cli_init_options(&r->init);
    bool draw =
        r->init.scheme || r->init.rules.count || (!r->weights && cli_lacks_weights(in->graph));
    status = fanin_weights_fill(in->graph, draw ? &init : NULL, in->weights,
                                fanin_trainer_program(t), &err);
    if (draw && !init.scheme && !r->init.rules.count)
        cli_note(c, "no weights in the model: scheme he");
    fanin_train_result result = {0};
    int code = 0;
    if (status == FANIN_OK) {
        if (!c->json && !c->quiet)
            printf("%9s  %9s  %9s  %7s  %9s\n", "step", "train", "test", "error", "time");
        status = fanin_trainer_run(t, &result, &err);
        cli_progress_end(c);
        if (r->out && (status == FANIN_OK || status == FANIN_INTERRUPTED) && !result.diverged) {
            fanin_err save_err = {0};
            fanin_status saved = save_weights(fanin_trainer_program(t), r->out, &save_err);
            if (saved != FANIN_OK) code = cli_fail(c, saved, &save_err);
        }
    }
    if (status != FANIN_OK)
        code = cli_fail(c, status, &err);
    else if (c->json && !code)
        code = cli_json(
            c, result_json(in->graph, draw ? (init.scheme ? init.scheme : "he") : NULL, &result));
    if (result.diverged && !code) {
        fprintf(stderr, "fanin train: the loss stopped being a number at step %llu; first in %s\n",
                (unsigned long long)result.diverged_at,
                result.diverged_layer[0] ? result.diverged_layer : "the loss");
        code = 4;
    }
    fanin_train_result_fini(&result);
    fanin_trainer_destroy(t);
    return code;
}

int verb_train(cli *c) {
    request r = {.eval_samples = 2000};
    const cli_option options[] = {
        {"data", 0, CLI_TEXT, &r.data, "DATA", "data set; fanin list data"},
        CLI_INIT_OPTIONS(r.init),
        {"weights", 0, CLI_TEXT, &r.weights, "FILE", "start from these weights"},
        {"optimizer", 0, CLI_TEXT, &r.optimizer, "NAME[:k=v]",
         "default sgd:lr=0.01; fanin list optimizers"},
        {"steps", 0, CLI_COUNT, &r.steps, "N", "updates"},
        {"epochs", 0, CLI_NUMBER, &r.epochs, "N", "passes over the training split"},
        {"batch", 0, CLI_COUNT, &r.batch, "N", "samples a step (default 10)"},
        CLI_RECIPE_OPTIONS(r.recipe),
        {"eval-every", 0, CLI_COUNT, &r.eval_every, "N",
         "steps between evaluations (default: 50 in all)"},
        {"eval-samples", 0, CLI_COUNT, &r.eval_samples, "N", "of the test split (default 2000)"},
        {"output", 'o', CLI_TEXT, &r.out, "OUT.safetensors", "the trained weights"},
        CLI_END,
    };
    if (!cli_parse(c, options, 1, 1)) return c->exit_code;
    if (!r.data) return cli_usage(c, "--data is missing");
    if (!r.steps && !(r.epochs > 0)) return cli_usage(c, "--steps or --epochs is missing");
    cli_inputs in = {0};
    int code = cli_open_inputs(c, c->args[0], r.weights, r.data, NULL, r.init.seed, &in);
    if (!code) code = train(c, &r, &in);
    cli_close_inputs(&in);
    cli_list_fini(&r.init.rules);
    cli_recipe_fini(&r.recipe);
    return code;
}
