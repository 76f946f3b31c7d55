#include "input.h"

#include <stdlib.h>
#include <string.h>

fanin_init_options cli_init_options(const cli_init *init) {
    return (fanin_init_options){
        .scheme = init->scheme,
        .rules = init->rules.items,
        .rule_count = init->rules.count,
        .seed = init->seed,
        .stream = init->stream,
        .layout = init->layout,
        .fans = init->fans,
    };
}

bool cli_lacks_weights(const fanin_graph *g) {
    for (int i = 0; i < g->value_count; i++) {
        const fanin_value *v = &g->values[i];
        if ((v->flags & FANIN_VALUE_INITIALIZER) && fanin_dtype_is_float(v->dtype) && !v->data)
            return true;
    }
    return false;
}

/* "name=x.npy" or "x.npy" for the first input; a name may hold no '='. */
static int open_array(cli *c, const char *text, cli_inputs *in) {
    const char *equals = strchr(text, '='), *path = equals ? equals + 1 : text;
    int at = equals ? -1 : 0;
    for (int i = 0; equals && i < in->graph->input_count; i++) {
        const char *name = in->graph->values[in->graph->inputs[i]].name;
        if (strlen(name) == (size_t)(equals - text) && !strncmp(name, text, strlen(name))) at = i;
    }
    if (at < 0 || in->graph->input_count == 0)
        return cli_usage(c, "--input %s: the model has no such input; the first is called %s", text,
                         in->graph->input_count ? in->graph->values[in->graph->inputs[0]].name
                                                : "(none)");
    if (in->arrays[at])
        return cli_usage(c, "--input %s: the input %s was given before", text,
                         in->graph->values[in->graph->inputs[at]].name);
    fanin_err err = {0};
    fanin_weights *file;
    fanin_status status = fanin_weights_open(path, &file, &err);
    if (status != FANIN_OK) return cli_fail_input(c, status, &err);
    in->files[in->file_count++] = file;
    if (fanin_weights_count(file) != 1) return cli_usage(c, "--input %s: expected one array", path);
    in->arrays[at] = fanin_weights_at(file, 0);
    return 0;
}

int cli_open_inputs(cli *c, const char *model, const char *weights, const char *data,
                    const cli_list *inputs, uint64_t seed, cli_inputs *in) {
    fanin_err err = {0};
    fanin_status status = fanin_graph_load(model, &in->graph, &err);
    if (status != FANIN_OK) return cli_fail_input(c, status, &err);
    if (in->graph->notes[0]) cli_note(c, "%s", in->graph->notes);
    if (weights && (status = fanin_weights_open(weights, &in->weights, &err)) != FANIN_OK)
        return cli_fail_input(c, status, &err);
    if (data && (status = fanin_dataset_open(data, seed, &in->data, &err)) != FANIN_OK)
        return cli_fail_input(c, status, &err);
    if (!inputs || inputs->count == 0) return 0;
    in->arrays = calloc((size_t)in->graph->input_count + 1, sizeof *in->arrays);
    in->files = calloc((size_t)inputs->count, sizeof *in->files);
    if (!in->arrays || !in->files) return cli_fail(c, FANIN_NOMEM, NULL);
    for (int i = 0; i < inputs->count; i++) {
        int code = open_array(c, inputs->items[i], in);
        if (code) return code;
    }
    return 0;
}

int64_t cli_input_rows(const cli_inputs *in) {
    for (int i = 0; i < in->graph->input_count; i++)
        if (in->arrays[i]) return in->arrays[i]->rank ? in->arrays[i]->dims[0] : 1;
    return 1;
}

void cli_close_inputs(cli_inputs *in) {
    fanin_dataset_close(in->data);
    fanin_weights_close(in->weights);
    for (int i = 0; i < in->file_count; i++) fanin_weights_close(in->files[i]);
    free(in->files);
    free(in->arrays);
    fanin_graph_destroy(in->graph);
    *in = (cli_inputs){0};
}
