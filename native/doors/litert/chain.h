// Consecutive steps (step_match.h) as a network of the engine: what stands between them stays
// inside.
#pragma once

#include <memory>

#include "doors/litert/profile.h"
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

  bool count_time() { return network_->count_time(); }
  // The time of every step so far.
  void report(Profile* profile) const;

 private:
  std::unique_ptr<Network> network_;
};

}  // namespace bnn::litert
