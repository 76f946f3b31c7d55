#include "cli.h"

#include <fanin/compute.h>
#include <fanin/format.h>

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* ---- options ----------------------------------------------------------------------------------- */

static const char *color_text, *threads_text;
static bool want_help;

enum { COMMON = 6, OPTIONS_MAX = 64 };

static int common_options(cli *c, cli_option *out) {
    const cli_option common[COMMON] = {
        {"json", 0, CLI_FLAG, &c->json, NULL, "one JSON object on standard output"},
        {"quiet", 'q', CLI_FLAG, &c->quiet, NULL, "no progress, no remarks"},
        {"threads", 0, CLI_TEXT, &threads_text, "N", "worker threads (default: all processors)"},
        {"color", 0, CLI_TEXT, &color_text, "auto|always|never", "colour (NO_COLOR is honoured)"},
        {"help", 'h', CLI_FLAG, &want_help, NULL, "this text"},
        CLI_END,
    };
    memcpy(out, common, sizeof common);
    return COMMON;
}

static void print_option(const cli_option *o) {
    char left[80];
    int n = snprintf(left, sizeof left, "  %s%c%s--%s%s%s", o->letter ? "-" : "",
                     o->letter ? o->letter : ' ', o->letter ? ", " : "   ", o->name,
                     o->value ? " " : "", o->value ? o->value : "");
    if (n > 34)
        printf("%s\n%36s%s\n", left, "", o->help);
    else
        printf("%-36s%s\n", left, o->help);
}

static void print_verb_help(const cli *c, const cli_option *all) {
    printf("usage: fanin %s %s%s[OPTIONS]\n\n%s\n\noptions:\n", c->verb->name, c->verb->usage,
           c->verb->usage[0] ? " " : "", c->verb->summary);
    for (const cli_option *o = all; o->name; o++) print_option(o);
    printf("\nexample:\n  %s\n", c->verb->example);
}

static bool list_add(cli_list *list, const char *item) {
    const char **items = realloc(list->items, ((size_t)list->count + 1) * sizeof *items);
    if (!items) return false;
    items[list->count++] = item;
    list->items = items;
    return true;
}

void cli_list_fini(cli_list *list) {
    free(list->items);
    *list = (cli_list){0};
}

static bool store(cli *c, const cli_option *o, const char *value) {
    char *end = NULL;
    switch (o->kind) {
    case CLI_FLAG: *(bool *)o->out = true; return true;
    case CLI_TEXT: *(const char **)o->out = value; return true;
    case CLI_LIST: return list_add(o->out, value);
    case CLI_NUMBER:
        *(double *)o->out = strtod(value, &end);
        /* NaN is what verbs hold where nothing is given, so it cannot be given */
        if (end != value && *end == '\0' && !isnan(*(double *)o->out)) return true;
        c->exit_code = cli_usage(c, "--%s %s: expected a number", o->name, value);
        return false;
    case CLI_COUNT:
        errno = 0;
        *(uint64_t *)o->out = strtoull(value, &end, 10);
        if (value[0] >= '0' && value[0] <= '9' && *end == '\0' && errno == 0) return true;
        c->exit_code =
            cli_usage(c, "--%s %s: expected a whole number from 0 to 2^64-1", o->name, value);
        return false;
    }
    return false;
}

static bool apply_common(cli *c) {
    if (threads_text) {
        char *end;
        long n = strtol(threads_text, &end, 10);
        if (end == threads_text || *end || n < 1 || n > 256) {
            c->exit_code = cli_usage(c, "--threads %s: expected 1 to 256", threads_text);
            return false;
        }
        fanin_threads_set((unsigned)n);
        setenv("OMP_NUM_THREADS", threads_text, 1);
    }
    fanin_compute_use_openmp(); /* one pool of threads in the process */
    if (color_text) {
        if (!strcmp(color_text, "always"))
            c->color = CLI_COLOR_ALWAYS;
        else if (!strcmp(color_text, "never"))
            c->color = CLI_COLOR_NEVER;
        else if (strcmp(color_text, "auto") != 0) {
            c->exit_code = cli_usage(c, "--color %s: expected auto, always or never", color_text);
            return false;
        }
    }
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    c->color_out =
        c->color == CLI_COLOR_ALWAYS || (c->color == CLI_COLOR_AUTO && !(no_color && *no_color) &&
                                         isatty(STDOUT_FILENO) && !(term && !strcmp(term, "dumb")));
    return true;
}

static int known_options(cli *c, const cli_option *own, cli_option *all) {
    int n = 0;
    for (; own->name && n < OPTIONS_MAX - COMMON; own++) all[n++] = *own;
    common_options(c, all + n);
    return n + COMMON - 1;
}

/* The options of the verb and the common ones, and which of them the command line has given. */
typedef struct parsed {
    cli_option all[OPTIONS_MAX];
    bool given[OPTIONS_MAX];
    int count;
} parsed;

static bool parse_line(cli *c, const cli_option *own, parsed *p) {
    struct option longs[OPTIONS_MAX + 1] = {{0}};
    char letters[2 * OPTIONS_MAX + 2] = ":";
    int n = p->count = known_options(c, own, p->all);
    size_t at = 1;
    for (int i = 0; i < n; i++) {
        const cli_option *o = &p->all[i];
        longs[i] = (struct option){o->name, o->kind == CLI_FLAG ? no_argument : required_argument,
                                   NULL, 256 + i};
        if (!o->letter) continue;
        letters[at++] = o->letter;
        if (o->kind != CLI_FLAG) letters[at++] = ':';
    }
    letters[at] = '\0';
    opterr = 0;
    optind = 1;
    int k;
    while ((k = getopt_long(c->argc, c->argv, letters, longs, NULL)) != -1) {
        if (k == '?' || k == ':') {
            const char *word = c->argv[optind - 1];
            c->exit_code = k == ':' ? cli_usage(c, "%s: wants a value", word)
                                    : cli_usage(c, "%s: no such option, or not clear which", word);
            return false;
        }
        int i = 0;
        while (i < n && k != 256 + i && !(p->all[i].letter && k == p->all[i].letter)) i++;
        if (i == n || !store(c, &p->all[i], optarg)) return false;
        p->given[i] = true;
    }
    if (want_help) {
        print_verb_help(c, p->all);
        c->exit_code = 0;
        return false;
    }
    c->args = c->argv + optind;
    c->arg_count = c->argc - optind;
    return true;
}

static bool right_number(cli *c, int min, int max) {
    if (c->arg_count >= min && (max < 0 || c->arg_count <= max)) return true;
    c->exit_code = c->arg_count < min ? cli_usage(c, "too few arguments")
                                      : cli_usage(c, "unexpected argument '%s'", c->args[max]);
    return false;
}

bool cli_parse(cli *c, const cli_option *own, int min, int max) {
    parsed p = {.count = 0};
    return parse_line(c, own, &p) && apply_common(c) && right_number(c, min, max);
}

/* ---- experiments ------------------------------------------------------------------------------- */

typedef struct experiment {
    fanin_settings *settings;
    char *joined[OPTIONS_MAX]; /* lists given to options that take one text */
    char *model;
} experiment;

void cli_experiment_close(cli *c) {
    experiment *e = c->experiment;
    if (!e) return;
    fanin_settings_close(e->settings);
    for (int i = 0; i < OPTIONS_MAX; i++) free(e->joined[i]);
    free(e);
    c->experiment = NULL;
}

/* Further items of a list go behind a comma. */
static bool join(experiment *e, int i, const char *old, const char *item) {
    size_t n = strlen(old) + strlen(item) + 2;
    char *text = malloc(n);
    if (!text) return false;
    snprintf(text, n, "%s,%s", old, item);
    free(e->joined[i]);
    e->joined[i] = text;
    return true;
}

static bool set_flag(cli *c, const char *path, const cli_option *o, fanin_setting s) {
    bool yes = !strcmp(s.value, "true") || !strcmp(s.value, "yes");
    if (!yes && strcmp(s.value, "false") != 0 && strcmp(s.value, "no") != 0) {
        c->exit_code = cli_usage(c, "%s line %d: %s: %s: expected true or false", path, s.line,
                                 s.key, s.value);
        return false;
    }
    *(bool *)o->out = yes;
    return true;
}

static bool apply_setting(cli *c, parsed *p, bool *seen, const char *path, fanin_setting s) {
    experiment *e = c->experiment;
    int i = 0;
    if (!strcmp(s.key, "model")) {
        e->model = (char *)(uintptr_t)s.value;
        return true;
    }
    while (i < p->count && strcmp(p->all[i].name, s.key) != 0) i++;
    if (i == p->count || p->all[i].out == &want_help) {
        c->exit_code = cli_usage(c, "%s line %d: '%s' is no option of fanin %s", path, s.line,
                                 s.key, c->verb->name);
        return false;
    }
    const cli_option *o = &p->all[i];
    if (p->given[i]) return true;
    if (o->kind == CLI_FLAG) return set_flag(c, path, o, s);
    const char *value = s.value;
    if (seen[i] && o->kind == CLI_TEXT) {
        if (!join(e, i, *(const char **)o->out, s.value)) {
            c->exit_code = cli_fail(c, FANIN_NOMEM, NULL);
            return false;
        }
        value = e->joined[i];
    } else if (seen[i] && o->kind != CLI_LIST) {
        c->exit_code = cli_usage(c, "%s line %d: %s takes one value", path, s.line, s.key);
        return false;
    }
    seen[i] = true;
    return store(c, o, value);
}

static bool read_experiment(cli *c, parsed *p) {
    const char *path = c->args[0];
    bool seen[OPTIONS_MAX] = {false};
    fanin_err err = {0};
    experiment *e = c->experiment = calloc(1, sizeof *e);
    fanin_status status = e ? fanin_settings_open(path, &e->settings, &err) : FANIN_NOMEM;
    if (status != FANIN_OK) {
        c->exit_code = cli_fail_input(c, status, &err);
        return false;
    }
    for (int i = 0; i < fanin_settings_count(e->settings); i++)
        if (!apply_setting(c, p, seen, path, fanin_settings_at(e->settings, i))) return false;
    if (!e->model) {
        c->exit_code = cli_usage(c, "%s: no line 'model: ...'", path);
        return false;
    }
    c->args = &e->model;
    return true;
}

bool cli_ends_with(const char *path, const char *ending) {
    size_t n = strlen(path), k = strlen(ending);
    return n >= k && strcasecmp(path + n - k, ending) == 0;
}

bool cli_parse_experiment(cli *c, const cli_option *own) {
    parsed p = {.count = 0};
    if (!parse_line(c, own, &p) || !right_number(c, 1, 1)) return false;
    bool listed = cli_ends_with(c->args[0], ".yaml") || cli_ends_with(c->args[0], ".yml");
    if (listed && !read_experiment(c, &p)) return false;
    return apply_common(c);
}

/* ---- errors ------------------------------------------------------------------------------------ */

static int exit_code_of(fanin_status status) {
    switch (status) {
    case FANIN_OK: return 0;
    case FANIN_ARG:
    case FANIN_NOTFOUND: return 2;
    case FANIN_SHAPE:
    case FANIN_UNSUPPORTED:
    case FANIN_FORMAT:
    case FANIN_LIMIT: return 3;
    case FANIN_DOMAIN:
    case FANIN_NOCONV:
    case FANIN_NUMERIC: return 4;
    case FANIN_NOMEM:
    case FANIN_IO:
    case FANIN_BACKEND:
    case FANIN_INTERNAL: return 5;
    case FANIN_INTERRUPTED: return 130;
    }
    return 5;
}

int cli_fail(cli *c, fanin_status status, const fanin_err *err) {
    cli_progress_end(c);
    const char *message = err && err->message[0] ? err->message : fanin_status_text(status);
    fprintf(stderr, "fanin %s: %s\n", c->verb->name, message);
    return exit_code_of(status);
}

int cli_fail_input(cli *c, fanin_status status, const fanin_err *err) {
    int code = cli_fail(c, status, err);
    return status == FANIN_NOTFOUND || status == FANIN_IO ? 3 : code;
}

int cli_usage(cli *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "fanin %s: ", c->verb->name);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\nusage: fanin %s %s [OPTIONS]; --help tells more\n", c->verb->name,
            c->verb->usage);
    va_end(args);
    return 2;
}

static void quote(FILE *f, const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-./:=,+@%";
    if (*word && strspn(word, plain) == strlen(word)) {
        fprintf(f, " %s", word);
        return;
    }
    fputs(" '", f);
    for (; *word; word++) fputs(*word == '\'' ? "'\\''" : (char[2]){*word, '\0'}, f);
    fputc('\'', f);
}

/* getopt_long takes the first letters of a name for it. */
static bool is_option(const char *word, const char *const *names) {
    size_t n = strncmp(word, "--", 2) ? 0 : strcspn(word + 2, "=");
    for (; n && *names; names++)
        if (!strncmp(word + 2, *names, n)) return true;
    return false;
}

char *cli_command(const cli *c, const char *const *drop, const char *const *add) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f) return NULL;
    fputs("fanin", f);
    for (int i = 0; i < c->argc; i++) {
        if (is_option(c->argv[i], drop))
            i += !strchr(c->argv[i], '=');
        else
            quote(f, c->argv[i]);
    }
    for (; *add; add++) quote(f, *add);
    if (fclose(f) == 0) return text;
    free(text);
    return NULL;
}

void cli_note(const cli *c, const char *format, ...) {
    if (c->quiet) return;
    va_list args;
    va_start(args, format);
    fprintf(stderr, "fanin %s: ", c->verb->name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

/* ---- JSON -------------------------------------------------------------------------------------- */

json_t *cli_number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

json_t *cli_text(const char *s) { return s ? json_string(s) : json_null(); }

json_t *cli_shape(const int64_t *dims, int rank) {
    json_t *shape = json_array();
    for (int i = 0; i < rank; i++) json_array_append_new(shape, json_integer(dims[i]));
    return shape;
}

int cli_json(cli *c, json_t *object) {
    cli_progress_end(c);
    int failed = !object || json_dumpf(object, stdout, JSON_REAL_PRECISION(17) | JSON_COMPACT) != 0;
    json_decref(object);
    if (failed) return cli_fail(c, FANIN_IO, &(fanin_err){.message = "cannot write JSON"});
    putchar('\n');
    return 0;
}

/* ---- terminal ---------------------------------------------------------------------------------- */

static struct {
    bool tty, shown;
    double started, last;
    char stage[128];
} progress;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int cli_width(void) {
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    const char *columns = getenv("COLUMNS");
    int n = columns ? atoi(columns) : 0;
    return n > 0 ? n : 80;
}

void cli_wrapped(const char *text, int used) {
    int width = cli_width();
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (used > 0 && used + 1 + n > width) {
            fputs("\n", stdout);
            used = 0;
        }
        used += printf("%s%.*s", used ? " " : "", n, text);
        text += n;
        while (*text == ' ') text++;
    }
    fputs("\n", stdout);
}

static void report(void *ctx, const char *what, double done, double total) {
    (void)ctx;
    double t = now();
    if (strcmp(what, progress.stage) != 0) {
        cli_progress_end(ctx);
        snprintf(progress.stage, sizeof progress.stage, "%s", what);
        progress.started = t;
        progress.last = 0;
        if (!progress.tty) fprintf(stderr, "%s\n", what);
    }
    if (!progress.tty || (t - progress.last < 0.1 && done < total)) return;
    progress.last = t;
    progress.shown = true;
    double share = total > 0 ? done / total : 0, spent = t - progress.started;
    int width = cli_width() - 1, filled = (int)(share * 24);
    char line[256];
    snprintf(line, sizeof line, "%-28.60s [%.*s%*s] %3.0f %%", what, filled,
             "########################", 24 - filled, "", 100 * share);
    char left[48] = "";
    if (share > 0.01 && spent > 0.5)
        snprintf(left, sizeof left, "  %.0f s left", spent / share - spent);
    fprintf(stderr, "\r\033[K%.*s%s", width > 20 ? width - 16 : 60, line, left);
    fflush(stderr);
}

void cli_progress_end(cli *c) {
    (void)c;
    if (progress.shown) fputs("\r\033[K", stderr);
    progress.shown = false;
}

void cli_progress_line(cli *c, const char *line, bool last) {
    double t = now();
    if (c->quiet || !isatty(STDERR_FILENO) || (!last && t - progress.last < 0.1)) return;
    progress.last = t;
    progress.shown = true;
    fprintf(stderr, "\r\033[K%.*s", cli_width() - 1, line);
    fflush(stderr);
}

fanin_progress cli_progress(cli *c) {
    if (c->quiet) return (fanin_progress){0};
    progress.tty = isatty(STDERR_FILENO);
    return (fanin_progress){report, c};
}

const char *cli_style(const cli *c, const char *style) { return c->color_out ? style : ""; }

static char *scratch(void) {
    static char buffers[16][64];
    static unsigned turn;
    return buffers[turn++ % 16];
}

const char *cli_thousands(uint64_t n) {
    char digits[32], *out = scratch();
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n), at = 0;
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0) out[at++] = ' ';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

const char *cli_human(double n) {
    static const char *const units[] = {"", " k", " M", " G", " T"};
    char *out = scratch();
    int unit = 0;
    while (fabs(n) >= 999.5 && unit < 4) n /= 1000, unit++;
    snprintf(out, 64, unit ? "%.3g%s" : "%.4g%s", n, units[unit]);
    return out;
}

const char *cli_shape_text(const int64_t *dims, int rank) {
    char *out = scratch();
    size_t at = 0;
    if (rank == 0) snprintf(out, 64, "scalar");
    for (int i = 0; i < rank && at < 63; i++) {
        int n = dims[i] < 0
                    ? snprintf(out + at, 64 - at, "%s?", i ? "x" : "")
                    : snprintf(out + at, 64 - at, "%s%lld", i ? "x" : "", (long long)dims[i]);
        at += n > 0 ? (size_t)n : 0;
    }
    return out;
}

const char *cli_cell(double value) {
    char *out = scratch();
    if (isnan(value))
        out[0] = '\0';
    else
        snprintf(out, 64, "%.4g", value);
    return out;
}
