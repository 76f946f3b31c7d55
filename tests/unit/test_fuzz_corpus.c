/* Replays fuzz/corpus through the fuzz targets, whole and cut at every 1/16th, so that every compiler and
 * sanitizer runs what the fuzzers found worth keeping. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LLVMFuzzerTestOneInput fuzz_onnx
#define sink                   sink_onnx
#include "../../fuzz/fuzz_onnx.c"
#undef LLVMFuzzerTestOneInput
#undef sink
#define LLVMFuzzerTestOneInput fuzz_safetensors
#define sink                   sink_safetensors
#include "../../fuzz/fuzz_safetensors.c"
#undef LLVMFuzzerTestOneInput
#undef sink
#define LLVMFuzzerTestOneInput fuzz_npy
#define sink                   sink_npy
#include "../../fuzz/fuzz_npy.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_scheme
#include "../../fuzz/fuzz_scheme.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_rule
#include "../../fuzz/fuzz_rule.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_formula
#include "../../fuzz/fuzz_formula.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_table
#include "../../fuzz/fuzz_table.c"
#undef LLVMFuzzerTestOneInput
#undef sink
#define LLVMFuzzerTestOneInput fuzz_idx
#define sink                   sink_idx
#include "../../fuzz/fuzz_idx.c"
#undef LLVMFuzzerTestOneInput
#undef sink
#define LLVMFuzzerTestOneInput fuzz_program
#include "../../fuzz/fuzz_program.c"

#include "testing.h"

/* Buffers of exactly the input's size, so that a byte too far is seen. */
static void feed(int (*target)(const uint8_t *, size_t), const unsigned char *data, size_t size) {
    for (size_t part = 0; part <= 16; part++) {
        size_t n = size * part / 16;
        unsigned char *exact = malloc(n ? n : 1);
        assert_non_null(exact);
        memcpy(exact, data, n);
        assert_int_equal(target(exact, n), 0);
        free(exact);
    }
}

static void replay(const char *name, int (*target)(const uint8_t *, size_t)) {
    char path[4096];
    static unsigned char data[1 << 16];
    int files = 0;
    snprintf(path, sizeof path, "%s/fuzz/corpus/%s", FANIN_SOURCE_DIR, name);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/fuzz/corpus/%s/%s", FANIN_SOURCE_DIR, name, e->d_name);
        FILE *f = fopen(path, "rb");
        assert_non_null(f);
        size_t size = fread(data, 1, sizeof data, f);
        fclose(f);
        feed(target, data, size);
        files++;
    }
    closedir(dir);
    assert_true(files >= 8);
}

TEST(onnx) { replay("onnx", fuzz_onnx); }
TEST(safetensors) { replay("safetensors", fuzz_safetensors); }
TEST(npy) { replay("npy", fuzz_npy); }
TEST(scheme) { replay("scheme", fuzz_scheme); }
TEST(formula) { replay("formula", fuzz_formula); }
TEST(rule) { replay("rule", fuzz_rule); }
TEST(table) { replay("table", fuzz_table); }
TEST(idx) { replay("idx", fuzz_idx); }
TEST(program) { replay("program", fuzz_program); }
