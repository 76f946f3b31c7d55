/* shapeset.c - Shapeset-3x2, the endless image task of Glorot & Bengio (2010).
 *
 * An image holds one or two shapes (triangle, parallelogram, ellipse as a 20-gon), each a regular polygon that
 * was rotated, stretched, turned upright again and rotated. Which shapes are there is the class; an object that
 * would hide more than half of an earlier one is drawn again. Settings are those of the author's published
 * generator: palettes [0, .45] and [.55, 1] swapped with probability 1/2, scales U(0.2, 0.8) of 32 pixels.
 *
 * Priors: 1/6 for each single shape, 1/9 for each mixed pair, 1/18 for each equal pair. */
#include <math.h>
#include <string.h>

#include "data/dataset.h"

enum { SIDE = 32, VERTICES_MAX = 20, TRIES = 50 };

static const double PI = 3.14159265358979323846;
static const int vertex_counts[3] = {3, 4, 20};

/* Label of {first, second}; order does not matter: T P E TP PE TE TT PP EE. */
static const int pair_label[3][3] = {{6, 3, 5}, {3, 7, 4}, {5, 4, 8}};

const char *fanin_shapeset_class(int label) {
    static const char *const names[9] = {"triangle",
                                         "parallelogram",
                                         "ellipse",
                                         "triangle + parallelogram",
                                         "parallelogram + ellipse",
                                         "triangle + ellipse",
                                         "two triangles",
                                         "two parallelograms",
                                         "two ellipses"};
    return label >= 0 && label < 9 ? names[label] : NULL;
}

typedef struct shape {
    int n;
    double x[VERTICES_MAX], y[VERTICES_MAX];
    double cx, cy; /* translation: the polygon's own centre */
    double area;   /* s0 s1 a_n, in pixels */
} shape;

typedef struct state {
    fanin_stream train, test;
    bool negative;
} state;

/* Row vector times [[c, s], [-s, c]]. */
static void rotate(double angle, double *x, double *y) {
    double c = cos(angle), s = sin(angle), px = *x;
    *x = px * c - *y * s;
    *y = px * s + *y * c;
}

/* Both rotations stay when an object is drawn again; scale and place change. */
static void make_shape(fanin__draws *d, int n, double r1, double r3, shape *out) {
    double s0 = 0.2 + 0.6 * fanin__draw_unit(d), s1 = 0.2 + 0.6 * fanin__draw_unit(d);
    if (s0 < s1) {
        double t = s0;
        s0 = s1;
        s1 = t;
    }
    double r2 = -atan(s1 / s0 * tan(r1)); /* the base lies flat again */
    double low_x = INFINITY, high_x = -INFINITY, low_y = INFINITY, high_y = -INFINITY;
    out->n = n;
    for (int k = 0; k < n; k++) {
        double angle = 2 * PI * ((double)k / n + 1.0 / (2 * n) + 0.25);
        double x = 0.5 * cos(angle), y = 0.5 * sin(angle);
        rotate(r1, &x, &y);
        x *= s0 * SIDE;
        y *= s1 * SIDE;
        rotate(r2, &x, &y);
        rotate(r3, &x, &y);
        out->x[k] = x;
        out->y[k] = y;
        low_x = fmin(low_x, x);
        high_x = fmax(high_x, x);
        low_y = fmin(low_y, y);
        high_y = fmax(high_y, y);
    }
    /* The bounding box keeps one pixel from the border. */
    double room_x = SIDE - 2 - (high_x - low_x), room_y = SIDE - 2 - (high_y - low_y);
    out->cx = 1 - low_x + fanin__draw_unit(d) * room_x;
    out->cy = 1 - low_y + fanin__draw_unit(d) * room_y;
    for (int k = 0; k < n; k++) {
        out->x[k] += out->cx;
        out->y[k] += out->cy;
    }
    out->area = s0 * s1 * SIDE * SIDE * n * sin(2 * PI / n) / (2 * PI);
}

/* Largest projection of the vertices on the direction (ux, uy), from the shape's centre. */
static double reach(const shape *s, double ux, double uy) {
    double most = -INFINITY;
    for (int k = 0; k < s->n; k++)
        most = fmax(most, (s->x[k] - s->cx) * ux + (s->y[k] - s->cy) * uy);
    return most;
}

static bool hides(const shape *later, const shape *earlier) {
    double dx = later->cx - earlier->cx, dy = later->cy - earlier->cy, d = sqrt(dx * dx + dy * dy);
    if (d <= 0) return true;
    double ux = dx / d, uy = dy / d;
    double overlap = reach(earlier, ux, uy) + reach(later, -ux, -uy) - d;
    if (overlap < 0) return false;
    double share = 1 - exp(-overlap * log(2) / d);
    return later->area * share / earlier->area > 0.5;
}

/* Even-odd fill of the pixels whose centre lies inside. */
static void paint(const shape *s, float value, float *image) {
    for (int row = 0; row < SIDE; row++) {
        double y = row + 0.5, cut[VERTICES_MAX];
        int cuts = 0;
        for (int k = 0; k < s->n; k++) {
            int next = k + 1 == s->n ? 0 : k + 1;
            if ((s->y[k] <= y) == (s->y[next] <= y)) continue;
            cut[cuts++] = s->x[k] + (y - s->y[k]) / (s->y[next] - s->y[k]) * (s->x[next] - s->x[k]);
        }
        if (cuts < 2) continue; /* convex: two crossings a line */
        double left = fmin(cut[0], cut[1]), right = fmax(cut[0], cut[1]);
        int begin = (int)ceil(left - 0.5), end = (int)floor(right - 0.5);
        for (int col = begin < 0 ? 0 : begin; col <= end && col < SIDE; col++)
            image[row * SIDE + col] = value;
    }
}

/* An integer grey of [int(255 low), int(255 high)], as a pixel. */
static float grey(fanin__draws *d, bool bright, bool negative) {
    int low = (int)((bright ? 0.55 : 0.0) * 255), high = (int)((bright ? 1.0 : 0.45) * 255);
    double v = (low + (int)fanin__draw_below(d, (uint32_t)(high - low + 1))) / 255.0;
    return (float)(negative ? 2 * v - 1 : v);
}

static void draw_rotations(fanin__draws *d, int n, double *r1, double *r3) {
    int steps = (int)floor(255.0 / (2 * n)); /* multiples of 2 pi / 255 within +- pi / n */
    *r1 = 2 * PI / 255 * ((int)fanin__draw_below(d, (uint32_t)(2 * steps + 1)) - steps);
    *r3 = 2 * PI / 255 * (int)fanin__draw_below(d, 254);
}

static fanin_status sample(const fanin_dataset *set, fanin_split split, uint64_t index, float *x,
                           void *target) {
    const state *s = set->state;
    fanin__draws d = fanin__draws_of(split == FANIN_TRAIN ? &s->train : &s->test, index);
    int count = 1 + (int)fanin__draw_below(&d, 2);
    bool swapped = fanin__draw_below(&d, 2) == 1;
    float ground = grey(&d, swapped, s->negative);
    int classes[2] = {0, 0}, made = 0;
    shape shapes[2];
    float greys[2] = {0, 0};
    for (int i = 0; i < count; i++) {
        classes[i] = (int)fanin__draw_below(&d, 3);
        int n = vertex_counts[classes[i]], tries = 0;
        double r1, r3;
        draw_rotations(&d, n, &r1, &r3);
        do make_shape(&d, n, r1, r3, &shapes[i]);
        while (i == 1 && hides(&shapes[1], &shapes[0]) && ++tries < TRIES);
        if (tries == TRIES) break;
        greys[i] = grey(&d, !swapped, s->negative);
        made++;
    }
    for (int i = 0; i < SIDE * SIDE; i++) x[i] = ground;
    for (int i = 0; i < made; i++) paint(&shapes[i], greys[i], x);
    *(int64_t *)target = made == 2 ? pair_label[classes[0]][classes[1]] : classes[0];
    return FANIN_OK;
}

fanin_status fanin__data_shapeset(const fanin__data_options *o, fanin_dataset *d, fanin_err *err) {
    (void)err;
    state *s = fanin_calloc(1, sizeof *s);
    if (!s) return FANIN_NOMEM;
    s->train = fanin_stream_init(o->seed, "shapeset/train");
    s->test = fanin_stream_init(o->seed, "shapeset/test");
    s->negative = fanin__data_option(o, "neg", 1) != 0;
    d->state = s;
    d->close = fanin_free;
    d->sample = sample;
    d->info.rank = 3;
    d->info.dims[0] = 1;
    d->info.dims[1] = d->info.dims[2] = SIDE;
    d->info.classes = 9;
    return FANIN_OK;
}
