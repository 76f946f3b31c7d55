/* train_log.h - where the numbers of a training run go: terminal, run store, TensorBoard. */
#ifndef FANIN_CLI_TRAIN_LOG_H
#define FANIN_CLI_TRAIN_LOG_H

#include <fanin/report.h>
#include <fanin/runs.h>
#include <fanin/train.h>

#include "cli.h"

typedef struct train_log {
    cli *c;
    bool watch;       /* redraw the layers */
    fanin_runs *runs; /* NULL: none */
    int64_t run;
    fanin_events *events; /* NULL: none */
    fanin_status status;  /* the first failure to write; training is then asked to stop */
    fanin_err err;
    double alive;   /* clock of the last sign of life in the store */
    size_t drawn;   /* lines of the view on the terminal */
    double *losses; /* of the points so far, for the view */
    size_t loss_count;
} train_log;

/* Opens what is asked for (path, dir: NULL for none). The run is entered with what is known about it; one
 * with the same key goes on from step `from`. Returns an exit code. Close in any case. */
int train_log_open(train_log *log, cli *c, const char *path, const char *dir,
                   const fanin_run_about *about, uint64_t from);
/* Puts the callbacks into the options. */
void train_log_connect(train_log *log, fanin_train_options *options);
/* The run is over: states it in the store. Returns the first failure of any write as an exit code. */
int train_log_finish(train_log *log, fanin_status status, const fanin_err *err,
                     const fanin_train_result *result);
void train_log_close(train_log *log);

/* watch.c: the layers as a view that redraws itself on a terminal; one line a layer otherwise. */
void watch_draw(train_log *log, const fanin_train_monitor *monitor);

#endif
