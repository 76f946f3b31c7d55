/* The run store: what goes in comes out, processes share it, foreign and newer files are refused. */
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "fanin/runs.h"
#include "testing.h"

static fanin_runs *open_store(const char *path, fanin_runs_mode mode) {
    fanin_runs *r;
    fanin_err err = {0};
    assert_ok_err(fanin_runs_open(path, mode, &r, &err), err);
    return r;
}

static bool take_number(void *ctx, int columns, const char *const *names,
                        const fanin_runs_value *values) {
    (void)names;
    assert_int_equal(columns, 1);
    *(double *)ctx = values[0].kind == FANIN_RUNS_NULL ? NAN : values[0].real;
    return false;
}

static double number(fanin_runs *r, const char *sql) {
    double v = -1e300;
    fanin_err err = {0};
    assert_ok_err(fanin_runs_query(r, sql, NULL, take_number, &v, &err), err);
    return v;
}

static int64_t begin(fanin_runs *r, const char *key, uint64_t from) {
    static const char *const configuration[] = {"batch", "10", "scheme", "he", NULL};
    int64_t run;
    fanin_err err = {0};
    const fanin_run_about about = {.kind = "train",
                                   .key = key,
                                   .model = "lenet5",
                                   .data = "mnist",
                                   .seed = UINT64_MAX,
                                   .configuration = configuration};
    assert_ok_err(fanin_runs_begin(r, &about, from, &run, &err), err);
    return run;
}

static void metric(fanin_runs *r, int64_t run, uint64_t step, double value) {
    const char *const name = "test_loss";
    fanin_err err = {0};
    assert_ok_err(fanin_runs_metrics(r, run, step, 1, &name, &value, &err), err);
}

TEST(what_goes_in_comes_out) {
    fanin_err err = {0};
    fanin_runs *r = open_store(test_tmp("a.db"), FANIN_RUNS_WRITE);
    int64_t run = begin(r, NULL, 0);
    metric(r, run, 0, 2.5);
    metric(r, run, 10, 0.1);
    metric(r, run, 20, NAN);
    const char *const layers[] = {"fc1.weight", "fc2.weight"};
    double figures[2 * FANIN_RUNS_FIGURES];
    for (int i = 0; i < 2 * FANIN_RUNS_FIGURES; i++) figures[i] = i;
    assert_ok_err(fanin_runs_layers(r, run, 5, 2, layers, figures, &err), err);
    assert_ok_err(fanin_runs_end(r, run, "done", "", 20, 1.5, &err), err);
    fanin_runs_close(r);
    r = open_store(test_tmp("a.db"), FANIN_RUNS_READ);
    assert_true(number(r, "SELECT value FROM metric WHERE step=10") == 0.1);
    assert_true(isnan(number(r, "SELECT value FROM metric WHERE step=20")));
    assert_true(number(r, "SELECT update_ratio FROM layer WHERE name='fc2.weight'") == 21);
    assert_true(number(r, "SELECT h_mean FROM layer WHERE layer=1") == 11);
    assert_true(number(r, "SELECT seconds FROM run WHERE status='done'") == 1.5);
    assert_true(number(r, "SELECT count(*) FROM run WHERE seed='18446744073709551615'") == 1);
    assert_true(number(r, "SELECT count(*) FROM configuration") == 2);
    assert_true(number(r, "SELECT count(*) FROM environment WHERE key='fanin'") == 1);
    fanin_runs_close(r);
}

TEST(a_resumed_run_keeps_its_number) {
    fanin_runs *r = open_store(test_tmp("b.db"), FANIN_RUNS_WRITE);
    int64_t run = begin(r, "k", 0);
    for (uint64_t s = 0; s <= 30; s += 10) metric(r, run, s, 1);
    assert_int_equal(begin(r, "k", 10), run); /* killed after a checkpoint at 10 */
    assert_true(number(r, "SELECT max(step) FROM metric") == 10);
    assert_true(begin(r, "other", 0) != run);
    fanin_runs_close(r);
}

static bool take_text(void *ctx, int columns, const char *const *names,
                      const fanin_runs_value *values) {
    (void)columns, (void)names;
    snprintf(ctx, 32, "%s", values[0].text);
    return false;
}

static void assert_standing(fanin_runs *r, const char *want) {
    static const char sql[] = "SELECT standing(status, owner, alive) FROM run";
    char text[32] = "";
    fanin_err err = {0};
    assert_ok_err(fanin_runs_query(r, sql, NULL, take_text, text, &err), err);
    assert_string_equal(text, want);
}

/* A run that its process never ended is not running for ever. */
TEST(the_run_of_a_dead_process_was_killed) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        fanin_runs *r;
        int64_t run;
        const fanin_run_about about = {.kind = "train", .key = "k"};
        _exit(fanin_runs_open(test_tmp("s.db"), FANIN_RUNS_WRITE, &r, NULL) != FANIN_OK ||
              fanin_runs_begin(r, &about, 0, &run, NULL) != FANIN_OK);
    }
    int code = -1;
    assert_true(waitpid(child, &code, 0) == child && code == 0);
    fanin_runs *r = open_store(test_tmp("s.db"), FANIN_RUNS_WRITE);
    assert_standing(r, "killed");
    int64_t run = begin(r, "k", 0);
    assert_standing(r, "running");
    char text[32];
    assert_ok(fanin_runs_query(r, "SELECT standing(status, owner, alive - 200) FROM run", NULL,
                               take_text, text, NULL));
    assert_string_equal(text, "silent");
    assert_ok(fanin_runs_end(r, run, "interrupted", "", 0, 0, NULL));
    assert_standing(r, "interrupted");
    fanin_runs_close(r);
}

/* ---- reading only ------------------------------------------------------------------------------------ */

static void refuse_sql(fanin_runs *r, const char *sql) {
    fanin_err err = {0};
    double v;
    fanin_status status = fanin_runs_query(r, sql, NULL, take_number, &v, &err);
    if (status != FANIN_ARG) fail_msg("'%s': %s", sql, fanin_status_name(status));
    assert_true(err.message[0]);
}

TEST(questions_change_nothing) {
    fanin_runs *r =
        open_store(test_tmp("c.db"), FANIN_RUNS_WRITE); /* even a connection that could */
    begin(r, "k", 0);
    char attach[4200];
    snprintf(attach, sizeof attach, "ATTACH '%s' AS x", test_tmp("x.db"));
    refuse_sql(r, "DELETE FROM run");
    refuse_sql(r, "INSERT INTO metric VALUES(1, 'a', 1, 1)");
    refuse_sql(r, "DROP TABLE run");
    refuse_sql(r, attach);
    refuse_sql(r, "PRAGMA user_version=7");
    refuse_sql(r, "SELECT load_extension('x')");
    refuse_sql(r, "SELECT 1; DELETE FROM run");
    refuse_sql(r, "SELECT nothing FROM run");
    refuse_sql(r, "");
    assert_true(access(test_tmp("x.db"), F_OK) != 0);
    assert_true(number(r, "SELECT count(*) FROM run") == 1);
    assert_true(number(r, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<5) "
                          "SELECT sum(i) FROM n") == 15);
    fanin_runs_close(r);
}

static void *interrupt_soon(void *arg) {
    (void)arg;
    usleep(100000);
    fanin_interrupt(true);
    return NULL;
}

TEST(an_endless_question_can_be_stopped) {
    fanin_runs *r = open_store(test_tmp("d.db"), FANIN_RUNS_WRITE);
    fanin_err err = {0};
    double v;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, interrupt_soon, NULL), 0);
    fanin_status status = fanin_runs_query(
        r, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT sum(i) FROM n",
        NULL, take_number, &v, &err);
    pthread_join(thread, NULL);
    fanin_interrupt(false);
    assert_int_equal(status, FANIN_INTERRUPTED);
    fanin_runs_close(r);
}

/* ---- files that are none ------------------------------------------------------------------------------ */

static void refuse_open(const char *path, fanin_runs_mode mode, fanin_status want,
                        const char *says) {
    fanin_runs *r;
    fanin_err err = {0};
    fanin_status status = fanin_runs_open(path, mode, &r, &err);
    if (status != want) fail_msg("%s: %s %s", path, fanin_status_name(status), err.message);
    if (!strstr(err.message, says)) fail_msg("'%s' does not say '%s'", err.message, says);
    assert_null(r);
}

static void foreign(const char *path, const char *sql) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

TEST(foreign_and_newer_files_are_refused) {
    fanin_err err = {0};
    char path[4096];
    refuse_open(test_tmp("none.db"), FANIN_RUNS_READ, FANIN_NOTFOUND, "none.db");
    assert_ok_err(fanin__file_write(test_tmp("text"),
                                    "these are no pages of a database, not at all", 44, &err),
                  err);
    refuse_open(test_tmp("text"), FANIN_RUNS_WRITE, FANIN_FORMAT, "not a run store");
    refuse_open(test_tmp("none/x.db"), FANIN_RUNS_WRITE, FANIN_IO, "unable to open");
    snprintf(path, sizeof path, "%s", test_tmp("foreign.db"));
    foreign(path, "CREATE TABLE t(x)");
    refuse_open(path, FANIN_RUNS_WRITE, FANIN_FORMAT, "not a run store of fanin");
    snprintf(path, sizeof path, "%s", test_tmp("newer.db"));
    fanin_runs_close(open_store(path, FANIN_RUNS_WRITE));
    foreign(path, "PRAGMA user_version=2");
    refuse_open(path, FANIN_RUNS_WRITE, FANIN_UNSUPPORTED, "schema 2");
    refuse_open(path, FANIN_RUNS_READ, FANIN_UNSUPPORTED, "schema 2");
}

/* A disk that is full: an error, and what was committed is still there and sound. */
TEST(a_full_disk_loses_nothing) {
    fanin_runs *r = open_store(test_tmp("full.db"), FANIN_RUNS_WRITE);
    int64_t run = begin(r, "k", 0);
    for (uint64_t s = 0; s < 20; s++) metric(r, run, s, 1);
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 400000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    fanin_status status = FANIN_OK;
    uint64_t step = 20;
    const char *const name = "test_loss";
    const double value = 2;
    fanin_err err = {0};
    for (; step < 5000 && status == FANIN_OK; step++)
        status = fanin_runs_metrics(r, run, step, 1, &name, &value, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(status, FANIN_IO);
    fanin_runs_close(r);
    r = open_store(test_tmp("full.db"), FANIN_RUNS_WRITE);
    assert_true(number(r, "SELECT count(*) FROM metric") == (double)(step - 1));
    metric(r, run, 9999, 3); /* and it goes on */
    fanin_runs_close(r);
    sqlite3 *db;
    sqlite3_stmt *s;
    assert_int_equal(sqlite3_open(test_tmp("full.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(s, 0), "ok");
    sqlite3_finalize(s);
    sqlite3_close(db);
}

/* ---- several processes --------------------------------------------------------------------------------- */

enum { PROCESSES = 4, EACH = 60, CELLS = 50 };

/* In a child a failed assertion would go on with the tests that follow: it says what and ends. */
static void must(fanin_status status, const fanin_err *err) {
    if (status == FANIN_OK) return;
    fprintf(stderr, "child: %s: %s\n", fanin_status_name(status), err->message);
    _exit(1);
}

static _Noreturn void child_writes(const char *path, int which) {
    char key[16];
    fanin_runs *r;
    fanin_err err = {0};
    int64_t run;
    const char *const name = "test_loss";
    const double value = which;
    snprintf(key, sizeof key, "p%d", which);
    must(fanin_runs_open(path, FANIN_RUNS_WRITE, &r, &err), &err);
    const fanin_run_about about = {.kind = "train", .key = key};
    must(fanin_runs_begin(r, &about, 0, &run, &err), &err);
    for (uint64_t s = 0; s < EACH; s++)
        must(fanin_runs_metrics(r, run, s, 1, &name, &value, &err), &err);
    fanin_runs_close(r);
    _exit(0);
}

static void wait_all(void) {
    int code;
    for (int i = 0; i < PROCESSES; i++) {
        assert_true(wait(&code) > 0);
        assert_true(WIFEXITED(code) && WEXITSTATUS(code) == 0);
    }
}

/* Also the making of the file is contended. */
TEST(four_processes_write_at_once) {
    char path[4096];
    snprintf(path, sizeof path, "%s", test_tmp("many.db"));
    for (int i = 0; i < PROCESSES; i++)
        if (fork() == 0) child_writes(path, i);
    wait_all();
    fanin_runs *r = open_store(path, FANIN_RUNS_READ);
    assert_true(number(r, "SELECT count(*) FROM metric") == PROCESSES * EACH);
    assert_true(number(r, "SELECT count(*) FROM run") == PROCESSES);
    fanin_runs_close(r);
}

typedef struct grid {
    char names[CELLS][8];
    const char *keys[CELLS];
    fanin_run_about about[CELLS];
} grid;

static void make_grid(grid *g) {
    for (int i = 0; i < CELLS; i++) {
        snprintf(g->names[i], sizeof g->names[i], "c%d", i);
        g->keys[i] = g->names[i];
        g->about[i] = (fanin_run_about){.kind = "compare", .key = g->names[i]};
    }
}

static _Noreturn void child_claims(const char *path) {
    grid g;
    make_grid(&g);
    fanin_err err = {0};
    fanin_runs *r;
    must(fanin_runs_open(path, FANIN_RUNS_WRITE, &r, &err), &err);
    must(fanin_runs_plan(r, g.about, CELLS, &err), &err);
    for (;;) {
        size_t at, left;
        int64_t run;
        must(fanin_runs_claim(r, g.keys, CELLS, &at, &run, &left, &err), &err);
        if (at == CELLS) break;
        char name[32];
        snprintf(name, sizeof name, "by %ld", (long)getpid());
        const char *const names = name;
        const double one = 1;
        must(fanin_runs_metrics(r, run, 0, 1, &names, &one, &err), &err);
        must(fanin_runs_end(r, run, "done", "", 1, 0, &err), &err);
    }
    fanin_runs_close(r);
    _exit(0);
}

/* Every cell is done once, by one of them. */
TEST(processes_share_a_grid) {
    char path[4096];
    snprintf(path, sizeof path, "%s", test_tmp("grid.db"));
    for (int i = 0; i < PROCESSES; i++)
        if (fork() == 0) child_claims(path);
    wait_all();
    fanin_runs *r = open_store(path, FANIN_RUNS_READ);
    assert_true(number(r, "SELECT count(*) FROM run WHERE status='done'") == CELLS);
    assert_true(number(r, "SELECT count(*) FROM metric") == CELLS); /* two workers: two names */
    fanin_runs_close(r);
}

/* A worker that was killed: its cell is free at once; one that lives is left alone. */
TEST(the_cell_of_a_dead_process_is_free) {
    char path[4096];
    snprintf(path, sizeof path, "%s", test_tmp("dead.db"));
    grid g;
    make_grid(&g);
    fanin_err err = {0};
    size_t at, left;
    int64_t run;
    fanin_runs *r = open_store(path, FANIN_RUNS_WRITE);
    assert_ok_err(fanin_runs_plan(r, g.about, 1, &err), err);
    fanin_runs_close(r);
    pid_t child = fork();
    if (child == 0) {
        const char *const name = "test_loss";
        const double one = 1;
        must(fanin_runs_open(path, FANIN_RUNS_WRITE, &r, &err), &err);
        must(fanin_runs_claim(r, g.keys, 1, &at, &run, &left, &err), &err);
        must(fanin_runs_metrics(r, run, 3, 1, &name, &one, &err), &err);
        for (;;) pause();
    }
    r = open_store(path, FANIN_RUNS_WRITE);
    for (int i = 0; i < 500 && number(r, "SELECT count(*) FROM metric") < 1; i++) usleep(10000);
    assert_ok_err(fanin_runs_claim(r, g.keys, 1, &at, &run, &left, &err), err);
    assert_int_equal(at, 1);
    assert_int_equal(left, 1);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_ok_err(fanin_runs_claim(r, g.keys, 1, &at, &run, &left, &err), err);
    assert_int_equal(at, 0);
    assert_true(number(r, "SELECT count(*) FROM metric") == 0); /* what it left is gone */
    fanin_runs_close(r);
}
