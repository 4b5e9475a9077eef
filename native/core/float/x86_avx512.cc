#include "core/float/kernels.h"
#include "core/simd/avx512.h"

namespace bnn {

extern const FloatKernels float_avx512;

namespace {

struct Avx512Float : Avx512 {
  // 14 sums: more than 8 hide the latency, and rows of 7 * 2^n pixels have no rest.
  static constexpr int kPixels = 7, kVectors = 2;
  static F mul_add(float a, F w, F sum) { return _mm512_fmadd_ps(_mm512_set1_ps(a), w, sum); }
};

}  // namespace

const FloatKernels float_avx512 = float_kernels<Avx512Float>();

}  // namespace bnn
