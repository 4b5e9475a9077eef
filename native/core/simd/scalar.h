// No vectors: the V of epilogue/rows.h and float/kernels.h, local to the file that includes it.
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
  static F dot(int k_bits, I acc) { return float(k_bits - 2 * acc); }
  static F add(F a, F b) { return a + b; }
  static F sub(F a, F b) { return a - b; }
  static F mul(F a, F b) { return a * b; }
  static F fma(F a, F b, F c) { return a * b + c; }
  static F if_greater(F a, F b, F yes, F no) { return a > b ? yes : no; }
  static uint32_t less(F a, F b) { return a < b; }
  static uint32_t greater_int(I a, I b) { return a > b; }
  static float sum(F v) { return v; }
};

}  // namespace
}  // namespace bnn
