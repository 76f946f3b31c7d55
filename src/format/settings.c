/* settings.c - one flat YAML mapping: what an experiment's file says. */
#include <string.h>

#include "fanin/format.h"
#include "format/yaml.h"

struct fanin_settings {
    fanin__yaml yaml;
    fanin_setting *items;
    int count;
};

static fanin_status add(fanin_settings *s, const char *path, int key, int value, fanin_err *err) {
    const fanin__yaml_node *k = &s->yaml.nodes[key], *v = &s->yaml.nodes[value];
    if (v->kind != FANIN__YAML_SCALAR)
        return fanin_err_set(err, FANIN_FORMAT,
                             "%s line %d: '%s' is a %s, expected a value or a list of values", path,
                             v->line, k->text, v->kind == FANIN__YAML_MAP ? "mapping" : "list");
    s->items[s->count++] = (fanin_setting){k->text, v->text, v->line};
    return FANIN_OK;
}

static fanin_status collect(fanin_settings *s, const char *path, fanin_err *err) {
    const fanin__yaml *y = &s->yaml;
    if (y->count == 0 || y->nodes[0].kind != FANIN__YAML_MAP)
        return fanin_err_set(err, FANIN_FORMAT, "%s: expected lines of 'key: value'", path);
    s->items = fanin_calloc((size_t)y->count, sizeof *s->items);
    if (!s->items) return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
    for (int k = y->nodes[0].first; k >= 0; k = y->nodes[y->nodes[k].next].next) {
        int v = y->nodes[k].next;
        if (y->nodes[v].kind != FANIN__YAML_LIST) {
            FANIN_TRY(add(s, path, k, v, err));
            continue;
        }
        for (int i = y->nodes[v].first; i >= 0; i = y->nodes[i].next)
            FANIN_TRY(add(s, path, k, i, err));
    }
    return FANIN_OK;
}

fanin_status fanin_settings_open(const char *path, fanin_settings **out, fanin_err *err) {
    *out = NULL;
    fanin__map map;
    FANIN_TRY(fanin__map_open(path, &map, err));
    fanin_settings *s = fanin_calloc(1, sizeof *s);
    fanin_status status = s ? fanin__yaml_parse(map.data, map.size, path, &s->yaml, err)
                            : fanin_err_set(err, FANIN_NOMEM, "%s: no memory", path);
    fanin__map_close(&map);
    if (status == FANIN_OK) status = collect(s, path, err);
    if (status != FANIN_OK) {
        fanin_settings_close(s);
        return status;
    }
    *out = s;
    return FANIN_OK;
}

void fanin_settings_close(fanin_settings *s) {
    if (!s) return;
    fanin__yaml_fini(&s->yaml);
    fanin_free(s->items);
    fanin_free(s);
}

int fanin_settings_count(const fanin_settings *s) { return s->count; }

fanin_setting fanin_settings_at(const fanin_settings *s, int i) {
    return i >= 0 && i < s->count ? s->items[i] : (fanin_setting){0};
}
