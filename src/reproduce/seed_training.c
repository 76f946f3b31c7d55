/* seed_training.c - claims of the overview about optimisers and regularisers. */
#include <math.h>

#include "reproduce/seed_mlp.h"

/* ---- sensitivity: how far apart schemes end --------------------------------------------------------------- */

/* Least and greatest of success and of median epochs over schemes. */
typedef struct range {
    double success_low, success_high, epochs_low, epochs_high;
} range;

static double success_factor(range r) {
    return r.success_low > 0 ? r.success_high / r.success_low : INFINITY;
}

static fanin_status over_schemes(fanin__lab *lab, const char *model, const char *optimizer,
                                 uint64_t epochs, const char *const *schemes, int count, range *r,
                                 fanin_err *err) {
    *r = (range){INFINITY, 0, INFINITY, 0};
    for (int i = 0; i < count; i++) {
        const fanin_seed_cell *c;
        FANIN_TRY(fanin__run_cell(
            lab,
            &(fanin__cell_spec){
                .model = model, .scheme = schemes[i], .optimizer = optimizer, .epochs = epochs},
            &c, err));
        r->success_low = fmin(r->success_low, c->success);
        r->success_high = fmax(r->success_high, c->success);
        r->epochs_low = fmin(r->epochs_low, c->median);
        r->epochs_high = fmax(r->epochs_high, c->median);
    }
    return FANIN_OK;
}

/* Each optimiser at a rate at which it learns: Adam's and RMSProp's 0.03, SGD's 0.5, momentum's 0.1. */
static const char *const optimizers[] = {"adam:lr=0.03", "rmsprop:lr=0.03", "sgd:lr=0.5",
                                         "momentum:lr=0.1"};

fanin_status fanin__seed_adam_insensitive(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    static const char *const schemes[] = {FANIN__SMALL, "xavier", "he", "normal:std=3"};
    static const char *const settings[] = {"in epochs to success",
                                           "in the share of seeds that succeed"};
    range r[4];
    for (int i = 0; i < 4; i++)
        FANIN_TRY(over_schemes(lab, FANIN__RELU, optimizers[i], 1000, schemes, 4, &r[i], err));
    double epochs[4], success[4];
    for (int i = 0; i < 4; i++) {
        epochs[i] = r[i].epochs_high / r[i].epochs_low;
        success[i] = success_factor(r[i]);
    }
    const bool holds[] = {fmax(epochs[0], epochs[1]) < fmin(epochs[2], epochs[3]),
                          fmax(success[0], success[1]) < fmin(success[2], success[3])};
    fanin__measured(
        c,
        "greatest over least of four scales (std 0.01, Xavier, He, std 3): median epochs "
        "Adam %.1f, RMSProp %.1f, SGD %.1f, momentum %.1f; share of seeds that succeed "
        "%.1f, %.1f, %.1f, %.1f",
        epochs[0], epochs[1], epochs[2], epochs[3], success[0], success[1], success[2], success[3]);
    fanin__judge_where(c, 2, settings, holds);
    return FANIN_OK;
}

fanin_status fanin__seed_adam_still(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    static const char *const settings[] = {"for Adam and He", "for Adam and Xavier",
                                           "for RMSProp and He", "for RMSProp and Xavier"};
    const fanin_seed_cell *cells[2][3];
    static const char *const schemes[] = {"he", "xavier", FANIN__SMALL};
    bool holds[4];
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 3; k++)
            FANIN_TRY(fanin__run_cell(lab,
                                      &(fanin__cell_spec){.scheme = schemes[k],
                                                          .optimizer = optimizers[i],
                                                          .epochs = 1000},
                                      &cells[i][k], err));
        for (int k = 0; k < 2; k++) holds[2 * i + k] = fanin__more(cells[i][k], cells[i][2]);
    }
    fanin__measured(
        c,
        "share of seeds that succeed with He, Xavier, std 0.01: Adam %.1f, %.1f, %.1f %%; "
        "RMSProp %.1f, %.1f, %.1f %%",
        100 * cells[0][0]->success, 100 * cells[0][1]->success, 100 * cells[0][2]->success,
        100 * cells[1][0]->success, 100 * cells[1][1]->success, 100 * cells[1][2]->success);
    fanin__judge_where(c, 4, settings, holds);
    return FANIN_OK;
}

/* ---- batch norm ---------------------------------------------------------------------------------------------- */

static const char *const three[] = {FANIN__SMALL, "xavier", "he"};

fanin_status fanin__seed_bn_insensitive(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    static const char *const settings[] = {"for ReLU", "for sigmoid"};
    range relu, relu_bn, sigmoid, sigmoid_bn;
    FANIN_TRY(over_schemes(lab, FANIN__RELU, NULL, 0, three, 3, &relu, err));
    FANIN_TRY(over_schemes(lab, FANIN__RELU ",norm=batch", NULL, 0, three, 3, &relu_bn, err));
    FANIN_TRY(over_schemes(lab, FANIN__SIGMOID, NULL, 0, three, 3, &sigmoid, err));
    FANIN_TRY(over_schemes(lab, FANIN__SIGMOID ",norm=batch", NULL, 0, three, 3, &sigmoid_bn, err));
    const bool holds[] = {success_factor(relu_bn) < success_factor(relu),
                          success_factor(sigmoid_bn) < success_factor(sigmoid)};
    fanin__measured(
        c,
        "success over std 0.01, Xavier and He from least to greatest: ReLU %.1f-%.1f %%, "
        "with batch norm %.1f-%.1f %%; sigmoid %.1f-%.1f %%, with batch norm %.1f-%.1f %%",
        100 * relu.success_low, 100 * relu.success_high, 100 * relu_bn.success_low,
        100 * relu_bn.success_high, 100 * sigmoid.success_low, 100 * sigmoid.success_high,
        100 * sigmoid_bn.success_low, 100 * sigmoid_bn.success_high);
    fanin__judge_where(c, 2, settings, holds);
    return FANIN_OK;
}

fanin_status fanin__seed_bn_still(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    static const char *const models[] = {FANIN__RELU ",norm=batch", FANIN__SIGMOID ",norm=batch"};
    static const char *const settings[] = {"for ReLU", "for sigmoid"};
    const fanin_seed_cell *cells[2][3];
    bool holds[2];
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 3; k++)
            FANIN_TRY(fanin__run_cell(lab,
                                      &(fanin__cell_spec){.model = models[i], .scheme = three[k]},
                                      &cells[i][k], err));
        holds[i] = fanin__more(cells[i][1], cells[i][0]) && fanin__more(cells[i][2], cells[i][0]);
    }
    fanin__measured(c,
                    "success with batch norm and std 0.01, Xavier, He: ReLU %.1f, %.1f, %.1f %%; "
                    "sigmoid %.1f, %.1f, %.1f %%",
                    100 * cells[0][0]->success, 100 * cells[0][1]->success,
                    100 * cells[0][2]->success, 100 * cells[1][0]->success,
                    100 * cells[1][1]->success, 100 * cells[1][2]->success);
    fanin__judge_where(c, 2, settings, holds);
    return FANIN_OK;
}

/* ---- clipping ------------------------------------------------------------------------------------------------ */

/* Ten hidden layers of sixteen units: deep enough for gradients to explode. */
fanin_status fanin__seed_he_clipping(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    static const char *const rates[] = {"sgd:lr=0.1", "sgd:lr=1", "adam:lr=0.01", "adam:lr=0.1"};
    static const char *const settings[] = {"for SGD at 0.1", "for SGD at 1", "for Adam at 0.01",
                                           "for Adam at 0.1"};
    const fanin_seed_cell *plain[4], *clipped[4], *bn[4];
    bool holds[4];
    for (int i = 0; i < 4; i++) {
        fanin__cell_spec s = {.model = FANIN__DEEP,
                              .scheme = "he",
                              .optimizer = rates[i],
                              .epochs = 200,
                              .seeds = 200};
        FANIN_TRY(fanin__run_cell(lab, &s, &plain[i], err));
        s.clip_norm = 1;
        FANIN_TRY(fanin__run_cell(lab, &s, &clipped[i], err));
        s.clip_norm = 0;
        s.model = FANIN__DEEP ",norm=batch";
        FANIN_TRY(fanin__run_cell(lab, &s, &bn[i], err));
        holds[i] = fanin__more(clipped[i], plain[i]) && fanin__more(bn[i], plain[i]);
    }
    fanin__measured(
        c,
        "10 hidden layers of 16, success plain / clipped to norm 1 / batch norm: SGD 0.1 "
        "%.0f/%.0f/%.0f %%, SGD 1 %.0f/%.0f/%.0f %% (%.0f %% diverge plain), Adam 0.01 "
        "%.0f/%.0f/%.0f %%, Adam 0.1 %.0f/%.0f/%.0f %%",
        100 * plain[0]->success, 100 * clipped[0]->success, 100 * bn[0]->success,
        100 * plain[1]->success, 100 * clipped[1]->success, 100 * bn[1]->success,
        100 * plain[1]->diverged, 100 * plain[2]->success, 100 * clipped[2]->success,
        100 * bn[2]->success, 100 * plain[3]->success, 100 * clipped[3]->success,
        100 * bn[3]->success);
    fanin__judge_where(c, 4, settings, holds);
    return FANIN_OK;
}

/* ---- dropout --------------------------------------------------------------------------------------------------- */

static fanin_status eight_units(fanin__lab *lab, bool dropout, const fanin_seed_cell *cells[3],
                                fanin_err *err) {
    for (int i = 0; i < 3; i++)
        FANIN_TRY(
            fanin__run_cell(lab,
                            &(fanin__cell_spec){.model = dropout ? "mlp:2-8-1,act=relu,dropout=0.2"
                                                                 : "mlp:2-8-1,act=relu",
                                                .scheme = three[i]},
                            &cells[i], err));
    return FANIN_OK;
}

fanin_status fanin__seed_dropout_he(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    static const char *const settings[] = {"against Xavier", "against std 0.01"};
    const fanin_seed_cell *cells[3];
    FANIN_TRY(eight_units(lab, true, cells, err));
    const bool holds[] = {fanin__more(cells[2], cells[1]), fanin__more(cells[2], cells[0])};
    fanin__measured(
        c,
        "8 hidden ReLU units, dropout 0.2: He %.1f %% [%.1f, %.1f], Xavier %.1f %% [%.1f, "
        "%.1f], std 0.01 %.1f %% succeed",
        100 * cells[2]->success, 100 * cells[2]->low, 100 * cells[2]->high, 100 * cells[1]->success,
        100 * cells[1]->low, 100 * cells[1]->high, 100 * cells[0]->success);
    fanin__judge_where(c, 2, settings, holds);
    return FANIN_OK;
}

fanin_status fanin__seed_dropout_insensitive(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    const fanin_seed_cell *with[3], *without[3];
    FANIN_TRY(eight_units(lab, true, with, err));
    FANIN_TRY(eight_units(lab, false, without, err));
    fanin__measured(c,
                    "8 hidden ReLU units, success with std 0.01, Xavier, He: %.1f, %.1f, %.1f %% "
                    "without dropout, %.1f, %.1f, %.1f %% with dropout 0.2",
                    100 * without[0]->success, 100 * without[1]->success, 100 * without[2]->success,
                    100 * with[0]->success, 100 * with[1]->success, 100 * with[2]->success);
    fanin__judge(c,
                 with[2]->success / with[0]->success < without[2]->success / without[0]->success);
    return FANIN_OK;
}

/* ---- penalties ------------------------------------------------------------------------------------------------- */

fanin_status fanin__seed_penalties(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    static const char *const schemes[] = {"he", "xavier"};
    static const char *const settings[] = {"for He", "for Xavier"};
    const fanin_seed_cell *none[2], *l2[2], *l1[2];
    bool holds[2];
    for (int i = 0; i < 2; i++) {
        FANIN_TRY(fanin__run_cell(lab, &(fanin__cell_spec){.scheme = schemes[i]}, &none[i], err));
        FANIN_TRY(fanin__run_cell(lab, &(fanin__cell_spec){.scheme = schemes[i], .l2 = 1e-3},
                                  &l2[i], err));
        FANIN_TRY(fanin__run_cell(lab, &(fanin__cell_spec){.scheme = schemes[i], .l1 = 1e-3},
                                  &l1[i], err));
        holds[i] =
            l2[i]->weight_norm < none[i]->weight_norm && l1[i]->weight_norm < none[i]->weight_norm;
    }
    fanin__measured(
        c,
        "median norm of all weights after 500 epochs, without / L2 0.001 / L1 0.001: He "
        "%.2f / %.2f / %.2f, Xavier %.2f / %.2f / %.2f; success with He %.1f / %.1f / %.1f "
        "%%: fewer units die for good",
        none[0]->weight_norm, l2[0]->weight_norm, l1[0]->weight_norm, none[1]->weight_norm,
        l2[1]->weight_norm, l1[1]->weight_norm, 100 * none[0]->success, 100 * l2[0]->success,
        100 * l1[0]->success);
    fanin__judge_where(c, 2, settings, holds);
    return FANIN_OK;
}

fanin_status fanin__seed_perceptron(fanin__lab *lab, fanin_claim *c, fanin_err *err) {
    const fanin_seed_cell *rule, *net;
    FANIN_TRY(fanin__run_cell(lab,
                              &(fanin__cell_spec){.model = "mlp:2-1",
                                                  .scheme = "he",
                                                  .optimizer = "perceptron",
                                                  .epochs = 200,
                                                  .seeds = 1000},
                              &rule, err));
    FANIN_TRY(fanin__run_cell(
        lab, &(fanin__cell_spec){.model = "mlp:2-8-1,act=relu", .scheme = "he"}, &net, err));
    c->ours = rule->success;
    c->low = rule->low;
    c->high = rule->high;
    fanin__measured(
        c,
        "%.0f of %lld seeds of the perceptron rule are right about all four patterns after "
        "200 epochs; a network of 8 hidden units %.1f %%",
        rule->success * (double)rule->seeds, (long long)rule->seeds, 100 * net->success);
    fanin__judge(c, rule->success == 0 && net->success > 0.5);
    return FANIN_OK;
}
