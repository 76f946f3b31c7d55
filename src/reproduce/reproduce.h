/* reproduce.h - rows of claims, and the laboratory in which they measure.
 *
 * A new paper is a file with an array of rows and a line in reproduce.c. A row's measure fills `ours`,
 * `measured` and, for a sentence, the verdict; figures with a tolerance are judged for it. */
#ifndef FANIN_SRC_REPRODUCE_H
#define FANIN_SRC_REPRODUCE_H

#include "base/base.h"
#include "fanin/reproduce.h"
#include "fanin/theory.h"

typedef struct fanin__lab fanin__lab;

typedef struct fanin__claim_row {
    const char *id, *where, *text;
    double published, tolerance; /* both 0: no figure */
    const char *unit;
    /* A figure: sets c->ours, and c->low, c->high if it has an interval. A sentence: the verdict too. */
    fanin_status (*measure)(fanin__lab *lab, fanin_claim *c, fanin_err *err);
    bool
        judged; /* a published figure that is itself in question: outside the tolerance is false, not missed */
} fanin__claim_row;

typedef struct fanin__paper {
    const char *name, *title, *source;
    const fanin__claim_row *rows;
    int count;
    fanin_status (*prepare)(fanin__lab *lab, fanin_err *err); /* before the claims; NULL: nothing */
} fanin__paper;

extern const fanin__paper fanin__paper_seed_mlp, fanin__paper_lecun1998, fanin__paper_glorot2010,
    fanin__paper_saxe2014, fanin__paper_he2015, fanin__paper_schoenholz2017,
    fanin__paper_klambauer2017, fanin__paper_brock2021;

/* ---- cells.c: seeds of 2-2-1 on XOR and of relatives ---------------------------------------------- */

typedef struct fanin__cell_spec {
    const char *model;     /* NULL: "mlp:2-2-1,act=relu" */
    const char *scheme;    /* scheme or rule: "he", "normal:std=0.01" */
    const char *optimizer; /* NULL: "adam:lr=0.1" */
    uint64_t epochs;       /* 0: 500 */
    double bias;           /* of the first hidden layer */
    double clip_norm, l1, l2;
    int64_t seeds; /* 0: as the effort says; at most that */
} fanin__cell_spec;

struct fanin__lab {
    fanin_effort effort;
    int64_t seeds;
    struct fanin_dataset *xor_set;
    fanin_seed_cell **cells; /* each run once */
    int cell_count, cell_capacity;
    fanin_progress progress;
};

/* The cell of a specification, run unless it was. It lives as long as the laboratory. */
fanin_status fanin__run_cell(fanin__lab *lab, const fanin__cell_spec *spec,
                             const fanin_seed_cell **cell, fanin_err *err);
void fanin__lab_fini(fanin__lab *lab);

/* Wilson's 95 % interval of k successes in n. */
void fanin__wilson(int64_t k, int64_t n, double *low, double *high);

/* ---- for measures ---------------------------------------------------------------------------------- */

/* One row, measured and judged (reproduce.c). */
fanin_status fanin__measure(fanin__lab *lab, const fanin__claim_row *row, fanin_claim *c,
                            fanin_err *err);

/* The gains of an activation by name. */
fanin_status fanin__gain_of(const char *name, fanin_gain *gain, fanin_err *err);
/* Fills c->measured. */
void fanin__measured(fanin_claim *c, const char *format, ...) FANIN_PRINTF(2, 3);
/* Sets the verdict to `holds`. */
void fanin__judge(fanin_claim *c, bool holds);
/* Of a sentence that was tried in `count` settings: true in all, false in all, or conditional, the
 * condition naming those in which it holds and those in which it does not. */
void fanin__judge_where(fanin_claim *c, int count, const char *const *settings, const bool *holds);

#endif
