/* page.h - the text of a page while it grows, shared by the files that draw into it. */
#ifndef FANIN_SRC_REPORT_PAGE_H
#define FANIN_SRC_REPORT_PAGE_H

#include "base/base.h"
#include "fanin/report.h"

struct fanin_page {
    fanin__text body;
    char *title, *subtitle;
    bool in_grid; /* an open row of figures */
};

enum { FANIN__PALETTE = 8 }; /* classes c0 .. c7 of the style sheet */

/* For qsort: ascending. */
int fanin__compare_doubles(const void *a, const void *b);
/* &, <, >, quotes. */
void fanin__html_escape(fanin__text *t, const char *s);
/* At most four significant digits, "1e-05" for the far ends; NaN is an en dash. */
const char *fanin__figure_text(double v, char buf[32]);
/* A layer's name without ".weight", which nearly all share, escaped; longer than `max` code points it is
 * shortened in its middle. */
void fanin__put_layer(fanin__text *t, const char *name, int max);
void fanin__page_open_grid(fanin_page *p);

/* Everything between <style> and <script> tags. */
extern const char fanin__page_style[], fanin__page_script[];

#endif
