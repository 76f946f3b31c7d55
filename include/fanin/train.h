/* fanin/train.h - optimisers and the training loop.
 *
 *     fanin_train_options o = {.optimizer = "sgd:lr=0.1", .steps = 1000, .batch = 10};
 *     fanin_trainer *t;
 *     fanin_trainer_create(graph, data, &o, &t, &err);
 *     fanin_plan_apply(plan, fanin_trainer_program(t), &err);
 *     fanin_train_result r;
 *     fanin_trainer_run(t, &r, &err);
 *     fanin_train_result_fini(&r);
 *     fanin_trainer_destroy(t);
 */
#ifndef FANIN_TRAIN_H
#define FANIN_TRAIN_H

#include <fanin/data.h>
#include <fanin/engine.h>
#include <fanin/probe.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- optimisers ---------------------------------------------------------------------------------- */

/* Updates the weights of a program from its gradients, in float32. Text: "sgd:lr=0.1",
 * "momentum:lr=0.02,mu=0.9", "nesterov", "adam", "adamw", "rmsprop", "adagrad": names, defaults and
 * arithmetic of torch.optim (1.13); "lion", "lars", "lamb", "levenberg" (stochastic diagonal
 * Levenberg-Marquardt), and the rules of one linear layer "perceptron", "lms", "alpha_lms".
 * `fanin list optimizers` shows options, formulas and sources. */
typedef struct fanin_optimizer fanin_optimizer;

/* Errors: NOTFOUND an unknown optimiser, ARG an unknown option or a value out of range, or a program
 * without curvature for "levenberg"; UNSUPPORTED a rule of one layer on another network; NOMEM. The
 * program must have gradients and outlive the optimiser. */
FANIN_API fanin_status fanin_optimizer_create(const char *text, fanin_program *program,
                                              fanin_optimizer **optimizer, fanin_err *err);
FANIN_API void fanin_optimizer_destroy(fanin_optimizer *optimizer);
/* One update of every weight that has a gradient; running statistics take their new values. */
FANIN_API void fanin_optimizer_step(fanin_optimizer *optimizer);
FANIN_API double fanin_optimizer_lr(const fanin_optimizer *optimizer);
FANIN_API void fanin_optimizer_set_lr(fanin_optimizer *optimizer, double lr);

typedef struct fanin_optimizer_info {
    const char *name, *options, *formula, *source;
} fanin_optimizer_info;
FANIN_API int fanin_optimizer_count(void);
FANIN_API fanin_optimizer_info fanin_optimizer_at(int i);

/* ---- the loop ------------------------------------------------------------------------------------ */

/* What was seen at one evaluation. Loss is natural log; error is a share (NaN without classes). */
typedef struct fanin_train_point {
    uint64_t step;
    double train_loss; /* mean over the steps since the last point */
    double test_loss, test_error;
    double seconds; /* since the start */
} fanin_train_point;

typedef struct fanin_train_options {
    const char *optimizer;
    const char *loss;      /* NULL: cross_entropy with classes, else mse */
    uint64_t steps;        /* updates; 0: from epochs */
    double epochs;         /* passes over the training split (a generator has none) */
    int64_t batch;         /* 0: 10 */
    uint64_t seed;         /* order of the data: addressed, so paired runs see the same batches */
    uint64_t eval_every;   /* steps between points; 0: 50 points over the run */
    uint64_t eval_samples; /* of the test split; 0: all, or 1000 of a generator */
    void (*on_point)(void *ctx, const fanin_train_point *point);
    void *on_point_ctx;
    fanin_progress progress;
} fanin_train_options;

typedef struct fanin_train_result {
    fanin_train_point *points;
    size_t count;
    uint64_t steps;           /* done */
    bool diverged;            /* the loss stopped being a number */
    uint64_t diverged_at;     /* step */
    char diverged_layer[128]; /* first weight in network order that holds a non-number */
    double seconds;
} fanin_train_result;

typedef struct fanin_trainer fanin_trainer;

/* Plans the graph for training. Inputs of the graph and samples of the data must have the same number
 * of elements (SHAPE otherwise); classes must fit the output. Graph and data must outlive the trainer. */
FANIN_API fanin_status fanin_trainer_create(const fanin_graph *graph, const fanin_dataset *data,
                                            const fanin_train_options *options,
                                            fanin_trainer **trainer, fanin_err *err);
FANIN_API void fanin_trainer_destroy(fanin_trainer *trainer);
/* The program that trains: fill its weights before _run, read them after. */
FANIN_API fanin_program *fanin_trainer_program(fanin_trainer *trainer);
/* Steps, divergence and points go to *result (released by _fini also after a failure). INTERRUPTED keeps
 * what was seen so far. Same bits for the same weights, seed and thread count. */
FANIN_API fanin_status fanin_trainer_run(fanin_trainer *trainer, fanin_train_result *result,
                                         fanin_err *err);
FANIN_API void fanin_train_result_fini(fanin_train_result *result);

/* ---- fair comparison ------------------------------------------------------------------------------- */

/* One network, several schemes and seeds: the same batches in the same order for runs of one seed. */
typedef struct fanin_compare_options {
    const char *const *schemes;
    int scheme_count;
    fanin_init_options init;    /* rules, stream, layout and first seed; its scheme is not used */
    int seeds;                  /* 0: 1; run k uses seed init.seed + k for weights and data order */
    fanin_train_options train;  /* steps, batch, optimizer ... */
    fanin_signal_options check; /* of the signal at initialisation */
    fanin_progress progress;
} fanin_compare_options;

typedef struct fanin_compare_run {
    const char *scheme;
    uint64_t seed;
    fanin_signal *signal; /* before training */
    fanin_train_result result;
} fanin_compare_run;

/* One line of the ranking: medians over seeds. */
typedef struct fanin_compare_rank {
    const char *scheme;
    int runs, trained;      /* runs in all; those whose final loss is below 0.97 of the first */
    double loss, error;     /* final, of the test split */
    double low, high;       /* least and greatest final error (loss without classes) over seeds */
    double steps_to_target; /* first point at or below the target loss; NaN if never */
    fanin_verdict verdict;  /* of the first seed */
    double forward_slope, backward_slope, seconds;
} fanin_compare_rank;

typedef struct fanin_comparison {
    const char *model, *data;
    int run_count, rank_count;
    fanin_compare_run *runs;   /* by scheme, then seed */
    fanin_compare_rank *ranks; /* best first: by error, then loss */
    double target_loss;        /* what all are timed against: 5 % above the best run's final loss */
    uint64_t steps;
    bool interrupted; /* some runs are incomplete */
} fanin_comparison;

/* Checks, then trains, every scheme and seed, side by side on all threads, one thread a run. Interrupted,
 * it returns what there is with INTERRUPTED and *comparison set. */
FANIN_API fanin_status fanin_compare(const fanin_graph *graph, const fanin_dataset *data,
                                     const fanin_compare_options *options,
                                     fanin_comparison **comparison, fanin_err *err);
FANIN_API void fanin_comparison_destroy(fanin_comparison *comparison);

#ifdef __cplusplus
}
#endif
#endif
