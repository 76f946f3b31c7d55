/* auto.c - the scheme `auto`: every weight's variance from what the signal rules say reaches it.
 *
 * The rules run forward once. Where a weighted layer first meets the signal, its weight gets the variance that
 * makes the second moment of its output the target; what follows then sees that output. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "scheme/plan.h"
#include "scheme/predict.h"

/* Logits of variance v cost v/2 over ln C: half of the 2 % that a fresh loss may differ. */
static const double logit_share = 0.02;
static const double small_output = 0.1; /* of a regression: beside targets of variance 1 */
static const double position_share = 0.1;
static const double least_stream = 0.1;

double fanin__auto_target(const fanin__analysis *a, const fanin_tensor_info *info,
                          const fanin__weight_use *use, char *why, size_t size) {
    bool table = info->tensor.cls == FANIN_CLASS_EMBEDDING; /* as a product: a tied output */
    if (info->tensor.cls == FANIN_CLASS_OUTPUT || table) {
        if (isnan(a->classes)) {
            snprintf(why, size, "output layer, small beside targets of variance 1");
            return small_output;
        }
        double c = fmax(a->classes, 2);
        snprintf(why, size, "output layer, small logits of %.0f classes", a->classes);
        return logit_share * log(c);
    }
    /* a sum of what a step hears and of the state behind it is no residual sum */
    bool state = a->laws[info - a->tensors->items].state;
    if (info->closes && !state && use->stream > 0 && !use->shortcut && a->tensors->residuals > 1) {
        /* a stream as small as a tied table's is let grow: a branch in proportion would start with nothing */
        double stream = fmax(use->stream, least_stream);
        snprintf(why, size, "closes a residual branch, 1/%d of the stream's %.3g",
                 a->tensors->residuals, stream);
        return stream / a->tensors->residuals;
    }
    snprintf(why, size, use->shortcut ? "shortcut" : "hidden layer");
    return 1;
}

/* 1, and where the norm closes a residual branch what its layer would have been scaled by. */
static void choose_scale(const fanin__analysis *a, fanin__law_of *law,
                         const fanin__weight_use *use) {
    const fanin_tensor_info *layer = fanin__analysis_tensor(a, use->before);
    law->mean = 1;
    snprintf(law->why, sizeof law->why, "a norm leaves what it normalises");
    if (!layer || !layer->closes || use->shortcut || a->tensors->residuals < 2) return;
    law->mean = 1 / sqrt(a->tensors->residuals);
    snprintf(law->why, sizeof law->why, "norm that closes one of %d residual branches: 1/sqrt(%d)",
             a->tensors->residuals, a->tensors->residuals);
}

void fanin__auto_choose(fanin__analysis *a, const fanin_tensor_info *info, fanin__law_of *law,
                        const fanin__weight_use *use) {
    bool table = info->tensor.cls == FANIN_CLASS_EMBEDDING;
    if (use->layer && !(use->unit > 0)) { /* a state of zeros: the next step says */
        if (law->chosen) return;
        law->var = 1 / fmax(info->tensor.fan_in, 1);
        snprintf(law->why, sizeof law->why, "meets zeros only: 1/fan_in");
        return;
    }
    if (use->layer) {
        double left = 1 - law->centered * law->common;
        double var = law->target / (law->state && law->late > 0 ? law->late : use->unit * left);
        law->now = use->unit;
        if (law->chosen && !table) return;
        if (law->chosen && fabs(var / law->var - 1) > 0.01) a->again = true;
        law->var = var;
    } else if (info->tensor.cls == FANIN_CLASS_NORM_SCALE) {
        if (!law->chosen) choose_scale(a, law, use);
    } else if (!law->chosen) {
        bool beside = use->stream > 0;
        switch (info->tensor.cls) {
        case FANIN_CLASS_POSITION:
            law->var = position_share * (beside ? use->stream : 1);
            snprintf(law->why, sizeof law->why, "a tenth of what it is added to");
            break;
        case FANIN_CLASS_CLASS_TOKEN:
            law->var = beside ? use->stream : 1;
            snprintf(law->why, sizeof law->why, "as large as the tokens that follow");
            break;
        case FANIN_CLASS_RECURRENT_INPUT:
        case FANIN_CLASS_RECURRENT_HIDDEN:
            law->var = 1 / fmax(info->tensor.fan_in, 1);
            snprintf(law->why, sizeof law->why, "1/fan_in keeps the size of a state");
            break;
        default: law->var = 1; snprintf(law->why, sizeof law->why, "rows of second moment 1");
        }
    }
    law->chosen = true;
}

/* ---- into a plan ---------------------------------------------------------------------------------- */

/* A standard deviation in four digits: what explain shows is what is drawn. */
static void rule_text(const fanin__law_of *law, char *text, size_t size) {
    if (law->var > 0 && law->centered == 1)
        snprintf(text, size, "centered_normal:std=%.4g", sqrt(law->var));
    else if (law->var > 0 && law->centered > 0)
        snprintf(text, size, "centered_normal:std=%.4g,center=%.4g", sqrt(law->var),
                 1 - sqrt(1 - law->centered));
    else if (law->var > 0)
        snprintf(text, size, "normal:std=%.4g", sqrt(law->var));
    else if (law->mean == 1)
        snprintf(text, size, "ones");
    else
        snprintf(text, size, "constant:value=%.4g", law->mean);
}

static void reason_text(const fanin__law_of *law, char *text, size_t size) {
    char share[64] = "";
    if (law->centered > 0)
        snprintf(share, sizeof share, ", of which the input's mean makes %.0f %%",
                 100 * law->common);
    if (isnan(law->target))
        snprintf(text, size, "auto: %s", law->why);
    else
        snprintf(text, size,
                 "auto: target second moment %.4g (%s); weights of variance 1 would give %.4g%s",
                 law->target, law->why, law->unit, share);
}

fanin_status fanin__auto_plan(fanin_plan *plan, const bool *open, fanin__auto_row *set, void *ctx,
                              fanin_err *err) {
    fanin__analysis a;
    fanin_predict_options o = {0};
    bool some = false;
    for (int i = 0; i < plan->count; i++) some = some || open[i];
    if (!some) return FANIN_OK;
    FANIN_TRY(fanin__analysis_create(plan->graph, plan->tensors, NULL, &a, err));
    for (int i = 0; i < plan->count; i++) {
        const fanin_plan_row *r = &plan->rows[i];
        a.laws[i].fixed = !open[i];
        if (open[i] || r->keep) continue;
        a.laws[i].mean = r->moments.mean;
        a.laws[i].var = r->moments.std * r->moments.std;
        a.laws[i].centered = r->moments.centered;
    }
    fanin_err why = {0};
    /* a framework draws no centred rows */
    fanin_status status =
        plan->compat ? fanin__analysis_run(&a, &o, NULL, &why) : fanin__auto_balance(&a, &why);
    if (status != FANIN_OK && status != FANIN_NOMEM)
        fanin_err_set(err, status, "%.400s; the scheme auto needs it: name another one",
                      why.message);
    else if (status != FANIN_OK)
        fanin_err_set(err, status, "%s", why.message);
    for (int i = 0; i < plan->count && status == FANIN_OK; i++) {
        const fanin__law_of *law = &a.laws[i];
        char text[64], reason[256];
        if (!open[i]) continue;
        if (!law->chosen && !law->state) {
            bool scale = plan->rows[i].tensor.cls == FANIN_CLASS_NORM_SCALE;
            status = set(ctx, i, scale ? "ones" : "he_normal",
                         "auto: the outputs do not depend on it", NAN);
            continue;
        }
        rule_text(law, text, sizeof text);
        reason_text(law, reason, sizeof reason);
        status = set(ctx, i, text, reason, law->target);
    }
    fanin__analysis_fini(&a);
    return status;
}
