/* groups.c - weights with a learning rate or a decay of their own. */
#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "scheme/scheme.h"
#include "train/recipe.h"

typedef struct multipliers {
    double lr, decay;
} multipliers;

/* "lr:0.1,decay:0"; what is not named stays -1. */
static fanin_status read_multipliers(const char *text, const char *p, multipliers *m,
                                     fanin_err *err) {
    *m = (multipliers){-1, -1};
    while (*p) {
        size_t n = strcspn(p, ":");
        double *slot = n == 2 && !strncmp(p, "lr", n)      ? &m->lr
                       : n == 5 && !strncmp(p, "decay", n) ? &m->decay
                                                           : NULL;
        const char *end = p;
        if (slot && p[n] == ':') *slot = fanin__parse_double(p + n + 1, &end);
        if (!slot || end == p || (*end && *end != ',') || !(*slot >= 0 && *slot <= 1e6))
            return fanin_err_set(err, FANIN_ARG,
                                 "group '%s': expected PATTERN=lr:X,decay:Y, numbers from 0 to 1e6",
                                 text);
        p = end + (*end == ',');
    }
    return FANIN_OK;
}

/* Classes as in a scheme file ("bias norm_scale"), a glob, or "re:" and a regular expression. */
static fanin_status make_line(const char *text, const char *pattern, fanin__line *line,
                              fanin_err *err) {
    *line = (fanin__line){.pattern = pattern};
    if (fanin__classes_parse(pattern, &line->classes, NULL) == FANIN_OK) {
        line->pattern = NULL;
    } else {
        line->classes = 0;
        if (!strncmp(pattern, "re:", 3)) {
            if (regcomp(&line->regex, pattern + 3, REG_EXTENDED | REG_NOSUB) != 0)
                return fanin_err_set(err, FANIN_ARG, "group '%s': no regular expression", text);
            line->has_regex = true;
        }
    }
    return FANIN_OK;
}

fanin_status fanin__optimizer_group(fanin_optimizer *o, const char *text, fanin_err *err) {
    const char *equals = strrchr(text, '=');
    if (!equals || equals == text || !equals[1])
        return fanin_err_set(err, FANIN_ARG, "group '%s': expected PATTERN=lr:X,decay:Y", text);
    multipliers m;
    FANIN_TRY(read_multipliers(text, equals + 1, &m, err));
    char *pattern = fanin__strndup(text, (size_t)(equals - text));
    if (!pattern) return fanin_err_set(err, FANIN_NOMEM, "group: no memory");
    fanin__line line;
    fanin_status status = make_line(text, pattern, &line, err);
    int matches = 0;
    for (int i = 0; i < o->count && status == FANIN_OK; i++) {
        const fanin_tensor_info info = {
            .tensor = {.name = o->params[i].name, .cls = o->params[i].cls}};
        if (!fanin__line_matches(&line, &info)) continue;
        matches++;
        if (m.lr >= 0) o->params[i].lr = m.lr;
        if (m.decay >= 0) o->params[i].decay = m.decay;
    }
    if (line.has_regex) regfree(&line.regex);
    fanin_free(pattern);
    if (status == FANIN_OK && !matches)
        return fanin_err_set(err, FANIN_NOTFOUND, "group '%s': no weight that is trained matches",
                             text);
    return status;
}
