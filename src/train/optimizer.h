/* optimizer.h - an optimiser inside: its row, its weights, and the state that a checkpoint keeps.
 *
 * What a step computes is a function of weights, gradients, state arrays and the number of steps done;
 * random directions are addressed by (seed, step). Who saves the arrays below with the number of steps
 * and puts them back continues bit for bit. */
#ifndef FANIN_SRC_TRAIN_OPTIMIZER_H
#define FANIN_SRC_TRAIN_OPTIMIZER_H

#include "compute/compute.h"
#include "fanin/random.h"
#include "fanin/scheme.h"
#include "fanin/train.h"

enum { FANIN__SLOTS_MAX = 3 };

/* Numbers that texts set by name; a row lists those that it takes. */
typedef struct fanin__settings {
    double lr, mu, dampening, weight_decay, beta1, beta2, alpha, eps, lr_decay;
    double trust, damping, leak;
} fanin__settings;

/* One weight that is trained. */
typedef struct fanin__param {
    int weight; /* in the program */
    const char *name;
    size_t count;
    fanin_class cls;
    int rank, out_axis;             /* of its units; -1: a vector */
    bool output;                    /* of the layer that makes the network's output */
    double lr, decay;               /* multipliers of its group */
    float *slots[FANIN__SLOTS_MAX]; /* NULL: the row has none */
} fanin__param;

/* One step of weight p from its gradient g. */
typedef void fanin__param_update(const fanin_optimizer *o, const fanin__param *p, float *w,
                                 const float *g);

typedef struct fanin__optimizer_row {
    fanin_optimizer_info shown;
    fanin__settings defaults;
    const char *slots[FANIN__SLOTS_MAX]; /* names of its state arrays */
    fanin__param_update *update;
    fanin__update_kind kind; /* of torch's */
    bool nesterov;
    bool curvature; /* needs programs with options.curvature */
    bool diagonal;  /* or options.diagonal */
    /* Rules of one layer: checked once, and a step of everything instead of `update`. */
    fanin_status (*check)(const fanin_optimizer *o, fanin_err *err);
    void (*all)(const fanin_optimizer *o);
} fanin__optimizer_row;

struct fanin_optimizer {
    const fanin__optimizer_row *row;
    fanin_program *program;
    fanin__settings set;
    int count;
    fanin__param *params; /* in the order of the program's weights */
    float *state;         /* one block */
    uint64_t steps;       /* done */
    fanin_stream probe;   /* of random directions */
};

/* ---- checkpoints ------------------------------------------------------------------------------- */

/* One array of state: slot "velocity" of weight "fc1.weight". Zero before the first step. */
typedef struct fanin__optimizer_state {
    const char *weight, *slot;
    float *data; /* read and written in place */
    size_t count;
} fanin__optimizer_state;

int fanin__optimizer_state_count(const fanin_optimizer *o);
fanin__optimizer_state fanin__optimizer_state_at(const fanin_optimizer *o, int i);
uint64_t fanin__optimizer_steps(const fanin_optimizer *o);
void fanin__optimizer_set_steps(fanin_optimizer *o, uint64_t steps);

/* ---- for the loop -------------------------------------------------------------------------------- */

/* Sets options.curvature and .diagonal as programs of this optimiser need them, and tells whether it needs gradients
 * in memory: without them the program may descend (options.descend). Errors as fanin_optimizer_create. */
fanin_status fanin__optimizer_needs(const char *text, fanin_program_options *o, bool *gradients,
                                    fanin_err *err);
/* Before the program's run: random directions of this step, where the row wants them. */
void fanin__optimizer_prepare(fanin_optimizer *o);
/* Seed of those directions (0 at first). */
void fanin__optimizer_seed(fanin_optimizer *o, uint64_t seed);

/* ---- table ------------------------------------------------------------------------------------- */

fanin_status fanin__optimizer_parse(const char *text, const fanin__optimizer_row **row,
                                    fanin__settings *settings, fanin_err *err);

fanin__param_update fanin__update_torch, fanin__update_lion, fanin__update_lars, fanin__update_lamb,
    fanin__update_levenberg;
/* rules.c */
fanin_status fanin__one_layer(const fanin_optimizer *o, fanin_err *err);
void fanin__step_perceptron(const fanin_optimizer *o), fanin__step_lms(const fanin_optimizer *o),
    fanin__step_alpha_lms(const fanin_optimizer *o);

#endif
