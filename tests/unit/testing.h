/* testing.h - tests over cmocka: TEST(name) registers itself, no list to keep.
 *
 *     #include "testing.h"
 *     TEST(zero_is_zero) { assert_int_equal(0, 0); }
 *
 * The executable runs all its tests, or those named on the command line; --list prints names,
 * --seed N and --scale X reach test_seed() and test_scale() (FANIN_TEST_SEED, FANIN_TEST_SCALE in
 * the environment too). A failure prints the command that repeats it. Exit status is non-zero
 * when a test fails. A test that cannot run says why: test_skip("no ../shared").
 */
#ifndef FANIN_TESTING_H
#define FANIN_TESTING_H

/* cmocka wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

#include <cmocka.h>

typedef struct test_case {
    const char *name;
    void (*run)(void **state);
    struct test_case *next;
} test_case;

void test_register(test_case *c);

#define TEST(id) \
    static void test_body_##id(void **state); \
    static test_case test_case_##id = {#id, test_body_##id, NULL}; \
    __attribute__((constructor)) static void test_register_##id(void) { \
        test_register(&test_case_##id); \
    } \
    static void test_body_##id(void **state __attribute__((unused)))

uint64_t test_seed(void);                     /* default 0 */
double test_scale(void);                      /* default 1: the quick tier */
_Noreturn void test_skip(const char *reason); /* counted as skipped */
/* Path of a file under the shared folder beside the sources; skips the test if it is absent.
 * FANIN_SHARED overrides the folder. Static buffer, four at a time. */
const char *test_shared(const char *relative);
/* A fresh folder of this test executable, removed at its end; "…/name" inside it. */
const char *test_tmp(const char *name);

/* |got - want| <= abs_tol + rel_tol * |want|, else fails with the values. */
#define assert_near(got, want, abs_tol, rel_tol) \
    test_near((got), (want), (abs_tol), (rel_tol), #got, __FILE__, __LINE__)
void test_near(double got, double want, double abs_tol, double rel_tol, const char *what,
               const char *file, int line);
/* A fanin_status that must be OK; prints name and message otherwise. */
#define assert_ok(call)          test_ok((int)(call), NULL, #call, __FILE__, __LINE__)
#define assert_ok_err(call, err) test_ok((int)(call), (err).message, #call, __FILE__, __LINE__)
void test_ok(int status, const char *message, const char *what, const char *file, int line);

#endif
