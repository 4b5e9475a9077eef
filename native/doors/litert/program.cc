#include "doors/litert/program.h"

#include <new>

#include "doors/litert/bit_ops.h"
#include "doors/litert/float_ops.h"
#include "doors/litert/steps.h"
#include "engine/clock.h"

namespace bnn::litert {
namespace {

constexpr int kMostChain = 4096;  // steps, as in a .bnn file

}  // namespace

bool Program::build(const Graph& graph, const int* outputs, int count, const LoadOptions& options,
                    Status* status) {
  graph_ = &graph;
  options_ = options;
  count_ = 0;
  units_.reset(new (std::nothrow) Unit[size_t(graph.nodes())]());
  if (!units_) return status->fail(Code::kNoMemory, "no memory for %d nodes", graph.nodes());
  Steps steps;
  if (!steps.find(graph, outputs, count, status)) return false;
  for (int i = 0; i < graph.nodes(); ++i) {
    const Node& node = graph.node(i);
    if (!node.usable || !steps.is_whole(node.output)) continue;
    const bool good = steps.is_alone(graph, i) ? add_node(graph, node, status)
                                               : add_chain(graph, steps, i, status);
    if (!good) return false;
  }
  return place_inner(graph, outputs, count, status);
}

bool Program::add_chain(const Graph& graph, const Steps& steps, int node, Status* status) {
  std::unique_ptr<const StepMatch*[]> chain(new (std::nothrow) const StepMatch*[kMostChain]);
  Unit& unit = units_[count_++];
  unit.chain.reset(new (std::nothrow) Chain);
  if (!chain || !unit.chain) return status->fail(Code::kNoMemory, "no memory for a chain");
  const int length = steps.chain(graph, node, chain.get(), kMostChain);
  if (!steps.is_whole(chain[0]->input)) {
    return status->fail(Code::kUnsupported, "more than %d steps behind each other", kMostChain);
  }
  unit.op = Op::kOther;
  unit.input = chain[0]->input;
  unit.second = kOptionalTensor;
  unit.output = graph.node(node).output;
  unit.from = graph.tensor(unit.input);
  unit.to = graph.tensor(unit.output);
  return unit.chain->make(graph, chain.get(), length, options_, status);
}

bool Program::add_node(const Graph& graph, const Node& node, Status* status) {
  Unit& unit = units_[count_++];
  unit.op = node.op;
  unit.input = node.input(0);
  unit.second = second_input(graph, node);
  unit.output = node.output;
  unit.from = graph.tensor(unit.input);
  unit.to = graph.tensor(unit.output);
  unit.node = &node;
  if (node.op != Op::kBconv2d) return true;
  KernelChoice choice{};
  unit.bconv2d.reset(new (std::nothrow) Bconv2dOp);
  if (!unit.bconv2d) return status->fail(Code::kNoMemory, "no memory for a convolution");
  return KernelChoice::parse(options_.kernel, &choice, status) &&
         unit.bconv2d->make(graph, node, choice, options_.threads, status);
}

bool Program::place_inner(const Graph& graph, const int* outputs, int count, Status* status) {
  inner_.reset(new (std::nothrow) void*[size_t(graph.tensors())]());
  std::unique_ptr<bool[]> outside(new (std::nothrow) bool[size_t(graph.tensors())]());
  if (!inner_ || !outside) return status->fail(Code::kNoMemory, "no memory for tensors");
  for (int i = 0; i < count; ++i) outside[outputs[i]] = true;
  for (int pass = 0; pass < 2; ++pass) {
    Placer placer(memory_.get());
    for (int i = 0; i < count_; ++i) {
      const Unit& unit = units_[i];
      if (!outside[unit.output]) inner_[unit.output] = placer.take<char>(bytes_of(unit.to));
    }
    if (pass == 0) memory_ = allocate(placer.bytes());
    if (!memory_) return status->fail(Code::kNoMemory, "no memory for tensors between steps");
  }
  return true;
}

bool Program::run(const TfLiteTensor* tensors, Crew* crew, Status* status) {
  const auto place = [&](int index, const Tensor& expected) -> void* {
    if (inner_[index]) return inner_[index];
    const TfLiteTensor& tensor = tensors[index];
    const size_t alignment = expected.type == kFloat32 || expected.type == kInt32 ? 4 : 1;
    const bool aligned = reinterpret_cast<uintptr_t>(tensor.data) % alignment == 0;
    if (tensor.data && aligned && tensor.bytes >= bytes_of(expected)) return tensor.data;
    status->fail(Code::kUnsupported, "tensor %d is %s", index,
                 aligned ? "of another size than when it was prepared" : "not aligned");
    return nullptr;
  };
  ++runs_;
  for (int i = 0; i < count_; ++i) {
    Unit& unit = units_[i];
    const void* in = place(unit.input, unit.from);
    const bool two = unit.second != kOptionalTensor;
    const void* second = two ? place(unit.second, unit.from) : nullptr;
    void* out = place(unit.output, unit.to);
    if (!in || (two && !second) || !out) return false;
    const int64_t start_ns = counts_time_ ? clock_ns() : 0;
    run_unit(unit, in, second, out, crew);
    if (counts_time_) unit.total_ns += clock_ns() - start_ns;
  }
  return true;
}

bool Program::count_time(Status* status) {
  counts_time_ = true;
  for (int i = 0; i < count_; ++i) {
    if (units_[i].chain && !units_[i].chain->count_time()) {
      return status->fail(Code::kNoMemory, "no memory to count time");
    }
  }
  return true;
}

void Program::report(Profile* profile) const {
  profile->add_runs(runs_, options_.threads);
  for (int i = 0; i < count_; ++i) {
    const Unit& unit = units_[i];
    if (unit.chain) {
      unit.chain->report(profile);
    } else {
      profile->add(op_name(*unit.node), unit.bconv2d ? unit.bconv2d->kernel_name() : "",
                   unit.total_ns * options_.threads);
    }
  }
}

void Program::run_unit(const Unit& unit, const void* in, const void* second, void* out,
                       Crew* crew) const {
  switch (unit.op) {
    case Op::kQuantize:
      return run_quantize(unit.from, unit.from.shape, in, out);
    case Op::kDequantize:
      return run_dequantize(unit.to, unit.to.shape, in, out);
    case Op::kBMaxPool2d:
      return run_bmaxpool2d(unit.node->window, unit.from.shape, unit.to.shape, in, out);
    case Op::kBconv2d:
      return unit.bconv2d->run(in, out, crew);
    case Op::kOther:
      return unit.chain->run(static_cast<const float*>(in), static_cast<float*>(out),
                             unit.from.shape.dims[0], crew);
    default:
      return run_float_op(*graph_, *unit.node, static_cast<const float*>(in),
                          static_cast<const float*>(second), static_cast<float*>(out));
  }
}

}  // namespace bnn::litert
