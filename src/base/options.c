/* options.c - "key=value,..." behind the name of an optimiser, schedule, loss or data set. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"

static bool takes_name(const char *takes, const char *name) {
    char key[40];
    snprintf(key, sizeof key, "%s=", name);
    for (const char *at = takes; (at = strstr(at, key)); at++)
        if (at == takes || at[-1] == ',') return true;
    return false;
}

static fanin_status parse_one(const char *what, const char *takes, const char *p, size_t n,
                              const fanin__option *table, size_t count, void *out, fanin_err *err) {
    const char *equals = memchr(p, '=', n), *end;
    size_t key = equals ? (size_t)(equals - p) : n;
    for (size_t i = 0; i < count && equals; i++) {
        const fanin__option *o = &table[i];
        if (strlen(o->name) != key || strncmp(p, o->name, key) != 0 || !takes_name(takes, o->name))
            continue;
        double value = fanin__parse_double(equals + 1, &end);
        bool fits = value >= o->low && value <= o->high && (!o->whole || value == floor(value));
        if (end == equals + 1 || end != p + n || !fits)
            return fanin_err_set(err, FANIN_ARG, "%s: %.*s: expected a %snumber from %g to %g",
                                 what, (int)n, p, o->whole ? "whole " : "", o->low, o->high);
        *(double *)((char *)out + o->offset) = value;
        return FANIN_OK;
    }
    return fanin_err_set(err, FANIN_ARG, "%s: '%.*s' is no option of it; it takes %s", what, (int)n,
                         p, takes[0] ? takes : "none");
}

fanin_status fanin__options_of(const char *text, size_t n, const char **options, fanin_err *err) {
    *options = text[n] ? text + n + 1 : "";
    if (!text[n] || **options) return FANIN_OK;
    return fanin_err_set(err, FANIN_ARG, "'%.200s': expected options behind the ':', or no ':'",
                         text);
}

fanin_status fanin__options_parse(const char *what, const char *takes, const char *text,
                                  const fanin__option *table, size_t count, void *out,
                                  fanin_err *err) {
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, ",");
        FANIN_TRY(parse_one(what, takes, p, n, table, count, out, err));
        p += n;
        if (*p == ',' && !*++p)
            return fanin_err_set(err, FANIN_ARG, "%s: '' is no option of it; it takes %s", what,
                                 takes[0] ? takes : "none");
    }
    return FANIN_OK;
}
