#include "doors/board/company.h"

#include <algorithm>

namespace bnn {
namespace {

// The block that a binary MobileNet has most of (its fourth to eighth stage): a convolution in
// groups of 8 channels, and the pointwise one after it.
Step companion(int kernel, int groups) {
  Step step = {};
  step.kind = StepKind::kBconv2d;
  step.shape = {14, 14, 512, 14, 14, 512, kernel, 1, groups, kernel / 2, kernel / 2};
  step.shortcut = Shortcut::kIdentity;
  step.rprelu = step.float_out = step.bits_out = true;
  return step;
}

// Means, for a clock may tick more slowly than it is read; the least of them, for an interruption
// would make one large.
double clock_cost_ns() {
  constexpr int kMeans = 20, kLooks = 100;
  double least = 1e9;
  for (int mean = 0; mean < kMeans; ++mean) {
    int64_t total = 0;
    for (int i = 0; i < kLooks; ++i) {
      const int64_t start = now_ns();
      total += now_ns() - start;
    }
    least = std::min(least, double(total) / kLooks);
  }
  return least;
}

}  // namespace

bool Company::make(Isa isa) {
  const Step steps[] = {companion(3, 64), companion(1, 1)};
  for (int i = 0; i < 2; ++i) {
    steps_[i].make(i, steps[i], {isa, nullptr}, 1, false);
    if (!steps_[i].ok()) return false;
  }
  clock_ns_ = clock_cost_ns();
  return true;
}

int64_t Company::time_turns(Subject* subject, int64_t iterations) {
  int64_t total = 0, turns = 0;
  while (iterations > 0) {
    for (Subject& step : steps_) step.turn();
    const int64_t start = now_ns();
    const bool ended = subject->turn();
    total += now_ns() - start;
    ++turns;
    iterations -= ended;
  }
  return std::max<int64_t>(1, total - int64_t(double(turns) * clock_ns_));
}

}  // namespace bnn
