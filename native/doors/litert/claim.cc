#include "doors/litert/claim.h"

#include <memory>
#include <new>

#include "doors/litert/step_match.h"

namespace bnn::litert {
namespace {

class Claims {
 public:
  explicit Claims(const Graph& graph)
      : graph_(graph),
        taken_(new (std::nothrow) bool[size_t(graph.nodes())]()),
        read_(new (std::nothrow) bool[size_t(graph.tensors())]()) {}
  bool has_memory() const { return taken_ && read_; }

  void make();
  bool taken(int node) const { return taken_[node]; }

 private:
  void take(const StepMatch& match);
  bool is_taken(int tensor) const {
    const int node = graph_.tensor(tensor).producer;
    return node >= 0 && taken_[node];
  }

  const Graph& graph_;
  std::unique_ptr<bool[]> taken_;
  std::unique_ptr<bool[]> read_;  // of a tensor: whether a step that is taken begins with it
};

void Claims::take(const StepMatch& match) {
  for (int i = 0; i < match.node_count; ++i) taken_[match.nodes[i] - &graph_.node(0)] = true;
  read_[match.input] = true;
}

void Claims::make() {
  StepMatch match;
  for (int i = 0; i < graph_.nodes(); ++i) {
    const Node& node = graph_.node(i);
    if (!node.usable) continue;
    if (is_ours(node.op)) taken_[i] = true;
    if (!match_step(graph_, node.output, &match)) continue;
    const bool binary = match.step.kind == StepKind::kBconv2d;
    const bool whole =
        match.step.kind == StepKind::kGlobalAvgpool || match.step.kind == StepKind::kLinear;
    if (binary || (whole && is_taken(match.input))) take(match);
  }
  for (int i = graph_.nodes() - 1; i >= 0; --i) {
    const Node& node = graph_.node(i);
    if (!node.usable || !read_[node.output] || taken_[i]) continue;
    if (match_step(graph_, node.output, &match) && match.step.kind == StepKind::kConv2d)
      take(match);
  }
}

}  // namespace

bool claim(const Graph& graph, TfLiteIntArray* claimed, Status* status) {
  claimed->size = 0;
  if (graph.nodes() == 0) return true;
  Claims claims(graph);
  if (!claims.has_memory()) return status->fail(Code::kNoMemory, "no memory for claims");
  claims.make();
  for (int i = 0; i < graph.nodes(); ++i) {
    if (claims.taken(i)) claimed->data[claimed->size++] = graph.node(i).index;
  }
  return true;
}

}  // namespace bnn::litert
