/* fanin/compute.h - what the dense kernels of this build run on, for `fanin doctor` and records of
 * measurements. The kernels themselves are private.
 */
#ifndef FANIN_COMPUTE_H
#define FANIN_COMPUTE_H

#include <fanin/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One slot of the kernel table and the variant that it resolved to ("ref", "avx2", "avx512").
 * Static storage. */
typedef struct fanin_compute_slot_info {
    const char *name;    /* "binary", "gemm", "update adam" ... */
    const char *variant; /* what runs */
    const char *reason;  /* why no wider one does; "" if it is the widest built */
} fanin_compute_slot_info;

FANIN_API int fanin_compute_slot_count(void);
/* i outside [0, count) gives empty strings. */
FANIN_API fanin_compute_slot_info fanin_compute_slot(int i);

/* The rest is in libfanin-net. */

typedef struct fanin_compute_backend_info {
    char library[48]; /* "oneDNN 2.6.3" */
    char isa[32];     /* the widest set that oneDNN may use here, "avx512_core_bf16" */
    unsigned threads; /* that a plan created now would use */
    char runtime[96]; /* thread runtime and how idle threads wait */
} fanin_compute_backend_info;

FANIN_API fanin_compute_backend_info fanin_compute_backend(void);

/* LAPACK's dsyevd as the `eigen` of fanin_kernel_flow (fanin/theory.h): eigenvalues of the symmetric a
 * (n x n) ascending to w, eigenvectors to the rows of a; ctx is not looked at. OpenBLAS is loaded at
 * the first call, runs on fanin_threads() threads of its own (one inside a parallel region), and
 * wants 2 n^2 doubles. BACKEND: it is not installed; LIMIT: n above 32000; NUMERIC: a NaN or an
 * infinity in a; NOCONV; NOMEM. Same bits for the same number of threads and processor. */
FANIN_API fanin_status fanin_lapack_eigen(void *ctx, size_t n, double *a, double *w,
                                          fanin_err *err);
/* What it loaded, "OpenBLAS 0.3.21 ... "; "" if it is not installed. Static storage. */
FANIN_API const char *fanin_lapack_info(void);

/* Sets in the environment how idle threads of OpenMP wait: some tenth of a millisecond awake, as long as
 * the next loop is usually away, then asleep (OMP_WAIT_POLICY=passive, GOMP_SPINCOUNT; LLVM's runtime knows
 * the first only and sleeps at once). A caller's own OMP_WAIT_POLICY or GOMP_SPINCOUNT stays. True if it
 * set something: the runtime reads it when it is loaded, so the program executes itself again. */
FANIN_API bool fanin_compute_set_waiting(void);
/* Makes fanin_parallel_for run on OpenMP, so that a process has one pool of threads (oneDNN uses
 * OpenMP too). Call once at the start of a program, after fanin_compute_set_waiting. Never fork
 * afterwards: libgomp hangs in the child. */
FANIN_API void fanin_compute_use_openmp(void);

#ifdef __cplusplus
}
#endif
#endif
