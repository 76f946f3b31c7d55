/* safetensors: the reference's published files to the byte, round trips, shards, and damage of every kind. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/weights.h"
#include "testing.h"

/* ---- helpers ----------------------------------------------------------------------------------- */

typedef struct bytes {
    unsigned char data[8192];
    size_t size;
} bytes;

static bytes read_all(const char *path) {
    bytes b = {.size = 0};
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    b.size = fread(b.data, 1, sizeof b.data, f);
    fclose(f);
    return b;
}

/* A file of this header text and `payload` zero bytes; the length is that of the text unless given. */
static bytes make(const char *header, size_t payload) {
    bytes b = {.size = 0};
    size_t n = strlen(header);
    assert_true(8 + n + payload <= sizeof b.data);
    for (int i = 0; i < 8; i++) b.data[i] = (unsigned char)(n >> (8 * i));
    memcpy(b.data + 8, header, n);
    b.size = 8 + n + payload;
    return b;
}

static fanin_status parse(const void *data, size_t size, fanin_weights **w, fanin_err *err) {
    *w = fanin__weights_create(fanin__format_budget(size));
    assert_non_null(*w);
    return fanin__safetensors_parse(*w, data, size, "t", err);
}

static void refused(const char *header, size_t payload, fanin_status want, const char *part) {
    bytes b = make(header, payload);
    fanin_weights *w;
    fanin_err err = {0};
    fanin_status status = parse(b.data, b.size, &w, &err);
    fanin_weights_close(w);
    if (status != want || !strstr(err.message, part) || strncmp(err.message, "t: ", 3) != 0)
        fail_msg("%s: status %s, '%s', expected %s, '%s'", header, fanin_status_name(status),
                 err.message, fanin_status_name(want), part);
}

static fanin_array f32(const char *name, int rank, int64_t a, int64_t b, int64_t c,
                       const float *data) {
    fanin_array array = {.name = name, .dtype = FANIN_F32, .rank = rank, .dims = {a, b, c}};
    array.data = data;
    return array;
}

static void assert_file(const char *path, const char *header, size_t header_size,
                        const void *payload, size_t size) {
    bytes b = read_all(path);
    assert_int_equal(b.size, 8 + header_size + size);
    assert_int_equal(b.data[0], header_size);
    assert_memory_equal(b.data + 1, "\0\0\0\0\0\0\0", 7);
    assert_memory_equal(b.data + 8, header, header_size);
    if (size) assert_memory_equal(b.data + 8 + header_size, payload, size);
}

/* ---- what the reference publishes -------------------------------------------------------------- */

TEST(published_files_are_written_to_the_byte) {
    const float values[] = {0, 1, 2, 3, 4, 5};
    fanin_err err = {0};
    const char *path = test_tmp("a.safetensors");
    fanin_array a = f32("attn.0", 3, 1, 2, 3, values);
    assert_ok_err(fanin_weights_save(path, &a, 1, NULL, &err), err);
    assert_file(path, "{\"attn.0\":{\"dtype\":\"F32\",\"shape\":[1,2,3],\"data_offsets\":[0,24]}}",
                64, values, 24);

    fanin_array padded = {
        .name = "attn0", .dtype = FANIN_F32, .rank = 4, .dims = {1, 1, 2, 3}, .data = values};
    assert_ok_err(fanin_weights_save(path, &padded, 1, NULL, &err), err);
    assert_file(
        path, "{\"attn0\":{\"dtype\":\"F32\",\"shape\":[1,1,2,3],\"data_offsets\":[0,24]}}       ",
        72, values, 24);

    assert_ok_err(fanin_weights_save(path, NULL, 0, NULL, &err), err);
    assert_file(path, "{}      ", 8, NULL, 0);

    fanin_writer_options o = {.metadata = (const char *[]){"framework", "pt", NULL}};
    assert_ok_err(fanin_weights_save(path, NULL, 0, &o, &err), err);
    assert_file(path, "{\"__metadata__\":{\"framework\":\"pt\"}}     ", 40, NULL, 0);
}

TEST(types_are_ordered_as_the_reference_does) {
    fanin_array arrays[15];
    char names[15][8];
    int n = 0;
    static const unsigned char zeros[16];
    for (int d = 1; fanin_dtype_size((fanin_dtype)d); d++) {
        snprintf(names[n], sizeof names[n], "t%02d", d);
        arrays[n] = (fanin_array){
            .name = names[n], .dtype = (fanin_dtype)d, .rank = 1, .dims = {1}, .data = zeros};
        n++;
    }
    fanin_err err = {0};
    fanin_weights *w;
    const char *path = test_tmp("types.safetensors");
    assert_ok_err(fanin_weights_save(path, arrays, n, NULL, &err), err);
    assert_ok_err(fanin_weights_open(path, &w, &err), err);
    static const char *const order[] = {"U64",     "I64",     "F64", "F32", "U32",
                                        "I32",     "BF16",    "F16", "U16", "I16",
                                        "F8_E4M3", "F8_E5M2", "I8",  "U8",  "BOOL"};
    assert_int_equal(fanin_weights_count(w), 15);
    for (int i = 0; i < 15; i++)
        assert_string_equal(fanin_dtype_name(fanin_weights_at(w, i)->dtype), order[i]);
    fanin_weights_close(w);
}

/* ---- round trips ------------------------------------------------------------------------------- */

TEST(streamed_pieces_make_the_same_file_and_read_back) {
    float values[300];
    for (int i = 0; i < 300; i++) values[i] = (float)i * 0.5f;
    fanin_array arrays[] = {
        f32("z \"q\" \\ \n \x01 \xc3\xa9", 2, 10, 10, 0, values),
        f32("empty", 2, 0, 7, 0, values),
        {.name = "half", .dtype = FANIN_F16, .rank = 1, .dims = {3}, .data = values},
        {.name = "scalar", .dtype = FANIN_F32, .rank = 0, .data = values + 7},
    };
    fanin_err err = {0};
    fanin_writer_options o = {.metadata = (const char *[]){"fanin", "0.1", "seed", "1", NULL}};
    const char *once = test_tmp("once.safetensors"), *parts = test_tmp("parts.safetensors");
    assert_ok_err(fanin_weights_save(once, arrays, 4, &o, &err), err);
    fanin_weights_writer *writer;
    assert_ok_err(fanin_weights_writer_create(parts, arrays, 4, &o, &writer, &err), err);
    for (int k = 0; k < 4; k++) {
        const fanin_array *a = &arrays[fanin_weights_writer_order(writer, k)];
        size_t size = a->rank == 2 ? (a->dims[0] ? 400 : 0) : a->rank == 1 ? 6 : 4;
        for (size_t at = 0; at < size; at += 7)
            assert_ok_err(fanin_weights_writer_put(writer, (const char *)a->data + at,
                                                   size - at < 7 ? size - at : 7, &err),
                          err);
    }
    assert_int_equal(access(parts, F_OK), -1); /* nothing under the final name yet */
    assert_ok_err(fanin_weights_writer_commit(writer, &err), err);
    bytes a = read_all(once), b = read_all(parts);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);

    fanin_weights *w;
    assert_ok_err(fanin_weights_open(once, &w, &err), err);
    assert_int_equal(fanin_weights_count(w), 4);
    const fanin_array *z = fanin_weights_find(w, arrays[0].name);
    assert_non_null(z);
    assert_memory_equal(z->data, values, 400);
    assert_int_equal(fanin_weights_find(w, "empty")->size, 0);
    assert_int_equal(fanin_weights_find(w, "scalar")->rank, 0);
    assert_null(fanin_weights_find(w, "nothing"));
    const char *value;
    assert_string_equal(fanin_weights_metadata(w, 1, &value), "seed");
    assert_string_equal(value, "1");
    assert_null(fanin_weights_metadata(w, 2, &value));
    fanin_weights_close(w);
}

TEST(an_aborted_or_short_file_leaves_nothing) {
    const float values[6] = {0};
    fanin_array a = f32("w", 1, 6, 0, 0, values);
    fanin_err err = {0};
    const char *path = test_tmp("short.safetensors");
    fanin_weights_writer *w;
    assert_ok_err(fanin_weights_writer_create(path, &a, 1, NULL, &w, &err), err);
    assert_ok_err(fanin_weights_writer_put(w, values, 20, &err), err);
    assert_int_equal(fanin_weights_writer_commit(w, &err), FANIN_INTERNAL);
    assert_non_null(strstr(err.message, "'w' was given 20 bytes, expected 24"));
    assert_int_equal(access(path, F_OK), -1);
    assert_ok_err(fanin_weights_writer_create(path, &a, 1, NULL, &w, &err), err);
    fanin_weights_writer_abort(w);
    assert_int_equal(access(path, F_OK), -1);
    assert_ok_err(fanin_weights_writer_create(path, &a, 1, NULL, &w, &err), err);
    assert_int_equal(fanin_weights_writer_put(w, values, 25 > sizeof values ? 24 : 0, &err), 0);
    assert_int_equal(fanin_weights_writer_put(w, values, 1, &err), FANIN_INTERNAL);
    fanin_weights_writer_abort(w);
    fanin_array twice[] = {a, a};
    assert_int_equal(fanin_weights_save(path, twice, 2, NULL, &err), FANIN_ARG);
    assert_int_equal(fanin_weights_save(test_tmp("x.unknown"), &a, 1, NULL, &err), FANIN_ARG);
    assert_int_equal(fanin_weights_save("/nonexistent/x.safetensors", &a, 1, NULL, &err), FANIN_IO);
}

TEST(shards_are_filled_in_order_and_found_again) {
    const float values[64] = {1, 2, 3};
    fanin_array arrays[] = {f32("b", 1, 8, 0, 0, values), f32("a", 1, 8, 0, 0, values + 1),
                            f32("c", 1, 30, 0, 0, values), f32("d", 1, 2, 0, 0, values),
                            f32("e", 1, 0, 0, 0, values)};
    fanin_err err = {0};
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", test_tmp("shards"));
    fanin_writer_options o = {.metadata = (const char *[]){"seed", "1", NULL}, .max_shard = 64};
    assert_ok_err(fanin_weights_save(folder, arrays, 5, &o, &err), err);
    fanin_weights *w;
    assert_ok_err(fanin_weights_open(folder, &w, &err), err);
    assert_int_equal(fanin_weights_count(w), 5);
    assert_memory_equal(fanin_weights_find(w, "a")->data, values + 1, 32);
    assert_string_equal(fanin_weights_at(w, 0)->name, "a"); /* sorted in the first file */
    assert_string_equal(fanin_weights_metadata(w, 0, NULL),
                        "seed"); /* said by each file, kept once */
    assert_null(fanin_weights_metadata(w, 1, NULL));
    fanin_weights_close(w);
    char index[4200];
    snprintf(index, sizeof index, "%s/model.safetensors.index.json", folder);
    bytes b = read_all(index);
    b.data[b.size] = 0;
    assert_string_equal((char *)b.data, "{\n  \"metadata\": {\n    \"total_size\": 192\n  },\n"
                                        "  \"weight_map\": {\n"
                                        "    \"a\": \"model-00001-of-00003.safetensors\",\n"
                                        "    \"b\": \"model-00001-of-00003.safetensors\",\n"
                                        "    \"c\": \"model-00002-of-00003.safetensors\",\n"
                                        "    \"d\": \"model-00003-of-00003.safetensors\",\n"
                                        "    \"e\": \"model-00003-of-00003.safetensors\"\n"
                                        "  }\n}\n");
    assert_ok_err(fanin_weights_open(index, &w, &err), err);
    fanin_weights_close(w);
    /* An index that names a tensor which is not there, a path, nothing. */
    static const struct {
        const char *text, *part;
    } bad[] = {
        {"{\"weight_map\":{\"q\":\"model-00001-of-00003.safetensors\"}}", "'q' is not in"},
        {"{\"weight_map\":{\"a\":\"../x.safetensors\"}}", "expected a file in the same folder"},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "expected a file in the same folder"},
        {"{\"weight_map\":{\"a\":\"..\"}}", "expected a file in the same folder"},
        {"{\"weight_map\":{\"a\":\"gone.safetensors\"}}", "gone.safetensors"},
        {"{\"metadata\":{\"a\":[1,2.5e3,{\"b\":null}]}}", "holds no weight_map"},
        {"{\"weight_map\":{\"a\":1}}", "byte 19: expected a string"},
        {"{\"weight_map\":{}} x", "text behind"},
        {"[]", "byte 0: expected '{'"},
        {"{\"a\":[1,],\"weight_map\":{}}", "expected a value"},
        {"{\"weight_map\":{\"a\":\"model-00001-of-00003.safetensors\"}}",
         "lists 1 tensors, the files that it names hold 2"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        FILE *f = fopen(index, "w");
        fputs(bad[i].text, f);
        fclose(f);
        assert_int_not_equal(fanin_weights_open(index, &w, &err), FANIN_OK);
        assert_null(w);
        if (!strstr(err.message, bad[i].part)) fail_msg("%s: '%s'", bad[i].text, err.message);
    }
}

TEST(an_index_is_not_followed_deep) {
    char text[4000] = "{\"a\":";
    memset(text + 5, '[', 3000);
    text[3005] = 0;
    const char *path = test_tmp("deep.index.json");
    FILE *f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
    fanin_weights *w;
    fanin_err err = {0};
    assert_int_equal(fanin_weights_open(path, &w, &err), FANIN_FORMAT);
    assert_non_null(strstr(err.message, "deeper than 64"));
}

/* ---- damage ------------------------------------------------------------------------------------ */

#define T(name, type, shape, begin, end) \
    "\"" name "\":{\"dtype\":\"" type "\",\"shape\":[" shape "],\"data_offsets\":[" #begin \
    "," #end "]}"

TEST(damaged_headers_are_refused_with_a_reason) {
    refused("{" T("a", "F32", "2", 0, 8) "," T("a", "F32", "2", 8, 16) "}", 16, FANIN_FORMAT,
            "two tensors are called 'a'");
    refused("{" T("a", "F32", "2", 0, 8) "," T("b", "F32", "2", 4, 12) "}", 12, FANIN_FORMAT,
            "'b' begins at byte 4 of the data, inside");
    refused("{" T("a", "F32", "2", 0, 8) "," T("b", "F32", "2", 12, 20) "}", 20, FANIN_FORMAT,
            "with a gap behind the one that ends at 8");
    refused("{" T("a", "F32", "2", 4, 12) "}", 12, FANIN_FORMAT, "with a gap");
    refused("{" T("a", "F32", "2", 0, 8) "}", 9, FANIN_FORMAT, "end at byte 8 of the data");
    refused("{}", 1, FANIN_FORMAT, "end at byte 0 of the data, which has 1");
    refused("{" T("a", "F32", "2", 0, 8) "}", 7, FANIN_FORMAT, "which has 7");
    refused("{" T("a", "F32", "2", 8, 0) "}", 8, FANIN_FORMAT, "lies at bytes 8 to 0");
    refused("{" T("a", "F32", "3", 0, 8) "}", 8, FANIN_FORMAT, "has 8 bytes, its shape 3 of F32");
    refused("{" T("a", "F32", "4294967296,4294967296,4", 0, 8) "}", 8, FANIN_LIMIT,
            "more than memory");
    refused("{" T("a", "F32", "0,4294967296,4294967296,4", 0, 0) "}", 0, FANIN_LIMIT, "more than");
    refused("{" T("a", "F32", "18446744073709551616", 0, 8) "}", 8, FANIN_FORMAT, "fit 64 bits");
    refused("{" T("a", "F32", "18446744073709551615", 0, 8) "}", 8, FANIN_LIMIT, "an axis of size");
    refused("{" T("a", "F32", "1,1,1,1,1,1,1,1,2", 0, 8) "}", 8, FANIN_LIMIT, "more than 8 axes");
    refused("{" T("a", "F32", "-2", 0, 8) "}", 8, FANIN_FORMAT, "whole number");
    refused("{" T("a", "F32", "2.0", 0, 8) "}", 8, FANIN_FORMAT, "whole number");
    refused("{" T("a", "F32", "02", 0, 8) "}", 8, FANIN_FORMAT, "whole number");
    refused("{" T("a", "F32", "2e0", 0, 8) "}", 8, FANIN_FORMAT, "whole number");
    refused("{" T("a", "F33", "2", 0, 8) "}", 8, FANIN_UNSUPPORTED, "element type 'F33'");
    refused("{" T("a", "f32", "2", 0, 8) "}", 8, FANIN_UNSUPPORTED, "element type 'f32'");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, FANIN_FORMAT, "lacks");
    refused("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", 8, FANIN_FORMAT, "twice");
    refused("{\"a\":{\"stride\":[2]}}", 8, FANIN_FORMAT, "expected one of the fields");
    refused("{\"a\":[]}", 0, FANIN_FORMAT, "byte 13 of the header: expected '{'");
    refused("[]", 0, FANIN_FORMAT, "expected '{' at its beginning");
    refused(" {}", 0, FANIN_FORMAT, "expected '{' at its beginning");
    refused("{} x", 0, FANIN_FORMAT, "text behind");
    refused("{", 0, FANIN_FORMAT, "header");
    refused("{\"a", 0, FANIN_FORMAT, "does not end");
    refused("{\"a\\", 0, FANIN_FORMAT, "does not end");
    refused("{\"\\ud800\":{}}", 0, FANIN_FORMAT, "surrogate");
    refused("{\"\\udc00\":{}}", 0, FANIN_FORMAT, "surrogate");
    refused("{\"\\u0000\":{}}", 0, FANIN_FORMAT, "NUL");
    refused("{\"\\u00g0\":{}}", 0, FANIN_FORMAT, "hexadecimal");
    refused("{\"\\x41\":{}}", 0, FANIN_FORMAT, "escape");
    refused("{\"\x01\":{}}", 0, FANIN_FORMAT, "control character");
    refused("{\"\xc0\x80\":{}}", 0, FANIN_FORMAT, "UTF-8");
    refused("{\"\xed\xa0\x80\":{}}", 0, FANIN_FORMAT, "UTF-8");
    refused("{\"\xf4\x90\x80\x80\":{}}", 0, FANIN_FORMAT, "UTF-8");
    refused("{\"__metadata__\":{\"a\":1}}", 0, FANIN_FORMAT, "expected a string");
    refused("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, FANIN_FORMAT, "'a' twice");
    refused("{\"__metadata__\":{},\"__metadata__\":{}}", 0, FANIN_FORMAT, "appears twice");
    refused("{\"__metadata__\":{},}", 0, FANIN_FORMAT, "expected a string");
    refused("", 0, FANIN_FORMAT, "expected '{'");
}

TEST(lengths_are_checked_before_anything_else) {
    fanin_weights *w;
    fanin_err err = {0};
    unsigned char small[16] = {200, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    assert_int_equal(parse(small, 7, &w, &err), FANIN_FORMAT);
    fanin_weights_close(w);
    assert_int_equal(parse(small, 16, &w, &err), FANIN_FORMAT);
    assert_non_null(strstr(err.message, "200 bytes, only 8 are left"));
    fanin_weights_close(w);
    memset(small, 0xff, 8);
    assert_int_equal(parse(small, 16, &w, &err), FANIN_LIMIT);
    fanin_weights_close(w);
}

TEST(what_the_format_allows_is_read) {
    bytes b = make(
        "{\"a\\u00e9\\ud83d\\ude00\\/\":{\"shape\":[],\"data_offsets\":[0,4],\"dtype\":\"F32\"}"
        " , \"e\":{\"dtype\":\"I64\",\"shape\":[3,0],\"data_offsets\":[4,4]}}   ",
        4);
    fanin_weights *w;
    fanin_err err = {0};
    assert_ok_err(parse(b.data, b.size, &w, &err), err);
    assert_string_equal(fanin_weights_at(w, 0)->name, "a\xc3\xa9\xf0\x9f\x98\x80/");
    assert_int_equal(fanin_weights_at(w, 1)->size, 0);
    fanin_weights_close(w);
}

TEST(no_prefix_and_no_changed_byte_breaks_the_reader) {
    bytes b = make("{\"__metadata__\":{\"k\":\"v\"}," T("a", "F32", "2", 0,
                                                        8) "," T("b", "BF16", "1,3", 8, 14) "}",
                   14);
    fanin_weights *w;
    fanin_err err = {0};
    assert_ok_err(parse(b.data, b.size, &w, &err), err);
    fanin_weights_close(w);
    for (size_t n = 0; n < b.size; n++) {
        unsigned char *exact = malloc(n ? n : 1); /* so that sanitizers see a byte too far */
        memcpy(exact, b.data, n);
        assert_int_not_equal(parse(exact, n, &w, &err), FANIN_OK);
        fanin_weights_close(w);
        free(exact);
    }
    for (size_t i = 0; i < b.size; i++)
        for (int bit = 0; bit < 8; bit++) {
            b.data[i] ^= (unsigned char)(1 << bit);
            (void)parse(b.data, b.size, &w, &err);
            fanin_weights_close(w);
            b.data[i] ^= (unsigned char)(1 << bit);
        }
}
