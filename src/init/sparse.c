/* sparse.c - Martens 2010, Deep learning via Hessian-free optimization, section 5: every unit gets k inputs
 * drawn from a normal, the rest are 0; and torch's sparse_, which counts along columns instead.
 *
 * Which ones: every element has a word (plane 2); the k smallest of a line are kept, the first ones
 * where words are equal. A line's threshold is that k-th pair of word and position, so after
 * the thresholds each element decides for itself. Values are plane 0. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "init/init.h"

enum { CHUNK = 1024, CHOICE_PLANE = 2 };

fanin_status fanin__sparse_plan(fanin__recipe *plan, fanin_err *err) {
    FANIN_TRY(fanin__view_make(plan, 1, err));
    const fanin_rule *r = plan->rule;
    const fanin__view *v = &plan->view;
    const char *name = fanin__tensor_name(plan->tensor);
    uint64_t inputs = v->in * v->taps, length;
    if (!isnan(r->k) && !isnan(r->sparsity))
        return fanin_err_set(err, FANIN_ARG, "%s: sparse takes k or sparsity, not both", name);
    plan->by_column = !isnan(r->sparsity);
    length = plan->by_column ? v->out : inputs;
    if (plan->by_column)
        plan->k = length - (uint64_t)ceil(r->sparsity * (double)length);
    else
        plan->k = isnan(r->k) ? (inputs < 15 ? inputs : 15) : (uint64_t)r->k;
    if (length > UINT32_MAX)
        return fanin_err_set(err, FANIN_LIMIT,
                             "%s: sparse takes lines of up to 2^32 elements, not %llu", name,
                             (unsigned long long)length);
    if (plan->k > length)
        return fanin_err_set(err, FANIN_ARG, "%s: k=%llu is more than the %llu inputs of a unit",
                             name, (unsigned long long)plan->k, (unsigned long long)length);
    double std = fanin__or(r->std, plan->by_column ? 0.01 : 1);
    plan->law = (fanin_law){.kind = FANIN_LAW_NORMAL, .a = 0, .b = std};
    plan->moments.mean = 0;
    plan->moments.std = length ? std * sqrt((double)plan->k / (double)length) : 0;
    char text[32];
    fanin__reason(plan, "%llu of %llu %s, each normal with std %s", (unsigned long long)plan->k,
                  (unsigned long long)length,
                  plan->by_column ? "outputs of every input" : "inputs of every unit",
                  fanin__number_text(std, text));
    return FANIN_OK;
}

/* ---- lines ------------------------------------------------------------------------------- */

/* The line of an element and its position there. */
static uint64_t line_of(const fanin__recipe *plan, uint64_t index, uint64_t *position) {
    const fanin__view *v = &plan->view;
    fanin__place p = fanin__view_place(v, index);
    uint64_t column = p.in * v->taps + p.tap;
    *position = plan->by_column ? p.out : column;
    return plan->by_column ? p.block * v->in * v->taps + column : p.block * v->out + p.out;
}

static uint64_t element_of(const fanin__recipe *plan, uint64_t line, uint64_t position) {
    const fanin__view *v = &plan->view;
    uint64_t lines = plan->by_column ? v->in * v->taps : v->out;
    return plan->by_column ? fanin__view_index(v, line / lines, position, line % lines)
                           : fanin__view_index(v, line / lines, line % lines, position);
}

typedef struct sparse {
    const fanin__recipe *plan;
    fanin_stream stream;
    uint64_t length;     /* of a line */
    uint32_t *words;     /* of every element */
    uint64_t *threshold; /* of each line: word << 32 | position; kept where <= */
    uint64_t first;      /* the slice */
    fanin_dtype dtype;
    char *out;
    atomic_int status;
} sparse;

static void draw_words(void *arg, size_t begin, size_t end) {
    sparse *s = arg;
    fanin_stream_words(&s->stream, CHOICE_PLANE, begin, end - begin, s->words + begin);
}

/* The root of a heap, its largest, gives way to `key`. */
static void heap_replace(uint64_t *heap, size_t n, uint64_t key) {
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && heap[child + 1] > heap[child]) child++;
        if (heap[child] <= key) break;
        heap[at] = heap[child];
    }
    heap[at] = key;
}

/* The k-th smallest key of each line: what is left on top after the rest has passed. */
static void find_thresholds(void *arg, size_t begin, size_t end) {
    sparse *s = arg;
    size_t k = (size_t)s->plan->k;
    uint64_t *heap = fanin_malloc(k * sizeof *heap);
    if (!heap) {
        atomic_store(&s->status, FANIN_NOMEM);
        return;
    }
    for (size_t line = begin; line < end; line++) {
        for (size_t i = 0; i < k; i++) heap[i] = UINT64_MAX;
        for (uint64_t position = 0; position < s->length; position++) {
            uint64_t word = s->words[element_of(s->plan, line, position)];
            uint64_t key = word << 32 | position;
            if (key < heap[0]) heap_replace(heap, k, key);
        }
        s->threshold[line] = heap[0];
    }
    fanin_free(heap);
}

static void write_range(void *arg, size_t begin, size_t end) {
    sparse *s = arg;
    size_t size = fanin_dtype_size(s->dtype);
    char *out = s->out + begin * size;
    fanin_status status = fanin_random_fill(&s->stream, 0, &s->plan->law, s->first + begin,
                                            end - begin, s->dtype, out);
    if (status != FANIN_OK) atomic_store(&s->status, (int)status);
    for (size_t i = begin; i < end; i++, out += size) {
        uint64_t position, line = line_of(s->plan, s->first + i, &position);
        uint64_t key = (uint64_t)s->words[s->first + i] << 32 | position;
        if (s->plan->k == 0 || key > s->threshold[line]) memset(out, 0, size);
    }
}

fanin_status fanin__sparse_fill(const fanin__recipe *plan, uint64_t seed, uint64_t first, size_t n,
                                fanin_dtype dtype, void *out, fanin_err *err) {
    uint64_t columns = plan->view.in * plan->view.taps;
    sparse s = {.plan = plan,
                .length = plan->by_column ? plan->view.out : columns,
                .first = first,
                .dtype = dtype,
                .out = out};
    s.stream = fanin_stream_init(seed, fanin__tensor_name(plan->tensor));
    size_t lines = (size_t)(plan->count / s.length);
    s.words = fanin_malloc(plan->count * sizeof *s.words);
    s.threshold = fanin_calloc(lines, sizeof *s.threshold);
    fanin_status status = s.words && s.threshold ? FANIN_OK : FANIN_NOMEM;
    if (status == FANIN_OK) {
        fanin_parallel_for((size_t)plan->count, 4 * CHUNK, draw_words, &s);
        if (plan->k) fanin_parallel_for(lines, 16, find_thresholds, &s);
        fanin_parallel_for(n, 4 * CHUNK, write_range, &s);
        status = (fanin_status)atomic_load(&s.status);
    }
    fanin_free(s.words);
    fanin_free(s.threshold);
    return status == FANIN_OK
               ? status
               : fanin_err_set(err, status, "%s: sparse failed: %s",
                               fanin__tensor_name(plan->tensor), fanin_status_text(status));
}
