// AVX2 has no popcount: nibbles are looked up with VPSHUFB (Mula, Kurz, Lemire 2016), in dense
// layers with the input as the choice of the table (x86_avx2_table.h).
#include <immintrin.h>

#include "core/bconv2d/broadcast.h"
#include "core/bconv2d/depthwise.h"
#include "core/bconv2d/kernel_of.h"
#include "core/bconv2d/lanes.h"
#include "core/bconv2d/x86_avx2_table.h"

namespace bnn {

extern const Bconv2dKernel bconv2d_avx2_depthwise3x3;
extern const Bconv2dKernel bconv2d_avx2_lanes8;
extern const Bconv2dKernel bconv2d_avx2_lanes16;
extern const Bconv2dKernel bconv2d_avx2_table;
extern const Bconv2dKernel bconv2d_avx2_generic;

namespace {

__m256i load_aligned(const uint64_t* p) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
}

__m256i popcount_bytes(__m256i x) {
  const __m256i low_nibbles = _mm256_set1_epi8(15);
  const __m256i counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                          0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i low = _mm256_and_si256(x, low_nibbles);
  const __m256i high = _mm256_and_si256(_mm256_srli_epi16(x, 4), low_nibbles);
  return _mm256_add_epi8(_mm256_shuffle_epi8(counts, low), _mm256_shuffle_epi8(counts, high));
}

struct Avx2Words {  // 4 output channels
  using Words = __m256i;
  using Sum = __m256i;
  static constexpr int kLanes = 4;
  static constexpr int kMaxAccumulators = 8;

  static Words load(const uint64_t* p) { return load_aligned(p); }
  static Words broadcast(uint64_t word) { return _mm256_set1_epi64x(int64_t(word)); }
  static Words differ(Words a, Words w) { return _mm256_xor_si256(a, w); }
  static Words differ_masked(Words a, Words m, Words w) {
    return _mm256_xor_si256(_mm256_and_si256(a, m), w);
  }
  static Sum zero() { return _mm256_setzero_si256(); }
  static Sum count(Sum sum, Words x) {
    return _mm256_add_epi64(sum, _mm256_sad_epu8(popcount_bytes(x), _mm256_setzero_si256()));
  }
  static void store(int32_t* p, Sum sum, int n) {
    const __m256i even =
        _mm256_permutevar8x32_epi32(sum, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
    const __m128i sum_i32x4 = _mm256_castsi256_si128(even);
    if (n >= kLanes) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(p), sum_i32x4);
    } else if (n > 0) {
      const __m128i lane = _mm_setr_epi32(0, 1, 2, 3);
      _mm_maskstore_epi32(p, _mm_cmpgt_epi32(_mm_set1_epi32(n), lane), sum_i32x4);
    }
  }
};

// The words of `pixels` pixels, `step` words apart, side by side in a vector.
class PixelLoader {
 public:
  PixelLoader(int words, int step, int pixels) : spread_(pixels > 1 && step != words) {
    alignas(32) uint64_t index[4] = {}, mask[4] = {};
    for (int i = 0; i < pixels * words; ++i) {
      index[i] = uint64_t(i / words * step + i % words);
      mask[i] = ~uint64_t{0};
    }
    index_ = load_aligned(index);
    mask_ = load_aligned(mask);
  }
  __m256i load(const uint64_t* p) const {
    const long long* words = reinterpret_cast<const long long*>(p);
    if (!spread_) return _mm256_maskload_epi64(words, mask_);
    return _mm256_mask_i64gather_epi64(_mm256_setzero_si256(), words, index_, mask_, 8);
  }

 private:
  __m256i index_, mask_;
  bool spread_;
};

struct Avx2Lanes {
  using Bits = __m256i;
  using Count = __m256i;
  using Loader = PixelLoader;
  static constexpr int kWords = 4;
  static constexpr bool kCountsBytes = true;

  static Bits constant(const uint64_t* p) { return load_aligned(p); }
  static Bits differ(Bits a, Bits w) { return _mm256_xor_si256(a, w); }
  static Bits differ_masked(Bits a, Bits m, Bits w) {
    return _mm256_xor_si256(_mm256_and_si256(a, m), w);
  }
  static Count zero() { return _mm256_setzero_si256(); }
  template <int kBits>
  static Count count(Count sum, Bits x) {
    return _mm256_add_epi8(sum, popcount_bytes(x));
  }
  template <int kBits>
  static Count total(Count sum) {
    if constexpr (kBits == 8) return sum;
    return _mm256_maddubs_epi16(sum, _mm256_set1_epi8(1));
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
  static void widen8(const uint64_t* from, int32_t* to) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_cvtepu8_epi32(bytes));
  }
  static void widen16(const uint64_t* from, int32_t* to) {
    const __m128i words = _mm_load_si128(reinterpret_cast<const __m128i*>(from));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_cvtepu16_epi32(words));
  }
};

struct Avx2Bits : Avx2Lanes {
  static Bits parity(Bits a, Bits b, Bits c) { return _mm256_xor_si256(_mm256_xor_si256(a, b), c); }
  static Bits majority(Bits a, Bits b, Bits c) {
    const Bits either = _mm256_and_si256(_mm256_xor_si256(a, b), c);
    return _mm256_or_si256(_mm256_and_si256(a, b), either);
  }
  static Bits both(Bits a, Bits b) { return _mm256_and_si256(a, b); }
  static void expand(const uint64_t* planes, int step, int32_t* acc) {
    const __m256i bit = _mm256_set1_epi64x(int64_t(0x8040201008040201));
    const __m256i byte_of_lane =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half, acc += 32) {
      __m256i sum_u8x32 = _mm256_setzero_si256();
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {  // 32 bits of the plane to 32 bytes of 0 or 1 << i
        const __m256i word = _mm256_set1_epi32(int32_t(planes[i * step] >> (32 * half)));
        const __m256i own = _mm256_and_si256(_mm256_shuffle_epi8(word, byte_of_lane), bit);
        const __m256i set = _mm256_cmpeq_epi8(own, bit);
        sum_u8x32 =
            _mm256_or_si256(sum_u8x32, _mm256_and_si256(set, _mm256_set1_epi8(char(1 << i))));
      }
      alignas(32) uint64_t bytes[4];
      store(bytes, sum_u8x32);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) widen8(bytes + i, acc + 8 * i);
    }
  }
};

using Depthwise = Depthwise3x3<Avx2Bits>;
using Lanes8 = GroupLanes<Avx2Lanes, 8>;
using Lanes16 = GroupLanes<Avx2Lanes, 16>;
using Table = OneOrTwo<TableKernel<1>, TableKernel<2>>;
using Generic = Broadcast<Avx2Words, true, 2>;

}  // namespace

const Bconv2dKernel bconv2d_avx2_depthwise3x3 =
    kernel_of<Depthwise>("bconv2d_avx2_depthwise3x3", Isa::kAvx2);
const Bconv2dKernel bconv2d_avx2_lanes8 = kernel_of<Lanes8>("bconv2d_avx2_lanes8", Isa::kAvx2);
const Bconv2dKernel bconv2d_avx2_lanes16 = kernel_of<Lanes16>("bconv2d_avx2_lanes16", Isa::kAvx2);
const Bconv2dKernel bconv2d_avx2_table = kernel_of<Table>("bconv2d_avx2_table", Isa::kAvx2);
const Bconv2dKernel bconv2d_avx2_generic = kernel_of<Generic>("bconv2d_avx2_generic", Isa::kAvx2);

}  // namespace bnn
