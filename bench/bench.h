/* bench.h - what benchmarks of whole programs share. */
#ifndef FANIN_BENCH_H
#define FANIN_BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fanin/compute.h"

static inline void must(fanin_status status, const fanin_err *err) {
    if (status == FANIN_OK) return;
    fprintf(stderr, "%s\n", err->message);
    exit(3);
}

static inline double cpu_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
           1e-6 * ((double)u.ru_utime.tv_usec + (double)u.ru_stime.tv_usec);
}

/* What the program `fanin` does at its start: threads wait as a user's do. */
static inline void run_as_the_program(char **argv) {
    if (fanin_compute_set_waiting()) execv("/proc/self/exe", argv);
    fanin_compute_use_openmp();
}

#endif
