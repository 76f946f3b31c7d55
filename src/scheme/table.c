/* table.c - built-in schemes: for each a line per kind of tensor. A later line wins; lines that match
 * nothing are fine here. A new scheme is a list of lines and a row.
 *
 * Where a framework's default differs by module and the class does not tell, a pattern over names does. */
#include <string.h>

#include "scheme/scheme.h"

/* Every scheme begins with these: biases 0, norms 1 and 0, statistics of a standard normal. */
static const fanin_scheme_line common[] = {
    {"bias recurrent_bias norm_shift running_mean", "zeros"},
    {"norm_scale running_var", "ones"},
    {"prelu_slope", "constant:value=0.25"}, /* He et al. 2015, section 2.1 */
};

/* Not a rule: auto.c gives each its own. */
static const fanin_scheme_line automatic[] = {{"weight norm_scale", "auto"}};
static const fanin_scheme_line he[] = {{"weight", "he_normal"}};
static const fanin_scheme_line xavier[] = {{"weight", "xavier_uniform"}};
static const fanin_scheme_line lecun[] = {{"weight", "lecun_normal"}};
static const fanin_scheme_line orthogonal[] = {{"weight", "orthogonal"}};

static const fanin_scheme_line torch[] = {
    {"dense conv conv_depthwise conv_transpose output bias", "torch_default"},
    {"attention_qkv attention_q attention_k attention_v attention_out", "torch_default"},
    {"embedding position", "normal"},
    {"class_token", "zeros"},
    {"recurrent_input recurrent_hidden", "uniform:low=-1/sqrt(fan_out),high=1/sqrt(fan_out)"},
    {"recurrent_bias", "uniform:low=-1/sqrt(fan_in),high=1/sqrt(fan_in)"},
    {"@*in_proj_weight", "xavier_uniform:fans=torch"},
    {"@*in_proj_bias", "zeros"},
    {"@*self_att*.out_proj.bias", "zeros"},
};

static const fanin_scheme_line keras[] = {
    {"weight", "xavier_uniform"},
    {"embedding", "uniform:low=-0.05,high=0.05"},
    {"recurrent_hidden", "orthogonal"},
    {"class_token prelu_slope", "zeros"},
    {"lstm_bias", "lstm_forget_bias"}, /* unit_forget_bias=True; one bias where torch has two */
    {"@*bias_hh*", "zeros"},
};

static const fanin_scheme_line jax[] = {
    {"weight", "lecun_truncated_normal"},
    {"embedding", "variance_scaling:scale=1,mode=fan_in,distribution=normal"},
    {"position", "normal:std=0.02"},
    {"class_token", "zeros"},
    {"recurrent_hidden", "orthogonal"},
    {"prelu_slope", "constant:value=0.01"},
};

static const fanin_scheme_line gpt2[] = {
    {"weight", "normal:std=0.02"},
    {"residual", "normal:std=0.02/sqrt(2*L)"},
};

static const struct {
    fanin_scheme_info info;
    const fanin_scheme_line *lines;
} schemes[] = {
#define SCHEME(name, about, source) \
    { {#name, about, source, (int)FANIN_COUNT(name)}, name }
    {{"auto",
      "each weight the variance that gives its layer's output second moment 1, by the signal rules",
      "docs/auto.md", (int)FANIN_COUNT(automatic)},
     automatic},
    SCHEME(he, "he_normal on every weight: fan_in, gain sqrt 2, whatever follows",
           "He, Zhang, Ren, Sun 2015, section 2.2"),
    SCHEME(xavier, "xavier_uniform on every weight, gain 1",
           "Glorot, Bengio 2010, section 4.2.1, eq 16"),
    SCHEME(lecun, "lecun_normal on every weight",
           "LeCun, Bottou, Orr, Mueller 1998, section 4.6, eq 16"),
    SCHEME(orthogonal, "orthogonal on every weight, gain 1",
           "Saxe, McClelland, Ganguli 2014, section 3"),
    SCHEME(torch,
           "what torch's modules do by themselves: U(+-1/sqrt(fan_in)) for weights and biases",
           "torch.nn: reset_parameters of Linear, Conv, Embedding, LSTM, MultiheadAttention"),
    SCHEME(keras, "what Keras layers do by themselves: Glorot uniform, orthogonal recurrences",
           "keras.layers: kernel_initializer, embeddings_initializer, recurrent_initializer"),
    SCHEME(jax, "what flax modules do by themselves: truncated LeCun normal",
           "flax.linen: kernel_init, embedding_init, recurrent_kernel_init"),
    SCHEME(gpt2, "N(0, 0.02^2); layers that close a residual branch 0.02/sqrt(2 L)",
           "Radford et al. 2019, section 2.3; L counts attention layers"),
#undef SCHEME
};

int fanin_scheme_count(void) { return (int)FANIN_COUNT(schemes); }

fanin_scheme_info fanin_scheme_at(int i) {
    if (i < 0 || i >= fanin_scheme_count()) return (fanin_scheme_info){0};
    fanin_scheme_info info = schemes[i].info;
    info.line_count += (int)FANIN_COUNT(common);
    return info;
}

fanin_scheme_line fanin_scheme_line_at(int i, int line) {
    const int shared = (int)FANIN_COUNT(common);
    if (i < 0 || i >= fanin_scheme_count() || line < 0 ||
        line >= shared + schemes[i].info.line_count)
        return (fanin_scheme_line){0};
    return line < shared ? common[line] : schemes[i].lines[line - shared];
}

/* ---- sets of classes --------------------------------------------------------------------------- */

static bool add_class(const char *word, size_t n, fanin__classes *classes) {
    static const struct {
        const char *name;
        int value;
    } names[] = {
#define CLASS(id, value, name) {name, value},
        FANIN_CLASS_MAP(CLASS)
#undef CLASS
    };
    bool all = n == 6 && memcmp(word, "weight", 6) == 0, found = all;
    if (n == 9 && memcmp(word, "lstm_bias", 9) == 0) return *classes |= FANIN__LSTM_BIAS, true;
    if (n == 8 && memcmp(word, "residual", 8) == 0) return *classes |= FANIN__RESIDUAL, true;
    for (size_t i = 0; i < FANIN_COUNT(names); i++) {
        bool named = strlen(names[i].name) == n && memcmp(word, names[i].name, n) == 0;
        if (!named && !(all && fanin_class_is_weight((fanin_class)names[i].value))) continue;
        *classes |= FANIN__CLASS_BIT(names[i].value);
        found = true;
    }
    return found;
}

fanin_status fanin__classes_parse(const char *text, fanin__classes *classes, fanin_err *err) {
    *classes = 0;
    for (const char *s = text; *s;) {
        size_t n = strcspn(s, " ,");
        if (n && !add_class(s, n, classes))
            return fanin_err_set(err, FANIN_NOTFOUND,
                                 "'%.*s' is not a class of tensors (dense, conv, bias, norm_scale "
                                 "..., weight for all weights, residual, lstm_bias)",
                                 n < 60 ? (int)n : 60, s);
        s += n + (s[n] ? 1 : 0);
    }
    if (!*classes) return fanin_err_set(err, FANIN_ARG, "no class is named");
    return FANIN_OK;
}

/* ---- loading ----------------------------------------------------------------------------------- */

static fanin_status add_table_line(fanin__scheme *scheme, fanin_scheme_line l, fanin_err *err) {
    fanin__line line = {.rule = l.rule};
    if (l.classes[0] == '@')
        line.pattern = l.classes + 1;
    else
        FANIN_TRY(fanin__classes_parse(l.classes, &line.classes, err));
    return fanin__scheme_add(scheme, line, err);
}

bool fanin__scheme_add_builtin(fanin__scheme *scheme, const char *name, fanin_status *status,
                               fanin_err *err) {
    for (int i = 0; i < fanin_scheme_count(); i++) {
        if (fanin__strcasecmp(name, schemes[i].info.name) != 0) continue;
        *status = FANIN_OK;
        for (int k = 0; k < fanin_scheme_at(i).line_count && *status == FANIN_OK; k++)
            *status = add_table_line(scheme, fanin_scheme_line_at(i, k), err);
        return true;
    }
    return false;
}
