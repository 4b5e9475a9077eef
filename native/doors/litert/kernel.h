// The delegate's part of a model, as the runtime calls it.
#pragma once

#include "doors/litert/abi.h"

namespace bnn::litert {

// TfLiteDelegate::Prepare: takes every node of Larq Compute Engine and ours that can be run, and
// the builtin operators between them that are parts of the engine's steps.
TfLiteStatus claim_nodes(TfLiteContext* context, TfLiteDelegate* delegate);

}  // namespace bnn::litert
