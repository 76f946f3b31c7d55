/* fanin run: one forward (with a target, one backward) pass, everything written as arrays, so that anyone
 * can hold the engine against their framework. */
#include <fanin/engine.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "input.h"

typedef struct request {
    const char *weights, *target, *loss, *mode, *out, *dtype;
    cli_list inputs;
    bool reference;
} request;

static bool same_shape(const fanin_array *a, fanin_buffer b) {
    return a->rank == b.rank &&
           (a->rank == 0 || !memcmp(a->dims, b.dims, (size_t)a->rank * sizeof a->dims[0]));
}

static fanin_status copy_array(const char *what, const fanin_array *a, fanin_buffer b,
                               fanin_err *err) {
    size_t size = fanin_dtype_size(a->dtype), count = size ? a->size / size : 0;
    if (count != b.count)
        return fanin_err_set(err, FANIN_SHAPE, "%s: %zu numbers (%s), expected %zu (%s)", what,
                             count, cli_shape_text(a->dims, a->rank), b.count,
                             cli_shape_text(b.dims, b.rank));
    for (size_t i = 0; i < count; i++) {
        const unsigned char *p = (const unsigned char *)a->data + i * size;
        double v;
        int32_t narrow;
        if (b.dtype == FANIN_I64 && a->dtype == FANIN_I64) {
            memcpy((int64_t *)b.data + i, p, 8);
        } else if (b.dtype == FANIN_I64 && a->dtype == FANIN_I32) {
            memcpy(&narrow, p, 4);
            ((int64_t *)b.data)[i] = narrow;
        } else if (b.dtype == FANIN_BOOL && a->dtype == FANIN_BOOL) {
            ((unsigned char *)b.data)[i] = *p != 0;
        } else if (b.dtype == FANIN_I64 && a->dtype == FANIN_U8) {
            ((int64_t *)b.data)[i] = *p;
        } else if (b.dtype == FANIN_I64 || b.dtype == FANIN_BOOL ||
                   fanin_convert_to_f64(p, a->dtype, 1, &v) != FANIN_OK) {
            return fanin_err_set(err, FANIN_ARG, "%s: %s numbers, expected %s", what,
                                 fanin_dtype_name(a->dtype), fanin_dtype_name(b.dtype));
        } else if (b.dtype == FANIN_F64) {
            ((double *)b.data)[i] = v;
        } else {
            ((float *)b.data)[i] = (float)v;
        }
    }
    return FANIN_OK;
}

static fanin_array array_of(const char *name, fanin_buffer b) {
    fanin_array a = {.name = name,
                     .dtype = b.dtype,
                     .rank = b.rank,
                     .data = b.data,
                     .size = b.count * fanin_dtype_size(b.dtype)};
    memcpy(a.dims, b.dims, sizeof a.dims);
    return a;
}

static fanin_status save_results(const fanin_program *p, const char *dir, bool gradients,
                                 fanin_err *err) {
    char path[4096];
    fanin_array y = array_of("", fanin_program_output(p, 0));
    snprintf(path, sizeof path, "%s/output.npy", dir);
    fanin_status status = fanin_npy_save(path, &y, err);
    if (status != FANIN_OK || !gradients) return status;
    int n = fanin_program_weight_count(p), kept = 0;
    fanin_array *arrays = calloc((size_t)n + 1, sizeof *arrays);
    if (!arrays) return fanin_err_set(err, FANIN_NOMEM, "no memory");
    for (int i = 0; i < n; i++) {
        fanin_buffer g = fanin_program_gradient(p, i);
        if (g.data) arrays[kept++] = array_of(fanin_program_weight_name(p, i), g);
    }
    snprintf(path, sizeof path, "%s/grads.npz", dir);
    status = fanin_weights_save(path, arrays, kept, NULL, err);
    free(arrays);
    return status;
}

static bool output_is_finite(fanin_buffer y) {
    if (!fanin_dtype_is_float(y.dtype)) return true;
    for (size_t i = 0; i < y.count; i++) {
        double v = y.dtype == FANIN_F64 ? ((double *)y.data)[i] : (double)((float *)y.data)[i];
        if (!(v - v == 0)) return false;
    }
    return true;
}

static int run_program(cli *c, const request *r, const cli_inputs *in, const fanin_array *target,
                       fanin_program *p) {
    fanin_err err = {0};
    fanin_status status = fanin_weights_fill(in->graph, NULL, in->weights, p, &err);
    if (status != FANIN_OK) return cli_fail_input(c, status, &err);
    for (int i = 0; i < in->graph->input_count; i++) {
        const char *name = in->graph->values[in->graph->inputs[i]].name;
        if (!in->arrays || !in->arrays[i])
            return cli_usage(c, "input %s is not given: --input %s=x.npy", name, name);
        fanin_buffer b = fanin_program_input(p, i);
        if (!same_shape(in->arrays[i], b)) {
            status = fanin_err_set(&err, FANIN_SHAPE, "%s: the array is %s, expected %s", name,
                                   cli_shape_text(in->arrays[i]->dims, in->arrays[i]->rank),
                                   cli_shape_text(b.dims, b.rank));
            return cli_fail_input(c, status, &err);
        }
        status = copy_array(name, in->arrays[i], b, &err);
        if (status != FANIN_OK) return cli_fail_input(c, status, &err);
    }
    if (target) status = copy_array(r->target, target, fanin_program_target(p), &err);
    if (status != FANIN_OK) return cli_fail_input(c, status, &err);
    status = fanin_program_run(p, &err);
    if (status == FANIN_OK) status = fanin_directory_create(r->out, &err);
    if (status == FANIN_OK) status = save_results(p, r->out, target != NULL, &err);
    if (status != FANIN_OK) return cli_fail(c, status, &err);
    json_t *o = json_object();
    json_object_set_new(o, "model", json_string(in->graph->name));
    json_object_set_new(o, "loss", target ? cli_number(fanin_program_loss(p)) : json_null());
    json_object_set_new(o, "memory", json_integer((json_int_t)fanin_program_memory(p)));
    json_object_set_new(o, "output", json_string("output.npy"));
    json_object_set_new(o, "grads", target ? json_string("grads.npz") : json_null());
    bool finite = output_is_finite(fanin_program_output(p, 0));
    int code = cli_json(c, o);
    if (!finite && !code)
        return cli_fail(
            c, FANIN_NUMERIC,
            &(fanin_err){.message =
                             "the output holds NaN or infinity; fanin check names the layer"});
    return code;
}

int verb_run(cli *c) {
    request r = {0};
    const cli_option options[] = {
        {"input", 0, CLI_LIST, &r.inputs, "[NAME=]X.npy", "an input; repeatable"},
        {"weights", 0, CLI_TEXT, &r.weights, "FILE", "weights (.safetensors, .npz, .onnx)"},
        {"target", 0, CLI_TEXT, &r.target, "T.npy", "targets: the backward pass runs too"},
        {"loss", 0, CLI_TEXT, &r.loss, "NAME[:k=v]", "fanin list losses; default by the targets"},
        {"mode", 0, CLI_TEXT, &r.mode, "train|eval", "of batch norm and dropout (default train)"},
        {"dtype", 0, CLI_TEXT, &r.dtype, "f32|f64|bf16",
         "precision; bf16: of products and convolutions"},
        {"reference", 0, CLI_FLAG, &r.reference, NULL, "plain kernels only"},
        {"output", 'o', CLI_TEXT, &r.out, "DIR", "folder for output.npy and grads.npz"},
        CLI_END,
    };
    if (!cli_parse(c, options, 1, 1)) return c->exit_code;
    fanin_dtype dtype = r.dtype ? fanin_dtype_parse(r.dtype) : FANIN_F32;
    if (!r.out) return cli_usage(c, "-o DIR is missing");
    if (dtype != FANIN_F32 && dtype != FANIN_F64 && dtype != FANIN_BF16)
        return cli_usage(c, "--dtype %s: expected f32, f64 or bf16", r.dtype);
    if (r.mode && strcmp(r.mode, "train") != 0 && strcmp(r.mode, "eval") != 0)
        return cli_usage(c, "--mode %s: expected train or eval", r.mode);
    cli_inputs in = {0};
    fanin_err err = {0};
    fanin_weights *target_file = NULL;
    const fanin_array *target = NULL;
    fanin_program *p = NULL;
    int code = cli_open_inputs(c, c->args[0], r.weights, NULL, &r.inputs, 0, &in);
    if (!code && r.target) {
        fanin_status status = fanin_weights_open(r.target, &target_file, &err);
        if (status != FANIN_OK)
            code = cli_fail_input(c, status, &err);
        else
            target = fanin_weights_at(target_file, 0);
    }
    if (!code) {
        const int64_t *dims[8] = {0};
        for (int i = 0; i < in.graph->input_count && i < 8 && in.arrays; i++)
            if (in.arrays[i] && in.arrays[i]->rank == in.graph->values[in.graph->inputs[i]].rank)
                dims[i] = in.arrays[i]->dims;
        fanin_program_options o = {
            .batch = in.arrays ? cli_input_rows(&in) : 1,
            .dtype = dtype,
            .eval = r.mode && !strcmp(r.mode, "eval"),
            .loss = !target                               ? NULL
                    : r.loss                              ? r.loss
                    : fanin_dtype_is_float(target->dtype) ? "mse"
                                                          : "cross_entropy",
            .gradients = target != NULL,
            .reference = r.reference,
        };
        memcpy(o.input_dims, dims, sizeof dims);
        fanin_status status = fanin_program_create(in.graph, &o, &p, &err);
        code = status != FANIN_OK ? cli_fail_input(c, status, &err)
                                  : run_program(c, &r, &in, target, p);
    }
    fanin_program_destroy(p);
    fanin_weights_close(target_file);
    cli_close_inputs(&in);
    cli_list_fini(&r.inputs);
    return code;
}
