/* Arrays of values: double through the jets, float through the kernels of the processor. */
#include <math.h>

#include "activation/activation.h"
#include "base/base.h"

void fanin__act_eval_f64(int id, const double *p, int order, const double *x, double *y, size_t n) {
    const fanin__act *row = fanin__act_find(id);
    bool known = row && order >= 0 && order <= 3;
    for (size_t i = 0; i < n; i++) {
        double d[4] = {NAN, NAN, NAN, NAN};
        if (known) row->jet(p, x[i], d);
        y[i] = known ? d[order] : NAN;
    }
}

/* What has no float kernel goes through double, value by value. */
static void through_double(const fanin__act *row, const double *p, int order, const float *x,
                           float *y, size_t n) {
    double rounded[2] = {(double)(float)p[0], (double)(float)p[1]};
    for (size_t i = 0; i < n; i++) {
        double d[4];
        row->jet(rounded, (double)x[i], d);
        y[i] = (float)d[order];
    }
}

const fanin__act_kernels *fanin__act_kernels_at(int level) {
#if defined(__x86_64__)
    if (level >= FANIN_CPU_AVX512) return fanin__act_kernels_avx512();
    if (level >= FANIN_CPU_AVX2) return fanin__act_kernels_avx2();
#endif
    (void)level;
    return fanin__act_kernels_ref();
}

void fanin__act_eval_f32(int id, const double *p, int order, const float *x, float *y, size_t n) {
    const fanin__act *row = fanin__act_find(id);
    if (!row || order < 0 || order > 3) {
        for (size_t i = 0; i < n; i++) y[i] = NAN;
        return;
    }
    const fanin__act_kernels *kernels = fanin__act_kernels_at(fanin_cpu_level());
    fanin__act_kernel kernel = order < 3 ? kernels->f[id][order] : NULL;
    const float rounded[2] = {(float)p[0], (float)p[1]};
    if (kernel)
        kernel(rounded, x, y, n);
    else
        through_double(row, p, order, x, y, n);
}
