/* probe/law.h - laws with known parameters, and one-sample tests of what was measured against them. */
#ifndef FANIN_SRC_PROBE_LAW_H
#define FANIN_SRC_PROBE_LAW_H

#include "fanin/random.h"
#include "probe/measure.h"

typedef enum fanin__shape {
    FANIN__SHAPE_CONSTANT,
    FANIN__SHAPE_UNIFORM,
    FANIN__SHAPE_NORMAL,
    FANIN__SHAPE_CUT,   /* a normal between two bounds */
    FANIN__SHAPE_SPHERE /* one coordinate of a point drawn on a sphere */
} fanin__shape;

typedef struct fanin__law {
    fanin__shape shape;
    double mean, std;
    double centre, parent, low, high; /* of a cut: N(centre, parent^2) given low <= x <= high */
    double dim;                       /* of a sphere: its radius is std sqrt(dim) */
    double kurtosis;                  /* fourth moment over variance squared */
    double effect; /* elements that count as one for the histogram; 1 where they are independent */
} fanin__law;

/* Laws drawn element by element; Rademacher's and Bernoulli's are none of these: a constant. */
fanin__law fanin__law_of(const fanin_law *law);
fanin__law fanin__law_normal(double mean, double std);
fanin__law fanin__law_uniform(double mean, double std);
/* Cut at two of its parent's deviations, with this mean and deviation. */
fanin__law fanin__law_cut_at_2(double mean, double std);
/* Elements of lines of length `radius` in `dim` dimensions, all directions alike. The lines of `sides` sides are of
 * fixed length: 1 for independent rows, 2 for an orthogonal matrix. */
fanin__law fanin__law_sphere(double dim, double radius, int sides);

double fanin__law_cdf(const fanin__law *law, double x);
/* Two-sided chance of a standard normal beyond |z|. */
double fanin__two_sided(double z);
/* z of a chi-square value with `freedom` degrees. */
double fanin__chi_z(double value, double freedom);
/* Chance of k or more where lambda are expected (Poisson). */
double fanin__poisson_above(double k, double lambda);

/* p of mean, variance, shape and (normals of 16 bits and more) the largest distance from the mean. */
typedef struct fanin__p_values {
    double mean, variance, shape, extreme;
} fanin__p_values;
fanin__p_values fanin__law_test(const fanin__measure *m, const fanin__law *law, fanin_dtype dtype);
/* min(1, 4 times the least). */
double fanin__least_p(fanin__p_values p);
/* p of two histograms over the same bins being of one law; `effect` as above, for both. */
double fanin__two_sample(const fanin__measure *m, const uint64_t other[FANIN__BINS], double effect,
                         fanin_dtype dtype);

/* What one rounding to the type may move a value by, relative; generous. */
double fanin__slack(fanin_dtype dtype);
/* Below this a value becomes 0 in the type. */
double fanin__underflow(fanin_dtype dtype);

#endif
