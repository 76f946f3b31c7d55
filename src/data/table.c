/* table.c - the cells of a table. One pass over the bytes; cells are unquoted into one block no larger than
 * the file and a byte a cell. */
#include "data/table.h"

#include <string.h>

enum { COLUMNS_MAX = 1000000 };

typedef struct reader {
    const unsigned char *p, *end;
    char delimiter;
    const char *what;
    size_t line, column; /* from 1, for messages */
    fanin__table *t;
    char *out;
    size_t count, cell_capacity, row_capacity;
} reader;

static fanin_status wrong(const reader *r, const char *why, fanin_err *err) {
    return fanin_err_set(err, FANIN_FORMAT, "%s: line %zu, field %zu: %s", r->what, r->line,
                         r->column, why);
}

static fanin_status grow(size_t **array, size_t count, size_t *capacity, const reader *r,
                         fanin_err *err) {
    if (count < *capacity) return FANIN_OK;
    size_t more = *capacity ? 2 * *capacity : 256, *p = fanin_realloc(*array, more, sizeof *p);
    if (!p) return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", r->what);
    *array = p;
    *capacity = more;
    return FANIN_OK;
}

/* Behind the opening quote; stops behind the closing one. */
static fanin_status quoted(reader *r, fanin_err *err) {
    size_t line = r->line;
    for (r->p++; r->p < r->end; r->p++) {
        if (*r->p == '\0') return wrong(r, "a zero byte", err);
        if (*r->p == '"') {
            if (r->p + 1 < r->end && r->p[1] == '"')
                r->p++;
            else
                break;
        }
        if (*r->p == '\n') r->line++;
        *r->out++ = (char)*r->p;
    }
    if (r->p == r->end) {
        r->line = line;
        return wrong(r, "a quote is never closed", err);
    }
    r->p++;
    return FANIN_OK;
}

static bool at_line_end(const reader *r) {
    return r->p == r->end || *r->p == '\n' ||
           (*r->p == '\r' && (r->p + 1 == r->end || r->p[1] == '\n'));
}

static fanin_status field(reader *r, fanin_err *err) {
    FANIN_TRY(grow(&r->t->cells, r->count, &r->cell_capacity, r, err));
    r->t->cells[r->count++] = (size_t)(r->out - r->t->text);
    if (r->p < r->end && *r->p == '"') {
        FANIN_TRY(quoted(r, err));
        if (!at_line_end(r) && *r->p != (unsigned char)r->delimiter)
            return wrong(r, "text behind a closing quote", err);
    } else {
        for (; !at_line_end(r) && *r->p != (unsigned char)r->delimiter; r->p++) {
            if (*r->p == '"') return wrong(r, "a quote inside a field that is not quoted", err);
            if (*r->p == '\0') return wrong(r, "a zero byte", err);
            *r->out++ = (char)*r->p;
        }
    }
    *r->out++ = '\0';
    return FANIN_OK;
}

static fanin_status row(reader *r, fanin_err *err) {
    fanin__table *t = r->t;
    FANIN_TRY(grow(&t->lines, t->rows, &r->row_capacity, r, err));
    t->lines[t->rows] = r->line;
    size_t first = r->count;
    for (r->column = 1;; r->column++) {
        if (r->column > COLUMNS_MAX)
            return fanin_err_set(err, FANIN_LIMIT, "%s: line %zu has more than %d fields", r->what,
                                 r->line, COLUMNS_MAX);
        FANIN_TRY(field(r, err));
        if (at_line_end(r)) break;
        r->p++; /* the delimiter */
    }
    size_t columns = r->count - first;
    if (t->rows == 0) t->columns = columns;
    if (columns != t->columns)
        return fanin_err_set(err, FANIN_FORMAT,
                             "%s: line %zu has %zu fields, expected %zu as line %zu", r->what,
                             t->lines[t->rows], columns, t->columns, t->lines[0]);
    t->rows++;
    return FANIN_OK;
}

static void skip_line_end(reader *r) {
    if (r->p < r->end && *r->p == '\r') r->p++;
    if (r->p < r->end) r->p++;
    r->line++;
}

fanin_status fanin__table_parse(const unsigned char *bytes, size_t size, char delimiter,
                                const char *what, fanin__table *t, fanin_err *err) {
    *t = (fanin__table){0};
    reader r = {.p = bytes, .end = bytes + size, .delimiter = delimiter, .what = what, .t = t};
    r.line = 1;
    if (size >= 3 && !memcmp(bytes, "\xef\xbb\xbf", 3)) r.p += 3;
    /* a cell is at least one byte of the file, but for the last */
    t->text = r.out = fanin_malloc(size + 2);
    if (!t->text) return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", what);
    while (r.p < r.end) {
        if (!at_line_end(&r)) FANIN_TRY(row(&r, err));
        skip_line_end(&r);
    }
    return FANIN_OK;
}

void fanin__table_fini(fanin__table *t) {
    fanin_free(t->text);
    fanin_free(t->cells);
    fanin_free(t->lines);
    *t = (fanin__table){0};
}

const char *fanin__table_cell(const fanin__table *t, size_t r, size_t c) {
    return t->text + t->cells[r * t->columns + c];
}
