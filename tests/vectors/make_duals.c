/* Writes duals.txt: E f(u1) f(u2) and E f'(u1) f'(u2) of correlated Gaussians for random (activation, q,
 * c), worked in 128-bit ball arithmetic (Arb): nested Gauss-Legendre panels of 24 nodes, cut at the
 * kinks of f. The same sum on panels half as wide must agree to 1e-19 or the program stops.
 *
 *     cc -O2 tests/vectors/make_duals.c -o make_duals -lflint-arb -lflint -lm   # libflint-arb-dev
 *     ./make_duals > tests/vectors/duals.txt                                    # ten minutes
 */
#include <arb.h>
#include <arb_hypgeom.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PREC = 128, NODES = 24, MAX_CUTS = 256, REACH = 10 };

static arb_t node[NODES], weight[NODES];

/* f and f' at x; t and u are scratch. */
typedef void (*row_fn)(arb_t f, arb_t d, const arb_t x, double p, arb_t t, arb_t u);

static int positive(const arb_t x) { return arb_is_positive(x); }

static void logistic(arb_t f, arb_t d, const arb_t x, arb_t t) {
    arb_neg(t, x);
    arb_exp(t, t, PREC);
    arb_add_ui(t, t, 1, PREC);
    arb_inv(f, t, PREC); /* s; s' = s (1 - s) */
    arb_sub_ui(d, f, 1, PREC);
    arb_neg(d, d);
    arb_mul(d, d, f, PREC);
}

static void tanh_row(arb_t f, arb_t d, const arb_t x, double p, arb_t t, arb_t u) {
    (void)p, (void)t, (void)u;
    arb_tanh(f, x, PREC);
    arb_mul(d, f, f, PREC);
    arb_sub_ui(d, d, 1, PREC);
    arb_neg(d, d);
}
static void sigmoid_row(arb_t f, arb_t d, const arb_t x, double p, arb_t t, arb_t u) {
    (void)p, (void)u;
    logistic(f, d, x, t);
}
static void softplus_row(arb_t f, arb_t d, const arb_t x, double p, arb_t t, arb_t u) {
    (void)p;
    logistic(d, u, x, t); /* softplus = log(1 + e^-x) + x */
    arb_log(f, t, PREC);
    arb_add(f, f, x, PREC);
}
static void silu_row(arb_t f, arb_t d, const arb_t x, double p, arb_t t, arb_t u) {
    arb_set_d(u, p);
    arb_mul(u, u, x, PREC);
    logistic(f, d, u, t);
    arb_mul(d, d, u, PREC);
    arb_add(d, d, f, PREC);
    arb_mul(f, f, x, PREC);
}
static void mish_row(arb_t f, arb_t d, const arb_t x, double p, arb_t t, arb_t u) {
    arb_t s;
    arb_init(s);
    softplus_row(f, s, x, p, t, u); /* x tanh(sp), x (1 - tanh^2) s + tanh */
    arb_tanh(f, f, PREC);
    arb_mul(d, f, f, PREC);
    arb_sub_ui(d, d, 1, PREC);
    arb_neg(d, d);
    arb_mul(d, d, s, PREC);
    arb_mul(d, d, x, PREC);
    arb_add(d, d, f, PREC);
    arb_mul(f, f, x, PREC);
    arb_clear(s);
}
static void bell(arb_t out, const arb_t x, arb_t t) { /* e^{-x^2/2}/sqrt(2 pi) */
    arb_mul(t, x, x, PREC);
    arb_mul_2exp_si(t, t, -1);
    arb_neg(t, t);
    arb_exp(out, t, PREC);
    arb_const_pi(t, PREC);
    arb_mul_2exp_si(t, t, 1);
    arb_rsqrt(t, t, PREC);
    arb_mul(out, out, t, PREC);
}
static void gelu_row(arb_t f, arb_t d, const arb_t x, double p, arb_t t, arb_t u) {
    (void)p;
    arb_set_ui(t, 2);
    arb_rsqrt(t, t, PREC);
    arb_mul(t, t, x, PREC);
    arb_hypgeom_erf(f, t, PREC);
    arb_add_ui(f, f, 1, PREC);
    arb_mul_2exp_si(f, f, -1);
    bell(d, x, t);
    arb_mul(d, d, x, PREC);
    arb_add(d, d, f, PREC);
    arb_mul(f, f, x, PREC);
    (void)u;
}
static void erf_row(arb_t f, arb_t d, const arb_t x, double p, arb_t t, arb_t u) {
    (void)p, (void)u;
    arb_hypgeom_erf(f, x, PREC);
    arb_mul(t, x, x, PREC);
    arb_neg(t, t);
    arb_exp(d, t, PREC);
    arb_mul_2exp_si(d, d, 1);
    arb_const_pi(t, PREC);
    arb_rsqrt(t, t, PREC);
    arb_mul(d, d, t, PREC);
}
static void sin_row(arb_t f, arb_t d, const arb_t x, double p, arb_t t, arb_t u) {
    (void)p, (void)t, (void)u;
    arb_sin_cos(f, d, x, PREC);
}
static void gaussian_row(arb_t f, arb_t d, const arb_t x, double p, arb_t t, arb_t u) {
    (void)p, (void)u;
    arb_mul(t, x, x, PREC);
    arb_neg(t, t);
    arb_exp(f, t, PREC);
    arb_mul(d, f, x, PREC);
    arb_mul_si(d, d, -2, PREC);
}
static void softsign_row(arb_t f, arb_t d, const arb_t x, double p, arb_t t, arb_t u) {
    (void)p, (void)u;
    arb_abs(t, x);
    arb_add_ui(t, t, 1, PREC);
    arb_inv(t, t, PREC);
    arb_mul(f, x, t, PREC);
    arb_mul(d, t, t, PREC);
}
/* l x above 0, l a (e^{x/b} - 1) below */
static void bent_exp(arb_t f, arb_t d, const arb_t x, const arb_t l, const arb_t a, const arb_t b,
                     arb_t t) {
    if (positive(x)) {
        arb_mul(f, l, x, PREC);
        arb_set(d, l);
        return;
    }
    arb_div(t, x, b, PREC);
    arb_exp(d, t, PREC);
    arb_expm1(f, t, PREC);
    arb_mul(t, l, a, PREC);
    arb_mul(f, f, t, PREC);
    arb_mul(d, d, t, PREC);
    arb_div(d, d, b, PREC);
}
static void elu_row(arb_t f, arb_t d, const arb_t x, double p, arb_t t, arb_t u) {
    arb_t one;
    arb_init(one);
    arb_one(one);
    arb_set_d(u, p);
    bent_exp(f, d, x, one, u, one, t);
    arb_clear(one);
}
static void celu_row(arb_t f, arb_t d, const arb_t x, double p, arb_t t, arb_t u) {
    arb_t one;
    arb_init(one);
    arb_one(one);
    arb_set_d(u, p);
    bent_exp(f, d, x, one, u, u, t);
    arb_clear(one);
}
static void selu_row(arb_t f, arb_t d, const arb_t x, double p, arb_t t, arb_t u) {
    arb_t one, l;
    arb_init(one);
    arb_init(l);
    arb_one(one);
    arb_set_str(l, "1.0507009873554804934193349852946", PREC);
    arb_set_str(u, "1.6732632423543772848170429916717", PREC);
    bent_exp(f, d, x, l, u, one, t);
    arb_clear(one);
    arb_clear(l);
    (void)p;
}
/* Straight pieces: slope p below 0, 1 above. */
static void leaky_row(arb_t f, arb_t d, const arb_t x, double p, arb_t t, arb_t u) {
    (void)t, (void)u;
    arb_set_d(d, positive(x) ? 1 : p);
    arb_mul(f, x, d, PREC);
}
static void clamped(arb_t f, arb_t d, const arb_t x, long low, long high) {
    arb_set(f, x);
    arb_one(d);
    if (arf_cmp_si(arb_midref(x), low) < 0) arb_set_si(f, low), arb_zero(d);
    if (arf_cmp_si(arb_midref(x), high) > 0) arb_set_si(f, high), arb_zero(d);
}
static void hard_tanh_row(arb_t f, arb_t d, const arb_t x, double p, arb_t t, arb_t u) {
    (void)p, (void)t, (void)u;
    clamped(f, d, x, -1, 1);
}
static void relu6_row(arb_t f, arb_t d, const arb_t x, double p, arb_t t, arb_t u) {
    (void)p, (void)t, (void)u;
    clamped(f, d, x, 0, 6);
}
static void hard_swish_row(arb_t f, arb_t d, const arb_t x, double p, arb_t t, arb_t u) {
    (void)p;
    arb_add_ui(t, x, 3, PREC);
    clamped(f, d, t, 0, 6);
    arb_mul(u, d, x, PREC);
    arb_add(u, u, f, PREC);
    arb_div_ui(d, u, 6, PREC);
    arb_mul(f, f, x, PREC);
    arb_div_ui(f, f, 6, PREC);
}
static void squared_row(arb_t f, arb_t d, const arb_t x, double p, arb_t t, arb_t u) {
    (void)p, (void)t, (void)u;
    arb_zero(f);
    arb_zero(d);
    if (!positive(x)) return;
    arb_mul(f, x, x, PREC);
    arb_mul_2exp_si(d, x, 1);
}

static const struct row {
    const char *name;
    row_fn fn;
    double p;
    int kinks;
    double kink[2];
} rows[] = {{"tanh", tanh_row, 0, 0, {0}},
            {"sigmoid", sigmoid_row, 0, 0, {0}},
            {"softplus", softplus_row, 0, 0, {0}},
            {"silu", silu_row, 1, 0, {0}},
            {"silu:1.5", silu_row, 1.5, 0, {0}},
            {"mish", mish_row, 0, 0, {0}},
            {"gelu", gelu_row, 0, 0, {0}},
            {"erf", erf_row, 0, 0, {0}},
            {"sin", sin_row, 0, 0, {0}},
            {"gaussian", gaussian_row, 0, 0, {0}},
            {"softsign", softsign_row, 0, 1, {0}},
            {"elu:0.75", elu_row, 0.75, 1, {0}},
            {"elu", elu_row, 1, 1, {0}},
            {"celu:1.5", celu_row, 1.5, 1, {0}},
            {"selu", selu_row, 0, 1, {0}},
            {"relu", leaky_row, 0, 1, {0}},
            {"leaky_relu:0.25", leaky_row, 0.25, 1, {0}},
            {"abs", leaky_row, -1, 1, {0}},
            {"hard_tanh", hard_tanh_row, 0, 2, {-1, 1}},
            {"relu6", relu6_row, 0, 2, {0, 6}},
            {"hard_swish", hard_swish_row, 0, 2, {-3, 3}},
            {"squared_relu", squared_row, 0, 1, {0}}};
enum { ROWS = sizeof rows / sizeof *rows };

static int ascending(const void *a, const void *b) {
    return arb_gt(*(arb_t *)a, *(arb_t *)b) ? 1 : -1;
}

typedef struct sums {
    arb_t f, d; /* integrals of f and f' against the density */
} sums;

typedef struct pair {
    const struct row *row;
    arb_t s, c, r;
} pair;

/* Cuts every `step` over +-REACH and at the kinks (x - shift)/scale, sorted. */
static int cuts(const struct row *row, double step, const arb_t shift, const arb_t scale,
                arb_t *out) {
    int n = 0;
    for (double z = -REACH; z <= REACH + 1e-9; z += step) arb_set_d(out[n++], z);
    for (int i = 0; i < row->kinks; i++) {
        arb_set_d(out[n], row->kink[i]);
        arb_sub(out[n], out[n], shift, PREC);
        arb_div(out[n], out[n], scale, PREC);
        double at = arf_get_d(arb_midref(out[n]), ARF_RND_NEAR);
        if (fabs(at) < REACH) n++;
    }
    qsort(out, (size_t)n, sizeof *out, ascending);
    return n;
}

static arb_t inner_cut[MAX_CUTS], outer_cut[MAX_CUTS];

/* Panel [a, b]: node k to x, weight times density to w. */
static void place(const arb_t a, const arb_t b, int k, arb_t x, arb_t w, arb_t t) {
    arb_sub(t, b, a, PREC);
    arb_mul_2exp_si(t, t, -1);
    arb_add(x, a, t, PREC);
    arb_mul(w, t, weight[k], PREC);
    arb_addmul(x, t, node[k], PREC);
    arb_t g;
    arb_init(g);
    bell(g, x, t);
    arb_mul(w, w, g, PREC);
    arb_clear(g);
}

static void inner(const pair *p, const arb_t z, sums *out) {
    static arb_t x, w, t, u, v, f, d, shift, scale;
    static int ready;
    if (!ready) {
        arb_ptr all[] = {x, w, t, u, v, f, d, shift, scale};
        for (int i = 0; i < 9; i++) arb_init(all[i]);
        ready = 1;
    }
    arb_mul(shift, p->c, z, PREC);
    arb_mul(shift, shift, p->s, PREC);
    arb_mul(scale, p->s, p->r, PREC);
    int n = cuts(p->row, 1, shift, scale, inner_cut);
    arb_zero(out->f);
    arb_zero(out->d);
    for (int i = 0; i + 1 < n; i++)
        for (int k = 0; k < NODES; k++) {
            place(inner_cut[i], inner_cut[i + 1], k, x, w, t);
            arb_mul(v, scale, x, PREC);
            arb_add(v, v, shift, PREC);
            mag_zero(arb_radref(v)); /* the rounding of the place itself does not count */
            p->row->fn(f, d, v, p->row->p, t, u);
            arb_addmul(out->f, w, f, PREC);
            arb_addmul(out->d, w, d, PREC);
        }
}

static void both(const pair *p, double step, sums *out) {
    static arb_t x, w, t, u, v, f, d, zero;
    static sums in;
    static int ready;
    if (!ready) {
        arb_ptr all[] = {x, w, t, u, v, f, d, zero, in.f, in.d};
        for (int i = 0; i < 10; i++) arb_init(all[i]);
        ready = 1;
    }
    int n = cuts(p->row, step, zero, p->s, outer_cut);
    arb_zero(out->f);
    arb_zero(out->d);
    for (int i = 0; i + 1 < n; i++)
        for (int k = 0; k < NODES; k++) {
            place(outer_cut[i], outer_cut[i + 1], k, x, w, t);
            mag_zero(arb_radref(x));
            inner(p, x, &in);
            arb_mul(v, p->s, x, PREC);
            mag_zero(arb_radref(v));
            p->row->fn(f, d, v, p->row->p, t, u);
            arb_mul(f, f, w, PREC);
            arb_mul(d, d, w, PREC);
            arb_addmul(out->f, f, in.f, PREC);
            arb_addmul(out->d, d, in.d, PREC);
        }
}

static double uniform(void) {
    static unsigned long long s = 20261122;
    s = s * 6364136223846793005u + 1442695040888963407u;
    return (double)(s >> 11) * 0x1p-53;
}

static void check(const char *name, double q, double c, const arb_t a, const arb_t b) {
    double gap = fabs(arf_get_d(arb_midref(a), ARF_RND_NEAR));
    arb_t t;
    arb_init(t);
    arb_sub(t, a, b, PREC);
    double off = fabs(arf_get_d(arb_midref(t), ARF_RND_NEAR)) + mag_get_d(arb_radref(t));
    arb_clear(t);
    if (off <= 1e-19 * (gap + 1)) return;
    fprintf(stderr, "%s q=%g c=%g: panels disagree by %g\n", name, q, c, off);
    exit(1);
}

int main(int argc, char **argv) {
    int points = argc > 1 ? atoi(argv[1]) : 240;
    for (int k = 0; k < NODES; k++) {
        arb_init(node[k]);
        arb_init(weight[k]);
        arb_hypgeom_legendre_p_ui_root(node[k], weight[k], NODES, (ulong)k, PREC);
    }
    for (int k = 0; k < MAX_CUTS; k++) {
        arb_init(inner_cut[k]);
        arb_init(outer_cut[k]);
    }
    printf("# E f(u1) f(u2) and E f'(u1) f'(u2), both variances q, correlation c.\n");
    printf("# tests/vectors/make_duals.c, Arb %s at %d bits, 20 digits; tolerance 1e-12\n",
           arb_version, PREC);
    printf("# NAME q c E_ff E_f'f'\n");
    pair p;
    sums a, b;
    arb_ptr all[] = {p.s, p.c, p.r, a.f, a.d, b.f, b.d};
    for (int i = 0; i < 7; i++) arb_init(all[i]);
    for (int i = 0; i < points; i++) {
        p.row = &rows[i % ROWS];
        char text[64];
        snprintf(text, sizeof text, "%.3g", exp(log(0.02) + (log(4) - log(0.02)) * uniform()));
        double q = strtod(text, NULL);
        /* Half of them where inputs are alike and series are slow. */
        snprintf(text, sizeof text, "%.4g",
                 i / ROWS % 2 ? 1 - exp(-1.2 - 3.4 * uniform()) : 1.9 * uniform() - 0.95);
        double c = strtod(text, NULL), r = sqrt(1 - c * c);
        arb_set_d(p.s, q); /* q and c are the doubles that strtod makes of the text */
        arb_sqrt(p.s, p.s, PREC);
        arb_set_d(p.c, c);
        arb_mul(p.r, p.c, p.c, PREC);
        arb_sub_ui(p.r, p.r, 1, PREC);
        arb_neg(p.r, p.r);
        arb_sqrt(p.r, p.r, PREC);
        double step = r > 0.4 ? 1 : r > 0.2 ? 0.5 : 0.25;
        both(&p, step, &a);
        if (i < ROWS) { /* one point of every row on panels half as wide */
            both(&p, step / 2, &b);
            check(p.row->name, q, c, a.f, b.f);
            check(p.row->name, q, c, a.d, b.d);
        }
        printf("%s %.17g %.17g ", p.row->name, q, c);
        arb_printn(a.f, 20, ARB_STR_NO_RADIUS);
        printf(" ");
        arb_printn(a.d, 20, ARB_STR_NO_RADIUS);
        printf("\n");
        fflush(stdout);
    }
    return 0;
}
