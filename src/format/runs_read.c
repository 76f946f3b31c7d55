/* runs_read.c - questions to a run store: SELECT and nothing else, whatever the connection may do. */
#include <math.h>
#include <string.h>

#include "format/runs.h"

enum { COLUMNS_MAX = 64, STEPS_BETWEEN_LOOKS = 10000 };

static int only_reading(void *ctx, int action, const char *a, const char *b, const char *c,
                        const char *d) {
    (void)ctx, (void)a, (void)c, (void)d;
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE: return SQLITE_OK;
    case SQLITE_FUNCTION:
        return b && sqlite3_stricmp(b, "load_extension") == 0 ? SQLITE_DENY : SQLITE_OK;
    default: return SQLITE_DENY;
    }
}

/* standing(status, owner, alive): the status, or what has become of a run that calls itself running. */
static void standing(sqlite3_context *c, int count, sqlite3_value **v) {
    static const char *const texts[] = {"running", "killed", "silent"};
    const char *status = (const char *)sqlite3_value_text(v[0]);
    (void)count;
    if (!status || strcmp(status, "running") != 0) {
        sqlite3_result_value(c, v[0]);
        return;
    }
    const char *owner = (const char *)sqlite3_value_text(v[1]);
    int at = (int)fanin__runs_owner(sqlite3_user_data(c), owner, sqlite3_value_double(v[2]));
    sqlite3_result_text(c, texts[at], -1, SQLITE_STATIC);
}

int fanin__runs_functions(fanin_runs *r) {
    return sqlite3_create_function(r->db, "standing", 3, SQLITE_UTF8, r, standing, NULL, NULL);
}

static int stop_asked(void *ctx) {
    (void)ctx;
    return fanin_interrupted();
}

static fanin_runs_value value_at(sqlite3_stmt *s, int i) {
    fanin_runs_value v = {.kind = FANIN_RUNS_TEXT, .real = NAN};
    switch (sqlite3_column_type(s, i)) {
    case SQLITE_NULL: v.kind = FANIN_RUNS_NULL; break;
    case SQLITE_INTEGER: v.kind = FANIN_RUNS_INTEGER; break;
    case SQLITE_FLOAT: v.kind = FANIN_RUNS_REAL; break;
    default: break;
    }
    if (v.kind == FANIN_RUNS_INTEGER || v.kind == FANIN_RUNS_REAL) {
        v.integer = sqlite3_column_int64(s, i);
        v.real = sqlite3_column_double(s, i);
    }
    v.text = (const char *)sqlite3_column_text(s, i);
    if (!v.text) v.text = "";
    return v;
}

static fanin_status run_query(fanin_runs *r, sqlite3_stmt *s, fanin_runs_row row, void *ctx,
                              fanin_err *err) {
    int columns = sqlite3_column_count(s), code;
    const char *names[COLUMNS_MAX];
    fanin_runs_value values[COLUMNS_MAX];
    if (columns > COLUMNS_MAX)
        return fanin_err_set(err, FANIN_LIMIT, "%s: %d columns, at most %d", r->path, columns,
                             COLUMNS_MAX);
    for (int i = 0; i < columns; i++) names[i] = sqlite3_column_name(s, i);
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
        for (int i = 0; i < columns; i++) values[i] = value_at(s, i);
        if (!row(ctx, columns, names, values)) return FANIN_OK;
    }
    return code == SQLITE_DONE ? FANIN_OK : fanin__runs_error(r, code, err);
}

static fanin_status prepare(fanin_runs *r, const char *sql, const char *const *arguments,
                            sqlite3_stmt **s, fanin_err *err) {
    const char *rest = "";
    int code = sqlite3_prepare_v2(r->db, sql, -1, s, &rest);
    if (code == SQLITE_AUTH)
        return fanin_err_set(err, FANIN_ARG, "%s: SELECT only: the store is read, not changed",
                             r->path);
    if (code != SQLITE_OK) return fanin__runs_error(r, code, err);
    while (*rest == ' ' || *rest == '\n' || *rest == '\t' || *rest == ';') rest++;
    if (!*s || *rest) return fanin_err_set(err, FANIN_ARG, "%s: one SELECT at a time", r->path);
    for (int i = 0; arguments && arguments[i] && code == SQLITE_OK; i++)
        code = sqlite3_bind_text(*s, i + 1, arguments[i], -1, SQLITE_TRANSIENT);
    return code == SQLITE_OK ? FANIN_OK : fanin__runs_error(r, code, err);
}

fanin_status fanin_runs_query(fanin_runs *r, const char *sql, const char *const *arguments,
                              fanin_runs_row row, void *ctx, fanin_err *err) {
    sqlite3_stmt *s = NULL;
    pthread_mutex_lock(&r->lock);
    sqlite3_set_authorizer(r->db, only_reading, NULL);
    sqlite3_progress_handler(r->db, STEPS_BETWEEN_LOOKS, stop_asked, NULL);
    fanin_status status = prepare(r, sql, arguments, &s, err);
    if (status == FANIN_OK) status = run_query(r, s, row, ctx, err);
    sqlite3_finalize(s);
    sqlite3_set_authorizer(r->db, NULL, NULL);
    sqlite3_progress_handler(r->db, 0, NULL, NULL);
    pthread_mutex_unlock(&r->lock);
    return status;
}
