/* fanin/audit.h - does this finished checkpoint hold what was declared?
 *
 * Every tensor is read once or twice at the speed of memory; its moments, its histogram and its bits are held
 * against the rule that was declared, against the rules that are usual, and against the other tensors.
 *
 *     fanin_audit_item items[] = {{.array = *fanin_weights_at(w, 0), .tensor = t, .declared = &rule}};
 *     fanin_audit *audit;
 *     fanin_audit_create(items, 1, NULL, &audit, &err);
 *     const fanin_audit_tensor *a = fanin_audit_at(audit, 0);
 *     for (int i = 0; i < a->fault_count; i++) puts(a->faults[i].text);
 *     fanin_audit_destroy(audit);
 *
 * A rule fits with p = min(1, 4 min(p_mean, p_variance, p_shape, p_extreme)): the mean against its normal law, the
 * variance against a chi-square law with 2n / (kurtosis - 1) degrees of freedom (Wilson and Hilferty 1931), the
 * histogram in up to 32 classes of equal probability against chi-square. A tensor is at fault below
 * alpha / number of tensors. docs/audit.md says how small a tensor may be for each fault to be seen.
 */
#ifndef FANIN_AUDIT_H
#define FANIN_AUDIT_H

#include <fanin/format.h>
#include <fanin/init.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What can be wrong. Rows: id, value, name in reports. */
#define FANIN_FAULT_MAP(X) \
    X(NAN, 1, "nan")                        /* values that are not finite */ \
    X(ALL_ZERO, 2, "all_zero")              /* weights that are all 0 and should not be */ \
    X(NOT_CONSTANT, 3, "not_constant")      /* a constant was declared: biases, norm scales */ \
    X(WRONG_CONSTANT, 4, "wrong_constant")  /* constant, but another one */ \
    X(WRONG_FAN, 5, "wrong_fan")            /* the deviation that another fan would give */ \
    X(WRONG_SCALE, 6, "wrong_scale")        /* the law's shape, another deviation */ \
    X(TRUNCATED, 7, "truncated")            /* cut at 2 sigma where a normal was declared */ \
    X(WRONG_LAW, 8, "wrong_law")            /* another distribution */ \
    X(DEFAULT, 9, "default_left")           /* torch's default where another rule was declared */ \
    X(LOW_PRECISION, 10, "low_precision")   /* drawn in fewer bits than the type holds */ \
    X(REPEATED_BLOCK, 11, "repeated_block") /* a run of elements occurs twice in the tensor */ \
    X(IDENTICAL_TENSORS, 12, "identical")   /* the same bytes as another drawn tensor */ \
    X(NOT_ORTHOGONAL, 13, "not_orthogonal") /* orthogonal was declared */ \
    X(WRONG_VALUE, 14, "wrong_value")       /* not what a rule without chance puts there */ \
    X(WRONG_SPARSITY, 15, \
      "wrong_sparsity")   /* a line of a sparse matrix with more or fewer values */ \
    X(ZEROS, 16, "zeros") /* zeros where the law gives none: a row left out */

typedef enum fanin_fault_kind {
#define FANIN_FAULT_ENUM(id, value, name) FANIN_FAULT_##id = (value),
    FANIN_FAULT_MAP(FANIN_FAULT_ENUM)
#undef FANIN_FAULT_ENUM
} fanin_fault_kind;

FANIN_API const char *fanin_fault_name(fanin_fault_kind kind); /* "wrong_fan"; "?" if unknown */

typedef struct fanin_fault {
    fanin_fault_kind kind;
    char text[256]; /* one sentence with the values seen and expected */
} fanin_fault;

typedef struct fanin_fit {
    char rule[96];
    double p_value;
} fanin_fit;

enum { FANIN_AUDIT_FITS = 6, FANIN_AUDIT_FAULTS = 6 };

/* data of `array` must be there; `tensor` has its class, axes and fans. */
typedef struct fanin_audit_item {
    fanin_array array;
    fanin_tensor tensor;
    const fanin_rule *declared; /* NULL: nothing; only faults that no rule excuses are looked for */
} fanin_audit_item;

typedef struct fanin_audit_options {
    double alpha; /* of a whole audit; 0: 1e-3 */
    fanin_progress progress;
} fanin_audit_options;

typedef struct fanin_audit_tensor {
    uint64_t count, not_finite, zeros;
    double mean, std, kurtosis, min, max; /* of the finite ones */
    fanin_fit fits[FANIN_AUDIT_FITS];     /* best first; those that are not rejected */
    int fit_count;
    fanin_fault faults[FANIN_AUDIT_FAULTS];
    int fault_count;
} fanin_audit_tensor;

typedef struct fanin_audit fanin_audit;

/* Integer and empty tensors get no statistics and no faults. Repeatability: counts, sums and verdicts are the same on
 * any number of threads. Errors: NOMEM, INTERRUPTED, ARG for a floating tensor whose data is missing or whose size is
 * not that of its shape. *audit is NULL on failure. */
FANIN_API fanin_status fanin_audit_create(const fanin_audit_item *items, int count,
                                          const fanin_audit_options *options, fanin_audit **audit,
                                          fanin_err *err);
FANIN_API void fanin_audit_destroy(fanin_audit *audit);
FANIN_API int fanin_audit_count(const fanin_audit *audit);
FANIN_API const fanin_audit_tensor *fanin_audit_at(const fanin_audit *audit, int i);
FANIN_API bool fanin_audit_ok(const fanin_audit *audit); /* no tensor has a fault */

/* Chance that n elements of a law with this kurtosis whose deviation is `ratio` times the declared one are rejected by
 * the test of the variance at level alpha (two-sided). */
FANIN_API double fanin_audit_power(double n, double ratio, double kurtosis, double alpha);

#ifdef __cplusplus
}
#endif
#endif
