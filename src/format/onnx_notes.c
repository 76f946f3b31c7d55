/* onnx_notes.c - what an exporter did to the network. torch's default (eval) export folds batch norms into
 * the convolutions, gives tensors names like onnx::Conv_193, and merges tensors that are equal: such a
 * file can be initialised, but it is not the network that was trained. */
#include <string.h>

#include "format/onnx.h"

typedef struct survey {
    int convolutions, with_bias, batch_norms;
    int generated, shared;                    /* initialisers */
    const char *generated_name, *shared_name; /* examples */
} survey;

static bool is_generated(const char *name) { return !strncmp(name, "onnx::", 6); }

static void survey_nodes(fanin_graph_builder *b, survey *s, unsigned char *readers) {
    for (int i = 0; i < fanin__graph_node_count(b); i++) {
        const fanin_node *n = fanin__graph_node_at(b, i);
        if (!strcmp(n->op, "BatchNormalization")) s->batch_norms++;
        if (!strcmp(n->op, "Conv")) {
            s->convolutions++;
            s->with_bias += n->input_count >= 3 && n->inputs[2] >= 0;
        }
        for (int k = 0; k < n->input_count; k++)
            if (n->inputs[k] >= 0 && readers[n->inputs[k]] < 2) readers[n->inputs[k]]++;
    }
}

static void survey_values(fanin_graph_builder *b, survey *s, const unsigned char *readers) {
    for (int i = 0; i < fanin__graph_value_count(b); i++) {
        const fanin_value *v = fanin__graph_value(b, i);
        if (!(v->flags & FANIN_VALUE_INITIALIZER)) continue;
        if (is_generated(v->name) && s->generated++ == 0) s->generated_name = v->name;
        if (readers[i] >= 2 && s->shared++ == 0) s->shared_name = v->name;
    }
}

static void note_export(fanin_graph_builder *b, const survey *s) {
    if (s->generated == 0) return;
    if (s->convolutions > 0 && s->batch_norms == 0 && s->with_bias == s->convolutions)
        fanin__graph_note(
            b,
            "exported for inference: batch norms are folded into %d convolutions and %d "
            "tensors carry generated names (%s); export with "
            "training=TrainingMode.TRAINING, do_constant_folding=False to keep the "
            "network as it is trained",
            s->convolutions, s->generated, s->generated_name);
    else
        fanin__graph_note(
            b,
            "exported for inference: %d tensors carry generated names (%s) and may be "
            "transposed or folded; export with training=TrainingMode.TRAINING, "
            "do_constant_folding=False to keep the original ones",
            s->generated, s->generated_name);
    if (s->shared > 0)
        fanin__graph_note(
            b,
            "%d tensors feed two or more nodes (%s): this exporter merges tensors that "
            "were equal when it ran, so they need not be tied in the network",
            s->shared, s->shared_name);
}

void fanin__onnx_notes(onnx_reader *r) {
    fanin_graph_builder *b = r->b;
    if (fanin__graph_status(b) != FANIN_OK) return;
    unsigned char *readers = fanin_calloc((size_t)fanin__graph_value_count(b), 1);
    if (!readers) {
        fanin__graph_fail_memory(b);
        return;
    }
    survey s = {0};
    survey_nodes(b, &s, readers);
    survey_values(b, &s, readers);
    fanin_free(readers);
    note_export(b, &s);
    if (r->subgraphs)
        fanin__graph_note(b, "%d attributes hold subgraphs (If, Loop, Scan), which are not read",
                          r->subgraphs);
    if (r->functions)
        fanin__graph_note(b, "%d functions of the model are not expanded", r->functions);
    if (r->dropped)
        fanin__graph_note(b, "%d attributes of kinds that fanin does not use are left out ('%s')",
                          r->dropped, r->dropped_name);
}
