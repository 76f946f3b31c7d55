/* compare.h - the parts of a comparison: grid.c lays out its cells, compare.c runs them, rank.c judges. */
#ifndef FANIN_SRC_TRAIN_COMPARE_H
#define FANIN_SRC_TRAIN_COMPARE_H

#include "base/base.h"
#include "fanin/train.h"

/* One way to train: everything but the seed and the learning rate. */
typedef struct fanin__way {
    const char *scheme, *activation; /* NULL: the model's own */
    int depth;                       /* 0: the model's own */
    const char *optimizer;           /* NULL: the default */
    const fanin_graph *graph;
} fanin__way;

/* Ways x learning rates x seeds, the seed running fastest. */
typedef struct fanin__grid {
    const fanin_compare_options *options;
    const fanin_dataset *data;
    const fanin_graph *given;
    fanin__way *ways;
    int way_count, lr_count, seeds; /* lr_count 1 where none was given */
    fanin_graph **graphs;           /* made for activations and depths */
    int graph_count;
    char *
        *optimizers; /* text of way w and learning rate l at w * lr_count + l; NULL: the default */
    uint64_t validation;
} fanin__grid;

/* ARG: axes that the model cannot follow; those of fanin_graph_load. _fini in any case. */
fanin_status fanin__grid_create(fanin__grid *g, const fanin_graph *graph, const fanin_dataset *data,
                                const fanin_compare_options *options, fanin_err *err);
void fanin__grid_fini(fanin__grid *g);
size_t fanin__grid_runs(const fanin__grid *g);
void fanin__grid_run(const fanin__grid *g, size_t i, int *way, int *lr, uint64_t *seed);
fanin_train_options fanin__grid_train(const fanin__grid *g, size_t i);
fanin_init_options fanin__grid_init(const fanin__grid *g, size_t i);
/* The name of run i in a store: equal for what computes the same (fanin_free; NULL: no memory). */
char *fanin__grid_key(const fanin__grid *g, size_t i);
/* "mlp:784-100x5-10,act=tanh" with another activation (NULL: as it is) and count (0: as it is). */
fanin_status fanin__model_vary(const char *model, const char *activation, int depth, char **out,
                               fanin_err *err);

/* ---- trainer.c, checkpoint.c ---- */
/* "key=value\n" of everything that decides a run, without planning it. */
fanin_status fanin__train_describe(const fanin_graph *graph, const fanin_dataset *data,
                                   const fanin_train_options *options, fanin__text *out,
                                   fanin_err *err);

/* ---- rank.c ---- */
/* Median of n numbers (sorted by it; what is no number counts as the largest); NaN of none. */
double fanin__median(double *v, size_t n);
/* 95 % interval of the median: percentiles 2.5 and 97.5 of the medians of 2000 samples with replacement, drawn
 * from one fixed addressed stream (Efron 1979). */
fanin_status fanin__median_interval(const double *v, size_t n, double *low, double *high);
/* Two-sided p of Wilcoxon's signed-rank test on pairs: exact, from the law of the rank sum with ties as they
 * are, up to 500 pairs that differ; above, the normal approximation. Pairs that agree are left out; two that
 * are no numbers agree; 1 where none differs. */
fanin_status fanin__wilcoxon(const double *a, const double *b, size_t n, double *p);
/* Holm (1979): p adjusted for n tests, in place; NaN are not tests. */
void fanin__holm(double *p, size_t n);
/* Chooses learning rates, fills and sorts the ranks. */
fanin_status fanin__rank_all(const fanin__grid *g, fanin_comparison *c, fanin_err *err);

#endif
