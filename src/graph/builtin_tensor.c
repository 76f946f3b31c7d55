/* builtin_tensor.c - bare tensors: "tensor:w=64x3x7x7,b=64" is a template, a graph without nodes. */
#include "graph/builtin.h"

static fanin_status read_dims(const fanin__spec *spec, const char *text, int64_t *dims, int *rank,
                              fanin_err *err) {
    const char *s = text;
    *rank = 0;
    for (;;) {
        if (*rank == FANIN_MAX_RANK)
            return fanin__spec_error(spec, err, "%.60s has more than %d axes", text,
                                     FANIN_MAX_RANK);
        if (!fanin__spec_number(&s, INT64_C(1) << 40, &dims[(*rank)++]))
            return fanin__spec_error(spec, err, "'%.60s' is not a shape such as 64x3x7x7", text);
        if (!*s) return FANIN_OK;
        if (*s++ != 'x')
            return fanin__spec_error(spec, err, "'%.60s' is not a shape such as 64x3x7x7", text);
    }
}

fanin_status fanin__builtin_tensor(const fanin__spec *spec, fanin_graph **graph, fanin_err *err) {
    if (*spec->argument || !spec->count)
        return fanin__spec_error(spec, err, "a tensor needs a name and a shape");
    fanin_graph_builder *b;
    int64_t dims[FANIN_MAX_RANK];
    int rank;
    size_t elements;
    for (int i = 0; i < spec->count; i++) {
        FANIN_TRY(read_dims(spec, spec->options[i].value, dims, &rank, err));
        if (!fanin__shape_count(dims, rank, &elements) || elements > (size_t)INT64_MAX / 8)
            return fanin_err_set(err, FANIN_LIMIT, "%.80s: tensor %.40s has too many elements",
                                 spec->model, spec->options[i].key);
    }
    if (fanin_graph_builder_create(spec->model, 17, &b) != FANIN_OK)
        return fanin_err_set(err, FANIN_NOMEM, "tensor: not enough memory");
    for (int i = 0; i < spec->count; i++) {
        fanin_status status = read_dims(spec, spec->options[i].value, dims, &rank, err);
        if (status == FANIN_OK)
            fanin_graph_initializer(b, spec->options[i].key, FANIN_F32, rank, dims, NULL);
    }
    return fanin_graph_builder_finish(b, graph, err);
}
