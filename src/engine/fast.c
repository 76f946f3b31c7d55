/* fast.c - fast implementations of steps, asked in order; whoever declines leaves the step to the
 * reference kernel. */
#include "engine/program.h"

fanin_status fanin__fast_choose(fanin__steps *plan, size_t *scratch_size, fanin_err *err) {
    (void)plan;
    (void)err;
    *scratch_size = 0;
    return FANIN_OK;
}
