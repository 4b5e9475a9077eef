#include "doors/litert/steps.h"

#include <algorithm>
#include <new>

#include "doors/litert/float_ops.h"

namespace bnn::litert {

bool Steps::find(const Graph& graph, const int* outputs, int count, Status* status) {
  const size_t tensors = size_t(graph.tensors());
  whole_.reset(new (std::nothrow) bool[tensors]());
  readers_.reset(new (std::nothrow) int[tensors]());
  if (!whole_ || !readers_) return status->fail(Code::kNoMemory, "no memory for tensors");
  if (!matches_.find(graph, status)) return false;
  for (int i = 0; i < graph.nodes(); ++i) {  // a claimed node was usable; shapes change
    if (graph.node(i).usable) continue;
    return status->fail(Code::kUnsupported, "node %d (%s) does not fit its inputs",
                        graph.node(i).index, op_name(graph.node(i)));
  }
  for (int i = 0; i < count; ++i) {
    if (graph.is_tensor(outputs[i])) whole_[outputs[i]] = true;
  }
  for (int i = graph.nodes() - 1; i >= 0; --i) {  // whoever reads a tensor comes before its maker
    const Node& node = graph.node(i);
    if (!whole_[node.output] && !readers_[node.output]) continue;
    const StepMatch* match = matches_.of(i);
    const bool alone = is_alone(graph, i);
    if (match && (!alone || readers_[node.output])) {
      const int input = match->input;
      ++readers_[input];
      if (readers_[input] > 1 || graph.tensor(input).producer < 0) whole_[input] = true;
    }
    if (!alone) continue;
    if (!is_ours(node.op) && !is_float_op(node.op)) {
      return status->fail(Code::kUnsupported, "node %d is in no step of the engine", node.index);
    }
    whole_[node.output] = true;
    whole_[node.input(0)] = true;
    const int second = second_input(graph, node);
    if (second != kOptionalTensor) whole_[second] = true;
  }
  return true;
}

bool Steps::is_alone(const Graph& graph, int node) const {
  const int output = graph.node(node).output;
  return !matches_.of(node) || (graph.tensor(output).type == kInt32 && whole_[output]);
}

int Steps::chain(const Graph& graph, int node, const StepMatch** steps, int room) const {
  int count = 0;
  for (int i = node; count < room; i = graph.tensor(steps[count - 1]->input).producer) {
    steps[count++] = matches_.of(i);
    const StepMatch& first = *steps[count - 1];
    if (whole_[first.input] && !first.bits_in) break;
  }
  std::reverse(steps, steps + count);
  return count;
}

}  // namespace bnn::litert
