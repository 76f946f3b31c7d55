/* bias.c - biases with a meaning: an open forget gate, the prior of the classes. */
#include <math.h>
#include <string.h>

#include "init/fixed.h"
#include "init/init.h"

/* ---- LSTM forget gate -------------------------------------------------------------------- */

/* plan->k: the forget gate; view.out: units, length of a gate; view.blocks: gates in a vector. ONNX packs
 * 8 of them, input side then recurrent side, whose sum acts: the first four carry the value, in its order i o f c
 * unless gates= says otherwise. */
fanin_status fanin__forget_plan(fanin__recipe *plan, fanin_err *err) {
    const fanin_tensor *t = plan->tensor;
    int64_t length = t->rank > 0 ? t->dims[t->rank - 1] : 0;
    int64_t gates = t->parts >= 4 && t->parts % 4 == 0 ? t->parts : 4;
    if (t->rank == 0 || length % gates != 0)
        return fanin_err_set(err, FANIN_SHAPE,
                             "%s: lstm_forget_bias fills vectors of %lld gates, %lld elements are "
                             "not a multiple",
                             fanin__tensor_name(t), (long long)gates, (long long)length);
    plan->view.out = (uint64_t)(length / gates);
    plan->view.blocks = (uint64_t)gates;
    bool onnx = plan->rule->gates == 2 || (plan->rule->gates == 0 && gates == 8);
    plan->k = onnx ? 2 : 1;
    plan->value = fanin__or(plan->rule->value, 1);
    double share = 1 / (double)gates;
    plan->moments.mean = plan->value * share;
    plan->moments.std = fabs(plan->value) * sqrt(share * (1 - share));
    plan->moments.low = fmin(0, plan->value);
    plan->moments.high = fmax(0, plan->value);
    char value[32];
    fanin__reason(plan, "%s in the forget gate (gates in order %s), 0 elsewhere",
                  fanin__number_text(plan->value, value), plan->k == 2 ? "i o f c" : "i f g o");
    return FANIN_OK;
}

static double forget_value(const fanin__recipe *plan, uint64_t index) {
    return index / plan->view.out % plan->view.blocks == plan->k ? plan->value : 0;
}

fanin_status fanin__forget_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first, size_t n,
                                fanin_dtype dtype, void *out, fanin_err *err) {
    (void)seed, (void)err;
    fanin__fill_each(plan, forget_value, first, n, dtype, out);
    return FANIN_OK;
}

/* ---- class prior ------------------------------------------------------------------------- */

enum { PRIORS_MAX = 128 }; /* 256 letters hold no more */

/* Biases into out: one number p gives log(p / (1 - p)), a list the logarithms of its shares. Returns how
 * many; 0 for text that is no list of positive numbers. */
static size_t priors_read(const char *text, double out[PRIORS_MAX]) {
    size_t count = 0;
    double sum = 0;
    for (const char *s = text; count < PRIORS_MAX;) {
        const char *end;
        out[count] = fanin__parse_double(s, &end);
        if (end == s || !(out[count] > 0) || !isfinite(out[count])) return 0;
        sum += out[count++];
        if (*end == 0) break;
        if (*end != '/') return 0;
        s = end + 1;
    }
    if (count == 1) {
        if (out[0] >= 1) return 0;
        out[0] = fanin__fixed_log(out[0] / (1 - out[0]));
        return 1;
    }
    for (size_t i = 0; i < count; i++) out[i] = fanin__fixed_log(out[i] / sum);
    return count;
}

static const char *prior_text(const fanin__recipe *plan) {
    return plan->rule->prior[0] ? plan->rule->prior : "0.01";
}

fanin_status fanin__prior_plan(fanin__recipe *plan, fanin_err *err) {
    double biases[PRIORS_MAX];
    const char *text = prior_text(plan), *name = fanin__tensor_name(plan->tensor);
    size_t count = priors_read(text, biases);
    if (count == 0)
        return fanin_err_set(err, FANIN_ARG,
                             "%s: prior=%s is neither a probability between 0 and 1 nor a list of "
                             "positive numbers a/b/c",
                             name, text);
    if (count > 1 && count != plan->count)
        return fanin_err_set(err, FANIN_SHAPE, "%s: prior=%s has %zu classes, the tensor %llu",
                             name, text, count, (unsigned long long)plan->count);
    double sum = 0, squares = 0;
    plan->moments.low = INFINITY;
    plan->moments.high = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        sum += biases[i];
        plan->moments.low = fmin(plan->moments.low, biases[i]);
        plan->moments.high = fmax(plan->moments.high, biases[i]);
    }
    plan->moments.mean = sum / (double)count;
    for (size_t i = 0; i < count; i++)
        squares += (biases[i] - plan->moments.mean) * (biases[i] - plan->moments.mean);
    plan->moments.std = sqrt(squares / (double)count);
    fanin__reason(plan,
                  count > 1 ? "logarithms of the class shares %.80s"
                            : "log(p / (1 - p)) for a prior p of %.80s",
                  text);
    return FANIN_OK;
}

fanin_status fanin__prior_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first, size_t n,
                               fanin_dtype dtype, void *out, fanin_err *err) {
    double biases[PRIORS_MAX];
    if (priors_read(prior_text(plan), biases) == 1) {
        fanin__recipe one = *plan;
        one.value = biases[0];
        return fanin__constant_fill(&one, seed, first, n, dtype, out, err);
    }
    for (size_t i = 0; i < n; i++) {
        fanin__recipe one = *plan;
        one.value = biases[first + i];
        fanin__fill_each(&one, NULL, 0, 1, dtype, (char *)out + i * fanin_dtype_size(dtype));
    }
    return FANIN_OK;
}
