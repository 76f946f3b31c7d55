/* The table of activations. A new one: its jet, a row here, an id in the public header. */
#include <math.h>

#include "activation/activation.h"
#include "base/base.h"

#define NO_PARAMS \
    0, {NULL, NULL}, { 0, 0 }
#define ONE(n, v) \
    1, {n, NULL}, { v, 0 }
#define TWO(n, v, m, w) \
    2, {n, m}, { v, w }
#define HE        "he", "He, Zhang, Ren, Sun 2015"
#define XAVIER    "xavier", "Glorot, Bengio 2010"
#define LECUN     "lecun", "LeCun, Bottou, Orr, Mueller 1998"
#define SELF_NORM "lecun", "Klambauer, Unterthiner, Mayr, Hochreiter 2017"
#define EXACT(by) "exact", by
#define SQRT_2    1.41421356237309504880168872420969808

/* clang-format off */
static const fanin__act table[] = {
    {{FANIN_ACT_IDENTITY, "identity", "linear none", "x", NO_PARAMS, LECUN},
     fanin__jet_identity, fanin__pieces_identity, false, NULL, 1, 1},
    {{FANIN_ACT_SIGMOID, "sigmoid", "logistic", "1/(1 + e^-x)", NO_PARAMS, XAVIER},
     fanin__jet_sigmoid, NULL, false, NULL, NAN, 1},
    {{FANIN_ACT_HARD_SIGMOID, "hard_sigmoid", "hardsigmoid", "clamp(a x + b, 0, 1)",
      TWO("a", 1.0 / 6, "b", 0.5), XAVIER},
     fanin__jet_hard_sigmoid, fanin__pieces_hard_sigmoid, false, NULL, NAN, NAN},
    {{FANIN_ACT_LOG_SIGMOID, "log_sigmoid", "logsigmoid", "-log(1 + e^-x)", NO_PARAMS,
      EXACT("Glorot, Bordes, Bengio 2011 (softplus)")},
     fanin__jet_log_sigmoid, NULL, false, NULL, NAN, NAN},
    {{FANIN_ACT_TANH, "tanh", "", "tanh(x)", NO_PARAMS, XAVIER},
     fanin__jet_tanh, NULL, false, NULL, NAN, 5.0 / 3},
    {{FANIN_ACT_LECUN_TANH, "lecun_tanh", "scaled_tanh", "a tanh(b x)",
      TWO("a", 1.7159, "b", 2.0 / 3), LECUN},
     fanin__jet_lecun_tanh, NULL, false, NULL, NAN, NAN},
    {{FANIN_ACT_HARD_TANH, "hard_tanh", "hardtanh", "clamp(x, a, b)", TWO("a", -1, "b", 1), XAVIER},
     fanin__jet_hard_tanh, fanin__pieces_hard_tanh, false, NULL, NAN, NAN},
    {{FANIN_ACT_SOFTSIGN, "softsign", "soft_sign", "x/(1 + |x|)", NO_PARAMS, XAVIER},
     fanin__jet_softsign, NULL, true, NULL, NAN, NAN},
    {{FANIN_ACT_RELU, "relu", "rectifier", "max(x, 0)", NO_PARAMS, HE},
     fanin__jet_relu, fanin__pieces_relu, false, NULL, 1, SQRT_2},
    {{FANIN_ACT_RELU6, "relu6", "", "clamp(x, 0, 6)", NO_PARAMS, HE},
     fanin__jet_relu6, fanin__pieces_relu6, false, NULL, NAN, NAN},
    {{FANIN_ACT_LEAKY_RELU, "leaky_relu", "leakyrelu lrelu", "x > 0 ? x : a x", ONE("a", 0.01), HE},
     fanin__jet_leaky_relu, fanin__pieces_leaky_relu, false, NULL, 1, NAN},
    {{FANIN_ACT_PRELU, "prelu", "", "x > 0 ? x : a x, a learned", ONE("a", 0.25), HE},
     fanin__jet_leaky_relu, fanin__pieces_leaky_relu, false, NULL, 1, NAN},
    {{FANIN_ACT_RRELU, "rrelu", "", "x > 0 ? x : (a + b)/2 x", TWO("a", 0.125, "b", 1.0 / 3), HE},
     fanin__jet_rrelu, fanin__pieces_rrelu, false, NULL, 1, NAN},
    {{FANIN_ACT_ELU, "elu", "", "x > 0 ? x : a (e^x - 1)", ONE("a", 1), EXACT("Clevert, Unterthiner, Hochreiter 2016")},
     fanin__jet_elu, NULL, true, fanin__moments_elu, NAN, NAN},
    {{FANIN_ACT_CELU, "celu", "", "x > 0 ? x : a (e^(x/a) - 1)", ONE("a", 1), EXACT("Barron 2017")},
     fanin__jet_celu, NULL, true, fanin__moments_celu, NAN, NAN},
    {{FANIN_ACT_SELU, "selu", "", "1.0507 (x > 0 ? x : 1.6733 (e^x - 1))", NO_PARAMS, SELF_NORM},
     fanin__jet_selu, NULL, true, fanin__moments_selu, NAN, 0.75},
    {{FANIN_ACT_GELU, "gelu", "gelu_erf", "x Phi(x)", NO_PARAMS, EXACT("Hendrycks, Gimpel 2016")},
     fanin__jet_gelu, NULL, false, fanin__moments_gelu, NAN, NAN},
    {{FANIN_ACT_GELU_TANH, "gelu_tanh", "gelu_new gelu_approx",
      "x/2 (1 + tanh(sqrt(2/pi)(x + 0.044715 x^3)))", NO_PARAMS, EXACT("Hendrycks, Gimpel 2016")},
     fanin__jet_gelu_tanh, NULL, false, NULL, NAN, NAN},
    {{FANIN_ACT_SILU, "silu", "swish", "x sigmoid(b x)", ONE("b", 1), EXACT("Ramachandran, Zoph, Le 2017")},
     fanin__jet_silu, NULL, false, NULL, NAN, NAN},
    {{FANIN_ACT_MISH, "mish", "", "x tanh(log(1 + e^x))", NO_PARAMS, EXACT("Misra 2019")},
     fanin__jet_mish, NULL, false, NULL, NAN, NAN},
    {{FANIN_ACT_SOFTPLUS, "softplus", "", "log(1 + e^(b x))/b", ONE("b", 1),
      EXACT("Glorot, Bordes, Bengio 2011")},
     fanin__jet_softplus, NULL, false, NULL, NAN, NAN},
    {{FANIN_ACT_HARD_SWISH, "hard_swish", "hardswish", "x clamp(x/6 + 1/2, 0, 1)", NO_PARAMS,
      EXACT("Howard et al. 2019")},
     fanin__jet_hard_swish, fanin__pieces_hard_swish, false, NULL, NAN, NAN},
    {{FANIN_ACT_SQUARED_RELU, "squared_relu", "relu2 relu_squared", "max(x, 0)^2", NO_PARAMS,
      EXACT("So et al. 2021")},
     fanin__jet_squared_relu, fanin__pieces_squared_relu, false, NULL, 2, NAN},
    {{FANIN_ACT_ERF, "erf", "", "erf(x)", NO_PARAMS, XAVIER},
     fanin__jet_erf, NULL, false, fanin__moments_erf, NAN, NAN},
    {{FANIN_ACT_SIN, "sin", "sine", "sin(w x)", ONE("w", 1), EXACT("Sitzmann et al. 2020")},
     fanin__jet_sin, NULL, false, fanin__moments_sin, NAN, NAN},
    {{FANIN_ACT_COS, "cos", "cosine", "cos(w x)", ONE("w", 1), EXACT("Rahimi, Recht 2007")},
     fanin__jet_cos, NULL, false, fanin__moments_cos, NAN, NAN},
    {{FANIN_ACT_GAUSSIAN, "gaussian", "", "e^(-x^2)", NO_PARAMS, EXACT("Broomhead, Lowe 1988")},
     fanin__jet_gaussian, NULL, false, fanin__moments_gaussian, NAN, NAN},
    {{FANIN_ACT_STEP, "step", "heaviside", "x > 0 ? 1 : 0", NO_PARAMS, EXACT("Rosenblatt 1958")},
     fanin__jet_step, fanin__pieces_step, false, NULL, 0, NAN},
    {{FANIN_ACT_SIGN, "sign", "", "x > 0 ? 1 : x < 0 ? -1 : 0", NO_PARAMS, EXACT("Widrow, Hoff 1960")},
     fanin__jet_sign, fanin__pieces_sign, false, NULL, 0, NAN},
    {{FANIN_ACT_ABS, "abs", "absolute", "|x|", NO_PARAMS, EXACT("Jarrett et al. 2009")},
     fanin__jet_abs, fanin__pieces_abs, false, NULL, 1, NAN},
    {{FANIN_ACT_THRESHOLD, "threshold", "", "x > a ? x : b", TWO("a", 0, "b", 0), HE},
     fanin__jet_threshold, fanin__pieces_threshold, false, NULL, NAN, NAN},
};
/* clang-format on */

size_t fanin_activation_count(void) { return FANIN_COUNT(table); }

const fanin_activation_row *fanin_activation_row_at(size_t i) {
    return i < FANIN_COUNT(table) ? &table[i].row : NULL;
}

/* Ids are 1, 2, ... in table order (a test holds this), so that kernels find a row at once. */
const fanin__act *fanin__act_find(int id) {
    if (id < 1 || (size_t)id > FANIN_COUNT(table)) return NULL;
    return &table[id - 1];
}

bool fanin__act_jumps(int id, const double *p) {
    const fanin__act *act = fanin__act_find(id);
    if (!act || !act->pieces) return false;
    fanin_activation_moments m;
    fanin__piece pieces[4];
    fanin__moments_of_pieces(pieces, act->pieces(p, pieces), 1, &m);
    return isinf(m.slope_second);
}

const char *fanin__act_check(int id, const double *p) {
    for (int i = 0; i < 2; i++)
        if (!isfinite(p[i]) || fabs(p[i]) > 1e6) return "parameters must be within +-1e6";
    switch (id) {
    case FANIN_ACT_CELU:
    case FANIN_ACT_SOFTPLUS:
        if (!(p[0] > 0)) return "the parameter must be above 0";
        break;
    case FANIN_ACT_HARD_TANH:
        if (!(p[0] < p[1])) return "the lower end must be below the upper end";
        break;
    case FANIN_ACT_RRELU:
        if (!(p[0] <= p[1])) return "the lower slope must not exceed the upper slope";
        break;
    default: break;
    }
    return NULL;
}
