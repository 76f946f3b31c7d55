/* Every row of the operator table, in shapes that are listed and in shapes that are drawn: its gradient against
 * central differences, its tangent map (the gradient of the gradient in the cotangent) against the inner product and against differences, its
 * second derivative against differences, all in double; then the float program, whose kernels are
 * other ones, against double. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/program.h"
#include "op_case.h"

static const op_case cases[] = {
    CASE("Abs", "", "2x3"),
    CASE("Neg", "", "4"),
    CASE("Sqrt", "", "2x3@0.5:2"),
    CASE("Reciprocal", "", "2x3@0.5:2"),
    CASE("Exp", "", "s"),
    CASE("Log", "", "3@0.5:2"),
    CASE("Erf", "", "2x3"),
    CASE("Tanh", "", "2x3x2"),
    CASE("Sigmoid", "", "2x3"),
    CASE("Relu", "", "3x5"),
    CASE("Sin", "", "3"),
    CASE("Cos", "", "3"),
    CASE("Tan", "", "3@-1:1"),
    CASE("Asin", "", "3@-0.8:0.8"),
    CASE("Acos", "", "3@-0.8:0.8"),
    CASE("Atan", "", "3"),
    CASE("Sinh", "", "3"),
    CASE("Cosh", "", "3"),
    CASE("Asinh", "", "3"),
    CASE("Acosh", "", "3@1.5:3"),
    CASE("Atanh", "", "3@-0.8:0.8"),
    CASE("LeakyRelu", "alpha=f0.2", "3x4"),
    CASE("Elu", "alpha=f1.3", "3x4"),
    CASE("Celu", "alpha=f0.7", "3x4"),
    CASE("Selu", "", "3x4"),
    CASE("Selu", "alpha=f2.0 gamma=f3.0", "3x4"),
    CASE("HardSigmoid", "", "3x4"),
    CASE("HardSwish", "", "3x4@-4:4"),
    CASE("Softplus", "", "3x4"),
    CASE("Softsign", "", "3x4"),
    CASE("ThresholdedRelu", "alpha=f0.3", "3x4"),
    CASE("Mish", "", "3x4"),
    CASE("Gelu", "", "3x4"),
    CASE("Gelu", "approximate='tanh'", "3x4"),
    CASE("Swish", "", "3x4"),
    CASE("PRelu", "", "2x3x4 3x1"),
    CASE("Shrink", "lambd=f0.3 bias=f0.2", "3x4"),
    CASE("Clip", "", "3x4 %-0.5 %0.7"),
    CASE("Clip", "", "3x4 s@-0.9:-0.3 s@0.3:0.9"),
    CASE("Softmax", "", "2x5"),
    CASE("Softmax", "axis=1", "2x3x4"),
    CASE_AT("Softmax", "axis=1", "2x3x4", 11),
    CASE("Softmax", "", "2x1"),
    CASE("LogSoftmax", "axis=-1", "2x3x4"),
    CASE("fanin:Activation", "name='gelu'", "3x4"),
    CASE("fanin:Activation", "formula='x*sigmoid(1.702*x)'", "3x4"),
    CASE("Add", "", "2x3 2x3"),
    CASE("Add", "", "2x1x3 4x1"),
    CASE("Add", "", "0x3 3"),
    CASE("Sub", "", "3 2x3"),
    CASE("Mul", "", "2x3x4 3x1"),
    CASE("Mul", "", "s 2x2"),
    CASE("Div", "", "2x3 2x3@0.5:2"),
    CASE("Div", "", "1x3 2x1@0.5:2"),
    CASE("Pow", "", "2x3@0.5:2 3"),
    CASE("Pow", "", "2x3 %2"),
    CASE("Pow", "", "2x3@0.5:2 %1.7"),
    CASE("Pow", "", "2x3@0.5:2 %0.5"),
    CASE("Mod", "fmod=1", "3@2.1:2.9 3@0.7:0.9"),
    CASE("Min", "", "2x3 2x3 3"),
    CASE("Max", "", "2x3 2x1"),
    CASE("Sum", "", "2x3 2x3 3"),
    CASE("Mean", "", "2x3 2x3 3"),
    CASE("Where", "", "?2x3 2x3 3"),
    CASE("Cast", "to=1", "2x3"),
    CASE("CastLike", "", "2x3 %1"),
    CASE("Identity", "", "2x3"),
    CASE("Dropout", "", "20x20 %0.3"),
    CASE("fanin:AlphaDropout", "ratio=f0.3", "20x20"),
    CASE("Gemm", "transB=1", "2x3 4x3 4"),
    CASE("Gemm", "transA=1 alpha=f0.5 beta=f2.0", "3x2 3x4 2x1"),
    CASE("Gemm", "", "2x3 3x4"),
    CASE("Gemm", "", "2x0 0x4 4"),
    CASE("MatMul", "", "2x3 3x4"),
    CASE("MatMul", "", "5x2x3 3x4"),
    CASE("MatMul", "", "5x2x3 5x3x4"),
    CASE("MatMul", "", "2x1x2x3 4x3x2"),
    CASE("MatMul", "", "2x3 4x3x2"),
    CASE("MatMul", "", "3 3x4"),
    CASE("MatMul", "", "2x3 3"),
    CASE("MatMul", "", "3 3"),
    CASE("Einsum", "equation='bij,bjk->bik'", "2x3x4 2x4x2"),
    CASE("Einsum", "equation='bhid,bhjd->bhij'", "2x2x3x2 2x2x4x2"),
    CASE("Einsum", "equation='ij->ji'", "2x3"),
    CASE("Einsum", "equation='ijk,kl->jl'", "2x3x4 4x2"),
    CASE("Einsum", "equation='i,j->ij'", "3 4"),
    CASE("Einsum", "equation='bii->bi'", "2x3x3"),
    CASE("Einsum", "equation='iij,jk->ik'", "3x3x2 2x4"),
    CASE("Einsum", "equation='bi,ij,bj->b'", "2x3 3x4 2x4"),
    CASE("Einsum", "equation='...ij,jk->...ik'", "2x1x2x3 3x2"),
    CASE("Einsum", "equation='...ij,...jk->...ik'", "1x2x2x3 2x1x3x2"),
    CASE("Einsum", "equation='...i,...i'", "2x3 3"),
    CASE("Conv", "", "2x3x5x6 4x3x3x3 4"),
    CASE("Conv", "pads=[1,0,2,1] strides=[2,1]", "2x2x5x6 3x2x3x2"),
    CASE("Conv", "group=2 dilations=[2,1] pads=[1,1,1,1]", "1x4x6x5 6x2x2x3 6"),
    CASE("Conv", "group=4", "2x4x4x4 4x1x2x2"),
    CASE("Conv", "pads=[1,1] strides=[2]", "2x3x7 4x3x3"),
    CASE("Conv", "", "1x2x3x4x3 2x2x2x2x2 2"),
    CASE("Conv", "auto_pad='SAME_UPPER' strides=[2,2]", "1x1x5x6 2x1x3x3"),
    CASE("Conv", "strides=[3,3]", "1x2x8x8 2x2x2x2"),
    CASE("ConvTranspose", "", "2x3x4x3 3x2x3x2 2"),
    CASE("ConvTranspose", "strides=[2,2] pads=[1,1,1,1] output_padding=[1,0]", "1x2x3x3 2x3x3x3"),
    CASE("ConvTranspose", "group=2 strides=[2]", "2x4x3 4x3x3"),
    CASE("ConvTranspose", "dilations=[2] output_padding=[1] pads=[1,1]", "1x2x4 2x3x3 3"),
    CASE("ConvTranspose", "dilations=[3,1] output_padding=[2,0] group=2", "2x2x2x3 2x1x2x2 2"),
    CASE("MaxPool", "kernel_shape=[2,2] strides=[2,2]", "2x3x4x6"),
    CASE("MaxPool", "kernel_shape=[3,3] strides=[2,2] pads=[1,1,1,1]", "2x2x5x5"),
    CASE("MaxPool", "kernel_shape=[3] strides=[2] ceil_mode=1", "2x2x6"),
    CASE("MaxPool", "kernel_shape=[2,2] dilations=[2,2]", "1x2x5x5"),
    CASE("AveragePool", "kernel_shape=[2,2] strides=[2,2]", "2x3x4x6"),
    CASE("AveragePool", "kernel_shape=[3,3] pads=[1,1,1,1]", "1x2x4x4"),
    CASE("AveragePool", "kernel_shape=[3,2] pads=[1,0,1,1] count_include_pad=1 strides=[2,1]",
         "1x2x5x4"),
    CASE("AveragePool", "kernel_shape=[3] strides=[2] ceil_mode=1", "1x2x6"),
    CASE("LpPool", "kernel_shape=[2,2] p=2", "1x2x4x4"),
    CASE("LpPool", "kernel_shape=[2,2] p=3 strides=[2,2]", "1x2x4x4"),
    CASE("GlobalLpPool", "p=2", "2x3x4x5"),
    CASE("GlobalLpPool", "p=3", "2x2x3"),
    CASE("GlobalAveragePool", "", "2x3x4x5"),
    CASE("GlobalMaxPool", "", "2x3x4x5"),
    CASE("BatchNormalization", "training_mode=1", "4x3x2x2 3 3 3@-1:1 3@0.5:1"),
    CASE("BatchNormalization", "training_mode=1 epsilon=f0.1", "6x2 2 2 2@-1:1 2@0.5:1"),
    CASE_AT("LayerNormalization", "axis=-1", "2x3x5 5 5", 17),
    CASE_AT("LayerNormalization", "axis=1 epsilon=f0.01", "2x3x5 3x5", 17),
    CASE_AT("GroupNormalization", "num_groups=2", "2x4x3x2 4 4", 21),
    CASE_AT("GroupNormalization", "num_groups=2", "2x4x3 2 2", 18),
    CASE("InstanceNormalization", "", "2x3x4 3 3"),
    CASE("LRN", "size=3 alpha=f0.2 beta=f0.7 bias=f1.5", "2x5x2x2"),
    CASE("LpNormalization", "axis=1", "2x4x3"),
    CASE("LpNormalization", "axis=-1 p=1", "2x4"),
    CASE("MeanVarianceNormalization", "axes=[0,2]", "2x3x4"),
    CASE("MeanVarianceNormalization", "", "2x2x3x2"),
    CASE("RNN", "hidden_size=3", "3x2x2 1x3x2 1x3x3 1x6"),
    CASE_OF("RNN", "hidden_size=2 direction='reverse'", "3x2x2 1x2x2 1x2x2", 14, 2),
    CASE_OF("RNN", "hidden_size=2 layout=1", "2x3x2 1x2x2 1x2x2 - - 2x1x2", 14, 2),
    CASE("RNN", "hidden_size=2 clip=f0.8", "3x2x2 1x2x2 1x2x2 - #3,1"),
    CASE("GRU", "hidden_size=2 direction='bidirectional'", "3x2x2 2x6x2 2x6x2 2x12"),
    CASE("GRU", "hidden_size=2 linear_before_reset=1", "3x2x2 1x6x2 1x6x2 1x12 - 1x2x2"),
    CASE_OF("LSTM", "hidden_size=2", "3x1x2 1x8x2 1x8x2 1x16 - 1x1x2 1x1x2", 14, 2),
    CASE_OF("LSTM", "hidden_size=2 direction='bidirectional'", "2x2x2 2x8x2 2x8x2 2x16 #2,1", 14,
            3),
    CASE("LSTM", "hidden_size=1 input_forget=1", "2x2x2 1x4x2 1x4x1 - - - - 1x3"),
    CASE_AT("ReduceSum", "", "2x3x4 #0,2", 13),
    CASE_AT("ReduceSum", "keepdims=0", "2x3x4", 13),
    CASE_AT("ReduceSum", "", "0x3 #0", 13),
    CASE("ReduceMean", "axes=[-1]", "2x3x4"),
    CASE("ReduceMean", "axes=[0,1] keepdims=0", "2x3x4"),
    CASE("ReduceMax", "axes=[1]", "2x5x3"),
    CASE("ReduceMin", "axes=[0] keepdims=0", "4x3"),
    CASE("ReduceProd", "axes=[1]", "2x3@0.5:2"),
    CASE("ReduceL1", "axes=[1]", "2x3"),
    CASE("ReduceL2", "axes=[0]", "2x3"),
    CASE("ReduceSumSquare", "", "2x3"),
    CASE("ReduceLogSum", "axes=[1]", "2x3@0.5:2"),
    CASE("ReduceLogSumExp", "axes=[1] keepdims=0", "2x3"),
    CASE("Reshape", "", "2x3x4 #4,-1"),
    CASE("Reshape", "", "2x3x4 #0,0,2,2"),
    CASE("Flatten", "axis=2", "2x3x4"),
    CASE("Transpose", "perm=[2,0,1]", "2x3x4"),
    CASE("Transpose", "", "2x3"),
    CASE_AT("Squeeze", "", "2x1x3x1 #1", 13),
    CASE_AT("Unsqueeze", "", "2x3 #0,3", 13),
    CASE("Concat", "axis=1", "2x3 2x1 2x2"),
    CASE("Concat", "axis=-1", "2x3 2x0"),
    CASE_OF("Split", "axis=1", "2x6 #1,3,2", 13, 3),
    CASE_OF("Split", "axis=0", "4x3", 13, 2),
    CASE("Slice", "", "5x6 #1,-2 #4,-7 #0,1 #2,-2"),
    CASE("Slice", "", "5x6 #3 #1 #0"),
    CASE("Gather", "axis=1", "3x4 #0,2,2,-1"),
    CASE("Gather", "", "4x2 #=1"),
    CASE("GatherElements", "axis=1", "3x4 #0;3x1"),
    CASE("GatherND", "", "3x4x2 #0,2,-1,1:2x2"),
    CASE("GatherND", "batch_dims=1", "2x3x2 #1,-1:2x1"),
    CASE("ScatterElements", "axis=1", "2x3 #2,0,1,-1:2x2 2x2"),
    CASE_AT("ScatterElements", "reduction='add'", "3x2 #0,0,2,0:2x2 2x2", 16),
    CASE("Scatter", "axis=1", "2x3 #2,0:2x1 2x1"),
    CASE("ScatterND", "", "3x2x2 #0,2:2x1 2x2x2"),
    CASE_AT("ScatterND", "reduction='add'", "3x2 #0,1,0,1:2x2 2", 16),
    CASE("OneHot", "axis=0", "#0,2,1 #=3 2"),
    CASE("TopK", "axis=1", "3x5 #2"),
    CASE("TopK", "axis=0 largest=0", "4x3 #3"),
    CASE("CumSum", "", "2x5 #=1"),
    CASE("CumSum", "exclusive=1 reverse=1", "4x2 #=0"),
    CASE("CumSum", "exclusive=1", "0x3 #=0"),
    CASE_AT("Pad", "", "2x3 #1,0,2,1 %0.5", 13),
    CASE_AT("Pad", "mode='reflect'", "3x4 #1,2,1,0", 13),
    CASE_AT("Pad", "mode='edge'", "3x4 #1,2,0,1", 13),
    CASE_AT("Pad", "mode='wrap'", "3x4 #1,5,0,1", 19),
    CASE_AT("Pad", "", "4x4 #-1,0,1,-2", 13),
    CASE("Expand", "", "3x1 #2,1,4"),
    CASE("Tile", "", "2x3 #2,3"),
    CASE("Trilu", "upper=0", "3x4 #=0"),
    CASE("Trilu", "", "2x3x3 #=1"),
    CASE("DepthToSpace", "blocksize=2", "1x8x2x3"),
    CASE("DepthToSpace", "blocksize=2 mode='CRD'", "1x8x2x3"),
    CASE("SpaceToDepth", "blocksize=2", "1x2x4x6"),
    CASE("Resize", "mode='nearest'", "1x1x2x3 - - #1,1,4,7"),
    CASE("Resize", "mode='linear'", "1x2x3x3 - - #1,2,5,4"),
    CASE("Resize", "mode='cubic'", "1x1x4x3 - - #1,1,5,7"),
    CASE("Resize", "mode='cubic' exclude_outside=1", "1x1x4x3 - - #1,1,2,2"),
    CASE_AT("Resize", "mode='linear' antialias=1", "1x1x6x5 - - #1,1,2,3", 18),
    CASE("Resize", "mode='linear' coordinate_transformation_mode='tf_crop_and_resize'",
         "3x5 %0,0.3,1,1.5:4 - #3,4"),
    CASE_AT("Upsample", "scales=[1,1,2,2]", "1x2x3x2", 8),
};

/* Shapes are drawn anew for each look: {A} is a size from 1 to 5, {z} one from 0 to 4, {2A}, {A+2} and {2A+2} what
 * they say, {A?} is A or, one time in three, 1 (what broadcasts). A letter is the same size throughout the case. */
static const op_case templates[] = {
    CASE("Tanh", "", "{z}x{A}x{B}"),
    CASE("Gelu", "", "{A}x{B}x{C}x{D}"),
    CASE("Relu", "", "{A}x{z}@1:0"),
    CASE("PRelu", "", "{A}x{B}x{C}@1:0 {B?}x{C?}"),
    CASE("Add", "", "{A?}x{B?}x{C?} {A?}x{B?}x{C?}"),
    CASE("Add", "", "{z}x{B} {B?}"),
    CASE("Sub", "", "{C?} {A?}x{B?}x{C?}"),
    CASE("Mul", "", "{A?}x{B?}x{C?}x{D?} {B?}x{C?}x{D?}"),
    CASE("Mul", "", "s {A}x{z}"),
    CASE("Div", "", "{A?}x{B?} {C?}x{A?}x{B?}@0.5:2"),
    CASE("Pow", "", "{A?}x{B?}@0.5:2 {A?}x{B?}"),
    CASE("Max", "", "{A?}x{B?}@1:0 {B?}@2:0 {A?}x1@3:0"),
    CASE("Where", "", "?{A?}x{B?} {A?}x{B?} {B?}"),
    CASE("Mean", "", "{A?}x{B?} {B?} s"),
    CASE("Softmax", "axis=1", "{A}x{B}x{C}"),
    CASE("LogSoftmax", "axis=0", "{A}x{B}"),
    CASE("Gemm", "transA=1 alpha=f0.5", "{A}x{B} {A}x{C} {B?}x{C?}"),
    CASE("Gemm", "transB=1", "{z}x{A} {B}x{A} {B?}"),
    CASE("Gemm", "transA=1 transB=1", "{A}x{B} {C}x{A}"),
    CASE("MatMul", "", "{A}x{B} {B}x{C}"),
    CASE("MatMul", "", "{D?}x{A}x{z} {D?}x{z}x{C}"),
    CASE("MatMul", "", "{E?}x{D?}x{A}x{B} {D?}x{B}x{C}"),
    CASE("MatMul", "", "{B} {D}x{B}x{C}"),
    CASE("MatMul", "", "{D}x{A}x{B} {B}"),
    CASE("Einsum", "equation='bhid,bhjd->bhij'", "{A}x{B}x{C}x{D} {A}x{B}x{E}x{D}"),
    CASE("Einsum", "equation='...ij,jk->k...'", "{A}x{B}x{C} {C}x{D}"),
    CASE("Conv", "", "{A}x{B}x{C+3}x{D+2} {E}x{B}x3x2 {E}"),
    CASE("Conv", "pads=[1,0,1,2] strides=[2,1]", "{A}x{B}x{C+2}x{D+1} {E}x{B}x3x3"),
    CASE("Conv", "group=2 dilations=[2,1] pads=[2,0,1,1]",
         "{A}x{2B}x{C+3}x{D+1} {2E}x{B}x3x2 {2E}"),
    CASE("Conv", "group={B}", "{A}x{B}x{C+2}x{D+2} {2B}x1x2x3"),
    CASE("Conv", "strides=[{D}] pads=[{E},1]", "{A}x{B}x{C+4} {E}x{B}x3"),
    CASE("Conv", "", "{A}x2x{B+1}x{C+1}x{D+1} {E}x2x2x1x2"),
    CASE("ConvTranspose", "strides=[{D},2] pads=[1,0,0,1]", "{A}x{B}x{C+1}x{D+1} {B}x{E}x3x2 {E}"),
    CASE("ConvTranspose", "group={B} strides=[2] output_padding=[1]", "{A}x{2B}x{C+1} {2B}x{D}x3"),
    CASE("MaxPool", "kernel_shape=[3,2] strides=[{D},1] pads=[1,0,1,1]", "{A}x{B}x{C+2}x{E+2}@1:0"),
    CASE("MaxPool", "kernel_shape=[2] strides=[{D}] ceil_mode=1", "{A}x{B}x{C+3}@1:0"),
    CASE("AveragePool", "kernel_shape=[2,3] strides=[1,{D}] pads=[0,1,1,1]", "{A}x{B}x{C+1}x{E+2}"),
    CASE("GlobalAveragePool", "", "{A}x{B}x{C}x{D}"),
    CASE("GlobalMaxPool", "", "{A}x{B}x{C}@1:0"),
    CASE("BatchNormalization", "training_mode=1 epsilon=f0.1",
         "{A+2}x{B}x{C+1} {B} {B} {B}@-1:1 {B}@0.5:1"),
    CASE_AT("LayerNormalization", "axis=-2 epsilon=f0.1", "{A}x{B}x{C+1} {B}x{C+1} {B}x{C+1}", 17),
    CASE_AT("LayerNormalization", "axis=-1 epsilon=f0.1", "{A}x{B}x{C+1} {C+1} {C+1}", 17),
    CASE_AT("GroupNormalization", "num_groups={B} epsilon=f0.1", "{A}x{2B}x{C+1} {2B} {2B}", 21),
    CASE("InstanceNormalization", "epsilon=f0.1", "{A}x{B}x{C+1}x{D} {B} {B}"),
    CASE("LRN", "size=3 alpha=f0.2 beta=f0.7 bias=f1.5", "{A}x{B}x{C}"),
    CASE_AT("ReduceSum", "", "{A}x{z}x{C} #0,1", 13),
    CASE("ReduceMean", "axes=[-2] keepdims=0", "{A}x{B}x{C}"),
    CASE("ReduceMax", "axes=[0,2]", "{A}x{B}x{C}@1:0"),
    CASE("ReduceL2", "axes=[1]", "{A}x{B}x{C}@0.2:1"),
    CASE("ReduceLogSumExp", "axes=[0]", "{A}x{B}"),
    CASE("Reshape", "", "{A}x{2B}x{C} #0,2,-1"),
    CASE("Reshape", "", "{A}x{B}x{C} #-1,{A}"),
    CASE("Flatten", "axis=2", "{z}x{B}x{C}x{D}"),
    CASE("Transpose", "perm=[3,0,2,1]", "{A}x{B}x{C}x{z}"),
    CASE("Concat", "axis=1", "{A}x{B}x{C} {A}x{z}x{C} {A}x{D}x{C}"),
    CASE_OF("Split", "axis=-1", "{A}x{B+2} #{B},2", 13, 2),
    CASE("Slice", "", "{A+2}x{B+1} #1,-1 #{A+2},-9 #0,1 #2,-1"),
    CASE("Gather", "axis=1", "{A}x{B+1}x{C} #0,{B},-1,0"),
    CASE_AT("Pad", "", "{A}x{z} #1,{B},0,2 %0.5", 13),
    CASE_AT("Pad", "mode='reflect'", "{A+2}x{B+1} #2,1,1,0", 13),
    CASE("Expand", "", "{B?}x{C?} #{A},{B},{C}"),
    CASE("Tile", "", "{A}x{B} #{C},2"),
    CASE("Trilu", "upper=0", "{A}x{B}x{C} #=1"),
    CASE("DepthToSpace", "blocksize=2", "{A}x8x{B}x{C}"),
    CASE("Resize", "mode='nearest'", "1x{A}x{B}x{C} - - #1,{A},{2B},{C+2}"),
    CASE("Resize", "mode='linear'", "{A}x1x{B}x{C} - - #{A},1,{B+2},{2C}"),
    CASE("GRU", "hidden_size={C}", "{A}x{B}x{D} 1x{3C}x{D} 1x{3C}x{C} 1x{6C}"),
    CASE("LSTM", "hidden_size={C}", "{A}x{B}x{D} 1x{4C}x{D} 1x{4C}x{C}"),
};

/* Rows whose results are constants, whole numbers or truth values, or steps. */
static const char *const without_gradient[] = {
    "Sign",  "Floor", "Ceil",    "Round",       "Not",      "IsNaN",           "IsInf",
    "Equal", "If",    "Less",    "LessOrEqual", "Greater",  "GreaterOrEqual",  "And",
    "Or",    "Xor",   "ArgMax",  "ArgMin",      "Constant", "ConstantOfShape", "Shape",
    "Size",  "Range", "EyeLike", "Hardmax"};

/* ---- a network of the node, its gradient, tangent and second derivative ------------------ */

typedef struct net {
    fanin__ir ir;
    fanin__steps steps;
    fanin__root roots[4 + 2 * MAX_IN];
    int inputs[MAX_IN], u[MAX_IN], v; /* leaves */
    int count, y, tangent;            /* roots by number: y, tangent, gradients, second ones */
    int gradient[MAX_IN], second[MAX_IN], product;
} net;

static int leaf_like(fanin__ir *ir, fanin__op op, int number, int x) {
    fanin__node n = ir->nodes[x];
    return fanin__emit_leaf(ir, op, number, n.dtype, n.rank, n.dims);
}

static int add_root(net *n, int *count, int node) {
    n->roots[*count] = (fanin__root){.node = node, .slot = -1};
    return (*count)++;
}

static void check_ir(const fanin__ir *ir, const op_case *c) {
    if (ir->failed) fail_msg("%s (%s) %s: %s", c->op, c->attrs, c->inputs, ir->err.message);
}

static int zero_or(net *n, int id, int like) {
    return id >= 0 ? id : fanin__emit_fill_like(&n->ir, 0, like);
}

/* sum_i <a_i, b_i> */
static int inner(net *n, const int *a, const int *b) {
    int sum = fanin__emit_scalar(&n->ir, 0);
    for (int i = 0; i < n->count; i++) {
        int p = fanin__emit_binary(&n->ir, FANIN__MUL, a[i], b[i]);
        unsigned all = (1u << n->ir.nodes[a[i]].rank) - 1;
        p = fanin__emit_reduce(&n->ir, FANIN__SUM, p, all, false);
        sum = fanin__emit_binary(&n->ir, FANIN__ADD, sum, p);
    }
    return sum;
}

static void make_net(net *n, const built *g, const op_case *c) {
    fanin__ir *ir = &n->ir;
    memset(n, 0, sizeof *n);
    fanin__ir_init(ir, FANIN_F64);
    int values = g->graph->value_count, *ids = calloc(2 * (size_t)values, sizeof(int)), roots = 0;
    assert_non_null(ids);
    for (int i = 0; i < 2 * values; i++) ids[i] = -1;
    n->count = g->count;
    for (int i = 0; i < values; i++) {
        const fanin_value *v = &g->graph->values[i];
        if (v->producer >= 0) continue;
        int at = 0;
        while (at < g->count && strcmp(g->graph->values[g->values[at]].name, v->name)) at++;
        if (at < g->count)
            ids[i] = n->inputs[at] =
                fanin__emit_leaf(ir, FANIN__WEIGHT, at, FANIN_F64, v->rank, v->dims);
        else
            ids[i] = fanin__lower_payload(ir, v);
    }
    fanin__lowering l = {
        .ir = ir, .graph = g->graph, .training = true, .ids = ids, .statistics = ids + values};
    fanin__lower_node(&l, 0);
    check_ir(ir, c);
    int y = ids[g->graph->outputs[0]];
    free(ids);
    n->v = leaf_like(ir, FANIN__INPUT, 0, y);
    for (int i = 0; i < n->count; i++) n->u[i] = leaf_like(ir, FANIN__INPUT, 1 + i, n->inputs[i]);
    fanin__sweep first, second, third;
    assert_int_equal(fanin__gradient(&first, ir, y, n->v, n->inputs, n->count), ir->err.status);
    check_ir(ir, c);
    int gradient[MAX_IN];
    for (int i = 0; i < n->count; i++)
        gradient[i] = zero_or(n, first.adjoints[n->inputs[i]], n->inputs[i]);
    fanin__sweep_fini(&first);
    int product = inner(n, gradient, n->u), one = fanin__emit_scalar(ir, 1);
    fanin__gradient(&second, ir, product, one, &n->v, 1);
    check_ir(ir, c);
    n->y = add_root(n, &roots, y);
    n->tangent = add_root(n, &roots, zero_or(n, second.adjoints[n->v], n->v));
    n->product = add_root(n, &roots, product);
    fanin__sweep_fini(&second);
    for (int i = 0; i < n->count; i++) n->gradient[i] = add_root(n, &roots, gradient[i]);
    fanin__gradient(&third, ir, product, one, n->inputs, n->count);
    check_ir(ir, c);
    for (int i = 0; i < n->count; i++) {
        int s = zero_or(n, third.adjoints[n->inputs[i]], n->inputs[i]);
        n->second[i] = add_root(n, &roots, s);
    }
    fanin__sweep_fini(&third);
    fanin_err err = {0};
    assert_ok_err(fanin__steps_create(&n->steps, ir, n->roots, roots, &err), err);
}

static double *data_of(const net *n, int node) {
    return n->steps.slots[n->steps.slot_of[node]].tensor.data;
}
static double *root_of(const net *n, int root) {
    return n->steps.slots[n->roots[root].slot].tensor.data;
}
static size_t size_of(const net *n, int node) { return n->ir.nodes[node].count; }

static void run_net(net *n) {
    for (int i = 0; i < n->steps.step_count; i++) {
        fanin__step *s = &n->steps.steps[i];
        if (s->kernel) {
            s->kernel(s->node, s->in, s->in_count, &s->out);
        } else { /* dropout: the same draw every time */
            random_state r = {7};
            for (size_t k = 0; k < s->node->count; k++) ((double *)s->out.data)[k] = uniform(&r);
        }
    }
}

/* Uniform on [low, high]; nearly normal where they are equal; where low is above, in a random order, numbers .02
 * apart and low * .005 off its multiples, so that no difference quotient reaches a kink. */
static void fill_random(double *x, size_t n, double low, double high, random_state *r) {
    for (size_t i = 0; i < n; i++) {
        if (low < high)
            x[i] = low + (high - low) * uniform(r);
        else
            x[i] = uniform(r) + uniform(r) + uniform(r) + uniform(r) - 2;
    }
    for (size_t i = 0; low > high && i < n; i++) {
        size_t j = (size_t)(uniform(r) * (double)(i + 1));
        x[i] = x[j];
        x[j] = 0.02 * ((double)i - (double)(n / 2)) + 0.005 * low;
    }
}

static double dot(const double *a, const double *b, size_t n) {
    double s = 0;
    for (size_t i = 0; i < n; i++) s += a[i] * b[i];
    return s;
}

/* Inputs at w + h u. */
static void shift(net *n, double *const *w, double h) {
    for (int i = 0; i < n->count; i++) {
        double *x = data_of(n, n->inputs[i]);
        const double *u = data_of(n, n->u[i]);
        for (size_t k = 0; k < size_of(n, n->inputs[i]); k++) x[k] = w[i][k] + h * u[k];
    }
}

static void near(const op_case *c, const char *what, double got, double want, double scale) {
    if (!(fabs(got - want) <= 1e-7 * (scale + fabs(want))))
        fail_msg("%s (%s) %s: %s is %.12g, expected %.12g", c->op, c->attrs, c->inputs, what, got,
                 want);
}

/* Fourth-order difference: errors of h^4 and of rounding / h meet far below 1e-7. */
static void differences(net *n, double *const *w, const double *v, double *along, double *twice) {
    static const double at[4] = {-2, -1, 1, 2}, weight[4] = {1, -8, 8, -1};
    double h = 3e-4;
    *along = *twice = 0;
    for (int k = 0; k < 4; k++) {
        shift(n, w, at[k] * h);
        run_net(n);
        int y = n->roots[n->y].node;
        *along += weight[k] * dot(root_of(n, n->y), v, size_of(n, y)) / (12 * h);
        *twice += weight[k] * *root_of(n, n->product) / (12 * h);
    }
    shift(n, w, 0);
}

static void check_case(const op_case *c, random_state *r) {
    built g = build(c, r);
    net n;
    make_net(&n, &g, c);
    double *w[MAX_IN] = {0};
    for (int i = 0; i < n.count; i++) {
        size_t size = size_of(&n, n.inputs[i]);
        w[i] = calloc(size + 1, sizeof(double));
        assert_non_null(w[i]);
        fill_random(w[i], size, g.low[i], g.high[i], r);
        fill_random(data_of(&n, n.u[i]), size, 0, 0, r);
    }
    size_t results = size_of(&n, n.roots[n.y].node);
    double *v = data_of(&n, n.v), along, twice;
    fill_random(v, results, 0, 0, r);
    shift(&n, w, 0);
    run_net(&n);
    double forward = dot(root_of(&n, n.tangent), v, results), backward = 0, curved = 0, scale = 1;
    for (int i = 0; i < n.count; i++) {
        size_t size = size_of(&n, n.inputs[i]);
        const double *u = data_of(&n, n.u[i]);
        backward += dot(root_of(&n, n.gradient[i]), u, size);
        scale += fabs(dot(root_of(&n, n.gradient[i]), u, size));
        curved += dot(root_of(&n, n.second[i]), u, size);
    }
    near(c, "<v, Ju> against <J'v, u>", forward, backward, scale);
    differences(&n, w, v, &along, &twice);
    near(c, "gradient against differences", backward, along, scale);
    near(c, "second derivative against differences", curved, twice, scale + fabs(curved));
    for (int i = 0; i < n.count; i++) free(w[i]);
    fanin__steps_fini(&n.steps);
    fanin__ir_fini(&n.ir);
    fanin_graph_destroy(g.graph);
}

/* ---- shapes that are drawn ------------------------------------------------------------- */

/* The size that the expression in braces at *s stands for; *s goes behind it. */
static int64_t drawn_size(const char **s, const int *sizes, random_state *r) {
    char *end;
    int64_t factor = 1, term = 0;
    (*s)++;
    if (**s >= '0' && **s <= '9') {
        factor = strtol(*s, &end, 10);
        *s = end;
    }
    int64_t size = sizes[(unsigned char)*(*s)++];
    if (**s == '+') {
        term = strtol(*s + 1, &end, 10);
        *s = end;
    }
    if (**s == '?') {
        (*s)++;
        if (uniform(r) < 1.0 / 3) size = 1;
    }
    assert_int_equal(**s, '}');
    (*s)++;
    return factor * size + term;
}

static void draw_text(const char *s, const int *sizes, random_state *r, char *out, size_t room) {
    size_t n = 0;
    while (*s) {
        assert_true(n + 24 < room);
        if (*s == '{')
            n += (size_t)sprintf(out + n, "%lld", (long long)drawn_size(&s, sizes, r));
        else
            out[n++] = *s++;
    }
    out[n] = 0;
}

typedef struct drawn_case {
    op_case c;
    char attrs[160], inputs[160];
} drawn_case;

static void draw_case(drawn_case *d, const op_case *template, random_state *r) {
    int sizes[128] = {0};
    for (int letter = 'A'; letter <= 'E'; letter++) sizes[letter] = 1 + (int)(uniform(r) * 5);
    sizes['z'] = (int)(uniform(r) * 5);
    draw_text(template->attrs, sizes, r, d->attrs, sizeof d->attrs);
    draw_text(template->inputs, sizes, r, d->inputs, sizeof d->inputs);
    d->c = *template;
    d->c.attrs = d->attrs;
    d->c.inputs = d->inputs;
}

TEST(gradients_agree_with_differences_in_drawn_shapes) {
    for (size_t i = 0; i < FANIN_COUNT(templates); i++)
        for (int repeat = 0; repeat < 6; repeat++) {
            random_state r = {test_seed() * 1000 + i * 10 + (uint64_t)repeat};
            drawn_case d;
            draw_case(&d, &templates[i], &r);
            check_case(&d.c, &r);
        }
}

/* Kinks within reach of the difference quotient are avoided by fixed seeds. */
TEST(gradients_agree_with_differences) {
    for (size_t i = 0; i < FANIN_COUNT(cases); i++)
        for (int repeat = 0; repeat < 3; repeat++) {
            random_state r = {test_seed() * 1000 + i * 10 + (uint64_t)repeat};
            check_case(&cases[i], &r);
        }
}

TEST(every_row_is_tested) {
    for (int i = 0; i < fanin__onnx_count(); i++) {
        const fanin__onnx_row *row = fanin__onnx_at(i);
        bool found = false;
        for (size_t k = 0; k < FANIN_COUNT(cases); k++) {
            const char *name =
                strchr(cases[k].op, ':') ? strchr(cases[k].op, ':') + 1 : cases[k].op;
            found = found || !strcmp(name, row->name);
        }
        for (size_t k = 0; k < FANIN_COUNT(without_gradient); k++)
            found = found || !strcmp(without_gradient[k], row->name);
        if (!found) fail_msg("operator %s has no gradient test", row->name);
    }
}

/* ---- the float program ------------------------------------------------------------------ */

static void load(fanin_buffer b, const double *x) {
    for (size_t i = 0; i < b.count; i++) {
        if (b.dtype == FANIN_F32)
            ((float *)b.data)[i] = (float)x[i];
        else
            ((double *)b.data)[i] = (double)(float)x[i];
    }
}

static fanin_program *program_of(const built *g, fanin_dtype dtype) {
    fanin_program *p;
    fanin_err err = {0};
    fanin_program_options o = {.dtype = dtype, .loss = "mse", .gradients = true};
    assert_ok_err(fanin_program_create(g->graph, &o, &p, &err), err);
    for (int i = 0; i < fanin_program_weight_count(p); i++) {
        if (fanin_program_weight_present(p, i)) continue; /* the case's own constant */
        random_state r = {100 + (uint64_t)i};
        fanin_buffer b = fanin_program_weight(p, i);
        double x[4096], low = 0, high = 0;
        for (int k = 0; k < g->count; k++)
            if (!strcmp(g->graph->values[g->values[k]].name, fanin_program_weight_name(p, i))) {
                low = g->low[k];
                high = g->high[k];
            }
        assert_true(b.count <= 4096);
        fill_random(x, b.count, low, high, &r);
        load(b, x);
    }
    assert_ok_err(fanin_program_run(p, &err), err);
    return p;
}

static void compare(const op_case *c, const char *what, fanin_buffer a, fanin_buffer b) {
    assert_int_equal(a.count, b.count);
    double difference = 0, norm = 0;
    for (size_t i = 0; i < a.count; i++) {
        double want = ((const double *)b.data)[i], d = (double)((const float *)a.data)[i] - want;
        difference += d * d;
        norm += want * want;
    }
    if (!(sqrt(difference) <= 2e-5 * sqrt(norm) + 2e-6))
        fail_msg("%s (%s) %s: %s in float is %g away, norm %g", c->op, c->attrs, c->inputs, what,
                 sqrt(difference), sqrt(norm));
}

static void check_float(const op_case *c, random_state *r) {
    built g = build(c, r);
    bool empty = strstr(c->inputs, "0x") || strstr(c->inputs, "x0"); /* a loss of nothing */
    if (!strstr(c->op, "Dropout") && !empty) {
        fanin_program *f = program_of(&g, FANIN_F32), *d = program_of(&g, FANIN_F64);
        compare(c, "result", fanin_program_output(f, 0), fanin_program_output(d, 0));
        for (int k = 0; k < fanin_program_weight_count(f); k++)
            if (fanin_program_gradient(d, k).data)
                compare(c, "gradient", fanin_program_gradient(f, k), fanin_program_gradient(d, k));
        fanin_program_destroy(f);
        fanin_program_destroy(d);
    }
    fanin_graph_destroy(g.graph);
}

TEST(float_programs_agree_with_double) {
    for (size_t i = 0; i < FANIN_COUNT(cases); i++) {
        random_state r = {i};
        check_float(&cases[i], &r);
    }
}

TEST(float_programs_agree_with_double_in_drawn_shapes) {
    for (size_t i = 0; i < FANIN_COUNT(templates); i++)
        for (int repeat = 0; repeat < 3; repeat++) {
            random_state r = {test_seed() * 1000 + 500 + i * 10 + (uint64_t)repeat};
            drawn_case d;
            draw_case(&d, &templates[i], &r);
            check_float(&d.c, &r);
        }
}
