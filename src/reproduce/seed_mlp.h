/* seed_mlp.h - measures of the overview of weight initialisation for MLPs, in two files: what the laws of
 * weights do (seed_mlp.c), what optimisers and regularisers make of them (seed_training.c). */
#ifndef FANIN_SRC_REPRODUCE_SEED_MLP_H
#define FANIN_SRC_REPRODUCE_SEED_MLP_H

#include "reproduce/reproduce.h"

#define FANIN__SEED_MEASURE(name) \
    fanin_status fanin__seed_##name(fanin__lab *lab, fanin_claim *c, fanin_err *err);
FANIN__SEED_MEASURE(adam_insensitive)
FANIN__SEED_MEASURE(adam_still)
FANIN__SEED_MEASURE(bn_insensitive)
FANIN__SEED_MEASURE(bn_still)
FANIN__SEED_MEASURE(he_clipping)
FANIN__SEED_MEASURE(dropout_he)
FANIN__SEED_MEASURE(dropout_insensitive)
FANIN__SEED_MEASURE(penalties)
FANIN__SEED_MEASURE(perceptron)
#undef FANIN__SEED_MEASURE

/* Is the share of seeds that succeed higher in a than in b, beyond both intervals? */
bool fanin__more(const fanin_seed_cell *a, const fanin_seed_cell *b);

#define FANIN__SMALL   "normal:std=0.01"
#define FANIN__RELU    "mlp:2-2-1,act=relu"
#define FANIN__SIGMOID "mlp:2-2-1,act=sigmoid"
#define FANIN__DEEP    "mlp:2-16x10-1,act=relu"

#endif
