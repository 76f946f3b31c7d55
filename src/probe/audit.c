/* audit.c - verdicts: what was measured held against what was declared, and against the usual rules. */
#include "fanin/audit.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/measure.h"

struct fanin_audit {
    int count;
    fanin_audit_tensor *tensors;
};

/* One tensor under examination. */
typedef struct subject {
    const fanin_audit_item *item;
    const fanin__measure *m;
    fanin_audit_tensor *out;
    double alpha; /* of this tensor */
} subject;

/* A rule with what it means for the tensor. */
typedef struct claim {
    fanin_rule rule;
    fanin_moments moments;
    fanin__law law;
    bool orthogonal;
} claim;

const char *fanin_fault_name(fanin_fault_kind kind) {
    switch (kind) {
#define FAULT_NAME(id, value, name) \
    case FANIN_FAULT_##id: return name;
        FANIN_FAULT_MAP(FAULT_NAME)
#undef FAULT_NAME
    }
    return "?";
}

FANIN_PRINTF(3, 4)
static void fault(const subject *s, fanin_fault_kind kind, const char *format, ...) {
    if (s->out->fault_count == FANIN_AUDIT_FAULTS) return;
    fanin_fault *f = &s->out->faults[s->out->fault_count++];
    va_list args;
    va_start(args, format);
    f->kind = kind;
    vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
}

/* ---- claims ------------------------------------------------------------------------------ */

static fanin__shape shape_of(const char *rule, const fanin_moments *m) {
    static const char *const others[] = {"rademacher", "sparse", "unit_norm", "nguyen_widrow"};
    if (m->std == 0) return FANIN__SHAPE_CONSTANT;
    for (size_t i = 0; i < FANIN_COUNT(others); i++)
        if (strcmp(others[i], rule) == 0) return FANIN__SHAPE_OTHER;
    double low = (m->mean - m->low) / m->std, high = (m->high - m->mean) / m->std;
    if (low > 8 && high > 8) return FANIN__SHAPE_NORMAL;
    if (fabs(low - 1.7320508) < 1e-4 && fabs(high - 1.7320508) < 1e-4) return FANIN__SHAPE_UNIFORM;
    if (fabs(low - 2.2736944) < 1e-4 && fabs(high - 2.2736944) < 1e-4) return FANIN__SHAPE_CUT;
    return FANIN__SHAPE_OTHER;
}

static bool claim_of(const fanin_rule *rule, const fanin_tensor *tensor, claim *c) {
    c->rule = *rule;
    if (fanin_rule_apply(rule, tensor, &c->moments, NULL) != FANIN_OK) return false;
    const char *name = fanin_rule_describe(rule).name;
    c->orthogonal = strcmp(name, "orthogonal") == 0;
    c->law = (fanin__law){.shape = c->orthogonal ? FANIN__SHAPE_OTHER : shape_of(name, &c->moments),
                          .mean = c->moments.mean,
                          .std = c->moments.std};
    return true;
}

static bool claim_text(const char *text, const fanin_tensor *tensor, claim *c) {
    fanin_rule rule;
    return fanin_rule_parse(text, &rule, NULL) == FANIN_OK && claim_of(&rule, tensor, c);
}

static bool drawn(const claim *c) {
    return c->law.shape == FANIN__SHAPE_NORMAL || c->law.shape == FANIN__SHAPE_UNIFORM ||
           c->law.shape == FANIN__SHAPE_CUT;
}

/* Outside a bounded law by more than a rounding. */
static bool beyond(const subject *s, const claim *c) {
    double slack = (fanin_dtype_size(s->item->array.dtype) == 1   ? 0.13
                    : fanin_dtype_size(s->item->array.dtype) == 2 ? 0.005
                                                                  : 1e-6) *
                   fmax(fabs(c->moments.low), fabs(c->moments.high));
    return s->m->min < c->moments.low - slack || s->m->max > c->moments.high + slack;
}

static double least_p(fanin__p_values p) {
    return fmin(1, 4 * fmin(fmin(p.mean, p.variance), fmin(p.shape, p.extreme)));
}

static double claim_p(const subject *s, const claim *c) {
    if (c->law.shape == FANIN__SHAPE_CONSTANT)
        return s->m->std == 0 &&
                       fabs(s->m->mean - c->law.mean) <=
                           0.07 * (fanin_dtype_size(s->item->array.dtype) < 4) * fabs(c->law.mean) +
                               1e-6 * fabs(c->law.mean)
                   ? 1
                   : 0;
    if (!drawn(c) || s->m->std == 0 || beyond(s, c)) return 0;
    return least_p(fanin__law_test(s->m, &c->law, s->item->array.dtype));
}

/* ---- orthogonality ----------------------------------------------------------------------- */

/* Largest |cosine| among up to 200 pairs of lines of the shorter side of the first block, and the mean square length over
 * what it should be, less 1. Stored out x rest only; false for other layouts. */
static bool line_errors(const subject *s, const claim *c, double *cosine, double *length) {
    const fanin_tensor *t = &s->item->tensor;
    const fanin_array *a = &s->item->array;
    if (t->out_axis != 0 || t->in_axis != 1 || c->moments.gain <= 0) return false;
    int64_t groups = c->rule.groups ? c->rule.groups : t->groups > 0 ? t->groups : 1;
    size_t blocks = (size_t)(groups * (t->parts > 0 ? t->parts : 1)),
           rows = (size_t)t->dims[0] / blocks;
    size_t cols = rows ? (size_t)s->m->n / blocks / rows : 0, size = fanin_dtype_size(a->dtype);
    if (rows < 2 || cols < 2) return false;
    size_t lines = rows < cols ? rows : cols, across = rows < cols ? cols : rows;
    size_t line = rows < cols ? cols : 1, step = rows < cols ? 1 : cols;
    *cosine = 0;
    *length = 0;
    for (size_t pair = 0; pair < 200; pair++) {
        size_t i = pair * 7919 % lines, j = (i + 1 + pair % (lines - 1)) % lines;
        double xy = 0, xx = 0;
        for (size_t k = 0; k < across; k++) {
            double x, y;
            _Alignas(8) unsigned char bits[2][8];
            memcpy(bits[0], (const char *)a->data + (i * line + k * step) * size, size);
            memcpy(bits[1], (const char *)a->data + (j * line + k * step) * size, size);
            fanin_convert_to_f64(bits[0], a->dtype, 1, &x);
            fanin_convert_to_f64(bits[1], a->dtype, 1, &y);
            xy += x * y;
            xx += x * x;
        }
        double gain2 = c->moments.gain * c->moments.gain;
        *cosine = fmax(*cosine, fabs(xy) / gain2);
        *length = fmax(*length, fabs(xx / gain2 - 1));
    }
    return true;
}

static double orthogonal_limit(fanin_dtype dtype) {
    return fanin_dtype_size(dtype) == 1 ? 0.1 : fanin_dtype_size(dtype) == 2 ? 0.01 : 1e-4;
}

static bool is_orthogonal(const subject *s, const claim *c, bool *known) {
    double cosine, length, limit = orthogonal_limit(s->item->array.dtype);
    *known = line_errors(s, c, &cosine, &length);
    return *known && cosine <= limit && length <= limit;
}

/* ---- fits -------------------------------------------------------------------------------- */

static void add_fit(const subject *s, const char *rule, double p) {
    if (p < s->alpha) return;
    fanin_audit_tensor *o = s->out;
    int at = 0;
    while (at < o->fit_count && o->fits[at].p_value >= p) at++;
    if (at == FANIN_AUDIT_FITS) return;
    if (o->fit_count < FANIN_AUDIT_FITS) o->fit_count++;
    memmove(&o->fits[at + 1], &o->fits[at], (size_t)(o->fit_count - 1 - at) * sizeof o->fits[0]);
    snprintf(o->fits[at].rule, sizeof o->fits[at].rule, "%s", rule);
    o->fits[at].p_value = p;
}

static void find_fits(const subject *s, const claim *declared) {
    static const char *const usual[] = {"zeros",
                                        "ones",
                                        "xavier_uniform",
                                        "xavier_normal",
                                        "xavier_truncated_normal",
                                        "he_uniform",
                                        "he_normal",
                                        "he_truncated_normal",
                                        "lecun_uniform",
                                        "lecun_normal",
                                        "lecun_truncated_normal",
                                        "torch_default",
                                        "he_normal:mode=fan_out",
                                        "he_uniform:mode=fan_out",
                                        "lecun_normal:mode=fan_out",
                                        "normal:std=0.02",
                                        "truncated_normal:std=0.02,bounds=sigma",
                                        "orthogonal"};
    char text[512] = "";
    if (declared) {
        fanin_rule_text(&declared->rule, text, sizeof text);
        bool known, fits = declared->orthogonal && is_orthogonal(s, declared, &known);
        add_fit(s, text, fits ? 1 : claim_p(s, declared));
    }
    for (size_t i = 0; i < FANIN_COUNT(usual); i++) {
        claim c;
        if (strcmp(usual[i], text) == 0 || !claim_text(usual[i], &s->item->tensor, &c)) continue;
        bool known;
        add_fit(s, usual[i], c.orthogonal ? (double)is_orthogonal(s, &c, &known) : claim_p(s, &c));
    }
}

/* ---- faults of the law ------------------------------------------------------------------- */

static bool takes_mode(const fanin_rule *rule) {
    return strstr(fanin_rule_describe(rule).options, "mode") != NULL;
}

/* The same rule over another fan has the deviation that is seen. */
static bool blame_fan(const subject *s, const claim *declared) {
    static const char *const names[] = {"", "fan_in", "fan_out"};
    if (!takes_mode(&declared->rule)) return false;
    for (int mode = FANIN_FAN_IN; mode <= (int)FANIN_FAN_OUT; mode++) {
        fanin_rule other = declared->rule;
        claim c;
        other.mode = (fanin_fan_mode)mode;
        if (!claim_of(&other, &s->item->tensor, &c) ||
            fabs(c.law.std / declared->law.std - 1) < 0.01 || claim_p(s, &c) < s->alpha)
            continue;
        fault(s, FANIN_FAULT_WRONG_FAN,
              "the deviation %.4g is that of %s; declared were %.4g (fan_in %g, fan_out %g), a "
              "factor of %.4g",
              s->m->std, names[mode], declared->law.std, s->item->tensor.fan_in,
              s->item->tensor.fan_out, s->m->std / declared->law.std);
        return true;
    }
    return false;
}

static bool own_scale_fits(const subject *s, fanin__shape shape) {
    fanin__law law = {.shape = shape, .mean = s->m->mean, .std = s->m->std};
    fanin__p_values p = fanin__law_test(s->m, &law, s->item->array.dtype);
    return 2 * fmin(p.shape, p.extreme) >= s->alpha;
}

static void blame(const subject *s, const claim *declared) {
    static const char *const shapes[] = {"other", "constant", "uniform", "normal",
                                         "normal cut at 2 sigma"};
    claim torch;
    if (fanin_class_is_weight(s->item->tensor.cls) &&
        claim_text("torch_default", &s->item->tensor, &torch) && claim_p(s, &torch) >= s->alpha) {
        fault(s, FANIN_FAULT_DEFAULT, "torch's default U(+-%.4g) was left in place",
              torch.moments.high);
        return;
    }
    if (declared->law.shape == FANIN__SHAPE_NORMAL && s->m->n >= 64 &&
        own_scale_fits(s, FANIN__SHAPE_CUT) && !own_scale_fits(s, FANIN__SHAPE_NORMAL)) {
        fault(s, FANIN_FAULT_TRUNCATED,
              "a normal cut at 2 sigma (largest value %.3f deviations); an uncut one was declared",
              fmax(s->m->max - s->m->mean, s->m->mean - s->m->min) / s->m->std);
        return;
    }
    if (!own_scale_fits(s, declared->law.shape)) {
        fault(s, FANIN_FAULT_WRONG_LAW, "not %s: kurtosis %.3g, values from %.4g to %.4g",
              shapes[declared->law.shape], s->m->kurtosis, s->m->min, s->m->max);
        return;
    }
    if (blame_fan(s, declared)) return;
    fanin__p_values p = fanin__law_test(s->m, &declared->law, s->item->array.dtype);
    if (p.variance <= p.mean)
        fault(s, FANIN_FAULT_WRONG_SCALE, "deviation %.4g, declared %.4g: off by a factor of %.4g",
              s->m->std, declared->law.std, s->m->std / declared->law.std);
    else
        fault(s, FANIN_FAULT_WRONG_LAW, "mean %.4g, declared %.4g", s->m->mean, declared->law.mean);
}

static void check_constant(const subject *s, double value) {
    claim c = {.law = {.shape = FANIN__SHAPE_CONSTANT, .mean = value}};
    if (s->m->std > 0)
        fault(s, FANIN_FAULT_NOT_CONSTANT, "%s with mean %.4g and std %.4g; declared %g everywhere",
              fanin_class_name(s->item->tensor.cls), s->m->mean, s->m->std, value);
    else if (claim_p(s, &c) == 0)
        fault(s, FANIN_FAULT_WRONG_CONSTANT, "%g everywhere, declared %g", s->m->mean, value);
}

static void check_declared(const subject *s, const claim *c) {
    if (c->law.shape == FANIN__SHAPE_CONSTANT) {
        check_constant(s, c->law.mean);
    } else if (s->m->std == 0 && s->m->mean == 0) {
        fault(s, FANIN_FAULT_ALL_ZERO, "all %llu elements are 0", (unsigned long long)s->m->n);
    } else if (c->orthogonal) {
        bool known, fits = is_orthogonal(s, c, &known);
        if (known && !fits)
            fault(s, FANIN_FAULT_NOT_ORTHOGONAL, "lines are not orthogonal of length %g (std %.4g)",
                  c->moments.gain, s->m->std);
    } else if (drawn(c) && claim_p(s, c) < s->alpha) {
        blame(s, c);
    }
}

/* ---- faults of the bits ------------------------------------------------------------------ */

/* Patterns of a 16-bit type that n draws of the law touch: expectation and variance. */
static bool expected_patterns(const subject *s, const fanin__law *law, double *mean, double *var) {
    uint16_t *patterns = fanin_malloc(65536 * sizeof *patterns);
    double *values = fanin_malloc(65536 * sizeof *values);
    bool ok = patterns && values;
    *mean = *var = 0;
    if (ok) {
        for (int i = 0; i < 65536; i++) patterns[i] = (uint16_t)i;
        fanin_convert_to_f64(patterns, s->item->array.dtype, 65536, values);
        for (int i = 1; i < 32767 && isfinite(values[i + 1]); i++) {
            double low = (values[i - 1] + values[i]) / 2, high = (values[i] + values[i + 1]) / 2;
            double share[2] = {fanin__law_cdf(law, high) - fanin__law_cdf(law, low),
                               fanin__law_cdf(law, -low) - fanin__law_cdf(law, -high)};
            for (int side = 0; side < 2; side++) {
                double missed =
                    exp((double)s->m->binned * log1p(-fmin(fmax(share[side], 0), 0.999)));
                *mean += 1 - missed;
                *var += missed * (1 - missed);
            }
        }
    }
    fanin_free(patterns);
    fanin_free(values);
    return ok;
}

static void check_precision(const subject *s, const claim *c) {
    const fanin__measure *m = s->m;
    if (s->item->array.dtype == FANIN_F32 && m->n >= 16 && m->coarse == m->n) {
        fault(s, FANIN_FAULT_LOW_PRECISION,
              "all values have the 8 significant bits of bf16 in a tensor of f32");
        return;
    }
    double mean, var;
    if (m->distinct == 0 || m->n < 1000 || (double)m->distinct > fmin((double)m->n / 4, 1000))
        return;
    if (!expected_patterns(s, &c->law, &mean, &var)) return;
    if ((double)m->distinct < 0.9 * mean - 6 * sqrt(var))
        fault(s, FANIN_FAULT_LOW_PRECISION,
              "%llu different values, a law rounded once would show about %.0f: drawn in few bits",
              (unsigned long long)m->distinct, mean);
}

static void check_repeats(const subject *s) {
    if (s->m->repeats >= 4)
        fault(s, FANIN_FAULT_REPEATED_BLOCK,
              "elements near %llu come again near %llu (%llu windows of 8 agree)",
              (unsigned long long)s->m->repeat_from, (unsigned long long)s->m->repeat_to,
              (unsigned long long)s->m->repeats);
}

static void examine(const subject *s) {
    const fanin_audit_item *item = s->item;
    claim c;
    bool declared = item->declared && claim_of(item->declared, &item->tensor, &c);
    if (s->m->not_finite) {
        fault(s, FANIN_FAULT_NAN, "%llu of %llu values are not finite",
              (unsigned long long)s->m->not_finite, (unsigned long long)s->out->count);
        return;
    }
    find_fits(s, declared ? &c : NULL);
    if (declared) {
        if (drawn(&c) && s->m->std > 0) check_precision(s, &c);
        check_declared(s, &c);
    } else if (item->tensor.cls == FANIN_CLASS_NORM_SCALE) {
        check_constant(s, 1);
    } else if (fanin_class_is_weight(item->tensor.cls) && s->m->std == 0 && s->m->mean == 0) {
        fault(s, FANIN_FAULT_ALL_ZERO, "all %llu elements are 0", (unsigned long long)s->m->n);
    }
    if (!declared || drawn(&c) || c.orthogonal) check_repeats(s);
}

/* ---- the whole ---------------------------------------------------------------------------- */

/* Drawn tensors of the same type and size with the same sums are compared byte for byte. */
static void find_identical(const fanin_audit_item *items, fanin_audit *audit) {
    for (int i = 0; i < audit->count; i++)
        for (int j = 0; j < i; j++) {
            const fanin_audit_tensor *a = &audit->tensors[i], *b = &audit->tensors[j];
            const fanin_array *x = &items[i].array, *y = &items[j].array;
            if (!(a->std > 0) || a->count < 4 || a->std != b->std || a->mean != b->mean ||
                x->size != y->size || x->dtype != y->dtype || x->data == y->data ||
                memcmp(x->data, y->data, x->size) != 0)
                continue;
            claim c;
            if (items[i].declared && claim_of(items[i].declared, &items[i].tensor, &c) &&
                !drawn(&c) && !c.orthogonal)
                continue;
            subject s = {.out = &audit->tensors[i]};
            fault(&s, FANIN_FAULT_IDENTICAL_TENSORS, "holds the same %zu bytes as %s", x->size,
                  y->name ? y->name : "another tensor");
            break;
        }
}

static fanin_status examine_item(const fanin_audit_item *item, double alpha,
                                 fanin_audit_tensor *out, fanin_err *err) {
    const fanin_array *a = &item->array;
    size_t count, size;
    const char *name = a->name ? a->name : "";
    if (!fanin_dtype_is_float(a->dtype)) return FANIN_OK;
    if (!fanin__shape_count(a->dims, a->rank, &count) ||
        !fanin__size_mul(count, fanin_dtype_size(a->dtype), &size) || size != a->size ||
        (!a->data && size))
        return fanin_err_set(err, FANIN_ARG, "%s: %zu bytes do not make its shape", name, a->size);
    out->count = count;
    if (count == 0) return FANIN_OK;
    fanin__measure *m = fanin_malloc(sizeof *m);
    fanin_status status = m ? fanin__measure_make(a, count, m) : FANIN_NOMEM;
    if (status == FANIN_OK) {
        out->not_finite = m->not_finite;
        out->zeros = m->zeros;
        out->mean = m->mean;
        out->std = m->std;
        out->kurtosis = m->kurtosis;
        out->min = m->min;
        out->max = m->max;
        examine(&(subject){.item = item, .m = m, .out = out, .alpha = alpha});
    }
    fanin_free(m);
    return status == FANIN_OK ? status
                              : fanin_err_set(err, status, "%s: no memory to read it", name);
}

fanin_status fanin_audit_create(const fanin_audit_item *items, int count,
                                const fanin_audit_options *options, fanin_audit **audit,
                                fanin_err *err) {
    *audit = NULL;
    fanin_audit *a = fanin_calloc(1, sizeof *a);
    if (a) a->tensors = fanin_calloc((size_t)(count > 0 ? count : 1), sizeof *a->tensors);
    if (!a || !a->tensors) {
        fanin_free(a);
        return fanin_err_set(err, FANIN_NOMEM, "no memory for %d tensors", count);
    }
    a->count = count > 0 ? count : 0;
    double alpha = (options && options->alpha > 0 ? options->alpha : 1e-3) / fmax(count, 1);
    double total = 0, done = 0;
    for (int i = 0; i < count; i++) total += (double)items[i].array.size;
    fanin_status status = FANIN_OK;
    for (int i = 0; i < count && status == FANIN_OK; i++) {
        a->tensors[i].mean = a->tensors[i].std = NAN;
        status = fanin_interrupted() ? fanin_err_set(err, FANIN_INTERRUPTED, "audit interrupted")
                                     : examine_item(&items[i], alpha, &a->tensors[i], err);
        done += (double)items[i].array.size;
        if (options && options->progress.report)
            options->progress.report(options->progress.ctx, "audit", done, total);
    }
    if (status == FANIN_OK) {
        find_identical(items, a);
        *audit = a;
    } else {
        fanin_audit_destroy(a);
    }
    return status;
}

void fanin_audit_destroy(fanin_audit *audit) {
    if (!audit) return;
    fanin_free(audit->tensors);
    fanin_free(audit);
}

int fanin_audit_count(const fanin_audit *audit) { return audit->count; }

const fanin_audit_tensor *fanin_audit_at(const fanin_audit *audit, int i) {
    return i >= 0 && i < audit->count ? &audit->tensors[i] : NULL;
}

bool fanin_audit_ok(const fanin_audit *audit) {
    for (int i = 0; i < audit->count; i++)
        if (audit->tensors[i].fault_count) return false;
    return true;
}

double fanin_audit_power(double n, double ratio, double kurtosis, double alpha) {
    double k = 2 / (9 * 2 * n / (kurtosis - 1)), low = 0, high = 40;
    for (int i = 0; i < 100; i++) {
        double z = (low + high) / 2;
        *(fanin__two_sided(z) > alpha ? &low : &high) = z;
    }
    double scale = cbrt(ratio * ratio), spread = scale * sqrt(k), centre = scale * (1 - k);
    double above = (centre - (1 - k + low * sqrt(k))) / spread;
    double below = ((1 - k - low * sqrt(k)) - centre) / spread;
    return erfc(-above * 0.70710678118654752) / 2 + erfc(-below * 0.70710678118654752) / 2;
}
