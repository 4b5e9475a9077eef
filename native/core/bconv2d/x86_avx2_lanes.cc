// AVX2 has no popcount: the bits of each nibble are looked up with VPSHUFB (Mula, Kurz, Lemire
// 2016). Filters stand as nibbles and the input is split once for all filters, so that 4 channels
// of a lane cost xor, shuffle, add.
#include <immintrin.h>

#include "core/bconv2d/depthwise.h"
#include "core/bconv2d/lanes.h"
#include "core/simd/avx2.h"

namespace bnn {

extern const Bconv2dKernel bconv2d_avx2_depthwise3x3;
extern const Bconv2dKernel bconv2d_avx2_lanes4;
extern const Bconv2dKernel bconv2d_avx2_lanes8;
extern const Bconv2dKernel bconv2d_avx2_lanes16;

namespace {

// The words of `pixels` pixels, `step` words apart, side by side in a vector.
class PixelLoader {
 public:
  PixelLoader() = default;
  PixelLoader(int words, int step, int pixels) : words_(words), step_(step), pixels_(pixels) {
    for (int i = 0; i < 4; ++i) mask_[i] = i < pixels * words ? -1 : 0;
  }
  template <bool kSpread>
  [[gnu::always_inline]] __m256i load(const uint64_t* p) const {
    if (kSpread && words_ == 2) {
      const __m128i second = pixels_ == 2 ? pair(p + step_) : _mm_setzero_si128();
      return _mm256_inserti128_si256(_mm256_castsi128_si256(pair(p)), second, 1);
    }
    if (kSpread) {
      const uint64_t second = pixels_ > 1 ? p[step_] : 0;
      const uint64_t third = pixels_ > 2 ? p[2 * step_] : 0;
      const uint64_t fourth = pixels_ > 3 ? p[3 * step_] : 0;
      return _mm256_setr_epi64x(int64_t(p[0]), int64_t(second), int64_t(third), int64_t(fourth));
    }
    const __m256i mask = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(mask_));
    return _mm256_maskload_epi64(reinterpret_cast<const long long*>(p), mask);
  }

 private:
  static __m128i pair(const uint64_t* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }

  int64_t mask_[4];
  int words_, step_, pixels_;
};

struct Avx2Lanes {
  using Bits = __m256i;
  struct Input {
    __m256i low, high;  // nibbles
  };
  using Count = __m256i;
  using Loader = PixelLoader;
  using Floats = Avx2;
  static constexpr int kWords = 4;
  static constexpr int kAccumulators = 8;
  static constexpr int kFilterParts = 2;
  static constexpr bool kCountsBytes = true;

  static Bits constant(const uint64_t* p) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Bits low_nibbles(Bits x) { return _mm256_and_si256(x, _mm256_set1_epi8(15)); }
  static Bits high_nibbles(Bits x) { return low_nibbles(_mm256_srli_epi16(x, 4)); }
  static Input input(Bits bits) { return {low_nibbles(bits), high_nibbles(bits)}; }
  static Input filter(const uint64_t* p) { return {constant(p), constant(p + kWords)}; }
  static Input differ(Input a, Input w) {
    return {_mm256_xor_si256(a.low, w.low), _mm256_xor_si256(a.high, w.high)};
  }
  static Input differ_masked(Input a, Input m, Input w) {
    return differ({_mm256_and_si256(a.low, m.low), _mm256_and_si256(a.high, m.high)}, w);
  }
  static Input pair_low(Bits a, Bits b) { return {low_nibbles(a), low_nibbles(b)}; }
  static Input pair_high(Bits a, Bits b) { return {high_nibbles(a), high_nibbles(b)}; }
  static Count zero() { return _mm256_setzero_si256(); }
  template <int kBits>
  static Count count(Count sum, Input x) {
    const __m256i counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                            0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    sum = _mm256_add_epi8(sum, _mm256_shuffle_epi8(counts, x.low));
    return _mm256_add_epi8(sum, _mm256_shuffle_epi8(counts, x.high));
  }
  static Count pin(Count sum) {
    asm volatile("" : "+x"(sum));
    return sum;
  }
  template <int kBits>
  static Count total(Count sum) {
    if constexpr (kBits == 8) return sum;
    if constexpr (kBits == 16) return _mm256_maddubs_epi16(sum, _mm256_set1_epi8(1));
  }
  template <int kBits>
  static Count add(Count a, Count b) {
    static_assert(kBits == 16, "");
    return _mm256_add_epi16(a, b);
  }
  // The average rounds up, but a lane of `bits` is even until its last bit has come.
  template <int kBits>
  static Bits collect(Bits bits, Count sum) {
    if constexpr (kBits == 8) return _mm256_avg_epu8(bits, _mm256_cmpgt_epi8(zero(), sum));
    if constexpr (kBits == 16) return _mm256_avg_epu16(bits, _mm256_cmpgt_epi16(zero(), sum));
  }
  template <int kBits>
  static void interleave(Count a, Count b, Count* low, Count* high) {
    if constexpr (kBits == 8) {
      *low = _mm256_unpacklo_epi8(a, b);
      *high = _mm256_unpackhi_epi8(a, b);
    } else if constexpr (kBits == 16) {
      *low = _mm256_unpacklo_epi16(a, b);
      *high = _mm256_unpackhi_epi16(a, b);
    } else if constexpr (kBits == 32) {
      *low = _mm256_unpacklo_epi32(a, b);
      *high = _mm256_unpackhi_epi32(a, b);
    } else {
      *low = _mm256_unpacklo_epi64(a, b);
      *high = _mm256_unpackhi_epi64(a, b);
    }
  }
  static void store(uint64_t* p, Count v) { _mm256_store_si256(reinterpret_cast<__m256i*>(p), v); }
  static void store_words(uint64_t* p, Bits v, int n) {
    if (n == kWords) return _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v);
    const __m128i low = _mm256_castsi256_si128(v), high = _mm256_extracti128_si256(v, 1);
    if (n == 1) return _mm_storel_epi64(reinterpret_cast<__m128i*>(p), low);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), low);
    if (n == 3) _mm_storel_epi64(reinterpret_cast<__m128i*>(p + 2), high);
  }
  static __m256i widen8(const char* p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }
  static __m256i widen16(const char* p) {
    return _mm256_cvtepu16_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
  }
};

struct Avx2Bits {
  using Bits = __m256i;
  using Loader = PixelLoader;
  struct Whole {
    template <bool kSpread>
    [[gnu::always_inline]] __m256i load(const uint64_t* p) const {
      return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    }
  };
  using Floats = Avx2;
  static constexpr int kWords = 4;

  static Bits constant(const uint64_t* p) { return Avx2Lanes::constant(p); }
  static void store(uint64_t* p, Bits v) { Avx2Lanes::store(p, v); }
  static void store_words(uint64_t* p, Bits v, int n) { Avx2Lanes::store_words(p, v, n); }
  static __m256i widen8(const char* p) { return Avx2Lanes::widen8(p); }
  static Bits differ(Bits a, Bits w) { return _mm256_xor_si256(a, w); }
  static Bits add(Bits a, Bits b, Bits c, Bits* carry) {
    const Bits differ = _mm256_xor_si256(a, b);
    *carry = _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(differ, c));
    return _mm256_xor_si256(differ, c);
  }
  static Bits both(Bits a, Bits b) { return _mm256_and_si256(a, b); }
  static Bits or_not(Bits a, Bits b) {
    return _mm256_or_si256(a, _mm256_xor_si256(b, _mm256_set1_epi8(-1)));
  }
  static Bits decide(Bits a, Bits b, Bits lower) {
    const Bits differs = _mm256_xor_si256(a, b);
    return _mm256_or_si256(_mm256_and_si256(differs, a), _mm256_andnot_si256(differs, lower));
  }
  static void expand(const uint64_t* planes, int step, char* bytes) {
    const __m256i bit = _mm256_set1_epi64x(int64_t(0x8040201008040201));
    const __m256i byte_of_lane =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      __m256i sum_u8x32 = _mm256_setzero_si256();
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {  // 32 bits of the plane to 32 bytes of 0 or 1 << i
        const __m256i word = _mm256_set1_epi32(int32_t(planes[i * step] >> (32 * half)));
        const __m256i own = _mm256_and_si256(_mm256_shuffle_epi8(word, byte_of_lane), bit);
        const __m256i weight = _mm256_set1_epi8(char(1 << i));
        sum_u8x32 =
            _mm256_or_si256(sum_u8x32, _mm256_and_si256(_mm256_cmpeq_epi8(own, bit), weight));
      }
      _mm256_store_si256(reinterpret_cast<__m256i*>(bytes) + half, sum_u8x32);
    }
  }
};

using Depthwise = Depthwise3x3<Avx2Bits>;

}  // namespace

const Bconv2dKernel bconv2d_avx2_depthwise3x3 =
    Depthwise::kernel("bconv2d_avx2_depthwise3x3", "depthwise", Isa::kAvx2);
const Bconv2dKernel bconv2d_avx2_lanes4 =
    GroupLanes<Avx2Lanes, 8, true>::kernel("bconv2d_avx2_lanes4", "lanes4", Isa::kAvx2);
const Bconv2dKernel bconv2d_avx2_lanes8 =
    GroupLanes<Avx2Lanes, 8>::kernel("bconv2d_avx2_lanes8", "lanes8", Isa::kAvx2);
const Bconv2dKernel bconv2d_avx2_lanes16 =
    GroupLanes<Avx2Lanes, 16>::kernel("bconv2d_avx2_lanes16", "lanes16", Isa::kAvx2);

}  // namespace bnn
