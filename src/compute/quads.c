/* quads.c - maxima of windows of 2 x 2 side by side in row-major images, the pooling of LeNet and VGG.
 * oneDNN pads images of few channels to whole vectors of them, which takes five to ten times as long. */
#include <string.h>

#include "compute/compute.h"

enum { GRAIN = 1 << 14 };

typedef struct job {
    const fanin__kernels *kernels;
    size_t height, width;
    const float *x, *g;
    float *out;
} job;

static void max_planes(void *arg, size_t begin, size_t end) {
    const job *j = arg;
    size_t h = j->height / 2, w = j->width / 2;
    for (size_t p = begin; p < end; p++)
        for (size_t r = 0; r < h; r++) {
            const float *top = j->x + (p * j->height + 2 * r) * j->width;
            j->kernels->quad_max(w, top, top + j->width, j->out + (p * h + r) * w);
        }
}

void fanin__max_quads(size_t planes, size_t height, size_t width, const float *x, float *y) {
    job j = {fanin__kernels_best(), height, width, x, NULL, y};
    fanin_parallel_for(planes, GRAIN / (height * width + 1) + 1, max_planes, &j);
}

static void spread_planes(void *arg, size_t begin, size_t end) {
    const job *j = arg;
    size_t h = j->height / 2, w = j->width / 2, plane = j->height * j->width;
    if (j->height % 2 || j->width % 2)
        memset(j->out + begin * plane, 0, (end - begin) * plane * sizeof *j->out);
    for (size_t p = begin; p < end; p++)
        for (size_t r = 0; r < h; r++) {
            size_t at = p * plane + 2 * r * j->width;
            j->kernels->quad_spread(w, j->x + at, j->x + at + j->width, j->g + (p * h + r) * w,
                                    j->out + at, j->out + at + j->width);
        }
}

void fanin__max_quads_backward(size_t planes, size_t height, size_t width, const float *x,
                               const float *dy, float *dx) {
    job j = {fanin__kernels_best(), height, width, x, dy, dx};
    fanin_parallel_for(planes, GRAIN / (height * width + 1) + 1, spread_planes, &j);
}
