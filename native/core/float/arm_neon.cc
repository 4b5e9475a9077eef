#include "core/float/kernels.h"
#include "core/simd/neon.h"

namespace bnn {

extern const FloatKernels float_neon;

const FloatKernels float_neon = {conv2d_row_with<Neon>, linear_with<Neon>};

}  // namespace bnn
