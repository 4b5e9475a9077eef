// The nodes that are one step of the engine, recognised by the tensor that they end in:
//
//   x ─ SUB t ─ [pad groups] ─ LceQuantize ─ LceBconv2d ─ ADD shortcut(x) ─ SUB ─ PRELU ─ ADD ─ y
//
// Everything but the convolution may be missing; SUB of a constant may be ADD, and RELU, on its own
// or in the ADD of the shortcut, is a PRELU of slope 0. shortcut(x) is x itself, a 2x2
// AVERAGE_POOL_2D or a CONCATENATION of copies. A CONV_2D with the same end, MEAN over the pixels
// and FULLY_CONNECTED are steps, too.
//
// Groups of fewer than 32 channels, padded in the file because Larq Compute Engine must have them
// so, are seen without their padding.
#pragma once

#include "doors/litert/shapes.h"
#include "engine/step.h"

namespace bnn::litert {

// A constant that is added, or with `negative` subtracted.
struct Offset {
  Vector vector;  // null data: none
  bool negative;

  float at(int channel) const {
    if (!vector.data) return 0.0f;
    return negative ? -vector.at(channel) : vector.at(channel);
  }
};

struct StepMatch {
  static constexpr int kMostNodes = 16;

  const Node* anchor;  // the convolution, pool or linear layer
  Step step;           // but for what the next step decides: bits_out, float_out, border
  int input;           // tensor: floats, or the bits of a bitpacked LceBconv2d
  bool bits_in;
  Offset before;  // of the bits: bit = (x + before < 0)
  Offset moved;   // before RPReLU's bend, and after it
  Vector slope;
  Offset after;
  int node_count;
  const Node* nodes[kMostNodes];  // all of them, the anchor among them
};

// False: no step ends in this tensor. A step that reads bits is one only behind another one: so the
// steps before it are looked at, too, as far as they hand on bits alone.
bool match_step(const Graph& graph, int tensor, StepMatch* match);

}  // namespace bnn::litert
