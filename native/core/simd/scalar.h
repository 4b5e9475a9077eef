// No vectors: the V of epilogue/sink.h and float/kernels.h, local to the file that includes it.
#pragma once

#include <cstdint>

namespace bnn {
namespace {

struct Scalar {
  using F = float;
  using I = int32_t;
  static constexpr int kLanes = 1;

  static F load(const float* p, int) { return *p; }
  static I load_int(const int32_t* p, int) { return *p; }
  static void store(float* p, F v, int) { *p = v; }
  static F broadcast(float v) { return v; }
  static F half_dot(F half_k, I acc) { return half_k - float(acc); }
  static F add(F a, F b) { return a + b; }
  static F mul(F a, F b) { return a * b; }
  static F fma(F a, F b, F c) { return __builtin_fmaf(a, b, c); }  // one rounding on every CPU
  static constexpr bool kFloatSums = false;
  static I zero() { return 0; }
  static F max(F a, F b) { return a > b ? a : b; }
  static F min(F a, F b) { return a < b ? a : b; }
  static F prelu(F beta, F y) { return y > 0.0f ? y : beta * y; }
  static uint32_t less(F a, F b) { return a < b; }
  static uint32_t greater_int(I a, I b) { return a > b; }
  static void store_bits(char* byte, int c, uint32_t bits) {
    const uint32_t before = c % 8 ? uint8_t(*byte) : 0;
    *byte = char(before | bits << (c % 8));
  }
  static F sum(F v) { return v; }
};

}  // namespace
}  // namespace bnn
