/* runs.h - a run store inside: the connection and small helpers, for runs.c, runs_write.c, runs_read.c. */
#ifndef FANIN_SRC_FORMAT_RUNS_H
#define FANIN_SRC_FORMAT_RUNS_H

#include <pthread.h>
#include <sqlite3.h>

#include "base/base.h"
#include "fanin/runs.h"

struct fanin_runs {
    sqlite3 *db;
    char *path;
    pthread_mutex_t lock; /* one transaction at a time */
    char owner[128];      /* "host pid" */
};

/* Of who is at a run: "host pid" of this machine whose process is no more, or nobody; nothing heard for long. */
typedef enum fanin__owner_state {
    FANIN__OWNER_ALIVE,
    FANIN__OWNER_KILLED,
    FANIN__OWNER_SILENT
} fanin__owner_state;
fanin__owner_state fanin__runs_owner(const fanin_runs *runs, const char *owner, double alive);
/* The last SQLite error as a status and a sentence. */
fanin_status fanin__runs_error(const fanin_runs *runs, int code, fanin_err *err);
/* Binds by letter: t const char * (NULL: NULL), i int64_t, r double (NaN: NULL); then runs the statement to
 * its end. *changed (may be NULL): rows. */
fanin_status fanin__runs_do(fanin_runs *runs, int *changed, fanin_err *err, const char *sql,
                            const char *letters, ...);
/* BEGIN IMMEDIATE under the lock; _end commits, or rolls back where status is a failure, and returns the first
 * failure. */
fanin_status fanin__runs_transaction(fanin_runs *runs, fanin_err *err);
fanin_status fanin__runs_finish(fanin_runs *runs, fanin_status status, fanin_err *err);

/* What questions may call besides SQLite's own; an SQLite code. */
int fanin__runs_functions(fanin_runs *runs);

#endif
