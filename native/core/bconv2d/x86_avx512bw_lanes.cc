// AVX-512 without VPOPCNTDQ: the bits of each nibble are looked up with VPSHUFB (Mula, Kurz, Lemire
// 2016), as in x86_avx2_lanes.cc. The bit slices of a depthwise layer need no popcount.
#include <immintrin.h>

#include "core/bconv2d/depthwise.h"
#include "core/bconv2d/lanes.h"
#include "core/bconv2d/x86_avx512_lanes.h"

namespace bnn {

extern const Bconv2dKernel bconv2d_avx512bw_depthwise3x3;
extern const Bconv2dKernel bconv2d_avx512bw_lanes4;
extern const Bconv2dKernel bconv2d_avx512bw_lanes8;
extern const Bconv2dKernel bconv2d_avx512bw_lanes16;

namespace {

struct Avx512bwLanes : Avx512Vectors {
  struct Input {
    __m512i low, high;  // nibbles
  };
  static constexpr int kFilterParts = 2;
  static constexpr bool kCountsBytes = true;

  static Bits low_nibbles(Bits x) { return _mm512_and_si512(x, _mm512_set1_epi8(15)); }
  static Bits high_nibbles(Bits x) { return low_nibbles(_mm512_srli_epi16(x, 4)); }
  static Input input(Bits bits) { return {low_nibbles(bits), high_nibbles(bits)}; }
  static Input filter(const uint64_t* p) { return {constant(p), constant(p + kWords)}; }
  static Input differ(Input a, Input w) {
    return {_mm512_xor_si512(a.low, w.low), _mm512_xor_si512(a.high, w.high)};
  }
  static Input differ_masked(Input a, Input m, Input w) {
    return {_mm512_ternarylogic_epi64(a.low, m.low, w.low, 0x6a),  // (a & m) ^ w
            _mm512_ternarylogic_epi64(a.high, m.high, w.high, 0x6a)};
  }
  static Input pair_low(Bits a, Bits b) { return {low_nibbles(a), low_nibbles(b)}; }
  static Input pair_high(Bits a, Bits b) { return {high_nibbles(a), high_nibbles(b)}; }
  template <int kBits>
  static Count count(Count sum, Input x) {
    const __m512i counts =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    sum = _mm512_add_epi8(sum, _mm512_shuffle_epi8(counts, x.low));
    return _mm512_add_epi8(sum, _mm512_shuffle_epi8(counts, x.high));
  }
  template <int kBits>
  static Count total(Count sum) {
    if constexpr (kBits == 8) return sum;
    if constexpr (kBits == 16) return _mm512_maddubs_epi16(sum, _mm512_set1_epi8(1));
  }
  template <int kBits>
  static Count add(Count a, Count b) {
    static_assert(kBits == 16, "");
    return _mm512_add_epi16(a, b);
  }
};

}  // namespace

const Bconv2dKernel bconv2d_avx512bw_depthwise3x3 =
    Depthwise3x3<Avx512Bits>::kernel("bconv2d_avx512bw_depthwise3x3", "depthwise", Isa::kAvx512bw);
const Bconv2dKernel bconv2d_avx512bw_lanes4 =
    GroupLanes<Avx512bwLanes, 8, true>::kernel("bconv2d_avx512bw_lanes4", "lanes4", Isa::kAvx512bw);
const Bconv2dKernel bconv2d_avx512bw_lanes8 =
    GroupLanes<Avx512bwLanes, 8>::kernel("bconv2d_avx512bw_lanes8", "lanes8", Isa::kAvx512bw);
const Bconv2dKernel bconv2d_avx512bw_lanes16 =
    GroupLanes<Avx512bwLanes, 16>::kernel("bconv2d_avx512bw_lanes16", "lanes16", Isa::kAvx512bw);

}  // namespace bnn
