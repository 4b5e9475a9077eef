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

#include <memory>

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
  int input;           // tensor: floats, or the bits that another step ends in
  bool bits_in;
  Offset before;  // of the bits: bit = (x + before < 0)
  Offset moved;   // before RPReLU's bend, and after it
  Vector slope;
  Offset after;
  int node_count;
  const Node* nodes[kMostNodes];  // all of them, the anchor among them
};

// The steps of a graph, by the node that each ends in. A step that reads bits is one only behind
// another one.
class StepMatches {
 public:
  // False: no memory.
  bool find(const Graph& graph, Status* status);
  // Null: no step ends in what the node computes.
  const StepMatch* of(int node) const { return found_[node] ? &matches_[node] : nullptr; }

 private:
  std::unique_ptr<bool[]> found_;
  std::unique_ptr<StepMatch[]> matches_;
};

}  // namespace bnn::litert
