/* runs.c - opening a run store, its schema, its errors. */
#include "format/runs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { APPLICATION_ID = 0x66616e69, BUSY_MS = 10000 }; /* "fani" */

/* Version 1. docs/runs.md says what each column means; a change is a new version with a step that brings an old
 * store up to it. */
static const char schema[] =
    "CREATE TABLE run("
    " id INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT UNIQUE, status TEXT NOT NULL,"
    " model TEXT, data TEXT, scheme TEXT, optimizer TEXT, seed TEXT NOT NULL,"
    " started TEXT, finished TEXT, steps INTEGER, seconds REAL, message TEXT NOT NULL DEFAULT '',"
    " owner TEXT, alive REAL"
    ") STRICT;"
    "CREATE TABLE configuration("
    " run INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE, key TEXT NOT NULL, value TEXT,"
    " PRIMARY KEY(run, key)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE environment("
    " run INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE, key TEXT NOT NULL, value TEXT,"
    " PRIMARY KEY(run, key)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE metric("
    " run INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE, name TEXT NOT NULL,"
    " step INTEGER NOT NULL, value REAL, PRIMARY KEY(run, name, step)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE layer("
    " run INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE, step INTEGER NOT NULL,"
    " layer INTEGER NOT NULL, name TEXT NOT NULL, h_mean REAL, h_std REAL, h_p98 REAL, zeros REAL,"
    " saturated REAL, dead REAL, s_rms REAL, gradient REAL, weight REAL, weight_gradient REAL,"
    " update_ratio REAL, PRIMARY KEY(run, step, layer)) STRICT, WITHOUT ROWID;";

fanin_status fanin__runs_error(const fanin_runs *r, int code, fanin_err *err) {
    const char *text = r->db ? sqlite3_errmsg(r->db) : sqlite3_errstr(code);
    switch (code & 0xff) {
    case SQLITE_NOMEM: return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", r->path);
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_FORMAT:
        return fanin_err_set(err, FANIN_FORMAT, "%s: not a run store, or damaged: %s", r->path,
                             text);
    case SQLITE_FULL:
        return fanin_err_set(err, FANIN_IO, "%s: cannot write: the disk is full", r->path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return fanin_err_set(err, FANIN_IO,
                             "%s: another process has kept it locked for more than %d s", r->path,
                             BUSY_MS / 1000);
    case SQLITE_INTERRUPT: return fanin_err_set(err, FANIN_INTERRUPTED, "interrupted");
    case SQLITE_ERROR:
    case SQLITE_AUTH:
    case SQLITE_RANGE: return fanin_err_set(err, FANIN_ARG, "%s: %s", r->path, text);
    default: return fanin_err_set(err, FANIN_IO, "%s: %s", r->path, text);
    }
}

/* Statements without results, separated by ';'. */
static fanin_status execute(fanin_runs *r, const char *sql, fanin_err *err) {
    int code = sqlite3_exec(r->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? FANIN_OK : fanin__runs_error(r, code, err);
}

static int bind_all(sqlite3_stmt *s, const char *letters, va_list args) {
    int code = SQLITE_OK;
    for (int i = 0; letters[i] && code == SQLITE_OK; i++) {
        if (letters[i] == 't') {
            const char *text = va_arg(args, const char *);
            code = text ? sqlite3_bind_text(s, i + 1, text, -1, SQLITE_TRANSIENT)
                        : sqlite3_bind_null(s, i + 1);
        } else if (letters[i] == 'i') {
            code = sqlite3_bind_int64(s, i + 1, va_arg(args, int64_t));
        } else {
            code = sqlite3_bind_double(s, i + 1, va_arg(args, double)); /* NaN is bound as NULL */
        }
    }
    return code;
}

fanin_status fanin__runs_do(fanin_runs *r, int *changed, fanin_err *err, const char *sql,
                            const char *letters, ...) {
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(r->db, sql, -1, &s, NULL);
    if (code == SQLITE_OK) {
        va_list args;
        va_start(args, letters);
        code = bind_all(s, letters, args);
        va_end(args);
    }
    while (code == SQLITE_OK || code == SQLITE_ROW) code = sqlite3_step(s);
    fanin_status status = code == SQLITE_DONE ? FANIN_OK : fanin__runs_error(r, code, err);
    if (changed) *changed = sqlite3_changes(r->db);
    sqlite3_finalize(s);
    return status;
}

fanin_status fanin__runs_transaction(fanin_runs *r, fanin_err *err) {
    pthread_mutex_lock(&r->lock);
    fanin_status status = execute(r, "BEGIN IMMEDIATE", err);
    if (status != FANIN_OK) pthread_mutex_unlock(&r->lock);
    return status;
}

fanin_status fanin__runs_finish(fanin_runs *r, fanin_status status, fanin_err *err) {
    if (status == FANIN_OK) status = execute(r, "COMMIT", err);
    if (status != FANIN_OK) (void)sqlite3_exec(r->db, "ROLLBACK", NULL, NULL, NULL);
    pthread_mutex_unlock(&r->lock);
    return status;
}

/* ---- opening -------------------------------------------------------------------------------------- */

static fanin_status pragma(fanin_runs *r, const char *name, int64_t *value, fanin_err *err) {
    char sql[64];
    sqlite3_stmt *s = NULL;
    snprintf(sql, sizeof sql, "PRAGMA %s", name);
    int code = sqlite3_prepare_v2(r->db, sql, -1, &s, NULL);
    if (code == SQLITE_OK) code = sqlite3_step(s);
    if (code == SQLITE_ROW) *value = sqlite3_column_int64(s, 0);
    fanin_status status = code == SQLITE_ROW ? FANIN_OK : fanin__runs_error(r, code, err);
    sqlite3_finalize(s);
    return status;
}

static fanin_status check_schema(fanin_runs *r, bool *empty, fanin_err *err) {
    int64_t id = 0, version = 0, pages = 0;
    FANIN_TRY(pragma(r, "schema_version", &pages, err)); /* 0: nothing was ever created in it */
    FANIN_TRY(pragma(r, "application_id", &id, err));
    FANIN_TRY(pragma(r, "user_version", &version, err));
    *empty = pages == 0 && id == 0 && version == 0;
    if (*empty) return FANIN_OK;
    if (id != APPLICATION_ID)
        return fanin_err_set(err, FANIN_FORMAT, "%s: an SQLite file, but not a run store of fanin",
                             r->path);
    if (version > FANIN_RUNS_SCHEMA)
        return fanin_err_set(err, FANIN_UNSUPPORTED,
                             "%s: a run store of schema %lld; this fanin knows schemas up to %d: "
                             "use the newer fanin that wrote it",
                             r->path, (long long)version, FANIN_RUNS_SCHEMA);
    return FANIN_OK;
}

static fanin_status create_schema(fanin_runs *r, fanin_err *err) {
    char stamp[96];
    snprintf(stamp, sizeof stamp, "PRAGMA application_id=%d; PRAGMA user_version=%d",
             APPLICATION_ID, FANIN_RUNS_SCHEMA);
    FANIN_TRY(fanin__runs_transaction(r, err));
    bool empty; /* another process may have been quicker */
    fanin_status status = check_schema(r, &empty, err);
    if (status == FANIN_OK && empty) status = execute(r, schema, err);
    if (status == FANIN_OK && empty) status = execute(r, stamp, err);
    return fanin__runs_finish(r, status, err);
}

/* Where WAL cannot be (network filesystems), SQLite stays with a rollback journal: as safe, slower. The change
 * wants the file alone and does not wait for it by itself. */
static fanin_status use_wal(fanin_runs *r, fanin_err *err) {
    int code = SQLITE_BUSY;
    for (int waited = 0; waited < BUSY_MS && (code & 0xff) == SQLITE_BUSY; waited += 20) {
        if (waited) usleep(20000);
        code = sqlite3_exec(r->db, "PRAGMA journal_mode=WAL", NULL, NULL, NULL);
    }
    return code == SQLITE_OK ? FANIN_OK : fanin__runs_error(r, code, err);
}

static fanin_status open_checked(fanin_runs *r, fanin_runs_mode mode, fanin_err *err) {
    bool write = mode == FANIN_RUNS_WRITE;
    if (!write && access(r->path, F_OK) != 0)
        return fanin_err_set(err, FANIN_NOTFOUND, "%s: no such run store", r->path);
    int flags = write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
    int code = sqlite3_open_v2(r->path, &r->db, flags | SQLITE_OPEN_FULLMUTEX, NULL);
    if (code != SQLITE_OK) return fanin__runs_error(r, code, err);
    code = fanin__runs_functions(r);
    if (code != SQLITE_OK) return fanin__runs_error(r, code, err);
    sqlite3_busy_timeout(r->db, BUSY_MS);
    bool empty = false;
    FANIN_TRY(check_schema(r, &empty, err));
    if (!write)
        return empty
                   ? fanin_err_set(err, FANIN_FORMAT, "%s: an empty file, not a run store", r->path)
                   : FANIN_OK;
    FANIN_TRY(use_wal(r, err));
    FANIN_TRY(execute(r, "PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON", err));
    return empty ? create_schema(r, err) : FANIN_OK;
}

fanin_status fanin_runs_open(const char *path, fanin_runs_mode mode, fanin_runs **out,
                             fanin_err *err) {
    *out = NULL;
    fanin_runs *r = fanin_calloc(1, sizeof *r);
    if (!r) return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
    pthread_mutex_init(&r->lock, NULL);
    char host[64] = "?";
    (void)gethostname(host, sizeof host - 1);
    snprintf(r->owner, sizeof r->owner, "%s %ld", host, (long)getpid());
    r->path = fanin__strdup(path);
    fanin_status status = r->path ? open_checked(r, mode, err)
                                  : fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
    if (status != FANIN_OK) {
        fanin_runs_close(r);
        return status;
    }
    *out = r;
    return FANIN_OK;
}

void fanin_runs_close(fanin_runs *r) {
    if (!r) return;
    sqlite3_close_v2(r->db);
    pthread_mutex_destroy(&r->lock);
    fanin_free(r->path);
    fanin_free(r);
}
