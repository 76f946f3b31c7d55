/* layer_jacobian.c - mean singular value of J = diag f'(s) W, layer by layer.
 *
 * Dense layers of a few units are decomposed. Of others Golub-Kahan steps from random vectors, the rows of one
 * product and each at a sample of its own, give the mean by Gauss quadrature of |x| for the
 * spectrum of [0 J'; J 0]. With 2 k nodes the kink at 0 falls between two of them, with 2 k - 1 on one: the
 * errors are as 1 / (2k+1)^2 to -2 / (2k)^2 and cancel in a weighted mean, which leaves 1e-3 at k = 4 for the
 * law of a square Gaussian matrix. One start finds the mean of n values to sqrt(2 / n) of their spread; but the mean
 * of their squares is known, |J|^2 / n, and the same start errs in both alike. What it errs in the squares is taken
 * off, with the slope of the best line through sigma against sigma^2, which leaves a fifth. Units whose slope is 0
 * give as many values that are 0: starts leave them out, and the mean over the rest is scaled. */
#include <math.h>
#include <string.h>

#include "compute/compute.h"
#include "compute/eigen.h"
#include "probe/layer_map.h"
#include "probe/second.h"

#include "fanin/random.h"

enum { DENSE_UNITS = 16, DENSE_SAMPLES = 4, LARGE = 1 << 18, STEPS = 4 };
/* Starts: so many that n of them make VALUES, four at least, but a fifth of a pass's products at most. STEPS, one less
 * where a pass has few rows. */
enum { STARTS_MAX = 64, STARTS_WANTED = 4, VALUES = 2048, NUMBERS_MAX = 1 << 24, ROWS_ENOUGH = 64 };

/* r -= scale q row by row, then norms = |r| and r becomes of length one; rows of length 0 stay. */
static void advance(float *r, const float *q, const double *scale, size_t starts, size_t n,
                    double *norms) {
    for (size_t c = 0; c < starts; c++, r += n) {
        for (size_t i = 0; q && i < n; i++) r[i] -= (float)scale[c] * q[c * n + i];
        norms[c] = sqrt(fanin__dot(n, r, r));
        float factor = norms[c] > 0 ? (float)(1 / norms[c]) : 0;
        for (size_t i = 0; i < n; i++) r[i] *= factor;
    }
}

/* Means over the spectrum that one start sees. */
typedef struct seen {
    double one, square, cube, fourth; /* of sigma, sigma^2, ... */
} seen;

/* Quadrature at the first unit vector of the tridiagonal matrix with off-diagonal off[count]. */
static fanin_status moments(const double *off, size_t count, seen *m) {
    double d[2 * STEPS] = {0}, e[2 * STEPS] = {0}, first[2 * STEPS] = {0};
    memcpy(e, off, count * sizeof *off);
    first[0] = 1;
    FANIN_TRY(fanin__tridiagonal_eigen(count + 1, d, e, 1, first));
    *m = (seen){0, 0, 0, 0};
    for (size_t i = 0; i <= count; i++) {
        double weight = first[i] * first[i], size = fabs(d[i]);
        m->one += weight * size;
        m->square += weight * size * size;
        m->cube += weight * size * size * size;
        m->fourth += weight * size * size * size * size;
    }
    return FANIN_OK;
}

/* off[count]: alpha_1, beta_1, alpha_2, ... alpha_k of one start. */
static fanin_status quadrature(const double *off, size_t count, seen *m) {
    size_t used = 0;
    seen odd;
    while (used < count && off[used] > 1e-6 * off[0]) used++;
    FANIN_TRY(moments(off, used, m));
    /* where the start spans an invariant space the rule is exact */
    if (used < count) return FANIN_OK;
    FANIN_TRY(moments(off, count - 1, &odd));
    double nodes = (double)count + 1;
    double weight_even = 2 / (nodes * nodes), weight_odd = 1 / ((nodes + 1) * (nodes + 1));
    m->one = (weight_even * m->one + weight_odd * odd.one) / (weight_even + weight_odd);
    return FANIN_OK;
}

/* squares[c]: |J|^2 over the values that start c sees; share[c]: those of all min(units, inputs). */
static void combine(const seen *m, const double *squares, const double *share, size_t starts,
                    double *mean, double *error) {
    seen all = {0, 0, 0, 0};
    double n = (double)starts, scatter = 0;
    for (size_t c = 0; c < starts; c++) {
        all.one += m[c].one / n;
        all.square += m[c].square / n;
        all.cube += m[c].cube / n;
        all.fourth += m[c].fourth / n;
    }
    double spread = all.fourth - all.square * all.square, one[STARTS_MAX];
    double line = spread > 1e-6 * all.fourth ? (all.cube - all.one * all.square) / spread : 0;
    *mean = 0;
    for (size_t c = 0; c < starts; c++) {
        one[c] = share[c] * (m[c].one - line * (m[c].square - squares[c]));
        *mean += one[c] / n;
    }
    for (size_t c = 0; c < starts; c++) scatter += (one[c] - *mean) * (one[c] - *mean);
    *error = starts > 1 ? sqrt(scatter / (n * (n - 1))) : NAN;
}

/* |J|^2 / seen[c] at every start. */
static fanin_status mean_squares(const fanin__layer_map *map, const size_t *seen_by,
                                 double *squares) {
    float *norms = fanin_malloc(map->units * sizeof *norms);
    if (!norms) return FANIN_NOMEM;
    fanin_status status = fanin__layer_map_norms(map, norms);
    for (size_t c = 0; c < map->starts && status == FANIN_OK; c++) {
        const float *slope = map->slope ? map->slope + c * map->units : NULL;
        squares[c] = 0;
        for (size_t u = 0; u < map->units; u++)
            squares[c] += slope ? (double)(norms[u] * slope[u] * slope[u]) : (double)norms[u];
        squares[c] /= (double)(seen_by[c] ? seen_by[c] : 1);
    }
    fanin_free(norms);
    return status;
}

/* Units whose slope is not 0, at each start; their mean. */
static double count_alive(const fanin__layer_map *map, size_t *alive) {
    double mean = 0;
    for (size_t c = 0; c < map->starts; c++) {
        alive[c] = map->units;
        for (size_t u = 0; u < map->units && map->slope; u++)
            alive[c] -= map->slope[c * map->units + u] == 0;
        mean += (double)alive[c] / (double)map->starts;
    }
    return mean;
}

/* block: v and r of the smaller side, u and p of the larger one, row by row. */
static fanin_status estimate(const fanin__layer_map *map, int steps, float *block, double *mean,
                             double *error) {
    size_t starts = map->starts, seen_by[STARTS_MAX];
    bool wide = count_alive(map, seen_by) <= (double)map->inputs; /* the units are fewer */
    size_t n = wide ? map->units : map->inputs, m = wide ? map->inputs : map->units;
    size_t all = map->units < map->inputs ? map->units : map->inputs;
    float *v = block, *r = v + n * starts, *u = r + n * starts, *p = u + m * starts;
    double off[STARTS_MAX][2 * STEPS], scale[STARTS_MAX], norms[STARTS_MAX], squares[STARTS_MAX],
        share[STARTS_MAX];
    seen found[STARTS_MAX];
    const fanin_law law = {.kind = FANIN_LAW_NORMAL, .b = 1};
    fanin_stream stream = fanin_stream_init(0, "check/layer_jacobian");
    (void)fanin_random_fill(&stream, 0, &law, 0, n * starts, FANIN_F32, v);
    for (size_t i = 0; i < n * starts && wide && map->slope; i++)
        if (map->slope[i] == 0) v[i] = 0;
    for (size_t c = 0; c < starts; c++) {
        if (!wide) seen_by[c] = n;
        share[c] = (double)seen_by[c] / (double)all;
    }
    advance(v, NULL, NULL, starts, n, norms);
    for (int k = 0; k < steps; k++) {
        memcpy(r, v, n * starts * sizeof *r);
        fanin__layer_map_multiply(map, wide, r, p);
        for (size_t c = 0; c < starts; c++) scale[c] = k ? off[c][2 * k - 1] : 0;
        advance(p, k ? u : NULL, scale, starts, m, norms);
        for (size_t c = 0; c < starts; c++) off[c][2 * k] = scale[c] = norms[c];
        if (k + 1 == steps) break;
        memcpy(u, p, m * starts * sizeof *u);
        fanin__layer_map_multiply(map, !wide, p, r);
        advance(r, v, scale, starts, n, norms);
        memcpy(v, r, n * starts * sizeof *v);
        for (size_t c = 0; c < starts; c++) off[c][2 * k + 1] = norms[c];
    }
    for (size_t c = 0; c < starts; c++) {
        for (int k = 0; k < 2 * steps - 1; k++)
            if (!isfinite(off[c][k])) return FANIN_NUMERIC;
        FANIN_TRY(quadrature(off[c], (size_t)(2 * steps - 1), &found[c]));
    }
    FANIN_TRY(mean_squares(map, seen_by, squares));
    combine(found, squares, share, starts, mean, error);
    return FANIN_OK;
}

static fanin_status mean_dense(const fanin__layer_map *v, double *mean, double *error) {
    size_t each = v->units < v->inputs ? v->units : v->inputs, cells = v->units * v->inputs;
    double *j = fanin_calloc(cells + each, sizeof *j), all = 0, squares = 0, *sigma = j + cells;
    if (!j) return FANIN_NOMEM;
    fanin_status status = FANIN_OK;
    for (size_t c = 0; c < v->starts && status == FANIN_OK; c++) {
        double sum = 0, one = 0;
        for (size_t u = 0; u < v->units; u++)
            for (size_t i = 0; i < v->inputs; i++) {
                size_t at = v->rows_are_inputs ? i * v->units + u : u * v->inputs + i;
                double slope = v->slope ? (double)v->slope[c * v->units + u] : 1;
                sum += j[u * v->inputs + i] = (double)v->w[at] * slope;
            }
        status =
            isfinite(sum) ? fanin__singular_values(v->units, v->inputs, j, sigma) : FANIN_NUMERIC;
        for (size_t k = 0; k < each; k++) one += sigma[k] / (double)each;
        all += one;
        squares += one * one;
    }
    double n = (double)v->starts;
    *mean = all / n;
    *error = n > 1 ? sqrt(fmax(squares / n - *mean * *mean, 0) / (n - 1)) : 0;
    fanin_free(j);
    return status;
}

/* ---- slopes ------------------------------------------------------------------------------------------- */

/* Values of one unit over the batch, or of one channel over the first sample. */
typedef struct run {
    const float *v;
    size_t step;
} run;

static run run_of(const fanin_program *p, int value, size_t units, size_t channels, size_t c) {
    const float *v = fanin_program_value(p, value).data;
    if (units == channels) return (run){v + c, units};
    if (fanin_program_value_channels_last(p, value)) return (run){v + c, channels};
    return (run){v + c * (units / channels), 1};
}

/* y = factor s + shift: from two that differ most. */
static float factor_of(run s, run y, size_t count) {
    size_t low = 0, high = 0;
    for (size_t i = 0; i < count; i++) {
        if (s.v[i * s.step] < s.v[low * s.step]) low = i;
        if (s.v[i * s.step] > s.v[high * s.step]) high = i;
    }
    float apart = s.v[high * s.step] - s.v[low * s.step];
    return apart > 0 ? (y.v[high * y.step] - y.v[low * y.step]) / apart : 1;
}

/* A batch norm's scale belongs to f; other norms depend on the sample and are passed over. */
static void take_norm(const fanin__layer *layer, const fanin_program *p, const fanin__layer_map *v,
                      size_t batch, float *slope) {
    fanin_buffer s = fanin_program_value(p, layer->output),
                 y = fanin_program_value(p, layer->norm_output);
    if (!y.data || y.count != s.count || y.dtype != FANIN_F32 || s.rank < 2) return;
    size_t channels = (size_t)s.dims[1], points = v->units / channels;
    if (s.count != batch * v->units || v->units != channels * points) return;
    for (size_t c = 0; c < channels; c++) {
        float factor = factor_of(run_of(p, layer->output, v->units, channels, c),
                                 run_of(p, layer->norm_output, v->units, channels, c),
                                 points > 1 ? points : batch);
        for (size_t k = 0; k < v->starts; k++)
            for (size_t i = 0; i < points; i++) slope[k * v->units + c * points + i] *= factor;
    }
}

/* Slopes at rows of x spread over the batch, channel by channel; scratch: `units` numbers. */
static void take_slopes(const fanin__layer *layer, fanin_buffer x, bool channels_last, size_t units,
                        size_t starts, float *scratch, float *slope) {
    size_t rows = x.count / units;
    for (size_t c = 0; c < starts; c++, slope += units) {
        const float *row = (const float *)x.data + c * rows / starts * units;
        fanin_activation_eval_f32(layer->act, 1, row, channels_last ? scratch : slope, units);
        size_t channels = (size_t)x.dims[1];
        if (channels_last) fanin__transpose(1, units / channels, channels, scratch, slope);
    }
}

/* Products with the starts cost 2 steps - 1 to the layer's own 3 a row of the batch. Few rows pay for few. */
static int choose_steps(size_t rows) { return rows < ROWS_ENOUGH ? STEPS - 1 : STEPS; }

static size_t choose_starts(const fanin__layer_map *v, size_t rows, bool sloped) {
    size_t n = v->units < v->inputs ? v->units : v->inputs, most = rows * 6 / 10 / (2 * STEPS);
    size_t want = VALUES / n, block = 3 * (v->units + v->inputs);
    if (want < STARTS_WANTED) want = sloped || n < VALUES ? STARTS_WANTED : 2;
    if (want > most) want = most;
    if (want > NUMBERS_MAX / block) want = NUMBERS_MAX / block;
    if (want > STARTS_MAX) want = STARTS_MAX;
    size_t least = v->conv || rows < 2 ? 1 : 2; /* two read a matrix once, and tell their error */
    return want < least ? least : want;
}

static fanin_status at_samples(const fanin__layer *layer, const fanin_program *p,
                               fanin__layer_map v, fanin_buffer x, size_t batch, double *mean,
                               double *error) {
    size_t n = v.units < v.inputs ? v.units : v.inputs;
    bool dense = !v.conv && n <= DENSE_UNITS && v.units * v.inputs <= LARGE;
    size_t rows = fanin_program_value(p, layer->output).count / v.units;
    v.starts = dense ? (x.data ? DENSE_SAMPLES : 1) : choose_starts(&v, rows, x.data != NULL);
    float *block = fanin_calloc((3 * v.units + 2 * v.inputs) * v.starts + 1, sizeof *block);
    v.columns = fanin_malloc((fanin__layer_map_scratch(&v) + 1) * sizeof *v.columns);
    fanin_status status = block && v.columns ? FANIN_OK : FANIN_NOMEM;
    if (status == FANIN_OK && x.data) {
        float *slope = block + 2 * (v.units + v.inputs) * v.starts;
        take_slopes(layer, x, fanin_program_value_channels_last(p, layer->act_input), v.units,
                    v.starts, block, slope);
        if (layer->act_input != layer->output) take_norm(layer, p, &v, batch, slope);
        v.slope = slope;
    }
    if (status == FANIN_OK)
        status = dense ? mean_dense(&v, mean, error)
                       : estimate(&v, choose_steps(rows), block, mean, error);
    fanin_free(block);
    fanin_free(v.columns);
    if (status == FANIN_NUMERIC) *mean = *error = NAN;
    return status == FANIN_NUMERIC ? FANIN_OK : status;
}

fanin_status fanin__layer_jacobian(const fanin_graph *g, const fanin__layer *layer,
                                   const fanin_program *p, size_t batch, double *mean,
                                   double *error) {
    fanin_buffer x = {0}, s = fanin_program_value(p, layer->output);
    fanin__layer_map v;
    *mean = *error = NAN;
    if (!fanin__layer_map_open(g, layer, p, &v) || s.count < v.units) return FANIN_OK;
    if (layer->act && layer->act_input >= 0) {
        x = fanin_program_value(p, layer->act_input);
        if (!x.data || x.dtype != FANIN_F32) return FANIN_OK;
        /* pooled or joined with others' on the way: the activation is of something else */
        if (x.count != s.count)
            x = (fanin_buffer){0};
        else if (x.rank < 2 || x.dims[x.rank - 1] != s.dims[s.rank - 1] ||
                 (v.conv ? x.rank != s.rank
                         : fanin_program_value_channels_last(p, layer->act_input)))
            return FANIN_OK; /* it sees the units in another order */
    }
    return at_samples(layer, p, v, x, batch, mean, error);
}
