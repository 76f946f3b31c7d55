#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "testing.h"

TEST(status_has_names) {
    assert_string_equal(fanin_status_name(FANIN_SHAPE), "SHAPE");
    assert_string_equal(fanin_status_name((fanin_status)999), "?");
    fanin_err err = {0};
    assert_int_equal(fanin_err_set(&err, FANIN_FORMAT, "%s: %d", "x", 3), FANIN_FORMAT);
    assert_string_equal(err.message, "x: 3");
}

TEST(sizes_are_checked) {
    size_t out;
    assert_false(fanin__size_mul(SIZE_MAX, 2, &out));
    int64_t huge[] = {INT64_C(1) << 40, INT64_C(1) << 40};
    assert_false(fanin__shape_count(huge, 2, &out));
    int64_t hidden[] = {INT64_C(1) << 40, 0, INT64_C(1) << 40};
    assert_false(fanin__shape_count(hidden, 3, &out)); /* a zero does not hide the overflow */
    int64_t good[] = {3, 4};
    assert_true(fanin__shape_count(good, 2, &out));
    assert_int_equal(out, 12);
    assert_null(fanin_calloc(SIZE_MAX / 2, 3));
}

TEST(glob_matches_whole_names) {
    assert_true(fanin__glob("*.weight", "layer.0.weight"));
    assert_false(fanin__glob("*.weight", "layer.0.weight2"));
    assert_true(fanin__glob("a*b*c", "aXbYbZc"));
    assert_true(fanin__glob("layer.[0-9].?", "layer.7.w"));
    assert_false(fanin__glob("layer.[!0-9].?", "layer.7.w"));
    assert_true(fanin__glob("*", ""));
    assert_false(fanin__glob("", "a"));
}

TEST(endings_are_the_same_in_both_cases) {
    assert_true(fanin__ends_with("a/Model.ONNX", ".onnx"));
    assert_true(fanin__ends_with(".onnx", ".onnx"));
    assert_false(fanin__ends_with("onnx", ".onnx"));
    assert_false(fanin__ends_with("a.onnx.bak", ".onnx"));
    assert_true(fanin__ends_within("a.csv.gz", 5, ".csv"));
    assert_false(fanin__ends_within("a.csv.gz", 5, ".gz"));
}

TEST(numbers_round_trip) {
    char buf[32];
    assert_string_equal(fanin__number_text(0.1, buf), "0.1");
    assert_string_equal(fanin__number_text(1.0, buf), "1");
    assert_string_equal(fanin__number_text(NAN, buf), "null");
    assert_true(fanin__parse_double(fanin__number_text(1.0 / 3, buf), NULL) == 1.0 / 3);
    const char *end;
    assert_true(fanin__parse_double("2.5e-3x", &end) == 2.5e-3 && *end == 'x');
    assert_true(fanin__parse_double(".", &end) == 0 && *end == '.');
    uint64_t u;
    assert_false(fanin__parse_u64("18446744073709551616", NULL, &u));
    assert_true(fanin__parse_u64("18446744073709551615", NULL, &u) && u == UINT64_MAX);
}

static void mark(void *arg, size_t begin, size_t end) {
    atomic_int *hits = arg;
    for (size_t i = begin; i < end; i++) atomic_fetch_add(&hits[i], 1);
}

static void check_cover(size_t n, size_t grain) {
    atomic_int *hits = calloc(n + 1, sizeof *hits);
    fanin_parallel_for(n, grain, mark, hits);
    for (size_t i = 0; i < n; i++) assert_int_equal(atomic_load(&hits[i]), 1);
    free(hits);
}

TEST(parallel_for_covers_each_index_once) {
    for (unsigned threads = 1; threads <= 4; threads++) {
        fanin_threads_set(threads);
        for (size_t n = 0; n < 70; n += 7) check_cover(n, 1 + n % 5);
        check_cover(10007, 64);
    }
    fanin_threads_set(0);
}

TEST(parallel_for_survives_fork) {
    fanin_threads_set(2);
    check_cover(1000, 1);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        check_cover(1000, 1);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    fanin_threads_set(0);
}

TEST(files_are_written_aside) {
    fanin_err err = {0};
    const char *path = test_tmp("out.bin");
    fanin__outfile file;
    assert_ok_err(fanin__outfile_open(path, &file, &err), err);
    assert_ok_err(fanin__outfile_write(&file, "abc", 3, &err), err);
    assert_int_not_equal(access(path, F_OK), 0);
    fanin__outfile_abort(&file);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_ok_err(fanin__file_write(path, "abc", 3, &err), err);
    fanin__map map;
    assert_ok_err(fanin__map_open(path, &map, &err), err);
    assert_int_equal(map.size, 3);
    assert_memory_equal(map.data, "abc", 3);
    fanin__map_close(&map);
    assert_int_equal(fanin__map_open(test_tmp("none"), &map, &err), FANIN_NOTFOUND);
}

TEST(paths_stay_inside_their_folder) {
    fanin_err err = {0};
    char dir[4096], link_path[4200];
    snprintf(dir, sizeof dir, "%s", test_tmp("inside"));
    assert_ok_err(fanin_directory_create(dir, &err), err);
    assert_ok_err(fanin__file_write(test_tmp("secret"), "s", 1, &err), err);
    snprintf(link_path, sizeof link_path, "%s/link", dir);
    assert_int_equal(symlink("../secret", link_path), 0);
    fanin__map map;
    assert_int_equal(fanin__map_open_beneath(dir, "../secret", &map, &err), FANIN_FORMAT);
    assert_int_equal(fanin__map_open_beneath(dir, "/etc/passwd", &map, &err), FANIN_FORMAT);
    assert_int_equal(fanin__map_open_beneath(dir, "link", &map, &err), FANIN_FORMAT);
    assert_int_equal(fanin__map_open_beneath(dir, "none", &map, &err), FANIN_NOTFOUND);
}

/* All 16-bit codes of each small type: widening then rounding gives the code back; and the
 * midpoint of two neighbours goes to the even one. */
TEST(small_floats_round_to_nearest_even) {
    const fanin_dtype types[] = {FANIN_F16, FANIN_BF16, FANIN_F8_E4M3, FANIN_F8_E5M2};
    for (size_t t = 0; t < 4; t++) {
        uint32_t codes = fanin_dtype_size(types[t]) == 2 ? 1u << 15 : 1u << 7;
        for (uint32_t code = 0; code + 1 < codes; code++) {
            uint16_t a = (uint16_t)code, b = (uint16_t)(code + 1), back = 0;
            double x, y;
            assert_ok(fanin_convert_to_f64(&a, types[t], 1, &x));
            assert_ok(fanin_convert_to_f64(&b, types[t], 1, &y));
            if (!isfinite(x)) continue;
            float exact = (float)x;
            assert_ok(fanin_convert_from_f32(&exact, 1, types[t], &back));
            assert_int_equal(back, a);
            if (!isfinite(y)) continue;
            float middle = (float)((x + y) / 2);
            if ((double)middle != (x + y) / 2) continue;
            assert_ok(fanin_convert_from_f32(&middle, 1, types[t], &back));
            assert_int_equal(back, (code & 1) ? b : a);
        }
    }
    float big = 465.0f;
    uint8_t code = 0;
    assert_ok(fanin_convert_from_f32(&big, 1, FANIN_F8_E4M3, &code));
    assert_int_equal(code, 0x7f);
}

TEST(processor_level_is_known) {
    int level = fanin_cpu_level();
    assert_true(level >= FANIN_CPU_REF && level <= FANIN_CPU_AVX512);
    assert_int_equal(fanin_cpu_level(), level);
    const char *env = getenv("FANIN_CPU");
    if (env && strcmp(env, "ref") == 0) assert_int_equal(level, FANIN_CPU_REF);
}
