#include "core/float/kernels.h"
#include "core/simd/avx2.h"

namespace bnn {

extern const FloatKernels float_avx2;

namespace {

struct Avx2Float : Avx2 {
  // 12 sums, 2 vectors of weights and an input value fill the 16 registers.
  static constexpr int kPixels = 6, kVectors = 2;
  static F mul_add(float a, F w, F sum) { return _mm256_fmadd_ps(_mm256_set1_ps(a), w, sum); }
};

}  // namespace

const FloatKernels float_avx2 = float_kernels<Avx2Float>();

}  // namespace bnn
