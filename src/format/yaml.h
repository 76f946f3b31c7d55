/* yaml.h - a YAML file as a bounded tree: text, line and column of every scalar, nothing typed.
 *
 * Limits: file 8 MiB, depth 32, 200 000 nodes. Anchors, aliases, tags and merge keys are refused, keys
 * of a mapping are unique. */
#ifndef FANIN_SRC_FORMAT_YAML_H
#define FANIN_SRC_FORMAT_YAML_H

#include "base/base.h"

typedef enum fanin__yaml_kind {
    FANIN__YAML_SCALAR,
    FANIN__YAML_LIST,
    FANIN__YAML_MAP
} fanin__yaml_kind;

typedef struct fanin__yaml_node {
    fanin__yaml_kind kind;
    const char *text; /* of a scalar */
    bool quoted;
    int line, column;       /* from 1 */
    int parent, next;       /* indices; -1: none */
    int first, last, count; /* children; of a map key, value, key, value ... and count of pairs */
} fanin__yaml_node;

typedef struct fanin__yaml {
    fanin__yaml_node *nodes; /* [0] is the root; none: empty file */
    int count, capacity;
    char **texts;
    int text_count, text_capacity;
} fanin__yaml;

/* `name` is for messages. FORMAT, LIMIT or NOMEM with line and column. */
fanin_status fanin__yaml_parse(const void *data, size_t size, const char *name, fanin__yaml *yaml,
                               fanin_err *err);
void fanin__yaml_fini(fanin__yaml *yaml);
/* The value of a key in map `map`, -1 if there is none. */
int fanin__yaml_get(const fanin__yaml *yaml, int map, const char *key);

#endif
