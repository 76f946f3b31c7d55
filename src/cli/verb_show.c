/* fanin show: shape, spread and histogram of every tensor in a weight or graph file. */
#include <fanin/format.h>
#include <fanin/report.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "patterns.h"

enum { BINS = 16, CHUNK = 4096 };

typedef struct summary {
    double mean, std, low, high;
    size_t count, bad; /* NaN or infinite */
    size_t bins[BINS];
} summary;

static bool integer(fanin_dtype t) { return !fanin_dtype_is_float(t); }

static void widen(const fanin_array *a, size_t at, size_t n, double *out) {
    size_t size = fanin_dtype_size(a->dtype);
    const unsigned char *p = (const unsigned char *)a->data + at * size;
    if (!integer(a->dtype)) {
        (void)fanin_convert_to_f64(p, a->dtype, n, out);
        return;
    }
    bool has_sign = a->dtype >= FANIN_I8 && a->dtype <= FANIN_I64;
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = 0;
        memcpy(&bits, p + i * size, size);
        unsigned shift = (unsigned)(64 - 8 * size);
        out[i] = has_sign ? (double)((int64_t)(bits << shift) >> shift) : (double)bits;
    }
}

/* Two passes: moments around a first mean would lose digits of constants. */
static void summarize(const fanin_array *a, summary *s) {
    double v[CHUNK], sum = 0, squares = 0;
    size_t total = fanin_dtype_size(a->dtype) ? a->size / fanin_dtype_size(a->dtype) : 0;
    *s = (summary){.low = INFINITY, .high = -INFINITY, .count = total};
    for (int pass = 0; pass < 2; pass++) {
        for (size_t at = 0; at < total; at += CHUNK) {
            size_t n = total - at < CHUNK ? total - at : CHUNK;
            widen(a, at, n, v);
            for (size_t i = 0; i < n; i++) {
                if (!isfinite(v[i])) {
                    s->bad += pass == 0;
                } else if (pass == 0) {
                    sum += v[i];
                    s->low = fmin(s->low, v[i]);
                    s->high = fmax(s->high, v[i]);
                } else {
                    squares += (v[i] - s->mean) * (v[i] - s->mean);
                    double share = s->high > s->low ? (v[i] - s->low) / (s->high - s->low) : 0.5;
                    s->bins[share >= 1 ? BINS - 1 : (int)(share * BINS)]++;
                }
            }
        }
        size_t good = total - s->bad;
        s->mean = good ? sum / (double)good : NAN;
        s->std = good ? sqrt(squares / (double)good) : NAN;
    }
    if (total == s->bad) s->low = s->high = NAN;
}

static const char *sparkline(const summary *s, char *buf, size_t size) {
    static const char *const parts[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    size_t most = 1, at = 0;
    for (int i = 0; i < BINS; i++) most = s->bins[i] > most ? s->bins[i] : most;
    for (int i = 0; i < BINS && at + 4 < size; i++) {
        size_t level = s->bins[i] ? 1 + s->bins[i] * 7 / most : 0;
        at += (size_t)snprintf(buf + at, size - at, "%s", parts[level]);
    }
    return buf;
}

static json_t *tensor_json(const fanin_array *a, const summary *s) {
    json_t *o = json_object(), *bins = json_array();
    json_object_set_new(o, "name", json_string(a->name));
    json_object_set_new(o, "shape", cli_shape(a->dims, a->rank));
    json_object_set_new(o, "dtype", json_string(fanin_dtype_name(a->dtype)));
    json_object_set_new(o, "present", json_boolean(s != NULL));
    if (s) {
        json_object_set_new(o, "mean", cli_number(s->mean));
        json_object_set_new(o, "std", cli_number(s->std));
        json_object_set_new(o, "min", cli_number(s->low));
        json_object_set_new(o, "max", cli_number(s->high));
        json_object_set_new(o, "not_finite", json_integer((json_int_t)s->bad));
        for (int i = 0; i < BINS; i++)
            json_array_append_new(bins, json_integer((json_int_t)s->bins[i]));
    }
    json_object_set_new(o, "histogram", bins);
    return o;
}

static fanin_status add_row(fanin_table *t, const cli *c, const fanin_array *a, const summary *s) {
    char bars[80] = "", mean[24] = "", std[24] = "", low[24] = "absent", high[24] = "";
    if (s) {
        snprintf(mean, sizeof mean, "%.3g", s->mean);
        snprintf(std, sizeof std, "%.3g", s->std);
        snprintf(low, sizeof low, "%.3g", s->low);
        snprintf(high, sizeof high, "%.3g", s->high);
        sparkline(s, bars, sizeof bars);
    }
    if (s && s->bad) snprintf(bars, sizeof bars, "%zu not finite", s->bad);
    return fanin_table_row(
        t, s && s->bad ? cli_style(c, "\033[31m") : NULL,
        (const char *[]){a->name[0] ? a->name : "(array)", cli_shape_text(a->dims, a->rank),
                         fanin_dtype_name(a->dtype), mean, std, low, high, bars});
}

int verb_show(cli *c) {
    const cli_option options[] = {CLI_END};
    if (!cli_parse(c, options, 1, 1)) return c->exit_code;
    fanin_weights *w;
    fanin_err err = {0};
    fanin_status status = fanin_weights_open(c->args[0], &w, &err);
    if (status != FANIN_OK) return cli_fail_input(c, status, &err);
    fanin_table *t = NULL;
    fanin_graph *graph = NULL;
    fanin_patterns *patterns = NULL;
    json_t *tensors = json_array();
    uint64_t elements = 0;
    if (cli_ends_with(c->args[0], ".onnx")) status = fanin_graph_load(c->args[0], &graph, &err);
    if (graph) status = fanin_patterns_create(graph, &patterns, &err);
    if (status == FANIN_OK)
        status = fanin_table_create("<~tensor|<shape|<type|>mean|>std|>min|>max|<histogram", &t);
    for (int i = 0; i < fanin_weights_count(w) && status == FANIN_OK; i++) {
        const fanin_array *a = fanin_weights_at(w, i);
        summary s;
        if (a->data) summarize(a, &s);
        uint64_t n = 1;
        for (int k = 0; k < a->rank; k++) n *= (uint64_t)a->dims[k];
        elements += n;
        if (c->json)
            json_array_append_new(tensors, tensor_json(a, a->data ? &s : NULL));
        else
            status = add_row(t, c, a, a->data ? &s : NULL);
        if (fanin_interrupted()) status = FANIN_INTERRUPTED;
    }
    int count = fanin_weights_count(w), code = 0;
    char *text = NULL;
    if (status == FANIN_OK && c->json) {
        json_t *o = json_object(), *metadata = json_object();
        const char *key, *value;
        for (int i = 0; (key = fanin_weights_metadata(w, i, &value)); i++)
            json_object_set_new(metadata, key, json_string(value));
        json_object_set_new(o, "file", json_string(c->args[0]));
        json_object_set_new(o, "elements", json_integer((json_int_t)elements));
        json_object_set_new(o, "metadata", metadata);
        json_object_set_new(o, "tensors", json_incref(tensors));
        if (patterns) json_object_set_new(o, "patterns", cli_patterns_json(graph, patterns));
        code = cli_json(c, o);
    } else if (status == FANIN_OK &&
               (status = fanin_table_render(t, cli_width(), &text)) == FANIN_OK) {
        const char *key, *value;
        fputs(text, stdout);
        printf("\n%d tensors, %s elements\n", count, cli_thousands(elements));
        for (int i = 0; (key = fanin_weights_metadata(w, i, &value)); i++)
            printf("%s: %s\n", key, value);
        if (patterns) cli_patterns_print(patterns);
    }
    if (status != FANIN_OK) code = cli_fail(c, status, err.message[0] ? &err : NULL);
    fanin_free(text);
    json_decref(tensors);
    fanin_table_destroy(t);
    fanin_patterns_destroy(patterns);
    fanin_graph_destroy(graph);
    fanin_weights_close(w);
    return code;
}
