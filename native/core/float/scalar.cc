#include "core/simd/scalar.h"

#include "core/float/kernels.h"

namespace bnn {

extern const FloatKernels float_scalar;

namespace {

struct ScalarFloat : Scalar {
  static constexpr int kPixels = 4, kVectors = 2;
  // No FMA: without the instruction it is a call.
  static F mul_add(float a, F w, F sum) { return sum + a * w; }
  static F fma(F a, F b, F c) { return c + a * b; }
};

}  // namespace

const FloatKernels float_scalar = float_kernels<ScalarFloat>();

}  // namespace bnn
