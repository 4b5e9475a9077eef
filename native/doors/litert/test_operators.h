// For tests: models of single operators.
#pragma once

#include "doors/litert/test_models.h"

namespace bnn::litert {

// One operator of Larq Compute Engine or ours; all options and sizes are drawn.
Model operator_model(SplitMix64* random);

}  // namespace bnn::litert
