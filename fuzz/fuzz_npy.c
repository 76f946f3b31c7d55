/* fuzz_npy.c - any bytes as a .npy array or, when they begin like a zip archive, as .npz. */
#include <string.h>

#include "format/weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sink; /* what is read must be read */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fanin_err err = {0};
    fanin_weights *w = fanin__weights_create(fanin__format_budget(size));
    if (!w) return 0;
    bool zip = size >= 2 && !memcmp(data, "PK", 2);
    fanin_status status = zip ? fanin__npz_parse(w, data, size, "fuzz", &err)
                              : fanin__npy_parse(w, data, size, "fuzz", &err);
    if (status != FANIN_OK && !err.message[0]) __builtin_trap();
    for (int i = 0; status == FANIN_OK && i < fanin_weights_count(w); i++) {
        const fanin_array *a = fanin_weights_at(w, i);
        const unsigned char *p = a->data;
        for (size_t k = 0; k < a->size; k++) sink += p[k];
    }
    fanin_weights_close(w);
    return 0;
}
