#include <arm_neon.h>

#include "core/float/kernels.h"

namespace bnn {

extern const FloatKernels float_neon;

namespace {

struct Neon {
  using F = float32x4_t;
  static constexpr int kLanes = 4;

  static F load(const float* p, int n) {
    if (n == kLanes) return vld1q_f32(p);
    float lanes[kLanes] = {};
    for (int i = 0; i < n; ++i) lanes[i] = p[i];
    return vld1q_f32(lanes);
  }
  static void store(float* p, F v, int n) {
    if (n == kLanes) return vst1q_f32(p, v);
    float lanes[kLanes];
    vst1q_f32(lanes, v);
    for (int i = 0; i < n; ++i) p[i] = lanes[i];
  }
  static F broadcast(float v) { return vdupq_n_f32(v); }
  static F zero() { return vdupq_n_f32(0.0f); }
  static F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
  static float sum(F v) { return vaddvq_f32(v); }
};

}  // namespace

const FloatKernels float_neon = {conv2d_row_with<Neon>, linear_with<Neon>};

}  // namespace bnn
