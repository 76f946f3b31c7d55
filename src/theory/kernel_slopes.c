/* Kernel matrices of relu and its kin, two straight lines through 0: rows of a tile go through all
 * layers in line, in double or float. */
#include <math.h>
#include <string.h>

#include "theory/kernel.h"

static const fanin__slopes_kernels *choose(void) {
#if defined(__x86_64__)
    if (fanin_cpu_level() >= FANIN_CPU_AVX512) return fanin__slopes_avx512();
    if (fanin_cpu_level() >= FANIN_CPU_AVX2) return fanin__slopes_avx2();
#endif
    return fanin__slopes_ref();
}

static bool two_slopes(plan *p) {
    const double *a = fanin_activation_params(p->act);
    p->high = 1;
    switch (fanin_activation_id_of(p->act)) {
    case FANIN_ACT_RELU: p->low = 0; return true;
    case FANIN_ACT_LEAKY_RELU:
    case FANIN_ACT_PRELU: p->low = a[0]; return true;
    case FANIN_ACT_RRELU: p->low = 0.5 * (a[0] + a[1]); return true;
    case FANIN_ACT_ABS: p->low = -1; return true;
    default: return false;
    }
}

bool fanin__slopes_of(plan *p) {
    p->kernels = choose(); /* inner products go by them too */
    return two_slopes(p);
}

/* Floats follow the variances of all layers with room to spare for products of two roots. */
static bool near_one(const double *q, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (q[i] != 0 && !(q[i] > 1e-25 && q[i] < 1e25)) return false;
    return true;
}

fanin_status fanin__slopes_prepare(plan *p, fanin_err *err) {
    size_t layers = p->set->depth, count = layers * p->m;
    p->roots = fanin_calloc(count ? count : 1, sizeof(double));
    p->roots32 = fanin_calloc(count ? count : 1, sizeof(float));
    p->inverses32 = fanin_calloc(count ? count : 1, sizeof(float));
    if (!p->roots || !p->roots32 || !p->inverses32)
        return fanin_err_set(err, FANIN_NOMEM, "kernel: no memory for roots");
    p->narrow = p->x32 && near_one(p->qx, layers * p->n) && near_one(p->qy, count);
    for (size_t i = 0; i < count; i++) {
        p->roots[i] = sqrt(p->qy[i]);
        if (!p->narrow) continue;
        p->roots32[i] = (float)p->roots[i];
        p->inverses32[i] = p->roots[i] > 0 ? (float)(1 / p->roots[i]) : 0;
    }
    return FANIN_OK;
}

/* relu and its kin, all layers of one pair. */
static void slopes_pair(const plan *p, state *s, size_t i, size_t j) {
    double t = (p->high - p->low) * (p->high - p->low) / (2 * FANIN__PI);
    double m = 0.5 * (p->low * p->low + p->high * p->high);
    for (size_t l = 0; l < p->set->depth; l++) {
        double r = sqrt(p->qx[l * p->n + i] * p->qy[l * p->m + j]);
        double c = r > 0 ? unit(s->k / r) : 0, angle = acos(c);
        double gg = m - t * angle;
        grow(p, s, r * (t * sqrt((1 - c) * (1 + c)) + c * gg), gg);
    }
}

static fanin__slopes constants(const plan *p) {
    const fanin_kernel_settings *set = p->set;
    bool standard = set->width > 0;
    return (fanin__slopes){(p->high - p->low) * (p->high - p->low) / (2 * FANIN__PI),
                           0.5 * (p->low * p->low + p->high * p->high),
                           set->sigma_w2,
                           set->sigma_b2,
                           standard ? set->width : set->sigma_w2,
                           standard ? (set->sigma_b2 > 0) : set->sigma_b2};
}

/* K^1 and T^1 of a pair from its inner product. */
static state start(const plan *p, double dot) {
    double k = p->set->sigma_w2 * dot / (double)p->d + p->set->sigma_b2;
    return (state){k, p->set->width > 0 ? dot + (p->set->sigma_b2 > 0) : k};
}

static void row64(const plan *p, const fanin__slopes *s, const tile *t, size_t i, size_t j0) {
    double k[COLS], u[COLS];
    size_t n = t->j1 - j0, at = (i - t->i0) * COLS + (j0 - t->j0);
    for (size_t j = 0; j < n; j++) {
        state e = start(p, t->dots64 ? t->dots64[at + j] : (double)t->dots32[at + j]);
        k[j] = e.k;
        u[j] = e.t;
    }
    for (size_t l = 0; l < p->set->depth; l++)
        p->kernels->layer(s, n, sqrt(p->qx[l * p->n + i]), p->roots + l * p->m + j0, k, u);
    const double *v = p->set->ntk ? u : k;
    if (p->out64)
        memcpy(p->out64 + i * p->m + j0, v, n * sizeof *v);
    else
        for (size_t j = 0; j < n; j++) p->out32[i * p->m + j0 + j] = (float)v[j];
}

static void row32(const plan *p, const fanin__slopes *s, const tile *t, size_t i, size_t j0) {
    float k[COLS], u[COLS];
    size_t n = t->j1 - j0;
    const float *dots = t->dots32 + (i - t->i0) * COLS + (j0 - t->j0);
    const float scale = (float)(p->set->sigma_w2 / (double)p->d), b2 = (float)p->set->sigma_b2,
                one = p->set->sigma_b2 > 0;
    for (size_t j = 0; j < n; j++) k[j] = scale * dots[j] + b2;
    for (size_t j = 0; j < n; j++) u[j] = p->set->width > 0 ? dots[j] + one : k[j];
    for (size_t l = 0; l < p->set->depth; l++) {
        size_t at = l * p->m + j0;
        p->kernels->layer32(s, n, sqrt(p->qx[l * p->n + i]), p->roots32 + at, p->inverses32 + at, k,
                            u);
    }
    memcpy(p->out32 + i * p->m + j0, p->set->ntk ? u : k, n * sizeof *k);
}

/* The diagonal of a symmetric matrix goes by the exact way. */
static void diagonal(const plan *p, const tile *t, size_t i) {
    size_t at = (i - t->i0) * COLS + (i - t->j0);
    state e = start(p, t->dots64 ? t->dots64[at] : (double)t->dots32[at]);
    if (p->set->width == 0) e.t = p->qx[i];
    e.k = p->qx[i];
    slopes_pair(p, &e, i, i);
    double v = p->set->ntk ? e.t : e.k;
    if (p->out64)
        p->out64[i * p->m + i] = v;
    else
        p->out32[i * p->m + i] = (float)v;
}

void fanin__slopes_tile(const plan *p, tile *t) {
    fanin__slopes s = constants(p);
    for (size_t i = t->i0; i < t->i1; i++) {
        size_t j0 = p->symmetric && i > t->j0 ? i : t->j0;
        if (j0 >= t->j1) continue;
        (p->narrow ? row32 : row64)(p, &s, t, i, j0);
        if (p->symmetric && i >= t->j0) diagonal(p, t, i);
    }
}
