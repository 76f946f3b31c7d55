/* plan.c - every tensor's rule: the last line of the scheme that matches, the overlays behind it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "scheme/plan.h"

typedef struct job {
    fanin_plan *plan;
    int *winner;   /* by row: line, -1 */
    int *matched;  /* by line: rows that it matches */
    int *file_won; /* by line: rows that it wins among the lines of the file */
    bool *open;    /* by row: left to auto */
    bool torch_fans;
    fanin_err *err;
} job;

static fanin_status no_memory(job *j) {
    return fanin_err_set(j->err, FANIN_NOMEM, "no memory for a plan of %d tensors", j->plan->count);
}

static bool is_constant(const fanin_tensor_info *info) {
    return info->tensor.cls == FANIN_CLASS_CONSTANT;
}

/* ---- which line -------------------------------------------------------------------------------- */

static void match_row(job *j, int row) {
    const fanin__scheme *s = &j->plan->scheme;
    const fanin_tensor_info *info = &j->plan->tensors->items[row];
    int in_file = -1;
    j->winner[row] = -1;
    if (is_constant(info)) return;
    for (int i = 0; i < s->count; i++) {
        if (!fanin__line_matches(&s->lines[i], info)) continue;
        j->matched[i]++;
        j->winner[row] = i;
        if (!s->lines[i].overlay) in_file = i;
    }
    if (in_file >= 0) j->file_won[in_file]++;
}

static fanin_status dead_line(job *j, const fanin__line *line, fanin_status status,
                              const char *why) {
    char where[320];
    if (j->err) j->err->position = line->number;
    fanin__line_where(&j->plan->scheme, line, where, sizeof where);
    return fanin_err_set(j->err, status, "%s %s of %.120s", where, why, j->plan->graph->name);
}

static fanin_status check_lines(job *j) {
    const fanin__scheme *s = &j->plan->scheme;
    for (int i = 0; i < s->count; i++) {
        const fanin__line *line = &s->lines[i];
        if ((line->from_file || line->overlay) && !j->matched[i])
            return dead_line(j, line, FANIN_NOTFOUND, "matches no tensor");
        if (line->from_file && !j->file_won[i])
            return dead_line(j, line, FANIN_ARG,
                             "is shadowed: later lines match every one of its tensors");
    }
    return FANIN_OK;
}

static fanin_status unset(job *j, const fanin_tensor_info *info) {
    bool unknown = info->tensor.cls == FANIN_CLASS_OTHER;
    return fanin_err_set(
        j->err, FANIN_ARG,
        "%.120s: no line sets the tensor '%.160s' (class %s, read by %s '%.80s')%s",
        j->plan->scheme.name, info->tensor.name, fanin_class_name(info->tensor.cls),
        info->node >= 0 ? info->op : "nothing", info->layer,
        unknown ? "; its operator tells nothing about it: give it a --rule" : "");
}

/* ---- rows -------------------------------------------------------------------------------------- */

/* "dense, 784 inputs to Gemm fc1": what the tensor is. */
static void describe(const fanin_tensor_info *info, fanin__text *out) {
    const fanin_tensor *t = &info->tensor;
    char number[32];
    fanin__text_puts(out, fanin_class_name(t->cls));
    if (fanin_class_is_weight(t->cls) && t->fan_in > 0) {
        bool table = t->cls == FANIN_CLASS_EMBEDDING || t->cls == FANIN_CLASS_POSITION;
        bool whole = t->fan_in < 1e15 && t->fan_in == floor(t->fan_in);
        if (whole) snprintf(number, sizeof number, "%.0f", t->fan_in);
        fanin__text_printf(out, ", %s %s", whole ? number : fanin__number_text(t->fan_in, number),
                           table ? "wide for" : "inputs to");
        if (info->node < 0) fanin__text_puts(out, " each output");
    } else {
        fanin__text_puts(out, info->node >= 0 ? " of" : "");
    }
    if (info->node >= 0) fanin__text_printf(out, " %s %s", info->op, info->layer);
    if (t->groups > 1) fanin__text_printf(out, ", %lld groups", (long long)t->groups);
    if (t->parts > 1) fanin__text_printf(out, ", %d packed", t->parts);
    if (info->role[0]) fanin__text_printf(out, ", %s", info->role);
    if (info->uses > 1) fanin__text_printf(out, ", read %d times", info->uses);
}

static fanin_status keep_texts(job *j, int row, const char *rule, fanin__text *reason) {
    fanin_plan *p = j->plan;
    p->texts[2 * row] = fanin__strdup(rule);
    p->texts[2 * row + 1] = reason->data;
    bool failed = reason->failed || !reason->data || !p->texts[2 * row];
    *reason = (fanin__text){0};
    if (failed) return no_memory(j);
    p->rows[row].rule_text = p->texts[2 * row];
    p->rows[row].reason = p->texts[2 * row + 1];
    return FANIN_OK;
}

static fanin_status keep_row(job *j, int row) {
    fanin__text reason = {0};
    fanin_plan_row *r = &j->plan->rows[row];
    r->keep = true;
    r->moments = (fanin_moments){NAN, NAN, NAN, NAN, NAN, 0, true, "kept as it is"};
    describe(&j->plan->tensors->items[row], &reason);
    fanin__text_puts(&reason, "; a constant of the graph, kept as it is");
    return keep_texts(j, row, "keep", &reason);
}

/* `rule` with its numbers worked out becomes the row's. `where` says who wants it, `told` replaces the rule's
 * own reason; NULL: that. */
static fanin_status decide(job *j, int row, const char *rule, const char *where, const char *told) {
    const fanin_tensor_info *info = &j->plan->tensors->items[row];
    fanin_plan_row *r = &j->plan->rows[row];
    char text[640];
    fanin_err why = {0};
    fanin_status status =
        fanin__rule_resolve(rule, info, j->plan->tensors, text, sizeof text, &why);
    if (status == FANIN_OK) status = fanin_rule_parse(text, &r->rule, &why);
    if (status == FANIN_OK) {
        if (j->torch_fans) r->rule.torch_fans = true;
        status = fanin_rule_apply(&r->rule, &r->tensor, &r->moments, &why);
    }
    if (status != FANIN_OK) {
        bool named = strstr(why.message, r->tensor.name) != NULL;
        return fanin_err_set(j->err, status, "%s%s%.120s%s: %.240s", where,
                             named ? "" : ", tensor '", named ? "" : r->tensor.name,
                             named ? "" : "'", why.message);
    }
    fanin_rule_text(&r->rule, text, sizeof text);
    fanin__text reason = {0};
    describe(info, &reason);
    if (told)
        fanin__text_printf(&reason, "; %s", told);
    else
        fanin__text_printf(&reason, "; %s: %s", where, r->moments.reason);
    return keep_texts(j, row, text, &reason);
}

static fanin_status decide_by_line(job *j, int row, const fanin__line *line) {
    char where[320];
    fanin__line_where(&j->plan->scheme, line, where, sizeof where);
    return decide(j, row, line->rule, where, NULL);
}

static fanin_status decide_by_auto(void *ctx, int row, const char *rule, const char *reason,
                                   double target) {
    job *j = ctx;
    j->plan->rows[row].target = target;
    return decide(j, row, rule, "auto", reason);
}

static fanin_status fill_rows(job *j) {
    fanin_plan *p = j->plan;
    for (int i = 0; i < p->count; i++) match_row(j, i);
    FANIN_TRY(check_lines(j));
    for (int i = 0; i < p->count; i++) {
        const fanin_tensor_info *info = &p->tensors->items[i];
        fanin_plan_row *r = &p->rows[i];
        *r = (fanin_plan_row){.tensor = info->tensor,
                              .value = info->value,
                              .node = info->node,
                              .op = info->op,
                              .layer = info->layer,
                              .dtype = info->dtype,
                              .target = NAN};
        if (is_constant(info))
            FANIN_TRY(keep_row(j, i));
        else if (j->winner[i] < 0)
            return unset(j, info);
        else if (strcmp(p->scheme.lines[j->winner[i]].rule, "auto") == 0)
            j->open[i] = true;
        else
            FANIN_TRY(decide_by_line(j, i, &p->scheme.lines[j->winner[i]]));
    }
    return fanin__auto_plan(p, j->open, decide_by_auto, j, j->err);
}

/* ---- names of the whole ------------------------------------------------------------------------ */

/* FNV-1a: a name for the plan, not a seal. */
static void hash_bytes(uint64_t *h, const void *data, size_t n) {
    const unsigned char *bytes = data;
    for (size_t i = 0; i < n; i++) *h = (*h ^ bytes[i]) * UINT64_C(1099511628211);
}

static void set_hash(fanin_plan *p) {
    uint64_t h = UINT64_C(14695981039346656037);
    for (int i = 0; i < p->count; i++) {
        const fanin_plan_row *r = &p->rows[i];
        hash_bytes(&h, r->tensor.name, strlen(r->tensor.name) + 1);
        for (int k = 0; k < r->tensor.rank; k++)
            hash_bytes(&h, &r->tensor.dims[k], sizeof r->tensor.dims[k]);
        hash_bytes(&h, r->rule_text, strlen(r->rule_text) + 1);
    }
    snprintf(p->hash, sizeof p->hash, "%016llx", (unsigned long long)h);
}

static void note(fanin_plan *p, const char *text) {
    if (p->notes.length) fanin__text_puts(&p->notes, "\n");
    fanin__text_puts(&p->notes, text);
}

/* A framework's stream is recorded with all its keys: "torch:flavour=avx2,version=2.13". */
static fanin_status read_stream(job *j, const char *text) {
    fanin_plan *p = j->plan;
    char spelled[128];
    if (fanin__strcasecmp(text, "fanin") != 0) {
        fanin_compat_stream *s = fanin_calloc(1, sizeof *s);
        if (!s) return no_memory(j);
        fanin_status status = fanin_compat_open(s, text, p->seed, j->err);
        if (status == FANIN_OK) fanin_compat_text(s, spelled, sizeof spelled);
        fanin_free(s);
        if (status != FANIN_OK) return status;
        text = spelled;
        p->compat = true;
    }
    p->stream = fanin__strdup(text);
    return p->stream ? FANIN_OK : no_memory(j);
}

static fanin_status read_options(job *j, const fanin_init_options *o) {
    fanin_plan *p = j->plan;
    const char *stream = o->stream ? o->stream : "fanin";
    p->seed = o->seed;
    FANIN_TRY(read_stream(j, stream));
    if (o->fans && fanin__strcasecmp(o->fans, "torch") == 0)
        j->torch_fans = true;
    else if (o->fans && fanin__strcasecmp(o->fans, "operator") != 0)
        return fanin_err_set(j->err, FANIN_ARG, "fans '%.40s' is not operator or torch", o->fans);
    return FANIN_OK;
}

/* torch on torch is a constructor, and torchvision's draw some of their modules again. */
static fanin_status add_recipe(job *j) {
    fanin_plan *p = j->plan;
    char text[128];
    bool torch = p->compat && strncmp(p->stream, "torch", 5) == 0;
    if (!torch || fanin__strcasecmp(p->scheme.name, "torch") != 0) return FANIN_OK;
    const fanin_torch_recipe *recipe = fanin__torch_recipe_of(p->graph);
    if (!recipe) return FANIN_OK;
    snprintf(text, sizeof text, "drawn as by torchvision's constructor of %s", recipe->name);
    note(p, text);
    return fanin__torch_recipe_lines(recipe, &p->scheme, j->err);
}

static fanin_status load_scheme(job *j, const fanin_init_options *o) {
    fanin_plan *p = j->plan;
    bool wants_auto = o->scheme && fanin__strcasecmp(o->scheme, "auto") == 0;
    if (wants_auto && p->graph->node_count == 0)
        return fanin_err_set(j->err, FANIN_ARG,
                             "the scheme 'auto' needs a model with operators; %.200s has none",
                             p->graph->name);
    const char *usual = p->graph->node_count ? "auto" : "he";
    FANIN_TRY(fanin__scheme_load(o->scheme ? o->scheme : usual, &p->scheme, j->err));
    if (!o->scheme)
        note(p, p->graph->node_count
                    ? "scheme: auto (the default; --scheme chooses another)"
                    : "scheme: he (auto, the default, needs a model with operators)");
    FANIN_TRY(add_recipe(j));
    for (int i = 0; i < o->rule_count; i++)
        FANIN_TRY(fanin__scheme_overlay(&p->scheme, o->rules[i], j->err));
    return FANIN_OK;
}

static fanin_status build(job *j, const fanin_graph *graph, const fanin_init_options *o) {
    fanin_plan *p = j->plan;
    if (graph->notes) {
        fanin__text_puts(&p->notes, graph->notes);
    }
    FANIN_TRY(read_options(j, o));
    FANIN_TRY(load_scheme(j, o));
    FANIN_TRY(fanin_tensors_create(graph, o->layout, &p->tensors, j->err));
    size_t count = (size_t)(p->count = p->tensors->count), lines = (size_t)p->scheme.count;
    p->rows = fanin_calloc(count + 1, sizeof *p->rows);
    p->texts = fanin_calloc(2 * count + 1, sizeof *p->texts);
    j->winner = fanin_calloc(count + 1, sizeof *j->winner);
    j->matched = fanin_calloc(lines + 1, sizeof *j->matched);
    j->file_won = fanin_calloc(lines + 1, sizeof *j->file_won);
    j->open = fanin_calloc(count + 1, sizeof *j->open);
    if (!p->rows || !p->texts || !j->winner || !j->matched || !j->file_won || !j->open)
        return no_memory(j);
    FANIN_TRY(fill_rows(j));
    set_hash(p);
    return p->notes.failed ? no_memory(j) : FANIN_OK;
}

fanin_status fanin_plan_create(const fanin_graph *graph, const fanin_init_options *options,
                               fanin_plan **plan, fanin_err *err) {
    static const fanin_init_options none;
    *plan = NULL;
    job j = {.err = err, .plan = fanin_calloc(1, sizeof(fanin_plan))};
    if (!j.plan) return fanin_err_set(err, FANIN_NOMEM, "no memory for a plan");
    j.plan->graph = graph;
    pthread_mutex_init(&j.plan->lock, NULL);
    fanin_status status = build(&j, graph, options ? options : &none);
    fanin_free(j.winner);
    fanin_free(j.matched);
    fanin_free(j.file_won);
    fanin_free(j.open);
    if (status == FANIN_OK)
        *plan = j.plan;
    else
        fanin_plan_destroy(j.plan);
    return status;
}

void fanin_plan_destroy(fanin_plan *p) {
    if (!p) return;
    for (int i = 0; p->texts && i < 2 * p->count; i++) fanin_free(p->texts[i]);
    fanin_free(p->texts);
    fanin__plan_forget(p);
    pthread_mutex_destroy(&p->lock);
    fanin_free(p->rows);
    fanin_tensors_destroy(p->tensors);
    fanin__scheme_fini(&p->scheme);
    fanin_free(p->stream);
    fanin__text_fini(&p->notes);
    fanin_free(p);
}

void fanin_plan_reseed(fanin_plan *p, uint64_t seed) {
    if (p->seed == seed) return;
    p->seed = seed;
    fanin__plan_forget(p);
}

/* ---- reading ----------------------------------------------------------------------------------- */

int fanin_plan_count(const fanin_plan *plan) { return plan->count; }

const fanin_plan_row *fanin_plan_row_at(const fanin_plan *plan, int i) {
    return i >= 0 && i < plan->count ? &plan->rows[i] : NULL;
}

int fanin_plan_find(const fanin_plan *plan, const char *name) {
    int value = fanin_graph_find(plan->graph, name);
    for (int i = 0; value >= 0 && i < plan->count; i++)
        if (plan->rows[i].value == value) return i;
    return -1;
}

uint64_t fanin_plan_parameters(const fanin_plan *plan) {
    uint64_t total = 0;
    for (int i = 0; i < plan->count; i++) {
        const fanin_tensor *t = &plan->rows[i].tensor;
        size_t n;
        if (plan->rows[i].keep || t->cls == FANIN_CLASS_RUNNING_MEAN ||
            t->cls == FANIN_CLASS_RUNNING_VAR)
            continue;
        if (fanin__shape_count(t->dims, t->rank, &n)) total += n;
    }
    return total;
}

const char *fanin_plan_scheme(const fanin_plan *plan) { return plan->scheme.name; }
const char *fanin_plan_stream(const fanin_plan *plan) { return plan->stream; }
uint64_t fanin_plan_seed(const fanin_plan *plan) { return plan->seed; }
const char *fanin_plan_notes(const fanin_plan *plan) {
    return plan->notes.data ? plan->notes.data : "";
}
const char *fanin_plan_hash(const fanin_plan *plan) { return plan->hash; }

fanin_status fanin_plan_fill(const fanin_plan *plan, int i, uint64_t first, size_t n,
                             fanin_dtype dtype, void *out, fanin_err *err) {
    const fanin_plan_row *r = fanin_plan_row_at(plan, i);
    size_t count;
    if (!r) return fanin_err_set(err, FANIN_ARG, "row %d of %d", i, plan->count);
    if (r->keep)
        return fanin_err_set(err, FANIN_ARG, "'%.200s' is a constant of the graph", r->tensor.name);
    if (!fanin__shape_count(r->tensor.dims, r->tensor.rank, &count) || first > count ||
        n > count - first)
        return fanin_err_set(err, FANIN_ARG, "'%.200s': elements %llu to %llu of %zu",
                             r->tensor.name, (unsigned long long)first,
                             (unsigned long long)(first + n), count);
    if (plan->compat) return fanin__plan_fill_compat(plan, i, first, n, dtype, out, err);
    return fanin_rule_fill(&r->rule, &r->tensor, plan->seed, first, n, dtype, out, err);
}
