/* access.c - the buffers of a program. */
#include <string.h>

#include "engine/replicas.h"

static fanin_buffer slot_buffer(const fanin_program *p, int slot) {
    fanin_buffer b = {0};
    if (slot < 0) return b;
    const fanin__slot *s = &p->plan.slots[slot];
    const fanin__node *n = &p->ir.nodes[s->node];
    b.data = s->tensor.data;
    b.count = n->count;
    b.dtype = n->dtype;
    b.rank = n->rank;
    memcpy(b.dims, n->dims, (size_t)n->rank * sizeof b.dims[0]);
    return b;
}

static fanin_buffer root_buffer(const fanin_program *p, int root) {
    if (p->replicas) return fanin__replicas_result(p, root);
    return slot_buffer(p, root < 0 ? -1 : p->roots[root].slot);
}

static fanin_buffer node_buffer(const fanin_program *p, int node) {
    if (p->replicas) return fanin__replicas_leaf(p, node);
    return slot_buffer(p, node < 0 ? -1 : p->plan.slot_of[node]);
}

static const fanin__leaf_info *weight_at(const fanin_program *p, int i) {
    static const fanin__leaf_info none = {
        .value = -1, .node = -1, .gradient = -1, .statistic = -1, .direction = -1, .curvature = -1};
    return i >= 0 && i < p->weight_count ? &p->weights[i] : &none;
}

static const fanin__leaf_info *input_at(const fanin_program *p, int i) {
    static const fanin__leaf_info none = {
        .value = -1, .node = -1, .gradient = -1, .statistic = -1, .direction = -1, .curvature = -1};
    return i >= 0 && i < p->input_count ? &p->inputs[i] : &none;
}

const fanin_graph *fanin_program_graph(const fanin_program *p) { return p->graph; }

int fanin_program_weight_count(const fanin_program *p) { return p->weight_count; }
const char *fanin_program_weight_name(const fanin_program *p, int i) {
    int value = weight_at(p, i)->value;
    return value < 0 ? NULL : p->graph->values[value].name;
}
int fanin_program_weight_value(const fanin_program *p, int i) { return weight_at(p, i)->value; }
fanin_buffer fanin_program_weight(const fanin_program *p, int i) {
    return node_buffer(p, weight_at(p, i)->node);
}
fanin_buffer fanin_program_gradient(const fanin_program *p, int i) {
    return root_buffer(p, weight_at(p, i)->gradient);
}
bool fanin_program_descends(const fanin_program *p, int i) {
    int root = weight_at(p, i)->gradient;
    return root >= 0 && p->roots[root].descend && p->roots[root].slot < 0;
}
void fanin_program_set_rate(fanin_program *p, double rate) { p->plan.rate = rate; }
fanin_buffer fanin_program_direction(const fanin_program *p, int i) {
    return node_buffer(p, weight_at(p, i)->direction);
}
fanin_buffer fanin_program_curvature(const fanin_program *p, int i) {
    return root_buffer(p, weight_at(p, i)->curvature);
}
fanin_buffer fanin_program_cotangent(const fanin_program *p) {
    return node_buffer(p, p->cotangent);
}
fanin_buffer fanin_program_input_direction(const fanin_program *p, int i) {
    return node_buffer(p, input_at(p, i)->direction);
}
fanin_buffer fanin_program_inner_gradient(const fanin_program *p) {
    return root_buffer(p, p->inner.gradient);
}
fanin_buffer fanin_program_inner_direction(const fanin_program *p) {
    return node_buffer(p, p->inner.direction);
}
fanin_buffer fanin_program_tangent(const fanin_program *p) {
    return root_buffer(p, p->tangent_root);
}
bool fanin_program_weight_present(const fanin_program *p, int i) {
    return weight_at(p, i)->present;
}
fanin_buffer fanin_program_statistic(const fanin_program *p, int i) {
    return root_buffer(p, weight_at(p, i)->statistic);
}

int fanin_program_input_count(const fanin_program *p) { return p->input_count; }
fanin_buffer fanin_program_input(const fanin_program *p, int i) {
    return node_buffer(p, input_at(p, i)->node);
}
fanin_buffer fanin_program_input_gradient(const fanin_program *p, int i) {
    return root_buffer(p, input_at(p, i)->gradient);
}
fanin_buffer fanin_program_target(const fanin_program *p) { return node_buffer(p, p->target); }
int fanin_program_classes(const fanin_program *p) { return p->target_classes; }
fanin_buffer fanin_program_output(const fanin_program *p, int i) {
    return root_buffer(p, i >= 0 && i < p->graph->output_count ? p->outputs[i] : -1);
}

static bool is_value(const fanin_program *p, int value) {
    return value >= 0 && value < p->graph->value_count;
}
fanin_buffer fanin_program_value(const fanin_program *p, int value) {
    return root_buffer(p, is_value(p, value) ? p->values[value] : -1);
}
fanin_buffer fanin_program_value_gradient(const fanin_program *p, int value) {
    return root_buffer(p, is_value(p, value) ? p->gradients[value] : -1);
}
bool fanin_program_value_channels_last(const fanin_program *p, int value) {
    int root = is_value(p, value) ? p->values[value] : -1;
    int slot = root < 0 ? -1 : p->roots[root].slot;
    return slot >= 0 && fanin__tensor_only_last(&p->plan.slots[slot].tensor);
}

fanin_buffer fanin_program_losses(const fanin_program *p) {
    fanin_buffer b = root_buffer(p, p->loss_root);
    if (!p->replicas && b.data) b.dims[b.rank++] = 1;
    return b;
}

double fanin_program_loss(const fanin_program *p) {
    fanin_buffer b = root_buffer(p, p->loss_root);
    if (!b.data) return 0;
    double sum = 0;
    for (size_t i = 0; i < b.count; i++)
        sum +=
            b.dtype == FANIN_F32 ? (double)((const float *)b.data)[i] : ((const double *)b.data)[i];
    return sum / (double)b.count;
}

size_t fanin_program_memory(const fanin_program *p) {
    if (p->replicas) return p->replicas->arena_count * p->replicas->arenas[0].plan.arena_size;
    return p->plan.arena_size;
}

void fanin_program_set_run(fanin_program *p, uint64_t run) { p->runs = run; }
