/* replicas.h - what a trainer of replicas is made of.
 *
 * A block of replicas takes all steps up to the next point of evaluation in its arena (engine/replicas.h)
 * before the next block begins: weights, gradients and the optimiser's state stay in the core's cache. What
 * a step is, is asked of ordinary trainers of one network, one a thread: which samples, which recipe, which
 * rule. Recipes that treat every element alike run on the arena; those that look at a whole tensor of one
 * network (norms of units, layer-wise rates, learning rules) are taken replica by replica on that trainer's
 * own program. */
#ifndef FANIN_SRC_TRAIN_REPLICAS_H
#define FANIN_SRC_TRAIN_REPLICAS_H

#include "engine/replicas.h"
#include "train/trainer.h"

struct fanin_replica_trainer {
    const fanin_dataset *data;
    fanin_replicas_options options;
    fanin_program *train, *eval; /* of R replicas */
    fanin_trainer **singles;     /* by arena of `train` */
    size_t lanes, state;         /* lanes of a block, state of one replica in floats */
    bool elementwise;            /* the recipe and the rule */
    float border;                /* between two classes of one output */
    float *states;               /* blocks x state x lanes, or replicas x state */
    double *loss, *settled;      /* by replica, padded to whole blocks */
    /* batches of a shared order, loaded ahead */
    char *batches;
    size_t input_bytes, target_bytes;
};

/* One block at one step. */
typedef struct fanin__block {
    const struct fanin_replica_trainer *trainer;
    fanin__lanes *arena;
    fanin_trainer *single;
    size_t first, present; /* replicas */
    float *state;
    double *loss, *settled;
} fanin__block;

/* Inputs and targets of `step` into the arena: `batch` of a shared order, or each lane's own (NULL). */
fanin_status fanin__block_load(const fanin__block *b, uint64_t step, const char *batch,
                               fanin_err *err);
/* Random directions, where the optimiser wants them. */
void fanin__block_prepare(const fanin__block *b, uint64_t step);
/* One update of every lane from the gradients in the arena. */
void fanin__block_update(const fanin__block *b, uint64_t step);
/* Can the recipe and the rule run on lanes? */
bool fanin__recipe_elementwise(const fanin__recipe *recipe, const fanin_optimizer *optimizer);

/* The answers to a batch: classes, or as real numbers a row for each, its maximum at the class (one output: 0
 * or 1). */
typedef struct fanin__lanes_target {
    const void *data;
    fanin_dtype dtype; /* I64, F32 */
    bool own;          /* each lane's; else all lanes share them */
    float border;      /* of the two classes of one output */
} fanin__lanes_target;

/* Sets wrong[l] where a row of outputs of lane l does not have its maximum, the first of equals, at its
 * target; one output: where its side of the border does not tell the target. Not a number is wrong. */
void fanin__lanes_wrong(size_t lanes, size_t rows, size_t classes, const float *y,
                        const fanin__lanes_target *target, unsigned char *wrong);

#endif
