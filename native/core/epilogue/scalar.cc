#include "core/simd/scalar.h"

#include "core/epilogue/rows.h"

namespace bnn {

extern const EpilogueRows epilogue_scalar;

const EpilogueRows epilogue_scalar = epilogue_rows<Scalar>();

}  // namespace bnn
