#include "core/float/kernels.h"
#include "core/simd/avx512.h"

namespace bnn {

extern const FloatKernels float_avx512;

namespace {

struct Masked : Avx512 {  // n varies in the inner loop: a mask instead of a branch
  static F load(const float* p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static void store(float* p, F v, int n) { _mm512_mask_storeu_ps(p, first(n), v); }
};

}  // namespace

const FloatKernels float_avx512 = {conv2d_row_with<Masked>, linear_with<Masked>};

}  // namespace bnn
