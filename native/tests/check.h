// What the tests share: a random generator with a fixed seed, heap buffers of the exact size (so
// that AddressSanitizer sees one byte too many), options, and the list of instruction sets.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/conv_shape.h"
#include "core/isa.h"

namespace bnn {

// SplitMix64 (Steele, Lea, Flood 2014): any seed will do, and a failure can be replayed from it.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  int below(int n) { return int(next() % uint64_t(n)); }
  int between(int low, int high) { return low + below(high - low + 1); }
  bool chance(int percent) { return below(100) < percent; }
  float real() { return float(int64_t(next() >> 40) - (1 << 23)) * 0x1p-22f; }  // -2 .. 2
  template <size_t kCount>
  int pick(const int (&from)[kCount]) {
    return from[below(int(kCount))];
  }

 private:
  uint64_t state_;
};

// `count` elements of T and not a byte more, aligned to 64 bytes, filled with 0xee.
template <class T>
class Buffer {
 public:
  explicit Buffer(size_t count) : count_(count) {
    void* memory = nullptr;
    if (posix_memalign(&memory, 64, count * sizeof(T)) != 0) std::abort();
    data_ = static_cast<T*>(memory);
    if (count != 0) std::memset(memory, 0xee, count * sizeof(T));
  }
  ~Buffer() { std::free(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  size_t size() const { return count_; }
  bool same(const Buffer& other) const {
    return count_ == other.count_ && std::memcmp(data_, other.data_, count_ * sizeof(T)) == 0;
  }

 private:
  size_t count_;
  T* data_;
};

// Sets out and pad from in, kernel and stride: TensorFlow's SAME rule, the smaller half first.
inline void set_same_padding(ConvShape* s) {
  const auto axis = [s](int in, int32_t* out, int32_t* pad) {
    *out = (in + s->stride - 1) / s->stride;
    const int total = (*out - 1) * s->stride + s->kernel - in;
    *pad = total > 0 ? total / 2 : 0;
  };
  axis(s->in_h, &s->out_h, &s->pad_top);
  axis(s->in_w, &s->out_w, &s->pad_left);
}

inline void print_shape(const ConvShape& s) {
  std::printf("%dx%dx%d-%dx%dx%d k%d s%d g%d", s.in_h, s.in_w, s.in_c, s.out_h, s.out_w, s.out_c,
              s.kernel, s.stride, s.groups);
}

// Value of "--name value" as a number, or `fallback`.
inline uint64_t option(int argc, char** argv, const char* name, uint64_t fallback) {
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::strcmp(argv[i], name) == 0) return std::strtoull(argv[i + 1], nullptr, 0);
  }
  return fallback;
}

// Whether --isa allows it (all are allowed without the option). Exits with 2 on an unknown name.
inline bool isa_wanted(int argc, char** argv, Isa isa) {
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::strcmp(argv[i], "--isa") != 0) continue;
    Isa wanted;
    if (!isa_from_name(argv[i + 1], &wanted)) {
      std::printf("unknown ISA \"%s\": see core/isa.h\n", argv[i + 1]);
      std::exit(2);
    }
    return wanted == isa;
  }
  return true;
}

// Says so when an instruction set is left out; true when it is to be tested.
inline bool isa_tested(int argc, char** argv, Isa isa) {
  if (!isa_wanted(argc, argv, isa)) return false;
  if (!isa_supported(isa)) std::printf("%-8s skipped: not supported by this CPU\n", isa_name(isa));
  return isa_supported(isa);
}

}  // namespace bnn
