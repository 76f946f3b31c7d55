/* formula.c - the numbers of scheme files: "0.02/sqrt(2*L)" for one tensor. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "fanin/activation.h"
#include "fanin/theory.h"
#include "scheme/scheme.h"

enum { MAX_DEPTH = 64 };

typedef struct parser {
    const char *text, *s;
    const fanin__variable *variables;
    int depth;
    fanin_status status;
    fanin_err *err;
} parser;

static double stop(parser *p, const char *what, int length, const char *word) {
    if (p->status == FANIN_OK)
        p->status = fanin_err_set(p->err, FANIN_ARG, "formula '%.120s': %s '%.*s'", p->text, what,
                                  length, word);
    return NAN;
}

static void skip(parser *p) {
    while (*p->s == ' ' || *p->s == '\t') p->s++;
}

static bool take(parser *p, char c) {
    skip(p);
    if (*p->s != c) return false;
    p->s++;
    return true;
}

static double sum(parser *p);

static bool word_is(const char *word, size_t n, const char *name) {
    return strlen(name) == n && memcmp(word, name, n) == 0;
}

static double call(parser *p, const char *word, size_t n) {
    double a = sum(p), b = NAN;
    bool two = take(p, ',');
    if (two) b = sum(p);
    if (!take(p, ')')) return stop(p, "a bracket is not closed before", 20, p->s);
    if (two && word_is(word, n, "min")) return b < a ? b : a;
    if (two && word_is(word, n, "max")) return b > a ? b : a;
    if (!two && word_is(word, n, "sqrt")) return sqrt(a);
    if (!two && word_is(word, n, "cbrt")) return cbrt(a);
    if (!two && word_is(word, n, "exp")) return exp(a);
    if (!two && word_is(word, n, "log")) return log(a);
    if (!two && word_is(word, n, "abs")) return fabs(a);
    return stop(p, "there is no such function", (int)n, word);
}

static double variable(parser *p, const char *word, size_t n) {
    if (word_is(word, n, "pi")) return 3.14159265358979323846;
    if (word_is(word, n, "e")) return 2.71828182845904523536;
    for (const fanin__variable *v = p->variables; v && v->name; v++) {
        if (!word_is(word, n, v->name)) continue;
        if (isnan(v->value)) return stop(p, "this tensor has no", (int)n, word);
        return v->value;
    }
    return stop(p, "there is no variable", (int)n, word);
}

static double atom(parser *p) {
    skip(p);
    if (take(p, '(')) {
        double value = sum(p);
        return take(p, ')') ? value : stop(p, "a bracket is not closed before", 20, p->s);
    }
    size_t n = strspn(p->s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_");
    if (n) {
        const char *word = p->s;
        p->s += n;
        return take(p, '(') ? call(p, word, n) : variable(p, word, n);
    }
    const char *end;
    bool sign = *p->s == '+' || *p->s == '-';
    double value = fanin__parse_double(p->s, &end);
    if (sign || end == p->s) return stop(p, "a number is expected at", 20, p->s);
    p->s = end;
    return value;
}

/* -a^b is -(a^b); a^b^c is a^(b^c). */
static double power(parser *p) {
    if (p->status != FANIN_OK) return NAN;
    if (++p->depth > MAX_DEPTH) return stop(p, "nested too deep at", 20, p->s);
    double value;
    if (take(p, '-'))
        value = -power(p);
    else if (take(p, '+'))
        value = power(p);
    else {
        value = atom(p);
        if (take(p, '^')) value = pow(value, power(p));
    }
    p->depth--;
    return value;
}

static double product(parser *p) {
    double value = power(p);
    while (p->status == FANIN_OK) {
        if (take(p, '*'))
            value *= power(p);
        else if (take(p, '/'))
            value /= power(p);
        else
            break;
    }
    return value;
}

static double sum(parser *p) {
    double value = product(p);
    while (p->status == FANIN_OK) {
        if (take(p, '+'))
            value += product(p);
        else if (take(p, '-'))
            value -= product(p);
        else
            break;
    }
    return value;
}

fanin_status fanin__formula(const char *text, const fanin__variable *variables, double *value,
                            fanin_err *err) {
    parser p = {.text = text, .s = text, .variables = variables, .err = err};
    *value = sum(&p);
    skip(&p);
    if (p.status == FANIN_OK && *p.s) stop(&p, "not understood from", 20, p.s);
    if (p.status == FANIN_OK && !isfinite(*value)) stop(&p, "no finite number comes of", 1, "it");
    return p.status;
}

/* ---- a rule's numbers -------------------------------------------------------------------------- */

static bool is_number_option(const char *key, size_t n) {
    static const char *const keys[] = {"a",   "gain", "scale", "value",    "mean",
                                       "std", "low",  "high",  "sparsity", "k"};
    for (size_t i = 0; i < FANIN_COUNT(keys); i++)
        if (word_is(key, n, keys[i])) return true;
    return false;
}

static double elements(const fanin_tensor *t) {
    double n = 1;
    for (int i = 0; i < t->rank; i++) n *= (double)t->dims[i];
    return n;
}

static double positive(double x) { return x > 0 ? x : NAN; }

/* Where L counts weighted layers, l does too. */
static double blocks_before(const fanin_tensor_info *info, const fanin_tensors *all) {
    if (info->block >= 0) return (double)info->block;
    bool layers = all->residuals == 0 && all->blocks == all->layers;
    return layers && info->tensor.depth_index >= 0 ? (double)info->tensor.depth_index : NAN;
}

/* What a formula may use, for one tensor. */
static void set_variables(const fanin_tensor_info *info, const fanin_tensors *all,
                          fanin__variable v[16]) {
    const fanin_tensor *t = &info->tensor;
    const fanin__variable list[] = {
        {"L", positive(all->blocks)},
        {"l", blocks_before(info, all)},
        {"layers", positive(all->layers)},
        {"residuals", positive(all->residuals)},
        {"depth", t->depth_index >= 0 ? (double)t->depth_index + 1 : NAN},
        {"fan_in", positive(t->fan_in)},
        {"fan_out", positive(t->fan_out)},
        {"fan_avg", positive((t->fan_in + t->fan_out) / 2)},
        {"n", elements(t)},
        {"groups", (double)t->groups},
        {"parts", (double)t->parts},
        {NULL, 0},
    };
    memcpy(v, list, sizeof list);
}

/* The comma behind the item at s that is outside brackets, or the end. */
static const char *item_end(const char *s) {
    int depth = 0;
    for (; *s; s++) {
        if (*s == '(') depth++;
        if (*s == ')') depth--;
        if (*s == ',' && depth <= 0) break;
    }
    return s;
}

/* nonlinearity=exact[:NAME] becomes the gain that keeps the second moment, 1 / sqrt(E f(z)^2); without a name, of the
 * activation that follows the tensor's layer. Here and not in the rule, since theory/ stands above init/. */
static fanin_status exact_gain(const char *name, const fanin_tensor_info *info, fanin__text *out,
                               fanin_err *err) {
    fanin_activation *act;
    fanin_gain gain;
    char number[32];
    if (*name == ':') name++;
    if (!*name) name = info->tensor.nonlinearity;
    if (!name)
        return fanin_err_set(err, FANIN_ARG,
                             "nonlinearity=exact: no activation follows '%.160s'; name one, as in "
                             "nonlinearity=exact:gelu",
                             info->tensor.name);
    FANIN_TRY(fanin_activation_parse(name, &act, err));
    fanin_status status = fanin_gain_solve(act, &gain, err);
    fanin_activation_destroy(act);
    if (status == FANIN_OK && !(gain.gain > 0 && isfinite(gain.gain)))
        status = fanin_err_set(err, FANIN_DOMAIN, "nonlinearity=exact: '%.80s' has no gain", name);
    FANIN_TRY(status);
    fanin__text_printf(out, "gain=%s", fanin__number_text(gain.gain, number));
    return FANIN_OK;
}

static fanin_status resolve_item(const char *item, const char *end, const fanin_tensor_info *info,
                                 const fanin__variable *variables, fanin__text *out,
                                 fanin_err *err) {
    const char *equals = memchr(item, '=', (size_t)(end - item));
    size_t key = equals ? (size_t)(equals - item) : 0;
    char text[256], number[32];
    size_t n = equals ? (size_t)(end - equals - 1) : 0;
    static const char exact[] = "exact";
    const size_t exact_n = sizeof exact - 1;
    if (equals && word_is(item, key, "nonlinearity") && n >= exact_n && n < sizeof text &&
        memcmp(equals + 1, exact, exact_n) == 0 && (n == exact_n || equals[1 + exact_n] == ':')) {
        snprintf(text, sizeof text, "%.*s", (int)(n - exact_n), equals + 1 + exact_n);
        return exact_gain(text, info, out, err);
    }
    bool plain = !equals || !is_number_option(item, key) || n >= sizeof text;
    if (!plain) {
        memcpy(text, equals + 1, n);
        text[n] = '\0';
        const char *stop_at;
        fanin__parse_double(text, &stop_at);
        plain = stop_at != text && !*stop_at;
    }
    if (plain) {
        fanin__text_append(out, item, (size_t)(end - item));
        return FANIN_OK;
    }
    double value;
    FANIN_TRY(fanin__formula(text, variables, &value, err));
    fanin__text_append(out, item, key + 1);
    fanin__text_puts(out, fanin__number_text(value, number));
    return FANIN_OK;
}

fanin_status fanin__rule_resolve(const char *text, const fanin_tensor_info *info,
                                 const fanin_tensors *tensors, char *buf, size_t size,
                                 fanin_err *err) {
    fanin__variable variables[16];
    set_variables(info, tensors, variables);
    fanin__text out = {0};
    const char *s = text + strcspn(text, ":");
    fanin__text_append(&out, text, (size_t)(s - text) + (*s ? 1 : 0));
    fanin_status status = FANIN_OK;
    for (bool more = *s != '\0'; more && status == FANIN_OK;) {
        const char *item = s + 1;
        s = item_end(item);
        more = *s != '\0';
        status = resolve_item(item, s, info, variables, &out, err);
        if (more) fanin__text_puts(&out, ",");
    }
    if (status == FANIN_OK && out.failed) status = FANIN_NOMEM;
    if (status == FANIN_OK && out.length >= size)
        status = fanin_err_set(err, FANIN_LIMIT, "the rule '%.120s' is too long", text);
    if (status == FANIN_OK) memcpy(buf, out.data, out.length + 1);
    if (status == FANIN_NOMEM) fanin_err_set(err, status, "no memory for a rule");
    fanin__text_fini(&out);
    return status;
}
