/* repair.h - weights that heal a network which a check found sick: tried before they are advised. */
#ifndef FANIN_CLI_REPAIR_H
#define FANIN_CLI_REPAIR_H

#include <fanin/probe.h>

#include "cli.h"

typedef struct cli_sick {
    const fanin_graph *graph;
    const fanin_init_options *init;      /* that drew the weights; NULL: they came from a file */
    const fanin_signal_options *options; /* of the check */
    uint64_t seed;
} cli_sick;

/* The command line (free) that checks the network with weights that heal it, NULL where none of those tried does; its
 * outcome ends the signal's advice. Exit code, 130 when interrupted. */
int cli_repair(cli *c, const cli_sick *sick, fanin_signal *s, char **command);
/* Prints a command on lines of its own, broken behind backslashes: a shell takes it as it stands. */
void cli_print_command(const char *command);

#endif
