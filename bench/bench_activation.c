/* Float kernels of the activations: ns per element on one core at every level, beside memcpy. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "activation/activation.h"
#include "base/base.h"

enum { N = 16384, ROUNDS = 9 };
static float x[N], y[N], z[N];

static double best_of(fanin__act_kernel kernel, const float p[2]) {
    double best = 1e9;
    for (int r = 0; r < ROUNDS; r++) {
        double start = fanin__seconds();
        for (int k = 0; k < 8; k++) kernel(p, x, y, N);
        double t = (fanin__seconds() - start) / 8 / N * 1e9;
        if (t < best) best = t;
    }
    return best;
}

static void copy(const float p[2], const float *in, float *out, size_t n) {
    (void)p;
    memcpy(out, in, n * sizeof *in);
}

int main(void) {
    static const char *const levels[] = {"ref", "avx2", "avx512"};
    for (int i = 0; i < N; i++) x[i] = (float)((i * 7919) % N) / N * 8.0f - 4.0f;
    const float none[2] = {1, 1};
    printf("{\"bench\":\"activation\",\"memcpy_ns\":%.4f,\"rows\":[", best_of(copy, none));
    const char *comma = "";
    for (size_t r = 0; r < fanin_activation_count(); r++) {
        const fanin_activation_row *row = fanin_activation_row_at(r);
        const float p[2] = {(float)row->defaults[0], (float)row->defaults[1]};
        for (int order = 0; order < 2; order++) {
            for (int level = 0; level <= fanin_cpu_level(); level++) {
                fanin__act_kernel kernel = fanin__act_kernels_at(level)->f[row->id][order];
                if (!kernel) continue;
                fanin__act_kernels_ref()->f[row->id][order](p, x, z, N);
                kernel(p, x, y, N);
                if (memcmp(y, z, sizeof y) != 0) {
                    fprintf(stderr, "%s: %s disagrees with ref\n", row->name, levels[level]);
                    return 1;
                }
                printf("%s\n{\"name\":\"%s\",\"order\":%d,\"level\":\"%s\",\"ns\":%.3f}", comma,
                       row->name, order, levels[level], best_of(kernel, p));
                comma = ",";
            }
        }
    }
    printf("]}\n");
    return 0;
}
