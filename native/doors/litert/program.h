// What a claimed part of a model computes: chains of the engine, and single operators, one after
// another.
#pragma once

#include <memory>

#include "doors/litert/bconv2d_op.h"
#include "doors/litert/chain.h"
#include "doors/litert/graph.h"
#include "doors/litert/profile.h"

namespace bnn::litert {

class Program {
 public:
  // outputs: the tensors that the runtime wants; what the program reads from outside is there when
  // it runs. The graph must outlive this. False: `status` says why.
  bool build(const Graph& graph, const int* outputs, int count, const LoadOptions& options,
             Status* status);

  // tensors: the runtime's, whose data are those of this run. False: one of them is not there, or
  // has another size than when this was built.
  bool run(const TfLiteTensor* tensors, Crew* crew, Status* status);

  // From now on runs add up how long each step takes. False: no memory.
  bool count_time(Status* status);
  void report(Profile* profile) const;

 private:
  struct Unit {
    Op op;                      // kOther: a chain
    int input, second, output;  // second: of a builtin operator, or kOptionalTensor
    Tensor from, to;            // types and shapes
    const Node* node;
    int64_t total_ns;  // of a node
    std::unique_ptr<Chain> chain;
    std::unique_ptr<Bconv2dOp> bconv2d;
  };

  bool add_chain(const Graph& graph, const class Steps& steps, int node, Status* status);
  bool add_node(const Graph& graph, const Node& node, Status* status);
  bool place_inner(const Graph& graph, const int* outputs, int count, Status* status);
  void run_unit(const Unit& unit, const void* in, const void* second, void* out, Crew* crew) const;

  const Graph* graph_ = nullptr;
  LoadOptions options_;
  bool counts_time_ = false;
  int64_t runs_ = 0;
  int count_ = 0;
  std::unique_ptr<Unit[]> units_;
  std::unique_ptr<void*[]> inner_;  // of a tensor that is none of the runtime's: its place
  Memory memory_;
};

}  // namespace bnn::litert
