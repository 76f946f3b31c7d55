/* toys.c - small generators: parity, two spirals, blobs, teacher and student. */
#include <math.h>
#include <stdio.h>

#include "data/dataset.h"

typedef struct state {
    fanin_stream train, test;
    double p, q; /* bits | noise, turns | std */
    int in, hidden, out;
    double *weights; /* teacher: hidden x in, then out x hidden; blobs: centres */
} state;

static void toy_close(void *p) {
    state *s = p;
    fanin_free(s->weights);
    fanin_free(s);
}

static state *toy(const fanin__data_options *o, fanin_dataset *d, int inputs) {
    state *s = fanin_calloc(1, sizeof *s);
    if (!s) return NULL;
    char name[64];
    snprintf(name, sizeof name, "%s/train", o->name);
    s->train = fanin_stream_init(o->seed, name);
    snprintf(name, sizeof name, "%s/test", o->name);
    s->test = fanin_stream_init(o->seed, name);
    d->state = s;
    d->close = toy_close;
    d->info.rank = 1;
    d->info.dims[0] = inputs;
    return s;
}

static fanin_status xor_sample(const fanin_dataset *set, fanin_split split, uint64_t index,
                               float *x, void *target) {
    (void)split;
    int bits = (int)set->info.dims[0], ones = 0;
    for (int b = 0; b < bits; b++) {
        int bit = (int)(index >> (bits - 1 - b) & 1);
        x[b] = (float)bit;
        ones += bit;
    }
    *(int64_t *)target = ones & 1;
    return FANIN_OK;
}

fanin_status fanin__data_xor(const fanin__data_options *o, fanin_dataset *d, fanin_err *err) {
    double bits = fanin__data_option(o, "bits", 2);
    if (!(bits >= 1 && bits <= 20 && bits == floor(bits)))
        return fanin_err_set(err, FANIN_ARG,
                             "data set xor: bits=%g, expected a whole number from 1 to 20", bits);
    if (!toy(o, d, (int)bits)) return FANIN_NOMEM;
    d->sample = xor_sample;
    d->info.classes = 2;
    d->info.train_count = d->info.test_count = (uint64_t)1 << (int)bits;
    return FANIN_OK;
}

static fanin_status spiral_sample(const fanin_dataset *set, fanin_split split, uint64_t index,
                                  float *x, void *target) {
    const state *s = set->state;
    fanin__draws d = fanin__draws_of(split == FANIN_TRAIN ? &s->train : &s->test, index);
    int arm = (int)fanin__draw_below(&d, 2);
    double t = sqrt(fanin__draw_unit(&d)),
           angle = 2 * 3.14159265358979323846 * (s->q * t + 0.5 * arm);
    x[0] = (float)(t * cos(angle) + s->p * fanin__draw_normal(&d));
    x[1] = (float)(t * sin(angle) + s->p * fanin__draw_normal(&d));
    *(int64_t *)target = arm;
    return FANIN_OK;
}

fanin_status fanin__data_spirals(const fanin__data_options *o, fanin_dataset *d, fanin_err *err) {
    double noise = fanin__data_option(o, "noise", 0.05),
           turns = fanin__data_option(o, "turns", 1.5);
    if (!(noise >= 0 && noise < 10 && turns > 0 && turns < 100))
        return fanin_err_set(err, FANIN_ARG, "data set spirals: noise=%g,turns=%g out of range",
                             noise, turns);
    state *s = toy(o, d, 2);
    if (!s) return FANIN_NOMEM;
    s->p = noise;
    s->q = turns;
    d->sample = spiral_sample;
    d->info.classes = 2;
    return FANIN_OK;
}

/* Class c uniform; x = centre_c + std N(0, I), centres N(0, 1) each. */
static fanin_status blob_sample(const fanin_dataset *set, fanin_split split, uint64_t index,
                                float *x, void *target) {
    const state *s = set->state;
    fanin__draws d = fanin__draws_of(split == FANIN_TRAIN ? &s->train : &s->test, index);
    int c = (int)fanin__draw_below(&d, (uint32_t)s->out);
    for (int i = 0; i < s->in; i++)
        x[i] = (float)(s->weights[c * s->in + i] + s->p * fanin__draw_normal(&d));
    *(int64_t *)target = c;
    return FANIN_OK;
}

fanin_status fanin__data_blobs(const fanin__data_options *o, fanin_dataset *d, fanin_err *err) {
    double in = fanin__data_option(o, "in", 2), classes = fanin__data_option(o, "classes", 3),
           std = fanin__data_option(o, "std", 0.2);
    if (!(in >= 1 && in <= 2000 && classes >= 2 && classes <= 1000 && std >= 0 && std <= 100 &&
          in == floor(in) && classes == floor(classes)))
        return fanin_err_set(err, FANIN_ARG, "data set blobs: in=%g,classes=%g,std=%g out of range",
                             in, classes, std);
    state *s = toy(o, d, (int)in);
    if (!s) return FANIN_NOMEM;
    s->in = (int)in;
    s->out = (int)classes;
    s->p = std;
    s->weights = fanin_calloc((size_t)s->in * (size_t)s->out, sizeof(double));
    if (!s->weights) return FANIN_NOMEM;
    fanin_stream stream = fanin_stream_init(o->seed, "blobs/centres");
    for (int i = 0; i < s->in * s->out; i++) {
        fanin__draws draw = fanin__draws_of(&stream, (uint64_t)i);
        s->weights[i] = fanin__draw_normal(&draw);
    }
    d->sample = blob_sample;
    d->info.classes = s->out;
    return FANIN_OK;
}

/* t = V tanh(W x), W_ij ~ N(0, 2.25 / in) so that its units are curved, V_ij ~ N(0, 1 / hidden). */
static fanin_status teacher_sample(const fanin_dataset *set, fanin_split split, uint64_t index,
                                   float *x, void *target) {
    const state *s = set->state;
    fanin__draws d = fanin__draws_of(split == FANIN_TRAIN ? &s->train : &s->test, index);
    float *t = target;
    for (int i = 0; i < s->in; i++) x[i] = (float)fanin__draw_normal(&d);
    for (int k = 0; k < s->out; k++) t[k] = 0;
    for (int j = 0; j < s->hidden; j++) {
        double h = 0;
        for (int i = 0; i < s->in; i++) h += s->weights[j * s->in + i] * (double)x[i];
        h = tanh(h);
        for (int k = 0; k < s->out; k++)
            t[k] += (float)(s->weights[s->hidden * s->in + k * s->hidden + j] * h);
    }
    return FANIN_OK;
}

fanin_status fanin__data_teacher(const fanin__data_options *o, fanin_dataset *d, fanin_err *err) {
    double in = fanin__data_option(o, "in", 32), hidden = fanin__data_option(o, "hidden", 64),
           out = fanin__data_option(o, "out", 1);
    if (!(in >= 1 && in <= 2000 && hidden >= 1 && hidden <= 10000 && out >= 1 && out <= 1000))
        return fanin_err_set(err, FANIN_ARG,
                             "data set teacher: in=%g,hidden=%g,out=%g out of range", in, hidden,
                             out);
    state *s = toy(o, d, (int)in);
    if (!s) return FANIN_NOMEM;
    s->in = (int)in;
    s->hidden = (int)hidden;
    s->out = (int)out;
    size_t n = (size_t)s->hidden * (size_t)(s->in + s->out);
    s->weights = fanin_calloc(n, sizeof(double));
    if (!s->weights) return FANIN_NOMEM;
    fanin_stream stream = fanin_stream_init(o->seed, "teacher/weights");
    for (size_t i = 0; i < n; i++) {
        fanin__draws draw = fanin__draws_of(&stream, i);
        bool first = i < (size_t)s->hidden * (size_t)s->in;
        s->weights[i] = fanin__draw_normal(&draw) * (first ? 1.5 / sqrt(in) : 1 / sqrt(hidden));
    }
    d->sample = teacher_sample;
    d->info.target_count = s->out;
    return FANIN_OK;
}
