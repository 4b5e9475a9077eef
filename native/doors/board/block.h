// What `layers` notes about a block of rows as a whole: the board before and after it, and whether
// somebody else ran on the core meanwhile.
#pragma once

#include <vector>

#include "doors/board/state.h"

namespace bnn {

class Block {
 public:
  // Prints the line {"block": {"before"}}.
  explicit Block(const Sysfs& sysfs);

  // Around the rounds that take samples.
  void begin_sampling();
  void end_sampling();

  // Prints the line {"block": {"after", "wall_ns", ...}}.
  void finish(const std::vector<int64_t>& sentinels_ns);

 private:
  // Of the calling thread, up to now.
  struct Times {
    int64_t wall_ns, cpu_ns, preempted;
    static Times now();
  };

  Sysfs sysfs_;
  int64_t start_ns_;
  Times sampling_ = {};
};

}  // namespace bnn
