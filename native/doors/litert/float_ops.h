// The builtin operators of a step on their own, for tensors inside a step that somebody wants to
// see. They are not fast: who wants them looks for a fault.
#pragma once

#include "doors/litert/graph.h"

namespace bnn::litert {

// ADD or SUB of a constant, 2x2 AVERAGE_POOL_2D, CONCATENATION of copies, RESHAPE, PADV2.
bool is_float_op(Op op);

// A usable node of those; in, out: float32 of its shapes.
void run_float_op(const Graph& graph, const Node& node, const float* in, float* out);

}  // namespace bnn::litert
