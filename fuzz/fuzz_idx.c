/* fuzz_idx.c - any bytes as an IDX array. */
#include <string.h>

#include "data/idx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sink; /* what is read must be read */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fanin_err err = {0};
    fanin_array a;
    unsigned char *copy = fanin_malloc(size ? size : 1); /* numbers are turned in place */
    if (!copy) return 0;
    memcpy(copy, data, size);
    fanin_status status = fanin__idx_parse(copy, size, "fuzz", &a, &err);
    if (status != FANIN_OK && !err.message[0]) __builtin_trap();
    for (size_t i = 0; status == FANIN_OK && i < a.size; i++)
        sink += ((const unsigned char *)a.data)[i];
    fanin_free(copy);
    return 0;
}
