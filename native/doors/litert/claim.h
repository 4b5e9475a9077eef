// Which nodes of a model are taken.
#pragma once

#include "doors/litert/graph.h"

namespace bnn::litert {

// claimed: room for all nodes; gets the runtime's numbers of those that are taken, in order: every
// usable node of Larq Compute Engine and ours, and the builtin operators of the steps around them.
// A real-valued layer is taken where it leads to such a step alone, or comes from one: a chain
// would end there. False: no memory.
bool claim(const Graph& graph, TfLiteIntArray* claimed, Status* status);

}  // namespace bnn::litert
