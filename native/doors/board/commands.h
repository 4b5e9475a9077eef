#pragma once

#include "doors/board/arguments.h"

namespace bnn {

// `bnn-board facts`: what this board and this build are, one JSON line.
int run_facts(Arguments arguments);

// `bnn-board state`: how the board is at this moment, one JSON line.
int run_state(Arguments arguments);

// `bnn-board hold`: guards a measuring session until stdin ends; one JSON line when it begins.
int run_hold(Arguments arguments);

// `bnn-board layers`: latency samples of every step of a plan, one JSON line each, between
// two about the block of them.
int run_layers(Arguments arguments);

// `bnn-board net`: latency samples and, on request, outputs of a whole network, one JSON line; with
// --profile, further ones about its steps.
int run_net(Arguments arguments);

// `bnn-board sentinel`: the sentinel's duration on every core, one JSON line each.
int run_sentinel(Arguments arguments);

// `bnn-board peak`: what this core reaches on registers alone, one JSON line for each instruction
// set.
int run_peak(Arguments arguments);

}  // namespace bnn
