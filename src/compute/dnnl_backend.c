/* dnnl_backend.c - what oneDNN is, and OpenMP as the scheduler of fanin_parallel_for. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compute/plan.h"

static const char *isa_name(dnnl_cpu_isa_t isa) {
    switch (isa) {
    case dnnl_cpu_isa_sse41: return "sse41";
    case dnnl_cpu_isa_avx: return "avx";
    case dnnl_cpu_isa_avx2: return "avx2";
    case dnnl_cpu_isa_avx2_vnni: return "avx2_vnni";
    case dnnl_cpu_isa_avx512_mic: return "avx512_mic";
    case dnnl_cpu_isa_avx512_mic_4ops: return "avx512_mic_4ops";
    case dnnl_cpu_isa_avx512_core: return "avx512_core";
    case dnnl_cpu_isa_avx512_core_vnni: return "avx512_core_vnni";
    case dnnl_cpu_isa_avx512_core_bf16: return "avx512_core_bf16";
    case dnnl_cpu_isa_avx512_core_amx: return "avx512_core_amx";
    default: return "all";
    }
}

/* One pause is 33 ns on a Sapphire Rapids, a tenth of that on processors before Skylake. A machine of one's own
 * gets with some thousands what longer spins get: LeNet-5, batch 128, 5.8 ms instead of 7.5 asleep at once, ResNet-20
 * 156 instead of 181. Where others want the processors a spin keeps the awaited thread from running: beside eight
 * busy processes 3000 cost LeNet-5 1.1 to 1.2 times the time asleep, 5000 1.2 to 1.4, 20000 4 to 6 times, libgomp's
 * own 300000 ResNet-20 4 times. With more threads than processors libgomp does not spin. */
#define SPINS "3000"

bool fanin_compute_set_waiting(void) {
    if (getenv("OMP_WAIT_POLICY")) return false;
    setenv("GOMP_SPINCOUNT", SPINS, 0);
    return setenv("OMP_WAIT_POLICY", "passive", 1) == 0;
}

static void describe_waiting(char *buf, size_t size) {
    const char *policy = getenv("OMP_WAIT_POLICY"), *spins = getenv("GOMP_SPINCOUNT");
    bool passive = policy && fanin__strcasecmp(policy, "passive") == 0;
    if (spins && *spins)
        snprintf(buf, size, "OpenMP, waiting threads spin %.24s times, then sleep", spins);
    else
        snprintf(buf, size, "OpenMP, waiting threads %s",
                 passive ? "sleep at once" : "spin long (set OMP_WAIT_POLICY=passive)");
}

fanin_compute_backend_info fanin_compute_backend(void) {
    fanin_compute_backend_info info = {{0}, {0}, 0, {0}};
    const dnnl_version_t *v = dnnl_version();
    snprintf(info.library, sizeof info.library, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
    fanin__plan *plan; /* settles the cap of FANIN_CPU */
    if (fanin__plan_new(&plan, NULL) == FANIN_OK) fanin__plan_destroy(plan);
    snprintf(info.isa, sizeof info.isa, "%s", isa_name(dnnl_get_effective_cpu_isa()));
    info.threads = fanin_threads();
    describe_waiting(info.runtime, sizeof info.runtime);
    return info;
}

/* Without matrix units bfloat16 is multiplied no faster than float32, and the conversions come on top: 1.65 (a
 * wide MLP, batch 128) to 2.6 times (ResNet-20) the processor time on a Sapphire Rapids without AMX. */
bool fanin__bf16_pays(void) {
    fanin__plan *plan; /* settles the cap of FANIN_CPU */
    if (fanin__plan_new(&plan, NULL) == FANIN_OK) fanin__plan_destroy(plan);
    return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_amx) ==
           dnnl_cpu_isa_avx512_core_amx;
}

/* Ranges as the default scheduler cuts them, four a thread, dealt out in turn. */
static void openmp_for(void *ctx, size_t n, size_t grain, fanin_range_fn body, void *arg) {
    (void)ctx;
    unsigned threads = fanin_threads();
    size_t grains = n / grain + (n % grain != 0);
    if (threads > grains) threads = (unsigned)grains;
    if (threads <= 1 || omp_in_parallel()) {
        body(arg, 0, n);
        return;
    }
    size_t pieces = (size_t)threads * 4;
    size_t chunk = (grains / pieces + (grains % pieces != 0)) * grain;
    size_t count = n / chunk + (n % chunk != 0);
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
    for (size_t i = 0; i < count; i++)
        body(arg, i * chunk, n - i * chunk < chunk ? n : (i + 1) * chunk);
}

void fanin_compute_use_openmp(void) { fanin_parallel_set(openmp_for, NULL); }
