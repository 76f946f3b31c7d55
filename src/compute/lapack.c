/* lapack.c - the symmetric eigenproblem by LAPACK as OpenBLAS builds it.
 *
 * The library is loaded when first asked for, not with the program: loading takes 12 ms and starts a
 * thread per processor, which no other call of fanin needs. It keeps threads of its own; a call
 * settles how many work, as many as fanin_threads() says, or one inside a parallel region, and ours
 * wait meanwhile. Loaded once and never unloaded. */
#include <dlfcn.h>
#include <omp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "fanin/compute.h"

/* Fortran: everything by address, lengths of texts at the end. */
typedef void (*dsyevd_fn)(const char *jobz, const char *uplo, const int *n, double *a,
                          const int *lda, double *w, double *work, const int *lwork, int *iwork,
                          const int *liwork, int *info, size_t jobz_length, size_t uplo_length);

static struct {
    dsyevd_fn dsyevd;
    void (*set_threads)(int);
    char *(*config)(void);
    char error[200];
} lapack;

/* dlsym gives an object pointer; POSIX lets it be read as one to a function. */
static void look_up(void *library, const char *name, void *function) {
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol);
}

static void load(void) {
    static const char *const names[] = {"libopenblas.so.0", "libopenblas.so"};
    for (size_t i = 0; i < FANIN_COUNT(names) && !lapack.dsyevd; i++) {
        void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (!library) {
            const char *why = dlerror();
            if (i == 0) snprintf(lapack.error, sizeof lapack.error, "%s", why ? why : names[i]);
            continue;
        }
        look_up(library, "dsyevd_", &lapack.dsyevd);
        look_up(library, "openblas_set_num_threads", &lapack.set_threads);
        look_up(library, "openblas_get_config", &lapack.config);
        if (!lapack.dsyevd) {
            snprintf(lapack.error, sizeof lapack.error, "%s: has no dsyevd_", names[i]);
            dlclose(library);
        }
    }
}

static bool ready(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    return lapack.dsyevd != NULL;
}

const char *fanin_lapack_info(void) {
    if (!ready()) return "";
    return lapack.config ? lapack.config() : "LAPACK";
}

static fanin_status decompose(size_t size, double *a, double *w, double *work, int lwork,
                              int *iwork, int liwork, fanin_err *err) {
    int n = (int)size, info = 0;
    if (lapack.set_threads) lapack.set_threads(omp_in_parallel() ? 1 : (int)fanin_threads());
    /* Column-major: its columns of eigenvectors are our rows, and a symmetric matrix is its own
     * transpose. */
    lapack.dsyevd("V", "U", &n, a, &n, w, work, &lwork, iwork, &liwork, &info, 1, 1);
    if (info == 0) return FANIN_OK;
    return fanin_err_set(err, FANIN_NOCONV,
                         "eigenvalues of %zu x %zu: LAPACK's dsyevd gave up (%d)", size, size,
                         info);
}

fanin_status fanin_lapack_eigen(void *ctx, size_t n, double *a, double *w, fanin_err *err) {
    (void)ctx;
    if (n == 0) return FANIN_OK;
    if (!ready())
        return fanin_err_set(err, FANIN_BACKEND,
                             "eigenvalues need OpenBLAS (package libopenblas0): %s", lapack.error);
    size_t squares = 0, count = 0;
    if (n > 32000 || !fanin__size_mul(n, n, &squares) || !fanin__size_mul(squares, 2, &count))
        return fanin_err_set(err, FANIN_LIMIT, "eigenvalues of %zu x %zu: at most 32000", n, n);
    for (size_t i = 0; i < squares; i++)
        if (!(a[i] - a[i] == 0)) /* LAPACK may search a matrix with NaN for ever */
            return fanin_err_set(err, FANIN_NUMERIC, "eigenvalues of %zu x %zu: element %zu is %g",
                                 n, n, i, a[i]);
    count += 1 + 6 * n;
    size_t whole = 3 + 5 * n;
    double *work = fanin_calloc(count, sizeof *work);
    int *iwork = fanin_calloc(whole, sizeof *iwork);
    fanin_status status = FANIN_NOMEM;
    if (work && iwork)
        status = decompose(n, a, w, work, (int)count, iwork, (int)whole, err);
    else
        fanin_err_set(err, FANIN_NOMEM, "eigenvalues of %zu x %zu: no memory", n, n);
    fanin_free(work);
    fanin_free(iwork);
    return status;
}
