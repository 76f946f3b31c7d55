/* fanin diff: are two weight files the same, and where are they not? Exit 1 when they differ. */
#include <fanin/format.h>
#include <fanin/report.h>
#include <math.h>
#include <string.h>

#include "cli.h"

typedef struct difference {
    const char *name, *what; /* "only in A", "shape", "dtype", "values" */
    size_t elements;         /* that differ */
    double largest;          /* |a - b|; NaN where it has no meaning */
    double norm;             /* |a - b| / |a| */
} difference;

static bool same_shape(const fanin_array *a, const fanin_array *b) {
    return a->rank == b->rank && !memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims);
}

static void compare_values(const fanin_array *a, const fanin_array *b, difference *d) {
    size_t size = fanin_dtype_size(a->dtype), n = size ? a->size / size : 0;
    double squares = 0, differences = 0;
    d->largest = 0;
    for (size_t i = 0; i < n; i++) {
        const unsigned char *p = (const unsigned char *)a->data + i * size,
                            *q = (const unsigned char *)b->data + i * size;
        double x, y;
        bool floats = fanin_convert_to_f64(p, a->dtype, 1, &x) == FANIN_OK &&
                      fanin_convert_to_f64(q, b->dtype, 1, &y) == FANIN_OK;
        if (floats) squares += x * x;
        if (!memcmp(p, q, size)) continue;
        d->elements++;
        if (!floats) continue;
        d->largest = fmax(d->largest, fabs(x - y));
        differences += (x - y) * (x - y);
    }
    d->norm = squares > 0 ? sqrt(differences / squares) : NAN;
}

static bool compare(const fanin_array *a, const fanin_array *b, difference *d) {
    *d = (difference){.name = a->name, .largest = NAN, .norm = NAN};
    if (!b)
        d->what = "only in A";
    else if (!same_shape(a, b))
        d->what = "shape";
    else if (a->dtype != b->dtype)
        d->what = "dtype";
    else if (!a->data != !b->data)
        d->what = a->data ? "values only in A" : "values only in B";
    else if (a->data && memcmp(a->data, b->data, a->size))
        d->what = "values";
    if (d->what && !strcmp(d->what, "values")) compare_values(a, b, d);
    return d->what != NULL;
}

static fanin_status add(cli *c, fanin_table *t, json_t *list, const difference *d) {
    if (c->json) {
        json_t *o = json_object();
        json_object_set_new(o, "name", json_string(d->name));
        json_object_set_new(o, "difference", json_string(d->what));
        json_object_set_new(o, "elements", json_integer((json_int_t)d->elements));
        json_object_set_new(o, "largest", cli_number(d->largest));
        json_object_set_new(o, "relative_norm", cli_number(d->norm));
        json_array_append_new(list, o);
        return FANIN_OK;
    }
    return fanin_table_row(t, NULL,
                           (const char *[]){d->name, d->what,
                                            d->elements ? cli_thousands(d->elements) : "",
                                            cli_cell(d->largest), cli_cell(d->norm)});
}

static int compare_all(cli *c, const fanin_weights *a, const fanin_weights *b) {
    fanin_table *t = NULL;
    json_t *list = json_array();
    fanin_status status =
        fanin_table_create("<~tensor|<difference|>elements|>largest|>relative", &t);
    int differ = 0, same = 0;
    difference d;
    for (int i = 0; i < fanin_weights_count(a) && status == FANIN_OK; i++) {
        const fanin_array *x = fanin_weights_at(a, i);
        bool lone = fanin_weights_count(a) == 1 && fanin_weights_count(b) == 1;
        if (compare(x, lone ? fanin_weights_at(b, 0) : fanin_weights_find(b, x->name), &d)) {
            differ++;
            status = add(c, t, list, &d);
        } else {
            same++;
        }
    }
    bool lone = fanin_weights_count(a) == 1 && fanin_weights_count(b) == 1;
    for (int i = 0; i < fanin_weights_count(b) && status == FANIN_OK && !lone; i++) {
        if (fanin_weights_find(a, fanin_weights_at(b, i)->name)) continue;
        d = (difference){
            .name = fanin_weights_at(b, i)->name, .what = "only in B", .largest = NAN, .norm = NAN};
        differ++;
        status = add(c, t, list, &d);
    }
    int code = 0;
    char *text = NULL;
    if (status == FANIN_OK && c->json) {
        json_t *o = json_object();
        json_object_set_new(o, "same", json_boolean(differ == 0));
        json_object_set_new(o, "equal_tensors", json_integer(same));
        json_object_set_new(o, "differences", json_incref(list));
        code = cli_json(c, o);
    } else if (status == FANIN_OK && differ &&
               (status = fanin_table_render(t, cli_width(), &text)) == FANIN_OK) {
        fputs(text, stdout);
    }
    if (status == FANIN_OK && !c->json) printf("%d tensors equal, %d differ\n", same, differ);
    fanin_free(text);
    fanin_table_destroy(t);
    json_decref(list);
    if (status != FANIN_OK) return cli_fail(c, status, NULL);
    return code ? code : differ != 0;
}

int verb_diff(cli *c) {
    const cli_option options[] = {CLI_END};
    if (!cli_parse(c, options, 2, 2)) return c->exit_code;
    fanin_weights *a = NULL, *b = NULL;
    fanin_err err = {0};
    fanin_status status = fanin_weights_open(c->args[0], &a, &err);
    if (status == FANIN_OK) status = fanin_weights_open(c->args[1], &b, &err);
    int code = status == FANIN_OK ? compare_all(c, a, b) : cli_fail_input(c, status, &err);
    fanin_weights_close(a);
    fanin_weights_close(b);
    return code;
}
