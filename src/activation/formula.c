/* Formulas in x, compiled to a postfix program that carries three derivatives forward.
 *
 * Every value on the stack is a jet (f, f', f'', f''' with respect to x); an operation is the
 * chain rule on jets, so a formula's derivatives are as exact as its value. While a program runs
 * it can also note which way each branch went; kinks are the places where that note changes. */
#include <math.h>
#include <string.h>

#include "activation/activation.h"
#include "base/base.h"

#define MAX_TEXT  4096
#define MAX_DEPTH 64
#define MAX_CODE  1024
#define MAX_STACK 64
#define MAX_KINKS 64
#define REACH     100.0 /* kinks are looked for in [-REACH, REACH] ... */
#define PER_UNIT  64    /* ... on a grid this fine; 0 and all integers are grid points */

enum op {
    OP_NUMBER,
    OP_X,
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_POW,
    OP_NEG,
    OP_MAX,
    OP_MIN,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_EQ,
    OP_NE,
    OP_AND,
    OP_OR,
    OP_SELECT,
    OP_EXP,
    OP_LOG,
    OP_SQRT,
    OP_ATAN,
    OP_ROW
};

typedef struct instruction {
    int op, row;
    double number;
} instruction;

struct fanin__formula {
    instruction *code;
    int length;
    double kinks[MAX_KINKS];
    size_t kink_count;
    bool jumps;
};

/* ---- parsing --------------------------------------------------------------------------- */

typedef struct parser {
    const char *text, *at;
    instruction code[MAX_CODE];
    int length, stack, depth;
    fanin_err *err;
    fanin_status status;
} parser;

static void fail(parser *p, fanin_status status, const char *what) {
    if (p->status != FANIN_OK) return;
    p->status = status;
    size_t offset = (size_t)(p->at - p->text);
    fanin_err_set(p->err, status, "formula '%.80s': %s at character %zu ('%.12s')", p->text, what,
                  offset + 1, p->at);
    if (p->err) p->err->position = (int64_t)offset;
}

static int arity(int op) {
    if (op == OP_NUMBER || op == OP_X) return 0;
    if (op == OP_NEG || op >= OP_EXP) return 1;
    return op == OP_SELECT ? 3 : 2;
}

static void emit(parser *p, int op, int row, double number) {
    if (p->status != FANIN_OK) return;
    if (p->length == MAX_CODE) {
        fail(p, FANIN_LIMIT, "too many operations");
        return;
    }
    p->stack += 1 - arity(op);
    if (p->stack > MAX_STACK) {
        fail(p, FANIN_LIMIT, "too many open terms");
        return;
    }
    p->code[p->length++] = (instruction){op, row, number};
}

static void skip(parser *p) {
    while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r') p->at++;
}

static bool take(parser *p, const char *token) {
    skip(p);
    size_t n = strlen(token);
    if (strncmp(p->at, token, n) != 0) return false;
    p->at += n;
    return true;
}

static void want(parser *p, const char *token, const char *message) {
    if (!take(p, token)) fail(p, FANIN_ARG, message);
}

static void ternary(parser *p);

static const struct {
    const char *name;
    int op;
} functions[] = {{"exp", OP_EXP},   {"log", OP_LOG}, {"ln", OP_LOG}, {"sqrt", OP_SQRT},
                 {"atan", OP_ATAN}, {"max", OP_MAX}, {"min", OP_MIN}};

static bool name_in(const char *list, const char *name) {
    size_t n = strlen(name);
    for (const char *s = list; (s = strstr(s, name)) != NULL; s += n)
        if ((s == list || s[-1] == ' ') && (s[n] == 0 || s[n] == ' ')) return true;
    return false;
}

static int row_named(const char *name) {
    for (size_t i = 0; i < fanin_activation_count(); i++) {
        const fanin_activation_row *row = fanin_activation_row_at(i);
        if (strcmp(row->name, name) == 0 || name_in(row->aliases, name)) return row->id;
    }
    return 0;
}

static bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool digit(char c) { return c >= '0' && c <= '9'; }

static void call(parser *p, const char *name) {
    int op = -1, row = 0;
    for (size_t i = 0; i < FANIN_COUNT(functions); i++)
        if (strcmp(functions[i].name, name) == 0) op = functions[i].op;
    if (op < 0 && (row = row_named(name)) != 0) op = OP_ROW;
    if (op < 0) {
        fail(p, FANIN_ARG, "unknown function before");
        return;
    }
    ternary(p);
    if (op == OP_MAX || op == OP_MIN) {
        want(p, ",", "expected ',' and a second argument");
        ternary(p);
    }
    want(p, ")", "expected ')'");
    emit(p, op, row, 0);
}

static void word(parser *p) {
    char name[32];
    size_t n = 0;
    const char *start = p->at;
    while (letter(*p->at) || digit(*p->at)) {
        char c = *p->at++;
        if (n + 1 < sizeof name) name[n++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    name[n] = 0;
    if (take(p, "(")) {
        call(p, name);
    } else if (strcmp(name, "x") == 0) {
        emit(p, OP_X, 0, 0);
    } else if (strcmp(name, "pi") == 0) {
        emit(p, OP_NUMBER, 0, 3.14159265358979323846);
    } else if (strcmp(name, "e") == 0) {
        emit(p, OP_NUMBER, 0, 2.71828182845904523536);
    } else {
        p->at = start;
        fail(p, FANIN_ARG, "expected x, pi, e or a function");
    }
}

static void primary(parser *p) {
    skip(p);
    if (take(p, "(")) {
        ternary(p);
        want(p, ")", "expected ')'");
    } else if (digit(*p->at) || *p->at == '.') {
        const char *end;
        double value = fanin__parse_double(p->at, &end);
        if (end == p->at || !isfinite(value)) {
            fail(p, FANIN_ARG, "not a number");
            return;
        }
        p->at = end;
        emit(p, OP_NUMBER, 0, value);
    } else if (letter(*p->at)) {
        word(p);
    } else {
        fail(p, FANIN_ARG, *p->at ? "expected a value" : "ends too early");
    }
}

/* Every way to recurse passes here or through ternary(): the depth is counted in both. */
static bool deeper(parser *p) {
    if (p->status != FANIN_OK) return false;
    if (++p->depth <= MAX_DEPTH) return true;
    fail(p, FANIN_LIMIT, "nested too deeply");
    return false;
}

static void unary(parser *p) {
    if (!deeper(p)) return;
    if (take(p, "-")) {
        unary(p);
        emit(p, OP_NEG, 0, 0);
    } else if (take(p, "+")) {
        unary(p);
    } else {
        primary(p);
        if (take(p, "^")) {
            unary(p);
            emit(p, OP_POW, 0, 0);
        }
    }
    p->depth--;
}

static const struct {
    const char *token;
    int level, op;
} operators[] = {{"||", 0, OP_OR}, {"&&", 1, OP_AND}, {"<=", 2, OP_LE}, {">=", 2, OP_GE},
                 {"==", 2, OP_EQ}, {"!=", 2, OP_NE},  {"<", 2, OP_LT},  {">", 2, OP_GT},
                 {"+", 3, OP_ADD}, {"-", 3, OP_SUB},  {"*", 4, OP_MUL}, {"/", 4, OP_DIV}};

static void binary(parser *p, int level) {
    if (level > 4) {
        unary(p);
        return;
    }
    binary(p, level + 1);
    for (bool again = true; again && p->status == FANIN_OK;) {
        again = false;
        for (size_t i = 0; i < FANIN_COUNT(operators) && !again; i++) {
            if (operators[i].level != level || !take(p, operators[i].token)) continue;
            binary(p, level + 1);
            emit(p, operators[i].op, 0, 0);
            again = true;
        }
    }
}

static void ternary(parser *p) {
    if (!deeper(p)) return;
    binary(p, 0);
    if (take(p, "?")) {
        ternary(p);
        want(p, ":", "expected ':'");
        ternary(p);
        emit(p, OP_SELECT, 0, 0);
    }
    p->depth--;
}

/* ---- running --------------------------------------------------------------------------- */

typedef double jet[4];

static void set(jet d, double a, double b, double c, double e) {
    d[0] = a;
    d[1] = b;
    d[2] = c;
    d[3] = e;
}

static void multiply(jet a, const jet b) {
    double y3 = a[3] * b[0] + 3 * (a[2] * b[1] + a[1] * b[2]) + a[0] * b[3];
    double y2 = a[2] * b[0] + 2 * a[1] * b[1] + a[0] * b[2];
    double y1 = a[1] * b[0] + a[0] * b[1];
    set(a, a[0] * b[0], y1, y2, y3);
}

static void divide(jet a, const jet b) {
    double i = 1 / b[0];
    double y0 = a[0] / b[0];
    double y1 = (a[1] - y0 * b[1]) * i;
    double y2 = (a[2] - 2 * y1 * b[1] - y0 * b[2]) * i;
    double y3 = (a[3] - 3 * (y2 * b[1] + y1 * b[2]) - y0 * b[3]) * i;
    set(a, y0, y1, y2, y3);
}

static void outer(jet a, const double g[4]) {
    jet d;
    fanin__jet_compose(g, a, d);
    set(a, d[0], d[1], d[2], d[3]);
}

static void log_of(jet a) {
    double i = 1 / a[0], g[4] = {log(a[0]), i, -i * i, 2 * i * i * i};
    outer(a, g);
}

static void exp_of(jet a) {
    double e = exp(a[0]), g[4] = {e, e, e, e};
    outer(a, g);
}

static double falling(double u, double c, int k) {
    double coefficient = 1;
    for (int i = 0; i < k; i++) coefficient *= c - i;
    return coefficient == 0 ? 0 : coefficient * pow(u, c - k);
}

static void power(jet a, const jet b) {
    if (b[1] == 0 && b[2] == 0 && b[3] == 0) { /* x^c: negative x with whole c is fine */
        double g[4];
        for (int k = 0; k < 4; k++) g[k] = falling(a[0], b[0], k);
        outer(a, g);
    } else {
        double value = pow(a[0], b[0]);
        log_of(a);
        multiply(a, b);
        exp_of(a);
        a[0] = value;
    }
}

/* Applies a function of one argument; returns the branch it took. */
static unsigned apply(const instruction *in, jet a) {
    static const double none[2] = {0, 0};
    double u = a[0], g[4];
    switch (in->op) {
    case OP_NEG: set(a, -a[0], -a[1], -a[2], -a[3]); return 0;
    case OP_EXP: exp_of(a); return 0;
    case OP_LOG: log_of(a); return 0;
    case OP_SQRT: {
        double r = sqrt(u), i = 1 / u;
        set(g, r, 0.5 * r * i, -0.25 * r * i * i, 0.375 * r * i * i * i);
        outer(a, g);
        return 0;
    }
    case OP_ATAN: {
        double i = 1 / (1 + u * u);
        set(g, atan(u), i, -2 * u * i * i, (6 * u * u - 2) * i * i * i);
        outer(a, g);
        return 0;
    }
    default: break;
    }
    const fanin__act *row = fanin__act_find(in->row);
    const double *p = row ? row->row.defaults : none;
    if (!row) return 0;
    row->jet(p, u, g);
    outer(a, g);
    if (!row->pieces) return row->kink_at_0 && u > 0;
    fanin__piece pieces[4];
    unsigned branch = 0;
    int count = row->pieces(p, pieces);
    for (int i = 0; i + 1 < count; i++) branch += u > pieces[i].end;
    return branch;
}

static bool compare(int op, double a, double b) {
    switch (op) {
    case OP_LT: return a < b;
    case OP_LE: return a <= b;
    case OP_GT: return a > b;
    case OP_GE: return a >= b;
    case OP_EQ: return a == b;
    case OP_NE: return a != b;
    case OP_AND: return a != 0 && b != 0;
    default: return a != 0 || b != 0;
    }
}

/* a <- a op b; returns the branch it took. */
static unsigned combine(int op, jet a, const jet b) {
    switch (op) {
    case OP_ADD:
        for (int k = 0; k < 4; k++) a[k] += b[k];
        return 0;
    case OP_SUB:
        for (int k = 0; k < 4; k++) a[k] -= b[k];
        return 0;
    case OP_MUL: multiply(a, b); return 0;
    case OP_DIV: divide(a, b); return 0;
    case OP_POW: power(a, b); return 0;
    case OP_MAX:
    case OP_MIN: {
        /* On a tie the side that is smaller just left of here: relu'(0) = 0 as max(x, 0). */
        bool other = op == OP_MAX ? b[0] > a[0] : b[0] < a[0];
        if (a[0] == b[0]) other = op == OP_MAX ? b[1] < a[1] : b[1] > a[1];
        if (isnan(b[0])) other = true;
        if (other) memcpy(a, b, sizeof(jet));
        return other;
    }
    default: {
        bool yes = compare(op, a[0], b[0]);
        set(a, yes, 0, 0, 0);
        return yes;
    }
    }
}

/* Runs the program; the note of branches goes to *path when that is not NULL. */
static void run(const fanin__formula *f, double x, double d[4], uint64_t *path) {
    jet stack[MAX_STACK + 1];
    int top = -1;
    uint64_t note = 1469598103934665603u;
    for (int i = 0; i < f->length; i++) {
        const instruction *in = &f->code[i];
        unsigned branch = 0;
        switch (arity(in->op)) {
        case 0:
            top++;
            if (in->op == OP_X)
                set(stack[top], x, 1, 0, 0);
            else
                set(stack[top], in->number, 0, 0, 0);
            break;
        case 1: branch = apply(in, stack[top]); break;
        case 2:
            top--;
            branch = combine(in->op, stack[top], stack[top + 1]);
            break;
        default:
            top -= 2;
            branch = stack[top][0] != 0;
            memcpy(stack[top], stack[branch ? top + 1 : top + 2], sizeof(jet));
            break;
        }
        note = (note ^ branch) * 1099511628211u;
    }
    memcpy(d, stack[0], sizeof(jet));
    if (path) *path = note;
}

void fanin__formula_jet(const fanin__formula *formula, double x, double d[4]) {
    run(formula, x, d, NULL);
}

/* ---- kinks ----------------------------------------------------------------------------- */

static uint64_t path_at(const fanin__formula *f, double x) {
    double d[4];
    uint64_t path;
    run(f, x, d, &path);
    return path;
}

static void insert_kink(fanin__formula *f, double k) {
    for (size_t i = 0; i < f->kink_count; i++)
        if (fabs(f->kinks[i] - k) <= 1e-12 * (1 + fabs(k))) return;
    if (f->kink_count == MAX_KINKS) return;
    size_t i = f->kink_count++;
    for (; i > 0 && f->kinks[i - 1] > k; i--) f->kinks[i] = f->kinks[i - 1];
    f->kinks[i] = k;
}

/* The path changes between two neighbouring numbers; it is a kink if f, f' or f'' jumps there. */
static void weigh_kink(fanin__formula *f, double lo, double hi) {
    double a[4], b[4];
    bool kink = false;
    run(f, lo - 1e-14 * fabs(lo), a, NULL);
    run(f, hi + 1e-14 * fabs(hi), b, NULL);
    for (int k = 0; k < 3; k++)
        kink = kink || !(fabs(a[k] - b[k]) <= 1e-9 * (1 + fabs(a[k]) + fabs(b[k])));
    if (fabs(a[0] - b[0]) > 1e-9 * (1 + fabs(a[0]) + fabs(b[0]))) f->jumps = true;
    if (kink) insert_kink(f, fabs(lo) < fabs(hi) ? lo : hi);
}

/* All changes of path in (a, b), whose ends are known to differ. */
static void bisect(fanin__formula *f, double a, double b, uint64_t at_b) {
    for (int changes = 0; changes < MAX_KINKS && f->kink_count < MAX_KINKS; changes++) {
        uint64_t at_a = path_at(f, a);
        if (at_a == at_b || !(a < b)) return;
        double lo = a, hi = b;
        for (int i = 0; i < 1200; i++) {
            double mid = lo + 0.5 * (hi - lo);
            if (mid <= lo || mid >= hi) break;
            if (path_at(f, mid) == at_a)
                lo = mid;
            else
                hi = mid;
        }
        weigh_kink(f, lo, hi);
        a = hi;
    }
}

static void find_kinks(fanin__formula *f) {
    double before = -REACH;
    uint64_t path = path_at(f, before);
    for (int i = 1; i <= 2 * (int)REACH * PER_UNIT && f->kink_count < MAX_KINKS; i++) {
        double x = -REACH + (double)i / PER_UNIT;
        uint64_t here = path_at(f, x);
        if (here != path) bisect(f, before, x, here);
        path = here;
        before = x;
    }
}

/* "@ -1,1" after the formula: kinks that the user knows of. */
static void given_kinks(parser *p, fanin__formula *f) {
    do {
        skip(p);
        const char *end;
        double k = fanin__parse_double(p->at, &end);
        if (end == p->at || !isfinite(k)) {
            fail(p, FANIN_ARG, "expected the place of a kink");
            return;
        }
        p->at = end;
        insert_kink(f, k);
    } while (take(p, ","));
}

/* ---- objects --------------------------------------------------------------------------- */

static fanin_status build(parser *p, fanin__formula *f) {
    ternary(p);
    FANIN_TRY(p->status);
    f->length = p->length;
    f->code = fanin_calloc((size_t)f->length, sizeof *f->code);
    if (!f->code) return fanin_err_set(p->err, FANIN_NOMEM, "formula: no memory");
    memcpy(f->code, p->code, (size_t)f->length * sizeof *f->code);
    find_kinks(f);
    if (take(p, "@")) given_kinks(p, f);
    skip(p);
    if (*p->at) fail(p, FANIN_ARG, "expected the end");
    return p->status;
}

fanin_status fanin__formula_create(const char *text, fanin__formula **out, fanin_err *err) {
    *out = NULL;
    if (strlen(text) > MAX_TEXT)
        return fanin_err_set(err, FANIN_LIMIT, "formula: longer than %d characters", MAX_TEXT);
    parser *p = fanin_calloc(1, sizeof *p);
    fanin__formula *f = fanin_calloc(1, sizeof *f);
    fanin_status status = FANIN_NOMEM;
    if (p && f) {
        p->text = p->at = text;
        p->err = err;
        status = build(p, f);
    } else {
        fanin_err_set(err, FANIN_NOMEM, "formula: no memory");
    }
    fanin_free(p);
    if (status != FANIN_OK)
        fanin__formula_destroy(f);
    else
        *out = f;
    return status;
}

void fanin__formula_destroy(fanin__formula *formula) {
    if (!formula) return;
    fanin_free(formula->code);
    fanin_free(formula);
}

size_t fanin__formula_kinks(const fanin__formula *formula, const double **kinks) {
    *kinks = formula->kinks;
    return formula->kink_count;
}

bool fanin__formula_jumps(const fanin__formula *formula) { return formula->jumps; }
