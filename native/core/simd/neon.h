// NEON: the V of epilogue/sink.h and float/kernels.h, local to the file that includes it. Eight
// lanes, so that a vector's bits are a byte.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace bnn {
namespace {

struct Neon {
  using F = float32x4x2_t;
  using I = int32x4x2_t;
  static constexpr int kLanes = 8;

  static F load(const float* p, int n) {
    if (n == kLanes) return {vld1q_f32(p), vld1q_f32(p + 4)};
    float lanes[kLanes] = {};
    for (int i = 0; i < n; ++i) lanes[i] = p[i];
    return {vld1q_f32(lanes), vld1q_f32(lanes + 4)};
  }
  static I load_int(const int32_t* p, int n) {
    if (n == kLanes) return {vld1q_s32(p), vld1q_s32(p + 4)};
    int32_t lanes[kLanes] = {};
    for (int i = 0; i < n; ++i) lanes[i] = p[i];
    return {vld1q_s32(lanes), vld1q_s32(lanes + 4)};
  }
  static void store(float* p, F v, int n) {
    if (n == kLanes) {
      vst1q_f32(p, v.val[0]);
      vst1q_f32(p + 4, v.val[1]);
      return;
    }
    float lanes[kLanes];
    vst1q_f32(lanes, v.val[0]);
    vst1q_f32(lanes + 4, v.val[1]);
    for (int i = 0; i < n; ++i) p[i] = lanes[i];
  }
  static F broadcast(float v) { return {vdupq_n_f32(v), vdupq_n_f32(v)}; }
  static F half_dot(F half_k, I acc) {
    return {vsubq_f32(half_k.val[0], vcvtq_f32_s32(acc.val[0])),
            vsubq_f32(half_k.val[1], vcvtq_f32_s32(acc.val[1]))};
  }
  static F add(F a, F b) { return {vaddq_f32(a.val[0], b.val[0]), vaddq_f32(a.val[1], b.val[1])}; }
  static F mul(F a, F b) { return {vmulq_f32(a.val[0], b.val[0]), vmulq_f32(a.val[1], b.val[1])}; }
  static F fma(F a, F b, F c) {
    return {vfmaq_f32(c.val[0], a.val[0], b.val[0]), vfmaq_f32(c.val[1], a.val[1], b.val[1])};
  }
  static constexpr bool kFloatSums = false;
  static I zero() { return {vdupq_n_s32(0), vdupq_n_s32(0)}; }
  static F max(F a, F b) {
    return {vbslq_f32(vcgtq_f32(a.val[0], b.val[0]), a.val[0], b.val[0]),
            vbslq_f32(vcgtq_f32(a.val[1], b.val[1]), a.val[1], b.val[1])};
  }
  static F min(F a, F b) {
    return {vbslq_f32(vcltq_f32(a.val[0], b.val[0]), a.val[0], b.val[0]),
            vbslq_f32(vcltq_f32(a.val[1], b.val[1]), a.val[1], b.val[1])};
  }
  static F prelu(F beta, F y) {
    const F negative = mul(beta, y);
    return {vbslq_f32(vcgtzq_f32(y.val[0]), y.val[0], negative.val[0]),
            vbslq_f32(vcgtzq_f32(y.val[1]), y.val[1], negative.val[1])};
  }
  static uint32_t lane_bits(uint16x8_t mask) {
    static const uint16_t kBits[kLanes] = {1, 2, 4, 8, 16, 32, 64, 128};
    return vaddvq_u16(vandq_u16(mask, vld1q_u16(kBits)));
  }
  static uint32_t lane_bits(uint32x4_t low, uint32x4_t high) {
    return lane_bits(vuzp1q_u16(vreinterpretq_u16_u32(low), vreinterpretq_u16_u32(high)));
  }
  static uint32_t less(F a, F b) {
    return lane_bits(vcltq_f32(a.val[0], b.val[0]), vcltq_f32(a.val[1], b.val[1]));
  }
  static uint32_t greater_int(I a, I b) {
    return lane_bits(vcgtq_s32(a.val[0], b.val[0]), vcgtq_s32(a.val[1], b.val[1]));
  }
  static void store_bits(char* byte, int, uint32_t bits) { *byte = char(bits); }
  static float sum(F v) { return vaddvq_f32(vaddq_f32(v.val[0], v.val[1])); }
};

}  // namespace
}  // namespace bnn
