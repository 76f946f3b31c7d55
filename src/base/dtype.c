/* dtype.c - element types and the one rounding of a float32 value into each of them. */
#include <math.h>
#include <string.h>

#include "base/base.h"

static const struct {
    fanin_dtype id;
    const char *name;
    size_t size;
} rows[] = {
#define ROW(id, value, name, size, onnx) {FANIN_##id, name, size},
    FANIN_DTYPE_MAP(ROW)
#undef ROW
};

const char *fanin_dtype_name(fanin_dtype dtype) {
    return dtype >= 1 && (size_t)dtype <= FANIN_COUNT(rows) ? rows[dtype - 1].name : "?";
}

size_t fanin_dtype_size(fanin_dtype dtype) {
    return dtype >= 1 && (size_t)dtype <= FANIN_COUNT(rows) ? rows[dtype - 1].size : 0;
}

bool fanin_dtype_is_float(fanin_dtype dtype) {
    return dtype >= FANIN_F32 && dtype <= FANIN_F8_E5M2;
}

fanin_dtype fanin_dtype_parse(const char *name) {
    static const struct {
        const char *alias;
        fanin_dtype id;
    } aliases[] = {
        {"float32", FANIN_F32},         {"float", FANIN_F32},
        {"float64", FANIN_F64},         {"double", FANIN_F64},
        {"float16", FANIN_F16},         {"half", FANIN_F16},
        {"bfloat16", FANIN_BF16},       {"f8e4m3", FANIN_F8_E4M3},
        {"f8e5m2", FANIN_F8_E5M2},      {"float8_e4m3fn", FANIN_F8_E4M3},
        {"float8_e5m2", FANIN_F8_E5M2},
    };
    for (size_t i = 0; i < FANIN_COUNT(rows); i++)
        if (!fanin__strcasecmp(name, rows[i].name)) return rows[i].id;
    for (size_t i = 0; i < FANIN_COUNT(aliases); i++)
        if (!fanin__strcasecmp(name, aliases[i].alias)) return aliases[i].id;
    return FANIN_DTYPE_NONE;
}

static uint32_t float_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static uint16_t bf16_from_f32(float x) {
    uint32_t u = float_bits(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((u >> 16) | 0x40u);
    u += 0x7fffu + ((u >> 16) & 1u);
    return (uint16_t)(u >> 16);
}

/* Rounds |x| to a float with `mbits` fraction bits and the smallest normal exponent `emin`,
 * to nearest even, subnormals included; the result in units of the last place of the target:
 * code = exponent field and fraction as one integer, so a carry moves to the next binade. */
static uint32_t small_float(float x, int mbits, int emin) {
    uint32_t u = float_bits(x) & 0x7fffffffu;
    if (u == 0) return 0;
    int exponent = (int)(u >> 23) - 127;
    uint32_t fraction = u & 0x7fffffu;
    if (exponent == -127)
        exponent = -126; /* a float32 subnormal: no hidden bit */
    else
        fraction |= 0x800000u;
    int shift = 23 - mbits;
    uint32_t base = 0; /* code of the binade's first value, less its hidden bit */
    if (exponent < emin)
        shift += emin - exponent;
    else
        base = (uint32_t)(exponent - emin) << mbits;
    if (shift > 31) return 0;
    uint32_t kept = fraction >> shift, rest = fraction & ((1u << shift) - 1u),
             half = 1u << (shift - 1);
    if (rest > half || (rest == half && (kept & 1u))) kept++;
    return base + kept;
}

static uint16_t f16_from_f32(float x) {
    uint32_t u = float_bits(x), sign = (u >> 16) & 0x8000u;
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);
    uint32_t code = small_float(x, 10, -14);
    return (uint16_t)(sign | (code > 0x7c00u ? 0x7c00u : code));
}

static uint8_t e5m2_from_f32(float x) {
    uint32_t u = float_bits(x), sign = (u >> 24) & 0x80u;
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint8_t)(sign | 0x7fu);
    uint32_t code = small_float(x, 2, -14);
    return (uint8_t)(sign | (code > 0x7cu ? 0x7cu : code));
}

static uint8_t e4m3_from_f32(float x) {
    uint32_t u = float_bits(x), sign = (u >> 24) & 0x80u;
    if ((u & 0x7fffffffu) >= 0x7f800000u) return (uint8_t)(sign | 0x7fu);
    uint32_t code = small_float(x, 3, -6);
    return (uint8_t)(sign | (code > 0x7eu ? 0x7fu : code));
}

fanin_status fanin_convert_from_f32(const float *in, size_t n, fanin_dtype dtype, void *out) {
    switch (dtype) {
    case FANIN_F32: memcpy(out, in, n * sizeof *in); return FANIN_OK;
    case FANIN_F64:
        for (size_t i = 0; i < n; i++) ((double *)out)[i] = (double)in[i];
        return FANIN_OK;
    case FANIN_BF16:
        for (size_t i = 0; i < n; i++) ((uint16_t *)out)[i] = bf16_from_f32(in[i]);
        return FANIN_OK;
    case FANIN_F16:
        for (size_t i = 0; i < n; i++) ((uint16_t *)out)[i] = f16_from_f32(in[i]);
        return FANIN_OK;
    case FANIN_F8_E4M3:
        for (size_t i = 0; i < n; i++) ((uint8_t *)out)[i] = e4m3_from_f32(in[i]);
        return FANIN_OK;
    case FANIN_F8_E5M2:
        for (size_t i = 0; i < n; i++) ((uint8_t *)out)[i] = e5m2_from_f32(in[i]);
        return FANIN_OK;
    default: return FANIN_ARG;
    }
}

static double widen(uint32_t code, int mbits, int emin) {
    int field = (int)(code >> mbits);
    double fraction = (double)(code & ((1u << mbits) - 1u));
    if (field == 0) return ldexp(fraction, emin - mbits);
    return ldexp(fraction + (double)(1u << mbits), emin - mbits + field - 1);
}

static double half_value(uint16_t h) {
    uint32_t code = h & 0x7fffu;
    double value = code == 0x7c00u ? INFINITY : code > 0x7c00u ? NAN : widen(code, 10, -14);
    return h & 0x8000u ? -value : value;
}

static double e4m3_value(uint8_t b) {
    uint32_t code = b & 0x7fu;
    double value = code == 0x7fu ? NAN : widen(code, 3, -6);
    return b & 0x80u ? -value : value;
}

static double e5m2_value(uint8_t b) {
    uint32_t code = b & 0x7fu;
    double value = code == 0x7cu ? INFINITY : code > 0x7cu ? NAN : widen(code, 2, -14);
    return b & 0x80u ? -value : value;
}

/* The common types in loops of their own, which the compiler makes wide. */
static void f32_to_f64(const unsigned char *p, size_t n, double *out) {
    for (size_t i = 0; i < n; i++) {
        float x;
        memcpy(&x, p + 4 * i, 4);
        out[i] = (double)x;
    }
}

static void bf16_to_f64(const unsigned char *p, size_t n, double *out) {
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, p + 2 * i, 2);
        uint32_t u = (uint32_t)h << 16;
        float x;
        memcpy(&x, &u, 4);
        out[i] = (double)x;
    }
}

fanin_status fanin_convert_to_f64(const void *in, fanin_dtype dtype, size_t n, double *out) {
    const unsigned char *p = in;
    uint16_t h;
    switch (dtype) {
    case FANIN_F32: f32_to_f64(p, n, out); break;
    case FANIN_F64: memcpy(out, p, 8 * n); break;
    case FANIN_BF16: bf16_to_f64(p, n, out); break;
    case FANIN_F16:
        for (size_t i = 0; i < n; i++) {
            memcpy(&h, p + 2 * i, 2);
            out[i] = half_value(h);
        }
        break;
    case FANIN_F8_E4M3:
        for (size_t i = 0; i < n; i++) out[i] = e4m3_value(p[i]);
        break;
    case FANIN_F8_E5M2:
        for (size_t i = 0; i < n; i++) out[i] = e5m2_value(p[i]);
        break;
    default: return FANIN_ARG;
    }
    return FANIN_OK;
}
