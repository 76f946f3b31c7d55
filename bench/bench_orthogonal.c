/* Orthogonal matrices n x n beside LAPACK's way, QR of a Gaussian matrix (geqrf + orgqr of OpenBLAS, found
 * at run time, same threads, its own choice of kernels). Both draw their normals inside. Rounds
 * alternate; the ratio is that of the medians. Fails if |Q'Q - I| of ours exceeds 1e-6 anywhere.
 *
 *     build/bench/bench_orthogonal [threads] [n ...] */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "fanin/random.h"
#include "init/haar.h"

enum { ROUNDS_MAX = 7, COUNT_MAX = 8 };

typedef void (*geqrf_fn)(const int *m, const int *n, float *a, const int *lda, float *tau,
                         float *work, const int *lwork, int *info);
typedef void (*orgqr_fn)(const int *m, const int *n, const int *k, float *a, const int *lda,
                         const float *tau, float *work, const int *lwork, int *info);

static struct {
    geqrf_fn geqrf;
    orgqr_fn orgqr;
    const char *core;
} lapack;

static const char *lapack_open(int threads) {
    static const char *const names[] = {"libopenblas.so.0", "libopenblas.so"};
    void *library = NULL;
    for (size_t i = 0; i < FANIN_COUNT(names) && !library; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!library) return "libopenblas is not installed";
    *(void **)&lapack.geqrf = dlsym(library, "sgeqrf_");
    *(void **)&lapack.orgqr = dlsym(library, "sorgqr_");
    void (*set_threads)(int);
    char *(*core)(void);
    *(void **)&set_threads = dlsym(library, "openblas_set_num_threads");
    *(void **)&core = dlsym(library, "openblas_get_corename");
    if (!lapack.geqrf || !lapack.orgqr || !set_threads) return "libopenblas lacks LAPACK";
    set_threads(threads);
    lapack.core = core ? core() : "?";
    return NULL;
}

static const fanin_law law = {.kind = FANIN_LAW_NORMAL, .b = 1};

static double lapack_run(int n, float *a, float *tau, float *work, int lwork) {
    fanin_stream stream = fanin_stream_init(0, "bench");
    int info;
    double start = fanin__seconds();
    fanin_random_fill_parallel(&stream, 2, &law, 0, (size_t)n * (size_t)n, FANIN_F32, a);
    lapack.geqrf(&n, &n, a, &n, tau, work, &lwork, &info);
    lapack.orgqr(&n, &n, &n, a, &n, tau, work, &lwork, &info);
    return fanin__seconds() - start;
}

static double ours_run(int n, float *a) {
    fanin_stream stream = fanin_stream_init(0, "bench");
    double start = fanin__seconds();
    fanin_status status = fanin__haar_fill(&stream, 0, (size_t)n, (size_t)n, 1, a);
    double seconds = fanin__seconds() - start;
    return status == FANIN_OK ? seconds : NAN;
}

typedef struct defect_sums {
    const float *q;
    size_t n;
    double *worst; /* a row */
} defect_sums;

static void defect_rows(void *arg, size_t begin, size_t end) {
    const defect_sums *d = arg;
    for (size_t i = begin; i < end; i++) {
        double *sum = fanin_calloc(i + 1, sizeof *sum);
        d->worst[i] = INFINITY;
        if (!sum) continue;
        for (size_t k = 0; k < d->n; k++)
            for (size_t j = 0; j <= i; j++)
                sum[j] += (double)d->q[k * d->n + i] * (double)d->q[k * d->n + j];
        d->worst[i] = fabs(sum[i] - 1);
        for (size_t j = 0; j < i; j++) d->worst[i] = fmax(d->worst[i], fabs(sum[j]));
        fanin_free(sum);
    }
}

static double defect(const float *q, size_t n) {
    defect_sums d = {.q = q, .n = n, .worst = fanin_calloc(n, sizeof(double))};
    double worst = 0;
    if (!d.worst) return INFINITY;
    fanin_parallel_for(n, 1, defect_rows, &d);
    for (size_t i = 0; i < n; i++) worst = fmax(worst, d.worst[i]);
    fanin_free(d.worst);
    return worst;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int measure(int n, bool with_lapack, const char *comma) {
    size_t size = (size_t)n * (size_t)n;
    int lwork = 64 * n, rounds = n > 2048 ? 3 : ROUNDS_MAX;
    float *a = fanin_malloc_aligned(size * sizeof *a);
    float *tau = fanin_malloc((size_t)n * sizeof *tau);
    float *work = fanin_malloc((size_t)lwork * sizeof *work);
    double ours[ROUNDS_MAX], theirs[ROUNDS_MAX] = {0};
    if (!a || !tau || !work) return 5;
    for (int r = 0; r < rounds; r++) {
        if (with_lapack) theirs[r] = lapack_run(n, a, tau, work, lwork);
        ours[r] = ours_run(n, a);
    }
    double worst = defect(a, (size_t)n);
    qsort(ours, (size_t)rounds, sizeof *ours, ascending);
    qsort(theirs, (size_t)rounds, sizeof *theirs, ascending);
    double flops = 4.0 / 3 * n * (double)size, mid = ours[rounds / 2];
    printf("%s\n{\"n\":%d,\"ms\":%.3f,\"best_ms\":%.3f,\"gflops\":%.1f,\"defect\":%.3g", comma, n,
           mid * 1e3, ours[0] * 1e3, flops / mid * 1e-9, worst);
    if (with_lapack)
        printf(",\"lapack_ms\":%.3f,\"lapack_best_ms\":%.3f,\"ratio\":%.2f",
               theirs[rounds / 2] * 1e3, theirs[0] * 1e3, theirs[rounds / 2] / mid);
    printf("}");
    fflush(stdout);
    fanin_free_aligned(a);
    fanin_free(tau);
    fanin_free(work);
    return worst <= 1e-6 ? 0 : 1;
}

int main(int argc, char **argv) {
    int threads = argc > 1 ? atoi(argv[1]) : 1, sizes[COUNT_MAX] = {512, 1024, 2048}, count = 3;
    if (argc > 2)
        for (count = 0; count < COUNT_MAX && count + 2 < argc; count++)
            sizes[count] = atoi(argv[count + 2]);
    fanin_threads_set((unsigned)threads);
    const char *missing = lapack_open(threads);
    if (missing) fprintf(stderr, "no comparison with LAPACK: %s\n", missing);
    printf(
        "{\"bench\":\"orthogonal\",\"threads\":%d,\"level\":%d,\"openblas_core\":\"%s\",\"rows\":[",
        threads, fanin_cpu_level(), missing ? "" : lapack.core);
    int status = 0;
    for (int i = 0; i < count && status == 0; i++)
        status = measure(sizes[i], !missing, i ? "," : "");
    printf("]}\n");
    return status;
}
