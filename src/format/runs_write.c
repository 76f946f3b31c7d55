/* runs_write.c - runs, their numbers, and the claims of processes that share work. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "format/runs.h"

static const double gone_after = 120; /* seconds without a sign of life */

static double wall(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- a run ---------------------------------------------------------------------------------------- */

static fanin_status add_texts(fanin_runs *r, const char *sql, int64_t run, const char *const *pairs,
                              fanin_err *err) {
    for (int i = 0; pairs && pairs[i]; i += 2)
        FANIN_TRY(fanin__runs_do(r, NULL, err, sql, "itt", run, pairs[i], pairs[i + 1]));
    return FANIN_OK;
}

/* "model name" of the first processor; "" where /proc does not say. */
static void processor_name(char *out, size_t size) {
    char line[256];
    out[0] = '\0';
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        colon[strcspn(colon, "\n")] = '\0';
        snprintf(out, size, "%s", colon + 1 + (colon[1] == ' '));
        break;
    }
    if (f) fclose(f);
}

static fanin_status add_environment(fanin_runs *r, int64_t run, fanin_err *err) {
    static const char *const levels[] = {"ref", "avx2", "avx512"};
    char threads[16], system[512] = "", processor[256];
    struct utsname u;
    snprintf(threads, sizeof threads, "%u", fanin_threads());
    if (uname(&u) == 0)
        snprintf(system, sizeof system, "%.150s %.150s %.150s", u.sysname, u.release, u.machine);
    processor_name(processor, sizeof processor);
    const char *omp = getenv("OMP_NUM_THREADS");
    const char *const pairs[] = {"fanin",
                                 fanin_version(),
                                 "system",
                                 system,
                                 "cpu",
                                 processor,
                                 "kernels",
                                 levels[fanin_cpu_level()],
                                 "threads",
                                 threads,
                                 "sqlite",
                                 sqlite3_libversion(),
                                 "OMP_NUM_THREADS",
                                 omp ? omp : "",
                                 NULL};
    return add_texts(r, "INSERT OR REPLACE INTO environment VALUES(?1, ?2, ?3)", run, pairs, err);
}

static const char insert_configuration[] =
    "INSERT OR REPLACE INTO configuration VALUES(?1, ?2, ?3)";

/* The number of the run with this key; 0: none. */
static fanin_status find_key(fanin_runs *r, const char *key, int64_t *run, fanin_err *err) {
    sqlite3_stmt *s = NULL;
    *run = 0;
    int code = sqlite3_prepare_v2(r->db, "SELECT id FROM run WHERE key=?1", -1, &s, NULL);
    if (code == SQLITE_OK) code = sqlite3_bind_text(s, 1, key, -1, SQLITE_TRANSIENT);
    if (code == SQLITE_OK) code = sqlite3_step(s);
    if (code == SQLITE_ROW) *run = sqlite3_column_int64(s, 0);
    fanin_status status =
        code == SQLITE_ROW || code == SQLITE_DONE ? FANIN_OK : fanin__runs_error(r, code, err);
    sqlite3_finalize(s);
    return status;
}

static fanin_status insert_run(fanin_runs *r, const fanin_run_about *a, const char *status,
                               int64_t *run, fanin_err *err) {
    char seed[24]; /* 64 bits without a sign do not fit SQLite's integers */
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)a->seed);
    FANIN_TRY(fanin__runs_do(r, NULL, err,
                             "INSERT INTO run(kind, key, status, model, data, scheme, optimizer, "
                             "seed) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                             "tttttttt", a->kind, a->key, status, a->model, a->data, a->scheme,
                             a->optimizer, seed));
    *run = sqlite3_last_insert_rowid(r->db);
    return add_texts(r, insert_configuration, *run, a->configuration, err);
}

/* Now this process is at it; numbers of steps beyond `from` (-1: all) go. */
static fanin_status take_run(fanin_runs *r, int64_t run, int64_t from, fanin_err *err) {
    FANIN_TRY(fanin__runs_do(r, NULL, err, "DELETE FROM metric WHERE run=?1 AND step>?2", "ii", run,
                             from));
    FANIN_TRY(fanin__runs_do(r, NULL, err, "DELETE FROM layer WHERE run=?1 AND step>=?2", "ii", run,
                             from));
    FANIN_TRY(fanin__runs_do(r, NULL, err,
                             "UPDATE run SET status='running', owner=?2, alive=?3, message='', "
                             "finished=NULL, started=coalesce(started, "
                             "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')) WHERE id=?1",
                             "itr", run, r->owner, wall()));
    return add_environment(r, run, err);
}

static fanin_status begin(fanin_runs *r, const fanin_run_about *a, uint64_t from, int64_t *run,
                          fanin_err *err) {
    int64_t old = 0;
    if (a->key) FANIN_TRY(find_key(r, a->key, &old, err));
    *run = old;
    if (!old) FANIN_TRY(insert_run(r, a, "running", run, err));
    if (old) FANIN_TRY(add_texts(r, insert_configuration, old, a->configuration, err));
    return take_run(r, *run, (int64_t)from, err);
}

fanin_status fanin_runs_begin(fanin_runs *r, const fanin_run_about *about, uint64_t from_step,
                              int64_t *run, fanin_err *err) {
    FANIN_TRY(fanin__runs_transaction(r, err));
    return fanin__runs_finish(r, begin(r, about, from_step, run, err), err);
}

fanin_status fanin_runs_metrics(fanin_runs *r, int64_t run, uint64_t step, int count,
                                const char *const *names, const double *values, fanin_err *err) {
    FANIN_TRY(fanin__runs_transaction(r, err));
    fanin_status status = FANIN_OK;
    for (int i = 0; i < count && status == FANIN_OK; i++)
        status =
            fanin__runs_do(r, NULL, err, "INSERT OR REPLACE INTO metric VALUES(?1, ?2, ?3, ?4)",
                           "itir", run, names[i], (int64_t)step, values[i]);
    if (status == FANIN_OK)
        status =
            fanin__runs_do(r, NULL, err, "UPDATE run SET alive=?2 WHERE id=?1", "ir", run, wall());
    return fanin__runs_finish(r, status, err);
}

fanin_status fanin_runs_layers(fanin_runs *r, int64_t run, uint64_t step, int layers,
                               const char *const *names, const double *figures, fanin_err *err) {
    static const char sql[] = "INSERT OR REPLACE INTO layer VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, "
                              "?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    FANIN_TRY(fanin__runs_transaction(r, err));
    fanin_status status = FANIN_OK;
    for (int i = 0; i < layers && status == FANIN_OK; i++) {
        const double *v = figures + (size_t)i * FANIN_RUNS_FIGURES;
        status = fanin__runs_do(r, NULL, err, sql, "iiitrrrrrrrrrrr", run, (int64_t)step,
                                (int64_t)i, names[i], v[0], v[1], v[2], v[3], v[4], v[5], v[6],
                                v[7], v[8], v[9], v[10]);
    }
    return fanin__runs_finish(r, status, err);
}

fanin_status fanin_runs_end(fanin_runs *r, int64_t run, const char *state, const char *message,
                            uint64_t steps, double seconds, fanin_err *err) {
    FANIN_TRY(fanin__runs_transaction(r, err));
    return fanin__runs_finish(
        r,
        fanin__runs_do(r, NULL, err,
                       "UPDATE run SET status=?2, message=?3, steps=?4, seconds=?5, owner=NULL, "
                       "finished=strftime('%Y-%m-%dT%H:%M:%SZ', 'now') WHERE id=?1",
                       "ittir", run, state, message, (int64_t)steps, seconds),
        err);
}

/* ---- shared work ---------------------------------------------------------------------------------- */

static fanin_status plan_one(fanin_runs *r, const fanin_run_about *a, fanin_err *err) {
    int64_t run;
    FANIN_TRY(find_key(r, a->key, &run, err));
    if (!run) return insert_run(r, a, "waiting", &run, err);
    return fanin__runs_do(r, NULL, err,
                          "UPDATE run SET status='waiting', owner=NULL WHERE id=?1 AND "
                          "status IN ('interrupted', 'failed')",
                          "i", run);
}

fanin_status fanin_runs_plan(fanin_runs *r, const fanin_run_about *about, size_t count,
                             fanin_err *err) {
    FANIN_TRY(fanin__runs_transaction(r, err));
    fanin_status status = FANIN_OK;
    for (size_t i = 0; i < count && status == FANIN_OK; i++) status = plan_one(r, &about[i], err);
    return fanin__runs_finish(r, status, err);
}

fanin__owner_state fanin__runs_owner(const fanin_runs *r, const char *owner, double alive) {
    const char *mine = strrchr(r->owner, ' '), *his = owner ? strrchr(owner, ' ') : NULL;
    if (!his) return FANIN__OWNER_KILLED;
    bool here = his - owner == mine - r->owner && !strncmp(owner, r->owner, (size_t)(his - owner));
    long pid = strtol(his, NULL, 10);
    if (here && pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH) return FANIN__OWNER_KILLED;
    return wall() - alive > gone_after ? FANIN__OWNER_SILENT : FANIN__OWNER_ALIVE;
}

typedef enum standing { FREE, BUSY, FINISHED } standing;

static fanin_status look_up(fanin_runs *r, sqlite3_stmt *s, const char *key, int64_t *run,
                            standing *how, fanin_err *err) {
    sqlite3_reset(s);
    int code = sqlite3_bind_text(s, 1, key, -1, SQLITE_TRANSIENT);
    if (code == SQLITE_OK) code = sqlite3_step(s);
    if (code != SQLITE_ROW)
        return code == SQLITE_DONE ? fanin_err_set(err, FANIN_NOTFOUND,
                                                   "%s: run %s is not in it any more", r->path, key)
                                   : fanin__runs_error(r, code, err);
    *run = sqlite3_column_int64(s, 0);
    const char *status = (const char *)sqlite3_column_text(s, 1);
    const char *owner = (const char *)sqlite3_column_text(s, 2);
    double alive = sqlite3_column_double(s, 3);
    *how = !status || !strcmp(status, "waiting")                      ? FREE
           : strcmp(status, "running") != 0                           ? FINISHED
           : fanin__runs_owner(r, owner, alive) != FANIN__OWNER_ALIVE ? FREE
                                                                      : BUSY;
    return FANIN_OK;
}

static fanin_status claim(fanin_runs *r, const char *const *keys, size_t count, size_t *at,
                          int64_t *run, size_t *left, fanin_err *err) {
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(r->db, "SELECT id, status, owner, alive FROM run WHERE key=?1",
                                  -1, &s, NULL);
    fanin_status status = code == SQLITE_OK ? FANIN_OK : fanin__runs_error(r, code, err);
    for (size_t i = 0; i < count && status == FANIN_OK && *at == count; i++) {
        standing how = BUSY;
        int64_t id = 0;
        status = look_up(r, s, keys[i], &id, &how, err);
        if (status != FANIN_OK) break;
        *left += how == BUSY;
        if (how != FREE) continue;
        *at = i;
        *run = id;
    }
    sqlite3_finalize(s);
    return status == FANIN_OK && *at < count ? take_run(r, *run, -1, err) : status;
}

fanin_status fanin_runs_claim(fanin_runs *r, const char *const *keys, size_t count, size_t *at,
                              int64_t *run, size_t *left, fanin_err *err) {
    *at = count;
    *run = 0;
    *left = 0;
    FANIN_TRY(fanin__runs_transaction(r, err));
    return fanin__runs_finish(r, claim(r, keys, count, at, run, left, err), err);
}

fanin_status fanin_runs_alive(fanin_runs *r, int64_t run, fanin_err *err) {
    FANIN_TRY(fanin__runs_transaction(r, err));
    return fanin__runs_finish(
        r, fanin__runs_do(r, NULL, err, "UPDATE run SET alive=?2 WHERE id=?1", "ir", run, wall()),
        err);
}
