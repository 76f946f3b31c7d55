/* seed_mlp.c - the overview of weight initialisation for MLPs, and its claims about laws of weights.
 *
 * Everything runs on the document's own example: 2 inputs, 2 hidden units, 1 output behind a sigmoid, cross
 * entropy, Adam, XOR's four patterns as one batch. It names no learning rate; 0.1 is ours where nothing
 * else is said (500 epochs), the rate at which He's weights succeed soonest of those tried. */
#include "reproduce/seed_mlp.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "fanin/activation.h"
#include "fanin/init.h"
#include "fanin/theory.h"

bool fanin__more(const fanin_seed_cell *a, const fanin_seed_cell *b) { return a->low > b->high; }

static bool faster(const fanin_seed_cell *a, const fanin_seed_cell *b) {
    return a->median_high < b->median_low;
}

static fanin_status run(fanin__lab *lab, const char *model, const char *scheme, double bias,
                        const fanin_seed_cell **cell, fanin_err *err) {
    return fanin__run_cell(lab, &(fanin__cell_spec){.model = model, .scheme = scheme, .bias = bias},
                           cell, err);
}

/* The document's example under every scheme, with and without batch norm and bias: 32 cells. */
static fanin_status whole_grid(fanin__lab *lab, fanin_err *err) {
    static const char *const models[] = {FANIN__RELU, FANIN__RELU ",norm=batch", FANIN__SIGMOID,
                                         FANIN__SIGMOID ",norm=batch"};
    static const char *const schemes[] = {"zeros", FANIN__SMALL, "xavier", "he"};
    const fanin_seed_cell *cell;
    for (int i = 0; i < 32; i++) {
        if (fanin_interrupted()) return fanin_err_set(err, FANIN_INTERRUPTED, "stopped");
        if (lab->progress.report) lab->progress.report(lab->progress.ctx, "XOR", i, 32);
        FANIN_TRY(run(lab, models[i / 8], schemes[i % 4], i / 4 % 2 ? 0.01 : 0, &cell, err));
    }
    return FANIN_OK;
}

/* ---- zero and constant weights ----------------------------------------------------------------------- */

static fanin_status zero_symmetry(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    static const char *const settings[] = {"for zero weights with ReLU", "zero with sigmoid",
                                           "constant 0.5 with ReLU", "constant 0.5 with sigmoid",
                                           "under dropout: its masks tell the units apart"};
    const fanin_seed_cell *cells[5];
    bool holds[5];
    FANIN_TRY(run(lab, FANIN__RELU, "zeros", 0, &cells[0], err));
    FANIN_TRY(run(lab, FANIN__SIGMOID, "zeros", 0, &cells[1], err));
    FANIN_TRY(run(lab, FANIN__RELU, "constant:value=0.5", 0, &cells[2], err));
    FANIN_TRY(run(lab, FANIN__SIGMOID, "constant:value=0.5", 0, &cells[3], err));
    FANIN_TRY(run(lab, FANIN__SIGMOID ",dropout=0.5", "constant:value=0.5", 0, &cells[4], err));
    for (int i = 0; i < 5; i++) holds[i] = cells[i]->twins == 1;
    fanin__measured(
        c,
        "after 500 epochs both hidden units are bit for bit the same in %.0f, %.0f, %.0f "
        "and %.0f %% of the seeds; with dropout 0.5 in %.0f %%",
        100 * cells[0]->twins, 100 * cells[1]->twins, 100 * cells[2]->twins, 100 * cells[3]->twins,
        100 * cells[4]->twins);
    fanin__judge_where(c, 5, settings, holds);
    return FANIN_OK;
}

/* Constant weights are as symmetric as zero ones: only what both do is owed to symmetry. */
static fanin_status zero_stalls(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    static const char *const settings[] = {"for zero weights with ReLU", "zero with sigmoid",
                                           "constant 0.5 with ReLU", "constant 0.5 with sigmoid"};
    const fanin_seed_cell *cells[4];
    bool holds[4];
    FANIN_TRY(run(lab, FANIN__RELU, "zeros", 0, &cells[0], err));
    FANIN_TRY(run(lab, FANIN__SIGMOID, "zeros", 0, &cells[1], err));
    FANIN_TRY(run(lab, FANIN__RELU, "constant:value=0.5", 0, &cells[2], err));
    FANIN_TRY(run(lab, FANIN__SIGMOID, "constant:value=0.5", 0, &cells[3], err));
    /* the norm at the start is 0, or that of six weights of 0.5 */
    for (int i = 0; i < 4; i++)
        holds[i] = fabs(cells[i]->weight_norm - (i < 2 ? 0 : sqrt(1.5))) < 1e-6;
    fanin__measured(c,
                    "norm of all weights after 500 epochs: zero weights %.2g with ReLU and %.2g "
                    "with sigmoid, where every gradient is exactly 0; constant 0.5 went from %.2f "
                    "to %.2f and %.2f, as symmetric as before. Zeros stall, symmetry does not",
                    cells[0]->weight_norm, cells[1]->weight_norm, sqrt(1.5), cells[2]->weight_norm,
                    cells[3]->weight_norm);
    fanin__judge_where(c, 4, settings, holds);
    return FANIN_OK;
}

static fanin_status zero_fails(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    const char *const models[] = {FANIN__RELU, FANIN__SIGMOID, FANIN__RELU ",norm=batch",
                                  FANIN__SIGMOID ",norm=batch"};
    const fanin_seed_cell *cell = NULL;
    double most = 0;
    for (int i = 0; i < 4; i++) {
        FANIN_TRY(run(lab, models[i], "zeros", 0, &cell, err));
        most = fmax(most, cell->success);
        c->high = cell->high;
    }
    c->ours = most;
    c->low = 0;
    fanin__measured(c, "no seed of %lld succeeds with ReLU or sigmoid, with or without batch norm",
                    (long long)cell->seeds);
    if (most > 0) fanin__measured(c, "up to %.2f %% of the seeds succeed", 100 * most);
    fanin__judge(c, most == 0);
    return FANIN_OK;
}

static fanin_status zero_activations(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    static const char *const names[] = {"tanh", "relu", "sigmoid"};
    static const char *const settings[] = {"for tanh", "for ReLU", "for sigmoid, which gives 1/2"};
    (void)lab;
    double y[3], zero = 0;
    bool holds[3];
    for (int i = 0; i < 3; i++) {
        fanin_activation *act;
        FANIN_TRY(fanin_activation_parse(names[i], &act, err));
        fanin_activation_eval(act, 0, &zero, &y[i], 1);
        fanin_activation_destroy(act);
        holds[i] = y[i] == 0;
    }
    fanin__measured(c, "a unit of zero weights gives tanh(0) = %g, relu(0) = %g, sigmoid(0) = %g",
                    y[0], y[1], y[2]);
    fanin__judge_where(c, 3, settings, holds);
    return FANIN_OK;
}

/* ---- small random weights ------------------------------------------------------------------------------ */

static fanin_status random_symmetry(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    const fanin_seed_cell *relu, *sigmoid;
    FANIN_TRY(run(lab, FANIN__RELU, FANIN__SMALL, 0, &relu, err));
    FANIN_TRY(run(lab, FANIN__SIGMOID, FANIN__SMALL, 0, &sigmoid, err));
    fanin__measured(c,
                    "the two units are the same in %.2f %% of the seeds with ReLU, %.2f %% with "
                    "sigmoid; that alone solves XOR in %.1f and %.1f %%",
                    100 * relu->twins, 100 * sigmoid->twins, 100 * relu->success,
                    100 * sigmoid->success);
    fanin__judge(c, relu->twins == 0 && sigmoid->twins == 0);
    return FANIN_OK;
}

static fanin_status random_slow(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    static const char *const settings[] = {
        "for ReLU with Adam (the few that succeed are soon there)", "for ReLU with SGD",
        "for sigmoid"};
    const fanin__cell_spec sgd = {.scheme = FANIN__SMALL,
                                  .optimizer = "sgd:lr=0.5",
                                  .epochs = 1000},
                           sgd_he = {.scheme = "he", .optimizer = "sgd:lr=0.5", .epochs = 1000};
    const fanin_seed_cell *adam, *adam_he, *plain, *plain_he, *sigmoid, *sigmoid_he;
    FANIN_TRY(run(lab, FANIN__RELU, FANIN__SMALL, 0, &adam, err));
    FANIN_TRY(run(lab, FANIN__RELU, "he", 0, &adam_he, err));
    FANIN_TRY(fanin__run_cell(lab, &sgd, &plain, err));
    FANIN_TRY(fanin__run_cell(lab, &sgd_he, &plain_he, err));
    FANIN_TRY(run(lab, FANIN__SIGMOID, FANIN__SMALL, 0, &sigmoid, err));
    FANIN_TRY(run(lab, FANIN__SIGMOID, "xavier", 0, &sigmoid_he, err));
    const bool holds[] = {faster(adam_he, adam), faster(plain_he, plain),
                          fanin__more(sigmoid_he, sigmoid)};
    fanin__measured(
        c,
        "median epochs, std 0.01 against He: ReLU and Adam %.0f against %.0f (of %.1f and "
        "%.1f %% that succeed), SGD %.0f against %.0f; sigmoid: %.1f %% succeed in 500 "
        "epochs, %.1f %% with Xavier",
        adam->median, adam_he->median, 100 * adam->success, 100 * adam_he->success, plain->median,
        plain_he->median, 100 * sigmoid->success, 100 * sigmoid_he->success);
    fanin__judge_where(c, 3, settings, holds);
    return FANIN_OK;
}

/* Ten hidden layers of sixteen units, where He's std is 0.35. */
static fanin_status random_deep(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    static const char *const optimizers[] = {"sgd:lr=0.1", "adam:lr=0.01"};
    static const char *const schemes[] = {"he", FANIN__SMALL, "normal:std=1"};
    static const char *const settings[] = {"for std 0.01 with SGD", "std 1 with SGD",
                                           "std 0.01 with Adam", "std 1 with Adam"};
    const fanin_seed_cell *cells[2][3];
    bool holds[4];
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 3; k++)
            FANIN_TRY(fanin__run_cell(lab,
                                      &(fanin__cell_spec){.model = FANIN__DEEP,
                                                          .scheme = schemes[k],
                                                          .optimizer = optimizers[i],
                                                          .epochs = 200,
                                                          .seeds = 200},
                                      &cells[i][k], err));
        for (int k = 0; k < 2; k++) holds[2 * i + k] = fanin__more(cells[i][0], cells[i][k + 1]);
    }
    fanin__measured(c,
                    "10 hidden layers of 16 ReLU units, success in 200 epochs with He, std 0.01, "
                    "std 1: SGD %.0f, %.0f, %.0f %% (of the last %.0f %% diverge), Adam %.0f, "
                    "%.0f, %.0f %%",
                    100 * cells[0][0]->success, 100 * cells[0][1]->success,
                    100 * cells[0][2]->success, 100 * cells[0][2]->diverged,
                    100 * cells[1][0]->success, 100 * cells[1][1]->success,
                    100 * cells[1][2]->success);
    fanin__judge_where(c, 4, settings, holds);
    return FANIN_OK;
}

/* ---- He and Xavier --------------------------------------------------------------------------------------- */

static const char *const rates[] = {"adam:lr=0.1", "adam:lr=0.05", "adam:lr=0.02", "adam:lr=0.01",
                                    "adam:lr=0.001"};
static const char *const at_rates[] = {"at lr 0.1", "at lr 0.05", "at lr 0.02", "at lr 0.01",
                                       "at lr 0.001"};
enum { RATES = 5 };

/* Cells of one scheme at all rates, long enough for each. */
static fanin_status at_all_rates(fanin__lab *lab, const char *scheme,
                                 const fanin_seed_cell *cells[RATES], fanin_err *err) {
    for (int i = 0; i < RATES; i++) {
        const fanin__cell_spec s = {.scheme = scheme,
                                    .optimizer = rates[i],
                                    .epochs = i == 0           ? 500
                                              : i == RATES - 1 ? 4000
                                                               : 1000};
        FANIN_TRY(fanin__run_cell(lab, &s, &cells[i], err));
    }
    return FANIN_OK;
}

/* A published number of epochs: which learning rate gives it? */
static fanin_status epochs_of(fanin__lab *lab, const char *scheme, fanin_claim *c, fanin_err *err) {
    const fanin_seed_cell *cells[RATES];
    bool holds[RATES];
    FANIN_TRY(at_all_rates(lab, scheme, cells, err));
    int nearest = 0;
    for (int i = 0; i < RATES; i++) {
        double off = fabs(cells[i]->median - c->published);
        holds[i] = off <= c->tolerance;
        if (off < fabs(cells[nearest]->median - c->published)) nearest = i;
    }
    c->ours = cells[nearest]->median;
    c->low = cells[nearest]->median_low;
    c->high = cells[nearest]->median_high;
    fanin__measured(c,
                    "median epochs to success %.0f, %.0f, %.0f, %.0f, %.0f at lr 0.1, 0.05, 0.02, "
                    "0.01, 0.001; %.1f %% of the seeds succeed at the nearest (%s)",
                    cells[0]->median, cells[1]->median, cells[2]->median, cells[3]->median,
                    cells[4]->median, 100 * cells[nearest]->success, at_rates[nearest]);
    fanin__judge_where(c, RATES, at_rates, holds);
    return FANIN_OK;
}

static fanin_status he_epochs(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    return epochs_of(lab, "he", c, err);
}

static fanin_status random_epochs(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    return epochs_of(lab, FANIN__SMALL, c, err);
}

static fanin_status he_faster(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    const fanin_seed_cell *he[RATES], *small[RATES];
    bool holds[RATES], more = true;
    FANIN_TRY(at_all_rates(lab, "he", he, err));
    FANIN_TRY(at_all_rates(lab, FANIN__SMALL, small, err));
    for (int i = 0; i < RATES; i++) {
        holds[i] = faster(he[i], small[i]);
        more = more && (i == RATES - 1 || fanin__more(he[i], small[i]));
    }
    fanin__measured(
        c,
        "median epochs, He against std 0.01, from lr 0.1 to 0.001: %.0f : %.0f, %.0f : "
        "%.0f, %.0f : %.0f, %.0f : %.0f, %.0f : %.0f. Success at lr 0.1: %.1f %% against "
        "%.1f %%%s",
        he[0]->median, small[0]->median, he[1]->median, small[1]->median, he[2]->median,
        small[2]->median, he[3]->median, small[3]->median, he[4]->median, small[4]->median,
        100 * he[0]->success, 100 * small[0]->success,
        more ? ": from 0.01 on He's succeed more often, not sooner" : "");
    fanin__judge_where(c, RATES, at_rates, holds);
    return FANIN_OK;
}

static fanin_status he_ideal(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    const fanin_seed_cell *he, *xavier, *wide, *bias;
    FANIN_TRY(run(lab, FANIN__RELU, "he", 0, &he, err));
    FANIN_TRY(run(lab, FANIN__RELU, "xavier", 0, &xavier, err));
    FANIN_TRY(run(lab, FANIN__RELU, "he", 0.01, &bias, err));
    FANIN_TRY(run(lab, "mlp:2-8-1,act=relu", "he", 0, &wide, err));
    c->ours = he->success;
    c->low = he->low;
    c->high = he->high;
    fanin__measured(
        c,
        "He's weights solve XOR in %.1f %% of the seeds [%.1f, %.1f]; the others end with "
        "units dead for all patterns. A bias of 0.01 makes it %.1f %%, eight hidden units "
        "%.1f %%",
        100 * he->success, 100 * he->low, 100 * he->high, 100 * bias->success, 100 * wide->success);
    fanin__judge(c, he->success > 0.5 && !fanin__more(xavier, he));
    return FANIN_OK;
}

static fanin_status xavier_less(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    static const char *const settings[] = {"in the share of seeds with 2 hidden units",
                                           "in epochs with 2 hidden units",
                                           "in the share of seeds with 8 hidden units"};
    const fanin_seed_cell *he, *xavier, *he8, *xavier8;
    FANIN_TRY(run(lab, FANIN__RELU, "he", 0, &he, err));
    FANIN_TRY(run(lab, FANIN__RELU, "xavier", 0, &xavier, err));
    FANIN_TRY(run(lab, "mlp:2-8-1,act=relu", "he", 0, &he8, err));
    FANIN_TRY(run(lab, "mlp:2-8-1,act=relu", "xavier", 0, &xavier8, err));
    const bool holds[] = {fanin__more(he, xavier), faster(he, xavier), fanin__more(he8, xavier8)};
    fanin__measured(
        c,
        "Xavier %.1f %% [%.1f, %.1f] in %.0f epochs, He %.1f %% [%.1f, %.1f] in %.0f; with "
        "8 hidden units %.1f against %.1f %%",
        100 * xavier->success, 100 * xavier->low, 100 * xavier->high, xavier->median,
        100 * he->success, 100 * he->low, 100 * he->high, he->median, 100 * xavier8->success,
        100 * he8->success);
    fanin__judge_where(c, 3, settings, holds);
    return FANIN_OK;
}

static fanin_status xavier_saturating(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    static const char *const models[] = {FANIN__SIGMOID, "mlp:2-2-1,act=tanh"};
    static const char *const settings[] = {"for sigmoid against He", "sigmoid against std 0.01",
                                           "tanh against He", "tanh against std 0.01"};
    static const char *const schemes[] = {"xavier", "he", FANIN__SMALL};
    const fanin_seed_cell *cells[2][3];
    bool holds[4];
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 3; k++)
            FANIN_TRY(run(lab, models[i], schemes[k], 0, &cells[i][k], err));
        for (int k = 0; k < 2; k++) holds[2 * i + k] = fanin__more(cells[i][0], cells[i][k + 1]);
    }
    fanin__measured(
        c,
        "success with Xavier, He, std 0.01: sigmoid %.1f [%.1f, %.1f], %.1f [%.1f, %.1f], %.1f "
        "%%; tanh %.1f [%.1f, %.1f], %.1f [%.1f, %.1f], %.1f %%",
        100 * cells[0][0]->success, 100 * cells[0][0]->low, 100 * cells[0][0]->high,
        100 * cells[0][1]->success, 100 * cells[0][1]->low, 100 * cells[0][1]->high,
        100 * cells[0][2]->success, 100 * cells[1][0]->success, 100 * cells[1][0]->low,
        100 * cells[1][0]->high, 100 * cells[1][1]->success, 100 * cells[1][1]->low,
        100 * cells[1][1]->high, 100 * cells[1][2]->success);
    fanin__judge_where(c, 4, settings, holds);
    return FANIN_OK;
}

static fanin_status fastest(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    const fanin_seed_cell *he_bn, *xavier_bn, *small_bn, *he, *xavier, *small;
    FANIN_TRY(run(lab, FANIN__RELU ",norm=batch", "he", 0, &he_bn, err));
    FANIN_TRY(run(lab, FANIN__RELU ",norm=batch", "xavier", 0, &xavier_bn, err));
    FANIN_TRY(run(lab, FANIN__RELU ",norm=batch", FANIN__SMALL, 0, &small_bn, err));
    FANIN_TRY(run(lab, FANIN__RELU, "he", 0, &he, err));
    FANIN_TRY(run(lab, FANIN__RELU, "xavier", 0, &xavier, err));
    FANIN_TRY(run(lab, FANIN__RELU, FANIN__SMALL, 0, &small, err));
    fanin__measured(
        c,
        "median epochs: with batch norm He %.0f, Xavier %.0f, std 0.01 %.0f; without He "
        "%.0f, Xavier %.0f, std 0.01 %.0f (%.1f %% succeed). Batch norm is what makes the "
        "difference",
        he_bn->median, xavier_bn->median, small_bn->median, he->median, xavier->median,
        small->median, 100 * small->success);
    const bool holds[] = {faster(he_bn, he),       faster(he_bn, xavier), faster(he_bn, xavier_bn),
                          faster(he_bn, small_bn), faster(he_bn, small),  faster(xavier, small)};
    static const char *const settings[] = {
        "He + BN before He",          "He + BN before Xavier",
        "He + BN before Xavier + BN", "He + BN before std 0.01 + BN",
        "He + BN before std 0.01",    "Xavier before std 0.01"};
    fanin__judge_where(c, 6, settings, holds);
    return FANIN_OK;
}

/* ---- dead units -------------------------------------------------------------------------------------------- */

static fanin_status bias_dead(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    static const char *const schemes[] = {"he", "xavier", FANIN__SMALL};
    static const char *const settings[] = {"with He", "with Xavier", "with std 0.01"};
    const fanin_seed_cell *without[3], *with[3];
    bool holds[3];
    for (int i = 0; i < 3; i++) {
        FANIN_TRY(run(lab, FANIN__RELU, schemes[i], 0, &without[i], err));
        FANIN_TRY(run(lab, FANIN__RELU, schemes[i], 0.01, &with[i], err));
        holds[i] = with[i]->dead_before < without[i]->dead_before &&
                   with[i]->dead_after < without[i]->dead_after;
    }
    fanin__measured(
        c,
        "dead units at the start %.0f -> %.0f %% with He; after training He %.0f -> %.0f, "
        "Xavier %.0f -> %.0f, std 0.01 %.0f -> %.0f %%; success He %.1f -> %.1f, Xavier "
        "%.1f -> %.1f, std 0.01 %.1f -> %.1f %%",
        100 * without[0]->dead_before, 100 * with[0]->dead_before, 100 * without[0]->dead_after,
        100 * with[0]->dead_after, 100 * without[1]->dead_after, 100 * with[1]->dead_after,
        100 * without[2]->dead_after, 100 * with[2]->dead_after, 100 * without[0]->success,
        100 * with[0]->success, 100 * without[1]->success, 100 * with[1]->success,
        100 * without[2]->success, 100 * with[2]->success);
    fanin__judge_where(c, 3, settings, holds);
    return FANIN_OK;
}

static fanin_status he_dead(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    static const char *const settings[] = {
        "at the start (a unit whose weights are both negative is dead, whatever their scale)",
        "after training against std 0.01", "after training against Xavier"};
    const fanin_seed_cell *he, *xavier, *small;
    FANIN_TRY(run(lab, FANIN__RELU, "he", 0, &he, err));
    FANIN_TRY(run(lab, FANIN__RELU, "xavier", 0, &xavier, err));
    FANIN_TRY(run(lab, FANIN__RELU, FANIN__SMALL, 0, &small, err));
    double reach =
        3.5 / sqrt((double)he->seeds); /* five deviations of a difference of two shares, at most */
    const bool holds[] = {he->dead_before < small->dead_before - reach,
                          he->dead_after < small->dead_after - reach,
                          he->dead_after < xavier->dead_after - reach};
    fanin__measured(
        c,
        "dead at the start: He %.1f, Xavier %.1f, std 0.01 %.1f %%; after 500 epochs %.1f, "
        "%.1f, %.1f %%",
        100 * he->dead_before, 100 * xavier->dead_before, 100 * small->dead_before,
        100 * he->dead_after, 100 * xavier->dead_after, 100 * small->dead_after);
    fanin__judge_where(c, 3, settings, holds);
    return FANIN_OK;
}

/* ---- formulas ---------------------------------------------------------------------------------------------- */

static fanin_status variance_of(const char *text, int64_t out, int64_t in, double *variance,
                                fanin_err *err) {
    fanin_rule rule;
    fanin_moments m;
    fanin_tensor t = fanin_tensor_torch("w", 2, (int64_t[]){out, in});
    FANIN_TRY(fanin_rule_parse(text, &rule, err));
    FANIN_TRY(fanin_rule_apply(&rule, &t, &m, err));
    *variance = m.std * m.std;
    return FANIN_OK;
}

static fanin_status he_doubles(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    static const char *const settings[] = {"where a layer has as many inputs as outputs",
                                           "from 2 units to 1", "from 100 units to 10"};
    static const int64_t shapes[][2] = {{2, 2}, {1, 2}, {10, 100}};
    double ratio[3];
    bool holds[3];
    (void)lab;
    for (int i = 0; i < 3; i++) {
        double he, xavier;
        FANIN_TRY(variance_of("he_normal", shapes[i][0], shapes[i][1], &he, err));
        FANIN_TRY(variance_of("xavier_normal", shapes[i][0], shapes[i][1], &xavier, err));
        ratio[i] = he / xavier;
        holds[i] = fabs(ratio[i] - 2) < 1e-9;
    }
    fanin__measured(c, "2/in over 2/(in + out): %g for 2 to 2, %g for 2 to 1, %g for 100 to 10",
                    ratio[0], ratio[1], ratio[2]);
    fanin__judge_where(c, 3, settings, holds);
    return FANIN_OK;
}

static fanin_status xavier_vanishes(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    (void)lab;
    fanin_gain g;
    FANIN_TRY(fanin__gain_of("relu", &g, err));
    c->ours = g.second_moment;
    fanin__measured(
        c,
        "with Var W = 1/n a rectifier hands on %.12g of the second moment, and as much of "
        "the gradient's: after 30 layers %.2g",
        g.second_moment, pow(g.second_moment, 30));
    fanin__judge(c, g.second_moment < 1 - 1e-12);
    return FANIN_OK;
}

/* ---- the rows ------------------------------------------------------------------------------------------------ */

static const fanin__claim_row rows[] = {
    {.id = "zero-symmetry",
     .where = "1 Zero Initialization, limitations",
     .text =
         "zero (and constant) weights: all neurons in a layer get identical updates and learn the "
         "same features",
     .measure = zero_symmetry},
    {.id = "zero-activations",
     .where = "1 Zero Initialization, limitations",
     .text = "zero weights lead to zero activations, especially with sigmoid or tanh",
     .measure = zero_activations},
    {.id = "zero-stalls",
     .where = "relation to training mechanics, backpropagation",
     .text = "zero initialization stalls backpropagation due to symmetry",
     .measure = zero_stalls},
    {.id = "zero-fails-xor",
     .where = "example, zero",
     .text = "zero: fails due to symmetry, unable to solve XOR",
     .unit = "share",
     .measure = zero_fails},
    {.id = "random-breaks-symmetry",
     .where = "2 Random Initialization, advantages",
     .text = "small random weights break symmetry: neurons learn different features",
     .measure = random_symmetry},
    {.id = "random-slow",
     .where = "example, random",
     .text = "random (sigma = 0.01) may converge slowly due to vanishing gradients",
     .measure = random_slow},
    {.id = "random-deep",
     .where = "2 Random Initialization, limitations",
     .text = "random weights are poor for deep networks: small ones make gradients vanish, large "
             "ones explode",
     .measure = random_deep},
    {.id = "he-50-epochs",
     .where = "example, He",
     .text = "He: about 50 epochs to converge",
     .published = 50,
     .tolerance = 10,
     .unit = "epochs",
     .measure = he_epochs,
     .judged = true},
    {.id = "random-100-epochs",
     .where = "example, He",
     .text = "random (sigma = 0.01): about 100 epochs to converge",
     .published = 100,
     .tolerance = 20,
     .unit = "epochs",
     .measure = random_epochs,
     .judged = true},
    {.id = "he-faster",
     .where = "example, He",
     .text = "He converges in fewer epochs than random (sigma = 0.01)",
     .measure = he_faster},
    {.id = "he-ideal",
     .where = "example, He",
     .text = "He is ideal for ReLU on XOR (judged: at least half of the seeds succeed)",
     .unit = "share",
     .measure = he_ideal},
    {.id = "xavier-less-optimal",
     .where = "example, Xavier",
     .text = "Xavier works for shallow networks but is less optimal than He for ReLU",
     .measure = xavier_less},
    {.id = "xavier-sigmoid-tanh",
     .where = "3 Xavier Initialization, use cases; 4 He Initialization, limitations",
     .text = "Xavier is ideal for sigmoid and tanh, He less effective there",
     .measure = xavier_saturating},
    {.id = "fastest",
     .where = "example, outcome",
     .text = "He + Adam + BatchNorm converges fastest, followed by Xavier + Adam",
     .measure = fastest},
    {.id = "bias-dead-units",
     .where = "4 He Initialization; practical considerations",
     .text = "a bias of 0.01 avoids dead ReLU neurons",
     .measure = bias_dead},
    {.id = "he-dead-units",
     .where = "4 He Initialization, advantages",
     .text = "He's scale reduces dead neurons",
     .measure = he_dead},
    {.id = "he-doubles",
     .where = "4 He Initialization, mechanics",
     .text = "He doubles the variance of Xavier",
     .measure = he_doubles},
    {.id = "xavier-vanishes-relu",
     .where = "3 Xavier Initialization, limitations",
     .text = "Xavier's variance makes signals vanish behind deep stacks of ReLU",
     .measure = xavier_vanishes},
    {.id = "he-clipping",
     .where = "4 He Initialization, limitations",
     .text = "He needs gradient clipping or BatchNorm against exploding gradients",
     .measure = fanin__seed_he_clipping},
    {.id = "adam-less-sensitive",
     .where = "relation to training mechanics, optimizers",
     .text = "Adam and RMSProp are less sensitive to initialization than SGD and momentum",
     .measure = fanin__seed_adam_insensitive},
    {.id = "adam-he-still",
     .where = "relation to training mechanics, optimizers",
     .text = "with Adam and RMSProp He and Xavier still improve on sigma = 0.01",
     .measure = fanin__seed_adam_still},
    {.id = "bn-less-sensitive",
     .where = "relation to training mechanics, BatchNorm",
     .text = "BatchNorm reduces sensitivity to initialization",
     .measure = fanin__seed_bn_insensitive},
    {.id = "bn-he-still",
     .where = "relation to training mechanics, BatchNorm",
     .text = "with BatchNorm Xavier and He still improve stability",
     .measure = fanin__seed_bn_still},
    {.id = "dropout-he",
     .where = "practical considerations, dropout",
     .text = "with dropout, ReLU networks benefit from He",
     .measure = fanin__seed_dropout_he},
    {.id = "dropout-less-sensitive",
     .where = "practical considerations, dropout",
     .text = "dropout is less sensitive to initialization",
     .measure = fanin__seed_dropout_insensitive},
    {.id = "l2-l1-growth",
     .where = "practical considerations; relation, L2/L1",
     .text = "L2 and L1 keep the weights of Xavier and He from growing",
     .measure = fanin__seed_penalties},
    {.id = "perceptron",
     .where = "relation to training mechanics, perceptron rule",
     .text = "the perceptron rule cannot learn what a multilayer network can (XOR)",
     .unit = "share",
     .measure = fanin__seed_perceptron},
};

const fanin__paper fanin__paper_seed_mlp = {
    "seed-mlp",
    "Overview: weight initialization techniques for MLPs, with XOR as example",
    "overview of weight initialisation (zero, random, Xavier, He) in the context of training",
    rows,
    (int)FANIN_COUNT(rows),
    whole_grid};
