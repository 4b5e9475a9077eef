// The builtin operators of a step on their own, for tensors inside a step that somebody wants to
// see. They are not fast: who wants them looks for a fault.
#pragma once

#include "doors/litert/graph.h"

namespace bnn::litert {

// Whether a usable node is an ADD or SUB of a constant, an AVERAGE_POOL_2D, a CONCATENATION of
// copies, a RESHAPE or a PADV2.
bool is_float_op(const Graph& graph, const Node& node);

// Runs one of those; in, out: float32 of its shapes.
void run_float_op(const Graph& graph, const Node& node, const float* in, float* out);

}  // namespace bnn::litert
