/* plan_text.c - a plan as a scheme file: a line for each class with the rule that most of its tensors
 * have, then the exceptions by name. Reading it back gives the same plan. */
#include <string.h>

#include "scheme/plan.h"

/* "a*b" -> "a[*]b": names as globs that match themselves. */
static void put_pattern(fanin__text *out, const char *name) {
    fanin__text_puts(out, "\"");
    if (strncmp(name, "re:", 3) == 0) {
        fanin__text_puts(out, "[r]e:");
        name += 3;
    }
    for (const char *s = name; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '*' || c == '?' || c == '[')
            fanin__text_printf(out, "[%c]", c);
        else if (c == '"' || c == '\\')
            fanin__text_printf(out, "\\%c", c);
        else if (c < 32 || c == 127)
            fanin__text_printf(out, "\\x%02x", c);
        else
            fanin__text_append(out, s, 1);
    }
    fanin__text_puts(out, "\"");
}

/* The most common rule of a class; the first of equals. */
static const char *usual_rule(const fanin_plan *p, int cls, int *members) {
    const char *best = NULL;
    int most = 0;
    *members = 0;
    for (int i = 0; i < p->count; i++) {
        if (p->rows[i].keep || (int)p->rows[i].tensor.cls != cls) continue;
        ++*members;
        if (best && strcmp(best, p->rows[i].rule_text) == 0) continue;
        int n = 0;
        for (int k = i; k < p->count; k++)
            n += !p->rows[k].keep && (int)p->rows[k].tensor.cls == cls &&
                 strcmp(p->rows[k].rule_text, p->rows[i].rule_text) == 0;
        if (n > most) {
            most = n;
            best = p->rows[i].rule_text;
        }
        if (2 * most > p->count) break;
    }
    return best;
}

char *fanin_plan_scheme_text(const fanin_plan *plan) {
    enum { CLASSES = 32 };
    const char *usual[CLASSES] = {0};
    fanin__text out = {0};
    fanin__text_printf(&out, "# what fanin gives %s with %s\nrules:\n", plan->graph->name,
                       plan->scheme.name);
    for (int c = 0; c < CLASSES; c++) {
        int members;
        usual[c] = usual_rule(plan, c, &members);
        if (!usual[c]) continue;
        fanin__text_printf(&out, "  - class: %s\n    rule: \"%s\"\n",
                           fanin_class_name((fanin_class)c), usual[c]);
    }
    for (int i = 0; i < plan->count; i++) {
        const fanin_plan_row *r = &plan->rows[i];
        if (r->keep || strcmp(r->rule_text, usual[r->tensor.cls]) == 0) continue;
        fanin__text_puts(&out, "  - match: ");
        put_pattern(&out, r->tensor.name);
        fanin__text_printf(&out, "\n    rule: \"%s\"\n", r->rule_text);
    }
    if (!out.failed) return out.data;
    fanin__text_fini(&out);
    return NULL;
}
