// The rules by which shapes follow from each other, and what else must hold for a node to be run.
#pragma once

#include "doors/litert/graph.h"

namespace bnn::litert {

// The shape of what a node computes, and the size of its window and its groups where its constants
// say them. False: it cannot be run; `status` says why.
bool check_node(const Graph& graph, Node* node, Shape* output, Status* status);

// A vector [C] or a scalar of a constant, seen from channels; null data: there is none.
struct Vector {
  const float* data;
  bool scalar;

  float at(int channel) const { return data[scalar ? 0 : channel]; }
};

// A float constant with one element, or one for each of `channels` along its last axis.
Vector as_vector(const Tensor& tensor, int channels);

}  // namespace bnn::litert
