/* The inverse normal CDF of a word against the C library's long double erfc, which shares nothing
 * with it: accuracy, order, symmetry, and float64 beside float32. FANIN_TEST_SCALE=100 looks at
 * all 2^32 words. */
#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random/random.h"
#include "testing.h"

static const long double SQRT1_2L = 0.707106781186547524400844362104849039L;
static const long double SQRT_2PIL = 2.506628274631000502415765284811045253L;

/* z >= 0 with upper tail p, from a start that is right to 1e-6: three steps of Halley's method. */
static long double reference(long double p, double start) {
    long double z = start;
    for (int i = 0; i < 3; i++) {
        long double d = (0.5L * erfcl(z * SQRT1_2L) - p) * SQRT_2PIL * expl(0.5L * z * z);
        z += d / (1 - 0.5L * z * d);
    }
    return z;
}

static const fanin_law standard = {FANIN_LAW_NORMAL, 0, 1, 0, 0};

static fanin__plan standard_plan(void) {
    fanin__plan plan;
    assert_ok(fanin__plan_make(&standard, &plan));
    return plan;
}

/* z of (word, below) with the fastest double map here. */
static double z64(const fanin__plan *plan, uint32_t word, uint32_t below) {
    double z;
    fanin__random_best()->fill_f64(plan, &word, &below, 1, &z);
    return z;
}

static double ulp32(float z) { return (double)(nextafterf(fabsf(z), INFINITY) - fabsf(z)); }

/* 2^-24 |z| + 2^-32 / phi(z), the bound that the header states. */
static double refine_bound(double z) {
    return 0x1p-24 * z + 0x1p-32 * 2.5066282746310002 * exp(0.5 * z * z);
}

TEST(float64_is_accurate) {
    fanin__plan plan = standard_plan();
    uint64_t x = 88172645463325252u;
    double worst = 0, at = 0;
    int n = (int)(40000 * fmin(test_scale(), 50));
    for (int i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        uint64_t m = x >> 1;
        if (i % 2) m >>= x % 60; /* far tails too */
        double z = -z64(&plan, (uint32_t)(m >> 32), (uint32_t)m);
        double error =
            (double)fabsl((long double)z - reference(((long double)m + 0.5L) * 0x1p-64L, z));
        error /= nextafter(z, INFINITY) - z;
        if (error > worst) worst = error, at = z;
    }
    print_message("float64: %.3f ulp at %.17g, %d positions\n", worst, at, n);
    assert_true(worst < 2.1);
}

TEST(float64_reaches_far) {
    fanin__plan plan = standard_plan();
    double z = z64(&plan, 0, 0);
    assert_near(-z, (double)reference(0x1p-65L, 9.155), 0, 1e-15);
    assert_true(z64(&plan, 0xffffffffu, 0xffffffffu) == -z);
}

TEST(float32_is_accurate_on_a_stride) {
    double worst = 0;
    uint32_t at = 0;
    for (uint64_t m = 0; m < (UINT64_C(1) << 31); m += m < 4096 ? 1 : 12289) {
        float z = -fanin__normal_f32((uint32_t)m);
        double error =
            (double)fabsl((long double)z - reference(((long double)m + 0.5L) * 0x1p-32L, z));
        error /= ulp32(z);
        if (error > worst) worst = error, at = (uint32_t)m;
    }
    print_message("float32: %.4f ulp at word %08x\n", worst, at);
    assert_true(worst < 0.79);
}

TEST(outermost_words_lie_beyond_6_1) {
    assert_true(fanin__normal_f32(0xffffffffu) > 6.1f);
    assert_near((double)fanin__normal_f32(0xffffffffu), (double)reference(0x1p-33L, 6.3), 0, 6e-8);
    assert_true(fanin__normal_f32(0) == -fanin__normal_f32(0xffffffffu));
    assert_true(fanin__normal_f32(0x80000000u) > 0);
    assert_near((double)fanin__normal_f32(0x80000000u), 0x1p-33 * 2.5066282746310002, 0, 1.2e-7);
}

TEST(float32_is_symmetric_and_in_order) {
    float last = -INFINITY;
    for (uint64_t v = 0; v < (UINT64_C(1) << 32); v += 4099) {
        float z = fanin__normal_f32((uint32_t)v);
        assert_true(z >= last);
        assert_true(fanin__normal_f32(~(uint32_t)v) == -z);
        last = z;
    }
}

/* Only where one segment gives way to the next can order be lost in the middle of the range; 64
 * words on both sides of each border. */
TEST(segments_join_in_order) {
    for (int e = 6; e <= 31; e++)
        for (int k = 0; k < 64; k++) {
            uint64_t border = (UINT64_C(1) << e) + ((uint64_t)k << e) / 64;
            if (border + 64 > UINT32_MAX / 2) continue;
            float last = fanin__normal_f32((uint32_t)(border < 64 ? 0 : border - 64));
            for (uint64_t m = border < 64 ? 0 : border - 64; m < border + 64; m++) {
                float z = fanin__normal_f32((uint32_t)m);
                if (z < last) fail_msg("word %08x is out of order", (uint32_t)m);
                last = z;
            }
        }
}

/* Largest excess of |f64 - f32| over the bound, in units of the bound, at both ends of a cell. */
static double excess(const fanin__plan *plan, uint32_t m) {
    double z = -(double)fanin__normal_f32(m), worst = -1;
    for (uint32_t below = 0; below < 2; below++) {
        double d = -z64(plan, m, 0u - below), far = fmax(d, z);
        worst = fmax(worst, fabs(d - z) / refine_bound(far) - 1);
    }
    return worst;
}

TEST(float64_refines_float32_within_the_bound) {
    fanin__plan plan = standard_plan();
    double worst = -1;
    for (uint64_t m = 0; m < (UINT64_C(1) << 31); m += m < 4096 ? 1 : 24593)
        worst = fmax(worst, excess(&plan, (uint32_t)m));
    /* Just above a power of two half a last place is nearly all there is. */
    for (int k = -7; k <= 1; k++) {
        double tail = (double)(0.5L * erfcl((long double)ldexp(1, k) * SQRT1_2L));
        uint32_t start = (uint32_t)(tail * 0x1p32);
        for (uint32_t j = 0; j < 4000; j++)
            worst = fmax(worst, excess(&plan, start - j * (1 + start / 160000)));
    }
    print_message("largest |f64 - f32| / bound: %.6f\n", 1 + worst);
    assert_true(worst <= 0);
}

/* ---- all words ---------------------------------------------------------------------------- */

typedef struct scan {
    fanin__plan plan;
    _Atomic(double) ulp, excess;
    atomic_int disorder;
} scan;

static void raise_to(_Atomic(double) *value, double x) {
    double old = atomic_load(value);
    while (x > old && !atomic_compare_exchange_weak(value, &old, x)) continue;
}

static void scan_range(void *arg, size_t begin, size_t end) {
    scan *s = arg;
    double ulp = 0, over = -1;
    float last = begin ? -fanin__normal_f32((uint32_t)begin - 1) : INFINITY;
    for (size_t m = begin; m < end; m++) {
        float z = -fanin__normal_f32((uint32_t)m);
        if (z > last || fanin__normal_f32(~(uint32_t)m) != z) atomic_fetch_add(&s->disorder, 1);
        last = z;
        ulp = fmax(ulp, fabs((double)z + z64(&s->plan, (uint32_t)m, 0x7fffffffu)) / ulp32(z));
        over = fmax(over, excess(&s->plan, (uint32_t)m));
    }
    raise_to(&s->ulp, ulp);
    raise_to(&s->excess, over);
}

TEST(all_words) {
    if (test_scale() < 100) test_skip("all 2^32 words: FANIN_TEST_SCALE=100");
    static scan s;
    s.plan = standard_plan();
    atomic_store(&s.excess, -1);
    fanin_parallel_for((size_t)1 << 31, 1 << 20, scan_range, &s);
    print_message("all words: %.4f ulp, |f64 - f32| / bound %.6f, %d out of order\n",
                  atomic_load(&s.ulp), 1 + atomic_load(&s.excess), atomic_load(&s.disorder));
    assert_true(atomic_load(&s.ulp) < 0.93);
    assert_true(atomic_load(&s.excess) <= 0);
    assert_int_equal(atomic_load(&s.disorder), 0);
}

/* ---- the functions behind prepared laws --------------------------------------------------- */

TEST(tail_and_exponential_are_accurate) {
    for (double x = 0; x > -744; x -= 0.37) {
        double want = (double)expl((long double)x);
        assert_near(fanin__exp_negative(x), want, 0x1p-1074, 3e-16);
    }
    for (double z = 0; z < 30; z += 0.0371) {
        double want = (double)(0.5L * erfcl((long double)z * SQRT1_2L));
        assert_near(fanin__normal_tail(z), want, 0, 2e-13);
        assert_near(fanin__normal_tail(-z), 1 - want, 5e-16, 0);
        long double mills =
            (long double)want * SQRT_2PIL * expl(0.5L * (long double)z * (long double)z);
        assert_near(fanin__mills(z), (double)mills, 0, 2e-13);
    }
    assert_near(fanin__mills(1e8), 1e-8, 0, 1e-15);
}

/* ---- the page that specifies all this ------------------------------------------------------ */

TEST(page_lists_the_centres) {
    FILE *page = fopen(FANIN_SOURCE_DIR "/docs/stream.md", "r");
    assert_non_null(page);
    char line[4096];
    int row = 512;
    while (fgets(line, sizeof line, page) && strncmp(line, "```", 3) != 0) continue;
    while (fgets(line, sizeof line, page) && strncmp(line, "```", 3) != 0) {
        char *at = line, *end;
        for (uint32_t value; value = (uint32_t)strtoul(at, &end, 16), end != at; at = end)
            assert_int_equal((uint32_t)fanin__normal_centre[row++], value);
    }
    fclose(page);
    assert_int_equal(row, 2048);
}

/* The rows as the page defines them: c0 and c1 from the centre alone. */
TEST(rows_follow_from_their_centres) {
    for (int i = 0; i < 2047; i++) {
        uint32_t centre = (uint32_t)fanin__normal_centre[i];
        bool single = i < 512;
        if (fanin__normal_pairs[i].c0 == 0) continue; /* no word comes here */
        long double p = ((long double)centre + (single ? 0.5L : 0)) * 0x1p-32L;
        long double z = reference(p, (double)fanin__normal_pairs[i].c0);
        long double slope = -0x1p-32L * SQRT_2PIL * expl(0.5L * z * z);
        if (fanin__normal_pairs[i].c0 != (float)z ||
            fanin__normal_pairs[i].c1 != (single ? 0 : (float)slope))
            fail_msg("row %d, centre %08x", i, centre);
    }
}
