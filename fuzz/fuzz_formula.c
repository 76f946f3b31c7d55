/* fuzz_formula.c - any text as an activation: parsed or refused with a sentence; what parses has a name that
 * parses back, kinks in order, and derivatives that are numbers or NaN, never a crash. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fanin/activation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const fanin_activation *act) {
    static const double x[] = {-1e300, -3, -1, -0.0, 0, 0.5, 1, 7, 1e300};
    enum { N = sizeof x / sizeof *x };
    double kinks[64], y[N], z[N];
    size_t n = fanin_activation_kinks(act, kinks, 64);
    for (size_t i = 1; i < n && i < 64; i++)
        if (!(kinks[i - 1] < kinks[i])) __builtin_trap();
    fanin_activation *again;
    if (fanin_activation_parse(fanin_activation_name(act), &again, NULL) != FANIN_OK)
        __builtin_trap();
    for (int order = 0; order <= 3; order++) {
        fanin_activation_eval(act, order, x, y, N);
        fanin_activation_eval(again, order, x, z, N);
        if (memcmp(y, z, sizeof y) != 0) __builtin_trap();
    }
    fanin_activation_destroy(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 5000) return 0;
    char *text = malloc(size + 1);
    if (!text) return 0;
    memcpy(text, data, size);
    text[size] = 0;
    fanin_activation *act = NULL;
    fanin_err err = {0};
    if (fanin_activation_parse(text, &act, &err) == FANIN_OK) {
        if (!act) __builtin_trap();
        use(act);
    } else if (act || !err.message[0]) {
        __builtin_trap();
    }
    fanin_activation_destroy(act);
    free(text);
    return 0;
}
