// NEON: CNT counts the bits of each byte; sums stay in bytes as long as they fit.
#include <arm_neon.h>

#include "core/bconv2d/arm_neon_dense.h"
#include "core/bconv2d/broadcast.h"
#include "core/bconv2d/depthwise.h"
#include "core/bconv2d/kernel_of.h"
#include "core/bconv2d/lanes.h"

namespace bnn {

extern const Bconv2dKernel bconv2d_neon_depthwise3x3;
extern const Bconv2dKernel bconv2d_neon_lanes8;
extern const Bconv2dKernel bconv2d_neon_lanes16;
extern const Bconv2dKernel bconv2d_neon_lanes32;
extern const Bconv2dKernel bconv2d_neon_lanes64;
extern const Bconv2dKernel bconv2d_neon_dense;
extern const Bconv2dKernel bconv2d_neon_generic;

namespace {

struct NeonWords {  // 2 output channels
  using Words = uint8x16_t;
  using Sum = uint16x8_t;
  static constexpr int kLanes = 2;
  static constexpr int kMaxAccumulators = 16;

  static Words load(const uint64_t* p) { return vreinterpretq_u8_u64(vld1q_u64(p)); }
  static Words broadcast(uint64_t word) { return vreinterpretq_u8_u64(vdupq_n_u64(word)); }
  static Words differ(Words a, Words w) { return veorq_u8(a, w); }
  static Words differ_masked(Words a, Words m, Words w) { return veorq_u8(vandq_u8(a, m), w); }
  static Sum zero() { return vdupq_n_u16(0); }
  // 16 bits are enough: 16 for each word, and a window has at most 49 * 64 words (see supports).
  static Sum count(Sum sum, Words x) { return vpadalq_u8(sum, vcntq_u8(x)); }
  static void store(int32_t* p, Sum sum, int n) {
    const uint64x2_t sums = vpaddlq_u32(vpaddlq_u16(sum));
    if (n >= 1) p[0] = int32_t(vgetq_lane_u64(sums, 0));
    if (n >= 2) p[1] = int32_t(vgetq_lane_u64(sums, 1));
  }
};

// The words of `pixels` pixels, `step` words apart, side by side in a vector.
class PixelLoader {
 public:
  PixelLoader(int words, int step, int pixels)
      : second_(pixels > 1 ? step : 1), words_(words * pixels) {}
  uint8x16_t load(const uint64_t* p) const {
    const uint64x1_t high = words_ > 1 ? vld1_u64(p + second_) : vdup_n_u64(0);
    return vreinterpretq_u8_u64(vcombine_u64(vld1_u64(p), high));
  }

 private:
  int second_, words_;
};

struct NeonLanes {
  using Bits = uint8x16_t;
  using Count = uint8x16_t;
  using Loader = PixelLoader;
  static constexpr int kWords = 2;
  static constexpr bool kCountsBytes = true;

  static Bits constant(const uint64_t* p) { return vreinterpretq_u8_u64(vld1q_u64(p)); }
  static Bits differ(Bits a, Bits w) { return veorq_u8(a, w); }
  static Bits differ_masked(Bits a, Bits m, Bits w) { return veorq_u8(vandq_u8(a, m), w); }
  static Count zero() { return vdupq_n_u8(0); }
  template <int kBits>
  static Count count(Count sum, Bits x) {
    return vaddq_u8(sum, vcntq_u8(x));
  }
  template <int kBits>
  static Count total(Count sum) {
    if constexpr (kBits == 8) return sum;
    const uint16x8_t sum_u16 = vpaddlq_u8(sum);
    if constexpr (kBits == 16) return vreinterpretq_u8_u16(sum_u16);
    const uint32x4_t sum_u32 = vpaddlq_u16(sum_u16);
    if constexpr (kBits == 32) return vreinterpretq_u8_u32(sum_u32);
    return vreinterpretq_u8_u64(vpaddlq_u32(sum_u32));
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
    } else if constexpr (kBits == 32) {
      const uint32x4_t x = vreinterpretq_u32_u8(a), y = vreinterpretq_u32_u8(b);
      *low = vreinterpretq_u8_u32(vzip1q_u32(x, y));
      *high = vreinterpretq_u8_u32(vzip2q_u32(x, y));
    } else {
      const uint64x2_t x = vreinterpretq_u64_u8(a), y = vreinterpretq_u64_u8(b);
      *low = vreinterpretq_u8_u64(vzip1q_u64(x, y));
      *high = vreinterpretq_u8_u64(vzip2q_u64(x, y));
    }
  }
  template <int kBits>
  static Count merge(Count a, Count b) {
    if constexpr (kBits == 16) {
      const uint32x4_t x = vreinterpretq_u32_u8(a), y = vreinterpretq_u32_u8(b);
      return vreinterpretq_u8_u32(vsliq_n_u32(x, y, 16));
    } else {
      const uint64x2_t x = vreinterpretq_u64_u8(a), y = vreinterpretq_u64_u8(b);
      return vreinterpretq_u8_u64(vsliq_n_u64(x, y, 32));
    }
  }
  static void store(uint64_t* p, Count v) { vst1q_u64(p, vreinterpretq_u64_u8(v)); }
  static void widen(uint16x8_t v, int32_t* to) {
    vst1q_s32(to, vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(v))));
    vst1q_s32(to + 4, vreinterpretq_s32_u32(vmovl_high_u16(v)));
  }
  static void widen8(const uint64_t* from, int32_t* to) {
    widen(vmovl_u8(vreinterpret_u8_u64(vld1_u64(from))), to);
  }
  static void widen16(const uint64_t* from, int32_t* to) {
    widen(vreinterpretq_u16_u64(vld1q_u64(from)), to);
  }
};

struct NeonBits : NeonLanes {
  static Bits parity(Bits a, Bits b, Bits c) { return veorq_u8(veorq_u8(a, b), c); }
  static Bits majority(Bits a, Bits b, Bits c) { return vbslq_u8(veorq_u8(a, b), c, a); }
  static Bits both(Bits a, Bits b) { return vandq_u8(a, b); }
  static void expand(const uint64_t* planes, int step, int32_t* acc) {
    const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
#pragma GCC unroll 4
    for (int part = 0; part < 4; ++part, acc += 16) {  // 16 channels
      uint8x16_t sum = vdupq_n_u8(0);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {  // 16 bits of the plane to 16 bytes of 0 or 1 << i
        const uint64_t bits = planes[i * step] >> (16 * part);
        const uint8x8_t low = vdup_n_u8(uint8_t(bits)), high = vdup_n_u8(uint8_t(bits >> 8));
        const uint8x16_t set = vtstq_u8(vcombine_u8(low, high), bit);
        sum = vorrq_u8(sum, vandq_u8(set, vdupq_n_u8(uint8_t(1 << i))));
      }
      widen(vmovl_u8(vget_low_u8(sum)), acc);
      widen(vmovl_high_u8(sum), acc + 8);
    }
  }
};

using Depthwise = Depthwise3x3<NeonBits>;
using Lanes8 = GroupLanes<NeonLanes, 8>;
using Lanes16 = GroupLanes<NeonLanes, 16>;
using Lanes32 = GroupLanes<NeonLanes, 32>;
using Lanes64 = GroupLanes<NeonLanes, 64>;
struct Generic : Broadcast<NeonWords, true, 4> {
  // A 16-bit lane gains at most 16 for each word of the window.
  static bool supports(const ConvShape& shape) {
    return shape.kernel * shape.kernel * words_of(shape.in_c) <= 4095;
  }
};

}  // namespace

const Bconv2dKernel bconv2d_neon_depthwise3x3 =
    kernel_of<Depthwise>("bconv2d_neon_depthwise3x3", Isa::kNeon);
const Bconv2dKernel bconv2d_neon_lanes8 = kernel_of<Lanes8>("bconv2d_neon_lanes8", Isa::kNeon);
const Bconv2dKernel bconv2d_neon_lanes16 = kernel_of<Lanes16>("bconv2d_neon_lanes16", Isa::kNeon);
const Bconv2dKernel bconv2d_neon_lanes32 = kernel_of<Lanes32>("bconv2d_neon_lanes32", Isa::kNeon);
const Bconv2dKernel bconv2d_neon_lanes64 = kernel_of<Lanes64>("bconv2d_neon_lanes64", Isa::kNeon);
const Bconv2dKernel bconv2d_neon_dense = kernel_of<NeonDense>("bconv2d_neon_dense", Isa::kNeon);
const Bconv2dKernel bconv2d_neon_generic = kernel_of<Generic>("bconv2d_neon_generic", Isa::kNeon);

}  // namespace bnn
