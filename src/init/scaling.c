/* scaling.c - rules whose elements are drawn one by one from one law: uniform, normal, truncated normal,
 * signs, and the families that take its scale from a fan. */
#include <math.h>
#include <stdio.h>

#include "init/init.h"

/* Standard deviation of a normal cut at -2 and 2: sqrt(1 - 4 phi(2) / erf(sqrt 2)), 20 digits known. */
#define CUT_AT_2_STD 0.87962566103423975041
#define SQRT3        1.7320508075688772

static void law_uniform(fanin__recipe *plan, double low, double high) {
    plan->law = (fanin_law){.kind = FANIN_LAW_UNIFORM, .low = low, .high = high};
    plan->moments.mean = low / 2 + high / 2;
    plan->moments.std = (high - low) / (2 * SQRT3);
    plan->moments.low = low;
    plan->moments.high = high;
}

static void law_normal(fanin__recipe *plan, double mean, double std) {
    plan->law = (fanin_law){.kind = FANIN_LAW_NORMAL, .a = mean, .b = std};
    plan->moments.mean = mean;
    plan->moments.std = std;
}

/* parent: the standard deviation before the cut. */
static void law_truncated(fanin__recipe *plan, double mean, double parent, double low,
                          double high) {
    plan->law = (fanin_law){
        .kind = FANIN_LAW_TRUNC_NORMAL, .a = mean, .b = parent, .low = low, .high = high};
    plan->moments.low = low;
    plan->moments.high = high;
}

fanin_status fanin__uniform_plan(fanin__recipe *plan, fanin_err *err) {
    const fanin_rule *r = plan->rule;
    const char *name = fanin__tensor_name(plan->tensor);
    double low = fanin__or(r->low, 0), high = fanin__or(r->high, 1);
    if (!isnan(r->std)) {
        if (!isnan(r->low) || !isnan(r->high))
            return fanin_err_set(err, FANIN_ARG, "%s: uniform takes low and high, or std, not both",
                                 name);
        double mean = fanin__or(r->mean, 0);
        low = mean - SQRT3 * r->std;
        high = mean + SQRT3 * r->std;
    } else if (!isnan(r->mean)) {
        return fanin_err_set(err, FANIN_ARG,
                             "%s: uniform takes mean= only together with std=", name);
    }
    char a[32], b[32];
    if (!isfinite(low) || !isfinite(high) || low > high)
        return fanin_err_set(err, FANIN_ARG, "%s: uniform from %g to %g is no interval", name, low,
                             high);
    law_uniform(plan, low, high);
    fanin__reason(plan, "uniform from %s to %s", fanin__number_text(low, a),
                  fanin__number_text(high, b));
    return FANIN_OK;
}

fanin_status fanin__normal_plan(fanin__recipe *plan, fanin_err *err) {
    (void)err;
    char a[32], b[32];
    double mean = fanin__or(plan->rule->mean, 0), std = fanin__or(plan->rule->std, 1);
    law_normal(plan, mean, std);
    fanin__reason(plan, "normal with mean %s and std %s", fanin__number_text(mean, a),
                  fanin__number_text(std, b));
    return FANIN_OK;
}

fanin_status fanin__truncated_plan(fanin__recipe *plan, fanin_err *err) {
    const fanin_rule *r = plan->rule;
    double mean = fanin__or(r->mean, 0), std = fanin__or(r->std, 1);
    double low = fanin__or(r->low, -2), high = fanin__or(r->high, 2);
    if (r->bounds_sigma) {
        low = mean + low * std;
        high = mean + high * std;
    }
    if (!(std > 0) || !(low < high))
        return fanin_err_set(
            err, FANIN_ARG,
            "%s: truncated_normal with std %g between %g and %g: std must be above "
            "0 and low below high",
            fanin__tensor_name(plan->tensor), std, low, high);
    law_truncated(plan, mean, std, low, high);
    plan->moments.mean = fanin_law_mean(&plan->law);
    plan->moments.std = sqrt(fanin_law_variance(&plan->law));
    char text[4][32];
    fanin__reason(plan, "normal with mean %s and std %s, cut to %s to %s",
                  fanin__number_text(mean, text[0]), fanin__number_text(std, text[1]),
                  isinf(low) ? "-inf" : fanin__number_text(low, text[2]),
                  isinf(high) ? "inf" : fanin__number_text(high, text[3]));
    return FANIN_OK;
}

static void law_scaled(fanin__recipe *plan, int distribution, double std) {
    double parent = std / CUT_AT_2_STD;
    switch (distribution) {
    case 1: law_uniform(plan, -SQRT3 * std, SQRT3 * std); break;
    case 3: law_truncated(plan, 0, parent, -2 * parent, 2 * parent); break;
    default: law_normal(plan, 0, std);
    }
    plan->moments.mean = 0;
    plan->moments.std = std;
}

static fanin_status fan_of(fanin__recipe *plan, bool torch, fanin_fan_mode *mode, double *fan,
                           fanin_err *err) {
    if (*mode == FANIN_FAN_DEFAULT) *mode = plan->row->mode;
    *fan = fanin__fan(plan, *mode, torch);
    if (*fan > 0 && isfinite(*fan)) return FANIN_OK;
    return fanin_err_set(err, FANIN_ARG, "%s: %s needs %s, which is %g for this tensor (class %s)",
                         fanin__tensor_name(plan->tensor), plan->row->name,
                         fanin__fan_mode_name(*mode), *fan, fanin_class_name(plan->tensor->cls));
}

static void reason_gain(fanin__recipe *plan, double gain, fanin_fan_mode mode, double fan) {
    char a[32], after[96] = "";
    const fanin_rule *r = plan->rule;
    if (isnan(r->gain) && r->nonlinearity[0])
        snprintf(after, sizeof after, " for %s", r->nonlinearity);
    else if (isnan(r->gain) && !isnan(r->a))
        snprintf(after, sizeof after, " for leaky_relu:%s", fanin__number_text(r->a, a));
    else if (isnan(r->gain) && gain == 1.4142135623730951)
        snprintf(after, sizeof after, " = sqrt(2)");
    fanin__reason(plan, "gain %.10g%s over %s %.10g%s", gain, after, fanin__fan_mode_name(mode),
                  fan, r->torch_fans ? " (torch's)" : "");
}

fanin_status fanin__scaling_plan(fanin__recipe *plan, fanin_err *err) {
    fanin_fan_mode mode = plan->rule->mode;
    double fan, gain;
    FANIN_TRY(fan_of(plan, plan->rule->torch_fans, &mode, &fan, err));
    FANIN_TRY(fanin__rule_gain(plan, &gain, err));
    law_scaled(plan, plan->row->distribution, gain / sqrt(fan));
    plan->moments.gain = gain;
    reason_gain(plan, gain, mode, fan);
    return FANIN_OK;
}

fanin_status fanin__variance_plan(fanin__recipe *plan, fanin_err *err) {
    const fanin_rule *r = plan->rule;
    fanin_fan_mode mode = r->mode;
    double fan, gain;
    FANIN_TRY(fan_of(plan, r->torch_fans, &mode, &fan, err));
    if (!isnan(r->gain) && !isnan(r->scale))
        return fanin_err_set(err, FANIN_ARG,
                             "%s: variance_scaling takes scale or gain (scale = gain^2), not both",
                             fanin__tensor_name(plan->tensor));
    double scale = isnan(r->gain) ? fanin__or(r->scale, 1) : r->gain * r->gain;
    gain = isnan(r->gain) ? sqrt(scale) : r->gain;
    int distribution = r->distribution ? r->distribution : plan->row->distribution;
    law_scaled(plan, distribution, isnan(r->gain) ? sqrt(scale / fan) : gain / sqrt(fan));
    plan->moments.gain = gain;
    fanin__reason(plan, "variance %.10g over %s %.10g, %s", scale, fanin__fan_mode_name(mode), fan,
                  distribution == 1   ? "uniform"
                  : distribution == 2 ? "normal"
                                      : "truncated normal");
    return FANIN_OK;
}

/* kaiming_uniform_(a = sqrt 5) has gain sqrt(1/3), which makes the bound 1 / sqrt(fan_in) exactly. */
fanin_status fanin__torch_plan(fanin__recipe *plan, fanin_err *err) {
    fanin_fan_mode mode = FANIN_FAN_IN;
    bool torch = plan->tensor->torch_fan_in > 0;
    double fan;
    FANIN_TRY(fan_of(plan, torch, &mode, &fan, err));
    double bound = 1 / sqrt(fan);
    law_uniform(plan, -bound, bound);
    plan->moments.gain = 1 / SQRT3;
    fanin__reason(plan, "torch's default: bound 1/sqrt(fan_in), fan_in %.10g", fan);
    return FANIN_OK;
}

fanin_status fanin__std_or_fan(fanin__recipe *plan, fanin_err *err) {
    const fanin_rule *r = plan->rule;
    fanin_fan_mode mode = r->mode;
    double fan, gain;
    plan->moments.mean = 0;
    plan->moments.std = r->std;
    if (!isnan(r->std)) return FANIN_OK;
    FANIN_TRY(fan_of(plan, r->torch_fans, &mode, &fan, err));
    FANIN_TRY(fanin__rule_gain(plan, &gain, err));
    plan->moments.std = gain / sqrt(fan);
    plan->moments.gain = gain;
    reason_gain(plan, gain, mode, fan);
    return FANIN_OK;
}

fanin_status fanin__rademacher_plan(fanin__recipe *plan, fanin_err *err) {
    char text[32];
    FANIN_TRY(fanin__std_or_fan(plan, err));
    double s = plan->moments.std;
    if (!isnan(plan->rule->std)) fanin__reason(plan, "+ or - %s", fanin__number_text(s, text));
    plan->law = (fanin_law){.kind = FANIN_LAW_RADEMACHER, .a = s};
    plan->moments.low = -s;
    plan->moments.high = s;
    return FANIN_OK;
}

fanin_status fanin__law_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first, size_t n,
                             fanin_dtype dtype, void *out, fanin_err *err) {
    const char *name = fanin__tensor_name(plan->tensor);
    fanin_stream stream = fanin_stream_init(seed, name);
    fanin_status status = fanin_random_fill_parallel(&stream, 0, &plan->law, first, n, dtype, out);
    return status == FANIN_OK ? status
                              : fanin_err_set(err, status, "%s: %s cannot be drawn: %s", name,
                                              plan->row->name, plan->moments.reason);
}
