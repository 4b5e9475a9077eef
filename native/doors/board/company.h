// Rows of other steps between those of a step that is measured, as in a network: when its turn
// comes again its code and the history of its branches are cold, and its activations have left the
// first level. Alone, turn after turn, it would seem faster than a network ever runs it: groups of
// few channels by a tenth to a quarter.
#pragma once

#include "doors/board/subject.h"

namespace bnn {

class Company {
 public:
  // False: no memory.
  bool make(Isa isa);

  // As time_calls, of a step that takes turns: its own turns alone, a turn of each companion
  // between them.
  int64_t time_turns(Subject* subject, int64_t iterations);

 private:
  Subject steps_[2];
  double clock_ns_ = 0;  // that looking at the clock twice takes
};

}  // namespace bnn
