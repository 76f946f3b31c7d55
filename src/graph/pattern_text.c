/* pattern_text.c - findings in words. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "graph/pattern.h"

/* As people write small numbers: 1e-5. Constants of files are float32: seven digits. */
static const char *number_text(double x, char buf[32]) {
    snprintf(buf, 32, "%.6g", x);
    char *e = strstr(buf, "e-0");
    if (e) memmove(e + 2, e + 3, strlen(e + 3) + 1);
    return buf;
}

typedef struct words {
    fanin__text *out;
    bool any;
} words;

static void detail(words *w, const char *text) {
    fanin__text_puts(w->out, w->any ? ", " : "");
    fanin__text_puts(w->out, text);
    w->any = true;
}

static void activation_words(const fanin_pattern *p, words *w) {
    static const struct {
        const char *name, *noun, *form;
    } known[] = {
        {"gelu", "GELU", "erf form"},
        {"gelu_tanh", "GELU", "tanh form"},
        {"silu", "SiLU", ""},
        {"silu:1.702", "GELU", "x sigmoid(1.702 x) form"},
        {"mish", "Mish", ""},
        {"hard_swish", "HardSwish", ""},
        {"hard_sigmoid", "HardSigmoid", ""},
        {"relu6", "ReLU6", ""},
        {"softsign", "Softsign", ""},
    };
    for (size_t i = 0; i < FANIN_COUNT(known); i++)
        if (!strcmp(p->activation, known[i].name)) {
            fanin__text_printf(w->out, "%s|%s|", known[i].noun, known[i].noun);
            if (known[i].form[0]) detail(w, known[i].form);
            detail(w, "spelled out");
            return;
        }
    fanin__text_printf(w->out, "%s|%s|", p->activation, p->activation);
    detail(w, "spelled out");
}

static void norm_words(const fanin_pattern *p, words *w) {
    static const char *const nouns[] = {
        [FANIN_PATTERN_LAYER_NORM] = "layer norm", [FANIN_PATTERN_RMS_NORM] = "RMS norm",
        [FANIN_PATTERN_BATCH_NORM] = "batch norm", [FANIN_PATTERN_INSTANCE_NORM] = "instance norm",
        [FANIN_PATTERN_GROUP_NORM] = "group norm", [FANIN_PATTERN_L2_NORM] = "L2 norm"};
    char text[64], number[32];
    fanin__text_printf(w->out, "%s|%ss|", nouns[p->kind], nouns[p->kind]);
    if (p->spelled) detail(w, "spelled out");
    if (p->kind == FANIN_PATTERN_BATCH_NORM)
        detail(w, p->training ? "training form" : "inference form");
    if (p->groups > 0) {
        snprintf(text, sizeof text, "%lld groups", (long long)p->groups);
        detail(w, text);
    }
    bool layer = p->kind == FANIN_PATTERN_LAYER_NORM || p->kind == FANIN_PATTERN_RMS_NORM;
    if (layer && p->axis_count == 1 && p->axes[0] == 1) detail(w, "over channels");
    if (p->eps >= 0) {
        snprintf(text, sizeof text, "eps %s", number_text(p->eps, number));
        detail(w, text);
    }
    if (layer && p->scale < 0) detail(w, "no scale");
}

static void part_words(const fanin_pattern *p, words *w) {
    const int *from = p->projections;
    const int64_t *n = p->parts;
    char text[96];
    bool all = from[0] >= 0 && from[0] == from[1] && from[1] == from[2];
    bool two = from[1] >= 0 && from[1] == from[2];
    if (!two) return;
    const char *what = all ? "packed q|k|v" : "packed k|v";
    bool even = n[1] == n[2] && (!all || n[0] == n[1]);
    if (p->per_head)
        snprintf(text, sizeof text, "%s of each head", what);
    else if (even || n[1] <= 0)
        snprintf(text, sizeof text, "%s", what);
    else if (all)
        snprintf(text, sizeof text, "%s %lld|%lld|%lld", what, (long long)n[0], (long long)n[1],
                 (long long)n[2]);
    else
        snprintf(text, sizeof text, "%s %lld|%lld", what, (long long)n[1], (long long)n[2]);
    detail(w, text);
}

static void attention_words(const fanin_pattern *p, words *w) {
    char text[64];
    fanin__text_puts(w->out, "attention|attentions|");
    if (p->heads > 0 && p->head_size > 0) {
        snprintf(text, sizeof text, "%lld head%s x %lld", (long long)p->heads,
                 p->heads == 1 ? "" : "s", (long long)p->head_size);
        detail(w, text);
    } else if (p->heads > 0 || p->head_size > 0) {
        snprintf(text, sizeof text, p->heads > 0 ? "%lld heads" : "heads of %lld",
                 (long long)(p->heads > 0 ? p->heads : p->head_size));
        detail(w, text);
    }
    if (p->mask & FANIN_MASK_CAUSAL) detail(w, "causal");
    if (p->mask & FANIN_MASK_FED) detail(w, "mask from the inputs");
    if (p->mask & FANIN_MASK_STORED) detail(w, "stored mask or bias");
    if (p->mask & FANIN_MASK_LEARNED) detail(w, "learned bias on the scores");
    if (p->logit_scale == 1) detail(w, "not scaled");
    part_words(p, w);
}

static const char *layer_name(const fanin_graph *g, int node) {
    const fanin_node *n = &g->nodes[node];
    if (n->name[0]) return n->name;
    return n->output_count > 0 && n->outputs[0] >= 0 ? g->values[n->outputs[0]].name : n->op;
}

/* A product whose result, but for a bias and moves, is an output of the graph. */
static bool is_last(const fanin_graph *g, int node) {
    for (int i = 0; i < g->output_count; i++) {
        int value = g->outputs[i];
        for (int step = 0; step < 8 && g->values[value].producer >= 0; step++) {
            const fanin_node *n = &g->nodes[g->values[value].producer];
            if (n == &g->nodes[node]) return true;
            if (n->input_count < 1 || !fanin__is(n, "Add|Identity|Cast|Reshape|Transpose")) break;
            int first = n->inputs[0];
            bool second = n->input_count > 1 && (first < 0 || g->values[first].producer < 0);
            value = n->inputs[second];
            if (value < 0) return false;
        }
    }
    return false;
}

static void tie_words(const fanin_graph *g, const fanin_pattern *p, fanin__text *out) {
    fanin__text_printf(out, "token embedding %s tied to the %s %s", g->values[p->tensor].name,
                       is_last(g, p->product) ? "output layer" : "product",
                       layer_name(g, p->product));
    if (p->copy >= 0)
        fanin__text_printf(out, " when it was exported (%s holds the same values)",
                           g->values[p->copy].name);
}

void fanin__pattern_words(const fanin_graph *g, const fanin_pattern *p, fanin__text *out) {
    words w = {.out = out};
    switch (p->kind) {
    case FANIN_PATTERN_ACTIVATION: activation_words(p, &w); return;
    case FANIN_PATTERN_SOFTMAX: fanin__text_puts(out, "softmax|softmaxes|spelled out"); return;
    case FANIN_PATTERN_ATTENTION: attention_words(p, &w); return;
    case FANIN_PATTERN_TIED: tie_words(g, p, out); return;
    case FANIN_PATTERN_FOLDED_NORM:
        fanin__text_puts(out, "convolution that may have taken in its batch norm|convolutions that "
                              "may have taken in their batch norms|exported for inference");
        return;
    case FANIN_PATTERN_QUANTISED:
        fanin__text_printf(out, "%s|%s|quantised", g->nodes[p->nodes[0]].op,
                           g->nodes[p->nodes[0]].op);
        return;
    case FANIN_PATTERN_FUSED:
        fanin__text_printf(out, "%s|%s|fused for inference", g->nodes[p->nodes[0]].op,
                           g->nodes[p->nodes[0]].op);
        return;
    default: norm_words(p, &w); return;
    }
}
