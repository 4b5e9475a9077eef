// AVX2: the V of epilogue/sink.h and float/kernels.h, local to the file that includes it.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace bnn {
namespace {

struct Avx2 {
  using F = __m256;
  using I = __m256i;
  static constexpr int kLanes = 8;

  static __m256i first(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static F load(const float* p, int n) {
    return n == kLanes ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, first(n));
  }
  static I load_int(const int32_t* p, int n) {
    return n == kLanes ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))
                       : _mm256_maskload_epi32(p, first(n));
  }
  static void store(float* p, F v, int n) {
    if (__builtin_expect(n == kLanes, 1)) {
      _mm256_storeu_ps(p, v);
    } else {
      _mm256_maskstore_ps(p, first(n), v);
    }
  }
  static F broadcast(float v) { return _mm256_set1_ps(v); }
  static F half_dot(F half_k, I acc) { return _mm256_sub_ps(half_k, _mm256_cvtepi32_ps(acc)); }
  static F add(F a, F b) { return _mm256_add_ps(a, b); }
  static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static constexpr bool kFloatSums = false;
  static I zero() { return _mm256_setzero_si256(); }
  static F max(F a, F b) { return _mm256_max_ps(a, b); }
  static F min(F a, F b) { return _mm256_min_ps(a, b); }
  static F prelu(F beta, F y) {
    const F positive = _mm256_cmp_ps(y, _mm256_setzero_ps(), _CMP_GT_OQ);
    return _mm256_blendv_ps(_mm256_mul_ps(beta, y), y, positive);
  }
  static uint32_t less(F a, F b) {
    return uint32_t(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_LT_OQ)));
  }
  static uint32_t greater_int(I a, I b) {
    return uint32_t(_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(a, b))));
  }
  static void store_bits(char* byte, int, uint32_t bits) { *byte = char(bits); }
  static float sum(F v) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
  }
};

}  // namespace
}  // namespace bnn
