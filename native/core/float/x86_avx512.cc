#include <immintrin.h>

#include "core/float/kernels.h"

namespace bnn {

extern const FloatKernels float_avx512;

namespace {

struct Avx512 {
  using F = __m512;
  static constexpr int kLanes = 16;

  static __mmask16 first(int n) { return __mmask16((1u << n) - 1); }
  static F load(const float* p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static void store(float* p, F v, int n) { _mm512_mask_storeu_ps(p, first(n), v); }
  static F broadcast(float v) { return _mm512_set1_ps(v); }
  static F zero() { return _mm512_setzero_ps(); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static float sum(F v) {
    float lanes[kLanes];
    _mm512_storeu_ps(lanes, v);
    float total = 0.0f;
    for (float lane : lanes) total += lane;
    return total;
  }
};

}  // namespace

const FloatKernels float_avx512 = {conv2d_row_with<Avx512>, linear_with<Avx512>};

}  // namespace bnn
