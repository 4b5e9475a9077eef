// How the nodes of a graph fall into steps: which tensors must be whole, because somebody outside
// reads them or because several steps do, and which stay inside a chain.
#pragma once

#include <memory>

#include "doors/litert/step_match.h"

namespace bnn::litert {

class Steps {
 public:
  // outputs: the tensors that must be there in the end. False: no memory, or a node that cannot
  // be run.
  bool find(const Graph& graph, const int* outputs, int count, Status* status);

  // Whether a tensor of the graph is computed and whole.
  bool is_whole(int tensor) const { return whole_[tensor]; }
  // Whether a whole tensor's node computes it on its own: no chain ends there, for a chain ends in
  // floats.
  bool is_alone(const Graph& graph, int node) const;
  // The chain that ends in the output of a node: its steps, the first one first, at most `room`;
  // how many. The first one reads whole floats. Bits that are whole, too, are computed again.
  int chain(const Graph& graph, int node, const StepMatch** steps, int room) const;

 private:
  std::unique_ptr<bool[]> whole_;
  std::unique_ptr<int[]> readers_;  // of a tensor: steps that begin with it
  StepMatches matches_;
};

}  // namespace bnn::litert
