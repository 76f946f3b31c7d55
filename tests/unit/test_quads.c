/* Maxima of windows of 2 x 2 against the reference kernel of max pooling: the same bits for every
 * size, odd ones too, with ties and NaN, on every instruction set. */
#include <math.h>
#include <string.h>

#include "compute/compute.h"
#include "operator/ir.h"
#include "testing.h"

enum { PLANES = 3, EDGE = 21 };

static fanin__tensor images(int64_t h, int64_t w, float *data) {
    fanin__node n = {.rank = 4, .dtype = FANIN_F32, .dims = {1, PLANES, h, w}};
    n.count = (size_t)(PLANES * h * w);
    return fanin__tensor_packed(&n, data);
}

static void same(const float *a, const float *b, size_t n, int64_t h, int64_t w) {
    for (size_t i = 0; i < n; i++)
        if (!(a[i] == b[i] || (a[i] != a[i] && b[i] != b[i])))
            fail_msg("%lld x %lld, element %zu: %g, expected %g", (long long)h, (long long)w, i,
                     (double)a[i], (double)b[i]);
}

TEST(windows_agree_with_the_reference) {
    static float x[PLANES * EDGE * EDGE], g[FANIN_COUNT(x)], y[2][FANIN_COUNT(x)],
        dx[2][FANIN_COUNT(x)];
    uint32_t bits = 5;
    for (int64_t h = 2; h <= EDGE; h++)
        for (int64_t w = 2; w <= EDGE; w++) {
            size_t count = (size_t)(PLANES * h * w), results = (size_t)(PLANES * (h / 2) * (w / 2));
            for (size_t i = 0; i < count; i++) { /* few values: ties; some are NaN, -0, infinite */
                bits = bits * 1664525u + 1013904223u;
                uint32_t r = bits >> 16 & 63;
                x[i] = r == 0 ? NAN : r == 1 ? -0.0f : r == 2 ? -INFINITY : (float)(r % 7) - 3;
                g[i] = (float)(i + 1);
            }
            memset(y, 0x55, sizeof y);
            memset(dx, 0x55, sizeof dx);
            fanin__node node = {.op = FANIN__MAXPOOL, .count = results, .attr.window = {.rank = 2}};
            for (int i = 0; i < 2; i++) {
                node.attr.window.kernel[i] = node.attr.window.stride[i] = 2;
                node.attr.window.dilation[i] = 1;
            }
            fanin__tensor in[2] = {images(h, w, x), images(h / 2, w / 2, g)};
            fanin__tensor out = images(h / 2, w / 2, y[0]);
            fanin__primitive_of(FANIN__MAXPOOL)->f32(&node, in, 1, &out);
            fanin__max_quads(PLANES, (size_t)h, (size_t)w, x, y[1]);
            same(y[1], y[0], results, h, w);
            node.op = FANIN__MAXPOOL_SCATTER;
            node.count = count;
            out = images(h, w, dx[0]);
            fanin__primitive_of(FANIN__MAXPOOL_SCATTER)->f32(&node, in, 2, &out);
            fanin__max_quads_backward(PLANES, (size_t)h, (size_t)w, x, g, dx[1]);
            same(dx[1], dx[0], count, h, w);
            assert_memory_equal(&dx[1][count], &dx[1][FANIN_COUNT(x) - 1],
                                count < FANIN_COUNT(x) ? sizeof(float) : 0);
        }
}

TEST(every_set_gives_the_same_bits) {
    static float x[2][2 * 37], g[37], first[3][2 * 37], out[3][2 * 37];
    for (int i = 0; i < 74; i++) {
        x[0][i] = (float)(i * 7 % 11);
        x[1][i] = (float)(i * 5 % 13);
        g[i / 2] = (float)i;
    }
    for (int level = 0; level <= FANIN_CPU_AVX512; level++) {
        const fanin__kernels *k = fanin__kernels_level(level);
        for (size_t n = 0; k && n <= 37; n++) {
            memset(out, 0x55, sizeof out);
            k->quad_max(n, x[0], x[1], out[0]);
            k->quad_spread(n, x[0], x[1], g, out[1], out[2]);
            if (level == 0 && n == 37) memcpy(first, out, sizeof out);
            for (size_t i = n; i < 37; i++) assert_memory_equal(&out[0][i], &out[0][73], 4);
            for (size_t i = 2 * n; i < 74; i++) assert_memory_equal(&out[1][i], &out[0][73], 4);
            if (n == 37) assert_memory_equal(first, out, sizeof out);
        }
    }
}
