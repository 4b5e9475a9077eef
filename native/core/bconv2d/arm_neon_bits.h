// NEON: the V of lanes.h and depthwise.h, local to the file that includes it.
#pragma once

#include <arm_neon.h>

#include "core/simd/neon16.h"

namespace bnn {
namespace {

// The words of `pixels` pixels, `step` words apart, side by side in a vector.
class PixelLoader {
 public:
  PixelLoader() = default;
  PixelLoader(int words, int step, int pixels) : step_(step), two_(words * pixels > 1) {}
  template <bool kSpread>
  [[gnu::always_inline]] uint8x16_t load(const uint64_t* p) const {
    if (!kSpread && two_) return vreinterpretq_u8_u64(vld1q_u64(p));
    const uint64x1_t high = two_ ? vld1_u64(p + step_) : vdup_n_u64(0);
    return vreinterpretq_u8_u64(vcombine_u64(vld1_u64(p), high));
  }

 private:
  int step_;
  bool two_;
};

struct NeonBits {
  struct Whole {
    template <bool kSpread>
    [[gnu::always_inline]] uint8x16_t load(const uint64_t* p) const {
      return vreinterpretq_u8_u64(vld1q_u64(p));
    }
  };
  using Bits = uint8x16_t;
  using Input = uint8x16_t;
  using Count = uint8x16_t;
  using Loader = PixelLoader;
  using Floats = Neon16;
  static constexpr int kWords = 2;
  static constexpr int kAccumulators = 16;
  static constexpr int kFilterParts = 1;
  static constexpr bool kCountsBytes = true;

  static Bits constant(const uint64_t* p) { return vreinterpretq_u8_u64(vld1q_u64(p)); }
  static Input input(Bits bits) { return bits; }
  static Input filter(const uint64_t* p) { return constant(p); }
  static Bits differ(Bits a, Bits w) { return veorq_u8(a, w); }
  static Bits differ_masked(Bits a, Bits m, Bits w) { return veorq_u8(vandq_u8(a, m), w); }
  static Bits pair_low(Bits a, Bits b) { return vsliq_n_u8(a, b, 4); }
  static Bits pair_high(Bits a, Bits b) { return vsriq_n_u8(b, a, 4); }
  static void store(uint64_t* p, Bits v) { vst1q_u64(p, vreinterpretq_u64_u8(v)); }
  static void store_words(uint64_t* p, Bits v, int n) {
    const uint64x2_t words = vreinterpretq_u64_u8(v);
    vst1_u64(p, vget_low_u64(words));
    if (n > 1) vst1_u64(p + 1, vget_high_u64(words));
  }
  static int16x8_t widen8(const char* p) {
    return vreinterpretq_s16_u16(vmovl_u8(vld1_u8(reinterpret_cast<const uint8_t*>(p))));
  }

  // lanes.h, for lanes of 8 bits
  static Count zero() { return vdupq_n_u8(0); }
  template <int kBits>
  static Count count(Count sum, Bits x) {
    return vaddq_u8(sum, vcntq_u8(x));
  }
  static Count pin(Count sum) {
    asm("" : "+w"(sum));
    return sum;
  }
  template <int kBits>
  static Count total(Count sum) {
    return sum;
  }
  template <int kBits>
  static Bits collect(Bits bits, Count sum) {
    return vsriq_n_u8(sum, bits, 1);
  }
  template <int kBits>
  static void interleave(Count a, Count b, Count* low, Count* high) {
    if constexpr (kBits == 8) {
      *low = vzip1q_u8(a, b);
      *high = vzip2q_u8(a, b);
    } else if constexpr (kBits == 16) {
      const uint16x8_t x = vreinterpretq_u16_u8(a), y = vreinterpretq_u16_u8(b);
      *low = vreinterpretq_u8_u16(vzip1q_u16(x, y));
      *high = vreinterpretq_u8_u16(vzip2q_u16(x, y));
    } else {
      const uint32x4_t x = vreinterpretq_u32_u8(a), y = vreinterpretq_u32_u8(b);
      *low = vreinterpretq_u8_u32(vzip1q_u32(x, y));
      *high = vreinterpretq_u8_u32(vzip2q_u32(x, y));
    }
  }

  // depthwise.h
  static Bits add(Bits a, Bits b, Bits c, Bits* carry) {
    const Bits differ = veorq_u8(a, b);
    *carry = vbslq_u8(differ, c, a);
    return veorq_u8(differ, c);
  }
  static Bits both(Bits a, Bits b) { return vandq_u8(a, b); }
  static Bits or_not(Bits a, Bits b) { return vornq_u8(a, b); }
  static Bits decide(Bits a, Bits b, Bits lower) { return vbslq_u8(veorq_u8(a, b), a, lower); }
  static void expand(const uint64_t* planes, int step, char* bytes) {
    const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
#pragma GCC unroll 4
    for (int part = 0; part < 4; ++part, bytes += 16) {  // 16 channels
      uint8x16_t sum = vdupq_n_u8(0);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {  // 16 bits of the plane to 16 bytes of 0 or 1 << i
        const uint64_t bits = planes[i * step] >> (16 * part);
        const uint8x8_t low = vdup_n_u8(uint8_t(bits)), high = vdup_n_u8(uint8_t(bits >> 8));
        const uint8x16_t set = vtstq_u8(vcombine_u8(low, high), bit);
        sum = vorrq_u8(sum, vandq_u8(set, vdupq_n_u8(uint8_t(1 << i))));
      }
      vst1q_u8(reinterpret_cast<uint8_t*>(bytes), sum);
    }
  }
};

}  // namespace
}  // namespace bnn
