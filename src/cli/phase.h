/* phase.h - the phase diagram of an activation as a picture, for theory and for the page of a check. */
#ifndef FANIN_CLI_PHASE_H
#define FANIN_CLI_PHASE_H

#include <fanin/activation.h>

/* `depth`: 6 xi_c at the point, written beside it; NaN or infinite: nothing. columns x rows of the grid: the cost.
 * *svg: fanin_free. */
fanin_status cli_phase_svg(const fanin_activation *act, double sigma_w2, double sigma_b2,
                           double depth, size_t columns, size_t rows, char **svg, fanin_err *err);

#endif
