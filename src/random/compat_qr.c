/* compat_qr.c - the orthogonal factor of a tall matrix with R's diagonal made positive.
 *
 * With that sign convention Q is unique, so any stable factorisation agrees with LAPACK's up to
 * rounding. Householder reflections in double whatever the tensor's type, in panels: a panel of
 * reflections H1 ... Hk is I - V T V' (Schreiber, Van Loan, "A storage-efficient WY representation
 * for products of Householder transformations", 1989), applied to tiles of columns by any number
 * of threads. Every sum has one fixed order, so the bits depend on the matrix only.
 */
#include <math.h>
#include <string.h>

#include "random/compat.h"

enum { NB = FANIN__QR_PANEL, TILE = FANIN__QR_TILE };

typedef struct panel {
    const fanin__compat_kernels *kernels;
    double *v;         /* (rows + 3) x NB, zero above the diagonal and in unused columns */
    double t[NB * NB]; /* as applied: transposed for the factorisation, plain for Q */
    size_t rows, nb;
    double *target; /* first row and column of what it is applied to */
    size_t stride, width;
} panel;

/* Column k of the panel becomes the reflection that clears it below row k; returns R_kk, and in
 * *beta the factor of I - beta v v'. */
static double make_reflection(double *v, size_t rows, size_t k, double *beta) {
    double norm2 = 0;
    for (size_t i = k; i < rows; i++) norm2 += v[i * NB + k] * v[i * NB + k];
    double norm = sqrt(norm2), head = v[k * NB + k];
    *beta = 0;
    if (norm == 0) return 0;
    double r = head > 0 ? -norm : norm; /* away from cancellation */
    v[k * NB + k] = head - r;
    *beta = 1 / (norm2 - head * r);
    return r;
}

/* The later columns of the panel, and V' v_k for T on the earlier ones. */
static void update_panel(double *v, size_t rows, size_t k, size_t nb, double beta, double *dot) {
    memset(dot, 0, NB * sizeof *dot);
    for (size_t i = k; i < rows; i++)
        for (size_t j = 0; j < NB; j++) dot[j] += v[i * NB + k] * v[i * NB + j];
    for (size_t i = k; i < rows; i++) {
        double f = beta * v[i * NB + k];
        for (size_t j = k + 1; j < nb; j++) v[i * NB + j] -= f * dot[j];
    }
}

/* T of the first k + 1 reflections from that of the first k. */
static void grow_t(double *t, size_t k, double beta, const double *dot) {
    for (size_t i = 0; i < k; i++) {
        double s = 0;
        for (size_t j = i; j < k; j++) s += t[i * NB + j] * dot[j];
        t[i * NB + k] = -beta * s;
    }
    t[k * NB + k] = beta;
}

/* Factors the panel in p->v; signs of R's diagonal to sign[0 .. nb). */
static void factor_panel(panel *p, double *sign) {
    double dot[NB], beta;
    memset(p->t, 0, sizeof p->t);
    for (size_t k = 0; k < p->nb; k++) {
        double r = make_reflection(p->v, p->rows, k, &beta);
        for (size_t i = 0; i < k; i++) p->v[i * NB + k] = 0; /* R above the diagonal: not needed */
        update_panel(p->v, p->rows, k, p->nb, beta, dot);
        grow_t(p->t, k, beta, dot);
        sign[k] = r > 0 ? 1 : r < 0 ? -1 : 0;
    }
}

static void apply_range(void *arg, size_t begin, size_t end) {
    const panel *p = arg;
    for (size_t j = begin; j < end; j += TILE)
        p->kernels->reflect(p->v, p->t, p->rows, p->nb, p->target + j, p->stride,
                            end - j < TILE ? end - j : TILE);
}

static void apply(panel *p, double *target, size_t stride, size_t width) {
    p->target = target;
    p->stride = stride;
    fanin_parallel_for(width, TILE, apply_range, p);
}

static void transpose_t(double *t) {
    for (size_t i = 0; i < NB; i++)
        for (size_t j = 0; j < i; j++) {
            double kept = t[i * NB + j];
            t[i * NB + j] = t[j * NB + i];
            t[j * NB + i] = kept;
        }
}

static void load_panel(panel *p, const double *a, size_t cols) {
    memset(p->v, 0, (p->rows + 3) * NB * sizeof *p->v);
    for (size_t i = 0; i < p->rows; i++) memcpy(p->v + i * NB, a + i * cols, p->nb * sizeof *a);
}

/* Space for everything that is kept between the two sweeps. */
typedef struct sweep {
    size_t panels;
    double *v;    /* of every panel, one behind the other */
    double *t;    /* NB x NB each */
    double *sign; /* cols */
} sweep;

static size_t panel_rows_before(size_t rows, size_t k) { /* rows of the V of panels 0 .. k - 1 */
    return k * (rows + 3) - NB * (k * (k ? k - 1 : 0) / 2);
}

static fanin_status sweep_open(sweep *s, size_t rows, size_t cols) {
    s->panels = (cols + NB - 1) / NB;
    size_t words = panel_rows_before(rows, s->panels);
    s->v = fanin_calloc(words, NB * sizeof *s->v);
    s->t = fanin_calloc(s->panels, NB * NB * sizeof *s->t);
    s->sign = fanin_calloc(cols, sizeof *s->sign);
    return s->v && s->t && s->sign ? FANIN_OK : FANIN_NOMEM;
}

static void sweep_close(sweep *s) {
    fanin_free(s->sign);
    fanin_free(s->t);
    fanin_free(s->v);
}

static void factor(const sweep *s, panel *p, double *a, size_t rows, size_t cols) {
    for (size_t k = 0; k < s->panels; k++) {
        size_t at = k * NB, after = at + NB;
        p->rows = rows - at;
        p->nb = cols - at < NB ? cols - at : NB;
        p->v = s->v + panel_rows_before(rows, k) * NB;
        load_panel(p, a + at * cols + at, cols);
        factor_panel(p, s->sign + at);
        memcpy(s->t + k * NB * NB, p->t, sizeof p->t);
        transpose_t(p->t);
        if (after < cols) apply(p, a + at * cols + after, cols, cols - after);
    }
}

static void form_q(const sweep *s, panel *p, double *a, size_t rows, size_t cols) {
    memset(a, 0, rows * cols * sizeof *a);
    for (size_t i = 0; i < cols; i++) a[i * cols + i] = s->sign[i];
    for (size_t k = s->panels; k-- > 0;) {
        size_t at = k * NB;
        p->rows = rows - at;
        p->nb = cols - at < NB ? cols - at : NB;
        p->v = s->v + panel_rows_before(rows, k) * NB;
        memcpy(p->t, s->t + k * NB * NB, sizeof p->t);
        apply(p, a + at * cols + at, cols, cols - at);
    }
}

fanin_status fanin__qr_signed(double *a, size_t rows, size_t cols) {
    sweep s = {0};
    panel p = {.kernels = fanin__compat_kernels_get()};
    fanin_status status = sweep_open(&s, rows, cols);
    if (status == FANIN_OK) {
        factor(&s, &p, a, rows, cols);
        form_q(&s, &p, a, rows, cols);
    }
    sweep_close(&s);
    return status;
}
