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
#include <fanin/probe.h>
#include <fanin/train.h>

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

/* How many bytes of a layer's name are worth showing: all but ".weight", which nearly all share. */
FANIN_API size_t fanin_layer_name_length(const char *name);

/* ---- pages: one self-contained HTML file, no outside request, light and dark -------------------------- */

/* One line of a chart. x and y hold n numbers (NaN: a gap); low and high (NULL: none) draw a band. */
typedef struct fanin_series {
    const char *name;
    size_t n;
    const double *x, *y, *low, *high;
    bool dashed, dots;
} fanin_series;

typedef struct fanin_chart {
    const char *title, *caption, *x_label, *y_label;
    bool x_log, y_log;
    double y_low, y_high;       /* both 0: from the data */
    const char *const *x_names; /* NULL, or names of x = 0, 1, 2, ... (layers) */
    size_t x_name_count;
    const fanin_series *series;
    size_t series_count;
} fanin_chart;

/* Histograms over a common axis, one a row, drawn as ridges: shares[row * bins + bin]. */
typedef struct fanin_ridges {
    const char *title, *caption, *x_label;
    double low, high;
    size_t rows, bins;
    const char *const *row_names;
    const double *shares;
} fanin_ridges;

typedef struct fanin_page fanin_page;

/* Copies its texts (subtitle may be NULL). NOMEM. */
FANIN_API fanin_status fanin_page_create(const char *title, const char *subtitle,
                                         fanin_page **page);
FANIN_API void fanin_page_destroy(fanin_page *page);
/* All text is escaped. Failures stick; _save reports them. */
FANIN_API void fanin_page_heading(fanin_page *page, const char *text);
FANIN_API void fanin_page_paragraph(fanin_page *page, const char *text);
FANIN_API void fanin_page_link(fanin_page *page, const char *href, const char *text);
/* Figures of the page side by side until the next heading, paragraph or table. */
FANIN_API void fanin_page_chart(fanin_page *page, const fanin_chart *chart);
FANIN_API void fanin_page_ridges(fanin_page *page, const fanin_ridges *ridges);
/* An SVG document that stands by itself (its style does not touch the page's). */
FANIN_API void fanin_page_picture(fanin_page *page, const char *title, const char *caption,
                                  const char *svg);
/* rows * columns cells after `columns` headings; columns of numbers are set right. */
FANIN_API void fanin_page_table(fanin_page *page, const char *title, size_t columns, size_t rows,
                                const char *const *cells);
/* Written aside and renamed. Same input, same bytes: no dates, no host names. */
FANIN_API fanin_status fanin_page_save(fanin_page *page, const char *path, fanin_err *err);

/* ---- whole pages ---------------------------------------------------------------------------------- */

/* A check: curves by layer (predicted line, measured dots, band of one standard deviation over seeds), histograms,
 * spectrum, figures. `scheme` is a line of text; `phase_svg` the diagram of a plain stack, or NULL. */
FANIN_API fanin_status fanin_signal_page(const char *model, const char *scheme,
                                         const fanin_signal *signal, const char *phase_svg,
                                         const char *path, fanin_err *err);
/* A training run: curves, and where there are monitors every layer over time, as in figures 2 to 4 of Glorot &
 * Bengio (2010): activations, saturation, gradients, sizes of updates, distributions at the end. */
FANIN_API fanin_status fanin_train_page(const char *title, const char *scheme,
                                        const fanin_train_result *result, const char *path,
                                        fanin_err *err);
/* A comparison: ranking, intervals, training curves, signal by layer, weights of each scheme. `link` (NULL: none) is
 * the file name of a further page. */
FANIN_API fanin_status fanin_comparison_page(const fanin_comparison *comparison, const char *link,
                                             const char *path, fanin_err *err);

/* ---- TensorBoard ------------------------------------------------------------------------------- */

/* An event file, DIR/events.out.tfevents.*: what `tensorboard --logdir DIR` shows. Records are collected in
 * memory and reach the file, whole, with _flush: the first flush writes it aside and renames it, later ones
 * append, so that it can be watched while it grows. A failed append is cut off again.
 *
 *     fanin_events *log;
 *     fanin_events_create("logs/run1", (double)time(NULL), &log, &err);
 *     fanin_events_scalar(log, "loss/train", step, loss);
 *     fanin_events_values(log, "weights/fc1.weight", step, w, n);
 *     fanin_events_flush(log, &err);      // every second or so
 *     fanin_events_destroy(log);
 */
typedef struct fanin_events fanin_events;

/* Creates the folder; no file before the first flush. `start`: seconds since 1970, whole seconds of which
 * name the file; records carry start + the time since this call. start = 0: no clock is read, an earlier
 * file of that kind in the folder is replaced, and same input gives same bytes. */
FANIN_API fanin_status fanin_events_create(const char *dir, double start, fanin_events **events,
                                           fanin_err *err);
/* What was not flushed is lost. */
FANIN_API void fanin_events_destroy(fanin_events *events);
/* A tag's part before the first '/' groups it. A value goes to the file as float32; NaN and infinity too. */
FANIN_API void fanin_events_scalar(fanin_events *events, const char *tag, int64_t step,
                                   double value);
/* Markdown. */
FANIN_API void fanin_events_text(fanin_events *events, const char *tag, int64_t step,
                                 const char *text);
/* `bins` equal bins over [low, high]: bins[i] values each. Mean and spread that the file states are those of
 * the bins' centres. */
FANIN_API void fanin_events_histogram(fanin_events *events, const char *tag, int64_t step,
                                      double low, double high, const double *bins, size_t count);
/* Histogram of n numbers, 64 bins between the least and the greatest; those that are none are left out. */
FANIN_API void fanin_events_values(fanin_events *events, const char *tag, int64_t step,
                                   const float *values, size_t n);
/* NOMEM (also for what was collected before), IO; a failure stays. */
FANIN_API fanin_status fanin_events_flush(fanin_events *events, fanin_err *err);
/* Path of the file; borrowed. */
FANIN_API const char *fanin_events_path(const fanin_events *events);

/* What a check measured, at step 0: scalars by layer, histograms of activations and gradients, the verdict as
 * text. */
FANIN_API void fanin_events_signal(fanin_events *events, const fanin_signal *signal);

/* ---- phase diagrams ---------------------------------------------------------------------------- */

/* chi1 and xi_c over a grid as fanin_phase_grid_solve gives them: row 0 at the lowest bias variance. */
typedef struct fanin_phase_picture {
    const char *title; /* the activation */
    double w2_low, w2_high, b2_low, b2_high;
    size_t columns, rows;
    const double *chi1, *xi_c;
    const double *across, *up; /* of fanin_phase_edges_solve; NULL: the edge is interpolated */
    bool has_point;
    double point_w2, point_b2;
    const char *point_label; /* plain text or tspans */
} fanin_phase_picture;

/* One SVG document, 800 x 536, readable on light and on dark (prefers-color-scheme): regions, bands and
 * contours of 6 xi_c, the critical line, the point. *svg: fanin_free. NOMEM, ARG for a grid below 2 x 2. */
FANIN_API fanin_status fanin_phase_svg(const fanin_phase_picture *picture, char **svg);

#ifdef __cplusplus
}
#endif
#endif
