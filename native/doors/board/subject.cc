#include "doors/board/subject.h"

#include <algorithm>
#include <cstdio>

namespace bnn {

bool Buffers::make(const Step* steps, int count) {
  size_t in_values_size = 0, in_words = 0, elements = 0, out_words = 0, row = 0;
  for (int i = 0; i < count; ++i) {
    in_values_size = std::max(in_values_size, steps[i].in_values());
    in_words = std::max(in_words, steps[i].in_words());
    elements = std::max(elements, steps[i].out_elements());
    out_words = std::max(out_words, steps[i].out_words());
    row = std::max(row, scratch_bytes(steps[i]));
  }
  in_values = allocate(in_values_size * sizeof(float));
  in_bits = allocate(in_words * sizeof(uint64_t));
  values = allocate(elements * sizeof(float));
  bits = allocate(out_words * sizeof(uint64_t));
  sums = allocate(elements * sizeof(int32_t));
  scratch = allocate(row);
  if (!in_values || !in_bits || !values || !bits || !sums || !scratch) return false;
  invent_values(1, in_values_size, reinterpret_cast<float*>(in_values.get()));
  return true;
}

bool prepare_owned(const Constants& constants, PreparedStep* prepared, Memory* memory) {
  *memory = allocate(prepared_bytes(*prepared));
  if (!*memory) return false;
  prepare_constants(constants, memory->get(), prepared);
  return true;
}

void Subject::make(int index, const Step& step, const KernelChoice& choice, uint64_t seed) {
  index_ = index;
  seed_ = seed;
  Status status;
  if (!choose_kernel(index, step, choice, &prepared_, &status)) {
    std::snprintf(error_, sizeof error_, "%s", status.message);
    return;
  }
  InventedConstants invented;
  if (!invented.make(step, seed) || !prepare_owned(invented.constants, &prepared_, &memory_)) {
    std::snprintf(error_, sizeof error_, "step %d: no memory for its constants", index);
  }
}

Work Subject::bind(Buffers* buffers) {
  const Step& step = prepared_.step;
  uint64_t* bits = reinterpret_cast<uint64_t*>(buffers->in_bits.get());
  if (step.reads_bits()) invent_bits(seed_, step.shape, bits);
  in_ = {reinterpret_cast<float*>(buffers->in_values.get()), bits};
  out_ = {step.float_out ? reinterpret_cast<float*>(buffers->values.get()) : nullptr,
          step.bits_out ? reinterpret_cast<uint64_t*>(buffers->bits.get()) : nullptr, nullptr};
  scratch_ = buffers->scratch.get();
  return {[](void* self) {
            const Subject* subject = static_cast<const Subject*>(self);
            run_step(subject->prepared_, subject->in_, subject->out_, subject->scratch_);
          },
          this};
}

}  // namespace bnn
