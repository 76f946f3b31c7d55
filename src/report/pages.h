/* pages.h - parts that whole pages share. */
#ifndef FANIN_SRC_REPORT_PAGES_H
#define FANIN_SRC_REPORT_PAGES_H

#include "report/page.h"

/* Cells of a table, collected row by row. Zero-initialise; fanin__put_table releases them. */
typedef struct fanin__cells {
    char **items;
    size_t count, capacity;
    bool failed;
} fanin__cells;

void fanin__cell(fanin__cells *c, const char *format, ...) FANIN_PRINTF(2, 3);
void fanin__cell_number(fanin__cells *c, double v);
void fanin__heads(fanin__cells *c, const char *const *names); /* NULL ends */
void fanin__put_table(fanin_page *p, const char *title, size_t columns, fanin__cells *c);

enum { FANIN__SIGNALS_MAX = 16 };

typedef double fanin__layer_figure(const fanin_layer_signal *l);
typedef struct fanin__layer_curve {
    const char *title, *caption, *y_label;
    bool log;
    fanin__layer_figure *figure, *predicted, *spread; /* NULL: none; spread in decades */
} fanin__layer_curve;

/* One line a signal over the layers, of a single one with what is predicted and a band; nothing where no signal
 * has the figure. */
void fanin__layer_chart(fanin_page *p, const fanin__layer_curve *curve,
                        const fanin_signal *const *signals, const char *const *names, size_t count);
/* Spread, gradients and likeness by layer, one line a signal; FANIN__SIGNALS_MAX at most. */
void fanin__layer_charts(fanin_page *p, const fanin_signal *const *signals,
                         const char *const *names, size_t count);
/* Distributions of h (or of its gradient) of up to 20 layers on one axis. */
void fanin__signal_ridges(fanin_page *p, const char *title, const char *caption,
                          const char *x_label, const fanin_signal *s, bool gradient);

/* Medians with their intervals, one row each, best on top. */
typedef struct fanin__intervals {
    const char *title, *caption, *x_label;
    size_t rows;
    const char *const *names;
    const double *low, *middle, *high; /* NaN: not known */
} fanin__intervals;
void fanin__page_intervals(fanin_page *p, const fanin__intervals *i);

#endif
