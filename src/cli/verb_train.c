/* fanin train: let the network learn, and say what happened. */
#include <errno.h>
#include <fanin/report.h>
#include <fanin/train.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "input.h"
#include "recipe.h"
#include "train_log.h"

typedef struct request {
    cli_init init;
    cli_recipe recipe;
    const char *weights, *data, *optimizer, *out;
    const char *log, *tensorboard, *checkpoint, *resume, *html;
    uint64_t steps, batch, eval_every, eval_samples, validation, patience;
    uint64_t checkpoint_every, monitor, monitor_samples;
    double epochs;
    bool watch;
} request;

static json_t *result_json(const fanin_graph *g, const char *scheme, const fanin_train_result *r,
                           json_t *saved) {
    json_t *points = json_array(), *o = json_object();
    for (size_t i = 0; i < r->count; i++) {
        json_t *p = json_object();
        json_object_set_new(p, "step", json_integer((json_int_t)r->points[i].step));
        json_object_set_new(p, "train_loss", cli_number(r->points[i].train_loss));
        json_object_set_new(p, "test_loss", cli_number(r->points[i].test_loss));
        json_object_set_new(p, "test_error", cli_number(r->points[i].test_error));
        json_object_set_new(p, "valid_loss", cli_number(r->points[i].valid_loss));
        json_object_set_new(p, "valid_error", cli_number(r->points[i].valid_error));
        json_object_set_new(p, "seconds", cli_number(r->points[i].seconds));
        json_array_append_new(points, p);
    }
    json_object_set_new(o, "model", json_string(g->name));
    json_object_set_new(o, "scheme", cli_text(scheme));
    json_object_set_new(o, "steps", json_integer((json_int_t)r->steps));
    json_object_set_new(o, "diverged", json_boolean(r->diverged));
    json_object_set_new(o, "diverged_layer", cli_text(r->diverged ? r->diverged_layer : NULL));
    json_object_set_new(o, "stopped_early", json_boolean(r->stopped));
    json_object_set_new(o, "best_step", json_integer((json_int_t)r->best_step));
    json_object_set_new(o, "best_loss", cli_number(r->best_loss));
    json_object_set_new(o, "saved_step", saved);
    json_object_set_new(o, "seconds", cli_number(r->seconds));
    json_object_set_new(o, "data_share", cli_number(r->data_seconds / r->session_seconds));
    json_object_set_new(o, "monitor_share", cli_number(r->monitor_seconds / r->session_seconds));
    json_object_set_new(o, "points", points);
    return o;
}

static fanin_status save_weights(const fanin_program *p, const char *path, fanin_err *err) {
    int n = fanin_program_weight_count(p);
    fanin_array *arrays = fanin_calloc((size_t)n + 1, sizeof *arrays);
    if (!arrays) return FANIN_NOMEM;
    for (int i = 0; i < n; i++) {
        fanin_buffer w = fanin_program_weight(p, i);
        arrays[i] = (fanin_array){.name = fanin_program_weight_name(p, i),
                                  .dtype = w.dtype,
                                  .rank = w.rank,
                                  .data = w.data,
                                  .size = w.count * fanin_dtype_size(w.dtype)};
        memcpy(arrays[i].dims, w.dims, sizeof w.dims);
    }
    fanin_status status = fanin_weights_save(path, arrays, n, NULL, err);
    fanin_free(arrays);
    return status;
}

/* ---- what the run is ----------------------------------------------------------------------------- */

enum { FACTS = 16 };

/* Key and value pairs that a checkpoint keeps and a resumed run has to agree with, besides the trainer's own. */
typedef struct facts {
    const char *kept[FACTS + 1];
    int count;
    char key[40], *rules;
} facts;

static void keep(facts *f, const char *key, const char *value) {
    if (!value) return;
    f->kept[f->count++] = key;
    f->kept[f->count++] = value;
}

static bool join_rules(const cli_list *rules, char **out) {
    size_t size = 0;
    *out = NULL;
    if (!rules->count) return true;
    FILE *s = open_memstream(out, &size);
    if (!s) return false;
    for (int i = 0; i < rules->count; i++) fprintf(s, "%s%s", i ? " " : "", rules->items[i]);
    return fclose(s) == 0;
}

/* A run has one name from its first step to its last, however often it is resumed. */
static fanin_status name_run(const request *r, facts *f, fanin_err *err) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    snprintf(f->key, sizeof f->key, "%lld.%09ld-%ld", (long long)t.tv_sec, t.tv_nsec,
             (long)getpid());
    if (!r->resume) return FANIN_OK;
    char *old;
    fanin_status status = fanin_checkpoint_recorded(r->resume, "run", &old, err);
    if (old) snprintf(f->key, sizeof f->key, "%s", old);
    fanin_free(old);
    return status;
}

static fanin_status gather_facts(const cli *c, const request *r, facts *f, fanin_err *err) {
    if (!join_rules(&r->init.rules, &f->rules)) return fanin_err_set(err, FANIN_NOMEM, "no memory");
    fanin_status status = name_run(r, f, err);
    if (status != FANIN_OK) return status;
    keep(f, "run", f->key);
    keep(f, "model_text", c->args[0]);
    keep(f, "scheme", r->init.scheme);
    keep(f, "rules", f->rules);
    keep(f, "stream", r->init.stream);
    keep(f, "fans", r->init.fans);
    keep(f, "weights", r->weights);
    return FANIN_OK;
}

/* ---- the run -------------------------------------------------------------------------------------- */

typedef struct job {
    cli *c;
    const request *r;
    const cli_inputs *in;
    facts facts;
    train_log log;
    fanin_trainer *trainer;
    fanin_train_result result;
    const char *scheme; /* drawn by; NULL: weights were given */
} job;

static fanin_train_options train_options(job *j) {
    const request *r = j->r;
    fanin_train_options o = {
        .optimizer = r->optimizer,
        .steps = r->steps,
        .epochs = r->epochs,
        .batch = (int64_t)r->batch,
        .seed = r->init.seed,
        .eval_every = r->eval_every,
        .eval_samples = r->eval_samples,
        .validation = r->validation,
        .patience = r->patience,
        .monitor_every = r->monitor,
        .monitor_samples = r->monitor_samples,
        .checkpoint = r->checkpoint ? r->checkpoint : r->resume,
        .checkpoint_every = r->checkpoint_every,
        .record = j->facts.kept,
    };
    cli_recipe_apply(&r->recipe, &o);
    train_log_connect(&j->log, &o);
    return o;
}

/* The weights to start from: drawn, given, or those of the checkpoint. */
static fanin_status start(job *j, fanin_err *err) {
    const request *r = j->r;
    const cli_init *i = &r->init;
    fanin_init_options init = cli_init_options(i);
    bool draw = i->scheme || i->rules.count || (!r->weights && cli_lacks_weights(j->in->graph));
    if (draw) j->scheme = init.scheme ? init.scheme : "auto";
    if (r->resume) return fanin_trainer_resume(j->trainer, r->resume, err);
    if (draw && !init.scheme && !i->rules.count)
        cli_note(j->c, "no weights in the model: scheme auto");
    return fanin_weights_fill(j->in->graph, draw ? &init : NULL, j->in->weights,
                              fanin_trainer_program(j->trainer), err);
}

static int open_log(job *j) {
    const request *r = j->r;
    fanin_err err = {0};
    const char **configuration;
    fanin_status status = fanin_trainer_configuration(j->trainer, &configuration, &err);
    if (status != FANIN_OK) return cli_fail(j->c, status, &err);
    const fanin_run_about about = {
        .kind = "train",
        .key = j->facts.key,
        .model = j->c->args[0],
        .data = r->data,
        .scheme = j->scheme,
        .optimizer = r->optimizer ? r->optimizer : "sgd",
        .seed = r->init.seed,
        .configuration = configuration,
    };
    j->log.watch = r->watch;
    int code = train_log_open(&j->log, j->c, r->log, r->tensorboard, &about,
                              fanin_trainer_step(j->trainer));
    fanin_free(configuration);
    return code;
}

/* Stopped: where it was saved, and the command that goes on. Without --checkpoint a folder is made for it. */
static int tell_how_to_resume(job *j) {
    const request *r = j->r;
    fanin_err err = {0};
    char dir[64] = "fanin-checkpoint", path[96];
    const char *at = r->checkpoint ? r->checkpoint : r->resume;
    if (!at) {
        for (int n = 2; access(dir, F_OK) == 0 && n < 1000; n++)
            snprintf(dir, sizeof dir, "fanin-checkpoint-%d", n);
        snprintf(path, sizeof path, "%s/last.safetensors", dir);
        fanin_status status = fanin_directory_create(dir, &err);
        if (status == FANIN_OK) status = fanin_trainer_save(j->trainer, path, &err);
        if (status != FANIN_OK) return cli_fail(j->c, status, &err);
        at = dir;
    }
    char *command = cli_command(j->c, (const char *const[]){"resume", NULL},
                                (const char *const[]){"--resume", at, NULL});
    fprintf(stderr, "fanin train: saved in %s; to go on:\n  %s\n", at, command ? command : "");
    free(command);
    return 130;
}

static int run(job *j) {
    fanin_err err = {0};
    cli *c = j->c;
    if (!c->json && !c->quiet) {
        bool valid = j->r->validation > 0;
        printf("%9s  %9s  %9s  %s%7s  %9s\n", "step", "train", "test", valid ? "   valid   " : "",
               "error", "time");
    }
    fanin_status status = fanin_trainer_run(j->trainer, &j->result, &err);
    cli_progress_end(c);
    int code = train_log_finish(&j->log, status, &err, &j->result);
    if (status == FANIN_INTERRUPTED) {
        if (!code) cli_fail(c, status, &err);
        int saved = tell_how_to_resume(j);
        return code ? code : saved;
    }
    return code ? code : status != FANIN_OK ? cli_fail(c, status, &err) : 0;
}

/* With patience the weights of the lowest loss, else those of the last step; *step: whose. */
static fanin_status save_result(job *j, uint64_t *step, fanin_err *err) {
    bool best = fanin_trainer_take_best(j->trainer);
    *step = best ? j->result.best_step : j->result.steps;
    fanin_status status = save_weights(fanin_trainer_program(j->trainer), j->r->out, err);
    if (status != FANIN_OK && best) fanin_trainer_take_best(j->trainer);
    if (status == FANIN_OK && best)
        cli_note(j->c, "%s: the weights of step %llu, where the loss was lowest", j->r->out,
                 (unsigned long long)*step);
    return status;
}

static int finish(job *j) {
    cli *c = j->c;
    const fanin_train_result *r = &j->result;
    fanin_err err = {0};
    uint64_t saved_step = 0;
    bool save = j->r->out && !r->diverged;
    if (r->diverged) {
        fprintf(stderr, "fanin train: the loss stopped being a number at step %llu; first in %s\n",
                (unsigned long long)r->diverged_at,
                r->diverged_layer[0] ? r->diverged_layer : "the loss");
    } else if (save) {
        fanin_status saved = save_result(j, &saved_step, &err);
        if (saved != FANIN_OK) {
            int code = cli_fail(c, saved, &err);
            tell_how_to_resume(j); /* what was learnt is not lost */
            return code;
        }
    }
    if (j->r->html) {
        char title[192];
        snprintf(title, sizeof title, "%.100s on %.60s", c->args[0], j->r->data);
        fanin_status saved =
            fanin_train_page(title, j->scheme ? j->scheme : "given weights", r, j->r->html, &err);
        if (saved != FANIN_OK) return cli_fail(c, saved, &err);
    }
    if (r->stopped)
        cli_note(c, "stopped at step %llu: no better since step %llu", (unsigned long long)r->steps,
                 (unsigned long long)r->best_step);
    if (!c->json && r->session_seconds > 1)
        cli_note(c, "%.1f s: %.1f %% waiting for data, %.1f %% looking at layers",
                 r->session_seconds, 100 * r->data_seconds / r->session_seconds,
                 100 * r->monitor_seconds / r->session_seconds);
    json_t *saved = save ? json_integer((json_int_t)saved_step) : json_null();
    int code = 0;
    if (c->json)
        code = cli_json(c, result_json(j->in->graph, j->scheme, r, saved));
    else
        json_decref(saved);
    return code ? code : r->diverged ? 4 : 0;
}

/* Hours of training are no time to learn that a folder is missing. */
static int check_folder(cli *c, const char *path) {
    fanin_err err = {0};
    const char *slash = path ? strrchr(path, '/') : NULL;
    char folder[4096] = ".";
    if (!path) return 0;
    if (slash) snprintf(folder, sizeof folder, "%.*s", (int)(slash - path + 1), path);
    if (access(folder, W_OK) == 0) return 0;
    fanin_err_set(&err, FANIN_IO, "%s: cannot write into its folder: %s", path, strerror(errno));
    return cli_fail(c, FANIN_IO, &err);
}

static int train(cli *c, const request *r, const cli_inputs *in) {
    job j = {.c = c, .r = r, .in = in};
    fanin_err err = {0};
    fanin_status status = gather_facts(c, r, &j.facts, &err);
    const fanin_train_options o = train_options(&j);
    if (status == FANIN_OK)
        status = fanin_trainer_create(in->graph, in->data, &o, &j.trainer, &err);
    if (status == FANIN_OK) status = start(&j, &err);
    int code = status == FANIN_OK ? open_log(&j) : cli_fail(c, status, &err);
    if (!code) code = run(&j);
    if (!code) code = finish(&j);
    train_log_close(&j.log);
    fanin_train_result_fini(&j.result);
    fanin_trainer_destroy(j.trainer);
    free(j.facts.rules);
    return code;
}

int verb_train(cli *c) {
    request r = {.eval_samples = 2000};
    const cli_option options[] = {
        {"data", 0, CLI_TEXT, &r.data, "DATA", "data set; fanin list data"},
        CLI_INIT_OPTIONS(r.init),
        {"weights", 0, CLI_TEXT, &r.weights, "FILE", "start from these weights"},
        {"optimizer", 0, CLI_TEXT, &r.optimizer, "NAME[:k=v]",
         "default sgd:lr=0.01; fanin list optimizers"},
        {"steps", 0, CLI_COUNT, &r.steps, "N", "updates"},
        {"epochs", 0, CLI_NUMBER, &r.epochs, "N", "passes over the training split"},
        {"batch", 0, CLI_COUNT, &r.batch, "N", "samples a step (default 10)"},
        CLI_RECIPE_OPTIONS(r.recipe),
        {"eval-every", 0, CLI_COUNT, &r.eval_every, "N",
         "steps between evaluations (default: 50 in all)"},
        {"eval-samples", 0, CLI_COUNT, &r.eval_samples, "N", "of the test split (default 2000)"},
        {"validation", 0, CLI_COUNT, &r.validation, "N",
         "samples of the training split to hold out and evaluate"},
        {"patience", 0, CLI_COUNT, &r.patience, "N",
         "stop after N evaluations without a lower loss; -o is the best"},
        {"monitor", 0, CLI_COUNT, &r.monitor, "N",
         "look at every layer each N steps: stored, shown, in the page"},
        {"monitor-samples", 0, CLI_COUNT, &r.monitor_samples, "N",
         "on so many (default: the batch, at least 16)"},
        {"watch", 0, CLI_FLAG, &r.watch, NULL, "show the layers while they learn"},
        {"log", 0, CLI_TEXT, &r.log, "RUNS.db", "keep the run in this store; fanin runs"},
        {"tensorboard", 0, CLI_TEXT, &r.tensorboard, "DIR", "also TensorBoard events"},
        {"html", 0, CLI_TEXT, &r.html, "OUT.html", "also a page: curves, and layers over time"},
        {"checkpoint", 0, CLI_TEXT, &r.checkpoint, "DIR", "keep last and best (lowest loss) there"},
        {"checkpoint-every", 0, CLI_COUNT, &r.checkpoint_every, "N",
         "steps between checkpoints (default: at each evaluation)"},
        {"resume", 0, CLI_TEXT, &r.resume, "DIR",
         "go on from DIR/last.safetensors, further with more --steps"},
        {"output", 'o', CLI_TEXT, &r.out, "OUT.safetensors",
         "the weights of the last step; with --patience of the best"},
        CLI_END,
    };
    int code;
    if (!cli_parse_experiment(c, options)) {
        code = c->exit_code;
    } else if (cli_recipe_check(c, &r.recipe)) {
        code = 2;
    } else if (!r.data) {
        code = cli_usage(c, "--data is missing");
    } else if (!r.steps && !(r.epochs > 0)) {
        code = cli_usage(c, "--steps or --epochs is missing");
    } else {
        cli_inputs in = {0};
        if ((r.watch || r.html) && !r.monitor) r.monitor = 100;
        code = check_folder(c, r.out);
        if (!code) code = check_folder(c, r.html);
        if (!code) code = cli_open_inputs(c, c->args[0], r.weights, r.data, NULL, r.init.seed, &in);
        if (!code) code = train(c, &r, &in);
        cli_close_inputs(&in);
    }
    cli_list_fini(&r.init.rules);
    cli_recipe_fini(&r.recipe);
    cli_experiment_close(c);
    return code;
}
