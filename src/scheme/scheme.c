/* scheme.c - a scheme as an ordered list of lines: where it comes from, what a line matches. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "scheme/scheme.h"

enum { MAX_LINES = 100000 };

static fanin_status no_memory(fanin_err *err) {
    return fanin_err_set(err, FANIN_NOMEM, "no memory for a scheme");
}

/* ---- building ---------------------------------------------------------------------------------- */

const char *fanin__scheme_text(fanin__scheme *scheme, const char *s, size_t n) {
    if (scheme->text_count == scheme->text_capacity) {
        int more = scheme->text_capacity * 2 + 16;
        char **texts = fanin_realloc(scheme->texts, (size_t)more, sizeof *texts);
        if (!texts) return NULL;
        scheme->texts = texts;
        scheme->text_capacity = more;
    }
    char *copy = fanin__strndup(s, n);
    if (copy) scheme->texts[scheme->text_count++] = copy;
    return copy;
}

/* libc's automaton holds a copy for every repetition of {n,m} and two for '+', so nesting multiplies:
 * "b+++++++" of 25 signs would take gigabytes. */
static bool is_small(const char *expression) {
    const uint64_t largest = 100000;
    uint64_t size = strlen(expression), n;
    for (const char *s = expression; *s && size <= largest; s++) {
        if (*s == '+') size *= 2;
        if (*s != '{') continue;
        uint64_t most = 1;
        for (const char *p = s + 1; *p && *p != '}'; p++)
            if (*p >= '0' && *p <= '9' && fanin__parse_u64(p, &p, &n)) {
                if (n > most) most = n;
                p--;
            }
        if (most > largest) return false;
        size *= most;
    }
    return size <= largest;
}

static fanin_status compile(fanin__line *line, fanin_err *err) {
    if (!line->pattern || strncmp(line->pattern, "re:", 3) != 0) return FANIN_OK;
    char why[120];
    if (!is_small(line->pattern))
        return fanin_err_set(err, FANIN_LIMIT,
                             "'%.80s': the expression's repetitions make it too large",
                             line->pattern);
    int code = regcomp(&line->regex, line->pattern + 3, REG_EXTENDED | REG_NOSUB);
    if (code == REG_ESPACE) return no_memory(err);
    if (code != 0) {
        regerror(code, &line->regex, why, sizeof why);
        return fanin_err_set(err, FANIN_ARG, "'%.120s' is not a regular expression: %s",
                             line->pattern, why);
    }
    line->has_regex = true;
    return FANIN_OK;
}

fanin_status fanin__scheme_add(fanin__scheme *scheme, fanin__line line, fanin_err *err) {
    if (scheme->count >= MAX_LINES)
        return fanin_err_set(err, FANIN_LIMIT, "a scheme of more than %d lines", MAX_LINES);
    if (scheme->count == scheme->capacity) {
        int more = scheme->capacity * 2 + 16;
        fanin__line *lines = fanin_realloc(scheme->lines, (size_t)more, sizeof *lines);
        if (!lines) return no_memory(err);
        scheme->lines = lines;
        scheme->capacity = more;
    }
    FANIN_TRY(compile(&line, err));
    scheme->lines[scheme->count++] = line;
    return FANIN_OK;
}

void fanin__scheme_fini(fanin__scheme *scheme) {
    for (int i = 0; i < scheme->count; i++)
        if (scheme->lines[i].has_regex) regfree(&scheme->lines[i].regex);
    for (int i = 0; i < scheme->text_count; i++) fanin_free(scheme->texts[i]);
    fanin_free(scheme->texts);
    fanin_free(scheme->lines);
    fanin_free(scheme->name);
    *scheme = (fanin__scheme){0};
}

/* ---- where schemes come from ------------------------------------------------------------------- */

static bool looks_like_file(const char *text) {
    struct stat st;
    if (fanin__ends_with(text, ".yaml") || fanin__ends_with(text, ".yml")) return true;
    return strchr(text, '/') != NULL && stat(text, &st) == 0 && S_ISREG(st.st_mode);
}

/* A rule for every weight, the usual for the rest. */
static fanin_status from_rule(fanin__scheme *scheme, const char *text, fanin_err *err) {
    fanin_rule rule;
    char name[80];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text, ":") % 80, text);
    fanin_err why = {0};
    fanin_status status = fanin_rule_parse(name, &rule, &why);
    if (status != FANIN_OK) {
        fanin__text names = {0};
        for (int i = 0; i < fanin_scheme_count(); i++)
            fanin__text_printf(&names, "%s%s", i ? ", " : "", fanin_scheme_at(i).name);
        fanin_err_set(err, FANIN_NOTFOUND,
                      "'%.80s' is not a scheme (%s), a rule, or a file ending in .yaml (%.160s)",
                      text, names.data ? names.data : "", why.message);
        fanin__text_fini(&names);
        return FANIN_NOTFOUND;
    }
    fanin__scheme_add_builtin(scheme, "he", &status, err);
    if (status != FANIN_OK) return status;
    const char *copy = fanin__scheme_text(scheme, text, strlen(text));
    if (!copy) return no_memory(err);
    scheme->lines[scheme->count - 1].rule = copy; /* he's one line for weights */
    return FANIN_OK;
}

fanin_status fanin__scheme_load(const char *text, fanin__scheme *scheme, fanin_err *err) {
    *scheme = (fanin__scheme){0};
    fanin_status status = FANIN_OK;
    scheme->name = fanin__strdup(text);
    if (!scheme->name)
        status = no_memory(err);
    else if (fanin__scheme_add_builtin(scheme, text, &status, err))
        ;
    else if (looks_like_file(text))
        status = fanin__scheme_read_file(text, scheme, err);
    else
        status = from_rule(scheme, text, err);
    if (status != FANIN_OK) fanin__scheme_fini(scheme);
    return status;
}

fanin_status fanin__scheme_overlay(fanin__scheme *scheme, const char *text, fanin_err *err) {
    const char *equals = strchr(text, '=');
    if (!equals || equals == text || !equals[1])
        return fanin_err_set(err, FANIN_ARG,
                             "--rule '%.120s' is not PATTERN=RULE[:option=value,...]", text);
    fanin__line line = {.overlay = true};
    line.pattern = fanin__scheme_text(scheme, text, (size_t)(equals - text));
    line.rule = fanin__scheme_text(scheme, equals + 1, strlen(equals + 1));
    if (!line.pattern || !line.rule) return no_memory(err);
    return fanin__scheme_add(scheme, line, err);
}

/* ---- matching ---------------------------------------------------------------------------------- */

/* Of an LSTM node; or, in a template, with the four gates that its recurrent weight shows. */
static bool is_lstm_bias(const fanin_tensor_info *info) {
    if (info->tensor.cls != FANIN_CLASS_RECURRENT_BIAS) return false;
    return info->node < 0 ? info->tensor.parts == 4 : strcmp(info->op, "LSTM") == 0;
}

bool fanin__line_matches(const fanin__line *line, const fanin_tensor_info *info) {
    if (line->classes) {
        bool listed = line->classes & FANIN__CLASS_BIT(info->tensor.cls);
        if ((line->classes & FANIN__RESIDUAL) && info->closes) listed = true;
        if ((line->classes & FANIN__LSTM_BIAS) && is_lstm_bias(info)) listed = true;
        if (!listed) return false;
    }
    if (!line->pattern) return true;
    if (line->has_regex) return regexec(&line->regex, info->tensor.name, 0, NULL, 0) == 0;
    return fanin__glob(line->pattern, info->tensor.name);
}

const char *fanin__line_where(const fanin__scheme *scheme, const fanin__line *line, char *buf,
                              size_t size) {
    if (line->overlay)
        snprintf(buf, size, "--rule '%.100s'", line->pattern);
    else if (line->number)
        snprintf(buf, size, "%.100s line %d%s%.80s%s", scheme->name, line->number,
                 line->pattern ? " '" : "", line->pattern ? line->pattern : "",
                 line->pattern ? "'" : "");
    else
        snprintf(buf, size, "%.100s", scheme->name);
    return buf;
}
