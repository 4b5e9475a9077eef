#include "doors/board/measure.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>

namespace bnn {
namespace {

constexpr int kWindow = 5;          // batches under one running median
constexpr double kStable = 0.01;    // relative change between two windows
constexpr int64_t kWarmupCap = 10;  // times warmup_ns
constexpr int64_t kBatchNs = 500'000;
constexpr int kSentinelChains = 8;
constexpr int kSentinelLoops = 60'000;

double median(const double* last) {
  double sorted[kWindow];
  std::copy(last, last + kWindow, sorted);
  std::sort(sorted, sorted + kWindow);
  return sorted[kWindow / 2];
}

int64_t calls_for(int64_t duration_ns, double call_ns) {
  return std::max<int64_t>(1, int64_t(double(duration_ns) / std::max(call_ns, 0.1)) + 1);
}

}  // namespace

int64_t now_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC_RAW, &time);
  return int64_t(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

int64_t time_calls(const Work& work, int64_t iterations) {
  const int64_t start = now_ns();
  for (int64_t i = 0; i < iterations; ++i) work.call(work.context);
  return now_ns() - start;
}

Calibration calibrate(const Work& work, const MeasureSettings& settings) {
  const int64_t start = now_ns();
  double call_ns[2 * kWindow];
  int64_t batches = 0, iterations = 1;
  for (;;) {
    const int64_t batch_ns = time_calls(work, iterations);
    const double per_call = double(batch_ns) / double(iterations);
    std::copy(call_ns + 1, call_ns + 2 * kWindow, call_ns);
    call_ns[2 * kWindow - 1] = per_call;
    iterations = calls_for(kBatchNs, per_call);
    ++batches;
    const int64_t spent = now_ns() - start;
    if (batches < 2 * kWindow || spent < settings.warmup_ns) {
      if (batches >= 3 && spent > kWarmupCap * std::max<int64_t>(settings.warmup_ns, 1)) break;
      continue;
    }
    const double before = median(call_ns), now = median(call_ns + kWindow);
    if (std::abs(now - before) <= kStable * now || spent > kWarmupCap * settings.warmup_ns) break;
  }
  const int64_t seen = std::min<int64_t>(batches, kWindow);
  const double call = *std::min_element(call_ns + 2 * kWindow - seen, call_ns + 2 * kWindow);
  return {calls_for(settings.min_sample_ns, call), now_ns() - start};
}

// Independent chains of xorshift and SWAR popcount (Hacker's Delight 5-1): enough of them to fill
// the core's integer units, so that both a lower clock and a busy neighbour on the same core show.
int64_t sentinel_ns() {
  const int64_t start = now_ns();
  uint64_t state[kSentinelChains], sum = 0;
  for (int chain = 0; chain < kSentinelChains; ++chain) {
    state[chain] = 0x9E3779B97F4A7C15u * uint64_t(chain + 1);
  }
  for (int i = 0; i < kSentinelLoops; ++i) {
    for (uint64_t& x : state) {
      x ^= x << 13;
      x ^= x >> 7;
      x ^= x << 17;
      uint64_t count = x - ((x >> 1) & 0x5555555555555555u);
      count = (count & 0x3333333333333333u) + ((count >> 2) & 0x3333333333333333u);
      sum += (((count + (count >> 4)) & 0x0F0F0F0F0F0F0F0Fu) * 0x0101010101010101u) >> 56;
    }
  }
  __asm__ volatile("" : : "r"(sum));  // the loop has a result
  return now_ns() - start;
}

bool pin_to_core(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (core < CPU_SETSIZE) CPU_SET(core, &set);
  if (sched_setaffinity(0, sizeof set, &set) == 0) return true;
  std::fprintf(stderr, "bnn-board: cannot run on core %d: %s\n", core, std::strerror(errno));
  return false;
}

void CacheSweep::sweep() {
  for (size_t i = 0; i < bytes_; i += 64) memory_[i] = char(memory_[i] + 1);
  __asm__ volatile("" : : "r"(memory_) : "memory");
}

size_t sweep_bytes(int64_t largest_cache_bytes) {
  return std::clamp<size_t>(4 * size_t(largest_cache_bytes), size_t(16) << 20, size_t(256) << 20);
}

}  // namespace bnn
