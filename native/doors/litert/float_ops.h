// The builtin operators of a step on their own, for tensors inside a step that somebody wants to
// see: as outputs of the model, or by a runtime that preserves all tensors and cuts a model into
// single nodes for it. They are not fast: who wants them looks for a fault.
#pragma once

#include "doors/litert/graph.h"

namespace bnn::litert {

// ADD, SUB, PRELU, RELU, AVERAGE_POOL_2D, CONCATENATION of copies, RESHAPE, PADV2.
bool is_float_op(Op op);

// The second tensor that an ADD, SUB or PRELU reads, when it is no constant for each channel; else,
// and for every other operator, kOptionalTensor.
int second_input(const Graph& graph, const Node& node);

// A usable node of those; in, second, out: float32 of its shapes.
void run_float_op(const Graph& graph, const Node& node, const float* in, const float* second,
                  float* out);

}  // namespace bnn::litert
