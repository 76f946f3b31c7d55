/* pattern_match.c - what a cone's values are compared with: activations at some points, norms and softmax along a row
 * whose spread is of the size of eps, so that where eps stands matters. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "fanin/activation.h"
#include "graph/pattern.h"

/* Constants are float32, or half where the cone says so. */
static double tolerance(const fanin__cone *c) { return c->coarse ? 3e-3 : 2e-6; }

/* Relative distance beyond `best` is of no interest: returns early. NaN is far. */
static double distance(const double *a, const double *b, int n, double best) {
    double most = 0;
    for (int i = 0; i < n && most <= best; i++) {
        double d = fabs(a[i] - b[i]) / (1 + fabs(b[i]));
        most = isnan(d) ? INFINITY : fmax(most, d);
    }
    return most;
}

/* ---- activations --------------------------------------------------------------------------------------- */

enum { POINTS = 21 };
static const double points[POINTS] = {-7.3, -4.9,  -3.7, -3.1, -2.6, -1.9, -1.3,
                                      -0.8, -0.45, -0.1, 0.07, 0.3,  0.55, 0.9,
                                      1.4,  1.77,  2.3,  2.9,  3.4,  5.2,  7.9};
/* Of which activations with one parameter may be spelled out: the cone's own constants are tried as it. */
static const char *const known[] = {
    "gelu",         "gelu_tanh", "silu",        "silu:1.702", "mish",         "hard_swish",
    "hard_sigmoid", "softsign",  "log_sigmoid", "softplus",   "squared_relu", "tanh",
    "sigmoid",      "selu",      "elu",         "lecun_tanh", "relu6",        "gaussian",
};
static const char *const scaled[] = {"silu", "softplus", "leaky_relu", "elu", "celu"};

static bool try_one(const char *text, const double *y, double *best, bool *no_memory) {
    fanin_activation *act;
    double want[POINTS];
    fanin_status status = fanin_activation_parse(text, &act, NULL);
    if (status == FANIN_NOMEM) *no_memory = true;
    if (status != FANIN_OK) return false;
    fanin_activation_eval(act, 0, points, want, POINTS);
    fanin_activation_destroy(act);
    double d = distance(y, want, POINTS, *best);
    if (!(d < *best)) return false;
    *best = d;
    return true;
}

const char *fanin__match_activation(const fanin__finder *f, const fanin__cone *c, bool *no_memory) {
    double y[POINTS], best = tolerance(c);
    const char *found = NULL;
    char text[64];
    if (!fanin__cone_eval(f, c, POINTS, points, NULL, y, no_memory)) return NULL;
    for (size_t i = 0; i < FANIN_COUNT(known) && !*no_memory; i++)
        if (try_one(known[i], y, &best, no_memory)) found = known[i];
    for (size_t i = 0; i < FANIN_COUNT(scaled) && !found && !*no_memory; i++)
        for (int k = 0; k < c->number_count && !found && !*no_memory; k++) {
            double number = fanin__pattern_number(f, c->numbers[k], 0, NULL);
            if (!(number > 0) || number > 100) continue;
            snprintf(text, sizeof text, "%s:%.7g", scaled[i], number);
            if (!try_one(text, y, &best, no_memory)) continue;
            found = fanin__arena_strdup(f->arena, text);
            *no_memory = *no_memory || !found;
        }
    return found;
}

/* ---- norms --------------------------------------------------------------------------------------------- */

enum { LONGEST = 16384 };

/* What a row may become. */
typedef struct form {
    fanin_pattern_kind kind;
    bool centred, mean, sample; /* mean square, not the sum; the sample's variance */
    enum { INSIDE, OUTSIDE, AT_LEAST } eps;
} form;

static const form forms[] = {
    {FANIN_PATTERN_LAYER_NORM, true, true, false, INSIDE},
    {FANIN_PATTERN_LAYER_NORM, true, true, false, OUTSIDE},
    {FANIN_PATTERN_LAYER_NORM, true, true, true, OUTSIDE},
    {FANIN_PATTERN_LAYER_NORM, true, true, true, INSIDE},
    {FANIN_PATTERN_RMS_NORM, false, true, false, INSIDE},
    {FANIN_PATTERN_RMS_NORM, false, true, false, OUTSIDE},
    {FANIN_PATTERN_L2_NORM, false, false, false, AT_LEAST},
    {FANIN_PATTERN_L2_NORM, false, false, false, OUTSIDE},
    {FANIN_PATTERN_L2_NORM, false, false, false, INSIDE},
};

static void normalise(const form *m, const double *x, int n, double eps, double *z) {
    double mean = 0, squares = 0;
    for (int i = 0; i < n; i++) mean += x[i];
    mean = m->centred ? mean / n : 0;
    for (int i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    if (m->mean) squares /= m->sample ? n - 1 : n;
    double by = m->eps == INSIDE    ? sqrt(squares + eps)
                : m->eps == OUTSIDE ? sqrt(squares) + eps
                                    : fmax(sqrt(squares), eps);
    for (int i = 0; i < n; i++) z[i] = (x[i] - mean) / by;
}

static void soften(const double *x, int n, double *z) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += z[i] = exp(x[i]);
    for (int i = 0; i < n; i++) z[i] /= sum;
}

/* z scale + shift, where the roles are `scale` and `shift` of the params and `one` is added to the scale. */
static void apply(const double *z, int n, const double *scale, const double *shift, double one,
                  double *out) {
    for (int i = 0; i < n; i++)
        out[i] = z[i] * (scale ? one + scale[i] : 1) + (shift ? shift[i] : 0);
}

enum { ROWS = 2 };
typedef struct rows {
    int n;
    double *x[ROWS], *y[ROWS], *z[ROWS], *out, *p[FANIN__CONE_PARAMS], *all;
} rows;

static bool make_rows(rows *r, int n) {
    enum { EACH = 3 * ROWS + 1 + FANIN__CONE_PARAMS };
    r->n = n;
    r->all = fanin_calloc((size_t)n * EACH, sizeof *r->all);
    if (!r->all) return false;
    double *next = r->all;
    for (int i = 0; i < ROWS; i++, next += 3 * (size_t)n) {
        r->x[i] = next;
        r->y[i] = next + n;
        r->z[i] = next + 2 * (size_t)n;
    }
    r->out = next;
    for (int i = 0; i < FANIN__CONE_PARAMS; i++) r->p[i] = next + (size_t)n * (size_t)(1 + i);
    return true;
}

/* Two rows of spread 1 and `spread`, neither centred; irregular without a generator. */
static bool fill_rows(rows *r, const fanin__finder *f, const fanin__cone *c, double spread,
                      bool *no_memory) {
    for (int i = 0; i < r->n; i++) {
        double u = fmod(0.6180339887498949 * (i + 1), 1) + 0.3 * fmod(0.414213562 * (i + 1), 1);
        r->x[0][i] = 2.4 * u - 0.9;
        r->x[1][i] = spread * (2.4 * u - 0.9);
        r->p[0][i] = 0.6 + fmod(0.7320508 * (i + 1), 1);
        r->p[1][i] = -0.8 + 1.3 * fmod(0.2360679 * (i + 1), 1);
    }
    const double *const p[] = {r->p[0], r->p[1]};
    for (int k = 0; k < ROWS; k++)
        if (!fanin__cone_eval(f, c, r->n, r->x[k], p, r->y[k], no_memory)) return false;
    return true;
}

static bool same(const rows *r, const double *scale, const double *shift, double one,
                 double bound) {
    for (int k = 0; k < ROWS; k++) {
        apply(r->z[k], r->n, scale, shift, one, r->out);
        if (!(distance(r->y[k], r->out, r->n, bound) <= bound)) return false;
    }
    return true;
}

/* Which params are scale and shift of what z makes of the rows. */
static bool find_roles(const rows *r, const fanin__cone *c, fanin__row_match *m) {
    double bound = tolerance(c);
    m->scale = m->shift = -1;
    if (c->param_count == 0) return same(r, NULL, NULL, 0, bound);
    for (int one = 0; one < 2; one++)
        for (int s = 0; s < c->param_count; s++) {
            const double *shift = c->param_count == 2 ? r->p[1 - s] : NULL;
            if (!same(r, r->p[s], shift, one, bound)) continue;
            m->scale = s;
            m->shift = shift ? 1 - s : -1;
            return true;
        }
    if (c->param_count != 1 || !same(r, NULL, r->p[0], 0, bound)) return false;
    m->shift = 0;
    return true;
}

static bool match_rows(rows *r, const fanin__finder *f, const fanin__cone *c, double eps,
                       fanin__row_match *m, bool *no_memory) {
    for (size_t i = 0; i < FANIN_COUNT(forms) && !*no_memory; i++) {
        const form *t = &forms[i];
        if (eps == 0 && t->eps != INSIDE) continue;
        double spread = eps == 0 ? 0.1 : t->eps == INSIDE ? sqrt(eps) : eps;
        if (i == 0 || t->eps != t[-1].eps) /* the spread of the form before */
            if (!fill_rows(r, f, c, spread, no_memory)) return false;
        for (int k = 0; k < ROWS; k++) normalise(t, r->x[k], r->n, eps, r->z[k]);
        m->kind = t->kind;
        m->eps = eps;
        if (find_roles(r, c, m)) return true;
    }
    if (eps != 0 || c->param_count > 0 || *no_memory) return false;
    for (int k = 0; k < ROWS; k++) soften(r->x[k], r->n, r->z[k]);
    m->kind = FANIN_PATTERN_SOFTMAX;
    m->eps = NAN;
    return find_roles(r, c, m);
}

static bool match_length(const fanin__finder *f, const fanin__cone *c, int n, fanin__row_match *m,
                         bool *no_memory) {
    rows r;
    bool found = false;
    if (!make_rows(&r, n)) {
        *no_memory = true;
        return false;
    }
    for (int i = 0; i <= c->number_count && !found && !*no_memory; i++) {
        bool none = i == c->number_count; /* last: a small eps looks like none */
        double eps = none ? 0 : fanin__pattern_number(f, c->numbers[i], 0, NULL);
        if (!none && !(eps > 0 && eps <= 0.1)) continue;
        found = match_rows(&r, f, c, eps, m, no_memory);
    }
    fanin_free(r.all);
    return found;
}

/* Any length will do where means are means; where a sum is divided by a constant, that is the length, or one
 * less. */
bool fanin__match_row(const fanin__finder *f, const fanin__cone *c, fanin__row_match *m,
                      bool *no_memory) {
    if (c->sized != INT64_MIN && (c->axis_count != 1 || c->axes[0] != c->sized)) return false;
    if (match_length(f, c, 7, m, no_memory)) return true;
    for (int i = 0; i < c->number_count && !*no_memory; i++) {
        double n = fanin__pattern_number(f, c->numbers[i], 0, NULL);
        if (n > 0 && n < 1) n = 1 / n;
        n = round(n);
        if (!(n >= 3 && n <= LONGEST)) continue;
        for (int more = 0; more < 2 && !*no_memory; more++)
            if (match_length(f, c, (int)n + more, m, no_memory)) return true;
    }
    return false;
}
