/* schedule.c - the learning rate over time, as a factor of the one that the optimiser was given. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "train/recipe.h"

enum { CONSTANT, STEP, COSINE, LINEAR, ONECYCLE };

static const fanin_schedule_info rows[] = {
    {"constant", "warmup=0", "1", ""},
    {"step", "every=0.3,factor=0.1,warmup=0", "factor^floor(t / every)", ""},
    {"cosine", "final=0,warmup=0", "final + (1 - final) (1 + cos(pi t / T)) / 2",
     "Loshchilov & Hutter 2017, equation 5, one period"},
    {"linear", "final=0,warmup=0", "1 + (final - 1) t / T", ""},
    {"onecycle", "peak=0.3,start=0.04,final=4e-6",
     "cosine from start up to 1 at the share peak of the run, then down to final",
     "Smith & Topin 2018, the two phases of torch's OneCycleLR"},
};

int fanin_schedule_count(void) { return (int)FANIN_COUNT(rows); }

fanin_schedule_info fanin_schedule_at(int i) {
    return i >= 0 && i < fanin_schedule_count() ? rows[i] : (fanin_schedule_info){0};
}

fanin_status fanin__schedule_parse(const char *text, fanin__schedule *s, fanin_err *err) {
    static const fanin__option options[] = {
        FANIN__OPTION(fanin__schedule, warmup, 0, 1e15),
        FANIN__OPTION(fanin__schedule, every, 1e-9, 1e15),
        FANIN__OPTION(fanin__schedule, factor, 0, 1),
        FANIN__OPTION(fanin__schedule, final, 0, 1e6),
        FANIN__OPTION(fanin__schedule, peak, 0, 1),
        FANIN__OPTION(fanin__schedule, start, 0, 1),
    };
    if (!text) text = "constant";
    size_t n = strcspn(text, ":");
    *s = (fanin__schedule){.kind = -1, .every = 0.3, .factor = 0.1, .peak = 0.3, .start = 0.04};
    for (int i = 0; i < fanin_schedule_count(); i++)
        if (strlen(rows[i].name) == n && !strncmp(rows[i].name, text, n)) s->kind = i;
    if (s->kind < 0)
        return fanin_err_set(err, FANIN_NOTFOUND,
                             "schedule '%.*s': unknown; expected constant, step, cosine, linear or "
                             "onecycle",
                             (int)n, text);
    if (s->kind == ONECYCLE) s->final = 4e-6;
    char what[48];
    const char *given;
    FANIN_TRY(fanin__options_of(text, n, &given, err));
    snprintf(what, sizeof what, "schedule %s", rows[s->kind].name);
    return fanin__options_parse(what, rows[s->kind].options, given, options, FANIN_COUNT(options),
                                s, err);
}

static double cosine(double from, double to, double share) {
    return to + (from - to) * (1 + cos(3.14159265358979323846 * share)) / 2;
}

/* Phases end on the steps peak T - 1 and T - 1. */
static double onecycle(const fanin__schedule *s, double t, double total) {
    double top = s->peak * total - 1;
    if (t <= top) return cosine(s->start, 1, top > 0 ? t / top : 1);
    double rest = total - 1 - top;
    return cosine(1, s->final, rest > 0 ? fmin((t - top) / rest, 1) : 1);
}

double fanin__schedule_factor(const fanin__schedule *s, uint64_t step, uint64_t steps) {
    double total = (double)steps, t = (double)step;
    double warmup = s->warmup < 1 ? floor(s->warmup * total) : floor(s->warmup);
    if (t < warmup) return (t + 1) / warmup;
    if (s->kind == ONECYCLE) return onecycle(s, t, total);
    t -= warmup;
    total = fmax(total - warmup, 1);
    double share = fmin(t / total, 1), every = s->every < 1 ? s->every * total : s->every;
    switch (s->kind) {
    case STEP: return pow(s->factor, floor(t / every));
    case COSINE: return cosine(1, s->final, share);
    case LINEAR: return 1 + (s->final - 1) * share;
    default: return 1;
    }
}

bool fanin__schedule_by_steps(const fanin__schedule *s) {
    return (s->warmup == 0 || s->warmup >= 1) &&
           (s->kind == CONSTANT || (s->kind == STEP && s->every >= 1));
}

fanin_status fanin_schedule_factor(const char *text, uint64_t step, uint64_t steps, double *factor,
                                   fanin_err *err) {
    fanin__schedule s;
    FANIN_TRY(fanin__schedule_parse(text, &s, err));
    *factor = fanin__schedule_factor(&s, step, steps);
    return FANIN_OK;
}
