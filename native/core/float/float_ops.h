// The real-valued steps around the binary ones. NHWC, float32, batch 1.
#pragma once

#include "core/conv_shape.h"
#include "core/epilogue/epilogue.h"
#include "core/isa.h"

namespace bnn {

// One row of a float convolution with zero padding (SAME) and its epilogue (epilogue.h; no scale):
//   y[x, o] = constants.bias[o] + sum of window * weights
//   in: [kernel] rows [in_w, in_c] of the input, null above and below the image; prepared: from
//   prepare_conv2d. FMA and summation order may differ between ISAs: compare within rtol 1e-5 of
//   the sum of magnitudes.
size_t conv2d_prepared_bytes(const ConvShape& shape);
// weights: [out_c, kernel, kernel, in_c / groups] float32 -> blocks.h, one layout for all ISAs
void prepare_conv2d(const ConvShape& shape, const float* weights, void* prepared);
void conv2d_row(Isa isa, const ConvShape& shape, const float* const* in, const void* prepared,
                const EpilogueConstants& constants, const RowOutput& out);

// One row [out_w, out_c] of floats to bits: bit (in < constants.threshold[c]), and the floats again
// if `out` asks for them.
void pack_row(Isa isa, const ConvShape& shape, const float* in, const EpilogueConstants& constants,
              const RowOutput& out);

// out[c] = mean over height*width of input[:, :, c];  input [height, width, channels]
void global_avgpool(Isa isa, const float* input, int height, int width, int channels, float* out);

// out[o] = bias[o] + sum_c weights[o, c] * input[c];  weights [out_c, in_c]
// Threads may share the output channels: each passes its own rows of weights, bias and out.
void linear(Isa isa, const float* input, const float* weights, const float* bias, int in_c,
            int out_c, float* out);

}  // namespace bnn
