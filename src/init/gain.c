/* gain.c - gains that torch.nn.init.calculate_gain knows by name, and no others: tanh 5/3 and selu 3/4
 * are torch's choices, not what keeps the variance (`fanin gain` says what does). */
#include <math.h>
#include <string.h>

#include "init/init.h"

typedef struct gain_row {
    const char *name;
    double gain; /* NaN: leaky_relu */
} gain_row;

static const gain_row gains[] = {
    {"linear", 1},
    {"identity", 1},
    {"conv1d", 1},
    {"conv2d", 1},
    {"conv3d", 1},
    {"conv_transpose1d", 1},
    {"conv_transpose2d", 1},
    {"conv_transpose3d", 1},
    {"sigmoid", 1},
    {"tanh", 5.0 / 3},
    {"relu", 1.4142135623730951},
    {"leaky_relu", NAN},
    {"selu", 0.75},
};

fanin_status fanin_gain_torch(const char *nonlinearity, double a, double *gain, fanin_err *err) {
    char name[64];
    size_t length = strcspn(nonlinearity, ":");
    if (length < sizeof name) {
        memcpy(name, nonlinearity, length);
        name[length] = 0;
        for (size_t i = 0; i < FANIN_COUNT(gains); i++) {
            if (fanin__strcasecmp(gains[i].name, name) != 0) continue;
            bool leaky = isnan(gains[i].gain);
            if (nonlinearity[length]) {
                const char *end;
                a = fanin__parse_double(nonlinearity + length + 1, &end);
                if (!leaky || *end || end == nonlinearity + length + 1 || !isfinite(a))
                    return fanin_err_set(err, FANIN_ARG,
                                         "nonlinearity '%s': only leaky_relu takes a number, its "
                                         "slope, as in leaky_relu:0.2",
                                         nonlinearity);
            }
            if (isnan(a)) a = 0.01;
            *gain = leaky ? sqrt(2 / (1 + a * a)) : gains[i].gain;
            return FANIN_OK;
        }
    }
    return fanin_err_set(
        err, FANIN_NOTFOUND,
        "torch has no gain for '%s'; it has linear, conv1d to conv3d, sigmoid, "
        "tanh, relu, leaky_relu and selu; schemes and --rule work out exact:NAME, else say gain=",
        nonlinearity);
}
