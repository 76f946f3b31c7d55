/* watch.c - the layers while they learn. On a terminal the view is drawn over the one before; elsewhere it is
 * one line a layer, so that a log stays readable. */
#include <math.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "train_log.h"

enum { SPARKS = 48 };

/* The last points' test loss as one line of blocks, scaled to what is shown. */
static void draw_losses(const train_log *log) {
    static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    size_t n = log->loss_count, first = n > SPARKS ? n - SPARKS : 0;
    double low = INFINITY, high = -INFINITY;
    for (size_t i = first; i < n; i++) {
        low = fmin(low, log->losses[i]);
        high = fmax(high, log->losses[i]);
    }
    printf("test loss ");
    for (size_t i = first; i < n; i++) {
        double share = high > low ? (log->losses[i] - low) / (high - low) : 0;
        fputs(isfinite(share) ? blocks[(int)(share * 7.99)] : "?", stdout);
    }
    if (n) printf(" %.4f", log->losses[n - 1]);
    fputs("\033[K\n", stdout);
}

/* A name that keeps its two ends in `width` columns. */
static void put_name(const char *name, int width) {
    int n = (int)fanin_layer_name_length(name), left = width / 2 - 1, right = width - 2 - left;
    if (n <= width)
        printf("%-*.*s", width, n, name);
    else
        printf("%.*s..%.*s", left, name, right, name + n - right);
}

static void put_share(double v) {
    char bar[64];
    if (isnan(v))
        printf("  %10s", "");
    else
        printf("  %s%3.0f%%", fanin_bar(v, 0, 1, 6, bar, sizeof bar), 100 * v);
}

static const char heading[] =
    "layer           activation         off/zero    saturated    gradient    update";

static void draw_layer(const char *name, const fanin_train_layer *l) {
    put_name(name, 15);
    printf(" %8.3g ± %-7.2g", l->h_mean, l->h_std);
    put_share(l->zeros);
    put_share(l->saturated);
    printf("  %9.2e", l->gradient);
    if (!isnan(l->update_ratio)) printf("  %8.1e", l->update_ratio);
}

/* The view must not be higher than the terminal, or it cannot be drawn over. */
static int visible_rows(int layers) {
    struct winsize size;
    int height = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : 24;
    int room = height > 8 ? height - 5 : 3;
    return layers < room ? layers : room;
}

void watch_draw(train_log *log, const fanin_train_monitor *m) {
    if (log->c->json || log->c->quiet) return;
    if (!isatty(STDOUT_FILENO)) {
        for (int i = 0; i < m->layer_count; i++) {
            const fanin_train_layer *l = &m->layers[i];
            printf("step %llu  %s  h %.3g +- %.3g  zero %.3f  saturated %.3f  dead %.3f  "
                   "gradient %.3g  update %.3g\n",
                   (unsigned long long)m->step, m->names[i], l->h_mean, l->h_std, l->zeros,
                   l->saturated, l->dead, l->gradient, l->update_ratio);
        }
        fflush(stdout);
        return;
    }
    cli_progress_end(log->c);
    if (log->drawn) printf("\033[%zuA\r", log->drawn);
    printf("step %llu\033[K\n", (unsigned long long)m->step);
    draw_losses(log);
    printf("%s%s%s\033[K\n", cli_style(log->c, "\033[1m"), heading, cli_style(log->c, "\033[0m"));
    int rows = visible_rows(m->layer_count);
    for (int i = 0; i < rows; i++) { /* of a deep network evenly spaced layers */
        int k = rows < m->layer_count ? i * (m->layer_count - 1) / (rows - 1) : i;
        draw_layer(m->names[k], &m->layers[k]);
        fputs("\033[K\n", stdout);
    }
    log->drawn = 3 + (size_t)rows;
    fflush(stdout);
}
