// NEON with sums of 16 bits: the V of epilogue/sink.h for kernels whose sums fit, local to the file
// that includes it. A comparison takes one vector instead of two.
#pragma once

#include "core/simd/neon.h"

namespace bnn {
namespace {

constexpr int kMostBits16 = 32766;  // of k_bits; 32767 is a threshold that nothing passes

struct Neon16 : Neon {
  using I = int16x8_t;

  static I load_int(const int32_t* p, int) {
    return vcombine_s16(vqmovn_s32(vld1q_s32(p)), vqmovn_s32(vld1q_s32(p + 4)));
  }
  static F half_dot(F half_k, I acc) {
    return {vsubq_f32(half_k.val[0], vcvtq_f32_s32(vmovl_s16(vget_low_s16(acc)))),
            vsubq_f32(half_k.val[1], vcvtq_f32_s32(vmovl_high_s16(acc)))};
  }
  static uint32_t greater_int(I a, I b) { return lane_bits(vcgtq_s16(a, b)); }
};

}  // namespace
}  // namespace bnn
