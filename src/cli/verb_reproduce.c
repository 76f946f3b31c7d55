/* fanin reproduce: what a paper says, measured again. */
#include <fanin/reproduce.h>
#include <math.h>
#include <string.h>

#include "cli.h"

typedef struct request {
    const char *html;
    bool all, quick, full;
} request;

static json_t *claim_json(const fanin_reproduction *r, const fanin_claim *c) {
    json_t *o = json_object();
    json_object_set_new(o, "paper", json_string(r->paper));
    json_object_set_new(o, "id", json_string(c->id));
    json_object_set_new(o, "where", json_string(c->where));
    json_object_set_new(o, "claim", json_string(c->text));
    json_object_set_new(o, "published", cli_number(c->published));
    json_object_set_new(o, "ours", cli_number(c->ours));
    json_object_set_new(o, "low", cli_number(c->low));
    json_object_set_new(o, "high", cli_number(c->high));
    json_object_set_new(o, "tolerance", cli_number(c->tolerance));
    json_object_set_new(o, "unit", cli_text(c->unit[0] ? c->unit : NULL));
    json_object_set_new(o, "verdict", json_string(fanin_claim_verdict_name(c->verdict)));
    json_object_set_new(o, "condition", cli_text(c->condition[0] ? c->condition : NULL));
    json_object_set_new(o, "measured", json_string(c->measured));
    return o;
}

static json_t *cell_json(const fanin_reproduction *r, const fanin_seed_cell *c) {
    json_t *o = json_object();
    json_object_set_new(o, "paper", json_string(r->paper));
    json_object_set_new(o, "model", json_string(c->model));
    json_object_set_new(o, "scheme", json_string(c->scheme));
    json_object_set_new(o, "optimizer", json_string(c->optimizer));
    json_object_set_new(o, "extras", json_string(c->extras));
    json_object_set_new(o, "epochs", json_integer((json_int_t)c->epochs));
    json_object_set_new(o, "seeds", json_integer((json_int_t)c->seeds));
    json_object_set_new(o, "success", cli_number(c->success));
    json_object_set_new(o, "success_low", cli_number(c->low));
    json_object_set_new(o, "success_high", cli_number(c->high));
    json_object_set_new(o, "epochs_quartile", cli_number(c->quartile));
    json_object_set_new(o, "epochs_median", cli_number(c->median));
    json_object_set_new(o, "epochs_upper_quartile", cli_number(c->upper));
    json_object_set_new(o, "dead_before", cli_number(c->dead_before));
    json_object_set_new(o, "dead_after", cli_number(c->dead_after));
    json_object_set_new(o, "twins", cli_number(c->twins));
    json_object_set_new(o, "diverged", cli_number(c->diverged));
    json_object_set_new(o, "weight_norm", cli_number(c->weight_norm));
    return o;
}

static json_t *all_json(const fanin_reproduction *const *list, int count, bool ok) {
    json_t *o = json_object(), *claims = json_array(), *cells = json_array();
    double seconds = 0;
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < list[i]->claim_count; k++)
            json_array_append_new(claims, claim_json(list[i], &list[i]->claims[k]));
        for (int k = 0; k < list[i]->cell_count; k++)
            json_array_append_new(cells, cell_json(list[i], &list[i]->cells[k]));
        seconds += list[i]->seconds;
    }
    json_object_set_new(o, "ok", json_boolean(ok));
    json_object_set_new(o, "claims", claims);
    json_object_set_new(o, "cells", cells);
    json_object_set_new(o, "seconds", cli_number(seconds));
    return o;
}

static const char *color_of(fanin_claim_verdict v) {
    switch (v) {
    case FANIN_CLAIM_REPRODUCED:
    case FANIN_CLAIM_TRUE: return "\033[32m";
    case FANIN_CLAIM_CONDITIONAL: return "\033[33m";
    default: return "\033[31m";
    }
}

/* A label, and the text beside it as a column. */
static void labelled(const char *label, const char *text) {
    int margin = printf("  %-10s", label), used = margin, width = cli_width();
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (used > margin && used + 1 + n > width) used = printf("\n%*s", margin, "") - 1;
        used += printf(" %.*s", n, text);
        text += n;
        while (*text == ' ') text++;
    }
    printf("\n");
}

static void print_claim(cli *c, const fanin_claim *x) {
    printf("%s%s%s  %s\n", cli_style(c, color_of(x->verdict)), fanin_claim_verdict_name(x->verdict),
           cli_style(c, "\033[0m"), x->id);
    labelled("claim", x->text);
    if (isfinite(x->published))
        printf("  %-10s %.10g%s%s, ours %.10g, tolerance %.2g\n", "published", x->published,
               x->unit[0] ? " " : "", x->unit, x->ours, x->tolerance);
    labelled("measured", x->measured);
    if (x->condition[0]) labelled("condition", x->condition);
    printf("\n");
}

static void print(cli *c, const fanin_reproduction *r) {
    int n[5] = {0};
    cli_wrapped(r->title, printf("%s:", r->paper));
    printf("\n");
    for (int i = 0; i < r->claim_count; i++) {
        print_claim(c, &r->claims[i]);
        n[r->claims[i].verdict]++;
    }
    const char *comma = "";
    printf("%d claim%s:", r->claim_count, r->claim_count == 1 ? "" : "s");
    for (int v = 0; v < 5; v++) {
        if (!n[v]) continue;
        printf("%s %d %s", comma, n[v], fanin_claim_verdict_name((fanin_claim_verdict)v));
        comma = ",";
    }
    printf(" (%.1f s)\n", r->seconds);
}

static bool reproduced(const fanin_reproduction *const *list, int count) {
    for (int i = 0; i < count; i++)
        for (int k = 0; k < list[i]->claim_count; k++)
            if (list[i]->claims[k].verdict == FANIN_CLAIM_MISSED) return false;
    return true;
}

enum { PAPERS_MAX = 64 };

int verb_reproduce(cli *c) {
    request r = {0};
    const cli_option options[] = {
        {"all", 0, CLI_FLAG, &r.all, NULL, "every paper of fanin list papers"},
        {"quick", 0, CLI_FLAG, &r.quick, NULL, "1 000 seeds where 10 000 are the rule"},
        {"full", 0, CLI_FLAG, &r.full, NULL, "100 000 seeds"},
        {"html", 0, CLI_TEXT, &r.html, "OUT.html", "also one self-contained page"},
        CLI_END,
    };
    if (!cli_parse(c, options, 0, PAPERS_MAX)) return c->exit_code;
    if (r.all ? c->arg_count > 0 : c->arg_count == 0)
        return cli_usage(c, "reproduce: name a paper (fanin list papers), or --all");
    if (r.quick && r.full) return cli_usage(c, "reproduce: --quick or --full, not both");
    const fanin_reproduce_options o = {.effort = r.quick  ? FANIN_EFFORT_QUICK
                                                 : r.full ? FANIN_EFFORT_FULL
                                                          : FANIN_EFFORT_NORMAL,
                                       .progress = cli_progress(c)};
    fanin_reproduction *list[PAPERS_MAX] = {0};
    int count = 0, wanted = r.all ? fanin_paper_count() : c->arg_count, code = 0;
    fanin_err err = {0};
    for (; count < wanted && count < PAPERS_MAX && !code; count++) {
        const char *name = r.all ? fanin_paper_at(count).name : c->args[count];
        fanin_status status = fanin_reproduce(name, &o, &list[count], &err);
        if (status == FANIN_OK) continue;
        cli_progress_end(c);
        code =
            status == FANIN_NOTFOUND ? cli_usage(c, "%s", err.message) : cli_fail(c, status, &err);
    }
    cli_progress_end(c);
    const fanin_reproduction *const *done = (const fanin_reproduction *const *)list;
    bool ok = !code && reproduced(done, count);
    if (!code && r.html) {
        fanin_status status = fanin_reproduction_page(done, count, r.html, &err);
        if (status != FANIN_OK) code = cli_fail(c, status, &err);
    }
    if (!code && c->json) code = cli_json(c, all_json(done, count, ok));
    for (int i = 0; !code && !c->json && i < count; i++) print(c, list[i]);
    for (int i = 0; i < PAPERS_MAX; i++) fanin_reproduction_destroy(list[i]);
    return code ? code : !ok;
}
