/* parse.c - rules as text: "name:option=value,...". One table of options serves reading, writing and
 * the message about an option that a rule does not take. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "init/init.h"

typedef enum option_kind {
    NUMBER, /* double within [low, high] */
    WHOLE,  /* double without a fraction within [low, high] */
    COUNT,  /* int64_t within [low, high] */
    TEXT,   /* char[size] */
    CHOICE  /* int (an enum or a flag), one of `choices` in order from 0 or 1 */
} option_kind;

typedef struct option {
    const char *name;
    option_kind kind;
    size_t offset, size;
    double low, high;
    const char *choices; /* space separated */
    int first_choice;    /* value of the first one */
} option;

#define FIELD(field) offsetof(fanin_rule, field), sizeof(((fanin_rule *)0)->field)

static const option options[] = {
    {"mode", CHOICE, FIELD(mode), 0, 0, "fan_in fan_out fan_avg fan_geo_avg", FANIN_FAN_IN},
    {"fans", CHOICE, FIELD(torch_fans), 0, 0, "operator torch", 0},
    {"distribution", CHOICE, FIELD(distribution), 0, 0, "uniform normal truncated_normal", 1},
    {"nonlinearity", TEXT, FIELD(nonlinearity), 0, 0, NULL, 0},
    {"a", NUMBER, FIELD(a), -1e6, 1e6, NULL, 0},
    {"gain", NUMBER, FIELD(gain), 0, 1e18, NULL, 0},
    {"scale", NUMBER, FIELD(scale), 0, 1e18, NULL, 0},
    {"value", NUMBER, FIELD(value), -3.4028234663852886e38, 3.4028234663852886e38, NULL, 0},
    {"mean", NUMBER, FIELD(mean), -1e18, 1e18, NULL, 0},
    {"std", NUMBER, FIELD(std), 0, 1e18, NULL, 0},
    {"center", NUMBER, FIELD(center), 0, 1, NULL, 0},
    {"low", NUMBER, FIELD(low), -INFINITY, 1e18, NULL, 0},
    {"high", NUMBER, FIELD(high), -1e18, INFINITY, NULL, 0},
    {"bounds", CHOICE, FIELD(bounds_sigma), 0, 0, "absolute sigma", 0},
    {"sparsity", NUMBER, FIELD(sparsity), 0, 1, NULL, 0},
    {"k", WHOLE, FIELD(k), 1, 9007199254740992.0, NULL, 0},
    {"groups", COUNT, FIELD(groups), 1, 9007199254740992.0, NULL, 0},
    {"gates", CHOICE, FIELD(gates), 0, 0, "ifgo iofc", 1},
    {"prior", TEXT, FIELD(prior), 0, 0, NULL, 0},
};

static fanin_rule rule_default(int id) {
    return (fanin_rule){.id = id,
                        .a = NAN,
                        .gain = NAN,
                        .scale = NAN,
                        .value = NAN,
                        .mean = NAN,
                        .std = NAN,
                        .center = NAN,
                        .low = NAN,
                        .high = NAN,
                        .sparsity = NAN,
                        .k = NAN};
}

static bool word_in(const char *words, const char *word, size_t length) {
    for (const char *s = words; *s;) {
        size_t n = strcspn(s, " ");
        if (n == length && strncmp(s, word, n) == 0) return true;
        s += n;
        s += strspn(s, " ");
    }
    return false;
}

static int choice_index(const char *choices, const char *value) {
    int index = 0;
    for (const char *s = choices; *s; index++) {
        size_t n = strcspn(s, " ");
        char word[32];
        snprintf(word, sizeof word, "%.*s", (int)n, s);
        if (fanin__strcasecmp(word, value) == 0) return index;
        s += n;
        s += strspn(s, " ");
    }
    return -1;
}

static int choice_get(const option *o, const fanin_rule *rule) {
    const char *field = (const char *)rule + o->offset;
    return o->size == sizeof(bool) ? *(const bool *)field : *(const int *)field;
}

static void choice_set(const option *o, fanin_rule *rule, int value) {
    char *field = (char *)rule + o->offset;
    if (o->size == sizeof(bool))
        *(bool *)field = value != 0;
    else
        *(int *)field = value;
}

static bool number_read(const char *text, double *value) {
    if (fanin__strcasecmp(text, "inf") == 0 || fanin__strcasecmp(text, "+inf") == 0) {
        *value = INFINITY;
        return true;
    }
    if (fanin__strcasecmp(text, "-inf") == 0) {
        *value = -INFINITY;
        return true;
    }
    const char *end;
    *value = fanin__parse_double(text, &end);
    return end != text && *end == 0 && !isnan(*value);
}

static fanin_status number_set(const option *o, const char *rule_name, const char *text,
                               fanin_rule *rule, fanin_err *err) {
    char lo[32], hi[32];
    double value;
    if (!number_read(text, &value))
        return fanin_err_set(err, FANIN_ARG, "%s: %s=%s is not a number", rule_name, o->name, text);
    if (value < o->low || value > o->high)
        return fanin_err_set(err, FANIN_ARG, "%s: %s=%s lies outside %s to %s", rule_name, o->name,
                             text, fanin__number_text(o->low, lo), fanin__number_text(o->high, hi));
    if (o->kind != NUMBER && value != floor(value))
        return fanin_err_set(err, FANIN_ARG, "%s: %s=%s is not a whole number", rule_name, o->name,
                             text);
    if (o->kind == COUNT)
        *(int64_t *)((char *)rule + o->offset) = (int64_t)value;
    else
        *(double *)((char *)rule + o->offset) = value;
    return FANIN_OK;
}

fanin_status fanin_rule_option(fanin_rule *rule, const char *name, const char *value,
                               fanin_err *err) {
    const fanin__rule_row *row = fanin__rule_row_by_id(rule->id);
    if (!row) return fanin_err_set(err, FANIN_ARG, "no rule has the id %d", rule->id);
    if (!word_in(row->options, name, strlen(name)))
        return fanin_err_set(err, FANIN_ARG, "%s does not take the option '%s'; it takes %s",
                             row->name, name, row->options[0] ? row->options : "none");
    for (size_t i = 0; i < FANIN_COUNT(options); i++) {
        const option *o = &options[i];
        if (strcmp(o->name, name) != 0) continue;
        if (o->kind == TEXT) {
            if (!*value || strlen(value) >= o->size)
                return fanin_err_set(err, FANIN_ARG, "%s: %s is empty or longer than %zu letters",
                                     row->name, name, o->size - 1);
            strcpy((char *)rule + o->offset, value);
            return FANIN_OK;
        }
        if (o->kind != CHOICE) return number_set(o, row->name, value, rule, err);
        int index = choice_index(o->choices, value);
        if (index < 0)
            return fanin_err_set(err, FANIN_ARG, "%s: %s=%s is none of: %s", row->name, name, value,
                                 o->choices);
        choice_set(o, rule, index + o->first_choice);
        return FANIN_OK;
    }
    return fanin_err_set(err, FANIN_INTERNAL, "the row of %s names the option %s, which is none",
                         row->name, name);
}

static fanin_status options_read(const char *text, fanin_rule *rule, fanin_err *err) {
    char key[32], value[512];
    while (*text) {
        size_t length = strcspn(text, ",");
        const char *equals = memchr(text, '=', length);
        size_t key_length = equals ? (size_t)(equals - text) : 0;
        if (!equals || key_length == 0 || key_length >= sizeof key ||
            length - key_length - 1 >= sizeof value)
            return fanin_err_set(err, FANIN_ARG, "'%.*s' is not of the form option=value",
                                 length > 80 ? 80 : (int)length, text);
        for (size_t i = 0; i < key_length; i++)
            key[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] - 'A' + 'a') : text[i];
        key[key_length] = 0;
        memcpy(value, equals + 1, length - key_length - 1);
        value[length - key_length - 1] = 0;
        FANIN_TRY(fanin_rule_option(rule, key, value, err));
        text += length;
        if (*text == ',') text++;
    }
    return FANIN_OK;
}

fanin_status fanin_rule_parse(const char *text, fanin_rule *rule, fanin_err *err) {
    *rule = rule_default(0);
    char name[80];
    size_t length = strcspn(text, ":");
    snprintf(name, sizeof name, "%.*s", length < sizeof name ? (int)length : (int)sizeof name - 1,
             text);
    const fanin__rule_row *row = length < sizeof name ? fanin__rule_row_find(name) : NULL;
    if (!row)
        return fanin_err_set(err, FANIN_NOTFOUND, "no rule is called '%s'; did you mean %s?", name,
                             fanin__rule_row_nearest(name));
    rule->id = row->id;
    const char *given;
    FANIN_TRY(fanin__options_of(text, length, &given, err));
    return options_read(given, rule, err);
}

/* ---- writing ----------------------------------------------------------------------------- */

/* Value of an option as text; false if it is not set. */
static bool option_text(const option *o, const fanin_rule *rule, char *buf, size_t size) {
    const char *field = (const char *)rule + o->offset;
    char number[32];
    if (o->kind == TEXT) {
        snprintf(buf, size, "%s", field);
        return field[0] != 0;
    }
    if (o->kind == COUNT) {
        snprintf(buf, size, "%lld", (long long)*(const int64_t *)field);
        return *(const int64_t *)field != 0;
    }
    if (o->kind == CHOICE) {
        int index = choice_get(o, rule) - o->first_choice;
        /* With first_choice 0 the first one is the default and need not be said. */
        if (index < 0 || (index == 0 && o->first_choice == 0)) return false;
        const char *s = o->choices;
        for (; index > 0; index--) s += strcspn(s, " ") + 1;
        snprintf(buf, size, "%.*s", (int)strcspn(s, " "), s);
        return true;
    }
    double value = *(const double *)field;
    if (isnan(value)) return false;
    snprintf(buf, size, "%s",
             isinf(value) ? (value < 0 ? "-inf" : "inf") : fanin__number_text(value, number));
    return true;
}

void fanin_rule_text(const fanin_rule *rule, char *buf, size_t size) {
    if (!size) return;
    const fanin__rule_row *row = fanin__rule_row_by_id(rule->id);
    size_t used = (size_t)snprintf(buf, size, "%s", row ? row->name : "?");
    char separator = ':', value[512];
    for (size_t i = 0; row && i < FANIN_COUNT(options) && used < size; i++) {
        if (!word_in(row->options, options[i].name, strlen(options[i].name))) continue;
        if (!option_text(&options[i], rule, value, sizeof value)) continue;
        used +=
            (size_t)snprintf(buf + used, size - used, "%c%s=%s", separator, options[i].name, value);
        separator = ',';
    }
}
