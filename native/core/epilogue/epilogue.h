// What follows the sums of a convolution, in the kernel's registers: nothing but its results is
// written to memory.
//
//   y   = fma(scale[o], k_bits - 2*acc, bias[o])        a float convolution gives y itself
//   y  += shortcut
//   y   = (y > 0 ? y : beta[o] * y) + zeta[o]           with RPReLU
//   out = y  and/or  bit (y < threshold[o])
//
// RPReLU (Liu et al., ReActNet, ECCV 2020, eq. 5) is d = y - gamma; (d > 0 ? d : beta*d) + zeta:
// gamma is folded into the bias when a step is prepared. FMA stands where it is written and nowhere
// else, so every ISA gives the same float32, bit for bit.
//
// The integer epilogue, for bits alone:  bit (acc > threshold[o]) for any int32 threshold.
#pragma once

#include "core/conv_shape.h"
#include "core/isa.h"

namespace bnn {

// Constants stand in rows of this many elements, 64-byte aligned, the last ones 0: kernels load
// whole vectors of them.
[[gnu::always_inline]] constexpr int padded_channels(int channels) {
  return (channels + 63) / 64 * 64;
}

// The same comparison by a threshold of -1 (always) .. k_bits (never), for kernels that compare in
// fewer bits.
[[gnu::always_inline]] constexpr int32_t clamped_threshold(const ConvShape& shape,
                                                           int32_t threshold) {
  return threshold < -1 ? -1 : threshold < shape.k_bits() ? threshold : shape.k_bits();
}

// One element per output channel, padded_channels(out_c) of them.
struct EpilogueConstants {
  const float* scale;      // null for a float convolution
  const float* bias;       // with gamma folded in: bias - gamma
  const float* beta;       // null: no RPReLU
  const float* zeta;       // null: no RPReLU
  const float* threshold;  // null: no bits
  bool beta_at_most_one;   // every beta <= 1: then RPReLU is max(y, beta * y) + zeta
};

// Where the row of one output goes; either may be null, not both.
struct RowOutput {
  float* values;   // [out_w, out_c]
  uint64_t* bits;  // [out_w, words_of(out_c)]; zeroed by the caller if out_c % 64 != 0
};

// The row of floats that the shortcut adds: output channel o of pixel x reads
// values[x * channels + o % channels]. channels is out_c or a multiple of 16.
struct ShortcutRow {
  const float* values;  // null: no shortcut
  int channels;
};

// Shortcut::kAvgPool: 2x2 mean, stride 2, of two input rows [in_w, in_c] into pooled [out_w, in_c].
// The mean of the pixels a b / c d is ((a + b) + (c + d)) * 0.25; at the right edge of an odd width
// (a + c) * 0.5, at the bottom (lower null) (a + b) * 0.5, in the corner a.
void avgpool_row(Isa isa, const ConvShape& shape, const float* upper, const float* lower,
                 float* pooled);

// values [out_w, channels] as a shortcut sees them: repeated [out_w, out_c], element o of a pixel
// is its o % channels.
void repeat_row(const ConvShape& shape, int channels, const float* values, float* repeated);

// What an activation leaves of a dot product.
struct Bounds {
  float least, most;
};

// An activation stands before the scale and is rare, so it costs a second pass: a kernel writes
// dots [out_w, out_c], k_bits - 2 * acc, and this is the epilogue of fma(scale, clamp(dot), bias).
void activated_row(Isa isa, const ConvShape& shape, const float* dots, const Bounds& bounds,
                   const EpilogueConstants& constants, const ShortcutRow& shortcut,
                   const RowOutput& out);

}  // namespace bnn
