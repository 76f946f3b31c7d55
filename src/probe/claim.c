/* claim.c - what a rule says of a tensor, and whether the tensor agrees. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "probe/audit.h"

bool fanin__claim_of(const fanin_rule *rule, const fanin_tensor *tensor, fanin__claim *c) {
    c->rule = *rule;
    c->tested = false;
    if (fanin__recipe_make(&c->rule, tensor, &c->recipe, NULL) != FANIN_OK) return false;
    c->kind = fanin__form_of(&c->recipe);
    const fanin_moments *m = &c->recipe.moments;
    if (m->std == 0) c->kind = FANIN__FORM_LAW;
    if (c->kind != FANIN__FORM_LAW) return true;
    c->law = m->std == 0 ? (fanin__law){.shape = FANIN__SHAPE_CONSTANT, .mean = m->mean}
                         : fanin__law_of(&c->recipe.law);
    return true;
}

bool fanin__claim_text(const char *text, const fanin_tensor *tensor, fanin__claim *c) {
    fanin_rule rule;
    return fanin_rule_parse(text, &rule, NULL) == FANIN_OK && fanin__claim_of(&rule, tensor, c);
}

bool fanin__claim_drawn(const fanin__claim *c) {
    return c->kind == FANIN__FORM_LAW && c->law.shape != FANIN__SHAPE_CONSTANT;
}

/* Outside a bounded law by more than a rounding. */
static bool beyond(const fanin__subject *s, const fanin_moments *m) {
    double slack = fanin__slack(s->item->array.dtype) * fmax(fabs(m->low), fabs(m->high));
    return s->m->min < m->low - slack || s->m->max > m->high + slack;
}

static double constant_p(const fanin__subject *s, double value) {
    double slack = fanin_dtype_size(s->item->array.dtype) < 4 ? 0.07 : 1e-6;
    return s->m->std == 0 && fabs(s->m->mean - value) <= slack * fabs(value) ? 1 : 0;
}

double fanin__claim_p(fanin__subject *s, fanin__claim *c) {
    if (c->kind == FANIN__FORM_LAW) {
        if (c->law.shape == FANIN__SHAPE_CONSTANT) return constant_p(s, c->law.mean);
        if (s->m->std == 0 || beyond(s, &c->recipe.moments)) return 0;
        return fanin__least_p(fanin__law_test(s->m, &c->law, s->item->array.dtype));
    }
    if (!c->tested && s->status == FANIN_OK)
        s->status = fanin__form_test(&s->item->array, s->m, &c->recipe, &c->form);
    c->tested = s->status == FANIN_OK;
    return c->tested && !c->form.fault ? c->form.p : 0;
}

/* ---- fits -------------------------------------------------------------------------------- */

/* By p; a structure that is there says more than moments that agree, and stands before them. */
static void add_fit(fanin__subject *s, const char *rule, const fanin__claim *c, double p) {
    if (p < s->alpha) return;
    fanin_audit_tensor *o = s->out;
    double rank = p + (c->kind == FANIN__FORM_LAW ? 0 : 1);
    int at = 0;
    while (at < o->fit_count && s->rank[at] >= rank) at++;
    if (at == FANIN_AUDIT_FITS) return;
    if (o->fit_count < FANIN_AUDIT_FITS) o->fit_count++;
    size_t after = (size_t)(o->fit_count - 1 - at);
    memmove(&o->fits[at + 1], &o->fits[at], after * sizeof o->fits[0]);
    memmove(&s->rank[at + 1], &s->rank[at], after * sizeof s->rank[0]);
    snprintf(o->fits[at].rule, sizeof o->fits[at].rule, "%s", rule);
    o->fits[at].p_value = p;
    s->rank[at] = rank;
}

/* What a structure costs to test is spared where its moments, or what is not 0, are others. */
static bool plausible(const fanin__subject *s, const fanin__claim *c) {
    const fanin_moments *m = &c->recipe.moments;
    double slack = fanin_dtype_size(s->item->array.dtype) == 1 ? 0.2 : 0.01;
    double seen = s->m->std * s->m->std + s->m->mean * s->m->mean;
    double want = m->std * m->std + m->mean * m->mean;
    if (c->kind == FANIN__FORM_LAW) return true;
    if (c->kind == FANIN__FORM_SPARSE) {
        const fanin__recipe *r = &c->recipe;
        double length = (double)(r->by_column ? r->view.out : r->view.in * r->view.taps);
        double zeros = (double)r->count * (1 - (double)r->k / length);
        return zeros >= 1 && fabs((double)s->m->zeros - zeros) <= 0.001 * (double)r->count;
    }
    if (c->kind == FANIN__FORM_SIGNS && !(s->m->kurtosis < 1.1 + slack)) return false;
    if (c->kind == FANIN__FORM_CLOSED && fabs(s->m->mean - m->mean) > slack * fabs(m->mean))
        return false;
    return fabs(seen - want) <= slack * want;
}

void fanin__find_fits(fanin__subject *s, fanin__claim *declared) {
    static const char *const usual[] = {"zeros",
                                        "ones",
                                        "xavier_uniform",
                                        "xavier_normal",
                                        "xavier_truncated_normal",
                                        "he_uniform",
                                        "he_normal",
                                        "he_truncated_normal",
                                        "lecun_uniform",
                                        "lecun_normal",
                                        "lecun_truncated_normal",
                                        "torch_default",
                                        "he_normal:mode=fan_out",
                                        "he_uniform:mode=fan_out",
                                        "lecun_normal:mode=fan_out",
                                        "normal:std=0.02",
                                        "truncated_normal:std=0.02,bounds=sigma",
                                        "orthogonal",
                                        "delta_orthogonal",
                                        "identity",
                                        "dirac",
                                        "sparse",
                                        "unit_norm",
                                        "centered_normal",
                                        "rademacher"};
    char text[512] = "";
    if (declared) {
        fanin_rule_text(&declared->rule, text, sizeof text);
        add_fit(s, text, declared, fanin__claim_p(s, declared));
    }
    for (size_t i = 0; i < FANIN_COUNT(usual); i++) {
        fanin__claim c;
        if (strcmp(usual[i], text) == 0 || !fanin__claim_text(usual[i], &s->item->tensor, &c) ||
            !plausible(s, &c))
            continue;
        add_fit(s, usual[i], &c, fanin__claim_p(s, &c));
    }
}
