/* onnx_dense.c - Gemm, MatMul, Einsum: products of matrices. */
#include <string.h>

#include "operator/onnx.h"

static int scaled(fanin__ir *ir, double factor, int x) {
    return factor == 1 ? x : fanin__emit_apply_with(ir, FANIN__FN_SCALE, factor, 0, x);
}

/* alpha A' B' + beta C */
void fanin__lower_gemm(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int a = fanin__lower_in(l, 0), b = fanin__lower_in(l, 1);
    if (a < 0 || b < 0) return;
    if (ir->nodes[a].rank != 2 || ir->nodes[b].rank != 2) {
        char s[160], t[160];
        fanin__ir_fail(ir, FANIN_SHAPE, "operands are %s and %s, not two matrices",
                       fanin__node_shape_text(&ir->nodes[a], s),
                       fanin__node_shape_text(&ir->nodes[b], t));
        return;
    }
    if (fanin__lower_int(l, "transA", 0)) a = fanin__emit_swap(ir, a, 0, 1);
    if (fanin__lower_int(l, "transB", 0)) b = fanin__emit_swap(ir, b, 0, 1);
    int y = scaled(ir, fanin__lower_float(l, "alpha", 1), fanin__emit_matmul(ir, a, b));
    if (y >= 0 && fanin__lower_has(l, 2)) {
        int c = scaled(ir, fanin__lower_float(l, "beta", 1), fanin__lower_in(l, 2));
        if (c >= 0) c = fanin__emit_broadcast(ir, c, 2, ir->nodes[y].dims);
        y = fanin__emit_binary(ir, FANIN__ADD, y, c);
    }
    fanin__lower_out(l, 0, y);
}

/* Leading axes of `dims` (all but the last two) followed by the last two of x. */
static int with_batch(fanin__ir *ir, int x, int rank, const int64_t *batch) {
    if (x < 0) return -1;
    int64_t dims[FANIN_MAX_RANK];
    memcpy(dims, batch, sizeof dims);
    const fanin__node *n = &ir->nodes[x];
    dims[rank - 2] = n->dims[n->rank - 2];
    dims[rank - 1] = n->dims[n->rank - 1];
    return fanin__emit_broadcast(ir, x, rank, dims);
}

/* numpy's matmul of two tensors of rank two or more. One matrix shared by a whole batch makes the
 * batch rows of one product. */
static int batched(fanin__ir *ir, int a, int b) {
    if (a < 0 || b < 0) return -1;
    fanin__node p = ir->nodes[a], q = ir->nodes[b];
    if (q.rank == 2 && p.rank > 2) {
        int64_t rows = 1, dims[FANIN_MAX_RANK];
        for (int i = 0; i + 1 < p.rank; i++) rows *= p.dims[i];
        a = fanin__emit_reshape(ir, a, 2, (int64_t[]){rows, p.dims[p.rank - 1]});
        memcpy(dims, p.dims, sizeof dims);
        dims[p.rank - 1] = q.dims[1];
        return fanin__emit_reshape(ir, fanin__emit_matmul(ir, a, b), p.rank, dims);
    }
    int rank = p.rank > q.rank ? p.rank : q.rank;
    int64_t batch[FANIN_MAX_RANK] = {0};
    for (int i = 0; i < rank - 2; i++) {
        int at_p = i - (rank - p.rank), at_q = i - (rank - q.rank);
        int64_t m = at_p >= 0 ? p.dims[at_p] : 1, n = at_q >= 0 ? q.dims[at_q] : 1;
        batch[i] = m == 1 ? n : m;
    }
    a = with_batch(ir, a, rank, batch);
    return fanin__emit_matmul(ir, a, with_batch(ir, b, rank, batch));
}

void fanin__lower_matmul(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    int a = fanin__lower_in(l, 0), b = fanin__lower_in(l, 1);
    if (a < 0 || b < 0) return;
    fanin__node p = ir->nodes[a], q = ir->nodes[b];
    if (p.rank == 0 || q.rank == 0) {
        fanin__ir_fail(ir, FANIN_SHAPE, "an operand is a scalar");
        return;
    }
    if (p.rank == 1) a = fanin__emit_reshape(ir, a, 2, (int64_t[]){1, p.dims[0]});
    if (q.rank == 1) b = fanin__emit_reshape(ir, b, 2, (int64_t[]){q.dims[0], 1});
    int y = batched(ir, a, b);
    if (y >= 0 && (p.rank == 1 || q.rank == 1)) {
        fanin__node n = ir->nodes[y];
        int64_t dims[FANIN_MAX_RANK];
        int rank = 0;
        for (int i = 0; i < n.rank; i++) {
            bool added = (i == n.rank - 2 && p.rank == 1) || (i == n.rank - 1 && q.rank == 1);
            if (!added) dims[rank++] = n.dims[i];
        }
        y = fanin__emit_reshape(ir, y, rank, dims);
    }
    fanin__lower_out(l, 0, y);
}

/* ---- Einsum ----------------------------------------------------------------------------- */

/* One operand or result: a letter an axis. */
typedef struct letters {
    int count;
    char at[FANIN_MAX_RANK];
} letters;

static int find_letter(const letters *t, char c) {
    for (int i = 0; i < t->count; i++)
        if (t->at[i] == c) return i;
    return -1;
}

static bool read_letters(const char **s, letters *t) {
    t->count = 0;
    for (; **s && **s != ',' && **s != '-'; (*s)++) {
        if (**s == ' ') continue;
        bool letter = (**s >= 'a' && **s <= 'z') || (**s >= 'A' && **s <= 'Z');
        if (!letter || t->count == FANIN_MAX_RANK || find_letter(t, **s) >= 0) return false;
        t->at[t->count++] = **s;
    }
    return true;
}

/* Axes of x (lettered `from`) in the order `to`; letters that x lacks become axes of size 1. */
static int arrange(fanin__ir *ir, int x, const letters *from, const letters *to) {
    if (x < 0) return -1;
    int64_t perm[FANIN_MAX_RANK], dims[FANIN_MAX_RANK];
    int k = 0;
    for (int i = 0; i < to->count; i++) {
        int at = find_letter(from, to->at[i]);
        dims[i] = at < 0 ? 1 : ir->nodes[x].dims[at];
        if (at >= 0) perm[k++] = at;
    }
    return fanin__emit_reshape(ir, fanin__emit_transpose(ir, x, perm), to->count, dims);
}

/* Sums x over its letters that are in neither `a` nor `b`. */
static int sum_out(fanin__ir *ir, int x, letters *t, const letters *a, const letters *b) {
    unsigned mask = 0;
    letters kept = {0};
    for (int i = 0; i < t->count; i++) {
        if (find_letter(a, t->at[i]) < 0 && (!b || find_letter(b, t->at[i]) < 0))
            mask |= 1u << i;
        else
            kept.at[kept.count++] = t->at[i];
    }
    *t = kept;
    return mask ? fanin__emit_reduce(ir, FANIN__SUM, x, mask, false) : x;
}

static int64_t flat(const fanin__node *n, int from, int to) {
    int64_t size = 1;
    for (int i = from; i < to; i++) size *= n->dims[i];
    return size;
}

/* Two operands: batch letters, letters of one side, contracted letters; one batched product. */
static int contract(fanin__ir *ir, int a, letters ta, int b, letters tb, const letters *out) {
    a = sum_out(ir, a, &ta, out, &tb);
    b = sum_out(ir, b, &tb, out, &ta);
    letters la = {0}, lb = {0}, result = {0};
    int nb = 0, nm = 0, nn = 0, nk = 0;
#define PUSH(t, c) (t).at[(t).count++] = (c)
    for (int i = 0; i < ta.count; i++)
        if (find_letter(&tb, ta.at[i]) >= 0 && find_letter(out, ta.at[i]) >= 0) {
            PUSH(la, ta.at[i]);
            PUSH(lb, ta.at[i]);
            PUSH(result, ta.at[i]);
            nb++;
        }
    for (int i = 0; i < ta.count; i++)
        if (find_letter(&tb, ta.at[i]) < 0) {
            PUSH(la, ta.at[i]);
            PUSH(result, ta.at[i]);
            nm++;
        }
    for (int i = 0; i < ta.count; i++)
        if (find_letter(&tb, ta.at[i]) >= 0 && find_letter(out, ta.at[i]) < 0) {
            PUSH(la, ta.at[i]);
            PUSH(lb, ta.at[i]);
            nk++;
        }
    for (int i = 0; i < tb.count; i++)
        if (find_letter(&ta, tb.at[i]) < 0) {
            PUSH(lb, tb.at[i]);
            if (result.count == FANIN_MAX_RANK) {
                return fanin__ir_fail(ir, FANIN_LIMIT, "einsum of more than %d axes",
                                      FANIN_MAX_RANK);
            }
            PUSH(result, tb.at[i]);
            nn++;
        }
#undef PUSH
    a = arrange(ir, a, &ta, &la);
    b = arrange(ir, b, &tb, &lb);
    if (a < 0 || b < 0) return -1;
    fanin__node p = ir->nodes[a], q = ir->nodes[b];
    int64_t B = flat(&p, 0, nb), M = flat(&p, nb, nb + nm), K = flat(&p, nb + nm, p.rank);
    int64_t N = flat(&q, nb + nk, q.rank), dims[FANIN_MAX_RANK];
    a = fanin__emit_reshape(ir, a, 3, (int64_t[]){B, M, K});
    b = fanin__emit_reshape(ir, b, 3, (int64_t[]){flat(&q, 0, nb), flat(&q, nb, nb + nk), N});
    for (int i = 0; i < nb + nm; i++) dims[i] = p.dims[i];
    for (int i = 0; i < nn; i++) dims[nb + nm + i] = q.dims[nb + nk + i];
    int y = fanin__emit_reshape(ir, fanin__emit_matmul(ir, a, b), result.count, dims);
    return arrange(ir, y, &result, out);
}

/* Without '->': the letters that occur once, in alphabetical order. */
static void once(const letters *t, int count, letters *out) {
    for (int c = 'A'; c <= 'z'; c++) {
        int seen = 0;
        for (int i = 0; i < count; i++) seen += find_letter(&t[i], (char)c) >= 0;
        if (seen == 1 && out->count < FANIN_MAX_RANK) out->at[out->count++] = (char)c;
    }
}

/* Up to two operands, letters only (no ellipsis, no repeated letter in one operand). */
void fanin__lower_einsum(fanin__lowering *l, int arg) {
    (void)arg;
    const char *s = fanin__lower_string(l, "equation", "");
    letters t[2], out = {0};
    int count = l->node->input_count;
    bool fine = count == 1 || count == 2;
    for (int i = 0; fine && i < count; i++) {
        fine = read_letters(&s, &t[i]);
        if (i + 1 < count) fine = fine && *s++ == ',';
    }
    if (fine && s[0] == '-' && s[1] == '>') {
        s += 2;
        fine = read_letters(&s, &out);
    } else if (fine && !*s) {
        once(t, count, &out);
    } else {
        fine = false;
    }
    int x[2] = {-1, -1};
    for (int i = 0; fine && i < count; i++) {
        x[i] = fanin__lower_in(l, i);
        fine = x[i] >= 0 && l->ir->nodes[x[i]].rank == t[i].count;
    }
    for (int i = 0; fine && i < out.count; i++)
        fine = find_letter(&t[0], out.at[i]) >= 0 ||
               (count == 2 && find_letter(&t[1], out.at[i]) >= 0);
    if (!fine) {
        fanin__lower_fail(l, "this equation is not implemented: up to two operands, one letter an "
                             "axis, '->' and the result's letters");
        return;
    }
    if (count == 1) {
        x[0] = sum_out(l->ir, x[0], &t[0], &out, NULL);
        fanin__lower_out(l, 0, arrange(l->ir, x[0], &t[0], &out));
    } else {
        fanin__lower_out(l, 0, contract(l->ir, x[0], t[0], x[1], t[1], &out));
    }
}
