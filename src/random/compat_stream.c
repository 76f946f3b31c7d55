/* compat_stream.c - one interface over the framework streams, opened from a text. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "random/compat.h"

static const fanin_compat_row rows[] = {
    {"torch", "flavour=avx2|baseline|arm, version=2.13",
     "PyTorch's CPU generator, one for the whole model, modules in registration order",
     FANIN_FRAMEWORK_TORCH},
    {"numpy", "bits=pcg64|philox|mt19937|randomstate",
     "numpy.random, one generator for the whole model, tensors in order", FANIN_FRAMEWORK_NUMPY},
    {"jax", "mode=partitionable|original",
     "jax.random with threefry keys, tensor i from fold_in(key(seed), i)", FANIN_FRAMEWORK_JAX},
};

static const char *const flavour_names[] = {"avx2", "baseline", "arm", NULL};
static const char *const bits_names[] = {"pcg64", "philox", "mt19937", "randomstate", NULL};
static const char *const mode_names[] = {"partitionable", "original", NULL};

const fanin_compat_row *fanin_compat_table(size_t i) {
    return i < FANIN_COUNT(rows) ? &rows[i] : NULL;
}

/* ---- specification ----------------------------------------------------------------------- */

static const fanin_compat_row *row_of(const char *spec) {
    size_t n = strcspn(spec, ":");
    for (size_t i = 0; i < FANIN_COUNT(rows); i++)
        if (strlen(rows[i].name) == n && strncmp(rows[i].name, spec, n) == 0) return &rows[i];
    return NULL;
}

bool fanin_compat_known(const char *spec) { return row_of(spec) != NULL; }

typedef struct option {
    char key[16], value[24];
} option;

/* The next "key=value" of *p; false at the end. */
static fanin_status next_option(const char **p, const char *spec, option *o, bool *more,
                                fanin_err *err) {
    *more = **p != 0;
    if (!*more) return FANIN_OK;
    size_t length = strcspn(*p, ","), key = strcspn(*p, "=,");
    size_t value = key < length ? length - key - 1 : 0;
    if (key == 0 || value == 0 || key >= sizeof o->key || value >= sizeof o->value)
        return fanin_err_set(err, FANIN_ARG, "stream %s: expected key=value at \"%s\"", spec, *p);
    memcpy(o->key, *p, key);
    o->key[key] = 0;
    memcpy(o->value, *p + key + 1, value);
    o->value[value] = 0;
    *p += length + ((*p)[length] == ',');
    return FANIN_OK;
}

static fanin_status choose(const char *spec, const option *o, const char *const *names, int *out,
                           fanin_err *err) {
    for (int i = 0; names[i]; i++)
        if (fanin__strcasecmp(names[i], o->value) == 0) {
            *out = i;
            return FANIN_OK;
        }
    return fanin_err_set(err, FANIN_ARG, "stream %s: %s has no value \"%s\" (first one it has: %s)",
                         spec, o->key, o->value, names[0]);
}

/* "2.13" to 213; patch numbers ("1.13.1") are read and do not count. */
static fanin_status parse_version(const char *spec, const option *o, int *out, fanin_err *err) {
    int major = 0, minor = 0, used = 0;
    int got = sscanf(o->value, "%3d.%2d%n", &major, &minor, &used);
    bool whole = got == 2 && (o->value[used] == 0 || o->value[used] == '.');
    *out = major * 100 + minor;
    if (whole && minor >= 0 && *out >= FANIN_TORCH_1_13) return FANIN_OK;
    return fanin_err_set(err, FANIN_ARG, "stream %s: version \"%s\", expected 1.13 or later", spec,
                         o->value);
}

typedef struct settings {
    int flavour, version, bits, mode;
} settings;

static fanin_status set_option(const fanin_compat_row *row, const char *spec, const option *o,
                               settings *s, fanin_err *err) {
    if (row->framework == FANIN_FRAMEWORK_TORCH && strcmp(o->key, "flavour") == 0)
        return choose(spec, o, flavour_names, &s->flavour, err);
    if (row->framework == FANIN_FRAMEWORK_TORCH && strcmp(o->key, "version") == 0)
        return parse_version(spec, o, &s->version, err);
    if (row->framework == FANIN_FRAMEWORK_NUMPY && strcmp(o->key, "bits") == 0)
        return choose(spec, o, bits_names, &s->bits, err);
    if (row->framework == FANIN_FRAMEWORK_JAX && strcmp(o->key, "mode") == 0)
        return choose(spec, o, mode_names, &s->mode, err);
    return fanin_err_set(err, FANIN_ARG, "stream %s: no key \"%s\"; it has %s", spec, o->key,
                         row->keys);
}

static fanin_status open_numpy(fanin_compat_stream *stream, const char *spec, int bits,
                               fanin_err *err) {
    fanin_status status =
        fanin_numpy_rng_init(&stream->numpy, (fanin_numpy_bits)bits, stream->seed);
    if (status == FANIN_OK) return FANIN_OK;
    return fanin_err_set(err, status,
                         "stream %s: seed %llu, but RandomState takes seeds below 2^32", spec,
                         (unsigned long long)stream->seed);
}

fanin_status fanin_compat_open(fanin_compat_stream *stream, const char *spec, uint64_t seed,
                               fanin_err *err) {
    const fanin_compat_row *row = row_of(spec);
    settings s = {.version = FANIN_TORCH_DEFAULT};
    if (!row)
        return fanin_err_set(err, FANIN_NOTFOUND,
                             "stream %s: no such stream; there are torch, numpy, jax", spec);
    memset(stream, 0, sizeof *stream);
    stream->framework = row->framework;
    stream->seed = seed;
    const char *p;
    FANIN_TRY(fanin__options_of(spec, strlen(row->name), &p, err));
    for (bool more = true; more;) {
        option o;
        FANIN_TRY(next_option(&p, spec, &o, &more, err));
        if (more) FANIN_TRY(set_option(row, spec, &o, &s, err));
    }
    if (row->framework == FANIN_FRAMEWORK_NUMPY) return open_numpy(stream, spec, s.bits, err);
    if (row->framework == FANIN_FRAMEWORK_TORCH)
        return fanin_torch_rng_init(&stream->torch, seed, (fanin_torch_flavour)s.flavour,
                                    s.version);
    stream->jax_mode = (fanin_jax_mode)s.mode;
    stream->jax_root = stream->jax_key = fanin_jax_key_from(seed, false);
    return FANIN_OK;
}

const char *fanin_compat_text(const fanin_compat_stream *stream, char *buf, size_t size) {
    const fanin_torch_rng *torch = &stream->torch;
    switch (stream->framework) {
    case FANIN_FRAMEWORK_TORCH:
        snprintf(buf, size, "torch:flavour=%s,version=%d.%d", flavour_names[torch->flavour],
                 torch->version / 100, torch->version % 100);
        break;
    case FANIN_FRAMEWORK_NUMPY:
        snprintf(buf, size, "numpy:bits=%s", bits_names[stream->numpy.bits]);
        break;
    case FANIN_FRAMEWORK_JAX:
        snprintf(buf, size, "jax:mode=%s", mode_names[stream->jax_mode]);
        break;
    default: snprintf(buf, size, "?");
    }
    return buf;
}

/* ---- draws ------------------------------------------------------------------------------- */

void fanin_compat_begin(fanin_compat_stream *stream, uint64_t index) {
    if (stream->framework != FANIN_FRAMEWORK_JAX) return;
    stream->jax_key = fanin_jax_fold_in(stream->jax_root, (uint32_t)index);
    stream->jax_draws = 0;
}

static fanin_jax_key jax_next(fanin_compat_stream *stream) {
    uint32_t draw = stream->jax_draws++;
    return draw ? fanin_jax_fold_in(stream->jax_key, draw) : stream->jax_key;
}

/* A law on n values of one native type. */
typedef struct law {
    enum { UNIFORM, NORMAL, TRUNCATED } kind;
    double p0, p1, a, b; /* low, high or mean, std; bounds */
} law;

static fanin_status numpy_f64(fanin_numpy_rng *rng, const law *l, size_t n, double *out) {
    if (l->kind == UNIFORM) return fanin_numpy_uniform(rng, FANIN_F64, n, l->p0, l->p1, out);
    if (l->kind == NORMAL) return fanin_numpy_normal(rng, FANIN_F64, n, l->p0, l->p1, out);
    for (size_t i = 0; i < n; i++) {
        size_t tries = 0;
        do {
            if (++tries > 1000000) return FANIN_NOCONV;
            FANIN_TRY(fanin_numpy_normal(rng, FANIN_F64, 1, l->p0, l->p1, out + i));
        } while (out[i] < l->a || out[i] > l->b);
    }
    return FANIN_OK;
}

static fanin_status numpy_draw(fanin_numpy_rng *rng, const law *l, fanin_dtype dtype, size_t n,
                               void *out) {
    enum { RUN = 256 };
    size_t size = fanin_dtype_size(dtype);
    if (!fanin_dtype_is_float(dtype)) return FANIN_UNSUPPORTED;
    if (dtype == FANIN_F64 && out) return numpy_f64(rng, l, n, out);
    for (size_t done = 0; done < n; done += RUN) {
        double wide[RUN];
        float narrow[RUN];
        size_t run = n - done < RUN ? n - done : RUN;
        FANIN_TRY(numpy_f64(rng, l, run, wide));
        if (!out) continue;
        for (size_t i = 0; i < run; i++) narrow[i] = (float)wide[i];
        FANIN_TRY(fanin_convert_from_f32(narrow, run, dtype, (unsigned char *)out + done * size));
    }
    return FANIN_OK;
}

static fanin_status jax_f32(fanin_jax_mode mode, fanin_jax_key key, const law *l, size_t n,
                            float *out) {
    float mean = (float)l->p0, std = (float)l->p1;
    if (l->kind == UNIFORM) return fanin_jax_uniform(mode, key, FANIN_F32, n, l->p0, l->p1, out);
    if (l->kind == NORMAL)
        FANIN_TRY(fanin_jax_normal(mode, key, n, out));
    else
        FANIN_TRY(fanin_jax_truncated_normal(mode, key, n, (l->a - l->p0) / l->p1,
                                             (l->b - l->p0) / l->p1, out));
    for (size_t i = 0; i < n; i++) out[i] = out[i] * std + mean;
    return FANIN_OK;
}

static fanin_status jax_draw(fanin_compat_stream *stream, const law *l, fanin_dtype dtype, size_t n,
                             void *out) {
    fanin_jax_key key = jax_next(stream);
    if (!out) return FANIN_OK; /* no draw depends on another */
    if (dtype == FANIN_F32) return jax_f32(stream->jax_mode, key, l, n, out);
    if (dtype == FANIN_F64)
        return l->kind == UNIFORM
                   ? fanin_jax_uniform(stream->jax_mode, key, dtype, n, l->p0, l->p1, out)
                   : FANIN_UNSUPPORTED;
    if (!fanin_dtype_is_float(dtype)) return FANIN_UNSUPPORTED;
    float *wide = fanin_calloc(n, sizeof *wide);
    if (!wide) return FANIN_NOMEM;
    fanin_status status = jax_f32(stream->jax_mode, key, l, n, wide);
    if (status == FANIN_OK) status = fanin_convert_from_f32(wide, n, dtype, out);
    fanin_free(wide);
    return status;
}

static fanin_status draw(fanin_compat_stream *stream, const law *l, fanin_dtype dtype, size_t n,
                         void *out) {
    if (!isfinite(l->p0) || !isfinite(l->p1)) return FANIN_ARG;
    if (l->kind == UNIFORM ? l->p0 > l->p1 : !(l->p1 >= 0)) return FANIN_ARG;
    if (l->kind == TRUNCATED && (!(l->p1 > 0) || !(l->a < l->b))) return FANIN_ARG;
    if (stream->framework == FANIN_FRAMEWORK_NUMPY)
        return numpy_draw(&stream->numpy, l, dtype, n, out);
    if (stream->framework == FANIN_FRAMEWORK_JAX) return jax_draw(stream, l, dtype, n, out);
    if (stream->framework != FANIN_FRAMEWORK_TORCH) return FANIN_ARG;
    fanin_torch_rng *rng = &stream->torch;
    if (l->kind == UNIFORM) return fanin_torch_uniform(rng, dtype, n, l->p0, l->p1, out);
    if (l->kind == NORMAL) return fanin_torch_normal(rng, dtype, n, l->p0, l->p1, out);
    return fanin_torch_trunc_normal(rng, dtype, n, l->p0, l->p1, l->a, l->b, out);
}

fanin_status fanin_compat_uniform(fanin_compat_stream *stream, fanin_dtype dtype, size_t n,
                                  double low, double high, void *out) {
    return draw(stream, &(law){.kind = UNIFORM, .p0 = low, .p1 = high}, dtype, n, out);
}

fanin_status fanin_compat_normal(fanin_compat_stream *stream, fanin_dtype dtype, size_t n,
                                 double mean, double std, void *out) {
    return draw(stream, &(law){.kind = NORMAL, .p0 = mean, .p1 = std}, dtype, n, out);
}

fanin_status fanin_compat_trunc_normal(fanin_compat_stream *stream, fanin_dtype dtype, size_t n,
                                       double mean, double std, double a, double b, void *out) {
    law l = {.kind = TRUNCATED, .p0 = mean, .p1 = std, .a = a, .b = b};
    return draw(stream, &l, dtype, n, out);
}

fanin_status fanin_compat_orthogonal(fanin_compat_stream *stream, fanin_dtype dtype,
                                     const int64_t *dims, int rank, double gain, void *out) {
    size_t n;
    if (stream->framework == FANIN_FRAMEWORK_TORCH)
        return fanin_torch_orthogonal(&stream->torch, dtype, dims, rank, gain, out);
    if (stream->framework == FANIN_FRAMEWORK_JAX) {
        fanin_jax_key key = jax_next(stream);
        if (dtype != FANIN_F32) return FANIN_UNSUPPORTED;
        return out ? fanin_jax_orthogonal(stream->jax_mode, key, dims, rank, gain, out) : FANIN_OK;
    }
    if (dtype != FANIN_F32 && dtype != FANIN_F64) return FANIN_UNSUPPORTED;
    if (rank < 2 || !fanin__shape_count(dims, rank, &n)) return FANIN_SHAPE;
    if (n == 0) return FANIN_OK;
    FANIN_TRY(fanin_compat_normal(stream, dtype, n, 0, 1, out));
    if (!out) return FANIN_OK;
    return fanin__orthogonal_rows(dtype, (size_t)dims[0], n / (size_t)dims[0], gain, out);
}
