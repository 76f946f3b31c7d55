/* patterns.h - what groups of nodes mean, for the verbs that say it. */
#ifndef FANIN_CLI_PATTERNS_H
#define FANIN_CLI_PATTERNS_H

#include <fanin/graph.h>

#include "cli.h"

/* [{"kind", "count", "text", ..., "nodes": [[names of one finding], ...]}, ...] */
json_t *cli_patterns_json(const fanin_graph *graph, const fanin_patterns *patterns);
/* "patterns: 25 layer norms (...), ...", and nothing where there are none. */
void cli_patterns_print(const fanin_patterns *patterns);

#endif
