// NEON: the V of epilogue/rows.h and float/kernels.h, local to the file that includes it.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace bnn {
namespace {

struct Neon {
  using F = float32x4_t;
  using I = int32x4_t;
  static constexpr int kLanes = 4;

  static F load(const float* p, int n) {
    if (n == kLanes) return vld1q_f32(p);
    float lanes[kLanes] = {};
    for (int i = 0; i < n; ++i) lanes[i] = p[i];
    return vld1q_f32(lanes);
  }
  static I load_int(const int32_t* p, int n) {
    if (n == kLanes) return vld1q_s32(p);
    int32_t lanes[kLanes] = {};
    for (int i = 0; i < n; ++i) lanes[i] = p[i];
    return vld1q_s32(lanes);
  }
  static void store(float* p, F v, int n) {
    if (n == kLanes) return vst1q_f32(p, v);
    float lanes[kLanes];
    vst1q_f32(lanes, v);
    for (int i = 0; i < n; ++i) p[i] = lanes[i];
  }
  static F broadcast(float v) { return vdupq_n_f32(v); }
  static F dot(int k_bits, I acc) {
    return vcvtq_f32_s32(vsubq_s32(vdupq_n_s32(k_bits), vaddq_s32(acc, acc)));
  }
  static F add(F a, F b) { return vaddq_f32(a, b); }
  static F sub(F a, F b) { return vsubq_f32(a, b); }
  static F mul(F a, F b) { return vmulq_f32(a, b); }
  static F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
  static F if_greater(F a, F b, F yes, F no) { return vbslq_f32(vcgtq_f32(a, b), yes, no); }
  static uint32_t lane_bits(uint32x4_t mask) {
    static const uint32_t kBits[kLanes] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(mask, vld1q_u32(kBits)));
  }
  static uint32_t less(F a, F b) { return lane_bits(vcltq_f32(a, b)); }
  static uint32_t greater_int(I a, I b) { return lane_bits(vcgtq_s32(a, b)); }
  static float sum(F v) { return vaddvq_f32(v); }
};

}  // namespace
}  // namespace bnn
