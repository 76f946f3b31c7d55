/* pattern.c - the list of findings: collected by the recognisers, sorted, grouped by what they read. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/pattern.h"

static const char *const names[] = {
    [FANIN_PATTERN_ACTIVATION] = "activation",
    [FANIN_PATTERN_LAYER_NORM] = "layer_norm",
    [FANIN_PATTERN_RMS_NORM] = "rms_norm",
    [FANIN_PATTERN_BATCH_NORM] = "batch_norm",
    [FANIN_PATTERN_INSTANCE_NORM] = "instance_norm",
    [FANIN_PATTERN_GROUP_NORM] = "group_norm",
    [FANIN_PATTERN_L2_NORM] = "l2_norm",
    [FANIN_PATTERN_SOFTMAX] = "softmax",
    [FANIN_PATTERN_ATTENTION] = "attention",
    [FANIN_PATTERN_TIED] = "tied",
    [FANIN_PATTERN_FOLDED_NORM] = "folded_norm",
    [FANIN_PATTERN_QUANTISED] = "quantised",
    [FANIN_PATTERN_FUSED] = "fused",
};

const char *fanin_pattern_kind_name(fanin_pattern_kind kind) {
    return kind > 0 && (size_t)kind < FANIN_COUNT(names) ? names[kind] : "";
}

static int by_number(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

fanin_pattern *fanin__pattern_add(fanin__finder *f, fanin_pattern_kind kind, const int *nodes,
                                  int node_count) {
    if (f->count == f->capacity) {
        int capacity = f->capacity ? 2 * f->capacity : 32;
        fanin_pattern *more = fanin_realloc(f->items, (size_t)capacity, sizeof *more);
        if (!more) {
            f->no_memory = true;
            return NULL;
        }
        f->items = more;
        f->capacity = capacity;
    }
    int *mine = fanin__arena_array(f->arena, (size_t)node_count, sizeof *mine);
    if (!mine) {
        f->no_memory = true;
        return NULL;
    }
    for (int i = 0; i < node_count; i++) {
        mine[i] = nodes[i];
        f->found_by[nodes[i]] = f->count;
    }
    if (node_count) qsort(mine, (size_t)node_count, sizeof *mine, by_number);
    fanin_pattern *p = &f->items[f->count++];
    *p = (fanin_pattern){.kind = kind,
                         .node_count = node_count,
                         .nodes = mine,
                         .input = -1,
                         .output = -1,
                         .eps = NAN,
                         .scale = -1,
                         .shift = -1,
                         .logit_scale = NAN,
                         .projections = {-1, -1, -1},
                         .tensor = -1,
                         .lookup = -1,
                         .product = -1,
                         .copy = -1};
    return p;
}

const fanin_pattern *fanin__pattern_at(const fanin__finder *f, int node) {
    return f->found_by[node] < 0 ? NULL : &f->items[f->found_by[node]];
}

/* ---- groups -------------------------------------------------------------------------------------- */

static int by_kind(const void *a, const void *b) {
    const fanin_pattern *x = a, *y = b;
    if (x->kind != y->kind) return (x->kind > y->kind) - (x->kind < y->kind);
    int m = x->node_count ? x->nodes[0] : 0, n = y->node_count ? y->nodes[0] : 0;
    if (m != n) return (m > n) - (m < n);
    return (x->tensor > y->tensor) - (x->tensor < y->tensor);
}

/* "25 layer norms (spelled out, eps 1e-5)" of "layer norm|layer norms|spelled out, eps 1e-5". A name that
 * begins with a capital and has no plural is a sentence of its own. */
static const char *count_words(fanin__finder *f, const char *words, int count) {
    fanin__text out = {0};
    const char *many = strchr(words, '|'), *more = many ? strchr(many + 1, '|') : NULL;
    if (!many || !more) {
        fanin__text_puts(&out, words);
    } else {
        const char *word = count == 1 ? words : many + 1, *end = count == 1 ? many : more;
        fanin__text_printf(&out, "%d %.*s", count, (int)(end - word), word);
        if (more[1]) fanin__text_printf(&out, " (%s)", more + 1);
    }
    const char *kept = out.failed ? NULL : fanin__arena_strdup(f->arena, out.data);
    fanin__text_fini(&out);
    if (!kept) f->no_memory = true;
    return kept;
}

typedef struct grouping {
    fanin_pattern_group *groups;
    char **words; /* by group */
    int *group_of, count;
} grouping;

static bool assign_groups(const fanin__finder *f, grouping *g) {
    for (int i = 0; i < f->count; i++) {
        fanin__text words = {0};
        fanin__pattern_words(f->graph, &f->items[i], &words);
        if (words.failed || !words.data) {
            fanin__text_fini(&words);
            return false;
        }
        int at = 0; /* findings of one kind fall into few groups */
        while (at < g->count && strcmp(g->words[at], words.data) != 0) at++;
        if (at == g->count)
            g->words[g->count++] = words.data;
        else
            fanin__text_fini(&words);
        g->groups[at].count++;
        g->group_of[i] = at;
    }
    return true;
}

static bool finish_groups(fanin__finder *f, grouping *g) {
    for (int k = 0; k < g->count; k++) {
        int *members = fanin__arena_array(f->arena, (size_t)g->groups[k].count, sizeof *members);
        if (!members) return false;
        int n = 0;
        for (int i = 0; i < f->count; i++)
            if (g->group_of[i] == k) members[n++] = i;
        g->groups[k].members = members;
        g->groups[k].text = count_words(f, g->words[k], n);
        if (!g->groups[k].text) return false;
    }
    return true;
}

static bool make_groups(fanin__finder *f, fanin_patterns *p) {
    size_t n = (size_t)f->count + 1;
    grouping g = {.groups = fanin__arena_array(f->arena, n, sizeof *g.groups),
                  .words = fanin_calloc(n, sizeof *g.words),
                  .group_of = fanin_calloc(n, sizeof *g.group_of)};
    bool good = g.groups && g.words && g.group_of;
    if (good) memset(g.groups, 0, n * sizeof *g.groups);
    good = good && assign_groups(f, &g) && finish_groups(f, &g);
    for (int k = 0; k < g.count; k++) fanin_free(g.words[k]);
    fanin_free(g.words);
    fanin_free(g.group_of);
    p->groups = g.groups;
    p->group_count = g.count;
    return good;
}

/* ---- public -------------------------------------------------------------------------------------- */

static bool search(fanin__finder *f, fanin_patterns *p) {
    fanin__find_functions(f);
    if (!f->no_memory) fanin__find_norms(f);
    if (!f->no_memory) fanin__find_attention(f);
    if (!f->no_memory) fanin__find_exports(f);
    if (f->no_memory) return false;
    if (f->count) qsort(f->items, (size_t)f->count, sizeof *f->items, by_kind);
    p->count = f->count;
    p->items = fanin__arena_copy(f->arena, f->items, (size_t)f->count * sizeof *f->items);
    return p->items && make_groups(f, p);
}

fanin_status fanin_patterns_create(const fanin_graph *graph, fanin_patterns **patterns,
                                   fanin_err *err) {
    *patterns = NULL;
    fanin_patterns *p = fanin_calloc(1, sizeof *p);
    fanin__finder f = {.graph = graph, .looks = 20000L + graph->node_count};
    f.arena = p ? p->owner = fanin_calloc(1, sizeof *f.arena) : NULL;
    f.found_by = fanin_calloc((size_t)graph->node_count + 1, sizeof *f.found_by);
    bool good = f.arena && f.found_by && fanin__wiring_create(graph, &f.w, NULL) == FANIN_OK;
    for (int i = 0; good && i < graph->node_count; i++) f.found_by[i] = -1;
    good = good && search(&f, p);
    fanin__wiring_fini(&f.w);
    fanin_free(f.found_by);
    fanin_free(f.items);
    if (good) {
        *patterns = p;
        return FANIN_OK;
    }
    fanin_patterns_destroy(p);
    return fanin_err_set(err, FANIN_NOMEM, "%.200s: no memory to recognise patterns", graph->name);
}

void fanin_patterns_destroy(fanin_patterns *patterns) {
    if (!patterns) return;
    if (patterns->owner) fanin__arena_fini(patterns->owner);
    fanin_free(patterns->owner);
    fanin_free(patterns);
}
