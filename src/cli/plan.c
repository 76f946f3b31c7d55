#include "plan.h"

#include "input.h"

/* A rule that does not fit a tensor is a mistake on the command line, not in the model. */
static int fail_plan(cli *c, fanin_status status, const fanin_err *err) {
    return cli_fail(c, status == FANIN_SHAPE ? FANIN_ARG : status, err);
}

int cli_open_plan(cli *c, const char *model, const cli_init *init, cli_plan *p) {
    fanin_err err = {0};
    *p = (cli_plan){0};
    fanin_status status = fanin_graph_load(model, &p->graph, &err);
    if (status != FANIN_OK) return cli_fail_input(c, status, &err);
    fanin_init_options options = cli_init_options(init);
    status = fanin_plan_create(p->graph, &options, &p->plan, &err);
    if (status != FANIN_OK) return fail_plan(c, status, &err);
    if (fanin_plan_notes(p->plan)[0]) cli_note(c, "%s", fanin_plan_notes(p->plan));
    return 0;
}

void cli_close_plan(cli_plan *p) {
    fanin_plan_destroy(p->plan);
    fanin_graph_destroy(p->graph);
    *p = (cli_plan){0};
}
