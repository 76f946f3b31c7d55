/* verb_audit.c - does this finished checkpoint hold what was declared? */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <fanin/audit.h>
#include <fanin/report.h>
#include <fanin/scheme.h>

#include "cli.h"

/* What is open while the verb runs. */
typedef struct session {
    fanin_weights *weights;
    fanin_graph *graph;
    fanin_plan *plan;       /* NULL: nothing was declared */
    fanin_tensors *tensors; /* then these say what each tensor is */
    fanin_audit_item *items;
    int count;
    fanin_audit *audit;
} session;

static void session_close(session *s) {
    fanin_audit_destroy(s->audit);
    free(s->items);
    fanin_plan_destroy(s->plan);
    if (s->tensors) fanin_tensors_destroy(s->tensors);
    fanin_graph_destroy(s->graph);
    fanin_weights_close(s->weights);
}

static bool same_shape(const fanin_array *a, const fanin_tensor *t) {
    return a->rank == t->rank && memcmp(a->dims, t->dims, sizeof *t->dims * (size_t)t->rank) == 0;
}

/* A tensor that nothing is known of: its own shape and no class. */
static fanin_tensor unknown_tensor(const fanin_array *a) {
    fanin_tensor t = fanin_tensor_torch(a->name, a->rank, a->dims);
    t.cls = FANIN_CLASS_OTHER;
    return t;
}

static const fanin_tensor *find_tensor(const session *s, const char *name,
                                       const fanin_rule **declared) {
    *declared = NULL;
    if (s->plan) {
        int i = fanin_plan_find(s->plan, name);
        if (i < 0) return NULL;
        const fanin_plan_row *row = fanin_plan_row_at(s->plan, i);
        if (!row->keep) *declared = &row->rule;
        return &row->tensor;
    }
    for (int i = 0; s->tensors && i < s->tensors->count; i++)
        if (strcmp(s->tensors->items[i].tensor.name, name) == 0)
            return &s->tensors->items[i].tensor;
    return NULL;
}

static int make_items(cli *c, session *s) {
    s->count = fanin_weights_count(s->weights);
    s->items = calloc((size_t)s->count + 1, sizeof *s->items);
    if (!s->items) return cli_fail(c, FANIN_NOMEM, NULL);
    int known = 0;
    for (int i = 0; i < s->count; i++) {
        const fanin_array *a = fanin_weights_at(s->weights, i);
        const fanin_rule *declared;
        const fanin_tensor *t = find_tensor(s, a->name, &declared);
        fanin_err err = {0};
        if (t && !same_shape(a, t)) {
            fanin_err_set(&err, FANIN_SHAPE, "%s: %s in the weights, %s in the model", a->name,
                          cli_shape_text(a->dims, a->rank), cli_shape_text(t->dims, t->rank));
            return cli_fail_input(c, FANIN_SHAPE, &err);
        }
        s->items[i] = (fanin_audit_item){
            .array = *a, .tensor = t ? *t : unknown_tensor(a), .declared = t ? declared : NULL};
        s->items[i].tensor.name = a->name;
        known += t != NULL;
    }
    if (s->graph && known < s->count)
        cli_note(c, "%d of %d tensors are not in the model: their bits are audited, not their law",
                 s->count - known, s->count);
    return 0;
}

/* The model is the weights file itself unless --model says otherwise; only a declared scheme makes its lack an error. */
static int open_model(cli *c, const char *model, const cli_init *init, session *s) {
    fanin_err err = {0};
    bool declared = init->scheme || init->rules.count > 0;
    fanin_status status = fanin_graph_load(model ? model : c->args[0], &s->graph, &err);
    if (status != FANIN_OK) return model || declared ? cli_fail_input(c, status, &err) : 0;
    const char *layout = init->layout ? init->layout : "torch";
    if (!declared) {
        status = fanin_tensors_create(s->graph, layout, &s->tensors, &err);
        if (status == FANIN_OK) return 0;
        return model ? cli_fail_input(c, status, &err) : 0;
    }
    fanin_init_options o = {.scheme = init->scheme,
                            .rules = init->rules.items,
                            .rule_count = init->rules.count,
                            .seed = init->seed,
                            .stream = init->stream,
                            .layout = layout,
                            .fans = init->fans};
    status = fanin_plan_create(s->graph, &o, &s->plan, &err);
    return status == FANIN_OK ? 0 : cli_fail(c, status, &err);
}

/* ---- output ------------------------------------------------------------------------------ */

static json_t *tensor_json(const fanin_audit_item *item, const fanin_audit_tensor *a) {
    json_t *o = json_object(), *fits = json_array(), *faults = json_array();
    for (int i = 0; i < a->fit_count; i++) {
        json_t *fit = json_object();
        json_object_set_new(fit, "rule", cli_text(a->fits[i].rule));
        json_object_set_new(fit, "p_value", cli_number(a->fits[i].p_value));
        json_array_append_new(fits, fit);
    }
    for (int i = 0; i < a->fault_count; i++) {
        json_t *fault = json_object();
        json_object_set_new(fault, "kind", cli_text(fanin_fault_name(a->faults[i].kind)));
        json_object_set_new(fault, "text", cli_text(a->faults[i].text));
        json_array_append_new(faults, fault);
    }
    json_object_set_new(o, "name", cli_text(item->array.name));
    json_object_set_new(o, "shape", cli_shape(item->array.dims, item->array.rank));
    json_object_set_new(o, "dtype", cli_text(fanin_dtype_name(item->array.dtype)));
    json_object_set_new(o, "mean", cli_number(a->mean));
    json_object_set_new(o, "std", cli_number(a->std));
    json_object_set_new(o, "fits", fits);
    json_object_set_new(o, "faults", faults);
    return o;
}

static int print_json(cli *c, const session *s) {
    json_t *o = json_object(), *tensors = json_array();
    for (int i = 0; i < s->count; i++)
        json_array_append_new(tensors, tensor_json(&s->items[i], fanin_audit_at(s->audit, i)));
    json_object_set_new(o, "ok", json_boolean(fanin_audit_ok(s->audit)));
    json_object_set_new(o, "tensors", tensors);
    return cli_json(c, o);
}

static fanin_status print_table(const session *s) {
    fanin_table *table;
    fanin_status status = fanin_table_create("<~tensor|>shape|>mean|>std|<~fits", &table);
    for (int i = 0; status == FANIN_OK && i < s->count; i++) {
        const fanin_audit_tensor *a = fanin_audit_at(s->audit, i);
        const fanin_array *array = &s->items[i].array;
        const char *cells[] = {array->name, cli_shape_text(array->dims, array->rank),
                               cli_cell(a->mean), cli_cell(a->std),
                               a->fit_count ? a->fits[0].rule : ""};
        status = fanin_table_row(table, NULL, cells);
    }
    char *text = NULL;
    if (status == FANIN_OK) status = fanin_table_render(table, 80, &text);
    if (status == FANIN_OK) fputs(text, stdout);
    fanin_free(text);
    fanin_table_destroy(table);
    return status;
}

static void print_faults(cli *c, const session *s) {
    int faults = 0;
    for (int i = 0; i < s->count; i++) {
        const fanin_audit_tensor *a = fanin_audit_at(s->audit, i);
        for (int f = 0; f < a->fault_count; f++, faults++)
            printf("%s%s%s %s: %s\n", cli_style(c, "\033[31m"), fanin_fault_name(a->faults[f].kind),
                   cli_style(c, "\033[0m"), s->items[i].array.name, a->faults[f].text);
    }
    printf("%d tensors, %d fault%s%s\n", s->count, faults, faults == 1 ? "" : "s",
           s->plan ? "" : "; no scheme declared (--scheme)");
}

int verb_audit(cli *c) {
    cli_init init = {0};
    const char *model = NULL;
    double alpha = 1e-3;
    const cli_option options[] = {
        CLI_INIT_OPTIONS(init),
        {"model", 0, CLI_TEXT, &model, "MODEL", "the network that the weights are for"},
        {"alpha", 0, CLI_NUMBER, &alpha, "X", "chance of a false alarm in the whole audit (0.001)"},
        CLI_END};
    session s = {0};
    fanin_err err = {0};
    if (!cli_parse(c, options, 1, 1)) return c->exit_code;
    if (!(alpha > 0 && alpha < 1)) return cli_usage(c, "--alpha %g lies outside 0 to 1", alpha);
    fanin_status status = fanin_weights_open(c->args[0], &s.weights, &err);
    int code = status == FANIN_OK ? 0 : cli_fail_input(c, status, &err);
    if (code == 0) code = open_model(c, model, &init, &s);
    if (code == 0) code = make_items(c, &s);
    if (code == 0) {
        fanin_audit_options o = {.alpha = alpha, .progress = cli_progress(c)};
        status = fanin_audit_create(s.items, s.count, &o, &s.audit, &err);
        cli_progress_end(c);
        if (status != FANIN_OK) code = cli_fail_input(c, status, &err);
    }
    if (code == 0 && c->json) {
        code = print_json(c, &s);
    } else if (code == 0) {
        status = print_table(&s);
        if (status != FANIN_OK) code = cli_fail(c, status, NULL);
        print_faults(c, &s);
    }
    if (code == 0 && !fanin_audit_ok(s.audit)) code = 1;
    session_close(&s);
    cli_list_fini(&init.rules);
    return code;
}
