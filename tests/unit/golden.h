/* golden.h - reads ../shared/vectors: arrays that frameworks returned for a seed.
 *
 * A test walks the rows of its families with golden_rows(), makes the array of each row and gives
 * it to golden_check(). `exact` rows must agree in the SHA-256 of the whole array, `libm` and `tol`
 * rows element by element within the row's tolerance. A report counts rows by family; a row that
 * nobody made is a failure.
 */
#ifndef FANIN_TESTS_GOLDEN_H
#define FANIN_TESTS_GOLDEN_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fanin/base.h"
#include "testing.h"

/* ---- SHA-256 (FIPS 180-4) ---------------------------------------------------------------- */

static inline uint32_t sha_rotate(uint32_t v, int by) { return v >> by | v << (32 - by); }

/* First 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static inline void sha_constants(uint32_t k[64], uint32_t h[8]) {
    int found = 0;
    for (int p = 2; found < 64; p++) {
        bool prime = true;
        for (int d = 2; d * d <= p; d++) prime = prime && p % d;
        if (!prime) continue;
        long double c = cbrtl((long double)p), s = sqrtl((long double)p);
        k[found] = (uint32_t)((c - floorl(c)) * 4294967296.0L);
        if (found < 8) h[found] = (uint32_t)((s - floorl(s)) * 4294967296.0L);
        found++;
    }
}

static inline void sha_block(const uint32_t k[64], uint32_t h[8], const unsigned char *p) {
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
               (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (sha_rotate(a, 7) ^ sha_rotate(a, 18) ^ a >> 3) +
               (sha_rotate(b, 17) ^ sha_rotate(b, 19) ^ b >> 10);
    }
    memcpy(v, h, sizeof v);
    for (int i = 0; i < 64; i++) {
        uint32_t e = v[4], a = v[0];
        uint32_t t1 = v[7] + (sha_rotate(e, 6) ^ sha_rotate(e, 11) ^ sha_rotate(e, 25)) +
                      ((e & v[5]) ^ (~e & v[6])) + k[i] + w[i];
        uint32_t t2 = (sha_rotate(a, 2) ^ sha_rotate(a, 13) ^ sha_rotate(a, 22)) +
                      ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) h[i] += v[i];
}

/* Lower-case hex of the digest of n bytes. */
static inline void golden_sha256(const void *data, size_t n, char hex[65]) {
    uint32_t k[64], h[8];
    unsigned char tail[128] = {0};
    const unsigned char *p = data;
    size_t whole = n / 64 * 64, rest = n - whole, length = rest < 56 ? 64 : 128;
    sha_constants(k, h);
    for (size_t i = 0; i < whole; i += 64) sha_block(k, h, p + i);
    memcpy(tail, p + whole, rest);
    tail[rest] = 0x80;
    for (size_t i = 0; i < 8; i++) tail[length - 1 - i] = (unsigned char)((uint64_t)n * 8 >> 8 * i);
    for (size_t i = 0; i < length; i += 64) sha_block(k, h, tail + i);
    for (int i = 0; i < 8; i++) snprintf(hex + 8 * i, 9, "%08x", h[i]);
}

/* ---- rows -------------------------------------------------------------------------------- */

typedef struct golden_row {
    char *name, *dtype, *shape, *storage, *file, *sha256, *kind, *flavour, *seed_text, *call;
    size_t offset, nbytes, count;
    double tol_abs, tol_rel;
    uint64_t seed; /* 0 where there is none */
    int64_t dims[8];
    int rank;
    fanin_dtype type;
} golden_row;

typedef struct golden {
    char *text;
    golden_row *rows;
    size_t count;
    int checked, exact, identical, failed; /* identical: libm and tol rows with all bits */
} golden;

static inline char *golden_slurp(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    char *text = malloc((size_t)n + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)n, f), n);
    fclose(f);
    text[n] = 0;
    if (size) *size = (size_t)n;
    return text;
}

static inline void golden_shape(golden_row *r) {
    r->rank = 0;
    if (strcmp(r->shape, "scalar") == 0) return;
    for (char *p = r->shape;; p++) {
        r->dims[r->rank++] = strtoll(p, &p, 10);
        if (*p != 'x') break;
    }
}

static inline void golden_parse(char *line, golden_row *r) {
    char *c[18] = {0};
    int n = 0;
    for (char *p = line; n < 18; n++) {
        c[n] = p;
        p += strcspn(p, "\t\n");
        if (*p) *p++ = 0;
    }
    *r = (golden_row){.name = c[0],
                      .dtype = c[1],
                      .shape = c[2],
                      .storage = c[3],
                      .file = c[4],
                      .offset = strtoul(c[5], NULL, 10),
                      .nbytes = strtoul(c[6], NULL, 10),
                      .count = strtoul(c[7], NULL, 10),
                      .sha256 = c[10],
                      .kind = c[11],
                      .tol_abs = strtod(c[12], NULL),
                      .tol_rel = strtod(c[13], NULL),
                      .flavour = c[14],
                      .seed_text = c[16],
                      .call = c[17]};
    r->seed = strtoull(c[16], NULL, 10);
    r->type = fanin_dtype_parse(c[1]);
    golden_shape(r);
}

/* The whole index; skips the test where it is absent. */
static inline golden golden_open(void) {
    golden g = {0};
    g.text = golden_slurp(test_shared("vectors/index.tsv"), NULL);
    size_t lines = 0;
    for (char *p = g.text; *p; p++) lines += *p == '\n';
    g.rows = calloc(lines + 1, sizeof *g.rows);
    assert_non_null(g.rows);
    for (char *p = g.text, *end; *p; p = end) {
        end = p + strcspn(p, "\n");
        if (*end) *end++ = 0;
        if (*p != '#') golden_parse(p, &g.rows[g.count++]);
    }
    return g;
}

static inline void golden_close(golden *g) {
    free(g->rows);
    free(g->text);
}

static inline bool golden_is(const golden_row *r, const char *prefix) {
    return strncmp(r->name, prefix, strlen(prefix)) == 0;
}

static inline unsigned char *golden_bytes(const golden_row *r) {
    char path[64];
    snprintf(path, sizeof path, "vectors/%s", r->file);
    FILE *f = fopen(test_shared(path), "rb");
    unsigned char *bytes = malloc(r->nbytes + 1);
    assert_non_null(f);
    assert_non_null(bytes);
    fseek(f, (long)r->offset, SEEK_SET);
    assert_int_equal(fread(bytes, 1, r->nbytes, f), r->nbytes);
    fclose(f);
    return bytes;
}

/* ---- comparison -------------------------------------------------------------------------- */

static inline double golden_value(const golden_row *r, const void *p, size_t i) {
    size_t size = fanin_dtype_size(r->type);
    const unsigned char *at = (const unsigned char *)p + i * size;
    double v = 0;
    if (fanin_dtype_is_float(r->type)) {
        fanin_convert_to_f64(at, r->type, 1, &v);
        return v;
    }
    uint64_t u = 0;
    memcpy(&u, at, size);
    return (double)u;
}

/* Largest |got - want| / allowed over the stored elements; *worst is where. */
static inline double golden_distance(const golden_row *r, const void *got, const void *want,
                                     size_t *worst) {
    size_t stored = r->nbytes / fanin_dtype_size(r->type), half = stored / 2;
    bool ends = strcmp(r->storage, "ends") == 0;
    double largest = 0;
    for (size_t i = 0; i < stored; i++) {
        size_t at = ends && i >= half ? r->count - stored + i : i;
        double g = golden_value(r, got, at), w = golden_value(r, want, i);
        double allowed = r->tol_abs + r->tol_rel * fabs(w), d = fabs(g - w);
        double ratio = d == 0 ? 0 : allowed > 0 ? d / allowed : INFINITY;
        if (ratio > largest || isnan(ratio)) {
            largest = isnan(ratio) ? INFINITY : ratio;
            *worst = i;
        }
    }
    return largest;
}

static inline void golden_complain(golden *g, const golden_row *r, const void *got,
                                   const void *want, size_t i) {
    bool ends = strcmp(r->storage, "ends") == 0;
    size_t stored = r->nbytes / fanin_dtype_size(r->type);
    size_t at = ends && i >= stored / 2 ? r->count - stored + i : i;
    if (g->failed++ < 12)
        fprintf(stderr, "%s (%s): [%zu] is %.17g, expected %.17g: %s\n", r->name, r->kind, at,
                golden_value(r, got, at), golden_value(r, want, i), r->call);
}

/* `got` is the whole array of the row. */
static inline void golden_check(golden *g, const golden_row *r, const void *got) {
    char hex[65];
    size_t worst = 0;
    golden_sha256(got, r->count * fanin_dtype_size(r->type), hex);
    bool same = strcmp(hex, r->sha256) == 0, exact = strcmp(r->kind, "exact") == 0;
    unsigned char *want = golden_bytes(r);
    double distance = golden_distance(r, got, want, &worst);
    if (exact ? !same : distance > 1) golden_complain(g, r, got, want, worst);
    free(want);
    g->checked++;
    g->exact += exact;
    g->identical += !exact && same;
}

/* A poisoned buffer for the row's array. */
static inline void *golden_buffer(const golden_row *r) {
    size_t n = r->count * fanin_dtype_size(r->type) + 64;
    void *p = malloc(n);
    assert_non_null(p);
    memset(p, 0xa5, n);
    return p;
}

static inline void golden_report(const golden *g, const char *family) {
    int loose = g->checked - g->exact;
    print_message("%s: %d rows, %d exact, %d within tolerance (%d of them to the bit)\n", family,
                  g->checked, g->exact, loose, g->identical);
    assert_int_equal(g->failed, 0);
    assert_true(g->checked > 0);
}

#endif
