// NEON with sums of 16 bits: the V of epilogue/sink.h for kernels whose k_bits is below 32768, local
// to the file that includes it. A compare takes one vector instead of two.
#pragma once

#include "core/simd/neon.h"

namespace bnn {
namespace {

constexpr int kMostBits16 = 32767;  // k - 2 * acc of every kernel with these sums fits in a lane

struct Neon16 : Neon {
  using I = int16x8_t;

  // A threshold past the range of a lane is past every sum, too.
  static I load_int(const int32_t* p, int) {
    return vcombine_s16(vqmovn_s32(vld1q_s32(p)), vqmovn_s32(vld1q_s32(p + 4)));
  }
  static I broadcast_int(int32_t v) { return vdupq_n_s16(int16_t(v)); }
  static F dot(I k, I acc) {
    const int16x8_t dot = vsubq_s16(vsubq_s16(k, acc), acc);
    return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(dot))), vcvtq_f32_s32(vmovl_high_s16(dot))};
  }
  static uint32_t greater_int(I a, I b) { return lane_bits(vcgtq_s16(a, b)); }
};

}  // namespace
}  // namespace bnn
