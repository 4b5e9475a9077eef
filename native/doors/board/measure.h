// What a measurement is. A sample is the duration of `iterations` calls, in a row or turn by turn
// (company.h); the latency of one call, sample / iterations, is for the reader to derive.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bnn {

// The thing to be timed.
struct Work {
  void (*call)(void* context);
  void* context;
};

struct MeasureSettings {
  int64_t min_sample_ns;  // calls are batched until a sample lasts this long
  int64_t warmup_ns;  // at least; then until the running median is stable, at most 10 times this
  int samples;
};

struct Calibration {
  int64_t iterations;
  int64_t warmup_ns;  // spent
};

// CLOCK_MONOTONIC_RAW: not slewed by NTP.
int64_t now_ns();

// Duration of `iterations` calls.
int64_t time_calls(const Work& work, int64_t iterations);

// Warms up by time until the median of the last 5 batches is within 1 % of the median of the 5
// before, then sizes a sample.
Calibration calibrate(const Work& work, const MeasureSettings& settings);

// A fixed loop of integer popcounts on registers, about a millisecond: its duration depends on the
// core alone, so it shows a clock that drifts and a neighbour that shares the core's units.
int64_t sentinel_ns();

// Binds the calling thread to one core. False, with a message on stderr, when the system refuses.
bool pin_to_core(int core);

// Walks a buffer larger than the caches, so that the next call starts cold.
class CacheSweep {
 public:
  CacheSweep(size_t bytes, char* memory) : bytes_(bytes), memory_(memory) {}
  void sweep();

 private:
  size_t bytes_;
  char* memory_;
};

// Bytes that surely displace every cache of this CPU: four times the largest, at least 16 MiB, at
// most 256 MiB.
size_t sweep_bytes(int64_t largest_cache_bytes);

}  // namespace bnn
