// AVX-512 with VPOPCNTDQ and BITALG: popcounts of lanes of 8, 16 and 32 bits are one instruction.
#include "core/bconv2d/x86_avx512_lanes.h"

#include <immintrin.h>

#include "core/bconv2d/depthwise.h"
#include "core/bconv2d/lanes.h"

namespace bnn {

extern const Bconv2dKernel bconv2d_avx512_depthwise3x3;
extern const Bconv2dKernel bconv2d_avx512_lanes4;
extern const Bconv2dKernel bconv2d_avx512_lanes8;
extern const Bconv2dKernel bconv2d_avx512_lanes16;

namespace {

struct Avx512Lanes : Avx512Vectors {
  using Input = __m512i;
  static constexpr int kFilterParts = 1;
  static constexpr bool kCountsBytes = false;
  static Input input(Bits bits) { return bits; }
  static Input filter(const uint64_t* p) { return constant(p); }
  static Bits differ_masked(Bits a, Bits m, Bits w) {
    return _mm512_ternarylogic_epi64(a, m, w, 0x6a);  // (a & m) ^ w
  }
  template <int kBits>
  static Count count(Count sum, Bits x) {
    if constexpr (kBits == 8) return _mm512_add_epi8(sum, _mm512_popcnt_epi8(x));
    if constexpr (kBits == 16) return _mm512_add_epi16(sum, _mm512_popcnt_epi16(x));
  }
  template <int kBits>
  static Count total(Count sum) {
    return sum;
  }
  static Bits pair_low(Bits a, Bits b) {  // (a & 0x0f) | (b << 4 & 0xf0)
    const __m512i low = _mm512_set1_epi8(15);
    return _mm512_ternarylogic_epi64(low, a, _mm512_slli_epi16(b, 4), 0xca);
  }
  static Bits pair_high(Bits a, Bits b) {  // (a >> 4 & 0x0f) | (b & 0xf0)
    const __m512i low = _mm512_set1_epi8(15);
    return _mm512_ternarylogic_epi64(low, _mm512_srli_epi16(a, 4), b, 0xca);
  }
};

using Depthwise = Depthwise3x3<Avx512Bits>;

}  // namespace

const Bconv2dKernel bconv2d_avx512_depthwise3x3 =
    Depthwise::kernel("bconv2d_avx512_depthwise3x3", "depthwise", Isa::kAvx512);
const Bconv2dKernel bconv2d_avx512_lanes4 =
    GroupLanes<Avx512Lanes, 8, true>::kernel("bconv2d_avx512_lanes4", "lanes4", Isa::kAvx512);
const Bconv2dKernel bconv2d_avx512_lanes8 =
    GroupLanes<Avx512Lanes, 8>::kernel("bconv2d_avx512_lanes8", "lanes8", Isa::kAvx512);
const Bconv2dKernel bconv2d_avx512_lanes16 =
    GroupLanes<Avx512Lanes, 16>::kernel("bconv2d_avx512_lanes16", "lanes16", Isa::kAvx512);

}  // namespace bnn
