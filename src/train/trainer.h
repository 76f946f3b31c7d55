/* trainer.h - what a trainer is made of, for the files of the loop:
 *   trainer.c     plans, and the loop itself: evaluate, checkpoint, monitor, fetch a batch, step
 *   batch.c       which samples a step sees
 *   evaluate.c    the test split and the samples held out
 *   monitor.c     every layer, now and then
 *   divergence.c  which layer went first
 *   checkpoint.c  all of it to a file and back */
#ifndef FANIN_SRC_TRAIN_TRAINER_H
#define FANIN_SRC_TRAIN_TRAINER_H

#include "base/base.h"
#include "data/feed.h"
#include "fanin/random.h"
#include "fanin/train.h"
#include "train/augment.h"
#include "train/prefetch.h"
#include "train/recipe.h"

/* What a run is at a step besides weights, the optimiser's arrays and the lists of points and monitors.
 * Everything here goes into checkpoints. */
typedef struct fanin__train_state {
    uint64_t step;      /* the next one; so many updates are done */
    double loss;        /* sum over the steps since the last point */
    uint64_t since;     /* those steps */
    double best;        /* lowest loss of a point */
    uint64_t best_step; /* its step */
    uint64_t stale;     /* points since then */
    double seconds;     /* of earlier sessions */
} fanin__train_state;

typedef struct fanin__monitor fanin__monitor;

struct fanin_trainer {
    const fanin_graph *graph;
    const fanin_dataset *data;
    const fanin_dataset_info *info;
    fanin_train_options options;
    uint64_t steps, eval_every, eval_samples;
    uint64_t train_count; /* of the training split without what is held out; 0: endless */
    fanin_program *train, *eval;
    fanin_optimizer *optimizer;
    fanin__recipe recipe; /* around a step */
    fanin__augment augment;
    fanin__prefetch *prefetch; /* while _run lasts; NULL: batches are made between steps */
    fanin__monitor *monitor;   /* NULL: none asked for */
    uint64_t *index;           /* of a batch */
    fanin_stream order, held_out;
    fanin__train_state state;
    char *best; /* with patience: the weights of state.best_step, one behind the other */
    fanin_train_point *points;
    size_t point_count, point_capacity;
};

/* ---- trainer.c ---- */
/* Steps, evaluations and samples from options and data set; ARG what does not go together. */
fanin_status fanin__train_count(fanin_trainer *t, fanin_err *err);
/* The loss of training, or of evaluation: the default where none was chosen, for blended targets where samples are. */
const char *fanin__train_loss(const fanin_trainer *t, bool eval, char soft[128]);
fanin_status fanin__train_plan(const fanin_trainer *t, fanin_program_options o,
                               fanin_program **program, fanin_err *err);
/* All weights of one program into another of the same graph. */
void fanin__weights_copy(const fanin_program *from, fanin_program *to);
/* Room for `count` + 1 elements; NOMEM. */
fanin_status fanin__train_grow(void **array, size_t count, size_t *capacity, size_t size,
                               fanin_err *err);

/* ---- batch.c ---- */
/* Inputs and targets of a step into the program that trains. */
fanin_status fanin__batch_load(fanin_trainer *t, uint64_t step, fanin_err *err);
/* Batches are made beside the steps from here on, where that pays. */
fanin_status fanin__batch_prefetch(fanin_trainer *t, fanin_err *err);
/* Address of sample i of those held out, in the training split. */
uint64_t fanin__held_out(const fanin_trainer *t, uint64_t i);

/* ---- evaluate.c ---- */
/* One output above it means class 1: 0 for losses of logits, 1/2 for those of real targets. */
float fanin__class_border(const fanin_trainer *t);
fanin_status fanin__evaluate(fanin_trainer *t, fanin_train_point *point, fanin_err *err);

/* ---- monitor.c ---- */
fanin_status fanin__monitor_create(fanin_trainer *t, fanin_err *err);
void fanin__monitor_destroy(fanin__monitor *m);
/* Looks at the layers before step state.step; _end, after that step, adds the update ratios (update: false
 * where no step follows), keeps the record and tells who asked. */
fanin_status fanin__monitor_begin(fanin_trainer *t, fanin_err *err);
fanin_status fanin__monitor_end(fanin_trainer *t, bool update, fanin_err *err);
/* Whether its last record is of this step: a finished run that is resumed looks no second time. */
bool fanin__monitor_has(const fanin__monitor *m, uint64_t step);
/* After _begin at the end of a run: distributions too. */
fanin_status fanin__monitor_last(fanin_trainer *t, fanin_err *err);
/* The records so far; steps and layers are the monitor's own. */
size_t fanin__monitor_count(const fanin__monitor *m, int *layers, const uint64_t **steps,
                            const fanin_train_layer **records);
/* Replaces them, as a checkpoint has them. */
fanin_status fanin__monitor_restore(fanin__monitor *m, size_t count, const uint64_t *steps,
                                    const fanin_train_layer *records, fanin_err *err);
/* Copies names and records into the result. */
fanin_status fanin__monitor_result(const fanin__monitor *m, fanin_train_result *r, fanin_err *err);

/* ---- divergence.c ---- */
/* The loss of the batch in t->train is no number: name the layer. */
fanin_status fanin__divergence_find(fanin_trainer *t, char *layer, size_t size, fanin_err *err);

/* ---- checkpoint.c ---- */
fanin_status fanin__checkpoint_save(fanin_trainer *t, const char *name, fanin_err *err);

#endif
