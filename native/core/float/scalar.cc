#include "core/float/kernels.h"

namespace bnn {

extern const FloatKernels float_scalar;

namespace {

struct Scalar {
  using F = float;
  static constexpr int kLanes = 1;

  static F load(const float* p, int) { return *p; }
  static void store(float* p, F v, int) { *p = v; }
  static F broadcast(float v) { return v; }
  static F zero() { return 0.0f; }
  static F fma(F a, F b, F c) { return a * b + c; }
  static float sum(F v) { return v; }
};

}  // namespace

const FloatKernels float_scalar = {conv2d_row_with<Scalar>, linear_with<Scalar>};

}  // namespace bnn
