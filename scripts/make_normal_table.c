/* make_normal_table.c - writes src/random/normal_table.c, the inverse-CDF tables of the samplers.
 *
 *     gcc -O2 scripts/make_normal_table.c -o /tmp/t -lquadmath -lm && /tmp/t > src/random/normal_table.c
 *
 * Tail probabilities are counted in cells: p = (m + 1/2) / 2^32 for the 31-bit tail index m of a
 * word (2^64 and 63 bits in the second table). A segment is a run of m whose float(m) + 1/2 share
 * exponent and leading fraction bits (6 bits; 4 in the second table). Its row holds a centre C (a
 * cell border, m - C + 1/2 cells away), c0 = z(C) and c1 = dz/dcell there; the samplers
 * add the Taylor terms that z'' = z z'^2 gives.
 *
 * The centre of a float segment is chosen near the middle such that c0 is a float32 value to a
 * small part of its last place, and near a power of two that lies in the segment; if the first
 * choice is not monotone against the segment before it, the next best is taken. */
#include <math.h>
#include <quadmath.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef __float128 quad;

static quad tail(quad z) { return erfcq(z / sqrtq(2)) / 2; }
static quad density(quad z) { return expq(-z * z / 2) / sqrtq(2 * M_PIq); }

/* z with tail(z) = p, 0 < p <= 1/2. */
static quad inverse(quad p) {
    if (p >= 0.5Q) return 0;
    quad low = 0, high = 12;
    for (int i = 0; i < 20; i++) {
        quad mid = (low + high) / 2;
        if (tail(mid) > p)
            low = mid;
        else
            high = mid;
    }
    quad z = (low + high) / 2;
    for (int i = 0; i < 5; i++) {
        quad d = (tail(z) - p) / density(z);
        z += d / (1 - z * d / 2);
    }
    return z;
}

typedef struct row {
    uint32_t centre;
    float c0, c1;
} row;

enum { BITS = 6, ROWS = 32 * (1 << BITS) + 1, CANDIDATES = 4096 };
static const quad CELL = 0x1p-32Q;

static uint32_t segment_of(uint32_t m) {
    float f = (float)(int32_t)m + 0.5f;
    uint32_t bits;
    memcpy(&bits, &f, 4);
    return (bits >> (23 - BITS)) - (0x3f000000u >> (23 - BITS));
}

/* The scalar sampler, operation for operation. */
static float evaluate(const row *r, uint32_t m) {
    float t = (float)(int32_t)(m - r->centre), s = 0.5f * r->c1;
    float x = fmaf(t, r->c1, s), h = 0.5f * r->c0;
    float k = fmaf(r->c0 * h, 0x1.555556p-1f, 0x1.555556p-3f);
    float g = fmaf(x, k, h);
    return r->c0 + fmaf(t, r->c1, fmaf(x * x, g, s));
}

typedef struct candidate {
    double cost;
    uint32_t centre;
    float c0;
    quad z;
} candidate;

static int by_cost(const void *a, const void *b) {
    double x = ((const candidate *)a)->cost, y = ((const candidate *)b)->cost;
    return (x > y) - (x < y);
}

static row make_row(const candidate *c) {
    return (row){c->centre, c->c0, (float)(-CELL / density(c->z))};
}

/* First m of a segment by its edge: the smallest m with segment_of(m) >= i. */
static uint32_t first_of(uint32_t i) {
    uint32_t low = 0, high = 0x7fffffffu;
    if (segment_of(high) < i) return 0x80000000u;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (segment_of(mid) >= i)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

static void fill_candidates(candidate *list, int *count, uint32_t begin, uint32_t end) {
    double middle = 0.5 * ((double)begin + end), wanted = middle;
    uint32_t span = (end - begin) / 8;
    quad z_begin = inverse(begin * CELL), z_end = inverse(end * CELL);
    for (int k = -5; k <= 1; k++) { /* a power of two inside draws the centre to it */
        quad power = ldexpq(1, k);
        if (power <= z_begin && power >= z_end) {
            double reach = 0.125 * (end - begin);
            wanted = fmin(fmax((double)(tail(power) / CELL), middle - reach), middle + reach);
        }
    }
    if (end - begin < 128) span = 2 * (end - begin); /* few to choose from: look outside too */
    if (span > CANDIDATES) span = CANDIDATES;
    uint32_t start = (uint32_t)llround(wanted) - span / 2;
    quad z0 = inverse((quad)start * CELL), s = CELL / density(z0);
    double reach = (double)(z_begin - z_end) / 2;
    *count = 0;
    for (uint32_t j = 0; j <= span; j++) {
        quad x = -(quad)j * s; /* a short span: the cubic is right to 1e-3 of a last place */
        quad z = z0 + x * (1 + x * (z0 / 2 + x * (1 + 2 * z0 * z0) / 6));
        if (end - begin < 8192) z = inverse((quad)(start + j) * CELL);
        float c0 = (float)z;
        double ulp = (double)(nextafterf(c0, INFINITY) - c0);
        quad c1 = CELL / density(z);
        double slope_error = fabs((double)((c1 - (quad)(float)c1) / c1)) * reach;
        double cost = (fabs((double)(z - (quad)c0)) + slope_error) / ulp;
        list[(*count)++] = (candidate){cost, start + j, c0, z};
    }
    qsort(list, (size_t)*count, sizeof *list, by_cost);
}

static row rows[ROWS];

static void make_float_rows(void) {
    static candidate list[CANDIDATES + 1];
    row last = {0, 0, 0};
    uint32_t last_begin = 0;
    int have = 0, retries = 0;
    for (uint32_t i = 0; i < ROWS; i++) {
        uint32_t begin = first_of(i), end = first_of(i + 1);
        if (end == begin || i == ROWS - 1) { /* no word comes here, or the rounded-up end */
            rows[i] = i == ROWS - 1 ? rows[i - 1] : (row){begin, 0, 0};
            continue;
        }
        if (end - begin == 1) {
            rows[i] = (row){begin, (float)inverse((begin + 0.5Q) * CELL), 0};
        } else if (i == ROWS - 2) {
            rows[i] = (row){0x80000000u, 0, (float)(-CELL / density(0))};
        } else {
            int count, j = 0;
            fill_candidates(list, &count, begin, end);
            for (; j < count; j++) {
                rows[i] = make_row(&list[j]);
                if (!have || evaluate(&last, begin - 1) >= evaluate(&rows[i], begin)) break;
            }
            retries += j;
            if (j == count) fprintf(stderr, "segment %u: no monotone choice\n", i), exit(1);
        }
        if (have && evaluate(&last, begin - 1) < evaluate(&rows[i], begin))
            fprintf(stderr, "segment %u (from %u) is not monotone\n", i, last_begin);
        last = rows[i];
        last_begin = begin;
        have = 1;
    }
    fprintf(stderr, "float rows: %d second choices\n", retries);
}

enum { BITS64 = 4, ROWS64 = 64 * (1 << BITS64) + 1 };

static void print_double_rows(void) {
    printf("const fanin__normal_row64 fanin__normal_rows64[%d] = {\n", ROWS64);
    for (int i = 0; i < ROWS64; i++) {
        int e = (i >> BITS64) - 1;
        quad low = ldexpq(1 + (i & 15) / 16.0Q, e), width = ldexpq(1 / 16.0Q, e);
        quad p; /* the centre in cells of 2^-64 */
        double c1 = 0;
        uint64_t centre = 0;
        if (width <= 1) {
            p = floorq(low) + 0.5Q; /* one m only */
            centre = (uint64_t)low;
        } else if (i >= ROWS64 - 2) {
            p = 0x1p63Q;
            centre = UINT64_C(1) << 63;
        } else {
            p = low + width / 2;
            centre = (uint64_t)p;
        }
        quad z = inverse(p * 0x1p-64Q);
        if (width > 1) c1 = (double)(-0x1p-64Q / density(z));
        printf("    {UINT64_C(0x%llx), %a, %a},\n", (unsigned long long)centre, (double)z, c1);
    }
    printf("};\n");
}

/* Rows of P[n+1] = P[n]' + n z P[n], P[1] = 1, over n!: z's n-th derivative at unit slope. */
static void print_taylor(void) {
    double p[12][12] = {{0}};
    p[1][0] = 1;
    for (int n = 1; n < 11; n++)
        for (int k = 0; k < 11; k++)
            p[n + 1][k] = (k + 1 < 12 ? (k + 1) * p[n][k + 1] : 0) + (k ? n * p[n][k - 1] : 0);
    printf("\n/* Coefficients of z^0, z^2, ... (n odd) or z^1, z^3, ... (n even) of the n-th term. "
           "*/\n");
    printf("const double fanin__normal_taylor[12][6] = {\n");
    double factorial = 1;
    for (int n = 0; n < 12; n++) {
        if (n) factorial *= n;
        printf("    {");
        for (int j = 0; j < 6; j++) {
            int k = 2 * j + (n % 2 == 0);
            printf("%s%a", j ? ", " : "", n && k < 12 ? p[n][k] / factorial : 0.0);
        }
        printf("},\n");
    }
    printf("};\n");
}

int main(void) {
    make_float_rows();
    printf("/* normal_table.c - written by scripts/make_normal_table.c; do not edit. */\n"
           "/* clang-format off */\n#include \"random/random.h\"\n\n");
    printf("const int32_t fanin__normal_centre[%d] = {\n", ROWS);
    for (int i = 0; i < ROWS; i++)
        printf("    %s0x%08x,\n", rows[i].centre > 0x7fffffffu ? "(int32_t)" : "", rows[i].centre);
    printf("};\n\nconst fanin__normal_pair fanin__normal_pairs[%d] = {\n", ROWS);
    for (int i = 0; i < ROWS; i++)
        printf("    {%af, %af},\n", (double)rows[i].c0, (double)rows[i].c1);
    printf("};\n\n");
    print_double_rows();
    print_taylor();
    return 0;
}
