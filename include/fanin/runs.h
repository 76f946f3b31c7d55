/* fanin/runs.h - the run store: what was trained, how, and what came of it, in one SQLite file.
 *
 *     fanin_runs *runs;
 *     fanin_runs_open("runs.db", FANIN_RUNS_WRITE, &runs, &err);
 *     int64_t run;
 *     fanin_runs_begin(runs, &(fanin_run_about){.kind = "train", .model = "lenet5"}, &run, &err);
 *     fanin_runs_metrics(runs, run, step, 1, (const char *[]){"test_loss"}, &loss, &err);
 *     fanin_runs_end(runs, run, "done", "", steps, seconds, &err);
 *     fanin_runs_close(runs);
 *
 * The schema is one, numbered, and described in docs/runs.md. Journal: WAL; every call below that writes is one
 * transaction, which outlives the process being killed right after it. Several processes may write to one
 * store: each waits up to 10 s for its turn. A store may be used from several threads.
 *
 * Errors of all calls: IO the disk is full, not writable, or another process keeps the store locked; FORMAT
 * the file is no run store, or damaged; UNSUPPORTED a store of a newer schema; NOMEM.
 */
#ifndef FANIN_RUNS_H
#define FANIN_RUNS_H

#include <fanin/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FANIN_RUNS_SCHEMA = 1 };

typedef struct fanin_runs fanin_runs;

typedef enum fanin_runs_mode {
    FANIN_RUNS_READ,  /* NOTFOUND without a file */
    FANIN_RUNS_WRITE, /* made when there is none */
} fanin_runs_mode;

/* Several processes may hold one store; a handle may be used from any thread. NOTFOUND; FORMAT a file that is no store;
 * UNSUPPORTED a newer schema; IO; NOMEM. */
FANIN_API fanin_status fanin_runs_open(const char *path, fanin_runs_mode mode, fanin_runs **runs,
                                       fanin_err *err);
FANIN_API void fanin_runs_close(fanin_runs *runs);

/* ---- writing -------------------------------------------------------------------------------------- */

/* Texts may be NULL: unknown. */
typedef struct fanin_run_about {
    const char *kind; /* "train", "compare" */
    const char *key;  /* of which there is one in a store; NULL: none */
    const char *model, *data, *scheme, *optimizer;
    uint64_t seed;
    const char *const *configuration; /* key, value, ..., NULL; NULL: none */
} fanin_run_about;

/* A new run, "running", with configuration and environment. A run of the same key goes on instead: it keeps
 * its number, and loses what it has beyond `from_step`. */
FANIN_API fanin_status fanin_runs_begin(fanin_runs *runs, const fanin_run_about *about,
                                        uint64_t from_step, int64_t *run, fanin_err *err);
/* Values by name at a step; NaN becomes NULL. A value that is there is replaced. */
FANIN_API fanin_status fanin_runs_metrics(fanin_runs *runs, int64_t run, uint64_t step, int count,
                                          const char *const *names, const double *values,
                                          fanin_err *err);
/* Figures of all layers at a step: layers rows of FANIN_RUNS_FIGURES numbers, in the order of
 * fanin_train_layer and of the columns of table layer. */
enum { FANIN_RUNS_FIGURES = 11 };
FANIN_API fanin_status fanin_runs_layers(fanin_runs *runs, int64_t run, uint64_t step, int layers,
                                         const char *const *names, const double *figures,
                                         fanin_err *err);
/* status: "done", "diverged", "interrupted", "failed"; `message`: one sentence, or "". */
FANIN_API fanin_status fanin_runs_end(fanin_runs *runs, int64_t run, const char *status,
                                      const char *message, uint64_t steps, double seconds,
                                      fanin_err *err);

/* ---- work that processes share -------------------------------------------------------------------- */

/* Enters runs that are still to be done ("waiting"); those whose key is there stay as they are, except that
 * what was interrupted or has failed waits again. */
FANIN_API fanin_status fanin_runs_plan(fanin_runs *runs, const fanin_run_about *runs_about,
                                       size_t count, fanin_err *err);
/* Takes one of the waiting runs among `keys`, or one whose owner is gone (a process of this machine that is
 * no more, or no sign of life for two minutes): now it is "running" and this process's, and what an earlier
 * owner left is removed. *at: index of its key; count: nothing to take. *left: runs that others are at. */
FANIN_API fanin_status fanin_runs_claim(fanin_runs *runs, const char *const *keys, size_t count,
                                        size_t *at, int64_t *run, size_t *left, fanin_err *err);
/* A sign of life; call it every half minute or more often. */
FANIN_API fanin_status fanin_runs_alive(fanin_runs *runs, int64_t run, fanin_err *err);

/* ---- reading -------------------------------------------------------------------------------------- */

typedef struct fanin_runs_value {
    enum { FANIN_RUNS_NULL, FANIN_RUNS_INTEGER, FANIN_RUNS_REAL, FANIN_RUNS_TEXT } kind;
    int64_t integer;
    double real;      /* integers too; NaN for NULL */
    const char *text; /* of any kind, "" for NULL */
} fanin_runs_value;

/* False: no more rows wanted. Values live until it returns. */
typedef bool (*fanin_runs_row)(void *ctx, int columns, const char *const *names,
                               const fanin_runs_value *values);

/* One SELECT (or WITH ... SELECT), ?1 ?2 ... bound to `arguments` (NULL-terminated texts; NULL: none).
 * Reads only: ARG for whatever would write, attach or set, and for what SQLite does not understand.
 * INTERRUPTED after fanin_interrupt. */
FANIN_API fanin_status fanin_runs_query(fanin_runs *runs, const char *sql,
                                        const char *const *arguments, fanin_runs_row row, void *ctx,
                                        fanin_err *err);

#ifdef __cplusplus
}
#endif
#endif
