#include "doors/litert/claim.h"

#include <memory>
#include <new>

#include "doors/litert/step_match.h"

namespace bnn::litert {
namespace {

class Claims {
 public:
  Claims(const Graph& graph, const StepMatches& matches)
      : graph_(graph),
        matches_(matches),
        taken_(new (std::nothrow) bool[size_t(graph.nodes())]()),
        by_step_(new (std::nothrow) bool[size_t(graph.tensors())]()),
        by_runtime_(new (std::nothrow) bool[size_t(graph.tensors())]()) {}
  bool has_memory() const { return taken_ && by_step_ && by_runtime_; }

  void make() {
    take_steps();
    take_ends();
  }
  bool taken(int node) const { return taken_[node]; }

 private:
  void take(const StepMatch& match);
  bool take_step(int index);
  void take_steps();
  void take_ends();

  const Graph& graph_;
  const StepMatches& matches_;
  std::unique_ptr<bool[]> taken_;
  std::unique_ptr<bool[]> by_step_, by_runtime_;  // of a tensor: who reads it
};

void Claims::take(const StepMatch& match) {
  for (int i = 0; i < match.node_count; ++i) taken_[match.nodes[i] - &graph_.node(0)] = true;
  by_step_[match.input] = true;
}

// A convolution and what ends it. A real-valued one must lead to a step, and nowhere else.
bool Claims::take_step(int index) {
  const StepMatch* match = matches_.of(index);
  const int output = graph_.node(index).output;
  if (!match || !match->step.convolves()) return false;
  const bool real = match->step.kind == StepKind::kConv2d;
  if (real && (!by_step_[output] || by_runtime_[output])) return false;
  take(*match);
  return true;
}

// From the end on: a step is the longest one that ends in a tensor which somebody reads.
void Claims::take_steps() {
  for (int i = graph_.nodes() - 1; i >= 0; --i) {
    const Node& node = graph_.node(i);
    if (node.usable) {
      const bool needed = by_step_[node.output] || by_runtime_[node.output];
      if (!needed && graph_.readers(node.output) > 0) continue;  // inside a step
      if (take_step(i)) continue;
      if (is_ours(node.op)) taken_[i] = true;
    }
    for (int k = 0; k < node.input_count; ++k) {
      if (graph_.is_tensor(node.inputs[k])) by_runtime_[node.inputs[k]] = true;
    }
  }
}

// What comes behind a step: pools, linear layers, real-valued convolutions.
void Claims::take_ends() {
  for (int i = 0; i < graph_.nodes(); ++i) {
    const StepMatch* match = matches_.of(i);
    if (!match || taken_[i]) continue;
    const int before = graph_.tensor(match->input).producer;
    if (before >= 0 && taken_[before]) take(*match);
  }
}

}  // namespace

bool claim(const Graph& graph, TfLiteIntArray* claimed, Status* status) {
  claimed->size = 0;
  if (graph.nodes() == 0) return true;
  StepMatches matches;
  if (!matches.find(graph, status)) return false;
  Claims claims(graph, matches);
  if (!claims.has_memory()) return status->fail(Code::kNoMemory, "no memory for claims");
  claims.make();
  for (int i = 0; i < graph.nodes(); ++i) {
    if (claims.taken(i)) claimed->data[claimed->size++] = graph.node(i).index;
  }
  return true;
}

}  // namespace bnn::litert
