// The engine's clock, for short waits and short measurements.
#pragma once

#include <cstdint>
#include <ctime>

namespace bnn {

inline int64_t clock_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

}  // namespace bnn
