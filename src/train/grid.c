/* grid.c - the cells of a comparison: which network, optimiser and seeds each has, and what it is called. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fanin/format.h"
#include "fanin/random.h"
#include "train/compare.h"

/* ---- variants of a built-in model ------------------------------------------------------------------ */

/* The one count of the network's text: behind the only 'x' of "784-1000x5-10", or a lone number
 * ("resnet:20"). */
static bool find_count(const char *at, size_t n, size_t *begin, size_t *end) {
    size_t digits = 0, found = 0;
    while (digits < n && isdigit((unsigned char)at[digits])) digits++;
    if (n > 0 && digits == n) {
        *begin = 0;
        *end = n;
        return true;
    }
    for (size_t i = 0; i + 1 < n; i++) {
        if (at[i] != 'x' || !isdigit((unsigned char)at[i + 1])) continue;
        found++;
        *begin = *end = i + 1;
        while (*end < n && isdigit((unsigned char)at[*end])) ++*end;
    }
    return found == 1;
}

/* The options without act=...; commas inside brackets belong to a formula. */
static void put_options(fanin__text *t, const char *options) {
    for (const char *p = options; *p;) {
        size_t n = 1; /* the comma before it */
        for (int open = 0; p[n] && (p[n] != ',' || open > 0); n++)
            open += (p[n] == '(') - (p[n] == ')');
        if (strncmp(p, ",act=", 5) != 0) fanin__text_append(t, p, n);
        p += n;
    }
}

fanin_status fanin__model_vary(const char *model, const char *activation, int depth, char **out,
                               fanin_err *err) {
    *out = NULL;
    const char *colon = strchr(model, ':'), *comma = strchr(model, ',');
    const char *argument = colon && (!comma || colon < comma) ? colon + 1 : "";
    size_t n = strcspn(argument, ","), begin = 0, end = 0;
    size_t head = *argument ? (size_t)(argument - model) : strcspn(model, ",");
    if (depth && !find_count(argument, n, &begin, &end))
        return fanin_err_set(err, FANIN_ARG,
                             "depths: %s has no single count to vary, as mlp:784-100x5-10 and "
                             "resnet:20 have",
                             model);
    fanin__text t = {0};
    fanin__text_append(&t, model, head);
    if (depth)
        fanin__text_printf(&t, "%.*s%d%.*s", (int)begin, argument, depth, (int)(n - end),
                           argument + end);
    else
        fanin__text_append(&t, argument, n);
    const char *options = *argument ? argument + n : model + head;
    if (activation) {
        put_options(&t, options);
        fanin__text_printf(&t, ",act=%s", activation);
    } else {
        fanin__text_puts(&t, options);
    }
    if (t.failed) return fanin_err_set(err, FANIN_NOMEM, "compare: no memory");
    *out = t.data;
    return FANIN_OK;
}

/* "sgd:mu=0.9" with another learning rate. */
static char *with_lr(const char *optimizer, double lr) {
    char number[32];
    fanin__text t = {0};
    const char *colon = strchr(optimizer, ':');
    size_t n = colon ? (size_t)(colon - optimizer) : strlen(optimizer);
    fanin__text_append(&t, optimizer, n);
    fanin__text_printf(&t, ":lr=%s", fanin__number_text(lr, number));
    for (const char *p = colon; p && *p;) {
        size_t length = strcspn(p + 1, ",");
        if (strncmp(p + 1, "lr=", 3) != 0) fanin__text_printf(&t, ",%.*s", (int)length, p + 1);
        p += 1 + length;
    }
    return t.failed ? NULL : t.data;
}

/* ---- layout ---------------------------------------------------------------------------------------- */

/* The same item twice would be one configuration that is ranked twice, and tested against itself. */
static fanin_status all_differ(const char *axis, const char *const *items, int count,
                               fanin_err *err) {
    for (int i = 0; i < count; i++)
        for (int k = 0; k < i; k++)
            if (!strcmp(items[i], items[k]))
                return fanin_err_set(err, FANIN_ARG, "%s: '%s' stands twice", axis, items[i]);
    return FANIN_OK;
}

static fanin_status check_axes(const fanin_compare_options *o, fanin_err *err) {
    if (o->scheme_count < 1) return fanin_err_set(err, FANIN_ARG, "schemes: none to compare");
    FANIN_TRY(all_differ("schemes", o->schemes, o->scheme_count, err));
    FANIN_TRY(all_differ("activations", o->activations, o->activation_count, err));
    FANIN_TRY(all_differ("optimizers", o->optimizers, o->optimizer_count, err));
    for (int i = 0; i < o->depth_count; i++)
        for (int k = 0; k < i; k++)
            if (o->depths[i] == o->depths[k])
                return fanin_err_set(err, FANIN_ARG, "depths: %d stands twice", o->depths[i]);
    for (int i = 0; i < o->lr_count; i++)
        for (int k = 0; k < i; k++)
            if (o->lrs[i] == o->lrs[k])
                return fanin_err_set(err, FANIN_ARG, "lr: %g stands twice", o->lrs[i]);
    return FANIN_OK;
}

static int at_least_one(int n) { return n > 0 ? n : 1; }

/* One graph for each activation and depth. */
static fanin_status load_graphs(fanin__grid *g, fanin_err *err) {
    const fanin_compare_options *o = g->options;
    int activations = at_least_one(o->activation_count), depths = at_least_one(o->depth_count);
    if (!o->activation_count && !o->depth_count) return FANIN_OK;
    if (!o->model)
        return fanin_err_set(err, FANIN_ARG,
                             "activations and depths need the text of a built-in model");
    g->graphs = fanin_calloc((size_t)activations * (size_t)depths, sizeof *g->graphs);
    if (!g->graphs) return fanin_err_set(err, FANIN_NOMEM, "compare: no memory");
    for (int a = 0; a < activations; a++)
        for (int d = 0; d < depths; d++) {
            char *text;
            FANIN_TRY(fanin__model_vary(o->model, o->activation_count ? o->activations[a] : NULL,
                                        o->depth_count ? o->depths[d] : 0, &text, err));
            fanin_status status = fanin_graph_load(text, &g->graphs[a * depths + d], err);
            fanin_free(text);
            FANIN_TRY(status);
            g->graph_count = a * depths + d + 1;
        }
    return FANIN_OK;
}

static fanin_status make_ways(fanin__grid *g, fanin_err *err) {
    const fanin_compare_options *o = g->options;
    int activations = at_least_one(o->activation_count), depths = at_least_one(o->depth_count),
        optimizers = at_least_one(o->optimizer_count);
    g->way_count = o->scheme_count * activations * depths * optimizers;
    g->ways = fanin_calloc((size_t)g->way_count + 1, sizeof *g->ways);
    g->optimizers =
        fanin_calloc((size_t)g->way_count * (size_t)g->lr_count + 1, sizeof *g->optimizers);
    if (!g->ways || !g->optimizers) return fanin_err_set(err, FANIN_NOMEM, "compare: no memory");
    for (int w = 0; w < g->way_count; w++) {
        int p = w % optimizers, d = w / optimizers % depths,
            a = w / optimizers / depths % activations, s = w / optimizers / depths / activations;
        g->ways[w] =
            (fanin__way){.scheme = o->schemes[s],
                         .activation = o->activation_count ? o->activations[a] : NULL,
                         .depth = o->depth_count ? o->depths[d] : 0,
                         .optimizer = o->optimizer_count ? o->optimizers[p] : o->train.optimizer,
                         .graph = g->graph_count ? g->graphs[a * depths + d] : g->given};
        for (int l = 0; l < g->lr_count; l++) {
            const char *text = g->ways[w].optimizer;
            char *own = o->lr_count ? with_lr(text ? text : "sgd", o->lrs[l])
                        : text      ? fanin__strdup(text)
                                    : NULL;
            if (!own && (o->lr_count || text))
                return fanin_err_set(err, FANIN_NOMEM, "compare: no memory");
            g->optimizers[w * g->lr_count + l] = own;
        }
    }
    return FANIN_OK;
}

fanin_status fanin__grid_create(fanin__grid *g, const fanin_graph *graph, const fanin_dataset *data,
                                const fanin_compare_options *options, fanin_err *err) {
    *g = (fanin__grid){.options = options,
                       .data = data,
                       .given = graph,
                       .lr_count = at_least_one(options->lr_count),
                       .seeds = at_least_one(options->seeds),
                       .validation = options->train.validation};
    FANIN_TRY(check_axes(options, err));
    /* Rates are chosen on samples that neither training nor the test sees. More of them than of the test split
       would make short runs wait for evaluations. */
    const fanin_dataset_info *info = fanin_dataset_get_info(data);
    uint64_t tested = options->train.eval_samples ? options->train.eval_samples : info->test_count,
             sixth = info->train_count ? info->train_count / 6 : 1000;
    if (g->lr_count > 1 && !g->validation)
        g->validation = tested && tested < sixth ? tested : sixth;
    if (!graph && !options->activation_count && !options->depth_count)
        return fanin_err_set(err, FANIN_ARG, "compare: no network");
    FANIN_TRY(load_graphs(g, err));
    return make_ways(g, err);
}

void fanin__grid_fini(fanin__grid *g) {
    for (int i = 0; i < g->graph_count; i++) fanin_graph_destroy(g->graphs[i]);
    for (int i = 0; g->optimizers && i < g->way_count * g->lr_count; i++)
        fanin_free(g->optimizers[i]);
    fanin_free(g->graphs);
    fanin_free(g->optimizers);
    fanin_free(g->ways);
    *g = (fanin__grid){0};
}

size_t fanin__grid_runs(const fanin__grid *g) {
    return (size_t)g->way_count * (size_t)g->lr_count * (size_t)g->seeds;
}

void fanin__grid_run(const fanin__grid *g, size_t i, int *way, int *lr, uint64_t *seed) {
    *seed = g->options->init.seed + i % (size_t)g->seeds;
    *lr = (int)(i / (size_t)g->seeds % (size_t)g->lr_count);
    *way = (int)(i / (size_t)g->seeds / (size_t)g->lr_count);
}

fanin_train_options fanin__grid_train(const fanin__grid *g, size_t i) {
    int way, lr;
    fanin_train_options o = g->options->train;
    fanin__grid_run(g, i, &way, &lr, &o.seed);
    o.optimizer = g->optimizers[way * g->lr_count + lr];
    o.validation = g->validation;
    return o;
}

fanin_init_options fanin__grid_init(const fanin__grid *g, size_t i) {
    int way, lr;
    fanin_init_options o = g->options->init;
    fanin__grid_run(g, i, &way, &lr, &o.seed);
    o.scheme = g->ways[way].scheme;
    return o;
}

/* A hash of everything that decides the run, behind words that a person can read. */
char *fanin__grid_key(const fanin__grid *g, size_t i) {
    int way, lr;
    uint64_t seed;
    fanin__grid_run(g, i, &way, &lr, &seed);
    const fanin_train_options o = fanin__grid_train(g, i);
    const fanin_init_options init = fanin__grid_init(g, i);
    fanin__text all = {0}, key = {0};
    fanin_status status = fanin__train_describe(g->ways[way].graph, g->data, &o, &all, NULL);
    fanin__text_printf(&all, "scheme=%s\nstream=%s\nfans=%s\n", init.scheme,
                       init.stream ? init.stream : "", init.fans ? init.fans : "");
    for (int r = 0; r < init.rule_count; r++) fanin__text_printf(&all, "rule=%s\n", init.rules[r]);
    fanin__text_printf(&all, "fanin=%s\n", fanin_version());
    if (status == FANIN_OK && !all.failed) {
        fanin_stream s = fanin_stream_init(0, all.data);
        fanin__text_printf(&key, "compare %s %s %08x%08x", init.scheme,
                           o.optimizer ? o.optimizer : "sgd", s.key[1], s.key[0]);
    }
    fanin__text_fini(&all);
    if (key.failed || !key.data) {
        fanin__text_fini(&key);
        return NULL;
    }
    return key.data;
}
