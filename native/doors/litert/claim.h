// Which nodes of a model are taken.
#pragma once

#include "doors/litert/graph.h"

namespace bnn::litert {

// claimed: room for all nodes; gets the runtime's numbers of those that are taken, in order: every
// usable node of Larq Compute Engine and ours, and the builtin operators of the steps around them.
// A real-valued convolution is taken where a step follows it, a pool or a linear layer where one
// comes before: they are parts of a chain that would end there. False: no memory.
bool claim(const Graph& graph, TfLiteIntArray* claimed, Status* status);

}  // namespace bnn::litert
