#include <immintrin.h>

#include "core/float/kernels.h"

namespace bnn {

extern const FloatKernels float_avx2;

namespace {

struct Avx2 {
  using F = __m256;
  static constexpr int kLanes = 8;

  static __m256i first(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static F load(const float* p, int n) {
    return n == kLanes ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, first(n));
  }
  static void store(float* p, F v, int n) {
    if (n == kLanes) {
      _mm256_storeu_ps(p, v);
    } else {
      _mm256_maskstore_ps(p, first(n), v);
    }
  }
  static F broadcast(float v) { return _mm256_set1_ps(v); }
  static F zero() { return _mm256_setzero_ps(); }
  static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static float sum(F v) {
    float lanes[kLanes];
    _mm256_storeu_ps(lanes, v);
    float total = 0.0f;
    for (float lane : lanes) total += lane;
    return total;
  }
};

}  // namespace

const FloatKernels float_avx2 = {conv2d_row_with<Avx2>, linear_with<Avx2>};

}  // namespace bnn
