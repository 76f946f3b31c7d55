/* table.c - text tables that fit a terminal. Widths count code points: names may hold UTF-8. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "fanin/report.h"

enum { COLUMNS_MAX = 24 };

typedef struct row {
    char *style;
    char **cells;
} row;

struct fanin_table {
    int columns;
    char *heads[COLUMNS_MAX];
    bool right[COLUMNS_MAX], shrinks[COLUMNS_MAX];
    row *rows;
    size_t count, capacity;
};

static int text_width(const char *s) {
    int n = 0;
    for (; *s; s++) n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

fanin_status fanin_table_create(const char *columns, fanin_table **out) {
    *out = NULL;
    fanin_table *t = fanin_calloc(1, sizeof *t);
    if (!t) return FANIN_NOMEM;
    for (const char *p = columns; t->columns < COLUMNS_MAX;) {
        size_t n = strcspn(p, "|");
        int c = t->columns++;
        const char *head = p;
        size_t length = n;
        t->right[c] = length > 0 && *head == '>';
        if (length > 0 && (*head == '>' || *head == '<')) head++, length--;
        if (length > 0 && *head == '~') t->shrinks[c] = true, head++, length--;
        t->heads[c] = fanin__strndup(head, length);
        if (!t->heads[c]) {
            fanin_table_destroy(t);
            return FANIN_NOMEM;
        }
        if (p[n] == '\0') break;
        p += n + 1;
    }
    *out = t;
    return FANIN_OK;
}

static void row_fini(row *r, int columns) {
    for (int c = 0; c < columns && r->cells; c++) fanin_free(r->cells[c]);
    fanin_free(r->cells);
    fanin_free(r->style);
}

void fanin_table_destroy(fanin_table *t) {
    if (!t) return;
    for (int c = 0; c < t->columns; c++) fanin_free(t->heads[c]);
    for (size_t r = 0; r < t->count; r++) row_fini(&t->rows[r], t->columns);
    fanin_free(t->rows);
    fanin_free(t);
}

fanin_status fanin_table_row(fanin_table *t, const char *style, const char *const *cells) {
    if (t->count == t->capacity) {
        size_t capacity = t->capacity ? 2 * t->capacity : 32;
        row *rows = fanin_realloc(t->rows, capacity, sizeof *rows);
        if (!rows) return FANIN_NOMEM;
        t->rows = rows;
        t->capacity = capacity;
    }
    row r = {NULL, fanin_calloc((size_t)t->columns, sizeof(char *))};
    bool ok = r.cells && (!style || !*style || (r.style = fanin__strdup(style)) != NULL);
    for (int c = 0; c < t->columns && ok; c++)
        ok = (r.cells[c] = fanin__strdup(cells[c] ? cells[c] : "")) != NULL;
    if (!ok) {
        row_fini(&r, t->columns);
        return FANIN_NOMEM;
    }
    t->rows[t->count++] = r;
    return FANIN_OK;
}

static void widths(const fanin_table *t, int limit, int *width) {
    int total = 2 * (t->columns - 1);
    for (int c = 0; c < t->columns; c++) {
        width[c] = text_width(t->heads[c]);
        for (size_t r = 0; r < t->count; r++) {
            int w = text_width(t->rows[r].cells[c]);
            if (w > width[c]) width[c] = w;
        }
        total += width[c];
    }
    while (total > limit) { /* shorten the widest column that may shrink */
        int widest = -1;
        for (int c = 0; c < t->columns; c++)
            if (t->shrinks[c] && width[c] > 8 && (widest < 0 || width[c] > width[widest]))
                widest = c;
        if (widest < 0) break;
        width[widest]--;
        total--;
    }
}

/* The byte behind the first n code points. */
static const char *skip_points(const char *s, int n) {
    while (*s && n > 0) {
        s++;
        while (((unsigned char)*s & 0xc0) == 0x80) s++;
        n--;
    }
    return s;
}

static void put_cell(fanin__text *out, const char *cell, int width, bool right, bool last) {
    int w = text_width(cell);
    if (w > width) { /* keep both ends: names differ there */
        int head = (width - 1) / 2, tail = width - 1 - head;
        fanin__text_append(out, cell, (size_t)(skip_points(cell, head) - cell));
        fanin__text_puts(out, "…");
        fanin__text_puts(out, skip_points(cell, w - tail));
        return;
    }
    if (right) fanin__text_printf(out, "%*s", width - w, "");
    fanin__text_puts(out, cell);
    if (!right && !last) fanin__text_printf(out, "%*s", width - w, "");
}

fanin_status fanin_table_render(const fanin_table *t, int limit, char **text) {
    int width[COLUMNS_MAX];
    fanin__text out = {0};
    widths(t, limit, width);
    for (size_t r = 0; r <= t->count; r++) {
        char *const *cells = r == 0 ? t->heads : t->rows[r - 1].cells;
        const char *style = r == 0 ? NULL : t->rows[r - 1].style;
        if (style) fanin__text_puts(&out, style);
        for (int c = 0; c < t->columns; c++) {
            if (c) fanin__text_puts(&out, "  ");
            put_cell(&out, cells[c], width[c], t->right[c], c + 1 == t->columns);
        }
        while (!out.failed && out.length > 0 && out.data[out.length - 1] == ' ')
            out.data[--out.length] = '\0'; /* empty last cells and the rest of a bar */
        if (style) fanin__text_puts(&out, "\033[0m");
        fanin__text_puts(&out, "\n");
    }
    *text = out.data;
    if (!out.failed && out.data) return FANIN_OK;
    fanin__text_fini(&out);
    *text = NULL;
    return FANIN_NOMEM;
}

const char *fanin_bar(double value, double low, double high, int cells, char *buf, size_t size) {
    static const char *const parts[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};
    double share = high > low ? (value - low) / (high - low) : 0;
    if (!(share > 0)) share = 0;
    if (share > 1) share = 1;
    int eighths = (int)lround(share * 8 * cells);
    size_t at = 0;
    for (int i = 0; i < cells && at + 4 < size; i++) {
        int part = eighths - 8 * i;
        const char *s = parts[part < 0 ? 0 : part > 8 ? 8 : part];
        size_t n = strlen(s);
        memcpy(buf + at, s, n);
        at += n;
    }
    buf[at] = '\0';
    return buf;
}
