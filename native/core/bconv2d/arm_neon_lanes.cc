// NEON kernels of small groups and of depthwise layers.
#include "core/bconv2d/arm_neon_lanes.h"

#include <arm_neon.h>

#include "core/bconv2d/arm_neon_bits.h"
#include "core/bconv2d/arm_neon_depthwise.h"
#include "core/bconv2d/depthwise.h"
#include "core/bconv2d/lanes.h"

namespace bnn {

extern const Bconv2dKernel bconv2d_neon_depthwise3x3_pair;
extern const Bconv2dKernel bconv2d_neon_depthwise3x3;
extern const Bconv2dKernel bconv2d_neon_lanes4_pair;
extern const Bconv2dKernel bconv2d_neon_lanes4;
extern const Bconv2dKernel bconv2d_neon_lanes8;
extern const Bconv2dKernel bconv2d_neon_lanes16;
extern const Bconv2dKernel bconv2d_neon_masked8;

namespace {

// K's kernel for pixels of an even number of words.
template <class K>
constexpr Bconv2dKernel pair_kernel(const char* name, const char* method) {
  Bconv2dKernel kernel = K::kernel(name, method, Isa::kNeon);
  kernel.supports = [](const ConvShape& s) { return words_of(s.in_c) % 2 == 0 && K::supports(s); };
  return kernel;
}

template <class Loader>
using Lanes4 = GroupLanes<NeonBits<Loader>, 8, true>;

}  // namespace

const Bconv2dKernel bconv2d_neon_depthwise3x3_pair =
    NeonDepthwise::kernel("bconv2d_neon_depthwise3x3_pair", "depthwise", Isa::kNeon);
const Bconv2dKernel bconv2d_neon_depthwise3x3 = Depthwise3x3<NeonBits<PixelLoader>>::kernel(
    "bconv2d_neon_depthwise3x3", "depthwise", Isa::kNeon);
const Bconv2dKernel bconv2d_neon_lanes4_pair =
    pair_kernel<Lanes4<PairLoader>>("bconv2d_neon_lanes4_pair", "lanes4");
const Bconv2dKernel bconv2d_neon_lanes4 =
    Lanes4<PixelLoader>::kernel("bconv2d_neon_lanes4", "lanes4", Isa::kNeon);
const Bconv2dKernel bconv2d_neon_lanes8 =
    NeonLanes<8>::kernel("bconv2d_neon_lanes8", "lanes8", Isa::kNeon);
const Bconv2dKernel bconv2d_neon_lanes16 =
    NeonLanes<16>::kernel("bconv2d_neon_lanes16", "lanes16", Isa::kNeon);
const Bconv2dKernel bconv2d_neon_masked8 =
    GroupLanes<NeonBits<PixelLoader>, 8>::kernel("bconv2d_neon_masked8", "masked8", Isa::kNeon);

}  // namespace bnn
