/* What operators compute, against numbers of PyTorch 1.13 (in double) and of the standard's definitions. */
#include <math.h>
#include <stdio.h>

#include "fanin/engine.h"
#include "op_case.h"

typedef struct value_case {
    op_case c;
    const char *shape, *numbers;
} value_case;

static const value_case cases[] = {
    {{"Einsum", "equation='bii->bi'", "%0,1,2,3,4,5,6,7:2x2x2", 13, 1}, "2x2", "0,3,4,7"},
    {{"Einsum", "equation='iji->j'", "%0,1,2,3,4,5,6,7:2x2x2", 13, 1}, "2", "5,9"},
    {{"Einsum", "equation='iii'", "%0,1,2,3,4,5,6,7:2x2x2", 13, 1}, "s", "7"},
    {{"Einsum", "equation='bi,ij,bj->b'",
      "%0.75,0.25,0,-0.5,0,-1.25:2x3 %0.25,1,-1.5,1,0.5,1.25:3x2 %-0.75,0.25,0.5,-0:2x2", 13, 1},
     "2",
     "0.390625,-0.375"},
    {{"Einsum", "equation='...ij,jk->...ik'",
      "%1,0.75,0.5,-0.25,-0.75,-1,0.75,0.25:2x1x2x2 %-0.5,0.25,-1.25,0.5:2x2", 13, 1},
     "2x1x2x2",
     "-1.4375,0.625,0.0625,0,1.625,-0.6875,-0.6875,0.3125"},
    {{"Einsum", "equation='...ij,...jk'",
      "%1,0.75,0.5,-0.25,-0.75,-1,0.75,0.25:2x1x2x2 "
      "%-1.5,-0.75,0.25,-0.25,0.5,0,1.25,1.5,0.5,1,-2.25,0.25:3x2x2",
      13, 1},
     "2x3x2x2",
     "-1.3125,-0.9375,-0.8125,-0.3125,1.4375,1.125,-0.0625,-0.375,-1.1875,1.1875,0.8125,0.4375,0."
     "875,0.8125,-1.0625,-0.625,-1.625,-1.5,0.6875,0.375,1.875,-1,-0.1875,0.8125"},
    {{"Einsum", "equation='...i->...'",
      "%-1.5,-0.75,0.25,-0.25,0.5,0,1.25,1.5,0.5,1,-2.25,0.25:3x2x2", 13, 1},
     "3x2",
     "-2.25,0,0.5,2.75,1.5,-2"},
    {{"ConvTranspose", "dilations=[2] output_padding=[1] pads=[1,1]",
      "%-1,-0.25,-1,0.75,-0.5,0.75:1x2x3 %-0.75,-1,-0,0.25,-0.5,-1:2x1x3", 13, 1},
     "1x1x6",
     "0.0625,1.5625,0.5,-0.125,0.5,-0.75"},
    {{"ConvTranspose", "dilations=[2] output_padding=[1] pads=[0,0] group=2",
      "%-1,-0.25,-1,0.75,-0.5,0.75:1x2x3 %-0.75,-1,-0,0.25,-0.5,-1:2x1x3", 13, 1},
     "1x2x8",
     "0.75,0.1875,1.75,0.25,1,0,0,0,0.1875,-0.125,-0.1875,0.25,-1.125,0.5,-0.75,0"},
    {{"MaxPool", "kernel_shape=[3,3] strides=[2,2] pads=[1,1,1,1]",
      "%1,29,23,10,26,22,16,27,18,2,8,21,31,25,28,7,20,12,15,24,0,14,5,6,9,4,13,17,19,11,3,30:"
      "1x2x4x4",
      13, 2},
     "1x2x2x2",
     "1,1,12,14,16,19,28,31"},
    {{"MaxPool", "kernel_shape=[3,3] strides=[2,2] pads=[1,1,1,1] storage_order=1",
      "%1,29,23,10,26,22,16,27,18,2,8,21,31,25,28,7,20,12,15,24,0,14,5,6,9,4,13,17,19,11,3,30:"
      "1x2x4x4",
      13, 2},
     "1x2x2x2",
     "4,4,3,11,16,28,19,31"},
    {{"CumSum", "", "%1,2,3,4,5,6:2x3 #=1", 14, 1}, "2x3", "1,3,6,4,9,15"},
    {{"CumSum", "reverse=1", "%1,2,3,4,5,6:2x3 #=-1", 14, 1}, "2x3", "6,5,3,15,11,6"},
    {{"CumSum", "exclusive=1", "%1,2,3,4,5,6:2x3 #=0", 14, 1}, "2x3", "0,0,0,1,2,3"},
    {{"CumSum", "exclusive=1 reverse=1", "%1,2,3,4,5:5 #=0", 14, 1}, "5", "14,12,9,5,0"},
    {{"CumSum", "", "#1,2,3,4,5:5 #=0", 14, 1}, "5", "1,3,6,10,15"},
    {{"TopK", "axis=1", "%3,1,3,2,0,5,-1,5:2x4 #3", 11, 1}, "2x3", "3,3,2,5,5,0"},
    {{"TopK", "axis=0 largest=0", "%3,1,3,2,0,5,-1,5:2x4 #1", 11, 1}, "1x4", "0,1,-1,2"},
    {{"TopK", "axis=1", "%3,1,3,2,0,5,-1,5:2x4 #3", 11, 2}, "2x3", "0,2,3,1,3,0"},
    {{"TopK", "axis=0 largest=0", "%3,1,3,2,0,5,-1,5:2x4 #1", 11, 2}, "1x4", "1,0,1,0"},
    {{"GatherND", "", "%0,1,2,3,4,5,6,7,8,9,10,11:2x3x2 #1,0,-1,2:2x2", 13, 1}, "2x2", "6,7,10,11"},
    {{"GatherND", "batch_dims=1", "%0,1,2,3,4,5,6,7,8,9,10,11:2x3x2 #1,-1:2x1", 13, 1},
     "2x2",
     "2,3,10,11"},
    {{"ScatterND", "", "%0,1,2,3,4,5,6,7,8,9,10,11:2x3x2 #0,1,1,-1:2x2 %0.25,-0.75,-0.25,0:2x2", 16,
      1},
     "2x3x2",
     "0,1,0.25,-0.75,4,5,6,7,8,9,-0.25,0"},
    {{"ScatterND", "reduction='add'",
      "%0,1,2,3,4,5,6,7,8,9,10,11:2x3x2 #0,1,0,1:2x2 %0.25,-0.75,-0.25,0:2x2", 16, 1},
     "2x3x2",
     "0,1,2,2.25,4,5,6,7,8,9,10,11"},
    {{"ScatterElements", "", "%7,7,7,7,7,7,7,7,7:3x3 #1,0,2,0,2,1:2x3 %-0.25,1,1.5,1.5,2,-1.5:2x3",
      16, 1},
     "3x3",
     "1.5,1,7,-0.25,7,-1.5,7,2,1.5"},
    {{"ScatterElements", "axis=1 reduction='add'",
      "%7,7,7,7,7,7,7,7,7:3x3 #1,1,-1,0,2,1:2x3 %-0.25,1,1.5,1.5,2,-1.5:2x3", 16, 1},
     "3x3",
     "7,7.75,8.5,8.5,5.5,9,7,7,7"},
    {{"OneHot", "axis=0", "#1,-1,5:3 #=3 %-1,2:2", 11, 1}, "3x3", "-1,-1,-1,2,-1,-1,-1,2,-1"},
    {{"OneHot", "", "#1,-1:2 #=3 #0,1:2", 11, 1}, "2x3", "0,1,0,0,0,1"},
    {{"Hardmax", "", "%1,3,3,2,0,1:2x3", 13, 1}, "2x3", "0,1,0,1,0,0"},
    {{"Hardmax", "axis=1", "%1,3,3,0:1x2x2", 11, 1}, "1x2x2", "0,1,0,0"},
    {{"Shrink", "lambd=f1.5 bias=f0.5", "%-2,-1,0,1,2:5", 9, 1}, "5", "-1.5,0,0,0,1.5"},
    {{"EyeLike", "k=1", "%0,0,0,0,0,0:2x3", 9, 1}, "2x3", "0,1,0,0,0,1"},
    {{"GlobalLpPool", "p=3", "%1,-2,2,0,3,-1:1x2x3", 13, 1}, "1x2x1", "2.571281591,3.036588972"},
    {{"MeanVarianceNormalization", "axes=[0,2]", "%1,3,2,6,5,7,0,0:2x2x2", 13, 1},
     "2x2x2",
     "-1.341640786,-0.4472135955,0,1.632993162,0.4472135955,1.341640786,-0.8164965809,-0."
     "8164965809"},
    {{"Pad", "mode='wrap'", "%1,2,3,4,5,6:2x3 #0,2,1,1", 19, 1},
     "3x6",
     "2,3,1,2,3,1,5,6,4,5,6,4,2,3,1,2,3,1"},
    {{"ReduceMean", "axes=[0]", "#2,5,8:3", 13, 1}, "1", "5"},
    {{"Resize", "mode='cubic' coordinate_transformation_mode='half_pixel'",
      "%-0.5,-0.25,-1,-0.25,0.5,0,0.75,2.5,-0.5,-1,1.25,-1.75:1x1x3x4 - - #1,1,5,3", 13, 1},
     "1x1x5x3",
     "-0.5342662037,-0.752125,-0.6233819444,-0.04109259259,-0.36159375,0.9058009259,0.4152199074,0."
     "1640625,2.261863426,-0.1503425926,0.34378125,0.2835509259,-0.7093217593,0.378125,-1.6204375"},
    {{"Resize", "mode='cubic' coordinate_transformation_mode='align_corners'",
      "%-0.5,-0.25,-1,-0.25,0.5,0,0.75,2.5,-0.5,-1,1.25,-1.75:1x1x3x4 - - #1,1,5,3", 13, 1},
     "1x1x5x3",
     "-0.5,-0.671875,-0.25,0.09375,-0.2722167969,1.5234375,0.5,0.1640625,2.5,0.09375,0.3400878906,"
     "0.6328125,-0.5,0.359375,-1.75"},
    {{"Resize", "mode='linear' antialias=1 exclude_outside=1",
      "%-0.5,-0.25,-1,-0.25,0.5,0,0.75,2.5,-0.5,-1,1.25,-1.75:1x1x3x4 - - #1,1,2,3", 18, 1},
     "1x1x2x3",
     "-0.134375,-0.25,0.44375,-0.275,0.21875,0.209375"},
    /* the standard's own test: without exclude_outside the edge repeats */
    {{"Resize", "mode='linear' antialias=1",
      "%1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16:1x1x4x4 - - #1,1,3,3", 18, 1},
     "1x1x3x3",
     "2.363636364,3.590909091,4.818181818,7.272727273,8.5,9.727272727,12.18181818,13.40909091,14."
     "63636364"},
    {{"Resize", "mode='linear' axes=[3]",
      "%-0.5,-0.25,-1,-0.25,0.5,0,0.75,2.5,-0.5,-1,1.25,-1.75:1x1x3x4 - - #7", 18, 1},
     "1x1x3x7",
     "-0.5,-0.4107142857,-0.2678571429,-0.625,-0.9464285714,-0.5178571429,-0.25,0.5,0.3214285714,0."
     "03571428571,0.375,0.875,1.875,2.5,-0.5,-0.6785714286,-0.9642857143,0.125,1.035714286,-0."
     "6785714286,-1.75"},
    {{"Resize",
      "mode='nearest' keep_aspect_ratio_policy='not_larger' axes=[2,3] nearest_mode='floor' "
      "coordinate_transformation_mode='asymmetric'",
      "%-0.5,-0.25,-1,-0.25,0.5,0,0.75,2.5,-0.5,-1,1.25,-1.75:1x1x3x4 - - #6,10", 18, 1},
     "1x1x6x8",
     "-0.5,-0.5,-0.25,-0.25,-1,-1,-0.25,-0.25,-0.5,-0.5,-0.25,-0.25,-1,-1,-0.25,-0.25,0.5,0.5,0,0,"
     "0.75,0.75,2.5,2.5,0.5,0.5,0,0,0.75,0.75,2.5,2.5,-0.5,-0.5,-1,-1,1.25,1.25,-1.75,-1.75,-0.5,-"
     "0.5,-1,-1,1.25,1.25,-1.75,-1.75"},
    {{"RNN", "hidden_size=2",
      "%1.25,-0,-1,-1,-0.25,-0:3x1x2 %0.25,-0,-0.5,-0:1x2x2 %-0.625,-1,-0.125,0.625:1x2x2 "
      "%0.75,0.125,0.75,-0.25:1x4",
      14, 1},
     "3x1x1x2",
     "0.9480852856,-0.6351489524,0.8598048287,-0.1395619102,0.777763208,-0.1922782373"},
    {{"RNN", "hidden_size=2",
      "%1.25,-0,-1,-1,-0.25,-0:3x1x2 %0.25,-0,-0.5,-0:1x2x2 %-0.625,-1,-0.125,0.625:1x2x2 "
      "%0.75,0.125,0.75,-0.25:1x4",
      14, 2},
     "1x1x2",
     "0.777763208,-0.1922782373"},
    {{"GRU", "hidden_size=1 linear_before_reset=1 direction='bidirectional'",
      "%1.25,-0,-1,-1,-0.25,-0:3x1x2 "
      "%0.125,-0.25,0.125,-0.5,0.125,0.375,-0.375,-0.625,0.125,0.125,-0.25,-0.75:2x3x2 "
      "%0.625,-0.5,-1.25,0.125,-0.125,-0.125:2x3x1 "
      "%-0.5,-0.125,0.25,-0.25,0.375,-0.375,0,-0.125,-0.25,0.375,0.625,0.375:2x6",
      14, 1},
     "3x2x1x1",
     "0.1154596935,-0.08681219148,-0.2902627484,0.1631644434,0.0706460798,0.01660171126"},
    {{"GRU", "hidden_size=1 linear_before_reset=1 direction='bidirectional'",
      "%1.25,-0,-1,-1,-0.25,-0:3x1x2 "
      "%0.125,-0.25,0.125,-0.5,0.125,0.375,-0.375,-0.625,0.125,0.125,-0.25,-0.75:2x3x2 "
      "%0.625,-0.5,-1.25,0.125,-0.125,-0.125:2x3x1 "
      "%-0.5,-0.125,0.25,-0.25,0.375,-0.375,0,-0.125,-0.25,0.375,0.625,0.375:2x6",
      14, 2},
     "2x1x1",
     "0.0706460798,-0.08681219148"},
    {{"LSTM", "hidden_size=1 direction='bidirectional'",
      "%1.25,-0,-1,-1,-0.25,-0:3x1x2 "
      "%0.875,0.25,-0.75,0.75,0.25,1,-0.5,0.375,0.125,0.375,0.5,-0.25,0.25,-0.25,1.125,-0.875:"
      "2x4x2 %0.25,-0,0.375,-0.875,0.125,-0.375,0.125,-0.125:2x4x1 "
      "%-0,-0.75,-0.125,0.25,-0.375,0.25,-1.375,-0.625,0.125,0.75,-0.5,-0.375,-0.125,0.125,0.125,0."
      "5:2x8",
      14, 1},
     "3x2x1x1",
     "-0.09050325118,0.3485270106,-0.02266058449,-0.04929692014,-0.03814117437,-0.05171060616"},
    {{"LSTM", "hidden_size=1 direction='bidirectional'",
      "%1.25,-0,-1,-1,-0.25,-0:3x1x2 "
      "%0.875,0.25,-0.75,0.75,0.25,1,-0.5,0.375,0.125,0.375,0.5,-0.25,0.25,-0.25,1.125,-0.875:"
      "2x4x2 %0.25,-0,0.375,-0.875,0.125,-0.375,0.125,-0.125:2x4x1 "
      "%-0,-0.75,-0.125,0.25,-0.375,0.25,-1.375,-0.625,0.125,0.75,-0.5,-0.375,-0.125,0.125,0.125,0."
      "5:2x8",
      14, 2},
     "2x1x1",
     "-0.03814117437,0.3485270106"},
    {{"LSTM", "hidden_size=1 direction='bidirectional'",
      "%1.25,-0,-1,-1,-0.25,-0:3x1x2 "
      "%0.875,0.25,-0.75,0.75,0.25,1,-0.5,0.375,0.125,0.375,0.5,-0.25,0.25,-0.25,1.125,-0.875:"
      "2x4x2 %0.25,-0,0.375,-0.875,0.125,-0.375,0.125,-0.125:2x4x1 "
      "%-0,-0.75,-0.125,0.25,-0.375,0.25,-1.375,-0.625,0.125,0.75,-0.5,-0.375,-0.125,0.125,0.125,0."
      "5:2x8",
      14, 3},
     "2x1x1",
     "-0.0905204107,0.4536192439"},
    /* bounds that cross give the upper one; integers to a broken power; reductions that reduce nothing, and
       over nothing */
    {{"Clip", "", "%-1,0,1:3 %0.5 %-0.5", 13, 1}, "3", "-0.5,-0.5,-0.5"},
    {{"Clip", "", "#-1,0,5 #=0 #=3", 13, 1}, "3", "0,0,3"},
    {{"Pow", "", "#4,9 %0.5,2:2", 15, 1}, "2", "2,81"},
    {{"ReduceSumSquare", "noop_with_empty_axes=1", "%-3,2:2", 18, 1}, "2", "9,4"},
    {{"ReduceLogSumExp", "axes=[0]", "%1000,1000:2", 13, 1}, "1", "1000.693147181"},
    {{"ReduceLogSumExp", "axes=[0]", "%-1e400,-1e400:2", 13, 1}, "1", "-1e400"},
    {{"ReduceLogSumExp", "axes=[1]", "%0:2x0", 13, 1}, "2x1", "-1e400,-1e400"},
    {{"ReduceMax", "axes=[0]", "%0:0x2", 13, 1}, "1x2", "-1e400,-1e400"},
    {{"ReduceMin", "axes=[0] keepdims=0", "%0:0x2", 13, 1}, "2", "1e400,1e400"},
};

/* What is refused, and what is said. */
static const struct {
    op_case c;
    const char *says;
} mistakes[] = {
    {{"Div", "", "#6,4 #2,0", 13, 1}, "integer division by zero"},
    {{"Mod", "", "#6 #=0", 13, 1}, "integer division by zero"},
    {{"Clip", "", "2x3 %1,2,3:3", 13, 1}, "input 1 has 3 elements, expected one number"},
    {{"Dropout", "", "2x3 %2", 13, 1}, "dropout ratio 2 is not in [0, 1]"},
    {{"Sqrt", "", "#4,9", 13, 1}, "sqrt of I64 numbers"},
    {{"Split", "axis=1", "2x3 #1,1", 13, 2}, "the parts have 2 elements of axis 1, which has 3"},
    {{"Gather", "", "2x3 %1,2:2", 13, 1}, "gather: indices are F64, expected whole numbers"},
    {{"Expand", "", "2x3 #-2,2,3", 13, 1},
     "axis 0 of the result of broadcast would have -2 elements"},
    {{"Conv", "", "1x3x8x8 4x3x3x3 3", 13, 1}, "the bias has 3 elements, expected 4"},
    {{"Conv", "kernel_shape=[5,5]", "1x3x8x8 4x3x3x3", 13, 1},
     "kernel_shape has 5 on axis 0, the weight is 4x3x3x3"},
    {{"ConvTranspose", "output_padding=[-1]", "1x3x4 3x2x3", 13, 1},
     "output_padding of -1, expected 0 or more"},
    {{"MaxPool", "kernel_shape=[2] pads=[2,0]", "1x1x5", 13, 1},
     "a pad of 2, expected less than the window's 2"},
    {{"Pad", "mode='banana'", "2 #1,1", 13, 1},
     "mode 'banana', expected constant, edge, reflect or wrap"},
    {{"Einsum", "equation='ij,jk->ik'", "2x3 2x3", 13, 1},
     "operand 1 has 2 elements where another has 3"},
    {{"Einsum", "equation='ij->iq'", "2x3", 13, 1},
     "equation 'ij->iq' does not describe these 1 operands"},
    {{"GatherND", "", "2x3 #0,0,0", 13, 1}, "tuples of indices are 3 (I64), the tensor 2x3"},
    {{"ScatterND", "", "2x3 #0:1x1 2", 13, 1}, "updates are 2, expected 1x3"},
    {{"TopK", "", "2x3 #4", 13, 2}, "the first 4 of axis 1, which has 3 elements"},
    {{"CumSum", "", "2x3 #=5", 13, 1}, "axis 5 of a tensor of rank 2"},
    {{"OneHot", "", "#1,2 #=-4 2", 13, 1}, "-4 classes"},
    {{"LSTM", "", "3x2x2 1x8x3 1x8x2", 13, 1}, "input 1 is 1x8x3, expected 1x8x2"},
    {{"GRU", "", "5000x1x1 1x3x1 1x3x1", 13, 1}, "5000 steps, 4096 at most are unrolled"},
    {{"Resize", "", "1x4 - %0,1:2", 13, 1}, "axis 0: 1 elements become 0"},
};

static fanin_program *run(const value_case *v, const built *g, fanin_dtype dtype) {
    fanin_program *p;
    fanin_err err = {0};
    fanin_program_options o = {.dtype = dtype, .eval = true};
    if (fanin_program_create(g->graph, &o, &p, &err) != FANIN_OK)
        fail_msg("%s (%s): %s", v->c.op, v->c.attrs, err.message);
    assert_ok_err(fanin_program_run(p, &err), err);
    return p;
}

static double number_at(fanin_buffer b, size_t i) {
    switch (b.dtype) {
    case FANIN_F32: return (double)((const float *)b.data)[i];
    case FANIN_F64: return ((const double *)b.data)[i];
    case FANIN_I64: return (double)((const int64_t *)b.data)[i];
    default: return (double)((const unsigned char *)b.data)[i];
    }
}

static void check_output(const value_case *v, fanin_buffer b, double tolerance) {
    const char *shape = v->shape, *s = v->numbers;
    int64_t dims[8];
    double want[64];
    int rank = read_dims(&shape, dims), count = read_numbers(&s, want);
    bool same = rank == b.rank && (size_t)count == b.count;
    for (int i = 0; same && i < rank; i++) same = dims[i] == b.dims[i];
    if (!same) fail_msg("%s (%s): rank %d, expected %s", v->c.op, v->c.attrs, b.rank, v->shape);
    for (int i = 0; i < count; i++)
        if (number_at(b, (size_t)i) != want[i] &&
            !(fabs(number_at(b, (size_t)i) - want[i]) <= tolerance * (1 + fabs(want[i]))))
            fail_msg("%s (%s): element %d is %.10g, expected %.10g", v->c.op, v->c.attrs, i,
                     number_at(b, (size_t)i), want[i]);
}

TEST(values_agree_with_pytorch_and_the_standard) {
    for (size_t i = 0; i < FANIN_COUNT(cases); i++) {
        random_state r = {i};
        built g = build(&cases[i].c, &r);
        const fanin_dtype types[2] = {FANIN_F64, FANIN_F32};
        for (int k = 0; k < 2; k++) {
            fanin_program *p = run(&cases[i], &g, types[k]);
            /* attributes are floats in files, doubles here */
            check_output(&cases[i], fanin_program_output(p, 0), k == 0 ? 1e-9 : 2e-6);
            fanin_program_destroy(p);
        }
        fanin_graph_destroy(g.graph);
    }
}

TEST(mistakes_are_refused) {
    for (size_t i = 0; i < FANIN_COUNT(mistakes); i++) {
        random_state r = {i};
        built g = build(&mistakes[i].c, &r);
        fanin_program *p = NULL;
        fanin_err err = {0};
        fanin_program_options o = {.dtype = FANIN_F64};
        fanin_status status = fanin_program_create(g.graph, &o, &p, &err);
        bool file = status == FANIN_SHAPE || status == FANIN_FORMAT ||
                    status == FANIN_UNSUPPORTED || status == FANIN_LIMIT;
        if (!file || !strstr(err.message, mistakes[i].says) ||
            !strstr(err.message, mistakes[i].c.op))
            fail_msg("%s (%s): status %d, '%s'", mistakes[i].c.op, mistakes[i].c.attrs, (int)status,
                     err.message);
        assert_null(p);
        fanin_graph_destroy(g.graph);
    }
}
