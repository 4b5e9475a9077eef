// 512-bit vectors for lanes.h and depthwise.h, without a popcount; local to the file that includes
// it.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "core/simd/avx512.h"

namespace bnn {
namespace {

// The words of `pixels` pixels, `step` words apart, side by side in a vector.
class PixelLoader {
 public:
  PixelLoader() = default;
  PixelLoader(int words, int step, int pixels) {
    const int span = pixels > 1 ? (pixels - 1) * step + words : words;  // at most 15
    first_ = __mmask8((1u << (span < 8 ? span : 8)) - 1);
    second_ = __mmask8(span > 8 ? (1u << (span - 8)) - 1 : 0);
    for (int i = 0; i < 8; ++i) index_[i] = i < pixels * words ? i / words * step + i % words : 0;
  }
  template <bool kSpread>
  [[gnu::always_inline]] __m512i load(const uint64_t* p) const {
    const __m512i near = _mm512_maskz_loadu_epi64(first_, p);
    if (!kSpread) return near;
    const __m512i far = _mm512_maskz_loadu_epi64(second_, p + (second_ ? 8 : 0));
    return _mm512_permutex2var_epi64(near, _mm512_load_si512(index_), far);
  }

 private:
  alignas(64) int64_t index_[8];
  __mmask8 first_, second_;
};

// What lanes and bit slices share, with or without VPOPCNTDQ.
struct Avx512Vectors {
  using Bits = __m512i;
  using Count = __m512i;
  using Loader = PixelLoader;
  using Floats = Avx512;
  static constexpr int kWords = 8;
  static constexpr int kAccumulators = 16;

  static Bits constant(const uint64_t* p) { return _mm512_load_si512(p); }
  static Bits differ(Bits a, Bits w) { return _mm512_xor_si512(a, w); }
  static Count zero() { return _mm512_setzero_si512(); }
  static Count pin(Count sum) {
    asm volatile("" : "+v"(sum));
    return sum;
  }
  template <int kBits>
  static Bits collect(Bits bits, Count sum) {
    const __m512i top = kBits == 8 ? _mm512_set1_epi8(-128) : _mm512_set1_epi16(-32768);
    return _mm512_ternarylogic_epi64(top, sum, _mm512_srli_epi16(bits, 1), 0xca);
  }
  template <int kBits>
  static void interleave(Count a, Count b, Count* low, Count* high) {
    if constexpr (kBits == 8) {
      *low = _mm512_unpacklo_epi8(a, b);
      *high = _mm512_unpackhi_epi8(a, b);
    } else if constexpr (kBits == 16) {
      *low = _mm512_unpacklo_epi16(a, b);
      *high = _mm512_unpackhi_epi16(a, b);
    } else if constexpr (kBits == 32) {
      *low = _mm512_unpacklo_epi32(a, b);
      *high = _mm512_unpackhi_epi32(a, b);
    } else {
      *low = _mm512_unpacklo_epi64(a, b);
      *high = _mm512_unpackhi_epi64(a, b);
    }
  }
  template <int kBits>
  static Count merge(Count a, Count b) {
    static_assert(kBits == 8, "");
    return _mm512_or_si512(a, _mm512_slli_epi16(b, 8));
  }
  static void store(uint64_t* p, Count v) { _mm512_store_si512(p, v); }
  static void store_words(uint64_t* p, Bits v, int n) {
    if (n == kWords) {
      _mm512_storeu_si512(p, v);
    } else {
      _mm512_mask_storeu_epi64(p, __mmask8((1u << n) - 1), v);
    }
  }
  static __m512i widen8(const char* p) {
    return _mm512_cvtepu8_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
  }
};

struct Avx512Bits : Avx512Vectors {
  struct Whole {
    template <bool kSpread>
    [[gnu::always_inline]] __m512i load(const uint64_t* p) const {
      return _mm512_loadu_si512(p);
    }
  };
  // Pinned: the order in which these are called is that of the instructions.
  static Bits differ(Bits a, Bits b) { return pin(_mm512_xor_si512(a, b)); }
  static Bits both(Bits a, Bits b) { return pin(_mm512_and_si512(a, b)); }
  static Bits add(Bits a, Bits b, Bits c, Bits* carry) {
    *carry = pin(_mm512_ternarylogic_epi64(a, b, c, 0xe8));
    return pin(_mm512_ternarylogic_epi64(a, b, c, 0x96));
  }
  static Bits or_not(Bits a, Bits b) { return pin(_mm512_ternarylogic_epi64(a, b, a, 0xf3)); }
  static Bits decide(Bits a, Bits b, Bits lower) {
    return pin(_mm512_ternarylogic_epi64(lower, a, b, 0xd4));
  }
  static void expand(const uint64_t* planes, int step, char* bytes) {
    __m512i sum_u8x64 = _mm512_maskz_set1_epi8(planes[0], 1);
#pragma GCC unroll 3
    for (int i = 1; i < 4; ++i) {
      const __m512i weight = _mm512_set1_epi8(char(1 << i));
      sum_u8x64 = _mm512_mask_add_epi8(sum_u8x64, planes[i * step], sum_u8x64, weight);
    }
    _mm512_store_si512(bytes, sum_u8x64);
  }
};

}  // namespace
}  // namespace bnn
