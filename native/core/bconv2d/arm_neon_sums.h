// How the NEON kernels add up what CNT counts in each byte of input ^ filter. Always 3 instructions
// for 128 MACs: EOR, CNT and an addition of some kind.
//
//   NeonTreeSums  a tree of pairwise additions halves the counts of several filters until the lanes
//                 of one vector are theirs, then UADALP adds them to 16-bit sums. 8 filters:
//                 8 EOR, 8 CNT, 7 ADDP, 1 UADALP; nothing is left to add up behind the loop.
//   NeonDotSums   the tree stops at 4 bytes of a filter and UDOT adds them up to 32 bits: UADALP
//   has
//                 one pipe on most cores, UDOT has all of them.
//   NeonByteSums  groups of 8 or 16 channels: a byte for each output of each group, 3x3 and the
//   like.
//                 16 channels: one ADDP adds the two bytes of a group, for two filters.
//
// Each is a V of arm_neon_tree.h. Included by ISA files alone.
#pragma once

#include <arm_neon.h>

#include <utility>

#include "core/simd/neon16.h"

namespace bnn {
namespace {

[[gnu::always_inline]] inline uint8x16_t filter_at(const uint64_t* filters, int f) {
  return vreinterpretq_u8_u64(vld1q_u64(filters + 2 * f));
}

// count[0..kFrom) -> count[0..kTo): neighbours added within and across the vectors.
template <int kFrom, int kTo>
[[gnu::always_inline]] inline void add_pairs(uint8x16_t* count) {
  if constexpr (kFrom > kTo) {
#pragma GCC unroll 4
    for (int i = 0; i < kFrom / 2; ++i) count[i] = vpaddq_u8(count[2 * i], count[2 * i + 1]);
    add_pairs<kFrom / 2, kTo>(count);
  }
}

// Adds the vectors a[p] to sums of 8 filters, all of a pixel's counts at a time.
template <class V, int kPixels>
[[gnu::always_inline]] inline void step_of_8(const uint8x16_t* a, const uint64_t* filters,
                                             typename V::Sum* sum) {
  uint8x16_t w[8];
#pragma GCC unroll 8
  for (int f = 0; f < 8; ++f) w[f] = filter_at(filters, f);
#pragma GCC unroll 8
  for (int p = 0; p < kPixels; ++p) {
    uint8x16_t count[8];
#pragma GCC unroll 8
    for (int f = 0; f < 8; ++f) count[f] = veorq_u8(a[p], w[f]);
#pragma GCC unroll 8
    for (int f = 0; f < 8; ++f) count[f] = vcntq_u8(count[f]);
    V::add(&sum[p], count);
  }
}

// The bits of i, reversed; n is their range.
constexpr int reversed(int i, int n) {
  return n == 8 ? (i & 1) << 2 | (i & 2) | i >> 2 : n == 4 ? (i & 1) << 1 | i >> 1 : i;
}

// part[i]: 8 / kGroups filters from filter i * 8 / kGroups, kGroups groups each.
template <int kSideGroups>
struct NeonTreeSums {
  static constexpr int kGroups = kSideGroups, kOuts = kGroups, kBlock = 8;
  static constexpr int kMaxPixels = kGroups == 8 ? 2 : 4, kMostBits = kMostBits16;
  struct Sum {
    uint16x8_t part[kGroups];
  };

  static Sum zero() {
    Sum sum;
#pragma GCC unroll 8
    for (int i = 0; i < kGroups; ++i) sum.part[i] = vdupq_n_u16(0);
    return sum;
  }
  [[gnu::always_inline]] static void add(Sum* sum, uint8x16_t* count) {
    add_pairs<8, kGroups>(count);
#pragma GCC unroll 8
    for (int i = 0; i < kGroups; ++i) sum->part[i] = vpadalq_u8(sum->part[i], count[i]);
  }
  template <int kPixels>
  [[gnu::always_inline]] static void step(const uint8x16_t* a, const uint64_t* filters, Sum* sum) {
    step_of_8<NeonTreeSums, kPixels>(a, filters, sum);
  }
  // Each round parts the even groups from the odd ones.
  [[gnu::always_inline]] static void finish(const Sum& sum, int16x8_t* out) {
    uint16x8_t from[kGroups], to[kGroups];
#pragma GCC unroll 8
    for (int i = 0; i < kGroups; ++i) from[i] = to[i] = sum.part[i];
#pragma GCC unroll 4
    for (int n = kGroups; n > 1; n /= 2) {
#pragma GCC unroll 8
      for (int i = 0; i < kGroups / 2; ++i) {
        const int at = 2 * i / n * n + i % (n / 2);
        to[at] = vuzp1q_u16(from[2 * i], from[2 * i + 1]);
        to[at + n / 2] = vuzp2q_u16(from[2 * i], from[2 * i + 1]);
      }
#pragma GCC unroll 8
      for (int i = 0; i < kGroups; ++i) from[i] = to[i];
    }
#pragma GCC unroll 8
    for (int i = 0; i < kGroups; ++i) out[i] = vreinterpretq_s16_u16(from[i]);
  }
  static constexpr int group(int i) { return reversed(i, kGroups); }
  static constexpr int output(int) { return 0; }
};

#ifdef __ARM_FEATURE_DOTPROD
struct NeonDotSums {
  static constexpr int kGroups = 1, kOuts = 1, kBlock = 8, kMaxPixels = 4, kMostBits = INT32_MAX;
  using Sum = uint32x4x2_t;  // filters 0-3 and 4-7

  static Sum zero() { return {vdupq_n_u32(0), vdupq_n_u32(0)}; }
  [[gnu::always_inline]] static void add(Sum* sum, uint8x16_t* count) {
    add_pairs<8, 2>(count);
    const uint8x16_t ones = vdupq_n_u8(1);
    sum->val[0] = vdotq_u32(sum->val[0], count[0], ones);
    sum->val[1] = vdotq_u32(sum->val[1], count[1], ones);
  }
  template <int kPixels>
  [[gnu::always_inline]] static void step(const uint8x16_t* a, const uint64_t* filters, Sum* sum) {
    step_of_8<NeonDotSums, kPixels>(a, filters, sum);
  }
  [[gnu::always_inline]] static void finish(const Sum& sum, int32x4x2_t* out) {
    *out = {vreinterpretq_s32_u32(sum.val[0]), vreinterpretq_s32_u32(sum.val[1])};
  }
  static constexpr int group(int i) { return i; }
  static constexpr int output(int) { return 0; }
};
#endif

// part[i], 16 lanes: of 8 channels, filter i of group `lane`; of 16 channels, filter
// i + 8 * (lane / 8) of group lane % 8.
template <int kChannels>
struct NeonByteSums {
  static constexpr int kGroups = 128 / kChannels, kOuts = 16, kBlock = kChannels;
  static constexpr int kMaxPixels = 2, kMostBits = 254;  // 255 is a threshold that nothing reaches
  static constexpr int kVectors = kChannels / 4;         // of filters, for two parts
  struct Sum {
    uint8x16_t part[8];
  };

  static Sum zero() {
    Sum sum;
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) sum.part[i] = vdupq_n_u8(0);
    return sum;
  }
  template <int kPixels>
  [[gnu::always_inline]] static void step(const uint8x16_t* a, const uint64_t* filters, Sum* sum) {
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
      uint8x16_t count[kPixels][kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {  // of parts i and i + 1
        const uint8x16_t w = filter_at(filters, i + v % 2 + v / 2 * 8);
#pragma GCC unroll 2
        for (int p = 0; p < kPixels; ++p) count[p][v] = veorq_u8(a[p], w);
      }
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 2
        for (int p = 0; p < kPixels; ++p) count[p][v] = vcntq_u8(count[p][v]);
      }
#pragma GCC unroll 2
      for (int v = 0; v < 2 && kChannels == 16; ++v) {
#pragma GCC unroll 2
        for (int p = 0; p < kPixels; ++p)
          count[p][v] = vpaddq_u8(count[p][v], count[p][v + kVectors - 2]);
      }
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) {
#pragma GCC unroll 2
        for (int p = 0; p < kPixels; ++p) {
          sum[p].part[i + v] = vaddq_u8(sum[p].part[i + v], count[p][v]);
        }
      }
    }
  }
  // Three rounds as above leave lanes g and g + 8 of all parts in one vector.
  [[gnu::always_inline]] static void finish(const Sum& sum, int16x8_t* out) {
    uint8x16_t from[8], to[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) from[i] = sum.part[i];
#pragma GCC unroll 4
    for (int n = 8; n > 1; n /= 2) {
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const int at = 2 * i / n * n + i % (n / 2);
        to[at] = vuzp1q_u8(from[2 * i], from[2 * i + 1]);
        to[at + n / 2] = vuzp2q_u8(from[2 * i], from[2 * i + 1]);
      }
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) from[i] = to[i];
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      const uint16x8_t pairs = vreinterpretq_u16_u8(from[i]);
      out[2 * i] = vreinterpretq_s16_u16(vandq_u16(pairs, vdupq_n_u16(255)));
      out[2 * i + 1] = vreinterpretq_s16_u16(vshrq_n_u16(pairs, 8));
    }
  }
  static constexpr int lane(int i) { return reversed(i / 2, 8) + i % 2 * 8; }
  static constexpr int group(int i) { return lane(i) % kGroups; }
  static constexpr int output(int i) { return lane(i) / kGroups * 8; }

  // The packed output of a vector: bit i of a byte is sum >= least in part i. least: [8][16].
  [[gnu::always_inline]] static uint8x16_t compare(const Sum& sum, const uint8_t* least) {
    const uint8x16_t bits = gather(vcgeq_u8(sum.part[0], vld1q_u8(least)), sum, least,
                                   std::integer_sequence<int, 1, 2, 3, 4, 5, 6, 7>{});
    // filters 0-7 of eight groups, then filters 8-15 -> the two bytes of each group
    return kChannels == 16 ? vzip1q_u8(bits, vextq_u8(bits, bits, 8)) : bits;
  }

 private:
  // (Clang's vsliq_n_u8 is a macro, which no pack can be expanded through.)
  template <int kBit>
  [[gnu::always_inline]] static uint8x16_t insert(uint8x16_t bits, const Sum& sum,
                                                  const uint8_t* least) {
    return vsliq_n_u8(bits, vcgeq_u8(sum.part[kBit], vld1q_u8(least + 16 * kBit)), kBit);
  }
  template <int... kBits>
  [[gnu::always_inline]] static uint8x16_t gather(uint8x16_t bits, const Sum& sum,
                                                  const uint8_t* least,
                                                  std::integer_sequence<int, kBits...>) {
    ((bits = insert<kBits>(bits, sum, least)), ...);
    return bits;
  }
};

}  // namespace
}  // namespace bnn
