#include <math.h>
#include <stdio.h>
#include <string.h>

#include "activation/activation.h"
#include "base/base.h"

struct fanin_activation {
    int id;
    double p[2];
    char *name;
    fanin__formula *formula; /* NULL unless id is FORMULA */
};

/* ---- making ---------------------------------------------------------------------------- */

/* Names that mean a row with certain parameters. */
static const struct {
    const char *name;
    int id;
    double p[2];
} shorthands[] = {
    {"quick_gelu", FANIN_ACT_SILU, {1.702, 0}},
    {"thresholded_relu", FANIN_ACT_THRESHOLD, {1, 0}},
    {"hard_sigmoid_onnx", FANIN_ACT_HARD_SIGMOID, {0.2, 0.5}},
};

static bool alias_matches(const char *aliases, const char *name) {
    size_t n = strlen(name);
    for (const char *s = aliases; *s;) {
        size_t length = strcspn(s, " ");
        if (length == n && memcmp(s, name, n) == 0) return true;
        s += length;
        s += *s == ' ';
    }
    return false;
}

/* Fills id and parameters from a plain lower-case name; false if there is none. */
static bool look_up(const char *name, int *id, double p[2]) {
    for (size_t i = 0; i < fanin_activation_count(); i++) {
        const fanin_activation_row *row = fanin_activation_row_at(i);
        if (strcmp(row->name, name) != 0 && !alias_matches(row->aliases, name)) continue;
        *id = row->id;
        p[0] = row->defaults[0];
        p[1] = row->defaults[1];
        return true;
    }
    for (size_t i = 0; i < FANIN_COUNT(shorthands); i++) {
        if (strcmp(shorthands[i].name, name) != 0) continue;
        *id = shorthands[i].id;
        p[0] = shorthands[i].p[0];
        p[1] = shorthands[i].p[1];
        return true;
    }
    return false;
}

static char *canonical(const fanin_activation_row *row, const double p[2]) {
    fanin__text t = {0};
    char a[32], b[32];
    fanin__text_puts(&t, row->name);
    bool second = row->parameters > 1 && p[1] != row->defaults[1];
    if (second)
        fanin__text_printf(&t, ":%s,%s", fanin__number_text(p[0], a), fanin__number_text(p[1], b));
    else if (row->parameters > 0 && p[0] != row->defaults[0])
        fanin__text_printf(&t, ":%s", fanin__number_text(p[0], a));
    if (!t.failed) return t.data;
    fanin__text_fini(&t);
    return NULL;
}

fanin_status fanin_activation_create(int id, const double params[2], fanin_activation **out,
                                     fanin_err *err) {
    *out = NULL;
    const fanin__act *row = fanin__act_find(id);
    if (!row) return fanin_err_set(err, FANIN_NOTFOUND, "no activation has the id %d", id);
    const double *p = params ? params : row->row.defaults;
    const char *wrong = fanin__act_check(id, p);
    if (wrong)
        return fanin_err_set(err, FANIN_ARG, "%s:%g,%g: %s", row->row.name, p[0], p[1], wrong);
    fanin_activation *act = fanin_calloc(1, sizeof *act);
    if (act) {
        act->id = id;
        memcpy(act->p, p, sizeof act->p);
        act->name = canonical(&row->row, p);
    }
    if (!act || !act->name) {
        fanin_activation_destroy(act);
        return fanin_err_set(err, FANIN_NOMEM, "activation: no memory");
    }
    *out = act;
    return FANIN_OK;
}

static fanin_status create_formula(const char *text, fanin_activation **out, fanin_err *err) {
    fanin__formula *formula;
    FANIN_TRY(fanin__formula_create(text, &formula, err));
    fanin_activation *act = fanin_calloc(1, sizeof *act);
    if (act) act->name = fanin__strdup(text);
    if (!act || !act->name) {
        fanin_free(act);
        fanin__formula_destroy(formula);
        return fanin_err_set(err, FANIN_NOMEM, "activation: no memory");
    }
    act->id = FANIN_ACT_FORMULA;
    act->formula = formula;
    *out = act;
    return FANIN_OK;
}

/* ":0.2" or ":-2,2" after a name. */
static fanin_status read_params(const char *text, const char *at, const fanin_activation_row *row,
                                double p[2], fanin_err *err) {
    for (int i = 0; *at; i++) {
        const char *end;
        if (i >= row->parameters)
            return fanin_err_set(err, FANIN_ARG, "activation '%.60s': %s takes %d parameters", text,
                                 row->name, row->parameters);
        p[i] = fanin__parse_double(at, &end);
        if (end == at || (*end && *end != ',') || (*end == ',' && !end[1]))
            return fanin_err_set(err, FANIN_ARG, "activation '%.60s': '%.20s' is not a number",
                                 text, at);
        at = *end ? end + 1 : end;
    }
    return FANIN_OK;
}

fanin_status fanin_activation_parse(const char *text, fanin_activation **out, fanin_err *err) {
    *out = NULL;
    char name[32];
    size_t n = 0;
    while (*text == ' ') text++;
    const char *at = text;
    for (; n + 1 < sizeof name; at++) {
        char c = *at;
        if (c >= 'A' && c <= 'Z') c = (char)(c + 32);
        if (c == '-') c = '_';
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')) break;
        name[n++] = c;
    }
    name[n] = 0;
    bool plain =
        n > 0 && !(name[0] >= '0' && name[0] <= '9') && name[0] != '_' && (*at == 0 || *at == ':');
    int id;
    double p[2];
    bool known = plain && look_up(name, &id, p);
    if (!known && strspn(text, "xXeEpPiI0123456789.+-") == strlen(text)) plain = false; /* x, -x */
    if (!plain) return create_formula(text, out, err);
    if (!known)
        return fanin_err_set(err, FANIN_NOTFOUND,
                             "no activation is called '%s' (`fanin list activations` names them; "
                             "a formula needs x)",
                             name);
    if (*at == ':' && !at[1])
        return fanin_err_set(err, FANIN_ARG, "activation '%.60s': a number must follow ':'", text);
    if (*at == ':') FANIN_TRY(read_params(text, at + 1, &fanin__act_find(id)->row, p, err));
    return fanin_activation_create(id, p, out, err);
}

void fanin_activation_destroy(fanin_activation *act) {
    if (!act) return;
    fanin__formula_destroy(act->formula);
    fanin_free(act->name);
    fanin_free(act);
}

/* ---- facts ----------------------------------------------------------------------------- */

const char *fanin_activation_name(const fanin_activation *act) { return act->name; }
int fanin_activation_id_of(const fanin_activation *act) { return act->id; }
const double *fanin_activation_params(const fanin_activation *act) { return act->p; }

const fanin_activation_row *fanin_activation_row_of(const fanin_activation *act) {
    return act->formula ? NULL : &fanin__act_find(act->id)->row;
}

const char *fanin_activation_pairs_with(const fanin_activation *act) {
    return act->formula ? "exact" : fanin__act_find(act->id)->row.pairs_with;
}

const char *fanin_activation_paper(const fanin_activation *act) {
    return act->formula ? "" : fanin__act_find(act->id)->row.paper;
}

size_t fanin_activation_kinks(const fanin_activation *act, double *kinks, size_t max) {
    if (act->formula) {
        const double *found;
        size_t n = fanin__formula_kinks(act->formula, &found);
        for (size_t i = 0; i < n && i < max; i++) kinks[i] = found[i];
        return n;
    }
    const fanin__act *row = fanin__act_find(act->id);
    if (!row->pieces) {
        if (row->kink_at_0 && max > 0) kinks[0] = 0;
        return row->kink_at_0;
    }
    fanin__piece pieces[4];
    size_t n = (size_t)row->pieces(act->p, pieces) - 1;
    for (size_t i = 0; i < n && i < max; i++) kinks[i] = pieces[i].end;
    return n;
}

bool fanin_activation_is_continuous(const fanin_activation *act) {
    return act->formula ? !fanin__formula_jumps(act->formula) : !fanin__act_jumps(act->id, act->p);
}

double fanin_activation_degree(const fanin_activation *act) {
    return act->formula ? NAN : fanin__act_find(act->id)->degree;
}

double fanin_activation_torch_gain(const fanin_activation *act) {
    if (act->formula) return NAN;
    if (act->id == FANIN_ACT_LEAKY_RELU) return sqrt(2 / (1 + act->p[0] * act->p[0]));
    return fanin__act_find(act->id)->torch_gain;
}

fanin_status fanin_activation_closed_moments(const fanin_activation *act, double q,
                                             fanin_activation_moments *out) {
    *out = (fanin_activation_moments){NAN, NAN, NAN, NAN};
    if (!(q > 0) || isinf(q)) return FANIN_ARG;
    if (act->formula) return FANIN_UNSUPPORTED;
    const fanin__act *row = fanin__act_find(act->id);
    if (row->pieces) {
        fanin__piece pieces[4];
        int count = row->pieces(act->p, pieces);
        fanin__moments_of_pieces(pieces, count, q, out);
        return FANIN_OK;
    }
    if (row->moments && row->moments(act->p, q, out)) return FANIN_OK;
    *out = (fanin_activation_moments){NAN, NAN, NAN, NAN};
    return FANIN_UNSUPPORTED;
}

/* ---- values of an object --------------------------------------------------------------- */

void fanin_activation_eval(const fanin_activation *act, int order, const double *x, double *y,
                           size_t n) {
    if (!act->formula) {
        fanin__act_eval_f64(act->id, act->p, order, x, y, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        double d[4];
        fanin__formula_jet(act->formula, x[i], d);
        y[i] = order >= 0 && order <= 3 ? d[order] : NAN;
    }
}

void fanin_activation_eval_f32(const fanin_activation *act, int order, const float *x, float *y,
                               size_t n) {
    if (!act->formula) {
        fanin__act_eval_f32(act->id, act->p, order, x, y, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        double d[4];
        fanin__formula_jet(act->formula, (double)x[i], d);
        y[i] = order >= 0 && order <= 3 ? (float)d[order] : NAN;
    }
}

void fanin__activation_jet(const fanin_activation *act, double x, double d[4]) {
    if (act->formula)
        fanin__formula_jet(act->formula, x, d);
    else
        fanin__act_find(act->id)->jet(act->p, x, d);
}
