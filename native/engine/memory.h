// Memory that may not be had, aligned to 64 bytes, or to a page from a page's size on (places.h):
// every allocation of the engine is one of these, made at load.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "engine/places.h"

namespace bnn {

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

using Memory = std::unique_ptr<char, Free>;

// At least one byte; null when there is no memory.
inline Memory allocate(size_t bytes) {
  const size_t alignment = bytes < kPageBytes ? 64 : kPageBytes;
  const size_t rounded = (bytes / alignment + 1) * alignment;
  return Memory(static_cast<char*>(std::aligned_alloc(alignment, rounded)));
}

inline Memory allocate_zeroed(size_t bytes) {
  Memory memory = allocate(bytes);
  if (memory) std::memset(memory.get(), 0, bytes);
  return memory;
}

// Places things one after another, each 64-byte aligned: first without memory, to learn the size,
// then with it.
class Placer {
 public:
  explicit Placer(char* base) : base_(base) {}

  template <class T>
  T* take(size_t count) {
    T* place = base_ ? reinterpret_cast<T*>(base_ + bytes_) : nullptr;
    bytes_ += (count * sizeof(T) + 63) / 64 * 64;
    return place;
  }
  size_t bytes() const { return bytes_; }
  void skip_to(size_t bytes) { bytes_ = bytes; }

 private:
  char* base_;
  size_t bytes_ = 0;
};

}  // namespace bnn
