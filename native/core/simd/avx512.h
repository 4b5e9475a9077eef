// AVX-512: the V of epilogue/sink.h and float/kernels.h, local to the file that includes it.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace bnn {
namespace {

struct Avx512 {
  using F = __m512;
  using I = __m512i;
  static constexpr int kLanes = 16;

  static __mmask16 first(int n) { return __mmask16((1u << n) - 1); }
  static F load(const float* p, int n) {
    return n == kLanes ? _mm512_loadu_ps(p) : _mm512_maskz_loadu_ps(first(n), p);
  }
  static I load_int(const int32_t* p, int n) {
    return n == kLanes ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi32(first(n), p);
  }
  static void store(float* p, F v, int n) {
    if (__builtin_expect(n == kLanes, 1)) {
      _mm512_storeu_ps(p, v);
    } else {
      _mm512_mask_storeu_ps(p, first(n), v);
    }
  }
  static F broadcast(float v) { return _mm512_set1_ps(v); }
  static F half_dot(F half_k, I acc) { return _mm512_sub_ps(half_k, _mm512_cvtepi32_ps(acc)); }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static constexpr bool kFloatSums = true;
  static I zero() { return _mm512_setzero_si512(); }
  static I sum_zero() { return _mm512_set1_epi32(0x4b000000); }
  static I as_float_sum(I acc) { return _mm512_or_si512(acc, sum_zero()); }
  static F difference(F x, I sum) { return _mm512_sub_ps(x, _mm512_castsi512_ps(sum)); }
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static F min(F a, F b) { return _mm512_min_ps(a, b); }
  static F prelu(F beta, F y) {
    return _mm512_mask_mul_ps(y, _mm512_cmp_ps_mask(y, _mm512_setzero_ps(), _CMP_NGT_UQ), y, beta);
  }
  static uint32_t less(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  static uint32_t greater_int(I a, I b) { return _mm512_cmpgt_epi32_mask(a, b); }
  static void store_bits(char* byte, int, uint32_t bits) {
    const uint16_t two_bytes = uint16_t(bits);
    std::memcpy(byte, &two_bytes, sizeof two_bytes);
  }
  static float sum(F v) {
    const __m256 halves = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
  }
};

}  // namespace
}  // namespace bnn
