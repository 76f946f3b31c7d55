/* form_orthogonal.c - orthogonality of a whole matrix costs two products with a vector, not a product of matrices: for
 * random signs v, Q'Q v = g^2 v fails in at least half of all v if Q'Q is not g^2 I (Freivalds 1977); three vectors are
 * tried. A row of zeros, a row that comes twice and a wrong length are seen with any v. */
#include <math.h>
#include <string.h>

#include "probe/form.h"

enum { SIGNS = 3 };

static double sign_of(uint64_t i, int k) {
    uint64_t z =
        i * UINT64_C(0x9E3779B97F4A7C15) + UINT64_C(0xD1B54A32D192ED03) * (uint64_t)(k + 1);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z >> 63 ? 1 : -1;
}

/* to[row] += A from, of SIGNS vectors at once, kept one beside the other. */
static void times(const fanin__grid *g, uint64_t block, const double *from, double *to) {
    double x[FANIN__PIECE];
    for (uint64_t r = 0; r < g->view->out; r++)
        for (uint64_t c = 0; c < g->cols; c += FANIN__PIECE) {
            size_t n = fanin__piece(g->cols - c);
            const double *f = from + c * SIGNS;
            double sum[SIGNS] = {0};
            fanin__grid_read(g, block, r, c, n, x);
            for (size_t i = 0; i < n; i++)
                for (int k = 0; k < SIGNS; k++) sum[k] += x[i] * f[i * SIGNS + (size_t)k];
            for (int k = 0; k < SIGNS; k++) to[r * SIGNS + (uint64_t)k] += sum[k];
        }
}

/* to[column] += A' from. */
static void times_transposed(const fanin__grid *g, uint64_t block, const double *from, double *to) {
    double x[FANIN__PIECE];
    for (uint64_t r = 0; r < g->view->out; r++)
        for (uint64_t c = 0; c < g->cols; c += FANIN__PIECE) {
            size_t n = fanin__piece(g->cols - c);
            const double *f = from + r * SIGNS;
            double *t = to + c * SIGNS;
            fanin__grid_read(g, block, r, c, n, x);
            for (size_t i = 0; i < n; i++)
                for (int k = 0; k < SIGNS; k++) t[i * SIGNS + (size_t)k] += x[i] * f[k];
        }
}

/* Largest |(Q'Q v - s v) / s| and the line where it stands; s is the mean squared length of the lines. */
static void defect_of(const fanin__grid *g, uint64_t block, double *memory, double *scale,
                      double *defect, uint64_t *line) {
    uint64_t rows = g->view->out, cols = g->cols, shorter = rows < cols ? rows : cols;
    double *v = memory, *w = v + SIGNS * shorter, *u = w + SIGNS * (rows + cols - shorter);
    memset(w, 0, (rows + cols) * SIGNS * sizeof *w);
    for (uint64_t i = 0; i < shorter; i++)
        for (int k = 0; k < SIGNS; k++) v[i * SIGNS + (uint64_t)k] = sign_of(i, k);
    (rows <= cols ? times_transposed : times)(g, block, v, w);
    (rows <= cols ? times : times_transposed)(g, block, w, u);
    *scale = *defect = 0;
    *line = 0;
    double x[FANIN__PIECE];
    for (uint64_t r = 0; r < rows; r++)
        for (uint64_t c = 0; c < cols; c += FANIN__PIECE) {
            size_t n = fanin__piece(cols - c);
            fanin__grid_read(g, block, r, c, n, x);
            for (size_t i = 0; i < n; i++) *scale += x[i] * x[i];
        }
    *scale /= (double)shorter;
    for (uint64_t i = 0; i < shorter * SIGNS; i++) {
        double off = fabs(u[i] / *scale - v[i]);
        if (off <= *defect) continue;
        *defect = off;
        *line = i / SIGNS;
    }
}

/* A rounding of relative size r at random moves Q'Q v by some 1.4 r; its largest of many some five times that. The mean
 * length moves by the mean of n roundings. */
static void judge_matrix(const fanin__grid *g, const fanin__recipe *plan, uint64_t block,
                         double scale, double defect, uint64_t line, fanin__form *form) {
    size_t size = g->size;
    double limit = size == 1 ? 0.6 : size == 2 ? 0.02 : 1e-3;
    double root = sqrt((double)(g->view->out * g->cols));
    double length = size == 1 ? 0.1 + 0.3 / root : size == 2 ? 2e-3 + 0.02 / root : 1e-4;
    double gain2 = plan->gain * plan->gain, ratio = gain2 > 0 ? scale / gain2 : 1;
    const char *side = g->view->out <= g->cols ? "row" : "column";
    if (!(defect <= limit))
        fanin__form_broken(form, FANIN_FAULT_NOT_ORTHOGONAL,
                           "matrix %llu: %s %llu is not orthogonal to the others, or not as long "
                           "(|Q'Q v - v| = %.3g)",
                           (unsigned long long)block, side, (unsigned long long)line, defect);
    else if (!(fabs(ratio - 1) <= length))
        fanin__form_broken(
            form, FANIN_FAULT_WRONG_SCALE,
            "orthogonal, with gain %.6g where %.6g was declared: off by a factor of %.4g",
            sqrt(scale), plan->gain, sqrt(ratio));
}

static fanin_status test_matrices(const fanin__grid *g, const fanin__recipe *plan,
                                  fanin__form *form) {
    uint64_t rows = g->view->out, cols = g->cols, line;
    size_t count, size;
    double scale, defect;
    if (rows == 0 || cols == 0) return FANIN_OK;
    if (!fanin__size_mul((size_t)(2 * rows + 2 * cols), SIGNS, &count) ||
        !fanin__size_mul(count, sizeof(double), &size))
        return FANIN_NOMEM;
    double *memory = fanin_malloc(size);
    if (!memory) return FANIN_NOMEM;
    for (uint64_t b = 0; b < g->view->blocks && !form->fault; b++) {
        defect_of(g, b, memory, &scale, &defect, &line);
        judge_matrix(g, plan, b, scale, defect, line, form);
    }
    fanin_free(memory);
    return FANIN_OK;
}

static fanin__law haar_law(const fanin__recipe *plan, uint64_t cols) {
    uint64_t rows = plan->view.out;
    return fanin__law_sphere((double)(rows > cols ? rows : cols), plan->gain, 2);
}

fanin_status fanin__test_orthogonal(const fanin_array *array, const fanin__measure *m,
                                    const fanin__recipe *plan, fanin__form *form) {
    fanin__grid g;
    FANIN_TRY(fanin__grid_make(array, &plan->view, false, &g));
    fanin_status status = test_matrices(&g, plan, form);
    fanin__law law = haar_law(plan, g.cols);
    fanin_free(g.offset);
    if (status == FANIN_OK && !form->fault && plan->gain != 0)
        form->p = fanin__least_p(fanin__law_test(m, &law, array->dtype));
    return status;
}

/* Bits of the centre of every kernel; what is not 0 elsewhere is counted. */
static fanin_status gather_centre(const fanin__grid *g, unsigned char *bits, uint64_t *elsewhere,
                                  const fanin__measure *m) {
    const unsigned char *in = g->array->data;
    uint64_t zeros = 0, at = 0;
    for (uint64_t b = 0; b < g->view->blocks; b++)
        for (uint64_t r = 0; r < g->view->out; r++) {
            uint64_t row = fanin__view_index(g->view, b, r, 0);
            for (uint64_t c = 0; c < g->cols; c++, at++) {
                uint64_t i = row + g->offset[c];
                memcpy(bits + at * g->size, in + i * g->size, g->size);
                zeros += fanin__value_at(g->array, i) == 0;
            }
        }
    *elsewhere = (m->n - m->zeros) - (at - zeros);
    return FANIN_OK;
}

fanin_status fanin__test_delta(const fanin_array *array, const fanin__measure *m,
                               const fanin__recipe *plan, fanin__form *form) {
    fanin__grid g;
    uint64_t elsewhere = 0;
    FANIN_TRY(fanin__grid_make(array, &plan->view, true, &g));
    size_t count = (size_t)(plan->view.blocks * plan->view.out * g.cols);
    unsigned char *bits = fanin_malloc((count ? count : 1) * g.size);
    fanin_status status = bits ? gather_centre(&g, bits, &elsewhere, m) : FANIN_NOMEM;
    if (status == FANIN_OK && elsewhere > 0)
        fanin__form_broken(form, FANIN_FAULT_WRONG_VALUE,
                           "%llu elements beside the centre of the kernels are not 0",
                           (unsigned long long)elsewhere);
    if (status == FANIN_OK && !form->fault) status = test_matrices(&g, plan, form);
    fanin__law law = haar_law(plan, g.cols);
    if (status == FANIN_OK && !form->fault && plan->gain != 0)
        status = fanin__measure_bits(array, bits, count, &law, &form->p);
    fanin_free(bits);
    fanin_free(g.offset);
    return status;
}
