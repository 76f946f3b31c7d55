/* reproduce.c - the table of papers, and how their claims are measured and judged. */
#include "reproduce/reproduce.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const fanin__paper *const papers[] = {
    &fanin__paper_seed_mlp,      &fanin__paper_lecun1998, &fanin__paper_glorot2010,
    &fanin__paper_saxe2014,      &fanin__paper_he2015,    &fanin__paper_schoenholz2017,
    &fanin__paper_klambauer2017, &fanin__paper_brock2021,
};

int fanin_paper_count(void) { return (int)FANIN_COUNT(papers); }

fanin_paper_info fanin_paper_at(int i) {
    if (i < 0 || i >= fanin_paper_count()) return (fanin_paper_info){0};
    const fanin__paper *p = papers[i];
    return (fanin_paper_info){p->name, p->title, p->source, p->count};
}

const char *fanin_claim_verdict_name(fanin_claim_verdict v) {
    static const char *const names[] = {"reproduced", "missed", "true", "false", "conditional"};
    return (size_t)v < FANIN_COUNT(names) ? names[v] : "?";
}

/* ---- for measures ---------------------------------------------------------------------------------- */

fanin_status fanin__gain_of(const char *name, fanin_gain *gain, fanin_err *err) {
    fanin_activation *act;
    FANIN_TRY(fanin_activation_parse(name, &act, err));
    fanin_status status = fanin_gain_solve(act, gain, err);
    fanin_activation_destroy(act);
    return status;
}

void fanin__measured(fanin_claim *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(c->measured, sizeof c->measured, format, args);
    va_end(args);
}

void fanin__judge(fanin_claim *c, bool holds) {
    c->verdict = holds ? FANIN_CLAIM_TRUE : FANIN_CLAIM_FALSE;
}

static void list_settings(fanin__text *t, int count, const char *const *settings, const bool *holds,
                          bool which) {
    bool first = true;
    for (int i = 0; i < count; i++) {
        if (holds[i] != which) continue;
        fanin__text_printf(t, "%s%s", first ? "" : ", ", settings[i]);
        first = false;
    }
}

void fanin__judge_where(fanin_claim *c, int count, const char *const *settings, const bool *holds) {
    int n = 0;
    for (int i = 0; i < count; i++) n += holds[i];
    fanin__judge(c, n > 0);
    if (n == 0 || n == count) return;
    fanin__text t = {0};
    fanin__text_puts(&t, "holds ");
    list_settings(&t, count, settings, holds, true);
    fanin__text_puts(&t, "; not ");
    list_settings(&t, count, settings, holds, false);
    c->verdict = FANIN_CLAIM_CONDITIONAL;
    snprintf(c->condition, sizeof c->condition, "%s", t.data ? t.data : "");
    fanin__text_fini(&t);
}

/* ---- a paper --------------------------------------------------------------------------------------- */

fanin_status fanin__measure(fanin__lab *lab, const fanin__claim_row *row, fanin_claim *c,
                            fanin_err *err) {
    bool figure = row->published != 0 || row->tolerance != 0;
    *c = (fanin_claim){.id = row->id,
                       .where = row->where,
                       .text = row->text,
                       .published = figure ? row->published : NAN,
                       .tolerance = figure ? row->tolerance : NAN,
                       .ours = NAN,
                       .low = NAN,
                       .high = NAN,
                       .unit = row->unit ? row->unit : "",
                       .verdict = FANIN_CLAIM_MISSED};
    FANIN_TRY(row->measure(lab, c, err));
    if (!figure || c->verdict != FANIN_CLAIM_MISSED) return FANIN_OK;
    bool within = fabs(c->ours - c->published) <= c->tolerance;
    c->verdict = row->judged ? (within ? FANIN_CLAIM_TRUE : FANIN_CLAIM_FALSE)
                 : within    ? FANIN_CLAIM_REPRODUCED
                             : FANIN_CLAIM_MISSED;
    return FANIN_OK;
}

static fanin_status measure_all(const fanin__paper *p, fanin__lab *lab, fanin_reproduction *r,
                                fanin_err *err) {
    if (p->prepare) FANIN_TRY(p->prepare(lab, err));
    for (int i = 0; i < p->count; i++) {
        if (fanin_interrupted())
            return fanin_err_set(err, FANIN_INTERRUPTED, "stopped at claim %d of %d", i, p->count);
        if (lab->progress.report) lab->progress.report(lab->progress.ctx, "claims", i, p->count);
        FANIN_TRY(fanin__measure(lab, &p->rows[i], &r->claims[i], err));
        r->claim_count = i + 1;
    }
    r->cells = fanin_calloc((size_t)lab->cell_count + 1, sizeof *r->cells);
    if (!r->cells) return fanin_err_set(err, FANIN_NOMEM, "no memory for the cells");
    for (int i = 0; i < lab->cell_count; i++) r->cells[i] = *lab->cells[i];
    r->cell_count = lab->cell_count;
    return FANIN_OK;
}

static const fanin__paper *find(const char *name, fanin_err *err) {
    char known[400] = "";
    size_t n = 0;
    for (size_t i = 0; i < FANIN_COUNT(papers); i++) {
        if (!strcasecmp(papers[i]->name, name)) return papers[i];
        int k = snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", papers[i]->name);
        n += k > 0 && (size_t)k < sizeof known - n ? (size_t)k : 0;
    }
    fanin_err_set(err, FANIN_NOTFOUND, "paper '%.100s': unknown; expected one of %s", name, known);
    return NULL;
}

fanin_status fanin_reproduce(const char *name, const fanin_reproduce_options *o,
                             fanin_reproduction **out, fanin_err *err) {
    *out = NULL;
    const fanin__paper *p = find(name, err);
    if (!p) return FANIN_NOTFOUND;
    fanin_reproduction *r = fanin_calloc(1, sizeof *r);
    if (r) r->claims = fanin_calloc((size_t)p->count + 1, sizeof *r->claims);
    if (!r || !r->claims) {
        fanin_reproduction_destroy(r);
        return fanin_err_set(err, FANIN_NOMEM, "no memory for the claims");
    }
    r->paper = p->name;
    r->title = p->title;
    r->source = p->source;
    fanin__lab lab = {.effort = o->effort,
                      .seeds = o->effort == FANIN_EFFORT_QUICK  ? 1000
                               : o->effort == FANIN_EFFORT_FULL ? 100000
                                                                : 10000,
                      .progress = o->progress};
    double start = fanin__seconds();
    fanin_status status = measure_all(p, &lab, r, err);
    fanin__lab_fini(&lab);
    r->seconds = fanin__seconds() - start;
    if (status != FANIN_OK) {
        fanin_reproduction_destroy(r);
        return status;
    }
    *out = r;
    return FANIN_OK;
}

void fanin_reproduction_destroy(fanin_reproduction *r) {
    if (!r) return;
    fanin_free(r->claims);
    fanin_free(r->cells);
    fanin_free(r);
}
