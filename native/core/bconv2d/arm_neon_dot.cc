// NEON with UDOT: Cortex-A55, A75, A76 and later.
#include <arm_neon.h>

#include "core/bconv2d/arm_neon_sums.h"
#include "core/bconv2d/arm_neon_tree.h"
#include "core/bconv2d/fused_kernel.h"

namespace bnn {

extern const Bconv2dKernel bconv2d_neon_dot_dense;

const Bconv2dKernel bconv2d_neon_dot_dense =
    fused_kernel<NeonTree<NeonDotSums>, Neon>("bconv2d_neon_dot_dense", "dense", Isa::kNeonDot);

}  // namespace bnn
