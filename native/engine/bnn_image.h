// A .bnn file made in memory (docs/bnn-format.md): how a network that came in another format
// reaches the engine.
#pragma once

#include "engine/memory.h"
#include "engine/step.h"

namespace bnn {

class BnnImage {
 public:
  // Records of `count` steps, which are checked, and room for their constants, zeroed.
  bool make(const Step* steps, int count, Status* status);

  // Where constant_bytes(step, slot) bytes of step `index` go, canonical layout; null when the step
  // has no such constant.
  void* constant(int index, int slot);

  // The checksum. Afterwards the bytes are a whole file.
  void seal();

  const void* data() const { return memory_.get(); }
  size_t size() const { return size_; }

 private:
  Memory memory_;
  size_t size_ = 0;
};

}  // namespace bnn
