/* probe/audit.h - one tensor under examination: what a rule would mean for it, and whether it holds. */
#ifndef FANIN_SRC_PROBE_AUDIT_H
#define FANIN_SRC_PROBE_AUDIT_H

#include "probe/form.h"

/* A rule with what it means for the tensor. `recipe` points into it: passed by address only. */
typedef struct fanin__claim {
    fanin_rule rule;
    fanin__recipe recipe;
    fanin__form_kind kind;
    fanin__law law; /* of FORM_LAW */
    bool tested;
    fanin__form form; /* of the other kinds, once tested */
} fanin__claim;

typedef struct fanin__subject {
    const fanin_audit_item *item;
    const fanin__measure *m;
    fanin_audit_tensor *out;
    double alpha; /* of this tensor */
    double rank[FANIN_AUDIT_FITS];
    fanin_status status;
} fanin__subject;

FANIN_PRINTF(3, 4)
void fanin__fault(const fanin__subject *s, fanin_fault_kind kind, const char *format, ...);

/* ---- claim.c ---- */
/* false: the rule does not apply to the tensor. */
bool fanin__claim_of(const fanin_rule *rule, const fanin_tensor *tensor, fanin__claim *c);
bool fanin__claim_text(const char *text, const fanin_tensor *tensor, fanin__claim *c);
/* Elements have a law with a density. */
bool fanin__claim_drawn(const fanin__claim *c);
/* p of the claim; 0 where its structure or its bounds are broken. Memory that lacks is told by s->status. */
double fanin__claim_p(fanin__subject *s, fanin__claim *c);
/* What the tensor could be: the declared rule (or NULL) and those that are usual. */
void fanin__find_fits(fanin__subject *s, fanin__claim *declared);

/* ---- blame.c ---- */
/* Names the fault of a declared rule that did not hold. */
void fanin__blame(fanin__subject *s, fanin__claim *declared);

#endif
