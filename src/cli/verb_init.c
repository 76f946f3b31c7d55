/* verb_init.c - the plan's numbers to disk. */
#include <stdlib.h>
#include <string.h>

#include "plan.h"

/* "5GB" is 5e9 bytes, "5GiB" 5 * 2^30. */
static bool parse_size(const char *text, uint64_t *bytes) {
    static const struct {
        const char *unit;
        double factor;
    } units[] = {{"", 1},          {"B", 1},
                 {"KB", 1e3},      {"MB", 1e6},
                 {"GB", 1e9},      {"TB", 1e12},
                 {"K", 1e3},       {"M", 1e6},
                 {"G", 1e9},       {"T", 1e12},
                 {"KiB", 1024},    {"MiB", 1048576},
                 {"GiB", 1 << 30}, {"TiB", 1099511627776.0}};
    char *end;
    double value = strtod(text, &end);
    if (end == text || !(value > 0)) return false;
    while (*end == ' ') end++;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (!strcmp(end, units[i].unit) && value * units[i].factor < 9e18) {
            *bytes = (uint64_t)(value * units[i].factor);
            return *bytes > 0;
        }
    return false;
}

/* "I/N", 0 <= I < N. */
static bool parse_part(const char *text, int64_t *part, int64_t *parts) {
    char *end;
    if (*text < '0' || *text > '9') return false;
    *part = strtoll(text, &end, 10);
    if (*end != '/' || end[1] < '0' || end[1] > '9') return false;
    *parts = strtoll(end + 1, &end, 10);
    return *end == '\0' && *parts >= 1 && *part < *parts;
}

static int report(cli *c, const char *out, const fanin_plan *plan) {
    int written = 0;
    for (int i = 0; i < fanin_plan_count(plan); i++) written += !fanin_plan_row_at(plan, i)->keep;
    if (!c->json) {
        cli_note(c, "%s: %d tensors, %s parameters, scheme %s, seed %llu", out, written,
                 cli_thousands(fanin_plan_parameters(plan)), fanin_plan_scheme(plan),
                 (unsigned long long)fanin_plan_seed(plan));
        return 0;
    }
    json_t *o = json_object();
    json_object_set_new(o, "output", cli_text(out));
    json_object_set_new(o, "scheme", cli_text(fanin_plan_scheme(plan)));
    json_object_set_new(o, "scheme_hash", cli_text(fanin_plan_hash(plan)));
    json_object_set_new(o, "seed", json_integer((json_int_t)fanin_plan_seed(plan)));
    json_object_set_new(o, "stream", cli_text(fanin_plan_stream(plan)));
    json_object_set_new(o, "tensors", json_integer(written));
    json_object_set_new(o, "parameters", json_integer((json_int_t)fanin_plan_parameters(plan)));
    return cli_json(c, o);
}

static int read_options(cli *c, const char *out, const char *dtype, const char *part,
                        const char *shard, fanin_plan_write_options *o) {
    if (!out) return cli_usage(c, "-o OUT says where the weights go");
    if (dtype) {
        o->dtype = fanin_dtype_parse(dtype);
        if (!fanin_dtype_is_float(o->dtype))
            return cli_usage(c, "--dtype %s is not f32, f64, f16, bf16, f8e4m3 or f8e5m2", dtype);
    }
    if (part && !parse_part(part, &o->part, &o->parts))
        return cli_usage(c, "--part %s is not I/N with 0 <= I < N", part);
    if (shard && !parse_size(shard, &o->max_shard))
        return cli_usage(c, "--max-shard-size %s is not a size such as 5GB", shard);
    return 0;
}

int verb_init(cli *c) {
    cli_init init = {0};
    const char *out = NULL, *dtype = NULL, *part = NULL, *shard = NULL;
    const cli_option options[] = {
        CLI_INIT_OPTIONS(init),
        {"output", 'o', CLI_TEXT, &out, "OUT", ".safetensors, .npz, .onnx, or a folder/ of shards"},
        {"dtype", 0, CLI_TEXT, &dtype, "TYPE", "f32, f64, f16, bf16, f8e4m3, f8e5m2"},
        {"part", 0, CLI_TEXT, &part, "I/N", "the I-th of N runs of rows of every tensor"},
        {"max-shard-size", 0, CLI_TEXT, &shard, "SIZE", "several files of at most this (5GB)"},
        CLI_END};
    if (!cli_parse(c, options, 1, 1)) return c->exit_code;
    fanin_plan_write_options o = {0};
    int code = read_options(c, out, dtype, part, shard, &o);
    cli_plan p = {0};
    if (code == 0) code = cli_open_plan(c, c->args[0], &init, &p);
    if (code == 0) {
        fanin_err err = {0};
        o.progress = cli_progress(c);
        fanin_status status = fanin_plan_write(p.plan, out, &o, &err);
        cli_progress_end(c);
        code = status == FANIN_OK ? report(c, out, p.plan) : cli_fail(c, status, &err);
    }
    cli_close_plan(&p);
    cli_list_fini(&init.rules);
    return code;
}
