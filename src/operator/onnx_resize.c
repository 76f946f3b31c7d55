/* onnx_resize.c - Resize and Upsample: one axis after the other. An output mixes the input's elements
 * within reach of the place that it comes from; what lies outside repeats the edge. */
#include <math.h>
#include <string.h>

#include "operator/onnx.h"

enum { NEAREST, LINEAR = 1, CUBIC = 2 }; /* also the reach of the kernel, in elements */

typedef struct resize {
    int mode;
    const char *coordinates, *rounding;
    bool antialias, exclude_outside, crop;
    double cubic_a, extrapolation;
} resize;

typedef struct axis_map {
    int axis;
    int64_t in, out;
    double scale, begin, end; /* begin, end: of the crop, as parts of the axis */
} axis_map;

/* Where output i of an axis lies, in input elements. */
static double source(const resize *r, const axis_map *m, double i) {
    const char *how = r->coordinates;
    double in = (double)m->in, out = (double)m->out, scale = m->scale;
    if (!strcmp(how, "asymmetric")) return i / scale;
    if (!strcmp(how, "align_corners")) return out > 1 ? i * (in - 1) / (out - 1) : 0;
    if (!strcmp(how, "pytorch_half_pixel") && m->out == 1) return 0;
    if (!strcmp(how, "tf_half_pixel_for_nn")) return (i + 0.5) / scale;
    if (!strcmp(how, "half_pixel_symmetric"))
        return in / 2 * (1 - out / (scale * in)) + (i + 0.5) / scale - 0.5;
    if (r->crop)
        return (in - 1) *
               (out > 1 ? m->begin + i * (m->end - m->begin) / (out - 1) : (m->begin + m->end) / 2);
    return (i + 0.5) / scale - 0.5;
}

static double round_source(const char *how, double v) {
    if (!strcmp(how, "floor")) return floor(v);
    if (!strcmp(how, "ceil")) return ceil(v);
    if (!strcmp(how, "round_prefer_ceil")) return floor(v + 0.5);
    return ceil(v - 0.5);
}

/* The interpolation kernel at distance d: a tent, or Keys' cubic with parameter a. */
static double kernel(const resize *r, double d) {
    d = fabs(d);
    if (d >= r->mode) return 0;
    if (r->mode == LINEAR) return 1 - d;
    double a = r->cubic_a;
    return d < 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
}

static int64_t clamped(double v, int64_t size) {
    return v < 0 ? 0 : v > (double)(size - 1) ? size - 1 : (int64_t)v;
}

/* A constant of `rank` axes, along `axis` only; the numbers are narrowed in place. */
static int along(fanin__ir *ir, int rank, int axis, int64_t size, double *numbers) {
    int64_t shape[FANIN_MAX_RANK];
    for (int i = 0; i < rank; i++) shape[i] = i == axis ? size : 1;
    if (ir->dtype == FANIN_F32)
        for (int64_t i = 0; i < size; i++) {
            float narrow = (float)numbers[i];
            memcpy((float *)numbers + i, &narrow, sizeof narrow);
        }
    return fanin__emit_const(ir, ir->dtype, rank, shape, numbers);
}

/* at[tap * out + i], mix[the same]: what output i reads, and how much of it. */
static void fill_taps(const resize *r, const axis_map *m, double s, int64_t taps, int64_t *at,
                      double *mix) {
    for (int64_t i = 0; i < m->out; i++) {
        double v = source(r, m, (double)i), sum = 0;
        double first =
            r->mode == NEAREST ? round_source(r->rounding, v) : floor(v - r->mode / s) + 1;
        for (int64_t k = 0; k < taps; k++) {
            double place = first + (double)k;
            bool outside = place < 0 || place > (double)(m->in - 1);
            double w = r->mode == NEAREST ? 1 : kernel(r, (place - v) * s);
            if (outside && r->exclude_outside) w = 0;
            at[k * m->out + i] = clamped(place, m->in);
            mix[k * m->out + i] = w;
            sum += w;
        }
        for (int64_t k = 0; k < taps && sum != 0; k++) mix[k * m->out + i] /= sum;
    }
}

/* Outputs whose source lies outside the image have a value of their own. */
static int extrapolated(fanin__ir *ir, int y, const resize *r, const axis_map *m, double *flags) {
    if (y < 0 || !r->crop) return y;
    int rank = ir->nodes[y].rank;
    for (int64_t i = 0; i < m->out; i++) {
        double v = source(r, m, (double)i);
        flags[i] = v >= 0 && v <= (double)(m->in - 1);
    }
    int inside = fanin__emit_cast(ir, along(ir, rank, m->axis, m->out, flags), FANIN_BOOL);
    return fanin__emit_select(ir, inside, y, fanin__emit_fill_like(ir, r->extrapolation, y));
}

static int resize_axis(fanin__ir *ir, int x, const resize *r, const axis_map *m) {
    if (x < 0) return -1;
    int rank = ir->nodes[x].rank, y = -1;
    double s = r->antialias && m->scale < 1 ? m->scale : 1; /* the kernel covers what it skips */
    double reach = r->mode == NEAREST ? 1 : 2 * ceil(r->mode / s);
    if (reach * (double)m->out > FANIN__LIST_MAX)
        return fanin__ir_fail(ir, FANIN_LIMIT, "axis %d: %g elements for each of %lld", m->axis,
                              reach, (long long)m->out);
    int64_t taps = (int64_t)reach;
    int64_t *at = fanin_calloc((size_t)(taps * m->out) + 1, sizeof *at);
    double *mix = fanin_calloc((size_t)(taps * m->out) + 1, sizeof *mix);
    if (!at || !mix) {
        fanin__ir_fail(ir, FANIN_NOMEM, "no memory for %lld indices", (long long)m->out);
        goto done;
    }
    fill_taps(r, m, s, taps, at, mix);
    for (int64_t k = 0; k < taps && !ir->failed; k++) {
        int indices = fanin__emit_const_i64(ir, m->out, at + k * m->out);
        int part = fanin__emit_gather(ir, x, indices, m->axis);
        if (r->mode != NEAREST)
            part = fanin__emit_binary(ir, FANIN__MUL, part,
                                      along(ir, rank, m->axis, m->out, mix + k * m->out));
        y = k == 0 ? part : fanin__emit_binary(ir, FANIN__ADD, y, part);
    }
    y = extrapolated(ir, y, r, m, mix);
done:
    fanin_free(at);
    fanin_free(mix);
    return ir->failed ? -1 : y;
}

/* ---- the node --------------------------------------------------------------------------- */

/* `count` numbers that are a constant or the payload of an initialiser. */
static bool constant_floats(fanin__lowering *l, int i, int count, double *values) {
    if (!fanin__lower_has(l, i)) return false;
    const fanin_value *v = &l->graph->values[l->node->inputs[i]];
    fanin__tensor t;
    if (v->data && fanin_dtype_is_float(v->dtype))
        return v->size == (size_t)count * fanin_dtype_size(v->dtype) &&
               fanin_convert_to_f64(v->data, v->dtype, (size_t)count, values) == FANIN_OK;
    int id = fanin__lower_in(l, i);
    if (id < 0 || (int64_t)l->ir->nodes[id].count != count || !fanin__const_tensor(l->ir, id, &t) ||
        !fanin__tensor_is_packed(&t))
        return false;
    for (int k = 0; k < count; k++)
        values[k] =
            t.dtype == FANIN_F32 ? (double)((const float *)t.data)[k] : ((const double *)t.data)[k];
    return t.dtype == FANIN_F32 || t.dtype == FANIN_F64;
}

static bool one_of(fanin__lowering *l, const char *attr, const char *text,
                   const char *const *known) {
    for (int i = 0; known[i]; i++)
        if (!strcmp(text, known[i])) return true;
    fanin__ir_fail(l->ir, FANIN_UNSUPPORTED, "%s '%.40s' (opset %d)", attr, text, l->graph->opset);
    return false;
}

static bool read_resize(fanin__lowering *l, bool old, resize *r) {
    static const char *const modes[] = {"nearest", "linear", "bilinear", "cubic", NULL};
    static const char *const coordinates[] = {
        "half_pixel",           "pytorch_half_pixel", "align_corners",        "asymmetric",
        "tf_half_pixel_for_nn", "tf_crop_and_resize", "half_pixel_symmetric", NULL};
    static const char *const rounding[] = {"round_prefer_floor", "round_prefer_ceil", "floor",
                                           "ceil", NULL};
    const char *mode = fanin__lower_string(l, "mode", "nearest");
    r->mode = !strcmp(mode, "nearest") ? NEAREST : !strcmp(mode, "cubic") ? CUBIC : LINEAR;
    r->coordinates =
        fanin__lower_string(l, "coordinate_transformation_mode", old ? "asymmetric" : "half_pixel");
    r->rounding = fanin__lower_string(l, "nearest_mode", old ? "floor" : "round_prefer_floor");
    r->crop = !strcmp(r->coordinates, "tf_crop_and_resize");
    r->antialias = fanin__lower_int(l, "antialias", 0) != 0;
    r->exclude_outside = fanin__lower_int(l, "exclude_outside", 0) != 0;
    r->cubic_a = fanin__lower_float(l, "cubic_coeff_a", -0.75);
    r->extrapolation = fanin__lower_float(l, "extrapolation_value", 0);
    return one_of(l, "mode", mode, modes) &&
           one_of(l, "coordinate_transformation_mode", r->coordinates, coordinates) &&
           one_of(l, "nearest_mode", r->rounding, rounding);
}

/* Sizes that keep the proportions of the image: one scale, the smallest or largest of the axes'. */
static void keep_proportions(const char *policy, int count, axis_map *maps, double *sizes) {
    double scale = 0;
    for (int i = 0; i < count; i++) {
        double s = sizes[i] / (double)maps[i].in;
        bool take = !strcmp(policy, "not_larger") ? s < scale : s > scale;
        if (i == 0 || take) scale = s;
    }
    for (int i = 0; i < count; i++) {
        maps[i].scale = scale;
        sizes[i] = floor(scale * (double)maps[i].in + 0.5);
    }
}

/* Sizes, scales and crops of `count` axes, from the inputs. */
static bool read_axes(fanin__lowering *l, bool old, const resize *r, int count, axis_map *maps) {
    int64_t given[FANIN_MAX_RANK];
    double scales[FANIN_MAX_RANK], sizes[FANIN_MAX_RANK], crop[2 * FANIN_MAX_RANK] = {0};
    int sized = old ? -1 : fanin__lower_ints(l, NULL, 3, given, FANIN_MAX_RANK);
    if (l->ir->failed) return false;
    if (sized > 0 && sized != count) {
        fanin__ir_fail(l->ir, FANIN_SHAPE, "%d sizes for %d axes", sized, count);
        return false;
    }
    if (sized <= 0) {
        const fanin_attr *a = fanin_node_attr(l->node, "scales");
        bool found = a && a->count == (size_t)count;
        for (int i = 0; found && i < count; i++) scales[i] = a->floats[i];
        if (!found && !constant_floats(l, old ? 1 : 2, count, scales)) {
            fanin__lower_fail(l, "scales have to be constant, one for each axis");
            return false;
        }
    }
    if (r->crop && !constant_floats(l, 1, 2 * count, crop)) {
        fanin__lower_fail(l, "the region has to be constant, begin and end for each axis");
        return false;
    }
    const char *policy = fanin__lower_string(l, "keep_aspect_ratio_policy", "stretch");
    for (int i = 0; i < count; i++) {
        maps[i].begin = crop[i];
        maps[i].end = crop[count + i];
        if (sized > 0) sizes[i] = (double)given[i];
        maps[i].scale = sized > 0 ? sizes[i] / (double)maps[i].in : scales[i];
    }
    if (sized > 0 && strcmp(policy, "stretch") != 0) keep_proportions(policy, count, maps, sizes);
    for (int i = 0; i < count; i++) {
        axis_map *m = &maps[i];
        double part = r->crop ? m->end - m->begin : 1;
        double wide = sized > 0 ? sizes[i] : floor((double)m->in * part * m->scale);
        m->out = wide >= 1 && wide <= FANIN__LIST_MAX ? (int64_t)wide : 0;
        if (m->out >= 1 && m->in >= 1 && m->scale > 0) continue;
        fanin__ir_fail(l->ir, FANIN_SHAPE, "axis %d: %lld elements become %g", m->axis,
                       (long long)m->in, wide);
        return false;
    }
    return true;
}

/* arg 1: Upsample, opset 9 and older: scales are input 1 or an attribute. */
void fanin__lower_resize(fanin__lowering *l, int arg) {
    fanin__ir *ir = l->ir;
    int x = fanin__lower_in(l, 0);
    if (x < 0) return;
    fanin__node n = ir->nodes[x];
    bool old = arg || l->graph->opset < 11;
    resize r;
    axis_map maps[FANIN_MAX_RANK];
    int64_t axes[FANIN_MAX_RANK];
    int count = fanin__lower_ints(l, "axes", -1, axes, FANIN_MAX_RANK);
    if (ir->failed || !read_resize(l, old, &r)) return;
    for (int i = 0; i < (count < 0 ? n.rank : count); i++) {
        maps[i].axis = count < 0 ? i : fanin__lower_axis(l, axes[i], n.rank);
        if (maps[i].axis < 0) return;
        maps[i].in = n.dims[maps[i].axis];
    }
    if (count < 0) count = n.rank;
    if (!read_axes(l, old, &r, count, maps)) return;
    for (int i = 0; i < count; i++) {
        const axis_map *m = &maps[i];
        bool whole = !r.crop || (m->begin == 0 && m->end == 1);
        if (m->out != m->in || m->scale != 1 || !whole) x = resize_axis(ir, x, &r, m);
    }
    fanin__lower_out(l, 0, x);
}
