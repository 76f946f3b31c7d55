/* optimizer_table.c - the rows of the optimisers, and how their texts are read. */
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "train/optimizer.h"

#define OPTION(id, low, high) FANIN__OPTION(fanin__settings, id, low, high)
/* Two names for one number, as torch writes it and as the formulas do. */
static const fanin__option options[] = {
    OPTION(lr, 0, 1e6),
    OPTION(mu, 0, 1),
    {"momentum", 0, 1, offsetof(fanin__settings, mu), false},
    OPTION(dampening, 0, 1),
    OPTION(weight_decay, 0, 1e6),
    OPTION(beta1, 0, 1),
    OPTION(beta2, 0, 1),
    OPTION(alpha, 0, 1),
    OPTION(eps, 0, 1e6),
    OPTION(lr_decay, 0, 1e6),
    OPTION(trust, 0, 1e6),
    OPTION(damping, 0, 1e6),
    OPTION(leak, 0, 1),
};

static const fanin__optimizer_row rows[] = {
    {.shown = {"sgd", "lr=0.01,weight_decay=0", "w -= lr g", "Robbins & Monro 1951"},
     .kind = FANIN__UPDATE_SGD,
     .update = fanin__update_torch,
     .defaults = {.lr = 0.01}},
    {.shown = {"momentum", "lr=0.01,mu=0.9,dampening=0,weight_decay=0",
               "v = mu v + (1 - dampening) g; w -= lr v", "Polyak 1964"},
     .kind = FANIN__UPDATE_SGD,
     .update = fanin__update_torch,
     .slots = {"velocity"},
     .defaults = {.lr = 0.01, .mu = 0.9}},
    {.shown = {"nesterov", "lr=0.01,mu=0.9,weight_decay=0", "v = mu v + g; w -= lr (g + mu v)",
               "Nesterov 1983"},
     .kind = FANIN__UPDATE_SGD,
     .update = fanin__update_torch,
     .nesterov = true,
     .slots = {"velocity"},
     .defaults = {.lr = 0.01, .mu = 0.9}},
    {.shown = {"adam", "lr=0.001,beta1=0.9,beta2=0.999,eps=1e-8,weight_decay=0",
               "w -= lr m^ / (sqrt(v^) + eps), m and v moving means of g and g^2",
               "Kingma & Ba 2015, algorithm 1"},
     .kind = FANIN__UPDATE_ADAM,
     .update = fanin__update_torch,
     .slots = {"mean", "square"},
     .defaults = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8}},
    {.shown = {"adamw", "lr=0.001,beta1=0.9,beta2=0.999,eps=1e-8,weight_decay=0.01",
               "w *= 1 - lr weight_decay, then adam", "Loshchilov & Hutter 2019"},
     .kind = FANIN__UPDATE_ADAMW,
     .update = fanin__update_torch,
     .slots = {"mean", "square"},
     .defaults = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01}},
    {.shown = {"rmsprop", "lr=0.01,alpha=0.99,eps=1e-8,mu=0,weight_decay=0",
               "s = alpha s + (1 - alpha) g^2; w -= lr g / (sqrt(s) + eps)",
               "Tieleman & Hinton 2012"},
     .kind = FANIN__UPDATE_RMSPROP,
     .update = fanin__update_torch,
     .slots = {"square", "velocity"},
     .defaults = {.lr = 0.01, .alpha = 0.99, .eps = 1e-8}},
    {.shown = {"adagrad", "lr=0.01,lr_decay=0,eps=1e-10,weight_decay=0",
               "s += g^2; w -= lr g / (sqrt(s) + eps)", "Duchi, Hazan & Singer 2011"},
     .kind = FANIN__UPDATE_ADAGRAD,
     .update = fanin__update_torch,
     .slots = {"sum"},
     .defaults = {.lr = 0.01, .eps = 1e-10}},
    {.shown = {"lion", "lr=0.0001,beta1=0.9,beta2=0.99,weight_decay=0",
               "w -= lr (sign(beta1 m + (1 - beta1) g) + weight_decay w); "
               "m = beta2 m + (1 - beta2) g",
               "Chen et al. 2023, algorithm 2"},
     .update = fanin__update_lion,
     .slots = {"mean"},
     .defaults = {.lr = 1e-4, .beta1 = 0.9, .beta2 = 0.99}},
    {.shown = {"lars", "lr=0.1,mu=0.9,trust=0.001,weight_decay=0",
               "v = mu v + lr trust |w| / (|g| + weight_decay |w|) (g + weight_decay w); w -= v; "
               "vectors without the ratio",
               "You, Gitman & Ginsburg 2017, algorithm 1"},
     .update = fanin__update_lars,
     .slots = {"velocity"},
     .defaults = {.lr = 0.1, .mu = 0.9, .trust = 1e-3}},
    {.shown = {"lamb", "lr=0.001,beta1=0.9,beta2=0.999,eps=1e-6,weight_decay=0.01",
               "r = adam's direction + weight_decay w; w -= lr (|w| / |r|) r; the ratio is 1 "
               "where a norm is 0",
               "You et al. 2020, algorithm 2"},
     .update = fanin__update_lamb,
     .slots = {"mean", "square"},
     .defaults = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-6, .weight_decay = 0.01}},
    {.shown = {"levenberg", "lr=0.01,damping=0.1,leak=0.01",
               "w -= lr g / (h + damping), h the moving mean of the diagonal of the Gauss-Newton "
               "matrix; stochastic diagonal Levenberg-Marquardt",
               "LeCun et al. 1998, sections 7.4 and 9.1"},
     .update = fanin__update_levenberg,
     .diagonal = true,
     .slots = {"diagonal"},
     .defaults = {.lr = 0.01, .damping = 0.1, .leak = 0.01}},
    {.shown = {"hutchinson", "lr=0.01,damping=0.1,leak=0.01",
               "the same with |h|, h the moving mean of z (Hz), z random signs, H the Hessian: for "
               "networks that levenberg's recursion does not go through",
               "LeCun et al. 1998, section 9.1; Hutchinson 1990"},
     .update = fanin__update_levenberg,
     .curvature = true,
     .slots = {"diagonal"},
     .defaults = {.lr = 0.01, .damping = 0.1, .leak = 0.01}},
    {.shown = {"perceptron", "lr=1",
               "where the answer is wrong: w += lr d x, d = +-1 (classes: the right unit +, the "
               "one that won -); one layer, one sample after the other",
               "Rosenblatt 1958"},
     .check = fanin__one_layer,
     .all = fanin__step_perceptron,
     .defaults = {.lr = 1}},
    {.shown = {"lms", "lr=0.01",
               "w += 2 lr (d - w x) x; one layer, one sample after the other; classes: d = +-1",
               "Widrow & Hoff 1960, delta rule"},
     .check = fanin__one_layer,
     .all = fanin__step_lms,
     .defaults = {.lr = 0.01}},
    {.shown = {"alpha_lms", "lr=0.5",
               "w += lr (d - w x) x / |x|^2, 0 < lr < 2, a bias counts as an input of 1; one "
               "layer, one sample after the other; classes: d = +-1",
               "Widrow & Hoff 1960"},
     .check = fanin__one_layer,
     .all = fanin__step_alpha_lms,
     .defaults = {.lr = 0.5}},
};

int fanin_optimizer_count(void) { return (int)FANIN_COUNT(rows); }

fanin_optimizer_info fanin_optimizer_at(int i) {
    return i >= 0 && i < fanin_optimizer_count() ? rows[i].shown : (fanin_optimizer_info){0};
}

static fanin_status unknown(const char *text, size_t n, fanin_err *err) {
    fanin__text names = {.max = 1024};
    for (size_t i = 0; i < FANIN_COUNT(rows); i++)
        fanin__text_printf(&names, "%s%s", i ? ", " : "", rows[i].shown.name);
    fanin_status status =
        fanin_err_set(err, FANIN_NOTFOUND, "optimizer '%.*s': unknown; expected one of %s", (int)n,
                      text, names.data ? names.data : "fanin list optimizers");
    fanin__text_fini(&names);
    return status;
}

fanin_status fanin__optimizer_parse(const char *text, const fanin__optimizer_row **out,
                                    fanin__settings *s, fanin_err *err) {
    size_t n = strcspn(text, ":");
    const fanin__optimizer_row *r = NULL;
    for (size_t i = 0; i < FANIN_COUNT(rows) && !r; i++)
        if (strlen(rows[i].shown.name) == n && !strncmp(rows[i].shown.name, text, n)) r = &rows[i];
    if (!r) return unknown(text, n, err);
    *s = r->defaults;
    *out = r;
    char what[64], takes[160];
    const char *given;
    FANIN_TRY(fanin__options_of(text, n, &given, err));
    snprintf(what, sizeof what, "optimizer %s", r->shown.name);
    snprintf(takes, sizeof takes, "%s%s", r->shown.options,
             strstr(r->shown.options, "mu=") ? ",momentum=mu" : "");
    return fanin__options_parse(what, takes, given, options, FANIN_COUNT(options), s, err);
}

fanin_status fanin__optimizer_needs(const char *text, fanin_program_options *o, bool *gradients,
                                    fanin_err *err) {
    const fanin__optimizer_row *r = NULL;
    fanin__settings s;
    FANIN_TRY(fanin__optimizer_parse(text, &r, &s, err));
    o->curvature = r->curvature;
    o->diagonal = r->diagonal;
    *gradients = r->update != fanin__update_torch || r->kind != FANIN__UPDATE_SGD || r->slots[0] ||
                 s.weight_decay != 0;
    return FANIN_OK;
}
