#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/page.h"

void fanin__html_escape(fanin__text *t, const char *s) {
    for (; *s; s++) {
        switch (*s) {
        case '&': fanin__text_puts(t, "&amp;"); break;
        case '<': fanin__text_puts(t, "&lt;"); break;
        case '>': fanin__text_puts(t, "&gt;"); break;
        case '"': fanin__text_puts(t, "&quot;"); break;
        case '\'': fanin__text_puts(t, "&#39;"); break;
        default: fanin__text_append(t, s, 1);
        }
    }
}

static const char *skip_points(const char *s, const char *end, int n) {
    for (; s < end && n > 0; n--) do
            s++;
        while (s < end && ((unsigned char)*s & 0xc0) == 0x80);
    return s;
}

size_t fanin_layer_name_length(const char *name) {
    size_t n = strlen(name), tail = strlen(".weight");
    return n > tail && !strcmp(name + n - tail, ".weight") ? n - tail : n;
}

void fanin__put_layer(fanin__text *t, const char *name, int max) {
    char head[96];
    const char *end = name + fanin_layer_name_length(name);
    int points = 0, left = max / 2;
    for (const char *s = name; s < end; s = skip_points(s, end, 1)) points++;
    const char *cut = points > max ? skip_points(name, end, left) : end;
    snprintf(head, sizeof head, "%.*s", (int)(cut - name), name);
    fanin__html_escape(t, head);
    if (points <= max) return;
    fanin__text_puts(t, "…");
    cut = skip_points(name, end, points - (max - 1 - left));
    snprintf(head, sizeof head, "%.*s", (int)(end - cut), cut);
    fanin__html_escape(t, head);
}

int fanin__compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

const char *fanin__figure_text(double v, char buf[32]) {
    if (isnan(v))
        snprintf(buf, 32, "–");
    else
        snprintf(buf, 32, "%.4g", v);
    return buf;
}

fanin_status fanin_page_create(const char *title, const char *subtitle, fanin_page **out) {
    *out = NULL;
    fanin_page *p = fanin_calloc(1, sizeof *p);
    if (!p) return FANIN_NOMEM;
    p->title = fanin__strdup(title);
    p->subtitle = fanin__strdup(subtitle ? subtitle : "");
    if (!p->title || !p->subtitle) {
        fanin_page_destroy(p);
        return FANIN_NOMEM;
    }
    *out = p;
    return FANIN_OK;
}

void fanin_page_destroy(fanin_page *p) {
    if (!p) return;
    fanin__text_fini(&p->body);
    fanin_free(p->title);
    fanin_free(p->subtitle);
    fanin_free(p);
}

void fanin__page_open_grid(fanin_page *p) {
    if (!p->in_grid) fanin__text_puts(&p->body, "<div class=grid>\n");
    p->in_grid = true;
}

static void close_grid(fanin_page *p) {
    if (p->in_grid) fanin__text_puts(&p->body, "</div>\n");
    p->in_grid = false;
}

static void element(fanin_page *p, const char *tag, const char *text) {
    close_grid(p);
    fanin__text_printf(&p->body, "<%s>", tag);
    fanin__html_escape(&p->body, text);
    fanin__text_printf(&p->body, "</%s>\n", tag);
}

void fanin_page_heading(fanin_page *p, const char *text) { element(p, "h2", text); }

void fanin_page_paragraph(fanin_page *p, const char *text) { element(p, "p", text); }

void fanin_page_link(fanin_page *p, const char *href, const char *text) {
    close_grid(p);
    fanin__text_puts(&p->body, "<p><a href=\"");
    fanin__html_escape(&p->body, href);
    fanin__text_puts(&p->body, "\">");
    fanin__html_escape(&p->body, text);
    fanin__text_puts(&p->body, "</a></p>\n");
}

/* A data URL takes all but a few characters as they are. */
static void put_url(fanin__text *t, const char *s) {
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '%' || c == '#' || c == '"' || c == '<' || c == '>' || c < ' ' || c >= 0x7f)
            fanin__text_printf(t, "%%%02X", c);
        else
            fanin__text_append(t, s, 1);
    }
}

void fanin_page_picture(fanin_page *p, const char *title, const char *caption, const char *svg) {
    fanin__text *t = &p->body;
    fanin__page_open_grid(p);
    fanin__text_puts(t, "<figure class=picture><figcaption><b>");
    fanin__html_escape(t, title);
    fanin__text_puts(t, "</b>");
    fanin__html_escape(t, caption);
    fanin__text_puts(t, "</figcaption>\n<div class=scroll tabindex=0><img alt=\"");
    fanin__html_escape(t, caption);
    fanin__text_puts(t, "\" src=\"data:image/svg+xml,");
    put_url(t, svg);
    fanin__text_puts(t, "\"></div></figure>\n");
}

static bool numeric(const char *cell) {
    const char *end;
    fanin__parse_double(cell, &end);
    return end != cell || cell[0] == '\0' || !strcmp(cell, "–");
}

static bool numeric_column(size_t columns, size_t rows, const char *const *cells, size_t c) {
    for (size_t r = 1; r <= rows; r++)
        if (!numeric(cells[r * columns + c])) return false;
    return rows > 0;
}

/* Prose may wrap; names and figures may not. */
static const char *cell_class(size_t columns, size_t rows, const char *const *cells, size_t r,
                              size_t c) {
    enum { PROSE = 28 };
    const char *cell = cells[r * columns + c];
    if (numeric_column(columns, rows, cells, c))
        return cell && !strcmp(cell, "–") ? " class=\"n none\"" : " class=n";
    return cell && strlen(cell) > PROSE && strchr(cell, ' ') ? " class=w" : "";
}

/* What a cell says of itself where rows are stacked: its heading. */
static void put_heading(fanin__text *t, const char *heading) {
    fanin__text_puts(t, " data-h=\"");
    fanin__html_escape(t, heading ? heading : "");
    fanin__text_puts(t, "\"");
}

void fanin_page_table(fanin_page *p, const char *title, size_t columns, size_t rows,
                      const char *const *cells) {
    enum { SIDE_BY_SIDE = 6 }; /* more columns do not fit a narrow page: each row becomes a block */
    fanin__text *t = &p->body;
    bool stack = columns > SIDE_BY_SIDE;
    close_grid(p);
    fanin__text_printf(t, "<div class=scroll tabindex=0><table%s><caption>",
                       stack ? " class=stack" : "");
    fanin__html_escape(t, title);
    fanin__text_puts(t, "</caption>\n");
    for (size_t r = 0; r <= rows; r++) {
        fanin__text_puts(t, r == 0 ? "<thead><tr>" : "<tr>");
        for (size_t c = 0; c < columns; c++) {
            const char *cell = cells[r * columns + c];
            const char *tag = r == 0 ? "th" : "td";
            fanin__text_printf(t, "<%s%s", tag, cell_class(columns, rows, cells, r, c));
            if (stack && r > 0) put_heading(t, cells[c]);
            fanin__text_puts(t, ">");
            fanin__html_escape(t, cell ? cell : "");
            fanin__text_printf(t, "</%s>", tag);
        }
        fanin__text_puts(t, r == 0 ? "</tr></thead>\n<tbody>" : "</tr>\n");
    }
    fanin__text_puts(t, "</tbody></table></div>\n");
}

fanin_status fanin_page_save(fanin_page *p, const char *path, fanin_err *err) {
    close_grid(p);
    fanin__text t = {0};
    fanin__text_puts(
        &t, "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n"
            "<meta name=viewport content=\"width=device-width,initial-scale=1\">\n"
            "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src "
            "'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n<title>");
    fanin__html_escape(&t, p->title);
    fanin__text_printf(&t, "</title>\n<style>%s</style>\n<body>\n<main>\n<h1>", fanin__page_style);
    fanin__html_escape(&t, p->title);
    fanin__text_puts(&t, "</h1>\n<p class=lead>");
    fanin__html_escape(&t, p->subtitle);
    fanin__text_puts(&t, "</p>\n");
    fanin__text_append(&t, p->body.data ? p->body.data : "", p->body.length);
    fanin__text_printf(
        &t,
        "<footer>fanin %s</footer>\n</main>\n<div id=tip role=status></div>\n<script>%s</script>\n",
        fanin_version(), fanin__page_script);
    fanin_status status = t.failed || p->body.failed
                              ? fanin_err_set(err, FANIN_NOMEM, "%s: no memory for the page", path)
                              : fanin__file_write(path, t.data, t.length, err);
    fanin__text_fini(&t);
    return status;
}
