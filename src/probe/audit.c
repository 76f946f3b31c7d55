/* audit.c - verdicts: what was measured held against what was declared, and against the usual rules. */
#include "fanin/audit.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/audit.h"

struct fanin_audit {
    int count;
    fanin_audit_tensor *tensors;
};

const char *fanin_fault_name(fanin_fault_kind kind) {
    switch (kind) {
#define FAULT_NAME(id, value, name) \
    case FANIN_FAULT_##id: return name;
        FANIN_FAULT_MAP(FAULT_NAME)
#undef FAULT_NAME
    }
    return "?";
}

void fanin__fault(const fanin__subject *s, fanin_fault_kind kind, const char *format, ...) {
    if (s->out->fault_count == FANIN_AUDIT_FAULTS) return;
    fanin_fault *f = &s->out->faults[s->out->fault_count++];
    va_list args;
    va_start(args, format);
    f->kind = kind;
    vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
}

/* ---- faults of the law ------------------------------------------------------------------- */

static void check_constant(fanin__subject *s, double value) {
    fanin__claim c = {.kind = FANIN__FORM_LAW,
                      .law = {.shape = FANIN__SHAPE_CONSTANT, .mean = value}};
    if (s->m->std > 0)
        fanin__fault(s, FANIN_FAULT_NOT_CONSTANT,
                     "%s with mean %.4g and std %.4g; declared %g everywhere",
                     fanin_class_name(s->item->tensor.cls), s->m->mean, s->m->std, value);
    else if (fanin__claim_p(s, &c) == 0)
        fanin__fault(s, FANIN_FAULT_WRONG_CONSTANT, "%g everywhere, declared %g", s->m->mean,
                     value);
}

static void check_declared(fanin__subject *s, fanin__claim *c) {
    if (c->kind == FANIN__FORM_LAW && c->law.shape == FANIN__SHAPE_CONSTANT)
        check_constant(s, c->law.mean);
    else if (s->m->std == 0 && s->m->mean == 0)
        fanin__fault(s, FANIN_FAULT_ALL_ZERO, "all %llu elements are 0",
                     (unsigned long long)s->m->n);
    else if (fanin__claim_p(s, c) < s->alpha && s->status == FANIN_OK)
        fanin__blame(s, c);
}

/* ---- faults of the bits ------------------------------------------------------------------ */

/* Patterns of a 16-bit type that n draws of the law touch: expectation and variance. */
static bool expected_patterns(fanin__subject *s, const fanin__law *law, double *mean, double *var) {
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

static void check_precision(fanin__subject *s, const fanin__claim *c) {
    const fanin__measure *m = s->m;
    if (s->item->array.dtype == FANIN_F32 && m->n >= 16 && m->coarse == m->n) {
        fanin__fault(s, FANIN_FAULT_LOW_PRECISION,
                     "all values have the 8 significant bits of bf16 in a tensor of f32");
        return;
    }
    double mean, var;
    if (m->distinct == 0 || m->n < 1000 || (double)m->distinct > fmin((double)m->n / 4, 1000))
        return;
    if (!expected_patterns(s, &c->law, &mean, &var))
        s->status = FANIN_NOMEM;
    else if ((double)m->distinct < 0.9 * mean - 6 * sqrt(var))
        fanin__fault(
            s, FANIN_FAULT_LOW_PRECISION,
            "%llu different values, a law rounded once would show about %.0f: drawn in few bits",
            (unsigned long long)m->distinct, mean);
}

/* A law with a density gives no zeros but those that underflow, and those of a generator's coarsest grid (2^-22 of
 * all): rows that were forgotten, masks. Returns whether it spoke. */
static bool check_zeros(fanin__subject *s, const fanin__claim *c) {
    double tiny = fanin__underflow(s->item->array.dtype), zeros = (double)s->m->zeros;
    double share = fanin__law_cdf(&c->law, tiny) - fanin__law_cdf(&c->law, -tiny);
    double expected = (double)s->m->n * (fmax(share, 0) * (1 + tiny) + 0x1p-22);
    if (fanin_dtype_size(s->item->array.dtype) == 1) expected *= 1.1; /* steps of subnormals */
    if (fanin__poisson_above(zeros, expected) >= s->alpha) return false;
    fanin__fault(s, FANIN_FAULT_ZEROS, "%llu of %llu elements are 0, the law gives about %.3g",
                 (unsigned long long)s->m->zeros, (unsigned long long)s->m->n, expected);
    return true;
}

static void check_repeats(fanin__subject *s) {
    if (s->m->repeats >= 4)
        fanin__fault(s, FANIN_FAULT_REPEATED_BLOCK,
                     "elements near %llu come again near %llu (%llu windows of 8 agree)",
                     (unsigned long long)s->m->repeat_from, (unsigned long long)s->m->repeat_to,
                     (unsigned long long)s->m->repeats);
}

static void examine(fanin__subject *s) {
    const fanin_audit_item *item = s->item;
    fanin__claim c;
    bool declared = item->declared && fanin__claim_of(item->declared, &item->tensor, &c);
    if (s->m->not_finite) {
        fanin__fault(s, FANIN_FAULT_NAN, "%llu of %llu values are not finite",
                     (unsigned long long)s->m->not_finite, (unsigned long long)s->out->count);
        return;
    }
    fanin__find_fits(s, declared ? &c : NULL);
    bool drawn = declared && fanin__claim_drawn(&c) && s->m->std > 0;
    if (drawn) check_precision(s, &c);
    if (declared) { /* zeros would bend every other figure */
        if (!drawn || !check_zeros(s, &c)) check_declared(s, &c);
    } else if (item->tensor.cls == FANIN_CLASS_NORM_SCALE) {
        check_constant(s, 1);
    } else if (fanin_class_is_weight(item->tensor.cls) && s->m->std == 0 && s->m->mean == 0) {
        fanin__fault(s, FANIN_FAULT_ALL_ZERO, "all %llu elements are 0",
                     (unsigned long long)s->m->n);
    }
    if (!declared || c.kind != FANIN__FORM_CLOSED) check_repeats(s);
}

/* ---- the whole ---------------------------------------------------------------------------- */

/* Two tensors of a random rule could be equal by chance only if they hold few bits. */
static bool may_be_equal(const fanin_audit_item *item) {
    fanin__claim c;
    if (item->array.size < 16) return true;
    if (!item->declared || !fanin__claim_of(item->declared, &item->tensor, &c)) return false;
    if (c.kind == FANIN__FORM_SIGNS) return c.recipe.count < 128;
    return c.kind == FANIN__FORM_CLOSED ||
           (c.kind == FANIN__FORM_LAW && c.law.shape == FANIN__SHAPE_CONSTANT);
}

/* Drawn tensors of the same type and size with the same sums are compared byte for byte. */
static void find_identical(const fanin_audit_item *items, fanin_audit *audit) {
    for (int i = 0; i < audit->count; i++)
        for (int j = 0; j < i; j++) {
            const fanin_audit_tensor *a = &audit->tensors[i], *b = &audit->tensors[j];
            const fanin_array *x = &items[i].array, *y = &items[j].array;
            if (!(a->std > 0) || a->std != b->std || a->mean != b->mean || x->size != y->size ||
                x->dtype != y->dtype || x->data == y->data ||
                memcmp(x->data, y->data, x->size) != 0 || may_be_equal(&items[i]))
                continue;
            fanin__subject s = {.out = &audit->tensors[i]};
            fanin__fault(&s, FANIN_FAULT_IDENTICAL_TENSORS, "holds the same %zu bytes as %s",
                         x->size, y->name ? y->name : "another tensor");
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
        fanin__subject s = {.item = item, .m = m, .out = out, .alpha = alpha};
        examine(&s);
        status = s.status;
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
