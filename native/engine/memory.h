// 64-byte aligned memory that may not be had: every allocation of the engine is one of these, made
// at load.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

namespace bnn {

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

using Memory = std::unique_ptr<char, Free>;

// At least one byte; null when there is no memory.
inline Memory allocate(size_t bytes) {
  const size_t rounded = (bytes / 64 + 1) * 64;
  return Memory(static_cast<char*>(std::aligned_alloc(64, rounded)));
}

}  // namespace bnn
