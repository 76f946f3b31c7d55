/* The phase diagram as an SVG: bands of trainable depth on both sides of the critical line, its
 * contours, the line, and the reader's point. Light and dark through CSS; no scripts, no dates. */
#include <fanin/report.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"

#define LEFT    64.0
#define TOP     64.0
#define WIDTH   580.0
#define HEIGHT  400.0
#define TOTAL_W 800
#define TOTAL_H 536

/* Depths (6 xi_c) whose contours are drawn. */
static const double levels[] = {10, 20, 40, 80, 160, 320};
#define LEVELS ((int)(sizeof levels / sizeof *levels))

typedef struct drawing {
    const fanin_phase_picture *p;
    fanin__text t;
    double *field; /* signed 1/(6 xi_c): negative where ordered, 0 on the critical line */
} drawing;

static const char style[] =
    "<style>\n"
    ".page{fill:#fdfdfc}.ink{fill:#1d2430}.soft{fill:#5b6472}.frame{fill:none;stroke:#8a93a0}\n"
    ".grid{stroke:#1d2430;stroke-opacity:.10}.edge{fill:none;stroke:#111722;stroke-width:2.6;"
    "stroke-linejoin:round}\n"
    ".line{fill:none;stroke:#1d2430;stroke-opacity:.42;stroke-width:1}\n"
    ".halo{stroke:#fdfdfc;stroke-opacity:.85;stroke-width:3.5;paint-order:stroke;"
    "stroke-linejoin:round}\n"
    ".o0{fill:#eef3f9}.o1{fill:#dbe7f4}.o2{fill:#c0d6ec}.o3{fill:#9cbfe1}.o4{fill:#72a4d3}"
    ".o5{fill:#4a87c2}.o6{fill:#2b6bab}\n"
    ".c0{fill:#fbf2ea}.c1{fill:#f8e3d0}.c2{fill:#f3cdac}.c3{fill:#ecb081}.c4{fill:#e28f55}"
    ".c5{fill:#d0702f}.c6{fill:#b25417}\n"
    ".you{fill:#fdfdfc;stroke:#b3123f;stroke-width:3}.youtext{fill:#b3123f;font-weight:600}\n"
    "text{font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;font-size:13px}\n"
    ".title{font-size:19px;font-weight:600}.small{font-size:11.5px}.region{font-size:15px;"
    "font-weight:600;letter-spacing:.04em}\n"
    "@media (prefers-color-scheme:dark){\n"
    ".page{fill:#14181f}.ink{fill:#e8ebf0}.soft{fill:#a3adba}.frame{stroke:#5d6775}\n"
    ".grid{stroke:#fff;stroke-opacity:.09}.edge{stroke:#f5f7fa}.line{stroke:#fff;stroke-opacity:.4}"
    "\n"
    ".halo{stroke:#14181f;stroke-opacity:.8}\n"
    ".o0{fill:#182130}.o1{fill:#1b2b42}.o2{fill:#1e3857}.o3{fill:#21476f}.o4{fill:#265a8b}"
    ".o5{fill:#3072ad}.o6{fill:#4a90d0}\n"
    ".c0{fill:#261d17}.c1{fill:#39271a}.c2{fill:#50321c}.c3{fill:#6b401f}.c4{fill:#8b5023}"
    ".c5{fill:#b0642a}.c6{fill:#d67e3b}\n"
    ".you{fill:#14181f;stroke:#ff6b8f}.youtext{fill:#ff8aa6}}\n"
    "</style>\n";

static double place_x(const fanin_phase_picture *p, double w2) {
    return LEFT + WIDTH * (w2 - p->w2_low) / (p->w2_high - p->w2_low);
}

static double place_y(const fanin_phase_picture *p, double b2) {
    return TOP + HEIGHT * (1 - (b2 - p->b2_low) / (p->b2_high - p->b2_low));
}

static double at(const drawing *d, size_t row, size_t column) {
    return d->field[row * d->p->columns + column];
}

/* ---- filled bands ---------------------------------------------------------------------- */

typedef struct corner {
    double x, y, h;
} corner;

/* Keeps the part of a polygon where sign (h - level) >= 0. */
static int clip(const corner *in, int n, double level, double sign, corner *out) {
    int count = 0;
    for (int i = 0; i < n; i++) {
        const corner *a = &in[i], *b = &in[(i + 1) % n];
        double ga = sign * (a->h - level), gb = sign * (b->h - level);
        if (ga >= 0) out[count++] = *a;
        if ((ga >= 0) != (gb >= 0)) {
            double s = ga / (ga - gb);
            out[count++] = (corner){a->x + s * (b->x - a->x), a->y + s * (b->y - a->y), level};
        }
    }
    return count;
}

static void cell(const drawing *d, size_t row, size_t column, corner q[4]) {
    double dx = WIDTH / (double)(d->p->columns - 1), dy = HEIGHT / (double)(d->p->rows - 1);
    double x = LEFT + dx * (double)column, y = TOP + HEIGHT - dy * (double)row;
    q[0] = (corner){x, y, at(d, row, column)};
    q[1] = (corner){x + dx, y, at(d, row, column + 1)};
    q[2] = (corner){x + dx, y - dy, at(d, row + 1, column + 1)};
    q[3] = (corner){x, y - dy, at(d, row + 1, column)};
}

static bool inside(const corner q[4], double low, double high) {
    for (int i = 0; i < 4; i++)
        if (!(q[i].h >= low && q[i].h <= high)) return false;
    return true;
}

static void polygon(drawing *d, const corner *q, int n) {
    for (int i = 0; i < n; i++)
        fanin__text_printf(&d->t, "%c%.1f %.1f", i ? 'L' : 'M', q[i].x, q[i].y);
    if (n) fanin__text_puts(&d->t, "Z");
}

/* All of low <= h <= high as one path; whole cells of a row become one rectangle. */
static void band(drawing *d, const char *class, double low, double high) {
    fanin__text_printf(&d->t, "<path class=\"%s\" d=\"", class);
    for (size_t r = 0; r + 1 < d->p->rows; r++) {
        for (size_t c = 0; c + 1 < d->p->columns; c++) {
            corner q[4], a[8], b[16];
            cell(d, r, c, q);
            if (inside(q, low, high)) {
                size_t end = c + 1;
                corner next[4];
                for (; end + 1 < d->p->columns; end++) {
                    cell(d, r, end, next);
                    if (!inside(next, low, high)) break;
                    q[1] = next[1];
                    q[2] = next[2];
                }
                polygon(d, q, 4);
                c = end - 1;
                continue;
            }
            polygon(d, b, clip(a, clip(q, 4, low, 1, a), high, -1, b));
        }
    }
    fanin__text_puts(&d->t, "\"/>\n");
}

/* ---- lines ----------------------------------------------------------------------------- */

/* Segments of h = level, one path. */
static void contour(drawing *d, const char *class, double level) {
    fanin__text_printf(&d->t, "<path class=\"%s\" d=\"", class);
    for (size_t r = 0; r + 1 < d->p->rows; r++)
        for (size_t c = 0; c + 1 < d->p->columns; c++) {
            corner q[4], cut[4];
            int n = 0;
            cell(d, r, c, q);
            for (int i = 0; i < 4; i++) {
                const corner *a = &q[i], *b = &q[(i + 1) % 4];
                if ((a->h >= level) == (b->h >= level)) continue;
                double s = (level - a->h) / (b->h - a->h);
                cut[n++] = (corner){a->x + s * (b->x - a->x), a->y + s * (b->y - a->y), level};
            }
            for (int i = 0; i + 1 < n; i += 2)
                fanin__text_printf(&d->t, "M%.1f %.1fL%.1f %.1f", cut[i].x, cut[i].y, cut[i + 1].x,
                                   cut[i + 1].y);
        }
    fanin__text_puts(&d->t, "\"/>\n");
}

/* The edge of chaos through places known exactly, so that it is smooth where chi_1 jumps too. */
static void exact_edge(drawing *d) {
    const fanin_phase_picture *p = d->p;
    fanin__text_puts(&d->t, "<path class=\"edge\" d=\"");
    for (size_t r = 0; r + 1 < p->rows; r++)
        for (size_t c = 0; c + 1 < p->columns; c++) {
            size_t at = r * p->columns + c;
            const double share[4] = {p->across[at], p->up[at + 1], p->across[at + p->columns],
                                     p->up[at]};
            corner q[4];
            bool open = false;
            cell(d, r, c, q);
            for (int i = 0; i < 4; i++) {
                /* sides 0, 1 run with the corners, 2, 3 against them */
                const corner *a = &q[i < 2 ? i : (i + 1) % 4], *b = &q[i < 2 ? i + 1 : i];
                if (isnan(share[i])) continue;
                fanin__text_printf(&d->t, "%c%.2f %.2f", open ? 'L' : 'M',
                                   a->x + share[i] * (b->x - a->x),
                                   a->y + share[i] * (b->y - a->y));
                open = !open;
            }
        }
    fanin__text_puts(&d->t, "\"/>\n");
}

/* Where h passes `level` along a row of the grid; NaN if it does not. */
static double crossing(const drawing *d, size_t row, double level) {
    for (size_t c = 0; c + 1 < d->p->columns; c++) {
        double a = at(d, row, c), b = at(d, row, c + 1);
        if ((a >= level) == (b >= level)) continue;
        return LEFT + WIDTH * ((double)c + (level - a) / (b - a)) / (double)(d->p->columns - 1);
    }
    return NAN;
}

/* Numbers on the contours, on one height a side, left out where they would touch. */
static void labels(drawing *d) {
    double taken[2 * LEVELS + 1];
    int count = 0;
    for (int side = -1; side <= 1; side += 2) {
        size_t row = (size_t)((side < 0 ? 0.60 : 0.40) * (double)(d->p->rows - 1));
        double y = TOP + HEIGHT * (1 - (double)row / (double)(d->p->rows - 1)) + 4;
        for (int k = 0; k < LEVELS; k++) {
            double x = crossing(d, row, side / levels[k]), edge = crossing(d, row, 0);
            bool room = !isnan(x) && x > LEFT + 16 && x < LEFT + WIDTH - 16;
            room = room && !(fabs(x - edge) < 18);
            for (int i = 0; i < count; i++) room = room && fabs(x - taken[i]) > 30;
            if (!room) continue;
            taken[count++] = x;
            fanin__text_printf(&d->t,
                               "<text class=\"ink small halo\" x=\"%.1f\" y=\"%.1f\" "
                               "text-anchor=\"middle\">%g</text>\n",
                               x, y, levels[k]);
        }
        count = 0;
    }
}

/* ---- axes ------------------------------------------------------------------------------ */

static double tick_step(double range) {
    double step = pow(10, floor(log10(range / 5)));
    while (range / step > 8) step *= range / step > 16 ? 2.5 : 2;
    return step;
}

static void axes(drawing *d) {
    const fanin_phase_picture *p = d->p;
    double step = tick_step(p->w2_high - p->w2_low);
    for (double v = ceil(p->w2_low / step) * step; v <= p->w2_high + 1e-9 * step; v += step) {
        double x = place_x(p, v);
        fanin__text_printf(&d->t,
                           "<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/><text class=\"soft\" "
                           "x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.6g</text>\n",
                           x, TOP, TOP + HEIGHT, x, TOP + HEIGHT + 18, fabs(v) < 1e-12 ? 0 : v);
    }
    step = tick_step(p->b2_high - p->b2_low);
    for (double v = ceil(p->b2_low / step) * step; v <= p->b2_high + 1e-9 * step; v += step) {
        double y = place_y(p, v);
        fanin__text_printf(&d->t,
                           "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/><text class=\"soft\" "
                           "x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.6g</text>\n",
                           LEFT, y, LEFT + WIDTH, LEFT - 8, y + 4, fabs(v) < 1e-12 ? 0 : v);
    }
    fanin__text_printf(
        &d->t,
        "<rect class=\"frame\" x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\"/>\n"
        "<text class=\"ink\" x=\"%g\" y=\"%g\" text-anchor=\"middle\">weight variance "
        "\317\203<tspan dy=\"-5\" font-size=\"9\">2</tspan><tspan dy=\"9\" "
        "font-size=\"9\">w</tspan></text>\n"
        "<text class=\"ink\" x=\"20\" y=\"%g\" text-anchor=\"middle\" "
        "transform=\"rotate(-90 20 %g)\">bias variance \317\203<tspan dy=\"-5\" "
        "font-size=\"9\">2</tspan><tspan dy=\"9\" font-size=\"9\">b</tspan></text>\n",
        LEFT, TOP, WIDTH, HEIGHT, LEFT + WIDTH / 2, TOP + HEIGHT + 44, TOP + HEIGHT / 2,
        TOP + HEIGHT / 2);
}

static void legend(drawing *d) {
    double x = LEFT + WIDTH + 22, y = TOP + 4, h = 22;
    fanin__text_printf(&d->t,
                       "<text class=\"ink\" x=\"%g\" y=\"%g\">trainable depth</text>"
                       "<text class=\"soft small\" x=\"%g\" y=\"%g\">6 \316\276c, layers</text>\n",
                       x, y + 6, x, y + 23);
    y += 38;
    for (int k = LEVELS; k >= 0; k--) {
        double top = y + h * (LEVELS - k);
        fanin__text_printf(&d->t,
                           "<rect class=\"o%d\" x=\"%g\" y=\"%g\" width=\"22\" height=\"%g\"/>"
                           "<rect class=\"c%d\" x=\"%g\" y=\"%g\" width=\"22\" height=\"%g\"/>\n",
                           k, x, top, h, k, x + 22, top, h);
        if (k > 0)
            fanin__text_printf(&d->t, "<text class=\"soft small\" x=\"%g\" y=\"%g\">%g</text>\n",
                               x + 51, top + h + 4, levels[k - 1]);
    }
    fanin__text_printf(&d->t,
                       "<rect class=\"frame\" x=\"%g\" y=\"%g\" width=\"44\" height=\"%g\"/>\n"
                       "<path class=\"edge\" d=\"M%g %gh44\"/><text class=\"soft small\" x=\"%g\" "
                       "y=\"%g\">edge of chaos</text>\n",
                       x, y, h * (LEVELS + 1), x, y + h * (LEVELS + 1) + 26, x,
                       y + h * (LEVELS + 1) + 46);
}

/* The widest run of one sign over a share of the rows, counted from below. */
static double widest(const drawing *d, double sign, double from, double to, double *x, double *y) {
    const fanin_phase_picture *p = d->p;
    double best = 0, rows = (double)(p->rows - 1);
    for (double share = from; share <= to; share += 0.04) {
        size_t run = 0, r = (size_t)(share * rows);
        for (size_t c = 0; c < p->columns; c++) {
            run = sign * at(d, r, c) > 0 ? run + 1 : 0;
            double wide = WIDTH * (double)run / (double)(p->columns - 1);
            if (wide <= best) continue;
            best = wide;
            *x = LEFT + WIDTH * ((double)c - 0.5 * (double)run) / (double)(p->columns - 1);
            *y = TOP + HEIGHT * (1 - share);
        }
    }
    return best;
}

/* A region's name, high up where the reader's point seldom is, if there is room. */
static void region(drawing *d, double sign, const char *name, const char *what) {
    double x = 0, y = 0;
    if (widest(d, sign, 0.72, 0.88, &x, &y) < 120 && widest(d, sign, 0.1, 0.34, &x, &y) < 120)
        return;
    fanin__text_printf(&d->t,
                       "<text class=\"ink region halo\" x=\"%.1f\" y=\"%.1f\" "
                       "text-anchor=\"middle\">%s</text><text class=\"ink small halo\" x=\"%.1f\" "
                       "y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
                       x, y, name, x, y + 17, what);
}

/* Whether a box of the page lies in the frame, on one side of the critical line, at least a cell away. */
static bool clear(const drawing *d, double x0, double y0, double x1, double y1) {
    const fanin_phase_picture *p = d->p;
    if (x0 < LEFT || x1 > LEFT + WIDTH - 1 || y0 < TOP + 1 || y1 > TOP + HEIGHT) return false;
    double across = (double)(p->columns - 1) / WIDTH, up = (double)(p->rows - 1) / HEIGHT;
    size_t left = (size_t)((x0 - LEFT) * across), right = (size_t)ceil((x1 - LEFT) * across);
    size_t low = (size_t)((TOP + HEIGHT - y1) * up), high = (size_t)ceil((TOP + HEIGHT - y0) * up);
    bool chaotic = at(d, low, left) >= 0;
    for (size_t r = low; r <= high; r++)
        for (size_t c = left; c <= right; c++)
            if ((at(d, r, c) >= 0) != chaotic) return false;
    return true;
}

/* The label goes right or left of the point, above or below: the first place off the critical line. */
static void point(drawing *d) {
    const fanin_phase_picture *p = d->p;
    if (!p->has_point) return;
    double x = place_x(p, p->point_w2), y = place_y(p, p->point_b2);
    if (x < LEFT || x > LEFT + WIDTH || y < TOP || y > TOP + HEIGHT) return;
    const char *label = p->point_label ? p->point_label : "here";
    double wide = 7.5 * (double)strlen(label); /* of the style's 13 px, about */
    double farthest = LEFT + 4 + wide;         /* the least end that keeps it in the frame */
    bool left = x > LEFT + 0.62 * WIDTH, below = y < TOP + 30, free = false;
    for (int i = 0; i < 4 && !free; i++) {
        bool l = left != (i % 2 == 1), b = below != (i >= 2);
        double x0 = l ? fmax(x - 12, farthest) - wide : x + 12, base = y + (b ? 20 : -10);
        free = clear(d, x0, base - 12, x0 + wide, base + 4);
        if (!free) continue;
        left = l;
        below = b;
    }
    fanin__text_printf(&d->t,
                       "<circle class=\"you\" cx=\"%.1f\" cy=\"%.1f\" r=\"6\"/>"
                       "<text class=\"youtext halo\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">",
                       x, y, left ? fmax(x - 12, farthest) : x + 12, y + (below ? 20 : -10),
                       left ? "end" : "start");
    fanin__text_puts(&d->t, label);
    fanin__text_puts(&d->t, "</text>\n");
}

static void escape(fanin__text *t, const char *s) {
    for (; *s; s++) {
        if (*s == '<')
            fanin__text_puts(t, "&lt;");
        else if (*s == '>')
            fanin__text_puts(t, "&gt;");
        else if (*s == '&')
            fanin__text_puts(t, "&amp;");
        else
            fanin__text_append(t, s, 1);
    }
}

/* ---- the picture ----------------------------------------------------------------------- */

static void draw(drawing *d) {
    const fanin_phase_picture *p = d->p;
    fanin__text_printf(&d->t,
                       "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
                       "width=\"%d\" height=\"%d\" role=\"img\">\n<title>Phase diagram of ",
                       TOTAL_W, TOTAL_H, TOTAL_W, TOTAL_H);
    escape(&d->t, p->title);
    fanin__text_puts(&d->t, "</title>\n");
    fanin__text_puts(&d->t, style);
    fanin__text_printf(
        &d->t,
        "<rect class=\"page\" width=\"%d\" height=\"%d\"/>\n<text class=\"ink title\" "
        "x=\"%g\" y=\"32\">",
        TOTAL_W, TOTAL_H, LEFT);
    escape(&d->t, p->title);
    fanin__text_printf(
        &d->t,
        "</text><text class=\"soft small\" x=\"%g\" y=\"51\">how deep a signal keeps "
        "two inputs apart, for random weights and biases</text>\n",
        LEFT);
    fanin__text_puts(&d->t, "<g>\n");
    band(d, "o0", -INFINITY, 0);
    band(d, "c0", 0, INFINITY);
    for (int k = 0; k < LEVELS; k++) {
        char class[8];
        snprintf(class, sizeof class, "o%d", k + 1);
        band(d, class, -1 / levels[k], 0);
        class[0] = 'c';
        band(d, class, 0, 1 / levels[k]);
    }
    fanin__text_puts(&d->t, "</g>\n");
    axes(d);
    for (int k = 0; k < LEVELS; k++) {
        contour(d, "line", -1 / levels[k]);
        contour(d, "line", 1 / levels[k]);
    }
    if (p->across && p->up)
        exact_edge(d);
    else
        contour(d, "edge", 0);
    labels(d);
    region(d, -1, "ordered", "gradients vanish");
    region(d, 1, "chaotic", "gradients explode");
    legend(d);
    point(d);
    fanin__text_puts(&d->t, "</svg>\n");
}

fanin_status fanin_phase_svg(const fanin_phase_picture *picture, char **svg) {
    *svg = NULL;
    size_t cells;
    if (picture->columns < 2 || picture->rows < 2 ||
        !fanin__size_mul(picture->columns, picture->rows, &cells))
        return FANIN_ARG;
    drawing d = {.p = picture};
    d.field = fanin_calloc(cells, sizeof *d.field);
    if (!d.field) return FANIN_NOMEM;
    for (size_t i = 0; i < cells; i++) {
        double depth = 6 * picture->xi_c[i], h = isinf(depth) ? 0 : 1 / depth;
        if (!(h < 1e3)) h = 1e3; /* a depth scale of 0 */
        d.field[i] = picture->chi1[i] < 1 ? -h : h;
    }
    draw(&d);
    fanin_free(d.field);
    if (d.t.failed) {
        fanin__text_fini(&d.t);
        return FANIN_NOMEM;
    }
    *svg = d.t.data;
    return FANIN_OK;
}
