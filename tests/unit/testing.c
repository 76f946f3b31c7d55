#include "testing.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fanin/base.h"

static test_case *first;
static uint64_t seed;
static double scale = 1;
static char tmp_dir[4096];
static const char *program;

void test_register(test_case *c) {
    test_case **at = &first;
    while (*at) at = &(*at)->next;
    *at = c;
}

uint64_t test_seed(void) { return seed; }
double test_scale(void) { return scale; }

void test_skip(const char *reason) {
    printf("[  SKIPPED ] because %s\n", reason);
    fflush(stdout);
    skip();
    abort(); /* cmocka's skip does not return */
}

const char *test_shared(const char *relative) {
    static char paths[4][4096];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    const char *root = getenv("FANIN_SHARED");
    snprintf(path, 4096, "%s/%s", root ? root : FANIN_SOURCE_DIR "/../shared", relative);
    if (access(path, R_OK) != 0) test_skip("the shared folder is not beside the sources");
    return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk) {
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

static void remove_tmp(void) {
    if (tmp_dir[0]) nftw(tmp_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *test_tmp(const char *name) {
    static char paths[8][4096];
    static unsigned turn;
    if (!tmp_dir[0]) {
        const char *base = getenv("TMPDIR");
        snprintf(tmp_dir, sizeof tmp_dir, "%s/fanin-test-XXXXXX", base ? base : "/tmp");
        if (!mkdtemp(tmp_dir)) abort();
        atexit(remove_tmp);
    }
    char *path = paths[turn++ % 8];
    if (snprintf(path, 4096, "%s/%s", tmp_dir, name) >= 4096) abort();
    return path;
}

void test_near(double got, double want, double abs_tol, double rel_tol, const char *what,
               const char *file, int line) {
    double tol = abs_tol + rel_tol * fabs(want);
    if (fabs(got - want) <= tol || (isnan(got) && isnan(want)) || (isinf(want) && got == want))
        return;
    print_error("%s = %.17g, expected %.17g, |difference| %.3g > %.3g\n", what, got, want,
                fabs(got - want), tol);
    _fail(file, line);
}

void test_ok(int status, const char *message, const char *what, const char *file, int line) {
    if (status == FANIN_OK) return;
    print_error("%s: %s: %s\n", what, fanin_status_name((fanin_status)status),
                message && message[0] ? message : fanin_status_text((fanin_status)status));
    _fail(file, line);
}

int main(int argc, char **argv) {
    const char *names[256];
    size_t wanted = 0;
    program = argv[0];
    if (getenv("FANIN_TEST_SEED")) seed = strtoull(getenv("FANIN_TEST_SEED"), NULL, 10);
    if (getenv("FANIN_TEST_SCALE")) scale = atof(getenv("FANIN_TEST_SCALE"));
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--list")) {
            for (test_case *c = first; c; c = c->next) puts(c->name);
            return 0;
        }
        if (!strcmp(argv[i], "--seed") && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--scale") && i + 1 < argc)
            scale = atof(argv[++i]);
        else if (wanted < 256)
            names[wanted++] = argv[i];
    }
    struct CMUnitTest tests[512];
    size_t n = 0;
    for (test_case *c = first; c && n < 512; c = c->next) {
        bool run = wanted == 0;
        for (size_t i = 0; i < wanted; i++) run = run || !strcmp(names[i], c->name);
        if (run) tests[n++] = (struct CMUnitTest){.name = c->name, .test_func = c->run};
    }
    if (n == 0) {
        fprintf(stderr, "%s: no such test\n", program);
        return 2;
    }
    int failed = _cmocka_run_group_tests(program, tests, n, NULL, NULL);
    if (failed)
        fprintf(stderr, "repeat with: %s --seed %llu --scale %g NAME\n", program,
                (unsigned long long)seed, scale);
    return failed != 0;
}
