/* table.c - the rules, one row each. A new rule is a row here and a plan and a fill in a file of its
 * family; names, options, help, lists and the law tests follow from the row. */
#include <string.h>

#include "init/init.h"

#define FAN_OPTIONS "mode fans gain nonlinearity a"

#define HE_NOTE \
    "torch: kaiming_*_ (a=0: gain sqrt 2); JAX and Keras: he_normal is TRUNCATED, here " \
    "he_truncated_normal; MLX: he_normal has gain 1, here gain=1"
#define XAVIER_NOTE \
    "torch: xavier_*_ ; JAX and Keras: glorot_normal is TRUNCATED, here xavier_truncated_normal"
#define LECUN_NOTE \
    "JAX and Keras: lecun_normal is TRUNCATED, here lecun_truncated_normal; torch has none"
#define TRUNCATED_NOTE \
    "what JAX and Keras call *_normal; cut at 2 sigma of a normal widened by " \
    "1/0.8796256610342398, " \
    "so that std is gain/sqrt(fan)"

static const fanin__rule_row rows[] = {
    {.id = 1,
     .name = "zeros",
     .aliases = "zero",
     .options = "",
     .plan = fanin__zeros_plan,
     .fill = fanin__constant_fill,
     .elementwise = true,
     .formula = "0",
     .source = "",
     .note = "zeros_ (torch), zeros (JAX), Zeros (Keras)"},
    {.id = 2,
     .name = "ones",
     .aliases = "one",
     .options = "",
     .plan = fanin__ones_plan,
     .fill = fanin__constant_fill,
     .elementwise = true,
     .formula = "1",
     .source = "",
     .note = "ones_ (torch), ones (JAX), Ones (Keras)"},
    {.id = 3,
     .name = "constant",
     .aliases = "const fill",
     .options = "value",
     .plan = fanin__constant_plan,
     .fill = fanin__constant_fill,
     .elementwise = true,
     .formula = "value (default 0)",
     .source = "",
     .note = "constant_ (torch), constant (JAX), Constant (Keras)"},
    {.id = 4,
     .name = "uniform",
     .aliases = "random_uniform",
     .options = "low high mean std",
     .plan = fanin__uniform_plan,
     .fill = fanin__law_fill,
     .elementwise = true,
     .formula = "U[low, high) (default 0, 1), or mean +- sqrt(3) std",
     .source = "",
     .note = "torch's uniform_ defaults; JAX: uniform(scale) is low=0,high=scale; Keras: "
             "RandomUniform is low=-0.05,high=0.05"},
    {.id = 5,
     .name = "normal",
     .aliases = "random_normal gaussian",
     .options = "mean std",
     .plan = fanin__normal_plan,
     .fill = fanin__law_fill,
     .elementwise = true,
     .formula = "N(mean, std^2) (default 0, 1)",
     .source = "",
     .note = "torch's normal_ defaults; JAX: normal is std=0.01; Keras: RandomNormal is std=0.05"},
    {.id = 6,
     .name = "truncated_normal",
     .aliases = "trunc_normal",
     .options = "mean std low high bounds",
     .plan = fanin__truncated_plan,
     .fill = fanin__law_fill,
     .elementwise = true,
     .formula = "N(mean, std^2) given low <= x <= high (default -2, 2)",
     .source = "",
     .note =
         "torch and Flux: trunc_normal_ bounds are absolute, bounds=absolute (default); JAX and "
         "Keras: bounds count standard deviations, bounds=sigma; std is that of the normal "
         "before it is cut"},
    {.id = 7,
     .name = "lecun_uniform",
     .aliases = "",
     .options = FAN_OPTIONS,
     .plan = fanin__scaling_plan,
     .fill = fanin__law_fill,
     .elementwise = true,
     .mode = FANIN_FAN_IN,
     .distribution = 1,
     .gain = 1,
     .formula = "U(-r, r), r = gain sqrt(3 / fan_in)",
     .source = "LeCun, Bottou, Orr, Mueller 1998, Efficient BackProp, section 4.6, eq 16",
     .note = "the same in JAX and Keras"},
    {.id = 8,
     .name = "lecun_normal",
     .aliases = "lecun",
     .options = FAN_OPTIONS,
     .plan = fanin__scaling_plan,
     .fill = fanin__law_fill,
     .elementwise = true,
     .mode = FANIN_FAN_IN,
     .distribution = 2,
     .gain = 1,
     .formula = "N(0, gain^2 / fan_in)",
     .source = "LeCun, Bottou, Orr, Mueller 1998, Efficient BackProp, section 4.6, eq 16",
     .note = LECUN_NOTE},
    {.id = 9,
     .name = "lecun_truncated_normal",
     .aliases = "lecun_trunc_normal",
     .options = FAN_OPTIONS,
     .plan = fanin__scaling_plan,
     .fill = fanin__law_fill,
     .elementwise = true,
     .mode = FANIN_FAN_IN,
     .distribution = 3,
     .gain = 1,
     .formula = "N(0, s^2) given |x| <= 2 s, std = gain / sqrt(fan_in)",
     .source = "LeCun, Bottou, Orr, Mueller 1998, Efficient BackProp, section 4.6, eq 16",
     .note = TRUNCATED_NOTE},
    {.id = 10,
     .name = "xavier_uniform",
     .aliases = "glorot_uniform xavier glorot",
     .options = FAN_OPTIONS,
     .plan = fanin__scaling_plan,
     .fill = fanin__law_fill,
     .elementwise = true,
     .mode = FANIN_FAN_AVG,
     .distribution = 1,
     .gain = 1,
     .formula = "U(-r, r), r = gain sqrt(6 / (fan_in + fan_out))",
     .source = "Glorot, Bengio 2010, section 4.2.1, eq 16",
     .note = "the same in torch, JAX and Keras"},
    {.id = 11,
     .name = "xavier_normal",
     .aliases = "glorot_normal",
     .options = FAN_OPTIONS,
     .plan = fanin__scaling_plan,
     .fill = fanin__law_fill,
     .elementwise = true,
     .mode = FANIN_FAN_AVG,
     .distribution = 2,
     .gain = 1,
     .formula = "N(0, 2 gain^2 / (fan_in + fan_out))",
     .source = "Glorot, Bengio 2010, section 4.2.1, eq 12",
     .note = XAVIER_NOTE},
    {.id = 12,
     .name = "xavier_truncated_normal",
     .aliases = "glorot_truncated_normal xavier_trunc_normal glorot_trunc_normal",
     .options = FAN_OPTIONS,
     .plan = fanin__scaling_plan,
     .fill = fanin__law_fill,
     .elementwise = true,
     .mode = FANIN_FAN_AVG,
     .distribution = 3,
     .gain = 1,
     .formula = "N(0, s^2) given |x| <= 2 s, std = gain sqrt(2 / (fan_in + fan_out))",
     .source = "Glorot, Bengio 2010, section 4.2.1, eq 12",
     .note = TRUNCATED_NOTE},
    {.id = 13,
     .name = "he_uniform",
     .aliases = "kaiming_uniform msra_uniform",
     .options = FAN_OPTIONS,
     .plan = fanin__scaling_plan,
     .fill = fanin__law_fill,
     .elementwise = true,
     .mode = FANIN_FAN_IN,
     .distribution = 1,
     .gain = 1.4142135623730951,
     .formula = "U(-r, r), r = gain sqrt(3 / fan_in), gain = sqrt(2 / (1 + a^2))",
     .source = "He, Zhang, Ren, Sun 2015, section 2.2, eq 10",
     .note = "the same in torch (a=0), JAX and Keras"},
    {.id = 14,
     .name = "he_normal",
     .aliases = "kaiming_normal he kaiming msra",
     .options = FAN_OPTIONS,
     .plan = fanin__scaling_plan,
     .fill = fanin__law_fill,
     .elementwise = true,
     .mode = FANIN_FAN_IN,
     .distribution = 2,
     .gain = 1.4142135623730951,
     .formula = "N(0, gain^2 / fan_in), gain = sqrt(2 / (1 + a^2))",
     .source = "He, Zhang, Ren, Sun 2015, section 2.2, eq 10",
     .note = HE_NOTE},
    {.id = 15,
     .name = "he_truncated_normal",
     .aliases = "kaiming_truncated_normal he_trunc_normal kaiming_trunc_normal",
     .options = FAN_OPTIONS,
     .plan = fanin__scaling_plan,
     .fill = fanin__law_fill,
     .elementwise = true,
     .mode = FANIN_FAN_IN,
     .distribution = 3,
     .gain = 1.4142135623730951,
     .formula = "N(0, s^2) given |x| <= 2 s, std = gain / sqrt(fan_in)",
     .source = "He, Zhang, Ren, Sun 2015, section 2.2, eq 10",
     .note = TRUNCATED_NOTE},
    {.id = 16,
     .name = "variance_scaling",
     .aliases = "",
     .options = "scale mode distribution fans gain",
     .plan = fanin__variance_plan,
     .fill = fanin__law_fill,
     .elementwise = true,
     .mode = FANIN_FAN_IN,
     .distribution = 3,
     .gain = 1,
     .formula = "mean 0, variance scale / fan; distribution truncated_normal unless said",
     .source = "",
     .note = "Keras: VarianceScaling (\"normal\" there means truncated_normal); JAX: "
             "variance_scaling(scale, mode, \"normal\") is distribution=normal"},
    {.id = 17,
     .name = "torch_default",
     .aliases = "torch pytorch pytorch_default torch_linear",
     .options = "",
     .plan = fanin__torch_plan,
     .fill = fanin__law_fill,
     .elementwise = true,
     .mode = FANIN_FAN_IN,
     .distribution = 1,
     .formula = "U(-r, r), r = 1 / sqrt(fan_in) as torch counts it; bias with the weight's fan_in",
     .source = "torch.nn.Linear and Conv: kaiming_uniform_ with a = sqrt 5; Glorot, Bengio 2010, "
               "eq 1, calls it the standard initialisation",
     .note = "torch's Linear, Conv and recurrent defaults; embeddings and normalisations differ, "
             "see the scheme torch"},
    {.id = 18,
     .name = "rademacher",
     .aliases = "random_sign signs",
     .options = "std mode fans gain nonlinearity a",
     .plan = fanin__rademacher_plan,
     .fill = fanin__law_fill,
     .elementwise = true,
     .mode = FANIN_FAN_IN,
     .gain = 1,
     .formula = "+s or -s, s = std or gain / sqrt(fan)",
     .source = "",
     .note = "no framework has it"},
    {.id = 19,
     .name = "orthogonal",
     .aliases = "orthogonal_initializer",
     .options = "gain nonlinearity a groups",
     .plan = fanin__orthogonal_plan,
     .fill = fanin__orthogonal_fill,
     .elementwise = false,
     .gain = 1,
     .formula = "gain Q, Q uniform (Haar); the shorter side is orthonormal",
     .source = "Saxe, McClelland, Ganguli 2014; drawn as Stewart 1980, section 3",
     .note = "torch, JAX, Keras: orthogonal, flattened to outputs x rest (JAX and Keras: "
             "rest x outputs); here one matrix for each part and group, groups=1 for one "
             "over all groups; heads: groups=heads; MXNet: gain=1.414; float64: the orthogonal "
             "matrix nearest to the float32 one, to 1e-14"},
    {.id = 20,
     .name = "delta_orthogonal",
     .aliases = "",
     .options = "gain nonlinearity a groups",
     .plan = fanin__delta_plan,
     .fill = fanin__delta_fill,
     .elementwise = false,
     .gain = 1,
     .formula = "Haar matrix at the centre tap, zeros elsewhere; inputs <= outputs",
     .source = "Xiao, Bahri, Sohl-Dickstein, Schoenholz, Pennington 2018, section 2.3",
     .note = "JAX: delta_orthogonal"},
    {.id = 21,
     .name = "identity",
     .aliases = "eye",
     .options = "gain",
     .plan = fanin__identity_plan,
     .fill = fanin__identity_fill,
     .elementwise = true,
     .gain = 1,
     .formula = "gain on the diagonal of each part",
     .source = "Le, Jaitly, Hinton 2015 (IRNN)",
     .note = "torch: eye_; Keras: Identity(gain); Flux: identity_init; IRNN for speech: "
             "gain=0.01"},
    {.id = 22,
     .name = "dirac",
     .aliases = "",
     .options = "gain groups",
     .plan = fanin__dirac_plan,
     .fill = fanin__dirac_fill,
     .elementwise = true,
     .gain = 1,
     .formula = "channel i of each group to itself at the centre tap (size / 2)",
     .source = "",
     .note = "torch: dirac_(groups); groups default to those of the operator"},
    {.id = 23,
     .name = "bilinear",
     .aliases = "bilinear_upsampling",
     .options = "gain groups",
     .plan = fanin__bilinear_plan,
     .fill = fanin__bilinear_fill,
     .elementwise = true,
     .gain = 1,
     .formula = "product of 1 - |x / f - c|, f = ceil(k / 2), c = (2 f - 1 - f mod 2) / (2 f), "
                "channel to itself",
     .source = "Long, Shelhamer, Darrell 2015, section 3.3",
     .note = "Caffe and MXNet: Bilinear fills every pair of channels; here i to i only, the "
             "same for groups = channels"},
    {.id = 24,
     .name = "hadamard",
     .aliases = "zero_init zero_hadamard",
     .options = "gain groups",
     .plan = fanin__hadamard_plan,
     .fill = fanin__hadamard_fill,
     .elementwise = true,
     .gain = 1,
     .formula = "outputs <= inputs: partial identity; else corner of the Hadamard matrix of "
                "order 2^k, over 2^(k/2)",
     .source = "Zhao, Schaefer, Anandkumar 2022 (ZerO), algorithm 1",
     .note = "ZerO without its zeros for the last layer of a residual branch; the plain "
             "name zero means zeros"},
    {.id = 25,
     .name = "sparse",
     .aliases = "martens",
     .options = "k sparsity std",
     .plan = fanin__sparse_plan,
     .fill = fanin__sparse_fill,
     .elementwise = false,
     .gain = 1,
     .formula = "k inputs a unit (default 15) from N(0, std^2), the rest 0; sparsity: that "
                "share of each input's weights is 0",
     .source = "Martens 2010, section 5; Sutskever, Martens, Dahl, Hinton 2013",
     .note = "torch, MLX, Flux: sparse_(sparsity, std=0.01) counts along columns (inputs): "
             "sparsity=; std is 1 with k"},
    {.id = 26,
     .name = "unit_norm",
     .aliases = "unit_norm_rows normalized_rows",
     .options = "gain nonlinearity a",
     .plan = fanin__unit_norm_plan,
     .fill = fanin__rows_fill,
     .elementwise = false,
     .gain = 1,
     .formula = "rows uniform on the sphere of radius gain",
     .source = "",
     .note = "no framework has it"},
    {.id = 27,
     .name = "nguyen_widrow",
     .aliases = "widrow_nguyen",
     .options = "scale",
     .plan = fanin__nguyen_widrow_plan,
     .fill = fanin__rows_fill,
     .elementwise = false,
     .gain = 1,
     .formula = "rows of length scale H^(1/N), directions from U(-1, 1)^N; bias U(-that, "
                "that); scale 0.7",
     .source = "Nguyen, Widrow 1990, section 3",
     .note = "FANN: fann_init_weights; inputs are taken to lie in -1 .. 1"},
    {.id = 28,
     .name = "lstm_forget_bias",
     .aliases = "lstm_bias forget_bias unit_forget_bias",
     .options = "value gates",
     .plan = fanin__forget_plan,
     .fill = fanin__forget_fill,
     .elementwise = true,
     .gain = 1,
     .formula = "value (default 1) in the forget gate, 0 elsewhere",
     .source = "Gers, Schmidhuber, Cummins 2000; Jozefowicz, Zaremba, Sutskever 2015",
     .note = "Keras: unit_forget_bias; MXNet: LSTMBias; torch adds two bias vectors: give "
             "it to one; ONNX packs 8 gates, i o f c"},
    {.id = 29,
     .name = "class_prior",
     .aliases = "prior prior_bias focal",
     .options = "prior",
     .plan = fanin__prior_plan,
     .fill = fanin__prior_fill,
     .elementwise = true,
     .gain = 1,
     .formula = "log(p / (1 - p)) for one p (default 0.01); log of the shares for a list a/b/c",
     .source = "Lin, Goyal, Girshick, He, Dollar 2017, section 3.3",
     .note = "bias of an output layer: the first prediction is the prior"},
    {.id = 30,
     .name = "centered_normal",
     .aliases = "zero_sum_normal standardized_normal weight_standardization",
     .options = "std mode fans gain nonlinearity a center",
     .plan = fanin__centered_plan,
     .fill = fanin__centered_fill,
     .elementwise = false,
     .mode = FANIN_FAN_IN,
     .gain = 1,
     .formula =
         "N(0, s^2) less `center` (default 1) of the mean of the unit's weights, elements of "
         "std s; s = std or gain / sqrt(fan)",
     .source = "Huang, Liu, Liu, Lang, Tao 2017, section 3; Brock, De, Smith 2021, eq 4",
     .note =
         "no framework draws it; NFNets' scaled weight standardisation begins there: gain= what "
         "`fanin gain` calls nf_gamma"},
};

const fanin__rule_row *fanin__rule_row_by_id(int id) {
    for (size_t i = 0; i < FANIN_COUNT(rows); i++)
        if (rows[i].id == id) return &rows[i];
    return NULL;
}

int fanin_rule_count(void) { return (int)FANIN_COUNT(rows); }

static fanin_rule_info info_of(const fanin__rule_row *r) {
    return (fanin_rule_info){.name = r->name,
                             .aliases = r->aliases,
                             .formula = r->formula,
                             .options = r->options,
                             .source = r->source,
                             .note = r->note,
                             .elementwise = r->elementwise};
}

fanin_rule_info fanin_rule_at(int i) {
    return i < 0 || i >= fanin_rule_count() ? (fanin_rule_info){0} : info_of(&rows[i]);
}

fanin_rule_info fanin_rule_describe(const fanin_rule *rule) {
    const fanin__rule_row *row = fanin__rule_row_by_id(rule->id);
    return row ? info_of(row) : (fanin_rule_info){0};
}

/* ---- names ------------------------------------------------------------------------------- */

enum { NAME_MAX_LENGTH = 64 };

/* Lower case without _, -, so that HeNormal, he-normal and he_normal_ are one name. */
static bool squeeze(const char *s, size_t n, char out[NAME_MAX_LENGTH]) {
    size_t length = 0;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        if (c == '_' || c == '-') continue;
        if (length + 1 >= NAME_MAX_LENGTH) return false;
        out[length++] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    out[length] = 0;
    return length > 0;
}

/* Walks a row's name and its aliases: *at starts as 0; NULL at the end. */
static const char *next_name(const fanin__rule_row *row, size_t *at, size_t *length) {
    if (*at == 0) {
        *at = 1;
        *length = strlen(row->name);
        return row->name;
    }
    const char *s = row->aliases + (*at - 1);
    s += strspn(s, " ");
    if (!*s) return NULL;
    *length = strcspn(s, " ");
    *at = (size_t)(s + *length - row->aliases) + 1;
    return s;
}

const fanin__rule_row *fanin__rule_row_find(const char *s) {
    char wanted[NAME_MAX_LENGTH], name[NAME_MAX_LENGTH];
    if (!squeeze(s, strlen(s), wanted)) return NULL;
    for (size_t i = 0; i < FANIN_COUNT(rows); i++) {
        size_t at = 0, length;
        for (const char *n; (n = next_name(&rows[i], &at, &length));)
            if (squeeze(n, length, name) && strcmp(name, wanted) == 0) return &rows[i];
    }
    return NULL;
}

/* Letters to insert, delete or change to get from a to b. */
static unsigned distance(const char *a, const char *b) {
    unsigned row[NAME_MAX_LENGTH];
    size_t n = strlen(b);
    for (size_t j = 0; j <= n; j++) row[j] = (unsigned)j;
    for (size_t i = 0; a[i]; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i + 1;
        for (size_t j = 0; j < n; j++) {
            unsigned change = diagonal + (a[i] != b[j]);
            diagonal = row[j + 1];
            unsigned step = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
            row[j + 1] = change < step ? change : step;
        }
    }
    return row[n];
}

const char *fanin__rule_row_nearest(const char *s) {
    char wanted[NAME_MAX_LENGTH] = "", name[NAME_MAX_LENGTH];
    size_t n = strlen(s);
    squeeze(s, n < NAME_MAX_LENGTH ? n : NAME_MAX_LENGTH - 1, wanted);
    const char *best = rows[0].name;
    unsigned best_distance = ~0u;
    for (size_t i = 0; i < FANIN_COUNT(rows); i++) {
        size_t at = 0, length;
        for (const char *candidate; (candidate = next_name(&rows[i], &at, &length));) {
            if (!squeeze(candidate, length, name)) continue;
            unsigned d = distance(wanted, name);
            if (d >= best_distance) continue;
            best_distance = d;
            best = rows[i].name;
        }
    }
    return best;
}
