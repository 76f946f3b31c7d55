/* onnx_einsum.c - Einsum: diagonals are cut out first, then operands are contracted from left to right,
 * each pair as one batched product. */
#include <string.h>

#include "operator/onnx.h"

/* The axes of one operand or result: a letter each; axes that '...' stands for are '0', '1', ..., counted
 * from the last one. */
typedef struct letters {
    int count;
    char at[FANIN_MAX_RANK];
} letters;

enum { OPERANDS = 16 };

typedef struct equation {
    int count, id[OPERANDS]; /* operands: nodes and their letters */
    letters of[OPERANDS], out;
    int64_t size[128]; /* by letter */
} equation;

static int find_letter(const letters *t, char c) {
    for (int i = 0; i < t->count; i++)
        if (t->at[i] == c) return i;
    return -1;
}

static bool push(letters *t, char c) {
    if (t->count == FANIN_MAX_RANK) return false;
    t->at[t->count++] = c;
    return true;
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* One term; `extra` axes for its ellipsis. */
static bool read_term(const char **s, int extra, letters *t) {
    bool ellipsis = false;
    t->count = 0;
    for (; **s && **s != ',' && **s != '-'; (*s)++) {
        if (**s == ' ') continue;
        if (is_letter(**s)) {
            if (!push(t, **s)) return false;
        } else {
            if (strncmp(*s, "...", 3) != 0 || ellipsis) return false;
            ellipsis = true;
            *s += 2;
            for (int i = extra - 1; i >= 0; i--)
                if (!push(t, (char)('0' + i))) return false;
        }
    }
    return true;
}

static int letters_in(const char *s) {
    int n = 0;
    for (; *s && *s != ',' && *s != '-'; s++) n += is_letter(*s);
    return n;
}

/* ---- one operand ------------------------------------------------------------------------ */

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

/* A letter that names two axes: those become the last two, are read as one, of which every n + 1st element
 * is on the diagonal. */
static int diagonal(fanin__ir *ir, int x, letters *t, int first, int second) {
    int64_t perm[FANIN_MAX_RANK], dims[FANIN_MAX_RANK];
    letters left = {0};
    for (int i = 0; i < t->count; i++)
        if (i != first && i != second) {
            perm[left.count] = i;
            left.at[left.count++] = t->at[i];
        }
    perm[left.count] = first;
    perm[left.count + 1] = second;
    x = fanin__emit_transpose(ir, x, perm);
    if (x < 0) return -1;
    int64_t n = ir->nodes[x].dims[left.count];
    int64_t start[FANIN_MAX_RANK] = {0}, step[FANIN_MAX_RANK];
    for (int i = 0; i < left.count; i++) {
        dims[i] = ir->nodes[x].dims[i];
        step[i] = 1;
    }
    dims[left.count] = n * n;
    step[left.count] = n + 1;
    x = fanin__emit_reshape(ir, x, left.count + 1, dims);
    dims[left.count] = n;
    left.at[left.count++] = t->at[first];
    *t = left;
    return fanin__emit_slice(ir, x, start, step, dims);
}

static int take_diagonals(fanin__ir *ir, int x, letters *t) {
    for (int i = 0; i < t->count; i++)
        for (int j = i + 1; j < t->count && x >= 0; j++)
            if (t->at[i] == t->at[j]) {
                x = diagonal(ir, x, t, i, j);
                i = -1;
                break;
            }
    return x;
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

/* ---- two operands ----------------------------------------------------------------------- */

static int64_t flat(const fanin__node *n, int from, int to) {
    int64_t size = 1;
    for (int i = from; i < to; i++) size *= n->dims[i];
    return size;
}

/* Batch letters, letters of one side, contracted letters: one batched product, lettered *result. What is
 * not in `out` is summed over. */
static int contract(fanin__ir *ir, int a, letters ta, int b, letters tb, const letters *out,
                    letters *result) {
    a = sum_out(ir, a, &ta, out, &tb);
    b = sum_out(ir, b, &tb, out, &ta);
    letters la = {0}, lb = {0}, contracted = {0};
    int batch, left, right = 0;
    *result = (letters){0};
    for (int i = 0; i < ta.count; i++) {
        if (find_letter(&tb, ta.at[i]) < 0) continue;
        push(find_letter(out, ta.at[i]) >= 0 ? result : &contracted, ta.at[i]);
    }
    la = lb = *result;
    batch = result->count;
    for (int i = 0; i < ta.count; i++)
        if (find_letter(&tb, ta.at[i]) < 0) {
            push(&la, ta.at[i]);
            push(result, ta.at[i]);
        }
    left = result->count - batch;
    for (int i = 0; i < contracted.count; i++) {
        push(&la, contracted.at[i]);
        push(&lb, contracted.at[i]);
    }
    for (int i = 0; i < tb.count; i++)
        if (find_letter(&ta, tb.at[i]) < 0) {
            push(&lb, tb.at[i]);
            if (!push(result, tb.at[i]))
                return fanin__ir_fail(ir, FANIN_LIMIT, "einsum of more than %d axes",
                                      FANIN_MAX_RANK);
            right++;
        }
    a = arrange(ir, a, &ta, &la);
    b = arrange(ir, b, &tb, &lb);
    if (a < 0 || b < 0) return -1;
    fanin__node p = ir->nodes[a], q = ir->nodes[b];
    int from = batch + contracted.count;
    int64_t B = flat(&p, 0, batch), M = flat(&p, batch, batch + left);
    int64_t K = flat(&q, batch, from), N = flat(&q, from, q.rank), dims[FANIN_MAX_RANK];
    a = fanin__emit_reshape(ir, a, 3, (int64_t[]){B, M, K});
    b = fanin__emit_reshape(ir, b, 3, (int64_t[]){B, K, N});
    for (int i = 0; i < batch + left; i++) dims[i] = p.dims[i];
    for (int i = 0; i < right; i++) dims[batch + left + i] = q.dims[from + i];
    return fanin__emit_reshape(ir, fanin__emit_matmul(ir, a, b), result->count, dims);
}

/* ---- the equation ----------------------------------------------------------------------- */

/* Without '->': the ellipsis, then the letters that occur once, in alphabetical order. */
static bool implied(equation *e, int extra) {
    e->out.count = 0;
    for (int i = extra - 1; i >= 0; i--)
        if (!push(&e->out, (char)('0' + i))) return false;
    for (int c = 'A'; c <= 'z'; c++) {
        int seen = 0;
        for (int i = 0; i < e->count; i++)
            for (int k = 0; k < e->of[i].count; k++) seen += e->of[i].at[k] == c;
        if (seen == 1 && !push(&e->out, (char)c)) return false;
    }
    return true;
}

/* Letters of all terms; false: not an equation for these operands. */
static bool read_equation(fanin__lowering *l, const char *s, equation *e) {
    int widest = 0;
    for (int i = 0; i < e->count; i++) {
        int extra = l->ir->nodes[e->id[i]].rank - letters_in(s);
        if (extra < 0 || !read_term(&s, extra, &e->of[i])) return false;
        if (e->of[i].count != l->ir->nodes[e->id[i]].rank) return false;
        if (i + 1 < e->count && *s++ != ',') return false;
        for (int k = 0; k < e->of[i].count; k++)
            if (!is_letter(e->of[i].at[k]) && extra > widest) widest = extra;
    }
    if (!*s) return implied(e, widest);
    if (strncmp(s, "->", 2) != 0) return false;
    s += 2;
    if (!read_term(&s, widest, &e->out) || *s) return false;
    for (int k = 0; k < e->out.count; k++) {
        bool found = false;
        for (int i = 0; i < e->count; i++)
            found = found || find_letter(&e->of[i], e->out.at[k]) >= 0;
        if (!found || find_letter(&e->out, e->out.at[k]) != k) return false;
    }
    return true;
}

/* One size a letter; axes of an ellipsis that have one element repeat. */
static bool agree(fanin__lowering *l, equation *e) {
    fanin__ir *ir = l->ir;
    for (int i = 0; i < e->count; i++)
        for (int k = 0; k < e->of[i].count; k++) {
            int c = e->of[i].at[k];
            int64_t have = ir->nodes[e->id[i]].dims[k], *size = &e->size[c];
            if (*size < 0 || (!is_letter((char)c) && *size == 1)) *size = have;
            if (have == *size || (!is_letter((char)c) && have == 1)) continue;
            fanin__ir_fail(ir, FANIN_SHAPE, "operand %d has %lld elements where another has %lld",
                           i, (long long)have, (long long)*size);
            return false;
        }
    for (int i = 0; i < e->count; i++) {
        int64_t dims[FANIN_MAX_RANK];
        for (int k = 0; k < e->of[i].count; k++) dims[k] = e->size[(int)e->of[i].at[k]];
        e->id[i] = fanin__emit_broadcast(ir, e->id[i], e->of[i].count, dims);
        e->id[i] = take_diagonals(ir, e->id[i], &e->of[i]);
    }
    return !ir->failed;
}

/* Letters that the result or operands from `next` on still want. */
static bool still_wanted(const equation *e, int next, char c) {
    bool wanted = find_letter(&e->out, c) >= 0;
    for (int i = next; i < e->count; i++) wanted = wanted || find_letter(&e->of[i], c) >= 0;
    return wanted;
}

void fanin__lower_einsum(fanin__lowering *l, int arg) {
    (void)arg;
    fanin__ir *ir = l->ir;
    const char *text = fanin__lower_string(l, "equation", "");
    equation e = {.count = l->node->input_count};
    memset(e.size, -1, sizeof e.size);
    if (e.count < 1 || e.count > OPERANDS) {
        fanin__ir_fail(ir, FANIN_LIMIT, "%d operands, one to %d are implemented", e.count,
                       OPERANDS);
        return;
    }
    for (int i = 0; i < e.count; i++)
        if ((e.id[i] = fanin__lower_in(l, i)) < 0) return;
    if (!read_equation(l, text, &e)) {
        fanin__ir_fail(ir, FANIN_SHAPE, "equation '%.60s' does not describe these %d operands",
                       text, e.count);
        return;
    }
    if (!agree(l, &e)) return;
    int y = e.id[0];
    letters t = e.of[0];
    for (int i = 1; i < e.count && y >= 0; i++) {
        letters wanted = {0}, result;
        for (int k = 0; k < t.count; k++)
            if (still_wanted(&e, i + 1, t.at[k])) push(&wanted, t.at[k]);
        for (int k = 0; k < e.of[i].count; k++)
            if (still_wanted(&e, i + 1, e.of[i].at[k]) && find_letter(&wanted, e.of[i].at[k]) < 0 &&
                !push(&wanted, e.of[i].at[k])) {
                fanin__ir_fail(ir, FANIN_LIMIT, "einsum of more than %d axes", FANIN_MAX_RANK);
                return;
            }
        y = contract(ir, y, t, e.id[i], e.of[i], &wanted, &result);
        t = result;
    }
    y = sum_out(ir, y, &t, &e.out, NULL);
    fanin__lower_out(l, 0, arrange(ir, y, &t, &e.out));
}
