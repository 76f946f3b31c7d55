/* replica_step.c - one step of one block of replicas. */
#include <math.h>
#include <string.h>

#include "train/replicas.h"

static float *lanes_of(const fanin__block *b, fanin__lanes_what what, int i) {
    return fanin__lanes_get(b->trainer->train, b->arena, what, i).data;
}

/* ---- the batch ----------------------------------------------------------------------------------- */

fanin_status fanin__block_load(const fanin__block *b, uint64_t step, const char *batch,
                               fanin_err *err) {
    const struct fanin_replica_trainer *t = b->trainer;
    fanin__lanes_array x = fanin__lanes_get(t->train, b->arena, FANIN__LANES_INPUT, 0),
                       y = fanin__lanes_get(t->train, b->arena, FANIN__LANES_TARGET, 0);
    if (batch) {
        memcpy(x.data, batch, t->input_bytes);
        memcpy(y.data, batch + t->input_bytes, t->target_bytes);
        return FANIN_OK;
    }
    fanin_buffer one = fanin_program_input(b->single->train, 0),
                 target = fanin_program_target(b->single->train);
    size_t size = fanin_dtype_size(target.dtype);
    for (size_t l = 0; l < b->present; l++) {
        uint64_t seed = t->options.train.seed + b->first + l;
        b->single->order = fanin_stream_init(seed, "train/order");
        b->single->augment.stream = fanin_stream_init(seed, "train/augment");
        FANIN_TRY(fanin__batch_load(b->single, step, err));
        for (size_t i = 0; i < x.count; i++)
            ((float *)x.data)[i * t->lanes + l] = ((const float *)one.data)[i];
        for (size_t i = 0; i < y.count; i++)
            memcpy((char *)y.data + (i * t->lanes + l) * size, (const char *)target.data + i * size,
                   size);
    }
    return FANIN_OK;
}

/* ---- elementwise: all lanes at once -------------------------------------------------------------- */

bool fanin__recipe_elementwise(const fanin__recipe *r, const fanin_optimizer *o) {
    return r->clip_agc == 0 && r->noise == 0 && r->max_norm == 0 &&
           (o->row->update == fanin__update_torch || o->row->update == fanin__update_lion);
}

/* Norm of all gradients of each lane, then their share of the limit. */
static void clip_norms(const fanin__block *b, double limit) {
    const fanin_optimizer *o = b->single->optimizer;
    size_t lanes = b->trainer->lanes;
    double squares[FANIN__LANES_MAX] = {0};
    float scale[FANIN__LANES_MAX];
    for (int i = 0; i < o->count; i++) {
        const float *g = lanes_of(b, FANIN__LANES_GRADIENT, o->params[i].weight);
        for (size_t k = 0; k < o->params[i].count; k++)
            fanin__kernels_best()->add_product_to_double(lanes, g + k * lanes, g + k * lanes,
                                                         squares);
    }
    for (size_t l = 0; l < lanes; l++) {
        double by = limit / (sqrt(squares[l]) + 1e-6);
        scale[l] = by < 1 ? (float)by : 1;
    }
    for (int i = 0; i < o->count; i++) {
        float *g = lanes_of(b, FANIN__LANES_GRADIENT, o->params[i].weight);
        for (size_t k = 0; k < o->params[i].count; k++)
            fanin__mul(lanes, g + k * lanes, scale, g + k * lanes);
    }
}

static void update_elements(const fanin__block *b, uint64_t step) {
    const fanin__recipe *r = &b->single->recipe;
    fanin_optimizer o = *b->single->optimizer; /* settings of this step */
    float *state = b->state;
    o.set.lr = r->lr * fanin__schedule_factor(&r->schedule, step, r->steps);
    o.steps = step + 1;
    if (r->clip_value > 0)
        for (int i = 0; i < o.count; i++)
            fanin__clip_elements(o.params[i].count * b->trainer->lanes,
                                 lanes_of(b, FANIN__LANES_GRADIENT, o.params[i].weight),
                                 r->clip_value);
    if (r->clip_norm > 0) clip_norms(b, r->clip_norm);
    for (int i = 0; i < o.count; i++) {
        fanin__param p = o.params[i];
        float *w = lanes_of(b, FANIN__LANES_WEIGHT, p.weight),
              *g = lanes_of(b, FANIN__LANES_GRADIENT, p.weight);
        p.count *= b->trainer->lanes;
        for (int s = 0; s < FANIN__SLOTS_MAX && p.slots[s]; s++, state += p.count)
            p.slots[s] = state;
        if (r->l1 > 0 || r->l2 > 0) fanin__penalise(&p, w, g, r->l1, r->l2);
        if (r->decay > 0) fanin__shrink(&o, &p, w, r->decay);
        o.row->update(&o, &p, w, g);
    }
}

static void take_statistics(const fanin__block *b) {
    const fanin_program *p = b->trainer->train;
    for (int i = 0; i < fanin_program_weight_count(p); i++) {
        fanin__lanes_array fresh = fanin__lanes_get(p, b->arena, FANIN__LANES_STATISTIC, i);
        if (fresh.data && fresh.many)
            memcpy(lanes_of(b, FANIN__LANES_WEIGHT, i), fresh.data,
                   fresh.count * b->trainer->lanes * sizeof(float));
    }
}

/* ---- replica by replica, on the single trainer's program ------------------------------------------ */

/* Lane l of one array of the arena, to a buffer of the single program or back. */
static void move_lane(const fanin__block *b, size_t l, fanin__lanes_what what, int i,
                      fanin_buffer one, bool back) {
    fanin__lanes_array a = fanin__lanes_get(b->trainer->train, b->arena, what, i);
    if (!a.data || !one.data) return;
    size_t step = a.many ? b->trainer->lanes : 1, lane = a.many ? l : 0;
    size_t size = fanin_dtype_size(one.dtype);
    for (size_t k = 0; k < a.count; k++) {
        char *in_arena = (char *)a.data + (k * step + lane) * size,
             *out = (char *)one.data + k * size;
        memcpy(back ? in_arena : out, back ? out : in_arena, size);
    }
}

static void begin_lane(const fanin__block *b, size_t l, uint64_t step) {
    fanin_trainer *s = b->single;
    uint64_t seed = b->trainer->options.train.seed + b->first + l;
    fanin__optimizer_seed(s->optimizer, seed);
    fanin__optimizer_set_steps(s->optimizer, step);
    s->recipe.stream = fanin_stream_init(seed, "train/noise");
}

void fanin__block_prepare(const fanin__block *b, uint64_t step) {
    fanin_trainer *s = b->single;
    if (!s->optimizer->row->curvature) return;
    for (size_t l = 0; l < b->present; l++) {
        begin_lane(b, l, step);
        fanin__optimizer_prepare(s->optimizer);
        for (int i = 0; i < fanin_program_weight_count(s->train); i++)
            move_lane(b, l, FANIN__LANES_DIRECTION, i, fanin_program_direction(s->train, i), true);
    }
}

static void update_lane(const fanin__block *b, size_t l, uint64_t step) {
    fanin_trainer *s = b->single;
    fanin_program *p = s->train;
    float *state = b->state + l * b->trainer->state;
    size_t bytes = b->trainer->state * sizeof(float);
    begin_lane(b, l, step);
    for (int i = 0; i < fanin_program_weight_count(p); i++) {
        move_lane(b, l, FANIN__LANES_WEIGHT, i, fanin_program_weight(p, i), false);
        move_lane(b, l, FANIN__LANES_GRADIENT, i, fanin_program_gradient(p, i), false);
        move_lane(b, l, FANIN__LANES_STATISTIC, i, fanin_program_statistic(p, i), false);
        move_lane(b, l, FANIN__LANES_DIRECTION, i, fanin_program_direction(p, i), false);
        move_lane(b, l, FANIN__LANES_CURVATURE, i, fanin_program_curvature(p, i), false);
    }
    if (s->optimizer->row->all) {
        move_lane(b, l, FANIN__LANES_INPUT, 0, fanin_program_input(p, 0), false);
        move_lane(b, l, FANIN__LANES_TARGET, 0, fanin_program_target(p), false);
    }
    if (bytes) memcpy(s->optimizer->state, state, bytes);
    fanin__recipe_step(&s->recipe, s->optimizer, step);
    if (bytes) memcpy(state, s->optimizer->state, bytes);
    for (int i = 0; i < fanin_program_weight_count(p); i++)
        move_lane(b, l, FANIN__LANES_WEIGHT, i, fanin_program_weight(p, i), true);
}

void fanin__block_update(const fanin__block *b, uint64_t step) {
    if (b->trainer->elementwise) {
        take_statistics(b);
        update_elements(b, step);
        return;
    }
    for (size_t l = 0; l < b->present; l++) update_lane(b, l, step);
}

/* ---- errors -------------------------------------------------------------------------------------- */

/* The class that row r of lane l should have. */
static size_t wanted(const fanin__lanes_target *t, size_t lanes, size_t classes, size_t r,
                     size_t l) {
    size_t step = t->own ? lanes : 1, lane = t->own ? l : 0, best = 0;
    if (t->dtype == FANIN_I64) return (size_t)((const int64_t *)t->data)[r * step + lane];
    const float *row = (const float *)t->data + r * classes * step + lane;
    if (classes == 1) return (size_t)*row;
    for (size_t c = 1; c < classes; c++)
        if (row[c * step] > row[best * step]) best = c;
    return best;
}

static void wrong_by_side(size_t lanes, const float *z, float border, bool one,
                          unsigned char *wrong) {
    if (one)
        for (size_t l = 0; l < lanes; l++) wrong[l] |= !(z[l] > border);
    else
        for (size_t l = 0; l < lanes; l++) wrong[l] |= !(z[l] <= border);
}

/* Lanes of one target, `stride` numbers from class to class. */
static void wrong_by_maximum(size_t lanes, size_t stride, size_t classes, size_t at, const float *z,
                             unsigned char *wrong) {
    const float *best = z + at * stride;
    for (size_t c = 0; c < classes; c++, z += stride) {
        if (c < at)
            for (size_t l = 0; l < lanes; l++) wrong[l] |= !(best[l] > z[l]);
        else
            for (size_t l = 0; l < lanes; l++) wrong[l] |= !(best[l] >= z[l]);
    }
}

void fanin__lanes_wrong(size_t lanes, size_t rows, size_t classes, const float *y,
                        const fanin__lanes_target *target, unsigned char *wrong) {
    size_t together = target->own ? 1 : lanes; /* that have one target */
    for (size_t r = 0; r < rows; r++, y += classes * lanes)
        for (size_t l = 0; l < lanes; l += together) {
            size_t at = wanted(target, lanes, classes, r, l);
            if (classes == 1)
                wrong_by_side(together, y + l, target->border, at != 0, wrong + l);
            else
                wrong_by_maximum(together, lanes, classes, at, y + l, wrong + l);
        }
}
