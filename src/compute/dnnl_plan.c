/* dnnl_plan.c - plans: one oneDNN primitive, its buffers, the reorders around it. */
#include <omp.h>
#include <stdio.h>
#include <string.h>

#include "compute/plan.h"

int fanin__threads_enter(unsigned threads) {
    int before = omp_get_max_threads();
    if (before != (int)threads) omp_set_num_threads((int)threads);
    return before;
}

void fanin__threads_leave(int before) {
    if (before != omp_get_max_threads()) omp_set_num_threads(before);
}

fanin_status fanin__dnnl_status(dnnl_status_t status, const char *what, fanin_err *err) {
    switch (status) {
    case dnnl_success: return FANIN_OK;
    case dnnl_out_of_memory:
        return fanin_err_set(err, FANIN_NOMEM, "%s: not enough memory (oneDNN)", what);
    case dnnl_unimplemented:
        return fanin_err_set(err, FANIN_UNSUPPORTED, "%s: oneDNN has no such kernel", what);
    default:
        return fanin_err_set(err, FANIN_BACKEND, "%s: oneDNN answers status %d", what, (int)status);
    }
}

/* FANIN_CPU caps oneDNN as well. It takes the cap until its first primitive only, and the same one
 * each time, so asking again is harmless. */
static void cap_isa(void) {
#if defined(__x86_64__)
    int level = fanin_cpu_level();
    if (level == FANIN_CPU_AVX2) dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx2);
    if (level == FANIN_CPU_REF) dnnl_set_max_cpu_isa(dnnl_cpu_isa_sse41);
#endif
}

fanin_status fanin__plan_new(fanin__plan **out, fanin_err *err) {
    *out = NULL;
    cap_isa();
    fanin__plan *plan = fanin_calloc(1, sizeof *plan);
    if (!plan) return fanin_err_set(err, FANIN_NOMEM, "not enough memory for a plan");
    /* Inside a parallel region a plan has the one thread that runs it: made for more, a convolution
     * would wait for the others for ever. */
    plan->threads = omp_in_parallel() ? 1 : fanin_threads();
    plan->scaled_slot = -1;
    dnnl_status_t status = dnnl_engine_create(&plan->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = dnnl_stream_create(&plan->stream, plan->engine, dnnl_stream_default_flags);
    if (status != dnnl_success) {
        fanin__plan_destroy(plan);
        return fanin__dnnl_status(status, "engine", err);
    }
    *out = plan;
    return FANIN_OK;
}

void fanin__plan_destroy(fanin__plan *plan) {
    if (!plan) return;
    for (int i = 0; i < plan->count; i++) {
        plan_arg *a = &plan->args[i];
        if (a->reorder) dnnl_primitive_destroy(a->reorder);
        if (a->reorder_desc) dnnl_primitive_desc_destroy(a->reorder_desc);
        if (a->inner) dnnl_memory_destroy(a->inner);
        if (a->user) dnnl_memory_destroy(a->user);
    }
    if (plan->scratchpad) dnnl_memory_destroy(plan->scratchpad);
    if (plan->primitive) dnnl_primitive_destroy(plan->primitive);
    if (plan->desc) dnnl_primitive_desc_destroy(plan->desc);
    if (plan->stream) dnnl_stream_destroy(plan->stream);
    if (plan->engine) dnnl_engine_destroy(plan->engine);
    fanin_activation_destroy(plan->activation);
    fanin_free(plan);
}

size_t fanin__plan_scratch(const fanin__plan *plan) { return plan->scratch; }
size_t fanin__plan_workspace(const fanin__plan *plan) { return plan->workspace; }
const char *fanin__plan_variant(const fanin__plan *plan) { return plan->variant; }

/* ---- creation -------------------------------------------------------------------------- */

size_t fanin__plan_reserve(fanin__plan *plan, size_t bytes) {
    size_t offset = plan->scratch;
    plan->scratch += (bytes + 63) / 64 * 64;
    return offset;
}

fanin_status fanin__memory_desc(dnnl_memory_desc_t *md, int rank, const int64_t *dims,
                                const int64_t *strides, fanin_err *err) {
    dnnl_dims_t d, s;
    for (int i = 0; i < rank; i++) {
        d[i] = dims[i];
        s[i] = strides[i];
    }
    return fanin__dnnl_status(dnnl_memory_desc_init_by_strides(md, rank, d, dnnl_f32, s),
                              "memory layout", err);
}

fanin_status fanin__image_desc(dnnl_memory_desc_t *md, fanin__layout layout, int64_t n, int64_t c,
                               int spatial, const int64_t *dims, fanin_err *err) {
    int64_t d[5] = {n, c}, s[5], step = layout == FANIN__LAYOUT_NXC ? c : 1;
    for (int i = spatial - 1; i >= 0; i--) {
        d[2 + i] = dims[i];
        s[2 + i] = step;
        step *= dims[i];
    }
    s[1] = layout == FANIN__LAYOUT_NXC ? 1 : step;
    s[0] = layout == FANIN__LAYOUT_NXC ? step : step * c;
    return fanin__memory_desc(md, 2 + spatial, d, s, err);
}

dnnl_memory_desc_t fanin__typed_desc(const dnnl_memory_desc_t *md, dnnl_data_type_t type) {
    dnnl_memory_desc_t typed;
    memset(&typed, 0, sizeof typed);
    dnnl_memory_desc_init_by_strides(&typed, md->ndims, md->dims, type,
                                     md->format_desc.blocking.strides);
    return typed;
}

dnnl_memory_desc_t fanin__any_desc(const dnnl_memory_desc_t *md) {
    dnnl_memory_desc_t any;
    memset(&any, 0, sizeof any);
    dnnl_memory_desc_init_by_tag(&any, md->ndims, md->dims, md->data_type, dnnl_format_tag_any);
    return any;
}

fanin_status fanin__plan_describe(fanin__plan *plan, const_dnnl_op_desc_t op,
                                  const_dnnl_primitive_attr_t attr, dnnl_primitive_desc_t hint,
                                  const char *what, dnnl_primitive_desc_t *pd, fanin_err *err) {
    dnnl_primitive_attr_t own = NULL;
    dnnl_status_t status =
        attr ? dnnl_primitive_attr_clone(&own, attr) : dnnl_primitive_attr_create(&own);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(own, dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(pd, op, own, plan->engine, hint);
    if (own) dnnl_primitive_attr_destroy(own);
    if (status == dnnl_invalid_arguments) status = dnnl_unimplemented; /* how it declines too */
    return fanin__dnnl_status(status, what, err);
}

fanin_status fanin__plan_finish(fanin__plan *plan, const_dnnl_primitive_desc_t pd, fanin_err *err) {
    const char *name = "?";
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&name);
    int reorders = 0;
    for (int i = 0; i < plan->count; i++) reorders += plan->args[i].reorder_desc != NULL;
    if (reorders)
        snprintf(plan->variant, sizeof plan->variant, "dnnl %s +%d reorder%s", name, reorders,
                 reorders > 1 ? "s" : "");
    else
        snprintf(plan->variant, sizeof plan->variant, "dnnl %s", name);
    const dnnl_memory_desc_t *pad = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    size_t size = pad ? dnnl_memory_desc_get_size(pad) : 0;
    if (size) {
        plan->scratchpad_offset = fanin__plan_reserve(plan, size);
        FANIN_TRY(fanin__dnnl_status(
            dnnl_memory_create(&plan->scratchpad, pad, plan->engine, DNNL_MEMORY_NONE),
            "scratch memory", err));
    }
    return fanin__dnnl_status(dnnl_primitive_desc_clone(&plan->desc, pd), name, err);
}

static fanin_status create_reorder(fanin__plan *plan, plan_arg *a, const dnnl_memory_desc_t *user,
                                   const dnnl_memory_desc_t *want, fanin_err *err) {
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(&attr);
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(&a->reorder_desc, a->output ? want : user,
                                                    plan->engine, a->output ? user : want,
                                                    plan->engine, attr);
    if (attr) dnnl_primitive_attr_destroy(attr);
    return fanin__dnnl_status(status, "reorder", err);
}

fanin_status fanin__plan_bind(fanin__plan *plan, int slot, int id, bool output,
                              const dnnl_memory_desc_t *user, const dnnl_memory_desc_t *want,
                              fanin_err *err) {
    if (plan->count == PLAN_ARGS)
        return fanin_err_set(err, FANIN_INTERNAL, "a plan has more than %d arguments", PLAN_ARGS);
    plan_arg *a = &plan->args[plan->count++];
    a->id = id;
    a->slot = slot;
    a->output = output;
    if (slot >= plan->slots) plan->slots = slot + 1;
    FANIN_TRY(fanin__dnnl_status(dnnl_memory_create(&a->user, user, plan->engine, DNNL_MEMORY_NONE),
                                 "memory", err));
    if (!want || dnnl_memory_desc_equal(user, want)) return FANIN_OK;
    a->offset = fanin__plan_reserve(plan, dnnl_memory_desc_get_size(want));
    FANIN_TRY(fanin__dnnl_status(
        dnnl_memory_create(&a->inner, want, plan->engine, DNNL_MEMORY_NONE), "memory", err));
    return create_reorder(plan, a, user, want, err);
}

/* ---- execution ------------------------------------------------------------------------- */

static dnnl_status_t generate(dnnl_primitive_t *primitive, const_dnnl_primitive_desc_t desc) {
    return *primitive || !desc ? dnnl_success : dnnl_primitive_create(primitive, desc);
}

static dnnl_status_t generate_all(fanin__plan *plan) {
    dnnl_status_t status = generate(&plan->primitive, plan->desc);
    for (int i = 0; i < plan->count && status == dnnl_success; i++)
        status = generate(&plan->args[i].reorder, plan->args[i].reorder_desc);
    return status;
}

static dnnl_status_t reorder(const fanin__plan *plan, const plan_arg *a) {
    dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, a->output ? a->inner : a->user},
                               {DNNL_ARG_TO, a->output ? a->user : a->inner}};
    return dnnl_primitive_execute(a->reorder, plan->stream, 2, args);
}

static dnnl_status_t execute(fanin__plan *plan, void *const *buffers, char *scratch) {
    dnnl_exec_arg_t args[PLAN_ARGS + 1];
    dnnl_status_t status = generate_all(plan);
    int n = 0;
    for (int i = 0; i < plan->count && status == dnnl_success; i++) {
        plan_arg *a = &plan->args[i];
        status = dnnl_memory_set_data_handle(a->user, buffers[a->slot]);
        if (a->inner && status == dnnl_success)
            status = dnnl_memory_set_data_handle(a->inner, scratch + a->offset);
        if (a->inner && !a->output && status == dnnl_success) status = reorder(plan, a);
        args[n++] = (dnnl_exec_arg_t){a->id, a->inner ? a->inner : a->user};
    }
    if (plan->scratchpad && status == dnnl_success) {
        status = dnnl_memory_set_data_handle(plan->scratchpad, scratch + plan->scratchpad_offset);
        args[n++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, plan->scratchpad};
    }
    if (status == dnnl_success)
        status = dnnl_primitive_execute(plan->primitive, plan->stream, n, args);
    for (int i = 0; i < plan->count && status == dnnl_success; i++)
        if (plan->args[i].inner && plan->args[i].output) status = reorder(plan, &plan->args[i]);
    if (status == dnnl_success) status = dnnl_stream_wait(plan->stream);
    return status;
}

fanin_status fanin__plan_execute(fanin__plan *plan, void *const *buffers, void *scratch,
                                 fanin_err *err) {
    for (int i = 0; i < plan->count; i++)
        if (!buffers[plan->args[i].slot])
            return fanin_err_set(err, FANIN_INTERNAL, "%s: buffer %d is missing", plan->variant,
                                 plan->args[i].slot);
    if (plan->scratch && !scratch)
        return fanin_err_set(err, FANIN_INTERNAL, "%s: scratch memory is missing", plan->variant);
    int before = fanin__threads_enter(plan->threads);
    dnnl_status_t status = execute(plan, buffers, scratch);
    fanin__threads_leave(before);
    return fanin__dnnl_status(status, plan->variant, err);
}

fanin_status fanin__plan_run(fanin__plan *plan, void *const *buffers, void *scratch,
                             fanin_err *err) {
    return plan->is_matmul ? fanin__matmul_plan_run(plan, 1, buffers, scratch, err)
                           : fanin__plan_execute(plan, buffers, scratch, err);
}
