/* npy and npz: published headers, round trips, byte and axis order, damage. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <zip.h>

#include "format/npy.h"
#include "format/weights.h"
#include "testing.h"

static fanin_status parse(const void *data, size_t size, fanin_weights **w, fanin_err *err) {
    *w = fanin__weights_create(fanin__format_budget(size));
    assert_non_null(*w);
    return memcmp(data, "PK", 2) ? fanin__npy_parse(*w, data, size, "t", err)
                                 : fanin__npz_parse(*w, data, size, "t", err);
}

/* Version 1 (or `version`) with this dictionary, then `size` bytes counting up. */
static size_t make(unsigned char *out, int version, const char *dict, size_t size) {
    size_t n = strlen(dict), prefix = version == 1 ? 10 : 12;
    memcpy(out, "\x93NUMPY", 6);
    out[6] = (unsigned char)version;
    out[7] = 0;
    for (size_t i = 8; i < prefix; i++) out[i] = (unsigned char)(n >> (8 * (i - 8)));
    memcpy(out + prefix, dict, n);
    for (size_t i = 0; i < size; i++) out[prefix + n + i] = (unsigned char)i;
    return prefix + n + size;
}

static void refused(const char *dict, size_t size, fanin_status want, const char *part) {
    static unsigned char data[20000];
    fanin_weights *w;
    fanin_err err = {0};
    fanin_status status = parse(data, make(data, 2, dict, size), &w, &err);
    fanin_weights_close(w);
    if (status != want || !strstr(err.message, part))
        fail_msg("%.100s: %s '%s'", dict, fanin_status_name(status), err.message);
}

TEST(headers_are_numpys_to_the_byte) {
    /* numpy.save of float32 (2, 3): 118 characters of dictionary, payload at 128. */
    fanin_array a = {.dtype = FANIN_F32, .rank = 2, .dims = {2, 3}};
    fanin__text t = {0};
    fanin_err err = {0};
    assert_ok_err(fanin__npy_print(&a, "t", &t, &err), err);
    assert_int_equal(t.length, 128);
    assert_memory_equal(t.data, "\x93NUMPY\1\0\x76\0", 10);
    const char *dict = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    assert_memory_equal(t.data + 10, dict, strlen(dict));
    assert_int_equal(t.data[127], '\n');
    t.length = 0;
    a = (fanin_array){.dtype = FANIN_BOOL, .rank = 1, .dims = {5}};
    assert_ok_err(fanin__npy_print(&a, "t", &t, &err), err);
    assert_non_null(
        strstr(t.data + 10, "{'descr': '|b1', 'fortran_order': False, 'shape': (5,), }"));
    a.dtype = FANIN_F8_E4M3;
    assert_int_equal(fanin__npy_print(&a, "t", &t, &err), FANIN_UNSUPPORTED);
    fanin__text_fini(&t);
}

TEST(files_of_numpy_are_read) {
    fanin_weights *w, *golden;
    fanin_err err = {0};
    assert_ok_err(fanin_weights_open(test_shared("models/golden/lenet5/input.npy"), &w, &err), err);
    const fanin_array *x = fanin_weights_at(w, 0);
    assert_string_equal(x->name, "");
    assert_int_equal(x->dtype, FANIN_F32);
    assert_int_equal(x->rank, 4);
    assert_int_equal(x->dims[2], 28);
    fanin_weights_close(w);
    /* The parameters before training are those in the graph. */
    assert_ok_err(fanin_weights_open(test_shared("models/golden/lenet5/params.npz"), &w, &err),
                  err);
    assert_ok_err(fanin_weights_open(test_shared("models/golden/lenet5/model.onnx"), &golden, &err),
                  err);
    assert_int_equal(fanin_weights_count(w), fanin_weights_count(golden));
    for (int i = 0; i < fanin_weights_count(w); i++) {
        const fanin_array *a = fanin_weights_at(w, i), *b = fanin_weights_find(golden, a->name);
        assert_non_null(b);
        assert_int_equal(a->size, b->size);
        assert_memory_equal(a->data, b->data, a->size);
    }
    fanin_weights_close(w);
    fanin_weights_close(golden);
}

TEST(byte_and_axis_order_become_ours) {
    unsigned char data[256];
    fanin_weights *w;
    fanin_err err = {0};
    size_t n =
        make(data, 1, "{'descr': '>u2', 'fortran_order': True, 'shape': (2, 3L, 1), } \n", 12);
    assert_ok_err(parse(data, n, &w, &err), err);
    const fanin_array *a = fanin_weights_at(w, 0);
    assert_int_equal(a->rank, 3);
    uint16_t got[6];
    memcpy(got, a->data, 12);
    /* item (i, j) lies at i + 2 j; item k has bytes 2k, 2k+1, big end first */
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++) {
            int k = i + 2 * j;
            assert_int_equal(got[3 * i + j], (2 * k) << 8 | (2 * k + 1));
        }
    fanin_weights_close(w);
    n = make(data, 3, "{\"shape\":(),\"descr\":\"|u1\",\"fortran_order\":False}", 1);
    assert_ok_err(parse(data, n, &w, &err), err);
    assert_int_equal(fanin_weights_at(w, 0)->rank, 0);
    fanin_weights_close(w);
}

TEST(damaged_headers_are_refused_with_a_reason) {
    refused("{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", 16, FANIN_FORMAT,
            "Python objects");
    refused("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", 8, FANIN_FORMAT,
            "records");
    refused("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", 8, FANIN_FORMAT,
            "element type");
    refused("{'descr': '<f4', 'fortran_order': 0, 'shape': (2,), }", 8, FANIN_FORMAT,
            "fortran_order");
    refused("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }", 8, FANIN_FORMAT, "shape");
    refused("{'descr': '<f4', 'fortran_order': False, 'shape': 2, }", 8, FANIN_FORMAT,
            "dictionary");
    refused("{'descr': '<f4', 'fortran_order': False, }", 8, FANIN_FORMAT, "lacks");
    refused("{'descr': '<f4', 'descr': '<f4'}", 8, FANIN_FORMAT, "other keys");
    refused("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), } x", 8, FANIN_FORMAT,
            "behind");
    refused("{'descr': '<f4', 'fortran_order': False, 'shape': (2,", 8, FANIN_FORMAT, "shape");
    refused("{'descr': '<f4", 8, FANIN_FORMAT, "does not end");
    refused("", 8, FANIN_FORMAT, "dictionary");
    refused("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 8, FANIN_FORMAT,
            "holds 8 bytes of numbers, its header wants 12");
    refused("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 4), }", 8,
            FANIN_LIMIT, "more than memory");
    refused("{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551616,), }", 8,
            FANIN_FORMAT, "64 bits");
    refused("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }", 4,
            FANIN_FORMAT, "8 axes");
    char *longer = calloc(10002, 1);
    memset(longer, ' ', 10001);
    refused(longer, 0, FANIN_LIMIT, "10001 bytes");
    free(longer);
    unsigned char data[200];
    size_t n = make(data, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 8);
    fanin_weights *w;
    fanin_err err = {0};
    for (size_t i = 0; i < n; i++) {
        unsigned char *exact = malloc(i ? i : 1);
        memcpy(exact, data, i);
        w = fanin__weights_create(0);
        assert_int_equal(fanin__npy_parse(w, exact, i, "t", &err), FANIN_FORMAT);
        fanin_weights_close(w);
        free(exact);
    }
    data[6] = 9;
    assert_int_equal(parse(data, n, &w, &err), FANIN_UNSUPPORTED);
    fanin_weights_close(w);
}

/* ---- archives ---------------------------------------------------------------------------------- */

static unsigned char *slurp(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    unsigned char *p = malloc(1 << 20);
    *size = fread(p, 1, 1 << 20, f);
    fclose(f);
    return p;
}

TEST(archives_round_trip) {
    float values[2000];
    for (int i = 0; i < 2000; i++) values[i] = (float)i;
    fanin_array arrays[] = {
        {.name = "b/w", .dtype = FANIN_F32, .rank = 2, .dims = {40, 50}, .data = values},
        {.name = "a\xc3\xa9", .dtype = FANIN_BF16, .rank = 1, .dims = {3}, .data = values},
        {.name = "none", .dtype = FANIN_I64, .rank = 1, .dims = {0}, .data = values},
    };
    const char *path = test_tmp("a.npz"), *again = test_tmp("b.npz");
    fanin_err err = {0};
    fanin_weights *w;
    assert_ok_err(fanin_weights_save(path, arrays, 3, NULL, &err), err);
    assert_ok_err(fanin_weights_open(path, &w, &err), err);
    assert_int_equal(fanin_weights_count(w), 3);
    assert_string_equal(fanin_weights_at(w, 0)->name, "b/w"); /* as declared */
    assert_memory_equal(fanin_weights_find(w, "b/w")->data, values, 8000);
    assert_int_equal(fanin_weights_find(w, "a\xc3\xa9")->dtype, FANIN_BF16);
    assert_int_equal(fanin_weights_find(w, "none")->size, 0);
    fanin_weights_close(w);
    assert_ok_err(fanin_weights_save(again, arrays, 3, NULL, &err), err);
    size_t n, m;
    unsigned char *first = slurp(path, &n), *second = slurp(again, &m);
    assert_int_equal(n, m);
    assert_memory_equal(first, second, n); /* no clock inside */
    free(second);
    /* Every cut and a changed byte in a payload are noticed. */
    for (size_t i = 4; i < n; i += i < n - 400 ? 97 : 1) {
        unsigned char *exact = malloc(i);
        memcpy(exact, first, i);
        fanin_status status = parse(exact, i, &w, &err);
        if (status != FANIN_FORMAT && status != FANIN_LIMIT)
            fail_msg("cut at %zu of %zu: %s %s", i, n, fanin_status_name(status), err.message);
        fanin_weights_close(w);
        free(exact);
    }
    first[500] ^= 1;
    assert_int_equal(parse(first, n, &w, &err), FANIN_FORMAT);
    assert_non_null(strstr(err.message, "member 'b/w.npy': its checksum"));
    fanin_weights_close(w);
    first[500] ^= 1;
    for (size_t i = 0; i < n;
         i += i < n - 400 && i > 200 ? 61 : 1) { /* no crash, whatever changes */
        first[i] ^= 0x41;
        (void)parse(i < 2 ? (const void *)"PK\5\6" : first, i < 2 ? 4 : n, &w, &err);
        fanin_weights_close(w);
        first[i] ^= 0x41;
    }
    free(first);
    assert_ok_err(fanin_weights_save(path, NULL, 0, NULL, &err), err);
    assert_ok_err(fanin_weights_open(path, &w, &err), err);
    assert_int_equal(fanin_weights_count(w), 0);
    fanin_weights_close(w);
}

/* One deflated member. */
static void zip_one(const char *path, const char *name, const void *data, size_t size) {
    zipFile z = zipOpen64(path, APPEND_STATUS_CREATE);
    zip_fileinfo info = {.dosDate = 0x00210000};
    assert_non_null(z);
    assert_int_equal(
        zipOpenNewFileInZip64(z, name, &info, NULL, 0, NULL, 0, NULL, Z_DEFLATED, 9, 0), ZIP_OK);
    assert_int_equal(zipWriteInFileInZip(z, data, (unsigned)size), ZIP_OK);
    assert_int_equal(zipCloseFileInZip(z), ZIP_OK);
    assert_int_equal(zipClose(z, NULL), ZIP_OK);
}

TEST(deflated_members_are_bounded) {
    const char *path = test_tmp("d.npz");
    size_t size = (size_t)64 << 20;
    unsigned char *data = calloc(size + 200, 1);
    char dict[100];
    fanin_err err = {0};
    fanin_weights *w;
    size_t n = make(data, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (25,)}", 100);
    zip_one(path, "x.npy", data, n);
    assert_ok_err(fanin_weights_open(path, &w, &err), err);
    assert_memory_equal(fanin_weights_find(w, "x")->data, data + n - 100, 100);
    fanin_weights_close(w);
    zip_one(path, "x.npy", data, n + 1);
    assert_int_equal(fanin_weights_open(path, &w, &err), FANIN_FORMAT);
    assert_non_null(strstr(err.message, "another size"));
    zip_one(path, "archive/data.pkl", data, n);
    assert_int_equal(fanin_weights_open(path, &w, &err), FANIN_UNSUPPORTED);
    assert_non_null(strstr(err.message, "torch checkpoint"));
    zip_one(path, "x.txt", data, n);
    assert_int_equal(fanin_weights_open(path, &w, &err), FANIN_FORMAT);
    /* 64 MB of zeros in 65 KB: out of proportion. */
    snprintf(dict, sizeof dict, "{'descr': '|u1', 'fortran_order': False, 'shape': (%zu,)}", size);
    n = make(data, 1, dict, 0);
    zip_one(path, "x.npy", data, n + size);
    assert_int_equal(fanin_weights_open(path, &w, &err), FANIN_LIMIT);
    assert_non_null(strstr(err.message, "out of proportion"));
    free(data);
}

TEST(other_files_are_named) {
    static const struct {
        const char *text, *part;
    } files[] = {{"GGUF....", "a GGUF file"}, {"\x80\x02}q", "a pickle"}, {"", "has 0 bytes"}};
    for (size_t i = 0; i < 3; i++) {
        const char *path = test_tmp("other.bin");
        FILE *f = fopen(path, "w");
        fputs(files[i].text, f);
        fclose(f);
        fanin_weights *w;
        fanin_err err = {0};
        assert_int_not_equal(fanin_weights_open(path, &w, &err), FANIN_OK);
        assert_null(w);
        assert_non_null(strstr(err.message, files[i].part));
    }
    fanin_weights *w;
    fanin_err err = {0};
    assert_int_equal(fanin_weights_open("/nonexistent.npz", &w, &err), FANIN_NOTFOUND);
    assert_int_equal(fanin_weights_open("/nonexistent.onnx", &w, &err), FANIN_NOTFOUND);
}
