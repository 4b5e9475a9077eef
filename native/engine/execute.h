// Running one step: the executor, the profiler and the tracer all call this one function.
#pragma once

#include "engine/prepare.h"

namespace bnn {

struct StepInput {
  const float* values;   // [in_h, in_w, in_c], where the step reads them
  const uint64_t* bits;  // [padded_h, padded_w, words_of(in_c)], border zero, likewise
};

struct StepOutput {
  float* values;   // null: not wanted
  uint64_t* bits;  // null: not wanted; the border is zeroed here
  int32_t* sums;   // [out_h, out_w, out_c] XOR-popcount sums of a bconv2d, or null
};

// Bytes of scratch memory of one run, 64-byte aligned: one row of sums or of float results.
size_t scratch_bytes(const Step& step);

// Runs the step. Allocates nothing, cannot fail.
void run_step(const PreparedStep& prepared, const StepInput& in, const StepOutput& out,
              void* scratch);

}  // namespace bnn
