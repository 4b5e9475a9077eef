#include <immintrin.h>

#include "core/epilogue/rows.h"

namespace bnn {

extern const EpilogueRows epilogue_avx512;

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
    if (n == kLanes) {
      _mm512_storeu_ps(p, v);
    } else {
      _mm512_mask_storeu_ps(p, first(n), v);
    }
  }
  static F broadcast(float v) { return _mm512_set1_ps(v); }
  static F dot(int k_bits, I acc) {
    return _mm512_cvtepi32_ps(
        _mm512_sub_epi32(_mm512_set1_epi32(k_bits), _mm512_add_epi32(acc, acc)));
  }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F if_greater(F a, F b, F yes, F no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), no, yes);
  }
  static uint32_t less(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  static uint32_t greater_int(I a, I b) { return _mm512_cmpgt_epi32_mask(a, b); }
};

}  // namespace

const EpilogueRows epilogue_avx512 = {binary_row<Avx512>, real_row<Avx512>, compare_row<Avx512>};

}  // namespace bnn
