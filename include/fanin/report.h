/* fanin/report.h - what people look at. It computes nothing.
 *
 * Terminal tables:
 *     fanin_table *t;
 *     fanin_table_create("<layer|>mean|>std", &t);
 *     fanin_table_row(t, NULL, (const char *[]){"fc1", "0.01", "0.98"});
 *     char *text;
 *     fanin_table_render(t, 80, &text);
 */
#ifndef FANIN_REPORT_H
#define FANIN_REPORT_H

#include <fanin/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fanin_table fanin_table;

/* `columns`: headings separated by '|', each with '<' (left) or '>' (right) before it. A left column
 * headed "<~name" may be shortened in its middle when the table is too wide. */
FANIN_API fanin_status fanin_table_create(const char *columns, fanin_table **table);
FANIN_API void fanin_table_destroy(fanin_table *table);
/* Copies one cell a column. `style` is put before the row and a reset behind it ("\033[31m"), NULL: none. */
FANIN_API fanin_status fanin_table_row(fanin_table *table, const char *style,
                                       const char *const *cells);
/* The whole table as text (fanin_free), lines at most `width` columns where shortening allows. */
FANIN_API fanin_status fanin_table_render(const fanin_table *table, int width, char **text);

/* A bar of `cells` characters for a value between low and high: "███▌    ". UTF-8, into buf of
 * at least 3 * cells + 1 bytes; returns buf. */
FANIN_API const char *fanin_bar(double value, double low, double high, int cells, char *buf,
                                size_t size);

#ifdef __cplusplus
}
#endif
#endif
