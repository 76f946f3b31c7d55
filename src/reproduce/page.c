/* page.c - claims, cells and success rates as a page. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/pages.h"
#include "reproduce/reproduce.h"

/* Cells of a table as one block of texts. */
typedef struct grid {
    size_t columns, rows, count;
    char (*text)[512];
    const char **cells;
} grid;

static bool grid_open(grid *g, size_t columns, size_t rows, const char *const *heads) {
    *g = (grid){.columns = columns, .rows = rows};
    size_t n = columns * (rows + 1);
    g->text = fanin_calloc(n, sizeof *g->text);
    g->cells = fanin_calloc(n, sizeof *g->cells);
    if (!g->text || !g->cells) return false;
    for (size_t i = 0; i < n; i++) g->cells[i] = g->text[i];
    for (size_t i = 0; i < columns; i++)
        snprintf(g->text[g->count++], sizeof *g->text, "%s", heads[i]);
    return true;
}

static void put(grid *g, const char *text) {
    snprintf(g->text[g->count++], sizeof *g->text, "%s", text);
}

static void put_number(grid *g, double v, double scale) {
    if (isnan(v))
        put(g, "–");
    else
        snprintf(g->text[g->count++], sizeof *g->text, "%.5g", scale * v);
}

static void grid_close(grid *g, fanin_page *p, const char *title) {
    if (g->text && g->cells) fanin_page_table(p, title, g->columns, g->rows, g->cells);
    fanin_free(g->text);
    fanin_free(g->cells);
}

static bool put_claims(fanin_page *p, const fanin_reproduction *r) {
    static const char *const heads[] = {"",     "claim",     "verdict", "published",
                                        "ours", "tolerance", "unit"};
    grid g;
    bool open = grid_open(&g, FANIN_COUNT(heads), (size_t)r->claim_count, heads);
    for (int i = 0; open && i < r->claim_count; i++) {
        const fanin_claim *c = &r->claims[i];
        put_number(&g, i + 1, 1);
        put(&g, c->text);
        put(&g, fanin_claim_verdict_name(c->verdict));
        put_number(&g, c->published, 1);
        put_number(&g, c->ours, 1);
        put_number(&g, c->tolerance, 1);
        put(&g, c->unit);
    }
    grid_close(&g, p, "Claims");
    return open;
}

static bool put_cells(fanin_page *p, const fanin_reproduction *r) {
    static const char *const heads[] = {"network",       "scheme",       "optimizer", "with",
                                        "epochs",        "seeds",        "success %", "low",
                                        "high",          "25 %",         "median",    "75 %",
                                        "dead % before", "dead % after", "diverged %"};
    grid g;
    bool open = grid_open(&g, FANIN_COUNT(heads), (size_t)r->cell_count, heads);
    for (int i = 0; open && i < r->cell_count; i++) {
        const fanin_seed_cell *c = &r->cells[i];
        put(&g, c->model);
        put(&g, c->scheme);
        put(&g, c->optimizer);
        put(&g, c->extras);
        put_number(&g, (double)c->epochs, 1);
        put_number(&g, (double)c->seeds, 1);
        put_number(&g, c->success, 100);
        put_number(&g, c->low, 100);
        put_number(&g, c->high, 100);
        put_number(&g, c->quartile, 1);
        put_number(&g, c->median, 1);
        put_number(&g, c->upper, 1);
        put_number(&g, c->dead_before, 100);
        put_number(&g, c->dead_after, 100);
        put_number(&g, c->diverged, 100);
    }
    grid_close(&g, p, "What was run: epochs are those to success, over the seeds that succeed");
    return open;
}

/* Success of the grid's cells of one activation: schemes, with and without batch norm and bias. */
enum { ROWS = 32 };
static void success_figure(fanin_page *p, const fanin_reproduction *r, const char *title,
                           const char *model) {
    double middle[ROWS], low[ROWS], high[ROWS];
    char text[ROWS][96];
    const char *names[ROWS];
    size_t n = 0, length = strlen(model);
    for (int i = 0; i < r->cell_count && n < ROWS; i++) {
        const fanin_seed_cell *c = &r->cells[i];
        const char *rest = c->model + length;
        bool normed = !strcmp(rest, ",norm=batch"), biased = !strcmp(c->extras, "bias 0.01");
        if (strncmp(c->model, model, length) != 0 || (rest[0] && !normed) ||
            strcmp(c->optimizer, "adam:lr=0.1") != 0 || (c->extras[0] && !biased) ||
            c->epochs != 500 || !strncmp(c->scheme, "constant", 8))
            continue;
        middle[n] = 100 * c->success;
        low[n] = 100 * c->low;
        high[n] = 100 * c->high;
        snprintf(text[n], sizeof text[n], "%s%s%s",
                 strcmp(c->scheme, "normal:std=0.01") != 0 ? c->scheme : "std 0.01",
                 normed ? " + BN" : "", biased ? " + bias" : "");
        names[n] = text[n];
        n++;
    }
    const fanin__intervals figure = {.title = title,
                                     .caption =
                                         "Share of seeds that solve XOR, with its 95 % interval.",
                                     .x_label = "% of seeds",
                                     .rows = n,
                                     .names = names,
                                     .low = low,
                                     .middle = middle,
                                     .high = high};
    if (n > 1) fanin__page_intervals(p, &figure);
}

/* What was measured is a sentence each: read below the table, not in it. */
static void put_sentences(fanin_page *p, const fanin_reproduction *r) {
    for (int i = 0; i < r->claim_count; i++) {
        const fanin_claim *c = &r->claims[i];
        char text[1400];
        snprintf(text, sizeof text, "%d. %s (%s) — %s%s%s. Measured: %s.", i + 1, c->text, c->where,
                 fanin_claim_verdict_name(c->verdict), c->condition[0] ? ": " : "", c->condition,
                 c->measured);
        fanin_page_paragraph(p, text);
    }
}

fanin_status fanin_reproduction_page(const fanin_reproduction *const *list, int count,
                                     const char *path, fanin_err *err) {
    fanin_page *p;
    fanin_status status = fanin_page_create("Reproduction", "What papers say, measured again", &p);
    if (status != FANIN_OK) return fanin_err_set(err, status, "%s: no memory for the page", path);
    bool room = true;
    for (int i = 0; i < count && room; i++) {
        const fanin_reproduction *r = list[i];
        fanin_page_heading(p, r->title);
        fanin_page_paragraph(p, r->source);
        room = put_claims(p, r);
        put_sentences(p, r);
        if (!r->cell_count || !room) continue;
        success_figure(p, r, "ReLU", "mlp:2-2-1,act=relu");
        success_figure(p, r, "Sigmoid", "mlp:2-2-1,act=sigmoid");
        room = put_cells(p, r);
    }
    status = room ? fanin_page_save(p, path, err)
                  : fanin_err_set(err, FANIN_NOMEM, "%s: no memory for the page", path);
    fanin_page_destroy(p);
    return status;
}
