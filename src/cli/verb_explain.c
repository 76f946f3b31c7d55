/* verb_explain.c - the plan, nothing written. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <fanin/report.h>

#include "patterns.h"
#include "plan.h"

/* Largest magnitude that the rule can give; infinite for normals. */
static double bound_of(const fanin_plan_row *r) {
    double low = fabs(r->moments.low), high = fabs(r->moments.high);
    return low > high ? low : high;
}

static json_t *row_json(const fanin_plan_row *r) {
    json_t *o = json_object();
    json_object_set_new(o, "name", cli_text(r->tensor.name));
    json_object_set_new(o, "shape", cli_shape(r->tensor.dims, r->tensor.rank));
    json_object_set_new(o, "dtype", cli_text(fanin_dtype_name(r->dtype)));
    json_object_set_new(o, "op", cli_text(r->op));
    json_object_set_new(o, "class", cli_text(fanin_class_name(r->tensor.cls)));
    json_object_set_new(o, "fan_in", cli_number(r->tensor.fan_in));
    json_object_set_new(o, "fan_out", cli_number(r->tensor.fan_out));
    json_object_set_new(o, "rule", cli_text(r->rule_text));
    json_object_set_new(o, "mean", cli_number(r->moments.mean));
    json_object_set_new(o, "std", cli_number(r->moments.std));
    json_object_set_new(o, "gain", cli_number(r->moments.gain));
    json_object_set_new(o, "bound", cli_number(bound_of(r)));
    json_object_set_new(o, "reason", cli_text(r->reason));
    return o;
}

static int print_json(cli *c, const char *model, const cli_plan *p,
                      const fanin_patterns *patterns) {
    const fanin_plan *plan = p->plan;
    json_t *o = json_object(), *tensors = json_array();
    for (int i = 0; i < fanin_plan_count(plan); i++)
        json_array_append_new(tensors, row_json(fanin_plan_row_at(plan, i)));
    json_object_set_new(o, "model", cli_text(model));
    json_object_set_new(o, "scheme", cli_text(fanin_plan_scheme(plan)));
    json_object_set_new(o, "seed", json_integer((json_int_t)fanin_plan_seed(plan)));
    json_object_set_new(o, "stream", cli_text(fanin_plan_stream(plan)));
    json_object_set_new(o, "parameters", json_integer((json_int_t)fanin_plan_parameters(plan)));
    json_object_set_new(o, "tensors", tensors);
    json_object_set_new(o, "patterns", cli_patterns_json(p->graph, patterns));
    return cli_json(c, o);
}

/* "mean 0, std 0.02" of constants is their value. */
static const char *spread(const fanin_plan_row *r) {
    return r->moments.std == 0 ? "0" : cli_cell(r->moments.std);
}

static fanin_status print_table(const fanin_plan *plan) {
    fanin_table *table;
    fanin_status status = fanin_table_create("<~tensor|>shape|<class|>fan_in|<~rule|>std", &table);
    for (int i = 0; status == FANIN_OK && i < fanin_plan_count(plan); i++) {
        const fanin_plan_row *r = fanin_plan_row_at(plan, i);
        const char *cells[] = {
            r->tensor.name,
            cli_shape_text(r->tensor.dims, r->tensor.rank),
            fanin_class_name(r->tensor.cls),
            fanin_class_is_weight(r->tensor.cls) ? cli_cell(r->tensor.fan_in) : "",
            r->rule_text,
            r->keep ? "" : spread(r),
        };
        status = fanin_table_row(table, NULL, cells);
    }
    char *text = NULL;
    if (status == FANIN_OK) status = fanin_table_render(table, cli_width(), &text);
    if (status == FANIN_OK) fputs(text, stdout);
    fanin_free(text);
    fanin_table_destroy(table);
    return status;
}

/* Words of `text` in lines of at most 80 columns, the first after `head`. */
static void print_wrapped(const char *head, const char *text) {
    int column = printf("%s", head), indent = column;
    for (const char *s = text; *s;) {
        int n = (int)strcspn(s, " ");
        if (column > indent && column + n + 1 > 80) column = printf("\n%*s", indent, "") - 1;
        column += printf("%s%.*s", column > indent ? " " : "", n, s);
        s += n + (s[n] == ' ');
    }
    puts("");
}

/* One reason for each class: the rows of a class differ in their fans only, or --why shows all. */
static void print_reasons(const fanin_plan *plan, bool all) {
    bool told[64] = {false};
    puts(all ? "\nwhy:" : "\nwhy, the first of each class (--why: all):");
    for (int i = 0; i < fanin_plan_count(plan); i++) {
        const fanin_plan_row *r = fanin_plan_row_at(plan, i);
        char head[128];
        int cls = (int)r->tensor.cls & 63;
        if (told[cls] && !all) continue;
        told[cls] = true;
        snprintf(head, sizeof head, "  %.*s: ", 100, r->tensor.name);
        print_wrapped(strlen(head) < 40 ? head : "  ", r->reason);
    }
}

int verb_explain(cli *c) {
    cli_init init = {0};
    bool as_scheme = false, why = false;
    const cli_option options[] = {
        CLI_INIT_OPTIONS(init),
        {"as-scheme", 0, CLI_FLAG, &as_scheme, NULL, "print the plan as a scheme file"},
        {"why", 0, CLI_FLAG, &why, NULL, "the reason of every tensor"},
        CLI_END};
    if (!cli_parse(c, options, 1, 1)) return c->exit_code;
    cli_plan p;
    fanin_patterns *patterns = NULL;
    fanin_err err = {0};
    int code = cli_open_plan(c, c->args[0], &init, &p);
    fanin_status found = code ? FANIN_OK : fanin_patterns_create(p.graph, &patterns, &err);
    if (found != FANIN_OK) code = cli_fail(c, found, &err);
    if (code == 0 && as_scheme) {
        char *text = fanin_plan_scheme_text(p.plan);
        if (text)
            fputs(text, stdout);
        else
            code = cli_fail(c, FANIN_NOMEM, NULL);
        fanin_free(text);
    } else if (code == 0 && c->json) {
        code = print_json(c, c->args[0], &p, patterns);
    } else if (code == 0) {
        fanin_status status = print_table(p.plan);
        if (status != FANIN_OK) code = cli_fail(c, status, NULL);
        printf("%d tensors, %s parameters; scheme %s, seed %llu, stream %s\n",
               fanin_plan_count(p.plan), cli_thousands(fanin_plan_parameters(p.plan)),
               fanin_plan_scheme(p.plan), (unsigned long long)fanin_plan_seed(p.plan),
               fanin_plan_stream(p.plan));
        cli_patterns_print(patterns);
        print_reasons(p.plan, why);
    }
    fanin_patterns_destroy(patterns);
    cli_close_plan(&p);
    cli_list_fini(&init.rules);
    return code;
}
