/* Data sets behind a path: tables, IDX, npz, text, folders of PNG; packed files; everything that can be wrong with
 * them is one clear sentence. */
#include <lzma.h>
#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/base.h"
#include "data/table.h"
#include "fanin/data.h"
#include "fanin/format.h"
#include "faults.h"
#include "testing.h"

static const char *put(const char *name, const void *data, size_t size) {
    const char *path = test_tmp(name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    return path;
}

static const char *text_file(const char *name, const char *text) {
    return put(name, text, strlen(text));
}

static fanin_dataset *open_with(const char *path, const char *options) {
    char text[600];
    fanin_dataset *d;
    fanin_err err = {0};
    snprintf(text, sizeof text, "%s%s", path, options);
    assert_ok_err(fanin_dataset_open(text, 0, &d, &err), err);
    return d;
}

static void refused(const char *path, const char *options, fanin_status status, const char *says) {
    char text[600];
    fanin_dataset *d;
    fanin_err err = {0};
    snprintf(text, sizeof text, "%s%s", path, options);
    fanin_status got = fanin_dataset_open(text, 0, &d, &err);
    assert_null(d);
    if (got != status || !strstr(err.message, says))
        fail_msg("%s: %s '%s', expected %s '%s'", text, fanin_status_name(got), err.message,
                 fanin_status_name(status), says);
}

/* Sample i of a set of one split (test=0). */
static int64_t sample(const fanin_dataset *d, uint64_t i, float *x) {
    int64_t label = -1;
    assert_ok(fanin_dataset_samples(d, FANIN_TRAIN, &i, 1, x, &label, NULL));
    return label;
}

/* ---- tables ----------------------------------------------------------------------------------------- */

static void cells(const char *bytes, size_t size, const char *want) {
    fanin__table t;
    fanin_err err = {0};
    char got[600] = "";
    fanin_status status =
        fanin__table_parse((const unsigned char *)bytes, size, ',', "t", &t, &err);
    if (status != FANIN_OK)
        snprintf(got, sizeof got, "%s", err.message);
    else
        for (size_t r = 0; r < t.rows; r++)
            for (size_t c = 0; c < t.columns; c++) {
                size_t n = strlen(got);
                snprintf(got + n, sizeof got - n, "[%s]%s", fanin__table_cell(&t, r, c),
                         c + 1 == t.columns ? "/" : "");
            }
    fanin__table_fini(&t);
    if (strcmp(got, want) != 0) fail_msg("'%s' became '%s', expected '%s'", bytes, got, want);
}

/* The examples of RFC 4180, section 2, and what is not allowed there. */
TEST(cells_by_rfc_4180) {
    static const char *const cases[][2] = {
        {"aaa,bbb,ccc\r\nzzz,yyy,xxx\r\n", "[aaa][bbb][ccc]/[zzz][yyy][xxx]/"},
        {"aaa,bbb,ccc\r\nzzz,yyy,xxx", "[aaa][bbb][ccc]/[zzz][yyy][xxx]/"},
        {"\"aaa\",\"bbb\",\"ccc\"\r\nzzz,yyy,xxx", "[aaa][bbb][ccc]/[zzz][yyy][xxx]/"},
        {"\"aaa\",\"b\r\nbb\",\"ccc\"\r\nzzz,yyy,xxx", "[aaa][b\r\nbb][ccc]/[zzz][yyy][xxx]/"},
        {"\"aaa\",\"b\"\"bb\",\"ccc\"", "[aaa][b\"bb][ccc]/"},
        {"\xef\xbb\xbf"
         "a,b\n1,2\n",
         "[a][b]/[1][2]/"},
        {"a,,\n,,\n", "[a][][]/[][][]/"},
        {"a,b\n\n\nc,d\n", "[a][b]/[c][d]/"},
        {"a,b \rc\n", "[a][b \rc]/"},
        {"\"a,b\",\"\"\n", "[a,b][]/"},
        {"", ""},
        {"a,b\nc\n", "t: line 2 has 1 fields, expected 2 as line 1"},
        {"a,\"b\nc,d\n", "t: line 1, field 2: a quote is never closed"},
        {"a,b\n\"c\"d,e\n", "t: line 2, field 1: text behind a closing quote"},
        {"a,b\"c\n", "t: line 1, field 2: a quote inside a field that is not quoted"},
    };
    for (size_t i = 0; i < FANIN_COUNT(cases); i++)
        cells(cases[i][0], strlen(cases[i][0]), cases[i][1]);
    cells("a,\0b", 4, "t: line 1, field 2: a zero byte");
}

TEST(a_table_is_a_data_set) {
    static const char *const text = "x,colour,z\r\n1,red,-2e1\r\n0.5, blue,3\r\n2,red,4\r\n";
    fanin_dataset *d = open_with(text_file("a.csv", text), ":label=colour,test=0");
    const fanin_dataset_info *info = fanin_dataset_get_info(d);
    float x[2];
    assert_int_equal(info->classes, 2);
    assert_int_equal(info->dims[0], 2);
    assert_int_equal(info->train_count, 3);
    assert_int_equal(info->test_count, 3);
    assert_int_equal(sample(d, 0, x), 1); /* ' blue' stands before 'red' */
    assert_true(x[0] == 1 && x[1] == -20);
    assert_int_equal(sample(d, 1, x), 0);
    fanin_dataset_close(d);
    /* the last column, whose fractions make it a real target; tabs */
    d = open_with(text_file("b.tsv", "1\t2\t0.5\n3\t4\t1\n"), ":test=0");
    info = fanin_dataset_get_info(d);
    float t[1];
    assert_int_equal(info->classes, 0);
    assert_ok(fanin_dataset_samples(d, FANIN_TEST, (uint64_t[]){1}, 1, x, t, NULL));
    assert_true(x[0] == 3 && x[1] == 4 && t[0] == 1);
    fanin_dataset_close(d);
    d = open_with(text_file("B.TSV", "1\t2\t0.5\n"), ":test=0"); /* the same in capitals */
    assert_int_equal(fanin_dataset_get_info(d)->dims[0], 2);
    fanin_dataset_close(d);
    d = open_with(text_file("of.tsv.csv", "1,2,0.5\n"), ":test=0"); /* the ending, not a part */
    assert_int_equal(fanin_dataset_get_info(d)->dims[0], 2);
    fanin_dataset_close(d);
    /* a column called target wins over the last; numbers sort by value; column by number */
    const char *path = text_file("c.csv", "target,a\n10,1\n9,2\n");
    d = open_with(path, ":test=0");
    assert_int_equal(sample(d, 0, x), 1);
    fanin_dataset_close(d);
    d = open_with(path, ":label=2,test=0,target=real");
    assert_int_equal(fanin_dataset_get_info(d)->classes, 0);
    fanin_dataset_close(d);
    d = open_with(text_file("d.csv", "1,a\n2,b\n"), ":header=0,test=0");
    assert_int_equal(fanin_dataset_get_info(d)->train_count, 2);
    fanin_dataset_close(d);
}

TEST(broken_tables_are_told) {
    refused(text_file("n.csv", "a,b,y\n1,2,0\n1,nan,1\n"), "", FANIN_FORMAT,
            "line 3, column 'b': 'nan', expected a finite number");
    refused(text_file("i.csv", "1,2,0\n1,inf,1\n"), "", FANIN_FORMAT, "line 2, column 2: 'inf'");
    refused(text_file("e.csv", "a,b,y\n1,,0\n1,2,1\n"), "", FANIN_FORMAT, "line 2, column 'b': ''");
    refused(text_file("w.csv", "a,b,y\n1,red,0\n1,2,1\n"), "", FANIN_FORMAT, "'red'");
    refused(text_file("f.csv", "1,1e39,0\n1,2,1\n"), "", FANIN_FORMAT, "'1e39'");
    refused(text_file("m.csv", "a,y\n1,no\n2,\n"), "", FANIN_FORMAT,
            "line 3, column 'y': no class");
    refused(text_file("o.csv", "a,y\n1,no\n2,no\n"), "", FANIN_FORMAT, "expected two classes");
    refused(text_file("z.csv", ""), "", FANIN_FORMAT, "0 rows");
    refused(text_file("h.csv", "a,b\n"), ":header=1", FANIN_FORMAT, "0 rows");
    refused(text_file("1.csv", "1\n2\n"), "", FANIN_FORMAT, "columns");
    const char *good = text_file("g.csv", "a,y\n1,0\n2,1\n3,1\n");
    refused(good, ":label=zz", FANIN_ARG, "no column 'zz' among 2");
    refused(good, ":test=2", FANIN_ARG, "test=2");
    refused(good, ":lable=y", FANIN_ARG, "'lable=y' is no option");
    refused(good, ":target=int", FANIN_ARG, "real or class");
    refused(test_tmp("absent.csv"), "", FANIN_NOTFOUND, "absent.csv");
}

/* Train and test together are every row once, whatever the seed; classes of UCI's iris, 50 each. */
TEST(a_split_loses_no_row) {
    char text[400];
    snprintf(text, sizeof text, "%s:test=0.3", test_shared("data/uci/iris.data"));
    fanin_dataset *d[2];
    double sums[2] = {0, 0}, counts[3] = {0};
    for (int k = 0; k < 2; k++) {
        assert_ok(fanin_dataset_open(text, (uint64_t)k, &d[k], NULL));
        const fanin_dataset_info *info = fanin_dataset_get_info(d[k]);
        assert_int_equal(info->train_count, 105);
        assert_int_equal(info->test_count, 45);
        assert_non_null(strstr(info->split, "105 of 150 rows"));
        for (uint64_t i = 0; i < 150; i++) {
            float x[4];
            int64_t label;
            uint64_t at = i < 105 ? i : i - 105;
            assert_ok(fanin_dataset_samples(d[k], i < 105 ? FANIN_TRAIN : FANIN_TEST, &at, 1, x,
                                            &label, NULL));
            sums[k] += (double)x[0];
            counts[label]++;
        }
    }
    assert_near(sums[0], 876.5, 1e-3, 0); /* 150 x 5.8433, the published mean */
    assert_near(sums[1], sums[0], 1e-9, 0);
    for (int c = 0; c < 3; c++) assert_true(counts[c] == 100);
    for (int k = 0; k < 2; k++) fanin_dataset_close(d[k]);
}

/* ---- packed files -------------------------------------------------------------------------------------- */

static void write_gz(const char *path, const char *text, size_t size) {
    gzFile f = gzopen(path, "wb9");
    assert_non_null(f);
    assert_int_equal(gzwrite(f, text, (unsigned)size), (int)size);
    assert_int_equal(gzclose(f), Z_OK);
}

TEST(packed_tables) {
    static const char text[] = "1,2,0\n3,4,1\n5,6,1\n";
    float x[2];
    char path[300];
    snprintf(path, sizeof path, "%s", test_tmp("p.csv.gz"));
    write_gz(path, text, sizeof text - 1);
    fanin_dataset *d = open_with(path, ":test=0");
    assert_int_equal(sample(d, 2, x), 1);
    assert_true(x[1] == 6);
    fanin_dataset_close(d);
    unsigned char packed[512];
    size_t size = 0;
    assert_int_equal(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC64, NULL, (const uint8_t *)text,
                                             sizeof text - 1, packed, &size, sizeof packed),
                     LZMA_OK);
    d = open_with(put("p.csv.xz", packed, size), ":test=0");
    assert_int_equal(sample(d, 0, x), 0);
    fanin_dataset_close(d);
    refused(put("cut.csv.xz", packed, size - 9), "", FANIN_FORMAT, "broken or truncated xz");
    unsigned char raw[256];
    FILE *f = fopen(path, "rb");
    size = fread(raw, 1, sizeof raw, f);
    fclose(f);
    refused(put("cut.csv.gz", raw, size - 9), "", FANIN_FORMAT, "broken or truncated gzip");
}

/* 64 MB of zeros in a few kilobytes of xz: no more than 1100 times the file and a megabyte is unpacked. */
TEST(bombs_are_bounded) {
    enum { SIZE = 64 << 20 };
    unsigned char *zeros = calloc(SIZE, 1), *packed = malloc(1 << 20);
    size_t size = 0;
    assert_non_null(zeros);
    assert_non_null(packed);
    assert_int_equal(
        lzma_easy_buffer_encode(0, LZMA_CHECK_NONE, NULL, zeros, SIZE, packed, &size, 1 << 20),
        LZMA_OK);
    assert_true(size < 30000);
    refused(put("bomb.csv.xz", packed, size), "", FANIN_LIMIT, "unpacks to more than");
    free(zeros);
    free(packed);
}

/* ---- arrays -------------------------------------------------------------------------------------------- */

static const unsigned char images[] = {0, 0, 8, 3, 0, 0, 0,   3,  0,   0, 0,
                                       1, 0, 0, 0, 2, 0, 255, 51, 102, 1, 2};
static const unsigned char labels[] = {0, 0, 8, 1, 0, 0, 0, 3, 1, 0, 1};

TEST(idx_pairs) {
    char text[600], first[300];
    float x[2];
    snprintf(first, sizeof first, "%s", put("t-images.idx", images, sizeof images));
    snprintf(text, sizeof text, "%s,%s", first, put("t-labels.idx", labels, sizeof labels));
    for (int k = 0; k < 2; k++) {
        fanin_dataset *d = open_with(k ? first : text, "");
        assert_int_equal(fanin_dataset_get_info(d)->classes, 2);
        assert_int_equal(fanin_dataset_get_info(d)->rank, 2);
        assert_int_equal(sample(d, 1, x), 0);
        assert_near((double)x[0], 0.2, 1e-7, 0);
        assert_near((double)x[1], 0.4, 1e-7, 0);
        fanin_dataset_close(d);
    }
    refused(put("s-images.idx", images, sizeof images - 1), "", FANIN_FORMAT, "5 bytes of numbers");
    put("u-labels.idx", (const unsigned char[]){0, 0, 8, 1, 0, 0, 0, 3, 2, 0, 2}, 11);
    refused(put("u-images.idx", images, sizeof images), "", FANIN_FORMAT,
            "class 1 of 0 to 2 has no row");
    put("v-labels.idx", (const unsigned char[]){0, 0, 9, 1, 0, 0, 0, 3, 0xff, 0, 1}, 11);
    refused(put("v-images.idx", images, sizeof images), "", FANIN_FORMAT, "class -1");
    put("w-labels.idx", (const unsigned char[]){0, 0, 8, 1, 0, 0, 0, 2, 0, 1}, 10);
    refused(put("w-images.idx", images, sizeof images), "", FANIN_SHAPE, "has 3 rows");
    refused(put("x.idx", images, sizeof images), "", FANIN_ARG, "labels");
    refused(put("y-images.idx", "junk", 4), "", FANIN_FORMAT, "begins 6a 75 6e 6b");
}

TEST(npz_archives) {
    float x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, got[2];
    int64_t y[4] = {0, 1, 1, 0};
    fanin_array a[4] = {
        {.name = "x_train", .dtype = FANIN_F32, .rank = 2, .dims = {3, 2}, .data = x, .size = 24},
        {.name = "y_train", .dtype = FANIN_I64, .rank = 1, .dims = {3}, .data = y, .size = 24},
        {.name = "x_test", .dtype = FANIN_F32, .rank = 2, .dims = {1, 2}, .data = x + 6, .size = 8},
        {.name = "y_test", .dtype = FANIN_I64, .rank = 1, .dims = {1}, .data = y + 3, .size = 8}};
    fanin_err err = {0};
    char path[300];
    snprintf(path, sizeof path, "%s", test_tmp("a.npz"));
    assert_ok_err(fanin_weights_save(path, a, 4, NULL, &err), err);
    fanin_dataset *d = open_with(path, "");
    assert_int_equal(fanin_dataset_get_info(d)->train_count, 3);
    assert_int_equal(fanin_dataset_get_info(d)->test_count, 1);
    assert_ok(fanin_dataset_samples(d, FANIN_TEST, (uint64_t[]){0}, 1, got, y, NULL));
    assert_true(got[0] == 7 && got[1] == 8 && y[0] == 0);
    fanin_dataset_close(d);
    assert_ok_err(fanin_weights_save(path, a, 3, NULL, &err), err);
    refused(path, "", FANIN_FORMAT, "expected arrays x and y");
    x[1] = NAN;
    assert_ok_err(fanin_weights_save(path, a, 2, NULL, &err), err);
    refused(path, "", FANIN_FORMAT, "element 1 is not a finite number");
}

/* ---- CIFAR ------------------------------------------------------------------------------------------------ */

enum { CIFAR_RECORDS = 4 };

/* Records whose label bytes are given, 1 or 2 each, and whose pixels count up from the record's number. */
static size_t cifar(unsigned char *out, const unsigned char *classes, size_t each) {
    unsigned char *p = out;
    for (size_t r = 0; r < CIFAR_RECORDS; r++) {
        for (size_t k = 0; k < each; k++) *p++ = classes[r * each + k];
        for (size_t i = 0; i < 3072; i++) *p++ = (unsigned char)(r + i);
    }
    return (size_t)(p - out);
}

static void make_folder(const char *name) { assert_int_equal(mkdir(test_tmp(name), 0700), 0); }

TEST(cifar_records) {
    static unsigned char bytes[CIFAR_RECORDS * 3074];
    static float x[3072];
    const unsigned char ten[] = {3, 9, 0, 1}, hundred[] = {19, 99, 0, 1, 7, 50, 19, 0},
                        wrong[] = {3, 10, 0, 1};
    char path[300];
    size_t n = cifar(bytes, ten, 1);
    fanin_dataset *d = open_with(put("data_batch_1.bin", bytes, n), "");
    const fanin_dataset_info *info = fanin_dataset_get_info(d);
    assert_true(info->classes == 10 && info->train_count == 4 && info->test_count == 4);
    assert_true(info->rank == 3 && info->dims[0] == 3 && info->dims[2] == 32);
    for (int i = 0; i < CIFAR_RECORDS; i++) assert_int_equal(sample(d, (uint64_t)i, x), ten[i]);
    assert_near((double)x[0], 3.0 / 255, 1e-7, 0);
    assert_near((double)x[3071], (double)((3 + 3071) % 256) / 255, 1e-7, 0);
    fanin_dataset_close(d);
    d = open_with(test_tmp("data_batch_1.bin"), ":test=0.25");
    assert_int_equal(fanin_dataset_get_info(d)->train_count, 3);
    assert_int_equal(fanin_dataset_get_info(d)->test_count, 1);
    fanin_dataset_close(d);
    refused(put("cut.bin", bytes, n - 1), "", FANIN_FORMAT, "records of 3073 (CIFAR-10) or 3074");
    n = cifar(bytes, wrong, 1);
    refused(put("wrong.bin", bytes, n), "", FANIN_FORMAT, "sample 1 has label 10, expected 0 to 9");
    make_folder("cf");
    n = cifar(bytes, ten, 1);
    put("cf/data_batch_1.bin", bytes, n);
    snprintf(path, sizeof path, "%s", test_tmp("cf"));
    refused(path, "/", FANIN_NOTFOUND, "no test_batch.bin");
    put("cf/data_batch_3.bin", bytes, n);
    put("cf/test_batch.bin", bytes, 3073);
    d = open_with(path, "/");
    assert_true(fanin_dataset_get_info(d)->train_count == 8 &&
                fanin_dataset_get_info(d)->test_count == 1);
    assert_int_equal(sample(d, 5, x), 9);
    fanin_dataset_close(d);
    make_folder("c100");
    n = cifar(bytes, hundred, 2);
    put("c100/train.bin", bytes, n);
    put("c100/test.bin", bytes, n);
    snprintf(path, sizeof path, "%s", test_tmp("c100"));
    for (int coarse = 0; coarse < 2; coarse++) {
        d = open_with(path, coarse ? "/:coarse=1" : "/");
        assert_int_equal(fanin_dataset_get_info(d)->classes, coarse ? 20 : 100);
        for (int i = 0; i < CIFAR_RECORDS; i++)
            assert_int_equal(sample(d, (uint64_t)i, x), hundred[2 * i + !coarse]);
        assert_near((double)x[0], 3.0 / 255, 1e-7, 0);
        fanin_dataset_close(d);
    }
}

/* ---- written and read back -------------------------------------------------------------------------------- */

static void same_samples(const fanin_dataset *a, const fanin_dataset *b, size_t size, double near) {
    float x[64], y[64];
    double t[2];
    for (uint64_t i = 0; i < 20; i++) {
        assert_ok(fanin_dataset_samples(a, FANIN_TEST, &i, 1, x, &t[0], NULL));
        assert_ok(fanin_dataset_samples(b, FANIN_TRAIN, &i, 1, y, &t[1], NULL));
        for (size_t k = 0; k < size; k++) assert_near((double)y[k], (double)x[k], near, 0);
        if (fanin_dataset_get_info(a)->classes)
            assert_memory_equal(&t[0], &t[1], sizeof(int64_t));
        else
            assert_memory_equal(&t[0], &t[1], sizeof(float));
    }
}

TEST(what_is_written_is_read) {
    static const char *const sets[] = {"spirals", "teacher:in=3"};
    static const char *const names[][2] = {
        {"w.npy", "v.npy"}, {"w.idx", "v.idx"}, {"w.npz"}, {"w.csv"}, {"w.tsv"}};
    fanin_err err = {0};
    for (size_t s = 0; s < FANIN_COUNT(sets); s++)
        for (size_t k = 0; k < FANIN_COUNT(names); k++) {
            char text[600];
            snprintf(text, sizeof text, "%s", test_tmp(names[k][0]));
            if (names[k][1]) {
                strcat(text, ",");
                strcat(text, test_tmp(names[k][1]));
            }
            fanin_dataset *a, *b;
            assert_ok_err(fanin_dataset_open(sets[s], 1, &a, &err), err);
            assert_ok_err(fanin_dataset_write(a, FANIN_TEST, 20, text, &err), err);
            b = open_with(text, k == 3 || k == 4 ? ":test=0" : "");
            assert_int_equal(fanin_dataset_get_info(b)->train_count, 20);
            same_samples(a, b, s ? 3 : 2, 0);
            fanin_dataset_close(a);
            fanin_dataset_close(b);
        }
    fanin_dataset *a;
    assert_ok(fanin_dataset_open("teacher:out=2", 1, &a, NULL));
    assert_int_equal(fanin_dataset_write(a, FANIN_TRAIN, 9, test_tmp("x.csv"), &err),
                     FANIN_UNSUPPORTED);
    assert_int_equal(fanin_dataset_write(a, FANIN_TRAIN, 9, test_tmp("x.dat"), &err), FANIN_ARG);
    assert_int_equal(fanin_dataset_write(a, FANIN_TRAIN, 0, test_tmp("x.npz"), &err), FANIN_ARG);
    assert_int_equal(fanin_dataset_write(a, FANIN_TRAIN, UINT64_MAX, test_tmp("x.npz"), &err),
                     FANIN_ARG);
    fanin_dataset_close(a);
}

/* ---- text -------------------------------------------------------------------------------------------------- */

TEST(characters) {
    const char *path = text_file("t.txt", "abcabcbbaacc"); /* 12 */
    fanin_dataset *d = open_with(path, ":length=3,test=0.34");
    const fanin_dataset_info *info = fanin_dataset_get_info(d);
    float x[3];
    int64_t t[3];
    assert_int_equal(info->classes, 3);
    assert_int_equal(info->target_count, 3);
    assert_int_equal(info->train_count,
                     2); /* of 8 characters: 0-2 and 3-5, each with the next one */
    assert_int_equal(info->test_count, 1);
    assert_ok(fanin_dataset_samples(d, FANIN_TRAIN, (uint64_t[]){1}, 1, x, t, NULL));
    assert_true(x[0] == 0 && x[1] == 1 && x[2] == 2);
    assert_true(t[0] == 1 && t[1] == 2 && t[2] == 1);
    assert_ok(fanin_dataset_samples(d, FANIN_TEST, (uint64_t[]){0}, 1, x, t, NULL));
    assert_true(x[0] == 0 && x[1] == 0 && x[2] == 2 && t[2] == 2); /* a a c, then c */
    fanin_dataset_close(d);
    refused(path, ":length=30", FANIN_FORMAT, "expected more than length=30");
    refused(path, ":length=2.5", FANIN_ARG, "whole number");
}

/* ---- images -------------------------------------------------------------------------------------------------- */

static void write_png(const char *name, unsigned w, unsigned h, bool colour,
                      const unsigned char *p) {
    png_image image = {.version = PNG_IMAGE_VERSION, .width = w, .height = h};
    image.format = colour ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
    assert_true(png_image_write_to_file(&image, test_tmp(name), 0, p, 0, NULL));
}

TEST(folders_of_png) {
    make_folder("img");
    make_folder("img/cat");
    make_folder("img/ant");
    write_png("img/cat/1.png", 2, 2, false, (const unsigned char[]){0, 255, 51, 102});
    write_png("img/cat/2.PNG", 4, 2, false,
              (const unsigned char[]){10, 20, 30, 40, 50, 60, 70, 80});
    write_png("img/ant/9.png", 2, 2, true,
              (const unsigned char[]){9, 9, 9, 60, 60, 60, 0, 0, 0, 255, 255, 255});
    char folder[300];
    float x[12];
    snprintf(folder, sizeof folder, "%s/", test_tmp("img"));
    fanin_dataset *d = open_with(folder, ":test=0,grey=1");
    const fanin_dataset_info *info = fanin_dataset_get_info(d);
    assert_int_equal(info->dims[0], 1);
    assert_int_equal(info->dims[1], 2);
    assert_int_equal(sample(d, 0, x), 0); /* ant */
    assert_near((double)x[3], 1, 0, 0);
    assert_int_equal(sample(d, 1, x), 1);
    assert_near((double)x[2], 0.2, 1e-7, 0);
    assert_int_equal(sample(d, 2, x), 1); /* two columns become one: 15, 35, 55, 75 */
    for (int i = 0; i < 4; i++) assert_near((double)x[i] * 255, 15 + 20 * i, 1e-4, 0);
    fanin_dataset_close(d);
    d = open_with(folder, ":test=0,size=1"); /* the first image, of colour, says 3 channels */
    assert_int_equal(fanin_dataset_get_info(d)->dims[0], 3);
    sample(d, 1, x);
    for (int c = 0; c < 3; c++) assert_near((double)x[c] * 255, 102, 1e-4, 0);
    fanin_dataset_close(d);
    make_folder("img/dog");
    refused(folder, "", FANIN_FORMAT, "no .png file of this class");
    text_file("img/dog/no.png", "no image");
    refused(folder, "", FANIN_FORMAT, "no.png");
    refused(folder, ":size=5000", FANIN_ARG, "at most 4096");
    refused(folder, ":size=3x", FANIN_ARG, "size=3x");
    refused(test_tmp("img/ant/"), "", FANIN_FORMAT, "no folder of a class");
}

/* A header that claims 100 000 x 100 000 pixels is refused before memory is taken. */
TEST(sizes_of_png_are_bounded) {
    unsigned char head[33] = {0x89, 'P', 'N',  'G',  13,  10,  26, 10, 0,    0,
                              0,    13,  'I',  'H',  'D', 'R', 0,  1,  0x86, 0xa0,
                              0,    1,   0x86, 0xa0, 8,   0,   0,  0,  0};
    uLong crc = crc32(crc32(0, NULL, 0), head + 12, 17);
    for (int i = 0; i < 4; i++) head[29 + i] = (unsigned char)(crc >> (24 - 8 * i));
    make_folder("big");
    make_folder("big/a");
    put("big/a/1.png", head, sizeof head);
    char folder[300];
    snprintf(folder, sizeof folder, "%s/", test_tmp("big"));
    fanin_dataset *d;
    fanin_err err = {0};
    fanin_status status = fanin_dataset_open(folder, 0, &d, &err);
    assert_true(status == FANIN_LIMIT || status == FANIN_FORMAT);
    assert_non_null(strstr(err.message, "big/a/1.png"));
}

/* ---- memory -------------------------------------------------------------------------------------------------- */

static fanin_status open_once(void *arg) {
    fanin_dataset *d;
    fanin_err err = {0};
    fanin_status status = fanin_dataset_open(arg, 0, &d, &err);
    fanin_dataset_close(d);
    return status;
}

TEST(memory_refused_at_every_request) {
    char path[300];
    snprintf(path, sizeof path, "%s", text_file("f.csv", "a,b,y\n1,2,no\n3,4,yes\n5,6,no\n"));
    assert_true(fault_sweep("table", open_once, path) > 5);
    put("f-labels.idx", labels, sizeof labels);
    snprintf(path, sizeof path, "%s", put("f-images.idx", images, sizeof images));
    assert_true(fault_sweep("idx", open_once, path) > 5);
    snprintf(path, sizeof path, "%s:length=2",
             text_file("f.txt", "abcdefghijklmnopqrstuvwxyzabcdefgh"));
    assert_true(fault_sweep("text", open_once, path) > 2);
    make_folder("two");
    make_folder("two/a");
    make_folder("two/b");
    write_png("two/a/1.png", 2, 1, false, (const unsigned char[]){1, 2});
    write_png("two/b/1.png", 2, 1, false, (const unsigned char[]){1, 2});
    snprintf(path, sizeof path, "%s/:test=0", test_tmp("two"));
    assert_true(fault_sweep("png", open_once, path) > 8);
}
