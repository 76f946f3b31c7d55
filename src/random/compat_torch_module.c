/* compat_torch_module.c - what the constructors of torch.nn leave in a module's parameters.
 *
 * A module is seen as its state_dict; a sub-module is the entries below a prefix. Each kind is
 * one function that draws in the order of the Python constructor, which is not always the order
 * of registration (attention draws its output projection first, and a bias that it then zeroes).
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "random/compat_torch.h"

enum { PREFIX_MAX = 256 };

typedef struct module_view {
    fanin_torch_rng *rng;
    const fanin_torch_parameter *parameters;
    size_t count;
    unsigned char *seen;
    fanin_err *err;
    char prefix[PREFIX_MAX];
} module_view;

typedef fanin_status (*module_fn)(const module_view *v);

const char *fanin_torch_module_name(fanin_torch_module module) {
    switch (module) {
#define MODULE_NAME(id, value, name) \
    case FANIN_TORCH_##id: return name;
        FANIN_TORCH_MODULE_MAP(MODULE_NAME)
#undef MODULE_NAME
    }
    return "?";
}

/* ---- entries ----------------------------------------------------------------------------- */

/* The entry's name below the view's prefix, or NULL if it lies elsewhere. */
static const char *name_below(const module_view *v, const fanin_torch_parameter *p) {
    size_t n = strlen(v->prefix);
    return strncmp(p->name, v->prefix, n) ? NULL : p->name + n;
}

static const fanin_torch_parameter *find(const module_view *v, const char *name) {
    for (size_t i = 0; i < v->count; i++) {
        const char *below = name_below(v, &v->parameters[i]);
        if (!below || strcmp(below, name)) continue;
        v->seen[i] = 1;
        return &v->parameters[i];
    }
    return NULL;
}

static fanin_status need(const module_view *v, const char *name, int min_rank,
                         const fanin_torch_parameter **p) {
    *p = find(v, name);
    if (!*p)
        return fanin_err_set(v->err, FANIN_NOTFOUND, "%s%s: no such parameter was given", v->prefix,
                             name);
    if ((*p)->rank < min_rank)
        return fanin_err_set(v->err, FANIN_SHAPE, "%s: rank %d, expected at least %d", (*p)->name,
                             (*p)->rank, min_rank);
    return FANIN_OK;
}

static fanin_status count_of(const module_view *v, const fanin_torch_parameter *p, size_t *n) {
    if (fanin__shape_count(p->dims, p->rank, n)) return FANIN_OK;
    return fanin_err_set(v->err, FANIN_SHAPE, "%s: negative or too many elements", p->name);
}

static fanin_status checked(const module_view *v, const fanin_torch_parameter *p,
                            fanin_status status) {
    if (status == FANIN_OK) return status;
    return fanin_err_set(v->err, status, "%s (%s): %s", p->name, fanin_dtype_name(p->dtype),
                         fanin_status_text(status));
}

static fanin_status symmetric_uniform(const module_view *v, const fanin_torch_parameter *p,
                                      double bound) {
    size_t n;
    FANIN_TRY(count_of(v, p, &n));
    return checked(v, p, fanin_torch_uniform(v->rng, p->dtype, n, -bound, bound, p->out));
}

static fanin_status constant(const module_view *v, const fanin_torch_parameter *p, double value) {
    size_t n, size = fanin_dtype_size(p->dtype);
    FANIN_TRY(count_of(v, p, &n));
    if (!p->out) return FANIN_OK;
    if (value == 0) {
        memset(p->out, 0, n * size);
        return FANIN_OK;
    }
    float single = (float)value; /* 1 or 1/4 */
    for (size_t i = 0; i < n; i++) {
        unsigned char *to = (unsigned char *)p->out + i * size;
        if (p->dtype == FANIN_F64)
            memcpy(to, &value, size);
        else
            FANIN_TRY(checked(v, p, fanin_convert_from_f32(&single, 1, p->dtype, to)));
    }
    return FANIN_OK;
}

/* The constant if there is such an entry. */
static fanin_status constant_if(const module_view *v, const char *name, double value) {
    const fanin_torch_parameter *p = find(v, name);
    return p ? constant(v, p, value) : FANIN_OK;
}

static fanin_status xavier(const module_view *v, const fanin_torch_parameter *p) {
    return checked(v, p,
                   fanin_torch_xavier_uniform(v->rng, p->dtype, p->dims, p->rank, 1.0, p->out));
}

/* ---- leaves ------------------------------------------------------------------------------ */

static fanin_status linear(const module_view *v) {
    const fanin_torch_parameter *weight, *bias = find(v, "bias");
    double fan_in, fan_out;
    FANIN_TRY(need(v, "weight", 2, &weight));
    FANIN_TRY(checked(v, weight,
                      fanin_torch_kaiming_uniform(v->rng, weight->dtype, weight->dims, weight->rank,
                                                  sqrt(5.0), false, "leaky_relu", weight->out)));
    if (!bias) return FANIN_OK;
    FANIN_TRY(fanin_torch_fans(weight->dims, weight->rank, &fan_in, &fan_out));
    return symmetric_uniform(v, bias, fan_in > 0 ? 1 / sqrt(fan_in) : 0);
}

static fanin_status bilinear(const module_view *v) {
    const fanin_torch_parameter *weight, *bias = find(v, "bias");
    FANIN_TRY(need(v, "weight", 3, &weight));
    double bound = weight->dims[1] > 0 ? 1 / sqrt((double)weight->dims[1]) : 0;
    FANIN_TRY(symmetric_uniform(v, weight, bound));
    return bias ? symmetric_uniform(v, bias, bound) : FANIN_OK;
}

/* Every entry, in registration order; weight_ih_l0 comes first and has gates * hidden rows. */
static fanin_status recurrent(const module_view *v, int gates) {
    double bound = 0;
    for (size_t i = 0; i < v->count; i++) {
        const fanin_torch_parameter *p = &v->parameters[i];
        const char *below = name_below(v, p);
        if (!below || (strncmp(below, "weight_", 7) && strncmp(below, "bias_", 5))) continue;
        if (bound == 0) {
            if (strncmp(below, "weight_ih", 9) || p->rank != 2 || p->dims[0] % gates)
                return fanin_err_set(v->err, FANIN_SHAPE,
                                     "%s: expected first a weight_ih of %d * hidden rows", p->name,
                                     gates);
            bound = p->dims[0] > 0 ? 1 / sqrt((double)(p->dims[0] / gates)) : 1;
        }
        v->seen[i] = 1;
        FANIN_TRY(symmetric_uniform(v, p, bound));
    }
    return FANIN_OK;
}

static fanin_status rnn(const module_view *v) { return recurrent(v, 1); }
static fanin_status gru(const module_view *v) { return recurrent(v, 3); }
static fanin_status lstm(const module_view *v) { return recurrent(v, 4); }

static fanin_status embedding(const module_view *v) {
    const fanin_torch_parameter *weight;
    size_t n;
    FANIN_TRY(need(v, "weight", 2, &weight));
    FANIN_TRY(count_of(v, weight, &n));
    return checked(v, weight, fanin_torch_normal(v->rng, weight->dtype, n, 0.0, 1.0, weight->out));
}

static fanin_status norm(const module_view *v) {
    FANIN_TRY(constant_if(v, "weight", 1));
    FANIN_TRY(constant_if(v, "bias", 0));
    FANIN_TRY(constant_if(v, "running_mean", 0));
    FANIN_TRY(constant_if(v, "running_var", 1));
    return constant_if(v, "num_batches_tracked", 0);
}

static fanin_status prelu(const module_view *v) { return constant_if(v, "weight", 0.25); }

/* ---- composites -------------------------------------------------------------------------- */

static fanin_status below(const module_view *v, const char *prefix, module_fn fn) {
    module_view sub = *v;
    int length = snprintf(sub.prefix, PREFIX_MAX, "%s%s", v->prefix, prefix);
    if (length < 0 || length >= PREFIX_MAX)
        return fanin_err_set(v->err, FANIN_LIMIT, "%s%s: name too long", v->prefix, prefix);
    return fn(&sub);
}

static bool any_below(const module_view *v, const char *prefix) {
    for (size_t i = 0; i < v->count; i++) {
        const char *name = name_below(v, &v->parameters[i]);
        if (name && strncmp(name, prefix, strlen(prefix)) == 0) return true;
    }
    return false;
}

static fanin_status attention_bias(const module_view *v, const char *name) {
    const fanin_torch_parameter *p = find(v, name);
    if (!p) return FANIN_OK;
    return checked(v, p,
                   fanin_torch_xavier_normal(v->rng, p->dtype, p->dims, p->rank, 1.0, p->out));
}

static fanin_status attention(const module_view *v) {
    static const char *const separate[] = {"q_proj_weight", "k_proj_weight", "v_proj_weight"};
    const fanin_torch_parameter *in_proj = find(v, "in_proj_weight"), *p;
    FANIN_TRY(below(v, "out_proj.", linear));
    if (in_proj)
        FANIN_TRY(xavier(v, in_proj));
    else
        for (size_t i = 0; i < FANIN_COUNT(separate); i++) {
            FANIN_TRY(need(v, separate[i], 2, &p));
            FANIN_TRY(xavier(v, p));
        }
    FANIN_TRY(constant_if(v, "in_proj_bias", 0));
    FANIN_TRY(constant_if(v, "out_proj.bias", 0));
    FANIN_TRY(attention_bias(v, "bias_k"));
    return attention_bias(v, "bias_v");
}

static fanin_status encoder_layer(const module_view *v) {
    FANIN_TRY(below(v, "self_attn.", attention));
    FANIN_TRY(below(v, "linear1.", linear));
    FANIN_TRY(below(v, "linear2.", linear));
    FANIN_TRY(below(v, "norm1.", norm));
    return below(v, "norm2.", norm);
}

static fanin_status decoder_layer(const module_view *v) {
    FANIN_TRY(below(v, "self_attn.", attention));
    FANIN_TRY(below(v, "multihead_attn.", attention));
    FANIN_TRY(below(v, "linear1.", linear));
    FANIN_TRY(below(v, "linear2.", linear));
    FANIN_TRY(below(v, "norm1.", norm));
    FANIN_TRY(below(v, "norm2.", norm));
    return below(v, "norm3.", norm);
}

static bool same_shape(const fanin_torch_parameter *a, const fanin_torch_parameter *b) {
    return a->rank == b->rank && a->dtype == b->dtype &&
           memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0;
}

/* Entry "layers.N.rest" becomes a copy of "layers.0.rest". */
static fanin_status copy_from_first(const module_view *v, const fanin_torch_parameter *p,
                                    const char *rest) {
    char name[PREFIX_MAX];
    size_t n;
    snprintf(name, sizeof name, "layers.0.%s", rest);
    const fanin_torch_parameter *first;
    FANIN_TRY(need(v, name, 0, &first));
    if (!same_shape(first, p))
        return fanin_err_set(v->err, FANIN_SHAPE, "%s: not of the shape and type of %s", p->name,
                             first->name);
    if (!first->out && p->out)
        return fanin_err_set(v->err, FANIN_ARG, "%s: a copy of %s, which is not drawn", p->name,
                             first->name);
    FANIN_TRY(count_of(v, p, &n));
    if (p->out) memcpy(p->out, first->out, n * fanin_dtype_size(p->dtype));
    return FANIN_OK;
}

/* One layer is constructed; the stack is deep copies of it. */
static fanin_status stack(const module_view *v, module_fn layer) {
    FANIN_TRY(below(v, "layers.0.", layer));
    for (size_t i = 0; i < v->count; i++) {
        const char *name = name_below(v, &v->parameters[i]);
        if (!name || strncmp(name, "layers.", 7) || strncmp(name, "layers.0.", 9) == 0) continue;
        const char *dot = strchr(name + 7, '.');
        if (!dot) continue;
        v->seen[i] = 1;
        FANIN_TRY(copy_from_first(v, &v->parameters[i], dot + 1));
    }
    return any_below(v, "norm.") ? below(v, "norm.", norm) : FANIN_OK;
}

static fanin_status encoder(const module_view *v) { return stack(v, encoder_layer); }
static fanin_status decoder(const module_view *v) { return stack(v, decoder_layer); }

/* Both stacks, and then every matrix again: what stays of the first round are biases. */
static fanin_status transformer(const module_view *v) {
    FANIN_TRY(below(v, "encoder.", encoder));
    FANIN_TRY(below(v, "decoder.", decoder));
    for (size_t i = 0; i < v->count; i++)
        if (name_below(v, &v->parameters[i]) && v->parameters[i].rank > 1)
            FANIN_TRY(xavier(v, &v->parameters[i]));
    return FANIN_OK;
}

/* ---- entry ------------------------------------------------------------------------------- */

static const module_fn module_table[] = {
    [FANIN_TORCH_LINEAR] = linear,
    [FANIN_TORCH_CONV] = linear,
    [FANIN_TORCH_BILINEAR] = bilinear,
    [FANIN_TORCH_RNN] = rnn,
    [FANIN_TORCH_GRU] = gru,
    [FANIN_TORCH_LSTM] = lstm,
    [FANIN_TORCH_EMBEDDING] = embedding,
    [FANIN_TORCH_ATTENTION] = attention,
    [FANIN_TORCH_NORM] = norm,
    [FANIN_TORCH_PRELU] = prelu,
    [FANIN_TORCH_ENCODER_LAYER] = encoder_layer,
    [FANIN_TORCH_DECODER_LAYER] = decoder_layer,
    [FANIN_TORCH_ENCODER] = encoder,
    [FANIN_TORCH_DECODER] = decoder,
    [FANIN_TORCH_TRANSFORMER] = transformer,
};

fanin_status fanin_torch_module_init(fanin_torch_rng *rng, fanin_torch_module module,
                                     const fanin_torch_parameter *parameters, size_t count,
                                     fanin_err *err) {
    if ((int)module < 0 || (size_t)module >= FANIN_COUNT(module_table) || !module_table[module])
        return fanin_err_set(err, FANIN_ARG, "unknown module kind %d", (int)module);
    module_view v = {.rng = rng, .parameters = parameters, .count = count, .err = err};
    v.seen = fanin_calloc(count, 1);
    if (!v.seen) return fanin_err_set(err, FANIN_NOMEM, "no memory for %zu flags", count);
    fanin_status status = module_table[module](&v);
    for (size_t i = 0; status == FANIN_OK && i < count; i++)
        if (!v.seen[i])
            status = fanin_err_set(err, FANIN_NOTFOUND, "%s: torch.nn.%s has no such parameter",
                                   parameters[i].name, fanin_torch_module_name(module));
    fanin_free(v.seen);
    return status;
}
