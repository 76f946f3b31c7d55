/* onnx_elementwise.c - activations, arithmetic, comparisons, dropout. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "fanin/theory.h"
#include "operator/activation_node.h"
#include "operator/loop.h"
#include "operator/onnx.h"

static void set(fanin__lowering *l, int id) { fanin__lower_out(l, 0, id); }

void fanin__lower_function(fanin__lowering *l, int arg) {
    set(l, fanin__emit_apply(l->ir, arg, fanin__lower_in(l, 0)));
}

static void lower_named(fanin__lowering *l, const char *text) {
    const fanin_activation *act = fanin__ir_activation(l->ir, text);
    if (act) set(l, fanin__emit_apply_activation(l->ir, act, 0, fanin__lower_in(l, 0)));
}

/* gamma elu(x; alpha); the published constants have a row of their own. */
static void lower_selu(fanin__lowering *l) {
    double alpha = fanin__lower_float(l, "alpha", 1.67326319217681884765625);
    double gamma = fanin__lower_float(l, "gamma", 1.05070102214813232421875);
    if (fabs(alpha - 1.6732632) < 1e-5 && fabs(gamma - 1.0507010) < 1e-5) {
        lower_named(l, "selu");
        return;
    }
    char text[64], number[32];
    snprintf(text, sizeof text, "elu:%s", fanin__number_text(alpha, number));
    const fanin_activation *act = fanin__ir_activation(l->ir, text);
    if (!act) return;
    int y = fanin__emit_apply_activation(l->ir, act, 0, fanin__lower_in(l, 0));
    set(l, fanin__emit_apply_with(l->ir, FANIN__FN_SCALE, gamma, 0, y));
}

/* Rows of the activation table. */
void fanin__lower_parametric(fanin__lowering *l, int arg) {
    char text[96];
    if (arg == FANIN_ACT_SELU)
        lower_selu(l);
    else
        lower_named(l, fanin__node_activation(l->node, text, sizeof text));
}

int fanin__lower_activation(fanin__ir *ir, const fanin_activation *act, int x) {
    switch (act ? fanin_activation_id_of(act) : FANIN_ACT_IDENTITY) {
    case FANIN_ACT_IDENTITY: return x;
    case FANIN_ACT_TANH: return fanin__emit_apply(ir, FANIN__FN_TANH, x);
    case FANIN_ACT_SIGMOID: return fanin__emit_apply(ir, FANIN__FN_SIGMOID, x);
    case FANIN_ACT_RELU: return fanin__emit_apply(ir, FANIN__FN_RELU, x);
    default: return fanin__emit_apply_activation(ir, act, 0, x);
    }
}

/* Domain "fanin": any activation by name or formula. */
void fanin__lower_custom(fanin__lowering *l, int arg) {
    (void)arg;
    const char *text = fanin__node_activation(l->node, NULL, 0);
    if (!text) {
        fanin__ir_fail(l->ir, FANIN_FORMAT, "no attribute 'name' or 'formula'");
        return;
    }
    const fanin_activation *act = fanin__ir_activation(l->ir, text);
    if (act) set(l, fanin__lower_activation(l->ir, act, fanin__lower_in(l, 0)));
}

/* x where it is positive, else slope times x; slopes line up with the channels by broadcasting. */
void fanin__lower_prelu(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0), slope = fanin__lower_in(l, 1);
    if (x < 0 || slope < 0) return;
    int zero = fanin__emit_fill_like(ir, 0, x);
    set(l, fanin__emit_select(ir, fanin__emit_binary(ir, FANIN__LT, zero, x), x,
                              fanin__emit_binary(ir, FANIN__MUL, slope, x)));
}

/* x + bias below -lambda, x - bias above lambda, 0 between. */
void fanin__lower_shrink(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0);
    if (x < 0) return;
    double bias = fanin__lower_float(l, "bias", 0), lambda = fanin__lower_float(l, "lambd", 0.5);
    int low = fanin__emit_binary(ir, FANIN__LT, x, fanin__emit_fill_like(ir, -lambda, x));
    int high = fanin__emit_binary(ir, FANIN__LT, fanin__emit_fill_like(ir, lambda, x), x);
    int zero = fanin__emit_fill_like(ir, 0, x);
    int up = fanin__emit_binary_scalar(ir, FANIN__ADD, x, bias);
    int down = fanin__emit_binary_scalar(ir, FANIN__SUB, x, bias);
    set(l, fanin__emit_select(ir, low, up, fanin__emit_select(ir, high, down, zero)));
}

/* Is input i left out, or one number that is known now? */
static bool settled(fanin__lowering *l, int i) {
    double value;
    return !fanin__lower_has(l, i) || fanin__lower_known(l, i, &value);
}

/* Input i, of one element, without axes. */
static int number_in(fanin__lowering *l, int i) {
    return fanin__emit_reshape(l->ir, fanin__lower_in(l, i), 0, NULL);
}

/* min(max(x, low), high): where low is above high, high everywhere. */
void fanin__lower_clip(fanin__lowering *l, int arg) {
    (void)arg;
    int x = fanin__lower_in(l, 0);
    if (x < 0) return;
    bool real = l->ir->nodes[x].dtype == l->ir->dtype;
    for (int i = 1; i < 3; i++) {
        int bound = fanin__lower_has(l, i) ? fanin__lower_in(l, i) : -1;
        if (bound >= 0 && l->ir->nodes[bound].count != 1) {
            fanin__ir_fail(l->ir, FANIN_SHAPE, "input %d has %zu elements, expected one number", i,
                           l->ir->nodes[bound].count);
            return;
        }
    }
    if (!real || !settled(l, 1) || !settled(l, 2)) {
        if (fanin__lower_has(l, 1)) x = fanin__emit_binary(l->ir, FANIN__MAX, x, number_in(l, 1));
        if (fanin__lower_has(l, 2)) x = fanin__emit_binary(l->ir, FANIN__MIN, x, number_in(l, 2));
        set(l, x);
        return;
    }
    double low = fanin__lower_number(l, "min", 1, -INFINITY);
    double high = fanin__lower_number(l, "max", 2, INFINITY);
    set(l, fanin__emit_apply_with(l->ir, FANIN__FN_CLAMP, low > high ? high : low, high, x));
}

void fanin__lower_is_inf(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0);
    if (x < 0) return;
    int y = fanin__emit_apply(ir, FANIN__FN_IS_INF, x), zero = fanin__emit_fill_like(ir, 0, x);
    int positive = fanin__emit_binary(ir, FANIN__LT, zero, x);
    if (!fanin__lower_int(l, "detect_negative", 1))
        y = fanin__emit_binary(ir, FANIN__AND, y, positive);
    if (!fanin__lower_int(l, "detect_positive", 1))
        y = fanin__emit_binary(ir, FANIN__AND, y, fanin__emit_apply(ir, FANIN__FN_NOT, positive));
    set(l, y);
}

/* ---- two tensors ------------------------------------------------------------------------ */

/* Is a constant of whole numbers zero anywhere? */
static bool holds_zero(const fanin__ir *ir, int x) {
    fanin__tensor t;
    fanin__loop l;
    if (ir->nodes[x].dtype != FANIN_I64 || !fanin__const_tensor(ir, x, &t) ||
        !fanin__loop_begin(&l, 1, (const fanin__tensor *[]){&t}))
        return false;
    do {
        for (int64_t i = 0; i < l.size; i++)
            if (((const int64_t *)t.data)[l.at[0] + i * l.step[0]] == 0) return true;
    } while (fanin__loop_next(&l));
    return false;
}

static bool divides_by_zero(fanin__lowering *l, int divisor) {
    if (divisor < 0 || !holds_zero(l->ir, divisor)) return false;
    fanin__ir_fail(l->ir, FANIN_SHAPE, "integer division by zero");
    return true;
}

/* Opset 6 and older said where a smaller operand lines up by an attribute; broadcasting to the right
 * covers what exporters wrote. */
void fanin__lower_binary(fanin__lowering *l, int arg) {
    int a = fanin__lower_in(l, 0), b = fanin__lower_in(l, 1);
    if (a < 0 || b < 0) return;
    if (arg == FANIN__DIV && divides_by_zero(l, b)) return;
    set(l, fanin__emit_binary(l->ir, (fanin__binary_kind)arg, a, b));
}

void fanin__lower_compare_swapped(fanin__lowering *l, int arg) {
    int a = fanin__lower_in(l, 0);
    set(l, fanin__emit_binary(l->ir, (fanin__binary_kind)arg, fanin__lower_in(l, 1), a));
}

/* Min, Max, Sum; DIV stands for Mean. */
void fanin__lower_variadic(fanin__lowering *l, int arg) {
    int count = l->node->input_count, y = fanin__lower_in(l, 0);
    fanin__binary_kind kind = arg == FANIN__DIV ? FANIN__ADD : (fanin__binary_kind)arg;
    for (int i = 1; i < count; i++) y = fanin__emit_binary(l->ir, kind, y, fanin__lower_in(l, i));
    if (arg == FANIN__DIV) y = fanin__emit_apply_with(l->ir, FANIN__FN_SCALE, 1.0 / count, 0, y);
    set(l, y);
}

/* A constant exponent becomes the function that it is: squares, roots and reciprocals are exact and
 * have derivatives where the logarithm of the base has none. */
void fanin__lower_pow(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0), e = fanin__lower_in(l, 1);
    if (x < 0 || e < 0) return;
    fanin_dtype type = ir->nodes[x].dtype;
    double power;
    if (type == ir->dtype && fanin__lower_known(l, 1, &power)) {
        int y = power == 2     ? fanin__emit_apply(ir, FANIN__FN_SQUARE, x)
                : power == 1   ? x
                : power == 0.5 ? fanin__emit_apply(ir, FANIN__FN_SQRT, x)
                : power == -1  ? fanin__emit_apply(ir, FANIN__FN_RECIPROCAL, x)
                               : fanin__emit_apply_with(ir, FANIN__FN_POWER, power, 0, x);
        set(l, y);
        return;
    }
    fanin_dtype wide =
        ir->nodes[e].dtype == ir->dtype ? ir->dtype : type; /* 4^0.5 of integers is 2 */
    int y = fanin__emit_binary(ir, FANIN__POW, fanin__emit_cast(ir, x, wide),
                               fanin__emit_cast(ir, e, wide));
    set(l, fanin__emit_cast(ir, y, type));
}

void fanin__lower_mod(fanin__lowering *l, int arg) {
    (void)arg;
    int a = fanin__lower_in(l, 0), b = fanin__lower_in(l, 1);
    if (divides_by_zero(l, b)) return;
    set(l,
        fanin__emit_binary(l->ir, fanin__lower_int(l, "fmod", 0) ? FANIN__FMOD : FANIN__MOD, a, b));
}

void fanin__lower_where(fanin__lowering *l, int arg) {
    (void)arg;
    int c = fanin__emit_cast(l->ir, fanin__lower_in(l, 0), FANIN_BOOL);
    int a = fanin__lower_in(l, 1);
    set(l, fanin__emit_select(l->ir, c, a, fanin__lower_in(l, 2)));
}

/* A known condition takes its branch, and the other one is never looked at; else both are computed. */
void fanin__lower_if(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    const fanin_node *n = l->node;
    int condition = fanin__lower_in(l, 0), count = n->output_count;
    double known;
    if (condition < 0) return;
    if (n->input_count != 1 + 2 * count) {
        fanin__lower_fail(l, "these branches are not read");
        return;
    }
    if (ir->nodes[condition].count != 1) {
        fanin__ir_fail(ir, FANIN_SHAPE, "the condition has %zu elements, expected one",
                       ir->nodes[condition].count);
        return;
    }
    if (fanin__const_value(ir, condition, &known)) {
        for (int i = 0; i < count; i++)
            fanin__lower_out(l, i,
                             fanin__lower_value(l, n->inputs[1 + i + (known != 0 ? 0 : count)]));
        return;
    }
    condition = fanin__emit_cast(ir, fanin__emit_reshape(ir, condition, 0, NULL), FANIN_BOOL);
    for (int i = 0; i < count; i++) {
        int a = fanin__lower_value(l, n->inputs[1 + i]);
        int b = fanin__lower_value(l, n->inputs[1 + count + i]);
        if (a < 0 || b < 0) return;
        fanin__node p = ir->nodes[a], q = ir->nodes[b];
        if (p.rank != q.rank || memcmp(p.dims, q.dims, (size_t)p.rank * sizeof p.dims[0]) != 0) {
            char s[160], t[160];
            fanin__ir_fail(ir, FANIN_SHAPE,
                           "branches give %s and %s, and which one is not known beforehand",
                           fanin__node_shape_text(&p, s), fanin__node_shape_text(&q, t));
            return;
        }
        fanin__lower_out(l, i, fanin__emit_select(ir, condition, a, b));
    }
}

/* All floating types are the program's, all integers 64 bits wide. */
bool fanin__lower_type(fanin__lowering *l, int64_t code, fanin_dtype *dtype) {
    switch (code) {
    case 1:
    case 10:
    case 11:
    case 16: *dtype = l->ir->dtype; return true;
    case 9: *dtype = FANIN_BOOL; return true;
    case 2:
    case 3:
    case 4:
    case 5:
    case 6:
    case 7:
    case 12:
    case 13: *dtype = FANIN_I64; return true;
    default:
        fanin__ir_fail(l->ir, FANIN_UNSUPPORTED, "numbers of ONNX's element type %lld",
                       (long long)code);
        return false;
    }
}

/* arg 1: to the type of the second input. */
void fanin__lower_cast(fanin__lowering *l, int arg) {
    int x = fanin__lower_in(l, 0), like = arg == 1 ? fanin__lower_in(l, 1) : -1;
    fanin_dtype type;
    if (arg == 1 && like >= 0) set(l, fanin__emit_cast(l->ir, x, l->ir->nodes[like].dtype));
    if (arg == 0 && fanin__lower_type(l, fanin__lower_int(l, "to", 1), &type))
        set(l, fanin__emit_cast(l->ir, x, type));
}

void fanin__lower_identity(fanin__lowering *l, int arg) {
    (void)arg;
    set(l, fanin__lower_in(l, 0));
}

/* Whether a program trains decides, not the flag that the exporter left in the node. */
void fanin__lower_dropout(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0);
    double ratio = fanin__lower_number(l, "ratio", 1, 0.5);
    if (x < 0) return;
    if (!(ratio >= 0 && ratio <= 1)) {
        fanin__ir_fail(ir, FANIN_FORMAT, "dropout ratio %g is not in [0, 1]", ratio);
        return;
    }
    fanin__node n = ir->nodes[x];
    int keep;
    if (l->training && ratio > 0) {
        int u = fanin__emit_uniform(ir, n.rank, n.dims);
        int drop = fanin__emit_binary(ir, FANIN__LT, u, fanin__emit_scalar(ir, ratio));
        int scaled =
            fanin__emit_apply_with(ir, FANIN__FN_SCALE, ratio < 1 ? 1 / (1 - ratio) : 0, 0, x);
        x = fanin__emit_select(ir, drop, fanin__emit_fill_like(ir, 0, x), scaled);
        keep = fanin__emit_apply(ir, FANIN__FN_NOT, drop);
    } else { /* all of it: one element, repeated */
        keep = fanin__emit_cast(ir, fanin__emit_scalar(ir, 1), FANIN_BOOL);
        keep = fanin__emit_broadcast(ir, keep, n.rank, n.dims);
    }
    set(l, x);
    if (fanin__lower_wants_out(l, 1)) fanin__lower_out(l, 1, keep);
}

/* Dropped units take the value that SELU has far below 0, and the rest of the line keeps mean 0 and variance 1
 * what they were (Klambauer et al. 2017, section 3). */
void fanin__lower_alpha_dropout(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0);
    double ratio = fanin__lower_number(l, "ratio", -1, 0.5), a, b;
    if (x < 0) return;
    if (fanin_alpha_dropout(1 - ratio, &a, &b, NULL) != FANIN_OK || ratio < 0) {
        fanin__ir_fail(ir, FANIN_ARG, "alpha dropout ratio %g is not in [0, 1)", ratio);
        return;
    }
    if (l->training && ratio > 0) {
        fanin__node n = ir->nodes[x];
        int u = fanin__emit_uniform(ir, n.rank, n.dims);
        int drop = fanin__emit_binary(ir, FANIN__LT, u, fanin__emit_scalar(ir, ratio));
        double low = -b / (a * ratio); /* b = -a (1 - keep) low */
        x = fanin__emit_select(ir, drop, fanin__emit_fill_like(ir, a * low + b, x),
                               fanin__emit_apply_with(ir, FANIN__FN_SCALE, a, b, x));
    }
    set(l, x);
}
