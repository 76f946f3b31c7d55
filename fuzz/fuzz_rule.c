/* fuzz_rule.c - any text as --rule 'PATTERN=RULE[:k=v,...]', as a rule by itself and as a formula. A rule that parses has a
 * text that parses to the same rule, and what applies to a tensor fills it. */
#include <math.h>
#include <string.h>

#include "scheme/scheme.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
    int rank;
    int64_t dims[4];
    fanin_class cls;
} shapes[] = {{2, {5, 7}, FANIN_CLASS_DENSE},
              {4, {4, 2, 3, 2}, FANIN_CLASS_CONV},
              {1, {8}, FANIN_CLASS_BIAS},
              {0, {0}, FANIN_CLASS_OTHER}};

static void must_say(fanin_status status, const fanin_err *err) {
    if (status != FANIN_OK && !err->message[0]) __builtin_trap();
}

static void use_rule(const fanin_rule *rule) {
    for (size_t i = 0; i < FANIN_COUNT(shapes); i++) {
        fanin_tensor t = fanin_tensor_torch("w", shapes[i].rank, shapes[i].dims);
        fanin_moments moments;
        fanin_err err = {0};
        float out[64];
        size_t count;
        t.cls = shapes[i].cls;
        fanin_status status = fanin_rule_apply(rule, &t, &moments, &err);
        must_say(status, &err);
        if (status != FANIN_OK || !fanin__shape_count(t.dims, t.rank, &count)) continue;
        must_say(fanin_rule_fill(rule, &t, 1, 0, count, FANIN_F32, out, &err), &err);
    }
}

static void parse_rule(const char *text) {
    fanin_rule rule, again;
    fanin_err err = {0};
    char canonical[512], twice[512];
    fanin_status status = fanin_rule_parse(text, &rule, &err);
    must_say(status, &err);
    if (status != FANIN_OK) return;
    fanin_rule_text(&rule, canonical, sizeof canonical);
    if (fanin_rule_parse(canonical, &again, &err) != FANIN_OK) __builtin_trap();
    fanin_rule_text(&again, twice, sizeof twice);
    if (strcmp(canonical, twice) != 0) __builtin_trap();
    use_rule(&rule);
}

static void overlay(const char *text) {
    const fanin_tensors all = {.layers = 3, .residuals = 2, .blocks = 2};
    fanin_tensor_info info = {.tensor = fanin_tensor_torch("h.0.weight", 2, (int64_t[]){5, 7}),
                              .block = 1};
    fanin__scheme scheme = {0};
    fanin_err err = {0};
    char resolved[640];
    fanin_status status = fanin__scheme_overlay(&scheme, text, &err);
    must_say(status, &err);
    for (int i = 0; status == FANIN_OK && i < scheme.count; i++) {
        fanin__line_matches(&scheme.lines[i], &info);
        if (strstr(scheme.lines[i].rule, "exact:")) continue; /* activations: fuzz_formula */
        status =
            fanin__rule_resolve(scheme.lines[i].rule, &info, &all, resolved, sizeof resolved, &err);
        must_say(status, &err);
        if (status == FANIN_OK) parse_rule(resolved);
    }
    fanin__scheme_fini(&scheme);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const fanin__variable variables[] = {{"L", 12}, {"fan_in", 7}, {"depth", NAN}, {NULL, 0}};
    char text[4096];
    double value;
    fanin_err err = {0};
    if (size >= sizeof text || memchr(data, 0, size)) return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    overlay(text);
    parse_rule(text);
    must_say(fanin__formula(text, variables, &value, &err), &err);
    return 0;
}
