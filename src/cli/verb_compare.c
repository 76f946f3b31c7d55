/* fanin compare: several schemes on one network, the same data in the same order, ranked. */
#include <fanin/report.h>
#include <fanin/train.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "input.h"
#include "recipe.h"

typedef struct request {
    cli_init init;
    cli_recipe recipe;
    const char *schemes, *data, *optimizer, *html, *link;
    uint64_t steps, batch, seeds, eval_every, eval_samples;
    double epochs;
} request;

enum { SCHEMES_MAX = 16 };

/* Splits at commas that are not inside a rule's options: "he,normal:std=0.01,xavier" has three. */
static int split_schemes(char *text, const char **out) {
    int n = 0;
    for (char *p = text; *p && n < SCHEMES_MAX;) {
        out[n++] = p;
        bool options = false;
        for (; *p; p++) {
            if (*p == ':') options = true;
            if (*p != ',') continue;
            const char *equals = strchr(p + 1, '='), *comma = strchr(p + 1, ','),
                       *colon = strchr(p + 1, ':');
            bool option_follows =
                options && equals && (!comma || equals < comma) && (!colon || equals < colon);
            if (!option_follows) break;
        }
        if (*p) *p++ = '\0';
    }
    return n;
}

static json_t *rank_json(const fanin_compare_rank *r) {
    json_t *o = json_object();
    json_object_set_new(o, "scheme", json_string(r->scheme));
    json_object_set_new(o, "runs", json_integer(r->runs));
    json_object_set_new(o, "trained", json_integer(r->trained));
    json_object_set_new(o, "loss", cli_number(r->loss));
    json_object_set_new(o, "error", cli_number(r->error));
    json_object_set_new(o, "low", cli_number(r->low));
    json_object_set_new(o, "high", cli_number(r->high));
    json_object_set_new(o, "steps_to_target", cli_number(r->steps_to_target));
    json_object_set_new(o, "verdict", json_string(fanin_verdict_name(r->verdict)));
    json_object_set_new(o, "forward_log10_per_layer", cli_number(r->forward_slope));
    json_object_set_new(o, "backward_log10_per_layer", cli_number(r->backward_slope));
    json_object_set_new(o, "seconds", cli_number(r->seconds));
    return o;
}

static json_t *comparison_json(const fanin_comparison *x) {
    json_t *ranks = json_array(), *o = json_object();
    for (int i = 0; i < x->rank_count; i++) json_array_append_new(ranks, rank_json(&x->ranks[i]));
    json_object_set_new(o, "model", json_string(x->model));
    json_object_set_new(o, "data", json_string(x->data));
    json_object_set_new(o, "steps", json_integer((json_int_t)x->steps));
    json_object_set_new(o, "target_loss", cli_number(x->target_loss));
    json_object_set_new(o, "interrupted", json_boolean(x->interrupted));
    json_object_set_new(o, "ranking", ranks);
    return o;
}

static int print_ranking(cli *c, const fanin_comparison *x) {
    fanin_table *t;
    fanin_status status =
        fanin_table_create("<~scheme|<before|>signal|>grad|>loss|>error|>spread|>target|>time", &t);
    for (int i = 0; i < x->rank_count && status == FANIN_OK; i++) {
        const fanin_compare_rank *r = &x->ranks[i];
        char signal[16], gradient[16], loss[16], error[16] = "", spread[24] = "", steps[24] = "-",
                                                 seconds[16];
        snprintf(signal, sizeof signal, isfinite(r->forward_slope) ? "%+.2f" : "-",
                 r->forward_slope);
        snprintf(gradient, sizeof gradient, isfinite(r->backward_slope) ? "%+.2f" : "-",
                 r->backward_slope);
        snprintf(loss, sizeof loss, isfinite(r->loss) ? "%.3f" : "diverged", r->loss);
        if (isfinite(r->error)) snprintf(error, sizeof error, "%.1f%%", 100 * r->error);
        if (r->runs > 1 && isfinite(r->low))
            snprintf(spread, sizeof spread, isfinite(r->error) ? "%.1f-%.1f" : "%.3g-%.3g",
                     (isfinite(r->error) ? 100 : 1) * r->low,
                     (isfinite(r->error) ? 100 : 1) * r->high);
        if (isfinite(r->steps_to_target)) snprintf(steps, sizeof steps, "%.0f", r->steps_to_target);
        snprintf(seconds, sizeof seconds, "%.1f s", r->seconds);
        const char *style = i == 0            ? cli_style(c, "\033[32m")
                            : r->trained == 0 ? cli_style(c, "\033[31m")
                                              : NULL;
        status = fanin_table_row(t, style,
                                 (const char *[]){r->scheme, fanin_verdict_name(r->verdict), signal,
                                                  gradient, loss, error, spread, steps, seconds});
    }
    char *text = NULL;
    if (status == FANIN_OK) status = fanin_table_render(t, cli_width(), &text);
    fanin_table_destroy(t);
    if (status != FANIN_OK) return cli_fail(c, status, NULL);
    fputs(text, stdout);
    fanin_free(text);
    printf("\nbefore: verdict on the untrained network; signal, grad: decades per layer (0 is\n"
           "best); target: steps until test loss %.3f. Same batches, same order.\n",
           x->target_loss);
    return 0;
}

static int compare(cli *c, const request *r, const cli_inputs *in, const char *const *schemes,
                   int count) {
    fanin_compare_options o = {
        .schemes = schemes,
        .scheme_count = count,
        .init = cli_init_options(&r->init),
        .seeds = (int)r->seeds,
        .train = {.optimizer = r->optimizer,
                  .steps = r->steps,
                  .epochs = r->epochs,
                  .batch = (int64_t)r->batch,
                  .eval_every = r->eval_every,
                  .eval_samples = r->eval_samples},
        .check = {.batch = 300}, /* as many as the paper's figures used */
        .progress = cli_progress(c),
    };
    cli_recipe_apply(&r->recipe, &o.train);
    fanin_err err = {0};
    fanin_comparison *x;
    fanin_status status = fanin_compare(in->graph, in->data, &o, &x, &err);
    cli_progress_end(c);
    if (!x) return cli_fail(c, status, &err);
    int code = c->json ? cli_json(c, comparison_json(x)) : print_ranking(c, x);
    if (!code && r->html) {
        fanin_status saved = fanin_comparison_page(x, in->graph, r->link, r->html, &err);
        if (saved != FANIN_OK) code = cli_fail(c, saved, &err);
    }
    if (!code && status != FANIN_OK) code = cli_fail(c, status, &err);
    fanin_comparison_destroy(x);
    return code;
}

int verb_compare(cli *c) {
    request r = {.eval_samples = 2000, .schemes = "he,xavier,orthogonal"};
    const cli_option options[] = {
        {"data", 0, CLI_TEXT, &r.data, "DATA", "data set; fanin list data"},
        {"schemes", 0, CLI_TEXT, &r.schemes, "a,b,c",
         "schemes or rules (default he,xavier,orthogonal)"},
        {"rule", 0, CLI_LIST, &r.init.rules, "PATTERN=RULE", "laid over every scheme; repeatable"},
        {"seed", 0, CLI_COUNT, &r.init.seed, "N", "first seed (default 0)"},
        {"seeds", 0, CLI_COUNT, &r.seeds, "K", "runs a scheme (default 1)"},
        {"optimizer", 0, CLI_TEXT, &r.optimizer, "NAME[:k=v]", "default sgd:lr=0.01"},
        {"steps", 0, CLI_COUNT, &r.steps, "N", "updates"},
        {"epochs", 0, CLI_NUMBER, &r.epochs, "N", "passes over the training split"},
        {"batch", 0, CLI_COUNT, &r.batch, "N", "samples a step (default 10)"},
        CLI_RECIPE_OPTIONS(r.recipe),
        {"eval-every", 0, CLI_COUNT, &r.eval_every, "N",
         "steps between evaluations (default: 50 in all)"},
        {"eval-samples", 0, CLI_COUNT, &r.eval_samples, "N", "of the test split (default 2000)"},
        {"html", 0, CLI_TEXT, &r.html, "OUT.html", "also one self-contained page"},
        {"link", 0, CLI_TEXT, &r.link, "FILE.html", "a further page to point to from it"},
        CLI_END,
    };
    if (!cli_parse(c, options, 1, 1)) return c->exit_code;
    if (!r.data) return cli_usage(c, "--data is missing");
    if (!r.steps && !(r.epochs > 0)) return cli_usage(c, "--steps or --epochs is missing");
    if (r.seeds > 10000)
        return cli_usage(c, "--seeds %llu: at most 10000", (unsigned long long)r.seeds);
    const char *schemes[SCHEMES_MAX];
    char *text = strdup(r.schemes);
    if (!text) return cli_fail(c, FANIN_NOMEM, NULL);
    int count = split_schemes(text, schemes);
    cli_inputs in = {0};
    int code = cli_open_inputs(c, c->args[0], NULL, r.data, NULL, r.init.seed, &in);
    if (!code) code = compare(c, &r, &in, schemes, count);
    cli_close_inputs(&in);
    cli_list_fini(&r.init.rules);
    cli_recipe_fini(&r.recipe);
    free(text);
    return code;
}
