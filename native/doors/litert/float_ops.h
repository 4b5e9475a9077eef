// The builtin operators of a step on their own, for tensors inside a step that somebody wants to
// see. They are not fast: who wants them looks for a fault.
#pragma once

#include "doors/litert/graph.h"

namespace bnn::litert {

// Whether a usable node is one of those: ADD or SUB of a constant, AVERAGE_POOL_2D, CONCATENATION
// of copies, RESHAPE, PADV2. (RELU, PRELU and the ADD of a shortcut are the end of a step.)
bool is_float_op(const Graph& graph, const Node& node);

// in, out: float32 of its shapes.
void run_float_op(const Graph& graph, const Node& node, const float* in, float* out);

}  // namespace bnn::litert
