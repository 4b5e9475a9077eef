// What follows a convolution, one output row at a time, fused: nothing but its results is written
// to memory.
//
//   y   = scale[o] * (k_bits - 2*acc) + bias[o]
//   y  += shortcut
//   y   = y > gamma[o] ? (y - gamma[o]) + zeta[o] : beta[o] * (y - gamma[o]) + zeta[o]   if gamma
//   out = y  and/or  bit (y < threshold[o])
//
// Multiplications and additions are never contracted to FMA, and the 2x2 mean of
// Shortcut::kAvgPool is ((a + b) + (c + d)) * 0.25 for the pixels a b / c d; at the right edge of
// an odd width (a + c) * 0.5, at the bottom (a + b) * 0.5, in the corner a. So every ISA gives the
// same float32, bit for bit.
//
// (RPReLU: Liu et al., ReActNet, ECCV 2020, eq. 5: d = y - gamma; d > 0 ? d + zeta : beta * d +
// zeta.)
#pragma once

#include "core/conv_shape.h"
#include "core/isa.h"

namespace bnn {

// Constants, one per output channel. gamma, beta and zeta are all null (no RPReLU) or all given.
struct EpilogueConstants {
  const float* scale;      // [out_c]; null for a float convolution, whose rows already are y
  const float* bias;       // [out_c]; null likewise
  const float* gamma;      // [out_c] or null
  const float* beta;       // [out_c] or null
  const float* zeta;       // [out_c] or null
  const float* threshold;  // [out_c]; null when no bits are wanted
};

// Where a row goes. Either pointer may be null, not both.
struct EpilogueOutput {
  float* values;   // [out_h, out_w, out_c]
  uint64_t* bits;  // [out_h + 2*border, out_w + 2*border, words_of(out_c)]; the caller keeps the
                   // border zero
  int32_t border;
};

// Row y of a binary convolution. shortcut_values: [in_h, in_w, in_c] float32, null for
// Shortcut::kNone.
void epilogue_row(Isa isa, const ConvShape& shape, Shortcut shortcut,
                  const EpilogueConstants& constants, const int32_t* acc,
                  const float* shortcut_values, int y, const EpilogueOutput& out);

// Row y of a float convolution; row: [out_w, out_c], the convolution with its bias.
void float_epilogue_row(Isa isa, const ConvShape& shape, const EpilogueConstants& constants,
                        const float* row, int y, const EpilogueOutput& out);

// Integer epilogue: bit = (acc > threshold[o]); threshold -1 is always 1 (-1.0), k_bits never.
void threshold_row(Isa isa, const ConvShape& shape, const int32_t* threshold, const int32_t* acc,
                   int y, uint64_t* bits, int border);

// The four edges of a packed output; called once per run by the step that writes the tensor.
void zero_border(uint64_t* bits, int height, int width, int words, int border);

}  // namespace bnn
