/* apply.c - weights into a program: from a plan, from a file, or checked to be there. */
#include <string.h>

#include "base/base.h"
#include "fanin/engine.h"
#include "fanin/format.h"
#include "fanin/scheme.h"

fanin_status fanin_plan_apply(const fanin_plan *plan, fanin_program *p, fanin_err *err) {
    for (int i = 0; i < fanin_program_weight_count(p); i++) {
        const char *name = fanin_program_weight_name(p, i);
        int row = fanin_plan_find(plan, name);
        if (row < 0 || fanin_plan_row_at(plan, row)->keep) {
            if (fanin_program_weight_present(p, i)) continue;
            return fanin_err_set(err, FANIN_ARG, "tensor %s has neither a rule nor values", name);
        }
        fanin_buffer w = fanin_program_weight(p, i);
        FANIN_TRY(fanin_plan_fill(plan, row, 0, w.count, w.dtype, w.data, err));
    }
    return FANIN_OK;
}

static fanin_status copy_weight(const fanin_array *a, const char *name, fanin_buffer w,
                                fanin_err *err) {
    size_t count, size = fanin_dtype_size(a->dtype);
    if (!fanin__shape_count(a->dims, a->rank, &count) || count != w.count || a->size < count * size)
        return fanin_err_set(err, FANIN_SHAPE,
                             "weights: tensor %s has %zu numbers, the network takes %zu", name,
                             count, w.count);
    if (!fanin_dtype_is_float(a->dtype))
        return fanin_err_set(err, FANIN_ARG, "weights: tensor %s is %s, expected a floating type",
                             name, fanin_dtype_name(a->dtype));
    if (w.dtype == FANIN_F64) return fanin_convert_to_f64(a->data, a->dtype, count, w.data);
    enum { CHUNK = 1024 };
    double wide[CHUNK];
    for (size_t at = 0; at < count; at += CHUNK) {
        size_t n = count - at < CHUNK ? count - at : CHUNK;
        FANIN_TRY(
            fanin_convert_to_f64((const unsigned char *)a->data + at * size, a->dtype, n, wide));
        for (size_t i = 0; i < n; i++) ((float *)w.data)[at + i] = (float)wide[i];
    }
    return FANIN_OK;
}

static fanin_status fill_from_file(const fanin_graph *g, const fanin_weights *file,
                                   fanin_program *p, fanin_err *err) {
    for (int i = 0; i < fanin_program_weight_count(p); i++) {
        const char *name = fanin_program_weight_name(p, i);
        const fanin_array *a = file ? fanin_weights_find(file, name) : NULL;
        if (a)
            FANIN_TRY(copy_weight(a, name, fanin_program_weight(p, i), err));
        else if (!fanin_program_weight_present(p, i))
            return fanin_err_set(
                err, FANIN_FORMAT,
                "%s: tensor %s has no values; give a scheme, or weights that fanin init made",
                g->name, name);
    }
    return FANIN_OK;
}

fanin_status fanin_weights_fill(const fanin_graph *g, const fanin_init_options *init,
                                const fanin_weights *weights, fanin_program *p, fanin_err *err) {
    if (!init) return fill_from_file(g, weights, p, err);
    fanin_plan *plan;
    FANIN_TRY(fanin_plan_create(g, init, &plan, err));
    fanin_status status = fanin_plan_apply(plan, p, err);
    fanin_plan_destroy(plan);
    return status;
}
