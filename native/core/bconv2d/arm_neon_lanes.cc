// NEON kernels of small groups and of depthwise layers.
#include "core/bconv2d/arm_neon_lanes.h"

#include <arm_neon.h>

#include "core/bconv2d/arm_neon_bits.h"
#include "core/bconv2d/arm_neon_depthwise.h"
#include "core/bconv2d/depthwise.h"
#include "core/bconv2d/lanes.h"

namespace bnn {

extern const Bconv2dKernel bconv2d_neon_depthwise3x3;
extern const Bconv2dKernel bconv2d_neon_lanes4;
extern const Bconv2dKernel bconv2d_neon_lanes8;
extern const Bconv2dKernel bconv2d_neon_lanes16;
extern const Bconv2dKernel bconv2d_neon_masked8;

const Bconv2dKernel bconv2d_neon_depthwise3x3 =
    NeonDepthwise::kernel("bconv2d_neon_depthwise3x3", "depthwise", Isa::kNeon);
const Bconv2dKernel bconv2d_neon_lanes4 =
    GroupLanes<NeonBits, 8, true>::kernel("bconv2d_neon_lanes4", "lanes4", Isa::kNeon);
const Bconv2dKernel bconv2d_neon_lanes8 =
    NeonLanes<8>::kernel("bconv2d_neon_lanes8", "lanes8", Isa::kNeon);
const Bconv2dKernel bconv2d_neon_lanes16 =
    NeonLanes<16>::kernel("bconv2d_neon_lanes16", "lanes16", Isa::kNeon);
const Bconv2dKernel bconv2d_neon_masked8 =
    GroupLanes<NeonBits, 8>::kernel("bconv2d_neon_masked8", "masked8", Isa::kNeon);

}  // namespace bnn
