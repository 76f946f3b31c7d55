/* template.c - tensors without operators: what a name and a shape can tell, and no more.
 *
 * A template is a list of names, shapes and dtypes (a .safetensors file, or tensor:...). Its layout says
 * where outputs and inputs are; the name says what kind of tensor it is. What neither tells is an
 * error, never a guess. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "scheme/classify.h"

/* Endings and infixes, checked in this order; patterns are over the lower-case name. */
static const struct {
    const char *pattern;
    int low, high; /* ranks that it holds for */
    fanin_class cls;
} names[] = {
    {"*running_mean", 1, 1, FANIN_CLASS_RUNNING_MEAN},
    {"*running_var", 1, 1, FANIN_CLASS_RUNNING_VAR},
    {"*moving_mean", 1, 1, FANIN_CLASS_RUNNING_MEAN},
    {"*moving_variance", 1, 1, FANIN_CLASS_RUNNING_VAR},
    {"*batch_stats*mean", 1, 1, FANIN_CLASS_RUNNING_MEAN},
    {"*batch_stats*var", 1, 1, FANIN_CLASS_RUNNING_VAR},
    {"*num_batches_tracked", 0, 1, FANIN_CLASS_CONSTANT},
    {"*inv_freq", 1, 1, FANIN_CLASS_CONSTANT},
    {"*cls_token", 1, 4, FANIN_CLASS_CLASS_TOKEN},
    {"*class_token", 1, 4, FANIN_CLASS_CLASS_TOKEN},
    {"*class_embedding", 1, 4, FANIN_CLASS_CLASS_TOKEN},
    {"*pos_embed*", 2, 4, FANIN_CLASS_POSITION},
    {"*position_embed*", 2, 4, FANIN_CLASS_POSITION},
    {"*positional_embed*", 2, 4, FANIN_CLASS_POSITION},
    {"*wpe.weight", 2, 2, FANIN_CLASS_POSITION},
    {"*wpe*embedding", 2, 2, FANIN_CLASS_POSITION},
    {"*wte.weight", 2, 2, FANIN_CLASS_EMBEDDING},
    {"*embed_tokens.weight", 2, 2, FANIN_CLASS_EMBEDDING},
    {"*embeddings.weight", 2, 2, FANIN_CLASS_EMBEDDING},
    {"*embedding.weight", 2, 2, FANIN_CLASS_EMBEDDING},
    {"*embed.weight", 2, 2, FANIN_CLASS_EMBEDDING},
    {"*_embeddings.weight", 2, 2, FANIN_CLASS_EMBEDDING},
    {"*embedding", 2, 2, FANIN_CLASS_EMBEDDING},
    {"*weight_ih*", 2, 2, FANIN_CLASS_RECURRENT_INPUT},
    {"*weight_hh*", 2, 2, FANIN_CLASS_RECURRENT_HIDDEN},
    {"*bias_ih*", 1, 1, FANIN_CLASS_RECURRENT_BIAS},
    {"*bias_hh*", 1, 1, FANIN_CLASS_RECURRENT_BIAS},
    {"*in_proj_weight", 2, 2, FANIN_CLASS_ATTENTION_QKV},
    {"*qkv.weight", 2, 2, FANIN_CLASS_ATTENTION_QKV},
    {"*qkv_proj.weight", 2, 2, FANIN_CLASS_ATTENTION_QKV},
    {"*c_attn.weight", 2, 2, FANIN_CLASS_ATTENTION_QKV},
    {"*query_key_value.weight", 2, 2, FANIN_CLASS_ATTENTION_QKV},
    {"*q_proj.weight", 2, 2, FANIN_CLASS_ATTENTION_Q},
    {"*k_proj.weight", 2, 2, FANIN_CLASS_ATTENTION_K},
    {"*v_proj.weight", 2, 2, FANIN_CLASS_ATTENTION_V},
    {"*attention.wq.weight", 2, 2, FANIN_CLASS_ATTENTION_Q},
    {"*attention.wk.weight", 2, 2, FANIN_CLASS_ATTENTION_K},
    {"*attention.wv.weight", 2, 2, FANIN_CLASS_ATTENTION_V},
    {"*attention.wo.weight", 2, 2, FANIN_CLASS_ATTENTION_OUT},
    {"*self.query.weight", 2, 2, FANIN_CLASS_ATTENTION_Q},
    {"*self.key.weight", 2, 2, FANIN_CLASS_ATTENTION_K},
    {"*self.value.weight", 2, 2, FANIN_CLASS_ATTENTION_V},
    {"*attention.output.dense.weight", 2, 2, FANIN_CLASS_ATTENTION_OUT},
    {"*attn.c_proj.weight", 2, 2, FANIN_CLASS_ATTENTION_OUT},
    {"*attn.o_proj.weight", 2, 2, FANIN_CLASS_ATTENTION_OUT},
    {"*attn*out_proj.weight", 2, 2, FANIN_CLASS_ATTENTION_OUT},
    {"*attention*out_proj.weight", 2, 2, FANIN_CLASS_ATTENTION_OUT},
    {"*lm_head.weight", 2, 2, FANIN_CLASS_OUTPUT},
    {"output.weight", 2, 2, FANIN_CLASS_OUTPUT},
    {"*_slope.weight", 0, 1, FANIN_CLASS_PRELU_SLOPE},
    {"*prelu*.weight", 0, 1, FANIN_CLASS_PRELU_SLOPE},
    {"*norm*.bias", 1, 1, FANIN_CLASS_NORM_SHIFT},
    {"*ln_*.bias", 1, 1, FANIN_CLASS_NORM_SHIFT},
    {"*bn*.bias", 1, 1, FANIN_CLASS_NORM_SHIFT},
    {"*.beta", 1, 1, FANIN_CLASS_NORM_SHIFT},
    {"beta", 1, 1, FANIN_CLASS_NORM_SHIFT},
    {"*norm*.weight", 1, 1, FANIN_CLASS_NORM_SCALE},
    {"*ln*.weight", 1, 1, FANIN_CLASS_NORM_SCALE},
    {"*bn*.weight", 1, 1, FANIN_CLASS_NORM_SCALE},
    {"*.gamma", 1, 1, FANIN_CLASS_NORM_SCALE},
    {"gamma", 1, 1, FANIN_CLASS_NORM_SCALE},
    {"*.scale", 1, 1, FANIN_CLASS_NORM_SCALE},
    {"*/scale", 1, 1, FANIN_CLASS_NORM_SCALE},
    {"scale", 1, 1, FANIN_CLASS_NORM_SCALE},
    {"*bias", 1, 1, FANIN_CLASS_BIAS},
    {"*.b", 1, 1, FANIN_CLASS_BIAS},
    {"b", 1, 1, FANIN_CLASS_BIAS},
    {"*_b", 1, 1, FANIN_CLASS_BIAS},
    {"b[0-9]", 1, 1, FANIN_CLASS_BIAS},
    {"*.weight", 2, 2, FANIN_CLASS_DENSE},
    {"*.weight", 3, 5, FANIN_CLASS_CONV},
    {"*kernel", 2, 2, FANIN_CLASS_DENSE},
    {"*kernel", 3, 5, FANIN_CLASS_CONV},
    {"*weight", 2, 2, FANIN_CLASS_DENSE},
    {"*weight", 3, 5, FANIN_CLASS_CONV},
    {"*w", 2, 2, FANIN_CLASS_DENSE},
    {"*w", 3, 5, FANIN_CLASS_CONV},
    {"w[0-9]", 2, 2, FANIN_CLASS_DENSE},
    {"w[0-9]", 3, 5, FANIN_CLASS_CONV},
};

static fanin_class by_name(const char *name, int rank) {
    char lower[512];
    size_t n = 0;
    for (; name[n] && n + 1 < sizeof lower; n++)
        lower[n] = (char)(name[n] >= 'A' && name[n] <= 'Z' ? name[n] + 32 : name[n]);
    lower[n] = '\0';
    for (size_t i = 0; i < FANIN_COUNT(names); i++)
        if (rank >= names[i].low && rank <= names[i].high && fanin__glob(names[i].pattern, lower))
            return names[i].cls;
    return FANIN_CLASS_OTHER;
}

/* "tensor:" was typed for one tensor: there the shape decides where the name does not. */
static fanin_class by_shape(int rank) {
    if (rank <= 1) return FANIN_CLASS_BIAS;
    return rank == 2 ? FANIN_CLASS_DENSE : rank <= 5 ? FANIN_CLASS_CONV : FANIN_CLASS_OTHER;
}

static void set_axes(fanin_tensor *t, bool jax) {
    if (t->rank < 2 || (!fanin_class_is_weight(t->cls))) return;
    bool table = t->cls == FANIN_CLASS_EMBEDDING || t->cls == FANIN_CLASS_POSITION ||
                 t->cls == FANIN_CLASS_CLASS_TOKEN;
    t->out_axis = table ? t->rank - 2 : jax ? t->rank - 1 : 0;
    t->in_axis = table ? t->rank - 1 : jax ? t->rank - 2 : 1;
    double taps = 1;
    for (int i = 0; i < t->rank; i++)
        if (i != t->out_axis && i != t->in_axis) taps *= (double)t->dims[i];
    if (table) taps = 1;
    t->fan_in = t->torch_fan_in = (double)t->dims[t->in_axis] * taps;
    t->fan_out = t->torch_fan_out = (double)t->dims[t->out_axis] * taps;
    int64_t out = t->dims[t->out_axis];
    if (t->cls == FANIN_CLASS_ATTENTION_QKV && out % 3 == 0) t->parts = 3;
    bool recurrent =
        t->cls == FANIN_CLASS_RECURRENT_INPUT || t->cls == FANIN_CLASS_RECURRENT_HIDDEN;
    if (recurrent && t->cls == FANIN_CLASS_RECURRENT_HIDDEN && t->dims[t->in_axis] > 0 &&
        out % t->dims[t->in_axis] == 0)
        t->parts = (int)(out / t->dims[t->in_axis]); /* 4 gates, or 3, or 1 */
    t->fan_out /= t->parts;
}

/* Gates of a recurrent layer, as its weight_hh (gates * hidden x hidden) has them; 1 if there is none. */
static int gates_of(const fanin_graph *g, const fanin_tensor *bias) {
    const char *at = strstr(bias->name, "bias_");
    char other[512];
    if (!at || strlen(bias->name) + 3 > sizeof other) return 1;
    snprintf(other, sizeof other, "%.*sweight_hh%s", (int)(at - bias->name), bias->name,
             at + strlen("bias_hh"));
    int value = fanin_graph_find(g, other);
    if (value < 0 || g->values[value].rank != 2) return 1;
    int64_t a = g->values[value].dims[0], b = g->values[value].dims[1];
    int64_t hidden = a < b ? a : b, all = a < b ? b : a;
    return hidden > 0 && all % hidden == 0 && all / hidden <= 4 ? (int)(all / hidden) : 1;
}

/* A bias takes the fans of "<prefix>weight" (or kernel, or w) if that stands in the template. */
static void lend(const fanin_graph *g, fanin_tensor_info *items, int count, fanin_tensor *bias) {
    static const char *const pairs[][2] = {
        {"bias", "weight"},       {"bias", "kernel"},       {"b", "w"},
        {"bias_ih", "weight_ih"}, {"bias_hh", "weight_hh"}, {"in_proj_bias", "in_proj_weight"}};
    const char *name = bias->name;
    for (size_t k = 0; k < FANIN_COUNT(pairs); k++) {
        const char *at = strstr(name, pairs[k][0]);
        for (const char *next; at && (next = strstr(at + 1, pairs[k][0]));) at = next;
        char other[512];
        size_t head = at ? (size_t)(at - name) : 0, tail = at ? strlen(at) : 0;
        size_t cut = strlen(pairs[k][0]), grown = strlen(pairs[k][1]);
        if (!at || head + grown + tail + 1 > sizeof other) continue;
        memcpy(other, name, head);
        memcpy(other + head, pairs[k][1], grown);
        memcpy(other + head + grown, at + cut, tail - cut + 1);
        int value = fanin_graph_find(g, other);
        for (int i = 0; value >= 0 && i < count; i++) {
            if (items[i].value != value || !fanin_class_is_weight(items[i].tensor.cls)) continue;
            bias->fan_in = items[i].tensor.fan_in;
            bias->fan_out = items[i].tensor.fan_out;
            bias->torch_fan_in = items[i].tensor.torch_fan_in;
            bias->torch_fan_out = items[i].tensor.torch_fan_out;
            return;
        }
    }
}

static fanin_status read_layout(const fanin_graph *g, const char *layout, bool *jax,
                                fanin_err *err) {
    bool own = strcmp(g->producer, "fanin") == 0;
    if (!layout && !own)
        return fanin_err_set(err, FANIN_ARG,
                             "%.200s has no operators: --layout torch (out x in) or jax (in x out) "
                             "must say where inputs and outputs are",
                             g->name);
    if (!layout || fanin__strcasecmp(layout, "torch") == 0) return *jax = false, FANIN_OK;
    if (fanin__strcasecmp(layout, "jax") == 0) return *jax = true, FANIN_OK;
    return fanin_err_set(err, FANIN_ARG, "layout '%.40s' is not torch or jax", layout);
}

fanin_status fanin__classify_template(const fanin_graph *graph, const char *layout,
                                      fanin_tensor_info *items, int count, fanin_err *err) {
    bool jax = false, own = strcmp(graph->producer, "fanin") == 0;
    FANIN_TRY(read_layout(graph, layout, &jax, err));
    int k = 0;
    for (int v = 0; v < graph->value_count; v++) {
        const fanin_value *value = &graph->values[v];
        if (!(value->flags & FANIN_VALUE_INITIALIZER)) continue;
        fanin_tensor_info *info = &items[k++];
        fanin_class c = by_name(value->name, value->rank);
        if (!fanin_dtype_is_float(value->dtype)) c = FANIN_CLASS_CONSTANT;
        if (c == FANIN_CLASS_OTHER && own) c = by_shape(value->rank);
        char shape[96];
        if (c == FANIN_CLASS_OTHER)
            return fanin_err_set(
                err, FANIN_UNSUPPORTED,
                "%.160s: tensor '%.160s' (%s) has a name and shape that do not tell what it is; a "
                "model with operators (.onnx) would",
                graph->name, value->name,
                fanin__shape_text(value->dims, value->rank, shape, sizeof shape));
        *info = (fanin_tensor_info){.value = v, .node = -1, .op = "", .layer = "", .block = -1};
        info->dtype = value->dtype;
        info->has_data = value->data != NULL;
        info->tensor = (fanin_tensor){.name = value->name,
                                      .rank = value->rank,
                                      .cls = c,
                                      .out_axis = -1,
                                      .in_axis = -1,
                                      .groups = 1,
                                      .parts = 1,
                                      .fan_in = NAN,
                                      .fan_out = NAN,
                                      .torch_fan_in = NAN,
                                      .torch_fan_out = NAN,
                                      .depth_index = -1};
        for (int i = 0; i < value->rank; i++) info->tensor.dims[i] = value->dims[i];
        set_axes(&info->tensor, jax);
    }
    for (int i = 0; i < count; i++)
        if (items[i].tensor.cls == FANIN_CLASS_BIAS ||
            items[i].tensor.cls == FANIN_CLASS_RECURRENT_BIAS)
            lend(graph, items, count, &items[i].tensor);
    for (int i = 0; i < count; i++)
        if (items[i].tensor.cls == FANIN_CLASS_RECURRENT_BIAS)
            items[i].tensor.parts = gates_of(graph, &items[i].tensor);
    return FANIN_OK;
}
