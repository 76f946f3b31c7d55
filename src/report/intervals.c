/* intervals.c - medians with intervals as a figure: one row a configuration, a bar from low to high, a dot at
 * the median. */
#include <math.h>

#include "report/pages.h"

enum { WIDTH = 640, LEFT = 262, RIGHT = 24, ROW = 26, TOP = 8, BOTTOM = 46 };

static double place(double v, double low, double high) {
    return LEFT + (WIDTH - LEFT - RIGHT) * (high > low ? (v - low) / (high - low) : 0.5);
}

static void range_of(const fanin__intervals *f, double *low, double *high) {
    *low = INFINITY;
    *high = -INFINITY;
    for (size_t i = 0; i < f->rows; i++) {
        const double v[] = {f->low[i], f->middle[i], f->high[i]};
        for (int k = 0; k < 3; k++) {
            if (!isfinite(v[k])) continue;
            *low = fmin(*low, v[k]);
            *high = fmax(*high, v[k]);
        }
    }
    if (!(*low <= *high)) *low = 0, *high = 1;
    double room = 0.04 * (*high - *low);
    if (!(room > 0)) room = *high != 0 ? 0.1 * fabs(*high) : 1;
    *low -= room;
    *high += room;
}

static void draw_scale(fanin__text *t, double low, double high, double base) {
    double raw = (high - low) / 5, ten = pow(10, floor(log10(raw)));
    double step = raw > 5 * ten ? 10 * ten : raw > 2 * ten ? 5 * ten : raw > ten ? 2 * ten : ten;
    char text[32];
    for (int k = (int)ceil(low / step); k <= (int)floor(high / step); k++) {
        double at = place(k * step, low, high);
        fanin__text_printf(t,
                           "<line class=g x1=%.1f x2=%.1f y1=%d y2=%.1f />"
                           "<text x=%.1f y=%.1f text-anchor=middle>%s</text>\n",
                           at, at, TOP, base, at, base + 18, fanin__figure_text(k * step, text));
    }
}

static void draw_row(fanin__text *t, const fanin__intervals *f, size_t i, double low, double high) {
    double y = TOP + ROW * ((double)i + 0.5);
    char a[32], b[32], c[32];
    fanin__text_printf(t, "<text class=r x=%d y=%.1f text-anchor=end>", LEFT - 8, y + 4.5);
    fanin__put_layer(t, f->names[i], 26);
    fanin__text_puts(t, "</text>\n");
    if (!isfinite(f->middle[i])) {
        fanin__text_printf(t, "<text class=r x=%d y=%.1f>diverged</text>\n", LEFT + 6, y + 4.5);
        return;
    }
    fanin__text_puts(t, "<g class=c0><title>");
    fanin__html_escape(t, f->names[i]);
    fanin__text_printf(t, ": %s (%s to %s)</title>", fanin__figure_text(f->middle[i], a),
                       fanin__figure_text(f->low[i], b), fanin__figure_text(f->high[i], c));
    if (isfinite(f->low[i]) && isfinite(f->high[i]))
        fanin__text_printf(t, "<line x1=%.1f x2=%.1f y1=%.1f y2=%.1f stroke-width=3 />",
                           place(f->low[i], low, high), place(f->high[i], low, high), y, y);
    fanin__text_printf(t, "<circle r=5 cx=%.1f cy=%.1f /></g>\n", place(f->middle[i], low, high),
                       y);
}

void fanin__page_intervals(fanin_page *p, const fanin__intervals *f) {
    fanin__text *t = &p->body;
    double low, high, base = TOP + ROW * (double)f->rows;
    range_of(f, &low, &high);
    fanin__page_open_grid(p);
    fanin__text_puts(t, "<figure class=intervals><figcaption><b>");
    fanin__html_escape(t, f->title);
    fanin__text_puts(t, "</b>");
    fanin__html_escape(t, f->caption);
    fanin__text_printf(t, "</figcaption>\n<svg viewBox=\"0 0 %d %.0f\" role=img aria-label=\"",
                       WIDTH, base + BOTTOM);
    fanin__html_escape(t, f->title);
    fanin__text_puts(t, "\">\n");
    draw_scale(t, low, high, base);
    for (size_t i = 0; i < f->rows; i++) draw_row(t, f, i, low, high);
    fanin__text_printf(t, "<text x=%d y=%.0f text-anchor=middle>", (LEFT + WIDTH - RIGHT) / 2,
                       base + BOTTOM - 6);
    fanin__html_escape(t, f->x_label);
    fanin__text_puts(t, "</text>\n</svg></figure>\n");
}
