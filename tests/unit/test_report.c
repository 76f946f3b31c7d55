#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "fanin/report.h"
#include "testing.h"

TEST(tables_fit_and_shorten_names) {
    fanin_table *t;
    char *text;
    assert_ok(fanin_table_create("<~layer|>mean", &t));
    assert_ok(
        fanin_table_row(t, NULL, (const char *[]){"a.very.long.name.of.a.layer.weight", "1.5"}));
    assert_ok(fanin_table_row(t, NULL, (const char *[]){"b", "-20.25"}));
    assert_ok(fanin_table_render(t, 20, &text));
    assert_string_equal(text, "layer           mean\n"
                              "a.ver…weight     1.5\n"
                              "b             -20.25\n");
    fanin_free(text);
    fanin_table_destroy(t);
}

TEST(bars_fill_by_eighths) {
    char buf[32];
    assert_string_equal(fanin_bar(1, 0, 1, 3, buf, sizeof buf), "███");
    assert_string_equal(fanin_bar(0.5, 0, 1, 3, buf, sizeof buf), "█▌ ");
    assert_string_equal(fanin_bar(NAN, 0, 1, 3, buf, sizeof buf), "   ");
}

static void make_page(const char *path) {
    const double x[] = {0, 1, 2}, y[] = {1, NAN, 100};
    const fanin_series series = {.name = "<b>he & co</b>", .n = 3, .x = x, .y = y, .dots = true};
    const fanin_chart chart = {.title = "t", .y_log = true, .series = &series, .series_count = 1};
    fanin_page *p;
    fanin_err err = {0};
    assert_ok(fanin_page_create("title", "sub", &p));
    fanin_page_chart(p, &chart);
    fanin_page_table(p, "table", 2, 1, (const char *[]){"name", "value", "<i>", "1.5"});
    assert_ok_err(fanin_page_save(p, path, &err), err);
    fanin_page_destroy(p);
}

/* Of many points as many as there are pixels are shown, both ends among them, and the page says so. */
TEST(long_curves_are_thinned) {
    enum { POINTS = 50000 };
    double *x = malloc(POINTS * sizeof *x);
    for (int i = 0; i < POINTS; i++) x[i] = i;
    const fanin_series series = {.name = "loss", .n = POINTS, .x = x, .y = x, .low = x, .high = x};
    const fanin_chart chart = {.title = "Loss", .series = &series, .series_count = 1};
    fanin_page *p;
    fanin__map map;
    fanin_err err = {0};
    assert_ok(fanin_page_create("long", NULL, &p));
    fanin_page_chart(p, &chart);
    assert_ok_err(fanin_page_save(p, test_tmp("long.html"), &err), err);
    assert_ok_err(fanin__map_open(test_tmp("long.html"), &map, &err), err);
    assert_true(map.size < 100000);
    assert_non_null(memmem(map.data, map.size, "Table of 600 of 50000 points", 28));
    assert_non_null(memmem(map.data, map.size, "<tr><td>0</td>", 14));
    assert_non_null(memmem(map.data, map.size, "<tr><td>49999</td>", 18));
    fanin__map_close(&map);
    fanin_page_destroy(p);
    free(x);
}

/* Text from files is escaped, nothing is loaded from outside, and the same input gives the same bytes. */
TEST(pages_are_self_contained_and_repeatable) {
    fanin__map a, b;
    fanin_err err = {0};
    make_page(test_tmp("a.html"));
    make_page(test_tmp("b.html"));
    assert_ok_err(fanin__map_open(test_tmp("a.html"), &a, &err), err);
    assert_ok_err(fanin__map_open(test_tmp("b.html"), &b, &err), err);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    assert_null(memmem(a.data, a.size, "<b>he", 5));
    assert_non_null(memmem(a.data, a.size, "&lt;b&gt;he &amp; co", 20));
    assert_null(memmem(a.data, a.size, "http://", 7));
    assert_null(memmem(a.data, a.size, "https://", 8));
    assert_null(memmem(a.data, a.size, "NaN", 3)); /* gaps are gaps, not coordinates */
    fanin__map_close(&a);
    fanin__map_close(&b);
}
