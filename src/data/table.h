/* table.h - comma-separated values, read by RFC 4180. */
#ifndef FANIN_SRC_DATA_TABLE_H
#define FANIN_SRC_DATA_TABLE_H

#include "data/dataset.h"

/* What stands in a table, all of it text. Cells are row by row. */
typedef struct fanin__table {
    char *text;            /* of all cells, each ended by a NUL */
    size_t *cells, *lines; /* offsets into text; line of each row */
    size_t columns, rows;
} fanin__table;

/* Splits bytes at `delimiter` and line ends (LF or CRLF). A field in double quotes may hold both, and "" for
 * a quote. A UTF-8 byte order mark and empty lines are skipped. FORMAT with line and column: a row with
 * another number of fields than the first, a quote inside a bare field or behind a quoted one, a quote that
 * is never closed, a NUL; LIMIT: more than a million columns; NOMEM. */
fanin_status fanin__table_parse(const unsigned char *bytes, size_t size, char delimiter,
                                const char *what, fanin__table *table, fanin_err *err);
void fanin__table_fini(fanin__table *t);
const char *fanin__table_cell(const fanin__table *t, size_t row, size_t column);

typedef struct fanin__table_options {
    const char
        *label; /* column by name or number from 1; NULL: target, class, label, y, or the last */
    int header; /* 1, 0; -1: a first row without numbers above a row with some is one */
    int real;   /* 1: targets are numbers; 0: classes; -1: classes unless a target has a fraction */
    double test; /* share */
} fanin__table_options;

/* Columns but the label become inputs. FORMAT names line and column of what is no finite number. */
fanin_status fanin__data_table(const unsigned char *bytes, size_t size, char delimiter,
                               const char *what, const fanin__table_options *options,
                               fanin_dataset *d, fanin_err *err);

#endif
