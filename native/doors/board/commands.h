#pragma once

#include "doors/board/arguments.h"

namespace bnn {

// `bnn-board layers`: latency samples of every step of a plan, one JSON line each.
int run_layers(Arguments arguments);

// `bnn-board net`: latency samples and, on request, outputs of a whole network, one JSON line.
int run_net(Arguments arguments);

// `bnn-board sentinel`: the sentinel's duration on every core, one JSON line each.
int run_sentinel(Arguments arguments);

// `bnn-board peak`: what this core reaches on registers alone, one JSON line for each instruction
// set.
int run_peak(Arguments arguments);

}  // namespace bnn
