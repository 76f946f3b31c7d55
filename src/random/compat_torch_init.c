/* compat_torch_init.c - torch.nn.init on PyTorch's stream.
 *
 * Bounds and deviations are evaluated in double in the order of the Python source, because the
 * last bit of a bound reaches the weights.
 */
#include <math.h>
#include <string.h>

#include "random/compat_torch.h"

fanin_status fanin_torch_fans(const int64_t *dims, int rank, double *fan_in, double *fan_out) {
    size_t count;
    if (rank < 2 || !fanin__shape_count(dims, rank, &count)) return FANIN_SHAPE;
    double receptive = 1;
    for (int i = 2; i < rank; i++) receptive *= (double)dims[i];
    *fan_in = (double)dims[1] * receptive;
    *fan_out = (double)dims[0] * receptive;
    return FANIN_OK;
}

fanin_status fanin_torch_gain(const char *nonlinearity, double param, double *gain) {
    static const struct {
        const char *name;
        double gain;
    } table[] = {
        {"linear", 1},           {"conv1d", 1},
        {"conv2d", 1},           {"conv3d", 1},
        {"conv_transpose1d", 1}, {"conv_transpose2d", 1},
        {"conv_transpose3d", 1}, {"sigmoid", 1},
        {"tanh", 5.0 / 3},       {"relu", 0},
        {"leaky_relu", 0},       {"selu", 3.0 / 4},
    };
    for (size_t i = 0; i < FANIN_COUNT(table); i++) {
        if (strcmp(table[i].name, nonlinearity)) continue;
        double slope = isnan(param) ? 0.01 : param;
        *gain = table[i].gain;
        if (strcmp(nonlinearity, "relu") == 0) *gain = sqrt(2.0);
        if (strcmp(nonlinearity, "leaky_relu") == 0) *gain = sqrt(2.0 / (1 + slope * slope));
        return FANIN_OK;
    }
    return FANIN_NOTFOUND;
}

static fanin_status count_of(const int64_t *dims, int rank, size_t *count) {
    return fanin__shape_count(dims, rank, count) ? FANIN_OK : FANIN_SHAPE;
}

/* ---- xavier, kaiming --------------------------------------------------------------------- */

static fanin_status xavier_std(const int64_t *dims, int rank, double gain, double *std) {
    double fan_in, fan_out;
    FANIN_TRY(fanin_torch_fans(dims, rank, &fan_in, &fan_out));
    if (!isfinite(gain)) return FANIN_ARG;
    *std = gain * sqrt(2.0 / (fan_in + fan_out));
    return FANIN_OK;
}

static fanin_status kaiming_std(const int64_t *dims, int rank, double a, bool fan_out,
                                const char *nonlinearity, double *std) {
    double in, out, gain;
    FANIN_TRY(fanin_torch_fans(dims, rank, &in, &out));
    FANIN_TRY(fanin_torch_gain(nonlinearity, a, &gain));
    *std = gain / sqrt(fan_out ? out : in);
    return FANIN_OK;
}

/* Tensors without elements have no fan; PyTorch draws nothing for them either. */
static fanin_status draw(fanin_torch_rng *rng, fanin_dtype dtype, const int64_t *dims, int rank,
                         bool is_uniform, double std, void *out) {
    size_t n;
    FANIN_TRY(count_of(dims, rank, &n));
    if (n == 0) return FANIN_OK;
    if (!is_uniform) return fanin_torch_normal(rng, dtype, n, 0.0, std, out);
    double bound = sqrt(3.0) * std;
    return fanin_torch_uniform(rng, dtype, n, -bound, bound, out);
}

fanin_status fanin_torch_xavier_uniform(fanin_torch_rng *rng, fanin_dtype dtype,
                                        const int64_t *dims, int rank, double gain, void *out) {
    double std;
    FANIN_TRY(xavier_std(dims, rank, gain, &std));
    return draw(rng, dtype, dims, rank, true, std, out);
}

fanin_status fanin_torch_xavier_normal(fanin_torch_rng *rng, fanin_dtype dtype, const int64_t *dims,
                                       int rank, double gain, void *out) {
    double std;
    FANIN_TRY(xavier_std(dims, rank, gain, &std));
    return draw(rng, dtype, dims, rank, false, std, out);
}

fanin_status fanin_torch_kaiming_uniform(fanin_torch_rng *rng, fanin_dtype dtype,
                                         const int64_t *dims, int rank, double a, bool fan_out,
                                         const char *nonlinearity, void *out) {
    double std;
    FANIN_TRY(kaiming_std(dims, rank, a, fan_out, nonlinearity, &std));
    return draw(rng, dtype, dims, rank, true, std, out);
}

fanin_status fanin_torch_kaiming_normal(fanin_torch_rng *rng, fanin_dtype dtype,
                                        const int64_t *dims, int rank, double a, bool fan_out,
                                        const char *nonlinearity, void *out) {
    double std;
    FANIN_TRY(kaiming_std(dims, rank, a, fan_out, nonlinearity, &std));
    return draw(rng, dtype, dims, rank, false, std, out);
}

/* ---- orthogonal -------------------------------------------------------------------------- */

static void read_matrix(fanin_dtype dtype, const void *in, size_t rows, size_t cols,
                        bool transposed, double *a) {
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) {
            size_t from = i * cols + j, to = transposed ? j * rows + i : from;
            a[to] =
                dtype == FANIN_F32 ? (double)((const float *)in)[from] : ((const double *)in)[from];
        }
}

static void write_matrix(fanin_dtype dtype, const double *a, size_t rows, size_t cols,
                         bool transposed, double gain, void *out) {
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) {
            size_t to = i * cols + j, from = transposed ? j * rows + i : to;
            if (dtype == FANIN_F32)
                ((float *)out)[to] = (float)a[from] * (float)gain;
            else
                ((double *)out)[to] = a[from] * gain;
        }
}

fanin_status fanin__orthogonal_rows(fanin_dtype dtype, size_t rows, size_t cols, double gain,
                                    void *out) {
    bool transposed = rows < cols;
    size_t count;
    if (!fanin__size_mul(rows, cols, &count)) return FANIN_NOMEM;
    double *a = fanin_calloc(count, sizeof *a);
    if (!a) return FANIN_NOMEM;
    read_matrix(dtype, out, rows, cols, transposed, a);
    fanin_status status = fanin__qr_signed(a, transposed ? cols : rows, transposed ? rows : cols);
    if (status == FANIN_OK) write_matrix(dtype, a, rows, cols, transposed, gain, out);
    fanin_free(a);
    return status;
}

fanin_status fanin_torch_orthogonal(fanin_torch_rng *rng, fanin_dtype dtype, const int64_t *dims,
                                    int rank, double gain, void *out) {
    size_t n;
    if (dtype != FANIN_F32 && dtype != FANIN_F64) return FANIN_UNSUPPORTED;
    if (rank < 2) return FANIN_SHAPE;
    FANIN_TRY(count_of(dims, rank, &n));
    if (n == 0) return FANIN_OK;
    FANIN_TRY(fanin_torch_normal(rng, dtype, n, 0.0, 1.0, out));
    if (!out) return FANIN_OK;
    size_t rows = (size_t)dims[0];
    return fanin__orthogonal_rows(dtype, rows, n / rows, gain, out);
}

/* ---- sparse, dirac, eye ------------------------------------------------------------------ */

fanin_status fanin_torch_sparse(fanin_torch_rng *rng, fanin_dtype dtype, const int64_t *dims,
                                int rank, double sparsity, double std, void *out) {
    size_t n, size = fanin_dtype_size(dtype);
    if (rank != 2) return FANIN_SHAPE;
    if (!(sparsity >= 0 && sparsity <= 1)) return FANIN_ARG;
    FANIN_TRY(count_of(dims, rank, &n));
    FANIN_TRY(fanin_torch_normal(rng, dtype, n, 0.0, std, out));
    size_t rows = (size_t)dims[0], cols = (size_t)dims[1];
    size_t zeros = (size_t)ceil(sparsity * (double)rows);
    if (zeros > rows) zeros = rows;
    int64_t *order = fanin_calloc(rows, sizeof *order);
    if (!order) return FANIN_NOMEM;
    for (size_t col = 0; col < cols; col++) {
        fanin_torch_randperm(rng, rows, order);
        for (size_t i = 0; out && i < zeros; i++)
            memset((unsigned char *)out + ((size_t)order[i] * cols + col) * size, 0, size);
    }
    fanin_free(order);
    return FANIN_OK;
}

static fanin_status set_one(fanin_dtype dtype, size_t index, void *out) {
    static const float one = 1.0f;
    static const double one_f64 = 1.0;
    size_t size = fanin_dtype_size(dtype);
    unsigned char *p = (unsigned char *)out + index * size;
    if (dtype != FANIN_F64) return fanin_convert_from_f32(&one, 1, dtype, p);
    memcpy(p, &one_f64, size);
    return FANIN_OK;
}

fanin_status fanin_torch_dirac(fanin_dtype dtype, const int64_t *dims, int rank, int64_t groups,
                               void *out) {
    size_t n, receptive = 1, centre = 0;
    if (!fanin_dtype_is_float(dtype)) return FANIN_UNSUPPORTED;
    if (rank < 3 || rank > 5) return FANIN_SHAPE;
    FANIN_TRY(count_of(dims, rank, &n));
    if (groups < 1 || dims[0] % groups) return FANIN_ARG;
    memset(out, 0, n * fanin_dtype_size(dtype));
    if (n == 0) return FANIN_OK;
    for (int i = 2; i < rank; i++) {
        centre = centre * (size_t)dims[i] + (size_t)dims[i] / 2;
        receptive *= (size_t)dims[i];
    }
    size_t per = (size_t)(dims[0] / groups), in = (size_t)dims[1];
    for (size_t g = 0; g < (size_t)groups; g++)
        for (size_t d = 0; d < per && d < in; d++)
            FANIN_TRY(set_one(dtype, ((g * per + d) * in + d) * receptive + centre, out));
    return FANIN_OK;
}

fanin_status fanin_torch_eye(fanin_dtype dtype, const int64_t *dims, int rank, void *out) {
    size_t n;
    if (!fanin_dtype_is_float(dtype)) return FANIN_UNSUPPORTED;
    if (rank != 2) return FANIN_SHAPE;
    FANIN_TRY(count_of(dims, rank, &n));
    memset(out, 0, n * fanin_dtype_size(dtype));
    size_t rows = (size_t)dims[0], cols = (size_t)dims[1];
    for (size_t i = 0; i < rows && i < cols; i++) FANIN_TRY(set_one(dtype, i * cols + i, out));
    return FANIN_OK;
}
