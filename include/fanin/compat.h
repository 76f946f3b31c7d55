/* fanin/compat.h - the random streams of PyTorch, NumPy, JAX and TensorFlow, bit for bit.
 *
 * Each framework has one small generator object in the caller's storage. Nothing is allocated
 * unless the comment says so, nothing has to be released, and copying the struct copies the
 * stream. One object serves one thread at a time.
 *
 *     fanin_torch_rng rng;
 *     fanin_torch_rng_init(&rng, 42, FANIN_TORCH_AVX2, FANIN_TORCH_DEFAULT);
 *     float w[64 * 32];
 *     fanin_torch_kaiming_uniform(&rng, FANIN_F32, (int64_t[]){64, 32}, 2, sqrt(5), false,
 *                                 "leaky_relu", w);      // nn.init.kaiming_uniform_ after manual_seed(42)
 *
 * What is exact and what is within a tolerance, and the conventions that `--stream` follows for
 * whole models, are told in docs/compat-streams.md. Same bits on every machine, thread count and
 * instruction set, except where a comment says "libm": there the framework itself called its C
 * library, and so does fanin.
 */
#ifndef FANIN_COMPAT_H
#define FANIN_COMPAT_H

#include "fanin/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Mersenne Twister ------------------------------------------------------------------ */

#define FANIN_MT19937_WORDS 624

/* The 32-bit Mersenne Twister of PyTorch's CPU generator and of NumPy. `word` holds the tempered
 * block, `next` its first unused word (624: used up, 625: nothing drawn since seeding). */
typedef struct fanin_mt19937 {
    uint32_t state[FANIN_MT19937_WORDS], word[FANIN_MT19937_WORDS];
    uint32_t next;
    const void *kernels; /* which code runs; the bits do not depend on it */
} fanin_mt19937;

/* init_genrand of the reference code: PyTorch and numpy.random.RandomState(seed). */
FANIN_API void fanin_mt19937_seed(fanin_mt19937 *mt, uint32_t seed);
/* init_by_array of the reference code: RandomState([...]), Python's random.seed(). count >= 1. */
FANIN_API void fanin_mt19937_seed_array(fanin_mt19937 *mt, const uint32_t *key, size_t count);
FANIN_API uint32_t fanin_mt19937_next(fanin_mt19937 *mt);
/* The next n words; out may be NULL (they are passed over). */
FANIN_API void fanin_mt19937_fill(fanin_mt19937 *mt, size_t n, uint32_t *out);
/* random.randint(1, 10**9) of Python: what unseeded Keras initialisers draw their seeds with,
 * from a generator seeded by fanin_mt19937_seed_array with |seed|'s 32-bit words, low first. */
FANIN_API int64_t fanin_python_randint_1e9(fanin_mt19937 *mt);

/* ---- PyTorch, CPU ---------------------------------------------------------------------- */

/* Which build is imitated. Names reach files. */
typedef enum fanin_torch_flavour {
    FANIN_TORCH_AVX2 = 0,     /* x86-64 with AVX2: fused multiply-add, polynomial f32 normals */
    FANIN_TORCH_BASELINE = 1, /* no fusing; libm for every normal (ATEN_CPU_CAPABILITY=default) */
    FANIN_TORCH_ARM = 2, /* 64-bit Arm: fused, libm for every normal; read in source, not run */
} fanin_torch_flavour;

/* PyTorch releases as major * 100 + minor; any number from 113 on is accepted. The f32 and f64
 * streams are one in all of them; what differs (bf16 and f16 draws, trunc_normal_) is listed in
 * docs/compat-streams.md. */
#define FANIN_TORCH_1_13    113
#define FANIN_TORCH_2_0     200
#define FANIN_TORCH_2_1     201
#define FANIN_TORCH_2_12    212
#define FANIN_TORCH_2_13    213
#define FANIN_TORCH_DEFAULT FANIN_TORCH_2_13

typedef struct fanin_torch_rng {
    fanin_mt19937 mt;
    uint64_t seed; /* as given; the words depend on its low 32 bits only */
    double cached_normal;
    float cached_float; /* no initialiser uses it; kept for the state's sake */
    bool has_cached_normal, has_cached_float;
    fanin_torch_flavour flavour;
    int version;
} fanin_torch_rng;

/* torch.Generator().manual_seed(seed). A negative Python seed is taken modulo 2^64.
 * FANIN_ARG: unknown flavour, or version below 113. */
FANIN_API fanin_status fanin_torch_rng_init(fanin_torch_rng *rng, uint64_t seed,
                                            fanin_torch_flavour flavour, int version);
/* manual_seed on a generator in use: clears the cached normals too. */
FANIN_API void fanin_torch_rng_seed(fanin_torch_rng *rng, uint64_t seed);

/* The bytes of torch.get_rng_state() on a little-endian machine, to go on where a Python program
 * stopped or the other way round. Import keeps flavour and version; FANIN_FORMAT where the bytes
 * are no valid state (the generator is unchanged then). */
#define FANIN_TORCH_STATE_SIZE 5056
FANIN_API void fanin_torch_state_export(const fanin_torch_rng *rng,
                                        unsigned char out[FANIN_TORCH_STATE_SIZE]);
FANIN_API fanin_status fanin_torch_state_import(fanin_torch_rng *rng,
                                                const unsigned char in[FANIN_TORCH_STATE_SIZE],
                                                fanin_err *err);

/* n values of `dtype` (F32, F64, BF16, F16; others FANIN_UNSUPPORTED) into out. Where out may be
 * NULL the draws are spent and nothing is written, so that a part of a model can be made alone.
 * A tensor with n = 0 draws nothing. */

/* Tensor.uniform_(low, high); low <= high, both finite. rand(n) is uniform_(0, 1). A long tensor
 * may be drawn in pieces of any length. out may be NULL. */
FANIN_API fanin_status fanin_torch_uniform(fanin_torch_rng *rng, fanin_dtype dtype, size_t n,
                                           double low, double high, void *out);
/* Tensor.normal_(mean, std) of a contiguous tensor; std >= 0. randn(n) is normal_(0, 1). A long
 * tensor may be drawn in pieces if every piece but the last is a multiple of 16 long and the
 * last is at least 16 long. out may be NULL. libm: fewer than 16 elements, f64, the baseline
 * flavour, and bf16 and f16 before 2.13. */
FANIN_API fanin_status fanin_torch_normal(fanin_torch_rng *rng, fanin_dtype dtype, size_t n,
                                          double mean, double std, void *out);
/* The same of a tensor that is not contiguous (transposed, channels_last): another path, values
 * in memory order. Pieces of any length. libm. out may be NULL. */
FANIN_API fanin_status fanin_torch_normal_serial(fanin_torch_rng *rng, fanin_dtype dtype, size_t n,
                                                 double mean, double std, void *out);
/* nn.init.trunc_normal_(mean, std, a, b): a and b are values, not multiples of std.
 * Before 2.12 by the inverse error function (libm; builds with MKL differ by 3e-6 relative; F32
 * and F64), from 2.12 by rejection (exact where normal_ is). Where [a, b] holds less than 30 % of
 * the mass the rejection is from a uniform proposal: F32 and F64 only. std > 0, a < b.
 * Allocates n values and flags while it runs. */
FANIN_API fanin_status fanin_torch_trunc_normal(fanin_torch_rng *rng, fanin_dtype dtype, size_t n,
                                                double mean, double std, double a, double b,
                                                void *out);
/* torch.randperm(n). */
FANIN_API fanin_status fanin_torch_randperm(fanin_torch_rng *rng, size_t n, int64_t *out);

/* ---- torch.nn.init --------------------------------------------------------------------- */

/* Weights are row-major, out x in x kernel; fan_in = dims[1] * receptive, fan_out = dims[0] *
 * receptive, receptive = product of the sizes from dims[2] on (so of a transposed convolution,
 * stored in x out, PyTorch's fan_in counts the outputs). FANIN_SHAPE: fewer than two dimensions. */
FANIN_API fanin_status fanin_torch_fans(const int64_t *dims, int rank, double *fan_in,
                                        double *fan_out);
/* nn.init.calculate_gain(nonlinearity, param); param NAN means its default (leaky_relu: 0.01).
 * linear, conv1d ... conv_transpose3d, sigmoid, tanh, relu, leaky_relu, selu; FANIN_NOTFOUND. */
FANIN_API fanin_status fanin_torch_gain(const char *nonlinearity, double param, double *gain);

FANIN_API fanin_status fanin_torch_xavier_uniform(fanin_torch_rng *rng, fanin_dtype dtype,
                                                  const int64_t *dims, int rank, double gain,
                                                  void *out);
FANIN_API fanin_status fanin_torch_xavier_normal(fanin_torch_rng *rng, fanin_dtype dtype,
                                                 const int64_t *dims, int rank, double gain,
                                                 void *out);
/* `a` is the negative slope and counts for leaky_relu only, as in PyTorch. */
FANIN_API fanin_status fanin_torch_kaiming_uniform(fanin_torch_rng *rng, fanin_dtype dtype,
                                                   const int64_t *dims, int rank, double a,
                                                   bool fan_out, const char *nonlinearity,
                                                   void *out);
FANIN_API fanin_status fanin_torch_kaiming_normal(fanin_torch_rng *rng, fanin_dtype dtype,
                                                  const int64_t *dims, int rank, double a,
                                                  bool fan_out, const char *nonlinearity,
                                                  void *out);
/* orthogonal_: the draws are exact, the factorisation agrees with LAPACK's within rounding (f32
 * 5e-6, f64 1e-13 absolute); our own bits are the same on every machine where the draws are.
 * F32 and F64. Allocates about twice the matrix in f64 while it runs. */
FANIN_API fanin_status fanin_torch_orthogonal(fanin_torch_rng *rng, fanin_dtype dtype,
                                              const int64_t *dims, int rank, double gain,
                                              void *out);
/* sparse_(sparsity, std) of a rows x cols tensor: in each column ceil(sparsity * rows) zeros.
 * The permutations come from the same generator as the values (PyTorch with an explicit
 * `generator=` takes them from the global one). Allocates `rows` indices. */
FANIN_API fanin_status fanin_torch_sparse(fanin_torch_rng *rng, fanin_dtype dtype,
                                          const int64_t *dims, int rank, double sparsity,
                                          double std, void *out);
/* dirac_(groups) and eye_: no draws. dirac: rank 3 to 5, dims[0] a multiple of groups. */
FANIN_API fanin_status fanin_torch_dirac(fanin_dtype dtype, const int64_t *dims, int rank,
                                         int64_t groups, void *out);
FANIN_API fanin_status fanin_torch_eye(fanin_dtype dtype, const int64_t *dims, int rank, void *out);

/* ---- modules of torch.nn, constructed with default arguments --------------------------- */

#define FANIN_TORCH_MODULE_MAP(X) \
    X(LINEAR, 1, "Linear") \
    X(CONV, 2, "Conv") /* 1d to 3d, transposed too: PyTorch draws them alike */ \
    X(BILINEAR, 3, "Bilinear") \
    X(RNN, 4, "RNN")   /* and RNNCell */ \
    X(GRU, 5, "GRU")   /* and GRUCell */ \
    X(LSTM, 6, "LSTM") /* and LSTMCell */ \
    X(EMBEDDING, 7, "Embedding") \
    X(ATTENTION, 8, "MultiheadAttention") \
    X(NORM, 9, "Norm") /* batch, layer, group, instance */ \
    X(PRELU, 10, "PReLU") \
    X(ENCODER_LAYER, 11, "TransformerEncoderLayer") \
    X(DECODER_LAYER, 12, "TransformerDecoderLayer") \
    X(ENCODER, 13, "TransformerEncoder") /* all layers start equal: they are copies */ \
    X(DECODER, 14, "TransformerDecoder") \
    X(TRANSFORMER, 15, "Transformer")

typedef enum fanin_torch_module {
#define FANIN_TORCH_MODULE_ENUM(id, value, name) FANIN_TORCH_##id = (value),
    FANIN_TORCH_MODULE_MAP(FANIN_TORCH_MODULE_ENUM)
#undef FANIN_TORCH_MODULE_ENUM
} fanin_torch_module;

FANIN_API const char *fanin_torch_module_name(fanin_torch_module module); /* "?" if unknown */

/* One entry of a module's state_dict. `name` is relative to the module ("weight",
 * "out_proj.bias", "weight_ih_l0_reverse"); out NULL spends the draws. Buffers of running
 * statistics belong to it (num_batches_tracked as I64). */
typedef struct fanin_torch_parameter {
    const char *name;
    fanin_dtype dtype;
    const int64_t *dims;
    int rank;
    void *out;
} fanin_torch_parameter;

/* What the module's constructor leaves in its parameters, drawn in the constructor's order from
 * where the generator stands. Give every entry of the state_dict in its order: what is missing
 * (a bias) was never registered and draws nothing. An Embedding's padding row is the caller's
 * to zero after the draw. FANIN_NOTFOUND: a name that such a module does not have;
 * FANIN_SHAPE; FANIN_UNSUPPORTED as above; copies among layers of different shapes FANIN_SHAPE.
 * A composite with out NULL somewhere and its twin not NULL is FANIN_ARG: copies need a source. */
FANIN_API fanin_status fanin_torch_module_init(fanin_torch_rng *rng, fanin_torch_module module,
                                               const fanin_torch_parameter *parameters,
                                               size_t count, fanin_err *err);

/* One module of a model: its state_dict entries, named relative to it. */
typedef struct fanin_torch_submodule {
    fanin_torch_module kind;
    const fanin_torch_parameter *parameters;
    size_t count;
} fanin_torch_submodule;

/* What a model's own constructor does after its modules stand: torchvision's resnet (resnext,
 * wide_resnet), vgg, mobilenet and densenet go over all modules again. "default" leaves them. Any
 * architecture may be given: the recipe only looks at the kinds. */
typedef struct fanin_torch_recipe {
    const char *name, *summary;
    bool conv, conv_fan_out, conv_bias_zero; /* kaiming_normal_ with gain sqrt 2 on 2-d ones */
    double linear_std;                       /* normal_(0, std); 0: kept */
    bool linear_bias_zero;
} fanin_torch_recipe;

FANIN_API const fanin_torch_recipe *fanin_torch_recipe_table(size_t i); /* NULL past the end */
FANIN_API const fanin_torch_recipe *fanin_torch_recipe_find(const char *name); /* NULL: none */

/* A whole model: every module constructed, in registration order, then the recipe's second pass
 * in the same order (NULL: none). Where a constructor builds modules in another order than it
 * registers them (torchvision's downsample branches) the values of default-constructed modules in
 * between would differ; those recipes overwrite all of them. Errors as fanin_torch_module_init;
 * parameters are drawn as far as the failing module. */
FANIN_API fanin_status fanin_torch_model_init(fanin_torch_rng *rng,
                                              const fanin_torch_recipe *recipe,
                                              const fanin_torch_submodule *modules, size_t count,
                                              fanin_err *err);

/* ---- PyTorch, CUDA --------------------------------------------------------------------- */

/* torch.rand/randn(n, device="cuda") in F32 from Philox. Below one wave (sms * threads_per_sm
 * elements) the numbers do not depend on the card; above it they do, through its number of
 * multiprocessors and resident threads. An aid for importing small tensors: later releases may
 * change the mapping. normal: libm, 3e-6. */
typedef struct fanin_torch_cuda_rng {
    uint64_t seed, offset; /* offset grows with each call, as torch.cuda's does */
    uint32_t sms, threads_per_sm;
} fanin_torch_cuda_rng;

FANIN_API fanin_status fanin_torch_cuda_uniform(fanin_torch_cuda_rng *rng, size_t n, double low,
                                                double high, float *out);
FANIN_API fanin_status fanin_torch_cuda_normal(fanin_torch_cuda_rng *rng, size_t n, double mean,
                                               double std, float *out);

/* ---- NumPy ----------------------------------------------------------------------------- */

typedef enum fanin_numpy_bits {
    FANIN_NUMPY_PCG64 = 0, /* default_rng(seed) */
    FANIN_NUMPY_PHILOX = 1,
    FANIN_NUMPY_MT19937 = 2,     /* Generator(MT19937(seed)) */
    FANIN_NUMPY_RANDOMSTATE = 3, /* the legacy numpy.random.seed(seed); seeds below 2^32 */
} fanin_numpy_bits;

typedef struct fanin_numpy_rng {
    fanin_numpy_bits bits;
    uint64_t state[2], increment[2]; /* PCG64, high word first */
    uint64_t counter[4], key[2], block[4];
    uint32_t block_next; /* Philox: words of `block` in use, 4: none left */
    uint32_t half;       /* the unused half of a 64-bit word */
    bool has_half, has_gauss;
    double gauss; /* RandomState's second normal */
    fanin_mt19937 mt;
} fanin_numpy_rng;

/* SeedSequence(entropy, spawn_key).generate_state(n): entropy and key as 32-bit words, least
 * significant first (a 64-bit seed below 2^32 is one word). A spawned child k of a root has the
 * key {k}. Words of a 64-bit state are pairs, low first. */
FANIN_API void fanin_numpy_seed_sequence(const uint32_t *entropy, size_t count,
                                         const uint32_t *spawn_key, size_t key_count, size_t n,
                                         uint32_t *out);
/* Generator(BITS(seed)), or RandomState(seed): FANIN_ARG there if seed >= 2^32. */
FANIN_API fanin_status fanin_numpy_rng_init(fanin_numpy_rng *rng, fanin_numpy_bits bits,
                                            uint64_t seed);
/* A seed of any size, or a list: 32-bit words, least significant first. RandomState([...])
 * for FANIN_NUMPY_RANDOMSTATE. count >= 1. */
FANIN_API fanin_status fanin_numpy_rng_init_words(fanin_numpy_rng *rng, fanin_numpy_bits bits,
                                                  const uint32_t *words, size_t count);
FANIN_API uint64_t fanin_numpy_next64(fanin_numpy_rng *rng);
FANIN_API uint32_t fanin_numpy_next32(fanin_numpy_rng *rng);

/* Generator.random(n, dtype): F32 or F64. RandomState has F64 only (FANIN_UNSUPPORTED). */
FANIN_API fanin_status fanin_numpy_random(fanin_numpy_rng *rng, fanin_dtype dtype, size_t n,
                                          void *out);
/* uniform(low, high, n): low + (high - low) * random, not fused, as x86-64 builds are. Drawn in
 * f64; F32 rounds once, as .astype(float32) does. */
FANIN_API fanin_status fanin_numpy_uniform(fanin_numpy_rng *rng, fanin_dtype dtype, size_t n,
                                           double low, double high, void *out);
/* Generator.standard_normal(n, dtype) with a stream of its own for F32; RandomState.randn(n)
 * (F64 only). libm in the rare tail draws, and in every draw of RandomState. */
FANIN_API fanin_status fanin_numpy_standard_normal(fanin_numpy_rng *rng, fanin_dtype dtype,
                                                   size_t n, void *out);
/* normal(mean, std, n): mean + std * standard_normal in f64; F32 rounds once. */
FANIN_API fanin_status fanin_numpy_normal(fanin_numpy_rng *rng, fanin_dtype dtype, size_t n,
                                          double mean, double std, void *out);

/* ---- JAX ------------------------------------------------------------------------------- */

/* jax_threefry_partitionable: on (the default since 0.5.0) or off. */
typedef enum fanin_jax_mode {
    FANIN_JAX_PARTITIONABLE = 0,
    FANIN_JAX_ORIGINAL = 1,
} fanin_jax_mode;

typedef struct fanin_jax_key {
    uint32_t word[2];
} fanin_jax_key;

/* jax.random.key(seed): (0, seed mod 2^32) unless x64, where the high half counts too. */
FANIN_API fanin_jax_key fanin_jax_key_from(uint64_t seed, bool x64);
FANIN_API fanin_jax_key fanin_jax_fold_in(fanin_jax_key key, uint32_t data);
FANIN_API fanin_status fanin_jax_split(fanin_jax_mode mode, fanin_jax_key key, size_t n,
                                       fanin_jax_key *out);
/* random.bits: width 8, 16, 32, 64 into arrays of that width. In the original mode arrays of
 * 2^32 - 1 words and more are FANIN_UNSUPPORTED. */
FANIN_API fanin_status fanin_jax_bits(fanin_jax_mode mode, fanin_jax_key key, int width, size_t n,
                                      void *out);
/* random.uniform(key, (n,), dtype, low, high): F32, F64. */
FANIN_API fanin_status fanin_jax_uniform(fanin_jax_mode mode, fanin_jax_key key, fanin_dtype dtype,
                                         size_t n, double low, double high, void *out);
/* random.normal, random.truncated_normal(lower, upper): F32, within 3e-6 of XLA, whose logarithm
 * differs between versions and devices; our own bits are the same on every machine (libm's erf
 * enters through the bounds of a truncation). Long arrays are made by all threads. */
FANIN_API fanin_status fanin_jax_normal(fanin_jax_mode mode, fanin_jax_key key, size_t n,
                                        float *out);
FANIN_API fanin_status fanin_jax_truncated_normal(fanin_jax_mode mode, fanin_jax_key key, size_t n,
                                                  double lower, double upper, float *out);

typedef enum fanin_jax_distribution {
    FANIN_JAX_UNIFORM = 0,
    FANIN_JAX_NORMAL = 1,
    FANIN_JAX_TRUNCATED_NORMAL = 2,
} fanin_jax_distribution;

/* nn.initializers.variance_scaling(scale, mode, distribution): `denominator` is fan_in, fan_out
 * or their mean (fans of (..., in, out) kernels). n values, F32. glorot_uniform is scale 1,
 * (fan_in + fan_out) / 2; lecun_normal is scale 1, fan_in, TRUNCATED_NORMAL. */
FANIN_API fanin_status fanin_jax_variance_scaling(fanin_jax_mode mode, fanin_jax_key key,
                                                  double scale, double denominator,
                                                  fanin_jax_distribution distribution, size_t n,
                                                  float *out);
/* nn.initializers.orthogonal(scale): the last dimension is the columns. Within 1e-5 of JAX.
 * Allocates about twice the matrix in f64 while it runs. */
FANIN_API fanin_status fanin_jax_orthogonal(fanin_jax_mode mode, fanin_jax_key key,
                                            const int64_t *dims, int rank, double scale,
                                            float *out);

/* ---- TensorFlow and Keras -------------------------------------------------------------- */

/* tf.random.stateless_*(shape, seed=[s0, s1]) of the CPU and GPU kernels (not XLA). */
typedef struct fanin_tf_seed {
    int64_t word[2];
} fanin_tf_seed;

/* n words: tf.random.stateless_uniform(.., None, None, tf.uint32). stateless_split(seed, k) is
 * 2k of them. */
FANIN_API fanin_status fanin_tf_bits(fanin_tf_seed seed, size_t n, uint32_t *out);
FANIN_API fanin_status fanin_tf_uniform(fanin_tf_seed seed, size_t n, float low, float high,
                                        float *out);
/* libm, 3e-6. */
FANIN_API fanin_status fanin_tf_normal(fanin_tf_seed seed, size_t n, float mean, float std,
                                       float *out);
FANIN_API fanin_status fanin_tf_truncated_normal(fanin_tf_seed seed, size_t n, float mean,
                                                 float std, float *out);
/* The state of a Keras 3 initialiser with an integer seed on the TensorFlow backend. */
FANIN_API fanin_tf_seed fanin_keras_seed(uint64_t seed);

/* ---- one interface over them: `--stream NAME[:k=v,...]` -------------------------------- */

typedef enum fanin_framework {
    FANIN_FRAMEWORK_TORCH = 1,
    FANIN_FRAMEWORK_NUMPY = 2,
    FANIN_FRAMEWORK_JAX = 3,
} fanin_framework;

/* A row of `fanin list streams`: the name, its keys with their values (first is the default), and
 * one sentence. */
typedef struct fanin_compat_row {
    const char *name, *keys, *summary;
    fanin_framework framework;
} fanin_compat_row;

/* Row i, NULL past the end. */
FANIN_API const fanin_compat_row *fanin_compat_table(size_t i);

/* A generator for one whole model, from a specification such as "torch",
 * "torch:flavour=baseline,version=2.1", "numpy:bits=philox", "jax:mode=original". */
typedef struct fanin_compat_stream {
    fanin_framework framework;
    uint64_t seed;
    fanin_torch_rng torch; /* the one of the framework in use is live; draw from it directly */
    fanin_numpy_rng numpy; /* where a framework's own function is wanted */
    fanin_jax_mode jax_mode;
    fanin_jax_key jax_root, jax_key; /* of the model, of the tensor */
    uint32_t jax_draws;              /* draws made for this tensor */
} fanin_compat_stream;

/* True if `spec` starts with the name of a row (then fanin_compat_open decides about the rest). */
FANIN_API bool fanin_compat_known(const char *spec);
/* FANIN_NOTFOUND: no such stream; FANIN_ARG: unknown key or value, or a seed that the framework
 * refuses. */
FANIN_API fanin_status fanin_compat_open(fanin_compat_stream *stream, const char *spec,
                                         uint64_t seed, fanin_err *err);
/* The specification with every key spelled out, for a file's metadata; 64 bytes suffice. */
FANIN_API const char *fanin_compat_text(const fanin_compat_stream *stream, char *buf, size_t size);

/* Tells that the draws that follow belong to tensor `index` (counting every tensor of the model,
 * in its order, from 0). torch and numpy: no effect, tensors follow each other on one generator.
 * jax: its key is fold_in(key(seed), index), in the default mode the same as
 * split(key(seed), n)[index]; further draws c = 1, 2, ... for one tensor use fold_in of that key
 * and c. */
FANIN_API void fanin_compat_begin(fanin_compat_stream *stream, uint64_t index);

/* Draws n values into memory order. torch: as fanin_torch_uniform and its sisters. numpy: F64
 * draws, rounded once to a narrower dtype; truncated normals are standard_normal values in order,
 * those outside left out. jax: F32 draws, rounded once to BF16 or F16; uniform also F64.
 * a and b of trunc_normal are values, not multiples of std. out may be NULL: the draws are spent.
 * FANIN_UNSUPPORTED: a dtype that the
 * framework does not draw. */
FANIN_API fanin_status fanin_compat_uniform(fanin_compat_stream *stream, fanin_dtype dtype,
                                            size_t n, double low, double high, void *out);
FANIN_API fanin_status fanin_compat_normal(fanin_compat_stream *stream, fanin_dtype dtype, size_t n,
                                           double mean, double std, void *out);
FANIN_API fanin_status fanin_compat_trunc_normal(fanin_compat_stream *stream, fanin_dtype dtype,
                                                 size_t n, double mean, double std, double a,
                                                 double b, void *out);
/* Normal draws, QR with positive diagonal: torch and numpy as nn.init.orthogonal_ (rows are
 * dims[0]), jax as its initializer (columns are the last dimension). F32; torch and numpy F64. */
FANIN_API fanin_status fanin_compat_orthogonal(fanin_compat_stream *stream, fanin_dtype dtype,
                                               const int64_t *dims, int rank, double gain,
                                               void *out);

#ifdef __cplusplus
}
#endif
#endif
