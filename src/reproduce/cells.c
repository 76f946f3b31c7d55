/* cells.c - thousands of seeds of a small network through the replica trainer, and what became of them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fanin/train.h"
#include "report/page.h"
#include "reproduce/reproduce.h"

enum { EPOCHS = 500, PATTERNS = 4 };

/* Wilson 1927. */
void fanin__wilson(int64_t k, int64_t n, double *low, double *high) {
    const double z = 1.959963984540054, z2 = z * z;
    double N = (double)n, p = (double)k / N, middle = p + z2 / (2 * N);
    double reach = z * sqrt(p * (1 - p) / N + z2 / (4 * N * N));
    *low = k == 0 ? 0 : (middle - reach) / (1 + z2 / N);
    *high = k == n ? 1 : (middle + reach) / (1 + z2 / N);
}

/* ---- what became of the seeds ----------------------------------------------------------------------- */

/* Weights of all replicas of one name; NULL if the network has none. */
static const float *weights_of(const fanin_program *p, const char *name) {
    for (int i = 0; i < fanin_program_weight_count(p); i++)
        if (!strcmp(fanin_program_weight_name(p, i), name)) return fanin_program_weight(p, i).data;
    return NULL;
}

/* Only of two inputs and two hidden units, without a norm between sum and rectifier. */
static bool is_plain_xor_net(const char *model) {
    return !strncmp(model, "mlp:2-2-1", 9) && !strstr(model, "norm=") && !strstr(model, "bias=0");
}

static double dead_share(const fanin_program *p, const fanin__cell_spec *spec, int64_t seeds) {
    const float *w = weights_of(p, "fc1.weight"), *b = weights_of(p, "fc1.bias");
    if (!w || !b || !is_plain_xor_net(spec->model) || !strstr(spec->model, "act=relu")) return NAN;
    int64_t dead = 0;
    for (int64_t u = 0; u < 2 * seeds; u++) {
        bool alive = false;
        for (int x = 0; x < PATTERNS; x++)
            alive = alive || (x & 1 ? w[2 * u] : 0) + (x & 2 ? w[2 * u + 1] : 0) + b[u] > 0;
        dead += !alive;
    }
    return (double)dead / (double)(2 * seeds);
}

static double twin_share(const fanin_program *p, const fanin__cell_spec *spec, int64_t seeds) {
    const float *w = weights_of(p, "fc1.weight"), *b = weights_of(p, "fc1.bias");
    if (!w || !b || !is_plain_xor_net(spec->model)) return NAN;
    int64_t twins = 0;
    for (int64_t r = 0; r < seeds; r++)
        twins += !memcmp(w + 4 * r, w + 4 * r + 2, 2 * sizeof *w) && b[2 * r] == b[2 * r + 1];
    return (double)twins / (double)seeds;
}

/* Median over seeds: those that diverged do not swamp the others. */
static double norm_of_weights(const fanin_program *p, int64_t seeds) {
    double *squares = fanin_calloc((size_t)seeds, sizeof *squares);
    if (!squares) return NAN;
    for (int i = 0; i < fanin_program_weight_count(p); i++) {
        fanin_buffer w = fanin_program_weight(p, i);
        if (!strstr(fanin_program_weight_name(p, i), ".weight") || w.rank < 3) continue;
        size_t each = w.count / (size_t)seeds;
        for (size_t k = 0; k < w.count; k++) {
            double v = (double)((const float *)w.data)[k];
            squares[k / each] += v * v;
        }
    }
    for (int64_t r = 0; r < seeds; r++)
        if (isnan(squares[r])) squares[r] = INFINITY;
    qsort(squares, (size_t)seeds, sizeof *squares, fanin__compare_doubles);
    double median = sqrt(squares[seeds / 2]);
    fanin_free(squares);
    return median;
}

static double at_rank(const double *sorted, int64_t n, double rank) {
    int64_t i = (int64_t)rank;
    return sorted[i < 0 ? 0 : i >= n ? n - 1 : i];
}

/* Epochs of the seeds that succeeded: quartiles, and the median's interval from the binomial law of ranks. */
static void quartiles(fanin_seed_cell *c, double *epochs, int64_t n) {
    c->quartile = c->median = c->upper = c->median_low = c->median_high = NAN;
    if (n == 0) return;
    qsort(epochs, (size_t)n, sizeof *epochs, fanin__compare_doubles);
    double N = (double)n, reach = 0.98 * sqrt(N);
    c->quartile = at_rank(epochs, n, 0.25 * N);
    c->median = at_rank(epochs, n, 0.5 * N);
    c->upper = at_rank(epochs, n, 0.75 * N);
    c->median_low = at_rank(epochs, n, 0.5 * N - reach);
    c->median_high = at_rank(epochs, n, 0.5 * N + reach);
}

static fanin_status summarise(fanin_seed_cell *c, const fanin_replicas_result *r, fanin_err *err) {
    double *epochs = fanin_calloc((size_t)r->replicas, sizeof *epochs);
    if (!epochs)
        return fanin_err_set(err, FANIN_NOMEM, "no memory for %lld seeds", (long long)r->replicas);
    const size_t last = (r->point_count - 1) * (size_t)r->replicas;
    int64_t solved = 0, diverged = 0;
    for (int64_t k = 0; k < r->replicas; k++) {
        double loss = (double)r->loss[last + (size_t)k];
        diverged += !(loss <= 1000);
        /* right in the end with running statistics and without dropout; for good, as training saw it */
        if (r->error[last + (size_t)k] > 0 || !(loss <= 1000)) continue;
        epochs[solved++] = isnan(r->settled[k]) ? (double)r->done : r->settled[k];
    }
    bool masked =
        strstr(c->model, "dropout=") != NULL; /* no batch says what the whole network knows */
    c->seeds = r->replicas;
    c->success = (double)solved / (double)r->replicas;
    c->diverged = (double)diverged / (double)r->replicas;
    fanin__wilson(solved, r->replicas, &c->low, &c->high);
    quartiles(c, epochs, masked ? 0 : solved);
    fanin_free(epochs);
    return FANIN_OK;
}

/* ---- running one ------------------------------------------------------------------------------------ */

static fanin_status run(fanin__lab *lab, const fanin__cell_spec *s, fanin_seed_cell *c,
                        const fanin_graph *g, fanin_err *err) {
    char bias[64];
    const char *rule = bias;
    snprintf(bias, sizeof bias, "fc1.bias=constant:value=%.9g", s->bias);
    const fanin_init_options init = {
        .scheme = s->scheme, .rules = &rule, .rule_count = s->bias != 0};
    const fanin_replicas_options o = {.replicas = s->seeds,
                                      .init = &init,
                                      .shared_order = true,
                                      .train = {.optimizer = s->optimizer,
                                                .steps = s->epochs,
                                                .batch = PATTERNS,
                                                .eval_every = s->epochs,
                                                .clip_norm = s->clip_norm,
                                                .l1 = s->l1,
                                                .l2 = s->l2}};
    fanin_replica_trainer *t;
    fanin_replicas_result r = {0};
    FANIN_TRY(fanin_replica_trainer_create(g, lab->xor_set, &o, &t, err));
    fanin_program *p = fanin_replica_trainer_program(t);
    c->dead_before = dead_share(p, s, s->seeds);
    fanin_status status = fanin_replica_trainer_run(t, &r, err);
    if (status == FANIN_OK) status = summarise(c, &r, err);
    c->dead_after = dead_share(p, s, s->seeds);
    c->twins = twin_share(p, s, s->seeds);
    c->weight_norm = norm_of_weights(p, s->seeds);
    fanin_replicas_result_fini(&r);
    fanin_replica_trainer_destroy(t);
    return status;
}

static void describe(const fanin__cell_spec *s, fanin_seed_cell *c) {
    int n = 0;
    snprintf(c->model, sizeof c->model, "%s", s->model);
    snprintf(c->scheme, sizeof c->scheme, "%s", s->scheme);
    snprintf(c->optimizer, sizeof c->optimizer, "%s", s->optimizer);
    const struct {
        const char *name;
        double value;
    } extras[] = {{"bias", s->bias}, {"clip-norm", s->clip_norm}, {"l1", s->l1}, {"l2", s->l2}};
    for (size_t i = 0; i < FANIN_COUNT(extras); i++)
        if (extras[i].value != 0)
            n += snprintf(c->extras + n, sizeof c->extras - (size_t)n, "%s%s %g", n ? ", " : "",
                          extras[i].name, extras[i].value);
    c->epochs = s->epochs;
    c->seeds = s->seeds;
}

static bool same(const fanin_seed_cell *a, const fanin_seed_cell *b) {
    return !strcmp(a->model, b->model) && !strcmp(a->scheme, b->scheme) &&
           !strcmp(a->optimizer, b->optimizer) && !strcmp(a->extras, b->extras) &&
           a->epochs == b->epochs && a->seeds == b->seeds;
}

static fanin_status keep(fanin__lab *lab, fanin_seed_cell *c, fanin_err *err) {
    if (lab->cell_count == lab->cell_capacity) {
        int capacity = lab->cell_capacity ? 2 * lab->cell_capacity : 32;
        void *more = fanin_realloc(lab->cells, (size_t)capacity, sizeof *lab->cells);
        if (!more) return fanin_err_set(err, FANIN_NOMEM, "no memory for a cell");
        lab->cells = more;
        lab->cell_capacity = capacity;
    }
    lab->cells[lab->cell_count++] = c;
    return FANIN_OK;
}

fanin_status fanin__run_cell(fanin__lab *lab, const fanin__cell_spec *spec,
                             const fanin_seed_cell **out, fanin_err *err) {
    fanin__cell_spec s = *spec;
    if (!s.model) s.model = "mlp:2-2-1,act=relu";
    if (!s.optimizer) s.optimizer = "adam:lr=0.1";
    if (!s.epochs) s.epochs = EPOCHS;
    if (!s.seeds || s.seeds > lab->seeds) s.seeds = lab->seeds;
    fanin_seed_cell *c = fanin_calloc(1, sizeof *c);
    if (!c) return fanin_err_set(err, FANIN_NOMEM, "no memory for a cell");
    describe(&s, c);
    for (int i = 0; i < lab->cell_count; i++) {
        if (!same(lab->cells[i], c)) continue;
        *out = lab->cells[i];
        fanin_free(c);
        return FANIN_OK;
    }
    fanin_graph *g = NULL;
    fanin_status status = FANIN_OK;
    if (!lab->xor_set) status = fanin_dataset_open("xor", 0, &lab->xor_set, err);
    if (status == FANIN_OK) status = fanin_graph_builtin(s.model, &g, err);
    if (status == FANIN_OK) status = run(lab, &s, c, g, err);
    fanin_graph_destroy(g);
    if (status == FANIN_OK) status = keep(lab, c, err);
    if (status != FANIN_OK) {
        fanin_free(c);
        return status;
    }
    *out = c;
    return FANIN_OK;
}

void fanin__lab_fini(fanin__lab *lab) {
    for (int i = 0; i < lab->cell_count; i++) fanin_free(lab->cells[i]);
    fanin_free(lab->cells);
    fanin_dataset_close(lab->xor_set);
}
