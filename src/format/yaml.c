/* yaml.c - libyaml's events into a tree. Events, because the tree of the library itself expands aliases
 * and has no limits; without a limit on depth 100 000 brackets take it seconds. */
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "format/yaml.h"

enum { MAX_SIZE = 8 << 20, MAX_DEPTH = 32, MAX_NODES = 200000 };

typedef struct reader {
    fanin__yaml *yaml;
    const char *name;
    fanin_err *err;
    int open, depth; /* innermost list or map, -1 */
    int documents;
} reader;

static fanin_status bad(reader *r, fanin_status status, yaml_mark_t at, const char *what) {
    if (r->err) r->err->position = (int64_t)at.line + 1;
    fanin_err_set(r->err, status, "%.200s line %zu column %zu: %s", r->name, at.line + 1,
                  at.column + 1, what);
    return status;
}

static fanin_status no_memory(reader *r) {
    return fanin_err_set(r->err, FANIN_NOMEM, "%.200s: not enough memory", r->name);
}

static bool grow(void **array, int count, int *capacity, size_t size) {
    if (count < *capacity) return true;
    int more = *capacity * 2 + 32;
    void *p = fanin_realloc(*array, (size_t)more, size);
    if (!p) return false;
    *array = p;
    *capacity = more;
    return true;
}

static char *keep_text(fanin__yaml *y, const char *s, size_t n) {
    void *list = y->texts;
    bool room = grow(&list, y->text_count, &y->text_capacity, sizeof *y->texts);
    y->texts = list;
    char *copy = room ? fanin__strndup(s, n) : NULL;
    if (copy) y->texts[y->text_count++] = copy;
    return copy;
}

/* In a map, an even number of children means that a key comes next. */
static bool key_expected(const fanin__yaml *y, int open) {
    return open >= 0 && y->nodes[open].kind == FANIN__YAML_MAP && y->nodes[open].count % 2 == 0;
}

static fanin_status add_node(reader *r, fanin__yaml_kind kind, yaml_mark_t at, int *index) {
    fanin__yaml *y = r->yaml;
    if (y->count >= MAX_NODES) return bad(r, FANIN_LIMIT, at, "more than 200000 values");
    if (kind != FANIN__YAML_SCALAR && key_expected(y, r->open))
        return bad(r, FANIN_FORMAT, at, "a key must be plain text");
    void *list = y->nodes;
    bool room = grow(&list, y->count, &y->capacity, sizeof *y->nodes);
    y->nodes = list;
    if (!room) return no_memory(r);
    *index = y->count++;
    y->nodes[*index] = (fanin__yaml_node){.kind = kind,
                                          .text = "",
                                          .line = (int)at.line + 1,
                                          .column = (int)at.column + 1,
                                          .parent = r->open,
                                          .next = -1,
                                          .first = -1,
                                          .last = -1};
    if (r->open < 0) return FANIN_OK;
    fanin__yaml_node *parent = &y->nodes[r->open];
    if (parent->last >= 0)
        y->nodes[parent->last].next = *index;
    else
        parent->first = *index;
    parent->last = *index;
    parent->count++;
    return FANIN_OK;
}

static bool is_key(const fanin__yaml *y, int node) {
    int parent = y->nodes[node].parent;
    return parent >= 0 && y->nodes[parent].kind == FANIN__YAML_MAP &&
           y->nodes[parent].count % 2 == 1;
}

/* Maps are short; long ones (one key a tensor) are checked against at most 4096 keys. */
static bool key_repeats(const fanin__yaml *y, int node) {
    int k = y->nodes[y->nodes[node].parent].first, seen = 0;
    while (k >= 0 && k != node && seen++ < 4096) {
        if (strcmp(y->nodes[k].text, y->nodes[node].text) == 0) return true;
        k = y->nodes[k].next >= 0 ? y->nodes[y->nodes[k].next].next : -1;
    }
    return false;
}

static fanin_status on_scalar(reader *r, const yaml_event_t *e) {
    int node;
    if (e->data.scalar.anchor) return bad(r, FANIN_FORMAT, e->start_mark, "anchors are not used");
    if (e->data.scalar.tag) return bad(r, FANIN_FORMAT, e->start_mark, "tags are not used");
    FANIN_TRY(add_node(r, FANIN__YAML_SCALAR, e->start_mark, &node));
    const char *text =
        keep_text(r->yaml, (const char *)e->data.scalar.value, e->data.scalar.length);
    if (!text) return no_memory(r);
    if (strlen(text) != e->data.scalar.length)
        return bad(r, FANIN_FORMAT, e->start_mark, "text with a zero byte");
    r->yaml->nodes[node].text = text;
    r->yaml->nodes[node].quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (!is_key(r->yaml, node)) return FANIN_OK;
    if (strcmp(text, "<<") == 0)
        return bad(r, FANIN_FORMAT, e->start_mark, "merge keys are not used");
    if (key_repeats(r->yaml, node))
        return bad(r, FANIN_FORMAT, e->start_mark, "this key stands twice in its mapping");
    return FANIN_OK;
}

static fanin_status on_open(reader *r, const yaml_event_t *e, fanin__yaml_kind kind) {
    int node;
    const yaml_char_t *anchor =
        kind == FANIN__YAML_LIST ? e->data.sequence_start.anchor : e->data.mapping_start.anchor;
    const yaml_char_t *tag =
        kind == FANIN__YAML_LIST ? e->data.sequence_start.tag : e->data.mapping_start.tag;
    if (anchor) return bad(r, FANIN_FORMAT, e->start_mark, "anchors are not used");
    if (tag) return bad(r, FANIN_FORMAT, e->start_mark, "tags are not used");
    if (++r->depth > MAX_DEPTH)
        return bad(r, FANIN_LIMIT, e->start_mark, "nested deeper than 32 levels");
    FANIN_TRY(add_node(r, kind, e->start_mark, &node));
    r->open = node;
    return FANIN_OK;
}

static void on_close(reader *r) {
    r->open = r->yaml->nodes[r->open].parent;
    r->depth--;
}

static fanin_status on_event(reader *r, const yaml_event_t *e) {
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (r->documents++) return bad(r, FANIN_FORMAT, e->start_mark, "a second document");
        return FANIN_OK;
    case YAML_ALIAS_EVENT:
        return bad(r, FANIN_FORMAT, e->start_mark,
                   "an alias; a pattern that starts with '*' must be quoted: \"*.weight\"");
    case YAML_SCALAR_EVENT: return on_scalar(r, e);
    case YAML_SEQUENCE_START_EVENT: return on_open(r, e, FANIN__YAML_LIST);
    case YAML_MAPPING_START_EVENT: return on_open(r, e, FANIN__YAML_MAP);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: on_close(r); return FANIN_OK;
    default: return FANIN_OK;
    }
}

/* "did not find expected alphabetic ..." is what libyaml says of *.weight. */
static fanin_status parser_error(reader *r, const yaml_parser_t *p) {
    if (p->error == YAML_MEMORY_ERROR) return no_memory(r);
    char text[200];
    const char *problem = p->problem ? p->problem : "not YAML";
    bool alias = strstr(problem, "alphabetic") != NULL;
    snprintf(text, sizeof text, "%s%s", problem,
             alias ? "; a pattern that starts with '*' must be quoted: \"*.weight\"" : "");
    yaml_mark_t at = p->problem_mark;
    if (p->error == YAML_READER_ERROR) {
        if (r->err) r->err->position = (int64_t)p->problem_offset;
        return fanin_err_set(r->err, FANIN_FORMAT, "%.200s byte %zu: %s", r->name,
                             p->problem_offset, text);
    }
    return bad(r, FANIN_FORMAT, at, text);
}

fanin_status fanin__yaml_parse(const void *data, size_t size, const char *name, fanin__yaml *yaml,
                               fanin_err *err) {
    *yaml = (fanin__yaml){0};
    reader r = {.yaml = yaml, .name = name, .err = err, .open = -1};
    if (size > MAX_SIZE)
        return fanin_err_set(err, FANIN_LIMIT, "%.200s: %zu bytes are more than 8 MiB", name, size);
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) return no_memory(&r);
    yaml_parser_set_input_string(&parser, data, size);
    fanin_status status = FANIN_OK;
    for (bool more = true; more && status == FANIN_OK;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            status = parser_error(&r, &parser);
            break;
        }
        more = event.type != YAML_STREAM_END_EVENT;
        status = on_event(&r, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (status != FANIN_OK) fanin__yaml_fini(yaml);
    return status;
}

void fanin__yaml_fini(fanin__yaml *yaml) {
    for (int i = 0; i < yaml->text_count; i++) fanin_free(yaml->texts[i]);
    fanin_free(yaml->texts);
    fanin_free(yaml->nodes);
    *yaml = (fanin__yaml){0};
}

int fanin__yaml_get(const fanin__yaml *yaml, int map, const char *key) {
    for (int k = yaml->nodes[map].first; k >= 0; k = yaml->nodes[yaml->nodes[k].next].next)
        if (strcmp(yaml->nodes[k].text, key) == 0) return yaml->nodes[k].next;
    return -1;
}
