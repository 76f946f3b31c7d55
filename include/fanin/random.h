/* fanin/random.h - random numbers with an address: value = f(seed, name, plane, index).
 *
 * A stream is the Philox4x32-10 key of one tensor, made from the seed and the tensor's name. The
 * word of element i is one word of block i / 4 of plane 0; a law maps that one word to a number.
 * Any slice can be drawn alone, in any order, on any thread, and on any instruction set with the
 * same bits. docs/stream.md specifies everything here so that it can be written again.
 *
 *     fanin_stream s = fanin_stream_init(0, "layers.0.weight");
 *     fanin_law law = {.kind = FANIN_LAW_NORMAL, .a = 0, .b = 0.02};
 *     fanin_random_fill(&s, 0, &law, 0, count, FANIN_F32, weights);
 */
#ifndef FANIN_RANDOM_H
#define FANIN_RANDOM_H

#include <fanin/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- streams --------------------------------------------------------------------------- */

#define FANIN_STREAM_VERSION 1u

/* A plain value; copy it freely. `version` is FANIN_STREAM_VERSION and is part of the counter. */
typedef struct fanin_stream {
    uint32_t key[2];
    uint32_t version;
} fanin_stream;

/* key = SipHash-2-4 of the UTF-8 bytes of `name` under (seed, "fanin/v1"), low half first. */
FANIN_API fanin_stream fanin_stream_init(uint64_t seed, const char *name);

/* Words first ... first + n - 1 of a plane: word i = Philox4x32-10(key, counter = (i / 4 as 64
 * bits low half first, plane, version))[i mod 4]. i stays below 2^64. */
FANIN_API void fanin_stream_words(const fanin_stream *s, uint32_t plane, uint64_t first, size_t n,
                                  uint32_t *out);

/* ---- laws ------------------------------------------------------------------------------ */

typedef enum fanin_law_kind {
    FANIN_LAW_CONSTANT,     /* a */
    FANIN_LAW_UNIFORM,      /* on [low, high); low == high gives that value */
    FANIN_LAW_NORMAL,       /* mean a, standard deviation b */
    FANIN_LAW_TRUNC_NORMAL, /* the normal law of mean a and deviation b cut to [low, high];
                             * bounds are values, not multiples of b, and may be infinite. The
                             * deviation of what is left is smaller than b: fanin_law_variance. */
    FANIN_LAW_RADEMACHER,   /* -a or a, each with probability 1/2 */
    FANIN_LAW_BERNOULLI     /* a with probability b (to 2^-32), else 0 */
} fanin_law_kind;

typedef struct fanin_law {
    fanin_law_kind kind;
    double a, b, low, high;
} fanin_law;

/* Exact moments of the law as a real distribution (before rounding to a dtype), to about 12
 * digits; NaN for a law that fanin_random_fill refuses. */
FANIN_API double fanin_law_mean(const fanin_law *law);
FANIN_API double fanin_law_variance(const fanin_law *law);
/* The smallest interval that holds every value; infinite for the normal law. */
FANIN_API void fanin_law_support(const fanin_law *law, double *low, double *high);

/* out[j] = value of element first + j, from word first + j of `plane`; f64 also reads `plane` + 1
 * for the 32 bits below. Planes 0 and 1 hold a tensor's values; further draws of a rule use
 * planes 2, 4, ...
 *
 * float32 is canonical: f16, bf16 and fp8 are the float32 value rounded once, to nearest even.
 * f64 refines float32; for the standard normal, with z the one farther from 0,
 * |f64 - f32| <= 2^-24 |z| + 2^-32 / phi(z).
 * Values of uniform and truncated normal laws stay within the bounds (the upper one excluded for
 * the uniform law) in f32 and f64 as long as a number of that type lies between them.
 *
 * Errors: FANIN_ARG for an unknown law or a dtype that is not floating, parameters that are not
 * finite in float32 (bounds of a cut may be infinite), b < 0, b > 1 for Bernoulli, low > high, or
 * a cut without width. Nothing is allocated.
 * Repeatability: the same bits on any thread count, split, instruction set and compiler. */
FANIN_API fanin_status fanin_random_fill(const fanin_stream *s, uint32_t plane,
                                         const fanin_law *law, uint64_t first, size_t n,
                                         fanin_dtype dtype, void *out);
/* The same values through fanin_parallel_for. */
FANIN_API fanin_status fanin_random_fill_parallel(const fanin_stream *s, uint32_t plane,
                                                  const fanin_law *law, uint64_t first, size_t n,
                                                  fanin_dtype dtype, void *out);

/* ---- order ----------------------------------------------------------------------------- */

/* out = a permutation of 0 ... n - 1, each of the n! equally likely as far as the words are
 * random: Fisher-Yates with unbiased 64-bit draws from the words of `plane`. Sequential, O(n). */
FANIN_API fanin_status fanin_stream_permutation(const fanin_stream *s, uint32_t plane, uint64_t n,
                                                uint64_t *out);
/* Position i of an addressed shuffle of 0 ... n - 1 (i < n), without memory: a keyed bijection,
 * for the order of large data sets. For n <= 256 it is fanin_stream_permutation's; above, eight
 * Feistel rounds of Philox, which reach only a part of the n! orders. n - 1 for i >= n. */
FANIN_API uint64_t fanin_stream_shuffle(const fanin_stream *s, uint32_t plane, uint64_t n,
                                        uint64_t i);

/* ---- what runs ------------------------------------------------------------------------- */

/* One kernel of the room and the variant that it resolved to ("ref", "avx2", "avx512"). */
typedef struct fanin_random_slot_info {
    const char *name;
    const char *variant;
    const char *reason; /* why no wider one runs; "" if it is the widest built */
} fanin_random_slot_info;

FANIN_API int fanin_random_slot_count(void);
/* i outside [0, count) gives empty strings. Static storage. */
FANIN_API fanin_random_slot_info fanin_random_slot(int i);

#ifdef __cplusplus
}
#endif
#endif
