// How a float convolution's output channels are cut into blocks, and the layout of its prepared
// weights, which is one for all ISAs.
//
//   prepared: [block][kernel, kernel, span, lanes], the output channels innermost
//
// A block is at most two vectors of 16. It never leaves its group where the groups are whole
// vectors; otherwise a vector holds channels of several groups: it reads the input channels of all
// of them, and the weights from other groups are 0.
#pragma once

#include "core/conv_shape.h"

namespace bnn {

struct ConvBlock {
  int first, outputs;  // output channels first .. first + outputs - 1
  int lanes;           // outputs rounded up to whole vectors of 16
  int from, span;      // the input channels that they read
};

// The block that begins with output channel `first`.
[[gnu::always_inline]] inline ConvBlock conv_block(const ConvShape& shape, int first) {
  constexpr int kVector = 16;  // of the widest ISA
  const int in_c = shape.in_c_per_group(), out_c = shape.out_c_per_group();
  const bool whole = shape.groups == 1 || out_c % kVector == 0;
  const int most = whole ? 2 * kVector : kVector;
  const int left = whole ? out_c - first % out_c : shape.out_c - first;
  const int outputs = left < most ? left : most;
  const int group = first / out_c, last_group = (first + outputs - 1) / out_c;
  return {first, outputs, (outputs + kVector - 1) / kVector * kVector, group * in_c,
          (last_group - group + 1) * in_c};
}

[[gnu::always_inline]] inline size_t block_weights(const ConvShape& shape, const ConvBlock& block) {
  return size_t(shape.kernel) * size_t(shape.kernel) * size_t(block.span) * size_t(block.lanes);
}

}  // namespace bnn
