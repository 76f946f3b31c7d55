/* theory_claims.c - figures of papers that follow from formulas: what the theory room computes, held against
 * what was printed. */
#include <math.h>
#include <stdio.h>

#include "fanin/data.h"
#include "fanin/theory.h"
#include "reproduce/reproduce.h"

/* ---- LeCun, Bottou, Orr, Mueller 1998 ---------------------------------------------------------------- */

static fanin_status lecun_tanh_at_one(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    (void)lab;
    fanin_activation *act;
    double one = 1;
    FANIN_TRY(fanin_activation_parse("lecun_tanh", &act, err));
    fanin_activation_eval(act, 0, &one, &c->ours, 1);
    fanin_activation_destroy(act);
    fanin__measured(c, "1.7159 tanh(2/3) = %.7f", c->ours);
    return FANIN_OK;
}

/* The covariance has the eigenvalues 0.84 and 0.036; the weight of the constant input adds 1. */
static fanin_status lecun_rate(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    (void)lab;
    fanin_quadratic without, with;
    FANIN_TRY(fanin_quadratic_solve((double[]){0.84, 0.036}, 2, 1, &without, err));
    FANIN_TRY(fanin_quadratic_solve((double[]){0.84, 0.036, 1}, 3, 1, &with, err));
    c->ours = with.eta_max;
    fanin__measured(
        c,
        "2/0.84 = %.2f leaves out the bias, whose input is always 1: the Hessian's largest "
        "eigenvalue is 1 and the limit %.2f",
        without.eta_max, with.eta_max);
    return FANIN_OK;
}

static const fanin__claim_row lecun_rows[] = {
    {.id = "sigmoid-at-1",
     .where = "the recommended sigmoid",
     .text = "f(x) = 1.7159 tanh(2x/3) has f(1) = 1",
     .published = 1,
     .tolerance = 1e-3,
     .measure = lecun_tanh_at_one},
    {.id = "largest-rate",
     .where = "section 5.2",
     .text = "the largest learning rate of the two-dimensional example is 2/0.84 = 2.38",
     .published = 2.38,
     .tolerance = 0.02,
     .measure = lecun_rate,
     .judged = true},
};
const fanin__paper fanin__paper_lecun1998 = {
    "lecun1998", "Efficient BackProp",         "LeCun, Bottou, Orr, Mueller 1998",
    lecun_rows,  (int)FANIN_COUNT(lecun_rows), NULL};

/* ---- Glorot, Bengio 2010 ------------------------------------------------------------------------------ */

static fanin_status glorot_standard(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    (void)lab;
    FANIN_TRY(fanin_mean_singular_value(1, 1.0 / 3, &c->ours, err));
    fanin__measured(
        c, "8/(3 pi) sqrt(n Var W) with n Var W = 1/3: %.4f, units at their linear point", c->ours);
    return FANIN_OK;
}

static fanin_status glorot_normalised(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    (void)lab;
    FANIN_TRY(fanin_mean_singular_value(1, 1, &c->ours, err));
    fanin__measured(c, "8/(3 pi) sqrt(n Var W) with n Var W = 1: %.4f, units at their linear point",
                    c->ours);
    return FANIN_OK;
}

enum { SAMPLES = 4000, CLASSES = 9, PIXELS = 32 * 32 };

/* How often the best constant answer is wrong. */
static fanin_status glorot_sigmoid(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    (void)lab;
    fanin_dataset *d;
    FANIN_TRY(fanin_dataset_open("shapeset", 0, &d, err));
    float *x = fanin_calloc(PIXELS, sizeof *x);
    int64_t counts[CLASSES] = {0}, most = 0;
    fanin_status status = x ? FANIN_OK : fanin_err_set(err, FANIN_NOMEM, "no memory for an image");
    for (uint64_t i = 0; i < SAMPLES && status == FANIN_OK; i++) {
        int64_t label = 0;
        status = fanin_dataset_samples(d, FANIN_TEST, &i, 1, x, &label, err);
        if (status == FANIN_OK && label >= 0 && label < CLASSES) counts[label]++;
    }
    fanin_free(x);
    fanin_dataset_close(d);
    FANIN_TRY(status);
    for (int k = 0; k < CLASSES; k++)
        if (counts[k] > most) most = counts[k];
    double low, high;
    fanin__wilson(SAMPLES - most, SAMPLES, &low, &high);
    c->ours = 100 - 100 * (double)most / SAMPLES;
    c->low = 100 * low;
    c->high = 100 * high;
    fanin__measured(
        c,
        "always answering the most frequent of Shapeset's nine classes is wrong in %.2f %% "
        "of %d samples [%.2f, %.2f]: the sigmoid network had learned nothing",
        c->ours, SAMPLES, c->low, c->high);
    return FANIN_OK;
}

static const fanin__claim_row glorot_rows[] = {
    {.id = "jacobian-standard",
     .where = "section 4.2",
     .text = "the mean singular value of a layer's Jacobian is about 0.5 with the standard "
             "initialisation U(-1/sqrt n, 1/sqrt n)",
     .published = 0.5,
     .tolerance = 0.05,
     .measure = glorot_standard},
    {.id = "jacobian-normalised",
     .where = "section 4.2",
     .text = "and about 0.8 with the normalised one",
     .published = 0.8,
     .tolerance = 0.05,
     .measure = glorot_normalised},
    {.id = "sigmoid-shapeset",
     .where = "table 1",
     .text = "five sigmoid layers: 82.61 % error on Shapeset, the error of a constant answer",
     .published = 82.61,
     .tolerance = 2,
     .unit = "%",
     .measure = glorot_sigmoid},
};
const fanin__paper fanin__paper_glorot2010 = {
    "glorot2010",
    "Understanding the difficulty of training deep feedforward neural networks",
    "Glorot, Bengio 2010",
    glorot_rows,
    (int)FANIN_COUNT(glorot_rows),
    NULL};

/* ---- Saxe, McClelland, Ganguli 2014 ----------------------------------------------------------------------- */

/* Gradient descent on (s - ab)^2/2 from a = b = sqrt(u0), steps of 1e-5 time constants. */
static fanin_status saxe_time(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    (void)lab;
    (void)err;
    const double s = 1, u0 = 1e-3, uf = 0.99, step = 1e-5;
    double a = sqrt(u0), b = a, t = 0;
    while (a * b < uf && t < 20) {
        double e = s - a * b, da = b * e, db = a * e;
        a += step * da;
        b += step * db;
        t += step;
    }
    c->ours = t;
    fanin__measured(c, "gradient descent on both factors takes %.4f time constants", t);
    return FANIN_OK;
}

static const fanin__claim_row saxe_rows[] = {
    {.id = "learning-time",
     .where = "equations 8 to 12",
     .text = "a mode of strength 1 of a linear net of three layers grows from 0.001 to 0.99 in "
             "1/2 ln(uf (s - u0) / (u0 (s - uf))) = 5.7509 time constants",
     .published = 5.75093685,
     .tolerance = 1e-3,
     .unit = "time constants",
     .measure = saxe_time},
};
const fanin__paper fanin__paper_saxe2014 = {
    "saxe2014",
    "Exact solutions to the nonlinear dynamics of learning in deep linear networks",
    "Saxe, McClelland, Ganguli 2014",
    saxe_rows,
    (int)FANIN_COUNT(saxe_rows),
    NULL};

/* ---- He, Zhang, Ren, Sun 2015 ------------------------------------------------------------------------------- */

static fanin_status he_gain(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    (void)lab;
    fanin_gain g;
    FANIN_TRY(fanin__gain_of("relu", &g, err));
    c->ours = g.gain;
    fanin__measured(c, "1/sqrt(E relu(z)^2) = %.12f", g.gain);
    return FANIN_OK;
}

/* conv2 to conv10 have 64, 2 x 128, 2 x 256 and 4 x 512 filters of 3 x 3. */
static fanin_status he_vgg(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    (void)lab;
    (void)err;
    static const int filters[] = {64, 128, 128, 256, 256, 512, 512, 512, 512};
    double product = 1;
    for (size_t i = 0; i < FANIN_COUNT(filters); i++)
        product *= sqrt(2.0 / (9 * filters[i])) / 0.01;
    c->ours = product;
    fanin__measured(c, "the product of sqrt(2/(9 d))/0.01 over nine layers is %.0f", product);
    return FANIN_OK;
}

static const fanin__claim_row he_rows[] = {
    {.id = "relu-gain",
     .where = "equation 10",
     .text = "std = sqrt(2/n): the gain of rectifiers is sqrt 2",
     .published = 1.4142135623730951,
     .tolerance = 1e-12,
     .measure = he_gain},
    {.id = "vgg-std-0.01",
     .where = "section 2.2",
     .text =
         "with std 0.01 the gradient from conv10 to conv2 of VGG is 1/(1.7e4) of what it should be",
     .published = 1.7e4,
     .tolerance = 500,
     .measure = he_vgg},
};
const fanin__paper fanin__paper_he2015 = {
    "he2015",
    "Delving deep into rectifiers: surpassing human-level performance on ImageNet classification",
    "He, Zhang, Ren, Sun 2015",
    he_rows,
    (int)FANIN_COUNT(he_rows),
    NULL};

/* ---- Schoenholz, Gilmer, Ganguli, Sohl-Dickstein 2017 -------------------------------------------------------- */

static fanin_status schoenholz_critical(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    (void)lab;
    fanin_activation *act;
    double q;
    FANIN_TRY(fanin_activation_parse("tanh", &act, err));
    fanin_status status = fanin_critical_sigma_w2(act, 0.05, &c->ours, &q, err);
    fanin_activation_destroy(act);
    FANIN_TRY(status);
    fanin__measured(c, "chi_1 = 1 at sigma_w^2 = %.8f, q* = %.6f", c->ours, q);
    return FANIN_OK;
}

static fanin_status schoenholz_dropout(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    (void)lab;
    fanin_activation *act;
    fanin_meanfield plain, dropped;
    fanin_meanfield_settings set = {.sigma_w2 = 1.76095464, .sigma_b2 = 0.05};
    FANIN_TRY(fanin_activation_parse("tanh", &act, err));
    fanin_status status = fanin_meanfield_solve(act, &set, &plain, err);
    set.keep = 0.99;
    if (status == FANIN_OK) status = fanin_meanfield_solve(act, &set, &dropped, err);
    fanin_activation_destroy(act);
    FANIN_TRY(status);
    fanin__measured(
        c,
        "at the critical point of tanh c* = %.4f without dropout and %.4f when 1 %% of the "
        "units are dropped; the depth scale falls to %.1f layers",
        plain.c, dropped.c, dropped.xi_c);
    fanin__judge(c, plain.c > 0.999 && dropped.c < 0.95 && isfinite(dropped.xi_c));
    return FANIN_OK;
}

static const fanin__claim_row schoenholz_rows[] = {
    {.id = "critical-tanh",
     .where = "phase diagram of tanh",
     .text = "tanh nets with sigma_b^2 = 0.05 are critical at sigma_w^2 = 1.76",
     .published = 1.76,
     .tolerance = 0.005,
     .measure = schoenholz_critical},
    {.id = "dropout-destroys-criticality",
     .where = "abstract",
     .text = "any dropout destroys the order-to-chaos critical point and so limits the depth",
     .measure = schoenholz_dropout},
};
const fanin__paper fanin__paper_schoenholz2017 = {
    "schoenholz2017",
    "Deep information propagation",
    "Schoenholz, Gilmer, Ganguli, Sohl-Dickstein 2017",
    schoenholz_rows,
    (int)FANIN_COUNT(schoenholz_rows),
    NULL};

/* ---- Klambauer, Unterthiner, Mayr, Hochreiter 2017 -------------------------------------------------------------- */

static fanin_status selu_alpha(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    (void)lab;
    double lambda;
    FANIN_TRY(fanin_selu_solve(0, 1, &c->ours, &lambda, err));
    fanin__measured(c, "solving for the fixed point (0, 1) gives alpha = %.16f", c->ours);
    return FANIN_OK;
}

static fanin_status selu_lambda(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    (void)lab;
    double alpha;
    FANIN_TRY(fanin_selu_solve(0, 1, &alpha, &c->ours, err));
    fanin__measured(c, "solving for the fixed point (0, 1) gives lambda = %.16f", c->ours);
    return FANIN_OK;
}

static fanin_status selu_norm(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    (void)lab;
    fanin_activation *act;
    fanin_selfnorm map;
    FANIN_TRY(fanin_activation_parse("selu", &act, err));
    fanin_status status = fanin_selfnorm_map(act, 0, 1, 0, 1, &map, err);
    fanin_activation_destroy(act);
    FANIN_TRY(status);
    c->ours = map.norm;
    fanin__measured(
        c, "the Jacobian at (0, 1) has the entries %.6f, %.6f; %.6f, %.6f and the norm %.7f",
        map.jacobian[0][0], map.jacobian[0][1], map.jacobian[1][0], map.jacobian[1][1], map.norm);
    return FANIN_OK;
}

static const fanin__claim_row selu_rows[] = {
    {.id = "alpha",
     .where = "definition of SELU",
     .text = "alpha01 of SELU",
     .published = 1.6732632423543772,
     .tolerance = 1e-13,
     .measure = selu_alpha},
    {.id = "lambda",
     .where = "definition of SELU",
     .text = "lambda01 of SELU",
     .published = 1.0507009873554805,
     .tolerance = 1e-13,
     .measure = selu_lambda},
    {.id = "contraction",
     .where = "theorem 1, its proof",
     .text = "the map of mean and variance contracts at (0, 1): norm 0.7877",
     .published = 0.7877,
     .tolerance = 1e-4,
     .measure = selu_norm},
};
const fanin__paper fanin__paper_klambauer2017 = {"klambauer2017",
                                                 "Self-normalizing neural networks",
                                                 "Klambauer, Unterthiner, Mayr, Hochreiter 2017",
                                                 selu_rows,
                                                 (int)FANIN_COUNT(selu_rows),
                                                 NULL};

/* ---- Brock, De, Smith 2021 ----------------------------------------------------------------------------------- */

static fanin_status nf_gamma(const char *name, fanin_claim *c, fanin_err *err) {
    fanin_gain g;
    FANIN_TRY(fanin__gain_of(name, &g, err));
    c->ours = g.nf_gamma;
    fanin__measured(c, "1/sqrt(Var %s(z)) = %.12f; the published one was sampled", name,
                    g.nf_gamma);
    return FANIN_OK;
}
static fanin_status nf_relu(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    (void)lab;
    return nf_gamma("relu", c, err);
}
static fanin_status nf_silu(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    (void)lab;
    return nf_gamma("silu", c, err);
}
static fanin_status nf_tanh(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    (void)lab;
    return nf_gamma("tanh", c, err);
}

static const fanin__claim_row nf_rows[] = {
    {.id = "gamma-relu",
     .where = "released code, activation gains",
     .text = "gamma of ReLU",
     .published = 1.7139588594436646,
     .tolerance = 2e-3,
     .measure = nf_relu},
    {.id = "gamma-silu",
     .where = "released code, activation gains",
     .text = "gamma of SiLU",
     .published = 1.7881293296813965,
     .tolerance = 2e-3,
     .measure = nf_silu},
    {.id = "gamma-tanh",
     .where = "released code, activation gains",
     .text = "gamma of tanh",
     .published = 1.5939117670059204,
     .tolerance = 2e-3,
     .measure = nf_tanh},
};
const fanin__paper fanin__paper_brock2021 = {
    "brock2021",
    "Characterizing signal propagation to close the performance gap in unnormalized ResNets",
    "Brock, De, Smith 2021",
    nf_rows,
    (int)FANIN_COUNT(nf_rows),
    NULL};
