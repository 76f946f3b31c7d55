/* recipe.c - a rule meets a tensor: shape checked, fan and gain chosen, law settled. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "init/init.h"

const char *fanin__tensor_name(const fanin_tensor *tensor) {
    return tensor->name ? tensor->name : "tensor";
}

double fanin__or(double value, double otherwise) { return isnan(value) ? otherwise : value; }

void fanin__reason(fanin__recipe *plan, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(plan->moments.reason, sizeof plan->moments.reason, format, args);
    va_end(args);
}

const char *fanin__fan_mode_name(fanin_fan_mode mode) {
    switch (mode) {
    case FANIN_FAN_OUT: return "fan_out";
    case FANIN_FAN_AVG: return "fan_avg";
    case FANIN_FAN_GEO_AVG: return "fan_geo_avg";
    case FANIN_FAN_IN:
    case FANIN_FAN_DEFAULT: break;
    }
    return "fan_in";
}

double fanin__fan(const fanin__recipe *plan, fanin_fan_mode mode, bool torch) {
    const fanin_tensor *t = plan->tensor;
    double in = torch ? t->torch_fan_in : t->fan_in, out = torch ? t->torch_fan_out : t->fan_out;
    switch (mode) {
    case FANIN_FAN_OUT: return out;
    case FANIN_FAN_AVG: return (in + out) / 2;
    case FANIN_FAN_GEO_AVG: return sqrt(in * out);
    case FANIN_FAN_IN:
    case FANIN_FAN_DEFAULT: break;
    }
    return in;
}

/* torch's kaiming_* takes a=0 where its nonlinearity is leaky_relu; calculate_gain alone takes .01. */
fanin_status fanin__rule_gain(const fanin__recipe *plan, double *gain, fanin_err *err) {
    const fanin_rule *r = plan->rule;
    *gain = plan->row->gain;
    if (!isnan(r->gain)) {
        *gain = r->gain;
        return FANIN_OK;
    }
    bool he = plan->row->gain > 1;
    double a = he ? fanin__or(r->a, 0) : r->a;
    if (r->nonlinearity[0]) return fanin_gain_torch(r->nonlinearity, a, gain, err);
    if (!isnan(r->a)) return fanin_gain_torch("leaky_relu", a, gain, err);
    return FANIN_OK;
}

fanin_status fanin__recipe_make(const fanin_rule *rule, const fanin_tensor *tensor,
                                fanin__recipe *plan, fanin_err *err) {
    *plan = (fanin__recipe){.rule = rule, .tensor = tensor, .row = fanin__rule_row_by_id(rule->id)};
    const char *name = fanin__tensor_name(tensor);
    if (!plan->row)
        return fanin_err_set(err, FANIN_ARG, "%s: no rule has the id %d", name, rule->id);
    if (tensor->rank < 0 || tensor->rank > FANIN_MAX_RANK)
        return fanin_err_set(err, FANIN_SHAPE, "%s: rank %d lies outside 0 to %d", name,
                             tensor->rank, FANIN_MAX_RANK);
    size_t count;
    if (!fanin__shape_count(tensor->dims, tensor->rank, &count)) {
        char shape[128];
        return fanin_err_set(err, FANIN_SHAPE, "%s: %s is no shape, or too large", name,
                             fanin__shape_text(tensor->dims, tensor->rank, shape, sizeof shape));
    }
    plan->count = count;
    plan->moments.gain = NAN;
    plan->moments.low = -INFINITY;
    plan->moments.high = INFINITY;
    plan->moments.elementwise = plan->row->elementwise;
    return plan->row->plan(plan, err);
}

fanin_status fanin_rule_apply(const fanin_rule *rule, const fanin_tensor *tensor,
                              fanin_moments *moments, fanin_err *err) {
    fanin__recipe plan;
    fanin_status status = fanin__recipe_make(rule, tensor, &plan, err);
    *moments = plan.moments;
    return status;
}

fanin_status fanin_rule_fill(const fanin_rule *rule, const fanin_tensor *tensor, uint64_t seed,
                             uint64_t first, size_t n, fanin_dtype dtype, void *out,
                             fanin_err *err) {
    fanin__recipe plan;
    FANIN_TRY(fanin__recipe_make(rule, tensor, &plan, err));
    if (!fanin_dtype_is_float(dtype))
        return fanin_err_set(err, FANIN_ARG, "%s: %s is not a floating type",
                             fanin__tensor_name(tensor), fanin_dtype_name(dtype));
    if (first > plan.count || n > plan.count - first)
        return fanin_err_set(err, FANIN_ARG, "%s: elements %llu to %llu asked, it has %llu",
                             fanin__tensor_name(tensor), (unsigned long long)first,
                             (unsigned long long)first + n, (unsigned long long)plan.count);
    return n ? plan.row->fill(&plan, seed, first, n, dtype, out, err) : FANIN_OK;
}
