/* probe/form.h - rules that make a tensor as a whole: is its structure there, element by element or line by line,
 * and is what was drawn inside the structure of its law? */
#ifndef FANIN_SRC_PROBE_FORM_H
#define FANIN_SRC_PROBE_FORM_H

#include "init/init.h"
#include "probe/law.h"

typedef enum fanin__form_kind {
    FANIN__FORM_LAW,    /* element by element from a law with a density, or one value everywhere */
    FANIN__FORM_CLOSED, /* written down: the same for every seed */
    FANIN__FORM_SIGNS,  /* + or - one value */
    FANIN__FORM_SPARSE,
    FANIN__FORM_ROWS,     /* rows of one length */
    FANIN__FORM_CENTERED, /* rows whose mean was taken off */
    FANIN__FORM_ORTHOGONAL,
    FANIN__FORM_DELTA
} fanin__form_kind;

typedef struct fanin__form {
    fanin_fault_kind fault; /* 0: the structure is there */
    double p;               /* then: of what was drawn; 1 if nothing was */
    char text[192];         /* else: one sentence */
} fanin__form;

fanin__form_kind fanin__form_of(const fanin__recipe *plan);
/* Of every kind but FORM_LAW. Every element is read where the kind fixes every element. Same result on any number of
 * threads. NOMEM. */
fanin_status fanin__form_test(const fanin_array *array, const fanin__measure *m,
                              const fanin__recipe *plan, fanin__form *form);

/* ---- shared by the tests ---- */

enum { FANIN__PIECE = 1024 };

/* The matrices of a tensor, read row by row. */
typedef struct fanin__grid {
    const fanin_array *array;
    const fanin__view *view;
    size_t size;      /* of an element */
    uint64_t cols;    /* of one block */
    uint64_t *offset; /* of a column within its row; the caller frees it */
} fanin__grid;

/* centre: only that kernel position of every input. NOMEM. */
fanin_status fanin__grid_make(const fanin_array *array, const fanin__view *v, bool centre,
                              fanin__grid *g);
/* n <= FANIN__PIECE elements of a row from a column on, as doubles. */
void fanin__grid_read(const fanin__grid *g, uint64_t block, uint64_t row, uint64_t column, size_t n,
                      double *out);
size_t fanin__piece(uint64_t left);
double fanin__value_at(const fanin_array *array, uint64_t i);
/* p of `count` elements that were gathered, as bits, under a law. NOMEM. */
fanin_status fanin__measure_bits(const fanin_array *array, const unsigned char *bits, size_t count,
                                 const fanin__law *law, double *p);
FANIN_PRINTF(3, 4)
void fanin__form_broken(fanin__form *form, fanin_fault_kind kind, const char *format, ...);
fanin_status fanin__test_orthogonal(const fanin_array *array, const fanin__measure *m,
                                    const fanin__recipe *plan, fanin__form *form);
fanin_status fanin__test_delta(const fanin_array *array, const fanin__measure *m,
                               const fanin__recipe *plan, fanin__form *form);

#endif
