// The memory of one step on its own, outside of a network's arena: for tests, traces and profiles.
#pragma once

#include "engine/execute.h"
#include "engine/memory.h"

namespace bnn {

// Floats and bits of one tensor of `rows` rows: whole, or a ring. Zeroed when made.
class Tensors {
 public:
  // The output of a step; `values` and `bits` may be asked for beyond what the step writes. False:
  // no memory.
  bool make_output(const Step& step, int rows, bool values, bool bits);
  bool make_output(const Step& step) {
    return make_output(step, step.shape.out_h, step.float_out, step.bits_out);
  }
  // The input of a step, of `rows` rows.
  bool make_input(const Step& step, int rows);

  // A ring of fewer rows for the floats than for the bits.
  void limit_values(int rows) { rows_.values.count = rows; }
  // Fills an input with values in [-1, 1) and random bits.
  void invent(const Step& step, uint64_t seed);

  const StepOutput& rows() const { return rows_; }
  StepInput as_input() const { return rows_.as_input(); }

 private:
  bool make(size_t place, int rows, size_t row_values, size_t row_words);

  Memory memory_;
  StepOutput rows_ = {};
};

// Scratch for one step with this input.
class OwnScratch {
 public:
  bool make(const Step& step, const StepInput& in);
  const Scratch& get() const { return scratch_; }

 private:
  Memory memory_;
  Scratch scratch_ = {};
};

// The step that gives the XOR-popcount sums of a binary convolution, with the weights and the
// kernel of `binary`, which must outlive it: scale 1, bias 0 and nothing else, so that its floats
// are k_bits - 2 * acc, exactly.
class SumsStep {
 public:
  bool make(const PreparedStep& binary);
  // sums: [out_h, out_w, out_c]. False: no memory.
  bool run(const StepInput& in, int32_t* sums) const;

 private:
  PreparedStep prepared_ = {};
  Memory constants_;
};

}  // namespace bnn
