/* plan_write.c - a plan's numbers to disk: tensor by tensor, in chunks, whatever the model's size. */
#include <stdio.h>
#include <string.h>

#include "format/format.h"
#include "scheme/pipe.h"
#include "scheme/plan.h"

/* Bytes that are filled at once: for one thread what its cache holds until they are written; several
 * share the fill, and a thread of its own writes while the next chunk is filled. */
enum { CHUNK_ALONE = 256 << 10, CHUNK = 8 << 20 };

typedef struct writer {
    const fanin_plan *plan;
    fanin_plan_write_options o;
    const char *path;
    fanin_array *arrays;
    int *rows;       /* by array: row of the plan */
    uint64_t *first; /* by array: element of the tensor where its part begins */
    int count;
    uint64_t total, done; /* bytes */
    size_t chunk;
    fanin__pipe pipe;
    fanin_err *err;
} writer;

static fanin_status no_memory(writer *w) {
    return fanin_err_set(w->err, FANIN_NOMEM, "%.200s: not enough memory to write %d tensors",
                         w->path, w->plan->count);
}

static fanin_dtype dtype_of(const writer *w, const fanin_plan_row *r) {
    return w->o.dtype != FANIN_DTYPE_NONE ? w->o.dtype : r->dtype;
}

/* ---- what is written --------------------------------------------------------------------------- */

/* Rows part * ceil(rows / parts) ... of the leading axis; a scalar belongs to part 0. */
static fanin_status add_array(writer *w, int row) {
    const fanin_plan_row *r = &w->plan->rows[row];
    const fanin_tensor *t = &r->tensor;
    fanin_array *a = &w->arrays[w->count];
    *a = (fanin_array){.name = t->name, .dtype = dtype_of(w, r), .rank = t->rank};
    for (int i = 0; i < t->rank; i++) a->dims[i] = t->dims[i];
    w->rows[w->count] = row;
    if (w->o.parts > 1) {
        int64_t rows = t->rank > 0 ? t->dims[0] : 1;
        int64_t run = rows / w->o.parts + (rows % w->o.parts != 0);
        int64_t begin = w->o.part < rows && run * w->o.part < rows ? run * w->o.part : rows;
        int64_t end = rows - begin < run ? rows : begin + run;
        if (t->rank == 0 && begin == end) a->rank = 1; /* an empty part of a scalar */
        if (a->rank > 0) a->dims[0] = end - begin;
        size_t inner = 1;
        if (t->rank > 1 && !fanin__shape_count(t->dims + 1, t->rank - 1, &inner)) inner = 0;
        w->first[w->count] = (uint64_t)begin * inner;
    }
    size_t elements;
    if (!fanin__shape_count(a->dims, a->rank, &elements) ||
        !fanin__size_mul(elements, fanin_dtype_size(a->dtype), &a->size))
        return fanin_err_set(w->err, FANIN_LIMIT, "'%.200s' has too many elements", t->name);
    w->total += a->size;
    w->count++;
    return FANIN_OK;
}

static fanin_status list_arrays(writer *w) {
    size_t n = (size_t)w->plan->count + 1;
    w->arrays = fanin_calloc(n, sizeof *w->arrays);
    w->rows = fanin_calloc(n, sizeof *w->rows);
    w->first = fanin_calloc(n, sizeof *w->first);
    if (!w->arrays || !w->rows || !w->first) return no_memory(w);
    for (int i = 0; i < w->plan->count; i++)
        if (!w->plan->rows[i].keep) FANIN_TRY(add_array(w, i));
    return FANIN_OK;
}

/* ---- numbers ----------------------------------------------------------------------------------- */

static fanin_status put_array(writer *w, int k) {
    const fanin_array *a = &w->arrays[k];
    const fanin_plan_row *r = &w->plan->rows[w->rows[k]];
    size_t item = fanin_dtype_size(a->dtype), elements = a->size / item;
    size_t chunk = r->moments.elementwise ? w->chunk / item : elements;
    if (chunk > elements) chunk = elements;
    for (size_t at = 0; at < elements; at += chunk) {
        size_t n = elements - at < chunk ? elements - at : chunk;
        if (fanin_interrupted())
            return fanin_err_set(w->err, FANIN_INTERRUPTED, "%.200s: interrupted, nothing is left",
                                 w->path);
        void *buffer = fanin__pipe_buffer(&w->pipe, n * item);
        if (!buffer) return no_memory(w);
        FANIN_TRY(
            fanin_plan_fill(w->plan, w->rows[k], w->first[k] + at, n, a->dtype, buffer, w->err));
        FANIN_TRY(fanin__pipe_put(&w->pipe, n * item, w->err));
        w->done += n * item;
        if (w->o.progress.report)
            w->o.progress.report(w->o.progress.ctx, "writing", (double)w->done, (double)w->total);
    }
    return FANIN_OK;
}

static fanin_status put_arrays(writer *w, fanin_weights_writer *file) {
    bool alone = fanin_threads() < 2;
    w->chunk = alone ? CHUNK_ALONE : CHUNK;
    fanin__pipe_open(&w->pipe, file, !alone && w->total > 2 * CHUNK);
    fanin_status status = FANIN_OK;
    for (int k = 0; k < w->count && status == FANIN_OK; k++)
        status = put_array(w, fanin_weights_writer_order(file, k));
    fanin_status last = fanin__pipe_close(&w->pipe, status == FANIN_OK ? w->err : NULL);
    return status == FANIN_OK ? last : status;
}

/* ---- files ------------------------------------------------------------------------------------- */

static fanin_status write_weights(writer *w) {
    char seed[32];
    const fanin_plan *p = w->plan;
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)p->seed);
    const char *metadata[] = {
        "format",      "pt",      "fanin_version",  fanin_version(),
        "stream",      p->stream, "stream_version", p->compat ? p->stream : "1",
        "seed",        seed,      "scheme",         p->scheme.name,
        "scheme_hash", p->hash,   "part",           NULL,
        NULL};
    char part[48];
    if (w->o.parts > 1) {
        snprintf(part, sizeof part, "%lld/%lld", (long long)w->o.part, (long long)w->o.parts);
        metadata[15] = part;
    } else {
        metadata[14] = NULL;
    }
    fanin_writer_options options = {.metadata = metadata, .max_shard = w->o.max_shard};
    fanin_weights_writer *file;
    FANIN_TRY(fanin_weights_writer_create(w->path, w->arrays, w->count, &options, &file, w->err));
    fanin_status status = put_arrays(w, file);
    if (status == FANIN_OK) return fanin_weights_writer_commit(file, w->err);
    fanin_weights_writer_abort(file);
    return status;
}

/* One initialiser, in pieces where its rule allows. */
static fanin_status put_initializer(void *ctx, int k, fanin__outfile *file, fanin_err *err) {
    writer *w = ctx;
    const fanin_array *a = &w->arrays[k];
    size_t item = fanin_dtype_size(a->dtype), elements = a->size / item, piece = CHUNK / item;
    if (!w->plan->rows[w->rows[k]].moments.elementwise || piece > elements) piece = elements;
    void *buffer = fanin_malloc_aligned(piece * item);
    fanin_status status = buffer ? FANIN_OK : no_memory(w);
    for (size_t at = 0; at < elements && status == FANIN_OK; at += piece) {
        size_t n = elements - at < piece ? elements - at : piece;
        if (fanin_interrupted())
            status = fanin_err_set(err, FANIN_INTERRUPTED, "%.200s: interrupted", w->path);
        else
            status = fanin_plan_fill(w->plan, w->rows[k], at, n, a->dtype, buffer, err);
        if (status == FANIN_OK) status = fanin__outfile_write(file, buffer, n * item, err);
        w->done += n * item;
        if (w->o.progress.report)
            w->o.progress.report(w->o.progress.ctx, "writing", (double)w->done, (double)w->total);
    }
    fanin_free_aligned(buffer);
    return status;
}

static fanin_status write_onnx(writer *w) {
    if (w->o.parts > 1 || w->o.max_shard)
        return fanin_err_set(w->err, FANIN_ARG, "%.200s: an .onnx is written whole", w->path);
    if (w->plan->graph->node_count == 0)
        return fanin_err_set(w->err, FANIN_ARG,
                             "%.200s: %.200s has no operators to put in an .onnx", w->path,
                             w->plan->graph->name);
    for (int k = 0; k < w->count; k++) {
        const fanin_array *a = &w->arrays[k];
        const fanin_plan_row *r = &w->plan->rows[w->rows[k]];
        if (a->dtype != r->dtype)
            return fanin_err_set(w->err, FANIN_ARG,
                                 "%.200s: an .onnx keeps its types, '%.120s' is %s", w->path,
                                 a->name, fanin_dtype_name(r->dtype));
    }
    const fanin__onnx_maker maker = {put_initializer, w};
    return fanin__onnx_save_made(w->plan->graph, w->arrays, w->count, w->path, &maker, w->err);
}

fanin_status fanin_plan_write(const fanin_plan *plan, const char *path,
                              const fanin_plan_write_options *options, fanin_err *err) {
    writer w = {.plan = plan, .path = path, .err = err};
    if (options) w.o = *options;
    if (w.o.dtype != FANIN_DTYPE_NONE && !fanin_dtype_is_float(w.o.dtype))
        return fanin_err_set(err, FANIN_ARG, "dtype %s is not a floating type",
                             fanin_dtype_name(w.o.dtype));
    if (w.o.part < 0 || (w.o.parts > 1 && w.o.part >= w.o.parts) || w.o.parts < 0)
        return fanin_err_set(err, FANIN_ARG, "part %lld of %lld", (long long)w.o.part,
                             (long long)w.o.parts);
    fanin_status status = list_arrays(&w);
    if (status == FANIN_OK)
        status = fanin__ends_with(path, ".onnx") ? write_onnx(&w) : write_weights(&w);
    fanin_free(w.arrays);
    fanin_free(w.rows);
    fanin_free(w.first);
    return status;
}
