/* theory_kernel.h - `fanin theory --kernel`: the matrix of a data set and what a wide network of that
 * kernel predicts. */
#ifndef FANIN_CLI_THEORY_KERNEL_H
#define FANIN_CLI_THEORY_KERNEL_H

#include <fanin/activation.h>
#include <fanin/theory.h>
#include <jansson.h>

typedef struct theory_kernel {
    const fanin_activation *act;
    fanin_kernel_settings set;
    const char *data, *matrix,
        *predict;   /* predict: where predictions on the test split go, or NULL */
    size_t samples; /* of each split at most */
    double time;    /* of gradient flow at rate 1; infinite: regression */
} theory_kernel;

/* Writes the files; *report is an object for --json. Codes as those of what it calls. */
fanin_status theory_kernel_run(const theory_kernel *k, json_t **report, fanin_err *err);

#endif
