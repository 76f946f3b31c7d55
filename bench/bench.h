/* bench.h - what benchmarks of whole programs share. */
#ifndef FANIN_BENCH_H
#define FANIN_BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "fanin/base.h"

static void must(fanin_status status, const fanin_err *err) {
    if (status == FANIN_OK) return;
    fprintf(stderr, "%s\n", err->message);
    exit(3);
}

static double cpu_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
           1e-6 * ((double)u.ru_utime.tv_usec + (double)u.ru_stime.tv_usec);
}

#endif
