/* fanin runs: what is in a run store. list, show and sql read; nothing is written. */
#include <fanin/report.h>
#include <fanin/runs.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

enum { COLUMNS_MAX = 64, CELLS_MAX = 1000000 };

/* ---- an answer as JSON or as a table --------------------------------------------------------------- */

typedef struct answer {
    json_t *rows; /* --json */
    fanin_table *table;
    const char *const *headings; /* "<name" by column; NULL: from the answer */
    int count;
    fanin_status status;
} answer;

static json_t *value_json(const fanin_runs_value *v) {
    switch (v->kind) {
    case FANIN_RUNS_INTEGER: return json_integer((json_int_t)v->integer);
    case FANIN_RUNS_REAL: return cli_number(v->real);
    case FANIN_RUNS_TEXT: return json_string(v->text);
    default: return json_null();
    }
}

static bool add_json(answer *a, int columns, const char *const *names,
                     const fanin_runs_value *values) {
    json_t *o = json_object();
    for (int i = 0; i < columns; i++) {
        json_t *v = value_json(&values[i]);
        json_object_set_new(o, names[i], v ? v : json_string("?")); /* text that is no UTF-8 */
    }
    json_array_append_new(a->rows, o);
    return true;
}

static fanin_status make_table(answer *a, int columns, const char *const *names,
                               const fanin_runs_value *values) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f) return FANIN_NOMEM;
    for (int i = 0; i < columns; i++) {
        bool number = values[i].kind == FANIN_RUNS_INTEGER || values[i].kind == FANIN_RUNS_REAL;
        fputs(i ? "|" : "", f);
        if (a->headings)
            fputs(a->headings[i], f);
        else
            fprintf(f, "%s%s", number ? ">" : "<~", names[i]);
    }
    fanin_status status = fclose(f) == 0 ? fanin_table_create(text, &a->table) : FANIN_NOMEM;
    free(text);
    return status;
}

static bool add_row(answer *a, int columns, const char *const *names,
                    const fanin_runs_value *values) {
    const char *cells[COLUMNS_MAX];
    char numbers[COLUMNS_MAX][24];
    if (!a->table) a->status = make_table(a, columns, names, values);
    for (int i = 0; i < columns && a->status == FANIN_OK; i++) {
        cells[i] = values[i].text;
        if (values[i].kind != FANIN_RUNS_REAL) continue;
        snprintf(numbers[i], sizeof numbers[i], "%.5g", values[i].real);
        cells[i] = numbers[i];
    }
    if (a->status == FANIN_OK) a->status = fanin_table_row(a->table, NULL, cells);
    return a->status == FANIN_OK;
}

static bool on_row(void *ctx, int columns, const char *const *names,
                   const fanin_runs_value *values) {
    answer *a = ctx;
    a->count++;
    return a->rows ? add_json(a, columns, names, values) : add_row(a, columns, names, values);
}

/* Asks and collects; with JSON the rows are in a->rows (the caller's), else the table is printed. */
static int ask(cli *c, fanin_runs *runs, const char *sql, const char *const *arguments, answer *a) {
    fanin_err err = {0};
    a->rows = c->json ? json_array() : NULL;
    fanin_status status = fanin_runs_query(runs, sql, arguments, on_row, a, &err);
    if (status == FANIN_OK) status = a->status;
    char *text = NULL;
    if (status == FANIN_OK && a->table) status = fanin_table_render(a->table, cli_width(), &text);
    fanin_table_destroy(a->table);
    if (text) fputs(text, stdout);
    fanin_free(text);
    if (status == FANIN_OK) return 0;
    json_decref(a->rows);
    a->rows = NULL;
    return cli_fail(c, status, &err);
}

/* ---- list ------------------------------------------------------------------------------------------ */

static const char last_value[] =
    "(SELECT value FROM metric WHERE run=r.id AND name='%s' ORDER BY step DESC LIMIT 1)";

static int list(cli *c, fanin_runs *runs) {
    static const char *const headings[] = {">run",   "<kind",    "<status", "<~model",
                                           "<~data", "<~scheme", ">seed",   ">steps",
                                           ">loss",  ">error",   ">seconds"};
    char sql[1024], loss[128], error[128];
    snprintf(loss, sizeof loss, last_value, "test_loss");
    snprintf(error, sizeof error, last_value, "test_error");
    snprintf(
        sql, sizeof sql,
        "SELECT id AS run, kind, standing(status, owner, alive) AS status, model, data, scheme, "
        "CAST(seed AS INTEGER) AS seed, "
        "coalesce(steps, (SELECT max(step) FROM metric WHERE run=r.id)) AS steps, "
        "%s AS test_loss, %s AS test_error, seconds FROM run r ORDER BY id",
        loss, error);
    answer a = {.headings = headings};
    int code = ask(c, runs, sql, NULL, &a);
    if (code) return code;
    if (!c->json) {
        if (a.count == 0) cli_note(c, "no runs");
        return 0;
    }
    json_t *o = json_object();
    json_object_set_new(o, "runs", a.rows);
    return cli_json(c, o);
}

/* ---- show ------------------------------------------------------------------------------------------ */

typedef struct part {
    const char *name, *title, *sql;
} part;

static const part parts[] = {
    {"run", NULL,
     "SELECT id AS run, kind, standing(status, owner, alive) AS status, model, data, scheme, "
     "optimizer, seed, started, finished, "
     "steps, seconds, message FROM run WHERE id=?1"},
    {"configuration", "configuration", "SELECT key, value FROM configuration WHERE run=?1"},
    {"environment", "environment", "SELECT key, value FROM environment WHERE run=?1"},
    {"metrics", "evaluations",
     "SELECT step, max(value) FILTER (WHERE name='train_loss') AS train_loss, "
     "max(value) FILTER (WHERE name='test_loss') AS test_loss, "
     "max(value) FILTER (WHERE name='test_error') AS test_error, "
     "max(value) FILTER (WHERE name='valid_loss') AS valid_loss, "
     "max(value) FILTER (WHERE name='valid_error') AS valid_error, "
     "max(value) FILTER (WHERE name='seconds') AS seconds "
     "FROM metric WHERE run=?1 GROUP BY step ORDER BY step"},
    {"layers", "layers at the last look",
     "SELECT name, h_mean, h_std, zeros, saturated, dead, gradient, update_ratio FROM layer "
     "WHERE run=?1 AND step=(SELECT max(step) FROM layer WHERE run=?1) ORDER BY layer"},
};

static bool print_fields(void *ctx, int columns, const char *const *names,
                         const fanin_runs_value *values) {
    int *count = ctx;
    (*count)++;
    for (int i = 0; i < columns; i++) {
        printf("%-16s", names[i]);
        cli_wrapped(values[i].text, 16);
    }
    return true;
}

static int show_part(cli *c, fanin_runs *runs, const part *p, const char *const *arguments,
                     json_t *all) {
    answer a = {.count = 0};
    fanin_err err = {0};
    int rows = 0;
    if (!p->title && !c->json) { /* one record: a line a field */
        fanin_status status = fanin_runs_query(runs, p->sql, arguments, print_fields, &rows, &err);
        if (status != FANIN_OK) return cli_fail(c, status, &err);
        return rows ? 0 : cli_usage(c, "the store has no run %s", arguments[0]);
    }
    if (p->title && !c->json)
        printf("\n%s%s%s\n", cli_style(c, "\033[1m"), p->title, cli_style(c, "\033[0m"));
    int code = ask(c, runs, p->sql, arguments, &a);
    if (code) return code;
    if (!p->title && a.count == 0) {
        json_decref(a.rows);
        return cli_usage(c, "the store has no run %s", arguments[0]);
    }
    if (c->json) json_object_set_new(all, p->name, a.rows);
    return 0;
}

static int show(cli *c, fanin_runs *runs, const char *id) {
    const char *const arguments[] = {id, NULL};
    json_t *all = c->json ? json_object() : NULL;
    int code = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && !code; i++)
        code = show_part(c, runs, &parts[i], arguments, all);
    if (c->json && !code) return cli_json(c, all);
    json_decref(all);
    return code;
}

/* ---- sql ------------------------------------------------------------------------------------------- */

static int sql(cli *c, fanin_runs *runs, const char *text) {
    answer a = {.count = 0};
    int code = ask(c, runs, text, NULL, &a);
    if (code || !c->json) return code;
    json_t *o = json_object();
    json_object_set_new(o, "rows", a.rows);
    return cli_json(c, o);
}

int verb_runs(cli *c) {
    const char *log = NULL;
    const cli_option options[] = {
        {"log", 0, CLI_TEXT, &log, "RUNS.db",
         "the run store (or the argument before ID and QUERY)"},
        CLI_END,
    };
    if (!cli_parse(c, options, 1, 3)) return c->exit_code;
    const char *what = c->args[0];
    bool is_list = !strcmp(what, "list"), is_show = !strcmp(what, "show"),
         is_sql = !strcmp(what, "sql");
    if (!is_list && !is_show && !is_sql)
        return cli_usage(c, "'%s': expected list, show or sql", what);
    int at = 1, wants = is_list ? 0 : 1;
    if (!log && c->arg_count > at) log = c->args[at++];
    if (!log) return cli_usage(c, "which store? fanin runs %s RUNS.db", what);
    if (c->arg_count - at != wants)
        return cli_usage(c, is_list   ? "list takes a store and nothing else"
                            : is_show ? "show wants the number of a run; fanin runs list"
                                      : "sql wants one SELECT, in quotes");
    fanin_runs *runs;
    fanin_err err = {0};
    fanin_status status = fanin_runs_open(log, FANIN_RUNS_READ, &runs, &err);
    if (status != FANIN_OK) return cli_fail_input(c, status, &err);
    int code = is_list   ? list(c, runs)
               : is_show ? show(c, runs, c->args[at])
                         : sql(c, runs, c->args[at]);
    fanin_runs_close(runs);
    return code;
}
