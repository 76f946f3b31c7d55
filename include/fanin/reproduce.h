/* fanin/reproduce.h - what papers say, measured again.
 *
 * A paper is a list of claims; a claim is a sentence, where it stands, a published figure if there is one,
 * and a function that measures. Two kinds are told apart. A figure that theory or a stated experiment should
 * give again is reproduced within its tolerance, or missed, which is our failure. A sentence is true, false,
 * or true only under a condition that is then named: each of these is a result.
 *
 *     fanin_reproduction *r;
 *     fanin_reproduce("seed-mlp", &(fanin_reproduce_options){0}, &r, &err);
 *     for (int i = 0; i < r->claim_count; i++) puts(r->claims[i].measured);
 */
#ifndef FANIN_REPRODUCE_H
#define FANIN_REPRODUCE_H

#include <fanin/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fanin_claim_verdict {
    FANIN_CLAIM_REPRODUCED,  /* the published figure, within the tolerance */
    FANIN_CLAIM_MISSED,      /* not within: the reproduction failed */
    FANIN_CLAIM_TRUE,        /* the sentence holds */
    FANIN_CLAIM_FALSE,       /* it does not */
    FANIN_CLAIM_CONDITIONAL, /* it holds under `condition` and not otherwise */
} fanin_claim_verdict;
FANIN_API const char *fanin_claim_verdict_name(fanin_claim_verdict verdict); /* "true", ... */

typedef struct fanin_claim {
    const char *id, *where, *text;
    double published, tolerance; /* absolute; NaN: the claim has no figure */
    double ours, low, high;      /* 95 % interval; NaN: none */
    const char *unit;            /* "epochs", "share", "" */
    fanin_claim_verdict verdict;
    char measured[480];  /* one sentence: what was seen */
    char condition[240]; /* of FANIN_CLAIM_CONDITIONAL, else "" */
} fanin_claim;

/* Thousands of seeds of one small network, trained. Epochs are counted to the first from which no pattern is
 * wrong any more, over the seeds that succeed; NaN where none does or the figure has no meaning. */
typedef struct fanin_seed_cell {
    char model[64], scheme[48], optimizer[48];
    char extras[80]; /* "bias 0.01, dropout 0.2"; "" */
    uint64_t epochs; /* trained */
    int64_t seeds;
    double success, low, high;      /* share of seeds that are right in the end; Wilson's 95 % */
    double quartile, median, upper; /* epochs to success: 25, 50, 75 % */
    double median_low, median_high; /* 95 % by order statistics */
    double dead_before, dead_after; /* share of hidden rectifiers that are 0 for every pattern */
    double twins;                   /* share of seeds whose two hidden units are the same */
    double diverged;                /* share whose loss is no number or above 1000 */
    double weight_norm;             /* median over seeds of the norm of all weights, in the end */
} fanin_seed_cell;

typedef struct fanin_reproduction {
    const char *paper, *title, *source;
    int claim_count, cell_count;
    fanin_claim *claims;
    fanin_seed_cell *cells; /* what was run, in order */
    double seconds;
} fanin_reproduction;

typedef enum fanin_effort {
    FANIN_EFFORT_NORMAL,
    FANIN_EFFORT_QUICK,
    FANIN_EFFORT_FULL
} fanin_effort;

typedef struct fanin_reproduce_options {
    fanin_effort effort; /* seeds a cell: 10 000, quick 1 000, full 100 000 */
    fanin_progress progress;
} fanin_reproduce_options;

/* Measures every claim of a paper. NOTFOUND names the papers; INTERRUPTED, NOMEM. */
FANIN_API fanin_status fanin_reproduce(const char *paper, const fanin_reproduce_options *options,
                                       fanin_reproduction **reproduction, fanin_err *err);
FANIN_API void fanin_reproduction_destroy(fanin_reproduction *reproduction);

typedef struct fanin_paper_info {
    const char *name, *title, *source;
    int claim_count;
} fanin_paper_info;
/* Rows 0 ... count - 1, texts static; beyond them all is 0. */
FANIN_API int fanin_paper_count(void);
FANIN_API fanin_paper_info fanin_paper_at(int i);

/* One self-contained page of all claims, cells and a chart of success rates. */
FANIN_API fanin_status fanin_reproduction_page(const fanin_reproduction *const *reproductions,
                                               int count, const char *path, fanin_err *err);

#ifdef __cplusplus
}
#endif
#endif
