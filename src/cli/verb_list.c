/* fanin list: the tables behind every name that the program accepts. */
#include <fanin/activation.h>
#include <fanin/compat.h>
#include <fanin/data.h>
#include <fanin/engine.h>
#include <fanin/graph.h>
#include <fanin/init.h>
#include <fanin/report.h>
#include <fanin/reproduce.h>
#include <fanin/scheme.h>
#include <fanin/train.h>
#include <string.h>
#include <strings.h>

#include "cli.h"

/* One row of any table: the name and labelled facts (NULL or "" facts are left out). */
enum { FACTS = 6 };
typedef struct entry {
    const char *name;
    const char *facts[FACTS];
} entry;

typedef struct kind {
    const char *name;
    const char *labels[FACTS]; /* the first one stands in the list, all in `list KIND NAME` */
    int (*count)(void);
    entry (*at)(int i);
    void (*more)(int i); /* printed behind the facts, or NULL */
} kind;

static int activation_count(void) { return (int)fanin_activation_count(); }
static entry activation_at(int i) {
    const fanin_activation_row *r = fanin_activation_row_at((size_t)i);
    return (entry){r->name, {r->formula, r->aliases, r->pairs_with, r->paper}};
}

static entry rule_at(int i) {
    fanin_rule_info r = fanin_rule_at(i);
    return (entry){
        r.name, {r.formula, r.aliases, r.options, r.elementwise ? "yes" : "no", r.source, r.note}};
}

static entry scheme_at(int i) {
    fanin_scheme_info s = fanin_scheme_at(i);
    return (entry){s.name, {s.about, s.source}};
}

static void scheme_lines(int i) {
    for (int k = 0; k < fanin_scheme_at(i).line_count; k++) {
        fanin_scheme_line line = fanin_scheme_line_at(i, k);
        printf("  %-52s %s\n", line.classes, line.rule);
    }
}

static entry optimizer_at(int i) {
    fanin_optimizer_info o = fanin_optimizer_at(i);
    return (entry){o.name, {o.formula, o.options, o.source}};
}

static entry loss_at(int i) {
    static const char *const targets[] = {"classes", "real", "in [0, 1]", "rows that sum to 1"};
    fanin_loss_info l = fanin_loss_at(i);
    return (entry){l.name, {l.formula, l.options, targets[l.target]}};
}

static entry schedule_at(int i) {
    fanin_schedule_info s = fanin_schedule_at(i);
    return (entry){s.name, {s.formula, s.options, s.source}};
}

static entry model_at(int i) {
    fanin_builtin_info m = fanin_builtin_at(i);
    return (entry){m.name, {m.about, m.grammar}};
}

static entry data_at(int i) {
    fanin_dataset_row d = fanin_dataset_at(i);
    return (entry){d.name, {d.about, d.grammar, d.files}};
}

static int stream_count(void) {
    int n = 1; /* our own stands first */
    while (fanin_compat_table((size_t)n - 1)) n++;
    return n;
}

static entry stream_at(int i) {
    if (i == 0)
        return (entry){"fanin",
                       {"counter-based, one stream a tensor name: any part of any tensor in any "
                        "order, the same bytes",
                        ""}};
    const fanin_compat_row *r = fanin_compat_table((size_t)i - 1);
    return (entry){r->name, {r->summary, r->keys}};
}

static entry paper_at(int i) {
    fanin_paper_info p = fanin_paper_at(i);
    return (entry){p.name, {p.title, p.source}};
}

static entry operator_at(int i) {
    fanin_operator_info o = fanin_operator_at(i);
    return (entry){o.name, {o.kind, o.domain[0] ? o.domain : "ai.onnx"}};
}

static const kind kinds[] = {
    {"activations",
     {"formula", "aliases", "pairs with", "paper"},
     activation_count,
     activation_at,
     NULL},
    {"rules",
     {"formula", "aliases", "options", "elementwise", "source", "note"},
     fanin_rule_count,
     rule_at,
     NULL},
    {"schemes", {"about", "source"}, fanin_scheme_count, scheme_at, scheme_lines},
    {"optimizers", {"step", "options", "source"}, fanin_optimizer_count, optimizer_at, NULL},
    {"losses", {"formula", "options", "targets"}, fanin_loss_count, loss_at, NULL},
    {"schedules", {"factor", "options", "source"}, fanin_schedule_count, schedule_at, NULL},
    {"streams", {"about", "keys"}, stream_count, stream_at, NULL},
    {"operators", {"kind", "domain"}, fanin_operator_count, operator_at, NULL},
    {"models", {"about", "grammar"}, fanin_builtin_count, model_at, NULL},
    {"data", {"about", "grammar", "files"}, fanin_dataset_count, data_at, NULL},
    {"papers", {"title", "source"}, fanin_paper_count, paper_at, NULL},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static json_t *entry_json(const kind *k, entry e) {
    json_t *o = json_object();
    json_object_set_new(o, "name", json_string(e.name));
    for (int f = 0; f < FACTS; f++) {
        char key[32];
        if (!k->labels[f]) break;
        snprintf(key, sizeof key, "%s", k->labels[f]);
        for (char *p = key; *p; p++)
            if (*p == ' ') *p = '_';
        json_object_set_new(o, key, cli_text(e.facts[f]));
    }
    return o;
}

static void print_entry(const kind *k, int i) {
    entry e = k->at(i);
    printf("%s\n", e.name);
    for (int f = 0; f < FACTS && k->labels[f]; f++)
        if (e.facts[f] && e.facts[f][0]) printf("  %-12s %s\n", k->labels[f], e.facts[f]);
    if (k->more) k->more(i);
}

static int list_all(cli *c, const kind *k) {
    if (c->json) {
        json_t *o = json_object(), *list = json_array();
        for (int i = 0; i < k->count(); i++) json_array_append_new(list, entry_json(k, k->at(i)));
        json_object_set_new(o, k->name, list);
        return cli_json(c, o);
    }
    int width = 0, room = cli_width();
    for (int i = 0; i < k->count(); i++) {
        int n = (int)strlen(k->at(i).name);
        width = n > width ? n : width;
    }
    for (int i = 0; i < k->count(); i++) {
        entry e = k->at(i);
        const char *fact = e.facts[0] ? e.facts[0] : "";
        int left = room - width - 2, n = (int)strlen(fact);
        bool cut = left > 8 && n > left;
        printf("%-*s  %.*s%s\n", width, e.name, cut ? left - 1 : n, fact, cut ? "…" : "");
    }
    return 0;
}

int verb_list(cli *c) {
    const cli_option options[] = {CLI_END};
    if (!cli_parse(c, options, 1, 2)) return c->exit_code;
    const kind *k = NULL;
    for (int i = 0; i < KINDS && !k; i++)
        if (!strcmp(kinds[i].name, c->args[0])) k = &kinds[i];
    if (!k)
        return cli_usage(c,
                         "list %s: expected activations, rules, schemes, streams, operators, "
                         "optimizers, models, "
                         "data or papers",
                         c->args[0]);
    if (c->arg_count == 1) return list_all(c, k);
    for (int i = 0; i < k->count(); i++) {
        if (strcasecmp(k->at(i).name, c->args[1]) != 0) continue;
        if (c->json) return cli_json(c, entry_json(k, k->at(i)));
        print_entry(k, i);
        return 0;
    }
    return cli_usage(c, "list %s %s: no such name; fanin list %s shows them all", k->name,
                     c->args[1], k->name);
}
