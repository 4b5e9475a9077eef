// Consecutive steps (step_match.h) as a network of the engine: what stands between them stays
// inside.
#pragma once

#include <memory>

#include "doors/litert/step_match.h"
#include "engine/network.h"

namespace bnn::litert {

class Chain {
 public:
  // steps: from the first on; each reads what the one before it ends in. The first one reads
  // floats. False: no memory, or a kernel that does not fit.
  bool make(const Graph& graph, const StepMatch* const* steps, int count,
            const LoadOptions& options, Status* status);

  // in: [N, ..] of the first step's input, out: [N, ..] of what the last one ends in.
  void run(const float* in, float* out, int batch, Crew* crew);

  const Network& network() const { return *network_; }

 private:
  std::unique_ptr<Network> network_;
};

}  // namespace bnn::litert
