// One step of a plan made ready to be checked and timed: invented constants, prepared as the
// executor prepares real ones, and run by the executor's own run_step().
#pragma once

#include "doors/board/measure.h"
#include "engine/execute.h"
#include "engine/invent.h"

namespace bnn {

// Activations, shared by all steps of a plan and as large as the largest.
struct Buffers {
  Memory in_values, in_bits, values, bits, sums, scratch;

  bool make(const Step* steps, int count);
};

class Subject {
 public:
  // Invents constants from `seed`. On failure error() says why and nothing else may be called.
  void make(int index, const Step& step, const KernelChoice& choice, uint64_t seed);

  bool ok() const { return error_[0] == '\0'; }
  const char* error() const { return error_; }
  int index() const { return index_; }
  uint64_t seed() const { return seed_; }
  const PreparedStep& prepared() const { return prepared_; }

  // Compares one run with the scalar kernels (check.cc); error() says what differs.
  void check(Buffers* buffers);

  // Puts this step's own input into the shared buffers and returns its run as a thing to be timed.
  Work bind(Buffers* buffers);

 private:
  int index_ = 0;
  uint64_t seed_ = 0;
  char error_[320] = "";
  PreparedStep prepared_;
  Memory memory_;
  StepInput in_;
  StepOutput out_;
  void* scratch_ = nullptr;
};

// Copies constants into new memory and prepares them. False: no memory.
bool prepare_owned(const Constants& constants, PreparedStep* prepared, Memory* memory);

}  // namespace bnn
