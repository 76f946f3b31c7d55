/* loss.c - softmax and the losses. */
#include <stdio.h>
#include <string.h>

#include "operator/onnx.h"

/* x minus its row maximum, which changes no result here and keeps exponentials finite. */
static int shifted(fanin__ir *ir, int x, unsigned last) {
    return fanin__emit_binary(ir, FANIN__SUB, x, fanin__emit_max_detached(ir, x, last));
}

int fanin__emit_softmax(fanin__ir *ir, int x) {
    if (ir->failed || x < 0) return -1;
    int rank = ir->nodes[x].rank;
    if (rank == 0) return fanin__emit_fill_like(ir, 1, x);
    if (ir->nodes[x].dims[rank - 1] == 0) return x;
    if (ir->fuse) return fanin__emit(ir, FANIN__SOFTMAX, &x, 1, NULL, 0, NULL);
    unsigned last = 1u << (rank - 1);
    int e = fanin__emit_apply(ir, FANIN__FN_EXP, shifted(ir, x, last));
    return fanin__emit_binary(ir, FANIN__DIV, e, fanin__emit_reduce(ir, FANIN__SUM, e, last, true));
}

int fanin__emit_log_softmax(fanin__ir *ir, int x) {
    if (ir->failed || x < 0) return -1;
    int rank = ir->nodes[x].rank;
    if (rank == 0) return fanin__emit_fill_like(ir, 0, x);
    if (ir->nodes[x].dims[rank - 1] == 0) return x;
    unsigned last = 1u << (rank - 1);
    int z = shifted(ir, x, last);
    int sum =
        fanin__emit_reduce(ir, FANIN__SUM, fanin__emit_apply(ir, FANIN__FN_EXP, z), last, true);
    return fanin__emit_binary(ir, FANIN__SUB, z, fanin__emit_apply(ir, FANIN__FN_LOG, sum));
}

/* ---- pieces --------------------------------------------------------------------------------------- */

static int binary(fanin__ir *ir, fanin__binary_kind kind, int a, int b) {
    return fanin__emit_binary(ir, kind, a, b);
}

static int scale(fanin__ir *ir, int x, double a, double b) {
    return fanin__emit_apply_with(ir, FANIN__FN_SCALE, a, b, x);
}

static int mean_all(fanin__ir *ir, int x) {
    if (ir->failed || x < 0) return -1;
    return fanin__emit_mean(ir, x, (1u << ir->nodes[x].rank) - 1, false);
}

/* x as rows x classes; its class axis is the last. */
static int as_rows(fanin__ir *ir, int x, int64_t *rows, int64_t *classes) {
    fanin__node n = ir->nodes[x];
    *classes = n.dims[n.rank - 1];
    *rows = 1;
    for (int i = 0; i + 1 < n.rank; i++) *rows *= n.dims[i];
    return fanin__emit_reshape(ir, x, 2, (int64_t[]){*rows, *classes});
}

/* rows x classes of BOOL: is this the target's column? */
static int hits(fanin__ir *ir, int target, int64_t rows, int64_t classes) {
    int column = fanin__emit_reshape(ir, target, 2, (int64_t[]){rows, 1});
    return binary(ir, FANIN__EQ, fanin__emit_iota(ir, classes), column);
}

/* rows x 1: the target's element of each row; a target that is no class picks nothing (the program refuses
 * it before running). */
static int pick(fanin__ir *ir, int x, int hit) {
    int picked = fanin__emit_select(ir, hit, x, fanin__emit_fill_like(ir, 0, x));
    return fanin__emit_reduce(ir, FANIN__SUM, picked, 2, true);
}

/* ---- classes -------------------------------------------------------------------------------------- */

static int softplus(fanin__ir *ir, int x) {
    const fanin_activation *act = fanin__ir_activation(ir, "softplus");
    return act ? fanin__emit_apply_activation(ir, act, 0, x) : -1;
}

/* Mean of log(1 + e^x) - t x. */
static int sigmoid_entropy(fanin__ir *ir, int x, int t) {
    return mean_all(ir, binary(ir, FANIN__SUB, softplus(ir, x), binary(ir, FANIN__MUL, t, x)));
}

/* Mean over all positions of -log softmax(x)[target]; one logit is class 1's against class 0's of 0. Smoothed
 * targets (1 - e) onehot + e/C add e (x[target] - mean x) to each: the logarithm of the sum is the same. */
static int cross_entropy(fanin__ir *ir, int x, int target, const fanin__loss *loss) {
    int64_t classes, rows;
    x = as_rows(ir, x, &rows, &classes);
    if (classes == 1) {
        double e = loss->label_smoothing;
        int t = fanin__emit_cast(ir, fanin__emit_reshape(ir, target, 2, (int64_t[]){rows, 1}),
                                 ir->dtype);
        return sigmoid_entropy(ir, x, e > 0 ? scale(ir, t, 1 - e, e / 2) : t);
    }
    int each, hit = -1;
    if (ir->fuse) {
        int flat = fanin__emit_reshape(ir, target, 1, &rows);
        int both = fanin__emit(ir, FANIN__XENT, (int[]){x, flat}, 2, NULL, 0, NULL);
        each = fanin__emit_slice_axis(ir, both, 1, 0, 1);
    } else {
        hit = hits(ir, target, rows, classes);
        int logs = fanin__emit_log_softmax(ir, x);
        each = fanin__emit_apply(ir, FANIN__FN_NEG, pick(ir, logs, hit));
    }
    if (loss->label_smoothing > 0) {
        if (hit < 0) hit = hits(ir, target, rows, classes);
        int lead = binary(ir, FANIN__SUB, pick(ir, x, hit), fanin__emit_mean(ir, x, 2, true));
        each = binary(ir, FANIN__ADD, each, scale(ir, lead, loss->label_smoothing, 0));
    }
    return fanin__emit_mean(ir, each, 3, false);
}

/* Mean over rows of the sum over the other classes j of max(0, margin - x[target] + x[j]) / C; with one
 * output max(0, margin - t x), t = -1, 1 for the classes 0, 1. */
static int hinge(fanin__ir *ir, int x, int target, const fanin__loss *loss) {
    int64_t classes, rows;
    x = as_rows(ir, x, &rows, &classes);
    if (classes == 1) {
        int t = fanin__emit_cast(ir, fanin__emit_reshape(ir, target, 2, (int64_t[]){rows, 1}),
                                 ir->dtype);
        int agree = binary(ir, FANIN__MUL, scale(ir, t, 2, -1), x);
        return mean_all(ir,
                        fanin__emit_apply(ir, FANIN__FN_RELU, scale(ir, agree, -1, loss->margin)));
    }
    int hit = hits(ir, target, rows, classes);
    int short_of = scale(ir, binary(ir, FANIN__SUB, x, pick(ir, x, hit)), 1, loss->margin);
    int others = fanin__emit_select(ir, hit, fanin__emit_fill_like(ir, 0, x),
                                    fanin__emit_apply(ir, FANIN__FN_RELU, short_of));
    return mean_all(ir, others);
}

/* ---- real targets ----------------------------------------------------------------------------------- */

/* Mean over rows of -sum t log softmax(x): targets are distributions. */
static int soft_cross_entropy(fanin__ir *ir, int x, int target, const fanin__loss *loss) {
    int64_t classes, rows;
    x = as_rows(ir, x, &rows, &classes);
    target = fanin__emit_reshape(ir, target, 2, (int64_t[]){rows, classes});
    if (loss->label_smoothing > 0)
        target =
            scale(ir, target, 1 - loss->label_smoothing, loss->label_smoothing / (double)classes);
    int each = binary(ir, FANIN__MUL, target, fanin__emit_log_softmax(ir, x));
    return scale(ir, mean_all(ir, each), -(double)classes, 0);
}

/* Mean over all elements of log(1 + e^x) - t x. */
static int bce(fanin__ir *ir, int x, int target, const fanin__loss *loss) {
    (void)loss;
    return sigmoid_entropy(ir, x, target);
}

/* Mean over all elements of (x - target)^2. */
static int mse(fanin__ir *ir, int x, int target, const fanin__loss *loss) {
    (void)loss;
    return mean_all(ir, fanin__emit_apply(ir, FANIN__FN_SQUARE, binary(ir, FANIN__SUB, x, target)));
}

static int l1(fanin__ir *ir, int x, int target, const fanin__loss *loss) {
    (void)loss;
    return mean_all(ir, fanin__emit_apply(ir, FANIN__FN_ABS, binary(ir, FANIN__SUB, x, target)));
}

/* c (d - c/2), c = d cut to +-delta: d^2/2 inside, delta (|d| - delta/2) outside. */
static int huber(fanin__ir *ir, int x, int target, const fanin__loss *loss) {
    int d = binary(ir, FANIN__SUB, x, target);
    int c = fanin__emit_apply_with(ir, FANIN__FN_CLAMP, -loss->delta, loss->delta, d);
    return mean_all(ir, binary(ir, FANIN__MUL, c, binary(ir, FANIN__SUB, d, scale(ir, c, 0.5, 0))));
}

/* ---- second derivatives in the output's elements ------------------------------------------------------- */

static double per(fanin__ir *ir, int x) {
    return ir->failed || x < 0 || !ir->nodes[x].count ? 0 : 1 / (double)ir->nodes[x].count;
}

/* p (1 - p) of a sigmoid, in a mean over all elements. */
static int sigmoid_second(fanin__ir *ir, int x, int target, const fanin__loss *loss) {
    (void)target, (void)loss;
    int p = fanin__emit_apply(ir, FANIN__FN_SIGMOID, x);
    return scale(ir, fanin__emit_apply(ir, FANIN__FN_SIGMOID_SLOPE, p), per(ir, x), 0);
}

/* p_i (1 - p_i) of a softmax, in a mean over rows; targets do not matter. */
static int softmax_second(fanin__ir *ir, int x, int target, const fanin__loss *loss) {
    if (ir->failed || x < 0) return -1;
    int64_t classes = ir->nodes[x].dims[ir->nodes[x].rank - 1];
    if (classes == 1) return sigmoid_second(ir, x, target, loss);
    int p = fanin__emit_softmax(ir, x);
    return scale(ir, fanin__emit_apply(ir, FANIN__FN_SIGMOID_SLOPE, p),
                 per(ir, x) * (double)classes, 0);
}

static int mse_second(fanin__ir *ir, int x, int target, const fanin__loss *loss) {
    (void)target, (void)loss;
    return fanin__emit_fill_like(ir, 2 * per(ir, x), x);
}

static int huber_second(fanin__ir *ir, int x, int target, const fanin__loss *loss) {
    int d = binary(ir, FANIN__SUB, x, target);
    int in = fanin__emit_apply_with(ir, FANIN__FN_CLAMP_SLOPE, -loss->delta, loss->delta, d);
    return scale(ir, in, per(ir, x), 0);
}

/* ---- table ------------------------------------------------------------------------------------------ */

typedef struct row {
    fanin_loss_info shown;
    int (*emit)(fanin__ir *ir, int output, int target, const fanin__loss *loss);
    int (*second)(fanin__ir *ir, int output, int target, const fanin__loss *loss);
} row;

static const row rows[] = {
    {{"cross_entropy", "label_smoothing=0", "mean of -log softmax(x)[t]", FANIN_TARGET_CLASS},
     cross_entropy,
     softmax_second},
    {{"hinge", "margin=1",
      "mean of sum over j != t of max(0, margin - x[t] + x[j]) / C; one output: "
      "max(0, margin -+ x)",
      FANIN_TARGET_CLASS},
     hinge,
     NULL},
    {{"soft_cross_entropy", "label_smoothing=0", "mean over rows of -sum t log softmax(x)",
      FANIN_TARGET_DISTRIBUTION},
     soft_cross_entropy,
     softmax_second},
    {{"bce", "", "mean of log(1 + e^x) - t x: cross entropy of a sigmoid, t in [0, 1]",
      FANIN_TARGET_SHARE},
     bce,
     sigmoid_second},
    {{"mse", "", "mean of (x - t)^2", FANIN_TARGET_REAL}, mse, mse_second},
    {{"l1", "", "mean of |x - t|", FANIN_TARGET_REAL}, l1, NULL},
    {{"huber", "delta=1", "mean of d^2/2 where |d| <= delta, else delta (|d| - delta/2); d = x - t",
      FANIN_TARGET_REAL},
     huber,
     huber_second},
};

int fanin_loss_count(void) { return (int)FANIN_COUNT(rows); }

fanin_loss_info fanin_loss_at(int i) {
    return i >= 0 && i < fanin_loss_count() ? rows[i].shown : (fanin_loss_info){0};
}

static fanin_status unknown(const char *text, size_t n, fanin_err *err) {
    fanin__text names = {.max = 512};
    for (size_t i = 0; i < FANIN_COUNT(rows); i++)
        fanin__text_printf(&names, "%s%s", i ? ", " : "", rows[i].shown.name);
    fanin_status status = fanin_err_set(err, FANIN_ARG, "no loss is called '%.*s' (%s)", (int)n,
                                        text, names.data ? names.data : "fanin list losses");
    fanin__text_fini(&names);
    return status;
}

fanin_status fanin__loss_parse(const char *text, fanin__loss *loss, fanin_err *err) {
    static const fanin__option options[] = {
        FANIN__OPTION(fanin__loss, label_smoothing, 0, 1),
        FANIN__OPTION(fanin__loss, delta, 1e-12, 1e12),
        FANIN__OPTION(fanin__loss, margin, 0, 1e12),
    };
    size_t n = strcspn(text, ":");
    *loss = (fanin__loss){.delta = 1, .margin = 1};
    for (size_t i = 0; i < FANIN_COUNT(rows); i++) {
        if (strlen(rows[i].shown.name) != n || strncmp(rows[i].shown.name, text, n) != 0) continue;
        loss->info = rows[i].shown;
        loss->kind = (fanin__loss_kind)i;
        loss->emit = rows[i].emit;
        loss->second = rows[i].second;
        char what[48];
        const char *given;
        FANIN_TRY(fanin__options_of(text, n, &given, err));
        snprintf(what, sizeof what, "loss %s", rows[i].shown.name);
        return fanin__options_parse(what, rows[i].shown.options, given, options,
                                    FANIN_COUNT(options), loss, err);
    }
    return unknown(text, n, err);
}

fanin_status fanin_loss_find(const char *text, fanin_loss_info *info, fanin_err *err) {
    fanin__loss loss;
    FANIN_TRY(fanin__loss_parse(text, &loss, err));
    *info = loss.info;
    return FANIN_OK;
}
