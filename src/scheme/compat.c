/* compat.c - plans drawn from a framework's stream: serial, so the whole model is drawn once and kept.
 *
 * The scheme `torch` on the stream `torch` is module construction: tensors are grouped by the prefix of
 * their names, in file order, and every group is a module whose constructor runs. Anything else draws
 * tensor after tensor in file order, as a loop of nn.init calls over model.parameters() would. Values
 * fill torch's layout (out x in); a matrix stored in x out is turned afterwards. */
#include <math.h>
#include <string.h>

#include "scheme/plan.h"

enum { MODULE = 32 }; /* state_dict entries of one module */

static fanin_status no_memory(const fanin_plan *p, fanin_err *err) {
    return fanin_err_set(err, FANIN_NOMEM, "%.200s: no memory to draw the whole model",
                         p->graph->name);
}

static size_t elements(const fanin_plan_row *r) {
    size_t n;
    return fanin__shape_count(r->tensor.dims, r->tensor.rank, &n) ? n : 0;
}

/* ---- layout ------------------------------------------------------------------------------------ */

/* An exporter's in x out; convolutions always keep torch's layout. */
static bool is_turned(const fanin_tensor *t) {
    return t->rank == 2 && t->out_axis == 1 && t->in_axis == 0;
}

static void torch_dims(const fanin_tensor *t, int64_t dims[FANIN_MAX_RANK]) {
    memcpy(dims, t->dims, sizeof t->dims);
    if (is_turned(t)) dims[0] = t->dims[1], dims[1] = t->dims[0];
}

/* out x in -> in x out, in place through a copy. */
static fanin_status turn(const fanin_plan *p, const fanin_plan_row *r, void *data, fanin_err *err) {
    size_t item = fanin_dtype_size(r->dtype), n = elements(r);
    size_t in = (size_t)r->tensor.dims[0], out = (size_t)r->tensor.dims[1];
    char *copy = fanin_malloc(n * item + 1), *to = data;
    if (!copy) return no_memory(p, err);
    memcpy(copy, data, n * item);
    for (size_t i = 0; i < in; i++)
        for (size_t o = 0; o < out; o++)
            memcpy(to + (i * out + o) * item, copy + (o * in + i) * item, item);
    fanin_free(copy);
    return FANIN_OK;
}

/* ---- rule by rule ------------------------------------------------------------------------------ */

static double or_else(double value, double otherwise) { return isnan(value) ? otherwise : value; }

static fanin_status draw_truncated(fanin_compat_stream *s, const fanin_plan_row *r, void *out) {
    bool plain = strcmp(fanin_rule_describe(&r->rule).name, "truncated_normal") == 0;
    /* A family's std is that after the cut at 2 sigma. */
    double mean = plain ? or_else(r->rule.mean, 0) : 0;
    double std = plain ? or_else(r->rule.std, 1) : r->moments.std / 0.87962566103423978;
    double low = plain ? or_else(r->rule.low, -2) : -2, high = plain ? or_else(r->rule.high, 2) : 2;
    bool sigma = !plain || r->rule.bounds_sigma;
    if (sigma) low = mean + low * std, high = mean + high * std;
    return fanin_compat_trunc_normal(s, r->dtype, elements(r), mean, std, low, high, out);
}

static fanin_status draw_rule(const fanin_plan *p, fanin_compat_stream *s, const fanin_plan_row *r,
                              void *out, fanin_err *err) {
    const char *name = fanin_rule_describe(&r->rule).name;
    bool scaling = strcmp(name, "variance_scaling") == 0;
    bool uniform = strstr(name, "uniform") || strcmp(name, "torch_default") == 0 ||
                   (scaling && r->rule.distribution == 1);
    bool truncated = strstr(name, "truncated") || (scaling && r->rule.distribution % 3 == 0);
    int64_t dims[FANIN_MAX_RANK];
    torch_dims(&r->tensor, dims);
    static const char *const fixed[] = {"zeros",      "ones",     "constant", "identity",
                                        "dirac",      "bilinear", "hadamard", "lstm_forget_bias",
                                        "class_prior"};
    for (size_t i = 0; i < FANIN_COUNT(fixed); i++)
        if (strcmp(name, fixed[i]) == 0) /* nothing is drawn; as stored */
            return fanin_rule_fill(&r->rule, &r->tensor, p->seed, 0, elements(r), r->dtype, out,
                                   err);
    fanin_status status = FANIN_UNSUPPORTED;
    if (uniform) {
        bool plain = strcmp(name, "uniform") == 0 || strcmp(name, "torch_default") == 0;
        double high = plain ? r->moments.high : sqrt(3.0) * r->moments.std; /* as nn.init does */
        double low = plain ? r->moments.low : -high;
        status = fanin_compat_uniform(s, r->dtype, elements(r), low, high, out);
    } else if (truncated) {
        status = draw_truncated(s, r, out);
    } else if (strstr(name, "normal") || scaling) {
        status =
            fanin_compat_normal(s, r->dtype, elements(r), r->moments.mean, r->moments.std, out);
    } else if (strcmp(name, "sparse") == 0 && s->framework == FANIN_FRAMEWORK_TORCH &&
               !isnan(r->rule.sparsity)) {
        status = fanin_torch_sparse(&s->torch, r->dtype, dims, r->tensor.rank, r->rule.sparsity,
                                    or_else(r->rule.std, 0.01), out);
    } else if (strcmp(name, "orthogonal") == 0 && r->tensor.rank >= 2) {
        status = fanin_compat_orthogonal(s, r->dtype, dims, r->tensor.rank,
                                         or_else(r->moments.gain, 1), out);
    }
    if (status != FANIN_OK)
        return fanin_err_set(
            err, status,
            "tensor '%.160s': the stream '%.60s' cannot draw %s as %s; the stream fanin draws "
            "every rule",
            r->tensor.name, p->stream, name, fanin_dtype_name(r->dtype));
    return is_turned(&r->tensor) ? turn(p, r, out, err) : FANIN_OK;
}

/* ---- module by module -------------------------------------------------------------------------- */

/* Length of "h.0.attn" in "h.0.attn.weight"; attention's output projection belongs to its parent. */
static size_t prefix_of(const char *name) {
    const char *dot = strrchr(name, '.');
    size_t n = dot ? (size_t)(dot - name) : 0;
    return n;
}

static bool in_attention(const fanin_plan *p, int first, int row) {
    const char *a = p->rows[first].tensor.name, *b = p->rows[row].tensor.name;
    size_t n = prefix_of(a);
    if (strncmp(a, b, n + 1) != 0) return false;
    return strcmp(a + n + 1, "in_proj_weight") == 0 &&
           (strcmp(b + n + 1, "in_proj_bias") == 0 || strcmp(b + n + 1, "out_proj.weight") == 0 ||
            strcmp(b + n + 1, "out_proj.bias") == 0);
}

static bool same_module(const fanin_plan *p, int first, int row) {
    const char *a = p->rows[first].tensor.name, *b = p->rows[row].tensor.name;
    size_t n = prefix_of(a);
    if (n && n == prefix_of(b) && strncmp(a, b, n) == 0) return true;
    return n && in_attention(p, first, row);
}

/* 0: a bare parameter, which no constructor draws. */
static fanin_torch_module kind_of(const fanin_plan_row *r) {
    const char *field = r->tensor.name + prefix_of(r->tensor.name);
    if (*field == '.') field++;
    if (field == r->tensor.name) return (fanin_torch_module)0;
    if (strcmp(field, "in_proj_weight") == 0) return FANIN_TORCH_ATTENTION;
    switch (r->tensor.cls) {
    case FANIN_CLASS_NORM_SCALE:
    case FANIN_CLASS_NORM_SHIFT: return FANIN_TORCH_NORM;
    case FANIN_CLASS_EMBEDDING: return FANIN_TORCH_EMBEDDING;
    case FANIN_CLASS_POSITION:
        return strcmp(r->op, "Gather") == 0 ? FANIN_TORCH_EMBEDDING : (fanin_torch_module)0;
    case FANIN_CLASS_PRELU_SLOPE: return FANIN_TORCH_PRELU;
    case FANIN_CLASS_RECURRENT_INPUT:
        return r->tensor.parts == 4   ? FANIN_TORCH_LSTM
               : r->tensor.parts == 3 ? FANIN_TORCH_GRU
                                      : FANIN_TORCH_RNN;
    default: break;
    }
    if (!fanin_class_is_weight(r->tensor.cls)) return (fanin_torch_module)0;
    return r->tensor.rank > 2 ? FANIN_TORCH_CONV : FANIN_TORCH_LINEAR;
}

/* The state_dict of the module whose `count` tensors begin at row `first`; dims belong to `list`. */
static void list_module(const fanin_plan *p, int first, int count, fanin_torch_parameter *list,
                        int64_t (*dims)[FANIN_MAX_RANK]) {
    size_t prefix = prefix_of(p->rows[first].tensor.name);
    for (int n = 0; n < count; n++) {
        const fanin_plan_row *r = &p->rows[first + n];
        torch_dims(&r->tensor, dims[n]);
        list[n] = (fanin_torch_parameter){r->tensor.name + prefix + 1, r->dtype, dims[n],
                                          r->tensor.rank, p->drawn[first + n]};
    }
}

static fanin_status draw_module(const fanin_plan *p, fanin_compat_stream *s, int first, int count,
                                fanin_err *err) {
    fanin_torch_parameter list[MODULE];
    int64_t dims[MODULE][FANIN_MAX_RANK];
    fanin_torch_module kind = kind_of(&p->rows[first]);
    if (kind == 0) {
        for (int i = first; i < first + count; i++)
            if (!p->rows[i].keep) FANIN_TRY(draw_rule(p, s, &p->rows[i], p->drawn[i], err));
        return FANIN_OK;
    }
    size_t prefix = prefix_of(p->rows[first].tensor.name);
    list_module(p, first, count, list, dims);
    fanin_err why = {0};
    fanin_status status = fanin_torch_module_init(&s->torch, kind, list, (size_t)count, &why);
    if (status != FANIN_OK)
        return fanin_err_set(err, status, "%.*s as torch's %s: %.300s", (int)prefix,
                             p->rows[first].tensor.name, fanin_torch_module_name(kind),
                             why.message);
    for (int i = first; i < first + count; i++)
        if (is_turned(&p->rows[i].tensor)) FANIN_TRY(turn(p, &p->rows[i], p->drawn[i], err));
    return FANIN_OK;
}

static int module_rows(const fanin_plan *p, int first) {
    int count = 1;
    while (first + count < p->count && count < MODULE && same_module(p, first, first + count))
        count++;
    return count;
}

static fanin_status draw_modules(const fanin_plan *p, fanin_compat_stream *s, fanin_err *err) {
    for (int i = 0, count; i < p->count; i += count) {
        count = module_rows(p, i);
        FANIN_TRY(draw_module(p, s, i, count, err));
    }
    return FANIN_OK;
}

/* A model of torchvision: all modules are needed at once, for its second pass over them. */
static fanin_status draw_recipe(const fanin_plan *p, const fanin_torch_recipe *recipe,
                                fanin_compat_stream *s, fanin_err *err) {
    size_t n = (size_t)p->count + 1, modules = 0;
    fanin_torch_parameter *list = fanin_calloc(n, sizeof *list);
    int64_t(*dims)[FANIN_MAX_RANK] = fanin_calloc(n, sizeof *dims);
    fanin_torch_submodule *all = fanin_calloc(n, sizeof *all);
    fanin_err why = {0};
    fanin_status status = list && dims && all ? FANIN_OK : FANIN_NOMEM;
    for (int i = 0, count; status == FANIN_OK && i < p->count; i += count) {
        count = module_rows(p, i);
        fanin_torch_module kind = kind_of(&p->rows[i]);
        if (kind == 0) continue; /* drawn by nobody: zero, as made */
        list_module(p, i, count, list + i, dims + i);
        all[modules++] = (fanin_torch_submodule){kind, list + i, (size_t)count};
    }
    if (status == FANIN_OK) status = fanin_torch_model_init(&s->torch, recipe, all, modules, &why);
    fanin_free(list);
    fanin_free(dims);
    fanin_free(all);
    if (status == FANIN_NOMEM) return no_memory(p, err);
    if (status == FANIN_OK) return status;
    return fanin_err_set(err, status, "%.160s as torchvision's %s: %.300s", p->graph->name,
                         recipe->name, why.message);
}

/* ---- the whole --------------------------------------------------------------------------------- */

static fanin_status draw_all(fanin_plan *p, fanin_err *err) {
    fanin_compat_stream s;
    FANIN_TRY(fanin_compat_open(&s, p->stream, p->seed, err));
    bool overlaid = p->scheme.count > 0 && p->scheme.lines[p->scheme.count - 1].overlay;
    bool construct = s.framework == FANIN_FRAMEWORK_TORCH && !overlaid &&
                     fanin__strcasecmp(p->scheme.name, "torch") == 0;
    for (int i = 0; i < p->count; i++) {
        size_t size;
        if (p->rows[i].keep) continue;
        if (!fanin__size_mul(elements(&p->rows[i]), fanin_dtype_size(p->rows[i].dtype), &size))
            return no_memory(p, err);
        p->drawn[i] = fanin_calloc(size + 1, 1);
        if (!p->drawn[i]) return no_memory(p, err);
    }
    const fanin_torch_recipe *recipe = construct ? fanin__torch_recipe_of(p->graph) : NULL;
    if (recipe) return draw_recipe(p, recipe, &s, err);
    if (construct) return draw_modules(p, &s, err);
    for (int i = 0; i < p->count; i++) {
        fanin_compat_begin(&s, (uint64_t)i);
        if (!p->rows[i].keep) FANIN_TRY(draw_rule(p, &s, &p->rows[i], p->drawn[i], err));
    }
    return FANIN_OK;
}

static fanin_status convert(const char *from, fanin_dtype has, size_t n, fanin_dtype wants,
                            void *out) {
    if (has == wants) {
        memcpy(out, from, n * fanin_dtype_size(has));
        return FANIN_OK;
    }
    if (wants == FANIN_F64) return fanin_convert_to_f64(from, has, n, out);
    size_t from_size = fanin_dtype_size(has), to_size = fanin_dtype_size(wants);
    for (size_t at = 0; at < n; at += 256) {
        double wide[256];
        float narrow[256];
        size_t run = n - at < 256 ? n - at : 256;
        FANIN_TRY(fanin_convert_to_f64(from + at * from_size, has, run, wide));
        for (size_t i = 0; i < run; i++) narrow[i] = (float)wide[i];
        FANIN_TRY(fanin_convert_from_f32(narrow, run, wants, (char *)out + at * to_size));
    }
    return FANIN_OK;
}

fanin_status fanin__plan_fill_compat(const fanin_plan *plan, int i, uint64_t first, size_t n,
                                     fanin_dtype dtype, void *out, fanin_err *err) {
    fanin_plan *p = (fanin_plan *)(uintptr_t)plan; /* what is drawn is drawn once, under the lock */
    pthread_mutex_lock(&p->lock);
    if (!p->drawn) {
        p->drawn = fanin_calloc((size_t)p->count + 1, sizeof *p->drawn);
        fanin_status status = p->drawn ? draw_all(p, err) : no_memory(p, err);
        if (status != FANIN_OK) {
            fanin__plan_forget(p);
            pthread_mutex_unlock(&p->lock);
            return status;
        }
    }
    pthread_mutex_unlock(&p->lock);
    const fanin_plan_row *r = &p->rows[i];
    const char *from = (const char *)p->drawn[i] + first * fanin_dtype_size(r->dtype);
    if (convert(from, r->dtype, n, dtype, out) == FANIN_OK) return FANIN_OK;
    return fanin_err_set(err, FANIN_ARG, "'%.200s' cannot become %s", r->tensor.name,
                         fanin_dtype_name(dtype));
}

void fanin__plan_forget(fanin_plan *p) {
    for (int i = 0; p->drawn && i < p->count; i++) fanin_free(p->drawn[i]);
    fanin_free(p->drawn);
    p->drawn = NULL;
}
