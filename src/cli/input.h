/* input.h - what check, run and train open alike: model, weights, data, input arrays. */
#ifndef FANIN_CLI_INPUT_H
#define FANIN_CLI_INPUT_H

#include <fanin/data.h>
#include <fanin/format.h>
#include <fanin/graph.h>
#include <fanin/scheme.h>

#include "cli.h"

typedef struct cli_inputs {
    fanin_graph *graph;
    fanin_weights *weights; /* NULL: none asked for */
    fanin_dataset *data;
    const fanin_array **arrays; /* NULL, or one an input of the graph (NULL: not given) */
    fanin_weights **files;      /* that hold them */
    int file_count;
} cli_inputs;

/* Opens what is not NULL; returns an exit code (0: fine). Close in any case. */
int cli_open_inputs(cli *c, const char *model, const char *weights, const char *data,
                    const cli_list *inputs, uint64_t seed, cli_inputs *in);
void cli_close_inputs(cli_inputs *in);
/* Rows of the first given array. */
int64_t cli_input_rows(const cli_inputs *in);

fanin_init_options cli_init_options(const cli_init *init);
/* Whether a floating initialiser of the graph has no values. */
bool cli_lacks_weights(const fanin_graph *graph);

#endif
