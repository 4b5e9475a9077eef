#include "core/simd/scalar.h"

#include "core/epilogue/shortcut.h"

namespace bnn {

extern const AvgpoolRow avgpool_row_scalar;

const AvgpoolRow avgpool_row_scalar = avgpool_row_with<Scalar>;

}  // namespace bnn
