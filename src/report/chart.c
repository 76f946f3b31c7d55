/* chart.c - line charts and ridges as SVG inside a page. The table under a chart holds every number that
 * the chart shows; the script reads it for hover. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/page.h"

enum { WIDTH = 640, HEIGHT = 330, LEFT = 74, RIGHT = 14, TOP = 10, BOTTOM = 54, TICKS_MAX = 16 };

typedef struct axis {
    double low, high; /* in log10 where log */
    bool log;
    double from, to; /* pixels */
    double ticks[TICKS_MAX];
    int tick_count;
} axis;

static double position(const axis *a, double v) {
    double t = a->log ? log10(v) : v;
    double share = a->high > a->low ? (t - a->low) / (a->high - a->low) : 0.5;
    return a->from + (a->to - a->from) * share;
}

static bool drawable(const axis *a, double v) { return isfinite(v) && (!a->log || v > 0); }

static void widen(axis *a, const double *v, size_t n) {
    for (size_t i = 0; v && i < n; i++) {
        if (!drawable(a, v[i])) continue;
        double t = a->log ? log10(v[i]) : v[i];
        a->low = fmin(a->low, t);
        a->high = fmax(a->high, t);
    }
}

/* Steps of 1, 2, 5 times a power of ten, about `want` of them. */
static void linear_ticks(axis *a, int want, bool snug) {
    double span = a->high - a->low;
    if (!(span > 0))
        span = fabs(a->low) > 0 ? fabs(a->low) * 0.2 : 1, a->high += span / 2,
        a->low -= a->low != 0 ? span / 2 : 0, span = a->high - a->low;
    double raw = span / want, ten = pow(10, floor(log10(raw))), step = ten;
    if (raw > 5 * ten)
        step = 10 * ten;
    else if (raw > 2 * ten)
        step = 5 * ten;
    else if (raw > ten)
        step = 2 * ten;
    if (!snug) {
        a->low = floor(a->low / step + 1e-9) * step;
        a->high = ceil(a->high / step - 1e-9) * step;
    }
    for (double v = ceil(a->low / step - 1e-9) * step;
         v <= a->high + step * 1e-9 && a->tick_count < TICKS_MAX; v += step)
        a->ticks[a->tick_count++] = fabs(v) < step * 1e-6 ? 0 : v;
}

static void log_ticks(axis *a) {
    a->low = floor(a->low + 1e-9);
    a->high = ceil(a->high - 1e-9);
    if (a->high <= a->low) a->high = a->low + 1;
    double step = ceil((a->high - a->low) / 7);
    for (double t = a->low; t <= a->high + 1e-9 && a->tick_count < TICKS_MAX; t += step)
        a->ticks[a->tick_count++] = pow(10, t);
}

static void finish_axis(axis *a, int want, bool snug) {
    if (!(a->high >= a->low)) a->low = 0, a->high = 1;
    if (a->log)
        log_ticks(a);
    else
        linear_ticks(a, want, snug);
}

static void tick_text(const axis *a, double v, char buf[32]) {
    if (a->log && (v >= 1e5 || v < 1e-3))
        snprintf(buf, 32, "1e%d", (int)lround(log10(v)));
    else if (fabs(v) >= 1e4 && fabs(v) < 1e6 && fmod(v, 1000) == 0)
        snprintf(buf, 32, "%gk", v / 1000);
    else
        snprintf(buf, 32, "%.4g", v);
}

static void draw_y(fanin__text *t, const axis *y, const char *label) {
    char text[32];
    for (int i = 0; i < y->tick_count; i++) {
        double at = position(y, y->ticks[i]);
        tick_text(y, y->ticks[i], text);
        fanin__text_printf(t,
                           "<line class=g x1=%d x2=%d y1=%.1f y2=%.1f />"
                           "<text x=%d y=%.1f text-anchor=end>%s</text>\n",
                           LEFT, WIDTH - RIGHT, at, at, LEFT - 7, at + 4.5, text);
    }
    fanin__text_printf(
        t, "<text class=yl transform=\"translate(12 %d) rotate(-90)\" text-anchor=middle>",
        (TOP + HEIGHT - BOTTOM) / 2);
    fanin__html_escape(t, label ? label : "");
    fanin__text_puts(t, "</text>\n");
}

/* Every how many layers a name stands under the axis: long names need more room. */
static size_t label_step(const fanin_chart *c) {
    size_t longest = 0;
    for (size_t i = 0; c->x_names && i < c->x_name_count; i++)
        longest = strlen(c->x_names[i]) > longest ? strlen(c->x_names[i]) : longest;
    size_t labels = longest > strlen(".weight") + 6 ? 4 : 7;
    return c->x_names ? (c->x_name_count + labels - 1) / labels : 1;
}

static void draw_x(fanin__text *t, const axis *x, const fanin_chart *c) {
    char text[32];
    int base = HEIGHT - BOTTOM;
    fanin__text_printf(t, "<line class=axis x1=%d x2=%d y1=%d y2=%d />\n", LEFT, WIDTH - RIGHT,
                       base, base);
    size_t skip = label_step(c);
    if (c->x_names) {
        for (size_t i = 0; i < c->x_name_count; i += skip) {
            fanin__text_printf(t, "<text%s x=%.1f y=%d text-anchor=middle>",
                               i / skip % 2 ? " class=\"xl odd\"" : " class=xl",
                               position(x, (double)i), base + 18);
            fanin__put_layer(t, c->x_names[i], 14);
            fanin__text_puts(t, "</text>\n");
        }
    } else {
        for (int i = 0; i < x->tick_count; i++) {
            tick_text(x, x->ticks[i], text);
            fanin__text_printf(t, "<text class=xl x=%.1f y=%d text-anchor=middle>%s</text>\n",
                               position(x, x->ticks[i]), base + 18, text);
        }
    }
    fanin__text_printf(t, "<text x=%d y=%d text-anchor=middle>", (LEFT + WIDTH - RIGHT) / 2,
                       HEIGHT - 6);
    fanin__html_escape(t, c->x_label ? c->x_label : "");
    fanin__text_puts(t, "</text>\n");
}

/* A chart is some 600 pixels wide: of more points than that evenly spaced ones are shown, both ends among them. */
enum { POINTS = 600 };
static size_t point_count(const fanin_series *s) { return s->n < POINTS ? s->n : POINTS; }
static size_t point(const fanin_series *s, size_t k) {
    return s->n > POINTS ? k * (s->n - 1) / (POINTS - 1) : k;
}

static void put_corner(fanin__text *t, const fanin_series *s, const double *edge, size_t i,
                       const axis *x, const axis *y) {
    if (drawable(y, edge[i]))
        fanin__text_printf(t, "%.1f,%.1f ", position(x, s->x[i]), position(y, edge[i]));
}

static void draw_series(fanin__text *t, const fanin_series *s, size_t index, const axis *x,
                        const axis *y) {
    size_t color = index % FANIN__PALETTE, count = point_count(s);
    if (s->low && s->high) {
        fanin__text_printf(t, "<polygon class=\"b c%zu\" points=\"", color);
        for (size_t k = 0; k < count; k++) put_corner(t, s, s->high, point(s, k), x, y);
        for (size_t k = count; k-- > 0;) put_corner(t, s, s->low, point(s, k), x, y);
        fanin__text_puts(t, "\"/>\n");
    }
    fanin__text_printf(t, "<path class=\"s c%zu%s\" style=fill:none d=\"", color,
                       s->dashed ? " d" : "");
    bool pen = false;
    for (size_t k = 0; k < count; k++) {
        size_t i = point(s, k);
        bool here = drawable(x, s->x[i]) && drawable(y, s->y[i]);
        if (here)
            fanin__text_printf(t, "%c%.1f %.1f", pen ? 'L' : 'M', position(x, s->x[i]),
                               position(y, s->y[i]));
        pen = here;
    }
    fanin__text_puts(t, "\"/>\n");
    for (size_t k = 0; k < count && (s->dots || s->n == 1); k++) {
        size_t i = point(s, k);
        if (drawable(x, s->x[i]) && drawable(y, s->y[i]))
            fanin__text_printf(t, "<circle class=c%zu r=3.5 cx=%.1f cy=%.1f />\n", color,
                               position(x, s->x[i]), position(y, s->y[i]));
    }
}

/* ---- the table under a chart -------------------------------------------------------------------- */

/* All x that are shown of all series, ascending, each once. */
static double *all_x(const fanin_chart *c, size_t *count) {
    size_t n = 0;
    for (size_t s = 0; s < c->series_count; s++) n += point_count(&c->series[s]);
    double *x = fanin_calloc(n + 1, sizeof *x);
    if (!x) return NULL;
    n = 0;
    for (size_t s = 0; s < c->series_count; s++)
        for (size_t k = 0; k < point_count(&c->series[s]); k++)
            x[n++] = c->series[s].x[point(&c->series[s], k)];
    qsort(x, n, sizeof *x, fanin__compare_doubles);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || x[i] != x[kept - 1]) x[kept++] = x[i];
    *count = kept;
    return x;
}

static double value_at(const fanin_series *s, double x) {
    for (size_t k = 0; k < point_count(s); k++)
        if (s->x[point(s, k)] == x) return s->y[point(s, k)];
    return NAN;
}

static void open_table(fanin__text *t, const char *first) {
    fanin__text_puts(t, "</summary><div class=scroll tabindex=0><table><thead><tr><th>");
    fanin__html_escape(t, first);
    fanin__text_puts(t, "</th>");
}

static void put_column(fanin__text *t, const char *name) {
    fanin__text_puts(t, "<th class=n>");
    fanin__html_escape(t, name);
    fanin__text_puts(t, "</th>");
}

/* A step is a whole number, however large. */
static const char *x_text(double x, char buf[32]) {
    if (x != floor(x) || fabs(x) > 1e15) return fanin__figure_text(x, buf);
    snprintf(buf, 32, "%.0f", x);
    return buf;
}

static void draw_table(fanin__text *t, const fanin_chart *c, const double *xs, size_t count) {
    char text[32];
    size_t most = 0;
    for (size_t s = 0; s < c->series_count; s++)
        if (c->series[s].n > most) most = c->series[s].n;
    fanin__text_puts(t, "<details><summary>Table");
    if (most > POINTS) fanin__text_printf(t, " of %d of %zu points", POINTS, most);
    open_table(t, c->x_label ? c->x_label : "x");
    for (size_t s = 0; s < c->series_count; s++) put_column(t, c->series[s].name);
    fanin__text_puts(t, "</tr></thead><tbody>\n");
    for (size_t i = 0; i < count; i++) {
        size_t name = xs[i] >= 0 ? (size_t)xs[i] : 0;
        fanin__text_puts(t, "<tr><td>");
        fanin__html_escape(t, c->x_names && name < c->x_name_count ? c->x_names[name]
                                                                   : x_text(xs[i], text));
        fanin__text_puts(t, "</td>");
        for (size_t s = 0; s < c->series_count; s++)
            fanin__text_printf(t, "<td class=n>%s</td>",
                               fanin__figure_text(value_at(&c->series[s], xs[i]), text));
        fanin__text_puts(t, "</tr>\n");
    }
    fanin__text_puts(t, "</tbody></table></div></details>\n");
}

static void open_figure(fanin__text *t, const char *class, const char *title, const char *caption) {
    fanin__text_printf(t, "<figure class=%s><figcaption><b>", class);
    fanin__html_escape(t, title ? title : "");
    fanin__text_puts(t, "</b>");
    fanin__html_escape(t, caption ? caption : "");
    fanin__text_puts(t, "</figcaption>\n");
}

void fanin_page_chart(fanin_page *p, const fanin_chart *c) {
    fanin__text *t = &p->body;
    axis x = {INFINITY, -INFINITY, c->x_log, LEFT + 8, WIDTH - RIGHT - 8, {0}, 0};
    axis y = {INFINITY, -INFINITY, c->y_log, HEIGHT - BOTTOM, TOP, {0}, 0};
    for (size_t s = 0; s < c->series_count; s++) {
        widen(&x, c->series[s].x, c->series[s].n);
        widen(&y, c->series[s].y, c->series[s].n);
        widen(&y, c->series[s].low, c->series[s].n);
        widen(&y, c->series[s].high, c->series[s].n);
    }
    if (c->y_low != 0 || c->y_high != 0) {
        y.low = c->y_log ? log10(c->y_low) : c->y_low;
        y.high = c->y_log ? log10(c->y_high) : c->y_high;
    }
    finish_axis(&x, 6, true);
    finish_axis(&y, 5, false);
    size_t count = 0;
    double *xs = all_x(c, &count);
    if (!xs) {
        t->failed = true;
        return;
    }
    fanin__page_open_grid(p);
    open_figure(t, "chart", c->title, c->caption);
    fanin__text_printf(t, "<svg viewBox=\"0 0 %d %d\" tabindex=0 role=img aria-label=\"", WIDTH,
                       HEIGHT);
    fanin__html_escape(t, c->title ? c->title : "");
    fanin__text_puts(t, "\" data-x=\"");
    for (size_t i = 0; i < count; i++)
        fanin__text_printf(t, "%s%.1f", i ? " " : "", position(&x, xs[i]));
    fanin__text_puts(t, "\">\n");
    draw_y(t, &y, c->y_label);
    draw_x(t, &x, c);
    for (size_t s = 0; s < c->series_count; s++) draw_series(t, &c->series[s], s, &x, &y);
    fanin__text_printf(t, "<line class=cross y1=%d y2=%d />\n</svg>\n<ul class=legend>", TOP,
                       HEIGHT - BOTTOM);
    for (size_t s = 0; s < c->series_count; s++) {
        fanin__text_printf(t, "<li%s><i class=c%zu></i>", c->series[s].dashed ? " class=d" : "",
                           s % FANIN__PALETTE);
        fanin__html_escape(t, c->series[s].name);
        fanin__text_puts(t, "</li>");
    }
    fanin__text_puts(t, "</ul>\n");
    draw_table(t, c, xs, count);
    fanin__text_puts(t, "</figure>\n");
    fanin_free(xs);
}

/* ---- ridges -------------------------------------------------------------------------------------- */

static void draw_ridge(fanin__text *t, const fanin_ridges *r, size_t row, double base,
                       double height, double scale, const axis *x) {
    const double *share = r->shares + row * r->bins;
    fanin__text_printf(t, "<path class=c0 style=\"fill-opacity:.28\" d=\"M%.1f %.1f",
                       position(x, r->low), base);
    for (size_t b = 0; b < r->bins; b++) {
        double left = r->low + (r->high - r->low) * (double)b / (double)r->bins;
        double right = r->low + (r->high - r->low) * (double)(b + 1) / (double)r->bins;
        double top = base - (isfinite(share[b]) ? fmin(share[b] * scale, 1) * height : 0);
        fanin__text_printf(t, "L%.1f %.1fL%.1f %.1f", position(x, left), top, position(x, right),
                           top);
    }
    fanin__text_printf(t, "L%.1f %.1fZ\"><title>", position(x, r->high), base);
    fanin__html_escape(t, r->row_names[row]);
    fanin__text_puts(t, "</title></path>\n<text class=r text-anchor=end ");
    fanin__text_printf(t, "x=%d y=%.1f>", LEFT + 40, base - 3);
    fanin__put_layer(t, r->row_names[row], 14);
    fanin__text_puts(t, "</text>\n");
}

/* What a row is scaled by. A single bin far above the rest (a rectifier's zeros) is cut off at three times the
 * next, or nothing else could be seen. */
static double highest(const double *share, size_t bins) {
    double first = 0, second = 0;
    for (size_t b = 0; b < bins; b++) {
        if (share[b] > first)
            second = first, first = share[b];
        else if (share[b] > second)
            second = share[b];
    }
    return second > 0 ? fmin(first, 3 * second) : first;
}

/* A bin a row, a ridge a column: every number that is drawn, for reading and for the script. */
static void ridge_table(fanin__text *t, const fanin_ridges *r) {
    char text[32];
    fanin__text_puts(t, "<details><summary>Table");
    open_table(t, r->x_label ? r->x_label : "value");
    for (size_t row = 0; row < r->rows; row++) put_column(t, r->row_names[row]);
    fanin__text_puts(t, "</tr></thead><tbody>\n");
    for (size_t b = 0; b < r->bins; b++) {
        double centre = r->low + (r->high - r->low) * ((double)b + 0.5) / (double)r->bins;
        if (fabs(centre) < 1e-9 * (r->high - r->low)) centre = 0;
        fanin__text_printf(t, "<tr><td class=n>%s</td>", fanin__figure_text(centre, text));
        for (size_t row = 0; row < r->rows; row++)
            fanin__text_printf(t, "<td class=n>%s</td>",
                               fanin__figure_text(r->shares[row * r->bins + b], text));
        fanin__text_puts(t, "</tr>\n");
    }
    fanin__text_puts(t, "</tbody></table></div></details>\n");
}

/* A row's name, at the size that a narrow page gives it. */
enum { ROW_LEAST = 18 };

void fanin_page_ridges(fanin_page *p, const fanin_ridges *r) {
    fanin__text *t = &p->body;
    axis x = {r->low, r->high, false, LEFT + 48, WIDTH - RIGHT, {0}, 0};
    finish_axis(&x, 6, true);
    double rows = (double)(r->rows ? r->rows : 1);
    double height = fmax((HEIGHT - TOP - BOTTOM) / rows, ROW_LEAST);
    int base_line = (int)ceil(TOP + height * rows), bottom = base_line + BOTTOM;
    fanin__page_open_grid(p);
    open_figure(t, "ridges", r->title, r->caption);
    fanin__text_printf(t, "<svg viewBox=\"0 0 %d %d\" tabindex=0 role=img aria-label=\"", WIDTH,
                       bottom);
    fanin__html_escape(t, r->title ? r->title : "");
    fanin__text_printf(t, "\" data-axis=\"%d %d %d %.3f %g %g\">\n", LEFT + 48, WIDTH - RIGHT, TOP,
                       height, r->low, r->high);
    for (size_t row = 0; row < r->rows; row++) {
        double top = highest(r->shares + row * r->bins, r->bins);
        double base = TOP + height * (double)(row + 1);
        fanin__text_printf(t, "<line class=g x1=%d x2=%d y1=%.1f y2=%.1f />\n", LEFT + 48,
                           WIDTH - RIGHT, base, base);
        draw_ridge(t, r, row, base, height * 0.92, top > 0 ? 1 / top : 0, &x);
    }
    char text[32];
    for (int i = 0; i < x.tick_count; i++) {
        tick_text(&x, x.ticks[i], text);
        fanin__text_printf(t, "<text class=xl x=%.1f y=%d text-anchor=middle>%s</text>\n",
                           position(&x, x.ticks[i]), base_line + 18, text);
    }
    fanin__text_printf(t, "<text x=%d y=%d text-anchor=middle>", (LEFT + 48 + WIDTH - RIGHT) / 2,
                       bottom - 6);
    fanin__html_escape(t, r->x_label ? r->x_label : "");
    fanin__text_puts(t, "</text>\n<rect class=mark x=0 y=0 width=0 height=0 />\n</svg>\n");
    ridge_table(t, r);
    fanin__text_puts(t, "</figure>\n");
}
