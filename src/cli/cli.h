/* cli.h - what the verbs share: options, errors, output. A verb is one file verb_NAME.c and one row
 * in verbs.def; it uses the public headers only.
 *
 *     int verb_gain(cli *c) {
 *         const cli_option options[] = {CLI_END};
 *         if (!cli_parse(c, options, 1, 1)) return c->exit_code;
 *         ... c->args[0] ...
 *         if (c->json) return cli_json(c, object);
 *     }
 */
#ifndef FANIN_CLI_H
#define FANIN_CLI_H

#include <fanin/base.h>
#include <jansson.h>
#include <stdio.h>

typedef struct cli cli;

typedef struct cli_verb {
    const char *name, *usage, *summary, *example;
    int (*run)(cli *c);
} cli_verb;

typedef enum cli_color { CLI_COLOR_AUTO, CLI_COLOR_ALWAYS, CLI_COLOR_NEVER } cli_color;

struct cli {
    const cli_verb *verb;
    int argc;
    char **argv; /* argv[0] is the verb */
    /* after cli_parse */
    int arg_count;
    char **args; /* positional */
    bool json, quiet;
    cli_color color;
    bool color_out; /* colour on standard output, decided */
    int exit_code;
    void *experiment; /* after cli_parse_experiment: what its texts live in */
};

typedef enum cli_kind { CLI_FLAG, CLI_TEXT, CLI_LIST, CLI_NUMBER, CLI_COUNT } cli_kind;

/* A repeatable text option. */
typedef struct cli_list {
    const char **items;
    int count;
} cli_list;

/* `out` is a bool *, const char **, cli_list *, double * or uint64_t * by kind. `letter` may be 0. */
typedef struct cli_option {
    const char *name;
    char letter;
    cli_kind kind;
    void *out;
    const char *value, *help;
} cli_option;

#define CLI_END \
    { NULL, 0, CLI_FLAG, NULL, NULL, NULL }

/* The options that say which weights (interface.md, INIT), for explain, init, check, train, compare. */
typedef struct cli_init {
    const char *scheme, *stream, *layout, *fans;
    cli_list rules;
    uint64_t seed;
} cli_init;

#define CLI_INIT_OPTIONS(i) \
    { \
        "scheme",         0, \
        CLI_TEXT,         &(i).scheme, \
        "NAME|FILE.yaml", "built-in scheme, rule or scheme file"}, \
        {"rule", \
         0, \
         CLI_LIST, \
         &(i).rules, \
         "PATTERN=RULE[:k=v,...]", \
         "laid over the scheme; repeatable"}, \
        {"seed", 0, CLI_COUNT, &(i).seed, "N", "seed of all weights (default 0)"}, \
        {"stream", 0, CLI_TEXT, &(i).stream, "NAME[:k=v]", "fanin, torch, numpy or jax"}, \
        {"layout", 0, CLI_TEXT, &(i).layout, "torch|jax", "of a template without operators"}, { \
        "fans", 0, CLI_TEXT, &(i).fans, "operator|torch", "how fans are counted" \
    }

/* Parses the verb's own options and the common ones; positionals must number min..max (max < 0: any).
 * False: stop and return c->exit_code (help was printed, or the error was told). */
bool cli_parse(cli *c, const cli_option *options, int min, int max);
/* The same with one positional, MODEL or EXPERIMENT.yaml. A file's keys are the long names of the options, and
 * `model`; a list is a repeated option, or text with commas; what the command line says too, it says last.
 * args[0] is the model in either case. */
bool cli_parse_experiment(cli *c, const cli_option *options);
void cli_experiment_close(cli *c);
void cli_list_fini(cli_list *list);

/* Tells the error on standard error and returns the exit code that interface.md gives it. */
int cli_fail(cli *c, fanin_status status, const fanin_err *err);
/* The same for an input file: what cannot be found or read is exit 3. */
int cli_fail_input(cli *c, fanin_status status, const fanin_err *err);
/* A usage mistake: exit 2. */
int cli_usage(cli *c, const char *format, ...) FANIN_PRINTF(2, 3);
/* A remark on standard error, unless --quiet. */
void cli_note(const cli *c, const char *format, ...) FANIN_PRINTF(2, 3);

/* Prints the object on standard output and releases it; returns 0, or 5 when it cannot be written. */
int cli_json(cli *c, json_t *object);
/* A number, or null when it is not finite. */
json_t *cli_number(double value);
json_t *cli_shape(const int64_t *dims, int rank);
json_t *cli_text(const char *s); /* null for NULL */

/* Progress on standard error: a line with an estimate on a terminal, a line a stage otherwise, nothing
 * with --quiet. */
fanin_progress cli_progress(cli *c);
void cli_progress_end(cli *c);
/* A line of progress of the verb's own, on a terminal only, ten times a second at most (`last`: in any
 * case). */
void cli_progress_line(cli *c, const char *line, bool last);
/* Whether a path ends in ".onnx" and the like; upper and lower case are the same. */
bool cli_ends_with(const char *path, const char *ending);
/* Columns of the terminal (80 when there is none). */
int cli_width(void);
/* Prints text behind `used` columns of a line, broken at blanks to the terminal's width, and a newline. */
void cli_wrapped(const char *text, int used);
/* The command line as a shell takes it, without the options named `drop` and their values, and with the words `add`
 * behind it; both lists end in NULL. Free. */
char *cli_command(const cli *c, const char *const *drop, const char *const *add);
/* "\033[31m" and so on when colour is on, "" otherwise. */
const char *cli_style(const cli *c, const char *style);

/* 1234567 -> "1 234 567"; 25557032 -> "25.6 M" with cli_human. Static buffers, four at a time. */
const char *cli_thousands(uint64_t n);
const char *cli_human(double n);
const char *cli_shape_text(const int64_t *dims, int rank);
/* "%.4g" and an empty cell for NaN. */
const char *cli_cell(double value);

#define VERB(name, usage, summary, example) int verb_##name(cli *c);
#include "verbs.def"
#undef VERB

#endif
