#include <math.h>

#include "theory/theory.h"

fanin_status fanin_gain_solve(const fanin_activation *act, fanin_gain *out, fanin_err *err) {
    fanin_activation_moments closed;
    fanin_expectations m;
    *out = (fanin_gain){0};
    if (fanin_activation_closed_moments(act, 1, &closed) == FANIN_OK) {
        out->closed_form = true;
        out->mean = closed.mean;
        out->second_moment = closed.second;
        out->derivative_second_moment = closed.slope_second;
        out->error = 1e-15;
    } else {
        FANIN_TRY(fanin_gaussian_moments(act, 0, 1, &m, err));
        out->mean = m.mean;
        out->second_moment = m.second;
        out->derivative_second_moment = m.slope_second;
        out->error = m.error;
    }
    if (fabs(out->mean) < 1e-15 * sqrt(out->second_moment)) out->mean = 0; /* odd functions */
    double variance = out->second_moment - out->mean * out->mean;
    if (!(out->second_moment > 0))
        return fanin_err_set(err, FANIN_DOMAIN, "%.80s is zero everywhere: no gain keeps a signal",
                             fanin_activation_name(act));
    out->gain = 1 / sqrt(out->second_moment);
    out->derivative_gain = 1 / sqrt(out->derivative_second_moment);
    if (isinf(out->derivative_second_moment) || out->derivative_second_moment == 0)
        out->derivative_gain = NAN;
    out->nf_gamma = variance > 1e-14 * out->second_moment ? 1 / sqrt(variance) : NAN;
    double sigma_w2;
    out->critical_sigma_w =
        fanin_critical_sigma_w2(act, 0, &sigma_w2, NULL, NULL) == FANIN_OK ? sqrt(sigma_w2) : NAN;
    out->torch_gain = fanin_activation_torch_gain(act);
    return FANIN_OK;
}
