#include "repair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What may heal: a rule over the weights as they were drawn, or a scheme instead of them; the other is NULL. */
typedef struct remedy {
    const char *scheme, *rule;
} remedy;

enum { REMEDIES = 2 };

static int list_remedies(const cli_sick *sick, const fanin_signal *s, remedy *list) {
    const fanin_init_options *drawn = sick->init;
    bool automatic = drawn && (!drawn->scheme || !strcmp(drawn->scheme, "auto"));
    int n = 0;
    if (drawn && s->repair[0]) list[n++] = (remedy){.rule = s->repair};
    if (!automatic || drawn->rule_count) list[n++] = (remedy){.scheme = "auto"};
    return n;
}

static fanin_status try_remedy(const cli_sick *sick, remedy r, bool *heals) {
    fanin_init_options init = {.scheme = r.scheme, .seed = sick->seed};
    fanin_signal_options o = *sick->options;
    if (r.rule) init = *sick->init;
    const char **rules = calloc((size_t)init.rule_count + 1, sizeof *rules);
    if (!rules) return FANIN_NOMEM;
    for (int i = 0; i < init.rule_count; i++) rules[i] = init.rules[i];
    if (r.rule) rules[init.rule_count++] = r.rule;
    init.rules = rules;
    o.weights = NULL;
    o.spectrum = o.hessian = o.kernel = false;
    fanin_signal *s = NULL;
    fanin_err err = {0};
    fanin_status status = fanin_signal_measure(sick->graph, &init, &o, &s, &err);
    *heals = s && s->verdict == FANIN_VERDICT_HEALTHY;
    fanin_signal_destroy(s);
    free(rules);
    return status;
}

static char *command_of(const cli *c, remedy r) {
    static const char *const pages[] = {"html", "tensorboard", "fail-on", NULL};
    static const char *const all[] = {"html",    "tensorboard", "fail-on", "scheme", "rule",
                                      "weights", "stream",      "fans",    NULL};
    const char *const add[] = {r.scheme ? "--scheme" : "--rule", r.scheme ? r.scheme : r.rule,
                               NULL};
    return cli_command(c, r.scheme ? all : pages, add);
}

static void end_advice(fanin_signal *s, const char *text, const char *command) {
    size_t used = strlen(s->advice), more = strlen(text) + (command ? strlen(command) + 2 : 0);
    if (used + more >= sizeof s->advice) return; /* half a command is worse than none */
    snprintf(s->advice + used, sizeof s->advice - used, "%s%s%s", text, command ? ": " : "",
             command ? command : "");
}

int cli_repair(cli *c, const cli_sick *sick, fanin_signal *s, char **command) {
    remedy list[REMEDIES];
    int n = list_remedies(sick, s, list);
    *command = NULL;
    for (int i = 0; i < n && !*command; i++) {
        bool heals = false;
        fanin_status status = try_remedy(sick, list[i], &heals);
        if (status == FANIN_INTERRUPTED) return cli_fail(c, status, NULL);
        if (heals && !(*command = command_of(c, list[i]))) return cli_fail(c, FANIN_NOMEM, NULL);
    }
    if (*command)
        end_advice(s, sick->init ? "; healthy with" : "; weights drawn anew are healthy", *command);
    else
        end_advice(
            s, "; no weights that fanin tried heal it: inputs, depth or activations have to change",
            NULL);
    return 0;
}

/* Length of the first word, quotes and all. */
static size_t word_length(const char *text) {
    bool quoted = false;
    size_t n = 0;
    for (; text[n] && (quoted || text[n] != ' '); n++)
        if (text[n] == '\'') quoted = !quoted;
    return n;
}

void cli_print_command(const char *command) {
    int width = cli_width() - 2, used = printf(" ");
    for (bool start = true; *command; start = false) {
        size_t n = word_length(command);
        bool option = !strncmp(command, "--", 2), more = command[n] == ' ';
        if (option && more && command[n + 1] != '-') n += 1 + word_length(command + n + 1);
        if (!start && used + 1 + (int)n > width) {
            fputs(" \\\n   ", stdout);
            used = 3;
        }
        used += printf(" %.*s", (int)n, command);
        command += n + (command[n] == ' ');
    }
    putchar('\n');
}
