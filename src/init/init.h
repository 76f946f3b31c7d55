/* init/init.h - rules inside: the row of the table, the plan of a rule for one tensor, and the
 * matrix that a stored tensor stands for. */
#ifndef FANIN_SRC_INIT_H
#define FANIN_SRC_INIT_H

#include "base/base.h"
#include "fanin/init.h"
#include "fanin/random.h"

typedef struct fanin__rule_row fanin__rule_row;

/* The matrices in a tensor. Packed parts and groups are equal blocks; one block has `out` rows and
 * in * taps columns, column = input * taps + kernel position whatever the storage order is. */
typedef struct fanin__view {
    uint64_t out, in, taps;
    uint64_t blocks;
    uint64_t out_stride, in_stride; /* in elements */
    uint64_t cut_out, cut_in;       /* blocks along the two axes */
    int kernel_rank;
    uint64_t kernel_dims[FANIN_MAX_RANK], kernel_strides[FANIN_MAX_RANK];
} fanin__view;

/* Where one element stands. */
typedef struct fanin__place {
    uint64_t block, out, in, tap;
    uint64_t kernel[FANIN_MAX_RANK]; /* tap, axis by axis */
} fanin__place;

/* A rule resolved for a tensor: what the fill needs and what apply reports. */
typedef struct fanin__recipe {
    const fanin__rule_row *row;
    const fanin_rule *rule;
    const fanin_tensor *tensor;
    uint64_t count;   /* elements of the tensor */
    double gain;      /* of structured rules: what multiplies the matrix */
    double value;     /* of constants */
    uint64_t k;       /* of sparse: chosen per line; of gate biases: the forget gate */
    bool by_column;   /* of sparse: k counts along columns */
    fanin_law law;    /* of what is drawn */
    fanin__view view; /* of structured rules */
    fanin_moments moments;
} fanin__recipe;

typedef fanin_status (*fanin__recipe_fn)(fanin__recipe *plan, fanin_err *err);
/* Elements first .. first+n-1; n > 0, in range, dtype a float. */
typedef fanin_status (*fanin__fill_fn)(const fanin__recipe *plan, uint64_t seed, uint64_t first,
                                       size_t n, fanin_dtype dtype, void *out, fanin_err *err);

struct fanin__rule_row {
    int id; /* written nowhere, but never reused */
    const char *name, *aliases, *options;
    fanin__recipe_fn plan;
    fanin__fill_fn fill;
    bool elementwise;
    /* What members of a family differ in. */
    fanin_fan_mode mode;
    int distribution; /* 1 uniform, 2 normal, 3 truncated normal */
    double gain;
    const char *formula, *source, *note;
};

/* ---- table.c ---- */
const fanin__rule_row *fanin__rule_row_by_id(int id);       /* NULL: none */
const fanin__rule_row *fanin__rule_row_find(const char *s); /* name or alias, NULL: none */
const char *fanin__rule_row_nearest(const char *s);         /* never NULL */

/* ---- recipe.c ---- */
fanin_status fanin__recipe_make(const fanin_rule *rule, const fanin_tensor *tensor,
                                fanin__recipe *plan, fanin_err *err);
double fanin__fan(const fanin__recipe *plan, fanin_fan_mode mode, bool torch);
const char *fanin__fan_mode_name(fanin_fan_mode mode);
/* gain= or the gain of nonlinearity= / a=, or else the row's. */
fanin_status fanin__rule_gain(const fanin__recipe *plan, double *gain, fanin_err *err);
/* The rule's number, or a default where it is not set. */
double fanin__or(double value, double otherwise);
void fanin__reason(fanin__recipe *plan, const char *format, ...) FANIN_PRINTF(2, 3);
const char *fanin__tensor_name(const fanin_tensor *tensor);

/* ---- view.c ---- */
/* groups: 0 takes the tensor's. SHAPE if the tensor has no matrix or blocks do not divide it. */
fanin_status fanin__view_make(fanin__recipe *plan, int64_t groups, fanin_err *err);
fanin__place fanin__view_place(const fanin__view *view, uint64_t index);
uint64_t fanin__view_index(const fanin__view *view, uint64_t block, uint64_t out, uint64_t column);

/* ---- fill.c ---- */
/* out[i] = value(plan, first + i), rounded to f32 and then to dtype (f64: as it is). */
void fanin__fill_each(const fanin__recipe *plan, double (*value)(const fanin__recipe *, uint64_t),
                      uint64_t first, size_t n, fanin_dtype dtype, void *out);
/* Copies n elements of a whole f32 tensor, from `first` on, into out of `dtype`. */
void fanin__fill_from_f32(const float *whole, uint64_t first, size_t n, fanin_dtype dtype,
                          void *out);

/* ---- the families: one plan and one fill each ---- */
fanin_status fanin__zeros_plan(fanin__recipe *plan, fanin_err *err);
fanin_status fanin__ones_plan(fanin__recipe *plan, fanin_err *err);
fanin_status fanin__constant_plan(fanin__recipe *plan, fanin_err *err);
fanin_status fanin__constant_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first,
                                  size_t n, fanin_dtype dtype, void *out, fanin_err *err);
fanin_status fanin__uniform_plan(fanin__recipe *plan, fanin_err *err);
fanin_status fanin__normal_plan(fanin__recipe *plan, fanin_err *err);
fanin_status fanin__truncated_plan(fanin__recipe *plan, fanin_err *err);
fanin_status fanin__scaling_plan(fanin__recipe *plan, fanin_err *err);
fanin_status fanin__variance_plan(fanin__recipe *plan, fanin_err *err);
fanin_status fanin__torch_plan(fanin__recipe *plan, fanin_err *err);
/* Mean 0 and the rule's std, or else its gain over a fan: into moments. */
fanin_status fanin__std_or_fan(fanin__recipe *plan, fanin_err *err);
fanin_status fanin__rademacher_plan(fanin__recipe *plan, fanin_err *err);
fanin_status fanin__law_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first, size_t n,
                             fanin_dtype dtype, void *out, fanin_err *err);
fanin_status fanin__identity_plan(fanin__recipe *plan, fanin_err *err);
fanin_status fanin__identity_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first,
                                  size_t n, fanin_dtype dtype, void *out, fanin_err *err);
fanin_status fanin__dirac_plan(fanin__recipe *plan, fanin_err *err);
fanin_status fanin__dirac_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first, size_t n,
                               fanin_dtype dtype, void *out, fanin_err *err);
fanin_status fanin__bilinear_plan(fanin__recipe *plan, fanin_err *err);
fanin_status fanin__bilinear_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first,
                                  size_t n, fanin_dtype dtype, void *out, fanin_err *err);
fanin_status fanin__hadamard_plan(fanin__recipe *plan, fanin_err *err);
fanin_status fanin__hadamard_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first,
                                  size_t n, fanin_dtype dtype, void *out, fanin_err *err);
fanin_status fanin__orthogonal_plan(fanin__recipe *plan, fanin_err *err);
fanin_status fanin__orthogonal_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first,
                                    size_t n, fanin_dtype dtype, void *out, fanin_err *err);
fanin_status fanin__delta_plan(fanin__recipe *plan, fanin_err *err);
fanin_status fanin__delta_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first, size_t n,
                               fanin_dtype dtype, void *out, fanin_err *err);
fanin_status fanin__sparse_plan(fanin__recipe *plan, fanin_err *err);
fanin_status fanin__sparse_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first, size_t n,
                                fanin_dtype dtype, void *out, fanin_err *err);
fanin_status fanin__forget_plan(fanin__recipe *plan, fanin_err *err);
fanin_status fanin__forget_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first, size_t n,
                                fanin_dtype dtype, void *out, fanin_err *err);
fanin_status fanin__prior_plan(fanin__recipe *plan, fanin_err *err);
fanin_status fanin__prior_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first, size_t n,
                               fanin_dtype dtype, void *out, fanin_err *err);
fanin_status fanin__unit_norm_plan(fanin__recipe *plan, fanin_err *err);
fanin_status fanin__nguyen_widrow_plan(fanin__recipe *plan, fanin_err *err);
fanin_status fanin__centered_plan(fanin__recipe *plan, fanin_err *err);
fanin_status fanin__centered_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first,
                                  size_t n, fanin_dtype dtype, void *out, fanin_err *err);
fanin_status fanin__rows_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first, size_t n,
                              fanin_dtype dtype, void *out, fanin_err *err);

#endif
