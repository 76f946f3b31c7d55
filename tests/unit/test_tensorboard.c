/* Event files, read back by a reader of their own: framing with published checksums, bytes that TensorBoard 2.21's
 * own writer gave for the same events, and histograms whose bins add up. */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "fanin/report.h"
#include "faults.h"
#include "testing.h"

/* ---- an independent reader ------------------------------------------------------------------------ */

/* Bit by bit, unlike the writer. */
static uint32_t crc32c(const unsigned char *p, size_t n) {
    uint32_t c = 0xffffffffu;
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < 8; k++) {
            uint32_t bit = (c ^ (uint32_t)p[i] >> k) & 1;
            c = (c >> 1) ^ (bit ? 0x82f63b78u : 0);
        }
    return ~c;
}

static uint32_t masked(const unsigned char *p, size_t n) {
    uint32_t c = crc32c(p, n);
    return ((c >> 15) | (c << 17)) + 0xa282ead8u;
}

/* The check value of CRC-32C's parameters, and RFC 3720 B.4. */
TEST(the_readers_checksum_is_the_published_one) {
    unsigned char zeros[32] = {0}, up[32];
    for (int i = 0; i < 32; i++) up[i] = (unsigned char)i;
    assert_int_equal(crc32c((const unsigned char *)"123456789", 9), 0xe3069283u);
    assert_int_equal(crc32c(zeros, 32), 0x8a9136aau);
    assert_int_equal(crc32c(up, 32), 0x46dd794eu);
}

static uint64_t le(const unsigned char *p, int bytes) {
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

typedef struct field {
    unsigned id, type;
    uint64_t number; /* varint and fixed */
    const unsigned char *data;
    size_t size;
} field;

static uint64_t varint(const unsigned char **p, const unsigned char *end) {
    uint64_t v = 0;
    for (int shift = 0;; shift += 7) {
        assert_true(*p < end && shift < 64);
        v |= (uint64_t)(**p & 127) << shift;
        if (!(*(*p)++ & 128)) return v;
    }
}

static bool next_field(const unsigned char **p, const unsigned char *end, field *f) {
    if (*p == end) return false;
    uint64_t tag = varint(p, end);
    *f = (field){.id = (unsigned)(tag >> 3), .type = (unsigned)(tag & 7)};
    int fixed = f->type == 1 ? 8 : f->type == 5 ? 4 : 0;
    if (f->type == 0 || f->type == 2) f->number = varint(p, end);
    if (fixed) f->number = le(*p, fixed);
    f->data = *p;
    f->size = f->type == 2 ? (size_t)f->number : (size_t)fixed;
    assert_true(f->type <= 2 || f->type == 5);
    assert_true(f->size <= (size_t)(end - *p));
    *p += f->size;
    return true;
}

static bool find(const unsigned char *p, size_t n, unsigned id, field *f) {
    const unsigned char *end = p + n;
    while (next_field(&p, end, f))
        if (f->id == id) return true;
    return false;
}

static double number_of(uint64_t bits) {
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

typedef struct record {
    const unsigned char *data;
    size_t size;
} record;

enum { RECORDS_MAX = 4096 };

/* Checks every frame; returns the number of records. */
static int read_records(const fanin__map *file, record *out) {
    const unsigned char *p = file->data, *end = p + file->size;
    int count = 0;
    while (p < end) {
        assert_true(end - p >= 16 && count < RECORDS_MAX);
        uint64_t size = le(p, 8);
        assert_int_equal(le(p + 8, 4), masked(p, 8));
        assert_true(size <= (size_t)(end - p) - 16);
        out[count++] = (record){p + 12, (size_t)size};
        assert_int_equal(le(p + 12 + size, 4), masked(p + 12, (size_t)size));
        p += 16 + size;
    }
    return count;
}

/* The Value of a record, and its tag. */
static record value_of(const record *r, char *tag, size_t room, int64_t *step) {
    field f, value;
    *step = find(r->data, r->size, 2, &f) ? (int64_t)f.number : 0;
    assert_true(find(r->data, r->size, 5, &f));
    assert_true(find(f.data, f.size, 1, &value));
    assert_true(find(value.data, value.size, 1, &f) && f.size < room);
    memcpy(tag, f.data, f.size);
    tag[f.size] = '\0';
    return (record){value.data, value.size};
}

/* ---- tests ---------------------------------------------------------------------------------------- */

/* file_version "brain.Event:2"; step 3, "loss/train" 1.5; both without wall time. Written by
 * tensorboard.summary.writer.record_writer.RecordWriter of TensorBoard 2.21. */
static const unsigned char golden[] = {
    0x0f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x6d, 0x53, 0x2b, 0x09, 0x1a, 0x0d,
    0x62, 0x72, 0x61, 0x69, 0x6e, 0x2e, 0x45, 0x76, 0x65, 0x6e, 0x74, 0x3a, 0x32, 0xfc,
    0x98, 0x51, 0x29, 0x17, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xe7, 0xce, 0xf8,
    0x1e, 0x10, 0x03, 0x2a, 0x13, 0x0a, 0x11, 0x0a, 0x0a, 0x6c, 0x6f, 0x73, 0x73, 0x2f,
    0x74, 0x72, 0x61, 0x69, 0x6e, 0x15, 0x00, 0x00, 0xc0, 0x3f, 0x0c, 0xc9, 0x95, 0x1a};

TEST(bytes_are_those_of_tensorboards_own_writer) {
    fanin_events *e;
    fanin__map file;
    fanin_err err = {0};
    assert_ok_err(fanin_events_create(test_tmp("golden"), 0, &e, &err), err);
    fanin_events_scalar(e, "loss/train", 3, 1.5);
    assert_ok_err(fanin_events_flush(e, &err), err);
    assert_non_null(strstr(fanin_events_path(e), "/events.out.tfevents."));
    assert_ok_err(fanin__map_open(fanin_events_path(e), &file, &err), err);
    assert_int_equal(file.size, sizeof golden);
    assert_memory_equal(file.data, golden, sizeof golden);
    fanin__map_close(&file);
    fanin_events_destroy(e);
}

static double float_of(const record *value) {
    field f;
    float v;
    assert_true(find(value->data, value->size, 2, &f) && f.type == 5);
    uint32_t bits = (uint32_t)f.number;
    memcpy(&v, &bits, 4);
    return (double)v;
}

/* Flushes append whole records; an open log is readable after each. Two logs of one second have two files. */
TEST(a_log_grows) {
    static record records[RECORDS_MAX];
    fanin_events *e, *other;
    fanin__map file;
    fanin_err err = {0};
    char tag[64];
    int64_t step;
    assert_ok_err(fanin_events_create(test_tmp("grows"), 1.7e9 + 0.25, &e, &err), err);
    for (int i = 0; i < 5; i++) {
        fanin_events_scalar(e, "loss/train", i, 1.0 / (i + 1));
        assert_ok_err(fanin_events_flush(e, &err), err);
        assert_ok_err(fanin_events_flush(e, &err), err); /* nothing new */
        assert_ok_err(fanin__map_open(fanin_events_path(e), &file, &err), err);
        assert_int_equal(read_records(&file, records), i + 2);
        record value = value_of(&records[i + 1], tag, sizeof tag, &step);
        assert_string_equal(tag, "loss/train");
        assert_int_equal(step, i);
        assert_near(float_of(&value), 1.0 / (i + 1), 0, 1e-7);
        field f;
        assert_true(find(records[i + 1].data, records[i + 1].size, 1, &f) && f.type == 1);
        double wall = number_of(f.number);
        assert_true(wall >= 1.7e9 + 0.25 && wall < 1.7e9 + 1000);
        fanin__map_close(&file);
    }
    assert_ok_err(fanin_events_create(test_tmp("grows"), 1.7e9 + 0.5, &other, &err), err);
    assert_ok_err(fanin_events_flush(other, &err), err);
    assert_string_not_equal(fanin_events_path(e), fanin_events_path(other));
    fanin_events_destroy(other);
    fanin_events_destroy(e);
}

/* The HistogramProto of a record. */
typedef struct histogram {
    double min, max, num, sum, squares;
    const unsigned char *limits, *counts;
    size_t bins;
} histogram;

static histogram histogram_of(const record *value) {
    field h, f;
    double figures[5];
    histogram out = {0};
    assert_true(find(value->data, value->size, 5, &h));
    for (unsigned i = 0; i < 5; i++) {
        assert_true(find(h.data, h.size, i + 1, &f) && f.type == 1);
        figures[i] = number_of(f.number);
    }
    out = (histogram){figures[0], figures[1], figures[2], figures[3], figures[4], NULL, NULL, 0};
    assert_true(find(h.data, h.size, 6, &f) && f.size % 8 == 0);
    out.limits = f.data;
    out.bins = f.size / 8;
    assert_true(find(h.data, h.size, 7, &f) && f.size == 8 * out.bins);
    out.counts = f.data;
    return out;
}

TEST(histograms_hold_every_number) {
    static record records[RECORDS_MAX];
    enum { N = 1000 };
    float v[N + 2];
    double sum = 0, squares = 0, total = 0;
    char tag[64];
    int64_t step;
    fanin_events *e;
    fanin__map file;
    fanin_err err = {0};
    for (int i = 0; i < N; i++) {
        v[i] = (float)(sin(i) + 0.3);
        sum += (double)v[i];
        squares += (double)v[i] * (double)v[i];
    }
    v[N] = NAN;
    v[N + 1] = INFINITY;
    assert_ok_err(fanin_events_create(test_tmp("histogram"), 0, &e, &err), err);
    fanin_events_values(e, "weights/a", 7, v, N + 2);
    fanin_events_histogram(e, "b", 0, -2, 2, (const double[]){0, 0, 5, 0, 3, 0, 0, 0}, 8);
    fanin_events_values(e, "none", 0, v, 0);
    fanin_events_values(e, "same", 0, (const float[]){4, 4, 4}, 3);
    assert_ok_err(fanin_events_flush(e, &err), err);
    assert_ok_err(fanin__map_open(fanin_events_path(e), &file, &err), err);
    assert_int_equal(read_records(&file, records), 5);
    record value = value_of(&records[1], tag, sizeof tag, &step);
    histogram h = histogram_of(&value);
    assert_int_equal(step, 7);
    assert_int_equal(h.bins, 64);
    assert_near(h.min, -0.7, 1e-4, 0);
    assert_near(h.max, 1.3, 1e-4, 0);
    assert_near(h.num, N, 0, 0);
    assert_near(h.sum, sum, N * 2.0 / 128, 0); /* bins are 2 / 64 wide */
    assert_near(h.squares, squares, N * 2.0 / 64, 0);
    for (size_t i = 0; i < h.bins; i++) {
        double limit = number_of(le(h.limits + 8 * i, 8)), below = 0;
        total += number_of(le(h.counts + 8 * i, 8));
        for (int k = 0; k < N; k++) below += (double)v[k] < limit;
        assert_near(total, below, 1.5, 0); /* the greatest stands in the last bin */
    }
    value = value_of(&records[2], tag, sizeof tag, &step);
    h = histogram_of(&value);
    assert_int_equal(h.bins, 3); /* from the first to the last that is not empty */
    assert_near(h.min, -1, 0, 0);
    assert_near(h.max, 0.5, 0, 0);
    assert_near(number_of(le(h.limits, 8)), -0.5, 0, 0);
    assert_near(number_of(le(h.counts + 16, 8)), 3, 0, 0);
    value = value_of(&records[3], tag, sizeof tag, &step);
    assert_near(histogram_of(&value).num, 0, 0, 0);
    value = value_of(&records[4], tag, sizeof tag, &step);
    assert_near(histogram_of(&value).num, 3, 0, 0);
    fanin__map_close(&file);
    fanin_events_destroy(e);
}

/* A check: every layer has its scalars and two histograms; repeated, it has the same bytes. */
TEST(a_check) {
    static record records[RECORDS_MAX];
    fanin_graph *g;
    fanin_signal *s;
    fanin__map first, second;
    fanin_err err = {0};
    const fanin_init_options init = {.scheme = "xavier"};
    const fanin_signal_options o = {.batch = 8};
    char want[64];
    assert_ok_err(fanin_graph_load("mlp:6-10x3-4,act=tanh", &g, &err), err);
    assert_ok_err(fanin_signal_measure(g, &init, &o, &s, &err), err);
    for (int k = 0; k < 2; k++) {
        fanin_events *e;
        assert_ok_err(fanin_events_create(test_tmp("check"), 0, &e, &err), err);
        fanin_events_signal(e, s);
        assert_ok_err(fanin_events_flush(e, &err), err);
        assert_ok_err(fanin__map_open(fanin_events_path(e), k ? &second : &first, &err), err);
        fanin_events_destroy(e);
    }
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.data, second.data, first.size);
    int count = read_records(&first, records), std = 0, activations = 0, gradients = 0, text = 0;
    for (int i = 1; i < count; i++) {
        char tag[64];
        int64_t step;
        record value = value_of(&records[i], tag, sizeof tag, &step);
        for (int l = 0; l < s->layer_count; l++) {
            snprintf(want, sizeof want, "std/%s", s->layers[l].name);
            if (!strcmp(tag, want)) std++, assert_near(float_of(&value), s->layers[l].std, 0, 1e-6);
            snprintf(want, sizeof want, "activations/%s", s->layers[l].name);
            if (!strcmp(tag, want))
                activations++, assert_near(histogram_of(&value).num, l < 3 ? 80 : 32, 1, 0);
            snprintf(want, sizeof want, "gradients/%s", s->layers[l].name);
            if (!strcmp(tag, want)) gradients++;
        }
        text += !strcmp(tag, "check/verdict") && memmem(value.data, value.size, "healthy", 7);
    }
    assert_int_equal(std, 4);
    assert_int_equal(activations, 4);
    assert_int_equal(gradients, 4);
    assert_int_equal(text, 1);
    fanin__map_close(&first);
    fanin__map_close(&second);
    fanin_signal_destroy(s);
    fanin_graph_destroy(g);
}

TEST(what_cannot_be_written_is_said) {
    fanin_events *e;
    fanin_err err = {0};
    int fd = open(test_tmp("plain"), O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(fanin_events_create(test_tmp("plain"), 0, &e, &err), FANIN_IO);
    assert_null(e);
    assert_int_equal(fanin_events_create(test_tmp("x"), -1, &e, &err), FANIN_ARG);
    /* a log whose file went away: said, and said again */
    assert_ok_err(fanin_events_create(test_tmp("gone"), 1, &e, &err), err);
    assert_ok_err(fanin_events_flush(e, &err), err);
    assert_int_equal(unlink(fanin_events_path(e)), 0);
    fanin_events_scalar(e, "a", 1, 1);
    assert_int_equal(fanin_events_flush(e, &err), FANIN_IO);
    assert_int_equal(fanin_events_flush(e, &err), FANIN_IO);
    fanin_events_destroy(e);
}

static fanin_status once(void *arg) {
    fanin_events *e;
    fanin_err err = {0};
    fanin_status status = fanin_events_create(arg, 0, &e, &err);
    if (status != FANIN_OK) return status;
    fanin_events_scalar(e, "a/b", 1, 2);
    fanin_events_text(e, "t", 1, "text");
    fanin_events_values(e, "v", 1, (const float[]){1, 2, 3}, 3);
    status = fanin_events_flush(e, &err);
    if (status == FANIN_OK) {
        static record records[RECORDS_MAX];
        fanin__map file;
        if (fanin__map_open(fanin_events_path(e), &file, NULL) == FANIN_OK) {
            assert_int_equal(read_records(&file, records), 4);
            fanin__map_close(&file);
        }
    }
    fanin_events_destroy(e);
    return status;
}

TEST(memory_refused_at_every_request) {
    char dir[512];
    snprintf(dir, sizeof dir, "%s", test_tmp("faults"));
    assert_true(fault_sweep("events", once, dir) > 5);
}
