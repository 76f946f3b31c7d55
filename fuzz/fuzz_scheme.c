/* fuzz_scheme.c - any bytes as a scheme file: the YAML tree, then lines, rules and formulas. */
#include "scheme/scheme.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void resolve(const fanin__line *line) {
    const fanin_tensor_info info = {
        .tensor = {.name = "h.0.weight",
                   .rank = 2,
                   .dims = {4, 3},
                   .cls = FANIN_CLASS_DENSE,
                   .out_axis = 0,
                   .in_axis = 1,
                   .groups = 1,
                   .parts = 1,
                   .fan_in = 3,
                   .fan_out = 4,
                   .depth_index = 0},
        .block = 1,
    };
    const fanin_tensors all = {.layers = 2, .residuals = 2, .blocks = 2};
    char text[640];
    fanin_err err = {0};
    fanin__line_matches(line, &info);
    if (fanin__rule_resolve(line->rule, &info, &all, text, sizeof text, &err) != FANIN_OK &&
        !err.message[0])
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fanin_err err = {0};
    fanin__scheme scheme = {0};
    fanin_status status = fanin__scheme_read(data, size, "fuzz", &scheme, &err);
    if (status != FANIN_OK && !err.message[0]) __builtin_trap();
    for (int i = 0; status == FANIN_OK && i < scheme.count && i < 64; i++)
        resolve(&scheme.lines[i]);
    fanin__scheme_fini(&scheme);
    return 0;
}
