/* fuzz_safetensors.c - any bytes as a safetensors file, and as an index of shards. */
#include "format/weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sink; /* what is read must be read */

static fanin_status visit(void *ctx, const char *tensor, const char *shard, fanin_err *err) {
    (void)ctx;
    (void)err;
    if (!tensor || !shard[0]) __builtin_trap();
    return FANIN_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fanin_err err = {0};
    fanin_weights *w = fanin__weights_create(fanin__format_budget(size));
    fanin_status status = w ? fanin__safetensors_parse(w, data, size, "fuzz", &err) : FANIN_NOMEM;
    if (status != FANIN_OK && w && !err.message[0]) __builtin_trap();
    for (int i = 0; status == FANIN_OK && i < fanin_weights_count(w); i++) {
        const fanin_array *a = fanin_weights_at(w, i);
        const unsigned char *p = a->data;
        for (size_t k = 0; k < a->size; k++) sink += p[k];
        if (fanin_weights_find(w, a->name) != a) __builtin_trap();
    }
    fanin_weights_close(w);
    (void)fanin__index_parse(data, size, "fuzz", visit, NULL, &err);
    return 0;
}
