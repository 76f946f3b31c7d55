/* fanin/base.h - status codes, errors, memory, threads: what every other room stands on.
 *
 * A function that can fail returns fanin_status; FANIN_OK is 0. Results leave through
 * pointers. Functions that read files or solve equations also take a `fanin_err *`
 * (NULL is fine) and fill it with one sentence that names the place, the value seen and
 * the value expected. Nothing in the library prints, exits or keeps a global last error.
 *
 *     fanin_err err = {0};
 *     if (fanin_graph_load_onnx("model.onnx", 0, &graph, &err) != FANIN_OK)
 *         fprintf(stderr, "%s\n", err.message);
 */
#ifndef FANIN_BASE_H
#define FANIN_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FANIN_VERSION_MAJOR 0
#define FANIN_VERSION_MINOR 1
#define FANIN_VERSION_PATCH 0
#define FANIN_VERSION       "0.1.0"

#if defined(__GNUC__)
#define FANIN_API               __attribute__((visibility("default")))
#define FANIN_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define FANIN_API
#define FANIN_PRINTF(fmt, args)
#endif

/* Version of the library that is linked, "major.minor.patch". */
FANIN_API const char *fanin_version(void);

/* ---- status ---------------------------------------------------------------------------- */

/* Values are pinned: they reach files and foreign code.
 *   1-19 the caller's mistake | 20-29 mathematics | 30-39 ours | 40-59 the world */
#define FANIN_STATUS_MAP(X) \
    X(OK, 0, "fine") \
    X(ARG, 10, "an argument is outside its range") \
    X(SHAPE, 11, "tensor shapes do not agree") \
    X(NOTFOUND, 12, "no such name") \
    X(DOMAIN, 20, "no such value exists") \
    X(NOCONV, 21, "solver did not converge") \
    X(NUMERIC, 22, "a value is not a number or infinite") \
    X(UNSUPPORTED, 30, "valid, but not implemented here") \
    X(INTERNAL, 31, "a mistake inside fanin") \
    X(NOMEM, 40, "not enough memory") \
    X(IO, 41, "reading or writing failed") \
    X(FORMAT, 42, "malformed file") \
    X(LIMIT, 43, "a size limit is exceeded") \
    X(BACKEND, 44, "a library underneath failed") \
    X(INTERRUPTED, 50, "interrupted")

typedef enum fanin_status {
#define FANIN_STATUS_ENUM(name, value, text) FANIN_##name = (value),
    FANIN_STATUS_MAP(FANIN_STATUS_ENUM)
#undef FANIN_STATUS_ENUM
} fanin_status;

/* "SHAPE" for FANIN_SHAPE; "?" for an unknown value. Static storage. */
FANIN_API const char *fanin_status_name(fanin_status status);
/* "tensor shapes do not agree" for FANIN_SHAPE. Static storage. */
FANIN_API const char *fanin_status_text(fanin_status status);

/* What went wrong and where. Zero-initialise before use. */
typedef struct fanin_err {
    fanin_status status;
    int64_t position; /* byte offset, line or iteration; -1 or 0 where there is none */
    char message[512];
} fanin_err;

/* Fills *err (which may be NULL) and returns `status`, so that callers can write
 * `return fanin_err_set(err, FANIN_SHAPE, "%s: ...", name)`. Overlong text is cut. */
FANIN_API fanin_status fanin_err_set(fanin_err *err, fanin_status status, const char *format, ...)
    FANIN_PRINTF(3, 4);

/* ---- memory ---------------------------------------------------------------------------- */

/* The process-wide allocator. `resize` follows realloc (p may be NULL), `release` follows
 * free. Set it before any other call; NULL restores libc's. */
typedef struct fanin_allocator {
    void *(*resize)(void *ctx, void *p, size_t size);
    void (*release)(void *ctx, void *p);
    void *ctx;
} fanin_allocator;

FANIN_API void fanin_allocator_set(const fanin_allocator *allocator);

/* 64-byte alignment is NOT promised; see fanin_malloc_aligned. All return NULL when there is
 * no memory or the size overflows; a size of 0 gives a unique pointer. */
FANIN_API void *fanin_malloc(size_t size);
FANIN_API void *fanin_calloc(size_t count, size_t size);
FANIN_API void *fanin_realloc(void *p, size_t count, size_t size);
FANIN_API void fanin_free(void *p);
/* Rows for kernels: aligned to 64 bytes; released with fanin_free_aligned only. calloc: zeros. */
FANIN_API void *fanin_malloc_aligned(size_t size);
FANIN_API void *fanin_calloc_aligned(size_t size);
FANIN_API void fanin_free_aligned(void *p);

/* ---- threads --------------------------------------------------------------------------- */

/* body(arg, begin, end) is called for disjoint ranges that cover [0, n). */
typedef void (*fanin_range_fn)(void *arg, size_t begin, size_t end);
typedef void (*fanin_parallel_fn)(void *ctx, size_t n, size_t grain, fanin_range_fn body,
                                  void *arg);

/* Runs `body` over [0, n) on up to fanin_threads() threads; every range but the last is a
 * multiple of `grain` (0 counts as 1). Ranges depend on n, grain and the number of threads
 * only. Returns when all are done. Nested calls run in the calling thread. The default
 * starts POSIX threads at first use and is safe after fork. */
FANIN_API void fanin_parallel_for(size_t n, size_t grain, fanin_range_fn body, void *arg);
/* Replaces the default scheduler (an engine's own pool, say); NULL restores it. */
FANIN_API void fanin_parallel_set(fanin_parallel_fn fn, void *ctx);
/* Number of threads; 0 asks for as many as there are usable processors. */
FANIN_API void fanin_threads_set(unsigned threads);
FANIN_API unsigned fanin_threads(void);

/* ---- processor ------------------------------------------------------------------------- */

/* Levels of instruction sets that kernels come in. AVX2 includes FMA; AVX512 is F, BW, DQ, VL. */
#define FANIN_CPU_REF    0
#define FANIN_CPU_AVX2   1
#define FANIN_CPU_AVX512 2

/* The highest level that this processor and system offer, capped by the environment variable
 * FANIN_CPU=ref|avx2|avx512 (anything else caps nothing). Read once, at the first call. */
FANIN_API int fanin_cpu_level(void);

/* ---- files ------------------------------------------------------------------------------ */

/* Creates a folder and its parents; an existing one is fine. IO: the message says what is in the way. */
FANIN_API fanin_status fanin_directory_create(const char *path, fanin_err *err);

/* ---- long work ------------------------------------------------------------------------- */

/* Asks running work to stop: loops that take long look at the flag and return
 * FANIN_INTERRUPTED with their outputs cleaned up. Async-signal-safe. */
FANIN_API void fanin_interrupt(bool stop);
FANIN_API bool fanin_interrupted(void);

/* Called now and then with work done and work in all (same unit, 0 <= done <= total). */
typedef struct fanin_progress {
    void (*report)(void *ctx, const char *what, double done, double total);
    void *ctx;
} fanin_progress;

/* Most axes that a tensor may have anywhere in fanin. */
enum { FANIN_MAX_RANK = 8 };

/* ---- element types --------------------------------------------------------------------- */

/* Names as in safetensors; `onnx` is TensorProto.DataType (0: it has none). */
#define FANIN_DTYPE_MAP(X) \
    X(F32, 1, "F32", 4, 1) \
    X(F64, 2, "F64", 8, 11) \
    X(F16, 3, "F16", 2, 10) \
    X(BF16, 4, "BF16", 2, 16) \
    X(F8_E4M3, 5, "F8_E4M3", 1, 17) \
    X(F8_E5M2, 6, "F8_E5M2", 1, 19) \
    X(I8, 7, "I8", 1, 3) \
    X(I16, 8, "I16", 2, 5) \
    X(I32, 9, "I32", 4, 6) \
    X(I64, 10, "I64", 8, 7) \
    X(U8, 11, "U8", 1, 2) \
    X(U16, 12, "U16", 2, 4) \
    X(U32, 13, "U32", 4, 12) \
    X(U64, 14, "U64", 8, 13) \
    X(BOOL, 15, "BOOL", 1, 9)

typedef enum fanin_dtype {
    FANIN_DTYPE_NONE = 0,
#define FANIN_DTYPE_ENUM(id, value, name, size, onnx) FANIN_##id = (value),
    FANIN_DTYPE_MAP(FANIN_DTYPE_ENUM)
#undef FANIN_DTYPE_ENUM
} fanin_dtype;

FANIN_API const char *fanin_dtype_name(fanin_dtype dtype); /* "F32"; "?" if unknown */
FANIN_API size_t fanin_dtype_size(fanin_dtype dtype);      /* bytes; 0 if unknown */
FANIN_API bool fanin_dtype_is_float(fanin_dtype dtype);
/* Accepts "f32", "F32", "float32", "bf16", "bfloat16", "f8e4m3", "F8_E4M3" ...;
 * FANIN_DTYPE_NONE if unknown. */
FANIN_API fanin_dtype fanin_dtype_parse(const char *name);

/* Round n values once (nearest even) into `dtype`, or widen them; f8_e4m3 saturates never:
 * out-of-range becomes NaN as in the OFP8 "fn" encoding, f8_e5m2 becomes infinity.
 * Floating dtypes only, otherwise FANIN_ARG. Buffers must not overlap. */
FANIN_API fanin_status fanin_convert_from_f32(const float *in, size_t n, fanin_dtype dtype,
                                              void *out);
FANIN_API fanin_status fanin_convert_to_f64(const void *in, fanin_dtype dtype, size_t n,
                                            double *out);

#ifdef __cplusplus
}
#endif
#endif
