// What a core can reach at most: loops of a kernel's own instructions on registers alone, without
// a load, a store or a branch that a kernel would need. A kernel's rate divided by this one is its
// percent of peak.
//
// The loops are assembler, so that no compiler folds, reorders or spills them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/isa.h"

namespace bnn {

struct PeakLoops {
  const char* recipe;  // the instructions of the binary loop
  Isa isa;
  int macs_per_iteration;  // binary: bits compared and counted
  void (*run_macs)(int64_t iterations);
  int float_macs_per_iteration;  // float32 fused multiply-adds
  void (*run_float_macs)(int64_t iterations);
  // Vector loads and stores, 256 bytes at a time; the rest past a multiple of 256 stays. Both
  // 64-byte aligned.
  void (*copy)(const char* from, char* to, size_t bytes);
};

// The loops of the best ISA that `isa` includes (isa.h); null for scalar, which is a reference and
// not a limit.
const PeakLoops* peak_loops(Isa isa);

// A chain of dependent additions, register to register: one cycle each on every core. It gives the
// clock.
constexpr int kAddsPerIteration = 64;
void run_dependent_adds(int64_t iterations);

}  // namespace bnn
