#include "core/float/kernels.h"
#include "core/simd/avx2.h"

namespace bnn {

extern const FloatKernels float_avx2;

const FloatKernels float_avx2 = {conv2d_row_with<Avx2>, linear_with<Avx2>};

}  // namespace bnn
