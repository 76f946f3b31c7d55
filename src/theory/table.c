/* The maps of an activation as tables in ln q, for many (sigma_w, sigma_b) at once.
 *
 * At nodes 0.1 apart in ln q: E f^2, E f'^2, slope of E f^2, and 96 Hermite coefficients less those
 * of kinks, which oscillate in q; between nodes eight-point Lagrange interpolation. The correlation
 * map is then a polynomial with non-negative coefficients and the closed tail of the kinks: convex,
 * so Newton from the left cannot miss. */
#include <math.h>
#include <string.h>

#include "theory/theory.h"

#define STEP    0.1
#define TERMS   96
#define POINTS  8
#define COLUMNS (3 + TERMS + 1) /* V, E f'^2, dV/dq, a_k, rest */

struct fanin_meanfield_table {
    double low; /* ln q of the first node */
    size_t count;
    double far;  /* the limit of E f'^2 at large q; NaN: f does not grow like a straight line */
    bool single; /* V/q falls: one fixed point whatever the sigmas */
    fanin__kinks kinks, slopes; /* of f, and the derivative of what they stand for */
    double (*row)[COLUMNS];
};

typedef struct making {
    const fanin_activation *act;
    fanin_meanfield_table *table;
    fanin_status *status;
} making;

static fanin_status make_row(const making *m, double q, double *row) {
    const fanin__kinks *kinks = &m->table->kinks;
    double total, sum = 0, r[TERMS] = {0};
    fanin_expectations moments;
    FANIN_TRY(fanin_gaussian_moments(m->act, 0, q, &moments, NULL));
    FANIN_TRY(fanin__hermite(m->act, 0, q, TERMS, row + 3, &total, NULL));
    /* Relative to q: smooth where q is small. */
    row[0] = moments.second / q;
    row[1] = moments.slope_second;
    row[2] = moments.slope_second + moments.curve_product;
    if (kinks->n) {
        fanin__kinks_coefficients(kinks, q, TERMS, r);
        sum = fanin__kinks_tail(kinks, q, q, 1, r, r, TERMS);
    }
    for (size_t k = 0; k < TERMS; k++) {
        sum += row[3 + k] * row[3 + k];
        row[3 + k] = (row[3 + k] - r[k]) / sqrt(q);
    }
    row[3 + TERMS] = fmax(0, row[0] - sum / q);
    return FANIN_OK;
}

static void make_rows(void *arg, size_t begin, size_t end) {
    making *m = arg;
    for (size_t i = begin; i < end; i++)
        m->status[i] = make_row(m, exp(m->table->low + STEP * (double)i), m->table->row[i]);
}

/* Bends (jumps of f') only, unless f is of straight and quadratic pieces: over a range of q the higher
 * orders of other functions grow out of hand. */
static void find_kinks(fanin_meanfield_table *t, const fanin_activation *act) {
    fanin__kinks_find(act, 0, TERMS, TERMS, &t->kinks);
    if (t->kinks.orders < 2) t->kinks.orders = 2;
    t->slopes = t->kinks;
    t->slopes.orders--;
    for (size_t i = 0; i < t->kinks.n; i++)
        for (int m = 0; m < t->slopes.orders; m++) t->slopes.jump[i][m] = t->kinks.jump[i][m + 1];
}

fanin_status fanin_meanfield_table_create(const fanin_activation *act, double q_low, double q_high,
                                          fanin_meanfield_table **out, fanin_err *err) {
    *out = NULL;
    if (!(q_low >= 1e-30) || !(q_high > q_low) || q_high > 1e30)
        return fanin_err_set(err, FANIN_ARG, "table from q = %g to %g: 1e-30 ... 1e30, ascending",
                             q_low, q_high);
    if (!fanin_activation_is_continuous(act))
        return fanin_err_set(err, FANIN_DOMAIN, "%.80s jumps: chi_1 is infinite everywhere",
                             fanin_activation_name(act));
    fanin_meanfield_table *t = fanin_calloc(1, sizeof *t);
    fanin_status *status = NULL, worst = FANIN_NOMEM;
    if (t) {
        t->low = log(q_low);
        t->count = (size_t)ceil((log(q_high) - t->low) / STEP) + 1;
        if (t->count < POINTS) t->count = POINTS;
        t->row = fanin_calloc(t->count, sizeof *t->row);
        status = fanin_calloc(t->count, sizeof *status);
    }
    if (t && t->row && status) {
        find_kinks(t, act);
        double a, b;
        t->far = fanin__far_slopes(act, &a, &b) ? 0.5 * (a * a + b * b) : NAN;
        making m = {act, t, status};
        fanin_parallel_for(t->count, 1, make_rows, &m);
        worst = FANIN_OK;
        t->single = true;
        for (size_t i = t->count; i-- > 0;) {
            if (status[i] != FANIN_OK) worst = status[i];
            if (i > 0 && t->row[i][0] > t->row[i - 1][0] * (1 + 1e-13)) t->single = false;
        }
    }
    fanin_free(status);
    if (worst == FANIN_OK) {
        *out = t;
        return FANIN_OK;
    }
    fanin_meanfield_table_destroy(t);
    if (worst == FANIN_NOMEM) return fanin_err_set(err, worst, "mean-field table: no memory");
    return fanin_err_set(err, worst, "%.80s has no finite moments all the way from q = %g to %g",
                         fanin_activation_name(act), q_low, q_high);
}

void fanin_meanfield_table_destroy(fanin_meanfield_table *table) {
    if (!table) return;
    fanin_free(table->row);
    fanin_free(table);
}

/* ---- interpolation --------------------------------------------------------------------- */

typedef struct spot {
    const double (*row)[COLUMNS];
    double w[POINTS];
} spot;

static spot spot_at(const fanin_meanfield_table *t, double log_q) {
    static const double binomial[POINTS] = {-1, 7, -21, 35, -35, 21, -7, 1};
    double x = (log_q - t->low) / STEP, total = 0;
    double first = floor(x) - POINTS / 2 + 1, last = (double)(t->count - POINTS);
    spot s;
    if (first < 0) first = 0;
    if (first > last) first = last;
    s.row = (const double(*)[COLUMNS])(t->row + (size_t)first);
    for (int i = 0; i < POINTS; i++) {
        double gap = x - (first + i);
        if (fabs(gap) < 1e-12) {
            memset(s.w, 0, sizeof s.w);
            s.w[i] = 1;
            return s;
        }
        s.w[i] = binomial[i] / gap;
        total += s.w[i];
    }
    for (int i = 0; i < POINTS; i++) s.w[i] /= total;
    return s;
}

static double column(const spot *s, int c) {
    double sum = 0;
    for (int i = 0; i < POINTS; i++) sum += s->w[i] * s->row[i][c];
    return sum;
}

/* ---- solving --------------------------------------------------------------------------- */

/* F(q)/q - 1 and its slope in ln q. */
static double excess(const fanin_meanfield_table *t, double w2, double b2, double log_q,
                     double *slope) {
    spot s = spot_at(t, log_q);
    double v = column(&s, 0), own = w2 * v + b2 * exp(-log_q);
    *slope = w2 * column(&s, 2) - own;
    return own - 1;
}

static bool newton_q(const fanin_meanfield_table *t, double w2, double b2, double *log_q) {
    double low = t->low, high = t->low + STEP * (double)(t->count - 1), slope;
    for (int i = 0; i < 40; i++) {
        double g = excess(t, w2, b2, *log_q, &slope);
        if (!(slope < 0)) return false; /* an unstable stretch: leave it to the scan */
        double step = -g / slope;
        if (step > 1) step = 1;
        if (step < -1) step = -1;
        *log_q += step;
        if (*log_q < low || *log_q > high) return false;
        if (fabs(step) < 1e-13) return true;
    }
    return false;
}

/* The fixed point reached from q = 1: the first sign change in the direction of motion. */
static double scan_q(const fanin_meanfield_table *t, double w2, double b2) {
    double low = t->low, high = t->low + STEP * (double)(t->count - 1), slope, x = 0, step;
    double g = excess(t, w2, b2, x, &slope);
    if (fabs(g) < 1e-13) return 0;
    step = g > 0 ? 0.25 : -0.25;
    double to = x + step, h = g;
    for (; to >= low && to <= high; x = to, g = h, to += step) {
        h = excess(t, w2, b2, to, &slope);
        if ((h > 0) == (g > 0)) continue;
        for (int i = 0; i < 60; i++) {
            double mid = 0.5 * (x + to), m = excess(t, w2, b2, mid, &slope);
            if ((m > 0) == (g > 0))
                x = mid;
            else
                to = mid;
        }
        return 0.5 * (x + to);
    }
    return step > 0 ? INFINITY : -INFINITY;
}

/* The correlation map at one point of the plane. p has TERMS coefficients and at TERMS the rest, which
 * counts as one power of c: the one that gives the map its exact value and slope at c = 1. */
typedef struct map {
    const fanin_meanfield_table *t;
    double q, w2, bias, power, p[TERMS + 1], kinks[TERMS]; /* the last: of r_k^2 */
} map;

static double series(const double *p, double c, double *slope) {
    double c2 = c * c, even = 0, odd = 0, even_slope = 0, odd_slope = 0;
    for (int k = TERMS - 2; k >= 0; k -= 2) { /* two chains in c^2 */
        even_slope = even_slope * c2 + even;
        odd_slope = odd_slope * c2 + odd;
        even = even * c2 + p[k];
        odd = odd * c2 + p[k + 1];
    }
    *slope = 2 * c * (even_slope + c * odd_slope) + odd;
    return even + c * odd;
}

/* What the kinks add beyond the series, and its slope; nothing yet where c^TERMS is nothing. */
static double tail(const map *m, double c, double *slope) {
    *slope = 0;
    if (!m->t->kinks.n || c < 0.7) return 0;
    double inside = series(m->kinks, c, slope);
    *slope = m->w2 * fanin__kinks_dual(&m->t->slopes, m->q, m->q, c) - *slope;
    return m->w2 / m->q * fanin__kinks_dual(&m->t->kinks, m->q, m->q, c) - inside;
}

/* C(c) - c and its slope. */
static double fall(const map *m, double c, double *slope) {
    double own, more, value = series(m->p, c, &own) + tail(m, c, &more);
    double top = c > 0 ? m->p[TERMS] * exp((m->power - 1) * log(c)) : 0;
    *slope = own + more + m->power * top - 1;
    return value + top * c + m->bias - c;
}

static void make_map(map *m, const spot *s, double chi1) {
    double own, more;
    memset(m->kinks, 0, sizeof m->kinks);
    if (m->t->kinks.n) fanin__kinks_coefficients(&m->t->kinks, m->q, TERMS, m->kinks);
    for (int k = 0; k < TERMS; k++) {
        double r = m->kinks[k] / sqrt(m->q), a = column(s, 3 + k) + r;
        m->p[k] = m->w2 * a * a;
        m->kinks[k] = m->w2 * r * r;
    }
    m->p[TERMS] = m->w2 * fmax(0, column(s, 3 + TERMS));
    m->power = TERMS;
    series(m->p, 1, &own);
    tail(m, 1, &more);
    if (m->p[TERMS] > 1e-13) m->power = fmax(TERMS, (chi1 - own - more) / m->p[TERMS]);
}

/* No other fixed point lies between q = 1 and this one: layers come here from q = 1. */
static bool first_met(const fanin_meanfield_table *t, double w2, double b2, double log_q) {
    double slope, g = excess(t, w2, b2, 0, &slope), step = log_q > 0 ? 0.25 : -0.25;
    if (t->single) return true;
    if ((g > 0) != (log_q > 0) && fabs(log_q) > 1e-9) return false;
    for (double x = step; fabs(x) < fabs(log_q) - 0.01; x += step)
        if ((excess(t, w2, b2, x, &slope) > 0) != (g > 0)) return false;
    return true;
}

static void solve_c(map *m, const spot *s, double chi1, fanin_meanfield *out) {
    double c = 0, slope = 0;
    out->c = 1;
    out->chi_c = chi1;
    if (!(chi1 > 1 + 1e-12)) return;
    make_map(m, s, chi1);
    for (int i = 0; i < 60; i++) {
        double g = fall(m, c, &slope);
        if (!(slope < 0)) break; /* past the minimum by rounding: c = 1 to all digits */
        double step = -g / slope;
        if (i > 0 && !(step > 1e-14)) break;
        c += step > 0 ? step : 0;
        if (c >= 1) return;
    }
    fall(m, c, &slope);
    out->c = c;
    out->chi_c = fmin(1, slope + 1);
}

fanin_status fanin_meanfield_table_solve(const fanin_meanfield_table *t, double sigma_w2,
                                         double sigma_b2, double guess, fanin_meanfield *out,
                                         fanin_err *err) {
    *out = (fanin_meanfield){0};
    if (!(sigma_w2 >= 0) || !(sigma_b2 >= 0) || isinf(sigma_w2) || isinf(sigma_b2))
        return fanin_err_set(err, FANIN_DOMAIN,
                             "sigma_w2 = %g, sigma_b2 = %g: variances are numbers from 0 on",
                             sigma_w2, sigma_b2);
    double log_q = guess > 0 && isfinite(guess) ? log(guess) : 0;
    double low = t->low, high = low + STEP * (double)(t->count - 1);
    bool inside = log_q > low && log_q < high && newton_q(t, sigma_w2, sigma_b2, &log_q);
    if (inside) inside = first_met(t, sigma_w2, sigma_b2, log_q);
    if (!inside) log_q = scan_q(t, sigma_w2, sigma_b2);
    out->q = isinf(log_q) ? (log_q > 0 ? INFINITY : 0) : exp(log_q);
    double here = isinf(log_q) ? (log_q > 0 ? high : low) : log_q;
    spot s = spot_at(t, here);
    out->chi1 = sigma_w2 * column(&s, 1);
    out->chi_q = sigma_w2 * column(&s, 2);
    if (log_q == INFINITY && !isnan(t->far)) out->chi1 = out->chi_q = sigma_w2 * t->far;
    if (isinf(log_q)) {
        out->c = 1;
        out->chi_c = fmin(1, out->chi1);
    } else {
        map m = {.t = t, .q = out->q, .w2 = sigma_w2, .bias = sigma_b2 / out->q};
        solve_c(&m, &s, out->chi1, out);
    }
    fanin__meanfield_finish(out, NAN, sigma_w2);
    return FANIN_OK;
}

/* ---- a grid ---------------------------------------------------------------------------- */

typedef struct grid {
    const fanin_meanfield_table *table;
    const fanin_phase_grid *g;
    double *chi1, *xi_c, *q, *c;
} grid;

static void grid_rows(void *arg, size_t begin, size_t end) {
    grid *r = arg;
    const fanin_phase_grid *g = r->g;
    for (size_t j = begin; j < end; j++) {
        double b2 = g->b2_low + (g->b2_high - g->b2_low) * (double)j / (double)(g->rows - 1);
        double guess = 1;
        for (size_t i = 0; i < g->columns; i++) {
            double w2 = g->w2_low + (g->w2_high - g->w2_low) * (double)i / (double)(g->columns - 1);
            fanin_meanfield m;
            size_t at = j * g->columns + i;
            fanin_meanfield_table_solve(r->table, w2, b2, guess, &m, NULL);
            guess = m.q > 0 && isfinite(m.q) ? m.q : 1;
            r->chi1[at] = m.chi1;
            r->xi_c[at] = m.xi_c;
            if (r->q) r->q[at] = m.q;
            if (r->c) r->c[at] = m.c;
        }
    }
}

/* Fast waves cannot be integrated at large q; they are bounded, and what they need is less. */
static fanin_status grid_table(const fanin_activation *act, fanin_meanfield_table **out,
                               fanin_err *err) {
    fanin_status status = FANIN_NOCONV;
    for (double high = 1e5; high > 10 && status == FANIN_NOCONV; high /= 10)
        status = fanin_meanfield_table_create(act, 1e-9, high, out, err);
    return status;
}

static fanin_status check_grid(const fanin_phase_grid *g, fanin_err *err) {
    if (g->columns < 2 || g->rows < 2 || g->columns > 20000 || g->rows > 20000 ||
        !(g->w2_low >= 0 && g->w2_high > g->w2_low && g->w2_high < 1e6) ||
        !(g->b2_low >= 0 && g->b2_high > g->b2_low && g->b2_high < 1e6))
        return fanin_err_set(err, FANIN_ARG,
                             "phase grid %zu x %zu over sigma_w2 %g ... %g, sigma_b2 %g ... %g",
                             g->columns, g->rows, g->w2_low, g->w2_high, g->b2_low, g->b2_high);
    return FANIN_OK;
}

fanin_status fanin_phase_grid_solve(const fanin_activation *act, const fanin_phase_grid *g,
                                    double *chi1, double *xi_c, double *q, double *c,
                                    fanin_err *err) {
    fanin_meanfield_table *table;
    FANIN_TRY(check_grid(g, err));
    FANIN_TRY(grid_table(act, &table, err));
    grid r = {table, g, chi1, xi_c, q, c};
    fanin_parallel_for(g->rows, 4, grid_rows, &r);
    fanin_meanfield_table_destroy(table);
    return FANIN_OK;
}

/* ---- the edge of chaos on a grid --------------------------------------------------------- */

typedef struct edges {
    const fanin_meanfield_table *table;
    const fanin_phase_grid *g;
    const double *chi1;
    double *across, *up;
} edges;

/* The share of the way from one grid point to the next at which chi_1 passes 1, by halving: chi_1 may
 * jump there. NaN if both lie on one side. */
static double passage(const edges *e, size_t row, size_t column, size_t next_row,
                      size_t next_column) {
    const fanin_phase_grid *g = e->g;
    bool chaos = e->chi1[row * g->columns + column] >= 1;
    if (chaos == (e->chi1[next_row * g->columns + next_column] >= 1)) return NAN;
    double low = 0, high = 1, dw = (g->w2_high - g->w2_low) / (double)(g->columns - 1),
           db = (g->b2_high - g->b2_low) / (double)(g->rows - 1);
    for (int i = 0; i < 12; i++) { /* to a 4000th of a cell */
        double mid = 0.5 * (low + high);
        fanin_meanfield m;
        fanin_meanfield_table_solve(
            e->table, g->w2_low + dw * ((double)column + (next_column != column ? mid : 0)),
            g->b2_low + db * ((double)row + (next_row != row ? mid : 0)), 0, &m, NULL);
        if ((m.chi1 >= 1) == chaos)
            low = mid;
        else
            high = mid;
    }
    return 0.5 * (low + high);
}

static void edge_rows(void *arg, size_t begin, size_t end) {
    edges *e = arg;
    for (size_t r = begin; r < end; r++)
        for (size_t c = 0; c < e->g->columns; c++) {
            size_t at = r * e->g->columns + c;
            e->across[at] = c + 1 < e->g->columns ? passage(e, r, c, r, c + 1) : NAN;
            e->up[at] = r + 1 < e->g->rows ? passage(e, r, c, r + 1, c) : NAN;
        }
}

fanin_status fanin_phase_edges_solve(const fanin_activation *act, const fanin_phase_grid *g,
                                     const double *chi1, double *across, double *up,
                                     fanin_err *err) {
    fanin_meanfield_table *table;
    FANIN_TRY(check_grid(g, err));
    FANIN_TRY(grid_table(act, &table, err));
    edges e = {table, g, chi1, across, up};
    fanin_parallel_for(g->rows, 4, edge_rows, &e);
    fanin_meanfield_table_destroy(table);
    return FANIN_OK;
}
