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
 * Levenberg-Marquardt), "hutchinson" (the same by the Hessian), and the rules of one linear layer "perceptron", "lms",
 * "alpha_lms". `fanin list optimizers` shows options, formulas and sources. */
typedef struct fanin_optimizer fanin_optimizer;

/* Errors: NOTFOUND an unknown optimiser, ARG an unknown option or a value out of range, a program in
 * F64, or one without what "levenberg" and "hutchinson" need; UNSUPPORTED a rule of one layer on another network;
 * NOMEM. The program must have gradients and outlive the optimiser. */
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
/* Rows 0 ... count - 1, texts static; beyond them all is 0. */
FANIN_API int fanin_optimizer_count(void);
FANIN_API fanin_optimizer_info fanin_optimizer_at(int i);

/* ---- schedules ----------------------------------------------------------------------------------- */

/* The learning rate over time as a factor of the optimiser's: "cosine:warmup=100,final=0". `warmup` (rising
 * linearly, (t + 1) / warmup) and `every` are steps, or a share of the run below 1; t and T count from
 * the end of the warm-up. Errors: NOTFOUND, ARG. */
FANIN_API fanin_status fanin_schedule_factor(const char *text, uint64_t step, uint64_t steps,
                                             double *factor, fanin_err *err);

typedef struct fanin_schedule_info {
    const char *name, *options, *formula, *source;
} fanin_schedule_info;
/* As fanin_optimizer_at. */
FANIN_API int fanin_schedule_count(void);
FANIN_API fanin_schedule_info fanin_schedule_at(int i);

/* ---- the loop ------------------------------------------------------------------------------------ */

/* What was seen at one evaluation. Loss is natural log; error is a share (NaN without classes). */
typedef struct fanin_train_point {
    uint64_t step;
    double train_loss; /* mean over the steps since the last point */
    double test_loss, test_error;
    double valid_loss, valid_error; /* of the samples held out; NaN without */
    double seconds;                 /* of training, that before an interruption included */
} fanin_train_point;

/* Where a step stands, for a line of progress. */
typedef struct fanin_train_now {
    uint64_t step, steps; /* done, in all */
    double loss;          /* of this step's batch */
    double seconds;       /* since _run began */
    double rate;          /* samples a second since then */
    double left;          /* seconds, at that rate */
} fanin_train_now;

/* One weighted layer while it learns, over a fixed batch of test samples in training mode; NaN where there
 * is none. s is the layer's output before the activation, h the activation's output. */
typedef struct fanin_train_layer {
    double h_mean, h_std,
        h_p98;              /* p98: below which 98 % of |h| lie (Glorot & Bengio 2010, fig. 3) */
    double zeros;           /* share of h that is exactly 0 */
    double saturated, dead; /* as fanin_layer_signal has them */
    double s_rms, gradient; /* root mean squares of s and of d own loss / d s */
    double weight, weight_gradient; /* root mean squares of W and of d loss / d W */
    double update_ratio; /* |dW| / |W| of the step that follows, by norm; NaN after the last */
} fanin_train_layer;

/* All layers at one step. */
typedef struct fanin_train_monitor {
    uint64_t step;
    int layer_count;
    const char *const *names;        /* of the weights, in network order */
    const fanin_train_layer *layers; /* layer_count of them */
} fanin_train_monitor;

typedef struct fanin_train_options {
    const char *optimizer;
    const char *loss;      /* NULL: cross_entropy with classes, else mse */
    fanin_dtype dtype;     /* 0: F32; or BF16, see fanin_program_options */
    uint64_t steps;        /* updates; 0: from epochs */
    double epochs;         /* passes over the training split (a generator has none) */
    int64_t batch;         /* 0: 10 */
    uint64_t seed;         /* order of the data: addressed, so paired runs see the same batches */
    uint64_t eval_every;   /* steps between points; 0: 50 points over the run */
    uint64_t eval_samples; /* of the test split; 0: all, or 1000 of a generator */
    /* Samples of the training split that are held out and evaluated at every point; the same ones whatever
     * the seed. 0: none. Of a generator: samples that training does not reach. */
    uint64_t validation;
    uint64_t
        patience; /* stop after so many points without a lower loss (of the samples held out, or else
                          of the test split); 0: never */
    uint64_t monitor_every;   /* steps between looks at every layer; 0: none */
    uint64_t monitor_samples; /* 0: the batch, 16 at least */
    /* Folder of last.safetensors and best.safetensors (by the loss that patience looks at); NULL: none.
     * Each is written aside, flushed and renamed. */
    const char *checkpoint;
    uint64_t checkpoint_every; /* steps; 0: at every point */
    const char *const
        *record; /* key, value, ..., NULL: kept in checkpoints ("scheme", "he"), and to be the
                                   same on resume; NULL: none */

    /* What stands around a step, in this order: gradients clipped by value, by norm, by unit; noise;
     * penalties; decoupled decay; the optimiser; norms limited. 0 or NULL: without it. */
    const char *schedule; /* of the learning rate; NULL: constant */
    /* "PATTERN=lr:0.1,decay:0": multipliers of the learning rate and of all decay (the optimiser's own
     * included) for weights by glob, "re:" regex or classes ("bias norm_scale"). The last that matches
     * a weight decides. */
    const char *const *groups;
    int group_count;
    double clip_value; /* each element of a gradient into +- this */
    double clip_norm;  /* norm of all gradients together (torch's clip_grad_norm_) */
    /* lambda: |g_u| <= lambda max(|w_u|, 0.001) for every unit, the output layer excepted (Brock et al.
     * 2021, equation 3) */
    double clip_agc;
    double gradient_noise; /* eta: variance eta / (1 + t)^0.55 (Neelakantan et al. 2015) */
    double l1, l2;         /* penalty l1 |w| + l2/2 w^2 on weights, not on biases and norms */
    double decay;          /* decoupled: w *= 1 - lr decay, on weights as above */
    /* lambda: + lambda sum |h| a sample, over the outputs of all activations (Glorot, Bordes & Bengio
     * 2011); part of the training loss */
    double activity_l1;
    double max_norm; /* of the weights into a unit (Srivastava et al. 2014) */
    /* Training samples changed by address (seed, epoch, sample): "pad=4,flip=1,mixup=0.2". Images move by up to
     * `pad` pixels, 0 coming in, and are mirrored half of the time; mixup (Zhang et al. 2018) blends each
     * with the next of the batch, which turns cross_entropy into soft_cross_entropy. NULL: as they are */
    const char *augment;

    void (*on_point)(void *ctx, const fanin_train_point *point);
    void *on_point_ctx;
    void (*on_step)(void *ctx, const fanin_train_now *now);
    void *on_step_ctx;
    void (*on_monitor)(void *ctx, const fanin_train_monitor *monitor);
    void *on_monitor_ctx;
    fanin_progress progress;
} fanin_train_options;

typedef struct fanin_train_result {
    fanin_train_point *points;
    size_t count;
    uint64_t steps;           /* done */
    bool diverged;            /* the loss stopped being a number */
    uint64_t diverged_at;     /* step */
    char diverged_layer[128]; /* whose numbers stopped being numbers first, see _run */
    bool stopped;             /* by patience */
    uint64_t best_step;       /* of the lowest loss, the one that patience looks at */
    double best_loss;
    double seconds;         /* of training, earlier sessions included */
    double session_seconds; /* since _run began; of these */
    double data_seconds;    /* waiting for batches */
    double monitor_seconds; /* looking at layers, what on_monitor does included */
    /* Monitors: monitor_count steps of layer_count layers each. Names belong to the graph. */
    size_t monitor_count;
    int layer_count;
    const char **layer_names;
    uint64_t *monitor_steps;
    fanin_train_layer *monitors;
    fanin_layer_signal *last_look; /* layer_count: distributions at the last monitor; NULL: none */
} fanin_train_result;

typedef struct fanin_trainer fanin_trainer;

/* Plans the graph for training. Inputs of the graph and samples of the data must have the same number
 * of elements (SHAPE otherwise); classes must fit the output. Graph, data and the texts of the options must
 * outlive the trainer. */
FANIN_API fanin_status fanin_trainer_create(const fanin_graph *graph, const fanin_dataset *data,
                                            const fanin_train_options *options,
                                            fanin_trainer **trainer, fanin_err *err);
FANIN_API void fanin_trainer_destroy(fanin_trainer *trainer);
/* The program that trains: fill its weights before _run, read them after. With the optimiser "sgd" and nothing
 * around its step but a schedule it descends (engine.h, options.descend): large gradients are never stored. */
FANIN_API fanin_program *fanin_trainer_program(fanin_trainer *trainer);
/* Trains from where the trainer stands (step 0, or that of a checkpoint) to the end. Steps, divergence and
 * points, earlier ones included, go to *result (released by _fini also after a failure). INTERRUPTED keeps
 * what was seen so far and leaves the trainer where it stopped: save it, or run on. Same bits for the same
 * weights, seed and thread count, however often it was interrupted and resumed.
 * Divergence names the layer whose numbers went first: in network order the first whose weights, or whose
 * output on the batch that failed, are not finite; else the last whose gradient is not. */
FANIN_API fanin_status fanin_trainer_run(fanin_trainer *trainer, fanin_train_result *result,
                                         fanin_err *err);
FANIN_API void fanin_train_result_fini(fanin_train_result *result);
/* With patience: the weights of the lowest loss (result.best_step) into the program; false without, or where no
 * loss was a number. Called again, it brings the weights of the last step back, which the trainer needs to go on. */
FANIN_API bool fanin_trainer_take_best(fanin_trainer *trainer);
FANIN_API uint64_t fanin_trainer_steps(const fanin_trainer *trainer); /* in all */
FANIN_API uint64_t fanin_trainer_step(const fanin_trainer *trainer);  /* where it stands */

/* What decides the run: key, value, ..., NULL (fanin_free, all at once); defaults filled in, options.record
 * behind them. */
FANIN_API fanin_status fanin_trainer_configuration(const fanin_trainer *trainer,
                                                   const char ***pairs, fanin_err *err);

/* Everything that later steps depend on, as one safetensors file, written aside, flushed and renamed:
 * weights, the optimiser's arrays, where the run stands, points and monitors so far, and as metadata the
 * options (docs/runs.md lists them). IO: disk full, not writable; an older file stays as it was. */
FANIN_API fanin_status fanin_trainer_save(fanin_trainer *trainer, const char *path, fanin_err *err);
/* Puts the trainer where DIR/last.safetensors stands. Errors: NOTFOUND no such file; ARG an option, the model
 * or the number of threads is another than then (the message names it, was and is); FORMAT a broken file;
 * UNSUPPORTED another version. After a failure the trainer must be destroyed. */
FANIN_API fanin_status fanin_trainer_resume(fanin_trainer *trainer, const char *dir,
                                            fanin_err *err);
/* What DIR/last.safetensors has under `key` of options.record; *value (fanin_free) is NULL if nothing. */
FANIN_API fanin_status fanin_checkpoint_recorded(const char *dir, const char *key, char **value,
                                                 fanin_err *err);

/* ---- replicas ------------------------------------------------------------------------------------ */

/* R networks of one graph trained at once, from R seeds: thousands of small ones in the time of a few
 * (engine.h, options.replicas). Replica r is what a trainer with train.seed + r makes of weights drawn with
 * init.seed + r, up to rounding, whatever R; any optimiser and recipe.
 *
 *     fanin_replicas_options o = {.replicas = 10000, .init = &init, .shared_order = true,
 *                                 .train = {.optimizer = "adam:lr=0.1", .steps = 500, .batch = 4}};
 *     fanin_replica_trainer *t;
 *     fanin_replica_trainer_create(graph, data, &o, &t, &err);
 *     fanin_replicas_result r;
 *     fanin_replica_trainer_run(t, &r, &err);            // r.error[r.point_count - 1][...] of each
 */
typedef struct fanin_replicas_options {
    int64_t replicas;
    /* As for one network; patience, monitors and checkpoints are not for replicas. */
    fanin_train_options train;
    const fanin_init_options *init; /* NULL: values of the graph's file, else 0 */
    bool
        shared_order; /* all see the batches of train.seed (faster); false: each those of its seed */
} fanin_replicas_options;

/* Point k of replica r is at [k * replicas + r]. */
typedef struct fanin_replicas_result {
    int64_t replicas;
    size_t point_count;
    uint64_t *steps;                 /* of each point */
    float *loss;                     /* of the test split */
    float *error;                    /* share of the test split; NaN without classes */
    float *valid_loss, *valid_error; /* of the samples held out; NULL without train.validation */
    float *train_loss; /* mean over the steps since the last point; NaN at the first */
    double
        *settled; /* by replica: updates after which no batch had an error any more; NaN if the last
                           one had, or without classes. With the whole split as one batch: steps to success */
    double seconds; /* of training and evaluation */
    uint64_t done;  /* steps */
} fanin_replicas_result;

typedef struct fanin_replica_trainer fanin_replica_trainer;

/* Draws the weights. Errors: as fanin_trainer_create, fanin_plan_create and fanin_program_create;
 * UNSUPPORTED also for options that are not for replicas. Graph, data and texts must outlive the trainer. */
FANIN_API fanin_status fanin_replica_trainer_create(const fanin_graph *graph,
                                                    const fanin_dataset *data,
                                                    const fanin_replicas_options *options,
                                                    fanin_replica_trainer **trainer,
                                                    fanin_err *err);
FANIN_API void fanin_replica_trainer_destroy(fanin_replica_trainer *trainer);
/* The program that trains: weights have an axis of replicas in front. */
FANIN_API fanin_program *fanin_replica_trainer_program(fanin_replica_trainer *trainer);
/* Trains all steps, once. A replica whose loss stops being a number goes on as it is: look for NaN. Same
 * bits for any number of threads. INTERRUPTED keeps the points so far; the weights are then those of
 * the last one. */
FANIN_API fanin_status fanin_replica_trainer_run(fanin_replica_trainer *trainer,
                                                 fanin_replicas_result *result, fanin_err *err);
FANIN_API void fanin_replicas_result_fini(fanin_replicas_result *result);

/* ---- fair comparison ------------------------------------------------------------------------------- */

struct fanin_runs;

/* A grid: schemes x activations x depths x optimizers, each trained with every learning rate and seed. Runs
 * of one seed see the same batches in the same order. */
typedef struct fanin_compare_options {
    const char *const *schemes;
    int scheme_count;
    /* Further axes; none: what the network and train.optimizer say. Activations and depths go into the text
     * of a built-in model: act=, and its one count (784-100x5-10, resnet:20). */
    const char *model;
    const char *const *activations;
    int activation_count;
    const int *depths;
    int depth_count;
    const char *const *optimizers;
    int optimizer_count;
    /* Of each configuration the rate with the lowest median loss, at the end, on train.validation samples held
     * out (0: as many as are evaluated of the test split, at most a sixth of the training split) is ranked. */
    const double *lrs;
    int lr_count;
    fanin_init_options init;    /* rules, stream, layout and first seed; its scheme is not used */
    int seeds;                  /* 0: 1; run k uses seed init.seed + k for weights and data order */
    fanin_train_options train;  /* steps, batch, optimizer ... */
    fanin_signal_options check; /* of the signal at initialisation */
    double target_loss;         /* 0: 5 % above the best run's final test loss */
    /* A store opened for writing: cells that are done in it are not trained again, and processes that compare
     * the same share the rest. NULL: none. */
    struct fanin_runs *store;
    fanin_progress progress;
} fanin_compare_options;

typedef struct fanin_compare_run {
    const char *scheme;
    uint64_t seed;
    bool complete; /* not interrupted */
    fanin_train_result result;
} fanin_compare_run;

/* One configuration with the learning rate chosen for it: medians over seeds. */
typedef struct fanin_compare_rank {
    const char *scheme;
    const char *activation, *optimizer; /* NULL: not an axis */
    int depth;                          /* 0: not an axis */
    double lr;                          /* NaN: not an axis */
    const fanin_graph *graph;
    size_t first_run;   /* runs[first_run ... first_run + runs - 1], by seed */
    int runs, trained;  /* runs in all; those whose final loss is below 0.97 of the first */
    double loss, error; /* final, of the test split */
    double low, high;   /* 95 % bootstrap interval of the median error (loss without classes) */
    double p_value;     /* against the best, seed by seed: Wilcoxon's signed-rank test with Holm's
                               correction; NaN of the best itself */
    double
        steps_to_target; /* median of the first points at or below the target loss; NaN if fewer than
                               half of the runs reach it */
    fanin_signal *signal; /* of the first seed before training; NULL: not measured */
    fanin_verdict verdict;
    double forward_slope, backward_slope;
    double seconds; /* of a processor for the steps of a run, without evaluations: median */
} fanin_compare_rank;

typedef struct fanin_comparison {
    const char *model, *data;
    int run_count, rank_count;
    fanin_compare_run *runs;   /* by configuration (schemes slowest), learning rate, seed */
    fanin_compare_rank *ranks; /* best first: by error, then loss */
    double target_loss;        /* what all are timed against */
    uint64_t steps, validation;
    bool interrupted;        /* some runs are incomplete */
    fanin_init_options init; /* of the options; each rank has a scheme of its own */
    void *grid;              /* networks that the ranks point to */
} fanin_comparison;

/* Checks and trains every cell, side by side on all threads, one thread a run. `graph` may be NULL where
 * activations or depths are given. ARG: no scheme, or one item of an axis twice. Texts of the options must
 * outlive the comparison. Interrupted, it returns what there is with INTERRUPTED and *comparison set. */
FANIN_API fanin_status fanin_compare(const fanin_graph *graph, const fanin_dataset *data,
                                     const fanin_compare_options *options,
                                     fanin_comparison **comparison, fanin_err *err);
FANIN_API void fanin_comparison_destroy(fanin_comparison *comparison);
/* "xavier tanh 5 deep adam lr 0.1": scheme and what else is an axis; returns buf. */
FANIN_API const char *fanin_compare_label(const fanin_compare_rank *rank, char *buf, size_t size);

/* The least p that the number of seeds and configurations allows: 2 / 2^seeds times the number of tests, at
 * most 1. */
FANIN_API double fanin_comparison_least_p(const fanin_comparison *comparison);

typedef enum fanin_curve {
    FANIN_CURVE_TEST_LOSS,
    FANIN_CURVE_TEST_ERROR, /* per cent */
    FANIN_CURVE_TRAIN_LOSS,
} fanin_curve;
/* Median and quartiles over seeds at every evaluation; each array has room for as many numbers as the longest
 * of the comparison's runs has points, *n are used. NOMEM. */
FANIN_API fanin_status fanin_comparison_curve(const fanin_comparison *comparison,
                                              const fanin_compare_rank *rank, fanin_curve which,
                                              double *x, double *median, double *low, double *high,
                                              size_t *n);

#ifdef __cplusplus
}
#endif
#endif
