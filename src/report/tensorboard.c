/* tensorboard.c - event files: records of TensorFlow's TFRecord framing (length, masked CRC-32C of the length,
 * bytes, masked CRC-32C of the bytes; little endian) around Event messages (tensorflow/core/util/event.proto,
 * framework/summary.proto). Field numbers stand beside the calls that write them. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "fanin/report.h"
#include "format/wire_write.h"

struct fanin_events {
    char *path;
    double start, opened; /* seconds since 1970, and of the monotonic clock */
    fanin__text pending;  /* whole records */
    uint64_t written;     /* bytes of the file that are ours; 0: there is none yet */
    fanin_status failed;
    uint32_t crc[256];
};

/* ---- framing ------------------------------------------------------------------------------------ */

/* CRC-32C (Castagnoli, reflected polynomial 82F63B78), by bytes. */
static void make_crc_table(uint32_t *table) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
        table[i] = c;
    }
}

/* Rotated and shifted, so that a checksum of bytes that hold checksums is no special case. */
static uint32_t masked_crc(const uint32_t *table, const char *data, size_t size) {
    uint32_t c = 0xffffffffu;
    for (size_t i = 0; i < size; i++) c = c >> 8 ^ table[(c ^ (unsigned char)data[i]) & 255];
    c = ~c;
    return (c >> 15 | c << 17) + 0xa282ead8u;
}

static void put_le(fanin__text *t, uint64_t value, int bytes) {
    char buf[8];
    for (int i = 0; i < bytes; i++) buf[i] = (char)(unsigned char)(value >> (8 * i));
    fanin__text_append(t, buf, (size_t)bytes);
}

static void put_record(fanin_events *e, const fanin__text *event) {
    fanin__text length = {0};
    put_le(&length, event->length, 8);
    if (length.failed || event->failed) {
        e->pending.failed = true;
    } else {
        fanin__text_append(&e->pending, length.data, length.length);
        put_le(&e->pending, masked_crc(e->crc, length.data, length.length), 4);
        fanin__text_append(&e->pending, event->data, event->length);
        put_le(&e->pending, masked_crc(e->crc, event->data, event->length), 4);
    }
    fanin__text_fini(&length);
}

/* Event: wall_time 1, step 2. */
static void begin_event(const fanin_events *e, fanin__text *event, int64_t step) {
    double now = e->start > 0 ? e->start + fanin__seconds() - e->opened : 0;
    if (now > 0) fanin__put_double(event, 1, now); /* fields that are 0 are left out */
    if (step) fanin__put_int(event, 2, step);
}

/* One Summary.Value, given without its tag. */
static void put_value(fanin_events *e, const char *tag, int64_t step, fanin__text *content) {
    fanin__text value = {0}, summary = {0}, event = {0};
    fanin__put_string(&value, 1, tag);
    fanin__text_append(&value, content->data ? content->data : "", content->length);
    value.failed = value.failed || content->failed;
    fanin__put_message(&summary, 1, &value); /* Summary.value */
    begin_event(e, &event, step);
    fanin__put_message(&event, 5, &summary); /* Event.summary */
    put_record(e, &event);
    fanin__text_fini(&value);
    fanin__text_fini(&summary);
    fanin__text_fini(&event);
    fanin__text_fini(content);
}

/* ---- one file ------------------------------------------------------------------------------------ */

/* TensorBoard reads the files of a folder in the order of their names. */
static char *choose_path(const char *dir, double start) {
    for (int k = 0;; k++) {
        fanin__text path = {0};
        fanin__text_printf(&path, "%s/events.out.tfevents.%010.0f", dir, floor(start));
        if (start > 0) fanin__text_printf(&path, ".%ld.%d", (long)getpid(), k);
        fanin__text_puts(&path, ".fanin");
        if (path.failed) {
            fanin__text_fini(&path);
            return NULL;
        }
        if (start <= 0 || access(path.data, F_OK) != 0) return path.data;
        fanin__text_fini(&path);
    }
}

fanin_status fanin_events_create(const char *dir, double start, fanin_events **out,
                                 fanin_err *err) {
    *out = NULL;
    if (!(start >= 0 && start < 1e10))
        return fanin_err_set(err, FANIN_ARG, "%s: event files start at %g, expected 0 .. 1e10 s",
                             dir, start);
    FANIN_TRY(fanin_directory_create(dir, err));
    fanin_events *e = fanin_calloc(1, sizeof *e);
    fanin__text event = {0};
    if (!e || !(e->path = choose_path(dir, start))) {
        fanin_free(e);
        return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", dir);
    }
    e->start = start;
    e->opened = fanin__seconds();
    make_crc_table(e->crc);
    begin_event(e, &event, 0);
    fanin__put_string(&event, 3, "brain.Event:2"); /* Event.file_version */
    put_record(e, &event);
    fanin__text_fini(&event);
    *out = e;
    return FANIN_OK;
}

void fanin_events_destroy(fanin_events *e) {
    if (!e) return;
    fanin__text_fini(&e->pending);
    fanin_free(e->path);
    fanin_free(e);
}

const char *fanin_events_path(const fanin_events *e) { return e->path; }

static fanin_status append(const fanin_events *e, fanin_err *err) {
    int fd = open(e->path, O_WRONLY | O_CLOEXEC);
    size_t done = 0;
    int reason = 0;
    if (fd < 0) return fanin_err_set(err, FANIN_IO, "%s: %s", e->path, strerror(errno));
    while (done < e->pending.length && !reason) {
        ssize_t n = pwrite(fd, e->pending.data + done, e->pending.length - done,
                           (off_t)(e->written + done));
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            reason = n < 0 ? errno : EIO;
    }
    if (reason && ftruncate(fd, (off_t)e->written) != 0) reason = errno;
    if (close(fd) != 0 && !reason) reason = errno;
    return reason ? fanin_err_set(err, FANIN_IO, "%s: cannot write: %s", e->path, strerror(reason))
                  : FANIN_OK;
}

fanin_status fanin_events_flush(fanin_events *e, fanin_err *err) {
    if (e->failed) return fanin_err_set(err, e->failed, "%s: an earlier record was lost", e->path);
    if (e->pending.failed)
        return e->failed =
                   fanin_err_set(err, FANIN_NOMEM, "%s: no memory for the records", e->path);
    if (e->pending.length == 0) return FANIN_OK;
    e->failed = e->written ? append(e, err)
                           : fanin__file_write(e->path, e->pending.data, e->pending.length, err);
    if (e->failed) return e->failed;
    e->written += e->pending.length;
    fanin__text_fini(&e->pending);
    e->pending = (fanin__text){0};
    return FANIN_OK;
}

/* ---- records ------------------------------------------------------------------------------------- */

void fanin_events_scalar(fanin_events *e, const char *tag, int64_t step, double number) {
    fanin__text value = {0};
    fanin__put_float(&value, 2, number); /* Value.simple_value */
    put_value(e, tag, step, &value);
}

/* A string tensor that the "text" plugin shows. */
void fanin_events_text(fanin_events *e, const char *tag, int64_t step, const char *text) {
    enum { DT_STRING = 7 };
    fanin__text value = {0}, plugin = {0}, metadata = {0}, tensor = {0}, shape = {0}, dim = {0};
    fanin__put_string(&plugin, 1, "text");     /* PluginData.plugin_name */
    fanin__put_message(&metadata, 1, &plugin); /* SummaryMetadata.plugin_data */
    fanin__put_int(&tensor, 1, DT_STRING);     /* TensorProto.dtype */
    fanin__put_int(&dim, 1, 1);                /* Dim.size: a vector of one */
    fanin__put_message(&shape, 2, &dim);       /* TensorShapeProto.dim */
    fanin__put_message(&tensor, 2, &shape);    /* TensorProto.tensor_shape */
    fanin__put_string(&tensor, 8, text);       /* TensorProto.string_val */
    fanin__put_message(&value, 9, &metadata);  /* Value.metadata */
    fanin__put_message(&value, 8, &tensor);    /* Value.tensor */
    put_value(e, tag, step, &value);
    fanin__text *parts[] = {&plugin, &metadata, &tensor, &shape, &dim};
    for (size_t i = 0; i < FANIN_COUNT(parts); i++) fanin__text_fini(parts[i]);
}

/* HistogramProto: min 1, max 2, num 3, sum 4, sum_squares 5, bucket_limit 6 (right edges), bucket 7. Empty bins
 * at the ends are left out; TensorBoard takes `min` for the left edge of the first one. */
void fanin_events_histogram(fanin_events *e, const char *tag, int64_t step, double low, double high,
                            const double *bins, size_t count) {
    size_t first = 0, last = count;
    while (first < last && !(bins[first] > 0)) first++;
    while (last > first && !(bins[last - 1] > 0)) last--;
    double *limits = fanin_calloc(last - first + 1, sizeof *limits);
    double width = count ? (high - low) / (double)count : 0, n = 0, sum = 0, squares = 0;
    fanin__text histogram = {0}, value = {0};
    if (!limits) {
        e->pending.failed = true;
        return;
    }
    for (size_t i = first; i < last; i++) {
        double centre = low + ((double)i + 0.5) * width;
        limits[i - first] = low + (double)(i + 1) * width;
        n += bins[i];
        sum += bins[i] * centre;
        squares += bins[i] * centre * centre;
    }
    const double figures[] = {low + (double)first * width, low + (double)last * width, n, sum,
                              squares};
    for (uint32_t i = 0; i < FANIN_COUNT(figures); i++)
        fanin__put_double(&histogram, i + 1, figures[i]);
    fanin__put_doubles(&histogram, 6, limits, last - first);
    fanin__put_doubles(&histogram, 7, bins + first, last - first);
    fanin__put_message(&value, 5, &histogram); /* Value.histo */
    put_value(e, tag, step, &value);
    fanin__text_fini(&histogram);
    fanin_free(limits);
}

void fanin_events_values(fanin_events *e, const char *tag, int64_t step, const float *values,
                         size_t n) {
    enum { BINS = 64 };
    double bins[BINS] = {0}, low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(values[i])) continue;
        low = fmin(low, (double)values[i]);
        high = fmax(high, (double)values[i]);
    }
    if (!(low <= high)) low = high = 0;
    if (low == high) low -= 0.5, high += 0.5;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(values[i])) continue;
        double at = ((double)values[i] - low) / (high - low) * BINS;
        bins[at >= BINS ? BINS - 1 : (int)at]++;
    }
    fanin_events_histogram(e, tag, step, low, high, bins, BINS);
}

/* ---- a check ------------------------------------------------------------------------------------- */

static void put_layer(fanin_events *e, const fanin_layer_signal *l) {
    const struct {
        const char *group;
        double value;
    } scalars[] = {
        {"mean", l->mean},
        {"std", l->std},
        {"second_moment", l->second_moment},
        {"saturated", l->saturated},
        {"dead", l->dead},
        {"sample_correlation", l->sample_correlation},
        {"grad_norm", l->grad_norm},
        {"weight_std", l->weight_std},
        {"weight_grad_std", l->weight_grad_std},
        {"update_ratio", l->update_ratio},
        {"jacobian_mean_sv", l->jacobian_mean_sv},
        {"hessian_max", l->hessian_max},
        {"predicted_second_moment", l->predicted_second_moment},
        {"predicted_grad_norm", l->predicted_grad_norm},
    };
    char tag[512];
    for (size_t i = 0; i < FANIN_COUNT(scalars); i++) {
        if (isnan(scalars[i].value)) continue;
        snprintf(tag, sizeof tag, "%s/%s", scalars[i].group, l->name);
        fanin_events_scalar(e, tag, 0, scalars[i].value);
    }
    double counts[FANIN_HISTOGRAM_BINS], elements = 1;
    for (int i = 0; i < l->rank; i++) elements *= (double)l->dims[i];
    for (int i = 0; i < FANIN_HISTOGRAM_BINS; i++) counts[i] = round(l->h_bins[i] * elements);
    snprintf(tag, sizeof tag, "activations/%s", l->name);
    fanin_events_histogram(e, tag, 0, -l->h_range, l->h_range, counts, FANIN_HISTOGRAM_BINS);
    for (int i = 0; i < FANIN_HISTOGRAM_BINS; i++) counts[i] = round(l->grad_bins[i] * elements);
    snprintf(tag, sizeof tag, "gradients/%s", l->name);
    fanin_events_histogram(e, tag, 0, -l->grad_range, l->grad_range, counts, FANIN_HISTOGRAM_BINS);
}

void fanin_events_signal(fanin_events *e, const fanin_signal *s) {
    fanin__text verdict = {0};
    fanin__text_printf(&verdict, "**%s**: %s", fanin_verdict_name(s->verdict), s->advice);
    fanin_events_text(e, "check/verdict", 0, verdict.data ? verdict.data : "");
    e->pending.failed = e->pending.failed || verdict.failed;
    fanin__text_fini(&verdict);
    fanin_events_scalar(e, "check/loss", 0, s->loss);
    fanin_events_scalar(e, "check/expected_loss", 0, s->expected_loss);
    if (s->hessian.probes) fanin_events_scalar(e, "check/lr_max", 0, s->hessian.lr_max);
    for (int i = 0; i < s->layer_count; i++) put_layer(e, &s->layers[i]);
}
