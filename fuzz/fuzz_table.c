/* fuzz_table.c - any bytes as comma-separated values: cells, then a data set with every choice of the options. */
#include <string.h>

#include "data/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_set(const uint8_t *data, size_t size, const fanin__table_options *o) {
    fanin_err err = {0};
    fanin_dataset *d = fanin_calloc(1, sizeof *d);
    if (!d) return;
    fanin_status status = fanin__data_table(data, size, ',', "fuzz", o, d, &err);
    if (status != FANIN_OK && !err.message[0]) __builtin_trap();
    if (status == FANIN_OK) {
        const fanin_dataset_info *i = &d->info;
        float *x = fanin_calloc((size_t)i->dims[0], sizeof *x);
        int64_t target = 0;
        for (uint64_t k = 0; k < i->train_count + i->test_count && x; k++) {
            fanin_split split = k < i->train_count ? FANIN_TRAIN : FANIN_TEST;
            uint64_t at = k < i->train_count ? k : k - i->train_count;
            if (fanin_dataset_samples(d, split, &at, 1, x, &target, NULL) != FANIN_OK)
                __builtin_trap();
            if (i->classes && (target < 0 || target >= i->classes)) __builtin_trap();
        }
        fanin_free(x);
    }
    fanin_dataset_close(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fanin_err err = {0};
    fanin__table t;
    size_t length = 0;
    fanin_status status = fanin__table_parse(data, size, ',', "fuzz", &t, &err);
    if (status != FANIN_OK && !err.message[0]) __builtin_trap();
    for (size_t i = 0; status == FANIN_OK && i < t.rows * t.columns; i++)
        length += strlen(fanin__table_cell(&t, i / t.columns, i % t.columns));
    if (length > size) __builtin_trap();
    fanin__table_fini(&t);
    read_set(data, size, &(fanin__table_options){.header = -1, .real = -1, .test = 0.2});
    read_set(data, size, &(fanin__table_options){.header = 0, .real = 1, .label = "1"});
    return 0;
}
