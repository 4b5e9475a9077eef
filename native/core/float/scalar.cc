#include "core/simd/scalar.h"

#include "core/float/kernels.h"

namespace bnn {

extern const FloatKernels float_scalar;

const FloatKernels float_scalar = {conv2d_row_with<Scalar>, linear_with<Scalar>};

}  // namespace bnn
