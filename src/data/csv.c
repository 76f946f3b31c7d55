/* csv.c - a table as a data set: which column is the label, which rows are data, what the classes are. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/store.h"
#include "data/table.h"

typedef struct view {
    const fanin__table *t;
    const char *what;
    size_t first; /* row of data: 1 below a header */
    size_t label; /* column */
} view;

/* A finite number and nothing else but blanks around it. */
static bool number(const char *cell, double *value) {
    const char *end;
    while (*cell == ' ') cell++;
    *value = fanin__parse_double(cell, &end);
    if (end == cell) return false;
    while (*end == ' ') end++;
    return *end == '\0' && isfinite(*value);
}

static bool row_has_number(const fanin__table *t, size_t row) {
    double v;
    for (size_t c = 0; c < t->columns; c++)
        if (number(fanin__table_cell(t, row, c), &v)) return true;
    return false;
}

static fanin_status find_label(view *v, const char *label, fanin_err *err) {
    static const char *const usual[] = {"target", "class", "label", "y"};
    const fanin__table *t = v->t;
    const char *end;
    uint64_t at;
    v->label = t->columns - 1;
    for (size_t c = 0; c < t->columns && v->first; c++) {
        const char *name = fanin__table_cell(t, 0, c);
        for (size_t k = 0; k < FANIN_COUNT(usual) && !label; k++)
            if (!fanin__strcasecmp(name, usual[k])) v->label = c;
        if (!label || strcmp(name, label) != 0) continue;
        v->label = c;
        return FANIN_OK;
    }
    if (!label) return FANIN_OK;
    if (fanin__parse_u64(label, &end, &at) && !*end && at >= 1 && at <= t->columns) {
        v->label = (size_t)at - 1;
        return FANIN_OK;
    }
    return fanin_err_set(err, FANIN_ARG, "%s: no column '%s' among %zu", v->what, label,
                         t->columns);
}

static void column_text(const view *v, size_t c, char *buf, size_t size) {
    if (v->first)
        snprintf(buf, size, "'%.60s'", fanin__table_cell(v->t, 0, c));
    else
        snprintf(buf, size, "%zu", c + 1);
}

static fanin_status not_a_number(const view *v, size_t row, size_t c, fanin_err *err) {
    char name[80];
    column_text(v, c, name, sizeof name);
    return fanin_err_set(err, FANIN_FORMAT,
                         "%s: line %zu, column %s: '%.60s', expected a finite number", v->what,
                         v->t->lines[row], name, fanin__table_cell(v->t, row, c));
}

static fanin_status read_inputs(const view *v, fanin__rows *out, fanin_err *err) {
    size_t rows = v->t->rows - v->first, inputs = v->t->columns - 1, count;
    if (!fanin__size_mul(rows, inputs, &count) ||
        !(out->x = fanin_calloc(count + 1, sizeof *out->x)))
        return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", v->what);
    float *x = out->x;
    for (size_t r = v->first; r < v->t->rows; r++)
        for (size_t c = 0; c < v->t->columns; c++) {
            double value;
            if (c == v->label) continue;
            if (!number(fanin__table_cell(v->t, r, c), &value) || !isfinite((float)value))
                return not_a_number(v, r, c, err);
            *x++ = (float)value;
        }
    out->count = rows;
    return FANIN_OK;
}

static const char *label_at(const view *v, size_t r) {
    return fanin__table_cell(v->t, r, v->label);
}

/* Are all labels numbers, and is one of them no whole number? */
static void look_at_labels(const view *v, bool *numbers, bool *fractions) {
    *numbers = true;
    *fractions = false;
    for (size_t r = v->first; r < v->t->rows; r++) {
        double value;
        if (!number(label_at(v, r), &value))
            *numbers = false;
        else if (value != floor(value))
            *fractions = true;
    }
}

static fanin_status read_real(const view *v, fanin__rows *out, fanin_err *err) {
    out->real = fanin_calloc(v->t->rows + 1, sizeof *out->real);
    if (!out->real) return fanin_err_set(err, FANIN_NOMEM, "%s: no memory", v->what);
    for (size_t r = v->first; r < v->t->rows; r++) {
        double value;
        if (!number(label_at(v, r), &value)) return not_a_number(v, r, v->label, err);
        out->real[r - v->first] = (float)value;
    }
    return FANIN_OK;
}

/* Numbers by value before other texts, which go by bytes: a total order. */
static int compare_labels(const void *a, const void *b) {
    const char *s = *(const char *const *)a, *t = *(const char *const *)b;
    double x = 0, y = 0;
    bool p = number(s, &x), q = number(t, &y);
    if (p != q) return p ? -1 : 1;
    if (p && x != y) return x < y ? -1 : 1;
    return strcmp(s, t);
}

/* Classes are the distinct labels, sorted. */
static fanin_status read_classes(const view *v, fanin__rows *out, fanin_err *err) {
    size_t rows = v->t->rows - v->first, classes = 0;
    const char **names = fanin_calloc(rows + 1, sizeof *names);
    out->labels = fanin_calloc(rows + 1, sizeof *out->labels);
    fanin_status status =
        names && out->labels ? FANIN_OK : fanin_err_set(err, FANIN_NOMEM, "%s: no memory", v->what);
    for (size_t r = 0; r < rows && status == FANIN_OK; r++) {
        names[r] = label_at(v, r + v->first);
        char name[80];
        column_text(v, v->label, name, sizeof name);
        if (!names[r][0])
            status = fanin_err_set(err, FANIN_FORMAT, "%s: line %zu, column %s: no class", v->what,
                                   v->t->lines[r + v->first], name);
    }
    if (status == FANIN_OK) {
        qsort(names, rows, sizeof *names, compare_labels);
        for (size_t r = 0; r < rows; r++)
            if (r == 0 || compare_labels(&names[r], &names[classes - 1]))
                names[classes++] = names[r];
        for (size_t r = 0; r < rows; r++) {
            const char *label = label_at(v, r + v->first);
            const char **at = bsearch(&label, names, classes, sizeof *names, compare_labels);
            out->labels[r] = at - names;
        }
    }
    fanin_free(names);
    return status;
}

static fanin_status read_table(view *v, const fanin__table_options *o, fanin_dataset *d,
                               fanin_err *err) {
    const fanin__table *t = v->t;
    bool guess = t->rows > 1 && !row_has_number(t, 0) && row_has_number(t, 1);
    v->first = o->header == 1 || (o->header < 0 && guess);
    if (t->rows <= v->first || t->columns < 2)
        return fanin_err_set(err, FANIN_FORMAT,
                             "%s: %zu rows of %zu columns, expected one of data and two columns",
                             v->what, t->rows - (t->rows && v->first), t->columns);
    FANIN_TRY(find_label(v, o->label, err));
    fanin__store *s;
    bool numbers, fractions;
    FANIN_TRY(fanin__store_create(d, &s, err));
    FANIN_TRY(read_inputs(v, &s->split[FANIN_TRAIN], err));
    look_at_labels(v, &numbers, &fractions);
    bool real = o->real == 1 || (o->real < 0 && numbers && fractions);
    if (real)
        FANIN_TRY(read_real(v, &s->split[FANIN_TRAIN], err));
    else
        FANIN_TRY(read_classes(v, &s->split[FANIN_TRAIN], err));
    d->info.rank = 1;
    d->info.dims[0] = (int64_t)t->columns - 1;
    return fanin__store_finish(d, v->what, o->test, err);
}

fanin_status fanin__data_table(const unsigned char *bytes, size_t size, char delimiter,
                               const char *what, const fanin__table_options *options,
                               fanin_dataset *d, fanin_err *err) {
    fanin__table t;
    fanin_status status = fanin__table_parse(bytes, size, delimiter, what, &t, err);
    view v = {.t = &t, .what = what};
    if (status == FANIN_OK) status = read_table(&v, options, d, err);
    fanin__table_fini(&t);
    return status;
}
