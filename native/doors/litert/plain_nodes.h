// For tests: what plain loops make of a node's inputs, another method than the delegate's.
#pragma once

#include "doors/litert/pretend_runtime.h"

namespace bnn::litert {

// A window over one axis of an image.
struct Axis {
  int size, window, stride, dilation;
  bool same;

  int out() const {
    const int reach = same ? size : size - (window - 1) * dilation;
    return reach < 1 ? 0 : (reach + stride - 1) / stride;
  }
  // The place of a tap, which may be outside.
  int place(int out_place, int tap) const {
    const int all = (out() - 1) * stride + (window - 1) * dilation + 1 - size;
    return out_place * stride - (same && all > 0 ? all / 2 : 0) + tap * dilation;
  }
  bool has(int place) const { return place >= 0 && place < size; }
};

// Whether the output of a node is what it computes of its inputs: bits to the bit, floats within
// 1e-5 of the magnitudes that are added, int8 but for ties. All of its tensors have memory.
bool is_right(const ModelNode& node, const Interpreter& runtime);

}  // namespace bnn::litert
