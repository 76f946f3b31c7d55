/* vmap.h - one network's primitives become those of many networks side by side.
 *
 * A node that depends on a replicated leaf gets one more axis, innermost, of `lanes` replicas: the
 * elementwise rows then run along it as vectors however small the network is. Axes keep their numbers,
 * so attributes keep their meaning. A shared operand takes part as a view with stride 0. */
#ifndef FANIN_SRC_ENGINE_VMAP_H
#define FANIN_SRC_ENGINE_VMAP_H

#include "operator/ir.h"

/* Nodes of `from` that `wanted` marks (by node, operands included) appended to the empty `to`.
 * node_of[i]: where node i went, -1 if it was not wanted; many[i]: whether it has the axis of lanes; on
 * entry it marks the replicated leaves (random ones always are). `from` must outlive `to`.
 * Failures are those of emitting: UNSUPPORTED for a row without a rule here (windows, convolutions,
 * per-replica indices, fused rows). */
fanin_status fanin__vmap(const fanin__ir *from, fanin__ir *to, int64_t lanes, const char *wanted,
                         char *many, int *node_of);
/* A shared node of `to` as one that repeats over the lanes: a new last axis. -1 when the ir has failed. */
int fanin__vmap_widen(fanin__ir *to, int id, int64_t lanes);

#endif
