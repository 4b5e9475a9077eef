#include "core/simd/scalar.h"

#include "core/epilogue/rows.h"

namespace bnn {

extern const EpilogueRows epilogue_scalar;

const EpilogueRows epilogue_scalar = {binary_row<Scalar>, real_row<Scalar>, compare_row<Scalar>};

}  // namespace bnn
