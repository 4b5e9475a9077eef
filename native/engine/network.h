// A loaded network: kernels chosen, weights re-tiled, memory planned; then run() allocates nothing.
#pragma once

#include <memory>

#include "engine/bnn_file.h"
#include "engine/execute.h"
#include "engine/memory.h"

namespace bnn {

class Network {
 public:
  // From the bytes of a .bnn file with constants, which may be released afterwards. `kernel` as in
  // KernelChoice::parse. Null when it fails; `status` says why.
  static std::unique_ptr<Network> load(const void* data, size_t size, const char* kernel,
                                       Status* status);

  int steps() const { return count_; }
  const PreparedStep& step(int index) const { return steps_[index]; }
  size_t arena_bytes() const { return arena_bytes_; }
  size_t constant_bytes() const { return constant_bytes_; }

  // Elements of the image [H, W, C] and of the result.
  size_t image_values() const { return steps_[0].step.in_values(); }
  size_t result_values() const { return steps_[count_ - 1].step.out_values(); }

  // image: float32 [H, W, C]; result: float32, result_values(). One thread at a time.
  void run(const float* image, float* result);

  // One step of a run; step i reads what step i-1 left in the arena. `image` is read by step 0
  // alone, `result` written by the last alone. sums: as in StepOutput, may be null.
  void run_step(int index, const float* image, float* result, int32_t* sums = nullptr);

  // What step `index` has written, valid until step index+2 runs. Null for what it does not write,
  // and for the floats of the last step, which go to `result`. Bits stand in their border.
  const float* values_of(int index) const { return tensors_[index].values; }
  const uint64_t* bits_of(int index) const { return tensors_[index].bits; }

 private:
  struct Tensors {
    float* values;
    uint64_t* bits;
  };

  bool choose(const BnnFile& file, const char* kernel, Status* status);
  bool prepare(const BnnFile& file, Status* status);
  bool plan_arena(Status* status);
  size_t output_bytes(int index) const;

  int count_ = 0;
  size_t arena_bytes_ = 0, constant_bytes_ = 0;
  std::unique_ptr<PreparedStep[]> steps_;
  std::unique_ptr<Tensors[]> tensors_;
  Memory constants_, arena_;
  char* scratch_ = nullptr;
};

}  // namespace bnn
