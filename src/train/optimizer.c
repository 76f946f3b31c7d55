/* optimizer.c - the table of optimisers and their one step over all weights of a program. */
#include <stdio.h>
#include <string.h>

#include "compute/compute.h"
#include "fanin/train.h"

/* Options by name; a row lists those that it takes. */
typedef struct option {
    const char *name;
    double low, high;
    size_t offset;
} option;

typedef struct settings {
    double lr, mu, dampening, weight_decay, beta1, beta2, alpha, eps, lr_decay;
} settings;

#define OPTION(id, low, high) \
    { #id, low, high, offsetof(settings, id) }
static const option options[] = {
    OPTION(lr, 0, 1e6),           OPTION(mu, 0, 1),    OPTION(dampening, 0, 1),
    OPTION(weight_decay, 0, 1e6), OPTION(beta1, 0, 1), OPTION(beta2, 0, 1),
    OPTION(alpha, 0, 1),          OPTION(eps, 0, 1e6), OPTION(lr_decay, 0, 1e6),
};

typedef struct row {
    fanin_optimizer_info shown;
    fanin__update_kind kind;
    bool nesterov;
    settings defaults;
} row;

static const row rows[] = {
    {{"sgd", "lr=0.01,weight_decay=0", "w -= lr g", "Robbins & Monro 1951"},
     FANIN__UPDATE_SGD,
     false,
     {.lr = 0.01}},
    {{"momentum", "lr=0.01,mu=0.9,dampening=0,weight_decay=0",
      "v = mu v + (1 - dampening) g; w -= lr v", "Polyak 1964"},
     FANIN__UPDATE_SGD,
     false,
     {.lr = 0.01, .mu = 0.9}},
    {{"nesterov", "lr=0.01,mu=0.9,weight_decay=0", "v = mu v + g; w -= lr (g + mu v)",
      "Nesterov 1983"},
     FANIN__UPDATE_SGD,
     true,
     {.lr = 0.01, .mu = 0.9}},
    {{"adam", "lr=0.001,beta1=0.9,beta2=0.999,eps=1e-8,weight_decay=0",
      "w -= lr m^ / (sqrt(v^) + eps), m and v moving means of g and g^2",
      "Kingma & Ba 2015, algorithm 1"},
     FANIN__UPDATE_ADAM,
     false,
     {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8}},
    {{"adamw", "lr=0.001,beta1=0.9,beta2=0.999,eps=1e-8,weight_decay=0.01",
      "w *= 1 - lr weight_decay, then adam", "Loshchilov & Hutter 2019"},
     FANIN__UPDATE_ADAMW,
     false,
     {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01}},
    {{"rmsprop", "lr=0.01,alpha=0.99,eps=1e-8,mu=0,weight_decay=0",
      "s = alpha s + (1 - alpha) g^2; w -= lr g / (sqrt(s) + eps)", "Tieleman & Hinton 2012"},
     FANIN__UPDATE_RMSPROP,
     false,
     {.lr = 0.01, .alpha = 0.99, .eps = 1e-8}},
    {{"adagrad", "lr=0.01,lr_decay=0,eps=1e-10,weight_decay=0",
      "s += g^2; w -= lr g / (sqrt(s) + eps)", "Duchi, Hazan & Singer 2011"},
     FANIN__UPDATE_ADAGRAD,
     false,
     {.lr = 0.01, .eps = 1e-10}},
};

int fanin_optimizer_count(void) { return (int)FANIN_COUNT(rows); }

fanin_optimizer_info fanin_optimizer_at(int i) {
    return i >= 0 && i < fanin_optimizer_count() ? rows[i].shown : (fanin_optimizer_info){0};
}

struct fanin_optimizer {
    const row *row;
    fanin_program *program;
    fanin__update_args args;
    settings set;
    int weights;
    float *state; /* one block: up to three arrays a weight, in weight order */
};

enum { STATES_MAX = 3 };

static bool takes(const row *r, const char *name) {
    char key[32];
    snprintf(key, sizeof key, "%s=", name);
    const char *at = strstr(r->shown.options, key);
    return at && (at == r->shown.options || at[-1] == ',');
}

static fanin_status parse_option(const row *r, const char *p, size_t n, settings *s,
                                 fanin_err *err) {
    const char *equals = memchr(p, '=', n);
    size_t key = equals ? (size_t)(equals - p) : n;
    for (size_t i = 0; i < FANIN_COUNT(options) && equals; i++) {
        const option *o = &options[i];
        bool same = (strlen(o->name) == key && !strncmp(p, o->name, key)) ||
                    (!strcmp(o->name, "mu") && key == 8 && !strncmp(p, "momentum", 8));
        if (!same || !takes(r, o->name)) continue;
        const char *end;
        double value = fanin__parse_double(equals + 1, &end);
        if (end == equals + 1 || end != p + n || !(value >= o->low && value <= o->high))
            return fanin_err_set(err, FANIN_ARG,
                                 "optimizer %s: %.*s: expected a number from %g to %g",
                                 r->shown.name, (int)n, p, o->low, o->high);
        *(double *)((char *)s + o->offset) = value;
        return FANIN_OK;
    }
    return fanin_err_set(err, FANIN_ARG, "optimizer %s: '%.*s' is no option of it; it takes %s",
                         r->shown.name, (int)n, p, r->shown.options);
}

static fanin_status parse(const char *text, const row **out, settings *s, fanin_err *err) {
    size_t n = strcspn(text, ":");
    const row *r = NULL;
    for (size_t i = 0; i < FANIN_COUNT(rows) && !r; i++)
        if (strlen(rows[i].shown.name) == n && !strncmp(rows[i].shown.name, text, n)) r = &rows[i];
    if (!r)
        return fanin_err_set(err, FANIN_NOTFOUND,
                             "optimizer '%.*s': unknown; expected sgd, momentum, nesterov, adam, "
                             "adamw, rmsprop or adagrad",
                             (int)n, text);
    *s = r->defaults;
    for (const char *p = text + n; *p;) {
        p++; /* ':' or ',' */
        size_t length = strcspn(p, ",");
        FANIN_TRY(parse_option(r, p, length, s, err));
        p += length;
    }
    *out = r;
    return FANIN_OK;
}

static bool trained(const fanin_program *p, int i) {
    return fanin_program_gradient(p, i).data != NULL &&
           fanin_program_weight(p, i).dtype == FANIN_F32;
}

fanin_status fanin_optimizer_create(const char *text, fanin_program *program, fanin_optimizer **out,
                                    fanin_err *err) {
    *out = NULL;
    settings s;
    const row *r = NULL;
    FANIN_TRY(parse(text, &r, &s, err));
    fanin_optimizer *o = fanin_calloc(1, sizeof *o);
    if (!o) return fanin_err_set(err, FANIN_NOMEM, "optimizer: no memory");
    o->row = r;
    o->program = program;
    o->set = s;
    o->weights = fanin_program_weight_count(program);
    o->args = (fanin__update_args){
        .lr = (float)s.lr,
        .weight_decay = (float)s.weight_decay,
        .momentum = (float)s.mu,
        .dampening = (float)s.dampening,
        .nesterov = r->nesterov,
        .beta1 = (float)s.beta1,
        .beta2 = (float)s.beta2,
        .alpha = (float)s.alpha,
        .eps = (float)s.eps,
        .lr_decay = s.lr_decay,
    };
    size_t count = 0;
    for (int i = 0; i < o->weights; i++)
        if (trained(program, i)) count += fanin_program_weight(program, i).count;
    o->state = fanin_calloc(count * STATES_MAX, sizeof *o->state);
    if (!o->state) {
        fanin_optimizer_destroy(o);
        return fanin_err_set(err, FANIN_NOMEM, "optimizer %s: no memory for its state",
                             r->shown.name);
    }
    *out = o;
    return FANIN_OK;
}

void fanin_optimizer_destroy(fanin_optimizer *o) {
    if (!o) return;
    fanin_free(o->state);
    fanin_free(o);
}

double fanin_optimizer_lr(const fanin_optimizer *o) { return o->set.lr; }

void fanin_optimizer_set_lr(fanin_optimizer *o, double lr) {
    o->set.lr = lr;
    o->args.lr = (float)lr;
}

void fanin_optimizer_step(fanin_optimizer *o) {
    float *state = o->state;
    o->args.step++;
    for (int i = 0; i < o->weights; i++) {
        fanin_buffer w = fanin_program_weight(o->program, i);
        fanin_buffer fresh = fanin_program_statistic(o->program, i);
        if (fresh.data) memcpy(w.data, fresh.data, w.count * fanin_dtype_size(w.dtype));
        if (!trained(o->program, i)) continue;
        const float *g = fanin_program_gradient(o->program, i).data;
        fanin__update(o->row->kind, &o->args, w.count, g, w.data, state, state + w.count,
                      state + 2 * w.count);
        state += STATES_MAX * w.count;
    }
}
