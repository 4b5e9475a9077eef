// AVX-512 with VPOPCNTDQ and BITALG: popcounts of 8, 16 and 64-bit lanes are one instruction.
#include <immintrin.h>

#include "core/bconv2d/broadcast.h"
#include "core/bconv2d/depthwise.h"
#include "core/bconv2d/kernel_of.h"
#include "core/bconv2d/lanes.h"

namespace bnn {

extern const Bconv2dKernel bconv2d_avx512_dense;
extern const Bconv2dKernel bconv2d_avx512_depthwise3x3;
extern const Bconv2dKernel bconv2d_avx512_lanes8;
extern const Bconv2dKernel bconv2d_avx512_lanes16;
extern const Bconv2dKernel bconv2d_avx512_lanes32;
extern const Bconv2dKernel bconv2d_avx512_generic;

namespace {

struct Avx512Words {  // 16 output channels
  using Word = uint32_t;
  using Words = __m512i;
  using Sum = __m512i;
  using Floats = Avx512;
  static constexpr int kLanes = 16;
  static constexpr int kJoin = 1;

  static Words load(const Word* p) { return _mm512_load_si512(p); }
  static Words broadcast(const char* p) {
    int32_t word;
    std::memcpy(&word, p, sizeof word);
    return _mm512_set1_epi32(word);
  }
  static Words differ(Words a, Words w) { return _mm512_xor_si512(a, w); }
  static Words differ_masked(Words a, Words m, Words w) {
    return _mm512_ternarylogic_epi32(a, m, w, 0x6a);  // (a & m) ^ w
  }
  static Sum zero() { return _mm512_setzero_si512(); }
  static Sum count(Sum sum, Words x) { return _mm512_add_epi32(sum, _mm512_popcnt_epi32(x)); }
  static __m512i join(const Sum* sum) { return *sum; }
};

// The words of `pixels` pixels, `step` words apart, side by side in a vector.
class PixelLoader {
 public:
  PixelLoader(int words, int step, int pixels) : spread_(pixels > 1 && step != words) {
    const int span = spread_ ? (pixels - 1) * step + words : pixels * words;  // at most 15
    first_ = __mmask8((1u << (span < 8 ? span : 8)) - 1);
    second_ = __mmask8(span > 8 ? (1u << (span - 8)) - 1 : 0);
    alignas(64) int64_t index[8] = {};
    for (int i = 0; i < pixels * words && i < 8; ++i) index[i] = i / words * step + i % words;
    index_ = _mm512_load_si512(index);
  }
  __m512i load(const uint64_t* p) const {
    const __m512i near = _mm512_maskz_loadu_epi64(first_, p);
    if (!spread_) return near;
    const __m512i far = _mm512_maskz_loadu_epi64(second_, p + (second_ ? 8 : 0));
    return _mm512_permutex2var_epi64(near, index_, far);
  }

 private:
  __m512i index_;
  __mmask8 first_, second_;
  bool spread_;
};

struct Avx512Lanes {
  using Bits = __m512i;
  using Count = __m512i;
  using Loader = PixelLoader;
  static constexpr int kWords = 8;
  static constexpr bool kCountsBytes = false;

  static Bits constant(const uint64_t* p) { return _mm512_load_si512(p); }
  static Bits differ(Bits a, Bits w) { return _mm512_xor_si512(a, w); }
  static Bits differ_masked(Bits a, Bits m, Bits w) {
    return _mm512_ternarylogic_epi64(a, m, w, 0x6a);  // (a & m) ^ w
  }
  static Count zero() { return _mm512_setzero_si512(); }
  template <int kBits>
  static Count count(Count sum, Bits x) {
    if constexpr (kBits == 8) return _mm512_add_epi8(sum, _mm512_popcnt_epi8(x));
    if constexpr (kBits == 16) return _mm512_add_epi16(sum, _mm512_popcnt_epi16(x));
    if constexpr (kBits == 32) return _mm512_add_epi32(sum, _mm512_popcnt_epi32(x));
  }
  template <int kBits>
  static Count total(Count sum) {
    return sum;
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
    static_assert(kBits == 16, "");
    return _mm512_or_si512(a, _mm512_slli_epi32(b, 16));
  }
  static void store(uint64_t* p, Count v) { _mm512_store_si512(p, v); }
  static void widen8(const uint64_t* from, int32_t* to) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_cvtepu8_epi32(bytes));
  }
  static void widen16(const uint64_t* from, int32_t* to) {
    const __m128i words = _mm_load_si128(reinterpret_cast<const __m128i*>(from));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_cvtepu16_epi32(words));
  }
};

struct Avx512Bits : Avx512Lanes {
  static Bits parity(Bits a, Bits b, Bits c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
  static Bits majority(Bits a, Bits b, Bits c) { return _mm512_ternarylogic_epi64(a, b, c, 0xe8); }
  static Bits both(Bits a, Bits b) { return _mm512_and_si512(a, b); }
  static void expand(const uint64_t* planes, int step, int32_t* acc) {
    __m512i sum_u8x64 = _mm512_maskz_set1_epi8(planes[0], 1);
#pragma GCC unroll 3
    for (int i = 1; i < 4; ++i) {
      const __m512i weight = _mm512_set1_epi8(char(1 << i));
      sum_u8x64 = _mm512_mask_add_epi8(sum_u8x64, planes[i * step], sum_u8x64, weight);
    }
    alignas(64) uint8_t bytes[64];
    _mm512_store_si512(bytes, sum_u8x64);
#pragma GCC unroll 4
    for (int i = 0; i < 64; i += 16) {
      const __m128i quarter = _mm_load_si128(reinterpret_cast<const __m128i*>(bytes + i));
      _mm512_storeu_si512(acc + i, _mm512_cvtepu8_epi32(quarter));
    }
  }
};

using Dense = OneOrTwo<Broadcast<Avx512Words, false, 1>, Broadcast<Avx512Words, false, 2>>;
using Depthwise = Depthwise3x3<Avx512Bits>;
using Lanes8 = GroupLanes<Avx512Lanes, 8>;
using Lanes16 = GroupLanes<Avx512Lanes, 16>;
using Lanes32 = GroupLanes<Avx512Lanes, 32>;
using Generic = Broadcast<Avx512Words, true, 2>;

}  // namespace

const Bconv2dKernel bconv2d_avx512_dense = kernel_of<Dense>("bconv2d_avx512_dense", Isa::kAvx512);
const Bconv2dKernel bconv2d_avx512_depthwise3x3 =
    kernel_of<Depthwise>("bconv2d_avx512_depthwise3x3", Isa::kAvx512);
const Bconv2dKernel bconv2d_avx512_lanes8 =
    kernel_of<Lanes8>("bconv2d_avx512_lanes8", Isa::kAvx512);
const Bconv2dKernel bconv2d_avx512_lanes16 =
    kernel_of<Lanes16>("bconv2d_avx512_lanes16", Isa::kAvx512);
const Bconv2dKernel bconv2d_avx512_lanes32 =
    kernel_of<Lanes32>("bconv2d_avx512_lanes32", Isa::kAvx512);
const Bconv2dKernel bconv2d_avx512_generic =
    kernel_of<Generic>("bconv2d_avx512_generic", Isa::kAvx512);

}  // namespace bnn
