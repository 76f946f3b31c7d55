/* plan.h - what explain and init open alike: a model and the plan of its weights. */
#ifndef FANIN_CLI_PLAN_H
#define FANIN_CLI_PLAN_H

#include <fanin/format.h>
#include <fanin/scheme.h>

#include "cli.h"

typedef struct cli_plan {
    fanin_graph *graph;
    fanin_plan *plan;
} cli_plan;

/* Reads the model and plans its weights; returns an exit code (0: fine). Tells the plan's notes on
 * standard error. Close in any case. */
int cli_open_plan(cli *c, const char *model, const cli_init *init, cli_plan *p);
void cli_close_plan(cli_plan *p);

#endif
