// How the board is at this moment: what a measurement notes before and after itself.
#pragma once

#include "doors/board/json.h"
#include "doors/board/sysfs.h"

namespace bnn {

struct BoardState {
  int64_t utc_ns;
  int core;
  MaybeInteger cur_khz;         // what the kernel asked for
  int64_t clock_khz;            // what the core does: a chain of one-cycle additions, timed
  MaybeInteger temperature_mc;  // of the hottest zone, thousandths of a degree Celsius
  MaybeInteger throttled;       // a Raspberry Pi's get_throttled bits
  MaybeNumber load1;            // processes that want to run, mean of a minute
  MaybeInteger free_bytes;
  MaybeInteger steal_ticks;  // of this core, since boot: time that a hypervisor gave to others

  // Of the calling thread's core, which should be its only one; takes about 10 ms.
  static BoardState read(const Sysfs& sysfs);

  void print(JsonLine* json) const;
};

// The file with the throttle bits of a Raspberry Pi's firmware. False when there is none.
bool find_throttle_source(const Sysfs& sysfs, char path[kLineBytes]);

// The name (`type`) or temperature (`temp`) of a thermal zone. False past the last one.
bool read_thermal_zone(const Sysfs& sysfs, int zone, const char* name, char line[kLineBytes]);
constexpr int kMostZones = 64;

}  // namespace bnn
