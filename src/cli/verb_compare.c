/* fanin compare: several schemes on one network, the same data in the same order, ranked. */
#include <fanin/report.h>
#include <fanin/runs.h>
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
    const char *schemes, *activations, *depths, *optimizers, *lrs;
    const char *data, *optimizer, *html, *link, *log;
    uint64_t steps, batch, seeds, eval_every, eval_samples, validation;
    double epochs, target;
} request;

enum { ITEMS_MAX = 64 };

/* A list that the command line gave; the text is cut up in place. */
typedef struct list {
    char *text;
    const char *items[ITEMS_MAX];
    int count;
} list;

/* Splits at commas that are not inside a rule's options: "he,normal:std=0.01,xavier" has three. */
static int split(char *text, const char **out) {
    int n = 0;
    for (char *p = text; *p && n < ITEMS_MAX;) {
        out[n++] = p;
        bool options = false;
        int open = 0;
        for (; *p; p++) {
            open += (*p == '(') - (*p == ')');
            if (*p == ':') options = true;
            if (*p != ',' || open > 0) continue;
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
    json_object_set_new(o, "activation", cli_text(r->activation));
    json_object_set_new(o, "depth", r->depth ? json_integer(r->depth) : json_null());
    json_object_set_new(o, "optimizer", cli_text(r->optimizer));
    json_object_set_new(o, "lr", cli_number(r->lr));
    json_object_set_new(o, "p_value", cli_number(r->p_value));
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
    json_object_set_new(o, "runs", json_integer(x->run_count));
    json_object_set_new(o, "validation", json_integer((json_int_t)x->validation));
    return o;
}

/* "he tanh 5 adam 0.1", in the order of the heading. */
static void short_label(const fanin_compare_rank *r, char *buf, size_t size) {
    char depth[16] = "", lr[24] = "";
    if (r->depth) snprintf(depth, sizeof depth, " %d", r->depth);
    if (isfinite(r->lr)) snprintf(lr, sizeof lr, " %g", r->lr);
    snprintf(buf, size, "%s%s%s%s%s%s%s", r->scheme, r->activation ? " " : "",
             r->activation ? r->activation : "", depth, r->optimizer ? " " : "",
             r->optimizer ? r->optimizer : "", lr);
}

/* Which columns there are: the verdict before training gives way to long names. */
typedef struct columns {
    bool many, verdict; /* several seeds; column `before` */
    int decimals;       /* of errors in per cent */
} columns;

static void put_heads(const fanin_comparison *x, columns col, char *buf, size_t size) {
    const fanin_compare_rank *r = &x->ranks[0];
    snprintf(buf, size, "<~scheme%s%s%s%s%s|>%s%s|>ok|>target|>time", r->activation ? " act" : "",
             r->depth ? " depth" : "", r->optimizer ? " optimizer" : "",
             isfinite(r->lr) ? " lr" : "", col.verdict ? "|<before" : "",
             isfinite(r->error) ? "error" : "loss", col.many ? "|>95 %|>p" : "");
}

/* Medians, and with several seeds their intervals and tests. */
static fanin_status add_rank(cli *c, fanin_table *t, const fanin_compare_rank *r, columns col,
                             bool first) {
    char label[128], score[24] = "diverged", interval[32] = "", p[16] = "", trained[24],
                     steps[24] = "-", seconds[16];
    bool error = isfinite(r->error);
    short_label(r, label, sizeof label);
    if (error)
        snprintf(score, sizeof score, "%.*f%%", col.decimals, 100 * r->error);
    else if (isfinite(r->loss))
        snprintf(score, sizeof score, "%.3f", r->loss);
    if (isfinite(r->low) && isfinite(r->high) && error)
        snprintf(interval, sizeof interval, "%.*f-%.*f", col.decimals, 100 * r->low, col.decimals,
                 100 * r->high);
    else if (isfinite(r->low) && isfinite(r->high))
        snprintf(interval, sizeof interval, "%.3g-%.3g", r->low, r->high);
    if (isfinite(r->p_value))
        snprintf(p, sizeof p, r->p_value < 0.001 ? "<.001" : "%.3f", r->p_value);
    snprintf(trained, sizeof trained, "%d/%d", r->trained, r->runs);
    if (isfinite(r->steps_to_target)) snprintf(steps, sizeof steps, "%.0f", r->steps_to_target);
    snprintf(seconds, sizeof seconds,
             r->seconds < 0.9995  ? "%.0f ms"
             : r->seconds < 99.95 ? "%.1f s"
                                  : "%.0f s",
             r->seconds * (r->seconds < 0.9995 ? 1000 : 1));
    const char *style = first             ? cli_style(c, "\033[32m")
                        : r->trained == 0 ? cli_style(c, "\033[31m")
                                          : NULL;
    const char *cells[8];
    int n = 0;
    cells[n++] = label;
    if (col.verdict) cells[n++] = r->signal ? fanin_verdict_name(r->verdict) : "";
    cells[n++] = score;
    if (col.many) cells[n++] = interval;
    if (col.many) cells[n++] = p;
    cells[n++] = trained;
    cells[n++] = steps;
    cells[n++] = seconds;
    return fanin_table_row(t, style, cells);
}

static fanin_status render_ranking(cli *c, const fanin_comparison *x, columns col, char **text) {
    fanin_table *t;
    char heads[160];
    *text = NULL;
    put_heads(x, col, heads, sizeof heads);
    fanin_status status = fanin_table_create(heads, &t);
    for (int i = 0; i < x->rank_count && status == FANIN_OK; i++)
        status = add_rank(c, t, &x->ranks[i], col, i == 0);
    if (status == FANIN_OK) status = fanin_table_render(t, cli_width(), text);
    fanin_table_destroy(t);
    return status;
}

/* Rates at the end of the list: a better one may lie beyond it. */
static void note_ends(const fanin_comparison *x, const double *lrs, int count) {
    double least = INFINITY, greatest = 0;
    int ends = 0;
    for (int i = 0; i < count; i++) {
        least = fmin(least, lrs[i]);
        greatest = fmax(greatest, lrs[i]);
    }
    for (int i = 0; i < x->rank_count; i++)
        ends += x->ranks[i].lr == least || x->ranks[i].lr == greatest;
    printf("lr: lowest median loss on %llu samples held out of training",
           (unsigned long long)x->validation);
    if (ends) printf("; in %d of %d rows the\nleast or greatest of the list", ends, x->rank_count);
    printf(".\n");
}

static int print_ranking(cli *c, const fanin_comparison *x, const double *lrs, int lr_count) {
    columns col = {x->ranks[0].runs > 1, true, x->ranks[0].error < 0.1 ? 2 : 1};
    char *text;
    fanin_status status = render_ranking(c, x, col, &text);
    if (status == FANIN_OK && strstr(text, "…")) {
        fanin_free(text);
        col.verdict = false;
        status = render_ranking(c, x, col, &text);
    }
    if (status != FANIN_OK) return cli_fail(c, status, NULL);
    fputs(text, stdout);
    fanin_free(text);
    printf("\n%sok: runs whose loss fell by 3 %%; target: steps until test loss %.4g;\n"
           "time: of a processor, without evaluations. Runs of one seed see the same\n"
           "batches in the same order.\n",
           col.verdict ? "before: verdict on the untrained network;\n" : "", x->target_loss);
    if (col.many)
        printf("95 %%: bootstrap interval of the median; p: Wilcoxon against the best, seed by\n"
               "seed, Holm's correction.\n");
    if (col.many && fanin_comparison_least_p(x) > 0.05)
        printf("with so few seeds no p could be below %.2g.\n", fanin_comparison_least_p(x));
    if (lr_count > 1) note_ends(x, lrs, lr_count);
    return 0;
}

/* ---- the axes --------------------------------------------------------------------------------------- */

static bool fill_list(list *l, const char *text) {
    if (!text) return true;
    l->text = strdup(text);
    if (l->text) l->count = split(l->text, l->items);
    return l->text != NULL;
}

/* Numbers of a list; NaN where one is none. */
static void numbers(const list *l, double *out) {
    for (int i = 0; i < l->count; i++) {
        char *end;
        out[i] = strtod(l->items[i], &end);
        if (end == l->items[i] || *end) out[i] = NAN;
    }
}

typedef struct axes {
    list schemes, activations, depths, optimizers, lrs;
    double lr[ITEMS_MAX];
    int depth[ITEMS_MAX];
} axes;

static void axes_fini(axes *a) {
    free(a->schemes.text);
    free(a->activations.text);
    free(a->depths.text);
    free(a->optimizers.text);
    free(a->lrs.text);
}

static int read_axes(cli *c, const request *r, axes *a) {
    double depths[ITEMS_MAX];
    if (!fill_list(&a->schemes, r->schemes) || !fill_list(&a->activations, r->activations) ||
        !fill_list(&a->depths, r->depths) || !fill_list(&a->optimizers, r->optimizers) ||
        !fill_list(&a->lrs, r->lrs))
        return cli_fail(c, FANIN_NOMEM, NULL);
    if (r->optimizer && r->optimizers)
        return cli_usage(c, "--optimizer and --optimizers: one of them");
    numbers(&a->lrs, a->lr);
    numbers(&a->depths, depths);
    for (int i = 0; i < a->lrs.count; i++)
        if (!(a->lr[i] >= 0 && isfinite(a->lr[i])))
            return cli_usage(c, "--lr %s: expected numbers, none below 0", a->lrs.items[i]);
    for (int i = 0; i < a->depths.count; i++) {
        if (!(depths[i] >= 1 && depths[i] <= 10000 && depths[i] == floor(depths[i])))
            return cli_usage(c, "--depths %s: expected whole numbers from 1 to 10000",
                             a->depths.items[i]);
        a->depth[i] = (int)depths[i];
    }
    return 0;
}

/* ---- the verb --------------------------------------------------------------------------------------- */

static int compare(cli *c, const request *r, const cli_inputs *in, const axes *a) {
    fanin_compare_options o = {
        .schemes = a->schemes.items,
        .scheme_count = a->schemes.count,
        .model = c->args[0],
        .activations = a->activations.items,
        .activation_count = a->activations.count,
        .depths = a->depth,
        .depth_count = a->depths.count,
        .optimizers = a->optimizers.items,
        .optimizer_count = a->optimizers.count,
        .lrs = a->lr,
        .lr_count = a->lrs.count,
        .init = cli_init_options(&r->init),
        .seeds = (int)r->seeds,
        .train = {.optimizer = r->optimizer,
                  .steps = r->steps,
                  .epochs = r->epochs,
                  .batch = (int64_t)r->batch,
                  .eval_every = r->eval_every,
                  .eval_samples = r->eval_samples,
                  .validation = r->validation},
        .check = {.batch = 300}, /* as many as the paper's figures used */
        .target_loss = r->target,
        .progress = cli_progress(c),
    };
    cli_recipe_apply(&r->recipe, &o.train);
    fanin_err err = {0};
    fanin_comparison *x = NULL;
    fanin_status status = FANIN_OK;
    if (r->log) status = fanin_runs_open(r->log, FANIN_RUNS_WRITE, &o.store, &err);
    if (status == FANIN_OK) status = fanin_compare(in->graph, in->data, &o, &x, &err);
    fanin_runs_close(o.store);
    cli_progress_end(c);
    if (!x) return cli_fail(c, status, &err);
    int code = c->json ? cli_json(c, comparison_json(x)) : print_ranking(c, x, a->lr, a->lrs.count);
    if (!code && r->html) {
        fanin_status saved = fanin_comparison_page(x, r->link, r->html, &err);
        if (saved != FANIN_OK) code = cli_fail(c, saved, &err);
    }
    if (!code && status != FANIN_OK) code = cli_fail(c, status, &err);
    if (status == FANIN_INTERRUPTED && r->log)
        cli_note(c, "what is done is in %s; the same command goes on", r->log);
    fanin_comparison_destroy(x);
    return code;
}

static int run(cli *c, const request *r) {
    if (cli_recipe_check(c, &r->recipe)) return 2;
    if (!r->data) return cli_usage(c, "--data is missing");
    if (!r->steps && !(r->epochs > 0)) return cli_usage(c, "--steps or --epochs is missing");
    if (r->seeds > 10000)
        return cli_usage(c, "--seeds %llu: at most 10000", (unsigned long long)r->seeds);
    axes a = {.depth = {0}};
    cli_inputs in = {0};
    int code = read_axes(c, r, &a);
    if (!code) code = cli_open_inputs(c, c->args[0], NULL, r->data, NULL, r->init.seed, &in);
    if (!code) code = compare(c, r, &in, &a);
    cli_close_inputs(&in);
    axes_fini(&a);
    return code;
}

int verb_compare(cli *c) {
    request r = {.eval_samples = 2000, .schemes = "he,xavier,orthogonal"};
    const cli_option options[] = {
        {"data", 0, CLI_TEXT, &r.data, "DATA", "data set; fanin list data"},
        {"schemes", 0, CLI_TEXT, &r.schemes, "a,b,c",
         "schemes or rules (default he,xavier,orthogonal)"},
        {"activations", 0, CLI_TEXT, &r.activations, "a,b,c", "put into a built-in model (act=)"},
        {"depths", 0, CLI_TEXT, &r.depths, "n,m", "put into a built-in model (784-100xN-10)"},
        {"optimizers", 0, CLI_TEXT, &r.optimizers, "a,b,c", "as sgd,momentum:mu=0.9,adam"},
        {"lr", 0, CLI_TEXT, &r.lrs, "x,y,z",
         "learning rates; chosen by configuration on held-out samples"},
        {"rule", 0, CLI_LIST, &r.init.rules, "PATTERN=RULE", "laid over every scheme; repeatable"},
        {"seed", 0, CLI_COUNT, &r.init.seed, "N", "first seed (default 0)"},
        {"seeds", 0, CLI_COUNT, &r.seeds, "K", "runs a configuration (default 1)"},
        {"optimizer", 0, CLI_TEXT, &r.optimizer, "NAME[:k=v]", "default sgd:lr=0.01"},
        {"steps", 0, CLI_COUNT, &r.steps, "N", "updates"},
        {"epochs", 0, CLI_NUMBER, &r.epochs, "N", "passes over the training split"},
        {"batch", 0, CLI_COUNT, &r.batch, "N", "samples a step (default 10)"},
        CLI_RECIPE_OPTIONS(r.recipe),
        {"eval-every", 0, CLI_COUNT, &r.eval_every, "N",
         "steps between evaluations (default: 50 in all)"},
        {"eval-samples", 0, CLI_COUNT, &r.eval_samples, "N", "of the test split (default 2000)"},
        {"validation", 0, CLI_COUNT, &r.validation, "N",
         "samples held out of training (default with --lr: --eval-samples)"},
        {"target", 0, CLI_NUMBER, &r.target, "LOSS",
         "test loss to time all against (default: 5 % above the best)"},
        {"log", 0, CLI_TEXT, &r.log, "RUNS.db",
         "keep runs here: goes on where it stopped, shared by processes"},
        {"html", 0, CLI_TEXT, &r.html, "OUT.html", "also one self-contained page"},
        {"link", 0, CLI_TEXT, &r.link, "FILE.html", "a further page to point to from it"},
        CLI_END,
    };
    int code = cli_parse_experiment(c, options) ? run(c, &r) : c->exit_code;
    cli_list_fini(&r.init.rules);
    cli_recipe_fini(&r.recipe);
    cli_experiment_close(c);
    return code;
}
