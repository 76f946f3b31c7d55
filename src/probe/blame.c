/* blame.c - a declared rule does not hold: which mistake made what is there? */
#include <math.h>
#include <stdio.h>

#include "probe/audit.h"

typedef struct suspect {
    const char *name;
    double factor; /* what the mistake multiplies the deviation with */
} suspect;

static bool own_scale_fits(const fanin__subject *s, fanin__law law) {
    fanin__p_values p = fanin__law_test(s->m, &law, s->item->array.dtype);
    return 2 * fmin(p.shape, p.extreme) >= s->alpha;
}

/* The declared law with another deviation. */
static fanin__law scaled(const fanin__law *law, double factor) {
    fanin__law l = *law;
    l.std *= factor;
    l.centre = l.mean + (law->centre - law->mean) * factor;
    l.parent *= factor;
    l.low = l.mean + (law->low - law->mean) * factor;
    l.high = l.mean + (law->high - law->mean) * factor;
    return l;
}

/* The suspect whose deviation is the one seen and stands nearest to it; NULL: none. */
static const suspect *find(const fanin__subject *s, const fanin__claim *declared,
                           const suspect *list, size_t count) {
    const suspect *best = NULL;
    double best_p = 0;
    for (size_t i = 0; i < count; i++) {
        if (!(list[i].factor > 0) || !isfinite(list[i].factor) || fabs(list[i].factor - 1) < 0.01)
            continue;
        fanin__law law = scaled(&declared->law, list[i].factor);
        double p = fanin__least_p(fanin__law_test(s->m, &law, s->item->array.dtype));
        if (p < s->alpha || p <= 1.001 * best_p) continue; /* the first of equals */
        best_p = p;
        best = &list[i];
    }
    return best;
}

static double fan_used(const fanin__claim *declared) {
    const fanin_moments *m = &declared->recipe.moments;
    return m->gain > 0 && m->std > 0 ? m->gain * m->gain / (m->std * m->std) : NAN;
}

/* Other fans that the same gain could have been taken over. The first two are the usual mistake; the others are believed
 * where no gain explains what is seen. */
enum { FANS = 15, MAIN_FANS = 2 };

static bool list_fans(const fanin__subject *s, const fanin__claim *declared, suspect list[FANS]) {
    const fanin_tensor *t = &s->item->tensor;
    double in = t->fan_in, out = t->fan_out, used = fan_used(declared), taps = 1;
    double groups = t->groups > 0 ? (double)t->groups : 1, parts = t->parts > 0 ? t->parts : 1;
    for (int i = 0; i < t->rank && t->out_axis >= 0 && t->in_axis >= 0; i++)
        if (i != t->out_axis && i != t->in_axis) taps *= (double)t->dims[i];
    const suspect fans[FANS] = {{"fan_in", in},
                                {"fan_out", out},
                                {"fan_avg", (in + out) / 2},
                                {"fan_geo_avg", sqrt(in * out)},
                                {"fan_in as torch counts it", t->torch_fan_in},
                                {"fan_out as torch counts it", t->torch_fan_out},
                                {"fan_in + fan_out", in + out},
                                {"the inputs without the kernel's positions", in / taps},
                                {"the outputs without the kernel's positions", out / taps},
                                {"fan_in of all groups together", in * groups},
                                {"fan_out of all groups together", out * groups},
                                {"fan_out of all packed parts", out * parts},
                                {"the first axis", t->rank > 0 ? (double)t->dims[0] : 0},
                                {"the last axis", t->rank > 0 ? (double)t->dims[t->rank - 1] : 0},
                                {"the number of elements", (double)s->m->n}};
    for (int i = 0; i < FANS; i++) list[i] = (suspect){fans[i].name, sqrt(used / fans[i].factor)};
    return used > 0;
}

static void blame_fan(const fanin__subject *s, const fanin__claim *declared, const char *name) {
    const fanin_tensor *t = &s->item->tensor;
    fanin__fault(s, FANIN_FAULT_WRONG_FAN,
                 "the deviation %.4g is that of %s; declared were %.4g (fan %g of fan_in %g and "
                 "fan_out %g), a factor of %.4g",
                 s->m->std, name, declared->law.std, fan_used(declared), t->fan_in, t->fan_out,
                 s->m->std / declared->law.std);
}

static const char *find_gain(const fanin__subject *s, const fanin__claim *declared) {
    double gain = declared->recipe.moments.gain, std = declared->law.std, used = fan_used(declared);
    if (!(gain > 0)) gain = NAN;
    const suspect gains[] = {
        {"gain 1 (linear, sigmoid)", 1 / gain},
        {"gain sqrt(2) (relu)", 1.4142135623730951 / gain},
        {"gain 5/3 (torch's tanh)", 5 / 3.0 / gain},
        {"gain 3/4 (torch's selu)", 0.75 / gain},
        {"gain 1/sqrt(3) (torch's a = sqrt 5)", 0.57735026918962576 / gain},
        {"gain 2: the relu's variance taken for its gain", 2 / gain},
        {"the gain squared", gain},
        {"1 over the gain", 1 / (gain * gain)},
        {"a variance where a deviation belongs", std},
        {"a deviation where a variance belongs", 1 / sqrt(std)},
        {"1 over the fan, not over its root", 1 / sqrt(used)},
        {"a deviation taken for the bound of a uniform", 0.57735026918962576},
        {"a bound taken for the deviation", 1.7320508075688772},
        {"a cut at 2 sigma that was not made good for", 0.87962566103423978},
        {"a cut made good for that was not made", 1.1368472343385565},
        {"a branch scaled by 1/sqrt(2)", 0.70710678118654752},
    };
    const suspect *found = find(s, declared, gains, FANIN_COUNT(gains));
    return found ? found->name : NULL;
}

static void blame_scale(const fanin__subject *s, const fanin__claim *declared) {
    suspect fans[FANS];
    bool fan = list_fans(s, declared, fans);
    const suspect *usual = fan ? find(s, declared, fans, MAIN_FANS) : NULL;
    const char *gain = usual ? NULL : find_gain(s, declared);
    const suspect *other = usual || gain || !fan ? usual : find(s, declared, fans, FANS);
    if (other)
        blame_fan(s, declared, other->name);
    else
        fanin__fault(s, FANIN_FAULT_WRONG_SCALE,
                     "deviation %.4g, declared %.4g: off by a factor of %.4g%s%s", s->m->std,
                     declared->law.std, s->m->std / declared->law.std, gain ? ", that of " : "",
                     gain ? gain : "");
}

/* A cut where a normal was declared; with the deviation of either, since a cut lowers it. */
static bool blame_cut(const fanin__subject *s, const fanin__claim *declared) {
    if (declared->law.shape != FANIN__SHAPE_NORMAL || s->m->n < 64 ||
        !own_scale_fits(s, fanin__law_cut_at_2(s->m->mean, s->m->std)) ||
        own_scale_fits(s, fanin__law_normal(s->m->mean, s->m->std)))
        return false;
    fanin__fault(
        s, FANIN_FAULT_TRUNCATED,
        "a normal cut at 2 sigma (largest value %.3f deviations); an uncut one was declared",
        fmax(s->m->max - s->m->mean, s->m->mean - s->m->min) / s->m->std);
    return true;
}

static void blame_law(fanin__subject *s, const fanin__claim *declared) {
    static const char *const shapes[] = {"constant", "uniform", "normal", "the cut normal",
                                         "of a sphere"};
    if (blame_cut(s, declared)) return;
    fanin__law own = scaled(&declared->law, s->m->std / declared->law.std);
    own.mean += s->m->mean - declared->law.mean;
    own.centre += s->m->mean - declared->law.mean;
    own.low += s->m->mean - declared->law.mean;
    own.high += s->m->mean - declared->law.mean;
    if (!own_scale_fits(s, own)) {
        fanin__fault(s, FANIN_FAULT_WRONG_LAW, "not %s: kurtosis %.3g, values from %.4g to %.4g",
                     shapes[declared->law.shape], s->m->kurtosis, s->m->min, s->m->max);
        return;
    }
    fanin__p_values p = fanin__law_test(s->m, &declared->law, s->item->array.dtype);
    if (p.variance <= p.mean)
        blame_scale(s, declared);
    else
        fanin__fault(s, FANIN_FAULT_WRONG_LAW, "mean %.4g, declared %.4g", s->m->mean,
                     declared->law.mean);
}

void fanin__blame(fanin__subject *s, fanin__claim *declared) {
    fanin__claim torch;
    bool form = declared->kind != FANIN__FORM_LAW;
    if (fanin_class_is_weight(s->item->tensor.cls) && s->m->std > 0 &&
        fanin__claim_text("torch_default", &s->item->tensor, &torch) &&
        fanin__claim_p(s, &torch) >= s->alpha) {
        fanin__fault(s, FANIN_FAULT_DEFAULT, "torch's default U(+-%.4g) was left in place",
                     torch.recipe.moments.high);
    } else if (form && declared->form.fault) {
        const fanin_audit_tensor *o = s->out;
        fanin__fault(s, declared->form.fault, "%s%s%.60s", declared->form.text,
                     o->fit_count ? "; it fits " : "", o->fit_count ? o->fits[0].rule : "");
    } else if (form) {
        fanin__fault(s, FANIN_FAULT_WRONG_LAW,
                     "the structure of %s, but not its law: p = %.2g, mean %.4g, kurtosis %.3g",
                     declared->recipe.row->name, declared->form.p, s->m->mean, s->m->kurtosis);
    } else {
        blame_law(s, declared);
    }
}
