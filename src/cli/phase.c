#include "phase.h"

#include <fanin/report.h>
#include <fanin/theory.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

fanin_status cli_phase_svg(const fanin_activation *act, double sigma_w2, double sigma_b2,
                           double depth, size_t columns, size_t rows, char **svg, fanin_err *err) {
    fanin_phase_grid g = {.b2_low = 0, .columns = columns, .rows = rows};
    double edge; /* fast waves are critical far below 1 */
    bool low = fanin_critical_sigma_w2(act, 0, &edge, NULL, NULL) == FANIN_OK && edge < 0.5;
    g.w2_high = fmax(low ? 8 * edge : 4, 1.4 * sigma_w2);
    if (g.w2_high > 4) g.w2_high = ceil(g.w2_high);
    g.w2_low = 0.005 * g.w2_high;
    g.b2_high = fmax(0.5, 1.6 * sigma_b2);
    size_t cells = g.columns * g.rows;
    double *v = calloc(cells, 6 * sizeof *v);
    *svg = NULL;
    if (!v) return fanin_err_set(err, FANIN_NOMEM, "phase diagram: no memory");
    double *chi1 = v, *xi = v + cells, *q = v + 2 * cells, *c = v + 3 * cells;
    double *across = v + 4 * cells, *up = v + 5 * cells;
    fanin_status status = fanin_phase_grid_solve(act, &g, chi1, xi, q, c, err);
    if (status == FANIN_OK) status = fanin_phase_edges_solve(act, &g, chi1, across, up, err);
    /* Where q runs away inputs stay alike in direction; gradients set the depth. */
    for (size_t i = 0; i < cells && status == FANIN_OK; i++)
        if (isinf(q[i])) xi[i] = fabs(1 / log(chi1[i]));
    char label[200];
    if (depth < 1e5) /* beyond, it is as good as infinite */
        snprintf(label, sizeof label, "%.4g, %.3g: %.3g layers", sigma_w2, sigma_b2, depth);
    else
        snprintf(label, sizeof label, "%.4g, %.3g", sigma_w2, sigma_b2);
    const fanin_phase_picture p = {.title = fanin_activation_name(act),
                                   .w2_low = g.w2_low,
                                   .w2_high = g.w2_high,
                                   .b2_low = g.b2_low,
                                   .b2_high = g.b2_high,
                                   .columns = g.columns,
                                   .rows = g.rows,
                                   .chi1 = chi1,
                                   .xi_c = xi,
                                   .across = across,
                                   .up = up,
                                   .has_point = true,
                                   .point_w2 = sigma_w2,
                                   .point_b2 = sigma_b2,
                                   .point_label = label};
    if (status == FANIN_OK) status = fanin_phase_svg(&p, svg);
    free(v);
    return status;
}
