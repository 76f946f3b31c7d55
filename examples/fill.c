/* Fills one tensor with He-normal weights: libfanin alone.
 *     cc fill.c $(pkg-config --cflags --libs fanin) -o fill */
#include <fanin/init.h>
#include <stdio.h>
#include <stdlib.h>

int main(void) {
    const int64_t dims[] = {256, 784}; /* out x in */
    fanin_tensor tensor = fanin_tensor_torch("fc1.weight", 2, dims);
    fanin_rule rule;
    fanin_err err = {0};
    size_t n = 256 * 784;
    float *weights = malloc(n * sizeof *weights);
    if (!weights || fanin_rule_parse("he_normal", &rule, &err) ||
        fanin_rule_fill(&rule, &tensor, 42, 0, n, FANIN_F32, weights, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    printf("%g %g %g ...\n", weights[0], weights[1], weights[2]);
    free(weights);
    return 0;
}
