#include "engine/tune.h"

#include <algorithm>
#include <cstring>

#include "engine/clock.h"
#include "engine/invent.h"
#include "engine/rehearsal.h"

namespace bnn {
namespace {

constexpr int kMostCandidates = 16;
constexpr int64_t kBudgetNs = 500'000;  // for one shape
constexpr int64_t kSampleNs = 10'000;   // long beside the clock's own cost
constexpr int kFewestRounds = 3;
// A later kernel of the list must win by this much, so that noise does not choose.
constexpr double kGain = 0.98;

struct Candidate {
  PreparedStep prepared;
  Memory memory;
  int64_t best_ns;
};

// Duration of `rows` rows, after one that brings constants and activations back into the cache.
int64_t time_rows(const PreparedStep& prepared, const Rehearsal& rehearsal, int rows) {
  const int out_h = prepared.step.shape.out_h;
  rehearsal.run_row(prepared, out_h - 1);
  const int64_t start = clock_ns();
  for (int i = 0; i < rows; ++i) rehearsal.run_row(prepared, i % out_h);
  return clock_ns() - start;
}

// The kernels that may take the place of this step's, itself first. How many; 0 without memory.
int find_candidates(const PreparedStep& prepared, Candidate* candidates) {
  InventedConstants invented;
  if (!invented.make(prepared.step, 1)) return 0;
  size_t count = 0;
  int found = 0;
  const Bconv2dKernel* const* kernels = bconv2d_kernels(&count);
  for (size_t i = 0; i < count && found < kMostCandidates; ++i) {
    const Bconv2dKernel* kernel = kernels[i];
    if (kernel->isa != prepared.kernel->isa || !kernel->supports(prepared.step.shape) ||
        std::strcmp(kernel->method, prepared.kernel->method) != 0) {
      continue;
    }
    Candidate& candidate = candidates[found++];
    candidate.prepared = prepared;
    candidate.prepared.kernel = kernel;
    candidate.best_ns = INT64_MAX;
    if (!prepare_owned(invented.constants, &candidate.prepared, &candidate.memory)) return 0;
  }
  return found;
}

const Bconv2dKernel* fastest(const PreparedStep& prepared) {
  Candidate candidates[kMostCandidates];
  Rehearsal rehearsal;
  const int count = find_candidates(prepared, candidates);
  if (count < 2 || !rehearsal.make(prepared.step, 1)) return prepared.kernel;
  const int64_t row_ns = time_rows(candidates[0].prepared, rehearsal, 1);
  const int rows = int(std::clamp<int64_t>(kSampleNs / std::max<int64_t>(row_ns, 1), 1, 1000));
  const int64_t end = clock_ns() + kBudgetNs;
  for (int round = 0; round < kFewestRounds || clock_ns() < end; ++round) {
    for (int i = 0; i < count; ++i) {
      Candidate& candidate = candidates[i];
      candidate.best_ns =
          std::min(candidate.best_ns, time_rows(candidate.prepared, rehearsal, rows));
    }
  }
  const Candidate* best = candidates;
  for (int i = 1; i < count; ++i) {
    if (double(candidates[i].best_ns) < kGain * double(best->best_ns)) best = candidates + i;
  }
  return best->prepared.kernel;
}

// Whether the two differ at most in their constants.
bool same_work(const Step& a, const Step& b) {
  return std::memcmp(&a.shape, &b.shape, sizeof a.shape) == 0 && a.kind == b.kind &&
         a.shortcut == b.shortcut && a.rprelu == b.rprelu && a.float_out == b.float_out &&
         a.bits_out == b.bits_out && a.border == b.border && a.activation == b.activation &&
         a.zero_padding == b.zero_padding;
}

}  // namespace

void tune(PreparedStep* steps, int count) {
  for (int i = 0; i < count; ++i) {
    if (!steps[i].kernel) continue;
    int same = 0;
    while (!same_work(steps[same].step, steps[i].step)) ++same;  // at the latest i itself
    steps[i].kernel = same < i ? steps[same].kernel : fastest(steps[i]);
  }
}

}  // namespace bnn
