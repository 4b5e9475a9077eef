#include "core/float/kernels.h"
#include "core/simd/neon.h"

namespace bnn {

extern const FloatKernels float_neon;

namespace {

struct NeonFloat : Neon {
  // 20 sums of 4 lanes, 4 of weights and 5 input values; a sixth pixel spills.
  static constexpr int kPixels = 5, kVectors = 2;
  static F mul_add(float a, F w, F sum) {
    return {vfmaq_n_f32(sum.val[0], w.val[0], a), vfmaq_n_f32(sum.val[1], w.val[1], a)};
  }
};

}  // namespace

const FloatKernels float_neon = float_kernels<NeonFloat>();

}  // namespace bnn
