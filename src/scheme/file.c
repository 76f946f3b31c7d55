/* file.c - scheme files.
 *
 *     base: he                          # optional: lines of a built-in scheme come first
 *     rules:                            # in order; a later line wins
 *       - match: "*.weight"             # glob over names, or "re:^h\.[0-9]+\."; quote a leading *
 *         rule: normal
 *         std: 0.02/sqrt(2*L)           # options of the rule; numbers may be formulas
 *       - class: [norm_scale, running_var]
 *         rule: ones
 *       - "*.bias": zeros               # short: pattern: rule[:k=v,...]
 *       - "lm_head.*": {rule: normal, std: 0.01}
 *
 * The list may also be the whole file, or a mapping of patterns. */
#include <string.h>

#include "scheme/scheme.h"
#include "format/yaml.h"

typedef struct loader {
    fanin__scheme *scheme;
    const fanin__yaml *y;
    const char *name;
    fanin_err *err;
} loader;

static const fanin__yaml_node *at(const loader *l, int node) { return &l->y->nodes[node]; }

static fanin_status bad(loader *l, int node, fanin_status status, const char *what,
                        const char *word) {
    if (l->err) l->err->position = at(l, node)->line;
    return fanin_err_set(l->err, status, "%.200s line %d: %s%.120s", l->name, at(l, node)->line,
                         what, word);
}

static fanin_status no_memory(loader *l) {
    return fanin_err_set(l->err, FANIN_NOMEM, "%.200s: not enough memory", l->name);
}

static bool word_in(const char *word, const char *const *list) {
    for (; *list; list++)
        if (strcmp(word, *list) == 0) return true;
    return false;
}

static const char *const match_keys[] = {"match", "pattern", "tensor", "tensors", "name", NULL};
static const char *const rule_keys[] = {"rule", "init", "dist", NULL};
static const char *const class_keys[] = {"class", "classes", NULL};
static const char *const list_keys[] = {"rules", "lines", "tensors", "init", NULL};

/* ---- rules ------------------------------------------------------------------------------------- */

/* Adds ":k=v" or ",k=v" for each pair of a map, keys of the line itself left out. */
static fanin_status add_options(loader *l, int map, fanin__text *rule, bool nested) {
    for (int k = at(l, map)->first; k >= 0; k = at(l, at(l, k)->next)->next) {
        const char *key = at(l, k)->text;
        int value = at(l, k)->next;
        bool own = word_in(key, match_keys) || word_in(key, rule_keys) || word_in(key, class_keys);
        if (!nested && own) continue;
        if (strcmp(key, "options") == 0 && at(l, value)->kind == FANIN__YAML_MAP) {
            FANIN_TRY(add_options(l, value, rule, true));
            continue;
        }
        if (at(l, value)->kind != FANIN__YAML_SCALAR)
            return bad(l, value, FANIN_FORMAT, "a number or a word is expected for ", key);
        bool first = strchr(rule->data, ':') == NULL;
        fanin__text_printf(rule, "%s%s=%s", first ? ":" : ",", key, at(l, value)->text);
        if (rule->failed) return no_memory(l);
    }
    return FANIN_OK;
}

/* The rule's text from a scalar, or from a map with `rule` and options. */
static fanin_status read_rule(loader *l, int node, const char **text) {
    fanin__text rule = {0};
    fanin_status status = FANIN_OK;
    if (at(l, node)->kind == FANIN__YAML_SCALAR) {
        fanin__text_puts(&rule, at(l, node)->text);
    } else if (at(l, node)->kind == FANIN__YAML_MAP) {
        int which = -1;
        for (int i = 0; rule_keys[i] && which < 0; i++)
            which = fanin__yaml_get(l->y, node, rule_keys[i]);
        if (which < 0 || at(l, which)->kind != FANIN__YAML_SCALAR)
            return bad(l, node, FANIN_FORMAT, "this line names no rule", "");
        fanin__text_puts(&rule, at(l, which)->text);
        if (rule.data) status = add_options(l, node, &rule, false);
    } else {
        return bad(l, node, FANIN_FORMAT, "a rule is expected, not a list", "");
    }
    if (status == FANIN_OK && (rule.failed || !rule.data)) status = no_memory(l);
    if (status == FANIN_OK && !rule.data[0])
        status = bad(l, node, FANIN_FORMAT, "this line names no rule", "");
    if (status == FANIN_OK) {
        *text = fanin__scheme_text(l->scheme, rule.data, rule.length);
        if (!*text) status = no_memory(l);
    }
    fanin__text_fini(&rule);
    return status;
}

/* Unknown rules and options are told with the line, before any tensor is looked at. */
static fanin_status check_rule(loader *l, int node, const char *text) {
    fanin_rule rule;
    fanin_err why = {0};
    char name[80];
    size_t n = strcspn(text, ":");
    if (n >= sizeof name) return bad(l, node, FANIN_NOTFOUND, "no rule is called ", text);
    memcpy(name, text, n);
    name[n] = '\0';
    fanin_status status = fanin_rule_parse(name, &rule, &why);
    return status == FANIN_OK ? status : bad(l, node, status, why.message, "");
}

static fanin_status add(loader *l, int where, fanin__line line, int rule_node) {
    FANIN_TRY(read_rule(l, rule_node, &line.rule));
    FANIN_TRY(check_rule(l, rule_node, line.rule));
    line.number = at(l, where)->line;
    line.from_file = 1;
    fanin_err why = {0};
    fanin_status status = fanin__scheme_add(l->scheme, line, &why);
    return status == FANIN_OK ? status : bad(l, where, status, why.message, "");
}

/* ---- lines ------------------------------------------------------------------------------------- */

static fanin_status copy_text(loader *l, int node, const char *what, const char **out) {
    if (at(l, node)->kind != FANIN__YAML_SCALAR || !at(l, node)->text[0])
        return bad(l, node, FANIN_FORMAT, what, "");
    *out = fanin__scheme_text(l->scheme, at(l, node)->text, strlen(at(l, node)->text));
    return *out ? FANIN_OK : no_memory(l);
}

static fanin_status read_classes(loader *l, int node, fanin__classes *classes) {
    *classes = 0;
    int item = at(l, node)->kind == FANIN__YAML_LIST ? at(l, node)->first : node;
    for (; item >= 0; item = at(l, node)->kind == FANIN__YAML_LIST ? at(l, item)->next : -1) {
        fanin__classes some = 0;
        fanin_err why = {0};
        if (at(l, item)->kind != FANIN__YAML_SCALAR)
            return bad(l, item, FANIN_FORMAT, "the name of a class is expected", "");
        fanin_status status = fanin__classes_parse(at(l, item)->text, &some, &why);
        if (status != FANIN_OK) return bad(l, item, status, why.message, "");
        *classes |= some;
    }
    return *classes ? FANIN_OK : bad(l, node, FANIN_FORMAT, "no class is named", "");
}

/* {match: ..., class: ..., rule: ..., std: ...} */
static fanin_status long_line(loader *l, int map) {
    fanin__line line = {0};
    for (int k = at(l, map)->first; k >= 0; k = at(l, at(l, k)->next)->next) {
        int value = at(l, k)->next;
        if (word_in(at(l, k)->text, match_keys)) {
            if (line.pattern) return bad(l, k, FANIN_FORMAT, "a second pattern", "");
            FANIN_TRY(copy_text(l, value, "a pattern is expected", &line.pattern));
        } else if (word_in(at(l, k)->text, class_keys)) {
            FANIN_TRY(read_classes(l, value, &line.classes));
        }
    }
    if (!line.pattern && !line.classes)
        return bad(l, map, FANIN_FORMAT, "this line has neither match: nor class:", "");
    return add(l, map, line, map);
}

static bool is_long(const loader *l, int map) {
    for (int i = 0; rule_keys[i]; i++)
        if (fanin__yaml_get(l->y, map, rule_keys[i]) >= 0) return true;
    return fanin__yaml_get(l->y, map, "match") >= 0 || fanin__yaml_get(l->y, map, "class") >= 0;
}

/* {"*.bias": zeros, ...}: one line a pair. */
static fanin_status short_lines(loader *l, int map) {
    for (int k = at(l, map)->first; k >= 0; k = at(l, at(l, k)->next)->next) {
        fanin__line line = {0};
        FANIN_TRY(copy_text(l, k, "a pattern is expected", &line.pattern));
        FANIN_TRY(add(l, k, line, at(l, k)->next));
    }
    return FANIN_OK;
}

static fanin_status read_lines(loader *l, int node) {
    if (at(l, node)->kind == FANIN__YAML_MAP) return short_lines(l, node);
    if (at(l, node)->kind != FANIN__YAML_LIST)
        return bad(l, node, FANIN_FORMAT, "a list of lines is expected", "");
    for (int item = at(l, node)->first; item >= 0; item = at(l, item)->next) {
        if (at(l, item)->kind != FANIN__YAML_MAP)
            return bad(l, item, FANIN_FORMAT, "a line is match: and rule:, or pattern: rule", "");
        if (is_long(l, item))
            FANIN_TRY(long_line(l, item));
        else
            FANIN_TRY(short_lines(l, item));
    }
    return FANIN_OK;
}

/* ---- the file ---------------------------------------------------------------------------------- */

static fanin_status read_base(loader *l, int node) {
    fanin_status status = FANIN_OK;
    if (at(l, node)->kind == FANIN__YAML_SCALAR &&
        fanin__scheme_add_builtin(l->scheme, at(l, node)->text, &status, l->err))
        return status;
    return bad(l, node, FANIN_NOTFOUND, "base: names no built-in scheme", "");
}

static int find_list(const loader *l) {
    for (int i = 0; list_keys[i]; i++) {
        int node = fanin__yaml_get(l->y, 0, list_keys[i]);
        if (node >= 0 && at(l, node)->kind != FANIN__YAML_SCALAR) return node;
    }
    return -1;
}

static fanin_status read_root(loader *l) {
    if (at(l, 0)->kind != FANIN__YAML_MAP) return read_lines(l, 0);
    int list = find_list(l);
    if (list < 0) return short_lines(l, 0);
    for (int k = at(l, 0)->first; k >= 0; k = at(l, at(l, k)->next)->next) {
        const char *key = at(l, k)->text;
        if (strcmp(key, "base") == 0)
            FANIN_TRY(read_base(l, at(l, k)->next));
        else if (at(l, k)->next != list && strcmp(key, "scheme") != 0 && strcmp(key, "name") != 0 &&
                 strcmp(key, "about") != 0)
            return bad(l, k, FANIN_FORMAT, "beside rules: only base, scheme, about are known, not ",
                       key);
    }
    return read_lines(l, list);
}

fanin_status fanin__scheme_read(const void *data, size_t size, const char *name,
                                fanin__scheme *scheme, fanin_err *err) {
    fanin__yaml y;
    FANIN_TRY(fanin__yaml_parse(data, size, name, &y, err));
    loader l = {scheme, &y, name, err};
    fanin_status status = FANIN_OK;
    if (y.count == 0)
        status = fanin_err_set(err, FANIN_FORMAT, "%.200s: the file is empty", name);
    else
        status = read_root(&l);
    if (status == FANIN_OK && scheme->count == 0)
        status = fanin_err_set(err, FANIN_FORMAT, "%.200s: there is no line in it", name);
    fanin__yaml_fini(&y);
    return status;
}

fanin_status fanin__scheme_read_file(const char *path, fanin__scheme *scheme, fanin_err *err) {
    fanin__map map;
    FANIN_TRY(fanin__map_open(path, &map, err));
    fanin_status status = fanin__scheme_read(map.data, map.size, path, scheme, err);
    fanin__map_close(&map);
    return status;
}
