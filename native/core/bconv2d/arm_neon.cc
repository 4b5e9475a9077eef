// NEON: CNT counts the bits of each byte.
#include <arm_neon.h>

#include "core/bconv2d/arm_neon_sums.h"
#include "core/bconv2d/arm_neon_tree.h"
#include "core/bconv2d/broadcast.h"
#include "core/bconv2d/fused_kernel.h"
#include "core/simd/neon.h"
#include "core/simd/neon16.h"

namespace bnn {

extern const Bconv2dKernel bconv2d_neon_dense;
extern const Bconv2dKernel bconv2d_neon_side16;
extern const Bconv2dKernel bconv2d_neon_side32;
extern const Bconv2dKernel bconv2d_neon_side64;
extern const Bconv2dKernel bconv2d_neon_generic;

namespace {

struct NeonWords {  // 4 output channels
  using Word = uint32_t;
  using Words = uint8x16_t;
  using Sum = uint16x8_t;
  using Floats = Neon;
  static constexpr int kLanes = 4;
  static constexpr int kJoin = 2;

  static Words load(const Word* p) { return vreinterpretq_u8_u32(vld1q_u32(p)); }
  static Words broadcast(const char* p) {
    Word word;
    std::memcpy(&word, p, sizeof word);
    return vreinterpretq_u8_u32(vdupq_n_u32(word));
  }
  static Words differ(Words a, Words w) { return veorq_u8(a, w); }
  static Words differ_masked(Words a, Words m, Words w) { return veorq_u8(vandq_u8(a, m), w); }
  static Sum zero() { return vdupq_n_u16(0); }
  static Sum count(Sum sum, Words x) { return vpadalq_u8(sum, vcntq_u8(x)); }
  static int32x4x2_t join(const Sum* sum) {
    return {vreinterpretq_s32_u32(vpaddlq_u16(sum[0])), vreinterpretq_s32_u32(vpaddlq_u16(sum[1]))};
  }
};

struct Generic : Broadcast<NeonWords, true, 4, 2> {
  // A 16-bit lane gains at most 16 for each half word of the window.
  static bool supports(const ConvShape& shape) {
    return shape.kernel * shape.kernel * words_of(shape.in_c) <= 4095 / 2;
  }
};

template <int kGroups>
using Side = NeonTree<NeonTreeSums<kGroups>>;

}  // namespace

const Bconv2dKernel bconv2d_neon_dense =
    fused_kernel<Side<1>, Neon16>("bconv2d_neon_dense", "dense", Isa::kNeon);
const Bconv2dKernel bconv2d_neon_side16 =
    fused_kernel<Side<8>, Neon16>("bconv2d_neon_side16", "side16", Isa::kNeon);
const Bconv2dKernel bconv2d_neon_side32 =
    fused_kernel<Side<4>, Neon16>("bconv2d_neon_side32", "side32", Isa::kNeon);
const Bconv2dKernel bconv2d_neon_side64 =
    fused_kernel<Side<2>, Neon16>("bconv2d_neon_side64", "side64", Isa::kNeon);
const Bconv2dKernel bconv2d_neon_generic =
    fused_kernel<Generic, Neon>("bconv2d_neon_generic", "generic", Isa::kNeon);

}  // namespace bnn
